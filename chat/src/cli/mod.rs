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
    let settled = match &arguments.command {
        Command::Serve(_) => leveret::settle_allocator(),
        Command::Init(_)
        | Command::Export(_)
        | Command::Import(_)
        | Command::Admin(_)
        | Command::Demo(_) => Ok(()),
    };
    let result = start_log(log).and_then(|()| {
        if let Err(error) = settled {
            tracing::warn!(%error, "the allocator keeps more memory than it has to");
        }
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

/// Its target in the log.
const AMQP_LIBRARY: &str = "lapin";

fn start_log(filter: &str) -> anyhow::Result<()> {
    let mut filter = EnvFilter::try_new(filter)?;
    let told = if filter.to_string().contains(AMQP_LIBRARY) {
        // It says what is returned with its whole body: what people wrote is for nobody's log.
        format!("{AMQP_LIBRARY}::returned_messages=off")
    } else {
        // What ends a connection is an error to it, also an end in order. What it means is told by whoever had the
        // connection.
        format!("{AMQP_LIBRARY}=off")
    };
    filter = filter.add_directive(told.parse()?);
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .try_init()
        .map_err(|error| anyhow::anyhow!("the log cannot be started: {error}"))
}
