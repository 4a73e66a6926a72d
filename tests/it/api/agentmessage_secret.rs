//! AgentMessage, "Rotate the webhook secret of your organization": one for all, the previous one good for 5 minutes.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use poem::http::Method;
use serde_json::{Value, json};

use super::agentmessage_endpoints::{key_of, organization};
use crate::support::app::TestApp;

const ROTATE: &str = "/v1/webhook-secret/rotate";

#[tokio::test]
async fn a_rotation_shows_the_new_secret_and_until_when_the_one_before_is_good() {
    let app = TestApp::start().await;
    let key = organization(&app, &["org:admin:write"]).await;
    let first = app.call(Method::POST, ROTATE).key(&key).await.assert(200).json();
    app.advance(Duration::from_millis(61_500));
    let second = app.call(Method::POST, ROTATE).key(&key).await.assert(200).json();
    let members: Vec<&String> = second.as_object().unwrap().keys().collect();
    assert_eq!(members, ["previous_valid_until", "rotated_at", "webhook_secret"]);
    assert_eq!(second["rotated_at"], "2026-02-18T12:01:01Z");
    assert_eq!(second["previous_valid_until"], "2026-02-18T12:06:01Z");
    let secret = |answer: &Value| answer["webhook_secret"].as_str().unwrap().to_owned();
    assert_eq!((secret(&second).len(), STANDARD.decode(secret(&second)).unwrap().len()), (44, 32));
    assert_ne!(secret(&first), secret(&second));
    // It is the secret of the tenant, which the own API rotates as well.
    let tenant = app.get("/v1/tenants/acme").await.assert(200).json();
    let attributes = &tenant["data"]["attributes"];
    assert_eq!(attributes["secret_version"], 2);
    assert_eq!(attributes["previous_secret_expires_at"], "2026-02-18T12:06:01.500Z");
}

#[tokio::test]
async fn only_a_key_with_the_scope_of_the_organization_rotates_it() {
    let app = TestApp::start().await;
    let writer = organization(&app, &["webhooks:read", "webhooks:write"]).await;
    let refused = app.call(Method::POST, ROTATE).key(&writer).await.assert(403).json();
    assert_eq!(refused["error"]["code"], "FORBIDDEN");
    let refused = app.call(Method::POST, ROTATE).without_key().await.assert(401).json();
    assert_eq!(refused["error"]["code"], "UNAUTHORIZED");
    let other = key_of(&app, "other", &["org:admin:write"]).await;
    app.call(Method::POST, ROTATE).key(&other).await.assert(200);
    let tenant = app.get("/v1/tenants/acme").await.assert(200).json();
    assert_eq!(tenant["data"]["attributes"]["secret_version"], Value::Null, "another organization's is its own");
    let named = app.post(ROTATE, json!({ "org_id": "x" })).key(&other).await.assert(422).json();
    assert_eq!(named["error"]["code"], "VALIDATION_FAILED");
}
