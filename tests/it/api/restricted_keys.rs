//! What a key that is restricted to some events and channels sees, makes and changes.

use std::time::Duration;

use expect_test::expect;
use poem::http::Method;
use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp};

/// Two restricted keys of one tenant, and the operator: each with a subscription that is paused, so that nothing leaves.
struct Shops {
    app: TestApp,
    key: String,
    key_id: String,
    own: String,
    others_key: String,
    others: String,
    operators: String,
}

const SHOP: &str = "shop:1";
const OTHER_SHOP: &str = "shop:2";

async fn restricted_key(app: &TestApp, channel: &str) -> (String, String) {
    let body = json!({
        "name": channel, "preset": "full_access", "tenant": "default",
        "allowed_events": ["order.*"], "channels": [channel]
    });
    let made = app.post("/v1/api-keys", body).await.assert(201);
    let attributes = made.json()["data"]["attributes"].clone();
    assert_eq!((&attributes["allowed_events"], &attributes["channels"]), (&json!(["order.*"]), &json!([channel])));
    (attributes["secret"].as_str().unwrap().to_owned(), made.id())
}

fn hook(name: &str) -> Value {
    json!({ "url": format!("https://example.com/{name}"), "events": ["*"], "is_active": false })
}

impl Shops {
    async fn open() -> Self {
        let app = TestApp::start().await;
        app.post("/v1/event-types", json!({ "name": "user.left" })).await.assert(201);
        let (key, key_id) = restricted_key(&app, SHOP).await;
        let (others_key, _) = restricted_key(&app, OTHER_SHOP).await;
        let make = async |key: Option<&str>, name| {
            let call = app.post("/v1/webhook-subscriptions", hook(name));
            let call = match key {
                Some(key) => call.key(key),
                None => call,
            };
            call.await.assert(201).id()
        };
        let own = make(Some(&key), "own").await;
        let others = make(Some(&others_key), "others").await;
        let operators = make(None, "operators").await;
        Self { app, key, key_id, own, others_key, others, operators }
    }

    /// Its id.
    async fn publish(&self, event_type: &str, channels: &[&str]) -> String {
        let event = json!({ "type": event_type, "data": {}, "channels": channels });
        self.app.post("/v1/events", event).await.assert(202).id()
    }

    async fn get(&self, path: &str) -> Answer {
        self.app.get(path).key(&self.key).await
    }

    /// The subscriptions that got an event, as the operator sees it.
    async fn receivers(&self, event: &str) -> Vec<String> {
        let shown = self.app.get(&format!("/v1/events/{event}")).await.assert(200).json();
        let deliveries = shown["data"]["attributes"]["deliveries"].as_array().unwrap().clone();
        deliveries.iter().map(|one| one["subscription_id"].as_str().unwrap().to_owned()).collect()
    }

    /// The id of the event's delivery to a subscription, as the operator sees it.
    async fn delivery(&self, event: &str, subscription: &str) -> String {
        let shown = self.app.get(&format!("/v1/events/{event}")).await.assert(200).json();
        let deliveries = shown["data"]["attributes"]["deliveries"].as_array().unwrap().clone();
        let of_it = deliveries.iter().find(|one| one["subscription_id"] == subscription).unwrap();
        of_it["id"].as_str().unwrap().to_owned()
    }
}

