//! What create and update share: the settings of a subscription, checked by the same rules.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use poem_openapi::types::MaybeUndefined;

use super::rules::{
    WantedHeaders, check_description, check_envelope, check_headers, check_max_in_flight, check_metadata,
    check_ordering, check_rate_limit, check_retry_schedule, check_signing, check_timeout,
};
use super::wire::{ApiVersionText, EnvelopeText, OrderingText, ProfileText, RetryWaits, SigningText};
use crate::domain::channel::{Channel, SUBSCRIPTION_CHANNELS_MAX};
use crate::domain::header::{CustomHeaders, HeaderPrefix};
use crate::domain::retry::Schedule;
use crate::domain::subscription::{DeliveryOrder, Envelope, Owner, Signing, Subscription};
use crate::domain::target::TargetUrl;
use crate::domain::tenant::Metadata;
use crate::http::body::{Fields, Findings, Wire};
use crate::http::channels::{check_channels, check_restriction};
use crate::store::StoreError;

/// A [`CreateSubscription`](super::wire::CreateSubscription), as it came.
pub(super) struct Creation {
    pub new: NewSubscription,
    pub profile: Option<ProfileText>,
    pub marea_id: Option<String>,
    pub agentmessage_id: Option<String>,
    pub dry_run: Option<bool>,
}

/// What a new subscription is in every contract, as it came.
pub struct NewSubscription {
    pub url: String,
    pub events: Vec<String>,
    pub settings: Settings,
    pub secret: Option<String>,
    pub api_version: Option<ApiVersionText>,
}

/// An [`UpdateSubscription`](super::wire::UpdateSubscription), as it came.
pub struct SubscriptionChange {
    pub url: Option<String>,
    pub events: Option<Vec<String>>,
    pub settings: Settings,
}

impl Wire for Creation {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            new: NewSubscription {
                url: fields.take("url"),
                events: fields.take("events"),
                settings: Settings::read(fields),
                secret: fields.take("secret"),
                api_version: fields.take("api_version"),
            },
            profile: fields.take("profile"),
            marea_id: fields.take("marea_id"),
            agentmessage_id: fields.take("agentmessage_id"),
            dry_run: fields.take("dry_run"),
        }
    }
}

impl Wire for SubscriptionChange {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { url: fields.take("url"), events: fields.take("events"), settings: Settings::read(fields) }
    }
}

/// As they came.
#[derive(Default)]
pub struct Settings {
    pub description: MaybeUndefined<String>,
    pub is_active: Option<bool>,
    pub max_in_flight: Option<i64>,
    pub timeout_seconds: Option<i64>,
    pub rate_limit: MaybeUndefined<i64>,
    pub retry_schedule: MaybeUndefined<RetryWaits>,
    pub ordering: Option<OrderingText>,
    pub circuit_breaker: Option<bool>,
    pub headers: MaybeUndefined<BTreeMap<String, String>>,
    pub channels: MaybeUndefined<Vec<String>>,
    pub envelope: Option<EnvelopeText>,
    pub signing: Option<SigningText>,
    pub metadata: MaybeUndefined<BTreeMap<String, String>>,
}

/// Checked. None: it stays as it is.
pub struct Changes {
    url: Option<TargetUrl>,
    description: Option<Option<String>>,
    is_active: Option<bool>,
    max_in_flight: Option<u8>,
    timeout_seconds: Option<u8>,
    rate_limit: Option<Option<NonZeroU16>>,
    retry_schedule: Option<Option<Schedule>>,
    ordering: Option<DeliveryOrder>,
    circuit_breaker: Option<bool>,
    headers: Option<WantedHeaders>,
    channels: Option<Vec<Channel>>,
    envelope: Option<Envelope>,
    signing: Option<Signing>,
    metadata: Option<Metadata>,
}

