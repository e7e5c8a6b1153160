//! Small values of the state: what is known of a queue, of segments, of the last checkpoint.
//!
//! ```text
//! q    count | bytes | blocks | n | n x (level u8 | next position | lease + 1, 0 for none)
//! n    n | n x (segment within the group u8 | homes | bodies | bytes)
//! b    bits of the blocks that exist, up to the last one
//! d    JSON: version, entity
//! w    epoch
//! p    version | epoch | LSN | highest LSN seen | next queue id | number of d and q | their sum
//! ```

use std::collections::BTreeMap;

use leveret_log::{Lsn, SegmentId};
use serde::{Deserialize, Serialize};

use crate::model::Entity;

use super::codec::{Fields, Malformed, put_number};
use super::key::{CHUNK_BLOCKS, GROUP_SEGMENTS};
use super::ranges::RangeSet;

/// The version of the state that this code writes, and the newest that it reads.
pub(crate) const STATE_VERSION: u64 = 1;
const DEFINITION_VERSION: u32 = 1;

/// What a `q` value says about one level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LevelSummary {
    pub(crate) next_position: u64,
    pub(crate) lease: Option<u64>,
}

/// A `q` value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueSummary {
    /// Live messages in the index.
    pub(crate) count: u64,
    /// Bytes of their bodies.
    pub(crate) bytes: u64,
    /// Blocks in the index.
    pub(crate) blocks: u64,
    pub(crate) levels: BTreeMap<u8, LevelSummary>,
}

impl QueueSummary {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + self.levels.len() * 8);
        put_number(&mut bytes, self.count);
        put_number(&mut bytes, self.bytes);
        put_number(&mut bytes, self.blocks);
        put_number(&mut bytes, self.levels.len() as u64);
        for (level, summary) in &self.levels {
            bytes.push(*level);
            put_number(&mut bytes, summary.next_position);
            put_number(&mut bytes, summary.lease.map_or(0, |lease| lease + 1));
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields(bytes);
        let mut summary = Self {
            count: fields.number()?,
            bytes: fields.number()?,
            blocks: fields.number()?,
            levels: BTreeMap::new(),
        };
        for _ in 0..fields.count()? {
            let level = fields.byte()?;
            let next_position = fields.number()?;
            let lease = fields.number()?.checked_sub(1);
            let read = LevelSummary {
                next_position,
                lease,
            };
            summary.levels.insert(level, read);
        }
        fields.finish()?;
        Ok(summary)
    }
}

/// What of a segment is live, as far as the index knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pins {
    /// Messages whose record of enqueuing lies in it.
    pub(crate) homes: u64,
    /// Messages whose body lies in it, but not their record of enqueuing.
    pub(crate) bodies: u64,
    /// Bytes of the records of all these messages.
    pub(crate) bytes: u64,
}

impl Pins {
    pub(crate) fn is_empty(&self) -> bool {
        self.homes == 0 && self.bodies == 0
    }
}

/// The group that a segment belongs to.
pub(crate) fn group_of(segment: SegmentId) -> u32 {
    segment.0 / GROUP_SEGMENTS
}

/// Encodes an `n` value out of all segments' pins; `None` if nothing in the group is live.
pub(crate) fn encode_group(group: u32, pins: &BTreeMap<SegmentId, Pins>) -> Option<Vec<u8>> {
    let first = group.saturating_mul(GROUP_SEGMENTS);
    let last = first.saturating_add(GROUP_SEGMENTS - 1);
    let live: Vec<_> = pins
        .range(SegmentId(first)..=SegmentId(last))
        .filter(|(_, pins)| !pins.is_empty())
        .collect();
    if live.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(live.len() * 8);
    put_number(&mut bytes, live.len() as u64);
    for (segment, pins) in live {
        bytes.push((segment.0 - first) as u8);
        put_number(&mut bytes, pins.homes);
        put_number(&mut bytes, pins.bodies);
        put_number(&mut bytes, pins.bytes);
    }
    Some(bytes)
}

/// Decodes an `n` value.
pub(crate) fn decode_group(group: u32, bytes: &[u8]) -> Result<Vec<(SegmentId, Pins)>, Malformed> {
    let mut fields = Fields(bytes);
    let first = group.checked_mul(GROUP_SEGMENTS).ok_or(Malformed)?;
    let mut all = Vec::new();
    for _ in 0..fields.count()? {
        let segment = first
            .checked_add(u32::from(fields.byte()?))
            .ok_or(Malformed)?;
        let pins = Pins {
            homes: fields.number()?,
            bodies: fields.number()?,
            bytes: fields.number()?,
        };
        all.push((SegmentId(segment), pins));
    }
    fields.finish()?;
    Ok(all)
}

/// Encodes which blocks of a chunk exist; `None` if none does.
pub(crate) fn encode_chunk(chunk: u64, blocks: &RangeSet) -> Option<Vec<u8>> {
    let first = chunk.checked_mul(CHUNK_BLOCKS)?;
    let mut bytes = Vec::new();
    for (from, to) in blocks.within(first, first + (CHUNK_BLOCKS - 1)) {
        for block in from..=to {
            let bit = (block - first) as usize;
            bytes.resize(bit / 8 + 1, 0);
            bytes[bit / 8] |= 1 << (bit % 8);
        }
    }
    (!bytes.is_empty()).then_some(bytes)
}

