//! Sentences about deliveries: what a person asks for, what the dispatcher records, and what it reads back.

use std::collections::HashSet;
use std::sync::Arc;

use redb::{ReadableDatabase, ReadableTable};

use super::group::{Group, put};
use super::record::{self, KeptSubscription};
use super::{Change, Due, Recorded, Recordings, Remember, Store, StoreError, schema};
use crate::domain::delivery::{
    Attempt, CanceledReason, Delivery, Outcome, RESPONSE_BODY_BYTES_KEPT_OF_SUCCESS, RetryReason, State,
};
use crate::domain::event::EventWithData;
use crate::domain::health::Health;
use crate::domain::id::{AttemptId, DeliveryId, SubscriptionId};
use crate::domain::subscription::{DisabledReason, Subscription};
use crate::domain::time::Timestamp;

impl Store {
    /// One attempt now. `InvalidState` when it succeeded or was canceled. A delivery whose schedule is used up gets
    /// exactly one more; `NotFound` when its subscription was deleted.
    pub async fn retry_delivery(
        &self,
        id: DeliveryId,
        remember: Option<Remember<Delivery>>,
    ) -> Result<Delivery, StoreError> {
        self.sentence(move |group| {
            let old = group.delivery(id)?.ok_or(StoreError::NotFound)?;
            if matches!(old.state, State::Succeeded | State::Canceled { .. })
                || group.catalogue.subscription(old.subscription).is_none()
            {
                return Err(StoreError::InvalidState);
            }
            let now = group.now;
            let state = State::Retrying { next_attempt_at: now, reason: RetryReason::Manual };
            let new = Delivery { state, updated_at: now, ..old.clone() };
            group.put_delivery(&new, old.state)?;
            group.changes.push(Change::Due(new.subscription, now));
            group.remember(remember, &new)?;
            Ok(new)
        })
        .await
    }

    /// `InvalidState` when it is final.
    pub async fn cancel_delivery(
        &self,
        id: DeliveryId,
        remember: Option<Remember<Delivery>>,
    ) -> Result<Delivery, StoreError> {
        self.sentence(move |group| {
            let old = group.delivery(id)?.ok_or(StoreError::NotFound)?;
            if old.state.is_final() || group.catalogue.subscription(old.subscription).is_none() {
                return Err(StoreError::InvalidState);
            }
            let new = group.cancel(&old, CanceledReason::Manual)?;
            group.changes.push(Change::Canceled(new.subscription, id));
            group.remember(remember, &new)?;
            Ok(new)
        })
        .await
    }

    /// Keeps what the dispatcher did and decided, in one commit. Parked deliveries come first, so that one that was
    /// parked and finished in the same batch ends finished.
    pub async fn record(&self, recordings: Recordings) -> Result<(), StoreError> {
        self.sentence(move |group| {
            let Recordings { attempts, parked, canceled, health, disabled, settled_up_to } = recordings;
            for id in parked {
                if let Some(delivery) = group.delivery(id)? {
                    group.park(&delivery)?;
                }
            }
            for recorded in attempts {
                group.record_attempt(recorded)?;
            }
            for (id, reason) in canceled {
                if let Some(delivery) = group.delivery(id)?.filter(|delivery| !delivery.state.is_final()) {
                    group.cancel(&delivery, reason)?;
                }
            }
            for (id, health) in health {
                if group.catalogue.subscription(id).is_some() {
                    group.put_health(id, health)?;
                }
            }
            for (id, reason) in disabled {
                group.disable(id, reason)?;
            }
            if let Some(id) = settled_up_to {
                group.set_meta_number(schema::meta::SETTLED_UP_TO, id.as_u128())?;
            }
            Ok(())
        })
        .await
    }

    /// Subscriptions with something due on disk, each with its earliest time, in the order of ids.
    pub fn lanes(
        &self,
        after: Option<SubscriptionId>,
        limit: usize,
    ) -> Result<Vec<(SubscriptionId, Timestamp)>, StoreError> {
        let read = self.shared.database.begin_read()?;
        let due = read.open_table(schema::DUE)?;
        let mut lanes = Vec::new();
        let mut from = after;
        while lanes.len() < limit {
            let start = match from {
                Some(id) => schema::pair(id.as_u128().saturating_add(1), 0),
                None => [0; 32],
            };
            let Some(row) = due.range::<&[u8]>(&start[..16]..)?.next() else { break };
            let Some((id, at, _)) = schema::read_due(row?.0.value()) else { break };
            lanes.push((id, at));
            from = Some(id);
        }
        Ok(lanes)
    }

