//! One subscription's lane: what waits in memory and on disk, what is under way, and when it may go on.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::ids::IdSet;
use super::queue::{Queue, Round, Waiting};
use super::rate::Rate;
use crate::domain::health::Health;
use crate::domain::id::{DeliveryId, TenantId};
use crate::domain::subscription::{DeliveryOrder, Subscription};
use crate::domain::time::Timestamp;

/// A request that is under way for so long makes its lane one of those that leave slots to the others.
const SLOW_AFTER: Duration = Duration::from_secs(1);
/// A lane reads on when fewer than this wait in memory.
const READ_BELOW: usize = 32;
/// Rows in one read of a lane's queue on disk.
const READ_ROWS: usize = 128;
/// Deliveries that a person asked for, in one read.
const READ_ASKED: usize = 16;

#[derive(Debug)]
pub(super) struct Lane {
    pub tenant: TenantId,
    pub queue: Queue,
    /// Everything of this lane that a read of the disk must leave out: what waits here, what is under way, and what
    /// was decided but is not committed yet.
    pub in_memory: IdSet<DeliveryId>,
    /// Requests that are not over, the oldest first.
    under_way: VecDeque<UnderWay>,
    /// Outcomes that are not durable yet.
    pub unrecorded: u32,
    /// Deliveries that get a due row with the next recordings: until then neither here nor on disk.
    pub parking: u32,
    /// What the subscription was when this lane last heard of it; none when it is deleted.
    pub subscription: Option<Arc<Subscription>>,
    pub ordering: DeliveryOrder,
    /// When the earliest delivery on disk is due, as far as is known.
    pub on_disk: Option<Timestamp>,
    /// A read of the disk is wanted or under way.
    pub reading: bool,
    /// What a read that is under way may still bring although it ended meanwhile.
    pub canceled_while_reading: HashSet<DeliveryId>,
    /// On disk, and asked for by a person.
    pub asked_on_disk: VecDeque<DeliveryId>,
    /// While the circuit is open: nothing on disk may go as a probe before this, since all of it is for later.
    pub no_probe_before: Option<Timestamp>,
    /// When the delivery that blocks the lane is due; none when that is not known (see [`Health::blocked_by`]).
    pub blocked_until: Option<Timestamp>,
    pub health: Health,
    pub rate: Rate,
    /// Something about it changed, and it is to be looked at in this turn.
    pub touched: bool,
    /// In the turns, among the sick or the well.
    pub queued: bool,
    /// Its place among those that wait for a slot that is not kept for others; it is in the turns then.
    pub crowded: Option<u64>,
    /// Whether it was among the sick when it was last looked at.
    pub was_sick: bool,
    /// The wake-up that stands in the timers for this lane.
    pub timer: Option<Timestamp>,
}

/// A request that is not over, as far as its outcome depends on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnderWay {
    pub delivery: DeliveryId,
    pub since: Timestamp,
    /// When the delivery was due: a probe does not move it.
    pub due: Timestamp,
    pub round: Round,
    /// Whatever its outcome is, no attempt follows.
    pub is_canceled: bool,
}

/// What of a lane could go by now and did not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Late {
    pub in_memory: usize,
    /// There is, or may be, more of it on disk.
    pub is_on_disk: bool,
    /// Since when the oldest of it is due; none until the disk was looked at.
    pub oldest: Option<Timestamp>,
}

/// What a read of a lane's queue on disk is to bring.
#[derive(Debug)]
pub(super) struct Wanted {
    pub asked: Vec<DeliveryId>,
    pub until: Timestamp,
    pub rows_max: usize,
}

