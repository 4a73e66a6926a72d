//! The folder of a store: its files, who may read them, and how none of them is ever seen half made.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rand::TryRng;
use rand::rngs::SysRng;
use redb::backends::FileBackend;
use redb::{Builder, DatabaseError, StorageBackend};
use zeroize::Zeroizing;

use super::format::{Beginning, migrate};
use super::journal::{JOURNAL_FILES, JournalFile};
use super::open::OpenError;

pub const STORE_FILE: &str = "waxwing.redb";
pub const KEY_FILE: &str = "secret-key";
/// Where a new store is made.
const STORE_FILE_NEW: &str = "waxwing.redb.new";
/// Where a compaction makes its copy: a name of its own follows.
pub(super) const COPY_PREFIX: &str = "waxwing.redb.copy-";
/// Where a new key is written before it gets its name, so that no crash leaves half a key.
const KEY_FILE_NEW: &str = "secret-key.new";

/// What the journal was called when it was one file.
const JOURNAL_FILE_EARLIER: &str = "waxwing.journal";

pub(super) fn journal_files(directory: &Path) -> [PathBuf; 2] {
    JOURNAL_FILES.map(|name| directory.join(name))
}

pub(super) fn open_journal(directory: &Path) -> Result<[Box<dyn StorageBackend>; 2], OpenError> {
    let (earlier, first) = (directory.join(JOURNAL_FILE_EARLIER), directory.join(JOURNAL_FILES[0]));
    // Frames are what they were: what a crash left in it is carried out.
    if !first.exists() && earlier.exists() {
        std::fs::rename(&earlier, &first).map_err(at(&earlier))?;
    }
    let open = |name| {
        let path = directory.join(name);
        JournalFile::open(&path).map(|file| Box::new(file) as Box<dyn StorageBackend>).map_err(at(&path))
    };
    let files = [open(JOURNAL_FILES[0])?, open(JOURNAL_FILES[1])?];
    // Their names are durable before anything is in them.
    File::open(directory).and_then(|folder| folder.sync_all()).map_err(at(directory))?;
    Ok(files)
}

/// The database's file, which is there.
pub(super) fn open_file(path: &Path) -> Result<Box<dyn StorageBackend>, OpenError> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(at(path))?;
    let opened = file.metadata().map_err(at(path))?.ino();
    let locked = FileBackend::new(file)?;
    // Whoever had the lock a moment ago may have put another file in its place (see `rekey`).
    let named = std::fs::metadata(path).map_err(at(path))?.ino();
    if opened == named { Ok(Box::new(locked)) } else { Err(OpenError::Locked) }
}

/// What compactions left that were cut off. Only for whoever has the store locked.
pub(super) fn remove_copies(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(COPY_PREFIX) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |error| OpenError::Io { path, error }
}

/// A directory that only its owner may look into. One that exists stays as it is.
pub(super) fn make_directory(directory: &Path) -> Result<(), OpenError> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(at(directory))
}

/// A new file that only its owner can read, or the one that is there.
pub(super) fn open_private(path: &Path) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(at(path))
}

/// Whether there is a store. A journal without one is no reason to begin anew: what was committed last is in it.
pub(super) fn has_store(directory: &Path) -> Result<bool, OpenError> {
    if holds_something(&directory.join(STORE_FILE))? {
        return Ok(true);
    }
    for name in JOURNAL_FILES.into_iter().chain([JOURNAL_FILE_EARLIER]) {
        if holds_something(&directory.join(name))? {
            return Err(OpenError::StoreMissing { journal: name });
        }
    }
    Ok(false)
}

pub(super) fn holds_something(file: &Path) -> Result<bool, OpenError> {
    match std::fs::metadata(file) {
        Ok(metadata) => Ok(metadata.len() > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(at(file)(error)),
    }
}

/// A new store gets its name when it is whole: redb does not open a file whose making was interrupted.
pub(super) fn make_file(directory: &Path, file: &Path, beginning: &Beginning<'_>) -> Result<(), OpenError> {
    let builder = Builder::new();
    let new = directory.join(STORE_FILE_NEW);
    let database = match builder.create_file(open_private(&new)?) {
        Err(DatabaseError::Storage(_)) => {
            std::fs::remove_file(&new).map_err(at(&new))?;
            builder.create_file(open_private(&new)?)?
        }
        created => created?,
    };
    migrate(&database, beginning)?;
    drop(database);
    let name = || {
        if std::fs::metadata(file).is_ok_and(|metadata| metadata.len() == 0) {
            std::fs::remove_file(file)?;
        }
        // Like the key: a link does not replace the store of another process that is faster.
        std::fs::hard_link(&new, file)?;
        std::fs::remove_file(&new)?;
        File::open(directory)?.sync_all()
    };
    match name() {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(OpenError::Locked),
        Err(error) => Err(at(file)(error)),
    }
}

pub(super) fn read_key(file: &Path) -> Result<Option<Zeroizing<[u8; 32]>>, OpenError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(OpenError::KeyUnreadable { path: file.to_owned() });
        }
        Err(error) => return Err(at(file)(error)),
    };
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), &mut *key).map_err(|_| OpenError::KeyUnreadable { path: file.to_owned() })?;
    Ok(Some(key))
}

/// The key in the folder of a store: none when it is kept elsewhere.
pub fn read_secret_key(directory: &Path) -> Result<Option<Zeroizing<[u8; 32]>>, OpenError> {
    read_key(&directory.join(KEY_FILE))
}

/// The key is durable before the store can hold anything that needs it.
pub(super) fn read_or_make_key(directory: &Path, store_exists: bool) -> Result<Zeroizing<[u8; 32]>, OpenError> {
    let file = directory.join(KEY_FILE);
    if let Some(key) = read_key(&file)? {
        return Ok(key);
    }
    if store_exists {
        return Err(OpenError::KeyMissing);
    }
    let mut key = Zeroizing::new([0; 32]);
    SysRng
        .try_fill_bytes(&mut *key)
        .map_err(|error| OpenError::Io { path: file.clone(), error: io::Error::other(error.to_string()) })?;
    let text = Zeroizing::new(hex::encode(*key) + "\n");
    let new = directory.join(KEY_FILE_NEW);
    let write = || {
        write_private(&new, text.as_bytes())?;
        // A link, unlike a rename, does not replace the key of another process that is faster.
        std::fs::hard_link(&new, &file)?;
        std::fs::remove_file(&new)?;
        File::open(directory)?.sync_all()
    };
    match write() {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read_key(&file)?.ok_or(OpenError::KeyMissing),
        Err(error) => Err(at(&file)(error)),
    }
}

/// Writes a file that only its owner can read; its content is durable before this returns, its name is the caller's.
pub fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    out.write_all(text)?;
    out.sync_all()
}
