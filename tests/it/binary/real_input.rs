//! Several hundred real GitHub payloads through the running binary, and nasty ones.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use base64::Engine;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::support::binary::{Start, Waxwing};
use crate::support::receiver::{Received, Receiver};

/// The npm packages of `tests/npm`, installed when they are not there yet.
fn npm_modules() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("npm");
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/npm");
    std::fs::create_dir_all(&folder).expect("the target folder is writable");
    let lock = std::fs::read(source.join("package-lock.json")).expect("it is committed");
    let installed = folder.join("installed-lock.json");
    for file in ["package.json", "package-lock.json", "verify.mjs"] {
        std::fs::copy(source.join(file), folder.join(file)).expect("it is committed");
    }
    if std::fs::read(&installed).ok().as_ref() != Some(&lock) {
        let npm = Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder).status();
        assert!(npm.is_ok_and(|status| status.success()), "`npm ci` failed: these tests need Node.js 20 with npm");
        std::fs::write(&installed, lock).expect("the target folder is writable");
    }
    folder
}

#[derive(Deserialize)]
struct Example {
    name: String,
    examples: Vec<Box<RawValue>>,
}

/// (event type, the payload's exact bytes)
fn github_payloads() -> Vec<(String, String)> {
    let packages = npm_modules().join("node_modules/@octokit/webhooks-examples");
    let mut payloads = Vec::new();
    for folder in ["api.github.com", "ghes-31", "ghes-32", "ghes-33", "ghes-34", "ghes-35"] {
        let text = std::fs::read_to_string(packages.join(folder).join("index.json")).expect("the package has it");
        let examples: Vec<Example> = serde_json::from_str(&text).expect("it is a list of examples");
        for Example { name, examples } in examples {
            payloads.extend(examples.into_iter().map(|payload| (format!("github.{name}"), payload.get().to_owned())));
        }
    }
    payloads
}

