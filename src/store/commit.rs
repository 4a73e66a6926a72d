//! Group commit: one writer takes every sentence that is ready, carries all of them out in one transaction, commits, and
//! answers all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use rand::rngs::StdRng;
use redb::{Database, Durability, ReadableDatabase};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::backlog::{Backlogs, Counted};
use super::catalogue::Catalogue;
use super::crypt::Crypt;
use super::postings::Unindexed;
use super::schema::{KeysUsed, MetaName, WorkName};
use super::space::Space;
use super::stats::{self, LOG_ENTRIES_MAX};
use super::tables::{Snapshot, Tables, disk};
use super::{Change, Fresh, Retention, Sizes, StoreError, postings, record, schema};
use crate::clock::Clock;
use crate::domain::health::Health;
use crate::domain::id::{EventId, IdGenerator, KeyId, SubscriptionId};
use crate::domain::time::Timestamp;

/// Sentences that wait or run. Further callers wait for a place, so that a slow disk costs them time and not memory.
pub(super) const QUEUE_MAX: usize = 4096;
/// Sentences of one group …
const GROUP_JOBS_MAX: usize = 1024;
/// … and their bytes: what one commit may hold back from those who come after it.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Commits whose changes the dispatcher has not taken yet. Beyond it the writer waits.
pub(super) const CHANGES_MAX: usize = 64;
/// A new event is in its lists after this, and a commit: contract 3 says within a second.
const INDEX_EVERY: Duration = Duration::from_millis(250);
/// Between two times that the log of the statistics is added up: the same rows are then written once for many commits.
const FOLD_EVERY: Duration = Duration::from_secs(10);
/// What may wait for its postings: the memory of an index pass, about 3 MiB.
const UNINDEXED_MAX: usize = 65_536;
/// How often the last use of a key is written.
const KEYS_USED_EVERY: Duration = Duration::from_secs(60);

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
    pub(super) keys_used: Mutex<KeysUsedMemory>,
    pub(super) space: Space,
    pub(super) queue: Sender<Message>,
    pub(super) places: Arc<Semaphore>,
    pub(super) is_broken: watch::Sender<bool>,
}

pub(super) struct Ids {
    pub(super) generator: IdGenerator,
    pub(super) chance: StdRng,
}

#[derive(Default)]
pub(super) struct KeysUsedMemory {
    pub(super) last: HashMap<KeyId, Timestamp>,
    /// Those that moved since they were written.
    pub(super) unwritten: HashMap<KeyId, Timestamp>,
    pub(super) written_at: Timestamp,
}

impl Shared {
    pub(super) fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let database = self.database.load_full().ok_or_else(closed)?;
        Ok(Snapshot::new(database.begin_read().map_err(disk)?))
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
}

/// A sentence on its way to the writer.
pub(super) struct Job {
    run: Run,
    bytes: usize,
    _place: OwnedSemaphorePermit,
}

