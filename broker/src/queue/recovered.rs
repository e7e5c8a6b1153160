//! What the store gives back after a restart.

use std::ops::RangeInclusive;

use super::chunk::{Chunk, Content, Places, Unread};
use super::lease::Lease;
use super::level::Level;
use super::slot::Hold;
use super::state::{QueueState, Settings};
use super::tally::Tally;
use crate::model::{Attempts, Seq, SeqRange, Stored};

/// No queue lives to see this position; what lies beyond is nonsense, with room to count on.
const POSITIONS_END: u64 = 1 << 55;

/// One message of an index block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockEntry {
    /// Its place.
    pub seq: Seq,
    /// Where its body lies.
    pub location: Stored,
    /// Its body's length in bytes.
    pub bytes: u32,
    /// When it expires, in wall-clock milliseconds; 0 for never.
    pub deadline_ms: u64,
    /// It must be flagged as redelivered wherever the lease ends.
    pub redelivered: bool,
}

/// A queue as it was on disk.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// The levels, from 0.
    pub levels: Vec<RecoveredLevel>,
    /// Live messages, those in unread blocks included.
    pub ready_count: u64,
    /// Bytes of their bodies.
    pub ready_bytes: u64,
    /// How often messages had failed; those that never did are left out.
    pub delivery_counts: Vec<(Seq, u32)>,
    /// Nothing is known about what was delivered: flag everything.
    pub all_redelivered: bool,
}

/// One level as it was on disk.
#[derive(Clone, Debug, Default)]
pub struct RecoveredLevel {
    /// Above every position that was ever recorded.
    pub next_position: u64,
    /// The last place that may have been delivered.
    pub lease: Option<Seq>,
    /// Numbers of the index blocks that hold something; their content is read when it is reached.
    pub blocks: Vec<RangeInclusive<u64>>,
    /// What was settled after the blocks were written.
    pub settled_since: Vec<SeqRange>,
    /// What was enqueued after the blocks were written.
    pub entries: Vec<BlockEntry>,
}

impl<C> QueueState<C> {
    /// The queue as it was on disk. Everything in it is ready.
    #[must_use]
    pub fn recover(settings: Settings, recovered: Recovered) -> Self {
        Self::new(settings).with_recovered(recovered)
    }

    pub(super) fn with_recovered(mut self, recovered: Recovered) -> Self {
        // What merely came back is not recorded.
        for (seq, failed) in recovered.delivery_counts {
            let returned = failed;
            *self.notes.attempts_mut(seq) = Attempts { returned, failed };
        }
        self.grow(recovered.levels.len());
        for (level, found) in self.levels.iter_mut().zip(recovered.levels) {
            level.recover(found, recovered.all_redelivered, &mut self.tally);
            self.occupied.insert(level.number.into());
        }
        // What is on disk may have deadlines; those of unread blocks are not known yet.
        self.mortality.mortal = true;
        if self.levels.iter().any(|level| level.unread > 0) {
            self.tally.unread = recovered.ready_count.saturating_sub(self.tally.ready);
            self.tally.unread_bytes = recovered.ready_bytes.saturating_sub(self.tally.ready_bytes);
        }
        self
    }
}

