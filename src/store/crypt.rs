//! Encryption at rest: signing secrets and remembered answers that show one.
//!
//! XChaCha20-Poly1305 with a random nonce a value; the associated data names what the value belongs to, so that a
//! ciphertext moved elsewhere does not open.

use std::io::Write;
use std::path::Path;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use zeroize::Zeroizing;

use super::OpenError;

const NONCE_BYTES: usize = 24;
const KEY_FILE: &str = "secret-key";
/// What the key check is a ciphertext of.
const KEY_CHECK_TEXT: &[u8] = b"waxwing";

pub(super) struct Cipher {
    cipher: XChaCha20Poly1305,
    /// A generator of its own: nonces must never repeat, whatever seeds the rest of the program.
    nonces: std::sync::Mutex<StdRng>,
}

impl Cipher {
    pub fn new(key: &[u8; 32], nonce_seed: Option<u64>) -> Self {
        let nonces = match nonce_seed {
            Some(seed) => StdRng::seed_from_u64(seed),
            None => StdRng::from_rng(&mut rand::rng()),
        };
        Self { cipher: XChaCha20Poly1305::new(&Key::from(*key)), nonces: nonces.into() }
    }

    /// `belongs_to` names the table and the record.
    pub fn seal(&self, plain: &[u8], belongs_to: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = self.nonces.lock().expect("no one panics while holding it").random();
        let payload = Payload { msg: plain, aad: belongs_to };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).expect("what is sealed is far below 256 GiB");
        [&nonce[..], &sealed].concat()
    }

    /// None when it was sealed with another key, for something else, or was damaged.
    pub fn open(&self, sealed: &[u8], belongs_to: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: sealed, aad: belongs_to };
        self.cipher.decrypt(&XNonce::from(*nonce), payload).ok().map(Zeroizing::new)
    }

    pub fn key_check(&self) -> Vec<u8> {
        self.seal(KEY_CHECK_TEXT, b"key_check")
    }

    pub fn passes(&self, key_check: &[u8]) -> bool {
        self.open(key_check, b"key_check").is_some()
    }
}

/// The key of a data directory: the file's, or a new one when there is no store yet.
pub(super) fn key_of(data_dir: &Path, store_exists: bool) -> Result<Zeroizing<[u8; 32]>, OpenError> {
    let path = data_dir.join(KEY_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let mut key = Zeroizing::new([0; 32]);
            hex::decode_to_slice(text.trim(), &mut *key)
                .map_err(|_| OpenError::SecretKeyMalformed { path: path.clone() })?;
            Ok(key)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && store_exists => {
            Err(OpenError::SecretKeyMissing { path })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key: Zeroizing<[u8; 32]> = Zeroizing::new(rand::rng().random());
            let text = Zeroizing::new(format!("{}\n", hex::encode(*key)));
            write_private(&path, text.as_bytes()).map_err(|source| OpenError::Io { path, source })?;
            Ok(key)
        }
        Err(source) => Err(OpenError::Io { path, source }),
    }
}

/// Makes a file that only its owner can read, durable before this returns. Fails when it exists.
pub fn write_private(path: &Path, text: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;

    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()?;
    match path.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ciphertext_opens_only_with_its_key_and_for_what_it_belongs_to() {
        let cipher = Cipher::new(&[1; 32], Some(1));
        let sealed = cipher.seal(b"secret", b"subscription 1");
        assert_eq!(cipher.open(&sealed, b"subscription 1").as_deref().map(Vec::as_slice), Some(&b"secret"[..]));
        assert_eq!(cipher.open(&sealed, b"subscription 2"), None);
        assert_eq!(Cipher::new(&[2; 32], Some(1)).open(&sealed, b"subscription 1"), None);
        for length in 0..sealed.len() {
            assert_eq!(cipher.open(&sealed[..length], b"subscription 1"), None);
        }
        assert_ne!(cipher.seal(b"secret", b"subscription 1"), sealed, "each has a nonce of its own");
    }
}
