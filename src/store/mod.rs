//! What is kept: one redb file, written by one writer in groups, read from snapshots.
//!
//! Each method is a business sentence and one promise: all of it is durable when the answer comes, or none of it is.

pub mod catalogue;
mod check;
mod configuration;
mod crypt;
mod deliveries;
mod group;
mod idempotency;
mod lists;
mod open;
mod postings;
mod publish;
mod query;
mod record;
mod retention;
mod schema;
mod writer;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata};
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::domain::delivery::{Attempt, CanceledReason, Delivery, State};
use crate::domain::event::{Event, EventWithData};
use crate::domain::health::Health;
use crate::domain::id::{DeliveryId, EventId, IdGenerator, KeyId, SubscriptionId, TenantId};
use crate::domain::subscription::DisabledReason;
use crate::domain::time::Timestamp;

pub use catalogue::Catalogue;
pub use check::{Report, check};
pub use crypt::write_private;
pub use idempotency::KEPT_FOR as ANSWERS_KEPT_FOR;
pub use open::{FILE as STORE_FILE, OpenError, Opened};
pub use query::{DeliveryFilter, EventFilter, From, Page, Walk};
pub use writer::{Stepped, Writer};

/// A handle on the open store. Clones share it.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    sentences: mpsc::Sender<writer::Sentence>,
}

/// Where the file is.
#[derive(Debug)]
pub enum Location {
    /// The folder with `waxwing.redb` and `secret-key`; made when it does not exist.
    Directory(PathBuf),
    /// A storage of the caller's own: a simulated disk.
    Backend(Box<dyn redb::StorageBackend>),
}

#[derive(Debug)]
pub struct Options {
    pub location: Location,
    /// 32 key bytes instead of the `secret-key` file (`WAXWING_SECRET_KEY`).
    pub secret_key: Option<[u8; 32]>,
    pub clock: Clock,
    /// For ids; in a simulated storage for nonces too.
    pub seed: u64,
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

/// What every handle and the writer share.
struct Shared {
    database: Arc<Database>,
    /// None: a storage without a file.
    path: Option<PathBuf>,
    catalogue: ArcSwap<Catalogue>,
    health: RwLock<HashMap<SubscriptionId, Health>>,
    cipher: crypt::Cipher,
    clock: Clock,
    retention: Retention,
    ahead_max: AtomicI64,
    /// Background deletions that are not finished.
    sweeps: AtomicUsize,
    keys_used: Mutex<KeysUsed>,
    is_broken: watch::Sender<bool>,
    is_closing: AtomicBool,
}

/// When each key was last used, and which of that is not written yet. Bounded by the number of keys.
#[derive(Default)]
struct KeysUsed {
    last: HashMap<KeyId, Timestamp>,
    unwritten: HashSet<KeyId>,
}

impl Shared {
    fn new(
        database: Arc<Database>,
        path: Option<PathBuf>,
        loaded: open::Loaded,
        cipher: crypt::Cipher,
        clock: Clock,
        retention: Retention,
    ) -> Self {
        let open::Loaded { catalogue, health, keys_used, sweeps, ahead_max } = loaded;
        Self {
            database,
            path,
            catalogue: ArcSwap::from_pointee(catalogue),
            health: RwLock::new(health),
            cipher,
            clock,
            retention,
            ahead_max: ahead_max.into(),
            sweeps: sweeps.into(),
            keys_used: Mutex::new(KeysUsed { last: keys_used, unwritten: HashSet::new() }),
            is_broken: watch::Sender::new(false),
            is_closing: AtomicBool::new(false),
        }
    }

    /// Makes visible what was just committed.
    fn committed(&self, committed: group::Committed) {
        let group::Committed { catalogue, health, sweeps_begun, sweeps_ended, ahead_max } = committed;
        if let Some(catalogue) = catalogue {
            self.catalogue.store(Arc::new(catalogue));
        }
        if !health.is_empty() {
            self.health.write().expect("no one panics while holding it").extend(health);
        }
        self.sweeps.fetch_add(sweeps_begun, Ordering::Relaxed);
        self.sweeps.fetch_sub(sweeps_ended, Ordering::Relaxed);
        self.ahead_max.store(ahead_max, Ordering::Relaxed);
    }

    fn ahead_max(&self) -> i64 {
        self.ahead_max.load(Ordering::Relaxed)
    }

    fn has_sweeps(&self) -> bool {
        self.sweeps.load(Ordering::Relaxed) > 0
    }

    fn is_broken(&self) -> bool {
        *self.is_broken.borrow()
    }

