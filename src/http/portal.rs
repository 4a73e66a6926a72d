//! `/v1/portal-links` and `/v1/portal-sessions`: how a tenant's own people get into the portal (contract 4.4).

use std::sync::Arc;
use std::time::Duration;

use poem::http::StatusCode;
use poem_openapi::param::Path;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::auth::{Call, Caller, OfTenant, refuse_guess, scope};
use super::body::{Body, Fields, Findings, Wire};
use super::browser::Guest;
use super::idempotency::{Fingerprint, once};
use super::keys::ScopeName;
use super::page::{Listed, Numbered, Parameter, Parameters, Params, Query};
use super::problem::{Ground, Refusal, Source};
use super::reply::{Answer, Attributes, Object as ResourceObject, One, Reply};
use super::value::{Nullable, Time};
use super::{App, Tag};
use crate::domain::actor::Actor;
use crate::domain::id::PortalLinkId;
use crate::domain::portal_link::{
    BEARER_PREFIX, LINK_SECONDS_DEFAULT, LINK_SECONDS_MAX, LINK_SECONDS_MIN, PortalLink, SESSION_SECONDS_DEFAULT,
    SESSION_SECONDS_MAX, SESSION_SECONDS_MIN,
};
use crate::domain::setting::Portal;
use crate::domain::time::Timestamp;
use crate::domain::token::{Token, TokenHash};
use crate::domain::violation::Rule;
use crate::store::StoreError;

const THING: &str = "Portal link";
/// What a request is in that came with a bearer.
const SESSION: &str = "Session";

/// A link into the portal, as it stands
#[derive(Debug, Serialize, Object)]
struct PortalLinkAttributes {
    /// Only in the answer of create
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    tenant_id: String,
    /// Whoever follows it can look, and change nothing
    read_only: bool,
    /// Until when it can be followed
    expires_at: Time,
    /// When it was: it works once
    used_at: Nullable<Time>,
    /// When the session ends that was made from it; null before
    session_expires_at: Nullable<Time>,
    revoked_at: Nullable<Time>,
    created_at: Time,
}

impl Attributes for PortalLinkAttributes {
    const TYPE: &'static str = "portal_link";
    const NAME: &'static str = "PortalLink";
    const ONE: &'static str = "The link";
    const PAGE: &'static str = "A page of links";
}

/// What the link leads to
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct CreatePortalLink {
    /// Whoever follows it can look, and change nothing (default false)
    read_only: Option<bool>,
    /// How long it can be followed (default 3600)
    #[oai(validator(minimum(value = "300"), maximum(value = "86400")))]
    expires_in_seconds: Option<i64>,
    /// How long the session lives that is made from it (default 3600)
    #[oai(validator(minimum(value = "300"), maximum(value = "43200")))]
    session_seconds: Option<i64>,
}

impl Wire for CreatePortalLink {
    const IS_BODY_REQUIRED: bool = false;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            read_only: fields.take("read_only"),
            expires_in_seconds: fields.take("expires_in_seconds"),
            session_seconds: fields.take("session_seconds"),
        }
    }
}

/// A session in the portal
#[derive(Debug, Serialize, Object)]
struct PortalSessionAttributes {
    /// Let in by it, as `Authorization: Bearer …`. Shown once
    bearer: String,
    tenant_id: String,
    tenant_name: String,
    read_only: bool,
    /// What the bearer may do
    scopes: Vec<ScopeName>,
    expires_at: Time,
    brand: BrandView,
}

/// How the portal looks: null is Waxwing's own
#[derive(Debug, Serialize, Object)]
#[oai(rename = "PortalBrand")]
struct BrandView {
    name: Nullable<String>,
    /// `#rrggbb`
    color: Nullable<String>,
    /// A `data:` URL
    logo: Nullable<String>,
}

impl Attributes for PortalSessionAttributes {
    const TYPE: &'static str = "portal_session";
    const NAME: &'static str = "PortalSession";
    const ONE: &'static str = "The session";
    const PAGE: &'static str = "";
}

/// What stood behind the `#` of the link
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct CreatePortalSession {
    token: String,
}

impl Wire for CreatePortalSession {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { token: fields.take("token") }
    }
}

struct PortalLinkList(Numbered);

impl Parameters for PortalLinkList {
    fn documented() -> Vec<Parameter> {
        Numbered::documented()
    }

    fn read(query: &mut Params) -> Self {
        Self(Numbered::read(query))
    }
}

