//! Who calls, what they may do, and for which tenant: checked before an operation runs or an answer is repeated.
//!
//! What is secret is compared in constant time, everywhere:
//!
//! | what | how |
//! | --- | --- |
//! | keys | SHA-256 of the text. `KeyHash` compares by `subtle`; a look-up goes by the hash, whose bytes tell nothing of the text |
//! | a key that was good lately | its text, by `subtle` (see [`super::keyring`]) |
//! | tokens of sessions, invitations, portal links and their sessions | SHA-256 too: `TokenHash` compares by `subtle` |
//! | codes of an authenticator app | `totp-rs`, in constant time (`domain::totp`) |
//! | passwords | argon2id, whose crate compares in constant time; an unknown user costs one as well (see [`super::passwords`]) |
//! | the header against other sites | no secret: that a page can set it at all is what counts (see [`super::browser`]) |
//! | what decrypts | a Poly1305 tag, in constant time (`store::crypt`) |

use std::marker::PhantomData;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;

use ipnet::IpNet;
use poem::http::uri::PathAndQuery;
use poem::http::{HeaderMap, HeaderName, Method, header};
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::App;
use super::browser;
use super::compat;
use super::failures::Verdict;
use super::limit::{Charge, Over, whole_seconds};
use super::problem::{Ground, Refusal, Source};
use super::visit::Visit;
use crate::domain::actor::{Actor, ActorKind};
use crate::domain::id::{KeyId, TenantId, UserId};
use crate::domain::key::{ApiKey, KeyHash, KeyKind, Preset, RateLimits, Scope, may_be_a_key};
use crate::domain::portal_link::BEARER_PREFIX;
use crate::domain::restriction::Restriction;
use crate::domain::session::{Session, SignedIn};
use crate::domain::subscription::{Owner, Subscription};
use crate::domain::tenant::Tenant;
use crate::domain::time::Timestamp;
use crate::domain::token::TokenHash;
use crate::domain::violation::{Rule, Violation};
use crate::store::catalogue::TenantEntry;
use crate::store::{Catalogue, Reach, Whose};

const TENANT: HeaderName = HeaderName::from_static("waxwing-tenant");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What operations read besides the body.
const HEADERS_KEPT: [HeaderName; 3] =
    [header::IF_MATCH, HeaderName::from_static("idempotency-key"), HeaderName::from_static("last-event-id")];

/// A call that may proceed: its actor is let in, has the scope `S`, and its tenant exists.
pub struct Caller<S> {
    call: Call,
    scope: PhantomData<fn() -> S>,
}

/// What an operation knows of its caller.
pub struct Call {
    pub visit: Arc<Visit>,
    pub actor: Actor,
    /// As of the moment when the call came.
    pub catalogue: Arc<Catalogue>,
    tenant: Arc<TenantEntry>,
    /// Whether the caller named the tenant, and did not just get the default one.
    pub names_tenant: bool,
    pub method: Method,
    pub path_and_query: PathAndQuery,
    /// Only those of [`HEADERS_KEPT`].
    pub headers: HeaderMap,
}

impl<S> Deref for Caller<S> {
    type Target = Call;

    fn deref(&self) -> &Call {
        &self.call
    }
}

/// What an operation asks of its caller. One type for each scope, so that the document can show it.
pub trait Needs: Send + Sync + 'static {
    /// None: anybody who is let in. The operation says itself what it is about.
    const SCOPE: Option<Scope>;
    /// How much the caller must have of what there is, besides the scope.
    const BREADTH: Breadth = Breadth::Part;
    /// How the document calls the scheme together with the scope, if there is one; `document` takes the two apart.
    const SECURITY: &'static str;
    /// How the document says who may do it to others, when it is open to anybody for oneself.
    const SECURITY_FOR_OTHERS: Option<&'static str> = None;
    /// None: the operation charges by itself, since it has to count first.
    const CHARGE: Option<Charge> = Some(Charge::Management);
}

/// How much of what there is a caller has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breadth {
    /// What its key is restricted to, at least.
    Part,
    /// All of its tenant: a restricted key has less.
    Tenant,
    /// All tenants.
    Instance,
}

/// What only those may ask who have all of their tenant.
pub struct OfTenant<S>(PhantomData<fn() -> S>);

