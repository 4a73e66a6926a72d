//! Who makes a request, and what that one may do.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::id::{KeyId, PortalLinkId, SessionId, TenantId, UserId};
use super::key::{ApiKey, Preset, Quota, RateLimits, Scope, Scopes};
use super::portal_link::PortalLink;
use super::restriction::Restriction;
use super::session::{Session, SignedIn};
use super::time::Timestamp;
use super::user::User;

/// Whoever a request comes from, already known to be allowed in. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Actor {
    Key(Arc<ApiKey>),
    /// In the portal of a tenant, by a link that has a session.
    Portal(Arc<PortalLink>),
    /// In the console.
    User {
        session: Arc<Session>,
        user: Arc<User>,
    },
    /// In the console, signed in with a key of the instance.
    KeyInSession {
        session: Arc<Session>,
        key: Arc<ApiKey>,
    },
}

/// As what somebody came in: what refusals and the audit log call them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorKind {
    /// Also in the console.
    Key,
    User,
    Portal,
}

/// What quotas, idempotency keys and viewers go by. The ids of all kinds come from one generator, so that no two have the
/// same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActorId {
    Key(KeyId),
    Session(SessionId),
    Portal(PortalLinkId),
}

/// Calls a second of a portal session.
const PORTAL_RATE: NonZeroU32 = NonZeroU32::new(50).expect("50 is not 0");

/// Nothing is kept from who has the whole instance.
static UNRESTRICTED: Restriction = Restriction { allowed_events: Vec::new(), channels: Vec::new() };

impl Actor {
    pub fn id(&self) -> ActorId {
        match self {
            Self::Key(key) => ActorId::Key(key.id),
            Self::User { session, .. } | Self::KeyInSession { session, .. } => ActorId::Session(session.id),
            Self::Portal(link) => ActorId::Portal(link.id),
        }
    }

    pub fn kind(&self) -> ActorKind {
        match self {
            Self::Key(_) | Self::KeyInSession { .. } => ActorKind::Key,
            Self::User { .. } => ActorKind::User,
            Self::Portal(_) => ActorKind::Portal,
        }
    }

    /// For people: in logs and histories.
    pub fn name(&self) -> &str {
        match self {
            Self::Key(key) | Self::KeyInSession { key, .. } => &key.name,
            Self::User { user, .. } if user.name.is_empty() => user.email.as_str(),
            Self::User { user, .. } => &user.name,
            Self::Portal(_) => "portal",
        }
    }

    /// The tenant that it is bound to; none for the whole instance.
    pub fn tenant(&self) -> Option<TenantId> {
        match self {
            Self::Key(key) | Self::KeyInSession { key, .. } => key.tenant,
            Self::User { .. } => None,
            Self::Portal(link) => Some(link.tenant),
        }
    }

    pub fn scopes(&self) -> Scopes {
        match self {
            Self::Key(key) | Self::KeyInSession { key, .. } => key.scopes,
            Self::User { user, .. } => user.role.scopes(),
            Self::Portal(link) => link.scopes(),
        }
    }

    /// Whether it was made to read only, so that a refusal can say so.
    pub fn is_read_only_for(&self, scope: Scope) -> bool {
        match self {
            Self::Key(key) | Self::KeyInSession { key, .. } => key.preset == Some(Preset::ReadOnly) && !scope.is_read(),
            Self::User { .. } => false,
            Self::Portal(link) => link.is_read_only && !scope.is_read(),
        }
    }

    pub fn restriction(&self) -> &Restriction {
        match self {
            Self::Key(key) | Self::KeyInSession { key, .. } => &key.restriction,
            Self::User { .. } | Self::Portal(_) => &UNRESTRICTED,
        }
    }

    /// The key that sees only what it made itself, when the actor is one.
    pub fn restricted_key(&self) -> Option<KeyId> {
        match self {
            Self::Key(key) | Self::KeyInSession { key, .. } => (!key.restriction.is_empty()).then_some(key.id),
            Self::User { .. } | Self::Portal(_) => None,
        }
    }

    /// The quotas that keys which it makes have at most.
    pub fn rate_limits(&self) -> RateLimits {
        match self {
            Self::Key(key) | Self::KeyInSession { key, .. } => key.rate_limits,
            Self::User { .. } => RateLimits::default(),
            Self::Portal(_) => RateLimits { management: Quota::PerSecond(PORTAL_RATE), ..RateLimits::default() },
        }
    }

    /// When keys which it makes end at the latest; none: they need not end.
    pub fn expires_at(&self) -> Option<Timestamp> {
        match self {
            Self::Key(key) | Self::KeyInSession { key, .. } => key.expires_at,
            Self::User { .. } => None,
            Self::Portal(link) => Some(link.over_at()),
        }
    }

    /// The key, when the request itself came with one.
    pub fn key(&self) -> Option<&ApiKey> {
        match self {
            Self::Key(key) => Some(key),
            Self::User { .. } | Self::KeyInSession { .. } | Self::Portal(_) => None,
        }
    }

    /// The user, when it is one.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::User { user, .. } => Some(user.id),
            Self::Key(_) | Self::KeyInSession { .. } | Self::Portal(_) => None,
        }
    }

    /// The session, when it is in one.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::User { session, .. } | Self::KeyInSession { session, .. } => Some(session.id),
            Self::Key(_) | Self::Portal(_) => None,
        }
    }

    /// The link that it came into the portal by.
    pub fn portal_link(&self) -> Option<PortalLinkId> {
        match self {
            Self::Portal(link) => Some(link.id),
            Self::Key(_) | Self::User { .. } | Self::KeyInSession { .. } => None,
        }
    }

    /// Whose sessions are its own.
    pub fn signed_in(&self) -> Option<SignedIn> {
        match self {
            Self::User { session, .. } | Self::KeyInSession { session, .. } => Some(session.of),
            Self::Key(key) => Some(SignedIn::Key(key.hash)),
            Self::Portal(_) => None,
        }
    }
}

impl ActorKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::User => "user",
            Self::Portal => "portal",
        }
    }
}

impl ActorId {
    pub fn to_bytes(self) -> [u8; 16] {
        match self {
            Self::Key(id) => id.to_bytes(),
            Self::Session(id) => id.to_bytes(),
            Self::Portal(id) => id.to_bytes(),
        }
    }
}

impl From<SessionId> for ActorId {
    fn from(id: SessionId) -> Self {
        Self::Session(id)
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
            Self::Session(id) => id.fmt(f),
            Self::Portal(id) => id.fmt(f),
        }
    }
}
