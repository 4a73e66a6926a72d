//! Marea's error body: one object of eleven fields for the first thing that is wrong.

use poem::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::{PLACE, ROOTS, SCOPES};
use crate::domain::actor::Actor;
use crate::domain::key::{Scope, Scopes};
use crate::domain::language::Language;
use crate::domain::violation::Rule;
use crate::http::problem::{Ground, Refusal, Source};
use crate::http::reply::Reply;
use crate::http::text::{said, text};
use crate::http::visit::Visit;

/// GUESS: of the ten types only `rate_limited`, `plan_limit` and `conflict` are published; `legal` and `plan_limit` belong to
/// what is not spoken here.
pub const TYPES: [&str; 10] = [
    "authentication",
    "permission",
    "not_found",
    "validation",
    "conflict",
    "idempotency",
    "rate_limited",
    "plan_limit",
    "legal",
    "internal",
];

/// Every status that an operation can be refused with: its component, and what it means.
pub const REFUSALS: [(u16, &str, &str); 12] = [
    (400, "BadRequest", "The request is malformed or breaks a rule; `param` names the field"),
    (401, "Unauthorized", "No API key came, or one that is not valid here"),
    (403, "Forbidden", "The API key lacks a scope"),
    (404, "NotFound", "There is no such thing for this key"),
    (409, "Conflict", "The request is running, its Idempotency-Key belongs to another, or there are 16 endpoints"),
    (410, "Gone", "The answer was too large to be given again"),
    (413, "PayloadTooLarge", "The body is larger than allowed"),
    (415, "UnsupportedMediaType", "The body is of another media type than expected"),
    (429, "TooManyRequests", "Over the quota of the minute or the day, or too many wrong keys from this address"),
    (500, "InternalError", "Something went wrong here"),
    (503, "ShuttingDown", "The server is shutting down, or its storage cannot be used at the moment"),
    (507, "StorageFull", "Storage is full"),
];

#[derive(Serialize)]
struct Envelope<'a> {
    error: Error<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Error<'a> {
    r#type: &'static str,
    code: &'static str,
    message: String,
    doc: String,
    param: Option<String>,
    request_id: &'a str,
    request_log_url: String,
    recoverable: bool,
    retry_after_ms: Option<u64>,
    next_actions: Vec<NextAction>,
    /// Of a plan's limits, which there are none of.
    upgrade: Option<()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    required_scopes: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_scopes: Option<Vec<&'static str>>,
}

#[derive(Serialize)]
struct NextAction {
    label: String,
    method: Option<&'static str>,
    url: Option<&'static str>,
}

pub fn render(refusal: &Refusal, visit: &Visit) -> Reply {
    let (problem, language) = (&refusal.problems()[0], visit.language());
    let ground = problem.ground();
    let (r#type, code) = type_and_code(ground);
    let required = required_scope(ground);
    let error = Error {
        r#type,
        code,
        message: text(ground, language).detail,
        doc: doc_of(code),
        param: problem.source().map(param_of),
        request_id: &visit.id,
        request_log_url: log_of(&visit.id),
        recoverable: is_recoverable(ground),
        retry_after_ms: refusal.retry_after_seconds().map(|seconds| seconds * 1000),
        next_actions: Advice::on(ground).map(|advice| advice.say(language)).into_iter().collect(),
        upgrade: None,
        required_scopes: required.map(|scope| vec![called(scope)]),
        held_scopes: required.map(|_| held(visit.actor.get().map(Actor::scopes).unwrap_or_default())),
    };
    let reply = Reply::json(ground.status(), &Envelope { error }).in_language(language);
    match refusal.retry_after_seconds() {
        Some(seconds) => reply.header("retry-after", seconds.to_string()),
        None => reply,
    }
}

/// GUESS: the codes of what a body can break (the status 400, too) and of who may not ask; published are
/// `invalid_authorization_format`, `invalid_idempotency_key`, `conflict`, `idempotency_conflict`,
/// `idempotency_snapshot_unavailable` and `rate_limit_exceeded`.
fn type_and_code(ground: &Ground) -> (&'static str, &'static str) {
    match ground {
        Ground::Rule(rule) => ("validation", code_of_rule(rule)),
        Ground::IdempotencyInProgress => ("conflict", "conflict"),
        Ground::InvalidIdempotencyKey | Ground::IdempotencyConflict | Ground::IdempotencySnapshotUnavailable => {
            ("idempotency", ground.code())
        }
        Ground::LimitExceeded { .. } => ("conflict", "webhook_endpoint_limit_reached"),
        _ => match ground.status() {
            StatusCode::UNAUTHORIZED => ("authentication", ground.code()),
            StatusCode::FORBIDDEN => ("permission", "insufficient_scope"),
            StatusCode::NOT_FOUND => ("not_found", "not_found"),
            StatusCode::TOO_MANY_REQUESTS => ("rate_limited", "rate_limit_exceeded"),
            StatusCode::CONFLICT | StatusCode::GONE | StatusCode::PRECONDITION_FAILED => ("conflict", ground.code()),
            status if status.is_server_error() => ("internal", ground.code()),
            _ => ("validation", ground.code()),
        },
    }
}

fn code_of_rule(rule: &Rule) -> &'static str {
    match rule {
        Rule::InvalidUrl(_) | Rule::UrlNotHttps | Rule::UrlTooLong { .. } => "invalid_url",
        Rule::UrlBlocked => "webhook_url_blocked",
        Rule::EventsEmpty
        | Rule::UnknownEventType { .. }
        | Rule::ArchivedEventType { .. }
        | Rule::EventNotAllowed { .. } => "invalid_event_type",
        _ => rule.code(),
    }
}

