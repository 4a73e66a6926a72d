//! `/v1/webhooks`: endpoints, which are subscriptions.

use std::sync::Arc;

use poem::http::StatusCode;
use poem_openapi::param::Path;
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::MaybeUndefined;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::AgentMessageTag;
use super::wire::{Bare, Described, List, ListMeta, Seconds, UuidText};
use crate::domain::profile::Profile;
use crate::domain::profile::agentmessage::event_id;
use crate::domain::public_id::PublicId;
use crate::domain::subscription::Subscription;
use crate::domain::uuid::Uuid;
use crate::domain::violation::Rule;
use crate::http::App;
use crate::http::auth::{Call, Caller, scope};
use crate::http::body::{Body, Fields, Findings, Nothing, Wire};
use crate::http::page::{Parameter, Parameters, Params, Query};
use crate::http::problem::Refusal;
use crate::http::reply::{Answer, Reply};
use crate::http::subscriptions::{
    ApiVersionText, NewSubscription, RotateSecret, Settings, SubscriptionChange, SubscriptionsApi, TestKept,
};
use crate::http::value::Nullable;

use super::deliveries::{OutcomeName, Told, told};

const THING: &str = "Webhook subscription";
/// Of an organization.
/// GUESS: whether one that is not active counts is told in two ways; it does.
const ENDPOINTS_MAX: u32 = 50;
/// The own API's limit is longer.
const DESCRIPTION_LENGTH_MAX: usize = 200;
const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 100;
/// GUESS: no status of a success is printed except of the rotation.
const CREATED: u16 = 201;
const DELETED: u16 = 204;

/// Where events go
#[derive(Debug, Serialize, Object)]
#[oai(rename = "WebhookEndpoint")]
struct EndpointView {
    id: UuidText,
    /// The organization: the tenant
    org_id: UuidText,
    url: String,
    /// Left out when there is none
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    events: Vec<String>,
    active: bool,
    /// Of the envelope of its events; fixed at creation. Null for one of the own API whose profile has no versions
    api_version: Nullable<String>,
    created_at: Seconds,
    updated_at: Seconds,
    /// Null: a deleted endpoint is not shown any more
    deleted_at: Nullable<Seconds>,
    /// The signing secret, 32 bytes in base64: only in the answers of create and rotate
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Beside `secret`
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_displayed_once: Option<bool>,
}

impl Described for EndpointView {
    const ONE: &'static str = "The endpoint";
    const LIST: &'static str = "The endpoints, the newest first";
}

/// An endpoint to be made
#[derive(Object)]
#[oai(rename = "CreateWebhookEndpoint", deny_unknown_fields)]
struct CreateEndpoint {
    /// `https`, and no address of an internal network
    #[oai(validator(max_length = 2048))]
    url: String,
    /// Event types or patterns (`order.*`, `*`), each once
    #[oai(validator(min_items = 1, max_items = 50))]
    events: Vec<String>,
    /// A label for people: at most 200 characters, without spaces around them
    #[oai(nullable)]
    description: MaybeUndefined<String>,
    /// A supported version: `2026-04-01` (default)
    api_version: Option<String>,
    /// Not used: an endpoint starts active
    active: Option<bool>,
}

impl Wire for CreateEndpoint {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            url: fields.take("url"),
            events: fields.take("events"),
            description: fields.take("description"),
            api_version: fields.take("api_version"),
            active: fields.take("active"),
        }
    }
}

/// What changes: only what is sent
#[derive(Object)]
#[oai(rename = "UpdateWebhookEndpoint", deny_unknown_fields)]
struct UpdateEndpoint {
    /// `https`, and no address of an internal network
    #[oai(validator(max_length = 2048))]
    url: Option<String>,
    /// Replaces all of them
    #[oai(validator(min_items = 1, max_items = 50))]
    events: Option<Vec<String>>,
    /// Trimmed; empty or null clears it. At most 200 characters
    #[oai(nullable)]
    description: MaybeUndefined<String>,
    active: Option<bool>,
}

/// An [`UpdateEndpoint`] as it came.
struct EndpointChange {
    update: UpdateEndpoint,
    names_api_version: bool,
}

impl Wire for EndpointChange {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        let api_version: MaybeUndefined<String> = fields.take("api_version");
        let update = UpdateEndpoint {
            url: fields.take("url"),
            events: fields.take("events"),
            description: fields.take("description"),
            active: fields.take("active"),
        };
        Self { update, names_api_version: !api_version.is_undefined() }
    }
}

/// What a test came to
#[derive(Debug, Serialize, Object)]
#[oai(rename = "WebhookTest")]
struct TestView {
    /// `evt_` and a UUID
    event_id: String,
    /// `success`, or `dead`: a test is not repeated
    outcome: OutcomeName,
    url: String,
    /// Null when no usable answer came
    response_status: Nullable<u16>,
    response_time_ms: u64,
    /// The beginning of the receiver's answer
    response_body_excerpt: Nullable<String>,
    /// Why no usable answer came: `blocked_address`, `dns`, `connect`, `tls`, `timeout` or `http`
    error: Nullable<String>,
}