impl Settings {
    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            description: fields.take("description"),
            is_active: fields.take("is_active"),
            max_in_flight: fields.take("max_in_flight"),
            timeout_seconds: fields.take("timeout_seconds"),
            rate_limit: fields.take("rate_limit"),
            retry_schedule: fields.take("retry_schedule"),
            ordering: fields.take("ordering"),
            circuit_breaker: fields.take("circuit_breaker"),
            headers: fields.take("headers"),
            channels: fields.take("channels"),
            envelope: fields.take("envelope"),
            signing: fields.take("signing"),
            metadata: fields.take("metadata"),
        }
    }

    /// `url` is the new one, if there is one; `known` is the subscription that is changed; `owner` is whose it is or will
    /// be; `prefix` is the brand part of header names of its tenant.
    pub fn check(
        self,
        url: Option<TargetUrl>,
        known: Option<&Subscription>,
        owner: &Owner,
        prefix: Option<&HeaderPrefix>,
        findings: &mut Findings,
    ) -> Changes {
        let Self {
            description,
            is_active,
            max_in_flight,
            timeout_seconds,
            rate_limit,
            retry_schedule,
            ordering,
            circuit_breaker,
            headers,
            channels,
            envelope,
            signing,
            metadata,
        } = self;
        check_description(description.value().map(String::as_str), findings);
        let max_in_flight = check_max_in_flight(max_in_flight, findings);
        let timeout_seconds = check_timeout(timeout_seconds, findings);
        let rate_limit = read(rate_limit, |limit| check_rate_limit(limit, findings));
        let retry_schedule = read(retry_schedule, |waits| check_retry_schedule(&waits, findings));
        let ordering = check_ordering(ordering, findings);
        let none = CustomHeaders::new();
        let kept = match (known, &url) {
            (Some(known), Some(url)) if !url.has_host_of(&known.url) => &none,
            (Some(known), _) => &known.headers,
            (None, _) => &none,
        };
        let headers = read(headers, |pairs| Some(check_headers(pairs, kept, prefix, findings)));
        let channels = read(channels, |texts| {
            let checked = check_channels(&texts, SUBSCRIPTION_CHANNELS_MAX)
                .and_then(|channels| check_restriction(channels, owner.restriction()));
            checked.map_err(|violations| findings.extend(violations)).ok()
        });
        // What is cleared, and a new one that names none, has all channels of its owner.
        let forced = |channels: Option<Vec<Channel>>| {
            let asked = channels.unwrap_or_default();
            owner.restriction().map_or(asked.clone(), |restriction| restriction.forced_onto(asked))
        };
        let channels = if channels.is_none() && known.is_none() { Some(None) } else { channels };
        let envelope = check_envelope(envelope, findings);
        let signing = check_signing(signing, findings);
        if let Some(metadata) = metadata.value() {
            check_metadata(metadata, findings);
        }
        Changes {
            url,
            description: read(description, Some),
            is_active,
            max_in_flight,
            timeout_seconds,
            rate_limit,
            retry_schedule,
            ordering,
            circuit_breaker,
            headers: headers.map(Option::unwrap_or_default),
            channels: channels.map(forced),
            envelope,
            signing,
            metadata: read(metadata, Some).map(Option::unwrap_or_default),
        }
    }
}

impl Changes {
    /// Fails with `PreconditionFailed` when a header's value was to be kept that is no longer there.
    pub fn apply(self, subscription: &mut Subscription) -> Result<(), StoreError> {
        let Self {
            url,
            description,
            is_active,
            max_in_flight,
            timeout_seconds,
            rate_limit,
            retry_schedule,
            ordering,
            circuit_breaker,
            headers,
            channels,
            envelope,
            signing,
            metadata,
        } = self;
        // The old host's credentials are not the new one's to see.
        if url.as_ref().is_some_and(|url| !url.has_host_of(&subscription.url)) {
            subscription.headers.clear();
        }
        if let Some(wanted) = headers {
            let kept = std::mem::take(&mut subscription.headers);
            for (name, value) in wanted {
                let value = value.or_else(|| kept.get(&name).cloned()).ok_or(StoreError::PreconditionFailed)?;
                subscription.headers.insert(name, value);
            }
        }
        set(&mut subscription.url, url);
        set(&mut subscription.description, description);
        set(&mut subscription.is_active, is_active);
        set(&mut subscription.max_in_flight, max_in_flight);
        set(&mut subscription.timeout_seconds, timeout_seconds);
        set(&mut subscription.rate_limit, rate_limit);
        set(&mut subscription.retry_schedule, retry_schedule);
        set(&mut subscription.ordering, ordering);
        set(&mut subscription.circuit_breaker, circuit_breaker);
        set(&mut subscription.channels, channels);
        set(&mut subscription.envelope, envelope);
        set(&mut subscription.signing, signing);
        set(&mut subscription.metadata, metadata);
        Ok(())
    }
}

/// A member that null clears: none when it is absent or wrong.
fn read<T, U>(value: MaybeUndefined<T>, check: impl FnOnce(T) -> Option<U>) -> Option<Option<U>> {
    match value {
        MaybeUndefined::Undefined => None,
        MaybeUndefined::Null => Some(None),
        MaybeUndefined::Value(value) => check(value).map(Some),
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}
