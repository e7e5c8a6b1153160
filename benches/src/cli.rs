//! The command line.

use clap::{Parser, Subcommand};

use crate::chat::{ChatCommand, ChatCrashCommand, ReaderCommand};
use crate::churn::ChurnCommand;
use crate::compare::CompareCommand;
use crate::crash::{BacklogCommand, CrashCommand, StartCommand};
use crate::features::FeaturesCommand;
use crate::load::LoadCommand;
use crate::matrix::MatrixCommand;

/// Load, comparison and crash benchmarks for any AMQP 0-9-1 broker.
///
/// Exit status: 0 done, 1 failed, 2 wrong arguments, 3 the broker lost, doubled or reordered
/// messages, 130 interrupted.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Publish and consume; report rates, latencies and faults.
    Load(LoadCommand),
    /// Open and close connections and queues; report cycles per second.
    Churn(ChurnCommand),
    /// Run the same workloads on two brokers in turn; report medians and ratios.
    Compare(CompareCommand),
    /// Kill brokers with SIGKILL, start them again, check what comes back, and how soon.
    ///
    /// Each round starts every broker with nothing in it, publishes persistent messages with
    /// confirms, lets a consumer acknowledge a tenth and hold some, kills the broker, starts it
    /// again and consumes everything. A confirmed message that is lost, doubled or changed fails
    /// the run (exit status 3) and is told by its number.
    Crash(CrashCommand),
    /// Measure the chat on the embedded broker and on RabbitMQ in turn: sends, send to screen,
    /// deliveries, a backlog, memory, a large group.
    ///
    /// The chat's store is the embedded one on every broker, so only the broker differs. Every message
    /// is checked: one that is lost, shown twice or out of order fails the run (exit status 3) and is
    /// told by its number.
    Chat(ChatCommand),
    /// Kill the broker, the service or the reader of the chat with SIGKILL, and see how soon everything
    /// that was written is shown again.
    ///
    /// Each round starts broker, service and reader with nothing in them; people write; when half of it
    /// was shown, the victim is killed and started again at once. A message that is lost, shown twice or
    /// out of order fails the run (exit status 3) and is told by its number.
    ChatCrash(ChatCrashCommand),
    /// The reader of chat-crash.
    #[command(hide = true)]
    ChatReader(ReaderCommand),
    /// Measure every row of the table in docs/benchmarks.md on Leveret and RabbitMQ, and write it.
    Matrix(MatrixCommand),
    /// Fill a queue, kill the broker, start it again; report memory, times and faults.
    Backlog(BacklogCommand),
    /// Start an empty broker again and again; report time to ready and idle memory.
    Start(StartCommand),
    /// What the features of queues cost: memory of messages, a neighbour's time while a million
    /// messages expire, queues by the hundred thousand.
    Features(FeaturesCommand),
}
