//! `/v1/stream`: what happens, as it happens, as server-sent events (contract 4.4).

use std::collections::HashMap;
use std::fmt::Write;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use poem::http::{HeaderValue, header};
use poem::{Body, IntoResponse, Response};
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::auth::{Caller, is_still_let_in, scope};
use super::deliveries::{ErrorClassName, OutcomeName, StateName, TriggerName, trigger_name};
use super::page::{Parameter, Parameters, Params, Query, choice_parameter, text_parameter};
use super::problem::{Ground, Refusal};
use super::reply::inline;
use super::stats::{scope_parameter, take_scope};
use super::subscriptions::{DisabledReasonName, HealthName};
use super::value::{Nullable, Time, choice};
use super::{App, Tag};
use crate::dispatch::feed::{DeliveryShown, Item, Shown, Viewer, What};
use crate::domain::actor::{Actor, ActorId};
use crate::domain::event_type::EventPattern;
use crate::domain::id::{SubscriptionId, TenantId};
use crate::store::{AttemptSeen, Catalogue, Reach, Store, StoreError};

/// Viewers of the whole instance …
pub const VIEWERS_MAX: usize = 64;
/// … and of one key.
pub const VIEWERS_PER_KEY_MAX: usize = 8;
/// What is written for a viewer and not yet sent. All that one costs who does not read is this, twice: here, and as the
/// messages that wait to get in.
const VIEWER_BYTES_MAX: usize = 32 * 1024;
/// When one who found no place may ask again.
const RETRY_AFTER_SECONDS: u64 = 15;
/// A viewer who takes nothing for so many keep-alives is cut off.
const STALLED_KEEP_ALIVES_MAX: u32 = 4;

const OUTCOMES: [&str; 2] = ["success", "failure"];
choice!(GapReasonName, "gap_reason", ["missed"]);

/// `delivery.created` and `delivery.changed`: a delivery, as it stands
#[derive(Serialize, Object)]
struct DeliveryMessage {
    at: Time,
    tenant_id: String,
    subscription_id: String,
    /// Null when the subscription was deleted
    subscription_url: Nullable<String>,
    event_id: String,
    event_type: String,
    delivery_id: String,
    state: StateName,
    /// Null in a final state
    next_attempt_at: Nullable<Time>,
}

/// `delivery.attempted`: an attempt that is over and recorded, and where its delivery stands now
#[derive(Serialize, Object)]
struct AttemptMessage {
    at: Time,
    tenant_id: String,
    subscription_id: String,
    /// Null when the subscription was deleted
    subscription_url: Nullable<String>,
    event_id: String,
    event_type: String,
    delivery_id: String,
    state: StateName,
    /// Null in a final state
    next_attempt_at: Nullable<Time>,
    attempt_id: String,
    /// From 1
    number: u16,
    trigger: TriggerName,
    outcome: OutcomeName,
    /// Null when no usable answer came
    http_status: Nullable<u16>,
    /// Null when an answer came
    error: Nullable<ErrorClassName>,
    duration_ms: f64,
}

/// `subscription.changed`: its configuration or its health is another now
#[derive(Serialize, Object)]
struct SubscriptionMessage {
    at: Time,
    tenant_id: String,
    subscription_id: String,
    /// Null when the subscription was deleted
    subscription_url: Nullable<String>,
    is_active: bool,
    health: HealthName,
    disabled_reason: Nullable<DisabledReasonName>,
}

/// `gap`: messages before this one are not known any more. Read the lists for what is in between
#[derive(Serialize, Object)]
struct GapMessage {
    reason: GapReasonName,
}

/// What a viewer wants to see.
struct Wanted {
    is_of_the_instance: bool,
    subscription: Option<SubscriptionId>,
    event_type: Option<EventPattern>,
    succeeded: Option<bool>,
}

impl Parameters for Wanted {
    fn documented() -> Vec<Parameter> {
        vec![
            scope_parameter(),
            text_parameter("filter[subscription_id]", "Only what concerns this subscription"),
            text_parameter("filter[event_type]", "Only deliveries of events of this type or pattern"),
            choice_parameter("filter[outcome]", "Only attempts that came to this", OUTCOMES),
        ]
    }

