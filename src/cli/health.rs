//! `waxwing health`: whether the server takes work, for whoever watches it from outside (a container's health check, say).

use super::client::ask_ready;
use super::{Context, Failure, Verdict, print, print_json};
use crate::config::Args;

/// Ask a running server whether it takes work
///
/// Exit code 0 when `/readyz` says so, 1 when it says otherwise or cannot be asked. No key is needed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing health
  waxwing health --url https://hooks.example.com --json")]
pub(super) struct Health {
    /// The server's address [default: WAXWING_URL, else the address that `serve` would listen on]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Health {
    pub(super) fn run(self, context: &Context) -> Result<Verdict, Failure> {
        let Self { url, json } = self;
        let config = context.config(&Args::default())?;
        let (url, asked) = ask_ready(url.as_deref(), context, &config)?;
        let trouble = asked.err();
        if json {
            print_json(&serde_json::json!({ "url": url.as_str(), "is_ready": trouble.is_none(), "reason": trouble }))?;
        } else {
            print(&match &trouble {
                None => format!("{url} takes work"),
                Some(why) => format!("{url} takes no work: {why}"),
            })?;
        }
        Ok(if trouble.is_none() { Verdict::Good } else { Verdict::Wrong })
    }
}
