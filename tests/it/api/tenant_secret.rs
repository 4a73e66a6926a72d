//! `POST /v1/tenants/{id}/rotate-secret`, and subscriptions that the tenant's secret signs for

use std::time::Duration;

use expect_test::expect;
use poem::http::Method;
use serde_json::{Value, json};
use waxwing::domain::profile::Profile;
use waxwing::domain::profile::verify::{Mismatch, verify};
use waxwing::net::Received;

use crate::support::app::{TEST_RECEIVER, TestApp};

const ROTATE: &str = "/v1/tenants/acme/rotate-secret";

async fn with_tenant(profile: &str) -> TestApp {
    let app = TestApp::start().await;
    let tenant = json!({ "name": "Acme", "external_id": "acme", "profile": profile });
    app.post("/v1/tenants", tenant).await.assert(201);
    app
}

/// A subscription of the tenant to the test receiver.
async fn subscribe(app: &TestApp, signing: &str) -> Value {
    let body = json!({ "url": TEST_RECEIVER, "events": ["*"], "signing": signing });
    app.post("/v1/webhook-subscriptions", body).header("waxwing-tenant", "acme").await.assert(201).json()["data"]
        .clone()
}

async fn rotate(app: &TestApp, body: Value) -> String {
    let rotated = app.post(ROTATE, body).await.assert(200).json();
    rotated["data"]["attributes"]["secret"].as_str().expect("rotate shows it").to_owned()
}

/// The subscription's test delivery, as its receiver got it.
async fn test(app: &TestApp, subscription: &Value) -> Received {
    let path = format!("/v1/webhook-subscriptions/{}/test", subscription["id"].as_str().unwrap());
    app.call(Method::POST, &path).header("waxwing-tenant", "acme").await.assert(200);
    app.received().pop().expect("it came")
}

