//! What was promised and what was received: the outside's own account, against which the program is held.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use waxwing::domain::delivery::{Attempt, CanceledReason, ErrorClass, Outcome, State, Trigger};
use waxwing::domain::event::Event;
use waxwing::domain::health::{FAILING_AFTER, Health};
use waxwing::domain::id::{DeliveryId, SubscriptionId, TenantId};
use waxwing::domain::retry::RETRY_AFTER_SUBSCRIPTION_MAX;
use waxwing::domain::secret::Secret;
use waxwing::domain::subscription::{DeliveryOrder, Subscription};
use waxwing::domain::time::Timestamp;
use waxwing::store::Recorded;

/// The first wait of an open circuit, the shortest.
const PROBES_APART_MIN: Duration = Duration::from_secs(5);

#[derive(Default)]
pub struct Ledger {
    /// Events that were answered with 202.
    pub acknowledged: Vec<Event>,
    /// Requests that reached a receiver, and how many of them it answered with 2xx.
    pub received: BTreeMap<DeliveryId, Received>,
    /// States that are known to be durable.
    durable: BTreeMap<DeliveryId, Durable>,
    /// Deliveries for which a person, or a job, asked for another attempt since they became final.
    asked_again: BTreeMap<DeliveryId, Asked>,
    /// When the last attempt of each was over.
    answered_at: BTreeMap<DeliveryId, Timestamp>,
    /// The secret of each subscription as last acknowledged; a rotation that is under way allows both.
    secrets: BTreeMap<SubscriptionId, Vec<Secret>>,
    in_flight: BTreeMap<SubscriptionId, BTreeSet<DeliveryId>>,
    lanes: BTreeMap<SubscriptionId, Lane>,
    /// When requests of the last second were made for a tenant.
    sent_for: BTreeMap<TenantId, VecDeque<Timestamp>>,
    pub power_cuts: u32,
    /// The clock was set back: what is on disk since then stands before what is there from before, by time, and the
    /// order of ids cannot be told from it any more.
    order_is_lost: bool,
    pub requests: u64,
    /// Those of them to subscriptions that a restricted key made.
    pub requests_to_restricted: u64,
    /// And those for tenants with a limit.
    pub requests_limited: u64,
}

/// What the outside knows of one subscription's traffic.
#[derive(Default)]
struct Lane {
    /// Failures in a row, as they were answered.
    failures: u32,
    /// When the circuit opened, or the last probe failed.
    tried_at: Option<Timestamp>,
    /// The receiver asked for quiet until then, and nobody lifted it.
    quiet_until: Option<Timestamp>,
    /// When requests of the last second were made that nobody asked for.
    sent_at: VecDeque<Timestamp>,
    /// In order: what was sent, and is not durably over.
    blocked_by: Option<DeliveryId>,
    /// In order: the newest delivery whose first attempt was made.
    newest_first: Option<DeliveryId>,
}

/// Who asked for another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// A person, for this delivery: what its receiver asked for is lifted.
    ByHand,
    /// A job, for many: each keeps to the limits of its lane.
    InBulk,
}

#[derive(Default, Clone)]
pub struct Received {
    pub answered_2xx: u32,
    /// The lives of the process in which a request that was answered 2xx was sent: one each at most.
    lives_of_2xx: BTreeSet<u32>,
}

struct Durable {
    state: State,
    /// When the last attempt was over that the schedule counts.
    counted_at: Timestamp,
    number: u16,
    /// How many of the attempts the schedule counts.
    counted: u16,
}

impl Ledger {
    pub fn knows_secret(&mut self, subscription: SubscriptionId, secret: Secret) {
        self.secrets.insert(subscription, vec![secret]);
    }

    pub fn secret_may_change(&mut self, subscription: SubscriptionId, secret: Secret) {
        self.secrets.entry(subscription).or_default().push(secret);
    }

    pub fn secrets(&self, subscription: SubscriptionId) -> &[Secret] {
        self.secrets.get(&subscription).map_or(&[], Vec::as_slice)
    }

    pub fn asks_again(&mut self, delivery: DeliveryId, asked: Asked) {
        let known = self.asked_again.entry(delivery).or_insert(asked);
        if asked == Asked::ByHand {
            *known = asked;
        }
    }

    /// It is final on disk: what was asked for before is done with, and it blocks nothing.
    pub fn is_over(&mut self, delivery: DeliveryId, state: State, at: Timestamp) {
        self.asked_again.remove(&delivery);
        for lane in self.lanes.values_mut().filter(|lane| lane.blocked_by == Some(delivery)) {
            lane.blocked_by = None;
        }
        let durable = Durable { state, counted_at: at, number: 0, counted: 0 };
        self.durable.entry(delivery).and_modify(|known| known.state = state).or_insert(durable);
    }

