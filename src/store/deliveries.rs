//! Deliveries and their attempts: what became of them, what is due, and what a person asks for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::ops::{Bound, RangeInclusive};
use std::sync::{Arc, Mutex, MutexGuard};

use super::backlog::BACKLOG_MAX;
use super::catalogue::Known;
use super::commit::{Store, Transaction};
use super::record::{AttemptRecord, DeliveryRecord, SubscriptionRecord};
use super::schema::{
    Attempts, Deliveries, DueRows, Events, FailedRows, Key, MetaName, OpenRows, Payloads, Subscriptions,
};
use super::tables::{Read, Tables, damaged};
use super::{AttemptSeen, Catalogue, Change, Due, Recorded, Recordings, Remember, StoreError, events};
use crate::domain::delivery::{
    Attempt, CanceledReason, Delivery, Outcome, RESPONSE_BODY_BYTES_KEPT_OF_SUCCESS, RESPONSE_BODY_BYTES_MAX,
    RetryReason, ShownState, State,
};
use crate::domain::event::EventWithData;
use crate::domain::health::Hold;
use crate::domain::id::{AttemptId, DeliveryId, EventId, SubscriptionId};
use crate::domain::obstacle::{Limited, Obstacle};
use crate::domain::operational::{Announcement, What};
use crate::domain::subscription::DisabledReason;
use crate::domain::time::Timestamp;

/// About what recording an attempt writes beside its response body.
const ATTEMPT_BYTES: usize = 1024;

pub(super) const DELETED: State = State::Canceled { reason: CanceledReason::SubscriptionDeleted };

