//! Repairing blocks of the index that fail their check: the log gives them back.
//!
//! What the log still knows to be settled stays so; what only the block knew comes back, flagged
//! redelivered. The numbers that depended on the block are counted anew, and everything is written
//! in one batch.

use std::collections::{BTreeMap, BTreeSet};

use leveret_log::{Location, Log, Lsn, SegmentId};

use crate::model::{QueueId, Seq, SeqRange, Stored};

use super::BLOCK_POSITIONS;
use super::author::StoreAuthor;
use super::block::{self, IndexEntry};
use super::catalog::{Catalog, QueueCatalog};
use super::index::Block;
use super::key::{self, CHUNK_BLOCKS};
use super::record::{self, Record, Target};
use super::recovered::BlockEntry;
use super::report::ReportedDamage;
use super::state::{Change, State, StateError};
use super::summary::{Pins, encode_begun, encode_chunk, encode_group, group_of};

/// A block: queue, level, number.
type Place = (QueueId, u8, u64);

/// What counting all good blocks gave.
#[derive(Default)]
struct Census {
    pins: BTreeMap<SegmentId, Pins>,
    /// Messages and bytes by queue.
    held: BTreeMap<QueueId, (u64, u64)>,
    damaged: BTreeSet<Place>,
}

impl Census {
    fn count(&mut self, queue: QueueId, entry: &IndexEntry) {
        let held = self.held.entry(queue).or_default();
        held.0 += 1;
        held.1 += u64::from(entry.entry.bytes);
        let body = entry.entry.stored.location;
        self.pins.entry(entry.home).or_default().homes += 1;
        let pins = self.pins.entry(body.segment).or_default();
        pins.bodies += u64::from(body.segment != entry.home);
        pins.bytes += u64::from(body.length);
    }
}

/// Reads every block and repairs those that are damaged; says which. `epoch` is the number of the
/// checkpoint that comes next: it counts as begun. After an error the catalog is no longer true and
/// must be loaded again.
pub(crate) fn repair(
    log: &Log<StoreAuthor>,
    state: &State,
    catalog: &mut Catalog,
    epoch: u64,
) -> Result<Vec<ReportedDamage>, StateError> {
    let mut census = take_census(state, catalog)?;
    if census.damaged.is_empty() {
        return Ok(Vec::new());
    }
    let found = search(log, &census.damaged, catalog.mark.below);
    let mut changes = vec![(vec![key::BEGUN], Some(encode_begun(epoch)))];
    let mut reports = Vec::new();
    let damaged = std::mem::take(&mut census.damaged);
    for place in &damaged {
        let entries: Vec<IndexEntry> = found.get(place).into_iter().flatten().copied().collect();
        for entry in &entries {
            census.count(place.0, entry);
        }
        reports.push(report(*place, entries.len()));
        changes.extend(rewrite(*place, &entries, catalog));
    }
    changes.extend(numbers(&damaged, census, catalog));
    state.apply(&changes)?;
    Ok(reports)
}

fn take_census(state: &State, catalog: &Catalog) -> Result<Census, StateError> {
    let mut census = Census::default();
    for (queue, held) in &catalog.queues {
        census.held.entry(*queue).or_default();
        for (level, held) in &held.levels {
            for number in held.blocks.iter().flat_map(|(first, last)| first..=last) {
                match Block::read(state, *queue, *level, number) {
                    Ok(Some(block)) => {
                        for entry in block.live() {
                            census.count(*queue, entry);
                        }
                    }
                    Ok(None) | Err(StateError::Damaged(_)) => {
                        census.damaged.insert((*queue, *level, number));
                    }
                    Err(error @ StateError::Failed(_)) => return Err(error),
                }
            }
        }
    }
    Ok(census)
}

/// What the log holds of some blocks, settled messages left out.
#[derive(Debug)]
struct Search<'a> {
    wanted: &'a BTreeSet<Place>,
    segments: BTreeSet<SegmentId>,
    entries: BTreeMap<Place, BTreeMap<Seq, IndexEntry>>,
}

