//! `waxwing secret-key`: another key for what is encrypted in the store of a stopped server.

use std::io::{self, IsTerminal, Write};

use clap::Subcommand;
use zeroize::Zeroizing;

use super::{Context, Failure, Verdict, print, read_named};
use crate::clock::Clock;
use crate::config::Args;
use crate::store::{self, OpenError, Rekeyed, Stage};

/// Change the key that encrypts secrets
///
/// The server is stopped. Signing secrets, headers of subscriptions, secrets of authenticator apps and stored answers that show
/// a secret are encrypted anew; the store is written into a new file for it, which needs as much free space as it has now.
/// Interrupted at any moment, it is done or not done: ask again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing secret-key rotate                                    a new key in <data-dir>/secret-key
  openssl rand -hex 32 > new-key && WAXWING_SECRET_KEY=$(cat old-key) waxwing secret-key rotate --new-key new-key
                                                               when the key is kept elsewhere")]
pub(super) struct SecretKey {
    #[command(subcommand)]
    command: SecretKeyCommand,
}

#[derive(Debug, Subcommand)]
enum SecretKeyCommand {
    /// Encrypt everything under another key; the old one opens nothing any more
    Rotate {
        /// The new key: 64 hexadecimal characters, in a file or - (the standard input) [default: a random one]
        #[arg(long, value_name = "FILE")]
        new_key: Option<String>,
        /// The folder with waxwing.redb [default: WAXWING_DATA_DIR, else ./waxwing-data]
        #[arg(long, value_name = "DIR")]
        data_dir: Option<String>,
    },
}

impl SecretKey {
    pub(super) fn run(self, context: &Context) -> Result<Verdict, Failure> {
        let SecretKeyCommand::Rotate { new_key, data_dir } = self.command;
        let new = new_key.as_deref().map(read_key).transpose()?;
        let config = context.config(&Args { data_dir, ..Args::default() })?;
        let old = config.secret_key.value.as_ref().map(|key| key.bytes());
        if old.is_some() && new.is_none() {
            return Err(Failure::Usage(
                "WAXWING_SECRET_KEY is set, so the new key has to be kept by you as well: give it with --new-key"
                    .to_owned(),
            ));
        }
        let directory = &config.data_dir.value;
        let shown = directory.display();
        let mut progress = Progress::default();
        let done = store::rekey(directory, old, new.as_deref().copied(), &Clock::System, |stage| progress.tell(stage));
        progress.end();
        let done = done.map_err(|error| match error {
            OpenError::Absent => Failure::Usage(format!("there is no store in {shown}: give --data-dir")),
            OpenError::Locked => Failure::Usage(format!("a server has the store in {shown} open: stop it first")),
            error => Failure::Failed(format!("{shown}: {error}")),
        })?;
        print(match done {
            Rekeyed::Now => "everything is encrypted under the new key",
            Rekeyed::Before => "it was encrypted under the new key already: what an interruption left is done now",
        })?;
        if old.is_some() {
            print("start the server with the new key in WAXWING_SECRET_KEY")?;
        }
        print("backups from before need the old key: keep it as long as you keep those")?;
        Ok(Verdict::Good)
    }
}

fn read_key(name: &str) -> Result<Zeroizing<[u8; 32]>, Failure> {
    let text = Zeroizing::new(read_named(name)?);
    let mut key = Zeroizing::new([0; 32]);
    // The text itself is a secret: it is not repeated in the error.
    hex::decode_to_slice(text.trim_ascii(), key.as_mut_slice()).map_err(|_| {
        Failure::Usage(format!("`{name}` does not hold 64 hexadecimal characters; `openssl rand -hex 32` makes them"))
    })?;
    Ok(key)
}

/// One line that changes on a terminal, else a line for each per cent that is new.
#[derive(Default)]
struct Progress {
    told: Option<u64>,
}

impl Progress {
    fn tell(&mut self, stage: Stage) {
        let line = match stage {
            Stage::KeyKept => "the new key is kept in secret-key.next".to_owned(),
            Stage::Copied { rows, of } => {
                let percent = (rows * 100).checked_div(of).unwrap_or(100);
                if self.told.replace(percent) == Some(percent) {
                    return;
                }
                format!("{percent} % of {of} rows are encrypted anew")
            }
            Stage::JournalEmptied => "the journal is empty".to_owned(),
            Stage::StoreReplaced => "the new file has its place".to_owned(),
            Stage::Done => "the old key opens nothing any more".to_owned(),
        };
        let mut out = io::stderr();
        // Whoever does not read it still wants the work done.
        let _ = if out.is_terminal() { write!(out, "\r\x1b[K{line}") } else { writeln!(out, "{line}") };
    }

    fn end(&self) {
        if io::stderr().is_terminal() {
            let _ = writeln!(io::stderr());
        }
    }
}
