//! Checking a stopped instance: every row is read, every index compared with what it stands for, both ways.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::crypt::Crypt;
use super::open::{OpenError, caught, open_to_check};
use super::postings::{CHUNK_IDS_MAX, Chunk, Postings};
use super::record::{StateCountsRecord, StatsLogRecord, Value};
use super::schema::{
    Answers, AnswersBySecret, AnswersByTime, Attempts, AuditLog, Deliveries, DeliveriesBySubscription,
    DeliveriesByTenant, DueRows, EventTypes, Events, EventsByTenant, ExternalIds, FailedRows, HealthOf, Invitations,
    JobDeliveries, Jobs, JobsByTenant, Key, Keys, KeysUsed, Kind, Meta, MetaName, NAMES, OpenRows, Payloads,
    PortalLinks, Redeliveries, Sessions, SessionsUsed, Settings, StateCountsOf, Stats, StatsLog, Subscriptions,
    Tenants, Users, Work, WorkName, definition,
};
use super::tables::{Read, Snapshot, disk};
use super::{Location, StoreError, deliveries, idempotency, stats};
use crate::domain::delivery::{Delivery, State};
use crate::domain::id::{DeliveryId, EventId, SubscriptionId, TenantId, UserId};
use crate::domain::job::JobState;
use crate::domain::session::SignedIn;
use crate::domain::setting::StoredSettings;
use crate::domain::stats::Scope;
use crate::domain::subscription::Signing;
use crate::domain::tenant::ExternalId;
use crate::domain::time::Timestamp;
use crate::domain::user::{Email, Invited};
use redb::{ReadableDatabase, ReadableTableMetadata};

/// Findings that a report lists; more are only counted.
pub const FINDINGS_MAX: usize = 100;

/// What a check saw.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Report {
    /// Whether the pages of the file were sound before anything was read.
    pub is_file_sound: bool,
    pub tables: Vec<TableReport>,
    /// What is wrong, in words; the first [`FINDINGS_MAX`] of it.
    pub findings: Vec<String>,
    pub findings_count: u64,
}

#[derive(Debug, Clone, serde::Serialize)]
pub struct TableReport {
    pub name: &'static str,
    pub rows: u64,
    /// Of keys and values, without the pages around them.
    pub bytes: u64,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.is_file_sound && self.findings_count == 0
    }

    fn find(&mut self, finding: impl fmt::Display) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding.to_string());
        }
        self.findings_count += 1;
    }
}

/// Checks the store in a location where no instance runs. It changes nothing beyond what opening the file repairs.
/// `Err` when it cannot be looked at; what is wrong with it is in the report.
pub fn check(location: Location, secret_key: Option<[u8; 32]>) -> Result<Report, OpenError> {
    caught(|| check_it(location, secret_key))
}

fn check_it(location: Location, secret_key: Option<[u8; 32]>) -> Result<Report, OpenError> {
    let (mut database, crypt) = open_to_check(location, secret_key)?;
    let mut report = Report { is_file_sound: database.check_integrity()?, ..Report::default() };
    let read = database.begin_read().map_err(disk)?;
    for name in NAMES {
        let table = read.open_table(definition(name)).map_err(disk)?;
        let bytes = table.stats().map_err(disk)?.stored_bytes();
        report.tables.push(TableReport { name, rows: table.len().map_err(disk)?, bytes });
    }
    let mut checker = Checker { tables: Snapshot::new(read), crypt, report };
    checker.run()?;
    Ok(checker.report)
}

struct Checker {
    tables: Snapshot,
    crypt: Crypt,
    report: Report,
}

/// Up to where rows have to be complete.
struct Watermarks {
    settled: u128,
    indexed: u128,
}

