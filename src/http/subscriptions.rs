//! `/v1/webhook-subscriptions` (contract 4.1).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use poem::http::StatusCode;
use poem_openapi::param::Path;
use poem_openapi::types::MaybeUndefined;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::auth::{Call, Caller, scope};
use super::body::{Body, Fields, Findings, Wire, pointer_of};
use super::etag::{self, IfMatch};
use super::idempotency::{Fingerprint, once};
use super::page::{
    Listed, Numbered, Parameter, Parameters, Params, Query, bool_parameter, choice_parameter, text_parameter,
};
use super::problem::Refusal;
use super::reply::{Answer, Attributes, Object as ResourceObject, One, Reply};
use super::value::{Nullable, Time, choice, choice_text};
use super::{App, Tag};
use crate::domain::delivery::{Attempt, Outcome};
use crate::domain::event::{Event, EventWithData};
use crate::domain::event_type::{EventPattern, EventTypeName, WEBHOOK_TEST};
use crate::domain::header::CustomHeaders;
use crate::domain::health::{Health, HealthStatus};
use crate::domain::id::SubscriptionId;
use crate::domain::profile::Profile;
use crate::domain::secret::Secret;
use crate::domain::subscription::{
    DESCRIPTION_LENGTH_MAX, DeliveryOrder, DisabledReason, EVENTS_MAX, Envelope, MAX_IN_FLIGHT_CEILING,
    MAX_IN_FLIGHT_DEFAULT, OVERLAP_SECONDS_MAX, PreviousSecret, Subscription, TIMEOUT_SECONDS_CEILING,
    TIMEOUT_SECONDS_DEFAULT,
};
use crate::domain::target::TargetUrl;
use crate::domain::tenant::{METADATA_KEY_LENGTH_MAX, METADATA_PAIRS_MAX, METADATA_VALUE_LENGTH_MAX, Metadata};
use crate::domain::time::Timestamp;
use crate::domain::violation::Rule;
use crate::store::{Catalogue, SecretOwner};

const THING: &str = "Webhook subscription";
/// How much of a receiver's answer a test shows.
const EXCERPT_BYTES_MAX: usize = 1024;

choice_text!(ProfileText, "profile_text", Profile::ALL.map(Profile::name));
choice_text!(EnvelopeText, "envelope_text", Envelope::NAMES);
choice!(ProfileName, "profile", Profile::ALL.map(Profile::name));
choice!(EnvelopeName, "envelope", Envelope::NAMES);
choice!(HealthName, "health", HealthStatus::ALL.map(HealthStatus::name));
choice!(DisabledReasonName, "disabled_reason", DisabledReason::ALL.map(DisabledReason::name));
choice!(DeliveryStatusName, "delivery_status", ["success", "failure"]);

/// A subscription, as it stands
#[derive(Debug, Serialize, Object)]
#[oai(rename = "SubscriptionAttributes")]
pub struct SubscriptionAttributes {
    /// Where deliveries go
    url: String,
    /// Event types and patterns: `order.paid`, `order.*` (any depth below `order`), `*`
    events: Vec<String>,
    /// False: deliveries wait
    is_active: bool,
    /// A label for people
    description: Nullable<String>,
    /// The signing secret: only in the answers of create and rotate
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Grows with each rotation
    secret_version: u32,
    /// Until when a rotated secret signs beside the current one
    previous_secret_expires_at: Nullable<Time>,
    /// How deliveries look; changes only together with the secret
    profile: ProfileName,
    /// `raw`: the body is `data` alone
    envelope: EnvelopeName,
    /// Requests open at the same time
    max_in_flight: u8,
    /// How long a receiver may take to answer
    timeout_seconds: u8,
    /// Your own pairs
    metadata: BTreeMap<String, String>,
    /// How deliveries fare
    health: HealthName,
    /// Why Waxwing made it inactive
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
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct CreateSubscription {
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
    /// `profile` (default): `data` inside the profile's envelope; `raw`: `data` alone
    envelope: Option<EnvelopeText>,
    /// Your own pairs: at most 50, names of 64 and values of 512 characters
    #[oai(nullable)]
    metadata: MaybeUndefined<BTreeMap<String, String>>,
    /// Your own signing secret, in the profile's format; otherwise one is made
    secret: Option<String>,
}

impl Wire for CreateSubscription {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            url: fields.take("url"),
            events: fields.take("events"),
            description: fields.take("description"),
            is_active: fields.take("is_active"),
            max_in_flight: fields.take("max_in_flight"),
            timeout_seconds: fields.take("timeout_seconds"),
            envelope: fields.take("envelope"),
            metadata: fields.take("metadata"),
            secret: fields.take("secret"),
        }
    }
}

