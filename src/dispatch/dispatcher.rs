//! Decides what is sent, recorded and read next. No clock, no socket, no task: time is an argument, chance is seeded,
//! and the same history gives the same decisions, so a simulation can run it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::exhausted::Exhausted;
use super::lane::{Lane, UnderWay, Wanted};
use super::outcome;
use super::queue::{Round, Waiting};
use super::recorder::{Following, Recorder, Then};
use super::turns::Turns;
use crate::domain::delivery::{Attempt, CanceledReason, Delivery, ExhaustedReason, RetryReason, State, Trigger};
use crate::domain::event::EventWithData;
use crate::domain::health::{Report, Turn};
use crate::domain::id::{DeliveryId, SubscriptionId, TenantId};
use crate::domain::operational::{Announcement, What};
use crate::domain::subscription::{DeliveryOrder, DisabledReason, Subscription};
use crate::domain::time::Timestamp;
use crate::store::{Change, Due, Fresh, Known, Recorded, Recordings};

/// Requests under way at once, over all subscriptions.
pub const IN_FLIGHT_MAX: usize = 4096;
/// … of which the last quarter is kept for lanes without failures (contract 5.7) that have hardly anything under way …
const IN_FLIGHT_SHARED_MAX: usize = IN_FLIGHT_MAX / 4 * 3;
/// … which is less than this. However suddenly receivers become slow, as many as share the other slots in equal parts of
/// at least this leave that quarter to the rest: 1,536 of them.
const LANE_KEPT_SLOTS: usize = 2;
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
/// Deliveries that a person asked for and that are not read yet, for one subscription. Beyond it they take their turn.
const LANE_ASKED_MAX: usize = 1024;
/// Reads under way at once.
const READS_MAX: usize = 4;
/// Sending stops while so many outcomes are not committed.
const UNRECORDED_MAX: usize = 8192;
/// A clock that goes back by more than this was set, and not only corrected.
const CLOCK_SET_BACK_MIN: Duration = Duration::from_secs(1);

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
        /// What was asked for by name.
        asked: Vec<DeliveryId>,
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
    ReadDue(ReadDue),
}

