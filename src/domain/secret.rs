//! The key bytes that sign deliveries. How they are shown depends on the profile (`domain::profile`).

use std::fmt;

use rand::{Rng, RngExt};
use zeroize::Zeroizing;

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

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
