//! Space given back: the database's file keeps the size that it once had, so what is live is copied into a fresh file, which
//! then takes the place of the old one.
//!
//! The copy is made beside the work: table by table in the order of keys, each step from a snapshot of its own. What the writer
//! commits meanwhile it hands over ([`Followed`]). Of that, the rows up to where the copy has come are carried out in the copy; the
//! others it will find, in their newest form, when it comes there. So no snapshot is held for long, and memory holds what one
//! step lets come together. At the end the writer itself carries out the last rows, gives the fresh file the store's name and
//! goes on in it ([`Turn`]): only this can be noticed.
//!
//! Until the rename the old file and the journal are the store, whatever happens. From the rename on the fresh file is, which
//! is on the disk by then and has all that the journal has.

use std::fs::{File, OpenOptions};
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use redb::backends::FileBackend;
use redb::{Builder, Database};
use tokio::sync::oneshot;

use super::StoreError;
use super::behind::Behind;
use super::commit::{Message, Shared, Store, closed};
use super::folder::{COPY_PREFIX, open_file};
use super::format::write;
use super::journal::{Row, Rows, each_row};
use super::pace::{Pace, rest};
use super::schema::{MetaName, NAMES};
use super::space::{Disk, taken_bytes};
use super::tables::disk;
use super::writer::Writer;
use crate::domain::obstacle::Obstacle;
use crate::domain::time::Timestamp;

/// Rows that one step of the copy takes: what it holds in memory, and commits.
const STEP_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Pages that the copy keeps in memory while it grows.
const COPY_CACHE_BYTES: usize = 16 * 1024 * 1024;
/// What was committed and the copy has not carried out. Beyond it the copy is given up: it is too slow for what comes.
const FOLLOWED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What the writer may have to carry out itself, at most, before it goes on in the fresh file.
const TURN_BYTES_MAX: usize = 256 * 1024;
/// Steps after the copy, each of what came during the one before. When it is still too much then, the copy is given up.
const CATCH_UP_STEPS_MAX: u32 = 100;
/// How often it is seen whether the last reader has left the old file.
const LEAVE_EVERY: Duration = Duration::from_millis(50);

/// Why space was not given back. The store is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompactionError {
    #[error("a compaction is under way")]
    Running,
    #[error("the copy needs about {needed_bytes} bytes above the reserve, and {free_bytes} are free")]
    NoRoom { needed_bytes: u64, free_bytes: u64 },
    #[error("the reserve of free space was reached")]
    RoomRanOut,
    #[error("more was written than the copy could follow")]
    TooBusy,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a compaction came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// What the file took on the disk.
    pub bytes_before: u64,
    pub bytes_after: u64,
    /// For so long nothing else was written.
    pub pause: Duration,
}

/// How far a compaction is, or how the last one of this process ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CompactionState {
    pub running: Option<Progress>,
    pub last: Option<Ended>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub begun_at: Timestamp,
    pub bytes_copied: u64,
    /// An estimate.
    pub bytes_expected: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub begun_at: Timestamp,
    pub ended_at: Timestamp,
    pub outcome: Result<Compacted, CompactionError>,
}

/// What is committed while a copy is made, for the copy.
#[derive(Debug, Default)]
pub(super) struct Followed {
    is_on: AtomicBool,
    rows: Mutex<FollowedRows>,
}

#[derive(Debug, Default)]
struct FollowedRows {
    bytes: Vec<u8>,
    is_overfull: bool,
}

impl Followed {
    /// The writer's part, after each commit.
    pub(super) fn committed(&self, written: &Rows) {
        if !self.is_on.load(Ordering::SeqCst) {
            return;
        }
        let mut rows = self.rows();
        let written = written.bytes();
        if rows.bytes.len() + written.len() > FOLLOWED_BYTES_MAX {
            *rows = FollowedRows { bytes: Vec::new(), is_overfull: true };
        } else if !rows.is_overfull {
            rows.bytes.extend_from_slice(written);
        }
    }

    fn begin(&self) {
        *self.rows() = FollowedRows::default();
        self.is_on.store(true, Ordering::SeqCst);
    }

    fn end(&self) {
        self.is_on.store(false, Ordering::SeqCst);
        *self.rows() = FollowedRows::default();
    }

    /// All that came since the last time.
    fn take(&self) -> Result<Vec<u8>, CompactionError> {
        let mut rows = self.rows();
        if rows.is_overfull { Err(CompactionError::TooBusy) } else { Ok(std::mem::take(&mut rows.bytes)) }
    }

    fn bytes(&self) -> usize {
        self.rows().bytes.len()
    }

    fn rows(&self) -> MutexGuard<'_, FollowedRows> {
        self.rows.lock().expect("nothing panics while it holds the lock")
    }
}

