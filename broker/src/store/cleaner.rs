//! Cleaning: what is live in nearly empty segments is written again, so that they can be freed.
//!
//! Runs on the checkpoint thread right after a checkpoint: the index then lacks nothing but what
//! the commit thread has in its delta, and the commit thread drops whatever was settled in that.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use leveret_log::{Location, Lsn, SegmentId, SegmentInfo, Ticket};

use crate::model::{Message, Operation, QueueId, Seq};

use super::BLOCK_POSITIONS;
use super::author::Move;
use super::block::IndexEntry;
use super::checkpoint::{CheckpointError, Checkpointer};
use super::index::Block;
use super::record::{self, Record, Target};
use super::state::State;

/// Segments that one round empties at most.
const VICTIMS_MAX: usize = 4;
/// Bytes that are handed to the commit thread at a time.
const MOVE_BYTES: usize = 4 << 20;
/// How many later segments are searched for further places of a message.
const SEARCHED_MAX: usize = 16;
const PATIENCE: Duration = Duration::from_secs(30);

/// A message that is to be written again.
struct Wanted {
    location: Location,
    targets: Vec<Target>,
}

/// Collects what is live in the segments that are to be emptied.
struct Collector<'a> {
    state: &'a State,
    blocks: HashMap<(QueueId, u8, u64), Vec<IndexEntry>, ahash::RandomState>,
    wanted: BTreeMap<Lsn, Wanted>,
}

impl Collector<'_> {
    /// The index's entry of a place.
    fn entry(&mut self, queue: QueueId, seq: Seq) -> Option<IndexEntry> {
        let number = seq.position() / BLOCK_POSITIONS;
        let place = (queue, seq.level(), number);
        let state = self.state;
        let live = self.blocks.entry(place).or_insert_with(|| {
            // A block that cannot be read keeps its segments; it is reported when it is needed.
            let block = Block::read(state, queue, seq.level(), number)
                .ok()
                .flatten();
            block.map_or_else(Vec::new, |block| block.live().copied().collect())
        });
        let at = live
            .binary_search_by_key(&seq, |entry| entry.entry.seq)
            .ok()?;
        live.get(at).copied()
    }

    /// A record says that this place is taken: if that is still the record which the index means,
    /// the message is wanted.
    fn meet(&mut self, home: SegmentId, target: Target) -> bool {
        let Some(entry) = self.entry(target.queue, target.seq) else {
            return false;
        };
        if entry.home != home {
            return false;
        }
        let stored = entry.entry.stored;
        let wanted = self.wanted.entry(stored.lsn).or_insert_with(|| Wanted {
            location: stored.location,
            targets: Vec::new(),
        });
        if !wanted.targets.contains(&target) {
            wanted.targets.push(target);
        }
        true
    }

    /// Takes a record of a segment that is to be emptied.
    fn empty(&mut self, location: Location, record: Record) {
        match record {
            Record::Message { targets, .. } => {
                for target in targets {
                    self.meet(location.segment, target);
                }
            }
            Record::Enqueue { target, .. } => {
                self.meet(location.segment, target);
            }
            Record::Settle { .. }
            | Record::Requeue { .. }
            | Record::Delivered { .. }
            | Record::Entity { .. } => {}
        }
    }
}

impl Checkpointer {
    /// One round, if enough of the log is dead.
    pub(crate) fn clean(&self) -> Result<(), CheckpointError> {
        let victims = self.victims();
        if victims.is_empty() {
            return Ok(());
        }
        let state = self.state.get()?;
        let mut collector = Collector {
            state: &state,
            blocks: HashMap::default(),
            wanted: BTreeMap::new(),
        };
        for victim in &victims {
            self.visit(victim.id, |location, record| {
                collector.empty(location, record)
            });
        }
        for victim in &victims {
            self.collect_elsewhere(victim.id, &mut collector);
        }
        let wanted = collector.wanted;
        self.write_again(wanted)
    }

