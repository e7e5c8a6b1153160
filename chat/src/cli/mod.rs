//! The command line.

mod admin;
mod arguments;
mod open;
mod run;
mod transfer;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use self::arguments::{Arguments, Command};

/// Runs the command that the arguments name.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = start_log(&arguments.log).and_then(|()| {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(async {
            match arguments.command {
                Command::Init(options) => run::init(options).await,
                Command::Serve(options) => run::serve(options).await,
                Command::Export(options) => transfer::run_export(options).await,
                Command::Import(options) => transfer::run_import(options).await,
                Command::Admin(options) => admin::run(options).await,
            }
        })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing can be done about a closed standard error.
            let _ = writeln!(io::stderr(), "leveret-chat: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start_log(filter: &str) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .try_init()
        .map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))
}
