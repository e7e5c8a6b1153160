//! The terminal interface: what is there and what happened make what is there next, and what is there
//! makes the screen. [`Model`] and [`view`] are pure; [`run`] alone knows a terminal and a session.

mod composer;
mod conversation;
mod demo;
mod key;
mod keys;
mod model;
mod run;
mod slash;
#[cfg(test)]
mod tests;
pub mod view;

pub use self::conversation::{Conversation, Mark};
pub use self::demo::{DemoCommand, DemoPort, DemoStatus};
pub use self::key::Key;
pub use self::model::{Connection, Effect, Event, Intent, Model, Panel};
pub use self::run::{TuiOptions, run};
