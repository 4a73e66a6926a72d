//! Decides what is sent, recorded and read next. No clock, no socket, no task: time is an argument, chance is seeded,
//! and the same history gives the same decisions, so a simulation can run it.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::lane::{Lane, Waiting, longer};
use crate::domain::delivery::{
    Attempt, CanceledReason, Delivery, ExhaustedReason, Outcome, Response, RetryReason, State, Trigger,
};
use crate::domain::event::EventWithData;
use crate::domain::health::Health;
use crate::domain::id::{DeliveryId, SubscriptionId, TenantId};
use crate::domain::retry::{RETRY_AFTER_DELIVERY_MAX, RETRY_AFTER_SUBSCRIPTION_MAX, parse_retry_after};
use crate::domain::subscription::{DisabledReason, Subscription};
use crate::domain::time::Timestamp;
use crate::store::{Catalogue, Change, Due, Fresh, Recorded, Recordings};

/// Requests under way at once, over all subscriptions.
pub const IN_FLIGHT_MAX: usize = 4096;
/// Deliveries that wait in memory, over all subscriptions; what comes beyond waits on disk.
pub const WAITING_MAX: usize = 16_384;
/// Payload bytes of those.
pub const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// So many may wait in memory for one subscription even when the memory of all is full.
const LANE_WAITING_MIN: usize = 16;
/// … and so many at most, so that one subscription does not take it all.
const LANE_WAITING_MAX: usize = WAITING_MAX / 2;
/// Rows in one read of a lane's queue on disk.
const READ_ROWS: usize = 128;
/// A lane reads on when fewer than this wait in memory.
const READ_BELOW: usize = 32;
/// Reads under way at once.
const READS_MAX: usize = 4;
/// A fresh delivery that was not settled for so long gets a due row, so that a restart need not look far back.
const PARK_AFTER: Duration = Duration::from_secs(2);
/// Outcomes are committed when so many came together …
const RECORD_BATCH: usize = 2048;
/// … or the oldest of them has waited for so long.
const RECORD_AFTER: Duration = Duration::from_millis(20);
/// Sending stops while so many outcomes are not committed.
const UNRECORDED_MAX: usize = 8192;

/// Everything that can happen to the dispatcher.
#[derive(Debug)]
pub enum Happened {
    /// The store committed changes.
    Changed(Vec<Change>),
    /// The store told which subscriptions have something on disk (at the start).
    LanesFound(Vec<(SubscriptionId, Timestamp)>),
    /// A read that was asked for came back.
    DueRead {
        subscription: SubscriptionId,
        rows: Vec<Due>,
        next: Option<Timestamp>,
    },
    /// A request that was asked for is over.
    Finished(Box<Finished>),
    /// The recordings that were asked for are durable.
    Recorded,
    TimePassed,
    /// Nothing more is sent; what is under way is waited for and recorded.
    ShutDown,
}

/// What the dispatcher wants done.
#[derive(Debug)]
#[must_use = "a decision that is not carried out leaves a delivery hanging"]
pub enum Decided {
    Send(Send),
    Record(Recordings),
    ReadDue { subscription: SubscriptionId, until: Timestamp, in_memory: HashSet<DeliveryId>, rows_max: usize },
}

/// One request to be made.
#[derive(Debug, Clone)]
pub struct Send {
    pub delivery: DeliveryId,
    pub tenant: TenantId,
    pub subscription: Arc<Subscription>,
    pub event: Arc<EventWithData>,
    /// From 1.
    pub number: u16,
    pub trigger: Trigger,
}

/// A request that is over.
#[derive(Debug, Clone)]
pub struct Finished {
    pub subscription: SubscriptionId,
    pub attempt: Attempt,
}

/// What is known from outside: the configuration, and the health of subscriptions as last committed.
pub struct Known<'a> {
    pub catalogue: &'a Catalogue,
    pub health: &'a dyn Fn(SubscriptionId) -> Health,
}