/// What changes: an absent field stays, null clears
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct UpdateSubscription {
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
    /// `profile`: `data` inside the profile's envelope; `raw`: `data` alone
    envelope: Option<EnvelopeText>,
    /// Replaces all pairs
    #[oai(nullable)]
    metadata: MaybeUndefined<BTreeMap<String, String>>,
}

impl Wire for UpdateSubscription {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            url: fields.take("url"),
            events: fields.take("events"),
            description: fields.take("description"),
            is_active: fields.take("is_active"),
            max_in_flight: fields.take("max_in_flight"),
            timeout_seconds: fields.take("timeout_seconds"),
            envelope: fields.take("envelope"),
            metadata: fields.take("metadata"),
        }
    }
}

/// How a secret is replaced
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct RotateSecret {
    /// How long the old secret signs beside the new one (default 0: it stops at once)
    #[oai(validator(minimum(value = "0"), maximum(value = "604800")))]
    overlap_seconds: Option<i64>,
    /// Changes how deliveries look, from now on
    profile: Option<ProfileText>,
}

impl Wire for RotateSecret {
    const IS_BODY_REQUIRED: bool = false;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { overlap_seconds: fields.take("overlap_seconds"), profile: fields.take("profile") }
    }
}

/// What is sent to try a subscription
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct SendTest {
    /// Sends this type's example instead of a `webhook.test` event
    event_type: Option<String>,
}

impl Wire for SendTest {
    const IS_BODY_REQUIRED: bool = false;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { event_type: fields.take("event_type") }
    }
}

/// What a test came to
#[derive(Debug, Serialize, Object)]
struct TestDeliveryAttributes {
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

struct SubscriptionList {
    page: Numbered,
    is_active: Option<bool>,
    event: Option<EventPattern>,
    health: Option<HealthStatus>,
    url: Option<String>,
}

impl Parameters for SubscriptionList {
    fn documented() -> Vec<Parameter> {
        let mut parameters = Numbered::documented();
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
            page: Numbered::read(query),
            is_active: query.take_bool("filter[is_active]"),
            event: query.take("filter[event]", "an event type or pattern"),
            health: query.take_with("filter[health]", "healthy, degraded, failing or disabled", health),
            url: query.take("filter[url]", "a text"),
        }
    }
}

impl SubscriptionList {
    fn takes(&self, subscription: &Subscription, health: &Health) -> bool {
        let Self { page: _, is_active, event, health: wanted_health, url } = self;
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

pub struct SubscriptionsApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1/webhook-subscriptions", tag = "Tag::Subscriptions")]
impl SubscriptionsApi {
    /// Create a subscription
    ///
    /// Deliveries start with the next event that it asks for. The answer is one of the two that show the secret.
    #[oai(path = "/", method = "post", operation_id = "subscriptions.create")]
    async fn create(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        body: Body<CreateSubscription>,
    ) -> Result<Answer<One<SubscriptionAttributes>, 201>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |memory| {
            let (wire, findings) = body.read()?;
            let subscription = self.new_subscription(&caller, wire, findings).await?;
            let render = |made: &Subscription| {
                let attributes = attributes(made, &Health::default(), true);
                Reply::json(StatusCode::CREATED, &One::new(made.id.to_string(), attributes))
                    .header("location", format!("/v1/webhook-subscriptions/{}", made.id))
                    .header("etag", etag::of(made.revision))
                    .shows_secret_of(SecretOwner::Subscription(made.id))
            };
            let made = self.app.store.create_subscription(subscription, memory.keep(render)).await?;
            Ok(render(&made))
        })
        .await
        .map(Into::into)
    }

