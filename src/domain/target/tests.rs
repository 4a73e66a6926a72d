use super::*;
use proptest::prelude::*;

fn development() -> TargetRules {
    TargetRules {
        allow_http: true,
        allowed_ranges: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        own_listeners: vec!["127.0.0.1:8620".parse().unwrap()],
        ..TargetRules::default()
    }
}

fn code_of(text: &str, rules: &TargetRules) -> &'static str {
    TargetUrl::parse(text, rules).map_or_else(|rule| rule.code(), |_| "ok")
}

fn is_refused(address: &str, rules: &TargetRules) -> bool {
    let ip: IpAddr = address.parse().unwrap_or_else(|_| panic!("{address} is no address"));
    rules.judge(SocketAddr::new(ip, 443)).is_err()
}

#[test]
fn each_rule_of_the_grammar_has_its_code() {
    let public = TargetRules::default();
    for (text, code) in [
        ("https://example.com/hooks?a=b", "ok"),
        ("https://example.com", "ok"),
        ("HTTPS://EXAMPLE.com/", "ok"),
        ("https://example.com:443/", "ok"),
        ("https://example.com:8443/", "ok"),
        ("https://münchen.example.com/ü?ü", "ok"),
        ("https://93.184.216.34/", "ok"),
        ("https://[2606:4700::1111]:1024/", "ok"),
        ("https://test-receiver.invalid/orders", "ok"),
        ("", "invalid_url"),
        ("example.com/hooks", "invalid_url"),
        ("https:example.com", "invalid_url"),
        ("https:/example.com", "invalid_url"),
        ("https:///example.com", "invalid_url"),
        ("https://", "invalid_url"),
        ("https://:443/", "invalid_url"),
        ("https://user@example.com/", "invalid_url"),
        ("https://user:pass@example.com/", "invalid_url"),
        ("https://@example.com/", "invalid_url"),
        ("https://:@example.com/", "invalid_url"),
        ("https://example.com/#top", "invalid_url"),
        ("https://example.com/#", "invalid_url"),
        (" https://example.com/", "invalid_url"),
        ("https://example.com/ ", "invalid_url"),
        ("https://exam\tple.com/", "invalid_url"),
        ("https://example.com/a\nb", "invalid_url"),
        ("ht\rtps://example.com/", "invalid_url"),
        ("https://example.com/\u{0}", "invalid_url"),
        ("https://example.com/a b", "invalid_url"),
        ("https://example.com/a\u{a0}b", "invalid_url"),
        ("https://example.com/\u{85}", "invalid_url"),
        ("https:\\\\example.com\\", "invalid_url"),
        ("https://example.com\\@evil.example/", "invalid_url"),
        ("https://exa%00mple.com/", "invalid_url"),
        ("https://example.com:0x1bb/", "invalid_url"),
        ("https://example.com:65536/", "invalid_url"),
        ("https://[fe80::1%25eth0]/", "invalid_url"),
        ("https://[fe80::1%eth0]/", "invalid_url"),
        ("https://example.com./", "invalid_url"),
        ("https://example.com../", "invalid_url"),
        ("https://a..example.com/", "invalid_url"),
        ("https://256.256.256.256/", "invalid_url"),
        ("http://example.com/", "url_not_https"),
        ("ftp://example.com/", "url_not_https"),
        ("file:///etc/passwd", "url_not_https"),
        ("javascript:alert(1)", "url_not_https"),
        ("data:text/plain,x", "url_not_https"),
        ("https://localhost/", "url_blocked"),
        ("https://LOCALHOST/", "url_blocked"),
        ("https://localhost./", "url_blocked"),
        ("https://a.localhost/", "url_blocked"),
        ("https://printer.local/", "url_blocked"),
        ("https://printer.local./", "url_blocked"),
        ("https://db.internal/", "url_blocked"),
        ("https://metadata.google.internal/", "url_blocked"),
        ("https://router.home.arpa/", "url_blocked"),
        ("https://nas.lan/", "url_blocked"),
        ("https://hr.intranet/", "url_blocked"),
        ("https://hr.corp/", "url_blocked"),
        ("https://abc.onion/", "url_blocked"),
        ("https://metadata/", "url_blocked"),
        ("https://instance-data/", "url_blocked"),
        ("https://kubernetes.default/", "url_blocked"),
        ("https://kubernetes.default.svc/", "url_blocked"),
        ("https://intranet/", "url_blocked"),
        ("https://\u{ff4c}ocalhost/", "url_blocked"),
        ("https://10.0.0.1/", "url_blocked"),
        ("https://[::1]/", "url_blocked"),
        ("https://[::ffff:127.0.0.1]/", "url_blocked"),
        ("https://[64:ff9b::127.0.0.1]/", "url_blocked"),
        ("https://[64:ff9b::93.184.216.34]/", "ok"),
    ] {
        assert_eq!(code_of(text, &public), code, "{text:?}");
    }
}