pub struct Dispatcher {
    lanes: HashMap<SubscriptionId, Lane>,
    /// Lanes that may have something to send, in the order of their turns.
    ring: VecDeque<SubscriptionId>,
    timers: BTreeSet<(Timestamp, SubscriptionId)>,
    reads_wanted: VecDeque<SubscriptionId>,
    reads_running: usize,
    in_flight: usize,
    waiting: usize,
    waiting_bytes: usize,
    /// Fresh deliveries without a due row on disk: the watermark stays below the oldest of them.
    unsettled: BTreeSet<DeliveryId>,
    newest_seen: Option<DeliveryId>,
    /// Fresh deliveries by the time at which they are parked if nothing has settled them.
    to_park: VecDeque<(Timestamp, DeliveryId)>,
    recordings: Recordings,
    record_at: Option<Timestamp>,
    /// What becomes of each delivery once the next, and the running, recordings are durable: due again, or not.
    after_recording: Vec<(SubscriptionId, DeliveryId, Option<Timestamp>)>,
    after_running: Option<Vec<(SubscriptionId, DeliveryId, Option<Timestamp>)>>,
    is_shutting_down: bool,
    chance: StdRng,
    pub tally: Tally,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    pub attempts_succeeded: u64,
    pub attempts_failed: u64,
    pub deliveries_exhausted: u64,
}

impl Dispatcher {
    pub fn new(seed: u64) -> Self {
        Self {
            lanes: HashMap::new(),
            ring: VecDeque::new(),
            timers: BTreeSet::new(),
            reads_wanted: VecDeque::new(),
            reads_running: 0,
            in_flight: 0,
            waiting: 0,
            waiting_bytes: 0,
            unsettled: BTreeSet::new(),
            newest_seen: None,
            to_park: VecDeque::new(),
            recordings: Recordings::default(),
            record_at: None,
            after_recording: Vec::new(),
            after_running: None,
            is_shutting_down: false,
            chance: StdRng::seed_from_u64(seed),
            tally: Tally::default(),
        }
    }

    /// Takes in what happened and answers with what is to be done, in that order.
    pub fn handle(&mut self, happened: Happened, now: Timestamp, known: &Known<'_>, decided: &mut Vec<Decided>) {
        match happened {
            Happened::Changed(changes) => {
                for change in changes {
                    self.changed(change, now, known);
                }
            }
            Happened::LanesFound(lanes) => {
                for (id, due) in lanes {
                    self.due_on_disk(id, due, known);
                    self.revise(id, now, known);
                }
            }
            Happened::DueRead { subscription, rows, next } => self.due_read(subscription, rows, next, now, known),
            Happened::Finished(finished) => self.finished(*finished, now, known),
            Happened::Recorded => self.recorded(now, known),
            Happened::TimePassed => {}
            Happened::ShutDown => self.is_shutting_down = true,
        }
        self.wake_lanes(now, known);
        self.park_old(now);
        self.send_what_may_go(now, known, decided);
        self.start_reads(now, decided);
        self.flush_recordings(now, decided);
    }

    /// When [`Happened::TimePassed`] is due.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let lane = self.timers.first().map(|(at, _)| *at);
        let park = self.to_park.front().map(|(at, ..)| *at);
        let record = self.record_at.filter(|_| self.after_running.is_none());
        [lane, park, record].into_iter().flatten().min()
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub fn waiting(&self) -> usize {
        self.waiting
    }

    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Why work remains, in words; none when there is nothing to do before the next due time or change.
    pub fn pending(&self) -> Option<String> {
        let reasons = [
            (self.in_flight, "requests under way"),
            (self.waiting, "deliveries waiting in memory"),
            (self.unrecorded(), "outcomes not committed"),
            (self.reads_running + self.reads_wanted.len(), "reads of the queue on disk"),
            (self.unsettled.len(), "fresh deliveries without a due row"),
        ];
        let reasons: Vec<String> =
            reasons.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        if reasons.is_empty() { None } else { Some(reasons.join(", ")) }
    }

    /// After [`Happened::ShutDown`]: whether everything that was under way is over and durable.
    pub fn is_drained(&self) -> bool {
        self.in_flight == 0 && self.unrecorded() == 0 && self.reads_running == 0
    }

    // -- what happened