impl Store {
    /// None when there is no such delivery.
    pub fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        let snapshot = self.shared.snapshot()?;
        let Some(record) = snapshot.get::<Deliveries>(&id)? else { return Ok(None) };
        Ok(Some(present(domain(record, id)?, &self.catalogue())))
    }

    /// As [`Known::shown_state`], of now.
    pub fn shown_state(&self, delivery: &Delivery) -> (ShownState, Option<Hold>) {
        self.with_known(|known| known.shown_state(delivery))
    }

    pub(super) fn with_known<T>(&self, look: impl FnOnce(&Known<'_>) -> T) -> T {
        look(&Known { catalogue: &self.catalogue(), health: &|id| self.health(id) })
    }

    /// In the order in which they were made. Reads the disk.
    pub fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        let snapshot = self.shared.snapshot()?;
        let rows = snapshot.scan::<Attempts>((delivery, 0)..=(delivery, u16::MAX))?;
        rows.map(|row| row.map(|((_, number), record)| record.into_domain(delivery, number))).collect()
    }

    /// One attempt now. `InvalidState` when it succeeded or was canceled, or nobody is there to get it; one that had
    /// ended gets exactly one more, or `LimitExceeded` when the backlog of a subscription that is not active is full.
    pub async fn retry_delivery(
        &self,
        id: DeliveryId,
        remember: Option<Remember<Delivery>>,
    ) -> Result<Delivery, StoreError> {
        self.sentence(ATTEMPT_BYTES, move |transaction| {
            let mut row = Row::of(transaction, id)?.ok_or(StoreError::NotFound)?;
            let subscription = row.delivery.subscription;
            if transaction.with_catalogue(|catalogue| catalogue.subscription(subscription).is_none()) {
                return Err(StoreError::InvalidState(Obstacle::SubscriptionDeleted));
            }
            match row.delivery.state {
                state @ (State::Succeeded | State::Canceled { .. }) => {
                    return Err(StoreError::InvalidState(Obstacle::Delivery(state.into())));
                }
                State::Exhausted { .. } | State::Expired { .. } if !transaction.backlog_takes_one(subscription)? => {
                    return Err(StoreError::LimitExceeded { max: BACKLOG_MAX, of_what: Limited::Backlog });
                }
                State::Pending { .. } | State::Retrying { .. } | State::Exhausted { .. } | State::Expired { .. } => {}
            }
            row.retry(&mut transaction.tables, transaction.now)?;
            transaction.changed(Change::Moved(Box::new(row.delivery.clone())));
            transaction.changed(Change::Retry(row.delivery.subscription, id));
            transaction.remember(remember, &row.delivery)?;
            Ok(row.delivery)
        })
        .await
    }

    /// `InvalidState` when it is final.
    pub async fn cancel_delivery(
        &self,
        id: DeliveryId,
        remember: Option<Remember<Delivery>>,
    ) -> Result<Delivery, StoreError> {
        self.sentence(ATTEMPT_BYTES, move |transaction| {
            let mut row = Row::of(transaction, id)?.ok_or(StoreError::NotFound)?;
            if row.delivery.state.is_final() {
                return Err(StoreError::InvalidState(Obstacle::Delivery(row.delivery.state.into())));
            }
            row.cancel(&mut transaction.tables, transaction.now)?;
            transaction.changed(Change::Moved(Box::new(row.delivery.clone())));
            transaction.changed(Change::Canceled(row.delivery.subscription, id));
            transaction.remember(remember, &row.delivery)?;
            Ok(row.delivery)
        })
        .await
    }

    /// Keeps what the dispatcher did, all in one commit. What concerns a delivery or subscription that is gone is
    /// passed over.
    pub async fn record(&self, recordings: Recordings) -> Result<(), StoreError> {
        self.sentence(bytes_of(&recordings), move |transaction| transaction.record(recordings)).await
    }

    /// Subscriptions with something due on disk, each with its earliest time, in the order of ids; deleted ones are
    /// left out. Reads the disk.
    pub fn lanes(
        &self,
        after: Option<SubscriptionId>,
        limit: usize,
    ) -> Result<Vec<(SubscriptionId, Timestamp)>, StoreError> {
        let (snapshot, catalogue) = (self.shared.snapshot()?, self.catalogue());
        let end = |id| (id, Timestamp::MAX, DeliveryId::from_u128(u128::MAX));
        let mut lanes = Vec::new();
        let mut from = after.map_or(Bound::Unbounded, |id| Bound::Excluded(end(id)));
        while lanes.len() < limit {
            let Some(row) = snapshot.scan::<DueRows>((from, Bound::Unbounded))?.next() else { break };
            let ((subscription, at, _), ()) = row?;
            if catalogue.subscription(subscription).is_some() {
                lanes.push((subscription, at));
            }
            from = Bound::Excluded(end(subscription));
        }
        Ok(lanes)
    }

    /// Those `asked` for by name, as they are; then the first `limit` deliveries of a subscription that are due until
    /// then, and when the next one after them is due (nobody looks when `limit` is 0). Those `in_memory` are left out.
    /// Reads the disk.
    pub fn due(
        &self,
        subscription: SubscriptionId,
        asked: &[DeliveryId],
        until: Timestamp,
        in_memory: &HashSet<DeliveryId>,
        limit: usize,
    ) -> Result<(Vec<Due>, Option<Timestamp>), StoreError> {
        self.due_with(&EventsRead::default(), subscription, asked, until, in_memory, limit)
    }

    /// The same, without reading an event that one of the last reads has read.
    pub fn due_with(
        &self,
        events: &EventsRead,
        subscription: SubscriptionId,
        asked: &[DeliveryId],
        until: Timestamp,
        in_memory: &HashSet<DeliveryId>,
        limit: usize,
    ) -> Result<(Vec<Due>, Option<Timestamp>), StoreError> {
        let snapshot = self.shared.snapshot()?;
        let mut due = Vec::new();
        for id in asked.iter().filter(|id| !in_memory.contains(id)) {
            let Some(record) = snapshot.get::<Deliveries>(id)? else { continue };
            let delivery = domain(record, *id)?;
            let event = events.read(&snapshot, delivery.event)?;
            if delivery.subscription == subscription && !delivery.state.is_final() {
                due.push(Due { delivery, event });
            }
        }
        if limit == 0 {
            return Ok((due, None));
        }
        let limit = due.len() + limit;
        let first = (subscription, Timestamp::MIN, DeliveryId::from_u128(0));
        let last = (subscription, Timestamp::MAX, DeliveryId::from_u128(u128::MAX));
        for row in snapshot.scan::<DueRows>(first..=last)? {
            let ((_, at, id), ()) = row?;
            if in_memory.contains(&id) || asked.contains(&id) {
                continue;
            }
            if at > until || due.len() == limit {
                return Ok((due, Some(at)));
            }
            let record = snapshot.get::<Deliveries>(&id)?.ok_or_else(|| damaged::<Deliveries>(&id.to_key()))?;
            let delivery = domain(record, id)?;
            let event = events.read(&snapshot, delivery.event)?;
            due.push(Due { delivery, event });
        }
        Ok((due, None))
    }
}

