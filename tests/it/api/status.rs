//! `/v1/status`, and the figures of `/metrics`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::app::{TEST_RECEIVER, TestApp};

const MIB: u64 = 1024 * 1024;

async fn subscribe(app: &TestApp, tenant: &str, receiver: &str) -> String {
    let body = json!({ "url": format!("https://test-receiver.invalid/{receiver}"), "events": ["*"] });
    app.post("/v1/webhook-subscriptions", body).header("waxwing-tenant", tenant).await.assert(201).id()
}

async fn publish(app: &TestApp, tenant: &str, events: usize) {
    for _ in 0..events {
        let event = json!({ "type": "order.paid", "data": 1 });
        app.post("/v1/events", event).header("waxwing-tenant", tenant).await.assert(202);
    }
}

async fn pause(app: &TestApp, tenant: &str, subscription: &str) {
    let path = format!("/v1/webhook-subscriptions/{subscription}");
    app.patch(&path, json!({ "is_active": false })).header("waxwing-tenant", tenant).await.assert(200);
}

async fn behave(app: &TestApp, receiver: &str, behaviour: &str) {
    let path = format!("/v1/test-receiver/receivers/{receiver}");
    app.put(&path, json!({ "behaviour": behaviour })).await.assert(200);
}

fn at<'a>(status: &'a Value, pointer: &str) -> &'a Value {
    status["data"]["attributes"].pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not in {status}"))
}

