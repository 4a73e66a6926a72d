//! Copying a running store: from one read transaction, so that writes go on and the copy is of one moment.

use std::fs::File;
use std::path::Path;

use redb::ReadableTableMetadata;

use super::super::commit::{Store, closed};
use super::super::format::format;
use super::super::schema::NAMES;
use super::super::tables::{Snapshot, disk};
use super::file::{BLOCK_BYTES, Failed, KIND_ROWS, TableContents, Writing};
use super::{BackupError, Progress, Sealing, Watch, Written};
use crate::domain::backup::Stage;
use crate::domain::id::BackupId;

impl Store {
    pub fn next_backup_id(&self) -> BackupId {
        BackupId::from_u128(self.next_event_id().as_u128())
    }

    /// Writes every row of this moment into `file`, which is empty: everything that was answered before the call is in it. It takes as
    /// long as reading the store does; sentences go on meanwhile. The reading transaction keeps the pages that it sees, so the store's file
    /// can grow by what changes until then.
    pub fn back_up(
        &self,
        file: &File,
        path: &Path,
        id: BackupId,
        sealing: Option<&Sealing>,
        watch: Watch<'_>,
    ) -> Result<Written, BackupError> {
        let database = self.shared.database.load_full().ok_or_else(closed)?;
        let format = format(&*database)?;
        let copied = Copying { store: self, read: Snapshot::of(database)?, watch };
        let writing = Writing::begin(file, id.assigned_at(), format, sealing);
        writing.and_then(|writing| copied.run(writing)).map_err(|failed| failed.at(path))
    }
}

struct Copying<'a> {
    store: &'a Store,
    read: Snapshot,
    watch: Watch<'a>,
}

impl Copying<'_> {
    fn run(self, mut writing: Writing<'_>) -> Result<Written, Failed> {
        let Self { store, read, watch } = self;
        let store_failed = |error: &dyn std::fmt::Display| Failed::Other(disk(error).into());
        let mut tables = Vec::with_capacity(NAMES.len());
        for (place, name) in NAMES.iter().enumerate() {
            tables.push((*name, read.table_at(place).map_err(|error| Failed::Other(error.into()))?));
        }
        let mut total = 0;
        for (_, table) in &tables {
            total += table.len().map_err(|error| store_failed(&error))?;
        }
        let mut contents = Vec::with_capacity(tables.len());
        let (mut done, mut bytes) = (0, 0);
        for (name, table) in &tables {
            let mut of_table = TableContents { name: (*name).to_owned(), rows: 0, bytes: 0 };
            let mut block = new_block(name);
            let empty = block.len();
            for row in table.range::<&[u8]>(..).map_err(|error| store_failed(&error))? {
                let (key, value) = row.map_err(|error| store_failed(&error))?;
                let (key, value) = (key.value(), value.value());
                let key_bytes = u16::try_from(key.len()).expect("the longest key is an id and a name of 256 bytes");
                let value_bytes = u32::try_from(value.len()).expect("no row is as long as a block may be");
                block.extend_from_slice(&key_bytes.to_le_bytes());
                block.extend_from_slice(&value_bytes.to_le_bytes());
                block.extend_from_slice(key);
                block.extend_from_slice(value);
                of_table.rows += 1;
                of_table.bytes += (key.len() + value.len()) as u64;
                done += 1;
                if block.len() >= BLOCK_BYTES {
                    writing.block(&block)?;
                    block.truncate(empty);
                    watch(Progress { stage: Stage::Copying, done, total })?;
                    if store.shared.database.load().is_none() {
                        return Err(BackupError::Stopped.into());
                    }
                }
            }
            if block.len() > empty {
                writing.block(&block)?;
            }
            bytes += of_table.bytes;
            contents.push(of_table);
        }
        watch(Progress { stage: Stage::Copying, done, total })?;
        let (file_bytes, sha256) = writing.end(contents)?;
        Ok(Written { bytes: file_bytes, rows: done, rows_bytes: bytes, sha256 })
    }
}

fn new_block(table: &str) -> Vec<u8> {
    let mut block = Vec::with_capacity(BLOCK_BYTES + BLOCK_BYTES / 4);
    block.push(KIND_ROWS);
    block.push(u8::try_from(table.len()).expect("names of tables are short"));
    block.extend_from_slice(table.as_bytes());
    block
}
