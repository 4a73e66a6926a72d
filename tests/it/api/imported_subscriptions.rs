//! `POST /v1/webhook-subscriptions` for what another sender had: its secret, profile and ids, tried before it is made.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::app::{TEST_RECEIVER, TestApp};

const PATH: &str = "/v1/webhook-subscriptions";
const SECRET: &str = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210";
const MAREA_ID: &str = "mk_we_0123456789abcdef";
const AGENTMESSAGE_ID: &str = "018f2d0c-7a4c-7f3e-8f1f-3a2b9c1d2e0f";

fn imported() -> Value {
    json!({
        "url": TEST_RECEIVER, "events": ["order.paid"], "secret": SECRET, "profile": "marea",
        "marea_id": MAREA_ID, "agentmessage_id": AGENTMESSAGE_ID,
    })
}

fn with(change: Value) -> Value {
    let mut body = imported();
    for (name, value) in change.as_object().expect("an object") {
        body[name] = value.clone();
    }
    body
}

async fn count(app: &TestApp) -> usize {
    app.get(PATH).await.assert(200).json()["data"].as_array().expect("a list").len()
}

#[tokio::test]
async fn secret_profile_and_ids_of_another_sender_are_kept_and_shown() {
    let app = TestApp::start().await;
    let made = app.post(PATH, imported()).await.assert(201);
    let attributes = &made.json()["data"]["attributes"];
    assert_eq!(attributes["secret"], SECRET);
    assert_eq!(attributes["profile"], "marea");
    assert_eq!(attributes["circuit_breaker"], false, "as the profile has it");
    let read = app.get(&format!("{PATH}/{}", made.id())).await.assert(200).json();
    assert_eq!(read["data"]["attributes"]["marea_id"], MAREA_ID);
    assert_eq!(read["data"]["attributes"]["agentmessage_id"], AGENTMESSAGE_ID);
    // Another tenant's subscription may have the same ids.
    app.post("/v1/tenants", json!({ "name": "Acme", "external_id": "acme" })).await.assert(201);
    app.post(PATH, imported()).header("waxwing-tenant", "acme").await.assert(201);
    // When the first one is gone, its ids are free.
    app.delete(&format!("{PATH}/{}", made.id())).await.assert(204);
    app.post(PATH, imported()).await.assert(201);
}

#[tokio::test]
async fn what_a_real_create_refuses_a_dry_run_refuses_with_the_same_words_and_neither_makes_anything() {
    let app = TestApp::start().await;
    app.post(PATH, imported()).await.assert(201);
    let follows = app.post(PATH, json!({ "url": TEST_RECEIVER, "events": ["*"] })).await.assert(201).json();
    let taken = follows["data"]["attributes"]["marea_id"].clone();
    let mut told = String::new();
    for change in [
        json!({}),
        json!({ "marea_id": "mk_we_1" }),
        json!({ "marea_id": "mk_we_0123456789abcdee" }),
        json!({ "marea_id": taken, "agentmessage_id": "018f2d0c-7a4c-7f3e-8f1f-3a2b9c1d2e00" }),
        json!({ "agentmessage_id": "018f2d0c" }),
        json!({ "profile": "pigeon" }),
        json!({ "profile": "standard" }),
        json!({ "url": "https://10.0.0.1/x", "events": ["order.lost"] }),
    ] {
        let mut body = with(change);
        let real = app.post(PATH, body.clone()).await;
        body["dry_run"] = json!(true);
        let dry = app.post(PATH, body).await;
        let lines = |body: Value| -> Vec<String> {
            let errors = body["errors"].as_array().cloned().unwrap_or_default();
            let line =
                |error: &Value| format!("{} {} {}", error["status"], error["source"]["pointer"], error["detail"]);
            errors.iter().map(line).collect()
        };
        assert_eq!(lines(real.json()), lines(dry.json()));
        told += &(lines(real.json()).join("\n") + "\n");
    }
    assert_eq!(count(&app).await, 2);
    expect![[r#"
        "409" "/marea_id" "Another subscription has this id"
        "400" "/marea_id" "This must be mk_we_ followed by 16 lower-case hexadecimal digits"
        "409" "/agentmessage_id" "Another subscription has this id"
        "409" "/marea_id" "Another subscription has this id"
        "400" "/agentmessage_id" "This must be a UUID"
        "400" "/profile" "This must be 'standard', 'mage', 'marea' or 'agentmessage'"
        "400" "/secret" "A secret of this profile is whsec_ followed by 24 to 64 bytes in base64"
        "400" "/url" "Deliveries to this address are allowed only where the operator of the server opens it"
        "400" "/events/0" "There is no event type 'order.lost'"
    "#]]
    .assert_eq(&told);
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_leaves_ids_and_room_free() {
    let app = TestApp::start().await;
    app.put("/v1/tenants/default", json!({ "subscriptions_max": 1 })).await.assert(200);
    for _ in 0..2 {
        app.post(PATH, with(json!({ "dry_run": true }))).await.check(expect![[r#"
            200
            {
              "meta": {
                "dry_run": true
              }
            }
        "#]]);
    }
    assert_eq!(count(&app).await, 0);
    app.post(PATH, with(json!({ "dry_run": false }))).await.assert(201);
    let next = json!({ "url": TEST_RECEIVER, "events": ["*"], "dry_run": true });
    app.post(PATH, next).await.check(expect![[r#"
        409 limit_exceeded: No more than 1 subscriptions of one tenant are allowed
    "#]]);
}

#[tokio::test]
async fn snippets_have_no_secret_and_the_names_of_the_tenants_headers() {
    let app = TestApp::start().await;
    app.put("/v1/tenants/default", json!({ "header_prefix": "X-Acme-" })).await.assert(200);
    let id = app.post(PATH, imported()).await.assert(201).id();
    let answer = app.get(&format!("{PATH}/{id}/snippets")).await.assert(200);
    assert!(!answer.body.contains(SECRET));
    let snippets = answer.json()["data"]["attributes"]["snippets"].clone();
    let snippets = snippets.as_array().expect("a list");
    let languages: Vec<&str> = snippets.iter().filter_map(|one| one["language"].as_str()).collect();
    assert_eq!(languages, ["node", "python", "go", "ruby", "php", "rust", "csharp", "java"]);
    assert!(snippets.iter().all(|one| one["code"].as_str().is_some_and(|code| code.contains("x-acme-signature"))));
    app.get(&format!("{PATH}/whsub_00000000000000000000000000/snippets")).await.assert(404);
    let key = app.make_key(json!({ "name": "publisher", "preset": "publish_only" })).await;
    app.get(&format!("{PATH}/{id}/snippets")).key(&key).await.assert(403);
}
