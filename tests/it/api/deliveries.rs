//! `/v1/deliveries`

use expect_test::expect;
use poem::http::Method;
use serde_json::{Value, json};

use crate::support::app::{TEST_RECEIVER, TestApp};

/// Publishes one event to one subscription, and the path of its delivery.
async fn delivery(app: &TestApp, subscription: Value) -> (String, String) {
    let id = app.post("/v1/webhook-subscriptions", subscription).await.assert(201).id();
    let event =
        app.post("/v1/events", json!({ "type": "order.paid", "data": { "b": 1, "a": 2 } })).await.assert(202).id();
    let event = app.get(&format!("/v1/events/{event}")).await.assert(200).json();
    let delivery = event["data"]["attributes"]["deliveries"][0]["id"].as_str().unwrap();
    (format!("/v1/deliveries/{delivery}"), format!("/v1/webhook-subscriptions/{id}"))
}

fn state(answer: &Value) -> &str {
    answer["data"]["attributes"]["state"].as_str().unwrap()
}

#[tokio::test]
async fn a_delivery_shows_what_was_sent_and_what_came_back() {
    let app = TestApp::start().await;
    let (path, _) = delivery(&app, json!({ "url": TEST_RECEIVER, "events": ["*"] })).await;
    let shown = app.wait_for(&path, |delivery| state(delivery) == "succeeded").await.json();
    let attempt = &shown["data"]["attributes"]["attempts"][0];
    assert_eq!(attempt["number"], 1);
    assert_eq!(attempt["outcome"], "success");
    assert_eq!(
        attempt["request"]["body"],
        r#"{"type":"order.paid","timestamp":"2026-02-18T12:00:00.000Z","data":{"a":2,"b":1}}"#
    );
    assert_eq!(attempt["response"]["status"], 200);
    assert!(attempt["error"].is_null());
    let names: Vec<&str> =
        attempt["request"]["headers"].as_array().unwrap().iter().map(|h| h["name"].as_str().unwrap()).collect();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[tokio::test]
async fn a_delivery_of_a_paused_subscription_is_held_until_it_resumes() {
    let app = TestApp::start().await;
    let (path, subscription) =
        delivery(&app, json!({ "url": TEST_RECEIVER, "events": ["*"], "is_active": false })).await;
    app.get(&path).await.check(expect![[r#"
        200
        {
          "data": {
            "type": "delivery",
            "id": "dlv_…",
            "attributes": {
              "tenant_id": "tnt_…",
              "event_id": "evt_…",
              "event_type": "order.paid",
              "subscription_id": "whsub_…",
              "subscription_url": "https://test-receiver.invalid/inbox",
              "state": "held",
              "reason": "subscription_paused",
              "next_attempt_at": "2026-02-18T12:00:00.000Z",
              "attempts_made": 0,
              "last_http_status": null,
              "created_at": "2026-02-18T12:00:00.000Z",
              "updated_at": "2026-02-18T12:00:00.000Z",
              "attempts": []
            }
          }
        }
    "#]]);
    app.patch(&subscription, json!({ "is_active": true })).await.assert(200);
    app.wait_for(&path, |delivery| state(delivery) == "succeeded").await;
}

#[tokio::test]
async fn what_is_final_is_neither_retried_nor_canceled() {
    let app = TestApp::start().await;
    let (path, _) = delivery(&app, json!({ "url": TEST_RECEIVER, "events": ["*"] })).await;
    app.wait_for(&path, |delivery| state(delivery) == "succeeded").await;
    for verb in ["retry", "cancel"] {
        app.call(Method::POST, &format!("{path}/{verb}")).await.check(expect![[r#"
            409 invalid_state: This cannot be done to a delivery that is succeeded
        "#]]);
    }
}

#[tokio::test]
async fn a_canceled_delivery_stays_canceled() {
    let app = TestApp::start().await;
    let (path, _) = delivery(&app, json!({ "url": TEST_RECEIVER, "events": ["*"], "is_active": false })).await;
    app.call(Method::POST, &format!("{path}/cancel")).await.check(expect![[r#"
        200
        {
          "data": {
            "type": "delivery",
            "id": "dlv_…",
            "attributes": {
              "tenant_id": "tnt_…",
              "event_id": "evt_…",
              "event_type": "order.paid",
              "subscription_id": "whsub_…",
              "subscription_url": "https://test-receiver.invalid/inbox",
              "state": "canceled",
              "reason": "canceled_by_user",
              "next_attempt_at": null,
              "attempts_made": 0,
              "last_http_status": null,
              "created_at": "2026-02-18T12:00:00.000Z",
              "updated_at": "2026-02-18T12:00:00.000Z"
            }
          }
        }
    "#]]);
    app.call(Method::POST, &format!("{path}/cancel")).await.assert(409);
    app.call(Method::POST, &format!("{path}/retry")).await.assert(409);
}

#[tokio::test]
async fn a_retry_is_taken_on() {
    let app = TestApp::start().await;
    let (path, _) = delivery(&app, json!({ "url": TEST_RECEIVER, "events": ["*"], "is_active": false })).await;
    app.call(Method::POST, &format!("{path}/retry")).await.assert(202);
    app.post(&format!("{path}/retry"), json!({ "force": true })).await.check(expect![[r#"
        400 unknown_field /force: There is no field 'force' here
    "#]]);
}

#[tokio::test]
async fn deleting_a_subscription_cancels_what_waits() {
    let app = TestApp::start().await;
    let (path, subscription) =
        delivery(&app, json!({ "url": TEST_RECEIVER, "events": ["*"], "is_active": false })).await;
    app.delete(&subscription).await.assert(204);
    let canceled = app.wait_for(&path, |delivery| state(delivery) == "canceled").await.json();
    assert_eq!(canceled["data"]["attributes"]["reason"], "subscription_deleted");
    assert!(canceled["data"]["attributes"]["next_attempt_at"].is_null());
}

#[tokio::test]
async fn deliveries_are_filtered() {
    let app = TestApp::start().await;
    let (path, subscription) = delivery(&app, json!({ "url": TEST_RECEIVER, "events": ["*"] })).await;
    let shown = app.wait_for(&path, |delivery| state(delivery) == "succeeded").await.json();
    let event = shown["data"]["attributes"]["event_id"].as_str().unwrap();
    let subscription = subscription.rsplit('/').next().unwrap();
    for (filter, expected) in [
        ("filter[state]=succeeded".to_owned(), 1),
        ("filter[state]=pending".to_owned(), 0),
        (format!("filter[subscription_id]={subscription}"), 1),
        (format!("filter[event_id]={event}"), 1),
        ("filter[event_type]=order.paid".to_owned(), 1),
        ("filter[event_type]=order.sent".to_owned(), 0),
        ("filter[http_status]=200".to_owned(), 1),
        ("filter[http_status]=500".to_owned(), 0),
        ("filter[since]=2026-02-18T12:00:00Z".to_owned(), 1),
        ("filter[until]=2026-02-18T12:00:00Z".to_owned(), 0),
    ] {
        let has_all = |list: &Value| list["data"].as_array().map(Vec::len) == Some(expected);
        app.wait_for(&format!("/v1/deliveries?{filter}"), has_all).await;
    }
    app.get(
        "/v1/deliveries?filter[state]=lost&filter[http_status]=999&filter[since]=now&filter[event_id]=x&page[size]=0",
    )
    .await
    .check(expect![[r#"
        400 invalid_parameter page[size]: 'page[size]' must be 1 to 100
        400 invalid_parameter filter[state]: 'filter[state]' must be pending, retrying, held, succeeded, exhausted, canceled or expired
        400 invalid_parameter filter[event_id]: 'filter[event_id]' must be an event's id
        400 invalid_parameter filter[since]: 'filter[since]' must be an RFC 3339 date and time, its + written %2B
        400 invalid_parameter filter[http_status]: 'filter[http_status]' must be 100 to 599
    "#]]);
}
