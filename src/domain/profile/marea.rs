//! Marea: `X-Marea-Signature: t=<seconds>,v1=<hex>` over `{t}.{body}`, the secret's 64 hex digits decoded as the key.
//!
//! Source: developers.mareaalcalina.com, "Webhooks" and "Verifying signatures", contract of 2026-05-12.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::super::id::{EventId, SubscriptionId};
use super::super::public_id::MareaEndpointId;
use super::super::retry::{JITTER_PERCENT, Schedule};
use super::super::secret::Secret;
use super::super::subscription::Subscription;
use super::super::uuid::Uuid;
use super::recipe::{Encoding, HeaderRef, KeyForm, Recipe, TimePlace};
use super::{ApiVersion, Headers, Message, Sending, branded};

pub(super) const HEADER_PREFIX: &str = "x-marea-";
/// The edition of the contract that the envelope follows: the only one that is published.
pub(super) const API_VERSION: ApiVersion = ApiVersion::V2026_05_12;
const SECRET_BYTES: usize = 32;

/// Three attempts: at once, after 30 s, after 5 min. GUESS: the 5 minutes count from the attempt before.
pub(super) static SCHEDULE: Schedule =
    Schedule::new(&[Duration::ZERO, Duration::from_secs(30), Duration::from_secs(5 * 60)], JITTER_PERCENT);

pub(super) const RECIPE: Recipe = Recipe {
    key: KeyForm::Hex,
    id_header: None,
    time: TimePlace::InSignature,
    separator: '.',
    signature_header: HeaderRef::Branded("signature"),
    signature_prefix: "v1=",
    encoding: Encoding::Hex,
};

/// What surrounds the data, with the longest name of an event type.
const HEAD_BYTES_MAX: usize = 320;

/// `{"type","eventId","timestamp","apiVersion","data"}`
pub(super) fn body(message: &Message<'_>) -> Bytes {
    let Message { event, data, tenant: _ } = message;
    let mut body = Vec::with_capacity(HEAD_BYTES_MAX + data.len());
    let head = write!(
        body,
        r#"{{"type":"{}","eventId":"{}","timestamp":"{}","apiVersion":"{API_VERSION}","data":"#,
        event.event_type,
        event_id(event.id),
        event.occurred_at,
    );
    head.expect("a Vec takes everything");
    body.extend_from_slice(data);
    body.push(b'}');
    body.into()
}

pub(super) fn headers(message: &Message<'_>, body: &[u8], sending: &Sending<'_>) -> Headers {
    let Message { event, data: _, tenant } = message;
    let name = branded(HEADER_PREFIX, tenant.header_prefix.as_ref());
    vec![
        ("content-type".into(), "application/json".to_owned()),
        ("user-agent".into(), "marea-webhook/1.0".to_owned()),
        // One signature only: a rotated secret is dead at once.
        (name("signature"), sign(sending.secrets[0], sending.at.as_seconds(), body)),
        (name("event-type"), event.event_type.to_string()),
        (name("endpoint-id"), sending.subscription.marea_id().to_string()),
        (name("signing-version"), sending.secret_version.to_string()),
        (name("source"), scope(sending.subscription).to_owned()),
        (name("event-id"), event_id(event.id).to_string()),
        (name("delivery-id"), delivery_id(sending).to_string()),
    ]
}