    fn changed(&mut self, change: Change, now: Timestamp, known: &Known<'_>) {
        match change {
            Change::Accepted(fresh) => {
                for fresh in fresh {
                    self.accepted(fresh, now, known);
                }
            }
            Change::Subscription(id) => self.subscription_changed(id, now, known),
            Change::Due(id, due) => {
                let subscription = known.catalogue.subscription(id);
                self.lane(id, known).lift_limits(subscription.map(Arc::as_ref));
                self.due_on_disk(id, due, known);
                self.revise(id, now, known);
            }
            // For viewers.
            Change::Moved(_) => {}
            Change::Canceled(id, delivery) => {
                let Some(lane) = self.lanes.get_mut(&id) else { return };
                if lane.reading {
                    lane.canceled_while_reading.insert(delivery);
                }
                if let Some(waiting) = lane.remove(delivery) {
                    self.forget(&waiting);
                }
                self.unsettled.remove(&delivery);
                self.revise(id, now, known);
            }
        }
    }

    fn accepted(&mut self, fresh: Fresh, now: Timestamp, known: &Known<'_>) {
        let Fresh { delivery, subscription: id, tenant, event, next_attempt_at } = fresh;
        self.newest_seen = self.newest_seen.max(Some(delivery));
        self.unsettled.insert(delivery);
        let Some(subscription) = known.catalogue.subscription(id) else {
            self.cancel(id, delivery, now, known);
            return;
        };
        let is_active = subscription.is_active;
        let memory_is_full = self.waiting >= WAITING_MAX || self.waiting_bytes >= WAITING_BYTES_MAX;
        let lane = self.lane(id, known);
        let window = if memory_is_full { LANE_WAITING_MIN } else { LANE_WAITING_MAX };
        // What is due on disk came earlier, so it goes earlier.
        let queue_is_on_disk = lane.reading || lane.on_disk.is_some_and(|due| due <= now);
        if !is_active || queue_is_on_disk || lane.waiting() >= window {
            lane.in_memory.insert(delivery);
            self.park(delivery, now);
            self.after_recording.push((id, delivery, Some(next_attempt_at)));
        } else {
            let waiting = Waiting { delivery, tenant, event, attempts: 0, trigger: Trigger::Schedule };
            self.waiting += 1;
            self.waiting_bytes += waiting.event.data.len();
            self.lane(id, known).push(waiting);
            self.to_park.push_back((now.plus(PARK_AFTER), delivery));
        }
        self.revise(id, now, known);
    }

    fn subscription_changed(&mut self, id: SubscriptionId, now: Timestamp, known: &Known<'_>) {
        match known.catalogue.subscription(id) {
            Some(subscription) if subscription.is_active => {
                let health = (known.health)(id);
                let is_new = !self.lanes.contains_key(&id);
                let lane = self.lane(id, known);
                if is_new || !lane.is_active {
                    lane.is_active = true;
                    lane.lift_limits(Some(subscription));
                    lane.health = health;
                    // What waited on disk while it was inactive is not known: look.
                    lane.on_disk = Some(Timestamp::MIN);
                }
            }
            Some(_) => self.drain_to_disk(id, now),
            None => self.drop_lane(id, now, known),
        }
        self.revise(id, now, known);
    }

    /// An inactive subscription keeps its backlog on disk only.
    fn drain_to_disk(&mut self, id: SubscriptionId, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let drained: Vec<Waiting> = lane.drain().collect();
        lane.is_active = false;
        lane.on_disk = None;
        for waiting in drained {
            self.forget(&waiting);
            let delivery = waiting.delivery;
            if self.unsettled.contains(&delivery) {
                self.park(delivery, now);
                self.after_recording.push((id, delivery, Some(now)));
            } else if let Some(lane) = self.lanes.get_mut(&id) {
                lane.in_memory.remove(&delivery);
            }
        }
    }

    /// A deleted subscription: what is fresh ends here, what has a due row is ended by the store.
    fn drop_lane(&mut self, id: SubscriptionId, now: Timestamp, known: &Known<'_>) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let drained: Vec<Waiting> = lane.drain().collect();
        lane.on_disk = None;
        for waiting in drained {
            self.forget(&waiting);
            if self.unsettled.contains(&waiting.delivery) {
                self.cancel(id, waiting.delivery, now, known);
            } else if let Some(lane) = self.lanes.get_mut(&id) {
                lane.in_memory.remove(&waiting.delivery);
            }
        }
    }

