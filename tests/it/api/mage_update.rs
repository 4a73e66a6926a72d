//! Mage Loyalty, "Update a webhook subscription": PUT, and partial all the same.

use expect_test::expect;
use serde_json::json;

use super::mage_create::shop;
use crate::support::app::TestApp;

async fn subscription(app: &TestApp, key: &str) -> String {
    let body = json!({ "url": "https://example.com/webhooks/mage", "events": ["points.earned"], "description": "CRM" });
    app.post("/v1/webhook-subscriptions", body).key(key).await.assert(201).id()
}

#[tokio::test]
async fn only_what_is_sent_changes_and_the_secret_is_not_shown() {
    let app = TestApp::start().await;
    let key = shop(&app).await;
    let path = format!("/v1/webhook-subscriptions/{}", subscription(&app, &key).await);
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
                  "url": "https://example.com/webhooks/mage",
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
                  "disabled_reason": null,
                  "last_delivery_at": null,
                  "last_delivery_status": null,
                  "consecutive_failures": 0,
                  "created_at": "2026-02-18T12:00:00.000Z",
                  "updated_at": "2026-02-18T12:00:00.000Z"
                }
              }
            }
        "#]]);
}

#[tokio::test]
async fn null_clears_the_description_and_nothing_changes_nothing() {
    let app = TestApp::start().await;
    let key = shop(&app).await;
    let path = format!("/v1/webhook-subscriptions/{}", subscription(&app, &key).await);
    app.advance(std::time::Duration::from_secs(60));
    let untouched = app.put(&path, json!({})).key(&key).await.assert(200).json();
    assert_eq!(untouched["data"]["attributes"]["updated_at"], "2026-02-18T12:00:00.000Z");
    let cleared = app.put(&path, json!({ "description": null })).key(&key).await.assert(200).json();
    assert!(cleared["data"]["attributes"]["description"].is_null());
    assert_eq!(cleared["data"]["attributes"]["updated_at"], "2026-02-18T12:01:00.000Z");
}

#[tokio::test]
async fn what_the_published_error_list_names_is_400_or_404() {
    let app = TestApp::start().await;
    let key = shop(&app).await;
    let path = format!("/v1/webhook-subscriptions/{}", subscription(&app, &key).await);
    for (body, expected) in [
        (
            json!({ "url": 5 }),
            expect![[r#"
            400 invalid_type /url: This must be a string
        "#]],
        ),
        (
            json!({ "url": "example.com" }),
            expect![[r#"
            400 invalid_url /url: This is not a usable URL: it must begin with https://
        "#]],
        ),
        (
            json!({ "events": [] }),
            expect![[r#"
            400 events_empty /events: At least one event type or pattern is needed
        "#]],
        ),
        (
            json!({ "events": ["points.burned"] }),
            expect![[r#"
            400 unknown_event_type /events/0: There is no event type 'points.burned'
        "#]],
        ),
        (
            json!({ "is_active": "yes", "description": 5 }),
            expect![[r#"
            400 invalid_type /description: This must be a string
            400 invalid_type /is_active: This must be true or false
        "#]],
        ),
    ] {
        app.put(&path, body).key(&key).await.check(expected);
    }
    app.put("/v1/webhook-subscriptions/whsub_unknown", json!({})).key(&key).await.check(expect![[r#"
        404 not_found: Webhook subscription 'whsub_unknown' not found
    "#]]);
}

#[tokio::test]
async fn a_subscription_of_another_shop_is_not_found() {
    let app = TestApp::start().await;
    let key = shop(&app).await;
    let path = format!("/v1/webhook-subscriptions/{}", subscription(&app, &key).await);
    app.post("/v1/tenants", json!({ "name": "Other", "external_id": "other" })).await.assert(201);
    let other = app.make_key(json!({ "name": "other", "preset": "full_access", "tenant": "other" })).await;
    app.put(&path, json!({ "is_active": false })).key(&other).await.assert(404);
    app.get(&path).key(&other).await.assert(404);
    app.delete(&path).key(&other).await.assert(404);
    app.get(&path).key(&key).await.assert(200);
}
