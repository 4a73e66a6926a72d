//! Portal links on disk: of tokens and bearers, the hash alone.

use serde::{Deserialize, Serialize};

use super::{IdBytes, Record, millis, timestamp};
use crate::domain::id::{PortalLinkId, TenantId};
use crate::domain::portal_link::{PortalLink, PortalSession};
use crate::domain::time::Timestamp;
use crate::domain::token::TokenHash;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct PortalLinkRecord {
    tenant: IdBytes,
    hash: [u8; 32],
    is_read_only: bool,
    session_seconds: u32,
    expires_at: i64,
    revoked_at: Option<i64>,
    session: Option<PortalSessionRecord>,
    created_at: i64,
}
impl Record for PortalLinkRecord {}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PortalSessionRecord {
    hash: [u8; 32],
    began_at: i64,
    expires_at: i64,
}

impl From<&PortalLink> for PortalLinkRecord {
    fn from(link: &PortalLink) -> Self {
        let PortalLink {
            id: _,
            tenant,
            hash,
            is_read_only,
            session_seconds,
            expires_at,
            revoked_at,
            session,
            created_at,
        } = link;
        let session = session.as_ref().map(|PortalSession { hash, began_at, expires_at }| PortalSessionRecord {
            hash: hash.0,
            began_at: began_at.as_millis(),
            expires_at: expires_at.as_millis(),
        });
        Self {
            tenant: tenant.to_bytes(),
            hash: hash.0,
            is_read_only: *is_read_only,
            session_seconds: *session_seconds,
            expires_at: expires_at.as_millis(),
            revoked_at: millis(*revoked_at),
            session,
            created_at: created_at.as_millis(),
        }
    }
}

impl PortalLinkRecord {
    pub(in crate::store) fn into_domain(self, id: PortalLinkId) -> PortalLink {
        let Self { tenant, hash, is_read_only, session_seconds, expires_at, revoked_at, session, created_at } = self;
        let session = session.map(|PortalSessionRecord { hash, began_at, expires_at }| PortalSession {
            hash: TokenHash(hash),
            began_at: Timestamp::from_millis(began_at),
            expires_at: Timestamp::from_millis(expires_at),
        });
        PortalLink {
            id,
            tenant: TenantId::from_bytes(tenant),
            hash: TokenHash(hash),
            is_read_only,
            session_seconds,
            expires_at: Timestamp::from_millis(expires_at),
            revoked_at: timestamp(revoked_at),
            session,
            created_at: Timestamp::from_millis(created_at),
        }
    }
}
