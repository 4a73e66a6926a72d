//! When a lane has to be looked at although nothing happened to it: one wake-up for each.

use std::collections::BTreeSet;

use crate::domain::id::SubscriptionId;
use crate::domain::time::Timestamp;

#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Timestamp, SubscriptionId)>);

impl Timers {
    /// Moves a lane's wake-up; `timer` is where the lane keeps its time.
    pub fn set(&mut self, lane: SubscriptionId, timer: &mut Option<Timestamp>, at: Option<Timestamp>) {
        if *timer == at {
            return;
        }
        if let Some(old) = *timer {
            self.0.remove(&(old, lane));
        }
        if let Some(at) = at {
            self.0.insert((at, lane));
        }
        *timer = at;
    }

    pub fn first(&self) -> Option<Timestamp> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes out a lane whose time has come.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<SubscriptionId> {
        if self.first()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, lane)| lane)
    }

    /// Takes out all of them, in the order of their times.
    pub fn take_all(&mut self) -> impl Iterator<Item = SubscriptionId> + use<> {
        std::mem::take(&mut self.0).into_iter().map(|(_, lane)| lane)
    }
}
