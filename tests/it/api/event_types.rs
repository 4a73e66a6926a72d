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
              "subscription_count": 0,
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
                400 invalid_parameter /schema/type: This is not a JSON Schema that can be used: 5 is not valid under any of the schemas listed in the 'anyOf' keyword
            "#]],
        ),
        (
            json!({ "name": "a", "schema": { "properties": { "total": { "minimum": "1" } } } }),
            expect![[r#"
                400 invalid_parameter /schema/properties/total/minimum: This is not a JSON Schema that can be used: "1" is not of type "number"
            "#]],
        ),
        (
            json!({ "name": "a", "schema": { "pattern": "(" } }),
            expect![[r#"
                400 invalid_parameter /schema/pattern: This is not a JSON Schema that can be used: "(" is not a "regex"
            "#]],
        ),
        (
            json!({ "name": "a", "schema": { "$ref": "https://example.com/schema.json" } }),
            expect![[r#"
                400 invalid_parameter /schema: This is not a JSON Schema that can be used: it refers to 'https://example.com/schema.json', and nothing is fetched from elsewhere
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
                409 already_exists /name: The name is taken
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

fn document() -> serde_json::Value {
    let body = |schema: serde_json::Value| json!({ "content": { "application/json": { "schema": schema } } });
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Shop", "version": "1" },
        "webhooks": {
            "order.paid": { "post": {
                "summary": "An order was paid",
                "requestBody": body(json!({ "$ref": "#/components/schemas/Order" })),
            } },
            "order.lost": { "post": {
                "description": "An order was lost",
                "requestBody": { "content": { "application/json": {
                    "schema": { "type": "object" }, "examples": { "one": { "value": { "id": "1" } } },
                } } },
            } },
        },
        "components": { "schemas": {
            "Order": { "type": "object", "required": ["id"], "properties": { "id": { "$ref": "#/components/schemas/Id" } } },
            "Id": { "type": "string" },
        } },
    })
}

#[tokio::test]
async fn the_webhooks_of_an_openapi_document_become_event_types() {
    let app = TestApp::start().await;
    let import = async |body: serde_json::Value| {
        let attributes = app.post("/v1/event-types/import", body).await.assert(200).json();
        attributes["data"]["attributes"].clone()
    };
    let told = json!({ "dry_run": true, "made": ["order.lost"], "changed": ["order.paid"], "unchanged": [] });
    assert_eq!(import(json!({ "document": document(), "dry_run": true })).await, told);
    app.get("/v1/event-types/order.lost").await.assert(404);
    let done = json!({ "dry_run": false, "made": ["order.lost"], "changed": ["order.paid"], "unchanged": [] });
    assert_eq!(import(json!({ "document": document() })).await, done);
    let again = json!({ "dry_run": false, "made": [], "changed": [], "unchanged": ["order.lost", "order.paid"] });
    assert_eq!(import(json!({ "document": document() })).await, again);
    let lost = app.get("/v1/event-types/order.lost").await.assert(200).json();
    assert_eq!(lost["data"]["attributes"]["description"], "An order was lost");
    assert_eq!(lost["data"]["attributes"]["example"], json!({ "id": "1" }));
    // The schema works by itself.
    app.post("/v1/events", json!({ "type": "order.paid", "data": { "id": 5 } })).await.assert(400);
    app.post("/v1/events", json!({ "type": "order.paid", "data": { "id": "5" } })).await.assert(202);
    // What the document does not say stays.
    let silent = json!({ "openapi": "3.1.1", "webhooks": { "order.lost": {} } });
    assert_eq!(import(json!({ "document": silent })).await["unchanged"], json!(["order.lost"]));
}

#[tokio::test]
async fn a_document_that_is_wrong_imports_nothing() {
    let app = TestApp::start().await;
    let mut wrong = document();
    wrong["webhooks"]["two words"] = json!({ "post": {} });
    wrong["webhooks"]["order.odd"] = json!({ "post": { "requestBody": { "content": { "application/json": {
        "schema": { "$ref": "other.json" },
    } } } } });
    wrong["webhooks"]["order.bad"] = json!({ "post": { "requestBody": { "content": { "application/json": {
        "schema": { "type": "string" }, "example": 5,
    } } } } });
    for (body, expected) in [
        (
            json!({ "document": wrong }),
            expect![[r#"
                400 payload_schema_mismatch /document/webhooks/order.bad/example: This does not fit the event type's schema: 5 is not of type "string"
                400 invalid_parameter /document/webhooks/order.odd/schema: This must be a schema that refers only to #/components/schemas
                400 invalid_parameter /document/webhooks/two words: This must be 1 to 128 characters: parts of A-Z a-z 0-9 _ - joined by single dots
            "#]],
        ),
        (
            json!({ "document": { "openapi": "3.0.3", "webhooks": {} } }),
            expect![[r#"
                400 invalid_parameter /document/openapi: This must be an OpenAPI 3.1 document
            "#]],
        ),
        (
            json!({ "document": { "openapi": "3.1.0" } }),
            expect![[r#"
                400 invalid_parameter /document/webhooks: This must be an object with at least one webhook
            "#]],
        ),
        (
            json!({ "dry_run": 5 }),
            expect![[r#"
                400 missing_field /document: The field 'document' is required
                400 invalid_type /dry_run: This must be true or false
            "#]],
        ),
    ] {
        app.post("/v1/event-types/import", body).await.check(expected);
    }
    assert_eq!(app.get("/v1/event-types").await.assert(200).json()["meta"]["total"], 2);
}

#[tokio::test]
async fn an_event_type_says_how_many_subscriptions_of_those_that_the_caller_sees_ask_for_it() {
    let app = TestApp::start().await;
    let other = app.post("/v1/tenants", json!({ "name": "other" })).await.assert(201).id();
    for (tenant, events) in
        [("default", ["order.paid", "order.*"]), ("default", ["*", "x.y"]), (&*other, ["order.*", "*"])]
    {
        let events: Vec<&str> = events.into_iter().filter(|name| *name != "x.y").collect();
        let body = json!({ "url": "https://example.com/a", "events": events });
        app.post("/v1/webhook-subscriptions", body).header("waxwing-tenant", tenant).await.assert(201);
    }
    let of_other = app.make_key(json!({ "name": "k", "preset": "full_access", "tenant": other })).await;
    let restricted = json!({ "name": "r", "preset": "full_access", "tenant": other, "channels": ["c"] });
    let restricted = app.make_key(restricted).await;
    for (key, expected) in [(None, 3), (Some(&of_other), 1), (Some(&restricted), 0)] {
        let get = |path: &str| match key {
            Some(key) => app.get(path).key(key),
            None => app.get(path),
        };
        let one = get("/v1/event-types/order.paid").await.assert(200).json();
        assert_eq!(one["data"]["attributes"]["subscription_count"], expected);
        let list = get("/v1/event-types").await.assert(200).json();
        let listed = list["data"].as_array().unwrap().iter().find(|row| row["id"] == "order.paid").unwrap();
        assert_eq!(listed["attributes"]["subscription_count"], expected);
    }
}
