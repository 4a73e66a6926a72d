//! Backups: every row of one commit in a file of its own, and a store made of such a file again.
//!
//! The file, numbers little-endian:
//!
//! | part | what it is |
//! | --- | --- |
//! | magic | `waxwing backup 1` and a line end |
//! | header | length u32, JSON: made by, when, format of the store, and with a passphrase how to make the key of it |
//! | blocks | each: length u32, the block as it is stored |
//! | digest | SHA-256 of everything before it |
//!
//! A block is stored compressed: its length u32, then LZ4 (block format). With a passphrase that is encrypted with
//! XChaCha20-Poly1305; the nonce is 16 bytes of the header and the number of the block (u64, big-endian), and the SHA-256 of
//! magic and header goes along as what is authenticated, so that no block can be taken for another one, or for one of another file.
//! The key is argon2id of the passphrase, with salt and cost of the header.
//!
//! In a block: a byte that says its kind, and then
//! - 0, the first one with a passphrase, and only then: the secret key of the instance, 32 bytes;
//! - 1: the name of a table (length u8, text) and rows of it, in the order of keys: length of the key u16, of the value u32, key, value;
//! - 2, the last one: JSON, how many rows of which tables there are.
//!
//! Rows are the bytes that the store has (see [`super::schema`]), so a backup opens in whatever opens a store of its format.

mod copy;
mod file;
mod restore;
mod scratch;
mod seal;

use std::io;
use std::path::{Path, PathBuf};

use crate::domain::backup::Stage;
use crate::domain::time::Timestamp;

use super::{OpenError, Report, StoreError};

pub use restore::{check_backup, finish_restore, read_header, restore, restore_into_empty};
pub use seal::Sealing;

/// So much is written before it is brought to the disk: what piles up for the disk is what the journal's next sync waits for.
const SYNC_EVERY_BYTES: u64 = 1024 * 1024;

/// Why a backup cannot be made or used. The texts are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Open(#[from] OpenError),
    #[error("there is too little room in {path}: what is free there above the reserve does not hold the backup")]
    NoRoom { path: PathBuf },
    /// Of where backups are kept.
    #[error("{0}")]
    Place(String),
    #[error("the server is stopping")]
    Stopped,
    #[error("this is no backup of Waxwing")]
    NotABackup,
    #[error("a newer waxwing made this backup: use that one")]
    Newer,
    #[error("the backup is damaged: {0}")]
    Damaged(&'static str),
    #[error("the backup is encrypted: give its passphrase")]
    PassphraseNeeded,
    #[error("the passphrase is not the one that the backup was made with")]
    PassphraseWrong,
    #[error(
        "the backup does not hold the secret key of its instance: put that instance's file secret-key into {path}, \
         or set WAXWING_SECRET_KEY"
    )]
    KeyNeeded { path: PathBuf },
    #[error(
        "{path} is not empty: a backup is restored into an empty folder, which may hold a secret-key and nothing else"
    )]
    NotEmpty { path: PathBuf },
    #[error("somebody has begun with this instance meanwhile")]
    BegunWith,
}

/// How far it is, in rows (copying and restoring) or bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub stage: Stage,
    pub done: u64,
    pub total: u64,
}

/// Hears how far it is after each step, and can end it.
pub type Watch<'a> = &'a mut dyn FnMut(Progress) -> Result<(), BackupError>;

/// A backup that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub bytes: u64,
    pub rows: u64,
    /// Of the rows, before they were compressed.
    pub rows_bytes: u64,
    /// The digest at its end.
    pub sha256: [u8; 32],
}

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    pub created_at: Timestamp,
    pub made_by: String,
    pub is_sealed: bool,
}

/// A store that was made of a backup.
#[derive(Debug, Clone)]
pub struct Restored {
    pub described: Described,
    /// What checking it found.
    pub report: Report,
    /// Whether the backup held the secret key.
    pub has_secret_key: bool,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |error| BackupError::Io { path, error }
}
