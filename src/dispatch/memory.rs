//! How much waits in memory over all subscriptions, and how much may.

use super::queue::Waiting;

/// Deliveries that wait in memory, over all subscriptions; what comes beyond waits on disk.
pub const WAITING_MAX: usize = 16_384;
/// Payload bytes of those.
pub const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// So many may wait in memory for one subscription even when the memory of all is full.
const LANE_WAITING_MIN: usize = 16;
/// … so many for one whose receiver is sick …
const LANE_WAITING_SICK_MAX: usize = 64;
/// … and so many at most, so that one subscription does not take it all.
const LANE_WAITING_MAX: usize = WAITING_MAX / 2;

#[derive(Debug, Default)]
pub(super) struct Memory {
    deliveries: usize,
    bytes: usize,
}

impl Memory {
    /// Deliveries in it.
    pub fn len(&self) -> usize {
        self.deliveries
    }

    fn is_full(&self) -> bool {
        self.deliveries >= WAITING_MAX || self.bytes >= WAITING_BYTES_MAX
    }

    /// How many deliveries may wait here for one subscription.
    pub fn lane_max(&self, is_sick: bool) -> usize {
        match is_sick {
            _ if self.is_full() => LANE_WAITING_MIN,
            true => LANE_WAITING_SICK_MAX,
            false => LANE_WAITING_MAX,
        }
    }

    /// How many of `rows` a read may bring.
    pub fn rows_max(&self, rows: usize) -> usize {
        if self.is_full() { rows.min(LANE_WAITING_MIN) } else { rows }
    }

    /// It waits here now.
    pub fn remember(&mut self, waiting: &Waiting) {
        self.deliveries += 1;
        self.bytes += waiting.event.data.len();
    }

    /// It does not wait here any more.
    pub fn forget(&mut self, waiting: &Waiting) {
        self.deliveries -= 1;
        self.bytes -= waiting.event.data.len();
    }
}
