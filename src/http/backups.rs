//! `/v1/backups` (contract 4.4): what is kept, what is being made, how the last one went.

use std::sync::Arc;

use poem::http::{HeaderValue, StatusCode, header};
use poem::{Body as PoemBody, IntoResponse, Response};
use poem_openapi::param::Path;
use poem_openapi::registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, Registry};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Serialize;
use tokio::io::AsyncWriteExt;

use super::audit;
use super::auth::{Caller, OfInstance, scope};
use super::body::{Body, Fields, Wire};
use super::page::{Listed, Numbered, Parameter, Parameters, Params, Query};
use super::problem::{Ground, Refusal};
use super::reply::{Answer, Attributes, Object as ResourceObject, One, Reply, inline};
use super::value::{Nullable, Time, choice};
use super::{App, Tag};
use crate::backups::{Backups, BeginError, Download, Kept, PlaceError, Run};
use crate::domain::audit::AuditObject;
use crate::domain::backup::{BackupName, PASSPHRASE_EXPECTED, Passphrase, Stage};
use crate::domain::id::BackupId;
use crate::domain::key::Scope;
use crate::domain::obstacle::Obstacle;
use crate::domain::violation::Rule;
use crate::store::backup::Progress;

const THING: &str = "Backup";
/// What is read of a backup and not yet sent.
const PIPE_BYTES: usize = 256 * 1024;

choice!(BackupStateName, "backup_state", ["running", "complete", "failed"]);
choice!(BackupPlaceName, "backup_place", ["folder", "bucket"]);
choice!(BackupStageName, "backup_stage", Stage::ALL.map(Stage::name));

/// A copy of everything that was acknowledged when it began
#[derive(Debug, Serialize, Object)]
struct BackupAttributes {
    /// `complete`: it is there, and a store was made of it and checked. Of those that failed only the last one is told, until the
    /// next succeeds or the server starts anew
    state: BackupStateName,
    created_at: Time,
    failed_at: Nullable<Time>,
    /// Null until it is complete
    size_bytes: Nullable<u64>,
    /// Whether it takes a passphrase to read it. If so it holds the secret key of the instance, too
    is_encrypted: bool,
    place: BackupPlaceName,
    /// The folder, or `s3://bucket/prefix`
    location: String,
    /// Of a running one. Null before its first step
    progress: Nullable<BackupProgress>,
    /// Why it failed, in English
    error: Nullable<String>,
}

/// How far it is
#[derive(Debug, Serialize, Object)]
struct BackupProgress {
    stage: BackupStageName,
    /// Rows while it is copied, bytes in the other stages
    done: u64,
    total: u64,
}

impl Attributes for BackupAttributes {
    const TYPE: &'static str = "backup";
    const NAME: &'static str = "Backup";
    const ONE: &'static str = "The backup";
    const PAGE: &'static str = "A page of backups: those that are kept, one that is being made, one that failed";
}

/// How a backup is made
#[derive(Object)]
#[oai(deny_unknown_fields)]
struct CreateBackup {
    /// Encrypts all of it, and the secret key of the instance goes along: who gives one needs the scope `settings:write`, too.
    /// Without one the configured one does, if there is one
    #[oai(validator(min_length = 12, max_length = 1024))]
    passphrase: Option<String>,
}

impl Wire for CreateBackup {
    const IS_BODY_REQUIRED: bool = false;

    fn read(fields: &mut Fields<'_>) -> Self {
        Self { passphrase: fields.take("passphrase") }
    }
}

struct BackupList(Numbered);

impl Parameters for BackupList {
    fn documented() -> Vec<Parameter> {
        Numbered::documented()
    }

    fn read(query: &mut Params) -> Self {
        Self(Numbered::read(query))
    }
}

pub struct BackupsApi {
    pub app: Arc<App>,
}

/// What the list holds.
enum Row {
    Run(Run),
    Kept(Kept),
}

impl Row {
    fn id(&self) -> BackupId {
        match self {
            Self::Run(run) => run.name.id,
            Self::Kept(kept) => kept.name.id,
        }
    }
}

