//! Opening: the folder, the secret key, the format of the file, and what a crash left to do.

use std::collections::{HashMap, HashSet};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Bound;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use rand::rngs::{StdRng, SysRng};
use rand::{SeedableRng, TryRng};
use redb::{Builder, Database, DatabaseError, Durability, ReadableDatabase, StorageBackend};
use tokio::sync::{Semaphore, mpsc, watch};
use zeroize::Zeroizing;

use super::commit::{CHANGES_MAX, Ids, KeysUsedMemory, QUEUE_MAX, Shared, State};
use super::crypt::Crypt;
use super::journal::{JOURNAL_FILE, Journal, JournalFile, ReplayError, Rows};
use super::postings::{self, Unindexed};
use super::record::TenantRecord;
use super::schema::{
    Deliveries, EventTypes, Events, HealthOf, Jobs, Keys, KeysUsed, Kind, Meta, MetaName, NAMES, Subscriptions,
    Tenants, Work, definition,
};
use super::space::{Place, Space};
use super::tables::{Read, Snapshot, Tables, damaged, disk};
use super::{Catalogue, Change, Location, Options, Store, StoreError, Writer, deliveries, stats};
use crate::domain::delivery::Delivery;
use crate::domain::id::{DeliveryId, EventId, IdGenerator, JobId, SubscriptionId, TenantId};
use crate::domain::profile::Profile;
use crate::domain::tenant::{self, Tenant};
use crate::domain::time::Timestamp;

pub const STORE_FILE: &str = "waxwing.redb";
pub const KEY_FILE: &str = "secret-key";
/// Where a new store is made.
const STORE_FILE_NEW: &str = "waxwing.redb.new";
/// Where a new key is written before it gets its name, so that no crash leaves half a key.
const KEY_FILE_NEW: &str = "secret-key.new";

/// Rows that one transaction of recovery looks at.
const RECOVERY_ROWS_MAX: usize = 16_384;

/// Why a store cannot be opened. The texts are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("the store is in use by another process")]
    Locked,
    #[error(
        "there is a store, but no secret key: put the file secret-key back, or set WAXWING_SECRET_KEY. \
         No new key is made, since it could not read what the store holds"
    )]
    KeyMissing,
    #[error("the secret key is not the one that this store was made with")]
    KeyWrong,
    #[error("{path} does not hold a secret key (64 hexadecimal characters)")]
    KeyUnreadable { path: PathBuf },
    #[error("the store has format {found}, and this program knows formats up to {known}: use a newer waxwing")]
    Newer { found: u32, known: u32 },
    #[error("there is no store")]
    Absent,
    #[error("the store cannot be read: {0}")]
    Storage(String),
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Storage(error.to_string())
    }
}

impl From<DatabaseError> for OpenError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::DatabaseAlreadyOpen => Self::Locked,
            other => Self::Storage(other.to_string()),
        }
    }
}

/// An open store.
pub struct Opened {
    pub store: Store,
    pub writer: Writer,
    /// What committed, one item a commit, when the writer runs on its thread.
    pub changes: mpsc::Receiver<Vec<Change>>,
}

/// From format n to n + 1. The first one makes a new file.
type Migration = fn(&mut Tables<'_>, &Beginning<'_>) -> Result<(), StoreError>;
const MIGRATIONS: &[Migration] = &[make, count_states, begin_journal];

/// What a new file is made from.
struct Beginning<'a> {
    crypt: &'a Crypt,
    now: Timestamp,
}

