//! The real binary as a child process, and a plain HTTP client to talk to it.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use waxwing::domain::contract::Contracts;

use super::client::Client;

/// An instance key that every started binary knows.
pub const ADMIN_KEY: &str = "test-admin-key-0123456789-0123456789";
/// Longer than anything here takes, short enough that a hung test ends.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Waxwing {
    child: Child,
    pub address: SocketAddr,
    pub api: Api,
    /// Where it speaks TLS, and what leads there, when it was told to.
    pub https: Option<(SocketAddr, Option<SocketAddr>)>,
    output: JoinHandle<String>,
    log: mpsc::UnboundedReceiver<String>,
}

/// The real binary with an empty folder of its own, asked over loopback as [`super::app::TestApp`] is in this process.
pub struct RunningApp {
    client: Client,
    /// Killed when this is dropped.
    _waxwing: Waxwing,
    _folder: tempfile::TempDir,
}

impl RunningApp {
    /// With the event types `order.paid` and `order.sent`, its quotas off.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let waxwing = Start::as_installed(folder.path()).start().await;
        for name in ["order.paid", "order.sent"] {
            waxwing.api.create_event_type(name).await;
        }
        let client = Client::over_loopback(waxwing.address, Contracts::ALL, ADMIN_KEY);
        Self { client, _waxwing: waxwing, _folder: folder }
    }

    /// Asks again until the answer is as wanted.
    async fn wait_for(&self, path: &str, tenant: &str, is_there: impl Fn(&Value) -> bool) -> Value {
        let look = async {
            loop {
                let answer = self.get(path).header("waxwing-tenant", tenant).await.assert(200).json();
                if is_there(&answer) {
                    return answer;
                }
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("it becomes so in time")
    }

    /// The first attempt of the event's first delivery, once it arrived.
    pub async fn first_attempt(&self, event: &str, tenant: &str) -> Sent {
        let is_delivered = |event: &Value| event["data"]["attributes"]["state"] == "delivered";
        let event = self.wait_for(&format!("/v1/events/{event}"), tenant, is_delivered).await;
        let delivery = event["data"]["attributes"]["deliveries"][0]["id"].as_str().expect("an id");
        let delivery = self.get(&format!("/v1/deliveries/{delivery}")).header("waxwing-tenant", tenant).await;
        let request = delivery.assert(200).json()["data"]["attributes"]["attempts"][0]["request"].clone();
        let headers = request["headers"].as_array().expect("its headers").clone();
        Sent { headers, body: request["body"].as_str().expect("its body").to_owned() }
    }
}

/// A request to a receiver, as it is recorded.
pub struct Sent {
    headers: Vec<Value>,
    pub body: String,
}

impl Sent {
    pub fn header(&self, name: &str) -> &str {
        let header = self.headers.iter().find(|header| header["name"] == name);
        header.and_then(|header| header["value"].as_str()).unwrap_or_else(|| panic!("no {name}: {:?}", self.headers))
    }
}

impl Deref for RunningApp {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// How a binary is started.
pub struct Start {
    data_dir: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    under: Vec<String>,
    listen: SocketAddr,
}

impl Start {
    /// Plain http and loopback receivers allowed, no limits on the rate of requests.
    pub fn in_dir(data_dir: &Path) -> Self {
        let arguments = [
            "--allow-http-targets",
            "--allow-target-range",
            "127.0.0.0/8",
            "--management-rate",
            "off",
            "--publish-rate",
            "off",
        ];
        Self {
            data_dir: data_dir.to_owned(),
            arguments: arguments.map(str::to_owned).to_vec(),
            environment: Vec::new(),
            under: Vec::new(),
            listen: ([127, 0, 0, 1], 0).into(),
        }
    }

    /// As it is run, with quotas off, and receivers allowed at the addresses for documentation (RFC 5737).
    pub fn as_installed(data_dir: &Path) -> Self {
        let arguments = ["--allow-target-range", "192.0.2.0/24", "--management-rate", "off", "--publish-rate", "off"];
        Self { arguments: arguments.map(str::to_owned).to_vec(), ..Self::in_dir(data_dir) }
    }

    /// With these flags and no others.
    pub fn with_flags(data_dir: &Path, flags: &[&str]) -> Self {
        Self { arguments: flags.iter().map(|flag| (*flag).to_owned()).collect(), ..Self::in_dir(data_dir) }
    }

    pub fn with_environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn with_arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Where another one listened before.
    pub fn listening_on(self, listen: SocketAddr) -> Self {
        Self { listen, ..self }
    }

    /// Has a program start it, which gets the binary and its arguments as its last ones.
    pub fn under(mut self, program: &[&str]) -> Self {
        self.under = program.iter().map(|argument| (*argument).to_owned()).collect();
        self
    }

    pub async fn start(self) -> Waxwing {
        let words = self.under.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_waxwing")]).collect::<Vec<_>>();
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .arg("serve")
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(["--listen", &self.listen.to_string()])
            .args(&self.arguments)
            .current_dir(&self.data_dir)
            .env("WAXWING_ADMIN_KEY", ADMIN_KEY)
            .envs(self.environment)
            // It is the test's, and the binary warns of what it does not know.
            .env_remove("WAXWING_KILLS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary was built with the tests");
        let mut log_lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let (sender, log) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(line)) = log_lines.next_line().await {
                eprintln!("{line}");
                // A test that is over reads no more of it.
                _ = sender.send(line);
            }
        });
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut seen = String::new();
        let address = loop {
            let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it starts in time");
            let line =
                line.expect("its output is text").unwrap_or_else(|| panic!("it ended before it listened:\n{seen}"));
            seen += &line;
            seen.push('\n');
            if let Some(address) = address_in(&line) {
                break address;
            }
        };
        let https = https_in(&seen);
        // Read on, so that it never blocks on a full pipe.
        let output = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                seen += &line;
                seen.push('\n');
            }
            seen
        });
        let api = Api::new(address, ADMIN_KEY);
        Waxwing { child, address, api, https, output, log }
    }
}

