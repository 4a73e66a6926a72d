//! Mage Loyalty, "Rotate the signing secret": no body, no content type, a new secret at once.

use expect_test::expect;
use poem::http::Method;
use serde_json::json;

use super::mage_create::shop;
use crate::support::app::TestApp;

#[tokio::test]
async fn the_published_request_replaces_the_secret_and_shows_the_new_one() {
    let app = TestApp::start().await;
    let key = shop(&app).await;
    let body = json!({ "url": "https://example.com/webhooks/mage", "events": ["points.earned"] });
    let created = app.post("/v1/webhook-subscriptions", body).key(&key).await.assert(201);
    let path = format!("/v1/webhook-subscriptions/{}", created.id());
    app.advance(std::time::Duration::from_secs(60));
    let rotated = app.call(Method::POST, &format!("{path}/rotate-secret")).key(&key).await.check(expect![[r#"
        200
        {
          "data": {
            "type": "webhook_subscription",
            "id": "whsub_…",
            "attributes": {
              "tenant_id": "tnt_…",
              "url": "https://example.com/webhooks/mage",
              "events": [
                "points.earned"
              ],
              "is_active": true,
              "description": null,
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
              "disabled_reason": null,
              "last_delivery_at": null,
              "last_delivery_status": null,
              "consecutive_failures": 0,
              "created_at": "2026-02-18T12:00:00.000Z",
              "updated_at": "2026-02-18T12:01:00.000Z"
            }
          }
        }
    "#]]);
    let secret = |answer: &serde_json::Value| answer["data"]["attributes"]["secret"].clone();
    assert_ne!(secret(&created.json()), secret(&rotated.json()));
    assert!(secret(&app.get(&path).key(&key).await.json()).is_null());
}

#[tokio::test]
async fn an_overlap_is_refused_since_a_delivery_has_room_for_one_signature() {
    let app = TestApp::start().await;
    let key = shop(&app).await;
    let body = json!({ "url": "https://example.com/webhooks/mage", "events": ["points.earned"] });
    let id = app.post("/v1/webhook-subscriptions", body).key(&key).await.assert(201).id();
    app.post(&format!("/v1/webhook-subscriptions/{id}/rotate-secret"), json!({ "overlap_seconds": 60 }))
        .key(&key)
        .await
        .check(expect![[r#"
            400 overlap_not_supported /overlap_seconds: Deliveries of the profile 'mage' carry one signature: two secrets cannot overlap
        "#]]);
}
