//! `/v1/deliveries` (contract 4.3).

mod attempts;

use std::sync::Arc;

use poem::http::StatusCode;
use poem_openapi::param::Path;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::auth::{Call, Caller, scope};
use super::body::{Body, Nothing};
use super::idempotency::{Fingerprint, once};
use super::page::{
    Cursor, Parameter, Parameters, Params, Query, Walked, choice_parameter, moment_parameter, text_parameter,
};
use super::problem::Refusal;
use super::reply::{Answer, Attributes, Object as ResourceObject, One, Reply};
use super::stats::{scope_parameter, take_scope};
use super::value::{Nullable, Time, choice};
use super::{App, Tag, read_disk};
use crate::domain::delivery::{
    CanceledReason, Delivery, ExhaustedReason, ExpiredReason, RetryReason, ShownState, State,
};
use crate::domain::event::EventWithData;
use crate::domain::health::Hold;
use crate::domain::id::DeliveryId;
use crate::domain::time::Timestamp;
use crate::store::{DeliveryFilter, Store, StoreError};

use attempts::{AttemptView, Rebuild, attempt_view};
pub use attempts::{ErrorClassName, OutcomeName, TriggerName, trigger_name};

const THING: &str = "Delivery";

choice!(StateName, "delivery_state", ShownState::ALL.map(ShownState::name));
choice!(ReasonName, "delivery_reason", REASONS);

/// Why a delivery waits, or why it ended without success.
const REASONS: [&str; 17] = [
    "first_attempt",
    "scheduled_event",
    "scheduled_retry",
    "receiver_asked_to_wait",
    "manual_retry",
    "subscription_paused",
    "subscription_disabled",
    "attempts_exhausted",
    "gone",
    "aborted_by_receiver",
    "payload_expired",
    "canceled_by_user",
    "subscription_deleted",
    "subscription_gone",
    "receiver_failing",
    "backlog_full",
    "backlog_age",
];

/// A delivery, as it stands
#[derive(Debug, Serialize, Object)]
pub struct DeliveryAttributes {
    tenant_id: String,
    event_id: String,
    event_type: String,
    subscription_id: String,
    /// Where it goes; null when the subscription was deleted
    subscription_url: Nullable<String>,
    state: StateName,
    /// Why it waits, or why it ended without success; null when it succeeded
    reason: Nullable<ReasonName>,
    /// Null in a final state. Of a held delivery: when it was due, which may be in the past
    next_attempt_at: Nullable<Time>,
    /// Requests made so far
    attempts_made: u16,
    /// The receiver's last status; null when it never answered
    last_http_status: Nullable<u16>,
    created_at: Time,
    updated_at: Time,
}

impl Attributes for DeliveryAttributes {
    const TYPE: &'static str = "delivery";
    const NAME: &'static str = "Delivery";
    const ONE: &'static str = "The delivery";
    const PAGE: &'static str = "A page of deliveries, newest first";
}

/// A delivery with all its attempts
#[derive(Debug, Serialize, Object)]
struct DeliveryDetailAttributes {
    tenant_id: String,
    event_id: String,
    event_type: String,
    subscription_id: String,
    /// Where it goes; null when the subscription was deleted
    subscription_url: Nullable<String>,
    state: StateName,
    /// Why it waits, or why it ended without success; null when it succeeded
    reason: Nullable<ReasonName>,
    /// Null in a final state. Of a held delivery: when it was due, which may be in the past
    next_attempt_at: Nullable<Time>,
    /// Requests made so far
    attempts_made: u16,
    /// The receiver's last status; null when it never answered
    last_http_status: Nullable<u16>,
    created_at: Time,
    updated_at: Time,
    /// In the order in which they were made
    attempts: Vec<AttemptView>,
}

impl Attributes for DeliveryDetailAttributes {
    const TYPE: &'static str = "delivery";
    const NAME: &'static str = "DeliveryDetail";
    const ONE: &'static str = "The delivery with its attempts";
    const PAGE: &'static str = "";
}

