//! What happened, on disk: events, deliveries, attempts.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::earlier::EventRecordV1;
use super::{
    CanceledReasonRecord, ErrorClassRecord, ExhaustedReasonRecord, ExpiredReasonRecord, IdBytes, Record,
    RetryReasonRecord, TriggerRecord, millis, timestamp, whole,
};
use crate::domain::delivery::{Attempt, Delivery, Outcome, Phases, Response, State};
use crate::domain::event::Event;
use crate::domain::event_type::EventTypeKey;
use crate::domain::id::{AttemptId, DeliveryId, EventId, SubscriptionId, TenantId};
use crate::domain::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct EventRecord {
    pub tenant: IdBytes,
    pub(super) event_type: String,
    pub external_id: Option<String>,
    pub(super) occurred_at: i64,
    pub created_at: i64,
    /// Rows in `deliveries` that name it.
    pub deliveries: u32,
    pub(super) data_bytes: u32,
    /// SHA-256 of the data, kept with an external id: a repeat is compared after the data is gone.
    pub data_sha256: Option<[u8; 32]>,
    pub(super) channels: Vec<String>,
    pub(super) deliver_at: Option<i64>,
    pub(super) replay_of: Option<IdBytes>,
}
impl EventRecord {
    pub(in crate::store) fn event_type_key(&self) -> EventTypeKey {
        EventTypeKey::of(&self.event_type)
    }
}

impl Record for EventRecord {
    const VERSION: u8 = 2;

    fn decode_earlier(version: u8, rest: &[u8]) -> Option<Self> {
        match version {
            1 => whole::<EventRecordV1>(rest).map(Into::into),
            _ => None,
        }
    }
}

impl EventRecord {
    pub(in crate::store) fn from_domain(event: &Event, data_sha256: Option<[u8; 32]>) -> Self {
        let Event {
            id: _,
            tenant,
            event_type,
            external_id,
            occurred_at,
            created_at,
            deliveries,
            data_bytes,
            channels,
            deliver_at,
            replay_of,
        } = event;
        Self {
            tenant: tenant.to_bytes(),
            event_type: event_type.as_str().to_owned(),
            external_id: external_id.as_ref().map(|id| id.as_str().to_owned()),
            occurred_at: occurred_at.as_millis(),
            created_at: created_at.as_millis(),
            deliveries: *deliveries,
            data_bytes: *data_bytes,
            data_sha256,
            channels: channels.iter().map(ToString::to_string).collect(),
            deliver_at: millis(*deliver_at),
            replay_of: replay_of.map(EventId::to_bytes),
        }
    }

