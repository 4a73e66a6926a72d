//! A small authority that speaks ACME (RFC 8555) on loopback: it checks every signature and nonce, and looks at
//! challenges by really connecting.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::https::{Issuer, Life, ask_plainly};

pub struct AcmeServer {
    world: Arc<World>,
}

/// How it treats who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Working,
    /// Answers nothing but 503.
    Down,
    /// Takes no more orders.
    RateLimiting,
}

struct World {
    base: String,
    issuer: Issuer,
    state: Mutex<State>,
    /// Where the names lead to, at "port 80". It waits until it is told.
    leads_to: watch::Sender<Option<SocketAddr>>,
}

struct State {
    mood: Mood,
    now: OffsetDateTime,
    lifetime: Duration,
    /// Names that lead elsewhere.
    strangers: HashSet<String>,
    nonces: HashSet<String>,
    nonces_made: usize,
    /// By number: the public key and its thumbprint.
    accounts: HashMap<usize, (Value, String)>,
    accounts_made: usize,
    orders: Vec<Order>,
    requests: usize,
}

struct Order {
    account: usize,
    name: String,
    /// `pending`, `valid`, `invalid`.
    seen: &'static str,
    certificate: Option<String>,
}

impl AcmeServer {
    /// Its certificates are good for 90 days from a moment that the test moves.
    pub async fn start(now: OffsetDateTime) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = State {
            mood: Mood::Working,
            now,
            lifetime: Duration::from_secs(90 * 24 * 60 * 60),
            strangers: HashSet::new(),
            nonces: HashSet::new(),
            nonces_made: 0,
            accounts: HashMap::new(),
            accounts_made: 0,
            orders: Vec::new(),
            requests: 0,
        };
        let world = Arc::new(World {
            base: format!("https://{address}"),
            issuer: Issuer::new(),
            state: Mutex::new(state),
            leads_to: watch::Sender::new(None),
        });
        let tls = world.issuer.acceptor(&["127.0.0.1"]);
        let server = world.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (world, tls) = (server.clone(), tls.clone());
                tokio::spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let service = service_fn(|request| {
                        let world = world.clone();
                        async move { Ok::<_, Infallible>(world.answer(request).await) }
                    });
                    _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { world }
    }

    pub fn directory(&self) -> String {
        format!("{}/directory", self.world.base)
    }

    pub fn issuer(&self) -> &Issuer {
        &self.world.issuer
    }

    /// Its root certificate as a file.
    pub fn root_file(&self, folder: &Path) -> PathBuf {
        let path = folder.join("authority.pem");
        std::fs::write(&path, self.world.issuer.pem()).expect("the folder is writable");
        path
    }

    pub fn is(&self, mood: Mood) {
        self.world.state().mood = mood;
    }

    pub fn moves_to(&self, now: OffsetDateTime) {
        self.world.state().now = now;
    }

    /// Names lead there, but for strangers.
    pub fn names_lead_to(&self, address: SocketAddr, strangers: &[&str]) {
        self.world.state().strangers = strangers.iter().map(|name| (*name).to_owned()).collect();
        self.world.leads_to.send_replace(Some(address));
    }

    pub fn forgets_accounts(&self) {
        self.world.state().accounts.clear();
    }

    pub fn accounts_made(&self) -> usize {
        self.world.state().accounts_made
    }

    /// The names that were ordered, in order.
    pub fn ordered(&self) -> Vec<String> {
        self.world.state().orders.iter().map(|order| order.name.clone()).collect()
    }

    /// All that came, of whatever kind.
    pub fn requests(&self) -> usize {
        self.world.state().requests
    }
}

/// What is answered: a status, a header with a URL, and the body.
type Reply = (u16, Option<(&'static str, String)>, Vec<u8>);

fn problem(status: u16, kind: &str, detail: &str) -> Reply {
    let body = json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail, "status": status });
    (status, None, body.to_string().into_bytes())
}

fn ok(body: &Value) -> Reply {
    (200, None, body.to_string().into_bytes())
}

