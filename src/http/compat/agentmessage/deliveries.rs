//! `/v1/webhooks/deliveries`: the feed, of which one row is one attempt, and replays.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem::http::StatusCode;
use poem_openapi::param::Path;
use poem_openapi::registry::MetaSchema;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::AgentMessageTag;
use super::endpoints::{limit_parameter, take_limit};
use super::wire::{Bare, Described, List, ListMeta, Seconds, UuidText};
use crate::domain::attempt_uuid::AttemptUuid;
use crate::domain::delivery::{Attempt, AttemptFilter, Fate, Outcome};
use crate::domain::event::Event;
use crate::domain::event_type::EventTypeName;
use crate::domain::id::{DeliveryId, SubscriptionId};
use crate::domain::public_id::PublicId;
use crate::domain::uuid::Uuid;
use crate::domain::violation::{Rule, Violation};
use crate::http::auth::{Call, Caller, scope};
use crate::http::body::{Body, Fields, Wire};
use crate::http::events::refuse_system_tenant;
use crate::http::limit::whole_seconds;
use crate::http::page::{Parameter, Parameters, Params, Query, choice_parameter, moment_parameter, text_parameter};
use crate::http::problem::{Ground, Refusal};
use crate::http::reply::{Answer, Reply};
use crate::http::value::{Nullable, choice};
use crate::http::{App, read_disk};
use crate::store::{AttemptMade, AttemptPlace, Redelivery};

const THING: &str = "Webhook delivery";
const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;
/// GUESS: how long the reason of a replay may be is not published.
const REASON_LENGTH_MAX: usize = 500;
/// GUESS: how much of a receiver's answer an excerpt is, is not published.
const EXCERPT_BYTES_MAX: usize = 1024;
/// Nobody counts the feed; the published example shows the same.
const TOTAL_NOT_COUNTED: usize = 0;
/// GUESS: the status of a replay is not printed.
const REPLAYED: u16 = 202;

const OUTCOMES: [(&str, Fate); 3] = [("success", Fate::Success), ("retry", Fate::Retry), ("dead", Fate::Dead)];

choice!(OutcomeName, "outcome", OUTCOMES.map(|(name, _)| name));

/// GUESS: what the names mean.
fn outcome_name(fate: Fate) -> OutcomeName {
    OutcomeName(match fate {
        Fate::Success => "success",
        Fate::Retry => "retry",
        Fate::Dead => "dead",
    })
}

/// One attempt to deliver an event
#[derive(Debug, Serialize, Object)]
#[oai(rename = "WebhookDelivery")]
struct DeliveryView {
    id: UuidText,
    endpoint_id: UuidText,
    event_id: UuidText,
    event_type: String,
    /// The endpoint's URL as it is now
    url: String,
    /// From 1
    attempt: u16,
    /// `success`; `retry`: it failed, and another attempt followed or will; `dead`: it failed, and nothing followed
    outcome: OutcomeName,
    /// Null when no usable answer came
    response_status: Nullable<u16>,
    response_time_ms: u64,
    /// SHA-256 in hex
    request_body_sha256: String,
    request_body_bytes: u32,
    /// The beginning of the receiver's answer
    response_body_excerpt: Nullable<String>,
    /// Values that the endpoint was given for headers of its own are `***`
    request_headers: BTreeMap<String, String>,
    /// Why no usable answer came: `blocked_address`, `dns`, `connect`, `tls`, `timeout` or `http`
    error: Nullable<String>,
    /// When the attempt began
    occurred_at: Seconds,
}

impl Described for DeliveryView {
    const ONE: &'static str = "The attempt";
    const LIST: &'static str = "Attempts: the newest delivery first, and of one delivery the latest attempt first";
}

/// What a replay made
#[derive(Debug, Serialize, Object)]
#[oai(rename = "WebhookReplay")]
struct ReplayView {
    /// What was replayed
    delivery_id: UuidText,
    endpoint_id: UuidText,
    event_type: String,
    new_event_id: UuidText,
    /// Under which the replay is found again: the new event is kept as a replay of the first one, and the line in the
    /// server's log that has the reason names it
    audit_log_id: UuidText,
    enqueued_at: Seconds,
}

