//! `/v1/event-types` (contract 4.4). Everybody reads them, instance keys write them.

mod import;

use std::sync::Arc;

use poem::http::StatusCode;
use poem_openapi::param::Path;
use poem_openapi::types::MaybeUndefined;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::audit::Ending;
use super::auth::{Call, Caller, OfInstance, scope};
use super::body::{Body, Fields, Findings, Nothing, Wire};
use super::etag::{self, IfMatch};
use super::events::{check_schema, shortened};
use super::idempotency::{Fingerprint, once};
use super::page::{Listed, Numbered, Parameter, Parameters, Params, Query, bool_parameter};
use super::problem::{Ground, Refusal, Source};
use super::reply::{Answer, Attributes, Object as ResourceObject, One, Reply};
use super::value::{Nullable, Raw, Time};
use super::{App, Tag};
use crate::domain::event_type::{
    DESCRIPTION_LENGTH_MAX, EventType, EventTypeName, NAME_EXPECTED, SCHEMA_BYTES_MAX, WEBHOOK_TEST,
};
use crate::domain::time::Timestamp;
use crate::domain::violation::Rule;
use crate::store::Catalogue;
use crate::store::catalogue::{EventTypeEntry, UnusableSchema};
use crate::store::{Edit, Imported, StoreError};

use import::webhooks_of;

const THING: &str = "Event type";

/// An event type, as it stands
#[derive(Debug, Serialize, Object)]
struct EventTypeAttributes {
    name: String,
    /// What it means, for people
    description: Nullable<String>,
    /// JSON Schema that `data` must fit
    schema: Nullable<Raw>,
    /// An example of `data`; a test delivery sends it
    example: Nullable<Raw>,
    /// Since when it takes no new events and subscriptions
    archived_at: Nullable<Time>,
    /// Subscriptions that ask for it: of all tenants for an instance key, else of those that the key sees
    subscription_count: usize,
    created_at: Time,
    updated_at: Time,
}

/// What an import made and changed, by name
#[derive(Debug, Serialize, Object)]
struct EventTypeImportAttributes {
    /// Nothing was written
    dry_run: bool,
    made: Vec<String>,
    changed: Vec<String>,
    /// There already, just so
    unchanged: Vec<String>,
}

impl Attributes for EventTypeImportAttributes {
    const TYPE: &'static str = "event_type_import";
    const NAME: &'static str = "EventTypeImport";
    const ONE: &'static str = "What was made and changed";
    const PAGE: &'static str = "";
}

/// Where event types come from
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct ImportEventTypes {
    /// An OpenAPI 3.1 document, at most 1 MiB with all that is around it. Each of its `webhooks` (at most 1,000) is an event
    /// type of that name; the schema of its body is the one of `data`
    document: Raw,
    /// Tell what would be made and changed, and write nothing (default false)
    dry_run: Option<bool>,
}

impl Wire for ImportEventTypes {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { document: fields.take("document"), dry_run: fields.take("dry_run") }
    }
}

impl Attributes for EventTypeAttributes {
    const TYPE: &'static str = "event_type";
    const NAME: &'static str = "EventType";
    const ONE: &'static str = "The event type";
    const PAGE: &'static str = "A page of event types";
}

/// What an event type is made from
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct CreateEventType {
    /// Parts of A-Z a-z 0-9 _ - joined by single dots
    #[oai(validator(max_length = 128, pattern = "^[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*$"))]
    name: String,
    /// What it means, for people
    #[oai(nullable, validator(max_length = 1024))]
    description: MaybeUndefined<String>,
    /// JSON Schema that `data` must fit: an object, at most 64 KiB
    #[oai(nullable)]
    schema: MaybeUndefined<Raw>,
    /// An example of `data`, at most 64 KiB
    #[oai(nullable)]
    example: MaybeUndefined<Raw>,
}