impl Lane {
    pub fn new(tenant: TenantId, health: Health, subscription: Option<&Arc<Subscription>>) -> Self {
        Self {
            tenant,
            queue: Queue::default(),
            in_memory: IdSet::default(),
            under_way: VecDeque::new(),
            unrecorded: 0,
            parking: 0,
            subscription: subscription.cloned(),
            ordering: subscription.map_or(DeliveryOrder::None, |subscription| subscription.ordering),
            on_disk: None,
            reading: false,
            canceled_while_reading: HashSet::new(),
            asked_on_disk: VecDeque::new(),
            no_probe_before: None,
            blocked_until: None,
            health,
            rate: Rate::default(),
            touched: false,
            queued: false,
            crowded: None,
            was_sick: false,
            timer: None,
        }
    }

    pub fn is_active(&self) -> bool {
        self.subscription.as_ref().is_some_and(|subscription| subscription.is_active)
    }

    pub fn in_flight(&self) -> usize {
        self.under_way.len()
    }

    fn keeps_order(&self) -> bool {
        self.ordering == DeliveryOrder::Fifo
    }

    pub fn push(&mut self, waiting: Waiting) {
        self.in_memory.insert(waiting.delivery);
        self.queue.push(waiting, self.keeps_order());
    }

    /// It goes before all others.
    pub fn push_asked(&mut self, waiting: Waiting) {
        self.in_memory.insert(waiting.delivery);
        self.queue.push_asked(waiting);
    }

    /// Something of it is due on disk.
    pub fn is_due_on_disk(&mut self, due: Timestamp) {
        self.on_disk = Some(self.on_disk.map_or(due, |known| known.min(due)));
    }

    /// It waits for no failed delivery any more: what waited behind it is on disk.
    pub fn unblock(&mut self) {
        self.health.blocked_by = None;
        self.on_disk = Some(Timestamp::MIN);
    }

    /// Whether a new delivery has to queue up on disk: others that came before it are there, or on their way.
    pub fn queues_on_disk(&self, now: Timestamp) -> bool {
        self.reading || self.parking > 0 || self.health.is_open() || self.on_disk.is_some_and(|due| due <= now)
    }

    /// The next one to send; it is under way then.
    pub fn take(&mut self, now: Timestamp, subscription: &Subscription) -> Option<Waiting> {
        let waiting = self.queue.pop()?;
        let Waiting { delivery, due, round, .. } = waiting;
        self.under_way.push_back(UnderWay { delivery, since: now, due, round, is_canceled: false });
        self.rate.sent(self.health.pace_of(subscription), now);
        Some(waiting)
    }

    /// It is not under way any more.
    pub fn is_over(&mut self, delivery: DeliveryId) -> Option<UnderWay> {
        let place = self.under_way.iter().position(|under_way| under_way.delivery == delivery)?;
        self.under_way.remove(place)
    }

    /// When it is under way, nothing waits for it once it is over.
    pub fn cancel(&mut self, delivery: DeliveryId) {
        if let Some(under_way) = self.under_way.iter_mut().find(|under_way| under_way.delivery == delivery) {
            under_way.is_canceled = true;
        }
    }

    /// Whether it is one of those that leave slots to the others.
    pub fn is_sick(&self, now: Timestamp) -> bool {
        self.health.is_sick() || self.under_way.front().is_some_and(|oldest| now.since(oldest.since) >= SLOW_AFTER)
    }

    /// Whether the next delivery may go now.
    pub fn may_send(&self, subscription: &Subscription, now: Timestamp) -> bool {
        if self.queue.is_empty() || !subscription.is_active {
            return false;
        }
        let has_slot = if self.keeps_order() {
            self.in_flight() == 0 && self.unrecorded == 0
        } else {
            self.in_flight() < usize::from(self.health.slots_of(subscription))
        };
        if !has_slot || self.rate.next_at(self.health.pace_of(subscription), now) > now {
            return false;
        }
        // Only those that a person asked for (or that block the lane) go past what holds the others up.
        if self.queue.has_asked() {
            return true;
        }
        if self.health.blocked_by.is_some() || self.health.quiet_until(now).is_some() {
            return false;
        }
        match self.health.probe_at(now) {
            Some(probe_at) => probe_at <= now && self.in_flight() == 0,
            None => true,
        }
    }

