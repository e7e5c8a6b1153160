//! The command line.

mod admin;
mod admin_options;
mod arguments;
mod demo;
mod open;
mod options;
mod run;
mod transfer;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use self::arguments::{Arguments, Command};

/// Runs the command that the arguments name.
pub(crate) fn main() -> ExitCode {
    let mut line: Vec<_> = std::env::args_os().collect();
    if line.len() < 2 {
        // What somebody wants who says nothing.
        line.push("serve".into());
    }
    let arguments = Arguments::parse_from(line);
    let log = match &arguments.command {
        // A terminal interface has the screen for itself.
        Command::Demo(options) if !options.script => "off",
        Command::Demo(_)
        | Command::Init(_)
        | Command::Serve(_)
        | Command::Export(_)
        | Command::Import(_)
        | Command::Admin(_) => &arguments.log,
    };
    let result = start_log(log).and_then(|()| {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(async {
            match arguments.command {
                Command::Init(options) => run::init(options).await.map(|()| ExitCode::SUCCESS),
                Command::Serve(options) => run::serve(options).await.map(|()| ExitCode::SUCCESS),
                Command::Export(options) => transfer::run_export(options)
                    .await
                    .map(|()| ExitCode::SUCCESS),
                Command::Import(options) => transfer::run_import(options)
                    .await
                    .map(|()| ExitCode::SUCCESS),
                Command::Admin(options) => admin::run(options).await.map(|()| ExitCode::SUCCESS),
                Command::Demo(options) => Ok(match demo::run(options).await? {
                    true => ExitCode::SUCCESS,
                    false => ExitCode::FAILURE,
                }),
            }
        })
    });
    match result {
        Ok(code) => code,
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
