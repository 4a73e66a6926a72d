//! `ETag` and `If-Match`: whoever changes an object can ask that nobody else did meanwhile (contract 3).

use super::auth::Call;
use super::problem::{Ground, Refusal};
use crate::store::StoreError;

pub fn of(revision: u32) -> String {
    format!("\"{revision}\"")
}

/// What `If-Match` asks for.
#[derive(Debug, Clone)]
pub enum IfMatch {
    /// No header, or `*`: any revision will do.
    Any,
    /// One of these revisions.
    OneOf(Vec<u32>),
}

impl IfMatch {
    pub fn of(call: &Call) -> Self {
        let mut revisions = Vec::new();
        let mut values = call.headers.get_all("if-match").iter().peekable();
        if values.peek().is_none() {
            return Self::Any;
        }
        for tag in values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')) {
            match tag.trim() {
                "*" => return Self::Any,
                // Weak tags and tags that we never wrote match nothing.
                tag => {
                    revisions.extend(tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')?.parse::<u32>().ok()))
                }
            }
        }
        Self::OneOf(revisions)
    }

    /// For an `Edit`: asked in the transaction.
    pub fn check(&self, revision: u32) -> Result<(), StoreError> {
        match self {
            Self::Any => Ok(()),
            Self::OneOf(revisions) if revisions.contains(&revision) => Ok(()),
            Self::OneOf(_) => Err(StoreError::PreconditionFailed),
        }
    }

    /// The revision to expect when `current` is deleted; none: any.
    pub fn expect(&self, current: u32) -> Result<Option<u32>, Refusal> {
        self.check(current).map_err(|_| Refusal::new(Ground::PreconditionFailed))?;
        Ok(match self {
            Self::Any => None,
            Self::OneOf(_) => Some(current),
        })
    }
}
