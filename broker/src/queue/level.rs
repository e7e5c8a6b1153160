//! One priority level: a first-in-first-out line of places.
//!
//! Positions count up by one with each message. A message that comes back is ready at its old
//! place again, before everything that was not delivered yet:
//!
//! ```text
//!   0                         cursor                next
//!   |--- gone, unacked, ---------|--- ready or ------|--- not given yet
//!   |    ready again (requeued)  |    gone           |
//! ```

use std::collections::{BTreeSet, VecDeque};

use super::chunk::{Chunk, Content, Places};
use super::lease::Lease;
use super::slot::{Hold, Slot};
use super::tally::Tally;
use crate::model::{Message, Seq};

/// One level's places.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) number: u8,
    /// A block covers two to the power of this many places.
    pub(super) block_bits: u32,
    /// Ascending; a block none of whose places is left is absent, the last one excepted.
    pub(super) chunks: VecDeque<Chunk>,
    pub(super) cursor: u64,
    pub(super) next: u64,
    /// Blocks with places that are ready again.
    pub(super) requeued: BTreeSet<u64>,
    pub(super) lease: Lease,
    /// Recovered places below this position may have been delivered before.
    pub(super) flagged_below: u64,
    /// Slots without a body.
    pub(super) stored: u64,
    /// Blocks without slots.
    pub(super) absent: usize,
    /// Of those, blocks that were not read since recovery.
    pub(super) unread: usize,
    /// Deliveries until it is worth looking ahead again.
    pub(super) look_ahead_in: u32,
    /// Bodies from the cursor up to here were released.
    pub(super) released_to: u64,
    /// Bodies were loaded up to here, the cursor or not far beyond it.
    pub(super) loaded_to: u64,
    /// Bodies before the cursor and up to here were released.
    pub(super) released_behind_to: u64,
}

/// What a level has to offer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Head {
    Empty,
    /// This place is next.
    Place(Place),
    /// The places of this chunk are next, once it is loaded.
    Absent {
        chunk: usize,
    },
}

/// A place that is ready. Good until the level changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) chunk: usize,
    pub(super) offset: u16,
    pub(super) position: u64,
    pub(super) requeued: bool,
}

impl Level {
    pub(super) fn new(number: u8, block_bits: u32) -> Self {
        Self {
            number,
            block_bits,
            chunks: VecDeque::new(),
            cursor: 0,
            next: 0,
            requeued: BTreeSet::new(),
            lease: Lease::new(0, 0),
            flagged_below: 0,
            stored: 0,
            absent: 0,
            unread: 0,
            look_ahead_in: 0,
            released_to: 0,
            loaded_to: 0,
            released_behind_to: 0,
        }
    }

    pub(super) const fn seq(&self, position: u64) -> Seq {
        Seq::new(self.number, position)
    }

    pub(super) const fn block_of(&self, position: u64) -> u64 {
        position >> self.block_bits
    }

    pub(super) const fn first_of(&self, block: u64) -> u64 {
        block << self.block_bits
    }

    pub(super) const fn offset_of(&self, position: u64) -> u16 {
        (position & ((1 << self.block_bits) - 1)) as u16
    }

    pub(super) fn position_of(&self, block: u64, offset: u16) -> u64 {
        self.first_of(block) + u64::from(offset)
    }

    /// The chunk of `block`, or where it would be. Blocks lie mostly without gaps at the front or
    /// at the back, so the search is the exception.
    pub(super) fn find(&self, block: u64) -> Result<usize, usize> {
        let (Some(front), Some(back)) = (self.chunks.front(), self.chunks.back()) else {
            return Err(0);
        };
        if block < front.number {
            return Err(0);
        }
        if block > back.number {
            return Err(self.chunks.len());
        }
        let from_front = usize::try_from(block - front.number).unwrap_or(usize::MAX);
        if self
            .chunks
            .get(from_front)
            .is_some_and(|chunk| chunk.number == block)
        {
            return Ok(from_front);
        }
        let last = self.chunks.len() - 1;
        let from_back = usize::try_from(back.number - block).unwrap_or(usize::MAX);
        if let Some(index) = last.checked_sub(from_back)
            && self.chunks[index].number == block
        {
            return Ok(index);
        }
        self.chunks
            .binary_search_by_key(&block, |chunk| chunk.number)
    }

    /// The slots of the chunk at `index`, if it has them.
    pub(super) fn places_mut(&mut self, index: usize) -> Option<&mut Places> {
        match &mut self.chunks.get_mut(index)?.content {
            Content::Places(places) => Some(places),
            Content::Paged(_) | Content::Unread(_) => None,
        }
    }

