//! Nothing that is secret, and nothing that somebody sent, is in what the server prints: not at its most talkative, not when things
//! fail, in neither form of the log.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};
use waxwing::clock::Clock;
use waxwing::domain::totp::Totp;

use super::{PATIENCE, Server, folder, shown, waxwing};
use crate::support::rough::refusing;

const ADMIN_KEY: &str = "MARK-admin-key-0123456789-0123456789";
const SECRET_KEY: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";
/// In whatever is sent and is nobody's business: payloads, passwords, headers, broken bodies, answers of receivers.
const MARK: &str = "MARK";

/// Fails everything, and says so with a text of its own. What came is told by its head.
fn receiver() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (sender, arrived) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = stream.read(&mut buffer) {
                    seen.extend_from_slice(&buffer[..n]);
                    let text = String::from_utf8_lossy(&seen).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head
                        .lines()
                        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                    if length.is_some_and(|length: usize| body.len() >= length) {
                        _ = sender.send(head.to_owned());
                        let answer = "MARK-answer-of-the-receiver";
                        let length = answer.len();
                        let head = format!(
                            "HTTP/1.1 500 no\r\ncontent-length: {length}\r\nx-mark: MARK\r\nset-cookie: MARK\r\n\r\n"
                        );
                        _ = stream.write_all((head + answer).as_bytes());
                        seen.clear();
                    }
                }
            });
        }
    });
    (address, arrived)
}

/// Asks, and collects every secret that an answer shows.
struct Conversation<'a> {
    server: &'a Server,
    secrets: BTreeMap<String, String>,
}

/// Members of answers whose texts let somebody in, or sign.
const SECRET_MEMBERS: [&str; 8] =
    ["secret", "invitation_url", "url", "bearer", "otpauth_url", "webhook_secret", "signingSecret", "token"];

impl Conversation<'_> {
    fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Value {
        let body = match (method, body.as_str()) {
            ("GET" | "DELETE", _) => String::new(),
            (_, Some(text)) => text.to_owned(),
            (_, None) => body.to_string(),
        };
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        let agent: ureq::Agent = config.proxy(None).build().into();
        let request = http::Request::builder().method(method).uri(format!("{}{path}", self.server.url));
        let request = request.header("content-type", "application/json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let mut answer = agent.run(request.body(body).expect("the parts are valid")).expect("it answers");
        if let Some(cookie) = answer.headers().get("set-cookie").and_then(|value| value.to_str().ok()) {
            let (_, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.keep("cookie", value);
        }
        let text = answer.body_mut().read_to_string().expect("a text");
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        self.collect(&body);
        json!({ "status": answer.status().as_u16(), "body": body })
    }

    /// As the operator.
    fn call(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.ask(method, path, &[("authorization", &format!("Bearer {ADMIN_KEY}"))], body);
        assert!(answer["status"].as_u64().is_some_and(|status| status < 300), "{method} {path}: {answer}");
        answer["body"]["data"].clone()
    }

    fn collect(&mut self, value: &Value) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    match member.as_str() {
                        Some(text) if SECRET_MEMBERS.contains(&name.as_str()) => self.keep_text(name, text),
                        _ => self.collect(member),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.collect(item)),
            _ => {}
        }
    }

    /// Of a link, what stands last is the secret; of a subscription's URL nothing is.
    fn keep_text(&mut self, name: &str, text: &str) {
        match name {
            "url" => {
                if let Some((_, token)) = text.split_once("/portal#") {
                    self.keep(name, token);
                }
            }
            "invitation_url" => self.keep(name, text.rsplit('/').next().unwrap_or_default()),
            "otpauth_url" => {}
            _ => self.keep(name, text.trim_start_matches("whsec_")),
        }
    }

    fn keep(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.secrets.insert(text.to_owned(), name.to_owned());
        }
    }
}

