//! Portal links: how a tenant's own people get into the portal, once and for a while.

use std::time::Duration;

use super::id::{PortalLinkId, PortalSessionId, TenantId};
use super::key::{Preset, Scope, Scopes};
use super::time::Timestamp;
use super::token::TokenHash;

/// How long a link can be followed, in seconds, and how long unless it says otherwise.
pub const LINK_SECONDS_MIN: u32 = 300;
pub const LINK_SECONDS_MAX: u32 = 24 * 60 * 60;
pub const LINK_SECONDS_DEFAULT: u32 = 60 * 60;
/// How long the session lives that is made from it.
pub const SESSION_SECONDS_MIN: u32 = 300;
pub const SESSION_SECONDS_MAX: u32 = 12 * 60 * 60;
pub const SESSION_SECONDS_DEFAULT: u32 = 60 * 60;
/// Links of one tenant that can be followed, or whose session lives.
pub const LINKS_MAX: u32 = 1_000;
/// How long one that is over can still be seen.
pub const KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// What bearers of portal sessions begin with.
pub const BEARER_PREFIX: &str = "wp_";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalLink {
    pub id: PortalLinkId,
    pub tenant: TenantId,
    /// Of the token in its URL.
    pub hash: TokenHash,
    pub is_read_only: bool,
    pub session_seconds: u32,
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    /// Made from it: at most one.
    pub session: Option<PortalSession>,
    pub created_at: Timestamp,
}

/// A browser in the portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortalSession {
    /// Of the bearer.
    pub hash: TokenHash,
    pub began_at: Timestamp,
    pub expires_at: Timestamp,
}

impl PortalLink {
    /// Whether a session can be made from it.
    pub fn can_be_followed(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.session.is_none() && now < self.expires_at
    }

    /// The session while it lets somebody in.
    pub fn live_session(&self, now: Timestamp) -> Option<&PortalSession> {
        self.session.as_ref().filter(|session| self.revoked_at.is_none() && now < session.expires_at)
    }

    /// When it came or comes to be of no use.
    pub fn over_at(&self) -> Timestamp {
        let end = self.session.as_ref().map_or(self.expires_at, |session| session.expires_at);
        self.revoked_at.map_or(end, |revoked_at| revoked_at.min(end))
    }

    /// It has the number of its link: there is never another one.
    pub fn session_id(&self) -> PortalSessionId {
        PortalSessionId::from_u128(self.id.as_u128())
    }

    /// What its session may do.
    pub fn scopes(&self) -> Scopes {
        let all = Preset::Subscriber.scopes();
        if self.is_read_only { all.iter().filter(|scope| Scope::is_read(*scope)).collect() } else { all }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_followed_once_and_its_session_ends_with_its_time_or_with_the_link() {
        let at = Timestamp::from_millis;
        let session = PortalSession { hash: TokenHash([1; 32]), began_at: at(50), expires_at: at(200) };
        let fresh = PortalLink {
            id: PortalLinkId::from_u128(1),
            tenant: TenantId::DEFAULT,
            hash: TokenHash([0; 32]),
            is_read_only: false,
            session_seconds: 300,
            expires_at: at(100),
            revoked_at: None,
            session: None,
            created_at: at(0),
        };
        let used = PortalLink { session: Some(session), ..fresh.clone() };
        let revoked = PortalLink { revoked_at: Some(at(60)), ..used.clone() };
        for (link, now, can_be_followed, is_in, over_at) in [
            (&fresh, 99, true, false, 100),
            (&fresh, 100, false, false, 100),
            (&used, 99, false, true, 200),
            (&used, 199, false, true, 200),
            (&used, 200, false, false, 200),
            (&revoked, 99, false, false, 60),
        ] {
            let found = (link.can_be_followed(at(now)), link.live_session(at(now)).is_some(), link.over_at());
            assert_eq!(found, (can_be_followed, is_in, at(over_at)), "{link:?} at {now}");
        }
        let read_only = PortalLink { is_read_only: true, ..fresh.clone() };
        assert!(read_only.scopes().iter().all(Scope::is_read) && read_only.scopes() != Scopes::default());
        assert!(fresh.scopes().contains(Scope::SubscriptionsWrite) && !fresh.scopes().contains(Scope::KeysWrite));
    }
}
