//! What a broker can do wrong, and what it may do but should be counted.

use super::body::MessageId;
use super::history::{Entity, TransactionId};

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "each fault names the queue and messages it is about"
)]
pub enum Fault {
    /// Confirmed, not settled, and gone.
    Lost { queue: String, message: MessageId },
    /// Confirmed, rejected, and neither in the queue nor where dead letters go.
    DeadLetterLost { queue: String, message: MessageId },
    /// Never published to this queue.
    Phantom {
        queue: String,
        message: Option<MessageId>,
    },
    /// Not what was published.
    Changed {
        queue: String,
        message: Option<MessageId>,
    },
    /// In the queue more than once.
    Twice { queue: String, message: MessageId },
    /// `second` lies before `first`, which it followed.
    Reordered {
        queue: String,
        first: MessageId,
        second: MessageId,
    },
    /// Delivered before, and not flagged as redelivered.
    NotFlagged { queue: String, message: MessageId },
    /// Settled for good, and there again.
    SettledBack { queue: String, message: MessageId },
    /// Published in a transaction that was not committed.
    Uncommitted { queue: String, message: MessageId },
    /// Some of a transaction happened, some did not.
    HalfTransaction { transaction: TransactionId },
    /// Declared, and gone.
    EntityLost { entity: Entity },
    /// Deleted, and there again.
    EntityBack { entity: Entity },
}

/// What is allowed, and worth knowing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages found after crashes.
    pub observed: u64,
    /// Confirmed messages found.
    pub confirmed: u64,
    /// Messages found that were published and not confirmed.
    pub unconfirmed_kept: u64,
    /// Messages not found that were published and not confirmed.
    pub unconfirmed_dropped: u64,
    /// Messages that were acked shortly before the crash and came back.
    pub acked_back: u64,
    /// Messages flagged as redelivered although no client saw them.
    pub flagged_unseen: u64,
    /// The most of them in one queue after one crash.
    pub flagged_unseen_max: u64,
    /// Transactions whose outcome nobody was told.
    pub transactions_unknown: u64,
}

impl Fault {
    /// The queue and the message it is about.
    pub(super) fn subject(&self) -> Option<(&str, MessageId)> {
        match self {
            Self::Lost { queue, message }
            | Self::DeadLetterLost { queue, message }
            | Self::Twice { queue, message }
            | Self::NotFlagged { queue, message }
            | Self::SettledBack { queue, message }
            | Self::Uncommitted { queue, message }
            | Self::Reordered {
                queue,
                first: message,
                ..
            } => Some((queue, *message)),
            Self::Phantom { queue, message } | Self::Changed { queue, message } => {
                Some((queue, (*message)?))
            }
            Self::HalfTransaction { .. } | Self::EntityLost { .. } | Self::EntityBack { .. } => {
                None
            }
        }
    }
}

/// The outcome of one look at all queues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Everything that is wrong; empty if nothing is.
    pub faults: Vec<Fault>,
    /// For each fault, what the history knows of its message.
    pub facts: Vec<String>,
    /// Everything that is counted.
    pub counts: Counts,
}

impl Counts {
    /// Adds another round's counts.
    pub fn add(&mut self, other: &Self) {
        self.observed += other.observed;
        self.confirmed += other.confirmed;
        self.unconfirmed_kept += other.unconfirmed_kept;
        self.unconfirmed_dropped += other.unconfirmed_dropped;
        self.acked_back += other.acked_back;
        self.flagged_unseen += other.flagged_unseen;
        self.flagged_unseen_max = self.flagged_unseen_max.max(other.flagged_unseen_max);
        self.transactions_unknown += other.transactions_unknown;
    }
}
