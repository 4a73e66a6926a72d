//! Jobs: recover, retry and cancel many deliveries, in bounded steps of the background.
//!
//! A job first walks the narrowest index, up to its own id, and keeps the ids of what it concerns in chunks. Then it takes
//! chunk after chunk: the deliveries change, the chunk goes, and the counts move in one commit. So a power cut repeats
//! nothing, and nothing that comes into being meanwhile is taken for what was counted.

use std::collections::BTreeSet;

use super::catalogue::Known;
use super::commit::{Store, Transaction};
use super::deliveries::{self, Row};
use super::postings::{self, CHUNK_IDS_MAX, Chunk, Direction, Postings};
use super::record::{JobRecord, WorkRecord};
use super::schema::{Deliveries, Events, JobDeliveries, Jobs, JobsByTenant, Key, MetaName, Payloads, Work, WorkName};
use super::subscriptions::CONFIGURATION_BYTES;
use super::tables::{Read, damaged};
use super::{Change, Counted, Reach, Remember, StoreError, events, pages, reach};
use crate::domain::delivery::Delivery;
use crate::domain::id::{DeliveryId, JobId, SubscriptionId, TenantId};
use crate::domain::job::{FINISHED_KEPT_FOR, FINISHED_KEPT_MAX, Job, JobKind, JobState, RUNNING_MAX};
use crate::domain::obstacle::{Limited, Obstacle};

/// Rows that one step of counting looks at.
const COUNT_ROWS_PER_STEP_MAX: usize = 1024;
/// Rows that counting without a job (a dry run) looks at.
pub const DRY_RUN_ROWS_MAX: usize = 1_000_000;
/// Chunks that one step takes away unread.
const CHUNKS_PER_STEP_MAX: usize = 256;
/// Jobs that the end of a walk of retention looks at.
const JOBS_PER_STEP_MAX: usize = 4096;

/// Stages of a job.
const COUNT: u8 = 0;
const CHANGE: u8 = 1;
/// It was canceled: what it had still to deal with is forgotten.
const FORGET: u8 = 2;

impl Store {
    /// Begins a job. `NotFound` (its tenant or subscription), `LimitExceeded` when too many of the tenant run already.
    pub async fn start_job(
        &self,
        reach: impl Into<Reach>,
        kind: JobKind,
        remember: Option<Remember<Job>>,
    ) -> Result<Job, StoreError> {
        let reach @ Reach { tenant, key } = reach.into();
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            transaction.check_space()?;
            transaction.check_owner(reach, &kind)?;
            let known = of_tenant(&transaction.tables, tenant)?;
            if known.iter().filter(|job| job.state == JobState::Running).count() >= RUNNING_MAX {
                return Err(StoreError::LimitExceeded { max: RUNNING_MAX as u32, of_what: Limited::Jobs });
            }
            let id = JobId::from_u128(transaction.next_id());
            let job = Job {
                id,
                tenant,
                key,
                kind,
                state: JobState::Running,
                counted: 0,
                is_counted: false,
                done: 0,
                skipped: 0,
                created_at: transaction.now,
                finished_at: None,
            };
            transaction.tables.put::<Jobs>(&id, &JobRecord::from(&job))?;
            transaction.tables.put::<JobsByTenant>(&(tenant, id), &())?;
            let work = WorkRecord { stage: COUNT, cursor: [0; 16], until: id.to_bytes() };
            transaction.tables.put::<Work>(&WorkName::Job(id), &work)?;
            transaction.set_has_work(true);
            if let JobKind::Recover { subscription, .. } = job.kind {
                // A person asks, so what the receiver asked for is over. Once, and not with every step.
                transaction.changed(Change::Due(subscription, transaction.now));
            }
            transaction.remember(remember, &job)?;
            Ok(job)
        })
        .await
    }

    /// What a job would concern now. Reads the disk.
    pub fn count_for_job(&self, reach: impl Into<Reach>, kind: &JobKind) -> Result<Counted, StoreError> {
        let reach: Reach = reach.into();
        let mut counted = Counted { matched: 0, is_complete: false };
        let (mut low, mut looked_at) = (0, 0);
        while looked_at < DRY_RUN_ROWS_MAX {
            // A snapshot each, so that none holds back the pages that a long count outlives.
            let snapshot = self.shared.snapshot()?;
            let candidates = Candidates::after(&snapshot, reach.tenant, kind, (low, u128::MAX))?;
            for id in &candidates.ids {
                let id = DeliveryId::from_u128(*id);
                let delivery = snapshot.get::<Deliveries>(&id)?.map(|record| deliveries::domain(record, id));
                if let Some(delivery) = delivery.transpose()?
                    && self.with_known(|known| concerns(&snapshot, known, reach, kind, delivery))?
                {
                    counted.matched += 1;
                }
            }
            looked_at += candidates.ids.len();
            match candidates.ids.last() {
                Some(last) if !candidates.are_all => low = last + 1,
                Some(_) | None => return Ok(Counted { is_complete: true, ..counted }),
            }
        }
        Ok(counted)
    }

    /// None when there is no such job (any more).
    pub fn job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        let Some(record) = self.shared.snapshot()?.get::<Jobs>(&id)? else { return Ok(None) };
        domain(record, id).map(Some)
    }

    /// All that run and the newest that are finished, oldest first; of a restricted key, those that it began. Reads the
    /// disk.
    pub fn jobs(&self, reach: impl Into<Reach>) -> Result<Vec<Job>, StoreError> {
        let Reach { tenant, key } = reach.into();
        let mut jobs = of_tenant(&self.shared.snapshot()?, tenant)?;
        jobs.retain(|job| key.is_none() || job.key == key);
        Ok(jobs)
    }

    /// It goes no further; what it did stays done. `InvalidState` when it is finished.
    pub async fn cancel_job(&self, id: JobId, remember: Option<Remember<Job>>) -> Result<Job, StoreError> {
        self.sentence(CONFIGURATION_BYTES, move |transaction| {
            let record = transaction.tables.get::<Jobs>(&id)?.ok_or(StoreError::NotFound)?;
            let mut job = domain(record, id)?;
            if job.state != JobState::Running {
                return Err(StoreError::InvalidState(Obstacle::JobOver));
            }
            let name = WorkName::Job(id);
            if let Some(work) = transaction.tables.get::<Work>(&name)? {
                transaction.tables.put::<Work>(&name, &WorkRecord { stage: FORGET, ..work })?;
            }
            transaction.finish_job(&mut job, JobState::Canceled)?;
            transaction.remember(remember, &job)?;
            Ok(job)
        })
        .await
    }
}

