//! What the benchmark asks of its children and what they tell: one JSON object a line over their standard streams.

use std::io::{BufRead, Write};
use std::net::SocketAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::figures::Latencies;

/// Whatever ends a scenario; it is only ever shown.
pub type Fault = Box<dyn std::error::Error + Send + Sync>;

/// What is asked of a receiver.
#[derive(Debug, Serialize, Deserialize)]
pub enum AskSink {
    /// Forgets everything. From now on deliveries numbered below `seqs` are expected once in each of `groups`.
    Expect { groups: u64, seqs: u64 },
    /// Lets `first_ns` be the next request.
    Mark,
    /// Answers when so many different deliveries were received, or when the time is over.
    Wait { unique: u64, within_ms: u64 },
    /// Answers with everything that was seen since `Expect`.
    Report,
}

/// What a receiver tells.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToldBySink {
    Listening {
        address: SocketAddr,
        refusing: SocketAddr,
    },
    /// After `Expect` and `Mark`.
    Ready,
    Waited {
        unique: u64,
    },
    Received(Received),
}

/// What a receiver saw. Times as of `clock::monotonic_ns`; 0 when there was none.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Received {
    pub unique: u64,
    pub duplicates: u64,
    /// Requests without a number, or with one that was not expected.
    pub strangers: u64,
    /// When the first request came.
    pub first_ns: u64,
    /// When the last delivery came that had not been seen before.
    pub last_new_ns: u64,
    /// From when an event was due to its first receipt.
    pub latencies: Latencies,
    pub signatures_checked: u64,
    pub signatures_wrong: u64,
}

/// What a generator does. Told back as [`ToldByLoad`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    pub address: SocketAddr,
    /// Lines of the request's head without their ends: a template.
    pub head: Vec<String>,
    /// One event, or whatever else is posted: a template.
    pub event: String,
    pub events_per_request: u32,
    pub requests: u64,
    /// The number of the first event.
    pub first_seq: u64,
    pub connections: u32,
    /// None: each connection sends when it was answered (closed loop). Some: request i is due at i / this many seconds,
    /// whatever became of the others (open loop).
    pub requests_per_second: Option<f64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum ToldByLoad {
    Ready,
    Progress { requests: u64 },
    Loaded(Loaded),
    Refused(String),
}

/// What a generator did. Times as of `clock::monotonic_ns`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Loaded {
    pub begun_ns: u64,
    pub ended_ns: u64,
    /// From when a request was sent (closed loop) or due (open loop) until it was answered.
    pub answers: Latencies,
}

/// How a raw sender speaks HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RawSender {
    /// With an ordinary HTTP library.
    Library,
    /// With nothing between its buffer and the socket.
    ByHand,
}

/// What a raw sender does. Told back as [`ToldByRawSender`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RawPlan {
    pub sender: RawSender,
    pub address: SocketAddr,
    pub body_bytes: usize,
    pub connections: u32,
    pub milliseconds: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum ToldByRawSender {
    Ready,
    Sent { requests: u64, seconds: f64 },
    Failed(String),
}

/// The next line of the parent. None: the parent is gone, or done with this child.
pub fn hear<T: DeserializeOwned>() -> Option<T> {
    let mut line = String::new();
    let bytes = std::io::stdin().lock().read_line(&mut line).ok()?;
    if bytes == 0 {
        return None;
    }
    Some(serde_json::from_str(&line).expect("parent and child are the same program"))
}

/// Says a line to the parent.
pub fn tell(told: &impl Serialize) {
    let mut line = serde_json::to_vec(told).expect("messages are plain data");
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    if out.write_all(&line).and_then(|()| out.flush()).is_err() {
        // Nobody listens any more.
        std::process::exit(0);
    }
}
