//! AgentMessage, "Webhook deliveries": the feed of attempts with its filters, one of them, and replays.

use std::time::Duration;

use poem::http::Method;
use serde_json::{Value, json};
use waxwing::domain::time::Timestamp;
use waxwing::http::{Defaults, Settings};

use super::agentmessage_endpoints::key_of;
use crate::support::app::{ADMIN_KEY, Answer, TEST_RECEIVER, TestApp};
use crate::support::disk::SimDisk;

const FEED: &str = "/v1/webhooks/deliveries";

/// A key that may send to the test receiver, in the one form that is taken.
fn admin() -> String {
    format!("Bearer {ADMIN_KEY}")
}

async fn endpoint(app: &TestApp, url: &str, events: &[&str]) -> String {
    let body = json!({ "url": url, "events": events });
    let made = app.post("/v1/webhooks", body).await.assert(201);
    made.json()["id"].as_str().unwrap().to_owned()
}

fn rows(feed: &Value) -> Vec<Value> {
    feed["data"].as_array().unwrap().clone()
}

/// The feed when it has so many rows.
async fn feed_of(app: &TestApp, count: usize) -> Value {
    app.wait_for(FEED, |feed| rows(feed).len() == count).await.json()
}

/// An endpoint that accepts what it gets, and one whose host has no address, which gets a second attempt.
async fn filled(app: &TestApp) -> (String, String) {
    let good = endpoint(app, TEST_RECEIVER, &["order.paid"]).await;
    let bad = endpoint(app, "https://nowhere.example/", &["order.sent"]).await;
    app.post("/v1/events", json!({ "type": "order.paid", "data": { "total": 1.50 } })).await.assert(202);
    app.post("/v1/events", json!({ "type": "order.sent", "data": {} })).await.assert(202);
    feed_of(app, 2).await;
    app.advance(Duration::from_secs(6));
    feed_of(app, 3).await;
    (good, bad)
}

#[tokio::test]
async fn a_row_is_an_attempt_and_is_found_by_its_id() {
    let app = TestApp::start().await.with_key(admin());
    let (good, bad) = filled(&app).await;
    let all = rows(&feed_of(&app, 3).await);
    let shown: Vec<_> = all.iter().map(|row| (&row["endpoint_id"], &row["attempt"], &row["outcome"])).collect();
    let (good, bad) = (json!(good), json!(bad));
    assert_eq!(
        shown,
        [(&bad, &json!(2), &json!("retry")), (&bad, &json!(1), &json!("retry")), (&good, &json!(1), &json!("success"))]
    );
    for row in &all {
        let path = format!("{FEED}/{}", row["id"].as_str().unwrap());
        assert_eq!(&app.get(&path).await.assert(200).json(), row);
    }
    let success = &all[2];
    assert_eq!((&success["event_type"], &success["url"]), (&json!("order.paid"), &json!(TEST_RECEIVER)));
    assert_eq!((&success["response_status"], &success["error"]), (&json!(200), &Value::Null));
    assert_eq!(success["occurred_at"], "2026-02-18T12:00:00Z");
    let headers = success["request_headers"].as_object().unwrap();
    assert_eq!(headers["x-amcore-endpoint-id"], success["endpoint_id"]);
    assert_eq!(headers["x-amcore-event-id"], format!("evt_{}", success["event_id"].as_str().unwrap()));
    assert_eq!(success["request_body_sha256"].as_str().map(str::len), Some(64));
    assert!(success["request_body_bytes"].as_u64() > Some(100));
    let failure = &all[0];
    assert_eq!((&failure["response_status"], &failure["error"]), (&Value::Null, &json!("dns")));
}

