//! How a subscription fares, and what follows for what it is sent (contract 5.4, 5.6): pure rules over outcomes. It
//! moves with each delivery, so it is kept apart from the configuration.

use std::time::Duration;

use super::delivery::{ErrorClass, Outcome};
use super::id::DeliveryId;
use super::retry::RETRY_AFTER_SUBSCRIPTION_MAX;
use super::subscription::Subscription;
use super::time::Timestamp;

/// Failures in a row from which a subscription counts as failing, and its circuit opens (contract 5.6).
pub const FAILING_AFTER: u32 = 10;
/// After so long without a success a subscription with a circuit breaker is disabled (contract 5.6).
pub const DISABLE_AFTER: Duration = Duration::from_secs(5 * 24 * 60 * 60);
/// When it is said before that what is coming (contract 5.6).
pub const WARN_AFTER: [Duration; 3] =
    [Duration::from_secs(6 * 60 * 60), Duration::from_secs(24 * 60 * 60), Duration::from_secs(3 * 24 * 60 * 60)];
/// The waits before the probes of an open circuit; the last one repeats (contract 5.6: at most 5 minutes).
const PROBE_DELAYS: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(20),
    Duration::from_secs(60),
    Duration::from_secs(150),
    Duration::from_secs(300),
];
/// A receiver that never answered, or failed [`UNPROVEN_AFTER`] times in a row, gets no more than this at once, so that
/// a thousand of them that hang leave slots for the others. A success lifts it.
const SLOTS_UNPROVEN: u8 = 2;
const UNPROVEN_AFTER: u32 = 3;
/// A pace, in deliveries per 1,000 seconds: the slowest that overload leads to, …
const PACE_MIN: u32 = 200;
/// … what each success adds to it, …
const PACE_STEP: u32 = 100;
/// … and from where on it is no limit any more.
const PACE_MAX: u32 = 100_000;
/// A pace is forgotten when the receiver was not overloaded for so long.
const PACE_FOR: Duration = Duration::from_secs(5 * 60);

/// What is known of a subscription's receiver, as of its last attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    pub consecutive_failures: u32,
    /// When the first of those failures was.
    pub failing_since: Option<Timestamp>,
    pub last_delivery_at: Option<Timestamp>,
    /// Whether the last attempt was a success; none before the first.
    pub last_delivery_succeeded: Option<bool>,
    /// Requests that may be under way, when fewer than the subscription allows.
    pub slots: Option<u8>,
    /// Deliveries per 1,000 seconds, when overload asked for fewer than there are.
    pub pace: Option<u32>,
    /// When slots or pace last shrank. What was sent before that does not shrink them again.
    pub throttled_at: Option<Timestamp>,
    /// The receiver asked for quiet until then.
    pub quiet_until: Option<Timestamp>,
    pub circuit: Circuit,
    /// How many of [`WARN_AFTER`] were given out since the last success.
    pub warnings: u8,
    /// Whether somebody was told that it is not healthy, so that its recovery is told, too.
    pub is_announced: bool,
    /// In order only: the delivery that failed, and that all others wait for.
    pub blocked_by: Option<DeliveryId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Circuit {
    #[default]
    Closed,
    /// Deliveries are held; now and then one of them is sent as a probe.
    Open {
        probe_at: Timestamp,
        /// Probes that failed so far.
        probes: u16,
    },
}

/// One attempt, as far as health depends on it.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    pub outcome: &'a Outcome,
    pub sent_at: Timestamp,
    pub now: Timestamp,
    /// What the receiver asked for, clamped.
    pub retry_after: Option<Duration>,
    pub is_probe: bool,
    /// What was sent of late, in deliveries per 1,000 seconds.
    pub recent_pace: u32,
}

/// A change that people are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It gets less at once, or more slowly.
    Degraded,
    /// Its circuit opened, or has been open for one of [`WARN_AFTER`].
    Failing,
    /// It has only failed for [`DISABLE_AFTER`]: it has to be disabled.
    GivenUp,
    Recovered,
}

