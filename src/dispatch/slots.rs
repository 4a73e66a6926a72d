//! Who gets the next free slot: how many requests may be under way, whose turn it is, and what is kept for whom.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::turns::Turns;
use crate::domain::id::{SubscriptionId, TenantId};

/// Requests under way at once, over all subscriptions.
pub const IN_FLIGHT_MAX: usize = 4096;
/// … of which the last quarter is kept for lanes without failures (contract 5.7) that have hardly anything under way …
const IN_FLIGHT_SHARED_MAX: usize = IN_FLIGHT_MAX / 4 * 3;
/// … which is less than this. However suddenly receivers become slow, as many as share the other slots in equal parts of
/// at least this leave that quarter to the rest: 1,536 of them.
const LANE_KEPT_SLOTS: usize = 2;

#[derive(Debug, Default)]
pub(super) struct Slots {
    in_flight: usize,
    /// Lanes that have something to send: those without failures, and the others.
    well: Turns,
    sick: Turns,
    /// Lanes that have enough under way while only the quarter that is kept is free, in the order in which they came.
    crowded: BTreeMap<u64, SubscriptionId>,
    crowded_next: u64,
    /// Those that go before all others: see [`Self::rest`].
    owed: VecDeque<SubscriptionId>,
    /// Lanes of tenants that sent as much as they may for now.
    resting: HashMap<TenantId, Resting>,
    /// Whose turn it is when both have some.
    is_turn_of_sick: bool,
}

/// Those that were well when they joined, and the others.
#[derive(Debug, Default)]
struct Resting {
    well: VecDeque<SubscriptionId>,
    sick: VecDeque<SubscriptionId>,
    /// And one of them, which is in neither.
    first: Option<SubscriptionId>,
}

impl Resting {
    fn among(&mut self, is_sick: bool) -> &mut VecDeque<SubscriptionId> {
        if is_sick { &mut self.sick } else { &mut self.well }
    }
}

/// What there is for a lane that has its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    Slot,
    /// Nothing until one of those is free that all may have: see [`Slots::put_off`].
    Later,
    /// Nothing, and its place among the sick is as good.
    Nothing,
}

impl Slots {
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub fn is_any_free(&self) -> bool {
        self.in_flight < IN_FLIGHT_MAX
    }

    fn is_shared_free(&self) -> bool {
        self.in_flight < IN_FLIGHT_SHARED_MAX
    }

    /// A request begins.
    pub fn take(&mut self) {
        self.in_flight += 1;
    }

    /// A request is over.
    pub fn give_back(&mut self) {
        self.in_flight -= 1;
    }

    /// A lane has something to send. The caller knows that it has no place yet.
    pub fn join(&mut self, tenant: TenantId, lane: SubscriptionId, is_sick: bool) {
        if let Some(resting) = self.resting.get_mut(&tenant) {
            return resting.among(is_sick).push_back(lane);
        }
        let turns = if is_sick { &mut self.sick } else { &mut self.well };
        turns.join(tenant, lane);
    }

    /// No lane of the tenant has a turn before [`Self::resume`]. This one had it, and is the first of its kind then; the very
    /// first is one of those without failures, or, when it `is_turn_of_sick`, of the others, if there are such.
    pub fn rest(&mut self, tenant: TenantId, lane: SubscriptionId, is_sick: bool, is_turn_of_sick: bool) {
        let (well, sick) = (self.well.take_out(tenant), self.sick.take_out(tenant));
        // One that was put off for want of slots has its turn also while its tenant rests.
        if let Some(resting) = self.resting.get_mut(&tenant) {
            resting.well.extend(well);
            resting.sick.extend(sick);
            return resting.among(is_sick).push_back(lane);
        }
        let mut resting = Resting { well, sick, first: None };
        resting.among(is_sick).push_front(lane);
        resting.first = resting.among(is_turn_of_sick).pop_front();
        if resting.first.is_none() {
            resting.first = resting.among(is_sick).pop_front();
        }
        self.resting.insert(tenant, resting);
    }

    pub fn resume(&mut self, tenant: TenantId) {
        let Resting { well, sick, first } = self.resting.remove(&tenant).unwrap_or_default();
        self.owed.extend(first);
        self.well.put_back(tenant, well);
        self.sick.put_back(tenant, sick);
    }

