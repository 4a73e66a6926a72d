//! Request headers that a subscriber adds to deliveries: which names may be taken, and values that nobody sees again.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use super::profile::BRANDED_NAMES;

/// Says which process sends a request, so that it knows its own when they come back to it.
pub const LOOP_HEADER: &str = "waxwing-sender";

/// Custom headers of one subscription (contract 4.1).
pub const HEADERS_MAX: usize = 20;
/// What a value may be, in words.
pub const VALUE_EXPECTED: &str = "1 to 1,024 printable ASCII characters, none of the outer ones a space";
/// Stands for a value wherever one would be shown.
pub const MASK: &str = "***";

const NAME_LENGTH_MAX: usize = 64;
const VALUE_LENGTH_MAX: usize = 1024;

/// Names that Waxwing or HTTP itself sets, that stand for somebody's session, or that open a cloud's metadata service (GCP,
/// Azure) …
const RESERVED: [&str; 16] = [
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "metadata",
    "metadata-flavor",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    LOOP_HEADER,
];
/// … and what their names begin with: what profiles sign with, what is between a client and its proxy, and the tokens of
/// AWS's metadata service and of others.
const RESERVED_PREFIXES: [&str; 8] = [
    "proxy-",
    "svix-",
    "webhook-",
    "x-amcore-",
    "x-aws-ec2-metadata-token",
    "x-marea-",
    "x-metadata-token",
    "x-webhook-",
];

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

    /// One that was free when it was stored: the list of those that are not has grown since, and may grow.
    pub fn from_stored(text: &str) -> Result<Self, InvalidHeaderName> {
        // `token`, RFC 9110 section 5.6.2.
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || text.len() > NAME_LENGTH_MAX || !text.bytes().all(allowed) {
            return Err(InvalidHeaderName::Malformed);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl FromStr for HeaderName {
    type Err = InvalidHeaderName;

    fn from_str(text: &str) -> Result<Self, InvalidHeaderName> {
        let name = Self::from_stored(text)?;
        let is_reserved =
            RESERVED.contains(&name.as_str()) || RESERVED_PREFIXES.into_iter().any(|prefix| name.0.starts_with(prefix));
        if is_reserved { Err(InvalidHeaderName::Reserved) } else { Ok(name) }
    }
}

/// A tenant's own brand part of the names of headers (`x-acme-`), in place of a profile's. In lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderPrefix(String);

/// What a brand part may be, in words.
pub const PREFIX_EXPECTED: &str =
    "2 to 32 characters of A-Z a-z 0-9 -, the first a letter, the last a -, and not how a header of HTTP begins";

const PREFIX_LENGTH_MAX: usize = 32;
/// Brand parts that would make other names than a profile's own: see [`RESERVED`] for the rest.
const PREFIXES_REFUSED: [&str; 3] = ["proxy-", "svix-", "webhook-"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a prefix of header names has {PREFIX_EXPECTED}")]
pub struct InvalidHeaderPrefix;

impl HeaderPrefix {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a profile sets this header when the brand part is this one.
    pub fn takes(&self, name: &HeaderName) -> bool {
        name.0.strip_prefix(&self.0).is_some_and(|rest| BRANDED_NAMES.contains(&rest))
    }
}

impl FromStr for HeaderPrefix {
    type Err = InvalidHeaderPrefix;

    fn from_str(text: &str) -> Result<Self, InvalidHeaderPrefix> {
        let has_form = text.len() <= PREFIX_LENGTH_MAX
            && text.ends_with('-')
            && text.starts_with(|first: char| first.is_ascii_alphabetic())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let prefix = text.to_ascii_lowercase();
        let is_refused = PREFIXES_REFUSED.into_iter().any(|refused| prefix.starts_with(refused))
            || RESERVED.into_iter().any(|name| name.starts_with(&prefix));
        if has_form && !is_refused { Ok(Self(prefix)) } else { Err(InvalidHeaderPrefix) }
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
    use super::super::profile::Profile;
    use super::super::profile::fixture::Fixture;
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
        for text in ["CONTENT-TYPE", "svix-id", "X-Webhook-Anything", "Waxwing-Sender", "User-Agent", "Keep-Alive"] {
            assert_eq!(text.parse::<HeaderName>(), Err(InvalidHeaderName::Reserved), "{text}");
        }
    }

    /// SG-06
    #[test]
    fn what_frames_a_request_and_what_opens_a_metadata_service_is_not_free() {
        for text in [
            "Host",
            "Content-Length",
            "Transfer-Encoding",
            "Connection",
            "TE",
            "Trailer",
            "Upgrade",
            "Expect",
            "Proxy-Authorization",
            "proxy-connection",
            "webhook-id",
            "Webhook-Signature",
            "Cookie",
            "Metadata-Flavor",
            "X-aws-ec2-metadata-token",
            "X-AWS-EC2-Metadata-Token-TTL-Seconds",
            "X-Metadata-Token",
            "x-metadata-token-expiry-seconds",
            "Metadata",
        ] {
            assert_eq!(text.parse::<HeaderName>(), Err(InvalidHeaderName::Reserved), "{text}");
        }
        for value in ["a\r\nhost: x", "a\nb", "a\rb", "a\0b", "\u{85}"] {
            assert_eq!(value.parse::<HeaderValue>(), Err(InvalidHeaderValue), "{value:?}");
        }
    }

    #[test]
    fn no_profile_writes_a_header_that_a_subscriber_could_take() {
        let mut fixture = Fixture::default();
        for prefix in [None, Some("X-Acme-")] {
            let prefix: Option<HeaderPrefix> = prefix.map(|text| text.parse().unwrap());
            fixture.tenant.header_prefix = prefix.clone();
            for profile in Profile::ALL {
                fixture.with_message(|message, sending| {
                    for (name, _) in profile.headers(message, b"{}", sending) {
                        let is_taken = match name.parse::<HeaderName>() {
                            Ok(free) => prefix.as_ref().is_some_and(|prefix| prefix.takes(&free)),
                            Err(why) => why == InvalidHeaderName::Reserved,
                        };
                        assert!(is_taken, "{}: {name}", profile.name());
                    }
                });
            }
        }
    }

    #[test]
    fn a_brand_part_is_the_beginning_of_a_name_that_nobody_else_sets() {
        let longest = format!("X{}-", "a".repeat(30));
        for text in ["X-Acme-", "x-", "Acme-", "X-Marea-", "X-Webhook-", "Proxied-", "X-9--", &longest] {
            let prefix = text.parse::<HeaderPrefix>();
            assert_eq!(prefix.as_ref().map(HeaderPrefix::as_str), Ok(text.to_ascii_lowercase().as_str()), "{text}");
        }
        let too_long = format!("X{}-", "a".repeat(31));
        for text in [
            "",
            "-",
            "X",
            "X-Acme",
            "9-",
            "-x-",
            "X_Acme-",
            "X Acme-",
            "X:-",
            "é-",
            "X-\r\n-",
            "Proxy-",
            "Proxy-Acme-",
            "webhook-",
            "Svix-",
            "Content-",
            "ACCEPT-",
            "Keep-",
            "Transfer-",
            "User-",
            &too_long,
        ] {
            assert_eq!(text.parse::<HeaderPrefix>(), Err(InvalidHeaderPrefix), "{text:?}");
        }
        let prefix: HeaderPrefix = "X-Acme-".parse().unwrap();
        for (name, is_taken) in
            [("X-ACME-Signature", true), ("x-acme-shop", false), ("x-acme-", false), ("acme-signature", false)]
        {
            assert_eq!(prefix.takes(&name.parse().unwrap()), is_taken, "{name}");
        }
    }

    #[test]
    fn a_name_that_was_free_once_still_reads() {
        assert_eq!("X-Marea-Shop".parse::<HeaderName>(), Err(InvalidHeaderName::Reserved));
        assert_eq!(HeaderName::from_stored("x-marea-shop").unwrap().as_str(), "x-marea-shop");
        assert_eq!(HeaderName::from_stored("x marea"), Err(InvalidHeaderName::Malformed));
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