    /// What could go by now and waits for its turn, or for the pace; none while the subscription is sent nothing.
    pub fn late(&self, now: Timestamp) -> Option<Late> {
        let is_blocked = self.health.blocked_by.is_some() && self.blocked_until.is_none_or(|until| until > now);
        if !self.is_active() || self.health.is_open() || self.health.quiet_until(now).is_some() || is_blocked {
            return None;
        }
        let on_disk = self.on_disk.filter(|due| *due <= now);
        // The beginning of time stands for "look": what is there is known in a moment.
        let known = on_disk.filter(|due| *due != Timestamp::MIN);
        let late = Late {
            in_memory: self.queue.len(),
            is_on_disk: on_disk.is_some() || self.reading,
            oldest: self.queue.oldest().into_iter().chain(known).min(),
        };
        (late.in_memory > 0 || late.is_on_disk).then_some(late)
    }

    /// What to read from disk next; none when nothing has to be read now.
    pub fn wanted(&self, now: Timestamp) -> Option<Wanted> {
        let asked: Vec<_> = self.asked_on_disk.iter().copied().take(READ_ASKED).collect();
        if !asked.is_empty() {
            return Some(Wanted { asked, until: now, rows_max: 0 });
        }
        let probe_at = self.health.probe_at(now);
        let is_quiet = self.health.quiet_until(now).is_some();
        if let Some(blocking) = self.health.blocked_by {
            // Its place on disk is not known by time: it is asked for by name.
            let is_due = match probe_at {
                Some(probe_at) => probe_at <= now && !is_quiet,
                None => !is_quiet && self.blocked_until.is_none_or(|until| until <= now),
            };
            let is_wanted = is_due && !self.in_memory.contains(&blocking);
            return is_wanted.then(|| Wanted { asked: vec![blocking], until: now, rows_max: 0 });
        }
        let due = self.on_disk?;
        match probe_at {
            // The oldest one that is held, whether or not it is due.
            Some(probe_at) => (probe_at.max(self.no_probe_before.unwrap_or(probe_at)) <= now
                && self.queue.is_empty()
                && self.in_flight() == 0)
                .then(|| Wanted { asked: Vec::new(), until: Timestamp::MAX, rows_max: 1 }),
            None => (due <= now && self.queue.len() < READ_BELOW && !is_quiet).then(|| Wanted {
                asked: Vec::new(),
                until: now,
                rows_max: READ_ROWS,
            }),
        }
    }

    /// When something happens here without an outside cause: a due time on disk, the end of a requested quiet, a
    /// probe, or the pace.
    pub fn wake_at(&self, subscription: &Subscription, now: Timestamp) -> Option<Timestamp> {
        let mut wakes = [None; 4];
        let waits = !self.queue.is_empty();
        if waits {
            wakes[0] = Some(self.rate.next_at(self.health.pace_of(subscription), now));
        }
        let probe_at = self.health.probe_at(now);
        let quiet_until = self.health.quiet_until(now);
        if waits || self.on_disk.is_some() || self.health.blocked_by.is_some() {
            wakes[1] = probe_at.map(|at| at.max(self.no_probe_before.unwrap_or(at)));
            wakes[2] = quiet_until;
        }
        if probe_at.is_none() && !self.reading {
            let due = if self.health.blocked_by.is_some() { self.blocked_until } else { self.on_disk };
            wakes[3] = due.map(|due| due.max(quiet_until.unwrap_or(due)));
        }
        wakes.into_iter().flatten().filter(|at| *at > now).min()
    }

    /// Whether nothing would be lost by forgetting this lane.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.in_memory.is_empty()
            && self.under_way.is_empty()
            && self.on_disk.is_none()
            && self.asked_on_disk.is_empty()
            && self.health.blocked_by.is_none()
            && !self.reading
            && self.rate.is_spent(now)
    }
}
