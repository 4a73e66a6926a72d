//! A channel: a label that narrows which subscriptions get an event (a shop, a region, a project).

use std::fmt;
use std::str::FromStr;

/// Channels of one subscription (contract 4.1).
pub const SUBSCRIPTION_CHANNELS_MAX: usize = 10;
/// Channels of one event (contract 4.2).
pub const EVENT_CHANNELS_MAX: usize = 5;
/// What a channel may be, in words.
pub const CHANNEL_EXPECTED: &str = "1 to 64 characters of A-Z a-z 0-9 . _ : -";
const LENGTH_MAX: usize = 64;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a channel has {CHANNEL_EXPECTED}")]
pub struct InvalidChannel;

impl Channel {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Channel {
    type Err = InvalidChannel;

    fn from_str(text: &str) -> Result<Self, InvalidChannel> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if text.is_empty() || text.len() > LENGTH_MAX || !text.bytes().all(allowed) {
            return Err(InvalidChannel);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_a_short_word_without_spaces() {
        let longest = "c".repeat(64);
        for text in ["a", "shop:1", "eu-west.2_b", &longest] {
            assert_eq!(text.parse::<Channel>().map(|channel| channel.to_string()), Ok(text.to_owned()));
        }
        let too_long = "c".repeat(65);
        for text in ["", " a", "a b", "a/b", "é", "a\n", &too_long] {
            assert_eq!(text.parse::<Channel>(), Err(InvalidChannel), "{text:?}");
        }
    }
}
