//! The life of a message in one queue, as a pure state machine.
//!
//! No lock, no clock, no disk: time is an argument, and what is to be done outside (record a
//! settlement, load a body) comes back as [`Effect`]s. The caller's duties are few:
//!
//! - Effects are carried out in the order in which they were pushed; those that [`enqueue`] pushed
//!   are handed to the log before the enqueue operation itself.
//! - After [`consume`], [`settle`], [`resume`], [`set_prefetch`], [`lease_written`],
//!   [`block_loaded`], [`block_failed`] and [`bodies_loaded`] the queue may be able to deliver
//!   again; none of them delivers, [`dispatch`] does.
//! - Every load that was asked for is answered once.
//!
//! ```text
//!                        deliver, get                      acknowledge,
//!  enqueue   +---------+ ----------------> +---------+     discard         +---------+
//! ---------> |  ready  |                   | unacked | ------------------> | settled |
//!            +---------+ <---------------- +---------+                     +---------+
//!              |     |      requeue                                           ^   ^
//!              |     +--------------------------------------------------------+   |
//!              |              deliver or get without acknowledgement              |
//!              +------------------------------------------------------------------+
//!                                  purge, lost to damage
//! ```
//!
//! A message's place never changes: a requeued message becomes ready again where it was. Where
//! the message's bytes are is a second, independent matter:
//!
//! ```text
//!             release_bodies                page_out, recovery
//! +----------+ ------------> +-------------+ -------------> +-------------------+
//! | resident |               | in the log, |                | known to the      |
//! | message  | <------------ | slot kept   | <------------- | store's index     |
//! +----------+  LoadBodies   +-------------+   LoadBlock    | block alone       |
//!                                                           +-------------------+
//! ```
//!
//! Order is never given up for a load: what is next waits for its bytes.
//!
//! [`enqueue`]: QueueState::enqueue
//! [`dispatch`]: QueueState::dispatch
//! [`settle`]: QueueState::settle
//! [`consume`]: QueueState::consume
//! [`resume`]: QueueState::resume
//! [`set_prefetch`]: QueueState::set_prefetch
//! [`lease_written`]: QueueState::lease_written
//! [`block_loaded`]: QueueState::block_loaded
//! [`block_failed`]: QueueState::block_failed
//! [`bodies_loaded`]: QueueState::bodies_loaded

mod chunk;
mod consumers;
mod deaths;
mod delayed;
mod dispatch;
mod effect;
mod keys;
mod lease;
mod level;
mod loading;
mod mask;
mod mortality;
mod notes;
mod peek;
mod purge;
mod ranges;
mod recipients;
mod recovered;
mod release;
mod run;
mod settle;
mod slot;
mod state;
mod succession;
mod tally;

#[cfg(test)]
mod tests;

pub use consumers::{Cancelled, ConsumeRefusal, Consumer, ConsumerView};
pub use delayed::{DelayedMessages, DueMessage, Wishes};
pub use effect::{Admission, DeadLetter, DeadLetters, Delivery, Effect, Get, LoadFailure, Sink};
pub use peek::{Glimpse, GlimpseBytes, Peek, Shown};
pub use recovered::{BlockEntry, Recovered, RecoveredLevel};
pub use state::{Expiry, QueueState, Recording, Settings};
pub use succession::{Activity, Sharing, Takeover};
pub use tally::Counts;

/// How many places an index block covers; block `n` covers the positions from `n * BLOCK_PLACES`.
pub const BLOCK_PLACES: u64 = 512;
