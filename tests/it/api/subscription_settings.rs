//! `/v1/webhook-subscriptions`: what a subscriber sets for itself.

use expect_test::expect;
use poem::http::Method;
use serde_json::{Value, json};

use crate::support::app::{TEST_RECEIVER, TestApp};

const PATH: &str = "/v1/webhook-subscriptions";

/// Makes one; answers with its path.
async fn create(app: &TestApp, mut body: Value) -> String {
    body["events"] = json!(["*"]);
    let answer = app.post(PATH, body).await.assert(201);
    answer.header("location").expect("it says where").to_owned()
}

fn settings_of(answer: &Value) -> Value {
    let attributes = &answer["data"]["attributes"];
    let names = ["rate_limit", "retry_schedule", "ordering", "circuit_breaker", "headers", "channels"];
    names.iter().map(|name| ((*name).to_owned(), attributes[*name].clone())).collect::<serde_json::Map<_, _>>().into()
}

#[tokio::test]
async fn settings_are_shown_as_they_were_given_and_null_clears_them() {
    let app = TestApp::start().await;
    let nothing = json!({ "rate_limit": null, "retry_schedule": null, "ordering": "none", "circuit_breaker": true, "headers": {}, "channels": [] });
    let path = create(&app, json!({ "url": "https://example.com/a" })).await;
    assert_eq!(settings_of(&app.get(&path).await.json()), nothing);

    let all = json!({
        "rate_limit": 10_000,
        "retry_schedule": [0, 604_800],
        "ordering": "fifo",
        "circuit_breaker": false,
        "headers": { "X-Shop": "1", "authorization": "Bearer 2" },
        "channels": ["eu", "shop:1"],
    });
    let shown = json!({
        "rate_limit": 10_000,
        "retry_schedule": [0, 604_800],
        "ordering": "fifo",
        "circuit_breaker": false,
        "headers": { "x-shop": "***", "authorization": "***" },
        "channels": ["eu", "shop:1"],
    });
    let mut body = all.clone();
    body["url"] = json!("https://example.com/a");
    let made = create(&app, body).await;
    assert_eq!(settings_of(&app.get(&made).await.json()), shown);
    for method in [Method::PUT, Method::PATCH] {
        let changed = app.call(method.clone(), &path).json(&all).await.assert(200).json();
        assert_eq!(settings_of(&changed), shown, "{method}");
        let kept = app.call(method.clone(), &path).json(&json!({ "description": "d" })).await.assert(200).json();
        assert_eq!(settings_of(&kept), shown, "{method}");
        let clear = json!({ "rate_limit": null, "retry_schedule": null, "ordering": "none", "circuit_breaker": true, "headers": null, "channels": null });
        let cleared = app.call(method.clone(), &path).json(&clear).await.assert(200).json();
        assert_eq!(settings_of(&cleared), nothing, "{method}");
    }
}

