//! How deliveries look on the wire. A profile is data plus one signing function, in one file each.

pub mod mage;
pub mod standard;
pub mod verify;

use bytes::Bytes;

use super::event::Event;
use super::id::SubscriptionId;
use super::retry::Schedule;
use super::secret::Secret;
use super::subscription::Envelope;
use super::tenant::Tenant;
use super::time::Timestamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Profile {
    /// Standard Webhooks 1.0.0.
    #[default]
    Standard,
    /// Mage Loyalty's published deliveries.
    Mage,
}

/// What is to be delivered: the same for every attempt.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub event: &'a Event,
    pub data: &'a [u8],
    pub tenant: &'a Tenant,
    pub subscription: SubscriptionId,
}

/// A header name is lower-case; a value is visible ASCII.
pub type Headers = Vec<(&'static str, String)>;

impl Profile {
    pub const ALL: [Self; 2] = [Self::Standard, Self::Mage];

    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Mage => "mage",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// The bytes of the body. They are signed and sent as they are.
    pub fn body(self, message: &Message<'_>, envelope: Envelope) -> Bytes {
        match envelope {
            Envelope::Raw => Bytes::copy_from_slice(message.data),
            Envelope::Profile => match self {
                Self::Standard => standard::body(message),
                Self::Mage => mage::body(message),
            },
        }
    }

    /// Every header that the profile adds, `content-type` and `user-agent` included. `secrets` is what signs now,
    /// the current one first (never empty).
    pub fn headers(self, message: &Message<'_>, body: &[u8], secrets: &[&Secret], at: Timestamp) -> Headers {
        match self {
            Self::Standard => standard::headers(message, body, secrets, at),
            Self::Mage => mage::headers(message, body, secrets, at),
        }
    }

    pub fn schedule(self) -> &'static Schedule {
        match self {
            Self::Standard => &standard::SCHEDULE,
            Self::Mage => &mage::SCHEDULE,
        }
    }

    /// Whether subscriptions have a circuit breaker unless they say otherwise (contract 5.6).
    pub fn has_circuit_breaker(self) -> bool {
        match self {
            Self::Standard => true,
            Self::Mage => false,
        }
    }

    /// The text that a subscriber stores.
    pub fn show_secret(self, secret: &Secret) -> String {
        match self {
            Self::Standard => standard::show_secret(secret),
            Self::Mage => mage::show_secret(secret),
        }
    }

    /// What [`Self::show_secret`] wrote; none for any other text.
    pub fn read_secret(self, text: &str) -> Option<Secret> {
        match self {
            Self::Standard => standard::read_secret(text),
            Self::Mage => mage::read_secret(text),
        }
    }

    /// What a secret of the profile looks like, in words.
    pub fn secret_expected(self) -> &'static str {
        match self {
            Self::Standard => "whsec_ followed by 24 to 64 bytes in base64",
            Self::Mage => "64 lower-case hexadecimal characters",
        }
    }

    /// Whether a delivery can carry the signatures of two secrets.
    pub fn can_overlap(self) -> bool {
        match self {
            Self::Standard => true,
            Self::Mage => false,
        }
    }
}
