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
    app.post("/v1/event-types", body).await.check(expect![[r#"
        201
        {
          "data": {
            "type": "event_type",
            "id": "user.made",
            "attributes": {
              "name": "user.made",
              "description": "A user",
              "schema": {
                "type": "object"
              },
              "example": {
                "id": "u1"
              },
              "archived_at": null,
              "created_at": "2026-02-18T12:00:00.000Z",
              "updated_at": "2026-02-18T12:00:00.000Z"
            }
          }
        }
    "#]]);
    let changed = app.patch("/v1/event-types/user.made", json!({ "schema": null })).await.assert(200).json();
    assert!(changed["data"]["attributes"]["schema"].is_null());
    assert_eq!(changed["data"]["attributes"]["example"], json!({ "id": "u1" }));
    let archived = app.call(Method::POST, "/v1/event-types/user.made/archive").await.assert(200).json();
    assert_eq!(archived["data"]["attributes"]["archived_at"], "2026-02-18T12:00:00.000Z");
    let listed = app.get("/v1/event-types?filter[archived]=true").await.assert(200).json();
    assert_eq!(listed["meta"]["total"], 1);
    app.delete("/v1/event-types/user.made").await.assert(204);
    app.get("/v1/event-types/user.made").await.check(expect![[r#"
        404 not_found: Event type 'user.made' not found
    "#]]);
}

#[tokio::test]
async fn what_cannot_be_an_event_type_is_refused() {
    let app = TestApp::start().await;
    for (body, expected) in [
        (
            json!({}),
            expect![[r#"
            400 missing_field /name: The field 'name' is required
        "#]],
        ),
        (
            json!({ "name": "order paid", "more": 1 }),
            expect![[r#"
            400 unknown_field /more: There is no field 'more' here
            400 invalid_parameter /name: This must be 1 to 128 characters: parts of A-Z a-z 0-9 _ - joined by single dots
        "#]],
        ),
        (
            json!({ "name": "webhook.test" }),
            expect![[r#"
            400 invalid_parameter /name: This must be another name: test deliveries have this one
        "#]],
        ),
        (
            json!({ "name": "a", "schema": [] }),
            expect![[r#"
            400 invalid_type /schema: This must be a JSON Schema object
        "#]],
        ),
        (
            json!({ "name": "a", "schema": { "type": 5 } }),
            expect![[r#"
            400 invalid_parameter /schema: This must be a JSON Schema that can be used
        "#]],
        ),
        (
            json!({ "name": "a", "schema": { "type": "string" }, "example": 5 }),
            expect![[r#"
            400 payload_schema_mismatch /example: This does not fit the event type's schema: 5 is not of type "string"
        "#]],
        ),
        (
            json!({ "name": "a", "example": "x".repeat(64 * 1024) }),
            expect![[r#"
            400 payload_too_large /example: This must have at most 65536 bytes
        "#]],
        ),
        (
            json!({ "name": "order.paid" }),
            expect![[r#"
            409 already_exists: The name is taken
        "#]],
        ),
    ] {
        app.post("/v1/event-types", body).await.check(expected);
    }
}

#[tokio::test]
async fn keys_of_a_tenant_read_and_do_not_write() {
    let app = TestApp::start().await;
    let key = app.make_key(json!({ "name": "shop", "preset": "full_access", "tenant": "default" })).await;
    app.get("/v1/event-types/order.paid").key(&key).await.assert(200);
    app.post("/v1/event-types", json!({ "name": "a" })).key(&key).await.check(expect![[r#"
        403 missing_scope: This concerns the whole instance, and this API key is bound to one tenant
    "#]]);
    app.delete("/v1/event-types/order.paid").key(&key).await.assert(403);
}

#[tokio::test]
async fn a_schema_and_an_example_keep_their_bytes() {
    let app = TestApp::start().await;
    let body = r#"{"name":"a","schema":{"z":1, "type":"object"},"example":{"z" : 1.0,"a":2}}"#;
    let made = app.call(Method::POST, "/v1/event-types").body("application/json", body).await.assert(201);
    assert!(made.body.contains(r#""schema":{"z":1, "type":"object"},"example":{"z" : 1.0,"a":2}"#), "{}", made.body);
}