/// Events in [`EventsRead`]: some reads' worth of a lane's queue, so that the lanes of one event find it there although
/// they do not read at the same moment.
const EVENTS_READ_MAX: usize = 2048;
/// Bytes of their data.
const EVENTS_READ_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Events that were read of late. An event goes to many subscriptions, and their queues are read one after the other:
/// each finds the same events.
#[derive(Debug, Default)]
pub struct EventsRead(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    events: HashMap<EventId, Arc<EventWithData>>,
    /// The oldest first.
    order: VecDeque<EventId>,
    bytes: usize,
}

impl EventsRead {
    fn read(&self, tables: &impl Read, id: EventId) -> Result<Option<Arc<EventWithData>>, StoreError> {
        let known = self.recent().events.get(&id).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let Some(event) = event_with_data(tables, id)?.map(Arc::new) else { return Ok(None) };
        self.recent().keep(&event);
        Ok(Some(event))
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }
}

impl Recent {
    fn keep(&mut self, event: &Arc<EventWithData>) {
        let id = event.event.id;
        if self.events.insert(id, Arc::clone(event)).is_some() {
            return;
        }
        self.order.push_back(id);
        self.bytes += event.data.len();
        while self.order.len() > EVENTS_READ_MAX || self.bytes > EVENTS_READ_BYTES_MAX {
            let Some(oldest) = self.order.pop_front().and_then(|id| self.events.remove(&id)) else { return };
            self.bytes -= oldest.data.len();
        }
    }
}

fn event_with_data(tables: &impl Read, id: EventId) -> Result<Option<EventWithData>, StoreError> {
    let Some(payload) = tables.get::<Payloads>(&id)? else { return Ok(None) };
    let Some(record) = tables.get::<Events>(&id)? else { return Ok(None) };
    Ok(Some(EventWithData { event: events::domain(record, id)?, data: payload.0 }))
}

pub(super) fn domain(record: DeliveryRecord, id: DeliveryId) -> Result<Delivery, StoreError> {
    record.into_domain(id).ok_or_else(|| damaged::<Deliveries>(&id.to_key()))
}

/// As it is read: what waits for a deleted subscription is canceled, also before the background has written it.
pub(super) fn present(mut delivery: Delivery, catalogue: &Catalogue) -> Delivery {
    if !delivery.state.is_final() && catalogue.subscription(delivery.subscription).is_none() {
        delivery.state = DELETED;
    }
    delivery
}

/// Gives a fresh delivery its due row.
pub(super) fn park(tables: &mut Tables<'_>, delivery: &Delivery) -> Result<(), StoreError> {
    let state = delivery.state;
    Row { on_disk: state, is_parked: false, is_final_on_disk: false, delivery: delivery.clone() }
        .put(tables, state, true)
}

/// Due rows of one subscription, up to a time.
pub(super) fn due_rows(
    id: SubscriptionId,
    until: Timestamp,
) -> RangeInclusive<(SubscriptionId, Timestamp, DeliveryId)> {
    (id, Timestamp::MIN, DeliveryId::from_u128(0))..=(id, until, DeliveryId::from_u128(u128::MAX))
}

