//! A group: what one turn of the commit thread writes, all of it or nothing.
//!
//! ```text
//!   0 the segment's seed         u64    so that a search finds groups behind a damaged one
//!   8 checksum of the header     u32    of the seed and of all the fields below
//!  12 checksum of the group before, wherever it lies      u32
//!  16 length, header included    u32    a multiple of 8, padded with zeroes
//!  20 number of records          u32
//!  24 checksum of the records    u32    of the seed and of all records' headers, which in turn
//!  28 zero                       u32    carry their payloads' checksums
//!  32 number of the group        u64
//!  40 LSN of its first record    u64
//!  48 highest LSN known durable when it was written       u64
//!  56 clock, ms since 1970       u64
//!  64 records
//! ```

use crate::{
    bytes::{Fields, Seed},
    id::{Lsn, RecordIndex},
    record,
};

pub(crate) const HEADER_BYTES: usize = 64;
/// A group is addressed with 32 bits.
const LENGTH_MAX: usize = 1 << 31;
/// A buffer that one huge turn has made larger than this is let go of.
const BUFFER_KEPT: usize = 16 << 20;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GroupHeader {
    pub(crate) checksum: u32,
    pub(crate) previous: u32,
    pub(crate) length: u32,
    pub(crate) records: u32,
    pub(crate) body: u32,
    pub(crate) number: u64,
    pub(crate) first_lsn: Lsn,
    pub(crate) durable: Lsn,
    pub(crate) clock: u64,
}

impl GroupHeader {
    /// The LSN after the last record.
    pub(crate) fn end_lsn(&self) -> Lsn {
        self.first_lsn.plus(u64::from(self.records))
    }

    fn encode(&self, seed: Seed) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &seed.bits.to_le_bytes());
        put(12, &self.previous.to_le_bytes());
        put(16, &self.length.to_le_bytes());
        put(20, &self.records.to_le_bytes());
        put(24, &self.body.to_le_bytes());
        put(32, &self.number.to_le_bytes());
        put(40, &self.first_lsn.0.to_le_bytes());
        put(48, &self.durable.0.to_le_bytes());
        put(56, &self.clock.to_le_bytes());
        let checksum = seed.checksum(&bytes[12..]);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header that begins with `bytes`, if one does and its checksum holds.
    pub(crate) fn decode(bytes: &[u8], seed: Seed) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let mut fields = Fields(bytes);
        if fields.u64()? != seed.bits || fields.u32()? != seed.checksum(&bytes[12..]) {
            return None;
        }
        let checksum = Fields(&bytes[8..]).u32()?;
        let (previous, length, records, body) =
            (fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?);
        fields.u32()?;
        let number = fields.u64()?;
        let (first_lsn, durable) = (Lsn(fields.u64()?), Lsn(fields.u64()?));
        let clock = fields.u64()?;
        let room = (length as usize).checked_sub(HEADER_BYTES)? / record::HEADER_BYTES;
        let sound = length % 8 == 0
            && records as usize <= room
            && first_lsn.0.checked_add(u64::from(records)).is_some();
        sound.then_some(Self {
            checksum,
            previous,
            length,
            records,
            body,
            number,
            first_lsn,
            durable,
            clock,
        })
    }
}

/// Where a record's payload lies within its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

/// Takes the records of one turn.
#[derive(Debug)]
pub struct Group {
    buffer: Vec<u8>,
    seed: Seed,
    first_lsn: Lsn,
    places: Vec<Place>,
    body: u32,
    sync: bool,
    overflow: bool,
}

impl Group {
    pub(crate) fn new() -> Self {
        let seed = Seed::new(0);
        Self {
            buffer: Vec::new(),
            seed,
            first_lsn: Lsn::NONE,
            places: Vec::new(),
            body: 0,
            sync: false,
            overflow: false,
        }
    }

    /// Empties it for the next turn; `seed` is that of the segment which will probably take it.
    pub(crate) fn begin(&mut self, first_lsn: Lsn, seed: Seed) {
        self.buffer.clear();
        if self.buffer.capacity() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
        self.buffer.resize(HEADER_BYTES, 0);
        self.seed = seed;
        self.first_lsn = first_lsn;
        self.places.clear();
        self.body = seed.checksum(&[]);
        self.sync = false;
        self.overflow = false;
    }

