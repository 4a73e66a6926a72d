//! `/v1/stream`

use std::time::Duration;

use expect_test::expect;
use poem::http::Method;
use poem::{Endpoint, Request};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use waxwing::dispatch::feed::ITEMS_MAX;
use waxwing::http::{Defaults, Settings};

use crate::support::app::{ADMIN_KEY, TEST_RECEIVER, TestApp};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);
const EVENT: &str = "order.paid";

/// Somebody who watches the stream of an app.
struct Watcher<'a> {
    app: &'a TestApp,
    lines: Lines<BufReader<Box<dyn AsyncRead + Send + Unpin>>>,
}

#[derive(Debug)]
struct Message {
    id: u64,
    event: String,
    data: Value,
}

impl<'a> Watcher<'a> {
    async fn of(app: &'a TestApp, query: &str, key: &str, headers: &[(&str, &str)]) -> Self {
        let mut request =
            Request::builder().uri_str(format!("/v1/stream?{query}")).header("authorization", key.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = app.endpoint.get_response(request.finish()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let answer: Box<dyn AsyncRead + Send + Unpin> = Box::new(response.take_body().into_async_read());
        let mut watcher = Self { app, lines: BufReader::new(answer).lines() };
        assert_eq!(watcher.line().await.as_deref(), Some(":"), "it says at once that it works");
        assert_eq!(watcher.line().await.as_deref(), Some(""));
        watcher
    }

    async fn all(app: &'a TestApp) -> Self {
        Self::of(app, "", ADMIN_KEY, &[]).await
    }

    /// The next line; none at the end.
    async fn line(&mut self) -> Option<String> {
        let begun = std::time::Instant::now();
        loop {
            let line = tokio::time::timeout(Duration::from_millis(1), self.lines.next_line()).await;
            match line {
                Ok(line) => return line.expect("the body does not fail"),
                // The dispatcher waits for its clock, which nobody else moves.
                Err(_) => self.app.advance(Duration::from_millis(5)),
            }
            assert!(begun.elapsed() < PATIENCE, "nothing comes");
        }
    }

    /// The next message, past keep-alives; none at the end.
    async fn next(&mut self) -> Option<Message> {
        let mut parts = Vec::new();
        let begun = std::time::Instant::now();
        loop {
            let line = self.line().await?;
            assert!(begun.elapsed() < PATIENCE, "nothing comes but {line:?}");
            match line.split_once(": ") {
                Some((_, value)) => parts.push(value.to_owned()),
                None if parts.len() == 3 => break,
                None => {}
            }
        }
        let [id, event, data] = <[String; 3]>::try_from(parts).unwrap();
        Some(Message { id: id.parse().unwrap(), event, data: serde_json::from_str(&data).unwrap() })
    }

    /// The next message that is not about a subscription: those made by the test may come late.
    async fn next_delivery(&mut self) -> Option<Message> {
        loop {
            let message = self.next().await?;
            if message.event != "subscription.changed" {
                return Some(message);
            }
        }
    }

    async fn next_of(&mut self, event: &str) -> Message {
        loop {
            let message = self.next().await.unwrap_or_else(|| panic!("the end came before {event}"));
            if message.event == event {
                return message;
            }
        }
    }
}

async fn subscribe(app: &TestApp, body: Value) -> String {
    let mut subscription = json!({ "url": TEST_RECEIVER, "events": ["*"] });
    subscription.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    app.post("/v1/webhook-subscriptions", subscription).await.assert(201).id()
}

async fn publish(app: &TestApp, event_type: &str) -> String {
    app.post("/v1/events", json!({ "type": event_type, "data": 1 })).await.assert(202).id()
}

async fn start_with_keep_alive(stream_keep_alive: Duration) -> TestApp {
    let rate_limits = Defaults { management: None, publish: None };
    let app = TestApp::start_with(Settings { rate_limits, stream_keep_alive, ..Settings::default() }).await;
    app.post("/v1/event-types", json!({ "name": EVENT })).await.assert(201);
    app
}

#[tokio::test]
async fn a_restricted_key_sees_what_concerns_its_own_subscriptions() {
    let app = TestApp::start().await;
    let key = app
        .make_key(json!({ "name": "k", "preset": "full_access", "tenant": "default", "allowed_events": ["order.*"] }))
        .await;
    let make = async |name: &str, key: &str| {
        let body = json!({ "url": format!("https://example.com/{name}"), "events": ["*"], "is_active": false });
        app.post("/v1/webhook-subscriptions", body).key(key).await.assert(201).id()
    };
    let before = make("before", &key).await;
    make("others", ADMIN_KEY).await;
    let mut watcher = Watcher::of(&app, "", &key, &[]).await;
    let after = make("after", &key).await;
    publish(&app, EVENT).await;
    let mut made = Vec::new();
    while made.len() < 2 {
        let message = watcher.next().await.unwrap();
        let subscription = message.data["subscription_id"].as_str().unwrap().to_owned();
        assert!([&before, &after].contains(&&subscription), "{message:?}");
        if message.event == "delivery.created" {
            made.push(subscription);
        }
    }
    made.sort();
    assert_eq!(made, [before, after]);
}

/// Somebody deleted a subscription while its owner was away, and the stream said nothing of what became of its deliveries.
#[tokio::test]
async fn a_restricted_key_that_comes_back_sees_what_became_of_its_deleted_subscription() {
    let app = TestApp::start().await;
    let key = app
        .make_key(json!({ "name": "k", "preset": "full_access", "tenant": "default", "allowed_events": ["order.*"] }))
        .await;
    let make = async |key: &str| {
        let body = json!({ "url": "https://example.com/x", "events": ["*"], "is_active": false });
        app.post("/v1/webhook-subscriptions", body).key(key).await.assert(201).id()
    };
    let mut watcher = Watcher::of(&app, "", &key, &[]).await;
    let (own, others) = (make(&key).await, make(ADMIN_KEY).await);
    let seen = watcher.next_of("subscription.changed").await.id.to_string();
    drop(watcher);
    publish(&app, EVENT).await;
    for id in [&others, &own] {
        app.delete(&format!("/v1/webhook-subscriptions/{id}")).await.assert(204);
    }
    let are_canceled = |list: &Value| list["data"].as_array().is_some_and(|rows| rows.len() == 2);
    app.wait_for("/v1/deliveries?filter[state]=canceled", are_canceled).await;
    let mut watcher = Watcher::of(&app, "", &key, &[("last-event-id", &seen)]).await;
    for expected in ["delivery.created", "delivery.changed"] {
        let message = watcher.next().await.unwrap();
        assert_eq!((message.event.as_str(), &message.data["subscription_id"]), (expected, &json!(own)), "{message:?}");
    }
    app.close_feed();
    assert!(watcher.next().await.is_none(), "and nothing of the others");
}

#[tokio::test]
async fn a_delivery_is_seen_from_its_beginning_to_its_end() {
    let app = TestApp::start().await;
    let subscription = subscribe(&app, json!({})).await;
    let mut watcher = Watcher::all(&app).await;
    let event = publish(&app, EVENT).await;
    let created = watcher.next_of("delivery.created").await;
    assert_eq!(created.data["event_id"], event);
    assert_eq!(created.data["state"], "pending");
    let attempted = watcher.next_of("delivery.attempted").await;
    assert!(attempted.id > created.id);
    let shown = app.get(&format!("/v1/events/{event}")).await.assert(200).json();
    let delivery = shown["data"]["attributes"]["deliveries"][0].clone();
    assert_eq!(delivery["state"], "succeeded", "it is told after it is recorded");
    let mut data = attempted.data;
    assert!(data["duration_ms"].take().is_number());
    assert!(data["at"].take().is_string());
    assert!(data["attempt_id"].take().as_str().unwrap().starts_with("att_"));
    let expected = json!({
        "at": null,
        "tenant_id": "tnt_0000000000e008000000000001",
        "subscription_id": subscription,
        "subscription_url": TEST_RECEIVER,
        "event_id": event,
        "event_type": EVENT,
        "delivery_id": delivery["id"],
        "state": "succeeded",
        "next_attempt_at": null,
        "attempt_id": null,
        "number": 1,
        "trigger": "schedule",
        "outcome": "success",
        "http_status": 200,
        "error": null,
        "duration_ms": null,
    });
    assert_eq!(data, expected);
}

#[tokio::test]
async fn what_a_person_changes_is_seen() {
    let app = TestApp::start().await;
    let mut watcher = Watcher::all(&app).await;
    let subscription = subscribe(&app, json!({ "is_active": false })).await;
    let message = watcher.next_of("subscription.changed").await;
    assert_eq!((&message.data["subscription_id"], &message.data["is_active"]), (&json!(subscription), &json!(false)));
    publish(&app, EVENT).await;
    let created = watcher.next_of("delivery.created").await;
    assert_eq!(created.data["state"], "held");
    let delivery = created.data["delivery_id"].as_str().unwrap();
    app.call(Method::POST, &format!("/v1/deliveries/{delivery}/cancel")).await.assert(200);
    let changed = watcher.next_of("delivery.changed").await;
    assert_eq!((&changed.data["delivery_id"], &changed.data["state"]), (&json!(delivery), &json!("canceled")));
    assert!(changed.data["next_attempt_at"].is_null());
    app.patch(&format!("/v1/webhook-subscriptions/{subscription}"), json!({ "is_active": true })).await.assert(200);
    assert_eq!(watcher.next_of("subscription.changed").await.data["is_active"], true);
}

#[tokio::test]
async fn a_viewer_sees_only_what_the_filters_let_through() {
    let app = TestApp::start().await;
    let first = subscribe(&app, json!({})).await;
    subscribe(&app, json!({ "events": ["order.sent"] })).await;
    let mut of_first = Watcher::of(&app, &format!("filter[subscription_id]={first}"), ADMIN_KEY, &[]).await;
    let mut of_type = Watcher::of(&app, "filter[event_type]=order.sent", ADMIN_KEY, &[]).await;
    let mut of_pattern = Watcher::of(&app, "filter[event_type]=user.*", ADMIN_KEY, &[]).await;
    let mut of_outcome = Watcher::of(&app, "filter[outcome]=success", ADMIN_KEY, &[]).await;
    let mut failures = Watcher::of(&app, "filter[outcome]=failure", ADMIN_KEY, &[]).await;
    let paid = publish(&app, EVENT).await;
    let sent = publish(&app, "order.sent").await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let message = of_first.next_delivery().await.unwrap();
        assert_eq!(message.data["subscription_id"], first);
        seen.push((message.event, message.data["event_id"].as_str().unwrap().to_owned()));
    }
    seen.sort();
    let mut expected: Vec<_> = ["delivery.attempted", "delivery.created"]
        .into_iter()
        .flat_map(|event| [&paid, &sent].map(|id| (event.to_owned(), id.clone())))
        .collect();
    expected.sort();
    assert_eq!(seen, expected);
    for _ in 0..4 {
        assert_eq!(of_type.next().await.unwrap().data["event_id"], sent);
    }
    for _ in 0..3 {
        let message = of_outcome.next().await.unwrap();
        assert_eq!((message.event.as_str(), &message.data["outcome"]), ("delivery.attempted", &json!("success")));
    }
    // Those whose filters let nothing through have got nothing when the end comes.
    app.close_feed();
    assert!(of_pattern.next().await.is_none());
    assert!(failures.next().await.is_none());
    app.get("/v1/stream?filter[outcome]=maybe&filter[subscription_id]=x&since=1").await.check(expect![[r#"
        400 invalid_parameter filter[subscription_id]: 'filter[subscription_id]' must be a subscription's id
        400 invalid_parameter filter[outcome]: 'filter[outcome]' must be success or failure
        400 invalid_parameter since: 'since' must be left out: there is no such parameter here
    "#]]);
}

#[tokio::test]
async fn a_viewer_goes_on_after_the_last_message_that_it_saw() {
    let app = TestApp::start().await;
    subscribe(&app, json!({})).await;
    let mut staying = Watcher::all(&app).await;
    let mut leaving = Watcher::all(&app).await;
    publish(&app, EVENT).await;
    let last = leaving.next_of("delivery.attempted").await.id;
    drop(leaving);
    let missed = publish(&app, EVENT).await;
    staying.next_of("delivery.attempted").await;
    staying.next_of("delivery.attempted").await;
    let mut back = Watcher::of(&app, "", ADMIN_KEY, &[("last-event-id", &last.to_string())]).await;
    for event in ["delivery.created", "delivery.attempted"] {
        let message = back.next_delivery().await.unwrap();
        assert_eq!((message.event.as_str(), &message.data["event_id"]), (event, &json!(missed)));
    }
    // One of another life of the server, one from the future, and one that is none.
    for unknown in ["17", "9007199254740991", "abc"] {
        let mut back = Watcher::of(&app, "", ADMIN_KEY, &[("last-event-id", unknown)]).await;
        let message = back.next().await.unwrap();
        assert_eq!((message.event.as_str(), &message.data), ("gap", &json!({ "reason": "missed" })), "{unknown}");
        assert_eq!(back.next_delivery().await.unwrap().event, "delivery.created", "what is still known follows");
    }
}

#[tokio::test]
async fn a_tenant_sees_what_is_its_own_and_an_instance_key_what_it_asks_for() {
    let app = TestApp::start().await;
    let acme = app.post("/v1/tenants", json!({ "name": "Acme", "external_id": "acme" })).await.assert(201).id();
    let key = app.make_key(json!({ "name": "k", "preset": "full_access", "tenant": "acme" })).await;
    subscribe(&app, json!({})).await;
    let subscription = json!({ "url": "https://example.com", "events": ["*"], "is_active": false });
    app.post("/v1/webhook-subscriptions", subscription).key(&key).await.assert(201);
    let mut own = Watcher::of(&app, "", &key, &[]).await;
    let mut named = Watcher::of(&app, "", ADMIN_KEY, &[("waxwing-tenant", "acme")]).await;
    let mut default = Watcher::all(&app).await;
    let mut instance = Watcher::of(&app, "scope=instance", ADMIN_KEY, &[]).await;
    let of_default = publish(&app, EVENT).await;
    let event = json!({ "type": EVENT, "data": 1 });
    let of_acme = app.post("/v1/events", event).key(&key).await.assert(202).id();
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 3 {
        let message = instance.next_delivery().await.unwrap();
        seen.insert((message.event, message.data["event_id"].as_str().unwrap().to_owned()));
    }
    app.close_feed();
    for watcher in [&mut own, &mut named] {
        let mut events = Vec::new();
        while let Some(message) = watcher.next().await {
            assert_eq!(message.data["tenant_id"], acme, "nothing of another tenant");
            events.extend(message.data["event_id"].as_str().map(str::to_owned));
        }
        assert_eq!(events, std::slice::from_ref(&of_acme));
    }
    while let Some(message) = default.next_delivery().await {
        assert_eq!(message.data["event_id"], of_default);
    }
    app.get("/v1/stream?scope=instance").key(&key).await.assert(403);
    app.get("/v1/stream").key(&key).header("waxwing-tenant", "default").await.assert(404);
    let publisher = app.make_key(json!({ "name": "p", "preset": "publish_only" })).await;
    app.get("/v1/stream").key(&publisher).await.assert(403);
    app.get("/v1/stream").without_key().await.assert(401);
}

#[tokio::test]
async fn a_viewer_whose_key_is_revoked_or_expires_is_cut_off() {
    let app = start_with_keep_alive(Duration::from_millis(20)).await;
    let revoked = app.post("/v1/api-keys", json!({ "name": "r", "preset": "full_access" })).await.assert(201);
    let text = |answer: &Value| answer["data"]["attributes"]["secret"].as_str().unwrap().to_owned();
    let mut watcher = Watcher::of(&app, "", &text(&revoked.json()), &[]).await;
    assert_eq!(watcher.line().await.as_deref(), Some(":"), "a sign of life");
    app.delete(&format!("/v1/api-keys/{}", revoked.id())).await.assert(204);
    assert!(watcher.next().await.is_none());

    let expires_at = app.clock.now().plus(Duration::from_secs(3600)).to_string();
    let expiring = json!({ "name": "e", "preset": "full_access", "expires_at": expires_at });
    let mut watcher = Watcher::of(&app, "", &app.make_key(expiring).await, &[]).await;
    app.advance(Duration::from_secs(3600));
    assert!(watcher.next().await.is_none());

    app.post("/v1/tenants", json!({ "name": "Acme", "external_id": "acme" })).await.assert(201);
    let mut watcher = Watcher::of(&app, "", ADMIN_KEY, &[("waxwing-tenant", "acme")]).await;
    app.delete("/v1/tenants/acme").await.assert(204);
    assert!(watcher.next().await.is_none(), "the tenant is gone");
}

#[tokio::test]
async fn a_revoked_key_sees_nothing_more_whatever_happens_next() {
    let app = start_with_keep_alive(Duration::from_secs(3600)).await;
    subscribe(&app, json!({ "is_active": false })).await;
    let key = app.post("/v1/api-keys", json!({ "name": "r", "preset": "full_access" })).await.assert(201);
    let text = key.json()["data"]["attributes"]["secret"].as_str().unwrap().to_owned();
    let mut watcher = Watcher::of(&app, "", &text, &[]).await;
    app.delete(&format!("/v1/api-keys/{}", key.id())).await.assert(204);
    publish(&app, EVENT).await;
    assert!(watcher.next_delivery().await.is_none());
}

#[tokio::test]
async fn viewers_are_counted_and_a_place_is_free_again_when_one_leaves() {
    let app = TestApp::start().await;
    let mut keys = Vec::new();
    for n in 0..9 {
        keys.push(app.make_key(json!({ "name": format!("k{n}"), "preset": "full_access" })).await);
    }
    let mut watchers = Vec::new();
    for _ in 0..8 {
        watchers.push(Watcher::of(&app, "", &keys[0], &[]).await);
    }
    let refused = app.get("/v1/stream").key(&keys[0]).await.check(expect![[r#"
        429 limit_exceeded: No more than 8 viewers of one key can watch at once: close one, then try again
    "#]]);
    assert_eq!(refused.header("retry-after"), Some("15"));
    for key in &keys[1..8] {
        for _ in 0..8 {
            watchers.push(Watcher::of(&app, "", key, &[]).await);
        }
    }
    app.get("/v1/stream").key(&keys[8]).await.check(expect![[r#"
        429 limit_exceeded: No more than 64 viewers of the whole instance can watch at once: close one, then try again
    "#]]);
    watchers.pop();
    let begun = std::time::Instant::now();
    loop {
        let request = Request::builder().uri_str("/v1/stream").header("authorization", keys[8].as_str()).finish();
        if app.endpoint.get_response(request).await.status() == 200 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "the place is never free again");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn one_who_does_not_read_gets_a_gap_and_holds_nobody_up() {
    let app = TestApp::start().await;
    // Paused: each event is one message, and nothing is sent.
    subscribe(&app, json!({ "is_active": false })).await;
    let mut stuck = Watcher::all(&app).await;
    let mut reading = Vec::new();
    for _ in 0..3 {
        reading.push(Watcher::all(&app).await);
    }
    let events: Vec<Value> = (0..1000).map(|_| json!({ "type": EVENT, "data": 1 })).collect();
    let batches = ITEMS_MAX / 1000 + 2;
    for _ in 0..batches {
        app.post("/v1/events/batch", json!({ "events": events })).await.assert(200);
        for watcher in &mut reading {
            for _ in 0..1000 {
                assert_eq!(watcher.next_delivery().await.unwrap().event, "delivery.created");
            }
        }
    }
    let mut before_gap = 0;
    while stuck.next().await.unwrap().event != "gap" {
        before_gap += 1;
    }
    // What fits into its buffer, its reader's, and the messages on their way.
    assert!(before_gap < 400, "{before_gap} messages were held for it");
    for _ in 0..ITEMS_MAX {
        assert_eq!(stuck.next().await.unwrap().event, "delivery.created");
    }
}