impl Search<'_> {
    fn enqueue(&mut self, target: Target, stored: Stored, bytes: u32, home: SegmentId) {
        let seq = target.seq;
        let place = (target.queue, seq.level(), seq.position() / BLOCK_POSITIONS);
        // A body in a segment that was freed was settled.
        let is_there = self.segments.contains(&stored.location.segment);
        if !is_there || !self.wanted.contains(&place) {
            return;
        }
        let entry = BlockEntry {
            seq,
            stored,
            bytes,
            deadline_ms: target.deadline_ms,
            redelivered: true,
        };
        let entries = self.entries.entry(place).or_default();
        entries.insert(seq, IndexEntry { entry, home });
    }

    fn settle(&mut self, queue: QueueId, range: SeqRange) {
        for ((_, level, _), entries) in self
            .entries
            .range_mut((queue, 0, 0)..=(queue, u8::MAX, u64::MAX))
        {
            if *level == range.first.level() {
                entries.retain(|seq, _| *seq < range.first || *seq > range.last);
            }
        }
    }

    fn record(&mut self, lsn: Lsn, location: Location, record: Record) {
        match record {
            Record::Message {
                origin,
                body_bytes,
                targets,
            } => {
                let lsn = origin.unwrap_or(lsn);
                for target in targets {
                    let stored = Stored { lsn, location };
                    self.enqueue(target, stored, body_bytes, location.segment);
                }
            }
            Record::Enqueue {
                target,
                message,
                body_bytes,
            } => self.enqueue(target, message, body_bytes, location.segment),
            Record::Settle { queue, ranges } => {
                for range in ranges {
                    self.settle(queue, range);
                }
            }
            Record::Requeue { .. } | Record::Delivered { .. } | Record::Entity { .. } => {}
        }
    }
}

fn search(
    log: &Log<StoreAuthor>,
    wanted: &BTreeSet<Place>,
    below: Lsn,
) -> BTreeMap<Place, Vec<IndexEntry>> {
    let segments = log.segments();
    let mut search = Search {
        wanted,
        segments: segments.iter().map(|segment| segment.id).collect(),
        entries: BTreeMap::new(),
    };
    for segment in segments {
        let visited = log.visit(segment.id, |found| {
            if found.lsn < below
                && let Ok(Some(record)) = record::decode(found.kind, found.payload)
            {
                search.record(found.lsn, found.location, record);
            }
        });
        if let Err(error) = visited {
            tracing::error!(%error, segment = segment.id.0, "a segment cannot be read");
        }
    }
    let found = search.entries.into_iter();
    found
        .map(|(place, entries)| (place, entries.into_values().collect()))
        .collect()
}

fn report((queue, level, number): Place, entries: usize) -> ReportedDamage {
    ReportedDamage {
        what: format!("block {number} of level {level} of queue {}", queue.0),
        reason: "it is missing, or its checksum fails".to_owned(),
        consequence: format!(
            "the log gave {entries} messages back, all flagged redelivered; some may have been \
             settled"
        ),
        quarantined: None,
    }
}

/// The changes that write a block anew.
fn rewrite(place: Place, entries: &[IndexEntry], catalog: &mut Catalog) -> Vec<Change> {
    let (queue, level, number) = place;
    let of = |kind| key::of_block(kind, queue, level, number);
    let mut changes = vec![(of(key::SETTLED), None)];
    if !entries.is_empty() {
        changes.push((of(key::BLOCK), Some(block::encode(level, number, entries))));
        return changes;
    }
    changes.push((of(key::BLOCK), None));
    if catalog.counts.remove(&place).is_some() {
        changes.push((of(key::COUNTS), None));
    }
    let held = catalog.queues.entry(queue).or_default();
    held.blocks = held.blocks.saturating_sub(1);
    held.level(level).blocks.remove(number);
    changes
}

/// The changes that set all numbers right.
fn numbers(damaged: &BTreeSet<Place>, census: Census, catalog: &mut Catalog) -> Vec<Change> {
    let mut changes = Vec::new();
    let chunks: BTreeSet<_> = damaged
        .iter()
        .map(|(queue, level, number)| (*queue, *level, number / CHUNK_BLOCKS))
        .collect();
    for (queue, level, chunk) in chunks {
        let held: &mut QueueCatalog = catalog.queues.entry(queue).or_default();
        let value = encode_chunk(chunk, &held.level(level).blocks);
        changes.push((key::of_block(key::CHUNK, queue, level, chunk), value));
    }
    for (queue, (count, bytes)) in census.held {
        let held = catalog.queues.entry(queue).or_default();
        if (held.count, held.bytes) == (count, bytes)
            && damaged.iter().all(|(other, _, _)| *other != queue)
        {
            continue;
        }
        (held.count, held.bytes) = (count, bytes);
        let value = held.summary().encode();
        let key = key::of_queue(key::QUEUE, queue);
        catalog.note_queue(queue, Some(&value));
        changes.push((key, Some(value)));
    }
    let groups = catalog.segments.keys().chain(census.pins.keys());
    let groups: BTreeSet<u32> = groups.map(|segment| group_of(*segment)).collect();
    catalog.segments = census.pins;
    for group in groups {
        let value = encode_group(group, &catalog.segments);
        changes.push((key::of_segments(group), value));
    }
    changes
}
