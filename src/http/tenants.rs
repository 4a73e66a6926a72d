//! `/v1/tenants` (contract 4.4). Instance keys write them; a key that is bound to a tenant sees its own.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use poem::http::StatusCode;
use poem_openapi::param::Path;
use poem_openapi::types::MaybeUndefined;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use serde_json::value::RawValue;

use super::auth::{Call, Caller, OfInstance, OfTenant, find_tenant, scope};
use super::body::{Body, Fields, Findings, Scalar, Wire, nested};
use super::etag::{self, IfMatch};
use super::idempotency::{Fingerprint, once};
use super::page::{Listed, Numbered, Parameter, Parameters, Params, Query};
use super::problem::{Ground, Refusal, Source};
use super::reply::{Answer, Attributes, Object as ResourceObject, One, Reply};
use super::subscriptions::{ProfileName, ProfileText, check_metadata, check_overlap, check_profile};
use super::value::{Nullable, Time};
use super::{App, Tag};
use crate::domain::header::{HeaderPrefix, PREFIX_EXPECTED};
use crate::domain::id::TenantId;
use crate::domain::key::RATE_CEILING;
use crate::domain::obstacle::Obstacle;
use crate::domain::secret::Secret;
use crate::domain::setting::DAYS_CEILING;
use crate::domain::tenant::{
    EXTERNAL_ID_EXPECTED, ExternalId, Metadata, NAME_LENGTH_MAX, OwnRetention, SECRET_OVERLAP_DEFAULT,
    SUBSCRIPTIONS_MAX_CEILING, SUBSCRIPTIONS_MAX_DEFAULT, Tenant, TenantSecret,
};
use crate::domain::violation::Rule;
use crate::store::catalogue::TenantEntry;
use crate::store::{Edit, Remember, SecretOwner, StoreError};

const THING: &str = "Tenant";

/// A tenant, as it stands
#[derive(Debug, Serialize, Object)]
struct TenantAttributes {
    /// Your own id for it
    external_id: Nullable<String>,
    name: String,
    /// How deliveries of new subscriptions look
    profile: ProfileName,
    /// What the names of a profile's own headers begin with, in lower case; null: as the profile has them
    header_prefix: Nullable<String>,
    /// The signing secret of the whole tenant, in the form of its profile: only in the answer of rotate
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Grows with each rotation; null: it has no secret yet. It signs for subscriptions with `signing: tenant`
    secret_version: Nullable<u32>,
    /// Until when the rotated secret signs beside the current one
    previous_secret_expires_at: Nullable<Time>,
    /// Your own pairs
    metadata: BTreeMap<String, String>,
    /// How many subscriptions it may have
    subscriptions_max: u32,
    /// How long what it has is kept, where that is not as for the instance
    retention: RetentionView,
    /// Deliveries per second to all its subscriptions together; null: as the instance has it
    rate_limit: Nullable<u32>,
    created_at: Time,
    updated_at: Time,
}

impl Attributes for TenantAttributes {
    const TYPE: &'static str = "tenant";
    const NAME: &'static str = "Tenant";
    const ONE: &'static str = "The tenant";
    const PAGE: &'static str = "A page of tenants";
}

/// Days that things of the tenant are kept, counted from the last delivery's final state; null: as the instance keeps them
#[derive(Debug, Serialize, Object)]
#[oai(rename = "TenantRetention")]
struct RetentionView {
    /// Of the data of events, and what was sent
    payload_days: Nullable<u32>,
    /// Of all else of events, and deliveries
    metadata_days: Nullable<u32>,
}

/// What changes of a tenant's retention: an absent field stays, null is back to what the instance has
#[derive(Default, Object)]
#[oai(deny_unknown_fields, rename = "ChangeTenantRetention")]
struct ChangeRetention {
    /// Of the data of events, and what was sent; not more than the others
    #[oai(nullable, validator(minimum(value = "1"), maximum(value = "36500")))]
    payload_days: MaybeUndefined<i64>,
    /// Of all else of events, and deliveries
    #[oai(nullable, validator(minimum(value = "1"), maximum(value = "36500")))]
    metadata_days: MaybeUndefined<i64>,
}

impl Wire for ChangeRetention {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { payload_days: fields.take("payload_days"), metadata_days: fields.take("metadata_days") }
    }
}

impl Scalar for ChangeRetention {
    const EXPECTED: &'static str = "an object";

    fn from_raw(value: &RawValue, pointer: &str, findings: &mut Findings) -> Option<Self> {
        nested(value, pointer, findings)
    }
}

