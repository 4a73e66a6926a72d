//! `waxwing listen`: receives deliveries on this machine, through outgoing requests to the server alone.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::client::{Refused, Server, ServerArgs};
use super::{Context, Failure, Verdict, print};
use crate::app::{Paint, Signals};
use crate::clock::Clock;
use crate::config::Args;
use crate::domain::delivery::Outcome;
use crate::domain::id::{DeliveryId, EventId, SubscriptionId};
use crate::domain::target::{LISTENER_HOST, TargetRules, TargetUrl};
use crate::net;

/// How long the server lets one question wait for something to come.
const FETCH_WAIT_SECONDS: u64 = 20;
/// Between two questions to a server that does not answer: twice as long each time, up to the last one.
const RETRY_AFTER_FIRST: Duration = Duration::from_millis(500);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(15);
/// Requests that are forwarded at once: as many as a subscription can have under way.
const IN_FLIGHT_MAX: usize = 100;
/// How often a server that says that somebody else listens is asked again: its memory of who went away lasts 10 s.
const TAKEN_TRIES_MAX: u32 = 30;

/// Receive deliveries on this machine
///
/// Makes a subscription for the time that it runs, fetches its deliveries from the server and posts them to the address:
/// the same headers, body and signature that any receiver gets. No tunnel and no open port: everything goes through
/// requests to the server. What the address answers is recorded as the attempt's outcome. Ctrl-C ends it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing listen --forward-to http://localhost:3000/webhooks --events 'order.*'
  waxwing listen --forward-to http://localhost:3000 --tenant acme --keep
  waxwing listen --forward-to http://localhost:3000 --subscription whsub_…
  WAXWING_URL=https://hooks.example.com WAXWING_API_KEY=ww_… waxwing listen --forward-to http://localhost:3000

While nobody listens, deliveries of a subscription that is kept (--keep, --subscription) are held, and come
when somebody listens again.")]
pub(super) struct Listen {
    /// Where deliveries are posted to
    #[arg(long, value_name = "URL")]
    forward_to: String,
    /// Listen to this subscription: one that an earlier `listen --keep` made, or a copy of any other
    #[arg(long, value_name = "ID", conflicts_with_all = ["events", "secret"])]
    subscription: Option<String>,
    /// Event types and patterns [default: *]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    events: Vec<String>,
    /// The signing secret, if your receiver has one already [default: a new one, which is printed]
    #[arg(long, value_name = "SECRET")]
    secret: Option<String>,
    /// The tenant, by id or external id [default: the key's own, else `default`]
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Keep the subscription that is made: what is published meanwhile is held until it is listened to again
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON: an object for the subscription, then one for each delivery
    #[arg(long)]
    json: bool,
}

/// The subscription that is listened to.
struct Heard {
    id: String,
    /// Shown by the answer that made it.
    secret: Option<String>,
    /// Whether it goes when this ends.
    is_temporary: bool,
}

/// What is asked of the server, in this tenant.
struct Desk {
    server: Server,
    tenant: Option<String>,
}

/// An object of `GET /v1/listeners/{id}/requests`.
#[derive(Debug, Clone, Deserialize)]
struct Fetched {
    id: String,
    attributes: FetchedAttributes,
}

#[derive(Debug, Clone, Deserialize)]
struct FetchedAttributes {
    event_id: String,
    event_type: String,
    delivery_id: String,
    attempt: u16,
    headers: Vec<[String; 2]>,
    body_base64: String,
    time_left_ms: u64,
}

#[derive(Deserialize)]
struct FetchedPage {
    data: Vec<Fetched>,
}

/// Why there is no next fetch.
enum Lost {
    /// The server knows the listener no more: it was started anew, or heard nothing for too long.
    Forgotten,
    /// It cannot be reached, or cannot answer now.
    Unreachable(String),
    /// Somebody else listens to the subscription.
    Taken(Failure),
    /// It will not answer, however often it is asked.
    Refused(Failure),
}

