//! Who tried wrong keys lately: over 20 a minute from one place are told to wait (contract 3).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::Duration;

use crate::domain::time::Timestamp;

const FAILURES_MAX: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Places remembered, in two halves: when the newer half is full, the older one is forgotten.
const PLACES_MAX: usize = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Tolerated,
    TooMany { wait: Duration },
}

#[derive(Default)]
pub struct Failures(Mutex<Halves>);

#[derive(Default)]
struct Halves {
    newer: HashMap<IpAddr, Tally>,
    older: HashMap<IpAddr, Tally>,
}

#[derive(Debug, Clone, Copy)]
struct Tally {
    since: Timestamp,
    failures: u32,
}

impl Failures {
    /// Counts one more wrong key, and says whether there were too many.
    pub fn note(&self, client: IpAddr, now: Timestamp) -> Verdict {
        let place = place(client);
        let mut halves = self.0.lock().expect("no holder of it panics");
        let known = halves.newer.get(&place).or_else(|| halves.older.get(&place)).copied();
        let mut tally = known
            .filter(|tally| now >= tally.since && now.since(tally.since) < WINDOW)
            .unwrap_or(Tally { since: now, failures: 0 });
        tally.failures = tally.failures.saturating_add(1);
        if halves.newer.len() >= PLACES_MAX / 2 && !halves.newer.contains_key(&place) {
            halves.older = std::mem::take(&mut halves.newer);
        }
        halves.newer.insert(place, tally);
        if tally.failures <= FAILURES_MAX {
            Verdict::Tolerated
        } else {
            Verdict::TooMany { wait: tally.since.plus(WINDOW).since(now) }
        }
    }
}

/// An IPv4 address, or the /64 that one IPv6 client can choose its addresses from.
fn place(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn the_twenty_first_wrong_key_of_a_minute_has_to_wait_for_the_next_one() {
        let failures = Failures::default();
        let client = "203.0.113.1".parse().unwrap();
        for _ in 0..20 {
            assert_eq!(failures.note(client, at(0)), Verdict::Tolerated);
        }
        assert_eq!(failures.note(client, at(15)), Verdict::TooMany { wait: Duration::from_secs(45) });
        assert_eq!(failures.note("203.0.113.2".parse().unwrap(), at(15)), Verdict::Tolerated);
        assert_eq!(failures.note(client, at(60)), Verdict::Tolerated);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_place() {
        let failures = Failures::default();
        for n in 0..20 {
            failures.note(format!("2001:db8:0:1::{n:x}").parse().unwrap(), at(0));
        }
        assert!(matches!(failures.note("2001:db8:0:1:ffff::".parse().unwrap(), at(0)), Verdict::TooMany { .. }));
        assert_eq!(failures.note("2001:db8:0:2::".parse().unwrap(), at(0)), Verdict::Tolerated);
    }

    #[test]
    fn the_table_never_holds_more_than_its_limit() {
        let failures = Failures::default();
        for n in 0..150_000_u32 {
            failures.note(std::net::Ipv4Addr::from(n).into(), at(0));
        }
        let halves = failures.0.lock().unwrap();
        assert!(halves.newer.len() + halves.older.len() <= PLACES_MAX);
    }
}
