//! `/v1/tenants`

use expect_test::expect;
use serde_json::json;

use crate::support::app::TestApp;

#[tokio::test]
async fn a_tenant_is_made_found_by_either_id_changed_and_deleted() {
    let app = TestApp::start().await;
    let body = json!({ "name": "My Store", "external_id": "my-store", "profile": "mage", "metadata": { "a": "b" } });
    let created = app.post("/v1/tenants", body).await.check(expect![[r#"
        201
        {
          "data": {
            "type": "tenant",
            "id": "tnt_…",
            "attributes": {
              "external_id": "my-store",
              "name": "My Store",
              "profile": "mage",
              "metadata": {
                "a": "b"
              },
              "subscriptions_max": 50,
              "created_at": "2026-02-18T12:00:00.000Z",
              "updated_at": "2026-02-18T12:00:00.000Z"
            }
          }
        }
    "#]]);
    assert_eq!(app.get("/v1/tenants/my-store").await.assert(200).id(), created.id());
    let path = format!("/v1/tenants/{}", created.id());
    let changed = app.put(&path, json!({ "external_id": "their-store" })).await.assert(200).json();
    assert_eq!(changed["data"]["attributes"]["external_id"], "their-store");
    app.get("/v1/tenants/my-store").await.assert(404);
    app.delete(&path).await.assert(204);
    app.get("/v1/tenants/their-store").await.check(expect![[r#"
        404 not_found: Tenant 'their-store' not found
    "#]]);
    app.post("/v1/tenants", json!({ "name": "Again", "external_id": "their-store" })).await.assert(201);
}

#[tokio::test]
async fn what_cannot_be_a_tenant_is_refused() {
    let app = TestApp::start().await;
    app.post("/v1/tenants", json!({ "name": "A", "external_id": "taken" })).await.assert(201);
    for (body, expected) in [
        (
            json!({ "name": "" }),
            expect![[r#"
                400 out_of_range /name: This must not be empty
            "#]],
        ),
        (
            json!({ "name": 5, "external_id": "a b", "profile": "paper", "subscriptions_max": -1 }),
            expect![[r#"
            400 invalid_type /name: This must be a string
            400 invalid_parameter /external_id: This must be 1 to 128 characters of A-Z a-z 0-9 . _ : -
            400 invalid_parameter /profile: This must be 'standard' or 'mage'
            400 out_of_range /subscriptions_max: This must be 0 to 1000000
        "#]],
        ),
        (
            json!({ "name": "A", "external_id": "default" }),
            expect![[r#"
            400 invalid_parameter /external_id: This must be another id: default, system and tnt_… mean something else
        "#]],
        ),
        (
            json!({ "name": "A", "external_id": "tnt_mine" }),
            expect![[r#"
            400 invalid_parameter /external_id: This must be another id: default, system and tnt_… mean something else
        "#]],
        ),
        (
            json!({ "name": "A", "external_id": "taken" }),
            expect![[r#"
            409 already_exists: The name is taken
        "#]],
        ),
    ] {
        app.post("/v1/tenants", body).await.check(expected);
    }
    let other = app.post("/v1/tenants", json!({ "name": "B" })).await.assert(201).id();
    app.patch(&format!("/v1/tenants/{other}"), json!({ "external_id": "taken" })).await.assert(409);
}

#[tokio::test]
async fn the_two_tenants_that_are_always_there_stay() {
    let app = TestApp::start().await;
    for name in ["default", "system"] {
        app.get(&format!("/v1/tenants/{name}")).await.assert(200);
        app.delete(&format!("/v1/tenants/{name}")).await.check(expect![[r#"
            409 invalid_state: Its state does not allow this
        "#]]);
    }
}

#[tokio::test]
async fn the_keys_of_a_deleted_tenant_end_with_it() {
    let app = TestApp::start().await;
    app.post("/v1/tenants", json!({ "name": "A", "external_id": "a" })).await.assert(201);
    let key = app.make_key(json!({ "name": "a", "preset": "full_access", "tenant": "a" })).await;
    app.get("/v1/webhook-subscriptions").key(&key).await.assert(200);
    app.delete("/v1/tenants/a").await.assert(204);
    app.get("/v1/webhook-subscriptions").key(&key).await.assert(401);
}

#[tokio::test]
async fn a_key_of_a_tenant_sees_that_tenant_alone() {
    let app = TestApp::start().await;
    app.post("/v1/tenants", json!({ "name": "A", "external_id": "a" })).await.assert(201);
    let key = app.make_key(json!({ "name": "a", "preset": "full_access", "tenant": "a" })).await;
    let list = app.get("/v1/tenants").key(&key).await.assert(200).json();
    assert_eq!(list["meta"]["total"], 1);
    app.get("/v1/tenants/default").key(&key).await.assert(404);
    app.patch("/v1/tenants/a", json!({ "name": "B" })).key(&key).await.assert(403);
    app.get("/v1/events").key(&key).header("waxwing-tenant", "a").await.assert(200);
    app.get("/v1/events").key(&key).header("waxwing-tenant", "default").await.check(expect![[r#"
        404 unknown_tenant Waxwing-Tenant: Tenant 'default' not found
    "#]]);
    app.get("/v1/events").header("waxwing-tenant", "nobody").await.check(expect![[r#"
        404 unknown_tenant Waxwing-Tenant: Tenant 'nobody' not found
    "#]]);
}
