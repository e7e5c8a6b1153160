//! What a broker is like to start, to fill and to kill.
//!
//! ```text
//! victim    the broker's process: start, ready, kill -9, stop
//! fill      persistent messages with confirms, numbered
//! redeliver consumes what came back and checks it
//! backlog   fill -> kill -> start -> redeliver
//! start     start -> ready -> stop, again and again
//! redelivery  the crash benchmark: several brokers in turn, checked message by message
//! ```

mod backlog;
mod fill;
mod redeliver;
mod redelivery;
mod start;
mod victim;

pub(crate) use backlog::{BacklogCommand, run as backlog};
pub(crate) use fill::{Backlog, fill};
pub(crate) use redelivery::{
    ChatBroker, CrashCommand, Target, TargetOptions, free_port, program, run as crash, summary,
};
pub(crate) use start::{StartCommand, run as start};
pub(crate) use victim::Victim;
