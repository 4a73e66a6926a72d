//! `/v1/sessions`: signing in and out, what a cookie may do, and how long.

use std::net::SocketAddr;
use std::time::Duration;

use expect_test::expect;
use poem::listener::{Acceptor, Listener, TcpListener};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use waxwing::http::document;

use crate::support::app::{ADMIN_KEY, TestApp};

const PASSWORD: &str = "correct horse";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn credentials(email: &str, password: &str) -> Value {
    json!({ "email": email, "password": password })
}

#[tokio::test]
async fn a_user_signs_in_sees_the_sessions_and_ends_them() {
    let app = TestApp::start().await;
    let (_, first) = app.make_user("ann@example.com", "viewer").await;
    app.make_user("bob@example.com", "viewer").await;
    let begun =
        app.post("/v1/sessions", credentials(" ANN@example.com".trim(), PASSWORD)).without_key().await.assert(201);
    let (second, id) = (begun.set_cookie(), begun.id());
    assert_eq!(begun.header("location"), Some(&*format!("/v1/sessions/{id}")));
    assert_eq!(begun.header("cache-control"), Some("no-store"));
    let listed = app.get("/v1/sessions").cookie(&first).await.assert(200).json();
    assert_eq!(listed["meta"]["total"], 2, "those of others are not among them");
    let current = |of: &Value| of["attributes"]["is_current"].clone();
    assert_eq!(listed["data"].as_array().unwrap().iter().map(current).collect::<Vec<_>>(), [false, true]);
    app.delete(&format!("/v1/sessions/{id}")).cookie(&first).await.assert(204);
    app.get("/v1/sessions/current").cookie(&second).await.assert(401);
    let out = app.delete("/v1/sessions/current").cookie(&first).await.assert(204);
    assert_eq!(out.header("set-cookie"), Some("waxwing_session=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"));
    app.get("/v1/sessions/current").cookie(&first).await.assert(401);
    let again = || async {
        app.post("/v1/sessions", credentials("ann@example.com", PASSWORD)).without_key().await.assert(201).set_cookie()
    };
    let (third, fourth) = (again().await, again().await);
    app.delete("/v1/sessions").cookie(&third).await.assert(204);
    app.get("/v1/sessions/current").cookie(&fourth).await.assert(401);
}

