//! Looks at a stopped instance: every record decodes, and every index says what the records say, both ways.

use std::collections::{BTreeMap, BTreeSet};

use redb::{ReadTransaction, ReadableDatabase, ReadableTableMetadata};
use serde::Serialize;

use super::{OpenError, Options, Store, StoreError, postings, record, schema};
use crate::domain::delivery::{Delivery, State};
use crate::domain::id::{DeliveryId, EventId, KeyId, SubscriptionId, TenantId};

/// Findings that are told one by one; more are counted.
const FINDINGS_MAX: usize = 100;

#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Rows of each table.
    pub rows: BTreeMap<&'static str, u64>,
    pub file_bytes: u64,
    /// What is wrong; empty when nothing is.
    pub findings: Vec<String>,
    /// Findings beyond those that are listed.
    pub findings_more: u64,
}

impl Report {
    fn find(&mut self, finding: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding.into());
        } else {
            self.findings_more += 1;
        }
    }
}

/// Opens the store (which recovers it as every start does) and compares everything with everything.
pub fn check(options: Options) -> Result<Report, OpenError> {
    let opened = Store::open(options)?;
    let mut report = Report::default();
    if let Err(failure) = examine(&opened.store, &mut report) {
        report.find(failure.to_string());
    }
    Ok(report)
}

fn examine(store: &Store, report: &mut Report) -> Result<(), StoreError> {
    let read = store.shared.database.begin_read()?;
    report.file_bytes = store.sizes().file_bytes;
    for (name, definition) in schema::ALL {
        report.rows.insert(name, read.open_table(*definition)?.len()?);
    }
    examine_configuration(store, &read, report)?;
    examine_events(&read, report)?;
    examine_deliveries(store, &read, report)?;
    examine_answers(store, &read, report)
}

type Row = (Vec<u8>, Vec<u8>);

fn rows(
    read: &ReadTransaction,
    definition: schema::Definition,
) -> Result<impl Iterator<Item = Result<Row, StoreError>>, StoreError> {
    let table = read.open_table(definition)?;
    let range = table.range::<&[u8]>(..)?;
    Ok(range.map(|row| {
        let (key, value) = row?;
        Ok((key.value().to_vec(), value.value().to_vec()))
    }))
}

fn holds(read: &ReadTransaction, definition: schema::Definition, key: &[u8]) -> Result<bool, StoreError> {
    Ok(read.open_table(definition)?.get(key)?.is_some())
}

fn examine_configuration(store: &Store, read: &ReadTransaction, report: &mut Report) -> Result<(), StoreError> {
    for row in rows(read, schema::TENANTS)? {
        let (key, value) = row?;
        let id = TenantId::from_u128(schema::id(&key).unwrap_or(0));
        if let Err(failure) = record::read_tenant(id, &value) {
            report.find(format!("{id}: {failure}"));
        }
    }
    for row in rows(read, schema::KEYS)? {
        let (key, value) = row?;
        let id = KeyId::from_u128(schema::id(&key).unwrap_or(0));
        match record::read_key(id, &value) {
            Err(failure) => report.find(format!("{id}: {failure}")),
            Ok(key) => {
                if let Some(tenant) = key.tenant
                    && !holds(read, schema::TENANTS, &tenant.to_bytes())?
                {
                    report.find(format!("{id} is bound to {tenant}, which does not exist"));
                }
            }
        }
    }
    for row in rows(read, schema::SUBSCRIPTIONS)? {
        let (key, value) = row?;
        let id = SubscriptionId::from_u128(schema::id(&key).unwrap_or(0));
        if let Err(failure) = record::read_subscription(id, &value, &store.shared.cipher) {
            report.find(format!("{id}: {failure}"));
        }
    }
    for row in rows(read, schema::HEALTH)? {
        let (key, value) = row?;
        let id = SubscriptionId::from_u128(schema::id(&key).unwrap_or(0));
        if let Err(failure) = record::read_health(&value) {
            report.find(format!("health of {id}: {failure}"));
        }
        if !holds(read, schema::SUBSCRIPTIONS, &key)? {
            report.find(format!("health of {id}, which does not exist"));
        }
    }
    Ok(())
}

