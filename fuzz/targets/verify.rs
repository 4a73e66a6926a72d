//! Signatures as a receiver gets them: nothing that is not signed is believed, whatever its headers say.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use waxwing::domain::header::HeaderPrefix;
use waxwing::domain::key_pair::PublicKey;
use waxwing::domain::profile::Profile;
use waxwing::domain::profile::verify::{verify, verify_public};
use waxwing::domain::secret::Secret;
use waxwing::domain::time::Timestamp;

/// Unlike any secret that the seeds were signed with.
const SECRET: [u8; 32] = [0x5a; 32];

// Each line is a header `name: value` until an empty one; the rest is the body.
fuzz_target!(|input: &str| {
    let (head, body) = input.split_once("\n\n").unwrap_or((input, ""));
    let headers: Vec<(String, &str)> = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
    let secret = Secret::from_bytes(SECRET.to_vec()).expect("it is a secret");
    let now = Timestamp::from_millis(1_771_416_000_000);
    let prefix: Option<HeaderPrefix> = header("prefix").and_then(|text| text.trim().parse().ok());
    for tolerance in [None, Some(Duration::from_secs(300))] {
        for profile in Profile::ALL {
            assert!(verify(profile, prefix.as_ref(), &secret, header, body.as_bytes(), now, tolerance).is_err());
        }
        if let Some(key) = header("key").and_then(|text| text.trim().parse::<PublicKey>().ok()) {
            _ = verify_public(&key, header, body.as_bytes(), now, tolerance);
        }
    }
});