impl<S: Needs> Needs for OfTenant<S> {
    const SCOPE: Option<Scope> = S::SCOPE;
    const BREADTH: Breadth = Breadth::Tenant;
    const SECURITY: &'static str = S::SECURITY;
    const CHARGE: Option<Charge> = S::CHARGE;
}

/// What only those may ask who have the whole instance.
pub struct OfInstance<S>(PhantomData<fn() -> S>);

impl<S: Needs> Needs for OfInstance<S> {
    const SCOPE: Option<Scope> = S::SCOPE;
    const BREADTH: Breadth = Breadth::Instance;
    const SECURITY: &'static str = S::SECURITY;
    const CHARGE: Option<Charge> = S::CHARGE;
}

/// What everybody may ask for oneself, and who has the scope and the whole instance for anybody: see [`Caller::is_about`].
pub struct ForOthers<S>(PhantomData<fn() -> S>);

impl<S: Scoped> Needs for ForOthers<S> {
    const SCOPE: Option<Scope> = None;
    const SECURITY: &'static str = scope::Anybody::SECURITY;
    const SECURITY_FOR_OTHERS: Option<&'static str> = Some(S::FOR_OTHERS);
}

/// A scope by itself.
pub trait Scoped: Needs {
    const OWN: Scope;
    const FOR_OTHERS: &'static str;
}

macro_rules! needs {
    ($($scope:ident $name:literal),* $(,)?) => {
        pub mod scope {
            use super::*;
            $(
                pub struct $scope;
                impl Needs for $scope {
                    const SCOPE: Option<Scope> = Some(Scope::$scope);
                    const SECURITY: &'static str = concat!("ApiKey ", $name);
                }
                impl Scoped for $scope {
                    const OWN: Scope = Scope::$scope;
                    const FOR_OTHERS: &'static str = concat!("x-scope-for-others ", $name);
                }
            )*

            /// Anybody who is let in.
            pub struct Anybody;
            impl Needs for Anybody {
                const SCOPE: Option<Scope> = None;
                const SECURITY: &'static str = "ApiKey ";
            }

            /// `events:write`, charged by the number of events.
            pub struct Publishing;
            impl Needs for Publishing {
                const SCOPE: Option<Scope> = Some(Scope::EventsWrite);
                const SECURITY: &'static str = "ApiKey events:write";
                const CHARGE: Option<Charge> = None;
            }

            /// `subscriptions:write`, charged when it is refused: what is answered was sent by this side.
            pub struct Listening;
            impl Needs for Listening {
                const SCOPE: Option<Scope> = Some(Scope::SubscriptionsWrite);
                const SECURITY: &'static str = "ApiKey subscriptions:write";
                const CHARGE: Option<Charge> = None;
            }
        }
    };
}

needs! {
    SubscriptionsRead "subscriptions:read",
    SubscriptionsWrite "subscriptions:write",
    EventsRead "events:read",
    DeliveriesRead "deliveries:read",
    DeliveriesWrite "deliveries:write",
    EventTypesRead "event_types:read",
    EventTypesWrite "event_types:write",
    TenantsRead "tenants:read",
    TenantsWrite "tenants:write",
    KeysRead "keys:read",
    KeysWrite "keys:write",
    SettingsRead "settings:read",
    SettingsWrite "settings:write",
    AuditRead "audit:read",
    UsersRead "users:read",
    UsersWrite "users:write",
    BackupsRead "backups:read",
    BackupsWrite "backups:write",
}

impl<'a, S: Needs> ApiExtractor<'a> for Caller<S> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(
            "ApiKey",
            MetaSecurityScheme {
                ty: "http",
                description: Some(
                    "An API key, as `Authorization: Bearer <key>`. `Authorization: <key>` and `X-API-Key: <key>` \
                     work as well.",
                ),
                name: None,
                key_in: None,
                scheme: Some("bearer"),
                bearer_format: None,
                flows: None,
                openid_connect_url: None,
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        let breadth = match S::BREADTH {
            Breadth::Part => None,
            Breadth::Tenant => Some("x-reach tenant"),
            Breadth::Instance => Some("x-reach instance"),
        };
        [S::SECURITY].into_iter().chain(breadth).chain(S::SECURITY_FOR_OTHERS).collect()
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self::admit(request)?)
    }
}