impl Health {
    /// What it is after an attempt.
    pub fn after(mut self, report: &Report<'_>, subscription: &Subscription) -> (Self, Option<Turn>) {
        self.last_delivery_at = self.last_delivery_at.max(Some(report.now));
        if report.outcome.is_success() {
            return self.after_success(report, subscription);
        }
        self.last_delivery_succeeded = Some(false);
        self.consecutive_failures = self.consecutive_failures.saturating_add(1);
        let failing_since = *self.failing_since.get_or_insert(report.now);
        let was_limited = self.is_limited();
        self.throttle(report, subscription);
        if let Some(wait) = report.retry_after
            && report.outcome.is_overload()
        {
            self.quiet_until = self.quiet_until(report.now).max(Some(report.now.plus(wait)));
        }
        let has_opened = self.move_circuit(report, subscription);
        let failing_for = report.now.since(failing_since);
        let is_warned = self.warn(failing_for);
        let turn = if subscription.circuit_breaker && failing_for >= DISABLE_AFTER {
            Some(Turn::GivenUp)
        } else if has_opened || (subscription.circuit_breaker && is_warned) {
            Some(Turn::Failing)
        } else if self.is_limited() && !was_limited && !self.is_announced {
            Some(Turn::Degraded)
        } else {
            None
        };
        self.is_announced |= turn.is_some();
        (self, turn)
    }

    fn after_success(mut self, report: &Report<'_>, subscription: &Subscription) -> (Self, Option<Turn>) {
        self.last_delivery_succeeded = Some(true);
        self.consecutive_failures = 0;
        self.failing_since = None;
        self.warnings = 0;
        self.quiet_until = self.quiet_until.filter(|until| *until > report.now);
        // After an open circuit, and after a time-out, the backlog begins to drain one at a time.
        let slots = match self.circuit {
            Circuit::Open { .. } => Some(1),
            Circuit::Closed => self.slots.map(|slots| slots.saturating_add(1)),
        };
        self.circuit = Circuit::Closed;
        self.slots = slots.filter(|slots| *slots < subscription.max_in_flight);
        let is_long_ago = self.throttled_at.is_none_or(|at| report.now.since(at) >= PACE_FOR);
        self.pace = self.pace.map(|pace| pace + PACE_STEP).filter(|pace| *pace < PACE_MAX && !is_long_ago);
        let is_recovered = self.is_announced && !self.is_limited();
        if is_recovered {
            self.is_announced = false;
        }
        (self, is_recovered.then_some(Turn::Recovered))
    }

    /// Overload halves what may be under way and how fast it goes; a time-out leaves one slot until a success.
    fn throttle(&mut self, report: &Report<'_>, subscription: &Subscription) {
        let is_old_news = self.throttled_at.is_some_and(|at| report.sent_at < at);
        let slots = self.slots_of(subscription);
        match report.outcome {
            Outcome::Error { class: ErrorClass::Timeout, .. } => self.slots = Some(1),
            outcome if outcome.is_overload() && !is_old_news => {
                self.slots = Some((slots / 2).max(1));
                let pace = self.pace.unwrap_or(u32::MAX).min(report.recent_pace) / 2;
                self.pace = Some(pace.max(PACE_MIN)).filter(|pace| *pace < PACE_MAX);
            }
            Outcome::Success | Outcome::Status(_) | Outcome::Error { .. } => return,
        }
        self.throttled_at = Some(report.now);
    }

    /// Answers whether the circuit has just opened.
    fn move_circuit(&mut self, report: &Report<'_>, subscription: &Subscription) -> bool {
        match self.circuit {
            Circuit::Closed if subscription.circuit_breaker && self.consecutive_failures >= FAILING_AFTER => {
                self.circuit = Circuit::Open { probe_at: report.now.plus(PROBE_DELAYS[0]), probes: 0 };
                true
            }
            Circuit::Open { probes, .. } if report.is_probe => {
                let probes = probes.saturating_add(1);
                let delay = PROBE_DELAYS.get(usize::from(probes)).unwrap_or(&PROBE_DELAYS[PROBE_DELAYS.len() - 1]);
                self.circuit = Circuit::Open { probe_at: report.now.plus(*delay), probes };
                false
            }
            Circuit::Closed | Circuit::Open { .. } => false,
        }
    }

    /// Answers whether it has now failed for one more of [`WARN_AFTER`].
    fn warn(&mut self, failing_for: Duration) -> bool {
        let due = WARN_AFTER.iter().filter(|after| failing_for >= **after).count() as u8;
        let is_new = due > self.warnings;
        self.warnings = self.warnings.max(due);
        is_new
    }

