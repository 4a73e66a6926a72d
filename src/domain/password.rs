//! Passwords, and how what is kept of one is made: argon2id, slow on purpose.

use std::fmt;

use argon2::password_hash::{PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

/// In characters. A person who signs in from memory needs no more than a few words.
pub const PASSWORD_LENGTH_MIN: usize = 10;
/// In characters; what is longer only costs time.
pub const PASSWORD_LENGTH_MAX: usize = 256;
pub const SALT_BYTES: usize = 16;

/// What checking one password costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordCost {
    pub memory_kib: u32,
    pub passes: u32,
}

/// OWASP's Password Storage Cheat Sheet (2025) for argon2id: 19 MiB, 2 passes, 1 lane.
impl Default for PasswordCost {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2 }
    }
}

impl PasswordCost {
    /// The least that argon2 takes: for programs that check many passwords which protect nothing.
    pub const LEAST: Self = Self { memory_kib: Params::MIN_M_COST, passes: Params::MIN_T_COST };

    fn hasher(self) -> Argon2<'static> {
        let params = Params::new(self.memory_kib, self.passes, 1, None).expect("the costs are within argon2's bounds");
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
    }
}

/// A password as it was typed.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// In the PHC string format, with salt and cost.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl Password {
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub fn length(&self) -> usize {
        self.0.chars().count()
    }
}

impl PasswordHash {
    /// Takes as long as `cost` says.
    pub fn of(password: &Password, cost: PasswordCost, salt: [u8; SALT_BYTES]) -> Self {
        let salt = SaltString::encode_b64(&salt).expect("16 bytes are a salt");
        let hash = cost.hasher().hash_password(password.0.as_bytes(), &salt).expect("the lengths are within bounds");
        Self(hash.to_string())
    }

    /// Takes as long as making it did.
    pub fn is_of(&self, password: &Password) -> bool {
        let Ok(hash) = argon2::PasswordHash::new(&self.0) else { return false };
        Argon2::default().verify_password(password.0.as_bytes(), &hash).is_ok()
    }

    /// A text from the store; none when it is no such hash.
    pub fn from_stored(text: String) -> Option<Self> {
        argon2::PasswordHash::new(&text).is_ok().then_some(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    #[test]
    fn only_the_same_password_fits_and_what_is_kept_of_it_reads_back() {
        for cost in [PasswordCost::LEAST, PasswordCost::default()] {
            let hash = PasswordHash::of(&password("correct horse"), cost, [7; SALT_BYTES]);
            let hash = PasswordHash::from_stored(hash.as_str().to_owned()).unwrap();
            assert!(hash.is_of(&password("correct horse")) && !hash.is_of(&password("correct horsE")));
            assert_ne!(hash, PasswordHash::of(&password("correct horse"), cost, [8; SALT_BYTES]));
        }
    }

    #[test]
    fn the_usual_cost_is_what_owasp_says() {
        let hash = PasswordHash::of(&password("x"), PasswordCost::default(), [0; SALT_BYTES]);
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        assert_eq!(PasswordHash::from_stored("x".to_owned()), None);
    }
}
