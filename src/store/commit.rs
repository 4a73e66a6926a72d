//! The handle on the open store, and what one transaction is: what the sentences of a group read and write.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use rand::rngs::StdRng;
use redb::Database;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::backlog::{Backlogs, Counted};
use super::catalogue::Catalogue;
use super::compaction::{CompactionState, Followed, Turn};
use super::crypt::Crypt;
use super::postings::Unindexed;
use super::schema::{KeysUsed, MetaName, SessionsUsed, WorkName};
use super::space::{DiskLevel, Space};
use super::stats;
use super::tables::{Snapshot, Tables};
use super::vitals::Vitals;
use super::{Change, Fresh, Retention, Sizes, StoreError, postings, record, schema};
use crate::clock::Clock;
use crate::domain::actor::ActorId;
use crate::domain::health::Health;
use crate::domain::id::{EventId, IdGenerator, SubscriptionId};
use crate::domain::time::Timestamp;

/// Sentences that wait or run. Further callers wait for a place, so that a slow disk costs them time and not memory.
pub(super) const QUEUE_MAX: usize = 4096;
/// Commits whose changes the dispatcher has not taken yet. Beyond it the writer waits.
pub(super) const CHANGES_MAX: usize = 64;
/// How often the last uses of keys and sessions are written.
const LAST_USES_EVERY: Duration = Duration::from_secs(60);

/// A handle on the open store. Clones share it.
#[derive(Clone)]
pub struct Store {
    pub(super) shared: Arc<Shared>,
}

/// What the handles, the writer and the readers share.
pub(super) struct Shared {
    /// None once the store is closed or broken: then the file is free for another opening.
    pub(super) database: ArcSwapOption<Database>,
    pub(super) catalogue: ArcSwap<Catalogue>,
    pub(super) crypt: Crypt,
    pub(super) clock: Clock,
    pub(super) retention: Retention,
    pub(super) ids: Mutex<Ids>,
    pub(super) health: RwLock<HashMap<SubscriptionId, Health>>,
    pub(super) last_uses: Mutex<LastUses>,
    pub(super) space: Space,
    pub(super) vitals: Vitals,
    pub(super) queue: Sender<Message>,
    pub(super) places: Arc<Semaphore>,
    pub(super) is_broken: watch::Sender<bool>,
    /// Of the database.
    pub(super) cache_bytes: usize,
    pub(super) followed: Followed,
    pub(super) compaction: Mutex<CompactionState>,
}

pub(super) struct Ids {
    pub(super) generator: IdGenerator,
    pub(super) chance: StdRng,
}

#[derive(Default)]
pub(super) struct LastUses {
    pub(super) last: HashMap<ActorId, Timestamp>,
    /// Those that moved since they were written.
    pub(super) unwritten: HashMap<ActorId, Timestamp>,
    pub(super) written_at: Timestamp,
}

impl Shared {
    pub(super) fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Snapshot::of(self.database.load_full().ok_or_else(closed)?)
    }

    fn next_id(&self, now: Timestamp) -> u128 {
        let mut ids = self.ids.lock().expect("nothing panics while it holds the lock");
        let Ids { generator, chance } = &mut *ids;
        generator.next(now, chance)
    }
}

pub(super) fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

pub(super) enum Message {
    Job(Job),
    Stop(oneshot::Sender<()>),
    Turn(Box<Turn>),
}

/// A sentence on its way to the writer.
pub(super) struct Job {
    pub(super) run: Run,
    pub(super) bytes: usize,
    _place: OwnedSemaphorePermit,
}

