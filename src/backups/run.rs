//! Making one backup: copied, a store made of the copy and checked, brought to its place.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::runtime::Handle;

use super::Options;
use super::place::{Kept, Place, make_folder};
use crate::domain::backup::BackupName;
use crate::store::backup::{BackupError, Sealing, Watch, check_backup};
use crate::store::{Pace, Store};

/// Behind the name of one that is not whole …
const PARTIAL: &str = ".partial";
/// … and of the folder in which a store is made of it.
const CHECKED: &str = ".check";
/// What stays free above the reserve: others write too.
const ROOM_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// What one is made with.
pub struct Making<'a> {
    pub store: &'a Store,
    pub options: &'a Options,
    pub name: BackupName,
    pub sealing: Option<&'a Sealing>,
    /// Carries what goes to a bucket; not one that this thread works for.
    pub runtime: &'a Handle,
    pub pace: Pace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    pub kept: Kept,
    /// What checking the store that was made of it found: it is what is wrong with the one that was backed up.
    pub findings: u64,
}

/// A file, or a folder, that goes when this does.
struct Scrap(PathBuf);

impl Drop for Scrap {
    fn drop(&mut self) {
        // What cannot be removed now is by the next start.
        _ = fs::remove_file(&self.0).or_else(|_| fs::remove_dir_all(&self.0));
    }
}

/// Takes as long as reading the store twice and writing it once, and the rests of the pace. Stops cleanly when there is no room, or when `watch` says so.
pub fn make(making: &Making<'_>, watch: Watch<'_>) -> Result<Made, BackupError> {
    let Making { store, options, name, sealing, runtime, pace } = *making;
    let folder = options.folder.as_path();
    let at_folder = |error| BackupError::Io { path: folder.to_owned(), error };
    make_folder(folder).map_err(at_folder)?;
    let partial = folder.join(format!("{name}{PARTIAL}"));
    let file =
        OpenOptions::new().write(true).read(true).create_new(true).mode(0o600).open(&partial).map_err(at_folder)?;
    let scrap = Scrap(partial.clone());
    // Who clears up after another process leaves it alone.
    file.lock().map_err(at_folder)?;
    let mut step_begun = Instant::now();
    let mut watch_step = |progress| {
        pace.rest_after(step_begun.elapsed());
        step_begun = Instant::now();
        let room = store.room(folder).map_err(at_folder)?;
        if room < ROOM_BYTES_MIN {
            return Err(BackupError::NoRoom { path: folder.to_owned() });
        }
        watch(progress)
    };
    let written = store.back_up(&file, &partial, name.id, sealing, &mut watch_step)?;
    let checked = folder.join(format!("{name}{CHECKED}"));
    let secret_key = options.find_secret_key()?;
    let passphrase = sealing.map(|sealing| &sealing.passphrase);
    let restored = check_backup(&partial, &checked, Some(*secret_key), passphrase, &mut watch_step)?;
    let findings = restored.report.findings_count + u64::from(!restored.report.is_file_sound);
    match &options.place {
        Place::Folder(place) => {
            fs::rename(&partial, place.join(name.to_string())).map_err(at_folder)?;
            File::open(place).and_then(|folder| folder.sync_all()).map_err(at_folder)?;
        }
        Place::Bucket(bucket) => runtime.block_on(bucket.put(name, &file, watch))?,
    }
    drop(scrap);
    Ok(Made { kept: Kept { name, bytes: written.bytes }, findings })
}

/// Removes what a process left that died while it made one.
pub(super) fn clear(folder: &Path) {
    let cleared = || -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let checked = name.strip_suffix(CHECKED).filter(|name| BackupName::read(name).is_some());
            if checked.is_some_and(|name| !folder.join(format!("{name}{PARTIAL}")).exists()) {
                drop(Scrap(path));
                continue;
            }
            let Some(name) = name.strip_suffix(PARTIAL).filter(|name| BackupName::read(name).is_some()) else {
                continue;
            };
            let file = File::open(&path)?;
            match file.try_lock() {
                Ok(()) => {
                    drop(Scrap(folder.join(format!("{name}{CHECKED}"))));
                    drop(Scrap(path));
                }
                // Another process makes it.
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(())
    };
    match cleared() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, folder = %folder.display(), "what is left of unfinished backups cannot be removed");
        }
        Ok(()) | Err(_) => {}
    }
}
