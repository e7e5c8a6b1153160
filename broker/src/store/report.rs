//! What the store tells its operator.

use serde::Serialize;

use crate::model::QueueId;

use super::options::Durability;

/// Something that failed a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportedDamage {
    /// What it is: a segment, the state, a block.
    pub what: String,
    /// What is wrong with it.
    pub reason: String,
    /// What it may have cost.
    pub consequence: String,
    /// Where it was put aside, if it was.
    pub quarantined: Option<String>,
}

/// What opening a store found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecoveryReport {
    /// Messages that are there.
    pub messages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Queues.
    pub queues: u64,
    /// Log records that were read.
    pub records_read: u64,
    /// Where the end of the log was cut: what was being written when the power went. Damage to the
    /// very last write looks the same, so each is a possible loss.
    pub cut: Vec<String>,
    /// Whether the state was unusable, so that the log gave everything back.
    pub rebuilt: bool,
    /// Everything that failed a check.
    pub damage: Vec<ReportedDamage>,
    /// How long it took.
    pub milliseconds: u64,
}

impl RecoveryReport {
    /// Whether the operator must look: something may be lost, or came back that was settled.
    #[must_use]
    pub fn is_alarming(&self) -> bool {
        self.rebuilt || !self.damage.is_empty()
    }
}

/// One level of a queue whose older messages can be read back from the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldLevel {
    /// The queue.
    pub queue: QueueId,
    /// The level.
    pub level: u8,
    /// Every unsettled message below this position that was stored is in the index. One that could
    /// not be stored, since the disk was full, is in memory alone: it has no `Message::stored`.
    pub up_to: u64,
}

/// What a checkpoint has brought into the index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckpointNews {
    /// The levels that changed, ascending.
    pub held: Vec<HeldLevel>,
}

/// Free space of a file system, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeSpace {
    /// What there is.
    pub free_bytes: u64,
    /// Less than this is too little.
    pub limit_bytes: u64,
}

/// What an operator wants to know of a running store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreStatus {
    /// What a confirm promises.
    pub durability: Durability,
    /// Why nothing can be stored any more, if so.
    pub failed: Option<String>,
    /// Why checkpoints do not succeed, if so: the log grows meanwhile.
    pub checkpoint_failed: Option<String>,
    /// Free space of the file system, in bytes; `None` if nothing is on disk.
    pub disk_free_bytes: Option<u64>,
    /// Less free space than this is too little.
    pub disk_free_limit_bytes: u64,
    /// Log segments.
    pub segments: u64,
    /// Their bytes on disk.
    pub log_bytes: u64,
    /// Bytes of the state on disk.
    pub state_bytes: u64,
    /// Checkpoints since the store was opened.
    pub checkpoints: u64,
    /// What opening the store found, and what was found damaged since.
    pub report: RecoveryReport,
}
