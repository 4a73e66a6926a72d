//! Reads of the queues on disk, a few at a time.

use std::collections::VecDeque;

use super::lane::Wanted;
use crate::domain::id::SubscriptionId;

/// Reads under way at once.
const READS_MAX: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Reads {
    /// At most one for each lane.
    wanted: VecDeque<(SubscriptionId, Wanted)>,
    running: usize,
}

impl Reads {
    pub fn want(&mut self, lane: SubscriptionId, wanted: Wanted) {
        self.wanted.push_back((lane, wanted));
    }

    /// The next one to begin, if it may.
    pub fn begin(&mut self) -> Option<(SubscriptionId, Wanted)> {
        if self.running >= READS_MAX {
            return None;
        }
        let next = self.wanted.pop_front()?;
        self.running += 1;
        Some(next)
    }

    pub fn is_over(&mut self) {
        self.running -= 1;
    }

    pub fn running(&self) -> usize {
        self.running
    }

    /// Those that wait, too.
    pub fn len(&self) -> usize {
        self.running + self.wanted.len()
    }
}
