//! What goes in and out of the queue besides calls: deliveries, and wishes as values.

use super::lease::LeaseRecord;
use crate::model::{
    Attempts, ConsumerKey, DeadLetterTarget, DeathReason, Message, Seq, SeqRange, Stored,
};

/// A message on its way out.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Who gets it; `None` for `basic.get`.
    pub consumer: Option<ConsumerKey>,
    /// Its place, by which it is settled.
    pub seq: Seq,
    /// The message.
    pub message: Message,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// How often it came back; never on queues that do not count.
    pub attempts: Attempts,
}

/// Takes deliveries.
pub trait Sink<C> {
    /// Hands `delivery` to `consumer`.
    ///
    /// # Errors
    ///
    /// Gives the delivery back when there is no room for it. The consumer is then left alone until
    /// [`QueueState::resume`](super::QueueState::resume).
    fn offer(&mut self, consumer: &C, delivery: Delivery) -> Result<(), Delivery>;
}

/// What became of a message that was to enter the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It has a place.
    Accepted {
        /// The place.
        seq: Seq,
        /// Whether the enqueue is to be recorded.
        record: bool,
        /// When it expires, in wall-clock milliseconds; 0 for never.
        deadline_ms: u64,
    },
}

/// A message that has left its queue and is to be dead-lettered.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The place that it left, if that is recorded: it is to be settled together with the arrival
    /// of the message elsewhere, or else it comes back after a crash.
    pub place: Option<Seq>,
    /// The message, as it was in the queue.
    pub message: Message,
    /// Why it left.
    pub reason: DeathReason,
}

impl PartialEq for DeadLetter {
    fn eq(&self, other: &Self) -> bool {
        let same_message = self.message.encoded() == other.message.encoded();
        same_message && self.place == other.place && self.reason == other.reason
    }
}

impl Eq for DeadLetter {}

/// Dead letters of one turn, in the order in which they left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetters {
    /// The messages.
    pub letters: Vec<DeadLetter>,
    /// Where they go.
    pub target: DeadLetterTarget,
    /// No other is taken from the queue's head until [`buried`] is called, so that they arrive in
    /// the queue's order.
    ///
    /// [`buried`]: super::QueueState::buried
    pub from_head: bool,
}

/// The answer to `basic.get`.
#[derive(Clone, Debug)]
pub enum Get {
    /// Nothing is ready.
    Empty,
    /// A message.
    Message {
        /// The message and its flags.
        delivery: Delivery,
        /// Ready messages that remain.
        ready_left: u64,
    },
    /// Something is ready but has to be loaded, or its lease written, first. Ask again after the
    /// next answer to this queue's effects.
    Loading,
}

/// Why a body or a block did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadFailure {
    /// It is there no more, or not what was written. The message is given up.
    Damaged,
    /// It could not be read this time. It is asked for again by the next dispatch.
    Unavailable,
}

/// What the queue wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Recorded places left for good. Exactly these.
    Settled(Vec<SeqRange>),
    /// Every place that exists within the range left for good. It spans whole index blocks that
    /// were never read; no place in it will ever be given to another message.
    SettledBlocks(SeqRange),
    /// Recorded places are ready again after a failure that counts.
    Requeued {
        /// The places.
        ranges: Vec<SeqRange>,
        /// How often each has failed so far.
        delivery_count: u32,
    },
    /// The lease of the level in `up_to` is to be recorded as this, even if it was further before.
    /// Answered by [`lease_written`](super::QueueState::lease_written).
    ExtendLease {
        /// The last place covered.
        up_to: Seq,
        /// Goes back with the answer: leases of before and after a lowering are told apart by it.
        generation: u32,
    },
    /// The index block that starts at `first` is wanted. Answered by
    /// [`block_loaded`](super::QueueState::block_loaded) or
    /// [`block_failed`](super::QueueState::block_failed).
    LoadBlock {
        /// The level.
        level: u8,
        /// The block's first place.
        first: Seq,
    },
    /// Bodies are wanted, the most urgent first. Answered by
    /// [`bodies_loaded`](super::QueueState::bodies_loaded), in one piece or several.
    LoadBodies(Vec<(Seq, Stored)>),
    /// Messages are to be routed anew. Their places count as settled once that is done.
    DeadLetters(DeadLetters),
    /// Nobody has used the queue for as long as its terms allow: it is to be deleted (spec 4.2.4).
    Unused,
    /// Messages at these places were lost to damage on disk and are dropped. The queue does not
    /// ask to record that; without a record they are met, and reported, again after a restart.
    /// Where a whole index block was lost, its range may include places that held nothing, and
    /// places that the log still knew and the queue therefore still has.
    Damaged {
        /// The places.
        ranges: Vec<SeqRange>,
    },
    /// All blocks were read, and they held fewer messages than recovery had counted.
    Missing {
        /// How many fewer.
        messages: u64,
    },
}

impl Effect {
    /// The lease that covers the positions below `bound`.
    pub(super) fn extend_lease(level: u8, record: LeaseRecord) -> Self {
        Self::ExtendLease {
            up_to: Seq::new(level, record.bound.saturating_sub(1)),
            generation: record.generation,
        }
    }
}
