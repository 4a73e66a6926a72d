//! Backups of an instance: made on a thread of their own, verified, kept where the operator said, on a schedule and as many as
//! were asked for.
//!
//! What is kept is what is there: a folder or a bucket lists it, and a file gets its name when it is whole and a store was
//! made of it and checked. Only what runs, and how the last one went, is in memory.

mod bucket;
mod place;
mod restore;
mod run;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use zeroize::Zeroizing;

pub use bucket::{Bucket, BucketOptions};
pub use place::{Download, Kept, Place, PlaceError};
pub use restore::{Restoring, Shut, Upload};
pub use run::{Made, Making, make};

use crate::clock::Clock;
use crate::domain::backup::{BackupName, KEPT_DEFAULT, Passphrase, Past, outdated};
use crate::domain::id::BackupId;
use crate::domain::operational::News;
use crate::domain::setting::StoredSettings;
use crate::domain::time::Timestamp;
use crate::store::backup::{BackupError, Progress, Sealing};
use crate::store::{Pace, Store};

/// How often the schedule is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How often what is kept is listed for it, when nothing happens.
const LIST_EVERY: Duration = Duration::from_secs(60 * 60);

impl From<PlaceError> for BackupError {
    fn from(PlaceError(why): PlaceError) -> Self {
        Self::Place(why)
    }
}

/// What backups are made with.
#[derive(Debug, Clone)]
pub struct Options {
    pub place: Place,
    /// Where one is made before it goes to its place: the place itself, when that is a folder.
    pub folder: PathBuf,
    /// Of the store, when it is not in its folder.
    pub secret_key: Option<Zeroizing<[u8; 32]>>,
    pub data_dir: PathBuf,
    /// For those that are asked for without one.
    pub passphrase: Option<Passphrase>,
}

/// Handles are the same.
#[derive(Clone)]
pub struct Backups {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    store: Store,
    clock: Clock,
    state: Mutex<State>,
    /// Of a backup that comes to this instance.
    restoring: Mutex<Option<Restoring>>,
    is_ready: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    running: Option<Run>,
    /// The last one, when it failed.
    failed: Option<Run>,
    newest_at: Option<Timestamp>,
    made_at: Option<Timestamp>,
    /// When it was listed last what is kept.
    listed_at: Option<Timestamp>,
    is_ending: bool,
}

/// One that is being made, or was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub name: BackupName,
    pub finished_at: Option<Timestamp>,
    /// None before the first step.
    pub progress: Option<Progress>,
    /// Why it failed.
    pub failure: Option<String>,
}

/// Why none was begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BeginError {
    #[error("a backup is being made")]
    Running,
    #[error("{0}")]
    Failed(String),
}

impl Backups {
    pub fn new(store: Store, clock: Clock, options: Options) -> Self {
        run::clear(&options.folder);
        let (state, restoring, is_ready) = (Mutex::default(), Mutex::default(), watch::Sender::new(false));
        Self { shared: Arc::new(Shared { options, store, clock, state, restoring, is_ready }) }
    }

    pub fn place(&self) -> &Place {
        &self.shared.options.place
    }

    /// Begins one.
    pub fn begin(&self, passphrase: Option<Passphrase>) -> Result<Run, BeginError> {
        let failed = |error: &dyn std::fmt::Display| BeginError::Failed(error.to_string());
        let sealing = self.shared.options.sealing(passphrase).map_err(|error| failed(&error))?;
        let name = BackupName { id: self.shared.store.next_backup_id(), is_sealed: sealing.is_some() };
        let run = Run { name, finished_at: None, progress: None, failure: None };
        {
            let mut state = self.state();
            if state.running.is_some() || state.is_ending {
                return Err(BeginError::Running);
            }
            state.running = Some(run.clone());
        }
        let runtime = tokio::runtime::Handle::current();
        let backups = self.clone();
        let spawned = std::thread::Builder::new().name("backup".to_owned()).spawn(move || {
            // Who publishes goes first: on Linux this concerns the calling thread alone.
            if let Err(error) = rustix::process::nice(19) {
                tracing::debug!(%error, "the backup runs like everything else");
            }
            backups.run(name, sealing.as_ref(), &runtime);
        });
        if let Err(error) = spawned {
            self.state().running = None;
            return Err(failed(&error));
        }
        Ok(run)
    }

    /// What runs, and what failed last.
    pub fn runs(&self) -> Vec<Run> {
        let state = self.state();
        state.running.iter().chain(&state.failed).cloned().collect()
    }

    /// What is kept, the oldest first.
    pub async fn list(&self) -> Result<Vec<Kept>, PlaceError> {
        let kept = self.shared.options.place.list().await?;
        let mut state = self.state();
        state.newest_at = kept.last().map(|kept| kept.name.created_at());
        state.listed_at = Some(self.shared.clock.now());
        Ok(kept)
    }

    pub async fn remove(&self, name: BackupName) -> Result<(), PlaceError> {
        self.shared.options.place.remove(name).await?;
        self.list().await.map(drop)
    }

