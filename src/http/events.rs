//! `/v1/events` (contract 4.2). Publishing is the hot path: `data` is cut out of the body and never interpreted, unless
//! its type has a schema.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use poem::http::StatusCode;
use poem::{IntoResponse, Request, RequestBody, Response};
use poem_openapi::param::Path;
use poem_openapi::registry::{MetaMediaType, MetaRequest, MetaResponses, MetaSchema, MetaSchemaRef, Registry};
// Not the trait itself: its `is_empty`, which is always false, would be taken for the one of `str`.
use poem_openapi::types;
use poem_openapi::{ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions, Object, OpenApi};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::auth::{Call, Caller, scope};
use super::body::{Members, depth, is_json, media_type, members, pointer_of, take_bytes};
use super::deliveries::{DeliverySummary, summary};
use super::idempotency::{Fingerprint, Memory, once};
use super::page::{
    Cursor, Parameter, Parameters, Params, Query, Walked, bool_parameter, moment_parameter, text_parameter,
};
use super::problem::{Ground, ProblemView, Refusal};
use super::reply::{
    Answer, Attributes, Object as ResourceObject, One, Reply, Shape, array_schema, inline, meta_response,
    object_schema, reference, register_object,
};
use super::value::{MomentText, Nullable, Raw, Time, choice};
use super::visit::Visit;
use super::{App, Tag, read_disk};
use crate::domain::delivery::{Delivery, State};
use crate::domain::event::{BATCH_EVENTS_MAX, DATA_DEPTH_MAX, Event, NewEvent};
use crate::domain::event_type::WEBHOOK_TEST;
use crate::domain::id::{EventId, TenantId};
use crate::domain::tenant::EXTERNAL_ID_EXPECTED;
use crate::domain::violation::{Rule, Violation};
use crate::store::catalogue::EventTypeEntry;
use crate::store::{EventFilter, Published, Store, StoreError};

const THING: &str = "Event";
/// Places in `data` that one refusal tells of.
const SCHEMA_MISMATCHES_SHOWN_MAX: usize = 20;
/// What is shown of one of them: it repeats a part of `data`.
const SCHEMA_MISMATCH_LENGTH_MAX: usize = 300;

const STATES: [&str; 5] = ["unmatched", "in_progress", "delivered", "failed", "mixed"];
choice!(EventStateName, "event_state", STATES);

/// An event, as it stands
#[derive(Debug, Serialize, Object)]
pub struct EventAttributes {
    /// The event type
    #[oai(rename = "type")]
    r#type: String,
    /// Your own name for it
    external_id: Nullable<String>,
    /// When the fact happened
    occurred_at: Time,
    created_at: Time,
    /// `unmatched`: nobody asked for it. The others follow from its deliveries: `in_progress` while one is open, then
    /// `delivered`, `failed`, or `mixed`
    state: EventStateName,
    /// How many deliveries it made
    deliveries_count: u32,
    data_bytes: u32,
}

impl Attributes for EventAttributes {
    const TYPE: &'static str = "event";
    const NAME: &'static str = "Event";
    const ONE: &'static str = "The event and its deliveries are durable";
    const PAGE: &'static str = "A page of events, newest first";
}

/// An event with its deliveries and what it says
#[derive(Debug, Serialize, Object)]
struct EventDetailAttributes {
    /// The event type
    #[oai(rename = "type")]
    r#type: String,
    /// Your own name for it
    external_id: Nullable<String>,
    /// When the fact happened
    occurred_at: Time,
    created_at: Time,
    /// As in the list
    state: EventStateName,
    /// How many deliveries it made
    deliveries_count: u32,
    data_bytes: u32,
    /// In the order of their subscriptions
    deliveries: Vec<DeliverySummary>,
    /// Byte for byte as it was published; null when retention removed it
    data: Nullable<Raw>,
}

impl Attributes for EventDetailAttributes {
    const TYPE: &'static str = "event";
    const NAME: &'static str = "EventDetail";
    const ONE: &'static str = "The event with its deliveries and data";
    const PAGE: &'static str = "";
}

/// An event to publish
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct PublishEvent {
    /// An event type that exists
    #[oai(rename = "type", validator(min_length = 1, max_length = 128))]
    event_type: String,
    /// Any JSON, at most 256 KiB and 100 levels deep. Its bytes are delivered as they came
    data: Value,
    /// Your own name for it: publishing the same again answers with the first one
    #[oai(validator(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._:-]+$"))]
    external_id: Option<String>,
    /// When the fact happened (default now)
    occurred_at: Option<MomentText>,
}

