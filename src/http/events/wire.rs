//! How events look in answers and requests.

use std::ops::RangeInclusive;
use std::time::Duration;

use poem::{IntoResponse, Response};
use poem_openapi::registry::{MetaResponses, MetaSchema, MetaSchemaRef, Registry};
// Not the trait itself: its `is_empty`, which is always false, would be taken for the one of `str`.
use poem_openapi::types;
use poem_openapi::{ApiResponse, Object};
use serde::Serialize;
use serde_json::Value;

use crate::domain::delivery::{Delivery, State};
use crate::domain::event::Event;
use crate::domain::id::EventId;
use crate::domain::time::Timestamp;
use crate::http::deliveries::DeliverySummary;
use crate::http::page::{Cursor, Parameter, Parameters, Params, bool_parameter, moment_parameter, text_parameter};
use crate::http::reply::{
    Attributes, One, Reply, Shape, array_schema, inline, meta_response, object_schema, reference, register_object,
};
use crate::http::stats::{scope_parameter, take_scope};
use crate::http::value::{MomentText, Nullable, Raw, Time, choice};
use crate::store::EventFilter;

const STATES: [&str; 6] = ["scheduled", "unmatched", "in_progress", "delivered", "failed", "mixed"];
choice!(EventStateName, "event_state", STATES);

/// An event, as it stands
#[derive(Debug, Serialize, Object)]
pub struct EventAttributes {
    pub(super) tenant_id: String,
    /// The event type
    #[oai(rename = "type")]
    pub(super) r#type: String,
    /// Your own name for it
    pub(super) external_id: Nullable<String>,
    /// When the fact happened
    pub(super) occurred_at: Time,
    pub(super) created_at: Time,
    /// `scheduled`: its `deliver_at` lies ahead. `unmatched`: nobody asked for it. The others follow from its deliveries: `in_progress` while one is open, then
    /// `delivered`, `failed`, or `mixed`. The answer to a publication does not look at them: there it is `in_progress` whenever it has some
    pub(super) state: EventStateName,
    /// How many deliveries it made, redeliveries among them
    pub(super) deliveries_count: u32,
    pub(super) data_bytes: u32,
    /// Subscriptions with channels got it only when they share one
    pub(super) channels: Vec<String>,
    /// When its deliveries begin; null: at once
    pub(super) deliver_at: Nullable<Time>,
    /// The event that was sent again as this one
    pub(super) replay_of: Nullable<String>,
}

impl Attributes for EventAttributes {
    const TYPE: &'static str = "event";
    const NAME: &'static str = "Event";
    const ONE: &'static str = "The event and its deliveries are durable";
    const PAGE: &'static str = "A page of events, newest first";
}

/// An event with its deliveries and what it says
#[derive(Debug, Serialize, Object)]
pub(super) struct EventDetailAttributes {
    pub(super) tenant_id: String,
    /// The event type
    #[oai(rename = "type")]
    pub(super) r#type: String,
    /// Your own name for it
    pub(super) external_id: Nullable<String>,
    /// When the fact happened
    pub(super) occurred_at: Time,
    pub(super) created_at: Time,
    /// As in the list
    pub(super) state: EventStateName,
    /// How many deliveries it made, redeliveries among them
    pub(super) deliveries_count: u32,
    pub(super) data_bytes: u32,
    /// Subscriptions with channels got it only when they share one
    pub(super) channels: Vec<String>,
    /// When its deliveries begin; null: at once
    pub(super) deliver_at: Nullable<Time>,
    /// The event that was sent again as this one
    pub(super) replay_of: Nullable<String>,
    /// In the order in which they were made
    pub(super) deliveries: Vec<DeliverySummary>,
    /// Byte for byte as it was published; null when retention removed it
    pub(super) data: Nullable<Raw>,
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
pub(super) struct PublishEvent {
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
    /// At most 5: subscriptions that have channels get it only when they share one. None with a restricted key: all of the
    /// key's
    #[oai(validator(max_items = 5, unique_items))]
    channels: Option<Vec<String>>,
    /// When its deliveries begin: at most 30 days ahead. What has passed means now. Who gets it is decided when it is
    /// published
    deliver_at: Option<MomentText>,
}

/// Events to publish together
#[derive(Object)]
#[oai(deny_unknown_fields)]
pub(super) struct PublishBatch {
    #[oai(validator(min_items = 1, max_items = 1000))]
    events: Vec<PublishEvent>,
}

pub(super) struct EventList {
    pub(super) is_of_the_instance: bool,
    pub(super) cursor: Cursor<EventId>,
    pub(super) filter: EventFilter,
}

/// Characters that can be searched for.
const TEXT_LENGTHS: RangeInclusive<usize> = 1..=200;
/// How far back a search without a `filter[since]` goes.
pub(super) const SEARCHED_TIME: Duration = Duration::from_secs(24 * 60 * 60);

impl Parameters for EventList {
    fn documented() -> Vec<Parameter> {
        let text = MetaSchema {
            min_length: Some(*TEXT_LENGTHS.start()),
            max_length: Some(*TEXT_LENGTHS.end()),
            ..MetaSchema::new("string")
        };
        let mut parameters = vec![scope_parameter()];
        parameters.extend(Cursor::<EventId>::documented());
        parameters.extend([
            text_parameter("filter[type]", "Only those of this event type"),
            moment_parameter("filter[since]", "Only those created then or later"),
            moment_parameter("filter[until]", "Only those created before"),
            text_parameter("filter[channel]", "Only those with this channel"),
            bool_parameter("filter[unmatched]", "Only those that nobody (true), or somebody (false), asked for"),
            text_parameter("filter[external_id]", "Only the one with this name of yours"),
            Parameter {
                name: "filter[text]",
                description: "Only those whose `data` has this in it, letter for letter as it was published. Of the 24 hours before \
                              `filter[until]`, unless `filter[since]` says otherwise; 8 KiB of data count as a row that is looked at",
                schema: text,
            },
        ]);
        parameters
    }

