//! Who may call (contract 3).

use expect_test::expect;
use serde_json::json;

use crate::support::app::{ADMIN_KEY, TestApp};

const PATH: &str = "/v1/webhook-subscriptions";

#[tokio::test]
async fn a_key_comes_in_any_of_three_places() {
    let app = TestApp::start().await;
    for (name, value) in [
        ("authorization", ADMIN_KEY.to_owned()),
        ("authorization", format!("Bearer {ADMIN_KEY}")),
        ("x-api-key", ADMIN_KEY.to_owned()),
    ] {
        app.get(PATH).without_key().header(name, &value).await.assert(200);
    }
}

#[tokio::test]
async fn without_a_valid_key_nothing_is_told() {
    let app = TestApp::start().await;
    let missing = app.get(PATH).without_key().await.check(expect![[""]]);
    assert_eq!(missing.header("www-authenticate"), Some("Bearer"));
    for key in ["nonsense", "ww_0000000000000000000000000000000000000"] {
        app.get(PATH).key(key).await.check(expect![[r#"
            401 invalid_api_key: Invalid API key
        "#]]);
    }
    // The key is judged before the body and before the id.
    app.post(PATH, json!({})).key("nonsense").await.assert(401);
    app.get("/v1/events/nonsense").key("nonsense").await.assert(401);
}

#[tokio::test]
async fn a_key_does_what_its_scopes_say() {
    let app = TestApp::start().await;
    let publisher = app.make_key(json!({ "name": "p", "preset": "publish_only" })).await;
    app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).key(&publisher).await.assert(202);
    app.get("/v1/events").key(&publisher).await.check(expect![[""]]);
    let reader = app.make_key(json!({ "name": "r", "preset": "read_only" })).await;
    app.get("/v1/events").key(&reader).await.assert(200);
    app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).key(&reader).await.check(expect![[""]]);
    let listed = app.make_key(json!({ "name": "l", "scopes": ["events:read"] })).await;
    app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).key(&listed).await.check(expect![[""]]);
}

#[tokio::test]
async fn who_tries_many_wrong_keys_is_told_to_wait_and_valid_keys_pass() {
    let app = TestApp::start().await;
    // Requests in this process have no address: only those that a trusted proxy vouches for could be counted, and
    // there is none here. The counting itself is tested in `http::failures`.
    for _ in 0..30 {
        app.get(PATH).key("nonsense").await.assert(401);
    }
    app.get(PATH).await.assert(200);
}
