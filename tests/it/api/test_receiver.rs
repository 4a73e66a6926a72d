//! `/v1/test-receiver`

use std::time::Duration;

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::app::{TEST_RECEIVER, TestApp};

async fn scene() -> (TestApp, String) {
    let app = TestApp::start().await;
    let body = json!({ "url": TEST_RECEIVER, "events": ["order.*"] });
    let subscription = app.post("/v1/webhook-subscriptions", body).await.assert(201).id();
    (app, subscription)
}

/// Sends a test, and answers the status that it got.
async fn test(app: &TestApp, subscription: &str) -> Value {
    let sent = app.post(&format!("/v1/webhook-subscriptions/{subscription}/test"), json!({})).await.assert(200);
    sent.json()["data"]["attributes"]["response_status"].clone()
}

async fn requests(app: &TestApp, query: &str) -> Value {
    app.get(&format!("/v1/test-receiver/requests{query}")).await.assert(200).json()
}

#[tokio::test]
async fn what_came_is_shown_with_its_headers_its_body_and_a_verdict_of_its_signature() {
    let (app, subscription) = scene().await;
    test(&app, &subscription).await;
    app.advance(Duration::from_secs(60 * 60));
    let list = requests(&app, "").await;
    let request = &list["data"][0];
    assert_eq!((&request["type"], &request["id"]), (&json!("received_request"), &json!("1")));
    let attributes = &request["attributes"];
    assert_eq!(attributes["receiver"], "inbox");
    assert_eq!(attributes["url"], TEST_RECEIVER);
    assert_eq!(attributes["received_at"], "2026-02-18T12:00:00.000Z");
    assert_eq!(attributes["response_status"], 200);
    assert!(attributes["body"].as_str().unwrap().contains("Hello from Waxwing"));
    let headers = attributes["headers"].as_array().unwrap();
    assert!(headers.iter().any(|header| header[0] == "webhook-signature"), "{headers:?}");
    assert_eq!(attributes["signature"], json!({ "is_valid": true, "profile": "standard", "detail": null }));
}

#[tokio::test]
async fn a_verdict_is_given_only_while_it_can_be_known() {
    let (app, subscription) = scene().await;
    test(&app, &subscription).await;
    app.advance(Duration::from_secs(1));
    let path = format!("/v1/webhook-subscriptions/{subscription}");
    app.post(&format!("{path}/rotate-secret"), json!({ "overlap_seconds": 60 })).await.assert(200);
    let verdict = async || requests(&app, "").await["data"][0]["attributes"]["signature"].clone();
    assert_eq!(verdict().await["is_valid"], true, "the old secret still signs");
    app.post(&format!("{path}/rotate-secret"), json!({})).await.assert(200);
    let detail = "its subscription or tenant was changed since";
    assert_eq!(verdict().await, json!({ "is_valid": null, "profile": "standard", "detail": detail }));
    app.delete(&path).await.assert(204);
    let detail = "its subscription was deleted";
    assert_eq!(verdict().await, json!({ "is_valid": null, "profile": null, "detail": detail }));
}