    /// List subscriptions
    #[oai(path = "/", method = "get", operation_id = "subscriptions.list")]
    async fn list(
        &self,
        caller: Caller<scope::SubscriptionsRead>,
        query: Query<SubscriptionList>,
    ) -> Result<Answer<Listed<SubscriptionAttributes>, 200>, Refusal> {
        let Query(list) = query;
        let rows: Vec<(&Arc<Subscription>, Health)> = caller
            .tenant_entry()
            .subscriptions()
            .map(|subscription| (subscription, self.app.store.health(subscription.id)))
            .filter(|(subscription, health)| list.takes(subscription, health))
            .collect();
        let page = list.page.cut(&caller, rows, |(subscription, health)| {
            ResourceObject::new(subscription.id.to_string(), attributes(subscription, &health, false))
        });
        Ok(Reply::json(StatusCode::OK, &page).into())
    }

    /// Get a subscription
    #[oai(path = "/:id", method = "get", operation_id = "subscriptions.get")]
    async fn get(
        &self,
        caller: Caller<scope::SubscriptionsRead>,
        id: Path<String>,
    ) -> Result<Answer<One<SubscriptionAttributes>, 200>, Refusal> {
        let subscription = find(&caller, &id)?;
        Ok(self.show(subscription).into())
    }

    /// Change a subscription
    ///
    /// Only what is sent changes; the secret never does. The same as PATCH.
    #[oai(path = "/:id", method = "put", operation_id = "subscriptions.put")]
    async fn put(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        id: Path<String>,
        body: Body<UpdateSubscription>,
    ) -> Result<Answer<One<SubscriptionAttributes>, 200>, Refusal> {
        self.change(&caller, &id, &body).await
    }

    /// Change a subscription
    ///
    /// Only what is sent changes; the secret never does.
    #[oai(path = "/:id", method = "patch", operation_id = "subscriptions.update")]
    async fn update(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        id: Path<String>,
        body: Body<UpdateSubscription>,
    ) -> Result<Answer<One<SubscriptionAttributes>, 200>, Refusal> {
        self.change(&caller, &id, &body).await
    }

    /// Delete a subscription
    ///
    /// Deliveries stop at once, and those that wait are canceled. What was delivered stays readable.
    #[oai(path = "/:id", method = "delete", operation_id = "subscriptions.delete")]
    async fn delete(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        id: Path<String>,
    ) -> Result<Answer<(), 204>, Refusal> {
        let subscription = find(&caller, &id)?;
        let expected = IfMatch::of(&caller).expect(subscription.revision)?;
        self.app.store.delete_subscription(subscription.id, expected).await?;
        Ok(Reply::empty(StatusCode::NO_CONTENT).into())
    }

