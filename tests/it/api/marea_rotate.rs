//! Marea, "Rotate webhook signing secret": no body, a new secret and the next version at once, errors in one object;
//! over HTTP against the running binary.
//!
//! `POST /v1/webhook_endpoints/{endpointId}/rotate-secret`, headers `Idempotency-Key` (at most 200) and `Accept-Language`
//! (`es`, `en`, `pt`).

use std::time::Duration;

use expect_test::expect;
use poem::http::Method;
use serde_json::{Value, json};

use super::marea_endpoints::{COLLECTION, account, bearer, endpoint, error_of};
use crate::support::app::{Client, TEST_RECEIVER, TestApp};
use crate::support::binary::{ADMIN_KEY, RunningApp};

const SCOPES: [&str; 9] = [
    "catalog:read",
    "catalog:write",
    "storefront:publish",
    "me:verify",
    "me:resendVerification",
    "developer:bootstrap",
    "developer:read",
    "developer:issueUserKey",
    "developer:webhooks",
];

/// The published example, at a receiver where the running binary may send to, though it never does: an address for
/// documentation, and no name to ask for.
async fn endpoint_of(app: &Client, key: &str) -> Value {
    let body = json!({
        "url": "https://192.0.2.1/webhooks/marea",
        "subscribedEvents": ["order.created", "order.paid"],
        "description": "Orders to the ERP",
    });
    app.post(COLLECTION, body).key(key).await.assert(201).json()
}