#[tokio::test]
async fn every_problem_of_a_setting_is_told_at_once() {
    let app = TestApp::start().await;
    let body = json!({
        "url": "https://example.com/a",
        "events": ["*"],
        "rate_limit": 10_001,
        "retry_schedule": [1, -1, 604_801, "5", 1.5],
        "ordering": "lifo",
        "headers": {
            "": "a", "x y": "a", "Host": "a", "Webhook-Id": "a", "svix-id": "a", "X-Webhook-Event": "a",
            "Proxy-Authorization": "a", "x-number": 5, "x-line": "a\r\nb", "x-stars": "***",
        },
        "channels": ["a b", "eu", "eu", 5, ""],
    });
    app.post(PATH, body).await.check(expect![[r#"
        400 invalid_type /retry_schedule/3: This must be an integer
        400 invalid_type /retry_schedule/4: This must be an integer
        400 invalid_type /headers/x-number: This must be a string
        400 invalid_type /channels/3: This must be a string
        400 out_of_range /rate_limit: This must be 1 to 10000 deliveries per second
        400 out_of_range /retry_schedule/1: This must be 0 to 604800 seconds
        400 out_of_range /retry_schedule/2: This must be 0 to 604800 seconds
        400 invalid_parameter /ordering: This must be 'none' or 'fifo'
        400 header_not_allowed /headers/: The name of a header has 1 to 64 characters of A-Z a-z 0-9 ! # $ % & ' * + - . ^ _ ` | ~
        400 header_not_allowed /headers/Host: Waxwing or HTTP itself sets this header: it cannot be a custom one
        400 header_not_allowed /headers/Proxy-Authorization: Waxwing or HTTP itself sets this header: it cannot be a custom one
        400 header_not_allowed /headers/Webhook-Id: Waxwing or HTTP itself sets this header: it cannot be a custom one
        400 header_not_allowed /headers/X-Webhook-Event: Waxwing or HTTP itself sets this header: it cannot be a custom one
        400 header_not_allowed /headers/svix-id: Waxwing or HTTP itself sets this header: it cannot be a custom one
        400 header_not_allowed /headers/x y: The name of a header has 1 to 64 characters of A-Z a-z 0-9 ! # $ % & ' * + - . ^ _ ` | ~
        400 invalid_parameter /headers/x-line: This must be 1 to 1,024 printable ASCII characters, none of the outer ones a space
        400 invalid_parameter /headers/x-stars: This must be the value itself: none is kept
        400 invalid_parameter /channels/0: This must be 1 to 64 characters of A-Z a-z 0-9 . _ : -
        400 duplicate_item /channels/2: This occurs twice
        400 invalid_parameter /channels/4: This must be 1 to 64 characters of A-Z a-z 0-9 . _ : -
    "#]]);
    for (setting, expected) in [
        (
            json!({ "rate_limit": 0 }),
            expect![[r#"
            400 out_of_range /rate_limit: This must be 1 to 10000 deliveries per second
        "#]],
        ),
        (
            json!({ "rate_limit": "fast" }),
            expect![[r#"
            400 invalid_type /rate_limit: This must be an integer
        "#]],
        ),
        (
            json!({ "retry_schedule": [] }),
            expect![[r#"
            400 invalid_parameter /retry_schedule: This must be null, or 1 to 20 delays in seconds
        "#]],
        ),
        (
            json!({ "retry_schedule": vec![1; 21] }),
            expect![[r#"
            400 too_many_items /retry_schedule: There may be at most 20
        "#]],
        ),
        (
            json!({ "retry_schedule": 5 }),
            expect![[r#"
            400 invalid_type /retry_schedule: This must be an array of integers
        "#]],
        ),
        (
            json!({ "ordering": null }),
            expect![[r#"
            400 invalid_type /ordering: This must be a string
        "#]],
        ),
        (
            json!({ "channels": (0..11).map(|n| format!("c{n}")).collect::<Vec<_>>() }),
            expect![[r#"
            400 too_many_items /channels: There may be at most 10
        "#]],
        ),
        (
            json!({ "headers": (0..21).map(|n| (format!("x-{n}"), json!("v"))).collect::<serde_json::Map<_, _>>() }),
            expect![[r#"
                400 too_many_items /headers: There may be at most 20
            "#]],
        ),
        (
            json!({ "headers": { "X-Shop": "a", "x-shop": "b" } }),
            expect![[r#"
            400 duplicate_item /headers/x-shop: This occurs twice
        "#]],
        ),
        (
            json!({ "headers": { "x".repeat(65): "a" } }),
            expect![[r#"
            400 header_not_allowed /headers/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: The name of a header has 1 to 64 characters of A-Z a-z 0-9 ! # $ % & ' * + - . ^ _ ` | ~
        "#]],
        ),
        (
            json!({ "headers": { "x-long": "v".repeat(1025) } }),
            expect![[r#"
            400 invalid_parameter /headers/x-long: This must be 1 to 1,024 printable ASCII characters, none of the outer ones a space
        "#]],
        ),
    ] {
        let mut body = setting.clone();
        body["url"] = json!("https://example.com/a");
        body["events"] = json!(["*"]);
        let created = app.post(PATH, body).await.check(expected);
        let path = create(&app, json!({ "url": "https://example.com/a" })).await;
        let problems = |body: &str| {
            let body: Value = serde_json::from_str(body).expect("it is JSON");
            body["errors"].as_array().unwrap().iter().map(|error| error["detail"].clone()).collect::<Vec<_>>()
        };
        let updated = app.patch(&path, setting).await.assert(400);
        assert_eq!(problems(&updated.body), problems(&created.body));
        assert_eq!(app.delete(&path).await.status, 204);
    }
}

#[tokio::test]
async fn the_values_of_headers_are_in_no_answer() {
    let app = TestApp::start().await;
    let headers = json!({ "X-Shop": "hush-hush", "Authorization": "Bearer hush-hush" });
    let body = json!({ "url": TEST_RECEIVER, "events": ["*"], "headers": headers });
    let mut answers = Vec::new();
    for _ in 0..2 {
        // The second one is the remembered answer.
        answers.push(app.post(PATH, body.clone()).header("idempotency-key", "k").await.assert(201));
    }
    let path = answers[0].header("location").unwrap().to_owned();
    answers.push(app.get(&path).await);
    answers.push(app.get(PATH).await);
    answers.push(app.patch(&path, json!({ "headers": { "X-Shop": "hush-hush 2", "authorization": "***" } })).await);
    answers.push(app.call(Method::POST, &format!("{path}/rotate-secret")).await);
    answers.push(app.call(Method::POST, &format!("{path}/test")).await);
    let event = app.post("/v1/events", json!({ "type": "order.paid", "data": {} })).await.assert(202).id();
    let event = format!("/v1/events/{event}");
    let delivered = app.wait_for(&event, |event| event["data"]["attributes"]["state"] == "delivered").await;
    let delivery = delivered.json()["data"]["attributes"]["deliveries"][0]["id"].as_str().unwrap().to_owned();
    let attempted = app.get(&format!("/v1/deliveries/{delivery}")).await;
    let sent = attempted.json()["data"]["attributes"]["attempts"][0]["request"]["headers"].clone();
    for name in ["x-shop", "authorization"] {
        let header = sent.as_array().unwrap().iter().find(|header| header["name"] == name);
        assert_eq!(header.map(|header| &header["value"]), Some(&json!("***")), "{sent}");
    }
    answers.push(attempted);
    for answer in answers {
        assert!(answer.status.is_success());
        assert!(!answer.body.contains("hush"), "{}", answer.body);
    }
}

#[tokio::test]
async fn another_host_gets_no_headers_that_were_not_sent_for_it() {
    let app = TestApp::start().await;
    let headers = json!({ "x-shop": "1", "x-key": "2" });
    let stars = json!({ "x-shop": "***", "x-key": "***" });
    for (change, expected) in [
        (json!({ "url": "https://example.com/other?path" }), &stars),
        (json!({ "url": "https://EXAMPLE.com:443/" }), &stars),
        (json!({ "url": "https://example.org/a" }), &json!({})),
        (json!({ "url": "https://example.com:8443/a" }), &json!({})),
        (json!({ "url": "https://example.org/a", "headers": { "x-shop": "3" } }), &json!({ "x-shop": "***" })),
        (json!({ "headers": { "X-Key": "***", "x-new": "4" } }), &json!({ "x-key": "***", "x-new": "***" })),
    ] {
        let path = create(&app, json!({ "url": "https://example.com/a", "headers": headers })).await;
        let changed = app.patch(&path, change.clone()).await.assert(200).json();
        assert_eq!(&changed["data"]["attributes"]["headers"], expected, "{change}");
    }
    let path = create(&app, json!({ "url": "https://example.com/a", "headers": headers })).await;
    app.patch(&path, json!({ "url": "https://example.org/a", "headers": stars })).await.check(expect![[r#"
        400 invalid_parameter /headers/x-key: This must be the value itself: none is kept
        400 invalid_parameter /headers/x-shop: This must be the value itself: none is kept
    "#]]);
    app.patch(&path, json!({ "headers": { "x-unknown": "***" } })).await.check(expect![[r#"
        400 invalid_parameter /headers/x-unknown: This must be the value itself: none is kept
    "#]]);
    assert_eq!(app.get(&path).await.json()["data"]["attributes"]["headers"], stars);
}
