//! The header of a record.
//!
//! ```text
//!   0 length of the payload    u32
//!   4 checksum                 u32    of the segment's seed, of the other fields, of the payload
//!   8 kind                     u8
//!   9 flags                    u8
//!  10 lowest bits of the LSN   u16
//!  12 payload
//! ```
//!
//! The bits of the LSN let a reader of a damaged group say which record it is looking at.

use crate::{
    bytes::{Fields, Seed},
    id::Lsn,
};

pub(crate) const HEADER_BYTES: usize = 12;

/// Kinds below this one are the log's own.
pub const FIRST_OWNER_KIND: u8 = 0x10;

/// The list of segments that remain, and the owner's epoch.
pub(crate) const CHECKPOINT: u8 = 0x01;
/// Ends a recovery: carries the numbers that the log goes on with.
pub(crate) const OPENING: u8 = 0x02;
/// Ends a clean shutdown.
pub(crate) const CLOSING: u8 = 0x03;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) length: u32,
    pub(crate) checksum: u32,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) lsn_bits: u16,
}

impl RecordHeader {
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        Some(Self {
            length: fields.u32()?,
            checksum: fields.u32()?,
            kind: fields.byte()?,
            flags: fields.byte()?,
            lsn_bits: fields.u16()?,
        })
    }
}

/// The lowest bits of an LSN, as a record carries them.
pub(crate) fn lsn_bits(lsn: Lsn) -> u16 {
    (lsn.0 & 0xffff) as u16
}

/// Writes the checksum into a record that is otherwise complete.
pub(crate) fn seal(record: &mut [u8], seed: Seed) {
    let checksum = checksum(record, seed);
    record[4..8].copy_from_slice(&checksum.to_le_bytes());
}

fn checksum(record: &[u8], seed: Seed) -> u32 {
    seed.checksum_of(&record[..4], &record[8..])
}

/// The record that begins with `bytes`, if one does and its checksum holds.
pub(crate) fn read(bytes: &[u8], seed: Seed) -> Option<(RecordHeader, &[u8])> {
    let header = RecordHeader::decode(bytes)?;
    let record = bytes.get(..HEADER_BYTES.checked_add(header.length as usize)?)?;
    (checksum(record, seed) == header.checksum).then(|| (header, &record[HEADER_BYTES..]))
}
