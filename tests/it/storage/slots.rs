//! Slots are shared: however many receivers hang from one moment to the next, the others go on.

use std::time::Duration;

use waxwing::domain::delivery::State;
use waxwing::domain::id::TenantId;
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
