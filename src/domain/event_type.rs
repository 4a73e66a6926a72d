//! Event types: dotted names with a description, a schema and an example; and the patterns that pick them.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use serde_json::value::RawValue;

use super::time::Timestamp;

#[derive(Debug, Clone)]
pub struct EventType {
    pub name: EventTypeName,
    pub description: Option<String>,
    /// JSON Schema that `data` must fit, as it came.
    pub schema: Option<Box<RawValue>>,
    /// An example of `data`, as it came; what a test delivery of this type sends.
    pub example: Option<Box<RawValue>>,
    /// Archived types take no new events or subscriptions; existing ones go on.
    pub archived_at: Option<Timestamp>,
    pub revision: u32,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What a document says of an event type. What it does not say stays as it is.
#[derive(Debug, Clone)]
pub struct ImportedEventType {
    pub name: EventTypeName,
    pub description: Option<String>,
    pub schema: Option<Box<RawValue>>,
    pub example: Option<Box<RawValue>>,
}

impl EventType {
    pub fn from_import(imported: ImportedEventType, now: Timestamp) -> Self {
        let ImportedEventType { name, description, schema, example } = imported;
        Self { name, description, schema, example, archived_at: None, revision: 1, created_at: now, updated_at: now }
    }

    /// Takes over what the document says.
    pub fn import(&mut self, imported: ImportedEventType) {
        let ImportedEventType { name: _, description, schema, example } = imported;
        self.description = description.or(self.description.take());
        self.schema = schema.or(self.schema.take());
        self.example = example.or(self.example.take());
    }
}

pub const NAME_LENGTH_MAX: usize = 128;
/// What a name may be, in words.
pub const NAME_EXPECTED: &str = "1 to 128 characters: parts of A-Z a-z 0-9 _ - joined by single dots";
pub const DESCRIPTION_LENGTH_MAX: usize = 1024;
/// Schemas and examples are configuration: they live in memory.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;

/// The type of a test delivery. Nobody can create it, publish it or subscribe to it.
pub const WEBHOOK_TEST: &str = "webhook.test";

/// `order.paid`. Standard Webhooks allows `[a-zA-Z0-9_]` in each part; `-` is taken besides, since published
/// catalogues have it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTypeName(std::sync::Arc<str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event type has {NAME_EXPECTED}")]
pub struct InvalidEventTypeName;

impl EventTypeName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn key(&self) -> EventTypeKey {
        EventTypeKey::of(self.as_str())
    }
}

/// The first 16 bytes of the SHA-256 of an event type's name: what stands for it where all keys are of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTypeKey(pub [u8; 16]);

impl EventTypeKey {
    pub fn of(name: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(name).into();
        let (key, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
        Self(*key)
    }
}

impl FromStr for EventTypeName {
    type Err = InvalidEventTypeName;

    fn from_str(text: &str) -> Result<Self, InvalidEventTypeName> {
        if is_name(text) { Ok(Self(text.into())) } else { Err(InvalidEventTypeName) }
    }
}

fn is_name(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    };
    text.len() <= NAME_LENGTH_MAX && text.split('.').all(is_part)
}

impl Borrow<str> for EventTypeName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventTypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventTypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What a subscription asks for: one type, everything below a prefix, or everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventPattern {
    /// `*`
    All,
    /// `order.*`: any depth below `order`, not `order` itself.
    Below(EventTypeName),
    /// `order.paid`
    Exact(EventTypeName),
}

impl EventPattern {
    pub fn matches(&self, name: &EventTypeName) -> bool {
        match self {
            Self::All => true,
            Self::Below(prefix) => {
                name.as_str().strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('.'))
            }
            Self::Exact(exact) => exact == name,
        }
    }

    /// Whether everything that it matches is matched by the other one, too.
    pub fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::All) => true,
            (Self::All, Self::Below(_) | Self::Exact(_)) | (Self::Below(_), Self::Exact(_)) => false,
            (Self::Below(inner), Self::Below(outer)) => inner == outer || other.matches(inner),
            (Self::Exact(name), _) => other.matches(name),
        }
    }

    /// Whether some name is matched by both: of two patterns that meet, one is within the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.is_within(other) || other.is_within(self)
    }
}

impl FromStr for EventPattern {
    type Err = InvalidEventTypeName;

    fn from_str(text: &str) -> Result<Self, InvalidEventTypeName> {
        match text.strip_suffix(".*") {
            _ if text == "*" => Ok(Self::All),
            Some(prefix) => prefix.parse().map(Self::Below),
            None => text.parse().map(Self::Exact),
        }
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Below(prefix) => write!(f, "{prefix}.*"),
            Self::Exact(name) => write!(f, "{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_what_the_contract_says() {
        for (pattern, name, expected) in [
            ("*", "order", true),
            ("order.*", "order.paid", true),
            ("order.*", "order.item.added", true),
            ("order.*", "order", false),
            ("order.*", "orders.paid", false),
            ("order.item.*", "order.paid", false),
            ("order.paid", "order.paid", true),
            ("order.paid", "order.paid.late", false),
        ] {
            let pattern: EventPattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(&name.parse().unwrap()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn texts_that_are_not_patterns_are_refused() {
        for text in ["", ".", ".*", "*.paid", "order.", "order..paid", "order.*.paid", "or der", "ordér", "**"] {
            assert!(text.parse::<EventPattern>().is_err(), "{text}");
        }
        assert!("a".repeat(NAME_LENGTH_MAX + 1).parse::<EventTypeName>().is_err());
    }
}
