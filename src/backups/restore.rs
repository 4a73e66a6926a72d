//! A backup that comes to an empty instance while its server runs: a store is made of it beside the one that is there, which then
//! makes way for it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use zeroize::Zeroizing;

use super::Backups;
use crate::domain::backup::Passphrase;
use crate::store::backup::{BackupError, Progress, restore};

/// In the data folder, while it comes and is read.
const UPLOAD: &str = "restore.upload";
/// What stays free above the reserve.
const ROOM_BYTES_MIN: u64 = 16 * 1024 * 1024;

/// How far a restore is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restoring {
    /// None: the backup is still coming.
    Running(Option<Progress>),
    Failed(String),
    /// The store makes way now.
    Ready,
}

/// A backup that is coming. Dropped before [`Self::restore`], it leaves nothing.
pub struct Upload {
    backups: Backups,
    file: File,
    path: PathBuf,
    is_whole: bool,
}

impl Backups {
    /// Begins to take one in; none while another one is.
    pub fn take_in(&self) -> Result<Option<Upload>, BackupError> {
        {
            let mut restoring = self.restoring_mut();
            if matches!(*restoring, Some(Restoring::Running(_) | Restoring::Ready)) {
                return Ok(None);
            }
            *restoring = Some(Restoring::Running(None));
        }
        let path = self.shared.options.data_dir.join(UPLOAD);
        let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        match opened {
            Ok(file) => Ok(Some(Upload { backups: self.clone(), file, path, is_whole: false })),
            Err(error) => {
                *self.restoring_mut() = None;
                Err(BackupError::Io { path, error })
            }
        }
    }

    pub fn restoring(&self) -> Option<Restoring> {
        self.restoring_mut().clone()
    }

    /// Ends when a store is ready to take the place of this one.
    pub async fn restored(&self) {
        let mut ready = self.shared.is_ready.subscribe();
        // The sender lives as long as this handle.
        _ = ready.wait_for(|is_ready| *is_ready).await;
    }

    /// Whether there is room for more of what is restored.
    fn has_room(&self) -> Result<(), BackupError> {
        let data_dir = &self.shared.options.data_dir;
        let room = self.shared.store.room(data_dir);
        let room = room.map_err(|error| BackupError::Io { path: data_dir.clone(), error })?;
        if room < ROOM_BYTES_MIN { Err(BackupError::NoRoom { path: data_dir.clone() }) } else { Ok(()) }
    }

    fn restoring_mut(&self) -> std::sync::MutexGuard<'_, Option<Restoring>> {
        self.shared.restoring.lock().expect("nothing panics while it holds the lock")
    }
}

/// New work is refused for as long as this is there, and for good once it is kept.
pub struct Shut {
    /// What says so, and nothing else says by.
    is_shut: Arc<AtomicBool>,
    is_kept: bool,
}

impl Shut {
    pub fn begin(is_shut: Arc<AtomicBool>) -> Self {
        is_shut.store(true, Ordering::Release);
        Self { is_shut, is_kept: false }
    }

    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Shut {
    fn drop(&mut self) {
        self.is_shut.store(self.is_kept, Ordering::Release);
    }
}

impl Upload {
    /// Takes the next part; this waits for the disk.
    pub fn write(&mut self, part: &[u8]) -> Result<(), BackupError> {
        let at_file = |error| BackupError::Io { path: self.path.clone(), error };
        self.backups.has_room()?;
        self.file.write_all(part).map_err(at_file)
    }

    /// All of it is there: makes a store of it, on a thread of its own. `shut` is asked at the end whether the store that is
    /// open may still be replaced; when it may, nothing is taken in any more.
    pub fn restore(
        mut self,
        passphrase: Option<Passphrase>,
        secret_key: Option<Zeroizing<[u8; 32]>>,
        shut: impl FnOnce() -> Option<Shut> + Send + 'static,
    ) -> Result<(), BackupError> {
        self.is_whole = true;
        let (backups, again, path) = (self.backups.clone(), self.backups.clone(), self.path.clone());
        let spawned = std::thread::Builder::new().name("restore".to_owned()).spawn(move || {
            let options = &backups.shared.options;
            let secret_key = options.secret_key.clone().or(secret_key).map(|key| *key);
            let mut watch = |progress| {
                *backups.restoring_mut() = Some(Restoring::Running(Some(progress)));
                backups.has_room()?;
                if backups.state().is_ending { Err(BackupError::Stopped) } else { Ok(()) }
            };
            let restored =
                restore(&self.path, &options.data_dir, secret_key, passphrase.as_ref(), &mut watch, shut);
            _ = fs::remove_file(&self.path);
            match restored {
                Ok((restored, shut)) => {
                    shut.keep();
                    tracing::info!(created_at = %restored.described.created_at, "a backup was read and checked: it takes the store's place");
                    *backups.restoring_mut() = Some(Restoring::Ready);
                    backups.shared.is_ready.send_replace(true);
                }
                Err(error) => {
                    tracing::warn!(%error, "a backup cannot be restored: everything is as it was");
                    *backups.restoring_mut() = Some(Restoring::Failed(error.to_string()));
                }
            }
        });
        spawned
            .map(drop)
            .map_err(|error| BackupError::Io { path, error })
            .inspect_err(|_| *again.restoring_mut() = None)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.is_whole {
            _ = fs::remove_file(&self.path);
            *self.backups.restoring_mut() = None;
        }
    }
}
