//! What a crash left to do, before anything else.

use std::ops::Bound;

use redb::{Database, ReadableDatabase, StorageBackend};

use super::crypt::Crypt;
use super::folder::STORE_FILE;
use super::format::{check_format, check_key, format, write};
use super::journal::{JOURNAL_FILES, Journal, ReplayError};
use super::open::OpenError;
use super::postings::{self, Unindexed};
use super::schema::{
    AuditLog, Deliveries, Events, Jobs, Keys, Kind, Meta, MetaName, PortalLinks, Sessions, Subscriptions, Tenants,
    Users,
};
use super::tables::{Read, Snapshot, damaged, disk};
use super::{StoreError, deliveries};
use crate::domain::delivery::Delivery;
use crate::domain::event_type::EventTypeKey;
use crate::domain::id::{
    AuditId, DeliveryId, EventId, JobId, PortalLinkId, SessionId, SubscriptionId, TenantId, UserId,
};

/// Rows that one transaction of recovery looks at.
const RECOVERY_ROWS_MAX: usize = 16_384;

/// Carries out what the journal has and the database has not.
pub(super) fn replay(
    database: &Database,
    files: [Box<dyn StorageBackend>; 2],
    crypt: &Crypt,
) -> Result<Journal, OpenError> {
    check_format(format(database)?)?;
    let snapshot = Snapshot::new(database.begin_read().map_err(disk)?);
    check_key(&snapshot, crypt)?;
    // It is encrypted with a nonce of its own, so no two stores have the same.
    let key_check = snapshot.get::<Meta>(&MetaName::KeyCheck)?.ok_or_else(|| damaged::<Meta>(b"key_check"))?;
    let up_to = snapshot.meta(MetaName::JournalUpTo)?.map_or(0, u64::from_be_bytes);
    drop(snapshot);
    let [a, b] = JOURNAL_FILES;
    write(database, |tables| {
        let journal = Journal::replay(files, crc32fast::hash(&key_check.0), up_to, |row| tables.carry_out(&row));
        let journal = match journal {
            Ok(journal) => journal,
            Err(ReplayError::Refused(error)) => return Err(error),
            Err(ReplayError::Disk(error)) => return Err(disk(format_args!("the journal: {error}"))),
            Err(ReplayError::Gap { first }) => {
                return Err(disk(format_args!(
                    "the journal goes on with group {first}, and {STORE_FILE} ends with group {up_to}: they are not of \
                 the same moment. Put back the files that belong together, or move {a} and {b} away to go on with what \
                 {STORE_FILE} holds"
                )));
            }
            Err(ReplayError::Unreadable { frame }) => {
                return Err(disk(format_args!("the journal: group {frame} cannot be read")));
            }
        };
        if journal.last() > up_to {
            tables.put_meta(MetaName::JournalUpTo, &journal.last().to_be_bytes())?;
        }
        Ok(journal)
    })
    .map_err(OpenError::from)
}

/// Parks every delivery that was in memory only.
pub(super) fn settle(database: &Database) -> Result<(), StoreError> {
    loop {
        let is_done = write(database, |tables| {
            let from = DeliveryId::from_u128(tables.meta_id(MetaName::SettledUpTo)?);
            let mut last = None;
            let mut fresh = Vec::new();
            for row in tables.scan::<Deliveries>((Bound::Excluded(from), Bound::Unbounded))?.take(RECOVERY_ROWS_MAX) {
                let (id, record) = row?;
                last = Some(id);
                let is_parked = record.is_parked;
                let delivery = deliveries::domain(record, id)?;
                if !is_parked && !delivery.state.is_final() {
                    fresh.push(delivery);
                }
            }
            for delivery in fresh {
                deliveries::park(tables, &delivery)?;
            }
            match last {
                Some(last) => tables.raise_meta_id(MetaName::SettledUpTo, last.as_u128()).map(|()| false),
                None => Ok(true),
            }
        })?;
        if is_done {
            return Ok(());
        }
    }
}

/// Adds to the postings what came after the last index pass.
pub(super) fn index(database: &Database) -> Result<(), StoreError> {
    loop {
        let is_done = write(database, |tables| {
            let from = tables.meta_id(MetaName::IndexedUpTo)?;
            let mut events: Vec<(EventId, TenantId, EventTypeKey)> = Vec::new();
            let after = (Bound::Excluded(EventId::from_u128(from)), Bound::Unbounded);
            for row in tables.scan::<Events>(after)?.take(RECOVERY_ROWS_MAX) {
                let (id, record) = row?;
                events.push((id, TenantId::from_bytes(record.tenant), record.event_type_key()));
            }
            let mut all: Vec<Unindexed> = Vec::new();
            let after = (Bound::Excluded(DeliveryId::from_u128(from)), Bound::Unbounded);
            for row in tables.scan::<Deliveries>(after)?.take(RECOVERY_ROWS_MAX) {
                let (id, record) = row?;
                let Delivery { tenant, subscription, .. } = deliveries::domain(record, id)?;
                all.push(Unindexed::Delivery(id, tenant, subscription));
            }
            // Both are cut off where the shorter walk ended, so that the watermark is true for both.
            let end = [
                (events.len() == RECOVERY_ROWS_MAX).then(|| events.last().map(|(id, _, _)| id.as_u128())).flatten(),
                (all.len() == RECOVERY_ROWS_MAX).then(|| all.last().map(Unindexed::id)).flatten(),
            ];
            let end = end.into_iter().flatten().min().unwrap_or(u128::MAX);
            all.extend(events.into_iter().map(|(id, tenant, key)| Unindexed::Event(id, tenant, key)));
            all.retain(|one| one.id() <= end);
            tables.observed.indexed(&all);
            match postings::add_all(tables, &all)? {
                Some(last) => tables.raise_meta_id(MetaName::IndexedUpTo, last).map(|()| false),
                None => Ok(true),
            }
        })?;
        if is_done {
            return Ok(());
        }
    }
}

/// The greatest id that was ever assigned, as far as the file shows.
pub(super) fn last_id(tables: &impl Read) -> Result<u128, StoreError> {
    fn last<K: Kind>(tables: &impl Read) -> Result<Option<K::Key>, StoreError> {
        Ok(tables.scan::<K>(..)?.next_back().transpose()?.map(|(key, _)| key))
    }
    let ids = [
        last::<Events>(tables)?.map_or(0, EventId::as_u128),
        last::<Deliveries>(tables)?.map_or(0, DeliveryId::as_u128),
        last::<Tenants>(tables)?.map_or(0, TenantId::as_u128),
        last::<Keys>(tables)?.map_or(0, |id| id.as_u128()),
        last::<Subscriptions>(tables)?.map_or(0, SubscriptionId::as_u128),
        last::<Jobs>(tables)?.map_or(0, JobId::as_u128),
        last::<AuditLog>(tables)?.map_or(0, AuditId::as_u128),
        last::<PortalLinks>(tables)?.map_or(0, PortalLinkId::as_u128),
        last::<Users>(tables)?.map_or(0, UserId::as_u128),
        last::<Sessions>(tables)?.map_or(0, SessionId::as_u128),
        tables.meta_id(MetaName::AssignedUpTo)?,
        tables.meta_id(MetaName::SettledUpTo)?,
        tables.meta_id(MetaName::IndexedUpTo)?,
    ];
    Ok(ids.into_iter().max().unwrap_or_default())
}
