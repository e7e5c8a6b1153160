//! Bringing a delta into the state.
//!
//! Every batch leaves the state true: the blocks it changes, the numbers of their queues and the
//! pins of the segments go in together. Merging the same delta again changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use leveret_log::SegmentId;

use crate::model::{EntityChange, QueueId};

use super::block::{self, IndexEntry};
use super::catalog::{Catalog, Defined, DefinitionKey, Place};
use super::delta::{Delta, LevelDelta};
use super::index::Block;
use super::key::{self, CHUNK_BLOCKS};
use super::report::HeldLevel;
use super::state::{Change, State, StateError};
use super::summary::{digest, encode_chunk, encode_definition, encode_group, group_of};
use super::{BLOCK_POSITIONS, ranges::RangeSet};

/// Changes that one batch gathers before what belongs to them is added.
const BATCH_CHANGES: usize = 180;

/// One merge of one delta.
#[derive(Debug)]
pub(crate) struct Merge<'a> {
    state: &'a State,
    catalog: &'a mut Catalog,
    changes: Vec<Change>,
    queues: BTreeSet<QueueId>,
    chunks: BTreeSet<(QueueId, u8, u64)>,
    groups: BTreeSet<u32>,
    held: Vec<HeldLevel>,
}

/// Brings `delta` into the state, and says which levels' older messages the index now holds. After
/// an error the catalog is no longer true and must be loaded again.
pub(crate) fn merge(
    state: &State,
    catalog: &mut Catalog,
    delta: &Delta,
) -> Result<Vec<HeldLevel>, StateError> {
    let mut merge = Merge {
        state,
        catalog,
        changes: Vec::new(),
        queues: BTreeSet::new(),
        chunks: BTreeSet::new(),
        groups: BTreeSet::new(),
        held: Vec::new(),
    };
    for queue in &delta.removed {
        merge.remove_queue(*queue)?;
    }
    merge.definitions(&delta.entities)?;
    let queues: BTreeMap<_, _> = delta.queues.iter().collect();
    for (queue, levels) in queues {
        for (level, changed) in levels {
            merge.level(*queue, *level, changed)?;
        }
    }
    merge.flush()?;
    Ok(merge.held)
}

