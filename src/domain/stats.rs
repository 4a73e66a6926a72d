//! Statistics: what is counted over a span of time, and how long receivers took, within a stated error.

use std::ops::{AddAssign, Index, IndexMut};
use std::time::Duration;

use super::delivery::{ErrorClass, Outcome, State};
use super::event_type::EventTypeKey;
use super::id::{SubscriptionId, TenantId};
use super::time::Timestamp;

/// Whose figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    Instance,
    Tenant(TenantId),
    Subscription(SubscriptionId),
    /// Of all tenants together; only what is published.
    EventType(EventTypeKey),
}

/// How long a point of a series lasts. Points begin at whole minutes, hours and days of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    Minute,
    Hour,
    Day,
}

impl Resolution {
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    pub const fn span(self) -> Duration {
        Duration::from_secs(match self {
            Self::Minute => 60,
            Self::Hour => 60 * 60,
            Self::Day => 24 * 60 * 60,
        })
    }

    /// The beginning of the point that holds this moment.
    pub fn start_of(self, at: Timestamp) -> Timestamp {
        let span = self.span().as_millis() as i64;
        Timestamp::from_millis(at.as_millis().div_euclid(span) * span)
    }
}

/// What an attempt came to, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttemptKind {
    Success,
    Status3xx,
    Status4xx,
    Status5xx,
    BlockedAddress,
    Dns,
    Connect,
    Tls,
    Timeout,
    /// The peer broke HTTP, or answered a status that does not exist.
    Http,
}

impl AttemptKind {
    pub const ALL: [Self; 10] = [
        Self::Success,
        Self::Status3xx,
        Self::Status4xx,
        Self::Status5xx,
        Self::BlockedAddress,
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Http,
    ];

    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::Success,
            Outcome::Status(300..=399) => Self::Status3xx,
            Outcome::Status(400..=499) => Self::Status4xx,
            Outcome::Status(500..=599) => Self::Status5xx,
            Outcome::Status(_) => Self::Http,
            Outcome::Error { class, detail: _ } => match class {
                ErrorClass::BlockedAddress => Self::BlockedAddress,
                ErrorClass::Dns => Self::Dns,
                ErrorClass::Connect => Self::Connect,
                ErrorClass::Tls => Self::Tls,
                ErrorClass::Timeout => Self::Timeout,
                ErrorClass::Http => Self::Http,
            },
        }
    }
}

/// A state of a delivery without what belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateKind {
    Pending,
    Retrying,
    Succeeded,
    Exhausted,
    Canceled,
    Expired,
}

impl StateKind {
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Retrying, Self::Succeeded, Self::Exhausted, Self::Canceled, Self::Expired];
}

impl From<State> for StateKind {
    fn from(state: State) -> Self {
        match state {
            State::Pending { .. } => Self::Pending,
            State::Retrying { .. } => Self::Retrying,
            State::Succeeded => Self::Succeeded,
            State::Exhausted { .. } => Self::Exhausted,
            State::Canceled { .. } => Self::Canceled,
            State::Expired { .. } => Self::Expired,
        }
    }
}

/// A number for each attempt kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttemptCounts([u64; AttemptKind::ALL.len()]);

impl AttemptCounts {
    pub fn succeeded(&self) -> u64 {
        self[AttemptKind::Success]
    }

    pub fn failed(&self) -> u64 {
        AttemptKind::ALL.iter().filter(|kind| **kind != AttemptKind::Success).map(|kind| self[*kind]).sum()
    }
}

/// How many deliveries are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateCounts([u64; StateKind::ALL.len()]);

macro_rules! counts {
    ($($counts:ident by $kind:ident;)*) => {$(
        impl Index<$kind> for $counts {
            type Output = u64;

            fn index(&self, kind: $kind) -> &u64 {
                &self.0[kind as usize]
            }
        }

        impl IndexMut<$kind> for $counts {
            fn index_mut(&mut self, kind: $kind) -> &mut u64 {
                &mut self.0[kind as usize]
            }
        }
    )*};
}

counts! {
    AttemptCounts by AttemptKind;
    StateCounts by StateKind;
}

/// What happened in a span of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    pub attempts: AttemptCounts,
    pub deliveries_created: u64,
    pub deliveries_succeeded: u64,
    /// One that a person tried again afterwards counts here too.
    pub deliveries_exhausted: u64,
    pub deliveries_canceled: u64,
    pub deliveries_expired: u64,
    /// Not known by subscription.
    pub events_published: u64,
    /// Of the attempts that were answered, whatever the answer said.
    pub latencies: Latencies,
}

impl AddAssign<&Figures> for Figures {
    fn add_assign(&mut self, other: &Figures) {
        let Figures {
            attempts,
            deliveries_created,
            deliveries_succeeded,
            deliveries_exhausted,
            deliveries_canceled,
            deliveries_expired,
            events_published,
            latencies,
        } = other;
        for kind in AttemptKind::ALL {
            self.attempts[kind] += attempts[kind];
        }
        self.deliveries_created += deliveries_created;
        self.deliveries_succeeded += deliveries_succeeded;
        self.deliveries_exhausted += deliveries_exhausted;
        self.deliveries_canceled += deliveries_canceled;
        self.deliveries_expired += deliveries_expired;
        self.events_published += events_published;
        self.latencies.micros_total += latencies.micros_total;
        for (own, other) in self.latencies.counts.iter_mut().zip(&latencies.counts) {
            *own += other;
        }
    }
}

