//! `leveret-bench load`: producers and consumers against one broker.
//!
//! ```text
//! options -> topology -> run -+-> producer (ring, window, pace)   one thread each
//!                             +-> consumers (tally, latency)      one thread per connection
//!                             +-> verdict -> outcome
//! ```

mod consumer;
mod latency;
mod options;
mod outcome;
mod pace;
mod producer;
mod results;
mod ring;
mod run;
mod shared;
mod stamp;
mod tally;
#[cfg(test)]
mod tests;
mod topology;
mod verdict;
mod window;
mod workers;

pub(crate) use latency::{Latency, Percentiles};
pub(crate) use options::{LoadCommand, LoadOptions, argument};
pub(crate) use outcome::LoadResults;
pub(crate) use producer::{Producer, ProducerPlan};
pub(crate) use ring::{MessageShape, PublishRing, filling};
pub(crate) use run::{run, run_name};
pub(crate) use shared::Shared;
pub(crate) use stamp::Stamp;
pub(crate) use window::ConfirmWindow;
pub(crate) use workers::{join, spawn};