#[test]
fn names_that_only_look_local_pass() {
    for name in ["mylocalhost.com", "internal.example.com", "lan.example.com", "xn--mnchen-3ya.de", "a_b.example.com"] {
        assert_eq!(code_of(&format!("https://{name}/"), &TargetRules::default()), "ok", "{name}");
    }
}

#[test]
fn a_url_of_2048_bytes_passes_and_a_longer_one_does_not() {
    let base = "https://example.com/";
    let fits = format!("{base}{}", "a".repeat(URL_LENGTH_MAX - base.len()));
    assert_eq!(code_of(&fits, &TargetRules::default()), "ok");
    assert_eq!(code_of(&format!("{fits}a"), &TargetRules::default()), "url_too_long");
    // Each of these becomes six bytes.
    let grows = format!("{base}{}", "ü".repeat(400));
    assert_eq!(code_of(&grows, &TargetRules::default()), "url_too_long");
}

#[test]
fn a_name_that_no_dns_server_can_be_asked_for_is_refused() {
    let label = "a".repeat(63);
    let rules = TargetRules::default();
    assert_eq!(code_of(&format!("https://{label}.example.com/"), &rules), "ok");
    assert_eq!(code_of(&format!("https://{label}a.example.com/"), &rules), "invalid_url");
    assert_eq!(code_of(&format!("https://{label}.{label}.{label}.{label}.com/"), &rules), "invalid_url");
}

#[test]
fn ports_of_other_services_are_refused() {
    let public = TargetRules::default();
    for port in [443, 1024, 3000, 8080, 8443, 65535] {
        assert_eq!(code_of(&format!("https://example.com:{port}/"), &public), "ok", "{port}");
    }
    let low = [0, 1, 22, 25, 53, 80, 110, 143, 389, 445, 465, 587, 1023];
    for port in low.into_iter().chain(PORTS_REFUSED) {
        assert_eq!(code_of(&format!("https://example.com:{port}/"), &public), "url_blocked", "{port}");
    }
    assert_eq!(code_of("http://example.com/", &development()), "ok");
    assert_eq!(code_of("http://127.0.0.1:6379/", &development()), "url_blocked");
}

#[test]
fn development_opens_loopback_and_nothing_else() {
    for (text, code) in [
        ("http://127.0.0.1:3000/", "ok"),
        ("http://[::1]:3000/", "ok"),
        ("http://localhost:3000/", "ok"),
        ("http://app.localhost:3000/", "ok"),
        ("https://localhost/", "ok"),
        ("http://127.0.0.1:8620/", "url_blocked"),
        ("http://0.0.0.0:3000/", "url_blocked"),
        ("http://10.0.0.1/", "url_blocked"),
        ("http://printer.local/", "url_blocked"),
        ("http://intranet/", "url_blocked"),
        ("http://localhost.:3000/", "url_blocked"),
        ("http://[::ffff:127.0.0.1]:3000/", "url_blocked"),
    ] {
        assert_eq!(code_of(text, &development()), code, "{text}");
    }
}

/// First and last address of a range, and the ones just outside of it that must pass (none where the neighbour is
/// refused as well).
type Row = (&'static str, &'static str, Option<&'static str>, Option<&'static str>);

