//! The format of the file: which it has, and how it comes to the newest.

use std::collections::HashSet;

use redb::{Database, Durability, ReadableDatabase};

use super::crypt::Crypt;
use super::open::OpenError;
use super::record::TenantRecord;
use super::schema::{Kind, Meta, MetaName, NAMES, Tenants, definition};
use super::tables::{Read, Snapshot, Tables, damaged, disk};
use super::{StoreError, stats};
use crate::domain::id::TenantId;
use crate::domain::profile::Profile;
use crate::domain::tenant::{self, Tenant};
use crate::domain::time::Timestamp;

/// From format n to n + 1. The first one makes a new file.
type Migration = fn(&mut Tables<'_>, &Beginning<'_>) -> Result<(), StoreError>;
const MIGRATIONS: &[Migration] = &[make, count_states, begin_journal, know_event_types];

/// What a new file is made from.
pub(super) struct Beginning<'a> {
    pub(super) crypt: &'a Crypt,
    pub(super) now: Timestamp,
}

/// 0 for a file with nothing in it.
pub(super) fn format(database: &impl ReadableDatabase) -> Result<u32, OpenError> {
    let read = database.begin_read().map_err(disk)?;
    let has_meta = read.list_tables().map_err(disk)?.any(|table| redb::TableHandle::name(&table) == Meta::NAME);
    if !has_meta {
        return Ok(0);
    }
    Ok(Snapshot::new(read).meta(MetaName::Format)?.map_or(0, u32::from_be_bytes))
}

pub(super) fn check_format(found: u32) -> Result<(), OpenError> {
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if found > known { Err(OpenError::Newer { found, known }) } else { Ok(()) }
}

pub(super) fn check_key(tables: &impl Read, crypt: &Crypt) -> Result<(), OpenError> {
    let check = tables.get::<Meta>(&MetaName::KeyCheck)?.ok_or_else(|| damaged::<Meta>(b"key_check"))?;
    if crypt.is_key_of(&check.0) { Ok(()) } else { Err(OpenError::KeyWrong) }
}

/// Brings the file to the newest format, one transaction a step.
pub(super) fn migrate(database: &Database, beginning: &Beginning<'_>) -> Result<(), OpenError> {
    let found = format(database)?;
    check_format(found)?;
    if found > 0 {
        check_key(&Snapshot::new(database.begin_read().map_err(disk)?), beginning.crypt)?;
    }
    for (from, migration) in (0u32..).zip(MIGRATIONS).skip(found as usize) {
        write(database, |tables| {
            migration(tables, beginning)?;
            tables.put_meta(MetaName::Format, &(from + 1).to_be_bytes())
        })?;
    }
    Ok(())
}

/// Tables that came after the file was made. Readers cannot make them.
pub(super) fn make_tables(database: &Database) -> Result<(), StoreError> {
    let read = database.begin_read().map_err(disk)?;
    let tables = read.list_tables().map_err(disk)?;
    let known: HashSet<String> = tables.map(|table| redb::TableHandle::name(&table).to_owned()).collect();
    drop(read);
    if NAMES.iter().all(|name| known.contains(*name)) {
        return Ok(());
    }
    write(database, |tables| {
        tables.is_changed = true;
        Ok(())
    })
}

/// A transaction before there is a writer.
pub(super) fn write<T>(
    database: &Database,
    run: impl FnOnce(&mut Tables<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut write = database.begin_write().map_err(disk)?;
    write.set_durability(Durability::Immediate).map_err(disk)?;
    // Without it, reopening after a crash reads the whole file (architecture 5).
    write.set_quick_repair(true);
    for name in NAMES {
        // A table of other types is refused here, and not in the middle of something.
        write.open_table(definition(name)).map_err(disk)?;
    }
    let mut tables = Tables::new(&write, None);
    let done = run(&mut tables)?;
    stats::write_log(&mut tables)?;
    let is_changed = tables.is_changed;
    drop(tables);
    if is_changed {
        write.commit().map_err(disk)?
    } else {
        write.abort().map_err(disk)?
    }
    Ok(done)
}

/// Format 0 to 1: what every store begins with.
fn make(tables: &mut Tables<'_>, beginning: &Beginning<'_>) -> Result<(), StoreError> {
    let Beginning { crypt, now } = *beginning;
    tables.put_meta(MetaName::KeyCheck, &crypt.key_check())?;
    for (id, name) in [(TenantId::DEFAULT, "default"), (TenantId::SYSTEM, "system")] {
        let tenant = Tenant {
            id,
            external_id: None,
            name: name.to_owned(),
            profile: Profile::default(),
            header_prefix: None,
            secret: None,
            metadata: tenant::Metadata::new(),
            subscriptions_max: tenant::SUBSCRIPTIONS_MAX_DEFAULT,
            retention: Default::default(),
            rate_limit: None,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        tables.put::<Tenants>(&id, &TenantRecord::from_domain(&tenant, crypt))?;
    }
    Ok(())
}

/// Format 1 to 2: a file from before there were statistics gets its counts by state.
fn count_states(tables: &mut Tables<'_>, _: &Beginning<'_>) -> Result<(), StoreError> {
    stats::count_states_anew(tables)
}

/// Format 3 to 4: statistics have rows of event types, which earlier programs would take for damage. What was published
/// before is not in them.
fn know_event_types(_: &mut Tables<'_>, _: &Beginning<'_>) -> Result<(), StoreError> {
    Ok(())
}

/// Format 2 to 3: a program that knows no journal must not open what goes on in one. No row is other than before.
fn begin_journal(_: &mut Tables<'_>, _: &Beginning<'_>) -> Result<(), StoreError> {
    Ok(())
}
