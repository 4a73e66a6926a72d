//! What is to be kept, gathered into large commits off the path of the next request; and what follows once it is kept.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::ids::IdSet;
use crate::domain::delivery::CanceledReason;
use crate::domain::health::Health;
use crate::domain::id::{DeliveryId, SubscriptionId};
use crate::domain::operational::Announcement;
use crate::domain::subscription::DisabledReason;
use crate::domain::time::Timestamp;
use crate::store::{Recorded, Recordings};

/// Outcomes are committed when so many came together …
const RECORD_BATCH: usize = 2048;
/// … or the oldest of them has waited for so long.
const RECORD_AFTER: Duration = Duration::from_millis(20);
/// A fresh delivery that was not settled for so long gets a due row, so that an opening after a crash need not look far
/// back: it reads every delivery since the oldest unsettled one. It is longer than a full memory takes to be sent at
/// some 20,000 a second, since a due row costs more than it is worth to what is about to go anyway.
const PARK_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Recorder {
    recordings: Recordings,
    record_at: Option<Timestamp>,
    /// What follows once the next, and the running, recordings are durable.
    next: Vec<Following>,
    running: Option<Vec<Following>>,
    /// Fresh deliveries without a due row on disk: the watermark stays below the oldest of them.
    unsettled: BTreeSet<DeliveryId>,
    newest_seen: Option<DeliveryId>,
    /// Fresh deliveries by the time at which they are parked if nothing has settled them.
    to_park: VecDeque<(Timestamp, DeliveryId)>,
}

/// What becomes of a delivery once what was decided about it is durable.
#[derive(Debug, Clone, Copy)]
pub(super) struct Following {
    pub subscription: SubscriptionId,
    pub delivery: DeliveryId,
    pub then: Then,
    /// When something of the subscription is due on disk because of it.
    pub due: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Then {
    /// An attempt was made.
    Attempted,
    /// It left memory for the disk.
    Parked,
    /// It ended without an attempt.
    Ended,
}

impl Recorder {
    /// A delivery that is on disk without a due row.
    pub fn fresh(&mut self, delivery: DeliveryId) {
        self.newest_seen = self.newest_seen.max(Some(delivery));
        self.unsettled.insert(delivery);
    }

    /// Deliveries up to this one are on disk and need nothing more, but those that are known as fresh. The watermark follows.
    pub fn settled_on_disk(&mut self, newest: DeliveryId, now: Timestamp) {
        self.newest_seen = self.newest_seen.max(Some(newest));
        self.soon(now);
    }

    /// Parks it when it is still not settled after a while.
    pub fn park_later(&mut self, delivery: DeliveryId, now: Timestamp) {
        self.to_park.push_back((now.plus(PARK_AFTER), delivery));
    }

    pub fn is_unsettled(&self, delivery: DeliveryId) -> bool {
        self.unsettled.contains(&delivery)
    }

    /// Something else settled it.
    pub fn settled(&mut self, delivery: DeliveryId) {
        self.unsettled.remove(&delivery);
    }

    /// A fresh delivery leaves memory.
    pub fn park(&mut self, subscription: SubscriptionId, delivery: DeliveryId, due: Timestamp, now: Timestamp) {
        self.park_in_place(delivery, now);
        self.next.push(Following { subscription, delivery, then: Then::Parked, due: Some(due) });
    }

    /// A fresh delivery gets a due row, and stays where it is.
    fn park_in_place(&mut self, delivery: DeliveryId, now: Timestamp) {
        self.unsettled.remove(&delivery);
        self.recordings.parked.push(delivery);
        self.soon(now);
    }

    /// Fresh deliveries that nothing settled for a while get a due row, wherever they are.
    pub fn park_old(&mut self, now: Timestamp) {
        while let Some((at, delivery)) = self.to_park.front().copied()
            && (at <= now || at > now.plus(PARK_AFTER) || !self.unsettled.contains(&delivery))
        {
            self.to_park.pop_front();
            if self.unsettled.contains(&delivery) {
                self.park_in_place(delivery, now);
            }
        }
    }