fn domain(record: JobRecord, id: JobId) -> Result<Job, StoreError> {
    record.into_domain(id).ok_or_else(|| damaged::<Jobs>(&id.to_key()))
}

/// At most [`RUNNING_MAX`] and [`FINISHED_KEPT_MAX`].
fn of_tenant(tables: &impl Read, tenant: TenantId) -> Result<Vec<Job>, StoreError> {
    let range = (tenant, JobId::from_u128(0))..=(tenant, JobId::from_u128(u128::MAX));
    let mut jobs = Vec::new();
    for row in tables.scan::<JobsByTenant>(range)? {
        let ((_, id), ()) = row?;
        let record = tables.get::<Jobs>(&id)?.ok_or_else(|| damaged::<Jobs>(&id.to_key()))?;
        jobs.push(domain(record, id)?);
    }
    Ok(jobs)
}

/// Ids that may be concerned.
struct Candidates {
    /// Ascending.
    ids: Vec<u128>,
    /// Whether there are no more of them.
    are_all: bool,
}

impl Candidates {
    /// The first of them from `low` on, out of the narrowest indices that hold all.
    fn after(
        tables: &impl Read,
        tenant: TenantId,
        kind: &JobKind,
        (low, high): (u128, u128),
    ) -> Result<Self, StoreError> {
        let filter = kind.filter();
        let created = pages::id_bounds(tables, filter.since, filter.until)?;
        let bounds = (low.max(created.0), high.min(created.1));
        let direction = Direction::OlderFirst;
        let limited = |ids: pages::Ids<'_>| ids.take(COUNT_ROWS_PER_STEP_MAX + 1).collect::<Result<Vec<_>, _>>();
        let mut ids = match (filter.event, kind) {
            (Some(event), _) => {
                let count = tables.get::<Events>(&event)?.map_or(0, |event| event.deliveries);
                let all = events::deliveries_of(tables, event, count)?.into_iter().map(|(id, _)| id.as_u128());
                all.filter(|id| (bounds.0..=bounds.1).contains(id)).collect()
            }
            (None, JobKind::Recover { .. }) => limited(pages::walk_failed(tables, tenant, bounds, direction)?)?,
            (None, JobKind::Cancel(_)) => limited(pages::walk_open(tables, tenant, bounds, direction)?)?,
            (None, JobKind::Retry(_)) => {
                // The first of both together are among the first of each.
                let mut ids = limited(pages::walk_failed(tables, tenant, bounds, direction)?)?;
                ids.extend(limited(pages::walk_open(tables, tenant, bounds, direction)?)?);
                ids
            }
        };
        ids.sort_unstable();
        ids.dedup();
        let are_all = ids.len() <= COUNT_ROWS_PER_STEP_MAX;
        ids.truncate(COUNT_ROWS_PER_STEP_MAX);
        Ok(Self { ids, are_all })
    }
}

