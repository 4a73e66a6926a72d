//! Publishes, lists and shows events.

use std::sync::Arc;

use poem::http::StatusCode;
use poem::{IntoResponse, Request, Response};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use serde_json::value::RawValue;

use super::answer;
use super::publication::{BatchBody, Publication, PublishBody, read_batch, read_event};
use super::wire::{
    BatchResults, EventAttributes, EventDetailAttributes, EventList, PublishAnswer, SEARCHED_TIME, attributes, state,
};
use crate::domain::event::NewEvent;
use crate::domain::id::{EventId, TenantId};
use crate::domain::violation::Violation;
use crate::http::auth::{Call, Caller, scope};
use crate::http::deliveries::summary;
use crate::http::idempotency::{Fingerprint, Memory, once};
use crate::http::json::{members, text_of};
use crate::http::page::{Query, Walked};
use crate::http::problem::{Ground, Refusal};
use crate::http::reply::{Answer, Object as ResourceObject, One, Reply};
use crate::http::value::Raw;
use crate::http::{App, Tag, read_disk};
use crate::store::{Published, Store, StoreError};

pub(super) const THING: &str = "Event";

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
            let event = read_event(&caller, members(text), Some(&bytes)).map_err(refuse)?;
            publish_one(&self.app.store, event, memory, &caller).await
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
        let items = match read_batch(&publication) {
            Ok(items) => items,
            // Nothing to count, and still a call.
            Err(refusal) => {
                caller.charge_events(1)?;
                return Err(refusal);
            }
        };
        caller.charge_events(items.len())?;
        once(&caller, Fingerprint::Bytes(&publication.bytes), async |memory| {
            refuse_system_tenant(&caller)?;
            let events = items.into_iter().enumerate().map(|(index, item)| {
                let read = read_event(&caller, item, None);
                // A line is a document of its own; an item of the array is a part of one.
                let place = if publication.is_ndjson { String::new() } else { format!("/events/{index}") };
                read.map_err(|all| refuse(all.into_iter().map(|violation| violation.below(&place)).collect()))
            });
            let events: Vec<_> = events.collect();
            publish_many(&self.app.store, events, memory, &caller).await
        })
        .await
        .map(Into::into)
    }

    /// List events
    ///
    /// Newest first. A restricted key sees those that its own subscriptions got. With a filter a page can come out short and still have a next one: at most 10,000 rows are looked
    /// at for each. What was just accepted is
    /// listed within about a second; at once with `filter[external_id]`, and there by its id.
    #[oai(path = "/", method = "get", operation_id = "events.list")]
    async fn list(
        &self,
        caller: Caller<scope::EventsRead>,
        query: Query<EventList>,
    ) -> Result<Answer<Walked<EventAttributes>, 200>, Refusal> {
        let Query(EventList { is_of_the_instance, cursor, mut filter }) = query;
        let (whose, now) = (caller.whose(is_of_the_instance)?, self.app.clock.now());
        if filter.text.is_some() && filter.since.is_none() {
            filter.since = Some(filter.until.unwrap_or(now).minus(SEARCHED_TIME));
        }
        let read = move |store: &Store| {
            let page = store.events(whose, &filter, cursor.walk)?;
            let mut rows = Vec::with_capacity(page.rows.len());
            for event in page.rows {
                // Retention may have taken it since.
                let Some((event, deliveries)) = store.event_as_seen(whose, event.id)? else { continue };
                let state = state(&event, &deliveries, now);
                rows.push(ResourceObject::new(event.id.to_string(), attributes(&event, state)));
            }
            Ok((rows, page.next, page.previous))
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
        let (reach, now) = (caller.reach(), self.app.clock.now());
        let read = move |store: &Store| {
            let Some((event, deliveries)) = store.event_within(reach, event_id)? else { return Ok(None) };
            let data = store.event_data(event_id)?;
            Ok(Some((event, deliveries, data)))
        };
        let (event, deliveries, data) = read_disk(&self.app.store, read).await?.ok_or_else(not_found)?;
        let EventAttributes {
            tenant_id,
            r#type,
            external_id,
            occurred_at,
            created_at,
            state,
            deliveries_count,
            data_bytes,
            channels,
            deliver_at,
            replay_of,
        } = attributes(&event, state(&event, &deliveries, now));
        let detail = EventDetailAttributes {
            tenant_id,
            r#type,
            external_id,
            occurred_at,
            created_at,
            state,
            deliveries_count,
            data_bytes,
            channels,
            deliver_at,
            replay_of,
            deliveries: deliveries.iter().map(|delivery| summary(delivery, &self.app.store, now)).collect(),
            data: data.and_then(|data| raw(&data)).into(),
        };
        Ok(Reply::json(StatusCode::OK, &One::new(event.id.to_string(), detail)).into())
    }
}

/// For `http::shortcut`: what poem-openapi does around an operation, in the same order.
impl EventsApi {
    pub async fn answer_publish(&self, request: Request) -> poem::Result<Response> {
        let (request, mut body) = request.split();
        let caller = Caller::admit(&request)?;
        let body = PublishBody::take(&request, &mut body).await?;
        Ok(self.publish(caller, body).await?.into_response())
    }

    pub async fn answer_publish_batch(&self, request: Request) -> poem::Result<Response> {
        let (request, mut body) = request.split();
        let caller = Caller::admit(&request)?;
        let body = BatchBody::take(&request, &mut body).await?;
        Ok(self.publish_batch(caller, body).await?.into_response())
    }
}

fn raw(data: &[u8]) -> Option<Raw> {
    RawValue::from_string(String::from_utf8(data.to_vec()).ok()?).ok().map(Raw)
}

fn refuse(violations: Vec<Violation>) -> Refusal {
    Refusal::from_violations(violations).expect("read_event fails with at least one violation")
}

pub fn refuse_system_tenant(call: &Call) -> Result<(), Refusal> {
    if call.tenant().id == TenantId::SYSTEM { Err(Ground::SystemTenant.into()) } else { Ok(()) }
}

async fn publish_one(store: &Store, event: NewEvent, memory: Memory, call: &Call) -> Result<Reply, Refusal> {
    let (request_id, language, now) = (call.visit.id.clone(), call.visit.language(), call.visit.app.clock.now());
    let render = move |published: &Published| answer::one(published, now);
    let remember = memory.keep(move |results: &[Result<Published, StoreError>]| match &results[0] {
        Ok(published) => render(published),
        Err(error) => Refusal::from(error).render(&request_id, language),
    });
    let mut results = store.accept(vec![event], remember).await?;
    let published = results.pop().expect("accept answers each event")?;
    Ok(render(&published))
}

async fn publish_many(
    store: &Store,
    items: Vec<Result<NewEvent, Refusal>>,
    memory: Memory,
    call: &Call,
) -> Result<Reply, Refusal> {
    let (request_id, language, now) = (call.visit.id.clone(), call.visit.language(), call.visit.app.clock.now());
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
    let render =
        move |results: &[Result<Published, StoreError>]| answer::batch(&refusals, results, &request_id, language, now);
    if events.is_empty() {
        return Ok(render(&[]));
    }
    let results = store.accept(events, memory.keep(render.clone())).await?;
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        Refusal::from(error).log(&call.visit.id, &call.method, call.path_and_query.path());
    }
    Ok(render(&results))
}