impl Described for ReplayView {
    const ONE: &'static str = "The event is on its way again, under a new id";
    const LIST: &'static str = "";
}

/// Why an event is sent again
#[derive(Object)]
#[oai(rename = "ReplayWebhookDelivery", deny_unknown_fields)]
struct Replay {
    /// For the log: at most 500 characters
    #[oai(validator(max_length = 500))]
    reason: Option<String>,
}

impl Wire for Replay {
    const IS_BODY_REQUIRED: bool = false;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { reason: fields.take("reason") }
    }
}

struct DeliveryFeed {
    from: Option<AttemptPlace>,
    limit: usize,
    endpoint: Option<Uuid>,
    event_type: Option<EventTypeName>,
    fate: Option<Fate>,
    /// The rest of the filter.
    filter: AttemptFilter,
}

impl Parameters for DeliveryFeed {
    fn documented() -> Vec<Parameter> {
        let status = |name, description| {
            let schema = MetaSchema { minimum: Some(100.0), maximum: Some(599.0), ..MetaSchema::new("integer") };
            Parameter { name, description, schema }
        };
        let endpoint = MetaSchema::new_with_format("string", "uuid");
        vec![
            text_parameter("cursor", "`meta.next_cursor` of the page before, with the same filters"),
            limit_parameter(LIMIT_MAX, LIMIT_DEFAULT),
            Parameter { name: "endpoint_id", description: "Only those to this endpoint", schema: endpoint },
            text_parameter("event_type", "Only those of events of this type, which must exist"),
            choice_parameter("outcome", "Only those that came to this", OUTCOMES.map(|(name, _)| name)),
            moment_parameter("since", "Only those begun then or later"),
            moment_parameter("until", "Only those begun before"),
            status("http_status_min", "Only those answered with this status or a higher one"),
            status("http_status_max", "Only those answered with this status or a lower one"),
        ]
    }

    fn read(query: &mut Params) -> Self {
        let status = |text: &str| text.parse().ok().filter(|status| (100..=599).contains(status));
        let fate = |text: &str| OUTCOMES.into_iter().find(|(name, _)| *name == text).map(|(_, fate)| fate);
        let http_status_max: Option<u16> = query.take_with("http_status_max", "100 to 599", status);
        let at_most = http_status_max.unwrap_or(599);
        let http_status_min = query.take_with("http_status_min", "100 to 599", status);
        if http_status_min.is_some_and(|min: u16| min > at_most) {
            query.refuse("http_status_min", "at most http_status_max");
        }
        Self {
            from: query.take_with("cursor", "a cursor from meta.next_cursor", read_cursor),
            limit: take_limit(query, LIMIT_MAX, "1 to 200", LIMIT_DEFAULT),
            endpoint: query.take("endpoint_id", "a UUID"),
            event_type: query.take("event_type", "an event type"),
            fate: query.take_with("outcome", "success, retry or dead", fate),
            filter: AttemptFilter {
                // GUESS: the first moment counts, the last one does not.
                since: query.take_moment("since"),
                until: query.take_moment("until"),
                http_status_min,
                http_status_max,
                ..AttemptFilter::default()
            },
        }
    }
}

impl DeliveryFeed {
    fn filter(self, call: &Call) -> Result<AttemptFilter, Refusal> {
        let Self { from: _, limit: _, endpoint, event_type, fate, filter } = self;
        // GUESS: `webhook.test` is not in the catalogue, and refused.
        if event_type.as_ref().is_some_and(|name| call.catalogue.event_type(name.as_str()).is_none()) {
            let rule = Rule::InvalidParameter { name: "event_type".to_owned(), expected: "an event type".into() };
            return Err(Violation::new(rule).into());
        }
        let subscription = endpoint.map(|uuid| subscription_of(call, uuid));
        Ok(AttemptFilter { subscription, event_type, fate, ..filter })
    }
}

