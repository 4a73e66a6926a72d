//! `/v1/listeners`: what `waxwing listen` stands on. A developer's machine fetches what is sent to
//! `https://listener.invalid/<anything>` and says what came of it, through outgoing requests alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use poem::http::StatusCode;
use poem_openapi::param::Path;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::{Object, OpenApi};
use serde::Serialize;
use tokio::time::Instant;

use super::auth::{Call, Caller, scope};
use super::body::{Body, Fields, Findings, Wire};
use super::idempotency::{Fingerprint, once};
use super::page::{Parameter, Parameters, Params, Query};
use super::problem::{Ground, Refusal};
use super::reply::{
    Answer, Attributes, Object as ResourceObject, One, Reply, Shape, array_schema, object_schema, reference,
    register_object,
};
use super::subscriptions::find_visible;
use super::value::{choice_text, documented};
use super::{App, Tag};
use crate::domain::delivery::{ErrorClass, RESPONSE_BODY_BYTES_MAX};
use crate::domain::id::{ListenerId, SubscriptionId};
use crate::domain::violation::Rule;
use crate::net::{
    Gone, LISTENER_LAPSES_AFTER, LISTENERS_MAX, LISTENERS_PER_KEY_MAX, Listened, ListenerAnswer, ListenerResponse,
    NotBegun, Subject,
};
use crate::store::{Store, StoreError};

const THING: &str = "Listener";
const REQUEST: &str = "Request";
/// Well below what proxies and the server's own idle time allow.
const WAIT_SECONDS_MAX: u64 = 30;
const WAIT_EXPECTED: &str = "0 to 30";
/// When one who found no place may ask again.
const RETRY_AFTER_SECONDS: u64 = 15;
/// How long somebody's machine may say that it took: longer than any time-out.
const TOOK_MILLIS_MAX: i64 = 60_000;
/// What a listener may say that went wrong. What else can is for this side to say.
const ERRORS: [ErrorClass; 5] =
    [ErrorClass::Dns, ErrorClass::Connect, ErrorClass::Tls, ErrorClass::Timeout, ErrorClass::Http];
const DETAIL_LENGTH_MAX: usize = 500;

choice_text!(ListenerErrorText, "listener_error_text", ERRORS.map(ErrorClass::name));

/// Bytes in base64.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Base64Text(String);

impl From<String> for Base64Text {
    fn from(text: String) -> Self {
        Self(text)
    }
}

super::body::text_scalar!(Base64Text);
documented!(Base64Text, "base64", MetaSchema::new_with_format("string", "byte"));

/// Whom deliveries come to
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct BeginListening {
    /// One whose URL is `https://listener.invalid/<anything>`. It is made active
    subscription_id: String,
}

impl Wire for BeginListening {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { subscription_id: fields.take("subscription_id") }
    }
}

/// What a request came to on the listener's machine: `status` and what belongs to it, or `error`
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct AnswerListened {
    /// The request's `id`
    request_id: String,
    #[oai(validator(minimum(value = "100"), maximum(value = "599")))]
    status: Option<i64>,
    /// Of the response
    headers: Option<BTreeMap<String, String>>,
    /// Of the response: its first 16 KiB
    body_base64: Option<Base64Text>,
    /// Whether there was more of it (default false)
    body_truncated: Option<bool>,
    /// Why there is no response
    error: Option<ListenerErrorText>,
    /// The same for people
    #[oai(validator(max_length = 500))]
    error_detail: Option<String>,
    /// How long it took over there
    #[oai(validator(minimum(value = "0"), maximum(value = "60000")))]
    duration_ms: Option<i64>,
}

impl Wire for AnswerListened {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self {
            request_id: fields.take("request_id"),
            status: fields.take("status"),
            headers: fields.take("headers"),
            body_base64: fields.take("body_base64"),
            body_truncated: fields.take("body_truncated"),
            error: fields.take("error"),
            error_detail: fields.take("error_detail"),
            duration_ms: fields.take("duration_ms"),
        }
    }
}

/// Somebody who listens
#[derive(Debug, Serialize, Object)]
struct ListenerAttributes {
    subscription_id: String,
    /// It is gone when it has not fetched for so long; its subscription is then paused
    lapses_after_seconds: u64,
}

