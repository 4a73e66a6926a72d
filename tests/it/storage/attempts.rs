//! The feed of attempts: each once and in order, filtered, found by its UUID; and tests that are kept.

use std::time::Duration;

use waxwing::domain::attempt_uuid::AttemptUuid;
use waxwing::domain::delivery::{
    AttemptFilter, ErrorClass, ExhaustedReason, Fate, Outcome, RetryReason, ShownState, State,
};
use waxwing::domain::id::{DeliveryId, TenantId};
use waxwing::store::{AttemptMade, Change, Redelivery, StoreError, TEST_RECORDED_WITHIN};

use super::world::*;

/// All pages, one after the other.
fn all_of(world: &World, filter: &AttemptFilter, size: usize) -> Vec<AttemptMade> {
    let (mut rows, mut from) = (Vec::new(), None);
    loop {
        let page = world.store.attempts_made(TenantId::DEFAULT, filter, from, size).unwrap();
        assert!(page.rows.len() <= size);
        rows.extend(page.rows);
        let Some(next) = page.next else { return rows };
        from = Some(next);
    }
}

fn places(rows: &[AttemptMade]) -> Vec<(DeliveryId, u16)> {
    rows.iter().map(|row| (row.delivery.id, row.attempt.number)).collect()
}

fn retrying(world: &World) -> State {
    State::Retrying { next_attempt_at: world.now().plus(DAY), reason: RetryReason::Schedule }
}

const EXHAUSTED: State = State::Exhausted { reason: ExhaustedReason::Schedule };

/// Twelve deliveries, a minute apart, to two subscriptions in turns: 503, then 503, then 200 (every third one), 404 for
/// good, or nothing yet. A thirteenth has no attempt.
fn filled() -> (World, Vec<DeliveryId>) {
    let mut world = World::new();
    let of = ["a", "b"].map(|name| world.subscribe(subscription_to(name)));
    let mut ids = Vec::new();
    for n in 0..13 {
        let published = world.publish(event(if n % 2 == 0 { "a" } else { "b" })).unwrap();
        let delivery = world.deliveries_of(&published.event)[0].clone();
        assert_eq!(delivery.subscription, of[n % 2].id);
        let id = delivery.id;
        ids.push(id);
        if n == 12 {
            break;
        }
        let later = retrying(&world);
        world.try_attempt(id, Outcome::Status(503), later).unwrap();
        world.wait(Duration::from_secs(20));
        match n % 3 {
            0 => {
                let later = retrying(&world);
                let failure = Outcome::Error { class: ErrorClass::Timeout, detail: String::new() };
                world.try_attempt(id, failure, later).unwrap();
                world.wait(Duration::from_secs(20));
                world.succeed(id);
            }
            1 => world.try_attempt(id, Outcome::Status(404), EXHAUSTED).unwrap(),
            _ => {}
        }
        world.wait(Duration::from_secs(60));
    }
    world.index();
    (world, ids)
}

#[test]
fn every_attempt_is_in_the_feed_once_the_newest_delivery_first() {
    let (world, ids) = filled();
    let mut expected = Vec::new();
    for (n, id) in ids[..12].iter().enumerate().rev() {
        let attempts = [3, 2, 1][n % 3];
        expected.extend((1..=attempts).rev().map(|number| (*id, number)));
    }
    for size in [1, 2, 5, 200] {
        assert_eq!(places(&all_of(&world, &AttemptFilter::default(), size)), expected, "pages of {size}");
    }
    let elsewhere = world.store.attempts_made(TenantId::SYSTEM, &AttemptFilter::default(), None, 200).unwrap();
    assert!(elsewhere.rows.is_empty() && elsewhere.next.is_none());
    assert_clean(world.check());
}

