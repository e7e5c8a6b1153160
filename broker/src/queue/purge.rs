//! Emptying a queue.

use super::chunk::{Chunk, Content, Places};
use super::effect::Effect;
use super::level::Level;
use super::mask::Mask;
use super::ranges::Ranges;
use super::slot::Slot;
use super::state::QueueState;
use super::tally::Tally;
use crate::model::{Seq, SeqRange};

impl<C> QueueState<C> {
    /// Drops everything that is ready and says how much that was. Unacked messages stay.
    pub fn purge(&mut self, effects: &mut Vec<Effect>) -> u64 {
        let purged = self.counts().ready;
        let mut settled = Ranges::default();
        for level in &mut self.levels {
            level.purge(&mut settled, &mut self.tally, effects);
        }
        effects.extend(settled.finish().map(Effect::Settled));
        if !self.notes.is_empty() {
            let levels = &self.levels;
            self.notes.left_all_but(|seq| {
                levels
                    .get(usize::from(seq.level()))
                    .is_some_and(|level| level.holds(seq.position()))
            });
        }
        self.tally.ready = 0;
        self.tally.ready_bytes = 0;
        self.tally.unread = 0;
        self.tally.unread_bytes = 0;
        purged
    }
}

impl Level {
    fn purge(&mut self, settled: &mut Ranges, tally: &mut Tally, effects: &mut Vec<Effect>) {
        let mut unread: Option<SeqRange> = None;
        for chunk in &mut self.chunks {
            let first = chunk.number << self.block_bits;
            match &mut chunk.content {
                Content::Places(places) => {
                    self.stored -= purge_places(self.number, first, places, settled, tally);
                }
                Content::Paged(paged) => {
                    for offset in paged.ready.iter() {
                        settled.push(Seq::new(self.number, first + u64::from(offset)));
                    }
                }
                Content::Unread(_) => {
                    let last = first + (1 << self.block_bits) - 1;
                    let block = SeqRange {
                        first: Seq::new(self.number, first),
                        last: Seq::new(self.number, last),
                    };
                    unread = Some(match unread {
                        Some(run) if run.last.next() == block.first => SeqRange {
                            first: run.first,
                            last: block.last,
                        },
                        Some(run) => {
                            effects.push(Effect::SettledBlocks(run));
                            block
                        }
                        None => block,
                    });
                }
            }
        }
        effects.extend(unread.map(Effect::SettledBlocks));
        self.forget_empty_chunks();
        self.requeued.clear();
        self.cursor = self.next;
    }

    /// Leaves only chunks in which something is unacked.
    fn forget_empty_chunks(&mut self) {
        let holds_something = |chunk: &Chunk| match &chunk.content {
            Content::Places(places) => places.live > 0,
            Content::Paged(_) | Content::Unread(_) => false,
        };
        self.chunks.retain(holds_something);
        self.absent = 0;
        self.unread = 0;
    }

    /// Whether the place is known and taken.
    fn holds(&self, position: u64) -> bool {
        let Ok(index) = self.find(self.block_of(position)) else {
            return false;
        };
        match &self.chunks[index].content {
            Content::Places(places) => places
                .slot(self.offset_of(position))
                .is_some_and(|slot| !matches!(slot, Slot::Gone)),
            Content::Paged(_) | Content::Unread(_) => false,
        }
    }
}

/// Clears the ready places of one chunk; gives how many of them were stored.
fn purge_places(
    level: u8,
    first: u64,
    places: &mut Places,
    settled: &mut Ranges,
    tally: &mut Tally,
) -> u64 {
    let stored = places.stored;
    if places.live > places.unacked {
        for index in 0..places.slots.len() {
            let Some(hold) = places.slots[index].hold() else {
                continue;
            };
            if !hold.is_ready() {
                continue;
            }
            if hold.is_recorded() {
                let position = first + u64::from(places.start) + index as u64;
                settled.push(Seq::new(level, position));
            }
            tally.resident_bytes -= places.slots[index].memory_bytes();
            places.clear(index);
        }
        places.requeued = Mask::default();
    }
    u64::from(stored - places.stored)
}
