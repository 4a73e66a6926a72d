//! `/v1/storage`: what the store takes on the disk, and giving space back.

use std::sync::Arc;

use poem::http::StatusCode;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::auth::{Caller, scope};
use super::body::{Body, Nothing};
use super::idempotency::{Fingerprint, once};
use super::problem::{Ground, Refusal};
use super::reply::{Answer, Attributes, One, Reply};
use super::value::{Nullable, Time, choice};
use super::{App, Tag, read_disk};
use crate::store::{
    Compacted, CompactionError, CompactionState, Ended, Pace, Progress, Store, StoreError, TableVolume, Volume,
};

const THE_ONE: &str = "storage";

choice!(RoomName, "storage_room", ["enough", "low", "full"]);

/// What the store takes on the disk, and for what
#[derive(Debug, Serialize, Object)]
struct StorageAttributes {
    /// What the database's file takes on the disk
    file_bytes: u64,
    /// What the journal beside it takes
    journal_bytes: u64,
    /// What is in use, about: the sum of the tables
    used_bytes: u64,
    /// What a compaction would give back, about. Until then it is used again before the file grows
    reclaimable_bytes: u64,
    /// What is free on the file system
    free_bytes: u64,
    /// Below it new events are refused with 507
    refused_below_bytes: u64,
    /// Below it a warning is given
    warned_below_bytes: u64,
    /// `low`: new events are refused soon. `full`: they are
    room: RoomName,
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
    /// Only for instance keys. Sizes of large tables are estimates, so that this is quick however much there is.
    #[oai(path = "/", method = "get", operation_id = "storage.get")]
    async fn get(&self, caller: Caller<scope::SettingsRead>) -> Result<Answer<One<StorageAttributes>, 200>, Refusal> {
        caller.instance_key_only()?;
        Ok(self.now(StatusCode::OK).await?.into())
    }

    /// Give space back
    ///
    /// Copies what is in use into a fresh file, in the background and beside the work, and goes on in that one; `GET /v1/storage`
    /// shows how far it is. It needs room for the copy. Nothing is refused meanwhile.
    #[oai(path = "/compact", method = "post", operation_id = "storage.compact")]
    async fn compact(
        &self,
        caller: Caller<scope::SettingsWrite>,
        body: Body<Nothing>,
    ) -> Result<Answer<One<StorageAttributes>, 202>, Refusal> {
        once(&caller, Fingerprint::Json(body.bytes()), async |_| {
            caller.instance_key_only()?;
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
    let Volume { file_bytes, journal_bytes, free_bytes, reserve_bytes, warning_bytes, tables } = volume;
    let CompactionState { running, last } = store.compaction();
    let room = match free_bytes {
        free if free < reserve_bytes => "full",
        free if free < warning_bytes => "low",
        _ => "enough",
    };
    let tables =
        tables.into_iter().map(|TableVolume { name, rows, bytes }| TableView { name: name.to_owned(), rows, bytes });
    Ok(StorageAttributes {
        file_bytes,
        journal_bytes,
        used_bytes,
        reclaimable_bytes,
        free_bytes,
        refused_below_bytes: reserve_bytes,
        warned_below_bytes: warning_bytes,
        room: RoomName(room),
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