/// What a tenant is made from
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct CreateTenant {
    #[oai(validator(min_length = 1, max_length = 128))]
    name: String,
    /// Your own id for it; not `default`, `system` or `tnt_…`
    #[oai(nullable, validator(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._:-]+$"))]
    external_id: MaybeUndefined<String>,
    /// How deliveries look: `standard` (default), `mage`, `marea` or `agentmessage`
    profile: Option<ProfileText>,
    /// Your own brand in the names of headers, such as `X-Acme-`: it replaces `X-Webhook-` of profile `mage`, `X-Marea-`
    /// of `marea` and `X-AmCore-` of `agentmessage`, in all deliveries of the tenant. Letters, digits and `-`
    #[oai(nullable, validator(min_length = 2, max_length = 32, pattern = "^[A-Za-z][A-Za-z0-9-]*-$"))]
    header_prefix: MaybeUndefined<String>,
    /// Your own pairs: at most 50, names of 64 and values of 512 characters
    #[oai(nullable)]
    metadata: MaybeUndefined<BTreeMap<String, String>>,
    /// How many subscriptions it may have (default 50)
    #[oai(validator(minimum(value = "0"), maximum(value = "1000000")))]
    subscriptions_max: Option<i64>,
    /// How long what it has is kept; null or absent: as the instance keeps it
    #[oai(nullable)]
    retention: MaybeUndefined<ChangeRetention>,
    /// Deliveries per second to all its subscriptions together; null or absent: as the instance has it
    /// (`rate_limits.deliveries`)
    #[oai(nullable, validator(minimum(value = "1"), maximum(value = "1000000")))]
    rate_limit: MaybeUndefined<i64>,
}

impl Wire for CreateTenant {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            name: fields.take("name"),
            external_id: fields.take("external_id"),
            profile: fields.take("profile"),
            header_prefix: fields.take("header_prefix"),
            metadata: fields.take("metadata"),
            subscriptions_max: fields.take("subscriptions_max"),
            retention: fields.take("retention"),
            rate_limit: fields.take("rate_limit"),
        }
    }
}

/// What changes: an absent field stays, null clears
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct UpdateTenant {
    #[oai(validator(min_length = 1, max_length = 128))]
    name: Option<String>,
    /// Your own id for it; not `default`, `system` or `tnt_…`
    #[oai(nullable, validator(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._:-]+$"))]
    external_id: MaybeUndefined<String>,
    /// How deliveries of new subscriptions look: `standard`, `mage`, `marea` or `agentmessage`
    profile: Option<ProfileText>,
    /// Your own brand in the names of headers, such as `X-Acme-`: it replaces `X-Webhook-` of profile `mage`, `X-Marea-`
    /// of `marea` and `X-AmCore-` of `agentmessage`, in all deliveries from now on. Receivers look headers up by name:
    /// tell them before
    #[oai(nullable, validator(min_length = 2, max_length = 32, pattern = "^[A-Za-z][A-Za-z0-9-]*-$"))]
    header_prefix: MaybeUndefined<String>,
    /// Replaces all pairs
    #[oai(nullable)]
    metadata: MaybeUndefined<BTreeMap<String, String>>,
    /// How many subscriptions it may have
    #[oai(validator(minimum(value = "0"), maximum(value = "1000000")))]
    subscriptions_max: Option<i64>,
    /// How long what it has is kept; null: as the instance keeps it
    #[oai(nullable)]
    retention: MaybeUndefined<ChangeRetention>,
    /// Deliveries per second to all its subscriptions together; null: as the instance has it (`rate_limits.deliveries`)
    #[oai(nullable, validator(minimum(value = "1"), maximum(value = "1000000")))]
    rate_limit: MaybeUndefined<i64>,
}

impl Wire for UpdateTenant {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            name: fields.take("name"),
            external_id: fields.take("external_id"),
            profile: fields.take("profile"),
            header_prefix: fields.take("header_prefix"),
            metadata: fields.take("metadata"),
            subscriptions_max: fields.take("subscriptions_max"),
            retention: fields.take("retention"),
            rate_limit: fields.take("rate_limit"),
        }
    }
}

/// How a tenant's secret is replaced
#[derive(Object)]
#[oai(deny_unknown_fields, rename = "RotateTenantSecret")]
struct RotateSecret {
    /// How long the old secret signs beside the new one, in deliveries that can carry both signatures (default 300; 0: it
    /// stops at once)
    #[oai(validator(minimum(value = "0"), maximum(value = "604800")))]
    overlap_seconds: Option<i64>,
}

