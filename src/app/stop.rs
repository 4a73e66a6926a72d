//! The end: refuse new work, wait for what is under way, and say what is waited for.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use super::say;
use crate::dispatch::{Dispatch, Running};
use crate::store::Store;

/// How often it is said what is waited for.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// SIGTERM and SIGINT (Ctrl-C), noted from the moment this is made, so that none is missed between two waits.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn watch() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Whoever asks twice does not want to wait. Nothing that was answered is lost by it: a crash loses nothing either.
    pub(super) fn end_at_once_on_the_next_one(mut self) {
        tokio::spawn(async move {
            self.next().await;
            eprintln!("ended at once; attempts under way will be made again");
            std::process::exit(1);
        });
    }
}

/// SIGHUP ends no server: who has files of a certificate reads them again (see `doors`), and there is nothing else to read.
pub(super) fn outlive_hangups() -> io::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            info!("SIGHUP: the files of --tls-cert and --tls-key are read again, and nothing else");
        }
    });
    Ok(())
}

/// Waits until nothing is under way, at most the longest time-out of a subscription, or until its outcome cannot be kept.
pub(super) async fn drain(store: &Store, dispatch: &Dispatch, sending: Running, dev: bool) {
    let tell = |text: String| if dev { say(&format!("\n  {text}")) } else { info!("{text}") };
    let catalogue = store.catalogue();
    let timeouts =
        catalogue.tenants().flat_map(|tenant| tenant.subscriptions()).map(|subscription| subscription.timeout());
    let longest = timeouts.max().unwrap_or_default().as_secs();
    tell(match dispatch.figures().in_flight {
        0 => "stopping: new requests are refused, nothing is in flight".to_owned(),
        n => format!(
            "stopping: new requests are refused; waiting for {}, at most {longest} s (a second signal ends at once)",
            attempts(n)
        ),
    });
    let mut report = tokio::time::interval_at(tokio::time::Instant::now() + REPORT_EVERY, REPORT_EVERY);
    let stopping = sending.stop();
    tokio::pin!(stopping);
    loop {
        tokio::select! {
            () = &mut stopping => return,
            () = store.broken() => return warn!("a commit failed: what was under way is tried again after the next start"),
            _ = report.tick() => tell(format!("still waiting for {}", attempts(dispatch.figures().in_flight))),
        }
    }
}

fn attempts(n: u64) -> String {
    if n == 1 { "1 attempt in flight".to_owned() } else { format!("{n} attempts in flight") }
}
