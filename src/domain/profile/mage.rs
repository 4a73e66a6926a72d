//! Mage Loyalty: `X-Webhook-Signature: sha256=<hex>` over `{timestamp}.{body}`, the secret's 64 characters as the key.
//!
//! Source: developers.mageloyalty.com, "Verifying signatures" and "Getting started" with webhooks.

use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::super::retry::{JITTER_PERCENT, Schedule};
use super::super::secret::Secret;
use super::recipe::{Encoding, HeaderRef, KeyForm, Recipe, TimePlace};
use super::{Headers, Message, Sending, branded};

pub(super) const HEADER_PREFIX: &str = "x-webhook-";
const SECRET_BYTES: usize = 32;

/// Up to three retries with exponential backoff are published. GUESS: their delays, 1, 5 and 30 min, and that the first
/// attempt is not one of the three.
pub(super) static SCHEDULE: Schedule = Schedule::new(
    &[Duration::ZERO, Duration::from_secs(60), Duration::from_secs(5 * 60), Duration::from_secs(30 * 60)],
    JITTER_PERCENT,
);

pub(super) const RECIPE: Recipe = Recipe {
    // GUESS: the secret's text is the key. Helpers take it as a string, and none decodes it.
    key: KeyForm::Text,
    id_header: None,
    time: TimePlace::Rfc3339Header(HeaderRef::Branded("timestamp")),
    separator: '.',
    signature_header: HeaderRef::Branded("signature"),
    signature_prefix: "sha256=",
    encoding: Encoding::Hex,
};

/// `{"event","shop","timestamp","data"}`, `shop` being the tenant's external id, else its name.
pub(super) fn body(message: &Message<'_>) -> Bytes {
    let Message { event, data, tenant } = message;
    let shop = tenant.external_id.as_ref().map_or(tenant.name.as_str(), |id| id.as_str());
    let shop = serde_json::to_string(shop).expect("a string is always JSON");
    let head = format!(r#"{{"event":"{}","shop":{shop},"timestamp":"{}","data":"#, event.event_type, event.occurred_at);
    [head.as_bytes(), data, b"}"].concat().into()
}

pub(super) fn headers(message: &Message<'_>, body: &[u8], sending: &Sending<'_>) -> Headers {
    let Message { event, data: _, tenant } = message;
    let name = branded(HEADER_PREFIX, tenant.header_prefix.as_ref());
    // GUESS: the moment of the attempt, where the body's is that of the event.
    let timestamp = sending.at.to_string();
    // One signature only: the published header has room for no second one.
    let signature = sign(sending.secrets[0], &timestamp, body);
    vec![
        ("content-type".into(), "application/json".to_owned()),
        ("user-agent".into(), "MageLoyalty-Webhook/1.0".to_owned()),
        (name("event"), event.event_type.to_string()),
        (name("timestamp"), timestamp),
        (name("signature"), signature),
    ]
}

/// `sha256=` and the hex of HMAC-SHA256 over `{timestamp}.{body}`; the timestamp is the header's exact text.
pub fn sign(secret: &Secret, timestamp: &str, body: &[u8]) -> String {
    let key = show_secret(secret);
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

pub(super) fn show_secret(secret: &Secret) -> String {
    hex::encode(secret.bytes())
}

pub(super) fn read_secret(text: &str) -> Option<Secret> {
    let is_lower_hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_lower_hex || text.len() != 2 * SECRET_BYTES {
        return None;
    }
    Secret::from_bytes(hex::decode(text).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "030a11181f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dc";

    #[test]
    fn the_known_answers_come_out() {
        let secret = read_secret(SECRET).unwrap();
        let points_earned = r#"{"event":"points.earned","shop":"my-store","timestamp":"2026-02-18T12:00:00.000Z","data":{"shopify_customer_id":"6789012345","email":null,"points_earned":50,"points_balance":500,"lifetime_points":900,"source":"manual","earning_rule_name":null,"order_number":null}}"#;
        let points_redeemed = r#"{"event":"points.redeemed","shop":"café","timestamp":"2026-02-18T12:00:01.000Z","data":{"reward_name":"€10 off"}}"#;
        for (timestamp, body, bytes, signature) in [
            (
                "2026-02-18T12:00:00.000Z",
                points_earned,
                264,
                "sha256=2b3b45684265124fde144d6f91b6c25c58da13cecadd3381365c50df6da18133",
            ),
            (
                "2026-02-18T12:00:01.000Z",
                points_redeemed,
                116,
                "sha256=07bc24ea818e7676f42c915037098de1f1e5f32b38365713a54312eb9741e0a1",
            ),
        ] {
            assert_eq!(body.len(), bytes);
            assert_eq!(sign(&secret, timestamp, body.as_bytes()), signature);
        }
        // The negative control: the key is the text, not the bytes that it spells.
        let mut decoded = Hmac::<Sha256>::new_from_slice(secret.bytes()).unwrap();
        decoded.update(format!("2026-02-18T12:00:00.000Z.{points_earned}").as_bytes());
        assert_eq!(
            hex::encode(decoded.finalize().into_bytes()),
            "7747fc5ed1db517ef131b2b358b49bb70540473cfade6661c7e17dc47b505c45"
        );
    }

    #[test]
    fn a_secret_reads_back_and_others_are_refused() {
        assert_eq!(show_secret(&read_secret(SECRET).unwrap()), SECRET);
        for text in ["", &SECRET[1..], &SECRET.to_uppercase(), &format!("{SECRET}00"), "whsec_AAAA"] {
            assert_eq!(read_secret(text), None, "{text}");
        }
    }
}
