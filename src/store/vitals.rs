//! What the store knows of itself while it runs: what waits in it, what its commits take, and how its files fare. Kept in
//! memory beside what is committed, so that whoever watches an instance reads no table.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::commit::Store;
use super::deliveries::due_rows;
use super::record::StateCountsRecord;
use super::schema::DueRows;
use super::space::{Disk, Files};
use super::stats::by_state;
use super::tables::Read;
use super::{StoreError, Whose};
use crate::domain::health::{HealthStatus, Hold};
use crate::domain::id::SubscriptionId;
use crate::domain::stats::StateKind;
use crate::domain::subscription::Subscription;
use crate::domain::time::Timestamp;
use crate::measure::{COUNTS, Distribution, Histogram, MICROS};

/// When a checkpoint ended: none did yet.
const NEVER: i64 = i64::MIN;

#[derive(Debug)]
pub(super) struct Vitals {
    /// Of each subscription that has any of these.
    kept: Mutex<HashMap<SubscriptionId, Kept>>,
    commits: Histogram,
    sentences: Histogram,
    journal_bytes: AtomicU64,
    checkpoint_at: AtomicI64,
}

/// Deliveries that people may have to look at. A number can be below 0 for a moment: a new delivery that moved on
/// already may not have been counted as new yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Kept {
    pending: i64,
    retrying: i64,
    exhausted: i64,
}

impl Kept {
    fn add(&mut self, moved: StateCountsRecord) {
        for (state, number) in by_state(moved) {
            match state {
                StateKind::Pending => self.pending += number,
                StateKind::Retrying => self.retrying += number,
                StateKind::Exhausted => self.exhausted += number,
                StateKind::Succeeded | StateKind::Canceled | StateKind::Expired => {}
            }
        }
    }
}

/// Deliveries that are not final, and those that were given up, as far as they are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queue {
    /// Not attempted yet.
    pub pending: u64,
    /// Attempted, and to be attempted again.
    pub retrying: u64,
    /// Not counted in the other two: their subscriptions are sent nothing.
    pub held: u64,
    pub exhausted: u64,
}

/// How many subscriptions fare in which way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscribers {
    pub healthy: u64,
    /// A person made them inactive. Not counted in the others.
    pub paused: u64,
    pub degraded: u64,
    pub failing: u64,
    pub disabled: u64,
    /// Of the degraded, the failing and the disabled: the one for which it has lasted longest.
    pub longest: [Option<Longest>; 3],
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Longest {
    pub subscription: std::sync::Arc<Subscription>,
    /// When the first failure was that no success followed; when it was changed last, where that is not known.
    pub since: Timestamp,
}

/// What makes commits durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalState {
    /// What came into the journal since the last checkpoint began.
    pub bytes: u64,
    /// When the last checkpoint was durable; none since the opening when there was none to make.
    pub checkpoint_at: Option<Timestamp>,
}

/// What groups of sentences took that were committed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commits {
    /// In microseconds, from the first sentence until the group is durable.
    pub times: Distribution,
    /// Sentences of a group.
    pub sentences: Distribution,
}

impl Vitals {
    pub(super) fn new(counts: Vec<(SubscriptionId, StateCountsRecord)>) -> Self {
        let vitals = Self {
            kept: Mutex::default(),
            commits: Histogram::new(&MICROS),
            sentences: Histogram::new(&COUNTS),
            journal_bytes: AtomicU64::new(0),
            checkpoint_at: AtomicI64::new(NEVER),
        };
        vitals.moved(counts);
        vitals
    }

    pub(super) fn moved(&self, all: Vec<(SubscriptionId, StateCountsRecord)>) {
        if all.is_empty() {
            return;
        }
        let mut kept = self.kept.lock().expect("nothing panics while it holds the lock");
        for (id, moved) in all {
            let of_one = kept.entry(id).or_default();
            of_one.add(moved);
            if *of_one == Kept::default() {
                kept.remove(&id);
            }
        }
    }

