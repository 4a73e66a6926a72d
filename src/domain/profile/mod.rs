//! How deliveries look on the wire. A profile is data plus one signing function, in one file each.

pub mod agentmessage;
#[cfg(test)]
pub(super) mod fixture;
pub mod mage;
pub mod marea;
pub mod recipe;
pub mod standard;
pub mod verify;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::event::Event;
use super::header::HeaderPrefix;
use super::id::DeliveryId;
use super::retry::Schedule;
use super::secret::Secret;
use super::subscription::{Envelope, Subscription};
use super::tenant::Tenant;
use super::time::Timestamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Profile {
    /// Standard Webhooks 1.0.0.
    #[default]
    Standard,
    /// Mage Loyalty's published deliveries.
    Mage,
    /// Marea's published deliveries.
    Marea,
    /// AgentMessage's published signature.
    AgentMessage,
}

/// Which edition of its contract the envelope of a delivery follows, by its date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiVersion {
    V2026_04_01,
    V2026_05_12,
    V2026_11_01,
}

impl ApiVersion {
    pub const ALL: [Self; 3] = [Self::V2026_04_01, Self::V2026_05_12, Self::V2026_11_01];

    pub fn name(self) -> &'static str {
        match self {
            Self::V2026_04_01 => "2026-04-01",
            Self::V2026_05_12 => "2026-05-12",
            Self::V2026_11_01 => "2026-11-01",
        }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is to be delivered: the same for every attempt.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub event: &'a Event,
    pub data: &'a [u8],
    pub tenant: &'a Tenant,
}

/// One attempt to deliver it.
#[derive(Debug, Clone, Copy)]
pub struct Sending<'a> {
    pub subscription: &'a Subscription,
    pub delivery: DeliveryId,
    /// From 1.
    pub number: u16,
    /// What signs now, the current one first (never empty).
    pub secrets: &'a [&'a Secret],
    /// Of the current one.
    pub secret_version: u32,
    pub at: Timestamp,
}

/// A header name is lower-case; a value is visible ASCII.
pub type Headers = Vec<(Cow<'static, str>, String)>;

impl Profile {
    pub const ALL: [Self; 4] = [Self::Standard, Self::Mage, Self::Marea, Self::AgentMessage];
    /// The names of [`Self::ALL`], in words.
    pub const NAMES_EXPECTED: &'static str = "'standard', 'mage', 'marea' or 'agentmessage'";

    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Mage => "mage",
            Self::Marea => "marea",
            Self::AgentMessage => "agentmessage",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// What a subscription can choose from; the first one is what it has when it does not.
    pub fn api_versions(self) -> &'static [ApiVersion] {
        match self {
            Self::Standard => &standard::API_VERSIONS,
            Self::Mage => &[],
            Self::Marea => &[marea::API_VERSION],
            Self::AgentMessage => &[agentmessage::API_VERSION],
        }
    }

    /// [`Self::api_versions`], in words.
    pub fn api_versions_expected(self) -> &'static str {
        match self {
            Self::Standard => "'2026-04-01' or '2026-11-01'",
            Self::Mage => "absent: the profile mage has no versions",
            Self::Marea => "'2026-05-12': the profile marea has no other",
            Self::AgentMessage => "'2026-04-01': the profile agentmessage has no other",
        }
    }

    pub fn api_version_default(self) -> Option<ApiVersion> {
        self.api_versions().first().copied()
    }

    /// The bytes of the body. They are signed and sent as they are. `api_version` is one of the profile's.
    pub fn body(self, message: &Message<'_>, envelope: Envelope, api_version: Option<ApiVersion>) -> Bytes {
        match envelope {
            Envelope::Raw => Bytes::copy_from_slice(message.data),
            Envelope::Profile => match self {
                Self::Standard => standard::body(message, api_version),
                Self::Mage => mage::body(message),
                Self::Marea => marea::body(message),
                Self::AgentMessage => agentmessage::body(message),
            },
        }
    }

    /// Every header that the profile adds, `content-type` and `user-agent` included.
    pub fn headers(self, message: &Message<'_>, body: &[u8], sending: &Sending<'_>) -> Headers {
        match self {
            Self::Standard => standard::headers(message, body, sending),
            Self::Mage => mage::headers(message, body, sending),
            Self::Marea => marea::headers(message, body, sending),
            Self::AgentMessage => agentmessage::headers(message, body, sending),
        }
    }

    pub fn schedule(self) -> &'static Schedule {
        match self {
            Self::Standard => &standard::SCHEDULE,
            Self::Mage => &mage::SCHEDULE,
            Self::Marea => &marea::SCHEDULE,
            Self::AgentMessage => &agentmessage::SCHEDULE,
        }
    }

    /// Whether subscriptions have a circuit breaker unless they say otherwise (contract 5.6).
    pub fn has_circuit_breaker(self) -> bool {
        match self {
            Self::Standard | Self::AgentMessage => true,
            Self::Mage | Self::Marea => false,
        }
    }

    /// The text that a subscriber stores.
    pub fn show_secret(self, secret: &Secret) -> String {
        match self {
            Self::Standard => standard::show_secret(secret),
            Self::Mage => mage::show_secret(secret),
            Self::Marea => marea::show_secret(secret),
            Self::AgentMessage => agentmessage::show_secret(secret),
        }
    }

    /// What [`Self::show_secret`] wrote; none for any other text.
    pub fn read_secret(self, text: &str) -> Option<Secret> {
        match self {
            Self::Standard => standard::read_secret(text),
            Self::Mage => mage::read_secret(text),
            Self::Marea => marea::read_secret(text),
            Self::AgentMessage => agentmessage::read_secret(text),
        }
    }

    /// What a secret of the profile looks like, in words.
    pub fn secret_expected(self) -> &'static str {
        match self {
            Self::Standard => "whsec_ followed by 24 to 64 bytes in base64",
            Self::Mage | Self::Marea => "64 lower-case hexadecimal characters",
            Self::AgentMessage => "32 bytes in base64: 44 characters",
        }
    }

    /// Whether a delivery can carry the signatures of two secrets.
    pub fn can_overlap(self) -> bool {
        match self {
            Self::Standard => true,
            Self::Mage | Self::Marea | Self::AgentMessage => false,
        }
    }

    /// Whether a delivery can carry an ed25519 signature beside that of the secret.
    pub fn has_key_pairs(self) -> bool {
        match self {
            Self::Standard => true,
            Self::Mage | Self::Marea | Self::AgentMessage => false,
        }
    }
}

