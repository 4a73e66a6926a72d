//! Headers by which a browser keeps an answer to itself. Every answer has them; what says more of itself keeps what it says.
//!
//! There is no CORS: no answer has an `Access-Control-*` header, so a page of another site is never shown one, and none can
//! send what is not a simple request. Programs in browsers are the console and the portal, which come from here.

use poem::http::{HeaderMap, HeaderName, HeaderValue, header};

use super::browser::Way;

/// For what is no page: nothing in it is loaded, run or shown in a frame.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
/// A year: whoever came by TLS once does not come without it again. Other names below this one are the operator's.
const TRANSPORT: &str = "max-age=31536000";

const ALWAYS: [(HeaderName, &str); 6] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    // What a key gets is nobody else's, and secrets are shown once.
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Adds what is not there yet. `way` is how the request came.
pub fn add(headers: &mut HeaderMap, way: Way) {
    for (name, value) in &ALWAYS {
        if !headers.contains_key(name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    // Without TLS it would mean nothing, and behind somebody's proxy it is not ours to say.
    if way == Way::Tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(TRANSPORT));
    }
}
