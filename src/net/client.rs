//! The client: one request to one target, within one deadline.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use http_body_util::Full;
use rustls::pki_types::CertificateDer;
use tokio::time::{Instant, timeout, timeout_at};
use url::Position;

use super::connection::{Connection, Http2, Http2Request, connect};
use super::failure::Failure;
use super::guard::{Refusal, Vetted, vetted_addresses};
use super::http1::{HEADERS_MAX, Http1, Outgoing};
use super::listeners::{ListenerAnswer, Listeners};
use super::pace::Pace;
use super::pool::{Destination, Limits, Pool};
use super::resolver::Resolver;
use super::response::{Head, Kept, kept_headers, read_body};
use super::test_receiver::{Came, TestReceiver, TestReply};
use super::tls::Tls;
use crate::clock::Clock;
use crate::domain::delivery::{ErrorClass, Outcome, Phases, Response};
use crate::domain::event_type::EventTypeName;
use crate::domain::header::{CustomHeaders, LOOP_HEADER, MASK};
use crate::domain::id::{DeliveryId, EventId, SubscriptionId};
use crate::domain::target::{Forbidden, TargetRules, TargetUrl};

/// Addresses of one answer that are connected to before the attempt has failed.
const ADDRESSES_TRIED_MAX: usize = 2;
/// How long the check at create and update waits for the name (contract 8).
const VETTING_TIME_MAX: Duration = Duration::from_secs(2);
/// A receiver that has begun to answer goes on with [`super::pace::PROGRESS_BYTES_MIN`] in each such time, or is left.
const PROGRESS_TIME_MAX: Duration = Duration::from_secs(5);

pub struct Options {
    pub rules: TargetRules,
    pub resolver: Resolver,
    /// Trusted besides the roots of Mozilla and of this machine.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Open connections without a request, over all targets.
    pub connections_idle_max: usize,
    pub connections_idle_per_target_max: usize,
    /// After this time without a request a connection is closed.
    pub idle_time_max: Duration,
    /// How long a receiver that has begun to answer may take for the next kilobyte.
    pub progress_time_max: Duration,
    /// Tells when something came to the test receiver.
    pub clock: Clock,
}

impl Options {
    pub fn new(rules: TargetRules, resolver: Resolver) -> Self {
        Self {
            rules,
            resolver,
            extra_roots: Vec::new(),
            connections_idle_max: 1_024,
            // Half of all: many subscriptions may point to one host, as to a platform that runs the receivers of others.
            // With fewer than they use at once, a part of the requests opens a connection only to close it.
            connections_idle_per_target_max: 512,
            idle_time_max: Duration::from_secs(30),
            progress_time_max: PROGRESS_TIME_MAX,
            clock: Clock::System,
        }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("a root certificate cannot be used: {0}")]
    Root(#[from] rustls::Error),
}

/// One attempt to deliver.
#[derive(Debug, Clone)]
pub struct Request {
    pub url: TargetUrl,
    /// Without `host` and `content-length`, which follow from the URL and the body.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// Sent after `headers`; what is recorded shows each value as `***`.
    pub secret_headers: CustomHeaders,
    pub body: Bytes,
    /// For everything together: name, connection, TLS, request, response.
    pub timeout: Duration,
    /// Whose delivery it is, for the log.
    pub identity: SubscriptionId,
    pub subject: Subject,
}

/// What an attempt is about: a listener shows it to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub event: EventId,
    pub event_type: EventTypeName,
    pub delivery: DeliveryId,
    /// From 1.
    pub attempt: u16,
}

/// What an attempt came to, and what is known of it.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub outcome: Outcome,
    pub phases: Phases,
    pub response: Option<Response>,
    /// The address that was connected to, or tried last.
    pub remote_address: Option<SocketAddr>,
    /// What went out, `host` and `content-length` included.
    pub request_headers: Vec<(String, String)>,
}

/// Sends. Clones share connections and everything else.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    rules: TargetRules,
    resolver: Resolver,
    tls: Tls,
    pool: Pool,
    test_receiver: TestReceiver,
    listeners: Listeners,
    progress_time_max: Duration,
    /// What this process calls itself in [`LOOP_HEADER`].
    sender: String,
    clock: Clock,
}

