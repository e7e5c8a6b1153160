//! `leveret-bench start`: how long an empty broker takes to get ready, and what it weighs.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::compare::median;
use crate::crash::victim::{Victim, VictimOptions};
use crate::progress::Progress;
use crate::report::Report;
use crate::wire::Uri;

/// `leveret-bench start`.
#[derive(Debug, Args)]
pub(crate) struct StartCommand {
    /// Where the broker will listen.
    #[arg(
        long,
        env = "AMQP_URI",
        value_name = "URI",
        default_value = "amqp://guest:guest@127.0.0.1:5672/%2f"
    )]
    uri: Uri,
    /// Starts, each with an empty `{dir}`.
    #[arg(long, default_value_t = 5, value_name = "N")]
    runs: usize,
    /// Seconds of idleness before the resident memory is read.
    #[arg(long, default_value_t = 2.0, value_name = "S")]
    idle: f64,
    /// Shell command before each start, not timed: for brokers that keep their data elsewhere.
    #[arg(long, value_name = "CMD")]
    reset: Option<String>,
    /// Shell command that starts the broker. `{dir}` becomes a directory of its own, empty at
    /// each start. The broker runs in a process group, which is ended as a whole.
    #[arg(long, value_name = "CMD")]
    start: String,
    #[command(flatten)]
    victim: VictimOptions,
    /// One line of JSON on standard output; the table goes to standard error.
    #[arg(long)]
    json: bool,
}

/// Start by start.
#[derive(Debug, Default, Serialize)]
struct StartOutcome {
    benchmark: &'static str,
    accepting_seconds: Vec<f64>,
    ready_seconds: Vec<f64>,
    resident_bytes: Vec<f64>,
    accepting_seconds_median: Option<f64>,
    ready_seconds_median: Option<f64>,
    resident_bytes_median: Option<f64>,
}

/// Runs the benchmark.
pub(crate) fn run(command: &StartCommand) -> Result<bool> {
    ensure!(command.runs > 0, "--runs has to be at least 1");
    let idle = Duration::try_from_secs_f64(command.idle)?;
    let progress = Progress::new("start");
    let mut outcome = StartOutcome {
        benchmark: "start",
        ..StartOutcome::default()
    };
    for run in 0..command.runs {
        progress.show(
            run as f64 / command.runs as f64,
            &format!("start {}", run + 1),
        );
        let mut victim = Victim::new(&command.start, &command.victim, &command.uri)?;
        if let Some(reset) = &command.reset {
            victim.run(reset)?;
        }
        let started = victim.start()?;
        thread::sleep(idle);
        outcome
            .accepting_seconds
            .push(started.accepting.as_secs_f64());
        outcome.ready_seconds.push(started.ready.as_secs_f64());
        outcome
            .resident_bytes
            .extend(victim.resident_bytes().map(|bytes| bytes as f64));
        victim.stop()?;
    }
    drop(progress);
    outcome.accepting_seconds_median = median(&outcome.accepting_seconds);
    outcome.ready_seconds_median = median(&outcome.ready_seconds);
    outcome.resident_bytes_median = median(&outcome.resident_bytes);
    let report = Report::new(command.json);
    report.lines(&outcome.lines())?;
    report.json(&outcome)?;
    Ok(true)
}

impl StartOutcome {
    fn lines(&self) -> Vec<String> {
        let mebibytes = |bytes: f64| bytes / f64::from(1 << 20);
        let figures = [
            ("accepting", self.accepting_seconds_median, "s"),
            ("ready (connection.open-ok)", self.ready_seconds_median, "s"),
            (
                "resident when idle",
                self.resident_bytes_median.map(mebibytes),
                "MiB",
            ),
        ];
        let line = |(name, value, unit): (&str, Option<f64>, &str)| {
            value.map(|value| format!("{name:<28}{value:.3} {unit}"))
        };
        let runs = self.accepting_seconds.len();
        let title = format!("medians of {runs} starts");
        std::iter::once(title)
            .chain(figures.into_iter().filter_map(line))
            .collect()
    }
}
