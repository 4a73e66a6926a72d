//! What AgentMessage's document says besides the operations.

use serde_json::{Value, json};

use super::errors::{REFUSALS, schema};
use super::{Apis, SCOPES};
use crate::http::document::{Names, Operation, Shape, of, webhooks};

pub fn document() -> Value {
    of::<Apis>(&Shape {
        title: "Waxwing as AgentMessage",
        summary: "The webhook endpoints of AgentMessage's published API",
        description: DESCRIPTION,
        examples: include_str!("examples.json"),
        refusals: &REFUSALS,
        refusal_schema: "ErrorEnvelope",
        schemas: vec![("ErrorEnvelope", schema())],
        key: Some("A key of the kind `agentmessage`, or one of the own API, as `Authorization: Bearer <key>`."),
        cookie: None,
        scopes: &SCOPES,
        headers: headers(),
        parameters: json!({}),
        webhooks: json!({ "delivery.agentmessage": own_deliveries() }),
        parameters_of: |_| Vec::new(),
        headers_of: |_, _| vec![("X-Request-Id", "RequestId")],
        refusals_of,
        refusal_headers_of,
    })
}

const DESCRIPTION: &str = "\
A single object is the whole body of an answer; a list is `{\"success\": true, \"data\": […], \"meta\": {…}}`. Ids are UUIDs, times are RFC 3339 in \
whole seconds with `Z`. An organization is a tenant of this server.

An error is `{\"success\": false, \"error\": {\"code\", \"message\", \"request_id\"}}`: branch on `code`, and on the status where you do not know it. \
`request_id` is a ULID, the same as `X-Request-Id`. A validation (422) has `details` besides: each field with its reason. What a body says is \
judged before it is told whether there is such an object.

The event types are those of this server. Deliveries can be replayed 10 times a minute for each organization.";

/// The deliveries, as in the document of the own API.
fn own_deliveries() -> Value {
    let mut deliveries = webhooks()["delivery.agentmessage"].take();
    deliveries["post"]["tags"] = json!(["Webhook endpoints"]);
    deliveries
}

fn refusals_of(operation: &Operation<'_>) -> Vec<u16> {
    let mut statuses = vec![401, 403, 404, 429, 500, 503];
    if operation.is_write() {
        statuses.push(507);
    }
    if operation.has_body() {
        statuses.extend([400, 413, 415, 422]);
    }
    if operation.has_query() {
        statuses.push(422);
    }
    match operation.id() {
        "webhooks.create" => statuses.push(409),
        "webhook_deliveries.replay" => statuses.extend([409, 410]),
        _ => {}
    }
    statuses
}

fn refusal_headers_of(status: u16) -> Names {
    let mut names = vec![("X-Request-Id", "RequestId")];
    match status {
        401 => names.push(("WWW-Authenticate", "WwwAuthenticate")),
        429 | 503 => names.push(("Retry-After", "RetryAfter")),
        _ => {}
    }
    names
}

fn headers() -> Value {
    let text = |description| json!({ "description": description, "schema": { "type": "string" } });
    json!({
        "RequestId": text("The request's id, a ULID: `request_id` of its error"),
        "RetryAfter": json!({ "description": "Seconds to wait", "schema": { "type": "integer", "minimum": 1 } }),
        "WwwAuthenticate": text("How to authenticate"),
    })
}