/// GUESS: links lead to the page of this API, with the code behind.
fn doc_of(code: &str) -> String {
    format!("{}#{code}", PLACE.page)
}

/// GUESS: it is for operators; who runs this server finds the request by its id in the log.
fn log_of(request_id: &str) -> String {
    format!("{}?request={request_id}", PLACE.page)
}

/// The member of the body, the query parameter or the header.
fn param_of(source: &Source) -> String {
    match source {
        Source::Pointer(pointer) => pointer.split('/').nth(1).unwrap_or_default().replace("~1", "/").replace("~0", "~"),
        Source::Parameter(name) => name.clone(),
        Source::Header(name) => (*name).to_owned(),
    }
}

/// Whether the same request can succeed later.
fn is_recoverable(ground: &Ground) -> bool {
    matches!(ground, Ground::IdempotencyInProgress)
        || ground.status() == StatusCode::TOO_MANY_REQUESTS
        || ground.status().is_server_error()
}

fn required_scope(ground: &Ground) -> Option<Scope> {
    match ground {
        Ground::MissingScope(_, scope) => Some(*scope),
        // Every operation that writes needs this one.
        Ground::ReadOnlyKey(_) => Some(Scope::SubscriptionsWrite),
        _ => None,
    }
}

/// What the contract calls a scope of ours.
fn called(scope: Scope) -> &'static str {
    let own = SCOPES.iter().find(|(_, granted)| granted.contains(&scope));
    own.map_or(scope.name(), |(name, _)| *name)
}

/// The contract's scopes that a key has in whole. Those without a counterpart are granted to nobody.
fn held(scopes: Scopes) -> Vec<&'static str> {
    let has = |granted: &&[Scope]| !granted.is_empty() && granted.iter().all(|scope| scopes.contains(*scope));
    SCOPES.iter().filter(|(_, granted)| has(granted)).map(|(name, _)| *name).collect()
}

/// GUESS: what a client is advised to do, and that it is advised in its language.
#[derive(Debug, Clone, Copy)]
enum Advice {
    Wait,
    Authenticate,
    UseAnotherKey,
    ListEndpoints,
    DeleteEndpoint,
    Correct,
    UseNewIdempotencyKey,
}

impl Advice {
    fn on(ground: &Ground) -> Option<Self> {
        match ground {
            Ground::LimitExceeded { .. } => Some(Self::DeleteEndpoint),
            Ground::IdempotencyConflict | Ground::IdempotencySnapshotUnavailable => Some(Self::UseNewIdempotencyKey),
            ground if is_recoverable(ground) => Some(Self::Wait),
            ground => match ground.status() {
                StatusCode::UNAUTHORIZED => Some(Self::Authenticate),
                StatusCode::FORBIDDEN => Some(Self::UseAnotherKey),
                StatusCode::NOT_FOUND => Some(Self::ListEndpoints),
                StatusCode::BAD_REQUEST => Some(Self::Correct),
                _ => None,
            },
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Wait => "Wait, then send the request again",
            Self::Authenticate => "Send a valid API key as a bearer token",
            Self::UseAnotherKey => "Use an API key that has the scope",
            Self::ListEndpoints => "List the webhook endpoints",
            Self::DeleteEndpoint => "Delete a webhook endpoint that is no longer needed",
            Self::Correct => "Correct the request, then send it again",
            Self::UseNewIdempotencyKey => "Send the request with another Idempotency-Key",
        }
    }

    fn say(self, language: Language) -> NextAction {
        let (method, url) = match self {
            Self::ListEndpoints | Self::DeleteEndpoint => (Some("GET"), Some(ROOTS[0])),
            _ => (None, None),
        };
        NextAction { label: said(self.label(), language), method, url }
    }
}

pub fn schema() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let scopes =
        |description: &str| json!({ "type": "array", "description": description, "items": { "type": "string" } });
    json!({
        "type": "object",
        "description": "What is wrong with a request",
        "required": ["error"],
        "properties": { "error": {
            "type": "object",
            "required": [
                "type", "code", "message", "doc", "param", "requestId", "requestLogUrl", "recoverable", "retryAfterMs",
                "nextActions", "upgrade",
            ],
            "additionalProperties": false,
            "properties": {
                "type": { "type": "string", "description": "What kind of error it is; never changes", "enum": TYPES },
                "code": text("What is wrong; never changes"),
                "message": text("What is wrong, for people, in the language that was asked for"),
                "doc": text("Where it is explained"),
                "param": { "type": ["string", "null"], "description": "The field, parameter or header that is wrong" },
                "requestId": {
                    "type": "string", "pattern": "^req_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
                    "description": "The same as in `X-Request-Id` and in the server's log",
                },
                "requestLogUrl": text("For operators"),
                "recoverable": { "type": "boolean", "description": "Whether the same request can succeed later" },
                "retryAfterMs": { "type": ["integer", "null"], "minimum": 0, "description": "`Retry-After`, in milliseconds" },
                "nextActions": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["label", "method", "url"],
                        "properties": {
                            "label": text("For people, in the language that was asked for"),
                            "method": { "type": ["string", "null"] },
                            "url": { "type": ["string", "null"] },
                        },
                    },
                },
                "upgrade": { "type": "null", "description": "There are no plans here" },
                "requiredScopes": scopes("Only when a scope is missing: what would do"),
                "heldScopes": scopes("Only when a scope is missing: what the key has"),
            },
        } },
    })
}
