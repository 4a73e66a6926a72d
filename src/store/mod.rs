//! What is kept: one redb file, written by one writer in groups, read from snapshots.
//!
//! Each method is a business sentence and one promise: all of it is durable when the answer comes, or none of it is.

//!
//! How a sentence is carried out: [`Store`] puts it into a bounded queue, [`Writer`] takes all that is ready, carries it
//! out in one transaction, commits, tells the dispatcher what committed, and only then answers everyone. What is
//! written where is in `schema.rs`.

mod announcements;
mod attempts;
mod audit;
mod backlog;
pub mod backup;
mod behind;
pub mod catalogue;
mod check;
mod commit;
mod compaction;
mod crypt;
mod deliveries;
mod erase;
mod event_types;
mod events;
mod folder;
mod format;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod glance;
mod idempotency;
mod jobs;
mod journal;
mod keys;
mod open;
mod pace;
mod pages;
mod portal_links;
mod postings;
mod query;
mod reach;
mod record;
mod recovery;
mod redelivery;
mod rekey;
mod retention;
mod schema;
mod settings;
mod space;
pub mod stats;
mod subscriptions;
mod tables;
mod tenants;
mod timers;
mod trial;
mod users;
mod vitals;
mod volume;
mod work;
mod writer;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Clock;
use crate::domain::actor::ActorId;
use crate::domain::delivery::{Attempt, CanceledReason, Delivery, ErrorClass, State, Trigger};
use crate::domain::event::{Event, EventWithData};
use crate::domain::health::Health;
use crate::domain::id::{AttemptId, DeliveryId, KeyId, SubscriptionId, TenantId, UserId};
use crate::domain::obstacle::{Limited, Obstacle};
use crate::domain::operational::Announcement;
use crate::domain::setting::{AUDIT_DAYS_DEFAULT, SettingName};
use crate::domain::subscription::DisabledReason;
use crate::domain::time::Timestamp;

pub use attempts::{AttemptMade, AttemptPage, AttemptPlace};
pub use audit::AuditFilter;
pub use backlog::{BACKLOG_AGE_MAX, BACKLOG_MAX};
pub use catalogue::{Catalogue, Known};
pub use check::{FINDINGS_MAX, Report, TableReport, check};
pub use commit::Store;
pub use compaction::{Compacted, Compaction, CompactionError, CompactionState, Ended, Progress, Step, Turned};
pub use deliveries::EventsRead;
pub use event_types::Imported;
pub use folder::{KEY_FILE, STORE_FILE, read_secret_key, write_private};
pub use glance::{FileState, Glance, glance};
pub use journal::JOURNAL_FILES;
pub use open::{OpenError, Opened};
pub use pace::Pace;
pub use query::{AttemptFilter, DeliveryFilter, EventFilter, From, Page, ROWS_WALKED_MAX, Walk};
pub use reach::{Reach, Whose};
pub use rekey::{Rekeyed, Stage, rekey};
pub use space::{Disk, DiskLevel, Files, disk_of};
pub use trial::TEST_RECORDED_WITHIN;
pub use users::{Checked, Chosen};
pub use vitals::{Commits, JournalState, Longest, Queue, Subscribers};
pub use volume::{TableVolume, Volume};
pub use writer::{Stepped, Writer};

pub struct Options {
    pub location: Location,
    /// 32 key bytes instead of the `secret-key` file (`WAXWING_SECRET_KEY`). A [`Location::Backend`] needs them.
    pub secret_key: Option<[u8; 32]>,
    pub clock: Clock,
    /// Where the random bits of ids begin: drawn from the operating system, or chosen by a test.
    pub seed: u64,
    pub retention: Retention,
    /// What a flag, a variable or a file decides: what is stored of it means nothing.
    pub settings_fixed: BTreeSet<SettingName>,
    /// New work is refused when less than this is free; none: max(256 MiB, 2 %) of the file system.
    pub free_bytes_min: Option<u64>,
    /// The storage cache.
    pub cache_bytes: usize,
}

/// Where the file is.
pub enum Location {
    /// A folder with `waxwing.redb`, the two files of the journal and `secret-key`; made when it does not exist.
    Directory(PathBuf),
    /// Three files of a simulated disk, and how much of it is free. What is written behind waits until it is asked for.
    Backend {
        database: Box<dyn redb::StorageBackend>,
        journal: [Box<dyn redb::StorageBackend>; 2],
        free_bytes: Arc<AtomicU64>,
    },
}

/// The storage cache of an instance that was not told otherwise.
pub const CACHE_BYTES_DEFAULT: usize = 32 * 1024 * 1024;

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { location, secret_key: _, clock, seed, retention, settings_fixed, free_bytes_min, cache_bytes } =
            self;
        f.debug_struct("Options")
            .field("location", location)
            .field("clock", clock)
            .field("seed", seed)
            .field("retention", retention)
            .field("settings_fixed", settings_fixed)
            .field("free_bytes_min", free_bytes_min)
            .field("cache_bytes", cache_bytes)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(directory) => directory.fmt(f),
            Self::Backend { .. } => f.write_str("a simulated disk"),
        }
    }
}