impl Listen {
    pub(super) fn run(self, context: &Context) -> Result<Verdict, Failure> {
        let runtime = tokio::runtime::Runtime::new()
            .map_err(|error| Failure::Failed(format!("no threads can be started: {error}")))?;
        let ended = runtime.block_on(self.listen(context));
        // A question that the server lets wait is not waited for.
        runtime.shutdown_background();
        ended
    }

    async fn listen(self, context: &Context) -> Result<Verdict, Failure> {
        let Self { forward_to, subscription, events, secret, tenant, keep, server, json } = self;
        let forward = Arc::new(Forward::to(&forward_to)?);
        let config = context.config(&Args::default())?;
        let desk = Arc::new(Desk { server: Server::find(&server, context, &config)?, tenant });
        let mut signals = Signals::watch().map_err(|error| Failure::Failed(format!("no signals: {error}")))?;

        let begun = Arc::clone(&desk);
        let heard = blocking(move || begun.provide(subscription.as_deref(), events, secret, keep)).await?;
        let out = Out { is_json: json, paint: Paint::for_stdout() };
        let id = heard.id.clone();
        let listening = Listening { desk: Arc::clone(&desk), forward, out, id };
        let mut listener = None;
        let ended = tokio::select! {
            ended = listening.go_on(&heard, &forward_to, &mut listener) => ended.map(|never| match never {}),
            () = signals.next() => Ok(Verdict::Good),
        };
        let farewell = blocking(move || desk.leave(listener, &heard, json)).await;
        ended.and_then(|verdict| farewell.map(|()| verdict))
    }
}

/// Runs what waits for the server on a thread that may wait.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    spawn_blocking(work).await.unwrap_or_else(|failure| Err(Failure::Failed(failure.to_string())))
}

impl Desk {
    fn get(&self, path: &str) -> Result<Result<Value, Refused>, Failure> {
        Ok(self.server.try_get(path, self.tenant.as_deref())?.map(|answer| answer.body))
    }

    fn post(&self, path: &str, body: &Value) -> Result<Result<Value, Refused>, Failure> {
        Ok(self.server.try_post(path, &body.to_string(), self.tenant.as_deref())?.map(|answer| answer.body))
    }

    /// The subscription that was named, a copy of it, or a new one.
    fn provide(
        &self,
        named: Option<&str>,
        events: Vec<String>,
        secret: Option<String>,
        keep: bool,
    ) -> Result<Heard, Failure> {
        let events = if events.is_empty() { vec!["*".to_owned()] } else { events };
        let mut new = json!({ "events": events });
        if let Some(id) = named {
            let known = self.get(&format!("/v1/webhook-subscriptions/{id}"))??;
            let attributes = &known["data"]["attributes"];
            let url = attributes["url"].as_str().unwrap_or_default();
            if TargetUrl::from_stored(url).is_some_and(|url| url.is_listener()) {
                return Ok(Heard { id: id.to_owned(), secret: None, is_temporary: false });
            }
            // What it gets, and how that looks. Its headers are for its own receiver, and nobody is shown them.
            new = json!({});
            for name in COPIED {
                new[name] = attributes[name].clone();
            }
        }
        if let Some(secret) = secret {
            new["secret"] = json!(secret);
        }
        new["url"] = json!(format!("https://{LISTENER_HOST}/{}", host_name()));
        new["description"] = json!("waxwing listen");
        // Whoever writes a receiver lets it fail often.
        new["circuit_breaker"] = json!(false);
        // The first deliveries are to find somebody.
        new["is_active"] = json!(false);
        let made = self.post("/v1/webhook-subscriptions", &new)??;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let id = text(&made["data"]["id"]).ok_or_else(|| not_ours("no id of a subscription"))?;
        Ok(Heard { id, secret: text(&made["data"]["attributes"]["secret"]), is_temporary: !keep })
    }

    fn begin(&self, subscription: &str) -> Result<String, Lost> {
        let body = json!({ "subscription_id": subscription });
        let begun = self.post("/v1/listeners", &body).map_err(unreachable)?.map_err(Lost::of)?;
        let id = begun["data"]["id"].as_str().map(str::to_owned);
        id.ok_or_else(|| Lost::Refused(not_ours("no id of a listener")))
    }

