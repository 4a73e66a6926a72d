//! Decides what is sent, recorded and read next. No clock, no socket, no task: time is an argument, chance is seeded,
//! and the same history gives the same decisions, so a simulation can run it.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::decided::{Decided, Finished, Happened, LateLane, ReadDue, Send};
use super::exhausted::Exhausted;
use super::ids::IdMap;
use super::lane::{Lane, Late, UnderWay, Wanted};
use super::memory::Memory;
use super::outcome;
use super::paces::Paces;
use super::queue::{Round, Waiting};
use super::reads::Reads;
use super::recorder::{Following, Recorder, Then};
use super::slots::{Offer, Slots};
use super::timers::Timers;
use crate::domain::delivery::{CanceledReason, Delivery, ExhaustedReason, RetryReason, State, Trigger};
use crate::domain::health::{Report, Turn};
use crate::domain::id::{DeliveryId, SubscriptionId, TenantId};
use crate::domain::operational::{Announcement, What};
use crate::domain::subscription::{DeliveryOrder, DisabledReason};
use crate::domain::time::Timestamp;
use crate::store::{Change, Due, Fresh, Known, Recorded};

/// Deliveries that a person asked for and that are not read yet, for one subscription. Beyond it they take their turn.
const LANE_ASKED_MAX: usize = 1024;
/// Sending stops while so many outcomes are not committed.
const UNRECORDED_MAX: usize = 8192;
/// A clock that goes back by more than this was set, and not only corrected.
const CLOCK_SET_BACK_MIN: Duration = Duration::from_secs(1);

pub struct Dispatcher {
    lanes: IdMap<SubscriptionId, Lane>,
    /// Lanes that are to be looked at in this turn, in the order in which they changed.
    touched: Vec<SubscriptionId>,
    slots: Slots,
    paces: Paces,
    memory: Memory,
    reads: Reads,
    timers: Timers,
    /// The latest time that was seen since the clock was last set back.
    latest: Timestamp,
    recorder: Recorder,
    exhausted: Exhausted,
    is_shutting_down: bool,
    chance: StdRng,
    /// Deliveries that were given up since the start.
    pub exhausted_count: u64,
}

impl Dispatcher {
    pub fn new(seed: u64) -> Self {
        Self {
            lanes: IdMap::default(),
            touched: Vec::new(),
            slots: Slots::default(),
            paces: Paces::default(),
            memory: Memory::default(),
            reads: Reads::default(),
            timers: Timers::default(),
            latest: Timestamp::MIN,
            recorder: Recorder::default(),
            exhausted: Exhausted::default(),
            is_shutting_down: false,
            chance: StdRng::seed_from_u64(seed),
            exhausted_count: 0,
        }
    }

    /// Takes in what happened and answers with what is to be done, in that order.
    pub fn handle(&mut self, happened: Happened, now: Timestamp, known: &Known<'_>, decided: &mut Vec<Decided>) {
        self.take_in(happened, now, known);
        self.decide(now, known, decided);
    }

    /// Takes in what happened. Nothing follows from it before [`Self::decide`].
    pub fn take_in(&mut self, happened: Happened, now: Timestamp, known: &Known<'_>) {
        match happened {
            Happened::Changed(changes) => {
                for change in changes {
                    self.changed(change, now, known);
                }
            }
            Happened::LanesFound(lanes) => {
                for (id, due) in lanes {
                    self.due_on_disk(id, due, known);
                }
            }
            Happened::DueRead { subscription, asked, rows, next } => {
                self.due_read(subscription, &asked, rows, next, now, known);
            }
            Happened::Finished(finished) => self.finished(*finished, now, known),
            Happened::Recorded => self.recorded(known),
            Happened::TimePassed => {}
            Happened::ShutDown => self.is_shutting_down = true,
        }
    }

    /// Answers with what is to be done after all that was taken in.
    pub fn decide(&mut self, now: Timestamp, known: &Known<'_>, decided: &mut Vec<Decided>) {
        self.notice_clock(now);
        self.wake_lanes(now);
        self.revise_touched(now);
        self.recorder.park_old(now);
        self.send_what_may_go(now, known, decided);
        self.revise_touched(now);
        self.start_reads(decided);
        for announcement in self.exhausted.take_ended(now, self.is_shutting_down && self.slots.in_flight() == 0) {
            self.announce(announcement, now, known);
        }
        decided.extend(self.recorder.take_due(now, self.is_shutting_down).map(Decided::Record));
    }