#[tokio::test]
async fn the_published_request_replaces_the_secret_and_shows_the_new_one_once() {
    let app = RunningApp::start().await;
    let key = account(&app).await;
    let created = endpoint_of(&app, &key).await;
    let path = format!("{COLLECTION}/{}", created["endpointId"].as_str().unwrap());
    let rotated = app
        .call(Method::POST, &format!("{path}/rotate-secret"))
        .key(&key)
        .header("idempotency-key", "rotate-1")
        .header("accept-language", "es")
        .await
        .check(expect![[r#"
            200
            {
              "endpointId": "mk_we_…",
              "scope": "developer",
              "url": "https://192.0.2.1/webhooks/marea",
              "description": "Orders to the ERP",
              "enabled": true,
              "subscribedEvents": [
                "order.created",
                "order.paid"
              ],
              "signingSecretVersion": 2,
              "createdAt": "<moment in ms>",
              "updatedAt": "<moment in ms>",
              "lastDeliveryAt": null,
              "lastDeliveryStatus": null,
              "consecutiveFailures": 0,
              "signingSecret": "<64 hex>"
            }
        "#]])
        .json();
    assert_ne!(rotated["signingSecret"], created["signingSecret"]);
    let shown = app.get(&path).key(&key).await.assert(200).json();
    assert!(shown.get("signingSecret").is_none(), "the member is absent, not null");
    assert_eq!(shown["signingSecretVersion"], 2);
    assert!(app.get(COLLECTION).key(&key).await.json()["endpoints"][0].get("signingSecret").is_none());
}

#[tokio::test]
async fn the_old_secret_is_dead_at_once_and_deliveries_name_the_version_that_signs() {
    let app = RunningApp::start().await;
    account(&app).await;
    // A native key works here too; only such a one may use the built-in receiver.
    let admin = bearer(ADMIN_KEY);
    let body = json!({ "url": TEST_RECEIVER, "subscribedEvents": ["order.paid"] });
    let made = app.post(COLLECTION, body).key(&admin).await.assert(201).json();
    let path = format!("{COLLECTION}/{}/rotate-secret", made["endpointId"].as_str().unwrap());
    let rotated = app.call(Method::POST, &path).key(&admin).await.assert(200).json();
    let event = json!({ "type": "order.paid", "data": { "orderId": "ord_1" } });
    let event = app.post("/v1/events", event).await.assert(202).id();
    let attempt = app.first_attempt(&event, "default").await;
    assert_eq!(attempt.header("x-marea-signing-version"), "2");
    assert_eq!(attempt.header("x-marea-source"), "developer");
    assert_eq!(attempt.header("x-marea-endpoint-id"), made["endpointId"]);
    let (t, v1) = attempt.header("x-marea-signature").strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let sent = &attempt.body;
    let mac = |secret: &Value| {
        use hmac::{Hmac, KeyInit, Mac};
        let key = hex::decode(secret.as_str().unwrap()).unwrap();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{t}.{sent}").as_bytes());
        hex::encode(mac.finalize().into_bytes())
    };
    assert_eq!(v1, mac(&rotated["signingSecret"]));
    assert_ne!(v1, mac(&made["signingSecret"]));
    let shown = app.get(&path.replace("/rotate-secret", "")).key(&admin).await.json();
    assert_eq!((&shown["lastDeliveryStatus"], &shown["consecutiveFailures"]), (&json!("success"), &json!(0)));
    assert!(shown["lastDeliveryAt"].is_string(), "{shown}");
}

#[tokio::test]
async fn an_idempotency_key_rotates_once() {
    let app = RunningApp::start().await;
    let key = account(&app).await;
    let id = endpoint_of(&app, &key).await["endpointId"].as_str().unwrap().to_owned();
    let path = format!("{COLLECTION}/{id}/rotate-secret");
    let rotate = |name: &str| app.call(Method::POST, &path).key(&key).header("idempotency-key", name);
    let longest = "k".repeat(200);
    let first = rotate(&longest).await.assert(200);
    assert_eq!(first.header("marea-recommendation"), None);
    let again = rotate(&longest).await.assert(200);
    assert_eq!(again.body, first.body);
    assert_eq!(rotate("another").await.assert(200).json()["signingSecretVersion"], 3);
    assert_eq!(rotate("another").await.assert(200).json()["signingSecretVersion"], 3);

    let refused = rotate(&"k".repeat(201)).header("accept-language", "en").await.assert(400);
    let error = error_of(&refused);
    assert_eq!((&error["type"], &error["code"]), (&json!("idempotency"), &json!("invalid_idempotency_key")));
    assert_eq!(error["param"], "Idempotency-Key");

    let without = app.call(Method::POST, &path).key(&key).await.assert(200);
    assert_eq!(without.header("marea-recommendation"), Some("include-idempotency-key"));
}

#[tokio::test]
async fn on_a_clock_that_is_set_an_idempotency_key_lives_24_hours() {
    let app = TestApp::start().await;
    let key = account(&app).await;
    let created = endpoint(&app, &key).await;
    let path = format!("{COLLECTION}/{}/rotate-secret", created["endpointId"].as_str().unwrap());
    let rotate = || app.call(Method::POST, &path).key(&key).header("idempotency-key", "once");
    app.advance(Duration::from_secs(60));
    let first = rotate().await.assert(200).json();
    assert_eq!((&first["createdAt"], &first["updatedAt"]), (&created["createdAt"], &json!("2026-02-18T12:01:00.000Z")));
    app.advance(Duration::from_secs(24 * 3600 - 1));
    assert_eq!(rotate().await.assert(200).json(), first);
    app.advance(Duration::from_secs(2));
    assert_eq!(rotate().await.assert(200).json()["signingSecretVersion"], 3);
}

#[tokio::test]
async fn an_error_has_eleven_fields_and_its_message_the_language_that_was_asked_for() {
    let app = RunningApp::start().await;
    let key = account(&app).await;
    let path = format!("{COLLECTION}/mk_we_0000000000000000/rotate-secret");
    let refused = app.call(Method::POST, &path).key(&key).await.check(expect![[r#"
        404
        {
          "error": {
            "type": "not_found",
            "code": "not_found",
            "message": "No se encontró el endpoint de webhook 'mk_we_…'",
            "doc": "/docs/marea#not_found",
            "param": null,
            "requestId": "req_…",
            "requestLogUrl": "/docs/marea?request=req_…",
            "recoverable": false,
            "retryAfterMs": null,
            "nextActions": [
              {
                "label": "Lista los endpoints de webhook",
                "method": "GET",
                "url": "/v1/webhook_endpoints"
              }
            ],
            "upgrade": null
          }
        }
    "#]]);
    assert_eq!(refused.header("x-request-id"), error_of(&refused)["requestId"].as_str());
    let mut answers = Vec::new();
    for (wish, tag) in [("", "es"), ("es-MX", "es"), ("en", "en"), ("pt-BR, en;q=0.5", "pt"), ("fr", "es")] {
        let answer = app.call(Method::POST, &path).key(&key).header("accept-language", wish).await.assert(404);
        assert_eq!(answer.header("content-language"), Some(tag), "{wish}");
        let error = error_of(&answer);
        answers.push(format!("{tag} {}: {} ({})", error["code"], error["message"], error["nextActions"][0]["label"]));
    }
    expect![[r#"
        es "not_found": "No se encontró el endpoint de webhook 'mk_we_0000000000000000'" ("Lista los endpoints de webhook")
        es "not_found": "No se encontró el endpoint de webhook 'mk_we_0000000000000000'" ("Lista los endpoints de webhook")
        en "not_found": "Webhook endpoint 'mk_we_0000000000000000' not found" ("List the webhook endpoints")
        pt "not_found": "Não foi possível encontrar o endpoint de webhook 'mk_we_0000000000000000'" ("Liste os endpoints de webhook")
        es "not_found": "No se encontró el endpoint de webhook 'mk_we_0000000000000000'" ("Lista los endpoints de webhook")"#]]
    .assert_eq(&answers.join("\n"));
}

#[tokio::test]
async fn of_the_nine_scopes_developer_webhooks_alone_may_rotate() {
    let app = RunningApp::start().await;
    let key = account(&app).await;
    let id = endpoint_of(&app, &key).await["endpointId"].as_str().unwrap().to_owned();
    let path = format!("{COLLECTION}/{id}/rotate-secret");
    for scope in SCOPES {
        let body = json!({ "name": scope, "kind": "marea_developer", "scopes": [scope] });
        let key = bearer(&app.make_key(body).await);
        let answer = app.call(Method::POST, &path).key(&key).await;
        if scope == "developer:webhooks" {
            answer.assert(200);
            continue;
        }
        let error = error_of(&answer.assert(403));
        assert_eq!((&error["type"], &error["code"]), (&json!("permission"), &json!("insufficient_scope")), "{scope}");
        assert_eq!(error["requiredScopes"], json!(["developer:webhooks"]), "{scope}");
        assert_eq!(error["heldScopes"], json!([]), "what grants nothing here is not held: {scope}");
    }
    // Reading is not rotating, whatever the key is called.
    let reader = bearer(&app.make_key(json!({ "name": "r", "preset": "read_only" })).await);
    let error = error_of(&app.call(Method::POST, &path).key(&reader).await.assert(403));
    assert_eq!(error["requiredScopes"], json!(["developer:webhooks"]));
}

#[tokio::test]
async fn a_key_comes_as_a_bearer_token_or_in_its_own_header_and_is_of_this_api_or_native() {
    let app = RunningApp::start().await;
    let key = account(&app).await;
    let text = key.strip_prefix("Bearer ").unwrap();
    let foreign = app.make_key(json!({ "name": "f", "kind": "agentmessage", "preset": "full_access" })).await;
    let native = app.make_key(json!({ "name": "n", "preset": "subscriber" })).await;
    let get = || app.get(COLLECTION).without_key();
    for (call, expected) in [
        (get().header("authorization", &key), "200"),
        (get().header("authorization", &key.replace("Bearer", "bearer")), "200"),
        (get().header("x-api-key", text), "200"),
        (get().header("authorization", &bearer(&native)), "200"),
        (get(), "401 missing_api_key"),
        (get().header("authorization", text), "401 invalid_authorization_format"),
        (get().header("authorization", "Basic dXNlcjpwYXNz"), "401 invalid_authorization_format"),
        (get().header("authorization", "Bearer"), "401 invalid_authorization_format"),
        (get().header("authorization", "Basic x").header("x-api-key", text), "401 invalid_authorization_format"),
        (get().header("authorization", "Bearer mk_dev_000000000000000000000000"), "401 invalid_api_key"),
        (get().header("authorization", &bearer(&foreign)), "401 invalid_api_key"),
    ] {
        let answer = call.await;
        let code = error_of(&answer)["code"].as_str().map(|code| format!(" {code}")).unwrap_or_default();
        assert_eq!(format!("{}{code}", answer.status.as_u16()), expected, "{}", answer.body);
        if answer.status == 401 {
            assert_eq!(error_of(&answer)["type"], "authentication");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    // The other way round it is not known either; at the own API every kind works with its scopes.
    let elsewhere = app.get("/v1/webhooks").key(&key).await;
    assert_ne!(elsewhere.status, 200);
    app.get("/v1/webhook-subscriptions").key(&key).await.assert(200);
}
