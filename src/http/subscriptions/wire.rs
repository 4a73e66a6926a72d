//! How subscriptions look in answers and requests.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use poem::http::StatusCode;
use poem::{IntoResponse, Response};
use poem_openapi::registry::{MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::{MaybeUndefined, Type};
use poem_openapi::{ApiResponse, Object};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::delivery::{Attempt, Outcome};
use crate::domain::event_type::EventPattern;
use crate::domain::header::{HeaderPrefix, MASK};
use crate::domain::health::{Health, HealthStatus};
use crate::domain::profile::{ApiVersion, Profile};
use crate::domain::retry::{RETRIES_MAX, RETRY_WAIT_SECONDS_MAX};
use crate::domain::snippet::{self, snippet};
use crate::domain::subscription::{DeliveryOrder, DisabledReason, Envelope, Owner, Signing, Subscription};
use crate::domain::violation::Rule;
use crate::http::body::{Fields, Findings, Scalar, Wire};
use crate::http::page::{Numbered, Parameter, Parameters, Params, bool_parameter, choice_parameter, text_parameter};
use crate::http::reply::{Attributes, One, Reply, Shape, meta_response, object_schema};
use crate::http::stats::{scope_parameter, take_scope};
use crate::http::value::{Nullable, Time, choice, choice_text, documented};

/// How much of a receiver's answer a test shows.
const EXCERPT_BYTES_MAX: usize = 1024;

choice_text!(ProfileText, "profile_text", Profile::ALL.map(Profile::name));
choice_text!(EnvelopeText, "envelope_text", Envelope::NAMES);
choice_text!(SigningText, "signing_text", Signing::NAMES);
choice_text!(ApiVersionText, "api_version_text", ApiVersion::ALL.map(ApiVersion::name));
choice_text!(OrderingText, "ordering_text", DeliveryOrder::NAMES);
choice!(ProfileName, "profile", Profile::ALL.map(Profile::name));
choice!(EnvelopeName, "envelope", Envelope::NAMES);
choice!(SigningName, "signing", Signing::NAMES);
choice!(ApiVersionName, "api_version", ApiVersion::ALL.map(ApiVersion::name));
choice!(OrderingName, "ordering", DeliveryOrder::NAMES);
choice!(OwnerName, "owner", Owner::NAMES);
choice!(HealthName, "health", HealthStatus::ALL.map(HealthStatus::name));
choice!(DisabledReasonName, "disabled_reason", DisabledReason::ALL.map(DisabledReason::name));
choice!(SnippetLanguageName, "snippet_language", snippet::Language::ALL.map(snippet::Language::name));
choice!(DeliveryStatusName, "delivery_status", ["success", "failure"]);

/// Seconds before each retry.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub struct RetryWaits(pub(super) Vec<i64>);

documented!(
    RetryWaits,
    "retry_schedule",
    MetaSchema {
        items: Some(Box::new(MetaSchemaRef::Inline(Box::new(MetaSchema {
            minimum: Some(0.0),
            maximum: Some(f64::from(RETRY_WAIT_SECONDS_MAX)),
            ..MetaSchema::new("integer")
        })))),
        min_items: Some(1),
        max_items: Some(RETRIES_MAX),
        ..MetaSchema::new("array")
    }
);

impl Scalar for RetryWaits {
    const EXPECTED: &'static str = "an array of integers";

    fn from_raw(value: &RawValue, pointer: &str, findings: &mut Findings) -> Option<Self> {
        let items: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
        let mut waits = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let place = format!("{pointer}/{index}");
            let wait = i64::from_raw(item, &place, findings);
            if wait.is_none() {
                findings.add(Rule::InvalidType { expected: i64::EXPECTED }, place);
            }
            waits.push(wait.unwrap_or_default());
        }
        Some(Self(waits))
    }
}

