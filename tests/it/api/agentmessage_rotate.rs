//! AgentMessage, "Rotate a webhook endpoint's signing secret": no body, a bare object with the new secret, shown once; over HTTP
//! against the running binary.
//!
//! `POST /v1/webhooks/{id}/rotate-secret`, `Authorization: Bearer am_live_…`; 200, 401, 403, 404.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use expect_test::expect;
use hmac::{Hmac, KeyInit, Mac};
use poem::http::Method;
use serde_json::{Value, json};

use super::agentmessage_endpoints::{endpoint, key_of, organization};
use crate::support::app::{Client, TEST_RECEIVER, TestApp};
use crate::support::binary::{ADMIN_KEY, RunningApp};

const UNKNOWN: &str = "018f2d0c-7a4c-7f3e-8f1f-3a2b9c1d2e0f";

/// Where the running binary may send to, though it never does: an address for documentation, and no name to ask for.
const RECEIVER: &str = "https://192.0.2.1/hooks";

async fn endpoint_at(app: &Client, key: &str, url: &str) -> Value {
    let body = json!({ "url": url, "events": ["order.paid"] });
    app.post("/v1/webhooks", body).key(key).await.assert(201).json()
}

#[tokio::test]
async fn the_published_request_replaces_the_secret_and_shows_the_new_one_once() {
    let app = RunningApp::start().await;
    let key = organization(&app, &["webhooks:read", "webhooks:write"]).await;
    let created = endpoint_at(&app, &key, RECEIVER).await;
    let path = format!("/v1/webhooks/{}", created["id"].as_str().unwrap());
    let rotated = app.call(Method::POST, &format!("{path}/rotate-secret")).key(&key).await.check(expect![[r#"
        200
        {
          "id": "<uuid>",
          "org_id": "<uuid>",
          "url": "https://192.0.2.1/hooks",
          "events": [
            "order.paid"
          ],
          "active": true,
          "api_version": "2026-04-01",
          "created_at": "<moment in s>",
          "updated_at": "<moment in s>",
          "deleted_at": null,
          "secret": "<base64 of 32 bytes>",
          "secret_displayed_once": true
        }
    "#]]);
    let secret = rotated.json()["secret"].as_str().unwrap().to_owned();
    assert_eq!((secret.len(), STANDARD.decode(&secret).unwrap().len()), (44, 32));
    assert_ne!(created["secret"], secret.as_str());
    let shown = app.get(&path).key(&key).await.assert(200).json();
    for name in ["secret", "secret_displayed_once"] {
        assert!(shown.get(name).is_none(), "{shown}");
    }
}

#[tokio::test]
async fn on_a_clock_that_is_set_only_the_secret_and_updated_at_are_others() {
    let app = TestApp::start().await;
    let key = organization(&app, &["webhooks:read", "webhooks:write"]).await;
    let mut created = endpoint(&app, &key).await;
    app.advance(std::time::Duration::from_millis(60_999));
    let path = format!("/v1/webhooks/{}/rotate-secret", created["id"].as_str().unwrap());
    let rotated = app.call(Method::POST, &path).key(&key).await.assert(200).json();
    assert_eq!(created["updated_at"], "2026-02-18T12:00:00Z");
    created["updated_at"] = json!("2026-02-18T12:01:00Z");
    created["secret"] = rotated["secret"].clone();
    assert_eq!(created, rotated);
}

#[tokio::test]
async fn the_old_secret_is_dead_at_once_and_the_next_delivery_has_the_new_one() {
    let app = RunningApp::start().await;
    // A native key works here too; only such a one may use the built-in receiver.
    let admin = format!("Bearer {ADMIN_KEY}");
    let made = endpoint_at(&app, &admin, TEST_RECEIVER).await;
    let path = format!("/v1/webhooks/{}/rotate-secret", made["id"].as_str().unwrap());
    let rotated = app.call(Method::POST, &path).key(&admin).await.assert(200).json();
    let event = app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).await.assert(202).id();
    let attempt = app.first_attempt(&event, "default").await;
    let (t, v1) = attempt.header("x-amcore-signature").strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let mac = |secret: &Value| {
        let key = STANDARD.decode(secret.as_str().unwrap()).unwrap();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{t}\n{}", attempt.body).as_bytes());
        hex::encode(mac.finalize().into_bytes())
    };
    assert_eq!(v1, mac(&rotated["secret"]));
    assert_ne!(v1, mac(&made["secret"]));
}

#[tokio::test]
async fn every_row_of_the_error_table_is_told_as_published() {
    let app = RunningApp::start().await;
    let writer = organization(&app, &["webhooks:write"]).await;
    let reader = key_of(&app, "acme", &["webhooks:read"]).await;
    let created = endpoint_at(&app, &writer, RECEIVER).await;
    let path = format!("/v1/webhooks/{}/rotate-secret", created["id"].as_str().unwrap());
    let unknown = format!("/v1/webhooks/{UNKNOWN}/rotate-secret");
    let error = |answer: &Value, status: u16, code: &str, message: &str| {
        assert_eq!(answer["success"], false, "{answer}");
        let error = answer["error"].as_object().unwrap();
        assert_eq!((error["code"].as_str(), error["message"].as_str()), (Some(code), Some(message)), "{status}");
        assert!(!error.contains_key("details"), "{answer}");
    };
    for (call, status, code, message) in [
        (app.call(Method::POST, &path).without_key(), 401, "UNAUTHORIZED", "authentication failed"),
        (app.call(Method::POST, &path).key("Bearer am_live_wrong"), 401, "UNAUTHORIZED", "authentication failed"),
        (app.call(Method::POST, &path).key(&reader), 403, "FORBIDDEN", "missing required scope"),
        (app.call(Method::POST, &unknown).key(&writer), 404, "NOT_FOUND", "not found"),
    ] {
        let answer = call.await.assert(status);
        error(&answer.json(), status, code, message);
        assert_eq!(answer.json()["error"]["request_id"].as_str(), answer.header("x-request-id"));
    }
    let elsewhere = key_of(&app, "other", &["webhooks:write"]).await;
    app.call(Method::POST, &path).key(&elsewhere).await.assert(404);
    app.delete(&path.replace("/rotate-secret", "")).key(&writer).await.assert(204);
    app.call(Method::POST, &path).key(&writer).await.assert(404);
}
