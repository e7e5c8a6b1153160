//! Where the broker's events go: standard error, for people or for machines.

use std::io::{self, IsTerminal as _};

use leveret::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts to write the log.
///
/// # Errors
///
/// If the process writes one already.
pub(crate) fn start(config: &LogConfig) -> anyhow::Result<()> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&config.level)?)
        .with_writer(io::stderr);
    let started = match config.format {
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))
}
