//! Secrets at rest: XChaCha20-Poly1305 under the instance's secret key, each bound to the row that holds it.

use std::sync::Mutex;

use bytes::Bytes;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::rand_core::UnwrapErr;
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::domain::secret::Secret;

const NONCE_BYTES: usize = 24;
/// What the key check seals.
const CHECK_TEXT: &[u8] = b"waxwing";
const CHECK_LABEL: &[u8] = b"meta/key_check";

/// A nonce and a ciphertext with its tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sealed(Bytes);

/// From one key to another.
pub(super) struct KeyChange<'a> {
    pub(super) from: &'a Crypt,
    pub(super) to: &'a Crypt,
}

impl KeyChange<'_> {
    /// Seals the same under the new key. None when the old one does not open it.
    pub(super) fn reseal(&self, sealed: &mut Sealed, label: &[u8]) -> Option<()> {
        *sealed = self.to.seal(&self.from.open(sealed, label)?, label);
        Some(())
    }
}

pub(super) struct Crypt {
    cipher: XChaCha20Poly1305,
    chance: Chance,
}

/// Where nonces and secrets come from. 192 random bits never repeat.
enum Chance {
    System,
    /// A simulation, whose traces must repeat.
    Seeded(Box<Mutex<StdRng>>),
}

impl Crypt {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(key.into()), chance: Chance::System }
    }

    /// Chance that repeats with the seed: only for a disk in memory.
    pub(super) fn seeded(key: &[u8; 32], seed: u64) -> Self {
        Self {
            cipher: XChaCha20Poly1305::new(key.into()),
            chance: Chance::Seeded(Box::new(Mutex::new(StdRng::seed_from_u64(seed)))),
        }
    }

    /// Encrypts. `label` says what and where it is; only the same label opens it.
    pub(super) fn seal(&self, text: &[u8], label: &[u8]) -> Sealed {
        let mut nonce = [0; NONCE_BYTES];
        match &self.chance {
            Chance::System => {
                SysRng.try_fill_bytes(&mut nonce).expect("an operating system without random numbers cannot go on");
            }
            Chance::Seeded(chance) => {
                chance.lock().expect("nothing panics while it holds the lock").fill_bytes(&mut nonce);
            }
        }
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: text, aad: label })
            .expect("a text of less than 256 GiB can be encrypted");
        Sealed([&nonce[..], &sealed].concat().into())
    }

    /// None when the key or the label is another one, or the bytes were changed.
    pub(super) fn open(&self, sealed: &Sealed, label: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, text) = sealed.0.split_first_chunk::<NONCE_BYTES>()?;
        let opened = self.cipher.decrypt(&XNonce::from(*nonce), Payload { msg: text, aad: label }).ok()?;
        Some(Zeroizing::new(opened))
    }

    /// A secret that nobody knows yet.
    pub(super) fn new_secret(&self) -> Secret {
        match &self.chance {
            Chance::System => Secret::generate(&mut UnwrapErr(SysRng)),
            Chance::Seeded(chance) => {
                Secret::generate(&mut *chance.lock().expect("nothing panics while it holds the lock"))
            }
        }
    }

    /// What a store keeps to know its key again.
    pub(super) fn key_check(&self) -> Vec<u8> {
        self.seal(CHECK_TEXT, CHECK_LABEL).0.to_vec()
    }

    pub(super) fn is_key_of(&self, key_check: &[u8]) -> bool {
        let sealed = Sealed(Bytes::copy_from_slice(key_check));
        self.open(&sealed, CHECK_LABEL).is_some_and(|text| *text == CHECK_TEXT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_label_open_what_was_sealed() {
        let crypt = Crypt::new(&[7; 32]);
        let sealed = crypt.seal(b"a secret", b"row 1");
        assert_eq!(*crypt.open(&sealed, b"row 1").unwrap(), b"a secret");
        assert!(crypt.open(&sealed, b"row 2").is_none());
        assert!(Crypt::new(&[8; 32]).open(&sealed, b"row 1").is_none());
        let mut changed = sealed.0.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        assert!(crypt.open(&Sealed(changed.into()), b"row 1").is_none());
        assert!(crypt.open(&Sealed(Bytes::from_static(b"short")), b"row 1").is_none());
    }

    #[test]
    fn sealing_twice_gives_two_texts() {
        let crypt = Crypt::new(&[7; 32]);
        assert_ne!(crypt.seal(b"a secret", b"row"), crypt.seal(b"a secret", b"row"));
    }

    #[test]
    fn a_key_check_knows_its_key() {
        let check = Crypt::new(&[7; 32]).key_check();
        assert!(Crypt::seeded(&[7; 32], 1).is_key_of(&check));
        assert!(!Crypt::new(&[8; 32]).is_key_of(&check));
    }
}
