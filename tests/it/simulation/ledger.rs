//! What was promised and what was received: the outside's own account, against which the program is held.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use waxwing::domain::delivery::{CanceledReason, ErrorClass, Outcome, State, Trigger};
use waxwing::domain::event::Event;
use waxwing::domain::id::{DeliveryId, SubscriptionId};
use waxwing::domain::secret::Secret;
use waxwing::domain::subscription::Subscription;
use waxwing::domain::time::Timestamp;
use waxwing::store::Recorded;

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
    pub power_cuts: u32,
    pub requests: u64,
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

    /// A scheduled event's deliveries do not begin before its time, unless somebody asked. A probe goes outside every
    /// schedule (contract 5.6).
    pub fn begins(&self, delivery: DeliveryId, trigger: Trigger, deliver_at: Option<Timestamp>, now: Timestamp) {
        let is_time = deliver_at.is_none_or(|at| now >= at);
        let is_excused = trigger == Trigger::Probe || self.asked_again.contains(&delivery);
        assert!(is_time || is_excused, "{delivery} is sent before {deliver_at:?}");
    }

    pub fn arrives(&mut self, delivery: DeliveryId) {
        self.received.entry(delivery).or_default();
    }

    pub fn answers(&mut self, delivery: DeliveryId, subscription: SubscriptionId, outcome: &Outcome, life: u32) {
        if life == self.power_cuts {
            self.in_flight.entry(subscription).or_default().remove(&delivery);
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

    /// The process died: what was under way is nobody's any more.
    pub fn power_cut(&mut self) {
        self.power_cuts += 1;
        self.in_flight.clear();
    }

    pub fn recorded(&mut self, recorded: &Recorded) {
        let Recorded { attempt, state, is_counted } = recorded;
        let timed_out = matches!(&attempt.outcome, Outcome::Error { class: ErrorClass::Timeout, .. });
        assert!(!timed_out || !matches!(state, State::Succeeded), "a time-out is no success");
        let ended_at = attempt.started_at.plus(attempt.phases.total);
        let (counted_at, counted) = match self.durable.get(&attempt.delivery) {
            Some(known) if known.state.is_final() => return,
            Some(known) => (known.counted_at, known.counted),
            None => (ended_at, 0),
        };
        let (counted_at, counted) = if *is_counted { (ended_at, counted + 1) } else { (counted_at, counted) };
        let durable = Durable { state: *state, counted_at, number: attempt.number, counted };
        self.durable.insert(attempt.delivery, durable);
    }
}
