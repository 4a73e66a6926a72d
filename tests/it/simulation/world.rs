//! The simulated world: virtual time, receivers by mood, people who change things, and a disk that loses power.
//!
//! One thread, one seed, one order of happenings: the same seed gives the same trace. The dispatcher, the store and
//! redb are the real ones; the clock, the disk and the network are not.
//!
//! A run has two phases. First anything may fail (safety: nothing wrong happens). Then faults stop, receivers get
//! well, people re-enable everything, and all must settle (liveness: else the reason is printed).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::{NonZeroU16, NonZeroU32};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use waxwing::clock::{Clock, ManualClock};
use waxwing::dispatch::{Decided, Dispatcher, Finished, Happened, ReadDue, Send};
use waxwing::domain::channel::Channel;
use waxwing::domain::delivery::{Attempt, CanceledReason, Delivery, Phases, ShownState, State};
use waxwing::domain::event::NewEvent;
use waxwing::domain::event_type::EventTypeName;
use waxwing::domain::header::CustomHeaders;
use waxwing::domain::id::{AttemptId, DeliveryId, EventId, KeyId, SubscriptionId, TenantId};
use waxwing::domain::job::{Job, JobKind};
use waxwing::domain::profile::{Headers, Message, Profile, Sending};
use waxwing::domain::public_id::PublicIds;
use waxwing::domain::restriction::Restriction;
use waxwing::domain::retry::Schedule;
use waxwing::domain::secret::Secret;
use waxwing::domain::subscription::{DeliveryOrder, Envelope, Owner, Signing, Subscription};
use waxwing::domain::target::{TargetRules, TargetUrl};
use waxwing::domain::tenant::{SUBSCRIPTIONS_MAX_DEFAULT, Tenant};
use waxwing::domain::time::Timestamp;
use waxwing::store::{
    self, Change, DeliveryFilter, Due, Known, Options, Published, Recorded, Redelivered, Redelivery, Retention, Store,
    StoreError, Writer,
};

use super::jobs::Jobs;
use super::ledger::{Asked, Ledger};
use super::receiver::{Answer, Mood};
use crate::support::disk::SimDisk;

const SECRET_KEY: [u8; 32] = [7; 32];

const OF_A_DELETED_ONE: State = State::Canceled { reason: CanceledReason::SubscriptionDeleted };
/// The channel of the restricted key, and another one.
const OWN_CHANNEL: &str = "shop:1";
const OTHER_CHANNEL: &str = "shop:2";
/// More than a backlog is kept for.
const LONG_SPAN: Duration = Duration::from_secs(10 * 24 * 3600);
/// The shell looks at its clock at least this often.
const SLEEP_MAX: Duration = Duration::from_secs(60);
const SETTLES_WITHIN: Duration = Duration::from_secs(200 * 3600);
/// Commits that may follow from each other before a step of the background.
const COMMITS_IN_A_ROW_MAX: usize = 100;

/// What one run does, drawn from its seed ("swarm": each run has its own mixture).
#[derive(Debug, Clone)]
pub struct Plan {
    pub subscriptions: usize,
    pub events: usize,
    /// Over how long they are published.
    pub span: Duration,
    pub power_cuts: usize,
    pub interventions: usize,
    pub profile: Profile,
    pub moods: Option<Vec<Mood>>,
    /// The share of publications that are scheduled for later.
    pub scheduled_share: f64,
    /// Every subscription's own waits before each retry, in seconds; none: the profile's.
    pub retry_waits: Option<Vec<u32>>,
    /// The share of subscriptions that keep the order, and of those with a limit of 1 to 5 a second.
    pub fifo_share: f64,
    pub rate_limit_share: f64,
    /// Every subscription's; none: the profile's.
    pub circuit_breaker: Option<bool>,
    /// Over whom subscriptions and events are spread.
    pub tenants: usize,
    /// Recoveries, redeliveries, and jobs.
    pub bulk_interventions: usize,
    /// The longest pause between two steps of the background.
    pub work_pause_max: Duration,
    /// The clock is set: back by up to an hour, or forward by up to a day.
    pub clock_jumps: usize,
    /// It lasts so long that what waits for a paused subscription gets too old.
    pub is_long: bool,
    /// The share of subscriptions that a restricted key made, which is gone. Events then differ in type and channels.
    pub restricted_share: f64,
    /// The share of tenants, but for the first, with a limit of 1 to 5 deliveries a second.
    pub limited_share: f64,
}

impl Plan {
    pub fn draw(chance: &mut StdRng) -> Self {
        let hours = [0.02, 0.5, 6.0, 60.0][chance.random_range(0..4)];
        Self {
            subscriptions: chance.random_range(1..6),
            events: chance.random_range(1..60),
            span: Duration::from_secs_f64(hours * 3600.0),
            power_cuts: chance.random_range(0..5),
            interventions: chance.random_range(0..12),
            profile: match chance.random_range(0..10) {
                0..7 => Profile::Standard,
                7 => Profile::Mage,
                8 => Profile::Marea,
                _ => Profile::AgentMessage,
            },
            moods: None,
            scheduled_share: [0.0, 0.3][chance.random_range(0..2)],
            retry_waits: chance.random_bool(0.2).then(|| vec![0, 3, 600]),
            fifo_share: [0.0, 0.0, 0.5][chance.random_range(0..3)],
            rate_limit_share: [0.0, 0.0, 0.5][chance.random_range(0..3)],
            circuit_breaker: [None, Some(true), Some(false)][chance.random_range(0..3)],
            tenants: [1, 1, 2, 4][chance.random_range(0..4)],
            bulk_interventions: [0, 2, 8][chance.random_range(0..3)],
            work_pause_max: Duration::from_millis([50, 50, 600_000][chance.random_range(0..3)]),
            clock_jumps: [0, 0, 3][chance.random_range(0..3)],
            is_long: chance.random_bool(0.1),
            restricted_share: [0.0, 0.0, 0.5][chance.random_range(0..3)],
            limited_share: [0.0, 0.5][chance.random_range(0..2)],
        }
    }

