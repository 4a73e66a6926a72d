//! The outermost layer: a request id for every request, and the one body format for every error (contract 3, 3.1).

use std::sync::Arc;
use std::time::{Duration, Instant};

use poem::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use poem::{Endpoint, IntoResponse, Request, Response, Result};
use serde_json::Value;
use tracing::Instrument;
use ulid::Ulid;

use super::App;
use super::audit::{Asked, Operations};
use super::auth::client_address;
use super::browser::Way;
use super::compat;
use super::idempotency::IDEMPOTENCY_KEY;
use super::problem::{Ground, Refusal};
use super::reply::Finished;
use super::safeguards;
use super::template::Templates;
use super::under_way::UnderWay;
use super::visit::Visit;
use crate::domain::header::LOOP_HEADER;
use crate::domain::time::Timestamp;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A body of somebody of whom nothing is known: to sign in takes no more.
const OPEN_BODY_BYTES_MAX: usize = 16 * 1024;

pub struct Edge<E>(Arc<Shared<E>>);

struct Shared<E> {
    app: Arc<App>,
    paths: Paths,
    audited: Operations,
    inner: E,
}

impl<E: Endpoint> Edge<E> {
    pub fn new<'a>(app: Arc<App>, documents: impl IntoIterator<Item = &'a Value>, inner: E) -> Self {
        let documents: Vec<&Value> = documents.into_iter().collect();
        let (paths, audited) = (Paths::of(documents.iter().copied()), Operations::of(documents));
        Self(Arc::new(Shared { app, paths, audited, inner }))
    }
}

impl<E: Endpoint> Shared<E> {
    async fn answer(&self, mut request: Request, asked: Option<Asked>) -> Response {
        let contract = compat::contract_at(request.uri().path(), self.app.settings.contracts);
        let came_at = self.app.clock.now();
        let visit = Arc::new(Visit {
            contract,
            came_at,
            id: compat::request_id(contract, new_id(came_at)),
            client: client_address(
                request.remote_addr().as_socket_addr().map(std::net::SocketAddr::ip),
                request.headers(),
                &self.app.settings.trusted_proxies,
            ),
            body_bytes_max: match asked.as_ref().is_some_and(Asked::is_open) {
                true => OPEN_BODY_BYTES_MAX.min(self.app.settings.body_bytes_max),
                false => self.app.settings.body_bytes_max,
            },
            accept_language: request.headers().get_all(header::ACCEPT_LANGUAGE).iter().cloned().collect(),
            actor: Default::default(),
            tenant: Default::default(),
            ending: Default::default(),
            allowance: Default::default(),
            app: self.app.clone(),
        });
        let began = Instant::now();
        // Copies of what is shared.
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let own_headers = compat::headers_for(&visit, &request);
        let is_api = uri.path().starts_with("/v1/");
        request.extensions_mut().insert(visit.clone());
        let way = Way::of(&request, &self.app.settings.trusted_proxies);
        let is_over = !self.app.settings.takes_work();
        let mut response = if is_api && is_over && !ends_what_is_under_way(uri.path()) {
            compat::render(&Refusal::new(Ground::ShuttingDown).retry_after(1), &visit).into_response()
        } else if self.is_from_here(&request) {
            compat::render(&Refusal::new(Ground::Loop), &visit).into_response()
        } else {
            // What fails is logged with the request's id in any case; the span is for whoever looks closer.
            let span = tracing::debug_span!("request", id = visit.id, %method, path = uri.path());
            let answer = match self.inner.call(request).instrument(span).await {
                Ok(output) => output.into_response(),
                Err(error) => error.into_response(),
            };
            match asked {
                Some(asked) => match Box::pin(asked.note(&visit, answer)).await {
                    Ok(answer) => answer,
                    Err(error) => poem::Error::from(Refusal::from(error)).into_response(),
                },
                None => answer,
            }
        };
        if needs_body(&response) {
            response = self.explain(response, &visit, &method, uri.path());
        }
        response.headers_mut().extend(own_headers);
        self.app.answers.count(contract, &method, uri.path(), response.status());
        self.log(&visit, &method, uri.path(), response.status(), began.elapsed());
        finish(response, &visit, way)
    }

    /// A line for each request, for who asks for this target: the path stays out, which may hold what is nobody's business.
    fn log(&self, visit: &Visit, method: &Method, path: &str, status: StatusCode, took: Duration) {
        if !tracing::enabled!(target: "waxwing::requests", tracing::Level::DEBUG) {
            return;
        }
        let operation = self.paths.operation(path, method).unwrap_or("none");
        // In microseconds, as far as it is a number that JSON readers take.
        let duration_ms = took.as_micros() as f64 / 1000.0;
        let (id, status) = (visit.id.as_str(), status.as_u16());
        tracing::debug!(target: "waxwing::requests", id, %method, operation, status, duration_ms, "request");
    }

