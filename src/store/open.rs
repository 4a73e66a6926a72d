//! Opening a store: the key, the format, the catalogue, and what a crash left behind.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::catalogue::EventTypeEntry;
use super::crypt::{self, Cipher};
use super::group::{Group, Unindexed, put};
use super::retention::Housekeeping;
use super::writer::FreeSpace;
use super::{Catalogue, Location, Options, Shared, Store, StoreError, Writer, postings, record, schema};
use crate::domain::delivery::CanceledReason;
use crate::domain::health::Health;
use crate::domain::id::{DeliveryId, EventId, IdGenerator, KeyId, SubscriptionId, TenantId};
use crate::domain::profile::Profile;
use crate::domain::tenant::{Metadata, SUBSCRIPTIONS_MAX_DEFAULT, Tenant};
use crate::domain::time::Timestamp;

pub const FILE: &str = "waxwing.redb";
/// Sentences that may wait for the writer; beyond that their callers wait.
const SENTENCES_WAITING_MAX: usize = 4096;
/// Commits that the dispatcher may lag behind; beyond that publishing waits for it.
const CHANGES_WAITING_MAX: usize = 64;
/// Rows repaired in one transaction while opening.
const ROWS_PER_STEP: usize = 10_000;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path} is in use by another process: stop it first, or choose another --data-dir")]
    InUse { path: PathBuf },
    #[error(
        "{path} is missing, and the store's secrets cannot be read without it: put the file back, or set \
         WAXWING_SECRET_KEY to the key that this store was made with"
    )]
    SecretKeyMissing { path: PathBuf },
    #[error("{path} does not hold 64 hexadecimal characters: put the right file back")]
    SecretKeyMalformed { path: PathBuf },
    #[error(
        "the secret key does not fit this store: use the `secret-key` file, or the WAXWING_SECRET_KEY, that it was \
         made with"
    )]
    SecretKeyWrong,
    #[error("this store has format {found}, this program knows formats up to {known}: use a newer waxwing")]
    TooNew { found: u32, known: u32 },
    #[error("the store cannot be opened: {0}")]
    Storage(String),
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Storage(error.to_string())
    }
}

/// An open store, and what drives it.
pub struct Opened {
    pub store: Store,
    pub writer: Writer,
    /// What commits, for the dispatcher. Whoever spawns the writer must read it.
    pub changes: mpsc::Receiver<Vec<super::Change>>,
}

impl Store {
    pub fn open(options: Options) -> Result<Opened, OpenError> {
        let Options { location, secret_key, clock, seed, retention, free_bytes_min, cache_bytes } = options;
        let mut builder = Database::builder();
        builder.set_cache_size(cache_bytes);
        let (database, key, nonce_seed, path) = match location {
            Location::Directory(data_dir) => {
                make_private_folder(&data_dir)?;
                let path = data_dir.join(FILE);
                let key = match secret_key {
                    Some(key) => Zeroizing::new(key),
                    None => crypt::key_of(&data_dir, path.exists())?,
                };
                let database = builder.create(&path).map_err(|error| match error {
                    DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path: path.clone() },
                    error => OpenError::Storage(format!("{}: {error}", path.display())),
                })?;
                (database, key, None, Some(path))
            }
            Location::Backend(backend) => {
                let database = builder
                    .create_with_backend(Boxed(backend))
                    .map_err(|error| OpenError::Storage(error.to_string()))?;
                (database, Zeroizing::new(secret_key.unwrap_or([0; 32])), Some(seed), None)
            }
        };
        let database = Arc::new(database);
        let cipher = Cipher::new(&key, nonce_seed);
        prepare(&database, &cipher)?;
        let loaded = load(&database, &cipher)?;
        let (sentence_sender, sentences) = mpsc::channel(SENTENCES_WAITING_MAX);
        let (change_sender, changes) = mpsc::channel(CHANGES_WAITING_MAX);
        let shared = Arc::new(Shared::new(Arc::clone(&database), path.clone(), loaded, cipher, clock, retention));
        let mut writer = Writer {
            ids: IdGenerator::after(last_id(&database)?),
            ahead_max: shared.ahead_max(),
            shared: Arc::clone(&shared),
            database,
            sentences,
            changes: change_sender,
            chance: StdRng::seed_from_u64(seed),
            unindexed: Vec::new(),
            space: FreeSpace {
                path: path.as_deref().and_then(Path::parent).map(Path::to_owned),
                min_bytes: free_bytes_min,
                looked_at: None,
                is_full: false,
            },
            housekeeping: Housekeeping::default(),
        };
        recover(&mut writer)?;
        Ok(Opened { store: Store { shared, sentences: sentence_sender }, writer, changes })
    }
}

