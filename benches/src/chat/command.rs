//! The command line of `leveret-bench chat-crash`, and its rounds.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::chat::report::{self, Series};
use crate::chat::round;
use crate::crash::TargetOptions;
use crate::progress::Progress;
use crate::report::Report;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum VictimName {
    /// The broker's process.
    Broker,
    /// The chat's service, and with it the routers.
    Router,
    /// The reader's own process.
    Client,
}

impl fmt::Display for VictimName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Broker => "broker",
            Self::Router => "router",
            Self::Client => "client",
        })
    }
}

/// How much is written.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct ChatOptions {
    /// People who write to the reader, each in a conversation of its own.
    #[arg(long, default_value_t = 4, value_name = "N", help_heading = "Messages")]
    pub(crate) writers: u32,
    /// Messages of each. The service lets a person write 500 at once, and then 20 in a second.
    #[arg(
        long,
        default_value_t = 250,
        value_name = "N",
        help_heading = "Messages"
    )]
    pub(crate) count: u32,
    /// Kill when so many of a hundred messages were shown.
    #[arg(
        long,
        default_value_t = 50,
        value_name = "PERCENT",
        help_heading = "Messages"
    )]
    pub(crate) kill_at: u32,
    /// Seconds after the kill in which everything must have been shown.
    #[arg(long, default_value_t = 120, value_name = "S", help_heading = "Run")]
    pub(crate) deadline: u64,
}

/// `leveret-bench chat-crash`.
#[derive(Debug, Args)]
pub(crate) struct ChatCrashCommand {
    #[command(flatten)]
    targets: TargetOptions,
    #[command(flatten)]
    options: ChatOptions,
    /// Who is killed; each in turn, if it is not said.
    #[arg(long, value_enum, value_name = "WHO", help_heading = "Run")]
    victim: Vec<VictimName>,
    /// Rounds, each once on each broker with each victim.
    #[arg(long, default_value_t = 3, value_name = "N", help_heading = "Run")]
    rounds: usize,
    /// The service's program [default: the one beside this program, built by cargo in a source tree].
    #[arg(long, value_name = "FILE", help_heading = "Targets")]
    chat: Option<PathBuf>,
    /// The report, a page that needs nothing else; `-` writes none.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "chat-crash-report.html",
        help_heading = "Run"
    )]
    report: PathBuf,
    /// A line of JSON for each round on standard output; the table goes to standard error.
    #[arg(long, help_heading = "Run")]
    json: bool,
}

/// Runs the rounds in turn; false if a message was lost, doubled or out of order.
pub(crate) fn run(command: &ChatCrashCommand) -> Result<bool> {
    let options = &command.options;
    ensure!(command.rounds > 0, "--rounds has to be at least 1");
    ensure!(
        options.writers > 0 && options.count > 0,
        "somebody has to write something"
    );
    ensure!(options.kill_at <= 100, "--kill-at is a percentage");
    let victims = match &command.victim[..] {
        [] => vec![VictimName::Broker, VictimName::Router, VictimName::Client],
        named => named.to_vec(),
    };
    let targets = command.targets.chat_targets()?;
    let service = match &command.chat {
        Some(program) => program.clone(),
        None => crate::crash::program("leveret-chat", "leveret-chat")?,
    };
    ensure!(service.is_file(), "there is no {}", service.display());
    let report = Report::new(command.json);
    let mut all = Vec::new();
    for victim in &victims {
        for target in &targets {
            all.push(Series {
                target: target.name.clone(),
                victim: *victim,
                rounds: Vec::new(),
            });
        }
    }
    for number in 0..command.rounds {
        for (place, series) in all.iter_mut().enumerate() {
            let target = &targets[place % targets.len()];
            let name = format!(
                "{} {} {}/{}",
                target.name,
                series.victim,
                number + 1,
                command.rounds
            );
            let progress = Progress::new(&name);
            let outcome = round::run(target, series.victim, &service, options, number, &progress);
            let outcome = outcome.with_context(|| name.clone())?;
            report.json(&outcome)?;
            series.rounds.push(outcome);
        }
    }
    report.lines(&report::table(&all))?;
    let faults = report::faults(&all);
    report.lines(&faults)?;
    if command.report.as_os_str() != "-" {
        let page = report::page(&all, options, &faults)?;
        std::fs::write(&command.report, page)
            .with_context(|| format!("writing {}", command.report.display()))?;
        report.lines(&[format!("report: {}", command.report.display())])?;
    }
    Ok(faults.is_empty())
}
