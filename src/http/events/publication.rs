//! Reads what is published. This is the hot path: `data` is cut out of the body and never interpreted, unless its type
//! has a schema.

use std::borrow::Cow;

use bytes::Bytes;
use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaSchema, Registry};
// Not the trait itself: its `is_empty`, which is always false, would be taken for the one of `str`.
use poem_openapi::types;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::wire::{PublishBatch, PublishEvent};
use crate::domain::channel::{Channel, EVENT_CHANNELS_MAX};
use crate::domain::event::{BATCH_EVENTS_MAX, DATA_DEPTH_MAX, DELIVER_AT_AHEAD_MAX, DELIVER_AT_DAYS_MAX, NewEvent};
use crate::domain::event_type::WEBHOOK_TEST;
use crate::domain::tenant::EXTERNAL_ID_EXPECTED;
use crate::domain::time::Timestamp;
use crate::domain::violation::{Rule, Violation};
use crate::http::auth::Call;
use crate::http::body::{is_json, media_type, pointer_of, take_bytes};
use crate::http::channels::{check_channels, check_restriction};
use crate::http::event_types::open_type;
use crate::http::json::{Members, is_deeper, members, text_of};
use crate::http::problem::{Ground, Refusal};
use crate::http::reply::inline;
use crate::http::visit::Visit;
use crate::store::catalogue::EventTypeEntry;

/// Places in `data` that one refusal tells of.
const SCHEMA_MISMATCHES_SHOWN_MAX: usize = 20;
/// What is shown of one of them: it repeats a part of `data`.
const SCHEMA_MISMATCH_LENGTH_MAX: usize = 300;

/// The bytes of a publish request, with what they are.
pub(super) struct Publication {
    pub(super) bytes: Bytes,
    pub(super) is_ndjson: bool,
}

/// One event.
pub(super) struct PublishBody(pub(super) Publication);

/// Many events: one JSON object, or one event a line.
pub(super) struct BatchBody(pub(super) Publication);

const NDJSON: &str = "application/x-ndjson";

impl<'a> ApiExtractor<'a> for PublishBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <PublishEvent as types::Type>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let content = vec![MetaMediaType {
            content_type: "application/json",
            schema: <PublishEvent as types::Type>::schema_ref(),
        }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self::take(request, body).await?)
    }
}

impl PublishBody {
    pub(super) async fn take(request: &Request, body: &mut RequestBody) -> Result<Self, Refusal> {
        if !media_type(request).as_deref().is_some_and(is_json) {
            return Err(Refusal::new(Ground::UnsupportedMediaType { expected: "application/json" }));
        }
        let bytes = take_bytes(body, Visit::of(request).body_bytes_max).await?;
        Ok(Self(Publication { bytes, is_ndjson: false }))
    }
}

impl<'a> ApiExtractor<'a> for BatchBody {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <PublishBatch as types::Type>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let lines = MetaSchema { description: Some("One event on each line"), ..MetaSchema::new("string") };
        let content = vec![
            MetaMediaType { content_type: "application/json", schema: <PublishBatch as types::Type>::schema_ref() },
            MetaMediaType { content_type: NDJSON, schema: inline(lines) },
        ];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self::take(request, body).await?)
    }
}

impl BatchBody {
    pub(super) async fn take(request: &Request, body: &mut RequestBody) -> Result<Self, Refusal> {
        let is_ndjson = match media_type(request).as_deref() {
            Some(NDJSON) => true,
            Some(other) if is_json(other) => false,
            _ => {
                let expected = "application/json or application/x-ndjson";
                return Err(Refusal::new(Ground::UnsupportedMediaType { expected }));
            }
        };
        let bytes = take_bytes(body, Visit::of(request).app.settings.batch_bytes_max).await?;
        Ok(Self(Publication { bytes, is_ndjson }))
    }
}

/// An event of a batch, not looked at closer. What is wrong with it is its own affair.
pub(super) type Item<'a> = Result<Members<'a>, Violation>;

/// The events of a batch, in order.
pub(super) fn read_batch(publication: &Publication) -> Result<Vec<Item<'_>>, Refusal> {
    let text = text_of(&publication.bytes)?;
    let items: Vec<Item<'_>> = if publication.is_ndjson {
        text.split('\n').map(str::trim).filter(|line| !line.is_empty()).map(members).collect()
    } else {
        events_of(text)?
    };
    if items.is_empty() {
        return Err(Violation::at(Rule::InvalidFormat { expected: "1 to 1,000 events" }, "/events").into());
    }
    if items.len() > BATCH_EVENTS_MAX {
        return Err(Violation::at(Rule::TooManyItems { max: BATCH_EVENTS_MAX }, "/events").into());
    }
    Ok(items)
}

