//! How fast one subscription is sent to: a limit in deliveries per time, evenly spaced.

use crate::domain::time::Timestamp;

/// The generic cell rate algorithm (ITU-T I.371, annex A), in microseconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rate {
    /// When the next one would be due if all came evenly.
    due_micros: i64,
    /// What was sent in the second that began then, and in the one before.
    second: i64,
    sent_now: u32,
    sent_before: u32,
}

/// A wake-up comes on a whole millisecond, and a busy machine makes it later: so much is made up for at once.
const SLACK_MICROS: i64 = 10_000;

impl Rate {
    /// When the next one may go under a limit of `pace` deliveries per 1,000 seconds; at or before `now` when it may.
    pub fn next_at(&self, pace: Option<u32>, now: Timestamp) -> Timestamp {
        let Some(pace) = pace else { return now };
        let interval = interval_micros(pace);
        let slack = if interval >= SLACK_MICROS { 0 } else { SLACK_MICROS - interval };
        let next = (self.due_micros - slack).min(latest_micros(interval, now));
        Timestamp::from_millis(next.div_euclid(1000) + i64::from(next.rem_euclid(1000) > 0))
    }

    pub fn sent(&mut self, pace: Option<u32>, now: Timestamp) {
        let second = now.as_seconds();
        if second != self.second {
            self.sent_before = if second == self.second + 1 { self.sent_now } else { 0 };
            self.sent_now = 0;
            self.second = second;
        }
        self.sent_now = self.sent_now.saturating_add(1);
        if let Some(pace) = pace {
            let interval = interval_micros(pace);
            self.due_micros = self.due_micros.min(latest_micros(interval, now)).max(micros(now)) + interval;
        }
    }

    /// The next one is due at a time of the clock as it was: that must not hold things up until it is that time again.
    pub fn clock_was_set_back(&mut self, now: Timestamp) {
        self.due_micros = self.due_micros.min(micros(now));
    }

    /// What was sent of late, in deliveries per 1,000 seconds.
    pub fn recent_pace(&self) -> u32 {
        self.sent_now.max(self.sent_before).saturating_mul(1000)
    }

    /// Whether forgetting it would let anything go too early.
    pub fn is_spent(&self, now: Timestamp) -> bool {
        self.due_micros <= micros(now)
    }
}

fn micros(at: Timestamp) -> i64 {
    at.as_millis() * 1000
}

fn interval_micros(pace: u32) -> i64 {
    1_000_000_000 / i64::from(pace.max(1))
}

/// A limit that was raised must not hold things up for longer than one interval of the new one.
fn latest_micros(interval_micros: i64, now: Timestamp) -> i64 {
    micros(now) + interval_micros.max(SLACK_MICROS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of a full queue go in each of some seconds when it is looked at every millisecond.
    fn sent_in_seconds(pace: u32, seconds: i64) -> Vec<u32> {
        let mut rate = Rate::default();
        let start = 1_771_416_000_000;
        (0..seconds)
            .map(|second| {
                let mut sent = 0;
                for millis in 0..1000 {
                    let now = Timestamp::from_millis(start + second * 1000 + millis);
                    while rate.next_at(Some(pace), now) <= now {
                        rate.sent(Some(pace), now);
                        sent += 1;
                    }
                }
                sent
            })
            .collect()
    }

    #[test]
    fn what_goes_in_a_second_is_the_limit() {
        for (pace, expected) in [(1_000, [1, 1, 1]), (5_000, [5, 5, 5]), (200_000, [201, 200, 200])] {
            assert_eq!(sent_in_seconds(pace, 3), expected, "{pace} per 1,000 seconds");
        }
        let fast = sent_in_seconds(10_000_000, 3);
        assert!(fast.iter().all(|sent| (9_900..=10_100).contains(sent)), "{fast:?}");
    }

    #[test]
    fn one_in_five_seconds_is_possible_and_a_clock_that_is_set_back_does_not_stop_it() {
        assert_eq!(sent_in_seconds(200, 11), [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
        let mut rate = Rate::default();
        let now = Timestamp::from_millis(1_771_416_000_000);
        rate.sent(Some(1000), now);
        let earlier = Timestamp::from_millis(1_771_410_000_000);
        rate.clock_was_set_back(earlier);
        assert_eq!(rate.next_at(Some(1000), earlier), earlier);
        rate.sent(Some(1000), earlier);
        assert_eq!(rate.next_at(Some(1000), earlier).since(earlier).as_millis(), 1000);
        assert_eq!(rate.next_at(None, earlier), earlier, "no limit");
    }
}
