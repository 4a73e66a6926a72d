//! Whose turn it is: tenants go round, and within each its subscriptions, so that nobody's flood delays another.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use crate::domain::id::{SubscriptionId, TenantId};

/// Lanes that have something to send, in the order of their turns.
#[derive(Debug, Default)]
pub(super) struct Turns {
    tenants: VecDeque<TenantId>,
    /// Never empty: a tenant without lanes is not here.
    lanes: HashMap<TenantId, VecDeque<SubscriptionId>>,
}

impl Turns {
    /// To the end of its tenant's queue. The caller knows that it is in none.
    pub fn join(&mut self, tenant: TenantId, lane: SubscriptionId) {
        let lanes = self.lanes.entry(tenant).or_insert_with(|| {
            self.tenants.push_back(tenant);
            VecDeque::new()
        });
        lanes.push_back(lane);
    }

    /// The next lane of the next tenant, which goes to the end of the tenants when it has more.
    pub fn next(&mut self) -> Option<SubscriptionId> {
        let tenant = self.tenants.pop_front()?;
        let lanes = self.lanes.get_mut(&tenant).expect("a tenant is in the queue exactly while it has lanes");
        let lane = lanes.pop_front().expect("it has at least one");
        if lanes.is_empty() {
            self.lanes.remove(&tenant);
        } else {
            self.tenants.push_back(tenant);
        }
        Some(lane)
    }

    /// A tenant's lanes, in their order. It has no turn any more.
    pub fn take_out(&mut self, tenant: TenantId) -> VecDeque<SubscriptionId> {
        let lanes = self.lanes.remove(&tenant).unwrap_or_default();
        if !lanes.is_empty() {
            self.tenants.retain(|other| *other != tenant);
        }
        lanes
    }

    /// What [`Self::take_out`] gave, and what was added to it.
    pub fn put_back(&mut self, tenant: TenantId, lanes: VecDeque<SubscriptionId>) {
        if lanes.is_empty() {
            return;
        }
        match self.lanes.entry(tenant) {
            Entry::Occupied(mut known) => known.get_mut().extend(lanes),
            Entry::Vacant(none) => {
                none.insert(lanes);
                self.tenants.push_back(tenant);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.tenants.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_take_turns_however_many_lanes_one_of_them_has() {
        let (tenant, lane) = (TenantId::from_u128, SubscriptionId::from_u128);
        let mut turns = Turns::default();
        for number in 0..5 {
            turns.join(tenant(1), lane(10 + number));
        }
        turns.join(tenant(2), lane(20));
        turns.join(tenant(3), lane(30));
        turns.join(tenant(3), lane(31));
        let order: Vec<u128> = std::iter::from_fn(|| turns.next()).map(SubscriptionId::as_u128).collect();
        assert_eq!(order, [10, 20, 30, 11, 31, 12, 13, 14]);
        assert!(turns.is_empty() && turns.lanes.is_empty());
    }

    #[test]
    fn a_tenant_that_is_taken_out_has_no_turn_and_keeps_the_order_of_its_lanes() {
        let (tenant, lane) = (TenantId::from_u128, SubscriptionId::from_u128);
        let mut turns = Turns::default();
        for number in 0..3 {
            turns.join(tenant(1), lane(10 + number));
            turns.join(tenant(2), lane(20 + number));
        }
        let taken = turns.take_out(tenant(1));
        assert_eq!(turns.next(), Some(lane(20)));
        turns.put_back(tenant(1), taken);
        let order: Vec<u128> = std::iter::from_fn(|| turns.next()).map(SubscriptionId::as_u128).collect();
        assert_eq!(order, [21, 10, 22, 11, 12]);
        assert!(turns.take_out(tenant(3)).is_empty() && turns.is_empty());
    }
}