/// A delivery in the answer that shows its event
#[derive(Debug, Serialize, Object)]
pub struct DeliverySummary {
    id: String,
    subscription_id: String,
    state: StateName,
    reason: Nullable<ReasonName>,
    next_attempt_at: Nullable<Time>,
    attempts_made: u16,
    last_http_status: Nullable<u16>,
    updated_at: Time,
}

struct DeliveryList {
    is_of_the_instance: bool,
    cursor: Cursor<DeliveryId>,
    filter: DeliveryFilter,
}

impl Parameters for DeliveryList {
    fn documented() -> Vec<Parameter> {
        let mut parameters = vec![scope_parameter()];
        parameters.extend(Cursor::<DeliveryId>::documented());
        parameters.extend([
            choice_parameter("filter[state]", "Only those in this state", ShownState::ALL.map(ShownState::name)),
            text_parameter("filter[subscription_id]", "Only those to this subscription"),
            text_parameter("filter[event_id]", "Only those of this event"),
            text_parameter("filter[event_type]", "Only those of events of this type"),
            moment_parameter("filter[since]", "Only those created then or later"),
            moment_parameter("filter[until]", "Only those created before"),
            text_parameter("filter[http_status]", "Only those whose last attempt got this status"),
        ]);
        parameters
    }

    fn read(query: &mut Params) -> Self {
        let state = |name: &str| ShownState::ALL.into_iter().find(|state| state.name() == name);
        let status = |text: &str| text.parse().ok().filter(|status| (100..=599).contains(status));
        Self {
            is_of_the_instance: take_scope(query),
            cursor: Cursor::read(query),
            filter: DeliveryFilter {
                state: query.take_with(
                    "filter[state]",
                    "pending, retrying, held, succeeded, exhausted, canceled or expired",
                    state,
                ),
                subscription: query.take("filter[subscription_id]", "a subscription's id"),
                event: query.take("filter[event_id]", "an event's id"),
                event_type: query.take("filter[event_type]", "an event type"),
                since: query.take_moment("filter[since]"),
                until: query.take_moment("filter[until]"),
                http_status: query.take_with("filter[http_status]", "100 to 599", status),
            },
        }
    }
}

pub struct DeliveriesApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1/deliveries", tag = "Tag::Deliveries")]
impl DeliveriesApi {
    /// List deliveries
    ///
    /// Newest first. With a filter a page can come out short and still have a next one: at most 10,000 rows are looked
    /// at for each. What was just accepted is listed within about a second; at once with `filter[event_id]`, and with
    /// `filter[state]` of those that are not over.
    #[oai(path = "/", method = "get", operation_id = "deliveries.list")]
    async fn list(
        &self,
        caller: Caller<scope::DeliveriesRead>,
        query: Query<DeliveryList>,
    ) -> Result<Answer<Walked<DeliveryAttributes>, 200>, Refusal> {
        let Query(DeliveryList { is_of_the_instance, cursor, filter }) = query;
        let (whose, now) = (caller.whose(is_of_the_instance)?, self.app.clock.now());
        let page = read_disk(&self.app.store, move |store| store.deliveries(whose, &filter, cursor.walk)).await?;
        let rows = page.rows.iter().map(|delivery| object(delivery, &self.app.store, now)).collect();
        Ok(Reply::json(StatusCode::OK, &cursor.list(&caller, rows, page.next, page.previous)).into())
    }

