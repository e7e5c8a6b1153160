//! The command line: which command, and what its exit code says.

mod address_file;
mod arguments;
mod backup;
mod descriptors;
mod logging;
mod output;
mod ping;
mod progress;
mod serve;
mod settings;
mod signals;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;
use leveret::ConfigError;

use self::arguments::{Arguments, Command, ConfigCommand};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// As it should.
    Good,
    /// It did what was asked, and the answer is bad news.
    Bad,
}

/// Runs the command that the arguments name.
///
/// 0: all is well. 1: it failed, or the answer is no. 2: the arguments or the configuration are
/// wrong, and nothing was touched.
pub(crate) fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::from(1),
        Err(error) => {
            output::complain(&error);
            let is_configuration = error.downcast_ref::<ConfigError>().is_some();
            ExitCode::from(if is_configuration { 2 } else { 1 })
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<Verdict> {
    match arguments.command {
        None => serve::run(arguments.options.load()?),
        Some(Command::Serve(options)) => serve::run(options.load()?),
        Some(Command::Config(ConfigCommand::Print(print))) => {
            settings::print(&print.options.load()?, print.json)
        }
        Some(Command::Config(ConfigCommand::Example)) => settings::example(),
        Some(Command::Verify(command)) => verify::run(&command),
        Some(Command::Backup(command)) => {
            let config = command.options.load()?;
            backup::run(&command, &config)
        }
        Some(Command::Ping(options)) => ping::run(&options.load()?),
    }
}
