//! When the writer's thread does what nobody asked for.

use std::time::{Duration, Instant};

use super::StoreError;
use super::stats::LOG_ENTRIES_MAX;
use super::writer::Writer;

/// A new event is in its lists after this, and a commit: contract 3 says within a second.
const INDEX_EVERY: Duration = Duration::from_millis(250);
/// Between two times that the log of the statistics is added up: the same rows are then written once for many commits.
const FOLD_EVERY: Duration = Duration::from_secs(10);
/// Between two checkpoints, unless the journal is full before: an opening after a crash carries out again what a second
/// wrote. Each costs pages that changed, the state of the database's allocator (150 bytes for each megabyte of the file)
/// and two syncs, so more of them make the journal pointless.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// What may wait for its postings: the memory of an index pass, about 3 MiB.
const UNINDEXED_MAX: usize = 65_536;
/// Between two steps of background work, so that groups come in between.
const WORK_PAUSE: Duration = Duration::from_millis(20);
/// Between two steps of a walk of retention: it removes up to 3,200 a second, and is in nobody's way for most of the time.
const RETENTION_PAUSE: Duration = Duration::from_millis(10);
/// Between two walks.
const RETENTION_REST: Duration = Duration::from_secs(10 * 60);
/// Between two passes over old backlogs, and between two steps of one.
const BACKLOG_REST: Duration = Duration::from_secs(5 * 60);
const BACKLOG_PAUSE: Duration = Duration::from_millis(50);
/// After a step that failed.
const FAILURE_REST: Duration = Duration::from_secs(60);
/// The longest that the thread sleeps.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// When each of these is due.
pub(super) struct Timers {
    index_at: Instant,
    fold_at: Instant,
    work_at: Instant,
    retention_at: Instant,
    backlog_at: Instant,
    checkpoint_at: Instant,
}

impl Timers {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            index_at: now,
            fold_at: now + FOLD_EVERY,
            work_at: now,
            retention_at: now + RETENTION_PAUSE,
            backlog_at: now + BACKLOG_PAUSE,
            checkpoint_at: now + CHECKPOINT_EVERY,
        }
    }

    pub(super) fn wait(&self, writer: &Writer) -> Duration {
        // It does nothing by itself any more: what is due stays so.
        if writer.is_broken() {
            return WAIT_MAX;
        }
        let state = &writer.state;
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
        if !writer.journal.is_empty() {
            until = until.min(self.checkpoint_at);
        }
        until.saturating_duration_since(Instant::now()).min(WAIT_MAX)
    }

    pub(super) fn run(&mut self, writer: &mut Writer) {
        if writer.is_broken() {
            return;
        }
        let now = Instant::now();
        if now >= self.index_at || writer.state.unindexed.len() >= UNINDEXED_MAX {
            self.index_at = now + INDEX_EVERY;
            report("an index pass", writer.index_pass());
        }
        if now >= self.fold_at || writer.state.log_entries >= LOG_ENTRIES_MAX {
            let folded = report("adding up the statistics", writer.fold_pass());
            self.fold_at = next(folded, WORK_PAUSE, FOLD_EVERY);
        }
        if writer.state.has_work && now >= self.work_at {
            let worked = report("background work", writer.work_pass());
            self.work_at = Instant::now() + worked.map_or(FAILURE_REST, |_| WORK_PAUSE);
        }
        if now >= self.retention_at {
            let walked = report("retention", writer.retention_pass());
            self.retention_at = next(walked, RETENTION_PAUSE, RETENTION_REST);
        }
        report("a look at the disk", writer.space_pass());
        if now >= self.backlog_at {
            let passed = report("the pass over old backlogs", writer.backlog_pass());
            self.backlog_at = next(passed, BACKLOG_PAUSE, BACKLOG_REST);
        }
        // After the others: they write too.
        report("a checkpoint", writer.watch_checkpoint());
        if writer.journal.is_overfull() {
            report("a checkpoint", writer.checkpoint());
        } else if now >= self.checkpoint_at || writer.journal.is_full() {
            report("a checkpoint", writer.begin_checkpoint());
            self.checkpoint_at = Instant::now() + CHECKPOINT_EVERY;
        }
    }
}

/// When a walk has its next step: soon while there is more of it, after a rest when it is at its end or failed.
fn next(has_more: Option<bool>, pause: Duration, rest: Duration) -> Instant {
    let wait = match has_more {
        Some(true) => pause,
        Some(false) => rest,
        None => FAILURE_REST,
    };
    Instant::now() + wait
}

pub(super) fn report<T>(what: &str, result: Result<T, StoreError>) -> Option<T> {
    result.inspect_err(|error| tracing::error!(%error, "{what} failed")).ok()
}
