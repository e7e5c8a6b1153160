//! Giving memory back.

use std::collections::VecDeque;

use super::chunk::{Chunk, Content, Paged, Places};
use super::level::Level;
use super::mask::Mask;
use super::slot::Slot;
use super::state::{QueueState, Recording};

/// Bodies so near the head are kept while there are consumers.
const HEAD_PLACES: u64 = 64;

/// Blocks at either end that a level keeps however many levels there are.
const LEVEL_BLOCKS_MIN: usize = 2;

impl<C> QueueState<C> {
    /// Drops bodies that the log has until `bytes` are freed or none is left to drop, and says how
    /// many bytes that made. What will be delivered soonest goes last, and the next few bodies
    /// stay while there are consumers or somebody waits in `get`: what was loaded for them would
    /// otherwise be gone before they see it, for as long as other queues take all the room.
    pub fn release_bodies(&mut self, bytes: usize) -> usize {
        if self.settings.recording == Recording::Nothing {
            return 0;
        }
        let keep = if self.consumers.is_empty() && !self.awaited {
            0
        } else {
            HEAD_PLACES
        };
        let mut freed = 0;
        for level in &mut self.levels {
            if freed >= bytes {
                break;
            }
            freed += level.release_waiting(keep, bytes - freed);
            if freed < bytes {
                freed += level.release_behind(keep, bytes - freed);
            }
        }
        self.tally.resident_bytes -= freed;
        freed
    }

    /// Gives up the slots of blocks that are full, have every body in the log and nothing unacked,
    /// where `covered` says that the store's index holds the block as it is or as it once was:
    /// every place that is still taken, at least. `keep_blocks` blocks at either end stay, divided
    /// among the levels, which together must not keep many times as much as a queue without
    /// priorities. Says how many blocks were given up.
    pub fn page_out(
        &mut self,
        level: u8,
        keep_blocks: usize,
        covered: &dyn Fn(u64) -> bool,
    ) -> usize {
        let share = (keep_blocks / self.levels.len().max(1)).max(LEVEL_BLOCKS_MIN);
        let Some(level) = self.levels.get_mut(usize::from(level)) else {
            return 0;
        };
        level.page_out(keep_blocks.min(share), covered)
    }
}

impl Level {
    /// Releases bodies that were not delivered yet, `keep` places at the head excepted.
    fn release_waiting(&mut self, keep: u64, wanted: usize) -> usize {
        let head = self.cursor + keep;
        let mut freed = 0;
        // What was loaded since the last time lies near the head, before what was released.
        if self.loaded_to > head {
            let (reached, some) = self.release_between(head, self.loaded_to, 0, wanted);
            if reached >= self.loaded_to {
                self.loaded_to = 0;
            }
            freed += some;
        }
        if freed < wanted {
            let start = self.released_to.max(head);
            let (reached, some) = self.release_between(start, self.next, 0, wanted - freed);
            self.released_to = reached;
            freed += some;
        }
        freed
    }

    /// Releases bodies before the cursor: unacked ones, and ready ones but the first `keep`.
    fn release_behind(&mut self, keep: u64, wanted: usize) -> usize {
        let ready_from = self.requeued_after(keep);
        let start = self.released_behind_to;
        let (reached, freed) = self.release_between(start, self.cursor, ready_from, wanted);
        self.released_behind_to = reached;
        freed
    }

    /// The position behind the first `keep` requeued places.
    fn requeued_after(&self, keep: u64) -> u64 {
        let mut left = keep;
        let mut after = 0;
        for &block in &self.requeued {
            let Ok(index) = self.find(block) else {
                continue;
            };
            let Content::Places(places) = &self.chunks[index].content else {
                continue;
            };
            for offset in places.requeued.iter() {
                if left == 0 {
                    return after;
                }
                left -= 1;
                after = self.position_of(block, offset) + 1;
            }
        }
        after
    }

