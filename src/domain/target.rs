//! Where a delivery may go: the grammar of target URLs and the addresses that are refused.
//!
//! Sources: the WHATWG URL standard; IANA's special-purpose address registries (IPv6 of 2025-10-09); RFC 6052 for
//! NAT64, RFC 3056 for 6to4, RFC 4380 for Teredo, RFC 5214 for ISATAP.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

use super::violation::Rule;

pub const URL_LENGTH_MAX: usize = 2048;
/// The host of the built-in test receiver: answered in the process, never resolved (contract 8).
pub const TEST_RECEIVER_HOST: &str = "test-receiver.invalid";
/// The host of listeners (`waxwing listen`): what is sent there is fetched, and never resolved.
pub const LISTENER_HOST: &str = "listener.invalid";

/// A URL that passed the grammar, in its canonical (WHATWG) form. Its addresses are judged at each connection.
#[derive(Clone, PartialEq, Eq)]
pub struct TargetUrl(Url);

/// What this instance allows beyond public https.
#[derive(Debug, Clone, Default)]
pub struct TargetRules {
    pub allow_http: bool,
    /// Forbidden ranges that the operator opened.
    pub allowed_ranges: Vec<IpNet>,
    /// Hosts that the operator opened: whatever their names say and wherever they lead.
    pub allowed_hosts: Vec<HostPattern>,
    /// Whether what was opened may be a metadata service of a cloud, too.
    pub allow_metadata: bool,
    /// Ports that the operator opened.
    pub allowed_ports: Vec<u16>,
    /// Ports that are refused besides those that always are, whatever is allowed.
    pub refused_ports: Vec<u16>,
    /// By which the gateways of this network lead to IPv4, besides the well-known prefix.
    pub nat64_prefixes: Vec<Nat64Prefix>,
    /// Addresses that this process listens on: never a target, whatever is allowed.
    pub own_listeners: Vec<SocketAddr>,
    /// Hosts under which others reach this process, as a URL spells them: never a target either.
    pub own_hosts: Vec<String>,
}

/// `hooks.example.internal`, or `*.example.internal` for every name below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    name: String,
    is_of_names_below: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a host is a name like hooks.example.internal, or *.example.internal for all names below it")]
pub struct InvalidHostPattern;

impl HostPattern {
    fn matches(&self, name: &str) -> bool {
        match name.strip_suffix(self.name.as_str()) {
            Some(rest) if self.is_of_names_below => rest.len() > 1 && rest.ends_with('.'),
            Some(rest) => rest.is_empty(),
            None => false,
        }
    }
}

impl FromStr for HostPattern {
    type Err = InvalidHostPattern;

    fn from_str(text: &str) -> Result<Self, InvalidHostPattern> {
        let (is_of_names_below, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
        match Host::parse(name) {
            Ok(Host::Domain(name)) if !name.ends_with('.') && !name.contains('*') => {
                // Everything below `com` would be half of the internet.
                let is_narrow = !is_of_names_below || name.contains('.') || LOCAL_SUFFIXES.contains(&name.as_str());
                if is_narrow { Ok(Self { name, is_of_names_below }) } else { Err(InvalidHostPattern) }
            }
            Ok(_) | Err(_) => Err(InvalidHostPattern),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_of_names_below { "*." } else { "" }, self.name)
    }
}

/// A prefix of IPv6 addresses that a gateway takes IPv4 addresses out of (RFC 6052).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nat64Prefix(Ipv6Net);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a NAT64 prefix is one of IPv6 with a length of 32, 40, 48, 56, 64 or 96")]
pub struct InvalidNat64Prefix;

impl Nat64Prefix {
    const WELL_KNOWN: Self = Self(v6(0x64, 0xff9b, 0, 0, 96));

