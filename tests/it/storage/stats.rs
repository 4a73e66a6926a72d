//! Statistics: exact whatever is done in which order and wherever the power goes off, kept as long as they say.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use redb::{Database, TableDefinition, TableHandle};
use waxwing::domain::delivery::{CanceledReason, ErrorClass, ExhaustedReason, Outcome, RetryReason, State};
use waxwing::domain::event_type::EventTypeKey;
use waxwing::domain::id::{DeliveryId, SubscriptionId, TenantId};
use waxwing::domain::stats::{AttemptKind, Figures, Latencies, Resolution, Scope, StateCounts, StateKind};
use waxwing::domain::time::Timestamp;
use waxwing::store::stats::{DAYS_KEPT, HOURS_KEPT, MINUTES_KEPT};
use waxwing::store::{Change, Queue, Recorded, Recordings, Whose};

use super::world::*;
use crate::support::disk::SimDisk;

/// What should have been counted, kept as naively as possible.
#[derive(Default)]
struct Model {
    figures: BTreeMap<(Resolution, Timestamp, Scope), Figures>,
    states: BTreeMap<DeliveryId, (SubscriptionId, StateKind)>,
}

impl Model {
    fn count(&mut self, at: Timestamp, part: Scope, count: impl Fn(&mut Figures)) {
        for scope in [Scope::Instance, Scope::Tenant(TenantId::DEFAULT), part] {
            for resolution in Resolution::ALL {
                count(self.figures.entry((resolution, resolution.start_of(at), scope)).or_default());
            }
        }
    }

    fn enter(&mut self, at: Timestamp, id: DeliveryId, subscription: SubscriptionId, state: StateKind) {
        let before = self.states.insert(id, (subscription, state)).map(|(_, state)| state);
        if before != Some(state) {
            self.count(at, Scope::Subscription(subscription), |figures| match state {
                StateKind::Pending => figures.deliveries_created += 1,
                StateKind::Retrying => {}
                StateKind::Succeeded => figures.deliveries_succeeded += 1,
                StateKind::Exhausted => figures.deliveries_exhausted += 1,
                StateKind::Canceled => figures.deliveries_canceled += 1,
                StateKind::Expired => figures.deliveries_expired += 1,
            });
        }
    }

    fn attempt(&mut self, at: Timestamp, subscription: SubscriptionId, outcome: &Outcome, duration: Duration) {
        let micros = duration.as_micros() as u64;
        self.count(at, Scope::Subscription(subscription), |figures| {
            figures.attempts[AttemptKind::of(outcome)] += 1;
            if !matches!(outcome, Outcome::Error { .. }) {
                figures.latencies.micros_total += micros;
                figures.latencies.counts[Latencies::bucket_of(micros)] += 1;
            }
        });
    }

    #[track_caller]
    fn hold_against(&self, world: &World, subscriptions: &[SubscriptionId]) {
        let scopes = [Scope::Instance, Scope::Tenant(TenantId::DEFAULT), Scope::Tenant(TenantId::SYSTEM)];
        let types = ["a", "b", "c"].map(EventTypeKey::of);
        let parts = subscriptions.iter().copied().map(Scope::Subscription).chain(types.map(Scope::EventType));
        for scope in scopes.into_iter().chain(parts) {
            for resolution in Resolution::ALL {
                let series = world.store.stats().unwrap().series(scope, resolution, start(), 400).unwrap();
                for (at, figures) in series {
                    let expected = self.figures.get(&(resolution, at, scope)).cloned().unwrap_or_default();
                    assert_eq!(figures, expected, "{scope:?} {resolution:?} {at}");
                }
            }
        }
        for resolution in Resolution::ALL {
            let mut expected = BTreeMap::new();
            for ((known, _, scope), figures) in &self.figures {
                if let (true, Scope::EventType(key)) = (*known == resolution, scope) {
                    *expected.entry(*key).or_default() += figures.events_published;
                }
            }
            let found = world.store.stats().unwrap().published_by_event_type(resolution, start(), 4000).unwrap();
            assert_eq!(found, expected, "{resolution:?}");
        }
        for id in subscriptions {
            let mut expected = StateCounts::default();
            self.states.values().filter(|(of, _)| of == id).for_each(|(_, state)| expected[*state] += 1);
            assert_eq!(world.store.stats().unwrap().state_counts(*id).unwrap(), expected, "{id}");
        }
        let count = |state| self.states.values().filter(|(_, known)| *known == state).count() as u64;
        let [pending, retrying, exhausted] = [StateKind::Pending, StateKind::Retrying, StateKind::Exhausted].map(count);
        // Nothing is held: the model knows no health.
        assert_eq!(world.store.queue(Whose::Everyone), Queue { pending, retrying, held: 0, exhausted });
    }
}