#[tokio::test]
async fn a_quiet_instance_has_nothing_to_tell() {
    let app = TestApp::start().await;
    subscribe(&app, "default", "inbox").await;
    let status = app.get("/v1/status").await.assert(200).json();
    expect![[r#"
        {
          "instance": null,
          "queue": {
            "due": 0,
            "exhausted": 0,
            "held": 0,
            "lag_seconds": 0.0,
            "oldest_due_at": null,
            "pending": 0,
            "retrying": 0
          },
          "scope": "tenant",
          "subscriptions": {
            "degraded": {
              "count": 0,
              "longest": null
            },
            "disabled": {
              "count": 0,
              "longest": null
            },
            "failing": {
              "count": 0,
              "longest": null
            },
            "healthy": 1,
            "paused": 0
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&status["data"]["attributes"]).unwrap());
}

#[tokio::test]
async fn deliveries_are_counted_by_why_they_wait_and_subscriptions_by_how_they_fare() {
    let app = TestApp::start().await;
    behave(&app, "sick", "fail").await;
    let [paused, sick] = [subscribe(&app, "default", "paused").await, subscribe(&app, "default", "sick").await];
    subscribe(&app, "default", "well").await;
    pause(&app, "default", &paused).await;
    publish(&app, "default", 2).await;
    let status = app
        .wait_for("/v1/status", |status| *at(status, "/queue/held") == 2 && *at(status, "/queue/retrying") == 2)
        .await
        .json();
    assert_eq!((at(&status, "/queue/pending"), at(&status, "/subscriptions/paused")), (&json!(0), &json!(1)));
    assert_eq!(at(&status, "/subscriptions/healthy"), 1);
    let degraded = at(&status, "/subscriptions/degraded");
    assert_eq!((&degraded["count"], &degraded["longest"]["subscription_id"]), (&json!(1), &json!(sick)));
    assert_eq!(degraded["longest"]["url"], "https://test-receiver.invalid/sick");

    // Ten failures in a row: what waits is held then, and one of it is tried at a time that is told.
    publish(&app, "default", 8).await;
    let status = app.wait_for("/v1/status", |status| *at(status, "/subscriptions/failing/count") == 1).await.json();
    assert_eq!(at(&status, "/subscriptions/failing/longest")["subscription_id"], json!(sick));
    app.wait_for("/v1/status", |status| *at(status, "/queue/held") == 20).await;
    let path = format!("/v1/webhook-subscriptions/{sick}");
    let probe_at = app.get(&path).await.json()["data"]["attributes"]["next_probe_at"].clone();
    assert!(probe_at.as_str().is_some_and(|at| at.starts_with("2026-02-18T12:00:")), "{probe_at}");
    pause(&app, "default", &sick).await;
    assert_eq!(app.get(&path).await.json()["data"]["attributes"]["next_probe_at"], Value::Null);
}

#[tokio::test]
async fn what_is_late_is_told_with_its_age() {
    let app = TestApp::start().await;
    let body = json!({ "url": TEST_RECEIVER, "events": ["*"], "rate_limit": 1 });
    app.post("/v1/webhook-subscriptions", body).await.assert(201);
    // One a second may go; the clock moves by milliseconds alone.
    publish(&app, "default", 50).await;
    let due = |status: &Value| at(status, "/queue/due").as_u64().unwrap();
    let status = app.wait_for("/v1/status", |status| due(status) > 0).await.json();
    assert!(due(&status) <= 50, "{status}");
    let oldest = at(&status, "/queue/oldest_due_at").as_str().unwrap();
    assert!(oldest.starts_with("2026-02-18T12:00:"), "{oldest}");
    assert!(at(&status, "/queue/lag_seconds").as_f64().unwrap() >= 0.0);
    app.advance(Duration::from_millis(900));
    app.wait_for("/v1/status", |status| at(status, "/queue/lag_seconds").as_f64().unwrap() >= 0.9).await;
    // A paused one has nothing that could go.
    let id = app.get("/v1/webhook-subscriptions").await.json()["data"][0]["id"].as_str().unwrap().to_owned();
    pause(&app, "default", &id).await;
    app.wait_for("/v1/status", |status| due(status) == 0 && at(status, "/queue/oldest_due_at").is_null()).await;
}

#[tokio::test]
async fn a_tenant_sees_its_own_queue_and_nothing_of_the_server() {
    let app = TestApp::start().await;
    app.post("/v1/tenants", json!({ "name": "Acme", "external_id": "acme" })).await.assert(201);
    let key = app.make_key(json!({ "name": "k", "preset": "full_access", "tenant": "acme" })).await;
    for tenant in ["default", "acme"] {
        let paused = subscribe(&app, tenant, "inbox").await;
        pause(&app, tenant, &paused).await;
    }
    publish(&app, "default", 1).await;
    publish(&app, "acme", 2).await;
    let held = |status: &Value| at(status, "/queue/held").as_u64().unwrap();
    app.wait_for("/v1/status?scope=instance", |status| held(status) == 3).await;
    assert_eq!(held(&app.get("/v1/status").await.assert(200).json()), 1);
    let of_acme = app.get("/v1/status").key(&key).await.assert(200).json();
    assert_eq!((held(&of_acme), at(&of_acme, "/instance")), (2, &Value::Null));
    assert_eq!(at(&of_acme, "/subscriptions/paused"), 1);
    app.get("/v1/status?scope=instance").key(&key).await.check(expect![[r#"
        403 missing_scope: This concerns the whole instance, and this API key is bound to one tenant
    "#]]);
    let scopes = json!({ "name": "publisher", "scopes": ["events:write"] });
    let publisher = app.make_key(scopes).await;
    app.get("/v1/status").key(&publisher).await.assert(403);
}

#[tokio::test]
async fn a_restricted_key_sees_what_waits_for_the_subscriptions_that_it_made() {
    let app = TestApp::start().await;
    let body = json!({ "name": "shop", "preset": "full_access", "tenant": "default", "allowed_events": ["order.*"] });
    let key = app.make_key(body).await;
    let others = subscribe(&app, "default", "inbox").await;
    pause(&app, "default", &others).await;
    publish(&app, "default", 1).await;
    app.wait_for("/v1/status", |status| *at(status, "/queue/held") == 1).await;
    let own = app.get("/v1/status").key(&key).await.assert(200).json();
    assert_eq!((at(&own, "/queue/held"), at(&own, "/subscriptions/paused")), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn a_disk_that_fills_up_is_told_before_new_events_are_refused() {
    let app = TestApp::start().await;
    for (free, level, refusing) in [(513, "enough", 0), (511, "low", 0), (255, "refusing", 1), (513, "enough", 0)] {
        app.free_bytes.store(free * MIB, Ordering::Relaxed);
        app.advance(Duration::from_secs(1));
        let status = app.get("/v1/status?scope=instance").await.assert(200).json();
        let disk = at(&status, "/instance/disk");
        assert_eq!(
            *disk,
            json!({ "free_bytes": free * MIB, "reserve_bytes": 256 * MIB, "warning_bytes": 512 * MIB, "total_bytes": 0, "level": level })
        );
        let metrics = app.get("/metrics").await.assert(200).body;
        assert!(metrics.lines().any(|line| line == format!("waxwing_disk_refusing {refusing}")), "{metrics}");
    }
}

#[tokio::test]
async fn a_clock_that_was_set_is_told() {
    let app = TestApp::start().await;
    app.advance(Duration::from_secs(2 * 60 * 60));
    let status = app.get("/v1/status?scope=instance").await.assert(200).json();
    let clock = at(&status, "/instance/clock");
    assert!(clock["jumped_at"].as_str().is_some_and(|at| at.starts_with("2026-02-18T14:00:00")), "{clock}");
    // Time passes while the test's clock stands still.
    let drift = clock["drift_seconds"].as_f64().unwrap();
    assert!((7000.0..=7200.0).contains(&drift), "{clock}");
}
