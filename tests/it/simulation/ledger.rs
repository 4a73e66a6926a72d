//! What was promised and what was received: the outside's own account, against which the program is held.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use waxwing::domain::delivery::{Attempt, CanceledReason, ErrorClass, Outcome, State, Trigger};
use waxwing::domain::event::Event;
use waxwing::domain::health::{FAILING_AFTER, Health};
use waxwing::domain::id::{DeliveryId, SubscriptionId};
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
    /// Deliveries for which a person asked for another attempt since they became final.
    asked_again: BTreeSet<DeliveryId>,
    /// The secret of each subscription as last acknowledged; a rotation that is under way allows both.
    secrets: BTreeMap<SubscriptionId, Vec<Secret>>,
    in_flight: BTreeMap<SubscriptionId, BTreeSet<DeliveryId>>,
    lanes: BTreeMap<SubscriptionId, Lane>,
    pub power_cuts: u32,
    pub requests: u64,
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

    pub fn asks_again(&mut self, delivery: DeliveryId) {
        self.asked_again.insert(delivery);
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
        let was_asked = self.asked_again.contains(&delivery);
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

    /// What holds for all of a subscription's requests together.
    fn follows_the_lane(
        &mut self,
        subscription: &Subscription,
        (delivery, number, trigger): (DeliveryId, u16, Trigger),
        now: Timestamp,
    ) {
        let id = subscription.id;
        let others = self.in_flight.get(&id).map_or(0, BTreeSet::len);
        let was_asked = self.asked_again.contains(&delivery);
        let lane = self.lanes.entry(id).or_default();
        if trigger != Trigger::Manual {
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
            if number == 1 && !was_asked {
                assert!(lane.newest_first < Some(delivery), "{delivery} comes after {:?}", lane.newest_first);
                lane.newest_first = Some(delivery);
            }
        }
    }

    /// A person lifted what held the subscription back, or is about to.
    pub fn lifted(&mut self, subscription: SubscriptionId) {
        let lane = self.lanes.entry(subscription).or_default();
        (lane.failures, lane.quiet_until, lane.tried_at) = (0, None, None);
    }

    /// What a person cancels or a scheduled event does to the order is not followed any further.
    pub fn order_is_open(&mut self, subscription: SubscriptionId) {
        let lane = self.lanes.entry(subscription).or_default();
        (lane.blocked_by, lane.newest_first) = (None, None);
    }

    /// A scheduled event's deliveries do not begin before its time, unless somebody asked.
    pub fn begins(&self, delivery: DeliveryId, deliver_at: Option<Timestamp>, now: Timestamp) {
        let is_time = deliver_at.is_none_or(|at| now >= at);
        assert!(is_time || self.asked_again.contains(&delivery), "{delivery} is sent before {deliver_at:?}");
    }

    pub fn arrives(&mut self, delivery: DeliveryId) {
        self.received.entry(delivery).or_default();
    }

    pub fn answers(&mut self, subscription: SubscriptionId, attempt: &Attempt, now: Timestamp, life: u32) {
        let Attempt { delivery, outcome, response, .. } = attempt;
        let delivery = *delivery;
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
            assert!(
                is_first || self.asked_again.contains(&delivery),
                "{delivery} was answered 2xx twice with no power cut between"
            );
            received.answered_2xx += 1;
        }
    }

    /// A person canceled it, durably.
    pub fn canceled(&mut self, delivery: DeliveryId, at: Timestamp) {
        let state = State::Canceled { reason: CanceledReason::Manual };
        self.durable.insert(delivery, Durable { state, counted_at: at, number: 0, counted: 0 });
        self.asked_again.remove(&delivery);
    }

    /// The process died: what was under way is nobody's any more, and only what is durable is known.
    pub fn power_cut(&mut self, health: impl Fn(SubscriptionId) -> Health) {
        self.power_cuts += 1;
        self.in_flight.clear();
        for (id, lane) in &mut self.lanes {
            let Health { consecutive_failures, quiet_until, .. } = health(*id);
            let is_open =
                |blocking: &DeliveryId| self.durable.get(blocking).is_some_and(|durable| !durable.state.is_final());
            *lane = Lane {
                failures: consecutive_failures,
                tried_at: None,
                quiet_until,
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
        let ended_at = attempt.started_at.plus(attempt.phases.total);
        if state.is_final() {
            for lane in self.lanes.values_mut().filter(|lane| lane.blocked_by == Some(attempt.delivery)) {
                lane.blocked_by = None;
            }
        }
        let (counted_at, counted) = match self.durable.get(&attempt.delivery) {
            // A person canceled it meanwhile.
            Some(known) if known.state.is_final() => return,
            Some(known) => (known.counted_at, known.counted),
            None => (ended_at, 0),
        };
        let (counted_at, counted) = if *is_counted { (ended_at, counted + 1) } else { (counted_at, counted) };
        let durable = Durable { state: *state, counted_at, number: attempt.number, counted };
        self.durable.insert(attempt.delivery, durable);
    }
}