    pub(super) fn committed(&self, time: Duration, sentences: usize) {
        self.commits.count_time(time);
        self.sentences.count(sentences as u64);
    }

    pub(super) fn journal_has(&self, bytes: u64) {
        self.journal_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn checkpoint_ended(&self, now: Timestamp) {
        self.checkpoint_at.store(now.as_millis(), Ordering::Relaxed);
    }
}

impl Store {
    /// How many deliveries wait. New ones are counted within a second.
    pub fn queue(&self, whose: Whose) -> Queue {
        let catalogue = self.catalogue();
        let kept: Vec<(SubscriptionId, Kept)> = {
            let mut kept = self.shared.vitals.kept.lock().expect("nothing panics while it holds the lock");
            // Those of a deleted one are ended in the background, and nobody asks for them any more.
            kept.retain(|id, _| catalogue.subscription(*id).is_some());
            kept.iter().map(|(id, kept)| (*id, *kept)).collect()
        };
        let mut queue = Queue::default();
        let number = |number| u64::try_from(number).unwrap_or(0);
        for (id, Kept { pending, retrying, exhausted }) in kept {
            let Some(subscription) = catalogue.subscription(id).filter(|it| whose.holds(it)) else { continue };
            queue.exhausted += number(exhausted);
            if Hold::of(subscription, &self.health(id)).is_some() {
                queue.held += number(pending + retrying);
            } else {
                queue.pending += number(pending);
                queue.retrying += number(retrying);
            }
        }
        queue
    }

    /// How many of a subscription's deliveries are due on disk by then, counted up to `max`. Reads the disk.
    pub fn due_count(&self, subscription: SubscriptionId, until: Timestamp, max: usize) -> Result<u64, StoreError> {
        let snapshot = self.shared.snapshot()?;
        let rows = snapshot.scan::<DueRows>(due_rows(subscription, until))?.take(max);
        rows.map(|row| row.map(|_| 1)).sum()
    }

    pub fn subscribers(&self, whose: Whose) -> Subscribers {
        let catalogue = self.catalogue();
        let mut all = Subscribers::default();
        let of_tenants = catalogue.tenants().filter(|entry| whose.may_hold_of(entry.tenant.id));
        for subscription in of_tenants.flat_map(|entry| entry.subscriptions()).filter(|it| whose.holds(it)) {
            let health = self.health(subscription.id);
            let (count, place) = match health.status(subscription) {
                _ if !subscription.is_active && subscription.disabled_reason.is_none() => (&mut all.paused, None),
                HealthStatus::Healthy => (&mut all.healthy, None),
                HealthStatus::Degraded => (&mut all.degraded, Some(0)),
                HealthStatus::Failing => (&mut all.failing, Some(1)),
                HealthStatus::Disabled => (&mut all.disabled, Some(2)),
            };
            *count += 1;
            if let Some(place) = place {
                let since = health.failing_since.unwrap_or(subscription.updated_at);
                let longest = &mut all.longest[place];
                if longest.as_ref().is_none_or(|known| since < known.since) {
                    *longest = Some(Longest { subscription: subscription.clone(), since });
                }
            }
        }
        all
    }

    /// The file system that it is on, as it was within the last second.
    pub fn disk(&self) -> Disk {
        self.shared.space.refresh(self.shared.clock.now());
        self.shared.space.disk()
    }

    /// Asks the file system.
    pub fn files(&self) -> Files {
        self.shared.space.files()
    }

    pub fn journal(&self) -> JournalState {
        let checkpoint_at = self.shared.vitals.checkpoint_at.load(Ordering::Relaxed);
        JournalState {
            bytes: self.shared.vitals.journal_bytes.load(Ordering::Relaxed),
            checkpoint_at: (checkpoint_at != NEVER).then(|| Timestamp::from_millis(checkpoint_at)),
        }
    }

    /// Since the store was opened.
    pub fn commits(&self) -> Commits {
        let Vitals { commits, sentences, .. } = &self.shared.vitals;
        Commits { times: commits.read(), sentences: sentences.read() }
    }
}
