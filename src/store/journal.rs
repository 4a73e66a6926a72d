//! The journal beside the database: the rows that groups wrote since the database's last durable commit.
//!
//! A group's rows are appended as one frame and synced, once; the database takes the same rows without a sync, which is
//! quick, and keeps changed pages in memory. From time to time a durable commit of the database makes the frames
//! unnecessary (a *checkpoint*). It is carried to the disk behind the writer's back (see [`super::behind`]), so meanwhile
//! frames go to the other one of two files, from its front on, over what it held: a file does not grow, so a sync
//! has no length to write. An opening carries out the frames that the database has not seen.
//!
//! A frame, numbers little-endian: checksum u32, length of the rows u32, number of the frame u64, rows. The checksum is the
//! CRC-32 of all that follows it, begun with a number of the store, so that another store's frames are not mistaken for
//! frames. A row: table u8 (its place in [`NAMES`], the high bit for a removal), length of the key u16, of the value u32,
//! key, value.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use redb::StorageBackend;

use super::schema::NAMES;

/// In turn.
pub const JOURNAL_FILES: [&str; 2] = ["waxwing.journal-a", "waxwing.journal-b"];

/// A checkpoint is due when the frames take this much: what an opening after a crash carries out again, and about half of
/// the pages that the database then holds in memory.
pub(super) const FRAMES_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The file grows in such steps.
const STEP_BYTES: u64 = 1024 * 1024;
const HEAD_BYTES: usize = 16;
/// What is kept of a buffer from one transaction to the next.
const BUFFER_BYTES_KEPT: usize = 1024 * 1024;

const REMOVED: u8 = 0x80;
const _: () = assert!(NAMES.len() < REMOVED as usize, "the number of a table has seven bits");

/// Where frames are kept: two files in turn, so that one can be written while the database makes durable what is in the
/// other.
pub(super) struct Journal {
    files: [Part; 2],
    /// Which of them frames go to.
    current: usize,
    /// What checksums begin with.
    store: u32,
    /// Number of the last frame.
    last: u64,
    /// Where the next one goes.
    end: u64,
    /// Whether the other file has frames that the database has not made durable yet.
    is_other_needed: bool,
}

struct Part {
    file: Box<dyn StorageBackend>,
    length: u64,
}

/// What a transaction has written so far, as the rows of a frame. The room for the frame's head stands before them.
pub(super) struct Rows(Vec<u8>);

/// One row of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// In [`NAMES`].
    pub(super) table: usize,
    pub(super) key: &'a [u8],
    /// None removes it.
    pub(super) value: Option<&'a [u8]>,
}

impl Default for Rows {
    fn default() -> Self {
        Self(vec![0; HEAD_BYTES])
    }
}

impl Rows {
    pub(super) fn put(&mut self, table: usize, key: &[u8], value: &[u8]) {
        self.push(table, 0, key, &[value]);
    }

    /// The value in two parts, so that nobody has to join them.
    pub(super) fn put_parts(&mut self, table: usize, key: &[u8], value: [&[u8]; 2]) {
        self.push(table, 0, key, &value);
    }

    pub(super) fn remove(&mut self, table: usize, key: &[u8]) {
        self.push(table, REMOVED, key, &[]);
    }

    fn push(&mut self, table: usize, kind: u8, key: &[u8], value: &[&[u8]]) {
        let Self(bytes) = self;
        let table = u8::try_from(table).expect("the number of a table has seven bits");
        let key_bytes = u16::try_from(key.len()).expect("the longest key is an id and a name of at most 256 bytes");
        let value_bytes = value.iter().map(|part| part.len()).sum::<usize>();
        let value_bytes = u32::try_from(value_bytes).expect("no row is as long as a frame may be");
        bytes.reserve(7 + key.len() + value_bytes as usize);
        bytes.push(table | kind);
        bytes.extend_from_slice(&key_bytes.to_le_bytes());
        bytes.extend_from_slice(&value_bytes.to_le_bytes());
        bytes.extend_from_slice(key);
        value.iter().for_each(|part| bytes.extend_from_slice(part));
    }

    /// All of them, one after the other: see [`each_row`].
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0[HEAD_BYTES..]
    }

    /// Empty again, for the next transaction.
    pub(super) fn clear(&mut self) {
        self.0.truncate(HEAD_BYTES);
        self.0.shrink_to(BUFFER_BYTES_KEPT);
    }
}