    /// Replace the signing secret
    ///
    /// The old secret stops at once unless an overlap is asked for. The answer is one of the two that show the secret.
    #[oai(path = "/:id/rotate-secret", method = "post", operation_id = "subscriptions.rotate_secret")]
    async fn rotate_secret(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        id: Path<String>,
        body: Body<RotateSecret>,
    ) -> Result<Answer<One<SubscriptionAttributes>, 200>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |memory| {
            let subscription = find(&caller, &id)?;
            let (wire, findings) = body.read()?;
            let rotation = rotation(wire, findings, subscription)?;
            let secret = Secret::generate(&mut rand::rng());
            let (id, now) = (subscription.id, self.app.clock.now());
            let health = self.app.store.health(id);
            let render = move |made: &Subscription| {
                Reply::json(StatusCode::OK, &One::new(made.id.to_string(), attributes(made, &health, true)))
                    .header("etag", etag::of(made.revision))
                    .shows_secret_of(SecretOwner::Subscription(made.id))
            };
            let change = Box::new(move |subscription: &mut Subscription| {
                rotation.apply(subscription, secret, now);
                Ok(())
            });
            let made = self.app.store.update_subscription(id, change, memory.keep(render)).await?;
            Ok(render(&made))
        })
        .await
        .map(Into::into)
    }

    /// Send a test
    ///
    /// Sends `webhook.test`, or the example of an event type, now: past the queue, and also to a paused subscription.
    /// Nothing of it is kept.
    #[oai(path = "/:id/test", method = "post", operation_id = "subscriptions.test")]
    async fn test(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        id: Path<String>,
        body: Body<SendTest>,
    ) -> Result<Answer<One<TestDeliveryAttributes>, 200>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |_memory| {
            let subscription = find(&caller, &id)?;
            let (wire, findings) = body.read()?;
            let event = self.test_event(&caller, wire, findings)?;
            let attempt = self.app.dispatch.test(caller.tenant(), subscription, &event).await;
            let one = One::new(event.event.id.to_string(), test_attributes(&attempt));
            Ok(Reply::json(StatusCode::OK, &one))
        })
        .await
        .map(Into::into)
    }
}

impl SubscriptionsApi {
    fn show(&self, subscription: &Subscription) -> Reply {
        let attributes = attributes(subscription, &self.app.store.health(subscription.id), false);
        Reply::json(StatusCode::OK, &One::new(subscription.id.to_string(), attributes))
            .header("etag", etag::of(subscription.revision))
    }

    async fn new_subscription(
        &self,
        call: &Call,
        wire: CreateSubscription,
        mut findings: Findings,
    ) -> Result<Subscription, Refusal> {
        let CreateSubscription {
            url,
            events,
            description,
            is_active,
            max_in_flight,
            timeout_seconds,
            envelope,
            metadata,
            secret,
        } = wire;
        let profile = call.tenant().profile;
        let url = self.check_url(call, &url, &mut findings).await;
        let events = check_events(&call.catalogue, &events, &mut findings);
        let description = description.take();
        check_description(description.as_deref(), &mut findings);
        let max_in_flight = check_max_in_flight(max_in_flight, &mut findings);
        let timeout_seconds = check_timeout(timeout_seconds, &mut findings);
        let envelope = check_envelope(envelope, &mut findings);
        let metadata = metadata.take().unwrap_or_default();
        check_metadata(&metadata, &mut findings);
        let secret = match secret {
            None => Some(Secret::generate(&mut rand::rng())),
            Some(text) => profile.read_secret(&text),
        };
        if secret.is_none() {
            findings.add(Rule::InvalidSecret { expected: profile.secret_expected() }, "/secret");
        }
        findings.finish()?;
        let (Some(url), Some(secret)) = (url, secret) else {
            unreachable!("a missing one is among the findings");
        };
        let now = self.app.clock.now();
        Ok(Subscription {
            // The store assigns it.
            id: SubscriptionId::from_u128(0),
            tenant: call.tenant().id,
            url,
            events,
            description,
            is_active: is_active.unwrap_or(true),
            disabled_reason: None,
            max_in_flight: max_in_flight.unwrap_or(MAX_IN_FLIGHT_DEFAULT),
            timeout_seconds: timeout_seconds.unwrap_or(TIMEOUT_SECONDS_DEFAULT),
            rate_limit: None,
            retry_schedule: None,
            ordering: DeliveryOrder::None,
            headers: CustomHeaders::new(),
            channels: Vec::new(),
            profile,
            envelope: envelope.unwrap_or_default(),
            metadata,
            secret,
            secret_version: 1,
            previous_secret: None,
            revision: 1,
            created_at: now,
            updated_at: now,
        })
    }

