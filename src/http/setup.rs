//! `/v1/setup`: following an invitation. The first start's makes the first owner; others give a user a password.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use poem::http::StatusCode;
use poem::{Request, RequestBody};
use poem_openapi::param::Header;
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, Object, OpenApi};
use serde::Serialize;
use zeroize::Zeroizing;

use super::audit;
use super::auth::{Caller, OfInstance, refuse_guess, scope};
use super::body::{Body, Fields, Findings, Nothing, Wire};
use super::browser::Guest;
use super::problem::{Ground, Refusal};
use super::reply::{Answer, Attributes, One, Reply, inline};
use super::sessions::{SessionAttributes, begun_reply, new_session, refuse_open_way};
use super::users::{check_email, check_name, check_password, refuse_more_than_own};
use super::value::{Nullable, Time, choice};
use super::{App, Tag, read_disk};
use crate::backups::{Restoring, Shut};
use crate::domain::backup::{PASSPHRASE_EXPECTED, Passphrase};
use crate::domain::id::UserId;
use crate::domain::obstacle::Obstacle;
use crate::domain::session::SignedIn;
use crate::domain::token::{Token, TokenHash};
use crate::domain::user::{INVITATION_LIVES, Invitation, Invited, Role, invitation_url};
use crate::domain::violation::Rule;
use crate::store::backup::{BackupError, Progress};
use crate::store::{Chosen, Store, StoreError};

/// How far the setup is
#[derive(Debug, Serialize, Object)]
struct SetupAttributes {
    /// Whether there is a user who can sign in
    is_done: bool,
    /// Whether a password may come the way that this request came: by TLS, or from the server's own machine
    may_sign_in: bool,
    /// Of a backup that comes to this instance: null when none does
    restore: Nullable<RestoreView>,
}

choice!(RestoreStateName, "restore_state", ["running", "ready", "failed"]);

/// How far a backup is with which this instance is to go on
#[derive(Debug, Serialize, Object)]
#[oai(rename = "Restore")]
struct RestoreView {
    /// `ready`: the server ends all it does and goes on with what was in the backup
    state: RestoreStateName,
    /// Bytes of the stage. 0 while it comes
    done: u64,
    total: u64,
    /// Why it failed, in English. Nothing was changed
    error: Nullable<String>,
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

/// `default` and `system`.
const OWN_TENANTS: usize = 2;

fn in_header(name: &str, expected: &'static str) -> Rule {
    Rule::InvalidParameter { name: name.to_owned(), expected: expected.into() }
}

/// A body of any length, as it comes.
struct Coming(BoxBody<Bytes, io::Error>);

impl<'a> ApiExtractor<'a> for Coming {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        let schema = inline(MetaSchema { format: Some("binary"), ..MetaSchema::new("string") });
        Some(MetaRequest {
            description: None,
            content: vec![MetaMediaType { content_type: "application/octet-stream", schema }],
            required: true,
        })
    }

    async fn from_request(
        _request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self(body.take()?.into()))
    }
}

/// The link of the first start, used by nobody. It may be over.
fn first_invitation(store: &Store, token: &TokenHash) -> Option<Arc<Invitation>> {
    let invitation = store.catalogue().invitation(token).cloned();
    invitation.filter(|invitation| invitation.to == Invited::FirstOwner)
}

