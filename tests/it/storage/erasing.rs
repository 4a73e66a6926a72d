//! What goes, and what never does: retention, deleted subscriptions, deleted tenants.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use waxwing::domain::delivery::{CanceledReason, ExhaustedReason, Outcome, RetryReason, State};
use waxwing::domain::event::{Event, NewEvent};
use waxwing::domain::id::TenantId;
use waxwing::domain::obstacle::Obstacle;
use waxwing::domain::subscription::Subscription;
use waxwing::domain::tenant::{OwnRetention, Tenant};
use waxwing::store::{DeliveryFilter, EventFilter, Recordings, StoreError};

use super::world::*;

/// How many rows are left, beside `meta`.
fn rows(mut world: World) -> Vec<(&'static str, u64)> {
    world.fold();
    let report = world.check();
    assert!(report.is_clean(), "{report:#?}");
    let tables = report.tables.iter().filter(|table| table.name != "meta" && table.rows > 0);
    tables.map(|table| (table.name, table.rows)).collect()
}

#[test]
fn payloads_go_first_then_all_else_and_never_what_is_open() {
    let mut world = World::new();
    let subscription = world.subscribe(subscription_to("a"));
    let done = world.publish(event_with_external_id("a", "done")).unwrap().event;
    let open = world.publish(event_with_external_id("a", "open")).unwrap().event;
    let retried = world.publish(event("a")).unwrap().event;
    let unmatched = world.publish(event("b")).unwrap().event;
    let id = |world: &World, event: &Event| world.deliveries_of(event)[0].id;
    let done_delivery = id(&world, &done);
    world.succeed(done_delivery);
    let retrying = State::Retrying { next_attempt_at: world.now().plus(DAY), reason: RetryReason::Schedule };
    let (open_delivery, retried_delivery) = (id(&world, &open), id(&world, &retried));
    world.try_attempt(open_delivery, Outcome::Status(500), retrying).unwrap();
    // Through only on day 20: its ages count from there.
    world.wait(20 * DAY);
    world.succeed(retried_delivery);

    let seen = |world: &World, event: &Event| {
        let is_there = world.store.event(event.id).unwrap().is_some();
        (is_there, world.store.event_data(event.id).unwrap().is_some())
    };
    let attempts = |world: &World, id| world.store.attempts(id).unwrap().len();
    world.wait(9 * DAY);
    world.retain();
    assert_eq!(seen(&world, &done), (true, true), "day 29");
    world.wait(2 * DAY);
    world.retain();
    assert_eq!(seen(&world, &done), (true, false), "day 31");
    assert_eq!(seen(&world, &unmatched), (true, false));
    assert_eq!(seen(&world, &open), (true, true));
    assert_eq!(seen(&world, &retried), (true, true));
    assert_eq!((attempts(&world, done_delivery), attempts(&world, open_delivery)), (0, 1));
    assert!(world.publish(event_with_external_id("a", "done")).unwrap().is_duplicate, "known without its data");
    world.wait(60 * DAY);
    world.retain();
    assert_eq!(seen(&world, &done), (false, false), "day 91");
    assert_eq!(seen(&world, &unmatched), (false, false));
    assert_eq!(seen(&world, &retried), (true, false));
    assert_eq!(seen(&world, &open), (true, true));
    assert!(!world.publish(event_with_external_id("a", "done")).unwrap().is_duplicate, "its external id is free");
    let page = world.store.deliveries(TenantId::DEFAULT, &DeliveryFilter::default(), newest(10)).unwrap();
    assert_eq!(ids_of(&page, |it| it.id), [retried_delivery, open_delivery]);
    let (due, _) = world.store.due(subscription.id, &[], world.now(), &Default::default(), 10).unwrap();
    assert_eq!(due[0].delivery.id, open_delivery);
    assert!(due[0].event.is_some());
    assert_clean(world.check());
}

