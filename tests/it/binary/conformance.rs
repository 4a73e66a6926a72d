//! What a receiver may rely on, on the wire: the rows of the Standard Webhooks checklist that concern a sender
//! (SW-nn), and the published deliveries of Mage.

use serde_json::{Value, json};

use crate::support::binary::{Start, Waxwing};
use crate::support::receiver::{Received, Receiver};

struct Scene {
    waxwing: Waxwing,
    receiver: Receiver,
    subscription: String,
    secret: String,
    _folder: tempfile::TempDir,
}

/// A running binary, an event type `order.paid`, and one subscription to a receiver that answers by `answer`.
async fn scene(answer: impl Fn(&Received) -> u16 + Send + Sync + 'static) -> Scene {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start(answer).await;
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("order.paid").await;
    let (subscription, secret) = waxwing.api.subscribe(&receiver.url("/hook"), &["order.paid"]).await;
    Scene { waxwing, receiver, subscription, secret, _folder: folder }
}

impl Scene {
    async fn publish(&self, data: &str) -> Value {
        let body = format!(r#"{{"type":"order.paid","occurred_at":"2026-02-18T12:00:00Z","data":{data}}}"#);
        self.waxwing.api.post("/v1/events", body).await.expect(202).json()
    }

    /// The event's only delivery, once `is_so`.
    async fn delivery(&self, event: &Value, is_so: impl Fn(&Value) -> bool) -> Value {
        let event = event["data"]["id"].as_str().expect("an id");
        let look = async {
            loop {
                let path = format!("/v1/events/{event}");
                let answer = self.waxwing.api.get(&path).await.expect(200).json();
                let id = answer["data"]["attributes"]["deliveries"][0]["id"].as_str().expect("an id").to_owned();
                let answer = self.waxwing.api.get(&format!("/v1/deliveries/{id}")).await.expect(200).json();
                if is_so(&answer["data"]["attributes"]) {
                    return answer["data"].clone();
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(crate::support::binary::PATIENCE, look).await.expect("it becomes so in time")
    }

    async fn rotate(&self, body: Value) -> String {
        let path = format!("/v1/webhook-subscriptions/{}/rotate-secret", self.subscription);
        let answer = self.waxwing.api.post(&path, body.to_string()).await.expect(200).json();
        answer["data"]["attributes"]["secret"].as_str().expect("a secret").to_owned()
    }
}

/// SW-01, SW-02, SW-05, SW-11, SW-13, SW-17, SW-18, SW-22.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_has_the_body_and_the_headers_of_standard_webhooks() {
    let mut scene = scene(|_| 200).await;
    let event = scene.publish(r#"{ "total" : 10.50 }"#).await;
    let received = scene.receiver.next().await;
    assert_eq!(received.path, "/hook");
    assert_eq!(
        String::from_utf8_lossy(&received.body),
        r#"{"type":"order.paid","timestamp":"2026-02-18T12:00:00.000Z","data":{ "total" : 10.50 }}"#
    );
    assert_eq!(received.header("content-type"), "application/json");
    assert_eq!(received.header("webhook-id"), event["data"]["id"]);
    assert!(!received.header("webhook-id").contains('.'), "SW-12");
    assert!(received.header("webhook-timestamp").parse::<u64>().is_ok(), "whole seconds");
    assert!(received.header("webhook-signature").starts_with("v1,"));
    assert!(scene.secret.starts_with("whsec_"));
    assert!(received.headers.get("transfer-encoding").is_none());
    received.verify(&scene.secret);
}

/// SW-09, SW-10, and contract 5.9: a retry has the same id and body, and a signature of its own moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_keeps_the_id_and_signs_anew() {
    let answers = std::sync::atomic::AtomicUsize::new(0);
    let mut scene =
        scene(move |_| if answers.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 { 500 } else { 200 }).await;
    let event = scene.publish("1").await;
    let first = scene.receiver.next().await;
    let delivery = scene.delivery(&event, |delivery| delivery["state"] == "retrying").await;
    let id = delivery["id"].as_str().expect("an id");
    scene.waxwing.api.post(&format!("/v1/deliveries/{id}/retry"), "").await.expect(202);
    let second = scene.receiver.next().await;
    for received in [&first, &second] {
        received.verify(&scene.secret);
    }
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"));
    assert_eq!(first.body, second.body);
    let delivery = scene.delivery(&event, |delivery| delivery["state"] == "succeeded").await;
    assert_eq!(delivery["attributes"]["attempts"].as_array().expect("its attempts").len(), 2, "{delivery}");
}

/// SW-23.
#[tokio::test(flavor = "multi_thread")]
async fn during_an_overlap_the_old_and_the_new_secret_both_verify_and_without_one_only_the_new() {
    let mut scene = scene(|_| 200).await;
    let new = scene.rotate(json!({ "overlap_seconds": 3600 })).await;
    scene.publish("1").await;
    let received = scene.receiver.next().await;
    received.verify(&scene.secret);
    received.verify(&new);
    assert_eq!(received.header("webhook-signature").split(' ').count(), 2);

    let newest = scene.rotate(json!({})).await;
    scene.publish("2").await;
    let received = scene.receiver.next().await;
    received.verify(&newest);
    assert_eq!(received.header("webhook-signature").split(' ').count(), 1, "a rotated secret is dead at once");
}

/// SW-32, SW-33: redirects are failures and are not followed.
#[tokio::test(flavor = "multi_thread")]
async fn only_2xx_is_a_success() {
    for status in [300, 301, 302, 307, 308, 400, 401, 404, 429, 500, 503] {
        let mut scene = scene(move |_| status).await;
        let event = scene.publish("1").await;
        scene.receiver.next().await;
        let delivery = scene.delivery(&event, |delivery| delivery["state"] != "pending").await;
        assert_eq!(delivery["attributes"]["state"], "retrying", "{status}");
        assert!(delivery["attributes"]["next_attempt_at"].is_string(), "{delivery}");
    }
    for status in [200, 201, 202, 204, 299] {
        let mut scene = scene(move |_| status).await;
        let event = scene.publish("1").await;
        scene.receiver.next().await;
        scene.delivery(&event, |delivery| delivery["state"] == "succeeded").await;
    }
}

/// SW-34.
#[tokio::test(flavor = "multi_thread")]
async fn a_410_disables_the_subscription_and_what_comes_later_is_canceled() {
    let mut scene = scene(|_| 410).await;
    let event = scene.publish("1").await;
    scene.receiver.next().await;
    let delivery = scene.delivery(&event, |delivery| delivery["state"] == "exhausted").await;
    assert_eq!(delivery["attributes"]["reason"], "gone");
    let path = format!("/v1/webhook-subscriptions/{}", scene.subscription);
    let subscription = scene.waxwing.api.get(&path).await.expect(200).json();
    assert_eq!(subscription["data"]["attributes"]["is_active"], false, "{subscription}");
    assert_eq!(subscription["data"]["attributes"]["disabled_reason"], "gone");
    assert_eq!(subscription["data"]["attributes"]["health"], "disabled");

    let event = scene.publish("2").await;
    let delivery = scene.delivery(&event, |_| true).await;
    assert_eq!(delivery["attributes"]["state"], "canceled", "{delivery}");
    assert_eq!(scene.receiver.drain().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_subscription_keeps_its_backlog_and_gets_it_in_order_when_it_is_resumed() {
    let mut scene = scene(|_| 200).await;
    let path = format!("/v1/webhook-subscriptions/{}", scene.subscription);
    scene.waxwing.api.put(&path, r#"{"is_active":false,"max_in_flight":1}"#).await.expect(200);
    let mut events = Vec::new();
    for n in 0..50 {
        events.push(scene.publish(&n.to_string()).await["data"]["id"].clone());
    }
    let held = scene.delivery(&json!({ "data": { "id": events[0] } }), |_| true).await;
    assert_eq!(held["attributes"]["state"], "held", "{held}");
    assert_eq!(held["attributes"]["reason"], "subscription_paused");
    assert_eq!(scene.receiver.drain().len(), 0, "it was paused");
    scene.waxwing.api.put(&path, r#"{"is_active":true}"#).await.expect(200);
    for event in events {
        assert_eq!(scene.receiver.next().await.header("webhook-id"), event);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mage_tenant_gets_the_published_body_headers_and_signature() {
    use hmac::{Hmac, KeyInit, Mac};

    let folder = tempfile::tempdir().expect("a folder");
    let mut receiver = Receiver::start(|_| 200).await;
    let waxwing = Start::in_dir(folder.path()).start().await;
    waxwing.api.create_event_type("points.earned").await;
    let tenant = json!({ "external_id": "my-store", "name": "My store", "profile": "mage" }).to_string();
    waxwing.api.post("/v1/tenants", tenant).await.expect(201);
    let api = waxwing.api.clone().for_tenant("my-store");
    let (_, secret) = api.subscribe(&receiver.url("/mage"), &["points.earned"]).await;
    assert!(secret.len() == 64 && secret.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{secret}");
    let body = r#"{"type":"points.earned","occurred_at":"2026-02-18T12:00:00Z","data":{"points_earned":50}}"#;
    api.post("/v1/events", body).await.expect(202);

    let received = receiver.next().await;
    let body = String::from_utf8_lossy(&received.body);
    assert_eq!(
        body,
        r#"{"event":"points.earned","shop":"my-store","timestamp":"2026-02-18T12:00:00.000Z","data":{"points_earned":50}}"#
    );
    assert_eq!(received.header("x-webhook-event"), "points.earned");
    assert_eq!(received.header("content-type"), "application/json");
    assert_eq!(received.header("user-agent"), "MageLoyalty-Webhook/1.0");
    let timestamp = received.header("x-webhook-timestamp");
    assert!(timestamp.len() == 24 && timestamp.ends_with('Z'), "{timestamp}");
    // The recipe of the published page, with the secret's text as the key.
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any key");
    mac.update(format!("{timestamp}.{body}").as_bytes());
    let expected = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    assert_eq!(received.header("x-webhook-signature"), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_under_way_is_not_carried_out_twice() {
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Mutex::new(released);
    let (arrived, mut has_arrived) = tokio::sync::mpsc::unbounded_channel();
    // Answers when the test says so.
    let mut scene = scene(move |_| {
        arrived.send(()).expect("the test waits");
        released.lock().expect("one request").recv().expect("it is released");
        200
    })
    .await;
    let path = format!("/v1/webhook-subscriptions/{}/test", scene.subscription);
    let api = scene.waxwing.api.clone().with_idempotency_key("once");
    let first = tokio::spawn({
        let (api, path) = (api.clone(), path.clone());
        async move { api.post(&path, "").await }
    });
    has_arrived.recv().await.expect("it arrives");
    for _ in 0..3 {
        let refused = api.post(&path, "").await.expect(409);
        assert_eq!(refused.json()["errors"][0]["code"], "idempotency_in_progress");
    }
    release.send(()).expect("the receiver waits");
    let first = first.await.expect("it does not panic").expect(200);
    let again = api.post(&path, "").await.expect(200);
    assert_eq!(again.body, first.body);
    scene.receiver.next().await;
    assert_eq!(scene.receiver.drain().len(), 0, "the test was sent twice");
}
