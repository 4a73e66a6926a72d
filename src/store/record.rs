//! What a value looks like on disk: a version byte, then postcard of a private struct; and how it becomes a domain value.
//!
//! Conversions take every struct apart completely, so that a new field cannot be forgotten. A record that changes gets
//! a new version; the old struct stays to read old rows.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::StoredAnswer;
use super::crypt::{Crypt, Sealed};
use crate::domain::delivery::{
    Attempt, CanceledReason, Delivery, ErrorClass, ExhaustedReason, Outcome, Phases, Response, RetryReason, State,
    Trigger,
};
use crate::domain::event::Event;
use crate::domain::event_type::EventType;
use crate::domain::health::Health;
use crate::domain::id::{AttemptId, DeliveryId, EventId, KeyId, SubscriptionId, TenantId};
use crate::domain::key::{ApiKey, KeyHash, Preset, Quota, RateLimits, Scopes};
use crate::domain::profile::Profile;
use crate::domain::secret::Secret;
use crate::domain::subscription::{DisabledReason, Envelope, PreviousSecret, Subscription};
use crate::domain::target::TargetUrl;
use crate::domain::tenant::Tenant;
use crate::domain::time::Timestamp;

/// Something that can be the value of a row.
pub(super) trait Value: Sized {
    fn encode(&self) -> Vec<u8>;
    /// None when the bytes are no such value.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// A record, and the version that is written today.
pub(super) trait Record: Serialize + DeserializeOwned {
    const VERSION: u8 = 1;
}

impl<R: Record> Value for R {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        bytes.push(R::VERSION);
        postcard::to_extend(self, bytes).expect("a record has nothing that postcard cannot write")
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        if *version != R::VERSION {
            return None;
        }
        match postcard::take_from_bytes(rest) {
            Ok((record, [])) => Some(record),
            Ok(_) | Err(_) => None,
        }
    }
}

impl Value for () {
    fn encode(&self) -> Vec<u8> {
        Vec::new()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.is_empty().then_some(())
    }
}

/// The version byte of values that are plain bytes.
pub(super) const RAW_VERSION: u8 = 1;

macro_rules! raw_values {
    ($($(#[$doc:meta])* $name:ident($bytes:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(super) struct $name(pub $bytes);

        impl Value for $name {
            fn encode(&self) -> Vec<u8> {
                let mut bytes = Vec::with_capacity(1 + self.0.len());
                bytes.push(RAW_VERSION);
                bytes.extend_from_slice(&self.0);
                bytes
            }

            fn decode(bytes: &[u8]) -> Option<Self> {
                match bytes.split_first()? {
                    (&RAW_VERSION, rest) => Some(Self(rest.to_vec().into())),
                    _ => None,
                }
            }
        }
    )*};
}

raw_values! {
    /// The data of an event, byte for byte.
    Payload(Bytes);
    MetaValue(Vec<u8>);
}

type IdBytes = [u8; 16];

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IdRecord(pub IdBytes);
impl Record for IdRecord {}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UsedRecord {
    pub at: i64,
}
impl Record for UsedRecord {}

/// How far a piece of background work came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WorkRecord {
    pub stage: u8,
    pub cursor: IdBytes,
    /// Where the stage ends.
    pub until: IdBytes,
}
impl Record for WorkRecord {}

/// A domain enum without fields and its twin on disk, converted by exhaustive `match`. The order is the format:
/// new members go to the end.
macro_rules! twins {
    ($($domain:ident = $record:ident { $($member:ident),* $(,)? })*) => {$(
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub(super) enum $record { $($member),* }

        impl From<$domain> for $record {
            fn from(value: $domain) -> Self {
                match value { $($domain::$member => Self::$member),* }
            }
        }

        impl From<$record> for $domain {
            fn from(value: $record) -> Self {
                match value { $($record::$member => Self::$member),* }
            }
        }
    )*};
}

