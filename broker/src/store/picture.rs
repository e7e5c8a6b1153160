//! What queues are told after opening: the catalog and the first delta, put together.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Entity, EntityChange, QueueId, Seq, SeqRange};

use super::BLOCK_POSITIONS;
use super::catalog::{Catalog, DefinitionKey, LevelCatalog, Place, definition};
use super::delta::{Delta, LevelDelta};
use super::index::Block;
use super::ranges::RangeSet;
use super::recovered::{BlockRange, DeliveryCount, RecoveredLevel, RecoveredQueue};
use super::report::ReportedDamage;
use super::state::{State, StateError};

/// Puts the picture together.
pub(crate) struct Picture<'a> {
    pub(crate) state: Option<&'a State>,
    pub(crate) catalog: &'a Catalog,
    pub(crate) delta: &'a Delta,
    pub(crate) rebuilt: bool,
    pub(crate) damage: Vec<ReportedDamage>,
}

impl Picture<'_> {
    /// All definitions as they stand now, in an order in which they can be applied.
    pub(crate) fn definitions(&mut self) -> Vec<Entity> {
        let mut changed: BTreeMap<DefinitionKey, Option<Entity>> = BTreeMap::new();
        for change in &self.delta.entities {
            match change {
                EntityChange::Put(entity) => {
                    changed.insert(DefinitionKey::of(&entity.key()), Some(entity.clone()));
                }
                EntityChange::Remove(key) => {
                    changed.insert(DefinitionKey::of(key), None);
                }
            }
        }
        let mut definitions = Vec::with_capacity(self.catalog.definitions.len());
        for named in self.catalog.definitions.keys() {
            if !changed.contains_key(named) {
                definitions.extend(self.definition(*named));
            }
        }
        definitions.extend(changed.into_values().flatten());
        definitions.sort_by_key(Place::of);
        definitions
    }

    fn definition(&mut self, named: DefinitionKey) -> Option<Entity> {
        let read = definition(self.state?, named);
        let failed = |error: StateError| {
            self.damage.push(ReportedDamage {
                what: "a definition".to_owned(),
                reason: error.to_string(),
                consequence: "it is not there until the state is rebuilt".to_owned(),
                quarantined: None,
            });
        };
        read.map_err(failed).ok()
    }

    /// The queues of those that `definitions` names in which there was ever anything.
    pub(crate) fn queues(&mut self, definitions: &[Entity]) -> Vec<RecoveredQueue> {
        let mut queues = Vec::new();
        for entity in definitions {
            if let Some(queue) = entity.queue()
                && (self.catalog.queues.contains_key(&queue)
                    || self.delta.queues.contains_key(&queue))
            {
                queues.push(self.queue(queue));
            }
        }
        queues.sort_by_key(|queue: &RecoveredQueue| queue.id);
        queues
    }

    fn queue(&mut self, id: QueueId) -> RecoveredQueue {
        let mut queue = RecoveredQueue {
            id,
            levels: Vec::new(),
            ready_count: 0,
            ready_bytes: 0,
            delivery_counts: Vec::new(),
            all_redelivered: self.rebuilt,
        };
        // A queue that was removed and declared again has another number.
        let held = self.catalog.queues.get(&id);
        if let Some(held) = held {
            queue.ready_count = held.count;
            queue.ready_bytes = held.bytes;
        }
        let empty = LevelCatalog::default();
        let nothing = LevelDelta::default();
        let mut levels: BTreeMap<u8, (&LevelCatalog, &LevelDelta)> = BTreeMap::new();
        for (level, held) in held.into_iter().flat_map(|held| &held.levels) {
            levels.insert(*level, (held, &nothing));
        }
        for (level, changed) in self.delta.queues.get(&id).into_iter().flatten() {
            levels.entry(*level).or_insert((&empty, &nothing)).1 = changed;
        }
        for (level, (held, changed)) in levels {
            self.level(&mut queue, level, held, changed);
        }
        queue
    }

    fn level(
        &mut self,
        queue: &mut RecoveredQueue,
        level: u8,
        held: &LevelCatalog,
        changed: &LevelDelta,
    ) {
        // After an interrupted checkpoint the index may hold what the log gives again.
        let known = self.known(queue, level, held, changed);
        let entries: Vec<_> = changed
            .live()
            .map(|entry| entry.entry)
            .filter(|entry| !known.contains(&entry.seq.position()))
            .collect();
        queue.ready_count += entries.len() as u64;
        queue.ready_bytes += entries
            .iter()
            .map(|entry| u64::from(entry.bytes))
            .sum::<u64>();
        self.counts(queue, level, changed);
        let next_position = held.summary.next_position.max(changed.next_position);
        let mut lease = changed.lease.or(held.summary.lease);
        if self.rebuilt {
            lease = next_position.checked_sub(1);
        }
        queue.levels.push(RecoveredLevel {
            level,
            next_position,
            lease: lease.map(|position| Seq::new(level, position)),
            blocks: held
                .blocks
                .iter()
                .map(|(first, last)| BlockRange { first, last })
                .collect(),
            settled_since: settled_since(level, &held.blocks, &changed.settled),
            entries,
        });
    }

    /// Takes what was settled since out of the queue's numbers; gives the positions of messages that
    /// both the index and the delta hold.
    fn known(
        &mut self,
        queue: &mut RecoveredQueue,
        level: u8,
        held: &LevelCatalog,
        changed: &LevelDelta,
    ) -> BTreeSet<u64> {
        let mut known = BTreeSet::new();
        for number in touched(&held.blocks, changed) {
            let read = self
                .state
                .map(|state| Block::read(state, queue.id, level, number));
            let block = match read {
                Some(Ok(Some(block))) => block,
                Some(Ok(None)) | None => Block::default(),
                Some(Err(error)) => {
                    self.damage.push(ReportedDamage {
                        what: format!("block {number} of level {level} of queue {}", queue.id.0),
                        reason: error.to_string(),
                        consequence: "it is restored from the log".to_owned(),
                        quarantined: None,
                    });
                    continue;
                }
            };
            let arrived = changed.blocks.get(&number).map_or(&[][..], Vec::as_slice);
            let has_arrived = |seq| arrived.binary_search_by_key(&seq, |e| e.entry.seq).is_ok();
            for entry in block.live() {
                let seq = entry.entry.seq;
                if changed.settled.contains(seq.position()) {
                    queue.ready_count = queue.ready_count.saturating_sub(1);
                    let bytes = u64::from(entry.entry.bytes);
                    queue.ready_bytes = queue.ready_bytes.saturating_sub(bytes);
                } else if has_arrived(seq) {
                    known.insert(seq.position());
                }
            }
        }
        known
    }

    fn counts(&self, queue: &mut RecoveredQueue, level: u8, changed: &LevelDelta) {
        let first = (queue.id, level, 0);
        let last = (queue.id, level, u64::MAX);
        let held = self.catalog.counts.range(first..=last);
        let held = held.flat_map(|(_, counts)| counts.iter().copied());
        let mut counts: BTreeMap<u64, u32> = held.collect();
        counts.extend(&changed.counts);
        for (position, count) in counts {
            if count > 0 && !changed.settled.contains(position) {
                let seq = Seq::new(level, position);
                queue.delivery_counts.push(DeliveryCount { seq, count });
            }
        }
    }
}

/// The existing blocks that a delta says something about.
fn touched(blocks: &RangeSet, changed: &LevelDelta) -> BTreeSet<u64> {
    let mut touched = BTreeSet::new();
    for (first, last) in changed.settled.iter() {
        let within = blocks.within(first / BLOCK_POSITIONS, last / BLOCK_POSITIONS);
        touched.extend(within.flat_map(|(first, last)| first..=last));
    }
    let arrived = changed.blocks.keys().copied();
    touched.extend(arrived.filter(|number| blocks.contains(*number)));
    touched
}

/// The settled places that lie in existing blocks.
fn settled_since(level: u8, blocks: &RangeSet, settled: &RangeSet) -> Vec<SeqRange> {
    let mut all = Vec::new();
    for (first, last) in blocks.iter() {
        let first = first * BLOCK_POSITIONS;
        let last = last * BLOCK_POSITIONS + (BLOCK_POSITIONS - 1);
        all.extend(settled.within(first, last).map(|(first, last)| SeqRange {
            first: Seq::new(level, first),
            last: Seq::new(level, last),
        }));
    }
    all
}
