//! Events: taken with all their deliveries in one commit, and read back.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::commit::{Store, Transaction};
use super::deliveries;
use super::postings::Unindexed;
use super::record::{DeliveryRecord, EventRecord, IdRecord};
use super::schema::{Deliveries, Events, ExternalIds, FailedRows, Key, Payloads, Redeliveries};
use super::tables::{Read, damaged};
use super::{Catalogue, Change, Fresh, Published, Remember, StoreError};
use crate::domain::delivery::{CanceledReason, Delivery, ExpiredReason, State};
use crate::domain::event::{Event, EventWithData, NewEvent};
use crate::domain::id::{DeliveryId, EventId, SubscriptionId};
use crate::domain::stats::StateKind;
use crate::domain::subscription::{DisabledReason, Subscription};
use crate::domain::tenant::ExternalId;
use crate::domain::time::Timestamp;

/// About what an event writes beside its data.
const EVENT_BYTES: usize = 512;

impl Store {
    /// Keeps the events, who gets them and the answer to the request, in one commit. In the order given; an event
    /// that cannot be taken does not stop the others: `NotFound` (its tenant), `ExternalIdConflict`.
    pub async fn accept(
        &self,
        events: Vec<NewEvent>,
        remember: Option<Remember<[Result<Published, StoreError>]>>,
    ) -> Result<Vec<Result<Published, StoreError>>, StoreError> {
        let bytes = events.iter().map(|event| EVENT_BYTES + event.data.len()).sum();
        // Hashed here and not in the writer, which everyone waits for.
        let hash = |event: &NewEvent| event.external_id.is_some().then(|| Sha256::digest(&event.data).into());
        let events: Vec<_> = events.into_iter().map(|event| (hash(&event), event)).collect();
        self.sentence(bytes, move |transaction| {
            transaction.check_space()?;
            let published =
                events.into_iter().map(|(sha256, event)| transaction.accept(event, sha256)).collect::<Vec<_>>();
            if let Some(Err(failure)) =
                published.iter().find(|result| matches!(result, Err(StoreError::Unavailable(_))))
            {
                return Err(failure.clone());
            }
            transaction.remember(remember, &published)?;
            Ok(published)
        })
        .await
    }

    /// Without its data.
    pub fn event(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        let snapshot = self.shared.snapshot()?;
        let Some(record) = snapshot.get::<Events>(&id)? else { return Ok(None) };
        domain(record, id).map(Some)
    }

    /// None once retention removed it.
    pub fn event_data(&self, id: EventId) -> Result<Option<Bytes>, StoreError> {
        Ok(self.shared.snapshot()?.get::<Payloads>(&id)?.map(|payload| payload.0))
    }

    /// All deliveries of one event, in the order of its subscriptions.
    pub fn deliveries_of(&self, event: &Event) -> Result<Vec<Delivery>, StoreError> {
        deliveries_as_seen(&self.shared.snapshot()?, &self.catalogue(), event)
    }
}

pub(super) fn deliveries_as_seen(
    tables: &impl Read,
    catalogue: &Catalogue,
    event: &Event,
) -> Result<Vec<Delivery>, StoreError> {
    let all = deliveries_of(tables, event.id, event.deliveries)?;
    all.into_iter().map(|(id, record)| Ok(deliveries::present(deliveries::domain(record, id)?, catalogue))).collect()
}

pub(super) fn domain(record: EventRecord, id: EventId) -> Result<Event, StoreError> {
    record.into_domain(id).ok_or_else(|| damaged::<Events>(&id.to_key()))
}

