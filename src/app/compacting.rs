//! Space is given back once a day, at the hour that the settings say, when there is enough of it.

use std::time::Duration;

use tracing::{info, warn};

use crate::clock::Clock;
use crate::domain::setting::CompactionPlan;
use crate::domain::time::Timestamp;
use crate::store::{Pace, Store, StoreError};

/// How often it is seen whether the hour has come.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Less is not worth a copy of the rest.
const RECLAIMABLE_BYTES_MIN: u64 = 64 * 1024 * 1024;
const HOUR_MILLIS: i64 = 60 * 60 * 1000;
const DAY_HOURS: i64 = 24;

/// Until the runtime ends.
pub(super) async fn watch(store: Store, clock: Clock) {
    let mut days = Days::default();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let plan = store.catalogue().settings().compaction();
        if !days.is_due(plan, clock.now()) {
            continue;
        }
        let store = store.clone();
        match tokio::task::spawn_blocking(move || begin(&store, plan)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(%error, "whether there is space to give back cannot be seen"),
            Err(error) => warn!(%error, "the compaction of today did not begin"),
        }
    }
}

fn begin(store: &Store, plan: CompactionPlan) -> Result<(), StoreError> {
    let volume = store.volume()?;
    let (bytes, percent) = (volume.reclaimable_bytes(), volume.reclaimable_percent());
    if bytes < RECLAIMABLE_BYTES_MIN || percent < u64::from(plan.reclaimable_percent) {
        return Ok(());
    }
    info!(bytes, percent, "giving space of the store back");
    if let Err(error) = store.compact_in_background(Pace::BesideWork) {
        warn!(%error, "the compaction of today did not begin");
    }
    Ok(())
}

/// Which day had its turn.
#[derive(Debug, Default)]
struct Days {
    last: Option<i64>,
}

impl Days {
    /// Whether the hour of the plan has come, and its day had no turn yet; from then on it had. Hours are UTC.
    fn is_due(&mut self, plan: CompactionPlan, now: Timestamp) -> bool {
        let hours = now.as_millis().div_euclid(HOUR_MILLIS);
        let (day, hour) = (hours.div_euclid(DAY_HOURS), hours.rem_euclid(DAY_HOURS));
        let is_due = plan.hour.is_some_and(|planned| i64::from(planned) == hour) && self.last != Some(day);
        if is_due {
            self.last = Some(day);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_day_has_one_turn_in_the_hour_of_the_plan() {
        let mut days = Days::default();
        let plan = |hour| CompactionPlan { hour, ..CompactionPlan::default() };
        for (now, hour, expected) in [
            ("2026-02-18T02:59:59Z", Some(3), false),
            ("2026-02-18T03:00:00Z", None, false),
            ("2026-02-18T03:00:00Z", Some(3), true),
            ("2026-02-18T03:01:00Z", Some(3), false),
            ("2026-02-18T23:01:00Z", Some(23), false),
            ("2026-02-19T03:59:59Z", Some(3), true),
            ("2026-02-20T00:00:00Z", Some(0), true),
        ] {
            assert_eq!(days.is_due(plan(hour), now.parse().unwrap()), expected, "{now} {hour:?}");
        }
    }
}