impl Wire for RotateSecret {
    const IS_BODY_REQUIRED: bool = false;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { overlap_seconds: fields.take("overlap_seconds") }
    }
}

struct TenantList(Numbered);

impl Parameters for TenantList {
    fn documented() -> Vec<Parameter> {
        Numbered::documented()
    }

    fn read(query: &mut Params) -> Self {
        Self(Numbered::read(query))
    }
}

pub struct TenantsApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1/tenants", tag = "Tag::Tenants")]
impl TenantsApi {
    /// Create a tenant
    #[oai(path = "/", method = "post", operation_id = "tenants.create")]
    async fn create(
        &self,
        caller: Caller<OfInstance<scope::TenantsWrite>>,
        body: Body<CreateTenant>,
    ) -> Result<Answer<One<TenantAttributes>, 201>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |memory| {
            let (wire, findings) = body.read()?;
            let tenant = new_tenant(wire, findings, &self.app)?;
            let render = |made: &Tenant| {
                answer(StatusCode::CREATED, made, false).header("location", format!("/v1/tenants/{}", made.id))
            };
            let made = self.app.store.create_tenant(tenant, memory.keep(render)).await.map_err(refused)?;
            Ok(render(&made))
        })
        .await
        .map(Into::into)
    }

    /// List tenants
    #[oai(path = "/", method = "get", operation_id = "tenants.list")]
    async fn list(
        &self,
        caller: Caller<scope::TenantsRead>,
        query: Query<TenantList>,
    ) -> Result<Answer<Listed<TenantAttributes>, 200>, Refusal> {
        let Query(TenantList(page)) = query;
        let is_visible = |entry: &&Arc<TenantEntry>| caller.actor.tenant().is_none_or(|own| own == entry.tenant.id);
        let rows: Vec<_> = caller.catalogue.tenants().filter(is_visible).collect();
        let page = page.cut(&caller, rows, |entry| {
            ResourceObject::new(entry.tenant.id.to_string(), attributes(&entry.tenant, false))
        });
        Ok(Reply::json(StatusCode::OK, &page).into())
    }

    /// Get a tenant
    ///
    /// By its id, or by its `external_id`.
    #[oai(path = "/:id", method = "get", operation_id = "tenants.get")]
    async fn get(
        &self,
        caller: Caller<scope::TenantsRead>,
        id: Path<String>,
    ) -> Result<Answer<One<TenantAttributes>, 200>, Refusal> {
        Ok(answer(StatusCode::OK, &find(&caller, &id)?.tenant, false).into())
    }

    /// Change a tenant
    ///
    /// Only what is sent changes. The same as PATCH.
    #[oai(path = "/:id", method = "put", operation_id = "tenants.put")]
    async fn put(
        &self,
        caller: Caller<OfInstance<scope::TenantsWrite>>,
        id: Path<String>,
        body: Body<UpdateTenant>,
    ) -> Result<Answer<One<TenantAttributes>, 200>, Refusal> {
        self.change(&caller, &id, &body).await
    }

    /// Change a tenant
    ///
    /// Only what is sent changes.
    #[oai(path = "/:id", method = "patch", operation_id = "tenants.update")]
    async fn update(
        &self,
        caller: Caller<OfInstance<scope::TenantsWrite>>,
        id: Path<String>,
        body: Body<UpdateTenant>,
    ) -> Result<Answer<One<TenantAttributes>, 200>, Refusal> {
        self.change(&caller, &id, &body).await
    }

    /// Delete a tenant
    ///
    /// Its keys end at once and its `external_id` is free again; its data is erased in the background. `default` and
    /// `system` stay.
    #[oai(path = "/:id", method = "delete", operation_id = "tenants.delete")]
    async fn delete(
        &self,
        caller: Caller<OfInstance<scope::TenantsWrite>>,
        id: Path<String>,
    ) -> Result<Answer<(), 204>, Refusal> {
        let entry = find(&caller, &id)?;
        if entry.tenant.is_permanent() {
            return Err(Ground::InvalidState(Obstacle::PermanentTenant).into());
        }
        let expected = IfMatch::of(&caller).expect(entry.tenant.revision)?;
        self.app.store.delete_tenant(entry.tenant.id, expected).await?;
        Ok(Reply::empty(StatusCode::NO_CONTENT).into())
    }

    /// Replace the secret of a tenant
    ///
    /// One secret for all its subscriptions with `signing: tenant`; the first rotation makes it, if nothing did before. The
    /// old one stays valid for 5 minutes unless the body says otherwise. Only this answer shows the secret. A key that is
    /// bound to a tenant may ask this of its own, unless it is restricted.
    #[oai(path = "/:id/rotate-secret", method = "post", operation_id = "tenants.rotate_secret")]
    async fn rotate_secret(
        &self,
        caller: Caller<OfTenant<scope::TenantsWrite>>,
        id: Path<String>,
        body: Body<RotateSecret>,
    ) -> Result<Answer<One<TenantAttributes>, 200>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |memory| {
            let entry = find(&caller, &id)?;
            let (RotateSecret { overlap_seconds }, mut findings) = body.read()?;
            let overlap = check_overlap(overlap_seconds, &mut findings).unwrap_or(SECRET_OVERLAP_DEFAULT);
            findings.finish()?;
            let render =
                |made: &Tenant| answer(StatusCode::OK, made, true).shows_secret_of(SecretOwner::Tenant(made.id));
            let made = rotate_secret(&caller, entry.tenant.id, overlap, memory.keep(render)).await?;
            Ok(render(&made))
        })
        .await
        .map(Into::into)
    }
}

