//! The picture in memory of what the state holds: everything but the blocks themselves.

use std::collections::{BTreeMap, BTreeSet};

use leveret_log::SegmentId;
use sha2::{Digest, Sha256};

use crate::model::{Entity, EntityKey, QueueId};

use super::block::decode_counts;
use super::key;
use super::ranges::RangeSet;
use super::state::{State, StateError};
use super::summary::{
    self, LevelSummary, Mark, Pins, QueueSummary, decode_begun, decode_chunk, decode_definition,
    decode_group,
};

/// One level of a queue in the index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LevelCatalog {
    pub(crate) summary: LevelSummary,
    /// The blocks that exist.
    pub(crate) blocks: RangeSet,
}

/// A queue in the index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueCatalog {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    pub(crate) blocks: u64,
    pub(crate) levels: BTreeMap<u8, LevelCatalog>,
}

impl QueueCatalog {
    /// The `q` value that says so.
    pub(crate) fn summary(&self) -> QueueSummary {
        let levels = self.levels.iter();
        QueueSummary {
            count: self.count,
            bytes: self.bytes,
            blocks: self.blocks,
            levels: levels.map(|(level, held)| (*level, held.summary)).collect(),
        }
    }

    pub(crate) fn level(&mut self, level: u8) -> &mut LevelCatalog {
        self.levels.entry(level).or_default()
    }
}

/// Everything that the state holds, but for the blocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) mark: Mark,
    pub(crate) queues: BTreeMap<QueueId, QueueCatalog>,
    pub(crate) definitions: BTreeMap<DefinitionKey, Defined>,
    pub(crate) segments: BTreeMap<SegmentId, Pins>,
    /// Delivery counts above 0, by position, of the blocks that have any.
    pub(crate) counts: BTreeMap<(QueueId, u8, u64), Vec<(u64, u32)>>,
    /// The checksums of all `q` values.
    queue_digests: BTreeMap<QueueId, u32>,
}

/// What names a definition: the hash of its entity's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DefinitionKey([u8; 16]);

impl DefinitionKey {
    /// The key of an entity.
    pub(crate) fn of(entity: &EntityKey) -> Self {
        // Keys are strings and numbers: nothing in them can fail to become JSON.
        let named = serde_json::to_vec(entity).unwrap_or_default();
        let hash = Sha256::digest(&named);
        let mut short = [0; 16];
        short.copy_from_slice(&hash[..16]);
        Self(short)
    }

    /// The key that the state has for it.
    pub(crate) fn in_state(self) -> Vec<u8> {
        key::of_definition(self.0)
    }

    fn read(found: &[u8]) -> Option<Self> {
        let hash = found.get(1..)?.try_into().ok()?;
        Some(Self(hash))
    }
}

/// A definition in the state. It is not kept here itself: there may be many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defined {
    pub(crate) place: Place,
    /// The checksum of its `d` value.
    pub(crate) digest: u32,
}

/// Where a definition stands in an order in which all can be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    rank: u8,
    /// A queue's number.
    queue: Option<QueueId>,
}

impl Place {
    /// The place of an entity.
    pub(crate) fn of(entity: &Entity) -> Self {
        let rank = match entity {
            Entity::VirtualHost { .. } => 0,
            Entity::Policy { .. } | Entity::Parameter { .. } | Entity::GlobalParameter { .. } => 1,
            Entity::Exchange { .. } => 2,
            Entity::Queue { .. } | Entity::Delay { .. } => 3,
            Entity::Binding { .. } => 4,
            Entity::User { .. } => 5,
            Entity::Permission { .. } | Entity::TopicPermission { .. } => 6,
        };
        let queue = entity.queue();
        Self { rank, queue }
    }
}

/// Why a state cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("{0}")]
    State(#[from] StateError),
    #[error("the value of key {0:02x?} does not decode")]
    Malformed(Vec<u8>),
    #[error("it never saw a checkpoint, and the log did")]
    Empty,
    #[error("it is of checkpoint {found}, and the log of checkpoint {expected}: it went back")]
    Older { found: u64, expected: u64 },
    #[error("{0}")]
    Disagrees(String),
}

impl Catalog {
    /// Reads everything but the blocks and verifies that it belongs together. `None` for a state
    /// that is new.
    pub(crate) fn load(state: &State) -> Result<Option<Self>, Unusable> {
        let mut catalog = Self::default();
        let begun = state.get(&[key::BEGUN])?;
        let done = state.get(&[key::DONE])?;
        let epoch = match &begun {
            Some(bytes) => decode_begun(bytes).map_err(|_| malformed(&[key::BEGUN]))?,
            None if done.is_none() => return Ok(None),
            None => return Err(Unusable::Disagrees("a checkpoint ended, none began".into())),
        };
        if let Some(bytes) = done {
            catalog.mark = Mark::decode(&bytes).map_err(|_| malformed(&[key::DONE]))?;
        }
        let interrupted = epoch > catalog.mark.epoch;
        catalog.load_definitions(state)?;
        catalog.load_queues(state)?;
        catalog.load_chunks(state)?;
        catalog.load_segments(state)?;
        catalog.load_counts(state)?;
        catalog.verify(interrupted)?;
        Ok(Some(catalog))
    }

