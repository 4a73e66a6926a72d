//! `/v1/setup`: following an invitation. The first start's makes the first owner; others give a user a password.

use std::sync::Arc;

use poem::http::StatusCode;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::auth::{Caller, OfInstance, refuse_guess, scope};
use super::body::{Body, Fields, Nothing, Wire};
use super::browser::Guest;
use super::problem::{Ground, Refusal};
use super::reply::{Answer, Attributes, One, Reply};
use super::sessions::{SessionAttributes, begun_reply, new_session, refuse_open_way};
use super::users::{check_email, check_name, check_password, refuse_more_than_own};
use super::value::Time;
use super::{App, Tag};
use crate::domain::id::UserId;
use crate::domain::session::SignedIn;
use crate::domain::token::{Token, TokenHash};
use crate::domain::user::{INVITATION_LIVES, Invitation, Invited, Role, invitation_url};
use crate::domain::violation::Rule;
use crate::store::{Chosen, StoreError};

/// How far the setup is
#[derive(Debug, Serialize, Object)]
struct SetupAttributes {
    /// Whether there is a user who can sign in
    is_done: bool,
    /// Whether a password may come the way that this request came: by TLS, or from the server's own machine
    may_sign_in: bool,
}

impl Attributes for SetupAttributes {
    const TYPE: &'static str = "setup";
    const NAME: &'static str = "Setup";
    const ONE: &'static str = "How far the setup is";
    const PAGE: &'static str = "The setup";
}

/// A link for the first user
#[derive(Debug, Serialize, Object)]
struct SetupLinkAttributes {
    /// Where the first user chooses e-mail address and password, once
    invitation_url: String,
    expires_at: Time,
}

impl Attributes for SetupLinkAttributes {
    const TYPE: &'static str = "setup_link";
    const NAME: &'static str = "SetupLink";
    const ONE: &'static str = "The link";
    const PAGE: &'static str = "Links";
}

/// What who follows an invitation chooses
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct FollowInvitation {
    /// What follows `/#/setup/` in the link
    token: String,
    /// Only of the first user, who needs it
    email: Option<String>,
    #[oai(validator(min_length = 10, max_length = 256))]
    password: String,
    #[oai(validator(max_length = 128))]
    name: Option<String>,
}

impl Wire for FollowInvitation {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            token: fields.take("token"),
            email: fields.take("email"),
            password: fields.take("password"),
            name: fields.take("name"),
        }
    }
}

pub struct SetupApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1/setup", tag = "Tag::Sessions")]
impl SetupApi {
    /// Is the setup done?
    #[oai(path = "/", method = "get", operation_id = "setup.get")]
    async fn get(&self, guest: Guest) -> Result<Answer<One<SetupAttributes>, 200>, Refusal> {
        let is_done = self.app.store.catalogue().users().any(|user| !user.is_invited());
        let attributes = SetupAttributes { is_done, may_sign_in: guest.way.is_private() };
        Ok(Reply::json(StatusCode::OK, &One::new("setup", attributes)).into())
    }

    /// Follow an invitation
    ///
    /// Once, with the token of the link: of the first start, of an invited user, or of one who forgot the password. The answer
    /// signs in, as `POST /v1/sessions` does; earlier sessions of the user end. An
    /// `Idempotency-Key` is ignored: the answer would be kept with its cookie.
    #[oai(path = "/", method = "post", operation_id = "setup.follow")]
    async fn follow(
        &self,
        guest: Guest,
        body: Body<FollowInvitation>,
    ) -> Result<Answer<One<SessionAttributes>, 201>, Refusal> {
        refuse_open_way(&guest)?;
        let (FollowInvitation { token, email, password, name }, mut findings) = body.read()?;
        let now = self.app.clock.now();
        let hash = TokenHash::of(&token);
        let catalogue = self.app.store.catalogue();
        let invitation = catalogue.invitation(&hash).filter(|invitation| now < invitation.expires_at);
        let email = email.and_then(|text| check_email(&text, &mut findings));
        if let Some(name) = &name {
            check_name(name, &mut findings);
        }
        let password = check_password(password, "password", &mut findings);
        match invitation.map(|invitation| invitation.to) {
            Some(Invited::FirstOwner) if email.is_none() && findings.is_sound("email") => {
                findings.add(Rule::MissingField { name: "email".into() }, "/email");
            }
            Some(Invited::User(_)) if email.is_some() => {
                findings.add(Rule::InvalidFormat { expected: "left out: the invitation says whose it is" }, "/email");
            }
            Some(_) | None => {}
        }
        findings.finish()?;
        if invitation.is_none() {
            return Err(self.refuse(&guest));
        }
        let chosen = Chosen { email, name, password: self.app.passwords.hash(password).await? };
        let text = Token::generate(&mut rand::rng());
        // The store says whose session it becomes.
        let session = new_session(&guest, &text, SignedIn::User(UserId::from_u128(0)));
        let followed = self.app.store.follow_invitation(hash, chosen, session).await;
        let (_, session) = followed.map_err(|error| match error {
            StoreError::NotFound => self.refuse(&guest),
            error => error.into(),
        })?;
        Ok(begun_reply(&self.app, &guest, &text, &session).into())
    }

    /// Make a link for the first user
    ///
    /// As the first start prints one, for 30 minutes. An earlier link ends. 409 when there is a user: `users.invite` makes links
    /// for users. An `Idempotency-Key` is ignored: the answer would be kept with the link.
    #[oai(path = "/invitation", method = "post", operation_id = "setup.invite")]
    async fn invite(
        &self,
        caller: Caller<OfInstance<scope::UsersWrite>>,
        guest: Guest,
        body: Body<Nothing>,
    ) -> Result<Answer<One<SetupLinkAttributes>, 200>, Refusal> {
        let (Nothing {}, findings) = body.read()?;
        findings.finish()?;
        refuse_more_than_own(&caller, Role::Owner)?;
        let expires_at = self.app.clock.now().plus(INVITATION_LIVES);
        let token = Token::generate(&mut rand::rng());
        let invitation = Invitation { hash: token.hash(), to: Invited::FirstOwner, expires_at };
        self.app.store.invite(invitation).await.map_err(|error| match error {
            StoreError::InvalidState => Ground::SetupDone.into(),
            error => Refusal::from(error),
        })?;
        let attributes =
            SetupLinkAttributes { invitation_url: invitation_url(&guest.base, &token), expires_at: Time(expires_at) };
        Ok(Reply::json(StatusCode::OK, &One::new("setup", attributes)).into())
    }
}

impl SetupApi {
    /// A wrong token counts as a wrong key does.
    fn refuse(&self, guest: &Guest) -> Refusal {
        refuse_guess(&self.app, guest.visit.client, Ground::InvalidInvitation, self.app.clock.now())
    }
}
