//! What Marea's document says besides the operations.

use serde_json::{Value, json};

use super::errors::{REFUSALS, schema};
use super::{Apis, SCOPES};
use crate::http::document::{Names, Operation, Shape, of, webhooks};

pub fn document() -> Value {
    let mut document = of::<Apis>(&Shape {
        title: "Waxwing as Marea",
        summary: "The webhook endpoints of Marea's published API, contract of 2026-05-12",
        description: DESCRIPTION,
        examples: include_str!("examples.json"),
        refusals: &REFUSALS,
        refusal_schema: "ErrorEnvelope",
        schemas: vec![("ErrorEnvelope", schema())],
        key: Some(
            "A key of the kind `marea_developer` or `marea_user`, or one of the own API, as `Authorization: Bearer <key>` or `X-API-Key: <key>`.",
        ),
        cookie: None,
        scopes: &SCOPES,
        headers: headers(),
        parameters: parameters(),
        webhooks: json!({ "delivery.marea": own_deliveries() }),
        parameters_of,
        headers_of,
        refusals_of,
        refusal_headers_of,
    });
    // poem-openapi cannot say this.
    document["components"]["schemas"]["UpdateWebhookEndpoint"]["minProperties"] = json!(1);
    document
}

const DESCRIPTION: &str = "\
Objects are the whole body of an answer, in camelCase. An error is `{\"error\": {…}}` with the first thing that is wrong: branch on `type` \
and `code`, which never change. `message` and the labels in `nextActions` are in the language that `Accept-Language` asks for (`es`, `en` or \
`pt`; a region means its language), else in Spanish. `requestLogUrl` is for operators, who find the request by its id in the server's log.

Keys of Marea may call 60 times a minute, and 50 times (`mk_dev_…`) or 10,000 times (`mk_user_…`) a day, unless they have a quota of their \
own; every call counts. Windows are fixed: they begin with the minute, and with the day of UTC. `error.message` names the one that is used up: `rpm_exceeded` or `rpd_exceeded`. The event types are \
those of this server.

A POST or PATCH with an `Idempotency-Key` that is sent again gets the first answer again for 24 hours, refusals included, unless that was longer than \
100 KB. Without one it is carried out, and the answer recommends to send one.";

/// The deliveries, as in the document of the own API.
fn own_deliveries() -> Value {
    let mut deliveries = webhooks()["delivery.marea"].take();
    deliveries["post"]["tags"] = json!(["Webhook endpoints"]);
    deliveries
}

fn is_mutation(operation: &Operation<'_>) -> bool {
    matches!(operation.method, "post" | "patch")
}

fn parameters_of(operation: &Operation<'_>) -> Vec<&'static str> {
    let mut names = vec!["AcceptLanguage"];
    if is_mutation(operation) {
        names.push("IdempotencyKey");
    }
    names
}

fn headers_of(operation: &Operation<'_>, _status: &str) -> Names {
    let mut names = all_answers();
    if is_mutation(operation) {
        names.extend([("Idempotency-Replayed", "IdempotencyReplayed"), ("Marea-Recommendation", "Recommendation")]);
    }
    names
}

fn all_answers() -> Names {
    vec![
        ("X-Request-Id", "RequestId"),
        ("X-RateLimit-Limit", "RateLimitLimit"),
        ("X-RateLimit-Remaining", "RateLimitRemaining"),
        ("X-RateLimit-Reset", "RateLimitReset"),
    ]
}

fn refusals_of(operation: &Operation<'_>) -> Vec<u16> {
    let mut statuses = vec![401, 403, 404, 429, 500, 503];
    if operation.is_write() {
        statuses.push(507);
    }
    if is_mutation(operation) {
        statuses.extend([400, 409, 410, 413, 415]);
    }
    statuses
}

fn refusal_headers_of(status: u16) -> Names {
    let mut names = all_answers();
    names.extend([("Content-Language", "ContentLanguage"), ("Vary", "Vary")]);
    match status {
        401 => names.push(("WWW-Authenticate", "WwwAuthenticate")),
        409 | 429 | 503 => names.push(("Retry-After", "RetryAfter")),
        _ => {}
    }
    names
}

fn headers() -> Value {
    let text = |description| json!({ "description": description, "schema": { "type": "string" } });
    let number = |description| json!({ "description": description, "schema": { "type": "integer", "minimum": 0 } });
    json!({
        "RequestId": text("The request's id: `requestId` of its error"),
        "RateLimitLimit": number("Calls a minute of the key; absent when they are not limited, and when the key is not valid"),
        "RateLimitRemaining": number("What is left of them"),
        "RateLimitReset": number("When the next minute begins, in seconds since 1970"),
        "RetryAfter": number("Seconds to wait"),
        "IdempotencyReplayed": text("`true`: this is the answer to the first request with this idempotency key"),
        "Recommendation": text("`include-idempotency-key`: the request had none"),
        "ContentLanguage": text("The language of the error: `es`, `en` or `pt`"),
        "Vary": text("`Accept-Language`"),
        "WwwAuthenticate": text("How to authenticate"),
    })
}

fn parameters() -> Value {
    json!({
        "AcceptLanguage": {
            "name": "Accept-Language", "in": "header", "schema": { "type": "string" },
            "description": "The language of errors: `es` (default), `en` or `pt`, with weights and ranges",
        },
        "IdempotencyKey": {
            "name": "Idempotency-Key", "in": "header",
            "schema": { "type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[ -~]+$" },
            "description": "The same request with the same key gets the first answer again for 24 hours",
        },
    })
}
