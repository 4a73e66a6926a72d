//! How fast a receiver has to go on once it has begun: one that drips would hold its place for the whole time-out.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// What comes within each time that a receiver is given.
pub const PROGRESS_BYTES_MIN: usize = 1024;

/// The time that runs for the next part of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    time_max: Duration,
    /// None: nothing is waited for yet.
    ends_at: Option<Instant>,
    missing_bytes: usize,
}

/// The receiver was too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooSlow;

impl Pace {
    pub fn new(time_max: Duration) -> Self {
        Self { time_max, ends_at: None, missing_bytes: PROGRESS_BYTES_MIN }
    }

    /// Waits for the next bytes, as long as the time runs.
    pub async fn next<T>(&mut self, reading: impl Future<Output = T>) -> Result<T, TooSlow> {
        let ends_at = *self.ends_at.get_or_insert_with(|| Instant::now() + self.time_max);
        timeout_at(ends_at, reading).await.map_err(|_| TooSlow)
    }

    /// So many bytes came. With enough of them the time begins anew.
    pub fn came(&mut self, bytes: usize) {
        self.missing_bytes = self.missing_bytes.saturating_sub(bytes);
        if self.missing_bytes == 0 {
            *self = Self::new(self.time_max);
        }
    }
}
