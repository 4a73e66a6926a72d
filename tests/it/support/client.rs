//! Asks an instance over HTTP, one in this process or the real binary over loopback. Every answer is held against the
//! document.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use expect_test::Expect;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use poem::Endpoint;
use poem::endpoint::BoxEndpoint;
use poem::http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use tokio::net::TcpStream;
use waxwing::domain::contract::{Contract, Contracts};
use waxwing::http::{contract_document, document};

use super::picture::{indented, redacted, without_moments};

/// Of the own API first, then of each contract.
static DOCUMENTS: LazyLock<Vec<(Option<Contract>, Value)>> = LazyLock::new(|| {
    let of_contracts = Contract::ALL.map(|contract| (Some(contract), contract_document(contract)));
    [(None, document())].into_iter().chain(of_contracts).collect()
});

pub struct Client {
    way: Way,
    contracts: Contracts,
    /// Sent with every request unless it says otherwise.
    key: String,
}

enum Way {
    InProcess(Arc<BoxEndpoint<'static, poem::Response>>),
    /// Each request has a connection of its own.
    Loopback(SocketAddr),
}

impl Client {
    /// `contracts` are those that the instance speaks.
    pub fn in_process(endpoint: Arc<BoxEndpoint<'static, poem::Response>>, contracts: Contracts, key: &str) -> Self {
        Self { way: Way::InProcess(endpoint), contracts, key: key.to_owned() }
    }

    pub fn over_loopback(address: SocketAddr, contracts: Contracts, key: &str) -> Self {
        Self { way: Way::Loopback(address), contracts, key: key.to_owned() }
    }

    /// Asks with this key unless a request says otherwise.
    pub fn with_key(self, key: String) -> Self {
        Self { key, ..self }
    }

    pub fn get(&self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub fn delete(&self, path: &str) -> Call<'_> {
        self.call(Method::DELETE, path)
    }

    pub fn post(&self, path: &str, body: Value) -> Call<'_> {
        self.call(Method::POST, path).json(&body)
    }

    pub fn put(&self, path: &str, body: Value) -> Call<'_> {
        self.call(Method::PUT, path).json(&body)
    }

    pub fn patch(&self, path: &str, body: Value) -> Call<'_> {
        self.call(Method::PATCH, path).json(&body)
    }

    /// Without a body.
    pub fn call(&self, method: Method, path: &str) -> Call<'_> {
        let key = Some(("authorization".to_owned(), self.key.clone()));
        Call { client: self, method, path: path.to_owned(), key, headers: Vec::new(), body: Vec::new() }
    }

    /// The text of a new key.
    pub async fn make_key(&self, body: Value) -> String {
        let answer = self.post("/v1/api-keys", body).await.assert(201);
        answer.json()["data"]["attributes"]["secret"].as_str().expect("create shows it").to_owned()
    }
}

/// A request in the making.
pub struct Call<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    key: Option<(String, String)>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Call<'_> {
    pub fn json(self, body: &Value) -> Self {
        self.body("application/json", &body.to_string())
    }

    pub fn body(self, content_type: &str, body: &str) -> Self {
        self.bytes(content_type, body.as_bytes().to_vec())
    }

    pub fn bytes(self, content_type: &str, body: Vec<u8>) -> Self {
        Self { body, ..self }.header("content-type", content_type)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn key(self, key: &str) -> Self {
        Self { key: Some(("authorization".to_owned(), key.to_owned())), ..self }
    }

    /// With the cookie of a session instead of a key, as the console does.
    pub fn cookie(self, cookie: &str) -> Self {
        self.without_key().header("cookie", cookie).header("waxwing-console", "1")
    }

    pub fn without_key(self) -> Self {
        Self { key: None, ..self }
    }

    async fn send(self) -> Answer {
        let Self { client, method, path, key, headers, body } = self;
        let headers = key.into_iter().chain(headers);
        let (status, headers, body) = match &client.way {
            Way::InProcess(endpoint) => {
                let mut request = poem::Request::builder().method(method.clone()).uri_str(&path);
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                let mut response = endpoint.get_response(request.body(body)).await;
                let body = response.take_body().into_vec().await.expect("the body is there");
                (response.status(), response.headers().clone(), body)
            }
            Way::Loopback(address) => {
                let mut request = hyper::Request::builder().method(method.clone()).uri(&path);
                for (name, value) in headers {
                    request = request.header(name, value);
                }
                let request = request.header("host", address.to_string()).body(Full::new(Bytes::from(body)));
                let stream = TcpStream::connect(address).await.expect("it listens");
                let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
                let connection = tokio::spawn(connection);
                let response = sender.send_request(request.expect("a valid request")).await.expect("it answers");
                let (head, body) = response.into_parts();
                let body = body.collect().await.expect("the body is there").to_bytes().to_vec();
                connection.abort();
                (head.status, head.headers, body)
            }
        };
        let is_file = headers.get("content-type").is_some_and(|kind| kind == "application/octet-stream");
        let body = if is_file { hex::encode(body) } else { String::from_utf8(body).expect("it is text") };
        let is_timed = matches!(client.way, Way::InProcess(_));
        let answer = Answer { method, path, status, headers, body, is_timed };
        answer.hold_against_document(client.contracts);
        answer
    }
}

