//! Redelivery: an event that is kept goes out again, as itself or as a new event.

use std::sync::Arc;

use super::commit::{Store, Transaction};
use super::events::{self, FirstState, first_state};
use super::record::EventRecord;
use super::schema::{Events, Payloads, Redeliveries};
use super::tables::Read;
use super::{Catalogue, Reach, Redelivered, Redelivery, Remember, StoreError, reach};
use crate::domain::event::{DELIVERIES_MAX, Event, EventWithData, NewEvent};
use crate::domain::id::{EventId, SubscriptionId};
use crate::domain::obstacle::Limited;
use crate::domain::subscription::Subscription;

/// About what it writes for each subscription.
const DELIVERY_BYTES: usize = 256;

impl Store {
    /// New deliveries of an event, in one commit: of a restricted key, to its own subscriptions alone. `NotFound` (the
    /// event, or one of the subscriptions), `EventNotAllowed` when a named one may not have it,
    /// `PayloadExpired` when retention removed what is to be sent, `LimitExceeded` when the event had too many already.
    pub async fn redeliver(
        &self,
        reach: impl Into<Reach>,
        event: EventId,
        how: Redelivery,
        remember: Option<Remember<Redelivered>>,
    ) -> Result<Redelivered, StoreError> {
        let reach: Reach = reach.into();
        let bytes = match &how {
            Redelivery::ToMatching => DELIVERY_BYTES,
            Redelivery::To(named) | Redelivery::AsNewEvent(named) => DELIVERY_BYTES * named.len(),
        };
        self.sentence(bytes, move |transaction| {
            transaction.check_space()?;
            let redelivered = transaction.redeliver(reach, event, how)?;
            transaction.remember(remember, &redelivered)?;
            Ok(redelivered)
        })
        .await
    }
}

impl Transaction<'_> {
    fn redeliver(&mut self, reach: Reach, id: EventId, how: Redelivery) -> Result<Redelivered, StoreError> {
        let record = self.tables.get::<Events>(&id)?.ok_or(StoreError::NotFound)?;
        let data_sha256 = record.data_sha256;
        let event = events::domain(record, id)?;
        let tenant = reach.tenant;
        let cut =
            |event: &Event| self.with_catalogue(|catalogue| reach::cut(&self.tables, catalogue, reach, event.clone()));
        if event.tenant != tenant || (reach.key.is_some() && cut(&event)?.is_none()) {
            return Err(StoreError::NotFound);
        }
        let receivers = self.with_catalogue(|catalogue| receivers(catalogue, reach, &event, &how))?;
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
                    return Err(StoreError::LimitExceeded { max: DELIVERIES_MAX, of_what: Limited::EventDeliveries });
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
        let seen = self.with_catalogue(|catalogue| reach::cut(&self.tables, catalogue, reach, event.clone()))?;
        // Nobody of the caller's got the new event.
        let (event, deliveries) = seen.unwrap_or((event, Vec::new()));
        Ok(Redelivered { deliveries, event, made })
    }
}

/// Who gets it today.
fn receivers(
    catalogue: &Catalogue,
    reach: Reach,
    event: &Event,
    how: &Redelivery,
) -> Result<Vec<(SubscriptionId, FirstState)>, StoreError> {
    let tenant = catalogue.tenant(event.tenant).ok_or(StoreError::NotFound)?;
    let is_reached = |subscription: &Subscription| reach.key.is_none_or(|key| subscription.owner.key() == Some(key));
    match how {
        Redelivery::ToMatching => {
            let matching = tenant.matching(&event.event_type, &event.channels).into_iter();
            let matching = matching.filter(|subscription| is_reached(subscription));
            Ok(matching.map(|subscription| (subscription.id, first_state(subscription))).collect())
        }
        Redelivery::To(named) | Redelivery::AsNewEvent(named) => {
            let find = |id: &SubscriptionId| {
                let subscription = tenant.subscription(*id).filter(|subscription| is_reached(subscription));
                let subscription = subscription.ok_or(StoreError::NotFound)?;
                if !subscription.may_have(&event.event_type, &event.channels) {
                    return Err(StoreError::EventNotAllowed);
                }
                Ok((*id, first_state(subscription)))
            };
            named.iter().map(find).collect()
        }
    }
}
