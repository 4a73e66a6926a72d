//! How often an actor may call: two quotas for each, by `governor` (contract 3).

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use governor::clock::Clock as GovernorClock;
use governor::middleware::{NoOpMiddleware, StateInformationMiddleware};
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, RateLimiter};

use crate::clock::Clock;
use crate::domain::actor::{Actor, ActorId};
use crate::domain::id::TenantId;
use crate::domain::key::{ApiKey, Quota, RateLimits};
use crate::store::Catalogue;

/// What counts against which quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// One call.
    Management,
    /// So many events.
    Publish(NonZeroU32),
}

/// Per second; none: not limited.
pub type PerSecond = Option<NonZeroU32>;

/// What a key gets that has no quotas of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    pub management: PerSecond,
    pub publish: PerSecond,
}

/// 6 calls and 1,000 events a second (contract 3).
impl Default for Defaults {
    fn default() -> Self {
        Self { management: NonZeroU32::new(6), publish: NonZeroU32::new(1000) }
    }
}

/// A page of the console asks for many things at once (contract 3).
const SESSION: RateLimits = RateLimits {
    management: Quota::PerSecond(NonZeroU32::new(50).expect("it is not 0")),
    publish: Quota::InstanceDefault,
};

/// Whether a key was given no more than a session has.
fn is_within(own: Quota, session: Quota) -> bool {
    match (own, session) {
        (Quota::PerSecond(own), Quota::PerSecond(session)) => own <= session,
        (Quota::PerSecond(_), Quota::InstanceDefault | Quota::Unlimited)
        | (Quota::InstanceDefault, Quota::InstanceDefault) => true,
        // The console asks for more at once than the instance's default for calls.
        (Quota::InstanceDefault | Quota::Unlimited, _) => false,
    }
}

/// What the `RateLimit-*` headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// The largest burst.
    pub limit: u32,
    pub remaining: u32,
    /// Until everything is there again.
    pub reset: Duration,
}

/// Why a charge did not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// It would pass after this time.
    Wait(Duration, Allowance),
    /// It would never pass: it is larger than the largest burst.
    Burst(u32),
}

/// The quotas in use. Entries of actors that are gone are dropped, so there are never many more than there are actors.
pub struct Limits {
    defaults: Defaults,
    ticks: Ticks,
    quotas: RwLock<HashMap<ActorId, Arc<ActorQuotas>>>,
}

/// Entries above the number of actors that are tolerated before the ones of those that are gone are looked for.
const STALE_ENTRIES_MAX: usize = 64;

type Limiter = RateLimiter<NotKeyed, InMemoryState, Ticks, StateInformationMiddleware>;

struct ActorQuotas {
    /// What held when they were made.
    defaults: Defaults,
    management: Option<Arc<Limiter>>,
    publish: Option<Arc<Limiter>>,
}

impl Limits {
    pub fn new(defaults: Defaults, clock: Clock) -> Self {
        Self { defaults, ticks: Ticks { clock, start: Instant::now() }, quotas: RwLock::default() }
    }

    /// Charges an actor. None: the quota is not limited.
    pub fn charge(&self, actor: &Actor, charge: Charge, catalogue: &Catalogue) -> Result<Option<Allowance>, Over> {
        let quotas = self.quotas_of(actor, catalogue);
        let (limiter, amount) = match charge {
            Charge::Management => (&quotas.management, NonZeroU32::MIN),
            Charge::Publish(events) => (&quotas.publish, events),
        };
        let Some(limiter) = limiter else { return Ok(None) };
        match limiter.check_n(amount) {
            Ok(Ok(snapshot)) => {
                let quota = snapshot.quota();
                let limit = quota.burst_size().get();
                let remaining = snapshot.remaining_burst_capacity();
                let reset = quota.replenish_interval() * limit.saturating_sub(remaining);
                Ok(Some(Allowance { limit, remaining, reset }))
            }
            Ok(Err(not_until)) => Err(self.wait(&not_until)),
            Err(insufficient) => Err(Over::Burst(insufficient.0)),
        }
    }

