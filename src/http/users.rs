//! `/v1/users`: who signs in at the console. Owners manage them; each may change the own name and password.

use std::sync::Arc;

use poem::http::StatusCode;
use poem_openapi::param::Path;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::auth::{Call, Caller, ForOthers, OfInstance, Scoped, scope};
use super::body::{Body, Fields, Findings, Nothing, Wire, required_fields};
use super::browser::Guest;
use super::idempotency::{Fingerprint, once};
use super::page::{Listed, Numbered, Parameter, Parameters, Params, Query};
use super::problem::{Ground, Refusal, Source};
use super::reply::{Answer, Attributes, Object as ResourceObject, One, Reply};
use super::value::{Nullable, Time, choice, choice_text};
use super::{App, Tag};
use crate::domain::id::UserId;
use crate::domain::key::Scope;
use crate::domain::password::{PASSWORD_LENGTH_MAX, PASSWORD_LENGTH_MIN, Password};
use crate::domain::time::Timestamp;
use crate::domain::token::Token;
use crate::domain::user::{
    EMAIL_EXPECTED, Email, INVITATION_LIVES, Invitation, Invited, NAME_LENGTH_MAX, Role, User, invitation_url,
};
use crate::domain::violation::Rule;
use crate::store::{Edit, SecretOwner, StoreError};

pub(super) const THING: &str = "User";
choice!(RoleName, "role", Role::ALL.map(Role::name));
choice_text!(RoleText, "role_text", Role::ALL.map(Role::name));
required_fields!(RoleText);

/// A user of the console, as it stands
#[derive(Debug, Serialize, Object)]
pub(super) struct UserAttributes {
    email: String,
    /// May be empty
    name: String,
    role: RoleName,
    /// Whether signing in takes a code of an authenticator app
    has_totp: bool,
    /// Whether the invitation has still to be followed
    is_invited: bool,
    /// Where a password is chosen, once: only in answers that make an invitation. It is good for 30 minutes
    #[serde(skip_serializing_if = "Option::is_none")]
    invitation_url: Option<String>,
    last_signed_in_at: Nullable<Time>,
    created_at: Time,
    updated_at: Time,
}

impl Attributes for UserAttributes {
    const TYPE: &'static str = "user";
    const NAME: &'static str = "User";
    const ONE: &'static str = "The user";
    const PAGE: &'static str = "A page of users";
}

/// Who is invited
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct CreateUser {
    #[oai(validator(min_length = 3, max_length = 254))]
    email: String,
    #[oai(validator(max_length = 128))]
    name: Option<String>,
    /// `owner`, `operator` (all but users and settings) or `viewer`
    role: RoleText,
}

impl Wire for CreateUser {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { email: fields.take("email"), name: fields.take("name"), role: fields.take("role") }
    }
}

/// What changes: an absent field stays
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct UpdateUser {
    #[oai(validator(max_length = 128))]
    name: Option<String>,
    /// By an owner: `owner`, `operator` or `viewer`
    role: Option<RoleText>,
    /// One's own, from now on; the other sessions end
    #[oai(validator(min_length = 10, max_length = 256))]
    password: Option<String>,
    /// One's own, until now: needed with `password`
    current_password: Option<String>,
}

impl Wire for UpdateUser {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            name: fields.take("name"),
            role: fields.take("role"),
            password: fields.take("password"),
            current_password: fields.take("current_password"),
        }
    }
}

struct UserList(Numbered);

impl Parameters for UserList {
    fn documented() -> Vec<Parameter> {
        Numbered::documented()
    }

    fn read(query: &mut Params) -> Self {
        Self(Numbered::read(query))
    }
}

