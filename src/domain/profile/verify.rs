//! The receiver's side: whether a delivery was signed with a secret, and why not.

use std::time::Duration;

use subtle::ConstantTimeEq;

use super::super::secret::Secret;
use super::super::time::Timestamp;
use super::{Profile, mage, standard};

/// How far a timestamp may lie from the receiver's clock (Standard Webhooks 1.0.0: the reference libraries' 5 minutes).
pub const TOLERANCE_DEFAULT: Duration = Duration::from_secs(300);

/// Why a delivery is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    #[error("the header `{0}` is missing")]
    MissingHeader(&'static str),
    #[error("`{header}: {text}` is not {expected}")]
    InvalidTimestamp { header: &'static str, text: String, expected: &'static str },
    #[error("the timestamp is {} s old; {} s are tolerated: a replay, or a clock that is wrong", .by.as_secs(), .tolerated.as_secs())]
    TooOld { by: Duration, tolerated: Duration },
    #[error("the timestamp is {} s ahead; {} s are tolerated: one of the two clocks is wrong", .by.as_secs(), .tolerated.as_secs())]
    TooNew { by: Duration, tolerated: Duration },
    /// The header is there, but holds no signature of a kind that this secret could have made.
    #[error("the header `{header}` holds no `{expected}` signature")]
    NoSignature { header: &'static str, expected: &'static str },
    #[error("no signature fits: it was made with another secret, or the body or the timestamp was changed on its way")]
    WrongSignature,
}

/// Believes a delivery, or says why not. `header` looks a header up by its lower-case name. `tolerance`: none to take
/// a timestamp of any age.
pub fn verify<'a>(
    profile: Profile,
    secret: &Secret,
    header: impl Fn(&str) -> Option<&'a str>,
    body: &[u8],
    now: Timestamp,
    tolerance: Option<Duration>,
) -> Result<(), Mismatch> {
    let header = |name: &'static str| header(name).map(str::trim).ok_or(Mismatch::MissingHeader(name));
    let (signed_at, (name, signatures), prefix, expected) = match profile {
        Profile::Standard => {
            let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
            let signatures = header("webhook-signature")?;
            let Ok(seconds) = timestamp.parse::<i64>() else {
                return Err(Mismatch::InvalidTimestamp {
                    header: "webhook-timestamp",
                    text: timestamp.to_owned(),
                    expected: "whole seconds since 1970",
                });
            };
            let signed_at = Timestamp::from_millis(seconds.saturating_mul(1000));
            let expected = standard::sign(secret, id, seconds, body);
            (signed_at, ("webhook-signature", signatures), "v1,", expected)
        }
        Profile::Mage => {
            let timestamp = header("x-webhook-timestamp")?;
            let signature = header("x-webhook-signature")?;
            let Ok(signed_at) = timestamp.parse::<Timestamp>() else {
                return Err(Mismatch::InvalidTimestamp {
                    header: "x-webhook-timestamp",
                    text: timestamp.to_owned(),
                    expected: "an RFC 3339 date and time",
                });
            };
            (signed_at, ("x-webhook-signature", signature), "sha256=", mage::sign(secret, timestamp, body))
        }
    };
    let mut candidates = signatures.split_ascii_whitespace().filter(|text| text.starts_with(prefix)).peekable();
    if candidates.peek().is_none() {
        return Err(Mismatch::NoSignature { header: name, expected: prefix });
    }
    if !candidates.any(|candidate| candidate.as_bytes().ct_eq(expected.as_bytes()).into()) {
        return Err(Mismatch::WrongSignature);
    }
    // After the signature: a wrong secret is the better news than an old timestamp that anyone could have written.
    let Some(tolerated) = tolerance else { return Ok(()) };
    let (age, lead) = (now.since(signed_at), signed_at.since(now));
    if age > tolerated {
        Err(Mismatch::TooOld { by: age, tolerated })
    } else if lead > tolerated {
        Err(Mismatch::TooNew { by: lead, tolerated })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
    const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

    /// Verifies the known answer of the reference libraries with `changed` headers (`-` takes one away), `later`
    /// seconds after it was signed.
    fn judge(changed: &[(&str, &str)], body: &[u8], later: i64) -> String {
        let secret = Profile::Standard.read_secret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
        let headers = [
            ("webhook-id", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"),
            ("webhook-timestamp", "1649367553"),
            ("webhook-signature", SIGNATURE),
        ];
        let header = |name: &str| {
            let all = changed.iter().chain(&headers);
            all.copied().find(|(known, _)| *known == name).map(|(_, value)| value).filter(|value| *value != "-")
        };
        let now = Timestamp::from_millis((1_649_367_553 + later) * 1000);
        match verify(Profile::Standard, &secret, header, body, now, Some(TOLERANCE_DEFAULT)) {
            Ok(()) => "verified".to_owned(),
            Err(mismatch) => mismatch.to_string(),
        }
    }

    #[test]
    fn a_delivery_is_believed_only_when_all_of_it_fits() {
        let two = format!("v1,c2lnbmVkIHdpdGggdGhlIG90aGVyIHNlY3JldA== {SIGNATURE}");
        let wrong =
            "no signature fits: it was made with another secret, or the body or the timestamp was changed on its way";
        for (changed, body, later, expected) in [
            (&[][..], BODY, 0, "verified"),
            (&[("webhook-signature", two.as_str())], BODY, 0, "verified"),
            (&[], BODY, 300, "verified"),
            (&[], BODY, -300, "verified"),
            (&[], BODY, 301, "the timestamp is 301 s old; 300 s are tolerated: a replay, or a clock that is wrong"),
            (&[], BODY, -301, "the timestamp is 301 s ahead; 300 s are tolerated: one of the two clocks is wrong"),
            (&[], b"{}", 0, wrong),
            (&[("webhook-timestamp", "1649367554")], BODY, 0, wrong),
            (&[("webhook-id", "msg_other")], BODY, 0, wrong),
            (&[("webhook-id", "-")], BODY, 0, "the header `webhook-id` is missing"),
            (&[("webhook-signature", "v1a,abc")], BODY, 0, "the header `webhook-signature` holds no `v1,` signature"),
            (&[("webhook-timestamp", "today")], BODY, 0, "`webhook-timestamp: today` is not whole seconds since 1970"),
        ] {
            assert_eq!(judge(changed, body, later), expected);
        }
    }

    #[test]
    fn a_mage_delivery_is_believed_with_its_published_answer() {
        let secret = "030a11181f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dc";
        let secret = Profile::Mage.read_secret(secret).unwrap();
        let body = r#"{"event":"points.redeemed","shop":"café","timestamp":"2026-02-18T12:00:01.000Z","data":{"reward_name":"€10 off"}}"#;
        let header = |name: &str| match name {
            "x-webhook-timestamp" => Some("2026-02-18T12:00:01.000Z"),
            "x-webhook-signature" => Some("sha256=07bc24ea818e7676f42c915037098de1f1e5f32b38365713a54312eb9741e0a1"),
            _ => None,
        };
        let judge = |body: &str| verify(Profile::Mage, &secret, header, body.as_bytes(), Timestamp::MIN, None);
        assert_eq!(judge(body), Ok(()));
        assert_eq!(judge(&body.replace("10", "90")), Err(Mismatch::WrongSignature));
    }
}