impl Wire for CreateEventType {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            name: fields.take("name"),
            description: fields.take("description"),
            schema: fields.take("schema"),
            example: fields.take("example"),
        }
    }
}

/// What changes: an absent field stays, null clears
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct UpdateEventType {
    /// What it means, for people
    #[oai(nullable, validator(max_length = 1024))]
    description: MaybeUndefined<String>,
    /// JSON Schema that `data` must fit: an object, at most 64 KiB
    #[oai(nullable)]
    schema: MaybeUndefined<Raw>,
    /// An example of `data`, at most 64 KiB
    #[oai(nullable)]
    example: MaybeUndefined<Raw>,
}

impl Wire for UpdateEventType {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { description: fields.take("description"), schema: fields.take("schema"), example: fields.take("example") }
    }
}

struct EventTypeList {
    page: Numbered,
    archived: Option<bool>,
}

impl Parameters for EventTypeList {
    fn documented() -> Vec<Parameter> {
        let mut parameters = Numbered::documented();
        parameters.push(bool_parameter("filter[archived]", "Only those that are, or are not, archived"));
        parameters
    }

    fn read(query: &mut Params) -> Self {
        Self { page: Numbered::read(query), archived: query.take_bool("filter[archived]") }
    }
}

pub struct EventTypesApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1/event-types", tag = "Tag::EventTypes")]
impl EventTypesApi {
    /// Create an event type
    #[oai(path = "/", method = "post", operation_id = "event_types.create")]
    async fn create(
        &self,
        caller: Caller<OfInstance<scope::EventTypesWrite>>,
        body: Body<CreateEventType>,
    ) -> Result<Answer<One<EventTypeAttributes>, 201>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |memory| {
            let (wire, findings) = body.read()?;
            let event_type = new_event_type(wire, findings, self.app.clock.now())?;
            let count = subscription_count(&caller, &event_type.name);
            let render = move |made: &EventType| {
                answer(StatusCode::CREATED, made, count).header("location", format!("/v1/event-types/{}", made.name))
            };
            let made = self.app.store.create_event_type(event_type, memory.keep(render)).await.map_err(refused)?;
            Ok(render(&made))
        })
        .await
        .map(Into::into)
    }

    /// Import event types
    ///
    /// From the webhooks of an OpenAPI document: all of them, or none when something is wrong. What the document does not say
    /// of an event type stays as it is, and so do event types that it does not have. The first example is taken over.
    #[oai(path = "/import", method = "post", operation_id = "event_types.import")]
    async fn import(
        &self,
        caller: Caller<OfInstance<scope::EventTypesWrite>>,
        body: Body<ImportEventTypes>,
    ) -> Result<Answer<One<EventTypeImportAttributes>, 200>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |memory| {
            let (ImportEventTypes { document: Raw(document), dry_run }, mut findings) = body.read()?;
            let document: Value = serde_json::from_str(document.get()).unwrap_or_default();
            let imported = if findings.is_sound("document") {
                webhooks_of(&document, self.app.clock.now(), &mut findings)
            } else {
                Vec::new()
            };
            findings.finish()?;
            let dry_run = dry_run.unwrap_or_default();
            if dry_run {
                let _ = caller.visit.ending.set(Ending::DryRun);
            }
            let render = move |imported: &Imported| {
                let names = |all: &[EventTypeName]| all.iter().map(ToString::to_string).collect();
                let Imported { made, changed, unchanged } = imported;
                let (made, changed, unchanged) = (names(made), names(changed), names(unchanged));
                let attributes = EventTypeImportAttributes { dry_run, made, changed, unchanged };
                Reply::json(StatusCode::OK, &One::new("import", attributes))
            };
            let imported = self.app.store.import_event_types(imported, dry_run, memory.keep(render)).await?;
            Ok(render(&imported))
        })
        .await
        .map(Into::into)
    }

    /// List event types
    #[oai(path = "/", method = "get", operation_id = "event_types.list")]
    async fn list(
        &self,
        caller: Caller<scope::EventTypesRead>,
        query: Query<EventTypeList>,
    ) -> Result<Answer<Listed<EventTypeAttributes>, 200>, Refusal> {
        let Query(EventTypeList { page, archived }) = query;
        let is_wanted = |entry: &&Arc<EventTypeEntry>| {
            archived.is_none_or(|archived| entry.event_type.archived_at.is_some() == archived)
        };
        let mut rows: Vec<_> = caller.catalogue.event_types().filter(is_wanted).collect();
        // The catalogue has them by name; those of one moment stay in that order.
        rows.sort_by_key(|entry| entry.event_type.created_at);
        let page = page.cut(&caller, rows, |entry| {
            let count = subscription_count(&caller, &entry.event_type.name);
            ResourceObject::new(entry.event_type.name.as_str(), attributes(&entry.event_type, count))
        });
        Ok(Reply::json(StatusCode::OK, &page).into())
    }

    /// Get an event type
    #[oai(path = "/:name", method = "get", operation_id = "event_types.get")]
    async fn get(
        &self,
        caller: Caller<scope::EventTypesRead>,
        name: Path<String>,
    ) -> Result<Answer<One<EventTypeAttributes>, 200>, Refusal> {
        let event_type = find(&caller, &name)?;
        Ok(answer(StatusCode::OK, event_type, subscription_count(&caller, &event_type.name)).into())
    }

    /// Change an event type
    ///
    /// Only what is sent changes. The same as PATCH.
    #[oai(path = "/:name", method = "put", operation_id = "event_types.put")]
    async fn put(
        &self,
        caller: Caller<OfInstance<scope::EventTypesWrite>>,
        name: Path<String>,
        body: Body<UpdateEventType>,
    ) -> Result<Answer<One<EventTypeAttributes>, 200>, Refusal> {
        self.change(&caller, &name, &body).await
    }

    /// Change an event type
    ///
    /// Only what is sent changes.
    #[oai(path = "/:name", method = "patch", operation_id = "event_types.update")]
    async fn update(
        &self,
        caller: Caller<OfInstance<scope::EventTypesWrite>>,
        name: Path<String>,
        body: Body<UpdateEventType>,
    ) -> Result<Answer<One<EventTypeAttributes>, 200>, Refusal> {
        self.change(&caller, &name, &body).await
    }

    /// Delete an event type
    ///
    /// Subscriptions keep the name, and get nothing for it.
    #[oai(path = "/:name", method = "delete", operation_id = "event_types.delete")]
    async fn delete(
        &self,
        caller: Caller<OfInstance<scope::EventTypesWrite>>,
        name: Path<String>,
    ) -> Result<Answer<(), 204>, Refusal> {
        let event_type = find(&caller, &name)?;
        let expected = IfMatch::of(&caller).expect(event_type.revision)?;
        self.app.store.delete_event_type(event_type.name.clone(), expected).await?;
        Ok(Reply::empty(StatusCode::NO_CONTENT).into())
    }

    /// Archive an event type
    ///
    /// It takes no new events and no new subscriptions. Archiving it again changes nothing.
    #[oai(path = "/:name/archive", method = "post", operation_id = "event_types.archive")]
    async fn archive(
        &self,
        caller: Caller<OfInstance<scope::EventTypesWrite>>,
        name: Path<String>,
        body: Body<Nothing>,
    ) -> Result<Answer<One<EventTypeAttributes>, 200>, Refusal> {
        let now = self.app.clock.now();
        let edit = move |event_type: &mut EventType| {
            event_type.archived_at = event_type.archived_at.or(Some(now));
            Ok(())
        };
        self.set_archived(&caller, &name, &body, edit).await
    }

    /// Take an event type out of the archive
    #[oai(path = "/:name/unarchive", method = "post", operation_id = "event_types.unarchive")]
    async fn unarchive(
        &self,
        caller: Caller<OfInstance<scope::EventTypesWrite>>,
        name: Path<String>,
        body: Body<Nothing>,
    ) -> Result<Answer<One<EventTypeAttributes>, 200>, Refusal> {
        let edit = |event_type: &mut EventType| {
            event_type.archived_at = None;
            Ok(())
        };
        self.set_archived(&caller, &name, &body, edit).await
    }
}

