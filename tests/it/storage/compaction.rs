//! Space given back while work goes on: nothing is lost and nothing comes back, wherever the process is killed.

use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redb::{ReadableDatabase, ReadableTable, TableDefinition, TableHandle};
use tempfile::TempDir;
use waxwing::clock::{Clock, ManualClock};
use waxwing::domain::event::NewEvent;
use waxwing::domain::id::{DeliveryId, EventId, TenantId};
use waxwing::domain::subscription::Subscription;
use waxwing::domain::target::TargetUrl;
use waxwing::domain::tenant::Tenant;
use waxwing::store::{
    CACHE_BYTES_DEFAULT, CompactionError, Location, Opened, Options, RequestName, Retention, Step, Store, StoredAnswer,
    check,
};

use super::world::*;
use crate::support::disk::SimDisk;

const START: &str = "2026-02-18T12:00:00Z";

fn options_in(folder: &Path, clock: &ManualClock) -> Options {
    Options {
        location: Location::Directory(folder.to_owned()),
        secret_key: Some(SECRET_KEY),
        clock: Clock::Manual(clock.clone()),
        seed: 7,
        retention: Retention::default(),
        settings_fixed: Default::default(),
        free_bytes_min: Some(0),
        cache_bytes: CACHE_BYTES_DEFAULT,
    }
}

fn world_in(folder: &Path) -> World {
    let clock = ManualClock::at(START.parse().unwrap());
    let Opened { store, writer, changes: _ } = Store::open(options_in(folder, &clock)).unwrap();
    // What is on the disk is in the folder.
    World { disk: SimDisk::new(1), clock, free_bytes: Default::default(), store, writer, changes: Vec::new() }
}

/// What a process that is killed now leaves. Only between two groups and without a checkpoint under way: then no thread writes.
fn left_by_a_kill(folder: &Path) -> TempDir {
    let left = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), left.path().join(entry.file_name())).unwrap();
    }
    left
}

fn copies_in(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with("waxwing.redb.copy-")).count()
}

/// What was published and answered: whether it is through, and its size.
struct Kept {
    event: EventId,
    delivery: DeliveryId,
    is_through: bool,
    bytes: usize,
}

#[track_caller]
fn assert_kept(store: &Store, kept: &[Kept], at: &str) {
    for Kept { event, delivery, is_through, bytes } in kept {
        let data = store.event_data(*event).unwrap().unwrap_or_else(|| panic!("{at}: {event} is lost"));
        assert_eq!(data.len(), *bytes, "{at}: {event}");
        let state = store.delivery(*delivery).unwrap().unwrap_or_else(|| panic!("{at}: {delivery} is lost")).state;
        assert_eq!(state.is_final(), *is_through, "{at}: {delivery}");
    }
}

/// Opens it as the next start would, looks at all of it, and closes it.
#[track_caller]
fn assert_whole(folder: &Path, kept: &[Kept], gone: &[EventId], at: &str) {
    let clock = ManualClock::at(START.parse().unwrap());
    let opened = Store::open(options_in(folder, &clock)).unwrap_or_else(|error| panic!("{at}: {error}"));
    assert_kept(&opened.store, kept, at);
    for event in gone {
        assert!(opened.store.event(*event).unwrap().is_none(), "{at}: {event} is back");
    }
    drop(opened);
    assert_eq!(copies_in(folder), 0, "{at}: a copy that was not finished is left");
    let report = check(Location::Directory(folder.to_owned()), Some(SECRET_KEY)).unwrap();
    assert!(report.is_clean(), "{at}: {report:#?}");
}

fn publish(world: &mut World, bytes: usize, number: u32) -> Kept {
    let mut big = event("a");
    let text = format!("{number:08}");
    big.data = format!("\"{}{text}\"", "x".repeat(bytes - text.len() - 2)).into();
    let event = world.publish(big).unwrap().event;
    let delivery = world.deliveries_of(&event)[0].id;
    Kept { event: event.id, delivery, is_through: false, bytes }
}

/// A store whose file is far larger than what is in it.
fn mostly_free(world: &mut World) -> (Vec<Kept>, Vec<EventId>) {
    world.subscribe(subscription_to("a"));
    let mut old: Vec<Kept> = (0..120).map(|number| publish(world, 50_000, number)).collect();
    for (number, one) in old.iter_mut().enumerate() {
        if number % 10 != 0 {
            world.succeed(one.delivery);
            one.is_through = true;
        }
    }
    world.index();
    // Before that nothing of it is in the file.
    world.writer.checkpoint().unwrap();
    world.wait(100 * DAY);
    world.retain();
    world.writer.checkpoint().unwrap();
    let (gone, kept) = old.into_iter().partition::<Vec<_>, _>(|one| one.is_through);
    (kept, gone.into_iter().map(|one| one.event).collect())
}

