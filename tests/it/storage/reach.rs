//! Whom an event reaches, and when: channels, restricted keys and scheduled events; and what such a key sees.

use std::collections::HashSet;
use std::time::Duration;

use waxwing::domain::delivery::{CanceledReason, Delivery, Outcome, RetryReason, State};
use waxwing::domain::event::{Event, NewEvent};
use waxwing::domain::id::{DeliveryId, KeyId, SubscriptionId, TenantId};
use waxwing::domain::job::JobKind;
use waxwing::domain::key::ApiKey;
use waxwing::domain::restriction::Restriction;
use waxwing::domain::subscription::{DisabledReason, Owner, Subscription};
use waxwing::domain::time::Timestamp;
use waxwing::store::{Change, DeliveryFilter, EventFilter, ROWS_WALKED_MAX, Reach, Recordings};

use super::world::*;

const HOUR: Duration = Duration::from_secs(3600);

fn listening_to(channels: &[&str]) -> Subscription {
    Subscription { channels: channels.iter().map(|text| text.parse().unwrap()).collect(), ..subscription_to("*") }
}

fn on_channels(channels: &[&str]) -> NewEvent {
    NewEvent { channels: channels.iter().map(|text| text.parse().unwrap()).collect(), ..event("a") }
}

fn at(deliver_at: Timestamp) -> NewEvent {
    NewEvent { deliver_at: Some(deliver_at), ..event("a") }
}

fn due(world: &World, subscription: SubscriptionId, until: Timestamp) -> Vec<DeliveryId> {
    let (due, _) = world.store.due(subscription, &[], until, &HashSet::new(), 10).unwrap();
    due.into_iter().map(|due| due.delivery.id).collect()
}

fn only(mut deliveries: Vec<Delivery>) -> Delivery {
    assert_eq!(deliveries.len(), 1);
    deliveries.remove(0)
}

#[test]
fn a_subscription_with_channels_gets_only_events_that_share_one() {
    let mut world = World::new();
    let all = world.subscribe(listening_to(&[])).id;
    let shop = world.subscribe(listening_to(&["shop:1", "eu"])).id;
    let other = world.subscribe(listening_to(&["shop:2"])).id;
    let mut wrong_type = listening_to(&["shop:1"]);
    wrong_type.events = vec!["b".parse().unwrap()];
    world.subscribe(wrong_type);
    let mut world = world.after_power_cut();
    for (channels, expected) in [
        (&[] as &[&str], vec![all]),
        (&["shop:1"], vec![all, shop]),
        (&["shop:2", "eu"], vec![all, shop, other]),
        (&["SHOP:1", "shop"], vec![all]),
    ] {
        let published = world.publish(on_channels(channels)).unwrap();
        let got: Vec<_> = world.deliveries_of(&published.event).iter().map(|one| one.subscription).collect();
        assert_eq!(got, expected, "{channels:?}");
        assert_eq!(world.store.event(published.event.id).unwrap(), Some(published.event));
    }
    assert_clean(world.check());
}

fn restriction(events: &[&str], channels: &[&str]) -> Restriction {
    Restriction {
        allowed_events: events.iter().map(|text| text.parse().unwrap()).collect(),
        channels: channels.iter().map(|text| text.parse().unwrap()).collect(),
    }
}

/// A subscription to everything that a restricted key made.
fn owned_by(id: KeyId, restriction: &Restriction) -> Subscription {
    Subscription { owner: Owner::Key { id, restriction: Box::new(restriction.clone()) }, ..subscription_to("*") }
}

fn of_type_on(event_type: &str, channels: &[&str]) -> NewEvent {
    NewEvent { channels: on_channels(channels).channels, ..event(event_type) }
}

