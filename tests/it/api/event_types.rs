//! `/v1/event-types`

use expect_test::expect;
use poem::http::Method;
use serde_json::json;

use crate::support::app::TestApp;

#[tokio::test]
async fn an_event_type_is_made_read_changed_archived_and_deleted() {
    let app = TestApp::start().await;
    let body = json!({
        "name": "user.made", "description": "A user", "schema": { "type": "object" }, "example": { "id": "u1" }
    });
    app.post("/v1/event-types", body).await.check(expect![[""]]);
    let changed = app.patch("/v1/event-types/user.made", json!({ "schema": null })).await.assert(200).json();
    assert!(changed["data"]["attributes"]["schema"].is_null());
    assert_eq!(changed["data"]["attributes"]["example"], json!({ "id": "u1" }));
    let archived = app.call(Method::POST, "/v1/event-types/user.made/archive").await.assert(200).json();
    assert_eq!(archived["data"]["attributes"]["archived_at"], "2026-02-18T12:00:00.000Z");
    let listed = app.get("/v1/event-types?filter[archived]=true").await.assert(200).json();
    assert_eq!(listed["meta"]["total"], 1);
    app.delete("/v1/event-types/user.made").await.assert(204);
    app.get("/v1/event-types/user.made").await.check(expect![[""]]);
}

#[tokio::test]
async fn what_cannot_be_an_event_type_is_refused() {
    let app = TestApp::start().await;
    for (body, expected) in [
        (json!({}), expect![[""]]),
        (json!({ "name": "order paid", "more": 1 }), expect![[""]]),
        (json!({ "name": "webhook.test" }), expect![[""]]),
        (json!({ "name": "a", "schema": [] }), expect![[""]]),
        (json!({ "name": "a", "schema": { "type": 5 } }), expect![[""]]),
        (json!({ "name": "a", "schema": { "type": "string" }, "example": 5 }), expect![[""]]),
        (json!({ "name": "a", "example": "x".repeat(64 * 1024) }), expect![[""]]),
        (json!({ "name": "order.paid" }), expect![[""]]),
    ] {
        app.post("/v1/event-types", body).await.check(expected);
    }
}

#[tokio::test]
async fn keys_of_a_tenant_read_and_do_not_write() {
    let app = TestApp::start().await;
    let key = app.make_key(json!({ "name": "shop", "preset": "full_access", "tenant": "default" })).await;
    app.get("/v1/event-types/order.paid").key(&key).await.assert(200);
    app.post("/v1/event-types", json!({ "name": "a" })).key(&key).await.check(expect![[""]]);
    app.delete("/v1/event-types/order.paid").key(&key).await.assert(403);
}

#[tokio::test]
async fn a_schema_and_an_example_keep_their_bytes() {
    let app = TestApp::start().await;
    let body = r#"{"name":"a","schema":{"z":1, "type":"object"},"example":{"z" : 1.0,"a":2}}"#;
    let made = app.call(Method::POST, "/v1/event-types").body("application/json", body).await.assert(201);
    assert!(made.body.contains(r#""schema":{"z":1, "type":"object"},"example":{"z" : 1.0,"a":2}"#), "{}", made.body);
}