fn ids(list: &Value) -> Vec<String> {
    list["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_another_key_or_the_operator_made_is_not_found_by_any_operation() {
    let shops = Shops::open().await;
    let event = shops.publish("order.paid", &[SHOP, OTHER_SHOP]).await;
    let elsewhere = shops.publish("order.paid", &[OTHER_SHOP]).await;
    let all = json!({ "all": true });
    let others_job = shops.app.post("/v1/deliveries/retry", all).key(&shops.others_key).await.assert(202).id();
    let mut foreign = Vec::new();
    for subscription in [&shops.others, &shops.operators] {
        let path = format!("/v1/webhook-subscriptions/{subscription}");
        foreign.extend([
            (Method::GET, path.clone(), None),
            (Method::PUT, path.clone(), Some(json!({ "description": "mine" }))),
            (Method::PATCH, path.clone(), Some(json!({ "description": "mine" }))),
            (Method::DELETE, path.clone(), None),
            (Method::GET, format!("{path}/stats"), None),
            (Method::POST, format!("{path}/rotate-secret"), Some(json!({}))),
            (Method::POST, format!("{path}/test"), Some(json!({}))),
            (Method::POST, format!("{path}/recover"), Some(json!({ "since": "2026-02-18T00:00:00Z" }))),
        ]);
        let delivery = format!("/v1/deliveries/{}", shops.delivery(&event, subscription).await);
        foreign.extend([
            (Method::GET, delivery.clone(), None),
            (Method::POST, format!("{delivery}/retry"), Some(json!({}))),
            (Method::POST, format!("{delivery}/cancel"), Some(json!({}))),
        ]);
    }
    foreign.extend([
        (Method::GET, format!("/v1/events/{elsewhere}"), None),
        (Method::POST, format!("/v1/events/{elsewhere}/redeliver"), Some(json!({}))),
        (Method::GET, format!("/v1/jobs/{others_job}"), None),
        (Method::POST, format!("/v1/jobs/{others_job}/cancel"), Some(json!({}))),
    ]);
    for (method, path, body) in foreign {
        let call = || {
            let call = shops.app.call(method.clone(), &path);
            body.iter().fold(call, |call, body| call.json(body))
        };
        let refused = call().key(&shops.key).await.assert(404).json();
        assert_eq!(refused["errors"][0]["code"], "not_found", "{method} {path}");
        // It is not the path that is wrong.
        if method == Method::GET {
            call().await.assert(200);
        }
    }
    let named = json!({ "subscription_ids": [shops.others] });
    shops.app.post(&format!("/v1/events/{event}/redeliver"), named).key(&shops.key).await.check(expect![[r#"
        400 invalid_parameter /subscription_ids/0: This must be the id of a subscription that exists
    "#]]);
    for subscription in [&shops.others, &shops.operators] {
        let untouched = shops.app.get(&format!("/v1/webhook-subscriptions/{subscription}")).await.assert(200).json();
        assert_eq!(untouched["data"]["attributes"]["description"], Value::Null);
        assert_eq!(untouched["data"]["attributes"]["secret_version"], 1);
    }
}

#[tokio::test]
async fn lists_hold_only_its_own() {
    let shops = Shops::open().await;
    let both = shops.publish("order.paid", &[SHOP, OTHER_SHOP]).await;
    shops.publish("order.paid", &[OTHER_SHOP]).await;
    let list = shops.get("/v1/webhook-subscriptions").await.assert(200).json();
    assert_eq!(ids(&list), [shops.own.as_str()]);
    assert_eq!(list["meta"]["total"], 1);
    assert_eq!(list["data"][0]["attributes"]["owner"], "key");
    assert_eq!(list["data"][0]["attributes"]["channels"], json!([SHOP]));
    assert_eq!(shops.app.get("/v1/webhook-subscriptions").await.json()["meta"]["total"], 3);
    assert_eq!(
        shops.app.get(&format!("/v1/webhook-subscriptions/{}", shops.operators)).await.json()["data"]["attributes"]["owner"],
        "tenant"
    );

    shops.app.wait_for("/v1/events", |list| list["data"].as_array().is_some_and(|rows| rows.len() == 2)).await;
    let list = shops.get("/v1/events").await.assert(200).json();
    assert_eq!(ids(&list), [both.as_str()]);
    assert_eq!(list["data"][0]["attributes"]["deliveries_count"], 1, "of the three that it made");
    let shown = shops.get(&format!("/v1/events/{both}")).await.assert(200).json();
    let deliveries = shown["data"]["attributes"]["deliveries"].as_array().unwrap();
    assert_eq!((deliveries.len(), &deliveries[0]["subscription_id"]), (1, &json!(shops.own)));

    let wanted = shops.delivery(&both, &shops.own).await;
    shops.app.wait_for("/v1/deliveries", |list| list["data"].as_array().is_some_and(|rows| rows.len() == 5)).await;
    assert_eq!(ids(&shops.get("/v1/deliveries").await.assert(200).json()), [wanted.as_str()]);
    for filter in [format!("filter[subscription_id]={}", shops.others), "filter[state]=exhausted".to_owned()] {
        assert_eq!(ids(&shops.get(&format!("/v1/deliveries?{filter}")).await.assert(200).json()), [] as [String; 0]);
    }
    assert_eq!(ids(&shops.get("/v1/deliveries?filter[state]=held").await.assert(200).json()), [wanted]);
    assert_eq!(ids(&shops.get("/v1/api-keys").await.assert(200).json()), [shops.key_id.as_str()]);
}

#[tokio::test]
async fn a_job_concerns_only_its_own_deliveries() {
    let shops = Shops::open().await;
    let event = shops.publish("order.paid", &[SHOP, OTHER_SHOP]).await;
    shops.app.wait_for("/v1/deliveries", |list| list["data"].as_array().is_some_and(|rows| rows.len() == 3)).await;
    let dry = shops.app.post("/v1/deliveries/cancel", json!({ "all": true, "dry_run": true })).key(&shops.key).await;
    assert_eq!(dry.assert(200).json()["meta"]["matched"], 1);
    let by_event = json!({ "filter": { "event_id": event } });
    let job = shops.app.post("/v1/deliveries/cancel", by_event).key(&shops.key).await.assert(202).id();
    let job = shops.app.wait_for(&format!("/v1/jobs/{job}"), |job| job["data"]["attributes"]["state"] == "done").await;
    assert_eq!(job.json()["data"]["attributes"]["matched"], 1);
    for (subscription, state) in [(&shops.own, "canceled"), (&shops.others, "held"), (&shops.operators, "held")] {
        let delivery = shops.delivery(&event, subscription).await;
        let shown = shops.app.get(&format!("/v1/deliveries/{delivery}")).await.json();
        assert_eq!(shown["data"]["attributes"]["state"], state);
    }
    shops.app.post("/v1/deliveries/cancel", json!({ "all": true })).await.assert(202);
    assert_eq!(ids(&shops.get("/v1/jobs").await.assert(200).json()), [job.id()]);
    assert_eq!(shops.app.get("/v1/jobs").await.json()["meta"]["total"], 2);
}

#[tokio::test]
async fn what_it_makes_lies_within_its_restriction() {
    let shops = Shops::open().await;
    let own = format!("/v1/webhook-subscriptions/{}", shops.own);
    let with = |members: Value| {
        let mut body = hook("more");
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        body
    };
    for (body, expected) in [
        (
            with(json!({ "events": ["order.paid", "user.left"], "channels": [SHOP, OTHER_SHOP] })),
            expect![[r#"
            400 event_not_allowed /events/1: 'user.left' is beyond what the API key is restricted to
            400 invalid_parameter /channels/1: This is not a channel of the restricted API key
        "#]],
        ),
        (
            with(json!({ "events": ["user.*", "order.*"] })),
            expect![[r#"
            400 event_not_allowed /events/0: 'user.*' is beyond what the API key is restricted to
        "#]],
        ),
    ] {
        let refused = shops.app.post("/v1/webhook-subscriptions", body.clone()).key(&shops.key).await;
        refused.check(expected);
        // Neither can the operator widen it.
        let events = json!({ "events": body["events"] });
        shops.app.patch(&own, events.clone()).await.assert(400);
        shops.app.patch(&own, events).key(&shops.key).await.assert(400);
    }
    for channels in [json!(null), json!([]), json!([SHOP])] {
        for key in [&shops.key, crate::support::app::ADMIN_KEY] {
            let changed = shops.app.patch(&own, json!({ "channels": channels })).key(key).await.assert(200).json();
            assert_eq!(changed["data"]["attributes"]["channels"], json!([SHOP]), "{channels}");
        }
    }
    let test = json!({ "event_type": "user.left" });
    shops.app.post(&format!("{own}/test"), test).key(&shops.key).await.check(expect![[r#"
        400 event_not_allowed /event_type: 'user.left' is beyond what the API key is restricted to
    "#]]);
}

#[tokio::test]
async fn what_it_publishes_has_its_channels_and_its_types() {
    let shops = Shops::open().await;
    for (members, channels) in
        [(json!({}), vec![SHOP]), (json!({ "channels": [] }), vec![SHOP]), (json!({ "channels": [SHOP] }), vec![SHOP])]
    {
        let mut event = json!({ "type": "order.paid", "data": {} });
        event.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let made = shops.app.post("/v1/events", event.clone()).key(&shops.key).await.assert(202);
        assert_eq!(made.json()["data"]["attributes"]["channels"], json!(channels));
        assert_eq!(shops.receivers(&made.id()).await, [shops.own.clone(), shops.operators.clone()]);
        let batch = shops.app.post("/v1/events/batch", json!({ "events": [event] })).key(&shops.key).await.assert(200);
        assert_eq!(batch.json()["data"][0]["attributes"]["channels"], json!(channels));
    }
    let event = json!({ "type": "user.left", "data": {}, "channels": [SHOP, OTHER_SHOP] });
    shops.app.post("/v1/events", event).key(&shops.key).await.check(expect![[r#"
        400 event_not_allowed /type: 'user.left' is beyond what the API key is restricted to
        400 invalid_parameter /channels/1: This is not a channel of the restricted API key
    "#]]);
}

#[tokio::test]
async fn its_subscriptions_get_only_what_is_within_also_when_it_is_revoked() {
    let shops = Shops::open().await;
    let cases: [(&str, &[&str], &[&String]); 5] = [
        ("order.paid", &[SHOP], &[&shops.own, &shops.operators]),
        ("order.paid", &[SHOP, OTHER_SHOP], &[&shops.own, &shops.others, &shops.operators]),
        ("order.paid", &[], &[&shops.operators]),
        ("user.left", &[SHOP], &[&shops.operators]),
        ("order.sent", &["shop:3"], &[&shops.operators]),
    ];
    for is_revoked in [false, true] {
        if is_revoked {
            shops.app.delete(&format!("/v1/api-keys/{}", shops.key_id)).await.assert(204);
            shops.get("/v1/webhook-subscriptions").await.assert(401);
        }
        for (event_type, channels, expected) in &cases {
            let event = shops.publish(event_type, channels).await;
            let expected: Vec<String> = expected.iter().map(|id| (*id).clone()).collect();
            assert_eq!(shops.receivers(&event).await, expected, "{event_type} {channels:?} {is_revoked}");
        }
    }
}

#[tokio::test]
async fn an_event_goes_again_only_to_whom_may_have_it() {
    let shops = Shops::open().await;
    let event = shops.publish("order.paid", &[SHOP, OTHER_SHOP]).await;
    let path = format!("/v1/events/{event}/redeliver");
    let again = shops.app.post(&path, json!({})).key(&shops.key).await.assert(202).json();
    assert_eq!(again["meta"]["deliveries_made"], 1);
    assert_eq!(again["data"]["attributes"]["deliveries_count"], 2, "its own ones");
    let anew = json!({ "subscription_ids": [shops.own], "as_new_event": true });
    let anew = shops.app.post(&path, anew).key(&shops.key).await.assert(202).id();
    assert_eq!(shops.receivers(&anew).await, [shops.own.as_str()]);
    // Nor does the operator get it past the restriction.
    let beyond = shops.publish("user.left", &[SHOP]).await;
    let named = json!({ "subscription_ids": [shops.operators, shops.own] });
    shops.app.post(&format!("/v1/events/{beyond}/redeliver"), named).await.check(expect![[r#"
        400 event_not_allowed: A named subscription was made by a restricted API key, which may not have this event
    "#]]);
    assert_eq!(shops.receivers(&beyond).await, [shops.operators.as_str()]);
}

#[tokio::test]
async fn figures_are_those_of_its_own_subscriptions() {
    let shops = Shops::open().await;
    shops.publish("order.paid", &[SHOP, OTHER_SHOP]).await;
    let created = |stats: &Value| -> u64 {
        let points = stats["data"]["attributes"]["points"].as_array().unwrap();
        points.iter().map(|point| point["deliveries"]["created"].as_u64().unwrap()).sum()
    };
    let path = "/v1/stats?resolution=minute";
    shops.app.wait_for(path, |stats| created(stats) == 3).await;
    let own = shops.get(path).await.assert(200).json();
    assert_eq!(created(&own), 1);
    assert_eq!(own["data"]["attributes"]["points"][59]["events_published"], Value::Null);
    assert_eq!(
        created(&shops.get(&format!("/v1/webhook-subscriptions/{}/stats", shops.own)).await.assert(200).json()),
        1
    );
    shops.get("/v1/stats?scope=instance").await.assert(403);
}

#[tokio::test]
async fn its_history_stays_readable_when_its_subscription_is_deleted() {
    let shops = Shops::open().await;
    let event = shops.publish("order.paid", &[SHOP, OTHER_SHOP]).await;
    let delivery = shops.delivery(&event, &shops.own).await;
    shops.app.delete(&format!("/v1/webhook-subscriptions/{}", shops.own)).key(&shops.key).await.assert(204);
    let shown = shops.get(&format!("/v1/deliveries/{delivery}")).await.assert(200).json();
    assert_eq!(shown["data"]["attributes"]["reason"], "subscription_deleted");
    assert_eq!(
        shops.get(&format!("/v1/events/{event}")).await.assert(200).json()["data"]["attributes"]["deliveries_count"],
        1
    );
    let others = shops.delivery(&event, &shops.others).await;
    shops.get(&format!("/v1/deliveries/{others}")).await.assert(404);
}

#[tokio::test]
async fn a_restricted_key_makes_only_keys_within_its_restriction() {
    let shops = Shops::open().await;
    for (members, expected) in [
        (json!({}), "201"),
        (json!({ "allowed_events": ["order.paid"] }), "201"),
        (json!({ "allowed_events": ["order.*", "order.paid"], "channels": [SHOP] }), "201"),
        (json!({ "kind": "marea_user" }), "201"),
        (json!({ "allowed_events": ["*"] }), "/allowed_events"),
        (json!({ "allowed_events": ["order.*", "user.left"] }), "/allowed_events"),
        (json!({ "allowed_events": null }), "/allowed_events"),
        (json!({ "allowed_events": [] }), "/allowed_events"),
        (json!({ "channels": null }), "/channels"),
        (json!({ "channels": [SHOP, OTHER_SHOP] }), "/channels"),
        (json!({ "channels": [OTHER_SHOP] }), "/channels"),
    ] {
        let mut body = json!({ "name": "child", "preset": "subscriber" });
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let answer = shops.app.post("/v1/api-keys", body).key(&shops.key).await;
        if expected == "201" {
            let made = answer.assert(201).json()["data"]["attributes"].clone();
            assert_eq!(made["channels"], json!([SHOP]));
            let child = made["secret"].as_str().unwrap();
            // What its maker made is not its own.
            let path = format!("/v1/webhook-subscriptions/{}", shops.own);
            shops.app.get(&path).key(child).await.assert(404);
        } else {
            let refused = answer.assert(403).json();
            assert_eq!(refused["errors"][0]["source"]["pointer"], expected, "{members}");
        }
        shops.app.advance(Duration::from_secs(1));
    }
    // It sees those that are held to the same, and no others.
    assert_eq!(shops.get("/v1/api-keys").await.assert(200).json()["meta"]["total"], 5);
    let wide = shops.app.post("/v1/api-keys", json!({ "name": "wide", "preset": "subscriber" })).await.assert(201).id();
    shops.app.delete(&format!("/v1/api-keys/{wide}")).key(&shops.key).await.assert(404);
}

#[tokio::test]
async fn a_key_of_each_kind_works_at_the_native_api() {
    let app = TestApp::start().await;
    for (kind, prefix, length) in [
        ("native", "ww_", 41),
        ("marea_developer", "mk_dev_", 31),
        ("marea_user", "mk_user_", 32),
        ("agentmessage", "am_live_", 40),
    ] {
        let body = json!({ "name": kind, "kind": kind, "preset": "subscriber", "channels": [SHOP] });
        let made = app.post("/v1/api-keys", body).await.assert(201).json()["data"]["attributes"].clone();
        assert_eq!(made["kind"], kind);
        let text = made["secret"].as_str().unwrap();
        assert!(text.starts_with(prefix) && text.len() == length, "{text}");
        let subscription = app.post("/v1/webhook-subscriptions", hook(kind)).key(text).await.assert(201).json();
        assert_eq!(subscription["data"]["attributes"]["channels"], json!([SHOP]));
        app.post("/v1/events", json!({ "type": "order.paid", "data": {} })).key(text).await.assert(403);
        let typo = format!("{}0", &text[..text.len() - 1]);
        assert!(typo == text || app.get("/v1/events").key(&typo).await.assert(401).body.contains("invalid_api_key"));
    }
}

#[tokio::test]
async fn the_text_of_an_existing_key_is_imported_and_never_shown() {
    let app = TestApp::start().await;
    let text = "sk_live_51Hx8vK2eZvKYlo2C";
    let body = |text: &str| json!({ "name": "old", "preset": "subscriber", "secret": text });
    let made = app.post("/v1/api-keys", body(text)).header("idempotency-key", "i").await.assert(201);
    let again = app.post("/v1/api-keys", body(text)).header("idempotency-key", "i").await.assert(201);
    assert_eq!(again.body, made.body);
    let shown = app.get(&format!("/v1/api-keys/{}", made.id())).await.assert(200);
    for answer in [&made, &shown] {
        assert!(!answer.body.contains(text) && answer.json()["data"]["attributes"]["secret"].is_null());
    }
    app.get("/v1/webhook-subscriptions").key(text).await.assert(200);
    let manager = app.make_key(json!({ "name": "m", "preset": "full_access", "tenant": "default" })).await;
    app.post("/v1/api-keys", body("sk_live_0123456789abcdefgh")).key(&manager).await.check(expect![[r#"
        403 missing_scope: This concerns the whole instance, and this API key is bound to one tenant
    "#]]);
    app.delete(&format!("/v1/api-keys/{}", made.id())).await.assert(204);
    let refused = [
        (
            body(text),
            expect![[r#"
            409 already_exists /secret: There is a key with this text already
        "#]],
        ),
        (
            body(crate::support::app::ADMIN_KEY),
            expect![[r#"
            409 already_exists /secret: There is a key with this text already
        "#]],
        ),
        (
            body("short"),
            expect![[r#"
            400 invalid_parameter /secret: This must be 24 to 256 visible ASCII characters, at least 8 of them different
        "#]],
        ),
        (
            body("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
            expect![[r#"
            400 invalid_parameter /secret: This must be 24 to 256 visible ASCII characters, at least 8 of them different
        "#]],
        ),
        (
            body("ww_0123456789abcdefghijklmnopqrstuvwxyz01"),
            expect![[r#"
            400 invalid_parameter /secret: This must be a text with the right checksum, since it begins as keys of Waxwing do
        "#]],
        ),
        (
            json!({ "name": "old", "preset": "subscriber", "kind": "agentmessage", "secret": text }),
            expect![[r#"
            400 invalid_parameter /secret: This must be a text that begins with am_live_, as this kind does
        "#]],
        ),
    ];
    for (body, expected) in refused {
        app.post("/v1/api-keys", body).await.check(expected);
    }
}