/// What an authenticator app makes of its secret.
fn code(secret: &str) -> String {
    let bits: Vec<u8> = secret
        .bytes()
        .flat_map(|letter| {
            let number = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|known| *known == letter).unwrap();
            (0..5).rev().map(move |place| ((number >> place) & 1) as u8)
        })
        .collect();
    let bytes: Vec<u8> = bits.chunks(8).map(|bits| bits.iter().fold(0, |byte, bit| (byte << 1) | bit)).collect();
    let totp = Totp { secret: <[u8; 20]>::try_from(bytes).unwrap().into(), is_confirmed: true, last_step: 0 };
    totp.code_at(Clock::System.now())
}

fn people(conversation: &mut Conversation<'_>) {
    let password = "MARK correct horse";
    let invited = conversation.call("POST", "/v1/users", &json!({ "email": "ann@example.com", "role": "owner" }));
    let url = invited["attributes"]["invitation_url"].as_str().unwrap();
    let token = url.rsplit('/').next().unwrap().to_owned();
    let id = invited["id"].as_str().unwrap().to_owned();
    let follow = json!({ "token": token, "password": password });
    assert_eq!(conversation.ask("POST", "/v1/setup", &[], &follow)["status"], 201);
    assert_eq!(conversation.ask("POST", "/v1/setup", &[], &follow)["status"], 401, "a link that was followed");
    let cookie = conversation.secrets.iter().find(|(_, name)| *name == "cookie").unwrap().0.clone();
    let cookie = format!("waxwing_session={cookie}");
    let own = [("cookie", &*cookie), ("waxwing-console", "1")];
    let begun = conversation.ask("POST", &format!("/v1/users/{id}/totp"), &own, &json!({}));
    let secret = begun["body"]["data"]["attributes"]["secret"].as_str().unwrap().to_owned();
    let confirm = format!("/v1/users/{id}/totp/confirm");
    assert_eq!(conversation.ask("POST", &confirm, &own, &json!({ "code": "MARK" }))["status"], 400);
    assert_eq!(conversation.ask("POST", &confirm, &own, &json!({ "code": code(&secret) }))["status"], 200);
    for (wrong, code) in [("MARK wrong horse", None), (password, None), (password, Some("MARK99"))] {
        let mut sign_in = json!({ "email": "ann@example.com", "password": wrong });
        sign_in.as_object_mut().unwrap().extend(code.map(|code| ("totp_code".to_owned(), json!(code))));
        assert_eq!(conversation.ask("POST", "/v1/sessions", &[], &sign_in)["status"], 401);
    }
    let sign_in = json!({ "api_key": ADMIN_KEY });
    assert_eq!(conversation.ask("POST", "/v1/sessions", &[], &sign_in)["status"], 201);
    let link = conversation.call("POST", "/v1/portal-links", &json!({}));
    let token = link["attributes"]["url"].as_str().unwrap().split_once('#').unwrap().1.to_owned();
    for expected in [201, 401] {
        assert_eq!(
            conversation.ask("POST", "/v1/portal-sessions", &[], &json!({ "token": token }))["status"],
            expected
        );
    }
}

fn keys(conversation: &mut Conversation<'_>) {
    let made = conversation.call("POST", "/v1/api-keys", &json!({ "name": "k", "preset": "read_only" }));
    let own = made["attributes"]["secret"].as_str().unwrap().to_owned();
    let imported = "sk_live_MARK_0123456789abcdef";
    let import = json!({ "name": "i", "preset": "full_access", "secret": imported, "tenant": null });
    conversation.call("POST", "/v1/api-keys", &import);
    conversation.call("DELETE", &format!("/v1/api-keys/{}", made["id"].as_str().unwrap()), &json!({}));
    for wrong in [&*own, "MARK-nonsense", "ww_MARK0000000000000000000000000000000000", "Basic TUFSSzpNQVJL", "wp_MARK"]
    {
        for name in ["authorization", "x-api-key"] {
            for path in ["/v1/events", "/v1/webhooks", "/v1/webhook_endpoints"] {
                let refused = conversation.ask("POST", path, &[(name, wrong)], &json!({ "data": "MARK" }));
                assert_eq!(refused["status"].as_u64().unwrap() / 100, 4, "{refused}");
            }
        }
    }
    conversation.keep("encoded", "TUFSSzpNQVJL");
    let session = [("cookie", "waxwing_session=MARK-nonsense"), ("waxwing-console", "1")];
    assert_eq!(conversation.ask("POST", "/v1/events", &session, &json!({}))["status"], 401);
}

