//! Slots are shared: however many receivers hang from one moment to the next, the others go on.

use std::num::NonZeroU32;
use std::time::Duration;

use waxwing::domain::delivery::State;
use waxwing::domain::event::NewEvent;
use waxwing::domain::id::TenantId;
use waxwing::domain::setting::SettingName;
use waxwing::domain::subscription::Subscription;
use waxwing::domain::tenant::Tenant;

use super::engine::{Answers, Engine};
use super::world::*;

const HANGING: usize = 1000;
/// For each of them, and as many at once as each is allowed.
const EVENTS: usize = 10;

#[test]
fn a_thousand_receivers_that_were_well_and_hang_from_now_on_leave_slots_to_another() {
    let (mut engine, _) = Engine::new(subscription_to("a"));
    let store = engine.world.store.clone();
    let raise = Box::new(|it: &mut Tenant| {
        it.subscriptions_max = 2 * HANGING as u32;
        Ok(())
    });
    engine.world.run(store.update_tenant(TenantId::DEFAULT, raise, None)).unwrap();
    for _ in 1..HANGING {
        engine.world.subscribe(subscription_to("a"));
    }
    let other = engine.world.subscribe(subscription_to("b")).id;
    engine.tell();
    let publish = |engine: &mut Engine, event_type: &str, count: usize| {
        let store = engine.world.store.clone();
        let published = engine.world.run(store.accept(vec![event(event_type); count], None)).unwrap();
        let events: Vec<_> = published.into_iter().map(|one| one.unwrap().event).collect();
        engine.tell();
        events
    };
    // All are known to be well.
    engine.answers = Answers::Ok;
    publish(&mut engine, "a", 1);
    publish(&mut engine, "b", 1);
    engine.pass(Duration::from_secs(5));
    assert_eq!(engine.sent.len(), HANGING + 1);

    engine.holds_answers = true;
    let mut all = publish(&mut engine, "a", EVENTS);
    let hanging = engine.dispatcher.in_flight();
    assert!(hanging > HANGING, "there is no crowd: {hanging}");
    for round in 0..5 {
        all.extend(publish(&mut engine, "b", 1));
        let last = engine.sent.last().expect("something was sent").delivery;
        assert_eq!(engine.world.delivery(last).subscription, other, "round {round}: it waits for {hanging} that hang");
        // This one answers.
        let answer = engine.held.pop().expect("the newest request");
        engine.holds_answers = false;
        engine.happen(answer);
        engine.holds_answers = true;
    }

    engine.release();
    engine.pass(Duration::from_secs(60));
    assert_eq!(engine.sent.len(), HANGING + 1 + HANGING * EVENTS + 5, "each once");
    let is_done = |event| engine.world.deliveries_of(event).iter().all(|one| one.state == State::Succeeded);
    assert!(all.iter().all(is_done));
    assert_eq!(engine.dispatcher.pending(), None);
    assert_clean(engine.world.check());
}

/// SG-23
#[test]
fn a_tenant_with_many_subscriptions_sends_at_its_own_pace_and_another_at_once() {
    let (mut engine, _) = Engine::new(subscription_to("a"));
    engine.answers = Answers::Ok;
    let store = engine.world.store.clone();
    let limit = |limit| {
        Box::new(move |it: &mut Tenant| {
            it.rate_limit = NonZeroU32::new(limit);
            Ok(())
        })
    };
    engine.world.run(store.update_tenant(TenantId::DEFAULT, limit(5), None)).unwrap();
    for _ in 1..20 {
        engine.world.subscribe(subscription_to("a"));
    }
    let other = engine.world.run(store.create_tenant(tenant("other"), None)).unwrap().id;
    engine.world.subscribe(Subscription { tenant: other, ..subscription_to("a") });
    engine.tell();

    let of_other = vec![NewEvent { tenant: other, ..event("a") }; 10];
    engine.publish(1);
    engine.publish_all(of_other.clone());
    assert_eq!(engine.sent.len(), 1 + 10, "one of the first tenant, and all of the other");
    engine.pass(Duration::from_secs(2));
    assert_eq!(engine.sent.len(), 1 + 10 + 10);
    // A limit that is raised holds from the next one on.
    engine.world.run(store.update_tenant(TenantId::DEFAULT, limit(1000), None)).unwrap();
    engine.pass(Duration::from_millis(300));
    assert_eq!(engine.sent.len(), 20 + 10);

    // Whoever has none of its own has what the instance has.
    let set = vec![(SettingName::DeliveryRate, 2.into())];
    engine.world.run(store.change_settings(set)).unwrap();
    engine.sent.clear();
    engine.publish_all(of_other);
    engine.pass(Duration::from_secs(3));
    assert_eq!(engine.sent.len(), 1 + 6);
    engine.pass(Duration::from_secs(60));
    assert_eq!(engine.sent.len(), 10);
    assert_eq!(engine.dispatcher.pending(), None);
    assert_clean(engine.world.check());
}
