//! What opening a store gives back.

use std::sync::Arc;

use crate::model::{Entity, QueueId, Seq, SeqRange, Stored};

use super::report::RecoveryReport;

/// One message as the index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockEntry {
    /// Its place.
    pub seq: Seq,
    /// Where its body lies.
    pub stored: Stored,
    /// The body's length in bytes.
    pub bytes: u32,
    /// When it expires, in wall-clock milliseconds; 0 for never.
    pub deadline_ms: u64,
    /// Whether it must be flagged as redelivered wherever the lease ends, because what was known
    /// of its deliveries is lost.
    pub redelivered: bool,
}

/// Consecutive blocks, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRange {
    /// The first block.
    pub first: u64,
    /// The last block.
    pub last: u64,
}

/// How often one message was delivered before the restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryCount {
    /// Its place.
    pub seq: Seq,
    /// The count, above 0.
    pub count: u32,
}

/// One priority level of a recovered queue.
///
/// Its messages are those of `blocks` (read with `load_block`) without those of `settled_since`, and
/// `entries`. No place is in two of these three, but blocks and entries may interleave, and once a
/// checkpoint was taken a block holds the entries that belong to it as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveredLevel {
    /// The level.
    pub level: u8,
    /// The first position that was never given out.
    pub next_position: u64,
    /// The last place that may have been delivered.
    pub lease: Option<Seq>,
    /// The blocks that exist in the index, ascending.
    pub blocks: Vec<BlockRange>,
    /// What was settled after the index was written: to be left out of `blocks`. None of `entries`.
    pub settled_since: Vec<SeqRange>,
    /// What was enqueued after the index was written and not settled, ascending.
    pub entries: Vec<BlockEntry>,
}

/// A queue with its messages, bodies not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredQueue {
    /// Its number.
    pub id: QueueId,
    /// Its levels, ascending; those that never held anything are left out.
    pub levels: Vec<RecoveredLevel>,
    /// How many messages there are.
    pub ready_count: u64,
    /// The bytes of their bodies.
    pub ready_bytes: u64,
    /// Messages that were delivered and given back, on queues that count that.
    pub delivery_counts: Vec<DeliveryCount>,
    /// Whether every message must be flagged redelivered, because the state was rebuilt.
    pub all_redelivered: bool,
}

/// Everything that was on disk.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// All definitions, in an order in which they can be applied: virtual hosts, policies and
    /// parameters, exchanges, queues, bindings, users, rights.
    pub definitions: Vec<Entity>,
    /// The queues of those that `definitions` names in which there was ever anything, by ascending
    /// number.
    pub queues: Vec<RecoveredQueue>,
    /// What was found and done.
    pub report: Arc<RecoveryReport>,
}
