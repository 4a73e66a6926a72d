//! A backup is the store of one moment, of use to who has its key, and nothing at all when a byte of it is another.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};

use bytes::Bytes;
use waxwing::backups::Shut;
use waxwing::clock::{Clock, ManualClock};
use waxwing::domain::backup::{Passphrase, Stage};
use waxwing::domain::delivery::{Outcome, RetryReason, State};
use waxwing::domain::event::NewEvent;
use waxwing::domain::id::{EventId, TenantId};
use waxwing::domain::time::Timestamp;
use waxwing::store::backup::{
    BackupError, Progress, Restored, Sealing, Watch, Written, check_backup, finish_restore, read_header, restore,
    restore_into_empty,
};
use waxwing::store::{CACHE_BYTES_DEFAULT, Location, OpenError, Opened, Options, Retention, Store};
use zeroize::Zeroizing;

use super::world::*;

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned()).unwrap()
}

fn sealing() -> Sealing {
    Sealing { passphrase: passphrase("correct horse"), secret_key: Zeroizing::new(SECRET_KEY) }
}

fn large_event() -> NewEvent {
    NewEvent { data: Bytes::from(format!("\"{}\"", "x".repeat(100_000))), ..event("a") }
}

/// With three blocks of payloads, and a delivery in each state of its life.
fn world() -> (World, Vec<EventId>) {
    let mut world = World::new();
    world.subscribe(subscription_to("*"));
    let store = world.store.clone();
    world.run(store.create_tenant(tenant("acme"), None)).unwrap();
    let published: Vec<_> = (0..25).map(|_| world.publish(large_event()).unwrap().event).collect();
    let delivery = |n: usize| world.deliveries_of(&published[n])[0].id;
    let (done, tried) = (delivery(0), delivery(1));
    world.succeed(done);
    let now = world.now();
    let again = State::Retrying { next_attempt_at: now.plus(DAY), reason: RetryReason::Schedule };
    world.try_attempt(tried, Outcome::Status(503), again).unwrap();
    world.index();
    world.fold();
    let events = published.iter().map(|event| event.id).collect();
    (world, events)
}

fn back_up(world: &World, path: &Path, sealing: Option<&Sealing>, watch: Watch<'_>) -> Result<Written, BackupError> {
    let file = File::create_new(path).unwrap();
    world.store.back_up(&file, path, world.store.next_backup_id(), sealing, watch)
}

fn quietly(_: Progress) -> Result<(), BackupError> {
    Ok(())
}

fn open(folder: &Path, secret_key: Option<[u8; 32]>, now: Timestamp) -> Store {
    let opened = Store::open(Options {
        location: Location::Directory(folder.to_owned()),
        secret_key,
        clock: Clock::Manual(ManualClock::at(now)),
        seed: 7,
        retention: Retention::default(),
        settings_fixed: Default::default(),
        free_bytes_min: Some(0),
        cache_bytes: CACHE_BYTES_DEFAULT,
    });
    let Opened { store, writer: _, changes: _ } = opened.unwrap();
    store
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).map_or_else(|_| Vec::new(), |entries| entries.collect());
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = entries.into_iter().map(name).collect();
    names.sort();
    names
}