    pub(super) fn slot(&self, place: &Place) -> Option<&Slot> {
        match &self.chunks.get(place.chunk)?.content {
            Content::Places(places) => places.slot(place.offset),
            Content::Paged(_) | Content::Unread(_) => None,
        }
    }

    /// When the message there expires, in wall-clock milliseconds; `None` for never.
    pub(super) fn deadline(&self, place: &Place) -> Option<u64> {
        match &self.chunks.get(place.chunk)?.content {
            Content::Places(places) => places.deadline(place.offset),
            Content::Paged(_) | Content::Unread(_) => None,
        }
    }

    /// Adds a message at the end, which expires at `deadline_ms`, or never if that is 0. Gives its
    /// position.
    pub(super) fn push(
        &mut self,
        message: Message,
        recorded: bool,
        deadline_ms: u64,
        tally: &mut Tally,
    ) -> u64 {
        let position = self.next;
        let (block, offset) = (self.block_of(position), self.offset_of(position));
        tally.became_ready(message.body().len() as u64);
        tally.resident_bytes += message.memory_bytes();
        let hold = Hold::ready(recorded, false);
        self.next += 1;
        if let Some(Chunk {
            number,
            content: Content::Places(places),
        }) = self.chunks.back_mut()
        {
            if places.live == 0 {
                *number = block;
                places.restart(offset);
            }
            if *number == block {
                places.push(message, hold, deadline_ms);
                return position;
            }
        }
        let mut places = Box::new(Places::starting_at(offset));
        places.push(message, hold, deadline_ms);
        self.chunks.push_back(Chunk {
            number: block,
            content: Content::Places(places),
        });
        position
    }

    /// What is to be delivered next.
    pub(super) fn head(&mut self) -> Head {
        while let Some(&block) = self.requeued.first() {
            if let Ok(chunk) = self.find(block) {
                let Content::Places(places) = &self.chunks[chunk].content else {
                    return Head::Absent { chunk };
                };
                if let Some(offset) = places.requeued.first() {
                    return Head::Place(Place {
                        chunk,
                        offset,
                        position: self.position_of(block, offset),
                        requeued: true,
                    });
                }
            }
            self.requeued.pop_first();
        }
        self.head_not_delivered()
    }

    fn head_not_delivered(&mut self) -> Head {
        while self.cursor < self.next {
            let block = self.block_of(self.cursor);
            let (Ok(index) | Err(index)) = self.find(block);
            let Some(chunk) = self.chunks.get(index) else {
                break;
            };
            self.cursor = self.cursor.max(self.first_of(chunk.number));
            let Content::Places(places) = &chunk.content else {
                return Head::Absent { chunk: index };
            };
            if let Some(offset) = places.present_from(self.offset_of(self.cursor)) {
                let position = self.position_of(chunk.number, offset);
                self.cursor = position;
                return Head::Place(Place {
                    chunk: index,
                    offset,
                    position,
                    requeued: false,
                });
            }
            self.cursor = self.first_of(chunk.number + 1);
        }
        self.cursor = self.next;
        Head::Empty
    }

    /// Takes the head out. Gives its message, if that is in memory.
    pub(super) fn take_head(&mut self, place: &Place, tally: &mut Tally) -> Option<Message> {
        let places = self.places_mut(place.chunk)?;
        let index = places.index(place.offset)?;
        tally.left_ready(places.bytes(index));
        let stored = places.stored;
        let message = places.take(index);
        let was_stored = u64::from(stored - places.stored);
        let none_requeued = place.requeued && {
            places.requeued.remove(place.offset);
            places.requeued.is_empty()
        };
        self.stored -= was_stored;
        if let Some(message) = &message {
            tally.resident_bytes -= message.memory_bytes();
        }
        if none_requeued {
            self.requeued.remove(&self.block_of(place.position));
        }
        if !place.requeued {
            self.cursor = place.position + 1;
        }
        self.forget_if_empty(place.chunk);
        message
    }

    /// Removes the chunk if nothing of it is left; the last one stays, to be filled.
    pub(super) fn forget_if_empty(&mut self, index: usize) {
        if index + 1 < self.chunks.len()
            && self
                .places_mut(index)
                .is_some_and(|places| places.live == 0)
        {
            self.chunks.remove(index);
        }
    }

    /// Places not delivered yet, gaps included.
    pub(super) const fn backlog(&self) -> u64 {
        self.next.saturating_sub(self.cursor)
    }
}