impl Attributes for ListenerAttributes {
    const TYPE: &'static str = "listener";
    const NAME: &'static str = "Listener";
    const ONE: &'static str = "The listener";
    const PAGE: &'static str = "A page of listeners";
}

/// A request as a receiver would see it, signed just now
#[derive(Debug, Serialize, Object)]
struct ListenedRequestAttributes {
    event_id: String,
    event_type: String,
    /// Of a test that is not kept, one that does not exist
    delivery_id: String,
    /// Which attempt of the delivery it is, from 1
    attempt: u16,
    /// Pairs of name and value, in the order in which they would go out
    headers: Vec<[String; 2]>,
    body_base64: Base64Text,
    /// How long its answer is still waited for
    time_left_ms: u64,
}

impl Attributes for ListenedRequestAttributes {
    const TYPE: &'static str = "listened_request";
    const NAME: &'static str = "ListenedRequest";
    const ONE: &'static str = "The request";
    const PAGE: &'static str = "What waits, oldest first";
}

/// `{"data":[…]}`: all that there is.
#[derive(Serialize)]
struct AllListened {
    data: Vec<ResourceObject<ListenedRequestAttributes>>,
}

impl Shape for AllListened {
    const DESCRIPTION: &'static str = ListenedRequestAttributes::PAGE;

    fn schema_ref() -> Option<MetaSchemaRef> {
        Some(object_schema(vec![("data", array_schema(reference(ListenedRequestAttributes::NAME)))]))
    }

    fn register(registry: &mut Registry) {
        register_object::<ListenedRequestAttributes>(registry);
    }
}

struct Fetch {
    after: u64,
    wait: Duration,
}

impl Parameters for Fetch {
    fn documented() -> Vec<Parameter> {
        let wait = MetaSchema {
            minimum: Some(0.0),
            maximum: Some(WAIT_SECONDS_MAX as f64),
            default: Some(0.into()),
            ..MetaSchema::new("integer")
        };
        vec![
            Parameter {
                name: "after",
                description: "Only what came after this request: the greatest `id` so far",
                schema: MetaSchema::new("string"),
            },
            Parameter {
                name: "wait_seconds",
                description: "When there is nothing, wait so long for something to come",
                schema: wait,
            },
        ]
    }

    fn read(query: &mut Params) -> Self {
        let seconds = |text: &str| text.parse().ok().filter(|seconds| *seconds <= WAIT_SECONDS_MAX);
        Self {
            after: query.take("after", "a request's id").unwrap_or(0),
            wait: Duration::from_secs(query.take_with("wait_seconds", WAIT_EXPECTED, seconds).unwrap_or(0)),
        }
    }
}

