//! The numbers that the log gives out: for records, operations, segments and places.

use std::fmt;

/// A log sequence number: the logical number of a record, never given out twice in the life of a
/// log. Numbers grow with the order of writing but may skip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Below every record.
    pub const NONE: Self = Self(0);

    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number before this one; [`Lsn::NONE`] has itself before it.
    #[must_use]
    pub fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The number `count` further on.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

/// The number of a submitted operation, from 1 in each process, in order of submission.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The number of a segment file, never given out twice in the life of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub u32);

impl fmt::Display for Lsn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Where a record's payload lies. Twelve bytes, so that millions of them can be held in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The segment that holds it.
    pub segment: SegmentId,
    /// The payload's first byte within the segment.
    pub offset: u32,
    /// The payload's bytes.
    pub length: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}:{}+{}",
            self.segment, self.offset, self.length
        )
    }
}

/// The place of a record within the group being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordIndex(pub(crate) u32);

impl RecordIndex {
    /// Counted from 0.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

// Owners hold one for each message that they have.
const _: () = assert!(size_of::<Location>() == 12);
