//! `/v1/api-keys` (contract 4.4). A key gives no more than it has itself.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use poem::http::StatusCode;
use poem_openapi::param::Path;
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::MaybeUndefined;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use serde_json::value::RawValue;

use super::auth::{Call, Caller, find_tenant, scope};
use super::body::{Body, Fields, Findings, Scalar, Wire, pointer_of};
use super::channels::check_channels;
use super::compat;
use super::idempotency::{Fingerprint, once};
use super::limit::PerSecond;
use super::page::{Listed, Numbered, Parameter, Parameters, Params, Query};
use super::problem::{Ground, Refusal, Source};
use super::reply::{Answer, Attributes, Object as ResourceObject, One, Reply, inline};
use super::value::{MomentText, Nullable, Time, choice, choice_text, documented};
use super::{App, Tag};
use crate::domain::channel::Channel;
use crate::domain::contract::Contract;
use crate::domain::event_type::EventPattern;
use crate::domain::id::{KeyId, TenantId};
use crate::domain::key::{
    ApiKey, KeyKind, KeyText, NAME_LENGTH_MAX, Preset, Quota, RATE_CEILING, RateLimits, Scope, Scopes,
};
use crate::domain::restriction::{ALLOWED_EVENTS_MAX, NotForAMerchant, RESTRICTION_CHANNELS_MAX, Restriction};
use crate::domain::time::Timestamp;
use crate::domain::violation::Rule;
use crate::store::{SecretOwner, StoreError};

const THING: &str = "API key";

choice!(KindName, "key_kind", KeyKind::ALL.map(KeyKind::name));
choice_text!(KindText, "key_kind_text", KeyKind::ALL.map(KeyKind::name));
choice!(PresetName, "preset", Preset::ALL.map(Preset::name));
choice_text!(PresetText, "preset_text", Preset::ALL.map(Preset::name));
choice_text!(ScopeText, "scope_text", scope_names());
choice!(
    /// The name of a scope.
    ScopeName, "scope", Scope::ALL.iter().map(|scope| scope.name()));

/// An API key, as it stands
#[derive(Debug, Serialize, Object)]
struct KeyAttributes {
    name: String,
    /// The API that it is made for. Each kind works at this API with its scopes
    kind: KindName,
    /// The key itself: only in the answer of create, and not when it was imported
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// The id of the tenant that it is bound to; null: the whole instance
    tenant: Nullable<String>,
    /// The preset that its scopes came from
    preset: Nullable<PresetName>,
    scopes: Vec<ScopeName>,
    /// It is held to events of these types and patterns; empty: of all types
    allowed_events: Vec<String>,
    /// It is held to events that have one of these channels; empty: to no channels
    channels: Vec<String>,
    rate_limits: RateLimitsView,
    expires_at: Nullable<Time>,
    last_used_at: Nullable<Time>,
    created_at: Time,
}

impl Attributes for KeyAttributes {
    const TYPE: &'static str = "api_key";
    const NAME: &'static str = "ApiKey";
    const ONE: &'static str = "The API key";
    const PAGE: &'static str = "A page of API keys";
}

/// What the key may do a second; null: not limited
#[derive(Debug, Serialize, Object)]
#[oai(rename = "RateLimits")]
struct RateLimitsView {
    /// Calls
    management: Nullable<u32>,
    /// Events
    publish: Nullable<u32>,
}

