//! `POST` and `DELETE /v1/webhook-subscriptions/{id}/key-pair`, and the public keys at `/.well-known/webhook-keys/{id}`:
//! what was signed is verified by another library.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use expect_test::expect;
use poem::http::Method;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};
use waxwing::net::Received;

use crate::support::app::{TEST_RECEIVER, TestApp};

const PATH: &str = "/v1/webhook-subscriptions";

struct Scene {
    app: TestApp,
    id: String,
}

impl Scene {
    async fn new() -> Self {
        let app = TestApp::start().await;
        let id = app.post(PATH, json!({ "url": TEST_RECEIVER, "events": ["*"] })).await.assert(201).id();
        Self { app, id }
    }

    fn pair(&self) -> String {
        format!("{PATH}/{}/key-pair", self.id)
    }

    fn published(&self) -> String {
        format!("/.well-known/webhook-keys/{}", self.id)
    }

    /// The public key of a new pair.
    async fn make(&self, body: Value) -> String {
        let made = self.app.post(&self.pair(), body).await.assert(200).json();
        made["data"]["attributes"]["public_key"].as_str().expect("it has one now").to_owned()
    }

    /// The test delivery, as its receiver got it.
    async fn test(&self) -> Received {
        self.app.call(Method::POST, &format!("{PATH}/{}/test", self.id)).await.assert(200);
        self.app.received().pop().expect("it came")
    }
}

fn header<'a>(received: &'a Received, name: &str) -> &'a str {
    let found = received.headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no {name}: {received:?}"))
}

/// What each signature of the delivery begins with.
fn kinds(received: &Received) -> Vec<&str> {
    let signatures = header(received, "webhook-signature").split(' ');
    signatures.map(|signature| signature.split_once(',').expect("a version and a signature").0).collect()
}

/// As the text of Standard Webhooks says, with a library that is not the signer's.
fn fits(received: &Received, public_key: &str) -> bool {
    let key = STANDARD.decode(public_key.strip_prefix("whpk_").expect("its prefix")).expect("base64");
    let key = UnparsedPublicKey::new(&ED25519, key);
    let head = format!("{}.{}.", header(received, "webhook-id"), header(received, "webhook-timestamp"));
    let text = [head.as_bytes(), &received.body].concat();
    let signatures = header(received, "webhook-signature").split(' ').filter_map(|text| text.strip_prefix("v1a,"));
    signatures.map(|text| STANDARD.decode(text).expect("base64")).any(|signature| key.verify(&text, &signature).is_ok())
}

#[tokio::test]
async fn deliveries_carry_the_signature_of_a_pair_beside_that_of_the_secret_until_it_is_removed() {
    let scene = Scene::new().await;
    assert_eq!(kinds(&scene.test().await), ["v1"]);
    let public = scene.make(json!({})).await;
    let received = scene.test().await;
    assert_eq!(kinds(&received), ["v1", "v1a"]);
    assert!(fits(&received, &public));
    let changed = Received { body: b"{}".to_vec().into(), ..received };
    assert!(!fits(&changed, &public), "the check itself would take anything");

    // Real deliveries, too.
    scene.app.post("/v1/events", json!({ "type": "order.paid", "data": { "total": 1 } })).await.assert(202);
    let is_done = |list: &Value| list["data"][0]["attributes"]["state"] == "succeeded";
    scene.app.wait_for("/v1/deliveries", is_done).await;
    let received = scene.app.received().pop().unwrap();
    assert!(String::from_utf8_lossy(&received.body).contains("order.paid"));
    assert!(fits(&received, &public));

    let shown = scene.app.get(&format!("{PATH}/{}", scene.id)).await.assert(200);
    assert_eq!(shown.json()["data"]["attributes"]["public_key"], public);
    scene.app.delete(&scene.pair()).header("if-match", "\"1\"").await.assert(412);
    scene.app.delete(&scene.pair()).header("if-match", shown.header("etag").unwrap()).await.assert(204);
    scene.app.delete(&scene.pair()).await.assert(204);
    assert_eq!(kinds(&scene.test().await), ["v1"]);
    let shown = scene.app.get(&format!("{PATH}/{}", scene.id)).await.assert(200).json();
    assert!(shown["data"]["attributes"]["public_key"].is_null());
    scene.app.get(&scene.published()).await.assert(404);
}