impl TenantsApi {
    async fn change(
        &self,
        call: &Call,
        id: &str,
        body: &Body<UpdateTenant>,
    ) -> Result<Answer<One<TenantAttributes>, 200>, Refusal> {
        let entry = find(call, id)?;
        let (wire, mut findings) = body.read()?;
        let UpdateTenant {
            name,
            external_id,
            profile,
            header_prefix,
            metadata,
            subscriptions_max,
            retention,
            rate_limit,
        } = wire;
        if let Some(name) = &name {
            check_name(name, &mut findings);
        }
        let external_id = check_external_id(external_id, &mut findings);
        let profile = check_profile(profile, &mut findings);
        let header_prefix = check_header_prefix(header_prefix, Some(&entry), &mut findings);
        if let Some(metadata) = metadata.value() {
            check_metadata(metadata, &mut findings);
        }
        let subscriptions_max = check_subscriptions_max(subscriptions_max, &mut findings);
        let retention = check_retention(retention, entry.tenant.retention, &self.app, &mut findings);
        let rate_limit = check_rate_limit(rate_limit, &mut findings);
        findings.finish()?;
        let if_match = IfMatch::of(call);
        let change: Edit<Tenant> = Box::new(move |tenant| {
            if_match.check(tenant.revision)?;
            tenant.retention = retention.unwrap_or(tenant.retention);
            tenant.rate_limit = rate_limit.unwrap_or(tenant.rate_limit);
            if let Some(name) = name {
                tenant.name = name;
            }
            match external_id {
                MaybeUndefined::Undefined => {}
                MaybeUndefined::Null => tenant.external_id = None,
                MaybeUndefined::Value(external_id) => tenant.external_id = Some(external_id),
            }
            if let Some(profile) = profile {
                tenant.profile = profile;
            }
            match header_prefix {
                MaybeUndefined::Undefined => {}
                MaybeUndefined::Null => tenant.header_prefix = None,
                MaybeUndefined::Value(prefix) => tenant.header_prefix = Some(prefix),
            }
            match metadata {
                MaybeUndefined::Undefined => {}
                MaybeUndefined::Null => tenant.metadata = Metadata::new(),
                MaybeUndefined::Value(pairs) => tenant.metadata = pairs,
            }
            if let Some(subscriptions_max) = subscriptions_max {
                tenant.subscriptions_max = subscriptions_max;
            }
            Ok(())
        });
        let changed = self.app.store.update_tenant(entry.tenant.id, change, None).await.map_err(refused)?;
        Ok(answer(StatusCode::OK, &changed, false).into())
    }
}

fn refused(error: StoreError) -> Refusal {
    match error {
        StoreError::AlreadyExists => Refusal::at(Ground::TenantIdTaken, Source::Pointer("/external_id".to_owned())),
        error => error.into(),
    }
}

/// Gives a tenant a new secret; the last one goes on signing beside it for as long as `overlap`. Only for whoever has all of it
/// (see `auth::OfTenant`).
pub async fn rotate_secret(
    call: &Call,
    id: TenantId,
    overlap: Duration,
    remember: Option<Remember<Tenant>>,
) -> Result<Tenant, Refusal> {
    let app = &call.visit.app;
    let (secret, now) = (Secret::generate(&mut rand::rng()), app.clock.now());
    let change: Edit<Tenant> = Box::new(move |tenant| {
        tenant.rotate_secret(secret, overlap, now);
        Ok(())
    });
    Ok(app.store.update_tenant(id, change, remember).await?)
}