impl<S: Needs> Caller<S> {
    pub fn admit(request: &Request) -> Result<Self, Refusal> {
        let call = Call::admit(request, S::SCOPE, S::CHARGE)?;
        match S::BREADTH {
            Breadth::Part => {}
            Breadth::Tenant => call.unrestricted_key_only()?,
            Breadth::Instance => call.instance_key_only()?,
        }
        Ok(Self { call, scope: PhantomData })
    }
}

impl<S: Scoped> Caller<ForOthers<S>> {
    /// Refuses who asks about another user and may not.
    pub fn is_about(&self, user: Option<UserId>) -> Result<(), Refusal> {
        if user.is_some() && self.actor.user() == user {
            return Ok(());
        }
        self.require(S::OWN)?;
        self.instance_key_only()
    }
}

impl Call {
    fn admit(request: &Request, scope: Option<Scope>, charge: Option<Charge>) -> Result<Self, Refusal> {
        let visit = Visit::of(request).clone();
        let app = &visit.app;
        let catalogue = app.store.catalogue();
        let now = app.clock.now();
        let actor = match authenticate(&visit, &catalogue, request, now) {
            Ok(actor) => actor,
            Err(ground) => return Err(refuse_credentials(app, visit.client, ground, now)),
        };
        app.store.actor_used(actor.id(), now);
        let _ = visit.actor.set(actor.clone());
        if let Some(charge) = charge {
            charge_actor(&visit, &catalogue, &actor, charge)?;
        }
        let (tenant, names_tenant) = tenant_of(&catalogue, &actor, request.headers())?;
        let _ = visit.tenant.set(tenant.tenant.id);
        if let Some(scope) = scope {
            require(&actor, scope)?;
        }
        let path_and_query = request.uri().path_and_query().cloned();
        Ok(Self {
            actor,
            catalogue,
            tenant,
            names_tenant,
            method: request.method().clone(),
            path_and_query: path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/")),
            headers: kept(request.headers()),
            visit,
        })
    }

    pub fn tenant(&self) -> &Tenant {
        &self.tenant.tenant
    }

    pub fn tenant_entry(&self) -> &TenantEntry {
        &self.tenant
    }

    /// Refuses who lacks the scope.
    pub fn require(&self, scope: Scope) -> Result<(), Refusal> {
        require(&self.actor, scope)
    }

    pub fn is_of_the_instance(&self) -> bool {
        self.actor.tenant().is_none()
    }

    /// What the caller sees of the tenant.
    pub fn reach(&self) -> Reach {
        Reach { tenant: self.tenant().id, key: self.actor.restricted_key() }
    }

    /// Whose things a list holds: what the caller sees of the tenant, or those of all tenants, for an instance key.
    pub fn whose(&self, is_of_the_instance: bool) -> Result<Whose, Refusal> {
        if !is_of_the_instance {
            return Ok(self.reach().into());
        }
        self.instance_key_only().map(|()| Whose::Everyone)
    }

    pub fn sees(&self, subscription: &Subscription) -> bool {
        Whose::Of(self.reach()).holds(subscription)
    }

    /// The owner of the subscriptions that the caller makes.
    pub fn owner(&self) -> Owner {
        match self.reach().key {
            None => Owner::Tenant,
            Some(id) => Owner::Key { id, restriction: Box::new(self.actor.restriction().clone()) },
        }
    }

    /// Refuses who is bound to a tenant.
    pub fn instance_key_only(&self) -> Result<(), Refusal> {
        if self.is_of_the_instance() { Ok(()) } else { Err(Ground::InstanceKeyOnly(self.actor.kind()).into()) }
    }

    /// Refuses a key that sees only a part of its tenant.
    pub fn unrestricted_key_only(&self) -> Result<(), Refusal> {
        if self.reach().key.is_none() { Ok(()) } else { Err(Ground::UnrestrictedKeyOnly.into()) }
    }

    /// Charges a call that was not charged when it came.
    pub fn charge_call(&self) -> Result<(), Refusal> {
        charge_actor(&self.visit, &self.catalogue, &self.actor, Charge::Management)
    }

    /// Charges the events that a call publishes.
    pub fn charge_events(&self, events: usize) -> Result<(), Refusal> {
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        let charge = Charge::Publish(NonZeroU32::new(events).unwrap_or(NonZeroU32::MIN));
        charge_actor(&self.visit, &self.catalogue, &self.actor, charge)
    }
}