impl Client {
    pub fn new(options: Options) -> Result<Self, StartError> {
        let Options {
            rules,
            resolver,
            extra_roots,
            connections_idle_max,
            connections_idle_per_target_max,
            idle_time_max,
            progress_time_max,
            clock,
        } = options;
        let limits = Limits { connections_idle_max, connections_idle_per_target_max, idle_time_max };
        Ok(Self(Arc::new(Shared {
            rules,
            resolver,
            tls: Tls::new(extra_roots)?,
            pool: Pool::new(limits),
            test_receiver: TestReceiver::default(),
            listeners: Listeners::default(),
            progress_time_max,
            // Nobody can tell from it whose it is, and nobody else has it.
            sender: format!("{:016x}", rand::random::<u64>()),
            clock,
        })))
    }

    /// Whether a request with this value of [`LOOP_HEADER`] was sent by this process.
    pub fn is_sender(&self, value: &[u8]) -> bool {
        value == self.0.sender.as_bytes()
    }

    /// Posts, once. Never fails: what went wrong is in the [`Exchange`].
    pub async fn send(&self, mut request: Request) -> Exchange {
        let started = Instant::now();
        let mut exchange = Exchange {
            outcome: Outcome::Success,
            phases: Phases::default(),
            response: None,
            remote_address: None,
            request_headers: request_headers(&mut request),
        };
        if request.url.is_test_receiver() {
            self.send_to_test_receiver(request, &mut exchange).await;
        } else if request.url.is_listener() {
            self.send_to_listener(request, started, &mut exchange).await;
        } else {
            // Before the secret ones, which come last.
            let place = exchange.request_headers.len() - request.secret_headers.len();
            exchange.request_headers.insert(place, (LOOP_HEADER.to_owned(), self.0.sender.clone()));
            let deadline = started + request.timeout;
            match self.exchange(&request, deadline, &mut exchange).await {
                Ok(response) => {
                    exchange.outcome = match response.status {
                        200..300 => Outcome::Success,
                        status => Outcome::Status(status),
                    };
                    exchange.response = Some(response);
                }
                Err(failure) => {
                    tracing::debug!(subscription = %request.identity, class = failure.class.name(), detail = failure.detail, "an attempt failed");
                    exchange.outcome = failure.into();
                }
            }
        }
        exchange.phases.total = started.elapsed();
        exchange
    }

    /// The check at create and update: resolves for at most 2 s. A name that does not resolve passes, for it may do so
    /// later; an answer that holds a forbidden address does not.
    pub async fn vet(&self, url: &TargetUrl) -> Result<(), Forbidden> {
        if url.is_test_receiver() || url.is_listener() {
            return Ok(());
        }
        match timeout(VETTING_TIME_MAX, vetted_addresses(url, &self.0.rules, &self.0.resolver)).await {
            Ok(Err(Refusal::Forbidden(forbidden))) => Err(forbidden),
            Ok(Ok(_) | Err(Refusal::Unresolved(_))) | Err(_) => Ok(()),
        }
    }

    pub fn test_receiver(&self) -> &TestReceiver {
        &self.0.test_receiver
    }

    pub fn listeners(&self) -> &Listeners {
        &self.0.listeners
    }

    async fn exchange(
        &self,
        request: &Request,
        deadline: Instant,
        exchange: &mut Exchange,
    ) -> Result<Response, Failure> {
        let addresses = self.resolve(&request.url, deadline, &mut exchange.phases).await?;
        let host = request.url.as_url().host_str().unwrap_or_default();
        let mut destination =
            Destination { is_https: request.url.is_https(), host: host.into(), address: addresses[0] };

        if let Some(connection) = self.reused(&mut destination, &addresses).await {
            exchange.remote_address = Some(destination.address.address());
            match self.post(request, connection, &destination, true, deadline, exchange).await {
                Ok(response) => return Ok(response),
                Err(Trouble::Final(failure)) => return Err(failure),
                // The peer closed it while it lay in the pool. That is not the receiver's failure.
                Err(Trouble::Stale) => {}
            }
        }
        let connection = self.connected(&mut destination, &addresses, deadline, exchange).await?;
        if let Connection::Http2(http2) = &connection {
            self.0.pool.put(destination.clone(), Connection::Http2(http2.clone()));
        }
        match self.post(request, connection, &destination, false, deadline, exchange).await {
            Ok(response) => Ok(response),
            Err(Trouble::Final(failure)) => Err(failure),
            Err(Trouble::Stale) => unreachable!("a connection that was not reused is not stale"),
        }
    }

