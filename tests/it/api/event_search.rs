//! `GET /v1/events` with `filter[text]` and `filter[external_id]`.

use std::time::Duration;

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::app::TestApp;

fn names(list: &Value) -> Vec<&str> {
    let rows = list["data"].as_array().expect("it is a list");
    rows.iter().map(|row| row["attributes"]["external_id"].as_str().expect("each has a name")).collect()
}

/// A day's worth of events, three hours apart: `e0` is the oldest one.
async fn scene() -> TestApp {
    let app = TestApp::start().await;
    for number in 0..10 {
        let data = json!({ "customer": format!("Zoë {number}"), "kind": if number % 2 == 0 { "even" } else { "odd" } });
        let body = json!({ "type": "order.paid", "data": data, "external_id": format!("e{number}") });
        app.post("/v1/events", body).await.assert(202);
        app.advance(Duration::from_secs(3 * 60 * 60));
    }
    app.wait_for("/v1/events?page[size]=1", |list| names(list) == ["e9"]).await;
    app
}

#[tokio::test]
async fn events_are_found_by_what_their_data_says() {
    let app = scene().await;
    for (query, expected) in [
        // The last 24 hours, unless it says otherwise.
        ("filter[text]=even", vec!["e8", "e6", "e4"]),
        ("filter[text]=even&filter[since]=2026-02-18T00:00:00Z", vec!["e8", "e6", "e4", "e2", "e0"]),
        ("filter[text]=even&filter[until]=2026-02-19T00:00:00Z", vec!["e2", "e0"]),
        ("filter[text]=Even", vec![]),
        ("filter[text]=%22kind%22:%22odd%22", vec!["e9", "e7", "e5", "e3"]),
        ("filter[text]=Zo%C3%AB%207", vec!["e7"]),
        ("filter[text]=even&filter[type]=order.sent", vec![]),
        ("filter[external_id]=e0", vec!["e0"]),
        ("filter[external_id]=e", vec![]),
        ("filter[external_id]=e0&filter[text]=even", vec![]),
        ("filter[external_id]=e8&filter[text]=even", vec!["e8"]),
    ] {
        assert_eq!(names(&app.get(&format!("/v1/events?{query}")).await.assert(200).json()), expected, "{query}");
    }
    let first = "/v1/events?filter[text]=even&page[size]=3&filter[since]=2026-02-18T13:00:00Z";
    let first = app.get(first).await.assert(200).json();
    assert_eq!(names(&first), ["e8", "e6", "e4"]);
    let second = app.get(first["links"]["next"].as_str().expect("there is more")).await.assert(200).json();
    assert_eq!(names(&second), ["e2"]);
}

#[tokio::test]
async fn a_search_for_nothing_or_too_much_is_refused() {
    let app = TestApp::start().await;
    for text in [String::new(), "é".repeat(201)] {
        app.get(&format!("/v1/events?filter[text]={text}")).await.check(expect![[r#"
            400 invalid_parameter filter[text]: 'filter[text]' must be 1 to 200 characters
        "#]]);
    }
    let longest = "é".repeat(200);
    app.get(&format!("/v1/events?filter[text]={longest}")).await.assert(200);
    app.get("/v1/events?filter[external_id]=a%20b").await.check(expect![[r#"
        400 invalid_parameter filter[external_id]: 'filter[external_id]' must be an external id
    "#]]);
}

#[tokio::test]
async fn a_search_looks_at_a_bounded_number_of_bytes_for_each_page() {
    let app = TestApp::start().await;
    // 40 times 256 KiB are 1,280 rows besides themselves: one page holds all of them.
    let large = "x".repeat(256 * 1024 - 20);
    for number in 0..40 {
        let body = json!({ "type": "order.paid", "data": { "x": large }, "external_id": format!("e{number}") });
        app.post("/v1/events", body).await.assert(202);
    }
    app.wait_for("/v1/events?page[size]=1", |list| names(list) == ["e39"]).await;
    let list = app.get("/v1/events?filter[text]=nowhere").await.assert(200).json();
    assert_eq!((names(&list).len(), &list["links"]["next"]), (0, &Value::Null));
}