    fn read(query: &mut Params) -> Self {
        let outcome = |name: &str| OUTCOMES.into_iter().position(|known| known == name);
        let outcome = |query: &mut Params| query.take_with("filter[outcome]", "success or failure", outcome);
        Self {
            is_of_the_instance: take_scope(query),
            subscription: query.take("filter[subscription_id]", "a subscription's id"),
            event_type: query.take("filter[event_type]", "an event type or a pattern"),
            succeeded: outcome(query).map(|place| place == 0),
        }
    }
}

impl Wanted {
    fn wants(&self, item: &Item, of_tenant: Option<TenantId>) -> bool {
        let Self { is_of_the_instance: _, subscription, event_type, succeeded } = self;
        let (delivery, attempt) = match &item.what {
            What::Created(delivery) | What::Changed(delivery) => (Some(delivery), None),
            What::Attempted(delivery, attempt) => (Some(delivery), Some(attempt)),
            What::Subscription { .. } => (None, None),
        };
        of_tenant.is_none_or(|tenant| item.tenant == tenant)
            && subscription.is_none_or(|wanted| item.subscription == wanted)
            && event_type
                .as_ref()
                .is_none_or(|wanted| delivery.is_some_and(|delivery| wanted.matches(&delivery.event_type)))
            && succeeded.is_none_or(|wanted| attempt.is_some_and(|attempt| attempt.succeeded == wanted))
    }
}

/// How many watch, by actor.
#[derive(Default)]
pub struct Viewers(Mutex<HashMap<ActorId, usize>>);

/// A place among the viewers.
struct Place {
    app: Arc<App>,
    actor: Actor,
}

impl Place {
    fn take(app: &Arc<App>, actor: Actor) -> Result<Self, Refusal> {
        let mut viewers = app.viewers.0.lock().expect("nothing panics while it holds the lock");
        let refuse =
            |max, of_what| Err(Refusal::new(Ground::TooManyViewers { max, of_what }).retry_after(RETRY_AFTER_SECONDS));
        if viewers.get(&actor.id()).is_some_and(|count| *count >= VIEWERS_PER_KEY_MAX) {
            return refuse(VIEWERS_PER_KEY_MAX, "one key");
        }
        if viewers.values().sum::<usize>() >= VIEWERS_MAX {
            return refuse(VIEWERS_MAX, "the whole instance");
        }
        *viewers.entry(actor.id()).or_default() += 1;
        Ok(Self { app: Arc::clone(app), actor })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut viewers = self.app.viewers.0.lock().expect("nothing panics while it holds the lock");
        if let Some(count) = viewers.get_mut(&self.actor.id()) {
            *count -= 1;
            if *count == 0 {
                viewers.remove(&self.actor.id());
            }
        }
    }
}

pub struct StreamApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1/stream", tag = "Tag::Activity")]
impl StreamApi {
    /// Watch what happens
    ///
    /// Server-sent events, in the order in which they happened: `delivery.created`, `delivery.attempted` (after it is
    /// recorded), `delivery.changed` and `subscription.changed`. What ends in bulk (a job, the backlog of a deleted
    /// subscription, one that is too old) is told one by one, as far as it fits: the newest 4,096 messages are kept, and
    /// before them is a `gap`. It is for watching, not for bookkeeping: who reads too slowly, or
    /// comes back too late with `Last-Event-ID`, gets a `gap`. A line with a colon alone, every 15 seconds, keeps the
    /// connection open. At most 64 viewers, and 8 of one key. A restricted key sees what concerns the subscriptions that it
    /// made.
    #[oai(path = "/", method = "get", operation_id = "stream.read")]
    async fn read(&self, caller: Caller<scope::DeliveriesRead>, query: Query<Wanted>) -> Result<EventStream, Refusal> {
        let Query(wanted) = query;
        if wanted.is_of_the_instance {
            caller.instance_key_only()?;
        }
        let place = Place::take(&self.app, caller.actor.clone())?;
        // An id that we cannot read is one that we do not know: a gap.
        let after = caller.headers.get("last-event-id").map(|id| id.to_str().ok().and_then(|id| id.parse().ok()));
        let viewer = self.app.dispatch.feed().watch(after.map(Option::unwrap_or_default));
        let (ours, theirs) = tokio::io::duplex(VIEWER_BYTES_MAX);
        let (here, gone) = oneshot::channel();
        let every = self.app.settings.stream_keep_alive;
        let mut keep_alive = interval_at(Instant::now() + every, every);
        // Those that fell into a busy time are not made up for.
        keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let reach = caller.reach();
        let stream = Stream {
            of_key: reach.key.map(|_| OfKey { reach, last: None }),
            of_tenant: (!wanted.is_of_the_instance).then(|| caller.tenant().id),
            wanted,
            viewer,
            keep_alive,
            pipe: ours,
            gone,
            place,
        };
        tokio::spawn(stream.run());
        Ok(EventStream(Body::from_async_read(Answer { pipe: theirs, _here: here })))
    }
}

