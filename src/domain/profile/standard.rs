//! Standard Webhooks 1.0.0: `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,<base64>`, and `v1a,<base64>` beside it
//! when there is a key pair.
//!
//! Source: standard-webhooks/spec/standard-webhooks.md, sections "Webhook metadata" and "Signature scheme".

use std::io::Write;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::super::retry::{JITTER_PERCENT, Schedule};
use super::super::secret::Secret;
use super::recipe::{Encoding, HeaderRef, KeyForm, Recipe, TimePlace};
use super::{ApiVersion, Headers, Message, Sending};

const SECRET_PREFIX: &str = "whsec_";

const fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

/// 0, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h, each ± 10 % (contract 5.5).
pub(super) static SCHEDULE: Schedule = Schedule::new(
    &[
        Duration::ZERO,
        Duration::from_secs(5),
        minutes(5),
        minutes(30),
        minutes(2 * 60),
        minutes(5 * 60),
        minutes(10 * 60),
        minutes(14 * 60),
        minutes(20 * 60),
        minutes(24 * 60),
    ],
    JITTER_PERCENT,
);

/// The second one is for receivers that cannot read headers.
pub(super) const API_VERSIONS: [ApiVersion; 2] = [ApiVersion::V2026_04_01, ApiVersion::V2026_11_01];

pub(super) const RECIPE: Recipe = Recipe {
    key: KeyForm::Base64 { prefix: SECRET_PREFIX },
    id_header: Some(HeaderRef::Whole("webhook-id")),
    time: TimePlace::SecondsHeader(HeaderRef::Whole("webhook-timestamp")),
    separator: '.',
    signature_header: HeaderRef::Whole("webhook-signature"),
    signature_prefix: "v1,",
    encoding: Encoding::Base64,
};

/// What surrounds the data, with the longest name of an event type.
const HEAD_BYTES_MAX: usize = 320;

/// `{"type","timestamp","data"}`, from 2026-11-01 on `{"type","timestamp","id","api_version","data"}`.
pub(super) fn body(message: &Message<'_>, api_version: Option<ApiVersion>) -> Bytes {
    let Message { event, data, tenant: _ } = message;
    // Names and times need no escaping: their types allow no character that JSON would escape.
    let mut body = Vec::with_capacity(HEAD_BYTES_MAX + data.len());
    let head = match api_version {
        Some(version @ ApiVersion::V2026_11_01) => write!(
            body,
            r#"{{"type":"{}","timestamp":"{}","id":"{}","api_version":"{version}","data":"#,
            event.event_type, event.occurred_at, event.id
        ),
        Some(ApiVersion::V2026_04_01 | ApiVersion::V2026_05_12) | None => {
            write!(body, r#"{{"type":"{}","timestamp":"{}","data":"#, event.event_type, event.occurred_at)
        }
    };
    head.expect("a Vec takes everything");
    body.extend_from_slice(data);
    body.push(b'}');
    body.into()
}

/// `v1,` and 32 bytes in base64.
const SIGNATURE_LENGTH: usize = 3 + 44;

pub(super) fn headers(message: &Message<'_>, body: &[u8], sending: &Sending<'_>) -> Headers {
    let Sending { subscription, delivery: _, number: _, secrets, secret_version: _, at } = sending;
    let id = message.event.id.to_string();
    let timestamp = at.as_seconds();
    let mut signatures = String::with_capacity(SIGNATURE_LENGTH * secrets.len() + secrets.len());
    for secret in *secrets {
        if !signatures.is_empty() {
            signatures.push(' ');
        }
        signatures.push_str(&sign(secret, &id, timestamp, body));
    }
    if let Some(pairs) = &subscription.key_pairs {
        let text = signed_text(&id, timestamp, body);
        for pair in pairs.signing_at(*at) {
            signatures.push_str(" v1a,");
            STANDARD.encode_string(pair.sign(&text), &mut signatures);
        }
    }
    vec![
        ("content-type".into(), "application/json".to_owned()),
        ("user-agent".into(), concat!("Waxwing/", env!("CARGO_PKG_VERSION")).to_owned()),
        ("webhook-id".into(), id),
        ("webhook-timestamp".into(), timestamp.to_string()),
        ("webhook-signature".into(), signatures),
    ]
}

/// `v1,` and the base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`. The timestamp is whole seconds since 1970.
pub fn sign(secret: &Secret, id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.bytes()).expect("HMAC takes keys of any length");
    mac.update(id.as_bytes());
    mac.update(format!(".{timestamp}.").as_bytes());
    mac.update(body);
    let mut signature = String::with_capacity(SIGNATURE_LENGTH);
    signature.push_str("v1,");
    STANDARD.encode_string(mac.finalize().into_bytes(), &mut signature);
    signature
}

/// What an ed25519 pair signs: `{id}.{timestamp}.{body}`, as one text since it is read twice.
pub(super) fn signed_text(id: &str, timestamp: i64, body: &[u8]) -> Vec<u8> {
    [format!("{id}.{timestamp}.").as_bytes(), body].concat()
}

pub(super) fn show_secret(secret: &Secret) -> String {
    format!("{SECRET_PREFIX}{}", STANDARD.encode(secret.bytes()))
}

pub(super) fn read_secret(text: &str) -> Option<Secret> {
    let bytes = STANDARD.decode(text.strip_prefix(SECRET_PREFIX)?).ok()?;
    Secret::from_bytes(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Fixture;
    use super::*;

    #[test]
    fn the_known_answer_of_the_reference_libraries_comes_out() {
        let secret = read_secret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        assert_eq!(
            sign(&secret, "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1_649_367_553, body),
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="
        );
    }

    #[test]
    fn each_version_has_its_body_and_the_data_keeps_its_bytes() {
        Fixture::default().with_message(|message, _| {
            for (version, expected) in [
                (
                    None,
                    r#"{"type":"order.paid","timestamp":"2026-05-12T19:00:00.250Z","data":{ "total" : 1.50 }}"#,
                ),
                (
                    Some(ApiVersion::V2026_04_01),
                    r#"{"type":"order.paid","timestamp":"2026-05-12T19:00:00.250Z","data":{ "total" : 1.50 }}"#,
                ),
                (
                    Some(ApiVersion::V2026_11_01),
                    r#"{"type":"order.paid","timestamp":"2026-05-12T19:00:00.250Z","id":"evt_01h2xcejqtf2nbrexx3vqjhp41","api_version":"2026-11-01","data":{ "total" : 1.50 }}"#,
                ),
            ] {
                assert_eq!(body(message, version), expected, "{version:?}");
            }
        });
    }

    #[test]
    fn a_secret_reads_back_and_others_are_refused() {
        let text = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
        assert_eq!(show_secret(&read_secret(text).unwrap()), text);
        let too_long = format!("whsec_{}", STANDARD.encode([1; 65]));
        for text in ["", "whsec_", "C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_????", "whsec_YQ==", &too_long] {
            assert_eq!(read_secret(text), None, "{text}");
        }
    }
}
