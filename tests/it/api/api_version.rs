//! `api_version` of subscriptions: chosen once, and what bodies follow

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::app::{TEST_RECEIVER, TestApp};

const PATH: &str = "/v1/webhook-subscriptions";

#[tokio::test]
async fn a_subscription_has_the_version_that_it_asked_for_or_its_profiles_first() {
    let app = TestApp::start().await;
    for (profile, asked, expected) in [
        ("standard", None, json!("2026-04-01")),
        ("standard", Some("2026-04-01"), json!("2026-04-01")),
        ("standard", Some("2026-11-01"), json!("2026-11-01")),
        ("mage", None, Value::Null),
        ("marea", None, json!("2026-05-12")),
        ("marea", Some("2026-05-12"), json!("2026-05-12")),
        ("agentmessage", None, json!("2026-04-01")),
    ] {
        app.patch("/v1/tenants/default", json!({ "profile": profile })).await.assert(200);
        let mut body = json!({ "url": "https://example.com/a", "events": ["*"] });
        if let Some(asked) = asked {
            body["api_version"] = json!(asked);
        }
        let id = app.post(PATH, body).await.assert(201).id();
        let shown = app.get(&format!("{PATH}/{id}")).await.assert(200).json();
        assert_eq!(shown["data"]["attributes"]["api_version"], expected, "{profile} {asked:?}");
    }
}

#[tokio::test]
async fn a_version_that_the_profile_does_not_have_is_refused_with_those_that_it_has() {
    let app = TestApp::start().await;
    for (profile, asked, expected) in [
        (
            "standard",
            json!("2026-05-12"),
            expect![[r#"
            400 invalid_parameter /api_version: This must be '2026-04-01' or '2026-11-01'
        "#]],
        ),
        (
            "standard",
            json!(null),
            expect![[r#"
            400 invalid_type /api_version: This must be a string
        "#]],
        ),
        (
            "mage",
            json!("2026-04-01"),
            expect![[r#"
            400 invalid_parameter /api_version: This must be absent: the profile mage has no versions
        "#]],
        ),
        (
            "marea",
            json!("2026-11-01"),
            expect![[r#"
            400 invalid_parameter /api_version: This must be '2026-05-12': the profile marea has no other
        "#]],
        ),
        (
            "agentmessage",
            json!("today"),
            expect![[r#"
            400 invalid_parameter /api_version: This must be '2026-04-01': the profile agentmessage has no other
        "#]],
        ),
    ] {
        app.patch("/v1/tenants/default", json!({ "profile": profile })).await.assert(200);
        let body = json!({ "url": "https://example.com/a", "events": ["*"], "api_version": asked });
        app.post(PATH, body).await.check(expected);
    }
}

#[tokio::test]
async fn a_version_stays_until_another_profile_brings_its_own() {
    let app = TestApp::start().await;
    let body = json!({ "url": "https://example.com/a", "events": ["*"], "api_version": "2026-11-01" });
    let path = format!("{PATH}/{}", app.post(PATH, body).await.assert(201).id());
    app.patch(&path, json!({ "api_version": "2026-04-01" })).await.check(expect![[r#"
        400 unknown_field /api_version: There is no field 'api_version' here
    "#]]);
    for (rotation, expected) in [
        (json!({}), json!("2026-11-01")),
        (json!({ "profile": "standard" }), json!("2026-11-01")),
        (json!({ "profile": "marea" }), json!("2026-05-12")),
        (json!({ "profile": "mage" }), Value::Null),
        (json!({ "profile": "standard" }), json!("2026-04-01")),
    ] {
        let rotated = app.post(&format!("{path}/rotate-secret"), rotation.clone()).await.assert(200).json();
        assert_eq!(rotated["data"]["attributes"]["api_version"], expected, "{rotation}");
    }
}

#[tokio::test]
async fn one_event_goes_to_each_subscription_in_its_version_and_attempts_show_what_was_sent() {
    let app = TestApp::start().await;
    let mut versions = Vec::new();
    for version in ["2026-04-01", "2026-11-01", "2026-04-01", "2026-11-01"] {
        let body = json!({ "url": TEST_RECEIVER, "events": ["*"], "api_version": version });
        versions.push((app.post(PATH, body).await.assert(201).id(), version));
    }
    let event = app.post("/v1/events", json!({ "type": "order.paid", "data": { "total": 1 } })).await.assert(202).id();
    let is_done = |event: &Value| event["data"]["attributes"]["state"] == "delivered";
    let shown = app.wait_for(&format!("/v1/events/{event}"), is_done).await.json();
    let short = r#"{"type":"order.paid","timestamp":"2026-02-18T12:00:00.000Z","data":{"total":1}}"#.to_owned();
    let long = format!(
        r#"{{"type":"order.paid","timestamp":"2026-02-18T12:00:00.000Z","id":"{event}","api_version":"2026-11-01","data":{{"total":1}}}}"#
    );
    let deliveries = shown["data"]["attributes"]["deliveries"].as_array().unwrap();
    assert_eq!(deliveries.len(), versions.len());
    for delivery in deliveries {
        let shown = app.get(&format!("/v1/deliveries/{}", delivery["id"].as_str().unwrap())).await.assert(200).json();
        let attributes = &shown["data"]["attributes"];
        let (_, version) = versions.iter().find(|(id, _)| attributes["subscription_id"] == **id).unwrap();
        let expected = if *version == "2026-11-01" { &long } else { &short };
        assert_eq!(attributes["attempts"][0]["request"]["body"], **expected, "{version}");
    }
    let mut received: Vec<String> =
        app.received().iter().map(|received| String::from_utf8_lossy(&received.body).into_owned()).collect();
    received.sort_by_key(String::len);
    assert_eq!(received, [&short, &short, &long, &long].map(Clone::clone));
}
