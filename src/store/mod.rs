//! What is kept: one redb file, written by one writer in groups, read from snapshots.
//!
//! Each method is a business sentence and one promise: all of it is durable when the answer comes, or none of it is.

pub mod catalogue;
mod query;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Clock;
use crate::domain::delivery::{Attempt, CanceledReason, Delivery, State};
use crate::domain::event::{Event, EventWithData, NewEvent};
use crate::domain::event_type::{EventType, EventTypeName};
use crate::domain::health::Health;
use crate::domain::id::{DeliveryId, EventId, KeyId, SubscriptionId, TenantId};
use crate::domain::key::ApiKey;
use crate::domain::subscription::{DisabledReason, Subscription};
use crate::domain::tenant::Tenant;
use crate::domain::time::Timestamp;

pub use catalogue::Catalogue;
pub use query::{DeliveryFilter, EventFilter, From, Page, Walk};

/// A handle on the open store. Clones share it.
#[derive(Clone)]
pub struct Store {/* the store helper fills this */}

#[derive(Debug, Clone)]
pub struct Options {
    /// The folder with `waxwing.redb` and `secret-key`; made when it does not exist.
    pub data_dir: PathBuf,
    /// 32 key bytes instead of the `secret-key` file (`WAXWING_SECRET_KEY`).
    pub secret_key: Option<[u8; 32]>,
    pub clock: Clock,
    pub retention: Retention,
    /// New work is refused when less than this is free; none: max(256 MiB, 2 %) of the file system.
    pub free_bytes_min: Option<u64>,
    /// The storage cache.
    pub cache_bytes: usize,
}

/// How long things are kept, counted from the last delivery's final state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    pub payloads_days: u32,
    pub metadata_days: u32,
}

/// Why a sentence was not carried out. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("there is no such thing")]
    NotFound,
    #[error("it exists already")]
    AlreadyExists,
    /// An event with this external id has another type or other data.
    #[error("the external id belongs to another event")]
    ExternalIdConflict,
    #[error("no more than {max} are allowed")]
    LimitExceeded { max: u32 },
    /// It is in a state in which this cannot be done.
    #[error("its state does not allow this")]
    InvalidState,
    /// It changed since the caller read it.
    #[error("it was changed meanwhile")]
    PreconditionFailed,
    /// The free-space reserve is reached (contract 9).
    #[error("storage is full")]
    StorageFull,
    /// The file cannot be written or read now. For the log, not for callers of the API.
    #[error("storage failed: {0}")]
    Unavailable(String),
}

/// What committed, told to the dispatcher in the order of commits.
#[derive(Debug, Clone)]
pub enum Change {
    /// New deliveries. They are on disk without a due row until [`Store::record`] settles or parks them.
    Accepted(Vec<Fresh>),
    /// A subscription was made, changed or deleted: look it up in the catalogue.
    Subscription(SubscriptionId),
    /// Something of this subscription is due on disk at that time, earlier than known (a manual retry).
    Due(SubscriptionId, Timestamp),
    /// A delivery became final without an attempt.
    Canceled(SubscriptionId, DeliveryId),
}

/// A delivery that was just committed, with all that sending it needs.
#[derive(Debug, Clone)]
pub struct Fresh {
    pub delivery: DeliveryId,
    pub subscription: SubscriptionId,
    pub tenant: TenantId,
    pub event: Arc<EventWithData>,
    pub next_attempt_at: Timestamp,
}

/// A delivery read from disk because it is due.
#[derive(Debug, Clone)]
pub struct Due {
    pub delivery: Delivery,
    /// None when retention removed the payload.
    pub event: Option<Arc<EventWithData>>,
}

/// What the dispatcher wants kept, all in one commit.
#[derive(Debug, Clone, Default)]
pub struct Recordings {
    pub attempts: Vec<Recorded>,
    /// Fresh deliveries that leave memory, or have been in it for long: they get a due row.
    pub parked: Vec<DeliveryId>,
    /// Deliveries that end without an attempt.
    pub canceled: Vec<(DeliveryId, CanceledReason)>,
    pub health: Vec<(SubscriptionId, Health)>,
    pub disabled: Vec<(SubscriptionId, DisabledReason)>,
    /// Every delivery up to this one has a due row or is final once this commits.
    pub settled_up_to: Option<DeliveryId>,
}

