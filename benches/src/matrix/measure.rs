//! One round of one row on one broker.

use anyhow::{Context, Result};

use crate::churn::{self, ChurnOptions};
use crate::compare::{Broker, Round, RoundOptions, cpu_per_message, load, single_confirm};
use crate::crash::{self, Target, Victim};
use crate::interrupt;
use crate::matrix::memory;
use crate::matrix::rows::{Goal, Row, Work};
use crate::process;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Ours,
    Theirs,
}

/// A figure of a round.
#[derive(Debug, Clone)]
pub(super) struct Figure {
    pub(super) measure: String,
    pub(super) unit: &'static str,
    pub(super) more: bool,
    pub(super) step: Option<u64>,
    pub(super) goal: Goal,
    pub(super) value: f64,
}

/// What all rounds of a run share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort<'a> {
    pub(super) options: &'a RoundOptions<'a>,
    pub(super) quick: bool,
    pub(super) backlog_max: u64,
}

/// The figures of a round, and what was wrong in it.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) figures: Vec<Figure>,
    pub(super) faults: Vec<String>,
}

impl Measured {
    fn push(&mut self, measure: &str, unit: &'static str, more: bool, goal: Goal, value: f64) {
        self.figures.push(Figure {
            measure: measure.to_owned(),
            unit,
            more,
            step: None,
            goal,
            value,
        });
    }
}

/// Whether a row is measured on brokers of its own.
pub(super) fn starts_its_own(work: &Work) -> bool {
    matches!(work, Work::Crash { .. } | Work::Memory { .. })
}

/// A round on a broker that runs.
pub(super) fn on_running(
    row: &Row,
    side: Side,
    victim: &Victim,
    effort: Effort<'_>,
) -> Result<Measured> {
    let pid = victim.process();
    let broker = Broker {
        name: row.name,
        uri: victim.uri(),
        pid,
    };
    match row.work {
        Work::Load {
            arguments,
            theirs,
            figure,
            goal,
        } => {
            let theirs = if side == Side::Theirs { theirs } else { "" };
            one_load(
                &format!("{arguments} {theirs}"),
                figure,
                goal,
                &broker,
                effort,
            )
        }
        Work::Drain { count, quick, goal } => {
            let count = if effort.quick { quick } else { count };
            let arguments = format!(
                "--size 1024 --persistent --confirm-window 2000 --prefetch 1000 --drain {count}"
            );
            one_load(&arguments, "consumed", goal, &broker, effort)
        }
        Work::Growth { arguments, .. } => growth(row, arguments, &broker, effort),
        Work::SingleConfirm => confirms(&broker, effort),
        Work::Churn { cycle, goal } => {
            let options = ChurnOptions {
                clients: 2,
                cycle,
                seconds: effort.options.seconds,
                warmup: effort.options.warmup,
            };
            let outcome = churn::run(broker.uri, &options)?;
            let mut measured = Measured::default();
            measured.push("cycles", "/s", true, goal, outcome.cycles_per_second);
            Ok(measured)
        }
        Work::Crash { .. } | Work::Memory { .. } => Ok(Measured::default()),
    }
}

/// A round on brokers that are started for it.
pub(super) fn on_its_own(
    row: &Row,
    target: &Target,
    effort: Effort<'_>,
    number: usize,
) -> Result<Measured> {
    match row.work {
        Work::Crash { count, quick } => {
            let count = if effort.quick { quick } else { count };
            crash(target, count, number)
        }
        Work::Memory { count, quick } => {
            let count = if effort.quick { quick } else { count };
            memory::measure(target, count)
        }
        Work::Load { .. }
        | Work::Growth { .. }
        | Work::Drain { .. }
        | Work::SingleConfirm
        | Work::Churn { .. } => Ok(Measured::default()),
    }
}