    fn load_definitions(&mut self, state: &State) -> Result<(), Unusable> {
        scan(state, key::DEFINITION, |found, value| {
            let place = Place::of(&decode_definition(value).ok()?);
            let digest = summary::digest(found, value);
            let defined = Defined { place, digest };
            self.definitions
                .insert(DefinitionKey::read(found)?, defined);
            Some(())
        })
    }

    /// The keys of all definitions, in an order in which these can be applied.
    pub(crate) fn ordered(&self) -> Vec<DefinitionKey> {
        let known = self.definitions.iter();
        let mut all: Vec<_> = known.map(|(key, defined)| (defined.place, *key)).collect();
        all.sort_unstable();
        all.into_iter().map(|(_, key)| key).collect()
    }

    fn load_queues(&mut self, state: &State) -> Result<(), Unusable> {
        scan(state, key::QUEUE, |found, value| {
            let queue = key::queue(found)?;
            let read = QueueSummary::decode(value).ok()?;
            let levels = read.levels.into_iter().map(|(level, summary)| {
                let held = LevelCatalog {
                    summary,
                    blocks: RangeSet::default(),
                };
                (level, held)
            });
            let catalog = QueueCatalog {
                count: read.count,
                bytes: read.bytes,
                blocks: read.blocks,
                levels: levels.collect(),
            };
            self.queue_digests
                .insert(queue, summary::digest(found, value));
            self.queues.insert(queue, catalog);
            Some(())
        })
    }

    fn load_chunks(&mut self, state: &State) -> Result<(), Unusable> {
        scan(state, key::CHUNK, |found, value| {
            let (queue, level, chunk) = key::block(found)?;
            let level = self.queues.get_mut(&queue)?.levels.get_mut(&level)?;
            decode_chunk(chunk, value, &mut level.blocks).ok()
        })
    }

    fn load_segments(&mut self, state: &State) -> Result<(), Unusable> {
        scan(state, key::SEGMENTS, |found, value| {
            let group = key::segments(found)?;
            self.segments.extend(decode_group(group, value).ok()?);
            Some(())
        })
    }

    fn load_counts(&mut self, state: &State) -> Result<(), Unusable> {
        scan(state, key::COUNTS, |found, value| {
            let place = key::block(found)?;
            self.counts
                .insert(place, decode_counts(place.2, value).ok()?);
            Some(())
        })
    }

    fn verify(&self, interrupted: bool) -> Result<(), Unusable> {
        for (queue, held) in &self.queues {
            let blocks: u64 = held.levels.values().map(|level| level.blocks.count()).sum();
            if blocks != held.blocks {
                let text = format!(
                    "queue {} has {blocks} blocks and should have {}",
                    queue.0, held.blocks
                );
                return Err(Unusable::Disagrees(text));
            }
        }
        let (values, sum) = self.sum();
        let mark = &self.mark;
        if !interrupted && (values, sum) != (mark.values, mark.sum) {
            let text = format!(
                "it has {values} definitions and queues of sum {sum:x}, the checkpoint had {} of \
                 sum {:x}",
                mark.values, mark.sum
            );
            return Err(Unusable::Disagrees(text));
        }
        Ok(())
    }

    /// Number and sum of the checksums of all `d` and `q` values.
    pub(crate) fn sum(&self) -> (u64, u64) {
        let definitions = self.definitions.values().map(|defined| defined.digest);
        let sum = definitions
            .chain(self.queue_digests.values().copied())
            .fold(0_u64, |sum, digest| sum.wrapping_add(u64::from(digest)));
        let values = self.definitions.len() + self.queue_digests.len();
        (values as u64, sum)
    }

    /// Notes that a queue's `q` value was written, or removed.
    pub(crate) fn note_queue(&mut self, queue: QueueId, value: Option<&[u8]>) {
        let key = key::of_queue(key::QUEUE, queue);
        match value {
            Some(value) => self
                .queue_digests
                .insert(queue, summary::digest(&key, value)),
            None => self.queue_digests.remove(&queue),
        };
    }

    /// The queues that are defined.
    pub(crate) fn defined_queues(&self) -> BTreeSet<QueueId> {
        self.definitions
            .values()
            .filter_map(|defined| defined.place.queue)
            .collect()
    }
}

/// Reads a definition that the state should have.
pub(crate) fn definition(state: &State, named: DefinitionKey) -> Result<Entity, StateError> {
    let key = named.in_state();
    let value = state.get(&key)?;
    value
        .and_then(|value| decode_definition(&value).ok())
        .ok_or(StateError::Damaged(key))
}

fn malformed(key: &[u8]) -> Unusable {
    Unusable::Malformed(key.to_vec())
}

/// Reads all values of a kind; `each` answers `None` for one that it cannot read.
fn scan(
    state: &State,
    kind: u8,
    mut each: impl FnMut(&[u8], &[u8]) -> Option<()>,
) -> Result<(), Unusable> {
    let mut bad = None;
    state.scan(&[kind], |found, value| {
        let read = value.and_then(|value| each(found, &value));
        if read.is_none() {
            bad.get_or_insert_with(|| found.to_vec());
        }
    })?;
    bad.map_or(Ok(()), |found| Err(Unusable::Malformed(found)))
}
