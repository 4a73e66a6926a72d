//! Configuration on disk: tenants, keys, event types, subscriptions.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::earlier::{
    KeyRecordV1, SubscriptionRecordV1, SubscriptionRecordV2, SubscriptionRecordV3, TenantRecordV1, TenantRecordV2,
    TenantRecordV3, TenantRecordV4,
};
use super::{
    ApiVersionRecord, DeliveryOrderRecord, DisabledReasonRecord, EnvelopeRecord, IdBytes, KeyKindRecord, PresetRecord,
    ProfileRecord, Record, SigningRecord, millis, timestamp, whole,
};
use crate::domain::event_type::{EventType, EventTypeName};
use crate::domain::header::{HeaderName, HeaderValue};
use crate::domain::id::{KeyId, SubscriptionId, TenantId};
use crate::domain::key::{ApiKey, KeyHash, Preset, Quota, RateLimits, Scopes};
use crate::domain::key_pair::{KeyPair, KeyPairs, PRIVATE_BYTES, PreviousKeyPair};
use crate::domain::public_id::PublicIds;
use crate::domain::restriction::Restriction;
use crate::domain::retry::Schedule;
use crate::domain::secret::{PreviousSecret, Secret};
use crate::domain::subscription::{Owner, Subscription};
use crate::domain::target::TargetUrl;
use crate::domain::tenant::{OwnRetention, Tenant, TenantSecret};
use crate::domain::time::Timestamp;
use crate::store::crypt::{Crypt, KeyChange, Sealed};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct TenantRecord {
    pub(super) external_id: Option<String>,
    pub(super) name: String,
    pub(super) profile: ProfileRecord,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) subscriptions_max: u32,
    pub(super) revision: u32,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
    pub(super) header_prefix: Option<String>,
    pub(super) secret: Option<TenantSecretRecord>,
    pub(super) payload_days: Option<u32>,
    pub(super) metadata_days: Option<u32>,
    pub(super) rate_limit: Option<NonZeroU32>,
}
impl Record for TenantRecord {
    const VERSION: u8 = 5;