    /// Where the gateway leads; none when the address is not below the prefix. Of one that no gateway would make, since
    /// octet 8 is not zero, it is [`Ipv4Addr::UNSPECIFIED`], which nothing opens by accident.
    fn carried(self, ip: Ipv6Addr) -> Option<Ipv4Addr> {
        if !self.0.contains(&ip) {
            return None;
        }
        let octets = ip.octets();
        let first = usize::from(self.0.prefix_len()) / 8;
        if first < RESERVED_OCTET + 4 && octets[RESERVED_OCTET] != 0 {
            return Some(Ipv4Addr::UNSPECIFIED);
        }
        // RFC 6052 section 2.2: the address lies around octet 8.
        let mut carried = (first..octets.len()).filter(|place| *place != RESERVED_OCTET).map(|place| octets[place]);
        let mut next = || carried.next().expect("the longest prefix leaves four octets");
        Some(Ipv4Addr::new(next(), next(), next(), next()))
    }
}

/// Zero in every address that carries an IPv4 address by RFC 6052, but behind a prefix of 96 bits.
const RESERVED_OCTET: usize = 8;

impl FromStr for Nat64Prefix {
    type Err = InvalidNat64Prefix;

    fn from_str(text: &str) -> Result<Self, InvalidNat64Prefix> {
        let net: Ipv6Net = text.parse().map_err(|_| InvalidNat64Prefix)?;
        if [32, 40, 48, 56, 64, 96].contains(&net.prefix_len()) {
            Ok(Self(net.trunc()))
        } else {
            Err(InvalidNat64Prefix)
        }
    }
}

impl fmt::Display for Nat64Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What led to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// The URL itself, or a name that nobody opened.
    Plain,
    /// A name that the operator opened.
    OpenedHost,
}

/// An address that may not be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{address} is refused: {why}")]
pub struct Forbidden {
    pub address: IpAddr,
    pub why: &'static str,
}

impl TargetUrl {
    /// Reads what a person typed. The first broken rule is told.
    pub fn parse(text: &str, rules: &TargetRules) -> Result<Self, Rule> {
        if text.len() > URL_LENGTH_MAX {
            return Err(Rule::UrlTooLong { max: URL_LENGTH_MAX });
        }
        check_raw_text(text)?;
        let url = Url::parse(text).map_err(|error| Rule::InvalidUrl(words_of(error)))?;
        // Percent-encoding and IDNA make a URL longer than what was typed.
        if url.as_str().len() > URL_LENGTH_MAX {
            return Err(Rule::UrlTooLong { max: URL_LENGTH_MAX });
        }
        let target = Self(url);
        target.check(rules)?;
        Ok(target)
    }

    /// A URL that was checked when it was stored; the rules of today are asked again when it is connected to.
    pub fn from_stored(text: &str) -> Option<Self> {
        Url::parse(text).ok().map(Self)
    }

    /// Holds the URL against the rules, without resolving its name.
    pub fn check(&self, rules: &TargetRules) -> Result<(), Rule> {
        match self.0.scheme() {
            "https" => {}
            "http" if rules.allow_http => {}
            _ => return Err(Rule::UrlNotHttps),
        }
        if !self.0.username().is_empty() || self.0.password().is_some() {
            return Err(Rule::InvalidUrl("a user name or password is not allowed in it"));
        }
        if self.0.fragment().is_some() {
            return Err(Rule::InvalidUrl("a fragment (#…) is not allowed in it"));
        }
        match self.host() {
            host if rules.own_hosts.contains(&host.to_string()) => return Err(Rule::UrlBlocked),
            Host::Domain(name) => check_name(name, rules)?,
            Host::Ipv4(ip) => rules.judge((ip, self.port()).into()).map_err(|_| Rule::UrlBlocked)?,
            Host::Ipv6(ip) => rules.judge((ip, self.port()).into()).map_err(|_| Rule::UrlBlocked)?,
        }
        if !is_port_allowed(self.port(), rules) {
            return Err(Rule::UrlBlocked);
        }
        Ok(())
    }

    pub fn as_url(&self) -> &Url {
        &self.0
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    pub fn host(&self) -> Host<&str> {
        // A stored URL of another scheme can lack a host; no rule lets the empty name pass.
        self.0.host().unwrap_or(Host::Domain(""))
    }

    /// The port of the URL, or its scheme's own one.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(0)
    }

    /// Whether both lead to the same host and port.
    pub fn has_host_of(&self, other: &Self) -> bool {
        (self.host(), self.port()) == (other.host(), other.port())
    }

    pub fn is_test_receiver(&self) -> bool {
        self.0.host_str() == Some(TEST_RECEIVER_HOST)
    }

