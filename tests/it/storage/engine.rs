//! The real dispatcher on a real store, driven step by step: receivers answer as told, and the clock may jump.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use waxwing::dispatch::{Decided, Dispatcher, Finished, Happened, ReadDue, Send};
use waxwing::domain::delivery::{Outcome, Response, State, Trigger};
use waxwing::domain::event::NewEvent;
use waxwing::domain::id::{DeliveryId, TenantId};
use waxwing::domain::job::{JobKind, JobState};
use waxwing::domain::subscription::Subscription;
use waxwing::store::Known;

use super::world::*;

/// How the receiver answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    Ok,
    Fails,
    /// 500, and it wants to hear no more of it.
    Aborts,
    /// 503, and the next one is to come after so many seconds.
    AsksForQuiet(u32),
}

/// One request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    pub delivery: DeliveryId,
    pub number: u16,
    pub trigger: Trigger,
    /// The time that really passed since the engine began, whatever the clock says.
    pub at: Duration,
    pub answer: Answers,
}

/// The real shell looks at its clock at least this often.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// Happenings at one moment of the clock. More are a wake-up that leads nowhere.
const TURNS_PER_MOMENT_MAX: u32 = 10_000;

/// The dispatcher and the store, with receivers that answer at once.
pub struct Engine {
    pub world: World,
    pub dispatcher: Dispatcher,
    pub answers: Answers,
    pub sent: Vec<Sent>,
    /// The dispatcher hears late that its recordings are durable, or what its requests came to.
    pub holds_reports: bool,
    pub holds_answers: bool,
    pub held: Vec<Happened>,
    pub passed: Duration,
    /// Up to here the dispatcher last said that an opening need not look.
    pub settled_up_to: Option<DeliveryId>,
}

impl Engine {
    pub fn new(subscription: Subscription) -> (Self, Subscription) {
        let mut world = World::new();
        let subscription = world.subscribe(subscription);
        let mut engine = Self {
            world,
            dispatcher: Dispatcher::new(1),
            answers: Answers::Fails,
            sent: Vec::new(),
            holds_reports: false,
            holds_answers: false,
            held: Vec::new(),
            passed: Duration::ZERO,
            settled_up_to: None,
        };
        engine.tell();
        (engine, subscription)
    }

    /// Tells the dispatcher what committed.
    pub fn tell(&mut self) {
        let mut changes = std::mem::take(&mut self.world.changes);
        changes.extend(self.world.writer.step().changes);
        if !changes.is_empty() {
            self.happen(Happened::Changed(changes));
        }
    }

    pub fn happen(&mut self, happened: Happened) {
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
                    Decided::Send(send) => {
                        let answer = self.send(send);
                        if self.holds_answers { self.held.push(answer) } else { queue.push_back(answer) }
                    }
                    Decided::Record(recordings) => {
                        self.settled_up_to = recordings.settled_up_to.or(self.settled_up_to);
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
        self.sent.push(Sent { delivery, number, trigger, at: self.passed, answer: self.answers });
        let (outcome, headers) = match self.answers {
            Answers::Ok => (Outcome::Success, Vec::new()),
            Answers::Fails => (Outcome::Status(500), Vec::new()),
            Answers::AsksForQuiet(seconds) => {
                (Outcome::Status(503), vec![("retry-after".to_owned(), seconds.to_string())])
            }
            Answers::Aborts => (Outcome::Status(500), vec![("webhook-delivery".to_owned(), "abort".to_owned())]),
        };
        let mut attempt = attempt(delivery, outcome, self.world.now());
        (attempt.number, attempt.trigger) = (number, trigger);
        attempt.response = Some(Response { status: 200, headers, body: Bytes::new(), body_truncated: false });
        Happened::Finished(Box::new(Finished { subscription: subscription.id, attempt }))
    }

    /// Lets the time pass for so long.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.passed + duration;
        let mut turns = 0;
        while self.passed < end {
            let left = (end - self.passed).min(SLEEP_MAX);
            let now = self.world.now();
            let sleep = self.dispatcher.wake_at().map_or(left, |at| at.since(now).min(left));
            turns = if sleep.is_zero() { turns + 1 } else { 0 };
            assert!(turns < TURNS_PER_MOMENT_MAX, "it wakes up and nothing comes of it");
            self.passed += sleep;
            self.world.clock.set(now.plus(sleep));
            self.happen(Happened::TimePassed);
        }
    }

    /// What was held back is reported now.
    pub fn release(&mut self) {
        (self.holds_reports, self.holds_answers) = (false, false);
        for report in std::mem::take(&mut self.held) {
            self.happen(report);
        }
    }

    pub fn publish(&mut self, count: usize) -> Vec<DeliveryId> {
        self.publish_all(vec![event("a"); count])
    }

    pub fn publish_all(&mut self, events: Vec<NewEvent>) -> Vec<DeliveryId> {
        let store = self.world.store.clone();
        let published = self.world.run(store.accept(events, None)).unwrap();
        let events = published.into_iter().map(|one| one.unwrap().event);
        let ids = events.flat_map(|event| self.world.deliveries_of(&event)).map(|delivery| delivery.id).collect();
        self.tell();
        ids
    }

    /// Publishes, and lets everything fail until nothing follows.
    pub fn outage(&mut self, count: usize) -> Vec<DeliveryId> {
        let ids = self.publish(count);
        self.pass(5 * DAY);
        let exhausted = |id: &DeliveryId| matches!(self.world.delivery(*id).state, State::Exhausted { .. });
        assert!(ids.iter().all(exhausted));
        self.sent.clear();
        ids
    }

    pub fn finish(&mut self, kind: JobKind) -> [u64; 3] {
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

    pub fn numbers(&self, delivery: DeliveryId) -> Vec<(u16, Trigger)> {
        let of = self.sent.iter().filter(|sent| sent.delivery == delivery);
        of.map(|sent| (sent.number, sent.trigger)).collect()
    }
}
