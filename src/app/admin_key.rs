//! The key of the first start: one full-access key, its text in `<data-dir>/admin-key` for the operator to read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::StartError;
use crate::clock::Clock;
use crate::domain::id::KeyId;
use crate::domain::key::{ApiKey, KeyHash, KeyKind, KeyText, Preset, RateLimits};
use crate::domain::restriction::Restriction;
use crate::store::{self, Disk, Store, StoreError};

const FILE_NAME: &str = "admin-key";
/// The text is here until its hash is in the store: a crash between the two leaves no file with a dead key.
const FILE_NAME_UNTIL_STORED: &str = "admin-key.new";

pub fn admin_key_path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE_NAME)
}

/// The text of the key, when there is one and it can be read.
pub fn read_admin_key(data_dir: &Path) -> Option<Zeroizing<String>> {
    let text = Zeroizing::new(fs::read_to_string(admin_key_path(data_dir)).ok()?);
    Some(Zeroizing::new(text.trim().to_owned()))
}

/// The key in the file, when the store still takes it.
pub(super) fn live_admin_key(store: &Store, data_dir: &Path) -> Option<Zeroizing<String>> {
    let text = read_admin_key(data_dir)?;
    let catalogue = store.catalogue();
    catalogue.key_by_hash(&KeyHash::of(&text)).is_some_and(|key| key.revoked_at.is_none()).then_some(text)
}

/// Makes the key, keeps its hash in the store and writes its text to the file, which must not exist. `reserve`: what has to stay
/// free on the disk, in bytes, as it was configured.
pub(super) async fn create_admin_key(
    store: &Store,
    data_dir: &Path,
    reserve: Option<u64>,
    clock: &Clock,
) -> Result<(), StartError> {
    let (path, path_until_stored) = (admin_key_path(data_dir), data_dir.join(FILE_NAME_UNTIL_STORED));
    let cannot = |error: io::Error| StartError::Failed(format!("{} cannot be written: {error}", path.display()));
    let text = KeyText::generate(KeyKind::Native, &mut rand::rng());
    store::write_private(&path_until_stored, format!("{}\n", text.as_str()).as_bytes()).map_err(cannot)?;
    let key = new_key("admin (first start)", &text, clock);
    store.create_key(key, None).await.map_err(|error| match error {
        StoreError::StorageFull => no_room(data_dir, reserve),
        error => StartError::Failed(format!("no first API key can be made: {error}")),
    })?;
    // A link, not a rename: a rename would replace what somebody put there meanwhile.
    fs::hard_link(&path_until_stored, &path).map_err(cannot)?;
    fs::remove_file(&path_until_stored).map_err(cannot)
}

/// Goes on where a crash interrupted [`create_admin_key`].
pub(super) fn finish_admin_key(store: &Store, data_dir: &Path) -> Result<(), StartError> {
    let path_until_stored = data_dir.join(FILE_NAME_UNTIL_STORED);
    let Ok(text) = fs::read_to_string(&path_until_stored).map(Zeroizing::new) else { return Ok(()) };
    let path = admin_key_path(data_dir);
    let is_stored = store.catalogue().key_by_hash(&KeyHash::of(text.trim())).is_some();
    let link = || if is_stored && !path.exists() { fs::hard_link(&path_until_stored, &path) } else { Ok(()) };
    link()
        .and_then(|()| fs::remove_file(&path_until_stored))
        .map_err(|error| StartError::Failed(format!("{} cannot be finished: {error}", path.display())))
}

fn no_room(data_dir: &Path, reserve: Option<u64>) -> StartError {
    let room = store::disk_of(data_dir, reserve).map(|Disk { free_bytes, reserve_bytes, .. }| {
        let mib = |bytes: u64| bytes / (1024 * 1024);
        format!("{} MiB are free and {} MiB are kept in reserve", mib(free_bytes), mib(reserve_bytes))
    });
    let room = room.unwrap_or_else(|error| format!("the free space cannot be seen: {error}"));
    StartError::Configuration(format!(
        "{}: there is no room to begin with: {room}. Make room, choose another --data-dir, or keep less in reserve \
         (free_space_reserve, WAXWING_FREE_SPACE_RESERVE)",
        data_dir.display()
    ))
}

/// A full-access key of the instance.
fn new_key(name: &str, text: &KeyText, clock: &Clock) -> ApiKey {
    ApiKey {
        id: KeyId::from_u128(0),
        kind: KeyKind::Native,
        name: name.to_owned(),
        hash: text.hash(),
        tenant: None,
        scopes: Preset::FullAccess.scopes(),
        preset: Some(Preset::FullAccess),
        restriction: Restriction::default(),
        rate_limits: RateLimits::default(),
        expires_at: None,
        revoked_at: None,
        created_at: clock.now(),
    }
}