    fn due_read(
        &mut self,
        id: SubscriptionId,
        rows: Vec<Due>,
        next: Option<Timestamp>,
        now: Timestamp,
        known: &Known<'_>,
    ) {
        self.reads_running -= 1;
        let is_active = known.catalogue.subscription(id).is_some_and(|subscription| subscription.is_active);
        let lane = self.lane(id, known);
        lane.reading = false;
        let canceled = std::mem::take(&mut lane.canceled_while_reading);
        if is_active {
            if let Some(next) = next {
                self.due_on_disk(id, next, known);
            }
            for Due { delivery, event } in rows {
                // It may have come into memory, or ended, while the disk was read.
                if canceled.contains(&delivery.id) || self.lane(id, known).in_memory.contains(&delivery.id) {
                    continue;
                }
                match event {
                    Some(event) => self.wait(id, delivery, event, known),
                    None => self.end_without_payload(id, &delivery, now, known),
                }
            }
        }
        self.revise(id, now, known);
    }

    fn wait(&mut self, id: SubscriptionId, delivery: Delivery, event: Arc<EventWithData>, known: &Known<'_>) {
        let trigger = match delivery.state {
            State::Retrying { reason: RetryReason::Manual, .. } => Trigger::Manual,
            _ => Trigger::Schedule,
        };
        let Delivery { id: delivery, tenant, attempts, .. } = delivery;
        self.waiting += 1;
        self.waiting_bytes += event.data.len();
        self.lane(id, known).push(Waiting { delivery, tenant, event, attempts, trigger });
    }

    fn end_without_payload(&mut self, id: SubscriptionId, delivery: &Delivery, now: Timestamp, known: &Known<'_>) {
        self.lane(id, known).in_memory.insert(delivery.id);
        self.recordings.canceled.push((delivery.id, CanceledReason::PayloadExpired));
        self.after_recording.push((id, delivery.id, None));
        self.record_soon(now);
    }

    fn finished(&mut self, finished: Finished, now: Timestamp, known: &Known<'_>) {
        let Finished { subscription: id, attempt } = finished;
        self.in_flight -= 1;
        let delivery = attempt.delivery;
        self.unsettled.remove(&delivery);
        let subscription = known.catalogue.subscription(id).cloned();
        let state = self.state_after(&attempt, subscription.as_deref(), now);

        let lane = self.lane(id, known);
        lane.in_flight -= 1;
        lane.health = lane.health.after(&attempt.outcome, attempt.started_at.plus(attempt.phases.total));
        let health = lane.health;
        if let Some(subscription) = &subscription {
            lane.adapt(&attempt.outcome, subscription);
            if let Some(asked) = subscription_retry_after(&attempt, now) {
                lane.wait_until(now.plus(asked));
            }
        }
        match &attempt.outcome {
            Outcome::Success => self.tally.attempts_succeeded += 1,
            _ => self.tally.attempts_failed += 1,
        }
        if let State::Exhausted { reason } = state {
            self.tally.deliveries_exhausted += 1;
            if reason == ExhaustedReason::Gone {
                self.recordings.disabled.push((id, DisabledReason::Gone));
            }
        }
        self.recordings.health.push((id, health));
        self.recordings.attempts.push(Recorded { attempt, state });
        self.after_recording.push((id, delivery, state.next_attempt_at()));
        self.record_soon(now);
        self.revise(id, now, known);
    }