    /// Get a delivery with its attempts
    #[oai(path = "/:id", method = "get", operation_id = "deliveries.get")]
    async fn get(
        &self,
        caller: Caller<scope::DeliveriesRead>,
        id: Path<String>,
    ) -> Result<Answer<One<DeliveryDetailAttributes>, 200>, Refusal> {
        let delivery = find(&self.app.store, &caller, &id).await?;
        let (delivery_id, event_id) = (delivery.id, delivery.event);
        let read = move |store: &Store| -> Result<_, StoreError> {
            let event = store.event(event_id)?.zip(store.event_data(event_id)?);
            Ok((store.attempts(delivery_id)?, event))
        };
        let (attempts, event) = read_disk(&self.app.store, read).await?;
        let event = event.map(|(event, data)| EventWithData { event, data });
        let rebuild = Rebuild::new(event.as_ref(), caller.tenant());
        let shows_details = caller.is_of_the_instance();
        let attempts = attempts.into_iter().map(|attempt| attempt_view(attempt, &rebuild, shows_details)).collect();
        let one = One::new(delivery.id.to_string(), detail(&delivery, &self.app.store, self.app.clock.now(), attempts));
        Ok(Reply::json(StatusCode::OK, &one).into())
    }

    /// Try a delivery now
    ///
    /// One attempt, at once. A delivery whose schedule is used up gets exactly one more; one that succeeded or was canceled is
    /// refused, and so is one that had ended when the backlog of its subscription, which is not active, is full.
    #[oai(path = "/:id/retry", method = "post", operation_id = "deliveries.retry")]
    async fn retry(
        &self,
        caller: Caller<scope::DeliveriesWrite>,
        id: Path<String>,
        body: Body<Nothing>,
    ) -> Result<Answer<One<DeliveryAttributes>, 202>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |memory| {
            body.read()?.1.finish()?;
            let delivery = find(&self.app.store, &caller, &id).await?;
            let (store, now) = (self.app.store.clone(), self.app.clock.now());
            let render = move |made: &Delivery| answer(StatusCode::ACCEPTED, made, &store, now);
            let made = self.app.store.retry_delivery(delivery.id, memory.keep(render.clone())).await?;
            Ok(render(&made))
        })
        .await
        .map(Into::into)
    }

    /// Cancel a delivery
    ///
    /// No further attempt is made. A final one is refused.
    #[oai(path = "/:id/cancel", method = "post", operation_id = "deliveries.cancel")]
    async fn cancel(
        &self,
        caller: Caller<scope::DeliveriesWrite>,
        id: Path<String>,
        body: Body<Nothing>,
    ) -> Result<Answer<One<DeliveryAttributes>, 200>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |memory| {
            body.read()?.1.finish()?;
            let delivery = find(&self.app.store, &caller, &id).await?;
            let (store, now) = (self.app.store.clone(), self.app.clock.now());
            let render = move |made: &Delivery| answer(StatusCode::OK, made, &store, now);
            let made = self.app.store.cancel_delivery(delivery.id, memory.keep(render.clone())).await?;
            Ok(render(&made))
        })
        .await
        .map(Into::into)
    }
}

async fn find(store: &Store, call: &Call, id: &str) -> Result<Delivery, Refusal> {
    let not_found = || Refusal::not_found(THING, id);
    let parsed: DeliveryId = id.parse().map_err(|_| not_found())?;
    let reach = call.reach();
    let read = move |store: &Store| {
        let Some(delivery) = store.delivery(parsed)? else { return Ok(None) };
        Ok(store.reaches(reach, &delivery)?.then_some(delivery))
    };
    read_disk(store, read).await?.ok_or_else(not_found)
}

/// The state as it is shown, and its reason.
fn shown(delivery: &Delivery, store: &Store, now: Timestamp) -> (ShownState, Option<&'static str>) {
    let (state, hold) = store.shown_state(delivery);
    (state, hold.map(hold_reason).or_else(|| reason(delivery.state, now)))
}

fn hold_reason(hold: Hold) -> &'static str {
    match hold {
        Hold::Paused => "subscription_paused",
        Hold::Disabled => "subscription_disabled",
        Hold::Failing => "receiver_failing",
    }
}