impl Described for TestView {
    const ONE: &'static str = "The test was sent, and this came of it. The feed of deliveries has it, too";
    const LIST: &'static str = "";
}

struct EndpointList {
    limit: usize,
}

impl Parameters for EndpointList {
    fn documented() -> Vec<Parameter> {
        vec![limit_parameter(LIMIT_MAX, LIMIT_DEFAULT)]
    }

    fn read(query: &mut Params) -> Self {
        Self { limit: take_limit(query, LIMIT_MAX, "1 to 100", LIMIT_DEFAULT) }
    }
}

pub fn limit_parameter(max: usize, default: usize) -> Parameter {
    let schema = MetaSchema {
        minimum: Some(1.0),
        maximum: Some(max as f64),
        default: Some(default.into()),
        ..MetaSchema::new("integer")
    };
    Parameter { name: "limit", description: "How many at most", schema }
}

/// GUESS: one out of range is refused, and not cut.
pub fn take_limit(query: &mut Params, max: usize, expected: &'static str, default: usize) -> usize {
    let read = |value: &str| value.parse().ok().filter(|limit| (1..=max).contains(limit));
    query.take_with("limit", expected, read).unwrap_or(default)
}

pub struct EndpointsApi {
    app: Arc<App>,
    subscriptions: SubscriptionsApi,
}

#[OpenApi(prefix_path = "/v1/webhooks", tag = "AgentMessageTag::Endpoints")]
impl EndpointsApi {
    /// Create an endpoint
    ///
    /// The answer is one of the two that show the secret.
    #[oai(path = "/", method = "post", operation_id = "webhooks.create")]
    async fn create(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        body: Body<CreateEndpoint>,
    ) -> Result<Answer<Bare<EndpointView>, CREATED>, Refusal> {
        let (wire, mut findings) = body.read()?;
        let CreateEndpoint { url, events, description, api_version, active: _ } = wire;
        let description = check_description(description, &mut findings);
        let settings = Settings { description, ..Settings::default() };
        // GUESS: which versions there are besides the one that is printed.
        let api_version = api_version.map(ApiVersionText::from);
        let new = NewSubscription { url, events, settings, secret: None, api_version };
        let new = self.subscriptions.new_subscription(&caller, Profile::AgentMessage, new, findings).await?;
        let made = self.app.store.create_subscription_within(ENDPOINTS_MAX, new, None).await?;
        Ok(show(StatusCode::CREATED, &made, true).into())
    }

    /// List endpoints
    #[oai(path = "/", method = "get", operation_id = "webhooks.list")]
    async fn list(
        &self,
        caller: Caller<scope::SubscriptionsRead>,
        query: Query<EndpointList>,
    ) -> Result<Answer<List<EndpointView>, 200>, Refusal> {
        let Query(EndpointList { limit }) = query;
        let all = caller.tenant_entry().subscriptions().filter(|subscription| caller.sees(subscription));
        let all: Vec<&Arc<Subscription>> = all.collect();
        let data = all.iter().rev().take(limit).map(|subscription| view(subscription, false)).collect();
        let meta = ListMeta { total: all.len(), limit, offset: 0, next_cursor: None.into() };
        Ok(Reply::json(StatusCode::OK, &List::new(data, meta)).into())
    }

    /// Get an endpoint
    #[oai(path = "/:id", method = "get", operation_id = "webhooks.get")]
    async fn get(
        &self,
        caller: Caller<scope::SubscriptionsRead>,
        id: Path<String>,
    ) -> Result<Answer<Bare<EndpointView>, 200>, Refusal> {
        Ok(show(StatusCode::OK, find(&caller, &id)?, false).into())
    }

    /// Change an endpoint
    ///
    /// Only what is sent changes; the secret and `api_version` never do.
    #[oai(path = "/:id", method = "patch", operation_id = "webhooks.update")]
    async fn update(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        id: Path<String>,
        body: Body<EndpointChange, UpdateEndpoint>,
    ) -> Result<Answer<Bare<EndpointView>, 200>, Refusal> {
        let (EndpointChange { update, names_api_version }, mut findings) = body.read()?;
        // GUESS: it is refused as a field that breaks a rule, and not passed over.
        if names_api_version {
            findings.add(Rule::InvalidFormat { expected: "left out: it is fixed at creation" }, "/api_version");
        }
        let UpdateEndpoint { url, events, description, active } = update;
        let description = check_description(description, &mut findings);
        let settings = Settings { description, is_active: active, ..Settings::default() };
        let change = SubscriptionChange { url, events, settings };
        // The body is judged before it is told whether there is such an endpoint.
        let known = find(&caller, &id);
        let known_subscription = known.as_ref().ok().map(|subscription| subscription.as_ref());
        let edit = self.subscriptions.edit(&caller, known_subscription, change, findings).await?;
        let changed = self.app.store.update_subscription(known?.id, edit, None).await?;
        Ok(show(StatusCode::OK, &changed, false).into())
    }

