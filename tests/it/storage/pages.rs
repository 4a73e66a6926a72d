//! Lists: every row once, in order, from both ends, whatever is filtered and wherever the postings break.

use std::time::Duration;

use waxwing::domain::delivery::{ExhaustedReason, Outcome, RetryReason, ShownState, State};
use waxwing::domain::id::{DeliveryId, EventId, TenantId};
use waxwing::domain::subscription::Subscription;
use waxwing::store::{DeliveryFilter, EventFilter, From, Page, Recordings, StoreError, Walk};

use super::world::*;

/// Events of one tenant: more than two rows of postings.
const EVENTS: usize = 700;

/// A list of one kind, as a function of where to go on.
type List<'a, T, Id> = &'a dyn Fn(Walk<Id>) -> Result<Page<T, Id>, StoreError>;

/// All ids forwards by `next`, then all of them backwards by `previous`; both must be the whole list.
#[track_caller]
fn both_ways<T, Id: Copy + PartialEq + std::fmt::Debug>(
    size: usize,
    list: List<'_, T, Id>,
    id: fn(&T) -> Id,
) -> Vec<Id> {
    let mut forwards = Vec::new();
    let mut page = list(Walk { from: From::Newest, size }).unwrap();
    assert!(page.previous.is_none(), "nothing is newer than the newest");
    loop {
        assert!(page.rows.len() <= size);
        forwards.extend(ids_of(&page, id));
        let Some(next) = page.next else { break };
        page = list(Walk { from: From::After(next), size }).unwrap();
    }
    let mut backwards = Vec::new();
    let mut last = ids_of(&page, id);
    while let Some(previous) = page.previous {
        page = list(Walk { from: From::Before(previous), size }).unwrap();
        backwards.splice(0..0, ids_of(&page, id));
    }
    backwards.append(&mut last);
    assert_eq!(forwards, backwards);
    forwards
}

struct Filled {
    world: World,
    wanted: Subscription,
    events: Vec<EventId>,
    deliveries: Vec<DeliveryId>,
}

/// Every third event is `b`, which nobody wants; index passes and another tenant's events come in between.
fn filled() -> Filled {
    let mut world = World::new();
    let store = world.store.clone();
    let other = world.run(store.create_tenant(tenant("other"), None)).unwrap().id;
    let wanted = world.subscribe(subscription_to("a"));
    let mut of_other = subscription_to("a");
    of_other.tenant = other;
    world.subscribe(of_other);
    let (mut events, mut deliveries) = (Vec::new(), Vec::new());
    for n in 0..EVENTS {
        let published = world.publish(event(if n % 3 == 2 { "b" } else { "a" })).unwrap();
        events.push(published.event.id);
        deliveries.extend(world.deliveries_of(&published.event).iter().map(|delivery| delivery.id));
        let mut elsewhere = event("a");
        elsewhere.tenant = other;
        world.publish(elsewhere).unwrap();
        world.wait(Duration::from_millis(10));
        if n % 60 == 0 {
            world.index();
        }
    }
    world.index();
    events.reverse();
    deliveries.reverse();
    Filled { world, wanted, events, deliveries }
}

#[test]
fn every_event_is_listed_once_from_both_ends() {
    let Filled { world, events, .. } = filled();
    for size in [1, 7, 100] {
        let list = |walk| world.store.events(TenantId::DEFAULT, &EventFilter::default(), walk);
        assert_eq!(both_ways(size, &list, |event| event.id), events, "pages of {size}");
    }
    assert_clean(world.check());
}

#[test]
fn filters_leave_out_exactly_what_they_say() {
    let Filled { world, events, deliveries, wanted } = filled();
    let b: Vec<_> = events.iter().rev().skip(2).step_by(3).rev().copied().collect();
    for filter in [
        EventFilter { event_type: Some("b".parse().unwrap()), ..EventFilter::default() },
        EventFilter { unmatched: Some(true), ..EventFilter::default() },
    ] {
        let list = |walk| world.store.events(TenantId::DEFAULT, &filter, walk);
        assert_eq!(both_ways(10, &list, |event| event.id), b, "{filter:?}");
    }
    for filter in [
        DeliveryFilter::default(),
        DeliveryFilter { subscription: Some(wanted.id), ..DeliveryFilter::default() },
        DeliveryFilter { state: Some(ShownState::Pending), ..DeliveryFilter::default() },
    ] {
        let list = |walk| world.store.deliveries(TenantId::DEFAULT, &filter, walk);
        assert_eq!(both_ways(10, &list, |delivery| delivery.id), deliveries, "{filter:?}");
    }
    let one = DeliveryFilter { event: Some(events[0]), ..DeliveryFilter::default() };
    let list = |walk| world.store.deliveries(TenantId::DEFAULT, &one, walk);
    assert_eq!(both_ways(10, &list, |delivery| delivery.id), deliveries[..1]);
    let list = |walk| world.store.deliveries(TenantId::SYSTEM, &one, walk);
    assert_eq!(both_ways(10, &list, |delivery| delivery.id), [], "another tenant's event");
}

