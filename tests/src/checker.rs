//! Judges a broker by what its clients saw: nothing that was confirmed is lost, nothing appears
//! that was not published, nothing changes, and what was delivered before comes back flagged.
//!
//! Clients tell a [`History`] what they are about to send, before they send it, and what was
//! answered, after they read it. So whatever the history calls sure is sure, and everything else
//! may or may not have happened. After a crash somebody looks at all queues and hands the
//! [`Observation`] to [`History::judge`], which answers with [`Fault`]s.
//!
//! ```text
//!  publish_sent ──► may be there ──► confirmed ──► must be there
//!  ack_sent     ──► may be there, flagged ──► not observed ──► must never be there again
//! ```
//!
//! The checker knows nothing of connections or files; faults are planted in its own tests to see
//! that each kind is found.

mod body;
mod fault;
mod history;
mod judge;
#[cfg(test)]
mod planted;

pub use body::{MessageId, Seen};
pub use fault::{Counts, Fault, Verdict};
pub use history::{Binding, Entity, History, TransactionId};
pub use judge::Observation;
