//! What the log gained since the last checkpoint: exactly what the next one brings into the state.
//!
//! Kept by the commit thread as it writes, never taken from the queues, so the state never holds
//! anything that the log does not. Messages that come and go between two checkpoints leave
//! nothing but a range of settled places.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use leveret_log::{Location, Lsn, SegmentId};

use crate::model::{EntityChange, EntityKey, QueueId, Seq, SeqRange, Stored};

use super::BLOCK_POSITIONS;
use super::block::IndexEntry;
use super::ranges::RangeSet;
use super::record::{Record, Target};
use super::recovered::BlockEntry;

/// What changed on one level of a queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct LevelDelta {
    /// What was enqueued or moved, by block, ascending.
    pub(crate) blocks: BTreeMap<u64, Vec<IndexEntry>>,
    /// Positions that were settled.
    pub(crate) settled: RangeSet,
    /// Delivery counts, by position.
    pub(crate) counts: BTreeMap<u64, u32>,
    /// The last position that may have been delivered, if that was said.
    pub(crate) lease: Option<u64>,
    /// Above every position in any record.
    pub(crate) next_position: u64,
}

impl LevelDelta {
    fn touch(&mut self, position: u64) {
        self.next_position = self.next_position.max(position + 1);
    }

    fn enqueue(&mut self, entry: IndexEntry) {
        let seq = entry.entry.seq;
        self.touch(seq.position());
        let block = self.blocks.entry(seq.position() / BLOCK_POSITIONS);
        let entries = block.or_default();
        if entries.last().is_none_or(|last| last.entry.seq < seq) {
            entries.push(entry);
            return;
        }
        match entries.binary_search_by_key(&seq, |entry| entry.entry.seq) {
            Ok(at) => entries[at] = entry,
            Err(at) => entries.insert(at, entry),
        }
    }

    fn settle(&mut self, first: u64, last: u64) {
        self.touch(last);
        let forgotten: Vec<u64> = self.counts.range(first..=last).map(|(at, _)| *at).collect();
        for position in forgotten {
            self.counts.remove(&position);
        }
        let (first, last) = self.settled.insert(first, last);
        // What came and went wholly is not kept: a fast queue must not fill the memory.
        let (from, to) = (
            first.div_ceil(BLOCK_POSITIONS),
            (last + 1) / BLOCK_POSITIONS,
        );
        if from < to {
            let gone: Vec<u64> = self
                .blocks
                .range(from..to)
                .map(|(block, _)| *block)
                .collect();
            for block in gone {
                self.blocks.remove(&block);
            }
        }
    }

    /// What was enqueued and not settled, ascending.
    pub(crate) fn live(&self) -> impl Iterator<Item = &IndexEntry> + '_ {
        let entries = self.blocks.values().flatten();
        entries.filter(|entry| !self.settled.contains(entry.entry.seq.position()))
    }
}

/// What changed between two checkpoints.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delta {
    pub(crate) queues: HashMap<QueueId, BTreeMap<u8, LevelDelta>, ahash::RandomState>,
    pub(crate) removed: Vec<QueueId>,
    pub(crate) entities: Vec<EntityChange>,
    /// Segments that something enqueued since lies in, settled since or not.
    pub(crate) pinned: BTreeSet<SegmentId>,
    /// Everything below this is in here or in the state.
    pub(crate) end: Lsn,
    /// How many messages were noted, to know when it becomes large.
    pub(crate) noted: usize,
}