/// redb takes a backend by value; options hold any.
#[derive(Debug)]
struct Boxed(Box<dyn redb::StorageBackend>);

impl redb::StorageBackend for Boxed {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> std::io::Result<()> {
        self.0.close()
    }
}

fn make_private_folder(path: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::DirBuilderExt;

    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| OpenError::Io { path: path.to_owned(), source })
}

/// Makes the tables of a new file; refuses or migrates another format; tells a wrong key.
fn prepare(database: &Database, cipher: &Cipher) -> Result<(), OpenError> {
    let prepare = || -> Result<Option<OpenError>, StoreError> {
        let transaction = database.begin_write()?;
        {
            for (_, definition) in schema::ALL {
                transaction.open_table(*definition)?;
            }
            let mut meta = transaction.open_table(schema::META)?;
            let found = meta.get(schema::meta::FORMAT)?.map(|row| row.value().to_vec());
            match found.map(|bytes| bytes.try_into().map_or(u32::MAX, u32::from_be_bytes)) {
                None => {
                    put(&mut meta, schema::meta::FORMAT, &schema::FORMAT_VERSION.to_be_bytes())?;
                    put(&mut meta, schema::meta::KEY_CHECK, &cipher.key_check())?;
                }
                // Version 1 is the first: there is nothing older to migrate.
                Some(schema::FORMAT_VERSION) => {}
                Some(found) => return Ok(Some(OpenError::TooNew { found, known: schema::FORMAT_VERSION })),
            }
            let key_check = meta.get(schema::meta::KEY_CHECK)?;
            if !key_check.is_some_and(|row| cipher.passes(row.value())) {
                return Ok(Some(OpenError::SecretKeyWrong));
            }
        }
        transaction.commit()?;
        Ok(None)
    };
    match prepare() {
        Ok(None) => Ok(()),
        Ok(Some(refusal)) => Err(refusal),
        Err(failure) => Err(failure.into()),
    }
}

/// What lives in memory.
pub(super) struct Loaded {
    pub catalogue: Catalogue,
    pub health: HashMap<SubscriptionId, Health>,
    pub keys_used: HashMap<KeyId, Timestamp>,
    pub sweeps: usize,
    pub ahead_max: i64,
}

fn load(database: &Database, cipher: &Cipher) -> Result<Loaded, StoreError> {
    let read = database.begin_read()?;
    let mut catalogue = Catalogue::default();
    for row in read.open_table(schema::TENANTS)?.iter()? {
        let (key, value) = row?;
        catalogue.put_tenant(record::read_tenant(TenantId::from_u128(id(key.value())), value.value())?);
    }
    for row in read.open_table(schema::KEYS)?.iter()? {
        let (key, value) = row?;
        catalogue.put_key(record::read_key(KeyId::from_u128(id(key.value())), value.value())?);
    }
    for row in read.open_table(schema::EVENT_TYPES)?.iter()? {
        let (key, value) = row?;
        let event_type = record::read_event_type(key.value(), value.value())?;
        catalogue.put_event_type(EventTypeEntry::new(event_type).map_err(StoreError::Unavailable)?);
    }
    for row in read.open_table(schema::SUBSCRIPTIONS)?.iter()? {
        let (key, value) = row?;
        let kept = record::read_subscription(SubscriptionId::from_u128(id(key.value())), value.value(), cipher)?;
        if kept.deleted_at.is_none() {
            catalogue.put_subscription(kept.subscription);
        }
    }
    let mut health = HashMap::new();
    for row in read.open_table(schema::HEALTH)?.iter()? {
        let (key, value) = row?;
        health.insert(SubscriptionId::from_u128(id(key.value())), record::read_health(value.value())?);
    }
    let mut keys_used = HashMap::new();
    for row in read.open_table(schema::KEYS_USED)?.iter()? {
        let (key, value) = row?;
        keys_used.extend(schema::read_time(value.value()).map(|at| (KeyId::from_u128(id(key.value())), at)));
    }
    let meta = read.open_table(schema::META)?;
    let ahead_max = meta.get(schema::meta::AHEAD_MAX)?.map_or(0, |row| id(row.value()) as i64);
    let sweeps = read.open_table(schema::SWEEPS)?.len()? as usize;
    Ok(Loaded { catalogue, health, keys_used, sweeps, ahead_max })
}

