//! A file that is written behind its writer's back, in order: a sync only closes an *epoch*, and epochs reach the disk one
//! after the other, each whole before the next begins.
//!
//! The database below which it lies thinks that a sync is done when it returns. After a crash the file is as if the power
//! had gone off before the first epoch that is missing: older, and sound, since the database is made for that. What has to
//! survive from then on is in the journal, so the journal must keep it until [`Behind::is_durable`] says that the file has it.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use redb::{BackendError, StorageBackend};

/// Bytes of closed epochs that may wait for the disk. Beyond it a sync waits.
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Neighbours are written together up to this size.
const WRITE_BYTES_MAX: usize = 1024 * 1024;

/// Handles are the same file.
#[derive(Debug, Clone)]
pub(super) struct Behind(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: Box<dyn StorageBackend>,
    state: Mutex<State>,
    /// An epoch was closed or has reached the disk, or no more will come.
    changed: Condvar,
    /// Only one at a time carries epochs to the disk.
    carrier: Mutex<()>,
}

#[derive(Debug)]
struct State {
    /// What was written since the last sync.
    open: Epoch,
    /// What waits for the disk, the oldest first.
    closed: VecDeque<Arc<Epoch>>,
    closed_bytes: usize,
    /// Epochs that were ever closed.
    epochs: u64,
    /// As the writer sees it.
    length: u64,
    /// Why an epoch could not be written. Nothing is written after that.
    failure: Option<Failure>,
    has_thread: bool,
    is_ending: bool,
}

#[derive(Debug, Clone)]
struct Failure(io::ErrorKind, String);

impl Failure {
    fn of(error: &io::Error) -> Self {
        Self(error.kind(), error.to_string())
    }

    fn error(&self) -> io::Error {
        io::Error::new(self.0, self.1.clone())
    }
}

/// What is written between two syncs. No two writes overlap.
#[derive(Debug, Default)]
struct Epoch {
    /// Lengths that the file got, in order; before the writes.
    lengths: Vec<u64>,
    writes: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
}

impl Epoch {
    fn is_empty(&self) -> bool {
        self.lengths.is_empty() && self.writes.is_empty()
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        self.cut_out(offset, offset + data.len() as u64);
        self.bytes += data.len();
        self.writes.insert(offset, data.to_vec());
    }

    fn set_length(&mut self, length: u64) {
        self.cut_out(length, u64::MAX);
        self.lengths.push(length);
    }

    /// Forgets what was written there.
    fn cut_out(&mut self, from: u64, to: u64) {
        // One that begins before it may reach into it.
        let first = self.writes.range(..from).next_back().map(|(offset, _)| *offset);
        let within = self.writes.range(from..to).map(|(offset, _)| *offset);
        let offsets: Vec<u64> = first.into_iter().chain(within).collect();
        for offset in offsets {
            let end = offset + self.writes[&offset].len() as u64;
            if end <= from {
                continue;
            }
            let data = self.writes.remove(&offset).expect("its offset was just found");
            self.bytes -= data.len();
            let part = |from: u64, to: u64| data[place(from - offset)..place(to - offset)].to_vec();
            if offset < from {
                let kept = part(offset, from);
                self.bytes += kept.len();
                self.writes.insert(offset, kept);
            }
            if end > to {
                let kept = part(to, end);
                self.bytes += kept.len();
                self.writes.insert(to, kept);
            }
        }
    }

    /// Lays what was written there over what was there before.
    fn lay_over(&self, offset: u64, out: &mut [u8]) {
        let end = offset + out.len() as u64;
        // Where it was cut off, what it grew by since then is empty.
        if let Some(cut) = self.lengths.iter().min()
            && *cut < end
        {
            out[place(cut.saturating_sub(offset))..].fill(0);
        }
        let first = self.writes.range(..offset).next_back();
        for (start, data) in first.into_iter().chain(self.writes.range(offset..end)) {
            let (from, to) = ((*start).max(offset), (*start + data.len() as u64).min(end));
            if from < to {
                out[place(from - offset)..place(to - offset)]
                    .copy_from_slice(&data[place(from - start)..place(to - start)]);
            }
        }
    }

