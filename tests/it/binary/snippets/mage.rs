// Verifies deliveries of Waxwing's profile `mage`. Crates: hex, hmac, sha2, subtle, time (features formatting, parsing).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const TOLERANCE_SECONDS: u64 = 300;

/// Tells whether a delivery is genuine and recent. `body` is the bytes of the request, before any parser touched
/// them; `header` looks a header up by its lower-case name; `secret` is 64 lower-case hexadecimal characters.
pub fn verify<'a>(body: &[u8], header: impl Fn(&str) -> Option<&'a str>, secret: &str) -> bool {
    is_genuine(body, header, secret).unwrap_or(false)
}

/// None: a header or the secret is missing or malformed.
fn is_genuine<'a>(body: &[u8], header: impl Fn(&str) -> Option<&'a str>, secret: &str) -> Option<bool> {
    let timestamp = header("x-webhook-timestamp")?;
    let signatures = [header("x-webhook-signature")?];

    let signed_at = OffsetDateTime::parse(timestamp, &Rfc3339).ok()?.unix_timestamp();
    let now = OffsetDateTime::now_utc().unix_timestamp();
    if now.abs_diff(signed_at) > TOLERANCE_SECONDS {
        return Some(false);
    }

    let key = secret.as_bytes();
    if key.is_empty() {
        return None;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("{timestamp}.").as_bytes());
    mac.update(body);
    let expected = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    Some(signatures.iter().any(|signature| signature.as_bytes().ct_eq(expected.as_bytes()).into()))
}
