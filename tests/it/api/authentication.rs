//! Who may call (contract 3).

use std::time::Duration;

use expect_test::expect;
use poem::listener::{Acceptor, Listener, TcpListener};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::app::{ADMIN_KEY, TestApp};

const PATH: &str = "/v1/webhook-subscriptions";

#[tokio::test]
async fn a_key_comes_in_any_of_three_places() {
    let app = TestApp::start().await;
    for (name, value) in [
        ("authorization", ADMIN_KEY.to_owned()),
        ("authorization", format!("Bearer {ADMIN_KEY}")),
        ("x-api-key", ADMIN_KEY.to_owned()),
    ] {
        app.get(PATH).without_key().header(name, &value).await.assert(200);
    }
}

#[tokio::test]
async fn without_a_valid_key_nothing_is_told() {
    let app = TestApp::start().await;
    let missing = app.get(PATH).without_key().await.check(expect![[r#"
        401 missing_api_key: Missing Authorization header
    "#]]);
    assert_eq!(missing.header("www-authenticate"), Some("Bearer"));
    for key in ["nonsense", "ww_0000000000000000000000000000000000000"] {
        app.get(PATH).key(key).await.check(expect![[r#"
            401 invalid_api_key: Invalid API key
        "#]]);
    }
    // The key is judged before the body and before the id.
    app.post(PATH, json!({})).key("nonsense").await.assert(401);
    app.get("/v1/events/nonsense").key("nonsense").await.assert(401);
}

#[tokio::test]
async fn a_key_does_what_its_scopes_say() {
    let app = TestApp::start().await;
    let publisher = app.make_key(json!({ "name": "p", "preset": "publish_only" })).await;
    app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).key(&publisher).await.assert(202);
    app.get("/v1/events").key(&publisher).await.check(expect![[r#"
        403 missing_scope: This API key lacks the scope events:read
    "#]]);
    let reader = app.make_key(json!({ "name": "r", "preset": "read_only" })).await;
    app.get("/v1/events").key(&reader).await.assert(200);
    app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).key(&reader).await.check(expect![[r#"
        403 read_only_key: This API key is read-only and cannot perform write operations
    "#]]);
    let listed = app.make_key(json!({ "name": "l", "scopes": ["events:read"] })).await;
    app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).key(&listed).await.check(expect![[r#"
        403 missing_scope: This API key lacks the scope events:write
    "#]]);
}

#[tokio::test]
async fn a_key_that_was_just_used_stops_working_at_once_when_it_is_revoked_or_expires() {
    let app = TestApp::start().await;
    let publish = |key: &str| app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).key(key);
    let create = json!({ "name": "a", "preset": "publish_only" });
    let created = app.post("/v1/api-keys", create).await.assert(201).json();
    let revoked = created["data"]["attributes"]["secret"].as_str().expect("create shows it");
    let in_an_hour = json!({ "name": "b", "preset": "publish_only", "expires_at": "2026-02-18T13:00:00Z" });
    let expired = app.make_key(in_an_hour).await;
    for key in [revoked, &expired] {
        publish(key).await.assert(202);
        publish(key).await.assert(202);
    }
    let path = format!("/v1/api-keys/{}", created["data"]["id"].as_str().expect("a key has an id"));
    app.delete(&path).await.assert(204);
    app.advance(Duration::from_secs(3600));
    publish(revoked).await.check(expect![[r#"
        401 key_revoked: This API key was revoked
    "#]]);
    publish(&expired).await.check(expect![[r#"
        401 key_expired: This API key has expired
    "#]]);
    // Not even one character may differ from a key that was just used.
    let mut other = ADMIN_KEY.to_owned();
    other.pop();
    app.get(PATH).await.assert(200);
    publish(&other).await.assert(401);
}

/// The status of a request over a socket, from a client that the trusted proxy in front vouches for.
async fn status_over_tcp(server: std::net::SocketAddr, client: &str, key: &str) -> String {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let request = format!(
        "GET {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: {client}\r\nAuthorization: {key}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn who_tries_many_wrong_keys_is_told_to_wait_and_valid_keys_pass() {
    let app = TestApp::start().await;
    let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
    let server = *acceptor.local_addr()[0].as_socket_addr().unwrap();
    let serving = tokio::spawn(poem::Server::new_with_acceptor(acceptor).run(app.endpoint.clone()));
    for _ in 0..20 {
        assert_eq!(status_over_tcp(server, "203.0.113.9", "nonsense").await, "401");
    }
    assert_eq!(status_over_tcp(server, "203.0.113.9", "nonsense").await, "429");
    assert_eq!(status_over_tcp(server, "203.0.113.9", ADMIN_KEY).await, "200");
    assert_eq!(status_over_tcp(server, "203.0.113.10", "nonsense").await, "401");
    app.advance(Duration::from_secs(60));
    assert_eq!(status_over_tcp(server, "203.0.113.9", "nonsense").await, "401");
    serving.abort();
}
