//! Filters, cursors, page sizes and sorts of every list, asked of the whole API: whatever comes, the answer is no fault of
//! ours.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use waxwing_fuzz::App;

thread_local!(static APP: RefCell<App> = RefCell::new(App::start()));

/// The first byte chooses.
const PATHS: [&str; 16] = [
    "/v1/events",
    "/v1/deliveries",
    "/v1/webhook-subscriptions",
    "/v1/event-types",
    "/v1/tenants",
    "/v1/api-keys",
    "/v1/audit-log",
    "/v1/jobs",
    "/v1/portal-links",
    "/v1/sessions",
    "/v1/stats",
    "/v1/test-receiver/receivers",
    "/v1/test-receiver/requests",
    "/v1/users",
    "/v1/webhook_endpoints",
    "/v1/webhooks/deliveries",
];

fuzz_target!(|data: &[u8]| {
    let Some((path, query)) = data.split_first() else { return };
    let Ok(query) = std::str::from_utf8(query) else { return };
    let path = PATHS[usize::from(*path) % PATHS.len()];
    APP.with_borrow_mut(|app| app.ask("GET", &format!("{path}?{query}"), "application/json", b""));
});
