//! How much room the file system has, whether new work still fits above the reserve, and when somebody should hear of it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use super::commit::Store;
use super::folder::journal_files;
use crate::domain::time::Timestamp;

/// The reserve, unless the operator sets one: the greater of the two (contract 9).
const RESERVE_BYTES_MIN: u64 = 256 * 1024 * 1024;
const RESERVE_PERCENT: u64 = 2;
/// A warning is given below so many times the reserve …
const WARNING_RESERVES: u64 = 2;
/// … or below this part of the file system …
const WARNING_PERCENT: u64 = 10;
/// … and taken back when so much more is free, so that it does not come and go.
const WARNING_OVER_PERCENT: u64 = 125;
/// What the system counts in.
const BLOCK_BYTES: u64 = 512;
/// How often the file system is asked.
const LOOK_EVERY_MILLIS: u64 = 1000;

/// The file system that the store is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    pub free_bytes: u64,
    /// New work is refused below this.
    pub reserve_bytes: u64,
    /// A warning is given below this: two reserves, or a tenth of the file system if that is more.
    pub warning_bytes: u64,
    /// 0 when it is not known.
    pub total_bytes: u64,
    pub level: DiskLevel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskLevel {
    Enough,
    /// Below what is warned of: new work may be refused soon.
    Low,
    /// Below the reserve: new work is refused.
    Refusing,
}

impl DiskLevel {
    pub const ALL: [Self; 3] = [Self::Enough, Self::Low, Self::Refusing];

    pub fn name(self) -> &'static str {
        match self {
            Self::Enough => "enough",
            Self::Low => "low",
            Self::Refusing => "refusing",
        }
    }
}

/// What the store's files take on the disk; 0 on a simulated one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Files {
    pub store_bytes: u64,
    /// Both files of the journal.
    pub journal_bytes: u64,
}

#[derive(Debug)]
pub(super) struct Space {
    place: Place,
    bytes_min: Option<u64>,
    free_bytes: AtomicU64,
    reserve_bytes: AtomicU64,
    warning_bytes: AtomicU64,
    total_bytes: AtomicU64,
    is_low: AtomicBool,
    looked_at: AtomicI64,
}

#[derive(Debug)]
pub(super) enum Place {
    /// The folder, and the file in it.
    Directory(PathBuf, PathBuf),
    /// What a test says is free.
    Given(Arc<AtomicU64>),
}

impl Store {
    /// Bytes that are free in a folder, above the reserve. As much as there can be on a simulated disk.
    pub fn room(&self, folder: &Path) -> io::Result<u64> {
        match self.shared.space.place {
            Place::Directory(..) => {
                let (free, total) = free_and_total(folder)?;
                Ok(free.saturating_sub(self.shared.space.reserve(total)))
            }
            Place::Given(_) => Ok(u64::MAX),
        }
    }
}

/// Bytes of the file system that holds the folder.
fn free_and_total(folder: &Path) -> io::Result<(u64, u64)> {
    let figures = rustix::fs::statvfs(folder)?;
    Ok((figures.f_bavail.saturating_mul(figures.f_frsize), figures.f_blocks.saturating_mul(figures.f_frsize)))
}

/// What a file takes on the disk, whose end may be no more than a length.
pub(super) fn taken_bytes(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |metadata| metadata.blocks() * BLOCK_BYTES)
}

/// The file system of a folder, for who has no store open there. `bytes_min` is the reserve that the operator set.
pub fn disk_of(folder: &Path, bytes_min: Option<u64>) -> io::Result<Disk> {
    let (free_bytes, total_bytes) = free_and_total(folder)?;
    let reserve_bytes = reserve(bytes_min, total_bytes);
    let warning_bytes = warning(reserve_bytes, total_bytes);
    let level = level(free_bytes, warning_bytes, free_bytes < reserve_bytes);
    Ok(Disk { free_bytes, reserve_bytes, warning_bytes, total_bytes, level })
}

fn reserve(bytes_min: Option<u64>, total: u64) -> u64 {
    bytes_min.unwrap_or_else(|| RESERVE_BYTES_MIN.max(total / 100 * RESERVE_PERCENT))
}

fn warning(reserve: u64, total: u64) -> u64 {
    reserve.saturating_mul(WARNING_RESERVES).max(total / 100 * WARNING_PERCENT)
}

fn level(free: u64, warning: u64, is_refusing: bool) -> DiskLevel {
    match free < warning {
        _ if is_refusing => DiskLevel::Refusing,
        true => DiskLevel::Low,
        false => DiskLevel::Enough,
    }
}

