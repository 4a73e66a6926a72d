//! One transaction that several sentences share: open tables, ids, and what the commit will change in memory.

use redb::{ReadableTable, Table, WriteTransaction};

use super::crypt::Cipher;
use super::record::{self, KeptSubscription};
use super::{Catalogue, Change, StoreError, schema};
use crate::domain::delivery::{Delivery, State};
use crate::domain::event::Event;
use crate::domain::health::Health;
use crate::domain::id::{DeliveryId, EventId, IdGenerator, SubscriptionId, TenantId};
use crate::domain::time::Timestamp;

pub(super) type Rows<'t> = Table<'t, &'static [u8], &'static [u8]>;

macro_rules! tables {
    ($($name:ident: $definition:ident,)*) => {
        /// Every table, open for writing.
        pub(super) struct Tables<'t> { $(pub $name: Rows<'t>,)* }

        impl<'t> Tables<'t> {
            pub fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
                Ok(Self { $($name: transaction.open_table(schema::$definition)?,)* })
            }
        }
    };
}

tables! {
    meta: META,
    tenants: TENANTS,
    keys: KEYS,
    event_types: EVENT_TYPES,
    subscriptions: SUBSCRIPTIONS,
    health: HEALTH,
    keys_used: KEYS_USED,
    events: EVENTS,
    payloads: PAYLOADS,
    deliveries: DELIVERIES,
    attempts: ATTEMPTS,
    due: DUE,
    open: OPEN,
    failed: FAILED,
    events_by_tenant: EVENTS_BY_TENANT,
    deliveries_by_tenant: DELIVERIES_BY_TENANT,
    deliveries_by_subscription: DELIVERIES_BY_SUBSCRIPTION,
    external_ids: EXTERNAL_IDS,
    answers: ANSWERS,
    answers_by_time: ANSWERS_BY_TIME,
    answers_by_secret: ANSWERS_BY_SECRET,
    sweeps: SWEEPS,
}

pub(super) fn put(rows: &mut Rows<'_>, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    rows.insert(key, value)?;
    Ok(())
}

pub(super) fn remove(rows: &mut Rows<'_>, key: &[u8]) -> Result<bool, StoreError> {
    Ok(rows.remove(key)?.is_some())
}

/// Up to `limit` keys from `from` on that begin with `prefix`.
pub(super) fn keys_with(
    rows: &impl ReadableTable<&'static [u8], &'static [u8]>,
    prefix: &[u8],
    from: &[u8],
    limit: usize,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut keys = Vec::new();
    for row in rows.range(from..)? {
        let (key, _) = row?;
        if keys.len() == limit || !key.value().starts_with(prefix) {
            break;
        }
        keys.push(key.value().to_vec());
    }
    Ok(keys)
}

/// What the sentences of one commit work on. Dropped without a commit, nothing of it happened.
pub(super) struct Group<'t, 'w> {
    pub tables: Tables<'t>,
    pub ids: &'w mut IdGenerator,
    pub chance: &'w mut rand::rngs::StdRng,
    pub cipher: &'w Cipher,
    pub now: Timestamp,
    /// The catalogue as it will be after this commit.
    pub catalogue: Catalogue,
    pub catalogue_changed: bool,
    pub changes: Vec<Change>,
    /// Health rows that were written.
    pub health: Vec<(SubscriptionId, Health)>,
    /// What the next index pass has to add.
    pub unindexed: Vec<Unindexed>,
    /// New work is refused: the free-space reserve is reached.
    pub is_full: bool,
    pub ahead_max: i64,
    /// Background deletions that begin, and that end, with this commit.
    pub sweeps_begun: usize,
    pub sweeps_ended: usize,
}

/// What a commit changes in memory.
pub(super) struct Committed {
    /// None when the configuration did not change.
    pub catalogue: Option<Catalogue>,
    pub health: Vec<(SubscriptionId, Health)>,
    pub sweeps_begun: usize,
    pub sweeps_ended: usize,
    pub ahead_max: i64,
}

