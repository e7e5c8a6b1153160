//! What the features of queues cost beyond a plain queue.
//!
//! ```text
//! messages   a backlog with deadlines, priorities, a dead-letter target: bytes of each message
//! expiry     a bystander's confirms while a million messages of another queue expire
//! queues     many idle durable queues: declared, started with, listed
//! command    rounds, medians, goals
//! ```

mod command;
mod expiry;
mod messages;
mod queues;

pub(crate) use command::{FeaturesCommand, run};
