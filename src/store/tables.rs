//! Typed rows over redb's bytes: the same reading in a snapshot and inside a write.

use std::cell::OnceCell;
use std::fmt::Display;
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use redb::{
    AccessGuard, Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    Table, WriteTransaction,
};

use super::StoreError;
use super::journal::{Row, Rows};
use super::record::Value;
use super::schema::{Key, Kind, Meta, MetaName, NAMES, Payloads, definition};
use super::stats::Observed;
use crate::domain::id::EventId;

type Bytes = &'static [u8];

/// What the disk did, for the log.
pub(super) fn disk(error: impl Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

/// A row that cannot be read: a damaged file, or another program's.
pub(super) fn damaged<K: Kind>(key: &[u8]) -> StoreError {
    StoreError::Unavailable(format!("table {} has an unreadable row {}", K::NAME, hex::encode(key)))
}

/// Reading, in a snapshot or in the writer's transaction.
pub(super) trait Read {
    type Table: ReadableTable<Bytes, Bytes>;

    fn table<K: Kind>(&self) -> Result<&Self::Table, StoreError>;

    fn get<K: Kind>(&self, key: &K::Key) -> Result<Option<K::Value>, StoreError> {
        let key = key.to_key();
        match self.table::<K>()?.get(key.as_slice()).map_err(disk)? {
            Some(value) => K::Value::decode(value.value()).map(Some).ok_or_else(|| damaged::<K>(&key)),
            None => Ok(None),
        }
    }

    fn has<K: Kind>(&self, key: &K::Key) -> Result<bool, StoreError> {
        Ok(self.table::<K>()?.get(key.to_key().as_slice()).map_err(disk)?.is_some())
    }

    /// Rows in the order of keys.
    fn scan<K: Kind>(&self, range: impl RangeBounds<K::Key>) -> Result<Scan<'_, K>, StoreError> {
        let bound = |bound: Bound<&K::Key>| bound.map(Key::to_key);
        let (from, to) = (bound(range.start_bound()), bound(range.end_bound()));
        let range = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
        let rows = self.table::<K>()?.range::<&[u8]>(range).map_err(disk)?;
        Ok(Scan { rows, kind: PhantomData })
    }

    fn count<K: Kind>(&self) -> Result<u64, StoreError> {
        self.table::<K>()?.len().map_err(disk)
    }

    fn meta<const N: usize>(&self, name: MetaName) -> Result<Option<[u8; N]>, StoreError> {
        let Some(value) = self.get::<Meta>(&name)? else { return Ok(None) };
        value.0.try_into().map(Some).map_err(|_| damaged::<Meta>(name.name().as_bytes()))
    }

    /// An id that is kept in `meta`; 0 when it was never written.
    fn meta_id(&self, name: MetaName) -> Result<u128, StoreError> {
        Ok(self.meta(name)?.map_or(0, u128::from_be_bytes))
    }
}

/// Rows of one table, from both ends.
pub(super) struct Scan<'a, K: Kind> {
    rows: redb::Range<'a, Bytes, Bytes>,
    kind: PhantomData<K>,
}

type Guards<'a> = (AccessGuard<'a, Bytes>, AccessGuard<'a, Bytes>);

fn typed<K: Kind>(row: Result<Guards<'_>, redb::StorageError>) -> Result<(K::Key, K::Value), StoreError> {
    let (key, value) = row.map_err(disk)?;
    let parts = || Some((K::Key::from_key(key.value())?, K::Value::decode(value.value())?));
    parts().ok_or_else(|| damaged::<K>(key.value()))
}

impl<K: Kind> Iterator for Scan<'_, K> {
    type Item = Result<(K::Key, K::Value), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.rows.next().map(typed::<K>)
    }
}

impl<K: Kind> DoubleEndedIterator for Scan<'_, K> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.rows.next_back().map(typed::<K>)
    }
}

/// The file as of one commit.
pub(super) struct Snapshot {
    transaction: ReadTransaction,
    tables: [OnceCell<ReadOnlyTable<Bytes, Bytes>>; NAMES.len()],
    /// Read from a database that another one may take the place of: it is not closed while it is read.
    _database: Option<Arc<Database>>,
}

impl Snapshot {
    pub(super) fn new(transaction: ReadTransaction) -> Self {
        Self { transaction, tables: [const { OnceCell::new() }; NAMES.len()], _database: None }
    }

    /// The newest commit.
    pub(super) fn of(database: Arc<Database>) -> Result<Self, StoreError> {
        let transaction = database.begin_read().map_err(disk)?;
        Ok(Self { _database: Some(database), ..Self::new(transaction) })
    }

    /// The table of this place in [`NAMES`], as bytes.
    pub(super) fn table_at(&self, place: usize) -> Result<ReadOnlyTable<Bytes, Bytes>, StoreError> {
        self.transaction.open_table(definition(NAMES[place])).map_err(disk)
    }
}

