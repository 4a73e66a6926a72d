//! An event goes out again: what that makes, and that it is kept, found and removed like everything else of the event.

use std::time::Duration;

use waxwing::domain::delivery::{CanceledReason, State};
use waxwing::domain::event::{DELIVERIES_MAX, Event};
use waxwing::domain::id::{EventId, SubscriptionId, TenantId};
use waxwing::domain::obstacle::Limited;
use waxwing::domain::subscription::DisabledReason;
use waxwing::store::{Change, DeliveryFilter, Recordings, Redelivered, Redelivery, StoreError};

use super::world::*;

impl World {
    fn redeliver(&mut self, event: EventId, how: Redelivery) -> Result<Redelivered, StoreError> {
        let store = self.store.clone();
        self.run(store.redeliver(TenantId::DEFAULT, event, how, None))
    }

    fn receivers(&self, event: &Event) -> Vec<SubscriptionId> {
        self.deliveries_of(event).iter().map(|delivery| delivery.subscription).collect()
    }
}

#[test]
fn an_event_goes_again_to_all_that_ask_for_it_today() {
    let mut world = World::new();
    let gone_later = world.subscribe(subscription_to("*")).id;
    let first = world.subscribe(subscription_to("a")).id;
    world.subscribe(subscription_to("b"));
    let published = world.publish(event("a")).unwrap().event;
    // A neighbour: nothing came in between.
    let again = world.redeliver(published.id, Redelivery::ToMatching).unwrap();
    assert_eq!((again.made, again.event.deliveries, again.deliveries.len()), (2, 4, 4));
    let Some(Change::Accepted(fresh)) = world.changes.last() else { panic!("{:?}", world.changes) };
    assert_eq!(
        fresh.iter().map(|it| it.delivery).collect::<Vec<_>>(),
        [again.deliveries[2].id, again.deliveries[3].id]
    );
    assert!(fresh.iter().all(|it| it.event.event.id == published.id), "the same webhook-id");
    // And one that is not.
    world.publish(event("a")).unwrap();
    let mut paused = subscription_to("a");
    paused.is_active = false;
    let paused = world.subscribe(paused).id;
    let store = world.store.clone();
    world.run(store.delete_subscription(gone_later, None)).unwrap();
    drop(store);
    let again = world.redeliver(published.id, Redelivery::ToMatching).unwrap();
    assert_eq!((again.made, again.event.deliveries), (2, 6));
    assert_eq!(world.receivers(&again.event), [gone_later, first, gone_later, first, first, paused]);

    world.index();
    let filter = DeliveryFilter { event: Some(published.id), ..DeliveryFilter::default() };
    for filter in [filter.clone(), DeliveryFilter { since: Some(published.created_at), ..filter }] {
        let page = world.store.deliveries(TenantId::DEFAULT, &filter, newest(10)).unwrap();
        let mut ids = ids_of(&page, |delivery| delivery.id);
        ids.reverse();
        assert_eq!(ids, again.deliveries.iter().map(|delivery| delivery.id).collect::<Vec<_>>());
    }
    let mut world = world.after_power_cut();
    world.work();
    assert_eq!(world.store.event(published.id).unwrap().unwrap().deliveries, 6);
    let due = |world: &World, id| world.store.due(id, &[], world.now(), &Default::default(), 10).unwrap().0.len();
    assert_eq!((due(&world, first), due(&world, paused)), (4, 1), "one of them of the other event");
    assert_clean(world.check());
}

#[test]
fn only_the_named_get_it_and_each_must_be_there() {
    let mut world = World::new();
    let wanted = world.subscribe(subscription_to("a")).id;
    let other_type = world.subscribe(subscription_to("b")).id;
    let gone = world.subscribe(subscription_to("a")).id;
    let published = world.publish(event("a")).unwrap().event;
    world.record(Recordings { disabled: vec![(gone, DisabledReason::Gone)], ..Recordings::default() });
    let again = world.redeliver(published.id, Redelivery::To(vec![other_type, gone])).unwrap();
    assert_eq!((again.made, world.receivers(&again.event)), (2, vec![wanted, gone, other_type, gone]));
    let ended = State::Canceled { reason: CanceledReason::SubscriptionGone };
    assert_eq!(again.deliveries[3].state, ended);
    let Some(Change::Accepted(fresh)) = world.changes.last() else { panic!("{:?}", world.changes) };
    assert_eq!(fresh.len(), 1, "nobody is there to get the other one");

    let unknown = SubscriptionId::from_u128(1);
    for how in [Redelivery::To(vec![wanted, unknown]), Redelivery::AsNewEvent(vec![unknown])] {
        assert_eq!(world.redeliver(published.id, how).unwrap_err(), StoreError::NotFound);
    }
    let none = world.redeliver(EventId::from_u128(1), Redelivery::ToMatching);
    assert_eq!(none.unwrap_err(), StoreError::NotFound);
    let store = world.store.clone();
    let stranger = world.run(store.create_tenant(tenant("acme"), None)).unwrap().id;
    let foreign = world.run(store.redeliver(stranger, published.id, Redelivery::ToMatching, None));
    assert_eq!(foreign.unwrap_err(), StoreError::NotFound);
    assert_eq!(world.deliveries_of(&world.store.event(published.id).unwrap().unwrap()).len(), 4);
    drop(store);
    assert_clean(world.check());
}