const ROWS: [Row; 46] = [
    ("0.0.0.0", "0.255.255.255", None, Some("1.0.0.0")),
    ("10.0.0.0", "10.255.255.255", Some("9.255.255.255"), Some("11.0.0.0")),
    ("172.16.0.0", "172.31.255.255", Some("172.15.255.255"), Some("172.32.0.0")),
    ("192.168.0.0", "192.168.255.255", Some("192.167.255.255"), Some("192.169.0.0")),
    ("100.64.0.0", "100.127.255.255", Some("100.63.255.255"), Some("100.128.0.0")),
    ("127.0.0.0", "127.255.255.255", Some("126.255.255.255"), Some("128.0.0.0")),
    ("169.254.0.0", "169.254.255.255", Some("169.253.255.255"), Some("169.255.0.0")),
    ("192.0.0.0", "192.0.0.255", Some("191.255.255.255"), Some("192.0.1.0")),
    ("192.0.2.0", "192.0.2.255", Some("192.0.1.255"), Some("192.0.3.0")),
    ("198.51.100.0", "198.51.100.255", Some("198.51.99.255"), Some("198.51.101.0")),
    ("203.0.113.0", "203.0.113.255", Some("203.0.112.255"), Some("203.0.114.0")),
    ("192.31.196.0", "192.31.196.255", Some("192.31.195.255"), Some("192.31.197.0")),
    ("192.175.48.0", "192.175.48.255", Some("192.175.47.255"), Some("192.175.49.0")),
    ("192.52.193.0", "192.52.193.255", Some("192.52.192.255"), Some("192.52.194.0")),
    ("192.88.99.0", "192.88.99.255", Some("192.88.98.255"), Some("192.88.100.0")),
    ("198.18.0.0", "198.19.255.255", Some("198.17.255.255"), Some("198.20.0.0")),
    ("224.0.0.0", "239.255.255.255", Some("223.255.255.255"), None),
    ("240.0.0.0", "255.255.255.254", None, None),
    ("255.255.255.255", "255.255.255.255", None, None),
    ("168.63.129.16", "168.63.129.16", Some("168.63.129.15"), Some("168.63.129.17")),
    ("::", "::", None, None),
    ("::1", "::1", None, None),
    ("::2", "::ffff:ffff", None, None),
    ("::ffff:0.0.0.0", "::ffff:255.255.255.255", None, None),
    ("::ffff:0:0.0.0.0", "::ffff:0:255.255.255.255", None, None),
    ("::5efe:0.0.0.0", "::5efe:255.255.255.255", None, None),
    ("::", "ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
    ("64:ff9b::127.0.0.0", "64:ff9b::127.255.255.255", Some("64:ff9b::126.255.255.255"), Some("64:ff9b::128.0.0.0")),
    ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", None, None),
    ("100::", "100::ffff:ffff:ffff:ffff", None, None),
    ("100:0:0:1::", "100:0:0:1:ffff:ffff:ffff:ffff", None, None),
    ("101::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, Some("2000::")),
    ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", Some("2000:ffff::"), Some("2001:200::")),
    ("2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff", None, None),
    ("2001:10::", "2001:3f:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", Some("2001:db7:ffff::"), Some("2001:db9::")),
    ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("2001:ffff::"), Some("2003::")),
    ("2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", Some("2620:4f:7fff::"), Some("2620:4f:8001::")),
    ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", Some("3ffe:ffff::"), Some("3fff:1000::")),
    ("4000::", "5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some("3fff:ffff::"), None),
    ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
    ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
    ("fe00::", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
    ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
    ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
    ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, None),
];

#[test]
fn each_range_is_refused_from_its_first_to_its_last_address_and_no_further() {
    let rules = TargetRules::default();
    for (first, last, before, after) in ROWS {
        assert!(is_refused(first, &rules), "{first}");
        assert!(is_refused(last, &rules), "{last}");
        for outside in [before, after].into_iter().flatten() {
            assert!(!is_refused(outside, &rules), "{outside} is outside of {first}..{last}");
        }
    }
}

#[test]
fn every_refused_range_has_a_row_in_the_table_above() {
    let first_addresses: Vec<IpAddr> = ROWS.iter().map(|(first, ..)| first.parse().unwrap()).collect();
    let ipv4 = IPV4_REFUSED.iter().map(|(range, _)| IpAddr::V4(range.network()));
    let ipv6 = IPV6_REFUSED.iter().map(|(range, _)| IpAddr::V6(range.network()));
    for first in ipv4.chain(ipv6) {
        assert!(first_addresses.contains(&first), "{first}");
    }
}

#[test]
fn a_metadata_address_is_refused_however_it_is_written_and_whatever_is_opened() {
    let everything = TargetRules {
        allow_http: true,
        allowed_ranges: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
        ..TargetRules::default()
    };
    assert!(!is_refused("10.0.0.1", &everything));
    assert!(!is_refused("fd00::1", &everything));
    for address in METADATA {
        assert!(is_refused(&address.to_string(), &everything), "{address}");
    }
    for address in [
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "::ffff:0:169.254.169.254",
        "::5efe:169.254.169.254",
        "fe80::5efe:169.254.169.254",
        "fd00::200:5efe:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b::168.63.129.16",
        "64:ff9b:1::169.254.169.254",
        "64:ff9b:1:a9fe:a9:fe00::",
        "2002:a9fe:a9fe::1",
        "2001:0:4136:e378:8000:63bf:5601:5601",
        "::ffff:127.0.0.1",
    ] {
        assert!(is_refused(address, &everything), "{address}");
    }
}

#[test]
fn an_opened_range_opens_itself_and_its_nat64_form_only() {
    let rules = TargetRules { allowed_ranges: vec!["10.1.0.0/16".parse().unwrap()], ..TargetRules::default() };
    for (address, refused) in [
        ("10.1.2.3", false),
        ("64:ff9b::10.1.2.3", false),
        ("10.2.0.0", true),
        ("64:ff9b::10.2.0.0", true),
        ("::ffff:10.1.2.3", true),
        ("192.168.0.1", true),
    ] {
        assert_eq!(is_refused(address, &rules), refused, "{address}");
    }
    assert_eq!(code_of("https://10.1.2.3/", &rules), "ok");
    assert_eq!(code_of("https://localhost/", &rules), "url_blocked");
}

#[test]
fn no_listener_of_its_own_is_a_target() {
    let everywhere = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
    for (listener, target, refused) in [
        ("127.0.0.1:8620", "127.0.0.1:8620", true),
        ("127.0.0.1:8620", "127.0.0.1:8621", false),
        ("127.0.0.1:8620", "127.0.0.2:8620", false),
        ("127.0.0.1:8620", "0.0.0.0:8620", true),
        ("127.0.0.1:8620", "[::]:8620", true),
        ("127.0.0.1:8620", "[64:ff9b::127.0.0.1]:8620", true),
        ("[::ffff:127.0.0.1]:8620", "127.0.0.1:8620", true),
        ("0.0.0.0:8620", "127.0.0.1:8620", true),
        ("0.0.0.0:8620", "127.9.9.9:8620", true),
        ("0.0.0.0:8620", "[::1]:8620", true),
        ("0.0.0.0:8620", "0.0.0.0:8620", true),
        ("0.0.0.0:8620", "127.0.0.1:8621", false),
        ("[::]:8620", "127.0.0.1:8620", true),
        ("[::]:8620", "[::1]:8620", true),
        ("93.184.216.34:8620", "93.184.216.34:8620", true),
        ("93.184.216.34:8620", "127.0.0.1:8620", false),
    ] {
        let rules = TargetRules {
            allowed_ranges: everywhere.clone(),
            own_listeners: vec![listener.parse().unwrap()],
            ..TargetRules::default()
        };
        let judged = rules.judge(target.parse().unwrap());
        assert_eq!(judged.is_err(), refused, "{target} while listening on {listener}");
    }
}

#[test]
fn each_spelling_of_loopback_is_the_same_address() {
    for spelling in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0X7F000001",
        "017700000001",
        "0177.0.0.1",
        "0x7f.0.0.0x1",
        "127.1",
        "127.0.1",
        "0x7f.1",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "１２７.０.０.１",
        "127。0。0。1",
        "①②⑦.⓪.⓪.①",
    ] {
        let text = format!("https://{spelling}/");
        assert_eq!(code_of(&text, &TargetRules::default()), "url_blocked", "{spelling}");
        let opened = TargetUrl::parse(&text, &development()).unwrap_or_else(|rule| panic!("{spelling}: {rule:?}"));
        assert_eq!(opened.as_str(), "https://127.0.0.1/", "{spelling}");
    }
}

#[derive(Debug, Clone, Copy)]
enum Digits {
    Decimal,
    Octal,
    Hex,
    HexUpper,
}

fn number(value: u32, digits: Digits) -> String {
    match digits {
        Digits::Decimal => value.to_string(),
        Digits::Octal => format!("0{value:o}"),
        Digits::Hex => format!("0x{value:x}"),
        Digits::HexUpper => format!("0X00{value:X}"),
    }
}

/// One of the many ways to write an IPv4 address that the WHATWG parser reads.
#[derive(Debug, Clone, Copy)]
struct Spelling {
    parts: usize,
    digits: [Digits; 4],
    disguise: [u8; 32],
    final_dot: bool,
}

impl Spelling {
    fn of(self, ip: Ipv4Addr) -> String {
        let (bits, last) = (ip.to_bits(), self.parts - 1);
        let mut numbers: Vec<String> =
            (0..last).map(|part| number((bits >> (24 - 8 * part)) & 0xff, self.digits[part])).collect();
        numbers.push(number(bits & (u32::MAX >> (8 * last)), self.digits[last]));
        let plain = numbers.join(".") + if self.final_dot { "." } else { "" };
        plain
            .chars()
            .zip(self.disguise.into_iter().cycle())
            .map(|(character, disguise)| match (character, disguise % 4) {
                ('.', 1) => "。".to_owned(),
                ('.', 2) => "．".to_owned(),
                (_, 1) => char::from_u32(u32::from(character) - 0x21 + 0xff01).unwrap().to_string(),
                (_, 2) => format!("%{:02x}", u32::from(character)),
                _ => character.to_string(),
            })
            .collect()
    }
}

prop_compose! {
    fn any_spelling()(
        parts in 1..=4_usize,
        digits in prop::array::uniform4(prop::sample::select(
            vec![Digits::Decimal, Digits::Octal, Digits::Hex, Digits::HexUpper],
        )),
        disguise in prop::array::uniform32(any::<u8>()),
        final_dot in any::<bool>(),
    ) -> Spelling {
        Spelling { parts, digits, disguise, final_dot }
    }
}

fn any_refused_ipv4() -> impl Strategy<Value = Ipv4Addr> {
    (prop::sample::select(IPV4_REFUSED.to_vec()), any::<u32>()).prop_map(|((range, _), chance)| {
        Ipv4Addr::from_bits(range.network().to_bits() | (chance & range.hostmask().to_bits()))
    })
}

proptest! {
    #[test]
    fn no_spelling_of_a_refused_address_passes(ip in any_refused_ipv4(), spelling in any_spelling()) {
        let text = format!("https://{}/", spelling.of(ip));
        prop_assert_eq!(code_of(&text, &TargetRules::default()), "url_blocked", "{}", text);
    }

    #[test]
    fn each_spelling_of_a_public_address_is_read_as_that_address(spelling in any_spelling()) {
        let ip = Ipv4Addr::new(93, 184, 216, 34);
        let text = format!("https://{}/", spelling.of(ip));
        let target = TargetUrl::parse(&text, &TargetRules::default());
        prop_assert_eq!(target.map(|target| target.as_str().to_owned()), Ok("https://93.184.216.34/".to_owned()), "{}", text);
    }

    #[test]
    fn no_ipv6_form_of_a_refused_ipv4_address_passes(ip in any_refused_ipv4()) {
        let [a, b, c, d] = ip.octets();
        let hex = format!("{a:x}{b:02x}:{c:x}{d:02x}");
        for text in [
            format!("https://[::ffff:{ip}]/"),
            format!("https://[::FFFF:{hex}]/"),
            format!("https://[0:0:0:0:0:ffff:{ip}]/"),
            format!("https://[::{ip}]/"),
            format!("https://[::ffff:0:{ip}]/"),
            format!("https://[64:ff9b::{ip}]/"),
            format!("https://[0064:FF9B:0:0:0:0:{hex}]/"),
            format!("https://[64:ff9b:1::{ip}]/"),
            format!("https://[2002:{hex}::1]/"),
        ] {
            prop_assert_eq!(code_of(&text, &TargetRules::default()), "url_blocked", "{}", text);
        }
    }

    #[test]
    fn whatever_passes_is_https_ascii_and_reads_back_the_same(text in "https?://[ -~ü。％]{0,40}") {
        if let Ok(target) = TargetUrl::parse(&text, &TargetRules::default()) {
            prop_assert!(target.is_https() && target.as_str().is_ascii());
            prop_assert_eq!(TargetUrl::from_stored(target.as_str()), Some(target));
        }
    }
}