impl Checker {
    fn run(&mut self) -> Result<(), StoreError> {
        let watermarks = Watermarks {
            settled: self.tables.meta_id(MetaName::SettledUpTo)?,
            indexed: self.tables.meta_id(MetaName::IndexedUpTo)?,
        };
        self.configuration()?;
        self.events(&watermarks)?;
        self.deliveries(&watermarks)?;
        self.rows_of_deliveries()?;
        self.postings::<EventsByTenant, Events>(EventId::from_u128, |event| TenantId::from_bytes(event.tenant))?;
        self.postings::<DeliveriesByTenant, Deliveries>(DeliveryId::from_u128, |delivery| {
            TenantId::from_bytes(delivery.tenant)
        })?;
        self.postings::<DeliveriesBySubscription, Deliveries>(DeliveryId::from_u128, |delivery| {
            SubscriptionId::from_bytes(delivery.subscription)
        })?;
        self.orphans()?;
        self.answers()?;
        self.jobs()?;
        self.stats()?;
        self.each::<Meta>(|_, _, _| Ok(()))?;
        self.each::<Work>(|_, _, _| Ok(()))
    }

    /// Reads every row of a table. One that cannot be read is a finding, and the walk goes on.
    fn each<K: Kind>(
        &mut self,
        mut look: impl FnMut(&mut Self, K::Key, K::Value) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        // redb's own range holds the snapshot by itself, so that the checker stays free to look things up.
        let rows = self.tables.table::<K>()?.range::<&[u8]>(..).map_err(disk)?;
        for row in rows {
            let (key, value) = row.map_err(disk)?;
            match (K::Key::from_key(key.value()), K::Value::decode(value.value())) {
                (Some(key), Some(value)) => look(self, key, value)?,
                _ => self.report.find(format_args!("{} {}: cannot be read", K::NAME, hex::encode(key.value()))),
            }
        }
        Ok(())
    }

    fn wrong<K: Kind>(&mut self, key: &K::Key, what: impl fmt::Display) {
        self.report.find(format_args!("{} {key:?}: {what}", K::NAME));
    }

    fn configuration(&mut self) -> Result<(), StoreError> {
        let mut external_ids: BTreeMap<ExternalId, TenantId> = BTreeMap::new();
        self.each::<Tenants>(|checker, id, record| {
            match record.into_domain(id, &checker.crypt) {
                None => checker.wrong::<Tenants>(&id, "cannot be read or decrypted"),
                Some(tenant) => {
                    if let Some(other) = tenant.external_id.and_then(|external_id| external_ids.insert(external_id, id))
                    {
                        checker.wrong::<Tenants>(&id, format_args!("has the external id of {other}"));
                    }
                }
            }
            Ok(())
        })?;
        for id in [TenantId::DEFAULT, TenantId::SYSTEM] {
            if !self.tables.has::<Tenants>(&id)? {
                self.wrong::<Tenants>(&id, "is missing");
            }
        }
        self.each::<Keys>(|checker, id, record| {
            match record.into_domain(id).map(|key| key.tenant) {
                None => checker.wrong::<Keys>(&id, "cannot be read"),
                Some(Some(tenant)) if !checker.tables.has::<Tenants>(&tenant)? => {
                    checker.wrong::<Keys>(&id, format_args!("belongs to {tenant}, which does not exist"));
                }
                Some(_) => {}
            }
            Ok(())
        })?;
        self.each::<KeysUsed>(|checker, id, _| {
            if !checker.tables.has::<Keys>(&id)? {
                checker.wrong::<KeysUsed>(&id, "there is no such key");
            }
            Ok(())
        })?;
        self.each::<Settings>(|checker, name, record| {
            let mut settings = StoredSettings::default();
            let value = record.to_value(name, &checker.crypt);
            if value.is_none_or(|value| settings.put(name, &value).is_err()) {
                checker.wrong::<Settings>(&name, "holds a value that is none of it");
            }
            Ok(())
        })?;
        self.each::<AuditLog>(|_, _, _| Ok(()))?;
        self.each::<PortalLinks>(|checker, id, record| {
            if !checker.tables.has::<Tenants>(&record.into_domain(id).tenant)? {
                checker.wrong::<PortalLinks>(&id, "its tenant does not exist");
            }
            Ok(())
        })?;
        self.people()?;
        self.each::<EventTypes>(|checker, name, record| {
            if record.into_domain(name.clone()).is_none() {
                checker.wrong::<EventTypes>(&name, "cannot be read");
            }
            Ok(())
        })?;
        self.each::<Subscriptions>(|checker, id, record| {
            let tenant = TenantId::from_bytes(record.tenant);
            match record.to_domain(id, &checker.crypt) {
                None => checker.wrong::<Subscriptions>(&id, "cannot be read or decrypted"),
                Some(subscription) if subscription.signing == Signing::Tenant => {
                    let tenant = checker.tables.get::<Tenants>(&tenant)?;
                    if tenant.is_some_and(|tenant| !tenant.has_secret()) {
                        checker.wrong::<Subscriptions>(&id, "its tenant has no secret to sign with");
                    }
                }
                Some(_) => {}
            }
            if !checker.tenant_is_known(tenant)? {
                checker.wrong::<Subscriptions>(&id, format_args!("belongs to {tenant}, which does not exist"));
            }
            Ok(())
        })?;
        self.each::<HealthOf>(|checker, id, _| {
            if !checker.tables.has::<Subscriptions>(&id)? {
                checker.wrong::<HealthOf>(&id, "there is no such subscription");
            }
            Ok(())
        })
    }

