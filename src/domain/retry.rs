//! When a failed delivery is tried again: pure functions of the schedule, the clock and a jitter.

use std::time::Duration;

use super::time::Timestamp;

/// The wait before each attempt, the first one included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    delays: &'static [Duration],
    /// The share of a delay by which it may be shorter or longer, in percent.
    jitter_percent: u32,
}

/// How long `Retry-After` may move one delivery, and the whole subscription (contract 5.4).
pub const RETRY_AFTER_DELIVERY_MAX: Duration = Duration::from_secs(24 * 60 * 60);
pub const RETRY_AFTER_SUBSCRIPTION_MAX: Duration = Duration::from_secs(60 * 60);

impl Schedule {
    pub const fn new(delays: &'static [Duration], jitter_percent: u32) -> Self {
        assert!(!delays.is_empty() && jitter_percent < 100);
        Self { delays, jitter_percent }
    }

    pub fn attempts_max(&self) -> u16 {
        self.delays.len() as u16
    }

    /// The wait before the attempt that follows `attempts_made`; none when that was the last one.
    ///
    /// `jitter` is drawn from 0.0..1.0: 0.5 means the delay itself.
    pub fn delay_after(&self, attempts_made: u16, jitter: f64) -> Option<Duration> {
        let delay = self.delays.get(usize::from(attempts_made))?;
        let share = f64::from(self.jitter_percent) / 100.0;
        Some(delay.mul_f64(1.0 + share * (2.0 * jitter - 1.0)))
    }
}

/// Reads a `Retry-After` value: whole seconds, or an HTTP date (RFC 9110 section 10.2.3). What lies in the past is zero.
pub fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a u64 holds is still "very long": the caller clamps.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let since_1970 = date.duration_since(std::time::SystemTime::UNIX_EPOCH).ok()?;
    let millis = i64::try_from(since_1970.as_millis()).ok()?;
    Some(Timestamp::from_millis(millis).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule::new(&[Duration::ZERO, Duration::from_secs(10), Duration::from_secs(100)], 10);

    #[test]
    fn a_delay_lies_within_its_jitter_and_the_schedule_ends() {
        for (made, jitter, expected) in [
            (0, 0.5, Some(0.0)),
            (1, 0.0, Some(9.0)),
            (1, 0.5, Some(10.0)),
            (1, 1.0, Some(11.0)),
            (2, 0.0, Some(90.0)),
            (3, 0.5, None),
            (u16::MAX, 0.5, None),
        ] {
            let delay = SCHEDULE.delay_after(made, jitter).map(|delay| (delay.as_secs_f64() * 1000.0).round() / 1000.0);
            assert_eq!(delay, expected, "after {made} attempts with jitter {jitter}");
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let now: Timestamp = "2026-02-18T12:00:00Z".parse().unwrap();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (value, expected) in [
            ("120", seconds(120)),
            (" 0 ", seconds(0)),
            ("99999999999999999999999", seconds(u64::MAX)),
            ("Wed, 18 Feb 2026 12:02:00 GMT", seconds(120)),
            ("Wed, 18 Feb 2026 11:00:00 GMT", seconds(0)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(parse_retry_after(value, now), expected, "{value:?}");
        }
    }
}
