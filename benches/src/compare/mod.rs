//! `leveret-bench compare`: two brokers in turn, round by round, and their ratio.
//!
//! The rounds alternate, so that whatever else slows the machine down for a while hits both.

mod disk;
mod ratio;
mod round;
mod table;
mod workload;

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

pub(crate) use ratio::{Ratio, median};
pub(crate) use round::{Broker, Round, RoundOptions, cpu_per_message, load, single_confirm};
#[cfg(test)]
pub(crate) use workload::options as load_options;

use crate::compare::table::{Figure, Table};
use crate::compare::workload::{WORKLOADS, Workload};
use crate::progress::Progress;
use crate::report::Report;
use crate::wire::Uri;

/// `leveret-bench compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareCommand {
    /// One broker.
    #[arg(long, value_name = "URI")]
    a: Uri,
    /// The other broker.
    #[arg(long, value_name = "URI")]
    b: Uri,
    /// What to call the first one.
    #[arg(long, value_name = "NAME", default_value = "a")]
    a_name: String,
    /// What to call the second one.
    #[arg(long, value_name = "NAME", default_value = "b")]
    b_name: String,
    /// The first broker's process, for its processor time per message.
    #[arg(long, value_name = "PID")]
    a_pid: Option<u32>,
    /// The second broker's process.
    #[arg(long, value_name = "PID")]
    b_pid: Option<u32>,
    /// A workload by name, once per workload, or `all`.
    #[arg(long, value_name = "NAME", default_value = "all", value_parser = names())]
    workload: Vec<String>,
    /// Rounds, each once on each broker.
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,
    /// Measured seconds of each load.
    #[arg(long, default_value_t = 5.0, value_name = "S")]
    seconds: f64,
    /// Seconds of each load before the measurement.
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    warmup: f64,
    /// Where `single-confirm` times the disk: the filesystem the brokers keep their data on.
    #[arg(long, value_name = "DIRECTORY", default_value = ".")]
    data_dir: PathBuf,
    /// Write the result as a Markdown table to this file.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Lines of JSON on standard output, one per figure; the table goes to standard error.
    #[arg(long)]
    json: bool,
}

fn names() -> clap::builder::PossibleValuesParser {
    let names = WORKLOADS
        .iter()
        .map(|workload| workload.name)
        .chain(["all"]);
    names.collect::<Vec<_>>().into()
}

/// Runs the comparison; false if a broker did not keep its word in some round.
pub(crate) fn run(command: &CompareCommand) -> Result<bool> {
    ensure!(command.rounds > 0, "--rounds has to be at least 1");
    let brokers = [
        Broker {
            name: &command.a_name,
            uri: &command.a,
            pid: command.a_pid,
        },
        Broker {
            name: &command.b_name,
            uri: &command.b,
            pid: command.b_pid,
        },
    ];
    let options = RoundOptions {
        seconds: command.seconds,
        warmup: command.warmup,
        data_dir: &command.data_dir,
    };
    let report = Report::new(command.json);
    let mut table = Table::new(&command.a_name, &command.b_name, command.rounds);
    for workload in chosen(&command.workload)? {
        for figure in rounds(workload, &brokers, &options, command.rounds, &mut table)? {
            report.json(&figure)?;
            report.lines(&[figure.line()])?;
            table.push(figure);
        }
    }
    if let Some(path) = &command.markdown {
        let text = table.markdown();
        std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    report.lines(&table.faults)?;
    Ok(table.faults.is_empty())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Workload>> {
    let all = names.iter().any(|name| name == "all");
    let chosen: Vec<_> = WORKLOADS
        .iter()
        .filter(|workload| all || names.iter().any(|name| name == workload.name))
        .collect();
    if chosen.is_empty() {
        bail!("no workload is called {names:?}")
    } else {
        Ok(chosen)
    }
}

/// All rounds of one workload: a, b, a, b, ...
fn rounds(
    workload: &Workload,
    brokers: &[Broker<'_>; 2],
    options: &RoundOptions<'_>,
    count: usize,
    table: &mut Table,
) -> Result<Vec<Figure>> {
    let progress = Progress::new(workload.name);
    let mut figures: Vec<Figure> = Vec::new();
    for number in 0..count {
        for (side, broker) in brokers.iter().enumerate() {
            let share = (number * 2 + side) as f64 / (count * 2) as f64;
            progress.show(share, &format!("round {} on {}", number + 1, broker.name));
            let round = round::run(workload, broker, options)
                .with_context(|| format!("{} on {}", workload.name, broker.name))?;
            if let Some(fault) = round.fault {
                table
                    .faults
                    .push(format!("{} on {}: {fault}", workload.name, broker.name));
            }
            for sample in round.samples {
                let place = figures
                    .iter()
                    .position(|figure| figure.measure == sample.measure);
                let place = place.unwrap_or_else(|| {
                    figures.push(Figure::new(workload.name, &sample, brokers));
                    figures.len() - 1
                });
                figures[place].values[side].push(sample.value);
            }
        }
    }
    Ok(figures)
}