impl Delta {
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.removed.is_empty() && self.entities.is_empty()
    }

    fn level(&mut self, queue: QueueId, level: u8) -> &mut LevelDelta {
        self.queues
            .entry(queue)
            .or_default()
            .entry(level)
            .or_default()
    }

    /// A message took a place: its body lies at `stored`, the record that says so in `home`.
    pub(crate) fn enqueue(&mut self, target: Target, stored: Stored, bytes: u32, home: SegmentId) {
        self.pinned.insert(home);
        self.pinned.insert(stored.location.segment);
        self.noted += 1;
        let entry = BlockEntry {
            seq: target.seq,
            stored,
            bytes,
            deadline_ms: target.deadline_ms,
            redelivered: false,
        };
        let level = self.level(target.queue, target.seq.level());
        level.enqueue(IndexEntry { entry, home });
    }

    /// Messages left their places.
    pub(crate) fn settle(&mut self, queue: QueueId, ranges: &[SeqRange]) {
        for range in ranges {
            let level = self.level(queue, range.first.level());
            level.settle(range.first.position(), range.last.position());
        }
    }

    /// Messages came back, having been delivered so often.
    pub(crate) fn requeue(&mut self, queue: QueueId, ranges: &[SeqRange], count: u32) {
        for range in ranges {
            let level = self.level(queue, range.first.level());
            level.touch(range.last.position());
            for position in range.first.position()..=range.last.position() {
                level.counts.insert(position, count);
            }
        }
    }

    /// The lease of a level.
    pub(crate) fn delivered(&mut self, queue: QueueId, up_to: Seq) {
        let level = self.level(queue, up_to.level());
        level.touch(up_to.position());
        level.lease = Some(up_to.position());
    }

    /// Whether this place was settled since the last checkpoint.
    pub(crate) fn is_settled(&self, queue: QueueId, seq: Seq) -> bool {
        let level = self
            .queues
            .get(&queue)
            .and_then(|levels| levels.get(&seq.level()));
        level.is_some_and(|level| level.settled.contains(seq.position()))
    }
}

/// The delta that is growing, and which queues there are.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) known: HashSet<QueueId, ahash::RandomState>,
    pub(crate) delta: Delta,
    /// Above every queue number in any record.
    pub(crate) next_queue: u32,
}

impl Ledger {
    /// Takes the delta out; everything from its end on goes into a new one.
    pub(crate) fn take(&mut self) -> Delta {
        let end = self.delta.end;
        std::mem::replace(
            &mut self.delta,
            Delta {
                end,
                ..Delta::default()
            },
        )
    }

    /// A definition changed.
    pub(crate) fn entity(&mut self, change: EntityChange) {
        match &change {
            EntityChange::Put(entity) => {
                if let Some(queue) = entity.queue() {
                    self.next_queue = self.next_queue.max(queue.0.saturating_add(1));
                    self.known.insert(queue);
                }
            }
            EntityChange::Remove(EntityKey::Queue { id }) => {
                let queue = QueueId(*id);
                self.known.remove(&queue);
                self.delta.queues.remove(&queue);
                self.delta.removed.push(queue);
            }
            EntityChange::Remove(_) => {}
        }
        self.delta.entities.push(change);
    }

    /// A message took these places, as far as their queues are there.
    pub(crate) fn enqueue_all(
        &mut self,
        targets: &[Target],
        stored: Stored,
        bytes: u32,
        home: SegmentId,
    ) {
        for target in targets {
            if self.known.contains(&target.queue) {
                self.delta.enqueue(*target, stored, bytes, home);
            }
        }
    }

    /// Messages left their places.
    pub(crate) fn settle(&mut self, queue: QueueId, ranges: &[SeqRange]) {
        if self.known.contains(&queue) {
            self.delta.settle(queue, ranges);
        }
    }

    /// Messages came back, having been delivered so often.
    pub(crate) fn requeue(&mut self, queue: QueueId, ranges: &[SeqRange], count: u32) {
        if self.known.contains(&queue) {
            self.delta.requeue(queue, ranges, count);
        }
    }

    /// The lease of a level.
    pub(crate) fn delivered(&mut self, queue: QueueId, up_to: Seq) {
        if self.known.contains(&queue) {
            self.delta.delivered(queue, up_to);
        }
    }

    /// A record that was read back. Records about queues that are gone mean nothing any more.
    pub(crate) fn replay(&mut self, lsn: Lsn, location: Location, record: Record) {
        self.delta.end = self.delta.end.max(lsn.next());
        match record {
            Record::Message {
                origin,
                body_bytes,
                targets,
            } => {
                let lsn = origin.unwrap_or(lsn);
                let stored = Stored { lsn, location };
                self.enqueue_all(&targets, stored, body_bytes, location.segment);
            }
            Record::Enqueue {
                target,
                message,
                body_bytes,
            } => self.enqueue_all(&[target], message, body_bytes, location.segment),
            Record::Settle { queue, ranges } => self.settle(queue, &ranges),
            Record::Requeue {
                queue,
                delivery_count,
                ranges,
            } => self.requeue(queue, &ranges, delivery_count),
            Record::Delivered { queue, up_to } => self.delivered(queue, up_to),
            Record::Entity { next_queue, change } => {
                self.next_queue = self.next_queue.max(next_queue);
                self.entity(change);
            }
        }
    }
}
