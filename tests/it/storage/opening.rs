//! Opening: keys, formats, folders and locks; and what a thief finds in the file.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use redb::{Database, ReadableDatabase, TableDefinition};
use waxwing::clock::{Clock, ManualClock};
use waxwing::domain::id::{KeyId, TenantId};
use waxwing::domain::job::{JobKind, JobState};
use waxwing::domain::key::{KeyKind, KeyText};
use waxwing::domain::key_pair::KeyPair;
use waxwing::domain::tenant::Tenant;
use waxwing::store::check;
use waxwing::store::{
    CACHE_BYTES_DEFAULT, Location, OpenError, Opened, Options, RequestName, Retention, SecretOwner, Store,
};

use super::world::*;
use crate::support::disk::SimDisk;

fn in_folder(folder: &Path) -> Options {
    Options {
        location: Location::Directory(folder.to_owned()),
        secret_key: None,
        clock: Clock::Manual(ManualClock::at("2026-02-18T12:00:00Z".parse().unwrap())),
        seed: 3,
        retention: Retention::default(),
        settings_fixed: Default::default(),
        free_bytes_min: Some(0),
        cache_bytes: CACHE_BYTES_DEFAULT,
    }
}

#[test]
fn a_new_store_has_its_two_tenants_and_a_folder_that_is_its_owners() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    let opened = Store::open(in_folder(&folder)).unwrap();
    let names: Vec<_> = opened.store.catalogue().tenants().map(|entry| entry.tenant.name.clone()).collect();
    assert_eq!(names, ["default", "system"]);
    assert!(opened.store.catalogue().tenant(TenantId::SYSTEM).is_some());
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for name in ["secret-key", "waxwing.redb", "waxwing.journal-a", "waxwing.journal-b"] {
        assert_eq!(mode(&folder.join(name)), 0o600, "{name}");
    }
    assert!(opened.store.files().store_bytes > 0);
    let disk = opened.store.disk();
    assert!(disk.free_bytes > 0 && disk.total_bytes >= disk.free_bytes, "{disk:?}");
}

#[test]
fn a_store_without_its_key_or_with_another_is_refused_and_no_new_key_is_made() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    drop(Store::open(in_folder(&folder)).unwrap());
    let key = folder.join("secret-key");
    let text = std::fs::read_to_string(&key).unwrap();
    let refusal = || Store::open(in_folder(&folder)).err().expect("it was opened");

    std::fs::remove_file(&key).unwrap();
    assert!(matches!(refusal(), OpenError::KeyMissing));
    assert!(matches!(check(Location::Directory(folder.clone()), None).unwrap_err(), OpenError::KeyMissing));
    assert!(!key.exists());
    std::fs::write(&key, "00".repeat(32)).unwrap();
    assert!(matches!(refusal(), OpenError::KeyWrong));
    for unreadable in ["", "00", &"0g".repeat(32)] {
        std::fs::write(&key, unreadable).unwrap();
        assert!(matches!(refusal(), OpenError::KeyUnreadable { .. }), "{unreadable:?}");
    }
    std::fs::write(&key, &text).unwrap();
    drop(Store::open(in_folder(&folder)).unwrap());
    std::fs::remove_file(&key).unwrap();
    let mut secret_key = [0; 32];
    hex::decode_to_slice(text.trim(), &mut secret_key).unwrap();
    drop(Store::open(Options { secret_key: Some(secret_key), ..in_folder(&folder) }).unwrap());
    assert!(!key.exists(), "a key that was given is not written");
    assert!(check(Location::Directory(folder), Some(secret_key)).unwrap().is_clean());
}

#[test]
fn a_first_start_that_was_interrupted_is_made_again() {
    let parent = tempfile::tempdir().unwrap();
    std::fs::write(parent.path().join("waxwing.redb.new"), [0; 8192]).unwrap();
    std::fs::write(parent.path().join("secret-key.new"), "00").unwrap();
    drop(Store::open(in_folder(parent.path())).unwrap());
    let mut names: Vec<_> = parent.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["secret-key", "waxwing.journal-a", "waxwing.journal-b", "waxwing.redb"]);
    assert!(check(Location::Directory(parent.path().to_owned()), None).unwrap().is_clean());
}

#[test]
fn two_processes_cannot_have_one_store() {
    let parent = tempfile::tempdir().unwrap();
    let opened = Store::open(in_folder(parent.path())).unwrap();
    assert!(matches!(Store::open(in_folder(parent.path())).err().unwrap(), OpenError::Locked));
    let checked = check(Location::Directory(parent.path().to_owned()), None);
    assert!(matches!(checked.unwrap_err(), OpenError::Locked));
    drop(opened);
    Store::open(in_folder(parent.path())).unwrap();
}

