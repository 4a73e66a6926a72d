//! What the file holds: versioned bytes ⇄ domain values. The first byte of each record is its version.
//!
//! A record type changes by a new version beside the old one, never in place: files of every earlier version open.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::crypt::Cipher;
use super::{SecretOwner, StoreError, StoredAnswer};
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

const VERSION: u8 = 1;

/// A record that cannot be read: damage, or a file of a newer program.
fn damaged(what: &str) -> StoreError {
    StoreError::Unavailable(format!("a record of {what} cannot be read"))
}

fn write(record: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(record, vec![VERSION]).expect("records hold nothing that postcard refuses")
}

fn read<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, StoreError> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| damaged(what)),
        _ => Err(damaged(what)),
    }
}

type Millis = i64;

fn millis(at: Option<Timestamp>) -> Option<Millis> {
    at.map(Timestamp::as_millis)
}

fn at(millis: Option<Millis>) -> Option<Timestamp> {
    millis.map(Timestamp::from_millis)
}

// -- configuration

#[derive(Serialize, Deserialize)]
struct TenantRecord {
    external_id: Option<String>,
    name: String,
    profile: u8,
    metadata: BTreeMap<String, String>,
    subscriptions_max: u32,
    revision: u32,
    created_at: Millis,
    updated_at: Millis,
}

fn profile_number(profile: Profile) -> u8 {
    match profile {
        Profile::Standard => 0,
        Profile::Mage => 1,
    }
}

fn profile(number: u8) -> Option<Profile> {
    Profile::ALL.into_iter().find(|profile| profile_number(*profile) == number)
}

pub(super) fn write_tenant(tenant: &Tenant) -> Vec<u8> {
    let Tenant { id: _, external_id, name, profile, metadata, subscriptions_max, revision, created_at, updated_at } =
        tenant.clone();
    write(&TenantRecord {
        external_id: external_id.map(|id| id.to_string()),
        name,
        profile: profile_number(profile),
        metadata,
        subscriptions_max,
        revision,
        created_at: created_at.as_millis(),
        updated_at: updated_at.as_millis(),
    })
}

pub(super) fn read_tenant(id: TenantId, bytes: &[u8]) -> Result<Tenant, StoreError> {
    let TenantRecord {
        external_id,
        name,
        profile: number,
        metadata,
        subscriptions_max,
        revision,
        created_at,
        updated_at,
    } = read(bytes, "a tenant")?;
    Ok(Tenant {
        id,
        external_id: external_id.map(|id| id.parse()).transpose().map_err(|_| damaged("a tenant"))?,
        name,
        profile: profile(number).ok_or_else(|| damaged("a tenant"))?,
        metadata,
        subscriptions_max,
        revision,
        created_at: Timestamp::from_millis(created_at),
        updated_at: Timestamp::from_millis(updated_at),
    })
}

#[derive(Serialize, Deserialize)]
struct KeyRecord {
    name: String,
    hash: [u8; 32],
    tenant: Option<u128>,
    scopes: u32,
    preset: Option<u8>,
    management: QuotaRecord,
    publish: QuotaRecord,
    expires_at: Option<Millis>,
    revoked_at: Option<Millis>,
    created_at: Millis,
}

#[derive(Serialize, Deserialize)]
enum QuotaRecord {
    InstanceDefault,
    PerSecond(std::num::NonZeroU32),
    Unlimited,
}

impl QuotaRecord {
    fn of(quota: Quota) -> Self {
        match quota {
            Quota::InstanceDefault => Self::InstanceDefault,
            Quota::PerSecond(n) => Self::PerSecond(n),
            Quota::Unlimited => Self::Unlimited,
        }
    }

    fn quota(self) -> Quota {
        match self {
            Self::InstanceDefault => Quota::InstanceDefault,
            Self::PerSecond(n) => Quota::PerSecond(n),
            Self::Unlimited => Quota::Unlimited,
        }
    }
}

pub(super) fn write_key(key: &ApiKey) -> Vec<u8> {
    let ApiKey { id: _, name, hash, tenant, scopes, preset, rate_limits, expires_at, revoked_at, created_at } =
        key.clone();
    let RateLimits { management, publish } = rate_limits;
    write(&KeyRecord {
        name,
        hash: hash.0,
        tenant: tenant.map(TenantId::as_u128),
        scopes: scopes.bits(),
        preset: preset.and_then(|preset| Preset::ALL.iter().position(|known| *known == preset)).map(|n| n as u8),
        management: QuotaRecord::of(management),
        publish: QuotaRecord::of(publish),
        expires_at: millis(expires_at),
        revoked_at: millis(revoked_at),
        created_at: created_at.as_millis(),
    })
}