impl Store {
    /// Opens the store, or makes one. Reads and recovers what a crash left, and starts nothing: see [`Writer`].
    pub fn open(options: Options) -> Result<Opened, OpenError> {
        let Options { location, secret_key, clock, seed, retention, free_bytes_min, cache_bytes } = options;
        let (database, journal, crypt, place) = match location {
            Location::Directory(directory) => {
                make_directory(&directory)?;
                let file = directory.join(STORE_FILE);
                let key = match secret_key {
                    Some(key) => Zeroizing::new(key),
                    None => read_or_make_key(&directory, holds_something(&file)?)?,
                };
                let builder = &mut Builder::new();
                builder.set_cache_size(cache_bytes);
                let database = if holds_something(&file)? {
                    builder.open(&file)?
                } else {
                    make_file(builder, &directory, &file, &Beginning { crypt: &Crypt::new(&key), now: clock.now() })?
                };
                (database, open_journal(&directory)?, Crypt::new(&key), Place::Directory(directory, file))
            }
            Location::Backend { database, journal, free_bytes } => {
                let key = secret_key.ok_or(OpenError::KeyMissing)?;
                let database = Builder::new().set_cache_size(cache_bytes).create_with_backend(Boxed(database))?;
                (database, journal, Crypt::seeded(&key, seed), Place::Given(free_bytes))
            }
        };
        let beginning = Beginning { crypt: &crypt, now: clock.now() };
        if format(&database)? == 0 {
            migrate(&database, MIGRATIONS, &beginning)?;
        }
        // Before anything is read: the newest of it may be in the journal only.
        let journal = replay(&database, journal, &crypt)?;
        migrate(&database, MIGRATIONS, &beginning)?;
        make_tables(&database)?;
        settle(&database)?;
        index(&database)?;

        let catalogue = load_catalogue(&Snapshot::new(database.begin_read().map_err(disk)?), &crypt)?;
        while write(&database, |tables| stats::fold(tables, |scope| stats::is_alive(&catalogue, scope)))? > 0 {}
        let snapshot = Snapshot::new(database.begin_read().map_err(disk)?);
        let health = snapshot.scan::<HealthOf>(..)?.map(|row| row.map(|(id, record)| (id, record.into())));
        let health: HashMap<_, _> = health.collect::<Result<_, _>>()?;
        let used = snapshot.scan::<KeysUsed>(..)?;
        let used = used.map(|row| row.map(|(id, record)| (id, Timestamp::from_millis(record.at))));
        let keys_used = KeysUsedMemory { last: used.collect::<Result<_, _>>()?, ..KeysUsedMemory::default() };
        let ids = Ids { generator: IdGenerator::after(last_id(&snapshot)?), chance: StdRng::seed_from_u64(seed) };
        let state = State {
            unindexed: Vec::new(),
            log_entries: 0,
            id_lag_max: snapshot.meta(MetaName::IdLagMax)?.map_or(0, i64::from_be_bytes),
            has_work: snapshot.count::<Work>()? > 0,
            backlogs: super::backlog::Backlogs::default(),
            backlog_cursor: SubscriptionId::from_u128(0),
            last_worked: None,
            retention_cursor: EventId::from_u128(snapshot.meta_id(MetaName::RetentionCursor)?),
        };
        drop(snapshot);

        let (queue, queued) = std::sync::mpsc::channel();
        let (changes, changed) = mpsc::channel(CHANGES_MAX);
        let shared = Arc::new(Shared {
            database: ArcSwapOption::from_pointee(database),
            catalogue: ArcSwap::from_pointee(catalogue),
            crypt,
            clock,
            retention,
            ids: Mutex::new(ids),
            health: RwLock::new(health),
            keys_used: Mutex::new(keys_used),
            space: Space::new(place, free_bytes_min),
            queue,
            places: Arc::new(Semaphore::new(QUEUE_MAX)),
            is_broken: watch::Sender::new(false),
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            queue: queued,
            changes,
            state,
            journal,
            written: Rows::default(),
            untold: Vec::new(),
        };
        Ok(Opened { store: Store { shared }, writer, changes: changed })
    }
}

/// Opens an existing store to look at it, and its key. Nothing is made or migrated, but empty tables that the program
/// knows and the file does not, and what a crash left in the journal is carried out.
pub(super) fn open_to_check(location: Location, secret_key: Option<[u8; 32]>) -> Result<(Database, Crypt), OpenError> {
    let (database, journal, crypt) = match location {
        Location::Directory(directory) => {
            let file = directory.join(STORE_FILE);
            if !holds_something(&file)? {
                return Err(OpenError::Absent);
            }
            let key = match secret_key {
                Some(key) => Zeroizing::new(key),
                None => read_key(&directory.join(KEY_FILE))?.ok_or(OpenError::KeyMissing)?,
            };
            (Database::open(&file)?, open_journal(&directory)?, Crypt::new(&key))
        }
        Location::Backend { database, journal, free_bytes: _ } => {
            let key = secret_key.ok_or(OpenError::KeyMissing)?;
            (Database::builder().create_with_backend(Boxed(database))?, journal, Crypt::new(&key))
        }
    };
    if format(&database)? == 0 {
        return Err(OpenError::Absent);
    }
    replay(&database, journal, &crypt)?;
    make_tables(&database)?;
    Ok((database, crypt))
}

fn open_journal(directory: &Path) -> Result<Box<dyn StorageBackend>, OpenError> {
    let file = JournalFile::open(directory).map_err(at(&directory.join(JOURNAL_FILE)))?;
    Ok(Box::new(file))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |error| OpenError::Io { path, error }
}

/// A directory that only its owner may look into. One that exists stays as it is.
fn make_directory(directory: &Path) -> Result<(), OpenError> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(at(directory))
}

