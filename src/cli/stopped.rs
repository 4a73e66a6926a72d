//! The store of a server that is not running, for commands that work without one.

use super::{Context, Failure};
use crate::app::{self, StartError};
use crate::config::{Args, Config};
use crate::store::Store;

/// Does `work` on the store that `--data-dir` names, which has to exist.
pub(super) fn on_stopped<T>(
    data_dir: Option<String>,
    context: &Context,
    work: impl AsyncFnOnce(&Store) -> T,
) -> Result<T, Failure> {
    on_stopped_as(&context.config(&Args { data_dir, ..Args::default() })?, work)
}

/// The same with a configuration that is read already.
pub(super) fn on_stopped_as<T>(config: &Config, work: impl AsyncFnOnce(&Store) -> T) -> Result<T, Failure> {
    if !config.data_dir.value.join(crate::store::STORE_FILE).exists() {
        return Err(Failure::Usage(format!("there is no store in {}", config.data_dir.value.display())));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("the runtime cannot be started: {error}")))?;
    runtime.block_on(app::with_stopped_store(config, work)).map_err(|error| match error {
        StartError::StoreInUse { data_dir } => Failure::Usage(format!(
            "a server has the store in {} open: leave --data-dir out where the server can be asked, or stop it",
            data_dir.display()
        )),
        error => error.into(),
    })
}