/// Takes one row from the front; none when the bytes are no row.
fn take_row<'a>(bytes: &mut &'a [u8]) -> Option<Row<'a>> {
    let (table, rest) = bytes.split_first()?;
    let (key_bytes, rest) = rest.split_first_chunk()?;
    let (value_bytes, rest) = rest.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*key_bytes)))?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*value_bytes) as usize)?;
    *bytes = rest;
    let is_removed = table & REMOVED != 0;
    let table = usize::from(table & !REMOVED);
    (table < NAMES.len()).then_some(Row { table, key, value: (!is_removed).then_some(value) })
}

/// The rows that [`Rows::bytes`] gave.
pub(super) fn each_row(mut bytes: &[u8]) -> impl Iterator<Item = Row<'_>> {
    std::iter::from_fn(move || take_row(&mut bytes))
}

fn checksum(store: u32, checked: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new_with_initial(store);
    hasher.update(checked);
    hasher.finalize().to_le_bytes()
}

/// Why a journal cannot be carried out.
#[derive(Debug)]
pub(super) enum ReplayError<E> {
    Disk(io::Error),
    /// Its first frame comes later than the next one after the database's last.
    Gap {
        first: u64,
    },
    /// A whole frame holds what is no row.
    Unreadable {
        frame: u64,
    },
    Refused(E),
}

impl Journal {
    /// Carries out, in order, every row of the frames after number `up_to`. The journal that it answers goes on after them;
    /// it must not be appended to before a durable commit has what was carried out.
    pub(super) fn replay<E>(
        files: [Box<dyn StorageBackend>; 2],
        store: u32,
        up_to: u64,
        mut carry_out: impl FnMut(Row<'_>) -> Result<(), E>,
    ) -> Result<Self, ReplayError<E>> {
        let mut parts = Vec::with_capacity(2);
        for file in files {
            let length = file.len().map_err(ReplayError::Disk)?;
            parts.push(Part { file, length });
        }
        let mut rounds = Vec::with_capacity(2);
        for part in &parts {
            let first = part.frame(0, store).map_err(ReplayError::Disk)?;
            rounds.extend(first.map(|(number, _)| (number, part)));
        }
        rounds.sort_by_key(|(first, _)| *first);
        let mut last = up_to;
        for (first, part) in rounds {
            let (mut number, mut at) = (first, 0);
            // A frame with another number is left of an earlier round.
            while let Some((found, frame)) = part.frame(at, store).map_err(ReplayError::Disk)?
                && found == number
            {
                number += 1;
                at += frame.len() as u64;
                if found <= last {
                    continue;
                }
                if found > last + 1 {
                    return Err(ReplayError::Gap { first: found });
                }
                let mut rows = &frame[HEAD_BYTES..];
                while !rows.is_empty() {
                    let row = take_row(&mut rows).ok_or(ReplayError::Unreadable { frame: found })?;
                    carry_out(row).map_err(ReplayError::Refused)?;
                }
                last = found;
            }
        }
        let files = parts.try_into().unwrap_or_else(|_| unreachable!("there were two"));
        Ok(Self { files, current: 0, store, last, end: 0, is_other_needed: false })
    }

    /// Appends the rows as one frame. They survive everything from the moment that this returns.
    pub(super) fn append(&mut self, rows: &mut Rows) -> io::Result<()> {
        let Rows(frame) = rows;
        let rows_bytes = u32::try_from(frame.len() - HEAD_BYTES).map_err(io::Error::other)?;
        let number = self.last + 1;
        frame[4..8].copy_from_slice(&rows_bytes.to_le_bytes());
        frame[8..HEAD_BYTES].copy_from_slice(&number.to_le_bytes());
        let sum = checksum(self.store, &frame[4..]);
        frame[..4].copy_from_slice(&sum);
        let part = &mut self.files[self.current];
        let end = self.end + frame.len() as u64;
        if end > part.length {
            let length = end.next_multiple_of(STEP_BYTES);
            part.file.set_len(length)?;
            part.length = length;
        }
        part.file.write(self.end, frame)?;
        part.file.sync_data()?;
        self.end = end;
        self.last = number;
        Ok(())
    }

    /// Number of the last frame: what a checkpoint writes into the database.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The frames since the last checkpoint began: what an opening after a crash carries out at least.
    pub(super) fn bytes(&self) -> u64 {
        self.end
    }

    /// Whether there is nothing for a checkpoint to do.
    pub(super) fn is_empty(&self) -> bool {
        self.end == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.end >= FRAMES_BYTES_MAX
    }

    /// Whether it holds so much that a checkpoint cannot be waited for any more.
    pub(super) fn is_overfull(&self) -> bool {
        self.end >= 2 * FRAMES_BYTES_MAX
    }

    /// The database has taken all of it, but is not durable yet: the next frame goes to the front of the other file.
    pub(super) fn turn(&mut self) {
        assert!(!self.is_other_needed, "the file that it turns to is still needed");
        self.current = 1 - self.current;
        self.end = 0;
        self.is_other_needed = true;
    }

    /// The database is durable up to the last turn.
    pub(super) fn has_caught_up(&mut self) {
        self.is_other_needed = false;
    }

    /// The database is durable with all that was ever appended: frames may go anywhere.
    pub(super) fn is_all_durable(&mut self) {
        self.has_caught_up();
        self.turn();
        self.has_caught_up();
    }

    /// Gives the room back, when the database is durable with all of it and nothing more comes.
    pub(super) fn shrink(&mut self) -> io::Result<()> {
        assert!(self.is_empty() && !self.is_other_needed, "it is still needed");
        for part in &mut self.files {
            part.file.set_len(0)?;
            part.length = 0;
            part.file.sync_data()?;
        }
        Ok(())
    }
}

impl Part {
    /// The frame that begins there, and its number; none when there is no whole one.
    fn frame(&self, at: u64, store: u32) -> io::Result<Option<(u64, Vec<u8>)>> {
        let room = self.length.saturating_sub(at);
        if room < HEAD_BYTES as u64 {
            return Ok(None);
        }
        let mut frame = vec![0; HEAD_BYTES];
        self.file.read(at, &mut frame)?;
        let (numbers, []) = frame.as_chunks::<4>() else { return Ok(None) };
        let bytes = HEAD_BYTES as u64 + u64::from(u32::from_le_bytes(numbers[1]));
        if bytes > room {
            return Ok(None);
        }
        frame.resize(usize::try_from(bytes).map_err(io::Error::other)?, 0);
        self.file.read(at + HEAD_BYTES as u64, &mut frame[HEAD_BYTES..])?;
        let (sum, checked) = frame.split_at(4);
        if checksum(store, checked) != *sum {
            return Ok(None);
        }
        let number = frame[8..HEAD_BYTES].try_into().expect("it has eight bytes");
        Ok(Some((u64::from_le_bytes(number), frame)))
    }
}

/// The journal's file. It has no lock of its own: whoever has the database has it.
#[derive(Debug)]
pub(super) struct JournalFile(File);

impl JournalFile {
    /// Makes it when it does not exist.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        Ok(Self(file))
    }
}