twins! {
    RetryReason = RetryReasonRecord { Schedule, RetryAfter, Manual }
    ExhaustedReason = ExhaustedReasonRecord { Schedule, Gone, Aborted }
    CanceledReason = CanceledReasonRecord { Manual, SubscriptionDeleted, SubscriptionGone, PayloadExpired }
    Trigger = TriggerRecord { Schedule, Manual }
    ErrorClass = ErrorClassRecord { BlockedAddress, Dns, Connect, Tls, Timeout, Http }
    Profile = ProfileRecord { Standard, Mage }
    Envelope = EnvelopeRecord { Profile, Raw }
    DisabledReason = DisabledReasonRecord { Gone }
    Preset = PresetRecord { FullAccess, ReadOnly, PublishOnly, Subscriber }
}

fn millis(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_millis)
}

fn timestamp(millis: Option<i64>) -> Option<Timestamp> {
    millis.map(Timestamp::from_millis)
}

// -- configuration

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TenantRecord {
    external_id: Option<String>,
    name: String,
    profile: ProfileRecord,
    metadata: BTreeMap<String, String>,
    subscriptions_max: u32,
    revision: u32,
    created_at: i64,
    updated_at: i64,
}
impl Record for TenantRecord {}

impl From<&Tenant> for TenantRecord {
    fn from(tenant: &Tenant) -> Self {
        let Tenant { id: _, external_id, name, profile, metadata, subscriptions_max, revision, created_at, updated_at } =
            tenant;
        Self {
            external_id: external_id.as_ref().map(|id| id.as_str().to_owned()),
            name: name.clone(),
            profile: (*profile).into(),
            metadata: metadata.clone(),
            subscriptions_max: *subscriptions_max,
            revision: *revision,
            created_at: created_at.as_millis(),
            updated_at: updated_at.as_millis(),
        }
    }
}