/// `HTTPS on 127.0.0.1:PORT for …; 127.0.0.1:PORT leads there`.
fn https_in(seen: &str) -> Option<(SocketAddr, Option<SocketAddr>)> {
    let line = seen.lines().find_map(|line| line.strip_prefix("HTTPS on "))?;
    let (https, rest) = line.split_once(" for ").expect("it says for whom");
    let redirect = rest.split_once("; ").and_then(|(_, rest)| rest.strip_suffix(" leads there"));
    let address = |text: &str| text.parse().expect("an address");
    Some((address(https), redirect.map(address)))
}

/// The first `http://127.0.0.1:PORT` of a line.
fn address_in(line: &str) -> Option<SocketAddr> {
    let rest = &line[line.find("http://127.0.0.1:")? + "http://".len()..];
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).unwrap_or(rest.len());
    rest[..end].trim_end_matches(['.', ':']).parse().ok()
}

impl Waxwing {
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// The next line of its log that holds `text`.
    pub async fn logged(&mut self, text: &str) -> String {
        let look = async {
            loop {
                let line = self.log.recv().await.unwrap_or_else(|| panic!("it ended without saying `{text}`"));
                if line.contains(text) {
                    return line;
                }
            }
        };
        tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("it does not say `{text}`"))
    }

    pub async fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status().await;
        assert!(status.expect("kill is on every machine").success());
    }

    /// kill -9, and everything it printed.
    pub async fn kill(mut self) -> String {
        self.child.kill().await.expect("it can be killed");
        (&mut self.output).await.expect("its output was read")
    }

    /// SIGTERM; ends when the process has.
    pub async fn terminate(mut self) -> (std::process::ExitStatus, String) {
        self.signal("TERM").await;
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends in time");
        (status.expect("it can be waited for"), (&mut self.output).await.expect("its output was read"))
    }
}

