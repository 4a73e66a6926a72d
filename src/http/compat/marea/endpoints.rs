//! `/v1/webhook_endpoints`: Marea's words for what the own API does with subscriptions.

use std::sync::Arc;

use poem::http::StatusCode;
use poem_openapi::param::Path;
use poem_openapi::{OpenApi, Tags};

use super::wire::{
    CreateWebhookEndpoint, Deleted, Endpoint, EndpointChange, Endpoints, NAMES, NewEndpoint, UpdateWebhookEndpoint,
};
use crate::domain::health::Health;
use crate::domain::profile::Profile;
use crate::domain::public_id::PublicId;
use crate::domain::subscription::Subscription;
use crate::domain::violation::{Rule, Violation};
use crate::http::App;
use crate::http::auth::{Call, Caller, scope};
use crate::http::body::{Body, Nothing};
use crate::http::idempotency::{Fingerprint, once};
use crate::http::problem::Refusal;
use crate::http::reply::{Answer, Reply};
use crate::http::subscriptions::{RotateSecret, SubscriptionsApi};
use crate::store::SecretOwner;

const THING: &str = "Webhook endpoint";

/// Of one account, which is a tenant here. GUESS: those that are not enabled count too, the refusal is a 409, and so do the
/// subscriptions that were made through other APIs.
const ENDPOINTS_MAX: u32 = 16;

#[derive(Tags)]
enum Tag {
    /// URLs that events are delivered to
    #[oai(rename = "Webhook endpoints")]
    WebhookEndpoints,
}

pub struct EndpointsApi {
    app: Arc<App>,
    subscriptions: SubscriptionsApi,
}

#[OpenApi(prefix_path = "/v1/webhook_endpoints", tag = "Tag::WebhookEndpoints")]
impl EndpointsApi {
    /// Create a webhook endpoint
    ///
    /// Deliveries start with the next event that it asks for. The answer is one of the two that show the signing secret. An
    /// account has at most 16.
    #[oai(path = "/", method = "post", operation_id = "webhook_endpoints.create")]
    async fn create(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        body: Body<NewEndpoint, CreateWebhookEndpoint>,
    ) -> Result<Answer<Endpoint, 201>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |memory| {
            let (NewEndpoint(wire), findings) = body.read()?;
            let made = self.subscriptions.new_subscription(&caller, Profile::Marea, wire, findings).await;
            let subscription = made.map_err(in_their_words)?;
            let render = |made: &Subscription| show(StatusCode::CREATED, made, &Health::default(), true);
            let remember = memory.keep(render);
            let made = self.app.store.create_subscription_within(ENDPOINTS_MAX, subscription, remember).await?;
            Ok(render(&made))
        })
        .await
        .map(Into::into)
    }

    /// List webhook endpoints
    #[oai(path = "/", method = "get", operation_id = "webhook_endpoints.list")]
    async fn list(&self, caller: Caller<scope::SubscriptionsRead>) -> Result<Answer<Endpoints, 200>, Refusal> {
        let visible = caller.tenant_entry().subscriptions().rev().filter(|subscription| caller.sees(subscription));
        let endpoint = |one: &Arc<Subscription>| Endpoint::of(one, &self.app.store.health(one.id), false);
        Ok(Reply::json(StatusCode::OK, &Endpoints { endpoints: visible.map(endpoint).collect() }).into())
    }

    /// Get a webhook endpoint
    #[oai(path = "/:endpointId", method = "get", operation_id = "webhook_endpoints.get")]
    async fn get(
        &self,
        caller: Caller<scope::SubscriptionsRead>,
        #[oai(name = "endpointId")] endpoint_id: Path<String>,
    ) -> Result<Answer<Endpoint, 200>, Refusal> {
        let subscription = find(&caller, &endpoint_id)?;
        Ok(show(StatusCode::OK, subscription, &self.app.store.health(subscription.id), false).into())
    }

    /// Change a webhook endpoint
    ///
    /// Only what is sent changes; the signing secret never does.
    #[oai(path = "/:endpointId", method = "post", operation_id = "webhook_endpoints.update")]
    async fn update(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        #[oai(name = "endpointId")] endpoint_id: Path<String>,
        body: Body<EndpointChange, UpdateWebhookEndpoint>,
    ) -> Result<Answer<Endpoint, 200>, Refusal> {
        self.change(&caller, &endpoint_id, &body).await
    }

    /// Change a webhook endpoint
    ///
    /// The same as POST.
    // GUESS: the page names POST, and the rest of the API changes things by PATCH.
    #[oai(path = "/:endpointId", method = "patch", operation_id = "webhook_endpoints.patch")]
    async fn patch(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        #[oai(name = "endpointId")] endpoint_id: Path<String>,
        body: Body<EndpointChange, UpdateWebhookEndpoint>,
    ) -> Result<Answer<Endpoint, 200>, Refusal> {
        self.change(&caller, &endpoint_id, &body).await
    }

    /// Delete a webhook endpoint
    ///
    /// Deliveries stop at once, and those that wait are canceled.
    // GUESS: the status 200, and 404 when it is repeated.
    #[oai(path = "/:endpointId", method = "delete", operation_id = "webhook_endpoints.delete")]
    async fn delete(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        #[oai(name = "endpointId")] endpoint_id: Path<String>,
    ) -> Result<Answer<Deleted, 200>, Refusal> {
        let subscription = find(&caller, &endpoint_id)?;
        self.app.store.delete_subscription(subscription.id, None).await?;
        Ok(Reply::json(StatusCode::OK, &Deleted { deleted: true }).into())
    }

    /// Replace the signing secret
    ///
    /// The old secret is dead at once, and `signingSecretVersion` grows by one. The answer is one of the two that show the
    /// signing secret.
    // GUESS: the status 200.
    #[oai(path = "/:endpointId/rotate-secret", method = "post", operation_id = "webhook_endpoints.rotate_secret")]
    async fn rotate_secret(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        #[oai(name = "endpointId")] endpoint_id: Path<String>,
        body: Body<Nothing>,
    ) -> Result<Answer<Endpoint, 200>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |memory| {
            let subscription = find(&caller, &endpoint_id)?;
            let (Nothing {}, findings) = body.read()?;
            let rotation = self.subscriptions.rotation(RotateSecret::default(), findings, subscription)?;
            let health = self.app.store.health(subscription.id);
            let render = move |made: &Subscription| show(StatusCode::OK, made, &health, true);
            let made = self.app.store.update_subscription(subscription.id, rotation, memory.keep(render)).await?;
            Ok(render(&made))
        })
        .await
        .map(Into::into)
    }
}

