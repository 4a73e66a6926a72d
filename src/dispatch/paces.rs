//! How fast is sent for a tenant, over all its subscriptions (SG-23): nobody turns the appliance against others by
//! having many.

use std::collections::{BTreeSet, HashMap};

use super::rate::Rate;
use crate::domain::id::TenantId;
use crate::domain::time::Timestamp;

/// So many are remembered before it is looked which of them can be forgotten.
const SWEEP_MIN: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Paces {
    /// Of tenants with a limit.
    paced: HashMap<TenantId, Paced>,
    sweep_at: usize,
    /// Those that sent as much as they may, by when they may go on.
    resting: BTreeSet<(Timestamp, TenantId)>,
}

#[derive(Debug, Default)]
struct Paced {
    rate: Rate,
    /// Of its lanes, those with failures and those without are in turns the first that go on after a rest.
    is_turn_of_sick: bool,
}

impl Paces {
    /// Whether the tenant may send one more under a limit of `pace` deliveries per 1,000 seconds. If not, it rests until
    /// [`Self::pop_due`] names it.
    pub fn may_send(&mut self, tenant: TenantId, pace: Option<u32>, now: Timestamp) -> bool {
        let Some(Paced { rate, .. }) = pace.and_then(|_| self.paced.get(&tenant)) else { return true };
        let next_at = rate.next_at(pace, now);
        if next_at > now {
            self.resting.insert((next_at, tenant));
        }
        next_at <= now
    }

    pub fn sent(&mut self, tenant: TenantId, pace: Option<u32>, now: Timestamp) {
        if pace.is_none() {
            return;
        }
        self.paced.entry(tenant).or_default().rate.sent(pace, now);
        if self.paced.len() > self.sweep_at.max(SWEEP_MIN) {
            self.paced.retain(|_, paced| !paced.rate.is_spent(now));
            self.sweep_at = self.paced.len() * 2;
        }
    }

    /// Whether it is a lane with failures that goes first after this rest: every second time.
    pub fn is_turn_of_sick(&mut self, tenant: TenantId) -> bool {
        let Paced { is_turn_of_sick, .. } = self.paced.entry(tenant).or_default();
        *is_turn_of_sick = !*is_turn_of_sick;
        *is_turn_of_sick
    }

    /// When the next one may go on.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.resting.first().map(|(at, _)| *at)
    }

    /// One that does not rest any more.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<TenantId> {
        if self.wake_at()? > now {
            return None;
        }
        self.resting.pop_first().map(|(_, tenant)| tenant)
    }

    /// All rest until a time of the clock as it was: now they are due.
    pub fn clock_was_set_back(&mut self, now: Timestamp) {
        self.paced.values_mut().for_each(|paced| paced.rate.clock_was_set_back(now));
        self.resting =
            std::mem::take(&mut self.resting).into_iter().map(|(at, tenant)| (at.min(now), tenant)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_771_416_000_000 + millis)
    }

    #[test]
    fn who_sent_as_much_as_it_may_rests_and_others_do_not() {
        let [one, other] = [1, 2].map(TenantId::from_u128);
        let ten = Some(10_000);
        let mut paces = Paces::default();
        assert!(paces.may_send(one, ten, at(0)));
        paces.sent(one, ten, at(0));
        assert!(!paces.may_send(one, ten, at(0)));
        assert!(paces.may_send(other, ten, at(0)) && paces.may_send(one, None, at(0)));
        assert_eq!((paces.pop_due(at(99)), paces.wake_at()), (None, Some(at(100))));
        assert_eq!((paces.pop_due(at(100)), paces.pop_due(at(100))), (Some(one), None));
        assert!(paces.may_send(one, ten, at(100)));
    }

    #[test]
    fn a_clock_that_is_set_back_lets_all_go_on() {
        let one = TenantId::from_u128(1);
        let mut paces = Paces::default();
        paces.sent(one, Some(1000), at(0));
        assert!(!paces.may_send(one, Some(1000), at(0)));
        paces.clock_was_set_back(at(-60_000));
        assert_eq!(paces.pop_due(at(-60_000)), Some(one));
        assert!(paces.may_send(one, Some(1000), at(-60_000)));
    }

    #[test]
    fn only_those_that_send_are_remembered() {
        let mut paces = Paces::default();
        for number in 0..10_000 {
            paces.sent(TenantId::from_u128(number), Some(1_000_000), at(i64::try_from(number).unwrap()));
        }
        assert!(paces.paced.len() <= SWEEP_MIN + 1, "{}", paces.paced.len());
    }
}
