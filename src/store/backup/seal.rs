//! What a passphrase does: a key is made of it, slowly, and encrypts every block of a backup.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::TryRng;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::BackupError;
use crate::domain::backup::Passphrase;

/// RFC 9106, section 4: the second recommended option, for machines with less memory.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
/// What a file may ask of whoever reads it.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 16;
const SALT_BYTES: usize = 16;
const NONCE_PREFIX_BYTES: usize = 16;

/// What encrypts a backup, and the key that goes along in it.
#[derive(Clone)]
pub struct Sealing {
    pub passphrase: Passphrase,
    pub secret_key: Zeroizing<[u8; 32]>,
}

/// In the header: how the key is made, and what nonces begin with. Bytes are hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SealedHow {
    /// `argon2id`
    derivation: String,
    memory_kib: u32,
    passes: u32,
    salt: String,
    /// `xchacha20-poly1305`
    cipher: String,
    nonce: String,
}

const DERIVATION: &str = "argon2id";
const CIPHER: &str = "xchacha20-poly1305";

impl SealedHow {
    pub(super) fn new() -> Self {
        Self {
            derivation: DERIVATION.to_owned(),
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            salt: random::<SALT_BYTES>(),
            cipher: CIPHER.to_owned(),
            nonce: random::<NONCE_PREFIX_BYTES>(),
        }
    }
}

fn random<const N: usize>() -> String {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).expect("an operating system without random numbers cannot go on");
    hex::encode(bytes)
}

/// Encrypts and decrypts blocks by their numbers.
pub(super) struct BlockCipher {
    cipher: XChaCha20Poly1305,
    nonce: [u8; NONCE_PREFIX_BYTES],
    /// Of magic and header.
    head_sha256: [u8; 32],
}

impl BlockCipher {
    /// Takes as long as the header says.
    pub(super) fn new(how: &SealedHow, passphrase: &Passphrase, head_sha256: [u8; 32]) -> Result<Self, BackupError> {
        let SealedHow { derivation, memory_kib, passes, salt, cipher, nonce } = how;
        if derivation != DERIVATION || cipher != CIPHER || *memory_kib > MEMORY_KIB_MAX || *passes > PASSES_MAX {
            return Err(BackupError::Newer);
        }
        let unreadable = |_| BackupError::Damaged("its header cannot be read");
        let salt = hex::decode(salt).map_err(unreadable)?;
        let mut prefix = [0; NONCE_PREFIX_BYTES];
        hex::decode_to_slice(nonce, &mut prefix).map_err(unreadable)?;
        let unfit = |_| BackupError::Damaged("its header cannot be read");
        let params = Params::new(*memory_kib, *passes, 1, None).map_err(unfit)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), &salt, &mut *key)
            .map_err(unfit)?;
        Ok(Self { cipher: XChaCha20Poly1305::new((&*key).into()), nonce: prefix, head_sha256 })
    }

    fn nonce(&self, block: u64) -> XNonce {
        let mut nonce = [0; NONCE_PREFIX_BYTES + 8];
        let (prefix, number) = nonce.split_at_mut(NONCE_PREFIX_BYTES);
        prefix.copy_from_slice(&self.nonce);
        number.copy_from_slice(&block.to_be_bytes());
        XNonce::from(nonce)
    }

    pub(super) fn seal(&self, block: u64, text: &[u8]) -> Vec<u8> {
        self.cipher
            .encrypt(&self.nonce(block), Payload { msg: text, aad: &self.head_sha256 })
            .expect("a text of less than 256 GiB can be encrypted")
    }

    /// None when the key is another one, or it is not this block.
    pub(super) fn open(&self, block: u64, sealed: &[u8]) -> Option<Vec<u8>> {
        self.cipher.decrypt(&self.nonce(block), Payload { msg: sealed, aad: &self.head_sha256 }).ok()
    }
}
