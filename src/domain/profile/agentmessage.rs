//! AgentMessage: `X-AmCore-Signature: t=<seconds>,v1=<hex>` over `{t}\n{body}`, the secret's base64 decoded as the key.
//!
//! Source: agentmessage.io/docs/webhooks, "rotateWebhookSecret" (signature) and "createWebhookEndpoint" (secret). The
//! page about deliveries is not public. GUESS: the envelope, the headers beside the signature, the `User-Agent`, that the
//! key is the decoded secret, and that the schedule is that of `standard`.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::super::id::EventId;
use super::super::secret::Secret;
use super::super::time::Timestamp;
use super::super::uuid::Uuid;
use super::recipe::{Encoding, HeaderRef, KeyForm, Recipe, TimePlace};
use super::{ApiVersion, Headers, Message, Sending, branded};

pub(super) use super::standard::SCHEDULE;

pub(super) const HEADER_PREFIX: &str = "x-amcore-";
/// The edition of the contract that the envelope follows: the only one that is published.
pub(super) const API_VERSION: ApiVersion = ApiVersion::V2026_04_01;
const SECRET_BYTES: usize = 32;
/// Of a moment: its times have no fractions of a second.
const LENGTH_UP_TO_SECONDS: usize = "2026-04-26T12:00:00".len();

pub(super) const RECIPE: Recipe = Recipe {
    key: KeyForm::Base64 { prefix: "" },
    id_header: None,
    time: TimePlace::InSignature,
    separator: '\n',
    signature_header: HeaderRef::Branded("signature"),
    signature_prefix: "v1=",
    encoding: Encoding::Hex,
};

/// What surrounds the data, with the longest name of an event type.
const HEAD_BYTES_MAX: usize = 384;

/// `{"id","type","api_version","created_at","org_id","data"}`
pub(super) fn body(message: &Message<'_>) -> Bytes {
    let Message { event, data, tenant } = message;
    let mut body = Vec::with_capacity(HEAD_BYTES_MAX + data.len());
    let head = write!(
        body,
        r#"{{"id":"{}","type":"{}","api_version":"{API_VERSION}","created_at":"{}","org_id":"{}","data":"#,
        event_id(event.id),
        event.event_type,
        in_seconds(event.occurred_at),
        Uuid::from_u128(tenant.id.as_u128()),
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
        ("user-agent".into(), "AgentMessage-Webhook/1.0".to_owned()),
        // One signature only: also while a former secret is still acceptable, the current one signs.
        (name("signature"), sign(sending.secrets[0], sending.at.as_seconds(), body)),
        (name("event-id"), event_id(event.id)),
        (name("endpoint-id"), sending.subscription.agentmessage_id().to_string()),
    ]
}

/// `t=<seconds>,v1=<hex>`: HMAC-SHA256 over `{t}`, a newline and the body. The timestamp is whole seconds since 1970.
pub fn sign(secret: &Secret, timestamp: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{timestamp}\n").as_bytes());
    mac.update(body);
    format!("t={timestamp},v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// `evt_` and a UUID: our own id in that form.
pub fn event_id(id: EventId) -> String {
    format!("evt_{}", Uuid::from_u128(id.as_u128()))
}

/// RFC 3339 in whole seconds: the form of all its times.
pub fn in_seconds(at: Timestamp) -> String {
    format!("{}Z", &at.to_string()[..LENGTH_UP_TO_SECONDS])
}

pub(super) fn show_secret(secret: &Secret) -> String {
    STANDARD.encode(secret.bytes())
}

pub(super) fn read_secret(text: &str) -> Option<Secret> {
    let bytes = STANDARD.decode(text).ok().filter(|bytes| bytes.len() == SECRET_BYTES)?;
    Secret::from_bytes(bytes).ok()
}

#[cfg(test)]
mod tests {
    use sha2::Digest;

    use super::super::fixture::Fixture;
    use super::*;

    const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const BODY: &str = r#"{"id":"evt_018f2d0c-7a4c-7f3e-8f1f-3a2b9c1d2e0f","type":"webhook.test","api_version":"2026-04-01","created_at":"2026-04-26T12:00:00Z","data":{}}"#;
    const SIGNED_AT: i64 = 1_777_204_800;

    fn hex_of_mac(key: &[u8], message: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(message);
        hex::encode(mac.finalize().into_bytes())
    }

    #[test]
    fn the_known_answer_comes_out() {
        let secret = read_secret(SECRET).unwrap();
        assert_eq!(secret.bytes(), (0..32).collect::<Vec<u8>>());
        assert_eq!(BODY.len(), 144);
        assert_eq!(
            hex::encode(Sha256::digest(BODY)),
            "09dc2569036a2396fe206e6aed648a05d4bf742a7d6e6774a6c3bf1c03d1b6dc"
        );
        assert_eq!(
            sign(&secret, SIGNED_AT, BODY.as_bytes()),
            "t=1777204800,v1=71ca3c1470981f8620a735fc89596a153835ddb57f0989518c22db16fedd0a8b"
        );
        // The negative controls: the key is not the text, and a newline, not a dot, follows the timestamp.
        for (key, separator, expected) in [
            (SECRET.as_bytes(), "\n", "2f2fe2776fe86cbc76ffce73c24c37dffd7abf642ec1f2c84b0e782f55457249"),
            (secret.bytes(), ".", "ccbe921393be0319083e1d0647597e20bb2a3619d06a01d4ad814be5482d97c0"),
        ] {
            assert_eq!(hex_of_mac(key, format!("{SIGNED_AT}{separator}{BODY}").as_bytes()), expected);
        }
    }

    #[test]
    fn a_delivery_has_the_body_and_the_headers_that_we_chose() {
        let fixture = Fixture::default();
        fixture.with_message(|message, sending| {
            let body = body(message);
            assert_eq!(
                String::from_utf8_lossy(&body),
                r#"{"id":"evt_0188bac7-4afa-78aa-bc3b-bd1eef28d881","type":"order.paid","api_version":"2026-04-01","created_at":"2026-05-12T19:00:00Z","org_id":"00000000-0000-7000-8000-000000000001","data":{ "total" : 1.50 }}"#
            );
            let headers = headers(message, &body, sending);
            let shown: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            let mac = hex_of_mac(&[7; 32], &[b"1778612400\n", &body[..]].concat());
            assert_eq!(
                shown,
                [
                    "content-type: application/json",
                    "user-agent: AgentMessage-Webhook/1.0",
                    &format!("x-amcore-signature: t=1778612400,v1={mac}"),
                    "x-amcore-event-id: evt_0188bac7-4afa-78aa-bc3b-bd1eef28d881",
                    "x-amcore-endpoint-id: 00000000-0000-0000-0000-000000000005",
                ]
            );
        });
    }

    #[test]
    fn a_secret_reads_back_and_others_are_refused() {
        assert_eq!(show_secret(&read_secret(SECRET).unwrap()), SECRET);
        let (shorter, longer) = (STANDARD.encode([1; 31]), STANDARD.encode([1; 33]));
        let texts =
            ["", &SECRET[..43], &SECRET.replace('=', ""), &shorter, &longer, "whsec_AAAA", &format!("{SECRET}\n")];
        for text in texts {
            assert_eq!(read_secret(text), None, "{text}");
        }
        // The same bytes have one text only.
        assert_eq!(read_secret(&SECRET.replace("h8=", "h9=")), None);
    }
}
