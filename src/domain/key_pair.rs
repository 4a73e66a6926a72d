//! ed25519 pairs, which sign deliveries beside the secret: the receiver needs the public half only, which is no secret.
//!
//! Texts: Standard Webhooks 1.0.0, "Signature scheme" (`whpk_` and base64).

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use rand::{Rng, RngExt};
use zeroize::Zeroizing;

use super::time::Timestamp;

const PUBLIC_PREFIX: &str = "whpk_";
pub const PRIVATE_BYTES: usize = ed25519_dalek::SECRET_KEY_LENGTH;
pub const SIGNATURE_BYTES: usize = ed25519_dalek::SIGNATURE_LENGTH;

/// The private half is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair(SigningKey);

impl KeyPair {
    pub fn generate(chance: &mut impl Rng) -> Self {
        let private = Zeroizing::new(chance.random::<[u8; PRIVATE_BYTES]>());
        Self::from_private(&private)
    }

    pub fn from_private(private: &[u8; PRIVATE_BYTES]) -> Self {
        Self(SigningKey::from_bytes(private))
    }

    pub fn private(&self) -> &[u8; PRIVATE_BYTES] {
        self.0.as_bytes()
    }

    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub fn sign(&self, text: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(text).to_bytes()
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.public())
    }
}

/// What a receiver verifies with. Its text is `whpk_` and 32 bytes in base64.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// What the text of a public key looks like, in words.
pub const PUBLIC_KEY_FORM: &str = "whpk_ followed by an ed25519 public key in base64";

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a public key is {PUBLIC_KEY_FORM}")]
pub struct InvalidPublicKey;

impl PublicKey {
    /// Whether the other half made this signature of the text.
    pub fn fits(&self, text: &[u8], signature: &[u8]) -> bool {
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        self.0.verify_strict(text, &signature).is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = InvalidPublicKey;

    fn from_str(text: &str) -> Result<Self, InvalidPublicKey> {
        let text = text.strip_prefix(PUBLIC_PREFIX).ok_or(InvalidPublicKey)?;
        let bytes: [u8; 32] =
            STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(InvalidPublicKey)?;
        VerifyingKey::from_bytes(&bytes).map(Self).map_err(|_| InvalidPublicKey)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_PREFIX}{}", STANDARD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The pair of a subscription, and the one before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPairs {
    pub current: KeyPair,
    pub previous: Option<PreviousKeyPair>,
}

/// A replaced pair that goes on signing beside the current one until it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousKeyPair {
    pub pair: KeyPair,
    pub expires_at: Timestamp,
}

impl KeyPairs {
    /// The replaced pair, while it lives.
    pub fn previous_at(&self, now: Timestamp) -> Option<&PreviousKeyPair> {
        self.previous.as_ref().filter(|previous| now < previous.expires_at)
    }

    /// All that sign at `now`, the current one first.
    pub fn signing_at(&self, now: Timestamp) -> impl Iterator<Item = &KeyPair> {
        std::iter::once(&self.current).chain(self.previous_at(now).map(|previous| &previous.pair))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, 7.1, tests 1 and 2: private key, public key, message, signature.
    const VECTORS: [[&str; 4]; 2] = [
        [
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ],
        [
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ],
    ];

    #[test]
    fn the_known_answers_of_the_rfc_come_out() {
        for vector in VECTORS {
            let [private, public, text, signature] = vector.map(|text| hex::decode(text).unwrap());
            let pair = KeyPair::from_private(&private.try_into().unwrap());
            assert_eq!(pair.public().0.as_bytes(), &public[..]);
            assert_eq!(pair.sign(&text), &signature[..]);
            assert!(pair.public().fits(&text, &signature));
            assert!(!pair.public().fits(b"another text", &signature));
            assert!(!pair.public().fits(&text, &signature[1..]));
        }
    }

    #[test]
    fn a_public_key_reads_back_and_others_are_refused() {
        let public = KeyPair::from_private(&[7; 32]).public();
        let text = public.to_string();
        assert_eq!(text.parse(), Ok(public));
        for wrong in ["", "whpk_", &text[5..], &text[..text.len() - 4], &text.replace("whpk_", "whsk_"), "whpk_????"] {
            assert_eq!(wrong.parse::<PublicKey>(), Err(InvalidPublicKey), "{wrong}");
        }
        let pair = KeyPair::from_private(&[7; 32]);
        assert_eq!(format!("{pair:?}"), format!("KeyPair({text})"), "the private half is not shown");
    }

    #[test]
    fn a_replaced_pair_signs_until_it_expires() {
        let at = Timestamp::from_millis;
        let [current, former] = [1, 2].map(|byte| KeyPair::from_private(&[byte; 32]));
        let previous = Some(PreviousKeyPair { pair: former.clone(), expires_at: at(100) });
        let pairs = KeyPairs { current: current.clone(), previous };
        for (now, expected) in [(99, vec![&current, &former]), (100, vec![&current])] {
            assert_eq!(pairs.signing_at(at(now)).collect::<Vec<_>>(), expected, "{now}");
        }
    }
}
