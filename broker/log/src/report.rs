//! What opening or inspecting a log found.

use std::{path::PathBuf, time::Duration};

use crate::{
    checkpoint::CheckpointFound,
    id::{Lsn, SegmentId},
};

/// What was found, and what was done about it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Segments that are part of the log, those that did not have to be read included.
    pub segments: usize,
    /// Good groups in the segments that were read.
    pub groups: u64,
    /// Records handed to the replay.
    pub records: u64,
    /// Bytes of the segments that were read.
    pub bytes: u64,
    /// Torn tails that were cut. Each is a possible loss: a torn write cannot be told from damage
    /// to the very last group.
    pub cut: Vec<Cut>,
    /// Damage to what had been durable.
    pub damage: Vec<Damage>,
    /// The last checkpoint that counts.
    pub checkpoint: Option<CheckpointFound>,
    /// The last good record.
    pub last_lsn: Lsn,
    /// When the last good group was written, in milliseconds since 1970.
    pub last_clock: u64,
    /// Whether the log ends as a clean shutdown leaves it.
    pub clean: bool,
    /// How long it took.
    pub duration: Duration,
}

impl Report {
    /// How long it took, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.duration.as_secs_f64()
    }
}

/// The end of the log that was cut: it had never been announced as durable, unless it was damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The segment in which the cut lies.
    pub segment: SegmentId,
    /// Where in it.
    pub offset: u32,
    /// The first record behind the cut.
    pub first_lsn: Lsn,
    /// The last record that could be recognized behind it.
    pub last_lsn: Option<Lsn>,
    /// Whole groups behind it, good in themselves.
    pub groups: u64,
    /// Where what could be recognized was copied to.
    pub quarantined: Option<PathBuf>,
}

/// What is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// One of a segment's two headers; nothing is lost.
    HeaderCopy,
    /// Both of them, and with them the segment.
    Header,
    /// Groups.
    Groups,
    /// A segment's file is gone.
    MissingSegment,
    /// The log ends before what it, or its owner's index, knows to have been durable.
    MissingEnd,
    /// The disk could not read parts of a segment; what was in them is reported on its own.
    Unreadable,
}

/// Damage to what had been durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What is damaged.
    pub kind: DamageKind,
    /// In which segment.
    pub segment: SegmentId,
    /// Where in it.
    pub offset: u32,
    /// How many bytes from there.
    pub bytes: u32,
    /// The first record that may be lost.
    pub first_lsn: Lsn,
    /// The last one; below the first if none is.
    pub last_lsn: Lsn,
    /// How many of them are good in themselves, and were kept.
    pub kept: u64,
    /// Where the damaged bytes were copied to.
    pub quarantined: Option<PathBuf>,
}
