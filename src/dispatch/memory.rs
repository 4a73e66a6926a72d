//! What waits in memory over all subscriptions, and how much may.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::ids::IdMap;
use super::outgoing::Outgoing;
use crate::domain::event::EventWithData;
use crate::domain::id::EventId;

/// Deliveries that wait in memory, over all subscriptions; what comes beyond waits on disk, which costs it two rows and
/// reading it back. One takes about 200 bytes, so this is 13 MiB; and it is what an opening after a crash has to park at most.
pub const WAITING_MAX: usize = 65_536;
/// Bytes of their events, each counted once however many deliveries share it, and with the body that is made of it.
pub const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// So many may wait in memory for one subscription even when the memory of all is full.
const LANE_WAITING_MIN: usize = 16;
/// … so many for one whose receiver is sick …
const LANE_WAITING_SICK_MAX: usize = 64;
/// … and so many at most, so that one subscription does not take it all.
const LANE_WAITING_MAX: usize = WAITING_MAX / 2;

#[derive(Debug, Default)]
pub(super) struct Memory {
    deliveries: usize,
    /// The events of those, and how many of them each has.
    events: IdMap<EventId, (Arc<Outgoing>, usize)>,
    bytes: usize,
}

impl Memory {
    /// Deliveries in it.
    pub fn len(&self) -> usize {
        self.deliveries
    }

    fn is_full(&self) -> bool {
        self.deliveries >= WAITING_MAX || self.bytes >= WAITING_BYTES_MAX
    }

    /// How many deliveries may wait here for one subscription.
    pub fn lane_max(&self, is_sick: bool) -> usize {
        match is_sick {
            _ if self.is_full() => LANE_WAITING_MIN,
            true => LANE_WAITING_SICK_MAX,
            false => LANE_WAITING_MAX,
        }
    }

    /// How many of `rows` a read may bring.
    pub fn rows_max(&self, rows: usize) -> usize {
        if self.is_full() { rows.min(LANE_WAITING_MIN) } else { rows }
    }

    /// One delivery of the event waits here now. Answers the event as all of them share it.
    pub fn remember(&mut self, event: Arc<EventWithData>) -> Arc<Outgoing> {
        self.deliveries += 1;
        match self.events.entry(event.event.id) {
            Entry::Occupied(mut known) => {
                let (event, deliveries) = known.get_mut();
                *deliveries += 1;
                Arc::clone(event)
            }
            Entry::Vacant(place) => {
                self.bytes += bytes_of(&event);
                let event = Arc::new(Outgoing::new(event));
                place.insert((Arc::clone(&event), 1));
                event
            }
        }
    }

    /// One delivery of the event waits here no more.
    pub fn forget(&mut self, event: &EventWithData) {
        self.deliveries -= 1;
        let Entry::Occupied(mut known) = self.events.entry(event.event.id) else {
            unreachable!("an event is here while a delivery of it is")
        };
        let (_, deliveries) = known.get_mut();
        *deliveries -= 1;
        if *deliveries == 0 {
            self.bytes -= bytes_of(event);
            known.remove();
        }
    }
}

/// As it was published, and as it is sent.
fn bytes_of(event: &EventWithData) -> usize {
    2 * event.data.len()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::event::Event;
    use crate::domain::id::TenantId;
    use crate::domain::time::Timestamp;

    fn event(id: u128, bytes: usize) -> Arc<EventWithData> {
        let now = Timestamp::from_millis(1_771_416_000_000);
        let event = Event {
            id: EventId::from_u128(id),
            tenant: TenantId::DEFAULT,
            event_type: "order.paid".parse().unwrap(),
            external_id: None,
            occurred_at: now,
            created_at: now,
            deliveries: 50,
            data_bytes: bytes as u32,
            channels: Vec::new(),
            deliver_at: None,
            replay_of: None,
        };
        Arc::new(EventWithData { event, data: Bytes::from(vec![b' '; bytes]) })
    }

    #[test]
    fn an_event_that_many_deliveries_share_takes_its_room_once_until_the_last_of_them_has_left() {
        let large = WAITING_BYTES_MAX / 4;
        let mut memory = Memory::default();
        let first = memory.remember(event(1, large));
        // Read from disk meanwhile: the same event once more.
        let again = memory.remember(event(1, large));
        assert!(Arc::ptr_eq(&first, &again));
        assert!(!memory.is_full());
        let second = memory.remember(event(2, large));
        assert!(memory.is_full(), "two events of a quarter, each with its body");
        memory.forget(&first);
        assert!(memory.is_full(), "one of its deliveries is still here");
        memory.forget(&again);
        assert!(!memory.is_full());
        memory.forget(&second);
        assert_eq!((memory.len(), memory.bytes, memory.events.len()), (0, 0, 0));
    }
}
