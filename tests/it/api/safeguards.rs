//! What every answer tells a browser to keep to itself, whoever asked for what.

use poem::http::Method;
use poem::listener::{Acceptor, Listener, TcpListener};
use serde_json::{Value, json};
use waxwing::domain::contract::Contract;
use waxwing::http::{contract_document, document};

use crate::support::app::{ADMIN_KEY, Answer, Client, TestApp};

const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'";

fn say<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.header(name).unwrap_or("none")
}

/// What no answer lacks.
fn check(answer: &Answer, place: &str) {
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(say(answer, name), value, "{place}: {name}");
    }
    assert!(say(answer, "content-security-policy").contains("frame-ancestors 'none'"), "{place}");
    assert!(answer.header("strict-transport-security").is_none(), "{place} came in the clear");
    let shared = answer.headers.keys().filter(|name| name.as_str().starts_with("access-control-"));
    assert_eq!(shared.count(), 0, "{place} is for pages of other sites");
}

/// Every path of every document with each of its methods, and what is in no document.
fn places() -> Vec<(Method, String)> {
    let documents = [document()].into_iter().chain(Contract::ALL.map(contract_document));
    let of = |document: Value| {
        let paths = document["paths"].as_object().expect("it has paths").clone();
        paths.into_iter().flat_map(|(path, operations)| {
            let methods: Vec<String> = operations.as_object().expect("operations").keys().cloned().collect();
            methods.into_iter().map(move |method| (method.to_uppercase().parse().expect("a method"), path.clone()))
        })
    };
    let mut all: Vec<(Method, String)> = documents.flat_map(of).collect();
    let pages = ["/", "/portal", "/deliveries", "/docs", "/docs/marea", "/docs/agentmessage", "/openapi.json"];
    let others = ["/openapi.yaml", "/favicon.svg", "/nothing.js", "/v1/nothing", "/v2/events", "/.well-known/none"];
    all.extend(pages.into_iter().chain(others).map(|path| (Method::GET, path.to_owned())));
    all
}

#[tokio::test]
async fn every_answer_at_every_path_is_for_its_own_site_and_no_frame() {
    let app = TestApp::start().await;
    let mut cases = 0;
    for (method, path) in places() {
        let asked = path.replace(['{', '}'], "");
        // Refused, preflighted by another site's page, of a method that there is not, and let in (a stream has no end).
        let mut calls = vec![
            app.call(method.clone(), &asked).without_key(),
            app.call(Method::OPTIONS, &asked)
                .without_key()
                .header("origin", "https://evil.example")
                .header("access-control-request-method", method.as_str()),
            app.call(Method::TRACE, &asked),
        ];
        if path != "/v1/stream" {
            calls.push(app.call(method.clone(), &asked).header("origin", "https://evil.example"));
        }
        for call in calls {
            let answer = call.await;
            check(&answer, &format!("{method} {path} → {}", answer.status));
            let is_api = path.starts_with("/v1/") || path == "/metrics" || !answer.status.is_success();
            if is_api {
                assert_eq!(say(&answer, "cache-control"), "no-store", "{method} {path}");
                assert_eq!(say(&answer, "content-security-policy"), NOTHING, "{method} {path}");
            }
            cases += 1;
        }
    }
    assert!(cases > 400, "{cases} cases");
}

#[tokio::test]
async fn a_page_of_another_site_gets_no_leave_to_ask() {
    let app = TestApp::start().await;
    for path in ["/v1/events", "/v1/sessions", "/v1/portal-sessions", "/v1/webhook_endpoints", "/v1/webhooks", "/"] {
        let preflight = app
            .call(Method::OPTIONS, path)
            .without_key()
            .header("origin", "https://evil.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type");
        let answer = preflight.await;
        assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
    }
}

#[tokio::test]
async fn the_documentation_runs_its_own_scripts_alone_and_may_ask_this_server() {
    let app = TestApp::start().await;
    for path in ["/docs", "/docs/marea", "/docs/agentmessage"] {
        let page = app.get(path).without_key().await.assert(200);
        let policy = say(&page, "content-security-policy");
        let directive = |name: &str| {
            policy.split("; ").find_map(|one| one.strip_prefix(name)).unwrap_or_else(|| panic!("{policy}: {name}"))
        };
        assert_eq!(directive("default-src "), "'none'");
        assert_eq!(directive("connect-src "), "'self'");
        assert_eq!(directive("script-src ").matches("'sha256-").count(), 2, "{policy}");
        assert!(!directive("script-src ").contains("unsafe"), "{policy}");
        // Nothing would run that is not one of the two.
        assert_eq!(page.body.matches("</script>").count(), 2, "{path}");
    }
}

#[tokio::test]
async fn answers_that_show_a_secret_are_kept_by_nobody() {
    let app = TestApp::start().await;
    let made = app.post("/v1/api-keys", json!({ "name": "k", "preset": "read_only" })).header("idempotency-key", "1");
    let again = app.post("/v1/api-keys", json!({ "name": "k", "preset": "read_only" })).header("idempotency-key", "1");
    for answer in [made.await.assert(201), again.await.assert(201)] {
        assert!(answer.body.contains("\"secret\""));
        assert_eq!(say(&answer, "cache-control"), "no-store");
    }
}

#[tokio::test]
async fn who_came_by_tls_is_told_to_come_so_again_and_nobody_else() {
    let app = TestApp::start().await;
    let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
    let server = *acceptor.local_addr()[0].as_socket_addr().unwrap();
    let serving = tokio::spawn(poem::Server::new_with_acceptor(acceptor).run(app.endpoint.clone()));
    let client = Client::over_loopback(server, app.settings.contracts, ADMIN_KEY);
    // The tests' server trusts the proxy at 127.0.0.1.
    for (protocol, expected) in [("https", "max-age=31536000"), ("http", "none")] {
        for path in ["/", "/docs", "/healthz", "/v1/tenants", "/v1/webhooks", "/v1/nothing"] {
            let answer = client.get(path).header("x-forwarded-proto", protocol).await;
            assert_eq!(say(&answer, "strict-transport-security"), expected, "{protocol} {path}");
        }
    }
    serving.abort();
}
