//! Another key for the secrets of a store that nobody has open.
//!
//! All rows are written into a new file, what is sealed under the new key; that file then takes the place of the old one. Changed
//! in place, the file would go on holding, in pages that are free, what the old key opens. In this order, each durable before the
//! next:
//!
//! 1. the new key is in `secret-key.next` (unless it is kept elsewhere);
//! 2. the rows are in `waxwing.redb.next`, some thousands a transaction;
//! 3. the journal is empty: the old file has what was in it;
//! 4. `waxwing.redb.next` becomes `waxwing.redb`;
//! 5. `secret-key.next` becomes `secret-key`.
//!
//! Until 4 the old key opens the store, from then on the new one. Whoever opens the store next looks at what a crash left in
//! between ([`finish`]): both keys are there for as long as it can be either.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::path::Path;

use rand::TryRng;
use rand::rngs::SysRng;
use redb::{Builder, Database, ReadTransaction, ReadableDatabase, ReadableTableMetadata};
use zeroize::Zeroizing;

use super::StoreError;
use super::crypt::{Crypt, KeyChange};
use super::folder::{
    KEY_FILE, STORE_FILE, at, has_store, holds_something, open_journal, open_private, read_key, write_private,
};
use super::format::{Beginning, check_key, format, make_tables, migrate, write};
use super::journal::Row;
use super::open::OpenError;
use super::record::{MetaValue, Value};
use super::recovery::replay;
use super::schema::{Answers, Key, Kind, Meta, MetaName, NAMES, Settings, Subscriptions, Tenants, Users, definition};
use super::tables::{Read, Snapshot, damaged, disk};
use crate::clock::Clock;

pub(super) const KEY_FILE_NEXT: &str = "secret-key.next";
pub(super) const STORE_FILE_NEXT: &str = "waxwing.redb.next";
/// What one transaction copies …
const STEP_ROWS_MAX: usize = 4096;
/// … unless it is as much as this before.
const STEP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Of each of the two files.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// How far it came, as it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The new key is on the disk, beside the old one.
    KeyKept,
    Copied {
        rows: u64,
        of: u64,
    },
    JournalEmptied,
    /// From here on the new key opens the store.
    StoreReplaced,
    /// There is nothing more of the old key.
    Done,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rekeyed {
    Now,
    /// By an earlier one that was interrupted, whose rest is done now.
    Before,
}

/// Seals everything in the store anew. `old` is the key when it is no file beside the store, and then `new` has to be there;
/// else none makes a new one.
pub fn rekey(
    directory: &Path,
    old: Option<[u8; 32]>,
    new: Option<[u8; 32]>,
    clock: &Clock,
    mut tell: impl FnMut(Stage),
) -> Result<Rekeyed, OpenError> {
    let file = directory.join(STORE_FILE);
    if !has_store(directory)? {
        return Err(OpenError::Absent);
    }
    if finish(directory)? {
        return Ok(Rekeyed::Before);
    }
    let database = Builder::new().set_cache_size(CACHE_BYTES).open(&file)?;
    if format(&database)? == 0 {
        return Err(OpenError::Absent);
    }
    let is_in_file = old.is_none();
    let old = match old {
        Some(key) => Zeroizing::new(key),
        None => read_key(&directory.join(KEY_FILE))?.ok_or(OpenError::KeyMissing)?,
    };
    let new = match new {
        Some(key) => Zeroizing::new(key),
        None => new_key(directory)?,
    };
    let (from, to) = (Crypt::new(&old), Crypt::new(&new));
    if !is_in_file && key_check(&database)?.is_some_and(|check| to.is_key_of(&check)) {
        return Ok(Rekeyed::Before);
    }
    let mut journal = replay(&database, open_journal(directory)?, &from)?;
    migrate(&database, &Beginning { crypt: &from, now: clock.now() })?;
    make_tables(&database)?;
    refuse_full_disk(directory, &file)?;

    let (key_next, store_next) = (directory.join(KEY_FILE_NEXT), directory.join(STORE_FILE_NEXT));
    if is_in_file {
        let text = Zeroizing::new(hex::encode(*new) + "\n");
        write_private(&key_next, text.as_bytes()).map_err(at(&key_next))?;
        sync(directory)?;
        tell(Stage::KeyKept);
    }
    copy(&database, &store_next, &KeyChange { from: &from, to: &to }, &mut tell)?;
    journal.shrink().map_err(disk)?;
    tell(Stage::JournalEmptied);
    fs::rename(&store_next, &file).map_err(at(&file))?;
    sync(directory)?;
    tell(Stage::StoreReplaced);
    if is_in_file {
        let key = directory.join(KEY_FILE);
        fs::rename(&key_next, &key).map_err(at(&key))?;
        sync(directory)?;
    }
    tell(Stage::Done);
    // It holds the lock until here, so that nobody opens what is about to be replaced.
    drop(database);
    Ok(Rekeyed::Now)
}