fn holds_something(file: &Path) -> Result<bool, OpenError> {
    match std::fs::metadata(file) {
        Ok(metadata) => Ok(metadata.len() > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(at(file)(error)),
    }
}

/// A new store gets its name when it is whole: redb does not open a file whose making was interrupted.
fn make_file(
    builder: &Builder,
    directory: &Path,
    file: &Path,
    beginning: &Beginning<'_>,
) -> Result<Database, OpenError> {
    let new = directory.join(STORE_FILE_NEW);
    let database = match builder.create(&new) {
        Err(DatabaseError::Storage(_)) => {
            std::fs::remove_file(&new).map_err(at(&new))?;
            builder.create(&new)?
        }
        created => created?,
    };
    migrate(&database, MIGRATIONS, beginning)?;
    let name = || {
        if std::fs::metadata(file).is_ok_and(|metadata| metadata.len() == 0) {
            std::fs::remove_file(file)?;
        }
        // Like the key: a link does not replace the store of another process that is faster.
        std::fs::hard_link(&new, file)?;
        std::fs::remove_file(&new)?;
        File::open(directory)?.sync_all()
    };
    match name() {
        Ok(()) => Ok(database),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(OpenError::Locked),
        Err(error) => Err(at(file)(error)),
    }
}

fn read_key(file: &Path) -> Result<Option<Zeroizing<[u8; 32]>>, OpenError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(OpenError::KeyUnreadable { path: file.to_owned() });
        }
        Err(error) => return Err(at(file)(error)),
    };
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), &mut *key).map_err(|_| OpenError::KeyUnreadable { path: file.to_owned() })?;
    Ok(Some(key))
}

/// The key is durable before the store can hold anything that needs it.
fn read_or_make_key(directory: &Path, store_exists: bool) -> Result<Zeroizing<[u8; 32]>, OpenError> {
    let file = directory.join(KEY_FILE);
    if let Some(key) = read_key(&file)? {
        return Ok(key);
    }
    if store_exists {
        return Err(OpenError::KeyMissing);
    }
    let mut key = Zeroizing::new([0; 32]);
    SysRng
        .try_fill_bytes(&mut *key)
        .map_err(|error| OpenError::Io { path: file.clone(), error: io::Error::other(error.to_string()) })?;
    let text = Zeroizing::new(hex::encode(*key) + "\n");
    let new = directory.join(KEY_FILE_NEW);
    let write = || {
        write_private(&new, text.as_bytes())?;
        // A link, unlike a rename, does not replace the key of another process that is faster.
        std::fs::hard_link(&new, &file)?;
        std::fs::remove_file(&new)?;
        File::open(directory)?.sync_all()
    };
    match write() {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read_key(&file)?.ok_or(OpenError::KeyMissing),
        Err(error) => Err(at(&file)(error)),
    }
}