impl EndpointsApi {
    pub fn new(app: Arc<App>) -> Self {
        Self { subscriptions: SubscriptionsApi { app: app.clone() }, app }
    }

    async fn change(
        &self,
        caller: &Call,
        id: &str,
        body: &Body<EndpointChange, UpdateWebhookEndpoint>,
    ) -> Result<Answer<Endpoint, 200>, Refusal> {
        once(caller, Fingerprint::Json(body.bytes()), async |memory| {
            let subscription = find(caller, id)?;
            let (wire, findings) = body.read()?;
            let is_empty = wire.is_empty();
            let edit =
                self.subscriptions.edit(caller, Some(subscription), wire.0, findings).await.map_err(in_their_words)?;
            if is_empty {
                let expected = "an object with at least one field to change";
                return Err(Violation::new(Rule::InvalidFormat { expected }).into());
            }
            let health = self.app.store.health(subscription.id);
            let render = move |made: &Subscription| show(StatusCode::OK, made, &health, false);
            let changed = self.app.store.update_subscription(subscription.id, edit, memory.keep(render)).await?;
            Ok(render(&changed))
        })
        .await
        .map(Into::into)
    }
}

fn in_their_words(refusal: Refusal) -> Refusal {
    refusal.renamed(&NAMES)
}

fn find<'a>(call: &'a Call, id: &str) -> Result<&'a Arc<Subscription>, Refusal> {
    let found = id.parse().ok().and_then(|id| call.tenant_entry().subscription_by_public_id(&PublicId::Marea(id)));
    let found = found.filter(|subscription| call.sees(subscription));
    found.ok_or_else(|| Refusal::not_found(THING, id))
}

fn show(status: StatusCode, subscription: &Subscription, health: &Health, shows_secret: bool) -> Reply {
    let reply = Reply::json(status, &Endpoint::of(subscription, health, shows_secret));
    if shows_secret { reply.shows_secret_of(SecretOwner::Subscription(subscription.id)) } else { reply }
}