/// A part of one subscription's queue on disk: see [`crate::store::Store::due`].
#[derive(Debug)]
pub struct ReadDue {
    pub subscription: SubscriptionId,
    pub asked: Vec<DeliveryId>,
    pub until: Timestamp,
    pub in_memory: HashSet<DeliveryId>,
    pub rows_max: usize,
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

pub struct Dispatcher {
    lanes: HashMap<SubscriptionId, Lane>,
    /// Lanes that have something to send: those without failures, and the others.
    well: Turns,
    sick: Turns,
    /// Lanes that have enough under way while only the quarter that is kept is free, in the order in which they came.
    crowded: BTreeMap<u64, SubscriptionId>,
    crowded_next: u64,
    /// Whose turn it is when both have some.
    is_turn_of_sick: bool,
    timers: BTreeSet<(Timestamp, SubscriptionId)>,
    /// The latest time that was seen since the clock was last set back.
    latest: Timestamp,
    reads_wanted: VecDeque<(SubscriptionId, Wanted)>,
    reads_running: usize,
    in_flight: usize,
    waiting: usize,
    waiting_bytes: usize,
    recorder: Recorder,
    exhausted: Exhausted,
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
            well: Turns::default(),
            sick: Turns::default(),
            crowded: BTreeMap::new(),
            crowded_next: 0,
            is_turn_of_sick: false,
            timers: BTreeSet::new(),
            latest: Timestamp::MIN,
            reads_wanted: VecDeque::new(),
            reads_running: 0,
            in_flight: 0,
            waiting: 0,
            waiting_bytes: 0,
            recorder: Recorder::default(),
            exhausted: Exhausted::default(),
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
            Happened::DueRead { subscription, asked, rows, next } => {
                self.due_read(subscription, &asked, rows, next, now, known);
            }
            Happened::Finished(finished) => self.finished(*finished, now, known),
            Happened::Recorded => self.recorded(now, known),
            Happened::TimePassed => {}
            Happened::ShutDown => self.is_shutting_down = true,
        }
        self.notice_clock(now, known);
        self.wake_lanes(now, known);
        self.recorder.park_old(now);
        self.send_what_may_go(now, known, decided);
        self.start_reads(decided);
        for announcement in self.exhausted.take_ended(now, self.is_shutting_down && self.in_flight == 0) {
            self.announce(announcement, now, known);
        }
        decided.extend(self.recorder.take_due(now, self.is_shutting_down).map(Decided::Record));
    }

    /// When [`Happened::TimePassed`] is due.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let lane = self.timers.first().map(|(at, _)| *at);
        [lane, self.recorder.wake_at(), self.exhausted.wake_at()].into_iter().flatten().min()
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
            (self.recorder.unrecorded(), "outcomes not committed"),
            (self.reads_running + self.reads_wanted.len(), "reads of the queue on disk"),
            (self.recorder.unsettled(), "fresh deliveries without a due row"),
        ];
        let reasons: Vec<String> =
            reasons.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        if reasons.is_empty() { None } else { Some(reasons.join(", ")) }
    }

    /// After [`Happened::ShutDown`]: whether everything that was under way is over and durable.
    pub fn is_drained(&self) -> bool {
        self.in_flight == 0 && self.recorder.is_idle() && self.reads_running == 0
    }

    // -- what happened

    fn changed(&mut self, change: Change, now: Timestamp, known: &Known<'_>) {
        match change {
            Change::Accepted(fresh) => {
                for fresh in fresh {
                    self.accepted(fresh, now, known);
                }
            }
            Change::Settled(newest) => self.recorder.settled_on_disk(newest, now),
            Change::Subscription(id) => self.subscription_changed(id, now, known),
            Change::Scheduled(id, due) => self.due_again_on_disk(id, due, now, known),
            Change::Due(id, due) => {
                self.lane(id, known).health.lift(now);
                self.due_again_on_disk(id, due, now, known);
            }
            Change::Retry(id, delivery) => self.retry(id, delivery, now, known),
            Change::Lifted(id) => self.lifted(id, now, known),
            Change::Canceled(id, delivery) => self.canceled(id, delivery, now),
            // For viewers.
            Change::Moved(_) => {}
        }
    }

    fn accepted(&mut self, fresh: Fresh, now: Timestamp, known: &Known<'_>) {
        let Fresh { delivery, subscription: id, tenant, event, next_attempt_at: due } = fresh;
        self.recorder.fresh(delivery);
        let Some(subscription) = known.catalogue.subscription(id) else {
            self.lane(id, known).in_memory.insert(delivery);
            return self.recorder.cancel(id, delivery, CanceledReason::SubscriptionDeleted, now);
        };
        let is_active = subscription.is_active;
        let memory_is_full = self.memory_is_full();
        let lane = self.lane(id, known);
        let window = match lane.was_sick {
            _ if memory_is_full => LANE_WAITING_MIN,
            true => LANE_WAITING_SICK_MAX,
            false => LANE_WAITING_MAX,
        };
        // What is due on disk came earlier, so it goes earlier.
        if !is_active || lane.queues_on_disk(now) || lane.queue.len() >= window {
            lane.in_memory.insert(delivery);
            lane.parking += 1;
            self.recorder.park(id, delivery, due, now);
        } else {
            self.recorder.park_later(delivery, now);
            let trigger = Trigger::Schedule;
            let round = Round::default();
            let waiting = Waiting { delivery, tenant, event, due, attempts: 0, round, trigger };
            self.remember(&waiting);
            self.lane(id, known).push(waiting);
        }
        self.revise(id, now, known);
    }

    fn subscription_changed(&mut self, id: SubscriptionId, now: Timestamp, known: &Known<'_>) {
        match known.catalogue.subscription(id) {
            Some(subscription) if subscription.is_active => {
                let health = (known.health)(id);
                let is_new = !self.lanes.contains_key(&id);
                let ordering = subscription.ordering;
                let lane = self.lane(id, known);
                let is_resumed = is_new || !lane.is_active;
                let is_reordered = lane.ordering != ordering;
                if is_resumed {
                    lane.health = health;
                }
                lane.is_active = true;
                if is_reordered {
                    lane.ordering = ordering;
                    lane.health.blocked_by = lane.health.blocked_by.filter(|_| ordering == DeliveryOrder::Fifo);
                }
                if is_resumed || is_reordered {
                    let health = lane.health;
                    // An order written down earlier than this change must not outlive it.
                    if is_reordered || !is_new {
                        self.recorder.health(id, health, now);
                    }
                    self.unload(id, now);
                    // What waited on disk while it was inactive is not known: look.
                    self.lane(id, known).on_disk = Some(Timestamp::MIN);
                }
            }
            Some(_) => {
                self.unload(id, now);
                if let Some(lane) = self.lanes.get_mut(&id) {
                    lane.is_active = false;
                    lane.on_disk = None;
                    lane.asked_on_disk.clear();
                    lane.blocked_until = None;
                }
            }
            None => self.drop_lane(id, now),
        }
        self.revise(id, now, known);
    }

    /// A person wants one delivery to be tried now.
    fn retry(&mut self, id: SubscriptionId, delivery: DeliveryId, now: Timestamp, known: &Known<'_>) {
        if !is_active(id, known) {
            return;
        }
        let lane = self.lane(id, known);
        lane.health.lift(now);
        match lane.ordering {
            // It does not overtake, unless it is what the others wait for.
            DeliveryOrder::Fifo if lane.health.blocked_by == Some(delivery) => lane.blocked_until = Some(now),
            DeliveryOrder::Fifo => {}
            DeliveryOrder::None => {
                if let Some(waiting) = lane.queue.remove(delivery) {
                    lane.queue.push_asked(Waiting { trigger: Trigger::Manual, ..waiting });
                } else if lane.asked_on_disk.len() < LANE_ASKED_MAX {
                    lane.asked_on_disk.push_back(delivery);
                }
            }
        }
        self.due_again_on_disk(id, now, now, known);
    }

    /// A test reached the receiver: what is known of its health starts anew.
    fn lifted(&mut self, id: SubscriptionId, now: Timestamp, known: &Known<'_>) {
        let health = (known.health)(id);
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.health = health;
            lane.on_disk = Some(Timestamp::MIN);
            // What was decided before may still be on its way to the disk.
            self.recorder.health(id, health, now);
        }
        self.revise(id, now, known);
    }

    fn canceled(&mut self, id: SubscriptionId, delivery: DeliveryId, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if lane.reading {
            lane.canceled_while_reading.insert(delivery);
        }
        if lane.health.blocked_by == Some(delivery) {
            lane.health.blocked_by = None;
            lane.on_disk = Some(Timestamp::MIN);
            self.recorder.health(id, lane.health, now);
        }
        if let Some(waiting) = lane.queue.remove(delivery) {
            lane.in_memory.remove(&delivery);
            self.forget(&waiting);
        }
        self.recorder.settled(delivery);
        self.wake_now(id, now);
    }

    /// Everything that waits in memory goes to the disk.
    fn unload(&mut self, id: SubscriptionId, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        for waiting in lane.queue.drain() {
            let Waiting { delivery, due, .. } = waiting;
            self.waiting -= 1;
            self.waiting_bytes -= waiting.event.data.len();
            if self.recorder.is_unsettled(delivery) {
                lane.parking += 1;
                self.recorder.park(id, delivery, due, now);
            } else {
                lane.in_memory.remove(&delivery);
                lane.on_disk = Some(lane.on_disk.map_or(due, |known| known.min(due)));
            }
        }
    }

    /// A deleted subscription: what is fresh ends here, what has a due row is ended by the store.
    fn drop_lane(&mut self, id: SubscriptionId, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.is_active = false;
        lane.on_disk = None;
        lane.asked_on_disk.clear();
        lane.health.blocked_by = None;
        for waiting in lane.queue.drain() {
            self.waiting -= 1;
            self.waiting_bytes -= waiting.event.data.len();
            if self.recorder.is_unsettled(waiting.delivery) {
                self.recorder.cancel(id, waiting.delivery, CanceledReason::SubscriptionDeleted, now);
            } else {
                lane.in_memory.remove(&waiting.delivery);
            }
        }
    }

    fn due_read(
        &mut self,
        id: SubscriptionId,
        asked: &[DeliveryId],
        rows: Vec<Due>,
        next: Option<Timestamp>,
        now: Timestamp,
        known: &Known<'_>,
    ) {
        self.reads_running -= 1;
        let lane = self.lane(id, known);
        lane.reading = false;
        let canceled = std::mem::take(&mut lane.canceled_while_reading);
        if !is_active(id, known) {
            return self.revise(id, now, known);
        }
        let blocking = lane.health.blocked_by;
        let mut has_blocking = false;
        if let Some(next) = next {
            self.due_on_disk(id, next, known);
        }
        for Due { delivery, event } in rows {
            let is_blocking = blocking == Some(delivery.id);
            let is_asked = asked.contains(&delivery.id);
            has_blocking |= is_blocking;
            let lane = self.lane(id, known);
            // It may have come into memory, or ended, while the disk was read.
            if canceled.contains(&delivery.id) || lane.in_memory.contains(&delivery.id) {
                continue;
            }
            let Some(due) = delivery.state.next_attempt_at() else { continue };
            let is_for_later = matches!(delivery.state, State::Pending { .. }) && due > now;
            if is_for_later && !is_asked {
                // Read for a probe, and the earliest on disk: what is scheduled does not begin before its time.
                lane.no_probe_before = Some(due);
                lane.on_disk = Some(lane.on_disk.map_or(due, |known| known.min(due)));
                continue;
            }
            if is_blocking && due > now && !lane.health.is_open() {
                lane.blocked_until = Some(due);
                continue;
            }
            match event {
                Some(event) => {
                    let is_once = matches!(delivery.state, State::Retrying { reason: RetryReason::ManualOnce, .. });
                    let is_manual = matches!(delivery.state, State::Retrying { reason: RetryReason::Manual, .. });
                    // What a job asked for is held like all else while the circuit is open, and goes as a probe.
                    let is_manual = (is_manual || is_once) && !lane.health.is_open();
                    let is_manual = is_manual || (is_asked && !is_blocking);
                    let trigger = if is_manual { Trigger::Manual } else { Trigger::Schedule };
                    let Delivery { id: delivery, tenant, attempts, attempts_uncounted, .. } = delivery;
                    let round = Round { attempts_uncounted, is_once };
                    let waiting = Waiting { delivery, tenant, event, due, attempts, round, trigger };
                    self.remember(&waiting);
                    let lane = self.lane(id, known);
                    if is_asked { lane.push_asked(waiting) } else { lane.push(waiting) }
                }
                None => {
                    lane.in_memory.insert(delivery.id);
                    self.recorder.cancel(id, delivery.id, CanceledReason::PayloadExpired, now);
                }
            }
        }
        let lane = self.lane(id, known);
        if let Some(blocking) = blocking
            && asked.contains(&blocking)
            && !has_blocking
            && !lane.in_memory.contains(&blocking)
        {
            // It ended while nobody looked.
            lane.health.blocked_by = None;
            lane.on_disk = Some(Timestamp::MIN);
            let health = lane.health;
            self.recorder.health(id, health, now);
        }
        self.revise(id, now, known);
    }

    fn finished(&mut self, finished: Finished, now: Timestamp, known: &Known<'_>) {
        let Finished { subscription: id, attempt } = finished;
        let delivery = attempt.delivery;
        let subscription = known.catalogue.subscription(id).cloned();
        let jitter = self.chance.random();
        let lane = self.lane(id, known);
        let under_way = lane.is_over(delivery).expect("a request that was asked for is over once");
        lane.unrecorded += 1;
        // It has less under way now: it may have a turn again.
        if let Some(place) = lane.crowded.take() {
            lane.queued = false;
            self.crowded.remove(&place);
        }
        let lane = self.lane(id, known);
        let UnderWay { due, round, .. } = under_way;
        let state = outcome::state_after(&attempt, round, due, subscription.as_deref(), jitter, now);
        let is_success = attempt.outcome.is_success();
        let mut turn = None;
        let mut was_open = false;
        if let Some(subscription) = &subscription {
            let report = Report {
                outcome: &attempt.outcome,
                sent_at: under_way.since,
                now,
                retry_after: outcome::subscription_retry_after(&attempt, now),
                is_probe: attempt.trigger == Trigger::Probe,
                recent_pace: lane.rate.recent_pace(),
            };
            was_open = lane.health.is_open();
            (lane.health, turn) = lane.health.after(&report, subscription);
            if lane.ordering == DeliveryOrder::Fifo {
                lane.blocked_until = state.next_attempt_at();
                lane.health.blocked_by = lane.blocked_until.map(|_| delivery);
            }
        }
        let health = lane.health;
        // The next one in order waits for this commit.
        let is_waited_for = lane.ordering == DeliveryOrder::Fifo && !lane.queue.is_empty();
        self.in_flight -= 1;
        if is_success {
            self.tally.attempts_succeeded += 1;
        } else {
            self.tally.attempts_failed += 1;
        }
        let is_counted = attempt.trigger != Trigger::Probe || state.is_final();
        self.recorder.attempted(id, Recorded { attempt, state, is_counted }, health, now);
        if is_waited_for {
            self.recorder.at_once(now);
        }
        if let State::Exhausted { reason } = state {
            self.tally.deliveries_exhausted += 1;
            if let Some(announcement) = self.exhausted.note(id, delivery, now) {
                self.announce(announcement, now, known);
            }
            if reason == ExhaustedReason::Gone {
                self.recorder.disable(id, DisabledReason::Gone, now);
            }
        }
        if let Some(turn) = turn {
            self.turned(id, turn, now, known);
        }
        if health.is_open() && !was_open {
            self.unload(id, now);
        } else if was_open && !health.is_open() {
            self.lane(id, known).on_disk = Some(Timestamp::MIN);
        }
        self.revise(id, now, known);
    }

    fn turned(&mut self, id: SubscriptionId, turn: Turn, now: Timestamp, known: &Known<'_>) {
        let what = match turn {
            Turn::Degraded => What::Degraded,
            Turn::Failing => What::Failing,
            Turn::Recovered => What::Recovered,
            // The store tells of it in the commit that does it.
            Turn::GivenUp => return self.recorder.disable(id, DisabledReason::Failing, now),
        };
        self.announce(Announcement { subscription: id, what }, now, known);
    }

    /// Tenant `system` hears of it, and of nothing that concerns its own subscriptions.
    fn announce(&mut self, announcement: Announcement, now: Timestamp, known: &Known<'_>) {
        let subscription = known.catalogue.subscription(announcement.subscription);
        if subscription.is_some_and(|subscription| subscription.tenant != TenantId::SYSTEM) {
            self.recorder.announce(announcement, now);
        }
    }

    fn recorded(&mut self, now: Timestamp, known: &Known<'_>) {
        for Following { subscription: id, delivery, then, due } in self.recorder.recorded() {
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            lane.in_memory.remove(&delivery);
            match then {
                Then::Attempted => lane.unrecorded -= 1,
                Then::Parked => lane.parking -= 1,
                Then::Ended => {}
            }
            if let Some(due) = due {
                self.due_on_disk(id, due, known);
            }
            self.revise(id, now, known);
        }
    }

    // -- what follows

    /// Looks at a lane after something about it changed: its turn, its timer, its reads, or its end.
    fn revise(&mut self, id: SubscriptionId, now: Timestamp, known: &Known<'_>) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let subscription = known.catalogue.subscription(id).filter(|subscription| subscription.is_active);
        let is_sick = lane.is_sick(now);
        lane.was_sick = is_sick;
        if !lane.queued && subscription.is_some_and(|subscription| lane.may_send(subscription, now)) {
            lane.queued = true;
            let turns = if is_sick { &mut self.sick } else { &mut self.well };
            turns.join(lane.tenant, id);
        }
        if subscription.is_some()
            && !lane.reading
            && let Some(wanted) = lane.wanted(now)
        {
            lane.reading = true;
            lane.asked_on_disk.drain(..wanted.asked.len().min(lane.asked_on_disk.len()));
            if wanted.rows_max > 0 {
                // What is told about the disk from now on may be newer than what the read will see.
                lane.on_disk = None;
            }
            self.reads_wanted.push_back((id, wanted));
        }
        let wake = subscription.and_then(|subscription| lane.wake_at(subscription, now));
        if lane.timer != wake {
            if let Some(old) = lane.timer {
                self.timers.remove(&(old, id));
            }
            if let Some(at) = wake {
                self.timers.insert((at, id));
            }
            lane.timer = wake;
        }
        if !lane.queued && lane.timer.is_none() && lane.is_idle(now) {
            self.lanes.remove(&id);
        }
    }

    /// Has the lane looked at in this turn.
    fn wake_now(&mut self, id: SubscriptionId, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if let Some(old) = lane.timer {
            self.timers.remove(&(old, id));
        }
        lane.timer = Some(now);
        self.timers.insert((now, id));
    }

    /// Wake-ups stand at times of the clock as it was. When it was set back, what a lane waits for (its pace, a quiet, a
    /// probe) may be nearer than that: each is looked at again.
    fn notice_clock(&mut self, now: Timestamp, known: &Known<'_>) {
        if now.plus(CLOCK_SET_BACK_MIN) >= self.latest {
            self.latest = self.latest.max(now);
            return;
        }
        self.latest = now;
        self.lanes.values_mut().for_each(|lane| lane.rate.clock_was_set_back(now));
        for (_, id) in std::mem::take(&mut self.timers) {
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.timer = None;
            }
            self.revise(id, now, known);
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
            && self.recorder.unrecorded() < UNRECORDED_MAX
            && let Some(id) = self.next_turn()
        {
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            lane.queued = false;
            lane.crowded = None;
            // One that was well when it joined may have to leave its slot to the others by now.
            let is_sick = lane.is_sick(now);
            let is_shared = self.in_flight < IN_FLIGHT_SHARED_MAX;
            let has_slot = is_shared || (!is_sick && lane.in_flight() < LANE_KEPT_SLOTS);
            if !has_slot && !is_sick {
                lane.queued = true;
                lane.crowded = Some(self.crowded_next);
                self.crowded.insert(self.crowded_next, id);
                self.crowded_next += 1;
                continue;
            }
            if let Some(subscription) = known.catalogue.subscription(id)
                && has_slot
                && lane.may_send(subscription, now)
                && let Some(waiting) = lane.take(now, subscription)
            {
                let is_open = lane.health.is_open();
                self.in_flight += 1;
                self.forget(&waiting);
                let Waiting { delivery, tenant, event, attempts, trigger, .. } = waiting;
                let trigger = if is_open && trigger == Trigger::Schedule { Trigger::Probe } else { trigger };
                let subscription = Arc::clone(subscription);
                let number = attempts.saturating_add(1);
                decided.push(Decided::Send(Send { delivery, tenant, subscription, event, number, trigger }));
            }
            self.revise(id, now, known);
        }
    }

    /// The lane whose turn it is. Those that are well and those that are not alternate, the latter while slots that are
    /// not kept are free. What was put off for want of those comes first.
    fn next_turn(&mut self) -> Option<SubscriptionId> {
        let is_shared = self.in_flight < IN_FLIGHT_SHARED_MAX;
        let has_well = !self.well.is_empty() || (is_shared && !self.crowded.is_empty());
        if is_shared && !self.sick.is_empty() && (self.is_turn_of_sick || !has_well) {
            self.is_turn_of_sick = false;
            return self.sick.next();
        }
        self.is_turn_of_sick = true;
        if is_shared && let Some((_, id)) = self.crowded.pop_first() {
            return Some(id);
        }
        self.well.next()
    }

    fn start_reads(&mut self, decided: &mut Vec<Decided>) {
        while !self.is_shutting_down
            && self.reads_running < READS_MAX
            && let Some((id, wanted)) = self.reads_wanted.pop_front()
        {
            let lane = self.lanes.get(&id).expect("a lane that waits for a read is not idle");
            self.reads_running += 1;
            let Wanted { asked, until, rows_max } = wanted;
            let rows_max = if self.memory_is_full() { rows_max.min(LANE_WAITING_MIN) } else { rows_max };
            let in_memory = lane.in_memory.clone();
            decided.push(Decided::ReadDue(ReadDue { subscription: id, asked, until, in_memory, rows_max }));
        }
    }

    /// A person, or a job, asked for more attempts. One whose last outcome is committed and not yet reported counts as
    /// in memory, so a read leaves it out: the disk is looked at again after the report.
    fn due_again_on_disk(&mut self, id: SubscriptionId, due: Timestamp, now: Timestamp, known: &Known<'_>) {
        self.recorder.due_again(id, due);
        self.due_on_disk(id, due, known);
        // It may be about the one that all others wait for.
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.blocked_until = None;
        }
        self.revise(id, now, known);
    }

    /// An inactive subscription's disk is not looked at until it is active again, and then from the start.
    fn due_on_disk(&mut self, id: SubscriptionId, due: Timestamp, known: &Known<'_>) {
        if is_active(id, known) {
            let lane = self.lane(id, known);
            lane.no_probe_before = lane.no_probe_before.filter(|before| *before <= due);
            lane.on_disk = Some(lane.on_disk.map_or(due, |known| known.min(due)));
        }
    }

    fn lane(&mut self, id: SubscriptionId, known: &Known<'_>) -> &mut Lane {
        self.lanes.entry(id).or_insert_with(|| {
            let subscription = known.catalogue.subscription(id).map(Arc::as_ref);
            let tenant = subscription.map_or(TenantId::DEFAULT, |subscription| subscription.tenant);
            Lane::new(tenant, (known.health)(id), subscription)
        })
    }

    fn memory_is_full(&self) -> bool {
        self.waiting >= WAITING_MAX || self.waiting_bytes >= WAITING_BYTES_MAX
    }

    /// It waits in memory now.
    fn remember(&mut self, waiting: &Waiting) {
        self.waiting += 1;
        self.waiting_bytes += waiting.event.data.len();
    }

    /// It is no longer waiting in memory.
    fn forget(&mut self, waiting: &Waiting) {
        self.waiting -= 1;
        self.waiting_bytes -= waiting.event.data.len();
    }
}

fn is_active(id: SubscriptionId, known: &Known<'_>) -> bool {
    known.catalogue.subscription(id).is_some_and(|subscription| subscription.is_active)
}