    async fn resolve(&self, url: &TargetUrl, deadline: Instant, phases: &mut Phases) -> Result<Vec<Vetted>, Failure> {
        // The rules may be stricter than when the URL was stored.
        url.check(&self.0.rules).map_err(|rule| {
            Failure::new(ErrorClass::BlockedAddress, format!("the URL is not allowed here ({})", rule.code()))
        })?;
        let started = Instant::now();
        let resolved = timeout_at(deadline, vetted_addresses(url, &self.0.rules, &self.0.resolver)).await;
        if matches!(url.host(), url::Host::Domain(_)) {
            phases.dns = Some(started.elapsed());
        }
        resolved.map_err(|_| Failure::timeout("resolving the name"))?.map_err(|refusal| match refusal {
            Refusal::Forbidden(forbidden) => Failure::new(ErrorClass::BlockedAddress, forbidden.to_string()),
            Refusal::Unresolved(unresolved) => Failure::new(ErrorClass::Dns, unresolved.to_string()),
        })
    }

    /// An open connection to any of the addresses.
    async fn reused(&self, destination: &mut Destination, addresses: &[Vetted]) -> Option<Connection> {
        for &address in addresses {
            destination.address = address;
            while let Some(connection) = self.0.pool.take(destination) {
                match connection {
                    Connection::Http1(mut http1) => {
                        if http1.is_quiet().await {
                            return Some(Connection::Http1(http1));
                        }
                    }
                    Connection::Http2(http2) if http2.is_closed() => self.0.pool.forget_http2(destination),
                    Connection::Http2(http2) => return Some(Connection::Http2(http2)),
                }
            }
        }
        None
    }

    async fn connected(
        &self,
        destination: &mut Destination,
        addresses: &[Vetted],
        deadline: Instant,
        exchange: &mut Exchange,
    ) -> Result<Connection, Failure> {
        let tried = &addresses[..addresses.len().min(ADDRESSES_TRIED_MAX)];
        let mut last_failure = None;
        for (index, &address) in tried.iter().enumerate() {
            destination.address = address;
            exchange.remote_address = Some(address.address());
            let addresses_left = u32::try_from(tried.len() - index).unwrap_or(1);
            let now = Instant::now();
            // So that an address that swallows packets leaves time for the next one.
            let deadline = now + deadline.saturating_duration_since(now) / addresses_left;
            let tls = destination.is_https.then_some((&self.0.tls, &*destination.host));
            match connect(address, &self.0.rules, tls, deadline, &mut exchange.phases).await {
                Ok(connection) => return Ok(connection),
                Err(failure) => last_failure = Some(failure),
            }
        }
        Err(last_failure.expect("an answer has at least one address"))
    }

    async fn post(
        &self,
        request: &Request,
        connection: Connection,
        destination: &Destination,
        is_reused: bool,
        deadline: Instant,
        exchange: &mut Exchange,
    ) -> Result<Response, Trouble> {
        match connection {
            Connection::Http1(http1) => {
                self.post_http1(request, http1, destination, is_reused, deadline, exchange).await
            }
            Connection::Http2(http2) => {
                self.post_http2(request, http2, destination, is_reused, deadline, exchange).await
            }
        }
    }

    async fn post_http1(
        &self,
        request: &Request,
        mut http1: Box<Http1>,
        destination: &Destination,
        is_reused: bool,
        deadline: Instant,
        exchange: &mut Exchange,
    ) -> Result<Response, Trouble> {
        let target = &request.url.as_url()[Position::BeforePath..Position::AfterQuery];
        let headers = sent_headers(&exchange.request_headers, &request.secret_headers);
        let outgoing = Outgoing::post(target, headers, &request.body).map_err(Trouble::Final)?;
        let started = Instant::now();
        let bytes_read_before = http1.bytes_read();
        let pace = Pace::new(self.0.progress_time_max);
        let head = match timeout_at(deadline, http1.send(outgoing, pace)).await {
            Ok(Ok(head)) => head,
            Ok(Err(_)) if is_reused && http1.bytes_read() == bytes_read_before => return Err(Trouble::Stale),
            Ok(Err(failure)) => return Err(Trouble::Final(failure)),
            Err(_) => return Err(Trouble::Final(late_head())),
        };
        exchange.phases.first_byte = Some(started.elapsed());
        let mut kept = Kept::default();
        let is_complete = timeout_at(deadline, http1.read_body(&mut kept, pace)).await.unwrap_or(false);
        // One that is not put back is closed: what the peer still sends is not read.
        if is_complete && http1.is_reusable() {
            self.0.pool.put(destination.clone(), Connection::Http1(http1));
        }
        let Head { status, headers } = head;
        Ok(Response { status, headers, body: kept.into_bytes(), body_truncated: !is_complete })
    }

