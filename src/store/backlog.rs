//! What waits for a paused or disabled subscription: so many deliveries and for so long, and not for ever.

use std::collections::HashMap;
use std::ops::Bound;
use std::time::Duration;

use super::commit::{Transaction, millis};
use super::deliveries::due_rows;
use super::schema::{Deliveries, DueRows, MetaName, Subscriptions};
use super::tables::Read;
use super::{Catalogue, Change, StoreError, deliveries};
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

/// Deliveries that may be on their way to a due row when a backlog is counted: more than a couple of seconds leave.
const UNSETTLED_ROWS_COUNTED_MAX: usize = 65_536;

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
    /// Whether one more delivery may wait for this subscription. For one that is active there is no limit; otherwise the
    /// delivery is counted, and the caller leaves it waiting.
    pub(super) fn backlog_takes_one(&mut self, id: SubscriptionId) -> Result<bool, StoreError> {
        let is_active = |catalogue: &Catalogue| catalogue.subscription(id).is_some_and(|it| it.is_active);
        if self.with_catalogue(is_active) {
            return Ok(true);
        }
        let known = self.backlog(id);
        let is_stale = |known: &Counted| {
            known.count >= BACKLOG_MAX
                && self.now.as_millis().abs_diff(known.at.as_millis()) >= millis(COUNT_AGAIN_AFTER)
        };
        let counted = match known.filter(|known| !is_stale(known)) {
            Some(counted) => counted,
            None => Counted { count: self.count_backlog(id)?, at: self.now },
        };
        let takes = counted.count < BACKLOG_MAX;
        self.put_backlog(id, Some(Counted { count: counted.count + u32::from(takes), ..counted }));
        Ok(takes)
    }

    /// Those with a due row, and those that are still on their way to one.
    fn count_backlog(&self, id: SubscriptionId) -> Result<u32, StoreError> {
        let rows = self.tables.scan::<DueRows>(due_rows(id, Timestamp::MAX))?.take(BACKLOG_MAX as usize);
        let parked = rows.map(|row| row.map(|_| 1)).sum::<Result<u32, _>>()?;
        let settled = DeliveryId::from_u128(self.tables.meta_id(MetaName::SettledUpTo)?);
        let unsettled = self.tables.scan::<Deliveries>((Bound::Excluded(settled), Bound::Unbounded))?;
        let mut fresh = 0;
        for row in unsettled.take(UNSETTLED_ROWS_COUNTED_MAX) {
            let (_, record) = row?;
            let waits = State::from(record.state).next_attempt_at().is_some() && !record.is_parked;
            fresh += u32::from(waits && record.subscription == id.to_bytes());
        }
        Ok(parked.saturating_add(fresh))
    }
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
            let old = transaction.tables.scan::<DueRows>(due_rows(id, too_old))?.take(budget);
            let old = old.map(|row| row.map(|((_, _, delivery), ())| delivery)).collect::<Result<Vec<_>, _>>()?;
            budget -= old.len();
            for delivery in &old {
                let state = State::Expired { reason: ExpiredReason::BacklogAge };
                deliveries::end(transaction, *delivery, state)?;
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
