//! Bodies of the publish operations, asked of the whole API: whatever comes, the answer is no fault of ours.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use waxwing_fuzz::App;

thread_local!(static APP: RefCell<App> = RefCell::new(App::start()));

/// The first byte chooses.
const WAYS: [(&str, &str); 3] = [
    ("/v1/events", "application/json"),
    ("/v1/events/batch", "application/json"),
    ("/v1/events/batch", "application/x-ndjson"),
];

fuzz_target!(|data: &[u8]| {
    let Some((way, body)) = data.split_first() else { return };
    let (path, content_type) = WAYS[usize::from(*way) % WAYS.len()];
    APP.with_borrow_mut(|app| app.ask("POST", path, content_type, body));
});
