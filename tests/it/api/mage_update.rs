//! Mage Loyalty, "Update a webhook subscription": PUT, and partial all the same; over HTTP against the running binary.
//!
//! `PUT /v1/webhook-subscriptions/{id}`, `Authorization: <api-key>`; 200, 400, 401, 403, 404, 429.

use expect_test::expect;
use poem::http::Method;
use serde_json::{Value, json};

use super::mage_create::{RECEIVER, limited, past_the_quota, published_error, reader, shop};
use crate::support::app::{Client, TestApp};
use crate::support::binary::RunningApp;

/// The path of a new one.
async fn subscription(app: &Client, key: &str, url: &str) -> String {
    let body = json!({ "url": url, "events": ["points.earned"], "description": "CRM" });
    let id = app.post("/v1/webhook-subscriptions", body).key(key).await.assert(201).id();
    format!("/v1/webhook-subscriptions/{id}")
}

#[tokio::test]
async fn only_what_is_sent_changes_and_the_secret_is_not_shown() {
    let app = RunningApp::start().await;
    let key = shop(&app).await;
    let path = subscription(&app, &key, RECEIVER).await;
    app.put(&path, json!({ "events": ["points.earned", "customer.tier_upgrade"], "is_active": false }))
        .key(&key)
        .await
        .check(expect![[r#"
            200
            {
              "data": {
                "type": "webhook_subscription",
                "id": "whsub_…",
                "attributes": {
                  "tenant_id": "tnt_…",
                  "url": "https://192.0.2.1/webhooks/mage",
                  "events": [
                    "points.earned",
                    "customer.tier_upgrade"
                  ],
                  "is_active": false,
                  "description": "CRM",
                  "signing": "subscription",
                  "secret_version": 1,
                  "previous_secret_expires_at": null,
                  "public_key": null,
                  "previous_key_pair_expires_at": null,
                  "profile": "mage",
                  "marea_id": "mk_we_…",
                  "agentmessage_id": "<uuid>",
                  "envelope": "profile",
                  "api_version": null,
                  "max_in_flight": 10,
                  "timeout_seconds": 15,
                  "rate_limit": null,
                  "retry_schedule": null,
                  "ordering": "none",
                  "circuit_breaker": false,
                  "headers": {},
                  "channels": [],
                  "owner": "tenant",
                  "metadata": {},
                  "health": "healthy",
                  "failing_since": null,
                  "next_probe_at": null,
                  "disabled_reason": null,
                  "last_delivery_at": null,
                  "last_delivery_status": null,
                  "consecutive_failures": 0,
                  "created_at": "<moment in ms>",
                  "updated_at": "<moment in ms>"
                }
              }
            }
        "#]]);
    // Paused and resumed, the description cleared, the URL moved; and nothing at all.
    for (body, member, expected) in [
        (json!({ "is_active": true }), "is_active", json!(true)),
        (json!({ "description": null }), "description", Value::Null),
        (json!({ "description": "ERP" }), "description", json!("ERP")),
        (json!({ "url": "https://192.0.2.1/moved" }), "url", json!("https://192.0.2.1/moved")),
        (json!({}), "events", json!(["points.earned", "customer.tier_upgrade"])),
    ] {
        let changed = app.put(&path, body).key(&key).await.assert(200).json();
        assert_eq!(changed["data"]["attributes"][member], expected);
        assert!(changed["data"]["attributes"].get("secret").is_none(), "{changed}");
        assert_eq!(app.get(&path).key(&key).await.json(), changed, "and it is shown so");
    }
}

#[tokio::test]
async fn on_a_clock_that_is_set_updated_at_moves_with_a_change_and_not_without_one() {
    let app = TestApp::start().await;
    let key = shop(&app).await;
    let path = subscription(&app, &key, "https://example.com/webhooks/mage").await;
    app.advance(std::time::Duration::from_secs(60));
    let untouched = app.put(&path, json!({})).key(&key).await.assert(200).json();
    assert_eq!(untouched["data"]["attributes"]["updated_at"], "2026-02-18T12:00:00.000Z");
    let cleared = app.put(&path, json!({ "description": null })).key(&key).await.assert(200).json();
    assert!(cleared["data"]["attributes"]["description"].is_null());
    assert_eq!(cleared["data"]["attributes"]["updated_at"], "2026-02-18T12:01:00.000Z");
}

#[tokio::test]
async fn each_row_of_the_published_error_table_is_told_as_published() {
    let app = RunningApp::start().await;
    let key = shop(&app).await;
    let (reader, limited) = (reader(&app).await, limited(&app).await);
    let path = subscription(&app, &key, RECEIVER).await;
    let before = app.get(&path).key(&key).await.assert(200).json();
    let put = |body: Value| app.put(&path, body).key(&key);
    let mut table = Vec::new();
    for (row, call) in [
        ("url not a string", put(json!({ "url": 5 }))),
        ("url not a valid URL", put(json!({ "url": "example.com" }))),
        ("events empty", put(json!({ "events": [] }))),
        ("unknown event", put(json!({ "events": ["points.burned"] }))),
        ("is_active not a boolean", put(json!({ "is_active": "yes" }))),
        ("description not a string", put(json!({ "description": 5 }))),
        ("invalid JSON", app.call(Method::PUT, &path).body("application/json", "{").key(&key)),
        ("key missing", put(json!({})).without_key()),
        ("key invalid", put(json!({})).key("not-a-key-of-this-shop")),
        ("key is read-only", put(json!({})).key(&reader)),
        ("no such subscription", app.put("/v1/webhook-subscriptions/whsub_unknown", json!({})).key(&key)),
    ] {
        table.push(format!("{row} → {}\n", published_error(&call.await)));
    }
    let refused = past_the_quota(|| app.put(&path, json!({})).key(&limited)).await;
    table.push(format!("over 6 a second → {}\n", published_error(&refused)));
    expect![[r#"
        url not a string → 400 Bad Request: This must be a string
        url not a valid URL → 400 Bad Request: This is not a usable URL: it must begin with https://
        events empty → 400 Bad Request: At least one event type or pattern is needed
        unknown event → 400 Bad Request: There is no event type 'points.burned'
        is_active not a boolean → 400 Bad Request: This must be true or false
        description not a string → 400 Bad Request: This must be a string
        invalid JSON → 400 Bad Request: The body is not valid JSON: EOF while parsing an object at line 1 column 1
        key missing → 401 Unauthorized: Missing Authorization header
        key invalid → 401 Unauthorized: Invalid API key
        key is read-only → 403 Forbidden: This API key is read-only and cannot perform write operations
        no such subscription → 404 Not Found: Webhook subscription 'whsub_unknown' not found
        over 6 a second → 429 Too Many Requests: Rate limit exceeded. Please retry after a short delay.
    "#]]
    .assert_eq(&table.concat());
    assert_eq!(app.get(&path).key(&key).await.json(), before, "nothing was changed");
}

#[tokio::test]
async fn a_subscription_of_another_shop_is_not_found() {
    let app = RunningApp::start().await;
    let key = shop(&app).await;
    let path = subscription(&app, &key, RECEIVER).await;
    app.post("/v1/tenants", json!({ "name": "Other", "external_id": "other" })).await.assert(201);
    let other = app.make_key(json!({ "name": "other", "preset": "full_access", "tenant": "other" })).await;
    app.put(&path, json!({ "is_active": false })).key(&other).await.assert(404);
    app.get(&path).key(&other).await.assert(404);
    app.delete(&path).key(&other).await.assert(404);
    app.get(&path).key(&key).await.assert(200);
}
