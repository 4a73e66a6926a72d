//! AgentMessage, "Webhooks": endpoints are made, listed, shown, changed, deleted and tested as published.

use expect_test::expect;
use poem::http::Method;
use serde_json::{Value, json};

use crate::support::app::{ADMIN_KEY, Client, TEST_RECEIVER, TestApp};

/// The organization `acme`, and a key of its own with these scopes.
pub async fn organization(app: &Client, scopes: &[&str]) -> String {
    key_of(app, "acme", scopes).await
}

/// A key of this organization, which is made when it is new.
pub async fn key_of(app: &Client, organization: &str, scopes: &[&str]) -> String {
    app.post("/v1/tenants", json!({ "external_id": organization, "name": organization })).await;
    let key = json!({ "name": "agent", "kind": "agentmessage", "tenant": organization, "scopes": scopes });
    format!("Bearer {}", app.make_key(key).await)
}

pub async fn endpoint(app: &TestApp, key: &str) -> Value {
    let body = json!({ "url": "https://example.com/hooks", "events": ["order.paid"] });
    app.post("/v1/webhooks", body).key(key).await.assert(201).json()
}

const BOTH: [&str; 2] = ["webhooks:read", "webhooks:write"];

#[tokio::test]
async fn an_endpoint_is_made_with_a_secret_that_only_this_answer_shows() {
    let app = TestApp::start().await;
    let key = organization(&app, &BOTH).await;
    let body = json!({ "url": "https://example.com/hooks", "events": ["order.paid"], "description": " CRM sync ", "api_version": "2026-04-01" });
    let created = app.post("/v1/webhooks", body).key(&key).await.check(expect![[r#"
        201
        {
          "id": "<uuid>",
          "org_id": "<uuid>",
          "url": "https://example.com/hooks",
          "description": "CRM sync",
          "events": [
            "order.paid"
          ],
          "active": true,
          "api_version": "2026-04-01",
          "created_at": "2026-02-18T12:00:00Z",
          "updated_at": "2026-02-18T12:00:00Z",
          "deleted_at": null,
          "secret": "<base64 of 32 bytes>",
          "secret_displayed_once": true
        }
    "#]]);
    let id = created.json()["id"].as_str().unwrap().to_owned();
    app.get(&format!("/v1/webhooks/{id}")).key(&key).await.check(expect![[r#"
        200
        {
          "id": "<uuid>",
          "org_id": "<uuid>",
          "url": "https://example.com/hooks",
          "description": "CRM sync",
          "events": [
            "order.paid"
          ],
          "active": true,
          "api_version": "2026-04-01",
          "created_at": "2026-02-18T12:00:00Z",
          "updated_at": "2026-02-18T12:00:00Z",
          "deleted_at": null
        }
    "#]]);
    // It is a subscription like any other.
    let listed = app.get("/v1/webhook-subscriptions").header("waxwing-tenant", "acme").await.assert(200).json();
    let attributes = &listed["data"][0]["attributes"];
    assert_eq!((&attributes["profile"], &attributes["description"]), (&json!("agentmessage"), &json!("CRM sync")));
}

#[tokio::test]
async fn the_list_is_in_its_wrapper_the_newest_first_without_deleted_ones() {
    let app = TestApp::start().await;
    let key = organization(&app, &BOTH).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(endpoint(&app, &key).await["id"].as_str().unwrap().to_owned());
    }
    app.delete(&format!("/v1/webhooks/{}", ids[1])).key(&key).await.check(expect![[r#"204"#]]);
    app.get(&format!("/v1/webhooks/{}", ids[1])).key(&key).await.assert(404);
    let shown = |list: &Value| {
        let ids = list["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    let all = app.get("/v1/webhooks").key(&key).await.assert(200).json();
    assert_eq!(shown(&all), [ids[2].clone(), ids[0].clone()]);
    assert_eq!(all["success"], true);
    assert_eq!(all["meta"], json!({ "total": 2, "limit": 50, "offset": 0, "next_cursor": null }));
    assert!(all["data"][0].get("secret").is_none() && all["data"][0]["deleted_at"].is_null());
    let one = app.get("/v1/webhooks?limit=1").key(&key).await.assert(200).json();
    assert_eq!(shown(&one), [ids[2].clone()]);
    for limit in ["0", "101", "x", ""] {
        let refused = app.get(&format!("/v1/webhooks?limit={limit}")).key(&key).await.assert(422).json();
        assert_eq!(refused["error"]["details"], json!({ "limit": "'limit' must be 1 to 100" }));
    }
}

#[tokio::test]
async fn a_change_touches_what_it_names() {
    let app = TestApp::start().await;
    let key = organization(&app, &BOTH).await;
    let path = format!("/v1/webhooks/{}", endpoint(&app, &key).await["id"].as_str().unwrap());
    app.advance(std::time::Duration::from_secs(1));
    for (change, member, expected) in [
        (json!({ "description": "  for the CRM " }), "description", json!("for the CRM")),
        (json!({ "description": "ñ".repeat(200) }), "description", json!("ñ".repeat(200))),
        (json!({ "description": "  " }), "description", Value::Null),
        (json!({ "description": "x" }), "description", json!("x")),
        (json!({ "description": null }), "description", Value::Null),
        (json!({ "active": false }), "active", json!(false)),
        (json!({ "active": true }), "active", json!(true)),
        (json!({ "events": ["order.sent"] }), "events", json!(["order.sent"])),
        (json!({ "url": "https://example.com/other" }), "url", json!("https://example.com/other")),
    ] {
        let changed = app.patch(&path, change).key(&key).await.assert(200).json();
        assert_eq!(changed[member], expected);
        assert_eq!(changed["updated_at"], "2026-02-18T12:00:01Z");
        assert_eq!(app.get(&path).key(&key).await.json(), changed, "and it is shown so");
        assert!(changed.get("secret").is_none());
    }
    let shown = app.get(&path).key(&key).await.json();
    assert!(shown.get("description").is_none(), "left out when there is none: {shown}");
}

#[tokio::test]
async fn what_breaks_a_rule_is_told_by_field_before_it_is_told_whether_there_is_such_an_endpoint() {
    let app = TestApp::start().await;
    let key = organization(&app, &BOTH).await;
    let path = format!("/v1/webhooks/{}", endpoint(&app, &key).await["id"].as_str().unwrap());
    let unknown = "/v1/webhooks/018f2d0c-7a4c-7f3e-8f1f-3a2b9c1d2e0f".to_owned();
    let url = "https://example.com/hooks";
    let many: Vec<String> = (0..51).map(|n| format!("order.{n}")).collect();
    let create = |body: Value| app.post("/v1/webhooks", body).key(&key);
    let update = |body: Value| app.patch(&path, body).key(&key);
    let update_unknown = |body: Value| app.patch(&unknown, body).key(&key);
    for (call, fields) in [
        (create(json!({})), vec!["events", "url"]),
        (create(json!({ "url": "http://example.com", "events": ["order.paid"] })), vec!["url"]),
        (create(json!({ "url": "https://10.0.0.1/", "events": ["order.paid"] })), vec!["url"]),
        (create(json!({ "url": 5, "events": "order.paid" })), vec!["events", "url"]),
        (create(json!({ "url": url, "events": [] })), vec!["events"]),
        (create(json!({ "url": url, "events": many })), vec!["events"]),
        (create(json!({ "url": url, "events": ["order.paid", "order.paid"] })), vec!["events"]),
        (create(json!({ "url": url, "events": ["order.lost"] })), vec!["events"]),
        (create(json!({ "url": url, "events": ["webhook.test"] })), vec!["events"]),
        (create(json!({ "url": url, "events": ["order.paid"], "description": "x".repeat(201) })), vec!["description"]),
        (create(json!({ "url": url, "events": ["order.paid"], "api_version": "2020-01-01" })), vec!["api_version"]),
        (create(json!({ "url": url, "events": ["order.paid"], "colour": "red" })), vec!["colour"]),
        (update(json!({ "api_version": "2026-04-01" })), vec!["api_version"]),
        (update(json!({ "api_version": null, "active": 1 })), vec!["active", "api_version"]),
        (update(json!({ "description": "x".repeat(201) })), vec!["description"]),
        (update_unknown(json!({ "url": "http://example.com" })), vec!["url"]),
    ] {
        let answer = call.await.assert(422);
        let error = &answer.json()["error"];
        assert_eq!((&error["code"], &error["message"]), (&json!("VALIDATION_FAILED"), &json!("validation failed")));
        let details = error["details"].as_object().unwrap();
        assert_eq!(details.keys().collect::<Vec<_>>(), fields);
        assert!(details.values().all(|reason| reason.as_str().is_some_and(|text| !text.is_empty())));
    }
    update_unknown(json!({ "url": url })).await.assert(404);
    let broken = app.call(Method::POST, "/v1/webhooks").key(&key).body("application/json", "{").await.assert(400);
    assert_eq!(broken.json()["error"]["code"], "INVALID_INPUT");
}

#[tokio::test]
async fn the_fifty_first_endpoint_is_one_too_many() {
    let app = TestApp::start().await;
    let key = organization(&app, &BOTH).await;
    for _ in 0..50 {
        endpoint(&app, &key).await;
    }
    let body = json!({ "url": "https://example.com/hooks", "events": ["order.paid"] });
    let refused = app.post("/v1/webhooks", body).key(&key).await.assert(409).json();
    assert_eq!(refused["error"]["code"], "LIMIT_EXCEEDED");
}

#[tokio::test]
async fn each_scope_lets_do_what_it_names_and_nothing_else() {
    let app = TestApp::start().await;
    let all = organization(&app, &BOTH).await;
    let id = endpoint(&app, &all).await["id"].as_str().unwrap().to_owned();
    let one = format!("/v1/webhooks/{id}");
    let unknown = "018f2d0c-7a4c-8f3e-8f1f-3a2b9c1d2e0f";
    let delivery = format!("/v1/webhooks/deliveries/{unknown}");
    for (scopes, reads, writes) in [
        (vec!["webhooks:read"], true, false),
        (vec!["webhooks:write"], false, true),
        (vec!["messages:send", "numbers:write"], false, false),
        (vec!["org:admin:write"], false, false),
    ] {
        let key = key_of(&app, "acme", &scopes).await;
        for path in ["/v1/webhooks", &one, "/v1/webhooks/deliveries", &delivery] {
            let status = app.get(path).key(&key).await.status.as_u16();
            assert_eq!(status != 403, reads, "{scopes:?} GET {path}: {status}");
        }
        for (method, path) in [
            (Method::PATCH, one.clone()),
            (Method::POST, "/v1/webhooks".to_owned()),
            (Method::POST, format!("/v1/webhooks/{unknown}/test")),
            (Method::POST, format!("/v1/webhooks/{unknown}/rotate-secret")),
            (Method::POST, format!("{delivery}/replay")),
            (Method::DELETE, format!("/v1/webhooks/{unknown}")),
        ] {
            let answer = app.call(method.clone(), &path).body("application/json", "{}").key(&key).await;
            let status = answer.status.as_u16();
            assert_eq!(status != 403, writes, "{scopes:?} {method} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn another_organizations_endpoint_is_not_there() {
    let app = TestApp::start().await;
    let key = organization(&app, &BOTH).await;
    let path = format!("/v1/webhooks/{}", endpoint(&app, &key).await["id"].as_str().unwrap());
    let other = key_of(&app, "other", &BOTH).await;
    app.get(&path).key(&other).await.assert(404);
    app.patch(&path, json!({ "active": false })).key(&other).await.assert(404);
    app.call(Method::POST, &format!("{path}/test")).key(&other).await.assert(404);
    app.delete(&path).key(&other).await.assert(404);
    for id in ["x", "whsub_01h2xcejqtf2nbrexx3vqjhp41", "018f2d0c-7a4c-7f3e-8f1f"] {
        app.get(&format!("/v1/webhooks/{id}")).key(&key).await.assert(404);
    }
    app.get(&path).key(&key).await.assert(200);
}

#[tokio::test]
async fn a_test_is_answered_and_kept_in_the_feed() {
    // A key that may send to the test receiver.
    let app = TestApp::start().await.with_key(format!("Bearer {ADMIN_KEY}"));
    for (url, active, expected) in [
        (TEST_RECEIVER, true, json!({ "outcome": "success", "response_status": 200, "error": null })),
        (TEST_RECEIVER, false, json!({ "outcome": "success", "response_status": 200, "error": null })),
        ("https://nowhere.example/", true, json!({ "outcome": "dead", "response_status": null, "error": "dns" })),
    ] {
        let body = json!({ "url": url, "events": ["order.paid"] });
        let made = app.post("/v1/webhooks", body).await.assert(201).json();
        let path = format!("/v1/webhooks/{}", made["id"].as_str().unwrap());
        app.patch(&path, json!({ "active": active })).await.assert(200);
        let test = app.call(Method::POST, &format!("{path}/test")).await.assert(200).json();
        assert_eq!(test["url"], url);
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&test[name], value, "{test}");
        }
        let feed = format!("/v1/webhooks/deliveries?endpoint_id={}", made["id"].as_str().unwrap());
        let is_there = |feed: &Value| feed["data"].as_array().is_some_and(|rows| !rows.is_empty());
        let feed = app.wait_for(&feed, is_there).await.json();
        let row = &feed["data"][0];
        assert_eq!((&row["event_type"], &row["attempt"]), (&json!("webhook.test"), &json!(1)));
        assert_eq!(test["event_id"], format!("evt_{}", row["event_id"].as_str().unwrap()));
        for name in ["outcome", "response_status", "response_time_ms", "response_body_excerpt", "error", "url"] {
            assert_eq!(row[name], test[name], "{name}");
        }
    }
}