/// Gives a delivery that is not final its final state, and tells whoever watches.
pub(super) fn end(transaction: &mut Transaction<'_>, id: DeliveryId, state: State) -> Result<(), StoreError> {
    let Some(mut row) = Row::read(&transaction.tables, id)? else { return Ok(()) };
    if !row.is_final_on_disk {
        row.delivery.updated_at = transaction.now;
        row.put(&mut transaction.tables, state, false)?;
        transaction.changed(Change::Moved(Box::new(row.delivery)));
    }
    Ok(())
}

/// A delivery in the writer's hands: its record and the rows that follow from it.
pub(super) struct Row {
    pub(super) delivery: Delivery,
    /// The state that its rows stand for; `delivery.state` may already be a later one.
    on_disk: State,
    is_final_on_disk: bool,
    is_parked: bool,
}

impl Row {
    fn read(tables: &impl Read, id: DeliveryId) -> Result<Option<Self>, StoreError> {
        let Some(record) = tables.get::<Deliveries>(&id)? else { return Ok(None) };
        let is_parked = record.is_parked;
        let delivery = domain(record, id)?;
        let on_disk = delivery.state;
        Ok(Some(Self { delivery, on_disk, is_final_on_disk: on_disk.is_final(), is_parked }))
    }

    /// As it is seen: canceled when its subscription is deleted.
    pub(super) fn of(transaction: &Transaction<'_>, id: DeliveryId) -> Result<Option<Self>, StoreError> {
        let Some(Self { delivery, on_disk, is_final_on_disk, is_parked }) = Self::read(&transaction.tables, id)? else {
            return Ok(None);
        };
        let delivery = transaction.with_catalogue(|catalogue| present(delivery, catalogue));
        Ok(Some(Self { delivery, on_disk, is_final_on_disk, is_parked }))
    }

    /// One attempt now. When it fails, one that had ended has ended again; the others go on with their schedule.
    pub(super) fn retry(&mut self, tables: &mut Tables<'_>, now: Timestamp) -> Result<(), StoreError> {
        let retrying = |reason| State::Retrying { next_attempt_at: now, reason };
        let state = match self.delivery.state {
            State::Pending { .. } => State::Pending { next_attempt_at: now },
            State::Retrying { reason, .. } => retrying(match reason {
                RetryReason::Schedule | RetryReason::RetryAfter | RetryReason::Manual => RetryReason::Manual,
                RetryReason::ManualOnce => RetryReason::ManualOnce,
            }),
            State::Succeeded | State::Exhausted { .. } | State::Canceled { .. } | State::Expired { .. } => {
                retrying(RetryReason::ManualOnce)
            }
        };
        self.delivery.updated_at = now;
        self.put(tables, state, true)
    }

    /// The whole schedule again, from now on.
    pub(super) fn recover(&mut self, tables: &mut Tables<'_>, now: Timestamp) -> Result<(), StoreError> {
        self.delivery.attempts_uncounted = self.delivery.attempts;
        self.delivery.updated_at = now;
        let state = match self.delivery.attempts {
            0 => State::Pending { next_attempt_at: now },
            _ => State::Retrying { next_attempt_at: now, reason: RetryReason::Manual },
        };
        self.put(tables, state, true)
    }

    pub(super) fn cancel(&mut self, tables: &mut Tables<'_>, now: Timestamp) -> Result<(), StoreError> {
        self.delivery.updated_at = now;
        self.put(tables, State::Canceled { reason: CanceledReason::Manual }, false)
    }