#[test]
fn a_backup_holds_all_that_was_answered_before_it_began_and_nothing_of_what_came_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let (backup, restored) = (folder.path().join("a.backup"), folder.path().join("restored"));
    let (mut world, events) = world();
    let states: Vec<_> =
        events.iter().map(|id| world.store.deliveries_of(&world.store.event(*id).unwrap().unwrap()).unwrap()).collect();
    let (store, file) = (world.store.clone(), File::create_new(&backup).unwrap());
    let mut meanwhile = Vec::new();
    let mut steps = Vec::new();
    let written = store
        .back_up(&file, &backup, store.next_backup_id(), None, &mut |progress| {
            steps.push(progress);
            meanwhile.push(world.publish(large_event()).unwrap().event.id);
            Ok(())
        })
        .unwrap();
    assert!(meanwhile.len() >= 3, "it goes in steps");
    assert!(steps.windows(2).all(|pair| pair[0].done < pair[1].done), "{steps:?}");
    assert!(steps.last().is_some_and(|last| last.done == last.total && last.total == written.rows));
    assert_eq!(written.bytes, fs::metadata(&backup).unwrap().len());
    assert!(written.bytes * 10 < written.rows_bytes, "what repeats is compressed");
    let Restored { report, has_secret_key, .. } =
        restore_into_empty(&backup, &restored, Some(SECRET_KEY), None, &mut quietly).unwrap();
    assert_clean(report);
    assert!(!has_secret_key);
    assert_eq!(names(&restored), ["waxwing.redb"]);
    let copy = open(&restored, Some(SECRET_KEY), world.now());
    for (id, expected) in events.iter().zip(states) {
        let event = copy.event(*id).unwrap().expect("it was answered before");
        assert_eq!(copy.event_data(*id).unwrap().unwrap().len(), 100_002);
        let found = copy.deliveries_of(&event).unwrap();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!((found.id, &found.state, found.attempts), (expected.id, &expected.state, expected.attempts));
        }
    }
    for id in meanwhile {
        assert!(copy.event(id).unwrap().is_none(), "it came later");
    }
    assert!(copy.catalogue().tenants().any(|tenant| tenant.tenant.name == "acme"));
    assert!(copy.next_event_id() > *events.last().unwrap(), "ids go on");
}

#[test]
fn with_a_passphrase_nothing_can_be_read_and_the_key_goes_along() {
    let folder = tempfile::tempdir().unwrap();
    let (backup, restored) = (folder.path().join("a.backup"), folder.path().join("restored"));
    let (world, events) = world();
    back_up(&world, &backup, Some(&sealing()), &mut quietly).unwrap();
    let bytes = fs::read(&backup).unwrap();
    for text in ["acme", "example.com", "deliveries"] {
        assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "{text} can be read");
    }
    assert!(read_header(&backup).unwrap().is_sealed);
    let without = restore_into_empty(&backup, &restored, None, None, &mut quietly);
    assert!(matches!(without, Err(BackupError::PassphraseNeeded)), "{without:?}");
    let wrong = passphrase("correct house");
    let wrong = restore_into_empty(&backup, &restored, Some(SECRET_KEY), Some(&wrong), &mut quietly);
    assert!(matches!(wrong, Err(BackupError::PassphraseWrong)), "{wrong:?}");
    assert_eq!(names(&restored), [""; 0], "nothing is left of a try");
    let right = passphrase("correct horse");
    let made = restore_into_empty(&backup, &restored, None, Some(&right), &mut quietly).unwrap();
    assert!(made.has_secret_key);
    assert_clean(made.report);
    let mode = fs::metadata(restored.join("secret-key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(open(&restored, None, world.now()).event(events[0]).unwrap().is_some());
}

#[test]
fn without_a_passphrase_the_key_is_left_out_and_has_to_be_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let (backup, restored) = (folder.path().join("a.backup"), folder.path().join("restored"));
    let (world, _) = world();
    back_up(&world, &backup, None, &mut quietly).unwrap();
    let none = restore_into_empty(&backup, &restored, None, None, &mut quietly);
    assert!(matches!(none, Err(BackupError::KeyNeeded { .. })), "{none:?}");
    let wrong = restore_into_empty(&backup, &restored, Some([1; 32]), None, &mut quietly);
    assert!(matches!(wrong, Err(BackupError::Open(OpenError::KeyWrong))), "{wrong:?}");
    assert_eq!(names(&restored), [""; 0]);
    fs::write(restored.join("secret-key"), hex::encode(SECRET_KEY)).unwrap();
    restore_into_empty(&backup, &restored, None, None, &mut quietly).unwrap();
    assert_eq!(names(&restored), ["secret-key", "waxwing.redb"]);
    let again = restore_into_empty(&backup, &restored, None, None, &mut quietly);
    assert!(matches!(again, Err(BackupError::NotEmpty { .. })), "{again:?}");
}