    /// Releases bodies from `start` to before `end` until `wanted` bytes are freed; ready ones
    /// below `ready_from` stay. Says where it stopped and what it freed. It does not pass a body
    /// that the log is still to write.
    fn release_between(
        &mut self,
        start: u64,
        end: u64,
        ready_from: u64,
        wanted: usize,
    ) -> (u64, usize) {
        let mut freed = 0;
        let (Ok(mut index) | Err(mut index)) = self.find(self.block_of(start));
        while let Some(chunk) = self.chunks.get_mut(index) {
            index += 1;
            let Content::Places(places) = &mut chunk.content else {
                continue;
            };
            if places.live == places.stored {
                continue;
            }
            let base = (chunk.number << self.block_bits) + u64::from(places.start);
            if base >= end {
                break;
            }
            let first = usize::try_from(start.saturating_sub(base)).unwrap_or(usize::MAX);
            for slot in first..places.slots.len() {
                let position = base + slot as u64;
                let Slot::Resident { hold, message } = &places.slots[slot] else {
                    continue;
                };
                if !hold.is_recorded() || (hold.is_ready() && position < ready_from) {
                    continue;
                }
                if position >= end || message.stored().is_none() {
                    return (position.min(end), freed);
                }
                freed += places.release(slot);
                self.stored += 1;
                if freed >= wanted {
                    return (position + 1, freed);
                }
            }
        }
        (end.max(start), freed)
    }

    fn page_out(&mut self, keep_blocks: usize, covered: &dyn Fn(u64) -> bool) -> usize {
        let keep = keep_blocks as u64;
        let near = |block: u64, other: Option<u64>| {
            other.is_some_and(|other| block.abs_diff(other) < keep)
        };
        let waiting = Some(self.block_of(self.cursor));
        let requeued = self.requeued.first().copied();
        let last = self.chunks.back().map(|chunk| chunk.number);
        let mut paged = 0;
        for chunk in &mut self.chunks {
            let block = chunk.number;
            let Content::Places(places) = &chunk.content else {
                continue;
            };
            let first = block << self.block_bits;
            let end = first + (1 << self.block_bits);
            let undecided = first < self.cursor && self.cursor < end;
            let settled_down = places.live > 0
                && places.unacked == 0
                && places.stored == places.live
                && end <= self.next
                && !undecided;
            if !settled_down
                || near(block, waiting)
                || near(block, requeued)
                || near(block, last)
                || places.waits_for_a_body()
                || !covered(block)
            {
                continue;
            }
            self.stored -= u64::from(places.live);
            chunk.content = Content::Paged(Box::new(Paged::from(places.as_ref())));
            self.absent += 1;
            paged += 1;
        }
        paged
    }

    /// Whether nothing is left but memory that is worth giving back.
    pub(super) fn is_roomy(&self) -> bool {
        let empty = |chunk: &Chunk| match &chunk.content {
            Content::Places(places) => places.live == 0 && places.slots.capacity() > 32,
            Content::Paged(_) | Content::Unread(_) => false,
        };
        self.chunks.len() == 1 && self.chunks.front().is_some_and(empty)
    }

    /// Gives back what an empty level does not need.
    pub(super) fn shrink(&mut self) {
        if self.is_roomy() {
            self.chunks = VecDeque::new();
        }
    }
}

impl From<&Places> for Paged {
    fn from(places: &Places) -> Self {
        let mut paged = Self {
            ready: Mask::default(),
            redelivered: Mask::default(),
            bytes: 0,
            loading: false,
        };
        for (index, slot) in places.slots.iter().enumerate() {
            let (Some(hold), Ok(offset)) = (slot.hold(), u16::try_from(index)) else {
                continue;
            };
            let offset = offset + places.start;
            paged.ready.insert(offset);
            if hold.is_redelivered() {
                paged.redelivered.insert(offset);
            }
            paged.bytes += places.bytes(index);
        }
        paged
    }
}
