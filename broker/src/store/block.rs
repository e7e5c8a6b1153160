//! Blocks of the index: up to [`BLOCK_POSITIONS`] messages of one level, and which of them have
//! been settled since.
//!
//! ```text
//! block    n | n x entry
//! entry    flags u8 | what the flags do not say is as before:
//!          position | LSN | segment | offset | length | length without body | deadline | home
//! bitmap   64 bytes, a bit per position
//! counts   n | n x (position, delivery count)
//! ```
//!
//! Each field is the difference from the entry before, and most flags say that it is the usual
//! one, so an entry takes about three bytes. The home is the segment of the record that enqueued
//! the message, where that is not the segment of its body.

use leveret_log::{Location, Lsn, SegmentId};

use crate::model::{Seq, Stored};

use super::codec::{Fields, Malformed, put_difference, put_number};
use super::{BLOCK_POSITIONS, BlockEntry};

/// A message in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) entry: BlockEntry,
    /// The segment of the record that put the message into this queue.
    pub(crate) home: SegmentId,
}

mod flag {
    pub(super) const REDELIVERED: u8 = 0x01;
    pub(super) const HOME_ELSEWHERE: u8 = 0x02;
    pub(super) const NEXT_POSITION: u8 = 0x04;
    pub(super) const NEXT_LSN: u8 = 0x08;
    pub(super) const SAME_SEGMENT: u8 = 0x10;
    pub(super) const SAME_LENGTH: u8 = 0x20;
    pub(super) const SAME_HEAD: u8 = 0x40;
    pub(super) const SAME_DEADLINE: u8 = 0x80;
}

/// What an entry is compared with.
#[derive(Clone, Copy)]
struct Previous {
    position: u64,
    lsn: u64,
    segment: u64,
    end: u64,
    length: u64,
    head: u64,
    deadline: u64,
}

impl Previous {
    const fn before(level: u8, block: u64) -> Self {
        Self {
            position: Seq::new(level, block.wrapping_mul(BLOCK_POSITIONS))
                .0
                .wrapping_sub(1),
            lsn: 0,
            segment: 0,
            end: 0,
            length: 0,
            head: 0,
            deadline: 0,
        }
    }

    fn of(entry: &BlockEntry) -> Self {
        let location = entry.stored.location;
        Self {
            position: entry.seq.0,
            lsn: entry.stored.lsn.0,
            segment: u64::from(location.segment.0),
            end: u64::from(location.offset) + u64::from(location.length),
            length: u64::from(location.length),
            head: u64::from(location.length).wrapping_sub(u64::from(entry.bytes)),
            deadline: entry.deadline_ms,
        }
    }
}

/// Encodes the entries of a block, which must be in ascending order.
pub(crate) fn encode(level: u8, block: u64, entries: &[IndexEntry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + entries.len() * 6);
    put_number(&mut bytes, entries.len() as u64);
    let mut before = Previous::before(level, block);
    for entry in entries {
        put_entry(&mut bytes, &before, entry);
        before = Previous::of(&entry.entry);
    }
    bytes
}

fn put_entry(bytes: &mut Vec<u8>, before: &Previous, indexed: &IndexEntry) {
    let entry = &indexed.entry;
    let now = Previous::of(entry);
    let home_elsewhere = indexed.home != entry.stored.location.segment;
    let flags = [
        (flag::REDELIVERED, entry.redelivered),
        (flag::HOME_ELSEWHERE, home_elsewhere),
        (
            flag::NEXT_POSITION,
            now.position == before.position.wrapping_add(1),
        ),
        (flag::NEXT_LSN, now.lsn == before.lsn.wrapping_add(1)),
        (flag::SAME_SEGMENT, now.segment == before.segment),
        (flag::SAME_LENGTH, now.length == before.length),
        (flag::SAME_HEAD, now.head == before.head),
        (flag::SAME_DEADLINE, now.deadline == before.deadline),
    ];
    let flags = flags
        .iter()
        .filter(|(_, set)| *set)
        .fold(0, |all, (bit, _)| all | bit);
    bytes.push(flags);
    let mut field = |usual: u8, from: u64, to: u64| {
        if flags & usual == 0 {
            put_difference(bytes, from, to);
        }
    };
    field(flag::NEXT_POSITION, before.position, now.position);
    field(flag::NEXT_LSN, before.lsn, now.lsn);
    field(flag::SAME_SEGMENT, before.segment, now.segment);
    field(0, before.end, u64::from(entry.stored.location.offset));
    field(flag::SAME_LENGTH, before.length, now.length);
    field(flag::SAME_HEAD, before.head, now.head);
    field(flag::SAME_DEADLINE, before.deadline, now.deadline);
    if home_elsewhere {
        put_difference(bytes, now.segment, u64::from(indexed.home.0));
    }
}

