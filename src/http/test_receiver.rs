//! `/v1/test-receiver`: what came to `https://test-receiver.invalid/<id>`, and what is answered there. For the operator.

use std::sync::Arc;

use poem::http::StatusCode;
use poem_openapi::param::Path;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::auth::{Caller, OfInstance, scope};
use super::body::{Body, Fields, Wire, required_fields};
use super::page::{Cursor, CursorId, Listed, Numbered, Parameter, Parameters, Params, Query, Walked, text_parameter};
use super::problem::{Ground, Refusal};
use super::reply::{Answer, Attributes, Object as ResourceObject, One, Reply};
use super::subscriptions::ProfileName;
use super::value::{Nullable, Time, choice, choice_text};
use super::{App, Tag};
use crate::domain::obstacle::Limited;
use crate::domain::profile::verify::verify_any;
use crate::domain::target::TEST_RECEIVER_HOST;
use crate::domain::violation::Rule;
use crate::net::{Behaviour, Received, Receiver, SWITCHES_MAX, TooManyReceivers};
use crate::store::{self, Catalogue};

choice!(BehaviourName, "test_receiver_behaviour", Behaviour::ALL.map(Behaviour::name));
choice_text!(BehaviourText, "test_receiver_behaviour_text", Behaviour::ALL.map(Behaviour::name));
required_fields!(BehaviourText);

/// A request that came to the test receiver
#[derive(Debug, Serialize, Object)]
struct ReceivedRequestAttributes {
    /// The path of the URL without its first slash
    receiver: String,
    received_at: Time,
    url: String,
    /// Pairs of name and value. Values of a subscription's own headers are `***`
    headers: Vec<[String; 2]>,
    /// As text; bytes that are none are replaced
    body: String,
    signature: SignatureView,
    /// Null: it was left to wait
    response_status: Nullable<u16>,
}

/// Whether the request is what its subscription signs
#[derive(Debug, Serialize, Object)]
#[oai(rename = "SignatureVerdict")]
struct SignatureView {
    /// Null: it cannot be known any more
    is_valid: Nullable<bool>,
    /// Of the subscription; null when that is gone
    profile: Nullable<ProfileName>,
    /// What is wrong, or cannot be known; null when it is valid
    detail: Nullable<String>,
}

impl Attributes for ReceivedRequestAttributes {
    const TYPE: &'static str = "received_request";
    const NAME: &'static str = "ReceivedRequest";
    const ONE: &'static str = "The request";
    const PAGE: &'static str = "A page of requests, newest first";
}

/// A receiver, as it stands
#[derive(Debug, Serialize, Object)]
struct TestReceiverAttributes {
    /// What subscriptions to it have as their URL
    url: String,
    /// `accept`: 200; `fail`: 500; `hang`: nothing, until the sender's time is over; `gone`: 410, which disables the
    /// subscription; `slow_down`: 429 with `Retry-After: 30`
    behaviour: BehaviourName,
    /// Requests that are kept of it: at most 100
    requests_count: usize,
    last_received_at: Nullable<Time>,
}

impl Attributes for TestReceiverAttributes {
    const TYPE: &'static str = "test_receiver";
    const NAME: &'static str = "TestReceiver";
    const ONE: &'static str = "The receiver";
    const PAGE: &'static str = "A page of receivers";
}

/// How the receiver answers from now on
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct SwitchTestReceiver {
    behaviour: BehaviourText,
}

impl Wire for SwitchTestReceiver {
    const IS_BODY_REQUIRED: bool = true;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { behaviour: fields.take("behaviour") }
    }
}

/// The number of a request among all that came.
#[derive(Debug, Clone, Copy)]
struct Sequence(u64);

impl CursorId for Sequence {
    fn from_u128(value: u128) -> Self {
        Self(u64::try_from(value).unwrap_or(u64::MAX))
    }

    fn as_u128(self) -> u128 {
        self.0.into()
    }
}

struct RequestList {
    cursor: Cursor<Sequence>,
    receiver: Option<String>,
}