impl World {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of it panics")
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        let mood = {
            let mut state = self.state();
            state.requests += 1;
            state.mood
        };
        let path = parts.uri.path().to_owned();
        let (status, header, body) = match (&parts.method, path.as_str()) {
            _ if mood == Mood::Down => problem(503, "serverInternal", "it rests"),
            (&Method::GET, "/directory") => ok(&json!({
                "newNonce": format!("{}/nonce", self.base),
                "newAccount": format!("{}/account", self.base),
                "newOrder": format!("{}/order", self.base),
                "revokeCert": format!("{}/revoke", self.base),
                "keyChange": format!("{}/key", self.base),
            })),
            (&Method::HEAD, "/nonce") => (200, None, Vec::new()),
            (&Method::POST, path) => self.post(path, &body).await,
            _ => problem(404, "malformed", "no such path"),
        };
        let nonce = {
            let mut state = self.state();
            state.nonces_made += 1;
            let nonce = format!("nonce-{}", state.nonces_made);
            state.nonces.insert(nonce.clone());
            nonce
        };
        let mut response = Response::builder().status(status).header("replay-nonce", nonce);
        if let Some((name, value)) = header {
            response = response.header(name, value);
        }
        response.body(Full::new(Bytes::from(body))).expect("a valid answer")
    }

    async fn post(&self, path: &str, body: &[u8]) -> Reply {
        let (account, payload) = match self.opened(path, body) {
            Ok(opened) => opened,
            Err(refused) => return refused,
        };
        let mut parts = path.trim_start_matches('/').split('/');
        let (what, number) = (parts.next().unwrap_or_default(), parts.next().and_then(|n| n.parse::<usize>().ok()));
        match (what, number) {
            ("account", None) => {
                (201, Some(("location", format!("{}/account/{account}", self.base))), br#"{"status":"valid"}"#.to_vec())
            }
            ("order", None) => self.order(account, &payload),
            (_, Some(number)) if self.state().orders.get(number).is_none_or(|order| order.account != account) => {
                problem(404, "malformed", "no such order of this account")
            }
            ("order", Some(number)) => ok(&self.shown(number)),
            ("authorization", Some(number)) => ok(&self.authorization(number)),
            ("challenge", Some(number)) => {
                self.look(account, number).await;
                ok(&self.challenge(number))
            }
            ("finalize", Some(number)) => self.finalize(number, &payload),
            ("certificate", Some(number)) => {
                let certificate = self.state().orders[number].certificate.clone();
                certificate.map_or_else(|| problem(404, "malformed", "not yet"), |pem| (200, None, pem.into_bytes()))
            }
            _ => problem(404, "malformed", "no such path"),
        }
    }

    /// Who signed it, and what: RFC 8555 section 6.
    fn opened(&self, path: &str, body: &[u8]) -> Result<(usize, Value), Reply> {
        let bad = |detail: &str| problem(400, "malformed", detail);
        let jws: Value = serde_json::from_slice(body).map_err(|_| bad("no JWS"))?;
        let text = |name: &str| jws[name].as_str().ok_or_else(|| bad(name));
        let (protected, payload, signature) = (text("protected")?, text("payload")?, text("signature")?);
        let decode = |text: &str| BASE64.decode(text).map_err(|_| bad("no base64url"));
        let head: Value = serde_json::from_slice(&decode(protected)?).map_err(|_| bad("no header"))?;
        let mut state = self.state();
        if !state.nonces.remove(head["nonce"].as_str().unwrap_or_default()) {
            return Err(problem(400, "badNonce", "it was used, or is none of mine"));
        }
        if head["url"] != format!("{}{path}", self.base) || head["alg"] != "ES256" {
            return Err(bad("signed for something else"));
        }
        let known = head["kid"].as_str().map(|kid| kid.rsplit('/').next().and_then(|n| n.parse::<usize>().ok()));
        let (number, key) = match known {
            Some(number) => {
                let account = number.and_then(|number| Some((number, state.accounts.get(&number)?.0.clone())));
                account.ok_or_else(|| problem(400, "accountDoesNotExist", "it is forgotten"))?
            }
            None if path == "/account" => (state.accounts_made, head["jwk"].clone()),
            None => return Err(bad("no account")),
        };
        let coordinate = |name: &str| decode(key[name].as_str().unwrap_or_default());
        let (x, y) = (coordinate("x")?, coordinate("y")?);
        let public = [&[4][..], &x, &y].concat();
        let signed = format!("{protected}.{payload}");
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public)
            .verify(signed.as_bytes(), &decode(signature)?)
            .map_err(|_| bad("not signed by the account"))?;
        if known.is_none() {
            let print = json!({ "crv": key["crv"], "kty": key["kty"], "x": key["x"], "y": key["y"] });
            let print = BASE64.encode(Sha256::digest(print.to_string()));
            state.accounts.insert(number, (key, print));
            state.accounts_made += 1;
        }
        Ok((number, serde_json::from_slice(&decode(payload)?).unwrap_or(Value::Null)))
    }

    fn order(&self, account: usize, payload: &Value) -> Reply {
        let mut state = self.state();
        if state.mood == Mood::RateLimiting {
            return problem(429, "rateLimited", "too many new orders recently");
        }
        let names = payload["identifiers"].as_array().cloned().unwrap_or_default();
        let [name] = names.as_slice() else { return problem(400, "malformed", "one name at a time") };
        let name = name["value"].as_str().unwrap_or_default().to_owned();
        state.orders.push(Order { account, name, seen: "pending", certificate: None });
        let number = state.orders.len() - 1;
        drop(state);
        let order = self.shown(number).to_string().into_bytes();
        (201, Some(("location", format!("{}/order/{number}", self.base))), order)
    }

    fn shown(&self, number: usize) -> Value {
        let state = self.state();
        let order = &state.orders[number];
        let status = match (order.seen, &order.certificate) {
            (_, Some(_)) => "valid",
            ("valid", None) => "ready",
            (seen, None) => seen,
        };
        let mut shown = json!({
            "status": status,
            "identifiers": [{ "type": "dns", "value": order.name }],
            "authorizations": [format!("{}/authorization/{number}", self.base)],
            "finalize": format!("{}/finalize/{number}", self.base),
        });
        if order.certificate.is_some() {
            shown["certificate"] = json!(format!("{}/certificate/{number}", self.base));
        }
        shown
    }

    fn authorization(&self, number: usize) -> Value {
        let challenge = self.challenge(number);
        let state = self.state();
        let order = &state.orders[number];
        json!({
            "status": order.seen,
            "identifier": { "type": "dns", "value": order.name },
            "challenges": [challenge],
        })
    }

    fn challenge(&self, number: usize) -> Value {
        let seen = self.state().orders[number].seen;
        let mut challenge = json!({
            "type": "http-01",
            "url": format!("{}/challenge/{number}", self.base),
            "token": format!("token-{number}"),
            "status": seen,
        });
        if seen == "invalid" {
            challenge["error"] = json!({
                "type": "urn:ietf:params:acme:error:unauthorized",
                "detail": "what answers there is somebody else",
            });
        }
        challenge
    }

    /// Asks for the challenge where the name leads.
    async fn look(&self, account: usize, number: usize) {
        let mut leads_to = self.leads_to.subscribe();
        let address = leads_to.wait_for(Option::is_some).await.expect("the sender lives").expect("it is told");
        let (name, print, is_stranger) = {
            let state = self.state();
            let name = state.orders[number].name.clone();
            let is_stranger = state.strangers.contains(&name);
            (name, state.accounts[&account].1.clone(), is_stranger)
        };
        let path = format!("/.well-known/acme-challenge/token-{number}");
        let answer = ask_plainly(address, &name, Method::GET, &path).await;
        let is_good = !is_stranger && answer.status == 200 && answer.body == format!("token-{number}.{print}");
        self.state().orders[number].seen = if is_good { "valid" } else { "invalid" };
    }

    fn finalize(&self, number: usize, payload: &Value) -> Reply {
        let mut state = self.state();
        if state.orders[number].seen != "valid" {
            return problem(403, "orderNotReady", "nobody has shown that the name is theirs");
        }
        let request = BASE64.decode(payload["csr"].as_str().unwrap_or_default()).unwrap_or_default();
        let life = Life { begins: state.now, ends: state.now + state.lifetime };
        let Some(certificate) = self.issuer.sign(&request, life) else {
            return problem(400, "badCSR", "it is no request for a certificate");
        };
        state.orders[number].certificate = Some(certificate);
        drop(state);
        ok(&self.shown(number))
    }
}
