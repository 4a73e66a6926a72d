//! `waxwing serve`: the server.

use super::{Context, Failure, Verdict};
use crate::app::{self, StartError};
use crate::config::Args;

/// Run the server
///
/// Keeps everything in one folder and ends cleanly on SIGTERM and Ctrl-C: attempts under way are finished first. The
/// first start of an empty folder writes a full-access API key to <data-dir>/admin-key. While the console has no user, each
/// start prints a link for the first one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  waxwing serve --dev                                      try it out
  waxwing serve --data-dir /var/lib/waxwing                run it behind a proxy on this machine
  waxwing serve --domain hooks.example.com                 HTTPS with a certificate by ACME
  waxwing serve --listen 0.0.0.0:8620 --trusted-proxies 10.0.0.0/8
  waxwing serve --allow-target-range 10.1.0.0/16           deliver into a private network too

Every flag is also a variable (WAXWING_LISTEN) and a line of waxwing.toml (listen); `waxwing config`
shows what holds. Besides the flags there are:
  WAXWING_ADMIN_KEY    a full-access key of your own: 32 to 128 visible ASCII characters
  WAXWING_SECRET_KEY   64 hexadecimal characters that encrypt secrets, instead of <data-dir>/secret-key
  WAXWING_LOG          pretty or json; WAXWING_LOG_LEVEL: error, warn, info, debug or trace")]
pub(super) struct Serve {
    #[command(flatten)]
    args: Args,
}

impl Serve {
    pub(super) fn run(self, context: &Context) -> Result<Verdict, Failure> {
        let config = context.config(&self.args)?;
        app::serve(&config)?;
        Ok(Verdict::Good)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            error @ (StartError::Configuration(_) | StartError::StoreInUse { .. }) => Self::Usage(error.to_string()),
            error @ StartError::Failed(_) => Self::Failed(error.to_string()),
        }
    }
}