/// Whether the job is to change this delivery, as it stands now. What is to be sent must still have its payload and
/// somebody who gets it.
fn concerns(
    tables: &impl Read,
    known: &Known<'_>,
    reach: Reach,
    kind: &JobKind,
    delivery: Delivery,
) -> Result<bool, StoreError> {
    let delivery = deliveries::present(delivery, known.catalogue);
    if !kind.concerns(delivery.state)
        || delivery.tenant != reach.tenant
        || !pages::is_wanted(known, &delivery, &kind.filter())
    {
        return Ok(false);
    }
    if !reach::has(tables, known.catalogue, reach, delivery.subscription)? {
        return Ok(false);
    }
    Ok(!kind.sends()
        || (known.catalogue.subscription(delivery.subscription).is_some()
            && tables.has::<Payloads>(&delivery.event)?))
}

/// One step of a job. Answers how it goes on.
pub(super) fn step(
    transaction: &mut Transaction<'_>,
    id: JobId,
    work: WorkRecord,
) -> Result<Option<WorkRecord>, StoreError> {
    let Some(record) = transaction.tables.get::<Jobs>(&id)? else { return Ok(None) };
    let job = domain(record, id)?;
    if transaction.with_catalogue(|catalogue| catalogue.tenant(job.tenant).is_none()) {
        // Erasing the tenant takes it along.
        return Ok(None);
    }
    match work.stage {
        COUNT => count(transaction, job, work),
        CHANGE => change(transaction, job, work),
        _ => Ok(forget(transaction, id)?.then_some(work)),
    }
}

/// Counts on, and keeps the ids.
fn count(transaction: &mut Transaction<'_>, mut job: Job, work: WorkRecord) -> Result<Option<WorkRecord>, StoreError> {
    let bounds = (u128::from_be_bytes(work.cursor), u128::from_be_bytes(work.until));
    let candidates = Candidates::after(&transaction.tables, job.tenant, &job.kind, bounds)?;
    let mut ids = Vec::new();
    for id in &candidates.ids {
        if transaction.is_concerned(&job, DeliveryId::from_u128(*id))? {
            ids.push(*id);
        }
    }
    postings::append::<JobDeliveries>(&mut transaction.tables, job.id, &ids)?;
    job.counted += ids.len() as u64;
    let next = match candidates.ids.last() {
        Some(last) if !candidates.are_all => WorkRecord { cursor: (last + 1).to_be_bytes(), ..work },
        Some(_) | None => WorkRecord { stage: CHANGE, ..work },
    };
    job.is_counted = next.stage == CHANGE;
    if job.is_counted && job.counted == 0 {
        transaction.finish_job(&mut job, JobState::Done)?;
        return Ok(None);
    }
    transaction.tables.put::<Jobs>(&job.id, &JobRecord::from(&job))?;
    Ok(Some(next))
}

/// Changes the deliveries of the next chunk.
fn change(transaction: &mut Transaction<'_>, mut job: Job, work: WorkRecord) -> Result<Option<WorkRecord>, StoreError> {
    let mut chunks = transaction.tables.scan::<JobDeliveries>(chunks_of(job.id))?;
    let (chunk, is_last) = (chunks.next().transpose()?, chunks.next().is_none());
    drop(chunks);
    let Some((key, Chunk(ids))) = chunk else {
        transaction.finish_job(&mut job, JobState::Done)?;
        return Ok(None);
    };
    debug_assert!(ids.len() <= CHUNK_IDS_MAX, "which bounds this step");
    let now = transaction.now;
    let mut requeued: BTreeSet<SubscriptionId> = BTreeSet::new();
    for id in ids.into_iter().map(DeliveryId::from_u128) {
        let is_concerned = transaction.is_concerned(&job, id)?;
        let row = if is_concerned { Row::of(transaction, id)? } else { None };
        let Some(mut row) = row else {
            job.skipped += 1;
            continue;
        };
        let subscription = row.delivery.subscription;
        // What waits already has its place.
        if job.kind.sends() && row.delivery.state.is_final() && !transaction.backlog_takes_one(subscription)? {
            job.skipped += 1;
            continue;
        }
        let tables = &mut transaction.tables;
        match job.kind {
            JobKind::Recover { .. } => row.recover(tables, now)?,
            JobKind::Retry(_) => row.retry(tables, now)?,
            JobKind::Cancel(_) => row.cancel(tables, now)?,
        }
        job.done += 1;
        transaction.changed(Change::Moved(Box::new(row.delivery)));
        if job.kind.sends() {
            requeued.insert(subscription);
        } else {
            transaction.changed(Change::Canceled(subscription, id));
        }
    }
    for subscription in requeued {
        transaction.changed(Change::Scheduled(subscription, now));
    }
    transaction.tables.remove::<JobDeliveries>(&key)?;
    if is_last {
        transaction.finish_job(&mut job, JobState::Done)?;
        return Ok(None);
    }
    transaction.tables.put::<Jobs>(&job.id, &JobRecord::from(&job))?;
    Ok(Some(work))
}

