//! Where a delivery may go: the grammar of target URLs and the addresses that are refused.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use url::Url;

use super::violation::Rule;

pub const URL_LENGTH_MAX: usize = 2048;
/// The host of the built-in test receiver: answered in the process, never resolved (contract 8).
pub const TEST_RECEIVER_HOST: &str = "test-receiver.invalid";

/// A URL that passed the grammar, in its canonical (WHATWG) form. Its addresses are judged at each connection.
#[derive(Clone, PartialEq, Eq)]
pub struct TargetUrl(Url);

/// What this instance allows beyond public https.
#[derive(Debug, Clone, Default)]
pub struct TargetRules {
    pub allow_http: bool,
    /// Forbidden ranges that the operator opened.
    pub allowed_ranges: Vec<IpNet>,
    /// Addresses that this process listens on: never a target, whatever is allowed.
    pub own_listeners: Vec<SocketAddr>,
}

/// An address that may not be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{address} is refused: {why}")]
pub struct Forbidden {
    pub address: IpAddr,
    pub why: &'static str,
}

impl TargetUrl {
    pub fn parse(text: &str, rules: &TargetRules) -> Result<Self, Rule> {
        let _ = (text, rules);
        unimplemented!("net helper")
    }

    /// A URL that was checked when it was stored; the rules of today are asked again when it is connected to.
    pub fn from_stored(text: &str) -> Option<Self> {
        Url::parse(text).ok().map(Self)
    }

    pub fn as_url(&self) -> &Url {
        &self.0
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub fn is_test_receiver(&self) -> bool {
        self.0.host_str() == Some(TEST_RECEIVER_HOST)
    }
}

impl fmt::Debug for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TargetRules {
    /// Judges one address of a target. Every address of an answer is asked, and one refusal refuses the target.
    pub fn judge(&self, address: SocketAddr) -> Result<(), Forbidden> {
        let _ = address;
        unimplemented!("net helper")
    }
}