impl Parameters for RequestList {
    fn documented() -> Vec<Parameter> {
        let mut parameters = Cursor::<Sequence>::documented();
        parameters.push(text_parameter("filter[receiver]", "Only those that came to this receiver"));
        parameters
    }

    fn read(query: &mut Params) -> Self {
        Self { cursor: Cursor::read(query), receiver: query.take("filter[receiver]", "a text") }
    }
}

struct ReceiverList(Numbered);

impl Parameters for ReceiverList {
    fn documented() -> Vec<Parameter> {
        Numbered::documented()
    }

    fn read(query: &mut Params) -> Self {
        Self(Numbered::read(query))
    }
}

pub struct TestReceiverApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1/test-receiver", tag = "Tag::TestReceiver")]
impl TestReceiverApi {
    /// List what came to the test receiver
    ///
    /// Newest first. At most 100 requests are kept of each receiver, 32 MiB of all, and none across a restart.
    #[oai(path = "/requests", method = "get", operation_id = "test_receiver.list_requests")]
    async fn list_requests(
        &self,
        caller: Caller<OfInstance<scope::DeliveriesRead>>,
        query: Query<RequestList>,
    ) -> Result<Answer<Walked<ReceivedRequestAttributes>, 200>, Refusal> {
        let Query(RequestList { cursor, receiver }) = query;
        let (range, from_oldest) = match cursor.walk.from {
            store::From::Newest => (0..u64::MAX, false),
            store::From::After(Sequence(newer)) => (0..newer, false),
            store::From::Before(Sequence(older)) => (older.saturating_add(1)..u64::MAX, true),
        };
        // One more than a page shows whether there is another.
        let asked = cursor.walk.size + 1;
        let mut found = self.app.net.test_receiver().requests(receiver.as_deref(), range, from_oldest, asked);
        let has_more = found.len() == asked;
        found.truncate(cursor.walk.size);
        if from_oldest {
            found.reverse();
        }
        let ends = found.last().zip(found.first()).map(|(oldest, newest)| (oldest.at_sequence, newest.at_sequence));
        let (has_older, has_newer) = match cursor.walk.from {
            store::From::Newest => (has_more, false),
            store::From::After(_) => (has_more, true),
            store::From::Before(_) => (true, has_more),
        };
        let next = ends.filter(|_| has_older).map(|(oldest, _)| Sequence(oldest));
        let previous = ends.filter(|_| has_newer).map(|(_, newest)| Sequence(newest));
        let rows = found.iter().map(|received| {
            ResourceObject::new(received.at_sequence.to_string(), request_attributes(received, &caller.catalogue))
        });
        Ok(Reply::json(StatusCode::OK, &cursor.list(&caller, rows.collect(), next, previous)).into())
    }

    /// List the receivers
    ///
    /// Those that something came to, and those that do not just accept. By the last request unless asked otherwise.
    #[oai(path = "/receivers", method = "get", operation_id = "test_receiver.list")]
    async fn list(
        &self,
        caller: Caller<OfInstance<scope::DeliveriesRead>>,
        query: Query<ReceiverList>,
    ) -> Result<Answer<Listed<TestReceiverAttributes>, 200>, Refusal> {
        let mut all = self.app.net.test_receiver().receivers();
        all.sort_by_key(|receiver| receiver.last_received_at);
        Ok(Reply::json(StatusCode::OK, &query.0.0.cut(&caller, all, object)).into())
    }

    /// Get a receiver
    ///
    /// Every id is one, also when nothing came to it yet.
    #[oai(path = "/receivers/:id", method = "get", operation_id = "test_receiver.get")]
    async fn get(
        &self,
        _caller: Caller<OfInstance<scope::DeliveriesRead>>,
        id: Path<String>,
    ) -> Result<Answer<One<TestReceiverAttributes>, 200>, Refusal> {
        Ok(answer(self.app.net.test_receiver().receiver(&id)).into())
    }