impl Level {
    fn recover(&mut self, found: RecoveredLevel, all_redelivered: bool, tally: &mut Tally) {
        let block_bits = self.block_bits;
        let blocks_end = POSITIONS_END >> block_bits;
        let mut blocks: Vec<u64> = found
            .blocks
            .into_iter()
            .flat_map(|range| *range.start()..=(*range.end()).min(blocks_end - 1))
            .collect();
        blocks.sort_unstable();
        blocks.dedup();
        self.unread = blocks.len();
        self.absent = blocks.len();
        self.chunks.extend(blocks.into_iter().map(|number| Chunk {
            number,
            content: Content::Unread(Unread::default()),
        }));
        let covered = found.lease.map_or(0, |seq| seq.position() + 1);
        self.flagged_below = if all_redelivered { u64::MAX } else { covered };
        for range in &found.settled_since {
            self.settle_unread(*range);
        }
        let mut entries = found.entries;
        entries.sort_by_key(|entry| entry.seq);
        self.next = found.next_position.min(POSITIONS_END);
        for entry in &entries {
            self.recover_entry(entry, tally);
            self.next = self.next.max(entry.seq.position() + 1);
        }
        for range in &found.settled_since {
            self.settle_known(*range, tally);
        }
        // New places begin behind the last block, so that a block that was not read yet never
        // has to be filled up.
        if let Some(last) = self.chunks.back()
            && matches!(last.content, Content::Unread(_))
        {
            self.next = self.next.max((last.number + 1) << block_bits);
        }
        // What was last in the queue may be settled: its places are not given again.
        let (block, offset) = (self.block_of(self.next), self.offset_of(self.next));
        if let Some(Chunk {
            number,
            content: Content::Places(places),
        }) = self.chunks.back_mut()
            && *number == block
        {
            places.extend_to(offset);
        }
        self.cursor = self
            .chunks
            .front()
            .map_or(self.next, |chunk| self.first_of(chunk.number));
        self.lease = Lease::new(covered, self.next);
    }

    /// Notes which places of unread blocks the log has settled since.
    fn settle_unread(&mut self, range: SeqRange) {
        self.for_each_block(range, |chunk, offsets| {
            if let Content::Unread(unread) = &mut chunk.content {
                let since = unread.since.get_or_insert_default();
                offsets.for_each(|offset| since.settled.insert(offset));
            }
        });
    }

    /// Drops what the log has both enqueued and settled since.
    fn settle_known(&mut self, range: SeqRange, tally: &mut Tally) {
        let mut dropped = 0;
        self.for_each_block(range, |chunk, offsets| {
            let Content::Places(places) = &mut chunk.content else {
                return;
            };
            for offset in offsets {
                if let Some(index) = places.index(offset)
                    && places.is_ready(index)
                {
                    tally.left_ready(places.bytes(index));
                    places.clear(index);
                    dropped += 1;
                }
            }
        });
        self.stored -= dropped;
        let holds_something = |chunk: &Chunk| match &chunk.content {
            Content::Places(places) => places.live > 0,
            Content::Paged(_) | Content::Unread(_) => true,
        };
        self.chunks.retain(holds_something);
    }

    /// Visits the chunks that `range` touches, with the offsets that lie in it.
    fn for_each_block(
        &mut self,
        range: SeqRange,
        mut visit: impl FnMut(&mut Chunk, RangeInclusive<u16>),
    ) {
        if range.first.level() != self.number || range.last.level() != self.number {
            return;
        }
        let block_bits = self.block_bits;
        let (first, last) = (range.first.position(), range.last.position());
        let from = self
            .chunks
            .partition_point(|chunk| chunk.number < first >> block_bits);
        for chunk in self.chunks.iter_mut().skip(from) {
            let base = chunk.number << block_bits;
            if base > last {
                break;
            }
            let end = base + (1 << block_bits) - 1;
            // Both lie within one block, whose places an offset can count.
            let low = (first.max(base) - base) as u16;
            let high = (last.min(end) - base) as u16;
            visit(chunk, low..=high);
        }
    }

    fn recover_entry(&mut self, entry: &BlockEntry, tally: &mut Tally) {
        if entry.seq.level() != self.number {
            return;
        }
        let position = entry.seq.position();
        let (block, offset) = (self.block_of(position), self.offset_of(position));
        let index = match self.find(block) {
            Ok(index) => index,
            Err(index) => {
                let places = Box::new(Places::starting_at(offset));
                let content = Content::Places(places);
                let number = block;
                self.chunks.insert(index, Chunk { number, content });
                index
            }
        };
        let redelivered = entry.redelivered || position < self.flagged_below;
        match &mut self.chunks[index].content {
            Content::Places(places) => {
                let known = places.live;
                places.place(offset, entry, Hold::ready(true, redelivered));
                if places.live > known {
                    self.stored += 1;
                    tally.became_ready(entry.bytes.into());
                }
            }
            Content::Unread(unread) => {
                let since = unread.since.get_or_insert_default();
                since.entries.push(*entry);
            }
            Content::Paged(_) => {}
        }
    }
}