    /// The state that follows from an attempt.
    fn state_after(&mut self, attempt: &Attempt, subscription: Option<&Subscription>, now: Timestamp) -> State {
        let Some(subscription) = subscription else {
            let reason = CanceledReason::SubscriptionDeleted;
            return if attempt.outcome.is_success() { State::Succeeded } else { State::Canceled { reason } };
        };
        let aborts = |response: &Response| {
            response.header("webhook-delivery").is_some_and(|value| value.trim().eq_ignore_ascii_case("abort"))
        };
        match &attempt.outcome {
            Outcome::Success => State::Succeeded,
            Outcome::Status(410) => State::Exhausted { reason: ExhaustedReason::Gone },
            _ if attempt.response.as_ref().is_some_and(aborts) => State::Exhausted { reason: ExhaustedReason::Aborted },
            Outcome::Status(_) | Outcome::Error { .. } => {
                let jitter = self.chance.random();
                match subscription.profile.schedule().delay_after(attempt.number, jitter) {
                    None => State::Exhausted { reason: ExhaustedReason::Schedule },
                    Some(delay) => {
                        let asked = retry_after(attempt, now).map(|asked| asked.min(RETRY_AFTER_DELIVERY_MAX));
                        let (wait, was_asked) = longer(delay, asked);
                        let reason = if was_asked { RetryReason::RetryAfter } else { RetryReason::Schedule };
                        State::Retrying { next_attempt_at: now.plus(wait), reason }
                    }
                }
            }
        }
    }

    fn recorded(&mut self, now: Timestamp, known: &Known<'_>) {
        for (id, delivery, due_again) in self.after_running.take().unwrap_or_default() {
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            lane.in_memory.remove(&delivery);
            if let Some(due) = due_again {
                self.due_on_disk(id, due, known);
            }
            self.revise(id, now, known);
        }
    }

    // -- what follows

    /// Looks at a lane after something about it changed: its turn, its timer, its reads, or its end.
    fn revise(&mut self, id: SubscriptionId, now: Timestamp, known: &Known<'_>) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let subscription = known.catalogue.subscription(id);
        if !lane.queued && subscription.is_some_and(|subscription| lane.may_send(subscription, now)) {
            lane.queued = true;
            self.ring.push_back(id);
        }
        let is_active = subscription.is_some_and(|subscription| subscription.is_active);
        let is_due = lane.on_disk.is_some_and(|due| due <= now);
        if is_active && is_due && !lane.reading && lane.waiting() < READ_BELOW && now >= lane.not_before {
            lane.reading = true;
            // What is told about the disk from now on may be newer than what the read will see.
            lane.on_disk = None;
            self.reads_wanted.push_back(id);
        }
        // A due time that has passed is not waited for: the read happens when the queue in memory runs low.
        let wake = lane.wake_at(now).filter(|at| is_active && *at > now);
        if lane.timer != wake {
            if let Some(old) = lane.timer {
                self.timers.remove(&(old, id));
            }
            if let Some(at) = wake {
                self.timers.insert((at, id));
            }
            lane.timer = wake;
        }
        if lane.is_idle(now) && !lane.queued && lane.timer.is_none() {
            self.lanes.remove(&id);
        }
    }