#[test]
fn a_subscription_of_a_restricted_key_gets_what_is_within_also_when_the_key_is_gone() {
    let mut world = World::new();
    let store = world.store.clone();
    let held_to = restriction(&["order.*"], &["eu", "us"]);
    let restricted = ApiKey { restriction: held_to.clone(), ..key("k", Some(TenantId::DEFAULT)) };
    let made = world.run(store.create_key(restricted, None)).unwrap();
    assert_eq!(made.restriction, held_to);
    let all = world.subscribe(subscription_to("*")).id;
    let wide = world.subscribe(owned_by(made.id, &held_to)).id;
    // Its patterns and those of the restriction have only a part in common; so have the channels.
    let events = vec!["order.paid".parse().unwrap(), "user.*".parse().unwrap()];
    let channels = on_channels(&["us", "asia"]).channels;
    let partly = world.subscribe(Subscription { events, channels, ..owned_by(made.id, &held_to) }).id;
    let expect_of_all = |world: &mut World| {
        for (event_type, channels, expected) in [
            ("order.paid", &["eu"] as &[&str], vec![all, wide]),
            ("order.paid", &["us"], vec![all, wide, partly]),
            ("order.paid", &["asia"], vec![all]),
            ("order.paid", &[], vec![all]),
            ("order.sent", &["us"], vec![all, wide]),
            ("user.left", &["us"], vec![all]),
            ("order", &["us"], vec![all]),
        ] {
            let event = world.publish(of_type_on(event_type, channels)).unwrap().event;
            let got: Vec<_> = world.deliveries_of(&event).iter().map(|one| one.subscription).collect();
            assert_eq!(got, expected, "{event_type} {channels:?}");
        }
    };
    expect_of_all(&mut world);
    world.run(store.revoke_key(made.id)).unwrap();
    expect_of_all(&mut world);
    drop(store);
    let mut world = world.after_power_cut();
    expect_of_all(&mut world);
    // Nobody can take the owner away.
    let store = world.store.clone();
    let edit = Box::new(|it: &mut Subscription| {
        it.owner = Owner::Tenant;
        Ok(())
    });
    let edited = world.run(store.update_subscription(wide, edit, None)).unwrap();
    assert_eq!(edited.owner.key(), Some(made.id));
    expect_of_all(&mut world);
    drop(store);
    assert_clean(world.check());
}

#[test]
fn a_restricted_key_sees_and_changes_what_its_subscriptions_got() {
    let mut world = World::new();
    let id = KeyId::from_u128(77);
    let reach = Reach { tenant: TenantId::DEFAULT, key: Some(id) };
    let held_to = restriction(&[], &["eu"]);
    let own = world.subscribe(owned_by(id, &held_to)).id;
    let deleted = world.subscribe(owned_by(id, &held_to)).id;
    world.subscribe(owned_by(KeyId::from_u128(78), &held_to));
    world.subscribe(subscription_to("*"));
    let events: Vec<Event> = [&["eu"] as &[&str], &["us"], &["us", "eu"]]
        .map(|channels| world.publish(on_channels(channels)).unwrap().event)
        .into();
    let store = world.store.clone();
    world.run(store.delete_subscription(deleted, None)).unwrap();
    world.work();
    world.index();
    for is_after_power_cut in [false, true] {
        if is_after_power_cut {
            world = world.after_power_cut();
        }
        let page = world.store.events(reach, &EventFilter::default(), newest(10)).unwrap();
        assert_eq!(ids_of(&page, |event: &Event| event.id), [events[2].id, events[0].id]);
        assert_eq!(page.rows[0].deliveries, 2, "of the four");
        let unmatched = EventFilter { unmatched: Some(true), ..EventFilter::default() };
        assert!(world.store.events(reach, &unmatched, newest(10)).unwrap().rows.is_empty());
        let page = world.store.deliveries(reach, &DeliveryFilter::default(), newest(10)).unwrap();
        let seen: Vec<_> = page.rows.iter().map(|delivery| delivery.subscription).collect();
        assert_eq!(seen, [deleted, own, deleted, own]);
        for event in &events {
            for delivery in world.deliveries_of(event) {
                let is_own = [own, deleted].contains(&delivery.subscription);
                assert_eq!(world.store.reaches(reach, &delivery).unwrap(), is_own);
            }
        }
    }
    let store = world.store.clone();
    let everything = JobKind::Cancel(DeliveryFilter::default());
    assert_eq!(world.store.count_for_job(reach, &everything).unwrap().matched, 2);
    let job = world.run(store.start_job(reach, everything.clone(), None)).unwrap();
    // It goes on after a power cut, and still knows whose it is.
    let mut world = {
        drop(store);
        world.after_power_cut()
    };
    world.work();
    let job = world.store.job(job.id).unwrap().unwrap();
    assert_eq!((job.key, job.counted, job.done), (Some(id), 2, 2));
    let store = world.store.clone();
    world.run(store.start_job(TenantId::DEFAULT, everything, None)).unwrap();
    assert_eq!(world.store.jobs(reach).unwrap(), [job]);
    assert_eq!(world.store.jobs(TenantId::DEFAULT).unwrap().len(), 2);
    drop(store);
    assert_clean(world.check());
}

