//! What just happened, for whoever watches: bounded and lossy. Nobody who sends or stores ever waits for a viewer.
//!
//! One ring holds the newest items for all viewers, who each remember only how far they came. So a viewer who does not
//! read costs nothing more, and resuming is the same as reading on: what has left the ring is a gap, and is said to be one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::domain::delivery::{Delivery, ShownState};
use crate::domain::event_type::EventTypeName;
use crate::domain::health::{HealthStatus, Hold};
use crate::domain::id::{DeliveryId, EventId, SubscriptionId, TenantId};
use crate::domain::subscription::DisabledReason;
use crate::domain::time::Timestamp;
use crate::store::{AttemptSeen, Catalogue, Change, Store};

/// Items that are kept for viewers who come back or are slow: about two MiB.
pub const ITEMS_MAX: usize = 4096;
/// Items that a viewer takes at once, so that none holds the ring for long.
const TAKEN_MAX: usize = 64;
/// For so long after the last viewer left, items are still collected: one who lost the connection comes back to all of
/// it.
const LINGER: Duration = Duration::from_secs(60);

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Grows from item to item, also over restarts: milliseconds, and a counter below.
    pub id: u64,
    pub at: Timestamp,
    pub tenant: TenantId,
    pub subscription: SubscriptionId,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A new delivery.
    Created(DeliveryShown),
    /// An attempt that is over and recorded, and where the delivery stands after it.
    Attempted(DeliveryShown, AttemptSeen),
    /// A delivery changed without an attempt.
    Changed(DeliveryShown),
    /// The configuration of a subscription or its health changed: what it is now.
    Subscription { is_active: bool, health: HealthStatus, disabled_reason: Option<DisabledReason> },
}

/// A delivery as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryShown {
    pub delivery: DeliveryId,
    pub event: EventId,
    pub event_type: EventTypeName,
    pub state: ShownState,
    pub next_attempt_at: Option<Timestamp>,
}

/// A handle on the feed. Clones share it.
#[derive(Clone)]
pub struct Feed(Arc<Shared>);

struct Shared {
    clock: Clock,
    /// Whether items are collected: all that is asked while nobody watches.
    is_watched: AtomicBool,
    ring: Mutex<Ring>,
    news: watch::Sender<News>,
}

struct Ring {
    items: VecDeque<Arc<Item>>,
    /// Everything up to this id has left the ring, or never was in it.
    floor: u64,
    /// The newest id.
    last: u64,
    viewers: usize,
    /// When the last viewer left.
    left_at: Timestamp,
}

/// Wakes the viewers.
#[derive(Debug, Clone, Copy, Default)]
struct News {
    last: u64,
    is_over: bool,
}

/// Below the milliseconds of an id; 2^53, up to which every reader of JSON counts exactly, is far away.
const COUNTER_BITS: u32 = 12;

fn id_at(now: Timestamp) -> u64 {
    u64::try_from(now.as_millis()).unwrap_or(0) << COUNTER_BITS
}

impl Feed {
    pub fn new(clock: Clock) -> Self {
        let last = id_at(clock.now());
        let left_at = clock.now();
        let ring = Ring { items: VecDeque::new(), floor: last, last, viewers: 0, left_at };
        let news = watch::Sender::new(News { last, is_over: false });
        Self(Arc::new(Shared { clock, is_watched: AtomicBool::new(false), ring: Mutex::new(ring), news }))
    }

    /// Whether what happens is to be published. One atomic load.
    pub fn is_watched(&self) -> bool {
        self.0.is_watched.load(Ordering::Relaxed)
    }

