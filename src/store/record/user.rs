//! Users, invitations and sessions on disk.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{IdBytes, Record, RoleRecord, millis, timestamp};
use crate::domain::id::{SessionId, UserId};
use crate::domain::key::KeyHash;
use crate::domain::password::PasswordHash;
use crate::domain::session::{Session, SignedIn};
use crate::domain::time::Timestamp;
use crate::domain::token::TokenHash;
use crate::domain::totp::Totp;
use crate::domain::user::{Invitation, Invited, User};
use crate::store::crypt::{Crypt, KeyChange, Sealed};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct UserRecord {
    email: String,
    name: String,
    role: RoleRecord,
    /// In the PHC string format.
    password: Option<String>,
    totp: Option<TotpRecord>,
    last_signed_in_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
}
impl Record for UserRecord {}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TotpRecord {
    secret: Sealed,
    is_confirmed: bool,
    last_step: i64,
}

fn totp_label(id: UserId) -> Vec<u8> {
    [b"users/totp/", &id.to_bytes()[..]].concat()
}

impl UserRecord {
    pub(in crate::store) fn from_domain(user: &User, crypt: &Crypt) -> Self {
        let User { id, email, name, role, password, totp, last_signed_in_at, created_at, updated_at } = user;
        let totp = totp.as_ref().map(|Totp { secret, is_confirmed, last_step }| TotpRecord {
            secret: crypt.seal(&secret[..], &totp_label(*id)),
            is_confirmed: *is_confirmed,
            last_step: *last_step,
        });
        Self {
            email: email.as_str().to_owned(),
            name: name.clone(),
            role: (*role).into(),
            password: password.as_ref().map(|password| password.as_str().to_owned()),
            totp,
            last_signed_in_at: millis(*last_signed_in_at),
            created_at: created_at.as_millis(),
            updated_at: updated_at.as_millis(),
        }
    }

    pub(in crate::store) fn reseal(&mut self, id: UserId, change: &KeyChange<'_>) -> Option<()> {
        let Some(TotpRecord { secret, is_confirmed: _, last_step: _ }) = &mut self.totp else { return Some(()) };
        change.reseal(secret, &totp_label(id))
    }

    pub(in crate::store) fn into_domain(self, id: UserId, crypt: &Crypt) -> Option<User> {
        let Self { email, name, role, password, totp, last_signed_in_at, created_at, updated_at } = self;
        let totp = match totp {
            None => None,
            Some(TotpRecord { secret, is_confirmed, last_step }) => {
                let secret = crypt.open(&secret, &totp_label(id))?;
                let secret = Zeroizing::new(secret.as_slice().try_into().ok()?);
                Some(Totp { secret, is_confirmed, last_step })
            }
        };
        let password = match password {
            None => None,
            Some(text) => Some(PasswordHash::from_stored(text)?),
        };
        Some(User {
            id,
            email: email.parse().ok()?,
            name,
            role: role.into(),
            password,
            totp,
            last_signed_in_at: timestamp(last_signed_in_at),
            created_at: Timestamp::from_millis(created_at),
            updated_at: Timestamp::from_millis(updated_at),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct InvitationRecord {
    to: InvitedRecord,
    expires_at: i64,
}
impl Record for InvitationRecord {}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum InvitedRecord {
    FirstOwner,
    User(IdBytes),
}

impl From<&Invitation> for InvitationRecord {
    fn from(Invitation { hash: _, to, expires_at }: &Invitation) -> Self {
        let to = match to {
            Invited::FirstOwner => InvitedRecord::FirstOwner,
            Invited::User(id) => InvitedRecord::User(id.to_bytes()),
        };
        Self { to, expires_at: expires_at.as_millis() }
    }
}

impl InvitationRecord {
    pub(in crate::store) fn into_domain(self, hash: TokenHash) -> Invitation {
        let Self { to, expires_at } = self;
        let to = match to {
            InvitedRecord::FirstOwner => Invited::FirstOwner,
            InvitedRecord::User(id) => Invited::User(UserId::from_bytes(id)),
        };
        Invitation { hash, to, expires_at: Timestamp::from_millis(expires_at) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct SessionRecord {
    hash: [u8; 32],
    of: SignedInRecord,
    created_at: i64,
    user_agent: Option<String>,
    remote_address: Option<IpAddr>,
}
impl Record for SessionRecord {}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum SignedInRecord {
    User(IdBytes),
    Key([u8; 32]),
}

impl From<&Session> for SessionRecord {
    fn from(session: &Session) -> Self {
        let Session { id: _, hash, of, created_at, user_agent, remote_address } = session;
        let of = match of {
            SignedIn::User(id) => SignedInRecord::User(id.to_bytes()),
            SignedIn::Key(hash) => SignedInRecord::Key(hash.0),
        };
        Self {
            hash: hash.0,
            of,
            created_at: created_at.as_millis(),
            user_agent: user_agent.clone(),
            remote_address: *remote_address,
        }
    }
}

impl SessionRecord {
    pub(in crate::store) fn into_domain(self, id: SessionId) -> Session {
        let Self { hash, of, created_at, user_agent, remote_address } = self;
        let of = match of {
            SignedInRecord::User(id) => SignedIn::User(UserId::from_bytes(id)),
            SignedInRecord::Key(hash) => SignedIn::Key(KeyHash(hash)),
        };
        let (hash, created_at) = (TokenHash(hash), Timestamp::from_millis(created_at));
        Session { id, hash, of, created_at, user_agent, remote_address }
    }
}
