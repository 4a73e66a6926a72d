//! Quotas (contract 3).

use std::time::Duration;

use expect_test::expect;
use serde_json::json;
use waxwing::http::Settings;

use crate::support::app::TestApp;

#[tokio::test]
async fn the_seventh_call_within_a_second_has_to_wait() {
    let app = TestApp::start_with(Settings::default()).await;
    for remaining in ["5", "4", "3", "2", "1", "0"] {
        let answer = app.get("/v1/webhook-subscriptions").await.assert(200);
        assert_eq!(answer.header("ratelimit-limit"), Some("6"));
        assert_eq!(answer.header("ratelimit-remaining"), Some(remaining));
        assert_eq!(answer.header("ratelimit-reset"), Some("1"));
    }
    let refused = app.get("/v1/webhook-subscriptions").await.check(expect![[r#"
        429 rate_limited: Rate limit exceeded. Please retry after a short delay.
    "#]]);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("ratelimit-remaining"), Some("0"));
    app.advance(Duration::from_secs(1));
    app.get("/v1/webhook-subscriptions").await.assert(200);
}

#[tokio::test]
async fn publishing_has_a_quota_of_its_own_counted_in_events() {
    let app = TestApp::start().await;
    let key = app.make_key(json!({ "name": "p", "preset": "publish_only", "rate_limits": { "publish": 10 } })).await;
    let batch = |events: usize| json!({ "events": vec![json!({ "type": "order.paid", "data": 1 }); events] });
    app.post("/v1/events/batch", batch(11)).key(&key).await.check(expect![[r#"
        400 too_many_items /events: There may be at most 10: so many events may be published a second with these credentials
    "#]]);
    let taken = app.post("/v1/events/batch", batch(8)).key(&key).await.assert(200);
    assert_eq!(taken.header("ratelimit-remaining"), Some("2"));
    app.post("/v1/events/batch", batch(3)).key(&key).await.assert(429);
    app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).key(&key).await.assert(202);
    app.advance(Duration::from_secs(1));
    app.post("/v1/events/batch", batch(10)).key(&key).await.assert(200);
}

#[tokio::test]
async fn a_session_may_ask_fifty_times_a_second() {
    let app = TestApp::start_with(Settings::default()).await;
    let (_, cookie) = app.make_user("ann@example.com", "viewer").await;
    for _ in 0..50 {
        let answer = app.get("/v1/webhook-subscriptions").cookie(&cookie).await.assert(200);
        assert_eq!(answer.header("ratelimit-limit"), Some("50"));
    }
    app.get("/v1/webhook-subscriptions").cookie(&cookie).await.assert(429);
}

#[tokio::test]
async fn a_key_without_limits_is_told_of_none() {
    let app = TestApp::start().await;
    let answer = app.get("/v1/webhook-subscriptions").await.assert(200);
    assert_eq!(answer.header("ratelimit-limit"), None);
}
