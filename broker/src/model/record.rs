//! What must survive a restart, as the engine hands it to the store.

use super::entity::EntityChange;
use super::identity::{QueueId, Seq};
use super::message::Message;

/// Consecutive places of one level, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeqRange {
    /// The first place.
    pub first: Seq,
    /// The last place; of the same level, not before `first`.
    pub last: Seq,
}

impl SeqRange {
    /// The range of one place.
    #[must_use]
    pub const fn one(seq: Seq) -> Self {
        Self {
            first: seq,
            last: seq,
        }
    }

    /// How many places the range covers.
    #[must_use]
    pub const fn count(self) -> u64 {
        self.last.0 - self.first.0 + 1
    }

    /// Collects `seqs`, in any order, into as few ranges as cover exactly them.
    #[must_use]
    pub fn collect(mut seqs: Vec<Seq>) -> Vec<Self> {
        seqs.sort_unstable();
        let mut ranges: Vec<Self> = Vec::new();
        for seq in seqs {
            match ranges.last_mut() {
                Some(range) if range.last.0 + 1 == seq.0 && range.last.level() == seq.level() => {
                    range.last = seq;
                }
                Some(range) if range.last == seq => {}
                Some(_) | None => ranges.push(Self::one(seq)),
            }
        }
        ranges
    }
}

/// Why a message leaves a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Settlement {
    /// A consumer confirmed it.
    Acknowledge,
    /// A consumer gave it back as it was; it returns to its place, flagged redelivered.
    Return,
    /// It failed: a consumer rejected it or was lost with it. As above, and it counts towards the
    /// delivery limit (spec 5.5.7).
    Requeue,
    /// A consumer refused it and it is not to come back.
    Discard,
}

impl Settlement {
    /// Whether the message is ready again.
    #[must_use]
    pub const fn is_requeue(self) -> bool {
        match self {
            Self::Return | Self::Requeue => true,
            Self::Acknowledge | Self::Discard => false,
        }
    }
}

/// How often a message came back to its queue, as clients are told (spec 4.4.3, 5.5.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// For whatever reason. What failed counts here, too.
    pub returned: u32,
    /// Because it had failed.
    pub failed: u32,
}

/// One indivisible change to what is on disk. An operation is never split over two commit groups.
#[derive(Clone, Debug)]
pub enum Operation {
    /// A persistent message entered a durable queue. Operations of the same shared message may
    /// follow for other queues; its body is written once.
    Enqueue {
        /// The message.
        message: Message,
        /// The queue.
        queue: QueueId,
        /// The message's place in it.
        seq: Seq,
        /// When it expires, in wall-clock milliseconds; 0 for never.
        deadline_ms: u64,
    },
    /// Messages left a queue for good: acknowledged, discarded, delivered without acknowledgement
    /// or purged.
    Settle {
        /// The queue.
        queue: QueueId,
        /// Exactly the places that left.
        ranges: Vec<SeqRange>,
    },
    /// Messages failed in a queue that counts that.
    Requeue {
        /// The queue.
        queue: QueueId,
        /// The places.
        ranges: Vec<SeqRange>,
        /// How often each has failed so far.
        delivery_count: u32,
    },
    /// The lease: everything up to `up_to` may have been handed to consumers.
    Delivered {
        /// The queue.
        queue: QueueId,
        /// The last place covered; its level says which level's lease it is.
        up_to: Seq,
    },
    /// A definition was made, changed or removed. Synced in every durability mode.
    Entity(EntityChange),
    /// All or nothing, a crash included.
    Transaction(Vec<Self>),
}