/// Does what a change of the key left when it was interrupted: puts the new key in its place, when the store is already
/// sealed under it, or else removes what was prepared. Answers whether it was.
pub(super) fn finish(directory: &Path) -> Result<bool, OpenError> {
    let (key_next, store_next) = (directory.join(KEY_FILE_NEXT), directory.join(STORE_FILE_NEXT));
    let file = directory.join(STORE_FILE);
    if (!key_next.exists() && !store_next.exists()) || !holds_something(&file)? {
        return Ok(false);
    }
    // Whoever is at it has the lock.
    let database = Builder::new().set_cache_size(CACHE_BYTES).open(&file)?;
    let next = match read_key(&key_next) {
        // A crash while it was written.
        Err(OpenError::KeyUnreadable { .. }) => None,
        read => read?,
    };
    let check = key_check(&database)?;
    let is_changed = next.zip(check).is_some_and(|(key, check)| Crypt::new(&key).is_key_of(&check));
    if is_changed {
        let key = directory.join(KEY_FILE);
        fs::rename(&key_next, &key).map_err(at(&key))?;
    }
    for left in [key_next, store_next] {
        match fs::remove_file(&left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&left)(error)),
            Ok(()) | Err(_) => {}
        }
    }
    sync(directory)?;
    drop(database);
    Ok(is_changed)
}

fn key_check(database: &Database) -> Result<Option<Vec<u8>>, OpenError> {
    if format(database)? == 0 {
        return Ok(None);
    }
    let snapshot = Snapshot::new(database.begin_read().map_err(disk)?);
    Ok(snapshot.get::<Meta>(&MetaName::KeyCheck)?.map(|check| check.0))
}

fn new_key(directory: &Path) -> Result<Zeroizing<[u8; 32]>, OpenError> {
    let mut key = Zeroizing::new([0; 32]);
    let made = SysRng.try_fill_bytes(&mut *key);
    made.map_err(|error| at(&directory.join(KEY_FILE_NEXT))(io::Error::other(error.to_string())))?;
    Ok(key)
}

/// Makes the names of files durable.
fn sync(directory: &Path) -> Result<(), OpenError> {
    File::open(directory).and_then(|folder| folder.sync_all()).map_err(at(directory))
}

/// The new file is no larger than the old one: it has no pages that are free.
fn refuse_full_disk(directory: &Path, file: &Path) -> Result<(), OpenError> {
    let needed = fs::metadata(file).map_err(at(file))?.len();
    let figures = rustix::fs::statvfs(directory).map_err(|error| at(directory)(error.into()))?;
    let free = figures.f_bavail.saturating_mul(figures.f_frsize);
    if free < needed { Err(OpenError::NoRoom { needed, free }) } else { Ok(()) }
}

