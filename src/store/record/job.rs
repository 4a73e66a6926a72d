//! What was asked of many deliveries at once, on disk.

use serde::{Deserialize, Serialize};

use super::earlier::JobRecordV1;
use super::{IdBytes, JobStateRecord, Record, ShownStateRecord, millis, timestamp, whole};
use crate::domain::delivery::DeliveryFilter;
use crate::domain::id::{EventId, JobId, KeyId, SubscriptionId, TenantId};
use crate::domain::job::{Job, JobKind};
use crate::domain::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct JobRecord {
    pub tenant: IdBytes,
    pub(super) kind: JobKindRecord,
    pub state: JobStateRecord,
    pub(super) counted: u64,
    pub(super) is_counted: bool,
    pub(super) done: u64,
    pub(super) skipped: u64,
    pub(super) created_at: i64,
    pub finished_at: Option<i64>,
    pub(super) key: Option<IdBytes>,
}
impl Record for JobRecord {
    const VERSION: u8 = 2;

    fn decode_earlier(version: u8, rest: &[u8]) -> Option<Self> {
        match version {
            1 => whole::<JobRecordV1>(rest).map(Into::into),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum JobKindRecord {
    Recover { subscription: IdBytes, since: i64 },
    Retry(DeliveryFilterRecord),
    Cancel(DeliveryFilterRecord),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DeliveryFilterRecord {
    state: Option<ShownStateRecord>,
    subscription: Option<IdBytes>,
    event: Option<IdBytes>,
    event_type: Option<String>,
    since: Option<i64>,
    until: Option<i64>,
    http_status: Option<u16>,
}

impl From<&DeliveryFilter> for DeliveryFilterRecord {
    fn from(filter: &DeliveryFilter) -> Self {
        let DeliveryFilter { state, subscription, event, event_type, since, until, http_status } = filter;
        Self {
            state: state.map(Into::into),
            subscription: subscription.map(SubscriptionId::to_bytes),
            event: event.map(EventId::to_bytes),
            event_type: event_type.as_ref().map(|name| name.as_str().to_owned()),
            since: millis(*since),
            until: millis(*until),
            http_status: *http_status,
        }
    }
}

impl DeliveryFilterRecord {
    fn into_domain(self) -> Option<DeliveryFilter> {
        let Self { state, subscription, event, event_type, since, until, http_status } = self;
        Some(DeliveryFilter {
            state: state.map(Into::into),
            subscription: subscription.map(SubscriptionId::from_bytes),
            event: event.map(EventId::from_bytes),
            event_type: event_type.map(|name| name.parse()).transpose().ok()?,
            since: timestamp(since),
            until: timestamp(until),
            http_status,
        })
    }
}

impl From<&Job> for JobRecord {
    fn from(job: &Job) -> Self {
        let Job { id: _, tenant, key, kind, state, counted, is_counted, done, skipped, created_at, finished_at } = job;
        Self {
            tenant: tenant.to_bytes(),
            kind: match kind {
                JobKind::Recover { subscription, since } => {
                    JobKindRecord::Recover { subscription: subscription.to_bytes(), since: since.as_millis() }
                }
                JobKind::Retry(filter) => JobKindRecord::Retry(filter.into()),
                JobKind::Cancel(filter) => JobKindRecord::Cancel(filter.into()),
            },
            state: (*state).into(),
            counted: *counted,
            is_counted: *is_counted,
            done: *done,
            skipped: *skipped,
            created_at: created_at.as_millis(),
            finished_at: millis(*finished_at),
            key: key.map(KeyId::to_bytes),
        }
    }
}

impl JobRecord {
    pub(in crate::store) fn into_domain(self, id: JobId) -> Option<Job> {
        let Self { tenant, kind, state, counted, is_counted, done, skipped, created_at, finished_at, key } = self;
        Some(Job {
            id,
            tenant: TenantId::from_bytes(tenant),
            key: key.map(KeyId::from_bytes),
            kind: match kind {
                JobKindRecord::Recover { subscription, since } => JobKind::Recover {
                    subscription: SubscriptionId::from_bytes(subscription),
                    since: Timestamp::from_millis(since),
                },
                JobKindRecord::Retry(filter) => JobKind::Retry(filter.into_domain()?),
                JobKindRecord::Cancel(filter) => JobKind::Cancel(filter.into_domain()?),
            },
            state: state.into(),
            counted,
            is_counted,
            done,
            skipped,
            created_at: Timestamp::from_millis(created_at),
            finished_at: timestamp(finished_at),
        })
    }
}
