//! Up to where an opening need not look: whatever is published, it follows what was published.

use std::time::Duration;

use waxwing::domain::event::NewEvent;
use waxwing::domain::subscription::{DisabledReason, Subscription};
use waxwing::domain::time::Timestamp;

use super::engine::{Answers, Engine};
use super::world::*;

const SECOND: Duration = Duration::from_secs(1);

fn later(now: Timestamp) -> NewEvent {
    NewEvent { deliver_at: Some(now.plus(DAY)), ..event("a") }
}

/// Events that are all for later once left an opening to look at each of them, however many there were.
#[test]
fn what_is_settled_by_its_own_publication_is_not_looked_at_again_by_an_opening() {
    let gone = Subscription { is_active: false, disabled_reason: Some(DisabledReason::Gone), ..subscription_to("a") };
    let cases = [("scheduled", subscription_to("a"), true), ("canceled at once", gone, false)];
    for (case, subscription, is_scheduled) in cases {
        let (mut engine, _) = Engine::new(subscription);
        for _ in 0..3 {
            let one = if is_scheduled { later(engine.world.now()) } else { event("a") };
            let ids = engine.publish_all(vec![one; 40]);
            engine.pass(SECOND);
            assert_eq!(engine.settled_up_to, ids.last().copied(), "{case}");
        }
        assert_eq!(engine.dispatcher.pending(), None, "{case}");
        assert_clean(engine.world.check());
    }
}

#[test]
fn what_is_fresh_in_memory_holds_the_watermark_below_whatever_comes_after_it() {
    let (mut engine, _) = Engine::new(Subscription { max_in_flight: 1, ..subscription_to("a") });
    engine.answers = Answers::Ok;
    engine.holds_answers = true;
    let fresh = engine.publish(2);
    let scheduled = engine.publish_all(vec![later(engine.world.now()); 3]);
    engine.pass(SECOND);
    assert!(engine.settled_up_to < Some(fresh[0]), "an opening looks at it");
    engine.release();
    engine.pass(SECOND);
    assert_eq!(engine.settled_up_to, scheduled.last().copied());
    assert_clean(engine.world.check());
}
