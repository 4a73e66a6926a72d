//! `/v1/tenants`

use expect_test::expect;
use serde_json::json;

use crate::support::app::TestApp;

#[tokio::test]
async fn a_tenant_is_made_found_by_either_id_changed_and_deleted() {
    let app = TestApp::start().await;
    let body = json!({ "name": "My Store", "external_id": "my-store", "profile": "mage", "metadata": { "a": "b" } });
    let created = app.post("/v1/tenants", body).await.check(expect![[""]]);
    assert_eq!(app.get("/v1/tenants/my-store").await.assert(200).id(), created.id());
    let path = format!("/v1/tenants/{}", created.id());
    let changed = app.put(&path, json!({ "external_id": "their-store" })).await.assert(200).json();
    assert_eq!(changed["data"]["attributes"]["external_id"], "their-store");
    app.get("/v1/tenants/my-store").await.assert(404);
    app.delete(&path).await.assert(204);
    app.get("/v1/tenants/their-store").await.check(expect![[""]]);
    app.post("/v1/tenants", json!({ "name": "Again", "external_id": "their-store" })).await.assert(201);
}

#[tokio::test]
async fn what_cannot_be_a_tenant_is_refused() {
    let app = TestApp::start().await;
    app.post("/v1/tenants", json!({ "name": "A", "external_id": "taken" })).await.assert(201);
    for (body, expected) in [
        (json!({ "name": "" }), expect![[""]]),
        (json!({ "name": 5, "external_id": "a b", "profile": "paper", "subscriptions_max": -1 }), expect![[""]]),
        (json!({ "name": "A", "external_id": "default" }), expect![[""]]),
        (json!({ "name": "A", "external_id": "tnt_mine" }), expect![[""]]),
        (json!({ "name": "A", "external_id": "taken" }), expect![[""]]),
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
    app.get("/v1/events").key(&key).header("waxwing-tenant", "default").await.check(expect![[""]]);
    app.get("/v1/events").header("waxwing-tenant", "nobody").await.check(expect![[""]]);
}