    /// Whether this process sent it: a delivery that is published again would be delivered again, and so on.
    fn is_from_here(&self, request: &Request) -> bool {
        let mut senders = request.headers().get_all(LOOP_HEADER).iter();
        senders.any(|sender| self.app.net.is_sender(sender.as_bytes()))
    }

    /// Gives an error its body: ours as it was refused, poem's by its status.
    fn explain(&self, response: Response, visit: &Visit, method: &Method, path: &str) -> Response {
        let refusal = match response.data::<Refusal>() {
            Some(refusal) => refusal.clone(),
            None => Refusal::new(ground_of(response.status())),
        };
        let status = refusal.status();
        refusal.log(&visit.id, method, path);
        let mut answer = compat::render(&refusal, visit).into_response();
        if status == StatusCode::UNAUTHORIZED {
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::METHOD_NOT_ALLOWED
            && let Ok(allow) = HeaderValue::from_str(&self.paths.allow(path))
        {
            answer.headers_mut().insert(header::ALLOW, allow);
        }
        // A HEAD answer says in its head what a GET would say, and nothing more.
        if method == Method::HEAD {
            answer.set_body(());
        }
        answer
    }
}

/// What every answer says.
fn finish(mut response: Response, visit: &Visit, way: Way) -> Response {
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, HeaderValue::from_str(&visit.id).expect("a ULID or UUID is ASCII"));
    if let Some(allowance) = visit.allowance.get() {
        compat::show_allowance(visit, allowance, headers);
    }
    safeguards::add(headers, way);
    response
}

impl<E: Endpoint + 'static> Endpoint for Edge<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let asked = Asked::of(&self.0.audited, &request);
        let is_named = request.headers().contains_key(IDEMPOTENCY_KEY) && !request.method().is_safe();
        if asked.is_none() && !is_named {
            return Ok(self.0.answer(request, None).await);
        }
        // Half of it would be done otherwise when the client leaves: without its entry in the audit log, and once more for
        // whoever asks again with the same idempotency key.
        let (shared, under_way) = (self.0.clone(), request.data::<UnderWay>().cloned().unwrap_or_default());
        // In a box: beside the other way it would add to what each request carries along.
        Ok(Box::pin(under_way.carry_out(async move { shared.answer(request, asked).await })).await)
    }
}

/// What attempts under way wait for, and the end of the server with them.
fn ends_what_is_under_way(path: &str) -> bool {
    path.starts_with("/v1/listeners/") && path.ends_with("/answers")
}

pub(super) fn new_id(now: Timestamp) -> Ulid {
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    Ulid::from_parts(millis, rand::random())
}

/// An error whose body nobody has written yet.
fn needs_body(response: &Response) -> bool {
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    is_error && response.data::<Finished>().is_none()
}

/// What an error of poem's own comes to. Its text is for developers of this program, and is not shown.
fn ground_of(status: StatusCode) -> Ground {
    match status {
        StatusCode::NOT_FOUND => Ground::NoSuchPath,
        StatusCode::METHOD_NOT_ALLOWED => Ground::MethodNotAllowed,
        // A path parameter that is not UTF-8: it names nothing.
        StatusCode::BAD_REQUEST => Ground::NoSuchPath,
        _ => Ground::Internal,
    }
}

/// Which methods each path takes, and the operation of each, from the documents.
struct Paths(Templates<Methods>);

struct Methods {
    /// `GET, HEAD`
    allow: String,
    /// In lower case, with the operation's id.
    operations: Vec<(String, String)>,
}

impl Paths {
    fn of<'a>(documents: impl IntoIterator<Item = &'a Value>) -> Self {
        let paths = documents.into_iter().flat_map(|document| document["paths"].as_object().into_iter().flatten());
        let entry = |(path, operations): (&'a String, &Value)| {
            let operations = operations.as_object().into_iter().flatten();
            let id = |operation: &Value| operation["operationId"].as_str().unwrap_or("none").to_owned();
            let operations: Vec<(String, String)> =
                operations.map(|(method, operation)| (method.clone(), id(operation))).collect();
            let mut methods: Vec<String> = operations.iter().map(|(method, _)| method.to_uppercase()).collect();
            if methods.iter().any(|method| method == "GET") {
                methods.push("HEAD".to_owned());
            }
            methods.sort();
            (path.as_str(), Methods { allow: methods.join(", "), operations })
        };
        Self(paths.map(entry).collect())
    }

    fn allow(&self, path: &str) -> String {
        // The pages outside the document are read only.
        self.0.find(path, |_| true).map_or_else(|| "GET, HEAD".to_owned(), |methods| methods.allow.clone())
    }

    /// The id of the operation. None for what is in no document.
    fn operation(&self, path: &str, method: &Method) -> Option<&str> {
        let method = if method == Method::HEAD { "get" } else { &method.as_str().to_ascii_lowercase() };
        let is_wanted = |methods: &Methods| methods.operations.iter().any(|(known, _)| known == method);
        let methods = self.0.find(path, is_wanted)?;
        methods.operations.iter().find(|(known, _)| known == method).map(|(_, id)| id.as_str())
    }
}
