//! `POST /v1/events/{id}/redeliver` (contract 4.2).

use std::collections::HashSet;
use std::sync::Arc;

use poem::http::StatusCode;
use poem_openapi::param::Path;
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::{Object, OpenApi, types};
use serde::Serialize;

use super::operations::{THING, refuse_system_tenant};
use super::wire::{EventAttributes, attributes, state};
use crate::domain::id::{EventId, SubscriptionId};
use crate::domain::time::Timestamp;
use crate::domain::violation::Rule;
use crate::http::auth::{Call, Caller, scope};
use crate::http::body::{Body, Fields, Findings, Wire, pointer_of};
use crate::http::idempotency::{Fingerprint, once};
use crate::http::problem::Refusal;
use crate::http::reply::{
    Answer, Attributes, Object as ResourceObject, Reply, Shape, object_schema, reference, register_object,
};
use crate::http::{App, Tag};
use crate::store::{Redelivered, Redelivery, StoreError};

/// Subscriptions that one request names.
const NAMED_MAX: usize = 100;

/// To whom an event goes again
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct RedeliverEvent {
    /// To these subscriptions of the tenant (default: all that ask for its type today)
    #[oai(validator(min_items = 1, max_items = 100))]
    subscription_ids: Option<Vec<String>>,
    /// As an event of its own, with the same data. Needs `subscription_ids` (default false)
    as_new_event: Option<bool>,
}

impl Wire for RedeliverEvent {
    const IS_BODY_REQUIRED: bool = false;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { subscription_ids: fields.take("subscription_ids"), as_new_event: fields.take("as_new_event") }
    }
}

/// What a redelivery made
#[derive(Debug, Serialize, Object)]
struct RedeliveryMeta {
    deliveries_made: u32,
}

pub struct RedeliveryApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1/events", tag = "Tag::Events")]
impl RedeliveryApi {
    /// Deliver an event again
    ///
    /// Makes new deliveries of the same event, also where it was delivered before: receivers see the same event id. With
    /// `as_new_event` they see a new one.
    #[oai(path = "/:id/redeliver", method = "post", operation_id = "events.redeliver")]
    async fn redeliver(
        &self,
        caller: Caller<scope::DeliveriesWrite>,
        id: Path<String>,
        body: Body<RedeliverEvent>,
    ) -> Result<Answer<RedeliveredShape, 202>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |memory| {
            let (wire, findings) = body.read()?;
            let not_found = || Refusal::not_found(THING, id.as_str());
            let event: EventId = id.parse().map_err(|_| not_found())?;
            let how = read(&caller, wire, findings)?;
            if matches!(how, Redelivery::AsNewEvent(_)) {
                refuse_system_tenant(&caller)?;
            }
            let now = self.app.clock.now();
            let render = move |made: &Redelivered| render(made, now);
            let made = self.app.store.redeliver(caller.reach(), event, how, memory.keep(render)).await;
            match made {
                Ok(made) => Ok(render(&made)),
                Err(StoreError::NotFound) => Err(not_found()),
                Err(error) => Err(error.into()),
            }
        })
        .await
        .map(Into::into)
    }
}

fn read(call: &Call, wire: RedeliverEvent, mut findings: Findings) -> Result<Redelivery, Refusal> {
    let RedeliverEvent { subscription_ids, as_new_event } = wire;
    let is_new = as_new_event == Some(true);
    let named = subscription_ids.map(|ids| read_ids(call, &ids, &mut findings));
    if is_new && named.is_none() && !findings.has_at("/subscription_ids") {
        findings.add(Rule::MissingField { name: "subscription_ids".into() }, "/subscription_ids");
    }
    findings.finish()?;
    Ok(match (named, is_new) {
        (Some(named), true) => Redelivery::AsNewEvent(named),
        (Some(named), false) => Redelivery::To(named),
        (None, _) => Redelivery::ToMatching,
    })
}

fn read_ids(call: &Call, ids: &[String], findings: &mut Findings) -> Vec<SubscriptionId> {
    if ids.is_empty() {
        findings.add(Rule::TooShort { min: 1 }, "/subscription_ids");
    }
    if ids.len() > NAMED_MAX {
        findings.add(Rule::TooManyItems { max: NAMED_MAX }, "/subscription_ids");
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut named = Vec::with_capacity(ids.len());
    for (index, text) in ids.iter().enumerate() {
        let pointer = format!("{}/{index}", pointer_of("subscription_ids"));
        if findings.has_at(&pointer) {
            continue;
        }
        let known = text
            .parse()
            .ok()
            .filter(|id| call.tenant_entry().subscription(*id).is_some_and(|subscription| call.sees(subscription)));
        match known {
            None => findings.add(Rule::InvalidFormat { expected: "the id of a subscription that exists" }, pointer),
            Some(id) if !seen.insert(id) => findings.add(Rule::DuplicateItem, pointer),
            Some(id) => named.push(id),
        }
    }
    named
}

fn render(Redelivered { event, deliveries, made }: &Redelivered, now: Timestamp) -> Reply {
    let attributes = attributes(event, state(event, deliveries, now));
    let data = ResourceObject::new(event.id.to_string(), attributes);
    let meta = RedeliveryMeta { deliveries_made: *made };
    Reply::json(StatusCode::ACCEPTED, &RedeliveredBody { data, meta })
        .header("location", format!("/v1/events/{}", event.id))
}

#[derive(Serialize)]
struct RedeliveredBody {
    data: ResourceObject<EventAttributes>,
    meta: RedeliveryMeta,
}

struct RedeliveredShape;

impl Shape for RedeliveredShape {
    const DESCRIPTION: &'static str = "The event, the same or the new one, and its new deliveries are durable";

    fn schema_ref() -> Option<MetaSchemaRef> {
        Some(object_schema(vec![
            ("data", reference(EventAttributes::NAME)),
            ("meta", <RedeliveryMeta as types::Type>::schema_ref()),
        ]))
    }

    fn register(registry: &mut Registry) {
        register_object::<EventAttributes>(registry);
        <RedeliveryMeta as types::Type>::register(registry);
    }
}