/// Publishes, and answers with the event ids in order.
async fn publish_singly(waxwing: &Waxwing, payloads: &[(String, String)]) -> Vec<String> {
    let mut connection = waxwing.api.connect().await.expect("it listens");
    let mut ids = Vec::new();
    for (event_type, data) in payloads {
        let body = format!(r#"{{"type":"{event_type}","data":{data}}}"#);
        let answer = connection.request("POST", "/v1/events", body.into()).await.expect("it answers").expect(202);
        ids.push(answer.json()["data"]["id"].as_str().expect("an id").to_owned());
    }
    ids
}

async fn publish_in_batches(waxwing: &Waxwing, payloads: &[(String, String)]) -> Vec<String> {
    let mut connection = waxwing.api.connect().await.expect("it listens");
    let mut ids = Vec::new();
    for batch in payloads.chunks(100) {
        let events: Vec<String> =
            batch.iter().map(|(event_type, data)| format!(r#"{{"type":"{event_type}","data":{data}}}"#)).collect();
        let body = format!(r#"{{"events":[{}]}}"#, events.join(","));
        let answer = connection.request("POST", "/v1/events/batch", body.into()).await.expect("it answers").expect(200);
        for item in answer.json()["data"].as_array().expect("one answer an event") {
            ids.push(item["id"].as_str().unwrap_or_else(|| panic!("{item}")).to_owned());
        }
    }
    ids
}

/// The bytes of `data` in a delivery of profile `standard`.
fn data_of(received: &Received) -> (String, &str) {
    #[derive(Deserialize)]
    struct Body<'a> {
        r#type: String,
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let body: Body<'_> = serde_json::from_slice(&received.body).expect("the body is JSON");
    (body.r#type, body.data.get())
}

async fn receive(receiver: &mut Receiver, count: usize) -> HashMap<String, Received> {
    let mut received = HashMap::new();
    while received.len() < count {
        let next = receiver.next().await;
        let id = next.header("webhook-id").to_owned();
        assert!(received.insert(id, next).is_none(), "an event came twice");
    }
    received
}

#[tokio::test(flavor = "multi_thread")]
async fn every_real_github_payload_arrives_once_byte_for_byte_and_well_signed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut receiver = Receiver::start(|_| 204).await;
    let waxwing = Start::in_dir(folder.path()).start().await;
    let payloads = github_payloads();
    assert!(payloads.len() > 700, "only {} payloads", payloads.len());
    let names: HashSet<&str> = payloads.iter().map(|(name, _)| name.as_str()).collect();
    for name in &names {
        waxwing.api.create_event_type(name).await;
    }
    let (_, secret) = waxwing.api.subscribe(&receiver.url("/github"), &["github.*"]).await;

    let mut for_node = String::new();
    for in_batches in [false, true] {
        let ids = match in_batches {
            false => publish_singly(&waxwing, &payloads).await,
            true => publish_in_batches(&waxwing, &payloads).await,
        };
        let received = receive(&mut receiver, payloads.len()).await;
        for (id, (event_type, data)) in ids.iter().zip(&payloads) {
            let delivery = received.get(id).unwrap_or_else(|| panic!("{id} did not arrive"));
            delivery.verify(&secret);
            assert_eq!(data_of(delivery), (event_type.clone(), data.as_str()));
            for_node += &node_line(delivery, &secret);
        }
    }
    assert_eq!(verify_with_node(&for_node), 2 * payloads.len());
    assert_eq!(receiver.drain().len(), 0, "something came twice");
    waxwing.terminate().await;
}

fn node_line(received: &Received, secret: &str) -> String {
    let headers: HashMap<&str, &str> = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .into_iter()
        .map(|name| (name, received.header(name)))
        .collect();
    let body = base64::engine::general_purpose::STANDARD.encode(&received.body);
    format!("{}\n", serde_json::json!({ "secret": secret, "headers": headers, "body": body }))
}

/// How many deliveries the published Node library found good.
fn verify_with_node(lines: &str) -> usize {
    let folder = npm_modules();
    let input = folder.join(format!("deliveries-{}.ndjson", std::process::id()));
    std::fs::write(&input, lines).expect("the target folder is writable");
    let output = Command::new("node")
        .arg("verify.mjs")
        .current_dir(&folder)
        .stdin(Stdio::from(std::fs::File::open(&input).expect("it was just written")))
        .output()
        .expect("Node.js is installed");
    std::fs::remove_file(&input).expect("it was just written");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a count")
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_no_parser_would_write_back_alike_keeps_its_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut receiver = Receiver::start(|_| 200).await;
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("nasty").await;
    let (_, secret) = waxwing.api.subscribe(&receiver.url("/"), &["nasty"]).await;
    let long_integer = "9".repeat(300);
    let nested = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let large = format!(r#"{{"pad":"{}"}}"#, "x".repeat(256 * 1024 - 10));
    let nasty = [
        r#"{"a":1,"a":2,"a":1}"#,
        "1e400",
        "-0",
        "-0.0e-0",
        &long_integer,
        r#""\ud800""#,
        r#"{"\udc00\u0041":"\u00e9é\/"}"#,
        &nested,
        &large,
        "{}",
        "[]",
        "null",
        r#"{ "z" : 1 ,	"a":
 [ 1.0, 1.00 ] }"#,
        r#""</script>\u2028""#,
    ]
    .map(str::to_owned);
    let payloads: Vec<(String, String)> = nasty.into_iter().map(|data| ("nasty".to_owned(), data)).collect();
    for in_batches in [false, true] {
        let ids = match in_batches {
            false => publish_singly(&waxwing, &payloads).await,
            true => publish_in_batches(&waxwing, &payloads).await,
        };
        let received = receive(&mut receiver, payloads.len()).await;
        for (id, (_, data)) in ids.iter().zip(&payloads) {
            let delivery = &received[id];
            delivery.verify(&secret);
            let body = std::str::from_utf8(&delivery.body).expect("the body is text");
            assert!(body.ends_with(&format!(r#","data":{data}}}"#)), "{data:.60} became {body:.120}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_beyond_a_limit_is_refused_with_the_limit_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("nasty").await;
    let deep = format!("{}{}", "[".repeat(101), "]".repeat(101));
    let very_deep = "[".repeat(100_000);
    let large = format!(r#""{}""#, "x".repeat(256 * 1024));
    for (data, code, names) in [
        (deep.as_str(), "payload_too_deep", "100"),
        (very_deep.as_str(), "payload_too_deep", "100"),
        (large.as_str(), "payload_too_large", "262144"),
        ("{", "invalid_json", ""),
        (r#""\x""#, "invalid_json", ""),
        ("01", "invalid_json", ""),
    ] {
        let body = format!(r#"{{"type":"nasty","data":{data}}}"#);
        let answer = waxwing.api.post("/v1/events", body).await;
        assert!(matches!(answer.status, 400 | 413), "{data:.20}: {}", answer.text());
        let error = &answer.json()["errors"][0];
        assert_eq!(error["code"], code, "{data:.20}: {error}");
        assert!(error["detail"].as_str().expect("a text").contains(names), "{error}");
    }
}
