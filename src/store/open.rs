//! Opening a store: from what is on disk to what works, and why it cannot be opened.

use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use rand::SeedableRng;
use rand::rngs::StdRng;
use redb::{Builder, Database, DatabaseError, ReadableDatabase};
use tokio::sync::{Semaphore, mpsc, watch};
use zeroize::Zeroizing;

use super::behind::Behind;
use super::commit::{CHANGES_MAX, Ids, LastUses, QUEUE_MAX, Shared, State};
use super::compaction::Followed;
use super::crypt::Crypt;
use super::folder::{
    KEY_FILE, STORE_FILE, at, has_store, make_directory, make_file, open_file, open_journal, read_key,
    read_or_make_key, remove_copies,
};
use super::format::{Beginning, format, make_tables, migrate, write};
use super::journal::Rows;
use super::recovery::{index, last_id, replay, settle};
use super::schema::{
    EventTypes, HealthOf, Invitations, Keys, KeysUsed, MetaName, PortalLinks, Sessions, SessionsUsed, StateCountsOf,
    Subscriptions, Tenants, Users, Work,
};
use super::space::{DiskLevel, Place, Space};
use super::tables::{Read, Snapshot, damaged, disk};
use super::vitals::Vitals;
use super::{
    CACHE_BYTES_DEFAULT, Catalogue, Change, Location, Options, Store, StoreError, Writer, rekey, settings, stats,
};
use crate::domain::id::{EventId, IdGenerator, SubscriptionId};
use crate::domain::time::Timestamp;

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
    #[error(
        "{journal} holds what was committed last, and its store, {STORE_FILE}, is not there: put it back. \
         To begin anew, move both journals away; what they hold is lost then"
    )]
    StoreMissing { journal: &'static str },
    #[error("the disk has {free} bytes free, and {needed} are needed")]
    NoRoom { needed: u64, free: u64 },
    #[error("the store cannot be read: {0}. Keep a copy of the folder as it is, then restore the last good backup")]
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

impl Store {
    /// Opens the store, or makes one. Reads and recovers what a crash left, and starts nothing: see [`Writer`].
    pub fn open(options: Options) -> Result<Opened, OpenError> {
        caught(|| Self::open_it(options))
    }

    fn open_it(options: Options) -> Result<Opened, OpenError> {
        let Options { location, secret_key, clock, seed, retention, settings_fixed, free_bytes_min, cache_bytes } =
            options;
        let (file, journal, crypt, place) = match location {
            Location::Directory(directory) => {
                make_directory(&directory)?;
                let file = directory.join(STORE_FILE);
                rekey::finish(&directory)?;
                let key = match secret_key {
                    Some(key) => Zeroizing::new(key),
                    None => read_or_make_key(&directory, has_store(&directory)?)?,
                };
                if !has_store(&directory)? {
                    make_file(&directory, &file, &Beginning { crypt: &Crypt::new(&key), now: clock.now() })?;
                }
                let behind = Behind::new(open_file(&file)?).map_err(at(&file))?;
                behind.spawn().map_err(at(&file))?;
                (behind, open_journal(&directory)?, Crypt::new(&key), Place::Directory(directory, file))
            }
            Location::Backend { database, journal, free_bytes } => {
                let key = secret_key.ok_or(OpenError::KeyMissing)?;
                let behind = Behind::new(database).map_err(disk)?;
                (behind, journal, Crypt::seeded(&key, seed), Place::Given(free_bytes))
            }
        };
        let database = Builder::new().set_cache_size(cache_bytes).create_with_backend(file.clone())?;
        if let Place::Directory(directory, _) = &place {
            remove_copies(directory).map_err(at(directory))?;
        }
        let beginning = Beginning { crypt: &crypt, now: clock.now() };
        if format(&database)? == 0 {
            migrate(&database, &beginning)?;
        }
        // Before anything is read: the newest of it may be in the journal only.
        let journal = replay(&database, journal, &crypt)?;
        migrate(&database, &beginning)?;
        make_tables(&database)?;
        settle(&database)?;
        index(&database)?;

        let snapshot = Snapshot::new(database.begin_read().map_err(disk)?);
        let mut catalogue = load_catalogue(&snapshot, &crypt)?;
        catalogue.put_settings(settings::load(&snapshot, &settings_fixed, &crypt)?);
        drop(snapshot);
        while write(&database, |tables| stats::fold(tables, |scope| stats::is_alive(&catalogue, scope)))? > 0 {}
        let snapshot = Snapshot::new(database.begin_read().map_err(disk)?);
        let health = snapshot.scan::<HealthOf>(..)?.map(|row| row.map(|(id, record)| (id, record.into())));
        let health: HashMap<_, _> = health.collect::<Result<_, _>>()?;
        let counts = snapshot.scan::<StateCountsOf>(..)?.collect::<Result<Vec<_>, _>>()?;
        let mut last_uses = LastUses::default();
        for row in snapshot.scan::<KeysUsed>(..)? {
            let (id, record) = row?;
            last_uses.last.insert(id.into(), Timestamp::from_millis(record.at));
        }
        for row in snapshot.scan::<SessionsUsed>(..)? {
            let (id, record) = row?;
            last_uses.last.insert(id.into(), Timestamp::from_millis(record.at));
        }
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
            told_disk: DiskLevel::Enough,
        };
        drop(snapshot);
        // From here on the journal is written over.
        file.carry().map_err(disk)?;

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
            last_uses: Mutex::new(last_uses),
            space: Space::new(place, free_bytes_min),
            vitals: Vitals::new(counts),
            queue,
            places: Arc::new(Semaphore::new(QUEUE_MAX)),
            is_broken: watch::Sender::new(false),
            cache_bytes,
            followed: Followed::default(),
            compaction: Mutex::default(),
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            queue: queued,
            changes,
            state,
            journal,
            behind: file,
            checkpoint: None,
            written: Rows::default(),
            untold: Vec::new(),
        };
        Ok(Opened { store: Store { shared }, writer, changes: changed })
    }
}

