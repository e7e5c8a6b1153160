//! The command line of `leveret-bench crash`, and its rounds.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser};

use crate::crash::redelivery::outcome::{RoundOutcome, Series, table};
use crate::crash::redelivery::plan::{CrashOptions, Plan};
use crate::crash::redelivery::report;
use crate::crash::redelivery::round;
use crate::crash::redelivery::target::{Target, TargetOptions};
use crate::load::run_name;
use crate::progress::Progress;
use crate::report::Report;

/// `leveret-bench crash`.
#[derive(Debug, Args)]
pub(crate) struct CrashCommand {
    #[command(flatten)]
    targets: TargetOptions,
    #[command(flatten)]
    options: CrashOptions,
    /// Rounds, each once on each broker.
    #[arg(long, default_value_t = 3, value_name = "N", help_heading = "Run")]
    rounds: usize,
    /// Let wrong order and wrong flags fail the run as lost and doubled messages do.
    #[arg(long, help_heading = "Run")]
    strict: bool,
    /// How many messages that were never delivered may carry the redelivered flag, since a broker
    /// cannot know what it sent last.
    #[arg(long, default_value_t = 10_000, value_name = "N", help_heading = "Run")]
    lease: u64,
    /// The report, a page that needs nothing else; `-` writes none.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "crash-report.html",
        help_heading = "Run"
    )]
    report: PathBuf,
    /// The plot of the report by itself.
    #[arg(long, value_name = "FILE", help_heading = "Run")]
    svg: Option<PathBuf>,
    /// A line of JSON for each round on standard output; the table goes to standard error.
    #[arg(long, help_heading = "Run")]
    json: bool,
}

/// Runs the rounds in turn; false if a broker broke its promise.
pub(crate) fn run(command: &CrashCommand) -> Result<bool> {
    ensure!(command.rounds > 0, "--rounds has to be at least 1");
    command.options.check()?;
    let targets = command.targets.targets()?;
    let report = Report::new(command.json);
    let mut all: Vec<Series> = targets
        .iter()
        .map(|target| Series {
            name: target.name.clone(),
            rounds: Vec::new(),
        })
        .collect();
    for number in 0..command.rounds {
        for (target, series) in targets.iter().zip(&mut all) {
            let name = format!("{} {}/{}", target.name, number + 1, command.rounds);
            let outcome = one(target, &command.options, number, &Progress::new(&name))
                .with_context(|| format!("{}, round {}", target.name, number + 1))?;
            report.json(&outcome)?;
            series.rounds.push(outcome);
        }
    }
    report.lines(&table(&all))?;
    let rounds = all.iter().flat_map(|series| &series.rounds);
    let faults: Vec<String> = rounds
        .clone()
        .flat_map(|outcome| outcome.faults(command.lease))
        .collect();
    report.lines(&faults)?;
    if let Some(path) = &command.svg {
        write(path, &report::plot(&all))?;
    }
    if command.report.as_os_str() != "-" {
        let page = report::page(&all, &command.options, &faults)?;
        write(&command.report, &page)?;
        report.lines(&[format!("report: {}", command.report.display())])?;
    }
    let kept = rounds
        .clone()
        .all(|outcome| outcome.findings.keeps_promise());
    Ok(kept && (!command.strict || faults.is_empty()))
}

/// What others than this command want of a round.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) accepting_seconds: f64,
    pub(crate) first_seconds: Option<f64>,
    pub(crate) all_seconds: Option<f64>,
    /// Messages lost, doubled, changed or never sent.
    pub(crate) breaches: u64,
    pub(crate) out_of_order: u64,
    pub(crate) unflagged: u64,
    pub(crate) falsely_flagged: u64,
    /// The breaches in words.
    pub(crate) faults: Vec<String>,
}

/// A round of `count` messages and everything else as it is by default.
pub(crate) fn summary(target: &Target, count: u64, number: usize) -> Result<Summary> {
    #[derive(Parser)]
    #[command(no_binary_name = true)]
    struct Default {
        #[command(flatten)]
        options: CrashOptions,
    }
    let count = format!("--count={count}");
    let options = Default::try_parse_from([count])?.options;
    options.check()?;
    let outcome = one(target, &options, number, &Progress::hidden())?;
    let findings = &outcome.findings;
    let kept = findings.keeps_promise();
    Ok(Summary {
        accepting_seconds: outcome.accepting_seconds,
        first_seconds: outcome.first_seconds,
        all_seconds: outcome.all_seconds,
        breaches: findings.breaches().iter().map(|(_, ids)| ids.count).sum(),
        out_of_order: findings.out_of_order.count,
        unflagged: findings.unflagged.count,
        falsely_flagged: findings.falsely_flagged.count,
        faults: if kept {
            Vec::new()
        } else {
            outcome.faults(u64::MAX)
        },
    })
}

fn one(
    target: &Target,
    options: &CrashOptions,
    number: usize,
    progress: &Progress,
) -> Result<RoundOutcome> {
    let plan = Plan::new(options, &run_name(), &target.queue_arguments);
    // Dropped at the end of the round, whichever way it ends: with process and data.
    let mut victim = target.victim()?;
    let outcome = round::run(&mut victim, &plan, number, progress);
    let mut outcome = outcome.map_err(|error| match victim.obituary() {
        Some(obituary) => error.context(obituary),
        None => error,
    })?;
    outcome.target.clone_from(&target.name);
    Ok(outcome)
}

fn write(path: &PathBuf, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
