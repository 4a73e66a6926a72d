//! A quick look at the files of a store, which changes nothing and waits for nobody: what `waxwing doctor` says of them.

use std::path::Path;

use redb::{Builder, DatabaseError, ReadableDatabase};
use zeroize::Zeroizing;

use super::crypt::Crypt;
use super::folder::{KEY_FILE, STORE_FILE, at, has_store, read_key};
use super::format::{check_format, check_key, format};
use super::journal::JOURNAL_FILES;
use super::open::{OpenError, caught};
use super::rekey::{KEY_FILE_NEXT, STORE_FILE_NEXT};
use super::space::Files;
use super::tables::{Snapshot, disk};

/// A header and some rows are read.
const CACHE_BYTES: usize = 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    pub state: FileState,
    pub files: Files,
    /// A change of the key was interrupted: the next start finishes it.
    pub is_rekeying: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// Another process has it open.
    InUse,
    /// Whoever had it open did not close it: the next start goes on from there.
    Crashed,
    /// Closed, with this format, and the key is the one that it was made with.
    Closed { format: u32 },
}

/// Looks at the store in a folder. [`OpenError::Absent`] when there is none; otherwise errors are reasons why no server
/// could open it. `secret_key` is the one that is kept elsewhere.
pub fn glance(directory: &Path, secret_key: Option<[u8; 32]>) -> Result<Glance, OpenError> {
    let file = directory.join(STORE_FILE);
    if !has_store(directory)? {
        return Err(OpenError::Absent);
    }
    let size = |name: &str| std::fs::metadata(directory.join(name)).map_or(0, |metadata| metadata.len());
    let files =
        Files { store_bytes: size(STORE_FILE), journal_bytes: JOURNAL_FILES.iter().map(|name| size(name)).sum() };
    let is_rekeying = [KEY_FILE_NEXT, STORE_FILE_NEXT].iter().any(|name| directory.join(name).exists());
    let key = match secret_key {
        Some(key) => Zeroizing::new(key),
        None => read_key(&directory.join(KEY_FILE))?.ok_or(OpenError::KeyMissing)?,
    };
    std::fs::File::open(&file).map_err(at(&file))?;
    let look = || match Builder::new().set_cache_size(CACHE_BYTES).open_read_only(&file) {
        Err(DatabaseError::DatabaseAlreadyOpen) => Ok(FileState::InUse),
        Err(DatabaseError::RepairAborted) => Ok(FileState::Crashed),
        Err(error) => Err(error.into()),
        Ok(database) => {
            let format = format(&database)?;
            check_format(format)?;
            if !is_rekeying {
                check_key(&Snapshot::new(database.begin_read().map_err(disk)?), &Crypt::new(&key))?;
            }
            Ok(FileState::Closed { format })
        }
    };
    Ok(Glance { state: caught(look)?, files, is_rekeying })
}
