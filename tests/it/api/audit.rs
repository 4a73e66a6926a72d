//! `/v1/audit-log`: what leaves an entry, and how it is read.

use std::collections::BTreeMap;
use std::time::Duration;

use poem::http::Method;
use serde_json::{Value, json};
use waxwing::http::document;

use crate::support::app::{ADMIN_KEY, TEST_RECEIVER, TestApp};

async fn newest(app: &TestApp) -> Value {
    app.get("/v1/audit-log?page[size]=1").await.assert(200).json()["data"][0]["attributes"].clone()
}

fn actions(list: &Value) -> Vec<&str> {
    let rows = list["data"].as_array().expect("it is a list");
    rows.iter().map(|row| row["attributes"]["action"].as_str().expect("each has one")).collect()
}

#[tokio::test]
async fn an_entry_says_who_did_what_to_which_object_when_and_from_where() {
    let app = TestApp::start().await;
    let tenant = app.post("/v1/tenants", json!({ "name": "acme" })).await.assert(201).id();
    let key = app.make_key(json!({ "name": "the key", "preset": "full_access", "tenant": tenant })).await;
    app.advance(Duration::from_secs(5));
    let body = json!({ "url": "https://example.com/a", "events": ["*"] });
    let made = app.post("/v1/webhook-subscriptions", body).key(&key).await.assert(201);
    let entry = newest(&app).await;
    assert_eq!(entry["action"], "subscriptions.create");
    assert_eq!(entry["at"], "2026-02-18T12:00:05.000Z");
    assert_eq!((&entry["actor"]["type"], &entry["actor"]["name"]), (&json!("key"), &json!("the key")));
    assert!(entry["actor"]["id"].as_str().unwrap().starts_with("key_"));
    assert_eq!(entry["tenant_id"], *tenant);
    assert_eq!(entry["object"], json!({ "type": "webhook_subscription", "id": made.id() }));
    assert_eq!(entry["request_id"], made.header("x-request-id").unwrap());
    assert_eq!(entry["status"], 201);
    app.post(&format!("/v1/webhook-subscriptions/{}/test", made.id()), json!({})).key(&key).await.assert(200);
    assert_eq!(newest(&app).await["object"], json!({ "type": "webhook_subscription", "id": made.id() }));
    app.delete(&format!("/v1/tenants/{tenant}")).await.assert(204);
    let entry = newest(&app).await;
    assert_eq!(entry["object"], json!({ "type": "tenant", "id": tenant }));
    assert_eq!(entry["tenant_id"], Value::Null, "it concerns the instance");
    assert_eq!(
        app.get(&format!("/v1/audit-log?filter[tenant_id]={tenant}")).await.assert(200).json()["data"]
            .as_array()
            .unwrap()
            .len(),
        2,
        "it outlives the tenant"
    );
}

#[tokio::test]
async fn what_was_only_read_refused_repeated_or_published_leaves_no_entry() {
    let app = TestApp::start().await;
    let body = json!({ "name": "a.b" });
    app.post("/v1/event-types", body.clone()).header("idempotency-key", "1").await.assert(201);
    let before = app.get("/v1/audit-log").await.assert(200).json();
    app.get("/v1/event-types").await.assert(200);
    app.post("/v1/event-types", body.clone()).await.assert(409);
    app.post("/v1/event-types", json!({ "name": "c.d" })).key("wrong").await.assert(401);
    app.post("/v1/event-types", body).header("idempotency-key", "1").await.assert(201);
    app.post("/v1/events", json!({ "type": "a.b", "data": {} })).await.assert(202);
    app.post("/v1/events/batch", json!({ "events": [{ "type": "a.b", "data": {} }] })).await.assert(200);
    assert_eq!(app.get("/v1/audit-log").await.assert(200).json(), before);
}