/// How far the copy has come: every table before this one, and the rows of this one up to the key.
#[derive(Debug, Default)]
struct Reached {
    table: usize,
    key: Option<Vec<u8>>,
}

impl Reached {
    fn is_end(&self) -> bool {
        self.table == NAMES.len()
    }

    fn has_passed(&self, row: &Row<'_>) -> bool {
        row.table < self.table || row.table == self.table && self.key.as_deref().is_some_and(|key| row.key <= key)
    }
}

/// The fresh file.
struct FreshFile {
    path: PathBuf,
    /// None once the writer has it.
    database: Option<Database>,
    /// What lies below the database, once it is the whole copy.
    behind: Option<Behind>,
}

/// A compaction under way. [`Self::step`] until it says that it is [`Step::Ready`], then [`Self::turn`]. Dropped before that, it
/// leaves no trace.
pub struct Compaction {
    shared: Arc<Shared>,
    fresh: FreshFile,
    reached: Reached,
    bytes_before: u64,
    catch_up_steps: u32,
}

/// How far a step brought the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Copying,
    /// All is copied, and what was committed meanwhile is being carried out.
    CatchingUp,
    Ready,
}

/// What the writer gets at the end: the copy, which then is the store.
pub(super) struct Turn {
    pub(super) database: Database,
    pub(super) behind: Behind,
    path: PathBuf,
    answer: oneshot::Sender<Result<Turned, CompactionError>>,
}

/// The old file, which readers may still need, and how long the writer did nothing else.
pub struct Turned {
    old: Option<Arc<Database>>,
    pause: Duration,
}

impl Store {
    /// What is going on, and what went on in this process.
    pub fn compaction(&self) -> CompactionState {
        self.shared.compaction().clone()
    }

    /// Gives space back, on a thread of its own. What it comes to, [`Self::compaction`] says.
    pub fn compact_in_background(&self, pace: Pace) -> Result<(), CompactionError> {
        let compaction = self.begin_compaction()?;
        let thread = std::thread::Builder::new().name("store-compact".to_owned());
        let spawned = thread.spawn(move || compaction.run(pace));
        spawned.map(drop).map_err(|error| disk(error).into())
    }

    /// Reserves the place for a compaction and looks whether there is room for it.
    pub fn begin_compaction(&self) -> Result<Compaction, CompactionError> {
        let shared = &self.shared;
        let Some((directory, file)) = shared.space.paths() else {
            return Err(StoreError::InvalidState(Obstacle::Changed).into());
        };
        let expected = self.volume()?.used_bytes();
        {
            let mut state = shared.compaction();
            if state.running.is_some() {
                return Err(CompactionError::Running);
            }
            shared.space.look();
            let Disk { free_bytes, reserve_bytes, .. } = shared.space.disk();
            if free_bytes < expected + reserve_bytes {
                return Err(CompactionError::NoRoom { needed_bytes: expected, free_bytes });
            }
            let begun_at = shared.clock.now();
            state.running = Some(Progress { begun_at, bytes_copied: 0, bytes_expected: expected });
        }
        let path = directory.join(format!("{COPY_PREFIX}{:016x}", rand::random::<u64>()));
        let compaction = Compaction {
            shared: Arc::clone(shared),
            fresh: FreshFile { path, database: None, behind: None },
            reached: Reached::default(),
            bytes_before: taken_bytes(file),
            catch_up_steps: 0,
        };
        shared.followed.begin();
        Ok(compaction)
    }
}

impl Shared {
    fn compaction(&self) -> MutexGuard<'_, CompactionState> {
        self.compaction.lock().expect("nothing panics while it holds the lock")
    }
}

impl Compaction {
    /// All of it. The caller's thread waits for the writer, which has to run.
    fn run(mut self, pace: Pace) {
        let mut run = || {
            loop {
                let begun = Instant::now();
                match self.step(STEP_BYTES_MAX)? {
                    Step::Copying => pace.rest_after(begun.elapsed()),
                    Step::CatchingUp => {}
                    Step::Ready => break,
                }
            }
            let turned = self.turn()?;
            turned.blocking_recv().unwrap_or_else(|_| Err(closed().into()))
        };
        let turned = run();
        let outcome = turned.map(|turned| self.turned(turned));
        match &outcome {
            Ok(Compacted { bytes_before, bytes_after, pause }) => {
                tracing::info!(bytes_before, bytes_after, ?pause, "space of the store was given back");
            }
            Err(error) => tracing::warn!(%error, "no space of the store was given back"),
        }
        self.end(outcome);
    }

