//! `leveret-bench chat`: how fast the chat is, on the embedded broker and on RabbitMQ in turn.
//!
//! ```text
//! command   which brokers, which rows, how much; round by round
//! crowd     people with logins, imported before the service starts: no password is hashed
//! talk      sending in windows, and screens that show each message once and in order
//! rows      a row each: what it does, its figures, and what was lost, doubled or out of order
//! figure    what was measured, and which way is better
//! report    the table and the HTML page
//! ```
//!
//! The store is the embedded one in either case, so only the broker differs.

mod command;
mod crowd;
mod figure;
mod report;
mod rows;
mod talk;

pub(crate) use command::{ChatCommand, run};