/// What a key is made from: a preset, or scopes
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct CreateKey {
    #[oai(validator(min_length = 1, max_length = 128))]
    name: String,
    /// `native` (default, `ww_…`), `marea_developer` (`mk_dev_…`), `marea_user` (`mk_user_…`: of one merchant, with exactly
    /// one channel, its storefront, and events of `order.*`) or `agentmessage` (`am_live_…`)
    kind: Option<KindText>,
    /// The text of a key that another program made and somebody uses: it is imported, and not shown again. By an instance
    /// key only. 24 to 256 visible ASCII characters, at least 8 of them different, beginning as its kind does unless that is
    /// `native`
    #[oai(validator(min_length = 24, max_length = 256))]
    secret: Option<String>,
    /// `full_access`, `read_only`, `publish_only` or `subscriber`
    preset: Option<PresetText>,
    /// Instead of a preset. A key of another kind takes the scopes of its contract as well, which grant what is like them
    /// here: the answer says what that is
    #[oai(validator(min_items = 1, unique_items))]
    scopes: Option<Vec<ScopeText>>,
    /// An id or `external_id`; null: a key of the whole instance; absent: the tenant of the request (`default`, unless
    /// `Waxwing-Tenant` names another), also for who asks with a key of the instance
    #[oai(nullable)]
    tenant: MaybeUndefined<String>,
    /// Restricts it to events of these types and patterns (`order.*`), at most 50: it sees and changes only the
    /// subscriptions that it made. Null: not restricted; absent: as the key of the request
    #[oai(nullable, validator(max_items = 50, unique_items))]
    allowed_events: MaybeUndefined<Vec<String>>,
    /// Restricts it to events that have one of these channels, at most 10, which its subscriptions and its own events get
    /// unless they name some of them. Null: not restricted; absent: as the key of the request
    #[oai(nullable, validator(max_items = 10, unique_items))]
    channels: MaybeUndefined<Vec<String>>,
    /// When it ends; null: never
    #[oai(nullable)]
    expires_at: MaybeUndefined<MomentText>,
    /// What it may do a second: a number, or null for no limit; absent: what the instance gives
    rate_limits: Option<Quotas>,
}

impl Wire for CreateKey {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            name: fields.take("name"),
            kind: fields.take("kind"),
            secret: fields.take("secret"),
            preset: fields.take("preset"),
            scopes: fields.take("scopes"),
            tenant: fields.take("tenant"),
            allowed_events: fields.take("allowed_events"),
            channels: fields.take("channels"),
            expires_at: fields.take("expires_at"),
            rate_limits: fields.take("rate_limits"),
        }
    }
}

/// `{"management": n, "publish": n}` as it was asked for.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(into = "BTreeMap<&'static str, Option<u32>>")]
struct Quotas(RateLimits);

impl From<Quotas> for BTreeMap<&'static str, Option<u32>> {
    fn from(Quotas(RateLimits { management, publish }): Quotas) -> Self {
        let number = |quota| match quota {
            Quota::PerSecond(per_second) => Some(per_second.get()),
            Quota::InstanceDefault | Quota::Unlimited => None,
        };
        Self::from([("management", number(management)), ("publish", number(publish))])
    }
}

documented!(Quotas, "quotas", {
    let quota = |description| {
        inline(MetaSchema {
            nullable: true,
            minimum: Some(1.0),
            maximum: Some(f64::from(RATE_CEILING)),
            description: Some(description),
            ..MetaSchema::new("integer")
        })
    };
    let properties = vec![("management", quota("Calls")), ("publish", quota("Events"))];
    MetaSchema { properties, ..MetaSchema::new("object") }
});

impl Scalar for Quotas {
    const EXPECTED: &'static str = "an object with management and publish";

    fn from_raw(value: &RawValue, pointer: &str, findings: &mut Findings) -> Option<Self> {
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(value.get()).ok()?;
        let mut limits = RateLimits::default();
        for (name, value) in members {
            let pointer = format!("{pointer}{}", pointer_of(&name));
            let quota = match name.as_str() {
                "management" => &mut limits.management,
                "publish" => &mut limits.publish,
                _ => {
                    findings.add(Rule::UnknownField { name }, pointer);
                    continue;
                }
            };
            if value.get() == "null" {
                *quota = Quota::Unlimited;
                continue;
            }
            let max = i64::from(RATE_CEILING);
            match i64::from_raw(value, &pointer, findings) {
                Some(number) if (1..=max).contains(&number) => {
                    let number = u32::try_from(number).ok().and_then(NonZeroU32::new);
                    *quota = number.map_or(Quota::InstanceDefault, Quota::PerSecond);
                }
                Some(_) => findings.add(Rule::OutOfRange { min: 1, max, unit: "a second" }, pointer),
                None => findings.add(Rule::InvalidType { expected: "an integer, or null for no limit" }, pointer),
            }
        }
        Some(Self(limits))
    }
}

struct KeyList(Numbered);

impl Parameters for KeyList {
    fn documented() -> Vec<Parameter> {
        Numbered::documented()
    }

    fn read(query: &mut Params) -> Self {
        Self(Numbered::read(query))
    }
}