impl TenantRecord {
    pub(super) fn into_domain(self, id: TenantId) -> Option<Tenant> {
        let Self { external_id, name, profile, metadata, subscriptions_max, revision, created_at, updated_at } = self;
        Some(Tenant {
            id,
            external_id: external_id.map(|text| text.parse()).transpose().ok()?,
            name,
            profile: profile.into(),
            metadata,
            subscriptions_max,
            revision,
            created_at: Timestamp::from_millis(created_at),
            updated_at: Timestamp::from_millis(updated_at),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum QuotaRecord {
    InstanceDefault,
    PerSecond(std::num::NonZeroU32),
    Unlimited,
}

impl From<Quota> for QuotaRecord {
    fn from(quota: Quota) -> Self {
        match quota {
            Quota::InstanceDefault => Self::InstanceDefault,
            Quota::PerSecond(n) => Self::PerSecond(n),
            Quota::Unlimited => Self::Unlimited,
        }
    }
}

impl From<QuotaRecord> for Quota {
    fn from(quota: QuotaRecord) -> Self {
        match quota {
            QuotaRecord::InstanceDefault => Self::InstanceDefault,
            QuotaRecord::PerSecond(n) => Self::PerSecond(n),
            QuotaRecord::Unlimited => Self::Unlimited,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyRecord {
    name: String,
    hash: [u8; 32],
    tenant: Option<IdBytes>,
    scopes: u32,
    preset: Option<PresetRecord>,
    management: QuotaRecord,
    publish: QuotaRecord,
    expires_at: Option<i64>,
    revoked_at: Option<i64>,
    created_at: i64,
}
impl Record for KeyRecord {}

impl From<&ApiKey> for KeyRecord {
    fn from(key: &ApiKey) -> Self {
        let ApiKey { id: _, name, hash, tenant, scopes, preset, rate_limits, expires_at, revoked_at, created_at } = key;
        let RateLimits { management, publish } = *rate_limits;
        Self {
            name: name.clone(),
            hash: hash.0,
            tenant: tenant.map(TenantId::to_bytes),
            scopes: scopes.bits(),
            preset: preset.map(Into::into),
            management: management.into(),
            publish: publish.into(),
            expires_at: millis(*expires_at),
            revoked_at: millis(*revoked_at),
            created_at: created_at.as_millis(),
        }
    }
}

impl KeyRecord {
    pub(super) fn into_domain(self, id: KeyId) -> ApiKey {
        let Self { name, hash, tenant, scopes, preset, management, publish, expires_at, revoked_at, created_at } = self;
        ApiKey {
            id,
            name,
            hash: KeyHash(hash),
            tenant: tenant.map(TenantId::from_bytes),
            scopes: Scopes::from_bits(scopes),
            preset: preset.map(Into::into),
            rate_limits: RateLimits { management: management.into(), publish: publish.into() },
            expires_at: timestamp(expires_at),
            revoked_at: timestamp(revoked_at),
            created_at: Timestamp::from_millis(created_at),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EventTypeRecord {
    description: Option<String>,
    schema: Option<String>,
    example: Option<String>,
    archived_at: Option<i64>,
    revision: u32,
    created_at: i64,
    updated_at: i64,
}
impl Record for EventTypeRecord {}

impl From<&EventType> for EventTypeRecord {
    fn from(event_type: &EventType) -> Self {
        let EventType { name: _, description, schema, example, archived_at, revision, created_at, updated_at } =
            event_type;
        Self {
            description: description.clone(),
            schema: schema.as_ref().map(|json| json.get().to_owned()),
            example: example.as_ref().map(|json| json.get().to_owned()),
            archived_at: millis(*archived_at),
            revision: *revision,
            created_at: created_at.as_millis(),
            updated_at: updated_at.as_millis(),
        }
    }
}

impl EventTypeRecord {
    pub(super) fn into_domain(self, name: crate::domain::event_type::EventTypeName) -> Option<EventType> {
        let Self { description, schema, example, archived_at, revision, created_at, updated_at } = self;
        Some(EventType {
            name,
            description,
            schema: schema.map(RawValue::from_string).transpose().ok()?,
            example: example.map(RawValue::from_string).transpose().ok()?,
            archived_at: timestamp(archived_at),
            revision,
            created_at: Timestamp::from_millis(created_at),
            updated_at: Timestamp::from_millis(updated_at),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SubscriptionRecord {
    pub tenant: IdBytes,
    url: String,
    events: Vec<String>,
    description: Option<String>,
    is_active: bool,
    disabled_reason: Option<DisabledReasonRecord>,
    max_in_flight: u8,
    timeout_seconds: u8,
    profile: ProfileRecord,
    envelope: EnvelopeRecord,
    metadata: BTreeMap<String, String>,
    secret: Sealed,
    secret_version: u32,
    previous_secret: Option<(Sealed, i64)>,
    revision: u32,
    created_at: i64,
    updated_at: i64,
    /// Set when it was deleted: the row stays while deliveries name it.
    pub deleted_at: Option<i64>,
    /// The id that it has in another API (imported or minted), by the API's number. None uses it yet.
    public_ids: Vec<(u8, String)>,
}
impl Record for SubscriptionRecord {}

/// What a subscription's secrets are sealed for, so that they cannot be swapped among rows or with each other.
fn secret_label(id: SubscriptionId, which: &str) -> Vec<u8> {
    [b"subscriptions/", which.as_bytes(), b"/", &id.to_bytes()[..]].concat()
}

impl SubscriptionRecord {
    pub(super) fn from_domain(subscription: &Subscription, crypt: &Crypt) -> Self {
        let Subscription {
            id,
            tenant,
            url,
            events,
            description,
            is_active,
            disabled_reason,
            max_in_flight,
            timeout_seconds,
            profile,
            envelope,
            metadata,
            secret,
            secret_version,
            previous_secret,
            revision,
            created_at,
            updated_at,
        } = subscription;
        let previous_secret = previous_secret.as_ref().map(|PreviousSecret { secret, expires_at }| {
            (crypt.seal(secret.bytes(), &secret_label(*id, "previous")), expires_at.as_millis())
        });
        Self {
            tenant: tenant.to_bytes(),
            url: url.as_str().to_owned(),
            events: events.iter().map(ToString::to_string).collect(),
            description: description.clone(),
            is_active: *is_active,
            disabled_reason: disabled_reason.map(Into::into),
            max_in_flight: *max_in_flight,
            timeout_seconds: *timeout_seconds,
            profile: (*profile).into(),
            envelope: (*envelope).into(),
            metadata: metadata.clone(),
            secret: crypt.seal(secret.bytes(), &secret_label(*id, "current")),
            secret_version: *secret_version,
            previous_secret,
            revision: *revision,
            created_at: created_at.as_millis(),
            updated_at: updated_at.as_millis(),
            deleted_at: None,
            public_ids: Vec::new(),
        }
    }

    pub(super) fn to_domain(&self, id: SubscriptionId, crypt: &Crypt) -> Option<Subscription> {
        let Self {
            tenant,
            url,
            events,
            description,
            is_active,
            disabled_reason,
            max_in_flight,
            timeout_seconds,
            profile,
            envelope,
            metadata,
            secret,
            secret_version,
            previous_secret,
            revision,
            created_at,
            updated_at,
            deleted_at: _,
            public_ids: _,
        } = self;
        let open = |sealed: &Sealed, which| {
            let bytes = crypt.open(sealed, &secret_label(id, which))?;
            Secret::from_bytes(bytes.to_vec()).ok()
        };
        let previous_secret = match previous_secret {
            None => None,
            Some((sealed, expires_at)) => Some(PreviousSecret {
                secret: open(sealed, "previous")?,
                expires_at: Timestamp::from_millis(*expires_at),
            }),
        };
        Some(Subscription {
            id,
            tenant: TenantId::from_bytes(*tenant),
            url: TargetUrl::from_stored(url)?,
            events: events.iter().map(|text| text.parse()).collect::<Result<_, _>>().ok()?,
            description: description.clone(),
            is_active: *is_active,
            disabled_reason: disabled_reason.map(Into::into),
            max_in_flight: *max_in_flight,
            timeout_seconds: *timeout_seconds,
            profile: (*profile).into(),
            envelope: (*envelope).into(),
            metadata: metadata.clone(),
            secret: open(secret, "current")?,
            secret_version: *secret_version,
            previous_secret,
            revision: *revision,
            created_at: Timestamp::from_millis(*created_at),
            updated_at: Timestamp::from_millis(*updated_at),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HealthRecord {
    consecutive_failures: u32,
    failing_since: Option<i64>,
    last_delivery_at: Option<i64>,
    last_delivery_succeeded: Option<bool>,
}
impl Record for HealthRecord {}

impl From<Health> for HealthRecord {
    fn from(health: Health) -> Self {
        let Health { consecutive_failures, failing_since, last_delivery_at, last_delivery_succeeded } = health;
        Self {
            consecutive_failures,
            failing_since: millis(failing_since),
            last_delivery_at: millis(last_delivery_at),
            last_delivery_succeeded,
        }
    }
}

impl From<HealthRecord> for Health {
    fn from(record: HealthRecord) -> Self {
        let HealthRecord { consecutive_failures, failing_since, last_delivery_at, last_delivery_succeeded } = record;
        Self {
            consecutive_failures,
            failing_since: timestamp(failing_since),
            last_delivery_at: timestamp(last_delivery_at),
            last_delivery_succeeded,
        }
    }
}

// -- what happened

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EventRecord {
    pub tenant: IdBytes,
    event_type: String,
    pub external_id: Option<String>,
    occurred_at: i64,
    pub created_at: i64,
    /// Rows in `deliveries` that name it.
    pub deliveries: u32,
    data_bytes: u32,
    /// SHA-256 of the data, kept with an external id: a repeat is compared after the data is gone.
    pub data_sha256: Option<[u8; 32]>,
}
impl Record for EventRecord {}

impl EventRecord {
    pub(super) fn from_domain(event: &Event, data_sha256: Option<[u8; 32]>) -> Self {
        let Event { id: _, tenant, event_type, external_id, occurred_at, created_at, deliveries, data_bytes } = event;
        Self {
            tenant: tenant.to_bytes(),
            event_type: event_type.as_str().to_owned(),
            external_id: external_id.as_ref().map(|id| id.as_str().to_owned()),
            occurred_at: occurred_at.as_millis(),
            created_at: created_at.as_millis(),
            deliveries: *deliveries,
            data_bytes: *data_bytes,
            data_sha256,
        }
    }

    pub(super) fn into_domain(self, id: EventId) -> Option<Event> {
        let Self { tenant, event_type, external_id, occurred_at, created_at, deliveries, data_bytes, data_sha256: _ } =
            self;
        Some(Event {
            id,
            tenant: TenantId::from_bytes(tenant),
            event_type: event_type.parse().ok()?,
            external_id: external_id.map(|text| text.parse()).transpose().ok()?,
            occurred_at: Timestamp::from_millis(occurred_at),
            created_at: Timestamp::from_millis(created_at),
            deliveries,
            data_bytes,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum StateRecord {
    Pending { next_attempt_at: i64 },
    Retrying { next_attempt_at: i64, reason: RetryReasonRecord },
    Succeeded,
    Exhausted { reason: ExhaustedReasonRecord },
    Canceled { reason: CanceledReasonRecord },
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
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DeliveryRecord {
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
}
impl Record for DeliveryRecord {}

impl DeliveryRecord {
    pub(super) fn from_domain(delivery: &Delivery, is_parked: bool) -> Self {
        let Delivery {
            id: _,
            event,
            subscription,
            tenant,
            event_type,
            state,
            attempts,
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
        }
    }

    pub(super) fn into_domain(self, id: DeliveryId) -> Option<Delivery> {
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
        } = self;
        Some(Delivery {
            id,
            event: EventId::from_bytes(event),
            subscription: SubscriptionId::from_bytes(subscription),
            tenant: TenantId::from_bytes(tenant),
            event_type: event_type.parse().ok()?,
            state: state.into(),
            attempts,
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
pub(super) struct AttemptRecord {
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
    pub(super) fn into_domain(self, delivery: DeliveryId, number: u16) -> Attempt {
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

// -- remembered answers

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum BodyRecord {
    Plain(Bytes),
    /// It shows a secret.
    Sealed(SecretOwnerRecord, Sealed),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum SecretOwnerRecord {
    Subscription(IdBytes),
    Key(IdBytes),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AnswerRecord {
    pub body_sha256: [u8; 32],
    /// The key that asked.
    pub key: IdBytes,
    pub created_at: i64,
    status: u16,
    headers: Vec<(String, String)>,
    body: BodyRecord,
}
impl Record for AnswerRecord {}

fn answer_label(request: super::RequestName) -> Vec<u8> {
    [b"answers/", &request.0[..]].concat()
}

impl AnswerRecord {
    pub(super) fn from_domain(
        answer: StoredAnswer,
        request: super::RequestName,
        body_sha256: [u8; 32],
        key: KeyId,
        created_at: Timestamp,
        crypt: &Crypt,
    ) -> Self {
        let StoredAnswer { status, headers, body, shows_secret_of } = answer;
        let body = match shows_secret_of {
            None => BodyRecord::Plain(body),
            Some(owner) => {
                let owner = match owner {
                    super::SecretOwner::Subscription(id) => SecretOwnerRecord::Subscription(id.to_bytes()),
                    super::SecretOwner::Key(id) => SecretOwnerRecord::Key(id.to_bytes()),
                };
                BodyRecord::Sealed(owner, crypt.seal(&body, &answer_label(request)))
            }
        };
        Self { body_sha256, key: key.to_bytes(), created_at: created_at.as_millis(), status, headers, body }
    }

    pub(super) fn shows_secret_of(&self) -> Option<super::SecretOwner> {
        match &self.body {
            BodyRecord::Plain(_) => None,
            BodyRecord::Sealed(SecretOwnerRecord::Subscription(id), _) => {
                Some(super::SecretOwner::Subscription(SubscriptionId::from_bytes(*id)))
            }
            BodyRecord::Sealed(SecretOwnerRecord::Key(id), _) => Some(super::SecretOwner::Key(KeyId::from_bytes(*id))),
        }
    }

    pub(super) fn into_domain(self, request: super::RequestName, crypt: &Crypt) -> Option<StoredAnswer> {
        let shows_secret_of = self.shows_secret_of();
        let Self { body_sha256: _, key: _, created_at: _, status, headers, body } = self;
        let body = match body {
            BodyRecord::Plain(body) => body,
            BodyRecord::Sealed(_, sealed) => Bytes::copy_from_slice(&crypt.open(&sealed, &answer_label(request))?),
        };
        Some(StoredAnswer { status, headers, body, shows_secret_of })
    }
}
