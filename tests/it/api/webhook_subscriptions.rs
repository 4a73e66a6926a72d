//! `/v1/webhook-subscriptions`

use expect_test::expect;
use poem::http::Method;
use serde_json::{Value, json};

use crate::support::app::{TEST_RECEIVER, TestApp};

const PATH: &str = "/v1/webhook-subscriptions";

async fn create(app: &TestApp, body: Value) -> String {
    app.post(PATH, body).await.assert(201).id()
}

#[tokio::test]
async fn every_problem_of_a_body_is_told_at_once() {
    let app = TestApp::start().await;
    let body = json!({
        "url": "http://example.com",
        "events": ["order.paid", "order.lost", "order.paid", "webhook.test", 5],
        "description": "x".repeat(257),
        "is_active": "true",
        "max_in_flight": 101,
        "timeout_seconds": 1.5,
        "envelope": "paper",
        "metadata": { "a": 1, "b/c": "x".repeat(513) },
        "secret": "whsec_short",
        "retry_schedule": [1, 2],
        "channels": [],
    });
    app.post(PATH, body).await.check(expect![[r#"
        400 invalid_type /events/4: This must be a string
        400 invalid_type /is_active: This must be true or false
        400 invalid_type /timeout_seconds: This must be an integer
        400 invalid_type /metadata/a: This must be a string
        400 url_not_https /url: The URL must begin with https://
        400 unknown_event_type /events/1: There is no event type 'order.lost'
        400 duplicate_item /events/2: This occurs twice
        400 unknown_event_type /events/3: There is no event type 'webhook.test'
        400 description_too_long /description: A description has at most 256 characters
        400 out_of_range /max_in_flight: This must be 1 to 100
        400 invalid_parameter /envelope: This must be 'profile' or 'raw'
        400 out_of_range /metadata/b~1c: This must have at most 512 characters
        400 invalid_secret /secret: A secret of this profile is whsec_ followed by 24 to 64 bytes in base64
    "#]]);
}

#[tokio::test]
async fn events_are_known_types_or_patterns_without_duplicates() {
    let app = TestApp::start().await;
    app.call(Method::POST, "/v1/event-types/order.sent/archive").await.assert(200);
    for (events, expected) in [
        (json!(["*", "order.*", "order.paid"]), expect![["201"]]),
        (json!(["anything.at.all.*"]), expect![["201"]]),
        (json!([]), expect![["400"]]),
        (json!(["order.sent"]), expect![["400"]]),
        (json!(["order.*", "order.*"]), expect![["400"]]),
        (json!(["webhook.test"]), expect![["400"]]),
        (json!(["webhook.*"]), expect![["400"]]),
        (json!([""]), expect![["400"]]),
        (json!("order.paid"), expect![["400"]]),
        (json!(vec!["order.paid"; 51]), expect![["400"]]),
    ] {
        let answer = app.post(PATH, json!({ "url": "https://example.com/a", "events": events })).await;
        expected.assert_eq(answer.status.as_str());
    }
    app.post(PATH, json!({ "url": "https://example.com/a", "events": ["order.sent"] })).await.check(expect![[r#"
        400 unknown_event_type /events/0: The event type 'order.sent' is archived
    "#]]);
}

#[tokio::test]
async fn a_url_leads_to_a_public_address_by_https() {
    let app = TestApp::start().await;
    for (url, expected) in [
        (
            "https://10.0.0.1/x",
            expect![[r#"
            400 url_blocked /url: Deliveries to this address are allowed only where the operator of the server opens it
        "#]],
        ),
        (
            "https://inside.example/x",
            expect![[r#"
            400 url_blocked /url: Deliveries to this address are allowed only where the operator of the server opens it
        "#]],
        ),
        (
            "https://localhost/x",
            expect![[r#"
            400 url_blocked /url: Deliveries to this address are allowed only where the operator of the server opens it
        "#]],
        ),
        (
            "http://example.com/x",
            expect![[r#"
            400 url_not_https /url: The URL must begin with https://
        "#]],
        ),
        (
            "https://user:password@example.com/x",
            expect![[r#"
            400 invalid_url /url: This is not a usable URL: a user name or password is not allowed in it
        "#]],
        ),
        (
            "ftp://example.com/x",
            expect![[r#"
            400 url_not_https /url: The URL must begin with https://
        "#]],
        ),
        (
            "",
            expect![[r#"
            400 invalid_url /url: This is not a usable URL: it is empty
        "#]],
        ),
    ] {
        app.post(PATH, json!({ "url": url, "events": ["*"] })).await.check(expected);
    }
    let long = format!("https://example.com/{}", "x".repeat(2048));
    app.post(PATH, json!({ "url": long, "events": ["*"] })).await.check(expect![[r#"
        400 url_too_long /url: A URL has at most 2048 characters
    "#]]);
    // A name that has no address yet may get one.
    app.post(PATH, json!({ "url": "https://unknown.example/x", "events": ["*"] })).await.assert(201);
}

#[tokio::test]
async fn the_test_receiver_is_for_keys_of_the_instance() {
    let app = TestApp::start().await;
    let body = json!({ "url": TEST_RECEIVER, "events": ["*"] });
    app.post(PATH, body.clone()).await.assert(201);
    let key = app.make_key(json!({ "name": "shop", "preset": "subscriber", "tenant": "default" })).await;
    app.post(PATH, body).key(&key).await.check(expect![[r#"
        400 url_blocked /url: Deliveries to this address are allowed only where the operator of the server opens it
    "#]]);
}

#[tokio::test]
async fn a_subscription_is_shown_without_its_secret_and_with_its_revision() {
    let app = TestApp::start().await;
    let created = app
        .post(
            PATH,
            json!({ "url": "https://example.com/a", "events": ["order.paid"], "metadata": { "team": "billing" } }),
        )
        .await
        .assert(201);
    let path = created.header("location").expect("it says where").to_owned();
    assert_eq!(path, format!("{PATH}/{}", created.id()));
    assert_eq!(created.header("etag"), Some("\"1\""));
    let secret = created.json()["data"]["attributes"]["secret"].clone();
    assert!(secret.as_str().is_some_and(|secret| secret.starts_with("whsec_")), "{secret}");
    let shown = app.get(&path).await.check(expect![[r#"
        200
        {
          "data": {
            "type": "webhook_subscription",
            "id": "whsub_…",
            "attributes": {
              "tenant_id": "tnt_…",
              "url": "https://example.com/a",
              "events": [
                "order.paid"
              ],
              "is_active": true,
              "description": null,
              "signing": "subscription",
              "secret_version": 1,
              "previous_secret_expires_at": null,
              "public_key": null,
              "previous_key_pair_expires_at": null,
              "profile": "standard",
              "marea_id": "mk_we_…",
              "agentmessage_id": "<uuid>",
              "envelope": "profile",
              "api_version": "2026-04-01",
              "max_in_flight": 10,
              "timeout_seconds": 15,
              "rate_limit": null,
              "retry_schedule": null,
              "ordering": "none",
              "circuit_breaker": true,
              "headers": {},
              "channels": [],
              "owner": "tenant",
              "metadata": {
                "team": "billing"
              },
              "health": "healthy",
              "failing_since": null,
              "next_probe_at": null,
              "disabled_reason": null,
              "last_delivery_at": null,
              "last_delivery_status": null,
              "consecutive_failures": 0,
              "created_at": "2026-02-18T12:00:00.000Z",
              "updated_at": "2026-02-18T12:00:00.000Z"
            }
          }
        }
    "#]]);
    assert_eq!(shown.header("etag"), Some("\"1\""));
}

#[tokio::test]
async fn a_secret_of_ones_own_is_taken_in_the_profiles_format() {
    let app = TestApp::start().await;
    let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    let body = json!({ "url": "https://example.com/a", "events": ["*"], "secret": secret });
    let created = app.post(PATH, body).await.assert(201).json();
    assert_eq!(created["data"]["attributes"]["secret"], secret);
    let body = json!({ "url": "https://example.com/a", "events": ["*"], "secret": "0".repeat(64) });
    app.post(PATH, body).await.check(expect![[r#"
        400 invalid_secret /secret: A secret of this profile is whsec_ followed by 24 to 64 bytes in base64
    "#]]);
}

#[tokio::test]
async fn put_and_patch_change_what_is_sent_and_null_clears() {
    let app = TestApp::start().await;
    let body = json!({
        "url": "https://example.com/a", "events": ["order.paid"], "description": "first", "metadata": { "a": "b" }
    });
    let path = format!("{PATH}/{}", create(&app, body).await);
    for method in [Method::PUT, Method::PATCH] {
        let change = json!({ "description": format!("by {method}"), "max_in_flight": 3 });
        let changed = app.call(method.clone(), &path).json(&change).await.assert(200).json();
        assert_eq!(changed["data"]["attributes"]["description"], format!("by {method}"));
        assert_eq!(changed["data"]["attributes"]["max_in_flight"], 3);
        assert_eq!(changed["data"]["attributes"]["metadata"], json!({ "a": "b" }));
    }
    let cleared = app.patch(&path, json!({ "description": null, "metadata": null })).await.assert(200).json();
    assert!(cleared["data"]["attributes"]["description"].is_null());
    assert_eq!(cleared["data"]["attributes"]["metadata"], json!({}));
    app.patch(&path, json!({ "url": null, "events": null, "secret": "x", "profile": "mage" })).await.check(expect![[
        r#"
            400 invalid_type /url: This must be a string
            400 invalid_type /events: This must be an array of strings
            400 unknown_field /profile: There is no field 'profile' here
            400 unknown_field /secret: There is no field 'secret' here
        "#
    ]]);
}

#[tokio::test]
async fn who_changes_what_somebody_else_changed_meanwhile_is_told() {
    let app = TestApp::start().await;
    let path = format!("{PATH}/{}", create(&app, json!({ "url": "https://example.com/a", "events": ["*"] })).await);
    let first = app.patch(&path, json!({ "description": "mine" })).header("if-match", "\"1\"").await.assert(200);
    assert_eq!(first.header("etag"), Some("\"2\""));
    for tag in ["\"1\"", "W/\"2\"", "\"never\""] {
        app.patch(&path, json!({ "description": "theirs" })).header("if-match", tag).await.check(expect![[r#"
            412 precondition_failed: It was changed since it was read: its ETag is no longer the one in If-Match
        "#]]);
        app.delete(&path).header("if-match", tag).await.assert(412);
    }
    app.patch(&path, json!({ "description": "ours" })).header("if-match", "\"7\", \"2\"").await.assert(200);
    app.delete(&path).header("if-match", "*").await.assert(204);
}

#[tokio::test]
async fn a_deleted_subscription_is_gone() {
    let app = TestApp::start().await;
    let path = format!("{PATH}/{}", create(&app, json!({ "url": "https://example.com/a", "events": ["*"] })).await);
    let deleted = app.delete(&path).await.assert(204);
    assert_eq!(deleted.body, "");
    app.delete(&path).await.check(expect![[r#"
        404 not_found: Webhook subscription 'whsub_…' not found
    "#]]);
    app.get(&path).await.assert(404);
    app.call(Method::POST, &format!("{path}/rotate-secret")).await.assert(404);
}

#[tokio::test]
async fn a_rotation_can_let_the_old_secret_live_on_for_a_while() {
    let app = TestApp::start().await;
    let path = format!("{PATH}/{}", create(&app, json!({ "url": "https://example.com/a", "events": ["*"] })).await);
    let rotate = format!("{path}/rotate-secret");
    let rotated = app.post(&rotate, json!({ "overlap_seconds": 3600 })).await.assert(200).json();
    assert_eq!(rotated["data"]["attributes"]["secret_version"], 2);
    assert_eq!(rotated["data"]["attributes"]["previous_secret_expires_at"], "2026-02-18T13:00:00.000Z");
    let at_once = app.post(&rotate, json!({})).await.assert(200).json();
    assert_eq!(at_once["data"]["attributes"]["secret_version"], 3);
    assert!(at_once["data"]["attributes"]["previous_secret_expires_at"].is_null());
    for (profile, secret_length) in [("mage", 64), ("marea", 64), ("agentmessage", 44), ("standard", 50)] {
        let rotated = app.post(&rotate, json!({ "profile": profile })).await.assert(200).json();
        assert_eq!(rotated["data"]["attributes"]["profile"], profile);
        assert_eq!(rotated["data"]["attributes"]["secret"].as_str().map(str::len), Some(secret_length), "{profile}");
    }
    for profile in ["mage", "marea", "agentmessage"] {
        let refused = app.post(&rotate, json!({ "profile": profile, "overlap_seconds": 1 })).await.assert(400).json();
        assert_eq!(refused["errors"][0]["code"], "overlap_not_supported", "{profile}");
    }
    app.post(&rotate, json!({ "overlap_seconds": 604_801, "profile": "paper" })).await.check(expect![[r#"
        400 out_of_range /overlap_seconds: This must be 0 to 604800 seconds
        400 invalid_parameter /profile: This must be 'standard', 'mage', 'marea' or 'agentmessage'
    "#]]);
}

#[tokio::test]
async fn a_test_is_sent_at_once_and_tells_what_came_of_it() {
    let app = TestApp::start().await;
    let path = format!("{PATH}/{}", create(&app, json!({ "url": TEST_RECEIVER, "events": ["*"] })).await);
    app.patch(&path, json!({ "is_active": false })).await.assert(200);
    let test = format!("{path}/test");
    let sent = app.call(Method::POST, &test).await.assert(200).json();
    assert_eq!(sent["data"]["type"], "test_delivery");
    assert_eq!(sent["data"]["attributes"]["outcome"], "success");
    app.post(&test, json!({ "event_type": "order.paid" })).await.assert(200);
    app.post(&test, json!({ "event_type": "order.lost" })).await.check(expect![[r#"
        400 unknown_event_type /event_type: There is no event type 'order.lost'
    "#]]);
    // Nothing of it is kept.
    app.get("/v1/deliveries").await.check(expect![[r#"
        200
        {
          "data": [],
          "meta": {
            "per_page": 20
          },
          "links": {
            "next": null,
            "prev": null
          }
        }
    "#]]);
}

#[tokio::test]
async fn a_tenant_has_no_more_subscriptions_than_it_may() {
    let app = TestApp::start().await;
    app.post("/v1/tenants", json!({ "name": "Small", "external_id": "small", "subscriptions_max": 1 }))
        .await
        .assert(201);
    let body = json!({ "url": "https://example.com/a", "events": ["*"] });
    app.post(PATH, body.clone()).header("waxwing-tenant", "small").await.assert(201);
    app.post(PATH, body).header("waxwing-tenant", "small").await.check(expect![[r#"
        409 limit_exceeded: No more than 1 subscriptions of one tenant are allowed
    "#]]);
}

#[tokio::test]
async fn lists_are_filtered_by_what_a_subscription_is() {
    let app = TestApp::start().await;
    let all = create(&app, json!({ "url": "https://example.com/all", "events": ["*"] })).await;
    let paid = create(&app, json!({ "url": "https://example.com/paid", "events": ["order.paid"] })).await;
    app.patch(&format!("{PATH}/{paid}"), json!({ "is_active": false })).await.assert(200);
    for (filter, expected) in [
        ("", vec![&paid, &all]),
        ("?sort=created_at", vec![&all, &paid]),
        ("?filter[is_active]=true", vec![&all]),
        ("?filter[is_active]=false", vec![&paid]),
        ("?filter[event]=order.paid", vec![&paid, &all]),
        ("?filter[event]=order.sent", vec![&all]),
        ("?filter[event]=*", vec![&all]),
        ("?filter[health]=healthy", vec![&paid, &all]),
        ("?filter[health]=disabled", vec![]),
        ("?filter[url]=/pai", vec![&paid]),
    ] {
        let list = app.get(&format!("{PATH}{filter}")).await.assert(200).json();
        let ids: Vec<&str> = list["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected, "{filter}");
    }
}
