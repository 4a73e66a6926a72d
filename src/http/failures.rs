//! Who tried wrong keys and passwords lately: over 20 a minute from one place are told to wait (contract 3), and over 10 in a
//! quarter of an hour for one user. And which tenants tried many targets, or forbidden ones.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::Duration;

use super::limit::whole_seconds;
use super::problem::{Ground, Refusal};
use crate::domain::id::TenantId;
use crate::domain::time::Timestamp;
use crate::domain::token::TokenHash;

/// Wrong keys and invitations of one place.
const FAILURES_MAX: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Wrong passwords of one user, from anywhere …
const OF_USER_MAX: u32 = 10;
/// … within this time.
const OF_USER_WINDOW: Duration = Duration::from_secs(15 * 60);
/// URLs that one tenant sets or sends tests to …
const TARGETS_MAX: u32 = 60;
const TARGETS_WINDOW: Duration = Duration::from_secs(60);
/// … and those of them that are forbidden.
const FORBIDDEN_TARGETS_MAX: u32 = 20;
const FORBIDDEN_TARGETS_WINDOW: Duration = Duration::from_secs(60 * 60);
/// Places remembered, in two halves: when the newer half is full, the older one is forgotten.
const PLACES_MAX: usize = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Tolerated,
    TooMany { wait: Duration },
}

/// By the address that they came from.
pub struct Failures(Tallies<IpAddr>);

impl Default for Failures {
    fn default() -> Self {
        Self(Tallies::new(FAILURES_MAX, WINDOW))
    }
}

impl Failures {
    /// Counts one more wrong key, and says whether there were too many.
    pub fn note(&self, client: IpAddr, now: Timestamp) -> Verdict {
        self.0.note(place(client), now)
    }
}

/// Attempts to sign in: by the address that they come from, and by the user that they are for.
pub struct SignIns {
    places: Tallies<IpAddr>,
    users: Tallies<TokenHash>,
}

/// One that began, and counts as failed until it is said to have succeeded.
pub struct Attempt<'a> {
    sign_ins: &'a SignIns,
    place: Option<IpAddr>,
    user: TokenHash,
}

impl Default for SignIns {
    fn default() -> Self {
        Self { places: Tallies::new(FAILURES_MAX, WINDOW), users: Tallies::new(OF_USER_MAX, OF_USER_WINDOW) }
    }
}

impl SignIns {
    /// Counts before anything is checked, so that many at once are no way around the limit. `Err` says how long to wait.
    pub fn begin(&self, client: Option<IpAddr>, email: &str, now: Timestamp) -> Result<Attempt<'_>, Refusal> {
        // A hash, so that each entry has one size.
        let (place, user) = (client.map(place), TokenHash::of(email));
        let of_place = place.map_or(Verdict::Tolerated, |place| self.places.note(place, now));
        // An address that has to wait must not lock the user out besides.
        let verdict = match of_place {
            Verdict::Tolerated => self.users.note(user, now),
            too_many @ Verdict::TooMany { .. } => too_many,
        };
        match verdict {
            Verdict::Tolerated => Ok(Attempt { sign_ins: self, place, user }),
            Verdict::TooMany { wait } => Err(Refusal::new(Ground::RateLimited).retry_after(whole_seconds(wait).max(1))),
        }
    }
}

impl Attempt<'_> {
    pub fn succeeded(self) {
        let Self { sign_ins: SignIns { places, users }, place, user } = self;
        if let Some(place) = place {
            places.take_back(&place);
        }
        users.take_back(&user);
    }
}

/// What each tenant tries of targets, whatever its keys may do: nobody makes a scanner of ports and networks of us.
pub struct Targets {
    tried: Tallies<TenantId>,
    forbidden: Tallies<TenantId>,
}

impl Default for Targets {
    fn default() -> Self {
        Self {
            tried: Tallies::new(TARGETS_MAX, TARGETS_WINDOW),
            forbidden: Tallies::new(FORBIDDEN_TARGETS_MAX, FORBIDDEN_TARGETS_WINDOW),
        }
    }
}

impl Targets {
    /// Counts one that is about to be looked at or sent to. `Err` says how long to wait.
    pub fn try_one(&self, tenant: TenantId, now: Timestamp) -> Result<(), Refusal> {
        match (self.forbidden.look(&tenant, now), self.tried.note(tenant, now)) {
            (Verdict::Tolerated, Verdict::Tolerated) => Ok(()),
            (Verdict::TooMany { wait }, _) | (_, Verdict::TooMany { wait }) => {
                Err(Refusal::new(Ground::TooManyTargets).retry_after(whole_seconds(wait).max(1)))
            }
        }
    }

    /// One that was tried is forbidden.
    pub fn was_forbidden(&self, tenant: TenantId, now: Timestamp) {
        self.forbidden.note(tenant, now);
        if let Verdict::TooMany { wait } = self.forbidden.look(&tenant, now) {
            tracing::warn!(%tenant, wait_seconds = wait.as_secs(), "a tenant tried too many forbidden targets");
        }
    }
}