pub struct PortalApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1", tag = "Tag::Portal")]
impl PortalApi {
    /// Create a portal link
    ///
    /// For the tenant of the request. Its URL is shown once, and lets one browser in, once, with what a key of the preset
    /// `subscriber` may do; a link gives no more than who makes it has. At most 1,000 of a tenant at a time. An answer that an
    /// idempotency key repeats has no URL.
    #[oai(path = "/portal-links", method = "post", operation_id = "portal_links.create")]
    async fn create(
        &self,
        caller: Caller<OfTenant<scope::KeysWrite>>,
        guest: Guest,
        body: Body<CreatePortalLink>,
    ) -> Result<Answer<One<PortalLinkAttributes>, 201>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |memory| {
            let (CreatePortalLink { read_only, expires_in_seconds, session_seconds }, mut findings) = body.read()?;
            let link_seconds = check_seconds(
                expires_in_seconds,
                "expires_in_seconds",
                LINK_SECONDS_MIN,
                LINK_SECONDS_MAX,
                &mut findings,
            );
            let session_seconds = check_seconds(
                session_seconds,
                "session_seconds",
                SESSION_SECONDS_MIN,
                SESSION_SECONDS_MAX,
                &mut findings,
            );
            findings.finish()?;
            let (token, now) = (Token::generate(&mut rand::rng()), self.app.clock.now());
            let lives = Duration::from_secs(link_seconds.unwrap_or(LINK_SECONDS_DEFAULT).into());
            let link = PortalLink {
                // The store assigns it.
                id: PortalLinkId::from_u128(0),
                tenant: caller.tenant().id,
                hash: token.hash(),
                is_read_only: read_only.unwrap_or_default(),
                session_seconds: session_seconds.unwrap_or(SESSION_SECONDS_DEFAULT),
                expires_at: now.plus(lives),
                revoked_at: None,
                session: None,
                created_at: now,
            };
            refuse_more_than_own(&caller, &link)?;
            let made =
                self.app.store.create_portal_link(link, memory.keep(|made: &PortalLink| created(made, None))).await?;
            let url = format!("{}/portal#{}", guest.base, token.as_str());
            Ok(created(&made, Some(url)))
        })
        .await
        .map(Into::into)
    }

    /// List portal links
    ///
    /// Of the tenant of the request. One that is over is seen for another day.
    #[oai(path = "/portal-links", method = "get", operation_id = "portal_links.list")]
    async fn list(
        &self,
        caller: Caller<OfTenant<scope::KeysRead>>,
        query: Query<PortalLinkList>,
    ) -> Result<Answer<Listed<PortalLinkAttributes>, 200>, Refusal> {
        let own = caller.catalogue.portal_links().filter(|link| link.tenant == caller.tenant().id);
        let page = query.0.0.cut(&caller, own.collect(), |link| object(link, None));
        Ok(Reply::json(StatusCode::OK, &page).into())
    }

    /// Get a portal link
    #[oai(path = "/portal-links/:id", method = "get", operation_id = "portal_links.get")]
    async fn get(
        &self,
        caller: Caller<OfTenant<scope::KeysRead>>,
        id: Path<String>,
    ) -> Result<Answer<One<PortalLinkAttributes>, 200>, Refusal> {
        let data = object(find(&caller, &id)?, None);
        Ok(Reply::json(StatusCode::OK, &One { data }).into())
    }

    /// Revoke a portal link
    ///
    /// It and the session that was made from it end at once.
    #[oai(path = "/portal-links/:id", method = "delete", operation_id = "portal_links.revoke")]
    async fn revoke(
        &self,
        caller: Caller<OfTenant<scope::KeysWrite>>,
        id: Path<String>,
    ) -> Result<Answer<(), 204>, Refusal> {
        self.app.store.revoke_portal_link(find(&caller, &id)?.id).await?;
        Ok(Reply::empty(StatusCode::NO_CONTENT).into())
    }

    /// Enter the portal
    ///
    /// Takes the token of a portal link, which is of no use from then on, and answers with a bearer for that link's tenant.
    /// The bearer is a credential like a key: `Authorization: Bearer wp_…`. An `Idempotency-Key` is ignored: the
    /// answer would be kept with it.
    #[oai(path = "/portal-sessions", method = "post", operation_id = "portal_sessions.create")]
    async fn enter(
        &self,
        guest: Guest,
        body: Body<CreatePortalSession>,
    ) -> Result<Answer<One<PortalSessionAttributes>, 201>, Refusal> {
        let (CreatePortalSession { token }, findings) = body.read()?;
        findings.finish()?;
        let (app, visit) = (&self.app, &guest.visit);
        let secret = Token::generate(&mut rand::rng());
        let bearer = format!("{BEARER_PREFIX}{}", secret.as_str());
        let followed = app.store.follow_portal_link(TokenHash::of(token.trim()), TokenHash::of(&bearer)).await;
        let link = followed.map_err(|error| match error {
            StoreError::NotFound => refuse_guess(app, visit.client, Ground::InvalidPortalLink, app.clock.now()),
            error => error.into(),
        })?;
        let catalogue = app.store.catalogue();
        let entry = catalogue.tenant(link.tenant).ok_or(Ground::InvalidPortalLink)?;
        let Portal { name, color, logo, frame_ancestors: _ } = catalogue.settings().portal.clone();
        let expires_at = link.session.as_ref().map_or(link.expires_at, |session| session.expires_at);
        let attributes = PortalSessionAttributes {
            bearer,
            tenant_id: link.tenant.to_string(),
            tenant_name: entry.tenant.name.clone(),
            read_only: link.is_read_only,
            scopes: link.scopes().iter().map(|scope| ScopeName(scope.name())).collect(),
            expires_at: Time(expires_at),
            brand: BrandView { name: name.into(), color: color.into(), logo: logo.into() },
        };
        let reply = Reply::json(StatusCode::CREATED, &One::new(link.session_id().to_string(), attributes));
        let _ = visit.tenant.set(link.tenant);
        let _ = visit.actor.set(Actor::Portal(Arc::new(link)));
        Ok(reply.into())
    }

    /// Leave the portal
    ///
    /// Ends the session of the bearer that came; its link lets nobody in again. 404 for a request with a key or a cookie.
    #[oai(path = "/portal-sessions/current", method = "delete", operation_id = "portal_sessions.end_current")]
    async fn leave(&self, caller: Caller<scope::Anybody>) -> Result<Answer<(), 204>, Refusal> {
        let link = caller.actor.portal_link().ok_or_else(|| Refusal::not_found(SESSION, "current"))?;
        self.app.store.end_portal_session(link).await?;
        Ok(Reply::empty(StatusCode::NO_CONTENT).into())
    }
}

