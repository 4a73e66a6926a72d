//! A delivery: one event on its way to one subscription, the unit that is retried. And its attempts.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use super::event_type::EventTypeName;
use super::id::{AttemptId, DeliveryId, EventId, SubscriptionId, TenantId};
use super::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub event: EventId,
    pub subscription: SubscriptionId,
    pub tenant: TenantId,
    pub event_type: EventTypeName,
    pub state: State,
    /// HTTP requests made so far.
    pub attempts: u16,
    /// How many of those the schedule does not count: probes of an open circuit, and what came before a recovery.
    pub attempts_uncounted: u16,
    pub last_http_status: Option<u16>,
    pub created_at: Timestamp,
    /// When the last attempt was, or the change of state.
    pub updated_at: Timestamp,
}

/// Where a delivery stands. A final state changes only when a person asks for more attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No attempt has been made yet.
    Pending {
        next_attempt_at: Timestamp,
    },
    /// At least one attempt failed, and another one follows.
    Retrying {
        next_attempt_at: Timestamp,
        reason: RetryReason,
    },
    /// A receiver answered 2xx in time.
    Succeeded,
    /// No attempt follows, and none succeeded.
    Exhausted {
        reason: ExhaustedReason,
    },
    Canceled {
        reason: CanceledReason,
    },
    /// It waited for a paused or disabled subscription for too long, or came when too much waited.
    Expired {
        reason: ExpiredReason,
    },
}

impl State {
    pub fn is_final(self) -> bool {
        self.next_attempt_at().is_none()
    }

    /// When the next attempt is due; none in a final state.
    pub fn next_attempt_at(self) -> Option<Timestamp> {
        match self {
            Self::Pending { next_attempt_at } | Self::Retrying { next_attempt_at, .. } => Some(next_attempt_at),
            Self::Succeeded | Self::Exhausted { .. } | Self::Canceled { .. } | Self::Expired { .. } => None,
        }
    }
}

/// Why a delivery that failed waits until its next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryReason {
    /// The schedule's delay.
    Schedule,
    /// The receiver's `Retry-After` asks for longer than the schedule.
    RetryAfter,
    /// A person asked for an attempt now; when it fails, the schedule goes on.
    Manual,
    /// A person asked for one more attempt of a delivery that had ended: nothing follows when it fails.
    ManualOnce,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExhaustedReason {
    /// Every attempt of the schedule failed, or the one that a person asked for after its end.
    Schedule,
    /// The receiver answered 410.
    Gone,
    /// The receiver's `webhook-delivery: abort` header ended it.
    Aborted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CanceledReason {
    /// A person canceled it.
    Manual,
    SubscriptionDeleted,
    /// The subscription answered 410 earlier and was not re-enabled.
    SubscriptionGone,
    /// Retention removed the payload before the attempt that was asked for.
    PayloadExpired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpiredReason {
    /// The backlog of its subscription was full when it came.
    BacklogFull,
    /// It waited for longer than a backlog is kept.
    BacklogAge,
}

/// A state as the API shows it. `held` is seen, not stored: it follows from the subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownState {
    Pending,
    Retrying,
    Held,
    Succeeded,
    Exhausted,
    Canceled,
    Expired,
}

impl From<State> for ShownState {
    /// Of one that nothing holds up.
    fn from(state: State) -> Self {
        match state {
            State::Pending { .. } => Self::Pending,
            State::Retrying { .. } => Self::Retrying,
            State::Succeeded => Self::Succeeded,
            State::Exhausted { .. } => Self::Exhausted,
            State::Canceled { .. } => Self::Canceled,
            State::Expired { .. } => Self::Expired,
        }
    }
}

impl ShownState {
    pub const ALL: [Self; 7] =
        [Self::Pending, Self::Retrying, Self::Held, Self::Succeeded, Self::Exhausted, Self::Canceled, Self::Expired];

    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Retrying => "retrying",
            Self::Held => "held",
            Self::Succeeded => "succeeded",
            Self::Exhausted => "exhausted",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
        }
    }
}

/// What an attempt came to for its delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Success,
    /// It failed, and another attempt followed or will.
    Retry,
    /// It failed, and nothing followed.
    Dead,
}

