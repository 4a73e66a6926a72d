//! AgentMessage's error body: `{"success":false,"error":{"code","message","request_id","details"?}}`.

use std::collections::BTreeMap;

use poem::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::LANGUAGE;
use crate::domain::violation::Rule;
use crate::http::problem::{Ground, Problem, Refusal, Source};
use crate::http::reply::Reply;
use crate::http::text::text;
use crate::http::visit::Visit;

/// Every status that an operation can be refused with: its component, and what it means.
pub const REFUSALS: [(u16, &str, &str); 13] = [
    (400, "InvalidInput", "The body is not a JSON object"),
    (401, "Unauthorized", "No API key came, or one that is not valid here"),
    (403, "Forbidden", "The API key lacks the scope"),
    (404, "NotFound", "There is no such thing for this organization"),
    (409, "LimitExceeded", "There are as many as there may be"),
    (410, "EventExpired", "The event's data was removed when its time was over"),
    (413, "PayloadTooLarge", "The body is larger than allowed"),
    (415, "UnsupportedMediaType", "The body is of another media type than expected"),
    (422, "ValidationFailed", "The body or the query breaks a rule: `details` has each field with its reason"),
    (429, "RateLimited", "Too many requests, or too many wrong keys from this address"),
    (500, "InternalError", "Something went wrong here"),
    (503, "ShuttingDown", "The server is shutting down, or its storage cannot be used at the moment"),
    (507, "StorageFull", "Storage is full"),
];

#[derive(Serialize)]
struct Envelope<'a> {
    success: bool,
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    code: String,
    message: String,
    request_id: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    details: BTreeMap<String, String>,
}

pub fn render(refusal: &Refusal, visit: &Visit) -> Reply {
    let first = refusal.problems()[0].ground();
    let (status, code, message) = told(first);
    let is_validation = status == StatusCode::UNPROCESSABLE_ENTITY;
    let details = if is_validation { details(refusal.problems()) } else { BTreeMap::new() };
    let message = message.map_or_else(|| text(first, LANGUAGE).detail, str::to_owned);
    let error = Error { code, message, request_id: &visit.id, details };
    let reply = Reply::json(status, &Envelope { success: false, error });
    match refusal.retry_after_seconds() {
        Some(seconds) => reply.header("retry-after", seconds.to_string()),
        None => reply,
    }
}

/// What is published of the ground: status, code and message. Where no message is, ours is told.
fn told(ground: &Ground) -> (StatusCode, String, Option<&'static str>) {
    let status = ground.status();
    let (status, code, message) = match (ground, status.as_u16()) {
        // What has no fields cannot break their rules.
        (Ground::Rule(Rule::InvalidJson(_)), _) => (status, "INVALID_INPUT", None),
        // GUESS: validation is 422 on all webhook routes; others of its API use 400.
        (Ground::Rule(_), _) => (StatusCode::UNPROCESSABLE_ENTITY, "VALIDATION_FAILED", Some("validation failed")),
        (_, 401) => (status, "UNAUTHORIZED", Some("authentication failed")),
        (_, 403) => (status, "FORBIDDEN", Some("missing required scope")),
        (_, 404) => (status, "NOT_FOUND", Some("not found")),
        (_, 429) => (status, "RATE_LIMITED", Some("rate limited")),
        _ => return (status, ground.code().to_ascii_uppercase(), None),
    };
    (status, code.to_owned(), message)
}

/// Each field that breaks a rule, with the first reason.
fn details(problems: &[Problem]) -> BTreeMap<String, String> {
    let mut details = BTreeMap::new();
    for problem in problems {
        let field = match problem.source() {
            Some(Source::Pointer(pointer)) => pointer.split('/').nth(1).unwrap_or_default(),
            Some(Source::Parameter(name)) => name,
            Some(Source::Header(name)) => name,
            None => "body",
        };
        details.entry(field.to_owned()).or_insert_with(|| text(problem.ground(), LANGUAGE).detail);
    }
    details
}

pub fn schema() -> Value {
    json!({
        "type": "object",
        "description": "What is wrong with a request",
        "required": ["success", "error"],
        "properties": {
            "success": { "type": "boolean", "enum": [false] },
            "error": {
                "type": "object",
                "required": ["code", "message", "request_id"],
                "properties": {
                    "code": { "type": "string", "description": "What is wrong; never changes" },
                    "message": { "type": "string", "description": "What is wrong, for people" },
                    "request_id": { "type": "string", "description": "The same as `X-Request-Id`, a ULID" },
                    "details": {
                        "type": "object",
                        "description": "Of a validation: each field with its reason",
                        "additionalProperties": { "type": "string" },
                    },
                },
            },
        },
    })
}