fn require(actor: &Actor, scope: Scope) -> Result<(), Refusal> {
    if actor.scopes().contains(scope) {
        return Ok(());
    }
    let (kind, is_read_only) = (actor.kind(), actor.is_read_only_for(scope));
    Err(if is_read_only { Ground::ReadOnlyKey(kind) } else { Ground::MissingScope(kind, scope) }.into())
}

fn charge_actor(visit: &Visit, catalogue: &Catalogue, actor: &Actor, charge: Charge) -> Result<(), Refusal> {
    if let Some(charged) = compat::charge(visit, catalogue, actor) {
        return charged;
    }
    let allowance = match visit.app.limits.charge(actor, charge, catalogue) {
        Ok(allowance) => allowance,
        Err(Over::Wait(wait, allowance)) => {
            let _ = visit.allowance.set(allowance);
            return Err(Refusal::new(Ground::RateLimited).retry_after(whole_seconds(wait).max(1)));
        }
        Err(Over::Burst(max)) => {
            return Err(Violation::at(Rule::BatchOverRate { max: max as usize }, "/events").into());
        }
    };
    if let Some(allowance) = allowance {
        let _ = visit.allowance.set(allowance);
    }
    Ok(())
}

fn kept(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in HEADERS_KEPT {
        for value in headers.get_all(&name) {
            kept.append(&name, value.clone());
        }
    }
    kept
}

/// `Authorization: Bearer <key>`, `Authorization: <key>` or `X-API-Key: <key>`.
pub fn key_text(headers: &HeaderMap) -> Option<&str> {
    let text =
        |name: HeaderName| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok()).map(str::trim);
    let authorization = text(header::AUTHORIZATION).map(|value| match value.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => key.trim(),
        _ => value,
    });
    authorization.filter(|key| !key.is_empty()).or_else(|| text(API_KEY).filter(|key| !key.is_empty()))
}

/// Who asks, by what the request brings. Each kind of credential has its look-up here: what stands in `Authorization` is
/// told apart by how it begins.
fn authenticate(visit: &Visit, catalogue: &Catalogue, request: &Request, now: Timestamp) -> Result<Actor, Ground> {
    let headers = request.headers();
    // The console speaks the own API, and a key that came along goes before the cookie.
    if visit.contract.is_none()
        && key_text(headers).is_none()
        && let Some(text) = browser::session_text(headers)
    {
        browser::refuse_other_sites(request, &visit.app.settings.trusted_proxies)?;
        return visit.app.actor_of_session(catalogue, text, now).ok_or(Ground::SessionExpired);
    }
    let text = compat::key_text(visit.contract, headers)?;
    if visit.contract.is_none() && text.starts_with(BEARER_PREFIX) {
        let link = catalogue.portal_link_by_bearer(&TokenHash::of(text)).ok_or(Ground::InvalidApiKey)?;
        return link.live_session(now).map(|_| Actor::Portal(link.clone())).ok_or(Ground::PortalSessionOver);
    }
    authenticate_key(visit, catalogue, text, now).map(Actor::Key)
}

impl App {
    fn actor_of_session(&self, catalogue: &Catalogue, text: &str, now: Timestamp) -> Option<Actor> {
        let session = catalogue.session_by_hash(&TokenHash::of(text))?;
        self.actor_in(catalogue, session, now)
    }

    /// None when the session is over, or whoever it is of is gone.
    pub(super) fn actor_in(&self, catalogue: &Catalogue, session: &Arc<Session>, now: Timestamp) -> Option<Actor> {
        let session = catalogue.session(session.id).filter(|session| !self.is_over(session, now))?.clone();
        match session.of {
            SignedIn::User(id) => Some(Actor::User { session, user: catalogue.user(id)?.clone() }),
            SignedIn::Key(hash) => {
                let key = self.key_of(catalogue, &hash)?.clone();
                check_alive(&key, now).ok()?;
                Some(Actor::KeyInSession { session, key })
            }
        }
    }

    pub(super) fn is_over(&self, session: &Session, now: Timestamp) -> bool {
        session.expires_at(self.store.session_last_used(session.id)) <= now
    }

    /// Also the one of the environment; revoked and expired ones as well.
    pub(super) fn key_of<'a>(&'a self, catalogue: &'a Catalogue, hash: &KeyHash) -> Option<&'a Arc<ApiKey>> {
        self.key_of_environment(hash).or_else(|| catalogue.key_by_hash(hash))
    }

    fn key_of_environment(&self, hash: &KeyHash) -> Option<&Arc<ApiKey>> {
        self.admin_key.as_ref().filter(|key| key.hash == *hash)
    }
}