    pub fn is_listener(&self) -> bool {
        self.0.host_str() == Some(LISTENER_HOST)
    }
}

impl fmt::Debug for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TargetRules {
    /// Judges an address that stands for itself.
    pub fn judge(&self, address: SocketAddr) -> Result<(), Forbidden> {
        self.judge_behind(Way::Plain, address)
    }

    /// Judges one address of a target. Every address of an answer is asked, and one refusal refuses the target.
    pub fn judge_behind(&self, way: Way, address: SocketAddr) -> Result<(), Forbidden> {
        let ip = address.ip();
        let refused = |why| Err(Forbidden { address: ip, why });
        let gateway = match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => {
                let own = self.nat64_prefixes.iter().find_map(|prefix| prefix.carried(ip));
                own.or_else(|| Nat64Prefix::WELL_KNOWN.carried(ip)).map(IpAddr::V4)
            }
        };
        for meant in [Some(ip), gateway, carried_ipv4(ip).map(IpAddr::V4)].into_iter().flatten() {
            // Nothing else that is opened opens these, however they are written.
            if METADATA.contains(&meant) && !self.allow_metadata {
                return refused("metadata service of a cloud");
            }
            if self.is_own_listener(SocketAddr::new(meant, address.port())) {
                return refused("this instance listens there");
            }
        }
        let judged = match ip {
            // The operator opens IPv4 ranges as IPv4, so the second spelling is not needed, and `::/0` must not open it.
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => return refused("IPv4-mapped"),
            _ => gateway.unwrap_or(ip),
        };
        match refused_range(judged) {
            None => Ok(()),
            Some(_) if way == Way::OpenedHost => Ok(()),
            Some(_) if self.allowed_ranges.iter().any(|range| range.contains(&judged)) => Ok(()),
            Some(why) => refused(why),
        }
    }

    /// How the addresses of a name are to be judged.
    pub fn way_of(&self, name: &str) -> Way {
        if self.allowed_hosts.iter().any(|pattern| pattern.matches(name)) { Way::OpenedHost } else { Way::Plain }
    }

    /// Whether this process listens on every address of the machine at that port.
    pub fn listens_everywhere_at(&self, port: u16) -> bool {
        self.own_listeners.iter().any(|listener| listener.port() == port && listener.ip().is_unspecified())
    }

    fn is_own_listener(&self, address: SocketAddr) -> bool {
        let to = address.ip();
        self.own_listeners.iter().filter(|listener| listener.port() == address.port()).any(|listener| {
            let own = listener.ip().to_canonical();
            // Connecting to the unspecified address reaches the machine itself.
            to == own
                || (own.is_unspecified() && to.is_loopback())
                || (to.is_unspecified() && (own.is_unspecified() || own.is_loopback()))
        })
    }

    fn opens_loopback(&self) -> bool {
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        self.allowed_ranges.iter().any(|range| loopback.iter().any(|address| range.contains(address)))
    }
}

/// What the WHATWG parser would quietly repair, and so would no longer be seen after it.
fn check_raw_text(text: &str) -> Result<(), Rule> {
    if text.is_empty() {
        return Err(Rule::InvalidUrl("it is empty"));
    }
    if text.contains(|character: char| character.is_control() || character.is_whitespace() || character == '\\') {
        return Err(Rule::InvalidUrl("spaces, control characters and backslashes are not allowed in it"));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return match text.split_once(':') {
            Some((scheme, _)) if !is_http_scheme(scheme) => Err(Rule::UrlNotHttps),
            _ => Err(Rule::InvalidUrl("it must begin with https://")),
        };
    };
    if !is_http_scheme(scheme) {
        return Err(Rule::UrlNotHttps);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() {
        return Err(Rule::InvalidUrl("the host is missing"));
    }
    // An empty user name before the `@` leaves no trace in the parsed URL.
    if authority.contains('@') {
        return Err(Rule::InvalidUrl("a user name or password is not allowed in it"));
    }
    Ok(())
}

fn is_http_scheme(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")
}

fn words_of(error: url::ParseError) -> &'static str {
    use url::ParseError::*;
    match error {
        EmptyHost => "the host is missing",
        IdnaError => "the host name is not valid",
        InvalidPort => "the port is not a number from 1 to 65535",
        InvalidIpv4Address => "the IPv4 address is not valid",
        InvalidIpv6Address => "the IPv6 address is not valid",
        InvalidDomainCharacter => "the host holds a character that host names cannot have",
        _ => "it cannot be read as a URL",
    }
}