#[tokio::test]
async fn nobody_learns_whether_the_address_or_the_password_is_wrong() {
    let app = TestApp::start().await;
    app.make_user("ann@example.com", "owner").await;
    app.post("/v1/users", json!({ "email": "invited@example.com", "role": "owner" })).await.assert(201);
    for (email, password) in [
        ("ann@example.com", "correct horsE"),
        ("nobody@example.com", PASSWORD),
        ("invited@example.com", PASSWORD),
        ("no address", PASSWORD),
    ] {
        app.post("/v1/sessions", credentials(email, password)).without_key().await.check(expect![[r#"
            401 invalid_credentials: The e-mail address, the password or the code is wrong
        "#]]);
    }
    for (body, expected) in [
        (
            json!({}),
            expect![[r#"
            400 missing_field /email: The field 'email' is required
            400 missing_field /password: The field 'password' is required
        "#]],
        ),
        (
            json!({ "api_key": ADMIN_KEY, "email": "ann@example.com" }),
            expect![[r#"
            400 invalid_parameter /email: This must be left out when api_key is given
        "#]],
        ),
    ] {
        app.post("/v1/sessions", body).without_key().await.check(expected);
    }
}

#[tokio::test]
async fn after_ten_wrong_passwords_for_a_user_the_right_one_has_to_wait_too() {
    let app = TestApp::start().await;
    app.make_user("ann@example.com", "owner").await;
    let sign_in = |password| app.post("/v1/sessions", credentials("ann@example.com", password)).without_key();
    for _ in 0..10 {
        sign_in("wrong").await.assert(401);
    }
    let refused = sign_in(PASSWORD).await.assert(429);
    assert_eq!(refused.header("retry-after"), Some("900"));
    app.advance(Duration::from_secs(900));
    sign_in(PASSWORD).await.assert(201);
}

#[tokio::test]
async fn what_is_no_address_counts_like_any_wrong_one() {
    let app = TestApp::start().await;
    for _ in 0..10 {
        app.post("/v1/sessions", credentials("no address", "wrong")).without_key().await.assert(401);
    }
    app.post("/v1/sessions", credentials("no address", "wrong")).without_key().await.assert(429);
}

#[tokio::test]
async fn a_key_pays_for_signing_in() {
    let app = TestApp::start().await;
    let limits = json!({ "management": 2 });
    let key =
        app.make_key(json!({ "name": "k", "preset": "publish_only", "tenant": null, "rate_limits": limits })).await;
    let sign_in = || app.post("/v1/sessions", json!({ "api_key": key })).without_key();
    for _ in 0..2 {
        sign_in().await.assert(201);
    }
    sign_in().await.assert(429);
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_for_a_week_or_a_month_old() {
    let app = TestApp::start().await;
    let (_, cookie) = app.make_user("ann@example.com", "viewer").await;
    let look = || app.get("/v1/sessions/current").cookie(&cookie);
    for _ in 0..4 {
        app.advance(6 * DAY);
        look().await.assert(200);
    }
    // The 24th day: another week from here would be too long.
    app.advance(5 * DAY);
    look().await.assert(200);
    app.advance(DAY);
    look().await.assert(401);
    let (_, idle) = app.make_user("bob@example.com", "viewer").await;
    app.advance(7 * DAY);
    app.get("/v1/sessions/current").cookie(&idle).await.assert(401);
}

#[tokio::test]
async fn the_oldest_session_of_a_user_gives_way_to_the_twenty_first() {
    let app = TestApp::start().await;
    let (_, first) = app.make_user("ann@example.com", "viewer").await;
    let mut cookies = vec![first];
    for _ in 0..20 {
        let begun = app.post("/v1/sessions", credentials("ann@example.com", PASSWORD)).without_key().await.assert(201);
        cookies.push(begun.set_cookie());
    }
    app.get("/v1/sessions/current").cookie(&cookies[0]).await.assert(401);
    app.get("/v1/sessions/current").cookie(&cookies[1]).await.assert(200);
}

#[tokio::test]
async fn a_key_of_the_instance_signs_in_and_its_session_ends_with_it() {
    let app = TestApp::start().await;
    let made =
        app.post("/v1/api-keys", json!({ "name": "k", "preset": "read_only", "tenant": null })).await.assert(201);
    let key = made.json()["data"]["attributes"]["secret"].as_str().unwrap().to_owned();
    let begun = app.post("/v1/sessions", json!({ "api_key": key })).without_key().await.assert(201);
    let cookie = begun.set_cookie();
    let attributes = begun.json()["data"]["attributes"].clone();
    assert_eq!((&attributes["user_id"], &attributes["key_id"]), (&Value::Null, &json!(made.id())));
    app.get("/v1/events").cookie(&cookie).await.assert(200);
    app.post("/v1/tenants", json!({ "name": "A" })).cookie(&cookie).await.check(expect![[r#"
        403 read_only_key: This API key is read-only and cannot perform write operations
    "#]]);
    app.delete(&format!("/v1/api-keys/{}", made.id())).await.assert(204);
    app.get("/v1/events").cookie(&cookie).await.assert(401);
    app.post("/v1/sessions", json!({ "api_key": ADMIN_KEY })).without_key().await.assert(201);
    app.post("/v1/sessions", json!({ "api_key": "nonsense" })).without_key().await.check(expect![[r#"
        401 invalid_api_key: Invalid API key
    "#]]);
    let of_tenant = app.make_key(json!({ "name": "t", "preset": "full_access", "tenant": "default" })).await;
    app.post("/v1/sessions", json!({ "api_key": of_tenant })).without_key().await.check(expect![[r#"
        403 missing_scope: This concerns the whole instance, and this API key is bound to one tenant
    "#]]);
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_with_the_cookie() {
    let app = TestApp::start().await;
    let (_, cookie) = app.make_user("ann@example.com", "owner").await;
    let create = || app.post("/v1/tenants", json!({ "name": "A" })).without_key().header("cookie", &cookie);
    let refused = || {
        expect![[r#"
        403 cross_site_request: A request with a session's cookie must come from the console itself, with the header Waxwing-Console
    "#]]
    };
    create().await.check(refused());
    create().header("waxwing-console", "0").await.check(refused());
    for (host, origin) in [
        ("hooks.example.com", "https://evil.example"),
        ("hooks.example.com", "null"),
        ("hooks.example.com:1", "https://hooks.example.com"),
    ] {
        create().header("waxwing-console", "1").header("host", host).header("origin", origin).await.check(refused());
    }
    let same = [("host", "hooks.example.com"), ("origin", "https://hooks.example.com"), ("waxwing-console", "1")];
    same.into_iter().fold(create(), |call, (name, value)| call.header(name, value)).await.assert(201);
    create().header("waxwing-console", "1").await.assert(201);
    // Reading needs nothing, and who has a key needs no cookie.
    app.get("/v1/tenants").without_key().header("cookie", &cookie).await.assert(200);
    app.post("/v1/tenants", json!({ "name": "A" })).header("cookie", &cookie).await.assert(201);
}

/// What a page of another site can make a browser send, one way or another, is refused by everything that changes something.
#[tokio::test]
async fn no_operation_is_moved_by_a_page_of_another_site() {
    let app = TestApp::start().await;
    let (_, cookie) = app.make_user("ann@example.com", "owner").await;
    let json = "application/json";
    // The headers of such requests: forms and simple requests first, then what no browser lets a page send.
    let foreign: [&[(&str, &str)]; 9] = [
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded"), ("origin", "https://evil.example")],
        &[("content-type", "multipart/form-data; boundary=x"), ("origin", "null")],
        &[("content-type", json), ("origin", "https://hooks.example.com"), ("sec-fetch-site", "same-origin")],
        &[("content-type", json), ("waxwing-console", "1"), ("origin", "https://evil.example")],
        &[("content-type", json), ("waxwing-console", "1"), ("origin", "http://hooks.example.com.evil.example")],
        &[("content-type", json), ("waxwing-console", "1"), ("sec-fetch-site", "cross-site")],
        &[("content-type", json), ("waxwing-console", "1"), ("sec-fetch-site", "same-site")],
        &[("content-type", json), ("waxwing-console", "1"), ("sec-fetch-site", "none")],
    ];
    let ours: [&[(&str, &str)]; 2] = [
        &[("content-type", json), ("waxwing-console", "1")],
        &[
            ("content-type", json),
            ("waxwing-console", "1"),
            ("origin", "https://hooks.example.com"),
            ("sec-fetch-site", "same-origin"),
        ],
    ];
    let document = document();
    let mut cases = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let takes_cookie =
                operation["security"].as_array().is_some_and(|all| all.iter().any(|one| one.get("Session").is_some()));
            if method == "get" || !takes_cookie {
                continue;
            }
            let asked: Vec<&str> =
                path.split('/').map(|part| if part.starts_with('{') { "nonsense" } else { part }).collect();
            let ask = async |headers: &[(&str, &str)]| {
                let method = method.to_uppercase().parse().unwrap();
                let call = app.call(method, &asked.join("/")).without_key().header("cookie", &cookie);
                let call = call.header("host", "hooks.example.com");
                app.advance(Duration::from_millis(100));
                let answer = headers.iter().fold(call, |call, (name, value)| call.header(name, value)).await;
                let is_refused = answer.body.contains("cross_site_request");
                assert_eq!(is_refused, answer.status == 403, "{path}: {}", answer.body);
                is_refused
            };
            for headers in foreign {
                assert!(ask(headers).await, "{method} {path} {headers:?}");
                cases += 1;
            }
            // These two would end what they are asked with.
            if !(method == "delete" && path.starts_with("/v1/sessions") && !path.contains('{')) {
                for headers in ours {
                    assert!(!ask(headers).await, "{method} {path} {headers:?}");
                    cases += 1;
                }
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 400, "{cases} cases");
    app.get("/v1/sessions/current").cookie(&cookie).await.assert(200);
}

#[tokio::test]
async fn signing_in_makes_a_new_session_whatever_cookie_came_along() {
    let app = TestApp::start().await;
    let (_, first) = app.make_user("ann@example.com", "viewer").await;
    let planted = "waxwing_session=chosenbysomebodyelse00000000000000000000";
    for before in [planted, &first] {
        let begun = app.post("/v1/sessions", credentials("ann@example.com", PASSWORD)).without_key();
        let cookie = begun.header("cookie", before).await.assert(201).set_cookie();
        assert!(cookie != planted && cookie != first, "{cookie}");
        app.get("/v1/sessions/current").cookie(&cookie).await.assert(200);
    }
    app.get("/v1/sessions/current").cookie(planted).await.assert(401);
}

#[tokio::test]
async fn a_wrong_cookie_is_nobody_and_does_not_count_as_a_guess() {
    let app = TestApp::start().await;
    for _ in 0..30 {
        app.get("/v1/events").cookie("waxwing_session=nonsense").await.check(expect![[r#"
            401 session_expired: This session is over: sign in again
        "#]]);
    }
    app.get("/v1/events").cookie("other=1").await.check(expect![[r#"
        401 missing_api_key: Missing Authorization header
    "#]]);
}

/// The status line and the cookie of a sign-in over a socket.
async fn over_tcp(server: SocketAddr, headers: &str, body: &Value) -> (String, Option<String>) {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let body = body.to_string();
    let request = format!(
        "POST /v1/sessions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let cookie = answer.lines().find_map(|line| line.to_lowercase().strip_prefix("set-cookie: ").map(str::to_owned));
    (answer.split(' ').nth(1).unwrap_or_default().to_owned(), cookie)
}

#[tokio::test]
async fn a_password_comes_by_tls_or_from_this_machine() {
    let app = TestApp::start().await;
    app.make_user("ann@example.com", "owner").await;
    let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
    let server = *acceptor.local_addr()[0].as_socket_addr().unwrap();
    let serving = tokio::spawn(poem::Server::new_with_acceptor(acceptor).run(app.endpoint.clone()));
    let body = credentials("ann@example.com", PASSWORD);
    // The tests' server trusts the proxy at 127.0.0.1.
    for (headers, expected, is_secure) in [
        ("", "201", false),
        ("X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n", "201", true),
        ("X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\n", "403", false),
        ("X-Forwarded-For: 203.0.113.9\r\n", "403", false),
    ] {
        let (status, cookie) = over_tcp(server, headers, &body).await;
        assert_eq!(status, expected, "{headers}");
        assert_eq!(cookie.is_some(), expected == "201", "{headers}");
        assert_eq!(cookie.is_some_and(|cookie| cookie.ends_with("; secure")), is_secure, "{headers}");
    }
    // What is refused to anybody is no guess: it is counted nowhere, and would fill the log.
    let failed = app.get("/v1/audit-log?filter[action]=sessions.create_failed").await.assert(200).json();
    assert_eq!(failed["data"], json!([]));
    // Over 20 failures of one address have to wait, whoever they are about.
    for n in 0..21 {
        let body = credentials(&format!("{n}@example.com"), PASSWORD);
        let (status, _) = over_tcp(server, "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n", &body).await;
        assert_eq!(status, if n < 20 { "401" } else { "429" }, "{n}");
    }
    serving.abort();
}
