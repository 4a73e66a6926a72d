//! Rows of the file, as one that was damaged or tampered with has them: none of them makes the program panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxwing::store::fuzzing::row;

// The table, the length of the key, the key, and the value.
fuzz_target!(|data: &[u8]| {
    let [table, key_length, rest @ ..] = data else { return };
    let (key, value) = rest.split_at(usize::from(*key_length).min(rest.len()));
    row(*table, key, value);
});
