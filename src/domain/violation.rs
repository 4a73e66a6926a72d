//! What can be wrong with a request: a closed list, each with a code that never changes.
//!
//! The domain names the broken rule and where it is; the words for it are in `http::text`, the status in
//! `http::problem`.

use std::borrow::Cow;

use super::header::InvalidHeaderName;

/// One broken rule, and the place in the request that breaks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    /// JSON pointer into the body (`/url`, `/events/0/data`), or empty when no one place is to blame.
    pub pointer: String,
}

impl Violation {
    pub fn new(rule: Rule) -> Self {
        Self { rule, pointer: String::new() }
    }

    pub fn at(rule: Rule, pointer: impl Into<String>) -> Self {
        Self { rule, pointer: pointer.into() }
    }

    /// The same violation, seen from outside: `prefix` is where the checked part lies.
    pub fn below(mut self, prefix: &str) -> Self {
        self.pointer.insert_str(0, prefix);
        self
    }
}

impl From<Rule> for Violation {
    fn from(rule: Rule) -> Self {
        Self::new(rule)
    }
}

/// The rules of `contract 3.1`, with what an explanation of each needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// The body is not JSON; the text says where it stops being JSON.
    InvalidJson(String),
    UnknownField {
        name: String,
    },
    MissingField {
        name: Cow<'static, str>,
    },
    InvalidType {
        expected: &'static str,
    },
    /// A query or path parameter that cannot be used.
    InvalidParameter {
        name: String,
        expected: Cow<'static, str>,
    },
    OutOfRange {
        min: i64,
        max: i64,
        unit: &'static str,
    },
    /// A moment that lies too far ahead.
    TooFarAhead {
        days_max: u32,
    },
    TooShort {
        min: usize,
    },
    TooLong {
        max: usize,
    },
    /// The text has characters or a shape that are not allowed; `expected` says which are.
    InvalidFormat {
        expected: &'static str,
    },
    DuplicateItem,
    TooManyItems {
        max: usize,
    },
    /// More events in a batch than their publisher may publish in a second.
    BatchOverRate {
        max: usize,
    },
    InvalidUrl(&'static str),
    UrlNotHttps,
    UrlBlocked,
    UrlTooLong {
        max: usize,
    },
    HeaderNotAllowed(InvalidHeaderName),
    InvalidSecret {
        expected: &'static str,
    },
    OverlapNotSupported {
        profile: &'static str,
    },
    KeyPairNotSupported {
        profile: &'static str,
    },
    EventsEmpty,
    UnknownEventType {
        name: String,
    },
    /// Nobody publishes it or subscribes to it any more.
    ArchivedEventType {
        name: String,
    },
    /// A restricted key may not have events of this type or pattern.
    EventNotAllowed {
        name: String,
    },
    /// A restricted key is held to other channels.
    ChannelNotAllowed,
    DescriptionTooLong {
        max: usize,
    },
    PayloadTooLarge {
        max: usize,
    },
    /// `data` nests deeper than the limit.
    PayloadTooDeep {
        max: usize,
    },
    PayloadSchemaMismatch {
        detail: String,
    },
    /// No data can be checked by the schema; `why` says what is wrong with it.
    InvalidSchema {
        why: String,
    },
}

/// So many are told at once: who sent what is wrong in more places finds the others when these are right.
pub const VIOLATIONS_MAX: usize = 50;

impl Rule {
    /// The stable code of contract 3.1.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidJson(_) => "invalid_json",
            Self::UnknownField { .. } => "unknown_field",
            Self::MissingField { .. } => "missing_field",
            Self::InvalidType { .. } => "invalid_type",
            Self::InvalidParameter { .. }
            | Self::InvalidFormat { .. }
            | Self::InvalidSchema { .. }
            | Self::ChannelNotAllowed => "invalid_parameter",
            Self::OutOfRange { .. } | Self::TooFarAhead { .. } | Self::TooShort { .. } | Self::TooLong { .. } => {
                "out_of_range"
            }
            Self::DuplicateItem => "duplicate_item",
            Self::TooManyItems { .. } | Self::BatchOverRate { .. } => "too_many_items",
            Self::InvalidUrl(_) => "invalid_url",
            Self::UrlNotHttps => "url_not_https",
            Self::UrlBlocked => "url_blocked",
            Self::UrlTooLong { .. } => "url_too_long",
            Self::HeaderNotAllowed(_) => "header_not_allowed",
            Self::InvalidSecret { .. } => "invalid_secret",
            Self::OverlapNotSupported { .. } => "overlap_not_supported",
            Self::KeyPairNotSupported { .. } => "key_pair_not_supported",
            Self::EventsEmpty => "events_empty",
            Self::UnknownEventType { .. } | Self::ArchivedEventType { .. } => "unknown_event_type",
            Self::EventNotAllowed { .. } => "event_not_allowed",
            Self::DescriptionTooLong { .. } => "description_too_long",
            Self::PayloadTooLarge { .. } => "payload_too_large",
            Self::PayloadTooDeep { .. } => "payload_too_deep",
            Self::PayloadSchemaMismatch { .. } => "payload_schema_mismatch",
        }
    }
}