    fn people(&mut self) -> Result<(), StoreError> {
        let mut emails: BTreeMap<Email, UserId> = BTreeMap::new();
        self.each::<Users>(|checker, id, record| {
            match record.into_domain(id, &checker.crypt) {
                None => checker.wrong::<Users>(&id, "cannot be read or decrypted"),
                Some(user) => {
                    if let Some(other) = emails.insert(user.email, id) {
                        checker.wrong::<Users>(&id, format_args!("has the e-mail address of {other}"));
                    }
                }
            }
            Ok(())
        })?;
        let mut invited: BTreeSet<Invited> = BTreeSet::new();
        self.each::<Invitations>(|checker, hash, record| {
            let to = record.into_domain(hash).to;
            if let Invited::User(id) = to
                && !checker.tables.has::<Users>(&id)?
            {
                checker.wrong::<Invitations>(&hash, format_args!("is to {id}, who does not exist"));
            }
            if !invited.insert(to) {
                checker.wrong::<Invitations>(&hash, "is not the only one to the same");
            }
            Ok(())
        })?;
        self.each::<Sessions>(|checker, id, record| {
            if let SignedIn::User(user) = record.into_domain(id).of
                && !checker.tables.has::<Users>(&user)?
            {
                checker.wrong::<Sessions>(&id, format_args!("is of {user}, who does not exist"));
            }
            Ok(())
        })?;
        self.each::<SessionsUsed>(|checker, id, _| {
            if !checker.tables.has::<Sessions>(&id)? {
                checker.wrong::<SessionsUsed>(&id, "there is no such session");
            }
            Ok(())
        })
    }

    /// A tenant that is being erased counts: its rows are on their way out.
    fn tenant_is_known(&self, id: TenantId) -> Result<bool, StoreError> {
        Ok(self.tables.has::<Tenants>(&id)? || self.tables.has::<Work>(&WorkName::Erase(id))?)
    }

    fn events(&mut self, watermarks: &Watermarks) -> Result<(), StoreError> {
        let indexed = watermarks.indexed;
        self.each::<Events>(|checker, id, record| {
            let (deliveries, tenant) = (record.deliveries, TenantId::from_bytes(record.tenant));
            let of_event = super::events::deliveries_of(&checker.tables, id, u32::MAX)?;
            if of_event.len() != deliveries as usize {
                checker.wrong::<Events>(&id, format_args!("has {} deliveries instead of {deliveries}", of_event.len()));
            }
            if of_event.iter().any(|(_, delivery)| delivery.tenant != record.tenant) {
                checker.wrong::<Events>(&id, "has a delivery of another tenant");
            }
            if !checker.tenant_is_known(tenant)? {
                checker.wrong::<Events>(&id, format_args!("belongs to {tenant}, which does not exist"));
            }
            match record.into_domain(id) {
                None => checker.wrong::<Events>(&id, "cannot be read"),
                Some(event) => {
                    if let Some(external_id) = event.external_id {
                        let row = checker.tables.get::<ExternalIds>(&(tenant, external_id))?;
                        if row.is_none_or(|row| row.0 != id.to_bytes()) {
                            checker.wrong::<Events>(&id, "its external id does not lead to it");
                        }
                    }
                }
            }
            if id.as_u128() <= indexed && !checker.is_posted::<EventsByTenant>(tenant, id.as_u128())? {
                checker.wrong::<Events>(&id, "is not in the postings of its tenant");
            }
            Ok(())
        })?;
        self.each::<ExternalIds>(|checker, (tenant, external_id), id| {
            let event = checker.tables.get::<Events>(&EventId::from_bytes(id.0))?;
            if event.is_none_or(|event| {
                event.tenant != tenant.to_bytes() || event.external_id.as_deref() != Some(external_id.as_str())
            }) {
                checker.wrong::<ExternalIds>(&(tenant, external_id), "leads to no such event");
            }
            Ok(())
        })
    }