pub(super) fn read_key(id: KeyId, bytes: &[u8]) -> Result<ApiKey, StoreError> {
    let KeyRecord { name, hash, tenant, scopes, preset, management, publish, expires_at, revoked_at, created_at } =
        read(bytes, "a key")?;
    Ok(ApiKey {
        id,
        name,
        hash: KeyHash(hash),
        tenant: tenant.map(TenantId::from_u128),
        scopes: Scopes::from_bits(scopes),
        preset: preset.and_then(|n| Preset::ALL.get(usize::from(n)).copied()),
        rate_limits: RateLimits { management: management.quota(), publish: publish.quota() },
        expires_at: at(expires_at),
        revoked_at: at(revoked_at),
        created_at: Timestamp::from_millis(created_at),
    })
}

#[derive(Serialize, Deserialize)]
struct EventTypeRecord {
    description: Option<String>,
    schema: Option<String>,
    example: Option<String>,
    archived_at: Option<Millis>,
    revision: u32,
    created_at: Millis,
    updated_at: Millis,
}

pub(super) fn write_event_type(event_type: &EventType) -> Vec<u8> {
    let EventType { name: _, description, schema, example, archived_at, revision, created_at, updated_at } =
        event_type.clone();
    let text = |json: Option<Box<RawValue>>| json.map(|json| json.get().to_owned());
    write(&EventTypeRecord {
        description,
        schema: text(schema),
        example: text(example),
        archived_at: millis(archived_at),
        revision,
        created_at: created_at.as_millis(),
        updated_at: updated_at.as_millis(),
    })
}

pub(super) fn read_event_type(name: &[u8], bytes: &[u8]) -> Result<EventType, StoreError> {
    let what = "an event type";
    let EventTypeRecord { description, schema, example, archived_at, revision, created_at, updated_at } =
        read(bytes, what)?;
    let json = |text: Option<String>| text.map(RawValue::from_string).transpose().map_err(|_| damaged(what));
    let name = std::str::from_utf8(name).map_err(|_| damaged(what))?;
    Ok(EventType {
        name: name.parse().map_err(|_| damaged(what))?,
        description,
        schema: json(schema)?,
        example: json(example)?,
        archived_at: at(archived_at),
        revision,
        created_at: Timestamp::from_millis(created_at),
        updated_at: Timestamp::from_millis(updated_at),
    })
}

#[derive(Serialize, Deserialize)]
struct SubscriptionRecord {
    tenant: u128,
    url: String,
    events: Vec<String>,
    description: Option<String>,
    is_active: bool,
    disabled_reason: Option<u8>,
    max_in_flight: u8,
    timeout_seconds: u8,
    profile: u8,
    is_raw: bool,
    metadata: BTreeMap<String, String>,
    /// Encrypted.
    secret: Vec<u8>,
    secret_version: u32,
    /// Encrypted, and until when it signs.
    previous_secret: Option<(Vec<u8>, Millis)>,
    /// One public id for each API that has its own (contract 2).
    public_ids: Vec<(u8, String)>,
    revision: u32,
    created_at: Millis,
    updated_at: Millis,
    deleted_at: Option<Millis>,
}

/// A subscription as it is kept: also after it was deleted, while its history is.
pub(super) struct KeptSubscription {
    pub subscription: Subscription,
    pub deleted_at: Option<Timestamp>,
}

fn disabled_number(reason: DisabledReason) -> u8 {
    match reason {
        DisabledReason::Gone => 0,
    }
}

fn secret_belongs_to(id: SubscriptionId) -> Vec<u8> {
    [b"subscriptions/secret/".as_slice(), &id.to_bytes()].concat()
}

pub(super) fn write_subscription(kept: &KeptSubscription, cipher: &Cipher) -> Vec<u8> {
    let KeptSubscription { subscription, deleted_at } = kept;
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
    } = subscription.clone();
    let belongs_to = secret_belongs_to(id);
    write(&SubscriptionRecord {
        tenant: tenant.as_u128(),
        url: url.as_str().to_owned(),
        events: events.iter().map(ToString::to_string).collect(),
        description,
        is_active,
        disabled_reason: disabled_reason.map(disabled_number),
        max_in_flight,
        timeout_seconds,
        profile: profile_number(profile),
        is_raw: envelope == Envelope::Raw,
        metadata,
        secret: cipher.seal(secret.bytes(), &belongs_to),
        secret_version,
        previous_secret: previous_secret.map(|PreviousSecret { secret, expires_at }| {
            (cipher.seal(secret.bytes(), &belongs_to), expires_at.as_millis())
        }),
        public_ids: Vec::new(),
        revision,
        created_at: created_at.as_millis(),
        updated_at: updated_at.as_millis(),
        deleted_at: millis(*deleted_at),
    })
}

