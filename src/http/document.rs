//! The OpenAPI document of the own API: what is completed in it besides what each API's has (`shape`).

mod operational;
mod pages;
mod schema;
mod shape;

use serde_json::{Value, json};

#[cfg(not(feature = "console"))]
pub use pages::with_front_page;
pub use pages::{Place, with_pages};
pub use shape::{Names, Operation, Shape, of};

use super::Apis;

/// Examples of bodies, by the name of their schema. A test holds each against its schema.
const EXAMPLES: &str = include_str!("examples.json");

/// Every status that an operation can be refused with: its component, and what it means.
const REFUSALS: [(u16, &str, &str); 13] = [
    (400, "BadRequest", "The request is malformed or breaks a rule: one error for each problem"),
    (401, "Unauthorized", "No API key came, or one that is invalid, expired or revoked"),
    (403, "Forbidden", "The API key may not do this"),
    (404, "NotFound", "There is no such thing for this key and tenant"),
    (409, "Conflict", "What is there already does not allow this, or the idempotency key belongs to another request"),
    (410, "Gone", "Its time is over: what it held was removed"),
    (412, "PreconditionFailed", "It was changed since it was read"),
    (413, "PayloadTooLarge", "The body is larger than allowed"),
    (415, "UnsupportedMediaType", "The body is of another media type than expected"),
    (429, "TooManyRequests", "Over the quota of the key, too many viewers, or too many wrong keys from this address"),
    (500, "InternalError", "Something went wrong here"),
    (503, "ShuttingDown", "The server is shutting down, or its storage cannot be used at the moment"),
    (507, "StorageFull", "Storage is full"),
];

/// The document of the own API, OpenAPI 3.1. Needs no running server.
pub fn document() -> Value {
    of::<Apis>(&Shape {
        title: "Waxwing",
        summary: "Webhooks: publish events, and have them signed, delivered and retried",
        description: DESCRIPTION,
        examples: EXAMPLES,
        cookie: Some(
            "What `POST /v1/sessions` sets. A request with it and another method than GET or HEAD needs the header \
             `Waxwing-Console: 1`, and an `Origin` and a `Sec-Fetch-Site` that are this server when it has them",
        ),
        refusals: &REFUSALS,
        refusal_schema: "Errors",
        schemas: vec![("Error", error_schema()), ("Errors", errors_schema())],
        headers: headers(),
        parameters: parameters(),
        webhooks: webhooks(),
        parameters_of,
        headers_of,
        refusals_of,
        refusal_headers_of,
        ..Shape::bare()
    })
}

const DESCRIPTION: &str = "\
Answers are JSON:API-like: `{\"data\": {\"type\", \"id\", \"attributes\"}}`, lists `{\"data\": […], \"meta\": {…}, \"links\": {…}}`, \
errors `{\"errors\": […]}` with one entry for each problem. Request bodies are flat JSON objects; unknown fields are refused, \
and so is a field that occurs twice. Times are RFC 3339 in UTC with milliseconds.

Each error has a `code` that never changes; `X-Request-Id` of every answer is the `id` of its errors and in the server's log. \
Its `title` and `detail` are in the language that `Accept-Language` asks for (`en`, `es` or `pt`; a region means its language), else in the \
server's own, and `Content-Language` says which. What a JSON parser or a JSON Schema has to say within a `detail` is in English. An answer that an \
idempotency key repeats keeps the language that it had.";

/// Objects that have revisions.
const WITH_REVISIONS: [&str; 3] = ["/v1/webhook-subscriptions", "/v1/event-types", "/v1/tenants"];

fn has_revision(operation: &Operation<'_>) -> bool {
    operation.path.contains('{')
        && WITH_REVISIONS.iter().any(|prefix| operation.path.starts_with(prefix))
        && matches!(operation.method, "put" | "patch" | "delete")
}

/// Whether an idempotency key means something: not where nobody is known, not where a secret would be kept for a day, and not
/// where doing it again is what is asked for.
fn remembers(operation: &Operation<'_>) -> bool {
    let ignoring = ["setup.invite", "totp.create", "totp.confirm", "backups.create", "settings.test_mail"];
    operation.method == "post" && operation.needs_key() && !ignoring.contains(&operation.id())
}

