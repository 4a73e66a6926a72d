//! Random texts that let somebody in for a while: of sessions and invitations. Only their hash is stored.

use std::fmt;
use std::hash::{Hash, Hasher};

use rand::{Rng, RngExt};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const LENGTH: usize = 40;

/// 40 characters of base62.
pub struct Token(Zeroizing<String>);

/// SHA-256 of the text. It has 238 random bits, so a slow hash would protect nothing.
#[derive(Clone, Copy, Eq)]
pub struct TokenHash(pub [u8; 32]);

/// In constant time.
impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for TokenHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Token {
    pub fn generate(chance: &mut impl Rng) -> Self {
        let text = (0..LENGTH).map(|_| char::from(BASE62[chance.random_range(0..BASE62.len())]));
        Self(Zeroizing::new(text.collect()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

impl TokenHash {
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}