fn refuse_more_than_own(call: &Call, link: &PortalLink) -> Result<(), Refusal> {
    let whose = call.actor.kind();
    if !link.scopes().is_subset_of(call.actor.scopes()) {
        let what = "it lacks some of these scopes";
        return Err(Refusal::at(Ground::BeyondOwnKey { whose, what }, Source::Pointer("/read_only".to_owned())));
    }
    // The latest moment at which a session of the link can end.
    let ends_at = link.expires_at.plus(Duration::from_secs(link.session_seconds.into()));
    if call.actor.expires_at().is_some_and(|at| at < ends_at) {
        let what = "it expires before a session of the link would; give less expires_in_seconds and session_seconds";
        return Err(Ground::BeyondOwnKey { whose, what }.into());
    }
    Ok(())
}

fn check_seconds(seconds: Option<i64>, name: &str, min: u32, max: u32, findings: &mut Findings) -> Option<u32> {
    let seconds = seconds?;
    let fit = u32::try_from(seconds).ok().filter(|seconds| (min..=max).contains(seconds));
    if fit.is_none() && findings.is_sound(name) {
        findings.add(Rule::OutOfRange { min: min.into(), max: max.into(), unit: "seconds" }, format!("/{name}"));
    }
    fit
}

fn find<'a>(call: &'a Call, id: &str) -> Result<&'a Arc<PortalLink>, Refusal> {
    let link = id.parse().ok().and_then(|id| call.catalogue.portal_link(id));
    link.filter(|link| link.tenant == call.tenant().id).ok_or_else(|| Refusal::not_found(THING, id))
}

fn object(link: &PortalLink, url: Option<String>) -> ResourceObject<PortalLinkAttributes> {
    let PortalLink {
        id,
        tenant,
        hash: _,
        is_read_only,
        session_seconds: _,
        expires_at,
        revoked_at,
        session,
        created_at,
    } = link;
    let of_session = |moment: fn(&crate::domain::portal_link::PortalSession) -> Timestamp| {
        session.as_ref().map(|session| Time(moment(session))).into()
    };
    let attributes = PortalLinkAttributes {
        url,
        tenant_id: tenant.to_string(),
        read_only: *is_read_only,
        expires_at: Time(*expires_at),
        used_at: of_session(|session| session.began_at),
        session_expires_at: of_session(|session| session.expires_at),
        revoked_at: revoked_at.map(Time).into(),
        created_at: Time(*created_at),
    };
    ResourceObject::new(id.to_string(), attributes)
}

fn created(link: &PortalLink, url: Option<String>) -> Reply {
    Reply::json(StatusCode::CREATED, &One { data: object(link, url) })
        .header("location", format!("/v1/portal-links/{}", link.id))
}
