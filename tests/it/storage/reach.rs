//! Whom an event reaches, and when: channels and scheduled events.

use std::collections::HashSet;
use std::time::Duration;

use waxwing::domain::delivery::{CanceledReason, Delivery, Outcome, RetryReason, State};
use waxwing::domain::event::{Event, NewEvent};
use waxwing::domain::id::{DeliveryId, SubscriptionId};
use waxwing::domain::subscription::{DisabledReason, Subscription};
use waxwing::domain::time::Timestamp;
use waxwing::store::{Change, EventFilter, Recordings};

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
    let tenant = waxwing::domain::id::TenantId::DEFAULT;
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
