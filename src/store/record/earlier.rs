//! How records looked in earlier versions, to read rows that were written then. What they lack gets the value that it
//! had without being written.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use super::configuration::{
    KeyRecord, QuotaRecord, RestrictionRecord, SubscriptionRecord, TenantRecord, TenantSecretRecord,
};
use super::history::EventRecord;
use super::job::{JobKindRecord, JobRecord};
use super::{
    DeliveryOrderRecord, DisabledReasonRecord, EnvelopeRecord, IdBytes, JobStateRecord, KeyKindRecord, PresetRecord,
    ProfileRecord, SigningRecord,
};
use crate::domain::profile::Profile;
use crate::store::crypt::Sealed;

/// Before the brand part of header names.
#[derive(Serialize, Deserialize)]
pub(super) struct TenantRecordV1 {
    external_id: Option<String>,
    name: String,
    profile: ProfileRecord,
    metadata: BTreeMap<String, String>,
    subscriptions_max: u32,
    revision: u32,
    created_at: i64,
    updated_at: i64,
}

impl From<TenantRecordV1> for TenantRecordV2 {
    fn from(record: TenantRecordV1) -> Self {
        let TenantRecordV1 {
            external_id,
            name,
            profile,
            metadata,
            subscriptions_max,
            revision,
            created_at,
            updated_at,
        } = record;
        Self {
            external_id,
            name,
            profile,
            metadata,
            subscriptions_max,
            revision,
            created_at,
            updated_at,
            header_prefix: None,
        }
    }
}

/// Before tenants had a secret.
#[derive(Serialize, Deserialize)]
pub(super) struct TenantRecordV2 {
    external_id: Option<String>,
    name: String,
    profile: ProfileRecord,
    metadata: BTreeMap<String, String>,
    subscriptions_max: u32,
    revision: u32,
    created_at: i64,
    updated_at: i64,
    header_prefix: Option<String>,
}

impl From<TenantRecordV2> for TenantRecordV3 {
    fn from(record: TenantRecordV2) -> Self {
        let TenantRecordV2 {
            external_id,
            name,
            profile,
            metadata,
            subscriptions_max,
            revision,
            created_at,
            updated_at,
            header_prefix,
        } = record;
        Self {
            external_id,
            name,
            profile,
            metadata,
            subscriptions_max,
            revision,
            created_at,
            updated_at,
            header_prefix,
            secret: None,
        }
    }
}

/// Before tenants had a retention of their own.
#[derive(Serialize, Deserialize)]
pub(super) struct TenantRecordV3 {
    external_id: Option<String>,
    name: String,
    profile: ProfileRecord,
    metadata: BTreeMap<String, String>,
    subscriptions_max: u32,
    revision: u32,
    created_at: i64,
    updated_at: i64,
    header_prefix: Option<String>,
    secret: Option<TenantSecretRecord>,
}

impl From<TenantRecordV3> for TenantRecordV4 {
    fn from(record: TenantRecordV3) -> Self {
        let TenantRecordV3 {
            external_id,
            name,
            profile,
            metadata,
            subscriptions_max,
            revision,
            created_at,
            updated_at,
            header_prefix,
            secret,
        } = record;
        Self {
            external_id,
            name,
            profile,
            metadata,
            subscriptions_max,
            revision,
            created_at,
            updated_at,
            header_prefix,
            secret,
            payload_days: None,
            metadata_days: None,
        }
    }
}

/// Before tenants had a rate limit of their own.
#[derive(Serialize, Deserialize)]
pub(super) struct TenantRecordV4 {
    external_id: Option<String>,
    name: String,
    profile: ProfileRecord,
    metadata: BTreeMap<String, String>,
    subscriptions_max: u32,
    revision: u32,
    created_at: i64,
    updated_at: i64,
    header_prefix: Option<String>,
    secret: Option<TenantSecretRecord>,
    payload_days: Option<u32>,
    metadata_days: Option<u32>,
}

impl From<TenantRecordV4> for TenantRecord {
    fn from(record: TenantRecordV4) -> Self {
        let TenantRecordV4 {
            external_id,
            name,
            profile,
            metadata,
            subscriptions_max,
            revision,
            created_at,
            updated_at,
            header_prefix,
            secret,
            payload_days,
            metadata_days,
        } = record;
        Self {
            external_id,
            name,
            profile,
            metadata,
            subscriptions_max,
            revision,
            created_at,
            updated_at,
            header_prefix,
            secret,
            payload_days,
            metadata_days,
            rate_limit: None,
        }
    }
}

/// Before rate limits, own schedules, ordering, headers and channels.
#[derive(Serialize, Deserialize)]
pub(super) struct SubscriptionRecordV1 {
    tenant: IdBytes,
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
    deleted_at: Option<i64>,
    public_ids: Vec<(u8, String)>,
}

