//! Deliveries of the profiles that have no library of their own, verified by receivers that know nothing but the
//! published recipe: real ones, retries, after a rotation, raw ones, and under a tenant's own brand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};

use crate::support::binary::{Api, PATIENCE, Start, Waxwing};
use crate::support::receiver::{Received, Receiver};

/// How far the time of a signature may lie from now.
const TOLERANCE: Duration = Duration::from_secs(300);

/// A published way to verify `t=…,v1=…`, step by step.
struct Recipe {
    header: &'static str,
    /// What stands between the timestamp and the body in what is signed.
    separator: &'static str,
    key: fn(&str) -> Vec<u8>,
}

const MAREA: Recipe =
    Recipe { header: "x-marea-signature", separator: ".", key: |secret| hex::decode(secret).expect("hex") };
const AGENTMESSAGE: Recipe =
    Recipe { header: "x-amcore-signature", separator: "\n", key: |secret| STANDARD.decode(secret).expect("base64") };

impl Recipe {
    fn verifies(&self, received: &Received, secret: &str) -> bool {
        let header = received.header(self.header);
        let (timestamp, signature) = header.split_once(',').expect("two parts");
        let timestamp = timestamp.strip_prefix("t=").expect("a time");
        let signature = hex::decode(signature.strip_prefix("v1=").expect("a signature")).expect("hex");
        let signed_at = Duration::from_secs(timestamp.parse().expect("seconds"));
        let now = UNIX_EPOCH.elapsed().expect("it is after 1970");
        assert!(now.abs_diff(signed_at) <= TOLERANCE, "{header}");
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&(self.key)(secret)).expect("any key");
        mac.update(timestamp.as_bytes());
        mac.update(self.separator.as_bytes());
        mac.update(&received.body);
        mac.verify_slice(&signature).is_ok()
    }
}

/// A tenant of a profile, its subscription, and a receiver whose answer can be changed.
struct Scene {
    waxwing: Waxwing,
    api: Api,
    receiver: Receiver,
    answer: Arc<AtomicU16>,
    subscription: String,
    secret: String,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn of(profile: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let answer = Arc::new(AtomicU16::new(200));
        let answers = Arc::clone(&answer);
        let receiver = Receiver::start(move |_| answers.load(Ordering::Acquire)).await;
        let waxwing = Start::in_dir(folder.path()).start().await;
        waxwing.api.create_event_type("order.paid").await;
        let tenant = json!({ "external_id": "shop", "name": "Shop", "profile": profile }).to_string();
        waxwing.api.post("/v1/tenants", tenant).await.expect(201);
        let api = waxwing.api.clone().for_tenant("shop");
        let (subscription, secret) = api.subscribe(&receiver.url("/hook"), &["order.paid"]).await;
        Self { waxwing, api, receiver, answer, subscription, secret, _folder: folder }
    }

    fn path(&self) -> String {
        format!("/v1/webhook-subscriptions/{}", self.subscription)
    }

    async fn subscription(&self) -> Value {
        self.api.get(&self.path()).await.expect(200).json()["data"]["attributes"].clone()
    }