    fn is_limited(&self) -> bool {
        self.slots.is_some() || self.pace.is_some() || self.is_open()
    }

    pub fn is_open(&self) -> bool {
        matches!(self.circuit, Circuit::Open { .. })
    }

    /// How many requests may be under way.
    pub fn slots_of(&self, subscription: &Subscription) -> u8 {
        let most = subscription.max_in_flight;
        let is_unproven = self.last_delivery_succeeded.is_none() || self.consecutive_failures >= UNPROVEN_AFTER;
        match self.slots {
            Some(slots) => slots.min(most),
            None if is_unproven => SLOTS_UNPROVEN.min(most),
            None => most,
        }
    }

    /// Whether it is among those that leave a part of all slots to the others.
    pub fn is_sick(&self) -> bool {
        self.consecutive_failures > 0 || self.slots.is_some()
    }

    /// When deliveries may go on that the receiver asked to wait. A moment that no receiver can have asked for comes
    /// from a clock that was set back, and counts for nothing.
    pub fn quiet_until(&self, now: Timestamp) -> Option<Timestamp> {
        let is_possible = |until: &Timestamp| *until > now && until.since(now) <= RETRY_AFTER_SUBSCRIPTION_MAX;
        self.quiet_until.filter(is_possible)
    }

    /// When the next probe of an open circuit may go; likewise.
    pub fn probe_at(&self, now: Timestamp) -> Option<Timestamp> {
        match self.circuit {
            Circuit::Closed => None,
            Circuit::Open { probe_at, .. } if probe_at.since(now) > PROBE_DELAYS[PROBE_DELAYS.len() - 1] => Some(now),
            Circuit::Open { probe_at, .. } => Some(probe_at),
        }
    }

    /// When an open circuit is tried next, as it was decided.
    pub fn next_probe_at(&self) -> Option<Timestamp> {
        match self.circuit {
            Circuit::Closed => None,
            Circuit::Open { probe_at, probes: _ } => Some(probe_at),
        }
    }

    /// Deliveries per 1,000 seconds: the subscription's own limit, or the one that overload led to.
    pub fn pace_of(&self, subscription: &Subscription) -> Option<u32> {
        let own = subscription.rate_limit.map(|per_second| u32::from(per_second.get()).saturating_mul(1000));
        self.pace.into_iter().chain(own).min()
    }

    /// What remains after a person re-enabled the subscription, or a test reached its receiver: the counters start
    /// anew, and what the receiver asked for is lifted. Whoever was told that it fails is still to be told that it does
    /// not any more.
    pub fn reset(self) -> Self {
        let Self { last_delivery_at, last_delivery_succeeded, blocked_by, is_announced, .. } = self;
        Self { last_delivery_at, last_delivery_succeeded, blocked_by, is_announced, ..Self::default() }
    }

    /// A person asks for an attempt: what the receiver asked for is lifted, and a probe may go at once.
    pub fn lift(&mut self, now: Timestamp) {
        self.quiet_until = None;
        if let Circuit::Open { probe_at, .. } = &mut self.circuit {
            *probe_at = now;
        }
    }

    pub fn status(&self, subscription: &Subscription) -> HealthStatus {
        if subscription.disabled_reason.is_some() {
            HealthStatus::Disabled
        } else if self.is_open() || self.consecutive_failures >= FAILING_AFTER {
            HealthStatus::Failing
        } else if self.is_limited() || self.consecutive_failures > 0 {
            HealthStatus::Degraded
        } else {
            HealthStatus::Healthy
        }
    }
}

/// Why nothing is sent to a subscription: its deliveries are `held`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// A person made it inactive.
    Paused,
    /// Waxwing made it inactive.
    Disabled,
    /// Its circuit is open.
    Failing,
}

impl Hold {
    pub fn of(subscription: &Subscription, health: &Health) -> Option<Self> {
        match (subscription.is_active, subscription.disabled_reason) {
            (false, Some(_)) => Some(Self::Disabled),
            (false, None) => Some(Self::Paused),
            (true, _) => health.is_open().then_some(Self::Failing),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthStatus {
    Healthy,
    Degraded,
    Failing,
    Disabled,
}

impl HealthStatus {
    pub const ALL: [Self; 4] = [Self::Healthy, Self::Degraded, Self::Failing, Self::Disabled];

    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Failing => "failing",
            Self::Disabled => "disabled",
        }
    }
}
