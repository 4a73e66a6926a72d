//! Users: the people who sign in at the console, and what each may do.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::id::UserId;
use super::key::{Preset, Scope, Scopes};
use super::password::PasswordHash;
use super::time::Timestamp;
use super::token::{Token, TokenHash};
use super::totp::Totp;

pub const NAME_LENGTH_MAX: usize = 128;
/// Of one instance. All of them are in memory.
pub const USERS_MAX: u32 = 1000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    /// No two users have the same.
    pub email: Email,
    /// May be empty.
    pub name: String,
    pub role: Role,
    /// None until the invitation is followed.
    pub password: Option<PasswordHash>,
    pub totp: Option<Totp>,
    pub last_signed_in_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl User {
    /// Whether somebody has yet to follow the invitation.
    pub fn is_invited(&self) -> bool {
        self.password.is_none()
    }

    /// Whether signing in takes a second factor.
    pub fn has_totp(&self) -> bool {
        self.totp.as_ref().is_some_and(|totp| totp.is_confirmed)
    }
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Owner,
    /// All but users and settings.
    Operator,
    /// Looks, and changes nothing.
    Viewer,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Owner, Self::Operator, Self::Viewer];

    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Made from the presets of keys, so that a new scope has one place.
    pub fn scopes(self) -> Scopes {
        let without = |preset: Preset, left_out: &[Scope]| {
            preset.scopes().iter().filter(|scope| !left_out.contains(scope)).collect()
        };
        match self {
            Self::Owner => Preset::FullAccess.scopes(),
            Self::Operator => without(Preset::FullAccess, &[Scope::UsersRead, Scope::UsersWrite, Scope::SettingsWrite]),
            Self::Viewer => without(Preset::ReadOnly, &[Scope::UsersRead]),
        }
    }
}

/// An e-mail address in lower case: one `@` with something on both sides, at most 254 characters, no spaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(String);

pub const EMAIL_EXPECTED: &str = "an e-mail address";
/// RFC 5321, 4.5.3.1.3 less the brackets.
const EMAIL_LENGTH_MAX: usize = 254;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address")]
pub struct InvalidEmail;

impl Email {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = InvalidEmail;

    fn from_str(text: &str) -> Result<Self, InvalidEmail> {
        let is_plain = |character: char| !character.is_whitespace() && !character.is_control();
        let (local, domain) = text.split_once('@').ok_or(InvalidEmail)?;
        let is_address = !local.is_empty() && !domain.is_empty() && !domain.contains('@');
        if text.len() > EMAIL_LENGTH_MAX || !is_address || !text.chars().all(is_plain) {
            return Err(InvalidEmail);
        }
        Ok(Self(text.to_lowercase()))
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How long an invitation can be followed.
pub const INVITATION_LIVES: Duration = Duration::from_secs(30 * 60);

/// Where whoever follows an invitation chooses a password. `base` is what links to the console begin with.
pub fn invitation_url(base: &str, token: &Token) -> String {
    format!("{base}/#/setup/{}", token.as_str())
}

/// Lets whoever has its token choose a password, once: the first user's, an invited one's, or a forgotten one anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    pub hash: TokenHash,
    pub to: Invited,
    pub expires_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invited {
    /// Becomes the first user, an owner.
    FirstOwner,
    User(UserId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused_and_case_makes_no_difference() {
        for text in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\n", &format!("a@{}", "b".repeat(253))] {
            assert_eq!(text.parse::<Email>(), Err(InvalidEmail), "{text}");
        }
        assert_eq!("Ann@Example.com".parse::<Email>().unwrap().as_str(), "ann@example.com");
    }

    #[test]
    fn each_role_may_do_what_the_one_above_it_may_and_never_more() {
        let [owner, operator, viewer] = Role::ALL.map(Role::scopes);
        assert!(operator.is_subset_of(owner) && viewer.is_subset_of(operator));
        assert_eq!(owner, Scope::ALL.iter().copied().collect());
        assert!(viewer.iter().all(Scope::is_read));
        for scope in [Scope::UsersRead, Scope::UsersWrite, Scope::SettingsWrite] {
            assert!(!operator.contains(scope) && !viewer.contains(scope), "{}", scope.name());
        }
        assert!(operator.contains(Scope::KeysWrite) && viewer.contains(Scope::AuditRead));
    }
}