/// A key of the whole instance that signs in at the console. A wrong one counts against its address, a right one
/// is charged as for any call.
pub fn instance_key(visit: &Visit, text: &str) -> Result<Arc<ApiKey>, Refusal> {
    let (app, now) = (&visit.app, visit.came_at);
    let key = authenticate_key(visit, &app.store.catalogue(), text.trim(), now)
        .map_err(|ground| refuse_credentials(app, visit.client, ground, now))?;
    charge_actor(visit, &app.store.catalogue(), &Actor::Key(Arc::clone(&key)), Charge::Management)?;
    if key.tenant.is_some() { Err(Ground::InstanceKeyOnly(ActorKind::Key).into()) } else { Ok(key) }
}

fn authenticate_key(visit: &Visit, catalogue: &Catalogue, text: &str, now: Timestamp) -> Result<Arc<ApiKey>, Ground> {
    let app = &visit.app;
    let known = app.keyring.hash_of(text);
    let hash = known.unwrap_or_else(|| KeyHash::of(text));
    // A typo is looked up nowhere. The text of the environment's key may look like anything.
    if known.is_none() && !may_be_a_key(text) && app.key_of_environment(&hash).is_none() {
        return Err(Ground::InvalidApiKey);
    }
    let key = app.key_of(catalogue, &hash).ok_or(Ground::InvalidApiKey)?.clone();
    check_alive(&key, now)?;
    if !compat::takes(visit.contract, key.kind) {
        return Err(Ground::InvalidApiKey);
    }
    if known.is_none() {
        app.keyring.remember(text, hash);
    }
    Ok(key)
}

/// Whether the key is good for anything.
fn check_alive(key: &ApiKey, now: Timestamp) -> Result<(), Ground> {
    if key.revoked_at.is_some() {
        return Err(Ground::KeyRevoked);
    }
    if key.expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Err(Ground::KeyExpired);
    }
    Ok(())
}

/// A wrong key counts against its address; no key at all is only told so, and so is a browser whose session ended.
fn refuse_credentials(app: &App, client: Option<IpAddr>, ground: Ground, now: Timestamp) -> Refusal {
    let is_no_guess = matches!(
        ground,
        Ground::MissingApiKey
            | Ground::InvalidAuthorizationFormat
            | Ground::SessionExpired
            | Ground::PortalSessionOver
            | Ground::CrossSiteRequest
    );
    if is_no_guess { ground.into() } else { refuse_guess(app, client, ground, now) }
}

/// Counts what may have been a guess; too many of them have to wait.
pub fn refuse_guess(app: &App, client: Option<IpAddr>, ground: Ground, now: Timestamp) -> Refusal {
    match client.map_or(Verdict::Tolerated, |client| app.failures.note(client, now)) {
        Verdict::Tolerated => ground.into(),
        Verdict::TooMany { wait } => Refusal::new(Ground::RateLimited).retry_after(whole_seconds(wait).max(1)),
    }
}

/// Whether the actor would be let in now, for an answer that goes on.
pub fn is_still_let_in(app: &App, catalogue: &Catalogue, actor: &Actor, now: Timestamp) -> bool {
    match actor {
        Actor::Portal(link) => catalogue.portal_link(link.id).is_some_and(|link| link.live_session(now).is_some()),
        Actor::Key(key) => app.key_of(catalogue, &key.hash).is_some_and(|key| check_alive(key, now).is_ok()),
        // The role may be another one by now.
        Actor::User { session, .. } | Actor::KeyInSession { session, .. } => {
            let now_is = app.actor_in(catalogue, session, now);
            now_is.is_some_and(|now_is| actor.scopes().is_subset_of(now_is.scopes()))
        }
    }
}

/// The key of `WAXWING_ADMIN_KEY`: full access to the instance, known only to this process.
pub fn admin_key(hash: KeyHash) -> ApiKey {
    ApiKey {
        id: KeyId::ENVIRONMENT,
        kind: KeyKind::Native,
        name: "WAXWING_ADMIN_KEY".to_owned(),
        hash,
        tenant: None,
        scopes: Preset::FullAccess.scopes(),
        preset: Some(Preset::FullAccess),
        restriction: Restriction::default(),
        rate_limits: RateLimits::default(),
        expires_at: None,
        revoked_at: None,
        created_at: Timestamp::default(),
    }
}