#[tokio::test]
async fn a_receiver_answers_as_it_is_told_to() {
    let (app, subscription) = scene().await;
    let put = async |behaviour: &str| {
        let receiver =
            app.put("/v1/test-receiver/receivers/inbox", json!({ "behaviour": behaviour })).await.assert(200);
        assert_eq!(receiver.json()["data"]["attributes"]["behaviour"], behaviour);
    };
    for (behaviour, status) in [("accept", 200), ("fail", 500), ("gone", 410), ("slow_down", 429), ("accept", 200)] {
        put(behaviour).await;
        assert_eq!(test(&app, &subscription).await, status, "{behaviour}");
    }
    let list = requests(&app, "").await;
    let statuses: Vec<&Value> =
        list["data"].as_array().unwrap().iter().map(|row| &row["attributes"]["response_status"]).collect();
    assert_eq!(statuses, [200, 429, 410, 500, 200]);
    app.get("/v1/test-receiver/receivers").await.check(expect![[r#"
        200
        {
          "data": [
            {
              "type": "test_receiver",
              "id": "inbox",
              "attributes": {
                "url": "https://test-receiver.invalid/inbox",
                "behaviour": "accept",
                "requests_count": 5,
                "last_received_at": "2026-02-18T12:00:00.000Z"
              }
            }
          ],
          "meta": {
            "total": 1,
            "page": 1,
            "per_page": 20,
            "total_pages": 1
          },
          "links": {
            "next": null,
            "prev": null
          }
        }
    "#]]);
    put("fail").await;
    app.delete("/v1/test-receiver/receivers/inbox").await.assert(204);
    assert_eq!(requests(&app, "").await["data"], json!([]));
    assert_eq!(test(&app, &subscription).await, 200);
}

#[tokio::test]
async fn a_receiver_that_hangs_takes_all_the_time_of_the_sender_and_answers_nothing() {
    let (app, subscription) = scene().await;
    let path = format!("/v1/webhook-subscriptions/{subscription}");
    app.patch(&path, json!({ "timeout_seconds": 1 })).await.assert(200);
    app.put("/v1/test-receiver/receivers/inbox", json!({ "behaviour": "hang" })).await.assert(200);
    let sent = app.post(&format!("{path}/test"), json!({})).await.assert(200).json();
    assert_eq!(sent["data"]["attributes"]["error"], "timeout");
    assert_eq!(sent["data"]["attributes"]["response_status"], Value::Null);
    assert_eq!(requests(&app, "").await["data"][0]["attributes"]["response_status"], Value::Null);
}

#[tokio::test]
async fn requests_are_found_by_their_receiver_and_walked_both_ways() {
    let (app, subscription) = scene().await;
    let body = json!({ "url": "https://test-receiver.invalid/other/place?x=1", "events": ["order.*"] });
    let other = app.post("/v1/webhook-subscriptions", body).await.assert(201).id();
    for id in [&subscription, &other, &subscription, &subscription] {
        test(&app, id).await;
    }
    let ids = |list: &Value| -> Vec<String> {
        list["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&requests(&app, "?filter[receiver]=other/place").await), ["2"]);
    assert_eq!(ids(&requests(&app, "?filter[receiver]=other").await), [] as [&str; 0]);
    let first = requests(&app, "?filter[receiver]=inbox&page[size]=2").await;
    assert_eq!((ids(&first), &first["links"]["prev"]), (vec!["4".to_owned(), "3".to_owned()], &Value::Null));
    let second = app.get(first["links"]["next"].as_str().unwrap()).await.assert(200).json();
    assert_eq!((ids(&second), &second["links"]["next"]), (vec!["1".to_owned()], &Value::Null));
    let back = app.get(second["links"]["prev"].as_str().unwrap()).await.assert(200).json();
    assert_eq!(ids(&back), ids(&first));
    let receiver = app.get("/v1/test-receiver/receivers/other%2Fplace").await.assert(200).json();
    assert_eq!(receiver["data"]["attributes"]["requests_count"], 1);
}

#[tokio::test]
async fn only_the_operator_sees_the_test_receiver() {
    let (app, _) = scene().await;
    let key = app.make_key(json!({ "name": "k", "preset": "full_access" })).await;
    let body = json!({ "behaviour": "fail" });
    for call in [
        app.get("/v1/test-receiver/requests"),
        app.get("/v1/test-receiver/receivers"),
        app.get("/v1/test-receiver/receivers/inbox"),
        app.put("/v1/test-receiver/receivers/inbox", body),
        app.delete("/v1/test-receiver/receivers/inbox"),
    ] {
        call.key(&key).await.check(expect![[r#"
            403 missing_scope: This concerns the whole instance, and this API key is bound to one tenant
        "#]]);
    }
    app.put("/v1/test-receiver/receivers/inbox", json!({ "behaviour": "explode" })).await.check(expect![[r#"
        400 invalid_parameter /behaviour: This must be accept, fail, hang, gone or slow_down
    "#]]);
}
