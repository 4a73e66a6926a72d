//! `Accept-Language` as clients write it: the answer is a language that is spoken here.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxwing::domain::language::Language;
use waxwing::http::fuzzing::accepted_language;

fuzz_target!(|data: &[u8]| {
    for default in Language::ALL {
        let lines = || data.split(|byte| *byte == b'\n');
        let language = accepted_language(lines(), default);
        assert!(Language::ALL.contains(&language));
        assert_eq!(accepted_language(lines(), default), language, "the same header means the same");
    }
});
