//! Where a command works that does so with and without a server.

use super::client::{Server, ServerArgs};
use super::{Context, Failure};
use crate::config::Args;

#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// Work on the store of a stopped server in this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["url", "key"])]
    pub data_dir: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Place {
    pub(super) fn server(&self, context: &Context) -> Result<Server, Failure> {
        Server::find(&self.server, context, &context.config(&Args::default())?)
    }
}
