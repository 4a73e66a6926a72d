//! A store made of a backup: to look whether it can be, and to go on with it.

use std::fs::{self, File};
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Builder, Database, Durability};
use zeroize::Zeroizing;

use super::super::folder::{KEY_FILE, STORE_FILE, make_directory, read_key, write_private};
use super::super::format::check_format;
use super::super::journal::JOURNAL_FILES;
use super::super::schema::{NAMES, definition};
use super::super::tables::disk;
use super::super::{Location, OpenError, Report, check};
use super::file::{Contents, Failed, KIND_CONTENTS, KIND_ROWS, KIND_SECRET_KEY, Reading, TableContents};
use super::scratch::{self, ScratchFile, unless_missing};
use super::{BackupError, Described, Progress, Restored, Watch, at};
use crate::domain::backup::{Passphrase, Stage};

/// Rows of so many bytes are put in with one commit when the store is kept: each waits for the disk …
const KEPT_COMMIT_BYTES: usize = 32 * 1024 * 1024;
/// … and so many when it is looked at: each is one step beside the work of another store.
const LOOKED_COMMIT_BYTES: usize = 4 * 1024 * 1024;
/// The storage cache of a store that is being made or looked at.
const CACHE_BYTES: usize = 16 * 1024 * 1024;
/// In the folder of a store: a restored one until it has its names, whole or not …
const RESTORE_NEW: &str = "restore.new";
/// … whole, and meant to take the place of the one that is there …
const RESTORE_READY: &str = "restore.ready";
/// … and what was there before.
const REPLACED: &str = "replaced";
/// A file system of its own has it from the beginning.
const OF_FILE_SYSTEM: &str = "lost+found";
/// What the server writes for whoever starts it; of the store that was there before.
const ADMIN_KEY_FILE: &str = "admin-key";

/// Whether a store that is made has to survive anything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    ToKeep,
    /// It is looked at and removed, beside a store that works.
    ToLook,
}

/// What the backup says of itself, without a look at what is in it.
pub fn read_header(backup: &Path) -> Result<Described, BackupError> {
    let file = File::open(backup).map_err(at(backup))?;
    Reading::open(file).map_err(|failed| failed.at(backup))?.described()
}

/// Makes a store of the backup in `folder`, checks it, and removes the folder again, which must not exist before. `secret_key` is
/// for backups that do not hold it.
pub fn check_backup(
    backup: &Path,
    folder: &Path,
    secret_key: Option<[u8; 32]>,
    passphrase: Option<&Passphrase>,
    watch: Watch<'_>,
) -> Result<Restored, BackupError> {
    let made = make(backup, folder, secret_key, passphrase, Made::ToLook, watch);
    let removed = remove_folder(folder);
    let restored = made?;
    removed.map(|()| restored)
}

/// Makes a store of the backup in a folder that is empty or does not exist, or has a `secret-key` only. `secret_key` is for
/// backups that do not hold it, and goes before that file. What is interrupted leaves a folder that can be used again.
pub fn restore_into_empty(
    backup: &Path,
    folder: &Path,
    secret_key: Option<[u8; 32]>,
    passphrase: Option<&Passphrase>,
    watch: Watch<'_>,
) -> Result<Restored, BackupError> {
    make_directory(folder)?;
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let name = entry.map_err(at(folder))?.file_name();
        if name != KEY_FILE && name != RESTORE_NEW && name != OF_FILE_SYSTEM {
            return Err(BackupError::NotEmpty { path: folder.to_owned() });
        }
    }
    let new = folder.join(RESTORE_NEW);
    remove_folder(&new)?;
    let secret_key = match secret_key {
        Some(key) => Some(key),
        None => read_key(&folder.join(KEY_FILE))?.map(|key| *key),
    };
    let restored = match make(backup, &new, secret_key, passphrase, Made::ToKeep, watch) {
        Err(BackupError::KeyNeeded { path: _ }) => Err(BackupError::KeyNeeded { path: folder.to_owned() }),
        made => made,
    }
    .inspect_err(|_| _ = remove_folder(&new))?;
    // The key first: a store without one is refused.
    let names = [restored.has_secret_key.then_some(KEY_FILE), Some(STORE_FILE)];
    for name in names.into_iter().flatten() {
        fs::rename(new.join(name), folder.join(name)).map_err(at(&new))?;
    }
    remove_folder(&new)?;
    sync_folder(folder)?;
    Ok(restored)
}