/// A batch that is nothing but objects, read in one go.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SoundBatch<'a> {
    #[serde(borrow)]
    events: Vec<Members<'a>>,
}

fn events_of(text: &str) -> Result<Vec<Item<'_>>, Refusal> {
    // Serde would also take an array for a struct.
    if text.trim_start().starts_with('{')
        && let Ok(SoundBatch { events }) = serde_json::from_str(text)
    {
        return Ok(events.into_iter().map(Ok).collect());
    }
    explained_events_of(text)
}

/// The same by small steps, which say what is wrong.
fn explained_events_of(text: &str) -> Result<Vec<Item<'_>>, Refusal> {
    let Members(all) = members(text)?;
    let mut violations = Vec::new();
    let mut events: Option<&RawValue> = None;
    for (name, value) in all {
        if name != "events" {
            violations.push(Violation::at(Rule::UnknownField { name: name.to_string() }, pointer_of(&name)));
        } else if events.replace(value).is_some() {
            violations.push(Violation::at(Rule::DuplicateItem, "/events"));
        }
    }
    let items: Option<Vec<&RawValue>> = match events {
        Some(events) => {
            let items = serde_json::from_str(events.get()).ok();
            if items.is_none() {
                violations.push(Violation::at(Rule::InvalidType { expected: "an array of events" }, "/events"));
            }
            items
        }
        None => {
            violations.push(Violation::at(Rule::MissingField { name: "events".into() }, "/events"));
            None
        }
    };
    match Refusal::from_violations(violations) {
        Some(refusal) => Err(refusal),
        None => Ok(items.unwrap_or_default().into_iter().map(|item| members(item.get())).collect()),
    }
}

/// Unknown and doubled members that are told of one event of what may be a thousand.
const EVENT_VIOLATIONS_MAX: usize = 10;

/// Checks one event and cuts its `data` out of the body. With `body`, the bytes are shared instead of copied.
pub(super) fn read_event(call: &Call, event: Item<'_>, body: Option<&Bytes>) -> Result<NewEvent, Vec<Violation>> {
    let Members(members) = event.map_err(|violation| vec![violation])?;
    let mut violations = Vec::new();
    let (mut event_type, mut data, mut external_id, mut occurred_at) = (None, None, None, None);
    let (mut channels, mut deliver_at) = (None, None);
    for (name, value) in members {
        if violations.len() >= EVENT_VIOLATIONS_MAX {
            break;
        }
        let slot: &mut Option<&RawValue> = match name.as_ref() {
            "type" => &mut event_type,
            "data" => &mut data,
            "external_id" => &mut external_id,
            "occurred_at" => &mut occurred_at,
            "channels" => &mut channels,
            "deliver_at" => &mut deliver_at,
            _ => {
                violations.push(Violation::at(Rule::UnknownField { name: name.to_string() }, pointer_of(&name)));
                continue;
            }
        };
        // Which of the two is meant cannot be known. (Inside `data` it is the publisher's own affair.)
        if slot.replace(value).is_some() {
            violations.push(Violation::at(Rule::DuplicateItem, pointer_of(&name)));
        }
    }
    let mut missing = |name: &'static str| {
        violations.push(Violation::at(Rule::MissingField { name: name.into() }, pointer_of(name)));
    };
    if event_type.is_none() {
        missing("type");
    }
    if data.is_none() {
        missing("data");
    }
    let entry = event_type.and_then(|value| note(find_type(call, value), &mut violations));
    if let Some(entry) = entry
        && !call.actor.restriction().allows(&entry.event_type.name)
    {
        let name = entry.event_type.name.to_string();
        violations.push(Violation::at(Rule::EventNotAllowed { name }, "/type"));
    }
    let external_id = external_id.and_then(|value| {
        let parsed = string(value, "/external_id").and_then(|text| {
            text.parse()
                .map_err(|_| Violation::at(Rule::InvalidFormat { expected: EXTERNAL_ID_EXPECTED }, "/external_id"))
        });
        note(parsed, &mut violations)
    });
    let occurred_at = occurred_at.and_then(|value| note(moment(value, "/occurred_at"), &mut violations));
    let channels = channels.map(read_channels).unwrap_or(Ok(Vec::new()));
    let channels = channels.and_then(|asked| check_restriction(asked, Some(call.actor.restriction())));
    let channels = channels.map(|asked| call.actor.restriction().forced_onto(asked));
    let channels = channels.unwrap_or_else(|found| {
        violations.extend(found);
        Vec::new()
    });
    let deliver_at = deliver_at.and_then(|value| {
        let checked = moment(value, "/deliver_at").and_then(|at| {
            let is_too_far = at > call.visit.app.clock.now().plus(DELIVER_AT_AHEAD_MAX);
            let too_far = Violation::at(Rule::TooFarAhead { days_max: DELIVER_AT_DAYS_MAX }, "/deliver_at");
            if is_too_far { Err(too_far) } else { Ok(at) }
        });
        note(checked, &mut violations)
    });
    if let Some(data) = data {
        check_data(call, entry, data.get(), &mut violations);
    }
    match (entry, data) {
        (Some(entry), Some(data)) if violations.is_empty() => Ok(NewEvent {
            tenant: call.tenant().id,
            event_type: entry.event_type.name.clone(),
            external_id,
            occurred_at,
            channels,
            deliver_at,
            data: bytes_of(data.get(), body),
        }),
        _ => Err(violations),
    }
}