#[test]
fn filters_leave_out_exactly_what_they_say() {
    let (world, _) = filled();
    let all = all_of(&world, &AttemptFilter::default(), 200);
    let (start, end) = (all[20].attempt.started_at, all[4].attempt.started_at);
    let subscription = all[0].delivery.subscription;
    type Is<'a> = &'a dyn Fn(&AttemptMade) -> bool;
    let status = |row: &AttemptMade| row.attempt.response.as_ref().map(|response| response.status);
    let none = AttemptFilter::default;
    let cases: [(AttemptFilter, Is<'_>); 10] = [
        (AttemptFilter { subscription: Some(subscription), ..none() }, &|row| {
            row.delivery.subscription == subscription
        }),
        (AttemptFilter { event_type: Some("b".parse().unwrap()), ..none() }, &|row| {
            row.delivery.event_type.as_str() == "b"
        }),
        (AttemptFilter { fate: Some(Fate::Success), ..none() }, &|row| row.attempt.number == 3),
        (AttemptFilter { fate: Some(Fate::Dead), ..none() }, &|row| status(row) == Some(404)),
        (AttemptFilter { fate: Some(Fate::Retry), ..none() }, &|row| status(row) == Some(503) || status(row).is_none()),
        (AttemptFilter { since: Some(start), ..none() }, &|row| row.attempt.started_at >= start),
        (AttemptFilter { until: Some(end), ..none() }, &|row| row.attempt.started_at < end),
        (AttemptFilter { http_status_min: Some(500), ..none() }, &|row| status(row) == Some(503)),
        (AttemptFilter { http_status_max: Some(404), ..none() }, &|row| matches!(status(row), Some(200 | 404))),
        (
            AttemptFilter {
                subscription: Some(subscription),
                fate: Some(Fate::Retry),
                since: Some(start),
                until: Some(end),
                http_status_min: Some(503),
                http_status_max: Some(503),
                ..none()
            },
            &|row| {
                row.delivery.subscription == subscription
                    && (start..end).contains(&row.attempt.started_at)
                    && status(row) == Some(503)
            },
        ),
    ];
    for (filter, is_wanted) in cases {
        let expected: Vec<_> = all.iter().filter(|row| is_wanted(row)).cloned().collect();
        assert!(!expected.is_empty() && expected.len() < all.len(), "{filter:?}");
        for size in [1, 200] {
            assert_eq!(places(&all_of(&world, &filter, size)), places(&expected), "{filter:?}");
        }
    }
}

#[test]
fn a_page_ends_when_it_has_looked_at_enough_and_the_next_one_goes_on() {
    let mut world = World::new();
    world.subscribe(subscription_to("a"));
    let mut published = Vec::new();
    for _ in 0..103 {
        let store = world.store.clone();
        let batch = world.run(store.accept(vec![event("a"); 100], None)).unwrap();
        published.extend(batch.into_iter().map(Result::unwrap));
    }
    let oldest = published[0].event.clone();
    let oldest = world.deliveries_of(&oldest)[0].id;
    world.index();
    world.succeed(oldest);
    let page = world.store.attempts_made(TenantId::DEFAULT, &AttemptFilter::default(), None, 10).unwrap();
    assert!(page.rows.is_empty() && page.next.is_some(), "10,000 of 10,300 deliveries were looked at");
    let page = world.store.attempts_made(TenantId::DEFAULT, &AttemptFilter::default(), page.next, 10).unwrap();
    assert_eq!((places(&page.rows), page.next), (vec![(oldest, 1)], None));
}

#[test]
fn an_attempt_is_found_by_its_uuid_also_of_a_redelivery_and_of_a_deleted_subscription() {
    let mut world = World::new();
    let subscription = world.subscribe(subscription_to("a"));
    let published = world.publish(event("a")).unwrap().event;
    let first = world.deliveries_of(&published)[0].id;
    world.succeed(first);
    let store = world.store.clone();
    let again = Redelivery::To(vec![subscription.id]);
    let again = world.run(store.redeliver(TenantId::DEFAULT, published.id, again, None)).unwrap();
    let second = again.deliveries.last().unwrap().id;
    world.try_attempt(second, Outcome::Status(500), EXHAUSTED).unwrap();
    world.run(store.delete_subscription(subscription.id, None)).unwrap();
    for (id, fate) in [(first, Fate::Success), (second, Fate::Dead)] {
        let uuid = AttemptUuid::of(id, 1);
        let found = world.store.attempt_made(TenantId::DEFAULT, uuid).unwrap().unwrap();
        assert_eq!((found.delivery.id, found.attempt.number, found.fate(), found.uuid()), (id, 1, fate, uuid));
        assert_eq!(found.subscription.url, subscription.url);
        assert!(world.store.attempt_made(TenantId::SYSTEM, uuid).unwrap().is_none(), "another tenant's");
        assert!(world.store.attempt_made(TenantId::DEFAULT, AttemptUuid::of(id, 2)).unwrap().is_none());
    }
}

#[test]
fn what_an_attempt_was_of_is_known_after_retention_removed_what_it_said() {
    let mut world = World::new();
    world.subscribe(subscription_to("a"));
    let published = world.publish(event("a")).unwrap().event;
    let id = world.deliveries_of(&published)[0].id;
    world.succeed(id);
    world.wait(DAY * 31);
    world.retain();
    let uuid = AttemptUuid::of(id, 1);
    assert!(world.store.attempt_made(TenantId::DEFAULT, uuid).unwrap().is_none());
    assert_eq!(world.store.delivery_of_attempt(TenantId::DEFAULT, uuid).unwrap().unwrap().id, id);
    assert!(world.store.delivery_of_attempt(TenantId::DEFAULT, AttemptUuid::of(id, 2)).unwrap().is_none());
    world.wait(DAY * 60);
    world.retain();
    assert!(world.store.delivery_of_attempt(TenantId::DEFAULT, uuid).unwrap().is_none());
}

#[test]
fn a_test_is_kept_and_the_queue_makes_it_only_when_nobody_has() {
    let mut world = World::new();
    let paused = waxwing::domain::subscription::Subscription { is_active: false, ..subscription_to("a") };
    let subscription = world.subscribe(paused);
    let store = world.store.clone();
    let (made, delivery) = world.run(store.begin_test(event("webhook.test"), subscription.id)).unwrap();
    assert_eq!((made.deliveries, world.deliveries_of(&made).len()), (1, 1));
    assert!(!world.changes.iter().any(|change| matches!(change, Change::Accepted(_))), "the queue has it already");
    let due = world.lanes();
    assert_eq!(due, [(subscription.id, world.now().plus(TEST_RECORDED_WITHIN))]);
    // Whoever began it is gone.
    let mut world = world.after_power_cut();
    assert_eq!(world.lanes(), due);
    let store = world.store.clone();
    let failed = attempt(delivery, Outcome::Status(500), world.now());
    world.run(store.record_test(failed)).unwrap();
    world.index();
    assert_eq!(world.lanes(), []);
    let rows = all_of(&world, &AttemptFilter::default(), 10);
    assert_eq!((places(&rows), rows[0].fate()), (vec![(delivery, 1)], Fate::Dead));
    assert_eq!(world.store.shown_state(&world.delivery(delivery)).0, ShownState::Exhausted);

    world.run(store.delete_subscription(subscription.id, None)).unwrap();
    let refused = world.run(store.begin_test(event("webhook.test"), subscription.id));
    assert_eq!(refused.map(drop), Err(StoreError::NotFound));
    world.set_free_bytes(0);
    let refused = world.run(store.begin_test(event("webhook.test"), subscription.id));
    assert_eq!(refused.map(drop), Err(StoreError::StorageFull));
    world.work();
    assert_clean(world.check());
}
