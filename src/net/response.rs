//! What is kept of a response: headers and body, both within bounds.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::{Instant, timeout_at};

use super::pace::Pace;
use crate::domain::delivery::{RESPONSE_BODY_BYTES_MAX, RESPONSE_HEADER_BYTES_KEPT};

/// Headers that decide what happens next, or that explain most: kept even if others fill the space.
const HEADERS_KEPT_FIRST: [&str; 4] = ["retry-after", "webhook-delivery", "location", "content-type"];

/// The status line and the headers that are kept.
pub struct Head {
    pub status: u16,
    /// With lower-case names.
    pub headers: Vec<(String, String)>,
}

/// As many whole headers as fit.
pub fn kept_headers<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])> + Clone) -> Vec<(String, String)> {
    let size_of = |(name, value): &(&str, &[u8])| name.len() + value.len();
    let text = |(name, value): (&str, &[u8])| (name.to_ascii_lowercase(), String::from_utf8_lossy(value).into_owned());
    let bytes: usize = headers.clone().map(|header| size_of(&header)).sum();
    if bytes <= RESPONSE_HEADER_BYTES_KEPT {
        return headers.map(text).collect();
    }
    let is_first = |name: &str| HEADERS_KEPT_FIRST.iter().any(|first| name.eq_ignore_ascii_case(first));
    let mut bytes_left = RESPONSE_HEADER_BYTES_KEPT;
    let mut fits = |bytes: usize| {
        let fits = bytes <= bytes_left;
        if fits {
            bytes_left -= bytes;
        }
        fits
    };
    let mut keep = vec![false; headers.clone().count()];
    for pass_is_first in [true, false] {
        for (keep, header) in keep.iter_mut().zip(headers.clone()) {
            if is_first(header.0) == pass_is_first {
                *keep = fits(size_of(&header));
            }
        }
    }
    headers.zip(keep).filter(|(_, keep)| *keep).map(|(header, _)| text(header)).collect()
}

/// The part of a body that is kept.
#[derive(Default)]
pub struct Kept(Vec<u8>);

impl Kept {
    /// Answers whether all of it had room.
    pub fn add(&mut self, data: &[u8]) -> bool {
        let room = RESPONSE_BODY_BYTES_MAX - self.0.len();
        self.0.extend_from_slice(&data[..data.len().min(room)]);
        data.len() <= room
    }

    pub fn into_bytes(self) -> Bytes {
        self.0.into()
    }
}

/// Reads a body of HTTP/2 until the end, the limit, the deadline, or until the peer breaks off or is too slow; each of them
/// keeps what came before. Answers whether it is whole.
pub async fn read_body(mut body: Incoming, kept: &mut Kept, mut pace: Pace, deadline: Instant) -> bool {
    if body.is_end_stream() {
        return true;
    }
    let reading = async {
        loop {
            let Ok(frame) = pace.next(body.frame()).await else { return false };
            let Some(frame) = frame else { return true };
            let Ok(frame) = frame else { return false };
            // Trailers are not kept.
            let Ok(data) = frame.into_data() else { continue };
            pace.came(data.len());
            if !kept.add(&data) {
                return false;
            }
        }
    };
    timeout_at(deadline, reading).await.unwrap_or(false)
}