    /// The first mixture, from before there were the last options: in which the first seeds found what they found.
    pub fn draw_first(chance: &mut StdRng) -> Self {
        let nothing = Duration::ZERO;
        let (tenants, bulk_interventions, work_pause_max, clock_jumps, is_long) = (1, 0, nothing, 0, false);
        let (restricted_share, limited_share) = (0.0, 0.0);
        Self {
            tenants,
            bulk_interventions,
            work_pause_max,
            clock_jumps,
            is_long,
            restricted_share,
            limited_share,
            ..Self::draw(chance)
        }
    }

    /// Over how long people do things and receivers change their mood.
    fn span(&self) -> Duration {
        if self.is_long { self.span.max(LONG_SPAN) } else { self.span }
    }
}

/// What will happen at some time.
#[derive(Debug)]
enum Task {
    Publish,
    Intervene,
    MoodSwing,
    PowerCut,
    InterveneInBulk,
    ClockJump,
    /// The background has its turn.
    Work {
        life: u32,
    },
    /// The disk is done with what was waiting for it.
    Commit {
        life: u32,
    },
    Answer {
        life: u32,
        subscription: SubscriptionId,
        attempt: Box<Attempt>,
    },
    /// A read of a lane's queue comes back, as the disk was when it was asked.
    DueRead {
        life: u32,
        subscription: SubscriptionId,
        asked: Vec<DeliveryId>,
        rows: Vec<Due>,
        next: Option<Timestamp>,
    },
    /// Faults stop, everything gets well.
    Peace,
}

/// What a sentence of the store comes to, for those who wait for it.
enum Kept {
    Accepted(Result<Vec<Result<Published, StoreError>>, StoreError>),
    Recorded(Vec<Recorded>, Result<(), StoreError>),
    Tenant(Result<Tenant, StoreError>),
    Created(Mood, Result<Subscription, StoreError>),
    Rotated(SubscriptionId, Secret, Result<Subscription, StoreError>),
    Canceled(DeliveryId, Result<(), StoreError>),
    Deleted(Result<(), StoreError>),
    Started(Result<Job, StoreError>),
    JobCanceled(Result<Job, StoreError>),
    Redelivered(EventId, Result<Redelivered, StoreError>),
    Other(Result<(), StoreError>),
}

type Promise = Pin<Box<dyn Future<Output = Kept>>>;

/// The process: what a power cut takes away.
struct Machine {
    store: Store,
    writer: Writer,
    dispatcher: Dispatcher,
    promises: Vec<Promise>,
    is_committing: bool,
    /// A step of the background is on the agenda.
    is_working: bool,
}

pub struct World {
    pub seed: u64,
    chance: StdRng,
    /// The program's.
    clock: ManualClock,
    start: Timestamp,
    /// What the time really is, whatever the clock says.
    real: Timestamp,
    /// By how much the clock was ever set forward: so much earlier than in real time may things happen.
    lead: Duration,
    /// When the shell, which heard of no jump, wants to be woken, in real time.
    wake: Option<Timestamp>,
    tenants: Vec<TenantId>,
    jobs: Jobs,
    disk: SimDisk,
    machine: Machine,
    life: u32,
    moods: BTreeMap<SubscriptionId, Mood>,
    /// What the subscriptions that a restricted key made are held to.
    held_to: BTreeMap<SubscriptionId, Restriction>,
    urls: usize,
    agenda: BTreeMap<(Timestamp, u64), Task>,
    sequence: u64,
    pub ledger: Ledger,
    pub trace: Vec<String>,
    plan: Plan,
    is_peace: bool,
    /// Answers that come before any mood, in order (see [`Answer::scripted`]).
    pub script: VecDeque<String>,
}

