//! AgentMessage, "Rotate a webhook endpoint's signing secret": no body, a bare object with the new secret, shown once.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use expect_test::expect;
use poem::http::Method;
use serde_json::Value;

use super::agentmessage_endpoints::{endpoint, key_of, organization};
use crate::support::app::TestApp;

const UNKNOWN: &str = "018f2d0c-7a4c-7f3e-8f1f-3a2b9c1d2e0f";

#[tokio::test]
async fn the_published_request_replaces_the_secret_and_shows_the_new_one_once() {
    let app = TestApp::start().await;
    let key = organization(&app, &["webhooks:read", "webhooks:write"]).await;
    let created = endpoint(&app, &key).await;
    let path = format!("/v1/webhooks/{}", created["id"].as_str().unwrap());
    app.advance(std::time::Duration::from_millis(60_999));
    let rotated = app.call(Method::POST, &format!("{path}/rotate-secret")).key(&key).await.check(expect![[r#"
        200
        {
          "id": "<uuid>",
          "org_id": "<uuid>",
          "url": "https://example.com/hooks",
          "events": [
            "order.paid"
          ],
          "active": true,
          "api_version": "2026-04-01",
          "created_at": "2026-02-18T12:00:00Z",
          "updated_at": "2026-02-18T12:01:00Z",
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
async fn every_row_of_the_error_table_is_told_as_published() {
    let app = TestApp::start().await;
    let writer = organization(&app, &["webhooks:write"]).await;
    let reader = key_of(&app, "acme", &["webhooks:read"]).await;
    let created = endpoint(&app, &writer).await;
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