#[test]
fn a_page_of_a_restricted_key_counts_the_deliveries_that_it_looks_at() {
    const FAN_OUT: usize = 40;
    let mut world = World::new();
    for _ in 0..FAN_OUT {
        world.subscribe(subscription_to("*"));
    }
    let count = ROWS_WALKED_MAX / FAN_OUT;
    let store = world.store.clone();
    world.run(store.accept(vec![event("a"); count], None)).unwrap();
    drop(store);
    world.index();
    let reach = Reach { tenant: TenantId::DEFAULT, key: Some(KeyId::from_u128(77)) };
    let first = world.store.events(reach, &EventFilter::default(), newest(10)).unwrap();
    assert!(first.rows.is_empty() && first.next.is_some(), "it gives up, and says where it goes on");
    let all = world.store.events(TenantId::DEFAULT, &EventFilter::default(), newest(count + 1)).unwrap();
    assert_eq!((all.rows.len(), all.next), (count, None));
}

#[test]
fn channels_that_change_count_from_the_next_event_on() {
    let mut world = World::new();
    let id = world.subscribe(listening_to(&["eu"])).id;
    let deliveries = |world: &mut World| world.publish(on_channels(&["us"])).unwrap().event.deliveries;
    assert_eq!(deliveries(&mut world), 0);
    for (channels, expected) in [(&["us"] as &[&str], 1), (&["eu"], 0), (&[], 1)] {
        let channels = listening_to(channels).channels;
        let edit = Box::new(move |it: &mut Subscription| {
            it.channels = channels;
            Ok(())
        });
        let store = world.store.clone();
        world.run(store.update_subscription(id, edit, None)).unwrap();
        assert_eq!(deliveries(&mut world), expected);
    }
}

#[test]
fn events_are_listed_by_channel() {
    let mut world = World::new();
    let ids: Vec<_> = [&["eu"] as &[&str], &[], &["us", "eu"], &["us"]]
        .map(|channels| world.publish(on_channels(channels)).unwrap().event.id)
        .into();
    world.index();
    let filter = EventFilter { channel: Some("eu".parse().unwrap()), ..EventFilter::default() };
    let tenant = TenantId::DEFAULT;
    let page = world.store.events(tenant, &filter, newest(10)).unwrap();
    assert_eq!(ids_of(&page, |event: &Event| event.id), [ids[2], ids[0]]);
}