#[test]
fn a_backup_of_which_a_byte_is_another_or_missing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (backup, checked) = (folder.path().join("a.backup"), folder.path().join("checked"));
    let (world, _) = world();
    for sealing in [None, Some(sealing())] {
        _ = fs::remove_file(&backup);
        back_up(&world, &backup, sealing.as_ref(), &mut quietly).unwrap();
        let whole = fs::read(&backup).unwrap();
        let passphrase = sealing.as_ref().map(|sealing| &sealing.passphrase);
        let check = |bytes: &[u8]| {
            fs::write(&backup, bytes).unwrap();
            check_backup(&backup, &checked, Some(SECRET_KEY), passphrase, &mut quietly)
        };
        assert_clean(check(&whole).unwrap().report);
        let length = whole.len();
        for place in [0, 16, 18, 60, length / 2, length - 33, length - 1] {
            let mut other = whole.clone();
            other[place] ^= 1;
            assert!(check(&other).is_err(), "{place} of {length}");
        }
        for kept in [0, 10, 30, length / 2, length - 32, length - 1] {
            assert!(check(&whole[..kept]).is_err(), "{kept} of {length}");
        }
        assert!(check(&[&whole[..], b"x"].concat()).is_err());
        assert!(matches!(check(b"PK\x03\x04 something else entirely"), Err(BackupError::NotABackup)));
        assert!(matches!(check(b"waxwing backup 2\n and more"), Err(BackupError::Newer)));
        assert_eq!(names(&checked), [""; 0]);
    }
}

#[test]
fn a_store_that_is_closed_meanwhile_ends_its_backup() {
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("a.backup");
    let (mut world, _) = world();
    let (store, file) = (world.store.clone(), File::create_new(&backup).unwrap());
    let ended = store.back_up(&file, &backup, store.next_backup_id(), None, &mut |_| {
        let mut closing = pin!(store.close());
        assert!(closing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        _ = world.writer.step();
        Ok(())
    });
    assert!(matches!(ended, Err(BackupError::Stopped)), "{ended:?}");
}

#[test]
fn whoever_watches_can_end_it_in_every_stage() {
    let folder = tempfile::tempdir().unwrap();
    let (backup, checked) = (folder.path().join("a.backup"), folder.path().join("checked"));
    let (world, _) = world();
    let stop_at =
        |stage| move |progress: Progress| if progress.stage == stage { Err(BackupError::Stopped) } else { Ok(()) };
    let ended = back_up(&world, &backup, None, &mut stop_at(Stage::Copying));
    assert!(matches!(ended, Err(BackupError::Stopped)));
    fs::remove_file(&backup).unwrap();
    back_up(&world, &backup, None, &mut quietly).unwrap();
    for stage in [Stage::Reading, Stage::Restoring] {
        let ended = check_backup(&backup, &checked, Some(SECRET_KEY), None, &mut stop_at(stage));
        assert!(matches!(ended, Err(BackupError::Stopped)), "{stage:?}");
        assert!(!checked.exists());
    }
}

/// A folder with a store in it, and a backup of another one that is ready to take its place.
fn about_to_be_replaced(folder: &Path) -> EventId {
    let (world, events) = world();
    let backup = folder.join("a.backup");
    back_up(&world, &backup, Some(&sealing()), &mut quietly).unwrap();
    let data = folder.join("data");
    drop(open(&data, None, world.now()));
    fs::write(data.join("admin-key"), "of the old one").unwrap();
    assert!(!finish_restore(&data).unwrap());
    let right = passphrase("correct horse");
    // Somebody has begun with what is there: it stays, also at the next opening.
    let refused = restore(&backup, &data, None, Some(&right), &mut quietly, || None::<()>);
    assert!(matches!(refused, Err(BackupError::BegunWith)), "{refused:?}");
    assert!(!finish_restore(&data).unwrap());
    restore(&backup, &data, None, Some(&right), &mut quietly, || Some(())).unwrap();
    events[0]
}

#[test]
fn a_restore_that_cannot_be_named_leaves_the_store_that_is_there_at_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let (world, _) = world();
    let (backup, data) = (folder.path().join("a.backup"), folder.path().join("data"));
    back_up(&world, &backup, Some(&sealing()), &mut quietly).unwrap();
    drop(open(&data, None, world.now()));
    // A name that is taken.
    fs::create_dir_all(data.join("restore.ready/by-somebody")).unwrap();
    let is_shut = Arc::new(AtomicBool::new(false));
    let right = passphrase("correct horse");
    let shut = || {
        let shut = Shut::begin(Arc::clone(&is_shut));
        assert!(is_shut.load(Ordering::Acquire));
        Some(shut)
    };
    let failed = restore(&backup, &data, None, Some(&right), &mut quietly, shut).map(|(restored, _)| restored);
    assert!(matches!(failed, Err(BackupError::Io { .. })), "{failed:?}");
    assert!(!is_shut.load(Ordering::Acquire), "work goes on");
    assert!(
        !data.join("restore.new").exists() && !finish_restore(&data).unwrap(),
        "the next opening opens what was there"
    );
}