/// Durations below this share one bucket: 128 µs.
const LOWEST_BITS: u32 = 7;
/// The last doubling: from here on, 2^26 µs (67 s), all are in one row of buckets. No attempt takes longer than 30 s.
const HIGHEST_BITS: u32 = 26;
/// Buckets of equal width in each doubling: 2^3.
const STEPS_BITS: u32 = 3;
const STEPS: u64 = 1 << STEPS_BITS;

/// How many buckets a histogram has.
pub const LATENCY_BUCKETS: usize = 1 + ((HIGHEST_BITS - LOWEST_BITS + 1) << STEPS_BITS) as usize;

/// How far an estimate lies from a duration that was really measured, at most, as a part of it: the middle of a bucket
/// whose width is an eighth of its beginning. (Below 128 µs: at most 64 µs.)
pub const LATENCY_ERROR_MAX: f64 = 1.0 / 16.0;

/// How long attempts took: a histogram whose buckets grow with the duration, eight for each doubling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latencies {
    pub micros_total: u64,
    pub counts: [u64; LATENCY_BUCKETS],
}

impl Default for Latencies {
    fn default() -> Self {
        Self { micros_total: 0, counts: [0; LATENCY_BUCKETS] }
    }
}

impl Latencies {
    /// Which bucket a duration belongs to.
    pub fn bucket_of(micros: u64) -> usize {
        let Some(bits) = micros.checked_ilog2().filter(|bits| *bits >= LOWEST_BITS) else { return 0 };
        if bits > HIGHEST_BITS {
            return LATENCY_BUCKETS - 1;
        }
        let step = (micros >> (bits - STEPS_BITS)) & (STEPS - 1);
        1 + (u64::from(bits - LOWEST_BITS) * STEPS + step) as usize
    }

    fn middle_of(bucket: usize) -> Duration {
        let Some(place) = bucket.checked_sub(1) else { return Duration::from_micros(1 << (LOWEST_BITS - 1)) };
        let (bits, step) = (LOWEST_BITS + (place as u64 / STEPS) as u32, place as u64 % STEPS);
        let width = 1 << (bits - STEPS_BITS);
        Duration::from_micros((STEPS + step) * width + width / 2)
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn mean(&self) -> Option<Duration> {
        self.micros_total.checked_div(self.count()).map(Duration::from_micros)
    }

    /// The duration that so many percent did not exceed (the nearest rank), within [`LATENCY_ERROR_MAX`]; none of none.
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let rank = u128::from(self.count()) * u128::from(percent);
        let rank = rank.div_ceil(100).max(1) as u64;
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        bucket.map(Self::middle_of)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_point_begins_at_a_whole_minute_hour_or_day() {
        let at: Timestamp = "2026-02-18T12:34:56.789Z".parse().unwrap();
        for (resolution, start) in [
            (Resolution::Minute, "2026-02-18T12:34:00.000Z"),
            (Resolution::Hour, "2026-02-18T12:00:00.000Z"),
            (Resolution::Day, "2026-02-18T00:00:00.000Z"),
        ] {
            assert_eq!(resolution.start_of(at).to_string(), start);
            assert_eq!(resolution.start_of(resolution.start_of(at)).to_string(), start);
        }
        let before_1970: Timestamp = "1969-12-31T23:59:30Z".parse().unwrap();
        assert_eq!(Resolution::Hour.start_of(before_1970).to_string(), "1969-12-31T23:00:00.000Z");
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        let mut last = 0;
        for micros in 0..1 << 18 {
            let bucket = Latencies::bucket_of(micros);
            assert!(bucket == last || bucket == last + 1, "{micros} µs jumps from {last} to {bucket}");
            last = bucket;
        }
        assert_eq!(Latencies::bucket_of(u64::MAX), LATENCY_BUCKETS - 1);
        assert_eq!(Latencies::bucket_of((1 << 27) - 1), LATENCY_BUCKETS - 1);
    }

    #[test]
    fn nothing_has_no_latency() {
        assert_eq!(Latencies::default().percentile(50), None);
        assert_eq!(Latencies::default().mean(), None);
    }

    proptest! {
        #[test]
        fn a_percentile_is_as_near_to_a_measured_duration_as_is_promised(
            mut durations in proptest::collection::vec(128_u64..60_000_000, 1..200),
            percent in 1_u64..=100,
        ) {
            let mut latencies = Latencies::default();
            for micros in &durations {
                latencies.counts[Latencies::bucket_of(*micros)] += 1;
            }
            durations.sort_unstable();
            let rank = (durations.len() as u64 * percent).div_ceil(100).max(1);
            let truth = durations[rank as usize - 1] as f64;
            let estimate = latencies.percentile(percent).unwrap().as_micros() as f64;
            prop_assert!((estimate - truth).abs() <= truth * LATENCY_ERROR_MAX, "{estimate} instead of {truth}");
        }
    }
}
