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

    /// No lane of the tenant has a turn before [`Self::resume`]; this one, which had it, is the first then.
    pub fn rest(&mut self, tenant: TenantId, lane: SubscriptionId, is_sick: bool) {
        let (well, sick) = (&mut self.well, &mut self.sick);
        let resting = self
            .resting
            .entry(tenant)
            .or_insert_with(|| Resting { well: well.take_out(tenant), sick: sick.take_out(tenant) });
        resting.among(is_sick).push_front(lane);
    }

    pub fn resume(&mut self, tenant: TenantId) {
        let Resting { well, sick } = self.resting.remove(&tenant).unwrap_or_default();
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
        let is_shared_free = self.is_shared_free();
        let has_well = !self.well.is_empty() || (is_shared_free && !self.crowded.is_empty());
        if is_shared_free && !self.sick.is_empty() && (self.is_turn_of_sick || !has_well) {
            self.is_turn_of_sick = false;
            return self.sick.next();
        }
        self.is_turn_of_sick = true;
        if is_shared_free && let Some((_, lane)) = self.crowded.pop_first() {
            return Some(lane);
        }
        self.well.next()
    }
}
