//! What a person asks for again, carried out by the real dispatcher: so many attempts, and not one more or less.

use std::collections::HashMap;
use std::time::Duration;

use waxwing::domain::delivery::{CanceledReason, ExhaustedReason, State, Trigger};
use waxwing::domain::id::DeliveryId;
use waxwing::domain::job::JobKind;
use waxwing::domain::profile::Profile;
use waxwing::domain::subscription::{DeliveryOrder, Subscription};
use waxwing::domain::time::Timestamp;
use waxwing::store::DeliveryFilter;

use super::engine::{Answers, Engine};
use super::world::*;

/// Four attempts, and no circuit.
fn engine() -> (Engine, Subscription) {
    Engine::new(Subscription { profile: Profile::Mage, circuit_breaker: false, ..subscription_to("a") })
}

const EXHAUSTED: State = State::Exhausted { reason: ExhaustedReason::Schedule };

#[test]
fn a_recovery_after_an_outage_delivers_every_failed_delivery_exactly_once() {
    let (mut engine, subscription) = engine();
    let failed = engine.outage(1000);
    engine.answers = Answers::Ok;
    let fine = engine.publish(10);
    engine.pass(Duration::from_secs(60));
    assert_eq!(engine.sent.len(), 10);
    engine.sent.clear();
    let recover = JobKind::Recover { subscription: subscription.id, since: Timestamp::MIN };
    assert_eq!(engine.finish(recover), [1000, 1000, 0]);
    engine.pass(Duration::from_secs(60));
    let mut times: HashMap<DeliveryId, usize> = HashMap::new();
    for sent in &engine.sent {
        *times.entry(sent.delivery).or_default() += 1;
    }
    assert!(failed.iter().all(|id| times.get(id) == Some(&1)), "{times:?}");
    assert_eq!(times.len(), 1000);
    assert!(failed.iter().chain(&fine).all(|id| engine.world.delivery(*id).state == State::Succeeded));
    assert_clean(engine.world.check());
}

#[test]
fn what_is_recovered_goes_through_its_whole_schedule_again_and_what_is_retried_is_tried_once() {
    let (mut engine, subscription) = engine();
    let id = engine.outage(1)[0];
    let recover = JobKind::Recover { subscription: subscription.id, since: Timestamp::MIN };
    assert_eq!(engine.finish(recover), [1, 1, 0]);
    engine.pass(5 * DAY);
    let scheduled = |number| (number, Trigger::Schedule);
    assert_eq!(engine.numbers(id), [(5, Trigger::Manual), scheduled(6), scheduled(7), scheduled(8)]);
    assert_eq!(engine.world.delivery(id).state, EXHAUSTED);

    engine.sent.clear();
    let one = DeliveryFilter { subscription: Some(subscription.id), ..DeliveryFilter::default() };
    assert_eq!(engine.finish(JobKind::Retry(one)), [1, 1, 0]);
    engine.pass(5 * DAY);
    assert_eq!(engine.numbers(id), [(9, Trigger::Manual)]);
    assert_eq!(engine.world.delivery(id).state, EXHAUSTED);
    assert_clean(engine.world.check());
}

#[test]
fn a_retry_by_hand_of_a_delivery_that_its_receiver_ended_early_is_one_attempt() {
    let (mut engine, _) = engine();
    engine.answers = Answers::Aborts;
    let id = engine.outage(1)[0];
    engine.answers = Answers::Fails;
    let store = engine.world.store.clone();
    engine.world.run(store.retry_delivery(id, None)).unwrap();
    engine.tell();
    engine.pass(5 * DAY);
    assert_eq!(engine.numbers(id), [(2, Trigger::Manual)], "what is left of its schedule is not gone through");
    assert_eq!(engine.world.delivery(id).state, EXHAUSTED);
}

