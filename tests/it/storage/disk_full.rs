//! A disk without room: it refuses every write in turn. What was answered stays, what was not is there whole or not at
//! all, the store says that it is broken, and once there is room the story goes on to its end.

use std::sync::atomic::Ordering;

use waxwing::domain::delivery::{Outcome, RetryReason, State};
use waxwing::domain::event_type::EventType;
use waxwing::domain::id::{DeliveryId, EventId, SubscriptionId, TenantId};
use waxwing::domain::job::JobKind;
use waxwing::domain::subscription::Subscription;
use waxwing::domain::time::Timestamp;
use waxwing::store::{DeliveryFilter, EventFilter, Recorded, Recordings, Redelivery, StoreError};

use super::world::*;
use crate::support::disk::SimDisk;

const START: &str = "2026-02-18T12:00:00Z";
/// The reserve of a file system of unknown size (contract 9).
const RESERVE_BYTES: u64 = 256 * 1024 * 1024;

/// What exists when the story begins.
struct Setting {
    /// Pending, in the order of ids.
    deliveries: Vec<DeliveryId>,
    event: EventId,
    subscription: SubscriptionId,
    /// Nothing is sent to it, and something waits for it.
    paused: SubscriptionId,
    tenant: TenantId,
}

/// What happens, on which day, and what does it.
type Sentence = (&'static str, u32, fn(&mut World, &Setting) -> Result<(), StoreError>);

/// In this order. Each begins with an opening, so that its ids do not depend on what was tried before.
const STORY: &[Sentence] = &[
    ("accept", 0, |world, _| {
        let store = world.store.clone();
        let mut batch = vec![event_with_external_id("a", "one"), event("b"), event("a")];
        batch[1].data = vec![b'1'; 200_000].into();
        world.run(store.accept(batch, None)).map(drop)
    }),
    ("index", 0, |world, _| {
        let store = world.store.clone();
        // Postings of this life's own: what an earlier one accepted was indexed by the opening.
        world.run(store.accept(vec![event("a")], None))?;
        world.writer.index_pass()
    }),
    ("record", 0, |world, setting| {
        let (store, now) = (world.store.clone(), world.now());
        let recorded =
            |delivery, outcome, state| Recorded { attempt: attempt(delivery, outcome, now), state, is_counted: true };
        let later = State::Retrying { next_attempt_at: now.plus(DAY), reason: RetryReason::Schedule };
        world.run(store.record(Recordings {
            attempts: vec![
                recorded(setting.deliveries[0], Outcome::Success, State::Succeeded),
                recorded(setting.deliveries[1], Outcome::Status(503), later),
            ],
            parked: vec![setting.deliveries[2]],
            settled_up_to: Some(setting.deliveries[2]),
            ..Recordings::default()
        }))
    }),
    ("deliver again", 0, |world, setting| {
        let store = world.store.clone();
        world.run(store.redeliver(TenantId::DEFAULT, setting.event, Redelivery::ToMatching, None)).map(drop)
    }),
    ("start a job", 0, |world, setting| {
        let store = world.store.clone();
        let kind =
            JobKind::Cancel(DeliveryFilter { subscription: Some(setting.subscription), ..DeliveryFilter::default() });
        world.run(store.start_job(TenantId::DEFAULT, kind, None)).map(drop)
    }),
    ("a step of a job that counts", 0, |world, _| world.writer.work_pass().map(drop)),
    ("a step of a job that acts", 0, |world, _| world.writer.work_pass().map(drop)),
    ("a pass over old backlogs", 8, |world, _| world.writer.backlog_pass().map(drop)),
    ("rename an event type", 8, |world, _| {
        let store = world.store.clone();
        let archive = Box::new(|it: &mut EventType| {
            it.archived_at = Some(Timestamp::from_millis(1));
            Ok(())
        });
        world.run(store.update_event_type("order.paid".parse().unwrap(), archive, None)).map(drop)
    }),
    ("resume", 8, |world, setting| {
        let store = world.store.clone();
        let resume = Box::new(|it: &mut Subscription| {
            it.is_active = true;
            Ok(())
        });
        world.run(store.update_subscription(setting.paused, resume, None)).map(drop)
    }),
    ("delete a tenant", 8, |world, setting| {
        let store = world.store.clone();
        world.run(store.delete_tenant(setting.tenant, None))
    }),
    ("a step of erasing", 8, |world, _| world.writer.work_pass().map(drop)),
    ("retention", 120, |world, _| world.writer.retention_pass().map(drop)),
];

fn set_up() -> (SimDisk, Setting) {
    let mut world = World::on(SimDisk::new(1), START.parse().unwrap());
    let store = world.store.clone();
    let subscription = world.subscribe(subscription_to("*")).id;
    let paused = world.subscribe(Subscription { is_active: false, ..subscription_to("*") }).id;
    let tenant = world.run(store.create_tenant(tenant("acme"), None)).unwrap().id;
    world.subscribe(Subscription { tenant, ..subscription_to("*") });
    world.run(store.create_event_type(event_type("order.paid"), None)).unwrap();
    let mut deliveries = Vec::new();
    let mut parked = Vec::new();
    for _ in 0..4 {
        let published = world.publish(event("a")).unwrap().event;
        for delivery in world.deliveries_of(&published) {
            if delivery.subscription == paused { parked.push(delivery.id) } else { deliveries.push(delivery.id) }
        }
        let mut elsewhere = event("a");
        elsewhere.tenant = tenant;
        world.publish(elsewhere).unwrap();
    }
    world.record(Recordings { parked, ..Recordings::default() });
    let done = world.publish(event("a")).unwrap().event;
    world.deliveries_of(&done).into_iter().for_each(|delivery| world.succeed(delivery.id));
    world.index();
    let disk = world.disk.clone();
    drop(store);
    drop(world);
    (disk, Setting { deliveries, event: done.id, subscription, paused, tenant })
}

fn on_day(day: u32) -> Timestamp {
    START.parse::<Timestamp>().unwrap().plus(DAY * day)
}

/// Carries out the rest of the story and answers with what is on the disk then.
fn tell(disk: &SimDisk, story: &[Sentence], setting: &Setting) -> Dump {
    for (name, day, sentence) in story {
        let mut world = World::on(disk.clone(), on_day(*day));
        sentence(&mut world, setting).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    let mut world = World::on(disk.clone(), on_day(120));
    world.work();
    drop(world);
    recovered(disk, on_day(120))
}

#[test]
fn a_disk_that_is_full_at_any_write_loses_nothing_that_was_answered_and_the_story_goes_on_when_there_is_room() {
    let (disk, setting) = set_up();
    let end = tell(&disk.copy(0), STORY, &setting);
    let mut refusals = 0;
    let (mut undone, mut done) = (0, 0);
    for (place, (name, day, sentence)) in STORY.iter().enumerate() {
        let now = on_day(*day);
        let before = recovered(&disk, now);
        // The first pass counts, and shows what "after" looks like.
        let whole = disk.copy(0);
        let mut world = World::on(whole.clone(), now);
        let calls_before = whole.calls();
        sentence(&mut world, &setting).unwrap();
        let calls_until_answer = whole.calls() - calls_before;
        world.writer.checkpoint().unwrap();
        let calls = whole.calls() - calls_before;
        drop(world);
        let after = recovered(&whole, now);
        assert!(calls > 0 && before != after, "{name} wrote nothing");

        for call in 0..calls {
            let full = disk.copy(0);
            let mut world = World::on(full.clone(), now);
            full.fill_up_after(call);
            let answer = sentence(&mut world, &setting);
            let is_answered = answer.is_ok();
            assert_eq!(is_answered, call >= calls_until_answer, "{name}: its write {call} is another one this time");
            let failed = answer.and_then(|()| world.writer.checkpoint());
            assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{name}, write {call}: {failed:?}");
            assert!(full.refused() > 0, "{name}, write {call}");
            assert!(world.store.is_broken(), "{name}, write {call}");
            let store = world.store.clone();
            let refused = world.run(store.accept(vec![event("a")], None));
            assert!(matches!(refused, Err(StoreError::Unavailable(_))), "a broken store takes nothing more");
            drop(store);
            drop(world);
            // Nothing changes while there is no room: an opening fails, or finds what there is.
            drop(World::try_on(full.clone(), now));
            full.make_room();
            let found = recovered(&full, now);
            assert_clean(check_disk(&full));
            refusals += 1;
            let rest = if found == before && !is_answered {
                undone += 1;
                &STORY[place..]
            } else {
                // It was answered. Or all of it had been written, and only the last sync found no room. Or an event was
                // taken and its index was not: the opening makes up for that.
                assert!(found == after, "{name} was torn or lost by a full disk at write {call}");
                let is_last = call + 1 == calls_until_answer;
                assert!(is_answered || is_last || *name == "index", "{name} failed at write {call} and is there");
                done += u32::from(!is_answered);
                &STORY[place + 1..]
            };
            if call % 3 == 0 || rest.len() <= 1 {
                assert_eq!(tell(&full, rest, &setting), end, "{name}, write {call}: the story ends differently");
            }
        }
        // The story goes on with what was answered.
        let mut world = World::on(disk.clone(), now);
        sentence(&mut world, &setting).unwrap();
    }
    println!("a full disk at {refusals} writes: {undone} sentences undone, {done} complete although unanswered");
    assert!(undone > 0);
}

#[test]
fn an_opening_without_room_fails_or_is_whole_and_the_next_one_finds_everything() {
    let (disk, setting) = set_up();
    // Something for the opening to recover.
    let mut world = World::on(disk.clone(), on_day(0));
    STORY[0].2(&mut world, &setting).unwrap();
    disk.power_cut();
    drop(world);
    let whole = disk.copy(0);
    let calls_before = whole.calls();
    drop(World::on(whole.clone(), on_day(0)));
    let calls = whole.calls() - calls_before;
    let end = recovered(&whole, on_day(0));
    let mut failed = 0;
    for call in 0..calls {
        let full = disk.copy(0);
        full.fill_up_after(call);
        failed += u32::from(World::try_on(full.clone(), on_day(0)).is_err());
        full.make_room();
        assert_eq!(recovered(&full, on_day(0)), end, "write {call}");
        assert_clean(check_disk(&full));
    }
    assert!(failed > 0, "no opening needs any room");
}

#[test]
fn below_the_reserve_events_are_refused_while_outcomes_jobs_and_erasing_go_on_and_above_it_they_are_taken() {
    let (disk, setting) = set_up();
    let mut world = World::on(disk, on_day(0));
    let store = world.store.clone();
    world.set_free_bytes(RESERVE_BYTES);
    world.run(store.accept(vec![event("a")], None)).unwrap();
    world.set_free_bytes(RESERVE_BYTES - 1);
    assert_eq!(world.run(store.accept(vec![event("a")], None)).unwrap_err(), StoreError::StorageFull);
    assert!(!world.store.is_broken());
    for (name, _, sentence) in STORY.iter().filter(|(name, ..)| {
        ["record", "a pass over old backlogs", "delete a tenant", "a step of erasing", "retention"].contains(name)
    }) {
        sentence(&mut world, &setting).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert_eq!(world.delivery(setting.deliveries[0]).state, State::Succeeded);
    world.free_bytes.store(RESERVE_BYTES, Ordering::Relaxed);
    assert_eq!(world.run(store.accept(vec![event("a")], None)).unwrap_err(), StoreError::StorageFull, "it looks later");
    world.set_free_bytes(RESERVE_BYTES);
    world.run(store.accept(vec![event("a")], None)).unwrap();
    drop(store);
    assert_clean(world.check());
}

#[test]
fn tenant_system_hears_once_that_the_disk_fills_up_that_it_is_full_and_that_there_is_room_again() {
    let mut world = World::new();
    let heard = |world: &mut World, mib: u64| {
        world.set_free_bytes(mib * 1024 * 1024);
        world.writer.space_pass().unwrap();
        world.index();
        let events = world.store.events(TenantId::SYSTEM, &EventFilter::default(), newest(10)).unwrap();
        events.rows.iter().map(|event| event.event_type.to_string()).collect::<Vec<_>>()
    };
    // The reserve is 256 MiB.
    for (mib, expected) in [
        (512, vec![]),
        (511, vec!["storage.low"]),
        (300, vec!["storage.low"]),
        (255, vec!["storage.full", "storage.low"]),
        (600, vec!["storage.full", "storage.low"]),
        (640, vec!["storage.recovered", "storage.full", "storage.low"]),
    ] {
        assert_eq!(heard(&mut world, mib), expected, "{mib} MiB");
    }
    let events = world.store.events(TenantId::SYSTEM, &EventFilter::default(), newest(10)).unwrap();
    let data = world.store.event_data(events.rows[2].id).unwrap().unwrap();
    let mib = |mib: u64| mib * 1024 * 1024;
    let expected = serde_json::json!({
        "free_bytes": mib(511), "reserve_bytes": mib(256), "warning_bytes": mib(512),
    });
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&data).unwrap(), expected);
    assert_clean(world.check());
}
