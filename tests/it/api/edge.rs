//! What holds for every path: request ids, unknown paths, wrong methods, media types, sizes.

use std::sync::atomic::Ordering;

use expect_test::expect;
use poem::http::Method;
use serde_json::json;

use crate::support::app::TestApp;

#[tokio::test]
async fn an_unknown_path_is_404_in_json() {
    let app = TestApp::start().await;
    for path in
        ["/v1/nothing", "/v2/events", "/v1/webhook-subscriptions/", "/v1/webhook-subscriptions/a/nothing", "/v1/people"]
    {
        app.get(path).await.check(expect![[r#"
            404 not_found: There is nothing at this path
        "#]]);
    }
}

#[tokio::test]
async fn a_wrong_method_is_405_and_says_which_ones_are_right() {
    let app = TestApp::start().await;
    for (method, path, allow) in [
        (Method::DELETE, "/v1/webhook-subscriptions", "GET, HEAD, POST"),
        (Method::POST, "/v1/webhook-subscriptions/a", "DELETE, GET, HEAD, PATCH, PUT"),
        (Method::DELETE, "/v1/events/batch", "POST"),
        (Method::POST, "/healthz", "GET, HEAD"),
        (Method::POST, "/openapi.json", "GET, HEAD"),
    ] {
        let answer = app.call(method, path).await.check(expect![[r#"
            405 method_not_allowed: This path does not take this method; the Allow header says which
        "#]]);
        assert_eq!(answer.header("allow"), Some(allow), "{path}");
    }
}

#[tokio::test]
async fn a_body_of_another_media_type_is_415() {
    let app = TestApp::start().await;
    for path in ["/v1/webhook-subscriptions", "/v1/events", "/v1/events/batch"] {
        app.call(Method::POST, path).body("text/plain", "{}").await.assert(415);
        app.call(Method::POST, path).await.assert(415);
    }
    for content_type in ["application/json; charset=utf-8", "Application/JSON", "application/vnd.api+json"] {
        app.call(Method::POST, "/v1/webhook-subscriptions").body(content_type, "{}").await.assert(400);
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_413() {
    let app = TestApp::start().await;
    let large = json!({ "url": "x".repeat(1024 * 1024) });
    app.post("/v1/webhook-subscriptions", large.clone()).await.check(expect![[r#"
        413 payload_too_large: The body is larger than 1048576 bytes
    "#]]);
    app.post("/v1/events", large.clone()).await.assert(413);
    app.post("/v1/events/batch", large).await.assert(400);
}

#[tokio::test]
async fn a_field_that_occurs_twice_is_refused() {
    let app = TestApp::start().await;
    app.call(Method::POST, "/v1/tenants").body("application/json", r#"{"name":"a","name":"b"}"#).await.check(expect![
        [r#"
            400 duplicate_item /name: This occurs twice
        "#]
    ]);
}

#[tokio::test]
async fn a_head_request_is_answered_like_a_get_without_the_body() {
    let app = TestApp::start().await;
    let answer = app.call(Method::HEAD, "/v1/webhook-subscriptions").await.assert(200);
    assert_eq!(answer.body, "");
}

#[tokio::test]
async fn while_it_shuts_down_new_work_is_refused() {
    let app = TestApp::start().await;
    app.settings.is_shutting_down.store(true, Ordering::Release);
    let refused = app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).await.check(expect![[r#"
        503 shutting_down: The server is shutting down: please try again
    "#]]);
    assert_eq!(refused.header("retry-after"), Some("1"));
    app.get("/readyz").without_key().await.assert(503);
    app.get("/healthz").without_key().await.assert(200);
}

#[tokio::test]
async fn each_request_has_an_id_of_its_own() {
    let app = TestApp::start().await;
    let ids = [app.get("/healthz").await, app.get("/v1/events").await, app.get("/nothing").await]
        .map(|answer| answer.header("x-request-id").unwrap().to_owned());
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
}
