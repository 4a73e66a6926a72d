//! How much room the file system has, and whether new work still fits above the reserve.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use super::commit::Store;
use super::journal::JOURNAL_FILES;
use crate::domain::time::Timestamp;

/// The reserve, unless the operator sets one: the greater of the two (contract 9).
const RESERVE_BYTES_MIN: u64 = 256 * 1024 * 1024;
const RESERVE_PERCENT: u64 = 2;
/// From here on people should do something: so many times the reserve …
const LOW_RESERVES: u64 = 2;
/// … or this part of the file system.
const LOW_PERCENT: u64 = 10;
/// How often the file system is asked.
const LOOK_EVERY_MILLIS: u64 = 1000;

/// The file system that the store is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    pub free_bytes: u64,
    /// New work is refused below this.
    pub reserve_bytes: u64,
    /// 0 when it is not known.
    pub total_bytes: u64,
    pub level: DiskLevel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskLevel {
    Enough,
    /// Less than two reserves, or than a tenth of the file system.
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

/// The store's files, in bytes; 0 on a simulated disk.
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

/// The file system of a folder, for who has no store open there. `bytes_min` is the reserve that the operator set.
pub fn disk_of(folder: &Path, bytes_min: Option<u64>) -> io::Result<Disk> {
    let (free_bytes, total_bytes) = free_and_total(folder)?;
    let reserve_bytes = reserve(bytes_min, total_bytes);
    let level = level(free_bytes, reserve_bytes, total_bytes, free_bytes < reserve_bytes);
    Ok(Disk { free_bytes, reserve_bytes, total_bytes, level })
}

fn reserve(bytes_min: Option<u64>, total: u64) -> u64 {
    bytes_min.unwrap_or_else(|| RESERVE_BYTES_MIN.max(total / 100 * RESERVE_PERCENT))
}

fn level(free: u64, reserve: u64, total: u64, is_refusing: bool) -> DiskLevel {
    let is_warned = free < reserve.saturating_mul(LOW_RESERVES) || free < total / 100 * LOW_PERCENT;
    match is_warned {
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
        let free_bytes = self.free_bytes.load(Ordering::Relaxed);
        let reserve_bytes = self.reserve_bytes.load(Ordering::Relaxed);
        let total_bytes = self.total_bytes.load(Ordering::Relaxed);
        Disk {
            free_bytes,
            reserve_bytes,
            total_bytes,
            level: level(free_bytes, reserve_bytes, total_bytes, self.is_low()),
        }
    }

    pub(super) fn files(&self) -> Files {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        match &self.place {
            Place::Directory(directory, file) => Files {
                store_bytes: size(file),
                journal_bytes: JOURNAL_FILES.iter().map(|name| size(&directory.join(name))).sum(),
            },
            Place::Given(_) => Files { store_bytes: 0, journal_bytes: 0 },
        }
    }

    fn reserve(&self, total: u64) -> u64 {
        reserve(self.bytes_min, total)
    }

    fn look(&self) {
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
        self.total_bytes.store(total, Ordering::Relaxed);
    }
}
