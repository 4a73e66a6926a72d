//! One clock for all processes of a run: the machine's monotonic one, which `Instant` does not let out of a process.

use std::num::NonZeroU64;
use std::time::Duration;

use rustix::thread::{clock_nanosleep_absolute, set_current_timer_slack};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds since the machine started.
pub fn monotonic_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// Seconds since 1970, for signatures.
pub fn unix_seconds() -> u64 {
    clock_gettime(ClockId::Realtime).tv_sec.unsigned_abs()
}

/// Blocks the thread until [`monotonic_ns`] is at least `due_ns`.
pub fn sleep_until(due_ns: u64) {
    let due = Timespec::try_from(Duration::from_nanos(due_ns)).expect("a due time is a moment of this century");
    // A signal ends a sleep early.
    while monotonic_ns() < due_ns {
        let _ = clock_nanosleep_absolute(ClockId::Monotonic, &due);
    }
}

/// The kernel may wake a thread 50 µs late to save wake-ups; that would be in every latency.
pub fn wake_punctually() {
    let _ = set_current_timer_slack(NonZeroU64::new(1));
}

fn nanoseconds(at: Timespec) -> u64 {
    at.tv_sec.unsigned_abs() * 1_000_000_000 + at.tv_nsec.unsigned_abs()
}
