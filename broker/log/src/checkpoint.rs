//! The CHECKPOINT record: what the owner's index holds, and which segments remain.
//!
//! ```text
//!   0 epoch                        u64
//!   8 LSN below which the owner's index holds everything       u64
//!  16 the segment that was being written      u32
//!  20 number of segments that remain          u32
//!  24 length of the owner's payload           u32
//!  28 for each segment that remains, 44 bytes:
//!       id u32 | end of its last group u32 | first group u64 | last group u64
//!       | first LSN u64 | LSN after the last record u64 | checksum of the last group u32
//!     the owner's payload
//! ```

use crate::{
    bytes::Fields,
    id::{Lsn, SegmentId},
};

/// What the owner asks to be written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The owner's number of this checkpoint.
    pub epoch: u64,
    /// The owner's index holds everything below this LSN, durably.
    pub below: Lsn,
    /// Whatever the owner wants back when the log is opened.
    pub payload: Vec<u8>,
}

/// What a checkpoint did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointDone {
    /// The checkpoint's own record.
    pub lsn: Lsn,
    /// The segments that remain.
    pub kept: Vec<SegmentId>,
    /// The segments that were freed.
    pub freed: Vec<SegmentId>,
}

/// The last checkpoint, as found when a log is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointFound {
    /// The checkpoint's own record.
    pub lsn: Lsn,
    /// The owner's number of it.
    pub epoch: u64,
    /// The owner's index held everything below this LSN.
    pub below: Lsn,
    /// What the owner had written into it.
    pub payload: Vec<u8>,
}

/// What a segment holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) segment: SegmentId,
    /// Where the next group would begin.
    pub(crate) end_offset: u32,
    pub(crate) first_group: u64,
    /// 0 while there is none.
    pub(crate) last_group: u64,
    pub(crate) first_lsn: Lsn,
    /// The LSN after the last record; the first LSN while there is none.
    pub(crate) end_lsn: Lsn,
    pub(crate) last_checksum: u32,
}

/// The whole record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CheckpointRecord {
    pub(crate) checkpoint: Checkpoint,
    /// Segments above this one are newer than the list.
    pub(crate) newest: SegmentId,
    /// In order of their ids.
    pub(crate) kept: Vec<Extent>,
}

const EXTENT_BYTES: usize = 44;

impl CheckpointRecord {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let owner = &self.checkpoint.payload;
        let mut bytes = Vec::with_capacity(28 + self.kept.len() * EXTENT_BYTES + owner.len());
        bytes.extend_from_slice(&self.checkpoint.epoch.to_le_bytes());
        bytes.extend_from_slice(&self.checkpoint.below.0.to_le_bytes());
        bytes.extend_from_slice(&self.newest.0.to_le_bytes());
        bytes.extend_from_slice(&(self.kept.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(owner.len() as u32).to_le_bytes());
        for extent in &self.kept {
            bytes.extend_from_slice(&extent.segment.0.to_le_bytes());
            bytes.extend_from_slice(&extent.end_offset.to_le_bytes());
            bytes.extend_from_slice(&extent.first_group.to_le_bytes());
            bytes.extend_from_slice(&extent.last_group.to_le_bytes());
            bytes.extend_from_slice(&extent.first_lsn.0.to_le_bytes());
            bytes.extend_from_slice(&extent.end_lsn.0.to_le_bytes());
            bytes.extend_from_slice(&extent.last_checksum.to_le_bytes());
        }
        bytes.extend_from_slice(owner);
        bytes
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut fields = Fields(payload);
        let epoch = fields.u64()?;
        let below = Lsn(fields.u64()?);
        let newest = SegmentId(fields.u32()?);
        let count = fields.u32()? as usize;
        let owner = fields.u32()? as usize;
        let mut list = Fields(fields.bytes(count.checked_mul(EXTENT_BYTES)?)?);
        let mut kept = Vec::with_capacity(count);
        for _ in 0..count {
            kept.push(Extent {
                segment: SegmentId(list.u32()?),
                end_offset: list.u32()?,
                first_group: list.u64()?,
                last_group: list.u64()?,
                first_lsn: Lsn(list.u64()?),
                end_lsn: Lsn(list.u64()?),
                last_checksum: list.u32()?,
            });
        }
        kept.sort_unstable_by_key(|extent: &Extent| extent.segment);
        let payload = fields.bytes(owner)?.to_vec();
        Some(Self {
            checkpoint: Checkpoint {
                epoch,
                below,
                payload,
            },
            newest,
            kept,
        })
    }

    /// Whether the list says that this segment was freed.
    pub(crate) fn freed(&self, id: SegmentId) -> bool {
        id <= self.newest && self.extent(id).is_none()
    }

    pub(crate) fn extent(&self, id: SegmentId) -> Option<&Extent> {
        let found = self
            .kept
            .binary_search_by_key(&id, |extent| extent.segment)
            .ok()?;
        self.kept.get(found)
    }
}
