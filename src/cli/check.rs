//! `waxwing check`: walks the store of a stopped server, and compares every index with what it indexes.

use std::fs;
use std::path::{Path, PathBuf};

use super::passphrase::PassphraseArgs;
use super::progress::Bar;
use super::table::table;
use super::{Context, Failure, Verdict, print, print_json};
use crate::app;
use crate::clock::Clock;
use crate::config::{Args, Config};
use crate::store::backup::{BackupError, check_backup};
use crate::store::{self, Report};

/// Check the store of a stopped server, or a backup
///
/// Walks every table and compares every index; changes nothing. Of a backup a store is made beside it, and removed. Exit code 0: nothing
/// wrong; 1: something is.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing check
  waxwing check --data-dir /var/lib/waxwing --json
  waxwing check today.backup --passphrase @passphrase
  waxwing check today.backup --data-dir /var/lib/waxwing      the secret key is there")]
pub(super) struct Check {
    /// A backup
    #[arg(value_name = "FILE")]
    backup: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
    /// The folder with waxwing.redb; of a backup without passphrase, the one with its secret-key
    /// [default: WAXWING_DATA_DIR, else ./waxwing-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self, context: &Context) -> Result<Verdict, Failure> {
        let Self { backup, passphrase, data_dir, json } = self;
        let config = context.config(&Args { data_dir, ..Args::default() })?;
        let (report, file, shown_dir) = match backup {
            Some(file) => {
                let report = check_file(&file, &passphrase, &config)?;
                let shown = file.display().to_string();
                (report, file, shown)
            }
            None => {
                let shown_dir = config.data_dir.value.display().to_string();
                let file = config.data_dir.value.join(store::STORE_FILE);
                if !file.exists() {
                    return Err(Failure::Usage(format!("there is no store in {shown_dir}: give --data-dir")));
                }
                let store::Options { location, secret_key, .. } = app::store_options(&config, Clock::System);
                let report = store::check(location, secret_key).map_err(|error| Failure::Failed(error.to_string()))?;
                (report, file, shown_dir)
            }
        };
        // What is free inside the file is used again before it grows.
        let file_bytes = fs::metadata(&file).map_or(0, |metadata| metadata.len());
        let verdict = if report.is_clean() { Verdict::Good } else { Verdict::Wrong };
        if json {
            let mut shown = serde_json::to_value(&report).expect("a report is JSON");
            shown["file_bytes"] = file_bytes.into();
            print_json(&shown)?;
            return Ok(verdict);
        }
        let mut rows = vec![vec!["TABLE".to_owned(), "ROWS".to_owned(), "BYTES".to_owned()]];
        rows.extend(
            report.tables.iter().map(|one| vec![one.name.to_owned(), one.rows.to_string(), one.bytes.to_string()]),
        );
        print(&table(&rows))?;
        if !report.is_file_sound {
            print("wrong: pages of the file are damaged")?;
        }
        for finding in &report.findings {
            print(&format!("wrong: {finding}"))?;
        }
        print(&format!("{} has {file_bytes} bytes", file.display()))?;
        print(&match report.findings_count {
            0 if report.is_file_sound => format!("everything in {shown_dir} fits together"),
            n => format!("{} things are wrong in {shown_dir}", n + u64::from(!report.is_file_sound)),
        })?;
        Ok(verdict)
    }
}

/// Makes a store of the backup in a folder beside it.
fn check_file(file: &Path, passphrase: &PassphraseArgs, config: &Config) -> Result<Report, Failure> {
    let passphrase = passphrase.read(config)?;
    let in_folder = || store::read_secret_key(&config.data_dir.value).ok().flatten().map(|key| *key);
    let secret_key = Context::secret_key(config).or_else(in_folder);
    let mut folder = file.as_os_str().to_owned();
    folder.push(format!(".check-{}", std::process::id()));
    let mut bar = Bar::new();
    let checked = check_backup(file, Path::new(&folder), secret_key, passphrase.as_ref(), &mut |progress| {
        bar.show(progress.stage.name(), progress.done, progress.total);
        Ok(())
    });
    bar.end();
    match checked {
        Ok(restored) => Ok(restored.report),
        Err(BackupError::KeyNeeded { path: _ }) => Err(Failure::Usage(
            "the backup does not hold the secret key of its instance: name the folder that has it with --data-dir, or set \
             WAXWING_SECRET_KEY"
                .to_owned(),
        )),
        Err(error) => Err(error.into()),
    }
}
