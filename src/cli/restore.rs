//! `waxwing restore`: an instance made of a backup.

use std::path::PathBuf;

use serde_json::json;

use super::passphrase::PassphraseArgs;
use super::progress::Bar;
use super::{Context, Failure, Verdict, print, print_json};
use crate::config::Args;
use crate::store::backup::{BackupError, Restored, restore_into_empty};

/// Make an instance of a backup
///
/// Into a folder that is empty or not there yet. A backup that was made without a passphrase needs the secret key of its instance: put
/// the file secret-key into the folder first, or set WAXWING_SECRET_KEY. Nothing is sent before `waxwing serve` runs there; then what was
/// pending when the backup was made goes out, also what the instance itself delivered since.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing restore today.backup --data-dir /var/lib/waxwing --passphrase @passphrase
  install -D -m 600 secret-key new/secret-key && waxwing restore today.backup --data-dir new")]
pub(super) struct Restore {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The folder for the instance
    #[arg(long, value_name = "DIR")]
    data_dir: String,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Restore {
    pub(super) fn run(self, context: &Context) -> Result<Verdict, Failure> {
        let Self { file, data_dir, passphrase, json } = self;
        let config = context.config(&Args { data_dir: Some(data_dir), ..Args::default() })?;
        let (folder, passphrase) = (&config.data_dir.value, passphrase.read(&config)?);
        let mut bar = Bar::new();
        let restored =
            restore_into_empty(&file, folder, Context::secret_key(&config), passphrase.as_ref(), &mut |progress| {
                bar.show(progress.stage.name(), progress.done, progress.total);
                Ok(())
            });
        bar.end();
        let Restored { described, report, has_secret_key } = restored?;
        let verdict = if report.is_clean() { Verdict::Good } else { Verdict::Wrong };
        if json {
            print_json(&json!({
                "created_at": described.created_at.to_string(),
                "made_by": described.made_by,
                "data_dir": folder.to_string_lossy(),
                "has_secret_key": has_secret_key,
                "findings": report.findings,
                "findings_count": report.findings_count,
            }))?;
            return Ok(verdict);
        }
        for finding in &report.findings {
            print(&format!("wrong: {finding}"))?;
        }
        print(&format!("{} holds the instance as it was at {}", folder.display(), described.created_at))?;
        if !report.is_clean() {
            print(&format!("{} things were wrong in the instance when the backup was made", report.findings_count))?;
        }
        Ok(verdict)
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::NotEmpty { .. }
            | BackupError::BegunWith
            | BackupError::KeyNeeded { .. }
            | BackupError::PassphraseNeeded
            | BackupError::PassphraseWrong
            | BackupError::NotABackup
            | BackupError::Newer
            | BackupError::Open(_) => Self::Usage(error.to_string()),
            BackupError::Io { .. }
            | BackupError::Store(_)
            | BackupError::NoRoom { .. }
            | BackupError::Place(_)
            | BackupError::Stopped
            | BackupError::Damaged(_) => Self::Failed(error.to_string()),
        }
    }
}
