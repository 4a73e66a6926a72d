//! Accepting events: the event, who gets it, and the remembered answer, in one commit.

use std::sync::Arc;

use redb::ReadableTable;

use super::group::{Group, Unindexed, put};
use super::{Change, Fresh, Published, Remember, Store, StoreError, record, schema};
use crate::domain::delivery::{CanceledReason, Delivery, State};
use crate::domain::event::{Event, EventWithData, NewEvent};
use crate::domain::id::{DeliveryId, EventId};
use crate::domain::subscription::DisabledReason;

impl Store {
    /// Keeps the events, who gets them and the answer to the request, in one commit. In the order given; an event
    /// that cannot be taken does not stop the others.
    pub async fn accept(
        &self,
        events: Vec<NewEvent>,
        remember: Option<Remember<[Result<Published, StoreError>]>>,
    ) -> Result<Vec<Result<Published, StoreError>>, StoreError> {
        self.sentence(move |group| {
            if group.is_full {
                return Err(StoreError::StorageFull);
            }
            let mut results = Vec::with_capacity(events.len());
            let mut fresh = Vec::new();
            for event in events {
                match accept_one(group, event, &mut fresh) {
                    Err(failure @ StoreError::Unavailable(_)) => return Err(failure),
                    result => results.push(result),
                }
            }
            if !fresh.is_empty() {
                group.changes.push(Change::Accepted(fresh));
            }
            group.remember(remember, results.as_slice())?;
            Ok(results)
        })
        .await
    }
}

fn accept_one(group: &mut Group<'_, '_>, new: NewEvent, fresh: &mut Vec<Fresh>) -> Result<Published, StoreError> {
    let NewEvent { tenant, event_type, external_id, occurred_at, data } = new;
    if let Some(external_id) = &external_id {
        let key = schema::external_id(tenant.as_u128(), external_id.as_str());
        let known = group.tables.external_ids.get(key.as_slice())?.and_then(|row| schema::id(row.value()));
        if let Some(event) = known.map(EventId::from_u128).map(|id| group.event(id)).transpose()?.flatten() {
            let same_data = match group.tables.payloads.get(event.id.to_bytes().as_slice())? {
                Some(row) => row.value() == &data[..],
                // Retention removed the payload: its size is all that can be compared.
                None => event.data_bytes as usize == data.len(),
            };
            return if event.event_type == event_type && same_data {
                Ok(Published { event, is_duplicate: true })
            } else {
                Err(StoreError::ExternalIdConflict)
            };
        }
    }
    let id = EventId::from_u128(group.next_id());
    let now = group.now;
    group.ahead_max = group.ahead_max.max(id.assigned_at().as_millis() - now.as_millis());
    let entry = group.catalogue.tenant(tenant).cloned().ok_or(StoreError::NotFound)?;
    let matching = entry.matching(&event_type);
    let event = Event {
        id,
        tenant,
        event_type,
        external_id,
        occurred_at: occurred_at.unwrap_or(now),
        created_at: now,
        deliveries: u32::try_from(matching.len()).unwrap_or(u32::MAX),
        data_bytes: u32::try_from(data.len()).unwrap_or(u32::MAX),
    };
    put(&mut group.tables.events, &id.to_bytes(), &record::write_event(&event))?;
    put(&mut group.tables.payloads, &id.to_bytes(), &data)?;
    if let Some(external_id) = &event.external_id {
        let key = schema::external_id(tenant.as_u128(), external_id.as_str());
        put(&mut group.tables.external_ids, &key, &id.to_bytes())?;
    }
    group.unindexed.push(Unindexed::Event(tenant, id));
    let shared = Arc::new(EventWithData { event: event.clone(), data });
    for subscription in matching {
        let is_gone = !subscription.is_active && subscription.disabled_reason == Some(DisabledReason::Gone);
        let delivery = Delivery {
            id: DeliveryId::from_u128(group.next_id()),
            event: id,
            subscription: subscription.id,
            tenant,
            event_type: event.event_type.clone(),
            state: State::Pending { next_attempt_at: now },
            attempts: 0,
            last_http_status: None,
            created_at: now,
            updated_at: now,
        };
        group.unindexed.push(Unindexed::Delivery(tenant, subscription.id, delivery.id));
        if is_gone {
            let reason = CanceledReason::SubscriptionGone;
            group.put_delivery(&Delivery { state: State::Canceled { reason }, ..delivery.clone() }, delivery.state)?;
            continue;
        }
        put(&mut group.tables.deliveries, &delivery.id.to_bytes(), &record::write_delivery(&delivery))?;
        fresh.push(Fresh {
            delivery: delivery.id,
            subscription: subscription.id,
            tenant,
            event: Arc::clone(&shared),
            next_attempt_at: now,
        });
    }
    Ok(Published { event, is_duplicate: false })
}