/// A tenant that the caller's key may see.
fn find(call: &Call, id: &str) -> Result<Arc<TenantEntry>, Refusal> {
    let is_visible = |entry: &Arc<TenantEntry>| call.actor.tenant().is_none_or(|own| own == entry.tenant.id);
    find_tenant(&call.catalogue, id).filter(is_visible).ok_or_else(|| Refusal::not_found(THING, id))
}

fn new_tenant(wire: CreateTenant, mut findings: Findings, app: &App) -> Result<Tenant, Refusal> {
    let CreateTenant { name, external_id, profile, header_prefix, metadata, subscriptions_max, retention, rate_limit } =
        wire;
    let now = app.clock.now();
    check_name(&name, &mut findings);
    let external_id = check_external_id(external_id, &mut findings);
    let profile = check_profile(profile, &mut findings);
    let header_prefix = check_header_prefix(header_prefix, None, &mut findings);
    let metadata = metadata.take().unwrap_or_default();
    check_metadata(&metadata, &mut findings);
    let subscriptions_max = check_subscriptions_max(subscriptions_max, &mut findings);
    let retention = check_retention(retention, OwnRetention::default(), app, &mut findings);
    let rate_limit = check_rate_limit(rate_limit, &mut findings);
    findings.finish()?;
    Ok(Tenant {
        // The store assigns it.
        id: TenantId::from_u128(0),
        external_id: external_id.take(),
        name,
        profile: profile.unwrap_or_default(),
        header_prefix: header_prefix.take(),
        secret: None,
        metadata,
        subscriptions_max: subscriptions_max.unwrap_or(SUBSCRIPTIONS_MAX_DEFAULT),
        retention: retention.unwrap_or_default(),
        rate_limit: rate_limit.flatten(),
        revision: 1,
        created_at: now,
        updated_at: now,
    })
}

fn check_name(name: &str, findings: &mut Findings) {
    if !findings.is_sound("name") {
        return;
    }
    if name.is_empty() {
        findings.add(Rule::TooShort { min: 1 }, "/name");
    } else if name.chars().count() > NAME_LENGTH_MAX {
        findings.add(Rule::TooLong { max: NAME_LENGTH_MAX }, "/name");
    }
}

fn check_external_id(text: MaybeUndefined<String>, findings: &mut Findings) -> MaybeUndefined<ExternalId> {
    let text = match text {
        MaybeUndefined::Undefined => return MaybeUndefined::Undefined,
        MaybeUndefined::Null => return MaybeUndefined::Null,
        MaybeUndefined::Value(text) => text,
    };
    match text.parse::<ExternalId>() {
        Ok(external_id) if !external_id.is_reserved_for_tenants() => MaybeUndefined::Value(external_id),
        Ok(_) => {
            let expected = "another id: default, system and tnt_… mean something else";
            findings.add(Rule::InvalidFormat { expected }, "/external_id");
            MaybeUndefined::Undefined
        }
        Err(_) => {
            findings.add(Rule::InvalidFormat { expected: EXTERNAL_ID_EXPECTED }, "/external_id");
            MaybeUndefined::Undefined
        }
    }
}

/// `entry` is the tenant that is changed.
fn check_header_prefix(
    text: MaybeUndefined<String>,
    entry: Option<&TenantEntry>,
    findings: &mut Findings,
) -> MaybeUndefined<HeaderPrefix> {
    let text = match text {
        MaybeUndefined::Undefined => return MaybeUndefined::Undefined,
        MaybeUndefined::Null => return MaybeUndefined::Null,
        MaybeUndefined::Value(text) => text,
    };
    let Ok(prefix) = text.parse::<HeaderPrefix>() else {
        findings.add(Rule::InvalidFormat { expected: PREFIX_EXPECTED }, "/header_prefix");
        return MaybeUndefined::Undefined;
    };
    let mut subscriptions = entry.into_iter().flat_map(TenantEntry::subscriptions);
    if subscriptions.any(|subscription| subscription.headers.keys().any(|name| prefix.takes(name))) {
        let expected = "another prefix: a subscription has a custom header of a name that begins with it";
        findings.add(Rule::InvalidFormat { expected }, "/header_prefix");
    }
    MaybeUndefined::Value(prefix)
}

