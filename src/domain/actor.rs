//! Who makes a request, and what that one may do.

use std::fmt;
use std::sync::Arc;

use super::id::{KeyId, TenantId};
use super::key::{ApiKey, Preset, RateLimits, Scope, Scopes};
use super::restriction::Restriction;
use super::time::Timestamp;

/// Whoever a request comes from, already known to be allowed in. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Actor {
    Key(Arc<ApiKey>),
}

/// What quotas, idempotency keys and viewers go by. The ids of all kinds come from one generator, so that no two have the
/// same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActorId {
    Key(KeyId),
}

impl Actor {
    pub fn id(&self) -> ActorId {
        match self {
            Self::Key(key) => ActorId::Key(key.id),
        }
    }

    /// For people: in logs and histories.
    pub fn name(&self) -> &str {
        match self {
            Self::Key(key) => &key.name,
        }
    }

    /// The tenant that it is bound to; none for the whole instance.
    pub fn tenant(&self) -> Option<TenantId> {
        match self {
            Self::Key(key) => key.tenant,
        }
    }

    pub fn scopes(&self) -> Scopes {
        match self {
            Self::Key(key) => key.scopes,
        }
    }

    /// Whether it was made to read only, so that a refusal can say so.
    pub fn is_read_only_for(&self, scope: Scope) -> bool {
        match self {
            Self::Key(key) => key.preset == Some(Preset::ReadOnly) && !scope.is_read(),
        }
    }

    pub fn restriction(&self) -> &Restriction {
        match self {
            Self::Key(key) => &key.restriction,
        }
    }

    /// The key that sees only what it made itself, when the actor is one.
    pub fn restricted_key(&self) -> Option<KeyId> {
        match self {
            Self::Key(key) => (!key.restriction.is_empty()).then_some(key.id),
        }
    }

    /// The quotas that keys which it makes have at most.
    pub fn rate_limits(&self) -> RateLimits {
        match self {
            Self::Key(key) => key.rate_limits,
        }
    }

    /// When keys which it makes end at the latest; none: they need not end.
    pub fn expires_at(&self) -> Option<Timestamp> {
        match self {
            Self::Key(key) => key.expires_at,
        }
    }

    /// The key, when the request itself came with one.
    pub fn key(&self) -> Option<&ApiKey> {
        match self {
            Self::Key(key) => Some(key),
        }
    }
}

impl ActorId {
    pub fn to_bytes(self) -> [u8; 16] {
        match self {
            Self::Key(id) => id.to_bytes(),
        }
    }
}

impl From<KeyId> for ActorId {
    fn from(id: KeyId) -> Self {
        Self::Key(id)
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => id.fmt(f),
        }
    }
}