    fn decode_earlier(version: u8, rest: &[u8]) -> Option<Self> {
        let fourth: TenantRecordV4 = match version {
            1 => TenantRecordV3::from(TenantRecordV2::from(whole::<TenantRecordV1>(rest)?)).into(),
            2 => TenantRecordV3::from(whole::<TenantRecordV2>(rest)?).into(),
            3 => whole::<TenantRecordV3>(rest)?.into(),
            4 => whole(rest)?,
            _ => return None,
        };
        Some(fourth.into())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TenantSecretRecord {
    secret: Sealed,
    version: u32,
    previous: Option<(Sealed, i64)>,
}

/// What a tenant's secrets are sealed for, so that they cannot be swapped among rows or with each other.
fn tenant_secret_label(id: TenantId, which: &str) -> Vec<u8> {
    [b"tenants/", which.as_bytes(), b"/", &id.to_bytes()[..]].concat()
}

impl TenantSecretRecord {
    fn from_domain(id: TenantId, secret: &TenantSecret, crypt: &Crypt) -> Self {
        let TenantSecret { secret, version, previous } = secret;
        let previous = previous.as_ref().map(|PreviousSecret { secret, expires_at }| {
            (crypt.seal(secret.bytes(), &tenant_secret_label(id, "previous")), expires_at.as_millis())
        });
        let secret = crypt.seal(secret.bytes(), &tenant_secret_label(id, "current"));
        Self { secret, version: *version, previous }
    }

    fn into_domain(self, id: TenantId, crypt: &Crypt) -> Option<TenantSecret> {
        let Self { secret, version, previous } = self;
        let open = |sealed: &Sealed, which| {
            let bytes = crypt.open(sealed, &tenant_secret_label(id, which))?;
            Secret::from_bytes(bytes.to_vec()).ok()
        };
        let previous = match previous {
            None => None,
            Some((sealed, expires_at)) => Some(PreviousSecret {
                secret: open(&sealed, "previous")?,
                expires_at: Timestamp::from_millis(expires_at),
            }),
        };
        Some(TenantSecret { secret: open(&secret, "current")?, version, previous })
    }
}

impl TenantRecord {
    pub(in crate::store) fn from_domain(tenant: &Tenant, crypt: &Crypt) -> Self {
        let Tenant {
            id,
            external_id,
            name,
            profile,
            header_prefix,
            secret,
            metadata,
            subscriptions_max,
            retention: OwnRetention { payload_days, metadata_days },
            rate_limit,
            revision,
            created_at,
            updated_at,
        } = tenant;
        Self {
            external_id: external_id.as_ref().map(|id| id.as_str().to_owned()),
            name: name.clone(),
            profile: (*profile).into(),
            metadata: metadata.clone(),
            subscriptions_max: *subscriptions_max,
            revision: *revision,
            created_at: created_at.as_millis(),
            updated_at: updated_at.as_millis(),
            header_prefix: header_prefix.as_ref().map(|prefix| prefix.as_str().to_owned()),
            secret: secret.as_ref().map(|secret| TenantSecretRecord::from_domain(*id, secret, crypt)),
            payload_days: *payload_days,
            metadata_days: *metadata_days,
            rate_limit: *rate_limit,
        }
    }

    pub(in crate::store) fn reseal(&mut self, id: TenantId, change: &KeyChange<'_>) -> Option<()> {
        let Some(TenantSecretRecord { secret, version: _, previous }) = &mut self.secret else { return Some(()) };
        change.reseal(secret, &tenant_secret_label(id, "current"))?;
        previous
            .as_mut()
            .map_or(Some(()), |(previous, _)| change.reseal(previous, &tenant_secret_label(id, "previous")))
    }

    pub(in crate::store) fn has_secret(&self) -> bool {
        self.secret.is_some()
    }

    pub(in crate::store) fn into_domain(self, id: TenantId, crypt: &Crypt) -> Option<Tenant> {
        let Self {
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
            rate_limit,
        } = self;
        let secret = match secret {
            None => None,
            Some(record) => Some(record.into_domain(id, crypt)?),
        };
        Some(Tenant {
            id,
            external_id: external_id.map(|text| text.parse()).transpose().ok()?,
            name,
            profile: profile.into(),
            header_prefix: header_prefix.map(|text| text.parse()).transpose().ok()?,
            secret,
            metadata,
            subscriptions_max,
            retention: OwnRetention { payload_days, metadata_days },
            rate_limit,
            revision,
            created_at: Timestamp::from_millis(created_at),
            updated_at: Timestamp::from_millis(updated_at),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum QuotaRecord {
    InstanceDefault,
    PerSecond(NonZeroU32),
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

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RestrictionRecord {
    allowed_events: Vec<String>,
    channels: Vec<String>,
}

impl From<&Restriction> for RestrictionRecord {
    fn from(restriction: &Restriction) -> Self {
        let Restriction { allowed_events, channels } = restriction;
        Self {
            allowed_events: allowed_events.iter().map(ToString::to_string).collect(),
            channels: channels.iter().map(ToString::to_string).collect(),
        }
    }
}

impl RestrictionRecord {
    fn to_domain(&self) -> Option<Restriction> {
        let Self { allowed_events, channels } = self;
        Some(Restriction {
            allowed_events: allowed_events.iter().map(|text| text.parse()).collect::<Result<_, _>>().ok()?,
            channels: channels.iter().map(|text| text.parse()).collect::<Result<_, _>>().ok()?,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct KeyRecord {
    pub(super) name: String,
    pub(super) hash: [u8; 32],
    pub(super) tenant: Option<IdBytes>,
    pub(super) scopes: u32,
    pub(super) preset: Option<PresetRecord>,
    pub(super) management: QuotaRecord,
    pub(super) publish: QuotaRecord,
    pub(super) expires_at: Option<i64>,
    pub(super) revoked_at: Option<i64>,
    pub(super) created_at: i64,
    pub(super) kind: KeyKindRecord,
    pub(super) restriction: RestrictionRecord,
}
impl Record for KeyRecord {
    const VERSION: u8 = 2;

    fn decode_earlier(version: u8, rest: &[u8]) -> Option<Self> {
        match version {
            1 => whole::<KeyRecordV1>(rest).map(Into::into),
            _ => None,
        }
    }
}

impl From<&ApiKey> for KeyRecord {
    fn from(key: &ApiKey) -> Self {
        let ApiKey {
            id: _,
            kind,
            name,
            hash,
            tenant,
            scopes,
            preset,
            restriction,
            rate_limits,
            expires_at,
            revoked_at,
            created_at,
        } = key;
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
            kind: (*kind).into(),
            restriction: restriction.into(),
        }
    }
}

impl KeyRecord {
    pub(in crate::store) fn into_domain(self, id: KeyId) -> Option<ApiKey> {
        let Self {
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
            kind,
            restriction,
        } = self;
        Some(ApiKey {
            id,
            kind: kind.into(),
            name,
            hash: KeyHash(hash),
            tenant: tenant.map(TenantId::from_bytes),
            scopes: match preset {
                // To everything that there is, also to what came after the key.
                Some(PresetRecord::FullAccess) => Preset::FullAccess.scopes(),
                Some(PresetRecord::ReadOnly | PresetRecord::PublishOnly | PresetRecord::Subscriber) | None => {
                    Scopes::from_bits(scopes)
                }
            },
            preset: preset.map(Into::into),
            restriction: restriction.to_domain()?,
            rate_limits: RateLimits { management: management.into(), publish: publish.into() },
            expires_at: timestamp(expires_at),
            revoked_at: timestamp(revoked_at),
            created_at: Timestamp::from_millis(created_at),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store) struct EventTypeRecord {
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
    pub(in crate::store) fn into_domain(self, name: EventTypeName) -> Option<EventType> {
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
pub(in crate::store) struct SubscriptionRecord {
    pub tenant: IdBytes,
    pub(super) url: String,
    pub(super) events: Vec<String>,
    pub(super) description: Option<String>,
    pub(super) is_active: bool,
    pub(super) disabled_reason: Option<DisabledReasonRecord>,
    pub(super) max_in_flight: u8,
    pub(super) timeout_seconds: u8,
    pub(super) profile: ProfileRecord,
    pub(super) envelope: EnvelopeRecord,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) secret: Sealed,
    pub(super) secret_version: u32,
    pub(super) previous_secret: Option<(Sealed, i64)>,
    pub(super) revision: u32,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
    /// Set when it was deleted: the row stays while deliveries name it.
    pub deleted_at: Option<i64>,
    /// The ids that were imported, by the number of their contract: [`MAREA`], [`AGENTMESSAGE`].
    pub(super) public_ids: Vec<(u8, String)>,
    pub(super) rate_limit: Option<NonZeroU16>,
    /// Seconds before each retry.
    pub(super) retry_schedule: Option<Vec<u32>>,
    pub(super) ordering: DeliveryOrderRecord,
    /// By name, each value sealed by itself.
    pub(super) headers: Vec<(String, Sealed)>,
    pub(super) channels: Vec<String>,
    pub(super) circuit_breaker: bool,
    /// The restricted key that made it, and what that was restricted to.
    pub(super) owner: Option<(IdBytes, RestrictionRecord)>,
    pub(super) signing: SigningRecord,
    pub(super) api_version: Option<ApiVersionRecord>,
    pub(super) key_pairs: Option<KeyPairsRecord>,
}
impl Record for SubscriptionRecord {
    const VERSION: u8 = 4;

    fn decode_earlier(version: u8, rest: &[u8]) -> Option<Self> {
        match version {
            1 => {
                let second = SubscriptionRecordV2::from(whole::<SubscriptionRecordV1>(rest)?);
                Some(SubscriptionRecordV3::from(second).into())
            }
            2 => whole::<SubscriptionRecordV2>(rest).map(|record| SubscriptionRecordV3::from(record).into()),
            3 => whole::<SubscriptionRecordV3>(rest).map(Into::into),
            _ => None,
        }
    }
}

/// What a subscription's secrets are sealed for, so that they cannot be swapped among rows or with each other.
fn secret_label(id: SubscriptionId, which: &str) -> Vec<u8> {
    [b"subscriptions/", which.as_bytes(), b"/", &id.to_bytes()[..]].concat()
}

/// The private halves; the public ones follow from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyPairsRecord {
    current: Sealed,
    previous: Option<(Sealed, i64)>,
}

impl KeyPairsRecord {
    fn from_domain(id: SubscriptionId, pairs: &KeyPairs, crypt: &Crypt) -> Self {
        let KeyPairs { current, previous } = pairs;
        let seal = |pair: &KeyPair, which| crypt.seal(pair.private(), &secret_label(id, which));
        Self {
            current: seal(current, "pair"),
            previous: previous
                .as_ref()
                .map(|PreviousKeyPair { pair, expires_at }| (seal(pair, "previous-pair"), expires_at.as_millis())),
        }
    }

    fn to_domain(&self, id: SubscriptionId, crypt: &Crypt) -> Option<KeyPairs> {
        let Self { current, previous } = self;
        let open = |sealed: &Sealed, which| {
            let private = crypt.open(sealed, &secret_label(id, which))?;
            Some(KeyPair::from_private(private.first_chunk().filter(|_| private.len() == PRIVATE_BYTES)?))
        };
        let previous = match previous {
            None => None,
            Some((sealed, expires_at)) => Some(PreviousKeyPair {
                pair: open(sealed, "previous-pair")?,
                expires_at: Timestamp::from_millis(*expires_at),
            }),
        };
        Some(KeyPairs { current: open(current, "pair")?, previous })
    }
}

/// What the value of a custom header is sealed for.
fn header_label(id: SubscriptionId, name: &str) -> Vec<u8> {
    [b"subscriptions/header/", &id.to_bytes()[..], b"/", name.as_bytes()].concat()
}

/// The numbers of contracts in `public_ids`.
const MAREA: u8 = 1;
const AGENTMESSAGE: u8 = 2;

fn stored_ids(ids: &PublicIds) -> Vec<(u8, String)> {
    let PublicIds { marea, agentmessage } = ids;
    let marea = marea.map(|id| (MAREA, id.to_string()));
    marea.into_iter().chain(agentmessage.map(|id| (AGENTMESSAGE, id.to_string()))).collect()
}

fn ids_from_stored(stored: &[(u8, String)]) -> Option<PublicIds> {
    let mut ids = PublicIds::default();
    for (contract, text) in stored {
        match *contract {
            MAREA => ids.marea = Some(text.parse().ok()?),
            AGENTMESSAGE => ids.agentmessage = Some(text.parse().ok()?),
            _ => return None,
        }
    }
    Some(ids)
}

impl SubscriptionRecord {
    /// Also of one that was deleted: its row still holds what it had.
    pub(in crate::store) fn reseal(&mut self, id: SubscriptionId, change: &KeyChange<'_>) -> Option<()> {
        change.reseal(&mut self.secret, &secret_label(id, "current"))?;
        if let Some((previous, _)) = &mut self.previous_secret {
            change.reseal(previous, &secret_label(id, "previous"))?;
        }
        for (name, sealed) in &mut self.headers {
            change.reseal(sealed, &header_label(id, name))?;
        }
        if let Some(KeyPairsRecord { current, previous }) = &mut self.key_pairs {
            change.reseal(current, &secret_label(id, "pair"))?;
            if let Some((previous, _)) = previous {
                change.reseal(previous, &secret_label(id, "previous-pair"))?;
            }
        }
        Some(())
    }

    pub(in crate::store) fn from_domain(subscription: &Subscription, crypt: &Crypt) -> Self {
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
            rate_limit,
            retry_schedule,
            ordering,
            circuit_breaker,
            headers,
            channels,
            public_ids,
            owner,
            profile,
            envelope,
            api_version,
            metadata,
            signing,
            secret,
            secret_version,
            previous_secret,
            key_pairs,
            revision,
            created_at,
            updated_at,
        } = subscription;
        let owner = match owner {
            Owner::Tenant => None,
            Owner::Key { id, restriction } => Some((id.to_bytes(), RestrictionRecord::from(&**restriction))),
        };
        let previous_secret = previous_secret.as_ref().map(|PreviousSecret { secret, expires_at }| {
            (crypt.seal(secret.bytes(), &secret_label(*id, "previous")), expires_at.as_millis())
        });
        let seal_header = |(name, value): (&HeaderName, &HeaderValue)| {
            let sealed = crypt.seal(value.as_str().as_bytes(), &header_label(*id, name.as_str()));
            (name.as_str().to_owned(), sealed)
        };
        let headers = headers.iter().map(seal_header).collect();
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
            public_ids: stored_ids(public_ids),
            rate_limit: *rate_limit,
            retry_schedule: retry_schedule.as_ref().map(|schedule| schedule.retry_waits().collect()),
            ordering: (*ordering).into(),
            circuit_breaker: *circuit_breaker,
            headers,
            channels: channels.iter().map(ToString::to_string).collect(),
            owner,
            signing: (*signing).into(),
            api_version: api_version.map(Into::into),
            key_pairs: key_pairs.as_ref().map(|pairs| KeyPairsRecord::from_domain(*id, pairs, crypt)),
        }
    }

    /// The restricted key that made it.
    pub(in crate::store) fn owner_key(&self) -> Option<KeyId> {
        self.owner.as_ref().map(|(key, _)| KeyId::from_bytes(*key))
    }

    pub(in crate::store) fn to_domain(&self, id: SubscriptionId, crypt: &Crypt) -> Option<Subscription> {
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
            public_ids,
            rate_limit,
            retry_schedule,
            ordering,
            circuit_breaker,
            headers,
            channels,
            owner,
            signing,
            api_version,
            key_pairs,
        } = self;
        let key_pairs = match key_pairs {
            None => None,
            Some(pairs) => Some(Box::new(pairs.to_domain(id, crypt)?)),
        };
        let owner = match owner {
            None => Owner::Tenant,
            Some((key, restriction)) => {
                Owner::Key { id: KeyId::from_bytes(*key), restriction: Box::new(restriction.to_domain()?) }
            }
        };
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
        let open_header = |(name, sealed): &(String, Sealed)| {
            let value = crypt.open(sealed, &header_label(id, name))?;
            Some((HeaderName::from_stored(name).ok()?, std::str::from_utf8(&value).ok()?.parse().ok()?))
        };
        let retry_schedule = match retry_schedule {
            None => None,
            Some(waits) => Some(Schedule::of_retries(waits).ok()?),
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
            rate_limit: *rate_limit,
            retry_schedule,
            ordering: (*ordering).into(),
            circuit_breaker: *circuit_breaker,
            headers: headers.iter().map(open_header).collect::<Option<_>>()?,
            channels: channels.iter().map(|text| text.parse()).collect::<Result<_, _>>().ok()?,
            public_ids: ids_from_stored(public_ids)?,
            owner,
            profile: (*profile).into(),
            envelope: (*envelope).into(),
            api_version: api_version.map(Into::into),
            metadata: metadata.clone(),
            signing: (*signing).into(),
            secret: open(secret, "current")?,
            secret_version: *secret_version,
            previous_secret,
            key_pairs,
            revision: *revision,
            created_at: Timestamp::from_millis(*created_at),
            updated_at: Timestamp::from_millis(*updated_at),
        })
    }
}