    /// The clock was set back. What is measured by it begins anew, and ends within its own length.
    pub fn clock_was_set_back(&mut self) {
        self.order_is_lost = true;
        self.sent_for.clear();
        for lane in self.lanes.values_mut() {
            (lane.quiet_until, lane.tried_at) = (None, None);
            lane.sent_at.clear();
        }
    }

    /// A request leaves. What must not happen panics with the reason.
    pub fn sends(
        &mut self,
        subscription: &Subscription,
        (delivery, number, trigger): (DeliveryId, u16, Trigger),
        now: Timestamp,
        delays: &[Duration],
    ) {
        self.follows_the_lane(subscription, (delivery, number, trigger), now);
        let (max_in_flight, subscription) = (subscription.max_in_flight, subscription.id);
        self.requests += 1;
        let in_flight = self.in_flight.entry(subscription).or_default();
        assert!(in_flight.insert(delivery), "{delivery} is sent twice at once");
        assert!(
            in_flight.len() <= usize::from(max_in_flight),
            "{subscription} has more than {max_in_flight} in flight"
        );
        let Some(durable) = self.durable.get(&delivery) else { return };
        let was_asked = self.asked_again.contains_key(&delivery);
        assert!(
            !durable.state.is_final() || was_asked,
            "{delivery} is sent although it is durably {:?}",
            durable.state
        );
        if trigger == Trigger::Schedule && !was_asked {
            assert_eq!(number, durable.number + 1, "{delivery} skips or repeats a durable attempt");
            let delay = delays[usize::from(durable.counted)].mul_f64(0.9);
            let waited = now.since(durable.counted_at);
            // A millisecond for rounding.
            assert!(
                waited + Duration::from_millis(1) >= delay,
                "{delivery} attempt {number} came after {waited:?}, before its {delay:?}"
            );
        }
    }

    /// What holds for all requests of a tenant together: `limit` of them a second.
    pub fn sends_for(&mut self, tenant: TenantId, limit: Option<NonZeroU32>, now: Timestamp) {
        let Some(limit) = limit else { return };
        let sent_at = self.sent_for.entry(tenant).or_default();
        sent_at.retain(|at| now.since(*at) < Duration::from_secs(1));
        sent_at.push_back(now);
        self.requests_limited += 1;
        // One more than the limit fits into a second that has one of them on each edge.
        assert!(sent_at.len() <= limit.get() as usize + 1, "{tenant} sends {} in a second", sent_at.len());
    }

    /// What holds for all of a subscription's requests together.
    fn follows_the_lane(
        &mut self,
        subscription: &Subscription,
        (delivery, number, trigger): (DeliveryId, u16, Trigger),
        now: Timestamp,
    ) {
        let id = subscription.id;
        let others = self.in_flight.get(&id).map_or(0, BTreeSet::len);
        let asked = self.asked_again.get(&delivery).copied();
        let was_asked = asked.is_some();
        let lane = self.lanes.entry(id).or_default();
        // A job may come to one that a person asks for by name, and only the latter goes past the limits.
        if trigger != Trigger::Manual || asked == Some(Asked::InBulk) {
            let quiet_until = lane.quiet_until.filter(|until| *until > now);
            assert_eq!(quiet_until, None, "{delivery} breaks the quiet that its receiver asked for");
            let is_failing = subscription.circuit_breaker && lane.failures >= FAILING_AFTER;
            assert!(!is_failing || trigger == Trigger::Probe, "{delivery} is sent to a failing receiver, and no probe");
            lane.sent_at.retain(|at| now.since(*at) < Duration::from_secs(1));
            lane.sent_at.push_back(now);
            // One more than the limit fits into a second that has one of them on each edge.
            let limit = subscription.rate_limit.map_or(usize::MAX, |limit| usize::from(limit.get()) + 1);
            assert!(lane.sent_at.len() <= limit, "{id} gets {} in a second", lane.sent_at.len());
        }
        if trigger == Trigger::Probe {
            assert_eq!(others, 0, "{delivery} is a probe, and not alone");
            let waited = lane.tried_at.map_or(Duration::MAX, |at| now.since(at));
            assert!(waited >= PROBES_APART_MIN, "{delivery} is a probe after {waited:?}");
        }
        if subscription.ordering == DeliveryOrder::Fifo {
            assert_eq!(others, 0, "{delivery} is sent beside another one, out of order");
            let blocked_by = lane.blocked_by.filter(|blocking| *blocking != delivery);
            assert_eq!(blocked_by, None, "{delivery} overtakes one that is not over");
            lane.blocked_by = Some(delivery);
            if number == 1 && !was_asked && !self.order_is_lost {
                assert!(lane.newest_first < Some(delivery), "{delivery} comes after {:?}", lane.newest_first);
                lane.newest_first = Some(delivery);
            }
        }
    }

    /// A person asked for attempts: what the receiver asked for is over, and a probe may go at once.
    pub fn lifted(&mut self, subscription: SubscriptionId) {
        let lane = self.lanes.entry(subscription).or_default();
        (lane.quiet_until, lane.tried_at) = (None, None);
    }

