//! `/v1/stats`, also by event type, and `/v1/webhook-subscriptions/{id}/stats`

use std::time::Duration;

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::app::{TEST_RECEIVER, TestApp};

/// Publishes so many events and waits until the figures of the hour say that all were delivered.
async fn deliver(app: &TestApp, events: u64) {
    for _ in 0..events {
        app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).await.assert(202);
    }
    app.wait_for("/v1/stats", |stats| sum(stats, "/deliveries/succeeded") == events && published(stats) == events)
        .await;
}

fn sum(stats: &Value, pointer: &str) -> u64 {
    let points = stats["data"]["attributes"]["points"].as_array().unwrap();
    points.iter().map(|point| point.pointer(pointer).unwrap().as_u64().unwrap()).sum()
}

fn published(stats: &Value) -> u64 {
    sum(stats, "/events_published")
}

#[tokio::test]
async fn what_happened_stands_in_its_point_and_the_others_are_zeros() {
    let app = TestApp::start().await;
    app.post("/v1/webhook-subscriptions", json!({ "url": TEST_RECEIVER, "events": ["*"] })).await.assert(201);
    deliver(&app, 2).await;
    let stats = app.get("/v1/stats?since=2026-02-18T11:59:59Z&until=2026-02-18T14:00:00Z").await.assert(200).json();
    let attributes = &stats["data"]["attributes"];
    assert_eq!(attributes["since"], "2026-02-18T11:00:00.000Z");
    assert_eq!(attributes["until"], "2026-02-18T14:00:00.000Z");
    let points = attributes["points"].as_array().unwrap();
    assert_eq!(points.len(), 3);
    let quiet = json!({
        "at": "2026-02-18T11:00:00.000Z",
        "events_published": 0,
        "deliveries": { "created": 0, "succeeded": 0, "exhausted": 0, "canceled": 0, "expired": 0 },
        "attempts": {
            "succeeded": 0,
            "failed": 0,
            "failed_by": {
                "status_3xx": 0,
                "status_4xx": 0,
                "status_5xx": 0,
                "blocked_address": 0,
                "dns": 0,
                "connect": 0,
                "tls": 0,
                "timeout": 0,
                "http": 0
            }
        },
        "latency_ms": null
    });
    assert_eq!(points[0], quiet);
    assert_eq!(points[1]["at"], "2026-02-18T12:00:00.000Z");
    assert_eq!(points[1]["events_published"], 2);
    assert_eq!(points[1]["deliveries"]["created"], 2);
    assert_eq!(points[1]["attempts"]["succeeded"], 2);
    assert!(points[1]["latency_ms"]["p50"].as_f64().unwrap() >= 0.0);
    assert_eq!(points[2]["attempts"]["succeeded"], 0);
}

#[tokio::test]
async fn a_series_reaches_back_as_far_as_its_resolution_suggests() {
    let app = TestApp::start().await;
    app.advance(Duration::from_secs(30 * 60 + 7));
    for (resolution, points, since, until) in [
        ("minute", 60, "2026-02-18T11:31:00.000Z", "2026-02-18T12:31:00.000Z"),
        ("hour", 24, "2026-02-17T13:00:00.000Z", "2026-02-18T13:00:00.000Z"),
        ("day", 30, "2026-01-20T00:00:00.000Z", "2026-02-19T00:00:00.000Z"),
    ] {
        let stats = app.get(&format!("/v1/stats?resolution={resolution}")).await.assert(200).json();
        let attributes = &stats["data"]["attributes"];
        assert_eq!(attributes["points"].as_array().unwrap().len(), points);
        assert_eq!((attributes["since"].as_str(), attributes["until"].as_str()), (Some(since), Some(until)));
    }
}

