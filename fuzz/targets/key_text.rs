//! Texts of API keys: what is imported can be used, and nothing panics on what a caller sends as one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxwing::domain::key::{KeyHash, KeyKind, KeyText, may_be_a_key};

fuzz_target!(|text: &str| {
    let may_be = may_be_a_key(text);
    for kind in KeyKind::ALL {
        if let Ok(key) = KeyText::import(kind, text.to_owned()) {
            assert!(may_be, "an imported key is let in");
            assert_eq!((key.as_str(), key.hash()), (text, KeyHash::of(text)));
            assert!(!format!("{key:?}").contains(text), "its text is not shown");
        }
    }
});
