//! `Retry-After` as receivers write it: no text makes it panic, and digits mean seconds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxwing::domain::retry::parse_retry_after;
use waxwing::domain::time::Timestamp;

fuzz_target!(|input: (i64, &str)| {
    let (now, value) = input;
    let asked = parse_retry_after(value, Timestamp::from_millis(now));
    if let Ok(seconds) = value.trim().parse::<u64>()
        && value.trim().bytes().all(|byte| byte.is_ascii_digit())
    {
        assert_eq!(asked.map(|asked| asked.as_secs()), Some(seconds));
    }
});
