//! `/v1/listeners`: what is sent to `https://listener.invalid` is fetched and answered by whoever listens.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use expect_test::expect;
use serde_json::{Value, json};
use waxwing::http::{Defaults, Settings};

use crate::support::app::{TEST_RECEIVER, TestApp};

const URL: &str = "https://listener.invalid/ann";

async fn subscribe(app: &TestApp) -> String {
    let body = json!({ "url": URL, "events": ["order.*"], "headers": { "X-Shop": "blue" }, "circuit_breaker": false });
    app.post("/v1/webhook-subscriptions", body).await.assert(201).id()
}

async fn listen(app: &TestApp, subscription: &str) -> String {
    app.post("/v1/listeners", json!({ "subscription_id": subscription })).await.assert(201).id()
}

/// What there is after request `after`, once there is something.
async fn fetch(app: &TestApp, listener: &str, after: &str) -> Vec<Value> {
    let path = format!("/v1/listeners/{listener}/requests?after={after}");
    let list = app.wait_for(&path, |list| list["data"].as_array().is_some_and(|all| !all.is_empty())).await;
    list.json()["data"].as_array().unwrap().clone()
}

async fn publish(app: &TestApp) -> String {
    app.post("/v1/events", json!({ "type": "order.paid", "data": { "n": 1.10 } })).await.assert(202).id()
}

/// The first attempt that is recorded.
async fn attempt(app: &TestApp) -> Value {
    let is_tried = |list: &Value| list["data"][0]["attributes"]["attempts_made"] == 1;
    let list = app.wait_for("/v1/deliveries", is_tried).await.json();
    let id = list["data"][0]["id"].as_str().unwrap();
    app.get(&format!("/v1/deliveries/{id}")).await.assert(200).json()["data"]["attributes"]["attempts"][0].clone()
}

