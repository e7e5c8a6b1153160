//! A level's places, in blocks of as many as an index block covers.

use super::mask::Mask;
use super::recovered::BlockEntry;
use super::slot::{Hold, Slot};
use crate::model::{Message, Stored};

/// The places of one block.
#[derive(Debug)]
pub(super) struct Chunk {
    /// The block's number.
    pub(super) number: u64,
    pub(super) content: Content,
}

/// How much of a block is known.
#[derive(Debug)]
pub(super) enum Content {
    /// Every place.
    Places(Box<Places>),
    /// Which places are taken; the rest is in the store's index.
    Paged(Box<Paged>),
    /// Only that the store's index has it.
    Unread(Unread),
}

/// A block that gave up its slots: nothing of it is unacked, and the log has every body.
#[derive(Debug, Default)]
pub(super) struct Paged {
    pub(super) ready: Mask,
    pub(super) redelivered: Mask,
    /// Of the bodies.
    pub(super) bytes: u64,
    pub(super) loading: bool,
}

/// A block that was not read since recovery.
#[derive(Debug, Default)]
pub(super) struct Unread {
    pub(super) loading: bool,
    /// `None` when nothing changed after the block was written.
    pub(super) since: Option<Box<Since>>,
}

/// What the replayed log says beyond a block.
#[derive(Debug, Default)]
pub(super) struct Since {
    pub(super) settled: Mask,
    pub(super) entries: Vec<BlockEntry>,
}

/// The slots of one block.
#[derive(Debug)]
pub(super) struct Places {
    /// The offset of the first slot; everything before it is gone.
    pub(super) start: u16,
    /// Slots that are not gone.
    pub(super) live: u16,
    pub(super) unacked: u16,
    /// Slots whose body is in the log alone.
    pub(super) stored: u16,
    /// Ready places that deliveries had passed already.
    pub(super) requeued: Mask,
    pub(super) slots: Vec<Slot>,
    /// The bodies' lengths, kept only once a slot no longer knows its own; then as long as `slots`.
    sizes: Vec<u32>,
    /// When messages expire, in wall-clock milliseconds, 0 for never; kept only once one of them
    /// does, and then as long as `slots`.
    deadlines: Vec<u64>,
}

impl Places {
    pub(super) fn starting_at(start: u16) -> Self {
        Self {
            start,
            live: 0,
            unacked: 0,
            stored: 0,
            requeued: Mask::default(),
            slots: Vec::new(),
            sizes: Vec::new(),
            deadlines: Vec::new(),
        }
    }

    /// Forgets slots that are all gone, to be used for other places. The memory is kept.
    pub(super) fn restart(&mut self, start: u16) {
        debug_assert!(self.live == 0 && self.requeued.is_empty());
        self.start = start;
        self.slots.clear();
        self.sizes = Vec::new();
        self.deadlines.clear();
    }

    /// Adds the next place; the message expires at `deadline_ms`, or never if that is 0.
    pub(super) fn push(&mut self, message: Message, hold: Hold, deadline_ms: u64) {
        self.slots.push(Slot::resident(message, hold));
        self.set_deadline(self.slots.len() - 1, deadline_ms);
        if !self.sizes.is_empty() {
            self.sizes.push(0);
        }
        self.live += 1;
    }

