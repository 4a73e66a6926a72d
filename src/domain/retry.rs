//! When a failed delivery is tried again: pure functions of the schedule, the clock and a jitter.

use std::borrow::Cow;
use std::time::Duration;

use super::time::Timestamp;

/// The wait before each attempt, the first one included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    delays: Cow<'static, [Duration]>,
    /// The share of a delay by which it may be shorter or longer, in percent.
    jitter_percent: u32,
}

/// By how much every schedule varies (contract 5.5), in percent.
pub const JITTER_PERCENT: u32 = 10;
/// Retries in a subscription's own schedule (contract 4.1) …
pub const RETRIES_MAX: usize = 20;
/// … and the longest wait before one of them: 7 days.
pub const RETRY_WAIT_SECONDS_MAX: u32 = 604_800;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a schedule has 1 to {RETRIES_MAX} waits of 0 to {RETRY_WAIT_SECONDS_MAX} seconds")]
pub struct InvalidSchedule;

/// How long `Retry-After` may move one delivery, and the whole subscription (contract 5.4).
pub const RETRY_AFTER_DELIVERY_MAX: Duration = Duration::from_secs(24 * 60 * 60);
pub const RETRY_AFTER_SUBSCRIPTION_MAX: Duration = Duration::from_secs(60 * 60);

impl Schedule {
    pub const fn new(delays: &'static [Duration], jitter_percent: u32) -> Self {
        assert!(!delays.is_empty() && jitter_percent < 100);
        Self { delays: Cow::Borrowed(delays), jitter_percent }
    }

    /// A subscription's own: the first attempt goes at once, then a retry follows each of the `waits` (seconds), so n
    /// waits are n + 1 attempts.
    pub fn of_retries(waits: &[u32]) -> Result<Self, InvalidSchedule> {
        if waits.is_empty() || waits.len() > RETRIES_MAX || waits.iter().any(|wait| *wait > RETRY_WAIT_SECONDS_MAX) {
            return Err(InvalidSchedule);
        }
        let waits = waits.iter().map(|wait| Duration::from_secs(u64::from(*wait)));
        let delays = std::iter::once(Duration::ZERO).chain(waits).collect();
        Ok(Self { delays: Cow::Owned(delays), jitter_percent: JITTER_PERCENT })
    }

    /// The waits that [`Self::of_retries`] took, in seconds.
    pub fn retry_waits(&self) -> impl Iterator<Item = u32> {
        self.delays.iter().skip(1).map(|delay| u32::try_from(delay.as_secs()).unwrap_or(u32::MAX))
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
    fn an_own_schedule_is_the_list_of_waits_before_each_retry() {
        let schedule = Schedule::of_retries(&[0, 60, 604_800]).unwrap();
        assert_eq!(schedule.attempts_max(), 4);
        assert_eq!(schedule.retry_waits().collect::<Vec<_>>(), [0, 60, 604_800]);
        for (made, jitter, expected) in [
            (0, 0.0, Some(0)),
            (1, 1.0, Some(0)),
            (2, 0.0, Some(54)),
            (2, 0.5, Some(60)),
            (2, 1.0, Some(66)),
            (3, 0.5, Some(604_800)),
            (4, 0.5, None),
        ] {
            let delay = schedule.delay_after(made, jitter).map(|delay| delay.as_secs_f64().round() as u64);
            assert_eq!(delay, expected, "after {made} attempts with jitter {jitter}");
        }
    }

    #[test]
    fn a_schedule_without_a_retry_or_beyond_its_limits_is_none() {
        for waits in [&[] as &[u32], &[1; 21], &[604_801]] {
            assert_eq!(Schedule::of_retries(waits), Err(InvalidSchedule), "{waits:?}");
        }
        assert!(Schedule::of_retries(&[1; 20]).is_ok());
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
