//! How webhook endpoints look in Marea's answers and requests, and what that is of ours.

use poem_openapi::Object;
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::{MaybeUndefined, Type};
use serde::Serialize;

use crate::domain::health::Health;
use crate::domain::profile::marea::{SCOPES, scope};
use crate::domain::subscription::Subscription;
use crate::http::body::{Fields, Wire};
use crate::http::reply::{Shape, array_schema, object_schema, reference};
use crate::http::subscriptions::{DeliveryStatusName, NewSubscription, Settings, SubscriptionChange};
use crate::http::value::{Nullable, Time, choice};

choice!(ScopeName, "endpoint_scope", SCOPES);

/// What members of a body are called: ours, theirs.
pub const NAMES: [(&str, &str); 2] = [("events", "subscribedEvents"), ("is_active", "enabled")];

/// A webhook endpoint, as it stands
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "WebhookEndpoint", rename_all = "camelCase")]
pub struct Endpoint {
    #[oai(validator(pattern = "^mk_we_[0-9a-f]{16}$"))]
    endpoint_id: String,
    /// `merchant`: a key of a storefront made it, and it gets the orders of that storefront alone
    scope: ScopeName,
    /// Where deliveries go
    url: String,
    /// A label for people
    description: Nullable<String>,
    /// False: deliveries wait
    enabled: bool,
    /// Event types, and patterns (`order.*`) when it was made through the own API
    subscribed_events: Vec<String>,
    /// Grows with each rotation
    #[oai(validator(minimum(value = "1")))]
    signing_secret_version: u32,
    created_at: Time,
    updated_at: Time,
    last_delivery_at: Nullable<Time>,
    /// What came of it
    // GUESS: the name of the member.
    last_delivery_status: Nullable<DeliveryStatusName>,
    /// Since the last success
    consecutive_failures: u32,
    /// Only in the answers of create and rotate: 64 hexadecimal digits, the 32 bytes of the key. That of a subscription that
    /// was made through another API is in the form of its own profile
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_secret: Option<String>,
}

impl Endpoint {
    pub fn of(subscription: &Subscription, health: &Health, shows_secret: bool) -> Self {
        let Health { consecutive_failures, last_delivery_at, last_delivery_succeeded, .. } = *health;
        let status = |succeeded| DeliveryStatusName(if succeeded { "success" } else { "failure" });
        Self {
            endpoint_id: subscription.marea_id().to_string(),
            scope: ScopeName(scope(subscription)),
            url: subscription.url.as_str().to_owned(),
            description: subscription.description.clone().into(),
            enabled: subscription.is_active,
            subscribed_events: subscription.events.iter().map(ToString::to_string).collect(),
            signing_secret_version: subscription.secret_version,
            created_at: Time(subscription.created_at),
            updated_at: Time(subscription.updated_at),
            last_delivery_at: last_delivery_at.map(Time).into(),
            last_delivery_status: last_delivery_succeeded.map(status).into(),
            consecutive_failures,
            signing_secret: shows_secret.then(|| subscription.profile.show_secret(&subscription.secret)),
        }
    }
}

impl Shape for Endpoint {
    const DESCRIPTION: &'static str = "The webhook endpoint";

    fn schema_ref() -> Option<MetaSchemaRef> {
        Some(<Self as Type>::schema_ref())
    }

    fn register(registry: &mut Registry) {
        <Self as Type>::register(registry);
    }
}

/// GUESS: the name of the list, and that there are no pages of it.
#[derive(Serialize)]
pub struct Endpoints {
    pub endpoints: Vec<Endpoint>,
}

impl Shape for Endpoints {
    const DESCRIPTION: &'static str = "All webhook endpoints, the newest first";

    fn schema_ref() -> Option<MetaSchemaRef> {
        Some(object_schema(vec![("endpoints", array_schema(reference("WebhookEndpoint")))]))
    }

    fn register(registry: &mut Registry) {
        <Endpoint as Type>::register(registry);
    }
}

/// It is gone
#[derive(Serialize, Object)]
pub struct Deleted {
    pub deleted: bool,
}

impl Shape for Deleted {
    const DESCRIPTION: &'static str = "It is deleted";

    fn schema_ref() -> Option<MetaSchemaRef> {
        Some(<Self as Type>::schema_ref())
    }

    fn register(registry: &mut Registry) {
        <Self as Type>::register(registry);
    }
}

/// What a webhook endpoint is made from
// For the document; `NewEndpoint` reads it.
#[derive(Object)]
#[oai(deny_unknown_fields, rename_all = "camelCase")]
pub struct CreateWebhookEndpoint {
    /// Where deliveries go: https, and no private address
    #[oai(validator(min_length = 1, max_length = 2048))]
    url: String,
    /// Event types; `order.*` alone with the key of a storefront
    #[oai(validator(min_items = 1, max_items = 50, unique_items))]
    subscribed_events: Vec<String>,
    /// A label for people
    #[oai(nullable, validator(max_length = 256))]
    description: MaybeUndefined<String>,
    /// False: deliveries wait until it is set to true (default true)
    enabled: Option<bool>,
}

/// What changes, at least one of these: an absent field stays
// For the document; `EndpointChange` reads it.
#[derive(Object)]
#[oai(deny_unknown_fields, rename_all = "camelCase")]
pub struct UpdateWebhookEndpoint {
    /// Where deliveries go: https, and no private address
    #[oai(validator(min_length = 1, max_length = 2048))]
    url: Option<String>,
    /// Replaces all event types
    #[oai(validator(min_items = 1, max_items = 50, unique_items))]
    subscribed_events: Option<Vec<String>>,
    /// A label for people; null clears it
    // GUESS: that null clears it.
    #[oai(nullable, validator(max_length = 256))]
    description: MaybeUndefined<String>,
    /// False: deliveries wait until it is set to true
    enabled: Option<bool>,
}

pub struct NewEndpoint(pub NewSubscription);

impl Wire for NewEndpoint {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self(NewSubscription {
            url: fields.take("url"),
            events: fields.take("subscribedEvents"),
            settings: settings(fields),
            secret: None,
            api_version: None,
        })
    }
}

pub struct EndpointChange(pub SubscriptionChange);

impl EndpointChange {
    pub fn is_empty(&self) -> bool {
        let Self(SubscriptionChange { url, events, settings }) = self;
        url.is_none() && events.is_none() && settings.description.is_undefined() && settings.is_active.is_none()
    }
}

impl Wire for EndpointChange {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self(SubscriptionChange {
            url: fields.take("url"),
            events: fields.take("subscribedEvents"),
            settings: settings(fields),
        })
    }
}

fn settings(fields: &mut Fields<'_>) -> Settings {
    Settings { description: fields.take("description"), is_active: fields.take("enabled"), ..Settings::default() }
}
