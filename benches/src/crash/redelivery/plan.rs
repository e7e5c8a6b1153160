//! What one round publishes, settles and holds.

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::crash::redelivery::ledger::Settlement;
use crate::wire::{ClientError, Connection, Value};

/// An hour: the deadlines are there, and nothing expires during a run.
const TTL_MILLISECONDS: i64 = 3_600_000;
const QUEUES_MAX: usize = 10_000;

/// What to do to each broker.
#[derive(Debug, Clone, Args, Serialize)]
pub(crate) struct CrashOptions {
    /// Persistent messages to publish, with confirms.
    #[arg(
        long,
        default_value_t = 1_000_000,
        value_name = "N",
        help_heading = "Round"
    )]
    pub(super) count: u64,
    /// Body bytes, at least 16.
    #[arg(
        long,
        default_value_t = 1024,
        value_name = "BYTES",
        help_heading = "Round"
    )]
    pub(super) size: usize,
    /// Unconfirmed messages on the way.
    #[arg(long, default_value_t = 2000, value_name = "N", help_heading = "Round")]
    pub(super) confirm_window: u64,
    /// Messages that a consumer acknowledges before the crash [default: a tenth].
    #[arg(long, value_name = "N", help_heading = "Round")]
    pub(super) acked: Option<u64>,
    /// Messages that it holds unacknowledged, at least one for each queue.
    #[arg(long, default_value_t = 1000, value_name = "N", help_heading = "Round")]
    pub(super) held: u64,
    /// Prefetch of each consumer after the restart.
    #[arg(long, default_value_t = 1000, value_name = "N", help_heading = "Round")]
    pub(super) prefetch: u16,
    /// Seconds between the last acknowledgement and the crash.
    #[arg(long, default_value_t = 0.0, value_name = "S", help_heading = "Round")]
    pub(super) pause: f64,

    /// Kill the broker in the middle of publishing, after half of the messages.
    #[arg(long, help_heading = "Variants")]
    pub(super) while_publishing: bool,
    /// Kill it a second time, while it recovers.
    #[arg(long, help_heading = "Variants")]
    pub(super) twice: bool,
    /// Milliseconds from the second start to the second kill [default: about what an empty broker
    /// takes until it accepts].
    #[arg(long, value_name = "MS", requires = "twice", help_heading = "Variants")]
    pub(super) twice_after: Option<u64>,
    /// Spread the messages over so many durable queues.
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Variants")]
    pub(super) queues: usize,
    /// Give each message a time to live, an hour.
    #[arg(long, help_heading = "Variants")]
    pub(super) ttl: bool,
    /// Give the messages so many priorities in turn, at most 32.
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Variants")]
    pub(super) priorities: u8,
    /// Reject a tenth instead of acknowledging it, into a dead-letter queue.
    #[arg(long, help_heading = "Variants")]
    pub(super) dead_letters: bool,
    /// A queue argument more, once per argument.
    #[arg(long, value_name = "NAME=VALUE", value_parser = crate::load::argument, help_heading = "Variants")]
    pub(super) queue_args: Vec<(String, Value)>,

    /// Seconds without any delivery after which what is still due counts as lost.
    #[arg(long, default_value_t = 30.0, value_name = "S", help_heading = "Run")]
    pub(super) silence: f64,
    /// Seconds to wait for messages too many, after all that were due have come.
    #[arg(long, default_value_t = 0.5, value_name = "S", help_heading = "Run")]
    pub(super) surplus: f64,
}

/// The plan of a round, the same for every broker but for `arguments`.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) options: CrashOptions,
    pub(super) queues: Vec<String>,
    /// One for all queues, if there is one at all.
    pub(super) dead_letters: Option<String>,
    arguments: Vec<(String, Value)>,
    /// How many messages of each queue are settled, and held, before the crash.
    pub(super) settled: Vec<u64>,
    pub(super) held: Vec<u16>,
}

impl CrashOptions {
    /// How many messages are published before the broker dies, at the least.
    pub(super) fn published_min(&self) -> u64 {
        if self.while_publishing {
            self.count / 2
        } else {
            self.count
        }
    }

    fn acked(&self) -> u64 {
        self.acked.unwrap_or(self.published_min() / 10)
    }