impl Merge<'_> {
    fn definitions(&mut self, entities: &[EntityChange]) -> Result<(), StateError> {
        for change in entities {
            let definitions = &mut self.catalog.definitions;
            let (key, value) = match change {
                EntityChange::Put(entity) => {
                    let named = DefinitionKey::of(&entity.key());
                    let (key, value) = (named.in_state(), encode_definition(entity.clone()));
                    let (place, digest) = (Place::of(entity), digest(&key, &value));
                    definitions.insert(named, Defined { place, digest });
                    (key, Some(value))
                }
                EntityChange::Remove(key) => {
                    let named = DefinitionKey::of(key);
                    definitions.remove(&named);
                    (named.in_state(), None)
                }
            };
            // A batch is not ordered within itself: only the last change of a key may be in it.
            self.changes.retain(|(other, _)| *other != key);
            self.change(key, value)?;
        }
        Ok(())
    }

    fn change(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> Result<(), StateError> {
        self.changes.push((key, value));
        if self.changes.len() >= BATCH_CHANGES {
            self.flush()?;
        }
        Ok(())
    }

    fn level(&mut self, queue: QueueId, level: u8, delta: &LevelDelta) -> Result<(), StateError> {
        let held = self.catalog.queues.entry(queue).or_default().level(level);
        held.summary.next_position = held.summary.next_position.max(delta.next_position);
        if delta.lease.is_some() {
            held.summary.lease = delta.lease;
        }
        self.held.push(HeldLevel {
            queue,
            level,
            up_to: held.summary.next_position,
        });
        let touched = touched_blocks(&held.blocks, delta);
        self.queues.insert(queue);
        for number in touched {
            self.block(queue, level, number, delta)?;
            if self.changes.len() >= BATCH_CHANGES {
                self.flush()?;
            }
            self.queues.insert(queue);
        }
        Ok(())
    }

    fn block(
        &mut self,
        queue: QueueId,
        level: u8,
        number: u64,
        delta: &LevelDelta,
    ) -> Result<(), StateError> {
        let exists = self.exists(queue, level, number);
        let mut old = self.read(queue, level, number, exists)?;
        let mut live: Vec<IndexEntry> = old.live().copied().collect();
        let arrived = self.arrive(queue, &mut live, &old, number, delta);
        let last = number * BLOCK_POSITIONS + (BLOCK_POSITIONS - 1);
        for (first, last) in delta.settled.within(number * BLOCK_POSITIONS, last) {
            for position in first..=last {
                old.settled.insert(position);
            }
        }
        let before = live.len();
        let settled = old.settled;
        let (gone, live): (Vec<_>, Vec<_>) = live
            .into_iter()
            .partition(|entry| settled.contains(entry.entry.seq.position()));
        for entry in &gone {
            self.leave(queue, entry);
        }
        self.counts(queue, level, number, &live, delta);
        let block_key = key::of_block(key::BLOCK, queue, level, number);
        let settled_key = key::of_block(key::SETTLED, queue, level, number);
        if live.is_empty() {
            if exists {
                self.set_exists(queue, level, number, false);
                self.changes.push((block_key, None));
                self.changes.push((settled_key, None));
            }
        } else if arrived || !exists || live.len() * 2 <= old.entries.len() {
            if !exists {
                self.set_exists(queue, level, number, true);
            }
            let value = block::encode(level, number, &live);
            self.changes.push((block_key, Some(value)));
            self.changes.push((settled_key, None));
        } else if live.len() < before {
            self.changes.push((settled_key, Some(settled.encode())));
        }
        Ok(())
    }

    fn read(
        &self,
        queue: QueueId,
        level: u8,
        number: u64,
        exists: bool,
    ) -> Result<Block, StateError> {
        if !exists {
            return Ok(Block::default());
        }
        let read = Block::read(self.state, queue, level, number)?;
        let missing = || StateError::Damaged(key::of_block(key::BLOCK, queue, level, number));
        read.ok_or_else(missing)
    }

    /// Puts what was enqueued or moved into its place, and says whether anything was.
    fn arrive(
        &mut self,
        queue: QueueId,
        live: &mut Vec<IndexEntry>,
        old: &Block,
        number: u64,
        delta: &LevelDelta,
    ) -> bool {
        let mut arrived = false;
        for entry in delta.blocks.get(&number).into_iter().flatten() {
            let position = entry.entry.seq.position();
            if old.settled.contains(position) {
                continue;
            }
            match live.binary_search_by_key(&entry.entry.seq, |entry| entry.entry.seq) {
                Ok(at) if live[at] == *entry => {}
                Ok(at) => {
                    let replaced = live[at];
                    self.leave(queue, &replaced);
                    live[at] = *entry;
                    live[at].entry.redelivered |= replaced.entry.redelivered;
                    self.enter(queue, entry);
                    arrived = true;
                }
                Err(_) if delta.settled.contains(position) => {}
                Err(at) => {
                    live.insert(at, *entry);
                    self.enter(queue, entry);
                    arrived = true;
                }
            }
        }
        arrived
    }

    fn counts(
        &mut self,
        queue: QueueId,
        level: u8,
        number: u64,
        live: &[IndexEntry],
        delta: &LevelDelta,
    ) {
        let place = (queue, level, number);
        let first = number * BLOCK_POSITIONS;
        let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
        let old = self.catalog.counts.get(&place);
        counts.extend(old.into_iter().flatten().copied());
        counts.extend(delta.counts.range(first..first + BLOCK_POSITIONS));
        counts.retain(|position, count| {
            let found = live.binary_search_by_key(position, |entry| entry.entry.seq.position());
            *count > 0 && found.is_ok()
        });
        let new: Vec<(u64, u32)> = counts.into_iter().collect();
        if old.map_or(&[][..], Vec::as_slice) == new {
            return;
        }
        let key = key::of_block(key::COUNTS, queue, level, number);
        if new.is_empty() {
            self.catalog.counts.remove(&place);
            self.changes.push((key, None));
        } else {
            self.changes.push((key, Some(block::encode_counts(&new))));
            self.catalog.counts.insert(place, new);
        }
    }

    /// A message is in the index from now on.
    fn enter(&mut self, queue: QueueId, entry: &IndexEntry) {
        let held = self.catalog.queues.entry(queue).or_default();
        held.count += 1;
        held.bytes += u64::from(entry.entry.bytes);
        self.pin(entry, |number, by| *number += by);
    }

    /// A message is in the index no longer.
    fn leave(&mut self, queue: QueueId, entry: &IndexEntry) {
        let held = self.catalog.queues.entry(queue).or_default();
        held.count = held.count.saturating_sub(1);
        held.bytes = held.bytes.saturating_sub(u64::from(entry.entry.bytes));
        self.pin(entry, |number, by| *number = number.saturating_sub(by));
    }

    fn pin(&mut self, entry: &IndexEntry, change: impl Fn(&mut u64, u64)) {
        let body = entry.entry.stored.location;
        let segments: &mut BTreeMap<SegmentId, _> = &mut self.catalog.segments;
        change(&mut segments.entry(entry.home).or_default().homes, 1);
        if body.segment != entry.home {
            change(&mut segments.entry(body.segment).or_default().bodies, 1);
        }
        let held = segments.entry(body.segment).or_default();
        change(&mut held.bytes, u64::from(body.length));
        self.groups.insert(group_of(entry.home));
        self.groups.insert(group_of(body.segment));
    }

    fn exists(&self, queue: QueueId, level: u8, number: u64) -> bool {
        let queue = self.catalog.queues.get(&queue);
        let level = queue.and_then(|queue| queue.levels.get(&level));
        level.is_some_and(|level| level.blocks.contains(number))
    }

    fn set_exists(&mut self, queue: QueueId, level: u8, number: u64, exists: bool) {
        let held = self.catalog.queues.entry(queue).or_default();
        if exists {
            held.blocks += 1;
            held.level(level).blocks.insert(number, number);
        } else {
            held.blocks = held.blocks.saturating_sub(1);
            held.level(level).blocks.remove(number);
        }
        self.chunks.insert((queue, level, number / CHUNK_BLOCKS));
    }

    fn remove_queue(&mut self, queue: QueueId) -> Result<(), StateError> {
        let Some(held) = self.catalog.queues.get(&queue) else {
            return Ok(());
        };
        let levels: Vec<(u8, RangeSet)> = held
            .levels
            .iter()
            .map(|(level, held)| (*level, held.blocks.clone()))
            .collect();
        for (level, blocks) in levels {
            for number in blocks.iter().flat_map(|(first, last)| first..=last) {
                let block = match self.read(queue, level, number, true) {
                    // What it pinned stays pinned; the next rebuild or repair counts anew.
                    Err(StateError::Damaged(_)) => Block::default(),
                    read => read?,
                };
                for entry in block.live() {
                    self.leave(queue, entry);
                }
                self.set_exists(queue, level, number, false);
                for kind in [key::BLOCK, key::SETTLED, key::COUNTS] {
                    let key = key::of_block(kind, queue, level, number);
                    self.changes.push((key, None));
                }
                self.catalog.counts.remove(&(queue, level, number));
                self.queues.insert(queue);
                if self.changes.len() >= BATCH_CHANGES {
                    self.flush()?;
                }
            }
        }
        // What is gathered about the queue must not be written once it is forgotten. Mostly that is
        // nothing, and many queues go in one batch.
        if self.queues.contains(&queue) {
            self.flush()?;
        }
        self.catalog.queues.remove(&queue);
        let key = key::of_queue(key::QUEUE, queue);
        self.catalog.note_queue(queue, None);
        self.change(key, None)
    }

    /// Applies what was gathered, with everything that must be true together with it.
    fn flush(&mut self) -> Result<(), StateError> {
        for queue in std::mem::take(&mut self.queues) {
            let held = self.catalog.queues.entry(queue).or_default();
            let value = held.summary().encode();
            let key = key::of_queue(key::QUEUE, queue);
            self.catalog.note_queue(queue, Some(&value));
            self.changes.push((key, Some(value)));
        }
        for (queue, level, chunk) in std::mem::take(&mut self.chunks) {
            let held = self.catalog.queues.entry(queue).or_default();
            let value = encode_chunk(chunk, &held.level(level).blocks);
            let key = key::of_block(key::CHUNK, queue, level, chunk);
            self.changes.push((key, value));
        }
        for group in std::mem::take(&mut self.groups) {
            let value = encode_group(group, &self.catalog.segments);
            self.changes.push((key::of_segments(group), value));
        }
        self.catalog.segments.retain(|_, pins| !pins.is_empty());
        if self.changes.is_empty() {
            return Ok(());
        }
        self.state.apply(&std::mem::take(&mut self.changes))
    }
}

/// The blocks that a delta changes: those that something enters, and existing ones that something
/// leaves.
fn touched_blocks(existing: &RangeSet, delta: &LevelDelta) -> BTreeSet<u64> {
    let mut touched: BTreeSet<u64> = delta.blocks.keys().copied().collect();
    for (first, last) in delta.settled.iter() {
        let within = existing.within(first / BLOCK_POSITIONS, last / BLOCK_POSITIONS);
        touched.extend(within.flat_map(|(first, last)| first..=last));
    }
    for position in delta.counts.keys() {
        let block = position / BLOCK_POSITIONS;
        if existing.contains(block) {
            touched.insert(block);
        }
    }
    touched
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