    /// Forgets one that failed. Answers whether it was there.
    pub fn forget(&self, id: BackupId) -> bool {
        self.state().failed.take_if(|run| run.name.id == id).is_some()
    }

    /// When the newest that is kept was begun, as of what was listed last.
    pub fn newest_at(&self) -> Option<Timestamp> {
        self.state().newest_at
    }

    fn past(&self) -> Past {
        let state = self.state();
        let failed_at = state.failed.as_ref().and_then(|run| run.finished_at);
        Past { newest_at: state.newest_at, made_at: state.made_at, failed_at }
    }

    /// Keeps the schedule until it is dropped.
    pub async fn keep_schedule(self) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.look().await;
        }
    }

    /// Begins the next one when its time has come.
    pub async fn look(&self) {
        let (now, is_listed) = (self.shared.clock.now(), self.state().listed_at);
        if is_listed.is_none_or(|at| now >= at.plus(LIST_EVERY))
            && let Err(error) = self.list().await
        {
            tracing::warn!(%error, "the backups that are kept cannot be listed");
            return;
        }
        let Some(every) = schedule(self.shared.store.catalogue().settings()) else { return };
        if !self.past().is_due(every, now) {
            return;
        }
        match self.begin(None) {
            Ok(_) | Err(BeginError::Running) => {}
            Err(BeginError::Failed(error)) => tracing::error!(error, "a scheduled backup cannot begin"),
        }
    }

    /// Ends what runs, soon.
    pub fn end(&self) {
        self.state().is_ending = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("nothing panics while it holds the lock")
    }

    /// On its own thread.
    fn run(&self, name: BackupName, sealing: Option<&Sealing>, runtime: &tokio::runtime::Handle) {
        let Shared { options, store, clock, .. } = &*self.shared;
        let making = Making { store, options, name, sealing, runtime, pace: Pace::BesideWork };
        let made = make(&making, &mut |progress| {
            let mut state = self.state();
            if let Some(run) = &mut state.running {
                run.progress = Some(progress);
            }
            if state.is_ending { Err(BackupError::Stopped) } else { Ok(()) }
        });
        let is_ending = self.state().is_ending;
        match made {
            Ok(Made { kept: Kept { name, bytes }, findings }) => {
                tracing::info!(id = %name.id, bytes, place = options.place.shown(), "a backup was made and verified");
                if findings > 0 {
                    tracing::error!(id = %name.id, findings, "the store that was backed up has findings: see `waxwing check`");
                } else {
                    runtime.block_on(self.remove_outdated());
                }
                let mut state = self.state();
                state.running = None;
                state.failed = None;
                state.newest_at = state.newest_at.max(Some(name.created_at()));
                state.made_at = Some(clock.now());
            }
            Err(error) => {
                let why = error.to_string();
                if !is_ending {
                    tracing::warn!(id = %name.id, error = why, "a backup failed; what is kept stays");
                    let news = News::BackupFailed { id: name.id, error: why.clone() };
                    if let Err(error) = runtime.block_on(store.tell(news)) {
                        tracing::warn!(%error, "nobody hears of the backup that failed");
                    }
                }
                let mut state = self.state();
                let run = state.running.take();
                state.failed = run.map(|run| Run { finished_at: Some(clock.now()), failure: Some(why), ..run });
            }
        }
    }

    /// Only after a newer one was verified.
    async fn remove_outdated(&self) {
        let kept = self.shared.store.catalogue().settings().backups_kept.unwrap_or(KEPT_DEFAULT);
        let Some(kept) = std::num::NonZeroU32::new(kept) else { return };
        let removed = async {
            let names = self.list().await?.into_iter().map(|kept| kept.name).collect();
            for name in outdated(names, kept) {
                self.shared.options.place.remove(name).await?;
                tracing::info!(id = %name.id, "an old backup was removed");
            }
            Ok::<(), PlaceError>(())
        };
        if let Err(error) = removed.await {
            tracing::warn!(%error, "old backups cannot be removed");
        }
    }
}

/// None: there is no schedule.
fn schedule(settings: &StoredSettings) -> Option<Duration> {
    let hours = settings.backup_hours.flatten()?;
    Some(Duration::from_secs(u64::from(hours.get()) * 3600))
}

impl Options {
    /// What encrypts a backup. Without a passphrase the configured one is taken, if there is one.
    pub fn sealing(&self, passphrase: Option<Passphrase>) -> Result<Option<Sealing>, BackupError> {
        let Some(passphrase) = passphrase.or_else(|| self.passphrase.clone()) else { return Ok(None) };
        Ok(Some(Sealing { passphrase, secret_key: self.find_secret_key()? }))
    }

    fn find_secret_key(&self) -> Result<Zeroizing<[u8; 32]>, BackupError> {
        match &self.secret_key {
            Some(key) => Ok(key.clone()),
            None => crate::store::read_secret_key(&self.data_dir)?
                .ok_or_else(|| BackupError::KeyNeeded { path: self.data_dir.clone() }),
        }
    }
}