impl EventTypesApi {
    async fn change(
        &self,
        call: &Call,
        name: &str,
        body: &Body<UpdateEventType>,
    ) -> Result<Answer<One<EventTypeAttributes>, 200>, Refusal> {
        let current = find(call, name)?;
        let (wire, mut findings) = body.read()?;
        let UpdateEventType { description, schema, example } = wire;
        check_description(description.value(), &mut findings);
        let mut changed = current.clone();
        match description {
            MaybeUndefined::Undefined => {}
            MaybeUndefined::Null => changed.description = None,
            MaybeUndefined::Value(text) => changed.description = Some(text),
        }
        replace(&mut changed.schema, schema);
        replace(&mut changed.example, example);
        check_schema_and_example(&changed, &mut findings);
        findings.finish()?;
        let if_match = IfMatch::of(call);
        let EventType { description, schema, example, .. } = changed;
        let read = current.revision;
        let change: Edit<EventType> = Box::new(move |event_type| {
            if_match.check(event_type.revision)?;
            // Schema and example were checked together with what was there when they were read.
            if event_type.revision != read {
                return Err(StoreError::PreconditionFailed);
            }
            event_type.description = description;
            event_type.schema = schema;
            event_type.example = example;
            Ok(())
        });
        let changed = self.app.store.update_event_type(current.name.clone(), change, None).await?;
        Ok(answer(StatusCode::OK, &changed, subscription_count(call, &changed.name)).into())
    }