/// At most `limit` deliveries of an event, in the order of their ids. Those that it began with were assigned theirs right
/// after its own, so they are neighbours; those that were made later are found through an index.
pub(super) fn deliveries_of(
    tables: &impl Read,
    event: EventId,
    limit: u32,
) -> Result<Vec<(DeliveryId, DeliveryRecord)>, StoreError> {
    let rows = tables.scan::<Deliveries>(DeliveryId::from_u128(event.as_u128())..)?.take(limit as usize);
    let belongs = |row: &Result<(DeliveryId, DeliveryRecord), StoreError>| {
        row.as_ref().map_or(true, |(_, record)| record.event == event.to_bytes())
    };
    let mut all = rows.take_while(belongs).collect::<Result<Vec<_>, _>>()?;
    let limit = limit as usize;
    if all.len() < limit {
        // What was made later can be a neighbour too, when nothing came in between.
        let last = all.last().map_or(DeliveryId::from_u128(0), |(id, _)| *id);
        let to = Bound::Included((event, DeliveryId::from_u128(u128::MAX)));
        let later = tables.scan::<Redeliveries>((Bound::Excluded((event, last)), to))?.take(limit - all.len());
        for row in later {
            let ((_, id), ()) = row?;
            let record = tables.get::<Deliveries>(&id)?.ok_or_else(|| damaged::<Deliveries>(&id.to_key()))?;
            all.push((id, record));
        }
    }
    Ok(all)
}

