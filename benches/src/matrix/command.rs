//! The command line of `leveret-bench matrix`, and its rounds.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::compare::RoundOptions;
use crate::crash::{Target, TargetOptions, Victim};
use crate::matrix::measure::{self, Effort, Figure, Measured, Side};
use crate::matrix::page;
use crate::matrix::rows::{ROWS, Row};
use crate::matrix::state::{self, Entry, Line};
use crate::progress::Progress;
use crate::report::{Report, today};

/// `leveret-bench matrix`.
#[derive(Debug, Args)]
pub(crate) struct MatrixCommand {
    #[command(flatten)]
    targets: TargetOptions,
    /// A row by name, once per row [default: all].
    #[arg(long, value_name = "NAME", value_parser = names(), help_heading = "Run")]
    row: Vec<String>,
    /// Rounds of each row, each once on each broker.
    #[arg(long, default_value_t = 3, value_name = "N", help_heading = "Run")]
    rounds: usize,
    /// Measured seconds of each load.
    #[arg(long, default_value_t = 3.0, value_name = "S", help_heading = "Run")]
    seconds: f64,
    /// A tenth of the messages where they are counted, and no long steps.
    #[arg(long, help_heading = "Run")]
    quick: bool,
    /// The longest backlog whose cost is measured.
    #[arg(
        long,
        default_value_t = 1_000_000,
        value_name = "N",
        help_heading = "Run"
    )]
    backlog_max: u64,
    /// Where the figures are kept; rows that are there are not measured again.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "matrix.jsonl",
        help_heading = "Run"
    )]
    state: PathBuf,
    /// Begin anew, whatever is in the file.
    #[arg(long, help_heading = "Run")]
    anew: bool,
    /// Measure nothing; write the page from what is in the file.
    #[arg(long, help_heading = "Run")]
    page_only: bool,
    /// The page whose part between the marks is written; `-` writes none.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "docs/benchmarks.md",
        help_heading = "Run"
    )]
    page: PathBuf,
}

fn names() -> clap::builder::PossibleValuesParser {
    ROWS.iter().map(|row| row.name).collect::<Vec<_>>().into()
}

/// Measures what is missing and writes the page; false if a broker broke its promise.
pub(crate) fn run(command: &MatrixCommand) -> Result<bool> {
    ensure!(command.rounds > 0, "--rounds has to be at least 1");
    if command.anew && command.state.exists() {
        std::fs::remove_file(&command.state)?;
    }
    let before = state::read(&command.state)?;
    let done = state::done(&before);
    let wanted =
        |row: &&Row| command.row.is_empty() || command.row.iter().any(|name| name == row.name);
    let rows: Vec<&Row> = ROWS
        .iter()
        .filter(wanted)
        .filter(|row| !done.contains(&row.name))
        .collect();
    if !command.page_only && !rows.is_empty() {
        measure_all(command, &rows)?;
    }
    let lines = state::read(&command.state)?;
    let report = Report::new(false);
    report.lines(&page::lines(&lines))?;
    if command.page.as_os_str() != "-" {
        page::write(&command.page, &lines)?;
    }
    Ok(!lines.iter().any(|line| matches!(line, Line::Fault { .. })))
}

fn measure_all(command: &MatrixCommand, rows: &[&Row]) -> Result<()> {
    let targets = command.targets.pair()?;
    let mut victims = [targets[0].victim()?, targets[1].victim()?];
    let mut servers = [String::new(), String::new()];
    for (victim, server) in victims.iter_mut().zip(&mut servers) {
        victim.start()?;
        let connection = victim.open()?;
        connection.server().clone_into(server);
        connection.close()?;
    }
    let run = Line::Run {
        date: today(),
        servers,
        rounds: command.rounds,
        seconds: command.seconds,
        quick: command.quick,
    };
    state::append(&command.state, &run)?;
    let mut running = true;
    for row in rows {
        // A row with brokers of its own has the machine and the ports to itself.
        let wanted = !measure::starts_its_own(&row.work);
        for victim in &mut victims {
            match (running, wanted) {
                (true, false) => victim.stop()?,
                (false, true) => {
                    victim.start()?;
                }
                (true, true) | (false, false) => {}
            }
        }
        running = wanted;
        measure_row(command, row, &targets, &victims).with_context(|| row.name)?;
    }
    if running {
        for victim in &mut victims {
            victim.stop()?;
        }
    }
    Ok(())
}

fn measure_row(
    command: &MatrixCommand,
    row: &Row,
    targets: &[Target; 2],
    victims: &[Victim; 2],
) -> Result<()> {
    let progress = Progress::new(row.name);
    // The disk is asked where Leveret's data lies.
    let options = RoundOptions {
        seconds: command.seconds,
        warmup: 1.0,
        data_dir: victims[0].data_dir(),
    };
    let effort = Effort {
        options: &options,
        quick: command.quick,
        backlog_max: command.backlog_max,
    };
    let mut entries: Vec<Entry> = Vec::new();
    for number in 0..command.rounds {
        for (index, side) in [Side::Ours, Side::Theirs].into_iter().enumerate() {
            let share = (number * 2 + index) as f64 / (command.rounds * 2) as f64;
            let target = &targets[index];
            progress.show(share, &format!("round {} on {}", number + 1, target.name));
            let measured = if measure::starts_its_own(&row.work) {
                measure::on_its_own(row, target, effort, number)
            } else {
                measure::on_running(row, side, &victims[index], effort)
            };
            let measured = measured.with_context(|| format!("on {}", target.name))?;
            note(command, row, target, side, measured, &mut entries)?;
        }
    }
    for entry in entries {
        state::append(&command.state, &Line::Figure(entry))?;
    }
    let row = row.name.to_owned();
    state::append(&command.state, &Line::Done { row })
}

fn note(
    command: &MatrixCommand,
    row: &Row,
    target: &Target,
    side: Side,
    measured: Measured,
    entries: &mut Vec<Entry>,
) -> Result<()> {
    for text in measured.faults {
        let fault = Line::Fault {
            row: row.name.to_owned(),
            text: format!("{}: {text}", target.name),
        };
        state::append(&command.state, &fault)?;
    }
    for figure in measured.figures {
        let place = entries
            .iter()
            .position(|entry| entry.measure == figure.measure && entry.step == figure.step);
        let place = place.unwrap_or_else(|| {
            entries.push(entry(row, &figure));
            entries.len() - 1
        });
        match side {
            Side::Ours => entries[place].ours.push(figure.value),
            Side::Theirs => entries[place].theirs.push(figure.value),
        }
    }
    Ok(())
}

fn entry(row: &Row, figure: &Figure) -> Entry {
    Entry {
        row: row.name.to_owned(),
        measure: figure.measure.clone(),
        unit: figure.unit.to_owned(),
        more: figure.more,
        step: figure.step,
        goal: figure.goal,
        ours: Vec::new(),
        theirs: Vec::new(),
    }
}