    fn read(query: &mut Params) -> Self {
        let text = |text: &str| TEXT_LENGTHS.contains(&text.chars().count()).then(|| text.to_owned());
        Self {
            is_of_the_instance: take_scope(query),
            cursor: Cursor::read(query),
            filter: EventFilter {
                event_type: query.take("filter[type]", "an event type"),
                since: query.take_moment("filter[since]"),
                until: query.take_moment("filter[until]"),
                unmatched: query.take_bool("filter[unmatched]"),
                channel: query.take("filter[channel]", "a channel"),
                external_id: query.take("filter[external_id]", "an external id"),
                text: query.take_with("filter[text]", "1 to 200 characters", text),
            },
        }
    }
}

pub(super) fn attributes(event: &Event, state: EventStateName) -> EventAttributes {
    let Event {
        id: _,
        tenant,
        event_type,
        external_id,
        occurred_at,
        created_at,
        deliveries,
        data_bytes,
        channels,
        deliver_at,
        replay_of,
    } = event;
    EventAttributes {
        tenant_id: tenant.to_string(),
        r#type: event_type.to_string(),
        external_id: external_id.as_ref().map(ToString::to_string).into(),
        occurred_at: Time(*occurred_at),
        created_at: Time(*created_at),
        state,
        deliveries_count: *deliveries,
        data_bytes: *data_bytes,
        channels: channels.iter().map(ToString::to_string).collect(),
        deliver_at: deliver_at.map(Time).into(),
        replay_of: replay_of.map(|id| id.to_string()).into(),
    }
}

pub(super) fn state(event: &Event, deliveries: &[Delivery], now: Timestamp) -> EventStateName {
    let succeeded = deliveries.iter().filter(|delivery| delivery.state == State::Succeeded).count();
    EventStateName(if event.deliveries == 0 {
        "unmatched"
    } else if event.is_scheduled(now) && deliveries.iter().all(|one| matches!(one.state, State::Pending { .. })) {
        "scheduled"
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

/// The event was published before
#[derive(Debug, Serialize, Object)]
pub(super) struct DuplicateMeta {
    pub(super) duplicate: bool,
}

/// 202 for a new event, 200 for one that was published before.
pub(super) struct PublishAnswer(pub(super) Reply);

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

/// What became of each event of a batch. `meta` is beside an event that was published before.
pub(super) struct BatchResults;

impl Shape for BatchResults {
    const DESCRIPTION: &'static str = "What became of each event, in order; what was taken is durable";

    fn schema_ref() -> Option<MetaSchemaRef> {
        let refused = reference("Errors");
        let meta = vec![("meta", <DuplicateMeta as types::Type>::schema_ref())];
        let meta = inline(MetaSchema { properties: meta, ..MetaSchema::new("object") });
        let taken = MetaSchema { all_of: vec![reference(EventAttributes::NAME), meta], ..MetaSchema::ANY };
        let one_of = MetaSchema { any_of: vec![inline(taken), refused], ..MetaSchema::ANY };
        Some(object_schema(vec![("data", array_schema(inline(one_of)))]))
    }

    fn register(registry: &mut Registry) {
        register_object::<EventAttributes>(registry);
        <DuplicateMeta as types::Type>::register(registry);
    }
}