/// Writes a file that only its owner can read; its content is durable before this returns, its name is the caller's.
pub fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    out.write_all(text)?;
    out.sync_all()
}

// -- the format

/// 0 for a file with nothing in it.
fn format(database: &Database) -> Result<u32, OpenError> {
    let read = database.begin_read().map_err(disk)?;
    let has_meta = read.list_tables().map_err(disk)?.any(|table| redb::TableHandle::name(&table) == Meta::NAME);
    if !has_meta {
        return Ok(0);
    }
    Ok(Snapshot::new(read).meta(MetaName::Format)?.map_or(0, u32::from_be_bytes))
}

fn check_format(found: u32, known: usize) -> Result<(), OpenError> {
    let known = u32::try_from(known).unwrap_or(u32::MAX);
    if found > known { Err(OpenError::Newer { found, known }) } else { Ok(()) }
}

fn check_key(tables: &impl Read, crypt: &Crypt) -> Result<(), OpenError> {
    let check = tables.get::<Meta>(&MetaName::KeyCheck)?.ok_or_else(|| damaged::<Meta>(b"key_check"))?;
    if crypt.is_key_of(&check.0) { Ok(()) } else { Err(OpenError::KeyWrong) }
}

/// Brings the file to the newest format, one transaction a step.
fn migrate(database: &Database, migrations: &[Migration], beginning: &Beginning<'_>) -> Result<(), OpenError> {
    let found = format(database)?;
    check_format(found, migrations.len())?;
    if found > 0 {
        check_key(&Snapshot::new(database.begin_read().map_err(disk)?), beginning.crypt)?;
    }
    for (from, migration) in (0u32..).zip(migrations).skip(found as usize) {
        write(database, |tables| {
            migration(tables, beginning)?;
            tables.put_meta(MetaName::Format, &(from + 1).to_be_bytes())
        })?;
    }
    Ok(())
}

/// Tables that came after the file was made. Readers cannot make them.
fn make_tables(database: &Database) -> Result<(), StoreError> {
    let read = database.begin_read().map_err(disk)?;
    let tables = read.list_tables().map_err(disk)?;
    let known: HashSet<String> = tables.map(|table| redb::TableHandle::name(&table).to_owned()).collect();
    drop(read);
    if NAMES.iter().all(|name| known.contains(*name)) {
        return Ok(());
    }
    write(database, |tables| {
        tables.is_changed = true;
        Ok(())
    })
}

