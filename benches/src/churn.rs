//! `leveret-bench churn`: connections and queues that come and go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::load::{Latency, Percentiles, Shared, join, run_name, spawn};
use crate::wire::{ClientError, Connection, Uri};

/// What is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cycle {
    /// Connect, open a channel, declare a durable queue, publish, get, delete, close.
    Whole,
    /// Connect, open a channel, close.
    Connection,
    /// On a connection that stays: declare a durable queue, delete it.
    Queue,
}

/// What to repeat, and for how long.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct ChurnOptions {
    /// Threads, each with one connection at a time.
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub(crate) clients: usize,
    /// What each of them repeats.
    #[arg(long, value_enum, default_value_t = Cycle::Whole)]
    pub(crate) cycle: Cycle,
    /// Measured seconds.
    #[arg(long, default_value_t = 10.0, value_name = "S")]
    pub(crate) seconds: f64,
    /// Seconds of load before the measurement.
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    pub(crate) warmup: f64,
}

/// `leveret-bench churn`.
#[derive(Debug, Args)]
pub(crate) struct ChurnCommand {
    /// The broker.
    #[arg(
        long,
        env = "AMQP_URI",
        value_name = "URI",
        default_value = "amqp://guest:guest@127.0.0.1:5672/%2f"
    )]
    pub(crate) uri: Uri,
    #[command(flatten)]
    pub(crate) options: ChurnOptions,
    /// One line of JSON on standard output; the table goes to standard error.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What came out.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ChurnOutcome {
    pub(crate) benchmark: &'static str,
    pub(crate) uri: Uri,
    pub(crate) parameters: ChurnOptions,
    pub(crate) cycles_per_second: f64,
    pub(crate) cycle_microseconds: Option<Percentiles>,
}

impl ChurnOutcome {
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!(
            "{:<18}{:>14.1} /s",
            "cycles", self.cycles_per_second
        )];
        if let Some(Percentiles {
            p50, p95, p99, max, ..
        }) = &self.cycle_microseconds
        {
            let text = format!("p50 {p50:.0}  p95 {p95:.0}  p99 {p99:.0}  max {max:.0} us");
            lines.push(format!("{:<18}{text}", "one cycle"));
        }
        lines
    }
}

/// Repeats the cycle in every thread.
pub(crate) fn run(uri: &Uri, options: &ChurnOptions) -> Result<ChurnOutcome> {
    ensure!(options.clients > 0, "--clients has to be at least 1");
    ensure!(
        options.seconds > 0.0 && options.warmup >= 0.0,
        "--seconds and --warmup"
    );
    let from = Instant::now() + Duration::try_from_secs_f64(options.warmup)?;
    let to = from + Duration::try_from_secs_f64(options.seconds)?;
    let name = run_name();
    let shared = Arc::new(Shared::new(0, 0));
    let start = |client: usize| {
        let (uri, queue) = (uri.clone(), format!("{name}.churn.{client}"));
        let (stop, cycle) = (Arc::clone(&shared), options.cycle);
        spawn("churn", &shared, move || match cycle {
            Cycle::Whole => repeat(from, to, &stop, || whole(&uri, &queue)),
            Cycle::Connection => repeat(from, to, &stop, || connect(&uri)?.close()),
            Cycle::Queue => {
                let mut connection = connect(&uri)?;
                let latency = repeat(from, to, &stop, || {
                    connection.declare_queue(1, &queue, true, &[])?;
                    connection.delete_queue(1, &queue)
                })?;
                connection.close()?;
                Ok(latency)
            }
        })
    };
    let workers = (0..options.clients).map(start).collect::<Result<_>>();
    let mut latency = Latency::default();
    join(workers?)?.into_iter().for_each(|one| latency.add(one));
    let cycle_microseconds = latency.percentiles();
    let cycles = cycle_microseconds
        .as_ref()
        .map_or(0, |percentiles| percentiles.count);
    Ok(ChurnOutcome {
        benchmark: "churn",
        uri: uri.clone(),
        parameters: options.clone(),
        cycles_per_second: cycles as f64 / options.seconds,
        cycle_microseconds,
    })
}

fn repeat(
    from: Instant,
    to: Instant,
    shared: &Shared,
    mut cycle: impl FnMut() -> Result<(), ClientError>,
) -> Result<Latency, ClientError> {
    let mut latency = Latency::default();
    loop {
        if shared.failed() {
            return Err(ClientError::Stopped);
        }
        let start = Instant::now();
        cycle()?;
        let end = Instant::now();
        if end >= to {
            return Ok(latency);
        }
        if end >= from {
            let nanoseconds = end.duration_since(start).as_nanos();
            latency.record(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        }
    }
}

/// A connection with channel 1 open.
fn connect(uri: &Uri) -> Result<Connection, ClientError> {
    let mut connection = Connection::open(uri)?;
    connection.open_channel(1)?;
    Ok(connection)
}

fn whole(uri: &Uri, queue: &str) -> Result<(), ClientError> {
    let mut connection = connect(uri)?;
    connection.declare_queue(1, queue, true, &[])?;
    connection.publish(1, queue, b"here and gone")?;
    if connection.get(1, queue)?.is_none() {
        let lost = "the message published before is not there".to_owned();
        return Err(ClientError::WrongMessage(lost));
    }
    connection.delete_queue(1, queue)?;
    connection.close()
}