fn start() -> Timestamp {
    "2026-02-18T12:00:00Z".parse().unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Publish(u8),
    /// One commit of several attempts: which delivery, what came of it, after how many microseconds.
    Record(Vec<(usize, u8, u64)>),
    Cancel(usize),
    Retry(usize),
    Index,
    Fold,
    Wait(u64),
    PowerCut,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..4_u8).prop_map(Step::Publish),
        6 => proptest::collection::vec((0..64_usize, 0..7_u8, 0..40_000_000_u64), 1..6).prop_map(Step::Record),
        1 => (0..64_usize).prop_map(Step::Cancel),
        1 => (0..64_usize).prop_map(Step::Retry),
        2 => Just(Step::Index),
        2 => Just(Step::Fold),
        3 => (1..4000_u64).prop_map(Step::Wait),
        1 => Just(Step::PowerCut),
    ]
}

fn outcome(n: u8, now: Timestamp) -> (Outcome, State) {
    let retrying = State::Retrying { next_attempt_at: now.plus(DAY), reason: RetryReason::Schedule };
    let exhausted = State::Exhausted { reason: ExhaustedReason::Schedule };
    let error = |class| Outcome::Error { class, detail: String::new() };
    match n {
        0 | 1 => (Outcome::Success, State::Succeeded),
        2 => (Outcome::Status(503), retrying),
        3 => (Outcome::Status(404), retrying),
        4 => (error(ErrorClass::Timeout), retrying),
        5 => (error(ErrorClass::Dns), exhausted),
        _ => (Outcome::Status(302), exhausted),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn everything_is_counted_once_whatever_happens_in_which_order(steps in proptest::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        let subscriptions = [world.subscribe(subscription_to("*")).id, world.subscribe(subscription_to("a")).id];
        let mut model = Model::default();
        let mut deliveries: Vec<DeliveryId> = Vec::new();
        for step in steps {
            let now = world.now();
            let store = world.store.clone();
            match step {
                Step::Publish(count) => for n in 0..count {
                    let event = world.publish(event(if n == 0 { "b" } else { "a" })).unwrap().event;
                    let key = event.event_type.key();
                    model.count(now, Scope::EventType(key), |figures| figures.events_published += 1);
                    for delivery in world.deliveries_of(&event) {
                        model.enter(now, delivery.id, delivery.subscription, StateKind::Pending);
                        deliveries.push(delivery.id);
                    }
                },
                Step::Record(_) | Step::Cancel(_) | Step::Retry(_) if deliveries.is_empty() => {}
                Step::Record(all) => {
                    let mut attempts = Vec::new();
                    for (place, n, micros) in all {
                        let id = deliveries[place % deliveries.len()];
                        let (outcome, state) = outcome(n, now);
                        let mut attempt = attempt(id, outcome.clone(), now);
                        attempt.phases.total = Duration::from_micros(micros);
                        let ended = now.plus(attempt.phases.total);
                        let (subscription, known) = model.states[&id];
                        model.attempt(ended, subscription, &outcome, attempt.phases.total);
                        // What is final stays as it is.
                        if matches!(known, StateKind::Pending | StateKind::Retrying) {
                            model.enter(ended, id, subscription, state.into());
                        }
                        attempts.push(Recorded { attempt, state, is_counted: true });
                    }
                    world.record(Recordings { attempts, ..Recordings::default() });
                }
                Step::Cancel(place) => {
                    let id = deliveries[place % deliveries.len()];
                    if world.run(store.cancel_delivery(id, None)).is_ok() {
                        let (subscription, _) = model.states[&id];
                        model.enter(now, id, subscription, StateKind::Canceled);
                    }
                }
                Step::Retry(place) => {
                    let id = deliveries[place % deliveries.len()];
                    if let Ok(retried) = world.run(store.retry_delivery(id, None)) {
                        model.enter(now, id, retried.subscription, retried.state.into());
                    }
                }
                Step::Index => world.index(),
                Step::Fold => world.fold(),
                Step::Wait(seconds) => world.wait(Duration::from_secs(seconds)),
                Step::PowerCut => {
                    drop(store);
                    world = world.after_power_cut();
                }
            }
        }
        // What was published counts when it is indexed.
        world.index();
        model.hold_against(&world, &subscriptions);
        world.fold();
        model.hold_against(&world, &subscriptions);
        assert_clean(world.check());
    }
}

/// A store with something of every kind in the log, and its subscription.
fn with_a_log() -> (World, SubscriptionId) {
    let mut world = World::new();
    let id = world.subscribe(subscription_to("*")).id;
    for n in 0..6 {
        let event = world.publish(event("a")).unwrap().event;
        let delivery = world.deliveries_of(&event)[0].id;
        let (outcome, state) = outcome(n, world.now());
        world.try_attempt(delivery, outcome, state).unwrap();
        world.wait(Duration::from_secs(40));
    }
    world.index();
    (world, id)
}

#[test]
fn a_fold_that_loses_power_adds_all_of_it_or_nothing() {
    let (world, id) = with_a_log();
    let (disk, now) = (world.disk.clone(), world.now());
    let read = |world: &World| {
        let of = |scope| world.store.stats().unwrap().series(scope, Resolution::Minute, start(), 10).unwrap();
        (of(Scope::Instance), of(Scope::Subscription(id)), world.store.stats().unwrap().state_counts(id).unwrap())
    };
    let expected = read(&world);
    let whole = disk.copy(0);
    drop(world);
    let mut world = World::on(whole.clone(), now);
    // An opening folds by itself: the log has to be made again.
    let begin = |world: &mut World| {
        let store = world.store.clone();
        let event = world.publish(event("a")).unwrap().event;
        let delivery = world.deliveries_of(&event)[0].id;
        world.succeed(delivery);
        world.index();
        drop(store);
    };
    begin(&mut world);
    let after = read(&world);
    assert_ne!(after, expected);
    let syncs_before = whole.syncs();
    world.fold();
    let syncs = whole.syncs() - syncs_before;
    assert_eq!(read(&world), after, "folding moves nothing");
    drop(world);
    assert!(syncs > 0);
    for sync in 0..syncs {
        for seed in 0..6 {
            let dying = disk.copy(seed * 100 + sync);
            let mut world = World::on(dying.clone(), now);
            begin(&mut world);
            dying.die_after(sync);
            world.writer.fold_pass().unwrap_err();
            dying.power_cut();
            drop(world);
            assert_clean(check_disk(&dying));
            let world = World::on(dying.clone(), now);
            assert_eq!(read(&world), after, "sync {sync}, seed {seed}");
        }
    }
}

#[test]
fn a_long_log_is_added_in_steps_and_a_power_cut_between_them_changes_no_figure() {
    let mut world = World::new();
    world.subscribe(subscription_to("*"));
    let store = world.store.clone();
    for _ in 0..3 {
        world.run(store.accept(vec![event("a"); 1000], None)).unwrap();
    }
    // An entry for each: they end in as many different minutes.
    let all: Vec<DeliveryId> = world
        .changes
        .iter()
        .filter_map(|change| if let Change::Accepted(fresh) = change { Some(fresh) } else { None })
        .flat_map(|fresh| fresh.iter().map(|fresh| fresh.delivery))
        .collect();
    world.index();
    for round in 0..4 {
        let attempts = all.iter().enumerate().map(|(n, id)| {
            let at = start().plus(Duration::from_secs(60 * (n as u64 + 3000 * round)));
            let (outcome, state) = outcome(2, at);
            Recorded { attempt: attempt(*id, outcome, at), state, is_counted: true }
        });
        world.record(Recordings { attempts: attempts.collect(), ..Recordings::default() });
    }
    drop(store);
    let failed = |world: &World| {
        let days = world.store.stats().unwrap().series(Scope::Instance, Resolution::Day, start(), 20).unwrap();
        days.iter().map(|(_, figures)| figures.attempts.failed()).sum::<u64>()
    };
    assert_eq!(failed(&world), 12_000);
    assert!(world.writer.fold_pass().unwrap(), "12,000 entries went in one step");
    assert_eq!(failed(&world), 12_000, "half of them added, half in the log");
    assert_clean(check_disk(&world.disk.copy(0)));
    world = world.after_power_cut();
    assert_eq!(failed(&world), 12_000);
    assert!(!world.writer.fold_pass().unwrap(), "an opening adds all that is left");
    assert_clean(world.check());
}

#[test]
fn points_are_kept_as_long_as_their_resolution_says() {
    let (mut world, id) = with_a_log();
    world.fold();
    let seen = |world: &World| {
        let mut seen = Vec::new();
        for resolution in Resolution::ALL {
            for scope in [Scope::Instance, Scope::Tenant(TenantId::DEFAULT), Scope::Subscription(id)] {
                let points = world.store.stats().unwrap().series(scope, resolution, start(), 5).unwrap();
                let figures = points.iter().filter(|(_, figures)| *figures != Figures::default()).count();
                seen.push(figures);
            }
        }
        seen
    };
    let begun = world.now();
    let wait_until = |world: &mut World, age: Duration| {
        world.clock.set(begun.plus(age));
        world.retain();
    };
    assert_eq!(seen(&world), [4, 4, 4, 1, 1, 1, 1, 1, 1]);
    wait_until(&mut world, MINUTES_KEPT - Duration::from_secs(300));
    assert_eq!(seen(&world), [4, 4, 4, 1, 1, 1, 1, 1, 1]);
    wait_until(&mut world, MINUTES_KEPT + Duration::from_secs(60));
    assert_eq!(seen(&world), [0, 0, 0, 1, 1, 1, 1, 1, 1]);
    wait_until(&mut world, HOURS_KEPT - DAY);
    assert_eq!(seen(&world), [0, 0, 0, 1, 1, 1, 1, 1, 1]);
    wait_until(&mut world, HOURS_KEPT + DAY);
    assert_eq!(seen(&world), [0, 0, 0, 0, 0, 0, 1, 1, 1]);
    wait_until(&mut world, DAYS_KEPT - DAY);
    assert_eq!(seen(&world), [0, 0, 0, 0, 0, 0, 1, 1, 1]);
    wait_until(&mut world, DAYS_KEPT + DAY);
    assert_eq!(seen(&world), [0; 9]);
    assert_clean(world.check());
}

#[test]
fn many_old_points_go_in_bounded_steps() {
    let mut world = World::new();
    world.subscribe(subscription_to("*"));
    for _ in 0..400 {
        world.publish(event("a")).unwrap();
        world.wait(Duration::from_secs(60));
    }
    world.index();
    world.fold();
    world.wait(5 * DAY);
    let steps = world.retain();
    assert!(steps > 1, "1,200 points went in {steps} step");
    let left = world.store.stats().unwrap().series(Scope::Instance, Resolution::Minute, start(), 400).unwrap();
    assert!(left.iter().all(|(_, figures)| *figures == Figures::default()));
    let hours = world.store.stats().unwrap().series(Scope::Instance, Resolution::Hour, start(), 10).unwrap();
    assert_eq!(hours.iter().map(|(_, figures)| figures.events_published).sum::<u64>(), 400);
}

#[test]
fn the_statistics_of_a_deleted_subscription_go_and_its_tenants_stay() {
    let (mut world, id) = with_a_log();
    world.fold();
    let of_tenant =
        world.store.stats().unwrap().series(Scope::Tenant(TenantId::DEFAULT), Resolution::Hour, start(), 1).unwrap();
    let event = world.publish(event("a")).unwrap().event;
    let under_way = world.deliveries_of(&event)[0].id;
    let store = world.store.clone();
    world.run(store.delete_subscription(id, None)).unwrap();
    drop(store);
    // What ends after the deletion counts for the tenant alone.
    world.succeed(under_way);
    world = world.after_power_cut();
    world.work();
    world.fold();
    let now =
        world.store.stats().unwrap().series(Scope::Tenant(TenantId::DEFAULT), Resolution::Hour, start(), 1).unwrap();
    assert_eq!(now[0].1.attempts.succeeded(), of_tenant[0].1.attempts.succeeded() + 1);
    for resolution in Resolution::ALL {
        let series = world.store.stats().unwrap().series(Scope::Subscription(id), resolution, start(), 10).unwrap();
        assert!(series.iter().all(|(_, figures)| *figures == Figures::default()));
    }
    assert_eq!(world.store.stats().unwrap().state_counts(id).unwrap(), StateCounts::default());
    assert_clean(world.check());
}

#[test]
fn retention_takes_what_it_removes_out_of_the_counts() {
    let (mut world, id) = with_a_log();
    let count = |world: &World| {
        let counts = world.store.stats().unwrap().state_counts(id).unwrap();
        StateKind::ALL.map(|state| counts[state])
    };
    assert_eq!(count(&world), [0, 3, 2, 1, 0, 0]);
    world.wait(91 * DAY);
    world.retain();
    assert_eq!(count(&world), [0, 3, 0, 0, 0, 0], "what is open stays");
    world.fold();
    assert_eq!(count(&world), [0, 3, 0, 0, 0, 0]);
    assert_clean(world.check());
}

#[test]
fn a_file_from_before_there_were_statistics_gets_its_counts() {
    let (mut world, id) = with_a_log();
    // Two that are not indexed yet: one waits, one has ended.
    let ended = world.publish(event("a")).unwrap().event;
    world.publish(event("a")).unwrap();
    let ended = world.deliveries_of(&ended)[0].id;
    world.record(Recordings { canceled: vec![(ended, CanceledReason::PayloadExpired)], ..Recordings::default() });
    // There was no journal either.
    world.writer.checkpoint().unwrap();
    let (disk, now) = (world.disk.clone(), world.now());
    drop(world);
    make_format_1(&disk);
    let world = World::on(disk, now);
    let counts = world.store.stats().unwrap().state_counts(id).unwrap();
    assert_eq!(StateKind::ALL.map(|state| counts[state]), [1, 3, 2, 1, 1, 0]);
    assert_clean(world.check());
}

/// Takes out of a file what came with format 2.
fn make_format_1(disk: &SimDisk) {
    let database = Database::builder().create_with_backend(disk.plug_in_database()).unwrap();
    let mut write = database.begin_write().unwrap();
    write.set_quick_repair(true);
    for table in write.list_tables().unwrap().collect::<Vec<_>>() {
        if ["stats", "stats_log", "state_counts"].contains(&table.name()) {
            write.delete_table(table).unwrap();
        }
    }
    let meta: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("meta");
    write.open_table(meta).unwrap().insert(&b"format"[..], &[1, 0, 0, 0, 1][..]).unwrap();
    write.commit().unwrap();
}