    /// Says what cannot be, before anything is started.
    pub(super) fn check(&self) -> Result<()> {
        ensure!(self.size >= 16, "--size: number and time take 16 bytes");
        ensure!(self.size <= 1 << 24, "--size: at most 16777216");
        ensure!(
            self.count > 0 && self.count <= 1 << 28,
            "--count: 1 to 268435456"
        );
        ensure!(
            self.confirm_window > 0 && self.confirm_window <= 1 << 24,
            "--confirm-window: 1 to 16777216"
        );
        ensure!(
            self.queues > 0 && self.queues <= QUEUES_MAX,
            "--queues: 1 to {QUEUES_MAX}"
        );
        let queues = self.queues as u64;
        ensure!(
            self.held >= queues && self.held / queues < 65_535,
            "--held: at least one and at most 65534 for each queue"
        );
        // Each queue gets its share, rounded up, of what is taken from it.
        let share = self.held.div_ceil(queues) + self.acked().div_ceil(queues);
        ensure!(
            share <= self.published_min() / queues,
            "there are too few messages to settle {} and hold {} of them",
            self.acked(),
            self.held
        );
        ensure!(self.priorities <= 32, "--priorities: at most 32");
        for (name, seconds) in [
            ("--pause", self.pause),
            ("--silence", self.silence),
            ("--surplus", self.surplus),
        ] {
            ensure!(
                (0.0..1e6).contains(&seconds),
                "{name}: 0 to 1000000 seconds"
            );
        }
        Ok(())
    }

    /// How the consumer is done with messages before the crash.
    pub(super) fn settlement(&self) -> Settlement {
        if self.dead_letters {
            Settlement::Rejected
        } else {
            Settlement::Acked
        }
    }
}

impl Plan {
    /// The plan for queues named after `run`, with the arguments that the target's kind needs.
    pub(super) fn new(options: &CrashOptions, run: &str, kind: &[(String, Value)]) -> Self {
        let count = options.queues as u64;
        let share = |all: u64, queue: u64| all / count + u64::from(queue < all % count);
        let dead_letters = options.dead_letters.then(|| format!("{run}.dead-letters"));
        let mut arguments = kind.to_vec();
        let mut add = |name: &str, value| arguments.push((name.to_owned(), value));
        if options.ttl {
            add("x-message-ttl", Value::Integer(TTL_MILLISECONDS));
        }
        if options.priorities > 0 && kind.is_empty() {
            // Quorum queues have their priorities without being told.
            let highest = i64::from(options.priorities) - 1;
            add("x-max-priority", Value::Integer(highest.max(1)));
        }
        if let Some(queue) = &dead_letters {
            add("x-dead-letter-exchange", Value::Text(String::new()));
            add("x-dead-letter-routing-key", Value::Text(queue.clone()));
        }
        arguments.extend_from_slice(&options.queue_args);
        Self {
            queues: (0..count).map(|queue| format!("{run}.{queue}")).collect(),
            dead_letters,
            arguments,
            settled: (0..count)
                .map(|queue| share(options.acked(), queue))
                .collect(),
            held: (0..count)
                .map(|queue| u16::try_from(share(options.held, queue)).unwrap_or(u16::MAX))
                .collect(),
            options: options.clone(),
        }
    }

    pub(super) fn declare(&self, connection: &mut Connection) -> Result<(), ClientError> {
        connection.open_channel(1)?;
        if let Some(queue) = &self.dead_letters {
            connection.declare_queue(1, queue, true, &[])?;
        }
        for queue in &self.queues {
            connection.declare_queue(1, queue, true, &self.arguments)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    #[command(no_binary_name = true)]
    struct Command {
        #[command(flatten)]
        options: CrashOptions,
    }

    fn options(arguments: &str) -> CrashOptions {
        Command::parse_from(arguments.split_whitespace()).options
    }

    #[test]
    fn queues_share_what_is_settled_and_held() {
        let options = options("--count 100 --queues 3 --held 4 --dead-letters --ttl");
        options.check().unwrap();
        let plan = Plan::new(&options, "run", &[]);
        assert_eq!(plan.settled, [4, 3, 3]);
        assert_eq!(plan.held, [2, 1, 1]);
        assert_eq!(plan.queues[2], "run.2");
        let names: Vec<&str> = plan
            .arguments
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let expected = [
            "x-message-ttl",
            "x-dead-letter-exchange",
            "x-dead-letter-routing-key",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_plan_that_cannot_be_carried_out_is_refused() {
        for arguments in [
            "--count 0",
            "--size 15",
            "--count 100 --held 100",
            "--count 1000 --held 500 --while-publishing",
            "--queues 1001 --held 1000",
            "--priorities 33",
            "--pause=-1",
            "--confirm-window 0",
        ] {
            assert!(options(arguments).check().is_err(), "{arguments}");
        }
    }
}