fn check_subscriptions_max(value: Option<i64>, findings: &mut Findings) -> Option<u32> {
    let value = value?;
    let max = SUBSCRIPTIONS_MAX_CEILING;
    match u32::try_from(value) {
        Ok(value) if value <= max => Some(value),
        _ => {
            findings.add(Rule::OutOfRange { min: 0, max: i64::from(max), unit: "" }, "/subscriptions_max");
            None
        }
    }
}

/// None: nothing is to change.
fn check_rate_limit(wire: MaybeUndefined<i64>, findings: &mut Findings) -> Option<Option<NonZeroU32>> {
    let limit = match wire {
        MaybeUndefined::Undefined => return None,
        MaybeUndefined::Null => return Some(None),
        MaybeUndefined::Value(limit) => limit,
    };
    let fit = u32::try_from(limit).ok().filter(|limit| *limit <= RATE_CEILING).and_then(NonZeroU32::new);
    if fit.is_none() {
        findings.add(
            Rule::OutOfRange { min: 1, max: i64::from(RATE_CEILING), unit: "deliveries per second" },
            "/rate_limit",
        );
    }
    Some(fit)
}

/// `known` is what the tenant has so far. None: nothing is to change.
fn check_retention(
    wire: MaybeUndefined<ChangeRetention>,
    known: OwnRetention,
    app: &App,
    findings: &mut Findings,
) -> Option<OwnRetention> {
    let ChangeRetention { payload_days, metadata_days } = match wire {
        MaybeUndefined::Undefined => return None,
        MaybeUndefined::Null => return Some(OwnRetention::default()),
        MaybeUndefined::Value(change) => change,
    };
    let mut days = |wire, known, pointer| match wire {
        MaybeUndefined::Undefined => known,
        MaybeUndefined::Null => None,
        MaybeUndefined::Value(days) => {
            let fit = u32::try_from(days).ok().filter(|days| (1..=DAYS_CEILING).contains(days));
            if fit.is_none() {
                findings.add(Rule::OutOfRange { min: 1, max: i64::from(DAYS_CEILING), unit: "" }, pointer);
            }
            fit
        }
    };
    let own = OwnRetention {
        payload_days: days(payload_days, known.payload_days, "/retention/payload_days"),
        metadata_days: days(metadata_days, known.metadata_days, "/retention/metadata_days"),
    };
    let metadata_days = own.metadata_days.unwrap_or(app.store.retention().metadata_days);
    if own.payload_days.is_some_and(|days| days > metadata_days) && findings.is_sound("retention") {
        let expected = "such that payloads are not kept for longer than metadata";
        findings.add(Rule::InvalidFormat { expected }, "/retention/payload_days");
    }
    Some(own)
}

fn attributes(tenant: &Tenant, shows_secret: bool) -> TenantAttributes {
    let Tenant {
        id: _,
        external_id,
        name,
        profile,
        header_prefix,
        secret,
        metadata,
        subscriptions_max,
        retention: OwnRetention { payload_days, metadata_days },
        rate_limit,
        revision: _,
        created_at,
        updated_at,
    } = tenant;
    let previous = secret.as_ref().and_then(|secret| secret.previous.as_ref());
    let shown = secret.as_ref().filter(|_| shows_secret);
    TenantAttributes {
        external_id: external_id.as_ref().map(ToString::to_string).into(),
        name: name.clone(),
        profile: ProfileName(profile.name()),
        header_prefix: header_prefix.as_ref().map(|prefix| prefix.as_str().to_owned()).into(),
        secret: shown.map(|TenantSecret { secret, .. }| profile.show_secret(secret)),
        secret_version: secret.as_ref().map(|secret| secret.version).into(),
        previous_secret_expires_at: previous.map(|previous| Time(previous.expires_at)).into(),
        metadata: metadata.clone(),
        subscriptions_max: *subscriptions_max,
        retention: RetentionView { payload_days: (*payload_days).into(), metadata_days: (*metadata_days).into() },
        rate_limit: rate_limit.map(NonZeroU32::get).into(),
        created_at: Time(*created_at),
        updated_at: Time(*updated_at),
    }
}

fn answer(status: StatusCode, tenant: &Tenant, shows_secret: bool) -> Reply {
    Reply::json(status, &One::new(tenant.id.to_string(), attributes(tenant, shows_secret)))
        .header("etag", etag::of(tenant.revision))
}