/// The writing end of one viewer's answer. It ends with the answer, the feed, or the right to see it.
struct Stream {
    of_tenant: Option<TenantId>,
    of_key: Option<OfKey>,
    wanted: Wanted,
    viewer: Viewer,
    keep_alive: Interval,
    pipe: DuplexStream,
    /// The reading end has been dropped: the connection is closed.
    gone: oneshot::Receiver<()>,
    place: Place,
}

/// What a restricted key sees: what concerns the subscriptions that it made, also those that were deleted since.
struct OfKey {
    reach: Reach,
    /// The one that was asked about last, and the answer, which never changes: what ends in bulk is told one after
    /// another, and the disk has to say whose a deleted one was.
    last: Option<(SubscriptionId, bool)>,
}

impl OfKey {
    fn sees(&mut self, store: &Store, subscription: SubscriptionId) -> Result<bool, StoreError> {
        if let Some((_, is_seen)) = self.last.filter(|(last, _)| *last == subscription) {
            return Ok(is_seen);
        }
        let is_seen = store.reaches_subscription(self.reach, subscription)?;
        self.last = Some((subscription, is_seen));
        Ok(is_seen)
    }
}

/// Nothing more is written.
struct Ended;

/// The reading end, which the server sends from.
struct Answer {
    pipe: DuplexStream,
    /// Dropped with this: whoever writes knows at once, and not at the next keep-alive.
    _here: oneshot::Sender<()>,
}

impl AsyncRead for Answer {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(context, into)
    }
}

impl Stream {
    async fn run(mut self) {
        // At once, so that whoever asked knows that it works.
        let mut text = ":\n\n".to_owned();
        while self.write(&text).await.is_ok() {
            text = tokio::select! {
                biased;
                // A disk that cannot be read ends it: whoever comes back goes on where this was.
                shown = self.viewer.next() => match shown.map(|shown| self.render(&shown)) {
                    Some(Ok(text)) => text,
                    Some(Err(_)) | None => return,
                },
                _ = &mut self.gone => return,
                _ = self.keep_alive.tick() => ":\n\n".to_owned(),
            };
        }
    }

    async fn write(&mut self, text: &str) -> Result<(), Ended> {
        if !may_see(&self.place, self.of_tenant) {
            return Err(Ended);
        }
        let Self { viewer, keep_alive, pipe, place, of_tenant, .. } = self;
        let mut writing = pin!(pipe.write_all(text.as_bytes()));
        let mut stalled = 0;
        loop {
            tokio::select! {
                biased;
                written = &mut writing => return written.map_err(|_| Ended),
                // Somebody who does not read must not hold up the end.
                () = viewer.over() => return Err(Ended),
                _ = keep_alive.tick() => {
                    stalled += 1;
                    if stalled == STALLED_KEEP_ALIVES_MAX || !may_see(place, *of_tenant) {
                        return Err(Ended);
                    }
                }
            }
        }
    }

    fn render(&mut self, shown: &Shown) -> Result<String, StoreError> {
        let mut text = String::new();
        match shown {
            Shown::Gap { up_to } => {
                write_message(&mut text, *up_to, "gap", &GapMessage { reason: GapReasonName("missed") });
            }
            Shown::Items(items) => {
                let store = &self.place.app.store;
                let catalogue = store.catalogue();
                for item in items.iter().filter(|item| self.wanted.wants(item, self.of_tenant)) {
                    let is_seen = self.of_key.as_mut().map(|of_key| of_key.sees(store, item.subscription));
                    if is_seen.transpose()?.unwrap_or(true) {
                        write_item(&mut text, item, &catalogue);
                    }
                }
            }
        }
        Ok(text)
    }
}

