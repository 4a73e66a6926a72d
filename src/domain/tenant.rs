//! A tenant: one customer of the operator. Every subscription, event and delivery belongs to exactly one.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use super::header::HeaderPrefix;
use super::id::TenantId;
use super::profile::Profile;
use super::secret::{PreviousSecret, Secret, Signer};
use super::time::Timestamp;

/// Subscriptions a tenant may have unless its own limit says otherwise (contract 4.1).
pub const SUBSCRIPTIONS_MAX_DEFAULT: u32 = 50;
/// The largest limit that can be set.
pub const SUBSCRIPTIONS_MAX_CEILING: u32 = 1_000_000;
pub const NAME_LENGTH_MAX: usize = 128;
/// How long a tenant's rotated secret goes on signing unless a rotation says otherwise (contract 4.4).
pub const SECRET_OVERLAP_DEFAULT: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub id: TenantId,
    pub external_id: Option<ExternalId>,
    pub name: String,
    /// How deliveries of new subscriptions look; a subscription keeps the one that it was made with.
    pub profile: Profile,
    /// What the names of a profile's own headers begin with, instead of the profile's brand (`x-marea-`).
    pub header_prefix: Option<HeaderPrefix>,
    /// Signs for the subscriptions that ask for it. None until it is needed or rotated for the first time.
    pub secret: Option<TenantSecret>,
    pub metadata: Metadata,
    pub subscriptions_max: u32,
    pub retention: OwnRetention,
    /// Deliveries per second to all its subscriptions together; none: as for the whole instance.
    pub rate_limit: Option<NonZeroU32>,
    /// Counts changes of the configuration; it is the ETag.
    pub revision: u32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Tenant {
    /// `default` and `system` cannot be deleted.
    pub fn is_permanent(&self) -> bool {
        self.id == TenantId::DEFAULT || self.id == TenantId::SYSTEM
    }

    /// `secret` signs from now on, and the last one beside it for as long as `overlap`.
    pub fn rotate_secret(&mut self, secret: Secret, overlap: Duration, now: Timestamp) {
        let expires_at = now.plus(overlap);
        self.secret = Some(match self.secret.take() {
            None => TenantSecret::first(secret),
            Some(TenantSecret { secret: last, version, previous: _ }) => TenantSecret {
                secret,
                version: version + 1,
                previous: (!overlap.is_zero()).then_some(PreviousSecret { secret: last, expires_at }),
            },
        });
    }
}

/// How long what a tenant has is kept, in days, where that is not as for the whole instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnRetention {
    /// What events say, and what was sent.
    pub payload_days: Option<u32>,
    /// All else of events, and their deliveries.
    pub metadata_days: Option<u32>,
}

/// The signing secret of a whole tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSecret {
    pub secret: Secret,
    /// Counts rotations, from 1.
    pub version: u32,
    pub previous: Option<PreviousSecret>,
}

impl TenantSecret {
    pub fn first(secret: Secret) -> Self {
        Self { secret, version: 1, previous: None }
    }

    pub fn signer(&self) -> Signer<'_> {
        Signer { secret: &self.secret, version: self.version, previous: self.previous.as_ref() }
    }
}

/// The operator's own name for a tenant or an event.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExternalId(String);

/// What an external id may be, in words.
pub const EXTERNAL_ID_EXPECTED: &str = "1 to 128 characters of A-Z a-z 0-9 . _ : -";
const EXTERNAL_ID_LENGTH_MAX: usize = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an external id has {EXTERNAL_ID_EXPECTED}")]
pub struct InvalidExternalId;

impl ExternalId {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Names that a tenant cannot take: they mean something else in the `Waxwing-Tenant` header.
    pub fn is_reserved_for_tenants(&self) -> bool {
        self.0 == "default" || self.0 == "system" || self.0.starts_with("tnt_")
    }
}

impl FromStr for ExternalId {
    type Err = InvalidExternalId;

    fn from_str(text: &str) -> Result<Self, InvalidExternalId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if text.is_empty() || text.len() > EXTERNAL_ID_LENGTH_MAX || !text.bytes().all(allowed) {
            return Err(InvalidExternalId);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Free text pairs of the operator, shown back as they came. At most [`METADATA_PAIRS_MAX`].
pub type Metadata = BTreeMap<String, String>;

pub const METADATA_PAIRS_MAX: usize = 50;
pub const METADATA_KEY_LENGTH_MAX: usize = 64;
pub const METADATA_VALUE_LENGTH_MAX: usize = 512;