fn id(key: &[u8]) -> u128 {
    schema::id(key).unwrap_or(0)
}

/// The greatest id that was ever assigned.
fn last_id(database: &Database) -> Result<u128, StoreError> {
    let read = database.begin_read()?;
    let mut last = 0;
    for table in [schema::TENANTS, schema::KEYS, schema::SUBSCRIPTIONS, schema::EVENTS, schema::DELIVERIES] {
        if let Some((key, _)) = read.open_table(table)?.last()? {
            last = last.max(id(key.value()));
        }
    }
    // Attempts have ids of their own, inside their records; the latest stands with one of the latest deliveries or
    // not at all, so the marks that every commit moves bound them.
    let meta = read.open_table(schema::META)?;
    for mark in [schema::meta::SETTLED_UP_TO, schema::meta::INDEXED_UP_TO] {
        last = last.max(meta.get(mark)?.map_or(0, |row| id(row.value())));
    }
    Ok(last)
}

/// Brings back what was only in memory: due rows for open deliveries above the watermark, and missing postings.
fn recover(writer: &mut Writer) -> Result<(), StoreError> {
    writer.transact(|group| {
        for (id, name) in [(TenantId::DEFAULT, "default"), (TenantId::SYSTEM, "system")] {
            if group.catalogue.tenant(id).is_none() {
                let now = group.now;
                group.put_tenant(&Tenant {
                    id,
                    external_id: None,
                    name: name.to_owned(),
                    profile: Profile::Standard,
                    metadata: Metadata::new(),
                    subscriptions_max: SUBSCRIPTIONS_MAX_DEFAULT,
                    revision: 1,
                    created_at: now,
                    updated_at: now,
                })?;
            }
        }
        Ok(())
    })?;
    while writer.transact(park_open)? {}
    while writer.transact(index_missing)? {}
    Ok(())
}

/// A step over the deliveries above the watermark; whether there are more.
fn park_open(group: &mut Group<'_, '_>) -> Result<bool, StoreError> {
    let from = group.meta_number(schema::meta::SETTLED_UP_TO)?.saturating_add(1);
    let mut open = Vec::new();
    let (mut rows, mut last) = (0, None);
    for row in group.tables.deliveries.range::<&[u8]>(&from.to_be_bytes()[..]..)?.take(ROWS_PER_STEP) {
        let (key, value) = row?;
        rows += 1;
        let delivery = record::read_delivery(DeliveryId::from_u128(id(key.value())), value.value())?;
        last = Some(delivery.id);
        if !delivery.state.is_final() {
            open.push(delivery);
        }
    }
    for delivery in open {
        if group.catalogue.subscription(delivery.subscription).is_some() {
            group.park(&delivery)?;
        } else {
            group.cancel(&delivery, CanceledReason::SubscriptionDeleted)?;
        }
    }
    if let Some(last) = last {
        group.set_meta_number(schema::meta::SETTLED_UP_TO, last.as_u128())?;
    }
    Ok(rows == ROWS_PER_STEP)
}

/// A step over the events above the watermark of the postings; whether there are more.
fn index_missing(group: &mut Group<'_, '_>) -> Result<bool, StoreError> {
    let from = group.meta_number(schema::meta::INDEXED_UP_TO)?.saturating_add(1);
    let mut missing = Vec::new();
    for row in group.tables.events.range::<&[u8]>(&from.to_be_bytes()[..]..)?.take(ROWS_PER_STEP) {
        let (key, value) = row?;
        let event = record::read_event(EventId::from_u128(id(key.value())), value.value())?;
        missing.push(Unindexed::Event(event.tenant, event.id));
        let deliveries = group.tables.deliveries.range::<&[u8]>(key.value()..)?;
        for row in deliveries.take(event.deliveries as usize) {
            let (key, value) = row?;
            let delivery = record::read_delivery(DeliveryId::from_u128(id(key.value())), value.value())?;
            if delivery.event == event.id {
                missing.push(Unindexed::Delivery(event.tenant, delivery.subscription, delivery.id));
            }
        }
    }
    postings::append(group, &missing)?;
    Ok(!missing.is_empty())
}