#[OpenApi(prefix_path = "/v1/backups", tag = "Tag::Backups")]
impl BackupsApi {
    /// Make a backup
    ///
    /// In the background, while everything goes on: it holds whatever was acknowledged before this call. It is complete when a store was made
    /// of it and checked. 409 while another one is being made. An `Idempotency-Key` is ignored: the answer would be kept when
    /// what it tells of is long over.
    #[oai(path = "/", method = "post", operation_id = "backups.create")]
    async fn create(
        &self,
        caller: Caller<OfInstance<scope::BackupsWrite>>,
        body: Body<CreateBackup>,
    ) -> Result<Answer<One<BackupAttributes>, 202>, Refusal> {
        let (CreateBackup { passphrase }, mut findings) = body.read()?;
        let passphrase = passphrase.and_then(|text| {
            let passphrase = Passphrase::new(text).ok();
            if passphrase.is_none() {
                findings.add(Rule::InvalidFormat { expected: PASSPHRASE_EXPECTED }, "/passphrase");
            }
            passphrase
        });
        findings.finish()?;
        if passphrase.is_some() {
            // Whoever knows it can read the secret key, and with it every setting that is never shown.
            caller.require(Scope::SettingsWrite)?;
        }
        let run = self.app.backups.begin(passphrase).map_err(|error| match error {
            BeginError::Running => Ground::BackupRunning,
            BeginError::Failed(detail) => Ground::BackupsUnavailable { detail },
        })?;
        let location = format!("/v1/backups/{}", run.name.id);
        let row = self.object(&Row::Run(run));
        Ok(Reply::json(StatusCode::ACCEPTED, &One { data: row }).header("location", location).into())
    }

    /// List backups
    #[oai(path = "/", method = "get", operation_id = "backups.list")]
    async fn list(
        &self,
        caller: Caller<OfInstance<scope::BackupsRead>>,
        query: Query<BackupList>,
    ) -> Result<Answer<Listed<BackupAttributes>, 200>, Refusal> {
        let Query(BackupList(page)) = query;
        let page = page.cut(&caller, self.rows().await?, |row| self.object(&row));
        Ok(Reply::json(StatusCode::OK, &page).into())
    }

    /// Get a backup
    #[oai(path = "/:id", method = "get", operation_id = "backups.get")]
    async fn get(
        &self,
        _caller: Caller<OfInstance<scope::BackupsRead>>,
        id: Path<String>,
    ) -> Result<Answer<One<BackupAttributes>, 200>, Refusal> {
        let row = self.object(&self.find(&id).await?);
        Ok(Reply::json(StatusCode::OK, &One { data: row }).into())
    }

    /// Download a backup
    ///
    /// The file, which `waxwing restore` takes. It holds everything, so this needs `backups:write`, and leaves an entry in the audit log.
    #[oai(path = "/:id/download", method = "get", operation_id = "backups.download")]
    async fn download(
        &self,
        caller: Caller<OfInstance<scope::BackupsWrite>>,
        id: Path<String>,
    ) -> Result<BackupFile, Refusal> {
        let Row::Kept(kept) = self.find(&id).await? else {
            return Err(Ground::InvalidState(Obstacle::NoBackupFile).into());
        };
        let download = self.app.backups.place().read(kept).await.map_err(unavailable)?;
        let object = AuditObject { kind: BackupAttributes::TYPE.to_owned(), id: kept.name.id.to_string() };
        audit::note_reading(&caller.visit, "backups.download", object).await?;
        let (writer, reader) = tokio::io::duplex(PIPE_BYTES);
        // It ends with whoever reads.
        tokio::spawn(send(download, writer));
        Ok(BackupFile { kept, body: PoemBody::from_async_read(reader) })
    }

    /// Delete a backup
    ///
    /// 409 while it is being made.
    #[oai(path = "/:id", method = "delete", operation_id = "backups.delete")]
    async fn delete(
        &self,
        _caller: Caller<OfInstance<scope::BackupsWrite>>,
        id: Path<String>,
    ) -> Result<Answer<(), 204>, Refusal> {
        match self.find(&id).await? {
            Row::Kept(kept) => self.app.backups.remove(kept.name).await.map_err(unavailable)?,
            Row::Run(run) if self.app.backups.forget(run.name.id) => {}
            Row::Run(_) => return Err(Ground::BackupRunning.into()),
        }
        Ok(Reply::empty(StatusCode::NO_CONTENT).into())
    }
}

