//! Lets only judged addresses through to a socket.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use url::Host;

use super::resolver::{Resolver, Unresolved};
use crate::domain::target::{Forbidden, TargetRules, TargetUrl, Way, is_localhost};

/// An address that was judged. Only this module makes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vetted {
    address: SocketAddr,
    way: Way,
}

impl Vetted {
    pub fn address(self) -> SocketAddr {
        self.address
    }
}

/// Why a target has no address to connect to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
}

/// All addresses of the target, in the order of the answer, if none of them is forbidden.
pub async fn vetted_addresses(
    url: &TargetUrl,
    rules: &TargetRules,
    resolver: &Resolver,
) -> Result<Vec<Vetted>, Refusal> {
    let port = url.port();
    let name = match url.host() {
        Host::Ipv4(ip) => return Ok(vec![judged(rules, Way::Plain, (ip, port).into())?]),
        Host::Ipv6(ip) => return Ok(vec![judged(rules, Way::Plain, (ip, port).into())?]),
        Host::Domain(name) => name,
    };
    let way = rules.way_of(name);
    let mut addresses = resolver.addresses(name).await?;
    if is_localhost(name) && way == Way::Plain {
        // The name means whichever loopback address the operator opened.
        let opened = |ip: &IpAddr| rules.allowed_ranges.iter().any(|range| range.contains(ip));
        if addresses.iter().any(opened) {
            addresses.retain(opened);
        }
    }
    addresses.into_iter().map(|ip| Ok(judged(rules, way, SocketAddr::new(ip, port))?)).collect()
}

/// The second guard, just before a socket connects. The first one may be minutes old by a bug; this one never is.
pub fn judge_again(rules: &TargetRules, Vetted { address, way }: Vetted) -> Result<(), Forbidden> {
    judged(rules, way, address).map(|_| ())
}

fn judged(rules: &TargetRules, way: Way, address: SocketAddr) -> Result<Vetted, Forbidden> {
    rules.judge_behind(way, address)?;
    if rules.listens_everywhere_at(address.port()) && is_of_this_machine(address.ip()) {
        return Err(Forbidden { address: address.ip(), why: "this instance listens there" });
    }
    Ok(Vetted { address, way })
}

/// Whether an interface of this machine has the address: only then can a socket be bound to it. Sends nothing.
fn is_of_this_machine(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}