impl StorageBackend for JournalFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use redb::backends::InMemoryBackend;

    use super::*;

    const STORE: u32 = 7;

    /// The same bytes for one journal after the other.
    #[derive(Debug, Clone, Default)]
    struct Shared(Arc<InMemoryBackend>);

    impl StorageBackend for Shared {
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
    }

    type Found = Vec<(usize, Vec<u8>, Option<Vec<u8>>)>;

    /// The two files.
    type Files = [Shared; 2];

    fn replay(files: &Files, store: u32, up_to: u64) -> Result<(Journal, Found), ReplayError<Infallible>> {
        let mut found = Vec::new();
        let boxed = files.clone().map(|file| Box::new(file) as Box<dyn StorageBackend>);
        let journal = Journal::replay(boxed, store, up_to, |row| {
            found.push((row.table, row.key.to_vec(), row.value.map(<[u8]>::to_vec)));
            Ok(())
        })?;
        Ok((journal, found))
    }

    fn empty(file: &Files) -> Journal {
        replay(file, STORE, 0).unwrap().0
    }

    /// To the front of the file that it writes.
    fn twice_round(journal: &mut Journal) {
        for _ in 0..2 {
            journal.turn();
            journal.has_caught_up();
        }
    }

    fn rows(keys: &[&str]) -> Rows {
        let mut rows = Rows::default();
        keys.iter().for_each(|key| rows.put(3, key.as_bytes(), b"value"));
        rows
    }

    fn keys(found: &Found) -> Vec<&str> {
        found.iter().map(|(_, key, _)| std::str::from_utf8(key).unwrap()).collect()
    }

    #[test]
    fn what_was_appended_is_carried_out_in_order_and_goes_on_after_it() {
        let file = Files::default();
        let mut journal = empty(&file);
        let mut first = Rows::default();
        first.put(0, b"a", b"1");
        first.remove(NAMES.len() - 1, b"");
        first.put_parts(2, b"p", [b"\x01", b"data"]);
        journal.append(&mut first).unwrap();
        journal.append(&mut rows(&["b"])).unwrap();
        let (journal, found) = replay(&file, STORE, 0).unwrap();
        let value = |value: &[u8]| Some(value.to_vec());
        assert_eq!(
            found,
            [
                (0, b"a".to_vec(), value(b"1")),
                (NAMES.len() - 1, Vec::new(), None),
                (2, b"p".to_vec(), value(b"\x01data")),
                (3, b"b".to_vec(), value(b"value")),
            ]
        );
        assert_eq!(journal.last(), 2);
        assert_eq!(keys(&replay(&file, STORE, 1).unwrap().1), ["b"], "the database has the first");
        assert_eq!(keys(&replay(&file, STORE, 2).unwrap().1), [""; 0]);
    }

    #[test]
    fn what_is_left_of_an_earlier_round_is_no_frame() {
        let file = Files::default();
        let mut journal = empty(&file);
        for key in ["a", "b", "c"] {
            journal.append(&mut rows(&[key])).unwrap();
        }
        twice_round(&mut journal);
        // As long as the first of the first round, so that the second one of it stands right behind.
        journal.append(&mut rows(&["d"])).unwrap();
        assert_eq!(keys(&replay(&file, STORE, 3).unwrap().1), ["d"]);
        journal.append(&mut rows(&["longer"])).unwrap();
        assert_eq!(keys(&replay(&file, STORE, 3).unwrap().1), ["d", "longer"]);
    }

    #[test]
    fn what_is_in_both_files_is_carried_out_in_order() {
        let file = Files::default();
        let mut journal = empty(&file);
        journal.append(&mut rows(&["a"])).unwrap();
        journal.append(&mut rows(&["b"])).unwrap();
        journal.turn();
        journal.append(&mut rows(&["c"])).unwrap();
        assert_eq!(keys(&replay(&file, STORE, 0).unwrap().1), ["a", "b", "c"]);
        assert_eq!(keys(&replay(&file, STORE, 1).unwrap().1), ["b", "c"]);
        journal.has_caught_up();
        journal.turn();
        journal.append(&mut rows(&["d"])).unwrap();
        assert_eq!(keys(&replay(&file, STORE, 2).unwrap().1), ["c", "d"]);
        assert_eq!(keys(&replay(&file, STORE, 3).unwrap().1), ["d"]);
        assert!(matches!(replay(&file, STORE, 0), Err(ReplayError::Gap { first: 3 })));
    }

    #[test]
    fn a_torn_frame_is_where_the_journal_ends() {
        let file = Files::default();
        let mut journal = empty(&file);
        journal.append(&mut rows(&["a"])).unwrap();
        let (start, mut torn) = (journal.end, rows(&["b"]));
        journal.append(&mut torn).unwrap();
        for at in start..journal.end {
            let mut byte = [0];
            file[0].read(at, &mut byte).unwrap();
            file[0].write(at, &[byte[0] ^ 0x10]).unwrap();
            assert_eq!(keys(&replay(&file, STORE, 0).unwrap().1), ["a"], "byte {at}");
            file[0].write(at, &byte).unwrap();
        }
        file[0].set_len(journal.end - 1).unwrap();
        assert_eq!(keys(&replay(&file, STORE, 0).unwrap().1), ["a"]);
    }

    #[test]
    fn frames_of_another_store_are_none_and_frames_that_are_missing_are_noticed() {
        let file = Files::default();
        let mut journal = empty(&file);
        journal.append(&mut rows(&["a"])).unwrap();
        assert_eq!(keys(&replay(&file, STORE + 1, 0).unwrap().1), [""; 0]);
        twice_round(&mut journal);
        journal.append(&mut rows(&["b"])).unwrap();
        assert!(matches!(replay(&file, STORE, 0), Err(ReplayError::Gap { first: 2 })));
        assert_eq!(keys(&replay(&file, STORE, 1).unwrap().1), ["b"]);
    }

    #[test]
    fn a_whole_frame_with_a_table_that_does_not_exist_is_not_passed_over() {
        let file = Files::default();
        let mut rows = Rows::default();
        rows.put(NAMES.len(), b"a", b"");
        empty(&file).append(&mut rows).unwrap();
        assert!(matches!(replay(&file, STORE, 0), Err(ReplayError::Unreadable { frame: 1 })));
    }

    #[test]
    fn it_is_full_when_a_checkpoint_is_due_and_shrinks_to_nothing() {
        let file = Files::default();
        let mut journal = empty(&file);
        assert!(journal.is_empty() && !journal.is_full());
        let mut much = Rows::default();
        much.put(0, b"a", &vec![0; usize::try_from(FRAMES_BYTES_MAX).unwrap()]);
        journal.append(&mut much).unwrap();
        assert!(journal.is_full() && !journal.is_overfull());
        twice_round(&mut journal);
        journal.shrink().unwrap();
        assert!(journal.is_empty() && !journal.is_full() && file[0].len().unwrap() == 0);
        journal.append(&mut rows(&["b"])).unwrap();
        assert_eq!(keys(&replay(&file, STORE, 1).unwrap().1), ["b"]);
    }
}
