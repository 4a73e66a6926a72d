//! What waits for a paused subscription: so many, for so long, and then in order.

use std::collections::HashSet;
use std::time::Duration;

use waxwing::domain::delivery::{CanceledReason, Delivery, ExpiredReason, ShownState, State};
use waxwing::domain::id::{DeliveryId, EventId, SubscriptionId, TenantId};
use waxwing::domain::job::JobKind;
use waxwing::domain::obstacle::Limited;
use waxwing::domain::subscription::{DisabledReason, Subscription};
use waxwing::domain::time::Timestamp;
use waxwing::store::{BACKLOG_AGE_MAX, BACKLOG_MAX, Change, DeliveryFilter, Recordings, StoreError};

use super::engine::{Answers, Engine};
use super::world::*;

/// Events of one publication.
const BATCH: usize = 1000;

fn paused() -> (Engine, SubscriptionId) {
    let (engine, subscription) = Engine::new(Subscription { is_active: false, ..subscription_to("a") });
    (engine, subscription.id)
}

/// Publishes without looking at each delivery; answers with the first and the last of them.
fn publish(engine: &mut Engine, count: usize) -> [DeliveryId; 2] {
    let store = engine.world.store.clone();
    let published = engine.world.run(store.accept(vec![event("a"); count], None)).unwrap();
    let ends = [0, count - 1].map(|place| {
        let event = &published[place].as_ref().unwrap().event;
        engine.world.deliveries_of(event)[0].id
    });
    engine.tell();
    ends
}

fn event_of(engine: &Engine, delivery: DeliveryId) -> Option<EventId> {
    Some(engine.world.delivery(delivery).event)
}

/// Deliveries of which viewers were told that they are in this state now.
fn told(changes: &[Change], state: State) -> Vec<DeliveryId> {
    let moved = changes.iter().filter_map(|change| match change {
        Change::Moved(delivery) => Some(Delivery::clone(delivery)),
        _ => None,
    });
    moved.filter(|delivery| delivery.state == state).map(|delivery| delivery.id).collect()
}

fn resume(engine: &mut Engine, id: SubscriptionId) {
    let store = engine.world.store.clone();
    let resume = Box::new(|it: &mut Subscription| {
        it.is_active = true;
        Ok::<_, StoreError>(())
    });
    engine.world.run(store.update_subscription(id, resume, None)).unwrap();
    engine.tell();
}

/// One whole pass over old backlogs; answers how many steps it took.
fn expire(engine: &mut Engine) -> usize {
    let mut steps = 1;
    while engine.world.writer.backlog_pass().unwrap() {
        steps += 1;
    }
    engine.tell();
    steps
}

fn listed(engine: &mut Engine, state: ShownState) -> Vec<DeliveryId> {
    engine.world.index();
    let filter = DeliveryFilter { state: Some(state), ..DeliveryFilter::default() };
    let page = engine.world.store.deliveries(TenantId::DEFAULT, &filter, newest(100)).unwrap();
    ids_of(&page, |delivery| delivery.id)
}

