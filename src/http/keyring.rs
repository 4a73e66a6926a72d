//! Texts of keys that were good lately, with their hashes: whoever calls often is not hashed each time.
//!
//! Only the hash is remembered. Whether its key is still good, the catalogue is asked for each call.

use std::hash::{BuildHasher, RandomState};

use arc_swap::ArcSwapOption;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::domain::key::KeyHash;

/// Each text has one place, so this is also the most that is remembered. A text that takes the place of another costs
/// that one a hash, no more.
const PLACES: usize = 64;
/// Longer texts are not remembered. Ours have 41 bytes.
const TEXT_BYTES_MAX: usize = 256;

pub struct Keyring {
    places: [ArcSwapOption<Known>; PLACES],
    /// With a secret of its own, so that nobody can choose texts that drive out the ones of others.
    hasher: RandomState,
}

struct Known {
    text: Zeroizing<Box<[u8]>>,
    hash: KeyHash,
}

impl Default for Keyring {
    fn default() -> Self {
        Self { places: std::array::from_fn(|_| ArcSwapOption::empty()), hasher: RandomState::new() }
    }
}

impl Keyring {
    /// The hash of a text that is remembered.
    pub fn hash_of(&self, text: &str) -> Option<KeyHash> {
        let known = self.place(text).load();
        let known = known.as_ref()?;
        bool::from(known.text.ct_eq(text.as_bytes())).then_some(known.hash)
    }

    /// Only for the text of a good key: what is wrong must not drive out what is right.
    pub fn remember(&self, text: &str, hash: KeyHash) {
        if text.len() <= TEXT_BYTES_MAX {
            let known = Known { text: Zeroizing::new(text.as_bytes().into()), hash };
            self.place(text).store(Some(known.into()));
        }
    }

    fn place(&self, text: &str) -> &ArcSwapOption<Known> {
        // The remainder fits into usize: it is smaller than the number of places.
        &self.places[(self.hasher.hash_one(text) % PLACES as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_text_that_is_remembered_has_a_hash() {
        let keyring = Keyring::default();
        let (text, hash) = ("key-0000", KeyHash([7; 32]));
        assert_eq!(keyring.hash_of(text), None);
        keyring.remember(text, hash);
        assert_eq!(keyring.hash_of(text), Some(hash));
        // Others of its length and longer ones, of which some have the same place.
        let others: Vec<String> = (1..5000).flat_map(|n| [format!("key-{n:04}"), format!("key-0000{n}")]).collect();
        assert!(others.iter().any(|other| std::ptr::eq(keyring.place(other), keyring.place(text))));
        for other in others {
            assert_eq!(keyring.hash_of(&other), None, "{other}");
        }
    }

    #[test]
    fn a_text_that_stands_at_the_place_of_another_is_not_taken_for_it() {
        let keyring = Keyring::default();
        let texts: Vec<String> = (0..1000).map(|n| format!("key-{n}")).collect();
        for (n, text) in (0_u16..).zip(&texts) {
            let mut hash = [0; 32];
            hash[..2].copy_from_slice(&n.to_be_bytes());
            keyring.remember(text, KeyHash(hash));
        }
        let known: Vec<usize> = (0..texts.len())
            .filter(|n| {
                let Some(KeyHash(hash)) = keyring.hash_of(&texts[*n]) else { return false };
                assert_eq!(usize::from(u16::from_be_bytes([hash[0], hash[1]])), *n);
                true
            })
            .collect();
        assert!((1..=PLACES).contains(&known.len()), "{} are known", known.len());
    }

    #[test]
    fn a_text_of_unusual_length_is_not_kept() {
        let keyring = Keyring::default();
        let text = "k".repeat(TEXT_BYTES_MAX + 1);
        keyring.remember(&text, KeyHash([0; 32]));
        assert_eq!(keyring.hash_of(&text), None);
    }
}
