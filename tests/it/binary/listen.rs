//! `waxwing listen`: deliveries on a developer's machine, with the real program on both sides.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::binary::{ADMIN_KEY, PATIENCE, Start, Waxwing};
use crate::support::receiver::Receiver;

struct Listening {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it printed of the subscription.
    subscription: Value,
}

impl Listening {
    async fn start(server: SocketAddr, to: &str, more: &[&str], folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_waxwing"))
            .args(["listen", "--json", "--forward-to", to, "--key", ADMIN_KEY, "--url", &format!("http://{server}")])
            .args(more)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary was built with the tests");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut listening = Self { child, lines, subscription: Value::Null };
        listening.subscription = listening.line().await;
        listening
    }

    async fn line(&mut self) -> Value {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("it comes in time");
        let line = line.expect("its output is text").expect("it goes on");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    fn id(&self) -> &str {
        self.subscription["subscription_id"].as_str().expect("it says so")
    }

    fn secret(&self) -> &str {
        self.subscription["secret"].as_str().expect("it is shown")
    }

    async fn terminate(mut self) {
        let id = self.child.id().expect("it runs").to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(status.expect("kill is on every machine").success());
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends in time");
        assert!(status.expect("it can be waited for").success());
    }
}

async fn publish(server: &Waxwing, data: &str) -> String {
    let event = format!(r#"{{"type":"order.paid","data":{data}}}"#);
    let answer = server.api.post("/v1/events", event).await.expect(202).json();
    answer["data"]["id"].as_str().expect("an id").to_owned()
}

/// Asks until it is so.
async fn wait_for(server: &Waxwing, path: &str, is_there: impl Fn(&Value) -> bool) -> Value {
    let look = async {
        loop {
            let answer = server.api.get(path).await.expect(200).json();
            if is_there(&answer) {
                return answer;
            }
        }
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("{path} never became so"))
}

/// The first attempt of the only delivery of an event, once it is recorded.
async fn attempt(server: &Waxwing, event: &str) -> Value {
    let path = format!("/v1/deliveries?filter[event_id]={event}");
    let list = wait_for(server, &path, |list| list["data"][0]["attributes"]["attempts_made"] == 1).await;
    let id = list["data"][0]["id"].as_str().expect("an id");
    let one = server.api.get(&format!("/v1/deliveries/{id}")).await.expect(200).json();
    one["data"]["attributes"]["attempts"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_developers_machine_gets_what_any_receiver_gets_and_its_answer_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing on this machine is a target of the server's: what is forwarded is no business of its rules.
    let server = Start::as_installed(folder.path()).start().await;
    server.api.create_event_type("order.paid").await;
    let body = bytes::Bytes::from_static(b"noted");
    let mut receiver = Receiver::start_saying(body, |_| 202).await;
    let to = receiver.url("/webhooks");
    let mut listening = Listening::start(server.address, &to, &["--events", "order.*"], folder.path()).await;
    let event = publish(&server, r#"{ "total": 1.10, "é": "\u00e9" }"#).await;
    let received = receiver.next().await;
    received.verify(listening.secret());
    assert_eq!((received.path.as_str(), received.header("webhook-id")), ("/webhooks", event.as_str()));
    assert_eq!(received.header("host"), receiver.address.to_string());
    let text = String::from_utf8(received.body.to_vec()).unwrap();
    assert!(text.ends_with(r#""data":{ "total": 1.10, "é": "\u00e9" }}"#), "byte for byte: {text}");
    let line = listening.line().await;
    assert_eq!((&line["event_type"], &line["event_id"]), (&json!("order.paid"), &json!(event)));
    assert_eq!((&line["status"], &line["recorded"]), (&json!(202), &json!(true)), "{line}");
    let attempt = attempt(&server, &event).await;
    assert_eq!(attempt["outcome"], "success");
    assert_eq!((&attempt["response"]["status"], &attempt["response"]["body"]), (&json!(202), &json!("noted")));

    let path = format!("/v1/webhook-subscriptions/{}", listening.id());
    listening.terminate().await;
    server.api.get(&path).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_refuses_is_a_failed_attempt_of_that_class() {
    let folder = tempfile::tempdir().unwrap();
    let server = Start::as_installed(folder.path()).start().await;
    server.api.create_event_type("order.paid").await;
    // Bound and not listening.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let to = format!("http://{}/", socket.local_addr().unwrap());
    let mut listening = Listening::start(server.address, &to, &[], folder.path()).await;
    let event = publish(&server, "1").await;
    let line = listening.line().await;
    assert_eq!((&line["status"], &line["error"]), (&Value::Null, &json!("connect")), "{line}");
    let attempt = attempt(&server, &event).await;
    assert_eq!(attempt["error"]["class"], "connect", "{attempt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_is_found_again_and_what_was_published_meanwhile_comes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Start::as_installed(folder.path()).start().await;
    server.api.create_event_type("order.paid").await;
    let mut receiver = Receiver::start(|_| 204).await;
    let to = receiver.url("/");
    let mut listening = Listening::start(server.address, &to, &["--keep"], folder.path()).await;
    let mut published = vec![publish(&server, "1").await];
    listening.line().await;
    let address = server.address;
    server.kill().await;
    let server = Start::as_installed(folder.path()).listening_on(address).start().await;
    published.push(publish(&server, "2").await);
    let mut received = Vec::new();
    while !published.iter().all(|id| received.contains(id)) {
        let one = receiver.next().await;
        one.verify(listening.secret());
        received.push(one.header("webhook-id").to_owned());
    }

    // Nobody says goodbye: the server notices by itself, and holds what comes.
    let (id, secret) = (listening.id().to_owned(), listening.secret().to_owned());
    listening.child.kill().await.unwrap();
    let path = format!("/v1/webhook-subscriptions/{id}");
    wait_for(&server, &path, |one| one["data"]["attributes"]["is_active"] == false).await;
    let event = publish(&server, "3").await;
    let again = Listening::start(address, &to, &["--subscription", &id], folder.path()).await;
    assert_eq!(again.subscription, json!({ "subscription_id": id, "secret": null, "is_temporary": false }));
    // One whose outcome was not recorded when somebody was killed comes again.
    loop {
        let one = receiver.next().await;
        one.verify(&secret);
        if one.header("webhook-id") == event {
            break;
        }
        assert!(published.iter().any(|id| id == one.header("webhook-id")), "{}", one.header("webhook-id"));
    }
    again.terminate().await;
    let kept = server.api.get(&path).await.expect(200).json();
    assert_eq!(kept["data"]["attributes"]["is_active"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_subscription_gets_what_that_gets_and_leaves_it_alone() {
    let folder = tempfile::tempdir().unwrap();
    let server = Start::as_installed(folder.path()).start().await;
    server.api.create_event_type("order.paid").await;
    let (id, secret) = server.api.subscribe("https://test-receiver.invalid/real", &["order.*"]).await;
    let mut receiver = Receiver::start(|_| 204).await;
    let to = receiver.url("/");
    let listening = Listening::start(server.address, &to, &["--subscription", &id], folder.path()).await;
    assert_ne!(listening.id(), id);
    assert_ne!(listening.secret(), secret);
    let event = publish(&server, "1").await;
    let received = receiver.next().await;
    received.verify(listening.secret());
    assert_eq!(received.header("webhook-id"), event);
    let path = format!("/v1/deliveries?filter[subscription_id]={id}&filter[state]=succeeded");
    wait_for(&server, &path, |list| list["data"].as_array().is_some_and(|all| all.len() == 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_waits_for_what_its_listener_is_doing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Start::as_installed(folder.path()).start().await;
    server.api.create_event_type("order.paid").await;
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel();
    let released = std::sync::Mutex::new(released);
    let receiver = Receiver::start(move |_| {
        begun.send(()).expect("the test waits for it");
        released.lock().unwrap().recv_timeout(PATIENCE).expect("the test lets it go");
        204
    })
    .await;
    let listening = Listening::start(server.address, &receiver.url("/"), &["--keep"], folder.path()).await;
    let event = publish(&server, "1").await;
    tokio::task::spawn_blocking(move || has_begun.recv_timeout(PATIENCE)).await.unwrap().expect("it is sent");
    let api = server.api.clone();
    let ending = tokio::spawn(server.terminate());
    // From then on new work is refused.
    while api.get("/readyz").await.status == 200 {}
    release.send(()).unwrap();
    let (status, _) = ending.await.unwrap();
    assert!(status.success(), "{status}");
    drop(listening);
    let server = Start::as_installed(folder.path()).start().await;
    assert_eq!(attempt(&server, &event).await["response"]["status"], 204);
}
