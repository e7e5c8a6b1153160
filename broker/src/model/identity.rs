//! Numbers that name things inside the broker.

/// A queue's number on disk. Never reused, not even after the queue's deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub u32);

/// A message's place in one queue: the priority level in the top byte, the arrival number within
/// that level below it. Never reused within a queue, so a recorded settlement can only ever mean
/// one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);

impl Seq {
    const POSITION_BITS: u32 = 56;

    /// The place `position` of `level`.
    #[must_use]
    pub const fn new(level: u8, position: u64) -> Self {
        Self(
            ((level as u64) << Self::POSITION_BITS) | (position & ((1 << Self::POSITION_BITS) - 1)),
        )
    }

    /// The priority level; 0 on queues without priorities.
    #[must_use]
    pub const fn level(self) -> u8 {
        (self.0 >> Self::POSITION_BITS) as u8
    }

    /// The arrival number within the level, from 0.
    #[must_use]
    pub const fn position(self) -> u64 {
        self.0 & ((1 << Self::POSITION_BITS) - 1)
    }

    /// The next place of the same level.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// One consumer, unique in the broker for as long as it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerKey(pub u64);