impl Transaction<'_> {
    pub(super) fn accept(&mut self, new: NewEvent, data_sha256: Option<[u8; 32]>) -> Result<Published, StoreError> {
        let matching = |tenant: &super::catalogue::TenantEntry| {
            let matching = tenant.matching(&new.event_type, &new.channels).into_iter();
            matching.map(|subscription| (subscription.id, first_state(subscription))).collect::<Vec<_>>()
        };
        let matching = self.with_catalogue(|catalogue| catalogue.tenant(new.tenant).map(|tenant| matching(tenant)));
        let matching = matching.ok_or(StoreError::NotFound)?;
        if let Some(external_id) = &new.external_id
            && let Some(first) = self.event_of_external_id(&new, external_id)?
        {
            let (record, event) = first;
            let is_same = event.event_type == new.event_type && record.data_sha256 == data_sha256;
            return if is_same {
                Ok(Published { event, is_duplicate: true })
            } else {
                Err(StoreError::ExternalIdConflict)
            };
        }
        let event = self.put_event(new, data_sha256, matching, None)?;
        Ok(Published { event, is_duplicate: false })
    }

    /// Makes the event, its deliveries to these subscriptions, and what leads to them.
    pub(super) fn put_event(
        &mut self,
        new: NewEvent,
        data_sha256: Option<[u8; 32]>,
        matching: Vec<(SubscriptionId, FirstState)>,
        replay_of: Option<EventId>,
    ) -> Result<Event, StoreError> {
        Ok(self.put_event_with_deliveries(new, data_sha256, matching, replay_of)?.0)
    }

    /// The same; answers the deliveries, too.
    pub(super) fn put_event_with_deliveries(
        &mut self,
        new: NewEvent,
        data_sha256: Option<[u8; 32]>,
        matching: Vec<(SubscriptionId, FirstState)>,
        replay_of: Option<EventId>,
    ) -> Result<(Event, Vec<DeliveryId>), StoreError> {
        let NewEvent { tenant, event_type, external_id, occurred_at, channels, deliver_at, data } = new;
        let now = self.now;
        let id = EventId::from_u128(self.next_id());
        self.note_id_lag(id)?;
        let event = Event {
            id,
            tenant,
            event_type,
            external_id,
            occurred_at: occurred_at.unwrap_or(now),
            created_at: now,
            deliveries: u32::try_from(matching.len()).unwrap_or(u32::MAX),
            data_bytes: u32::try_from(data.len()).unwrap_or(u32::MAX),
            channels,
            deliver_at: deliver_at.filter(|at| *at > now),
            replay_of,
        };
        self.tables.put::<Events>(&id, &EventRecord::from_domain(&event, data_sha256))?;
        self.tables.put_payload(id, &data)?;
        if let Some(external_id) = &event.external_id {
            self.tables.put::<ExternalIds>(&(tenant, external_id.clone()), &IdRecord(id.to_bytes()))?;
        }
        self.index_later(Unindexed::Event(id, tenant, event.event_type.key()));
        let deliveries = if matching.is_empty() {
            Vec::new()
        } else {
            let with_data = Arc::new(EventWithData { event: event.clone(), data });
            self.put_deliveries(&with_data, matching)?
        };
        Ok((event, deliveries))
    }

    /// Answers their ids.
    pub(super) fn put_deliveries(
        &mut self,
        event: &Arc<EventWithData>,
        matching: Vec<(SubscriptionId, FirstState)>,
    ) -> Result<Vec<DeliveryId>, StoreError> {
        let Event { id: event_id, tenant, deliver_at, .. } = event.event;
        let now = self.now;
        let deliver_at = deliver_at.filter(|at| *at > now);
        let mut all_fresh = Vec::with_capacity(matching.len());
        let mut ids = Vec::with_capacity(matching.len());
        let mut settled = None;
        for (subscription, first) in matching {
            let id = DeliveryId::from_u128(self.next_id());
            let deliver_at = match first {
                FirstState::TriedAside { until } => Some(until),
                FirstState::Pending | FirstState::Held | FirstState::Gone => deliver_at,
            };
            let state = match first {
                FirstState::Pending | FirstState::TriedAside { .. } => {
                    State::Pending { next_attempt_at: deliver_at.unwrap_or(now) }
                }
                FirstState::Held if !self.backlog_takes_one(subscription)? => {
                    State::Expired { reason: ExpiredReason::BacklogFull }
                }
                FirstState::Held => State::Pending { next_attempt_at: deliver_at.unwrap_or(now) },
                FirstState::Gone => State::Canceled { reason: CanceledReason::SubscriptionGone },
            };
            let delivery = Delivery {
                id,
                event: event_id,
                subscription,
                tenant,
                event_type: event.event.event_type.clone(),
                state,
                attempts: 0,
                attempts_uncounted: 0,
                last_http_status: None,
                created_at: now,
                updated_at: now,
            };
            self.index_later(Unindexed::Delivery(id, tenant, subscription));
            ids.push(id);
            match (state.next_attempt_at(), deliver_at) {
                // It waits on disk from the start: memory is for what can be sent.
                (Some(at), Some(_)) => {
                    deliveries::park(&mut self.tables, &delivery)?;
                    settled = Some(id);
                    self.changed(Change::Scheduled(subscription, at));
                }
                // No due row and no index row: the commit that answers a publisher carries as little as it can.
                (Some(next_attempt_at), None) => {
                    self.tables.put::<Deliveries>(&id, &DeliveryRecord::from_domain(&delivery, false))?;
                    all_fresh.push(Fresh {
                        delivery: id,
                        subscription,
                        tenant,
                        event: Arc::clone(event),
                        next_attempt_at,
                    });
                }
                (None, _) => {
                    settled = Some(id);
                    self.tables.put::<Deliveries>(&id, &DeliveryRecord::from_domain(&delivery, false))?;
                    self.tables.put::<FailedRows>(&(tenant, id), &())?;
                    // Every new delivery is counted as pending when it is indexed.
                    let (pending, is) = (Some(StateKind::Pending), Some(state.into()));
                    self.tables.observed.moved((tenant, subscription), id.assigned_at(), pending, is);
                    self.changed(Change::Moved(Box::new(delivery)));
                }
            }
        }
        if let Some(newest) = settled {
            self.changed(Change::Settled(newest));
        }
        self.accepted(all_fresh);
        Ok(ids)
    }

    fn event_of_external_id(
        &self,
        new: &NewEvent,
        external_id: &ExternalId,
    ) -> Result<Option<(EventRecord, Event)>, StoreError> {
        let Some(id) = self.tables.get::<ExternalIds>(&(new.tenant, external_id.clone()))? else { return Ok(None) };
        let id = EventId::from_bytes(id.0);
        let record = self.tables.get::<Events>(&id)?.ok_or_else(|| damaged::<Events>(&id.to_key()))?;
        let event = domain(record.clone(), id)?;
        Ok(Some((record, event)))
    }
}

/// In what state a delivery begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum FirstState {
    Pending,
    /// It waits until its subscription is active again, if there is room.
    Held,
    Gone,
    /// Somebody else makes the attempt and records it. It is the queue's only when that has not happened by then.
    TriedAside {
        until: Timestamp,
    },
}

pub(super) fn first_state(subscription: &Subscription) -> FirstState {
    match subscription.disabled_reason {
        Some(DisabledReason::Gone) => FirstState::Gone,
        Some(DisabledReason::Failing) | None if !subscription.is_active => FirstState::Held,
        Some(DisabledReason::Failing) | None => FirstState::Pending,
    }
}