    /// Watches from now on, or from after the item with the id `after`.
    pub fn watch(&self, after: Option<u64>) -> Viewer {
        let news = self.0.news.subscribe();
        let mut ring = self.ring();
        if !self.is_watched() {
            // What happened while nobody watched is not known: whoever comes back from before it has a gap.
            ring.last = ring.next_id(self.0.clock.now());
            ring.floor = ring.last;
        }
        ring.viewers += 1;
        self.0.is_watched.store(true, Ordering::Relaxed);
        let position = match after {
            None => Position::After(ring.last),
            Some(id) if (ring.floor..=ring.last).contains(&id) => Position::After(id),
            Some(_) => Position::Unknown,
        };
        Viewer { feed: self.clone(), news, position }
    }

    /// Ends the feed: viewers get what they have not seen yet, and then the end.
    pub fn close(&self) {
        self.0.news.send_modify(|news| news.is_over = true);
    }

    /// Takes in what the store committed.
    pub(super) fn committed(&self, changes: &[Change], store: &Store) {
        if !self.is_watched() {
            return;
        }
        let catalogue = store.catalogue();
        self.publish(|add| {
            for change in changes {
                match change {
                    Change::Accepted(all) => {
                        for fresh in all {
                            let subscription = catalogue.subscription(fresh.subscription);
                            let hold = subscription.and_then(|it| Hold::of(it, &store.health(it.id)));
                            let shown = DeliveryShown {
                                delivery: fresh.delivery,
                                event: fresh.event.event.id,
                                event_type: fresh.event.event.event_type.clone(),
                                state: match (subscription, hold) {
                                    (None, _) => ShownState::Canceled,
                                    (Some(_), None) => ShownState::Pending,
                                    (Some(_), Some(_)) => ShownState::Held,
                                },
                                next_attempt_at: subscription.map(|_| fresh.next_attempt_at),
                            };
                            add(fresh.tenant, fresh.subscription, What::Created(shown));
                        }
                    }
                    Change::Moved(delivery) => {
                        add(delivery.tenant, delivery.subscription, What::Changed(shown(delivery, store)));
                    }
                    Change::Attempted(attempted) => {
                        let (delivery, attempt) = &**attempted;
                        let what = What::Attempted(shown(delivery, store), attempt.clone());
                        add(delivery.tenant, delivery.subscription, what);
                    }
                    Change::Subscription(id) | Change::Lifted(id) | Change::Fares(id) => {
                        add_subscription(*id, &catalogue, store, add);
                    }
                    // What a person did is told by the `Moved` that came with it.
                    Change::Due(..)
                    | Change::Retry(..)
                    | Change::Scheduled(..)
                    | Change::Canceled(..)
                    | Change::Settled(_) => {}
                }
            }
        });
    }

    /// Adds what `each` tells, under one lock, and wakes the viewers.
    fn publish(&self, each: impl FnOnce(&mut dyn FnMut(TenantId, SubscriptionId, What))) {
        let now = self.0.clock.now();
        let mut ring = self.ring();
        if ring.viewers == 0 && now.since(ring.left_at) > LINGER {
            ring.items = VecDeque::new();
            ring.floor = ring.last;
            self.0.is_watched.store(false, Ordering::Relaxed);
            return;
        }
        each(&mut |tenant, subscription, what| {
            let id = ring.next_id(now);
            ring.last = id;
            if ring.items.len() == ITEMS_MAX
                && let Some(oldest) = ring.items.pop_front()
            {
                ring.floor = oldest.id;
            }
            ring.items.push_back(Arc::new(Item { id, at: now, tenant, subscription, what }));
        });
        let last = ring.last;
        drop(ring);
        self.0.news.send_modify(|news| news.last = last);
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.ring.lock().expect("nothing panics while it holds the lock")
    }
}

impl Ring {
    fn next_id(&self, now: Timestamp) -> u64 {
        id_at(now).max(self.last + 1)
    }
}

fn shown(delivery: &Delivery, store: &Store) -> DeliveryShown {
    let (state, _) = store.shown_state(delivery);
    DeliveryShown {
        delivery: delivery.id,
        event: delivery.event,
        event_type: delivery.event_type.clone(),
        state,
        // What was deleted meanwhile is tried no more.
        next_attempt_at: delivery.state.next_attempt_at().filter(|_| state != ShownState::Canceled),
    }
}