pub struct KeysApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1/api-keys", tag = "Tag::ApiKeys")]
impl KeysApi {
    /// Create an API key
    ///
    /// The answer is the only one that shows it. A key gives no more than it has itself.
    ///
    /// With `allowed_events` or `channels` it is a restricted key, bound to a tenant: of all subscriptions it sees and
    /// changes only those that it made, and their events and deliveries; anything else is not found. It subscribes to and
    /// publishes nothing beyond its restriction, and its subscriptions get nothing beyond it, also when it is revoked: they
    /// go on until somebody else changes or deletes them.
    #[oai(path = "/", method = "post", operation_id = "api_keys.create")]
    async fn create(
        &self,
        caller: Caller<scope::KeysWrite>,
        body: Body<CreateKey>,
    ) -> Result<Answer<One<KeyAttributes>, 201>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |memory| {
            let (wire, findings) = body.read()?;
            let is_imported = wire.secret.is_some();
            let (key, text) = self.new_key(&caller, wire, findings)?;
            let app = self.app.clone();
            let shown = (!is_imported).then(|| text.as_str().to_owned());
            let render = move |made: &ApiKey| {
                let attributes = attributes(&app, made, shown.clone());
                let reply = Reply::json(StatusCode::CREATED, &One::new(made.id.to_string(), attributes))
                    .header("location", format!("/v1/api-keys/{}", made.id));
                if is_imported { reply } else { reply.shows_secret_of(SecretOwner::Key(made.id)) }
            };
            match self.app.store.create_key(key, memory.keep(render.clone())).await {
                Ok(made) => Ok(render(&made)),
                Err(StoreError::AlreadyExists) => Err(key_exists()),
                Err(error) => Err(error.into()),
            }
        })
        .await
        .map(Into::into)
    }

    /// List API keys
    ///
    /// An instance key sees all of them, or those of the tenant that `Waxwing-Tenant` names.
    #[oai(path = "/", method = "get", operation_id = "api_keys.list")]
    async fn list(
        &self,
        caller: Caller<scope::KeysRead>,
        query: Query<KeyList>,
    ) -> Result<Answer<Listed<KeyAttributes>, 200>, Refusal> {
        let Query(KeyList(page)) = query;
        let rows: Vec<_> = caller.catalogue.keys().filter(|key| is_visible(&caller, key)).collect();
        let page =
            page.cut(&caller, rows, |key| ResourceObject::new(key.id.to_string(), attributes(&self.app, key, None)));
        Ok(Reply::json(StatusCode::OK, &page).into())
    }

    /// Get an API key
    #[oai(path = "/:id", method = "get", operation_id = "api_keys.get")]
    async fn get(
        &self,
        caller: Caller<scope::KeysRead>,
        id: Path<String>,
    ) -> Result<Answer<One<KeyAttributes>, 200>, Refusal> {
        let key = find(&caller, &id)?;
        Ok(Reply::json(StatusCode::OK, &One::new(key.id.to_string(), attributes(&self.app, key, None))).into())
    }

    /// Revoke an API key
    ///
    /// It stops at once.
    #[oai(path = "/:id", method = "delete", operation_id = "api_keys.revoke")]
    async fn revoke(&self, caller: Caller<scope::KeysWrite>, id: Path<String>) -> Result<Answer<(), 204>, Refusal> {
        let key = find(&caller, &id)?;
        self.app.store.revoke_key(key.id).await?;
        Ok(Reply::empty(StatusCode::NO_CONTENT).into())
    }
}