    /// Publishes an event; answers with its id.
    async fn publish(&self, data: &str) -> String {
        let body = format!(r#"{{"type":"order.paid","occurred_at":"2026-02-18T12:00:00.250Z","data":{data}}}"#);
        let event = self.api.post("/v1/events", body).await.expect(202).json();
        event["data"]["id"].as_str().expect("an id").to_owned()
    }

    async fn rotate(&self) -> String {
        let answer = self.api.post(&format!("{}/rotate-secret", self.path()), "").await.expect(200).json();
        answer["data"]["attributes"]["secret"].as_str().expect("a secret").to_owned()
    }

    /// The event's only delivery, once it is in this state.
    async fn delivery(&self, event: &str, state: &str) -> Value {
        let look = async {
            loop {
                let answer = self.api.get(&format!("/v1/events/{event}")).await.expect(200).json();
                let id = answer["data"]["attributes"]["deliveries"][0]["id"].as_str().expect("an id").to_owned();
                let answer = self.api.get(&format!("/v1/deliveries/{id}")).await.expect(200).json();
                if answer["data"]["attributes"]["state"] == state {
                    return answer["data"].clone();
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("it becomes so in time")
    }

    /// Publishes an event that fails once; answers with the first attempt, the second one, and what is recorded.
    async fn publish_with_one_retry(&mut self, data: &str) -> (Received, Received, Value) {
        self.answer.store(500, Ordering::Release);
        let event = self.publish(data).await;
        let first = self.receiver.next().await;
        let delivery = self.delivery(&event, "retrying").await;
        self.answer.store(200, Ordering::Release);
        let id = delivery["id"].as_str().expect("an id");
        self.api.post(&format!("/v1/deliveries/{id}/retry"), "").await.expect(202);
        let second = self.receiver.next().await;
        (first, second, self.delivery(&event, "succeeded").await)
    }

    /// What every profile with a brand and one signature promises.
    async fn check(&mut self, recipe: &Recipe, profile: &str) {
        assert_eq!(self.subscription().await["profile"], profile);

        let (first, second, recorded) = self.publish_with_one_retry(r#"{ "total" : 10.50 }"#).await;
        for received in [&first, &second] {
            assert!(recipe.verifies(received, &self.secret), "{received:?}");
        }
        assert_eq!(first.body, second.body, "a retry has the same body");
        let attempts = recorded["attributes"]["attempts"].as_array().expect("its attempts");
        assert_eq!(attempts.len(), 2);
        for attempt in attempts {
            assert_eq!(attempt["request"]["body"], String::from_utf8_lossy(&first.body).as_ref(), "as it was sent");
        }

        // A second signature has no place in the header, so the old secret cannot live on …
        let overlap = self.api.post(&format!("{}/rotate-secret", self.path()), r#"{"overlap_seconds":60}"#).await;
        assert_eq!(overlap.expect(400).json()["errors"][0]["code"], "overlap_not_supported");
        // … and is dead at once.
        let new = self.rotate().await;
        assert_eq!(new.len(), self.secret.len());
        let old = std::mem::replace(&mut self.secret, new);
        self.publish("1").await;
        let received = self.receiver.next().await;
        assert!(recipe.verifies(&received, &self.secret), "{received:?}");
        assert!(!recipe.verifies(&received, &old), "a rotated secret still signs");
        assert_eq!(self.subscription().await["secret_version"], 2);

        // The raw envelope: the bytes of `data` alone, signed as they are.
        self.api.put(&self.path(), r#"{"envelope":"raw"}"#).await.expect(200);
        self.publish(r#"{ "b":1, "a":1e2 }"#).await;
        let received = self.receiver.next().await;
        assert_eq!(received.body, r#"{ "b":1, "a":1e2 }"#);
        assert!(recipe.verifies(&received, &self.secret), "{received:?}");

        // The tenant's own brand, from now on.
        self.waxwing.api.put("/v1/tenants/shop", r#"{"header_prefix":"X-Acme-"}"#).await.expect(200);
        self.publish("2").await;
        let received = self.receiver.next().await;
        assert!(received.headers.get(recipe.header).is_none(), "{received:?}");
        let branded = Recipe { header: "x-acme-signature", ..*recipe };
        assert!(branded.verifies(&received, &self.secret), "{received:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_of_marea_verifies_every_delivery_by_the_published_recipe() {
    let mut scene = Scene::of("marea").await;
    assert!(scene.secret.len() == 64 && scene.secret.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    assert_eq!(scene.subscription().await["circuit_breaker"], false);

    let (first, second, _) = scene.publish_with_one_retry(r#"{"orderId":"ord_1"}"#).await;
    let body: Value = serde_json::from_slice(&first.body).expect("JSON");
    let event_id = body["eventId"].as_str().expect("an id");
    assert_eq!(
        String::from_utf8_lossy(&first.body),
        format!(
            r#"{{"type":"order.paid","eventId":"{event_id}","timestamp":"2026-02-18T12:00:00.250Z","apiVersion":"2026-05-12","data":{{"orderId":"ord_1"}}}}"#
        )
    );
    assert_is_uuid(event_id, '4');
    for received in [&first, &second] {
        assert_eq!(received.header("content-type"), "application/json");
        assert_eq!(received.header("user-agent"), "marea-webhook/1.0");
        assert_eq!(received.header("x-marea-event-type"), "order.paid");
        assert_eq!(received.header("x-marea-event-id"), event_id);
        assert_eq!(received.header("x-marea-signing-version"), "1");
        assert_eq!(received.header("x-marea-source"), "developer");
        let endpoint = received.header("x-marea-endpoint-id").strip_prefix("mk_we_").expect("its prefix");
        assert!(endpoint.len() == 16 && endpoint.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
        assert_is_uuid(received.header("x-marea-delivery-id"), '4');
    }
    assert_eq!(first.header("x-marea-endpoint-id"), second.header("x-marea-endpoint-id"));
    assert_ne!(first.header("x-marea-delivery-id"), second.header("x-marea-delivery-id"), "one for each attempt");

    scene.check(&MAREA, "marea").await;
    scene.publish("3").await;
    assert_eq!(scene.receiver.next().await.header("x-acme-signing-version"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_of_agentmessage_verifies_every_delivery_by_the_published_recipe() {
    let mut scene = Scene::of("agentmessage").await;
    assert_eq!(scene.secret.len(), 44);
    assert_eq!(STANDARD.decode(&scene.secret).expect("base64").len(), 32);
    assert_eq!(scene.subscription().await["circuit_breaker"], true);

    let (first, second, _) = scene.publish_with_one_retry(r#"{"order":1}"#).await;
    let body: Value = serde_json::from_slice(&first.body).expect("JSON");
    let (id, org_id) = (body["id"].as_str().expect("an id"), body["org_id"].as_str().expect("an id"));
    assert_eq!(
        String::from_utf8_lossy(&first.body),
        format!(
            r#"{{"id":"{id}","type":"order.paid","api_version":"2026-04-01","created_at":"2026-02-18T12:00:00Z","org_id":"{org_id}","data":{{"order":1}}}}"#
        )
    );
    assert_is_uuid(id.strip_prefix("evt_").expect("its prefix"), '7');
    assert_is_uuid(org_id, '7');
    for received in [&first, &second] {
        assert_eq!(received.header("content-type"), "application/json");
        assert_eq!(received.header("user-agent"), "AgentMessage-Webhook/1.0");
        assert_eq!(received.header("x-amcore-event-id"), id);
        assert_is_uuid(received.header("x-amcore-endpoint-id"), '7');
    }

    scene.check(&AGENTMESSAGE, "agentmessage").await;
}

#[track_caller]
fn assert_is_uuid(text: &str, version: char) {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    assert_eq!(groups, [8, 4, 4, 4, 12], "{text}");
    assert!(text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-')), "{text}");
    assert_eq!(text.chars().nth(14), Some(version), "{text}");
    assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'), "{text}");
}
