//! Bodies that are wrong in very many places: what is told of them, and so what they cost, has a limit.

use poem::http::Method;
use serde_json::{Value, json};

use crate::support::app::TestApp;

/// As many members as fit, each of them one that nothing has.
fn members(bytes: usize) -> String {
    let all = r#""":0,"#.repeat(bytes / 5 - 2);
    format!("{{{}}}", all.trim_end_matches(','))
}

fn errors(answer: &Value) -> usize {
    answer["errors"].as_array().expect("errors").len()
}

#[tokio::test]
async fn of_very_many_wrong_members_the_first_fifty_are_told() {
    let app = TestApp::start().await;
    let call = app.call(Method::POST, "/v1/webhook-subscriptions").body("application/json", &members(1024 * 1024));
    assert_eq!(errors(&call.await.assert(400).json()), 50);
    let metadata = format!(r#"{{"name":"x","metadata":{}}}"#, members(1024 * 1024 - 64));
    let call = app.call(Method::POST, "/v1/tenants").body("application/json", &metadata);
    assert!(errors(&call.await.assert(400).json()) <= 50);
    let query = (0..2000).map(|n| format!("a{n}=1")).collect::<Vec<_>>().join("&");
    assert_eq!(errors(&app.get(&format!("/v1/events?{query}")).await.assert(400).json()), 50);
}

#[tokio::test]
async fn of_each_event_of_a_batch_a_few_are_told() {
    let app = TestApp::start().await;
    let events = vec![members(8 * 1024); 1000].join(",");
    let call = app.call(Method::POST, "/v1/events/batch");
    let answer = call.body("application/json", &format!(r#"{{"events":[{events}]}}"#)).await.assert(200);
    let told = answer.json()["data"].as_array().expect("a list").iter().map(errors).max();
    assert!(told.is_some_and(|told| (5..=20).contains(&told)), "{told:?}");
    assert!(answer.body.len() < 4 * 1024 * 1024, "{}", answer.body.len());
}

#[tokio::test]
async fn more_scopes_than_there_are_are_not_looked_at() {
    let app = TestApp::start().await;
    for scopes in [json!(vec![1; 200_000]), json!(vec!["events:read"; 70_000])] {
        let answer = app.post("/v1/api-keys", json!({ "name": "k", "scopes": scopes })).await.assert(400).json();
        assert!(errors(&answer) <= 50, "{}", errors(&answer));
        assert!(answer["errors"].as_array().unwrap().iter().any(|error| error["code"] != "duplicate_item"));
    }
}

#[tokio::test]
async fn who_is_not_known_sends_little() {
    let app = TestApp::start().await;
    for path in ["/v1/sessions", "/v1/setup", "/v1/portal-sessions"] {
        let call = app.call(Method::POST, path).without_key().body("application/json", &members(20 * 1024));
        assert_eq!(call.await.assert(413).json()["errors"][0]["code"], "payload_too_large", "{path}");
    }
}
