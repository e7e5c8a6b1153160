//! The header of a segment file.
//!
//! A segment is a file of fixed length. Its first 4096 bytes hold the header twice, at 0 and at
//! 2048, so that one bad sector does not cost the segment; groups follow from 4096 on, without
//! gaps, each at a multiple of 8, and after the last one stand 64 zero bytes.
//!
//! ```text
//!   0 magic "LVRTLOG\n"                 u64
//!   8 version                           u16    16 segment id                u32
//!  10 zero                              u16    20 id of the segment before  u32
//!  12 checksum of all other fields      u32    24 seed, random              u64
//!  32 length of the file                u64    40 number of its first group u64
//!  48 LSN of its first record           u64    56 last group before it      u64
//!  64 LSN after the last record before  u64    72 checksum of that group    u32
//!  76 end of that group in its segment  u32    80 highest LSN known durable u64
//!  88 clock, ms since 1970              u64    96 bytes in all
//! ```
//!
//! "Before" is what the chain of groups is hung up on: usually the last group of the segment with
//! the id before; after a recovery the last group that was found good. All of it is 0 in the first
//! segment. The header is durable under a temporary name before the file gets its own, so a file
//! `0000000042.seg` never has a header that was torn while it was made.

use crate::{
    bytes::{Fields, Seed},
    id::{Lsn, SegmentId},
};

/// Where the first group of every segment stands.
pub(crate) const GROUPS_START: u32 = 4096;
/// Where the header stands, twice.
pub(crate) const HEADER_COPIES: [usize; 2] = [0, 2048];
/// The format that this code writes, and the newest that it reads.
pub const FORMAT_VERSION: u16 = 1;

const HEADER_BYTES: usize = 96;
const MAGIC: u64 = u64::from_le_bytes(*b"LVRTLOG\n");

/// The last group of the chain so far: where the next one is hung up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) segment: SegmentId,
    /// Where it ends in its segment.
    pub(crate) end_offset: u32,
    pub(crate) group: u64,
    pub(crate) checksum: u32,
    /// The LSN after its last record.
    pub(crate) end_lsn: Lsn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) id: SegmentId,
    pub(crate) seed: Seed,
    pub(crate) capacity: u64,
    pub(crate) first_group: u64,
    pub(crate) first_lsn: Lsn,
    pub(crate) previous: Link,
    pub(crate) durable: Lsn,
    pub(crate) clock: u64,
}

/// What reading a header may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFound {
    /// Good; `copies` of the two were.
    Good {
        header: SegmentHeader,
        copies: usize,
    },
    /// Written by a later format.
    Newer(u16),
    /// Neither copy holds.
    Bad,
}

impl SegmentHeader {
    /// The header page, followed by the zeroes that end an empty list of groups.
    pub(crate) fn page(&self) -> Vec<u8> {
        let mut page = vec![0; GROUPS_START as usize + crate::group::HEADER_BYTES];
        let header = self.encode();
        for copy in HEADER_COPIES {
            page[copy..copy + HEADER_BYTES].copy_from_slice(&header);
        }
        page
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, &MAGIC.to_le_bytes());
        put(8, &FORMAT_VERSION.to_le_bytes());
        put(16, &self.id.0.to_le_bytes());
        put(20, &self.previous.segment.0.to_le_bytes());
        put(24, &self.seed.bits.to_le_bytes());
        put(32, &self.capacity.to_le_bytes());
        put(40, &self.first_group.to_le_bytes());
        put(48, &self.first_lsn.0.to_le_bytes());
        put(56, &self.previous.group.to_le_bytes());
        put(64, &self.previous.end_lsn.0.to_le_bytes());
        put(72, &self.previous.checksum.to_le_bytes());
        put(76, &self.previous.end_offset.to_le_bytes());
        put(80, &self.durable.0.to_le_bytes());
        put(88, &self.clock.to_le_bytes());
        let checksum = checksum(&bytes);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the header page of the file that bears this id in its name.
    pub(crate) fn find(page: &[u8], id: SegmentId) -> HeaderFound {
        let mut copies = 0;
        let mut good = None;
        for copy in HEADER_COPIES {
            match page.get(copy..copy + HEADER_BYTES).and_then(Self::decode) {
                Some(Ok(header)) if header.id == id => {
                    copies += 1;
                    good = good.or(Some(header));
                }
                Some(Err(version)) => return HeaderFound::Newer(version),
                _ => {}
            }
        }
        good.map_or(HeaderFound::Bad, |header| HeaderFound::Good {
            header,
            copies,
        })
    }

    fn decode(bytes: &[u8]) -> Option<Result<Self, u16>> {
        let mut fields = Fields(bytes);
        if fields.u64()? != MAGIC {
            return None;
        }
        let version = fields.u16()?;
        fields.u16()?;
        // The place of the checksum, and what it covers, are the same in every format.
        if fields.u32()? != checksum(bytes) {
            return None;
        }
        if version > FORMAT_VERSION {
            return Some(Err(version));
        }
        let id = SegmentId(fields.u32()?);
        let mut previous = Link {
            segment: SegmentId(fields.u32()?),
            ..Link::default()
        };
        let seed = Seed::new(fields.u64()?);
        let capacity = fields.u64()?;
        let first_group = fields.u64()?;
        let first_lsn = Lsn(fields.u64()?);
        previous.group = fields.u64()?;
        previous.end_lsn = Lsn(fields.u64()?);
        previous.checksum = fields.u32()?;
        previous.end_offset = fields.u32()?;
        let durable = Lsn(fields.u64()?);
        let clock = fields.u64()?;
        Some(Ok(Self {
            id,
            seed,
            capacity,
            first_group,
            first_lsn,
            previous,
            durable,
            clock,
        }))
    }
}

fn checksum(header: &[u8]) -> u32 {
    let start = crc32c::crc32c(&header[..12]);
    crc32c::crc32c_append(start, &header[16..HEADER_BYTES])
}

/// The name of a segment's file.
pub(crate) fn file_name(id: SegmentId) -> String {
    format!("{:010}.seg", id.0)
}

/// The id in the name of a segment's file; `None` for any other name.
pub(crate) fn id_of(name: &str) -> Option<SegmentId> {
    let digits = name.strip_suffix(".seg")?;
    let id = SegmentId(digits.parse().ok()?);
    (id.0 > 0 && file_name(id) == name).then_some(id)
}