impl Read for Snapshot {
    type Table = ReadOnlyTable<Bytes, Bytes>;

    fn table<K: Kind>(&self) -> Result<&Self::Table, StoreError> {
        let place = &self.tables[K::PLACE];
        if place.get().is_none() {
            _ = place.set(self.table_at(K::PLACE)?);
        }
        Ok(place.get().expect("it was set above"))
    }
}

/// The tables of a transaction that writes, each opened when it is first needed.
pub(super) struct Tables<'t> {
    transaction: &'t WriteTransaction,
    tables: [OnceCell<Table<'t, Bytes, Bytes>>; NAMES.len()],
    /// Whether there is anything to commit.
    pub(super) is_changed: bool,
    /// Takes down every row that is written, for the journal. None when this transaction is durable by itself.
    written: Option<&'t mut Rows>,
    /// What has happened to deliveries, for the statistics.
    pub(super) observed: Observed,
}

impl<'t> Tables<'t> {
    pub(super) fn new(transaction: &'t WriteTransaction, written: Option<&'t mut Rows>) -> Self {
        Self {
            transaction,
            tables: [const { OnceCell::new() }; NAMES.len()],
            is_changed: false,
            written,
            observed: Observed::default(),
        }
    }

    fn table_mut<K: Kind>(&mut self) -> Result<&mut Table<'t, Bytes, Bytes>, StoreError> {
        self.table::<K>()?;
        self.is_changed = true;
        Ok(self.tables[K::PLACE].get_mut().expect("it was opened above"))
    }

    pub(super) fn put<K: Kind>(&mut self, key: &K::Key, value: &K::Value) -> Result<(), StoreError> {
        let (key, value) = (key.to_key(), value.encode());
        self.table_mut::<K>()?.insert(key.as_slice(), value.as_slice()).map_err(disk)?;
        if let Some(written) = &mut self.written {
            written.put(K::PLACE, &key, &value);
        }
        Ok(())
    }

    /// Answers whether it was there.
    pub(super) fn remove<K: Kind>(&mut self, key: &K::Key) -> Result<bool, StoreError> {
        let key = key.to_key();
        let was_there = self.table_mut::<K>()?.remove(key.as_slice()).map_err(disk)?.is_some();
        if let Some(written) = &mut self.written
            && was_there
        {
            written.remove(K::PLACE, &key);
        }
        Ok(was_there)
    }

    /// Like `put`, without a copy of the data on the way.
    pub(super) fn put_payload(&mut self, id: EventId, data: &[u8]) -> Result<(), StoreError> {
        const VERSION: u8 = super::record::RAW_VERSION;
        let key = id.to_key();
        let table = self.table_mut::<Payloads>()?;
        let mut place = table.insert_reserve(key.as_slice(), 1 + data.len()).map_err(disk)?;
        let (version, rest) = place.as_mut().split_first_mut().expect("one byte more than the data was reserved");
        *version = VERSION;
        rest.copy_from_slice(data);
        drop(place);
        if let Some(written) = &mut self.written {
            written.put_parts(Payloads::PLACE, &key, [&[VERSION], data]);
        }
        Ok(())
    }

    /// Does again what the journal says was done.
    pub(super) fn carry_out(&mut self, row: &Row<'_>) -> Result<(), StoreError> {
        self.is_changed = true;
        self.open(row.table)?;
        let table = self.tables[row.table].get_mut().expect("it was opened above");
        match row.value {
            Some(value) => table.insert(row.key, value).map(drop),
            None => table.remove(row.key).map(drop),
        }
        .map_err(disk)
    }

    pub(super) fn put_meta(&mut self, name: MetaName, value: &[u8]) -> Result<(), StoreError> {
        self.put::<Meta>(&name, &super::record::MetaValue(value.to_vec()))
    }

    /// Writes an id that only grows.
    pub(super) fn raise_meta_id(&mut self, name: MetaName, id: u128) -> Result<(), StoreError> {
        if id > self.meta_id(name)? { self.put_meta(name, &id.to_be_bytes()) } else { Ok(()) }
    }
}

impl<'t> Tables<'t> {
    /// The table of this place in [`NAMES`].
    fn open(&self, place: usize) -> Result<&Table<'t, Bytes, Bytes>, StoreError> {
        let table = &self.tables[place];
        if table.get().is_none() {
            let opened = self.transaction.open_table(definition(NAMES[place])).map_err(disk)?;
            _ = table.set(opened);
        }
        Ok(table.get().expect("it was set above"))
    }
}

impl<'t> Read for Tables<'t> {
    type Table = Table<'t, Bytes, Bytes>;

    fn table<K: Kind>(&self) -> Result<&Self::Table, StoreError> {
        self.open(K::PLACE)
    }
}