/// Makes a store of the backup beside the one in `folder`, which goes on; [`finish_restore`] puts it into its place when that one is
/// closed. It needs the secret key in the backup, or as an argument. `shut` is asked at the end whether the one in `folder` may
/// still be replaced: what it answers keeps that one as it is, and comes back when the new one is ready.
pub fn restore<S>(
    backup: &Path,
    folder: &Path,
    secret_key: Option<[u8; 32]>,
    passphrase: Option<&Passphrase>,
    watch: Watch<'_>,
    shut: impl FnOnce() -> Option<S>,
) -> Result<(Restored, S), BackupError> {
    let (new, ready) = (folder.join(RESTORE_NEW), folder.join(RESTORE_READY));
    remove_folder(&new)?;
    let made = make(backup, &new, secret_key, passphrase, Made::ToKeep, watch);
    let restored = made.inspect_err(|_| _ = remove_folder(&new))?;
    if let (false, Some(key)) = (restored.has_secret_key, secret_key) {
        write_key(&new, &key)?;
    }
    sync_folder(&new)?;
    // With its next name it takes the place at the next opening, whoever opens.
    let Some(shut) = shut() else {
        remove_folder(&new)?;
        return Err(BackupError::BegunWith);
    };
    let named = fs::rename(&new, &ready).map_err(at(&new)).and_then(|()| sync_folder(folder));
    // What failed takes no place at the next opening, and so has not its name any more while it goes.
    named.inspect_err(|_| {
        _ = remove_folder(&new);
        _ = fs::rename(&ready, &new);
        _ = remove_folder(&new);
    })?;
    Ok((restored, shut))
}

/// Puts a store that [`restore`] made into the place of the one in `folder`, which is closed; that one goes to `replaced`. Whatever
/// interrupts it, it goes on the next time. Answers whether there was anything to do.
pub fn finish_restore(folder: &Path) -> Result<bool, BackupError> {
    let (ready, replaced) = (folder.join(RESTORE_READY), folder.join(REPLACED));
    if !ready.exists() {
        return Ok(false);
    }
    // While the new store has not got its name, whatever has it is the old one.
    if ready.join(STORE_FILE).exists() {
        make_directory(&replaced)?;
        let [a, b] = JOURNAL_FILES;
        for name in [STORE_FILE, a, b, ADMIN_KEY_FILE] {
            move_if_there(&folder.join(name), &replaced.join(name))?;
        }
        sync_folder(&replaced)?;
    }
    if ready.join(KEY_FILE).exists() {
        move_if_there(&folder.join(KEY_FILE), &replaced.join(KEY_FILE))?;
        move_if_there(&ready.join(KEY_FILE), &folder.join(KEY_FILE))?;
        sync_folder(folder)?;
    }
    move_if_there(&ready.join(STORE_FILE), &folder.join(STORE_FILE))?;
    sync_folder(folder)?;
    remove_folder(&ready)?;
    sync_folder(folder)?;
    Ok(true)
}

fn move_if_there(from: &Path, to: &Path) -> Result<(), BackupError> {
    unless_missing(fs::rename(from, to)).map_err(at(from))
}

fn remove_folder(folder: &Path) -> Result<(), BackupError> {
    scratch::remove(folder).map_err(at(folder))
}

fn sync_folder(folder: &Path) -> Result<(), BackupError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

fn write_key(folder: &Path, key: &[u8; 32]) -> Result<(), BackupError> {
    let path = folder.join(KEY_FILE);
    let text = Zeroizing::new(hex::encode(key) + "\n");
    write_private(&path, text.as_bytes()).map_err(at(&path))
}

/// Reads the whole backup, makes a store of it and checks that.
fn make(
    backup: &Path,
    folder: &Path,
    secret_key: Option<[u8; 32]>,
    passphrase: Option<&Passphrase>,
    made: Made,
    watch: Watch<'_>,
) -> Result<Restored, BackupError> {
    let in_backup = |failed: Failed| failed.at(backup);
    let file = File::open(backup).map_err(at(backup))?;
    let mut reading = Reading::open(file).map_err(in_backup)?;
    check_format(reading.store_format())?;
    let described = reading.described()?;
    if !described.is_sealed && secret_key.is_none() {
        return Err(BackupError::KeyNeeded { path: folder.to_owned() });
    }
    reading.check_digest(watch).map_err(in_backup)?;
    reading.unseal(passphrase)?;
    make_directory(folder)?;
    let path = folder.join(STORE_FILE);
    let held_key = fill(&mut reading, &path, backup, made, watch)?;
    if let Some(key) = &held_key {
        write_key(folder, key)?;
    }
    // Whoever goes on with this store uses the given one, whatever else is at hand.
    if let (Some(given), Some(held)) = (&secret_key, &held_key)
        && *given != **held
    {
        return Err(OpenError::KeyWrong.into());
    }
    let key = held_key.as_deref().copied().or(secret_key);
    let report: Report = check(Location::Directory(folder.to_owned()), key)?;
    // Made by the check; nothing is in it.
    for name in JOURNAL_FILES {
        fs::remove_file(folder.join(name)).map_err(at(folder))?;
    }
    Ok(Restored { described, report, has_secret_key: held_key.is_some() })
}

type HeldKey = Option<Zeroizing<[u8; 32]>>;