    fn carry_to(&self, file: &dyn StorageBackend) -> io::Result<()> {
        for length in &self.lengths {
            file.set_len(*length)?;
        }
        let mut together: Vec<u8> = Vec::new();
        let mut begin = 0;
        for (offset, data) in &self.writes {
            let is_neighbour =
                begin + together.len() as u64 == *offset && together.len() + data.len() <= WRITE_BYTES_MAX;
            if !is_neighbour && !together.is_empty() {
                file.write(begin, &together)?;
                together.clear();
            }
            if together.is_empty() {
                begin = *offset;
            }
            together.extend_from_slice(data);
        }
        if !together.is_empty() {
            file.write(begin, &together)?;
        }
        file.sync_data()
    }
}

/// A place within something that is in memory.
fn place(bytes: u64) -> usize {
    usize::try_from(bytes).expect("what is in memory has a size")
}

impl Behind {
    pub(super) fn new(file: Box<dyn StorageBackend>) -> io::Result<Self> {
        let length = file.len()?;
        let state = State {
            open: Epoch::default(),
            closed: VecDeque::new(),
            closed_bytes: 0,
            epochs: 0,
            length,
            failure: None,
            has_thread: false,
            is_ending: false,
        };
        Ok(Self(Arc::new(Shared { file, state: Mutex::new(state), changed: Condvar::new(), carrier: Mutex::new(()) })))
    }

    /// Carries epochs to the disk on a thread of its own, until the file is closed. Without it they wait for
    /// [`Self::carry`].
    pub(super) fn spawn(&self) -> io::Result<()> {
        let behind = self.clone();
        self.state().has_thread = true;
        std::thread::Builder::new().name("store-behind".to_owned()).spawn(move || {
            loop {
                {
                    let mut state = behind.state();
                    while state.closed.is_empty() && !state.is_ending {
                        state = behind.0.changed.wait(state).expect("nothing panics while it holds the lock");
                    }
                    if state.closed.is_empty() || state.failure.is_some() {
                        return;
                    }
                }
                // A failure is kept for whoever writes or asks next.
                _ = behind.carry_one();
            }
        })?;
        Ok(())
    }

    /// Epochs that were closed so far: what [`Self::is_durable`] is asked with.
    pub(super) fn epochs(&self) -> u64 {
        self.state().epochs
    }

    /// Whether so many epochs are on the disk; the failure, when they will never be.
    pub(super) fn is_durable(&self, epochs: u64) -> io::Result<bool> {
        let state = self.state();
        if let Some(failure) = &state.failure {
            return Err(failure.error());
        }
        Ok(state.epochs - state.closed.len() as u64 >= epochs)
    }

    /// Returns once everything that was synced is on the disk.
    pub(super) fn carry(&self) -> io::Result<()> {
        while !self.state().closed.is_empty() {
            self.carry_one()?;
        }
        self.is_durable(0).map(drop)
    }

    /// The oldest epoch, if there is one.
    fn carry_one(&self) -> io::Result<()> {
        let _carrier = self.0.carrier.lock().expect("nothing panics while it holds the lock");
        let epoch = {
            let state = self.state();
            if let Some(failure) = &state.failure {
                return Err(failure.error());
            }
            let Some(epoch) = state.closed.front() else { return Ok(()) };
            Arc::clone(epoch)
        };
        let carried = epoch.carry_to(&*self.0.file);
        let mut state = self.state();
        match &carried {
            Ok(()) => {
                state.closed.pop_front();
                state.closed_bytes -= epoch.bytes;
            }
            Err(error) => state.failure = Some(Failure::of(error)),
        }
        self.0.changed.notify_all();
        carried
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("nothing panics while it holds the lock")
    }