pub struct ListenersApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1/listeners", tag = "Tag::Listeners")]
impl ListenersApi {
    /// Begin to listen
    ///
    /// For `waxwing listen`, and programs like it. Whatever is sent to the subscription from now on waits to be fetched and
    /// answered here, each attempt for the subscription's `timeout_seconds`; what it came to is recorded like that of any
    /// other. One listens to a subscription at a time; at most 8 of one key, and 64. Who does not fetch for 10 seconds is
    /// gone: the subscription is paused, and its deliveries are held until somebody listens again.
    #[oai(path = "/", method = "post", operation_id = "listeners.create")]
    async fn create(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        body: Body<BeginListening>,
    ) -> Result<Answer<One<ListenerAttributes>, 201>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |_memory| {
            let (BeginListening { subscription_id }, mut findings) = body.read()?;
            let subscription = find_visible(&caller, &subscription_id).filter(|known| known.url.is_listener());
            if subscription.is_none() && findings.is_sound("subscription_id") {
                let expected = "the id of a subscription whose URL begins with https://listener.invalid/";
                findings.add(Rule::InvalidFormat { expected }, "/subscription_id");
            }
            findings.finish()?;
            let subscription = subscription.expect("a missing one is among the findings").id;
            let listener = ListenerId::from_u128(rand::random());
            self.app.net.listeners().begin(listener, subscription, caller.actor.id()).map_err(refused)?;
            if let Err(error) = set_active(&self.app.store, subscription, true).await {
                self.app.net.listeners().end(listener);
                return Err(error.into());
            }
            tokio::spawn(watch(self.app.clone(), listener, subscription));
            let attributes = ListenerAttributes {
                subscription_id: subscription.to_string(),
                lapses_after_seconds: LISTENER_LAPSES_AFTER.as_secs(),
            };
            Ok(Reply::json(StatusCode::CREATED, &One::new(listener.to_string(), attributes)))
        })
        .await
        .map(Into::into)
    }

    /// Fetch what is sent
    ///
    /// At most 100 requests, 4 MiB of bodies, oldest first. The same question has the same answer until they are answered
    /// or nobody waits for them any more. Values of the subscription's own headers are in it: this is its receiver.
    #[oai(path = "/:id/requests", method = "get", operation_id = "listeners.fetch")]
    async fn fetch(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        id: Path<String>,
        query: Query<Fetch>,
    ) -> Result<Answer<AllListened, 200>, Refusal> {
        let (listener, _) = self.find(&caller, &id)?;
        let Query(Fetch { after, wait }) = query;
        let found = self.app.net.listeners().fetch(listener, after, wait).await;
        let found = found.map_err(|Gone| Refusal::not_found(THING, id.as_str()))?;
        let now = Instant::now();
        let data = found.into_iter().map(|listened| object(listened, now)).collect();
        Ok(Reply::json(StatusCode::OK, &AllListened { data }).into())
    }

    /// Say what a request came to
    ///
    /// It is recorded as the outcome of the attempt, if that is still waited for. Counts against the key's quota only when it
    /// is refused.
    #[oai(path = "/:id/answers", method = "post", operation_id = "listeners.answer")]
    async fn answer(
        &self,
        caller: Caller<scope::Listening>,
        id: Path<String>,
        body: Body<AnswerListened>,
    ) -> Result<Answer<(), 204>, Refusal> {
        let answered = once(&caller, Fingerprint::Json(body.bytes()), async |_memory| {
            let (listener, _) = self.find(&caller, &id)?;
            let (wire, findings) = body.read()?;
            let (number, text, answer) = read_answer(wire, findings)?;
            let number = number.ok_or_else(|| Refusal::not_found(REQUEST, text.as_str()))?;
            let answered = self.app.net.listeners().answer(listener, number, answer);
            answered.map_err(|Gone| Refusal::not_found(REQUEST, text))?;
            Ok(Reply::empty(StatusCode::NO_CONTENT))
        })
        .await;
        if answered.is_err() {
            caller.charge_call()?;
        }
        answered.map(Into::into)
    }

    /// End listening
    ///
    /// The subscription is paused. What was sent and has no answer has failed, and is tried again when somebody listens.
    #[oai(path = "/:id", method = "delete", operation_id = "listeners.delete")]
    async fn delete(
        &self,
        caller: Caller<scope::SubscriptionsWrite>,
        id: Path<String>,
    ) -> Result<Answer<(), 204>, Refusal> {
        let (listener, subscription) = self.find(&caller, &id)?;
        end(&self.app, listener, subscription).await?;
        Ok(Reply::empty(StatusCode::NO_CONTENT).into())
    }
}

impl ListenersApi {
    /// A listener is known to who sees its subscription.
    fn find(&self, call: &Call, id: &str) -> Result<(ListenerId, SubscriptionId), Refusal> {
        let listener: Option<ListenerId> = id.parse().ok();
        let found = listener.and_then(|id| Some((id, self.app.net.listeners().subscription(id)?)));
        let found = found.filter(|(_, subscription)| find_visible(call, &subscription.to_string()).is_some());
        found.ok_or_else(|| Refusal::not_found(THING, id))
    }
}

fn refused(why: NotBegun) -> Refusal {
    let too_many =
        |max, of_what| Refusal::new(Ground::TooManyListeners { max, of_what }).retry_after(RETRY_AFTER_SECONDS);
    match why {
        NotBegun::Taken => Ground::ListenerTaken.into(),
        NotBegun::TooManyOfKey => too_many(LISTENERS_PER_KEY_MAX, "one key"),
        NotBegun::TooMany => too_many(LISTENERS_MAX, "the whole instance"),
    }
}

