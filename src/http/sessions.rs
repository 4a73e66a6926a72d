//! `/v1/sessions`: signing in at the console, and where one is signed in.

use std::sync::Arc;

use poem::http::StatusCode;
use poem_openapi::param::Path;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::audit::Ending;
use super::auth::{Call, Caller, instance_key, scope};
use super::body::{Body, Fields, Wire};
use super::browser::Guest;
use super::keys::ScopeName;
use super::page::{Listed, Numbered, Parameter, Parameters, Params, Query};
use super::problem::{Ground, Refusal};
use super::reply::{Answer, Attributes, Object as ResourceObject, One, Reply};
use super::users::RoleName;
use super::value::{Nullable, Time};
use super::{App, Tag};
use crate::domain::id::SessionId;
use crate::domain::key::ApiKey;
use crate::domain::password::Password;
use crate::domain::session::{AGE_MAX, Session, SignedIn};
use crate::domain::token::Token;
use crate::domain::user::{Email, User};
use crate::domain::violation::Rule;
use crate::store::{Catalogue, Checked, StoreError};

const THING: &str = "Session";

/// Where somebody is signed in
#[derive(Debug, Serialize, Object)]
pub(super) struct SessionAttributes {
    /// The user; null: signed in with an API key
    user_id: Nullable<String>,
    email: Nullable<String>,
    /// The user's, or the key's
    name: Nullable<String>,
    role: Nullable<RoleName>,
    /// What it may do
    scopes: Vec<ScopeName>,
    /// The API key that was signed in with, when it has an id
    key_id: Nullable<String>,
    /// Whether signing in took a code of an authenticator app
    has_totp: bool,
    created_at: Time,
    /// Each use puts it off, at most to 30 days after the beginning
    expires_at: Time,
    last_used_at: Nullable<Time>,
    /// The browser, as it names itself
    user_agent: Nullable<String>,
    /// Where it signed in from
    remote_address: Nullable<String>,
    /// Whether it is the one of this request
    is_current: bool,
}

impl Attributes for SessionAttributes {
    const TYPE: &'static str = "session";
    const NAME: &'static str = "Session";
    const ONE: &'static str = "The session";
    const PAGE: &'static str = "A page of sessions";
}

/// Who signs in: `email` and `password`, or `api_key`
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct CreateSession {
    email: Option<String>,
    password: Option<String>,
    /// What the authenticator app shows, when the user has one
    totp_code: Option<String>,
    /// The text of a key of the whole instance
    api_key: Option<String>,
}

impl Wire for CreateSession {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            email: fields.take("email"),
            password: fields.take("password"),
            totp_code: fields.take("totp_code"),
            api_key: fields.take("api_key"),
        }
    }
}

struct SessionList(Numbered);

impl Parameters for SessionList {
    fn documented() -> Vec<Parameter> {
        Numbered::documented()
    }

    fn read(query: &mut Params) -> Self {
        Self(Numbered::read(query))
    }
}

pub struct SessionsApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1/sessions", tag = "Tag::Sessions")]
impl SessionsApi {
    /// Sign in
    ///
    /// The answer sets the cookie `waxwing_session`, which takes the place of a key. A request with it and another method than
    /// GET needs the header `Waxwing-Console: 1`. Without TLS one can sign in on the server's own machine only. 401 is
    /// `invalid_credentials`, or `totp_required` when the password is right and a code is missing. An `Idempotency-Key` is ignored:
    /// the answer would be kept with its cookie.
    #[oai(path = "/", method = "post", operation_id = "sessions.create")]
    async fn create(
        &self,
        guest: Guest,
        body: Body<CreateSession>,
    ) -> Result<Answer<One<SessionAttributes>, 201>, Refusal> {
        refuse_open_way(&guest)?;
        let (CreateSession { email, password, totp_code, api_key }, mut findings) = body.read()?;
        if let Some(text) = api_key {
            for (field, is_there) in
                [("email", email.is_some()), ("password", password.is_some()), ("totp_code", totp_code.is_some())]
            {
                if is_there && findings.is_sound(field) {
                    findings
                        .add(Rule::InvalidFormat { expected: "left out when api_key is given" }, format!("/{field}"));
                }
            }
            findings.finish()?;
            let of = SignedIn::Key(instance_key(&guest.visit, &text)?.hash);
            return self.begin(&guest, of, None).await;
        }
        for (name, is_missing) in [("email", email.is_none()), ("password", password.is_none())] {
            if is_missing && findings.is_sound(name) {
                findings.add(Rule::MissingField { name: name.into() }, format!("/{name}"));
            }
        }
        findings.finish()?;
        let (email, password) = email.zip(password).expect("what is missing is among the findings");
        let (of, checked) = self.check(&guest, &email, Password::new(password), totp_code).await?;
        self.begin(&guest, of, Some(checked)).await
    }