#[test]
fn retention_goes_through_a_mixture_in_steps_and_leaves_nothing_of_what_is_old() {
    let mut world = World::new();
    world.subscribe(subscription_to("a"));
    world.subscribe(subscription_to("a"));
    let mut open = Vec::new();
    for n in 0..900 {
        let published = world.publish(event("a")).unwrap().event;
        if n % 100 == 0 {
            open.push(published.id);
            continue;
        }
        for delivery in world.deliveries_of(&published) {
            world.succeed(delivery.id);
        }
    }
    world.wait(100 * DAY);
    let young = world.publish(event("b")).unwrap().event.id;
    let steps = world.retain();
    assert!(steps > 5, "{steps} steps");
    world.index();
    let events = world.store.events(TenantId::DEFAULT, &EventFilter::default(), newest(100)).unwrap();
    let expected: Vec<_> = std::iter::once(young).chain(open.into_iter().rev()).collect();
    assert_eq!(ids_of(&events, |event| event.id), expected);
    assert_eq!(world.store.sizes().deliveries, 18);
    assert_eq!(world.store.sizes().attempts, 0);
    let mut world = world.after_power_cut();
    let later = world.publish(event("a")).unwrap().event.id;
    assert!(later > young);
    assert_clean(world.check());
}

/// What is published, when it is through (in days from its creation; none: never) and whose it is.
struct Fate {
    event: Event,
    tenant: usize,
    published_on: u32,
    through_on: Option<u32>,
}

#[test]
fn each_tenant_keeps_things_for_its_own_days_and_whatever_the_days_are_what_is_open_stays() {
    // Days of payloads and of metadata; the instance has 30 and 90.
    let tenants = [
        (OwnRetention::default(), (30, 90)),
        (OwnRetention { payload_days: Some(2), metadata_days: Some(5) }, (2, 5)),
        (OwnRetention { payload_days: Some(40), metadata_days: Some(120) }, (40, 120)),
        // What events say never stays longer than they do.
        (OwnRetention { payload_days: None, metadata_days: Some(10) }, (10, 10)),
        (OwnRetention { payload_days: Some(1), metadata_days: None }, (1, 90)),
    ];
    for seed in 0..6 {
        let mut chance = StdRng::seed_from_u64(seed);
        let mut world = World::new();
        let store = world.store.clone();
        let ids = std::array::from_fn::<_, 5, _>(|n| {
            let made = Tenant { retention: tenants[n].0, ..tenant(&format!("t{n}")) };
            world.run(store.create_tenant(made, None)).unwrap().id
        });
        for id in ids {
            world.subscribe(Subscription { tenant: id, ..subscription_to("a") });
        }
        let mut fates: Vec<Fate> = Vec::new();
        for day in 0..140 {
            if day < 60 {
                for _ in 0..3 {
                    let tenant = chance.random_range(0..ids.len());
                    let has_reader = chance.random_range(0..4) > 0;
                    let published = NewEvent { tenant: ids[tenant], ..event(if has_reader { "a" } else { "b" }) };
                    let event = world.publish(published).unwrap().event;
                    let through_on = match (has_reader, chance.random_range(0..5)) {
                        (false, _) => Some(day),
                        (true, 0) => None,
                        (true, _) => Some(day + chance.random_range(0..50)),
                    };
                    fates.push(Fate { event, tenant, published_on: day, through_on });
                }
            }
            for fate in &fates {
                if fate.through_on == Some(day) {
                    world.deliveries_of(&fate.event).iter().for_each(|delivery| world.succeed(delivery.id));
                }
            }
            // An attempt takes a moment, from the end of which the days count.
            world.wait(DAY / 24);
            world.retain();
            for Fate { event, tenant, published_on, through_on } in &fates {
                let (payload_days, metadata_days) = tenants[*tenant].1;
                let is_kept = |days: u32| through_on.is_none_or(|through| day < through.max(*published_on) + days);
                let seen = (
                    world.store.event(event.id).unwrap().is_some(),
                    world.store.event_data(event.id).unwrap().is_some(),
                );
                let expected = (is_kept(metadata_days), is_kept(payload_days));
                assert_eq!(seen, expected, "seed {seed}, day {day}, tenant {tenant}, through on {through_on:?}");
            }
            world.wait(DAY / 24 * 23);
        }
        drop(store);
        assert_clean(world.check());
    }
}

