//! What deletions leave to do: the backlog of a deleted subscription, everything of a deleted tenant.

use std::ops::Bound;

use super::StoreError;
use super::commit::Transaction;
use super::deliveries;
use super::events;
use super::jobs;
use super::postings;
use super::record::{DeliveryRecord, WorkRecord};
use super::schema::{
    Attempts, Deliveries, DeliveriesBySubscription, DeliveriesByTenant, DueRows, Events, EventsByTenant, ExternalIds,
    FailedRows, HealthOf, Kind, MetaName, OpenRows, Payloads, Redeliveries, Subscriptions, Work, WorkName,
};
use super::tables::{Read, Tables};
use crate::domain::delivery::State;
use crate::domain::id::{DeliveryId, EventId, SubscriptionId, TenantId};
use crate::domain::stats::Scope;
use crate::domain::time::Timestamp;

/// Deliveries (or configuration rows) that one step deals with: about a millisecond, for which whoever publishes waits.
pub(super) const ROWS_PER_STEP_MAX: usize = 64;

/// Stages of canceling: first what may be in no due row, then the due rows.
const CANCEL_FRESH: u8 = 0;
const CANCEL_DUE: u8 = 1;
/// Stages of erasing.
const ERASE_EVENTS: u8 = 0;
const ERASE_SUBSCRIPTIONS: u8 = 1;
const ERASE_JOBS: u8 = 2;

impl Transaction<'_> {
    /// Leaves the backlog of a subscription to the background.
    pub(super) fn cancel_later(&mut self, id: SubscriptionId) -> Result<(), StoreError> {
        let work = WorkRecord {
            stage: CANCEL_FRESH,
            cursor: self.tables.meta_id(MetaName::SettledUpTo)?.to_be_bytes(),
            until: self.next_id().to_be_bytes(),
        };
        self.tables.put::<Work>(&WorkName::Cancel(id), &work)?;
        self.set_has_work(true);
        Ok(())
    }

    /// Leaves everything of a tenant to the background.
    pub(super) fn erase_later(&mut self, id: TenantId) -> Result<(), StoreError> {
        let work = WorkRecord { stage: ERASE_EVENTS, cursor: [0; 16], until: [0xff; 16] };
        self.tables.put::<Work>(&WorkName::Erase(id), &work)?;
        self.set_has_work(true);
        Ok(())
    }
}

/// Cancels what waits for a deleted subscription, one step of it.
pub(super) fn cancel(
    transaction: &mut Transaction<'_>,
    id: SubscriptionId,
    record: WorkRecord,
) -> Result<Option<WorkRecord>, StoreError> {
    if record.stage == CANCEL_FRESH {
        let range = (
            Bound::Excluded(DeliveryId::from_bytes(record.cursor)),
            Bound::Included(DeliveryId::from_bytes(record.until)),
        );
        let rows = transaction.tables.scan::<Deliveries>(range)?.take(ROWS_PER_STEP_MAX);
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        for (delivery, row) in &rows {
            if row.subscription == id.to_bytes() {
                deliveries::end(transaction, *delivery, deliveries::DELETED)?;
            }
        }
        let next = match rows.last() {
            Some((last, _)) if rows.len() == ROWS_PER_STEP_MAX => WorkRecord { cursor: last.to_bytes(), ..record },
            Some(_) | None => WorkRecord { stage: CANCEL_DUE, ..record },
        };
        return Ok(Some(next));
    }
    let rows = transaction.tables.scan::<DueRows>(deliveries::due_rows(id, Timestamp::MAX))?.take(ROWS_PER_STEP_MAX);
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    for ((_, _, delivery), ()) in &rows {
        deliveries::end(transaction, *delivery, deliveries::DELETED)?;
    }
    Ok((rows.len() == ROWS_PER_STEP_MAX).then_some(record))
}

/// Removes all that a deleted tenant had, one step of it.
pub(super) fn erase(
    transaction: &mut Transaction<'_>,
    id: TenantId,
    record: WorkRecord,
) -> Result<Option<WorkRecord>, StoreError> {
    if record.stage == ERASE_EVENTS {
        let mut budget = ROWS_PER_STEP_MAX;
        let ids =
            postings::walk::<EventsByTenant>(&transaction.tables, id, (0, u128::MAX), postings::Direction::OlderFirst)?;
        let ids = ids.take(ROWS_PER_STEP_MAX).collect::<Result<Vec<_>, _>>()?;
        let Some(last) = ids.last().copied() else {
            return Ok(Some(WorkRecord { stage: ERASE_SUBSCRIPTIONS, cursor: [0; 16], ..record }));
        };
        transaction.tables.raise_meta_id(MetaName::AssignedUpTo, last)?;
        let mut removed = Removed::default();
        for event in ids {
            if budget == 0 {
                break;
            }
            let event = (id, EventId::from_u128(event));
            remove_event(&mut transaction.tables, event, &mut budget, &mut removed)?;
        }
        removed.leave_postings(&mut transaction.tables)?;
        return Ok(Some(record));
    }
    if record.stage == ERASE_JOBS {
        return Ok(jobs::erase_one(transaction, id)?.then_some(record));
    }
    let from = Bound::Excluded(SubscriptionId::from_bytes(record.cursor));
    let rows = transaction.tables.scan::<Subscriptions>((from, Bound::Unbounded))?;
    let rows = rows.take(ROWS_PER_STEP_MAX).collect::<Result<Vec<_>, _>>()?;
    for (subscription, row) in &rows {
        if row.tenant == id.to_bytes() {
            transaction.tables.remove::<Subscriptions>(subscription)?;
            transaction.tables.remove::<Work>(&WorkName::Cancel(*subscription))?;
            if transaction.tables.has::<HealthOf>(subscription)? {
                transaction.remove_health(*subscription)?;
            }
            transaction.forget_secrets(super::schema::Holder::Subscription(*subscription))?;
            transaction.erase_stats_later(Scope::Subscription(*subscription))?;
        }
    }
    Ok(match rows.last() {
        Some((last, _)) if rows.len() == ROWS_PER_STEP_MAX => Some(WorkRecord { cursor: last.to_bytes(), ..record }),
        Some(_) | None => {
            transaction.erase_stats_later(Scope::Tenant(id))?;
            Some(WorkRecord { stage: ERASE_JOBS, cursor: [0; 16], ..record })
        }
    })
}