    async fn set_archived(
        &self,
        call: &Call,
        name: &str,
        body: &Body<Nothing>,
        edit: impl FnOnce(&mut EventType) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<Answer<One<EventTypeAttributes>, 200>, Refusal> {
        once(call, Fingerprint::Json(body.bytes()), async |memory| {
            body.read()?.1.finish()?;
            let name = find(call, name)?.name.clone();
            let count = subscription_count(call, &name);
            let render = move |made: &EventType| answer(StatusCode::OK, made, count);
            let made = self.app.store.update_event_type(name, Box::new(edit), memory.keep(render)).await?;
            Ok(render(&made))
        })
        .await
        .map(Into::into)
    }
}

fn find<'a>(call: &'a Call, name: &str) -> Result<&'a EventType, Refusal> {
    let entry = call.catalogue.event_type(name).ok_or_else(|| Refusal::not_found(THING, name))?;
    Ok(&entry.event_type)
}

/// Of the subscriptions that the caller could see.
fn subscription_count(call: &Call, name: &EventTypeName) -> usize {
    if call.is_of_the_instance() {
        return call.catalogue.tenants().map(|entry| entry.subscribers_count(name)).sum();
    }
    if call.reach().key.is_none() {
        return call.tenant_entry().subscribers_count(name);
    }
    let own = call.tenant_entry().subscriptions().filter(|subscription| call.sees(subscription));
    own.filter(|subscription| subscription.wants(name)).count()
}

fn replace(field: &mut Option<Box<RawValue>>, value: MaybeUndefined<Raw>) {
    match value {
        MaybeUndefined::Undefined => {}
        MaybeUndefined::Null => *field = None,
        MaybeUndefined::Value(Raw(value)) => *field = Some(value),
    }
}