#[test]
fn the_one_beyond_a_full_backlog_expires_at_once_and_is_listed() {
    let (mut engine, id) = paused();
    let full = BACKLOG_MAX as usize;
    let mut first = None;
    let mut last_in = None;
    for _ in 0..full / BATCH {
        let [oldest, newest] = publish(&mut engine, BATCH);
        first = first.or(Some(oldest));
        last_in = Some(newest);
        engine.pass(Duration::from_millis(50));
    }
    let [beyond, _] = publish(&mut engine, 1);
    engine.pass(Duration::from_secs(1));
    let expired = State::Expired { reason: ExpiredReason::BacklogFull };
    assert_eq!(engine.world.delivery(beyond).state, expired);
    let is_open = |engine: &Engine, id: Option<DeliveryId>| {
        matches!(engine.world.delivery(id.unwrap()).state, State::Pending { .. })
    };
    assert!(is_open(&engine, first) && is_open(&engine, last_in), "the last that has a place waits");
    assert_eq!(listed(&mut engine, ShownState::Expired), [beyond]);
    assert_eq!(engine.world.store.sizes().deliveries_due, u64::from(BACKLOG_MAX));

    // What is asked for again finds no place either, and stays what it is.
    let everything = || JobKind::Recover { subscription: id, since: Timestamp::MIN };
    assert_eq!(engine.finish(everything()), [1, 0, 1]);
    assert_eq!(
        engine.finish(JobKind::Retry(DeliveryFilter { event: event_of(&engine, beyond), ..DeliveryFilter::default() })),
        [1, 0, 1]
    );
    let store = engine.world.store.clone();
    let refused = engine.world.run(store.retry_delivery(beyond, None)).unwrap_err();
    assert_eq!(refused, StoreError::LimitExceeded { max: BACKLOG_MAX, of_what: Limited::Backlog });
    assert_eq!(engine.world.delivery(beyond).state, expired);
    assert_eq!(engine.world.store.sizes().deliveries_due, u64::from(BACKLOG_MAX));
    // What has its place keeps it.
    engine.world.run(store.retry_delivery(last_in.unwrap(), None)).unwrap();
    engine.tell();

    // A place that becomes free is seen within a minute.
    engine.world.run(store.cancel_delivery(first.unwrap(), None)).unwrap();
    engine.tell();
    engine.pass(Duration::from_secs(61));
    let [takes_the_place, too_many] = publish(&mut engine, 2);
    engine.pass(Duration::from_secs(1));
    assert!(is_open(&engine, Some(takes_the_place)));
    assert_eq!(engine.world.delivery(too_many).state, expired);
    engine.world.run(store.cancel_delivery(takes_the_place, None)).unwrap();
    engine.tell();
    engine.pass(Duration::from_secs(61));
    assert_eq!(engine.finish(everything()), [2, 1, 1], "one place, one more that waits");
    assert_eq!(engine.world.store.sizes().deliveries_due, u64::from(BACKLOG_MAX));

    // A power cut loses neither the count nor the rows.
    engine.world = engine.world.after_power_cut();
    let store = engine.world.store.clone();
    let published = engine.world.run(store.accept(vec![event("a")], None)).unwrap();
    let event = published[0].as_ref().unwrap().event.clone();
    assert_eq!(engine.world.deliveries_of(&event)[0].state, expired);
    let (due, _) = engine.world.store.due(id, &[], engine.world.now(), &HashSet::new(), 10).unwrap();
    assert_eq!(due.len(), 10);
    drop(store);
    assert_clean(engine.world.check());
}

#[test]
fn what_waited_for_a_week_expires_and_the_rest_goes_out_in_the_order_of_ids_when_it_is_resumed() {
    let (mut engine, id) = paused();
    let old = engine.publish(700);
    engine.pass(Duration::from_secs(5));
    engine.world.wait(3 * DAY);
    let young = engine.publish(700);
    engine.pass(Duration::from_secs(5));

    // A moment before the week is over nothing happens.
    engine.world.wait(BACKLOG_AGE_MAX - 3 * DAY - Duration::from_secs(60));
    assert_eq!(expire(&mut engine), 1);
    assert_eq!(listed(&mut engine, ShownState::Expired), []);
    engine.world.wait(Duration::from_secs(120));
    assert!(expire(&mut engine) > 1, "it goes in bounded steps");
    let expired = State::Expired { reason: ExpiredReason::BacklogAge };
    assert!(old.iter().all(|id| engine.world.delivery(*id).state == expired));
    assert!(young.iter().all(|id| matches!(engine.world.delivery(*id).state, State::Pending { .. })));
    let newest_first: Vec<DeliveryId> = old.iter().rev().take(100).copied().collect();
    assert_eq!(listed(&mut engine, ShownState::Expired), newest_first);

    engine.answers = Answers::Ok;
    assert_eq!(engine.sent, [], "it was paused");
    resume(&mut engine, id);
    engine.pass(Duration::from_secs(60));
    let sent: Vec<DeliveryId> = engine.sent.iter().map(|sent| sent.delivery).collect();
    assert_eq!(sent, young, "each once, in the order of ids");
    assert!(young.iter().all(|id| engine.world.delivery(*id).state == State::Succeeded));
    assert_eq!(expire(&mut engine), 1, "an active one keeps what it has");
    assert_clean(engine.world.check());
}