    fn wait(&self, not_until: &NotUntil<Nanos>) -> Over {
        let wait = not_until.wait_time_from(self.ticks.now());
        let quota = not_until.quota();
        let reset = wait + quota.replenish_interval() * quota.burst_size().get().saturating_sub(1);
        Over::Wait(wait, Allowance { limit: quota.burst_size().get(), remaining: 0, reset })
    }

    /// What is stored, else what this process was started with.
    fn defaults(&self, catalogue: &Catalogue) -> Defaults {
        let stored = catalogue.settings();
        Defaults {
            management: stored.management_rate.unwrap_or(self.defaults.management),
            publish: stored.publish_rate.unwrap_or(self.defaults.publish),
        }
    }

    fn quotas_of(&self, actor: &Actor, catalogue: &Catalogue) -> Arc<ActorQuotas> {
        let defaults = self.defaults(catalogue);
        let is_current = |known: &&Arc<ActorQuotas>| known.defaults == defaults;
        if let Some(known) = self.quotas.read().expect("no holder of it panics").get(&actor.id()).filter(is_current) {
            return known.clone();
        }
        let quotas = Arc::new(match actor {
            Actor::KeyInSession { key, .. } => self.in_session(key, defaults, catalogue),
            Actor::User { .. } => self.make(SESSION, defaults),
            Actor::Key(_) | Actor::Portal(_) => self.make(actor.rate_limits(), defaults),
        });
        let mut all = self.quotas.write().expect("no holder of it panics");
        if all.len() > catalogue.actors_count() + STALE_ENTRIES_MAX {
            all.retain(|id, _| catalogue.knows(*id));
        }
        let known = all.entry(actor.id()).or_insert_with(|| quotas.clone());
        if known.defaults != defaults {
            *known = quotas;
        }
        known.clone()
    }

    fn make(&self, RateLimits { management, publish }: RateLimits, defaults: Defaults) -> ActorQuotas {
        let limiter = |own: Quota, default: PerSecond| {
            let per_second = self.per_second(own, default)?;
            let quota = governor::Quota::per_second(per_second);
            let limiter = RateLimiter::direct_with_clock(quota, self.ticks.clone());
            Some(Arc::new(limiter.with_middleware::<StateInformationMiddleware>()))
        };
        ActorQuotas {
            defaults,
            management: limiter(management, defaults.management),
            publish: limiter(publish, defaults.publish),
        }
    }

    /// What a key was given that is no more than a session has it has once, for all of its sessions and its other calls.
    fn in_session(&self, key: &Arc<ApiKey>, defaults: Defaults, catalogue: &Catalogue) -> ActorQuotas {
        let mut quotas = self.make(SESSION, defaults);
        let of_key = self.quotas_of(&Actor::Key(Arc::clone(key)), catalogue);
        if is_within(key.rate_limits.management, SESSION.management) {
            quotas.management = of_key.management.clone();
        }
        if is_within(key.rate_limits.publish, SESSION.publish) {
            quotas.publish = of_key.publish.clone();
        }
        quotas
    }

    fn per_second(&self, own: Quota, default: PerSecond) -> PerSecond {
        match own {
            Quota::InstanceDefault => default,
            Quota::PerSecond(per_second) => Some(per_second),
            Quota::Unlimited => None,
        }
    }

    /// What a quota comes to on this instance.
    pub fn management(&self, own: Quota, catalogue: &Catalogue) -> PerSecond {
        self.per_second(own, self.defaults(catalogue).management)
    }

    pub fn publish(&self, own: Quota, catalogue: &Catalogue) -> PerSecond {
        self.per_second(own, self.defaults(catalogue).publish)
    }
}

/// Replays of deliveries in AgentMessage's contract, for each tenant.
const REPLAYS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(10).expect("it is not 0");
/// Tenants that replayed of late, before those whose quota is whole again are forgotten.
const REPLAYING_TENANTS_MAX: usize = 10_000;

