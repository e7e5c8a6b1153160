//! What `leveret-bench load` can be asked for.

use anyhow::{Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::wire::{Uri, Value};

/// The parameters of one load; `compare` builds its workloads from the same text.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct LoadOptions {
    /// Producers, each a connection and a thread of its own.
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Shape")]
    pub(crate) producers: usize,
    /// Consumers in all, spread evenly over the queues [default: one per queue].
    #[arg(long, value_name = "N", help_heading = "Shape")]
    pub(crate) consumers: Option<usize>,
    /// Connections (and threads) the consumers share [default: one per consumer].
    #[arg(long, value_name = "N", help_heading = "Shape")]
    pub(crate) consumer_connections: Option<usize>,
    /// Queues.
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Shape")]
    pub(crate) queues: usize,
    /// Publish to a fanout exchange with this many queues (replaces --queues and --exchange).
    #[arg(long, value_name = "N", help_heading = "Shape")]
    pub(crate) fan_out: Option<usize>,
    /// Publish to an exchange of this type instead of the default exchange.
    #[arg(long, value_enum, value_name = "TYPE", help_heading = "Shape")]
    pub(crate) exchange: Option<ExchangeKind>,
    /// Binding key, once per binding; `{queue}` becomes the queue's number. Every queue gets all.
    #[arg(
        long,
        value_name = "KEY",
        default_value = "{queue}",
        help_heading = "Shape"
    )]
    pub(crate) binding: Vec<String>,
    /// Routing key; `{key}` runs from 0 to --keys minus 1, message by message.
    #[arg(
        long,
        value_name = "KEY",
        default_value = "{key}",
        help_heading = "Shape"
    )]
    pub(crate) routing_key: String,
    /// How many routing keys there are [default: one per queue].
    #[arg(long, value_name = "N", help_heading = "Shape")]
    pub(crate) keys: Option<usize>,
    /// Queue argument, once per argument: true/false, whole numbers and texts keep their types.
    #[arg(long, value_name = "NAME=VALUE", value_parser = argument, help_heading = "Shape")]
    pub(crate) queue_args: Vec<(String, Value)>,
    /// Declare the queues as not durable (recent RabbitMQ refuses that by default).
    #[arg(long, help_heading = "Shape")]
    pub(crate) transient_queue: bool,

    /// Body bytes. From 16 on a body carries sequence and time, so loss and latency are seen.
    #[arg(
        long,
        default_value_t = 1024,
        value_name = "BYTES",
        help_heading = "Messages"
    )]
    pub(crate) size: usize,
    /// Publish with delivery mode 2.
    #[arg(long, help_heading = "Messages")]
    pub(crate) persistent: bool,
    /// Unconfirmed messages a producer may have on the way; 0 publishes without confirms.
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Messages")]
    pub(crate) confirm_window: u64,
    /// Messages per second in all, on a fixed schedule; latency then counts from the intended
    /// send time, so a stalled broker cannot hide its stall (no coordinated omission).
    #[arg(long, value_name = "N", help_heading = "Messages")]
    pub(crate) rate: Option<u64>,
    /// Stop publishing while more than this many deliveries are due but not received; 0 = never.
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Messages")]
    pub(crate) in_flight_max: u64,

    /// Messages a consumer may hold unacknowledged; 0 = no limit.
    #[arg(
        long,
        default_value_t = 100,
        value_name = "N",
        help_heading = "Consuming"
    )]
    pub(crate) prefetch: u16,
    /// Consume without acknowledgements.
    #[arg(long, help_heading = "Consuming")]
    pub(crate) auto_ack: bool,
    /// Acknowledge every N messages with one ack (multiple); 1 acks each message by itself.
    #[arg(
        long,
        default_value_t = 1,
        value_name = "N",
        help_heading = "Consuming"
    )]
    pub(crate) ack_multiple: u64,
    /// Do not consume at all.
    #[arg(long, help_heading = "Consuming")]
    pub(crate) publish_only: bool,
    /// Publish N messages first, then measure how fast they are consumed.
    #[arg(long, value_name = "N", conflicts_with_all = ["publish_only", "rate", "in_flight_max"],
        help_heading = "Consuming")]
    pub(crate) drain: Option<u64>,

    /// Measured seconds.
    #[arg(long, default_value_t = 10.0, value_name = "S", help_heading = "Run")]
    pub(crate) seconds: f64,
    /// Seconds of load before the measurement.
    #[arg(long, default_value_t = 2.0, value_name = "S", help_heading = "Run")]
    pub(crate) warmup: f64,
    /// Seconds the consumers may take afterwards for what is still on the way.
    #[arg(long, default_value_t = 60.0, value_name = "S", help_heading = "Run")]
    pub(crate) drain_seconds: f64,
    /// The broker's process, for its processor time and resident memory.
    #[arg(long, value_name = "PID", help_heading = "Run")]
    #[serde(skip)]
    pub(crate) pid: Option<u32>,
}

