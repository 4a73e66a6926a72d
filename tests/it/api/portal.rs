//! `/v1/portal-links`, `/v1/portal-sessions`, and what the bearer of a portal session can reach.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use expect_test::expect;
use poem::http::Method;
use serde_json::{Value, json};
use waxwing::http::document;

use crate::support::app::{TEST_RECEIVER, TestApp};

async fn link(app: &TestApp, tenant: &str, body: Value) -> Value {
    app.post("/v1/portal-links", body).header("waxwing-tenant", tenant).await.assert(201).json()["data"].clone()
}

fn token(link: &Value) -> String {
    let url = link["attributes"]["url"].as_str().expect("create shows it");
    url.split_once("/portal#").expect("it stands behind the #").1.to_owned()
}

async fn enter(app: &TestApp, token: &str) -> Value {
    let session = app.post("/v1/portal-sessions", json!({ "token": token })).without_key().await.assert(201).json();
    session["data"]["attributes"].clone()
}

fn bearer(session: &Value) -> String {
    format!("Bearer {}", session["bearer"].as_str().expect("it is shown"))
}

/// What every session may do.
const READS: [&str; 4] = ["subscriptions:read", "deliveries:read", "events:read", "event_types:read"];

fn scopes(session: &Value) -> BTreeSet<&str> {
    session["scopes"].as_array().expect("it is told").iter().filter_map(Value::as_str).collect()
}

/// A tenant with a bearer for its portal.
async fn scene(body: Value) -> (TestApp, String, String) {
    let app = TestApp::start().await;
    let tenant = app.post("/v1/tenants", json!({ "name": "Acme" })).await.assert(201).id();
    let link = link(&app, &tenant, body).await;
    let bearer = bearer(&enter(&app, &token(&link)).await);
    (app, tenant, bearer)
}

