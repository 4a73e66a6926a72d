//! Marea's quotas: calls of a key by the minute and by the day, counted before anything else is done.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use poem::http::{HeaderMap, HeaderName};

use crate::domain::id::KeyId;
use crate::domain::key::{ApiKey, KeyKind, Quota};
use crate::domain::time::Timestamp;
use crate::http::limit::{Allowance, whole_seconds};
use crate::http::problem::{Ground, Refusal};
use crate::http::visit::Visit;
use crate::store::Catalogue;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

const CALLS_PER_MINUTE: u32 = 60;

fn calls_per_day(kind: KeyKind) -> Option<u32> {
    match kind {
        KeyKind::MareaDeveloper => Some(50),
        KeyKind::MareaUser => Some(10_000),
        KeyKind::Native | KeyKind::Agentmessage => None,
    }
}

/// Both windows are fixed. GUESS: the day is that of UTC, and a call that is refused for one window is counted in neither.
const MINUTE_MILLIS: i64 = 60 * 1000;
const DAY_MILLIS: i64 = 24 * 60 * MINUTE_MILLIS;

/// Entries above the number of keys that are tolerated before the ones of revoked keys are looked for.
const STALE_ENTRIES_MAX: usize = 64;

/// What was called so far. Entries of keys that are gone are dropped, so there are never many more than there are keys. A
/// restart forgets it, as it does the own API's quotas.
#[derive(Default)]
pub struct Windows(Mutex<HashMap<KeyId, Calls>>);

#[derive(Debug, Clone, Copy, Default)]
struct Calls {
    minute: Count,
    day: Count,
}

/// Calls within one window, which is known by its number since 1970.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    window: i64,
    calls: u32,
}

impl Count {
    fn at(self, window: i64) -> Self {
        if self.window == window { self } else { Self { window, calls: 0 } }
    }
}

struct Over {
    bucket: &'static str,
    wait: Duration,
}

impl Windows {
    /// Counts a call, or says which window is used up. The allowance is the minute's.
    fn charge(&self, key: KeyId, per_day: u32, now: Timestamp, catalogue: &Catalogue) -> (Allowance, Result<(), Over>) {
        let millis = now.as_millis();
        let left = |size: i64| Duration::from_millis((size - millis.rem_euclid(size)).unsigned_abs());
        let mut all = self.0.lock().expect("no holder of it panics");
        if !all.contains_key(&key) && all.len() >= catalogue.keys().count() + STALE_ENTRIES_MAX {
            all.retain(|id, _| catalogue.key(*id).is_some());
        }
        let calls = all.entry(key).or_default();
        calls.minute = calls.minute.at(millis.div_euclid(MINUTE_MILLIS));
        calls.day = calls.day.at(millis.div_euclid(DAY_MILLIS));
        let over = if calls.day.calls >= per_day {
            Err(Over { bucket: "rpd_exceeded", wait: left(DAY_MILLIS) })
        } else if calls.minute.calls >= CALLS_PER_MINUTE {
            Err(Over { bucket: "rpm_exceeded", wait: left(MINUTE_MILLIS) })
        } else {
            calls.minute.calls += 1;
            calls.day.calls += 1;
            Ok(())
        };
        let remaining = CALLS_PER_MINUTE - calls.minute.calls;
        (Allowance { limit: CALLS_PER_MINUTE, remaining, reset: left(MINUTE_MILLIS) }, over)
    }
}

/// None: a native key, or one that has a quota of its own: that holds instead.
pub fn charge(visit: &Visit, catalogue: &Catalogue, key: &ApiKey) -> Option<Result<(), Refusal>> {
    let per_day = calls_per_day(key.kind)?;
    if key.rate_limits.management != Quota::InstanceDefault {
        return None;
    }
    let (allowance, charged) = visit.app.windows.charge(key.id, per_day, visit.came_at, catalogue);
    let _ = visit.allowance.set(allowance);
    Some(charged.map_err(|Over { bucket, wait }| {
        Refusal::new(Ground::RateWindowExceeded { bucket }).retry_after(whole_seconds(wait).max(1))
    }))
}

/// `X-RateLimit-*`; the moment of the reset is in seconds since 1970.
pub fn show_allowance(visit: &Visit, allowance: &Allowance, headers: &mut HeaderMap) {
    let Allowance { limit, remaining, reset } = *allowance;
    let reset_at = visit.came_at.plus(reset).as_millis();
    let reset_at_seconds = reset_at.div_euclid(1000) + i64::from(reset_at.rem_euclid(1000) > 0);
    headers.insert(LIMIT, limit.into());
    headers.insert(REMAINING, remaining.into());
    headers.insert(RESET, reset_at_seconds.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_forgets_keys_that_are_gone_and_never_grows_without_end() {
        let (windows, catalogue) = (Windows::default(), Catalogue::default());
        for id in 1..10_000 {
            let _ = windows.charge(KeyId::from_u128(id), 50, Timestamp::from_millis(0), &catalogue);
            assert!(windows.0.lock().unwrap().len() <= STALE_ENTRIES_MAX + 1);
        }
    }

    #[test]
    fn both_windows_are_fixed_and_begin_anew_on_their_own() {
        let (windows, catalogue) = (Windows::default(), Catalogue::default());
        let charge = |millis| windows.charge(KeyId::from_u128(1), 100, Timestamp::from_millis(millis), &catalogue);
        // The first second of the minute's second half: the window ends with the minute, not 60 s later.
        for expected in (0..60).rev() {
            let (allowance, charged) = charge(DAY_MILLIS + 31_000);
            assert!(charged.is_ok());
            assert_eq!((allowance.remaining, allowance.reset), (expected, Duration::from_secs(29)));
        }
        let over = charge(DAY_MILLIS + 59_999).1.unwrap_err();
        assert_eq!((over.bucket, over.wait), ("rpm_exceeded", Duration::from_millis(1)));
        for _ in 0..40 {
            assert!(charge(DAY_MILLIS + 60_000).1.is_ok());
        }
        let over = charge(DAY_MILLIS + 120_000).1.unwrap_err();
        assert_eq!((over.bucket, over.wait), ("rpd_exceeded", Duration::from_secs(24 * 3600 - 120)));
        assert!(charge(2 * DAY_MILLIS).1.is_ok());
    }
}