    fn fetch(&self, listener: &str, after: &str) -> Result<Vec<Fetched>, Lost> {
        let path = format!("/v1/listeners/{listener}/requests?after={after}&wait_seconds={FETCH_WAIT_SECONDS}");
        let fetched = self.get(&path).map_err(unreachable)?.map_err(Lost::of)?;
        let page: FetchedPage = serde_json::from_value(fetched)
            .map_err(|error| Lost::Refused(not_ours(&format!("what it sends is no list of requests: {error}"))))?;
        Ok(page.data)
    }

    /// The subscription goes, or is paused until somebody listens again.
    fn leave(&self, listener: Option<String>, heard: &Heard, is_json: bool) -> Result<(), Failure> {
        let tenant = self.tenant.as_deref();
        if heard.is_temporary {
            self.server.try_delete(&format!("/v1/webhook-subscriptions/{}", heard.id), tenant)??;
        }
        if let Some(listener) = listener {
            // It may be gone already, with its subscription or the server's memory of it.
            _ = self.server.try_delete(&format!("/v1/listeners/{listener}"), tenant)?;
        }
        if !heard.is_temporary && !is_json {
            print(&format!("Deliveries are held now; go on with --subscription {}", heard.id))?;
        }
        Ok(())
    }
}

/// What a copy of a subscription has of it.
const COPIED: [&str; 7] = ["events", "channels", "profile", "envelope", "api_version", "retry_schedule", "ordering"];

fn not_ours(what: &str) -> Failure {
    Failure::Failed(format!("the server does not answer like a Waxwing server: {what}"))
}

fn unreachable(failure: Failure) -> Lost {
    match failure {
        Failure::Failed(why) => Lost::Unreachable(why),
        failure @ (Failure::Usage(_) | Failure::OutputClosed) => Lost::Refused(failure),
    }
}

impl Lost {
    fn of(refused: Refused) -> Self {
        match refused.status {
            404 => Self::Forgotten,
            409 => Self::Taken(refused.into()),
            429 | 500.. => Self::Unreachable(format!("the server answers {}", refused.status)),
            _ => Self::Refused(refused.into()),
        }
    }
}

/// The name of this machine, as far as a path can hold it: so that people know whose subscription it is.
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    name.chars().filter(|character| character.is_ascii_alphanumeric() || *character == '-').collect()
}

struct Listening {
    desk: Arc<Desk>,
    forward: Arc<Forward>,
    out: Out,
    id: String,
}

enum Never {}

impl Listening {
    /// Listens until it cannot any more, and begins again after each time that the server was away. `listener` is the
    /// current one.
    async fn go_on(&self, heard: &Heard, to: &str, listener: &mut Option<String>) -> Result<Never, Failure> {
        let slots = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        let (mut after, mut wait, mut has_begun, mut taken) = ("0".to_owned(), RETRY_AFTER_FIRST, false, 0);
        loop {
            let desk = Arc::clone(&self.desk);
            let lost = match listener.clone() {
                None => {
                    let id = self.id.clone();
                    let begun = asked(move || desk.begin(&id)).await;
                    match begun {
                        Ok(id) => {
                            *listener = Some(id);
                            "0".clone_into(&mut after);
                            (wait, taken) = (RETRY_AFTER_FIRST, 0);
                            self.out.begun(heard, to, has_begun)?;
                            has_begun = true;
                            continue;
                        }
                        Err(lost) => lost,
                    }
                }
                Some(id) => {
                    let question = after.clone();
                    match asked(move || desk.fetch(&id, &question)).await {
                        Ok(fetched) => {
                            wait = RETRY_AFTER_FIRST;
                            if let Some(last) = fetched.last() {
                                after.clone_from(&last.id);
                            }
                            let id = listener.clone().unwrap_or_default();
                            for fetched in fetched {
                                self.forward(fetched, &id, &slots).await;
                            }
                            continue;
                        }
                        Err(lost) => lost,
                    }
                }
            };
            match lost {
                Lost::Forgotten if listener.take().is_some() => continue,
                // There is no such subscription.
                Lost::Forgotten => return Err(Failure::Failed(format!("{} was deleted", self.id))),
                Lost::Taken(failure) if taken >= TAKEN_TRIES_MAX => return Err(failure),
                Lost::Taken(_) => {
                    if taken == 0 {
                        self.out.note("somebody else listens to it; waiting");
                    }
                    taken += 1;
                }
                Lost::Refused(failure) => return Err(failure),
                Lost::Unreachable(why) => {
                    if wait == RETRY_AFTER_FIRST {
                        self.out.note(&format!("{why}; trying again"));
                    }
                }
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_AFTER_MAX);
        }
    }