#[tokio::test]
async fn entries_are_found_by_action_actor_object_and_time() {
    let app = TestApp::start().await;
    for name in ["a.b", "c.d"] {
        app.advance(Duration::from_secs(60));
        app.post("/v1/event-types", json!({ "name": name })).await.assert(201);
        app.delete(&format!("/v1/event-types/{name}")).await.assert(204);
    }
    for (query, expected) in [
        ("filter[object_id]=c.d", vec!["event_types.delete", "event_types.create"]),
        ("filter[action]=event_types.delete", vec!["event_types.delete"; 2]),
        ("filter[action]=event_types.delete&filter[object_id]=a.b", vec!["event_types.delete"]),
        ("filter[since]=2026-02-18T12:02:00Z", vec!["event_types.delete", "event_types.create"]),
        ("filter[since]=2026-02-18T12:02:00.001Z", vec![]),
        ("filter[until]=2026-02-18T12:01:00Z", vec!["event_types.create"; 2]),
        ("filter[actor_id]=key_1", vec![]),
    ] {
        let list = app.get(&format!("/v1/audit-log?{query}")).await.assert(200).json();
        assert_eq!(actions(&list), expected, "{query}");
    }
    let first = app.get("/v1/audit-log?page[size]=4").await.assert(200).json();
    let second = app.get(first["links"]["next"].as_str().unwrap()).await.assert(200).json();
    assert_eq!((actions(&first).len(), actions(&second).len()), (4, 2));
    let key = app.make_key(json!({ "name": "k", "preset": "full_access" })).await;
    app.get("/v1/audit-log").key(&key).await.assert(403);
}

/// What each operation needs to succeed. `{name}` stands for what an earlier one made.
fn requests() -> BTreeMap<&'static str, Value> {
    let subscription = || json!({ "url": TEST_RECEIVER, "events": ["order.*"] });
    let document = json!({ "openapi": "3.1.0", "webhooks": { "x.y": {} } });
    BTreeMap::from([
        ("subscriptions.create", subscription()),
        ("tenants.create", json!({ "name": "t" })),
        ("tenants.put", json!({ "name": "u" })),
        ("tenants.update", json!({ "name": "v" })),
        ("api_keys.create", json!({ "name": "k", "preset": "read_only" })),
        ("event_types.create", json!({ "name": "z.z" })),
        ("event_types.import", json!({ "document": document })),
        ("event_types.put", json!({ "description": "d" })),
        ("event_types.update", json!({ "description": "e" })),
        ("subscriptions.put", json!({ "description": "d" })),
        ("subscriptions.update", json!({ "description": "e" })),
        ("subscriptions.recover", json!({ "since": "2026-02-18T11:00:00Z" })),
        ("deliveries.retry_many", json!({ "filter": { "event_type": "order.paid" } })),
        ("deliveries.cancel_many", json!({ "filter": { "event_type": "order.paid" } })),
        ("settings.update", json!({ "language": "es" })),
        ("test_receiver.put", json!({ "behaviour": "fail" })),
        ("portal_sessions.create", json!({ "token": "{token}" })),
        ("users.create", json!({ "email": "bob@example.com", "role": "viewer" })),
        ("users.update", json!({ "name": "Ann" })),
        ("listeners.create", json!({ "subscription_id": "{listened}" })),
        ("sessions.create", json!({ "api_key": ADMIN_KEY })),
        ("setup.follow", json!({ "token": "{invitation}", "password": "correct horse" })),
    ])
}