type Run = Box<dyn FnOnce(&mut Transaction<'_>) -> Ran + Send>;

type Answer = Box<dyn FnOnce(Option<&StoreError>) + Send>;

/// A sentence that was carried out, before its commit.
pub(super) struct Ran {
    /// It met the disk's failure, not a refusal: the group cannot go on.
    pub(super) failure: Option<StoreError>,
    /// Gives its answer, or the reason why the group was not committed.
    pub(super) answer: Answer,
}

impl Store {
    /// Puts a sentence into the queue and waits for its answer, which comes after the commit. `bytes` is about how
    /// much it writes. A sentence that answers `Err` must have written nothing.
    pub(super) async fn sentence<T: Send + 'static>(
        &self,
        bytes: usize,
        run: impl FnOnce(&mut Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = Arc::clone(&self.shared.places).acquire_owned().await.map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        let run = Box::new(move |transaction: &mut Transaction<'_>| {
            let result = run(transaction);
            let failure = match &result {
                Err(failure @ StoreError::Unavailable(_)) => Some(failure.clone()),
                Ok(_) | Err(_) => None,
            };
            let answer = Box::new(move |failed: Option<&StoreError>| {
                // Whoever asked may have gone away.
                _ = answer.send(failed.map_or(result, |failed| Err(failed.clone())));
            });
            Ran { failure, answer }
        });
        self.shared.queue.send(Message::Job(Job { run, bytes, _place: place })).map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.shared.catalogue.load_full()
    }

    /// An id that no one else gets; for what is sent but not kept (test deliveries).
    pub fn next_event_id(&self) -> EventId {
        EventId::from_u128(self.shared.next_id(self.shared.clock.now()))
    }

    /// Carries out what is in the queue, ends the writer's thread and lets go of the file. Later calls fail with
    /// `Unavailable`. Only for a writer that was spawned.
    pub async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        if self.shared.queue.send(Message::Stop(answer)).is_ok() {
            _ = answered.await;
        }
    }

    /// Whether a commit failed. Then nothing is written any more, and the store has to be opened again.
    pub fn is_broken(&self) -> bool {
        *self.shared.is_broken.borrow()
    }

    /// Ends when a commit has failed.
    pub async fn broken(&self) {
        let mut broken = self.shared.is_broken.subscribe();
        // The sender lives as long as this handle.
        _ = broken.wait_for(|is_broken| *is_broken).await;
    }

    /// Zeroes when the store is closed or cannot be read.
    pub fn sizes(&self) -> Sizes {
        self.try_sizes().unwrap_or_default()
    }

    fn try_sizes(&self) -> Result<Sizes, StoreError> {
        use super::tables::Read;
        let snapshot = self.shared.snapshot()?;
        Ok(Sizes {
            events: snapshot.count::<schema::Events>()?,
            deliveries: snapshot.count::<schema::Deliveries>()?,
            deliveries_due: snapshot.count::<schema::DueRows>()?,
            attempts: snapshot.count::<schema::Attempts>()?,
        })
    }
}

/// One commit in the making: what the sentences of a group read and write.
pub(super) struct Transaction<'t> {
    pub(super) tables: Tables<'t>,
    pub(super) shared: &'t Shared,
    pub(super) now: Timestamp,
    state: &'t State,
    effects: Effects,
}

/// What the writer remembers from commit to commit.
pub(super) struct State {
    /// What is committed and in no postings yet.
    pub(super) unindexed: Vec<Unindexed>,
    /// Entries in the log of the statistics.
    pub(super) log_entries: usize,
    /// How far an id ever lay after its `created_at`, in milliseconds.
    pub(super) id_lag_max: i64,
    /// Whether there is background work.
    pub(super) has_work: bool,
    pub(super) backlogs: Backlogs,
    /// Where the pass over old backlogs stands.
    pub(super) backlog_cursor: SubscriptionId,
    /// Which piece of it had the last step: the others come first.
    pub(super) last_worked: Option<WorkName>,
    /// Where the walk of retention stands. On disk only from time to time: a walk that begins anew costs time alone.
    pub(super) retention_cursor: EventId,
    /// What was last announced.
    pub(super) told_disk: DiskLevel,
}

/// What becomes visible in memory when the commit succeeds, and only then.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) catalogue: Option<Catalogue>,
    pub(super) health: Vec<(SubscriptionId, Option<Health>)>,
    pub(super) changes: Vec<Change>,
    pub(super) unindexed: Vec<Unindexed>,
    pub(super) is_indexed: bool,
    pub(super) folded_entries: usize,
    pub(super) log_entries: usize,
    pub(super) moved: Vec<(SubscriptionId, record::StateCountsRecord)>,
    pub(super) id_lag_max: Option<i64>,
    pub(super) has_work: Option<bool>,
    pub(super) backlogs: HashMap<SubscriptionId, Option<Counted>>,
    pub(super) backlog_cursor: Option<SubscriptionId>,
    pub(super) worked: Option<WorkName>,
    pub(super) retention_cursor: Option<EventId>,
    pub(super) told_disk: Option<DiskLevel>,
    pub(super) last_uses_written: HashMap<ActorId, Timestamp>,
}

