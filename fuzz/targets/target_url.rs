//! URLs of targets: whatever passes is https, leads to a public address or to a name, and is read the same again.
#![no_main]

use std::net::{IpAddr, SocketAddr};

use libfuzzer_sys::fuzz_target;
use url::Host;
use waxwing::domain::target::{TargetRules, TargetUrl, URL_LENGTH_MAX};

fuzz_target!(|text: &str| {
    let rules = TargetRules::default();
    let Ok(target) = TargetUrl::parse(text, &rules) else { return };
    let written = target.as_str();
    assert!(target.is_https() && written.is_ascii() && written.len() <= URL_LENGTH_MAX);
    assert_eq!(TargetUrl::parse(written, &rules).as_ref(), Ok(&target), "it passes again");
    assert_eq!(TargetUrl::from_stored(written).as_ref(), Some(&target), "it is stored as it is");
    let address: Option<IpAddr> = match target.host() {
        Host::Domain(name) => {
            assert!(name.contains('.') && !name.ends_with('.'), "{name} is a public name");
            assert!(name.trim_matches(['[', ']']).parse::<IpAddr>().is_err(), "{name} is no address in disguise");
            None
        }
        Host::Ipv4(ip) => Some(ip.into()),
        Host::Ipv6(ip) => Some(ip.into()),
    };
    if let Some(ip) = address {
        assert_eq!(rules.judge(SocketAddr::new(ip, target.port())), Ok(()));
        // The standard library's own view, as far as it goes.
        match ip {
            IpAddr::V4(ip) => assert!(
                !(ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.octets()[0] == 0)
            ),
            IpAddr::V6(ip) => assert!(
                !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || ip.to_ipv4_mapped().is_some())
            ),
        }
    }
});
