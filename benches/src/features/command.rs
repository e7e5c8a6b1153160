//! The command line of `leveret-bench features`, and its rounds.

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::compare::median;
use crate::crash::{Target, TargetOptions};
use crate::features::{expiry, messages, queues};
use crate::progress::Progress;
use crate::report::Report;

/// `leveret-bench features`.
#[derive(Debug, Args)]
pub(crate) struct FeaturesCommand {
    #[command(flatten)]
    targets: TargetOptions,
    /// What to measure, once per part [default: all].
    #[arg(long, value_enum, value_name = "PART", help_heading = "Run")]
    part: Vec<Part>,
    /// Rounds of each part, each once on every broker in turn.
    #[arg(long, default_value_t = 3, value_name = "N", help_heading = "Run")]
    rounds: usize,
    /// Messages of a backlog.
    #[arg(
        long,
        default_value_t = 1_000_000,
        value_name = "N",
        help_heading = "Run"
    )]
    count: u64,
    /// Body bytes of the backlog's messages, at least 16.
    #[arg(long, default_value_t = 64, value_name = "BYTES", help_heading = "Run")]
    size: usize,
    /// Idle queues.
    #[arg(
        long,
        default_value_t = 100_000,
        value_name = "N",
        help_heading = "Run"
    )]
    queues: usize,
    /// One line of JSON per figure on standard output; the table goes to standard error.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Memory of messages with deadlines, priorities, a dead-letter target.
    Messages,
    /// A bystander while messages expire.
    Expiry,
    /// Idle durable queues.
    Queues,
}

/// What one round of one part found.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) measure: &'static str,
    pub(super) unit: &'static str,
    /// The most that is good.
    pub(super) goal: Option<f64>,
    pub(super) value: f64,
}

impl Sample {
    pub(super) const fn new(measure: &'static str, unit: &'static str, value: f64) -> Self {
        Self {
            measure,
            unit,
            goal: None,
            value,
        }
    }

    pub(super) const fn at_most(self, goal: f64) -> Self {
        Self {
            goal: Some(goal),
            ..self
        }
    }
}

/// The values of one figure in all rounds on one broker.
#[derive(Debug, Serialize)]
struct Figure {
    benchmark: &'static str,
    broker: String,
    measure: &'static str,
    unit: &'static str,
    goal: Option<f64>,
    median: f64,
    values: Vec<f64>,
}

impl Figure {
    fn line(&self) -> String {
        let goal = match self.goal {
            None => String::new(),
            Some(goal) if self.median <= goal => format!("  at most {goal}: reached"),
            Some(goal) => format!("  at most {goal}: NOT reached"),
        };
        let least = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self
            .values
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max);
        format!(
            "{:<18} {:<52} {:>12.2} {:<3} ({least:.2} to {most:.2}){goal}",
            self.broker, self.measure, self.median, self.unit
        )
    }
}

/// Measures every part on every broker, round by round.
pub(crate) fn run(command: &FeaturesCommand) -> Result<bool> {
    ensure!(command.rounds > 0, "--rounds has to be at least 1");
    ensure!(command.size >= 16, "--size: at least 16 bytes");
    ensure!(
        command.count > 0 && command.queues > 0,
        "nothing to measure"
    );
    let targets = command.targets.targets()?;
    let parts = [Part::Messages, Part::Expiry, Part::Queues];
    let is_wanted = |part: &Part| command.part.is_empty() || command.part.contains(part);
    let progress = Progress::new("features");
    let mut figures: Vec<Figure> = Vec::new();
    for part in parts.into_iter().filter(is_wanted) {
        for _ in 0..command.rounds {
            for target in &targets {
                for sample in measure(command, part, target, &progress)? {
                    add(&mut figures, &target.name, sample);
                }
            }
        }
    }
    drop(progress);
    let report = Report::new(command.json);
    for figure in &mut figures {
        figure.median = median(&figure.values).unwrap_or(f64::NAN);
        report.json(figure)?;
    }
    report.lines(&figures.iter().map(Figure::line).collect::<Vec<_>>())?;
    Ok(true)
}

fn measure(
    command: &FeaturesCommand,
    part: Part,
    target: &Target,
    progress: &Progress,
) -> Result<Vec<Sample>> {
    match part {
        Part::Messages => messages::measure(target, command.count, command.size, progress),
        Part::Expiry => expiry::measure(target, command.count, command.size, progress),
        Part::Queues => queues::measure(target, command.queues, progress),
    }
}

fn add(figures: &mut Vec<Figure>, broker: &str, sample: Sample) {
    let known = figures
        .iter_mut()
        .find(|figure| figure.broker == broker && figure.measure == sample.measure);
    match known {
        Some(figure) => figure.values.push(sample.value),
        None => figures.push(Figure {
            benchmark: "features",
            broker: broker.to_owned(),
            measure: sample.measure,
            unit: sample.unit,
            goal: sample.goal,
            median: f64::NAN,
            values: vec![sample.value],
        }),
    }
}