fn examine_events(read: &ReadTransaction, report: &mut Report) -> Result<(), StoreError> {
    let indexed = postings_of(read, schema::EVENTS_BY_TENANT, report)?;
    let mut expected = BTreeSet::new();
    let deliveries = read.open_table(schema::DELIVERIES)?;
    for row in rows(read, schema::EVENTS)? {
        let (key, value) = row?;
        let id = EventId::from_u128(schema::id(&key).unwrap_or(0));
        let event = match record::read_event(id, &value) {
            Ok(event) => event,
            Err(failure) => {
                report.find(format!("{id}: {failure}"));
                continue;
            }
        };
        expected.insert((event.tenant.as_u128(), id.as_u128()));
        let mut count = 0;
        for row in deliveries.range::<&[u8]>(&key[..]..)?.take(event.deliveries as usize) {
            let (key, value) = row?;
            let delivery = DeliveryId::from_u128(schema::id(key.value()).unwrap_or(0));
            if record::read_delivery(delivery, value.value()).is_ok_and(|delivery| delivery.event == id) {
                count += 1;
            }
        }
        if count != event.deliveries {
            report.find(format!("{id} has {count} deliveries instead of {}", event.deliveries));
        }
        if let Some(external_id) = &event.external_id {
            let key = schema::external_id(event.tenant.as_u128(), external_id.as_str());
            if !holds(read, schema::EXTERNAL_IDS, &key)? {
                report.find(format!("{id} cannot be found by its external id {external_id}"));
            }
        }
    }
    for row in rows(read, schema::EXTERNAL_IDS)? {
        let (_, value) = row?;
        if !holds(read, schema::EVENTS, &value)? {
            report.find("an external id of an event that does not exist");
        }
    }
    for row in rows(read, schema::PAYLOADS)? {
        let (key, _) = row?;
        if !holds(read, schema::EVENTS, &key)? {
            report.find(format!("data of {}, which does not exist", EventId::from_u128(schema::id(&key).unwrap_or(0))));
        }
    }
    compare("events_by_tenant", &expected, &indexed, report);
    Ok(())
}

fn examine_deliveries(store: &Store, read: &ReadTransaction, report: &mut Report) -> Result<(), StoreError> {
    let by_tenant = postings_of(read, schema::DELIVERIES_BY_TENANT, report)?;
    let by_subscription = postings_of(read, schema::DELIVERIES_BY_SUBSCRIPTION, report)?;
    let (mut of_tenants, mut of_subscriptions) = (BTreeSet::new(), BTreeSet::new());
    let (mut open, mut failed, mut due) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut attempts: BTreeMap<DeliveryId, u16> = BTreeMap::new();
    for row in rows(read, schema::DELIVERIES)? {
        let (key, value) = row?;
        let id = DeliveryId::from_u128(schema::id(&key).unwrap_or(0));
        let delivery = match record::read_delivery(id, &value) {
            Ok(delivery) => delivery,
            Err(failure) => {
                report.find(format!("{id}: {failure}"));
                continue;
            }
        };
        let Delivery { event, subscription, tenant, state, attempts: made, .. } = delivery;
        if !holds(read, schema::EVENTS, &event.to_bytes())? {
            report.find(format!("{id} belongs to {event}, which does not exist"));
        }
        if !holds(read, schema::SUBSCRIPTIONS, &subscription.to_bytes())? {
            report.find(format!("{id} belongs to {subscription}, which does not exist"));
        }
        let row = (tenant.as_u128(), id.as_u128());
        of_tenants.insert(row);
        of_subscriptions.insert((subscription.as_u128(), id.as_u128()));
        match state {
            // After opening, every open delivery has its rows: opening gives them to those above the watermark.
            State::Pending { next_attempt_at } | State::Retrying { next_attempt_at, .. } => {
                open.insert(row);
                due.insert(schema::due(subscription, next_attempt_at, id).to_vec());
            }
            State::Exhausted { .. } | State::Canceled { .. } => {
                failed.insert(row);
            }
            State::Succeeded => {}
        }
        if holds(read, schema::PAYLOADS, &event.to_bytes())? {
            attempts.insert(id, made);
        }
    }
    compare("deliveries_by_tenant", &of_tenants, &by_tenant, report);
    compare("deliveries_by_subscription", &of_subscriptions, &by_subscription, report);
    compare("open_by_tenant", &open, &pairs_of(read, schema::OPEN)?, report);
    compare("failed_by_tenant", &failed, &pairs_of(read, schema::FAILED)?, report);
    let mut found_due = BTreeSet::new();
    for row in rows(read, schema::DUE)? {
        found_due.insert(row?.0);
    }
    let missing = due.difference(&found_due).count();
    let extra = found_due.difference(&due).count();
    if missing + extra > 0 {
        report.find(format!("due: {missing} rows are missing and {extra} are too many"));
    }
    let mut found_attempts: BTreeMap<DeliveryId, u16> = BTreeMap::new();
    for row in rows(read, schema::ATTEMPTS)? {
        let (key, value) = row?;
        let id = DeliveryId::from_u128(schema::id(&key[..16]).unwrap_or(0));
        if let Err(failure) = record::read_attempt(id, 0, &value) {
            report.find(format!("an attempt of {id}: {failure}"));
        }
        *found_attempts.entry(id).or_default() += 1;
        if !attempts.contains_key(&id) {
            report.find(format!("an attempt of {id}, which does not exist or has lost its payload"));
        }
    }
    for (id, made) in attempts {
        let found = found_attempts.get(&id).copied().unwrap_or(0);
        if found != made {
            report.find(format!("{id} has {found} attempts instead of {made}"));
        }
    }
    if store.shared.has_sweeps() {
        // Deletions that are under way are no fault.
        report.findings.retain(|finding| !finding.starts_with("due:"));
    }
    Ok(())
}