/// Ids that are gone, and are still in their postings.
#[derive(Default)]
pub(super) struct Removed {
    events: Vec<(TenantId, u128)>,
    by_tenant: Vec<(TenantId, u128)>,
    by_subscription: Vec<(SubscriptionId, u128)>,
}

impl Removed {
    /// Takes them out of their postings, each row rewritten once.
    pub(super) fn leave_postings(self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        fn each<K: postings::Postings>(
            tables: &mut Tables<'_>,
            mut all: Vec<(K::Owner, u128)>,
        ) -> Result<(), StoreError> {
            all.sort_unstable();
            for of_owner in all.chunk_by(|left, right| left.0 == right.0) {
                let ids: Vec<_> = of_owner.iter().map(|(_, id)| *id).collect();
                postings::remove::<K>(tables, of_owner[0].0, &ids)?;
            }
            Ok(())
        }
        each::<EventsByTenant>(tables, self.events)?;
        each::<DeliveriesByTenant>(tables, self.by_tenant)?;
        each::<DeliveriesBySubscription>(tables, self.by_subscription)
    }
}

/// Removes an event with all its deliveries; when `budget` ends before that, some of the deliveries only.
pub(super) fn remove_event(
    tables: &mut Tables<'_>,
    (tenant, id): (TenantId, EventId),
    budget: &mut usize,
    removed: &mut Removed,
) -> Result<(), StoreError> {
    let Some(mut event) = tables.get::<Events>(&id)? else {
        // A damaged file: the walk that led here must still come to an end.
        removed.events.push((tenant, id.as_u128()));
        *budget = budget.saturating_sub(1);
        return Ok(());
    };
    let limit = event.deliveries.min(u32::try_from(*budget).unwrap_or(u32::MAX));
    let rows = events::deliveries_of(tables, id, limit)?;
    let left = event.deliveries.saturating_sub(u32::try_from(rows.len()).unwrap_or(u32::MAX));
    *budget = budget.saturating_sub(rows.len().max(1));
    for (delivery, row) in rows {
        remove_delivery(tables, delivery, &row, removed)?;
    }
    if left > 0 && *budget == 0 {
        // The count goes with the rows, so that a check finds them equal after every step.
        event.deliveries = left;
        return tables.put::<Events>(&id, &event);
    }
    tables.remove::<Events>(&id)?;
    tables.remove::<Payloads>(&id)?;
    if let Some(external_id) = event.external_id.as_ref().and_then(|text| text.parse().ok()) {
        tables.remove::<ExternalIds>(&(tenant, external_id))?;
    }
    removed.events.push((tenant, id.as_u128()));
    Ok(())
}

fn remove_delivery(
    tables: &mut Tables<'_>,
    id: DeliveryId,
    row: &DeliveryRecord,
    removed: &mut Removed,
) -> Result<(), StoreError> {
    let (tenant, subscription) = (TenantId::from_bytes(row.tenant), SubscriptionId::from_bytes(row.subscription));
    remove_attempts(tables, id)?;
    let state = State::from(row.state);
    if row.is_parked {
        if let Some(at) = state.next_attempt_at() {
            tables.remove::<DueRows>(&(subscription, at, id))?;
        }
        tables.remove::<OpenRows>(&(tenant, id))?;
    }
    if deliveries::is_failure(state) {
        tables.remove::<FailedRows>(&(tenant, id))?;
    }
    let redelivery = (EventId::from_bytes(row.event), id);
    if tables.has::<Redeliveries>(&redelivery)? {
        tables.remove::<Redeliveries>(&redelivery)?;
    }
    tables.remove::<Deliveries>(&id)?;
    tables.observed.moved((tenant, subscription), id.assigned_at(), Some(state.into()), None);
    removed.by_tenant.push((tenant, id.as_u128()));
    removed.by_subscription.push((subscription, id.as_u128()));
    Ok(())
}

pub(super) fn remove_attempts(tables: &mut Tables<'_>, delivery: DeliveryId) -> Result<(), StoreError> {
    remove_range::<Attempts>(tables, (delivery, 0)..=(delivery, u16::MAX))
}

fn remove_range<K: Kind>(tables: &mut Tables<'_>, range: std::ops::RangeInclusive<K::Key>) -> Result<(), StoreError> {
    let keys = tables.scan::<K>(range)?.map(|row| row.map(|(key, _)| key)).collect::<Result<Vec<_>, _>>()?;
    keys.iter().try_for_each(|key| tables.remove::<K>(key).map(|_| ()))
}