#[test]
fn whoever_is_killed_at_any_step_of_a_compaction_finds_all_that_was_answered_and_nothing_that_was_gone() {
    for seed in 0..4 {
        let mut chance = StdRng::seed_from_u64(seed);
        let folder = tempfile::tempdir().unwrap();
        let mut world = world_in(folder.path());
        let (mut kept, gone) = mostly_free(&mut world);
        let before = world.store.volume().unwrap();
        assert!(before.reclaimable_percent() > 60, "{before:?}");

        let mut compaction = world.store.begin_compaction().unwrap();
        let mut steps = 0;
        let mut number = 1000;
        let mut work = |world: &mut World, kept: &mut Vec<Kept>, chance: &mut StdRng| {
            for _ in 0..chance.random_range(0..6) {
                number += 1;
                match chance.random_range(0..8) {
                    0..3 => kept.push(publish(world, chance.random_range(20..9000), number)),
                    3 | 4 => {
                        let one = chance.random_range(0..kept.len());
                        if !kept[one].is_through {
                            world.succeed(kept[one].delivery);
                            kept[one].is_through = true;
                        }
                    }
                    5 => world.index(),
                    6 => world.fold(),
                    _ => world.writer.checkpoint().unwrap(),
                }
            }
        };
        while compaction.step(chance.random_range(1_000..30_000)).unwrap() != Step::Ready {
            steps += 1;
            work(&mut world, &mut kept, &mut chance);
            if chance.random_range(0..6) == 0 {
                let left = left_by_a_kill(folder.path());
                assert_whole(left.path(), &kept, &gone, &format!("seed {seed}, step {steps}"));
            }
        }
        assert!(steps > 5, "{steps} steps");
        work(&mut world, &mut kept, &mut chance);
        let left = left_by_a_kill(folder.path());
        assert_eq!(copies_in(left.path()), 1);
        assert_whole(left.path(), &kept, &gone, &format!("seed {seed}, before the turn"));

        let answered = compaction.turn().unwrap();
        assert_eq!(world.writer.step().jobs, 0);
        let left = left_by_a_kill(folder.path());
        assert_whole(left.path(), &kept, &gone, &format!("seed {seed}, after the turn"));
        let compacted = compaction.turned(answered.blocking_recv().unwrap().unwrap());
        drop(compaction);
        assert!(compacted.bytes_after < compacted.bytes_before / 2, "{compacted:?}");
        assert_kept(&world.store, &kept, "in the fresh file");
        for round in 0..8 {
            work(&mut world, &mut kept, &mut chance);
            let left = left_by_a_kill(folder.path());
            assert_whole(left.path(), &kept, &gone, &format!("seed {seed}, round {round} after it"));
        }
        // Again, with nothing to gain.
        let mut compaction = world.store.begin_compaction().unwrap();
        while compaction.step(1 << 20).unwrap() != Step::Ready {}
        let answered = compaction.turn().unwrap();
        _ = world.writer.step();
        compaction.turned(answered.blocking_recv().unwrap().unwrap());
        drop((compaction, world));
        assert_whole(folder.path(), &kept, &gone, &format!("seed {seed}, in the end"));
    }
}

#[test]
fn one_compaction_at_a_time_and_one_that_is_given_up_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world_in(folder.path());
    let (mut kept, gone) = mostly_free(&mut world);
    let mut given_up = world.store.begin_compaction().unwrap();
    assert_eq!(given_up.step(10_000).unwrap(), Step::Copying);
    assert!(matches!(world.store.begin_compaction(), Err(CompactionError::Running)));
    assert!(world.store.compaction().running.is_some());
    assert_eq!(copies_in(folder.path()), 1);
    drop(given_up);
    assert_eq!((world.store.compaction().running, copies_in(folder.path())), (None, 0));
    kept.push(publish(&mut world, 100, 1));
    drop(world);
    assert_whole(folder.path(), &kept, &gone, "afterwards");
}

#[test]
fn a_compaction_that_the_disk_has_no_room_for_does_not_begin() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(START.parse().unwrap());
    let all = Options { free_bytes_min: Some(1 << 60), ..options_in(folder.path(), &clock) };
    let opened = Store::open(all).unwrap();
    assert!(matches!(opened.store.begin_compaction(), Err(CompactionError::NoRoom { .. })));
    assert_eq!(opened.store.compaction().running, None);
}

#[test]
fn a_writer_that_ended_meanwhile_keeps_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world_in(folder.path());
    let (kept, gone) = mostly_free(&mut world);
    let mut compaction = world.store.begin_compaction().unwrap();
    while compaction.step(1 << 20).unwrap() != Step::Ready {}
    drop(world);
    // Nobody is there to take the copy.
    assert!(compaction.turn().is_err());
    drop(compaction);
    assert_whole(folder.path(), &kept, &gone, "afterwards");
}

