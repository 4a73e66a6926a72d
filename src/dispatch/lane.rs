//! One subscription's queue: what waits in memory, what waits on disk, and how much may be under way.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::delivery::{ErrorClass, Outcome, Trigger};
use crate::domain::event::EventWithData;
use crate::domain::health::Health;
use crate::domain::id::{DeliveryId, TenantId};
use crate::domain::subscription::Subscription;
use crate::domain::time::Timestamp;

/// After so many first attempts in a row one late retry goes, so that neither kind starves the other.
const FIRST_ATTEMPTS_PER_RETRY: u32 = 4;

/// A delivery in memory, ready to be sent when its turn comes.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub delivery: DeliveryId,
    pub tenant: TenantId,
    pub event: Arc<EventWithData>,
    /// Requests made before.
    pub attempts: u16,
    pub trigger: Trigger,
    pub round: Round,
}

/// Which of a delivery's attempts its schedule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Round {
    /// Requests that the schedule does not count: what came before a recovery.
    pub attempts_uncounted: u16,
    /// Nothing follows the attempt at hand.
    pub is_once: bool,
}

#[derive(Debug)]
pub(super) struct Lane {
    /// Never attempted, in the order of their ids.
    first: VecDeque<Waiting>,
    /// Attempted before, in the order of their due times.
    late: VecDeque<Waiting>,
    first_in_a_row: u32,
    /// Everything of this lane that a read of the disk must leave out: what waits here, what is under way, and what
    /// was decided but is not committed yet.
    pub in_memory: HashSet<DeliveryId>,
    pub in_flight: u32,
    /// What the subscription was when this lane last heard of it.
    pub is_active: bool,
    /// The adaptive limit: at most the subscription's `max_in_flight`, less while the receiver is overloaded.
    allowed: u32,
    /// When the earliest delivery on disk is due, as far as is known.
    pub on_disk: Option<Timestamp>,
    /// A read of the disk is wanted or under way.
    pub reading: bool,
    /// What a read that is under way may still bring although it ended meanwhile.
    pub canceled_while_reading: HashSet<DeliveryId>,
    /// The receiver asked for quiet until then.
    pub not_before: Timestamp,
    pub health: Health,
    /// In the ring of lanes that have their turn.
    pub queued: bool,
    /// The wake-up that stands in the timers for this lane.
    pub timer: Option<Timestamp>,
}

impl Lane {
    pub fn new(health: Health, subscription: Option<&Subscription>) -> Self {
        Self {
            first: VecDeque::new(),
            late: VecDeque::new(),
            first_in_a_row: 0,
            in_memory: HashSet::new(),
            in_flight: 0,
            is_active: subscription.is_some_and(|subscription| subscription.is_active),
            allowed: subscription.map_or(1, |subscription| u32::from(subscription.max_in_flight)),
            on_disk: None,
            reading: false,
            canceled_while_reading: HashSet::new(),
            not_before: Timestamp::MIN,
            health,
            queued: false,
            timer: None,
        }
    }

    pub fn waiting(&self) -> usize {
        self.first.len() + self.late.len()
    }

    pub fn push(&mut self, waiting: Waiting) {
        self.in_memory.insert(waiting.delivery);
        if waiting.attempts == 0 {
            self.first.push_back(waiting);
        } else {
            self.late.push_back(waiting);
        }
    }

    /// First attempts go before late retries, but not for ever.
    pub fn pop(&mut self) -> Option<Waiting> {
        let late_has_its_turn = self.first_in_a_row >= FIRST_ATTEMPTS_PER_RETRY || self.first.is_empty();
        if late_has_its_turn && let Some(waiting) = self.late.pop_front() {
            self.first_in_a_row = 0;
            return Some(waiting);
        }
        self.first_in_a_row = self.first_in_a_row.saturating_add(1);
        self.first.pop_front()
    }

    /// Takes one delivery out of the queue, if it waits here.
    pub fn remove(&mut self, delivery: DeliveryId) -> Option<Waiting> {
        for queue in [&mut self.first, &mut self.late] {
            if let Some(place) = queue.iter().position(|waiting| waiting.delivery == delivery) {
                self.in_memory.remove(&delivery);
                return queue.remove(place);
            }
        }
        None
    }

    /// Empties the queue. The ids stay in `in_memory`: the caller says what becomes of each.
    pub fn drain(&mut self) -> impl Iterator<Item = Waiting> {
        self.first.drain(..).chain(self.late.drain(..))
    }

    /// Whether the next delivery may go now.
    pub fn may_send(&self, subscription: &Subscription, now: Timestamp) -> bool {
        subscription.is_active
            && self.waiting() > 0
            && now >= self.not_before
            && self.in_flight < self.allowed.min(u32::from(subscription.max_in_flight))
    }

    /// Overload halves what may be under way, a success gives one back (contract 5.4, 5.6).
    pub fn adapt(&mut self, outcome: &Outcome, subscription: &Subscription) {
        let ceiling = u32::from(subscription.max_in_flight);
        match outcome {
            Outcome::Success => self.allowed = (self.allowed + 1).min(ceiling),
            Outcome::Error { class: ErrorClass::Timeout, .. } => self.allowed = (self.allowed / 2).clamp(1, ceiling),
            outcome if outcome.is_overload() => self.allowed = (self.allowed / 2).clamp(1, ceiling),
            Outcome::Status(_) | Outcome::Error { .. } => {}
        }
    }

    pub fn wait_until(&mut self, not_before: Timestamp) {
        self.not_before = self.not_before.max(not_before);
    }

    /// A person asked for an attempt, or changed the subscription: what the receiver asked for earlier is lifted.
    pub fn lift_limits(&mut self, subscription: Option<&Subscription>) {
        self.not_before = Timestamp::MIN;
        self.allowed = subscription.map_or(1, |subscription| u32::from(subscription.max_in_flight));
    }

    /// When something happens here without an outside cause: a due time on disk, or the end of a requested quiet.
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let quiet_ends = Some(self.not_before).filter(|at| *at > now && (self.waiting() > 0 || self.on_disk.is_some()));
        let due = self.on_disk.filter(|_| !self.reading).map(|due| due.max(self.not_before));
        match (quiet_ends, due) {
            (Some(quiet), Some(due)) => Some(quiet.min(due)),
            (at, None) | (None, at) => at,
        }
    }

    /// Whether nothing would be lost by forgetting this lane.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.in_memory.is_empty()
            && self.in_flight == 0
            && self.on_disk.is_none()
            && !self.reading
            && self.not_before <= now
    }
}

/// The wait that `Retry-After` and the schedule come to for one delivery.
pub(super) fn longer(schedule: Duration, retry_after: Option<Duration>) -> (Duration, bool) {
    match retry_after {
        Some(asked) if asked > schedule => (asked, true),
        _ => (schedule, false),
    }
}
