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
              "header_prefix": null,
              "secret_version": null,
              "previous_secret_expires_at": null,
              "metadata": {
                "a": "b"
              },
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
            400 invalid_parameter /profile: This must be 'standard', 'mage', 'marea' or 'agentmessage'
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
                409 already_exists /external_id: Another tenant has this external_id
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
            409 invalid_state: The tenants 'default' and 'system' cannot be removed
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

#[tokio::test]
async fn a_tenants_own_brand_is_shown_replaced_and_cleared() {
    let app = TestApp::start().await;
    let body = json!({ "name": "A", "external_id": "a", "profile": "marea", "header_prefix": "X-Acme-" });
    let made = app.post("/v1/tenants", body).await.assert(201).json();
    assert_eq!(made["data"]["attributes"]["profile"], "marea");
    let shown =
        async || app.get("/v1/tenants/a").await.assert(200).json()["data"]["attributes"]["header_prefix"].clone();
    assert_eq!(shown().await, "x-acme-");
    app.patch("/v1/tenants/a", json!({ "name": "B" })).await.assert(200);
    assert_eq!(shown().await, "x-acme-", "what is not sent stays");
    app.put("/v1/tenants/a", json!({ "header_prefix": "Shop-" })).await.assert(200);
    assert_eq!(shown().await, "shop-");
    for refused in ["", "X-Acme", "x acme-", "X-\r\n-", "Content-", "webhook-", "Proxy-Acme-"] {
        for answer in [
            app.patch("/v1/tenants/a", json!({ "header_prefix": refused })).await,
            app.post("/v1/tenants", json!({ "name": "C", "header_prefix": refused })).await,
        ] {
            answer.check(expect![[r#"
                400 invalid_parameter /header_prefix: This must be 2 to 32 characters of A-Z a-z 0-9 -, the first a letter, the last a -, and not how a header of HTTP begins
            "#]]);
        }
    }
    app.patch("/v1/tenants/a", json!({ "header_prefix": null })).await.assert(200);
    assert_eq!(shown().await, json!(null));
}

#[tokio::test]
async fn a_brand_and_the_custom_headers_of_a_tenant_do_not_meet() {
    let app = TestApp::start().await;
    app.post("/v1/tenants", json!({ "name": "A", "external_id": "a", "header_prefix": "X-Acme-" })).await.assert(201);
    let subscribe = async |headers: serde_json::Value| {
        let body = json!({ "url": "https://example.com/a", "events": ["*"], "headers": headers });
        app.post("/v1/webhook-subscriptions", body).header("waxwing-tenant", "a").await
    };
    subscribe(json!({ "X-ACME-Signature": "1", "x-acme-shop": "2", "X-Marea-Shop": "3" })).await.check(expect![[r#"
        400 header_not_allowed /headers/X-ACME-Signature: Waxwing or HTTP itself sets this header: it cannot be a custom one
        400 header_not_allowed /headers/X-Marea-Shop: Waxwing or HTTP itself sets this header: it cannot be a custom one
    "#]]);
    let made = subscribe(json!({ "x-acme-shop": "2", "x-other-signature": "4" })).await.assert(201);
    let path = format!("/v1/webhook-subscriptions/{}", made.id());
    let change = json!({ "headers": { "x-acme-event-id": "1" } });
    app.patch(&path, change).header("waxwing-tenant", "a").await.assert(400);
    app.patch("/v1/tenants/a", json!({ "header_prefix": "X-Other-" })).await.check(expect![[r#"
        400 invalid_parameter /header_prefix: This must be another prefix: a subscription has a custom header of a name that begins with it
    "#]]);
    app.patch("/v1/tenants/a", json!({ "header_prefix": "X-Third-" })).await.assert(200);
}

#[tokio::test]
async fn a_secret_of_ones_own_has_the_form_of_the_tenants_profile() {
    let app = TestApp::start().await;
    let marea = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210";
    let agentmessage = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    for (profile, own, others) in [("marea", marea, agentmessage), ("agentmessage", agentmessage, marea)] {
        app.post("/v1/tenants", json!({ "name": "A", "external_id": profile, "profile": profile })).await.assert(201);
        let subscribe = async |secret: &str| {
            let body = json!({ "url": "https://example.com/a", "events": ["*"], "secret": secret });
            app.post("/v1/webhook-subscriptions", body).header("waxwing-tenant", profile).await
        };
        let made = subscribe(own).await.assert(201).json();
        assert_eq!(made["data"]["attributes"]["secret"], own);
        let refused = subscribe(others).await.assert(400).json();
        assert_eq!(refused["errors"][0]["code"], "invalid_secret", "{refused}");
    }
}

#[tokio::test]
async fn a_tenant_has_days_of_its_own_and_takes_back_one_of_them_or_both() {
    let app = TestApp::start().await;
    let own = json!({ "name": "A", "retention": { "payload_days": 7, "metadata_days": 20 } });
    let path = format!("/v1/tenants/{}", app.post("/v1/tenants", own).await.assert(201).id());
    for (change, expected) in [
        (json!({ "name": "B" }), json!({ "payload_days": 7, "metadata_days": 20 })),
        (json!({ "retention": {} }), json!({ "payload_days": 7, "metadata_days": 20 })),
        (json!({ "retention": { "payload_days": 3 } }), json!({ "payload_days": 3, "metadata_days": 20 })),
        (json!({ "retention": { "payload_days": null } }), json!({ "payload_days": null, "metadata_days": 20 })),
        (json!({ "retention": null }), json!({ "payload_days": null, "metadata_days": null })),
        (json!({ "retention": { "payload_days": 90 } }), json!({ "payload_days": 90, "metadata_days": null })),
    ] {
        let changed = app.patch(&path, change).await.assert(200).json();
        assert_eq!(changed["data"]["attributes"]["retention"], expected);
    }
    for (change, expected) in [
        (
            json!({ "payload_days": 0, "metadata_days": 36_501 }),
            expect![[r#"
                400 out_of_range /retention/payload_days: This must be 1 to 36500
                400 out_of_range /retention/metadata_days: This must be 1 to 36500
            "#]],
        ),
        (
            json!({ "payload_days": 91 }),
            expect![[r#"
                400 invalid_parameter /retention/payload_days: This must be such that payloads are not kept for longer than metadata
            "#]],
        ),
        (
            json!({ "metadata_days": 89 }),
            expect![[r#"
                400 invalid_parameter /retention/payload_days: This must be such that payloads are not kept for longer than metadata
            "#]],
        ),
        (
            json!({ "days": 5, "payload_days": "7" }),
            expect![[r#"
                400 invalid_type /retention/payload_days: This must be an integer
                400 unknown_field /retention/days: There is no field 'days' here
            "#]],
        ),
    ] {
        app.patch(&path, json!({ "retention": change })).await.check(expected);
    }
    app.patch(&path, json!({ "retention": 5 })).await.check(expect![[r#"
        400 invalid_type /retention: This must be an object
    "#]]);
}

#[tokio::test]
async fn a_tenant_has_a_pace_of_its_own() {
    let app = TestApp::start().await;
    let made = app.post("/v1/tenants", json!({ "name": "A", "rate_limit": 50 })).await.assert(201).json();
    assert_eq!(made["data"]["attributes"]["rate_limit"], 50);
    let path = format!("/v1/tenants/{}", made["data"]["id"].as_str().unwrap());
    for (change, expected) in [
        (json!({ "name": "B" }), json!(50)),
        (json!({ "rate_limit": null }), json!(null)),
        (json!({ "rate_limit": 1_000_000 }), json!(1_000_000)),
    ] {
        let changed = app.patch(&path, change).await.assert(200).json();
        assert_eq!(changed["data"]["attributes"]["rate_limit"], expected);
    }
    for wrong in [json!(0), json!(1_000_001)] {
        app.patch(&path, json!({ "rate_limit": wrong })).await.check(expect![[r#"
            400 out_of_range /rate_limit: This must be 1 to 1000000 deliveries per second
        "#]]);
    }
    app.patch(&path, json!({ "rate_limit": "off" })).await.check(expect![[r#"
        400 invalid_type /rate_limit: This must be an integer
    "#]]);
}