    fn break_down(&self) {
        self.is_broken.send_replace(true);
    }

    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    fn take_keys_used(&self) -> Vec<(KeyId, Timestamp)> {
        let mut used = self.keys_used.lock().expect("no one panics while holding it");
        let unwritten = std::mem::take(&mut used.unwritten);
        unwritten.into_iter().filter_map(|id| Some((id, *used.last.get(&id)?))).collect()
    }

    fn answers_may_have_expired(&self, now: Timestamp) -> Result<bool, StoreError> {
        let read = self.database.begin_read()?;
        let answers = read.open_table(schema::ANSWERS_BY_TIME)?;
        let oldest = answers.first()?.and_then(|(key, _)| schema::read_time(key.value().get(..8)?));
        Ok(oldest.is_some_and(|at| now >= at.plus(ANSWERS_KEPT_FOR)))
    }
}

impl Store {
    /// The configuration as of the last commit.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.shared.catalogue.load_full()
    }

    /// An id that no one else gets; for what is sent but not kept (test deliveries).
    pub fn next_event_id(&self) -> EventId {
        EventId::from_u128(IdGenerator::after(0).next(self.shared.clock.now(), &mut rand::rng()))
    }

    pub fn health(&self, id: SubscriptionId) -> Health {
        self.shared.health.read().expect("no one panics while holding it").get(&id).copied().unwrap_or_default()
    }

    /// Notes that a key was used; written with some later commit, at most once a minute.
    pub fn key_used(&self, id: KeyId, at: Timestamp) {
        /// What a reader of "last used" does not miss.
        const RESOLUTION: Duration = Duration::from_secs(1);
        let mut used = self.shared.keys_used.lock().expect("no one panics while holding it");
        if used.last.get(&id).is_none_or(|last| at.since(*last) >= RESOLUTION) {
            used.last.insert(id, at);
            used.unwritten.insert(id);
        }
    }

    pub fn key_last_used(&self, id: KeyId) -> Option<Timestamp> {
        self.shared.keys_used.lock().expect("no one panics while holding it").last.get(&id).copied()
    }

    /// Whether a write failed: then nothing more is written until the store is opened again.
    pub fn is_broken(&self) -> bool {
        self.shared.is_broken()
    }

    /// Ends when a write has failed.
    pub async fn broken(&self) {
        let mut broken = self.shared.is_broken.subscribe();
        // The sender lives as long as this handle.
        let _ = broken.wait_for(|is_broken| *is_broken).await;
    }

    /// Lets the writer finish what is queued and end. Later sentences are refused.
    pub async fn close(&self) {
        self.shared.is_closing.store(true, Ordering::Release);
        // Wakes the writer; when it has ended already there is nothing to wait for.
        let (queued, done) = oneshot::channel();
        let farewell: writer::Sentence = Box::new(move |_| writer::Told {
            is_storage_failure: false,
            answer: Box::new(move |_| {
                let _ = queued.send(());
            }),
        });
        if self.sentences.send(farewell).await.is_ok() {
            let _ = done.await;
        }
    }

    /// Queues a sentence and waits until it is durable. A refusal (`Err`) must have written nothing.
    async fn sentence<T: Send + 'static>(
        &self,
        sentence: impl FnOnce(&mut group::Group<'_, '_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.shared.is_closing() {
            return Err(StoreError::Unavailable("the store is being closed".to_owned()));
        }
        let (sender, answer) = oneshot::channel();
        let queued: writer::Sentence = Box::new(move |group| {
            let result = sentence(group);
            writer::Told {
                is_storage_failure: matches!(result, Err(StoreError::Unavailable(_))),
                answer: Box::new(move |committed: Result<(), StoreError>| {
                    // Who asked may have gone away; what was asked is done all the same.
                    let _ = sender.send(committed.and(result));
                }),
            }
        });
        let gone = |_| StoreError::Unavailable("the store is closed".to_owned());
        self.sentences.send(queued).await.map_err(|_| gone(()))?;
        answer.await.unwrap_or_else(|_| Err(gone(())))
    }

    pub fn sizes(&self) -> Sizes {
        let file_bytes = match &self.shared.path {
            Some(path) => std::fs::metadata(path).map_or(0, |metadata| metadata.len()),
            None => 0,
        };
        let free_bytes = self.shared.path.as_deref().and_then(writer::free_bytes).map_or(0, |(free, _)| free);
        let count = |definition| -> Result<u64, StoreError> {
            Ok(self.shared.database.begin_read()?.open_table(definition)?.len()?)
        };
        Sizes {
            file_bytes,
            free_bytes,
            events: count(schema::EVENTS).unwrap_or(0),
            deliveries: count(schema::DELIVERIES).unwrap_or(0),
            deliveries_due: count(schema::DUE).unwrap_or(0),
            attempts: count(schema::ATTEMPTS).unwrap_or(0),
        }
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