    pub fn attempted(&mut self, subscription: SubscriptionId, recorded: Recorded, health: Health, now: Timestamp) {
        let delivery = recorded.attempt.delivery;
        self.unsettled.remove(&delivery);
        let due = recorded.state.next_attempt_at();
        self.next.push(Following { subscription, delivery, then: Then::Attempted, due });
        self.recordings.attempts.push(recorded);
        self.health(subscription, health, now);
    }

    pub fn cancel(
        &mut self,
        subscription: SubscriptionId,
        delivery: DeliveryId,
        reason: CanceledReason,
        now: Timestamp,
    ) {
        self.unsettled.remove(&delivery);
        self.recordings.canceled.push((delivery, reason));
        self.next.push(Following { subscription, delivery, then: Then::Ended, due: None });
        self.soon(now);
    }

    pub fn health(&mut self, subscription: SubscriptionId, health: Health, now: Timestamp) {
        self.recordings.health.push((subscription, health));
        self.soon(now);
    }

    pub fn disable(&mut self, subscription: SubscriptionId, reason: DisabledReason, now: Timestamp) {
        self.recordings.disabled.push((subscription, reason));
        self.soon(now);
    }

    pub fn announce(&mut self, announcement: Announcement, now: Timestamp) {
        self.recordings.announced.push(announcement);
        self.soon(now);
    }

    /// Something of the subscription became due on disk while decisions about it are not reported as durable.
    pub fn due_again(&mut self, subscription: SubscriptionId, due: Timestamp) {
        let unreported = self.next.iter_mut().chain(self.running.iter_mut().flatten());
        for following in unreported.filter(|following| following.subscription == subscription) {
            following.due = Some(following.due.map_or(due, |known| known.min(due)));
        }
    }

    fn soon(&mut self, now: Timestamp) {
        self.record_at.get_or_insert(now.plus(RECORD_AFTER));
    }

    /// Somebody waits for it.
    pub fn at_once(&mut self, now: Timestamp) {
        self.record_at = Some(now);
    }

    /// What is to be committed now.
    pub fn take_due(&mut self, now: Timestamp, is_the_end: bool) -> Option<Recordings> {
        let record_at = self.record_at?;
        // A clock that was set back must not hold outcomes up.
        let is_time = now >= record_at || record_at > now.plus(RECORD_AFTER);
        if self.running.is_some() || !(is_time || self.next.len() >= RECORD_BATCH || is_the_end) {
            return None;
        }
        self.record_at = None;
        let mut recordings = std::mem::take(&mut self.recordings);
        // Only the last health of each subscription counts.
        let mut seen = IdSet::default();
        recordings.health.reverse();
        recordings.health.retain(|(id, _)| seen.insert(*id));
        recordings.settled_up_to = match self.unsettled.first() {
            Some(oldest) => Some(DeliveryId::from_u128(oldest.as_u128() - 1)),
            None => self.newest_seen,
        };
        self.running = Some(std::mem::take(&mut self.next));
        Some(recordings)
    }

    /// The recordings that were taken are durable: what follows.
    pub fn recorded(&mut self) -> Vec<Following> {
        self.running.take().unwrap_or_default()
    }

    pub fn wake_at(&self) -> Option<Timestamp> {
        let park = self.to_park.front().map(|(at, ..)| *at);
        let record = self.record_at.filter(|_| self.running.is_none());
        park.into_iter().chain(record).min()
    }

    /// Decisions that are not durable.
    pub fn unrecorded(&self) -> usize {
        self.next.len() + self.running.as_ref().map_or(0, Vec::len)
    }

    /// Whether there is nothing that a commit would keep.
    pub fn is_idle(&self) -> bool {
        self.unrecorded() == 0 && self.record_at.is_none() && self.running.is_none()
    }

    pub fn unsettled(&self) -> usize {
        self.unsettled.len()
    }
}