    /// Change how a receiver answers
    ///
    /// From the next request on, until a restart. At most 1,000 receivers do something else than to accept.
    #[oai(path = "/receivers/:id", method = "put", operation_id = "test_receiver.put")]
    async fn put(
        &self,
        _caller: Caller<OfInstance<scope::SubscriptionsWrite>>,
        id: Path<String>,
        body: Body<SwitchTestReceiver>,
    ) -> Result<Answer<One<TestReceiverAttributes>, 200>, Refusal> {
        let (SwitchTestReceiver { behaviour: BehaviourText(name) }, mut findings) = body.read()?;
        let behaviour = Behaviour::from_name(&name);
        if behaviour.is_none() && findings.is_sound("behaviour") {
            let expected = "accept, fail, hang, gone or slow_down";
            findings.add(Rule::InvalidFormat { expected }, "/behaviour");
        }
        findings.finish()?;
        let switched = self.app.net.test_receiver().behave(&id, behaviour.unwrap_or_default());
        let receiver = switched
            .map_err(|TooManyReceivers| Ground::LimitExceeded { max: SWITCHES_MAX, of_what: Limited::TestReceivers })?;
        Ok(answer(receiver).into())
    }

    /// Forget a receiver
    ///
    /// What came to it, and how it answered: it accepts again.
    #[oai(path = "/receivers/:id", method = "delete", operation_id = "test_receiver.delete")]
    async fn delete(
        &self,
        _caller: Caller<OfInstance<scope::SubscriptionsWrite>>,
        id: Path<String>,
    ) -> Result<Answer<(), 204>, Refusal> {
        self.app.net.test_receiver().forget(&id);
        Ok(Reply::empty(StatusCode::NO_CONTENT).into())
    }
}

fn object(receiver: Receiver) -> ResourceObject<TestReceiverAttributes> {
    let Receiver { id, behaviour, requests, last_received_at } = receiver;
    let attributes = TestReceiverAttributes {
        url: format!("https://{TEST_RECEIVER_HOST}/{id}"),
        behaviour: BehaviourName(behaviour.name()),
        requests_count: requests,
        last_received_at: last_received_at.map(Time).into(),
    };
    ResourceObject::new(&*id, attributes)
}

fn answer(receiver: Receiver) -> Reply {
    Reply::json(StatusCode::OK, &One { data: object(receiver) })
}

fn request_attributes(received: &Received, catalogue: &Catalogue) -> ReceivedRequestAttributes {
    let Received { id, at_sequence: _, received_at, subscription: _, url, headers, body, response_status } = received;
    ReceivedRequestAttributes {
        receiver: id.to_string(),
        received_at: Time(*received_at),
        url: url.to_string(),
        headers: headers.iter().map(|(name, value)| [name.clone(), value.clone()]).collect(),
        body: String::from_utf8_lossy(body).into_owned(),
        signature: verdict(received, catalogue),
        response_status: (*response_status).into(),
    }
}

/// Judges with what signs today, as of the moment when the request came.
fn verdict(received: &Received, catalogue: &Catalogue) -> SignatureView {
    let view = |is_valid: Option<bool>, profile: Option<&'static str>, detail: Option<String>| SignatureView {
        is_valid: is_valid.into(),
        profile: profile.map(ProfileName).into(),
        detail: detail.into(),
    };
    let subscription = catalogue.subscription(received.subscription);
    let known = subscription.and_then(|subscription| Some((subscription, catalogue.tenant(subscription.tenant)?)));
    let Some((subscription, entry)) = known else {
        return view(None, None, Some("its subscription was deleted".to_owned()));
    };
    let profile = Some(subscription.profile.name());
    let header = |name: &str| received.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    match verify_any(subscription, &entry.tenant, header, &received.body, received.received_at) {
        Ok(()) => view(Some(true), profile, None),
        Err(_) if subscription.updated_at.max(entry.tenant.updated_at) > received.received_at => {
            view(None, profile, Some("its subscription or tenant was changed since".to_owned()))
        }
        Err(mismatch) => view(Some(false), profile, Some(mismatch.to_string())),
    }
}