    /// List one's sessions
    ///
    /// Of the user who asks, or of the key.
    #[oai(path = "/", method = "get", operation_id = "sessions.list")]
    async fn list(
        &self,
        caller: Caller<scope::Anybody>,
        query: Query<SessionList>,
    ) -> Result<Answer<Listed<SessionAttributes>, 200>, Refusal> {
        let Query(SessionList(page)) = query;
        let own = caller.actor.signed_in();
        let is_over = |session: &Session| self.app.is_over(session, self.app.clock.now());
        let rows = caller.catalogue.sessions().filter(|session| Some(session.of) == own && !is_over(session));
        let page = page.cut(&caller, rows.collect(), |session| {
            let attributes = attributes(&self.app, &caller.catalogue, session, caller.actor.session());
            ResourceObject::new(session.id.to_string(), attributes)
        });
        Ok(Reply::json(StatusCode::OK, &page).into())
    }

    /// Who am I?
    ///
    /// The session of the cookie that came. 404 for a request with a key.
    #[oai(path = "/current", method = "get", operation_id = "sessions.current")]
    async fn current(&self, caller: Caller<scope::Anybody>) -> Result<Answer<One<SessionAttributes>, 200>, Refusal> {
        let session = find(&caller, "current")?;
        Ok(answer(StatusCode::OK, &self.app, &caller.catalogue, session, caller.actor.session()).into())
    }

    /// Sign out
    ///
    /// Ends the session of the cookie that came, and takes the cookie away.
    #[oai(path = "/current", method = "delete", operation_id = "sessions.end_current")]
    async fn end_current(&self, caller: Caller<scope::Anybody>, guest: Guest) -> Result<Answer<(), 204>, Refusal> {
        self.end_one(&caller, &guest, "current").await
    }

    /// Sign out elsewhere
    ///
    /// Ends one of one's sessions.
    #[oai(path = "/:id", method = "delete", operation_id = "sessions.end")]
    async fn end(
        &self,
        caller: Caller<scope::Anybody>,
        guest: Guest,
        id: Path<String>,
    ) -> Result<Answer<(), 204>, Refusal> {
        self.end_one(&caller, &guest, &id).await
    }

    /// Sign out everywhere
    ///
    /// Ends all of one's sessions, this one too.
    #[oai(path = "/", method = "delete", operation_id = "sessions.end_all")]
    async fn end_all(&self, caller: Caller<scope::Anybody>, guest: Guest) -> Result<Answer<(), 204>, Refusal> {
        if let Some(of) = caller.actor.signed_in() {
            self.app.store.end_sessions_of(of).await?;
        }
        let reply = Reply::empty(StatusCode::NO_CONTENT);
        Ok(if caller.actor.session().is_some() { reply.header("set-cookie", guest.no_cookie()) } else { reply }.into())
    }
}

impl SessionsApi {
    /// The user with this e-mail address and password. Whether the address or the password is wrong, nobody is told, and
    /// both take as long.
    async fn check(
        &self,
        guest: &Guest,
        email: &str,
        password: Password,
        totp_code: Option<String>,
    ) -> Result<(SignedIn, Checked), Refusal> {
        let now = self.app.clock.now();
        let parsed = email.parse::<Email>();
        let who = parsed.as_ref().map_or(email, Email::as_str);
        let attempt = self.app.sign_ins.begin(guest.visit.client, who, now)?;
        // What is no address is nobody's.
        let email = parsed.map_err(|_| Ground::InvalidCredentials)?;
        let catalogue = self.app.store.catalogue();
        let user = catalogue.user_by_email(&email);
        let hash = user.and_then(|user| user.password.clone());
        let is_right = self.app.passwords.check(password, hash.clone()).await?;
        let (Some(user), Some(hash), true) = (user, hash, is_right) else {
            return Err(Ground::InvalidCredentials.into());
        };
        let mut totp_step = None;
        if let Some(totp) = user.totp.as_ref().filter(|totp| totp.is_confirmed) {
            let Some(code) = totp_code else {
                attempt.succeeded();
                let _ = guest.visit.ending.set(Ending::TotpRequired);
                return Err(Ground::TotpRequired.into());
            };
            totp_step = Some(totp.step_of(code.trim(), now).ok_or(Ground::InvalidCredentials)?);
        }
        attempt.succeeded();
        Ok((SignedIn::User(user.id), Checked { password: hash, totp_step }))
    }

