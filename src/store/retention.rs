//! The background work, in bounded steps: deletions that were begun, answers that expired, and what is old enough to
//! go. Nothing that is not final ever goes.

use std::collections::BTreeMap;
use std::time::Duration;

use redb::ReadableTable;

use super::group::{Group, keys_with, put, remove};
use super::writer::Writer;
use super::{StoreError, postings, record, schema};
use crate::domain::delivery::{CanceledReason, Delivery};
use crate::domain::event::Event;
use crate::domain::id::{DeliveryId, EventId, KeyId, SubscriptionId, TenantId};
use crate::domain::time::Timestamp;

/// Events looked at, or deliveries canceled, in one step.
const ROWS_PER_STEP: usize = 500;
/// The retention walk begins again so long after it came to its end.
const WALK_EVERY: Duration = Duration::from_secs(60);
/// The last use of a key is written at most so often.
const KEYS_USED_EVERY: Duration = Duration::from_secs(60);

/// Where the background work stands.
#[derive(Debug, Default)]
pub(super) struct Housekeeping {
    walk_rests_until: Option<Timestamp>,
    keys_used_written_at: Option<Timestamp>,
}

/// One bounded step of everything; whether there may be more to do at once.
pub(super) fn step(writer: &mut Writer) -> Result<bool, StoreError> {
    let now = writer.shared.clock.now();
    let retention = writer.shared.retention;
    let rests = |until: Option<Timestamp>, pause| until.is_some_and(|until| now < until && until <= now.plus(pause));
    let walk = !rests(writer.housekeeping.walk_rests_until, WALK_EVERY);
    let keys_used =
        match rests(writer.housekeeping.keys_used_written_at.map(|at| at.plus(KEYS_USED_EVERY)), KEYS_USED_EVERY) {
            true => Vec::new(),
            false => writer.shared.take_keys_used(),
        };
    if !keys_used.is_empty() {
        writer.housekeeping.keys_used_written_at = Some(now);
    }
    let sweeps = writer.shared.has_sweeps();
    let answers = writer.shared.answers_may_have_expired(now)?;
    if !walk && keys_used.is_empty() && !sweeps && !answers {
        return Ok(false);
    }
    if sweeps {
        // Deletions go by the postings: nothing may be missing from them.
        writer.index_pass();
    }
    let (more, walked_to_the_end) = writer.transact(|group| {
        for (id, at) in keys_used {
            group.note_key_used(id, at)?;
        }
        let mut more = sweeps && group.sweep()?;
        more |= group.expire_answers()?;
        let at_the_end = walk && !group.retain(retention.payloads_days, retention.metadata_days)?;
        Ok((more || (walk && !at_the_end), at_the_end))
    })?;
    if walked_to_the_end {
        writer.housekeeping.walk_rests_until = Some(now.plus(WALK_EVERY));
    }
    Ok(more)
}

fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 60 * 60)
}

impl Group<'_, '_> {
    fn note_key_used(&mut self, id: KeyId, at: Timestamp) -> Result<(), StoreError> {
        if self.catalogue.key(id).is_some() {
            put(&mut self.tables.keys_used, &id.to_bytes(), &schema::time(at))?;
        }
        Ok(())
    }

    /// A step of the first deletion that is under way; whether there may be more.
    fn sweep(&mut self) -> Result<bool, StoreError> {
        let first = self.tables.sweeps.first()?.map(|(key, _)| key.value().to_vec());
        let Some(key) = first else { return Ok(false) };
        let (kind, id) = (key[0], schema::id(&key[1..]).unwrap_or(0));
        let is_done = match kind {
            schema::sweep::SUBSCRIPTION => self.sweep_subscription(SubscriptionId::from_u128(id))?,
            _ => self.sweep_tenant(TenantId::from_u128(id))?,
        };
        if is_done {
            remove(&mut self.tables.sweeps, &key)?;
            self.sweeps_ended += 1;
        }
        Ok(true)
    }

