//! One round of one workload on one broker.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::churn::{self, ChurnOptions, Cycle};
use crate::compare::disk;
use crate::compare::workload::{self, Better, Sample, Work, Workload};
use crate::load::{self, LoadOptions, LoadResults};
use crate::progress::Progress;
use crate::wire::Uri;

/// The body of `single-confirm`, and what the disk alone has to write.
const CONFIRM_BYTES: usize = 1024;

/// One of the two brokers.
#[derive(Debug)]
pub(crate) struct Broker<'a> {
    pub(crate) name: &'a str,
    pub(crate) uri: &'a Uri,
    pub(crate) pid: Option<u32>,
}

/// What all rounds share.
#[derive(Debug)]
pub(crate) struct RoundOptions<'a> {
    pub(crate) seconds: f64,
    pub(crate) warmup: f64,
    pub(crate) data_dir: &'a Path,
}

/// The figures of a round, and what the broker did wrong in it.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) samples: Vec<Sample>,
    pub(crate) fault: Option<String>,
}

/// Runs one round.
pub(crate) fn run(
    workload: &Workload,
    broker: &Broker<'_>,
    options: &RoundOptions<'_>,
) -> Result<Round> {
    match &workload.work {
        Work::Load {
            arguments,
            measures,
        } => {
            let mut round = Round::default();
            let results = load(arguments, broker, options, &mut round)?;
            for measure in *measures {
                round.samples.extend(measure.read(&results));
            }
            round.samples.extend(cpu_per_message(&results));
            Ok(round)
        }
        Work::SingleConfirm => single_confirm(broker, options),
        Work::Churn => churn(broker, options),
    }
}

/// Runs one load; what the broker did wrong goes to `round`.
pub(crate) fn load(
    arguments: &str,
    broker: &Broker<'_>,
    options: &RoundOptions<'_>,
    round: &mut Round,
) -> Result<LoadResults> {
    let (seconds, warmup, pid) = (options.seconds, options.warmup, broker.pid);
    let load = LoadOptions {
        seconds,
        warmup,
        pid,
        ..workload::options(arguments)?
    };
    let results = load::run(broker.uri, &load, &Progress::hidden())?.results;
    if !results.is_sound() {
        round.fault = Some(results.faults());
    }
    Ok(results)
}

/// Confirms one at a time. In turn with them the disk is asked what a sync costs, since a
/// durable confirm cannot be cheaper than that.
pub(crate) fn single_confirm(broker: &Broker<'_>, options: &RoundOptions<'_>) -> Result<Round> {
    let mut round = Round::default();
    let arguments = format!("--size {CONFIRM_BYTES} --confirm-window 1 --publish-only");
    let transient = confirm_p50(&load(&arguments, broker, options, &mut round)?)?;
    let time = Duration::try_from_secs_f64(options.seconds)?;
    let sync = disk::sync_microseconds(options.data_dir, CONFIRM_BYTES, time)?;
    let arguments = format!("{arguments} --persistent");
    let persistent = confirm_p50(&load(&arguments, broker, options, &mut round)?)?;
    let sample = |measure, unit, value| Sample {
        measure,
        unit,
        better: Better::Lower,
        value,
    };
    round.samples = vec![
        sample("persistent confirm p50", "us", persistent),
        sample("transient confirm p50", "us", transient),
        sample("append + fdatasync p50", "us", sync),
        sample(
            "persistent / (sync + transient)",
            "x",
            persistent / (sync + transient),
        ),
    ];
    Ok(round)
}

fn confirm_p50(results: &LoadResults) -> Result<f64> {
    let latency = results.confirm_latency_microseconds.as_ref();
    Ok(latency.context("nothing was confirmed")?.p50)
}

fn churn(broker: &Broker<'_>, options: &RoundOptions<'_>) -> Result<Round> {
    let (seconds, warmup) = (options.seconds, options.warmup);
    let outcome = churn::run(
        broker.uri,
        &ChurnOptions {
            clients: 2,
            cycle: Cycle::Whole,
            seconds,
            warmup,
        },
    )?;
    let value = outcome.cycles_per_second;
    let better = Better::Higher;
    let samples = vec![Sample {
        measure: "cycles",
        unit: "/s",
        better,
        value,
    }];
    Ok(Round {
        samples,
        fault: None,
    })
}

/// What the broker's processor time comes to for each message; it needs the broker's process.
pub(crate) fn cpu_per_message(results: &LoadResults) -> Option<Sample> {
    let rate = results
        .consumed_per_second
        .or(results.published_per_second)?;
    let messages = rate * results.measured_seconds;
    let value = results.broker_cpu_seconds? * 1e6 / messages;
    let (measure, unit) = ("broker processor time", "us/message");
    value.is_finite().then_some(Sample {
        measure,
        unit,
        better: Better::Lower,
        value,
    })
}