/// Makes the new file: all rows of the old one, with what is sealed in them under the new key.
fn copy(
    database: &Database,
    path: &Path,
    change: &KeyChange<'_>,
    tell: &mut impl FnMut(Stage),
) -> Result<(), OpenError> {
    let copy = Builder::new().set_cache_size(CACHE_BYTES).create_file(open_private(path)?)?;
    let source = database.begin_read().map_err(disk)?;
    let of = NAMES.iter().map(|name| rows(&source, name)).sum::<Result<u64, StoreError>>()?;
    let mut copied = 0;
    for (place, name) in NAMES.iter().enumerate() {
        let table = source.open_table(definition(name)).map_err(disk)?;
        let mut after: Option<Vec<u8>> = None;
        loop {
            let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let step = write(&copy, |tables| {
                let (mut last, mut rows, mut bytes) = (None, 0, 0);
                for row in table.range::<&[u8]>((from, Bound::Unbounded)).map_err(disk)? {
                    let (key, value) = row.map_err(disk)?;
                    let (key, value) = (key.value(), value.value());
                    let changed = changed(place, key, value, change)?;
                    tables.carry_out(&Row { table: place, key, value: Some(&changed) })?;
                    (rows, bytes) = (rows + 1, bytes + key.len() + changed.len());
                    if rows == STEP_ROWS_MAX || bytes >= STEP_BYTES_MAX {
                        last = Some(key.to_vec());
                        break;
                    }
                }
                Ok((last, rows))
            });
            let (last, rows) = step?;
            copied += rows as u64;
            tell(Stage::Copied { rows: copied, of });
            match last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
    }
    let sealed = Snapshot::new(copy.begin_read().map_err(disk)?);
    check_key(&sealed, change.to)?;
    drop((sealed, copy));
    File::open(path).and_then(|file| file.sync_all()).map_err(at(path))
}

fn rows(source: &ReadTransaction, name: &'static str) -> Result<u64, StoreError> {
    source.open_table(definition(name)).map_err(disk)?.len().map_err(disk)
}

/// The value of a row under the new key. Every record with something sealed in it is here: a test looks for them.
fn changed<'v>(place: usize, key: &[u8], value: &'v [u8], change: &KeyChange<'_>) -> Result<Cow<'v, [u8]>, StoreError> {
    match place {
        Meta::PLACE if key == MetaName::KeyCheck.to_key() => Ok(MetaValue(change.to.key_check()).encode().into()),
        Tenants::PLACE => resealed::<Tenants>(key, value, |id, record| record.reseal(id, change)),
        Subscriptions::PLACE => resealed::<Subscriptions>(key, value, |id, record| record.reseal(id, change)),
        Users::PLACE => resealed::<Users>(key, value, |id, record| record.reseal(id, change)),
        Answers::PLACE => resealed::<Answers>(key, value, |request, record| record.reseal(request, change)),
        Settings::PLACE => resealed::<Settings>(key, value, |name, record| record.reseal(name, change)),
        _ => Ok(value.into()),
    }
}

fn resealed<'v, K: Kind>(
    key: &[u8],
    value: &[u8],
    reseal: impl FnOnce(K::Key, &mut K::Value) -> Option<()>,
) -> Result<Cow<'v, [u8]>, StoreError> {
    let row = K::Key::from_key(key).zip(K::Value::decode(value));
    let (parsed, mut record) = row.ok_or_else(|| damaged::<K>(key))?;
    reseal(parsed, &mut record).ok_or_else(|| damaged::<K>(key))?;
    Ok(record.encode().into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    use bytes::Bytes;

    use super::*;
    use crate::domain::id::{KeyId, SubscriptionId};
    use crate::domain::setting::{SettingName, StoredSettings};
    use crate::domain::subscription::Subscription;
    use crate::domain::tenant::Tenant;
    use crate::domain::time::Timestamp;
    use crate::domain::user::User;
    use crate::store::open::open_to_check;
    use crate::store::record::tests::{a_full_subscription, a_full_tenant, a_full_user};
    use crate::store::record::{AnswerRecord, SettingRecord, SubscriptionRecord, TenantRecord, UserRecord};
    use crate::store::{Location, Options, RequestName, Retention, SecretOwner, Store, StoredAnswer};

    const REQUEST: RequestName = RequestName([1; 32]);

    fn open(directory: &Path, secret_key: Option<[u8; 32]>) -> Result<(), OpenError> {
        Store::open(Options {
            location: Location::Directory(directory.to_owned()),
            secret_key,
            clock: Clock::System,
            seed: 1,
            retention: Retention::default(),
            settings_fixed: BTreeSet::new(),
            free_bytes_min: None,
            cache_bytes: 1024 * 1024,
        })
        .map(drop)
    }

    fn deleted() -> Subscription {
        Subscription { id: SubscriptionId::from_u128(77), ..a_full_subscription() }
    }

    fn answer() -> StoredAnswer {
        let body = Bytes::from_static(b"an answer that shows a secret");
        let shows_secret_of = Some(SecretOwner::Subscription(SubscriptionId::from_u128(4)));
        StoredAnswer { status: 201, headers: Vec::new(), body, shows_secret_of }
    }

    fn settings() -> StoredSettings {
        let mut settings = StoredSettings::default();
        settings.put(SettingName::MailPassword, &"the password of the mail server".into()).expect("it can be one");
        settings
    }

    /// A store with one of each record that has something sealed, all of it there. Answers what is sealed, as it stands in the file.
    fn a_store(directory: &Path, key: Option<[u8; 32]>) -> Vec<Vec<u8>> {
        open(directory, key).expect("it is made");
        let (database, crypt) =
            open_to_check(Location::Directory(directory.to_owned()), key).expect("it was just made");
        let (tenant, subscription, user) = (a_full_tenant(), a_full_subscription(), a_full_user());
        let tenant_record = TenantRecord::from_domain(&tenant, &crypt);
        let record = SubscriptionRecord::from_domain(&subscription, &crypt);
        let mut deleted_record = SubscriptionRecord::from_domain(&deleted(), &crypt);
        deleted_record.deleted_at = Some(1);
        let user_record = UserRecord::from_domain(&user, &crypt);
        let at = Timestamp::from_millis(1);
        let asker = KeyId::from_u128(3).into();
        let answer_record = AnswerRecord::from_domain(answer(), REQUEST, [2; 32], asker, at, &crypt);
        let setting_record =
            SettingRecord::from_domain(&settings(), SettingName::MailPassword, &crypt).expect("it is set");
        let mut sealed = Vec::new();
        for record in [
            serde_json::to_value(&tenant_record),
            serde_json::to_value(&record),
            serde_json::to_value(&deleted_record),
            serde_json::to_value(&user_record),
            serde_json::to_value(&answer_record),
            serde_json::to_value(&setting_record),
        ] {
            sealed_in(&record.expect("records are plain"), &mut sealed);
        }
        write(&database, |tables| {
            tables.put::<Tenants>(&tenant.id, &tenant_record)?;
            tables.put::<Subscriptions>(&subscription.id, &record)?;
            tables.put::<Subscriptions>(&deleted().id, &deleted_record)?;
            tables.put::<Users>(&user.id, &user_record)?;
            tables.put::<Answers>(&REQUEST, &answer_record)?;
            tables.put::<Settings>(&SettingName::MailPassword, &setting_record)
        })
        .expect("it is written");
        sealed
    }

    /// A nonce and a tag have 40 bytes; nothing else in these records is so long and no text.
    fn sealed_in(value: &serde_json::Value, found: &mut Vec<Vec<u8>>) {
        match value {
            serde_json::Value::Array(items) => {
                let bytes: Option<Vec<u8>> =
                    items.iter().map(|item| item.as_u64().and_then(|byte| u8::try_from(byte).ok())).collect();
                match bytes.filter(|bytes| bytes.len() > 40) {
                    Some(bytes) => found.push(bytes),
                    None => items.iter().for_each(|item| sealed_in(item, found)),
                }
            }
            serde_json::Value::Object(members) => members.values().for_each(|member| sealed_in(member, found)),
            _ => {}
        }
    }

    /// Whatever lies in the folder, free pages and all.
    fn everything(directory: &Path) -> Vec<u8> {
        let files = fs::read_dir(directory).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
        files.flatten().collect()
    }

    fn holds(bytes: &[u8], part: &[u8]) -> bool {
        memchr::memmem::find(bytes, part).is_some()
    }

    /// What is in the store, opened with its key.
    fn read(directory: &Path, key: Option<[u8; 32]>) -> (Option<Tenant>, Vec<Option<Subscription>>, Option<User>) {
        open(directory, key).expect("it opens");
        let (database, crypt) = open_to_check(Location::Directory(directory.to_owned()), key).expect("it opens");
        let rows = Snapshot::new(database.begin_read().unwrap());
        let id = a_full_tenant().id;
        let tenant = rows.get::<Tenants>(&id).unwrap().and_then(|record| record.into_domain(id, &crypt));
        let subscriptions = [a_full_subscription().id, deleted().id];
        let subscriptions = subscriptions
            .map(|id| rows.get::<Subscriptions>(&id).unwrap().and_then(|record| record.to_domain(id, &crypt)));
        let id = a_full_user().id;
        let user = rows.get::<Users>(&id).unwrap().and_then(|record| record.into_domain(id, &crypt));
        let kept = rows.get::<Answers>(&REQUEST).unwrap().and_then(|record| record.into_domain(REQUEST, &crypt));
        assert_eq!(kept, Some(answer()));
        let kept = rows.get::<Settings>(&SettingName::MailPassword).unwrap();
        let kept = kept.and_then(|record| record.to_value(SettingName::MailPassword, &crypt));
        assert_eq!(kept.as_ref().and_then(|kept| kept.as_str()), settings().secret(SettingName::MailPassword));
        (tenant, subscriptions.to_vec(), user)
    }

    fn is_all_there(directory: &Path, key: Option<[u8; 32]>) {
        let subscriptions = vec![Some(a_full_subscription()), Some(deleted())];
        assert_eq!(read(directory, key), (Some(a_full_tenant()), subscriptions, Some(a_full_user())));
    }

    fn key_in(directory: &Path) -> [u8; 32] {
        *read_key(&directory.join(KEY_FILE)).unwrap().unwrap()
    }

    #[test]
    fn after_it_the_new_key_opens_everything_and_nothing_that_the_old_one_opened_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path();
        let sealed = a_store(directory, None);
        assert_eq!(
            sealed.len(),
            2 + 2 * 6 + 1 + 1 + 1,
            "of a tenant, two subscriptions, a user, an answer and a setting"
        );
        let before = everything(directory);
        assert!(sealed.iter().all(|sealed| holds(&before, sealed)), "they are found while they are there");
        let old = key_in(directory);
        assert_eq!(rekey(directory, None, None, &Clock::System, |_| {}).unwrap(), Rekeyed::Now);
        is_all_there(directory, None);
        let after = everything(directory);
        assert!(!sealed.iter().any(|sealed| holds(&after, sealed)), "the old key opens something yet");
        assert!(!holds(&after, hex::encode(old).as_bytes()), "the old key is there yet");
        assert!(matches!(open(directory, Some(old)), Err(OpenError::KeyWrong)));
        assert_ne!(key_in(directory), old);
    }

    #[test]
    fn interrupted_between_any_two_steps_it_is_done_or_not_done_and_another_one_works() {
        for stop in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let directory = folder.path();
            a_store(directory, None);
            let old = key_in(directory);
            let (mut stages, mut last) = (0, None);
            let done = catch_unwind(AssertUnwindSafe(|| {
                rekey(directory, None, None, &Clock::System, |stage| {
                    last = Some(stage);
                    if stages == stop {
                        resume_unwind(Box::new("the power is gone"));
                    }
                    stages += 1;
                })
            }));
            is_all_there(directory, None);
            let is_new = key_in(directory) != old;
            assert_eq!(is_new, matches!(last, Some(Stage::StoreReplaced | Stage::Done)), "after {last:?}");
            for left in [KEY_FILE_NEXT, STORE_FILE_NEXT] {
                assert!(!directory.join(left).exists(), "{left} after {last:?}");
            }
            if done.is_ok() {
                assert!(stop > NAMES.len(), "only {stop} places to stop at");
                return;
            }
            assert_eq!(rekey(directory, None, None, &Clock::System, |_| {}).unwrap(), Rekeyed::Now, "after {last:?}");
            is_all_there(directory, None);
        }
    }

    #[test]
    fn asked_again_before_anybody_opened_the_store_it_finishes_what_was_begun() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path();
        a_store(directory, None);
        let stopped = catch_unwind(AssertUnwindSafe(|| {
            rekey(directory, None, None, &Clock::System, |stage| {
                if stage == Stage::StoreReplaced {
                    resume_unwind(Box::new("the power is gone"));
                }
            })
        }));
        assert!(stopped.is_err());
        let next = *read_key(&directory.join(KEY_FILE_NEXT)).unwrap().unwrap();
        assert_eq!(rekey(directory, None, None, &Clock::System, |_| {}).unwrap(), Rekeyed::Before);
        assert_eq!(key_in(directory), next);
        is_all_there(directory, None);
    }

    #[test]
    fn a_key_that_is_kept_elsewhere_is_changed_without_any_file_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path();
        let (old, new) = ([1; 32], [2; 32]);
        a_store(directory, Some(old));
        let wrong = rekey(directory, Some([3; 32]), Some(new), &Clock::System, |_| {});
        assert!(matches!(wrong, Err(OpenError::KeyWrong)), "{wrong:?}");
        is_all_there(directory, Some(old));
        assert_eq!(rekey(directory, Some(old), Some(new), &Clock::System, |_| {}).unwrap(), Rekeyed::Now);
        is_all_there(directory, Some(new));
        assert!(matches!(open(directory, Some(old)), Err(OpenError::KeyWrong)));
        assert!(matches!(open(directory, None), Err(OpenError::KeyMissing)), "and no key is made");
        assert_eq!(rekey(directory, Some(old), Some(new), &Clock::System, |_| {}).unwrap(), Rekeyed::Before);
    }

    #[test]
    fn who_has_the_store_open_is_not_disturbed() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path();
        a_store(directory, None);
        let held = Builder::new().open(directory.join(STORE_FILE)).unwrap();
        let refused = rekey(directory, None, None, &Clock::System, |_| {});
        assert!(matches!(refused, Err(OpenError::Locked)), "{refused:?}");
        drop(held);
        is_all_there(directory, None);
        let empty = tempfile::tempdir().unwrap();
        let refused = rekey(empty.path(), None, None, &Clock::System, |_| {});
        assert!(matches!(refused, Err(OpenError::Absent)), "{refused:?}");
    }

    #[test]
    fn every_record_with_something_sealed_is_known_here() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/record");
        let mut found = BTreeSet::new();
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            // Those of earlier versions become today's when they are read.
            if ["tests.rs", "earlier.rs"].iter().any(|name| path.ends_with(name)) {
                continue;
            }
            let text = fs::read_to_string(path).unwrap();
            let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("use ")).collect();
            for item in lines.join("\n").split("\n}\n") {
                let mut names = item.lines().filter_map(|line| line.split_once("struct ").or(line.split_once("enum ")));
                let Some((_, name)) = names.next_back() else { continue };
                if item.contains(" Sealed") || item.contains("(Sealed") {
                    let end = name.find(|it: char| !it.is_alphanumeric()).unwrap_or(name.len());
                    found.insert(name[..end].to_owned());
                }
            }
        }
        // Each is taken up by the `reseal` of its record, and stands in `a_store`.
        let known = [
            "BodyRecord",
            "KeyPairsRecord",
            "SettingValueRecord",
            "SubscriptionRecord",
            "TenantSecretRecord",
            "TotpRecord",
        ];
        assert_eq!(found, known.into_iter().map(str::to_owned).collect());
    }
}
