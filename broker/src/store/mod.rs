//! Durability: what survives a restart, and what a confirm promises.
//!
//! ```text
//! submit ──► commit thread ──► segments (every body, every change) ──► progress
//!                 │ what was written below an LSN
//!                 ▼
//!            checkpoint thread ──► state/ (definitions, index blocks, settlements)
//! ```
//!
//! The log and the state say together what exists; damage of either is noticed. The state never
//! holds the only copy of a message, so losing it costs settlements, not messages. What is on
//! disk is drawn in `docs/disk-format.md`.
//!
//! What is promised:
//!
//! - An operation whose ticket is [`Outcome::Durable`] survives the loss of power (durability
//!   `commit`), or of the process (the weaker two).
//! - Operations of one queue take effect in the order in which they were handed over; a
//!   [`Transaction`](crate::model::Operation::Transaction) takes effect wholly or not at all.
//! - Definitions are synced before their ticket is durable, whatever the durability.
//! - Nothing comes back that was not handed over, and nothing comes back changed.
//! - Damage is reported, never served, and never keeps the store from opening.
//! - After the first failed sync nothing is durable any more until the store is reopened.

mod author;
mod backup;
mod block;
mod board;
mod catalog;
mod checkpoint;
mod cleaner;
mod codec;
mod definitions;
mod delta;
mod durable;
mod error;
mod files;
mod index;
mod key;
mod memory;
mod merge;
mod opened;
mod opening;
mod options;
mod picture;
mod piece;
mod ranges;
mod reader;
mod record;
mod recovered;
mod recovery;
mod repair;
mod report;
mod signal;
mod sled_state;
mod space;
mod state;
mod summary;
mod swap;
#[cfg(test)]
mod tests;
mod ticket;
mod turn;
mod verify;

use std::fmt;
use std::path::Path;

use tokio::sync::watch;

use crate::model::{Message, Operation, QueueId, Seq, Stored};

pub use error::{LoadError, StoreError};
pub use memory::MemoryStore;
pub use opening::open;
pub use options::{Durability, StateSync, StoreOptions};
pub use recovered::{
    BlockEntry, BlockRange, DeliveryCount, Recovered, RecoveredLevel, RecoveredQueue,
};
pub use report::{
    CheckpointNews, FreeSpace, HeldLevel, RecoveryReport, ReportedDamage, StoreStatus,
};
pub use ticket::{FailedRange, Failures, Outcome, Progress, Ticket};
pub use verify::verify;

/// How many places one index block covers. Blocks are aligned: place `p` lies in block
/// `p / BLOCK_POSITIONS` of its level.
pub const BLOCK_POSITIONS: u64 = 512;

/// Takes the bodies that were asked for, each with its place.
pub type BodiesReply = Box<dyn FnOnce(Vec<(Seq, Result<Message, LoadError>)>) + Send>;

/// Takes the entries of the block that was asked for.
pub type BlockReply = Box<dyn FnOnce(Result<Vec<BlockEntry>, LoadError>) + Send>;

/// Takes the news of each checkpoint.
pub type CheckpointCallback = Box<dyn Fn(&CheckpointNews) + Send + Sync>;

/// Where durable queues keep their messages and the broker its definitions.
///
/// Nothing here waits for a disk except [`backup`](Self::backup) and [`close`](Self::close).
pub trait Store: Send + Sync + fmt::Debug {
    /// Whether operations are recorded at all. If not, building them is wasted work.
    fn records(&self) -> bool;

    /// Takes over all `operations` and returns the ticket of the last, or of the last one ever
    /// taken if there are none. Leaves the vector empty, with its capacity.
    ///
    /// Tickets count operations, so the operations before the last have the tickets before it.
    /// Safe to call under a queue's lock: it takes one short lock of its own and never blocks.
    fn submit(&self, operations: &mut Vec<Operation>) -> Ticket;

    /// How far operations have come.
    fn progress(&self) -> Progress;

    /// Wakes whenever [`progress`](Self::progress) has changed.
    fn watch(&self) -> watch::Receiver<Progress>;

    /// Bytes that were taken over and are not written yet. Whoever feeds the store stops reading
    /// its socket while this is too much.
    fn pending_bytes(&self) -> usize;

    /// Reads bodies back, in the given order, and hands them to `reply` on another thread.
    fn load_bodies(&self, queue: QueueId, wanted: Vec<(Seq, Stored)>, reply: BodiesReply);

    /// The same for messages without their bodies, for which little is read however long they are. What
    /// long messages say is not verified.
    fn load_heads(&self, queue: QueueId, wanted: Vec<(Seq, Stored)>, reply: BodiesReply);

    /// Reads one block of the index and hands its unsettled messages, as of the last checkpoint,
    /// in order of their place, to `reply` on another thread. A block that does not exist is
    /// empty.
    fn load_block(&self, queue: QueueId, level: u8, block: u64, reply: BlockReply);

    /// Calls `callback` after each checkpoint, on the checkpoint thread. It must be quick.
    fn on_checkpoint(&self, callback: CheckpointCallback);

    /// A queue number that was never given out before.
    fn next_queue_id(&self) -> QueueId;

    /// Asks for a checkpoint soon.
    fn checkpoint(&self);

    /// Copies a consistent state of the running store into the new folder `destination`, from
    /// which a store can be opened.
    ///
    /// # Errors
    ///
    /// If the folder exists and is not empty, or something could not be read or written.
    fn backup(&self, destination: &Path) -> Result<(), StoreError>;

    /// Free space where it lies, and how much there should be; `None` if nothing is on disk or the
    /// system does not say. Asks the file system.
    fn space(&self) -> Option<FreeSpace>;

    /// Says how much free space there should be, in bytes. A floor of a few segments remains.
    fn set_disk_free_limit(&self, bytes: u64);

    /// What an operator wants to know.
    fn status(&self) -> StoreStatus;

    /// Writes and syncs what was taken over, takes a last checkpoint and ends all threads.
    /// Later operations fail. Doing it twice is harmless.
    fn close(&self);
}