#[tokio::test]
async fn what_is_sent_is_fetched_as_a_receiver_would_see_it_and_the_answer_is_the_attempts() {
    let app = TestApp::start().await;
    let listener = listen(&app, &subscribe(&app).await).await;
    let event = publish(&app).await;
    let fetched = fetch(&app, &listener, "0").await;
    assert_eq!(fetch(&app, &listener, "0").await.len(), 1, "an answer that was lost on its way can be asked for again");
    let id = fetched[0]["id"].as_str().unwrap();
    let none = app.get(&format!("/v1/listeners/{listener}/requests?after={id}")).await.assert(200);
    assert_eq!(none.json(), json!({ "data": [] }));

    let request = &fetched[0]["attributes"];
    assert_eq!((&request["event_id"], &request["event_type"]), (&json!(event), &json!("order.paid")));
    assert_eq!(request["attempt"], 1);
    let body = STANDARD.decode(request["body_base64"].as_str().unwrap()).unwrap();
    let body = String::from_utf8(body).unwrap();
    assert!(
        body.starts_with(r#"{"type":"order.paid","timestamp":"#) && body.ends_with(r#""data":{"n":1.1}}"#),
        "{body}"
    );
    let headers: Vec<(&str, &str)> = request["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        .collect();
    assert!(headers.contains(&("webhook-id", event.as_str())), "{headers:?}");
    assert!(headers.contains(&("x-shop", "blue")), "its receiver sees the value: {headers:?}");
    assert!(headers.iter().any(|(name, value)| *name == "webhook-signature" && value.starts_with("v1,")));

    let answer = json!({
        "request_id": id,
        "status": 503,
        "headers": { "Retry-After": "7" },
        "body_base64": STANDARD.encode("not now"),
        "duration_ms": 1,
    });
    let path = format!("/v1/listeners/{listener}/answers");
    app.post(&path, answer.clone()).await.assert(204);
    app.post(&path, answer).await.check(expect![[r#"
        404 not_found: Request '1' not found
    "#]]);
    let attempt = attempt(&app).await;
    assert_eq!(attempt["outcome"], "failure");
    assert_eq!(attempt["response"]["status"], 503);
    assert_eq!(attempt["response"]["body"], "not now");
    let shown = attempt["request"]["headers"].to_string();
    assert!(shown.contains("***") && !shown.contains("blue"), "elsewhere nobody sees it: {shown}");
}

#[tokio::test]
async fn what_did_not_work_over_there_is_recorded_by_its_class() {
    let app = TestApp::start().await;
    let listener = listen(&app, &subscribe(&app).await).await;
    publish(&app).await;
    let fetched = fetch(&app, &listener, "0").await;
    let answer = json!({ "request_id": fetched[0]["id"], "error": "connect", "error_detail": "connection refused" });
    app.post(&format!("/v1/listeners/{listener}/answers"), answer).await.assert(204);
    let attempt = attempt(&app).await;
    assert_eq!((&attempt["error"]["class"], &attempt["response"]), (&json!("connect"), &Value::Null), "{attempt}");
}

#[tokio::test]
async fn while_nobody_listens_nothing_is_sent_and_what_waits_comes_then() {
    let app = TestApp::start().await;
    let subscription = subscribe(&app).await;
    let path = format!("/v1/webhook-subscriptions/{subscription}");
    let test = app.post(&format!("{path}/test"), json!({})).await.assert(200).json();
    assert_eq!(test["data"]["attributes"]["error"], "connect", "{test}");
    let first = listen(&app, &subscription).await;
    app.delete(&format!("/v1/listeners/{first}")).await.assert(204);
    assert_eq!(app.get(&path).await.json()["data"]["attributes"]["is_active"], false);
    let event = publish(&app).await;
    app.wait_for("/v1/deliveries", |list| list["data"][0]["attributes"]["state"] == "held").await;
    let second = listen(&app, &subscription).await;
    assert_eq!(app.get(&path).await.json()["data"]["attributes"]["is_active"], true);
    assert_eq!(fetch(&app, &second, "0").await[0]["attributes"]["event_id"], json!(event));
    app.get(&format!("/v1/listeners/{first}/requests")).await.assert(404);
}

#[tokio::test]
async fn one_listens_to_a_subscription_at_a_time_and_a_key_to_eight() {
    let app = TestApp::start().await;
    let mut subscriptions = Vec::new();
    for _ in 0..9 {
        subscriptions.push(subscribe(&app).await);
    }
    for subscription in &subscriptions[..8] {
        listen(&app, subscription).await;
    }
    app.post("/v1/listeners", json!({ "subscription_id": subscriptions[0] })).await.check(expect![[r#"
        409 invalid_state: Somebody else listens to this subscription
    "#]]);
    let ninth = app.post("/v1/listeners", json!({ "subscription_id": subscriptions[8] })).await;
    assert_eq!(ninth.header("retry-after"), Some("15"));
    ninth.check(expect![[r#"
        429 limit_exceeded: No more than 8 listeners of one key are possible at once: end one, then try again
    "#]]);
}

#[tokio::test]
async fn only_who_may_write_the_subscription_listens_to_it() {
    let app = TestApp::start().await;
    let subscription = subscribe(&app).await;
    let listener = listen(&app, &subscription).await;
    let other = app.post("/v1/tenants", json!({ "name": "other" })).await.assert(201).id();
    let foreign = app.make_key(json!({ "name": "k", "preset": "full_access", "tenant": other })).await;
    let reading = app.make_key(json!({ "name": "k", "preset": "read_only" })).await;
    let restricted = app.make_key(json!({ "name": "k", "preset": "subscriber", "allowed_events": ["order.*"] })).await;
    let body = json!({ "subscription_id": subscription });
    let requests = format!("/v1/listeners/{listener}/requests");
    for (key, begun, fetched) in [(&foreign, 400, 404), (&reading, 403, 403), (&restricted, 400, 404)] {
        app.post("/v1/listeners", body.clone()).key(key).await.assert(begun);
        app.get(&requests).key(key).await.assert(fetched);
        app.post(&format!("/v1/listeners/{listener}/answers"), json!({ "request_id": "1", "status": 200 }))
            .key(key)
            .await
            .assert(fetched);
        app.delete(&format!("/v1/listeners/{listener}")).key(key).await.assert(fetched);
    }
    let own = json!({ "url": URL, "events": ["order.paid"] });
    let own = app.post("/v1/webhook-subscriptions", own).key(&restricted).await.assert(201).id();
    app.post("/v1/listeners", json!({ "subscription_id": own })).key(&restricted).await.assert(201);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_named() {
    let app = TestApp::start().await;
    let elsewhere = json!({ "url": TEST_RECEIVER, "events": ["*"] });
    let elsewhere = app.post("/v1/webhook-subscriptions", elsewhere).await.assert(201).id();
    app.post("/v1/listeners", json!({ "subscription_id": elsewhere })).await.check(expect![[r#"
        400 invalid_parameter /subscription_id: This must be the id of a subscription whose URL begins with https://listener.invalid/
    "#]]);
    let listener = listen(&app, &subscribe(&app).await).await;
    app.get(&format!("/v1/listeners/{listener}/requests?wait_seconds=31&after=x")).await.check(expect![[r#"
        400 invalid_parameter after: 'after' must be a request's id
        400 invalid_parameter wait_seconds: 'wait_seconds' must be 0 to 30
    "#]]);
    let wrong = json!({
        "request_id": "1", "status": 99, "error": "cold", "body_base64": "?", "duration_ms": -1,
        "error_detail": "x".repeat(501),
    });
    app.post(&format!("/v1/listeners/{listener}/answers"), wrong).await.check(expect![[r#"
        400 out_of_range /duration_ms: This must be 0 to 60000
        400 invalid_parameter /error: This must be dns, connect, tls, timeout or http
        400 out_of_range /error_detail: This must have at most 500 characters
        400 out_of_range /status: This must be 100 to 599
        400 invalid_parameter /body_base64: This must be bytes in base64
    "#]]);
}

#[tokio::test]
async fn an_answer_costs_the_quota_nothing_unless_it_is_refused() {
    let one = Defaults { management: std::num::NonZeroU32::new(1), publish: None };
    let app = TestApp::start_with(Settings { rate_limits: one, ..Settings::default() }).await;
    let answer = json!({ "request_id": "1", "status": 200 });
    app.post("/v1/listeners/lsn_1/answers", answer.clone()).await.assert(404);
    app.post("/v1/listeners/lsn_1/answers", answer).await.assert(429);
}