#[test]
fn a_restore_in_place_is_finished_wherever_it_was_interrupted() {
    let moves: [&[(&str, &str)]; 5] = [
        &[],
        &[("waxwing.redb", "replaced/waxwing.redb")],
        &[
            ("waxwing.redb", "replaced/waxwing.redb"),
            ("waxwing.journal-a", "replaced/waxwing.journal-a"),
            ("waxwing.journal-b", "replaced/waxwing.journal-b"),
            ("admin-key", "replaced/admin-key"),
            ("secret-key", "replaced/secret-key"),
        ],
        &[
            ("waxwing.redb", "replaced/waxwing.redb"),
            ("waxwing.journal-a", "replaced/waxwing.journal-a"),
            ("waxwing.journal-b", "replaced/waxwing.journal-b"),
            ("admin-key", "replaced/admin-key"),
            ("secret-key", "replaced/secret-key"),
            ("restore.ready/secret-key", "secret-key"),
        ],
        &[
            ("waxwing.redb", "replaced/waxwing.redb"),
            ("waxwing.journal-a", "replaced/waxwing.journal-a"),
            ("waxwing.journal-b", "replaced/waxwing.journal-b"),
            ("admin-key", "replaced/admin-key"),
            ("secret-key", "replaced/secret-key"),
            ("restore.ready/secret-key", "secret-key"),
            ("restore.ready/waxwing.redb", "waxwing.redb"),
        ],
    ];
    let folder = tempfile::tempdir().unwrap();
    let event = about_to_be_replaced(folder.path());
    for (n, moves) in moves.into_iter().enumerate() {
        let (data, copy) = (folder.path().join("data"), folder.path().join(format!("data-{n}")));
        copy_folder(&data, &copy);
        for (from, to) in moves {
            fs::create_dir_all(copy.join("replaced")).unwrap();
            fs::rename(copy.join(from), copy.join(to)).unwrap();
        }
        assert!(finish_restore(&copy).unwrap(), "{moves:?}");
        assert!(!finish_restore(&copy).unwrap(), "{moves:?}");
        assert_eq!(names(&copy), ["replaced", "secret-key", "waxwing.redb"], "{moves:?}");
        assert_eq!(
            names(&copy.join("replaced")),
            ["admin-key", "secret-key", "waxwing.journal-a", "waxwing.journal-b", "waxwing.redb"]
        );
        let store = open(&copy, None, "2026-02-18T13:00:00Z".parse().unwrap());
        assert!(store.event(event).unwrap().is_some_and(|event| event.tenant == TenantId::DEFAULT), "{moves:?}");
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
