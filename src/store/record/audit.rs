//! The audit log on disk.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{IdBytes, Record};
use crate::domain::audit::{AuditActor, AuditEntry, AuditObject};
use crate::domain::id::TenantId;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct AuditRecord {
    action: String,
    /// Kind, id and name.
    actor: Option<(String, String, String)>,
    tenant: Option<IdBytes>,
    /// Kind and id.
    object: Option<(String, String)>,
    request_id: String,
    remote_address: Option<IpAddr>,
    status: u16,
}
impl Record for AuditRecord {}

impl From<AuditEntry> for AuditRecord {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { action, actor, tenant, object, request_id, remote_address, status } = entry;
        Self {
            action,
            actor: actor.map(|AuditActor { kind, id, name }| (kind, id, name)),
            tenant: tenant.map(TenantId::to_bytes),
            object: object.map(|AuditObject { kind, id }| (kind, id)),
            request_id,
            remote_address,
            status,
        }
    }
}

impl AuditRecord {
    pub(in crate::store) fn into_domain(self) -> AuditEntry {
        let Self { action, actor, tenant, object, request_id, remote_address, status } = self;
        AuditEntry {
            action,
            actor: actor.map(|(kind, id, name)| AuditActor { kind, id, name }),
            tenant: tenant.map(TenantId::from_bytes),
            object: object.map(|(kind, id)| AuditObject { kind, id }),
            request_id,
            remote_address,
            status,
        }
    }
}
