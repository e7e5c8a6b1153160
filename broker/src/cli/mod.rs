//! The command line: which command, and what its exit code says.

mod address_file;
mod arguments;
mod backup;
mod descriptors;
mod logging;
mod operator;
mod output;
mod ping;
mod progress;
mod serve;
mod settings;
mod signals;
mod verify;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
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
    match run(Arguments::parse_from(named(std::env::args_os()))) {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::from(1),
        Err(error) => {
            output::complain(&error);
            let is_configuration = error.downcast_ref::<ConfigError>().is_some();
            ExitCode::from(if is_configuration { 2 } else { 1 })
        }
    }
}

/// The arguments, with the command that the program's own name stands for: a link named
/// `rabbitmqctl` or `rabbitmq-diagnostics` is `leveret ctl`.
fn named(arguments: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    let mut arguments = arguments.peekable();
    let is_ctl = arguments.peek().is_some_and(|program| {
        let name = Path::new(program)
            .file_name()
            .and_then(|name| name.to_str());
        matches!(name, Some("rabbitmqctl" | "rabbitmq-diagnostics"))
    });
    let program = arguments.next();
    let ctl = is_ctl.then(|| OsString::from("ctl"));
    program.into_iter().chain(ctl).chain(arguments)
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
        Some(Command::Operator(verb)) => operator::run(*verb),
        Some(Command::Ctl(ctl)) => operator::run_ctl(ctl.verb),
        Some(Command::Completions { shell }) => {
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, "leveret", &mut std::io::stdout());
            Ok(Verdict::Good)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_can_be_parsed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_link_named_rabbitmqctl_is_the_ctl_command() {
        let check = |given: &[&str], expected: &[&str]| {
            let given = given.iter().map(OsString::from);
            let expected: Vec<OsString> = expected.iter().map(OsString::from).collect();
            assert_eq!(named(given).collect::<Vec<_>>(), expected);
        };
        check(
            &["/usr/sbin/rabbitmqctl", "list_queues"],
            &["/usr/sbin/rabbitmqctl", "ctl", "list_queues"],
        );
        check(&["leveret", "list-queues"], &["leveret", "list-queues"]);
        check(&[], &[]);
    }
}
