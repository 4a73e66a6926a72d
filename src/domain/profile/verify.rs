//! The receiver's side: whether a delivery was signed with a secret, and why not.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use super::super::header::HeaderPrefix;
use super::super::key_pair::PublicKey;
use super::super::secret::Secret;
use super::super::subscription::Subscription;
use super::super::tenant::Tenant;
use super::super::time::Timestamp;
use super::{Profile, agentmessage, branded, mage, marea, standard};

/// How far a timestamp may lie from the receiver's clock (Standard Webhooks 1.0.0: the reference libraries' 5 minutes).
pub const TOLERANCE_DEFAULT: Duration = Duration::from_secs(300);

/// Why a delivery is not to be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    #[error("the header `{0}` is missing")]
    MissingHeader(Cow<'static, str>),
    #[error("`{header}: {text}` is not {expected}")]
    InvalidTimestamp { header: Cow<'static, str>, text: String, expected: &'static str },
    #[error("the timestamp is {} s old; {} s are tolerated: a replay, or a clock that is wrong", .by.as_secs(), .tolerated.as_secs())]
    TooOld { by: Duration, tolerated: Duration },
    #[error("the timestamp is {} s ahead; {} s are tolerated: one of the two clocks is wrong", .by.as_secs(), .tolerated.as_secs())]
    TooNew { by: Duration, tolerated: Duration },
    /// The header is there, but holds no signature of a kind that this secret could have made.
    #[error("the header `{header}` holds no `{expected}` signature")]
    NoSignature { header: Cow<'static, str>, expected: &'static str },
    #[error("no signature fits: it was made with another secret, or the body or the timestamp was changed on its way")]
    WrongSignature,
}

/// What a delivery says of its signature, and what the signature would have to be.
struct Claim<'a> {
    signed_at: Timestamp,
    header: Cow<'static, str>,
    signatures: Vec<&'a str>,
    /// What each begins with.
    kind: &'static str,
    expected: String,
}

/// Believes a delivery, or says why not. `header` looks a header up by its lower-case name, in which `prefix` is the
/// tenant's brand part, if it has one. `tolerance`: none to take a timestamp of any age.
pub fn verify<'a>(
    profile: Profile,
    prefix: Option<&HeaderPrefix>,
    secret: &Secret,
    header: impl Fn(&str) -> Option<&'a str>,
    body: &[u8],
    now: Timestamp,
    tolerance: Option<Duration>,
) -> Result<(), Mismatch> {
    let header =
        |name: &Cow<'static, str>| header(name).map(str::trim).ok_or_else(|| Mismatch::MissingHeader(name.clone()));
    let claim = match profile {
        Profile::Standard => standard_claim(secret, header, body),
        Profile::Mage => mage_claim(branded(mage::HEADER_PREFIX, prefix), secret, header, body),
        Profile::Marea => {
            pair_claim(branded(marea::HEADER_PREFIX, prefix), header, |seconds| marea::sign(secret, seconds, body))
        }
        Profile::AgentMessage => pair_claim(branded(agentmessage::HEADER_PREFIX, prefix), header, |seconds| {
            agentmessage::sign(secret, seconds, body)
        }),
    };
    let Claim { signed_at, header, signatures, kind, expected } = claim?;
    let mut candidates = signatures.into_iter().filter(|text| text.starts_with(kind)).peekable();
    if candidates.peek().is_none() {
        return Err(Mismatch::NoSignature { header, expected: kind });
    }
    if !candidates.any(|candidate| candidate.as_bytes().ct_eq(expected.as_bytes()).into()) {
        return Err(Mismatch::WrongSignature);
    }
    // After the signature: a wrong secret is the better news than an old timestamp that anyone could have written.
    check_age(signed_at, now, tolerance)
}

