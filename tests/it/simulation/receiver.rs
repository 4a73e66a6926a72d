//! A simulated receiver: answers, fails, hangs, asks for quiet or goes away, by its mood and the seed's chance.

use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;
use rand::rngs::StdRng;
use waxwing::domain::delivery::{ErrorClass, Outcome, Response};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Healthy,
    /// Answers 2xx this often, else some failure.
    Flaky {
        percent: u32,
    },
    /// Always this status.
    Broken(u16),
    /// Never answers: the time-out ends it.
    Hanging,
    /// Refuses connections.
    Refusing,
    /// 429 or 503 with `Retry-After`.
    Overloaded {
        retry_after_seconds: u32,
    },
    /// 410.
    Gone,
    /// 500 with `webhook-delivery: abort`.
    Aborting,
}

impl Mood {
    pub fn draw(chance: &mut StdRng) -> Self {
        match chance.random_range(0..16) {
            0..=4 => Self::Healthy,
            5..=8 => Self::Flaky { percent: chance.random_range(10..95) },
            9 => Self::Broken([301, 400, 404, 500][chance.random_range(0..4)]),
            10 => Self::Broken([502, 503, 504][chance.random_range(0..3)]),
            11 => Self::Hanging,
            12 => Self::Refusing,
            13 => Self::Overloaded { retry_after_seconds: chance.random_range(1..4000) },
            14 if chance.random_bool(0.3) => Self::Gone,
            14 => Self::Healthy,
            _ => Self::Aborting,
        }
    }
}

/// What a request comes to, and after how long.
pub struct Answer {
    pub after: Duration,
    pub outcome: Outcome,
    pub response: Option<Response>,
    /// Whether the receiver saw the request at all.
    pub arrived: bool,
}

impl Answer {
    /// `200`, `503`, `429/120` (with `Retry-After: 120`), `500/abort`, `timeout`, `refused`.
    pub fn scripted(line: &str, timeout: Duration) -> Self {
        let after = Duration::from_millis(100);
        let failure = |after, class, arrived| Self {
            after,
            outcome: Outcome::Error { class, detail: "scripted".to_owned() },
            response: None,
            arrived,
        };
        let (status, header) = line.split_once('/').unwrap_or((line, ""));
        let headers = match header {
            "" => Vec::new(),
            "abort" => vec![("webhook-delivery".to_owned(), "abort".to_owned())],
            seconds => vec![("retry-after".to_owned(), seconds.to_owned())],
        };
        match status {
            "timeout" => failure(timeout, ErrorClass::Timeout, true),
            "refused" => failure(after, ErrorClass::Connect, false),
            status => {
                let status = status.parse().expect("a status, `timeout` or `refused`");
                let outcome = if (200..300).contains(&status) { Outcome::Success } else { Outcome::Status(status) };
                let response = Response { status, headers, body: Bytes::new(), body_truncated: false };
                Self { after, outcome, response: Some(response), arrived: true }
            }
        }
    }

    pub fn to(mood: Mood, timeout: Duration, chance: &mut StdRng) -> Self {
        let after = Duration::from_millis(chance.random_range(1..400));
        let status = |status, headers: &[(&str, String)]| Self {
            after,
            outcome: if (200..300).contains(&status) { Outcome::Success } else { Outcome::Status(status) },
            response: Some(Response {
                status,
                headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
                body: Bytes::from_static(b"simulated"),
                body_truncated: false,
            }),
            arrived: true,
        };
        let failure = |after, class, arrived| Self {
            after,
            outcome: Outcome::Error { class, detail: "simulated".to_owned() },
            response: None,
            arrived,
        };
        match mood {
            Mood::Healthy => status(if chance.random_bool(0.5) { 200 } else { 204 }, &[]),
            Mood::Flaky { percent } if chance.random_range(0..100) < percent => status(200, &[]),
            Mood::Flaky { .. } => match chance.random_range(0..4) {
                0 => failure(timeout, ErrorClass::Timeout, true),
                1 => failure(after, ErrorClass::Connect, false),
                // It got the request and died before it answered.
                2 => failure(after, ErrorClass::Http, true),
                _ => status(500, &[]),
            },
            Mood::Broken(code) => status(code, &[]),
            Mood::Hanging => failure(timeout, ErrorClass::Timeout, true),
            Mood::Refusing => failure(after, ErrorClass::Connect, false),
            Mood::Overloaded { retry_after_seconds } => status(
                if chance.random_bool(0.5) { 429 } else { 503 },
                &[("Retry-After", retry_after_seconds.to_string())],
            ),
            Mood::Gone => status(410, &[]),
            Mood::Aborting => status(500, &[("Webhook-Delivery", "abort".to_owned())]),
        }
    }
}