    /// Writes the delivery in this state, and its due, open and failed rows with it. A retrying one is always
    /// parked, a final one never.
    fn put(&mut self, tables: &mut Tables<'_>, state: State, must_park: bool) -> Result<(), StoreError> {
        self.delivery.state = state;
        let Delivery { id, subscription, tenant, .. } = self.delivery;
        let was_at = self.on_disk.next_attempt_at().filter(|_| self.is_parked);
        let must_park = must_park || self.is_parked || matches!(state, State::Retrying { .. });
        let is_at = state.next_attempt_at().filter(|_| must_park);
        if was_at != is_at {
            if let Some(at) = was_at {
                tables.remove::<DueRows>(&(subscription, at, id))?;
            }
            if let Some(at) = is_at {
                tables.put::<DueRows>(&(subscription, at, id), &())?;
            }
        }
        match (was_at.is_some(), is_at.is_some()) {
            (false, true) => tables.put::<OpenRows>(&(tenant, id), &())?,
            (true, false) => _ = tables.remove::<OpenRows>(&(tenant, id))?,
            (true, true) | (false, false) => {}
        }
        match (is_failure(self.on_disk), is_failure(state)) {
            (false, true) => tables.put::<FailedRows>(&(tenant, id), &())?,
            (true, false) => _ = tables.remove::<FailedRows>(&(tenant, id))?,
            (true, true) | (false, false) => {}
        }
        let (was, is) = (Some(self.on_disk.into()), Some(state.into()));
        tables.observed.moved((tenant, subscription), self.delivery.updated_at, was, is);
        self.on_disk = state;
        self.is_parked = is_at.is_some();
        tables.put::<Deliveries>(&id, &DeliveryRecord::from_domain(&self.delivery, self.is_parked))
    }
}

/// Whether it belongs into the `failed` rows.
pub(super) fn is_failure(state: State) -> bool {
    match state {
        State::Exhausted { .. } | State::Canceled { .. } | State::Expired { .. } => true,
        State::Pending { .. } | State::Retrying { .. } | State::Succeeded => false,
    }
}

/// About how much recording writes.
fn bytes_of(recordings: &Recordings) -> usize {
    let body_bytes = |recorded: &Recorded| recorded.attempt.response.as_ref().map_or(0, |it| it.body.len());
    recordings.attempts.iter().map(|recorded| ATTEMPT_BYTES + body_bytes(recorded)).sum()
}

