//! The operator's commands: everything over the HTTP API, so that they work on a RabbitMQ as well.

mod api;
mod change;
mod list;
mod run;
mod status;
mod table;
pub(crate) mod verb;

pub(crate) use run::{run, run_ctl};
