//! What a person asks for again, carried out by the real dispatcher: so many attempts, and not one more or less.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use waxwing::dispatch::{Decided, Dispatcher, Finished, Happened, ReadDue, Send};
use waxwing::domain::delivery::{ExhaustedReason, Outcome, Response, State, Trigger};
use waxwing::domain::id::{DeliveryId, TenantId};
use waxwing::domain::job::{JobKind, JobState};
use waxwing::domain::profile::Profile;
use waxwing::domain::subscription::Subscription;
use waxwing::domain::time::Timestamp;
use waxwing::store::{DeliveryFilter, Known};

use super::world::*;

/// How the receiver answers.
#[derive(Clone, Copy)]
enum Answers {
    Ok,
    Fails,
    /// 500, and it wants to hear no more of it.
    Aborts,
}

struct Engine {
    world: World,
    dispatcher: Dispatcher,
    answers: Answers,
    /// Each request: what for, its number, and who asked.
    sent: Vec<(DeliveryId, u16, Trigger)>,
    /// The dispatcher hears late that its recordings are durable.
    holds_reports: bool,
    held: Vec<Happened>,
}

impl Engine {
    fn new() -> (Self, Subscription) {
        let mut world = World::new();
        // Four attempts, and no circuit.
        let subscription = world.subscribe(Subscription { profile: Profile::Mage, ..subscription_to("a") });
        let mut engine = Self {
            world,
            dispatcher: Dispatcher::new(1),
            answers: Answers::Fails,
            sent: Vec::new(),
            holds_reports: false,
            held: Vec::new(),
        };
        engine.tell();
        (engine, subscription)
    }

    /// Tells the dispatcher what committed.
    fn tell(&mut self) {
        let mut changes = std::mem::take(&mut self.world.changes);
        changes.extend(self.world.writer.step().changes);
        if !changes.is_empty() {
            self.happen(Happened::Changed(changes));
        }
    }

    fn happen(&mut self, happened: Happened) {
        let mut queue = VecDeque::from([happened]);
        while let Some(happened) = queue.pop_front() {
            let mut decided = Vec::new();
            let (store, now) = (self.world.store.clone(), self.world.now());
            let catalogue = store.catalogue();
            let health = |id| store.health(id);
            let known = Known { catalogue: &catalogue, health: &health };
            self.dispatcher.handle(happened, now, &known, &mut decided);
            for decided in decided {
                match decided {
                    Decided::Send(send) => queue.push_back(self.send(send)),
                    Decided::Record(recordings) => {
                        self.world.record(recordings);
                        let changes = std::mem::take(&mut self.world.changes);
                        if !changes.is_empty() {
                            queue.push_back(Happened::Changed(changes));
                        }
                        if self.holds_reports {
                            self.held.push(Happened::Recorded);
                        } else {
                            queue.push_back(Happened::Recorded);
                        }
                    }
                    Decided::ReadDue(ReadDue { subscription, asked, until, in_memory, rows_max }) => {
                        let (rows, next) = store.due(subscription, &asked, until, &in_memory, rows_max).unwrap();
                        queue.push_back(Happened::DueRead { subscription, asked, rows, next });
                    }
                }
            }
        }
    }

    fn send(&mut self, send: Send) -> Happened {
        let Send { delivery, subscription, number, trigger, .. } = send;
        self.sent.push((delivery, number, trigger));
        let (outcome, headers) = match self.answers {
            Answers::Ok => (Outcome::Success, Vec::new()),
            Answers::Fails => (Outcome::Status(500), Vec::new()),
            Answers::Aborts => (Outcome::Status(500), vec![("webhook-delivery".to_owned(), "abort".to_owned())]),
        };
        let mut attempt = attempt(delivery, outcome, self.world.now());
        (attempt.number, attempt.trigger) = (number, trigger);
        attempt.response = Some(Response { status: 200, headers, body: Bytes::new(), body_truncated: false });
        Happened::Finished(Box::new(Finished { subscription: subscription.id, attempt }))
    }

    /// Lets the time pass for so long.
    fn pass(&mut self, duration: Duration) {
        let until = self.world.now().plus(duration);
        while let Some(at) = self.dispatcher.wake_at().filter(|at| *at <= until) {
            self.world.clock.set(at.max(self.world.now()));
            self.happen(Happened::TimePassed);
        }
        self.world.clock.set(until);
        self.happen(Happened::TimePassed);
    }

    fn publish(&mut self, count: usize) -> Vec<DeliveryId> {
        let store = self.world.store.clone();
        let published = self.world.run(store.accept(vec![event("a"); count], None)).unwrap();
        let events = published.into_iter().map(|one| one.unwrap().event);
        let ids = events.flat_map(|event| self.world.deliveries_of(&event)).map(|delivery| delivery.id).collect();
        self.tell();
        ids
    }

    /// Publishes, and lets everything fail until nothing follows.
    fn outage(&mut self, count: usize) -> Vec<DeliveryId> {
        let ids = self.publish(count);
        self.pass(5 * DAY);
        let exhausted = |id: &DeliveryId| matches!(self.world.delivery(*id).state, State::Exhausted { .. });
        assert!(ids.iter().all(exhausted));
        self.sent.clear();
        ids
    }

    fn finish(&mut self, kind: JobKind) -> [u64; 3] {
        let store = self.world.store.clone();
        let job = self.world.run(store.start_job(TenantId::DEFAULT, kind, None)).unwrap().id;
        self.tell();
        while self.world.writer.work_pass().unwrap() {
            self.tell();
        }
        self.tell();
        let job = self.world.store.job(job).unwrap().unwrap();
        assert_eq!(job.state, JobState::Done);
        [job.counted, job.done, job.skipped]
    }

    fn numbers(&self, delivery: DeliveryId) -> Vec<(u16, Trigger)> {
        let of = self.sent.iter().filter(|(id, ..)| *id == delivery);
        of.map(|(_, number, trigger)| (*number, *trigger)).collect()
    }
}

const EXHAUSTED: State = State::Exhausted { reason: ExhaustedReason::Schedule };

#[test]
fn a_recovery_after_an_outage_delivers_every_failed_delivery_exactly_once() {
    let (mut engine, subscription) = Engine::new();
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
    for (id, ..) in &engine.sent {
        *times.entry(*id).or_default() += 1;
    }
    assert!(failed.iter().all(|id| times.get(id) == Some(&1)), "{times:?}");
    assert_eq!(times.len(), 1000);
    assert!(failed.iter().chain(&fine).all(|id| engine.world.delivery(*id).state == State::Succeeded));
    assert_clean(engine.world.check());
}

#[test]
fn what_is_recovered_goes_through_its_whole_schedule_again_and_what_is_retried_is_tried_once() {
    let (mut engine, subscription) = Engine::new();
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
    let (mut engine, _) = Engine::new();
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
        let (mut engine, subscription) = Engine::new();
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
        engine.holds_reports = false;
        for report in std::mem::take(&mut engine.held) {
            engine.happen(report);
        }
        engine.pass(Duration::from_secs(1));
        assert_eq!(engine.numbers(id), [(2, Trigger::Manual)], "by a job: {by_job}");
        assert_eq!(engine.world.delivery(id).state, State::Succeeded);
    }
}