/// A new world in which every operation can succeed, and what each parameter of a path is in it.
async fn world(app: &TestApp, operation: &str) -> BTreeMap<&'static str, String> {
    let tenant = app.post("/v1/tenants", json!({ "name": "t" })).await.assert(201).id();
    let key = app.post("/v1/api-keys", json!({ "name": "k", "preset": "read_only" })).await.assert(201).id();
    app.put("/v1/test-receiver/receivers/inbox", json!({ "behaviour": "fail" })).await.assert(200);
    let body = json!({ "url": TEST_RECEIVER, "events": ["order.*"], "is_active": false });
    let subscription = app.post("/v1/webhook-subscriptions", body).await.assert(201).id();
    let event = app.post("/v1/events", json!({ "type": "order.paid", "data": {} })).await.assert(202).id();
    let body = json!({ "filter": { "event_type": "order.sent" } });
    let mut job = app.post("/v1/deliveries/cancel", body).await.assert(202).id();
    if operation == "jobs.cancel" {
        // Several steps of each, in turns: the last one is not done so soon.
        let events = vec![json!({ "type": "order.paid", "data": {} }); 1000];
        app.post("/v1/events/batch", json!({ "events": events })).await.assert(200);
        app.post("/v1/events/batch", json!({ "events": events })).await.assert(200);
        app.wait_for("/v1/deliveries?page[size]=2", |list| list["data"].as_array().is_some_and(|all| all.len() == 2))
            .await;
        for _ in 0..9 {
            job = app.post("/v1/deliveries/retry", json!({ "all": true })).await.assert(202).id();
        }
    }
    let list = app
        .wait_for("/v1/deliveries?page[size]=1", |list| list["data"].as_array().is_some_and(|rows| rows.len() == 1))
        .await;
    let delivery = list.json()["data"][0]["id"].as_str().unwrap().to_owned();
    let mut backup = String::new();
    if operation == "backups.delete" {
        backup = app.post("/v1/backups", json!({})).await.assert(202).id();
        let path = format!("/v1/backups/{backup}");
        app.wait_for(&path, |backup| backup["data"]["attributes"]["state"] == "complete").await;
    }
    let link = app.post("/v1/portal-links", json!({})).await.assert(201).json()["data"].clone();
    let token = link["attributes"]["url"].as_str().unwrap().split_once('#').unwrap().1.to_owned();
    let (mut user, mut session, mut invitation) = (String::new(), String::new(), String::new());
    if ["users.", "sessions.", "setup.follow"].iter().any(|noun| operation.starts_with(noun)) {
        let body = json!({ "email": "ann@example.com", "role": "viewer" });
        let made = app.post("/v1/users", body).await.assert(201).json()["data"].clone();
        user = made["id"].as_str().unwrap().to_owned();
        let url = made["attributes"]["invitation_url"].as_str().unwrap();
        invitation = url.rsplit('/').next().unwrap().to_owned();
        let body = json!({ "api_key": ADMIN_KEY });
        session = app.post("/v1/sessions", body).without_key().await.assert(201).id();
    }
    let (mut listened, mut listener) = (String::new(), String::new());
    if operation.starts_with("listeners.") {
        let body = json!({ "url": "https://listener.invalid/ann", "events": ["*"] });
        listened = app.post("/v1/webhook-subscriptions", body).await.assert(201).id();
    }
    if operation == "listeners.delete" {
        listener = app.post("/v1/listeners", json!({ "subscription_id": listened })).await.assert(201).id();
    }
    let noun = operation.split('.').next().unwrap_or_default();
    let id = match noun {
        "subscriptions" => subscription,
        "events" => event,
        "deliveries" => delivery,
        "jobs" => job,
        "backups" => backup,
        "tenants" => tenant,
        "api_keys" => key,
        "users" => user,
        "sessions" => session,
        "listeners" => listener,
        "portal_links" => link["id"].as_str().unwrap().to_owned(),
        "test_receiver" => "inbox".to_owned(),
        _ => String::new(),
    };
    BTreeMap::from([
        ("{id}", id),
        ("{name}", "order.paid".to_owned()),
        ("{token}", token),
        ("{invitation}", invitation),
        ("{listened}", listened),
    ])
}

/// What nobody but a signed-in user, or a visitor of the portal, can ask for.
const WITHOUT_A_KEY: [&str; 5] =
    ["sessions.end_current", "portal_sessions.end_current", "totp.create", "totp.confirm", "totp.delete"];
/// What ends the server that would be asked for the entry.
const ENDING: [&str; 1] = ["setup.restore"];
/// What takes a store in a file: `binary::compaction` looks for its entry.
const IN_A_FILE: [&str; 1] = ["storage.compact"];

#[tokio::test]
async fn every_operation_that_writes_leaves_an_entry() {
    let (document, requests) = (document(), requests());
    let mut seen = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let is_history = id.starts_with("events.publish") || id == "listeners.answer";
            if method == "get" || is_history || [&WITHOUT_A_KEY[..], &ENDING, &IN_A_FILE].concat().contains(&id) {
                continue;
            }
            let app = TestApp::start().await;
            let parameters = world(&app, id).await;
            let path = parameters.iter().fold(path.clone(), |path, (name, value)| path.replace(name, value));
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let mut body = requests.get(id).cloned().unwrap_or_else(|| json!({}));
            for member in ["token", "subscription_id"] {
                if let Some(made) = body[member].as_str().and_then(|name| parameters.get(name)) {
                    body[member] = json!(made);
                }
            }
            let call = app.call(method.clone(), &path);
            let call = if method == Method::DELETE { call } else { call.json(&body) };
            let answer = call.await;
            assert!(answer.status.is_success(), "{id} needs another request than {body}: {}", answer.body);
            let entry = newest(&app).await;
            assert_eq!(entry["action"], id);
            assert_eq!(entry["status"], answer.status.as_u16(), "{id}");
            assert_eq!(entry["request_id"], answer.header("x-request-id").unwrap(), "{id}");
            seen += 1;
        }
    }
    assert!(seen > 25, "only {seen} operations write");
}