/// Decodes a block.
pub(crate) fn decode(level: u8, block: u64, bytes: &[u8]) -> Result<Vec<IndexEntry>, Malformed> {
    let mut fields = Fields(bytes);
    let count = fields.count()?;
    if count as u64 > BLOCK_POSITIONS {
        return Err(Malformed);
    }
    let mut entries: Vec<IndexEntry> = Vec::with_capacity(count);
    let mut before = Previous::before(level, block);
    for _ in 0..count {
        let entry = read_entry(&mut fields, &before)?;
        let seq = entry.entry.seq;
        let ascends = entries.last().is_none_or(|last| last.entry.seq < seq);
        if !ascends || seq.level() != level || seq.position() / BLOCK_POSITIONS != block {
            return Err(Malformed);
        }
        before = Previous::of(&entry.entry);
        entries.push(entry);
    }
    fields.finish()?;
    Ok(entries)
}

fn read_entry(fields: &mut Fields<'_>, before: &Previous) -> Result<IndexEntry, Malformed> {
    let flags = fields.byte()?;
    let mut field = |usual: u8, from: u64, otherwise: u64| {
        if flags & usual == 0 {
            fields.difference(from)
        } else {
            Ok(otherwise)
        }
    };
    let position = field(
        flag::NEXT_POSITION,
        before.position,
        before.position.wrapping_add(1),
    )?;
    let lsn = field(flag::NEXT_LSN, before.lsn, before.lsn.wrapping_add(1))?;
    let segment = small(field(flag::SAME_SEGMENT, before.segment, before.segment)?)?;
    let offset = small(field(0, before.end, 0)?)?;
    let length = small(field(flag::SAME_LENGTH, before.length, before.length)?)?;
    let head = field(flag::SAME_HEAD, before.head, before.head)?;
    let deadline_ms = field(flag::SAME_DEADLINE, before.deadline, before.deadline)?;
    let home = if flags & flag::HOME_ELSEWHERE == 0 {
        segment
    } else {
        small(fields.difference(u64::from(segment))?)?
    };
    Ok(IndexEntry {
        entry: BlockEntry {
            seq: Seq(position),
            stored: Stored {
                lsn: Lsn(lsn),
                location: Location {
                    segment: SegmentId(segment),
                    offset,
                    length,
                },
            },
            bytes: small(u64::from(length).wrapping_sub(head))?,
            deadline_ms,
            redelivered: flags & flag::REDELIVERED != 0,
        },
        home: SegmentId(home),
    })
}

fn small(number: u64) -> Result<u32, Malformed> {
    u32::try_from(number).map_err(|_| Malformed)
}

/// Which positions of a block are settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bitmap([u64; Self::WORDS]);

impl Bitmap {
    const WORDS: usize = BLOCK_POSITIONS as usize / 64;

