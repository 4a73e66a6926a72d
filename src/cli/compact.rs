//! `waxwing compact`: gives back what the store's file does not use.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use serde_json::{Value, json};

use super::place::Place;
use super::stopped::on_stopped;
use super::{Context, Failure, Verdict, print, print_json};
use crate::store::{Compacted, CompactionState, Pace, Progress, Store};

/// How often it is seen how far it is: a server lets a key ask six times a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Give back disk space that the store does not use any more
///
/// A running server does it beside its work. With --data-dir it is done to the store of a stopped one. What is in use is copied,
/// so there has to be room for that. Exit code 1: nothing was given back.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing compact
  waxwing compact --data-dir ./waxwing-data     (the server is stopped)")]
pub(super) struct Compact {
    #[command(flatten)]
    place: Place,
}

/// What is printed in the end.
struct Shown {
    bytes_before: u64,
    bytes_after: u64,
    pause_milliseconds: u64,
}

impl Compact {
    pub(super) fn run(self, context: &Context) -> Result<Verdict, Failure> {
        let Self { place } = self;
        let json = place.json;
        let bar = Bar { is_shown: !json && io::stderr().is_terminal() };
        let shown = match &place.data_dir {
            Some(_) => on_stopped(place.data_dir, context, async |store| compact(store, &bar).await)?,
            None => ask(&place, context, &bar),
        };
        bar.clear();
        let Shown { bytes_before, bytes_after, pause_milliseconds } = shown?;
        if json {
            print_json(&json!({
                "bytes_before": bytes_before, "bytes_after": bytes_after, "pause_milliseconds": pause_milliseconds,
            }))?;
        } else {
            let given_back = bytes_before.saturating_sub(bytes_after);
            print(&format!("{bytes_before} bytes before, {bytes_after} now: {given_back} were given back"))?;
        }
        Ok(Verdict::Good)
    }
}

async fn compact(store: &Store, bar: &Bar) -> Result<Shown, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(format!("no space was given back: {error}"));
    store.compact_in_background(Pace::Alone).map_err(|error| failed(&error))?;
    loop {
        let CompactionState { running, last } = store.compaction();
        if let Some(Progress { begun_at: _, bytes_copied, bytes_expected }) = running {
            bar.show(bytes_copied, bytes_expected);
            tokio::time::sleep(LOOK_EVERY).await;
            continue;
        }
        let ended = last.ok_or_else(|| failed(&"it ended badly: see the log"))?;
        let Compacted { bytes_before, bytes_after, pause } = ended.outcome.map_err(|error| failed(&error))?;
        let pause_milliseconds = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        return Ok(Shown { bytes_before, bytes_after, pause_milliseconds });
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing else happens meanwhile")]
fn ask(place: &Place, context: &Context, bar: &Bar) -> Result<Shown, Failure> {
    let server = place.server(context)?;
    let mut answer = server.post("/v1/storage/compact", "{}", None)?.body;
    loop {
        let storage = &answer["data"]["attributes"];
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let running = &storage["compaction"];
        if running.is_null() {
            let last = &storage["last_compaction"];
            if let Some(failure) = last["failure"].as_str() {
                return Err(Failure::Failed(format!("no space was given back: {failure}")));
            }
            return Ok(Shown {
                bytes_before: number(&last["bytes_before"]),
                bytes_after: number(&last["bytes_after"]),
                pause_milliseconds: number(&last["pause_milliseconds"]),
            });
        }
        bar.show(number(&running["bytes_copied"]), number(&running["bytes_expected"]));
        std::thread::sleep(LOOK_EVERY);
        answer = server.get("/v1/storage")?.body;
    }
}

/// One line on the standard error stream that says how far it is, when somebody looks.
struct Bar {
    is_shown: bool,
}

impl Bar {
    const WIDTH: u64 = 30;

    fn show(&self, done: u64, all: u64) {
        if !self.is_shown {
            return;
        }
        let all = all.max(done).max(1);
        let full = usize::try_from(done * Self::WIDTH / all).unwrap_or_default();
        let rest = Self::WIDTH as usize - full;
        // A bar that cannot be drawn is no reason to stop.
        _ = write!(io::stderr(), "\r[{}{}] {:3} %", "=".repeat(full), " ".repeat(rest), done * 100 / all);
    }

    fn clear(&self) {
        if self.is_shown {
            _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