/// Names that mean something else on each network, by custom or by standard (RFC 6761, 6762, 7686, 8375, 9476).
const LOCAL_SUFFIXES: [&str; 9] =
    ["localhost", "local", "internal", "home.arpa", "lan", "intranet", "corp", "onion", "localdomain"];
/// Of a whole name (RFC 1035 section 2.3.4, without the dot of the root), and of one label.
const NAME_LENGTH_MAX: usize = 253;
const LABEL_LENGTH_MAX: usize = 63;

fn check_name(name: &str, rules: &TargetRules) -> Result<(), Rule> {
    if is_below(name, "localhost") && rules.opens_loopback() {
        return Ok(());
    }
    let relative = name.trim_end_matches('.');
    let is_opened = rules.way_of(name) == Way::OpenedHost;
    let is_local = !relative.contains('.')
        || LOCAL_SUFFIXES.iter().any(|suffix| is_below(relative, suffix))
        || relative == "kubernetes.default"
        || relative.starts_with("kubernetes.default.");
    if is_local && !is_opened {
        return Err(Rule::UrlBlocked);
    }
    if name.ends_with('.') {
        return Err(Rule::InvalidUrl("the host must not end with a dot"));
    }
    let labels_fit = name.split('.').all(|label| (1..=LABEL_LENGTH_MAX).contains(&label.len()));
    if name.len() > NAME_LENGTH_MAX || !labels_fit || !name.is_ascii() {
        return Err(Rule::InvalidUrl("the host name is not valid"));
    }
    Ok(())
}

