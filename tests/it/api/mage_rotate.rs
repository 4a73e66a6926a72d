//! Mage Loyalty, "Rotate the signing secret": no body, no content type, a new secret at once; over HTTP against the running
//! binary.
//!
//! `POST /v1/webhook-subscriptions/{id}/rotate-secret`, `Authorization: <api-key>`; 200, 401, 403, 404, 429.

use expect_test::expect;
use hmac::{Hmac, KeyInit, Mac};
use poem::http::Method;
use serde_json::{Value, json};

use super::mage_create::{RECEIVER, limited, past_the_quota, published_error, reader, shop};
use crate::support::app::{Client, TEST_RECEIVER, TestApp};
use crate::support::binary::RunningApp;

/// A new subscription, and its path.
async fn created(app: &Client, key: &str, url: &str) -> (Value, String) {
    let body = json!({ "url": url, "events": ["points.earned"], "description": "CRM" });
    let created = app.post("/v1/webhook-subscriptions", body).key(key).await.assert(201);
    (created.json(), format!("/v1/webhook-subscriptions/{}", created.id()))
}

fn secret(answer: &Value) -> &str {
    answer["data"]["attributes"]["secret"].as_str().expect("it is shown")
}

#[tokio::test]
async fn the_published_request_replaces_the_secret_and_shows_the_new_one() {
    let app = RunningApp::start().await;
    let key = shop(&app).await;
    let (created, path) = created(&app, &key, RECEIVER).await;
    let rotated = app.call(Method::POST, &format!("{path}/rotate-secret")).key(&key).await.check(expect![[r#"
        200
        {
          "data": {
            "type": "webhook_subscription",
            "id": "whsub_…",
            "attributes": {
              "tenant_id": "tnt_…",
              "url": "https://192.0.2.1/webhooks/mage",
              "events": [
                "points.earned"
              ],
              "is_active": true,
              "description": "CRM",
              "signing": "subscription",
              "secret": "<64 hex>",
              "secret_version": 2,
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
    assert_ne!(secret(&created), secret(&rotated.json()));
    let shown = app.get(&path).key(&key).await.assert(200).json();
    assert!(shown["data"]["attributes"].get("secret").is_none(), "the member is absent, not null: {shown}");
}

#[tokio::test]
async fn on_a_clock_that_is_set_only_the_secret_and_updated_at_are_others() {
    let app = TestApp::start().await;
    let key = shop(&app).await;
    let (mut created, path) = created(&app, &key, "https://example.com/webhooks/mage").await;
    app.advance(std::time::Duration::from_secs(60));
    let rotated = app.call(Method::POST, &format!("{path}/rotate-secret")).key(&key).await.assert(200).json();
    let changed = &mut created["data"]["attributes"];
    assert_eq!(changed["updated_at"], "2026-02-18T12:00:00.000Z");
    changed["updated_at"] = json!("2026-02-18T12:01:00.000Z");
    changed["secret_version"] = json!(2);
    changed["secret"] = json!(secret(&rotated));
    assert_eq!(created, rotated);
}

#[tokio::test]
async fn the_old_secret_is_dead_at_once_and_the_next_delivery_has_the_new_one() {
    let app = RunningApp::start().await;
    shop(&app).await;
    // Only a key of the instance may use the built-in receiver.
    let of_shop = |method, path: &str| app.call(method, path).header("waxwing-tenant", "my-store");
    let body = json!({ "url": TEST_RECEIVER, "events": ["points.earned"] });
    let made = of_shop(Method::POST, "/v1/webhook-subscriptions").json(&body).await.assert(201);
    let path = format!("/v1/webhook-subscriptions/{}/rotate-secret", made.id());
    let rotated = of_shop(Method::POST, &path).await.assert(200).json();
    let event = json!({ "type": "points.earned", "data": { "points_earned": 50 } });
    let event = of_shop(Method::POST, "/v1/events").json(&event).await.assert(202).id();
    let attempt = app.first_attempt(&event, "my-store").await;
    let (timestamp, body) = (attempt.header("x-webhook-timestamp"), &attempt.body);
    let mac = |secret: &str| {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{timestamp}.{body}").as_bytes());
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    };
    assert_eq!(attempt.header("x-webhook-signature"), mac(secret(&rotated)));
    assert_ne!(attempt.header("x-webhook-signature"), mac(secret(&made.json())));
}

#[tokio::test]
async fn each_row_of_the_published_error_table_is_told_as_published() {
    let app = RunningApp::start().await;
    let key = shop(&app).await;
    let (reader, limited) = (reader(&app).await, limited(&app).await);
    app.post("/v1/tenants", json!({ "name": "Other", "external_id": "other" })).await.assert(201);
    let other = app.make_key(json!({ "name": "other", "preset": "full_access", "tenant": "other" })).await;
    let (_, subscription) = created(&app, &key, RECEIVER).await;
    let path = format!("{subscription}/rotate-secret");
    let unknown = "/v1/webhook-subscriptions/whsub_unknown/rotate-secret";
    let post = |path| app.call(Method::POST, path);
    let mut table = Vec::new();
    for (row, call) in [
        ("key missing", post(&path).without_key()),
        ("key invalid", post(&path).key("not-a-key-of-this-shop")),
        ("key is read-only", post(&path).key(&reader)),
        ("no such subscription", post(unknown).key(&key)),
    ] {
        table.push(format!("{row} → {}\n", published_error(&call.await)));
    }
    post(&path).key(&other).await.assert(404);
    let shown = app.get(&subscription).key(&key).await.assert(200).json();
    assert_eq!(shown["data"]["attributes"]["secret_version"], 1, "nothing was rotated");
    let refused = past_the_quota(|| post(&path).key(&limited)).await;
    table.push(format!("over 6 a second → {}\n", published_error(&refused)));
    expect![[r#"
        key missing → 401 Unauthorized: Missing Authorization header
        key invalid → 401 Unauthorized: Invalid API key
        key is read-only → 403 Forbidden: This API key is read-only and cannot perform write operations
        no such subscription → 404 Not Found: Webhook subscription 'whsub_unknown' not found
        over 6 a second → 429 Too Many Requests: Rate limit exceeded. Please retry after a short delay.
    "#]]
    .assert_eq(&table.concat());
}

#[tokio::test]
async fn an_overlap_is_refused_since_a_delivery_has_room_for_one_signature() {
    let app = RunningApp::start().await;
    let key = shop(&app).await;
    let path = created(&app, &key, RECEIVER).await.1;
    app.post(&format!("{path}/rotate-secret"), json!({ "overlap_seconds": 60 }))
        .key(&key)
        .await
        .check(expect![[r#"
            400 overlap_not_supported /overlap_seconds: Deliveries of the profile 'mage' carry one signature: two secrets cannot overlap
        "#]]);
}