    /// Sets the place at `offset`, which is not before `start`, from what the index says of it.
    pub(super) fn place(&mut self, offset: u16, entry: &BlockEntry, hold: Hold) {
        let Some(index) = self.index(offset) else {
            return;
        };
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || Slot::Gone);
        }
        if matches!(self.slots[index], Slot::Gone) {
            self.live += 1;
            self.stored += 1;
        }
        self.slots[index] = Slot::stored(entry.location, hold);
        self.set_size(index, entry.bytes);
        self.set_deadline(index, entry.deadline_ms);
    }

    /// Makes `offset` the place that the next [`push`](Self::push) takes: what is missing before it
    /// is gone.
    pub(super) fn extend_to(&mut self, offset: u16) {
        let Some(length) = self
            .index(offset)
            .filter(|length| *length > self.slots.len())
        else {
            return;
        };
        self.slots.resize_with(length, || Slot::Gone);
        if !self.sizes.is_empty() {
            self.sizes.resize(length, 0);
        }
        if !self.deadlines.is_empty() {
            self.deadlines.resize(length, 0);
        }
    }

    pub(super) fn index(&self, offset: u16) -> Option<usize> {
        offset.checked_sub(self.start).map(usize::from)
    }

    pub(super) fn slot(&self, offset: u16) -> Option<&Slot> {
        self.slots.get(self.index(offset)?)
    }

    pub(super) fn slot_mut(&mut self, offset: u16) -> Option<&mut Slot> {
        let index = self.index(offset)?;
        self.slots.get_mut(index)
    }

    /// The first place from `offset` on that is not gone.
    pub(super) fn present_from(&self, offset: u16) -> Option<u16> {
        let start = usize::from(offset.saturating_sub(self.start));
        let found = self
            .slots
            .get(start..)?
            .iter()
            .position(|slot| !matches!(slot, Slot::Gone))?;
        u16::try_from(start + found)
            .ok()
            .map(|index| index + self.start)
    }

    /// The body's length.
    pub(super) fn bytes(&self, index: usize) -> u64 {
        match self.slots.get(index) {
            Some(Slot::Resident { message, .. }) => message.body().len() as u64,
            Some(Slot::Stored { .. }) => self.sizes.get(index).copied().unwrap_or(0).into(),
            Some(Slot::Gone) | None => 0,
        }
    }

    /// When the message at `offset` expires, in wall-clock milliseconds; `None` for never.
    pub(super) fn deadline(&self, offset: u16) -> Option<u64> {
        let deadline = *self.deadlines.get(self.index(offset)?)?;
        (deadline > 0).then_some(deadline)
    }

    /// The memory that the places take, bodies left out.
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.slots.capacity() * size_of::<Slot>()
            + self.sizes.capacity() * size_of::<u32>()
            + self.deadlines.capacity() * size_of::<u64>()
    }

    /// Of all bodies together.
    pub(super) fn all_bytes(&self) -> u64 {
        (0..self.slots.len()).map(|index| self.bytes(index)).sum()
    }

    pub(super) fn is_ready(&self, index: usize) -> bool {
        self.slots
            .get(index)
            .and_then(Slot::hold)
            .is_some_and(Hold::is_ready)
    }

    /// Whether a body was asked for and did not come yet.
    pub(super) fn waits_for_a_body(&self) -> bool {
        self.slots.iter().filter_map(Slot::hold).any(Hold::is_asked)
    }

    /// Lets go of the place. Counters of ready and unacked places are the caller's.
    pub(super) fn clear(&mut self, index: usize) {
        self.take(index);
    }

    /// The same, and gives the message if it is in memory.
    pub(super) fn take(&mut self, index: usize) -> Option<Message> {
        let slot = self.slots.get_mut(index)?;
        let message = match std::mem::replace(slot, Slot::Gone) {
            Slot::Gone => return None,
            Slot::Resident { message, .. } => Some(message),
            Slot::Stored { .. } => {
                self.stored -= 1;
                None
            }
        };
        self.live -= 1;
        message
    }

    /// Lets go of a body that the log has; says how much memory that frees.
    pub(super) fn release(&mut self, index: usize) -> usize {
        let Some(Slot::Resident { hold, message }) = self.slots.get(index) else {
            return 0;
        };
        let (Some(stored), Ok(bytes)) = (message.stored(), u32::try_from(message.body().len()))
        else {
            return 0;
        };
        let freed = message.memory_bytes();
        self.slots[index] = Slot::stored(stored, *hold);
        self.stored += 1;
        self.set_size(index, bytes);
        freed
    }

    /// Takes a body that came back from the log. `false` if the place does not wait for one.
    pub(super) fn fill(&mut self, index: usize, message: Message) -> bool {
        let Some(slot) = self.slots.get_mut(index) else {
            return false;
        };
        let Slot::Stored {
            hold,
            lsn,
            location,
        } = slot
        else {
            return false;
        };
        message.set_stored(Stored {
            lsn: *lsn,
            location: *location,
        });
        *slot = Slot::resident(message, hold.asked(false));
        self.stored -= 1;
        true
    }

    fn set_deadline(&mut self, index: usize, deadline_ms: u64) {
        if deadline_ms == 0 && self.deadlines.is_empty() {
            return;
        }
        if self.deadlines.len() < self.slots.len() {
            self.deadlines.resize(self.slots.len(), 0);
        }
        if let Some(deadline) = self.deadlines.get_mut(index) {
            *deadline = deadline_ms;
        }
    }

    fn set_size(&mut self, index: usize, bytes: u32) {
        if self.sizes.len() < self.slots.len() {
            self.sizes.resize(self.slots.len(), 0);
        }
        if let Some(size) = self.sizes.get_mut(index) {
            *size = bytes;
        }
    }
}
