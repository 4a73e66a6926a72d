//! A receiver was down, and comes back: what it missed arrives, each delivery once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::binary::{Api, PATIENCE, Start};
use crate::support::receiver::Receiver;

const EVENTS: usize = 300;

/// Asks again until the answer is as wanted.
async fn until(api: &Api, path: &str, is_there: impl Fn(&Value) -> bool) -> Value {
    let all = async {
        loop {
            let answer = api.get(path).await.expect(200).json();
            if is_there(&answer) {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("{path} did not come to it in time"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_after_an_outage_delivers_everything_that_failed_exactly_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let is_up = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&is_up);
    let mut receiver = Receiver::start(move |_| if up.load(Ordering::Relaxed) { 204 } else { 500 }).await;
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("order.paid").await;
    // The profile `mage` has no circuit: everything is tried and fails.
    let tenant = json!({ "name": "Shop", "external_id": "shop", "profile": "mage" });
    waxwing.api.post("/v1/tenants", tenant.to_string()).await.expect(201);
    let api = waxwing.api.clone().for_tenant("shop");
    let body = json!({ "url": receiver.url("/hook"), "events": ["*"], "retry_schedule": [0] });
    let subscription = api.post("/v1/webhook-subscriptions", body.to_string()).await.expect(201).json();
    let subscription = subscription["data"]["id"].as_str().expect("an id").to_owned();

    let events: Vec<Value> = (0..EVENTS).map(|n| json!({ "type": "order.paid", "data": { "n": n } })).collect();
    api.post("/v1/events/batch", json!({ "events": events }).to_string()).await.expect(200);
    let recover = format!("/v1/webhook-subscriptions/{subscription}/recover");
    let dry = json!({ "since": "2000-01-01T00:00:00Z", "dry_run": true }).to_string();
    // All have failed when all would be recovered.
    let all_failed = async {
        let expected = json!({ "dry_run": true, "matched": EVENTS, "is_complete": true });
        while api.post(&recover, dry.clone()).await.expect(200).json()["meta"] != expected {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, all_failed).await.expect("everything fails in time");
    let failed = receiver.drain();
    assert_eq!(failed.len(), 2 * EVENTS, "each was tried twice");

    is_up.store(true, Ordering::Relaxed);
    let begin = json!({ "since": "2000-01-01T00:00:00Z" }).to_string();
    let careful = api.clone().with_idempotency_key("after the outage");
    let first = careful.post(&recover, begin.clone()).await.expect(202).json();
    // Somebody presses the button twice.
    let second = careful.post(&recover, begin).await.expect(202).json();
    assert_eq!(first["data"]["id"], second["data"]["id"]);
    let path = format!("/v1/jobs/{}", first["data"]["id"].as_str().expect("an id"));
    let done = until(&api, &path, |job| job["data"]["attributes"]["state"] == "done").await;
    let attributes = &done["data"]["attributes"];
    assert_eq!([&attributes["matched"], &attributes["done"], &attributes["skipped"]], [EVENTS, EVENTS, 0]);

    let mut arrived: HashMap<u64, usize> = HashMap::new();
    for _ in 0..EVENTS {
        let received: Value = serde_json::from_slice(&receiver.next().await.body).expect("JSON");
        *arrived.entry(received["data"]["n"].as_u64().expect("its number")).or_default() += 1;
    }
    let is_empty = |list: &Value| list["data"].as_array().is_some_and(Vec::is_empty);
    until(&api, "/v1/deliveries?filter[state]=retrying&page[size]=1", is_empty).await;
    assert!(receiver.drain().is_empty(), "nothing came twice");
    assert_eq!(arrived.len(), EVENTS, "nothing was missed");
    let (status, _) = waxwing.terminate().await;
    assert!(status.success());
}
