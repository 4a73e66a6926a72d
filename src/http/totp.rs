//! `/v1/users/{id}/totp`: codes of an authenticator app as the second factor.

use std::sync::Arc;

use poem::http::StatusCode;
use poem_openapi::param::Path;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use url::form_urlencoded::byte_serialize;

use super::auth::{Caller, ForOthers, scope};
use super::body::{Body, Fields, Findings, Nothing, Wire};
use super::problem::{Ground, Refusal};
use super::reply::{Answer, Attributes, One, Reply};
use super::users::{UserAttributes, answer, find_allowed, refuse_more_than_own};
use super::{App, Tag};
use crate::domain::obstacle::Obstacle;
use crate::domain::password::Password;
use crate::domain::totp::Totp;
use crate::domain::user::User;
use crate::domain::violation::Rule;
use crate::store::{Edit, StoreError};

/// What an authenticator app is set up with
#[derive(Debug, Serialize, Object)]
struct TotpAttributes {
    /// In base32, to be typed
    secret: String,
    /// To be shown as a QR code
    otpauth_url: String,
}

impl Attributes for TotpAttributes {
    const TYPE: &'static str = "totp";
    const NAME: &'static str = "Totp";
    const ONE: &'static str = "What the app is set up with";
    const PAGE: &'static str = "Authenticator apps";
}

/// What the app shows
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct ConfirmTotp {
    #[oai(validator(min_length = 6, max_length = 6, pattern = "^[0-9]{6}$"))]
    code: String,
}

impl Wire for ConfirmTotp {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { code: fields.take("code") }
    }
}

/// Who wants it
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct RemoveTotp {
    /// The user's own: needed unless an owner removes it
    password: Option<String>,
}

impl Wire for RemoveTotp {
    const IS_BODY_REQUIRED: bool = false;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { password: fields.take("password") }
    }
}

pub struct TotpApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1/users", tag = "Tag::Users")]
impl TotpApi {
    /// Begin with an authenticator app
    ///
    /// For oneself. It asks for nothing until a code confirmed that the app has the secret, which no other answer shows. An
    /// `Idempotency-Key` is ignored: the answer would be kept with the secret.
    #[oai(path = "/:id/totp", method = "post", operation_id = "totp.create")]
    async fn create(
        &self,
        caller: Caller<ForOthers<scope::UsersWrite>>,
        id: Path<String>,
        body: Body<Nothing>,
    ) -> Result<Answer<One<TotpAttributes>, 201>, Refusal> {
        let user = oneself(&caller, &id)?;
        let (Nothing {}, findings) = body.read()?;
        findings.finish()?;
        let totp = Totp::generate(&mut rand::rng());
        let made = totp.clone();
        let edit: Edit<User> = Box::new(move |user| {
            if user.has_totp() {
                return Err(StoreError::InvalidState(Obstacle::TotpExists));
            }
            user.totp = Some(made);
            Ok(())
        });
        self.app.store.update_user(user.id, edit, None).await?;
        let account: String = byte_serialize(user.email.as_str().as_bytes()).collect();
        let attributes = TotpAttributes {
            secret: totp.secret_text().as_str().to_owned(),
            otpauth_url: totp.url(&account).as_str().to_owned(),
        };
        let reply = Reply::json(StatusCode::CREATED, &One::new(user.id.to_string(), attributes));
        Ok(reply.header("location", format!("/v1/users/{}", user.id)).into())
    }

    /// Confirm an authenticator app
    ///
    /// From now on signing in takes a code. An `Idempotency-Key` is ignored: a code works once anyway.
    #[oai(path = "/:id/totp/confirm", method = "post", operation_id = "totp.confirm")]
    async fn confirm(
        &self,
        caller: Caller<ForOthers<scope::UsersWrite>>,
        id: Path<String>,
        body: Body<ConfirmTotp>,
    ) -> Result<Answer<One<UserAttributes>, 200>, Refusal> {
        let user = oneself(&caller, &id)?;
        let (ConfirmTotp { code }, findings) = body.read()?;
        findings.finish()?;
        let now = self.app.clock.now();
        let edit: Edit<User> = Box::new(move |user| {
            let totp = user
                .totp
                .as_mut()
                .filter(|totp| !totp.is_confirmed)
                .ok_or(StoreError::InvalidState(Obstacle::TotpMissing))?;
            totp.last_step = totp.step_of(&code, now).ok_or(StoreError::PreconditionFailed)?;
            totp.is_confirmed = true;
            Ok(())
        });
        match self.app.store.update_user(user.id, edit, None).await {
            Ok(changed) => Ok(answer(StatusCode::OK, &changed, None).into()),
            Err(StoreError::PreconditionFailed) => {
                let mut findings = Findings::default();
                findings.add(Rule::InvalidFormat { expected: "the code that the app shows now" }, "/code");
                findings.finish()?;
                Err(Ground::Internal.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Do without an authenticator app
    ///
    /// For oneself with the password, or by an owner for somebody who lost the app.
    #[oai(path = "/:id/totp", method = "delete", operation_id = "totp.delete")]
    async fn delete(
        &self,
        caller: Caller<ForOthers<scope::UsersWrite>>,
        id: Path<String>,
        body: Body<RemoveTotp>,
    ) -> Result<Answer<(), 204>, Refusal> {
        let user = find_allowed(&caller, &id)?;
        let (RemoveTotp { password }, mut findings) = body.read()?;
        if caller.actor.user() == Some(user.id) {
            if password.is_none() && findings.is_sound("password") {
                findings.add(Rule::MissingField { name: "password".into() }, "/password");
            }
            findings.finish()?;
            let password = Password::new(password.expect("a missing one is among the findings"));
            self.app.confirm_password(&caller, user, password, "/password").await?;
        } else {
            findings.finish()?;
            refuse_more_than_own(&caller, user.role)?;
        }
        let edit: Edit<User> = Box::new(|user| {
            user.totp = None;
            Ok(())
        });
        self.app.store.update_user(user.id, edit, None).await?;
        Ok(Reply::empty(StatusCode::NO_CONTENT).into())
    }
}

/// Nobody sets up an app for somebody else.
fn oneself<'a>(caller: &'a Caller<ForOthers<scope::UsersWrite>>, id: &str) -> Result<&'a Arc<User>, Refusal> {
    let user = find_allowed(caller, id)?;
    if caller.actor.user() == Some(user.id) { Ok(user) } else { Err(Ground::OneselfOnly.into()) }
}
