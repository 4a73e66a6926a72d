//! AgentMessage: `/v1/webhooks…` and `/v1/webhook-secret/rotate`.
//!
//! Source: agentmessage.io/docs ("Errors", "Rate limits", "Webhooks", "API keys").

mod errors;

use std::sync::Arc;

use serde_json::Value;

pub use errors::render;

use crate::domain::key::Scope;
use crate::domain::language::Language;
use crate::http::App;
use crate::http::document::{self, Place};

pub const ROOTS: [&str; 2] = ["/v1/webhooks", "/v1/webhook-secret"];

/// It publishes errors in no other.
pub const LANGUAGE: Language = Language::English;

pub const PLACE: Place =
    Place { json: "/openapi/agentmessage.json", yaml: "/openapi/agentmessage.yaml", page: "/docs/agentmessage" };

pub type Apis = ();

pub fn apis(_app: &Arc<App>) -> Apis {}

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

pub fn document() -> Value {
    document::of::<Apis>(&document::Shape {
        title: "Waxwing as AgentMessage",
        summary: "The webhook endpoints of AgentMessage's published API",
        description: "",
        examples: "{}",
        refusals: &errors::REFUSALS,
        refusal_schema: "ErrorEnvelope",
        schemas: vec![("ErrorEnvelope", errors::schema())],
        scopes: &SCOPES,
        ..document::Shape::bare()
    })
}