impl<'a> IntoFuture for Call<'a> {
    type Output = Answer;
    type IntoFuture = std::pin::Pin<Box<dyn Future<Output = Answer> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

pub struct Answer {
    method: Method,
    path: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// In hexadecimal digits when it is a file.
    pub body: String,
    /// It came at a time that the test set, and pictures of it show moments.
    is_timed: bool,
}

impl Answer {
    #[track_caller]
    pub fn assert(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{} {}: {}", self.method, self.path, self.body);
        self
    }

    /// Compares with a picture: the status, what is wrong (a line for each problem), or the body.
    #[track_caller]
    pub fn check(self, expected: Expect) -> Self {
        expected.assert_eq(&self.picture());
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    pub fn id(&self) -> String {
        self.json()["data"]["id"].as_str().unwrap_or_else(|| panic!("no id: {}", self.body)).to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The cookie that it sets, as it is sent back.
    pub fn set_cookie(&self) -> String {
        let line = self.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {}", self.body));
        line.split(';').next().expect("it has a first part").to_owned()
    }

    fn picture(&self) -> String {
        let status = self.status.as_u16();
        if self.body.is_empty() {
            return status.to_string();
        }
        let Some(errors) =
            serde_json::from_str(&self.body).ok().and_then(|body: Value| body["errors"].as_array().cloned())
        else {
            let picture = redacted(&format!("{status}\n{}\n", indented(&self.body)));
            return if self.is_timed { picture } else { without_moments(&picture) };
        };
        let line = |error: &Value| {
            let source = error["source"].as_object().and_then(|source| source.values().next()).and_then(Value::as_str);
            let source = source.map(|source| format!(" {source}")).unwrap_or_default();
            let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
            format!("{} {}{source}: {}\n", text("status"), text("code"), text("detail"))
        };
        redacted(&errors.iter().map(line).collect::<String>())
    }

    /// What the document says of every operation holds for every answer.
    fn hold_against_document(&self, spoken: Contracts) {
        let place = format!("{} {} → {}: {}", self.method, self.path, self.status, self.body);
        let request_id = self.header("x-request-id").unwrap_or_else(|| panic!("no request id: {place}"));
        assert!(request_id.len() == 26 || request_id.starts_with("req_"), "{place}");
        let is_error = self.status.is_client_error() || self.status.is_server_error();
        // A replayed answer says what it said then.
        if is_error && self.header("idempotency-replayed").is_none() {
            assert_eq!(self.header("content-type"), Some("application/json"), "{place}");
            let body = self.json();
            match body["errors"].as_array() {
                Some(errors) => errors.iter().for_each(|error| assert_eq!(error["id"], request_id, "{place}")),
                // A contract tells one error.
                None => {
                    let ids = ["requestId", "request_id"].map(|name| &body["error"][name]);
                    assert!(ids.into_iter().any(|id| id == request_id), "{place}");
                }
            }
        }
        let Some((document, operation)) = operation(&self.method, &self.path, spoken) else { return };
        let response = &operation["responses"][self.status.as_u16().to_string()];
        let response = resolve(document, response);
        assert!(response.is_object(), "the document does not know of {place}");
        let schema = &response["content"]["application/json"]["schema"];
        if schema.is_null() {
            return;
        }
        let mut root = schema.clone();
        root["components"] = document["components"].clone();
        let validator = jsonschema::validator_for(&root).expect("the document's schemas are schemas");
        // `data` may hold numbers and strings that this reader cannot.
        let Ok(body) = serde_json::from_str(&self.body) else { return };
        let problems: Vec<String> =
            validator.iter_errors(&body).map(|error| format!("{} {error}", error.instance_path())).collect();
        assert!(problems.is_empty(), "{place}\nis not what the document says: {problems:#?}");
    }
}

fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => document.pointer(pointer).expect("a reference leads somewhere"),
        None => value,
    }
}

/// With the document that it is in.
fn operation(method: &Method, path: &str, spoken: Contracts) -> Option<(&'static Value, &'static Value)> {
    let path = path.split('?').next().unwrap_or(path);
    let fits = |known: &str| {
        let (known, asked): (Vec<_>, Vec<_>) = (known.split('/').collect(), path.split('/').collect());
        known.len() == asked.len()
            && known.iter().zip(asked).all(|(known, asked)| known.starts_with('{') || *known == asked)
    };
    let documents = DOCUMENTS.iter().filter(|(contract, _)| contract.is_none_or(|contract| spoken.has(contract)));
    documents.map(|(_, document)| document).find_map(|document| {
        let paths = document["paths"].as_object()?;
        let known =
            paths.iter().filter(|(known, _)| fits(known)).min_by_key(|(known, _)| known.matches('{').count())?;
        Some((document, known.1.get(method.as_str().to_lowercase())?))
    })
}