pub(super) fn read_subscription(
    id: SubscriptionId,
    bytes: &[u8],
    cipher: &Cipher,
) -> Result<KeptSubscription, StoreError> {
    let what = "a subscription";
    let SubscriptionRecord {
        tenant,
        url,
        events,
        description,
        is_active,
        disabled_reason,
        max_in_flight,
        timeout_seconds,
        profile: number,
        is_raw,
        metadata,
        secret,
        secret_version,
        previous_secret,
        public_ids: _,
        revision,
        created_at,
        updated_at,
        deleted_at,
    } = read(bytes, what)?;
    let belongs_to = secret_belongs_to(id);
    let open = |sealed: &[u8]| {
        let plain = cipher.open(sealed, &belongs_to).ok_or_else(|| damaged(what))?;
        Secret::from_bytes(plain.to_vec()).map_err(|_| damaged(what))
    };
    let previous_secret = match previous_secret {
        None => None,
        Some((sealed, expires_at)) => {
            Some(PreviousSecret { secret: open(&sealed)?, expires_at: Timestamp::from_millis(expires_at) })
        }
    };
    let disabled = |number: u8| [DisabledReason::Gone].into_iter().find(|one| disabled_number(*one) == number);
    let subscription = Subscription {
        id,
        tenant: TenantId::from_u128(tenant),
        url: TargetUrl::from_stored(&url).ok_or_else(|| damaged(what))?,
        events: events.iter().map(|text| text.parse()).collect::<Result<_, _>>().map_err(|_| damaged(what))?,
        description,
        is_active,
        disabled_reason: disabled_reason.and_then(disabled),
        max_in_flight,
        timeout_seconds,
        profile: profile(number).ok_or_else(|| damaged(what))?,
        envelope: if is_raw { Envelope::Raw } else { Envelope::Profile },
        metadata,
        secret: open(&secret)?,
        secret_version,
        previous_secret,
        revision,
        created_at: Timestamp::from_millis(created_at),
        updated_at: Timestamp::from_millis(updated_at),
    };
    Ok(KeptSubscription { subscription, deleted_at: at(deleted_at) })
}

#[derive(Serialize, Deserialize)]
struct HealthRecord {
    consecutive_failures: u32,
    failing_since: Option<Millis>,
    last_delivery_at: Option<Millis>,
    last_delivery_succeeded: Option<bool>,
}

pub(super) fn write_health(health: &Health) -> Vec<u8> {
    let Health { consecutive_failures, failing_since, last_delivery_at, last_delivery_succeeded } = *health;
    write(&HealthRecord {
        consecutive_failures,
        failing_since: millis(failing_since),
        last_delivery_at: millis(last_delivery_at),
        last_delivery_succeeded,
    })
}

pub(super) fn read_health(bytes: &[u8]) -> Result<Health, StoreError> {
    let HealthRecord { consecutive_failures, failing_since, last_delivery_at, last_delivery_succeeded } =
        read(bytes, "a subscription's health")?;
    Ok(Health {
        consecutive_failures,
        failing_since: at(failing_since),
        last_delivery_at: at(last_delivery_at),
        last_delivery_succeeded,
    })
}

// -- what happened

#[derive(Serialize, Deserialize)]
struct EventRecord {
    tenant: [u8; 16],
    event_type: String,
    external_id: Option<String>,
    occurred_at: Millis,
    created_at: Millis,
    deliveries: u32,
    data_bytes: u32,
}

pub(super) fn write_event(event: &Event) -> Vec<u8> {
    let Event { id: _, tenant, event_type, external_id, occurred_at, created_at, deliveries, data_bytes } =
        event.clone();
    write(&EventRecord {
        tenant: tenant.to_bytes(),
        event_type: event_type.to_string(),
        external_id: external_id.map(|id| id.to_string()),
        occurred_at: occurred_at.as_millis(),
        created_at: created_at.as_millis(),
        deliveries,
        data_bytes,
    })
}

pub(super) fn read_event(id: EventId, bytes: &[u8]) -> Result<Event, StoreError> {
    let what = "an event";
    let EventRecord { tenant, event_type, external_id, occurred_at, created_at, deliveries, data_bytes } =
        read(bytes, what)?;
    Ok(Event {
        id,
        tenant: TenantId::from_bytes(tenant),
        event_type: event_type.parse().map_err(|_| damaged(what))?,
        external_id: external_id.map(|id| id.parse()).transpose().map_err(|_| damaged(what))?,
        occurred_at: Timestamp::from_millis(occurred_at),
        created_at: Timestamp::from_millis(created_at),
        deliveries,
        data_bytes,
    })
}

