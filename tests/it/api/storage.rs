//! `/v1/storage`

use expect_test::expect;
use serde_json::json;

use crate::support::app::TestApp;

#[tokio::test]
async fn whoever_runs_the_instance_sees_what_the_store_takes() {
    let app = TestApp::start().await;
    app.post("/v1/events", json!({ "type": "order.paid", "data": { "n": 1 } })).await.assert(202);
    let storage = app.get("/v1/storage").await.assert(200).json();
    let storage = &storage["data"]["attributes"];
    let tables = storage["tables"].as_array().unwrap();
    let rows = |name: &str| tables.iter().find(|table| table["name"] == name).unwrap()["rows"].as_u64();
    assert_eq!((rows("events"), rows("payloads"), rows("tenants")), (Some(1), Some(1), Some(2)));
    assert!(storage["used_bytes"].as_u64().unwrap() > 100);
    assert_eq!(
        (&storage["disk"]["level"], &storage["compaction"], &storage["last_compaction"]),
        (&json!("enough"), &json!(null), &json!(null))
    );
    // That of a simulated disk is no file.
    app.post("/v1/storage/compact", json!({})).await.check(expect![[r#"
        409 invalid_state: It is no longer as it was: read it again, then try again
    "#]]);
}

#[tokio::test]
async fn the_key_of_a_tenant_sees_and_does_nothing_of_it() {
    let app = TestApp::start().await;
    let key = json!({ "name": "k", "preset": "full_access", "tenant": "default" });
    let key = app.post("/v1/api-keys", key).await.assert(201).json();
    let key = key["data"]["attributes"]["secret"].as_str().unwrap();
    app.get("/v1/storage").key(key).await.assert(403);
    app.post("/v1/storage/compact", json!({})).key(key).await.assert(403);
}