#[test]
fn the_backlog_of_a_deleted_subscription_reads_as_canceled_at_once_and_is_canceled_after_a_restart() {
    let mut world = World::new();
    let doomed = world.subscribe(subscription_to("*"));
    let healthy = world.subscribe(subscription_to("*"));
    let store = world.store.clone();
    for _ in 0..3 {
        world.run(store.accept(vec![event("a"); 500], None)).unwrap();
    }
    // Some are parked, some wait for a retry, one fails for good, the rest is in memory.
    let all = {
        world.index();
        let filter = DeliveryFilter { subscription: Some(doomed.id), ..DeliveryFilter::default() };
        let page = world.store.deliveries(TenantId::DEFAULT, &filter, newest(1500)).unwrap();
        let mut ids = ids_of(&page, |delivery| delivery.id);
        ids.reverse();
        ids
    };
    let retrying = State::Retrying { next_attempt_at: world.now().plus(DAY), reason: RetryReason::Schedule };
    world.try_attempt(all[0], Outcome::Status(500), retrying).unwrap();
    let exhausted = State::Exhausted { reason: ExhaustedReason::Gone };
    world.try_attempt(all[1], Outcome::Status(410), exhausted).unwrap();
    let events = world.store.events(TenantId::DEFAULT, &EventFilter::default(), newest(1500)).unwrap();
    let mut parked = Vec::new();
    for event in events.rows.iter().rev().take(700) {
        parked.extend(world.deliveries_of(event).iter().filter(|it| !it.state.is_final()).map(|it| it.id));
    }
    let settled_up_to = parked.last().copied();
    world.record(Recordings { parked, settled_up_to, ..Recordings::default() });

    world.run(store.delete_subscription(doomed.id, Some(1))).unwrap();
    assert_eq!(world.run(store.delete_subscription(doomed.id, None)), Err(StoreError::NotFound));
    let canceled = State::Canceled { reason: CanceledReason::SubscriptionDeleted };
    assert_eq!(world.delivery(all[0]).state, canceled);
    assert_eq!(world.delivery(all[1]).state, exhausted);
    assert_eq!(world.delivery(all[1400]).state, canceled);
    assert_eq!(world.lanes().iter().map(|lane| lane.0).collect::<Vec<_>>(), [healthy.id]);
    assert_eq!(
        world.run(store.retry_delivery(all[0], None)),
        Err(StoreError::InvalidState(Obstacle::SubscriptionDeleted))
    );
    // Two were under way: one fails, one succeeds.
    world.try_attempt(all[2], Outcome::Status(500), retrying).unwrap();
    world.succeed(all[3]);
    assert_eq!((world.delivery(all[2]).state, world.delivery(all[3]).state), (canceled, State::Succeeded));
    assert!(world.writer.work_pass().unwrap());
    drop(store);

    let mut world = world.after_power_cut();
    assert!(world.work() > 2);
    assert_eq!(world.store.sizes().deliveries_due, 1500);
    let later = world.publish(event("a")).unwrap().event;
    assert_eq!(world.deliveries_of(&later).len(), 1);
    // Its row goes with the last of its deliveries.
    let store = world.store.clone();
    world.run(store.delete_subscription(healthy.id, None)).unwrap();
    drop(store);
    world.work();
    world.wait(100 * DAY);
    world.retain();
    world.retain();
    // A day is still known of the tenant, of the instance and of the event type.
    assert_eq!(rows(world), [("tenants", 2), ("stats", 3)]);
}

