//! `leveret-bench backlog`: fill a queue, kill the broker, see how it comes back.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::crash::fill::{self, Backlog};
use crate::crash::redeliver::{self, Expected, Redelivered};
use crate::crash::victim::{Started, Victim, VictimOptions};
use crate::load::run_name;
use crate::process;
use crate::progress::Progress;
use crate::report::Report;
use crate::wire::{Connection, Uri};

/// `leveret-bench backlog`.
#[derive(Debug, Args)]
pub(crate) struct BacklogCommand {
    /// The broker.
    #[arg(
        long,
        env = "AMQP_URI",
        value_name = "URI",
        default_value = "amqp://guest:guest@127.0.0.1:5672/%2f"
    )]
    uri: Uri,
    /// Persistent messages to publish, each confirmed.
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    count: u64,
    /// Body bytes, at least 8.
    #[arg(long, default_value_t = 1024, value_name = "BYTES")]
    size: usize,
    /// Unconfirmed messages on the way while filling.
    #[arg(long, default_value_t = 2000, value_name = "N")]
    confirm_window: u64,
    /// Messages delivered to a consumer and not acknowledged when the broker is killed.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    held: u64,
    /// Prefetch of the consumer afterwards.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    prefetch: u16,
    /// Seconds without any delivery after which the rest counts as lost.
    #[arg(long, default_value_t = 30.0, value_name = "S")]
    silence: f64,
    /// A running broker's process, for its resident memory.
    #[arg(long, value_name = "PID", conflicts_with = "start")]
    pid: Option<u32>,
    /// Shell command that starts the broker. `{dir}` becomes a directory of its own, empty at the
    /// first start. The broker runs in a process group, which is killed as a whole. Without this
    /// a broker that runs already is filled, measured and emptied, and not killed.
    #[arg(long, value_name = "CMD")]
    start: Option<String>,
    #[command(flatten)]
    victim: VictimOptions,
    /// One line of JSON on standard output; the table goes to standard error.
    #[arg(long)]
    json: bool,
}

/// What a backlog costs and how it comes back.
#[derive(Debug, Serialize)]
struct BacklogOutcome {
    benchmark: &'static str,
    uri: Uri,
    count: u64,
    size: usize,
    held: u64,
    killed: bool,
    publish_seconds: f64,
    resident_bytes_before: Option<u64>,
    resident_bytes_filled: Option<u64>,
    resident_bytes_after_restart: Option<u64>,
    start_to_accepting_seconds: Option<f64>,
    accepting_to_first_seconds: Option<f64>,
    start_to_first_seconds: Option<f64>,
    first_to_last_seconds: Option<f64>,
    received: u64,
    lost: u64,
    duplicates: u64,
    out_of_order: u64,
    redelivered_flags: u64,
    redelivered_flags_of_held: u64,
}

/// Runs the benchmark; false if the broker lost, doubled or reordered messages, or forgot that
/// some had been delivered.
pub(crate) fn run(command: &BacklogCommand) -> Result<bool> {
    ensure!(command.size >= 8, "--size: a sequence number takes 8 bytes");
    ensure!(
        command.count > 0 && command.count <= 1 << 32,
        "--count: 1 to 4294967296"
    );
    ensure!(
        command.confirm_window > 0,
        "--confirm-window has to be at least 1"
    );
    ensure!(
        command.held <= command.count.min(65_535),
        "--held: at most --count and 65535"
    );
    let progress = Progress::new("backlog");
    let mut victim = None;
    if let Some(start) = &command.start {
        let started = victim.insert(Victim::new(start, &command.victim, &command.uri)?);
        started.start()?;
    }
    let queue = format!("{}.backlog", run_name());
    let result = measure(command, &queue, &mut victim, &progress);
    let cleaned = clean(command, &queue, victim);
    drop(progress);
    let outcome = result?;
    cleaned?;
    let report = Report::new(command.json);
    report.lines(&outcome.lines())?;
    report.json(&outcome)?;
    Ok(outcome.is_sound())
}

fn measure(
    command: &BacklogCommand,
    queue: &str,
    victim: &mut Option<Victim>,
    progress: &Progress,
) -> Result<BacklogOutcome> {
    let mut admin = Connection::open(&command.uri)?;
    admin.open_channel(1)?;
    admin.declare_queue(1, queue, true, &[])?;
    let before = resident_bytes(command, victim.as_ref());
    let (count, size) = (command.count, command.size);
    let backlog = Backlog {
        confirm_window: command.confirm_window,
        ..Backlog::plain(queue, count, size)
    };
    let publish_seconds = fill::fill(&command.uri, &backlog, progress)?;
    let filled = resident_bytes(command, victim.as_ref());
    let mut expected = Expected {
        queue,
        count,
        size,
        prefetch: command.prefetch,
        held: 0,
        silence: Duration::try_from_secs_f64(command.silence)?,
    };
    let mut started = None;
    if let Some(victim) = victim {
        expected.held = command.held;
        let holder = redeliver::hold(&command.uri, &expected)?;
        drop(admin);
        victim.kill()?;
        drop(holder);
        started = Some(victim.start()?);
    }
    let restarted = resident_bytes(command, victim.as_ref());
    let asked_at = Instant::now();
    let seen = redeliver::consume(&command.uri, &expected, progress)?;
    let mut outcome = outcome(command, &expected, started, asked_at, &seen);
    outcome.publish_seconds = publish_seconds;
    outcome.resident_bytes_before = before;
    outcome.resident_bytes_filled = filled;
    outcome.resident_bytes_after_restart = restarted.filter(|_| started.is_some());
    Ok(outcome)
}