    /// Delete an endpoint
    ///
    /// Deliveries stop at once, and those that wait are dropped. What was delivered stays in the feed. There is no way back.
    #[oai(path = "/:id", method = "delete", operation_id = "webhooks.delete")]
    async fn delete(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        id: Path<String>,
    ) -> Result<Answer<(), DELETED>, Refusal> {
        self.app.store.delete_subscription(find(&caller, &id)?.id, None).await?;
        Ok(Reply::empty(StatusCode::NO_CONTENT).into())
    }

    /// Replace the signing secret
    ///
    /// The old one ends at once. The answer is one of the two that show the secret.
    #[oai(path = "/:id/rotate-secret", method = "post", operation_id = "webhooks.rotate_secret")]
    async fn rotate_secret(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        id: Path<String>,
        body: Body<Nothing>,
    ) -> Result<Answer<Bare<EndpointView>, 200>, Refusal> {
        body.read()?.1.finish()?;
        let subscription = find(&caller, &id)?;
        let rotation = self.subscriptions.rotation(RotateSecret::default(), Findings::default(), subscription)?;
        let made = self.app.store.update_subscription(subscription.id, rotation, None).await?;
        Ok(show(StatusCode::OK, &made, true).into())
    }

    /// Send a test
    ///
    /// Sends `webhook.test` now, whatever the endpoint asks for and also when it is not active. It is kept, as an event of
    /// its own, and never repeated.
    // GUESS: an endpoint that is not active can be tested.
    #[oai(path = "/:id/test", method = "post", operation_id = "webhooks.test")]
    async fn test(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        id: Path<String>,
        body: Body<Nothing>,
    ) -> Result<Answer<Bare<TestView>, 200>, Refusal> {
        body.read()?.1.finish()?;
        let subscription = find(&caller, &id)?;
        let TestKept { event, attempt } = self.subscriptions.kept_test(&caller, subscription).await?;
        let outcome = OutcomeName(if attempt.outcome.is_success() { "success" } else { "dead" });
        let Told { response_status, response_time_ms, response_body_excerpt, error } = told(&attempt);
        let view = TestView {
            event_id: event_id(event.id),
            outcome,
            url: subscription.url.as_str().to_owned(),
            response_status,
            response_time_ms,
            response_body_excerpt,
            error,
        };
        Ok(Reply::json(StatusCode::OK, &view).into())
    }
}

impl EndpointsApi {
    pub fn new(app: Arc<App>) -> Self {
        Self { subscriptions: SubscriptionsApi { app: app.clone() }, app }
    }
}

/// Trimmed; an empty one is none.
fn check_description(description: MaybeUndefined<String>, findings: &mut Findings) -> MaybeUndefined<String> {
    let MaybeUndefined::Value(text) = description else { return description };
    let text = text.trim();
    if text.chars().count() > DESCRIPTION_LENGTH_MAX {
        findings.add(Rule::DescriptionTooLong { max: DESCRIPTION_LENGTH_MAX }, "/description");
        return MaybeUndefined::Undefined;
    }
    if text.is_empty() { MaybeUndefined::Null } else { MaybeUndefined::Value(text.to_owned()) }
}

/// GUESS: an id that is no UUID names nothing.
fn find<'a>(call: &'a Call, id: &str) -> Result<&'a Arc<Subscription>, Refusal> {
    let uuid: Option<Uuid> = id.parse().ok();
    let found = uuid.and_then(|uuid| call.tenant_entry().subscription_by_public_id(&PublicId::AgentMessage(uuid)));
    let found = found.filter(|subscription| call.sees(subscription));
    found.ok_or_else(|| Refusal::not_found(THING, id))
}

fn show(status: StatusCode, subscription: &Subscription, shows_secret: bool) -> Reply {
    Reply::json(status, &view(subscription, shows_secret))
}

fn view(subscription: &Subscription, shows_secret: bool) -> EndpointView {
    EndpointView {
        id: UuidText(subscription.agentmessage_id()),
        org_id: UuidText(Uuid::from_u128(subscription.tenant.as_u128())),
        url: subscription.url.as_str().to_owned(),
        description: subscription.description.clone(),
        events: subscription.events.iter().map(ToString::to_string).collect(),
        active: subscription.is_active,
        api_version: subscription.api_version.map(|version| version.name().to_owned()).into(),
        created_at: Seconds(subscription.created_at),
        updated_at: Seconds(subscription.updated_at),
        deleted_at: None.into(),
        // In this contract's form also where the deliveries have another profile.
        secret: shows_secret.then(|| Profile::AgentMessage.show_secret(&subscription.secret)),
        secret_displayed_once: shows_secret.then_some(true),
    }
}