/// How often a tenant may replay deliveries, whatever its keys may do.
pub struct Replays {
    limiter: RateLimiter<TenantId, DashMapStateStore<TenantId>, Ticks, NoOpMiddleware<Nanos>>,
    ticks: Ticks,
}

impl Replays {
    pub fn new(clock: Clock) -> Self {
        let ticks = Ticks { clock, start: Instant::now() };
        let quota = governor::Quota::per_minute(REPLAYS_PER_MINUTE);
        Self { limiter: RateLimiter::dashmap_with_clock(quota, ticks.clone()), ticks }
    }

    /// Charges one replay, or tells how long to wait for it.
    pub fn charge(&self, tenant: TenantId) -> Result<(), Duration> {
        if self.limiter.len() > REPLAYING_TENANTS_MAX {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(&tenant).map_err(|not_until| not_until.wait_time_from(self.ticks.now()))
    }
}

/// Time for governor: steps of the system's monotonic clock (a wall clock that is set back would lock callers out),
/// or of a manual clock.
#[derive(Debug, Clone)]
struct Ticks {
    clock: Clock,
    start: Instant,
}

impl GovernorClock for Ticks {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        match &self.clock {
            Clock::System => self.start.elapsed().into(),
            Clock::Manual(clock) => Duration::from_millis(u64::try_from(clock.now().as_millis()).unwrap_or(0)).into(),
        }
    }
}

