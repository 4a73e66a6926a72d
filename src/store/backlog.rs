//! What waits for a paused or disabled subscription: so many deliveries and for so long, and not for ever.

use std::collections::HashMap;
use std::ops::Bound;
use std::time::Duration;

use super::commit::Transaction;
use super::schema::{DueRows, Subscriptions};
use super::tables::Read;
use super::{Change, StoreError, deliveries};
use crate::domain::delivery::{ExpiredReason, State};
use crate::domain::id::{DeliveryId, SubscriptionId};
use crate::domain::time::Timestamp;

/// Deliveries that wait for one subscription that is not active (contract 4.1). What comes beyond is expired at once.
pub const BACKLOG_MAX: u32 = 100_000;
/// … and for how long after they became due (contract 4.1).
pub const BACKLOG_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Deliveries that one step of the pass over old backlogs expires …
const ROWS_PER_STEP_MAX: usize = 512;
/// … and subscriptions that it looks at.
const SUBSCRIPTIONS_PER_STEP_MAX: usize = 1024;
/// A full backlog is counted again after this, since some of it may have been canceled.
const COUNT_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// How many deliveries wait for each subscription that is not active and got events since it is not.
#[derive(Debug, Default)]
pub(super) struct Backlogs(HashMap<SubscriptionId, Counted>);

#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    count: u32,
    at: Timestamp,
}

impl Backlogs {
    /// None forgets what was counted.
    pub(super) fn apply(&mut self, moved: HashMap<SubscriptionId, Option<Counted>>) {
        for (id, counted) in moved {
            match counted {
                Some(counted) => self.0.insert(id, counted),
                None => self.0.remove(&id),
            };
        }
    }

    pub(super) fn get(&self, id: SubscriptionId) -> Option<Counted> {
        self.0.get(&id).copied()
    }
}

impl Transaction<'_> {
    /// Whether one more delivery may wait for a subscription that is not active; it is counted then.
    pub(super) fn backlog_takes_one(&mut self, id: SubscriptionId) -> Result<bool, StoreError> {
        let known = self.backlog(id);
        let is_stale = |known: &Counted| {
            known.count >= BACKLOG_MAX && self.now.as_millis().abs_diff(known.at.as_millis()) >= millis()
        };
        let counted = match known.filter(|known| !is_stale(known)) {
            Some(counted) => counted,
            None => {
                let rows = self.tables.scan::<DueRows>(all_of(id))?.take(BACKLOG_MAX as usize);
                let count = rows.map(|row| row.map(|_| 1)).sum::<Result<u32, _>>()?;
                Counted { count, at: self.now }
            }
        };
        let takes = counted.count < BACKLOG_MAX;
        self.put_backlog(id, Some(Counted { count: counted.count + u32::from(takes), ..counted }));
        Ok(takes)
    }
}

fn millis() -> u64 {
    u64::try_from(COUNT_AGAIN_AFTER.as_millis()).unwrap_or(u64::MAX)
}

fn all_of(id: SubscriptionId) -> std::ops::RangeInclusive<(SubscriptionId, Timestamp, DeliveryId)> {
    until(id, Timestamp::MAX)
}

fn until(id: SubscriptionId, at: Timestamp) -> std::ops::RangeInclusive<(SubscriptionId, Timestamp, DeliveryId)> {
    (id, Timestamp::MIN, DeliveryId::from_u128(0))..=(id, at, DeliveryId::from_u128(u128::MAX))
}

/// One step of the pass over what has waited for too long. Answers whether it goes on; else the next step begins anew.
pub(super) fn step(transaction: &mut Transaction<'_>) -> Result<bool, StoreError> {
    let from = Bound::Excluded(transaction.backlog_cursor());
    let rows = transaction.tables.scan::<Subscriptions>((from, Bound::Unbounded))?.take(SUBSCRIPTIONS_PER_STEP_MAX);
    let ids = rows.map(|row| row.map(|(id, _)| id)).collect::<Result<Vec<_>, _>>()?;
    let is_at_end = ids.len() < SUBSCRIPTIONS_PER_STEP_MAX;
    let too_old = transaction.now.minus(BACKLOG_AGE_MAX);
    let mut budget = ROWS_PER_STEP_MAX;
    for id in ids {
        let is_inactive = transaction
            .with_catalogue(|catalogue| catalogue.subscription(id).is_some_and(|subscription| !subscription.is_active));
        if is_inactive {
            let old = transaction.tables.scan::<DueRows>(until(id, too_old))?.take(budget);
            let old = old.map(|row| row.map(|((_, _, delivery), ())| delivery)).collect::<Result<Vec<_>, _>>()?;
            budget -= old.len();
            for delivery in &old {
                let state = State::Expired { reason: ExpiredReason::BacklogAge };
                deliveries::end(&mut transaction.tables, *delivery, state, transaction.now)?;
                transaction.changed(Change::Canceled(id, *delivery));
            }
            if !old.is_empty() {
                transaction.put_backlog(id, None);
            }
        }
        if budget == 0 {
            return Ok(true);
        }
        transaction.set_backlog_cursor(id);
    }
    if is_at_end {
        transaction.set_backlog_cursor(SubscriptionId::from_u128(0));
    }
    Ok(!is_at_end)
}