#[test]
fn what_is_shown_of_a_volume_is_about_what_a_fresh_file_takes() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = world_in(folder.path());
    world.subscribe(subscription_to("a"));
    for number in 0..3000 {
        let kept = publish(&mut world, 900, number);
        world.succeed(kept.delivery);
    }
    world.index();
    world.fold();
    world.writer.checkpoint().unwrap();
    let shown = world.store.volume().unwrap();
    let rows = |name| shown.tables.iter().find(|table| table.name == name).unwrap().rows;
    assert_eq!((rows("events"), rows("payloads"), rows("attempts")), (3000, 3000, 3000));
    let mut compaction = world.store.begin_compaction().unwrap();
    while compaction.step(1 << 20).unwrap() != Step::Ready {}
    let answered = compaction.turn().unwrap();
    _ = world.writer.step();
    let taken = compaction.turned(answered.blocking_recv().unwrap().unwrap()).bytes_after;
    let used = shown.used_bytes();
    assert!(used.abs_diff(taken) < taken / 5, "shown {used}, a fresh file takes {taken}");
    assert_eq!(world.store.catalogue().tenant(TenantId::DEFAULT).unwrap().subscriptions().count(), 1);
}

/// What must not be found any more.
const MARK: &[u8] = b"Erase-Me-Whole";

fn holds(bytes: &[u8]) -> bool {
    bytes.windows(MARK.len()).any(|window| window.eq_ignore_ascii_case(MARK))
}

/// Files that hold the mark somewhere, in use or not.
fn files_with_the_mark(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let with_mark = entries.filter(|entry| holds(&std::fs::read(entry.path()).unwrap()));
    let mut names: Vec<_> = with_mark.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

/// Tables that have a row with the mark.
fn tables_with_the_mark(folder: &Path) -> Vec<String> {
    let database = redb::Database::open(folder.join("waxwing.redb")).unwrap();
    let read = database.begin_read().unwrap();
    let mut found = Vec::new();
    for handle in read.list_tables().unwrap() {
        let name = handle.name().to_owned();
        let table = read.open_table(TableDefinition::<&[u8], &[u8]>::new(&name)).unwrap();
        if table.iter().unwrap().map(Result::unwrap).any(|(key, value)| holds(key.value()) || holds(value.value())) {
            found.push(name);
        }
    }
    found
}

#[test]
fn an_erased_tenant_is_in_no_row_and_after_a_compaction_in_no_byte_of_the_folder() {
    let mark = std::str::from_utf8(MARK).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut world = world_in(folder.path());
    let store = world.store.clone();
    let marked = Tenant {
        name: format!("{mark} Inc."),
        metadata: [("k".to_owned(), mark.to_owned())].into(),
        header_prefix: Some(format!("X-{mark}-").parse().unwrap()),
        ..tenant(mark)
    };
    let doomed = world.run(store.create_tenant(marked, None)).unwrap().id;
    let made = world.run(store.create_key(key(mark, Some(doomed)), None)).unwrap();
    let name = RequestName([1; 32]);
    let remembered = StoredAnswer {
        status: 200,
        headers: vec![("location".to_owned(), mark.to_owned())],
        body: MARK.into(),
        shows_secret_of: None,
    };
    world.run(store.remember(name, [9; 32], made.id, remembered)).unwrap();
    let subscription = Subscription {
        tenant: doomed,
        url: TargetUrl::from_stored(&format!("https://{mark}.example/")).unwrap(),
        description: Some(mark.to_owned()),
        ..subscription_to("*")
    };
    world.subscribe(subscription);
    world.subscribe(subscription_to("*"));
    let mut kept = Vec::new();
    for number in 0..300 {
        let external_id = format!("{mark}-{number}");
        let data = format!("\"{external_id}\"").into();
        let of_doomed = NewEvent { tenant: doomed, data, ..event_with_external_id("a", &external_id) };
        let event = world.publish(of_doomed).unwrap().event;
        if number % 3 == 0 {
            world.succeed(world.deliveries_of(&event)[0].id);
        }
        kept.push(publish(&mut world, 500, number));
        if number % 100 == 0 {
            world.writer.checkpoint().unwrap();
        }
    }
    world.index();
    world.fold();
    world.writer.checkpoint().unwrap();
    let left = left_by_a_kill(folder.path());
    let tables = tables_with_the_mark(left.path());
    let expected = ["answers", "events", "external_ids", "keys", "payloads", "subscriptions", "tenants"];
    assert_eq!(tables, expected, "the search finds what is there");

    world.run(store.delete_tenant(doomed, None)).unwrap();
    drop(store);
    world.work();
    world.fold();
    world.index();
    world.writer.checkpoint().unwrap();
    let left = left_by_a_kill(folder.path());
    assert_eq!(tables_with_the_mark(left.path()), ["answers"], "which are kept for a day");
    world.wait(2 * DAY);
    world.retain();
    world.writer.checkpoint().unwrap();
    let left = left_by_a_kill(folder.path());
    assert_eq!(tables_with_the_mark(left.path()), [""; 0]);
    assert!(!files_with_the_mark(left.path()).is_empty(), "pages that are free keep what they had");

    let mut compaction = world.store.begin_compaction().unwrap();
    while compaction.step(1 << 20).unwrap() != Step::Ready {}
    let answered = compaction.turn().unwrap();
    _ = world.writer.step();
    compaction.turned(answered.blocking_recv().unwrap().unwrap());
    assert_eq!(files_with_the_mark(folder.path()), [""; 0]);
    drop((compaction, world));
    assert_whole(folder.path(), &kept, &[], "afterwards");
}
