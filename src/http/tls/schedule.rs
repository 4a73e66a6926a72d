//! When a certificate is ordered: early enough before the one before ends, and after a failure never in a hurry.

use std::time::Duration;

use crate::domain::time::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The waits after one failure, two, and so on; the last one for all further. Let's Encrypt allows five failed
/// validations an hour for each name; this makes three in the first hour and then fewer.
const AFTER_FAILURES: [Duration; 7] = [
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    HOUR,
    Duration::from_secs(3 * 60 * 60),
    Duration::from_secs(6 * 60 * 60),
    Duration::from_secs(12 * 60 * 60),
    Duration::from_secs(24 * 60 * 60),
];
/// When the authority says that we ask too often.
const AFTER_RATE_LIMIT: Duration = Duration::from_secs(3 * 60 * 60);
/// Between two orders for a name, also when its certificates are hardly good for longer.
const ORDERS_APART: Duration = MINUTE;
/// A wait is longer by up to this part of it, so that not everybody asks at the same moment.
const WAIT_SPREAD: f64 = 0.2;
/// A renewal is earlier by up to this part of the lifetime: three days of ninety.
const RENEWAL_SPREAD: f64 = 1.0 / 30.0;

/// When a certificate is to be renewed: when a third of its life is left, or a little earlier. `chance` is from 0 to 1.
pub fn renewal_at(not_before: Timestamp, not_after: Timestamp, chance: f64) -> Timestamp {
    let lifetime = not_after.since(not_before);
    not_after.minus(lifetime / 3).minus(lifetime.mul_f64(RENEWAL_SPREAD * chance.clamp(0.0, 1.0)))
}

/// When to order again after so many failures in a row (at least one). `chance` is from 0 to 1.
pub fn retry_at(now: Timestamp, failures: u32, is_rate_limited: bool, chance: f64) -> Timestamp {
    let failures = usize::try_from(failures).unwrap_or(usize::MAX);
    let wait = AFTER_FAILURES[failures.clamp(1, AFTER_FAILURES.len()) - 1];
    let wait = if is_rate_limited { wait.max(AFTER_RATE_LIMIT) } else { wait };
    now.plus(wait).plus(wait.mul_f64(WAIT_SPREAD * chance.clamp(0.0, 1.0)))
}

/// When a certificate that just came may be replaced at the earliest.
pub fn next_order_after(success: Timestamp, renewal: Timestamp) -> Timestamp {
    renewal.max(success.plus(ORDERS_APART))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn a_certificate_of_90_days_is_renewed_30_to_33_days_before_its_end() {
        let begin = Timestamp::from_millis(1_000_000);
        let end = begin.plus(90 * DAY);
        assert_eq!(renewal_at(begin, end, 0.0), begin.plus(60 * DAY));
        assert_eq!(renewal_at(begin, end, 1.0), begin.plus(57 * DAY));
        // Nonsense does no harm.
        assert_eq!(renewal_at(end, begin, 0.5), begin);
    }

    #[test]
    fn failures_make_the_waits_longer_up_to_a_day() {
        let now = Timestamp::from_millis(0);
        let wait = |failures, limited, chance| retry_at(now, failures, limited, chance).since(now);
        let minutes: Vec<u64> = (1..=9).map(|failures| wait(failures, false, 0.0).as_secs() / 60).collect();
        assert_eq!(minutes, [5, 15, 60, 180, 360, 720, 1440, 1440, 1440]);
        assert_eq!(wait(1, false, 1.0), 6 * MINUTE);
        assert_eq!(wait(1, true, 0.0), 3 * HOUR);
        assert_eq!(wait(7, true, 0.0), DAY);
        assert_eq!(wait(0, false, 0.0), 5 * MINUTE);
    }

    #[test]
    fn the_authority_is_asked_at_most_five_times_in_an_hour_for_a_name_that_always_fails() {
        let mut asked = vec![Timestamp::from_millis(0)];
        for failures in 1..20 {
            asked.push(retry_at(*asked.last().unwrap(), failures, false, 0.0));
        }
        for from in &asked {
            let within = asked.iter().filter(|at| *at >= from && at.since(*from) < HOUR).count();
            assert!(within <= 5, "{within} from {from}");
        }
    }

    #[test]
    fn certificates_that_hardly_live_are_not_ordered_in_a_loop() {
        let now = Timestamp::from_millis(0);
        assert_eq!(next_order_after(now, now), now.plus(ORDERS_APART));
        assert_eq!(next_order_after(now, now.plus(DAY)), now.plus(DAY));
    }
}
