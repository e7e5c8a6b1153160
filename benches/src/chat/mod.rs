//! The chat: how fast it is ([`speed`]), and what a crash does to it.
//!
//! `leveret-bench chat-crash`: what the chat gives back after `kill -9` of the broker, of the service or
//! of the reader, and how soon.
//!
//! ```text
//! command   which brokers, which victims, how many messages
//! stage     broker, service and reader as processes; the writers in this one
//! reader    the reader's process: writes down what it shows
//! round     start -> write -> kill in the middle -> start again -> everything shown -> verdict
//! ledger    what was written and what was shown: no clock, no socket
//! report    the table and the HTML page
//! backend   the broker and the service, as processes
//! ```

mod backend;
mod command;
mod ledger;
mod reader;
mod report;
mod round;
mod speed;
mod stage;

pub(crate) use command::{ChatCrashCommand, run};
pub(crate) use reader::{ReaderCommand, run as read};
pub(crate) use speed::{ChatCommand, run as run_speed};