impl World {
    pub fn new(seed: u64, plan: Plan) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let start: Timestamp = "2026-02-18T12:00:00Z".parse().expect("a valid time");
        let clock = ManualClock::at(start);
        let disk = SimDisk::new(chance.random());
        let machine = Machine::boot(&disk, &clock, seed);
        let mut world = Self {
            seed,
            chance,
            clock,
            start,
            real: start,
            lead: Duration::ZERO,
            wake: None,
            tenants: vec![TenantId::DEFAULT],
            jobs: Jobs::default(),
            disk,
            machine,
            life: 0,
            moods: BTreeMap::new(),
            held_to: BTreeMap::new(),
            urls: 0,
            agenda: BTreeMap::new(),
            sequence: 0,
            ledger: Ledger::default(),
            trace: Vec::new(),
            plan,
            is_peace: false,
            script: VecDeque::new(),
        };
        world.found();
        world
    }

    /// Subscriptions, and everything that is to happen.
    fn found(&mut self) {
        for number in 1..self.plan.tenants {
            let tenant = Tenant {
                id: TenantId::from_u128(0),
                external_id: None,
                name: format!("tenant {number}"),
                profile: self.plan.profile,
                header_prefix: None,
                secret: None,
                metadata: BTreeMap::new(),
                subscriptions_max: SUBSCRIPTIONS_MAX_DEFAULT,
                retention: Default::default(),
                rate_limit: self
                    .draws(self.plan.limited_share)
                    .then(|| NonZeroU32::MIN.saturating_add(self.chance.random_range(0..5))),
                revision: 0,
                created_at: self.start,
                updated_at: self.start,
            };
            let store = self.machine.store.clone();
            self.promise(async move { Kept::Tenant(store.create_tenant(tenant, None).await) });
            self.commit_now();
        }
        for _ in 0..self.plan.subscriptions {
            self.subscribe();
        }
        self.commit_now();
        let span = self.plan.span();
        for _ in 0..self.plan.events {
            self.plan_within(span, Task::Publish);
        }
        for _ in 0..self.plan.interventions {
            self.plan_within(span, Task::Intervene);
            self.plan_within(span, Task::MoodSwing);
        }
        for _ in 0..self.plan.power_cuts {
            self.plan_within(span, Task::PowerCut);
        }
        for _ in 0..self.plan.bulk_interventions {
            self.plan_within(span, Task::InterveneInBulk);
        }
        for _ in 0..self.plan.clock_jumps {
            self.plan_within(span, Task::ClockJump);
        }
        self.schedule(span, Task::Peace);
    }

    fn any_tenant(&mut self) -> TenantId {
        match self.tenants.len() {
            1 => self.tenants[0],
            count => self.tenants[self.chance.random_range(0..count)],
        }
    }

    /// Nothing is earlier by this than the jumps of the clock explain.
    fn account_now(&self) -> Timestamp {
        self.real.plus(self.lead)
    }

    fn plan_within(&mut self, span: Duration, task: Task) {
        // Half of everything comes in bursts at the beginning, where most of the program's own work is, too.
        let share: f64 = self.chance.random();
        let share = if self.chance.random_bool(0.5) { share * share * share } else { share };
        self.schedule(span.mul_f64(share), task);
    }

    fn schedule(&mut self, after: Duration, task: Task) {
        self.sequence += 1;
        self.agenda.insert((self.real.plus(after), self.sequence), task);
    }

    pub fn note(&mut self, line: impl AsRef<str>) {
        let passed = self.real.since(self.start).as_millis();
        let (seconds, millis) = (passed / 1000, passed % 1000);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        self.trace.push(format!("{hours:02}:{minutes:02}:{seconds:02}.{millis:03}  {}", line.as_ref()));
    }

    /// Runs until the agenda is empty and the dispatcher has nothing left to do.
    pub fn run(&mut self) {
        loop {
            let task = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let Some(at) = [task, self.wake].into_iter().flatten().min() else { break };
            let limit = self.start.plus(self.plan.span() + SETTLES_WITHIN);
            assert!(at < limit, "it never settles: {:?}", self.machine.dispatcher.pending());
            // Never backwards, and always onwards when only the dispatcher wants to be woken.
            let passed = at.since(self.real);
            self.real = self.real.plus(passed);
            self.clock.set(self.clock.now().plus(passed));
            if task.is_some_and(|task| task <= at) {
                let (_, task) = self.agenda.pop_first().expect("its time was just looked at");
                self.perform(task);
            } else {
                self.happen(Happened::TimePassed);
            }
        }
    }

    fn perform(&mut self, task: Task) {
        match task {
            Task::Publish => self.publish(),
            Task::Intervene => self.intervene(),
            Task::MoodSwing => self.mood_swing(),
            Task::PowerCut => self.power_cut(),
            Task::InterveneInBulk => self.intervene_in_bulk(),
            Task::ClockJump => self.clock_jump(),
            Task::Work { life } if life == self.life => {
                self.machine.is_working = false;
                if self.work() {
                    self.work_later();
                }
            }
            Task::Commit { life } if life == self.life => {
                self.machine.is_committing = false;
                self.step();
            }
            Task::Answer { life, subscription, attempt } => {
                self.ledger.answers(subscription, &attempt, self.account_now(), life);
                if life == self.life {
                    self.happen(Happened::Finished(Box::new(Finished { subscription, attempt: *attempt })));
                }
            }
            Task::DueRead { life, subscription, asked, rows, next } if life == self.life => {
                self.happen(Happened::DueRead { subscription, asked, rows, next });
            }
            Task::Commit { .. } | Task::DueRead { .. } | Task::Work { .. } => {}
            Task::Peace => self.make_peace(),
        }
    }

    // -- the outside

    fn subscribe(&mut self) {
        self.urls += 1;
        let mood = match &self.plan.moods {
            Some(moods) => moods[(self.urls - 1) % moods.len()],
            None => Mood::draw(&mut self.chance),
        };
        let (now, tenant) = (self.clock.now(), self.any_tenant());
        let url =
            TargetUrl::parse(&format!("https://receiver-{}.example.com/hook", self.urls), &TargetRules::default());
        let restriction = match self.draws(self.plan.restricted_share) {
            true => Restriction {
                allowed_events: vec!["order.*".parse().expect("a pattern")],
                channels: vec![OWN_CHANNEL.parse().expect("a channel")],
            },
            false => Restriction::default(),
        };
        let subscription = Subscription {
            id: SubscriptionId::from_u128(0),
            tenant,
            url: url.expect("a public name is a fine target"),
            events: vec!["*".parse().expect("a pattern")],
            description: None,
            is_active: true,
            disabled_reason: None,
            max_in_flight: self.chance.random_range(1..5),
            timeout_seconds: self.chance.random_range(1..31),
            rate_limit: self
                .chance
                .random_bool(self.plan.rate_limit_share)
                .then(|| NonZeroU16::MIN.saturating_add(self.chance.random_range(0..5))),
            retry_schedule: self.plan.retry_waits.as_ref().map(|waits| Schedule::of_retries(waits).expect("waits")),
            ordering: match self.chance.random_bool(self.plan.fifo_share) {
                true => DeliveryOrder::Fifo,
                false => DeliveryOrder::None,
            },
            circuit_breaker: self.plan.circuit_breaker.unwrap_or(self.plan.profile.has_circuit_breaker()),
            headers: CustomHeaders::new(),
            channels: restriction.channels.clone(),
            public_ids: PublicIds::default(),
            owner: match restriction.is_empty() {
                true => Owner::Tenant,
                false => Owner::Key { id: KeyId::from_u128(1), restriction: Box::new(restriction) },
            },
            profile: self.plan.profile,
            envelope: Envelope::Profile,
            api_version: self.plan.profile.api_version_default(),
            metadata: BTreeMap::new(),
            signing: Signing::Subscription,
            secret: Secret::generate(&mut self.chance),
            secret_version: 1,
            previous_secret: None,
            key_pairs: None,
            revision: 0,
            created_at: now,
            updated_at: now,
        };
        let store = self.machine.store.clone();
        self.promise(async move { Kept::Created(mood, store.create_subscription(subscription, None).await) });
    }

    /// Nothing is drawn for what the plan has no share of, so that older seeds stay what they were.
    fn draws(&mut self, share: f64) -> bool {
        share > 0.0 && self.chance.random_bool(share)
    }

    fn publish(&mut self) {
        let is_rush = self.tenants.len() > 1 && self.chance.random_bool(0.3);
        let tenants = if is_rush { self.tenants.clone() } else { vec![self.any_tenant()] };
        for tenant in tenants {
            self.publish_to(tenant);
        }
    }

    fn publish_to(&mut self, tenant: TenantId) {
        let count = if self.chance.random_bool(0.8) { 1 } else { self.chance.random_range(2..20) };
        let is_elsewhere = self.draws(self.plan.restricted_share);
        let event_type: EventTypeName = if is_elsewhere { "user.left" } else { "order.paid" }.parse().expect("a name");
        let on_channels: &[&str] = match self.plan.restricted_share > 0.0 {
            true => [&[][..], &[OWN_CHANNEL], &[OTHER_CHANNEL], &[OWN_CHANNEL, OTHER_CHANNEL]]
                [self.chance.random_range(0..4)],
            false => &[],
        };
        let channels: Vec<Channel> = on_channels.iter().map(|text| text.parse().expect("a channel")).collect();
        let is_scheduled = self.draws(self.plan.scheduled_share);
        let ahead = is_scheduled.then(|| Duration::from_secs(self.chance.random_range(0..7200)));
        let deliver_at = ahead.map(|ahead| self.clock.now().plus(ahead));
        let events = (0..count)
            .map(|_| NewEvent {
                tenant,
                event_type: event_type.clone(),
                external_id: None,
                occurred_at: None,
                channels: channels.clone(),
                deliver_at,
                data: Bytes::from(format!("{{\"n\":{}}}", self.chance.random::<u32>())),
            })
            .collect();
        self.note(format!("publish {count}{}", ahead.map_or(String::new(), |ahead| format!(" in {ahead:?}"))));
        let store = self.machine.store.clone();
        self.promise(async move { Kept::Accepted(store.accept(events, None).await) });
    }

    /// A person does something to a subscription or to a delivery.
    fn intervene(&mut self) {
        let tenant = self.any_tenant();
        let ids = self.subscriptions_of(tenant);
        if ids.is_empty() {
            return self.subscribe();
        }
        let id = ids[self.chance.random_range(0..ids.len())];
        let store = self.machine.store.clone();
        match self.chance.random_range(0..9) {
            0..=1 => self.set_active(id, false),
            2..=3 => self.set_active(id, true),
            4 => {
                self.note(format!("delete {}", self.name(id)));
                self.promise(async move { Kept::Deleted(store.delete_subscription(id, None).await) });
            }
            5 => self.subscribe(),
            6 => {
                let secret = Secret::generate(&mut self.chance);
                self.note(format!("rotate {}", self.name(id)));
                self.ledger.secret_may_change(id, secret.clone());
                self.promise(async move {
                    let new = secret.clone();
                    let edit = Box::new(move |subscription: &mut Subscription| {
                        subscription.secret = new;
                        subscription.secret_version += 1;
                        Ok(())
                    });
                    Kept::Rotated(id, secret, store.update_subscription(id, edit, None).await)
                });
            }
            choice => {
                let Some(delivery) = self.any_delivery() else { return };
                if choice == 7 {
                    self.note(format!("retry {delivery}"));
                    self.order_is_open_for(delivery);
                    self.promise(async move { Kept::Other(store.retry_delivery(delivery, None).await.map(drop)) });
                } else {
                    self.note(format!("cancel {delivery}"));
                    self.order_is_open_for(delivery);
                    self.promise(async move {
                        Kept::Canceled(delivery, store.cancel_delivery(delivery, None).await.map(drop))
                    });
                }
            }
        }
    }

    /// What a person does to one delivery is not followed in the order.
    fn order_is_open_for(&mut self, delivery: DeliveryId) {
        if let Some(known) = self.machine.store.delivery(delivery).expect("the disk reads") {
            self.ledger.order_is_open(known.subscription);
        }
    }

    fn set_active(&mut self, id: SubscriptionId, is_active: bool) {
        self.note(format!("{} {}", if is_active { "resume" } else { "pause" }, self.name(id)));
        let store = self.machine.store.clone();
        let edit = Box::new(move |subscription: &mut Subscription| {
            subscription.is_active = is_active;
            Ok(())
        });
        self.promise(async move { Kept::Other(store.update_subscription(id, edit, None).await.map(drop)) });
    }

    fn subscriptions_of(&self, tenant: TenantId) -> Vec<SubscriptionId> {
        let catalogue = self.machine.store.catalogue();
        catalogue.tenant(tenant).map_or_else(Vec::new, |tenant| tenant.subscriptions().map(|it| it.id).collect())
    }

    /// A person asks for many deliveries at once, or for an event once more.
    fn intervene_in_bulk(&mut self) {
        let tenant = self.any_tenant();
        let ids = self.subscriptions_of(tenant);
        let Some(subscription) = (!ids.is_empty()).then(|| ids[self.chance.random_range(0..ids.len())]) else { return };
        let passed = self.clock.now().since(self.start);
        let since = self.start.plus(passed.mul_f64(self.chance.random_range(0.0..1.0)));
        let store = self.machine.store.clone();
        let choice = self.chance.random_range(0..10);
        let kind = match choice {
            0..=3 => JobKind::Recover { subscription, since },
            4..=6 => {
                let mut filter = DeliveryFilter { since: Some(since), ..DeliveryFilter::default() };
                filter.subscription = self.chance.random_bool(0.7).then_some(subscription);
                if choice == 6 { JobKind::Cancel(filter) } else { JobKind::Retry(filter) }
            }
            7..=8 => return self.redeliver(tenant, ids),
            _ => {
                let running = self.jobs.running();
                let Some(job) = running.first().copied() else { return };
                self.note(format!("cancel {job}"));
                return self.promise(async move { Kept::JobCanceled(store.cancel_job(job, None).await) });
            }
        };
        self.note(format!("{} {}, since {since}", kind.name(), self.name(subscription)));
        self.promise(async move { Kept::Started(store.start_job(tenant, kind, None).await) });
    }

    fn redeliver(&mut self, tenant: TenantId, ids: Vec<SubscriptionId>) {
        let of_tenant = self.ledger.acknowledged.iter().filter(|event| event.tenant == tenant);
        let events: Vec<EventId> = of_tenant.map(|event| event.id).collect();
        if events.is_empty() {
            return;
        }
        let event = events[self.chance.random_range(0..events.len())];
        let named = ids.into_iter().filter(|_| self.chance.random_bool(0.5)).collect();
        let how = match self.chance.random_range(0..3) {
            0 => Redelivery::ToMatching,
            1 => Redelivery::To(named),
            _ => Redelivery::AsNewEvent(named),
        };
        self.note(format!("redeliver {event} {how:?}"));
        let store = self.machine.store.clone();
        self.promise(async move { Kept::Redelivered(event, store.redeliver(tenant, event, how, None).await) });
    }

    /// Nobody tells the program: it sees another time with whatever happens next.
    fn clock_jump(&mut self) {
        let now = self.clock.now();
        if self.chance.random_bool(0.5) {
            let back = Duration::from_secs(self.chance.random_range(1..3600));
            self.note(format!("the clock is set back by {back:?}"));
            self.clock.set(now.minus(back));
            self.ledger.clock_was_set_back();
        } else {
            let forward = Duration::from_secs(self.chance.random_range(1..24 * 3600));
            self.note(format!("the clock is set forward by {forward:?}"));
            self.clock.set(now.plus(forward));
            self.lead += forward;
        }
        let looks = self.real.plus(SLEEP_MAX.mul_f64(self.chance.random()));
        self.wake = Some(self.wake.map_or(looks, |wake| wake.min(looks)));
    }

    fn any_delivery(&mut self) -> Option<DeliveryId> {
        if self.ledger.acknowledged.is_empty() {
            return None;
        }
        let event = &self.ledger.acknowledged[self.chance.random_range(0..self.ledger.acknowledged.len())];
        let deliveries = self.machine.store.deliveries_of(event).expect("the disk reads");
        if deliveries.is_empty() {
            return None;
        }
        Some(deliveries[self.chance.random_range(0..deliveries.len())].id)
    }

    fn mood_swing(&mut self) {
        if self.moods.is_empty() || self.plan.moods.is_some() {
            return;
        }
        let place = self.chance.random_range(0..self.moods.len());
        let id = *self.moods.keys().nth(place).expect("the place is within");
        let mood = Mood::draw(&mut self.chance);
        self.note(format!("{} is now {mood:?}", self.name(id)));
        self.moods.insert(id, mood);
    }

    fn power_cut(&mut self) {
        self.note("power cut");
        self.life += 1;
        self.disk.power_cut();
        self.machine = Machine::boot(&self.disk, &self.clock, self.seed.wrapping_add(u64::from(self.life)));
        self.wake = None;
        let (store, now) = (self.machine.store.clone(), self.clock.now());
        self.ledger.power_cut(now, self.account_now().since(now), |id| store.health(id));
        self.find_lanes();
        self.work_later();
    }

    fn make_peace(&mut self) {
        self.note("peace");
        self.is_peace = true;
        for mood in self.moods.values_mut() {
            *mood = Mood::Healthy;
        }
        self.commit_now();
        let catalogue = self.machine.store.catalogue();
        let all = self.tenants.iter().filter_map(|tenant| catalogue.tenant(*tenant));
        let all = all.flat_map(|tenant| tenant.subscriptions().filter(|one| !one.is_active).map(|one| one.id));
        let paused: Vec<SubscriptionId> = all.collect();
        for id in paused {
            self.set_active(id, true);
        }
    }

    // -- the process

    fn find_lanes(&mut self) {
        let mut after = None;
        loop {
            let lanes = self.machine.store.lanes(after, 2).expect("the disk reads");
            let Some((last, _)) = lanes.last() else { break };
            after = Some(*last);
            self.happen(Happened::LanesFound(lanes));
        }
    }

    fn happen(&mut self, happened: Happened) {
        let mut decided = Vec::new();
        let catalogue = self.machine.store.catalogue();
        let store = &self.machine.store;
        let health = |id| store.health(id);
        let known = Known { catalogue: &catalogue, health: &health };
        let now = self.clock.now();
        self.machine.dispatcher.handle(happened, now, &known, &mut decided);
        self.wake = self.machine.dispatcher.wake_at().map(|at| self.real.plus(at.since(now)));
        tenants_take_turns(&decided);
        for decided in decided {
            match decided {
                Decided::Send(send) => self.send(send),
                Decided::Record(recordings) => {
                    let attempts = recordings.attempts.clone();
                    let store = self.machine.store.clone();
                    self.promise(async move { Kept::Recorded(attempts, store.record(recordings).await) });
                }
                Decided::ReadDue(ReadDue { subscription, asked, until, in_memory, rows_max }) => {
                    let read = self.machine.store.due(subscription, &asked, until, &in_memory, rows_max);
                    let (rows, next) = read.expect("the disk reads");
                    let task = Task::DueRead { life: self.life, subscription, asked, rows, next };
                    let latency = Duration::from_millis(self.chance.random_range(0..40));
                    self.schedule(latency, task);
                }
            }
        }
    }

    fn send(&mut self, send: Send) {
        let Send { delivery, tenant, subscription, event, number, trigger } = send;
        let now = self.clock.now();
        assert_eq!((event.event.tenant, subscription.tenant), (tenant, tenant), "{delivery} crosses tenants");
        let catalogue = self.machine.store.catalogue();
        let current = catalogue.subscription(subscription.id).expect("nothing is sent to a deleted subscription");
        assert!(current.is_active, "{} is sent to a paused subscription", delivery);
        if let Some(held_to) = self.held_to.get(&current.id) {
            assert_eq!(current.owner.restriction(), Some(held_to), "the owner of {} changed", current.id);
            self.ledger.requests_to_restricted += 1;
        }
        let delays: Vec<Duration> = (0..current.schedule().attempts_max())
            .filter_map(|made| current.schedule().delay_after(made, 0.5))
            .collect();
        if event.event.deliver_at.is_some() {
            // It joins when it is due, past those that came later.
            self.ledger.order_is_open(current.id);
        }
        let account_now = self.account_now();
        self.ledger.sends(current, (delivery, number, trigger), account_now, &delays);
        self.ledger.begins(delivery, event.event.deliver_at, account_now);

        let tenant = &catalogue.tenant(tenant).expect("its tenant lives").tenant;
        self.ledger.sends_for(tenant.id, tenant.rate_limit, account_now);
        let message = Message { event: &event.event, data: &event.data, tenant };
        let signer = current.signer(tenant);
        let secrets: Vec<&Secret> = signer.secrets(now).collect();
        let body = current.profile.body(&message, current.envelope, current.api_version);
        let secret_version = signer.version;
        let sending = Sending { subscription: current, delivery, number, secrets: &secrets, secret_version, at: now };
        let headers = current.profile.headers(&message, &body, &sending);
        self.verify(current, &headers, &body);

        let mood = *self.moods.get(&current.id).expect("every subscription has a receiver");
        let answer = match self.script.pop_front() {
            Some(line) => Answer::scripted(&line, current.timeout()),
            None => Answer::to(mood, current.timeout(), &mut self.chance),
        };
        self.note(format!("{} attempt {number} {}", self.name(current.id), super::outcome_text(&answer.outcome)));
        if answer.arrived {
            self.ledger.arrives(delivery);
        }
        let attempt = Attempt {
            id: AttemptId::from_u128(0),
            delivery,
            number,
            trigger,
            started_at: now,
            outcome: answer.outcome,
            phases: Phases { total: answer.after, ..Phases::default() },
            request_headers: Vec::new(),
            request_body_sha256: [0; 32],
            request_body_bytes: body.len() as u32,
            secret_version,
            response: answer.response,
            remote_address: None,
        };
        let task = Task::Answer { life: self.life, subscription: current.id, attempt: Box::new(attempt) };
        self.schedule(answer.after, task);
    }

    /// The receiver's side of the signature, by a library that we did not write where there is one.
    fn verify(&self, subscription: &Subscription, headers: &Headers, body: &[u8]) {
        let now = self.clock.now();
        let header = |name: &str| headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        let is_valid = |secret: &Secret| match subscription.profile {
            Profile::Standard => {
                let webhook = standardwebhooks::Webhook::from_bytes(secret.bytes().to_vec()).expect("a key");
                let id = header("webhook-id").expect("an id");
                let timestamp = header("webhook-timestamp").expect("a timestamp").parse().expect("seconds");
                let signature = webhook.sign(id, timestamp, body).expect("it signs text");
                header("webhook-signature").expect("a signature").split(' ').any(|one| one == signature)
            }
            Profile::Mage => {
                let timestamp = header("x-webhook-timestamp").expect("a timestamp");
                Some(waxwing::domain::profile::mage::sign(secret, timestamp, body).as_str())
                    == header("x-webhook-signature")
            }
            Profile::Marea => {
                let signed = waxwing::domain::profile::marea::sign(secret, now.as_seconds(), body);
                Some(signed.as_str()) == header("x-marea-signature")
            }
            Profile::AgentMessage => {
                let signed = waxwing::domain::profile::agentmessage::sign(secret, now.as_seconds(), body);
                Some(signed.as_str()) == header("x-amcore-signature")
            }
        };
        let alive = self.ledger.secrets(subscription.id);
        assert!(alive.iter().any(is_valid), "signed with a dead or unknown secret");
    }

    // -- the disk

    fn promise(&mut self, future: impl Future<Output = Kept> + 'static) {
        self.machine.promises.push(Box::pin(future));
        // The job is queued when its future is first asked.
        self.collect();
        if !self.machine.is_committing {
            self.machine.is_committing = true;
            let latency = Duration::from_millis(self.chance.random_range(1..30));
            self.schedule(latency, Task::Commit { life: self.life });
        }
    }

    fn commit_now(&mut self) {
        while !self.machine.promises.is_empty() {
            self.step();
        }
    }

    /// One commit of everything that waits, and who waited for it is told.
    fn step(&mut self) {
        let stepped = self.machine.writer.step();
        if self.chance.random_bool(0.2) {
            self.machine.writer.index_pass().expect("the disk works");
        }
        if self.chance.random_bool(0.1) && self.plan.bulk_interventions == 0 {
            self.machine.writer.work_pass().expect("the disk works");
        }
        if self.plan.is_long && self.chance.random_bool(0.2) {
            self.machine.writer.backlog_pass().expect("the disk works");
        }
        // No draw: the pictures of single stories stay as they are.
        match self.disk.syncs() % 16 {
            0 => self.machine.writer.begin_checkpoint().expect("the disk works"),
            7 => self.machine.writer.checkpoint().expect("the disk works"),
            _ => {}
        }
        self.changed(stepped.changes);
        self.collect();
        if !self.machine.promises.is_empty() && !self.machine.is_committing {
            self.machine.is_committing = true;
            self.schedule(Duration::from_millis(1), Task::Commit { life: self.life });
        }
    }

    fn work_later(&mut self) {
        if self.plan.bulk_interventions > 0 && !self.machine.is_working {
            self.machine.is_working = true;
            let pause = self.plan.work_pause_max.mul_f64(self.chance.random());
            self.schedule(pause, Task::Work { life: self.life });
        }
    }

    /// A step of the background. What waits for the writer goes first, so that what changed is known to be of this
    /// step. Answers whether there is more to do.
    fn work(&mut self) -> bool {
        let mut commits = 0;
        loop {
            let stepped = self.machine.writer.step();
            let is_quiet = stepped.jobs == 0;
            self.changed(stepped.changes);
            self.collect();
            if is_quiet && self.machine.promises.is_empty() {
                break;
            }
            commits += 1;
            assert!(commits < COMMITS_IN_A_ROW_MAX, "commits follow from each other without end");
        }
        let has_more = self.machine.writer.work_pass().expect("the disk works");
        let changes = self.machine.writer.step().changes;
        let moved = changes.iter().filter_map(|change| match change {
            Change::Moved(delivery) if delivery.state != OF_A_DELETED_ONE => Some(Delivery::clone(delivery)),
            _ => None,
        });
        let moved: Vec<Delivery> = moved.collect();
        self.jobs.stepped(&moved, &self.machine.store);
        self.changed(changes);
        has_more
    }

    /// The account follows what committed.
    fn note_changes(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Lifted(id) => self.ledger.starts_anew(*id),
                Change::Due(id, _) | Change::Retry(id, _) => self.ledger.lifted(*id),
                _ => {}
            }
            let (delivery, asked) = match change {
                Change::Moved(delivery) => (delivery.id, Some(Asked::InBulk)),
                Change::Retry(_, delivery) => (*delivery, Some(Asked::ByHand)),
                Change::Canceled(_, delivery) => (*delivery, None),
                _ => continue,
            };
            self.jobs.touched(delivery);
            let known = self.machine.store.delivery(delivery).expect("the disk reads").expect("it is kept");
            match asked {
                // More may have become of it in the same commit.
                _ if known.state.is_final() => self.ledger.is_over(delivery, known.state, self.account_now()),
                Some(asked) => self.ledger.asks_again(delivery, asked),
                None => {}
            }
        }
    }

    fn changed(&mut self, changes: Vec<Change>) {
        self.note_changes(&changes);
        if !changes.is_empty() {
            self.happen(Happened::Changed(changes));
        }
    }

    fn collect(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let mut promises = std::mem::take(&mut self.machine.promises);
        let mut kept = Vec::new();
        promises.retain_mut(|promise| match promise.as_mut().poll(&mut context) {
            Poll::Ready(value) => {
                kept.push(value);
                false
            }
            Poll::Pending => true,
        });
        promises.append(&mut self.machine.promises);
        self.machine.promises = promises;
        for kept in kept {
            self.keep(kept);
        }
    }

    fn keep(&mut self, kept: Kept) {
        match kept {
            Kept::Accepted(published) => {
                for published in published.expect("the disk works") {
                    self.ledger.acknowledged.push(published.expect("nothing is wrong with it").event);
                }
            }
            Kept::Recorded(attempts, result) => {
                result.expect("the disk works");
                for recorded in &attempts {
                    self.ledger.recorded(recorded);
                    let delivery = recorded.attempt.delivery;
                    self.jobs.touched(delivery);
                    let known = self.machine.store.delivery(delivery).expect("the disk reads").expect("it is kept");
                    if known.state.is_final() {
                        self.ledger.is_over(delivery, known.state, self.account_now());
                    }
                }
                self.happen(Happened::Recorded);
            }
            Kept::Created(mood, subscription) => {
                let subscription = subscription.expect("there is room for it");
                if let Some(restriction) = subscription.owner.restriction() {
                    self.held_to.insert(subscription.id, restriction.clone());
                }
                self.ledger.knows_secret(subscription.id, subscription.secret);
                let mood = if self.is_peace { Mood::Healthy } else { mood };
                self.moods.insert(subscription.id, mood);
                self.note(format!("{} subscribed, {mood:?}", self.name(subscription.id)));
            }
            Kept::Rotated(id, secret, result) => {
                if result.is_ok() {
                    self.ledger.knows_secret(id, secret);
                }
            }
            Kept::Canceled(delivery, Ok(())) => self.ledger.canceled(delivery, self.account_now()),
            Kept::Canceled(_, Err(StoreError::NotFound | StoreError::InvalidState(_))) => {}
            Kept::Tenant(tenant) => self.tenants.push(tenant.expect("there is room for it").id),
            Kept::Deleted(Ok(())) => self.work_later(),
            Kept::Deleted(Err(StoreError::NotFound)) => {}
            Kept::Started(Ok(job)) => {
                self.jobs.started(job, &self.ledger.acknowledged, &self.machine.store);
                self.work_later();
            }
            Kept::Started(Err(StoreError::NotFound | StoreError::LimitExceeded { .. })) => {}
            Kept::JobCanceled(Ok(job)) => self.jobs.canceled(job),
            Kept::JobCanceled(Err(StoreError::InvalidState(_))) => {}
            Kept::Redelivered(event, Ok(redelivered)) => self.redelivered(event, redelivered),
            Kept::Redelivered(_, Err(StoreError::NotFound)) => {}
            Kept::Redelivered(_, Err(StoreError::EventNotAllowed)) if !self.held_to.is_empty() => {}
            Kept::Deleted(Err(failure))
            | Kept::Started(Err(failure))
            | Kept::JobCanceled(Err(failure))
            | Kept::Redelivered(_, Err(failure)) => panic!("{failure}"),
            Kept::Other(Ok(()) | Err(StoreError::NotFound | StoreError::InvalidState(_))) => {}
            Kept::Canceled(_, Err(failure)) | Kept::Other(Err(failure)) => panic!("{failure}"),
        }
    }

    fn redelivered(&mut self, of: EventId, redelivered: Redelivered) {
        let Redelivered { event, deliveries, made } = redelivered;
        assert_eq!(deliveries.len(), event.deliveries as usize, "{of} is redelivered in part");
        let before = self.ledger.acknowledged.iter_mut().find(|known| known.id == event.id);
        match before {
            Some(known) => {
                assert_eq!(known.deliveries + made, event.deliveries, "{of} is redelivered, and {made} are new");
                *known = event;
            }
            None => {
                assert_eq!((event.replay_of, event.deliveries), (Some(of), made));
                self.ledger.acknowledged.push(event);
            }
        }
    }

    /// A short name for the trace.
    fn name(&self, id: SubscriptionId) -> String {
        let text = id.to_string();
        text[text.len() - 4..].to_owned()
    }

    // -- the account

    /// The attempts of the first acknowledged event's deliveries and what became of them, as a picture.
    pub fn picture(&self) -> String {
        let mut picture = String::new();
        let event = self.ledger.acknowledged.first().expect("something was published");
        for delivery in self.machine.store.deliveries_of(event).expect("the disk reads") {
            for attempt in self.machine.store.attempts(delivery.id).expect("the disk reads") {
                let passed = attempt.started_at.since(event.created_at).as_millis();
                let (hours, minutes, seconds) = (passed / 3_600_000, passed / 60_000 % 60, passed / 1000 % 60);
                let (number, outcome) = (attempt.number, super::outcome_text(&attempt.outcome));
                picture += &format!("{hours:02}:{minutes:02}:{seconds:02}  attempt {number}  {outcome}\n");
            }
            picture += &format!("{:?}\n", delivery.state);
        }
        picture
    }

    /// Everything that was acknowledged is there, final, and as the outside saw it.
    pub fn settle(&mut self) {
        self.commit_now();
        self.machine.writer.index_pass().expect("the disk works");
        if self.plan.bulk_interventions == 0 {
            while self.machine.writer.work_pass().expect("the disk works") {}
        }
        self.jobs.settle(&self.machine.store);
        assert_eq!(self.machine.dispatcher.pending(), None, "work is left over");
        let lanes = self.machine.store.lanes(None, 10).expect("the disk reads");
        assert!(lanes.is_empty(), "the queue on disk is not empty: {lanes:?}");
        let store = self.machine.store.clone();
        for event in &self.ledger.acknowledged {
            let kept = store.event(event.id).expect("the disk reads");
            assert_eq!(kept.as_ref(), Some(event), "an acknowledged event was lost");
            let deliveries = store.deliveries_of(event).expect("the disk reads");
            assert_eq!(deliveries.len(), event.deliveries as usize, "deliveries of {} were lost", event.id);
            for delivery in deliveries {
                if let Some(held_to) = self.held_to.get(&delivery.subscription) {
                    let is_within = held_to.admits(&event.event_type, &event.channels);
                    assert!(is_within, "{} is beyond what its owner is restricted to", delivery.id);
                }
                let received = self.ledger.received.get(&delivery.id).cloned().unwrap_or_default();
                match delivery.state {
                    State::Succeeded => assert!(received.answered_2xx > 0, "{} succeeded out of thin air", delivery.id),
                    State::Exhausted { .. } | State::Canceled { .. } | State::Expired { .. } => {}
                    open => panic!("{} is still {open:?} ({})", delivery.id, ShownState::Pending.name()),
                }
                let attempts = store.attempts(delivery.id).expect("the disk reads");
                assert_eq!(attempts.len(), usize::from(delivery.attempts), "attempts of {} were lost", delivery.id);
            }
        }
        let disk = self.disk.copy(0);
        let location = Machine::options(&disk, &self.clock, 0).location;
        let report = store::check(location, Some(SECRET_KEY)).expect("the file opens");
        assert!(report.is_clean(), "{report:#?}");
    }
}