    fn is_posted<K: Postings>(&self, owner: K::Owner, id: u128) -> Result<bool, StoreError> {
        let holder = self.tables.scan::<K>(K::key(owner, 0)..=K::key(owner, id))?.next_back().transpose()?;
        Ok(holder.is_some_and(|(_, Chunk(ids))| ids.binary_search(&id).is_ok()))
    }

    fn deliveries(&mut self, watermarks: &Watermarks) -> Result<(), StoreError> {
        let Watermarks { settled, indexed } = *watermarks;
        self.each::<Deliveries>(|checker, id, record| {
            let is_parked = record.is_parked;
            let Ok(delivery) = deliveries::domain(record, id) else {
                checker.wrong::<Deliveries>(&id, "cannot be read");
                return Ok(());
            };
            let Delivery { subscription, tenant, state, .. } = delivery;
            if !checker.tables.has::<Events>(&delivery.event)? {
                checker.wrong::<Deliveries>(&id, format_args!("belongs to {}, which does not exist", delivery.event));
            }
            if !checker.tables.has::<Subscriptions>(&subscription)? && checker.tables.has::<Tenants>(&tenant)? {
                checker.wrong::<Deliveries>(&id, format_args!("names {subscription}, which does not exist"));
            }
            let must_be_parked = matches!(state, State::Retrying { .. })
                || (matches!(state, State::Pending { .. }) && id.as_u128() <= settled);
            match (is_parked, state.next_attempt_at()) {
                (true, None) => checker.wrong::<Deliveries>(&id, "is final and parked"),
                (false, Some(_)) if must_be_parked => checker.wrong::<Deliveries>(&id, "waits without a due row"),
                _ => {}
            }
            if is_parked
                && let Some(at) = state.next_attempt_at()
                && !checker.tables.has::<DueRows>(&(subscription, at, id))?
            {
                checker.wrong::<Deliveries>(&id, "has no due row");
            }
            if is_parked != checker.tables.has::<OpenRows>(&(tenant, id))? {
                checker.wrong::<Deliveries>(&id, "and its open row do not agree");
            }
            if deliveries::is_failure(state) != checker.tables.has::<FailedRows>(&(tenant, id))? {
                checker.wrong::<Deliveries>(&id, "and its failed row do not agree");
            }
            if id.as_u128() <= indexed
                && !(checker.is_posted::<DeliveriesByTenant>(tenant, id.as_u128())?
                    && checker.is_posted::<DeliveriesBySubscription>(subscription, id.as_u128())?)
            {
                checker.wrong::<Deliveries>(&id, "is not in its postings");
            }
            Ok(())
        })
    }

    fn rows_of_deliveries(&mut self) -> Result<(), StoreError> {
        self.each::<DueRows>(|checker, (subscription, at, id), ()| {
            let delivery = checker.delivery(id)?;
            if delivery.is_none_or(|(is_parked, delivery)| {
                !is_parked || delivery.subscription != subscription || delivery.state.next_attempt_at() != Some(at)
            }) {
                checker.wrong::<DueRows>(&(subscription, at, id), "no delivery is due then");
            }
            Ok(())
        })?;
        self.each::<OpenRows>(|checker, (tenant, id), ()| {
            let delivery = checker.delivery(id)?;
            if delivery.is_none_or(|(is_parked, delivery)| !is_parked || delivery.tenant != tenant) {
                checker.wrong::<OpenRows>(&(tenant, id), "no such delivery is parked");
            }
            Ok(())
        })?;
        self.each::<FailedRows>(|checker, (tenant, id), ()| {
            let delivery = checker.delivery(id)?;
            if delivery.is_none_or(|(_, delivery)| !deliveries::is_failure(delivery.state) || delivery.tenant != tenant)
            {
                checker.wrong::<FailedRows>(&(tenant, id), "no such delivery failed");
            }
            Ok(())
        })
    }

