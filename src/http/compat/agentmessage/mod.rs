//! AgentMessage: `/v1/webhooks…` and `/v1/webhook-secret/rotate`.
//!
//! Source: agentmessage.io/docs ("Errors", "Rate limits", "Webhooks", "API keys"). What it does not publish is marked
//! GUESS, at one place each.

mod deliveries;
mod described;
mod endpoints;
mod errors;
mod secret;
mod wire;

use std::sync::Arc;

use poem_openapi::Tags;

pub use described::document;
pub use errors::render;

use deliveries::DeliveriesApi;
use endpoints::EndpointsApi;
use secret::SecretApi;

use crate::domain::key::Scope;
use crate::domain::language::Language;
use crate::http::App;
use crate::http::document::Place;

pub const ROOTS: [&str; 2] = ["/v1/webhooks", "/v1/webhook-secret"];

/// It publishes errors in no other.
pub const LANGUAGE: Language = Language::English;

pub const PLACE: Place =
    Place { json: "/openapi/agentmessage.json", yaml: "/openapi/agentmessage.yaml", page: "/docs/agentmessage" };

/// In the order of the document.
#[derive(Tags)]
enum AgentMessageTag {
    /// Where events go
    #[oai(rename = "Webhook endpoints")]
    Endpoints,
    /// Each attempt to deliver an event
    #[oai(rename = "Webhook deliveries")]
    Deliveries,
    /// The secret of a whole organization
    #[oai(rename = "Webhook secret")]
    Secret,
}

pub type Apis = (EndpointsApi, DeliveriesApi, SecretApi);

pub fn apis(app: &Arc<App>) -> Apis {
    (EndpointsApi::new(app.clone()), DeliveriesApi { app: app.clone() }, SecretApi)
}

pub const SCOPES: [(&str, &[Scope]); 10] = [
    ("webhooks:read", &[Scope::SubscriptionsRead, Scope::DeliveriesRead]),
    ("webhooks:write", &[Scope::SubscriptionsWrite, Scope::DeliveriesWrite]),
    // For the secret of the organisation, which is a tenant here.
    ("org:admin:write", &[Scope::TenantsWrite]),
    ("apikeys:read", &[]),
    ("apikeys:write", &[]),
    ("messages:send", &[]),
    ("messages:read", &[]),
    ("numbers:read", &[]),
    ("numbers:write", &[]),
    ("consent:write", &[]),
];