#[tokio::test]
async fn a_series_that_makes_no_sense_or_is_too_long_is_refused() {
    let app = TestApp::start().await;
    app.get("/v1/stats?resolution=minute&since=2026-02-17T19:20:00Z&until=2026-02-18T12:00:00Z").await.assert(200);
    app.get("/v1/stats?resolution=minute&since=2026-02-17T19:19:59Z&until=2026-02-18T12:00:00Z").await.check(expect![[
        r#"
            400 invalid_parameter since: 'since' must be at most 1,000 points before 'until': ask for a shorter time or a longer resolution
        "#
    ]]);
    app.get("/v1/stats?since=2026-02-18T12:00:00Z&until=2026-02-18T12:00:00Z").await.check(expect![[r#"
        400 invalid_parameter since: 'since' must be before 'until'
    "#]]);
    app.get("/v1/stats?since=0000-01-01T00:00:00Z").await.assert(400);
    app.get("/v1/stats?since=9999-12-31T23:00:00Z&until=9999-12-31T23:59:59.999Z").await.assert(200);
    app.get("/v1/stats?resolution=second&since=now&scope=all&from=1").await.check(expect![[r#"
        400 invalid_parameter scope: 'scope' must be tenant or instance
        400 invalid_parameter resolution: 'resolution' must be minute, hour or day
        400 invalid_parameter since: 'since' must be an RFC 3339 date and time, its + written %2B
        400 invalid_parameter from: 'from' must be left out: there is no such parameter here
    "#]]);
}

#[tokio::test]
async fn a_tenant_sees_its_own_figures_and_the_instance_all_of_them() {
    let app = TestApp::start().await;
    app.post("/v1/tenants", json!({ "name": "Acme", "external_id": "acme" })).await.assert(201);
    let key = app.make_key(json!({ "name": "k", "preset": "full_access", "tenant": "acme" })).await;
    let event = json!({ "type": "order.paid", "data": 1 });
    app.post("/v1/events", event.clone()).await.assert(202);
    for _ in 0..2 {
        app.post("/v1/events", event.clone()).key(&key).await.assert(202);
    }
    app.wait_for("/v1/stats?scope=instance", |stats| published(stats) == 3).await;
    assert_eq!(published(&app.get("/v1/stats").await.assert(200).json()), 1);
    let of_acme = app.get("/v1/stats").header("waxwing-tenant", "acme").await.assert(200).json();
    assert_eq!(published(&of_acme), 2);
    assert_eq!(app.get("/v1/stats").key(&key).await.assert(200).json(), of_acme);
    app.get("/v1/stats?scope=instance").key(&key).await.check(expect![[r#"
        403 missing_scope: This concerns the whole instance, and this API key is bound to one tenant
    "#]]);
    let publisher = app.make_key(json!({ "name": "p", "preset": "publish_only" })).await;
    app.get("/v1/stats").key(&publisher).await.assert(403);
}

#[tokio::test]
async fn the_instance_sees_how_much_is_published_of_each_event_type() {
    let app = TestApp::start().await;
    app.post("/v1/tenants", json!({ "name": "Acme", "external_id": "acme" })).await.assert(201);
    for (event_type, tenant) in [("order.paid", "default"), ("order.sent", "acme"), ("order.paid", "acme")] {
        let event = json!({ "type": event_type, "data": 1 });
        app.post("/v1/events", event).header("waxwing-tenant", tenant).await.assert(202);
    }
    let path = "/v1/stats/event-types?resolution=day";
    let sum = |stats: &Value| {
        let types = stats["data"]["attributes"]["event_types"].as_array().unwrap().clone();
        types.iter().map(|one| one["events_published"].as_u64().unwrap()).sum::<u64>()
    };
    let stats = app.wait_for(path, |stats| sum(stats) == 3).await.json();
    assert_eq!(
        stats["data"],
        json!({
            "type": "event_type_stats",
            "id": "instance",
            "attributes": {
                "resolution": "day",
                "since": "2026-01-20T00:00:00.000Z",
                "until": "2026-02-19T00:00:00.000Z",
                "event_types": [
                    { "name": "order.paid", "events_published": 2 },
                    { "name": "order.sent", "events_published": 1 },
                ],
            },
        })
    );
    let before = app.get("/v1/stats/event-types?resolution=day&until=2026-02-18T00:00:00Z").await.assert(200).json();
    assert_eq!(before["data"]["attributes"]["event_types"], json!([]));
    let key = app.make_key(json!({ "name": "k", "preset": "full_access", "tenant": "acme" })).await;
    app.get(path).key(&key).await.assert(403);
}

#[tokio::test]
async fn a_subscription_shows_how_it_fares() {
    let app = TestApp::start().await;
    let id =
        app.post("/v1/webhook-subscriptions", json!({ "url": TEST_RECEIVER, "events": ["*"] })).await.assert(201).id();
    let path = format!("/v1/webhook-subscriptions/{id}/stats");
    deliver(&app, 3).await;
    app.patch(&format!("/v1/webhook-subscriptions/{id}"), json!({ "is_active": false })).await.assert(200);
    app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).await.assert(202);
    let is_held = |stats: &Value| stats["data"]["attributes"]["deliveries"]["held"] == 1;
    let stats = app.wait_for(&format!("{path}?resolution=day&since=2026-02-18T00:00:00Z"), is_held).await.json();
    let attributes = &stats["data"]["attributes"];
    assert_eq!(
        attributes["deliveries"],
        json!({ "pending": 0, "retrying": 0, "held": 1, "succeeded": 3, "exhausted": 0, "canceled": 0, "expired": 0 })
    );
    assert_eq!(attributes["last_24_hours"]["attempts"], 3);
    assert_eq!(attributes["last_24_hours"]["success_rate"], 1.0);
    assert!(attributes["last_24_hours"]["latency_ms"]["p95"].is_number());
    assert!(attributes["failing_since"].is_null());
    let points = attributes["points"].as_array().unwrap();
    assert_eq!(points.len(), 1);
    assert_eq!(points[0]["deliveries"]["created"], 4);
    assert!(points[0]["events_published"].is_null());

    // A day later it is quiet again, and what is kept is still counted.
    app.advance(Duration::from_secs(25 * 60 * 60));
    let stats = app.get(&path).await.assert(200).json();
    assert_eq!(
        stats["data"]["attributes"]["last_24_hours"],
        json!({ "attempts": 0, "success_rate": null, "latency_ms": null })
    );
    assert_eq!(stats["data"]["attributes"]["deliveries"]["succeeded"], 3);

    let elsewhere = app.make_key(json!({ "name": "k", "preset": "full_access", "tenant": "system" })).await;
    app.get(&path).key(&elsewhere).await.assert(404);
    app.delete(&format!("/v1/webhook-subscriptions/{id}")).await.assert(204);
    app.get(&path).await.assert(404);
}