    pub fn offer(&self, is_sick: bool, lane_in_flight: usize) -> Offer {
        match is_sick {
            _ if self.is_shared_free() => Offer::Slot,
            false if lane_in_flight < LANE_KEPT_SLOTS => Offer::Slot,
            false => Offer::Later,
            true => Offer::Nothing,
        }
    }

    /// Lets a lane wait for a slot that is not kept for others. Answers its place.
    pub fn put_off(&mut self, lane: SubscriptionId) -> u64 {
        let place = self.crowded_next;
        self.crowded.insert(place, lane);
        self.crowded_next += 1;
        place
    }

    /// It does not wait in that place any more.
    pub fn call_back(&mut self, place: u64) {
        self.crowded.remove(&place);
    }

    /// The lane whose turn it is. Those that are well and those that are not alternate, the latter while slots that are
    /// not kept are free. What was put off for want of those comes first.
    pub fn next(&mut self) -> Option<SubscriptionId> {
        if let Some(lane) = self.owed.pop_front() {
            return Some(lane);
        }
        let is_shared_free = self.is_shared_free();
        let has_well = !self.well.is_empty() || (is_shared_free && !self.crowded.is_empty());
        if is_shared_free && !self.sick.is_empty() && (self.is_turn_of_sick || !has_well) {
            self.is_turn_of_sick = false;
            return self.sick.next();
        }
        let crowded = if is_shared_free { self.crowded.pop_first() } else { None };
        let lane = crowded.map(|(_, lane)| lane).or_else(|| self.well.next());
        self.is_turn_of_sick |= lane.is_some();
        lane
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// The lanes that rested already were forgotten when one of them that had been put off rested, too.
    #[test]
    fn lanes_that_were_put_off_rest_with_the_others_of_their_tenant_and_none_is_forgotten() {
        let tenant = TenantId::from_u128(1);
        let lane = SubscriptionId::from_u128;
        let mut slots = Slots::default();
        (0..IN_FLIGHT_SHARED_MAX).for_each(|_| slots.take());
        for number in 0..3 {
            slots.put_off(lane(number));
        }
        slots.join(tenant, lane(3), false);
        slots.join(tenant, lane(4), true);
        slots.give_back();
        for number in 0..3 {
            assert_eq!(slots.next(), Some(lane(number)));
            slots.rest(tenant, lane(number), false, number == 1);
        }
        assert_eq!(slots.next(), None);
        slots.resume(tenant);
        let mut all: Vec<SubscriptionId> = std::iter::from_fn(|| slots.next()).collect();
        all.sort();
        assert_eq!(all, [0, 1, 2, 3, 4].map(lane));
    }

    /// One that may send once at a time, and has always more to send.
    #[test]
    fn lanes_of_a_tenant_that_rests_go_round_whether_or_not_some_of_them_are_sick() {
        let (tenant, other) = (TenantId::from_u128(1), TenantId::from_u128(2));
        let (sick, alone) = (SubscriptionId::from_u128(0), SubscriptionId::from_u128(9));
        let mut slots = Slots::default();
        for number in 0..4 {
            slots.join(tenant, SubscriptionId::from_u128(number), number == 0);
        }
        slots.join(other, alone, false);
        let (mut sent, mut is_turn_of_sick, mut may_send) = (HashMap::new(), false, true);
        for _ in 0..600 {
            while let Some(lane) = slots.next() {
                if lane == alone {
                    // It goes on before the others are back.
                    *sent.entry(lane).or_insert(0) += 1;
                } else if may_send {
                    may_send = false;
                    *sent.entry(lane).or_insert(0) += 1;
                    slots.join(tenant, lane, lane == sick);
                } else {
                    is_turn_of_sick = !is_turn_of_sick;
                    slots.rest(tenant, lane, lane == sick, is_turn_of_sick);
                }
            }
            slots.resume(tenant);
            slots.join(other, alone, false);
            may_send = true;
        }
        let sent: Vec<i32> = [0, 1, 2, 3, 9].map(|number| sent[&SubscriptionId::from_u128(number)]).into();
        assert_eq!(sent[4], 600);
        assert!((290..=310).contains(&sent[0]) && sent[1..4].iter().all(|well| (95..=105).contains(well)), "{sent:?}");
    }
}