#[test]
fn whoever_watches_is_told_of_each_delivery_that_ends_in_bulk() {
    let (mut engine, id) = paused();
    let too_old = engine.publish(600);
    engine.pass(Duration::from_secs(5));
    engine.world.wait(BACKLOG_AGE_MAX + Duration::from_secs(60));
    while engine.world.writer.backlog_pass().unwrap() {}
    let changes = engine.world.writer.step().changes;
    assert_eq!(told(&changes, State::Expired { reason: ExpiredReason::BacklogAge }), too_old);

    let deleted = engine.publish(600);
    let store = engine.world.store.clone();
    engine.world.run(store.delete_subscription(id, None)).unwrap();
    engine.world.work();
    let changes = engine.world.writer.step().changes;
    assert_eq!(told(&changes, State::Canceled { reason: CanceledReason::SubscriptionDeleted }), deleted);
    assert_clean(engine.world.check());

    let gone = Subscription { is_active: false, disabled_reason: Some(DisabledReason::Gone), ..subscription_to("a") };
    let mut world = World::new();
    world.subscribe(gone);
    let event = world.publish(event("a")).unwrap().event;
    let at_birth = world.deliveries_of(&event)[0].id;
    assert_eq!(told(&world.changes, State::Canceled { reason: CanceledReason::SubscriptionGone }), [at_birth]);
}

/// Nobody was told of those that were on their way to the disk when their subscription was deleted.
#[test]
fn whoever_watches_is_told_of_each_delivery_that_ends_on_its_way_to_the_disk() {
    let mut world = World::new();
    let id = world.subscribe(Subscription { is_active: false, ..subscription_to("a") }).id;
    let event = world.publish(event("a")).unwrap().event;
    let fresh = world.deliveries_of(&event)[0].id;
    let store = world.store.clone();
    world.run(store.delete_subscription(id, None)).unwrap();
    world.wait(Duration::from_secs(1));
    world.record(Recordings { parked: vec![fresh], ..Recordings::default() });
    assert_eq!(told(&world.changes, State::Canceled { reason: CanceledReason::SubscriptionDeleted }), [fresh]);
    assert_eq!(world.delivery(fresh).updated_at, world.now());
    world.work();
    world.changes.extend(world.writer.step().changes);
    assert_eq!(told(&world.changes, State::Canceled { reason: CanceledReason::SubscriptionDeleted }), [fresh]);
    assert_clean(world.check());
}

/// What was on its way to the disk when the subscription was paused once had its place twice.
#[test]
fn what_is_not_yet_in_the_queue_on_disk_has_its_place_in_a_backlog() {
    let mut world = World::new();
    let id = world.subscribe(subscription_to("a")).id;
    world.subscribe(subscription_to("b"));
    let store = world.store.clone();
    for event_type in ["a", "b", "a"] {
        world.run(store.accept(vec![event(event_type); BATCH], None)).unwrap();
    }
    let pause = Box::new(|it: &mut Subscription| {
        it.is_active = false;
        Ok::<_, StoreError>(())
    });
    world.run(store.update_subscription(id, pause, None)).unwrap();
    assert_eq!(world.store.sizes().deliveries_due, 0);
    let mut left = BACKLOG_MAX as usize - 2 * BATCH;
    while left > 0 {
        let count = left.min(BATCH);
        world.run(store.accept(vec![event("a"); count], None)).unwrap();
        left -= count;
    }
    let published = world.run(store.accept(vec![event("a")], None)).unwrap();
    let beyond = &world.deliveries_of(&published[0].as_ref().unwrap().event)[0];
    assert_eq!(beyond.state, State::Expired { reason: ExpiredReason::BacklogFull });
}