fn note<T>(result: Result<T, Violation>, violations: &mut Vec<Violation>) -> Option<T> {
    result.map_err(|violation| violations.push(violation)).ok()
}

fn string<'a>(value: &'a RawValue, pointer: &str) -> Result<Cow<'a, str>, Violation> {
    let text = value.get();
    // Without escapes the text between the quotes is the string.
    if let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'))
        && !inner.contains('\\')
    {
        return Ok(Cow::Borrowed(inner));
    }
    let owned: Result<String, _> = serde_json::from_str(text);
    owned.map(Cow::Owned).map_err(|_| Violation::at(Rule::InvalidType { expected: "a string" }, pointer))
}

fn moment(value: &RawValue, pointer: &str) -> Result<Timestamp, Violation> {
    let rule = Rule::InvalidFormat { expected: "an RFC 3339 date and time" };
    string(value, pointer)?.parse().map_err(|_| Violation::at(rule, pointer))
}

fn read_channels(value: &RawValue) -> Result<Vec<Channel>, Vec<Violation>> {
    let Ok(texts) = serde_json::from_str::<Vec<String>>(value.get()) else {
        return Err(vec![Violation::at(Rule::InvalidType { expected: "an array of strings" }, "/channels")]);
    };
    check_channels(&texts, EVENT_CHANNELS_MAX)
}

fn find_type<'a>(call: &'a Call, value: &RawValue) -> Result<&'a EventTypeEntry, Violation> {
    let name = string(value, "/type")?;
    let found = match &*name {
        WEBHOOK_TEST => Err(Rule::UnknownEventType { name: name.into_owned() }),
        name => open_type(&call.catalogue, name),
    };
    found.map_err(|rule| Violation::at(rule, "/type"))
}

fn check_data(call: &Call, entry: Option<&EventTypeEntry>, data: &str, violations: &mut Vec<Violation>) {
    let bytes_max = call.visit.app.settings.data_bytes_max;
    if data.len() > bytes_max {
        violations.push(Violation::at(Rule::PayloadTooLarge { max: bytes_max }, "/data"));
    } else if is_deeper(data, DATA_DEPTH_MAX) {
        violations.push(Violation::at(Rule::PayloadTooDeep { max: DATA_DEPTH_MAX }, "/data"));
    } else if let Some(validator) = entry.and_then(|entry| entry.validator.as_ref()) {
        check_schema(validator, data, violations);
    }
}

/// Also for the example of an event type.
pub fn check_schema(validator: &jsonschema::Validator, data: &str, violations: &mut Vec<Violation>) {
    let value: Value = match serde_json::from_str(data) {
        Ok(value) => value,
        // 1e400 or a lone surrogate: JSON by its grammar, and still no value that a schema can be asked about.
        Err(error) => {
            violations.push(Violation::at(Rule::PayloadSchemaMismatch { detail: error.to_string() }, "/data"));
            return;
        }
    };
    if validator.is_valid(&value) {
        return;
    }
    for error in validator.iter_errors(&value).take(SCHEMA_MISMATCHES_SHOWN_MAX) {
        let detail = shortened(&error.to_string());
        let pointer = format!("/data{}", error.instance_path());
        violations.push(Violation::at(Rule::PayloadSchemaMismatch { detail }, pointer));
    }
}

/// What a schema says about data may hold much of both.
pub fn shortened(said: &str) -> String {
    said.chars().take(SCHEMA_MISMATCH_LENGTH_MAX).collect()
}

/// A slice of the body when the body is little more than `data`, else a copy: a small event must not keep a large body
/// in memory.
fn bytes_of(data: &str, body: Option<&Bytes>) -> Bytes {
    match body {
        Some(body) if data.len() * 2 >= body.len() => body.slice_ref(data.as_bytes()),
        _ => Bytes::copy_from_slice(data.as_bytes()),
    }
}