impl Machine {
    fn options(disk: &SimDisk, clock: &ManualClock, seed: u64) -> Options {
        Options {
            location: disk.location(Arc::new(AtomicU64::new(u64::MAX))),
            secret_key: Some(SECRET_KEY),
            clock: Clock::Manual(clock.clone()),
            seed,
            retention: Retention::default(),
            settings_fixed: Default::default(),
            free_bytes_min: None,
            cache_bytes: 4 * 1024 * 1024,
        }
    }

    fn boot(disk: &SimDisk, clock: &ManualClock, seed: u64) -> Self {
        let opened = Store::open(Self::options(disk, clock, seed)).expect("it opens after whatever happened");
        Self {
            store: opened.store,
            writer: opened.writer,
            dispatcher: Dispatcher::new(seed),
            promises: Vec::new(),
            is_committing: false,
            is_working: false,
        }
    }
}

/// Of what was decided together, nobody waits for longer than a round. Lanes with failures and those without go round apart and
/// alternate, so of the turns before a tenant's own half are of its kind, and among those each other tenant has one.
fn tenants_take_turns(decided: &[Decided]) {
    let tenants = decided.iter().filter_map(|decided| match decided {
        Decided::Send(send) => Some(send.tenant),
        Decided::Record(_) | Decided::ReadDue(_) => None,
    });
    let tenants: Vec<TenantId> = tenants.collect();
    for (place, tenant) in tenants.iter().enumerate() {
        let since = tenants[..place].iter().rposition(|other| other == tenant).map_or(0, |last| last + 1);
        let waited = &tenants[since..place];
        let others = waited.iter().collect::<BTreeSet<_>>().len();
        assert!(
            waited.len() / 2 <= others,
            "{tenant} waits for {} turns of {others} tenants in {tenants:?}",
            waited.len()
        );
    }
}