/// How often something failed lately, for each of many.
struct Tallies<P> {
    failures_max: u32,
    window: Duration,
    halves: Mutex<Halves<P>>,
}

struct Halves<P> {
    newer: HashMap<P, Tally>,
    older: HashMap<P, Tally>,
}

#[derive(Debug, Clone, Copy)]
struct Tally {
    since: Timestamp,
    failures: u32,
}

impl<P: Copy + Eq + Hash> Tallies<P> {
    fn new(failures_max: u32, window: Duration) -> Self {
        Self { failures_max, window, halves: Mutex::new(Halves { newer: HashMap::new(), older: HashMap::new() }) }
    }

    fn note(&self, place: P, now: Timestamp) -> Verdict {
        let mut halves = self.halves.lock().expect("no holder of it panics");
        let known = halves.newer.get(&place).or_else(|| halves.older.get(&place)).copied();
        let mut tally = known
            .filter(|tally| now >= tally.since && now.since(tally.since) < self.window)
            .unwrap_or(Tally { since: now, failures: 0 });
        tally.failures = tally.failures.saturating_add(1);
        if halves.newer.len() >= PLACES_MAX / 2 && !halves.newer.contains_key(&place) {
            halves.older = std::mem::take(&mut halves.newer);
        }
        halves.newer.insert(place, tally);
        if tally.failures <= self.failures_max {
            Verdict::Tolerated
        } else {
            Verdict::TooMany { wait: tally.since.plus(self.window).since(now) }
        }
    }

    /// What the next one would be told.
    fn look(&self, place: &P, now: Timestamp) -> Verdict {
        let halves = self.halves.lock().expect("no holder of it panics");
        let known = halves.newer.get(place).or_else(|| halves.older.get(place));
        match known.filter(|tally| now >= tally.since && now.since(tally.since) < self.window) {
            Some(tally) if tally.failures >= self.failures_max => {
                Verdict::TooMany { wait: tally.since.plus(self.window).since(now) }
            }
            _ => Verdict::Tolerated,
        }
    }

    /// One that was noted did not fail.
    fn take_back(&self, place: &P) {
        let mut halves = self.halves.lock().expect("no holder of it panics");
        let Halves { newer, older } = &mut *halves;
        if let Some(tally) = newer.get_mut(place).or_else(|| older.get_mut(place)) {
            tally.failures = tally.failures.saturating_sub(1);
        }
    }
}

/// An IPv4 address, or the /64 that one IPv6 client can choose its addresses from.
pub fn place(client: IpAddr) -> IpAddr {
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

    /// SG-23
    #[test]
    fn a_tenant_that_tries_many_targets_or_some_forbidden_ones_has_to_wait_and_others_do_not() {
        let (one, other) = (TenantId::DEFAULT, TenantId::SYSTEM);
        let wait = |tried: Result<(), Refusal>| tried.err().map(|refusal| refusal.retry_after_seconds().unwrap());
        let targets = Targets::default();
        for _ in 0..60 {
            assert_eq!(wait(targets.try_one(one, at(0))), None);
        }
        assert_eq!(wait(targets.try_one(one, at(20))), Some(40));
        assert_eq!(wait(targets.try_one(other, at(20))), None);
        assert_eq!(wait(targets.try_one(one, at(60))), None);

        let targets = Targets::default();
        for n in 0..20 {
            assert_eq!(wait(targets.try_one(one, at(n * 60))), None);
            targets.was_forbidden(one, at(n * 60));
        }
        assert_eq!(wait(targets.try_one(one, at(1200))), Some(2400));
        assert_eq!(wait(targets.try_one(other, at(1200))), None);
        assert_eq!(wait(targets.try_one(one, at(3600))), None);
    }

    #[test]
    fn the_table_never_holds_more_than_its_limit() {
        let failures = Failures::default();
        for n in 0..150_000_u32 {
            failures.note(std::net::Ipv4Addr::from(n).into(), at(0));
        }
        let halves = failures.0.halves.lock().unwrap();
        assert!(halves.newer.len() + halves.older.len() <= PLACES_MAX);
    }

    #[test]
    fn the_eleventh_wrong_password_of_a_user_has_to_wait_wherever_it_comes_from_and_right_ones_do_not_count() {
        let sign_ins = SignIns::default();
        let email = "ann@example.com";
        let from = |n: u8| Some(IpAddr::from([203, 0, 113, n]));
        for _ in 0..50 {
            sign_ins.begin(from(1), email, at(0)).unwrap().succeeded();
        }
        for n in 0..10 {
            assert!(sign_ins.begin(from(n), email, at(0)).is_ok());
        }
        assert_eq!(sign_ins.begin(from(99), email, at(60)).err().unwrap().retry_after_seconds(), Some(840));
        assert!(sign_ins.begin(from(99), "bob@example.com", at(60)).is_ok());
        assert!(sign_ins.begin(from(99), email, at(900)).is_ok());
    }
}
