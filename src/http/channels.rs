//! Channels as a request names them.

use crate::domain::channel::{CHANNEL_EXPECTED, Channel};
use crate::domain::restriction::Restriction;
use crate::domain::violation::{Rule, Violation};

/// Reads the member `/channels`: at most `max`, each once. Every problem is told.
pub fn check_channels(texts: &[String], max: usize) -> Result<Vec<Channel>, Vec<Violation>> {
    if texts.len() > max {
        return Err(vec![Violation::at(Rule::TooManyItems { max }, "/channels")]);
    }
    let mut channels: Vec<Channel> = Vec::with_capacity(texts.len());
    let mut violations = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let pointer = format!("/channels/{index}");
        match text.parse() {
            Ok(channel) if channels.contains(&channel) => violations.push(Violation::at(Rule::DuplicateItem, pointer)),
            Ok(channel) => channels.push(channel),
            Err(_) => violations.push(Violation::at(Rule::InvalidFormat { expected: CHANNEL_EXPECTED }, pointer)),
        }
    }
    if violations.is_empty() { Ok(channels) } else { Err(violations) }
}

/// Each of the member `/channels` must be one of a restricted key's.
pub fn check_restriction(
    channels: Vec<Channel>,
    restriction: Option<&Restriction>,
) -> Result<Vec<Channel>, Vec<Violation>> {
    let Some(restriction) = restriction else { return Ok(channels) };
    let beyond = channels.iter().enumerate().filter(|(_, channel)| !restriction.has_channel(channel));
    let violations: Vec<_> =
        beyond.map(|(index, _)| Violation::at(Rule::ChannelNotAllowed, format!("/channels/{index}"))).collect();
    if violations.is_empty() { Ok(channels) } else { Err(violations) }
}
