//! What is kept for one place.

use leveret_log::{Location, Lsn};

use crate::model::{DeathReason, Message, Stored};

/// Who has a message in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// Nobody: it is ready.
    Nobody,
    /// A channel that asked for it with `basic.get`.
    Get,
    /// The consumer with this index.
    Consumer(u32),
    /// It is dead, and waits for its body to be read back so that it can be dead-lettered.
    Grave(DeathReason),
}

/// A place's holder and flags in three bytes, so that a [`Slot`] stays within 24.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Hold([u8; 3]);

impl Hold {
    const HOLDER: u32 = (1 << 21) - 1;
    const NOBODY: u32 = Self::HOLDER;
    const GET: u32 = Self::HOLDER - 1;
    const REJECTED: u32 = Self::HOLDER - 2;
    const EXPIRED: u32 = Self::HOLDER - 3;
    const TOO_MANY: u32 = Self::HOLDER - 4;
    const SPENT: u32 = Self::HOLDER - 5;
    const REDELIVERED: u32 = 1 << 21;
    const ASKED: u32 = 1 << 22;
    const RECORDED: u32 = 1 << 23;

    /// How many consumers can be told apart.
    pub(super) const CONSUMERS_MAX: u32 = Self::SPENT;

    pub(super) const fn ready(recorded: bool, redelivered: bool) -> Self {
        let recorded = if recorded { Self::RECORDED } else { 0 };
        let redelivered = if redelivered { Self::REDELIVERED } else { 0 };
        Self::from_bits(Self::NOBODY | recorded | redelivered)
    }

    pub(super) const fn holder(self) -> Holder {
        match self.bits() & Self::HOLDER {
            Self::NOBODY => Holder::Nobody,
            Self::GET => Holder::Get,
            Self::REJECTED => Holder::Grave(DeathReason::Rejected),
            Self::EXPIRED => Holder::Grave(DeathReason::Expired),
            Self::TOO_MANY => Holder::Grave(DeathReason::MaxLength),
            Self::SPENT => Holder::Grave(DeathReason::DeliveryLimit),
            index => Holder::Consumer(index),
        }
    }

    pub(super) const fn is_ready(self) -> bool {
        self.bits() & Self::HOLDER == Self::NOBODY
    }

    /// The message may have been delivered before.
    pub(super) const fn is_redelivered(self) -> bool {
        self.bits() & Self::REDELIVERED != 0
    }

    /// The message's body was asked for and did not come yet.
    pub(super) const fn is_asked(self) -> bool {
        self.bits() & Self::ASKED != 0
    }

    /// The place is, or will be, on disk; its settlement must be recorded.
    pub(super) const fn is_recorded(self) -> bool {
        self.bits() & Self::RECORDED != 0
    }

    pub(super) const fn held_by(self, holder: Holder) -> Self {
        let index = match holder {
            Holder::Nobody => Self::NOBODY,
            Holder::Get => Self::GET,
            Holder::Grave(DeathReason::Rejected) => Self::REJECTED,
            Holder::Grave(DeathReason::Expired) => Self::EXPIRED,
            Holder::Grave(DeathReason::MaxLength) => Self::TOO_MANY,
            Holder::Grave(DeathReason::DeliveryLimit) => Self::SPENT,
            // Consumers are refused beyond CONSUMERS_MAX.
            Holder::Consumer(index) => index & Self::HOLDER,
        };
        Self::from_bits((self.bits() & !Self::HOLDER) | index)
    }

    pub(super) const fn redelivered(self) -> Self {
        Self::from_bits(self.bits() | Self::REDELIVERED)
    }

    pub(super) const fn asked(self, asked: bool) -> Self {
        if asked {
            Self::from_bits(self.bits() | Self::ASKED)
        } else {
            Self::from_bits(self.bits() & !Self::ASKED)
        }
    }

    const fn bits(self) -> u32 {
        u32::from_le_bytes([self.0[0], self.0[1], self.0[2], 0])
    }

    const fn from_bits(bits: u32) -> Self {
        let [low, middle, high, _] = bits.to_le_bytes();
        Self([low, middle, high])
    }
}

impl std::fmt::Debug for Hold {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Hold")
            .field("holder", &self.holder())
            .field("redelivered", &self.is_redelivered())
            .field("asked", &self.is_asked())
            .field("recorded", &self.is_recorded())
            .finish()
    }
}

/// One place of a level.
#[derive(Debug)]
pub(super) enum Slot {
    /// Nothing, or nothing any more.
    Gone,
    /// A message whose bytes are in memory.
    Resident {
        /// Holder and flags.
        hold: Hold,
        /// The message.
        message: Message,
    },
    /// A message whose bytes are in the log alone.
    Stored {
        /// Holder and flags.
        hold: Hold,
        /// With `location`, a [`Stored`] without its padding.
        lsn: Lsn,
        /// Where the record lies.
        location: Location,
    },
}

const _: () = assert!(size_of::<Slot>() <= 24);

impl Slot {
    pub(super) const fn resident(message: Message, hold: Hold) -> Self {
        Self::Resident { hold, message }
    }

    pub(super) const fn stored(stored: Stored, hold: Hold) -> Self {
        Self::Stored {
            hold,
            lsn: stored.lsn,
            location: stored.location,
        }
    }

    pub(super) const fn hold(&self) -> Option<Hold> {
        match self {
            Self::Gone => None,
            Self::Resident { hold, .. } | Self::Stored { hold, .. } => Some(*hold),
        }
    }

    pub(super) const fn set_hold(&mut self, new: Hold) {
        match self {
            Self::Gone => {}
            Self::Resident { hold, .. } | Self::Stored { hold, .. } => *hold = new,
        }
    }

    /// Leaves the place empty.
    pub(super) fn take_message(&mut self) -> Option<Message> {
        match std::mem::replace(self, Self::Gone) {
            Self::Resident { message, .. } => Some(message),
            Self::Gone | Self::Stored { .. } => None,
        }
    }

    /// Bytes of memory that the message takes beside the slot.
    pub(super) fn memory_bytes(&self) -> usize {
        match self {
            Self::Gone | Self::Stored { .. } => 0,
            Self::Resident { message, .. } => message.memory_bytes(),
        }
    }
}
