//! The client: one request to one target, within one deadline.

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

use super::connection::{Connection, HEADERS_MAX, IncomingResponse, OutgoingRequest, connect};
use super::failure::Failure;
use super::guard::{Refusal, Vetted, vetted_addresses};
use super::pool::{Destination, Limits, Pool};
use super::resolver::Resolver;
use super::response::{kept_headers, read_body};
use super::test_receiver::TestReceiver;
use super::tls::Tls;
use crate::domain::delivery::{ErrorClass, Outcome, Phases, Response};
use crate::domain::header::{CustomHeaders, MASK};
use crate::domain::id::SubscriptionId;
use crate::domain::target::{Forbidden, TargetRules, TargetUrl};

/// Addresses of one answer that are connected to before the attempt has failed.
const ADDRESSES_TRIED_MAX: usize = 2;
/// How long the check at create and update waits for the name (contract 8).
const VETTING_TIME_MAX: Duration = Duration::from_secs(2);

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
}

impl Options {
    pub fn new(rules: TargetRules, resolver: Resolver) -> Self {
        Self {
            rules,
            resolver,
            extra_roots: Vec::new(),
            connections_idle_max: 1_024,
            // As many as one subscription may have in flight.
            connections_idle_per_target_max: 100,
            idle_time_max: Duration::from_secs(30),
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
    pub headers: Vec<(&'static str, String)>,
    /// Sent after `headers`; what is recorded shows each value as `***`.
    pub secret_headers: CustomHeaders,
    pub body: Bytes,
    /// For everything together: name, connection, TLS, request, response.
    pub timeout: Duration,
    /// Whose delivery it is, for the log.
    pub identity: SubscriptionId,
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
        } = options;
        let limits = Limits { connections_idle_max, connections_idle_per_target_max, idle_time_max };
        Ok(Self(Arc::new(Shared {
            rules,
            resolver,
            tls: Tls::new(extra_roots)?,
            pool: Pool::new(limits),
            test_receiver: TestReceiver::default(),
        })))
    }

    /// Posts, once. Never fails: what went wrong is in the [`Exchange`].
    pub async fn send(&self, request: Request) -> Exchange {
        let started = Instant::now();
        let mut exchange = Exchange {
            outcome: Outcome::Success,
            phases: Phases::default(),
            response: None,
            remote_address: None,
            request_headers: request_headers(&request),
        };
        if request.url.is_test_receiver() {
            self.send_to_test_receiver(request, &mut exchange);
        } else {
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
        if url.is_test_receiver() {
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
            match self.post(request, connection, &destination, true, deadline, &mut exchange.phases).await {
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
        match self.post(request, connection, &destination, false, deadline, &mut exchange.phases).await {
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
                        if http1.is_ready().await {
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
        mut connection: Connection,
        destination: &Destination,
        is_reused: bool,
        deadline: Instant,
        phases: &mut Phases,
    ) -> Result<Response, Trouble> {
        let outgoing = outgoing(request, matches!(connection, Connection::Http2(_))).map_err(Trouble::Final)?;
        let started = Instant::now();
        let bytes_read_before = connection.bytes_read();
        let sent = match &mut connection {
            Connection::Http1(http1) => timeout_at(deadline, http1.send(outgoing)).await,
            Connection::Http2(http2) => timeout_at(deadline, http2.send(outgoing)).await,
        };
        let is_silent = connection.bytes_read() == bytes_read_before;
        let response = match sent {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let is_dead = match &connection {
                    Connection::Http1(_) => is_silent,
                    // Others share the bytes; but a stream that fails alone was refused, not lost.
                    Connection::Http2(http2) => http2.is_closed(),
                };
                return Err(if is_reused && is_dead { Trouble::Stale } else { Trouble::Final(Failure::http(&error)) });
            }
            Err(_) => {
                if is_silent && matches!(connection, Connection::Http2(_)) {
                    // Else every later request would wait on a peer that is gone without a word.
                    self.0.pool.forget_http2(destination);
                }
                return Err(Trouble::Final(Failure::timeout("waiting for the head of the response")));
            }
        };
        phases.first_byte = Some(started.elapsed());
        self.receive(response, connection, destination, deadline).await.map_err(Trouble::Final)
    }

    async fn receive(
        &self,
        response: IncomingResponse,
        connection: Connection,
        destination: &Destination,
        deadline: Instant,
    ) -> Result<Response, Failure> {
        let (head, body) = response.into_parts();
        if head.headers.len() > HEADERS_MAX {
            return Err(Failure::new(ErrorClass::Http, format!("more than {HEADERS_MAX} headers")));
        }
        let headers = kept_headers(&head.headers);
        let read = match connection {
            Connection::Http1(mut http1) => {
                let read = read_body(body, Some(&mut http1), deadline).await;
                // One that is not put back is closed: what the peer still sends is not read.
                if read.is_complete && http1.is_ready().await {
                    self.0.pool.put(destination.clone(), Connection::Http1(http1));
                }
                read
            }
            Connection::Http2(_) => read_body(body, None, deadline).await,
        };
        Ok(Response { status: head.status.as_u16(), headers, body: read.bytes, body_truncated: !read.is_complete })
    }

    fn send_to_test_receiver(&self, request: Request, exchange: &mut Exchange) {
        let started = Instant::now();
        let id = request.url.as_url().path().trim_start_matches('/');
        self.0.test_receiver.receive(id, &exchange.request_headers, request.body);
        exchange.phases.first_byte = Some(started.elapsed());
        exchange.response = Some(Response {
            status: 200,
            headers: vec![("content-type".into(), "application/json".into())],
            body: Bytes::from_static(br#"{"received":true}"#),
            body_truncated: false,
        });
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

fn request_headers(request: &Request) -> Vec<(String, String)> {
    let mut headers = Vec::with_capacity(request.headers.len() + 2);
    headers.push((HOST.as_str().to_owned(), host_of(&request.url).to_owned()));
    headers.push((CONTENT_LENGTH.as_str().to_owned(), request.body.len().to_string()));
    let given = request.headers.iter().filter(|(name, _)| !is_own(name));
    headers.extend(given.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())));
    headers.extend(request.secret_headers.keys().map(|name| (name.as_str().to_owned(), MASK.to_owned())));
    headers
}

fn outgoing(request: &Request, is_http2: bool) -> Result<OutgoingRequest, Failure> {
    let url = request.url.as_url();
    let mut headers = HeaderMap::with_capacity(request.headers.len() + 2);
    let uri = if is_http2 {
        // The authority goes in a pseudo-header of its own.
        Uri::try_from(&url[..Position::AfterQuery])
    } else {
        headers.insert(HOST, header_value(host_of(&request.url))?);
        Uri::try_from(&url[Position::BeforePath..Position::AfterQuery])
    };
    headers.insert(CONTENT_LENGTH, HeaderValue::from(request.body.len()));
    for (name, value) in request.headers.iter().filter(|(name, _)| !is_own(name)) {
        let name = HeaderName::try_from(*name)
            .map_err(|error| Failure::new(ErrorClass::Http, format!("header {name}: {error}")))?;
        headers.append(name, header_value(value)?);
    }
    for (name, value) in &request.secret_headers {
        let name = HeaderName::try_from(name.as_str())
            .map_err(|error| Failure::new(ErrorClass::Http, format!("header {}: {error}", name.as_str())))?;
        let mut value = header_value(value.as_str())?;
        // HTTP/2 keeps it out of its table of known headers.
        value.set_sensitive(true);
        headers.append(name, value);
    }
    let uri = uri.map_err(|error| Failure::new(ErrorClass::Http, format!("the URL cannot be sent: {error}")))?;
    let mut outgoing = OutgoingRequest::new(Full::new(request.body.clone()));
    *outgoing.method_mut() = Method::POST;
    *outgoing.uri_mut() = uri;
    *outgoing.headers_mut() = headers;
    Ok(outgoing)
}

fn header_value(text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::try_from(text).map_err(|error| Failure::new(ErrorClass::Http, format!("a header: {error}")))
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
            };
            for is_http2 in [false, true] {
                let sent = outgoing(&request, is_http2).map(|sent| sent.uri().path_and_query().cloned());
                prop_assert!(matches!(&sent, Ok(Some(_))), "{:?}: {sent:?}", request.url);
            }
        }
    }

    #[tokio::test]
    async fn the_resolver_of_the_system_answers_in_bounded_time() {
        // Reserved for names that never exist (RFC 6761); where no server can be asked, that is a failure as well.
        let resolver = Resolver::system().unwrap();
        assert!(resolver.addresses("nowhere.invalid").await.is_err());
    }
}