/// A subscription, as it stands
#[derive(Debug, Serialize, Object)]
#[oai(rename = "SubscriptionAttributes")]
pub struct SubscriptionAttributes {
    tenant_id: String,
    /// Where deliveries go
    url: String,
    /// Event types and patterns: `order.paid`, `order.*` (any depth below `order`), `*`
    events: Vec<String>,
    /// False: deliveries wait
    is_active: bool,
    /// A label for people
    description: Nullable<String>,
    /// Whose secret signs: `subscription`: its own; `tenant`: the one that its tenant has (`POST
    /// /v1/tenants/{id}/rotate-secret`). Its own one stays either way
    signing: SigningName,
    /// Its own secret: only in the answers of create and rotate
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Grows with each rotation
    secret_version: u32,
    /// Until when a rotated secret signs beside the current one
    previous_secret_expires_at: Nullable<Time>,
    /// Of the ed25519 pair that signs beside the secret (`v1a`): `whpk_` and base64; null: it has none
    public_key: Nullable<String>,
    /// Until when a replaced pair signs beside the current one
    previous_key_pair_expires_at: Nullable<Time>,
    /// How deliveries look; changes only together with the secret
    profile: ProfileName,
    /// Its id in Marea's API
    marea_id: String,
    /// Its id in AgentMessage's API
    agentmessage_id: String,
    /// `raw`: the body is `data` alone
    envelope: EnvelopeName,
    /// Which edition of its profile the envelope follows; null: the profile has none. Fixed at creation; a change of the
    /// profile brings that one's first
    api_version: Nullable<ApiVersionName>,
    /// Requests open at the same time
    max_in_flight: u8,
    /// How long a receiver may take to answer
    timeout_seconds: u8,
    /// Deliveries per second at most; null: no limit
    rate_limit: Nullable<u16>,
    /// The waits before each retry, in seconds; null: the profile's
    retry_schedule: Nullable<Vec<u32>>,
    /// `fifo`: one at a time, in the order of events
    ordering: OrderingName,
    /// Holds deliveries while the receiver fails, and disables the subscription after 5 days of failures only
    circuit_breaker: bool,
    /// Sent with every delivery. Values are never shown: each is `***`
    headers: BTreeMap<String, String>,
    /// It gets only events that share at least one; empty: all events
    channels: Vec<String>,
    /// `key`: a restricted API key made it. That key sees it, and it gets only events within the key's restriction, also when
    /// the key is revoked
    owner: OwnerName,
    /// Your own pairs
    metadata: BTreeMap<String, String>,
    /// How deliveries fare
    health: HealthName,
    /// When the first of the failures was that no success followed yet
    failing_since: Nullable<Time>,
    /// From when on one delivery that waits is tried, to see whether the receiver is well again, while the others are held;
    /// null: they are not held for that
    next_probe_at: Nullable<Time>,
    /// Why Waxwing made it inactive: `gone` after a 410, `failing` after 5 days of failures only
    disabled_reason: Nullable<DisabledReasonName>,
    last_delivery_at: Nullable<Time>,
    last_delivery_status: Nullable<DeliveryStatusName>,
    consecutive_failures: u32,
    created_at: Time,
    updated_at: Time,
}

impl Attributes for SubscriptionAttributes {
    const TYPE: &'static str = "webhook_subscription";
    const NAME: &'static str = "Subscription";
    const ONE: &'static str = "The subscription";
    const PAGE: &'static str = "A page of subscriptions";
}