#[test]
fn a_span_of_time_holds_what_was_created_in_it_though_the_clock_went_back() {
    let mut world = World::new();
    let start = world.now();
    let mut all = Vec::new();
    for minutes in [0, 1, 2, 60, 1, 2, 3, 61] {
        world.clock.set(start.plus(Duration::from_secs(minutes * 60)));
        all.push(world.publish(event("a")).unwrap().event);
    }
    world.index();
    for (since, until) in [(0, 100), (1, 2), (1, 3), (2, 61), (3, 4), (61, 62), (62, 70)] {
        let at = |minutes: u64| Some(start.plus(Duration::from_secs(minutes * 60)));
        let filter = EventFilter { since: at(since), until: at(until), ..EventFilter::default() };
        let list = |walk| world.store.events(TenantId::DEFAULT, &filter, walk);
        let expected: Vec<_> = all
            .iter()
            .rev()
            .filter(|event| Some(event.created_at) >= filter.since && Some(event.created_at) < filter.until)
            .map(|event| event.id)
            .collect();
        assert_eq!(both_ways(2, &list, |event| event.id), expected, "{since}..{until}");
    }
}

#[test]
fn open_failed_and_held_deliveries_are_found_wherever_the_watermark_is() {
    let mut world = World::new();
    let subscription = world.subscribe(subscription_to("*"));
    let mut ids = Vec::new();
    for _ in 0..12 {
        let published = world.publish(event("a")).unwrap();
        ids.push(world.deliveries_of(&published.event)[0].id);
    }
    let later = State::Retrying { next_attempt_at: world.now().plus(DAY), reason: RetryReason::RetryAfter };
    for (n, id) in ids.iter().enumerate() {
        match n % 4 {
            0 => world.succeed(*id),
            1 => world.try_attempt(*id, Outcome::Status(503), later).unwrap(),
            2 => {
                let exhausted = State::Exhausted { reason: ExhaustedReason::Schedule };
                world.try_attempt(*id, Outcome::Status(500), exhausted).unwrap();
            }
            _ => {}
        }
    }
    let canceled = ids[3];
    let store = world.store.clone();
    world.run(store.cancel_delivery(canceled, None)).unwrap();
    world.index();
    let of = |rest: usize| ids.iter().skip(rest).step_by(4).rev().copied().collect::<Vec<_>>();
    let pending: Vec<_> = of(3).into_iter().filter(|id| *id != canceled).collect();
    for settled in [0, 5, 11] {
        let parked = ids[..=settled].to_vec();
        world.record(Recordings { parked, settled_up_to: Some(ids[settled]), ..Recordings::default() });
        let with = |state, world: &World| {
            let filter = DeliveryFilter { state: Some(state), ..DeliveryFilter::default() };
            let list = |walk| world.store.deliveries(TenantId::DEFAULT, &filter, walk);
            both_ways(2, &list, |delivery| delivery.id)
        };
        assert_eq!(with(ShownState::Pending, &world), pending);
        assert_eq!(with(ShownState::Retrying, &world), of(1));
        assert_eq!(with(ShownState::Exhausted, &world), of(2));
        assert_eq!(with(ShownState::Succeeded, &world), of(0));
        assert_eq!(with(ShownState::Canceled, &world), [canceled]);
        assert_eq!(with(ShownState::Held, &world), []);
    }
    let filter = DeliveryFilter { http_status: Some(503), ..DeliveryFilter::default() };
    let list = |walk| world.store.deliveries(TenantId::DEFAULT, &filter, walk);
    assert_eq!(both_ways(5, &list, |delivery| delivery.id), of(1));

    let pause = Box::new(|it: &mut Subscription| {
        it.is_active = false;
        Ok(())
    });
    world.run(store.update_subscription(subscription.id, pause, None)).unwrap();
    let filter = DeliveryFilter { state: Some(ShownState::Held), ..DeliveryFilter::default() };
    let held = world.store.deliveries(TenantId::DEFAULT, &filter, newest(100)).unwrap();
    assert_eq!(held.rows.len(), pending.len() + of(1).len());
    drop(store);
    assert_clean(world.check());
}

#[test]
fn a_page_that_walks_too_far_comes_short_and_goes_on() {
    let mut world = World::new();
    let store = world.store.clone();
    let rare = world.publish(event("rare")).unwrap().event.id;
    for _ in 0..11 {
        world.run(store.accept(vec![event("a"); 1000], None)).unwrap();
    }
    world.index();
    let filter = EventFilter { event_type: Some("rare".parse().unwrap()), ..EventFilter::default() };
    let first = world.store.events(TenantId::DEFAULT, &filter, newest(20)).unwrap();
    assert!(first.rows.is_empty());
    let after = Walk { from: From::After(first.next.unwrap()), size: 20 };
    let second = world.store.events(TenantId::DEFAULT, &filter, after).unwrap();
    assert_eq!(ids_of(&second, |event| event.id), [rare]);
    assert!(second.next.is_none());
}

#[test]
fn what_no_index_pass_has_seen_is_listed_after_a_power_cut() {
    let mut world = World::new();
    world.subscribe(subscription_to("*"));
    world.publish(event("a")).unwrap();
    world.index();
    world.publish(event("a")).unwrap();
    let world = world.after_power_cut();
    let events = world.store.events(TenantId::DEFAULT, &EventFilter::default(), newest(10)).unwrap();
    let deliveries = world.store.deliveries(TenantId::DEFAULT, &DeliveryFilter::default(), newest(10)).unwrap();
    assert_eq!((events.rows.len(), deliveries.rows.len()), (2, 2));
    assert_clean(world.check());
}

#[test]
fn a_recovery_of_many_steps_forgets_nothing() {
    let mut world = World::new();
    let store = world.store.clone();
    world.subscribe(subscription_to("*"));
    world.subscribe(subscription_to("*"));
    // More deliveries than one step looks at, and fewer events.
    for _ in 0..9 {
        world.run(store.accept(vec![event("a"); 1000], None)).unwrap();
    }
    drop(store);
    let world = world.after_power_cut();
    assert_eq!(world.store.sizes().deliveries_due, 18_000);
    assert_clean(world.check());
}
