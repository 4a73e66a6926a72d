//! Request headers that a subscriber adds to deliveries: which names may be taken, and values that nobody sees again.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

/// Custom headers of one subscription (contract 4.1).
pub const HEADERS_MAX: usize = 20;
/// What a value may be, in words.
pub const VALUE_EXPECTED: &str = "1 to 1,024 printable ASCII characters, none of the outer ones a space";
/// Stands for a value wherever one would be shown.
pub const MASK: &str = "***";

const NAME_LENGTH_MAX: usize = 64;
const VALUE_LENGTH_MAX: usize = 1024;

/// Names that Waxwing or HTTP itself sets …
const RESERVED: [&str; 12] = [
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];
/// … and what their names begin with: what profiles sign with, and what is between a client and its proxy.
const RESERVED_PREFIXES: [&str; 4] = ["proxy-", "svix-", "webhook-", "x-webhook-"];

/// The custom headers of a subscription, each name once.
pub type CustomHeaders = BTreeMap<HeaderName, HeaderValue>;

/// In lower case: names of headers are the same in any case (RFC 9110 section 5.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderName(String);

/// What the name of a header may be, in words.
pub const NAME_EXPECTED: &str = "1 to 64 characters of A-Z a-z 0-9 ! # $ % & ' * + - . ^ _ ` | ~";

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeaderName {
    #[error("the name of a header has {NAME_EXPECTED}")]
    Malformed,
    /// Waxwing or HTTP itself sets it.
    #[error("this header is not free")]
    Reserved,
}

impl HeaderName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HeaderName {
    type Err = InvalidHeaderName;

    fn from_str(text: &str) -> Result<Self, InvalidHeaderName> {
        // `token`, RFC 9110 section 5.6.2.
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || text.len() > NAME_LENGTH_MAX || !text.bytes().all(allowed) {
            return Err(InvalidHeaderName::Malformed);
        }
        let name = text.to_ascii_lowercase();
        let is_reserved =
            RESERVED.contains(&name.as_str()) || RESERVED_PREFIXES.into_iter().any(|prefix| name.starts_with(prefix));
        if is_reserved { Err(InvalidHeaderName::Reserved) } else { Ok(Self(name)) }
    }
}

/// A secret: it is sent and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderValue(Zeroizing<String>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value of a header has {VALUE_EXPECTED}")]
pub struct InvalidHeaderValue;

impl HeaderValue {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HeaderValue {
    type Err = InvalidHeaderValue;

    fn from_str(text: &str) -> Result<Self, InvalidHeaderValue> {
        let is_printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        // A receiver would not see outer spaces (RFC 9110 section 5.5).
        if text.is_empty() || text.len() > VALUE_LENGTH_MAX || !is_printable || text.trim_ascii() != text {
            return Err(InvalidHeaderValue);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeaderValue(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::Event;
    use super::super::id::{EventId, SubscriptionId, TenantId};
    use super::super::profile::{Message, Profile};
    use super::super::secret::Secret;
    use super::super::tenant::Tenant;
    use super::super::time::Timestamp;
    use super::*;

    #[test]
    fn a_name_is_a_token_that_nobody_else_sets() {
        let longest = "x".repeat(64);
        for text in ["X-Shop", "authorization", "x_1", "proxyish", "webhooks", "!#$%&'*+-.^_`|~", &longest] {
            assert_eq!(text.parse().map(|HeaderName(name)| name), Ok(text.to_ascii_lowercase()), "{text}");
        }
        let too_long = "x".repeat(65);
        for text in ["", " x", "x y", "x:", ":path", "é", "x\r\n", "x/y", &too_long] {
            assert_eq!(text.parse::<HeaderName>(), Err(InvalidHeaderName::Malformed), "{text:?}");
        }
        for text in ["Host", "CONTENT-TYPE", "te", "Proxy-Authorization", "webhook-id", "svix-id", "X-Webhook-Anything"]
        {
            assert_eq!(text.parse::<HeaderName>(), Err(InvalidHeaderName::Reserved), "{text}");
        }
    }

    #[test]
    fn no_profile_writes_a_header_that_a_subscriber_could_take() {
        let at = Timestamp::from_millis(0);
        let event = Event {
            id: EventId::from_u128(1),
            tenant: TenantId::DEFAULT,
            event_type: "a".parse().unwrap(),
            external_id: None,
            occurred_at: at,
            created_at: at,
            deliveries: 1,
            data_bytes: 2,
            channels: Vec::new(),
            deliver_at: None,
            replay_of: None,
        };
        let tenant = Tenant {
            id: TenantId::DEFAULT,
            external_id: None,
            name: "Acme".to_owned(),
            profile: Profile::Standard,
            metadata: BTreeMap::new(),
            subscriptions_max: 1,
            revision: 1,
            created_at: at,
            updated_at: at,
        };
        let message =
            Message { event: &event, data: b"{}", tenant: &tenant, subscription: SubscriptionId::from_u128(1) };
        let secret = Secret::from_bytes(vec![1; 32]).unwrap();
        for profile in Profile::ALL {
            for (name, _) in profile.headers(&message, b"{}", &[&secret], at) {
                assert_eq!(name.parse::<HeaderName>(), Err(InvalidHeaderName::Reserved), "{}: {name}", profile.name());
            }
        }
    }

    #[test]
    fn a_value_is_printable_and_never_printed() {
        let longest = "v".repeat(1024);
        for text in ["a", "Bearer abc", "!~", &longest] {
            assert_eq!(text.parse::<HeaderValue>().unwrap().as_str(), text);
        }
        let too_long = "v".repeat(1025);
        for text in ["", " a", "a ", "a\tb", "a\r\nb: c", "é", "\u{7f}", &too_long] {
            assert_eq!(text.parse::<HeaderValue>(), Err(InvalidHeaderValue), "{text:?}");
        }
        assert_eq!(format!("{:?}", "hush".parse::<HeaderValue>().unwrap()), "HeaderValue(…)");
    }
}
