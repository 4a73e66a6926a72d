//! The one writer: takes everything that is ready, commits it together, hands over what changed, answers everyone.
//!
//! Production runs it on a thread of its own; the simulation steps it by hand, so its only clock is the one it is
//! given and its only chance is seeded.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use redb::{Database, Durability};
use tokio::sync::mpsc;
use tracing::error;

use super::group::{Committed, Group, Tables, Unindexed};
use super::{Change, Shared, StoreError, postings, retention, schema};
use crate::domain::id::{DeliveryId, IdGenerator};
use crate::domain::time::Timestamp;

/// Sentences in one commit.
const SENTENCES_MAX: usize = 1024;
/// Ids that may wait for the index pass; beyond that the pass comes with the next commit.
const UNINDEXED_MAX: usize = 65_536;
/// How long a committed event may be missing from lists.
const INDEX_EVERY: Duration = Duration::from_millis(250);
/// How often the background work (retention, deletions, expiry) gets a step while there is some …
const HOUSEKEEPING_BUSY: Duration = Duration::from_millis(50);
/// … and how often it is looked for.
const HOUSEKEEPING_IDLE: Duration = Duration::from_secs(10);
/// How often the free space is asked for.
const FREE_SPACE_EVERY: Duration = Duration::from_secs(1);

/// A sentence: works on the group, and leaves behind who is to be told whether it committed.
pub(super) type Sentence = Box<dyn FnOnce(&mut Group<'_, '_>) -> Told + Send>;

/// Tells whoever asked whether it is durable.
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Whether the group may still commit, and the answer to give then.
pub(super) struct Told {
    pub is_storage_failure: bool,
    pub answer: Answer,
}

pub struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) database: Arc<Database>,
    pub(super) sentences: mpsc::Receiver<Sentence>,
    pub(super) changes: mpsc::Sender<Vec<Change>>,
    pub(super) ids: IdGenerator,
    pub(super) chance: StdRng,
    pub(super) unindexed: Vec<Unindexed>,
    pub(super) space: FreeSpace,
    pub(super) ahead_max: i64,
    pub(super) housekeeping: retention::Housekeeping,
}

/// What one step did.
#[derive(Debug, Default)]
pub struct Stepped {
    /// What committed, in order; given to whoever drives the writer by hand.
    pub changes: Vec<Change>,
    /// How many sentences were in it.
    pub sentences: usize,
}

/// Knows whether the free-space reserve is reached.
pub(super) struct FreeSpace {
    /// None: a storage without a file system.
    pub path: Option<PathBuf>,
    pub min_bytes: Option<u64>,
    pub looked_at: Option<Timestamp>,
    pub is_full: bool,
}

