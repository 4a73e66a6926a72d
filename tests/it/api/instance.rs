//! `/healthz`, `/readyz`, `/metrics`, the document and its page.

use serde_json::{Value, json};

use crate::support::app::TestApp;

#[tokio::test]
async fn health_needs_no_key() {
    let app = TestApp::start().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(app.get(path).without_key().await.assert(200).body, r#"{"status":"ok"}"#);
    }
}

#[tokio::test]
async fn metrics_are_for_keys_of_the_instance() {
    let app = TestApp::start().await;
    let text = app.get("/metrics").await.assert(200).body;
    for line in [
        "waxwing_http_answers_total{about=\"write\",status=\"2xx\"} 2",
        "waxwing_subscriptions{health=\"healthy\"} 0",
        "# TYPE waxwing_lanes gauge",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    }
    app.get("/metrics").without_key().await.assert(401);
    let key = app.make_key(json!({ "name": "a", "preset": "full_access", "tenant": "default" })).await;
    app.get("/metrics").key(&key).await.assert(403);
}

#[tokio::test]
async fn the_document_is_served_as_json_and_as_yaml() {
    let app = TestApp::start().await;
    let json = app.get("/openapi.json").without_key().await.assert(200);
    assert_eq!(json.json(), waxwing::http::document());
    let yaml = app.get("/openapi.yaml").without_key().await.assert(200);
    assert_eq!(yaml.header("content-type"), Some("application/yaml"));
    assert!(yaml.body.contains("\nopenapi: "), "{}", &yaml.body[..200]);
}

#[tokio::test]
async fn the_page_shows_our_document_and_asks_no_other_host() {
    let app = TestApp::start().await;
    let page = app.get("/docs").without_key().await.assert(200).body;
    assert!(page.contains("subscriptions.rotate_secret"));
    assert!(page.contains("\"openapi\": \"3.1.0\""));
    for tag in ["<script src", "<link"] {
        assert!(!page.contains(tag), "{tag}");
    }
    // Without this, the page of a server that is not on localhost asked validator.swagger.io.
    assert!(page.contains("validatorUrl: null"));
}

#[cfg(not(feature = "console"))]
#[tokio::test]
async fn without_the_console_the_first_page_is_the_documentation() {
    let app = TestApp::start().await;
    let root = app.get("/").without_key().await.assert(307);
    assert_eq!(root.header("location"), Some("/docs"));
}

/// YAML 1.2 takes what this writer writes: read back by a reader that we did not write.
#[tokio::test]
async fn the_yaml_says_the_same_as_the_json() {
    let app = TestApp::start().await;
    let yaml = app.get("/openapi.yaml").without_key().await.assert(200).body;
    let read: Value = serde_saphyr::from_str(&yaml).expect("it is YAML");
    assert_eq!(read, waxwing::http::document());
}