/// Believes a delivery that the subscription could have signed at `at`, with the secret that it has now or with the one
/// before that still signed then. `header` is as with [`verify`].
pub fn verify_any<'a>(
    subscription: &Subscription,
    tenant: &Tenant,
    header: impl Fn(&str) -> Option<&'a str> + Copy,
    body: &[u8],
    at: Timestamp,
) -> Result<(), Mismatch> {
    let mut secrets = subscription.signer(tenant).secrets(at);
    let prefix = tenant.header_prefix.as_ref();
    let judge = |secret| verify(subscription.profile, prefix, secret, header, body, at, Some(TOLERANCE_DEFAULT));
    let first = judge(secrets.next().expect("a subscription has a secret"));
    first.or_else(|mismatch| secrets.map(judge).find(Result::is_ok).unwrap_or(Err(mismatch)))
}

/// Believes a delivery of the profile `standard` by one of its ed25519 signatures (`v1a`), or says why not. The rest is as
/// with [`verify`].
pub fn verify_public<'a>(
    key: &PublicKey,
    header: impl Fn(&str) -> Option<&'a str>,
    body: &[u8],
    now: Timestamp,
    tolerance: Option<Duration>,
) -> Result<(), Mismatch> {
    let header = |name: &'static str| header(name).map(str::trim).ok_or(Mismatch::MissingHeader(name.into()));
    let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
    let signatures = header("webhook-signature")?;
    let seconds = read_seconds(timestamp, "webhook-timestamp".into())?;
    let mut candidates = signatures.split_ascii_whitespace().filter_map(|text| text.strip_prefix("v1a,")).peekable();
    if candidates.peek().is_none() {
        return Err(Mismatch::NoSignature { header: "webhook-signature".into(), expected: "v1a," });
    }
    let text = standard::signed_text(id, seconds, body);
    let fits = |signature: &str| STANDARD.decode(signature).is_ok_and(|signature| key.fits(&text, &signature));
    if !candidates.any(fits) {
        return Err(Mismatch::WrongSignature);
    }
    check_age(at_seconds(seconds), now, tolerance)
}

fn check_age(signed_at: Timestamp, now: Timestamp, tolerance: Option<Duration>) -> Result<(), Mismatch> {
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

fn standard_claim<'a>(
    secret: &Secret,
    header: impl Fn(&Cow<'static, str>) -> Result<&'a str, Mismatch>,
    body: &[u8],
) -> Result<Claim<'a>, Mismatch> {
    let timestamp_header = Cow::Borrowed("webhook-timestamp");
    let (id, timestamp) = (header(&"webhook-id".into())?, header(&timestamp_header)?);
    let signatures = header(&"webhook-signature".into())?;
    let seconds = read_seconds(timestamp, timestamp_header)?;
    Ok(Claim {
        signed_at: at_seconds(seconds),
        header: "webhook-signature".into(),
        signatures: signatures.split_ascii_whitespace().collect(),
        kind: "v1,",
        expected: standard::sign(secret, id, seconds, body),
    })
}

fn mage_claim<'a>(
    name: impl Fn(&str) -> Cow<'static, str>,
    secret: &Secret,
    header: impl Fn(&Cow<'static, str>) -> Result<&'a str, Mismatch>,
    body: &[u8],
) -> Result<Claim<'a>, Mismatch> {
    let timestamp = header(&name("timestamp"))?;
    let signature = header(&name("signature"))?;
    let signed_at = timestamp.parse::<Timestamp>().map_err(|_| Mismatch::InvalidTimestamp {
        header: name("timestamp"),
        text: timestamp.to_owned(),
        expected: "an RFC 3339 date and time",
    })?;
    Ok(Claim {
        signed_at,
        header: name("signature"),
        signatures: vec![signature],
        kind: "sha256=",
        expected: mage::sign(secret, timestamp, body),
    })
}

/// `t=<seconds>,v1=<hex>` in one header; `sign` makes the whole of it.
fn pair_claim<'a>(
    name: impl Fn(&str) -> Cow<'static, str>,
    header: impl Fn(&Cow<'static, str>) -> Result<&'a str, Mismatch>,
    sign: impl Fn(i64) -> String,
) -> Result<Claim<'a>, Mismatch> {
    let parts: Vec<&str> = header(&name("signature"))?.split(',').map(str::trim).collect();
    let timestamp = parts.iter().find_map(|part| part.strip_prefix("t=")).unwrap_or_default();
    let seconds = read_seconds(timestamp, name("signature"))?;
    let signed = sign(seconds);
    let (_, expected) = signed.split_once(',').expect("it signs `t=…,v1=…`");
    Ok(Claim {
        signed_at: at_seconds(seconds),
        header: name("signature"),
        signatures: parts,
        kind: "v1=",
        expected: expected.to_owned(),
    })
}