    async fn post_http2(
        &self,
        request: &Request,
        mut http2: Http2,
        destination: &Destination,
        is_reused: bool,
        deadline: Instant,
        exchange: &mut Exchange,
    ) -> Result<Response, Trouble> {
        let outgoing = http2_request(request, &exchange.request_headers).map_err(Trouble::Final)?;
        let started = Instant::now();
        let bytes_read_before = http2.bytes_read();
        let response = match timeout_at(deadline, http2.send(outgoing)).await {
            Ok(Ok(response)) => response,
            // A stream that fails alone was refused, not lost: others share the connection.
            Ok(Err(_)) if is_reused && http2.is_closed() => return Err(Trouble::Stale),
            Ok(Err(error)) => return Err(Trouble::Final(Failure::http2(&error))),
            Err(_) => {
                if http2.bytes_read() == bytes_read_before {
                    // Else every later request would wait on a peer that is gone without a word.
                    self.0.pool.forget_http2(destination);
                }
                return Err(Trouble::Final(late_head()));
            }
        };
        exchange.phases.first_byte = Some(started.elapsed());
        let (head, body) = response.into_parts();
        if head.headers.len() > HEADERS_MAX {
            return Err(Trouble::Final(Failure::new(ErrorClass::Http, format!("more than {HEADERS_MAX} headers"))));
        }
        let headers: Vec<_> = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let headers = kept_headers(headers.into_iter());
        let mut kept = Kept::default();
        let pace = Pace::new(self.0.progress_time_max);
        let is_complete = read_body(body, &mut kept, pace, deadline).await;
        let status = head.status.as_u16();
        Ok(Response { status, headers, body: kept.into_bytes(), body_truncated: !is_complete })
    }

    async fn send_to_test_receiver(&self, request: Request, exchange: &mut Exchange) {
        let started = Instant::now();
        let Request { url, headers: _, secret_headers: _, body, timeout, identity, subject: _ } = request;
        let came = Came { at: self.0.clock.now(), subscription: identity, url: url.as_str(), body };
        let Some(reply) = self.0.test_receiver.receive(came, &exchange.request_headers) else {
            tokio::time::sleep_until(started + timeout).await;
            exchange.outcome = late_head().into();
            return;
        };
        let TestReply { status, headers, body } = reply;
        if !(200..300).contains(&status) {
            exchange.outcome = Outcome::Status(status);
        }
        exchange.phases.first_byte = Some(started.elapsed());
        exchange.response = Some(Response { status, headers, body, body_truncated: false });
    }

    async fn send_to_listener(&self, request: Request, started: Instant, exchange: &mut Exchange) {
        let Request { url: _, headers: _, secret_headers, body, timeout, identity, subject } = request;
        let sent = sent_headers(&exchange.request_headers, &secret_headers);
        let headers = sent.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let deadline = started + timeout;
        match self.0.listeners.deliver(identity, subject, headers, body, deadline).await {
            Ok(ListenerAnswer { came: Ok(response), took }) => {
                // Whatever is claimed over there, it did not take longer than it took here.
                exchange.phases.first_byte = Some(took.min(started.elapsed()));
                let (Head { status, headers }, body, body_truncated) = response.within_bounds();
                if !(200..300).contains(&status) {
                    exchange.outcome = Outcome::Status(status);
                }
                exchange.response = Some(Response { status, headers, body, body_truncated });
            }
            Ok(ListenerAnswer { came: Err((class, detail)), took: _ }) => {
                exchange.outcome = Failure::new(class, format!("on the listener's machine: {detail}")).into();
            }
            Err(failure) => exchange.outcome = failure.into(),
        }
    }

    #[cfg(test)]
    pub(super) fn connections_idle(&self) -> usize {
        self.0.pool.len()
    }
}

/// Why a connection brought no response.
enum Trouble {
    /// It was kept from before and the peer has left it: nothing was answered, so another one may be tried.
    Stale,
    Final(Failure),
}