/// Whole seconds, rounded up: a client that waits so long is never early.
pub fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::domain::id::{KeyId, SessionId};
    use crate::domain::key::{KeyHash, KeyKind, Preset};
    use crate::domain::restriction::Restriction;
    use crate::domain::session::{Session, SignedIn};
    use crate::domain::time::Timestamp;
    use crate::domain::token::TokenHash;

    fn key(rate_limits: RateLimits, id: u128) -> Actor {
        Actor::Key(Arc::new(ApiKey {
            id: KeyId::from_u128(id),
            kind: KeyKind::Native,
            name: String::new(),
            hash: KeyHash([0; 32]),
            tenant: None,
            scopes: Preset::FullAccess.scopes(),
            preset: Some(Preset::FullAccess),
            restriction: Restriction::default(),
            rate_limits,
            expires_at: None,
            revoked_at: None,
            created_at: Timestamp::default(),
        }))
    }

    fn limits(clock: &ManualClock) -> Limits {
        let defaults = Defaults { management: NonZeroU32::new(6), publish: NonZeroU32::new(1000) };
        Limits::new(defaults, Clock::Manual(clock.clone()))
    }

    fn in_session(key: Actor, id: u128) -> Actor {
        let Actor::Key(key) = key else { panic!("it is a key") };
        let session = Session {
            id: SessionId::from_u128(id),
            hash: TokenHash([0; 32]),
            of: SignedIn::Key(key.hash),
            created_at: Timestamp::default(),
            user_agent: None,
            remote_address: None,
        };
        Actor::KeyInSession { session: Arc::new(session), key }
    }

    #[test]
    fn a_key_has_in_a_session_what_a_session_has_unless_it_was_given_less() {
        let clock = ManualClock::at(Timestamp::from_millis(1_000_000));
        let (limits, catalogue) = (limits(&clock), Catalogue::default());
        let per_second = |n| Quota::PerSecond(NonZeroU32::new(n).unwrap());
        let cases = [
            (RateLimits::default(), [50, 1000]),
            (RateLimits { management: Quota::Unlimited, publish: Quota::Unlimited }, [50, 1000]),
            (RateLimits { management: per_second(2), publish: per_second(3) }, [2, 3]),
            (RateLimits { management: per_second(100), ..RateLimits::default() }, [50, 1000]),
        ];
        for (id, (own, expected)) in (0..).zip(cases) {
            let signed_in = in_session(key(own, id), id);
            let limit = |charge| limits.charge(&signed_in, charge, &catalogue).unwrap().unwrap().limit;
            let found = [limit(Charge::Management), limit(Charge::Publish(NonZeroU32::MIN))];
            assert_eq!(found, expected, "{own:?}");
        }
    }

    #[test]
    fn a_key_does_not_get_more_by_signing_in_again() {
        let clock = ManualClock::at(Timestamp::from_millis(1_000_000));
        let (limits, catalogue) = (limits(&clock), Catalogue::default());
        let three = Quota::PerSecond(NonZeroU32::new(3).unwrap());
        let plain = || key(RateLimits { management: three, ..RateLimits::default() }, 7);
        let calls = [in_session(plain(), 1), in_session(plain(), 2), plain(), in_session(plain(), 3), plain()];
        let passed = calls.map(|actor| limits.charge(&actor, Charge::Management, &catalogue).is_ok());
        assert_eq!(passed, [true, true, true, false, false]);
        // The instance's default for publishing is what it has without one of its own, and also once.
        let plain = || key(RateLimits::default(), 8);
        let all = Charge::Publish(NonZeroU32::new(600).unwrap());
        let passed = [in_session(plain(), 4), plain(), in_session(plain(), 5)]
            .map(|actor| limits.charge(&actor, all, &catalogue).is_ok());
        assert_eq!(passed, [true, false, false]);
    }

    #[test]
    fn six_calls_pass_at_once_and_the_seventh_after_a_sixth_of_a_second() {
        let clock = ManualClock::at(Timestamp::from_millis(1_000_000));
        let (limits, key, catalogue) = (limits(&clock), key(RateLimits::default(), 1), Catalogue::default());
        let mut remaining = Vec::new();
        for _ in 0..6 {
            remaining.push(limits.charge(&key, Charge::Management, &catalogue).unwrap().unwrap().remaining);
        }
        assert_eq!(remaining, [5, 4, 3, 2, 1, 0]);
        let Err(Over::Wait(wait, allowance)) = limits.charge(&key, Charge::Management, &catalogue) else {
            panic!("the seventh call passed");
        };
        assert_eq!((whole_seconds(wait), allowance.remaining), (1, 0));
        clock.set(clock.now().plus(Duration::from_millis(167)));
        assert!(limits.charge(&key, Charge::Management, &catalogue).is_ok());
    }

    #[test]
    fn a_batch_is_charged_by_its_events_and_one_larger_than_the_burst_never_passes() {
        let clock = ManualClock::at(Timestamp::from_millis(1_000_000));
        let ten = RateLimits { publish: Quota::PerSecond(NonZeroU32::new(10).unwrap()), ..RateLimits::default() };
        let (limits, key, catalogue) = (limits(&clock), key(ten, 1), Catalogue::default());
        let publish = |events| limits.charge(&key, Charge::Publish(NonZeroU32::new(events).unwrap()), &catalogue);
        assert_eq!(publish(11), Err(Over::Burst(10)));
        assert_eq!(publish(8).unwrap().unwrap().remaining, 2);
        assert!(matches!(publish(3), Err(Over::Wait(..))));
    }

    #[test]
    fn each_tenant_has_ten_replays_and_one_more_every_six_seconds() {
        let clock = ManualClock::at(Timestamp::from_millis(1_000_000));
        let replays = Replays::new(Clock::Manual(clock.clone()));
        let (one, other) = (TenantId::DEFAULT, TenantId::SYSTEM);
        assert!((0..10).all(|_| replays.charge(one).is_ok()));
        assert_eq!(replays.charge(one), Err(Duration::from_secs(6)));
        assert_eq!(replays.charge(other), Ok(()));
        clock.set(clock.now().plus(Duration::from_secs(6)));
        assert_eq!(replays.charge(one), Ok(()));
        assert!(replays.charge(one).is_err());
    }

    #[test]
    fn an_unlimited_key_is_never_refused() {
        let clock = ManualClock::at(Timestamp::from_millis(1_000_000));
        let free = RateLimits { management: Quota::Unlimited, publish: Quota::Unlimited };
        let (limits, key, catalogue) = (limits(&clock), key(free, 1), Catalogue::default());
        for _ in 0..1000 {
            assert_eq!(limits.charge(&key, Charge::Management, &catalogue), Ok(None));
        }
    }
}