/// What a subscription is made from
// For the document; `settings` reads it.
#[derive(Object)]
#[oai(deny_unknown_fields)]
pub(super) struct CreateSubscription {
    /// Where deliveries go: https, and no private address
    #[oai(validator(min_length = 1, max_length = 2048))]
    url: String,
    /// Event types and patterns: `order.paid`, `order.*` (any depth below `order`), `*`
    #[oai(validator(min_items = 1, max_items = 50, unique_items))]
    events: Vec<String>,
    /// A label for people
    #[oai(nullable, validator(max_length = 256))]
    description: MaybeUndefined<String>,
    /// False: deliveries wait until it is set to true (default true)
    is_active: Option<bool>,
    /// Requests open at the same time (default 10)
    #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
    max_in_flight: Option<i64>,
    /// How long a receiver may take to answer (default 15)
    #[oai(validator(minimum(value = "1"), maximum(value = "30")))]
    timeout_seconds: Option<i64>,
    /// Deliveries per second at most (null: no limit)
    #[oai(nullable, validator(minimum(value = "1"), maximum(value = "10000")))]
    rate_limit: MaybeUndefined<i64>,
    /// Your own retries instead of the profile's: the waits before each of them, in seconds. The first attempt always
    /// goes at once, so n waits are n + 1 attempts. Each wait varies by 10 %
    #[oai(nullable)]
    retry_schedule: MaybeUndefined<RetryWaits>,
    /// `fifo`: one delivery at a time in the order of events; the next one waits until the first has succeeded or is
    /// given up (default `none`)
    ordering: Option<OrderingText>,
    /// Holds deliveries while the receiver fails (10 failures in a row), tries it now and then, and disables the
    /// subscription after 5 days of failures only (default true with the profiles `standard` and
    /// `agentmessage`, false with `mage` and `marea`)
    circuit_breaker: Option<bool>,
    /// Your own headers, sent with every delivery: at most 20, names of 64 and values of 1,024 characters. Values are kept
    /// encrypted and shown as `***`
    #[oai(nullable)]
    headers: MaybeUndefined<BTreeMap<String, String>>,
    /// At most 10: it then gets only events that share at least one; none: all events, or those of all channels of a
    /// restricted key
    #[oai(nullable, validator(max_items = 10, unique_items))]
    channels: MaybeUndefined<Vec<String>>,
    /// `profile` (default): `data` inside the profile's envelope; `raw`: `data` alone
    envelope: Option<EnvelopeText>,
    /// Whose secret signs: `subscription` (default): its own; `tenant`: the tenant's, which is made if there is none yet and
    /// shown when it is rotated
    signing: Option<SigningText>,
    /// Your own pairs: at most 50, names of 64 and values of 512 characters
    #[oai(nullable)]
    metadata: MaybeUndefined<BTreeMap<String, String>>,
    /// Your own signing secret, in the profile's format; otherwise one is made
    secret: Option<String>,
    /// Which edition of its profile the envelope follows: `standard` has `2026-04-01` (default) and `2026-11-01`, whose body
    /// has the event's `id` and the `api_version`, too, for receivers that cannot read headers; `marea` has `2026-05-12`,
    /// `agentmessage` has `2026-04-01`, `mage` has none
    api_version: Option<ApiVersionText>,
    /// How deliveries look (default: the tenant's `profile`)
    profile: Option<ProfileText>,
    /// The id that its receiver knows from Marea: `mk_we_` and 16 hexadecimal digits (default: one is made)
    #[oai(validator(pattern = "^mk_we_[0-9a-f]{16}$"))]
    marea_id: Option<String>,
    /// The id that its receiver knows from AgentMessage: a UUID (default: one is made)
    agentmessage_id: Option<String>,
    /// Only checks
    dry_run: Option<bool>,
}

/// What a dry run found
#[derive(Debug, Serialize, Object)]
#[oai(rename = "CreateSubscriptionDryRun")]
struct DryRun {
    /// Always true: nothing was made
    dry_run: bool,
}

#[derive(Serialize)]
struct DryRunBody {
    meta: DryRun,
}

pub(super) fn would_be_made() -> Reply {
    Reply::json(StatusCode::OK, &DryRunBody { meta: DryRun { dry_run: true } })
}

/// 201 with the subscription, 200 when a dry run would make it.
pub(super) struct CreateAnswer(pub(super) Reply);

impl IntoResponse for CreateAnswer {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl ApiResponse for CreateAnswer {
    fn meta() -> MetaResponses {
        let made = meta_response::<One<SubscriptionAttributes>>(201);
        MetaResponses { responses: vec![made, meta_response::<DryRunShape>(200)] }
    }

    fn register(registry: &mut Registry) {
        One::<SubscriptionAttributes>::register(registry);
        DryRunShape::register(registry);
    }
}

struct DryRunShape;

impl Shape for DryRunShape {
    const DESCRIPTION: &'static str = "A dry run: the subscription would be made";

