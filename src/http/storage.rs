//! `/v1/storage`: what the store takes on the disk, and giving space back.

use std::sync::Arc;

use poem::http::StatusCode;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::auth::{Caller, OfInstance, scope};
use super::body::{Body, Nothing};
use super::idempotency::{Fingerprint, once};
use super::problem::{Ground, Refusal};
use super::reply::{Answer, Attributes, One, Reply};
use super::value::{Nullable, Time, choice};
use super::{App, Tag, read_disk};
use crate::store::{
    Compacted, CompactionError, CompactionState, Disk, DiskLevel, Ended, Files, Pace, Progress, Store, StoreError,
    TableVolume, Volume,
};

const THE_ONE: &str = "storage";

choice!(DiskLevelName, "disk_level", DiskLevel::ALL.map(DiskLevel::name));

/// What the store takes on the disk, and for what
#[derive(Debug, Serialize, Object)]
struct StorageAttributes {
    files: FilesView,
    /// What is in use, about: the sum of the tables
    used_bytes: u64,
    /// What a compaction would give back, about. Until then it is used again before the file grows
    reclaimable_bytes: u64,
    disk: DiskView,
    /// By name
    tables: Vec<TableView>,
    /// The compaction that is under way
    compaction: Nullable<CompactionView>,
    /// The last one since the server was started
    last_compaction: Nullable<EndedView>,
}

impl Attributes for StorageAttributes {
    const TYPE: &'static str = "storage";
    const NAME: &'static str = "Storage";
    const ONE: &'static str = "What the store takes";
    const PAGE: &'static str = "What the store takes";
}

/// The file system that the data is on
#[derive(Debug, Serialize, Object)]
#[oai(rename = "Disk")]
pub struct DiskView {
    free_bytes: u64,
    /// New events are refused when less than this is free
    reserve_bytes: u64,
    /// A warning is given when less than this is free: two reserves, or a tenth of all if that is more
    warning_bytes: u64,
    /// 0 when it is not known
    total_bytes: u64,
    /// `low`: a warning is given; `refusing`: new events get 507
    level: DiskLevelName,
}

impl From<Disk> for DiskView {
    fn from(disk: Disk) -> Self {
        let Disk { free_bytes, reserve_bytes, warning_bytes, total_bytes, level } = disk;
        Self { free_bytes, reserve_bytes, warning_bytes, total_bytes, level: DiskLevelName(level.name()) }
    }
}

/// What the store's files take on the disk
#[derive(Debug, Serialize, Object)]
#[oai(rename = "StoreFiles")]
pub struct FilesView {
    /// What is free inside the file is used again before it grows
    store_bytes: u64,
    /// Both files of the journal
    journal_bytes: u64,
}

impl From<Files> for FilesView {
    fn from(Files { store_bytes, journal_bytes }: Files) -> Self {
        Self { store_bytes, journal_bytes }
    }
}

/// A table of the store
#[derive(Debug, Serialize, Object)]
#[oai(rename = "StorageTable")]
struct TableView {
    name: String,
    rows: u64,
    /// About: of large tables some rows are looked at
    bytes: u64,
}

/// A compaction that is under way
#[derive(Debug, Serialize, Object)]
#[oai(rename = "Compaction")]
struct CompactionView {
    begun_at: Time,
    bytes_copied: u64,
    /// About
    bytes_expected: u64,
}

/// How a compaction ended
#[derive(Debug, Serialize, Object)]
#[oai(rename = "EndedCompaction")]
struct EndedView {
    begun_at: Time,
    ended_at: Time,
    /// What the file took before
    bytes_before: Nullable<u64>,
    /// What it took afterwards
    bytes_after: Nullable<u64>,
    /// For so long nothing could be written
    pause_milliseconds: Nullable<u64>,
    /// Why nothing was given back; null: it was
    failure: Nullable<String>,
}

pub struct StorageApi {
    pub app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1/storage", tag = "Tag::Instance")]
impl StorageApi {
    /// What the store takes on the disk
    ///
    /// Sizes of large tables are estimates, so that this is quick however much there is.
    #[oai(path = "/", method = "get", operation_id = "storage.get")]
    async fn get(
        &self,
        _caller: Caller<OfInstance<scope::SettingsRead>>,
    ) -> Result<Answer<One<StorageAttributes>, 200>, Refusal> {
        Ok(self.now(StatusCode::OK).await?.into())
    }

    /// Give space back
    ///
    /// Copies what is in use into a fresh file, in the background and beside the work, and goes on in that one; `GET /v1/storage`
    /// shows how far it is. It needs room for the copy. Nothing is refused meanwhile.
    #[oai(path = "/compact", method = "post", operation_id = "storage.compact")]
    async fn compact(
        &self,
        caller: Caller<OfInstance<scope::SettingsWrite>>,
        body: Body<Nothing>,
    ) -> Result<Answer<One<StorageAttributes>, 202>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |_| {
            let (Nothing {}, findings) = body.read()?;
            findings.finish()?;
            let begun = read_disk(&self.app.store, |store| Ok(store.compact_in_background(Pace::BesideWork))).await?;
            begun.map_err(|error| match error {
                CompactionError::Running => Refusal::new(Ground::CompactionRunning),
                CompactionError::NoRoom { needed_bytes, free_bytes } => {
                    Refusal::new(Ground::NoRoomToCompact { needed_bytes, free_bytes })
                }
                // They come only on its way.
                CompactionError::TooBusy | CompactionError::RoomRanOut => Refusal::new(Ground::Internal),
                CompactionError::Store(error) => error.into(),
            })?;
            self.now(StatusCode::ACCEPTED).await
        })
        .await
        .map(Into::into)
    }
}

impl StorageApi {
    async fn now(&self, status: StatusCode) -> Result<Reply, Refusal> {
        let shown = read_disk(&self.app.store, attributes).await?;
        Ok(Reply::json(status, &One::new(THE_ONE, shown)))
    }
}

fn attributes(store: &Store) -> Result<StorageAttributes, StoreError> {
    let volume = store.volume()?;
    let (used_bytes, reclaimable_bytes) = (volume.used_bytes(), volume.reclaimable_bytes());
    let Volume { files, disk, tables } = volume;
    let CompactionState { running, last } = store.compaction();
    let tables =
        tables.into_iter().map(|TableVolume { name, rows, bytes }| TableView { name: name.to_owned(), rows, bytes });
    Ok(StorageAttributes {
        files: files.into(),
        used_bytes,
        reclaimable_bytes,
        disk: disk.into(),
        tables: tables.collect(),
        compaction: running
            .map(|Progress { begun_at, bytes_copied, bytes_expected }| CompactionView {
                begun_at: Time(begun_at),
                bytes_copied,
                bytes_expected,
            })
            .into(),
        last_compaction: last.map(ended).into(),
    })
}

fn ended(Ended { begun_at, ended_at, outcome }: Ended) -> EndedView {
    let (compacted, failure) = match outcome {
        Ok(compacted) => (Some(compacted), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let pause = |Compacted { pause, .. }: Compacted| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    EndedView {
        begun_at: Time(begun_at),
        ended_at: Time(ended_at),
        bytes_before: compacted.map(|one| one.bytes_before).into(),
        bytes_after: compacted.map(|one| one.bytes_after).into(),
        pause_milliseconds: compacted.map(pause).into(),
        failure: failure.into(),
    }
}