fn header<'a>(received: &'a Received, name: &str) -> Option<&'a str> {
    received.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn is_signed_by(app: &TestApp, received: &Received, profile: Profile, secret: &str) -> bool {
    let secret = profile.read_secret(secret).expect("it has the profile's form");
    let header = |name: &str| header(received, name);
    match verify(profile, None, &secret, header, &received.body, app.clock.now(), None) {
        Ok(()) => true,
        Err(Mismatch::WrongSignature) => false,
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_answer_to_a_rotation_is_the_only_one_that_shows_the_secret() {
    let app = with_tenant("mage").await;
    app.post(ROTATE, json!({})).await.check(expect![[r#"
        200
        {
          "data": {
            "type": "tenant",
            "id": "tnt_…",
            "attributes": {
              "external_id": "acme",
              "name": "Acme",
              "profile": "mage",
              "header_prefix": null,
              "secret": "<64 hex>",
              "secret_version": 1,
              "previous_secret_expires_at": null,
              "metadata": {},
              "subscriptions_max": 50,
              "retention": {
                "payload_days": null,
                "metadata_days": null
              },
              "rate_limit": null,
              "created_at": "2026-02-18T12:00:00.000Z",
              "updated_at": "2026-02-18T12:00:00.000Z"
            }
          }
        }
    "#]]);
    let rotated = app.post(ROTATE, json!({ "overlap_seconds": 3600 })).await.assert(200).json();
    assert_eq!(rotated["data"]["attributes"]["secret_version"], 2);
    assert_eq!(rotated["data"]["attributes"]["previous_secret_expires_at"], "2026-02-18T13:00:00.000Z");
    // Without a word about it the old one lives for 5 minutes.
    let rotated = app.call(Method::POST, ROTATE).await.assert(200).json();
    assert_eq!(rotated["data"]["attributes"]["previous_secret_expires_at"], "2026-02-18T12:05:00.000Z");
    let rotated = app.post(ROTATE, json!({ "overlap_seconds": 0 })).await.assert(200).json();
    assert!(rotated["data"]["attributes"]["previous_secret_expires_at"].is_null());
    let shown = app.get("/v1/tenants/acme").await.assert(200);
    assert_eq!(shown.json()["data"]["attributes"]["secret_version"], 4);
    assert!(shown.json()["data"]["attributes"].get("secret").is_none());
    assert_eq!(shown.header("etag"), Some("\"5\""), "a rotation changes the configuration");
    app.post(ROTATE, json!({ "overlap_seconds": 604_801, "profile": "standard" })).await.check(expect![[r#"
        400 unknown_field /profile: There is no field 'profile' here
        400 out_of_range /overlap_seconds: This must be 0 to 604800 seconds
    "#]]);
}

#[tokio::test]
async fn the_secret_has_the_form_of_the_tenants_profile() {
    for (profile, length) in [("standard", 50), ("mage", 64), ("marea", 64), ("agentmessage", 44)] {
        let app = with_tenant(profile).await;
        let secret = rotate(&app, json!({})).await;
        assert_eq!(secret.len(), length, "{profile}");
        let subscription = subscribe(&app, "tenant").await;
        let received = test(&app, &subscription).await;
        assert!(is_signed_by(&app, &received, Profile::from_name(profile).unwrap(), &secret), "{profile}");
    }
}

#[tokio::test]
async fn the_tenants_secret_signs_for_whoever_asks_for_it_and_both_do_while_they_overlap() {
    let app = with_tenant("standard").await;
    let own = subscribe(&app, "subscription").await;
    let shared = subscribe(&app, "tenant").await;
    assert_eq!(
        (&own["attributes"]["signing"], &shared["attributes"]["signing"]),
        (&json!("subscription"), &json!("tenant"))
    );
    // It was made with the first one that needs it, and nobody was shown it.
    let tenant = app.get("/v1/tenants/acme").await.assert(200).json();
    assert_eq!(tenant["data"]["attributes"]["secret_version"], 1);

    let first = rotate(&app, json!({ "overlap_seconds": 0 })).await;
    let second = rotate(&app, json!({})).await;
    let of_own = own["attributes"]["secret"].as_str().unwrap();
    let of_shared = shared["attributes"]["secret"].as_str().unwrap();
    let signed_by = |received: &Received| {
        [of_own, of_shared, &first, &second].map(|secret| is_signed_by(&app, received, Profile::Standard, secret))
    };
    assert_eq!(signed_by(&test(&app, &own).await), [true, false, false, false]);
    assert_eq!(signed_by(&test(&app, &shared).await), [false, false, true, true]);
    // The clock at the moment of signing decides.
    app.advance(Duration::from_secs(299));
    assert_eq!(signed_by(&test(&app, &shared).await), [false, false, true, true]);
    app.advance(Duration::from_secs(1));
    assert_eq!(signed_by(&test(&app, &shared).await), [false, false, false, true]);

    // Its own secret was there all the time.
    let path = format!("/v1/webhook-subscriptions/{}", shared["id"].as_str().unwrap());
    let changed = app.patch(&path, json!({ "signing": "subscription" })).header("waxwing-tenant", "acme").await;
    assert_eq!(changed.assert(200).json()["data"]["attributes"]["signing"], "subscription");
    assert_eq!(signed_by(&test(&app, &shared).await), [false, true, false, false]);
    app.patch(&path, json!({ "signing": "both" })).header("waxwing-tenant", "acme").await.check(expect![[r#"
        400 invalid_parameter /signing: This must be 'subscription' or 'tenant'
    "#]]);
}

#[tokio::test]
async fn a_profile_with_room_for_one_signature_has_the_current_one() {
    let app = with_tenant("agentmessage").await;
    let subscription = subscribe(&app, "tenant").await;
    let first = rotate(&app, json!({})).await;
    let second = rotate(&app, json!({})).await;
    let received = test(&app, &subscription).await;
    let signed_by = [first, second].map(|secret| is_signed_by(&app, &received, Profile::AgentMessage, &secret));
    assert_eq!(signed_by, [false, true]);
}

#[tokio::test]
async fn an_attempt_and_the_header_that_tells_it_have_the_version_of_the_secret_that_signed() {
    let app = with_tenant("marea").await;
    subscribe(&app, "tenant").await;
    for _ in 0..2 {
        rotate(&app, json!({})).await;
    }
    let event = json!({ "type": "order.paid", "data": 1 });
    app.post("/v1/events", event).header("waxwing-tenant", "acme").await.assert(202);
    let key = app.make_key(json!({ "name": "k", "preset": "full_access", "tenant": "acme" })).await;
    let app = app.with_key(key);
    let is_done = |list: &Value| list["data"][0]["attributes"]["state"] == "succeeded";
    let delivery = app.wait_for("/v1/deliveries", is_done).await.json()["data"][0]["id"].clone();
    let shown = app.get(&format!("/v1/deliveries/{}", delivery.as_str().unwrap())).await.assert(200).json();
    // Made with the subscription, then rotated twice.
    assert_eq!(shown["data"]["attributes"]["attempts"][0]["secret_version"], 3);
    assert_eq!(header(&app.received()[0], "x-marea-signing-version"), Some("3"));
}

#[tokio::test]
async fn a_key_rotates_the_secret_of_a_tenant_that_is_its_own_as_a_whole() {
    let app = with_tenant("standard").await;
    app.post("/v1/tenants", json!({ "name": "Other", "external_id": "other" })).await.assert(201);
    let of = async |body: Value| {
        let mut key = json!({ "name": "k", "tenant": "acme", "scopes": ["tenants:write"] });
        key.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        app.make_key(key).await
    };
    let own = of(json!({})).await;
    app.call(Method::POST, ROTATE).key(&own).await.assert(200);
    app.call(Method::POST, "/v1/tenants/other/rotate-secret").key(&own).await.check(expect![[r#"
        404 not_found: Tenant 'other' not found
    "#]]);
    app.patch("/v1/tenants/acme", json!({ "name": "Mine" })).key(&own).await.assert(403);
    let restricted = of(json!({ "allowed_events": ["order.paid"] })).await;
    app.call(Method::POST, ROTATE).key(&restricted).await.check(expect![[r#"
        403 missing_scope: This concerns the whole tenant, and this API key is restricted to a part of it
    "#]]);
    let without = of(json!({ "scopes": ["tenants:read"] })).await;
    app.call(Method::POST, ROTATE).key(&without).await.assert(403);
    app.call(Method::POST, "/v1/tenants/nobody/rotate-secret").await.assert(404);
    let tenant = app.get("/v1/tenants/acme").await.assert(200).json();
    assert_eq!(tenant["data"]["attributes"]["secret_version"], 1);
}

#[tokio::test]
async fn a_repeated_rotation_shows_the_same_secret_until_it_is_rotated_again() {
    let app = with_tenant("standard").await;
    let once = || app.post(ROTATE, json!({})).header("idempotency-key", "once");
    let first = once().await.assert(200);
    let again = once().await.assert(200);
    assert_eq!((again.header("idempotency-replayed"), &again.body), (Some("true"), &first.body));
    rotate(&app, json!({})).await;
    let secret = first.json()["data"]["attributes"]["secret"].as_str().unwrap().to_owned();
    assert!(!once().await.assert(200).body.contains(&secret), "a replaced secret is shown again");
}