/// Why a delivery waits, or why it ended without success.
fn reason(state: State, now: Timestamp) -> Option<&'static str> {
    Some(match state {
        // A first attempt that lies ahead: the event was published for later.
        State::Pending { next_attempt_at } if next_attempt_at > now => "scheduled_event",
        State::Pending { .. } => "first_attempt",
        State::Retrying { reason, .. } => match reason {
            RetryReason::Schedule => "scheduled_retry",
            RetryReason::RetryAfter => "receiver_asked_to_wait",
            RetryReason::Manual | RetryReason::ManualOnce => "manual_retry",
        },
        State::Succeeded => return None,
        State::Exhausted { reason } => match reason {
            ExhaustedReason::Schedule => "attempts_exhausted",
            ExhaustedReason::Gone => "gone",
            ExhaustedReason::Aborted => "aborted_by_receiver",
        },
        State::Canceled { reason } => match reason {
            CanceledReason::Manual => "canceled_by_user",
            CanceledReason::SubscriptionDeleted => "subscription_deleted",
            CanceledReason::SubscriptionGone => "subscription_gone",
            CanceledReason::PayloadExpired => "payload_expired",
        },
        State::Expired { reason } => match reason {
            ExpiredReason::BacklogFull => "backlog_full",
            ExpiredReason::BacklogAge => "backlog_age",
        },
    })
}

fn attributes(delivery: &Delivery, store: &Store, now: Timestamp) -> DeliveryAttributes {
    let (state, reason) = shown(delivery, store, now);
    let catalogue = store.catalogue();
    let url = catalogue.subscription(delivery.subscription).map(|subscription| subscription.url.as_str().to_owned());
    DeliveryAttributes {
        tenant_id: delivery.tenant.to_string(),
        event_id: delivery.event.to_string(),
        event_type: delivery.event_type.to_string(),
        subscription_id: delivery.subscription.to_string(),
        subscription_url: url.into(),
        state: StateName(state.name()),
        reason: reason.map(ReasonName).into(),
        next_attempt_at: delivery.state.next_attempt_at().map(Time).into(),
        attempts_made: delivery.attempts,
        last_http_status: delivery.last_http_status.into(),
        created_at: Time(delivery.created_at),
        updated_at: Time(delivery.updated_at),
    }
}

fn detail(delivery: &Delivery, store: &Store, now: Timestamp, attempts: Vec<AttemptView>) -> DeliveryDetailAttributes {
    let DeliveryAttributes {
        tenant_id,
        event_id,
        event_type,
        subscription_id,
        subscription_url,
        state,
        reason,
        next_attempt_at,
        attempts_made,
        last_http_status,
        created_at,
        updated_at,
    } = attributes(delivery, store, now);
    DeliveryDetailAttributes {
        tenant_id,
        event_id,
        event_type,
        subscription_id,
        subscription_url,
        state,
        reason,
        next_attempt_at,
        attempts_made,
        last_http_status,
        created_at,
        updated_at,
        attempts,
    }
}

fn object(delivery: &Delivery, store: &Store, now: Timestamp) -> ResourceObject<DeliveryAttributes> {
    ResourceObject::new(delivery.id.to_string(), attributes(delivery, store, now))
}

fn answer(status: StatusCode, delivery: &Delivery, store: &Store, now: Timestamp) -> Reply {
    Reply::json(status, &One { data: object(delivery, store, now) })
}

pub fn summary(delivery: &Delivery, store: &Store, now: Timestamp) -> DeliverySummary {
    let (state, reason) = shown(delivery, store, now);
    DeliverySummary {
        id: delivery.id.to_string(),
        subscription_id: delivery.subscription.to_string(),
        state: StateName(state.name()),
        reason: reason.map(ReasonName).into(),
        next_attempt_at: delivery.state.next_attempt_at().map(Time).into(),
        attempts_made: delivery.attempts,
        last_http_status: delivery.last_http_status.into(),
        updated_at: Time(delivery.updated_at),
    }
}