#[test]
fn as_a_new_event_it_has_its_own_id_and_the_same_data() {
    let mut world = World::new();
    let receiver = world.subscribe(subscription_to("a")).id;
    world.subscribe(subscription_to("*"));
    let mut old = event_with_external_id("a", "order-1");
    old.data = r#"{ "n": 1.0 }"#.into();
    let old = world.publish(old).unwrap().event;
    world.wait(Duration::from_secs(60));
    let new = world.redeliver(old.id, Redelivery::AsNewEvent(vec![receiver])).unwrap();
    let Event { event_type, external_id, occurred_at, created_at, .. } = new.event.clone();
    assert_eq!((event_type.as_str(), external_id, occurred_at), ("a", None, old.occurred_at));
    assert_eq!((created_at, new.made, new.event.deliveries), (world.now(), 1, 1));
    assert!(new.event.id > old.id);
    assert_eq!(new.event.replay_of, Some(old.id));
    assert_eq!(&world.store.event_data(new.event.id).unwrap().unwrap()[..], br#"{ "n": 1.0 }"#);
    assert_eq!(world.receivers(&new.event), [receiver]);
    assert_eq!(world.store.event(old.id).unwrap(), Some(old), "it stays as it was");
    assert_clean(world.check());
}

#[test]
fn what_retention_removed_cannot_go_again_and_all_of_an_event_goes_together() {
    let mut world = World::new();
    world.subscribe(subscription_to("a"));
    let published = world.publish(event("a")).unwrap().event;
    let other = world.publish(event("a")).unwrap().event;
    let again = world.redeliver(published.id, Redelivery::ToMatching).unwrap();
    for delivery in again.deliveries.iter().take(1).chain(&world.deliveries_of(&other)) {
        world.succeed(delivery.id);
    }
    world.wait(40 * DAY);
    world.retain();
    assert!(world.store.event_data(published.id).unwrap().is_some(), "one of its deliveries is open");
    assert_eq!(world.store.event_data(other.id).unwrap(), None);
    assert_eq!(world.redeliver(other.id, Redelivery::ToMatching).unwrap_err(), StoreError::PayloadExpired);
    world.succeed(again.deliveries[1].id);
    world.wait(100 * DAY);
    world.retain();
    assert_eq!(world.store.event(published.id).unwrap(), None);
    assert_eq!(world.store.sizes().deliveries, 0);
    world.fold();
    let report = world.check();
    assert!(report.is_clean(), "{report:#?}");
    let left: Vec<_> = report.tables.iter().filter(|table| table.rows > 0).map(|table| table.name).collect();
    assert_eq!(left, ["meta", "tenants", "subscriptions", "stats", "state_counts"]);
}

#[test]
fn redeliveries_go_with_their_tenant_in_steps() {
    let mut world = World::new();
    let store = world.store.clone();
    let doomed = world.run(store.create_tenant(tenant("acme"), None)).unwrap().id;
    for _ in 0..40 {
        let mut of_doomed = subscription_to("*");
        of_doomed.tenant = doomed;
        world.subscribe(of_doomed);
    }
    let mut elsewhere = event("a");
    elsewhere.tenant = doomed;
    let published = world.publish(elsewhere.clone()).unwrap().event;
    world.publish(elsewhere).unwrap();
    for _ in 0..20 {
        world.run(store.redeliver(doomed, published.id, Redelivery::ToMatching, None)).unwrap();
    }
    world.run(store.delete_tenant(doomed, None)).unwrap();
    drop(store);
    let mut steps = 0;
    while world.writer.work_pass().unwrap() {
        steps += 1;
        world = world.after_power_cut();
        assert_clean(check_disk(&world.disk.copy(steps)));
    }
    assert!(steps > 2, "{steps} steps");
    let report = world.check();
    assert!(report.is_clean(), "{report:#?}");
    let left: Vec<_> = report.tables.iter().filter(|table| table.rows > 0).map(|table| table.name).collect();
    assert_eq!(left, ["meta", "tenants", "stats"], "what the instance did stays counted");
}

#[test]
fn an_event_has_only_so_many_deliveries() {
    let mut world = World::new();
    let receiver = world.subscribe(subscription_to("a")).id;
    let published = world.publish(event("a")).unwrap().event;
    let rest = vec![receiver; DELIVERIES_MAX as usize - 1];
    world.redeliver(published.id, Redelivery::To(rest)).unwrap();
    let one_more = world.redeliver(published.id, Redelivery::To(vec![receiver]));
    assert_eq!(
        one_more.unwrap_err(),
        StoreError::LimitExceeded { max: DELIVERIES_MAX, of_what: Limited::EventDeliveries }
    );
    world.redeliver(published.id, Redelivery::AsNewEvent(vec![receiver])).unwrap();
    assert_eq!(world.store.sizes().deliveries, u64::from(DELIVERIES_MAX) + 1);
}
