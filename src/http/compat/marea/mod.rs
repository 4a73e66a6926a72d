//! Marea: `/v1/webhook_endpoints`.
//!
//! Source: docs.mareaalcalina.com ("Keys", "Errors", "Safe mutations", "Rate limits", "Webhook endpoints"), contract of
//! 2026-05-12. What it does not publish is marked GUESS, at one place each.

mod described;
mod endpoints;
mod errors;
mod quota;
mod wire;

use std::sync::Arc;

use poem::Request;
use poem::http::{HeaderName, HeaderValue, Method};
use ulid::Ulid;

pub use described::document;
pub use errors::render;
pub use quota::{Windows, charge, show_allowance};

use endpoints::EndpointsApi;

use crate::domain::key::Scope;
use crate::domain::language::Language;
use crate::domain::uuid::Uuid;
use crate::http::App;
use crate::http::document::Place;

/// GUESS: the path of the list; the others are published.
pub const ROOTS: [&str; 1] = ["/v1/webhook_endpoints"];

pub const PLACE: Place = Place { json: "/openapi/marea.json", yaml: "/openapi/marea.yaml", page: "/docs/marea" };

/// For who asks for none that is spoken.
pub const LANGUAGE_DEFAULT: Language = Language::Spanish;

/// The longest answer that an idempotency key repeats: "100 KB".
pub const SNAPSHOT_BYTES_MAX: usize = 100 * 1024;

pub type Apis = EndpointsApi;

pub fn apis(app: &Arc<App>) -> Apis {
    EndpointsApi::new(app.clone())
}

/// GUESS: `developer:webhooks` is needed to read as well as to write.
pub const SCOPES: [(&str, &[Scope]); 9] = [
    ("catalog:read", &[]),
    ("catalog:write", &[]),
    ("storefront:publish", &[]),
    ("me:verify", &[]),
    ("me:resendVerification", &[]),
    ("developer:bootstrap", &[]),
    ("developer:read", &[]),
    ("developer:issueUserKey", &[]),
    ("developer:webhooks", &[Scope::SubscriptionsRead, Scope::SubscriptionsWrite, Scope::DeliveriesRead]),
];

/// `req_<uuid>`, of the 128 bits that are a ULID elsewhere.
/// GUESS: successful answers have it in `X-Request-Id`, as those of the own API do.
pub fn request_id(id: Ulid) -> String {
    format!("req_{}", Uuid::from_u128(id.0))
}

/// What a request is told that could be carried out twice.
pub fn recommendation(request: &Request) -> Option<(HeaderName, HeaderValue)> {
    let is_mutation = [Method::POST, Method::PATCH].contains(request.method());
    let is_missing = is_mutation && !request.headers().contains_key("idempotency-key");
    is_missing
        .then(|| (HeaderName::from_static("marea-recommendation"), HeaderValue::from_static("include-idempotency-key")))
}
