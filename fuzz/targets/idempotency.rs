//! How bodies of requests with an `Idempotency-Key` are compared: what stands for a body stands for itself, and other
//! spaces make no other body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxwing::http::fuzzing::canonical;

fuzz_target!(|body: &[u8]| {
    let once = canonical(body);
    assert_eq!(canonical(&once), once);
    let spaced = [b" ", body, b"\n"].concat();
    if serde_json::from_slice::<serde_json::Value>(body).is_ok() {
        assert_eq!(canonical(&spaced), once);
    } else {
        assert_eq!(once, body);
    }
});