pub struct UsersApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1/users", tag = "Tag::Users")]
impl UsersApi {
    /// Invite a user
    ///
    /// The answer has a link, once: whoever follows it within 30 minutes chooses the password. A role gives no more than who
    /// invites has.
    #[oai(path = "/", method = "post", operation_id = "users.create")]
    async fn create(
        &self,
        caller: Caller<OfInstance<scope::UsersWrite>>,
        guest: Guest,
        body: Body<CreateUser>,
    ) -> Result<Answer<One<UserAttributes>, 201>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |_| {
            let (CreateUser { email, name, role }, mut findings) = body.read()?;
            let email = check_email(&email, &mut findings);
            let role = check_role(Some(&role), &mut findings);
            let name = name.unwrap_or_default();
            check_name(&name, &mut findings);
            findings.finish()?;
            let (email, role) = email.zip(role).expect("what is wrong with them is among the findings");
            refuse_more_than_own(&caller, role)?;
            let now = self.app.clock.now();
            let user = User {
                // The store assigns it.
                id: UserId::from_u128(0),
                email,
                name,
                role,
                password: None,
                totp: None,
                last_signed_in_at: None,
                created_at: now,
                updated_at: now,
            };
            let token = Token::generate(&mut rand::rng());
            let made = self.app.store.create_user(user, token.hash(), now.plus(INVITATION_LIVES)).await;
            let made = made.map_err(|error| match error {
                StoreError::AlreadyExists => Refusal::at(Ground::EmailTaken, Source::Pointer("/email".to_owned())),
                error => error.into(),
            })?;
            let reply = answer(StatusCode::CREATED, &made, Some(invitation_url(&guest.base, &token)));
            Ok(reply.header("location", format!("/v1/users/{}", made.id)).shows_secret_of(SecretOwner::User(made.id)))
        })
        .await
        .map(Into::into)
    }

    /// List users
    #[oai(path = "/", method = "get", operation_id = "users.list")]
    async fn list(
        &self,
        caller: Caller<OfInstance<scope::UsersRead>>,
        query: Query<UserList>,
    ) -> Result<Answer<Listed<UserAttributes>, 200>, Refusal> {
        let Query(UserList(page)) = query;
        let rows: Vec<_> = caller.catalogue.users().collect();
        let page = page.cut(&caller, rows, |user| ResourceObject::new(user.id.to_string(), attributes(user, None)));
        Ok(Reply::json(StatusCode::OK, &page).into())
    }

    /// Get a user
    ///
    /// Oneself, or with the scope `users:read` anybody.
    #[oai(path = "/:id", method = "get", operation_id = "users.get")]
    async fn get(
        &self,
        caller: Caller<ForOthers<scope::UsersRead>>,
        id: Path<String>,
    ) -> Result<Answer<One<UserAttributes>, 200>, Refusal> {
        let user = find_allowed(&caller, &id)?;
        Ok(answer(StatusCode::OK, user, None).into())
    }

    /// Change a user
    ///
    /// One's own name and password, or with the scope `users:write` anybody's name and role. The last owner stays one.
    #[oai(path = "/:id", method = "patch", operation_id = "users.update")]
    async fn update(
        &self,
        caller: Caller<ForOthers<scope::UsersWrite>>,
        id: Path<String>,
        body: Body<UpdateUser>,
    ) -> Result<Answer<One<UserAttributes>, 200>, Refusal> {
        let user = find_allowed(&caller, &id)?;
        let is_own = caller.actor.user() == Some(user.id);
        let (UpdateUser { name, role, password, current_password }, mut findings) = body.read()?;
        if let Some(name) = &name {
            check_name(name, &mut findings);
        }
        let role = check_role(role.as_ref(), &mut findings);
        let password = password.map(|text| check_password(text, "password", &mut findings));
        if password.is_some() && current_password.is_none() && findings.is_sound("current_password") {
            findings.add(Rule::MissingField { name: "current_password".into() }, "/current_password");
        }
        findings.finish()?;
        if let Some(role) = role {
            caller.require(Scope::UsersWrite)?;
            refuse_more_than_own(&caller, role)?;
        }
        if !is_own {
            refuse_more_than_own(&caller, user.role)?;
        }
        if password.is_some() && !is_own {
            return Err(Refusal::at(Ground::OwnPasswordOnly, Source::Pointer("/password".to_owned())));
        }
        let mut hash = None;
        if let Some((password, current)) = password.zip(current_password) {
            self.app.confirm_password(&caller, user, Password::new(current), "/current_password").await?;
            hash = Some(self.app.passwords.hash(password).await?);
        }
        let confirmed = user.password.clone();
        let edit: Edit<User> = Box::new(move |user| {
            if let Some(name) = name {
                user.name = name;
            }
            if let Some(role) = role {
                user.role = role;
            }
            if let Some(hash) = hash {
                // It was changed while this one was checked.
                if user.password != confirmed {
                    return Err(StoreError::PreconditionFailed);
                }
                user.password = Some(hash);
            }
            Ok(())
        });
        let changed = self.app.store.update_user(user.id, edit, caller.actor.session()).await?;
        Ok(answer(StatusCode::OK, &changed, None).into())
    }

    /// Remove a user
    ///
    /// The sessions end at once. The last owner stays.
    #[oai(path = "/:id", method = "delete", operation_id = "users.delete")]
    async fn delete(
        &self,
        caller: Caller<OfInstance<scope::UsersWrite>>,
        id: Path<String>,
    ) -> Result<Answer<(), 204>, Refusal> {
        let user = find(&caller, &id)?;
        refuse_less_than(&caller, user.role)?;
        self.app.store.delete_user(user.id).await?;
        Ok(Reply::empty(StatusCode::NO_CONTENT).into())
    }

    /// Invite a user again
    ///
    /// Also who forgot the password: whoever follows the link within 30 minutes chooses a new one, which ends all sessions
    /// of the user. An earlier link ends.
    #[oai(path = "/:id/invitation", method = "post", operation_id = "users.invite")]
    async fn invite(
        &self,
        caller: Caller<OfInstance<scope::UsersWrite>>,
        guest: Guest,
        id: Path<String>,
        body: Body<Nothing>,
    ) -> Result<Answer<One<UserAttributes>, 200>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |_| {
            let user = find(&caller, &id)?;
            let (Nothing {}, findings) = body.read()?;
            findings.finish()?;
            refuse_more_than_own(&caller, user.role)?;
            let (to, now) = (Invited::User(user.id), self.app.clock.now());
            let token = Token::generate(&mut rand::rng());
            self.app
                .store
                .invite(Invitation { hash: token.hash(), to, expires_at: now.plus(INVITATION_LIVES) })
                .await?;
            let reply = answer(StatusCode::OK, user, Some(invitation_url(&guest.base, &token)));
            Ok(reply.shows_secret_of(SecretOwner::User(user.id)))
        })
        .await
        .map(Into::into)
    }
}