    fn delivery(&self, id: DeliveryId) -> Result<Option<(bool, Delivery)>, StoreError> {
        let Some(record) = self.tables.get::<Deliveries>(&id)? else { return Ok(None) };
        let is_parked = record.is_parked;
        Ok(Some((is_parked, deliveries::domain(record, id)?)))
    }

    /// Every id in the postings leads to a row of that owner; every row of postings is in order.
    fn postings<K: Postings, Of: Kind>(
        &mut self,
        id_of: impl Fn(u128) -> Of::Key,
        owner_of: impl Fn(Of::Value) -> K::Owner,
    ) -> Result<(), StoreError>
    where
        K::Key: Clone,
    {
        let mut last: Option<(K::Owner, u128)> = None;
        self.each::<K>(|checker, key, Chunk(ids)| {
            let owner = K::owner(&key);
            let begins_after = last.is_none_or(|(last_owner, id)| last_owner != owner || id < K::first(&key));
            if !begins_after || ids[0] < K::first(&key) || ids.len() > CHUNK_IDS_MAX {
                checker.wrong::<K>(&key, "is out of order or too long");
            }
            last = ids.last().map(|id| (owner, *id));
            for id in ids {
                let row = checker.tables.get::<Of>(&id_of(id))?;
                if row.is_none_or(|row| owner_of(row) != owner) {
                    checker.wrong::<K>(&key, format_args!("names {:?}, which is not there", id_of(id)));
                }
            }
            Ok(())
        })
    }

    /// What is counted is what there is.
    fn stats(&mut self) -> Result<(), StoreError> {
        let mut counts: BTreeMap<SubscriptionId, StateCountsRecord> = BTreeMap::new();
        self.each::<StateCountsOf>(|checker, id, record| {
            let is_on_its_way = checker.tables.has::<Work>(&WorkName::EraseStats(Scope::Subscription(id)))?;
            if !checker.tables.has::<Subscriptions>(&id)? && !is_on_its_way {
                checker.wrong::<StateCountsOf>(&id, "there is no such subscription");
            }
            counts.insert(id, record);
            Ok(())
        })?;
        self.each::<StatsLog>(|checker, _, StatsLogRecord(entries)| {
            for entry in entries {
                let Some(id) = entry.subscription() else { continue };
                if checker.subscription_is_known(id)? {
                    stats::count_states(counts.entry(id).or_default(), &entry.measures);
                }
            }
            Ok(())
        })?;
        let mut found = stats::counted(&self.tables)?;
        for (id, counted) in counts {
            let found = found.remove(&id).unwrap_or_default();
            if found != counted && self.subscription_is_known(id)? {
                self.wrong::<StateCountsOf>(&id, format_args!("counts {:?}, and there are {:?}", counted.0, found.0));
            }
        }
        for (id, found) in found {
            if found != StateCountsRecord::default() && self.subscription_is_known(id)? {
                self.wrong::<StateCountsOf>(&id, format_args!("is missing, and there are {:?}", found.0));
            }
        }
        self.each::<Stats>(|checker, (resolution, start, scope), _| {
            let is_known = match scope {
                Scope::Instance | Scope::EventType(_) => true,
                Scope::Tenant(id) => checker.tenant_is_known(id)?,
                Scope::Subscription(id) => checker.tables.has::<Subscriptions>(&id)?,
            };
            let is_on_its_way = checker.tables.has::<Work>(&WorkName::EraseStats(scope))?;
            if resolution.start_of(start) != start || !(is_known || is_on_its_way) {
                checker.wrong::<Stats>(&(resolution, start, scope), "belongs to nothing");
            }
            Ok(())
        })
    }

    /// One that was not deleted, of a tenant that was not either.
    fn subscription_is_known(&self, id: SubscriptionId) -> Result<bool, StoreError> {
        let record = self.tables.get::<Subscriptions>(&id)?.filter(|record| record.deleted_at.is_none());
        record.map_or(Ok(false), |record| self.tables.has::<Tenants>(&TenantId::from_bytes(record.tenant)))
    }

