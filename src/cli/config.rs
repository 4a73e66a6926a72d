//! `waxwing config`: what the server would run with, and where each value comes from.

use serde_json::{Value, json};

use super::table::table;
use super::{Context, Failure, Verdict, print, print_json};
use crate::config::{Args, Origin, Row, example};

/// Show every effective setting and where it came from
///
/// Flags win over the environment, the environment over waxwing.toml in the working directory, that over the
/// defaults. Give it the flags of `serve` to see what they change. Secrets are shown as set or not set.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing config
  waxwing config --dev --json
  waxwing config --example > waxwing.toml
  WAXWING_LISTEN=0.0.0.0:8620 waxwing config

Settings in waxwing.toml have the names that this command shows:
  listen = \"0.0.0.0:8620\"
  allow_target_range = [\"10.1.0.0/16\"]
  management_rate = \"off\"")]
pub(super) struct ShowConfig {
    #[command(flatten)]
    args: Args,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print a waxwing.toml that explains every setting and has its default, each behind a #
    #[arg(long, conflicts_with = "json")]
    example: bool,
}

impl ShowConfig {
    pub(super) fn run(self, context: &Context) -> Result<Verdict, Failure> {
        if self.example {
            print(example().trim_end())?;
            return Ok(Verdict::Good);
        }
        let config = context.config(&self.args)?;
        let rows = config.rows();
        if self.json {
            let all = rows.iter().map(|row| (row.name.to_owned(), to_json(row))).collect();
            print_json(&Value::Object(all))?;
        } else {
            let cells = rows.iter().map(|row| vec![row.name.to_owned(), shown(&row.value), row.origin.to_string()]);
            print(&table(&cells.collect::<Vec<_>>()))?;
        }
        for unknown in &config.unknown_variables {
            eprintln!("note: {unknown}");
        }
        Ok(Verdict::Good)
    }
}

pub(super) fn to_json(row: &Row) -> Value {
    let mut shown = json!({ "value": row.value, "origin": row.origin.kind() });
    match &row.origin {
        Origin::Flag(_) | Origin::Environment(_) | Origin::File { .. } => {
            shown["set_by"] = json!(row.origin.to_string())
        }
        Origin::ImpliedByDev | Origin::Default => {}
    }
    shown
}

/// A value as it would be typed.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        Value::Null => "none".to_owned(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
