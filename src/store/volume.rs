//! How much room things take: each table's rows, and about how many bytes, without reading all of them.

use std::ops::Bound;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redb::{ReadOnlyTable, ReadableTable, ReadableTableMetadata};

use super::StoreError;
use super::commit::Store;
use super::schema::NAMES;
use super::space::{Disk, Files};
use super::tables::{Snapshot, disk};

/// Tables of up to so many rows are read whole …
const ROWS_READ_MAX: u64 = 1024;
/// … of others, so many rows one after the other at each of so many places.
const PLACES: u64 = 64;
const ROWS_AT_A_PLACE: usize = 16;
/// What a page of the database has, and what it takes for itself.
const PAGE_BYTES: u64 = 4096;
const PAGE_HEAD_BYTES: u64 = 4;
/// What a page notes of each row: where its key and its value end.
const ROW_HEAD_BYTES: u64 = 8;

/// What the store takes on the disk, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    pub files: Files,
    pub disk: Disk,
    /// In the order of names.
    pub tables: Vec<TableVolume>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableVolume {
    pub name: &'static str,
    pub rows: u64,
    /// What its rows take in a file with nothing else: an estimate when it is large.
    pub bytes: u64,
}

impl Volume {
    /// What is in use, about: so large would a fresh copy be.
    pub fn used_bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }

    /// What a compaction would give back, about.
    pub fn reclaimable_bytes(&self) -> u64 {
        self.files.store_bytes.saturating_sub(self.used_bytes())
    }

    /// Of the file, in per cent.
    pub fn reclaimable_percent(&self) -> u64 {
        self.reclaimable_bytes() * 100 / self.files.store_bytes.max(1)
    }
}

impl Store {
    /// Reads at most some thousand rows of each table.
    pub fn volume(&self) -> Result<Volume, StoreError> {
        let space = &self.shared.space;
        let snapshot = self.shared.snapshot()?;
        let mut tables = NAMES
            .iter()
            .enumerate()
            .map(|(place, name)| table(&snapshot, place, name))
            .collect::<Result<Vec<_>, _>>()?;
        tables.sort_unstable_by_key(|table| table.name);
        space.refresh(self.shared.clock.now());
        Ok(Volume { files: space.files(), disk: space.disk(), tables })
    }
}

fn table(snapshot: &Snapshot, place: usize, name: &'static str) -> Result<TableVolume, StoreError> {
    let table = snapshot.table_at(place)?;
    let rows = table.len().map_err(disk)?;
    let mut sample = Sample::default();
    if rows <= ROWS_READ_MAX {
        sample.add(&table, Bound::Unbounded, usize::MAX)?;
        return Ok(TableVolume { name, rows, bytes: sample.bytes });
    }
    let (Some(first), Some(last)) = (table.first().map_err(disk)?, table.last().map_err(disk)?) else {
        return Ok(TableVolume { name, rows: 0, bytes: 0 });
    };
    let (first, last) = (number(first.0.value()), number(last.0.value()));
    // The same places each time: what is shown moves only with what there is.
    let mut chance = StdRng::seed_from_u64(rows);
    for _ in 0..PLACES {
        let key = chance.random_range(first..=last).to_be_bytes();
        sample.add(&table, Bound::Included(&key), ROWS_AT_A_PLACE)?;
    }
    let bytes = u128::from(sample.bytes) * u128::from(rows) / u128::from(sample.rows.max(1));
    Ok(TableVolume { name, rows, bytes: u64::try_from(bytes).unwrap_or(u64::MAX) })
}

/// What a key begins with, as a number of the same order.
fn number(key: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    let length = key.len().min(bytes.len());
    bytes[..length].copy_from_slice(&key[..length]);
    u128::from_be_bytes(bytes)
}

#[derive(Default)]
struct Sample {
    rows: u64,
    bytes: u64,
}

impl Sample {
    fn add(
        &mut self,
        table: &ReadOnlyTable<&'static [u8], &'static [u8]>,
        from: Bound<&[u8]>,
        rows_max: usize,
    ) -> Result<(), StoreError> {
        for row in table.range::<&[u8]>((from, Bound::Unbounded)).map_err(disk)?.take(rows_max) {
            let (key, value) = row.map_err(disk)?;
            self.rows += 1;
            self.bytes += bytes_on_pages((key.value().len() + value.value().len()) as u64);
        }
        Ok(())
    }
}

/// What a row takes of pages that have rows like it: a page holds whole rows, and a row that is too long for one has pages of
/// its own, their number a power of two.
fn bytes_on_pages(row_bytes: u64) -> u64 {
    let bytes = row_bytes + ROW_HEAD_BYTES;
    match (PAGE_BYTES - PAGE_HEAD_BYTES) / bytes {
        0 => (bytes + PAGE_HEAD_BYTES).next_power_of_two(),
        rows => PAGE_BYTES / rows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_takes_its_part_of_a_page_or_pages_of_its_own() {
        for (row_bytes, expected) in [(16, 24), (1041, 1365), (2038, 2048), (2039, 4096), (4084, 4096), (4085, 8192)] {
            assert_eq!(bytes_on_pages(row_bytes), expected, "{row_bytes}");
        }
    }
}