    fn schema_ref() -> Option<MetaSchemaRef> {
        Some(object_schema(vec![("meta", <DryRun as Type>::schema_ref())]))
    }

    fn register(registry: &mut Registry) {
        <DryRun as Type>::register(registry);
    }
}

/// What changes: an absent field stays, null clears
// For the document; `settings` reads it.
#[derive(Object)]
#[oai(deny_unknown_fields)]
pub(super) struct UpdateSubscription {
    /// Where deliveries go: https, and no private address
    #[oai(validator(min_length = 1, max_length = 2048))]
    url: Option<String>,
    /// Replaces all event types and patterns
    #[oai(validator(min_items = 1, max_items = 50, unique_items))]
    events: Option<Vec<String>>,
    /// A label for people
    #[oai(nullable, validator(max_length = 256))]
    description: MaybeUndefined<String>,
    /// False pauses; true resumes, and re-enables what Waxwing disabled
    is_active: Option<bool>,
    /// Requests open at the same time
    #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
    max_in_flight: Option<i64>,
    /// How long a receiver may take to answer
    #[oai(validator(minimum(value = "1"), maximum(value = "30")))]
    timeout_seconds: Option<i64>,
    /// Deliveries per second at most (null: no limit)
    #[oai(nullable, validator(minimum(value = "1"), maximum(value = "10000")))]
    rate_limit: MaybeUndefined<i64>,
    /// Your own retries instead of the profile's: the waits before each of them, in seconds. The first attempt always
    /// goes at once, so n waits are n + 1 attempts. Each wait varies by 10 %
    #[oai(nullable)]
    retry_schedule: MaybeUndefined<RetryWaits>,
    /// `fifo`: one delivery at a time in the order of events; the next one waits until the first has succeeded or is
    /// given up
    ordering: Option<OrderingText>,
    /// Holds deliveries while the receiver fails (10 failures in a row), tries it now and then, and disables the
    /// subscription after 5 days of failures only (default true with the profiles `standard` and
    /// `agentmessage`, false with `mage` and `marea`)
    circuit_breaker: Option<bool>,
    /// Replaces all headers: at most 20, names of 64 and values of 1,024 characters. Values are kept
    /// encrypted and shown as `***`. Sending `***` back keeps a value. A URL on
    /// another host drops them all, unless they are sent with it
    #[oai(nullable)]
    headers: MaybeUndefined<BTreeMap<String, String>>,
    /// Replaces all channels: it then gets only events that share at least one; none: all events, or those of all
    /// channels of the restricted key that made it
    #[oai(nullable, validator(max_items = 10, unique_items))]
    channels: MaybeUndefined<Vec<String>>,
    /// `profile`: `data` inside the profile's envelope; `raw`: `data` alone
    envelope: Option<EnvelopeText>,
    /// Whose secret signs, from now on: `subscription`: its own; `tenant`: the tenant's, which is made if there is none yet
    /// and shown when it is rotated
    signing: Option<SigningText>,
    /// Replaces all pairs
    #[oai(nullable)]
    metadata: MaybeUndefined<BTreeMap<String, String>>,
}

/// How a secret is replaced
#[derive(Default, Object)]
#[oai(deny_unknown_fields)]
pub struct RotateSecret {
    /// How long the old secret signs beside the new one (default 0: it stops at once)
    #[oai(validator(minimum(value = "0"), maximum(value = "604800")))]
    pub overlap_seconds: Option<i64>,
    /// Changes how deliveries look, from now on
    pub profile: Option<ProfileText>,
}

impl Wire for RotateSecret {
    const IS_BODY_REQUIRED: bool = false;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { overlap_seconds: fields.take("overlap_seconds"), profile: fields.take("profile") }
    }
}

/// How a key pair is made
#[derive(Object)]
#[oai(deny_unknown_fields)]
pub(super) struct MakeKeyPair {
    /// How long the old pair, if there is one, signs beside the new one (default 0: it stops at once)
    #[oai(validator(minimum(value = "0"), maximum(value = "604800")))]
    pub(super) overlap_seconds: Option<i64>,
}