fn one_load(
    arguments: &str,
    figure: &str,
    goal: Goal,
    broker: &Broker<'_>,
    effort: Effort<'_>,
) -> Result<Measured> {
    let mut round = Round::default();
    let results = load(arguments, broker, effort.options, &mut round)?;
    let mut measured = Measured {
        faults: round.fault.into_iter().collect(),
        ..Measured::default()
    };
    let latency = results.latency_microseconds.as_ref();
    let (unit, more, value) = match figure {
        "latency p99" => ("us", false, latency.map(|latency| latency.p99)),
        "confirmed" => ("/s", true, results.confirmed_per_second),
        _ => ("/s", true, results.consumed_per_second),
    };
    let value = value.with_context(|| format!("there is no figure for {figure}"))?;
    measured.push(figure, unit, more, goal, value);
    if let Some(sample) = cpu_per_message(&results) {
        measured.push(sample.measure, sample.unit, false, Goal::Open, sample.value);
    }
    Ok(measured)
}

fn growth(row: &Row, arguments: &str, broker: &Broker<'_>, effort: Effort<'_>) -> Result<Measured> {
    let mut measured = Measured::default();
    for step in row.steps(effort.quick, effort.backlog_max) {
        let mut round = Round::default();
        let arguments = arguments.replace("{n}", &step.to_string());
        let results = match load(&arguments, broker, effort.options, &mut round) {
            Ok(results) => results,
            Err(error) if interrupt::requested() => return Err(error),
            // What a broker cannot do at all is told; the other steps still count.
            Err(error) => {
                measured.faults.push(format!("step {step}: {error:#}"));
                continue;
            }
        };
        measured.faults.extend(round.fault);
        if let Some(sample) = cpu_per_message(&results) {
            measured.figures.push(Figure {
                measure: sample.measure.to_owned(),
                unit: sample.unit,
                more: false,
                step: Some(step),
                goal: Goal::Flat,
                value: sample.value,
            });
        }
    }
    Ok(measured)
}

fn confirms(broker: &Broker<'_>, effort: Effort<'_>) -> Result<Measured> {
    let round = single_confirm(broker, effort.options)?;
    let mut measured = Measured {
        faults: round.fault.into_iter().collect(),
        ..Measured::default()
    };
    for sample in round.samples {
        let goal = match sample.measure {
            "persistent confirm p50" => Goal::Times(1.0),
            "persistent / (sync + transient)" => Goal::AtMost(1.2),
            _ => Goal::Open,
        };
        measured.push(sample.measure, sample.unit, false, goal, sample.value);
    }
    Ok(measured)
}

fn crash(target: &Target, count: u64, number: usize) -> Result<Measured> {
    let outcome = crash::summary(target, count, number)?;
    let mut measured = Measured {
        faults: outcome.faults.clone(),
        ..Measured::default()
    };
    let mut time = |name, seconds: Option<f64>, goal| {
        if let Some(seconds) = seconds {
            measured.push(name, "s", false, goal, seconds);
        }
    };
    time(
        "start to accepting",
        Some(outcome.accepting_seconds),
        Goal::Open,
    );
    time(
        "start to first redelivered",
        outcome.first_seconds,
        Goal::Times(200.0),
    );
    time(
        "start to first redelivered, by itself",
        outcome.first_seconds,
        Goal::AtMost(0.1),
    );
    time(
        "start to all redelivered",
        outcome.all_seconds,
        Goal::Times(60.0),
    );
    let counts = [
        ("lost or doubled", outcome.breaches, Goal::AtMost(0.0)),
        ("out of order", outcome.out_of_order, Goal::AtMost(0.0)),
        (
            "delivered before, not flagged",
            outcome.unflagged,
            Goal::AtMost(0.0),
        ),
        (
            "never delivered, but flagged",
            outcome.falsely_flagged,
            Goal::Open,
        ),
    ];
    for (name, count, goal) in counts {
        measured.push(name, "", false, goal, count as f64);
    }
    Ok(measured)
}

/// Resident memory, or a reason.
pub(super) fn resident(victim: &Victim) -> Result<f64> {
    let bytes = victim
        .resident_bytes()
        .or_else(|| victim.process().and_then(process::resident_bytes));
    Ok(bytes.context("the broker's memory is not known")? as f64)
}

pub(super) fn push(
    measured: &mut Measured,
    measure: &str,
    unit: &'static str,
    goal: Goal,
    value: f64,
) {
    measured.push(measure, unit, false, goal, value);
}