fn chunks_of(id: JobId) -> std::ops::RangeInclusive<(JobId, DeliveryId)> {
    JobDeliveries::key(id, 0)..=JobDeliveries::key(id, u128::MAX)
}

/// Takes away what a job had still to deal with. Answers whether there is more of it.
fn forget(transaction: &mut Transaction<'_>, id: JobId) -> Result<bool, StoreError> {
    let chunks = transaction.tables.scan::<JobDeliveries>(chunks_of(id))?.take(CHUNKS_PER_STEP_MAX);
    let keys = chunks.map(|row| row.map(|(key, _)| key)).collect::<Result<Vec<_>, _>>()?;
    keys.iter().try_for_each(|key| transaction.tables.remove::<JobDeliveries>(key).map(drop))?;
    Ok(keys.len() == CHUNKS_PER_STEP_MAX)
}

/// One step of erasing the jobs of a deleted tenant. Answers whether there may be more.
pub(super) fn erase_one(transaction: &mut Transaction<'_>, tenant: TenantId) -> Result<bool, StoreError> {
    let range = (tenant, JobId::from_u128(0))..=(tenant, JobId::from_u128(u128::MAX));
    let first = transaction.tables.scan::<JobsByTenant>(range)?.next().transpose()?;
    let Some(((_, id), ())) = first else { return Ok(false) };
    if !forget(transaction, id)? {
        transaction.tables.remove::<Work>(&WorkName::Job(id))?;
        transaction.remove_job(tenant, id)?;
    }
    Ok(true)
}

impl Transaction<'_> {
    fn check_owner(&self, Reach { tenant, key }: Reach, kind: &JobKind) -> Result<(), StoreError> {
        let is_known = self.with_catalogue(|catalogue| match (catalogue.tenant(tenant), kind) {
            (Some(entry), JobKind::Recover { subscription, .. }) => entry
                .subscription(*subscription)
                .is_some_and(|subscription| key.is_none() || subscription.owner.key() == key),
            (Some(_), JobKind::Retry(_) | JobKind::Cancel(_)) => true,
            (None, _) => false,
        });
        if is_known { Ok(()) } else { Err(StoreError::NotFound) }
    }

    fn is_concerned(&self, job: &Job, id: DeliveryId) -> Result<bool, StoreError> {
        let Some(record) = self.tables.get::<Deliveries>(&id)? else { return Ok(false) };
        let delivery = deliveries::domain(record, id)?;
        let health = |id| self.health(id);
        self.with_catalogue(|catalogue| {
            let known = Known { catalogue, health: &health };
            concerns(&self.tables, &known, Reach { tenant: job.tenant, key: job.key }, &job.kind, delivery)
        })
    }

    fn finish_job(&mut self, job: &mut Job, state: JobState) -> Result<(), StoreError> {
        job.state = state;
        job.finished_at = Some(self.now);
        self.tables.put::<Jobs>(&job.id, &JobRecord::from(&*job))?;
        let mut finished = of_tenant(&self.tables, job.tenant)?;
        finished.retain(|job| job.state != JobState::Running);
        finished.sort_by_key(|job| job.finished_at);
        let too_many = finished.len().saturating_sub(FINISHED_KEPT_MAX);
        for old in finished.iter().take(too_many) {
            // One that still has something to forget goes the next time.
            if !self.tables.has::<Work>(&WorkName::Job(old.id))? {
                self.remove_job(old.tenant, old.id)?;
            }
        }
        Ok(())
    }

    fn remove_job(&mut self, tenant: TenantId, id: JobId) -> Result<(), StoreError> {
        self.tables.remove::<Jobs>(&id)?;
        self.tables.remove::<JobsByTenant>(&(tenant, id))?;
        self.tables.raise_meta_id(MetaName::AssignedUpTo, id.as_u128())
    }

    /// Removes the jobs that finished long ago.
    pub(super) fn remove_old_jobs(&mut self) -> Result<(), StoreError> {
        let before = self.now.minus(FINISHED_KEPT_FOR).as_millis();
        let mut old = Vec::new();
        for row in self.tables.scan::<Jobs>(..)?.take(JOBS_PER_STEP_MAX) {
            let (id, record) = row?;
            if record.finished_at.is_some_and(|at| at <= before) && !self.tables.has::<Work>(&WorkName::Job(id))? {
                old.push((TenantId::from_bytes(record.tenant), id));
            }
        }
        old.into_iter().try_for_each(|(tenant, id)| self.remove_job(tenant, id))
    }
}