fn tenant_of(catalogue: &Catalogue, actor: &Actor, headers: &HeaderMap) -> Result<(Arc<TenantEntry>, bool), Refusal> {
    let unknown =
        |name: &str| Refusal::at(Ground::UnknownTenant { name: name.to_owned() }, Source::Header("Waxwing-Tenant"));
    let named = match headers.get(TENANT) {
        Some(value) => {
            let name = value.to_str().map_err(|_| unknown("?"))?;
            Some((name, find_tenant(catalogue, name).ok_or_else(|| unknown(name))?))
        }
        None => None,
    };
    match (actor.tenant(), named) {
        (Some(own), Some((name, tenant))) if tenant.tenant.id != own => Err(unknown(name)),
        (_, Some((_, tenant))) => Ok((tenant, true)),
        (own, None) => {
            let id = own.unwrap_or(TenantId::DEFAULT);
            // An actor's tenant can be deleted while the call is on its way.
            let tenant = catalogue.tenant(id).ok_or_else(|| unknown(&id.to_string()))?;
            Ok((tenant.clone(), own.is_some()))
        }
    }
}

/// By id, by external id, or one of the two names that always exist.
pub fn find_tenant(catalogue: &Catalogue, name: &str) -> Option<Arc<TenantEntry>> {
    let entry = match name {
        "default" => catalogue.tenant(TenantId::DEFAULT),
        "system" => catalogue.tenant(TenantId::SYSTEM),
        _ => match name.parse() {
            Ok(id) => catalogue.tenant(id),
            Err(_) => catalogue.tenant_by_external_id(&name.parse().ok()?),
        },
    };
    entry.cloned()
}

/// The address of the client: the peer's, or, when the peer is a trusted proxy, the right-most address in
/// `X-Forwarded-For` that is not one.
pub fn client_address(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(&address));
    let mut client = peer?.to_canonical();
    if !is_trusted(client) {
        return Some(client);
    }
    let forwarded: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    for text in forwarded.into_iter().rev() {
        if !is_trusted(client) {
            break;
        }
        // What a proxy wrote and we cannot read hides who is behind it: the proxy itself is the last one known.
        let Ok(address) = text.trim().parse::<IpAddr>() else { break };
        client = address.to_canonical();
    }
    Some(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed_about_who_is_behind_them() {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        for (peer, forwarded, expected) in [
            ("203.0.113.9", "", "203.0.113.9"),
            ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
            ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
            // Several hops, all of them ours.
            ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("10.0.0.1", "198.51.100.1, 10.0.0.3, 10.0.0.2", "198.51.100.1"),
            ("10.0.0.1", "198.51.100.1|10.0.0.2", "198.51.100.1"),
            ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
            // What the client wrote itself stands further left, whatever it pretends.
            ("10.0.0.1", "1.2.3.4, 198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "1.2.3.4, 10.0.0.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
            ("10.0.0.1", "1.2.3.4|198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "127.0.0.1, 198.51.100.1", "198.51.100.1"),
            ("10.0.0.1", "nonsense", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1, ", "10.0.0.1"),
            ("10.0.0.1", "198.51.100.1, nonsense, 10.0.0.2", "10.0.0.2"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("::ffff:10.0.0.1", "2001:db8::1", "2001:db8::1"),
            ("10.0.0.1", "::ffff:198.51.100.1, ::ffff:10.0.0.2", "198.51.100.1"),
            ("fd00::1", "2001:db8::1, fd00::2", "2001:db8::1"),
        ] {
            let mut headers = HeaderMap::new();
            // A proxy may add a line of its own.
            for line in forwarded.split('|').filter(|line| !line.is_empty()) {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            let client = client_address(Some(peer.parse().unwrap()), &headers, &trusted);
            assert_eq!(client, Some(expected.parse().unwrap()), "{peer} {forwarded}");
        }
    }

    #[test]
    fn a_key_is_read_from_each_of_its_three_places() {
        for (name, value, expected) in [
            ("authorization", "Bearer abc", Some("abc")),
            ("authorization", "bearer abc", Some("abc")),
            ("authorization", "abc", Some("abc")),
            ("authorization", "Basic abc", Some("Basic abc")),
            ("authorization", "", None),
            ("x-api-key", "abc", Some("abc")),
            ("x-other", "abc", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(key_text(&headers), expected, "{name}: {value}");
        }
    }
}
