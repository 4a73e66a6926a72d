//! Backups of the real binary: taken under load and gone on with elsewhere, cut off half way, restored with the wrong things.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use poem::http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use waxwing::domain::contract::Contracts;

use crate::support::binary::{ADMIN_KEY, Api, PATIENCE, Start};
use crate::support::client::Client;
use crate::support::receiver::Receiver;

const EVENTS_BEFORE: usize = 300;
const PASSPHRASE: &str = "correct horse battery";

fn waxwing(words: &[&str], passphrase: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
    command.args(words).env_remove("WAXWING_SECRET_KEY");
    if let Some(passphrase) = passphrase {
        command.env("WAXWING_BACKUP_PASSPHRASE", passphrase);
    }
    command.output().expect("the binary was built with the tests")
}

#[track_caller]
fn good(words: &[&str], passphrase: Option<&str>) -> String {
    let output = waxwing(words, passphrase);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[track_caller]
fn refused(words: &[&str], passphrase: Option<&str>) -> String {
    let output = waxwing(words, passphrase);
    assert_eq!(output.status.code(), Some(2), "{words:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).expect("text")
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let all = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("{what} did not happen in time"));
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

async fn publish(api: &Api) -> String {
    let answer = api.post("/v1/events", json!({ "type": "order.paid", "data": "x".repeat(500) }).to_string()).await;
    answer.expect(202).json()["data"]["id"].as_str().expect("an id").to_owned()
}

async fn deliveries(api: &Api, event: &str) -> Vec<(String, String, u64)> {
    let event = api.get(&format!("/v1/events/{event}")).await.expect(200).json();
    let of = |delivery: &Value| {
        let text = |name: &str| delivery[name].as_str().expect("a text").to_owned();
        (text("subscription_id"), text("state"), delivery["attempts_count"].as_u64().unwrap_or_default())
    };
    event["data"]["attributes"]["deliveries"].as_array().expect("a list").iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_load_goes_on_elsewhere_with_all_that_was_answered_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    std::fs::create_dir(&old).expect("there is room");
    let is_well = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&is_well);
    // One of the two receivers takes nothing before the restore.
    let mut receiver = Receiver::start(move |received| match received.path.as_str() {
        "/sick" if !now.load(Ordering::Relaxed) => 500,
        _ => 204,
    })
    .await;
    let server = Start::in_dir(&old).start().await;
    let api = server.api.clone();
    api.create_event_type("order.paid").await;
    for path in ["/well", "/sick"] {
        let hook = json!({
            "url": receiver.url(path), "events": ["*"], "retry_schedule": vec![1; 20], "circuit_breaker": false,
        });
        api.post("/v1/webhook-subscriptions", hook.to_string()).await.expect(201);
    }
    let mut before = Vec::new();
    for _ in 0..EVENTS_BEFORE {
        before.push(publish(&api).await);
    }
    let publishing = AtomicBool::new(true);
    let load = async {
        while publishing.load(Ordering::Relaxed) {
            publish(&api).await;
        }
    };
    let backup = async {
        let made = api.post("/v1/backups", json!({ "passphrase": PASSPHRASE }).to_string()).await.expect(202).json();
        let path = format!("/v1/backups/{}", made["data"]["id"].as_str().expect("an id"));
        let mut shown = Value::Null;
        until("the backup", async || {
            shown = api.get(&path).await.expect(200).json()["data"]["attributes"].clone();
            shown["state"] != "running"
        })
        .await;
        publishing.store(false, Ordering::Relaxed);
        assert_eq!(shown["state"], "complete", "{shown}");
    };
    tokio::join!(load, backup);
    server.kill().await;
    let mut received: HashMap<String, usize> = HashMap::new();
    for delivery in receiver.drain() {
        if delivery.path == "/well" {
            *received.entry(delivery.header("webhook-id").to_owned()).or_default() += 1;
        }
    }

    let file = std::fs::read_dir(old.join("backups")).expect("it is there").next().expect("one").expect("one").path();
    let printed = good(&["check", text(&file)], Some(PASSPHRASE));
    assert!(printed.contains("fits together"), "{printed}");
    let printed = good(&["restore", text(&file), "--data-dir", text(&new)], Some(PASSPHRASE));
    assert!(printed.contains("holds the instance as it was at"), "{printed}");
    let printed = good(&["check", "--data-dir", text(&new)], None);
    assert!(printed.contains("fits together"), "{printed}");

    is_well.store(true, Ordering::Relaxed);
    let server = Start::in_dir(&new).start().await;
    for event in &before {
        until("its deliveries", async || {
            deliveries(&server.api, event).await.iter().all(|(_, state, _)| state == "succeeded")
        })
        .await;
        assert_eq!(deliveries(&server.api, event).await.len(), 2);
    }
    let mut again: HashMap<String, usize> = HashMap::new();
    for delivery in receiver.drain() {
        if delivery.path == "/well" {
            *again.entry(delivery.header("webhook-id").to_owned()).or_default() += 1;
        }
    }
    for event in &before {
        let (first, second) = (received.get(event).copied().unwrap_or(0), again.get(event).copied().unwrap_or(0));
        assert!(first <= 1 && second <= 1 && first + second >= 1, "{event}: {first} and then {second}");
    }
    server.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_while_it_makes_a_backup_leaves_none_and_nothing_of_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Start::in_dir(folder.path()).start().await;
    // Making the key of the passphrase takes longer than the answer and the kill.
    let body = json!({ "passphrase": PASSPHRASE }).to_string();
    server.api.post("/v1/backups", body).await.expect(202);
    until("a file", async || {
        std::fs::read_dir(folder.path().join("backups")).is_ok_and(|mut entries| entries.next().is_some())
    })
    .await;
    server.kill().await;
    let left = || -> Vec<String> {
        let entries = std::fs::read_dir(folder.path().join("backups")).expect("it is there");
        entries.map(|entry| entry.expect("one").file_name().into_string().expect("UTF-8")).collect()
    };
    assert!(left().iter().all(|name| !name.ends_with(".backup")), "{:?}", left());
    assert!(!left().is_empty(), "it was killed too late to show anything");
    let server = Start::in_dir(folder.path()).start().await;
    assert_eq!(server.api.get("/v1/backups").await.expect(200).json()["data"], json!([]));
    assert_eq!(left(), [""; 0]);
    server.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_makes_downloads_and_restores_and_says_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    std::fs::create_dir(&old).expect("there is room");
    let server = Start::in_dir(&old).start().await;
    server.api.create_event_type("order.paid").await;
    let event = publish(&server.api).await;
    let (out, url) = (folder.path().join("a.backup"), format!("http://{}", server.address));
    let words = ["backup", "--url", &url, "--key", ADMIN_KEY, "--out", text(&out)];
    let exposed = [&words[..], &["--passphrase", PASSPHRASE]].concat();
    assert!(refused(&exposed, None).contains("everyone on this machine"));
    let unknown = ["backup", "--url", &url, "--key", "ww_unknown", "--out", text(&out)];
    assert!(!waxwing(&unknown, None).status.success());
    assert!(!out.exists(), "what is refused leaves nothing in the way of the next one");
    let printed = good(&words, None);
    assert!(printed.contains("downloaded to"), "{printed}");
    assert!(refused(&words, None).contains("cannot be made"), "it overwrites nothing");
    assert!(refused(&["backup", "--data-dir", text(&old)], None).contains("leave --data-dir out"));
    server.terminate().await;

    let restore = ["restore", text(&out), "--data-dir", text(&new)];
    assert!(refused(&restore, None).contains("put that instance's file secret-key into"));
    std::fs::write(new.join("secret-key"), "7".repeat(64)).expect("there is room");
    assert!(refused(&restore, None).contains("not the one that this store was made with"));
    std::fs::copy(old.join("secret-key"), new.join("secret-key")).expect("it can be copied");
    good(&restore, None);
    assert!(refused(&restore, None).contains("is not empty"));
    assert!(
        refused(&["restore", text(&old.join("secret-key")), "--data-dir", text(&folder.path().join("x"))], None)
            .contains("no backup of Waxwing")
    );
    let server = Start::in_dir(&new).start().await;
    server.api.get(&format!("/v1/events/{event}")).await.expect(200);
    server.terminate().await;

    let elsewhere = folder.path().join("elsewhere");
    let words = ["backup", "--data-dir", text(&new), "--to", text(&elsewhere), "--json"];
    let made: Value = serde_json::from_str(&good(&words, Some(PASSPHRASE))).expect("JSON");
    let file = elsewhere.join(made["file"].as_str().expect("its name"));
    let check = ["check", text(&file)];
    good(&check, Some(PASSPHRASE));
    assert!(refused(&check, None).contains("give its passphrase"));
    assert!(refused(&check, Some("another passphrase")).contains("not the one that the backup was made with"));
    assert!(refused(&["check", text(&file), "--passphrase", PASSPHRASE], None).contains("everyone on this machine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_sent_to_an_empty_server_takes_the_place_of_its_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    std::fs::create_dir(&old).expect("there is room");
    std::fs::create_dir(&new).expect("there is room");
    let server = Start::in_dir(&old).start().await;
    server.api.create_event_type("order.paid").await;
    let event = publish(&server.api).await;
    let (out, url) = (folder.path().join("a.backup"), format!("http://{}", server.address));
    good(&["backup", "--url", &url, "--key", ADMIN_KEY, "--out", text(&out)], Some(PASSPHRASE));
    server.terminate().await;
    let backup = std::fs::read(&out).expect("it is there");

    let server = Start::in_dir(&new).start().await;
    let client = Client::over_loopback(server.address, Contracts::ALL, ADMIN_KEY);
    let link = client.post("/v1/setup/invitation", json!({})).await.assert(200).json();
    let link = link["data"]["attributes"]["invitation_url"].as_str().expect("a link").to_owned();
    let token = link.rsplit('/').next().expect("it ends with the token");
    let send = |token: &str, passphrase: &str| {
        let call = client.call(Method::POST, "/v1/setup/restore").without_key().header("waxwing-setup-token", token);
        let call = call.header("waxwing-passphrase", &passphrase.replace(' ', "%20"));
        call.bytes("application/octet-stream", backup.clone())
    };
    let standing =
        async || client.get("/v1/setup").without_key().await.assert(200).json()["data"]["attributes"].clone();
    send("a-guess", PASSPHRASE).await.assert(401);
    send(token, "short").await.assert(400);
    send(token, "another passphrase").await.assert(202);
    until("word of the wrong passphrase", async || standing().await["restore"]["state"] == "failed").await;
    assert!(
        standing().await["restore"]["error"]
            .as_str()
            .expect("why")
            .contains("not the one that the backup was made with")
    );
    assert_eq!(server.api.get(&format!("/v1/events/{event}")).await.status, 404);

    // Whoever has begun is not an empty instance any more.
    server.api.create_event_type("order.sent").await;
    let refused = send(token, PASSPHRASE).await.assert(409).json();
    assert_eq!(refused["errors"][0]["code"], "invalid_state");
    client.delete("/v1/event-types/order.sent").await.assert(204);
    // Also when it begins while the backup comes.
    let (first, rest) = backup.split_at(backup.len() / 2);
    let head = format!(
        "POST /v1/setup/restore HTTP/1.1\r\nhost: x\r\nwaxwing-setup-token: {token}\r\nwaxwing-passphrase: {}\r\n\
         content-type: application/octet-stream\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        PASSPHRASE.replace(' ', "%20"),
        backup.len()
    );
    let mut slow = tokio::net::TcpStream::connect(server.address).await.expect("it listens");
    slow.write_all(head.as_bytes()).await.expect("it reads");
    slow.write_all(first).await.expect("it reads");
    until("the coming backup", async || standing().await["restore"]["state"] == "running").await;
    server.api.create_event_type("order.sent").await;
    slow.write_all(rest).await.expect("it reads");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
    client.delete("/v1/event-types/order.sent").await.assert(204);
    assert!(standing().await["restore"].is_null());

    send(token, PASSPHRASE).await.assert(202);
    until("the event", async || {
        let asked = async {
            server
                .api
                .connect()
                .await
                .ok()?
                .request("GET", &format!("/v1/events/{event}"), Vec::new().into())
                .await
                .ok()
        };
        asked.await.is_some_and(|answer| answer.status == 200)
    })
    .await;
    let id = server.id();
    publish(&server.api).await;
    let (_, output) = server.terminate().await;
    assert!(output.matches("listens on").count() == 2 && id > 0, "one process went on: {output}");
    assert_eq!(
        std::fs::read(new.join("secret-key")).expect("it is there"),
        std::fs::read(old.join("secret-key")).expect("it is")
    );
    assert!(new.join("replaced").join("waxwing.redb").exists());
    assert!(!new.join("restore.upload").exists() && !new.join("restore.ready").exists());
    let printed = good(&["check", "--data-dir", text(&new)], None);
    assert!(printed.contains("fits together"), "{printed}");
}