    async fn change(
        &self,
        call: &Call,
        id: &str,
        body: &Body<UpdateSubscription>,
    ) -> Result<Answer<One<SubscriptionAttributes>, 200>, Refusal> {
        let subscription = find(call, id)?;
        let (wire, mut findings) = body.read()?;
        let UpdateSubscription {
            url,
            events,
            description,
            is_active,
            max_in_flight,
            timeout_seconds,
            envelope,
            metadata,
        } = wire;
        let url = match url {
            Some(url) => self.check_url(call, &url, &mut findings).await,
            None => None,
        };
        let events = events.map(|events| check_events(&call.catalogue, &events, &mut findings));
        check_description(description.value().map(String::as_str), &mut findings);
        let max_in_flight = check_max_in_flight(max_in_flight, &mut findings);
        let timeout_seconds = check_timeout(timeout_seconds, &mut findings);
        let envelope = check_envelope(envelope, &mut findings);
        if let Some(metadata) = metadata.value() {
            check_metadata(metadata, &mut findings);
        }
        findings.finish()?;
        let if_match = IfMatch::of(call);
        let change = Box::new(move |subscription: &mut Subscription| {
            if_match.check(subscription.revision)?;
            set(&mut subscription.url, url);
            set(&mut subscription.events, events);
            match description {
                MaybeUndefined::Undefined => {}
                MaybeUndefined::Null => subscription.description = None,
                MaybeUndefined::Value(text) => subscription.description = Some(text),
            }
            set(&mut subscription.is_active, is_active);
            set(&mut subscription.max_in_flight, max_in_flight);
            set(&mut subscription.timeout_seconds, timeout_seconds);
            set(&mut subscription.envelope, envelope);
            match metadata {
                MaybeUndefined::Undefined => {}
                MaybeUndefined::Null => subscription.metadata = Metadata::new(),
                MaybeUndefined::Value(pairs) => subscription.metadata = pairs,
            }
            Ok(())
        });
        let changed = self.app.store.update_subscription(subscription.id, change, None).await?;
        Ok(self.show(&changed).into())
    }

    /// The grammar, then the addresses behind the name (contract 8).
    async fn check_url(&self, call: &Call, text: &str, findings: &mut Findings) -> Option<TargetUrl> {
        if !findings.is_sound("url") {
            return None;
        }
        let url = match TargetUrl::parse(text, &self.app.settings.targets) {
            Ok(url) => url,
            Err(rule) => {
                findings.add(rule, "/url");
                return None;
            }
        };
        let is_allowed =
            if url.is_test_receiver() { call.is_of_the_instance() } else { self.app.net.vet(&url).await.is_ok() };
        if !is_allowed {
            findings.add(Rule::UrlBlocked, "/url");
        }
        Some(url)
    }