impl From<SubscriptionRecordV1> for SubscriptionRecordV2 {
    fn from(record: SubscriptionRecordV1) -> Self {
        let SubscriptionRecordV1 {
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
            deleted_at,
            public_ids,
        } = record;
        Self {
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
            deleted_at,
            public_ids,
            rate_limit: None,
            retry_schedule: None,
            ordering: DeliveryOrderRecord::None,
            circuit_breaker: Profile::from(profile).has_circuit_breaker(),
            headers: Vec::new(),
            channels: Vec::new(),
        }
    }
}

/// Before owners.
#[derive(Serialize, Deserialize)]
pub(super) struct SubscriptionRecordV2 {
    tenant: IdBytes,
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
    deleted_at: Option<i64>,
    public_ids: Vec<(u8, String)>,
    rate_limit: Option<NonZeroU16>,
    retry_schedule: Option<Vec<u32>>,
    ordering: DeliveryOrderRecord,
    headers: Vec<(String, Sealed)>,
    channels: Vec<String>,
    circuit_breaker: bool,
}

impl From<SubscriptionRecordV2> for SubscriptionRecordV3 {
    fn from(record: SubscriptionRecordV2) -> Self {
        let SubscriptionRecordV2 {
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
            deleted_at,
            public_ids,
            rate_limit,
            retry_schedule,
            ordering,
            headers,
            channels,
            circuit_breaker,
        } = record;
        Self {
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
            deleted_at,
            public_ids,
            rate_limit,
            retry_schedule,
            ordering,
            headers,
            channels,
            circuit_breaker,
            owner: None,
        }
    }
}

/// Before subscriptions could be signed for by their tenant or have a key pair, and before they had a version of their
/// envelope.
#[derive(Serialize, Deserialize)]
pub(super) struct SubscriptionRecordV3 {
    tenant: IdBytes,
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
    deleted_at: Option<i64>,
    public_ids: Vec<(u8, String)>,
    rate_limit: Option<NonZeroU16>,
    retry_schedule: Option<Vec<u32>>,
    ordering: DeliveryOrderRecord,
    headers: Vec<(String, Sealed)>,
    channels: Vec<String>,
    circuit_breaker: bool,
    owner: Option<(IdBytes, RestrictionRecord)>,
}

impl From<SubscriptionRecordV3> for SubscriptionRecord {
    fn from(record: SubscriptionRecordV3) -> Self {
        let SubscriptionRecordV3 {
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
            deleted_at,
            public_ids,
            rate_limit,
            retry_schedule,
            ordering,
            headers,
            channels,
            circuit_breaker,
            owner,
        } = record;
        Self {
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
            deleted_at,
            public_ids,
            rate_limit,
            retry_schedule,
            ordering,
            headers,
            channels,
            circuit_breaker,
            owner,
            signing: SigningRecord::Subscription,
            api_version: Profile::from(profile).api_version_default().map(Into::into),
            key_pairs: None,
        }
    }
}

/// Before kinds and restrictions.
#[derive(Serialize, Deserialize)]
pub(super) struct KeyRecordV1 {
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

impl From<KeyRecordV1> for KeyRecord {
    fn from(record: KeyRecordV1) -> Self {
        let KeyRecordV1 { name, hash, tenant, scopes, preset, management, publish, expires_at, revoked_at, created_at } =
            record;
        Self {
            name,
            hash,
            tenant,
            scopes,
            preset,
            management,
            publish,
            expires_at,
            revoked_at,
            created_at,
            kind: KeyKindRecord::Native,
            restriction: RestrictionRecord::default(),
        }
    }
}

/// Before jobs of restricted keys.
#[derive(Serialize, Deserialize)]
pub(super) struct JobRecordV1 {
    tenant: IdBytes,
    kind: JobKindRecord,
    state: JobStateRecord,
    counted: u64,
    is_counted: bool,
    done: u64,
    skipped: u64,
    created_at: i64,
    finished_at: Option<i64>,
}

impl From<JobRecordV1> for JobRecord {
    fn from(record: JobRecordV1) -> Self {
        let JobRecordV1 { tenant, kind, state, counted, is_counted, done, skipped, created_at, finished_at } = record;
        Self { tenant, kind, state, counted, is_counted, done, skipped, created_at, finished_at, key: None }
    }
}

/// Before channels, scheduled events and replays.
#[derive(Serialize, Deserialize)]
pub(super) struct EventRecordV1 {
    tenant: IdBytes,
    event_type: String,
    external_id: Option<String>,
    occurred_at: i64,
    created_at: i64,
    deliveries: u32,
    data_bytes: u32,
    data_sha256: Option<[u8; 32]>,
}

impl From<EventRecordV1> for EventRecord {
    fn from(record: EventRecordV1) -> Self {
        let EventRecordV1 {
            tenant,
            event_type,
            external_id,
            occurred_at,
            created_at,
            deliveries,
            data_bytes,
            data_sha256,
        } = record;
        Self {
            tenant,
            event_type,
            external_id,
            occurred_at,
            created_at,
            deliveries,
            data_bytes,
            data_sha256,
            channels: Vec::new(),
            deliver_at: None,
            replay_of: None,
        }
    }
}