    /// When [`Happened::TimePassed`] is due.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let wakes = [self.timers.first(), self.paces.wake_at(), self.recorder.wake_at(), self.exhausted.wake_at()];
        wakes.into_iter().flatten().min()
    }

    pub fn in_flight(&self) -> usize {
        self.slots.in_flight()
    }

    pub fn waiting(&self) -> usize {
        self.memory.len()
    }

    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// What could go by now and did not yet, by subscription. Looks at every lane.
    pub fn late(&self, now: Timestamp) -> Vec<LateLane> {
        let of_lane = |(id, lane): (&SubscriptionId, &Lane)| {
            let Late { in_memory, is_on_disk, oldest } = lane.late(now)?;
            Some(LateLane { subscription: *id, in_memory: in_memory as u64, is_on_disk, oldest })
        };
        self.lanes.iter().filter_map(of_lane).collect()
    }

    /// Why work remains, in words; none when there is nothing to do before the next due time or change.
    pub fn pending(&self) -> Option<String> {
        let reasons = [
            (self.slots.in_flight(), "requests under way"),
            (self.memory.len(), "deliveries waiting in memory"),
            (self.recorder.unrecorded(), "outcomes not committed"),
            (self.reads.len(), "reads of the queue on disk"),
            (self.recorder.unsettled(), "fresh deliveries without a due row"),
        ];
        let reasons: Vec<String> =
            reasons.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        if reasons.is_empty() { None } else { Some(reasons.join(", ")) }
    }

    /// After [`Happened::ShutDown`]: whether everything that was under way is over and durable.
    pub fn is_drained(&self) -> bool {
        self.slots.in_flight() == 0 && self.recorder.is_idle() && self.reads.running() == 0
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
            Change::Scheduled(id, due) => self.due_again_on_disk(id, due, known),
            Change::Due(id, due) => {
                self.lane(id, known).health.lift(now);
                self.due_again_on_disk(id, due, known);
            }
            Change::Retry(id, delivery) => self.retry(id, delivery, now, known),
            Change::Lifted(id) => self.lifted(id, now, known),
            Change::Canceled(id, delivery) => self.canceled(id, delivery, now),
            // For viewers.
            Change::Moved(_) | Change::Attempted(_) | Change::Fares(_) => {}
        }
    }

    fn accepted(&mut self, fresh: Fresh, now: Timestamp, known: &Known<'_>) {
        let Fresh { delivery, subscription: id, tenant, event, next_attempt_at: due } = fresh;
        self.recorder.fresh(delivery);
        let lane = lane_of(&mut self.lanes, id, known);
        touch(&mut self.touched, id, lane);
        let Some(subscription) = &lane.subscription else {
            lane.in_memory.insert(delivery);
            return self.recorder.cancel(id, delivery, CanceledReason::SubscriptionDeleted, now);
        };
        let has_room = lane.queue.len() < self.memory.lane_max(lane.was_sick);
        // What is due on disk came earlier, so it goes earlier.
        if subscription.is_active && has_room && !lane.queues_on_disk(now) {
            self.recorder.park_later(delivery, now);
            let event = self.memory.remember(event);
            let trigger = Trigger::Schedule;
            let round = Round::default();
            lane.push(Waiting { delivery, tenant, event, due, attempts: 0, round, trigger });
        } else {
            lane.in_memory.insert(delivery);
            lane.parking += 1;
            self.recorder.park(id, delivery, due, now);
        }
    }

    fn subscription_changed(&mut self, id: SubscriptionId, now: Timestamp, known: &Known<'_>) {
        match known.catalogue.subscription(id) {
            Some(subscription) if subscription.is_active => {
                let health = (known.health)(id);
                let is_new = !self.lanes.contains_key(&id);
                let ordering = subscription.ordering;
                let lane = self.lane(id, known);
                // One that was made while this change was on its way began with it, and has heard nothing of it.
                let is_untold = lane.subscription.as_ref().is_some_and(|it| Arc::ptr_eq(it, subscription));
                let is_resumed = is_new || is_untold || !lane.is_active();
                let is_reordered = lane.ordering != ordering;
                if is_resumed {
                    lane.health = health;
                }
                lane.subscription = Some(Arc::clone(subscription));
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
            Some(subscription) => {
                self.unload(id, now);
                if let Some(lane) = self.lanes.get_mut(&id) {
                    lane.subscription = Some(Arc::clone(subscription));
                    lane.on_disk = None;
                    lane.asked_on_disk.clear();
                    lane.blocked_until = None;
                }
            }
            None => self.drop_lane(id, now),
        }
    }

    /// A person wants one delivery to be tried now.
    fn retry(&mut self, id: SubscriptionId, delivery: DeliveryId, now: Timestamp, known: &Known<'_>) {
        let lane = self.lane(id, known);
        if !lane.is_active() {
            return;
        }
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
        self.due_again_on_disk(id, now, known);
    }

    /// A test reached the receiver: what is known of its health starts anew.
    fn lifted(&mut self, id: SubscriptionId, now: Timestamp, known: &Known<'_>) {
        let health = (known.health)(id);
        if let Some(lane) = self.lanes.get_mut(&id) {
            touch(&mut self.touched, id, lane);
            lane.health = health;
            lane.on_disk = Some(Timestamp::MIN);
            // What was decided before may still be on its way to the disk.
            self.recorder.health(id, health, now);
        }
    }

    fn canceled(&mut self, id: SubscriptionId, delivery: DeliveryId, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        touch(&mut self.touched, id, lane);
        if lane.reading {
            lane.canceled_while_reading.insert(delivery);
        }
        lane.cancel(delivery);
        if lane.health.blocked_by == Some(delivery) {
            lane.unblock();
            self.recorder.health(id, lane.health, now);
        }
        if let Some(waiting) = lane.queue.remove(delivery) {
            lane.in_memory.remove(&delivery);
            self.memory.forget(&waiting.event);
        }
        self.recorder.settled(delivery);
    }

    /// Everything that waits in memory goes to the disk.
    fn unload(&mut self, id: SubscriptionId, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        touch(&mut self.touched, id, lane);
        for waiting in lane.queue.drain() {
            self.memory.forget(&waiting.event);
            let Waiting { delivery, due, .. } = waiting;
            if self.recorder.is_unsettled(delivery) {
                lane.parking += 1;
                self.recorder.park(id, delivery, due, now);
            } else {
                lane.in_memory.remove(&delivery);
                lane.is_due_on_disk(due);
            }
        }
    }

    /// A deleted subscription: what is fresh ends here, what has a due row is ended by the store.
    fn drop_lane(&mut self, id: SubscriptionId, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        touch(&mut self.touched, id, lane);
        lane.subscription = None;
        lane.on_disk = None;
        lane.asked_on_disk.clear();
        lane.health.blocked_by = None;
        for waiting in lane.queue.drain() {
            self.memory.forget(&waiting.event);
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
        self.reads.is_over();
        let lane = self.lane(id, known);
        lane.reading = false;
        let canceled = std::mem::take(&mut lane.canceled_while_reading);
        if !lane.is_active() {
            return;
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
            let lane = lane_of(&mut self.lanes, id, known);
            // It may have come into memory, or ended, while the disk was read.
            if canceled.contains(&delivery.id) || lane.in_memory.contains(&delivery.id) {
                continue;
            }
            let Some(due) = delivery.state.next_attempt_at() else { continue };
            let is_for_later = matches!(delivery.state, State::Pending { .. }) && due > now;
            if is_for_later && !is_asked {
                // Read for a probe, and the earliest on disk: what is scheduled does not begin before its time.
                lane.no_probe_before = Some(due);
                lane.is_due_on_disk(due);
                continue;
            }
            if is_blocking && due > now && !lane.health.is_open() {
                lane.blocked_until = Some(due);
                continue;
            }
            match event {
                Some(event) => {
                    let (is_asked_again, is_once) = match delivery.state {
                        State::Retrying { reason: RetryReason::ManualOnce, .. } => (true, true),
                        State::Retrying { reason: RetryReason::Manual, .. } => (true, false),
                        _ => (false, false),
                    };
                    // What a job asked for is held like all else while the circuit is open, and goes as a probe.
                    let is_manual = (is_asked_again && !lane.health.is_open()) || (is_asked && !is_blocking);
                    let trigger = if is_manual { Trigger::Manual } else { Trigger::Schedule };
                    let Delivery { id: delivery, tenant, attempts, attempts_uncounted, .. } = delivery;
                    let round = Round { attempts_uncounted, is_once };
                    let event = self.memory.remember(event);
                    let waiting = Waiting { delivery, tenant, event, due, attempts, round, trigger };
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
            lane.unblock();
            let health = lane.health;
            self.recorder.health(id, health, now);
        }
    }

    fn finished(&mut self, finished: Finished, now: Timestamp, known: &Known<'_>) {
        let Finished { subscription: id, attempt } = finished;
        let delivery = attempt.delivery;
        let jitter = self.chance.random();
        self.slots.give_back();
        let lane = self.lanes.get_mut(&id).expect("a lane with a request under way is not idle");
        touch(&mut self.touched, id, lane);
        let subscription = lane.subscription.clone();
        let under_way = lane.is_over(delivery).expect("a request that was asked for is over once");
        lane.unrecorded += 1;
        // It has less under way now: it may have a turn again.
        if let Some(place) = lane.crowded.take() {
            lane.queued = false;
            self.slots.call_back(place);
        }
        let UnderWay { due, round, is_canceled, .. } = under_way;
        let state = outcome::state_after(&attempt, round, due, subscription.as_deref(), jitter, now);
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
                lane.blocked_until = state.next_attempt_at().filter(|_| !is_canceled);
                lane.health.blocked_by = lane.blocked_until.map(|_| delivery);
            }
        }
        let health = lane.health;
        // The next one in order waits for this commit.
        let is_waited_for = lane.ordering == DeliveryOrder::Fifo && !lane.queue.is_empty();
        let is_counted = attempt.trigger != Trigger::Probe || state.is_final();
        self.recorder.attempted(id, Recorded { attempt, state, is_counted }, health, now);
        if is_waited_for {
            self.recorder.at_once(now);
        }
        if let State::Exhausted { reason } = state {
            self.exhausted_count += 1;
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

    fn recorded(&mut self, known: &Known<'_>) {
        for Following { subscription: id, delivery, then, due } in self.recorder.recorded() {
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            lane.in_memory.remove(&delivery);
            match then {
                Then::Attempted => lane.unrecorded -= 1,
                Then::Parked => lane.parking -= 1,
                Then::Ended => {}
            }
            touch(&mut self.touched, id, lane);
            if let Some(due) = due {
                self.due_on_disk(id, due, known);
            }
        }
    }

    // -- what follows

    /// Looks at the lanes about which something changed, each once however often it did.
    fn revise_touched(&mut self, now: Timestamp) {
        let mut touched = std::mem::take(&mut self.touched);
        for id in touched.drain(..) {
            self.revise(id, now);
        }
        // Its room is kept for the next turn.
        self.touched = touched;
    }

    /// Looks at a lane: its turn, its timer, its reads, or its end.
    fn revise(&mut self, id: SubscriptionId, now: Timestamp) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.touched = false;
        join_turns(&mut self.slots, id, lane, now);
        let subscription = lane.subscription.as_ref().filter(|subscription| subscription.is_active);
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
            self.reads.want(id, wanted);
        }
        let wake = subscription.and_then(|subscription| lane.wake_at(subscription, now));
        self.timers.set(id, &mut lane.timer, wake);
        if lane.timer.is_none() && !lane.queued && lane.is_idle(now) {
            self.lanes.remove(&id);
        }
    }

    /// Wake-ups stand at times of the clock as it was. When it was set back, what a lane waits for (its pace, a quiet, a
    /// probe) may be nearer than that: each is looked at again.
    fn notice_clock(&mut self, now: Timestamp) {
        if now.plus(CLOCK_SET_BACK_MIN) >= self.latest {
            self.latest = self.latest.max(now);
            return;
        }
        self.latest = now;
        self.lanes.values_mut().for_each(|lane| lane.rate.clock_was_set_back(now));
        self.paces.clock_was_set_back(now);
        for id in self.timers.take_all() {
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.timer = None;
                touch(&mut self.touched, id, lane);
            }
        }
    }

    fn wake_lanes(&mut self, now: Timestamp) {
        while let Some(tenant) = self.paces.pop_due(now) {
            self.slots.resume(tenant);
        }
        while let Some(id) = self.timers.pop_due(now) {
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.timer = None;
                touch(&mut self.touched, id, lane);
            }
        }
    }

    fn send_what_may_go(&mut self, now: Timestamp, known: &Known<'_>, decided: &mut Vec<Decided>) {
        while !self.is_shutting_down
            && self.slots.is_any_free()
            && self.recorder.unrecorded() < UNRECORDED_MAX
            && let Some(id) = self.slots.next()
        {
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            lane.queued = false;
            lane.crowded = None;
            // One that was well when it joined may have to leave its slot to the others by now.
            let offer = self.slots.offer(lane.is_sick(now), lane.in_flight());
            if offer == Offer::Later {
                lane.queued = true;
                lane.crowded = Some(self.slots.put_off(id));
                continue;
            }
            let mut goes_on = offer == Offer::Nothing;
            // As it is now: one that was deleted or paused a moment ago gets nothing more, also when that is not told yet.
            if offer == Offer::Slot
                && let Some(subscription) = known.catalogue.subscription(id)
                && lane.may_send(subscription, now)
            {
                let pace = known.catalogue.pace_of(lane.tenant);
                if !self.paces.may_send(lane.tenant, pace, now) {
                    lane.queued = true;
                    let is_turn_of_sick = self.paces.is_turn_of_sick(lane.tenant);
                    self.slots.rest(lane.tenant, id, lane.is_sick(now), is_turn_of_sick);
                    continue;
                }
                self.paces.sent(lane.tenant, pace, now);
                let waiting = lane.take(now, subscription).expect("a lane that may send has something to send");
                goes_on = true;
                let is_open = lane.health.is_open();
                self.slots.take();
                self.memory.forget(&waiting.event);
                let Waiting { delivery, tenant, event, attempts, trigger, .. } = waiting;
                let trigger = if is_open && trigger == Trigger::Schedule { Trigger::Probe } else { trigger };
                let subscription = Arc::clone(subscription);
                let number = attempts.saturating_add(1);
                decided.push(Decided::Send(Send { delivery, tenant, subscription, event, number, trigger }));
            }
            // One of which a change is not told yet waits until it is.
            if goes_on {
                join_turns(&mut self.slots, id, lane, now);
            }
            touch(&mut self.touched, id, lane);
        }
    }

    fn start_reads(&mut self, decided: &mut Vec<Decided>) {
        while !self.is_shutting_down
            && let Some((id, wanted)) = self.reads.begin()
        {
            let lane = self.lanes.get(&id).expect("a lane that waits for a read is not idle");
            let Wanted { asked, until, rows_max } = wanted;
            let rows_max = self.memory.rows_max(rows_max);
            let in_memory = lane.in_memory.iter().copied().collect();
            decided.push(Decided::ReadDue(ReadDue { subscription: id, asked, until, in_memory, rows_max }));
        }
    }

    /// A person, or a job, asked for more attempts. One whose last outcome is committed and not yet reported counts as
    /// in memory, so a read leaves it out: the disk is looked at again after the report.
    fn due_again_on_disk(&mut self, id: SubscriptionId, due: Timestamp, known: &Known<'_>) {
        self.recorder.due_again(id, due);
        self.due_on_disk(id, due, known);
        // It may be about the one that all others wait for.
        self.lane(id, known).blocked_until = None;
    }

    /// An inactive subscription's disk is not looked at until it is active again, and then from the start.
    fn due_on_disk(&mut self, id: SubscriptionId, due: Timestamp, known: &Known<'_>) {
        let lane = self.lane(id, known);
        if lane.is_active() {
            lane.no_probe_before = lane.no_probe_before.filter(|before| *before <= due);
            lane.is_due_on_disk(due);
        }
    }

    /// A lane about which something changes.
    fn lane(&mut self, id: SubscriptionId, known: &Known<'_>) -> &mut Lane {
        let lane = lane_of(&mut self.lanes, id, known);
        touch(&mut self.touched, id, lane);
        lane
    }
}

fn lane_of<'a>(lanes: &'a mut IdMap<SubscriptionId, Lane>, id: SubscriptionId, known: &Known<'_>) -> &'a mut Lane {
    lanes.entry(id).or_insert_with(|| {
        let subscription = known.catalogue.subscription(id);
        let tenant = subscription.map_or(TenantId::DEFAULT, |subscription| subscription.tenant);
        Lane::new(tenant, (known.health)(id), subscription)
    })
}

/// Has the lane looked at in this turn.
fn touch(touched: &mut Vec<SubscriptionId>, id: SubscriptionId, lane: &mut Lane) {
    if !lane.touched {
        lane.touched = true;
        touched.push(id);
    }
}

/// Gives the lane a turn when it has something that may go now.
fn join_turns(slots: &mut Slots, id: SubscriptionId, lane: &mut Lane, now: Timestamp) {
    lane.was_sick = lane.is_sick(now);
    if !lane.queued && lane.subscription.as_ref().is_some_and(|subscription| lane.may_send(subscription, now)) {
        lane.queued = true;
        slots.join(lane.tenant, id, lane.was_sick);
    }
}
