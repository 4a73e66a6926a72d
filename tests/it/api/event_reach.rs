//! `/v1/events`: whom an event reaches, and when.

use std::time::Duration;

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::app::{TEST_RECEIVER, TestApp};

async fn subscribe(app: &TestApp, channels: Value) -> String {
    let body = json!({ "url": TEST_RECEIVER, "events": ["*"], "channels": channels });
    app.post("/v1/webhook-subscriptions", body).await.assert(201).id()
}

#[tokio::test]
async fn channels_choose_among_the_subscriptions_and_in_the_list() {
    let app = TestApp::start().await;
    subscribe(&app, json!([])).await;
    subscribe(&app, json!(["eu", "shop:1"])).await;
    let mut ids = Vec::new();
    for (channels, deliveries) in [(json!(["eu"]), 2), (json!(["us"]), 1), (json!([]), 1)] {
        let event = json!({ "type": "order.paid", "data": {}, "channels": channels });
        let accepted = app.post("/v1/events", event).await.assert(202);
        assert_eq!(accepted.json()["data"]["attributes"]["channels"], channels);
        assert_eq!(accepted.json()["data"]["attributes"]["deliveries_count"], deliveries, "{channels}");
        let shown = app.get(&format!("/v1/events/{}", accepted.id())).await.assert(200).json();
        assert_eq!(shown["data"]["attributes"]["channels"], channels);
        ids.push(accepted.id());
    }
    let is_there = |list: &Value| list["data"].as_array().is_some_and(|rows| !rows.is_empty());
    let list = app.wait_for("/v1/events?filter[channel]=us", is_there).await.json();
    let listed: Vec<&str> = list["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(listed, [&ids[1]]);
    app.get("/v1/events?filter[channel]=a%20b").await.check(expect![[r#"
        400 invalid_parameter filter[channel]: 'filter[channel]' must be a channel
    "#]]);
}

#[tokio::test]
async fn every_problem_of_channels_and_time_is_told_at_once() {
    let app = TestApp::start().await;
    for (members, expected) in [
        (
            json!({ "channels": ["a b", "eu", "eu", ""], "deliver_at": "tomorrow" }),
            expect![[r#"
            400 invalid_parameter /channels/0: This must be 1 to 64 characters of A-Z a-z 0-9 . _ : -
            400 duplicate_item /channels/2: This occurs twice
            400 invalid_parameter /channels/3: This must be 1 to 64 characters of A-Z a-z 0-9 . _ : -
            400 invalid_parameter /deliver_at: This must be an RFC 3339 date and time
        "#]],
        ),
        (
            json!({ "channels": ["1", "2", "3", "4", "5", "6"], "deliver_at": 5 }),
            expect![[r#"
            400 too_many_items /channels: There may be at most 5
            400 invalid_type /deliver_at: This must be a string
        "#]],
        ),
        (
            json!({ "channels": "eu", "deliver_at": "2026-03-20T12:00:00.001Z" }),
            expect![[r#"
            400 invalid_type /channels: This must be an array of strings
            400 out_of_range /deliver_at: This may lie at most 30 days ahead
        "#]],
        ),
        (
            json!({ "channels": [5], "deliver_at": null }),
            expect![[r#"
            400 invalid_type /channels: This must be an array of strings
            400 invalid_type /deliver_at: This must be a string
        "#]],
        ),
    ] {
        let mut event = members;
        event["type"] = json!("order.paid");
        event["data"] = json!({});
        app.post("/v1/events", event).await.check(expected);
    }
    let last = json!({ "type": "order.paid", "data": {}, "deliver_at": "2026-03-20T13:00:00+01:00" });
    app.post("/v1/events", last).await.assert(202);
}

#[tokio::test]
async fn a_scheduled_event_is_delivered_at_its_time_and_not_before() {
    let app = TestApp::start().await;
    subscribe(&app, json!([])).await;
    let deliver_at = "2026-02-18T14:00:00.000Z";
    let event = json!({ "type": "order.paid", "data": {}, "external_id": "e", "deliver_at": deliver_at });
    let accepted = app.post("/v1/events", event.clone()).await.assert(202);
    let path = format!("/v1/events/{}", accepted.id());
    let repeated = app.post("/v1/events", event).await.assert(200);
    let batch = json!({ "events": [{ "type": "order.paid", "data": {}, "deliver_at": deliver_at }] });
    let of_batch = app.post("/v1/events/batch", batch).await.assert(200);
    let attributes = |answer: &Value| answer["data"]["attributes"].clone();
    for answer in [
        attributes(&accepted.json()),
        attributes(&repeated.json()),
        of_batch.json()["data"][0]["attributes"].clone(),
        attributes(&app.get(&path).await.json()),
    ] {
        assert_eq!(answer["state"], "scheduled");
        assert_eq!(answer["deliver_at"], deliver_at);
    }
    let shown = attributes(&app.get(&path).await.json())["deliveries"][0].clone();
    assert_eq!(shown["state"], "pending");
    assert_eq!(shown["reason"], "scheduled_event");
    assert_eq!(shown["next_attempt_at"], deliver_at);

    // Another event makes the dispatcher look at its clock: a moment before, it sends only that one.
    let nudge = async || {
        let event = json!({ "type": "order.sent", "data": {} });
        let nudge = app.post("/v1/events", event).await.assert(202).id();
        let is_delivered = |event: &Value| event["data"]["attributes"]["state"] == "delivered";
        app.wait_for(&format!("/v1/events/{nudge}"), is_delivered).await;
    };
    app.advance(Duration::from_secs(3600));
    nudge().await;
    assert_eq!(attributes(&app.get(&path).await.json())["state"], "scheduled");
    app.advance(Duration::from_secs(3600));
    nudge().await;
    let delivered = app.wait_for(&path, |event| event["data"]["attributes"]["state"] == "delivered").await.json();
    let delivery = attributes(&delivered)["deliveries"][0]["id"].as_str().unwrap().to_owned();
    let attempts = attributes(&app.get(&format!("/v1/deliveries/{delivery}")).await.json())["attempts"].clone();
    assert_eq!(attempts.as_array().map(Vec::len), Some(1));
    assert!(attempts[0]["started_at"].as_str().unwrap() >= deliver_at);
    assert_eq!(attributes(&delivered)["deliver_at"], deliver_at);
}

#[tokio::test]
async fn a_scheduled_delivery_that_is_canceled_or_asked_for_is_scheduled_no_more() {
    let app = TestApp::start().await;
    subscribe(&app, json!([])).await;
    for (action, state) in [("cancel", "failed"), ("retry", "delivered")] {
        let event = json!({ "type": "order.paid", "data": {}, "deliver_at": "2026-02-18T14:00:00Z" });
        let path = format!("/v1/events/{}", app.post("/v1/events", event).await.assert(202).id());
        let delivery = app.get(&path).await.json()["data"]["attributes"]["deliveries"][0]["id"].clone();
        let asked = app.post(&format!("/v1/deliveries/{}/{action}", delivery.as_str().unwrap()), json!({})).await;
        assert!(asked.status.is_success(), "{}", asked.body);
        app.wait_for(&path, |event| event["data"]["attributes"]["state"] == state).await;
    }
}