    /// Cancels what a deleted subscription still has on disk. What is in the dispatcher's memory comes from there.
    fn sweep_subscription(&mut self, id: SubscriptionId) -> Result<bool, StoreError> {
        let prefix = id.to_bytes();
        let keys = keys_with(&self.tables.due, &prefix, &prefix, ROWS_PER_STEP)?;
        for key in &keys {
            let Some((.., delivery)) = schema::read_due(key) else { continue };
            if let Some(delivery) = self.delivery(delivery)? {
                self.cancel(&delivery, CanceledReason::SubscriptionDeleted)?;
            }
        }
        let is_done = keys.len() < ROWS_PER_STEP;
        let has_history = !keys_with(&self.tables.deliveries_by_subscription, &prefix, &prefix, 1)?.is_empty();
        if is_done && !has_history {
            self.erase_subscription(id)?;
        }
        Ok(is_done)
    }

    /// Erases what a deleted tenant has, by its indices.
    fn sweep_tenant(&mut self, tenant: TenantId) -> Result<bool, StoreError> {
        let prefix = tenant.to_bytes();
        let chunks = keys_with(&self.tables.events_by_tenant, &prefix, &prefix, 2)?;
        let Some(key) = chunks.first() else {
            // External ids of events that retention removed are gone with them; subscriptions come last.
            let owned = self.subscriptions_of(tenant)?;
            for id in &owned {
                self.erase_subscription(*id)?;
            }
            return Ok(true);
        };
        let chunk = self.tables.events_by_tenant.get(key.as_slice())?.map(|row| postings::ids_of(row.value()));
        let mut doomed = Doomed::default();
        for id in chunk.unwrap_or_default() {
            if let Some(event) = self.event(EventId::from_u128(id))? {
                let deliveries = self.deliveries_of(&event)?;
                self.erase(&event, &deliveries, &mut doomed)?;
            }
        }
        remove(&mut self.tables.events_by_tenant, key)?;
        self.trim(doomed)?;
        Ok(false)
    }

    fn subscriptions_of(&self, tenant: TenantId) -> Result<Vec<SubscriptionId>, StoreError> {
        let mut owned = Vec::new();
        for row in self.tables.subscriptions.iter()? {
            let (key, value) = row?;
            let id = SubscriptionId::from_u128(schema::id(key.value()).unwrap_or(0));
            if record::read_subscription(id, value.value(), self.cipher)?.subscription.tenant == tenant {
                owned.push(id);
            }
        }
        Ok(owned)
    }

    fn deliveries_of(&self, event: &Event) -> Result<Vec<Delivery>, StoreError> {
        let mut deliveries = Vec::new();
        for row in self.tables.deliveries.range::<&[u8]>(&event.id.to_bytes()[..]..)?.take(event.deliveries as usize) {
            let (key, value) = row?;
            let id = DeliveryId::from_u128(schema::id(key.value()).unwrap_or(0));
            let delivery = record::read_delivery(id, value.value())?;
            if delivery.event != event.id {
                break;
            }
            deliveries.push(delivery);
        }
        Ok(deliveries)
    }