/// What follows the brand part in the names of a profile's own headers.
pub(super) const BRANDED_NAMES: [&str; 9] = [
    "delivery-id",
    "endpoint-id",
    "event",
    "event-id",
    "event-type",
    "signature",
    "signing-version",
    "source",
    "timestamp",
];

/// Names a profile's own headers: after the `tenant`'s brand part if it has one, else after the profile's `own`.
fn branded<'a>(own: &'static str, tenant: Option<&'a HeaderPrefix>) -> impl Fn(&str) -> Cow<'static, str> + 'a {
    let prefix = tenant.map_or(own, HeaderPrefix::as_str);
    move |rest| Cow::Owned([prefix, rest].concat())
}

#[cfg(test)]
mod tests {
    use super::fixture::Fixture;
    use super::*;

    #[test]
    fn the_tenants_brand_part_replaces_the_profiles_and_nothing_else() {
        let mut fixture = Fixture::default();
        let own = ["", "x-webhook-", "x-marea-", "x-amcore-"];
        let names = |fixture: &Fixture, profile: Profile| {
            let mut names = Vec::new();
            fixture.with_message(|message, sending| names = profile.headers(message, b"{}", sending));
            names.into_iter().map(|(name, _)| name.into_owned()).collect::<Vec<_>>()
        };
        let before = Profile::ALL.map(|profile| names(&fixture, profile));
        fixture.tenant.header_prefix = Some("X-Acme-".parse().unwrap());
        let after = Profile::ALL.map(|profile| names(&fixture, profile));
        assert_eq!(before[0], after[0], "the names of Standard Webhooks are nobody's brand");
        for ((before, after), own) in before.iter().zip(&after).zip(own).skip(1) {
            assert!(after.iter().any(|name| name == "x-acme-signature"), "{after:?}");
            let renamed: Vec<String> = before.iter().map(|name| name.replacen(own, "x-acme-", 1)).collect();
            assert_eq!(&renamed, after);
        }
    }

    #[test]
    fn names_and_what_is_expected_of_them_agree() {
        for profile in Profile::ALL {
            assert_eq!(Profile::from_name(profile.name()), Some(profile));
            assert!(Profile::NAMES_EXPECTED.contains(&format!("'{}'", profile.name())));
        }
    }

    #[test]
    fn what_is_expected_of_a_version_names_each_that_there_is_and_no_other() {
        for profile in Profile::ALL {
            for version in ApiVersion::ALL {
                let is_named = profile.api_versions_expected().contains(version.name());
                assert_eq!(is_named, profile.api_versions().contains(&version), "{} {version}", profile.name());
            }
        }
    }

    #[test]
    fn every_profile_reads_the_secrets_that_it_shows() {
        let secret = Secret::from_bytes((0..32).collect()).unwrap();
        for profile in Profile::ALL {
            assert_eq!(
                profile.read_secret(&profile.show_secret(&secret)).as_ref(),
                Some(&secret),
                "{}",
                profile.name()
            );
        }
    }
}