/// How long things are kept, counted from the last delivery's final state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    pub payloads_days: u32,
    pub metadata_days: u32,
    /// From the entry itself.
    pub audit_days: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { payloads_days: 30, metadata_days: 90, audit_days: AUDIT_DAYS_DEFAULT }
    }
}

/// Why a sentence was not carried out. Nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("there is no such thing")]
    NotFound,
    #[error("it exists already")]
    AlreadyExists,
    /// An event with this external id has another type or other data.
    #[error("the external id belongs to another event")]
    ExternalIdConflict,
    #[error("no more than {max} {} are allowed", of_what.words())]
    LimitExceeded { max: u32, of_what: Limited },
    /// The restriction of the key that made a subscription does not admit the event.
    #[error("a subscription may not have this event")]
    EventNotAllowed,
    /// Retention removed what an event says.
    #[error("the event's data is gone")]
    PayloadExpired,
    /// It is in a state in which this cannot be done.
    #[error("its state does not allow this: {0:?}")]
    InvalidState(Obstacle),
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
    /// The transaction that made this delivery settled it: it waits for its time on disk, or is final from the start.
    Settled(DeliveryId),
    /// A subscription was made, changed or deleted: look it up in the catalogue.
    Subscription(SubscriptionId),
    /// Something of this subscription is due on disk at that time, earlier than known, because a person asked: what its
    /// receiver asked for is over.
    Due(SubscriptionId, Timestamp),
    /// A person wants this one to be tried now.
    Retry(SubscriptionId, DeliveryId),
    /// The subscription's health starts anew: look it up.
    Lifted(SubscriptionId),
    /// Something of this subscription is due on disk at that time: a scheduled event, or what a job queued, which has many
    /// such steps. Its limits stay as they are.
    Scheduled(SubscriptionId, Timestamp),
    /// A delivery became final without an attempt.
    Canceled(SubscriptionId, DeliveryId),
    /// A delivery changed without an attempt, or ended as it was made: what it is now, for whoever watches. What it means
    /// for sending is told besides.
    Moved(Box<Delivery>),
    /// The delivery as it stands after an attempt, for whoever watches: only when [`Recordings::are_told`].
    Attempted(Box<(Delivery, AttemptSeen)>),
    /// The subscription fares differently from before, for whoever watches: as above.
    Fares(SubscriptionId),
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
    /// Become events of tenant `system`.
    pub announced: Vec<Announcement>,
    /// Every delivery up to this one has a due row or is final once this commits.
    pub settled_up_to: Option<DeliveryId>,
    /// Whether somebody watches, and is to be told of each attempt.
    pub are_told: bool,
}

/// An attempt, and the state that follows from it. A final state on disk is not changed any more.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its `id` and `number` are assigned by the store (any values are replaced).
    pub attempt: Attempt,
    pub state: State,
    /// Whether it takes the delivery on in its schedule.
    pub is_counted: bool,
}

/// An attempt without what was sent and what came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptSeen {
    pub id: AttemptId,
    /// From 1.
    pub number: u16,
    pub trigger: Trigger,
    pub succeeded: bool,
    /// None when no usable answer came.
    pub http_status: Option<u16>,
    /// Why none came.
    pub error: Option<ErrorClass>,
    pub duration: Duration,
    pub started_at: Timestamp,
}

/// What publishing one event came to.
#[derive(Debug, Clone)]
pub struct Published {
    pub event: Event,
    /// The external id was published before, with the same type and data: `event` is the first one.
    pub is_duplicate: bool,
}

/// What a job would concern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub matched: u64,
    /// False when there were too many rows to look at all of them.
    pub is_complete: bool,
}

/// How an event goes out again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redelivery {
    /// To everyone who subscribes to its type today.
    ToMatching,
    To(Vec<SubscriptionId>),
    /// As an event of its own, to these.
    AsNewEvent(Vec<SubscriptionId>),
}

/// What a redelivery made.
#[derive(Debug, Clone)]
pub struct Redelivered {
    /// The same event, or the new one.
    pub event: Event,
    /// All of it.
    pub deliveries: Vec<Delivery>,
    /// How many of them are new.
    pub made: u32,
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
    Tenant(TenantId),
    /// An invitation's, or of a second factor.
    User(UserId),
}

/// SHA-256 over (id of who asks, tenant, method, path with query, header value): which request an idempotency key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestName(pub [u8; 32]);

/// Asks a sentence to keep its answer in the same commit.
pub struct Remember<T: ?Sized> {
    pub request: RequestName,
    /// SHA-256 of the request's body.
    pub body_sha256: [u8; 32],
    /// Who asked: the answers that show a secret are removed with whoever asked for them.
    pub asker: ActorId,
    /// Writes the answer; called in the transaction, so it must be quick and cannot fail.
    pub render: Box<dyn FnOnce(&T) -> StoredAnswer + Send>,
}

/// Changes a configuration record in its transaction. `Err` leaves everything as it was.
pub type Edit<T> = Box<dyn FnOnce(&mut T) -> Result<(), StoreError> + Send>;

/// How many rows there are, for `/metrics`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sizes {
    pub events: u64,
    pub deliveries: u64,
    pub deliveries_due: u64,
    pub attempts: u64,
}
