//! A receiver that fails is left alone, and gets everything when it is well again; tenant `system` hears of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::binary::{Api, PATIENCE, Start};
use crate::support::rough::{Arrival, Manner, RoughReceiver};

/// Failures in a row that open a circuit.
const FAILING_AFTER: usize = 10;

async fn subscribe(api: &Api, body: Value) -> String {
    let answer = api.post("/v1/webhook-subscriptions", body.to_string()).await.expect(201).json();
    answer["data"]["id"].as_str().expect("an id").to_owned()
}

async fn publish_batch(api: &Api, count: usize) -> Vec<String> {
    let events: Vec<Value> = (0..count).map(|n| json!({ "type": "order.paid", "data": { "n": n } })).collect();
    let answer = api.post("/v1/events/batch", json!({ "events": events }).to_string()).await.expect(200).json();
    let all = answer["data"].as_array().expect("one for each").iter();
    all.map(|event| event["id"].as_str().expect("an id").to_owned()).collect()
}

/// Asks again until the answer is as wanted.
async fn until(api: &Api, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let look = async {
        loop {
            let answer = api.get(path).await.expect(200).json();
            if is_so(&answer) {
                return answer;
            }
            last = answer;
            tokio::task::yield_now().await;
        }
    };
    match tokio::time::timeout(PATIENCE, look).await {
        Ok(answer) => answer,
        Err(_) => panic!("{path} did not come to it in time: {last}"),
    }
}

fn count(list: &Value) -> usize {
    list["data"].as_array().expect("a list").len()
}

/// What tenant `system` is told of, until it is told of `event_type`.
async fn told_until(system: &mut RoughReceiver, event_type: &str) -> Vec<Arrival> {
    let mut told = Vec::new();
    loop {
        let arrival = system.next().await;
        let is_it = arrival.body["type"] == event_type;
        told.push(arrival);
        if is_it {
            return told;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_receiver_is_left_alone_over_a_restart_until_a_good_test_lets_its_backlog_drain_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let is_well = Arc::new(AtomicBool::new(false));
    let well = Arc::clone(&is_well);
    let mut receiver = RoughReceiver::start(move |_, _, _| match well.load(Ordering::Acquire) {
        true => Manner::Status(204),
        false => Manner::Status(500),
    })
    .await;
    let mut system = RoughReceiver::start(|_, _, _| Manner::Status(204)).await;
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("order.paid").await;
    let hears = json!({ "url": system.url("/"), "events": ["subscription.*"] });
    subscribe(&waxwing.api.clone().for_tenant("system"), hears).await;
    let body = json!({ "url": receiver.url("/"), "events": ["*"], "max_in_flight": 1 });
    let id = subscribe(&waxwing.api, body).await;
    let path = format!("/v1/webhook-subscriptions/{id}");

    let mut failed = publish_batch(&waxwing.api, FAILING_AFTER).await;
    let failing = until(&waxwing.api, &path, |one| one["data"]["attributes"]["health"] == "failing").await;
    assert_eq!(failing["data"]["attributes"]["is_active"], true, "{failing}");
    let waiting = publish_batch(&waxwing.api, 20).await;
    let told = told_until(&mut system, "subscription.failing").await;
    let last = told.last().expect("it was told");
    assert_eq!(last.body["data"]["subscription_id"], id.as_str(), "{}", last.body);

    // A kill, and not an orderly end: it is on disk.
    let mut waxwing = waxwing;
    for restart in 0..2 {
        let failing = until(&waxwing.api, &path, |_| true).await;
        assert_eq!(failing["data"]["attributes"]["health"], "failing", "restart {restart}");
        let held = "/v1/deliveries?filter[state]=held&page[size]=100";
        let held = until(&waxwing.api, held, |list| count(list) == failed.len() + waiting.len()).await;
        let all = held["data"].as_array().expect("a list");
        assert!(all.iter().all(|one| one["attributes"]["reason"] == "receiver_failing"), "{held}");
        if restart == 0 {
            waxwing.kill().await;
            waxwing = Start::in_dir(folder.path()).start().await;
        }
    }

    // Only probes came since, each of the oldest that is held.
    let tried: Vec<String> = receiver.drain().into_iter().map(|arrival| arrival.id).collect();
    assert_eq!(tried[..FAILING_AFTER], failed, "the first attempts, in order");
    assert!(!tried.iter().any(|id| waiting.contains(id)), "held, and tried all the same");

    is_well.store(true, Ordering::Release);
    waxwing.api.post(&format!("{path}/test"), "").await.expect(200);
    let mut arrived = Vec::new();
    while arrived.len() < failed.len() + waiting.len() {
        let arrival = receiver.next().await;
        if arrival.body["type"] != "webhook.test" && arrival.manner == Manner::Status(204) {
            arrived.push(arrival.id);
        }
    }
    let first_attempts: Vec<&String> = arrived.iter().filter(|id| waiting.contains(id)).collect();
    assert_eq!(first_attempts, waiting.iter().collect::<Vec<_>>(), "the backlog drains in the order of ids");
    arrived.retain(|id| !waiting.contains(id));
    arrived.sort();
    failed.sort();
    assert_eq!(arrived, failed, "those that had failed, each once");
    until(&waxwing.api, &path, |one| one["data"]["attributes"]["health"] == "healthy").await;
    let told = told_until(&mut system, "subscription.recovered").await;
    let last = told.last().expect("it was told");
    assert_eq!(last.body["data"]["subscription_id"], id.as_str(), "{}", last.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn tenant_system_hears_that_a_receiver_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = RoughReceiver::start(|_, _, _| Manner::Status(410)).await;
    let mut system = RoughReceiver::start(|_, _, _| Manner::Status(204)).await;
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("order.paid").await;
    let hears = json!({ "url": system.url("/"), "events": ["subscription.*"] });
    subscribe(&waxwing.api.clone().for_tenant("system"), hears).await;
    let id = subscribe(&waxwing.api, json!({ "url": receiver.url("/"), "events": ["*"] })).await;
    publish_batch(&waxwing.api, 1).await;
    let path = format!("/v1/webhook-subscriptions/{id}");
    let gone = until(&waxwing.api, &path, |one| one["data"]["attributes"]["is_active"] == false).await;
    assert_eq!(gone["data"]["attributes"]["disabled_reason"], "gone");
    assert_eq!(gone["data"]["attributes"]["health"], "disabled");
    let told = told_until(&mut system, "subscription.disabled").await;
    let data = &told.last().expect("it was told").body["data"];
    assert_eq!((&data["subscription_id"], &data["disabled_reason"]), (&json!(id), &json!("gone")));
}