fn examine_answers(store: &Store, read: &ReadTransaction, report: &mut Report) -> Result<(), StoreError> {
    let mut expected = BTreeSet::new();
    for row in rows(read, schema::ANSWERS)? {
        let (key, value) = row?;
        let Ok(request) = <[u8; 32]>::try_from(key.as_slice()) else {
            report.find("a remembered answer under a name of the wrong length");
            continue;
        };
        match record::read_answer(&request, &value, &store.shared.cipher) {
            Ok(kept) => {
                expected.insert(schema::answer_by_time(kept.created_at, &request).to_vec());
            }
            Err(failure) => report.find(failure.to_string()),
        }
    }
    let mut found = BTreeSet::new();
    for row in rows(read, schema::ANSWERS_BY_TIME)? {
        found.insert(row?.0);
    }
    if expected != found {
        report.find("answers_by_time does not list the remembered answers");
    }
    for row in rows(read, schema::ANSWERS_BY_SECRET)? {
        let (key, _) = row?;
        if !holds(read, schema::ANSWERS, &key[16..])? {
            report.find("answers_by_secret names an answer that does not exist");
        }
    }
    Ok(())
}

/// (owner, id) of every id in the chunks.
fn postings_of(
    read: &ReadTransaction,
    definition: schema::Definition,
    report: &mut Report,
) -> Result<BTreeSet<(u128, u128)>, StoreError> {
    let mut found = BTreeSet::new();
    for row in rows(read, definition)? {
        let (key, chunk) = row?;
        let Some((owner, first)) = schema::split_pair(&key) else { continue };
        let ids = postings::ids_of(&chunk);
        if ids.first() != Some(&first) || !ids.is_sorted() {
            report.find("a chunk of postings is out of order");
        }
        for id in ids {
            if !found.insert((owner, id)) {
                report.find("an id stands in the postings twice");
            }
        }
    }
    Ok(found)
}

fn pairs_of(read: &ReadTransaction, definition: schema::Definition) -> Result<BTreeSet<(u128, u128)>, StoreError> {
    rows(read, definition)?.map(|row| Ok(schema::split_pair(&row?.0).unwrap_or((0, 0)))).collect()
}

fn compare(index: &str, expected: &BTreeSet<(u128, u128)>, found: &BTreeSet<(u128, u128)>, report: &mut Report) {
    let missing = expected.difference(found).count();
    let extra = found.difference(expected).count();
    if missing + extra > 0 {
        report.find(format!("{index}: {missing} rows are missing and {extra} are too many"));
    }
}