fn deliveries(conversation: &mut Conversation<'_>, receiver: SocketAddr) -> String {
    conversation.call("POST", "/v1/event-types", &json!({ "name": "order.paid" }));
    let webhook = json!({ "post": { "summary": "MARK", "requestBody": { "content": { "application/json": { "schema": {} } } } } });
    let document = json!({ "document": { "openapi": "3.1.0", "webhooks": { "order.sent": webhook } } });
    conversation.call("POST", "/v1/event-types/import", &document);
    let hook = json!({
        "url": format!("http://{receiver}/hook"), "events": ["*"], "retry_schedule": [0],
        "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "headers": { "x-mark": "MARK", "x-authorization": "Bearer MARK" }
    });
    let hook = conversation.call("POST", "/v1/webhook-subscriptions", &hook);
    let path = format!("/v1/webhook-subscriptions/{}", hook["id"].as_str().unwrap());
    conversation.keep("secret", "C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    conversation.call("POST", &format!("{path}/rotate-secret"), &json!({ "overlap_seconds": 600 }));
    conversation.call("POST", &format!("{path}/key-pair"), &json!({}));
    conversation.call("POST", &format!("{path}/test"), &json!({}));
    let tenant = conversation.call("POST", "/v1/tenants", &json!({ "name": "MARK" }));
    let rotate = format!("/v1/tenants/{}/rotate-secret", tenant["id"].as_str().unwrap());
    conversation.call("POST", &rotate, &json!({}));
    let (socket, closed) = refusing();
    // As long as this process lives: it is tried again.
    std::mem::forget(socket);
    let hook = json!({ "url": closed, "events": ["order.paid"], "headers": { "x-mark": "MARK" } });
    conversation.call("POST", "/v1/webhook-subscriptions", &hook);
    let event = json!({ "type": "order.paid", "data": { "card": "MARK-payload" }, "external_id": "MARK-1" });
    let with_key = format!("Bearer {ADMIN_KEY}");
    let once = [("authorization", &*with_key), ("idempotency-key", "MARK-idempotency")];
    for _ in 0..2 {
        assert_eq!(conversation.ask("POST", "/v1/events", &once, &event)["status"], 202);
    }
    // Bodies that cannot be read, each in its own way.
    for broken in
        ["{\"MARK\":", "\"MARK\"", "{\"type\":\"MARK\",\"MARK\":1}", "{\"url\":\"http://MARK@127.0.0.1/MARK\"}"]
    {
        for path in
            ["/v1/events", "/v1/events/batch", "/v1/webhook-subscriptions", "/v1/sessions", "/v1/setup", "/v1/webhooks"]
        {
            let refused = conversation.ask("POST", path, &[("authorization", &with_key)], &Value::from(broken));
            assert!(refused["status"].as_u64().unwrap() >= 400, "{path}: {refused}");
        }
    }
    // A query is not for the log either.
    conversation.ask("GET", "/v1/events?token=MARK&filter[type]=MARK", &[("authorization", &with_key)], &json!({}));
    path
}

#[test]
fn what_is_secret_or_was_sent_is_in_no_line_that_the_server_prints() {
    for format in ["pretty", "json"] {
        look_through(format);
    }
}

fn start(folder: &Path, format: &str) -> Server {
    let flags = ["--allow-http-targets", "--allow-target-range", "127.0.0.0/8", "--management-rate", "off"];
    let environment = [
        ("WAXWING_ADMIN_KEY", ADMIN_KEY),
        ("WAXWING_SECRET_KEY", SECRET_KEY),
        ("WAXWING_LOG", format),
        ("WAXWING_LOG_LEVEL", "trace"),
    ];
    Server::start_with(folder, &flags, &environment)
}

fn look_through(format: &str) {
    let folder = folder();
    let folder = folder.path();
    let (receiver, arrived) = receiver();
    let server = start(folder, format);
    let mut conversation = Conversation { server: &server, secrets: BTreeMap::new() };
    people(&mut conversation);
    let subscription = deliveries(&mut conversation, receiver);
    // Last: so many wrong ones have to wait.
    keys(&mut conversation);
    let mut secrets = conversation.secrets;
    // The test, and the event twice: both attempts of its schedule have failed.
    for _ in 0..3 {
        let head = arrived.recv_timeout(PATIENCE).expect("it comes");
        assert!(head.contains(MARK), "its own headers came: {head}");
        for line in head.lines().filter_map(|line| line.split_once(": ")) {
            if line.0.eq_ignore_ascii_case("webhook-signature") {
                secrets.extend(line.1.split(' ').map(|text| (text.to_owned(), "signature".to_owned())));
            }
        }
    }
    let (seen, failed) = server.lines_to("an attempt failed");
    let mut printed = server.begun.clone() + &seen + &failed + "\n";
    server.signal("KILL");
    printed += &server.ended().1;
    let server = start(folder, format);
    assert_eq!(server.call("GET", &subscription, ADMIN_KEY, "").0, 200);
    printed += &server.begun;
    printed += &server.terminate().1;
    // What else is printed about keys: a wrong one, one that is none, another one.
    let other = "ab".repeat(32);
    for (name, value) in
        [("WAXWING_SECRET_KEY", &*other), ("WAXWING_SECRET_KEY", "MARK"), ("WAXWING_ADMIN_KEY", "MARK x")]
    {
        let mut command = waxwing(folder);
        let command = command.args(["serve", "--listen", "127.0.0.1:0"]).env("WAXWING_LOG_LEVEL", "trace");
        let said = shown(command.env("WAXWING_SECRET_KEY", SECRET_KEY).env(name, value));
        assert!(said.ends_with("exit 2\n"), "{said}");
        printed += &said;
    }
    std::fs::write(folder.join("new-key"), &other).unwrap();
    let mut command = waxwing(folder);
    let command = command.args(["secret-key", "rotate", "--new-key", "new-key"]).env("WAXWING_SECRET_KEY", SECRET_KEY);
    printed += &shown(command.env("WAXWING_LOG_LEVEL", "trace"));

    for (text, name) in [(SECRET_KEY, "secret key"), (&*other, "secret key"), (MARK, "what somebody sent")] {
        secrets.insert(text.to_owned(), name.to_owned());
    }
    let of = |kind: &str| secrets.values().filter(|name| *name == kind).count();
    for (kind, at_least) in
        [("secret", 5), ("cookie", 2), ("bearer", 1), ("url", 1), ("invitation_url", 1), ("signature", 3)]
    {
        assert!(of(kind) >= at_least, "{kind}: only {} were seen: {secrets:?}", of(kind));
    }
    // It was talkative.
    for told in ["an attempt failed", "everything is committed; ended", "is not the one that this store was made with"]
    {
        assert!(printed.contains(told), "{told} is not in:\n{printed}");
    }
    for line in printed.lines() {
        for (secret, name) in &secrets {
            assert!(!line.contains(secret.as_str()), "{name} `{secret}` is in: {line}");
        }
    }
    // The link for the first user is said once, to whoever started it.
    let link = printed.lines().find_map(|line| line.split_once("/#/setup/")).expect("there was no user at first").1;
    assert_eq!(printed.matches(link).count(), 1, "the log has the link too");
    println!("{format}: {} secrets, none in {} lines", secrets.len(), printed.lines().count());
}
