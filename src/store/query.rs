//! What a list asks for: filters, and where in the walk it stands.

use crate::domain::channel::Channel;
use crate::domain::event_type::EventTypeName;
use crate::domain::tenant::ExternalId;
use crate::domain::time::Timestamp;

pub use crate::domain::delivery::{AttemptFilter, DeliveryFilter};

/// Rows looked at for one page when filters apply; a page may come out short and still have a next one (contract 3).
pub const ROWS_WALKED_MAX: usize = 10_000;

/// A page of a list that is read newest first.
#[derive(Debug, Clone, Copy)]
pub struct Walk<Id> {
    pub from: From<Id>,
    /// 1..=100.
    pub size: usize,
}

#[derive(Debug, Clone, Copy)]
pub enum From<Id> {
    Newest,
    /// Rows older than this id, the newest of them first.
    After(Id),
    /// Rows newer than this id: the oldest of them, shown newest first.
    Before(Id),
}

#[derive(Debug, Clone)]
pub struct Page<T, Id> {
    /// Newest first.
    pub rows: Vec<T>,
    /// Give it as `After` for what is older; none at the end. It may name a row that a filter hid.
    pub next: Option<Id>,
    /// Give it as `Before` for what is newer; none at the beginning.
    pub previous: Option<Id>,
}

#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    pub event_type: Option<EventTypeName>,
    /// Created at or after this.
    pub since: Option<Timestamp>,
    /// Created before this.
    pub until: Option<Timestamp>,
    /// Only those that no subscription matched (true), or only those that some did (false).
    pub unmatched: Option<bool>,
    /// Published with this channel.
    pub channel: Option<Channel>,
    pub external_id: Option<ExternalId>,
    /// Whose data has these bytes somewhere.
    pub text: Option<String>,
}
