//! What the targets of `fuzz/` call: private readers of requests under public names.

use poem::http::HeaderValue;

use crate::domain::language::Language;

/// How the body of a request with an `Idempotency-Key` is compared with another one.
pub fn canonical(body: &[u8]) -> Vec<u8> {
    super::json::canonical(body)
}

/// The language that header lines ask for; those that no request can carry are left out.
pub fn accepted_language<'a>(lines: impl IntoIterator<Item = &'a [u8]>, default: Language) -> Language {
    let fields: Vec<HeaderValue> = lines.into_iter().filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    super::language::accepted(&fields, default)
}
