//! What a tenant may find out about networks by setting URLs: next to nothing (SG-20, SG-23).

use std::time::Duration;

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::app::TestApp;

const PATH: &str = "/v1/webhook-subscriptions";

fn to(url: &str) -> Value {
    json!({ "url": url, "events": ["*"] })
}

async fn own_key(app: &TestApp) -> String {
    app.make_key(json!({ "name": "shop", "preset": "full_access", "tenant": "default" })).await
}

/// SG-23
#[tokio::test]
async fn a_tenant_that_names_forbidden_targets_is_told_to_wait_and_others_are_not() {
    let app = TestApp::start().await;
    let key = own_key(&app).await;
    app.post("/v1/tenants", json!({ "external_id": "other", "name": "Other" })).await.assert(201);
    let other = app.make_key(json!({ "name": "other", "preset": "full_access", "tenant": "other" })).await;
    for n in 0..20 {
        // By its literal, and by where its name leads.
        let url = if n % 2 == 0 { format!("https://10.0.0.{n}/") } else { "https://inside.example/".to_owned() };
        app.post(PATH, to(&url)).key(&key).await.assert(400);
    }
    let refused = app.post(PATH, to("https://example.com/")).key(&key).await.check(expect![[r#"
        429 rate_limited: This tenant tried too many addresses, or too many that are not allowed. Please retry when Retry-After says.
    "#]]);
    assert_eq!(refused.header("retry-after"), Some("3600"));
    app.post(PATH, to("https://example.com/")).key(&other).await.assert(201);
    let created = app.post(PATH, to("https://example.com/")).await.assert(201).id();
    for path in [format!("{PATH}/{created}/test")] {
        app.post(&path, json!({})).key(&key).await.assert(429);
    }
    // What takes no URL goes on.
    app.get(PATH).key(&key).await.assert(200);
    app.advance(Duration::from_secs(3600));
    app.post(PATH, to("https://example.com/b")).key(&key).await.assert(201);
}

/// SG-23
#[tokio::test]
async fn a_tenant_sets_sixty_urls_a_minute_whatever_its_keys_may_do() {
    let app = TestApp::start().await;
    app.post("/v1/tenants", json!({ "external_id": "many", "name": "Many", "subscriptions_max": 1000 }))
        .await
        .assert(201);
    let mut keys = Vec::new();
    for name in ["one", "two"] {
        keys.push(app.make_key(json!({ "name": name, "preset": "full_access", "tenant": "many" })).await);
    }
    for n in 0..60 {
        app.post(PATH, to(&format!("https://example.com/{n}"))).key(&keys[n % 2]).await.assert(201);
    }
    for key in &keys {
        app.post(PATH, to("https://example.com/more")).key(key).await.assert(429);
    }
    // The operator's own keys are not held up.
    app.post(PATH, to("https://example.com/more")).header("waxwing-tenant", "many").await.assert(201);
    app.advance(Duration::from_secs(60));
    app.post(PATH, to("https://example.com/more")).key(&keys[0]).await.assert(201);
}

/// SG-20
#[tokio::test]
async fn a_tenant_sees_the_class_of_an_error_and_the_operator_the_rest() {
    let app = TestApp::start().await;
    let key = own_key(&app).await;
    // A name that has no address.
    app.post(PATH, to("https://unknown.example/x")).await.assert(201);
    let event = app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).await.assert(202).id();
    let list = format!("/v1/deliveries?filter[event_id]={event}");
    let is_tried = |list: &Value| list["data"][0]["attributes"]["attempts_made"].as_u64() > Some(0);
    let listed = app.wait_for(&list, is_tried).await.json();
    let path = format!("/v1/deliveries/{}", listed["data"][0]["id"].as_str().unwrap());
    let operators = app.get(&path).await.assert(200).json();
    let tenants = app.get(&path).key(&key).await.assert(200).json();
    let error = |answer: &Value| answer["data"]["attributes"]["attempts"][0]["error"].clone();
    assert_eq!(error(&tenants), json!({ "class": "dns", "detail": null }));
    assert_eq!(error(&operators), json!({ "class": "dns", "detail": "the name has no address" }));
}