impl Writer {
    /// Runs until every handle on the store is gone or it was closed.
    pub fn spawn(mut self) -> std::io::Result<std::thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
            let mut ready = Vec::new();
            let mut next_housekeeping = HOUSEKEEPING_BUSY;
            loop {
                let patience = if self.unindexed.is_empty() { next_housekeeping } else { INDEX_EVERY };
                // The time-out is made inside the runtime: it asks the runtime for its timer.
                let sentences = &mut self.sentences;
                let wait =
                    async { tokio::time::timeout(patience, sentences.recv_many(&mut ready, SENTENCES_MAX)).await };
                match runtime.block_on(wait) {
                    Ok(0) => break,
                    Ok(_) => {
                        self.commit(&mut ready);
                        self.index_when_due();
                    }
                    Err(_) => {
                        self.index_pass();
                        let had_work = self.housekeeping_step();
                        next_housekeeping = if had_work { HOUSEKEEPING_BUSY } else { HOUSEKEEPING_IDLE };
                    }
                }
                if self.shared.is_closing() && self.sentences.is_empty() {
                    break;
                }
            }
            self.index_pass();
        })
    }

    /// Commits everything that is ready, together.
    pub fn step(&mut self) -> Stepped {
        let mut ready = Vec::new();
        while ready.len() < SENTENCES_MAX
            && let Ok(sentence) = self.sentences.try_recv()
        {
            ready.push(sentence);
        }
        let sentences = ready.len();
        let changes = if ready.is_empty() { Vec::new() } else { self.commit_and_keep(&mut ready) };
        Stepped { changes, sentences }
    }

    fn commit(&mut self, ready: &mut Vec<Sentence>) {
        let (changes, answers, result) = self.write(ready);
        if !changes.is_empty() {
            // Handed over before it is answered, and at the dispatcher's pace.
            // An error means that nobody delivers any more: the process is ending.
            let _ = self.changes.blocking_send(changes);
        }
        answer_all(answers, &result);
    }

    fn commit_and_keep(&mut self, ready: &mut Vec<Sentence>) -> Vec<Change> {
        let (changes, answers, result) = self.write(ready);
        answer_all(answers, &result);
        changes
    }

    fn write(&mut self, ready: &mut Vec<Sentence>) -> (Vec<Change>, Vec<Answer>, Result<(), String>) {
        let mut answers = Vec::with_capacity(ready.len());
        let ready = std::mem::take(ready);
        let mut changes = Vec::new();
        let result = self.transact(|group| {
            for sentence in ready {
                let told = sentence(group);
                answers.push(told.answer);
                if told.is_storage_failure {
                    return Err(StoreError::Unavailable("a sentence could not be carried out".to_owned()));
                }
            }
            changes = std::mem::take(&mut group.changes);
            Ok(())
        });
        if result.is_err() {
            changes.clear();
        }
        (changes, answers, result.map_err(|failure| failure.to_string()))
    }

    /// One transaction: all of `work` is durable and in memory afterwards, or nothing is.
    pub(super) fn transact<T>(
        &mut self,
        work: impl FnOnce(&mut Group<'_, '_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.shared.is_broken() {
            return Err(StoreError::Unavailable("an earlier write failed".to_owned()));
        }
        let result = self.try_transact(work);
        if let Err(failure) = &result {
            error!(%failure, "the store cannot be written; nothing more is accepted or sent");
            self.shared.break_down();
        }
        result
    }

    fn try_transact<T>(
        &mut self,
        work: impl FnOnce(&mut Group<'_, '_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let now = self.shared.clock.now();
        self.space.look(now);
        let database = Arc::clone(&self.database);
        let mut transaction = database.begin_write()?;
        transaction
            .set_durability(Durability::Immediate)
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        // The file opens in milliseconds after a crash, whatever its size, for a part of each commit's time.
        transaction.set_quick_repair(true);
        let value;
        let (committed, unindexed);
        {
            let shared = Arc::clone(&self.shared);
            let mut group = Group {
                tables: Tables::open(&transaction)?,
                ids: &mut self.ids,
                chance: &mut self.chance,
                cipher: &shared.cipher,
                now,
                catalogue: (*shared.catalogue.load_full()).clone(),
                catalogue_changed: false,
                changes: Vec::new(),
                health: Vec::new(),
                unindexed: Vec::new(),
                is_full: self.space.is_full,
                ahead_max: self.ahead_max,
                sweeps_begun: 0,
                sweeps_ended: 0,
            };
            value = work(&mut group)?;
            if group.ahead_max != self.ahead_max {
                let ahead_max = group.ahead_max as u128;
                group.set_meta_number(schema::meta::AHEAD_MAX, ahead_max)?;
            }
            unindexed = group.unindexed;
            committed = Committed {
                catalogue: group.catalogue_changed.then_some(group.catalogue),
                health: group.health,
                sweeps_begun: group.sweeps_begun,
                sweeps_ended: group.sweeps_ended,
                ahead_max: group.ahead_max,
            };
        }
        transaction.commit()?;
        self.ahead_max = committed.ahead_max;
        self.unindexed.extend(unindexed);
        self.shared.committed(committed);
        Ok(value)
    }

    fn index_when_due(&mut self) {
        let oldest = self.unindexed.first().map(|one| DeliveryId::from_u128(one.id()).assigned_at());
        let is_due = oldest.is_some_and(|at| self.shared.clock.now().since(at) >= INDEX_EVERY);
        if is_due || self.unindexed.len() >= UNINDEXED_MAX {
            self.index_pass();
        }
    }

    /// Adds what was committed since the last pass to the postings; whether there was anything.
    pub fn index_pass(&mut self) -> bool {
        if self.unindexed.is_empty() {
            return false;
        }
        let unindexed = std::mem::take(&mut self.unindexed);
        // A failure is logged where it happens, and what is missing is found again when the store is opened.
        self.transact(|group| postings::append(group, &unindexed)).is_ok()
    }

    /// One bounded step of the background work; whether there may be more.
    pub fn housekeeping_step(&mut self) -> bool {
        retention::step(self).unwrap_or(false)
    }
}

fn answer_all(answers: Vec<Answer>, result: &Result<(), String>) {
    for answer in answers {
        answer(result.clone().map_err(StoreError::Unavailable));
    }
}

impl FreeSpace {
    fn look(&mut self, now: Timestamp) {
        let is_recent = |at: Timestamp| now >= at && now.since(at) < FREE_SPACE_EVERY;
        if self.looked_at.is_some_and(is_recent) {
            return;
        }
        self.looked_at = Some(now);
        if let Some(path) = &self.path
            && let Some((free, total)) = free_bytes(path)
        {
            let min = self.min_bytes.unwrap_or_else(|| reserve(total));
            if (free < min) != self.is_full {
                self.is_full = free < min;
                tracing::warn!(free, min, is_full = self.is_full, "the free-space reserve");
            }
        }
    }
}

/// max(256 MiB, 2 %) of the file system (contract 9).
fn reserve(total: u64) -> u64 {
    (total / 50).max(256 * 1024 * 1024)
}

/// Bytes free for us, and in all.
pub(super) fn free_bytes(path: &std::path::Path) -> Option<(u64, u64)> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
}