/// Adds the blocks of a chunk to `blocks`.
pub(crate) fn decode_chunk(
    chunk: u64,
    bytes: &[u8],
    blocks: &mut RangeSet,
) -> Result<(), Malformed> {
    if bytes.len() as u64 > CHUNK_BLOCKS / 8 {
        return Err(Malformed);
    }
    let first = chunk.checked_mul(CHUNK_BLOCKS).ok_or(Malformed)?;
    first.checked_add(CHUNK_BLOCKS).ok_or(Malformed)?;
    for (index, byte) in bytes.iter().enumerate() {
        for bit in (0..8).filter(|bit| byte & (1 << bit) != 0) {
            let block = first + index as u64 * 8 + bit;
            blocks.insert(block, block);
        }
    }
    Ok(())
}

#[derive(Serialize, Deserialize)]
struct Definition {
    version: u32,
    entity: Entity,
}

/// Encodes a `d` value.
pub(crate) fn encode_definition(entity: Entity) -> Vec<u8> {
    let definition = Definition {
        version: DEFINITION_VERSION,
        entity,
    };
    // Definitions are strings, numbers and lists: nothing in them can fail to become JSON.
    serde_json::to_vec(&definition).unwrap_or_default()
}

/// Decodes a `d` value.
pub(crate) fn decode_definition(bytes: &[u8]) -> Result<Entity, Malformed> {
    let definition: Definition = serde_json::from_slice(bytes).map_err(|_| Malformed)?;
    Ok(definition.entity)
}

/// A `p` value: the last checkpoint that was completed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) epoch: u64,
    /// The state holds everything below this.
    pub(crate) below: Lsn,
    /// Nothing above this was ever seen.
    pub(crate) highest: Lsn,
    pub(crate) next_queue: u32,
    /// How many `d` and `q` values there are,
    pub(crate) values: u64,
    /// and the sum of their checksums.
    pub(crate) sum: u64,
}

impl Mark {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let numbers = [
            STATE_VERSION,
            self.epoch,
            self.below.0,
            self.highest.0,
            u64::from(self.next_queue),
            self.values,
            self.sum,
        ];
        for number in numbers {
            put_number(&mut bytes, number);
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields(bytes);
        if fields.number()? > STATE_VERSION {
            return Err(Malformed);
        }
        let mark = Self {
            epoch: fields.number()?,
            below: fields.lsn()?,
            highest: fields.lsn()?,
            next_queue: fields.small()?,
            values: fields.number()?,
            sum: fields.number()?,
        };
        fields.finish()?;
        Ok(mark)
    }
}

/// Encodes a `w` value.
pub(crate) fn encode_begun(epoch: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_number(&mut bytes, epoch);
    bytes
}

/// Decodes a `w` value.
pub(crate) fn decode_begun(bytes: &[u8]) -> Result<u64, Malformed> {
    let mut fields = Fields(bytes);
    let epoch = fields.number()?;
    fields.finish()?;
    Ok(epoch)
}

/// What a value adds to the sum of a mark.
pub(crate) fn digest(key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn summaries_come_back(
            count: u64,
            blocks: u64,
            levels: BTreeMap<u8, (u64, Option<u32>)>,
        ) {
            let levels = levels.into_iter().map(|(level, (next_position, lease))| {
                (level, LevelSummary { next_position, lease: lease.map(u64::from) })
            });
            let summary = QueueSummary { count, bytes: 7, blocks, levels: levels.collect() };
            prop_assert_eq!(QueueSummary::decode(&summary.encode()), Ok(summary));
        }

        #[test]
        fn chunks_come_back(blocks: std::collections::BTreeSet<u16>) {
            let mut set = RangeSet::default();
            for block in &blocks {
                set.insert(u64::from(*block), u64::from(*block));
            }
            let mut read = RangeSet::default();
            for chunk in 0..=u64::from(u16::MAX) / CHUNK_BLOCKS {
                if let Some(bytes) = encode_chunk(chunk, &set) {
                    decode_chunk(chunk, &bytes, &mut read).expect("it was just encoded");
                }
            }
            prop_assert_eq!(read, set);
        }

        #[test]
        fn pins_come_back(segments: BTreeMap<u16, (u64, u64)>) {
            let pins: BTreeMap<_, _> = segments
                .iter()
                .map(|(id, (homes, bodies))| {
                    let pins = Pins { homes: *homes, bodies: *bodies, bytes: 3 };
                    (SegmentId(u32::from(*id)), pins)
                })
                .filter(|(_, pins)| !pins.is_empty())
                .collect();
            let mut read = BTreeMap::new();
            for group in 0..=u32::from(u16::MAX) / GROUP_SEGMENTS {
                if let Some(bytes) = encode_group(group, &pins) {
                    read.extend(decode_group(group, &bytes).expect("it was just encoded"));
                }
            }
            prop_assert_eq!(read, pins);
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes: Vec<u8>) {
            let _ = QueueSummary::decode(&bytes);
            let _ = Mark::decode(&bytes);
            let _ = decode_group(1, &bytes);
            let _ = decode_chunk(1, &bytes, &mut RangeSet::default());
            let _ = decode_definition(&bytes);
        }
    }

    #[test]
    fn a_mark_comes_back_and_a_newer_one_is_refused() {
        let mark = Mark {
            epoch: 9,
            below: Lsn(1 << 40),
            sum: 77,
            ..Mark::default()
        };
        let mut bytes = mark.encode();
        assert_eq!(Mark::decode(&bytes), Ok(mark));
        bytes[0] += 1;
        assert_eq!(Mark::decode(&bytes), Err(Malformed));
    }
}