/// Whether nobody has begun with this instance, nor followed its first link.
fn may_be_replaced(store: &Store, token: &TokenHash) -> bool {
    let catalogue = store.catalogue();
    let has_own = catalogue.tenants().count() > OWN_TENANTS
        || catalogue.event_types().next().is_some()
        || catalogue.users().next().is_some()
        || catalogue.subscriptions_count() > 0;
    !has_own && store.sizes().events == 0 && first_invitation(store, token).is_some()
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
        Ok(Reply::json(StatusCode::OK, &One::new("setup", self.attributes(is_done, &guest))).into())
    }

    /// Restore a backup
    ///
    /// Onto an instance that holds nothing yet, with the token of the first start's link. When all of the body has come it is read, a store is
    /// made of it and checked, and then the server goes on with that, its users and keys: `setup.get` tells how far it is. The key to a
    /// backup that was made without a passphrase is the secret key of its instance. An
    /// `Idempotency-Key` is ignored: the instance that would keep the answer is replaced.
    #[oai(path = "/restore", method = "post", operation_id = "setup.restore")]
    async fn restore(
        &self,
        guest: Guest,
        /// What follows `/#/setup/` in the link
        #[oai(name = "Waxwing-Setup-Token")]
        token: Header<Option<String>>,
        /// Of the backup, percent-encoded
        #[oai(name = "Waxwing-Passphrase")]
        passphrase: Header<Option<String>>,
        /// 64 hexadecimal characters
        #[oai(name = "Waxwing-Secret-Key")]
        secret_key: Header<Option<String>>,
        backup: Coming,
    ) -> Result<Answer<One<SetupAttributes>, 202>, Refusal> {
        refuse_open_way(&guest)?;
        let mut findings = Findings::default();
        let token = token.0.unwrap_or_else(|| {
            findings.add(in_header("Waxwing-Setup-Token", "what follows /#/setup/ in the link"), "");
            String::new()
        });
        findings.finish()?;
        let token = TokenHash::of(&token);
        let first = first_invitation(&self.app.store, &token);
        if first.filter(|first| self.app.clock.now() < first.expires_at).is_none() {
            return Err(self.refuse(&guest));
        }
        let is_begun_with = async || {
            let look = move |store: &Store| Ok(!may_be_replaced(store, &token));
            read_disk(&self.app.store, look).await
        };
        if is_begun_with().await? {
            return Err(Ground::InstanceNotEmpty.into());
        }
        let mut findings = Findings::default();
        let passphrase = passphrase.0.and_then(|text| {
            let read = Passphrase::new(audit::decoded(&text)).ok();
            if read.is_none() {
                findings.add(in_header("Waxwing-Passphrase", PASSPHRASE_EXPECTED), "");
            }
            read
        });
        let secret_key = secret_key.0.and_then(|text| {
            let mut key = Zeroizing::new([0; 32]);
            let read = hex::decode_to_slice(&text, &mut *key).ok();
            if read.is_none() {
                findings.add(in_header("Waxwing-Secret-Key", "64 hexadecimal characters"), "");
            }
            read.map(|()| key)
        });
        findings.finish()?;
        let unavailable = |error: BackupError| Refusal::from(Ground::BackupsUnavailable { detail: error.to_string() });
        let Some(mut upload) = self.app.backups.take_in().map_err(unavailable)? else {
            return Err(Ground::InvalidState(Obstacle::RestoreRunning).into());
        };
        let Coming(mut body) = backup;
        while let Some(frame) = body.frame().await {
            // Whoever sent it went away.
            let frame =
                frame.map_err(|error| unavailable(BackupError::Store(StoreError::Unavailable(error.to_string()))))?;
            let Ok(part) = frame.into_data() else { continue };
            let written = tokio::task::spawn_blocking(move || upload.write(&part).map(|()| upload)).await;
            upload = written.map_err(|_| Ground::Internal)?.map_err(unavailable)?;
        }
        // Somebody may have begun with it while the body came, and may until the new store is made.
        if is_begun_with().await? {
            return Err(Ground::InstanceNotEmpty.into());
        }
        let app = Arc::clone(&self.app);
        let shut = move || {
            // From here on nothing is taken in that the new store would not have.
            let shut = Shut::begin(Arc::clone(&app.settings.is_giving_way));
            may_be_replaced(&app.store, &token).then_some(shut)
        };
        upload.restore(passphrase, secret_key, shut).map_err(unavailable)?;
        Ok(Reply::json(StatusCode::ACCEPTED, &One::new("setup", self.attributes(false, &guest))).into())
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
        self.app.store.invite(invitation).await?;
        let attributes =
            SetupLinkAttributes { invitation_url: invitation_url(&guest.base, &token), expires_at: Time(expires_at) };
        Ok(Reply::json(StatusCode::OK, &One::new("setup", attributes)).into())
    }
}

impl SetupApi {
    fn attributes(&self, is_done: bool, guest: &Guest) -> SetupAttributes {
        let view = |state, progress: Option<Progress>, error: Option<String>| RestoreView {
            state: RestoreStateName(state),
            done: progress.map_or(0, |progress| progress.done),
            total: progress.map_or(0, |progress| progress.total),
            error: error.into(),
        };
        let restore = self.app.backups.restoring().filter(|_| !is_done).map(|restoring| match restoring {
            Restoring::Running(progress) => view("running", progress, None),
            Restoring::Ready => view("ready", None, None),
            Restoring::Failed(error) => view("failed", None, Some(error)),
        });
        SetupAttributes { is_done, may_sign_in: guest.way.is_private(), restore: restore.into() }
    }

    /// A wrong token counts as a wrong key does.
    fn refuse(&self, guest: &Guest) -> Refusal {
        refuse_guess(&self.app, guest.visit.client, Ground::InvalidInvitation, self.app.clock.now())
    }
}