    /// Takes over about `bytes_max` more, and what was committed meanwhile.
    pub fn step(&mut self, bytes_max: usize) -> Result<Step, CompactionError> {
        let space = &self.shared.space;
        space.refresh(self.shared.clock.now());
        if space.is_low() {
            // What goes on besides needs what is left.
            return Err(CompactionError::RoomRanOut);
        }
        if !self.reached.is_end() {
            self.copy_some(bytes_max)?;
            if !self.reached.is_end() {
                return Ok(Step::Copying);
            }
            self.reopen()?;
        }
        let followed = self.shared.followed.take()?;
        let database = self.fresh.database.as_ref().expect("the writer has it only after the last step");
        write(database, |tables| each_row(&followed).try_for_each(|row| tables.carry_out(&row)))?;
        if self.shared.followed.bytes() <= TURN_BYTES_MAX {
            return Ok(Step::Ready);
        }
        self.catch_up_steps += 1;
        if self.catch_up_steps > CATCH_UP_STEPS_MAX {
            return Err(CompactionError::TooBusy);
        }
        Ok(Step::CatchingUp)
    }

    fn copy_some(&mut self, bytes_max: usize) -> Result<(), CompactionError> {
        if self.fresh.database.is_none() {
            self.fresh.database = Some(make_copy(&self.fresh.path)?);
        }
        let database = self.fresh.database.as_ref().expect("it was made above");
        let snapshot = self.shared.snapshot()?;
        let reached = &mut self.reached;
        let followed = &self.shared.followed;
        let (mut bytes, mut overfull) = (0, None);
        write(database, |tables| {
            while !reached.is_end() && bytes < bytes_max {
                let table = snapshot.table_at(reached.table)?;
                let after = reached.key.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                let mut stopped_at = None;
                for row in table.range::<&[u8]>((after, Bound::Unbounded)).map_err(disk)? {
                    let (key, value) = row.map_err(disk)?;
                    let (key, value) = (key.value(), value.value());
                    tables.carry_out(&Row { table: reached.table, key, value: Some(value) })?;
                    bytes += key.len() + value.len();
                    if bytes >= bytes_max {
                        stopped_at = Some(key.to_vec());
                        break;
                    }
                }
                match stopped_at {
                    Some(key) => reached.key = Some(key),
                    None => *reached = Reached { table: reached.table + 1, key: None },
                }
            }
            // Only now: what came during the copy above is newer than what was copied.
            match followed.take() {
                Ok(rows) => {
                    each_row(&rows).filter(|row| reached.has_passed(row)).try_for_each(|row| tables.carry_out(&row))
                }
                Err(error) => {
                    overfull = Some(error);
                    Ok(())
                }
            }
        })?;
        if let Some(error) = overfull {
            return Err(error);
        }
        if let Some(progress) = &mut self.shared.compaction().running {
            progress.bytes_copied += bytes as u64;
        }
        Ok(())
    }

    /// As the store is opened, so that the writer can go on in it.
    fn reopen(&mut self) -> Result<(), CompactionError> {
        // Closed, it is whole on the disk and quickly opened.
        drop(self.fresh.database.take());
        let file = open_file(&self.fresh.path).map_err(disk)?;
        let behind = Behind::new(file).and_then(|behind| behind.spawn().map(|()| behind)).map_err(disk)?;
        let database = Builder::new().set_cache_size(self.shared.cache_bytes).create_with_backend(behind.clone());
        self.fresh.database = Some(database.map_err(disk)?);
        self.fresh.behind = Some(behind);
        Ok(())
    }

    /// Asks the writer to go on in the copy.
    pub fn turn(&mut self) -> Result<oneshot::Receiver<Result<Turned, CompactionError>>, CompactionError> {
        let (Some(database), Some(behind)) = (self.fresh.database.take(), self.fresh.behind.take()) else {
            return Err(StoreError::InvalidState(Obstacle::Changed).into());
        };
        let (answer, answered) = oneshot::channel();
        let turn = Turn { database, behind, path: self.fresh.path.clone(), answer };
        self.shared.queue.send(Message::Turn(Box::new(turn))).map_err(|_| closed())?;
        Ok(answered)
    }

    /// What it came to, once the last reader has left the old file, whose room is free from then on.
    pub fn turned(&self, turned: Turned) -> Compacted {
        let Turned { old, pause } = turned;
        if let Some(old) = old {
            // A reader holds it for as long as it reads, so it is closed here and not by one of them.
            while Arc::strong_count(&old) > 1 {
                rest(LEAVE_EVERY);
            }
        }
        let bytes_after = self.shared.space.paths().map_or(0, |(_, file)| taken_bytes(file));
        Compacted { bytes_before: self.bytes_before, bytes_after, pause }
    }

    fn end(self, outcome: Result<Compacted, CompactionError>) {
        let ended_at = self.shared.clock.now();
        let mut state = self.shared.compaction();
        if let Some(Progress { begun_at, bytes_copied: _, bytes_expected: _ }) = state.running {
            state.last = Some(Ended { begun_at, ended_at, outcome });
        }
    }
}