    fn orphans(&mut self) -> Result<(), StoreError> {
        self.each::<Payloads>(|checker, id, _| {
            if !checker.tables.has::<Events>(&id)? {
                checker.wrong::<Payloads>(&id, "there is no such event");
            }
            Ok(())
        })?;
        self.each::<Redeliveries>(|checker, (event, id), ()| {
            let delivery = checker.delivery(id)?;
            if delivery.is_none_or(|(_, delivery)| delivery.event != event) {
                checker.wrong::<Redeliveries>(&(event, id), "there is no such delivery of this event");
            }
            Ok(())
        })?;
        self.each::<Attempts>(|checker, (id, number), _| {
            let delivery = checker.delivery(id)?;
            if delivery.is_none_or(|(_, delivery)| number == 0 || number > delivery.attempts) {
                checker.wrong::<Attempts>(&(id, number), "its delivery did not make it");
            }
            Ok(())
        })
    }

    fn jobs(&mut self) -> Result<(), StoreError> {
        self.each::<Jobs>(|checker, id, record| {
            let Some(job) = record.into_domain(id) else {
                checker.wrong::<Jobs>(&id, "cannot be read");
                return Ok(());
            };
            if !checker.tenant_is_known(job.tenant)? {
                checker.wrong::<Jobs>(&id, format_args!("belongs to {}, which does not exist", job.tenant));
            }
            if !checker.tables.has::<JobsByTenant>(&(job.tenant, id))? {
                checker.wrong::<Jobs>(&id, "is not indexed by its tenant");
            }
            let is_at_work = checker.tables.has::<Work>(&WorkName::Job(id))?;
            if job.state == JobState::Running && !is_at_work && checker.tables.has::<Tenants>(&job.tenant)? {
                checker.wrong::<Jobs>(&id, "runs, and nobody works on it");
            }
            if (job.state == JobState::Running) != job.finished_at.is_none() {
                checker.wrong::<Jobs>(&id, "its state and its end do not agree");
            }
            Ok(())
        })?;
        self.each::<JobsByTenant>(|checker, (tenant, id), ()| {
            let job = checker.tables.get::<Jobs>(&id)?;
            if job.is_none_or(|job| job.tenant != tenant.to_bytes()) {
                checker.wrong::<JobsByTenant>(&(tenant, id), "there is no such job");
            }
            Ok(())
        })?;
        self.each::<JobDeliveries>(|checker, key, Chunk(ids)| {
            if !checker.tables.has::<Jobs>(&key.0)? {
                checker.wrong::<JobDeliveries>(&key, "there is no such job");
            }
            if ids[0] < key.1.as_u128() || ids.len() > CHUNK_IDS_MAX || !ids.is_sorted() {
                checker.wrong::<JobDeliveries>(&key, "is out of order or too long");
            }
            Ok(())
        })
    }

    fn answers(&mut self) -> Result<(), StoreError> {
        self.each::<Answers>(|checker, request, record| {
            let created_at = Timestamp::from_millis(record.created_at);
            if !checker.tables.has::<AnswersByTime>(&(created_at, request))? {
                checker.wrong::<Answers>(&request, "is not indexed by time");
            }
            for holder in idempotency::holders(&record) {
                if !checker.tables.has::<AnswersBySecret>(&(holder, request))? {
                    checker.wrong::<Answers>(&request, "is not indexed by the secret that it shows");
                }
            }
            if record.into_domain(request, &checker.crypt).is_none() {
                checker.wrong::<Answers>(&request, "cannot be decrypted");
            }
            Ok(())
        })?;
        self.each::<AnswersByTime>(|checker, (at, request), ()| {
            let answer = checker.tables.get::<Answers>(&request)?;
            if answer.is_none_or(|answer| answer.created_at != at.as_millis()) {
                checker.wrong::<AnswersByTime>(&(at, request), "there is no such answer");
            }
            Ok(())
        })?;
        self.each::<AnswersBySecret>(|checker, (holder, request), ()| {
            let answer = checker.tables.get::<Answers>(&request)?;
            if answer.is_none_or(|answer| !idempotency::holders(&answer).contains(&holder)) {
                checker.wrong::<AnswersBySecret>(&(holder, request), "there is no such answer");
            }
            Ok(())
        })
    }
}