#[tokio::test]
async fn filters_are_taken_together_and_pages_lead_on() {
    let app = TestApp::start().await.with_key(admin());
    let (good, bad) = filled(&app).await;
    let all = rows(&feed_of(&app, 3).await);
    for (query, expected) in [
        (format!("endpoint_id={good}"), vec![2]),
        (format!("endpoint_id={bad}"), vec![0, 1]),
        ("endpoint_id=018f2d0c-7a4c-7f3e-8f1f-3a2b9c1d2e0f".to_owned(), vec![]),
        ("event_type=order.paid".to_owned(), vec![2]),
        ("outcome=success".to_owned(), vec![2]),
        ("outcome=retry".to_owned(), vec![0, 1]),
        ("outcome=dead".to_owned(), vec![]),
        ("since=2026-02-18T12:00:05Z".to_owned(), vec![0]),
        ("until=2026-02-18T12:00:05Z".to_owned(), vec![1, 2]),
        ("http_status_min=200&http_status_max=200".to_owned(), vec![2]),
        ("http_status_min=201".to_owned(), vec![]),
        ("http_status_max=199".to_owned(), vec![]),
        (format!("endpoint_id={bad}&outcome=retry&until=2026-02-18T12:00:05Z"), vec![1]),
        (format!("endpoint_id={bad}&outcome=success"), vec![]),
    ] {
        let page = app.get(&format!("{FEED}?{query}")).await.assert(200).json();
        let expected: Vec<Value> = expected.into_iter().map(|place: usize| all[place].clone()).collect();
        assert_eq!(rows(&page), expected, "{query}");
        assert_eq!(page["meta"]["next_cursor"], Value::Null, "{query}");
    }
    let (mut walked, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = app.get(&format!("{FEED}?limit=1{cursor}")).await.assert(200).json();
        assert_eq!((rows(&page).len(), &page["meta"]["limit"]), (1, &json!(1)));
        walked.extend(rows(&page));
        let Some(next) = page["meta"]["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(walked, all);
}

#[tokio::test]
async fn a_query_that_cannot_be_meant_is_refused() {
    let app = TestApp::start().await.with_key(admin());
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("cursor=x", "cursor"),
        ("endpoint_id=x", "endpoint_id"),
        ("event_type=order.lost", "event_type"),
        ("event_type=webhook.test", "event_type"),
        ("outcome=failure", "outcome"),
        ("since=yesterday", "since"),
        ("until=x", "until"),
        ("http_status_min=99", "http_status_min"),
        ("http_status_max=600", "http_status_max"),
        ("http_status_min=500&http_status_max=499", "http_status_min"),
        ("colour=red", "colour"),
    ] {
        let refused = app.get(&format!("{FEED}?{query}")).await.assert(422).json();
        assert_eq!(refused["error"]["code"], "VALIDATION_FAILED", "{query}");
        let details = refused["error"]["details"].as_object().unwrap();
        assert_eq!(details.keys().collect::<Vec<_>>(), [field], "{query}");
    }
}

#[tokio::test]
async fn the_feed_of_a_deleted_endpoint_stays() {
    let app = TestApp::start().await.with_key(admin());
    let (_, bad) = filled(&app).await;
    app.delete(&format!("/v1/webhooks/{bad}")).await.assert(204);
    let feed = app.get(&format!("{FEED}?endpoint_id={bad}")).await.assert(200).json();
    let outcomes: Vec<Value> = rows(&feed).iter().map(|row| row["outcome"].clone()).collect();
    assert_eq!(outcomes, ["dead", "retry"]);
    let replay = format!("{FEED}/{}/replay", rows(&feed)[0]["id"].as_str().unwrap());
    app.call(Method::POST, &replay).await.assert(404);
}

async fn replay(app: &TestApp, row: &Value, body: Value) -> Answer {
    app.post(&format!("{FEED}/{}/replay", row["id"].as_str().unwrap()), body).await
}

#[tokio::test]
async fn a_replay_sends_the_same_data_as_a_new_event_to_the_same_endpoint() {
    let app = TestApp::start().await.with_key(admin());
    filled(&app).await;
    let first = rows(&feed_of(&app, 3).await)[2].clone();
    let made = replay(&app, &first, json!({ "reason": "lost by the CRM" })).await.assert(202).json();
    assert_eq!((&made["delivery_id"], &made["endpoint_id"]), (&first["id"], &first["endpoint_id"]));
    assert_eq!((&made["event_type"], &made["audit_log_id"]), (&first["event_type"], &made["new_event_id"]));
    let enqueued_at = made["enqueued_at"].as_str().unwrap();
    assert!(("2026-02-18T12:00:06Z".."2026-02-18T12:01:00Z").contains(&enqueued_at), "{enqueued_at}");
    assert_ne!(made["new_event_id"], first["event_id"]);
    let feed = rows(&feed_of(&app, 4).await);
    let again = feed.iter().find(|row| row["event_id"] == made["new_event_id"]).unwrap();
    assert_eq!((&again["endpoint_id"], &again["outcome"]), (&first["endpoint_id"], &json!("success")));
    // The audit id is the event, which is kept as a replay of the first one.
    let events = app.get("/v1/events?filter[type]=order.paid").await.assert(200).json();
    let (new, old) = (&events["data"][0], &events["data"][1]);
    assert_eq!(new["attributes"]["replay_of"], old["id"]);
    let data = |event: &Value| format!("/v1/events/{}", event["id"].as_str().unwrap());
    let new = app.get(&data(new)).await.json();
    assert_eq!(new["data"]["attributes"]["data"], app.get(&data(old)).await.json()["data"]["attributes"]["data"]);
}

#[tokio::test]
async fn a_replay_is_refused_for_what_is_not_there_too_long_or_too_often() {
    let app = TestApp::start().await.with_key(admin());
    filled(&app).await;
    let first = rows(&feed_of(&app, 3).await)[2].clone();
    let unknown = json!({ "id": "018f2d0c-7a4c-8f3e-8f1f-3a2b9c1d0001" });
    replay(&app, &unknown, json!({})).await.assert(404);
    let refused = replay(&app, &unknown, json!({ "reason": "x".repeat(501) })).await.assert(422).json();
    assert!(refused["error"]["details"]["reason"].is_string());
    let other = key_of(&app, "other", &["webhooks:write"]).await;
    let path = format!("{FEED}/{}/replay", first["id"].as_str().unwrap());
    app.call(Method::POST, &path).key(&other).await.assert(404);
    for _ in 0..8 {
        app.call(Method::POST, &path).await.assert(202);
    }
    let refused = app.call(Method::POST, &path).await.assert(429);
    assert_eq!(refused.header("retry-after"), Some("6"));
    let error = &refused.json()["error"];
    assert_eq!((&error["code"], &error["message"]), (&json!("RATE_LIMITED"), &json!("rate limited")));
    app.call(Method::POST, &path).key(&other).await.assert(404);
    app.advance(Duration::from_secs(6));
    app.call(Method::POST, &path).await.assert(202);
}

#[tokio::test]
async fn what_retention_removed_is_not_replayed() {
    let disk = SimDisk::new(1);
    let noon: Timestamp = "2026-02-18T12:00:00Z".parse().unwrap();
    let settings = || Settings { rate_limits: Defaults { management: None, publish: None }, ..Settings::default() };
    let app = TestApp::start_on(disk.clone(), settings(), noon).await.with_key(admin());
    app.post("/v1/event-types", json!({ "name": "order.paid" })).await.assert(201);
    endpoint(&app, TEST_RECEIVER, &["order.paid"]).await;
    app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).await.assert(202);
    let row = rows(&feed_of(&app, 1).await)[0].clone();
    drop(app);

    // A month later, the first thing that a store does is to look for what has become old.
    let a_month_later = noon.plus(Duration::from_secs(31 * 24 * 3600));
    let app = TestApp::start_on(disk, settings(), a_month_later).await.with_key(admin());
    feed_of(&app, 0).await;
    app.get(&format!("{FEED}/{}", row["id"].as_str().unwrap())).await.assert(404);
    let refused = replay(&app, &row, json!({})).await.assert(410).json();
    assert_eq!(refused["error"]["code"], "EVENT_EXPIRED");
}

#[tokio::test]
async fn the_contract_has_a_document_and_a_page_of_its_own() {
    let app = TestApp::start().await;
    let document = app.get("/openapi/agentmessage.json").without_key().await.assert(200).json();
    assert!(document["paths"]["/v1/webhooks/deliveries/{id}/replay"]["post"].is_object());
    let page = app.get("/docs/agentmessage").without_key().await.assert(200).body;
    assert!(page.contains("webhook_deliveries.replay"));
}
