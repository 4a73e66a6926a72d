//! What Waxwing itself has to say, as a receiver of tenant `system` gets it and as the document describes it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use waxwing::app::Vigil;
use waxwing::clock::Clock;
use waxwing::domain::id::BackupId;
use waxwing::domain::operational::{News, TYPES};
use waxwing::http::{Certificate, Certificates};

use crate::support::app::{TEST_RECEIVER, TestApp};
use crate::support::https::{Issuer, Life};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn listening() -> TestApp {
    let app = TestApp::start().await;
    let body = json!({ "url": TEST_RECEIVER, "events": ["*"] });
    app.post("/v1/webhook-subscriptions", body).header("waxwing-tenant", "system").await.assert(201);
    app
}

/// What came, once it is so much. Each fits what the document says of its type.
async fn told(app: &TestApp, count: usize) -> Vec<Value> {
    while app.received().len() < count {
        // The dispatcher waits for its clock, which nobody else moves.
        app.advance(Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
    let document = app.get("/openapi.json").without_key().await.assert(200).json();
    let read = |body: &[u8]| serde_json::from_slice::<Value>(body).expect("JSON");
    let told: Vec<Value> = app.received().iter().map(|received| read(&received.body)).collect();
    for one in &told {
        let name = one["type"].as_str().expect("a type");
        let schema = &document["webhooks"][name]["post"]["requestBody"]["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{name} is not described");
        let errors: Vec<String> = jsonschema::validator_for(schema)
            .expect("a schema")
            .iter_errors(one)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:?}: {one}");
        let described: BTreeSet<&String> =
            schema["properties"]["data"]["properties"].as_object().unwrap().keys().collect();
        let said: BTreeSet<&String> = one["data"].as_object().unwrap().keys().collect();
        assert_eq!(said, described, "{name}");
    }
    told
}

#[tokio::test]
async fn every_type_is_described_and_its_example_is_one_of_it() {
    let app = TestApp::start().await;
    let document = app.get("/openapi.json").without_key().await.assert(200).json();
    // Somebody else's type of the same name is another one, archived or not.
    app.post("/v1/event-types", json!({ "name": TYPES[0] })).await.assert(201);
    app.call(http::Method::POST, &format!("/v1/event-types/{}/archive", TYPES[0])).await.assert(200);
    for name in TYPES {
        let schema = &document["webhooks"][name]["post"]["requestBody"]["content"]["application/json"]["schema"];
        let validator = jsonschema::validator_for(schema).expect("a schema");
        assert!(schema.is_object() && validator.is_valid(&schema["examples"][0]), "{name}: {schema}");
        let body = json!({ "url": format!("{TEST_RECEIVER}-{name}"), "events": [name] });
        app.post("/v1/webhook-subscriptions", body).header("waxwing-tenant", "system").await.assert(201);
    }
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_told_of() {
    let app = listening().await;
    app.put("/v1/test-receiver/receivers/gone", json!({ "behaviour": "gone" })).await.assert(200);
    let body = json!({ "url": "https://test-receiver.invalid/gone", "events": ["order.paid"] });
    let subscription = app.post("/v1/webhook-subscriptions", body).await.assert(201).id();
    app.post("/v1/events", json!({ "type": "order.paid", "data": 1 })).await.assert(202);
    let told = told(&app, 1).await;
    assert_eq!(
        (&told[0]["type"], &told[0]["data"]["subscription_id"]),
        (&json!("subscription.disabled"), &json!(subscription))
    );
    assert_eq!(told[0]["data"]["disabled_reason"], "gone");
}

#[tokio::test]
async fn a_clock_that_was_set_is_told_of_once() {
    let app = listening().await;
    let mut vigil = Vigil::new(app.store.clone(), app.dispatch.clone(), Clock::Manual(app.clock.clone()), None);
    app.advance(Duration::from_secs(2 * 60 * 60));
    vigil.look().await;
    let first = told(&app, 1).await;
    assert_eq!(first[0]["type"], "clock.jumped");
    // How long the test took is part of it.
    assert!((7000.0..=7200.0).contains(&first[0]["data"]["by_seconds"].as_f64().unwrap()), "{}", first[0]);
}

#[tokio::test]
async fn a_certificate_that_nobody_renews_is_told_of_a_few_times_and_not_again_after_a_restart() {
    let app = listening().await;
    let now = OffsetDateTime::from_unix_timestamp(app.clock.now().as_seconds()).expect("a moment");
    let life = Life { begins: now - DAY * 80, ends: now + DAY * 10 };
    let pair = Issuer::new().pair_with(&["hooks.example.com"], Some(life));
    let read = Certificate::read((pair.certificate.as_bytes(), "cert.pem"), (pair.key.as_bytes(), "key.pem"));
    let certificates = Arc::new(Certificates::own(read.expect("it is one")));
    // In these tests time passes when the clock is moved: jumps of it are not what is looked at.
    let vigil = || {
        let clock = Clock::Manual(app.clock.clone());
        Vigil::new(app.store.clone(), app.dispatch.clone(), clock, Some(certificates.clone()))
    };
    let mut looking = vigil();
    for days in [0, 0, 4, 4, 1, 1, 3] {
        app.advance(DAY * days);
        looking.look().await;
        // A restart.
        looking = vigil();
        looking.look().await;
    }
    let last = News::BackupFailed { id: BackupId::from_u128(1), error: "the last news".to_owned() };
    app.store.tell(last).await.expect("it is kept");
    let all = loop {
        let all = app.get("/v1/events?page[size]=100").header("waxwing-tenant", "system").await.assert(200).json();
        if all["data"][0]["attributes"]["type"] == "backup.failed" {
            break all["data"].as_array().expect("a list").clone();
        }
        // It is in its list a moment later.
        tokio::task::yield_now().await;
    };
    let told = told(&app, all.len()).await;
    let mut about: Vec<String> = told
        .iter()
        .filter(|one| one["type"].as_str().is_some_and(|name| name.starts_with("certificate.")))
        .map(|one| format!("{} {}", one["type"].as_str().expect("a word"), one["data"]["within_days"]))
        .collect();
    about.sort();
    let expiring = ["1", "14", "3", "7"].map(|days| format!("certificate.expiring {days}"));
    assert_eq!(about, [&["certificate.expired null".to_owned()][..], &expiring].concat());
}
