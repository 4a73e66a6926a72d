//! Retention: payloads and attempts go first, all else later, counted from the last delivery's final state; never
//! anything of an event that is not through. A tenant may have days of its own.

use std::ops::Bound;
use std::time::Duration;

use super::commit::Transaction;
use super::deliveries;
use super::erase::{self, Removed};
use super::events;
use super::postings;
use super::schema::{DeliveriesBySubscription, Events, MetaName, Payloads, Subscriptions};
use super::stats;
use super::tables::Read;
use super::{Catalogue, Retention, StoreError};
use crate::domain::id::{EventId, SubscriptionId, TenantId};
use crate::domain::time::Timestamp;

/// Events and deliveries that one step looks at …
const ROWS_PER_STEP_MAX: usize = 128;
/// … and those of which it removes something: each costs 11 µs in the database alone, and whoever publishes waits for the step.
const REMOVED_PER_STEP_MAX: usize = 32;
/// Subscriptions that the end of a walk looks at.
const SUBSCRIPTIONS_PER_STEP_MAX: usize = 4096;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What may go of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ripe {
    Nothing,
    Payload,
    Everything,
}

/// One step of the walk over all events in the order of ids. Answers whether the walk goes on; when it does not, the
/// next step begins a new one.
pub(super) fn step(transaction: &mut Transaction<'_>) -> Result<bool, StoreError> {
    let has_expired_answers = transaction.forget_expired()?;
    transaction.index_now()?;
    let has_old_stats = stats::remove_old(&mut transaction.tables, transaction.now)?;
    let has_old_audit = transaction.forget_old_audit()?;
    let has_old_links = transaction.forget_old_portal_links()?;
    let of_instance = transaction.retention();
    let days_min = transaction.with_catalogue(Catalogue::own_days_min);
    let days_min = of_instance.payloads_days.min(of_instance.metadata_days).min(days_min.unwrap_or(u32::MAX));
    let lag = Duration::from_millis(u64::try_from(transaction.id_lag_max()).unwrap_or(0));
    // No event from here on can be old enough, of any tenant: its id lies no further than that after its creation.
    let end = transaction.now.minus(DAY * days_min).plus(lag);

    let cursor = transaction.retention_cursor();
    let rows = transaction.tables.scan::<Events>((Bound::Excluded(cursor), Bound::Unbounded))?;
    let rows = rows.take(ROWS_PER_STEP_MAX).collect::<Result<Vec<_>, _>>()?;
    let (mut budget, mut removals) = (ROWS_PER_STEP_MAX, REMOVED_PER_STEP_MAX);
    let mut removed = Removed::default();
    let mut reached = None;
    let mut is_at_end = rows.len() < ROWS_PER_STEP_MAX;
    for (id, event) in rows {
        if id.assigned_at() > end {
            is_at_end = true;
            break;
        }
        if budget == 0 || removals == 0 {
            is_at_end = false;
            break;
        }
        reached = Some(id);
        let own = transaction.with_catalogue(|catalogue| {
            catalogue.tenant(TenantId::from_bytes(event.tenant)).map(|entry| entry.tenant.retention)
        });
        // What a deleted tenant left goes by the instance's, if erasing does not come first.
        let Retention { payloads_days, metadata_days, audit_days: _ } = of_instance.of_tenant(own.unwrap_or_default());
        let payloads_before = transaction.now.minus(DAY * payloads_days);
        let metadata_before = transaction.now.minus(DAY * metadata_days);
        let mut last = Timestamp::from_millis(event.created_at);
        if last > payloads_before {
            // Too young for this tenant, whatever became of its deliveries.
            budget -= 1;
            continue;
        }
        let all = events::deliveries_of(&transaction.tables, id, event.deliveries)?;
        let mut is_through = true;
        let mut ids = Vec::with_capacity(all.len());
        for (delivery, record) in all {
            let delivery = deliveries::domain(record, delivery)?;
            is_through &= delivery.state.is_final();
            last = last.max(delivery.updated_at);
            ids.push(delivery.id);
        }
        let rows = ids.len().max(1);
        budget = budget.saturating_sub(rows);
        let ripe = match is_through {
            false => Ripe::Nothing,
            true if last <= metadata_before => Ripe::Everything,
            true if last <= payloads_before => Ripe::Payload,
            true => Ripe::Nothing,
        };
        match ripe {
            Ripe::Nothing => {}
            Ripe::Payload => {
                if transaction.tables.remove::<Payloads>(&id)? {
                    removals = removals.saturating_sub(rows);
                    ids.into_iter().try_for_each(|id| erase::remove_attempts(&mut transaction.tables, id))?;
                }
            }
            Ripe::Everything => {
                removals = removals.saturating_sub(rows);
                transaction.tables.raise_meta_id(MetaName::AssignedUpTo, id.as_u128())?;
                let mut of_event = ROWS_PER_STEP_MAX.max(ids.len());
                let event = (TenantId::from_bytes(event.tenant), id);
                erase::remove_event(&mut transaction.tables, event, &mut of_event, &mut removed)?;
            }
        }
    }
    removed.leave_postings(&mut transaction.tables)?;
    if is_at_end {
        remove_deleted_subscriptions(transaction)?;
        transaction.remove_old_jobs()?;
        transaction.remove_what_lets_nobody_in()?;
        transaction.set_retention_cursor(EventId::from_u128(0))?;
    } else if let Some(reached) = reached {
        transaction.set_retention_cursor(reached)?;
    }
    Ok(!is_at_end || has_expired_answers || has_old_stats || has_old_audit || has_old_links)
}

/// A deleted subscription stays while deliveries name it.
fn remove_deleted_subscriptions(transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
    let mut gone: Vec<SubscriptionId> = Vec::new();
    for row in transaction.tables.scan::<Subscriptions>(..)?.take(SUBSCRIPTIONS_PER_STEP_MAX) {
        let (id, record) = row?;
        if record.deleted_at.is_some() && postings::is_empty::<DeliveriesBySubscription>(&transaction.tables, id)? {
            gone.push(id);
        }
    }
    for id in gone {
        transaction.tables.remove::<Subscriptions>(&id)?;
        transaction.tables.raise_meta_id(MetaName::AssignedUpTo, id.as_u128())?;
    }
    Ok(())
}