/// Events to publish together
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct PublishBatch {
    #[oai(validator(min_items = 1, max_items = 1000))]
    events: Vec<PublishEvent>,
}

/// The bytes of a publish request, with what they are.
struct Publication {
    bytes: Bytes,
    is_ndjson: bool,
}

/// One event.
struct PublishBody(Publication);

/// Many events: one JSON object, or one event a line.
struct BatchBody(Publication);

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
        if !media_type(request).as_deref().is_some_and(is_json) {
            return Err(Refusal::new(Ground::UnsupportedMediaType { expected: "application/json" }).into());
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
        let is_ndjson = match media_type(request).as_deref() {
            Some(NDJSON) => true,
            Some(other) if is_json(other) => false,
            _ => {
                let expected = "application/json or application/x-ndjson";
                return Err(Refusal::new(Ground::UnsupportedMediaType { expected }).into());
            }
        };
        let bytes = take_bytes(body, Visit::of(request).app.settings.batch_bytes_max).await?;
        Ok(Self(Publication { bytes, is_ndjson }))
    }
}

struct EventList {
    cursor: Cursor<EventId>,
    filter: EventFilter,
}

impl Parameters for EventList {
    fn documented() -> Vec<Parameter> {
        let mut parameters = Cursor::<EventId>::documented();
        parameters.extend([
            text_parameter("filter[type]", "Only those of this event type"),
            moment_parameter("filter[since]", "Only those created then or later"),
            moment_parameter("filter[until]", "Only those created before"),
            bool_parameter("filter[unmatched]", "Only those that nobody (true), or somebody (false), asked for"),
        ]);
        parameters
    }

    fn read(query: &mut Params) -> Self {
        Self {
            cursor: Cursor::read(query),
            filter: EventFilter {
                event_type: query.take("filter[type]", "an event type"),
                since: query.take_moment("filter[since]"),
                until: query.take_moment("filter[until]"),
                unmatched: query.take_bool("filter[unmatched]"),
                channel: None,
            },
        }
    }
}

pub struct EventsApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1/events", tag = "Tag::Events")]
impl EventsApi {
    /// Publish an event
    ///
    /// The answer comes when the event and all its deliveries are on disk.
    #[oai(path = "/", method = "post", operation_id = "events.publish")]
    async fn publish(&self, caller: Caller<scope::Publishing>, body: PublishBody) -> Result<PublishAnswer, Refusal> {
        caller.charge_events(1)?;
        let PublishBody(Publication { bytes, .. }) = body;
        once(&caller, Fingerprint::Bytes(&bytes), async |memory| {
            refuse_system_tenant(&caller)?;
            let text = text_of(&bytes)?;
            let event = read_event(&caller, text, Some(&bytes)).map_err(refuse)?;
            publish_one(&self.app.store, event, memory, caller.visit.id.clone()).await
        })
        .await
        .map(PublishAnswer)
    }

    /// Publish many events
    ///
    /// At most 1,000. Each is taken or refused by itself, and answered in order; what is taken is on disk.
    #[oai(path = "/batch", method = "post", operation_id = "events.publish_batch")]
    async fn publish_batch(
        &self,
        caller: Caller<scope::Publishing>,
        body: BatchBody,
    ) -> Result<Answer<BatchResults, 200>, Refusal> {
        let BatchBody(publication) = body;
        let texts = match read_batch(&publication) {
            Ok(texts) => texts,
            // Nothing to count, and still a call.
            Err(refusal) => {
                caller.charge_events(1)?;
                return Err(refusal);
            }
        };
        caller.charge_events(texts.len())?;
        once(&caller, Fingerprint::Bytes(&publication.bytes), async |memory| {
            refuse_system_tenant(&caller)?;
            let items = texts.iter().enumerate().map(|(index, text)| {
                let read = read_event(&caller, text, None);
                // A line is a document of its own; an item of the array is a part of one.
                let place = if publication.is_ndjson { String::new() } else { format!("/events/{index}") };
                read.map_err(|all| refuse(all.into_iter().map(|violation| violation.below(&place)).collect()))
            });
            let items: Vec<_> = items.collect();
            publish_many(&self.app.store, items, memory, caller.visit.id.clone()).await
        })
        .await
        .map(Into::into)
    }

