//! What a subscriber sets has its effect on a real receiver.

use std::time::Duration;

use serde_json::{Value, json};
use waxwing::clock::Clock;

use crate::support::binary::{Api, Start};
use crate::support::receiver::Receiver;

async fn subscribe(api: &Api, body: Value) -> String {
    let answer = api.post("/v1/webhook-subscriptions", body.to_string()).await.expect(201).json();
    answer["data"]["id"].as_str().expect("an id").to_owned()
}

async fn publish(api: &Api, body: Value) -> String {
    let answer = api.post("/v1/events", body.to_string()).await.expect(202).json();
    answer["data"]["id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_headers_and_raw_data_arrive_with_deliveries_and_tests() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut receiver = Receiver::start(|_| 204).await;
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("order.paid").await;
    let subscription = subscribe(
        &waxwing.api,
        json!({
            "url": receiver.url("/raw"),
            "events": ["order.*"],
            "envelope": "raw",
            "headers": { "X-Shop": "one", "Authorization": "Bearer two" },
        }),
    )
    .await;
    let data = r#"{ "total": 1.0e2 }"#;
    let body = format!(r#"{{"type":"order.paid","data":{data}}}"#);
    let id = waxwing.api.post("/v1/events", body).await.expect(202).json()["data"]["id"].clone();
    let delivered = receiver.next().await;
    assert_eq!(delivered.body, data);
    assert_eq!(delivered.header("webhook-id"), id);

    // Sealed on disk, and opened again by the next life.
    waxwing.kill().await;
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.post(&format!("/v1/webhook-subscriptions/{subscription}/test"), "").await.expect(200);
    let tested = receiver.next().await;
    for received in [delivered, tested] {
        assert_eq!(received.header("x-shop"), "one");
        assert_eq!(received.header("authorization"), "Bearer two");
    }
    waxwing.kill().await;
    let file = std::fs::read(folder.path().join("waxwing.redb")).expect("it is there");
    for text in ["x-shop", "Bearer two"] {
        let is_there = file.windows(text.len()).any(|window| window == text.as_bytes());
        assert_eq!(is_there, text == "x-shop", "{text} in the file");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_own_retry_schedule_is_followed_to_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut receiver = Receiver::start(|received| if received.path == "/last" { 204 } else { 500 }).await;
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("order.paid").await;
    subscribe(&waxwing.api, json!({ "url": receiver.url("/sick"), "events": ["*"], "retry_schedule": [0, 0] })).await;
    let event = publish(&waxwing.api, json!({ "type": "order.paid", "data": {} })).await;
    for _ in 0..3 {
        assert_eq!(receiver.next().await.header("webhook-id"), event);
    }
    let filter = format!("/v1/deliveries?filter[event_id]={event}");
    let delivery = async || waxwing.api.get(&filter).await.expect(200).json()["data"][0]["attributes"].clone();
    while delivery().await["state"] != "exhausted" {
        tokio::task::yield_now().await;
    }
    assert_eq!(delivery().await["attempts_made"], 3);
    assert_eq!(delivery().await["reason"], "attempts_exhausted");
    assert!(receiver.drain().is_empty(), "two retries are three attempts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_event_arrives_at_its_time_although_the_process_was_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut receiver = Receiver::start(|_| 204).await;
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("order.paid").await;
    subscribe(&waxwing.api, json!({ "url": receiver.url("/"), "events": ["*"] })).await;
    let deliver_at = Clock::System.now().plus(Duration::from_secs(2));
    let body = json!({ "type": "order.paid", "data": {}, "deliver_at": deliver_at.to_string() });
    let event = publish(&waxwing.api, body).await;
    waxwing.kill().await;
    let _waxwing = Start::in_dir(folder.path()).start().await;
    let received = receiver.next().await;
    assert_eq!(received.header("webhook-id"), event);
    assert!(Clock::System.now() >= deliver_at, "it came early");
}