#[tokio::test]
async fn a_link_lets_one_browser_in_once_and_shows_whose_portal_it_is() {
    let app = TestApp::start().await;
    let tenant = app.post("/v1/tenants", json!({ "name": "Acme" })).await.assert(201).id();
    let brand = json!({ "portal.name": "Hooks", "portal.color": "#0a7d5a", "console.url": "https://hooks.example/" });
    app.patch("/v1/settings", brand).await.assert(200);
    let link = link(&app, &tenant, json!({ "session_seconds": 600 })).await;
    assert!(link["attributes"]["url"].as_str().unwrap().starts_with("https://hooks.example/portal#"), "{link}");
    let path = format!("/v1/portal-links/{}", link["id"].as_str().unwrap());
    let shown = async || app.get(&path).header("waxwing-tenant", &tenant).await.assert(200).json();
    assert_eq!(shown().await["data"]["attributes"]["used_at"], Value::Null);
    assert_eq!(shown().await["data"]["attributes"]["url"], Value::Null, "only once");
    let session = enter(&app, &token(&link)).await;
    assert_eq!(session["tenant_id"], *tenant);
    assert_eq!(session["tenant_name"], "Acme");
    assert_eq!(session["expires_at"], "2026-02-18T12:10:00.000Z");
    let writes = ["subscriptions:write", "deliveries:write"];
    assert_eq!(scopes(&session), [READS.as_slice(), &writes].concat().into_iter().collect());
    assert_eq!(session["brand"], json!({ "name": "Hooks", "color": "#0a7d5a", "logo": null }));
    assert_eq!(shown().await["data"]["attributes"]["used_at"], "2026-02-18T12:00:00.000Z");
    app.post("/v1/portal-sessions", json!({ "token": token(&link) })).without_key().await.check(expect![[r#"
        401 invalid_portal_link: This link cannot be followed, or not any more: ask for a new one
    "#]]);
    let bearer = bearer(&session);
    let body = json!({ "url": "https://example.com/a", "events": ["*"] });
    let made = app.post("/v1/webhook-subscriptions", body).key(&bearer).await.assert(201).json();
    assert_eq!(made["data"]["attributes"]["tenant_id"], *tenant);
    app.advance(Duration::from_secs(599));
    app.get("/v1/webhook-subscriptions").key(&bearer).await.assert(200);
    app.advance(Duration::from_secs(1));
    app.get("/v1/webhook-subscriptions").key(&bearer).await.check(expect![[r#"
        401 session_expired: The session in the portal is over: ask for a new link
    "#]]);
}

#[tokio::test]
async fn a_revoked_link_takes_its_session_along() {
    let (app, tenant, bearer) = scene(json!({})).await;
    app.get("/v1/deliveries").key(&bearer).await.assert(200);
    let list = app.get("/v1/portal-links").header("waxwing-tenant", &tenant).await.assert(200).json();
    let path = format!("/v1/portal-links/{}", list["data"][0]["id"].as_str().unwrap());
    app.delete(&path).await.assert(404);
    app.delete(&path).header("waxwing-tenant", &tenant).await.assert(204);
    app.get("/v1/deliveries").key(&bearer).await.assert(401);
    let unused = link(&app, &tenant, json!({})).await;
    let path = format!("/v1/portal-links/{}", unused["id"].as_str().unwrap());
    app.delete(&path).header("waxwing-tenant", &tenant).await.assert(204);
    app.post("/v1/portal-sessions", json!({ "token": token(&unused) })).without_key().await.assert(401);
}

#[tokio::test]
async fn who_leaves_the_portal_comes_back_by_another_link_only() {
    let app = TestApp::start().await;
    let link = link(&app, "default", json!({ "read_only": true })).await;
    let bearer = bearer(&enter(&app, &token(&link)).await);
    app.delete("/v1/portal-sessions/current").await.check(expect![[r#"
        404 not_found: Session 'current' not found
    "#]]);
    app.advance(Duration::from_secs(1));
    app.delete("/v1/portal-sessions/current").key(&bearer).await.assert(204);
    for path in ["/v1/deliveries", "/v1/portal-sessions/current"] {
        let call = if path == "/v1/deliveries" { app.get(path) } else { app.delete(path) };
        call.key(&bearer).await.check(expect![[r#"
            401 session_expired: The session in the portal is over: ask for a new link
        "#]]);
    }
    app.post("/v1/portal-sessions", json!({ "token": token(&link) })).without_key().await.assert(401);
    let shown = app.get(&format!("/v1/portal-links/{}", link["id"].as_str().unwrap())).await.assert(200).json();
    let attributes = &shown["data"]["attributes"];
    assert_eq!(attributes["session_expires_at"], "2026-02-18T12:00:01.000Z");
    assert_eq!(attributes["revoked_at"], Value::Null, "nobody took it back");
}

#[tokio::test]
async fn what_the_portal_does_not_give_is_refused_in_its_own_words() {
    let (app, _, session) = scene(json!({})).await;
    app.get("/v1/api-keys").key(&session).await.check(expect![[r#"
        403 missing_scope: The portal does not give the scope keys:read
    "#]]);
    app.get("/v1/events?scope=instance").key(&session).await.check(expect![[r#"
        403 missing_scope: This concerns the whole instance, and the portal is about one tenant
    "#]]);
    let read_only = enter(&app, &token(&link(&app, "default", json!({ "read_only": true })).await)).await;
    let body = json!({ "url": "https://example.com/a", "events": ["*"] });
    app.post("/v1/webhook-subscriptions", body).key(&bearer(&read_only)).await.check(expect![[r#"
        403 read_only_key: This visit of the portal is read-only and cannot change anything
    "#]]);
}

#[tokio::test]
async fn a_link_ends_with_its_time_or_its_tenant() {
    let (app, tenant, bearer) = scene(json!({})).await;
    let late = link(&app, &tenant, json!({ "expires_in_seconds": 300 })).await;
    let of_gone = link(&app, &tenant, json!({})).await;
    app.advance(Duration::from_secs(300));
    app.post("/v1/portal-sessions", json!({ "token": token(&late) })).without_key().await.assert(401);
    app.delete(&format!("/v1/tenants/{tenant}")).await.assert(204);
    app.post("/v1/portal-sessions", json!({ "token": token(&of_gone) })).without_key().await.assert(401);
    app.get("/v1/deliveries").key(&bearer).await.assert(401);
}

#[tokio::test]
async fn a_session_outlives_a_restart_and_is_stored_as_a_hash_alone() {
    let (app, tenant, bearer) = scene(json!({})).await;
    let disk = app.disk.copy(2);
    let text = bearer.trim_start_matches("Bearer ").as_bytes().to_vec();
    assert!(!disk.bytes().windows(text.len()).any(|window| window == text));
    let again = TestApp::start_on(disk, app.settings.clone(), app.clock.now()).await;
    let list = again.get("/v1/webhook-subscriptions").key(&bearer).await.assert(200).json();
    assert_eq!(list["meta"]["total"], 0, "{tenant}");
}

#[tokio::test]
async fn who_reads_only_changes_nothing() {
    let app = TestApp::start().await;
    let session = enter(&app, &token(&link(&app, "default", json!({ "read_only": true })).await)).await;
    assert_eq!(session["read_only"], true);
    assert_eq!(scopes(&session), READS.into_iter().collect());
    let bearer = bearer(&session);
    let list = app.get("/v1/webhook-subscriptions").key(&bearer).await.assert(200);
    assert_eq!(list.header("ratelimit-limit"), Some("50"));
    let body = json!({ "url": "https://example.com/a", "events": ["*"] });
    app.post("/v1/webhook-subscriptions", body).key(&bearer).await.assert(403);
}

#[tokio::test]
async fn a_link_gives_no_more_than_who_makes_it_has() {
    let app = TestApp::start().await;
    for (key, status) in [
        (json!({ "name": "k", "preset": "full_access" }), 201),
        (json!({ "name": "k", "preset": "subscriber" }), 403),
        (json!({ "name": "k", "scopes": ["keys:write", "subscriptions:read"] }), 403),
        (json!({ "name": "k", "preset": "full_access", "channels": ["c"] }), 403),
    ] {
        let key_text = app.make_key(key.clone()).await;
        app.post("/v1/portal-links", json!({})).key(&key_text).await.assert(status);
    }
    // Nor for longer.
    let key = app.make_key(json!({ "name": "k", "preset": "full_access", "expires_at": "2026-02-18T13:00:00Z" })).await;
    app.post("/v1/portal-links", json!({})).key(&key).await.check(expect![[r#"
        403 missing_scope: A key cannot give more than it has itself: it expires before a session of the link would; give less expires_in_seconds and session_seconds
    "#]]);
    let short = json!({ "expires_in_seconds": 1800, "session_seconds": 1800 });
    app.post("/v1/portal-links", short).key(&key).await.assert(201);
    app.post("/v1/portal-links", json!({ "expires_in_seconds": 299, "session_seconds": 43201, "tenant": "x" }))
        .await
        .check(expect![[r#"
            400 unknown_field /tenant: There is no field 'tenant' here
            400 out_of_range /expires_in_seconds: This must be 300 to 86400 seconds
            400 out_of_range /session_seconds: This must be 300 to 43200 seconds
        "#]]);
}

/// Something of each kind in a tenant: what each parameter of a path can be.
async fn things(app: &TestApp, tenant: &str) -> BTreeMap<&'static str, String> {
    let post = async |path: &str, body: Value| app.post(path, body).header("waxwing-tenant", tenant).await;
    let body = json!({ "url": TEST_RECEIVER, "events": ["order.*"], "description": "SECRET" });
    let subscription = post("/v1/webhook-subscriptions", body).await.assert(201).id();
    let event = post("/v1/events", json!({ "type": "order.paid", "data": "SECRET" })).await.assert(202).id();
    let body = json!({ "filter": { "event_type": "order.sent" } });
    let job = post("/v1/deliveries/cancel", body).await.assert(202).id();
    let key = post("/v1/api-keys", json!({ "name": "SECRET", "preset": "read_only" })).await.assert(201).id();
    let link = link(app, tenant, json!({})).await["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/events/{event}");
    let event_shown = app.get(&path).header("waxwing-tenant", tenant).await.assert(200).json();
    let delivery = event_shown["data"]["attributes"]["deliveries"][0]["id"].as_str().unwrap().to_owned();
    BTreeMap::from([
        ("/v1/webhook-subscriptions", subscription),
        ("/v1/events", event),
        ("/v1/deliveries", delivery),
        ("/v1/jobs", job),
        ("/v1/api-keys", key),
        ("/v1/portal-links", link),
        ("/v1/tenants", tenant.to_owned()),
    ])
}

#[tokio::test]
async fn nothing_of_another_tenant_is_reached_by_any_operation() {
    let (app, own, bearer) = scene(json!({})).await;
    let others = app.post("/v1/tenants", json!({ "name": "SECRET" })).await.assert(201).id();
    let things = things(&app, &others).await;
    app.wait_for("/v1/deliveries?scope=instance", |list| list["data"].as_array().is_some_and(|rows| rows.len() == 1))
        .await;
    let (document, mut seen) = (document(), 0);
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            // The one does not end by itself, the other would end what asks.
            if !path.starts_with("/v1/") || ["stream.read", "portal_sessions.end_current"].contains(&id) {
                continue;
            }
            let of_others = things.iter().find(|(prefix, _)| path.starts_with(*prefix)).map(|(_, id)| id.as_str());
            let asked = path.replace("{id}", of_others.unwrap_or("usr_1")).replace("{name}", "order.paid");
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            for (tenant, query) in [(None, ""), (Some(&others), ""), (Some(&own), "?scope=instance")] {
                let call = app.call(method.clone(), &format!("{asked}{query}")).key(&bearer);
                let call = if [Method::GET, Method::DELETE].contains(&method) { call } else { call.json(&json!({})) };
                let call = match tenant {
                    Some(tenant) => call.header("waxwing-tenant", tenant),
                    None => call,
                };
                // The bearer has 50 calls a second.
                app.advance(Duration::from_millis(100));
                let answer = call.await;
                let place = format!("{id} for {tenant:?} at {asked}{query}: {} {}", answer.status, answer.body);
                if path.contains("{id}") && of_others.is_some() {
                    assert!(answer.status.is_client_error(), "{place}");
                }
                if tenant == Some(&others) && operation.get("security").is_some() {
                    assert!([403, 404].contains(&answer.status.as_u16()), "{place}");
                }
                // A refusal repeats what was asked, and nothing else.
                let said = answer
                    .body
                    .replace(&asked, "")
                    .replace(of_others.unwrap_or("?"), "")
                    .replace(&*others, if tenant == Some(&others) { "" } else { &others });
                for secret in things.values().map(String::as_str).chain(["SECRET"]) {
                    assert!(!said.contains(secret), "{place}");
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 150, "only {seen} requests");
    let list = app.get("/v1/webhook-subscriptions").header("waxwing-tenant", &others).await.assert(200).json();
    assert_eq!(list["meta"]["total"], 1, "and nothing was changed there");
}