/// Killed, and its folder free for the next one: a process holds its locks a little longer than a signal takes.
impl Drop for Waxwing {
    fn drop(&mut self) {
        let Some(id) = self.child.id() else { return };
        _ = self.child.start_kill();
        let id = i32::try_from(id).ok().and_then(Pid::from_raw).expect("the id of a process");
        // It stays to be reaped by the runtime.
        _ = waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    }
}

/// One answer of the API.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }
}

/// A client of the native API. Every request has a connection of its own unless [`Api::connect`] is used.
#[derive(Clone)]
pub struct Api {
    address: SocketAddr,
    key: String,
    tenant: Option<String>,
    /// On every request besides the usual ones.
    header: Option<(String, String)>,
}

/// A kept-alive connection.
pub struct Connection {
    api: Api,
    sender: http1::SendRequest<Full<Bytes>>,
}

impl Api {
    pub fn new(address: SocketAddr, key: &str) -> Self {
        Self { address, key: key.to_owned(), tenant: None, header: None }
    }

    /// The same, for a tenant named by its id or external id.
    pub fn for_tenant(self, tenant: &str) -> Self {
        Self { tenant: Some(tenant.to_owned()), ..self }
    }

    /// The same, with an `Idempotency-Key` on every request.
    pub fn with_idempotency_key(self, key: &str) -> Self {
        self.with_header("idempotency-key", key)
    }

    /// The same, with this header on every request.
    pub fn with_header(self, name: &str, value: &str) -> Self {
        Self { header: Some((name.to_owned(), value.to_owned())), ..self }
    }

    pub async fn connect(&self) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(Connection { api: self.clone(), sender })
    }

    async fn request(&self, method: &str, path: &str, body: Bytes) -> Answer {
        let mut connection = self.connect().await.expect("it listens");
        connection.request(method, path, body).await.expect("it answers")
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, Bytes::new()).await
    }

    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.request("POST", path, body.into()).await
    }

    pub async fn put(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.request("PUT", path, body.into()).await
    }

    pub async fn patch(&self, path: &str, body: impl Into<Bytes>) -> Answer {
        self.request("PATCH", path, body.into()).await
    }

    pub async fn create_event_type(&self, name: &str) {
        self.post("/v1/event-types", serde_json::json!({ "name": name }).to_string()).await.expect(201);
    }

    /// The new subscription's id and secret.
    pub async fn subscribe(&self, url: &str, events: &[&str]) -> (String, String) {
        let body = serde_json::json!({ "url": url, "events": events }).to_string();
        let answer = self.post("/v1/webhook-subscriptions", body).await.expect(201).json();
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        (text(&answer["data"]["id"]), text(&answer["data"]["attributes"]["secret"]))
    }
}

impl Connection {
    /// `TimedOut` for one that is never answered.
    pub async fn request(&mut self, method: &str, path: &str, body: Bytes) -> std::io::Result<Answer> {
        tokio::time::timeout(PATIENCE, self.ask(method, path, body)).await?
    }

    async fn ask(&mut self, method: &str, path: &str, body: Bytes) -> std::io::Result<Answer> {
        let mut request = hyper::Request::builder();
        if let Some((name, value)) = &self.api.header {
            request = request.header(name, value);
        }
        let request = request
            .method(method)
            .uri(path)
            .header("host", self.api.address.to_string())
            .header("authorization", format!("Bearer {}", self.api.key))
            .header("content-type", "application/json")
            .header("waxwing-tenant", self.api.tenant.as_deref().unwrap_or("default"))
            .body(Full::new(body))
            .expect("a valid request");
        self.sender.ready().await.map_err(std::io::Error::other)?;
        let response = self.sender.send_request(request).await.map_err(std::io::Error::other)?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
        Ok(Answer { status, body })
    }
}