    fn sound(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        match &state.failure {
            Some(failure) => Err(failure.error()),
            None => Ok(state),
        }
    }
}

impl StorageBackend for Behind {
    fn len(&self) -> io::Result<u64> {
        Ok(self.sound()?.length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        loop {
            let (epochs, length) = {
                let state = self.sound()?;
                (state.epochs - state.closed.len() as u64, state.length)
            };
            if offset + out.len() as u64 > length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let on_disk = self.0.file.len()?.saturating_sub(offset).min(out.len() as u64);
            let (there, beyond) = out.split_at_mut(place(on_disk));
            if !there.is_empty() {
                self.0.file.read(offset, there)?;
            }
            beyond.fill(0);
            let state = self.sound()?;
            // One that reached the disk meanwhile may have been read or not, and is not here any more.
            if state.epochs - state.closed.len() as u64 == epochs {
                state.closed.iter().for_each(|epoch| epoch.lay_over(offset, out));
                state.open.lay_over(offset, out);
                return Ok(());
            }
        }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.sound()?;
        state.open.set_length(length);
        state.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.sound()?;
        if !state.open.is_empty() {
            let epoch = std::mem::take(&mut state.open);
            state.closed_bytes += epoch.bytes;
            state.closed.push_back(Arc::new(epoch));
            state.epochs += 1;
            self.0.changed.notify_all();
        }
        if state.closed_bytes <= WAITING_BYTES_MAX {
            return Ok(());
        }
        drop(state);
        self.carry()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.sound()?;
        if offset + data.len() as u64 > state.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        state.open.write(offset, data);
        Ok(())
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.query_lock_range(start, end)
    }

    fn close(&self) -> io::Result<()> {
        let carried = self.carry();
        self.state().is_ending = true;
        self.0.changed.notify_all();
        carried.and(self.0.file.close())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use redb::backends::InMemoryBackend;

    use super::*;

    /// The disk below, as the test sees it too.
    #[derive(Debug, Clone, Default)]
    struct Disk(Arc<Recorded>);

    #[derive(Debug, Default)]
    struct Recorded {
        file: InMemoryBackend,
        /// What it held after each sync.
        synced: Mutex<Vec<Vec<u8>>>,
        writes: Mutex<usize>,
        is_broken: Mutex<bool>,
    }

    impl Disk {
        fn bytes(&self) -> Vec<u8> {
            let mut bytes = vec![0; place(self.0.file.len().unwrap())];
            self.0.file.read(0, &mut bytes).unwrap();
            bytes
        }
    }

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.0.file.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.file.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.file.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            if *self.0.is_broken.lock().unwrap() {
                return Err(io::Error::other("broken"));
            }
            self.0.synced.lock().unwrap().push(self.bytes());
            Ok(())
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            *self.0.writes.lock().unwrap() += 1;
            self.0.file.write(offset, data)
        }
    }

    fn read(behind: &Behind, offset: u64, length: usize) -> Vec<u8> {
        let mut out = vec![9; length];
        behind.read(offset, &mut out).unwrap();
        out
    }

    #[test]
    fn what_was_written_is_read_before_it_is_on_the_disk() {
        let disk = Disk::default();
        let behind = Behind::new(Box::new(disk.clone())).unwrap();
        behind.set_len(8).unwrap();
        behind.write(0, b"abcdefgh").unwrap();
        behind.sync_data().unwrap();
        behind.write(2, b"CD").unwrap();
        behind.sync_data().unwrap();
        behind.write(3, b"!!").unwrap();
        assert_eq!(read(&behind, 0, 8), b"abC!!fgh");
        assert_eq!(read(&behind, 3, 2), b"!!");
        assert_eq!((behind.epochs(), disk.bytes().len()), (2, 0));
        assert!(!behind.is_durable(1).unwrap());
        behind.carry().unwrap();
        assert_eq!(disk.bytes(), b"abCDefgh", "what was not synced stays here");
        assert!(behind.is_durable(2).unwrap());
        assert_eq!(*disk.0.synced.lock().unwrap(), [b"abcdefgh".to_vec(), b"abCDefgh".to_vec()], "each epoch whole");
        assert_eq!(read(&behind, 0, 8), b"abC!!fgh");
        assert!(behind.read(7, &mut [0; 2]).is_err() && behind.write(7, b"xx").is_err());
    }

