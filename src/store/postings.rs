//! The time indices: which events and deliveries an owner (tenant or subscription) has, in the order of ids.
//!
//! A row is a chunk of ids, not one id: each pass writes one row an owner, however many events it brings. A chunk is
//! written once, and only retention changes it.

use std::collections::BTreeMap;
use std::ops::Bound;

use redb::ReadableTable;

use super::group::{Group, Rows, Unindexed, put, remove};
use super::{StoreError, schema};

/// Ids in one chunk.
const CHUNK_IDS_MAX: usize = 256;
const ID_BYTES: usize = 16;

/// Adds ids (ascending) to the postings and moves the watermark behind the last of them.
pub(super) fn append(group: &mut Group<'_, '_>, unindexed: &[Unindexed]) -> Result<(), StoreError> {
    let mut events: BTreeMap<u128, Vec<u128>> = BTreeMap::new();
    let mut by_tenant: BTreeMap<u128, Vec<u128>> = BTreeMap::new();
    let mut by_subscription: BTreeMap<u128, Vec<u128>> = BTreeMap::new();
    for one in unindexed {
        match *one {
            Unindexed::Event(tenant, id) => events.entry(tenant.as_u128()).or_default().push(id.as_u128()),
            Unindexed::Delivery(tenant, subscription, id) => {
                by_tenant.entry(tenant.as_u128()).or_default().push(id.as_u128());
                by_subscription.entry(subscription.as_u128()).or_default().push(id.as_u128());
            }
        }
    }
    write(&mut group.tables.events_by_tenant, events)?;
    write(&mut group.tables.deliveries_by_tenant, by_tenant)?;
    write(&mut group.tables.deliveries_by_subscription, by_subscription)?;
    match unindexed.last() {
        Some(last) => group.set_meta_number(schema::meta::INDEXED_UP_TO, last.id()),
        None => Ok(()),
    }
}

fn write(rows: &mut Rows<'_>, by_owner: BTreeMap<u128, Vec<u128>>) -> Result<(), StoreError> {
    for (owner, ids) in by_owner {
        for chunk in ids.chunks(CHUNK_IDS_MAX) {
            put(rows, &schema::pair(owner, chunk[0]), &encode(chunk))?;
        }
    }
    Ok(())
}

fn encode(ids: &[u128]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.to_be_bytes()).collect()
}

fn decode(bytes: &[u8]) -> impl DoubleEndedIterator<Item = u128> + '_ {
    bytes.chunks_exact(ID_BYTES).filter_map(schema::id)
}

/// The ids of an owner below `before`, descending.
pub(super) fn descending<'a>(
    rows: &'a impl ReadableTable<&'static [u8], &'static [u8]>,
    owner: u128,
    before: u128,
) -> Result<impl Iterator<Item = Result<u128, StoreError>> + 'a, StoreError> {
    let (low, high) = (schema::pair(owner, 0), schema::pair(owner, before));
    let range: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Included(&low), Bound::Excluded(&high));
    Ok(rows.range::<&[u8]>(range)?.rev().flat_map(move |row| {
        let ids: Vec<Result<u128, StoreError>> = match row {
            Ok((_, chunk)) => decode(chunk.value()).rev().filter(|id| *id < before).map(Ok).collect(),
            Err(error) => vec![Err(error.into())],
        };
        ids
    }))
}

/// The ids of an owner above `after`, ascending.
pub(super) fn ascending<'a>(
    rows: &'a impl ReadableTable<&'static [u8], &'static [u8]>,
    owner: u128,
    after: u128,
) -> Result<impl Iterator<Item = Result<u128, StoreError>> + 'a, StoreError> {
    // The chunk that holds `after` begins at or before it.
    let (low, high) = (schema::pair(owner, 0), schema::pair(owner, u128::MAX));
    let here = schema::pair(owner, after);
    let first = rows.range::<&[u8]>((Bound::Included(&low[..]), Bound::Included(&here[..])))?.next_back();
    let first = match first {
        Some(row) => row?.0.value().to_vec(),
        None => low.to_vec(),
    };
    let range: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Included(&first), Bound::Included(&high));
    Ok(rows.range::<&[u8]>(range)?.flat_map(move |row| {
        let ids: Vec<Result<u128, StoreError>> = match row {
            Ok((_, chunk)) => decode(chunk.value()).filter(|id| *id > after).map(Ok).collect(),
            Err(error) => vec![Err(error.into())],
        };
        ids
    }))
}

/// Takes ids of an owner out.
pub(super) fn trim(rows: &mut Rows<'_>, owner: u128, ids: &[u128]) -> Result<(), StoreError> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    let mut rest = ids.as_slice();
    while let Some(id) = rest.first() {
        let (low, here) = (schema::pair(owner, 0), schema::pair(owner, *id));
        let found = rows.range::<&[u8]>((Bound::Included(&low[..]), Bound::Included(&here[..])))?.next_back();
        let Some((key, chunk)) = found.transpose()?.map(|(key, chunk)| (key.value().to_vec(), chunk.value().to_vec()))
        else {
            // Not indexed yet, or trimmed before: the next one may be there.
            rest = &rest[1..];
            continue;
        };
        let kept: Vec<u128> = decode(&chunk).filter(|id| ids.binary_search(id).is_err()).collect();
        let last = decode(&chunk).next_back().unwrap_or(*id).max(*id);
        remove(rows, &key)?;
        if let Some(first) = kept.first() {
            put(rows, &schema::pair(owner, *first), &encode(&kept))?;
        }
        rest = &rest[rest.partition_point(|id| *id <= last)..];
    }
    Ok(())
}

/// Every id of a chunk, for `check`.
pub(super) fn ids_of(chunk: &[u8]) -> Vec<u128> {
    decode(chunk).collect()
}