    /// The emptiest segments that lie wholly below the last checkpoint.
    fn victims(&self) -> Vec<SegmentInfo> {
        let segments = self.log.segments();
        if segments.len() <= self.options.cleaning_segments_min {
            return Vec::new();
        }
        let live = |segment: &SegmentInfo| {
            let pins = self.catalog.segments.get(&segment.id);
            pins.map_or(0, |pins| pins.bytes).min(segment.bytes)
        };
        let total: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let total_live: u64 = segments.iter().map(live).sum();
        if total_live * 2 >= total {
            return Vec::new();
        }
        let mut victims: Vec<SegmentInfo> = segments
            .into_iter()
            .filter(|segment| !segment.active && segment.last_lsn < self.catalog.mark.below)
            .filter(|segment| live(segment) * 2 < segment.bytes)
            .collect();
        victims.sort_by_key(|segment| (live(segment) * 100 / segment.bytes.max(1), segment.id));
        victims.truncate(VICTIMS_MAX);
        victims
    }

    fn visit(&self, segment: SegmentId, mut each: impl FnMut(Location, Record)) {
        let visited = self.log.visit(segment, |found| {
            if let Ok(Some(record)) = record::decode(found.kind, found.payload) {
                each(found.location, record);
            }
        });
        if let Err(error) = visited {
            // It stays as it is: nothing is freed that the index still means.
            tracing::warn!(%error, segment = segment.0, "a segment cannot be cleaned");
        }
    }

    /// Finds the places that point into a segment from later ones: they would keep it.
    fn collect_elsewhere(&self, victim: SegmentId, collector: &mut Collector<'_>) {
        let pins = self.catalog.segments.get(&victim);
        let mut missing = pins.map_or(0, |pins| pins.bodies);
        let later = self
            .log
            .segments()
            .into_iter()
            .filter(|segment| segment.id > victim);
        for segment in later.take(SEARCHED_MAX) {
            if missing == 0 {
                return;
            }
            self.visit(segment.id, |location, record| {
                if let Record::Enqueue {
                    target, message, ..
                } = record
                    && message.location.segment == victim
                    && collector.meet(location.segment, target)
                {
                    missing = missing.saturating_sub(1);
                }
            });
        }
    }

    /// Hands the messages to the commit thread, a few at a time.
    fn write_again(&self, wanted: BTreeMap<Lsn, Wanted>) -> Result<(), CheckpointError> {
        let mut reader = self.log.reader();
        let mut moves = Vec::new();
        let mut bytes = 0;
        for (origin, wanted) in wanted {
            let read = reader.read(wanted.location).ok();
            let message = read.and_then(|payload| record::message(payload).ok());
            // One that cannot be read is reported when it is delivered; its segment stays.
            let Some((_, message)) = message else {
                continue;
            };
            bytes += Message::encoded(&message).len();
            moves.push(Move {
                origin,
                message,
                targets: wanted.targets,
            });
            if bytes >= MOVE_BYTES {
                self.hand_over(std::mem::take(&mut moves))?;
                bytes = 0;
            }
        }
        self.hand_over(moves)
    }

    fn hand_over(&self, moves: Vec<Move>) -> Result<(), CheckpointError> {
        if moves.is_empty() {
            return Ok(());
        }
        self.shared.moves.lock().extend(moves);
        // An operation without content, so that the commit thread takes a turn.
        let ticket: Ticket = self
            .log
            .submit(&mut vec![Operation::Transaction(Vec::new())]);
        let waited = self.log.wait_durable(ticket, PATIENCE);
        // Those that could not be written are collected again by the next round.
        self.shared.moves.lock().clear();
        match waited {
            Ok(()) | Err(leveret_log::WaitError::Timeout) => Ok(()),
            Err(leveret_log::WaitError::Failed(error)) => Err(error.into()),
        }
    }
}