    pub(in crate::store) fn into_domain(self, id: EventId) -> Option<Event> {
        let Self {
            tenant,
            event_type,
            external_id,
            occurred_at,
            created_at,
            deliveries,
            data_bytes,
            data_sha256: _,
            channels,
            deliver_at,
            replay_of,
        } = self;
        Some(Event {
            id,
            tenant: TenantId::from_bytes(tenant),
            event_type: event_type.parse().ok()?,
            external_id: external_id.map(|text| text.parse()).transpose().ok()?,
            occurred_at: Timestamp::from_millis(occurred_at),
            created_at: Timestamp::from_millis(created_at),
            deliveries,
            data_bytes,
            channels: channels.iter().map(|text| text.parse()).collect::<Result<_, _>>().ok()?,
            deliver_at: timestamp(deliver_at),
            replay_of: replay_of.map(EventId::from_bytes),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) enum StateRecord {
    Pending { next_attempt_at: i64 },
    Retrying { next_attempt_at: i64, reason: RetryReasonRecord },
    Succeeded,
    Exhausted { reason: ExhaustedReasonRecord },
    Canceled { reason: CanceledReasonRecord },
    Expired { reason: ExpiredReasonRecord },
}

impl From<State> for StateRecord {
    fn from(state: State) -> Self {
        match state {
            State::Pending { next_attempt_at } => Self::Pending { next_attempt_at: next_attempt_at.as_millis() },
            State::Retrying { next_attempt_at, reason } => {
                Self::Retrying { next_attempt_at: next_attempt_at.as_millis(), reason: reason.into() }
            }
            State::Succeeded => Self::Succeeded,
            State::Exhausted { reason } => Self::Exhausted { reason: reason.into() },
            State::Canceled { reason } => Self::Canceled { reason: reason.into() },
            State::Expired { reason } => Self::Expired { reason: reason.into() },
        }
    }
}

impl From<StateRecord> for State {
    fn from(state: StateRecord) -> Self {
        match state {
            StateRecord::Pending { next_attempt_at } => {
                Self::Pending { next_attempt_at: Timestamp::from_millis(next_attempt_at) }
            }
            StateRecord::Retrying { next_attempt_at, reason } => {
                Self::Retrying { next_attempt_at: Timestamp::from_millis(next_attempt_at), reason: reason.into() }
            }
            StateRecord::Succeeded => Self::Succeeded,
            StateRecord::Exhausted { reason } => Self::Exhausted { reason: reason.into() },
            StateRecord::Canceled { reason } => Self::Canceled { reason: reason.into() },
            StateRecord::Expired { reason } => Self::Expired { reason: reason.into() },
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct DeliveryRecord {
    pub event: IdBytes,
    pub subscription: IdBytes,
    pub tenant: IdBytes,
    event_type: String,
    pub state: StateRecord,
    attempts: u16,
    last_http_status: Option<u16>,
    created_at: i64,
    updated_at: i64,
    /// Whether it has a `due` row and an `open` row. A fresh one has none: it is in the dispatcher's memory, and
    /// found again by its place after the watermark.
    pub is_parked: bool,
    attempts_uncounted: u16,
}

impl Record for DeliveryRecord {
    const VERSION: u8 = 2;

    fn decode_earlier(version: u8, rest: &[u8]) -> Option<Self> {
        (version == 1).then(|| whole::<DeliveryRecordV1>(rest)).flatten().map(Into::into)
    }
}

/// Before attempts could be made that the schedule does not count.
#[derive(Deserialize)]
struct DeliveryRecordV1 {
    event: IdBytes,
    subscription: IdBytes,
    tenant: IdBytes,
    event_type: String,
    state: StateRecord,
    attempts: u16,
    last_http_status: Option<u16>,
    created_at: i64,
    updated_at: i64,
    is_parked: bool,
}

impl From<DeliveryRecordV1> for DeliveryRecord {
    fn from(record: DeliveryRecordV1) -> Self {
        let DeliveryRecordV1 {
            event,
            subscription,
            tenant,
            event_type,
            state,
            attempts,
            last_http_status,
            created_at,
            updated_at,
            is_parked,
        } = record;
        Self {
            event,
            subscription,
            tenant,
            event_type,
            state,
            attempts,
            last_http_status,
            created_at,
            updated_at,
            is_parked,
            attempts_uncounted: 0,
        }
    }
}

impl DeliveryRecord {
    pub(in crate::store) fn from_domain(delivery: &Delivery, is_parked: bool) -> Self {
        let Delivery {
            id: _,
            event,
            subscription,
            tenant,
            event_type,
            state,
            attempts,
            attempts_uncounted,
            last_http_status,
            created_at,
            updated_at,
        } = delivery;
        Self {
            event: event.to_bytes(),
            subscription: subscription.to_bytes(),
            tenant: tenant.to_bytes(),
            event_type: event_type.as_str().to_owned(),
            state: (*state).into(),
            attempts: *attempts,
            last_http_status: *last_http_status,
            created_at: created_at.as_millis(),
            updated_at: updated_at.as_millis(),
            is_parked,
            attempts_uncounted: *attempts_uncounted,
        }
    }

    pub(in crate::store) fn into_domain(self, id: DeliveryId) -> Option<Delivery> {
        let Self {
            event,
            subscription,
            tenant,
            event_type,
            state,
            attempts,
            last_http_status,
            created_at,
            updated_at,
            is_parked: _,
            attempts_uncounted,
        } = self;
        Some(Delivery {
            id,
            event: EventId::from_bytes(event),
            subscription: SubscriptionId::from_bytes(subscription),
            tenant: TenantId::from_bytes(tenant),
            event_type: event_type.parse().ok()?,
            state: state.into(),
            attempts,
            attempts_uncounted,
            last_http_status,
            created_at: Timestamp::from_millis(created_at),
            updated_at: Timestamp::from_millis(updated_at),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum OutcomeRecord {
    Success,
    Status(u16),
    Error { class: ErrorClassRecord, detail: String },
}

/// Microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct PhasesRecord {
    dns: Option<u64>,
    connect: Option<u64>,
    tls: Option<u64>,
    first_byte: Option<u64>,
    total: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ResponseRecord {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
    body_truncated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct AttemptRecord {
    id: IdBytes,
    trigger: TriggerRecord,
    started_at: i64,
    outcome: OutcomeRecord,
    phases: PhasesRecord,
    request_headers: Vec<(String, String)>,
    request_body_sha256: [u8; 32],
    request_body_bytes: u32,
    secret_version: u32,
    response: Option<ResponseRecord>,
    remote_address: Option<SocketAddr>,
}
impl Record for AttemptRecord {}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl From<Attempt> for AttemptRecord {
    fn from(attempt: Attempt) -> Self {
        let Attempt {
            id,
            delivery: _,
            number: _,
            trigger,
            started_at,
            outcome,
            phases,
            request_headers,
            request_body_sha256,
            request_body_bytes,
            secret_version,
            response,
            remote_address,
        } = attempt;
        let Phases { dns, connect, tls, first_byte, total } = phases;
        Self {
            id: id.to_bytes(),
            trigger: trigger.into(),
            started_at: started_at.as_millis(),
            outcome: match outcome {
                Outcome::Success => OutcomeRecord::Success,
                Outcome::Status(status) => OutcomeRecord::Status(status),
                Outcome::Error { class, detail } => OutcomeRecord::Error { class: class.into(), detail },
            },
            phases: PhasesRecord {
                dns: dns.map(micros),
                connect: connect.map(micros),
                tls: tls.map(micros),
                first_byte: first_byte.map(micros),
                total: micros(total),
            },
            request_headers,
            request_body_sha256,
            request_body_bytes,
            secret_version,
            response: response.map(|Response { status, headers, body, body_truncated }| ResponseRecord {
                status,
                headers,
                body,
                body_truncated,
            }),
            remote_address,
        }
    }
}

impl AttemptRecord {
    pub(in crate::store) fn into_domain(self, delivery: DeliveryId, number: u16) -> Attempt {
        let Self {
            id,
            trigger,
            started_at,
            outcome,
            phases,
            request_headers,
            request_body_sha256,
            request_body_bytes,
            secret_version,
            response,
            remote_address,
        } = self;
        let PhasesRecord { dns, connect, tls, first_byte, total } = phases;
        Attempt {
            id: AttemptId::from_bytes(id),
            delivery,
            number,
            trigger: trigger.into(),
            started_at: Timestamp::from_millis(started_at),
            outcome: match outcome {
                OutcomeRecord::Success => Outcome::Success,
                OutcomeRecord::Status(status) => Outcome::Status(status),
                OutcomeRecord::Error { class, detail } => Outcome::Error { class: class.into(), detail },
            },
            phases: Phases {
                dns: dns.map(Duration::from_micros),
                connect: connect.map(Duration::from_micros),
                tls: tls.map(Duration::from_micros),
                first_byte: first_byte.map(Duration::from_micros),
                total: Duration::from_micros(total),
            },
            request_headers,
            request_body_sha256,
            request_body_bytes,
            secret_version,
            response: response.map(|ResponseRecord { status, headers, body, body_truncated }| Response {
                status,
                headers,
                body,
                body_truncated,
            }),
            remote_address,
        }
    }
}