#[test]
fn a_scheduled_event_waits_on_disk_until_its_time_also_after_a_power_cut() {
    let mut world = World::new();
    let subscription = world.subscribe(subscription_to("*")).id;
    world.changes.clear();
    let deliver_at = world.now().plus(HOUR);
    let event = world.publish(at(deliver_at)).unwrap().event;
    assert_eq!(event.deliver_at, Some(deliver_at));
    // It is told as due, not handed over: it would take up memory for up to 30 days.
    let [Change::Scheduled(told, told_at), Change::Settled(_)] = world.changes[..] else {
        panic!("{:?}", world.changes)
    };
    assert_eq!((told, told_at), (subscription, deliver_at));

    for is_after_power_cut in [false, true] {
        if is_after_power_cut {
            world = world.after_power_cut();
        }
        let delivery = only(world.deliveries_of(&event));
        assert_eq!(delivery.state, State::Pending { next_attempt_at: deliver_at });
        assert_eq!(world.lanes(), [(subscription, deliver_at)]);
        assert!(due(&world, subscription, deliver_at.minus(Duration::from_millis(1))).is_empty());
        assert_eq!(due(&world, subscription, deliver_at), [delivery.id]);
        assert_eq!(world.store.event(event.id).unwrap().as_ref(), Some(&event));
    }
    let id = only(world.deliveries_of(&event)).id;
    world.wait(HOUR);
    world.succeed(id);
    assert!(world.lanes().is_empty());
    assert_clean(world.check());
}

#[test]
fn a_time_that_has_passed_means_now() {
    let mut world = World::new();
    world.subscribe(subscription_to("*"));
    for ago in [Duration::ZERO, HOUR] {
        let event = world.publish(at(world.now().minus(ago))).unwrap().event;
        assert_eq!(event.deliver_at, None);
        assert_eq!(only(world.deliveries_of(&event)).state, State::Pending { next_attempt_at: world.now() });
        assert!(matches!(world.changes.last(), Some(Change::Accepted(fresh)) if fresh.len() == 1));
    }
    assert_clean(world.check());
}

#[test]
fn who_gets_a_scheduled_event_is_decided_when_it_is_published() {
    let mut world = World::new();
    let gone = world.subscribe(subscription_to("*")).id;
    world.record(Recordings { disabled: vec![(gone, DisabledReason::Gone)], ..Recordings::default() });
    let early = world.subscribe(subscription_to("*")).id;
    let deliver_at = world.now().plus(HOUR);
    let event = world.publish(at(deliver_at)).unwrap().event;
    world.subscribe(subscription_to("*"));
    world.wait(HOUR);
    let deliveries = world.deliveries_of(&event);
    let got: Vec<_> = deliveries.iter().map(|delivery| (delivery.subscription, delivery.state)).collect();
    assert_eq!(
        got,
        [
            (gone, State::Canceled { reason: CanceledReason::SubscriptionGone }),
            (early, State::Pending { next_attempt_at: deliver_at }),
        ]
    );
    assert_clean(world.check());
}

#[test]
fn a_scheduled_delivery_ends_with_its_subscription_and_goes_early_when_somebody_asks() {
    let mut world = World::new();
    let deleted = world.subscribe(subscription_to("*")).id;
    let event = world.publish(at(world.now().plus(HOUR))).unwrap().event;
    let store = world.store.clone();
    world.run(store.delete_subscription(deleted, None)).unwrap();
    world.work();
    assert_eq!(
        only(world.deliveries_of(&event)).state,
        State::Canceled { reason: CanceledReason::SubscriptionDeleted }
    );
    assert!(world.lanes().is_empty());

    let subscription = world.subscribe(subscription_to("*")).id;
    let event = world.publish(at(world.now().plus(HOUR))).unwrap().event;
    let id = only(world.deliveries_of(&event)).id;
    let now = world.now();
    assert_eq!(world.run(store.retry_delivery(id, None)).unwrap().state, State::Pending { next_attempt_at: now });
    assert_eq!(world.lanes(), [(subscription, now)]);
    let next_attempt_at = now.plus(HOUR);
    let retrying = State::Retrying { next_attempt_at, reason: RetryReason::Schedule };
    world.try_attempt(id, Outcome::Status(500), retrying).unwrap();
    assert_eq!(world.lanes(), [(subscription, next_attempt_at)]);
    drop(store);
    assert_clean(world.check());
}