#[test]
fn a_file_of_a_newer_format_is_refused_untouched() {
    let parent = tempfile::tempdir().unwrap();
    drop(Store::open(in_folder(parent.path())).unwrap());
    let file = parent.path().join("waxwing.redb");
    let meta: TableDefinition<&[u8], &[u8]> = TableDefinition::new("meta");
    {
        let database = Database::create(&file).unwrap();
        let write = database.begin_write().unwrap();
        write.open_table(meta).unwrap().insert(&b"format"[..], &[1, 0, 0, 0, 9][..]).unwrap();
        write.commit().unwrap();
    }
    let refusal = Store::open(in_folder(parent.path())).err().unwrap();
    assert_eq!(
        refusal.to_string(),
        "the store has format 9, and this program knows formats up to 4: use a newer waxwing"
    );
    let checked = check(Location::Directory(parent.path().to_owned()), None);
    assert!(matches!(checked.unwrap_err(), OpenError::Newer { found: 9, known: 4 }));
    let database = Database::create(&file).unwrap();
    let read = database.begin_read().unwrap();
    assert_eq!(read.open_table(meta).unwrap().get(&b"format"[..]).unwrap().unwrap().value(), [1, 0, 0, 0, 9]);
}

#[test]
fn there_is_nothing_to_check_where_no_store_is() {
    let parent = tempfile::tempdir().unwrap();
    let checked = check(Location::Directory(parent.path().join("absent")), None);
    assert!(matches!(checked.unwrap_err(), OpenError::Absent));
    assert!(!parent.path().join("absent").exists());
}

#[test]
fn a_check_finds_a_row_that_is_missing_or_too_many() {
    let due: TableDefinition<&[u8], &[u8]> = TableDefinition::new("due");
    let payloads: TableDefinition<&[u8], &[u8]> = TableDefinition::new("payloads");
    let parent = tempfile::tempdir().unwrap();
    let damage = |spoil: &dyn Fn(&redb::WriteTransaction)| {
        let database = Database::create(parent.path().join("waxwing.redb")).unwrap();
        let write = database.begin_write().unwrap();
        spoil(&write);
        write.commit().unwrap();
        drop(database);
        check(Location::Directory(parent.path().to_owned()), None).unwrap().findings
    };
    drop(Store::open(in_folder(parent.path())).unwrap());
    assert!(damage(&|_| ()).is_empty());
    let findings = damage(&|write| {
        write.open_table(due).unwrap().insert(&[0; 40][..], &[][..]).unwrap();
        write.open_table(due).unwrap().insert(&[0; 7][..], &[][..]).unwrap();
        write.open_table(payloads).unwrap().insert(&[1; 16][..], &[1][..]).unwrap();
    });
    assert_eq!(findings.len(), 3, "{findings:#?}");
    let findings = damage(&|write| {
        write.delete_table(TableDefinition::<&[u8], &[u8]>::new("tenants")).unwrap();
        write.open_table(TableDefinition::<&[u8], &[u8]>::new("tenants")).unwrap();
    });
    assert_eq!(findings.len(), 5, "{findings:#?}");
}