    /// A step of the walk over all events, oldest first; whether it goes on.
    fn retain(&mut self, payloads_days: u32, metadata_days: u32) -> Result<bool, StoreError> {
        let from = self.meta_number(schema::meta::RETAINED_UP_TO)?.saturating_add(1);
        let mut events = Vec::new();
        for row in self.tables.events.range::<&[u8]>(&from.to_be_bytes()[..]..)?.take(ROWS_PER_STEP) {
            let (key, value) = row?;
            events.push(record::read_event(EventId::from_u128(schema::id(key.value()).unwrap_or(0)), value.value())?);
        }
        let payloads_before = self.now.minus(days(payloads_days));
        let metadata_before = self.now.minus(days(metadata_days));
        let mut doomed = Doomed::default();
        let mut at_young = false;
        let mut last = 0;
        for event in &events {
            // Nothing younger than this can be ripe: final states come after creation.
            at_young = event.created_at > payloads_before.max(metadata_before);
            if at_young {
                break;
            }
            last = event.id.as_u128();
            let deliveries = self.deliveries_of(event)?;
            if deliveries.iter().any(|delivery| !delivery.state.is_final()) {
                continue;
            }
            let ended = deliveries.iter().map(|delivery| delivery.updated_at).max().unwrap_or(event.created_at);
            if ended < metadata_before {
                self.erase(event, &deliveries, &mut doomed)?;
                doomed.events.entry(event.tenant).or_default().push(event.id.as_u128());
            } else if ended < payloads_before {
                self.erase_payload(event.id, &deliveries)?;
            }
        }
        self.trim(doomed)?;
        let goes_on = events.len() == ROWS_PER_STEP && !at_young;
        self.set_meta_number(schema::meta::RETAINED_UP_TO, if goes_on { last } else { 0 })?;
        Ok(goes_on)
    }

    fn erase_payload(&mut self, event: EventId, deliveries: &[Delivery]) -> Result<(), StoreError> {
        remove(&mut self.tables.payloads, &event.to_bytes())?;
        for delivery in deliveries {
            for number in 1..=delivery.attempts {
                remove(&mut self.tables.attempts, &schema::attempt(delivery.id, number))?;
            }
        }
        Ok(())
    }

    /// Takes an event and everything of it away; the postings are trimmed together afterwards.
    fn erase(&mut self, event: &Event, deliveries: &[Delivery], doomed: &mut Doomed) -> Result<(), StoreError> {
        self.erase_payload(event.id, deliveries)?;
        for delivery in deliveries {
            let by_tenant = schema::pair(delivery.tenant.as_u128(), delivery.id.as_u128());
            remove(&mut self.tables.deliveries, &delivery.id.to_bytes())?;
            remove(&mut self.tables.failed, &by_tenant)?;
            remove(&mut self.tables.open, &by_tenant)?;
            if let Some(at) = delivery.state.next_attempt_at() {
                remove(&mut self.tables.due, &schema::due(delivery.subscription, at, delivery.id))?;
            }
            doomed.by_tenant.entry(delivery.tenant).or_default().push(delivery.id.as_u128());
            doomed.by_subscription.entry(delivery.subscription).or_default().push(delivery.id.as_u128());
        }
        if let Some(external_id) = &event.external_id {
            let key = schema::external_id(event.tenant.as_u128(), external_id.as_str());
            remove(&mut self.tables.external_ids, &key)?;
        }
        remove(&mut self.tables.events, &event.id.to_bytes())?;
        Ok(())
    }

    fn trim(&mut self, doomed: Doomed) -> Result<(), StoreError> {
        let Doomed { events, by_tenant, by_subscription } = doomed;
        for (owner, ids) in events {
            postings::trim(&mut self.tables.events_by_tenant, owner.as_u128(), &ids)?;
        }
        for (owner, ids) in by_tenant {
            postings::trim(&mut self.tables.deliveries_by_tenant, owner.as_u128(), &ids)?;
        }
        for (owner, ids) in by_subscription {
            postings::trim(&mut self.tables.deliveries_by_subscription, owner.as_u128(), &ids)?;
            // The record of a deleted subscription goes with the last delivery that names it.
            let prefix = owner.to_bytes();
            if keys_with(&self.tables.deliveries_by_subscription, &prefix, &prefix, 1)?.is_empty() {
                self.erase_subscription(owner)?;
            }
        }
        Ok(())
    }
}

/// What is to be taken out of the postings.
#[derive(Default)]
struct Doomed {
    events: BTreeMap<TenantId, Vec<u128>>,
    by_tenant: BTreeMap<TenantId, Vec<u128>>,
    by_subscription: BTreeMap<SubscriptionId, Vec<u128>>,
}
