//! The load generator.

mod chat;
mod churn;
mod cli;
mod compare;
mod crash;
#[cfg(test)]
mod fake;
mod features;
mod interrupt;
mod load;
mod matrix;
mod plot;
mod process;
mod progress;
mod report;
mod wire;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::churn::ChurnCommand;
use crate::cli::{Cli, Command};
use crate::load::LoadCommand;
use crate::progress::Progress;
use crate::report::Report;

const UNSOUND: u8 = 3;
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    interrupt::listen();
    process::allow_many_files();
    let result = match cli.command {
        Command::Load(command) => load(&command),
        Command::Churn(command) => churn(&command),
        Command::Compare(command) => compare::run(&command),
        Command::Crash(command) => crash::crash(&command),
        Command::Chat(command) => chat::run_speed(&command),
        Command::ChatCrash(command) => chat::run(&command),
        Command::ChatReader(command) => chat::read(&command),
        Command::Matrix(command) => matrix::run(&command),
        Command::Backlog(command) => crash::backlog(&command),
        Command::Start(command) => crash::start(&command),
        Command::Features(command) => features::run(&command),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(UNSOUND),
        Err(_) if interrupt::requested() => {
            eprintln!("leveret-bench: interrupted");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("leveret-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one load; false if the broker did not keep its word.
fn load(command: &LoadCommand) -> Result<bool> {
    let progress = Progress::new("load");
    let outcome = load::run(&command.uri, &command.options, &progress)?;
    drop(progress);
    let report = Report::new(command.json);
    report.lines(&outcome.results.lines())?;
    report.json(&outcome)?;
    Ok(outcome.results.is_sound())
}

fn churn(command: &ChurnCommand) -> Result<bool> {
    let outcome = churn::run(&command.uri, &command.options)?;
    let report = Report::new(command.json);
    report.lines(&outcome.lines())?;
    report.json(&outcome)?;
    Ok(true)
}
