//! `Idempotency-Key` (contract 3).

use expect_test::expect;
use poem::http::Method;
use serde_json::{Value, json};

use crate::support::app::{ADMIN_KEY, TestApp};

const PATH: &str = "/v1/webhook-subscriptions";

fn body() -> Value {
    json!({ "url": "https://example.com/a", "events": ["*"] })
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_answer_and_does_nothing() {
    let app = TestApp::start().await;
    let first = app.post(PATH, body()).header("idempotency-key", "once").await.assert(201);
    assert_eq!(first.header("idempotency-replayed"), None);
    let again = app.post(PATH, body()).header("idempotency-key", "once").await.assert(201);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.body, first.body);
    assert_eq!(again.header("location"), first.header("location"));
    // Spacing and order do not make it another request.
    let same = r#"{ "events": ["*"],   "url": "https://example.com/a" }"#;
    let again = app.call(Method::POST, PATH).body("application/json", same).header("idempotency-key", "once").await;
    assert_eq!(again.body, first.body);
    assert_eq!(app.get(PATH).await.json()["meta"]["total"], 1);
}

#[tokio::test]
async fn another_body_under_the_same_key_is_a_conflict() {
    let app = TestApp::start().await;
    app.post(PATH, body()).header("idempotency-key", "once").await.assert(201);
    let other = json!({ "url": "https://example.com/b", "events": ["*"] });
    app.post(PATH, other).header("idempotency-key", "once").await.check(expect![[r#"
        409 idempotency_conflict: This Idempotency-Key was used with another body
    "#]]);
}

#[tokio::test]
async fn a_key_belongs_to_its_caller_tenant_and_path() {
    let app = TestApp::start().await;
    app.post("/v1/tenants", json!({ "name": "A", "external_id": "a" })).await.assert(201);
    let key = app.make_key(json!({ "name": "k", "preset": "full_access", "tenant": null })).await;
    app.post(PATH, body()).header("idempotency-key", "once").await.assert(201);
    for call in [
        app.post(PATH, body()).header("waxwing-tenant", "a"),
        app.post(PATH, body()).key(&key),
        app.post(&format!("{PATH}?x=1"), body()),
    ] {
        let answer = call.header("idempotency-key", "once").await.assert(201);
        assert_eq!(answer.header("idempotency-replayed"), None);
    }
}

#[tokio::test]
async fn a_refusal_that_follows_from_the_request_is_kept_too() {
    let app = TestApp::start().await;
    let wrong = json!({ "url": "https://example.com/a", "events": ["user.made"] });
    let first = app.post(PATH, wrong.clone()).header("idempotency-key", "once").await.assert(400);
    app.post("/v1/event-types", json!({ "name": "user.made" })).await.assert(201);
    let again = app.post(PATH, wrong.clone()).header("idempotency-key", "once").await.assert(400);
    assert_eq!((again.header("idempotency-replayed"), &again.body), (Some("true"), &first.body));
    app.post(PATH, wrong).header("idempotency-key", "another").await.assert(201);
}

#[tokio::test]
async fn a_refusal_of_the_moment_is_not_kept_and_what_it_names_can_be_changed() {
    let app = TestApp::start().await;
    app.patch("/v1/tenants/default", json!({ "subscriptions_max": 1 })).await.assert(200);
    let first = app.post(PATH, body()).await.assert(201).id();
    app.post(PATH, body()).header("idempotency-key", "once").await.assert(409);
    app.delete(&format!("{PATH}/{first}")).await.assert(204);
    let made = app.post(PATH, body()).header("idempotency-key", "once").await.assert(201);
    assert_eq!(made.header("idempotency-replayed"), None);
}

#[tokio::test]
async fn a_missing_scope_is_not_kept() {
    let app = TestApp::start().await;
    let reader = app.make_key(json!({ "name": "r", "preset": "read_only" })).await;
    app.post(PATH, body()).key(&reader).header("idempotency-key", "once").await.assert(403);
    app.post(PATH, body()).key(&reader).header("idempotency-key", "once").await.assert(403);
}

#[tokio::test]
async fn publishing_under_a_key_makes_one_event() {
    let app = TestApp::start().await;
    let event = r#"{"type":"order.paid","data":1}"#;
    let publish =
        |body: &str| app.call(Method::POST, "/v1/events").body("application/json", body).header("idempotency-key", "e");
    let first = publish(event).await.assert(202);
    let again = publish(event).await.assert(202);
    assert_eq!((again.header("idempotency-replayed"), again.id()), (Some("true"), first.id()));
    // Bytes count here.
    publish(r#"{"type":"order.paid", "data":1}"#).await.assert(409);
    let batch = json!({ "events": [{ "type": "order.paid", "data": 1 }, { "type": "order.lost", "data": 1 }] });
    let first = app.post("/v1/events/batch", batch.clone()).header("idempotency-key", "b").await.assert(200);
    let again = app.post("/v1/events/batch", batch).header("idempotency-key", "b").await.assert(200);
    assert_eq!(again.body, first.body);
}

#[tokio::test]
async fn a_shown_secret_is_not_repeated_once_it_was_rotated() {
    let app = TestApp::start().await;
    let created = app.post(PATH, body()).header("idempotency-key", "once").await.assert(201);
    app.call(Method::POST, &format!("{PATH}/{}/rotate-secret", created.id())).await.assert(200);
    let again = app.post(PATH, body()).header("idempotency-key", "once").await;
    assert!(!again.body.contains(created.json()["data"]["attributes"]["secret"].as_str().unwrap()), "{}", again.body);
}

#[tokio::test]
async fn who_signs_in_twice_with_one_key_has_two_sessions() {
    let app = TestApp::start().await;
    let sign_in = || app.post("/v1/sessions", json!({ "api_key": ADMIN_KEY })).without_key();
    let (first, second) =
        (sign_in().header("idempotency-key", "i").await, sign_in().header("idempotency-key", "i").await);
    assert_ne!(first.assert(201).id(), second.assert(201).id());
}

#[tokio::test]
async fn a_key_has_1_to_200_printable_characters() {
    let app = TestApp::start().await;
    for value in ["", &"x".repeat(201), "\t"] {
        app.post(PATH, body()).header("idempotency-key", value).await.check(expect![[r#"
            400 invalid_idempotency_key Idempotency-Key: An Idempotency-Key has 1 to 200 printable ASCII characters
        "#]]);
    }
    app.post(PATH, body()).header("idempotency-key", &"x".repeat(200)).await.assert(201);
}

/// It was done, its audit entry was left out, and whoever asked again had it done once more.
#[tokio::test]
async fn who_hangs_up_and_asks_again_gets_the_answer_and_the_audit_log_its_entry() {
    let app = TestApp::start().await;
    let call = || app.post(PATH, body()).header("idempotency-key", "once");
    app.asked_and_left(call).await;
    let again = loop {
        let answer = call().await;
        if answer.status != 409 {
            break answer.assert(201);
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(app.get(PATH).await.json()["meta"]["total"], 1);
    let is_one = |entries: &Value| entries["data"].as_array().is_some_and(|entries| entries.len() == 1);
    app.wait_for("/v1/audit-log?filter[action]=subscriptions.create", is_one).await;
}

#[tokio::test]
async fn three_at_the_same_time_do_it_once() {
    let app = TestApp::start().await;
    let call = || app.post(PATH, body()).header("idempotency-key", "once");
    let (first, refused) = app.repeated_at_once(call).await;
    for refused in refused {
        let refused = refused.assert(409);
        assert_eq!(refused.json()["errors"][0]["code"], "idempotency_in_progress");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    let first = first.assert(201);
    assert_eq!(call().await.assert(201).json(), first.json());
    assert_eq!(app.get(PATH).await.json()["meta"]["total"], 1);
}