fn new_event_type(wire: CreateEventType, mut findings: Findings, now: Timestamp) -> Result<EventType, Refusal> {
    let CreateEventType { name, description, schema, example } = wire;
    let parsed: Option<EventTypeName> = name.parse().ok();
    if findings.is_sound("name") {
        if parsed.is_none() {
            findings.add(Rule::InvalidFormat { expected: NAME_EXPECTED }, "/name");
        } else if name == WEBHOOK_TEST {
            findings.add(Rule::InvalidFormat { expected: "another name: test deliveries have this one" }, "/name");
        }
    }
    check_description(description.value(), &mut findings);
    let mut event_type = EventType {
        // A stand-in when the name is wrong: then nothing comes of it.
        name: parsed.unwrap_or_else(|| WEBHOOK_TEST.parse().expect("it is a name")),
        description: description.take(),
        schema: None,
        example: None,
        archived_at: None,
        revision: 1,
        created_at: now,
        updated_at: now,
    };
    replace(&mut event_type.schema, schema);
    replace(&mut event_type.example, example);
    check_schema_and_example(&event_type, &mut findings);
    findings.finish()?;
    Ok(event_type)
}

fn check_description(description: Option<&String>, findings: &mut Findings) {
    if description.is_some_and(|text| text.chars().count() > DESCRIPTION_LENGTH_MAX) {
        findings.add(Rule::DescriptionTooLong { max: DESCRIPTION_LENGTH_MAX }, "/description");
    }
}

/// One that is published and subscribed to.
pub fn open_type<'a>(catalogue: &'a Catalogue, name: &str) -> Result<&'a EventTypeEntry, Rule> {
    match catalogue.event_type(name) {
        None => Err(Rule::UnknownEventType { name: name.to_owned() }),
        Some(entry) if entry.event_type.archived_at.is_some() => Err(Rule::ArchivedEventType { name: name.to_owned() }),
        Some(entry) => Ok(entry),
    }
}

fn refused(error: StoreError) -> Refusal {
    match error {
        StoreError::AlreadyExists => Refusal::at(Ground::AlreadyExists, Source::Pointer("/name".to_owned())),
        error => error.into(),
    }
}

fn check_schema_and_example(event_type: &EventType, findings: &mut Findings) {
    for (raw, pointer) in [(&event_type.schema, "/schema"), (&event_type.example, "/example")] {
        if raw.as_ref().is_some_and(|raw| raw.get().len() > SCHEMA_BYTES_MAX) {
            findings.add(Rule::PayloadTooLarge { max: SCHEMA_BYTES_MAX }, pointer);
        }
    }
    if !findings.is_sound("schema") || !findings.is_sound("example") {
        return;
    }
    if event_type.schema.as_ref().is_some_and(|schema| !schema.get().starts_with('{')) {
        findings.add(Rule::InvalidType { expected: "a JSON Schema object" }, "/schema");
        return;
    }
    let entry = match EventTypeEntry::new(event_type.clone()) {
        Ok(entry) => entry,
        Err(UnusableSchema { at, why }) => {
            return findings.add(Rule::InvalidSchema { why: shortened(&why) }, format!("/schema{at}"));
        }
    };
    if let (Some(validator), Some(example)) = (&entry.validator, &event_type.example) {
        let mut violations = Vec::new();
        check_schema(validator, example.get(), &mut violations);
        for violation in violations {
            findings.add(violation.rule, violation.pointer.replacen("/data", "/example", 1));
        }
    }
}

fn attributes(event_type: &EventType, subscription_count: usize) -> EventTypeAttributes {
    let EventType { name, description, schema, example, archived_at, revision: _, created_at, updated_at } = event_type;
    EventTypeAttributes {
        name: name.to_string(),
        description: description.clone().into(),
        schema: schema.clone().map(Raw).into(),
        example: example.clone().map(Raw).into(),
        archived_at: archived_at.map(Time).into(),
        subscription_count,
        created_at: Time(*created_at),
        updated_at: Time(*updated_at),
    }
}

fn answer(status: StatusCode, event_type: &EventType, subscription_count: usize) -> Reply {
    Reply::json(status, &One::new(event_type.name.as_str(), attributes(event_type, subscription_count)))
        .header("etag", etag::of(event_type.revision))
}
