//! `/v1/api-keys`

use std::time::Duration;

use expect_test::expect;
use serde_json::json;

use crate::support::app::TestApp;

#[tokio::test]
async fn a_key_is_shown_once_listed_and_revoked() {
    let app = TestApp::start().await;
    let body = json!({ "name": "shop", "preset": "subscriber", "rate_limits": { "management": 20, "publish": null } });
    let created = app.post("/v1/api-keys", body).await.check(expect![[r#"
        201
        {
          "data": {
            "type": "api_key",
            "id": "key_…",
            "attributes": {
              "name": "shop",
              "kind": "native",
              "secret": "<key>",
              "tenant": "tnt_…",
              "preset": "subscriber",
              "scopes": [
                "subscriptions:read",
                "subscriptions:write",
                "events:read",
                "deliveries:read",
                "deliveries:write",
                "event_types:read"
              ],
              "allowed_events": [],
              "channels": [],
              "rate_limits": {
                "management": 20,
                "publish": null
              },
              "expires_at": null,
              "last_used_at": null,
              "created_at": "2026-02-18T12:00:00.000Z"
            }
          }
        }
    "#]]);
    let key = created.json()["data"]["attributes"]["secret"].as_str().unwrap().to_owned();
    let path = format!("/v1/api-keys/{}", created.id());
    app.get("/v1/webhook-subscriptions").key(&key).await.assert(200);
    let shown = app.get(&path).await.assert(200).json();
    assert!(shown["data"]["attributes"]["secret"].is_null());
    assert_eq!(shown["data"]["attributes"]["last_used_at"], "2026-02-18T12:00:00.000Z");
    assert_eq!(app.get("/v1/api-keys").await.assert(200).json()["meta"]["total"], 1);
    app.delete(&path).await.assert(204);
    let refused = app.get("/v1/webhook-subscriptions").key(&key).await.assert(401).json();
    assert!(["key_revoked", "invalid_api_key"].contains(&refused["errors"][0]["code"].as_str().unwrap()));
    app.get(&path).await.assert(404);
    app.delete(&path).await.assert(404);
}

#[tokio::test]
async fn what_cannot_be_a_key_is_refused() {
    let app = TestApp::start().await;
    for (body, expected) in [
        (
            json!({}),
            expect![[r#"
            400 missing_field /name: The field 'name' is required
            400 missing_field /preset: The field 'preset' is required
        "#]],
        ),
        (
            json!({ "name": "a", "preset": "everything" }),
            expect![[r#"
            400 invalid_parameter /preset: This must be full_access, read_only, publish_only or subscriber
        "#]],
        ),
        (
            json!({ "name": "a", "preset": "read_only", "scopes": ["events:read"] }),
            expect![[r#"
            400 invalid_parameter /scopes: This must be left out when preset is given
        "#]],
        ),
        (
            json!({ "name": "a", "scopes": ["events:read", "events:read", "events:eat"] }),
            expect![[r#"
            400 duplicate_item /scopes/1: This occurs twice
            400 invalid_parameter /scopes/2: This must be the name of a scope, such as events:read
        "#]],
        ),
        (
            json!({ "name": "a", "scopes": [] }),
            expect![[r#"
            400 invalid_parameter /scopes: This must be at least one scope
        "#]],
        ),
        (
            json!({ "name": "a", "preset": "read_only", "expires_at": "2026-01-01T00:00:00Z" }),
            expect![[r#"
            400 invalid_parameter /expires_at: This must be an RFC 3339 date and time to come
        "#]],
        ),
        (
            json!({ "name": "a", "preset": "read_only", "rate_limits": { "management": 0, "publish": "x", "more": 1 } }),
            expect![[r#"
                400 out_of_range /rate_limits/management: This must be 1 to 1000000 a second
                400 unknown_field /rate_limits/more: There is no field 'more' here
                400 invalid_type /rate_limits/publish: This must be an integer, or null for no limit
            "#]],
        ),
        (
            json!({ "name": "a", "preset": "read_only", "tenant": "nobody" }),
            expect![[r#"
            404 unknown_tenant /tenant: Tenant 'nobody' not found
        "#]],
        ),
        (
            json!({
                "name": "a", "preset": "read_only", "allowed_events": ["order.eaten", "*", "*", "order."],
                "channels": ["eu", "eu", "a b"], "kind": "marea"
            }),
            expect![[r#"
                400 invalid_parameter /kind: This must be native, marea_developer, marea_user or agentmessage
                400 unknown_event_type /allowed_events/0: There is no event type 'order.eaten'
                400 duplicate_item /allowed_events/2: This occurs twice
                400 unknown_event_type /allowed_events/3: There is no event type 'order.'
                400 duplicate_item /channels/1: This occurs twice
                400 invalid_parameter /channels/2: This must be 1 to 64 characters of A-Z a-z 0-9 . _ : -
            "#]],
        ),
        (
            json!({ "name": "a", "preset": "read_only", "tenant": null, "channels": ["eu"] }),
            expect![[r#"
                400 invalid_parameter /tenant: This must be a tenant: a restricted key is bound to one
            "#]],
        ),
        (
            json!({ "name": "a", "preset": "read_only", "kind": "marea_user", "channels": ["shop:1", "shop:2"] }),
            expect![[r#"
                400 invalid_parameter /channels: This must be exactly one channel, the storefront, for the kind marea_user
            "#]],
        ),
        (
            json!({ "name": "a", "preset": "read_only", "kind": "marea_user" }),
            expect![[r#"
                400 invalid_parameter /channels: This must be exactly one channel, the storefront, for the kind marea_user
            "#]],
        ),
        (
            json!({ "name": "a", "preset": "read_only", "channels": (0..11).map(|n| n.to_string()).collect::<Vec<_>>() }),
            expect![[r#"
                400 too_many_items /channels: There may be at most 10
            "#]],
        ),
    ] {
        app.post("/v1/api-keys", body).await.check(expected);
    }
}

#[tokio::test]
async fn a_key_gives_no_more_than_it_has() {
    let app = TestApp::start().await;
    let body = json!({
        "name": "manager", "tenant": "default", "expires_at": "2026-03-01T00:00:00Z", "rate_limits": { "management": 5 },
        "scopes": ["keys:write", "keys:read", "events:read"]
    });
    let key = app.make_key(body).await;
    for (body, expected) in [
        (json!({ "name": "a", "scopes": ["events:read"] }), expect![["201"]]),
        (json!({ "name": "a", "scopes": ["events:write"] }), expect![["403"]]),
        (json!({ "name": "a", "preset": "full_access" }), expect![["403"]]),
        (json!({ "name": "a", "scopes": ["events:read"], "tenant": null }), expect![["403"]]),
        (json!({ "name": "a", "scopes": ["events:read"], "tenant": "system" }), expect![["404"]]),
        (json!({ "name": "a", "scopes": ["events:read"], "expires_at": null }), expect![["403"]]),
        (json!({ "name": "a", "scopes": ["events:read"], "expires_at": "2026-03-02T00:00:00Z" }), expect![["403"]]),
        (json!({ "name": "a", "scopes": ["events:read"], "rate_limits": { "management": 6 } }), expect![["403"]]),
        (json!({ "name": "a", "scopes": ["events:read"], "rate_limits": { "management": null } }), expect![["403"]]),
        (json!({ "name": "a", "scopes": ["events:read"], "rate_limits": { "management": 4 } }), expect![["201"]]),
    ] {
        let answer = app.post("/v1/api-keys", body.clone()).key(&key).await;
        expected.assert_eq(answer.status.as_str());
        app.advance(Duration::from_secs(1));
    }
    let inherited = app.post("/v1/api-keys", json!({ "name": "a", "scopes": ["events:read"] })).key(&key).await;
    let attributes = inherited.assert(201).json()["data"]["attributes"].clone();
    assert_eq!(attributes["expires_at"], "2026-03-01T00:00:00.000Z");
    assert_eq!(attributes["rate_limits"]["management"], 5);
}

#[tokio::test]
async fn a_key_ends_when_it_expires() {
    let app = TestApp::start().await;
    let key = app.make_key(json!({ "name": "a", "preset": "read_only", "expires_at": "2026-02-18T12:01:00Z" })).await;
    app.get("/v1/events").key(&key).await.assert(200);
    app.advance(Duration::from_secs(60));
    app.get("/v1/events").key(&key).await.check(expect![[r#"
        401 key_expired: This API key has expired
    "#]]);
}

#[tokio::test]
async fn a_key_of_a_tenant_sees_the_keys_of_that_tenant() {
    let app = TestApp::start().await;
    app.post("/v1/tenants", json!({ "name": "A", "external_id": "a" })).await.assert(201);
    let key = app.make_key(json!({ "name": "a", "preset": "full_access", "tenant": "a" })).await;
    let other =
        app.post("/v1/api-keys", json!({ "name": "b", "preset": "read_only", "tenant": null })).await.assert(201);
    assert_eq!(app.get("/v1/api-keys").key(&key).await.assert(200).json()["meta"]["total"], 1);
    app.get(&format!("/v1/api-keys/{}", other.id())).key(&key).await.assert(404);
    assert_eq!(app.get("/v1/api-keys").await.assert(200).json()["meta"]["total"], 2);
    assert_eq!(app.get("/v1/api-keys").header("waxwing-tenant", "a").await.json()["meta"]["total"], 1);
}