fn parameters_of(operation: &Operation<'_>) -> Vec<&'static str> {
    // Every operation can be refused, in words.
    let mut names = vec!["AcceptLanguage"];
    if operation.needs_key() && operation.path != "/metrics" {
        names.push("WaxwingTenant");
    }
    if remembers(operation) {
        names.push("IdempotencyKey");
    }
    if has_revision(operation) {
        names.push("IfMatch");
    }
    names
}

fn headers_of(operation: &Operation<'_>, status: &str) -> Names {
    let mut names = vec![("X-Request-Id", "RequestId")];
    if operation.needs_key() {
        names.extend([
            ("RateLimit-Limit", "RateLimitLimit"),
            ("RateLimit-Remaining", "RateLimitRemaining"),
            ("RateLimit-Reset", "RateLimitReset"),
        ]);
    }
    if remembers(operation) {
        names.push(("Idempotency-Replayed", "IdempotencyReplayed"));
    }
    if operation.id() == "events.publish_batch" {
        names.extend(IN_WORDS);
    }
    if status == "201" || (status == "202" && LOCATED.contains(&operation.id())) {
        names.push(("Location", "Location"));
    }
    if (has_revision(operation) || shows_object(operation)) && status != "204" {
        names.push(("ETag", "ETag"));
    }
    names
}

/// Reading one object, or making it, shows its revision.
fn shows_object(operation: &Operation<'_>) -> bool {
    let is_one = operation.path.ends_with('}')
        || (operation.method == "post"
            && !["/test", "/recover", "/import"].iter().any(|verb| operation.path.ends_with(verb)));
    is_one && WITH_REVISIONS.iter().any(|prefix| operation.path.starts_with(prefix))
}

fn refusals_of(operation: &Operation<'_>) -> Vec<u16> {
    let mut statuses = vec![500];
    if operation.path == "/readyz" || operation.path.starts_with("/v1/") {
        statuses.push(503);
    }
    if operation.needs_key() {
        statuses.extend([401, 403, 404, 429]);
    }
    if operation.has_body() {
        statuses.extend([400, 413, 415]);
    }
    if operation.has_query() {
        statuses.push(400);
    }
    if operation.is_write() {
        statuses.push(507);
    }
    if remembers(operation) {
        statuses.extend([400, 409]);
    }
    if has_revision(operation) {
        statuses.push(412);
    }
    if let Some((_, more)) = OWN_REFUSALS.iter().find(|(id, _)| operation.id() == *id) {
        statuses.extend(*more);
    }
    statuses
}

fn refusal_headers_of(status: u16) -> Names {
    let mut names = vec![("X-Request-Id", "RequestId")];
    names.extend(IN_WORDS);
    match status {
        401 => names.push(("WWW-Authenticate", "WwwAuthenticate")),
        409 | 429 | 503 => names.push(("Retry-After", "RetryAfter")),
        _ => {}
    }
    names
}

/// Operations whose 202 says where to look further.
const LOCATED: [&str; 6] = [
    "backups.create",
    "events.publish",
    "events.redeliver",
    "subscriptions.recover",
    "deliveries.retry_many",
    "deliveries.cancel_many",
];

/// Headers of an answer with errors in it.
const IN_WORDS: [(&str, &str); 2] = [("Content-Language", "ContentLanguage"), ("Vary", "Vary")];

/// Refusals that do not follow from the shape.
const OWN_REFUSALS: [(&str, &[u16]); 20] = [
    // While one is being made, or before it is complete.
    ("backups.create", &[409]),
    ("backups.download", &[409]),
    ("backups.delete", &[409]),
    // Wrong credentials or links, a way in the clear, too many attempts.
    ("sessions.create", &[401, 403, 429]),
    ("setup.follow", &[401, 403, 409, 429]),
    ("setup.restore", &[401, 403, 409, 429]),
    // There is a user.
    ("setup.invite", &[409]),
    // The last owner, or a password that changed meanwhile.
    ("users.update", &[409, 412]),
    ("users.delete", &[409]),
    // It is there, or is not.
    ("totp.create", &[409]),
    ("totp.confirm", &[409]),
    // No such subscription, or one without a pair.
    ("public_keys.get", &[404]),
    // An external id that is taken.
    ("tenants.put", &[409]),
    ("tenants.update", &[409]),
    // A link that cannot be followed, and too many attempts.
    ("portal_sessions.create", &[401, 429]),
    // What is decided elsewhere.
    ("settings.update", &[409]),
    // One is under way.
    ("storage.compact", &[409]),
    // Too many that behave in their own way.
    ("test_receiver.put", &[409]),
    // `default` and `system` stay.
    ("tenants.delete", &[409]),
    // Retention removed what it says.
    ("events.redeliver", &[410]),
];

fn error_schema() -> Value {
    json!({
        "type": "object",
        "description": "One problem",
        "required": ["id", "status", "code", "title", "detail"],
        "properties": {
            "id": { "type": "string", "description": "The request's id: the same in `X-Request-Id` and in the log" },
            "status": { "type": "string", "description": "The HTTP status", "pattern": "^[45][0-9]{2}$" },
            "code": { "type": "string", "description": "What is wrong; never changes" },
            "title": { "type": "string", "description": "What the status means, for people" },
            "detail": { "type": "string", "description": "What is wrong, for people" },
            "source": {
                "type": "object",
                "description": "Where it is wrong: one of these",
                "properties": {
                    "pointer": { "type": "string", "description": "JSON pointer into the body" },
                    "parameter": { "type": "string", "description": "A query parameter" },
                    "header": { "type": "string", "description": "A header" },
                },
            },
        },
    })
}

fn errors_schema() -> Value {
    json!({
        "type": "object",
        "description": "Everything that is wrong with a request",
        "required": ["errors"],
        "properties": {
            "errors": { "type": "array", "minItems": 1, "items": { "$ref": "#/components/schemas/Error" } },
        },
    })
}

fn headers() -> Value {
    let text = |description| json!({ "description": description, "schema": { "type": "string" } });
    let number = |description| json!({ "description": description, "schema": { "type": "integer", "minimum": 0 } });
    json!({
        "RequestId": text("The request's id, a ULID"),
        "RateLimitLimit": number("The largest burst of the key's quota; absent when it has none"),
        "RateLimitRemaining": number("What is left of it"),
        "RateLimitReset": number("Seconds until all of it is there again"),
        "RetryAfter": number("Seconds to wait"),
        "IdempotencyReplayed": text("`true`: this is the answer to the first request with this idempotency key"),
        "Location": text("Where the new object is"),
        "ETag": text("The revision of its configuration, for `If-Match`"),
        "ContentLanguage": text("The language of `title` and `detail`: `en`, `es` or `pt`. Absent when no error is told"),
        "Vary": text("`Accept-Language`, wherever `Content-Language` is"),
        "WwwAuthenticate": text("How to authenticate"),
    })
}

fn parameters() -> Value {
    json!({
        "AcceptLanguage": {
            "name": "Accept-Language", "in": "header", "schema": { "type": "string" },
            "description": "The language of errors, with weights and ranges: `es-MX, pt;q=0.8`. At most 32 ranges are looked at, and what cannot be read means nothing",
        },
        "WaxwingTenant": {
            "name": "Waxwing-Tenant", "in": "header", "schema": { "type": "string" },
            "description": "The tenant, by its id or `external_id`. Only instance keys may name another than their own; `default` unless given",
        },
        "IdempotencyKey": {
            "name": "Idempotency-Key", "in": "header",
            "schema": { "type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[ -~]+$" },
            "description": "The same request with the same key gets the first answer again, as it was and in the language that it had, for 24 hours",
        },
        "IfMatch": {
            "name": "If-Match", "in": "header", "schema": { "type": "string" },
            "description": "The `ETag` that was read: 412 when somebody changed the object since",
        },
    })
}

/// What receivers get: one entry for each profile, and one for each event type of tenant `system`.
pub fn webhooks() -> Value {
    let header = |name: &str, description: &str| json!({ "name": name, "in": "header", "required": true, "description": description, "schema": { "type": "string" } });
    let responses = || {
        json!({
            "2XX": { "description": "Taken. Any 2xx whose head comes in time will do" },
            "410": { "description": "The receiver is gone: the subscription is disabled at once" },
            "default": { "description": "Not taken: it is tried again, later each time" },
        })
    };
    let mut all = json!({
        "delivery.standard": { "post": {
            "operationId": "deliveries.standard",
            "tags": ["Deliveries"],
            "summary": "A delivery in the profile `standard`",
            "description": "Signed as Standard Webhooks 1.0.0 describes. `webhook-id` is the event's id, the same for every retry.",
            "parameters": [
                header("webhook-id", "The event's id"),
                header("webhook-timestamp", "When this attempt was signed, in seconds since 1970"),
                header("webhook-signature", "`v1,` and the base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`; two of them, with a space between, while a rotated secret lives on; then `v1a,` and the base64 of the ed25519 signature of the same, when the subscription has a key pair"),
            ],
            "requestBody": { "required": true, "content": { "application/json": { "schema": {
                "type": "object",
                "required": ["type", "timestamp", "data"],
                "properties": {
                    "type": { "type": "string", "description": "The event type" },
                    "timestamp": { "type": "string", "format": "date-time", "description": "When the fact happened" },
                    "id": { "type": "string", "description": "The event's id, as in `webhook-id`: from `api_version` 2026-11-01 on" },
                    "api_version": { "type": "string", "description": "The subscription's: from 2026-11-01 on" },
                    "data": { "description": "As it was published, byte for byte" },
                },
                "examples": [{ "type": "order.paid", "timestamp": "2026-02-18T12:00:00.000Z", "data": { "order_id": "1001", "total": "49.90" } }],
            } } } },
            "responses": responses(),
            "security": [],
        } },
        "delivery.mage": { "post": {
            "operationId": "deliveries.mage",
            "tags": ["Deliveries"],
            "summary": "A delivery in the profile `mage`",
            "description": "Signed with the 64 characters of the secret as the key. `X-Webhook-` can be another brand: `header_prefix` of the tenant.",
            "parameters": [
                header("x-webhook-event", "The event type"),
                header("x-webhook-timestamp", "When this attempt was signed"),
                header("x-webhook-signature", "`sha256=` and the hex of HMAC-SHA256 over `{timestamp}.{body}`"),
            ],
            "requestBody": { "required": true, "content": { "application/json": { "schema": {
                "type": "object",
                "required": ["event", "shop", "timestamp", "data"],
                "properties": {
                    "event": { "type": "string", "description": "The event type" },
                    "shop": { "type": "string", "description": "The tenant's `external_id`, else its name" },
                    "timestamp": { "type": "string", "format": "date-time", "description": "When the fact happened" },
                    "data": { "description": "As it was published, byte for byte" },
                },
                "examples": [{ "event": "points.earned", "shop": "my-store", "timestamp": "2026-02-18T12:00:00.000Z", "data": { "points_earned": 50 } }],
            } } } },
            "responses": responses(),
            "security": [],
        } },
        "delivery.marea": { "post": {
            "operationId": "deliveries.marea",
            "tags": ["Deliveries"],
            "summary": "A delivery in the profile `marea`",
            "description": "Signed with the 32 bytes that the 64 characters of the secret spell. `X-Marea-` can be another brand: `header_prefix` of the tenant.",
            "parameters": [
                header("x-marea-signature", "`t=`, the seconds since 1970 of this attempt, `,v1=` and the hex of HMAC-SHA256 over `{t}.{body}`"),
                header("x-marea-event-type", "The event type"),
                header("x-marea-endpoint-id", "The subscription, as `mk_we_` and 16 hexadecimal digits"),
                header("x-marea-signing-version", "The version of the secret that signed"),
                header("x-marea-source", "`merchant` when a key of the kind `marea_user` made the subscription, else `developer`"),
                header("x-marea-event-id", "The same as `eventId` in the body, also for every retry"),
                header("x-marea-delivery-id", "Another UUID for each attempt"),
            ],
            "requestBody": { "required": true, "content": { "application/json": { "schema": {
                "type": "object",
                "required": ["type", "eventId", "timestamp", "apiVersion", "data"],
                "properties": {
                    "type": { "type": "string", "description": "The event type" },
                    "eventId": { "type": "string", "format": "uuid", "description": "The event: the same for every retry" },
                    "timestamp": { "type": "string", "format": "date-time", "description": "When the fact happened" },
                    "apiVersion": { "type": "string", "description": "`2026-05-12`" },
                    "data": { "description": "As it was published, byte for byte" },
                },
                "examples": [{ "type": "order.paid", "eventId": "3c90c3cc-0d44-4b50-8888-8dd25736052a", "timestamp": "2026-05-12T19:00:00.000Z", "apiVersion": "2026-05-12", "data": { "orderId": "ord_1" } }],
            } } } },
            "responses": responses(),
            "security": [],
        } },
        "delivery.agentmessage": { "post": {
            "operationId": "deliveries.agentmessage",
            "tags": ["Deliveries"],
            "summary": "A delivery in the profile `agentmessage`",
            "description": "Signed with the 32 bytes that the secret is in base64. `X-AmCore-` can be another brand: `header_prefix` of the tenant.",
            "parameters": [
                header("x-amcore-signature", "`t=`, the seconds since 1970 of this attempt, `,v1=` and the hex of HMAC-SHA256 over `{t}`, a newline and `{body}`"),
                header("x-amcore-event-id", "The same as `id` in the body, also for every retry"),
                header("x-amcore-endpoint-id", "The subscription, as a UUID"),
            ],
            "requestBody": { "required": true, "content": { "application/json": { "schema": {
                "type": "object",
                "required": ["id", "type", "api_version", "created_at", "org_id", "data"],
                "properties": {
                    "id": { "type": "string", "description": "The event, as `evt_` and a UUID: the same for every retry" },
                    "type": { "type": "string", "description": "The event type" },
                    "api_version": { "type": "string", "description": "`2026-04-01`" },
                    "created_at": { "type": "string", "format": "date-time", "description": "When the fact happened" },
                    "org_id": { "type": "string", "format": "uuid", "description": "The tenant" },
                    "data": { "description": "As it was published, byte for byte" },
                },
                "examples": [{ "id": "evt_018f2d0c-7a4c-7f3e-8f1f-3a2b9c1d2e0f", "type": "webhook.test", "api_version": "2026-04-01", "created_at": "2026-04-26T12:00:00Z", "org_id": "00000000-0000-7000-8000-000000000001", "data": {} }],
            } } } },
            "responses": responses(),
            "security": [],
        } },
    });
    if let Value::Object(all) = &mut all {
        all.extend(operational::webhooks(&responses()));
    }
    all
}