/// Puts every row into a new store. Answers the key that came along.
fn fill(
    reading: &mut Reading,
    path: &Path,
    backup: &Path,
    made: Made,
    watch: Watch<'_>,
) -> Result<HeldKey, BackupError> {
    let database = new_database(path, made)?;
    let mut filling = Filling { database: &database, made, pending: Vec::new(), pending_bytes: 0, tables: Vec::new() };
    let mut held_key = None;
    while let Some(block) = reading.next_block().map_err(|failed| failed.at(backup))? {
        let (kind, rest) = block.split_first().ok_or(BackupError::Damaged("a block is empty"))?;
        match *kind {
            KIND_SECRET_KEY => {
                let key = rest.try_into().map_err(|_| BackupError::Damaged("its secret key cannot be read"))?;
                held_key = Some(Zeroizing::new(key));
            }
            KIND_ROWS => filling.take(block)?,
            KIND_CONTENTS => {
                let contents: Contents =
                    serde_json::from_slice(rest).map_err(|_| BackupError::Damaged("what it holds cannot be read"))?;
                filling.finish()?;
                filling.compare(&contents, reading)?;
                return Ok(held_key);
            }
            _ => return Err(BackupError::Newer),
        }
        let (done, total) = reading.place();
        watch(Progress { stage: Stage::Restoring, done, total })?;
    }
    Err(BackupError::Damaged("it has no end"))
}

fn new_database(path: &Path, made: Made) -> Result<Database, BackupError> {
    let file = fs::OpenOptions::new().read(true).write(true).create_new(true).open(path).map_err(at(path))?;
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    file.set_permissions(private).map_err(at(path))?;
    let file = FileBackend::new(file).map_err(disk)?;
    let mut builder = Builder::new();
    let builder = builder.set_cache_size(CACHE_BYTES);
    let database = match made {
        Made::ToKeep => builder.create_with_backend(file),
        Made::ToLook => builder.create_with_backend(ScratchFile::new(file)),
    };
    Ok(database.map_err(disk)?)
}

struct Filling<'d> {
    database: &'d Database,
    made: Made,
    /// Blocks of rows that are not in the store yet.
    pending: Vec<Vec<u8>>,
    pending_bytes: usize,
    /// What came, in the order in which tables began.
    tables: Vec<TableContents>,
}

impl Filling<'_> {
    fn take(&mut self, block: Vec<u8>) -> Result<(), BackupError> {
        self.pending_bytes += block.len();
        self.pending.push(block);
        let commit_bytes = match self.made {
            Made::ToKeep => KEPT_COMMIT_BYTES,
            Made::ToLook => LOOKED_COMMIT_BYTES,
        };
        if self.pending_bytes >= commit_bytes { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), BackupError> {
        let mut write = self.database.begin_write().map_err(disk)?;
        write.set_durability(Durability::Immediate).map_err(disk)?;
        if self.made == Made::ToKeep {
            // Without it, a crash before the first checkpoint has the whole file read (architecture 5).
            write.set_quick_repair(true);
        }
        for block in self.pending.drain(..) {
            put_rows(&write, &block, &mut self.tables)?;
        }
        write.commit().map_err(disk)?;
        self.pending_bytes = 0;
        Ok(())
    }

    /// The rest, and tables that had no rows.
    fn finish(&mut self) -> Result<(), BackupError> {
        self.commit()?;
        let write = self.database.begin_write().map_err(disk)?;
        for name in NAMES {
            write.open_table(definition(name)).map_err(disk)?;
        }
        Ok(write.commit().map_err(disk)?)
    }

    fn compare(&self, contents: &Contents, reading: &Reading) -> Result<(), BackupError> {
        let is_with_rows = |table: &&TableContents| table.rows > 0;
        let is_whole = contents.blocks + 1 == reading.blocks()
            && contents.tables.iter().filter(is_with_rows).eq(self.tables.iter());
        if is_whole { Ok(()) } else { Err(BackupError::Damaged("rows are missing")) }
    }
}

fn put_rows(write: &redb::WriteTransaction, block: &[u8], tables: &mut Vec<TableContents>) -> Result<(), BackupError> {
    let unreadable = || BackupError::Damaged("a block of rows cannot be read");
    let (name, mut rows) = take_name(block).ok_or_else(unreadable)?;
    // The names of tables that this program knows: others belong to a newer format, which was refused.
    let name = NAMES.iter().find(|known| **known == name).ok_or_else(unreadable)?;
    if tables.last().is_none_or(|last| last.name != *name) {
        tables.push(TableContents { name: (*name).to_owned(), rows: 0, bytes: 0 });
    }
    let of_table = tables.last_mut().expect("one was pushed");
    let mut table = write.open_table(definition(name)).map_err(disk)?;
    while !rows.is_empty() {
        let (key, value) = take_row(&mut rows).ok_or_else(unreadable)?;
        table.insert(key, value).map_err(disk)?;
        of_table.rows += 1;
        of_table.bytes += (key.len() + value.len()) as u64;
    }
    Ok(())
}

fn take_name(block: &[u8]) -> Option<(&str, &[u8])> {
    let (_, rest) = block.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (name, rows) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(name).ok()?, rows))
}

fn take_row<'a>(rows: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (key_bytes, rest) = rows.split_first_chunk()?;
    let (value_bytes, rest) = rest.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*key_bytes)))?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*value_bytes) as usize)?;
    *rows = rest;
    Some((key, value))
}