/// What reads a store that may be damaged: on some bytes that are not its own redb panics.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(OpenError::Storage(format!("it is damaged ({})", text.unwrap_or("no reason is known"))))
    })
}

/// Opens an existing store to look at it, and its key. Nothing is made or migrated, but empty tables that the program
/// knows and the file does not, and what a crash left in the journal is carried out.
pub(super) fn open_to_check(location: Location, secret_key: Option<[u8; 32]>) -> Result<(Database, Crypt), OpenError> {
    let (database, journal, crypt) = match location {
        Location::Directory(directory) => {
            let file = directory.join(STORE_FILE);
            if !has_store(&directory)? {
                return Err(OpenError::Absent);
            }
            rekey::finish(&directory)?;
            let key = match secret_key {
                Some(key) => Zeroizing::new(key),
                None => read_key(&directory.join(KEY_FILE))?.ok_or(OpenError::KeyMissing)?,
            };
            (
                Database::builder().set_cache_size(CACHE_BYTES_DEFAULT).open(&file)?,
                open_journal(&directory)?,
                Crypt::new(&key),
            )
        }
        Location::Backend { database, journal, free_bytes: _ } => {
            let key = secret_key.ok_or(OpenError::KeyMissing)?;
            (Database::builder().create_with_backend(Behind::new(database).map_err(disk)?)?, journal, Crypt::new(&key))
        }
    };
    if format(&database)? == 0 {
        return Err(OpenError::Absent);
    }
    replay(&database, journal, &crypt)?;
    make_tables(&database)?;
    Ok((database, crypt))
}

fn load_catalogue(tables: &impl Read, crypt: &Crypt) -> Result<Catalogue, StoreError> {
    use super::schema::Key;
    let mut catalogue = Catalogue::default();
    for row in tables.scan::<Tenants>(..)? {
        let (id, record) = row?;
        catalogue.put_tenant(record.into_domain(id, crypt).ok_or_else(|| damaged::<Tenants>(&id.to_key()))?);
    }
    for row in tables.scan::<Keys>(..)? {
        let (id, record) = row?;
        catalogue.put_key(record.into_domain(id).ok_or_else(|| damaged::<Keys>(&id.to_key()))?);
    }
    for row in tables.scan::<PortalLinks>(..)? {
        let (id, record) = row?;
        catalogue.put_portal_link(record.into_domain(id));
    }
    for row in tables.scan::<Users>(..)? {
        let (id, record) = row?;
        catalogue.put_user(record.into_domain(id, crypt).ok_or_else(|| damaged::<Users>(&id.to_key()))?);
    }
    for row in tables.scan::<Invitations>(..)? {
        let (hash, record) = row?;
        catalogue.put_invitation(record.into_domain(hash));
    }
    for row in tables.scan::<Sessions>(..)? {
        let (id, record) = row?;
        catalogue.put_session(record.into_domain(id));
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