#[test]
fn everything_of_a_deleted_tenant_goes_though_the_power_is_cut_on_the_way_and_nothing_else_does() {
    let mut world = World::new();
    let store = world.store.clone();
    let doomed = world.run(store.create_tenant(tenant("acme"), None)).unwrap();
    let key_of_doomed = world.run(store.create_key(key("k", Some(doomed.id)), None)).unwrap();
    store.actor_used(key_of_doomed.id.into(), world.now());
    let mut of_doomed = subscription_to("*");
    of_doomed.tenant = doomed.id;
    let deleted_before = world.subscribe(of_doomed.clone());
    let subscription = world.subscribe(of_doomed);
    world.subscribe(subscription_to("*"));
    let mut kept = Vec::new();
    for n in 0..400 {
        let mut elsewhere = event_with_external_id("a", &format!("e{n}"));
        elsewhere.tenant = doomed.id;
        let published = world.publish(elsewhere).unwrap().event;
        for (m, delivery) in world.deliveries_of(&published).into_iter().enumerate() {
            let retrying = State::Retrying { next_attempt_at: world.now().plus(DAY), reason: RetryReason::Schedule };
            match (n + m) % 4 {
                0 => world.succeed(delivery.id),
                1 => world.try_attempt(delivery.id, Outcome::Status(500), retrying).unwrap(),
                2 => {
                    let exhausted = State::Exhausted { reason: ExhaustedReason::Schedule };
                    world.try_attempt(delivery.id, Outcome::Status(500), exhausted).unwrap();
                }
                _ => {}
            }
        }
        if n % 10 == 0 {
            kept.push(world.publish(event_with_external_id("a", &format!("e{n}"))).unwrap().event.id);
        }
    }
    world.run(store.delete_subscription(deleted_before.id, None)).unwrap();
    world.run(store.delete_tenant(doomed.id, None)).unwrap();
    assert!(world.store.catalogue().tenant(doomed.id).is_none());
    assert!(world.store.catalogue().key(key_of_doomed.id).is_none());
    assert!(world.store.catalogue().subscription(subscription.id).is_none());
    let mut elsewhere = event("a");
    elsewhere.tenant = doomed.id;
    assert_eq!(world.publish(elsewhere).unwrap_err(), StoreError::NotFound);
    let namesake = world.run(store.create_tenant(tenant("acme"), None)).unwrap();
    assert_ne!(namesake.id, doomed.id);
    drop(store);

    let mut steps = 0;
    loop {
        let goes_on = world.writer.work_pass().unwrap();
        steps += 1;
        world = world.after_power_cut();
        if !goes_on {
            break;
        }
    }
    assert!(steps > 3, "{steps} steps");
    kept.reverse();
    let events = world.store.events(TenantId::DEFAULT, &EventFilter::default(), newest(100)).unwrap();
    assert_eq!(ids_of(&events, |event| event.id), kept);
    let expected = [
        ("tenants", 3),
        ("subscriptions", 1),
        ("events", 40),
        ("payloads", 40),
        ("external_ids", 40),
        ("deliveries", 40),
        ("due", 40),
        ("open", 40),
        ("events_by_tenant", 1),
        ("deliveries_by_tenant", 1),
        ("deliveries_by_subscription", 1),
        // A minute, an hour and a day: of the instance, the event type, the tenant that is left and its subscription.
        ("stats", 12),
        ("state_counts", 1),
    ];
    assert_eq!(rows(world), expected);
}

#[test]
fn freed_space_is_used_again() {
    let mut world = World::new();
    let store = world.store.clone();
    let mut big = event("b");
    big.data = vec![b'1'; 100_000].into();
    let mut sizes = Vec::new();
    for _ in 0..30 {
        for _ in 0..10 {
            world.run(store.accept(vec![big.clone(); 3], None)).unwrap();
        }
        world.wait(100 * DAY + Duration::from_secs(1));
        world.retain();
        world.writer.checkpoint().unwrap();
        sizes.push(world.disk.bytes().len());
    }
    // 90 MB went through it.
    assert!(sizes.iter().all(|size| *size < 3 * sizes[0]), "{sizes:?}");
}