    /// The first `limit` deliveries of a subscription that are due until then, those `in_memory` left out; and when
    /// the next one after them is due. Reads the disk.
    pub fn due(
        &self,
        subscription: SubscriptionId,
        until: Timestamp,
        in_memory: &HashSet<DeliveryId>,
        limit: usize,
    ) -> Result<(Vec<Due>, Option<Timestamp>), StoreError> {
        let read = self.shared.database.begin_read()?;
        let due = read.open_table(schema::DUE)?;
        let deliveries = read.open_table(schema::DELIVERIES)?;
        let events = read.open_table(schema::EVENTS)?;
        let payloads = read.open_table(schema::PAYLOADS)?;
        let mut rows = Vec::new();
        let prefix = subscription.to_bytes();
        for row in due.range::<&[u8]>(&prefix[..]..)? {
            let (key, _) = row?;
            let Some((_, at, id)) = schema::read_due(key.value()).filter(|(owner, ..)| *owner == subscription) else {
                return Ok((rows, None));
            };
            if in_memory.contains(&id) {
                continue;
            }
            if at > until || rows.len() == limit {
                return Ok((rows, Some(at)));
            }
            let Some(delivery) = deliveries.get(id.to_bytes().as_slice())? else { continue };
            let delivery = record::read_delivery(id, delivery.value())?;
            let event = events.get(delivery.event.to_bytes().as_slice())?;
            let data = payloads.get(delivery.event.to_bytes().as_slice())?;
            let event = match (event, data) {
                (Some(event), Some(data)) => {
                    let event = record::read_event(delivery.event, event.value())?;
                    let data = bytes::Bytes::copy_from_slice(data.value());
                    Some(Arc::new(EventWithData { event, data }))
                }
                _ => None,
            };
            rows.push(Due { delivery, event });
        }
        Ok((rows, None))
    }
}

impl Group<'_, '_> {
    pub fn health_of(&self, id: SubscriptionId) -> Result<Health, StoreError> {
        match self.tables.health.get(id.to_bytes().as_slice())? {
            Some(row) => record::read_health(row.value()),
            None => Ok(Health::default()),
        }
    }

    pub fn cancel(&mut self, delivery: &Delivery, reason: CanceledReason) -> Result<Delivery, StoreError> {
        let new = Delivery { state: State::Canceled { reason }, updated_at: self.now, ..delivery.clone() };
        self.put_delivery(&new, delivery.state)?;
        Ok(new)
    }

    fn record_attempt(&mut self, recorded: Recorded) -> Result<(), StoreError> {
        let Recorded { mut attempt, state } = recorded;
        // Erased while the request was under way: there is nothing left that it could be recorded for.
        let Some(old) = self.delivery(attempt.delivery)? else { return Ok(()) };
        let number = old.attempts.saturating_add(1);
        attempt.id = AttemptId::from_u128(self.next_id());
        attempt.number = number;
        let is_deleted = self.catalogue.subscription(old.subscription).is_none();
        let state = match state {
            _ if old.state.is_final() => old.state,
            State::Pending { .. } | State::Retrying { .. } if is_deleted => {
                State::Canceled { reason: CanceledReason::SubscriptionDeleted }
            }
            state => state,
        };
        let new = Delivery {
            state,
            attempts: number,
            last_http_status: attempt.response.as_ref().map(|response| response.status),
            updated_at: attempt.started_at.plus(attempt.phases.total),
            ..old.clone()
        };
        if old.state.is_final() {
            put(&mut self.tables.deliveries, &new.id.to_bytes(), &record::write_delivery(&new))?;
        } else {
            self.put_delivery(&new, old.state)?;
        }
        trim_body(&mut attempt);
        put(&mut self.tables.attempts, &schema::attempt(new.id, number), &record::write_attempt(&attempt))
    }

    fn disable(&mut self, id: SubscriptionId, reason: DisabledReason) -> Result<(), StoreError> {
        let Some(old) = self.catalogue.subscription(id).cloned() else { return Ok(()) };
        let new = Subscription {
            is_active: false,
            disabled_reason: Some(reason),
            revision: old.revision + 1,
            updated_at: self.now,
            ..Subscription::clone(&old)
        };
        self.put_subscription(&new)
    }

    /// Takes a subscription's record away when nothing names it any more.
    pub fn erase_subscription(&mut self, id: SubscriptionId) -> Result<(), StoreError> {
        if let Some(KeptSubscription { deleted_at: Some(_), .. }) = self.subscription(id)? {
            self.tables.subscriptions.remove(id.to_bytes().as_slice())?;
            self.tables.health.remove(id.to_bytes().as_slice())?;
        }
        Ok(())
    }
}

/// 16 KiB of a failure are of use, of a success less is (contract 4.3).
fn trim_body(attempt: &mut Attempt) {
    if let (Outcome::Success, Some(response)) = (&attempt.outcome, &mut attempt.response)
        && response.body.len() > RESPONSE_BODY_BYTES_KEPT_OF_SUCCESS
    {
        response.body.truncate(RESPONSE_BODY_BYTES_KEPT_OF_SUCCESS);
        response.body_truncated = true;
    }
}