    fn test_event(&self, call: &Call, wire: SendTest, mut findings: Findings) -> Result<EventWithData, Refusal> {
        let (event_type, data) = match wire.event_type {
            None => (WEBHOOK_TEST.parse().ok(), r#"{"message":"Hello from Waxwing"}"#.to_owned()),
            Some(name) => match call.catalogue.event_type(&name) {
                Some(entry) => {
                    let example = entry.event_type.example.as_ref();
                    (Some(entry.event_type.name.clone()), example.map_or("{}", |example| example.get()).to_owned())
                }
                None => {
                    findings.add(Rule::UnknownEventType { name }, "/event_type");
                    (None, String::new())
                }
            },
        };
        findings.finish()?;
        let event_type: EventTypeName = event_type.expect("a missing one is among the findings");
        let now = self.app.clock.now();
        let event = Event {
            id: self.app.store.next_event_id(),
            tenant: call.tenant().id,
            event_type,
            external_id: None,
            occurred_at: now,
            created_at: now,
            deliveries: 1,
            data_bytes: u32::try_from(data.len()).unwrap_or(u32::MAX),
            channels: Vec::new(),
            deliver_at: None,
            replay_of: None,
        };
        Ok(EventWithData { event, data: data.into() })
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

pub fn find<'a>(call: &'a Call, id: &str) -> Result<&'a Arc<Subscription>, Refusal> {
    let found = id.parse().ok().and_then(|id| call.tenant_entry().subscription(id));
    found.ok_or_else(|| Refusal::not_found(THING, id))
}

fn check_events(catalogue: &Catalogue, events: &[String], findings: &mut Findings) -> Vec<EventPattern> {
    if findings.has_at("/events") {
        return Vec::new();
    }
    if events.is_empty() {
        findings.add(Rule::EventsEmpty, "/events");
    }
    if events.len() > EVENTS_MAX {
        findings.add(Rule::TooManyItems { max: EVENTS_MAX }, "/events");
        return Vec::new();
    }
    let mut patterns = Vec::with_capacity(events.len());
    for (index, text) in events.iter().enumerate() {
        let pointer = format!("/events/{index}");
        if findings.has_at(&pointer) {
            continue;
        }
        let known = text.parse().ok().filter(|pattern| match pattern {
            EventPattern::All => true,
            // A test is sent when somebody asks for it, never because somebody subscribed to it.
            EventPattern::Below(prefix) => prefix.as_str() != "webhook",
            EventPattern::Exact(name) => {
                catalogue.event_type(name.as_str()).is_some_and(|entry| entry.event_type.archived_at.is_none())
            }
        });
        match known {
            None => findings.add(Rule::UnknownEventType { name: text.clone() }, pointer),
            Some(pattern) if patterns.contains(&pattern) => findings.add(Rule::DuplicateItem, pointer),
            Some(pattern) => patterns.push(pattern),
        }
    }
    patterns
}

fn check_description(description: Option<&str>, findings: &mut Findings) {
    if description.is_some_and(|text| text.chars().count() > DESCRIPTION_LENGTH_MAX) {
        findings.add(Rule::DescriptionTooLong { max: DESCRIPTION_LENGTH_MAX }, "/description");
    }
}

/// A number within `min..=max`, or a finding.
fn check_range(
    value: Option<i64>,
    (min, max): (i64, i64),
    unit: &'static str,
    pointer: &str,
    findings: &mut Findings,
) -> Option<i64> {
    let value = value?;
    if (min..=max).contains(&value) {
        return Some(value);
    }
    findings.add(Rule::OutOfRange { min, max, unit }, pointer);
    None
}

fn check_max_in_flight(value: Option<i64>, findings: &mut Findings) -> Option<u8> {
    let range = (1, i64::from(MAX_IN_FLIGHT_CEILING));
    check_range(value, range, "", "/max_in_flight", findings).and_then(|value| value.try_into().ok())
}

fn check_timeout(value: Option<i64>, findings: &mut Findings) -> Option<u8> {
    let range = (1, i64::from(TIMEOUT_SECONDS_CEILING));
    check_range(value, range, "seconds", "/timeout_seconds", findings).and_then(|value| value.try_into().ok())
}

fn check_envelope(name: Option<EnvelopeText>, findings: &mut Findings) -> Option<Envelope> {
    let envelope = Envelope::from_name(&name?.0);
    if envelope.is_none() {
        findings.add(Rule::InvalidFormat { expected: "'profile' or 'raw'" }, "/envelope");
    }
    envelope
}

pub fn check_metadata(pairs: &Metadata, findings: &mut Findings) {
    if pairs.len() > METADATA_PAIRS_MAX {
        findings.add(Rule::TooManyItems { max: METADATA_PAIRS_MAX }, "/metadata");
        return;
    }
    for (name, value) in pairs {
        let pointer = format!("/metadata{}", pointer_of(name));
        if name.is_empty() {
            findings.add(Rule::TooShort { min: 1 }, pointer.clone());
        } else if name.chars().count() > METADATA_KEY_LENGTH_MAX {
            findings.add(Rule::TooLong { max: METADATA_KEY_LENGTH_MAX }, pointer.clone());
        }
        if value.chars().count() > METADATA_VALUE_LENGTH_MAX {
            findings.add(Rule::TooLong { max: METADATA_VALUE_LENGTH_MAX }, pointer);
        }
    }
}

pub fn check_profile(name: Option<ProfileText>, findings: &mut Findings) -> Option<Profile> {
    let profile = Profile::from_name(&name?.0);
    if profile.is_none() {
        findings.add(Rule::InvalidFormat { expected: "'standard' or 'mage'" }, "/profile");
    }
    profile
}

struct Rotation {
    profile: Profile,
    overlap: Duration,
}

impl Rotation {
    fn apply(&self, subscription: &mut Subscription, secret: Secret, now: Timestamp) {
        let old = std::mem::replace(&mut subscription.secret, secret);
        let expires_at = now.plus(self.overlap);
        subscription.previous_secret = (!self.overlap.is_zero()).then_some(PreviousSecret { secret: old, expires_at });
        subscription.secret_version += 1;
        subscription.profile = self.profile;
    }
}

fn rotation(wire: RotateSecret, mut findings: Findings, subscription: &Subscription) -> Result<Rotation, Refusal> {
    let RotateSecret { overlap_seconds, profile } = wire;
    let range = (0, i64::from(OVERLAP_SECONDS_MAX));
    let overlap = check_range(overlap_seconds, range, "seconds", "/overlap_seconds", &mut findings).unwrap_or(0);
    let profile = check_profile(profile, &mut findings).unwrap_or(subscription.profile);
    if overlap > 0 && !profile.can_overlap() {
        findings.add(Rule::OverlapNotSupported { profile: profile.name() }, "/overlap_seconds");
    }
    findings.finish()?;
    Ok(Rotation { profile, overlap: Duration::from_secs(overlap.unsigned_abs()) })
}

fn attributes(subscription: &Subscription, health: &Health, shows_secret: bool) -> SubscriptionAttributes {
    let Subscription {
        id: _,
        tenant: _,
        url,
        events,
        description,
        is_active,
        disabled_reason,
        max_in_flight,
        timeout_seconds,
        rate_limit: _,
        retry_schedule: _,
        ordering: _,
        headers: _,
        channels: _,
        profile,
        envelope,
        metadata,
        secret,
        secret_version,
        previous_secret,
        revision: _,
        created_at,
        updated_at,
    } = subscription;
    let Health { consecutive_failures, last_delivery_at, last_delivery_succeeded, .. } = *health;
    let status = |succeeded| DeliveryStatusName(if succeeded { "success" } else { "failure" });
    SubscriptionAttributes {
        url: url.as_str().to_owned(),
        events: events.iter().map(ToString::to_string).collect(),
        is_active: *is_active,
        description: description.clone().into(),
        secret: shows_secret.then(|| profile.show_secret(secret)),
        secret_version: *secret_version,
        previous_secret_expires_at: previous_secret.as_ref().map(|previous| previous.expires_at.into()).into(),
        profile: ProfileName(profile.name()),
        envelope: EnvelopeName(envelope.name()),
        max_in_flight: *max_in_flight,
        timeout_seconds: *timeout_seconds,
        metadata: metadata.clone(),
        health: HealthName(health.status(subscription).name()),
        disabled_reason: disabled_reason.map(|reason| DisabledReasonName(reason.name())).into(),
        last_delivery_at: last_delivery_at.map(Time).into(),
        last_delivery_status: last_delivery_succeeded.map(status).into(),
        consecutive_failures,
        created_at: Time(*created_at),
        updated_at: Time(*updated_at),
    }
}

fn test_attributes(attempt: &Attempt) -> TestDeliveryAttributes {
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