/// A person was fast: the last outcome was on disk, and the dispatcher had not heard of it yet. It left the delivery out of
/// what it read, as one that it still had in memory, and nobody looked again until the next restart.
#[test]
fn what_is_asked_for_while_its_last_outcome_is_being_reported_is_tried() {
    for by_job in [false, true] {
        let (mut engine, subscription) = engine();
        engine.answers = Answers::Aborts;
        engine.holds_reports = true;
        let id = engine.publish(1)[0];
        engine.pass(Duration::from_secs(1));
        assert_eq!((engine.held.len(), engine.sent.len()), (1, 1));
        engine.sent.clear();
        engine.answers = Answers::Ok;
        if by_job {
            let recover = JobKind::Recover { subscription: subscription.id, since: Timestamp::MIN };
            assert_eq!(engine.finish(recover), [1, 1, 0]);
        } else {
            let store = engine.world.store.clone();
            engine.world.run(store.retry_delivery(id, None)).unwrap();
            engine.tell();
        }
        assert_eq!(engine.sent, [], "it counts as in memory");
        engine.release();
        engine.pass(Duration::from_secs(1));
        assert_eq!(engine.numbers(id), [(2, Trigger::Manual)], "by a job: {by_job}");
        assert_eq!(engine.world.delivery(id).state, State::Succeeded);
    }
}

/// A bulk retry of what waited for a dead receiver once went out all at once, past the open circuit.
#[test]
fn what_a_job_asks_for_again_waits_for_the_probes_of_an_open_circuit_like_all_else() {
    let (mut engine, _) = Engine::new(subscription_to("a"));
    let ids = engine.publish(30);
    engine.pass(Duration::from_secs(1));
    let before = engine.sent.len();
    assert!(before < 30, "the circuit is open");
    let all = DeliveryFilter::default();
    assert_eq!(engine.finish(JobKind::Retry(all)), [30, 30, 0]);
    engine.pass(Duration::from_secs(3600));
    let probes = &engine.sent[before..];
    assert!(probes.len() <= 16, "{} went to a dead receiver within an hour", probes.len());
    assert!(probes.iter().all(|sent| sent.trigger == Trigger::Probe), "{probes:?}");

    engine.answers = Answers::Ok;
    engine.pass(Duration::from_secs(600));
    assert!(ids.iter().all(|id| engine.world.delivery(*id).state == State::Succeeded));
    assert_clean(engine.world.check());
}

/// In order, a bulk retry of the one that all others wait for once did nothing until its old time came.
#[test]
fn what_a_job_asks_for_again_unblocks_a_lane_that_keeps_the_order() {
    let subscription = Subscription { ordering: DeliveryOrder::Fifo, circuit_breaker: false, ..subscription_to("a") };
    let (mut engine, _) = Engine::new(subscription);
    let ids = engine.publish(3);
    engine.pass(Duration::from_secs(60));
    // Two attempts failed: the next one is in five minutes.
    assert_eq!(engine.sent.len(), 2);
    engine.answers = Answers::Ok;
    assert_eq!(engine.finish(JobKind::Retry(DeliveryFilter::default())), [3, 3, 0]);
    engine.pass(Duration::from_secs(5));
    let sent: Vec<DeliveryId> = engine.sent[2..].iter().map(|sent| sent.delivery).collect();
    assert_eq!(sent, ids);
    assert_clean(engine.world.check());
}

/// In order, the others waited for the next attempt of a delivery that was canceled while it was under way: it never came.
#[test]
fn nothing_waits_for_a_delivery_that_was_canceled_while_it_was_under_way() {
    let subscription = Subscription { ordering: DeliveryOrder::Fifo, circuit_breaker: false, ..subscription_to("a") };
    let (mut engine, _) = Engine::new(subscription);
    engine.holds_answers = true;
    let ids = engine.publish(3);
    assert_eq!(engine.sent.len(), 1);
    let store = engine.world.store.clone();
    engine.world.run(store.cancel_delivery(ids[0], None)).unwrap();
    engine.tell();
    engine.answers = Answers::Ok;
    engine.release();
    engine.pass(Duration::from_secs(1));
    let sent: Vec<DeliveryId> = engine.sent.iter().map(|sent| sent.delivery).collect();
    assert_eq!(sent, ids);
    assert_eq!(engine.world.delivery(ids[0]).state, State::Canceled { reason: CanceledReason::Manual });
    assert_clean(engine.world.check());
}