impl KeysApi {
    fn new_key(&self, call: &Call, wire: CreateKey, mut findings: Findings) -> Result<(ApiKey, KeyText), Refusal> {
        let CreateKey { name, kind, secret, preset, scopes, tenant, allowed_events, channels, expires_at, rate_limits } =
            wire;
        let now = self.app.clock.now();
        if findings.is_sound("name") {
            if name.is_empty() {
                findings.add(Rule::TooShort { min: 1 }, "/name");
            } else if name.chars().count() > NAME_LENGTH_MAX {
                findings.add(Rule::TooLong { max: NAME_LENGTH_MAX }, "/name");
            }
        }
        let expires_at = check_expiry(expires_at, call, now, &mut findings);
        let kind = check_kind(kind, &mut findings);
        let (preset, scopes) = check_scopes(kind, preset, scopes, &mut findings);
        if secret.is_some() {
            call.instance_key_only()?;
        }
        let text = check_text(secret, kind, &mut findings);
        let own = call.actor.restriction();
        let mut restriction = Restriction {
            allowed_events: check_allowed_events(call, allowed_events, &mut findings)
                .unwrap_or_else(|| own.allowed_events.clone()),
            channels: check_key_channels(channels, &mut findings).unwrap_or_else(|| own.channels.clone()),
        };
        if kind == KeyKind::MareaUser {
            match restriction.clone().for_a_merchant() {
                Ok(of_merchant) => restriction = of_merchant,
                // A wrong channel was told of already.
                Err(NotForAMerchant::Channels) if !findings.is_sound("channels") => {}
                Err(NotForAMerchant::Channels) => {
                    let expected = "exactly one channel, the storefront, for the kind marea_user";
                    findings.add(Rule::InvalidFormat { expected }, "/channels");
                }
                Err(NotForAMerchant::Events) => {
                    let name = restriction.allowed_events[0].to_string();
                    findings.add(Rule::EventNotAllowed { name }, "/allowed_events");
                }
            }
        }
        if matches!(tenant, MaybeUndefined::Null) && !restriction.is_empty() {
            let expected = "a tenant: a restricted key is bound to one";
            findings.add(Rule::InvalidFormat { expected }, "/tenant");
        }
        findings.finish()?;
        let text = text.expect("what cannot be imported is among the findings");
        if self.app.admin_key.as_ref().is_some_and(|admin| admin.hash == text.hash()) {
            return Err(key_exists());
        }
        let key = ApiKey {
            // The store assigns it.
            id: KeyId::from_u128(0),
            kind,
            name,
            hash: text.hash(),
            tenant: tenant_of(call, tenant)?,
            scopes,
            preset,
            restriction,
            rate_limits: self.limits_of(call, rate_limits),
            expires_at,
            revoked_at: None,
            created_at: now,
        };
        self.refuse_more_than_own(call, &key)?;
        Ok((key, text))
    }

    /// What is not asked for is what the caller's own key has, when that is something of its own.
    fn limits_of(&self, call: &Call, asked: Option<Quotas>) -> RateLimits {
        let own = call.actor.rate_limits();
        let Quotas(RateLimits { management, publish }) = asked.unwrap_or_default();
        let or_own = |asked, own| if asked == Quota::InstanceDefault { own } else { asked };
        RateLimits { management: or_own(management, own.management), publish: or_own(publish, own.publish) }
    }

    fn refuse_more_than_own(&self, call: &Call, key: &ApiKey) -> Result<(), Refusal> {
        let own = &call.actor;
        let whose = own.kind();
        let beyond = |what, pointer: &str| {
            Err(Refusal::at(Ground::BeyondOwnKey { whose, what }, Source::Pointer(pointer.to_owned())))
        };
        if !key.scopes.is_subset_of(own.scopes()) {
            return beyond("it lacks some of these scopes", "/scopes");
        }
        if !key.restriction.events_are_within(own.restriction()) {
            return beyond("it may not have some of these events", "/allowed_events");
        }
        if !key.restriction.channels_are_within(own.restriction()) {
            return beyond("it is held to other channels", "/channels");
        }
        if own.expires_at().is_some_and(|own| key.expires_at.is_none_or(|expires_at| expires_at > own)) {
            return beyond("it expires earlier", "/expires_at");
        }
        // An instance key without quotas of its own is the operator's: the instance's defaults do not bind it.
        let binds = |own: Quota| own != Quota::InstanceDefault || !call.is_of_the_instance();
        let limits = &self.app.limits;
        let is_more = |asked: PerSecond, own: PerSecond| own.is_some_and(|own| asked.is_none_or(|asked| asked > own));
        let (asked, has) = (key.rate_limits, own.rate_limits());
        let management = |own| limits.management(own, &call.catalogue);
        if binds(has.management) && is_more(management(asked.management), management(has.management)) {
            return beyond("it may call less often", "/rate_limits/management");
        }
        let publish = |own| limits.publish(own, &call.catalogue);
        if binds(has.publish) && is_more(publish(asked.publish), publish(has.publish)) {
            return beyond("it may publish less", "/rate_limits/publish");
        }
        Ok(())
    }
}

/// To a restricted key only keys that are held to what it is held to itself.
fn is_visible(call: &Call, key: &ApiKey) -> bool {
    let is_in_reach = if call.names_tenant { key.tenant == Some(call.tenant().id) } else { true };
    key.revoked_at.is_none() && is_in_reach && key.restriction.is_within(call.actor.restriction())
}