    /// List events
    ///
    /// Newest first. With a filter a page can come out short and still have a next one: at most 10,000 rows are looked
    /// at for each.
    #[oai(path = "/", method = "get", operation_id = "events.list")]
    async fn list(
        &self,
        caller: Caller<scope::EventsRead>,
        query: Query<EventList>,
    ) -> Result<Answer<Walked<EventAttributes>, 200>, Refusal> {
        let Query(EventList { cursor, filter }) = query;
        let tenant = caller.tenant().id;
        let read = move |store: &Store| {
            let page = store.events(tenant, &filter, cursor.walk)?;
            let rows: Result<Vec<_>, StoreError> = page
                .rows
                .into_iter()
                .map(|event| {
                    let state = state(&event, &store.deliveries_of(&event)?);
                    Ok(ResourceObject::new(event.id.to_string(), attributes(&event, state)))
                })
                .collect();
            Ok((rows?, page.next, page.previous))
        };
        let (rows, next, previous) = read_disk(&self.app.store, read).await?;
        Ok(Reply::json(StatusCode::OK, &cursor.list(&caller, rows, next, previous)).into())
    }

    /// Get an event with its deliveries and data
    #[oai(path = "/:id", method = "get", operation_id = "events.get")]
    async fn get(
        &self,
        caller: Caller<scope::EventsRead>,
        id: Path<String>,
    ) -> Result<Answer<One<EventDetailAttributes>, 200>, Refusal> {
        let not_found = || Refusal::not_found(THING, id.as_str());
        let event_id: EventId = id.parse().map_err(|_| not_found())?;
        let tenant = caller.tenant().id;
        let read = move |store: &Store| {
            let Some(event) = store.event(event_id)?.filter(|event| event.tenant == tenant) else { return Ok(None) };
            let deliveries = store.deliveries_of(&event)?;
            let data = store.event_data(event_id)?;
            Ok(Some((event, deliveries, data)))
        };
        let (event, deliveries, data) = read_disk(&self.app.store, read).await?.ok_or_else(not_found)?;
        let EventAttributes { r#type, external_id, occurred_at, created_at, state, deliveries_count, data_bytes } =
            attributes(&event, state(&event, &deliveries));
        let detail = EventDetailAttributes {
            r#type,
            external_id,
            occurred_at,
            created_at,
            state,
            deliveries_count,
            data_bytes,
            deliveries: deliveries.iter().map(|delivery| summary(delivery, &caller.catalogue)).collect(),
            data: data.and_then(|data| raw(&data)).into(),
        };
        Ok(Reply::json(StatusCode::OK, &One::new(event.id.to_string(), detail)).into())
    }
}

fn raw(data: &[u8]) -> Option<Raw> {
    RawValue::from_string(String::from_utf8(data.to_vec()).ok()?).ok().map(Raw)
}

fn refuse(violations: Vec<Violation>) -> Refusal {
    Refusal::from_violations(violations).expect("read_event fails with at least one violation")
}

fn refuse_system_tenant(call: &Call) -> Result<(), Refusal> {
    if call.tenant().id == TenantId::SYSTEM { Err(Ground::SystemTenant.into()) } else { Ok(()) }
}

fn text_of(bytes: &Bytes) -> Result<&str, Violation> {
    std::str::from_utf8(bytes).map_err(|error| Violation::new(Rule::InvalidJson(error.to_string())))
}

/// The texts of a batch's events, in order. What is wrong inside one of them is that one's own affair.
fn read_batch(publication: &Publication) -> Result<Vec<&str>, Refusal> {
    let text = text_of(&publication.bytes)?;
    let texts: Vec<&str> = if publication.is_ndjson {
        text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect()
    } else {
        events_of(text)?
    };
    if texts.is_empty() {
        return Err(Violation::at(Rule::InvalidFormat { expected: "1 to 1,000 events" }, "/events").into());
    }
    if texts.len() > BATCH_EVENTS_MAX {
        return Err(Violation::at(Rule::TooManyItems { max: BATCH_EVENTS_MAX }, "/events").into());
    }
    Ok(texts)
}

fn events_of(text: &str) -> Result<Vec<&str>, Refusal> {
    let Members(members) = members(text.as_bytes())?;
    let mut violations = Vec::new();
    let mut events: Option<&RawValue> = None;
    for (name, value) in members {
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
        None => Ok(items.unwrap_or_default().into_iter().map(RawValue::get).collect()),
    }
}

/// Checks one event and cuts its `data` out of the body. With `body`, the bytes are shared instead of copied.
fn read_event(call: &Call, text: &str, body: Option<&Bytes>) -> Result<NewEvent, Vec<Violation>> {
    let Members(members) = members(text.as_bytes()).map_err(|violation| vec![violation])?;
    let mut violations = Vec::new();
    let (mut event_type, mut data, mut external_id, mut occurred_at) = (None, None, None, None);
    for (name, value) in members {
        let slot: &mut Option<&RawValue> = match name.as_ref() {
            "type" => &mut event_type,
            "data" => &mut data,
            "external_id" => &mut external_id,
            "occurred_at" => &mut occurred_at,
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
    let external_id = external_id.and_then(|value| {
        let parsed = string(value, "/external_id").and_then(|text| {
            text.parse()
                .map_err(|_| Violation::at(Rule::InvalidFormat { expected: EXTERNAL_ID_EXPECTED }, "/external_id"))
        });
        note(parsed, &mut violations)
    });
    let occurred_at = occurred_at.and_then(|value| {
        let parsed = string(value, "/occurred_at").and_then(|text| {
            let rule = Rule::InvalidFormat { expected: "an RFC 3339 date and time" };
            text.parse().map_err(|_| Violation::at(rule, "/occurred_at"))
        });
        note(parsed, &mut violations)
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
            channels: Vec::new(),
            deliver_at: None,
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

fn find_type<'a>(call: &'a Call, value: &RawValue) -> Result<&'a EventTypeEntry, Violation> {
    let name = string(value, "/type")?;
    let is_open = |entry: &&Arc<EventTypeEntry>| {
        entry.event_type.archived_at.is_none() && entry.event_type.name.as_str() != WEBHOOK_TEST
    };
    match call.catalogue.event_type(&name).filter(is_open) {
        Some(entry) => Ok(entry),
        None => Err(Violation::at(Rule::UnknownEventType { name: name.into_owned() }, "/type")),
    }
}

fn check_data(call: &Call, entry: Option<&EventTypeEntry>, data: &str, violations: &mut Vec<Violation>) {
    let bytes_max = call.visit.app.settings.data_bytes_max;
    if data.len() > bytes_max {
        violations.push(Violation::at(Rule::PayloadTooLarge { max: bytes_max }, "/data"));
    } else if depth(data) > DATA_DEPTH_MAX {
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
        let detail: String = error.to_string().chars().take(SCHEMA_MISMATCH_LENGTH_MAX).collect();
        let pointer = format!("/data{}", error.instance_path());
        violations.push(Violation::at(Rule::PayloadSchemaMismatch { detail }, pointer));
    }
}

/// A slice of the body when the body is little more than `data`, else a copy: a small event must not keep a large body
/// in memory.
fn bytes_of(data: &str, body: Option<&Bytes>) -> Bytes {
    match body {
        Some(body) if data.len() * 2 >= body.len() => body.slice_ref(data.as_bytes()),
        _ => Bytes::copy_from_slice(data.as_bytes()),
    }
}

async fn publish_one(store: &Store, event: NewEvent, memory: Memory, request_id: String) -> Result<Reply, Refusal> {
    let render = |published: &Published| {
        let status = if published.is_duplicate { StatusCode::OK } else { StatusCode::ACCEPTED };
        Reply::json(status, &PublishedOne::of(published))
            .header("location", format!("/v1/events/{}", published.event.id))
    };
    let remember = memory.keep(move |results: &[Result<Published, StoreError>]| match &results[0] {
        Ok(published) => render(published),
        Err(error) => Refusal::from(error).render(&request_id),
    });
    let mut results = store.accept(vec![event], remember).await?;
    let published = results.pop().expect("accept answers each event")?;
    Ok(render(&published))
}

async fn publish_many(
    store: &Store,
    items: Vec<Result<NewEvent, Refusal>>,
    memory: Memory,
    request_id: String,
) -> Result<Reply, Refusal> {
    let mut events = Vec::with_capacity(items.len());
    let mut refusals: Vec<Option<Refusal>> = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Ok(event) => {
                events.push(event);
                refusals.push(None);
            }
            Err(refusal) => refusals.push(Some(refusal)),
        }
    }
    let refusals = Arc::new(refusals);
    let render = move |results: &[Result<Published, StoreError>]| render_batch(&refusals, results, &request_id);
    if events.is_empty() {
        return Ok(render(&[]));
    }
    let results = store.accept(events, memory.keep(render.clone())).await?;
    Ok(render(&results))
}

/// The store's results take the places of the events that were not refused before it was asked.
fn render_batch(refusals: &[Option<Refusal>], results: &[Result<Published, StoreError>], request_id: &str) -> Reply {
    let mut results = results.iter();
    let items: Vec<Result<PublishedOne, Refusal>> = refusals
        .iter()
        .map(|early| match early {
            Some(refusal) => Err(refusal.clone()),
            None => match results.next().expect("accept answers each event") {
                Ok(published) => Ok(PublishedOne::of(published)),
                Err(error) => Err(error.into()),
            },
        })
        .collect();
    let views = items.iter().map(|item| match item {
        Ok(PublishedOne { data, meta }) => BatchItem::Event { data, meta: meta.as_ref() },
        Err(refusal) => BatchItem::Refused { errors: refusal.views(request_id) },
    });
    Reply::json(StatusCode::OK, &BatchBodyView { data: views.collect() })
}

/// `meta` is there only when the event was published before.
#[derive(Serialize)]
struct PublishedOne {
    data: ResourceObject<EventAttributes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<DuplicateMeta>,
}

impl PublishedOne {
    fn of(Published { event, is_duplicate }: &Published) -> Self {
        // Nothing can have been delivered yet; of a first publication that is long ago, the list tells more.
        let state = if event.deliveries == 0 { "unmatched" } else { "in_progress" };
        Self {
            data: ResourceObject::new(event.id.to_string(), attributes(event, EventStateName(state))),
            meta: is_duplicate.then_some(DuplicateMeta { duplicate: true }),
        }
    }
}

/// The event was published before
#[derive(Debug, Serialize, Object)]
struct DuplicateMeta {
    duplicate: bool,
}

#[derive(Serialize)]
struct BatchBodyView<'a> {
    data: Vec<BatchItem<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum BatchItem<'a> {
    Event {
        #[serde(flatten)]
        data: &'a ResourceObject<EventAttributes>,
        #[serde(skip_serializing_if = "Option::is_none")]
        meta: Option<&'a DuplicateMeta>,
    },
    Refused {
        errors: Vec<ProblemView<'a>>,
    },
}

fn attributes(event: &Event, state: EventStateName) -> EventAttributes {
    let Event {
        id: _,
        tenant: _,
        event_type,
        external_id,
        occurred_at,
        created_at,
        deliveries,
        data_bytes,
        channels: _,
        deliver_at: _,
        replay_of: _,
    } = event;
    EventAttributes {
        r#type: event_type.to_string(),
        external_id: external_id.as_ref().map(ToString::to_string).into(),
        occurred_at: Time(*occurred_at),
        created_at: Time(*created_at),
        state,
        deliveries_count: *deliveries,
        data_bytes: *data_bytes,
    }
}

fn state(event: &Event, deliveries: &[Delivery]) -> EventStateName {
    let succeeded = deliveries.iter().filter(|delivery| delivery.state == State::Succeeded).count();
    EventStateName(if event.deliveries == 0 {
        "unmatched"
    } else if deliveries.iter().any(|delivery| !delivery.state.is_final()) {
        "in_progress"
    } else if succeeded == deliveries.len() {
        "delivered"
    } else if succeeded == 0 {
        "failed"
    } else {
        "mixed"
    })
}

/// 202 for a new event, 200 for one that was published before.
struct PublishAnswer(Reply);

impl IntoResponse for PublishAnswer {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl ApiResponse for PublishAnswer {
    fn meta() -> MetaResponses {
        let mut duplicate = meta_response::<DuplicateShape>(200);
        duplicate.description = "The same event was published before: this is the first one";
        MetaResponses { responses: vec![meta_response::<One<EventAttributes>>(202), duplicate] }
    }

    fn register(registry: &mut Registry) {
        DuplicateShape::register(registry);
    }
}

struct DuplicateShape;

impl Shape for DuplicateShape {
    const DESCRIPTION: &'static str = "The same event was published before: this is the first one";

    fn schema_ref() -> Option<MetaSchemaRef> {
        Some(object_schema(vec![
            ("data", reference(EventAttributes::NAME)),
            ("meta", <DuplicateMeta as types::Type>::schema_ref()),
        ]))
    }

    fn register(registry: &mut Registry) {
        register_object::<EventAttributes>(registry);
        <DuplicateMeta as types::Type>::register(registry);
    }
}

/// What became of each event of a batch.
struct BatchResults;

impl Shape for BatchResults {
    const DESCRIPTION: &'static str = "What became of each event, in order; what was taken is durable";

    fn schema_ref() -> Option<MetaSchemaRef> {
        let refused = reference("Errors");
        let one_of = MetaSchema { any_of: vec![reference(EventAttributes::NAME), refused], ..MetaSchema::ANY };
        Some(object_schema(vec![("data", array_schema(inline(one_of)))]))
    }

    fn register(registry: &mut Registry) {
        register_object::<EventAttributes>(registry);
    }
}
