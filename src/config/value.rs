//! What some settings mean.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;

use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::domain::key::KeyHash;

/// A quota per second for each key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    PerSecond(NonZeroU32),
    Off,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Pretty,
    Json,
}

/// The 32 bytes that secrets are encrypted with.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(pub(super) Zeroizing<[u8; 32]>);

/// The text of the key from `WAXWING_ADMIN_KEY`, already judged.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminKey(pub(super) Zeroizing<String>);

/// Where backups are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupTo {
    Folder(PathBuf),
    Bucket {
        bucket: String,
        /// May be empty.
        prefix: String,
    },
}

impl fmt::Display for BackupTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Bucket { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// What belongs to the access key of an S3-compatible storage.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Secret(pub(super) Zeroizing<String>);

impl S3Secret {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for S3Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("S3Secret(…)")
    }
}

impl Rate {
    /// None: not limited.
    pub fn per_second(self) -> Option<NonZeroU32> {
        match self {
            Self::PerSecond(rate) => Some(rate),
            Self::Off => None,
        }
    }

    pub(super) fn show(self) -> Value {
        match self {
            Self::PerSecond(rate) => json!(rate),
            Self::Off => json!("off"),
        }
    }
}

impl LogFormat {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pretty => "pretty",
            Self::Json => "json",
        }
    }
}

impl SecretKey {
    pub fn bytes(&self) -> [u8; 32] {
        *self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl AdminKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }
}

impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminKey(…)")
    }
}