#[test]
fn no_secret_is_in_the_file() {
    let mut world = World::new();
    let store = world.store.clone();
    let first = secret("first secret first secret!!");
    let second = secret("second secret second secret");
    let mut subscription = subscription_to("*");
    subscription.secret = first.clone();
    let subscription = world.subscribe(subscription);
    let rotated = second.clone();
    let rotate = Box::new(move |it: &mut waxwing::domain::subscription::Subscription| {
        let previous = std::mem::replace(&mut it.secret, rotated);
        let expires_at = it.updated_at.plus(DAY);
        it.previous_secret = Some(waxwing::domain::secret::PreviousSecret { secret: previous, expires_at });
        it.secret_version += 1;
        for byte in [0xa1, 0xa2] {
            it.replace_key_pair(KeyPair::from_private(&[byte; 32]), DAY, it.updated_at);
        }
        Ok(())
    });
    world.run(store.update_subscription(subscription.id, rotate, None)).unwrap();
    let [third, fourth] = ["third secret third secret!!", "fourth secret fourth secret"].map(secret);
    for new in [third.clone(), fourth.clone()] {
        let now = world.now();
        let rotate = Box::new(move |it: &mut Tenant| {
            it.rotate_secret(new, DAY, now);
            Ok(())
        });
        world.run(store.update_tenant(TenantId::DEFAULT, rotate, None)).unwrap();
    }
    let text = KeyText::generate(KeyKind::Native, &mut <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(5));
    let made = world.run(store.create_key(key(text.as_str(), None), None)).unwrap();
    let rename = |it: &waxwing::domain::key::ApiKey| it.id;
    let asker = rename(&made);
    let owner = Some(SecretOwner::Subscription(subscription.id));
    world.run(store.remember(RequestName([1; 32]), [9; 32], asker, answer(owner))).unwrap();
    world.run(store.remember(RequestName([2; 32]), [9; 32], KeyId::from_u128(4), answer(None))).unwrap();
    drop(store);
    let world = world.after_power_cut();
    let read = world.store.catalogue().subscription(subscription.id).unwrap().clone();
    assert_eq!((&read.secret, &read.previous_secret.as_ref().unwrap().secret), (&second, &first));
    let pairs = read.key_pairs.as_ref().unwrap();
    let pairs = [&pairs.current, &pairs.previous.as_ref().unwrap().pair];
    assert_eq!(pairs.map(|pair| pair.private()[0]), [0xa2, 0xa1]);
    let of_tenant = world.store.catalogue().tenant(TenantId::DEFAULT).unwrap().tenant.secret.clone().unwrap();
    assert_eq!((&of_tenant.secret, &of_tenant.previous.unwrap().secret), (&fourth, &third));

    let bytes = world.disk.bytes();
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(holds(b"https://example.com/hooks"), "the search finds what is there");
    let secrets = [&first, &second, &third, &fourth].map(|secret| secret.bytes());
    for secret in secrets.into_iter().chain(pairs.map(|pair| &pair.private()[..])) {
        assert!(!holds(secret));
        assert!(!holds(hex::encode(secret).as_bytes()));
        assert!(!holds(STANDARD.encode(secret).as_bytes()));
    }
    assert!(!holds(&SECRET_KEY));
    let answers = b"the secret of an answer";
    let count = bytes.windows(answers.len()).filter(|window| window == answers).count();
    assert!(count > 0, "the answer that shows no secret is kept as it is");
    // The name of the key is its text in this test: the hash must not be the only thing that hides it.
    assert!(holds(text.as_str().as_bytes()));
}

#[test]
fn a_store_on_a_thread_answers_tells_and_ends() {
    let parent = tempfile::tempdir().unwrap();
    let Opened { store, writer, mut changes } = Store::open(in_folder(parent.path())).unwrap();
    let thread = writer.spawn().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let subscription = store.create_subscription(subscription_to("*"), None).await.unwrap();
        assert_eq!(changes.recv().await.unwrap().len(), 1);
        let published = store.accept(vec![event("a")], None).await.unwrap().remove(0).unwrap();
        assert_eq!(published.event.deliveries, 1);
        let told = changes.recv().await.unwrap();
        assert!(
            matches!(&told[..], [waxwing::store::Change::Accepted(fresh)] if fresh[0].subscription == subscription.id)
        );
        store.close().await;
        assert!(store.accept(vec![event("a")], None).await.is_err());
        assert!(store.event(published.event.id).is_err());
        assert!(changes.recv().await.is_none());
    });
    thread.join().unwrap();
    // The handle is still there, and the file is free.
    let again = Store::open(in_folder(parent.path())).unwrap();
    assert_eq!(again.store.sizes().events, 1);
    drop(store);
}

