//! Sessions: a browser that somebody signed in with, until it was idle for long, or the session is old.

use std::net::IpAddr;
use std::time::Duration;

use super::id::{SessionId, UserId};
use super::key::KeyHash;
use super::time::Timestamp;
use super::token::TokenHash;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A session that nobody used for so long is over …
pub const IDLE_MAX: Duration = DAY.saturating_mul(7);
/// … and so is one that is so old.
pub const AGE_MAX: Duration = DAY.saturating_mul(30);
/// Of one user or key; one more ends the oldest.
pub const SESSIONS_OF_ONE_MAX: usize = 20;
/// What is kept of how a browser names itself, in bytes.
pub const USER_AGENT_BYTES_MAX: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    /// Of the token in the cookie.
    pub hash: TokenHash,
    pub of: SignedIn,
    pub created_at: Timestamp,
    /// As the browser names itself, cut to [`USER_AGENT_BYTES_MAX`].
    pub user_agent: Option<String>,
    pub remote_address: Option<IpAddr>,
}

/// Whose session it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedIn {
    User(UserId),
    /// A key of the instance. By its text, so that the key of the environment is the same one after a restart only while
    /// its text is the same.
    Key(KeyHash),
}

impl Session {
    pub fn expires_at(&self, last_used_at: Option<Timestamp>) -> Timestamp {
        let used_at = last_used_at.unwrap_or(self.created_at).max(self.created_at);
        used_at.plus(IDLE_MAX).min(self.created_at.plus(AGE_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_is_used_lives_on_but_not_for_ever() {
        let at = |days: i64| Timestamp::from_millis(days * 24 * 60 * 60 * 1000);
        let session = Session {
            id: SessionId::from_u128(1),
            hash: TokenHash([0; 32]),
            of: SignedIn::User(UserId::from_u128(2)),
            created_at: at(0),
            user_agent: None,
            remote_address: None,
        };
        for (used, expected) in [(None, 7), (Some(1), 8), (Some(22), 29), (Some(23), 30), (Some(29), 30)] {
            assert_eq!(session.expires_at(used.map(at)), at(expected), "{used:?}");
        }
    }
}
