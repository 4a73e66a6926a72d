//! What is kept of a response: headers and body, both within bounds.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout_at};

use super::connection::Http1;
use crate::domain::delivery::{RESPONSE_BODY_BYTES_MAX, RESPONSE_HEADER_BYTES_KEPT};

/// Headers that decide what happens next, or that explain most: kept even if others fill the space.
const HEADERS_KEPT_FIRST: [&str; 4] = ["retry-after", "webhook-delivery", "location", "content-type"];

/// As many whole headers as fit.
pub fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let is_first = |name: &str| HEADERS_KEPT_FIRST.contains(&name);
    let mut bytes_left = RESPONSE_HEADER_BYTES_KEPT;
    let mut fits = |bytes: usize| {
        let fits = bytes <= bytes_left;
        if fits {
            bytes_left -= bytes;
        }
        fits
    };
    let size_of = |name: &http::HeaderName, value: &http::HeaderValue| name.as_str().len() + value.len();
    let mut keep = vec![false; headers.len()];
    for pass_is_first in [true, false] {
        for (index, (name, value)) in headers.iter().enumerate() {
            if is_first(name.as_str()) == pass_is_first {
                keep[index] = fits(size_of(name, value));
            }
        }
    }
    headers
        .iter()
        .zip(keep)
        .filter(|(_, keep)| *keep)
        .map(|((name, value), _)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

/// How much of a body came.
pub struct ReadBody {
    pub bytes: Bytes,
    /// Whether the body came to its proper end, so that the connection can go on.
    pub is_complete: bool,
}

/// Reads until the end, the limit, the deadline, or until the peer breaks off; each of them keeps what came before.
pub async fn read_body(body: Incoming, driven: Option<&mut Http1>, deadline: Instant) -> ReadBody {
    if body.is_end_stream() {
        return ReadBody { bytes: Bytes::new(), is_complete: true };
    }
    let mut kept = BytesMut::new();
    let reading = read_into(&mut kept, body);
    let is_complete = match driven {
        Some(connection) => timeout_at(deadline, connection.drive(reading)).await,
        None => timeout_at(deadline, reading).await,
    };
    ReadBody { is_complete: is_complete.unwrap_or(false), bytes: kept.freeze() }
}

async fn read_into(kept: &mut BytesMut, mut body: Incoming) -> bool {
    loop {
        let Some(frame) = body.frame().await else { return true };
        let Ok(frame) = frame else { return false };
        // Trailers are not kept.
        let Ok(data) = frame.into_data() else { continue };
        let room = RESPONSE_BODY_BYTES_MAX - kept.len();
        // Copied, so that a small answer does not hold on to a connection's large buffer.
        kept.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return false;
        }
        if kept.len() == RESPONSE_BODY_BYTES_MAX && body.is_end_stream() {
            return true;
        }
    }
}
