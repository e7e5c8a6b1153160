//! What the tests from outside share: the targets they run on, and the scripted peers they use.
//!
//! A conformance test is written once, as `async fn(&Context) -> anyhow::Result<()>`, and runs on
//! our broker and on a real RabbitMQ. The real one is the judge: a test that RabbitMQ fails is
//! wrong, unless the difference is deliberate and listed in [`differences`].

pub mod checker;
pub mod client;
pub mod context;
pub mod differences;
pub mod foreign;
pub mod management;
pub mod outcome;
pub mod process;
pub mod provision;
pub mod raw;
pub mod received;
pub mod shortage;
pub mod target;
pub mod torture;

pub use context::Context;
