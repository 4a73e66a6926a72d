//! How much room the file system has, whether new work still fits above the reserve, and when somebody should hear of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use crate::domain::time::Timestamp;

/// The reserve, unless the operator sets one: the greater of the two (contract 9).
const RESERVE_BYTES_MIN: u64 = 256 * 1024 * 1024;
const RESERVE_PERCENT: u64 = 2;
/// A warning is given below so many times the reserve …
const WARNING_RESERVES: u64 = 2;
/// … and taken back when so much more is free, so that it does not come and go.
const WARNING_OVER_PERCENT: u64 = 125;
/// How often the file system is asked.
const LOOK_EVERY_MILLIS: u64 = 1000;

#[derive(Debug)]
pub(super) struct Space {
    place: Place,
    bytes_min: Option<u64>,
    free_bytes: AtomicU64,
    /// What of it is the reserve.
    reserve_bytes: AtomicU64,
    is_low: AtomicBool,
    looked_at: AtomicI64,
}

/// How much room there is, as far as somebody should hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Room {
    Enough,
    /// New work is refused soon.
    Low,
    /// New work is refused.
    Full,
}

#[derive(Debug)]
pub(super) enum Place {
    /// The folder, and the file in it.
    Directory(PathBuf, PathBuf),
    /// What a test says is free.
    Given(Arc<AtomicU64>),
}

impl Space {
    pub(super) fn new(place: Place, bytes_min: Option<u64>) -> Self {
        let space = Self {
            place,
            bytes_min,
            free_bytes: AtomicU64::new(u64::MAX),
            reserve_bytes: AtomicU64::new(0),
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

    /// How much room there is for who was last told that it is `told`.
    pub(super) fn room(&self, told: Room) -> Room {
        let (free, warning) = (self.free_bytes(), self.warning_bytes());
        let is_over = free >= warning.saturating_mul(WARNING_OVER_PERCENT) / 100;
        if self.is_low() {
            Room::Full
        } else if free < warning {
            Room::Low.max(told)
        } else if is_over {
            Room::Enough
        } else {
            told
        }
    }

    /// Below it new work is refused.
    pub(super) fn reserve_bytes(&self) -> u64 {
        self.reserve_bytes.load(Ordering::Relaxed)
    }

    /// Below it a warning is given.
    pub(super) fn warning_bytes(&self) -> u64 {
        self.reserve_bytes().saturating_mul(WARNING_RESERVES)
    }

    /// The folder and the database's file; none for a simulated disk.
    pub(super) fn files(&self) -> Option<(&Path, &Path)> {
        match &self.place {
            Place::Directory(directory, file) => Some((directory, file)),
            Place::Given(_) => None,
        }
    }

    pub(super) fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }

    /// The size of the file; 0 for a simulated disk.
    pub(super) fn file_bytes(&self) -> u64 {
        match &self.place {
            Place::Directory(_, file) => std::fs::metadata(file).map_or(0, |metadata| metadata.len()),
            Place::Given(_) => 0,
        }
    }

    pub(super) fn look(&self) {
        let (free, total) = match &self.place {
            Place::Given(free) => (free.load(Ordering::Relaxed), 0),
            Place::Directory(directory, _) => match rustix::fs::statvfs(directory.as_path()) {
                Ok(figures) => (
                    figures.f_bavail.saturating_mul(figures.f_frsize),
                    figures.f_blocks.saturating_mul(figures.f_frsize),
                ),
                Err(error) => {
                    tracing::warn!(%error, "the free space of the data directory cannot be seen");
                    return;
                }
            },
        };
        let bytes_min = self.bytes_min.unwrap_or_else(|| RESERVE_BYTES_MIN.max(total / 100 * RESERVE_PERCENT));
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_comes_before_the_refusal_and_goes_only_when_there_is_clearly_more_room() {
        let free = Arc::new(AtomicU64::new(1000));
        let space = Space::new(Place::Given(Arc::clone(&free)), Some(100));
        let mut told = Room::Enough;
        for (bytes, expected) in [
            (1000, Room::Enough),
            (200, Room::Enough),
            (199, Room::Low),
            (210, Room::Low),
            (99, Room::Full),
            // It is still told that it is full: news come again only once there was enough.
            (150, Room::Full),
            (249, Room::Full),
            (250, Room::Enough),
            (210, Room::Enough),
            (199, Room::Low),
        ] {
            free.store(bytes, Ordering::Relaxed);
            space.look();
            told = space.room(told);
            assert_eq!(told, expected, "{bytes}");
        }
    }
}