fn outcome(
    command: &BacklogCommand,
    expected: &Expected<'_>,
    started: Option<Started>,
    asked_at: Instant,
    seen: &Redelivered,
) -> BacklogOutcome {
    let since = |from: Instant| seen.first_at.map(|at| (at - from).as_secs_f64());
    let accepting_at = started.map_or(asked_at, |started| started.at + started.accepting);
    let took = seen.last_at.zip(seen.first_at);
    BacklogOutcome {
        benchmark: "backlog",
        uri: command.uri.clone(),
        count: command.count,
        size: command.size,
        held: expected.held,
        killed: started.is_some(),
        publish_seconds: 0.0,
        resident_bytes_before: None,
        resident_bytes_filled: None,
        resident_bytes_after_restart: None,
        start_to_accepting_seconds: started.map(|started| started.accepting.as_secs_f64()),
        accepting_to_first_seconds: since(accepting_at),
        start_to_first_seconds: started.and_then(|started| since(started.at)),
        first_to_last_seconds: took.map(|(last, first)| (last - first).as_secs_f64()),
        received: seen.received,
        lost: seen.lost,
        duplicates: seen.duplicates,
        out_of_order: seen.out_of_order,
        redelivered_flags: seen.flagged,
        redelivered_flags_of_held: seen.flagged_of_held,
    }
}

fn resident_bytes(command: &BacklogCommand, victim: Option<&Victim>) -> Option<u64> {
    match victim {
        Some(victim) => victim.resident_bytes(),
        None => command.pid.and_then(process::resident_bytes),
    }
}

fn clean(command: &BacklogCommand, queue: &str, victim: Option<Victim>) -> Result<()> {
    let mut admin = Connection::open(&command.uri)?;
    admin.open_channel(1)?;
    admin.delete_queue(1, queue)?;
    admin.close()?;
    match victim {
        Some(mut victim) => victim.stop(),
        None => Ok(()),
    }
}

impl BacklogOutcome {
    fn is_sound(&self) -> bool {
        self.lost == 0
            && self.duplicates == 0
            && self.out_of_order == 0
            && self.redelivered_flags_of_held == self.held
    }

    fn lines(&self) -> Vec<String> {
        let rate = self.count as f64 / self.publish_seconds;
        let mut lines = vec![format!(
            "{:<28}{:.2} s for {} messages of {} bytes, {rate:.0} /s",
            "published and confirmed", self.publish_seconds, self.count, self.size
        )];
        let memory = [
            ("resident, empty", self.resident_bytes_before),
            ("resident, filled", self.resident_bytes_filled),
            ("resident, restarted", self.resident_bytes_after_restart),
        ];
        for (name, bytes) in memory {
            if let Some(bytes) = bytes {
                lines.push(format!(
                    "{name:<28}{:.1} MiB",
                    bytes as f64 / f64::from(1 << 20)
                ));
            }
        }
        if let Some((filled, before)) = self.resident_bytes_filled.zip(self.resident_bytes_before) {
            let each = filled.saturating_sub(before) as f64 / self.count as f64;
            lines.push(format!("{:<28}{each:.0} bytes", "resident per message"));
        }
        let times = [
            ("start to accepting", self.start_to_accepting_seconds),
            (
                "accepting to first message",
                self.accepting_to_first_seconds,
            ),
            ("start to first message", self.start_to_first_seconds),
            ("first to last message", self.first_to_last_seconds),
        ];
        for (name, seconds) in times {
            if let Some(seconds) = seconds {
                lines.push(format!("{name:<28}{seconds:.3} s"));
            }
        }
        let Self {
            received,
            lost,
            duplicates,
            out_of_order,
            held,
            ..
        } = self;
        lines.push(format!(
            "{:<28}received {received}  lost {lost}  duplicates {duplicates}  out of order \
             {out_of_order}",
            "messages"
        ));
        let (flags, of_held) = (self.redelivered_flags, self.redelivered_flags_of_held);
        lines.push(format!(
            "{:<28}{flags} in all, {of_held} of {held} that had been delivered",
            "marked as redelivered"
        ));
        lines
    }
}