    fn wake_lanes(&mut self, now: Timestamp, known: &Known<'_>) {
        while let Some((at, id)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.pop_first();
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.timer = None;
            }
            self.revise(id, now, known);
        }
    }

    fn send_what_may_go(&mut self, now: Timestamp, known: &Known<'_>, decided: &mut Vec<Decided>) {
        while !self.is_shutting_down
            && self.in_flight < IN_FLIGHT_MAX
            && self.unrecorded() < UNRECORDED_MAX
            && let Some(id) = self.ring.pop_front()
        {
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            lane.queued = false;
            if let Some(subscription) = known.catalogue.subscription(id)
                && lane.may_send(subscription, now)
                && let Some(waiting) = lane.pop()
            {
                lane.in_flight += 1;
                self.in_flight += 1;
                self.forget(&waiting);
                let Waiting { delivery, tenant, event, attempts, trigger } = waiting;
                let subscription = Arc::clone(subscription);
                decided.push(Decided::Send(Send {
                    delivery,
                    tenant,
                    subscription,
                    event,
                    number: attempts.saturating_add(1),
                    trigger,
                }));
            }
            self.revise(id, now, known);
        }
    }

    fn start_reads(&mut self, now: Timestamp, decided: &mut Vec<Decided>) {
        while !self.is_shutting_down
            && self.reads_running < READS_MAX
            && let Some(id) = self.reads_wanted.pop_front()
        {
            let lane = self.lanes.get(&id).expect("a lane that waits for a read is not idle");
            self.reads_running += 1;
            let memory_is_full = self.waiting >= WAITING_MAX || self.waiting_bytes >= WAITING_BYTES_MAX;
            let rows_max = if memory_is_full { LANE_WAITING_MIN } else { READ_ROWS };
            decided.push(Decided::ReadDue {
                subscription: id,
                until: now,
                in_memory: lane.in_memory.clone(),
                rows_max,
            });
        }
    }

    /// Fresh deliveries that nothing settled for a while get a due row, wherever they are.
    fn park_old(&mut self, now: Timestamp) {
        while let Some((at, delivery)) = self.to_park.front().copied()
            && (at <= now || at > now.plus(PARK_AFTER) || !self.unsettled.contains(&delivery))
        {
            self.to_park.pop_front();
            if self.unsettled.contains(&delivery) {
                self.park(delivery, now);
            }
        }
    }

    fn park(&mut self, delivery: DeliveryId, now: Timestamp) {
        self.unsettled.remove(&delivery);
        self.recordings.parked.push(delivery);
        self.record_soon(now);
    }

    fn cancel(&mut self, id: SubscriptionId, delivery: DeliveryId, now: Timestamp, known: &Known<'_>) {
        self.unsettled.remove(&delivery);
        self.lane(id, known).in_memory.insert(delivery);
        self.recordings.canceled.push((delivery, CanceledReason::SubscriptionDeleted));
        self.after_recording.push((id, delivery, None));
        self.record_soon(now);
    }

    fn record_soon(&mut self, now: Timestamp) {
        self.record_at.get_or_insert(now.plus(RECORD_AFTER));
    }

    fn flush_recordings(&mut self, now: Timestamp, decided: &mut Vec<Decided>) {
        let Some(record_at) = self.record_at else { return };
        // A clock that was set back must not hold outcomes up.
        let is_time = now >= record_at || record_at > now.plus(RECORD_AFTER);
        let is_time = is_time || self.after_recording.len() >= RECORD_BATCH || self.is_shutting_down;
        if self.after_running.is_some() || !is_time {
            return;
        }
        self.record_at = None;
        let mut recordings = std::mem::take(&mut self.recordings);
        // Only the last health of each subscription counts.
        let mut seen = HashSet::new();
        recordings.health.reverse();
        recordings.health.retain(|(id, _)| seen.insert(*id));
        recordings.settled_up_to = match self.unsettled.first() {
            Some(oldest) => Some(DeliveryId::from_u128(oldest.as_u128() - 1)),
            None => self.newest_seen,
        };
        self.after_running = Some(std::mem::take(&mut self.after_recording));
        decided.push(Decided::Record(recordings));
    }

    /// An inactive subscription's disk is not looked at until it is active again, and then from the start.
    fn due_on_disk(&mut self, id: SubscriptionId, due: Timestamp, known: &Known<'_>) {
        if !known.catalogue.subscription(id).is_some_and(|subscription| subscription.is_active) {
            return;
        }
        let lane = self.lane(id, known);
        lane.on_disk = Some(lane.on_disk.map_or(due, |known| known.min(due)));
    }

    fn lane(&mut self, id: SubscriptionId, known: &Known<'_>) -> &mut Lane {
        self.lanes
            .entry(id)
            .or_insert_with(|| Lane::new((known.health)(id), known.catalogue.subscription(id).map(Arc::as_ref)))
    }

    /// It is no longer waiting in memory.
    fn forget(&mut self, waiting: &Waiting) {
        self.waiting -= 1;
        self.waiting_bytes -= waiting.event.data.len();
    }

    fn unrecorded(&self) -> usize {
        self.after_recording.len() + self.after_running.as_ref().map_or(0, Vec::len)
    }
}

fn retry_after(attempt: &Attempt, now: Timestamp) -> Option<Duration> {
    parse_retry_after(attempt.response.as_ref()?.header("retry-after")?, now)
}

/// How long the whole subscription is asked to wait: only an overloaded receiver's word counts (contract 5.4).
fn subscription_retry_after(attempt: &Attempt, now: Timestamp) -> Option<Duration> {
    let asked = retry_after(attempt, now).filter(|_| attempt.outcome.is_overload())?;
    Some(asked.min(RETRY_AFTER_SUBSCRIPTION_MAX))
}