/// Also of an endpoint that was deleted, unless its id was imported.
fn subscription_of(call: &Call, endpoint: Uuid) -> SubscriptionId {
    let known = call.tenant_entry().subscription_by_public_id(&PublicId::AgentMessage(endpoint));
    known.map_or(SubscriptionId::from_u128(endpoint.as_u128()), |subscription| subscription.id)
}

const CURSOR_BYTES: usize = 18;

fn write_cursor(AttemptPlace { delivery, number }: AttemptPlace) -> String {
    URL_SAFE_NO_PAD.encode([&delivery.to_bytes()[..], &number.to_be_bytes()].concat())
}

fn read_cursor(text: &str) -> Option<AttemptPlace> {
    let bytes: [u8; CURSOR_BYTES] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    let (delivery, number) = bytes.split_first_chunk()?;
    let number = u16::from_be_bytes(number.try_into().ok()?);
    Some(AttemptPlace { delivery: DeliveryId::from_bytes(*delivery), number })
}

pub struct DeliveriesApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1/webhooks/deliveries", tag = "AgentMessageTag::Deliveries")]
impl DeliveriesApi {
    /// List deliveries
    ///
    /// One row is one attempt: the newest delivery first, and of one delivery the latest attempt first. For each page at
    /// most 10,000 deliveries and attempts are looked at, so that one with filters can come out short, or empty, and still
    /// have a next one.
    #[oai(path = "/", method = "get", operation_id = "webhook_deliveries.list")]
    async fn list(
        &self,
        caller: Caller<scope::DeliveriesRead>,
        query: Query<DeliveryFeed>,
    ) -> Result<Answer<List<DeliveryView>, 200>, Refusal> {
        let Query(feed) = query;
        let (reach, from, limit) = (caller.reach(), feed.from, feed.limit);
        let filter = feed.filter(&caller)?;
        let page = read_disk(&self.app.store, move |store| store.attempts_made(reach, &filter, from, limit)).await?;
        let next_cursor = page.next.map(write_cursor).into();
        let meta = ListMeta { total: TOTAL_NOT_COUNTED, limit, offset: 0, next_cursor };
        let data = page.rows.into_iter().map(view).collect();
        Ok(Reply::json(StatusCode::OK, &List::new(data, meta)).into())
    }

    /// Get a delivery
    #[oai(path = "/:id", method = "get", operation_id = "webhook_deliveries.get")]
    async fn get(
        &self,
        caller: Caller<scope::DeliveriesRead>,
        id: Path<String>,
    ) -> Result<Answer<Bare<DeliveryView>, 200>, Refusal> {
        let (uuid, reach) = (read_id(&id)?, caller.reach());
        let made = read_disk(&self.app.store, move |store| store.attempt_made(reach, uuid)).await?;
        let made = made.ok_or_else(|| not_found(&id))?;
        Ok(Reply::json(StatusCode::OK, &view(made)).into())
    }

    /// Replay a delivery
    ///
    /// Sends its event to its endpoint again, with the same data and a new id. At most 10 a minute for each organization.
    // GUESS: an endpoint that was deleted answers 404; one that is not active keeps the event until it is.
    #[oai(path = "/:id/replay", method = "post", operation_id = "webhook_deliveries.replay")]
    async fn replay(
        &self,
        caller: Caller<scope::DeliveriesWrite>,
        id: Path<String>,
        body: Body<Replay>,
    ) -> Result<Answer<Bare<ReplayView>, REPLAYED>, Refusal> {
        let tenant = caller.tenant().id;
        if let Err(wait) = self.app.replays.charge(tenant) {
            return Err(Refusal::new(Ground::RateLimited).retry_after(whole_seconds(wait).max(1)));
        }
        let (Replay { reason }, mut findings) = body.read()?;
        if reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_LENGTH_MAX) {
            findings.add(Rule::TooLong { max: REASON_LENGTH_MAX }, "/reason");
        }
        findings.finish()?;
        refuse_system_tenant(&caller)?;
        let (uuid, reach) = (read_id(&id)?, caller.reach());
        let delivery = read_disk(&self.app.store, move |store| store.delivery_of_attempt(reach, uuid)).await?;
        let delivery = delivery.ok_or_else(|| not_found(&id))?;
        let Some(subscription) = caller.tenant_entry().subscription(delivery.subscription) else {
            return Err(not_found(&id));
        };
        let again = Redelivery::AsNewEvent(vec![delivery.subscription]);
        let event: Event = self.app.store.redeliver(reach, delivery.event, again, None).await?.event;
        let new_event_id = Uuid::from_u128(event.id.as_u128());
        tracing::info!(
            id = caller.visit.id,
            audit_log_id = %new_event_id,
            delivery = %delivery.id,
            event = %event.id,
            actor = %caller.actor.id(),
            reason,
            "a delivery was replayed"
        );
        let view = ReplayView {
            // GUESS: it is the one that was asked for; the new one has no attempt yet.
            delivery_id: UuidText(uuid.uuid()),
            endpoint_id: UuidText(subscription.agentmessage_id()),
            event_type: event.event_type.to_string(),
            new_event_id: UuidText(new_event_id),
            audit_log_id: UuidText(new_event_id),
            enqueued_at: Seconds(event.created_at),
        };
        Ok(Reply::json(StatusCode::ACCEPTED, &view).into())
    }
}