type Run = Box<dyn FnOnce(&mut Transaction<'_>) -> Ran + Send>;

type Answer = Box<dyn FnOnce(Option<&StoreError>) + Send>;

/// A sentence that was carried out, before its commit.
struct Ran {
    /// It met the disk's failure, not a refusal: the group cannot go on.
    failure: Option<StoreError>,
    /// Gives its answer, or the reason why the group was not committed.
    answer: Answer,
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
        self.shared.space.refresh(self.shared.clock.now());
        let snapshot = self.shared.snapshot()?;
        Ok(Sizes {
            file_bytes: self.shared.space.file_bytes(),
            free_bytes: self.shared.space.free_bytes(),
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
}

/// What becomes visible in memory when the commit succeeds, and only then.
#[derive(Default)]
struct Effects {
    catalogue: Option<Catalogue>,
    health: Vec<(SubscriptionId, Option<Health>)>,
    changes: Vec<Change>,
    unindexed: Vec<Unindexed>,
    is_indexed: bool,
    folded_entries: usize,
    log_entries: usize,
    id_lag_max: Option<i64>,
    has_work: Option<bool>,
    backlogs: HashMap<SubscriptionId, Option<Counted>>,
    backlog_cursor: Option<SubscriptionId>,
    worked: Option<WorkName>,
    retention_cursor: Option<EventId>,
    keys_used_written: HashMap<KeyId, Timestamp>,
}

impl<'t> Transaction<'t> {
    fn new(tables: Tables<'t>, shared: &'t Shared, state: &'t State) -> Self {
        Self { tables, shared, now: shared.clock.now(), state, effects: Effects::default() }
    }

    /// Lets go of the tables. Whether there is anything to commit, and what follows when it is.
    fn finish(self) -> (bool, Effects) {
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
    fn write_stats_log(&mut self) -> Result<(), StoreError> {
        self.effects.log_entries = stats::write_log(&mut self.tables)?;
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

    /// Writes which keys were used, when the last time was long enough ago.
    fn write_keys_used(&mut self) -> Result<(), StoreError> {
        let unwritten = {
            let memory = self.shared.keys_used.lock().expect("nothing panics while it holds the lock");
            let is_recent = self.now.as_millis().abs_diff(memory.written_at.as_millis()) < millis(KEYS_USED_EVERY);
            if memory.unwritten.is_empty() || is_recent {
                return Ok(());
            }
            memory.unwritten.clone()
        };
        for (id, at) in &unwritten {
            // A key that was revoked meanwhile has no row any more.
            if self.with_catalogue(|catalogue| catalogue.key(*id).is_some()) {
                self.tables.put::<KeysUsed>(id, &record::UsedRecord { at: at.as_millis() })?;
            }
        }
        self.effects.keys_used_written = unwritten;
        Ok(())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Carries out what handles ask for. Runs on its own thread ([`Self::spawn`]) or step by step in a simulation.
pub struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Receiver<Message>,
    pub(super) changes: tokio::sync::mpsc::Sender<Vec<Change>>,
    pub(super) state: State,
    /// What passes of the writer's own committed, and nobody was told yet.
    pub(super) untold: Vec<Change>,
}

/// What a step did.
#[derive(Debug, Default)]
#[must_use = "the changes belong to the dispatcher"]
pub struct Stepped {
    /// Sentences that were answered.
    pub jobs: usize,
    /// What committed, in passes since the last step too: for the dispatcher.
    pub changes: Vec<Change>,
}

impl Writer {
    /// Runs on a thread of its own until [`Store::close`]. Changes go to `Opened::changes`: whoever reads them must
    /// not wait for a write of its own while it does not read, since the writer waits when the channel is full.
    pub fn spawn(self) -> std::io::Result<std::thread::JoinHandle<()>> {
        std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || self.run())
    }

    /// Carries out and commits everything that waits in the queue (at most one group), and hands over its changes
    /// instead of sending them. For a writer without a thread.
    pub fn step(&mut self) -> Stepped {
        let (group, stop) = self.take_ready(None);
        let mut changes = std::mem::take(&mut self.untold);
        let jobs = group.len();
        self.commit(group, |_, committed| changes.extend(committed));
        if let Some(stop) = stop {
            self.shared.database.store(None);
            _ = stop.send(());
        }
        Stepped { jobs, changes }
    }

    /// Brings the postings up to date, as the thread does a few times a second.
    pub fn index_pass(&mut self) -> Result<(), StoreError> {
        if self.state.unindexed.is_empty() {
            return Ok(());
        }
        self.pass(|transaction| transaction.index_now())
    }

    /// One bounded step of adding what the last commits counted to the statistics, as the thread does a few times a
    /// minute. Answers whether there is more.
    pub fn fold_pass(&mut self) -> Result<bool, StoreError> {
        if self.state.log_entries == 0 {
            return Ok(false);
        }
        self.pass(|transaction| transaction.fold_stats())?;
        Ok(self.state.log_entries > 0)
    }

    /// One bounded step of the background work: what deletions leave, and jobs. Answers whether there is more.
    pub fn work_pass(&mut self) -> Result<bool, StoreError> {
        if !self.state.has_work {
            return Ok(false);
        }
        self.pass(super::work::step)?;
        Ok(self.state.has_work)
    }

    /// One bounded step of retention at the time of the clock. Answers whether the walk goes on.
    pub fn retention_pass(&mut self) -> Result<bool, StoreError> {
        self.pass(super::retention::step)
    }

    /// One bounded step of the pass that expires what has waited for an inactive subscription for too long. Answers
    /// whether it goes on.
    pub fn backlog_pass(&mut self) -> Result<bool, StoreError> {
        self.pass(super::backlog::step)
    }

    /// A transaction of the writer's own.
    fn pass<T>(&mut self, run: impl FnOnce(&mut Transaction<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut result = Err(closed());
        let (committed, changes) = self.transact(|transaction| match run(transaction) {
            Ok(value) => {
                result = Ok(value);
                Ok(())
            }
            Err(error) => Err(error),
        });
        self.untold.extend(changes);
        committed.and(result)
    }

    fn run(mut self) {
        let mut timers = Timers::new();
        loop {
            let first = match self.queue.recv_timeout(timers.wait(&self.state)) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let (group, stop) = self.take_ready(first);
            self.commit(group, |changes, committed| {
                // Without a reader there is nobody to tell.
                _ = changes.blocking_send(committed);
            });
            if let Some(stop) = stop {
                self.end();
                _ = stop.send(());
                return;
            }
            if !*self.shared.is_broken.borrow() {
                timers.run(&mut self);
            }
            let untold = std::mem::take(&mut self.untold);
            if !untold.is_empty() {
                _ = self.changes.blocking_send(untold);
            }
        }
        self.end();
    }

    /// What can wait until the next opening is better done now.
    fn end(&mut self) {
        if let Err(error) = self.index_pass() {
            tracing::warn!(%error, "the last index pass failed; the next opening repeats it");
        }
        // At most what the log may hold: a second's work in the worst case.
        while report("the last step of the statistics", self.fold_pass()) == Some(true) {}
        self.shared.database.store(None);
    }

    /// Everything that is ready, up to the limits of a group.
    fn take_ready(&mut self, first: Option<Message>) -> (Vec<Job>, Option<oneshot::Sender<()>>) {
        let mut group = Vec::new();
        let mut bytes = 0;
        let mut next = first.or_else(|| self.queue.try_recv().ok());
        while let Some(message) = next {
            match message {
                Message::Stop(stop) => return (group, Some(stop)),
                Message::Job(job) => {
                    bytes += job.bytes;
                    group.push(job);
                }
            }
            if group.len() >= GROUP_JOBS_MAX || bytes >= GROUP_BYTES_MAX {
                break;
            }
            next = self.queue.try_recv().ok();
        }
        (group, None)
    }

    /// Carries out a group, tells what changed, then answers.
    fn commit(&mut self, group: Vec<Job>, tell: impl FnOnce(&tokio::sync::mpsc::Sender<Vec<Change>>, Vec<Change>)) {
        if group.is_empty() {
            return;
        }
        self.shared.space.refresh(self.shared.clock.now());
        let mut answers = Vec::with_capacity(group.len());
        let mut group = group.into_iter();
        let (committed, changes) = self.transact(|transaction| {
            for job in group.by_ref() {
                let ran = (job.run)(transaction);
                answers.push(ran.answer);
                if let Some(failure) = ran.failure {
                    return Err(failure);
                }
            }
            transaction.write_keys_used()
        });
        if !changes.is_empty() {
            tell(&self.changes, changes);
        }
        let failure = committed.err();
        for answer in answers {
            answer(failure.as_ref());
        }
        // The rest of a failed group was never begun: dropping a job answers that the store is closed.
        drop(group);
    }

    /// Runs one transaction. When it commits, memory follows the disk; otherwise nothing happened.
    fn transact(
        &mut self,
        run: impl FnOnce(&mut Transaction<'_>) -> Result<(), StoreError>,
    ) -> (Result<(), StoreError>, Vec<Change>) {
        let Some(database) = self.shared.database.load_full() else { return (Err(closed()), Vec::new()) };
        let result = self.try_transact(&database, run);
        let changes = match result {
            Ok(effects) => return (Ok(()), self.apply(effects)),
            Err(Failed::Aborted(error)) => {
                tracing::error!(%error, "a transaction was given up");
                // A disk that failed once makes redb refuse everything from then on.
                match database.begin_write().map_err(disk) {
                    Ok(_) => return (Err(error), Vec::new()),
                    Err(_) => Err(error),
                }
            }
            Err(Failed::Broken(error)) => Err(error),
        };
        if let Err(error) = &changes {
            tracing::error!(%error, "storage failed: nothing is written until the store is opened again");
        }
        self.shared.database.store(None);
        self.shared.is_broken.send_replace(true);
        (changes, Vec::new())
    }

    fn try_transact(
        &self,
        database: &Database,
        run: impl FnOnce(&mut Transaction<'_>) -> Result<(), StoreError>,
    ) -> Result<Effects, Failed> {
        let broken = |error: &dyn std::fmt::Display| Failed::Broken(disk(error));
        let mut write = database.begin_write().map_err(|error| broken(&error))?;
        write.set_durability(Durability::Immediate).map_err(|error| broken(&error))?;
        // Without it, reopening after a crash reads the whole file (architecture 5).
        write.set_quick_repair(true);
        let mut transaction = Transaction::new(Tables::new(&write), &self.shared, &self.state);
        let result = run(&mut transaction).and_then(|()| transaction.write_stats_log());
        let (is_changed, effects) = transaction.finish();
        match result {
            Ok(()) if is_changed => {
                write.commit().map_err(|error| broken(&error))?;
                Ok(effects)
            }
            Ok(()) => {
                write.abort().map_err(|error| broken(&error))?;
                Ok(effects)
            }
            Err(error) => {
                write.abort().map_err(|error| broken(&error))?;
                Err(Failed::Aborted(error))
            }
        }
    }

    fn apply(&mut self, effects: Effects) -> Vec<Change> {
        let Effects {
            catalogue,
            health,
            changes,
            unindexed,
            is_indexed,
            folded_entries,
            log_entries,
            id_lag_max,
            has_work,
            backlogs,
            backlog_cursor,
            worked,
            retention_cursor,
            keys_used_written,
        } = effects;
        if let Some(catalogue) = catalogue {
            self.shared.catalogue.store(Arc::new(catalogue));
        }
        if !health.is_empty() {
            let mut known = self.shared.health.write().expect("no reader panics");
            for (id, health) in health {
                match health {
                    Some(health) => known.insert(id, health),
                    None => known.remove(&id),
                };
            }
        }
        if is_indexed {
            self.state.unindexed.clear();
        }
        self.state.unindexed.extend(unindexed);
        self.state.log_entries = self.state.log_entries.saturating_sub(folded_entries) + log_entries;
        self.state.id_lag_max = id_lag_max.unwrap_or(self.state.id_lag_max);
        self.state.has_work = has_work.unwrap_or(self.state.has_work);
        self.state.backlogs.apply(backlogs);
        self.state.backlog_cursor = backlog_cursor.unwrap_or(self.state.backlog_cursor);
        self.state.last_worked = worked.or(self.state.last_worked);
        self.state.retention_cursor = retention_cursor.unwrap_or(self.state.retention_cursor);
        if !keys_used_written.is_empty() {
            let mut memory = self.shared.keys_used.lock().expect("nothing panics while it holds the lock");
            memory.written_at = self.shared.clock.now();
            // One that was used once more meanwhile stays.
            memory.unwritten.retain(|id, at| keys_used_written.get(id) != Some(at));
        }
        changes
    }
}

impl Drop for Writer {
    /// A thread that ends in a panic leaves a store that writes nothing any more.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.database.store(None);
            self.shared.is_broken.send_replace(true);
        }
    }
}

enum Failed {
    /// The transaction was undone; the store goes on.
    Aborted(StoreError),
    /// What is on disk is not known: it has to be opened again.
    Broken(StoreError),
}

impl KeysUsedMemory {
    pub(super) fn used(&mut self, id: KeyId, at: Timestamp) {
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

/// When the thread does what nobody asked for.
struct Timers {
    index_at: Instant,
    fold_at: Instant,
    work_at: Instant,
    retention_at: Instant,
    backlog_at: Instant,
}

/// Between two steps of background work, so that groups come in between.
const WORK_PAUSE: Duration = Duration::from_millis(20);
/// Between two steps of a walk of retention.
const RETENTION_PAUSE: Duration = Duration::from_millis(50);
/// Between two walks.
const RETENTION_REST: Duration = Duration::from_secs(10 * 60);
/// Between two passes over old backlogs, and between two steps of one.
const BACKLOG_REST: Duration = Duration::from_secs(5 * 60);
const BACKLOG_PAUSE: Duration = Duration::from_millis(50);
/// After a step that failed.
const FAILURE_REST: Duration = Duration::from_secs(60);
/// The longest that the thread sleeps.
const WAIT_MAX: Duration = Duration::from_secs(60);

impl Timers {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            index_at: now,
            fold_at: now + FOLD_EVERY,
            work_at: now,
            retention_at: now + RETENTION_PAUSE,
            backlog_at: now + BACKLOG_PAUSE,
        }
    }

    fn wait(&self, state: &State) -> Duration {
        let mut until = self.retention_at.min(self.backlog_at);
        if !state.unindexed.is_empty() {
            until = until.min(self.index_at);
        }
        if state.log_entries > 0 {
            until = until.min(self.fold_at);
        }
        if state.has_work {
            until = until.min(self.work_at);
        }
        until.saturating_duration_since(Instant::now()).min(WAIT_MAX)
    }

    fn run(&mut self, writer: &mut Writer) {
        let now = Instant::now();
        if now >= self.index_at || writer.state.unindexed.len() >= UNINDEXED_MAX {
            self.index_at = now + INDEX_EVERY;
            report("an index pass", writer.index_pass());
        }
        if now >= self.fold_at || writer.state.log_entries >= LOG_ENTRIES_MAX {
            let folded = report("adding up the statistics", writer.fold_pass());
            let pause = match folded {
                Some(true) => WORK_PAUSE,
                Some(false) => FOLD_EVERY,
                None => FAILURE_REST,
            };
            self.fold_at = Instant::now() + pause;
        }
        if writer.state.has_work && now >= self.work_at {
            let worked = report("background work", writer.work_pass());
            self.work_at = Instant::now() + worked.map_or(FAILURE_REST, |_| WORK_PAUSE);
        }
        if now >= self.retention_at {
            let walked = report("retention", writer.retention_pass());
            let pause = match walked {
                Some(true) => RETENTION_PAUSE,
                Some(false) => RETENTION_REST,
                None => FAILURE_REST,
            };
            self.retention_at = Instant::now() + pause;
        }
        if now >= self.backlog_at {
            let pause = match report("the pass over old backlogs", writer.backlog_pass()) {
                Some(true) => BACKLOG_PAUSE,
                Some(false) => BACKLOG_REST,
                None => FAILURE_REST,
            };
            self.backlog_at = Instant::now() + pause;
        }
    }
}

fn report<T>(what: &str, result: Result<T, StoreError>) -> Option<T> {
    result.inspect_err(|error| tracing::error!(%error, "{what} failed")).ok()
}
