//! The audit log: who changed what, and when.

use std::net::IpAddr;

use super::id::TenantId;

/// One write that somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// The operation, as the API's document calls it: `subscriptions.create`; one that was refused ends with `_failed`, a
    /// trial with `_dry_run`.
    pub action: String,
    /// None: it was asked without being let in as anybody.
    pub actor: Option<AuditActor>,
    /// None: it concerns the instance.
    pub tenant: Option<TenantId>,
    pub object: Option<AuditObject>,
    pub request_id: String,
    pub remote_address: Option<IpAddr>,
    /// Of HTTP.
    pub status: u16,
}

/// Who asked, as of then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditActor {
    /// `key`, `user` or `portal`
    pub kind: String,
    pub id: String,
    pub name: String,
}

/// What it was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditObject {
    pub kind: String,
    pub id: String,
}