impl<'t> Transaction<'t> {
    pub(super) fn new(tables: Tables<'t>, shared: &'t Shared, state: &'t State) -> Self {
        Self { tables, shared, now: shared.clock.now(), state, effects: Effects::default() }
    }

    /// Lets go of the tables. Whether there is anything to commit, and what follows when it is.
    pub(super) fn finish(self) -> (bool, Effects) {
        (self.tables.is_changed, self.effects)
    }

    pub(super) fn next_id(&self) -> u128 {
        self.shared.next_id(self.now)
    }

    /// Refuses new work when storage is low (contract 9).
    pub(super) fn check_space(&self) -> Result<(), StoreError> {
        if self.shared.space.is_low() { Err(StoreError::StorageFull) } else { Ok(()) }
    }

    /// Runs `read` on the configuration as this transaction sees it.
    pub(super) fn with_catalogue<T>(&self, read: impl FnOnce(&Catalogue) -> T) -> T {
        match &self.effects.catalogue {
            Some(catalogue) => read(catalogue),
            None => read(&self.shared.catalogue.load()),
        }
    }

    pub(super) fn catalogue_mut(&mut self) -> &mut Catalogue {
        self.effects.catalogue.get_or_insert_with(|| Catalogue::clone(&self.shared.catalogue.load()))
    }

    pub(super) fn accepted(&mut self, fresh: impl IntoIterator<Item = Fresh>) {
        let mut fresh = fresh.into_iter().peekable();
        if fresh.peek().is_none() {
            return;
        }
        match self.effects.changes.last_mut() {
            Some(Change::Accepted(all)) => all.extend(fresh),
            _ => self.effects.changes.push(Change::Accepted(fresh.collect())),
        }
    }

    pub(super) fn changed(&mut self, change: Change) {
        self.effects.changes.push(change);
    }

    pub(super) fn health(&self, id: SubscriptionId) -> Health {
        let of_group = self.effects.health.iter().rev().find(|(known, _)| *known == id);
        match of_group {
            Some((_, health)) => health.unwrap_or_default(),
            None => self.shared.health.read().expect("no writer panics").get(&id).copied().unwrap_or_default(),
        }
    }

    pub(super) fn put_health(&mut self, id: SubscriptionId, health: Health) -> Result<(), StoreError> {
        self.tables.put::<schema::HealthOf>(&id, &health.into())?;
        self.effects.health.push((id, Some(health)));
        Ok(())
    }

    pub(super) fn remove_health(&mut self, id: SubscriptionId) -> Result<(), StoreError> {
        self.tables.remove::<schema::HealthOf>(&id)?;
        self.effects.health.push((id, None));
        Ok(())
    }

    pub(super) fn index_later(&mut self, unindexed: Unindexed) {
        self.effects.unindexed.push(unindexed);
    }

    /// Brings all postings up to date in this transaction.
    pub(super) fn index_now(&mut self) -> Result<(), StoreError> {
        debug_assert!(self.effects.unindexed.is_empty(), "an index pass has its own transaction");
        self.tables.observed.indexed(&self.state.unindexed);
        if let Some(last) = postings::add_all(&mut self.tables, &self.state.unindexed)? {
            self.tables.raise_meta_id(MetaName::IndexedUpTo, last)?;
        }
        self.effects.is_indexed = true;
        Ok(())
    }

    /// Says how many entries have left the log of the statistics.
    pub(super) fn log_is_folded(&mut self, entries: usize) {
        self.effects.folded_entries = entries;
    }

    /// Writes what this transaction counted: the last thing that it does.
    pub(super) fn write_stats_log(&mut self) -> Result<(), StoreError> {
        let stats::Logged { entries, moved } = stats::write_log(&mut self.tables)?;
        self.effects.log_entries = entries;
        self.effects.moved = moved;
        Ok(())
    }