    #[test]
    fn neighbours_are_written_together() {
        let disk = Disk::default();
        let behind = Behind::new(Box::new(disk.clone())).unwrap();
        behind.set_len(100).unwrap();
        for page in [3, 1, 0, 2, 8, 9] {
            behind.write(page * 10, &[u8::try_from(page).unwrap(); 10]).unwrap();
        }
        behind.sync_data().unwrap();
        behind.carry().unwrap();
        assert_eq!(*disk.0.writes.lock().unwrap(), 2);
        assert_eq!(disk.bytes()[..40], [[0; 10], [1; 10], [2; 10], [3; 10]].concat());
    }

    #[test]
    fn it_reads_like_a_file_that_is_written_at_once_whatever_overlaps_and_is_cut() {
        for seed in 0..200 {
            let mut chance = StdRng::seed_from_u64(seed);
            let disk = Disk::default();
            let behind = Behind::new(Box::new(disk.clone())).unwrap();
            let mut model: Vec<u8> = Vec::new();
            let mut at_epoch = HashMap::new();
            for step in 0..120 {
                match chance.random_range(0..10) {
                    0 => {
                        model.resize(chance.random_range(0..64), 0);
                        behind.set_len(model.len() as u64).unwrap();
                    }
                    1 => {
                        behind.sync_data().unwrap();
                        at_epoch.insert(behind.epochs(), model.clone());
                    }
                    2 => {
                        behind.carry_one().unwrap();
                        let state = behind.state();
                        let durable = state.epochs - state.closed.len() as u64;
                        if durable > 0 {
                            assert_eq!(disk.bytes(), at_epoch[&durable], "seed {seed}, step {step}");
                        }
                    }
                    _ if model.is_empty() => {}
                    _ => {
                        let offset = chance.random_range(0..model.len());
                        let length = chance.random_range(1..=(model.len() - offset).min(16));
                        let data: Vec<u8> = (0..length).map(|_| chance.random()).collect();
                        model[offset..offset + length].copy_from_slice(&data);
                        behind.write(offset as u64, &data).unwrap();
                    }
                }
                assert_eq!(read(&behind, 0, model.len()), model, "seed {seed}, step {step}");
            }
        }
    }

    #[test]
    fn after_a_failure_nothing_more_reaches_the_disk_and_everyone_hears_of_it() {
        let disk = Disk::default();
        let behind = Behind::new(Box::new(disk.clone())).unwrap();
        *disk.0.is_broken.lock().unwrap() = true;
        behind.set_len(4).unwrap();
        behind.sync_data().unwrap();
        assert!(behind.carry().is_err());
        *disk.0.is_broken.lock().unwrap() = false;
        assert!(behind.carry().is_err() && behind.is_durable(0).is_err());
        assert!(behind.write(0, b"x").is_err() && behind.sync_data().is_err() && behind.read(0, &mut [0]).is_err());
        assert!(disk.0.synced.lock().unwrap().is_empty());
    }

    #[test]
    fn a_thread_carries_what_was_synced_and_ends_with_the_file() {
        let disk = Disk::default();
        let behind = Behind::new(Box::new(disk.clone())).unwrap();
        behind.spawn().unwrap();
        behind.set_len(4).unwrap();
        behind.write(0, b"abcd").unwrap();
        behind.sync_data().unwrap();
        behind.close().unwrap();
        assert_eq!(disk.bytes(), b"abcd");
    }
}
