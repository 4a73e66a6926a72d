//! What waits in memory for one subscription, and in which order it goes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::outgoing::Outgoing;
use crate::domain::delivery::Trigger;
use crate::domain::id::{DeliveryId, TenantId};
use crate::domain::time::Timestamp;

/// After so many first attempts in a row one late retry goes, so that neither kind starves the other.
const FIRST_ATTEMPTS_PER_RETRY: u32 = 4;

/// A delivery in memory, ready to be sent when its turn comes.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub delivery: DeliveryId,
    pub tenant: TenantId,
    pub event: Arc<Outgoing>,
    /// Since when it is due.
    pub due: Timestamp,
    /// Requests made before.
    pub attempts: u16,
    pub round: Round,
    pub trigger: Trigger,
}

/// Which of a delivery's attempts its schedule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Round {
    /// Requests that the schedule does not count: probes, and what came before a recovery.
    pub attempts_uncounted: u16,
    /// Nothing follows the attempt at hand.
    pub is_once: bool,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// A person asked for these.
    asked: VecDeque<Waiting>,
    /// Never attempted, in the order of their ids; in a lane that keeps the order, everything that became due.
    first: VecDeque<Waiting>,
    /// Attempted before, in the order of their due times.
    late: VecDeque<Waiting>,
    first_in_a_row: u32,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.asked.len() + self.first.len() + self.late.len()
    }

    /// Since when the one is due that has waited longest.
    pub fn oldest(&self) -> Option<Timestamp> {
        let fronts = [self.asked.front(), self.first.front(), self.late.front()];
        fronts.into_iter().flatten().map(|waiting| waiting.due).min()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn push(&mut self, waiting: Waiting, keeps_order: bool) {
        if waiting.attempts == 0 || keeps_order { self.first.push_back(waiting) } else { self.late.push_back(waiting) }
    }

    /// It goes before all others.
    pub fn push_asked(&mut self, waiting: Waiting) {
        self.asked.push_back(waiting);
    }

    pub fn has_asked(&self) -> bool {
        !self.asked.is_empty()
    }

    /// What a person asked for goes before all others; first attempts go before late retries, but not for ever.
    pub fn pop(&mut self) -> Option<Waiting> {
        if let Some(waiting) = self.asked.pop_front() {
            return Some(waiting);
        }
        let late_has_its_turn = self.first_in_a_row >= FIRST_ATTEMPTS_PER_RETRY || self.first.is_empty();
        if late_has_its_turn && let Some(waiting) = self.late.pop_front() {
            self.first_in_a_row = 0;
            return Some(waiting);
        }
        self.first_in_a_row = self.first_in_a_row.saturating_add(1);
        self.first.pop_front()
    }

    /// Takes one delivery out, if it waits here.
    pub fn remove(&mut self, delivery: DeliveryId) -> Option<Waiting> {
        for queue in [&mut self.asked, &mut self.first, &mut self.late] {
            if let Some(place) = queue.iter().position(|waiting| waiting.delivery == delivery) {
                return queue.remove(place);
            }
        }
        None
    }

    /// Takes everything out.
    pub fn drain(&mut self) -> Vec<Waiting> {
        let all = self.asked.drain(..).chain(self.first.drain(..)).chain(self.late.drain(..)).collect();
        // What a flood left behind is given back.
        *self = Self::default();
        all
    }
}