    /// Notes how far an id lies after the moment that it stands for.
    pub(super) fn note_id_lag(&mut self, id: EventId) -> Result<(), StoreError> {
        let lag = id.assigned_at().as_millis() - self.now.as_millis();
        if lag > self.effects.id_lag_max.unwrap_or(self.state.id_lag_max) {
            self.tables.put_meta(MetaName::IdLagMax, &lag.to_be_bytes())?;
            self.effects.id_lag_max = Some(lag);
        }
        Ok(())
    }

    pub(super) fn id_lag_max(&self) -> i64 {
        self.effects.id_lag_max.unwrap_or(self.state.id_lag_max)
    }

    /// Says whether the background has something to do.
    pub(super) fn set_has_work(&mut self, has_work: bool) {
        self.effects.has_work = Some(has_work);
    }

    pub(super) fn backlog(&self, id: SubscriptionId) -> Option<Counted> {
        self.effects.backlogs.get(&id).copied().unwrap_or_else(|| self.state.backlogs.get(id))
    }

    /// None has it counted anew when it is next asked for.
    pub(super) fn put_backlog(&mut self, id: SubscriptionId, counted: Option<Counted>) {
        self.effects.backlogs.insert(id, counted);
    }

    pub(super) fn backlog_cursor(&self) -> SubscriptionId {
        self.effects.backlog_cursor.unwrap_or(self.state.backlog_cursor)
    }

    pub(super) fn set_backlog_cursor(&mut self, cursor: SubscriptionId) {
        self.effects.backlog_cursor = Some(cursor);
    }

    pub(super) fn last_worked(&self) -> Option<WorkName> {
        self.state.last_worked
    }

    /// Says which piece of background work has this step.
    pub(super) fn worked(&mut self, name: WorkName) {
        self.effects.worked = Some(name);
    }

    pub(super) fn retention_cursor(&self) -> EventId {
        self.effects.retention_cursor.unwrap_or(self.state.retention_cursor)
    }

    /// Moves the walk of retention on. Only what is written anyway takes the cursor to the disk.
    pub(super) fn set_retention_cursor(&mut self, cursor: EventId) -> Result<(), StoreError> {
        self.effects.retention_cursor = Some(cursor);
        if self.tables.is_changed {
            self.tables.put_meta(MetaName::RetentionCursor, &cursor.to_bytes())?;
        }
        Ok(())
    }

    pub(super) fn told_disk(&self) -> DiskLevel {
        self.effects.told_disk.unwrap_or(self.state.told_disk)
    }

    /// Says what is announced in this transaction.
    pub(super) fn set_told_disk(&mut self, level: DiskLevel) {
        self.effects.told_disk = Some(level);
    }

    /// Writes which keys and sessions were used, when the last time was long enough ago.
    pub(super) fn write_last_uses(&mut self) -> Result<(), StoreError> {
        let unwritten = {
            let memory = self.shared.last_uses.lock().expect("nothing panics while it holds the lock");
            let is_recent = self.now.as_millis().abs_diff(memory.written_at.as_millis()) < millis(LAST_USES_EVERY);
            if memory.unwritten.is_empty() || is_recent {
                return Ok(());
            }
            memory.unwritten.clone()
        };
        for (id, at) in &unwritten {
            // What is gone meanwhile has no row any more.
            if !self.with_catalogue(|catalogue| catalogue.knows(*id)) {
                continue;
            }
            let record = record::UsedRecord { at: at.as_millis() };
            match id {
                ActorId::Key(id) => self.tables.put::<KeysUsed>(id, &record)?,
                ActorId::Session(id) => self.tables.put::<SessionsUsed>(id, &record)?,
                // Not noted in the first place.
                ActorId::Portal(_) => {}
            }
        }
        self.effects.last_uses_written = unwritten;
        Ok(())
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl LastUses {
    pub(super) fn used(&mut self, id: ActorId, at: Timestamp) {
        match self.last.entry(id) {
            Entry::Occupied(known) if *known.get() >= at => return,
            Entry::Occupied(mut known) => {
                known.insert(at);
            }
            Entry::Vacant(place) => {
                place.insert(at);
            }
        }
        self.unwritten.insert(id, at);
    }
}