#[tokio::test]
async fn who_enters_the_portal_and_who_tries_to_is_told() {
    let app = TestApp::start().await;
    app.post("/v1/portal-sessions", json!({ "token": "guess" })).without_key().await.assert(401);
    let entry = newest(&app).await;
    assert_eq!((&entry["action"], &entry["status"]), (&json!("portal_sessions.create_failed"), &json!(401)));
    assert_eq!((&entry["actor"], &entry["object"]), (&Value::Null, &Value::Null));
    let link = app.post("/v1/portal-links", json!({})).await.assert(201).json()["data"].clone();
    let token = link["attributes"]["url"].as_str().unwrap().split_once('#').unwrap().1.to_owned();
    let made = app.post("/v1/portal-sessions", json!({ "token": token })).without_key().await.assert(201).json();
    let (id, bearer) = (&made["data"]["id"], made["data"]["attributes"]["bearer"].as_str().unwrap());
    let entry = newest(&app).await;
    assert_eq!(entry["action"], "portal_sessions.create");
    assert_eq!(entry["object"], json!({ "type": "portal_session", "id": id }));
    assert!(!app.get("/v1/audit-log").await.body.contains(&token), "no token");
    let body = json!({ "url": "https://example.com/a", "events": ["*"] });
    app.post("/v1/webhook-subscriptions", body).key(bearer).await.assert(201);
    let entry = newest(&app).await;
    assert_eq!(entry["actor"], json!({ "type": "portal", "id": id, "name": "portal" }));
    assert!(!app.get("/v1/audit-log").await.body.contains(bearer), "no bearer");
    app.delete("/v1/portal-sessions/current").key(bearer).await.assert(204);
    let entry = newest(&app).await;
    assert_eq!((&entry["action"], &entry["actor"]["id"]), (&json!("portal_sessions.end_current"), id));
}

#[tokio::test]
async fn a_trial_is_told_as_one() {
    let app = TestApp::start().await;
    let body = requests()["subscriptions.create"].clone();
    let subscription = app.post("/v1/webhook-subscriptions", body).await.assert(201).id();
    for (path, action) in [
        ("/v1/event-types/import", "event_types.import"),
        ("/v1/webhook-subscriptions", "subscriptions.create"),
        (&*format!("/v1/webhook-subscriptions/{subscription}/recover"), "subscriptions.recover"),
        ("/v1/deliveries/retry", "deliveries.retry_many"),
        ("/v1/deliveries/cancel", "deliveries.cancel_many"),
    ] {
        let mut body = requests()[action].clone();
        body["dry_run"] = json!(true);
        app.post(path, body.clone()).await.assert(200);
        assert_eq!(newest(&app).await["action"], format!("{action}_dry_run"));
        body["dry_run"] = json!(false);
        let answer = app.post(path, body).await;
        assert!(answer.status.is_success(), "{action}: {}", answer.body);
        assert_eq!(newest(&app).await["action"], action);
    }
}

#[tokio::test]
async fn who_signs_in_and_who_tries_to_is_told() {
    let app = TestApp::start().await;
    let body = json!({ "email": "ann@example.com", "password": "a wrong guess" });
    app.post("/v1/sessions", body).without_key().await.assert(401);
    let entry = newest(&app).await;
    assert_eq!((&entry["action"], &entry["actor"]), (&json!("sessions.create_failed"), &Value::Null));
    let session = app.post("/v1/sessions", json!({ "api_key": ADMIN_KEY })).without_key().await.assert(201).id();
    let entry = newest(&app).await;
    assert_eq!(entry["action"], "sessions.create");
    assert_eq!(entry["object"], json!({ "type": "session", "id": session }));
    assert_eq!(entry["actor"]["name"], "WAXWING_ADMIN_KEY");
    assert!(!app.get("/v1/audit-log").await.body.contains("a wrong guess"), "no password");
}
