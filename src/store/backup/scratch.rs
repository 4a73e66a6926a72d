//! The file of a store that is only looked at and then removed. It goes to the disk, and from it, in small steps: the journal of a
//! store that works beside it waits for the same disk. (Left to one sync at its end, 600 MB held up every publication for a
//! third of a second.)

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::super::folder::STORE_FILE;
use super::SYNC_EVERY_BYTES;

/// What one step of removing gives back to the file system: 600 MB at once held up each sync beside it for 50 ms, and so for 2.
const REMOVE_STEP_BYTES: u64 = 4 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct ScratchFile {
    file: FileBackend,
    unsynced_bytes: AtomicU64,
}

impl ScratchFile {
    pub(super) fn new(file: FileBackend) -> Self {
        Self { file, unsynced_bytes: AtomicU64::new(0) }
    }
}

impl StorageBackend for ScratchFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    /// Nobody needs it to survive anything.
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)?;
        let unsynced_bytes = self.unsynced_bytes.fetch_add(data.len() as u64, Ordering::Relaxed) + data.len() as u64;
        if unsynced_bytes >= SYNC_EVERY_BYTES {
            self.unsynced_bytes.store(0, Ordering::Relaxed);
            self.file.sync_data()?;
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

/// Removes the folder of a store, if it is there.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    // A file that cannot be shrunk is removed as it is: a disk without room may refuse that, too.
    _ = OpenOptions::new().write(true).open(folder.join(STORE_FILE)).and_then(|file| shrink(&file));
    unless_missing(fs::remove_dir_all(folder))
}

fn shrink(file: &File) -> io::Result<()> {
    let mut length = file.metadata()?.len();
    while length > 0 {
        length = length.saturating_sub(REMOVE_STEP_BYTES);
        file.set_len(length)?;
        file.sync_data()?;
    }
    Ok(())
}

/// Done as well when there was nothing to do it to.
pub(super) fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