/// Headers that follow from URL, body and connection, and are not taken from the caller.
const OWN_HEADERS: [HeaderName; 4] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION];

fn host_of(url: &TargetUrl) -> &str {
    &url.as_url()[Position::BeforeHost..Position::AfterPort]
}

fn is_own(name: &str) -> bool {
    OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own.as_str()))
}

fn late_head() -> Failure {
    Failure::timeout("waiting for the head of the response")
}

/// What is told of what goes out: all of it with lower-case names, the secret headers last and masked.
fn request_headers(request: &mut Request) -> Vec<(String, String)> {
    let given = std::mem::take(&mut request.headers);
    let mut headers = Vec::with_capacity(given.len() + 2 + request.secret_headers.len());
    headers.push((HOST.as_str().to_owned(), host_of(&request.url).to_owned()));
    headers.push((CONTENT_LENGTH.as_str().to_owned(), request.body.len().to_string()));
    let given = given.into_iter().filter(|(name, _)| !is_own(name));
    headers.extend(given.map(|(name, value)| (name.to_ascii_lowercase(), value)));
    headers.extend(request.secret_headers.keys().map(|name| (name.as_str().to_owned(), MASK.to_owned())));
    headers
}

/// The same as it goes out: each secret header with its value.
fn sent_headers<'a>(
    told: &'a [(String, String)],
    secret: &'a CustomHeaders,
) -> impl Iterator<Item = (&'a str, &'a str)> + Clone {
    let open = &told[..told.len() - secret.len()];
    let open = open.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    open.chain(secret.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

fn http2_request(request: &Request, told: &[(String, String)]) -> Result<Http2Request, Failure> {
    let invalid = |what: String| Failure::new(ErrorClass::Http, what);
    let mut headers = HeaderMap::with_capacity(told.len());
    let secrets_from = told.len() - request.secret_headers.len();
    for (index, (name, value)) in sent_headers(told, &request.secret_headers).enumerate() {
        // The authority goes in a pseudo-header of its own.
        if name == HOST.as_str() {
            continue;
        }
        let mut value = HeaderValue::try_from(value).map_err(|error| invalid(format!("header {name}: {error}")))?;
        // HTTP/2 keeps a sensitive one out of its table of known headers.
        value.set_sensitive(index >= secrets_from);
        let name = HeaderName::try_from(name).map_err(|error| invalid(format!("header {name}: {error}")))?;
        headers.append(name, value);
    }
    let uri = Uri::try_from(&request.url.as_url()[..Position::AfterQuery]);
    let mut outgoing = Http2Request::new(Full::new(request.body.clone()));
    *outgoing.method_mut() = Method::POST;
    *outgoing.uri_mut() = uri.map_err(|error| invalid(format!("the URL cannot be sent: {error}")))?;
    *outgoing.headers_mut() = headers;
    Ok(outgoing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_url_that_passes_the_grammar_can_be_sent(rest in "[ -~üé。]{0,40}") {
            let Ok(url) = TargetUrl::parse(&format!("https://example.com/{rest}"), &TargetRules::default()) else {
                return Ok(());
            };
            let request = Request {
                url,
                headers: Vec::new(),
                secret_headers: CustomHeaders::new(),
                body: Bytes::new(),
                timeout: Duration::ZERO,
                identity: SubscriptionId::from_u128(1),
                subject: Subject {
                    event: EventId::from_u128(1),
                    event_type: "order.paid".parse().unwrap(),
                    delivery: DeliveryId::from_u128(1),
                    attempt: 1,
                },
            };
            let sent = http2_request(&request, &[]).map(|sent| sent.uri().path_and_query().cloned());
            prop_assert!(matches!(&sent, Ok(Some(_))), "{:?}: {sent:?}", request.url);
            let target = &request.url.as_url()[Position::BeforePath..Position::AfterQuery];
            prop_assert!(Outgoing::post(target, std::iter::empty(), &request.body).is_ok(), "{:?}", request.url);
        }
    }

    #[tokio::test]
    async fn the_resolver_of_the_system_answers_in_bounded_time() {
        // Reserved for names that never exist (RFC 6761); where no server can be asked, that is a failure as well.
        let resolver = Resolver::system().unwrap();
        assert!(resolver.addresses("nowhere.invalid").await.is_err());
    }
}