    async fn begin(
        &self,
        guest: &Guest,
        of: SignedIn,
        checked: Option<Checked>,
    ) -> Result<Answer<One<SessionAttributes>, 201>, Refusal> {
        let token = Token::generate(&mut rand::rng());
        let begun = self.app.store.begin_session(new_session(guest, &token, of), checked).await;
        // What was right a moment ago is so no more, or the same code came twice.
        let session = begun.map_err(|error| match error {
            StoreError::NotFound | StoreError::PreconditionFailed => Ground::InvalidCredentials.into(),
            error => Refusal::from(error),
        })?;
        let catalogue = self.app.store.catalogue();
        if let Some(actor) = catalogue
            .session(session.id)
            .and_then(|session| self.app.actor_in(&catalogue, session, self.app.clock.now()))
        {
            let _ = guest.visit.actor.set(actor);
        }
        Ok(begun_reply(&self.app, guest, &token, &session).into())
    }

    async fn end_one(&self, call: &Call, guest: &Guest, id: &str) -> Result<Answer<(), 204>, Refusal> {
        let session = find(call, id)?;
        self.app.store.end_session(session.id).await?;
        let reply = Reply::empty(StatusCode::NO_CONTENT);
        let is_current = call.actor.session() == Some(session.id);
        Ok(if is_current { reply.header("set-cookie", guest.no_cookie()) } else { reply }.into())
    }
}

pub(super) fn refuse_open_way(guest: &Guest) -> Result<(), Refusal> {
    if guest.way.is_private() { Ok(()) } else { Err(Ground::InsecureTransport.into()) }
}

/// A session that the store has still to begin.
pub(super) fn new_session(guest: &Guest, token: &Token, of: SignedIn) -> Session {
    Session {
        id: SessionId::from_u128(0),
        hash: token.hash(),
        of,
        created_at: guest.visit.came_at,
        user_agent: guest.user_agent.clone(),
        remote_address: guest.visit.client,
    }
}

pub(super) fn begun_reply(app: &App, guest: &Guest, token: &Token, session: &Session) -> Reply {
    let reply = answer(StatusCode::CREATED, app, &app.store.catalogue(), session, Some(session.id));
    reply.header("location", format!("/v1/sessions/{}", session.id)).header("set-cookie", guest.cookie(token, AGE_MAX))
}

/// One of the actor's own; `current` is the one of the request.
fn find<'a>(call: &'a Call, id: &str) -> Result<&'a Arc<Session>, Refusal> {
    let asked = if id == "current" { call.actor.session() } else { id.parse().ok() };
    let session = asked.and_then(|id| call.catalogue.session(id));
    let own = session.filter(|session| Some(session.of) == call.actor.signed_in());
    own.ok_or_else(|| Refusal::not_found(THING, id))
}

fn answer(
    status: StatusCode,
    app: &App,
    catalogue: &Catalogue,
    session: &Session,
    current: Option<SessionId>,
) -> Reply {
    Reply::json(status, &One::new(session.id.to_string(), attributes(app, catalogue, session, current)))
}

fn attributes(app: &App, catalogue: &Catalogue, session: &Session, current: Option<SessionId>) -> SessionAttributes {
    let last_used_at = app.store.session_last_used(session.id);
    let expires_at = session.expires_at(last_used_at);
    let Session { id, hash: _, of, created_at, user_agent, remote_address } = session;
    let (mut user, mut key): (Option<&User>, Option<&ApiKey>) = (None, None);
    match of {
        SignedIn::User(id) => user = catalogue.user(*id).map(|user| &**user),
        SignedIn::Key(hash) => key = app.key_of(catalogue, hash).map(|key| &**key),
    }
    let scopes = user.map(|user| user.role.scopes()).or(key.map(|key| key.scopes)).unwrap_or_default();
    let name = user.map(|user| &user.name).or(key.map(|key| &key.name));
    SessionAttributes {
        user_id: user.map(|user| user.id.to_string()).into(),
        email: user.map(|user| user.email.to_string()).into(),
        name: name.cloned().into(),
        role: user.map(|user| RoleName(user.role.name())).into(),
        scopes: scopes.iter().map(|scope| ScopeName(scope.name())).collect(),
        key_id: key.map(|key| key.id.to_string()).into(),
        has_totp: user.is_some_and(User::has_totp),
        created_at: Time(*created_at),
        expires_at: Time(expires_at),
        last_used_at: last_used_at.map(Time).into(),
        user_agent: user_agent.clone().into(),
        remote_address: remote_address.map(|address| address.to_string()).into(),
        is_current: current == Some(*id),
    }
}
