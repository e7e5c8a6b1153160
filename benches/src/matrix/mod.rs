//! `leveret-bench matrix`: every row of the table of speeds, Leveret and RabbitMQ in turn, and the
//! page that shows them.
//!
//! ```text
//! rows      what is measured, and what is to be reached
//! measure   one round of one row on one broker
//! memory    what connections, queues and messages weigh
//! state     the file that keeps what was measured, so that a run can go on
//! page      the generated part of docs/benchmarks.md, and its plots
//! ```

mod command;
mod measure;
mod memory;
mod page;
mod rows;
mod state;

pub(crate) use command::{MatrixCommand, run};
