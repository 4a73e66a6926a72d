//! Mage Loyalty, "Create a webhook subscription": the published request runs unchanged.

use expect_test::expect;
use serde_json::json;

use crate::support::app::TestApp;

/// A shop as Mage has it: its own key, the profile `mage`, the four event types. Also for update and rotate.
pub async fn shop(app: &TestApp) -> String {
    for name in ["points.earned", "points.redeemed", "customer.tier_upgrade", "customer.tier_downgrade"] {
        app.post("/v1/event-types", json!({ "name": name })).await.assert(201);
    }
    let tenant = json!({ "name": "My Store", "external_id": "my-store", "profile": "mage" });
    app.post("/v1/tenants", tenant).await.assert(201);
    app.make_key(json!({ "name": "shop", "preset": "full_access", "tenant": "my-store" })).await
}

#[tokio::test]
async fn the_published_request_creates_a_subscription_and_shows_its_secret() {
    let app = TestApp::start().await;
    let key = shop(&app).await;
    app.post(
        "/v1/webhook-subscriptions",
        json!({
            "url": "https://example.com/webhooks/mage",
            "events": ["points.earned", "points.redeemed"],
            "description": "Sync points to CRM"
        }),
    )
    .key(&key)
    .await
    .check(expect![[r#"
        201
        {
          "data": {
            "type": "webhook_subscription",
            "id": "whsub_…",
            "attributes": {
              "tenant_id": "tnt_…",
              "url": "https://example.com/webhooks/mage",
              "events": [
                "points.earned",
                "points.redeemed"
              ],
              "is_active": true,
              "description": "Sync points to CRM",
              "signing": "subscription",
              "secret": "<64 hex>",
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
async fn what_the_published_error_list_names_is_400() {
    let app = TestApp::start().await;
    let key = shop(&app).await;
    for (body, expected) in [
        (
            json!({ "events": ["points.earned"] }),
            expect![[r#"
            400 missing_field /url: The field 'url' is required
        "#]],
        ),
        (
            json!({ "url": "not a url", "events": ["points.earned"] }),
            expect![[r#"
            400 invalid_url /url: This is not a usable URL: spaces, control characters and backslashes are not allowed in it
        "#]],
        ),
        (
            json!({ "url": "https://example.com/x" }),
            expect![[r#"
            400 missing_field /events: The field 'events' is required
        "#]],
        ),
        (
            json!({ "url": "https://example.com/x", "events": [] }),
            expect![[r#"
            400 events_empty /events: At least one event type or pattern is needed
        "#]],
        ),
        (
            json!({ "url": "https://example.com/x", "events": ["points.burned"] }),
            expect![[r#"
            400 unknown_event_type /events/0: There is no event type 'points.burned'
        "#]],
        ),
    ] {
        app.post("/v1/webhook-subscriptions", body).key(&key).await.check(expected);
    }
    app.post("/v1/webhook-subscriptions", json!({})).body("application/json", "{\"url\": ").key(&key).await.check(
        expect![[r#"
            400 invalid_json: The body is not valid JSON: EOF while parsing a value at line 1 column 8
        "#]],
    );
}

#[tokio::test]
async fn a_read_only_key_cannot_create_in_the_published_words() {
    let app = TestApp::start().await;
    shop(&app).await;
    let key = app.make_key(json!({ "name": "reader", "preset": "read_only", "tenant": "my-store" })).await;
    let body = json!({ "url": "https://example.com/x", "events": ["points.earned"] });
    app.post("/v1/webhook-subscriptions", body).key(&key).await.check(expect![[r#"
        403 read_only_key: This API key is read-only and cannot perform write operations
    "#]]);
    app.get("/v1/webhook-subscriptions").key(&key).await.assert(200);
}

#[tokio::test]
async fn without_a_key_the_published_words_come_back() {
    let app = TestApp::start().await;
    app.get("/v1/webhook-subscriptions").without_key().await.check(expect![[r#"
        401 missing_api_key: Missing Authorization header
    "#]]);
}
