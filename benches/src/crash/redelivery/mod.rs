//! `leveret-bench crash`: what a broker gives back after `kill -9`, and how soon.
//!
//! ```text
//! target    which brokers, and how each is started and killed
//! plan      how many messages, in which queues, how many settled and held
//! round     start -> publish | hold -> kill -> start -> collect -> verdict
//!   publish   numbered messages with confirms, also if the broker dies meanwhile
//!   hold      a consumer that settles a part and keeps some unacknowledged
//!   collect   consumers of everything after the restart
//!   ledger    what is known of each message, and what was wrong: no clock, no socket
//! outcome   the figures of a round; medians of several
//! report    the HTML page
//! ```

mod collect;
mod command;
#[cfg(test)]
mod fake;
mod hold;
mod ledger;
mod outcome;
mod plan;
mod publish;
mod report;
mod round;
mod subject;
mod target;
#[cfg(test)]
mod tests;

pub(crate) use command::{CrashCommand, run, summary};
pub(crate) use target::{ChatBroker, Target, TargetOptions, free_port, program};