fn not_found(id: &str) -> Refusal {
    Refusal::not_found(THING, id)
}

fn read_id(id: &str) -> Result<AttemptUuid, Refusal> {
    id.parse().ok().and_then(AttemptUuid::from_uuid).ok_or_else(|| not_found(id))
}

fn view(made: AttemptMade) -> DeliveryView {
    let (id, outcome) = (UuidText(made.uuid().uuid()), outcome_name(made.fate()));
    let AttemptMade { attempt, delivery, subscription } = made;
    let Told { response_status, response_time_ms, response_body_excerpt, error } = told(&attempt);
    let mut request_headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in attempt.request_headers {
        // As RFC 9110 (5.3) joins the lines of one header.
        let joined = match request_headers.get(&name) {
            Some(first) => format!("{first}, {value}"),
            None => value,
        };
        request_headers.insert(name, joined);
    }
    DeliveryView {
        id,
        endpoint_id: UuidText(subscription.agentmessage_id()),
        event_id: UuidText(Uuid::from_u128(delivery.event.as_u128())),
        event_type: delivery.event_type.to_string(),
        url: subscription.url.as_str().to_owned(),
        attempt: attempt.number,
        outcome,
        response_status,
        response_time_ms,
        request_body_sha256: hex::encode(attempt.request_body_sha256),
        request_body_bytes: attempt.request_body_bytes,
        response_body_excerpt,
        request_headers,
        error,
        occurred_at: Seconds(attempt.started_at),
    }
}

/// What is told of an attempt's outcome, in the feed and of a test.
pub struct Told {
    pub response_status: Nullable<u16>,
    pub response_time_ms: u64,
    pub response_body_excerpt: Nullable<String>,
    pub error: Nullable<String>,
}

pub fn told(attempt: &Attempt) -> Told {
    // GUESS: its texts. An answer with another status than 2xx is no error: the status says it.
    let error = match &attempt.outcome {
        Outcome::Success | Outcome::Status(_) => None,
        Outcome::Error { class, detail: _ } => Some(class.name().to_owned()),
    };
    let response = attempt.response.as_ref();
    let excerpt = |body: &[u8]| String::from_utf8_lossy(&body[..body.len().min(EXCERPT_BYTES_MAX)]).into_owned();
    Told {
        response_status: response.map(|response| response.status).into(),
        response_time_ms: u64::try_from(attempt.phases.total.as_millis()).unwrap_or(u64::MAX),
        response_body_excerpt: response.map(|response| excerpt(&response.body)).into(),
        error: error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_other_texts_are_refused() {
        let place = AttemptPlace { delivery: DeliveryId::from_u128(u128::MAX - 5), number: 700 };
        let text = write_cursor(place);
        assert_eq!(read_cursor(&text), Some(place));
        for wrong in ["", "x", &text[1..], &format!("{text}AA"), &format!("{text}=")] {
            assert_eq!(read_cursor(wrong), None, "{wrong}");
        }
    }
}
