// Verifies deliveries of Waxwing's profile `marea`. Crates: hex, hmac, sha2, subtle.
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

const TOLERANCE_SECONDS: u64 = 300;

/// Tells whether a delivery is genuine and recent. `body` is the bytes of the request, before any parser touched
/// them; `header` looks a header up by its lower-case name; `secret` is 64 lower-case hexadecimal characters.
pub fn verify<'a>(body: &[u8], header: impl Fn(&str) -> Option<&'a str>, secret: &str) -> bool {
    is_genuine(body, header, secret).unwrap_or(false)
}

/// None: a header or the secret is missing or malformed.
fn is_genuine<'a>(body: &[u8], header: impl Fn(&str) -> Option<&'a str>, secret: &str) -> Option<bool> {
    let signatures: Vec<&str> = header("x-marea-signature")?.split(',').collect();
    let timestamp = signatures.iter().find_map(|part| part.strip_prefix("t="))?;

    let signed_at: u64 = timestamp.parse().ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    if now.abs_diff(signed_at) > TOLERANCE_SECONDS {
        return Some(false);
    }

    let key = hex::decode(secret).ok()?;
    if key.is_empty() {
        return None;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{timestamp}.").as_bytes());
    mac.update(body);
    let expected = format!("v1={}", hex::encode(mac.finalize().into_bytes()));
    Some(signatures.iter().any(|signature| signature.as_bytes().ct_eq(expected.as_bytes()).into()))
}