    /// Adds a record whose payload is `parts`, one after the other.
    ///
    /// # Panics
    /// If `kind` is one of the log's own, below [`FIRST_OWNER_KIND`](crate::FIRST_OWNER_KIND).
    pub fn record(&mut self, kind: u8, flags: u8, parts: &[&[u8]]) -> RecordIndex {
        assert!(
            kind >= record::FIRST_OWNER_KIND,
            "record kind {kind} is the log's own"
        );
        self.add(kind, flags, parts)
    }

    pub(crate) fn add(&mut self, kind: u8, flags: u8, parts: &[&[u8]]) -> RecordIndex {
        let index = RecordIndex(self.places.len() as u32);
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if self.overflow || length > LENGTH_MAX || self.buffer.len() + length > LENGTH_MAX {
            // The turn fails as a whole; until then indexes and LSNs stay what they seem to be.
            self.overflow = true;
            self.places.push(Place {
                offset: 0,
                length: 0,
            });
            return index;
        }
        let start = self.buffer.len();
        let bits = record::lsn_bits(self.lsn(index)).to_le_bytes();
        self.buffer
            .extend_from_slice(&(length as u32).to_le_bytes());
        self.buffer
            .extend_from_slice(&[0, 0, 0, 0, kind, flags, bits[0], bits[1]]);
        for part in parts {
            self.buffer.extend_from_slice(part);
        }
        let place = Place {
            offset: (start + record::HEADER_BYTES) as u32,
            length: length as u32,
        };
        self.places.push(place);
        self.seal(place);
        index
    }

    /// The number that a record of this group has.
    #[must_use]
    pub fn lsn(&self, index: RecordIndex) -> Lsn {
        self.first_lsn.plus(u64::from(index.0))
    }

    /// Asks for a sync before this turn is announced, whatever the log's [`Durability`].
    ///
    /// [`Durability`]: crate::Durability
    pub fn require_sync(&mut self) {
        self.sync = true;
    }

    /// How many records it has.
    #[must_use]
    pub fn records(&self) -> usize {
        self.places.len()
    }

    /// Bytes that it will take in the log.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buffer.len().next_multiple_of(8)
    }

    pub(crate) fn sync_required(&self) -> bool {
        self.sync
    }

    pub(crate) fn overflowed(&self) -> bool {
        self.overflow
    }

    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    pub(crate) fn first_lsn(&self) -> Lsn {
        self.first_lsn
    }

    fn seal(&mut self, place: Place) {
        let start = place.offset as usize - record::HEADER_BYTES;
        let end = place.offset as usize + place.length as usize;
        let record = &mut self.buffer[start..end];
        record::seal(record, self.seed);
        self.body = crc32c::crc32c_append(self.body, &record[..record::HEADER_BYTES]);
    }

    /// The group went to another segment than was thought when it was begun.
    pub(crate) fn reseal(&mut self, seed: Seed) {
        if seed == self.seed {
            return;
        }
        self.seed = seed;
        self.body = seed.checksum(&[]);
        for index in 0..self.places.len() {
            self.seal(self.places[index]);
        }
    }

    /// Completes the header with what the chain knows, and gives all that is to be written: the
    /// group and the zeroes behind it.
    pub(crate) fn finish(&mut self, chain: GroupHeader) -> (GroupHeader, &[u8]) {
        let length = self.bytes();
        let mut header = GroupHeader {
            length: length as u32,
            records: self.places.len() as u32,
            body: self.body,
            first_lsn: self.first_lsn,
            ..chain
        };
        let encoded = header.encode(self.seed);
        header.checksum = Fields(&encoded[8..]).u32().unwrap_or_default();
        self.buffer[..HEADER_BYTES].copy_from_slice(&encoded);
        self.buffer.resize(length + HEADER_BYTES, 0);
        (header, &self.buffer)
    }
}
