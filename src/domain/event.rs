//! An event: one published fact. Its `data` is kept byte for byte as it came.

use std::time::Duration;

use bytes::Bytes;

use super::channel::Channel;
use super::event_type::EventTypeName;
use super::id::{EventId, TenantId};
use super::tenant::ExternalId;
use super::time::Timestamp;

/// `data` of one event, by default.
pub const DATA_BYTES_MAX: usize = 256 * 1024;
/// How deep `data` may nest: what serde_json reads without its own limit being lifted, less the envelope around it.
pub const DATA_DEPTH_MAX: usize = 100;
/// Deliveries of one event, those that somebody asked for again among them: what one look at it reads.
pub const DELIVERIES_MAX: u32 = 10_000;
/// Events in one batch.
pub const BATCH_EVENTS_MAX: usize = 1000;
/// How far ahead `deliver_at` may lie: 30 days (contract 4.2).
pub const DELIVER_AT_DAYS_MAX: u32 = 30;
pub const DELIVER_AT_AHEAD_MAX: Duration = Duration::from_secs(DELIVER_AT_DAYS_MAX as u64 * 24 * 60 * 60);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: EventId,
    pub tenant: TenantId,
    pub event_type: EventTypeName,
    /// The operator's own name for the event, unique in the tenant while the event is kept.
    pub external_id: Option<ExternalId>,
    /// When the fact happened: what a receiver sees as `timestamp`.
    pub occurred_at: Timestamp,
    pub created_at: Timestamp,
    /// How many deliveries it made, when it was published and when somebody asked for more.
    pub deliveries: u32,
    pub data_bytes: u32,
    /// Subscriptions with channels get it only when they share one of these. At most 5, each once.
    pub channels: Vec<Channel>,
    /// When its deliveries begin: set only when that lay ahead when it was published.
    pub deliver_at: Option<Timestamp>,
    /// The event that it is sent again for.
    pub replay_of: Option<EventId>,
}

impl Event {
    /// Whether its deliveries have not begun at `now`. Who gets it was decided when it was published.
    pub fn is_scheduled(&self, now: Timestamp) -> bool {
        self.deliver_at.is_some_and(|at| at > now)
    }
}

/// An event together with what it says. The data is gone when retention has removed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventWithData {
    pub event: Event,
    pub data: Bytes,
}

/// An event as its publisher gives it, checked. Who gets it is decided when it is committed.
#[derive(Debug, Clone)]
pub struct NewEvent {
    pub tenant: TenantId,
    pub event_type: EventTypeName,
    pub external_id: Option<ExternalId>,
    pub occurred_at: Option<Timestamp>,
    /// At most 5, each once.
    pub channels: Vec<Channel>,
    /// What has passed when it is committed means now.
    pub deliver_at: Option<Timestamp>,
    pub data: Bytes,
}
