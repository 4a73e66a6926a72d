//! The key bytes that sign deliveries. How they are shown depends on the profile (`domain::profile`).

use std::fmt;

use rand::{Rng, RngExt};
use zeroize::Zeroizing;

use super::time::Timestamp;

/// 24 to 64 key bytes (Standard Webhooks 1.0.0, "symmetric": the same bounds for every profile).
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// Fewer than 24 or more than 64 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signing secret has 24 to 64 bytes")]
pub struct InvalidSecret;

pub const SECRET_BYTES_MIN: usize = 24;
pub const SECRET_BYTES_MAX: usize = 64;
const SECRET_BYTES_GENERATED: usize = 32;

impl Secret {
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, InvalidSecret> {
        let bytes = Zeroizing::new(bytes);
        if (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(InvalidSecret) }
    }

    pub fn generate(chance: &mut impl Rng) -> Self {
        Self(Zeroizing::new(chance.random::<[u8; SECRET_BYTES_GENERATED]>().to_vec()))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A rotated secret that goes on signing beside the current one until it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousSecret {
    pub secret: Secret,
    pub expires_at: Timestamp,
}

/// A secret in use, and the one before it.
#[derive(Debug, Clone, Copy)]
pub struct Signer<'a> {
    pub secret: &'a Secret,
    /// Counts rotations, from 1.
    pub version: u32,
    pub previous: Option<&'a PreviousSecret>,
}

impl<'a> Signer<'a> {
    /// Everything that signs at `now`: the current secret first, the rotated one while it lives.
    pub fn secrets(self, now: Timestamp) -> impl Iterator<Item = &'a Secret> {
        let previous = self.previous.filter(|previous| now < previous.expires_at);
        std::iter::once(self.secret).chain(previous.map(|previous| &previous.secret))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