/// An attempt, and the state that follows from it. A final state on disk is not changed any more.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its `id` is assigned by the store (any value is replaced).
    pub attempt: Attempt,
    pub state: State,
}

/// What publishing one event came to.
#[derive(Debug, Clone)]
pub struct Published {
    pub event: Event,
    /// The external id was published before, with the same type and data: `event` is the first one.
    pub is_duplicate: bool,
}

/// A remembered answer to a request with an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    pub status: u16,
    /// `location` and `etag`, when the answer has them.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// Whose secret the body shows, when it shows one: the answer is encrypted, and removed with that secret.
    pub shows_secret_of: Option<SecretOwner>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretOwner {
    Subscription(SubscriptionId),
    Key(KeyId),
}

/// SHA-256 over (key id, tenant, method, path with query, header value): which request an idempotency key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestName(pub [u8; 32]);

/// Asks a sentence to keep its answer in the same commit.
pub struct Remember<T: ?Sized> {
    pub request: RequestName,
    /// SHA-256 of the request's body.
    pub body_sha256: [u8; 32],
    /// Who asked: the answers of a revoked key that show a secret are removed with it.
    pub key: KeyId,
    /// Writes the answer; called in the transaction, so it must be quick and cannot fail.
    pub render: Box<dyn FnOnce(&T) -> StoredAnswer + Send>,
}

/// Changes a configuration record in its transaction. `Err` leaves everything as it was.
pub type Edit<T> = Box<dyn FnOnce(&mut T) -> Result<(), StoreError> + Send>;

#[allow(unused_variables, reason = "being built")]
impl Store {
    pub fn catalogue(&self) -> Arc<Catalogue> {
        unimplemented!()
    }

    /// An id that no one else gets; for what is sent but not kept (test deliveries).
    pub fn next_event_id(&self) -> EventId {
        unimplemented!()
    }

    // -- publishing

    /// Keeps the events, who gets them and the answer to the request, in one commit. In the order given; an event
    /// that cannot be taken does not stop the others.
    pub async fn accept(
        &self,
        events: Vec<NewEvent>,
        remember: Option<Remember<[Result<Published, StoreError>]>>,
    ) -> Result<Vec<Result<Published, StoreError>>, StoreError> {
        unimplemented!()
    }

    // -- idempotency

    pub fn recall(&self, request: RequestName) -> Result<Option<([u8; 32], StoredAnswer)>, StoreError> {
        unimplemented!()
    }

    /// Keeps an answer whose request changed nothing (a 4xx), or whose sentence could not keep it itself.
    pub async fn remember(
        &self,
        request: RequestName,
        body_sha256: [u8; 32],
        key: KeyId,
        answer: StoredAnswer,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }

    // -- subscriptions

    /// `subscription.id`, `revision` and times are assigned. Fails with `LimitExceeded`, `NotFound` (tenant).
    pub async fn create_subscription(
        &self,
        subscription: Subscription,
        remember: Option<Remember<Subscription>>,
    ) -> Result<Subscription, StoreError> {
        unimplemented!()
    }

    /// Applies `change`; when it changed anything, `revision` and `updated_at` move. Setting `is_active` from false
    /// to true clears `disabled_reason` and resets the health counters. A changed secret removes the stored answers
    /// that show the old one.
    pub async fn update_subscription(
        &self,
        id: SubscriptionId,
        change: Edit<Subscription>,
        remember: Option<Remember<Subscription>>,
    ) -> Result<Subscription, StoreError> {
        unimplemented!()
    }

    /// It takes no more events at once; its pending deliveries are canceled in the background, and read as canceled
    /// from now on.
    pub async fn delete_subscription(
        &self,
        id: SubscriptionId,
        expected_revision: Option<u32>,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }

    pub fn health(&self, id: SubscriptionId) -> Health {
        unimplemented!()
    }

    // -- event types, tenants, keys

    /// `Err(AlreadyExists)` when the name is taken.
    pub async fn create_event_type(
        &self,
        event_type: EventType,
        remember: Option<Remember<EventType>>,
    ) -> Result<EventType, StoreError> {
        unimplemented!()
    }