impl Transaction<'_> {
    fn record(&mut self, recordings: Recordings) -> Result<(), StoreError> {
        let Recordings { attempts, parked, canceled, health, disabled, announced, settled_up_to, are_told } =
            recordings;
        let has_attempts = !attempts.is_empty();
        for recorded in attempts {
            self.record_attempt(recorded, are_told)?;
        }
        if has_attempts {
            // The ids of attempts are in no key, so this is where the next opening finds the last one.
            let last = self.next_id();
            self.tables.raise_meta_id(MetaName::AssignedUpTo, last)?;
        }
        for id in parked {
            let Some(mut row) = Row::of(self, id)? else { continue };
            match row.delivery.state {
                // It ended meanwhile, maybe with its subscription.
                state if state.is_final() => end(self, id, state)?,
                state => row.put(&mut self.tables, state, true)?,
            }
        }
        for (id, reason) in canceled {
            end(self, id, State::Canceled { reason })?;
        }
        for (id, health) in health {
            let Some(subscription) = self.with_catalogue(|catalogue| catalogue.subscription(id).cloned()) else {
                continue;
            };
            if are_told && self.health(id).status(&subscription) != health.status(&subscription) {
                self.changed(Change::Fares(id));
            }
            self.put_health(id, health)?;
        }
        for (id, reason) in disabled {
            self.disable(id, reason)?;
        }
        for announcement in announced {
            self.announce(announcement)?;
        }
        if let Some(id) = settled_up_to {
            self.tables.raise_meta_id(MetaName::SettledUpTo, id.as_u128())?;
        }
        Ok(())
    }

    fn record_attempt(&mut self, recorded: Recorded, is_told: bool) -> Result<(), StoreError> {
        let Recorded { mut attempt, state, is_counted } = recorded;
        let Some(mut row) = Row::of(self, attempt.delivery)? else { return Ok(()) };
        let delivery = &mut row.delivery;
        delivery.attempts = delivery.attempts.saturating_add(1);
        if !is_counted {
            delivery.attempts_uncounted = delivery.attempts_uncounted.saturating_add(1);
        }
        delivery.last_http_status = match (&attempt.outcome, &attempt.response) {
            (Outcome::Status(status), _) => Some(*status),
            (Outcome::Success | Outcome::Error { .. }, response) => response.as_ref().map(|it| it.status),
        };
        delivery.updated_at = attempt.started_at.plus(attempt.phases.total);
        let number = delivery.attempts;
        let state = match delivery.state {
            was if row.is_final_on_disk => was,
            // Its subscription was deleted while the request was under way.
            was if was.is_final() && state != State::Succeeded => was,
            _ => state,
        };
        let Delivery { tenant, subscription, updated_at, .. } = row.delivery;
        row.put(&mut self.tables, state, false)?;
        let duration = attempt.phases.total;
        self.tables.observed.attempt((tenant, subscription), updated_at, &attempt.outcome, duration);

        attempt.id = AttemptId::from_u128(self.next_id());
        if is_told {
            let error = match &attempt.outcome {
                Outcome::Success | Outcome::Status(_) => None,
                Outcome::Error { class, detail: _ } => Some(*class),
            };
            let attempt = AttemptSeen {
                id: attempt.id,
                number,
                trigger: attempt.trigger,
                succeeded: attempt.outcome.is_success(),
                http_status: attempt.response.as_ref().map(|response| response.status),
                error,
                duration,
                started_at: attempt.started_at,
            };
            self.changed(Change::Attempted(Box::new((row.delivery, attempt))));
        }
        let kept =
            if attempt.outcome.is_success() { RESPONSE_BODY_BYTES_KEPT_OF_SUCCESS } else { RESPONSE_BODY_BYTES_MAX };
        if let Some(response) = &mut attempt.response
            && response.body.len() > kept
        {
            response.body.truncate(kept);
            response.body_truncated = true;
        }
        self.tables.put::<Attempts>(&(attempt.delivery, number), &AttemptRecord::from(attempt))
    }

    fn disable(&mut self, id: SubscriptionId, reason: DisabledReason) -> Result<(), StoreError> {
        let Some(known) = self.with_catalogue(|catalogue| catalogue.subscription(id).cloned()) else { return Ok(()) };
        let mut subscription = (*known).clone();
        if !subscription.is_active && subscription.disabled_reason == Some(reason) {
            return Ok(());
        }
        subscription.is_active = false;
        subscription.disabled_reason = Some(reason);
        subscription.revision += 1;
        subscription.updated_at = self.now;
        let record = SubscriptionRecord::from_domain(&subscription, &self.shared.crypt);
        self.tables.put::<Subscriptions>(&id, &record)?;
        self.catalogue_mut().put_subscription(subscription);
        self.changed(Change::Subscription(id));
        self.announce(Announcement { subscription: id, what: What::Disabled })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::event::Event;
    use crate::domain::id::TenantId;

    #[test]
    fn what_was_read_of_late_is_bounded_by_number_and_by_bytes_and_the_oldest_goes_first() {
        let now = Timestamp::from_millis(1_771_416_000_000);
        let event = |id: u128, bytes: usize| {
            let event = Event {
                id: EventId::from_u128(id),
                tenant: TenantId::DEFAULT,
                event_type: "order.paid".parse().unwrap(),
                external_id: None,
                occurred_at: now,
                created_at: now,
                deliveries: 1,
                data_bytes: bytes as u32,
                channels: Vec::new(),
                deliver_at: None,
                replay_of: None,
            };
            Arc::new(EventWithData { event, data: Bytes::from(vec![b' '; bytes]) })
        };
        for (bytes, kept) in [(1, EVENTS_READ_MAX), (EVENTS_READ_BYTES_MAX / 4, 4), (EVENTS_READ_BYTES_MAX + 1, 0)] {
            let mut recent = Recent::default();
            let last = 2 * EVENTS_READ_MAX.min(2 * kept + 1) as u128;
            for id in 1..=last {
                recent.keep(&event(id, bytes));
                recent.keep(&event(id, bytes));
            }
            assert_eq!((recent.events.len(), recent.order.len(), recent.bytes), (kept, kept, kept * bytes));
            let newest: Vec<u128> = recent.order.iter().map(|id| id.as_u128()).collect();
            assert_eq!(newest, (last + 1 - kept as u128..=last).collect::<Vec<_>>());
        }
    }
}
