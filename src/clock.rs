//! The clock: the system's, or one that a test moves by hand; and who notices that it was set.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use crate::domain::time::Timestamp;

/// Where "now" comes from. Cheap to clone; clones of a manual clock move together.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    #[default]
    System,
    Manual(ManualClock),
}

/// A clock that stands still until it is moved.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                Timestamp::from_millis(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
            }
            Self::Manual(clock) => clock.now(),
        }
    }
}

impl ManualClock {
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(now.as_millis())))
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Acquire))
    }

    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Ordering::Release);
    }
}

/// The clock moved by so much more or less than time passed between two looks: it was set, or the machine slept.
/// Corrections that a time service spreads out stay far below.
const JUMP_MIN: Duration = Duration::from_secs(1);

/// Compares the clock with one that cannot be set. It notices what happened between two looks at it.
#[derive(Debug)]
pub struct ClockWatch(Mutex<Looks>);

#[derive(Debug)]
struct Looks {
    begun: (Timestamp, Instant),
    last: (Timestamp, Instant),
    jump: Option<Jump>,
}

/// A jump of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jump {
    /// When it was noticed, by the clock as it was then.
    pub at: Timestamp,
    /// Below 0 when it was set back.
    pub by_millis: i64,
}

/// How the clock has fared since the watch began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockState {
    /// The last one.
    pub jump: Option<Jump>,
    /// How far it has moved beyond the time that passed, jumps included; below 0 when it fell behind.
    pub drift_millis: i64,
}

impl ClockWatch {
    pub fn begin(now: Timestamp, steady: Instant) -> Self {
        let begun = (now, steady);
        Self(Mutex::new(Looks { begun, last: begun, jump: None }))
    }

    /// `steady` is read just before `now`. Answers a jump since the look before this one.
    pub fn look(&self, now: Timestamp, steady: Instant) -> Option<Jump> {
        let mut looks = self.0.lock().expect("nothing panics while it holds the lock");
        // Two who look at once may come here in the wrong order.
        if steady <= looks.last.1 {
            return None;
        }
        let by_millis = beyond(looks.last, (now, steady));
        looks.last = (now, steady);
        let jump = (by_millis.unsigned_abs() >= JUMP_MIN.as_millis() as u64).then_some(Jump { at: now, by_millis });
        looks.jump = jump.or(looks.jump);
        jump
    }

    /// As of the last look.
    pub fn state(&self) -> ClockState {
        let looks = self.0.lock().expect("nothing panics while it holds the lock");
        ClockState { jump: looks.jump, drift_millis: beyond(looks.begun, looks.last) }
    }
}

/// How much further the clock moved than time, in milliseconds.
fn beyond(from: (Timestamp, Instant), to: (Timestamp, Instant)) -> i64 {
    let passed = i64::try_from(to.1.duration_since(from.1).as_millis()).unwrap_or(i64::MAX);
    to.0.as_millis().saturating_sub(from.0.as_millis()).saturating_sub(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_told_from_one_that_is_corrected_bit_by_bit() {
        let (noon, steady) = (Timestamp::from_millis(1_771_416_000_000), Instant::now());
        let watch = ClockWatch::begin(noon, steady);
        let mut seen = Vec::new();
        // Seconds that passed, and what the clock says then, in milliseconds after noon.
        for (passed, clock) in [(60, 60_030), (120, 120_060), (180, 7_380_060), (240, 7_440_060), (241, 41_060)] {
            let now = noon.plus(Duration::from_millis(clock));
            let jump = watch.look(now, steady + Duration::from_secs(passed));
            seen.push(jump.map(|Jump { at, by_millis }| (at == now, by_millis)));
        }
        assert_eq!(seen, [None, None, Some((true, 7_200_000)), None, Some((true, -7_400_000))]);
        let at = noon.plus(Duration::from_millis(41_060));
        let jump = Some(Jump { at, by_millis: -7_400_000 });
        assert_eq!(watch.state(), ClockState { jump, drift_millis: -199_940 });
    }
}