impl Wire for MakeKeyPair {
    const IS_BODY_REQUIRED: bool = false;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { overlap_seconds: fields.take("overlap_seconds") }
    }
}

/// What is sent to try a subscription
#[derive(Object)]
#[oai(deny_unknown_fields)]
pub(super) struct SendTest {
    /// Sends this type's example instead of a `webhook.test` event
    pub(super) event_type: Option<String>,
}

impl Wire for SendTest {
    const IS_BODY_REQUIRED: bool = false;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { event_type: fields.take("event_type") }
    }
}

/// What a test came to
#[derive(Debug, Serialize, Object)]
pub(super) struct TestDeliveryAttributes {
    outcome: DeliveryStatusName,
    response_status: Nullable<u16>,
    response_time_ms: u64,
    /// The beginning of the receiver's answer
    response_body_excerpt: Nullable<String>,
    /// `http_<status>` or a class: `blocked_address`, `dns`, `connect`, `tls`, `timeout`, `http`
    error: Nullable<String>,
}

impl Attributes for TestDeliveryAttributes {
    const TYPE: &'static str = "test_delivery";
    const NAME: &'static str = "TestDelivery";
    const ONE: &'static str = "The test was sent, and this came of it";
    const PAGE: &'static str = "";
}

/// How a receiver verifies the deliveries
#[derive(Debug, Serialize, Object)]
#[oai(rename = "SnippetsAttributes")]
pub(super) struct SnippetsAttributes {
    profile: ProfileName,
    snippets: Vec<Snippet>,
}

/// A function that takes body, headers and secret, and says whether a delivery is genuine and at most 5 minutes old
#[derive(Debug, Serialize, Object)]
pub(super) struct Snippet {
    language: SnippetLanguageName,
    code: String,
}

impl Attributes for SnippetsAttributes {
    const TYPE: &'static str = "snippets";
    const NAME: &'static str = "Snippets";
    const ONE: &'static str = "A program in each language";
    const PAGE: &'static str = "";
}

pub(super) fn snippets_attributes(profile: Profile, prefix: Option<&HeaderPrefix>) -> SnippetsAttributes {
    let one = |language: snippet::Language| Snippet {
        language: SnippetLanguageName(language.name()),
        code: snippet(language, profile, prefix),
    };
    SnippetsAttributes { profile: ProfileName(profile.name()), snippets: snippet::Language::ALL.map(one).into() }
}

pub(super) struct SubscriptionList {
    pub(super) is_of_the_instance: bool,
    pub(super) page: Numbered,
    pub(super) is_active: Option<bool>,
    pub(super) event: Option<EventPattern>,
    pub(super) health: Option<HealthStatus>,
    pub(super) url: Option<String>,
}

impl Parameters for SubscriptionList {
    fn documented() -> Vec<Parameter> {
        let mut parameters = vec![scope_parameter()];
        parameters.extend(Numbered::documented());
        parameters.extend([
            bool_parameter("filter[is_active]", "Only those that are, or are not, active"),
            text_parameter("filter[event]", "Only those that get this event type, or have this pattern"),
            choice_parameter("filter[health]", "Only those that fare so", HealthStatus::ALL.map(HealthStatus::name)),
            text_parameter("filter[url]", "Only those whose URL contains this"),
        ]);
        parameters
    }

    fn read(query: &mut Params) -> Self {
        let health = |name: &str| HealthStatus::ALL.into_iter().find(|health| health.name() == name);
        Self {
            is_of_the_instance: take_scope(query),
            page: Numbered::read(query),
            is_active: query.take_bool("filter[is_active]"),
            event: query.take("filter[event]", "an event type or pattern"),
            health: query.take_with("filter[health]", "healthy, degraded, failing or disabled", health),
            url: query.take("filter[url]", "a text"),
        }
    }
}