fn key_exists() -> Refusal {
    Refusal::at(Ground::KeyExists, Source::Pointer("/secret".to_owned()))
}

fn find<'a>(call: &'a Call, id: &str) -> Result<&'a Arc<ApiKey>, Refusal> {
    let key = id.parse().ok().and_then(|id| call.catalogue.key(id)).filter(|key| is_visible(call, key));
    key.ok_or_else(|| Refusal::not_found(THING, id))
}

fn tenant_of(call: &Call, tenant: MaybeUndefined<String>) -> Result<Option<TenantId>, Refusal> {
    match tenant {
        MaybeUndefined::Undefined => Ok(Some(call.tenant().id)),
        MaybeUndefined::Null => call.instance_key_only().map(|()| None),
        MaybeUndefined::Value(name) => {
            let found = find_tenant(&call.catalogue, &name).map(|entry| entry.tenant.id);
            match found.filter(|id| call.actor.tenant().is_none_or(|own| own == *id)) {
                Some(id) => Ok(Some(id)),
                None => Err(Refusal::at(Ground::UnknownTenant { name }, Source::Pointer("/tenant".to_owned()))),
            }
        }
    }
}

/// Ours and those of all contracts.
fn scope_names() -> impl Iterator<Item = &'static str> {
    let of_contracts =
        Contract::ALL.into_iter().flat_map(|contract| compat::scopes(contract).iter().map(|(name, _)| *name));
    Scope::ALL.iter().map(|scope| scope.name()).chain(of_contracts)
}

/// What a key of this kind can be given, each with what it grants: our scopes themselves, and those of its contract.
pub fn scopes_of(kind: KeyKind) -> impl Iterator<Item = (&'static str, Scopes)> {
    let own = Scope::ALL.iter().map(|scope| (scope.name(), [*scope].into_iter().collect()));
    let of_contract = kind.contract().into_iter().flat_map(compat::scopes);
    own.chain(of_contract.map(|(name, granted)| (*name, granted.iter().copied().collect())))
}

/// More than there are.
const SCOPES_MAX: usize = 100;

fn check_scopes(
    kind: KeyKind,
    preset: Option<PresetText>,
    scopes: Option<Vec<ScopeText>>,
    findings: &mut Findings,
) -> (Option<Preset>, Scopes) {
    match (preset, scopes) {
        (Some(PresetText(name)), None) => {
            let preset = Preset::from_name(&name);
            if preset.is_none() {
                let expected = "full_access, read_only, publish_only or subscriber";
                findings.add(Rule::InvalidFormat { expected }, "/preset");
            }
            (preset, preset.map(Preset::scopes).unwrap_or_default())
        }
        (None, Some(names)) => {
            if names.is_empty() {
                findings.add(Rule::InvalidFormat { expected: "at least one scope" }, "/scopes");
            }
            if names.len() > SCOPES_MAX {
                findings.add(Rule::TooManyItems { max: SCOPES_MAX }, "/scopes");
                return (None, Scopes::default());
            }
            let mut scopes = Scopes::default();
            for (index, ScopeText(name)) in names.iter().enumerate() {
                let pointer = format!("/scopes/{index}");
                if findings.has_at(&pointer) {
                    continue;
                }
                match scopes_of(kind).find(|(known, _)| known == name) {
                    None => findings
                        .add(Rule::InvalidFormat { expected: "the name of a scope, such as events:read" }, pointer),
                    Some(_) if names[..index].iter().any(|ScopeText(other)| other == name) => {
                        findings.add(Rule::DuplicateItem, pointer);
                    }
                    Some((_, granted)) => scopes = scopes.with(granted),
                }
            }
            (None, scopes)
        }
        (Some(_), Some(_)) => {
            findings.add(Rule::InvalidFormat { expected: "left out when preset is given" }, "/scopes");
            (None, Scopes::default())
        }
        (None, None) => {
            // A field of the wrong type was told of already.
            if findings.is_sound("preset") && findings.is_sound("scopes") {
                findings.add(Rule::MissingField { name: "preset".into() }, "/preset");
            }
            (None, Scopes::default())
        }
    }
}

fn check_kind(name: Option<KindText>, findings: &mut Findings) -> KeyKind {
    let Some(KindText(name)) = name else { return KeyKind::Native };
    let kind = KeyKind::from_name(&name);
    if kind.is_none() && findings.is_sound("kind") {
        let expected = "native, marea_developer, marea_user or agentmessage";
        findings.add(Rule::InvalidFormat { expected }, "/kind");
    }
    kind.unwrap_or_default()
}

