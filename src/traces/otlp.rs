//! Spans, and the JSON of a request with some (OTLP 1.x over HTTP, JSON encoding: ids in hex, 64-bit numbers as texts).

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::dispatch::feed::{DeliveryShown, Item};
use crate::domain::delivery::Trigger;
use crate::domain::id::EventId;
use crate::domain::time::Timestamp;
use crate::store::AttemptSeen;

/// `SPAN_KIND_CLIENT`, `SPAN_KIND_PRODUCER`
const CLIENT: u8 = 3;
const PRODUCER: u8 = 4;
/// `STATUS_CODE_OK`, `STATUS_CODE_ERROR`
const STATUS_OK: u8 = 1;
const STATUS_ERROR: u8 = 2;

/// As it goes into the request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span(Value);

impl Span {
    /// From the event's acceptance to the commit. The trace has the bytes of the event's id.
    pub fn publish(item: &Item, shown: &DeliveryShown) -> Self {
        let name = format!("publish {}", shown.event_type);
        let span = json!({
            "traceId": trace_id(shown.event),
            "spanId": publish_id(shown.event),
            "name": name,
            "kind": PRODUCER,
            "startTimeUnixNano": nanos(shown.event.assigned_at()),
            "endTimeUnixNano": nanos(item.at),
            "attributes": common(item, shown),
            "status": { "code": STATUS_OK },
        });
        Self(span)
    }

    pub fn attempt(item: &Item, shown: &DeliveryShown, attempt: &AttemptSeen) -> Self {
        let AttemptSeen { id: _, number, trigger, succeeded, http_status, error, duration, started_at } = attempt;
        let mut attributes = common(item, shown);
        let trigger = match trigger {
            Trigger::Schedule => "schedule",
            Trigger::Manual => "manual",
            Trigger::Probe => "probe",
        };
        attributes.extend([
            text("waxwing.subscription.id", &item.subscription.to_string()),
            text("waxwing.delivery.id", &shown.delivery.to_string()),
            number_of("waxwing.attempt.number", u64::from(*number)),
            text("waxwing.attempt.trigger", trigger),
        ]);
        attributes.extend(http_status.map(|status| number_of("http.response.status_code", u64::from(status))));
        attributes.extend(error.map(|error| text("error.type", error.name())));
        let code = if *succeeded { STATUS_OK } else { STATUS_ERROR };
        let own = [&b"attempt"[..], &shown.delivery.to_bytes(), &number.to_be_bytes()].concat();
        let span = json!({
            "traceId": trace_id(shown.event),
            "spanId": span_id(&own),
            "parentSpanId": publish_id(shown.event),
            "name": format!("attempt {}", shown.event_type),
            "kind": CLIENT,
            "startTimeUnixNano": nanos(*started_at),
            "endTimeUnixNano": nanos(started_at.plus(*duration)),
            "attributes": attributes,
            "status": { "code": code },
        });
        Self(span)
    }
}

/// The body of a request.
pub(super) fn request(spans: &[Span]) -> Value {
    let spans: Vec<&Value> = spans.iter().map(|Span(span)| span).collect();
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            text("service.name", "waxwing"),
            text("service.version", env!("CARGO_PKG_VERSION")),
        ] },
        "scopeSpans": [{ "scope": { "name": "waxwing" }, "spans": spans }],
    }] })
}

fn common(item: &Item, shown: &DeliveryShown) -> Vec<Value> {
    vec![
        text("waxwing.event.id", &shown.event.to_string()),
        text("waxwing.event.type", &shown.event_type.to_string()),
        text("waxwing.tenant.id", &item.tenant.to_string()),
    ]
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number_of(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn trace_id(event: EventId) -> String {
    hex::encode(event.to_bytes())
}

fn publish_id(event: EventId) -> String {
    span_id(&[&b"publish"[..], &event.to_bytes()].concat())
}

/// Eight bytes that follow from what it is, so that nobody has to remember them.
fn span_id(of: &[u8]) -> String {
    hex::encode(&Sha256::digest(of)[..8])
}

fn nanos(at: Timestamp) -> String {
    (i128::from(at.as_millis()) * 1_000_000).to_string()
}