/// A transaction before there is a writer.
fn write<T>(database: &Database, run: impl FnOnce(&mut Tables<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mut write = database.begin_write().map_err(disk)?;
    write.set_durability(Durability::Immediate).map_err(disk)?;
    // Without it, reopening after a crash reads the whole file (architecture 5).
    write.set_quick_repair(true);
    for name in NAMES {
        // A table of other types is refused here, and not in the middle of something.
        write.open_table(definition(name)).map_err(disk)?;
    }
    let mut tables = Tables::new(&write, None);
    let done = run(&mut tables)?;
    stats::write_log(&mut tables)?;
    let is_changed = tables.is_changed;
    drop(tables);
    if is_changed {
        write.commit().map_err(disk)?
    } else {
        write.abort().map_err(disk)?
    }
    Ok(done)
}

/// Format 0 to 1: what every store begins with.
fn make(tables: &mut Tables<'_>, beginning: &Beginning<'_>) -> Result<(), StoreError> {
    let Beginning { crypt, now } = *beginning;
    tables.put_meta(MetaName::KeyCheck, &crypt.key_check())?;
    for (id, name) in [(TenantId::DEFAULT, "default"), (TenantId::SYSTEM, "system")] {
        let tenant = Tenant {
            id,
            external_id: None,
            name: name.to_owned(),
            profile: Profile::default(),
            metadata: tenant::Metadata::new(),
            subscriptions_max: tenant::SUBSCRIPTIONS_MAX_DEFAULT,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        tables.put::<Tenants>(&id, &TenantRecord::from(&tenant))?;
    }
    Ok(())
}

/// Format 1 to 2: a file from before there were statistics gets its counts by state.
fn count_states(tables: &mut Tables<'_>, _: &Beginning<'_>) -> Result<(), StoreError> {
    stats::count_states_anew(tables)
}

/// Format 2 to 3: a program that knows no journal must not open what goes on in one. No row is other than before.
fn begin_journal(_: &mut Tables<'_>, _: &Beginning<'_>) -> Result<(), StoreError> {
    Ok(())
}

// -- what a crash left

/// Carries out what the journal has and the database has not.
fn replay(database: &Database, file: Box<dyn StorageBackend>, crypt: &Crypt) -> Result<Journal, OpenError> {
    check_format(format(database)?, MIGRATIONS.len())?;
    let snapshot = Snapshot::new(database.begin_read().map_err(disk)?);
    check_key(&snapshot, crypt)?;
    // It is encrypted with a nonce of its own, so no two stores have the same.
    let key_check = snapshot.get::<Meta>(&MetaName::KeyCheck)?.ok_or_else(|| damaged::<Meta>(b"key_check"))?;
    let up_to = snapshot.meta(MetaName::JournalUpTo)?.map_or(0, u64::from_be_bytes);
    drop(snapshot);
    write(database, |tables| {
        let journal = Journal::replay(file, crc32fast::hash(&key_check.0), up_to, |row| tables.carry_out(&row));
        let journal = match journal {
            Ok(journal) => journal,
            Err(ReplayError::Refused(error)) => return Err(error),
            Err(ReplayError::Disk(error)) => return Err(disk(format_args!("{JOURNAL_FILE}: {error}"))),
            Err(ReplayError::Gap { first }) => return Err(disk(format_args!(
                "{JOURNAL_FILE} begins with group {first}, and {STORE_FILE} ends with group {up_to}: they are not of \
                 the same moment. Put back the two files that belong together, or move {JOURNAL_FILE} away to go on \
                 with what {STORE_FILE} holds"
            ))),
            Err(ReplayError::Unreadable { frame }) => {
                return Err(disk(format_args!("{JOURNAL_FILE}: group {frame} cannot be read")));
            }
        };
        if journal.last() > up_to {
            tables.put_meta(MetaName::JournalUpTo, &journal.last().to_be_bytes())?;
        }
        Ok(journal)
    })
    .map_err(OpenError::from)
}

/// Parks every delivery that was in memory only.
fn settle(database: &Database) -> Result<(), StoreError> {
    loop {
        let is_done = write(database, |tables| {
            let from = DeliveryId::from_u128(tables.meta_id(MetaName::SettledUpTo)?);
            let mut last = None;
            let mut fresh = Vec::new();
            for row in tables.scan::<Deliveries>((Bound::Excluded(from), Bound::Unbounded))?.take(RECOVERY_ROWS_MAX) {
                let (id, record) = row?;
                last = Some(id);
                let is_parked = record.is_parked;
                let delivery = deliveries::domain(record, id)?;
                if !is_parked && !delivery.state.is_final() {
                    fresh.push(delivery);
                }
            }
            for delivery in fresh {
                deliveries::park(tables, &delivery)?;
            }
            match last {
                Some(last) => tables.raise_meta_id(MetaName::SettledUpTo, last.as_u128()).map(|()| false),
                None => Ok(true),
            }
        })?;
        if is_done {
            return Ok(());
        }
    }
}

/// Adds to the postings what came after the last index pass.
fn index(database: &Database) -> Result<(), StoreError> {
    loop {
        let is_done = write(database, |tables| {
            let from = tables.meta_id(MetaName::IndexedUpTo)?;
            let mut events: Vec<(EventId, TenantId)> = Vec::new();
            let after = (Bound::Excluded(EventId::from_u128(from)), Bound::Unbounded);
            for row in tables.scan::<Events>(after)?.take(RECOVERY_ROWS_MAX) {
                let (id, record) = row?;
                events.push((id, TenantId::from_bytes(record.tenant)));
            }
            let mut all: Vec<Unindexed> = Vec::new();
            let after = (Bound::Excluded(DeliveryId::from_u128(from)), Bound::Unbounded);
            for row in tables.scan::<Deliveries>(after)?.take(RECOVERY_ROWS_MAX) {
                let (id, record) = row?;
                let Delivery { tenant, subscription, .. } = deliveries::domain(record, id)?;
                all.push(Unindexed::Delivery(id, tenant, subscription));
            }
            // Both are cut off where the shorter walk ended, so that the watermark is true for both.
            let end = [
                (events.len() == RECOVERY_ROWS_MAX).then(|| events.last().map(|(id, _)| id.as_u128())).flatten(),
                (all.len() == RECOVERY_ROWS_MAX).then(|| all.last().map(Unindexed::id)).flatten(),
            ];
            let end = end.into_iter().flatten().min().unwrap_or(u128::MAX);
            all.extend(events.into_iter().map(|(id, tenant)| Unindexed::Event(id, tenant)));
            all.retain(|one| one.id() <= end);
            tables.observed.indexed(&all);
            match postings::add_all(tables, &all)? {
                Some(last) => tables.raise_meta_id(MetaName::IndexedUpTo, last).map(|()| false),
                None => Ok(true),
            }
        })?;
        if is_done {
            return Ok(());
        }
    }
}

/// The greatest id that was ever assigned, as far as the file shows.
fn last_id(tables: &impl Read) -> Result<u128, StoreError> {
    fn last<K: Kind>(tables: &impl Read) -> Result<Option<K::Key>, StoreError> {
        Ok(tables.scan::<K>(..)?.next_back().transpose()?.map(|(key, _)| key))
    }
    let ids = [
        last::<Events>(tables)?.map_or(0, EventId::as_u128),
        last::<Deliveries>(tables)?.map_or(0, DeliveryId::as_u128),
        last::<Tenants>(tables)?.map_or(0, TenantId::as_u128),
        last::<Keys>(tables)?.map_or(0, |id| id.as_u128()),
        last::<Subscriptions>(tables)?.map_or(0, SubscriptionId::as_u128),
        last::<Jobs>(tables)?.map_or(0, JobId::as_u128),
        tables.meta_id(MetaName::AssignedUpTo)?,
        tables.meta_id(MetaName::SettledUpTo)?,
        tables.meta_id(MetaName::IndexedUpTo)?,
    ];
    Ok(ids.into_iter().max().unwrap_or_default())
}

fn load_catalogue(tables: &impl Read, crypt: &Crypt) -> Result<Catalogue, StoreError> {
    use super::schema::Key;
    let mut catalogue = Catalogue::default();
    for row in tables.scan::<Tenants>(..)? {
        let (id, record) = row?;
        catalogue.put_tenant(record.into_domain(id).ok_or_else(|| damaged::<Tenants>(&id.to_key()))?);
    }
    for row in tables.scan::<Keys>(..)? {
        let (id, record) = row?;
        catalogue.put_key(record.into_domain(id));
    }
    for row in tables.scan::<EventTypes>(..)? {
        let (name, record) = row?;
        let key = name.to_key();
        let event_type = record.into_domain(name).ok_or_else(|| damaged::<EventTypes>(&key))?;
        catalogue.put_event_type(super::event_types::entry_of_stored(event_type));
    }
    for row in tables.scan::<Subscriptions>(..)? {
        let (id, record) = row?;
        if record.deleted_at.is_none() {
            let subscription = record.to_domain(id, crypt).ok_or_else(|| damaged::<Subscriptions>(&id.to_key()))?;
            catalogue.put_subscription(subscription);
        }
    }
    Ok(catalogue)
}

/// redb wants a type of its own, not a box.
#[derive(Debug)]
struct Boxed(Box<dyn StorageBackend>);

impl StorageBackend for Boxed {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }
}