/// `t=<seconds>,v1=<hex>`: HMAC-SHA256 over `{t}.{body}`. The timestamp is whole seconds since 1970.
pub fn sign(secret: &Secret, timestamp: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{timestamp}.").as_bytes());
    mac.update(body);
    format!("t={timestamp},v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// A UUIDv4 is published: ours is made from the text of the event's id, so that every attempt has the same.
pub fn event_id(id: EventId) -> Uuid {
    Uuid::v4_of(&id.to_string())
}

/// `mk_we_` and 16 hexadecimal digits, of which published contracts say no more: they are made from our own id.
pub fn endpoint_id(id: SubscriptionId) -> MareaEndpointId {
    let digest = Sha256::digest(id.to_string());
    let (first, _) = digest.split_first_chunk().expect("SHA-256 has 32 bytes");
    MareaEndpointId::from_bytes(*first)
}

/// One for each attempt: a probe has the number of the attempt that it stands for, so the moment counts too. GUESS:
/// its form.
fn delivery_id(sending: &Sending<'_>) -> Uuid {
    let Sending { subscription: _, delivery, number, secrets: _, secret_version: _, at } = sending;
    Uuid::v4_of(&format!("{delivery}.{number}.{at}"))
}

/// `merchant` is an endpoint that gets the orders of its own storefront alone. GUESS: the page names the two
/// values, and not where they come from.
pub fn scope(subscription: &Subscription) -> &'static str {
    SCOPES[usize::from(subscription.is_of_a_merchant())]
}

/// Of an endpoint.
pub const SCOPES: [&str; 2] = ["developer", "merchant"];

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
    use super::super::fixture::Fixture;
    use super::*;
    use crate::domain::id::KeyId;
    use crate::domain::restriction::Restriction;
    use crate::domain::subscription::Owner;

    const SECRET: &str = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210";
    const BODY: &str = r#"{"type":"order.paid","eventId":"3c90c3cc-0d44-4b50-8888-8dd25736052a","timestamp":"2026-05-12T19:00:00.000Z","apiVersion":"2026-05-12","data":{"orderId":"ord_1","storefrontId":"sf_1","merchantUid":"uid_1","paidAt":"2026-05-12T18:59:58.000Z","totalAmount":123.5,"currency":"MXN"}}"#;
    const SIGNED_AT: i64 = 1_778_612_400;

    fn hex_of_mac(key: &[u8], message: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(message);
        hex::encode(mac.finalize().into_bytes())
    }

    #[test]
    fn the_known_answers_come_out() {
        let secret = read_secret(SECRET).unwrap();
        assert_eq!(BODY.len(), 279);
        assert_eq!(
            hex::encode(Sha256::digest(BODY)),
            "780c76a81bf30b103a09f623462470872b7639e50038727a195aa7a88900e7fa"
        );
        for (body, signature) in [
            (BODY, "t=1778612400,v1=761bda7418a8a415cef8b8d09dadf2cb821f9f378b855017ea80700d0ec25b99"),
            ("", "t=1778612400,v1=67471f6a14aa598da07acc17c470e2d28bf63bd55d09d74da0d49dd625c0ba4a"),
        ] {
            assert_eq!(sign(&secret, SIGNED_AT, body.as_bytes()), signature);
        }
        // The negative control: the key is the bytes that the text spells, not the text.
        assert_eq!(
            hex_of_mac(SECRET.as_bytes(), format!("{SIGNED_AT}.{BODY}").as_bytes()),
            "f7896ed6cc56c778097a4d80401b8a6acb922d209f81085944d688b635e3384a"
        );
    }

    #[test]
    fn a_delivery_has_the_published_body_and_seven_headers() {
        let fixture = Fixture::default();
        fixture.with_message(|message, sending| {
            let body = body(message);
            assert_eq!(
                String::from_utf8_lossy(&body),
                r#"{"type":"order.paid","eventId":"e3ba83fd-b5e5-450f-9107-9c4fd8cca170","timestamp":"2026-05-12T19:00:00.250Z","apiVersion":"2026-05-12","data":{ "total" : 1.50 }}"#
            );
            let headers = headers(message, &body, sending);
            let shown: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            let mac = hex_of_mac(&[7; 32], &[b"1778612400.", &body[..]].concat());
            assert_eq!(
                shown,
                [
                    "content-type: application/json",
                    "user-agent: marea-webhook/1.0",
                    &format!("x-marea-signature: t=1778612400,v1={mac}"),
                    "x-marea-event-type: order.paid",
                    "x-marea-endpoint-id: mk_we_750abd99b13d16d0",
                    "x-marea-signing-version: 3",
                    "x-marea-source: developer",
                    "x-marea-event-id: e3ba83fd-b5e5-450f-9107-9c4fd8cca170",
                    "x-marea-delivery-id: 70c09305-8f09-4cdb-aa0c-7f366e030236",
                ]
            );
        });
    }

    #[test]
    fn attempts_share_the_event_id_and_have_a_delivery_id_each() {
        let fixture = Fixture::default();
        fixture.with_message(|message, sending| {
            let later = Sending { at: sending.at.plus(Duration::from_millis(1)), ..*sending };
            let second = Sending { number: 2, ..*sending };
            let id = |name: &str, sending: &Sending<'_>| {
                let headers = headers(message, b"", sending);
                headers.into_iter().find(|(known, _)| known == name).expect("it is there").1
            };
            for other in [&later, &second] {
                assert_eq!(id("x-marea-event-id", sending), id("x-marea-event-id", other));
                assert_ne!(id("x-marea-delivery-id", sending), id("x-marea-delivery-id", other));
            }
        });
    }

    #[test]
    fn an_endpoint_that_a_merchants_key_made_is_a_merchants() {
        let mut fixture = Fixture::default();
        let channels = vec!["sf_1".parse().unwrap()];
        fixture.subscription.channels = channels.clone();
        assert_eq!(scope(&fixture.subscription), "developer");
        let restriction = Restriction { allowed_events: vec!["order.*".parse().unwrap()], channels };
        fixture.subscription.owner = Owner::Key { id: KeyId::from_u128(9), restriction: Box::new(restriction) };
        fixture.with_message(|message, sending| {
            let headers = headers(message, b"", sending);
            assert!(headers.contains(&("x-marea-source".into(), "merchant".to_owned())), "{headers:?}");
        });
    }

    #[test]
    fn a_secret_reads_back_and_others_are_refused() {
        assert_eq!(show_secret(&read_secret(SECRET).unwrap()), SECRET);
        for text in ["", &SECRET[2..], &SECRET.to_uppercase(), &format!("{SECRET}00"), "whsec_AAAA"] {
            assert_eq!(read_secret(text), None, "{text}");
        }
    }
}
