//! What the dispatcher's shell counts while it works, and what it is asked for by whoever watches: how attempts go, what is
//! late, and whether the clock was set.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::clock::{Clock, ClockState, ClockWatch};
use crate::domain::delivery::{Attempt, Outcome, Trigger};
use crate::domain::stats::{AttemptCounts, AttemptKind};
use crate::measure::{Distribution, Histogram, MICROS};

/// Shared by the shell and its handles.
#[derive(Debug)]
pub(super) struct Pulse {
    attempts: [AtomicU64; AttemptKind::ALL.len()],
    answer_times: Histogram,
    first_attempt_times: Histogram,
    clock: ClockWatch,
}

/// How attempts went since the process started. Tests that are not kept are no attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempts {
    pub counts: AttemptCounts,
    /// In microseconds, of those that were answered, whatever the answer said.
    pub answer_times: Distribution,
    /// In microseconds, from a delivery's making to the beginning of its first attempt. Those of scheduled events, and
    /// those that a person hurried, are left out.
    pub first_attempt_times: Distribution,
}

impl Pulse {
    pub fn begin(clock: &Clock) -> Self {
        let steady = Instant::now();
        Self {
            attempts: Default::default(),
            answer_times: Histogram::new(&MICROS),
            first_attempt_times: Histogram::new(&MICROS),
            clock: ClockWatch::begin(clock.now(), steady),
        }
    }

    /// Counts an attempt when it is over.
    pub fn attempted(&self, attempt: &Attempt, is_scheduled_event: bool) {
        let Attempt { delivery, number, trigger, started_at, outcome, phases, .. } = attempt;
        self.attempts[AttemptKind::of(outcome) as usize].fetch_add(1, Ordering::Relaxed);
        if let Outcome::Success | Outcome::Status(_) = outcome {
            self.answer_times.count_time(phases.total);
        }
        if (*number, *trigger, is_scheduled_event) == (1, Trigger::Schedule, false) {
            self.first_attempt_times.count_time(started_at.since(delivery.assigned_at()));
        }
    }

    /// Looks whether the clock was set since the last look, and warns when it was.
    pub fn look_at_clock(&self, clock: &Clock) {
        let steady = Instant::now();
        if let Some(jump) = self.clock.look(clock.now(), steady) {
            tracing::warn!(by_millis = jump.by_millis, "the clock jumped: it was set, or the machine slept");
        }
    }

    pub fn clock(&self) -> ClockState {
        self.clock.state()
    }

    pub fn attempts(&self) -> Attempts {
        let mut counts = AttemptCounts::default();
        for (kind, count) in AttemptKind::ALL.into_iter().zip(&self.attempts) {
            counts[kind] = count.load(Ordering::Relaxed);
        }
        Attempts {
            counts,
            answer_times: self.answer_times.read(),
            first_attempt_times: self.first_attempt_times.read(),
        }
    }
}