#[tokio::test]
async fn a_replaced_pair_stops_at_once_or_when_its_overlap_is_over() {
    let scene = Scene::new().await;
    let first = scene.make(json!({})).await;
    let second = scene.make(json!({})).await;
    let third = scene.make(json!({ "overlap_seconds": 60 })).await;
    let fit = |received: &Received| [&first, &second, &third].map(|public| fits(received, public));
    let received = scene.test().await;
    assert_eq!((kinds(&received), fit(&received)), (vec!["v1", "v1a", "v1a"], [false, true, true]));
    let published = scene.app.get(&scene.published()).await.assert(200).json();
    assert_eq!(
        published,
        json!({ "keys": [
            { "public_key": third, "algorithm": "ed25519", "expires_at": null },
            { "public_key": second, "algorithm": "ed25519", "expires_at": "2026-02-18T12:01:00.000Z" },
        ] })
    );
    scene.app.advance(Duration::from_secs(60));
    let received = scene.test().await;
    assert_eq!((kinds(&received), fit(&received)), (vec!["v1", "v1a"], [false, false, true]));
    let published = scene.app.get(&scene.published()).await.assert(200).json();
    assert_eq!(published["keys"].as_array().map(Vec::len), Some(1));
    scene.app.post(&scene.pair(), json!({ "overlap_seconds": 604_801 })).await.check(expect![[r#"
        400 out_of_range /overlap_seconds: This must be 0 to 604800 seconds
    "#]]);
}

#[tokio::test]
async fn receivers_get_the_public_key_without_an_api_key_and_nothing_else() {
    let scene = Scene::new().await;
    scene.app.get(&scene.published()).without_key().await.check(expect![[r#"
        404 not_found: Public key 'whsub_…' not found
    "#]]);
    let public = scene.make(json!({})).await;
    let published = scene.app.get(&scene.published()).without_key().await.assert(200).json();
    assert_eq!(published, json!({ "keys": [{ "public_key": public, "algorithm": "ed25519", "expires_at": null }] }));
    scene.app.get("/.well-known/webhook-keys/nobody").without_key().await.assert(404);
    scene.app.get("/.well-known/nothing").without_key().await.assert(404);
    scene.app.call(Method::DELETE, &scene.published()).await.assert(405);
    scene.app.delete(&format!("{PATH}/{}", scene.id)).await.assert(204);
    scene.app.get(&scene.published()).without_key().await.assert(404);
}

#[tokio::test]
async fn a_profile_without_room_for_it_is_told_so_and_a_change_to_one_removes_the_pair() {
    let scene = Scene::new().await;
    scene.make(json!({})).await;
    let rotate = format!("{PATH}/{}/rotate-secret", scene.id);
    let rotated = scene.app.post(&rotate, json!({})).await.assert(200).json();
    assert!(rotated["data"]["attributes"]["public_key"].is_string(), "a rotated secret leaves it alone");
    for profile in ["mage", "marea", "agentmessage"] {
        let rotated = scene.app.post(&rotate, json!({ "profile": profile })).await.assert(200).json();
        assert!(rotated["data"]["attributes"]["public_key"].is_null());
        let refused = scene.app.call(Method::POST, &scene.pair()).await.assert(400).json();
        assert_eq!(refused["errors"][0]["code"], "key_pair_not_supported", "{profile}");
    }
    scene.app.call(Method::POST, &scene.pair()).await.check(expect![[r#"
        400 key_pair_not_supported: Deliveries of the profile 'agentmessage' have no room for the signature of a key pair
    "#]]);
    scene.app.call(Method::POST, &format!("{PATH}/nobody/key-pair")).await.assert(404);
    scene.app.delete(&format!("{PATH}/nobody/key-pair")).await.assert(404);
}

#[tokio::test]
async fn a_repeated_request_makes_one_pair() {
    let scene = Scene::new().await;
    let once = || scene.app.post(&scene.pair(), json!({})).header("idempotency-key", "once");
    let first = once().await.assert(200);
    let again = once().await.assert(200);
    assert_eq!((again.header("idempotency-replayed"), &again.body), (Some("true"), &first.body));
}