impl App {
    /// Refuses who does not know the user's password. Wrong ones count as failed sign-ins.
    pub(super) async fn confirm_password(
        &self,
        call: &Call,
        user: &User,
        password: Password,
        pointer: &str,
    ) -> Result<(), Refusal> {
        let attempt = self.sign_ins.begin(call.visit.client, user.email.as_str(), self.clock.now())?;
        if self.passwords.check(password, user.password.clone()).await? {
            attempt.succeeded();
            return Ok(());
        }
        let mut findings = Findings::default();
        findings.add(Rule::InvalidFormat { expected: "the user's current password" }, pointer);
        findings.finish()
    }
}

/// Oneself, or who has the scope sees anybody.
pub(super) fn find_allowed<'a, S: Scoped>(
    caller: &'a Caller<ForOthers<S>>,
    id: &str,
) -> Result<&'a Arc<User>, Refusal> {
    caller.is_about(id.parse().ok())?;
    find(caller, id)
}

fn find<'a>(call: &'a Call, id: &str) -> Result<&'a Arc<User>, Refusal> {
    id.parse().ok().and_then(|id| call.catalogue.user(id)).ok_or_else(|| Refusal::not_found(THING, id))
}

/// Who gives a role, or a new password for it, must have all that it gives, and for as long.
pub(super) fn refuse_more_than_own(call: &Call, role: Role) -> Result<(), Refusal> {
    if call.actor.expires_at().is_some() {
        let what = "it expires, and a user does not";
        return Err(Ground::BeyondOwnKey { whose: call.actor.kind(), what }.into());
    }
    refuse_less_than(call, role)
}

fn refuse_less_than(call: &Call, role: Role) -> Result<(), Refusal> {
    if role.scopes().is_subset_of(call.actor.scopes()) {
        return Ok(());
    }
    Err(Ground::BeyondOwnKey { whose: call.actor.kind(), what: "it lacks some of the role's scopes" }.into())
}

pub(super) fn check_email(text: &str, findings: &mut Findings) -> Option<Email> {
    let email = text.parse().ok();
    if email.is_none() && findings.is_sound("email") {
        findings.add(Rule::InvalidFormat { expected: EMAIL_EXPECTED }, "/email");
    }
    email
}

pub(super) fn check_name(name: &str, findings: &mut Findings) {
    if findings.is_sound("name") && name.chars().count() > NAME_LENGTH_MAX {
        findings.add(Rule::TooLong { max: NAME_LENGTH_MAX }, "/name");
    }
}

fn check_role(name: Option<&RoleText>, findings: &mut Findings) -> Option<Role> {
    let RoleText(name) = name?;
    let role = Role::from_name(name);
    if role.is_none() && findings.is_sound("role") {
        findings.add(Rule::InvalidFormat { expected: "owner, operator or viewer" }, "/role");
    }
    role
}

/// The length that a new password may have.
pub(super) fn check_password(text: String, field: &str, findings: &mut Findings) -> Password {
    let password = Password::new(text);
    if findings.is_sound(field) {
        let length = password.length();
        if length < PASSWORD_LENGTH_MIN {
            findings.add(Rule::TooShort { min: PASSWORD_LENGTH_MIN }, format!("/{field}"));
        } else if length > PASSWORD_LENGTH_MAX {
            findings.add(Rule::TooLong { max: PASSWORD_LENGTH_MAX }, format!("/{field}"));
        }
    }
    password
}

pub(super) fn answer(status: StatusCode, user: &User, invitation_url: Option<String>) -> Reply {
    Reply::json(status, &One::new(user.id.to_string(), attributes(user, invitation_url)))
}

fn attributes(user: &User, invitation_url: Option<String>) -> UserAttributes {
    let has_totp = user.has_totp();
    let is_invited = user.is_invited();
    let User { id: _, email, name, role, password: _, totp: _, last_signed_in_at, created_at, updated_at } = user;
    let moment = |at: &Timestamp| Time(*at);
    UserAttributes {
        email: email.to_string(),
        name: name.clone(),
        role: RoleName(role.name()),
        has_totp,
        is_invited,
        invitation_url,
        last_signed_in_at: last_signed_in_at.as_ref().map(moment).into(),
        created_at: Time(*created_at),
        updated_at: Time(*updated_at),
    }
}
