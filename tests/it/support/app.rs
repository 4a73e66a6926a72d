//! The whole API over a real store, dispatcher and client, in this process. Every answer is held against the document.

use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use expect_test::Expect;
use poem::endpoint::BoxEndpoint;
use poem::http::{HeaderMap, Method, StatusCode};
use poem::{Endpoint, EndpointExt, Request};
use serde_json::{Value, json};
use waxwing::clock::{Clock, ManualClock};
use waxwing::dispatch::feed::Feed;
use waxwing::dispatch::{self, Sender};
use waxwing::domain::contract::{Contract, Contracts};
use waxwing::domain::key::KeyHash;
use waxwing::domain::password::PasswordCost;
use waxwing::domain::target::TargetRules;
use waxwing::domain::time::Timestamp;
use waxwing::http::{Api, Configured, Defaults, Settings, contract_document, document, endpoint};
use waxwing::net::{self, Received};
use waxwing::store::{Opened, Options, Retention, Store};

use super::disk::SimDisk;
use super::picture::{indented, redacted};

/// Of `WAXWING_ADMIN_KEY`: full access to the instance.
pub const ADMIN_KEY: &str = "the-admin-key-of-the-tests-0123456789";
pub const TEST_RECEIVER: &str = "https://test-receiver.invalid/inbox";

/// For what takes milliseconds, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);

/// Of the own API first, then of each contract.
static DOCUMENTS: LazyLock<Vec<(Option<Contract>, Value)>> = LazyLock::new(|| {
    let of_contracts = Contract::ALL.map(|contract| (Some(contract), contract_document(contract)));
    [(None, document())].into_iter().chain(of_contracts).collect()
});

pub struct TestApp {
    pub endpoint: Arc<BoxEndpoint<'static, poem::Response>>,
    pub clock: ManualClock,
    pub disk: SimDisk,
    pub settings: Settings,
    net: net::Client,
    feed: Feed,
    /// Sent with every request unless it says otherwise.
    key: String,
    /// Dropping it would end the dispatcher.
    _running: dispatch::Running,
}

impl TestApp {
    /// An empty instance with the event types `order.paid` and `order.sent`, its quotas off, at noon of a day in 2026.
    pub async fn start() -> Self {
        let unlimited = Defaults { management: None, publish: None };
        let app = Self::start_with(Settings { rate_limits: unlimited, ..Settings::default() }).await;
        for name in ["order.paid", "order.sent"] {
            app.post("/v1/event-types", json!({ "name": name })).await.assert(201);
        }
        app
    }

    pub async fn start_with(settings: Settings) -> Self {
        Self::start_on(SimDisk::new(1), settings, "2026-02-18T12:00:00Z".parse().expect("it is a moment")).await
    }

    /// On a disk that another one may have written to before.
    pub async fn start_on(disk: SimDisk, settings: Settings, now: Timestamp) -> Self {
        let clock = ManualClock::at(now);
        let settings = Settings {
            targets: TargetRules::default(),
            admin_key: Some(KeyHash::of(ADMIN_KEY)),
            password_cost: PasswordCost::LEAST,
            trusted_proxies: vec!["127.0.0.1/32".parse().expect("it is a range")],
            ..settings
        };
        let public: IpAddr = [93, 184, 216, 34].into();
        let private: IpAddr = [10, 0, 0, 1].into();
        let names = [("example.com".to_owned(), vec![public]), ("inside.example".to_owned(), vec![public, private])];
        let resolver = net::Resolver::Table(Arc::new(std::sync::Mutex::new(names.into_iter().collect())));
        let options = net::Options {
            clock: Clock::Manual(clock.clone()),
            ..net::Options::new(settings.targets.clone(), resolver)
        };
        let client = net::Client::new(options).expect("it starts");
        let Opened { store, writer, changes } = Store::open(Options {
            location: disk.location(Arc::new(AtomicU64::new(1 << 40))),
            secret_key: Some([7; 32]),
            clock: Clock::Manual(clock.clone()),
            seed: 1,
            retention: Retention::default(),
            settings_fixed: settings.configured.iter().filter_map(Configured::fixes).collect(),
            free_bytes_min: None,
            cache_bytes: 4 * 1024 * 1024,
        })
        .expect("an empty storage opens");
        writer.spawn().expect("a thread can be started");
        let clock_of_all = Clock::Manual(clock.clone());
        let sender = Sender { net: client.clone(), clock: clock_of_all.clone() };
        let (dispatch, running) = dispatch::start(store.clone(), changes, sender, 1);
        let feed = dispatch.feed().clone();
        let api = Api { store, dispatch, net: client.clone(), clock: clock_of_all, settings: settings.clone() };
        let endpoint = Arc::new(endpoint(api).map_to_response().boxed());
        let key = ADMIN_KEY.to_owned();
        Self { endpoint, clock, disk, settings, net: client, feed, key, _running: running }
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
        Call { app: self, method, path: path.to_owned(), key, headers: Vec::new(), body: Vec::new() }
    }

    /// The text of a new key.
    pub async fn make_key(&self, body: Value) -> String {
        let answer = self.post("/v1/api-keys", body).await.assert(201);
        answer.json()["data"]["attributes"]["secret"].as_str().expect("create shows it").to_owned()
    }

    /// Invites a user, follows the invitation with the password `correct horse`, and answers the user's id and the cookie.
    pub async fn make_user(&self, email: &str, role: &str) -> (String, String) {
        let invited = self.post("/v1/users", json!({ "email": email, "role": role })).await.assert(201);
        let url = invited.json()["data"]["attributes"]["invitation_url"].as_str().expect("create shows it").to_owned();
        let token = url.rsplit('/').next().expect("it ends with the token");
        let follow = json!({ "token": token, "password": "correct horse" });
        let begun = self.post("/v1/setup", follow).without_key().await.assert(201);
        (invited.id(), begun.set_cookie())
    }

    /// What came to [`TEST_RECEIVER`], oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.net.test_receiver().received("inbox")
    }

    /// As the end of the server does.
    pub fn close_feed(&self) {
        self.feed.close();
    }

    pub fn advance(&self, duration: Duration) {
        self.clock.set(self.clock.now().plus(duration));
    }

    /// Asks again until the answer is as wanted: what happens in between is the dispatcher's.
    pub async fn wait_for(&self, path: &str, is_there: impl Fn(&Value) -> bool) -> Answer {
        let waited = std::time::Instant::now();
        loop {
            let answer = self.get(path).await.assert(200);
            if is_there(&answer.json()) {
                return answer;
            }
            assert!(waited.elapsed() < PATIENCE, "{path} never came to what was waited for: {}", answer.body);
            // The dispatcher waits for its clock, which nobody else moves.
            self.advance(Duration::from_millis(1));
            tokio::task::yield_now().await;
        }
    }
}

/// A request in the making.
pub struct Call<'a> {
    app: &'a TestApp,
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
        Self { body: body.as_bytes().to_vec(), ..self }.header("content-type", content_type)
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
        let Self { app, method, path, key, headers, body } = self;
        let mut request = Request::builder().method(method.clone()).uri_str(&path);
        for (name, value) in key.into_iter().chain(headers) {
            request = request.header(name, value);
        }
        let mut response = app.endpoint.get_response(request.body(body)).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.take_body().into_vec().await.expect("the body is there");
        let answer = Answer { method, path, status, headers, body: String::from_utf8(body).expect("it is text") };
        answer.hold_against_document(app.settings.contracts);
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
    pub body: String,
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
            return redacted(&format!("{status}\n{}\n", indented(&self.body)));
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