    /// A person enabled the subscription again: nothing is held against it.
    pub fn starts_anew(&mut self, subscription: SubscriptionId) {
        self.lifted(subscription);
        self.lanes.entry(subscription).or_default().failures = 0;
    }

    /// What a person cancels or a scheduled event does to the order is not followed any further.
    pub fn order_is_open(&mut self, subscription: SubscriptionId) {
        let lane = self.lanes.entry(subscription).or_default();
        (lane.blocked_by, lane.newest_first) = (None, None);
    }

    /// A scheduled event's deliveries do not begin before its time, unless somebody asked.
    pub fn begins(&self, delivery: DeliveryId, deliver_at: Option<Timestamp>, now: Timestamp) {
        let is_time = deliver_at.is_none_or(|at| now >= at);
        assert!(is_time || self.asked_again.contains_key(&delivery), "{delivery} is sent before {deliver_at:?}");
    }

    pub fn arrives(&mut self, delivery: DeliveryId) {
        self.received.entry(delivery).or_default();
    }

    pub fn answers(&mut self, subscription: SubscriptionId, attempt: &Attempt, now: Timestamp, life: u32) {
        let Attempt { delivery, outcome, response, .. } = attempt;
        let delivery = *delivery;
        self.answered_at.insert(delivery, now);
        if life == self.power_cuts {
            self.in_flight.entry(subscription).or_default().remove(&delivery);
            let lane = self.lanes.entry(subscription).or_default();
            lane.failures = if outcome.is_success() { 0 } else { lane.failures + 1 };
            if lane.failures == FAILING_AFTER || attempt.trigger == Trigger::Probe {
                lane.tried_at = Some(now);
            }
            let asked = response.as_ref().and_then(|response| response.header("retry-after")?.parse().ok());
            if let Some(seconds) = asked.filter(|_| outcome.is_overload()) {
                let until = now.plus(Duration::from_secs(seconds).min(RETRY_AFTER_SUBSCRIPTION_MAX));
                lane.quiet_until = lane.quiet_until.max(Some(until));
            }
        }
        if outcome.is_success() {
            let received = self.received.entry(delivery).or_default();
            let is_first = received.lives_of_2xx.insert(life);
            assert!(is_first, "{delivery} was answered 2xx twice with no power cut between");
            received.answered_2xx += 1;
        }
    }

    /// A person canceled it, durably.
    pub fn canceled(&mut self, delivery: DeliveryId, at: Timestamp) {
        let state = State::Canceled { reason: CanceledReason::Manual };
        self.durable.insert(delivery, Durable { state, counted_at: at, number: 0, counted: 0 });
        self.asked_again.remove(&delivery);
    }

    /// The process died: what was under way is nobody's any more, and only what is durable is known. `now` is by the
    /// program's clock, and the account's is later by `lead`.
    pub fn power_cut(&mut self, now: Timestamp, lead: Duration, health: impl Fn(SubscriptionId) -> Health) {
        self.power_cuts += 1;
        self.in_flight.clear();
        self.sent_for.clear();
        for (id, lane) in &mut self.lanes {
            let health = health(*id);
            let is_open =
                |blocking: &DeliveryId| self.durable.get(blocking).is_some_and(|durable| !durable.state.is_final());
            *lane = Lane {
                failures: health.consecutive_failures,
                tried_at: None,
                quiet_until: health.quiet_until(now).map(|until| until.plus(lead)),
                sent_at: VecDeque::new(),
                blocked_by: lane.blocked_by.filter(is_open),
                newest_first: None,
            };
        }
    }

    pub fn recorded(&mut self, recorded: &Recorded) {
        let Recorded { attempt, state, is_counted } = recorded;
        let timed_out = matches!(&attempt.outcome, Outcome::Error { class: ErrorClass::Timeout, .. });
        assert!(!timed_out || !matches!(state, State::Succeeded), "a time-out is no success");
        let ended_at = self.answered_at.get(&attempt.delivery).copied();
        let ended_at = ended_at.expect("what is recorded was answered");
        if state.is_final() {
            for lane in self.lanes.values_mut().filter(|lane| lane.blocked_by == Some(attempt.delivery)) {
                lane.blocked_by = None;
            }
        }
        let (counted_at, counted) = match self.durable.get(&attempt.delivery) {
            // A person canceled it meanwhile.
            Some(known) if known.state.is_final() && !self.asked_again.contains_key(&attempt.delivery) => return,
            Some(known) => (known.counted_at, known.counted),
            None => (ended_at, 0),
        };
        let (counted_at, counted) = if *is_counted { (ended_at, counted + 1) } else { (counted_at, counted) };
        let durable = Durable { state: *state, counted_at, number: attempt.number, counted };
        self.durable.insert(attempt.delivery, durable);
    }
}