/// A new text, or the one that is imported; none when that cannot be.
fn check_text(secret: Option<String>, kind: KeyKind, findings: &mut Findings) -> Option<KeyText> {
    let Some(secret) = secret else { return Some(KeyText::generate(kind, &mut rand::rng())) };
    let unfit = match KeyText::import(kind, secret) {
        Ok(text) => return Some(text),
        Err(unfit) => unfit,
    };
    if !findings.has_at("/secret") {
        findings.add(Rule::InvalidFormat { expected: unfit.expected(kind) }, "/secret");
    }
    None
}

/// None: absent, or wrong and noted.
fn check_allowed_events(
    call: &Call,
    texts: MaybeUndefined<Vec<String>>,
    findings: &mut Findings,
) -> Option<Vec<EventPattern>> {
    let texts = match texts {
        MaybeUndefined::Undefined => return None,
        MaybeUndefined::Null => return Some(Vec::new()),
        MaybeUndefined::Value(texts) => texts,
    };
    if texts.len() > ALLOWED_EVENTS_MAX {
        findings.add(Rule::TooManyItems { max: ALLOWED_EVENTS_MAX }, "/allowed_events");
        return None;
    }
    let mut patterns = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let pointer = format!("/allowed_events/{index}");
        if findings.has_at(&pointer) {
            continue;
        }
        let known = text.parse().ok().filter(|pattern| match pattern {
            EventPattern::All | EventPattern::Below(_) => true,
            EventPattern::Exact(name) => call.catalogue.event_type(name.as_str()).is_some(),
        });
        match known {
            None => findings.add(Rule::UnknownEventType { name: text.clone() }, pointer),
            Some(pattern) if patterns.contains(&pattern) => findings.add(Rule::DuplicateItem, pointer),
            Some(pattern) => patterns.push(pattern),
        }
    }
    Some(patterns)
}

/// None: absent, or wrong and noted.
fn check_key_channels(texts: MaybeUndefined<Vec<String>>, findings: &mut Findings) -> Option<Vec<Channel>> {
    match texts {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(Vec::new()),
        MaybeUndefined::Value(texts) => {
            check_channels(&texts, RESTRICTION_CHANNELS_MAX).map_err(|violations| findings.extend(violations)).ok()
        }
    }
}

/// Absent: as long as the caller's own key lives.
fn check_expiry(
    text: MaybeUndefined<MomentText>,
    call: &Call,
    now: Timestamp,
    findings: &mut Findings,
) -> Option<Timestamp> {
    match text {
        MaybeUndefined::Undefined => call.actor.expires_at(),
        MaybeUndefined::Null => None,
        MaybeUndefined::Value(MomentText(text)) => {
            let at = text.parse().ok().filter(|at| *at > now);
            if at.is_none() {
                findings.add(Rule::InvalidFormat { expected: "an RFC 3339 date and time to come" }, "/expires_at");
            }
            at
        }
    }
}

fn attributes(app: &App, key: &ApiKey, secret: Option<String>) -> KeyAttributes {
    let ApiKey {
        id,
        kind,
        name,
        hash: _,
        tenant,
        scopes,
        preset,
        restriction,
        rate_limits,
        expires_at,
        revoked_at: _,
        created_at,
    } = key;
    let Restriction { allowed_events, channels } = restriction;
    let catalogue = app.store.catalogue();
    KeyAttributes {
        name: name.clone(),
        kind: KindName(kind.name()),
        secret,
        tenant: tenant.map(|tenant| tenant.to_string()).into(),
        preset: preset.map(|preset| PresetName(preset.name())).into(),
        scopes: scopes.iter().map(|scope| ScopeName(scope.name())).collect(),
        allowed_events: allowed_events.iter().map(ToString::to_string).collect(),
        channels: channels.iter().map(ToString::to_string).collect(),
        rate_limits: RateLimitsView {
            management: app.limits.management(rate_limits.management, &catalogue).map(NonZeroU32::get).into(),
            publish: app.limits.publish(rate_limits.publish, &catalogue).map(NonZeroU32::get).into(),
        },
        expires_at: expires_at.map(Time).into(),
        last_used_at: app.store.key_last_used(*id).map(Time).into(),
        created_at: Time(*created_at),
    }
}