fn read_seconds(text: &str, header: Cow<'static, str>) -> Result<i64, Mismatch> {
    let expected = "whole seconds since 1970";
    text.parse().map_err(|_| Mismatch::InvalidTimestamp { header, text: text.to_owned(), expected })
}

fn at_seconds(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds.saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::super::super::key_pair::KeyPair;
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
        match verify(Profile::Standard, None, &secret, header, body, now, Some(TOLERANCE_DEFAULT)) {
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
    fn a_delivery_is_believed_by_its_public_key_only_when_all_of_it_fits() {
        let [pair, other] = [1, 2].map(|byte| KeyPair::from_private(&[byte; 32]));
        let signed = |pair: &KeyPair, timestamp: i64| {
            let text = [format!("evt_1.{timestamp}.").as_bytes(), BODY].concat();
            format!("v1a,{}", STANDARD.encode(pair.sign(&text)))
        };
        let (fits, of_other) = (signed(&pair, 1_649_367_553), signed(&other, 1_649_367_553));
        let judge = |key: &KeyPair, signature: &str, body: &[u8], later: i64| {
            let header = |name: &str| match name {
                "webhook-id" => Some("evt_1"),
                "webhook-timestamp" => Some("1649367553"),
                "webhook-signature" => Some(signature),
                _ => None,
            };
            let now = Timestamp::from_millis((1_649_367_553 + later) * 1000);
            match verify_public(&key.public(), header, body, now, Some(TOLERANCE_DEFAULT)) {
                Ok(()) => "verified".to_owned(),
                Err(mismatch) => mismatch.to_string(),
            }
        };
        let wrong = Mismatch::WrongSignature.to_string();
        for (key, signature, body, later, expected) in [
            (&pair, fits.as_str(), BODY, 0, "verified"),
            (&pair, &format!("{SIGNATURE} {of_other} {fits}"), BODY, 300, "verified"),
            (&other, &fits, BODY, 0, &wrong),
            (&pair, &fits, b"{}", 0, &wrong),
            (&pair, &signed(&pair, 1_649_367_554), BODY, 0, &wrong),
            (&pair, "v1a,????", BODY, 0, &wrong),
            (&pair, SIGNATURE, BODY, 0, "the header `webhook-signature` holds no `v1a,` signature"),
            (
                &pair,
                &fits,
                BODY,
                301,
                "the timestamp is 301 s old; 300 s are tolerated: a replay, or a clock that is wrong",
            ),
        ] {
            assert_eq!(judge(key, signature, body, later), expected);
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
        let judge = |body: &str| verify(Profile::Mage, None, &secret, header, body.as_bytes(), Timestamp::MIN, None);
        assert_eq!(judge(body), Ok(()));
        assert_eq!(judge(&body.replace("10", "90")), Err(Mismatch::WrongSignature));
    }

    const MAREA_SECRET: &str = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210";
    const MAREA_BODY: &str = r#"{"type":"order.paid","eventId":"3c90c3cc-0d44-4b50-8888-8dd25736052a","timestamp":"2026-05-12T19:00:00.000Z","apiVersion":"2026-05-12","data":{"orderId":"ord_1","storefrontId":"sf_1","merchantUid":"uid_1","paidAt":"2026-05-12T18:59:58.000Z","totalAmount":123.5,"currency":"MXN"}}"#;
    const MAREA_MAC: &str = "761bda7418a8a415cef8b8d09dadf2cb821f9f378b855017ea80700d0ec25b99";
    const AGENTMESSAGE_SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const AGENTMESSAGE_BODY: &str = r#"{"id":"evt_018f2d0c-7a4c-7f3e-8f1f-3a2b9c1d2e0f","type":"webhook.test","api_version":"2026-04-01","created_at":"2026-04-26T12:00:00Z","data":{}}"#;
    const AGENTMESSAGE_MAC: &str = "71ca3c1470981f8620a735fc89596a153835ddb57f0989518c22db16fedd0a8b";

    #[test]
    fn a_pair_of_time_and_signature_is_believed_only_with_its_published_answer() {
        let wrong = Mismatch::WrongSignature.to_string();
        for (profile, name, secret, body, signed_at, mac, negatives) in [
            (
                Profile::Marea,
                "x-marea-signature",
                MAREA_SECRET,
                MAREA_BODY,
                1_778_612_400_i64,
                MAREA_MAC,
                // The secret's text as the key; the signature of an empty body.
                [
                    "f7896ed6cc56c778097a4d80401b8a6acb922d209f81085944d688b635e3384a",
                    "67471f6a14aa598da07acc17c470e2d28bf63bd55d09d74da0d49dd625c0ba4a",
                ],
            ),
            (
                Profile::AgentMessage,
                "x-amcore-signature",
                AGENTMESSAGE_SECRET,
                AGENTMESSAGE_BODY,
                1_777_204_800,
                AGENTMESSAGE_MAC,
                // The secret's text as the key; a dot where the newline is.
                [
                    "2f2fe2776fe86cbc76ffce73c24c37dffd7abf642ec1f2c84b0e782f55457249",
                    "ccbe921393be0319083e1d0647597e20bb2a3619d06a01d4ad814be5482d97c0",
                ],
            ),
        ] {
            let secret = profile.read_secret(secret).unwrap();
            let judge = |value: Option<&str>, body: &str, later: i64| {
                let header = |asked: &str| value.filter(|_| asked == name);
                let now = Timestamp::from_millis((signed_at + later) * 1000);
                let verdict = verify(profile, None, &secret, header, body.as_bytes(), now, Some(TOLERANCE_DEFAULT));
                verdict.map_or_else(|mismatch| mismatch.to_string(), |()| "verified".to_owned())
            };
            let old = "the timestamp is 301 s old; 300 s are tolerated: a replay, or a clock that is wrong";
            let good = format!("t={signed_at},v1={mac}");
            for (value, later, expected) in [
                (good.as_str(), 0, "verified"),
                (&format!(" v1={mac} , t={signed_at} "), 0, "verified"),
                (&format!("t={signed_at},v1={},v1={mac}", negatives[0]), 0, "verified"),
                (&good, 300, "verified"),
                (&good, -300, "verified"),
                (&good, 301, old),
                (&format!("t={},v1={mac}", signed_at + 1), 0, &wrong),
                (&format!("t={signed_at},v1={}", negatives[0]), 0, &wrong),
                (&format!("t={signed_at},v1={}", negatives[1]), 0, &wrong),
                (&format!("t={signed_at},v1={}", mac.to_uppercase()), 0, &wrong),
                (&format!("t={signed_at}"), 0, &format!("the header `{name}` holds no `v1=` signature")),
                (&format!("v1={mac}"), 0, &format!("`{name}: ` is not whole seconds since 1970")),
                ("t=today,v1=", 0, &format!("`{name}: today` is not whole seconds since 1970")),
            ] {
                assert_eq!(judge(Some(value), body, later), expected, "{value}");
            }
            assert_eq!(judge(Some(&good), &body.replace("data", "Data"), 0), wrong);
            assert_eq!(judge(None, body, 0), format!("the header `{name}` is missing"));
        }
    }

    #[test]
    fn a_tenants_own_brand_part_is_looked_for_instead_of_the_profiles() {
        let secret = Profile::Marea.read_secret(MAREA_SECRET).unwrap();
        let prefix: HeaderPrefix = "X-Acme-".parse().unwrap();
        let value = format!("t=1778612400,v1={MAREA_MAC}");
        let header = |name: &str| (name == "x-acme-signature").then_some(value.as_str());
        let judge =
            |prefix| verify(Profile::Marea, prefix, &secret, header, MAREA_BODY.as_bytes(), Timestamp::MIN, None);
        assert_eq!(judge(Some(&prefix)), Ok(()));
        assert_eq!(judge(None), Err(Mismatch::MissingHeader("x-marea-signature".into())));
    }
}