    /// Posts it, says what came, and tells the server: all of it beside the others.
    async fn forward(&self, fetched: Fetched, listener: &str, slots: &Arc<Semaphore>) {
        let slot = Arc::clone(slots).acquire_owned().await;
        let (desk, forward, out, listener) =
            (Arc::clone(&self.desk), Arc::clone(&self.forward), self.out, listener.to_owned());
        tokio::spawn(async move {
            let exchange = forward.post(&fetched).await;
            let answer = answer_of(&fetched, &exchange);
            let told = asked(move || {
                let path = format!("/v1/listeners/{listener}/answers");
                desk.post(&path, &answer).map_err(unreachable)?.map_err(Lost::of)
            });
            let is_told = told.await.is_ok();
            // Who reads no more ends this with Ctrl-C.
            _ = out.delivered(&fetched, &exchange, is_told);
            drop(slot);
        });
    }
}

async fn asked<T: Send + 'static>(question: impl FnOnce() -> Result<T, Lost> + Send + 'static) -> Result<T, Lost> {
    spawn_blocking(question).await.unwrap_or_else(|failure| Err(Lost::Unreachable(failure.to_string())))
}

/// Posts to the developer's receiver, by the same program that delivers: what it sends and how it fails is alike.
struct Forward {
    client: net::Client,
    url: TargetUrl,
}

impl Forward {
    fn to(url: &str) -> Result<Self, Failure> {
        // The person at this machine decides where deliveries go on it.
        let anywhere = ["0.0.0.0/0", "::/0"].map(|range| range.parse::<IpNet>().expect("a constant range is valid"));
        let rules = TargetRules { allow_http: true, allowed_ranges: anywhere.to_vec(), ..TargetRules::default() };
        let url = TargetUrl::parse(url, &rules).map_err(|rule| {
            Failure::Usage(format!(
                "--forward-to: `{url}` cannot be posted to ({}); write it like http://localhost:3000/webhooks",
                rule.code()
            ))
        })?;
        let failed = |error: &dyn std::fmt::Display| Failure::Failed(format!("nothing can be posted: {error}"));
        let resolver = net::Resolver::system().map_err(|error| failed(&error))?;
        let client = net::Client::new(net::Options::new(rules, resolver)).map_err(|error| failed(&error))?;
        Ok(Self { client, url })
    }

    async fn post(&self, fetched: &Fetched) -> net::Exchange {
        let FetchedAttributes { event_id, event_type, delivery_id, attempt, headers, body_base64, time_left_ms } =
            fetched.attributes.clone();
        let nothing = u128::default();
        let subject = net::Subject {
            event: event_id.parse().unwrap_or(EventId::from_u128(nothing)),
            event_type: event_type.parse().unwrap_or_else(|_| "unknown".parse().expect("it is a name")),
            delivery: delivery_id.parse().unwrap_or(DeliveryId::from_u128(nothing)),
            attempt,
        };
        let request = net::Request {
            url: self.url.clone(),
            headers: headers.into_iter().map(|[name, value]| (name.into(), value)).collect(),
            secret_headers: Default::default(),
            body: Bytes::from(STANDARD.decode(body_base64).unwrap_or_default()),
            timeout: Duration::from_millis(time_left_ms),
            identity: SubscriptionId::from_u128(nothing),
            subject,
        };
        self.client.send(request).await
    }
}