/// Of a deleted one nothing is known any more.
fn add_subscription(
    id: SubscriptionId,
    catalogue: &Catalogue,
    store: &Store,
    add: &mut dyn FnMut(TenantId, SubscriptionId, What),
) {
    let Some(subscription) = catalogue.subscription(id) else { return };
    let what = What::Subscription {
        is_active: subscription.is_active,
        health: store.health(id).status(subscription),
        disabled_reason: subscription.disabled_reason,
    };
    add(subscription.tenant, id, what);
}

/// Somebody who watches.
pub struct Viewer {
    feed: Feed,
    news: watch::Receiver<News>,
    position: Position,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    After(u64),
    /// The id to go on from is not one that the ring knows.
    Unknown,
}

/// What a viewer gets next.
#[derive(Debug, Clone, PartialEq)]
pub enum Shown {
    Items(Vec<Arc<Item>>),
    /// Something was missed: everything up to this id that the viewer has not seen.
    Gap {
        up_to: u64,
    },
}

impl Viewer {
    /// What happened since the last call; waits for it. None at the end of the feed. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Shown> {
        loop {
            let is_over = self.news.borrow_and_update().is_over;
            if let Some(shown) = self.take() {
                return Some(shown);
            }
            if is_over || self.news.changed().await.is_err() {
                return None;
            }
        }
    }

    /// Ends when the feed has.
    pub async fn over(&self) {
        let mut news = self.news.clone();
        // The sender lives as long as this viewer's handle on the feed.
        _ = news.wait_for(|news| news.is_over).await;
    }

    fn take(&mut self) -> Option<Shown> {
        let ring = self.feed.ring();
        let after = match self.position {
            Position::After(id) if id >= ring.floor => id,
            Position::After(_) | Position::Unknown => {
                self.position = Position::After(ring.floor);
                return Some(Shown::Gap { up_to: ring.floor });
            }
        };
        let first = ring.items.partition_point(|item| item.id <= after);
        let items: Vec<Arc<Item>> = ring.items.iter().skip(first).take(TAKEN_MAX).cloned().collect();
        self.position = Position::After(items.last()?.id);
        Some(Shown::Items(items))
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let mut ring = self.feed.ring();
        ring.viewers -= 1;
        ring.left_at = self.feed.0.clock.now();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::clock::ManualClock;

    fn feed() -> (Feed, ManualClock) {
        let clock = ManualClock::at(Timestamp::from_millis(1_771_416_000_000));
        (Feed::new(Clock::Manual(clock.clone())), clock)
    }

    /// Publishes items whose subscriptions are numbered.
    fn publish(feed: &Feed, numbers: std::ops::Range<u128>) {
        feed.publish(|add| {
            for number in numbers {
                let what = What::Subscription { is_active: true, health: HealthStatus::Healthy, disabled_reason: None };
                add(TenantId::DEFAULT, SubscriptionId::from_u128(number), what);
            }
        });
    }

    /// Everything that is there for the viewer now: numbers, `-1` for a gap; and whether the feed goes on.
    fn seen(viewer: &mut Viewer) -> (Vec<i128>, bool) {
        let mut seen = Vec::new();
        loop {
            let next = pin!(viewer.next()).poll(&mut Context::from_waker(Waker::noop()));
            match next {
                Poll::Ready(Some(Shown::Items(items))) => {
                    assert!(items.len() <= TAKEN_MAX && items.is_sorted_by(|one, next| one.id < next.id));
                    seen.extend(items.iter().map(|item| item.subscription.as_u128() as i128));
                }
                Poll::Ready(Some(Shown::Gap { .. })) => seen.push(-1),
                Poll::Ready(None) => return (seen, false),
                Poll::Pending => return (seen, true),
            }
        }
    }

    /// The id of the newest item.
    fn newest(feed: &Feed) -> u64 {
        feed.ring().last
    }

    #[test]
    fn nothing_is_collected_while_nobody_watches() {
        let (feed, _) = feed();
        assert!(!feed.is_watched());
        let mut viewer = feed.watch(None);
        assert!(feed.is_watched());
        publish(&feed, 0..3);
        assert_eq!(seen(&mut viewer), (vec![0, 1, 2], true));
    }

    #[test]
    fn a_viewer_who_comes_back_goes_on_where_it_was() {
        let (feed, clock) = feed();
        let mut viewer = feed.watch(None);
        publish(&feed, 0..3);
        assert_eq!(seen(&mut viewer).0, [0, 1, 2]);
        let last = newest(&feed);
        drop(viewer);
        clock.set(clock.now().plus(LINGER));
        publish(&feed, 3..5);
        assert_eq!(seen(&mut feed.watch(Some(last))).0, [3, 4]);
        assert_eq!(seen(&mut feed.watch(None)).0, [], "without an id it begins with what comes");
    }

    #[test]
    fn one_who_stayed_away_for_long_is_told_that_something_was_missed() {
        let (feed, clock) = feed();
        drop(feed.watch(None));
        let last = newest(&feed);
        clock.set(clock.now().plus(LINGER + Duration::from_millis(1)));
        publish(&feed, 0..3);
        assert!(!feed.is_watched());
        let mut viewer = feed.watch(Some(last));
        publish(&feed, 3..4);
        assert_eq!(seen(&mut viewer).0, [-1, 3]);
    }

    #[test]
    fn a_viewer_slower_than_the_ring_gets_one_gap_and_then_what_is_left() {
        let (feed, _) = feed();
        let mut viewer = feed.watch(None);
        let mut quick = feed.watch(None);
        publish(&feed, 0..100);
        assert_eq!(seen(&mut quick).0, (0..100).collect::<Vec<_>>());
        let all = ITEMS_MAX as u128 + 50;
        publish(&feed, 100..all);
        let expected: Vec<i128> = std::iter::once(-1).chain(50..all as i128).collect();
        assert_eq!(seen(&mut viewer).0, expected);
        assert_eq!(seen(&mut quick).0, (100..all as i128).collect::<Vec<_>>(), "whom nothing has left is told nothing");
        assert_eq!(feed.ring().items.len(), ITEMS_MAX);
    }

    #[test]
    fn an_id_that_was_never_given_is_a_gap() {
        let (feed, clock) = feed();
        let mut first = feed.watch(None);
        publish(&feed, 0..2);
        for unknown in [0, newest(&feed) + 1, u64::MAX] {
            assert_eq!(seen(&mut feed.watch(Some(unknown))).0, [-1, 0, 1], "{unknown}");
        }
        assert_eq!(seen(&mut first).0, [0, 1]);
        // Another life of the program: its ids are greater, so the old ones are not taken for its own.
        clock.set(clock.now().plus(Duration::from_secs(5)));
        let next_life = Feed::new(Clock::Manual(clock));
        let mut viewer = next_life.watch(Some(newest(&feed)));
        assert_eq!(seen(&mut viewer).0, [-1]);
    }

    #[test]
    fn ids_grow_though_the_clock_goes_back() {
        let (feed, clock) = feed();
        let mut viewer = feed.watch(None);
        publish(&feed, 0..1);
        clock.set(Timestamp::from_millis(5));
        publish(&feed, 1..2);
        assert_eq!(seen(&mut viewer).0, [0, 1]);
    }

    #[test]
    fn the_end_comes_after_everything_else() {
        let (feed, _) = feed();
        let mut viewer = feed.watch(None);
        publish(&feed, 0..200);
        feed.close();
        assert_eq!(seen(&mut viewer), ((0..200).collect(), false));
    }
}
