//! `waxwing check`: walks the store of a stopped server, and compares every index with what it indexes.

use std::fs;

use super::table::table;
use super::{Context, Failure, Verdict, print, print_json};
use crate::app;
use crate::clock::Clock;
use crate::config::Args;
use crate::store;

/// Check the store of a stopped server
///
/// Walks every table and compares every index; changes nothing. Exit code 0: nothing wrong; 1: something is.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing check
  waxwing check --data-dir /var/lib/waxwing --json")]
pub(super) struct Check {
    /// The folder with waxwing.redb [default: WAXWING_DATA_DIR, else ./waxwing-data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self, context: &Context) -> Result<Verdict, Failure> {
        let Self { data_dir, json } = self;
        let config = context.config(&Args { data_dir, ..Args::default() })?;
        let shown_dir = config.data_dir.value.display();
        let file = config.data_dir.value.join(store::STORE_FILE);
        if !file.exists() {
            return Err(Failure::Usage(format!("there is no store in {shown_dir}: give --data-dir")));
        }
        let store::Options { location, secret_key, .. } = app::store_options(&config, Clock::System);
        let report = store::check(location, secret_key).map_err(|error| Failure::Failed(error.to_string()))?;
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
