//! The one writer: takes every sentence that is ready, carries all of them out in one transaction, makes it durable in the
//! journal, commits it, and answers all. From time to time a checkpoint makes the database itself durable.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use redb::{Database, Durability};
use tokio::sync::oneshot;

use super::behind::Behind;
use super::commit::{Effects, Job, Message, Shared, State, Transaction, closed};
use super::compaction::Turn;
use super::journal::{Journal, Rows};
use super::schema::MetaName;
use super::tables::{Tables, disk};
use super::timers::{Timers, report};
use super::{Change, StoreError};
use crate::domain::actor::ActorId;
use crate::domain::id::KeyId;

/// Sentences of one group …
const GROUP_JOBS_MAX: usize = 1024;
/// … and their bytes: what one commit may hold back from those who come after it.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Carries out what handles ask for. Runs on its own thread ([`Self::spawn`]) or step by step in a simulation.
pub struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Receiver<Message>,
    pub(super) changes: tokio::sync::mpsc::Sender<Vec<Change>>,
    pub(super) state: State,
    pub(super) journal: Journal,
    /// The database's file.
    pub(super) behind: Behind,
    /// The checkpoint that is under way: the epochs after which the file has it.
    pub(super) checkpoint: Option<u64>,
    /// What the transaction that runs has written; kept for its memory.
    pub(super) written: Rows,
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
        let (group, order) = self.take_ready(None);
        let mut changes = std::mem::take(&mut self.untold);
        let jobs = group.len();
        self.commit(group, |_, committed| changes.extend(committed));
        match order {
            Some(Order::Stop(stop)) => {
                self.end();
                _ = stop.send(());
            }
            Some(Order::Turn(turn)) => self.turn(*turn),
            None if self.journal.is_full() => drop(report("a checkpoint", self.checkpoint())),
            None => {}
        }
        Stepped { jobs, changes }
    }

    /// Makes the database durable up to the last group, and waits until it is.
    pub fn checkpoint(&mut self) -> Result<(), StoreError> {
        self.end_checkpoint()?;
        self.begin_checkpoint()?;
        self.end_checkpoint()
    }

    /// Commits the database for good, which is written behind; what comes meanwhile goes to the other half of the journal.
    /// The thread does it about once a second. Nothing when there is nothing to commit, or the last one is under way.
    pub fn begin_checkpoint(&mut self) -> Result<(), StoreError> {
        if self.journal.is_empty() || self.checkpoint.is_some() {
            return Ok(());
        }
        let database = self.shared.database.load_full().ok_or_else(closed)?;
        self.try_checkpoint(&database).map_err(|error| self.has_failed(error))?;
        self.checkpoint = Some(self.behind.epochs());
        self.journal.turn();
        self.shared.vitals.journal_has(self.journal.bytes());
        Ok(())
    }

    /// Looks whether the checkpoint that is under way has reached the disk.
    pub fn watch_checkpoint(&mut self) -> Result<(), StoreError> {
        let Some(epochs) = self.checkpoint else { return Ok(()) };
        let is_durable = self.behind.is_durable(epochs).map_err(|error| self.has_failed(disk(error)))?;
        if is_durable {
            self.checkpoint = None;
            self.journal.has_caught_up();
            self.shared.vitals.checkpoint_ended(self.shared.clock.now());
        }
        Ok(())
    }

    /// Waits for the checkpoint that is under way.
    fn end_checkpoint(&mut self) -> Result<(), StoreError> {
        if self.checkpoint.is_some() {
            self.behind.carry().map_err(|error| self.has_failed(disk(error)))?;
        }
        self.watch_checkpoint()
    }

    fn try_checkpoint(&self, database: &Database) -> Result<(), StoreError> {
        let mut write = database.begin_write().map_err(disk)?;
        write.set_durability(Durability::Immediate).map_err(disk)?;
        // Without it, reopening after a crash reads the whole file (architecture 5).
        write.set_quick_repair(true);
        Tables::new(&write, None).put_meta(MetaName::JournalUpTo, &self.journal.last().to_be_bytes())?;
        write.commit().map_err(disk)
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

    /// Announces that the disk has become full, or has room again.
    pub fn space_pass(&mut self) -> Result<(), StoreError> {
        self.shared.space.refresh(self.shared.clock.now());
        let told = self.state.told_disk;
        if self.shared.space.level_after(told) == told {
            return Ok(());
        }
        self.pass(|transaction| transaction.announce_disk())
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
            let first = match self.queue.recv_timeout(timers.wait(&self)) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let (group, order) = self.take_ready(first);
            self.commit(group, |changes, committed| {
                // Without a reader there is nobody to tell.
                _ = changes.blocking_send(committed);
            });
            match order {
                Some(Order::Stop(stop)) => {
                    self.end();
                    _ = stop.send(());
                    return;
                }
                Some(Order::Turn(turn)) => self.turn(*turn),
                None => {}
            }
            timers.run(&mut self);
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
        if report("the last checkpoint", self.checkpoint()).is_some()
            && let Err(error) = self.journal.shrink()
        {
            tracing::warn!(%error, "the journal keeps its room; the next opening uses it again");
        }
        self.shared.database.store(None);
    }

    /// Everything that is ready, up to the limits of a group, and what is to be done after it.
    fn take_ready(&mut self, first: Option<Message>) -> (Vec<Job>, Option<Order>) {
        let mut group = Vec::new();
        let mut bytes = 0;
        let mut next = first.or_else(|| self.queue.try_recv().ok());
        while let Some(message) = next {
            match message {
                Message::Stop(stop) => return (group, Some(Order::Stop(stop))),
                Message::Turn(turn) => return (group, Some(Order::Turn(turn))),
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
        let begun = Instant::now();
        let sentences = group.len();
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
            transaction.write_last_uses()
        });
        if committed.is_ok() {
            self.shared.vitals.committed(begun.elapsed(), sentences);
        }
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
        let error = match self.try_transact(&database, run) {
            Ok(effects) => return (Ok(()), self.apply(effects)),
            Err(Failed::Aborted(error)) => {
                tracing::error!(%error, "a transaction was given up");
                // A disk that failed once makes redb refuse everything from then on.
                match database.begin_write().map_err(disk) {
                    Ok(_) => return (Err(error), Vec::new()),
                    Err(error) => error,
                }
            }
            Err(Failed::Broken(error)) => error,
        };
        (Err(self.has_failed(error)), Vec::new())
    }

    pub(super) fn is_broken(&self) -> bool {
        *self.shared.is_broken.borrow()
    }

    /// From here on nothing is written.
    pub(super) fn has_failed(&self, error: StoreError) -> StoreError {
        tracing::error!(%error, "storage failed: nothing is written until the store is opened again");
        self.shared.database.store(None);
        self.shared.is_broken.send_replace(true);
        error
    }

    fn try_transact(
        &mut self,
        database: &Database,
        run: impl FnOnce(&mut Transaction<'_>) -> Result<(), StoreError>,
    ) -> Result<Effects, Failed> {
        let broken = |error: &dyn std::fmt::Display| Failed::Broken(disk(error));
        self.written.clear();
        let mut write = database.begin_write().map_err(|error| broken(&error))?;
        // It is the journal that makes a group durable.
        write.set_durability(Durability::None).map_err(|error| broken(&error))?;
        let tables = Tables::new(&write, Some(&mut self.written));
        let mut transaction = Transaction::new(tables, &self.shared, &self.state);
        let result = run(&mut transaction).and_then(|()| transaction.write_stats_log());
        let (is_changed, effects) = transaction.finish();
        match result {
            Ok(()) if is_changed => {
                self.journal
                    .append(&mut self.written)
                    .map_err(|error| broken(&format_args!("the journal: {error}")))?;
                self.shared.vitals.journal_has(self.journal.bytes());
                write.commit().map_err(|error| broken(&error))?;
                self.shared.followed.committed(&self.written);
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
            moved,
            id_lag_max,
            has_work,
            backlogs,
            backlog_cursor,
            worked,
            retention_cursor,
            told_disk,
            last_uses_written,
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
        self.shared.vitals.moved(moved);
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
        self.state.told_disk = told_disk.unwrap_or(self.state.told_disk);
        if !last_uses_written.is_empty() {
            let mut memory = self.shared.last_uses.lock().expect("nothing panics while it holds the lock");
            memory.written_at = self.shared.clock.now();
            // One that was used once more meanwhile stays.
            memory.unwritten.retain(|id, at| last_uses_written.get(id) != Some(at));
            // Sessions come and go as long as the process lives.
            let catalogue = self.shared.catalogue.load();
            memory.last.retain(|id, _| catalogue.knows(*id) || *id == ActorId::Key(KeyId::ENVIRONMENT));
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

/// What the writer does between two groups, when somebody asks for it.
enum Order {
    /// Ends.
    Stop(oneshot::Sender<()>),
    /// Goes on in another file.
    Turn(Box<Turn>),
}

enum Failed {
    /// The transaction was undone; the store goes on.
    Aborted(StoreError),
    /// What is on disk is not known: it has to be opened again.
    Broken(StoreError),
}