    pub(crate) fn insert(&mut self, position: u64) {
        let bit = (position % BLOCK_POSITIONS) as usize;
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    pub(crate) fn contains(&self, position: u64) -> bool {
        let bit = (position % BLOCK_POSITIONS) as usize;
        self.0[bit / 64] & (1 << (bit % 64)) != 0
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() != Self::WORDS * 8 {
            return Err(Malformed);
        }
        let mut words = [0; Self::WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
        }
        Ok(Self(words))
    }
}

/// Encodes the delivery counts of a block, in ascending order of position.
pub(crate) fn encode_counts(counts: &[(u64, u32)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 + counts.len() * 3);
    put_number(&mut bytes, counts.len() as u64);
    for (position, count) in counts {
        put_number(&mut bytes, position % BLOCK_POSITIONS);
        put_number(&mut bytes, u64::from(*count));
    }
    bytes
}

/// Decodes the delivery counts of a block.
pub(crate) fn decode_counts(block: u64, bytes: &[u8]) -> Result<Vec<(u64, u32)>, Malformed> {
    let mut fields = Fields(bytes);
    let first = block.checked_mul(BLOCK_POSITIONS).ok_or(Malformed)?;
    let mut counts = Vec::new();
    for _ in 0..fields.count()? {
        let within = fields.number()?;
        if within >= BLOCK_POSITIONS {
            return Err(Malformed);
        }
        counts.push((first.checked_add(within).ok_or(Malformed)?, fields.small()?));
    }
    fields.finish()?;
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(position: u64, random: [u64; 3]) -> IndexEntry {
        let [a, b, c] = random;
        let length = (a >> 32) as u32;
        let segment = SegmentId(b as u32);
        IndexEntry {
            entry: BlockEntry {
                seq: Seq::new(4, position),
                stored: Stored {
                    lsn: Lsn(a),
                    location: Location {
                        segment,
                        offset: (b >> 32) as u32,
                        length,
                    },
                },
                bytes: (c as u32).min(length),
                deadline_ms: if c & 1 == 0 { 0 } else { c },
                redelivered: c & 2 == 0,
            },
            home: if c & 4 == 0 {
                segment
            } else {
                SegmentId(a as u32)
            },
        }
    }

    fn usual(count: u64) -> Vec<IndexEntry> {
        let entries = (0..count).map(|index| {
            let mut made = entry(3 * BLOCK_POSITIONS + index, [0; 3]);
            made.entry.redelivered = false;
            made.entry.stored.lsn = Lsn(900 + index);
            made.entry.stored.location.offset = 5000 + 300 * index as u32;
            made.entry.stored.location.length = 288;
            made.entry.bytes = 256;
            made
        });
        entries.collect()
    }

    proptest! {
        #[test]
        fn any_entries_come_back(
            places in proptest::collection::btree_set(0..BLOCK_POSITIONS, 0..40),
            random: Vec<[u64; 3]>,
            block in 0_u64..1 << 40,
        ) {
            let entries: Vec<_> = places
                .iter()
                .zip(random)
                .map(|(place, random)| entry(block * BLOCK_POSITIONS + place, random))
                .collect();
            let bytes = encode(4, block, &entries);
            prop_assert_eq!(decode(4, block, &bytes), Ok(entries));
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes: Vec<u8>) {
            let _ = decode(0, 0, &bytes);
            let _ = decode_counts(0, &bytes);
            let _ = Bitmap::decode(&bytes);
        }
    }

    #[test]
    fn an_entry_of_an_even_stream_takes_three_bytes() {
        let entries = usual(BLOCK_POSITIONS);
        let bytes = encode(4, 3, &entries);
        assert!(bytes.len() < 512 * 3 + 32, "{}", bytes.len());
        assert_eq!(decode(4, 3, &bytes), Ok(entries));
    }

    #[test]
    fn a_block_under_another_number_is_refused() {
        let bytes = encode(4, 3, &usual(2)[1..]);
        let moved = decode(4, 4, &bytes);
        let other_level = decode(5, 3, &bytes);
        // Positions are relative to the block, so the content is legal there; the checksum that
        // covers the key is what tells them apart. What must not happen is a foreign place.
        for decoded in [moved, other_level].into_iter().flatten() {
            assert!(
                decoded
                    .iter()
                    .all(|entry| entry.entry.seq != Seq::new(4, 1537))
            );
        }
    }

    #[test]
    fn delivery_counts_come_back() {
        let counts = vec![(1536, 1), (1540, 700), (2047, 3)];
        assert_eq!(decode_counts(3, &encode_counts(&counts)), Ok(counts));
    }

    #[test]
    fn a_bitmap_holds_the_positions_of_its_block() {
        let mut bitmap = Bitmap::default();
        bitmap.insert(3 * BLOCK_POSITIONS + 511);
        let bitmap = Bitmap::decode(&bitmap.encode()).expect("it was just encoded");
        assert!(bitmap.contains(3 * BLOCK_POSITIONS + 511) && !bitmap.contains(3 * 512));
    }
}