/// An id that is not in the postings yet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unindexed {
    Event(TenantId, EventId),
    Delivery(TenantId, SubscriptionId, DeliveryId),
}

impl Unindexed {
    pub fn id(self) -> u128 {
        match self {
            Self::Event(_, id) => id.as_u128(),
            Self::Delivery(.., id) => id.as_u128(),
        }
    }
}

impl Group<'_, '_> {
    pub fn next_id(&mut self) -> u128 {
        self.ids.next(self.now, self.chance)
    }

    pub fn meta_number(&self, name: &[u8]) -> Result<u128, StoreError> {
        Ok(self.tables.meta.get(name)?.and_then(|value| schema::id(value.value())).unwrap_or(0))
    }

    pub fn set_meta_number(&mut self, name: &[u8], number: u128) -> Result<(), StoreError> {
        put(&mut self.tables.meta, name, &number.to_be_bytes())
    }

    pub fn event(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        match self.tables.events.get(id.to_bytes().as_slice())? {
            Some(row) => record::read_event(id, row.value()).map(Some),
            None => Ok(None),
        }
    }

    pub fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        match self.tables.deliveries.get(id.to_bytes().as_slice())? {
            Some(row) => record::read_delivery(id, row.value()).map(Some),
            None => Ok(None),
        }
    }

    /// A subscription's record, deleted or not.
    pub fn subscription(&self, id: SubscriptionId) -> Result<Option<KeptSubscription>, StoreError> {
        match self.tables.subscriptions.get(id.to_bytes().as_slice())? {
            Some(row) => record::read_subscription(id, row.value(), self.cipher).map(Some),
            None => Ok(None),
        }
    }

    /// Writes a delivery whose state was `before`, and every row that follows from its state.
    pub fn put_delivery(&mut self, delivery: &Delivery, before: State) -> Result<(), StoreError> {
        let key = delivery.id.to_bytes();
        put(&mut self.tables.deliveries, &key, &record::write_delivery(delivery))?;
        let by_tenant = schema::pair(delivery.tenant.as_u128(), delivery.id.as_u128());
        if let Some(at) = before.next_attempt_at() {
            let old = schema::due(delivery.subscription, at, delivery.id);
            let was_parked = remove(&mut self.tables.due, &old)?;
            if was_parked && delivery.state.is_final() {
                remove(&mut self.tables.open, &by_tenant)?;
            }
        }
        match delivery.state {
            State::Pending { .. } | State::Retrying { .. } => {
                self.park(delivery)?;
                if before.is_final() {
                    remove(&mut self.tables.failed, &by_tenant)?;
                }
            }
            State::Succeeded => {
                if before.is_final() {
                    remove(&mut self.tables.failed, &by_tenant)?;
                }
            }
            State::Exhausted { .. } | State::Canceled { .. } => put(&mut self.tables.failed, &by_tenant, &[])?,
        }
        Ok(())
    }

    /// Gives an open delivery its row in the queue on disk.
    pub fn park(&mut self, delivery: &Delivery) -> Result<(), StoreError> {
        let Some(at) = delivery.state.next_attempt_at() else { return Ok(()) };
        put(&mut self.tables.due, &schema::due(delivery.subscription, at, delivery.id), &[])?;
        let by_tenant = schema::pair(delivery.tenant.as_u128(), delivery.id.as_u128());
        put(&mut self.tables.open, &by_tenant, &[])
    }

    pub fn put_health(&mut self, id: SubscriptionId, health: Health) -> Result<(), StoreError> {
        put(&mut self.tables.health, &id.to_bytes(), &record::write_health(&health))?;
        self.health.push((id, health));
        Ok(())
    }
}

/// Every error of redb means that nothing of this group will be committed.
macro_rules! unavailable {
    ($($error:ty,)*) => {$(
        impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::Unavailable(error.to_string())
            }
        }
    )*};
}

unavailable! {
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::Error,
}
