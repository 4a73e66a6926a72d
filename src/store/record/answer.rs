//! Remembered answers on disk; those that show a secret are encrypted.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{IdBytes, Record};
use crate::domain::actor::ActorId;
use crate::domain::id::{KeyId, SubscriptionId, TenantId, UserId};
use crate::domain::time::Timestamp;
use crate::store::crypt::{Crypt, KeyChange, Sealed};
use crate::store::{RequestName, SecretOwner, StoredAnswer};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum BodyRecord {
    Plain(Bytes),
    /// It shows a secret.
    Sealed(SecretOwnerRecord, Sealed),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum SecretOwnerRecord {
    Subscription(IdBytes),
    Key(IdBytes),
    Tenant(IdBytes),
    User(IdBytes),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct AnswerRecord {
    pub body_sha256: [u8; 32],
    /// Who asked.
    pub asker: IdBytes,
    pub created_at: i64,
    status: u16,
    headers: Vec<(String, String)>,
    body: BodyRecord,
}
impl Record for AnswerRecord {}

fn answer_label(request: RequestName) -> Vec<u8> {
    [b"answers/", &request.0[..]].concat()
}

impl AnswerRecord {
    pub(in crate::store) fn from_domain(
        answer: StoredAnswer,
        request: RequestName,
        body_sha256: [u8; 32],
        asker: ActorId,
        created_at: Timestamp,
        crypt: &Crypt,
    ) -> Self {
        let StoredAnswer { status, headers, body, shows_secret_of } = answer;
        let body = match shows_secret_of {
            None => BodyRecord::Plain(body),
            Some(owner) => {
                let owner = match owner {
                    SecretOwner::Subscription(id) => SecretOwnerRecord::Subscription(id.to_bytes()),
                    SecretOwner::Key(id) => SecretOwnerRecord::Key(id.to_bytes()),
                    SecretOwner::Tenant(id) => SecretOwnerRecord::Tenant(id.to_bytes()),
                    SecretOwner::User(id) => SecretOwnerRecord::User(id.to_bytes()),
                };
                BodyRecord::Sealed(owner, crypt.seal(&body, &answer_label(request)))
            }
        };
        Self { body_sha256, asker: asker.to_bytes(), created_at: created_at.as_millis(), status, headers, body }
    }

    pub(in crate::store) fn shows_secret_of(&self) -> Option<SecretOwner> {
        match &self.body {
            BodyRecord::Plain(_) => None,
            BodyRecord::Sealed(SecretOwnerRecord::Subscription(id), _) => {
                Some(SecretOwner::Subscription(SubscriptionId::from_bytes(*id)))
            }
            BodyRecord::Sealed(SecretOwnerRecord::Key(id), _) => Some(SecretOwner::Key(KeyId::from_bytes(*id))),
            BodyRecord::Sealed(SecretOwnerRecord::Tenant(id), _) => {
                Some(SecretOwner::Tenant(TenantId::from_bytes(*id)))
            }
            BodyRecord::Sealed(SecretOwnerRecord::User(id), _) => Some(SecretOwner::User(UserId::from_bytes(*id))),
        }
    }

    pub(in crate::store) fn reseal(&mut self, request: RequestName, change: &KeyChange<'_>) -> Option<()> {
        match &mut self.body {
            BodyRecord::Plain(_) => Some(()),
            BodyRecord::Sealed(_, sealed) => change.reseal(sealed, &answer_label(request)),
        }
    }

    pub(in crate::store) fn into_domain(self, request: RequestName, crypt: &Crypt) -> Option<StoredAnswer> {
        let shows_secret_of = self.shows_secret_of();
        let Self { body_sha256: _, asker: _, created_at: _, status, headers, body } = self;
        let body = match body {
            BodyRecord::Plain(body) => body,
            BodyRecord::Sealed(_, sealed) => Bytes::copy_from_slice(&crypt.open(&sealed, &answer_label(request))?),
        };
        Some(StoredAnswer { status, headers, body, shows_secret_of })
    }
}
