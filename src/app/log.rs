//! The log: lines on the standard error stream, for people or as JSON.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use super::Paint;
use crate::config::{Config, LogFormat};

/// Starts to log, once in the life of the process.
pub(super) fn start(config: &Config) {
    // It was read before, with its errors told: `config::read::log_level`.
    let filter = EnvFilter::builder().parse_lossy(&config.log_level.value);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match config.log.value {
        LogFormat::Pretty => lines.with_ansi(Paint::for_stream(io::stderr().is_terminal()).is_on()).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