impl BackupsApi {
    /// The oldest first.
    async fn rows(&self) -> Result<Vec<Row>, Refusal> {
        let backups: &Backups = &self.app.backups;
        // One that becomes complete in between is there, and is not told twice.
        let runs = backups.runs();
        let kept = backups.list().await.map_err(unavailable)?;
        let is_kept = |run: &Run| kept.iter().any(|kept| kept.name == run.name);
        let mut rows: Vec<Row> = runs.into_iter().filter(|run| !is_kept(run)).map(Row::Run).collect();
        rows.extend(kept.into_iter().map(Row::Kept));
        rows.sort_unstable_by_key(Row::id);
        Ok(rows)
    }

    async fn find(&self, id: &str) -> Result<Row, Refusal> {
        let not_found = || Refusal::not_found(THING, id);
        let parsed: BackupId = id.parse().map_err(|_| not_found())?;
        self.rows().await?.into_iter().find(|row| row.id() == parsed).ok_or_else(not_found)
    }

    fn object(&self, row: &Row) -> ResourceObject<BackupAttributes> {
        let place = self.app.backups.place();
        let (name, bytes, progress, failure, failed_at) = match row {
            Row::Kept(Kept { name, bytes }) => (*name, Some(*bytes), None, None, None),
            Row::Run(Run { name, finished_at, progress, failure }) => {
                (*name, None, *progress, failure.clone(), *finished_at)
            }
        };
        let state = match row {
            Row::Kept(_) => "complete",
            Row::Run(_) if failure.is_some() => "failed",
            Row::Run(_) => "running",
        };
        let progress = progress.filter(|_| state == "running").map(|Progress { stage, done, total }| BackupProgress {
            stage: BackupStageName(stage.name()),
            done,
            total,
        });
        let BackupName { id, is_sealed } = name;
        let attributes = BackupAttributes {
            state: BackupStateName(state),
            created_at: Time(name.created_at()),
            failed_at: failed_at.map(Time).into(),
            size_bytes: bytes.into(),
            is_encrypted: is_sealed,
            place: BackupPlaceName(place.kind()),
            location: place.shown(),
            progress: progress.into(),
            error: failure.into(),
        };
        ResourceObject::new(id.to_string(), attributes)
    }
}

fn unavailable(PlaceError(detail): PlaceError) -> Refusal {
    Ground::BackupsUnavailable { detail }.into()
}

async fn send(mut download: Download, mut writer: tokio::io::DuplexStream) {
    loop {
        match download.next().await {
            Ok(Some(part)) => {
                // Whoever read has enough.
                if writer.write_all(&part).await.is_err() {
                    return;
                }
            }
            Ok(None) => return,
            // Fewer bytes than were announced: the reader sees that it is not whole.
            Err(error) => {
                return tracing::warn!(%error, id = %download.kept.name.id, "a download of a backup ends early");
            }
        }
    }
}

/// The bytes of a backup.
struct BackupFile {
    kept: Kept,
    body: PoemBody,
}

impl IntoResponse for BackupFile {
    fn into_response(self) -> Response {
        let Self { kept: Kept { name, bytes }, body } = self;
        let mut response = Response::builder().body(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CONTENT_LENGTH, bytes.into());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let named = format!("attachment; filename=\"{name}\"");
        headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_str(&named).expect("names are ASCII"));
        response
    }
}

impl ApiResponse for BackupFile {
    fn meta() -> MetaResponses {
        let schema = MetaSchema { format: Some("binary"), ..MetaSchema::new("string") };
        let response = MetaResponse {
            description: "The backup",
            status: Some(200),
            status_range: None,
            content: vec![MetaMediaType { content_type: "application/octet-stream", schema: inline(schema) }],
            headers: Vec::new(),
        };
        MetaResponses { responses: vec![response] }
    }

    fn register(_registry: &mut Registry) {}
}