/// Whether the actor is still one that may watch this, as of now.
fn may_see(Place { app, actor }: &Place, of_tenant: Option<TenantId>) -> bool {
    let catalogue = app.store.catalogue();
    is_still_let_in(app, &catalogue, actor, app.clock.now())
        && of_tenant.is_none_or(|tenant| catalogue.tenant(tenant).is_some())
}

fn write_item(text: &mut String, Item { id, at, tenant, subscription, what }: &Item, catalogue: &Catalogue) {
    let (at, tenant_id, subscription_id) = (Time(*at), tenant.to_string(), subscription.to_string());
    let subscription = catalogue.subscription(*subscription);
    let subscription_url: Nullable<String> = subscription.map(|known| known.url.as_str().to_owned()).into();
    match what {
        What::Created(delivery) | What::Changed(delivery) => {
            let DeliveryShown { delivery, event, event_type, state, next_attempt_at } = delivery;
            let message = DeliveryMessage {
                at,
                tenant_id,
                subscription_id,
                subscription_url,
                event_id: event.to_string(),
                event_type: event_type.as_str().to_owned(),
                delivery_id: delivery.to_string(),
                state: StateName(state.name()),
                next_attempt_at: next_attempt_at.map(Time).into(),
            };
            let is_new = matches!(what, What::Created(_));
            write_message(text, *id, if is_new { "delivery.created" } else { "delivery.changed" }, &message);
        }
        What::Attempted(delivery, attempt) => {
            let DeliveryShown { delivery, event, event_type, state, next_attempt_at } = delivery;
            let AttemptSeen { id: attempt_id, number, trigger, succeeded, http_status, error, duration, started_at: _ } =
                attempt;
            let message = AttemptMessage {
                at,
                tenant_id,
                subscription_id,
                subscription_url,
                event_id: event.to_string(),
                event_type: event_type.as_str().to_owned(),
                delivery_id: delivery.to_string(),
                state: StateName(state.name()),
                next_attempt_at: next_attempt_at.map(Time).into(),
                attempt_id: attempt_id.to_string(),
                number: *number,
                trigger: trigger_name(*trigger),
                outcome: OutcomeName(OUTCOMES[usize::from(!succeeded)]),
                http_status: (*http_status).into(),
                error: error.map(|class| ErrorClassName(class.name())).into(),
                duration_ms: duration.as_micros() as f64 / 1000.0,
            };
            write_message(text, *id, "delivery.attempted", &message);
        }
        What::Subscription { is_active, health, disabled_reason } => {
            let message = SubscriptionMessage {
                at,
                tenant_id,
                subscription_id,
                subscription_url,
                is_active: *is_active,
                health: HealthName(health.name()),
                disabled_reason: disabled_reason.map(|reason| DisabledReasonName(reason.name())).into(),
            };
            write_message(text, *id, "subscription.changed", &message);
        }
    }
}

/// JSON has no line breaks of its own, so it is one line of data.
fn write_message(text: &mut String, id: u64, event: &str, data: &impl Serialize) {
    let data = serde_json::to_string(data).expect("wire types have string keys and finite numbers");
    _ = write!(text, "id: {id}\nevent: {event}\ndata: {data}\n\n");
}

/// An answer that goes on until one of both sides ends it.
struct EventStream(Body);

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        let mut response = Response::builder().body(self.0);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // A proxy that collects answers would hold it back.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}

impl ApiResponse for EventStream {
    fn meta() -> MetaResponses {
        let any_of = vec![
            DeliveryMessage::schema_ref(),
            AttemptMessage::schema_ref(),
            SubscriptionMessage::schema_ref(),
            GapMessage::schema_ref(),
        ];
        let schema = MetaSchema {
            description: Some("The `data` of each message, as JSON; `event` says which it is, `id` grows"),
            any_of,
            ..MetaSchema::ANY
        };
        let response = MetaResponse {
            description: "The messages, without an end",
            status: Some(200),
            status_range: None,
            content: vec![MetaMediaType { content_type: "text/event-stream", schema: inline(schema) }],
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(registry: &mut Registry) {
        DeliveryMessage::register(registry);
        AttemptMessage::register(registry);
        SubscriptionMessage::register(registry);
        GapMessage::register(registry);
    }
}