impl Fate {
    pub fn of(attempt: &Attempt, delivery: &Delivery) -> Self {
        let is_last = attempt.number >= delivery.attempts && delivery.state.is_final();
        match &attempt.outcome {
            Outcome::Success => Self::Success,
            Outcome::Status(_) | Outcome::Error { .. } if is_last => Self::Dead,
            Outcome::Status(_) | Outcome::Error { .. } => Self::Retry,
        }
    }
}

/// Which attempts are meant: those that fit everything that is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AttemptFilter {
    pub subscription: Option<SubscriptionId>,
    pub event_type: Option<EventTypeName>,
    pub fate: Option<Fate>,
    /// Begun at or after this.
    pub since: Option<Timestamp>,
    /// Begun before this.
    pub until: Option<Timestamp>,
    /// Of its response: at least, and at most. Those without a response fit none.
    pub http_status_min: Option<u16>,
    pub http_status_max: Option<u16>,
}

/// Which deliveries are meant: those that fit everything that is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryFilter {
    /// `held` follows from the subscription.
    pub state: Option<ShownState>,
    pub subscription: Option<SubscriptionId>,
    pub event: Option<EventId>,
    pub event_type: Option<EventTypeName>,
    /// Created at or after this.
    pub since: Option<Timestamp>,
    /// Created before this.
    pub until: Option<Timestamp>,
    /// Of the last attempt.
    pub http_status: Option<u16>,
}

/// One HTTP request of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub id: AttemptId,
    pub delivery: DeliveryId,
    /// From 1.
    pub number: u16,
    pub trigger: Trigger,
    pub started_at: Timestamp,
    pub outcome: Outcome,
    pub phases: Phases,
    pub request_headers: Vec<(String, String)>,
    pub request_body_sha256: [u8; 32],
    pub request_body_bytes: u32,
    /// The version of the secret that signed it.
    pub secret_version: u32,
    pub response: Option<Response>,
    pub remote_address: Option<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    Schedule,
    /// A person asked for it.
    Manual,
    /// It tries whether a failing receiver is well again, outside the delivery's schedule.
    Probe,
}

/// What an attempt came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// 2xx, head in time.
    Success,
    /// Any other status.
    Status(u16),
    /// No usable answer.
    Error { class: ErrorClass, detail: String },
}

impl Outcome {
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Success)
    }

    /// Whether the receiver said that it gets too much: the statuses that slow a whole subscription (contract 5.4).
    pub fn is_overload(&self) -> bool {
        matches!(self, Self::Status(429 | 502 | 503 | 504))
    }
}

/// What a subscriber may know of an error (ssrf.md SG-20); the detail is for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    BlockedAddress,
    Dns,
    Connect,
    Tls,
    Timeout,
    /// The peer broke HTTP, or its answer passed a limit.
    Http,
}

impl ErrorClass {
    pub const ALL: [Self; 6] = [Self::BlockedAddress, Self::Dns, Self::Connect, Self::Tls, Self::Timeout, Self::Http];

    pub fn name(self) -> &'static str {
        match self {
            Self::BlockedAddress => "blocked_address",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Http => "http",
        }
    }
}

/// Where the time of an attempt went. A phase that did not happen (a reused connection) is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    pub dns: Option<Duration>,
    pub connect: Option<Duration>,
    pub tls: Option<Duration>,
    /// From the request's first byte sent to the response's head received.
    pub first_byte: Option<Duration>,
    pub total: Duration,
}

/// How much of a response is kept (contract 4.3).
pub const RESPONSE_BODY_BYTES_MAX: usize = 16 * 1024;
pub const RESPONSE_BODY_BYTES_KEPT_OF_SUCCESS: usize = 1024;
pub const RESPONSE_HEADER_BYTES_KEPT: usize = 4 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// At most [`RESPONSE_HEADER_BYTES_KEPT`], whole headers only.
    pub headers: Vec<(String, String)>,
    /// At most [`RESPONSE_BODY_BYTES_MAX`].
    pub body: Bytes,
    /// Whether there was more of it.
    pub body_truncated: bool,
}

impl Response {
    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}