impl Drop for Compaction {
    fn drop(&mut self) {
        self.shared.followed.end();
        drop(self.fresh.database.take());
        // After the turn it has another name.
        _ = std::fs::remove_file(&self.fresh.path);
        self.shared.compaction().running = None;
    }
}

/// Only its owner may read it, like the folder that it is in.
fn make_copy(path: &Path) -> Result<Database, StoreError> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path).map_err(disk)?;
    let file = FileBackend::new(file).map_err(disk)?;
    Builder::new().set_cache_size(COPY_CACHE_BYTES).create_with_backend(file).map_err(disk)
}

impl Writer {
    /// Goes on in the copy.
    pub(super) fn turn(&mut self, turn: Turn) {
        let Turn { database, behind, path, answer } = turn;
        let begun = Instant::now();
        let turned = self.try_turn(database, behind, &path);
        // Whoever asked may have gone away.
        _ = answer.send(turned.map(|old| Turned { old, pause: begun.elapsed() }));
    }

    /// Answers the old one.
    fn try_turn(
        &mut self,
        database: Database,
        behind: Behind,
        path: &Path,
    ) -> Result<Option<Arc<Database>>, CompactionError> {
        let Some((directory, file)) = self.shared.space.paths() else {
            return Err(StoreError::InvalidState(Obstacle::Changed).into());
        };
        if self.shared.database.load().is_none() {
            return Err(closed().into());
        }
        let followed = self.shared.followed.take()?;
        let last = self.journal.last();
        write(&database, |tables| {
            each_row(&followed).try_for_each(|row| tables.carry_out(&row))?;
            tables.put_meta(MetaName::JournalUpTo, &last.to_be_bytes())
        })?;
        behind.carry().map_err(disk)?;
        std::fs::rename(path, file).map_err(disk)?;
        // Until the name is durable nobody knows which of the two a power cut leaves.
        File::open(directory)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| self.has_failed(disk(format_args!("{}: {error}", directory.display()))))?;
        let old = self.shared.database.swap(Some(Arc::new(database)));
        self.behind = behind;
        self.checkpoint = None;
        self.journal.is_all_durable();
        // What was erased is not to go on in there either.
        if let Err(error) = self.journal.shrink() {
            tracing::warn!(%error, "the journal keeps its room until it is written over");
        }
        Ok(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::store::schema::Tenants;
    use crate::store::tables::Read;
    use crate::store::{Location, Opened, Options, Retention};

    #[test]
    fn a_reader_from_before_the_turn_reads_on_in_the_old_file_which_goes_when_it_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            location: Location::Directory(folder.path().to_owned()),
            secret_key: Some([7; 32]),
            clock: Clock::Manual(ManualClock::at(Timestamp::from_millis(1_000_000))),
            seed: 1,
            retention: Retention::default(),
            settings_fixed: Default::default(),
            free_bytes_min: Some(0),
            // Nothing of the old file is in memory.
            cache_bytes: 0,
        };
        let Opened { store, mut writer, changes: _ } = Store::open(options).unwrap();
        let reader = store.shared.snapshot().unwrap();
        let old = Arc::downgrade(&store.shared.database.load_full().unwrap());
        let mut compaction = store.begin_compaction().unwrap();
        while compaction.step(100).unwrap() != Step::Ready {}
        let answered = compaction.turn().unwrap();
        assert_eq!(writer.step().jobs, 0);
        let turned = answered.blocking_recv().unwrap().unwrap();
        assert_eq!(reader.scan::<Tenants>(..).unwrap().filter(Result::is_ok).count(), 2);
        assert_eq!(store.shared.snapshot().unwrap().scan::<Tenants>(..).unwrap().filter(Result::is_ok).count(), 2);
        assert_eq!(old.strong_count(), 2, "the reader, and what waits for it");
        drop(reader);
        compaction.turned(turned);
        assert_eq!(old.strong_count(), 0);
    }

    #[test]
    fn what_comes_faster_than_the_copy_follows_ends_the_compaction_and_takes_no_memory() {
        let followed = Followed::default();
        let mut rows = Rows::default();
        rows.put(0, b"key", &vec![0; FOLLOWED_BYTES_MAX / 4]);
        followed.committed(&rows);
        assert_eq!(followed.bytes(), 0, "nobody follows");
        followed.begin();
        for _ in 0..3 {
            followed.committed(&rows);
        }
        assert_eq!(each_row(&followed.take().unwrap()).count(), 3);
        for _ in 0..5 {
            followed.committed(&rows);
        }
        assert_eq!(followed.bytes(), 0);
        assert_eq!(followed.take(), Err(CompactionError::TooBusy));
    }
}
