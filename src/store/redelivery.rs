//! Redelivery: an event that is kept goes out again, as itself or as a new event.

use std::sync::Arc;

use super::commit::{Store, Transaction};
use super::events::{self, FirstState, first_state};
use super::record::EventRecord;
use super::schema::{Events, Payloads, Redeliveries};
use super::tables::Read;
use super::{Catalogue, Redelivered, Redelivery, Remember, StoreError};
use crate::domain::event::{DELIVERIES_MAX, Event, EventWithData, NewEvent};
use crate::domain::id::{EventId, SubscriptionId, TenantId};

/// About what it writes for each subscription.
const DELIVERY_BYTES: usize = 256;

impl Store {
    /// New deliveries of an event, in one commit. `NotFound` (the event, or one of the subscriptions),
    /// `PayloadExpired` when retention removed what is to be sent, `LimitExceeded` when the event had too many already.
    pub async fn redeliver(
        &self,
        tenant: TenantId,
        event: EventId,
        how: Redelivery,
        remember: Option<Remember<Redelivered>>,
    ) -> Result<Redelivered, StoreError> {
        let bytes = match &how {
            Redelivery::ToMatching => DELIVERY_BYTES,
            Redelivery::To(named) | Redelivery::AsNewEvent(named) => DELIVERY_BYTES * named.len(),
        };
        self.sentence(bytes, move |transaction| {
            transaction.check_space()?;
            let redelivered = transaction.redeliver(tenant, event, how)?;
            transaction.remember(remember, &redelivered)?;
            Ok(redelivered)
        })
        .await
    }
}

impl Transaction<'_> {
    fn redeliver(&mut self, tenant: TenantId, id: EventId, how: Redelivery) -> Result<Redelivered, StoreError> {
        let record = self.tables.get::<Events>(&id)?.ok_or(StoreError::NotFound)?;
        let data_sha256 = record.data_sha256;
        let event = events::domain(record, id)?;
        if event.tenant != tenant {
            return Err(StoreError::NotFound);
        }
        let receivers = self.with_catalogue(|catalogue| receivers(catalogue, &event, &how))?;
        let data = self.tables.get::<Payloads>(&id)?.ok_or(StoreError::PayloadExpired)?.0;
        let made = u32::try_from(receivers.len()).unwrap_or(u32::MAX);
        let event = match how {
            Redelivery::AsNewEvent(_) => {
                let Event { event_type, occurred_at, channels, .. } = event;
                let new = NewEvent {
                    tenant,
                    event_type,
                    external_id: None,
                    occurred_at: Some(occurred_at),
                    channels,
                    deliver_at: None,
                    data,
                };
                self.put_event(new, None, receivers, Some(id))?
            }
            Redelivery::ToMatching | Redelivery::To(_) => {
                let deliveries = event.deliveries.saturating_add(made);
                if deliveries > DELIVERIES_MAX {
                    return Err(StoreError::LimitExceeded { max: DELIVERIES_MAX });
                }
                let event = Event { deliveries, ..event };
                self.tables.put::<Events>(&id, &EventRecord::from_domain(&event, data_sha256))?;
                let with_data = Arc::new(EventWithData { event: event.clone(), data });
                for delivery in self.put_deliveries(&with_data, receivers)? {
                    self.tables.put::<Redeliveries>(&(id, delivery), &())?;
                }
                event
            }
        };
        let deliveries =
            self.with_catalogue(|catalogue| events::deliveries_as_seen(&self.tables, catalogue, &event))?;
        Ok(Redelivered { deliveries, event, made })
    }
}

/// Who gets it today.
fn receivers(
    catalogue: &Catalogue,
    event: &Event,
    how: &Redelivery,
) -> Result<Vec<(SubscriptionId, FirstState)>, StoreError> {
    let tenant = catalogue.tenant(event.tenant).ok_or(StoreError::NotFound)?;
    match how {
        Redelivery::ToMatching => {
            let matching = tenant.matching(&event.event_type, &event.channels).into_iter();
            Ok(matching.map(|subscription| (subscription.id, first_state(subscription))).collect())
        }
        Redelivery::To(named) | Redelivery::AsNewEvent(named) => {
            let find = |id: &SubscriptionId| {
                let subscription = tenant.subscription(*id).ok_or(StoreError::NotFound)?;
                Ok((*id, first_state(subscription)))
            };
            named.iter().map(find).collect()
        }
    }
}