/// Notices that a listener went away without a word.
async fn watch(app: Arc<App>, listener: ListenerId, subscription: SubscriptionId) {
    while app.net.listeners().subscription(listener).is_some() {
        if app.net.listeners().has_lapsed(listener) {
            // A store that is closed has nothing to be told; the next start pauses everything that nobody listens to.
            _ = end(&app, listener, subscription).await;
            return;
        }
        tokio::time::sleep(LISTENER_LAPSES_AFTER / 4).await;
    }
}

/// Paused first: what would be sent in between finds nobody.
async fn end(app: &App, listener: ListenerId, subscription: SubscriptionId) -> Result<(), StoreError> {
    let paused = set_active(&app.store, subscription, false).await;
    app.net.listeners().end(listener);
    match paused {
        // It was deleted meanwhile.
        Err(StoreError::NotFound) => Ok(()),
        paused => paused,
    }
}

async fn set_active(store: &Store, subscription: SubscriptionId, is_active: bool) -> Result<(), StoreError> {
    let change = Box::new(move |subscription: &mut crate::domain::subscription::Subscription| {
        subscription.is_active = is_active;
        Ok(())
    });
    store.update_subscription(subscription, change, None).await.map(drop)
}

fn object(listened: Listened, now: Instant) -> ResourceObject<ListenedRequestAttributes> {
    let Listened { number, subject, headers, body, deadline } = listened;
    let Subject { event, event_type, delivery, attempt } = subject;
    let attributes = ListenedRequestAttributes {
        event_id: event.to_string(),
        event_type: event_type.as_str().to_owned(),
        delivery_id: delivery.to_string(),
        attempt,
        headers: headers.iter().map(|(name, value)| [name.clone(), value.clone()]).collect(),
        body_base64: Base64Text(STANDARD.encode(&body)),
        time_left_ms: u64::try_from(deadline.saturating_duration_since(now).as_millis()).unwrap_or(u64::MAX),
    };
    ResourceObject::new(number.to_string(), attributes)
}

/// The number of the request, if its id is one, and what came of it.
fn read_answer(wire: AnswerListened, mut findings: Findings) -> Result<(Option<u64>, String, ListenerAnswer), Refusal> {
    let AnswerListened { request_id, status, headers, body_base64, body_truncated, error, error_detail, duration_ms } =
        wire;
    let took = duration_ms.unwrap_or(0);
    if !(0..=TOOK_MILLIS_MAX).contains(&took) {
        findings.add(Rule::OutOfRange { min: 0, max: TOOK_MILLIS_MAX, unit: "" }, "/duration_ms");
    }
    let class = error.map(|ListenerErrorText(name)| ERRORS.into_iter().find(|class| class.name() == name));
    if class == Some(None) && findings.is_sound("error") {
        findings.add(Rule::InvalidFormat { expected: "dns, connect, tls, timeout or http" }, "/error");
    }
    if error_detail.as_ref().is_some_and(|detail| detail.chars().count() > DETAIL_LENGTH_MAX) {
        findings.add(Rule::TooLong { max: DETAIL_LENGTH_MAX }, "/error_detail");
    }
    if status.is_none() && class.is_none() && findings.is_sound("status") {
        findings.add(Rule::MissingField { name: "status".into() }, "/status");
    }
    let usable = status.and_then(|status| u16::try_from(status).ok()).filter(|status| (100..=599).contains(status));
    if status.is_some() && usable.is_none() {
        findings.add(Rule::OutOfRange { min: 100, max: 599, unit: "" }, "/status");
    }
    let body = STANDARD.decode(body_base64.unwrap_or_default().0);
    if body.is_err() {
        findings.add(Rule::InvalidFormat { expected: "bytes in base64" }, "/body_base64");
    }
    let body = Bytes::from(body.unwrap_or_default());
    findings.finish()?;
    let came = match class.flatten() {
        Some(class) => Err((class, error_detail.unwrap_or_default())),
        None => Ok(ListenerResponse {
            status: usable.expect("a missing one is among the findings"),
            headers: headers.unwrap_or_default().into_iter().collect(),
            body_truncated: body_truncated == Some(true) || body.len() > RESPONSE_BODY_BYTES_MAX,
            body,
        }),
    };
    let took = Duration::from_millis(took.unsigned_abs());
    Ok((request_id.parse().ok(), request_id, ListenerAnswer { came, took }))
}