#[derive(Serialize, Deserialize)]
struct DeliveryRecord {
    event: [u8; 16],
    subscription: [u8; 16],
    tenant: [u8; 16],
    event_type: String,
    state: StateRecord,
    attempts: u16,
    last_http_status: Option<u16>,
    created_at: Millis,
    updated_at: Millis,
}

#[derive(Serialize, Deserialize)]
enum StateRecord {
    Pending(Millis),
    Retrying(Millis, RetryReasonRecord),
    Succeeded,
    Exhausted(ExhaustedReasonRecord),
    Canceled(CanceledReasonRecord),
}

/// A private twin of a domain enum: renaming or reordering the one does not move the bytes of the other.
macro_rules! twin {
    ($record:ident of $domain:ident { $($name:ident,)* }) => {
        #[derive(Serialize, Deserialize)]
        enum $record { $($name,)* }

        impl $record {
            fn of(value: $domain) -> Self {
                match value { $($domain::$name => Self::$name,)* }
            }

            fn value(self) -> $domain {
                match self { $(Self::$name => $domain::$name,)* }
            }
        }
    };
}

twin!(RetryReasonRecord of RetryReason { Schedule, RetryAfter, Manual, });
twin!(ExhaustedReasonRecord of ExhaustedReason { Schedule, Gone, Aborted, });
twin!(CanceledReasonRecord of CanceledReason { Manual, SubscriptionDeleted, SubscriptionGone, PayloadExpired, });
twin!(TriggerRecord of Trigger { Schedule, Manual, });
twin!(ErrorClassRecord of ErrorClass { BlockedAddress, Dns, Connect, Tls, Timeout, Http, });

pub(super) fn write_delivery(delivery: &Delivery) -> Vec<u8> {
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
    let state = match *state {
        State::Pending { next_attempt_at } => StateRecord::Pending(next_attempt_at.as_millis()),
        State::Retrying { next_attempt_at, reason } => {
            StateRecord::Retrying(next_attempt_at.as_millis(), RetryReasonRecord::of(reason))
        }
        State::Succeeded => StateRecord::Succeeded,
        State::Exhausted { reason } => StateRecord::Exhausted(ExhaustedReasonRecord::of(reason)),
        State::Canceled { reason } => StateRecord::Canceled(CanceledReasonRecord::of(reason)),
    };
    write(&DeliveryRecord {
        event: event.to_bytes(),
        subscription: subscription.to_bytes(),
        tenant: tenant.to_bytes(),
        event_type: event_type.to_string(),
        state,
        attempts: *attempts,
        last_http_status: *last_http_status,
        created_at: created_at.as_millis(),
        updated_at: updated_at.as_millis(),
    })
}

pub(super) fn read_delivery(id: DeliveryId, bytes: &[u8]) -> Result<Delivery, StoreError> {
    let what = "a delivery";
    let DeliveryRecord {
        event,
        subscription,
        tenant,
        event_type,
        state,
        attempts,
        last_http_status,
        created_at,
        updated_at,
    } = read(bytes, what)?;
    let state = match state {
        StateRecord::Pending(at) => State::Pending { next_attempt_at: Timestamp::from_millis(at) },
        StateRecord::Retrying(at, reason) => {
            State::Retrying { next_attempt_at: Timestamp::from_millis(at), reason: reason.value() }
        }
        StateRecord::Succeeded => State::Succeeded,
        StateRecord::Exhausted(reason) => State::Exhausted { reason: reason.value() },
        StateRecord::Canceled(reason) => State::Canceled { reason: reason.value() },
    };
    Ok(Delivery {
        id,
        event: EventId::from_bytes(event),
        subscription: SubscriptionId::from_bytes(subscription),
        tenant: TenantId::from_bytes(tenant),
        event_type: event_type.parse().map_err(|_| damaged(what))?,
        state,
        attempts,
        last_http_status,
        created_at: Timestamp::from_millis(created_at),
        updated_at: Timestamp::from_millis(updated_at),
    })
}

#[derive(Serialize, Deserialize)]
struct AttemptRecord {
    id: u128,
    trigger: TriggerRecord,
    started_at: Millis,
    outcome: OutcomeRecord,
    /// dns, connect, tls, first byte, total: microseconds.
    phases: (Option<u32>, Option<u32>, Option<u32>, Option<u32>, u32),
    request_headers: Vec<(String, String)>,
    request_body_sha256: [u8; 32],
    request_body_bytes: u32,
    secret_version: u32,
    response: Option<ResponseRecord>,
    remote_address: Option<SocketAddr>,
}