/// `leveret-bench load`.
#[derive(Debug, Args)]
pub(crate) struct LoadCommand {
    /// The broker.
    #[arg(
        long,
        env = "AMQP_URI",
        value_name = "URI",
        default_value = "amqp://guest:guest@127.0.0.1:5672/%2f"
    )]
    pub(crate) uri: Uri,
    #[command(flatten)]
    pub(crate) options: LoadOptions,
    /// One line of JSON on standard output; the table goes to standard error.
    #[arg(long)]
    pub(crate) json: bool,
}

/// An exchange type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExchangeKind {
    Direct,
    Fanout,
    Topic,
}

impl ExchangeKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
        }
    }
}

impl LoadOptions {
    pub(crate) fn queue_count(&self) -> usize {
        self.fan_out.unwrap_or(self.queues)
    }

    pub(crate) fn consumer_count(&self) -> usize {
        if self.publish_only {
            0
        } else {
            self.consumers.unwrap_or(self.queue_count())
        }
    }

    /// Says which parameters cannot go together, before anything is connected.
    pub(crate) fn check(&self) -> Result<()> {
        ensure!(self.producers > 0, "--producers has to be at least 1");
        ensure!(
            self.producers <= 65_536,
            "--producers: a body has room for 65536"
        );
        ensure!(self.queue_count() > 0, "--queues has to be at least 1");
        ensure!(self.ack_multiple > 0, "--ack-multiple has to be at least 1");
        ensure!(
            self.confirm_window <= 1 << 24,
            "--confirm-window: at most 16777216"
        );
        ensure!(
            self.seconds.is_finite() && self.seconds > 0.0,
            "--seconds has to be above 0"
        );
        ensure!(
            self.warmup.is_finite() && self.warmup >= 0.0,
            "--warmup cannot be negative"
        );
        ensure!(
            self.seconds + self.warmup < 1e7,
            "--seconds and --warmup are too long"
        );
        ensure!(
            self.drain_seconds.is_finite() && self.drain_seconds >= 0.0,
            "--drain-seconds"
        );
        ensure!(self.size <= 1 << 27, "--size: at most 134217728");
        ensure!(self.rate != Some(0), "--rate has to be at least 1");
        let starved = self.publish_only && self.in_flight_max > 0;
        ensure!(
            !starved,
            "--in-flight-max waits for consumers, of which --publish-only has none"
        );
        ensure!(self.keys != Some(0), "--keys has to be at least 1");
        ensure!(
            self.fan_out.is_none() || self.exchange.is_none(),
            "--fan-out has its exchange"
        );
        let (consumers, queues) = (self.consumer_count(), self.queue_count());
        if !self.publish_only && consumers < queues {
            bail!("{consumers} consumers leave some of {queues} queues unread");
        }
        if self.consumer_connections == Some(0) {
            bail!("--consumer-connections has to be at least 1");
        }
        if !self.auto_ack && self.prefetch > 0 && u64::from(self.prefetch) < self.ack_multiple {
            bail!("--ack-multiple above --prefetch never acknowledges anything");
        }
        if self.drain.is_some() && self.size < 8 && self.queue_count() > 1 {
            bail!("--drain with several queues needs bodies of 8 bytes or more");
        }
        Ok(())
    }
}

/// Reads a queue argument.
pub(crate) fn argument(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    match value.parse() {
        Ok(value) => Ok((name.to_owned(), value)),
        Err(never) => match never {},
    }
}