impl SubscriptionList {
    pub(super) fn takes(&self, subscription: &Subscription, health: &Health) -> bool {
        let Self { is_of_the_instance: _, page: _, is_active, event, health: wanted_health, url } = self;
        let has_event = |wanted: &EventPattern| {
            subscription.events.contains(wanted)
                || matches!(wanted, EventPattern::Exact(name) if subscription.wants(name))
        };
        is_active.is_none_or(|is_active| subscription.is_active == is_active)
            && event.as_ref().is_none_or(has_event)
            && wanted_health.is_none_or(|wanted| health.status(subscription) == wanted)
            && url.as_ref().is_none_or(|part| subscription.url.as_str().contains(part.as_str()))
    }
}

pub(super) fn attributes(subscription: &Subscription, health: &Health, shows_secret: bool) -> SubscriptionAttributes {
    let Subscription {
        id: _,
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
        public_ids: _,
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
        revision: _,
        created_at,
        updated_at,
    } = subscription;
    let Health { consecutive_failures, failing_since, last_delivery_at, last_delivery_succeeded, .. } = *health;
    let pairs = key_pairs.as_deref();
    let previous_pair = pairs.and_then(|pairs| pairs.previous.as_ref());
    let status = |succeeded| DeliveryStatusName(if succeeded { "success" } else { "failure" });
    SubscriptionAttributes {
        tenant_id: tenant.to_string(),
        url: url.as_str().to_owned(),
        events: events.iter().map(ToString::to_string).collect(),
        is_active: *is_active,
        description: description.clone().into(),
        signing: SigningName(signing.name()),
        secret: shows_secret.then(|| profile.show_secret(secret)),
        secret_version: *secret_version,
        previous_secret_expires_at: previous_secret.as_ref().map(|previous| previous.expires_at.into()).into(),
        public_key: pairs.map(|pairs| pairs.current.public().to_string()).into(),
        previous_key_pair_expires_at: previous_pair.map(|previous| Time(previous.expires_at)).into(),
        profile: ProfileName(profile.name()),
        marea_id: subscription.marea_id().to_string(),
        agentmessage_id: subscription.agentmessage_id().to_string(),
        envelope: EnvelopeName(envelope.name()),
        api_version: api_version.map(|version| ApiVersionName(version.name())).into(),
        max_in_flight: *max_in_flight,
        timeout_seconds: *timeout_seconds,
        rate_limit: rate_limit.map(NonZeroU16::get).into(),
        retry_schedule: retry_schedule.as_ref().map(|schedule| schedule.retry_waits().collect()).into(),
        ordering: OrderingName(ordering.name()),
        circuit_breaker: *circuit_breaker,
        headers: headers.keys().map(|name| (name.as_str().to_owned(), MASK.to_owned())).collect(),
        channels: channels.iter().map(ToString::to_string).collect(),
        owner: OwnerName(owner.name()),
        metadata: metadata.clone(),
        health: HealthName(health.status(subscription).name()),
        failing_since: failing_since.map(Time).into(),
        next_probe_at: health.next_probe_at().filter(|_| *is_active).map(Time).into(),
        disabled_reason: disabled_reason.map(|reason| DisabledReasonName(reason.name())).into(),
        last_delivery_at: last_delivery_at.map(Time).into(),
        last_delivery_status: last_delivery_succeeded.map(status).into(),
        consecutive_failures,
        created_at: Time(*created_at),
        updated_at: Time(*updated_at),
    }
}

pub(super) fn test_attributes(attempt: &Attempt) -> TestDeliveryAttributes {
    let error = match &attempt.outcome {
        Outcome::Success => None,
        Outcome::Status(status) => Some(format!("http_{status}")),
        Outcome::Error { class, detail: _ } => Some(class.name().to_owned()),
    };
    let response = attempt.response.as_ref();
    let excerpt = |body: &[u8]| String::from_utf8_lossy(&body[..body.len().min(EXCERPT_BYTES_MAX)]).into_owned();
    TestDeliveryAttributes {
        outcome: DeliveryStatusName(if attempt.outcome.is_success() { "success" } else { "failure" }),
        response_status: response.map(|response| response.status).into(),
        response_time_ms: u64::try_from(attempt.phases.total.as_millis()).unwrap_or(u64::MAX),
        response_body_excerpt: response.map(|response| excerpt(&response.body)).into(),
        error: error.into(),
    }
}