impl Space {
    pub(super) fn new(place: Place, bytes_min: Option<u64>) -> Self {
        let space = Self {
            place,
            bytes_min,
            free_bytes: AtomicU64::new(u64::MAX),
            reserve_bytes: AtomicU64::new(0),
            warning_bytes: AtomicU64::new(0),
            total_bytes: AtomicU64::new(0),
            is_low: AtomicBool::new(false),
            looked_at: AtomicI64::new(i64::MIN),
        };
        space.look();
        space
    }

    /// Looks again when the last look is a second old.
    pub(super) fn refresh(&self, now: Timestamp) {
        let last = self.looked_at.load(Ordering::Relaxed);
        if now.as_millis().abs_diff(last) >= LOOK_EVERY_MILLIS {
            self.looked_at.store(now.as_millis(), Ordering::Relaxed);
            self.look();
        }
    }

    pub(super) fn is_low(&self) -> bool {
        self.is_low.load(Ordering::Relaxed)
    }

    /// As of the last look.
    pub(super) fn disk(&self) -> Disk {
        let [free_bytes, reserve_bytes, warning_bytes, total_bytes] =
            [&self.free_bytes, &self.reserve_bytes, &self.warning_bytes, &self.total_bytes]
                .map(|bytes| bytes.load(Ordering::Relaxed));
        let level = level(free_bytes, warning_bytes, self.is_low());
        Disk { free_bytes, reserve_bytes, warning_bytes, total_bytes, level }
    }

    /// The level for who was last told that it is `told`.
    pub(super) fn level_after(&self, told: DiskLevel) -> DiskLevel {
        let Disk { free_bytes, reserve_bytes: _, warning_bytes, total_bytes: _, level } = self.disk();
        let is_over = free_bytes >= warning_bytes.saturating_mul(WARNING_OVER_PERCENT) / 100;
        match level {
            DiskLevel::Refusing => level,
            DiskLevel::Low => level.max(told),
            DiskLevel::Enough if is_over => level,
            DiskLevel::Enough => told,
        }
    }

    /// The folder and the database's file; none for a simulated disk.
    pub(super) fn paths(&self) -> Option<(&Path, &Path)> {
        match &self.place {
            Place::Directory(directory, file) => Some((directory, file)),
            Place::Given(_) => None,
        }
    }

    pub(super) fn files(&self) -> Files {
        self.paths().map_or(Files { store_bytes: 0, journal_bytes: 0 }, |(directory, file)| Files {
            store_bytes: taken_bytes(file),
            journal_bytes: journal_files(directory).iter().map(|file| taken_bytes(file)).sum(),
        })
    }

    fn reserve(&self, total: u64) -> u64 {
        reserve(self.bytes_min, total)
    }

    pub(super) fn look(&self) {
        let (free, total) = match &self.place {
            Place::Given(free) => (free.load(Ordering::Relaxed), 0),
            Place::Directory(directory, _) => match free_and_total(directory) {
                Ok(figures) => figures,
                Err(error) => {
                    tracing::warn!(%error, "the free space of the data directory cannot be seen");
                    return;
                }
            },
        };
        let bytes_min = self.reserve(total);
        let is_low = free < bytes_min;
        if is_low != self.is_low.swap(is_low, Ordering::Relaxed) {
            if is_low {
                tracing::error!(free, bytes_min, "storage is low: new events are refused");
            } else {
                tracing::info!(free, bytes_min, "storage has room again");
            }
        }
        self.free_bytes.store(free, Ordering::Relaxed);
        self.reserve_bytes.store(bytes_min, Ordering::Relaxed);
        self.warning_bytes.store(warning(bytes_min, total), Ordering::Relaxed);
        self.total_bytes.store(total, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_comes_before_the_refusal_and_goes_only_when_there_is_clearly_more_room() {
        let free = Arc::new(AtomicU64::new(1000));
        let space = Space::new(Place::Given(Arc::clone(&free)), Some(100));
        let mut told = DiskLevel::Enough;
        for (bytes, expected) in [
            (1000, DiskLevel::Enough),
            (200, DiskLevel::Enough),
            (199, DiskLevel::Low),
            (210, DiskLevel::Low),
            (99, DiskLevel::Refusing),
            // It is still told that new work is refused: news come again only once there was enough.
            (150, DiskLevel::Refusing),
            (249, DiskLevel::Refusing),
            (250, DiskLevel::Enough),
            (210, DiskLevel::Enough),
            (199, DiskLevel::Low),
        ] {
            free.store(bytes, Ordering::Relaxed);
            space.look();
            told = space.level_after(told);
            assert_eq!(told, expected, "{bytes}");
        }
    }
}