/// The body of `POST /v1/listeners/{id}/answers`.
fn answer_of(fetched: &Fetched, exchange: &net::Exchange) -> Value {
    let net::Exchange { outcome, phases, response, remote_address: _, request_headers: _ } = exchange;
    let took = u64::try_from(phases.total.as_millis()).unwrap_or(u64::MAX);
    let mut answer = json!({ "request_id": fetched.id, "duration_ms": took });
    match (outcome, response) {
        (Outcome::Error { class, detail }, _) => {
            answer["error"] = json!(match class.name() {
                // This machine refuses to post there: nothing that the server did.
                "blocked_address" => "connect",
                name => name,
            });
            answer["error_detail"] = json!(detail.chars().take(500).collect::<String>());
        }
        (Outcome::Success | Outcome::Status(_), response) => {
            let Some(response) = response else { return answer };
            let headers: std::collections::BTreeMap<_, _> = response.headers.iter().cloned().collect();
            answer["status"] = json!(response.status);
            answer["headers"] = json!(headers);
            answer["body_base64"] = json!(STANDARD.encode(&response.body));
            answer["body_truncated"] = json!(response.body_truncated);
        }
    }
    answer
}

/// What is printed.
#[derive(Clone, Copy)]
struct Out {
    is_json: bool,
    paint: Paint,
}

impl Out {
    fn begun(self, heard: &Heard, to: &str, is_again: bool) -> Result<(), Failure> {
        let Heard { id, secret, is_temporary } = heard;
        if self.is_json {
            return if is_again {
                Ok(())
            } else {
                print(&json!({ "subscription_id": id, "secret": secret, "is_temporary": is_temporary }).to_string())
            };
        }
        if is_again {
            return print("Listening again");
        }
        print(&format!("Listening to {id}, forwarding to {to}. Ctrl-C ends it."))?;
        match secret.as_deref().map(|secret| Zeroizing::new(secret.to_owned())) {
            Some(secret) => print(&format!("Its signing secret: {}\n", *secret)),
            None => print("Its signing secret was shown when it was made.\n"),
        }
    }

    fn delivered(self, fetched: &Fetched, exchange: &net::Exchange, is_told: bool) -> Result<(), Failure> {
        let FetchedAttributes { event_id, event_type, delivery_id, attempt, .. } = &fetched.attributes;
        let at = Clock::System.now().to_string();
        let millis = exchange.phases.total.as_secs_f64() * 1000.0;
        let status = exchange.response.as_ref().map(|response| response.status);
        let error = match &exchange.outcome {
            Outcome::Error { class, detail } => Some((class.name(), detail.as_str())),
            Outcome::Success | Outcome::Status(_) => None,
        };
        if self.is_json {
            let line = json!({
                "at": at,
                "event_type": event_type,
                "event_id": event_id,
                "delivery_id": delivery_id,
                "attempt": attempt,
                "status": status,
                "error": error.map(|(class, _)| class),
                "error_detail": error.map(|(_, detail)| detail),
                "duration_ms": (millis * 10.0).round() / 10.0,
                "recorded": is_told,
            });
            return print(&line.to_string());
        }
        let time = at.get(11..19).unwrap_or(&at);
        let came = match (error, status) {
            (Some((class, detail)), _) => self.paint.red(&format!("{class}: {detail}")),
            (None, Some(status @ 200..=299)) => self.paint.green(&status.to_string()),
            (None, status) => self.paint.red(&status.unwrap_or_default().to_string()),
        };
        let late = if is_told { "" } else { "  (too late: the server does not wait for it any more)" };
        let again = if *attempt > 1 { format!("  attempt {attempt}") } else { String::new() };
        print(&format!("{time}  {event_type}  {event_id}  {came}  {millis:.0} ms{again}{late}"))
    }

    /// Beside what is printed.
    fn note(self, text: &str) {
        eprintln!("note: {text}");
    }
}
