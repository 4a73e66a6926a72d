//! The clock is set back an hour, or forward a day, while deliveries are wherever they can be: nothing is lost, nothing
//! goes out twice, and nothing goes earlier than the jump explains.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::time::Duration;

use waxwing::domain::delivery::State;
use waxwing::domain::id::DeliveryId;
use waxwing::domain::retry::Schedule;
use waxwing::domain::subscription::{DeliveryOrder, Subscription};

use super::engine::{Answers, Engine};
use super::world::*;

const HOUR: Duration = Duration::from_secs(3600);
/// How late the shell may notice that the clock was set.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Jump {
    BackAnHour,
    ForwardADay,
}

impl Jump {
    const ALL: [Self; 2] = [Self::BackAnHour, Self::ForwardADay];

    /// By how much it can make something come early.
    fn earlier(self) -> Duration {
        match self {
            Self::BackAnHour => HOUR,
            Self::ForwardADay => DAY,
        }
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Brings deliveries into a situation, sets the clock, lets two days pass, and looks at everything.
fn settles(
    situation: &str,
    jump: Jump,
    subscription: Subscription,
    prepare: impl FnOnce(&mut Engine) -> Vec<DeliveryId>,
) -> (Engine, Duration) {
    let (mut engine, _) = Engine::new(subscription);
    let ids = prepare(&mut engine);
    let jumped_at = engine.passed;
    let now = engine.world.now();
    engine.world.clock.set(match jump {
        Jump::BackAnHour => now.minus(HOUR),
        Jump::ForwardADay => now.plus(DAY),
    });
    // Nobody tells the dispatcher: it sees another time with whatever happens next.
    engine.answers = Answers::Ok;
    engine.release();
    engine.pass(2 * DAY);
    let mut taken: HashMap<DeliveryId, u32> = HashMap::new();
    for sent in engine.sent.iter().filter(|sent| sent.answer == Answers::Ok) {
        *taken.entry(sent.delivery).or_default() += 1;
    }
    for id in &ids {
        assert_eq!(engine.world.delivery(*id).state, State::Succeeded, "{situation}, {jump:?}");
        let attempts = engine.sent.iter().filter(|sent| sent.delivery == *id).count();
        assert_eq!(usize::from(engine.world.delivery(*id).attempts), attempts, "{situation}, {jump:?}");
        assert!(taken.get(id).is_none_or(|times| *times == 1), "{situation}, {jump:?}: {id} went out twice");
    }
    assert_eq!(engine.dispatcher.pending(), None, "{situation}, {jump:?}");
    assert_eq!(engine.world.lanes(), [], "{situation}, {jump:?}");
    (engine, jumped_at)
}

/// When each request for a delivery went out.
fn times(engine: &Engine, delivery: DeliveryId) -> Vec<Duration> {
    engine.sent.iter().filter(|sent| sent.delivery == delivery).map(|sent| sent.at).collect()
}

fn one_at_a_time() -> Subscription {
    Subscription { max_in_flight: 1, ..subscription_to("a") }
}

#[test]
fn what_is_fresh_in_memory_or_parked_goes_out_once() {
    for jump in Jump::ALL {
        for ordering in [DeliveryOrder::None, DeliveryOrder::Fifo] {
            // After three seconds what waits has a row on disk as well.
            for wait in [Duration::ZERO, seconds(3)] {
                let situation = format!("{ordering:?}, {wait:?} old");
                let subscription = Subscription { ordering, ..one_at_a_time() };
                let (engine, jumped_at) = settles(&situation, jump, subscription, |engine| {
                    engine.answers = Answers::Ok;
                    engine.holds_answers = true;
                    let ids = engine.publish(20);
                    engine.pass(wait);
                    assert_eq!(engine.sent.len(), 1, "the others wait");
                    ids
                });
                assert_eq!(engine.sent.len(), 20, "{situation}, {jump:?}");
                let late = engine.sent.last().map(|sent| sent.at - jumped_at);
                assert!(late <= Some(NOTICED_WITHIN), "{situation}, {jump:?}: the last came after {late:?}");
                assert_clean(engine.world.check());
            }
        }
    }
}

#[test]
fn what_waits_for_its_retry_is_neither_lost_nor_earlier_than_the_jump_explains() {
    let waits = [600, 7200];
    for jump in Jump::ALL {
        for ordering in [DeliveryOrder::None, DeliveryOrder::Fifo] {
            let situation = format!("retrying, {ordering:?}");
            let schedule = Schedule::of_retries(&waits).unwrap();
            let subscription = Subscription { retry_schedule: Some(schedule), ordering, ..subscription_to("a") };
            let mut all = Vec::new();
            let (engine, _) = settles(&situation, jump, subscription, |engine| {
                all = engine.publish(5);
                engine.pass(seconds(1));
                all.clone()
            });
            let first = times(&engine, all[0]);
            assert_eq!(first.len(), 2, "{situation}, {jump:?}");
            // 10 % of jitter.
            let early = seconds(540).saturating_sub(first[1] - first[0]);
            assert!(early <= jump.earlier(), "{situation}, {jump:?}: {early:?} too early");
            if jump == Jump::BackAnHour {
                assert_eq!(early, Duration::ZERO, "a clock that is set back makes nothing early");
            }
            assert_clean(engine.world.check());
        }
    }
}

#[test]
fn a_requested_quiet_ends_whatever_the_clock_does() {
    for jump in Jump::ALL {
        let mut all = Vec::new();
        let (engine, jumped_at) = settles("quiet", jump, subscription_to("a"), |engine| {
            engine.answers = Answers::AsksForQuiet(1800);
            all = engine.publish(1);
            engine.pass(seconds(1));
            all.extend(engine.publish(10));
            assert_eq!(engine.sent.len(), 1, "its receiver asked for quiet");
            all.clone()
        });
        // Half an hour was asked for: no clock makes that much more of it than the shell needs to see it.
        let last = times(&engine, all[10])[0] - jumped_at;
        assert!(last <= seconds(1800) + NOTICED_WITHIN, "{jump:?}: the quiet lasted {last:?}");
        assert_clean(engine.world.check());
    }
}

#[test]
fn a_rate_limit_goes_on_at_its_pace_whatever_the_clock_does() {
    let limited = Subscription { rate_limit: NonZeroU16::new(1), ..subscription_to("a") };
    for jump in Jump::ALL {
        let (engine, jumped_at) = settles("limited", jump, limited.clone(), |engine| {
            engine.answers = Answers::Ok;
            let ids = engine.publish(30);
            engine.pass(seconds(5));
            assert!((5..=6).contains(&engine.sent.len()), "one a second");
            ids
        });
        let last = engine.sent.last().map(|sent| sent.at - jumped_at);
        assert!(last <= Some(seconds(30) + NOTICED_WITHIN), "{jump:?}: the last came after {last:?}");
        let early = engine.sent.windows(2).filter(|two| two[1].at - two[0].at < seconds(1)).count();
        assert!(early <= 2, "{jump:?}: {early} came faster than one a second: {:?}", engine.sent);
        assert_clean(engine.world.check());
    }
}

#[test]
fn an_open_circuit_is_probed_and_closes_whatever_the_clock_does() {
    let breaks = Subscription { circuit_breaker: true, ..subscription_to("a") };
    for jump in Jump::ALL {
        let mut all = Vec::new();
        let (engine, jumped_at) = settles("circuit", jump, breaks.clone(), |engine| {
            all = engine.publish(10);
            engine.pass(seconds(1));
            all.extend(engine.publish(10));
            // Four probes later the next one is five minutes away.
            engine.pass(seconds(5 + 20 + 60 + 150));
            assert!(engine.sent.len() < 20, "its deliveries are held");
            all.clone()
        });
        let probe = engine.sent.iter().find(|sent| sent.at > jumped_at).map(|sent| sent.at - jumped_at);
        assert!(probe <= Some(seconds(300) + NOTICED_WITHIN), "{jump:?}: the probe came after {probe:?}");
        assert_clean(engine.world.check());
    }
}

/// What was asked for before the clock was set back once hid what was asked for after it.
#[test]
fn a_quiet_that_is_asked_for_after_the_clock_was_set_back_is_kept() {
    let (mut engine, _) = Engine::new(subscription_to("a"));
    engine.answers = Answers::AsksForQuiet(1800);
    engine.publish(1);
    engine.pass(seconds(1));
    let now = engine.world.now();
    engine.world.clock.set(now.minus(HOUR));
    engine.publish(1);
    engine.pass(seconds(1));
    assert_eq!(engine.sent.len(), 2, "a quiet from another time counts for nothing");
    engine.publish(1);
    engine.pass(seconds(1790));
    assert_eq!(engine.sent.len(), 2, "its receiver asked for quiet");
    engine.answers = Answers::Ok;
    engine.pass(seconds(120));
    assert!(engine.sent.len() > 2);
    assert_clean(engine.world.check());
}