    pub async fn update_event_type(
        &self,
        name: EventTypeName,
        change: Edit<EventType>,
        remember: Option<Remember<EventType>>,
    ) -> Result<EventType, StoreError> {
        unimplemented!()
    }

    pub async fn delete_event_type(
        &self,
        name: EventTypeName,
        expected_revision: Option<u32>,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// `Err(AlreadyExists)` when the external id is taken.
    pub async fn create_tenant(
        &self,
        tenant: Tenant,
        remember: Option<Remember<Tenant>>,
    ) -> Result<Tenant, StoreError> {
        unimplemented!()
    }

    pub async fn update_tenant(
        &self,
        id: TenantId,
        change: Edit<Tenant>,
        remember: Option<Remember<Tenant>>,
    ) -> Result<Tenant, StoreError> {
        unimplemented!()
    }

    /// Revokes its keys and frees its external id at once; its data is erased in the background, also after a
    /// restart. `InvalidState` for the permanent tenants.
    pub async fn delete_tenant(&self, id: TenantId, expected_revision: Option<u32>) -> Result<(), StoreError> {
        unimplemented!()
    }

    pub async fn create_key(&self, key: ApiKey, remember: Option<Remember<ApiKey>>) -> Result<ApiKey, StoreError> {
        unimplemented!()
    }

    pub async fn revoke_key(&self, id: KeyId) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Notes that a key was used; written with some later commit, at most once a minute for each key.
    pub fn key_used(&self, id: KeyId, at: Timestamp) {
        unimplemented!()
    }

    pub fn key_last_used(&self, id: KeyId) -> Option<Timestamp> {
        unimplemented!()
    }

    // -- reading what happened; these read the disk: call them from a blocking thread

    pub fn event(&self, id: EventId) -> Result<Option<Event>, StoreError> {
        unimplemented!()
    }

    /// None once retention removed it.
    pub fn event_data(&self, id: EventId) -> Result<Option<Bytes>, StoreError> {
        unimplemented!()
    }

    /// Newest first.
    pub fn events(
        &self,
        tenant: TenantId,
        filter: &EventFilter,
        walk: Walk<EventId>,
    ) -> Result<Page<Event, EventId>, StoreError> {
        unimplemented!()
    }

    /// The deliveries of one event, in the order of its subscriptions.
    pub fn deliveries_of(&self, event: &Event) -> Result<Vec<Delivery>, StoreError> {
        unimplemented!()
    }

    pub fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        unimplemented!()
    }

    /// In the order in which they were made.
    pub fn attempts(&self, delivery: DeliveryId) -> Result<Vec<Attempt>, StoreError> {
        unimplemented!()
    }

    /// Newest first.
    pub fn deliveries(
        &self,
        tenant: TenantId,
        filter: &DeliveryFilter,
        walk: Walk<DeliveryId>,
    ) -> Result<Page<Delivery, DeliveryId>, StoreError> {
        unimplemented!()
    }

    // -- deliveries: what a person asks for

    /// One attempt now. `InvalidState` when it succeeded or was canceled; an exhausted one gets exactly one more.
    pub async fn retry_delivery(
        &self,
        id: DeliveryId,
        remember: Option<Remember<Delivery>>,
    ) -> Result<Delivery, StoreError> {
        unimplemented!()
    }

    /// `InvalidState` when it is final.
    pub async fn cancel_delivery(
        &self,
        id: DeliveryId,
        remember: Option<Remember<Delivery>>,
    ) -> Result<Delivery, StoreError> {
        unimplemented!()
    }

    // -- deliveries: what the dispatcher needs

    pub async fn record(&self, recordings: Recordings) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Subscriptions with something due on disk, each with its earliest time, in the order of ids.
    pub fn lanes(
        &self,
        after: Option<SubscriptionId>,
        limit: usize,
    ) -> Result<Vec<(SubscriptionId, Timestamp)>, StoreError> {
        unimplemented!()
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
        unimplemented!()
    }

    // -- the instance

    pub fn sizes(&self) -> Sizes {
        unimplemented!()
    }
}

/// Figures for `/metrics` and `check`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sizes {
    pub file_bytes: u64,
    pub free_bytes: u64,
    pub events: u64,
    pub deliveries: u64,
    pub deliveries_due: u64,
    pub attempts: u64,
}