#[test]
fn a_store_that_is_older_than_its_journal_is_refused_and_opens_with_its_own_or_without() {
    let parent = tempfile::tempdir().unwrap();
    let (database, journal) = (parent.path().join("waxwing.redb"), parent.path().join("waxwing.journal-a"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let live = |events: usize| {
        let Opened { store, writer, changes: _ } = Store::open(in_folder(parent.path())).unwrap();
        let thread = writer.spawn().unwrap();
        runtime.block_on(async {
            for _ in 0..events {
                store.accept(vec![event("a")], None).await.unwrap().remove(0).unwrap();
            }
            store.close().await;
        });
        thread.join().unwrap();
        assert_eq!(journal.metadata().unwrap().len(), 0, "a store that was closed is whole without its journal");
    };
    live(1);
    let old = std::fs::read(&database).unwrap();
    live(2);
    // It stops without a word: what it wrote last is in the journal.
    let Opened { store, mut writer, changes: _ } = Store::open(in_folder(parent.path())).unwrap();
    let mut accept = Box::pin(store.accept(vec![event("a")], None));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(accept.as_mut().poll(&mut context).is_pending());
    assert_eq!(writer.step().jobs, 1);
    let (own, newest) = (std::fs::read(&database).unwrap(), std::fs::read(&journal).unwrap());
    drop(accept);
    drop((store, writer));

    std::fs::write(&database, &old).unwrap();
    std::fs::write(&journal, &newest).unwrap();
    let refusal = Store::open(in_folder(parent.path())).err().expect("it was opened").to_string();
    assert!(refusal.contains("not of the same moment") && refusal.contains("waxwing.journal-a"), "{refusal}");
    assert!(check(Location::Directory(parent.path().to_owned()), None).is_err());

    // A store that is not there is not begun anew: it would have emptied the journal.
    std::fs::remove_file(&database).unwrap();
    let refusal = Store::open(in_folder(parent.path())).err().expect("it was opened").to_string();
    assert!(refusal.contains("waxwing.redb, is not there") && refusal.contains("waxwing.journal-a"), "{refusal}");
    assert!(matches!(
        check(Location::Directory(parent.path().to_owned()), None),
        Err(OpenError::StoreMissing { journal: "waxwing.journal-a" })
    ));
    assert_eq!(std::fs::read(&journal).unwrap(), newest);

    std::fs::write(&database, &own).unwrap();
    assert_eq!(Store::open(in_folder(parent.path())).unwrap().store.sizes().events, 4);
    std::fs::write(&database, &old).unwrap();
    std::fs::remove_file(&journal).unwrap();
    assert_eq!(Store::open(in_folder(parent.path())).unwrap().store.sizes().events, 1);
}

#[test]
fn a_simulated_disk_needs_its_key() {
    let disk = SimDisk::new(1);
    drop(World::on(disk.clone(), "2026-02-18T12:00:00Z".parse().unwrap()));
    let clock = ManualClock::at("2026-02-18T12:00:00Z".parse().unwrap());
    let free_bytes = std::sync::Arc::default();
    let without = Options { secret_key: None, ..options(&disk, &clock, &free_bytes) };
    assert!(matches!(Store::open(without).err().unwrap(), OpenError::KeyMissing));
    let wrong = Options { secret_key: Some([1; 32]), ..options(&disk, &clock, &free_bytes) };
    assert!(matches!(Store::open(wrong).err().unwrap(), OpenError::KeyWrong));
}

#[test]
fn a_file_from_before_a_table_existed_gets_it_when_it_is_opened() {
    let mut world = World::new();
    let subscription = world.subscribe(subscription_to("a"));
    world.publish(event("a")).unwrap();
    let (disk, now) = (world.disk.clone(), world.now());
    drop(world);
    let database = Database::builder().create_with_backend(disk.plug_in_database()).unwrap();
    let write = database.begin_write().unwrap();
    for name in ["jobs", "jobs_by_tenant", "job_deliveries", "redeliveries"] {
        assert!(write.delete_table(TableDefinition::<&[u8], &[u8]>::new(name)).unwrap(), "{name}");
    }
    write.commit().unwrap();
    drop(database);
    assert_clean(check_disk(&disk.copy(1)));
    let mut world = World::on(disk, now);
    let store = world.store.clone();
    let kind = JobKind::Recover { subscription: subscription.id, since: now };
    let job = world.run(store.start_job(TenantId::DEFAULT, kind, None)).unwrap().id;
    world.work();
    assert_eq!(world.store.job(job).unwrap().unwrap().state, JobState::Done);
    drop(store);
    assert_clean(world.check());
}

#[test]
fn a_store_that_the_disk_has_damaged_is_refused_or_opened_and_nothing_panics() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("waxwing.redb");
    drop(Store::open(in_folder(parent.path())).unwrap());
    let whole = std::fs::read(&file).unwrap();
    let mut refused = 0;
    for page in 0..whole.len() / 4096 {
        for byte in [0x00, 0xA5] {
            let mut damaged = whole.clone();
            damaged[page * 4096..(page + 1) * 4096].fill(byte);
            std::fs::write(&file, &damaged).unwrap();
            let checked = check(Location::Directory(parent.path().to_owned()), None);
            std::fs::write(&file, &damaged).unwrap();
            let opened = Store::open(in_folder(parent.path()));
            let is_refused = |error: &OpenError| matches!(error, OpenError::Storage(_) | OpenError::KeyWrong);
            if let Err(error) = &opened {
                assert!(is_refused(error), "page {page}: {error}");
                refused += 1;
            }
            if let Err(error) = &checked {
                assert!(is_refused(error), "page {page}: {error}");
            }
        }
    }
    assert!(refused > 0, "no page was looked at");
}