#[derive(Serialize, Deserialize)]
enum OutcomeRecord {
    Success,
    Status(u16),
    Error(ErrorClassRecord, String),
}

#[derive(Serialize, Deserialize)]
struct ResponseRecord {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
    body_truncated: bool,
}

pub(super) fn write_attempt(attempt: &Attempt) -> Vec<u8> {
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
    } = attempt.clone();
    let micros = |duration: Duration| u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    let Phases { dns, connect, tls, first_byte, total } = phases;
    write(&AttemptRecord {
        id: id.as_u128(),
        trigger: TriggerRecord::of(trigger),
        started_at: started_at.as_millis(),
        outcome: match outcome {
            Outcome::Success => OutcomeRecord::Success,
            Outcome::Status(status) => OutcomeRecord::Status(status),
            Outcome::Error { class, detail } => OutcomeRecord::Error(ErrorClassRecord::of(class), detail),
        },
        phases: (dns.map(micros), connect.map(micros), tls.map(micros), first_byte.map(micros), micros(total)),
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
    })
}

pub(super) fn read_attempt(delivery: DeliveryId, number: u16, bytes: &[u8]) -> Result<Attempt, StoreError> {
    let AttemptRecord {
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
    } = read(bytes, "an attempt")?;
    let duration = |micros: u32| Duration::from_micros(u64::from(micros));
    let (dns, connect, tls, first_byte, total) = phases;
    Ok(Attempt {
        id: AttemptId::from_u128(id),
        delivery,
        number,
        trigger: trigger.value(),
        started_at: Timestamp::from_millis(started_at),
        outcome: match outcome {
            OutcomeRecord::Success => Outcome::Success,
            OutcomeRecord::Status(status) => Outcome::Status(status),
            OutcomeRecord::Error(class, detail) => Outcome::Error { class: class.value(), detail },
        },
        phases: Phases {
            dns: dns.map(duration),
            connect: connect.map(duration),
            tls: tls.map(duration),
            first_byte: first_byte.map(duration),
            total: duration(total),
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
    })
}

// -- remembered answers

#[derive(Serialize, Deserialize)]
struct AnswerRecord {
    body_sha256: [u8; 32],
    key: u128,
    created_at: Millis,
    status: u16,
    headers: Vec<(String, String)>,
    /// Encrypted when it shows a secret.
    body: Bytes,
    /// (is a subscription, id)
    shows_secret_of: Option<(bool, u128)>,
}

pub(super) struct KeptAnswer {
    pub body_sha256: [u8; 32],
    pub key: KeyId,
    pub created_at: Timestamp,
    pub answer: StoredAnswer,
}

pub(super) fn write_answer(request: &[u8; 32], kept: &KeptAnswer, cipher: &Cipher) -> Vec<u8> {
    let KeptAnswer { body_sha256, key, created_at, answer } = kept;
    let StoredAnswer { status, headers, body, shows_secret_of } = answer.clone();
    write(&AnswerRecord {
        body_sha256: *body_sha256,
        key: key.as_u128(),
        created_at: created_at.as_millis(),
        status,
        headers,
        body: if shows_secret_of.is_some() { cipher.seal(&body, request).into() } else { body },
        shows_secret_of: shows_secret_of.map(|owner| match owner {
            SecretOwner::Subscription(id) => (true, id.as_u128()),
            SecretOwner::Key(id) => (false, id.as_u128()),
        }),
    })
}

pub(super) fn read_answer(request: &[u8; 32], bytes: &[u8], cipher: &Cipher) -> Result<KeptAnswer, StoreError> {
    let what = "a remembered answer";
    let AnswerRecord { body_sha256, key, created_at, status, headers, body, shows_secret_of } = read(bytes, what)?;
    let shows_secret_of = shows_secret_of.map(|(is_subscription, id)| match is_subscription {
        true => SecretOwner::Subscription(SubscriptionId::from_u128(id)),
        false => SecretOwner::Key(KeyId::from_u128(id)),
    });
    let body = match shows_secret_of {
        None => body,
        Some(_) => cipher.open(&body, request).ok_or_else(|| damaged(what))?.to_vec().into(),
    };
    Ok(KeptAnswer {
        body_sha256,
        key: KeyId::from_u128(key),
        created_at: Timestamp::from_millis(created_at),
        answer: StoredAnswer { status, headers, body, shows_secret_of },
    })
}