/// Whether `name` is `suffix` or ends with `.suffix`.
fn is_below(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether a name always means this machine (RFC 6761 section 6.3).
pub fn is_localhost(name: &str) -> bool {
    is_below(name, "localhost")
}

/// Ports of services that speak something else than HTTP, or that nobody should post to from outside.
const PORTS_REFUSED: [u16; 19] = [
    1433,  // SQL Server
    2375,  // Docker
    2376,  // Docker over TLS
    2379,  // etcd
    2380,  // etcd peers
    3306,  // MySQL
    3389,  // Remote Desktop
    5432,  // PostgreSQL
    5672,  // AMQP
    5984,  // CouchDB
    6379,  // Redis
    6443,  // Kubernetes
    8500,  // Consul
    9042,  // Cassandra
    9200,  // Elasticsearch
    10250, // kubelet
    11211, // memcached
    15672, // RabbitMQ management
    27017, // MongoDB
];

fn is_port_allowed(port: u16, rules: &TargetRules) -> bool {
    match port {
        0 => false,
        port if rules.refused_ports.contains(&port) => false,
        port if rules.allowed_ports.contains(&port) => true,
        443 => true,
        80 => rules.allow_http,
        1..1024 => false,
        _ => !PORTS_REFUSED.contains(&port),
    }
}

/// Addresses where clouds hand credentials to their machines: AWS (IMDS, ECS, EKS), Alibaba, Azure, GCP.
const METADATA: [IpAddr; 8] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

/// From the prefix's first four groups: no range below needs more.
const fn v6(a: u16, b: u16, c: u16, d: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

const IPV4_REFUSED: [(Ipv4Net, &str); 20] = [
    (v4(0, 0, 0, 0, 8), "this network"),
    (v4(10, 0, 0, 0, 8), "private"),
    (v4(100, 64, 0, 0, 10), "shared by a carrier (CGNAT)"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    (v4(168, 63, 129, 16, 32), "Azure platform"),
    (v4(169, 254, 0, 0, 16), "link-local"),
    (v4(172, 16, 0, 0, 12), "private"),
    (v4(192, 0, 0, 0, 24), "IETF assignment"),
    (v4(192, 0, 2, 0, 24), "documentation"),
    (v4(192, 31, 196, 0, 24), "AS112"),
    (v4(192, 52, 193, 0, 24), "AMT"),
    (v4(192, 88, 99, 0, 24), "6to4 relay"),
    (v4(192, 168, 0, 0, 16), "private"),
    (v4(192, 175, 48, 0, 24), "AS112"),
    (v4(198, 18, 0, 0, 15), "benchmarking"),
    (v4(198, 51, 100, 0, 24), "documentation"),
    (v4(203, 0, 113, 0, 24), "documentation"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(255, 255, 255, 255, 32), "broadcast"),
    (v4(240, 0, 0, 0, 4), "reserved"),
];

/// The only part of IPv6 that is given out for the public internet.
const IPV6_GLOBAL_UNICAST: Ipv6Net = v6(0x2000, 0, 0, 0, 3);

/// Refused, and named for the operator; everything else outside of [`IPV6_GLOBAL_UNICAST`] is refused as well.
const IPV6_REFUSED: [(Ipv6Net, &str); 15] = [
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), "loopback"),
    (v6(0, 0, 0, 0, 128), "unspecified"),
    (v6(0, 0, 0, 0, 96), "IPv4-compatible"),
    (v6(0x64, 0xff9b, 1, 0, 48), "NAT64 of a local network"),
    (v6(0x100, 0, 0, 0, 64), "discard-only"),
    (v6(0x100, 0, 0, 1, 64), "dummy prefix"),
    (v6(0x2001, 0, 0, 0, 23), "IETF assignment"),
    (v6(0x2001, 0xdb8, 0, 0, 32), "documentation"),
    (v6(0x2002, 0, 0, 0, 16), "6to4"),
    (v6(0x2620, 0x4f, 0x8000, 0, 48), "AS112"),
    (v6(0x3fff, 0, 0, 0, 20), "documentation"),
    (v6(0xfc00, 0, 0, 0, 7), "unique local"),
    (v6(0xfe80, 0, 0, 0, 10), "link-local"),
    (v6(0xfec0, 0, 0, 0, 10), "site-local"),
    (v6(0xff00, 0, 0, 0, 8), "multicast"),
];

const NAT64_LOCAL: Ipv6Net = v6(0x64, 0xff9b, 1, 0, 48);
const TEREDO: Ipv6Net = v6(0x2001, 0, 0, 0, 32);
const SIX_TO_FOUR: Ipv6Net = v6(0x2002, 0, 0, 0, 16);
const FIRST_EIGHTH: Ipv6Net = v6(0, 0, 0, 0, 8);

/// Why an address is refused unless its range was opened.
fn refused_range(ip: IpAddr) -> Option<&'static str> {
    match ip {
        IpAddr::V4(ip) => IPV4_REFUSED.iter().find(|(range, _)| range.contains(&ip)).map(|(_, why)| *why),
        IpAddr::V6(ip) => IPV6_REFUSED
            .iter()
            .find(|(range, _)| range.contains(&ip))
            .map(|(_, why)| *why)
            .or_else(|| (!IPV6_GLOBAL_UNICAST.contains(&ip)).then_some("not global unicast")),
    }
}

/// The IPv4 address that some gateway would take out of an IPv6 address, in every embedding that is known.
fn carried_ipv4(ip: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(ip) = ip else { return None };
    let [_, b, c, d, e, f, _, _] = ip.segments();
    if SIX_TO_FOUR.contains(&ip) {
        Some(from_groups(b, c))
    } else if TEREDO.contains(&ip) {
        Some(Ipv4Addr::from_bits(!last_four_octets(ip).to_bits()))
    } else if NAT64_LOCAL.contains(&ip) && e & 0xff00 == 0 && (e, f) != (0, 0) {
        // RFC 6052 section 2.2 for a /48: the halves lie around octet 8, which is zero.
        Some(from_groups(d, (e << 8) | (f >> 8)))
    } else if FIRST_EIGHTH.contains(&ip) || (e & !0x0200 == 0 && f == 0x5efe) {
        Some(last_four_octets(ip))
    } else {
        None
    }
}

fn last_four_octets(ip: Ipv6Addr) -> Ipv4Addr {
    let [.., high, low] = ip.segments();
    from_groups(high, low)
}

fn from_groups(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low))
}

#[cfg(test)]
mod tests;
