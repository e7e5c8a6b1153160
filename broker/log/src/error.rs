//! What can go wrong, with the facts.

use std::{io, path::PathBuf, sync::Arc};

use crate::id::{Location, Lsn, SegmentId};

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file operation failed.
    #[error("cannot {operation} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Somebody else has the log open.
    #[error("{path} is held by another process", path = path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// A later release wrote this log.
    #[error(
        "{path} has log format {found}, this release reads formats up to {supported}",
        path = path.display()
    )]
    NewerFormat {
        /// The first such segment.
        path: PathBuf,
        /// Its format.
        found: u16,
        /// The newest format known here.
        supported: u16,
    },
    /// The numbers of segments, of 32 bits, are used up.
    #[error("no segment number is left")]
    SegmentsExhausted,
    /// The commit thread could not be started.
    #[error("cannot start the commit thread: {source}")]
    Thread {
        /// Why not.
        source: io::Error,
    },
    /// The first group could not be written.
    #[error("cannot write the first group: {0}")]
    FirstGroup(#[from] CommitError),
}

/// Why operations were not, or never will be, made durable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// No segment could be allocated. Nothing was written; later turns may succeed.
    #[error("no space for a segment of {bytes} bytes: {source}")]
    NoSpace {
        /// The length that was wanted.
        bytes: u64,
        /// What the disk said.
        source: Arc<io::Error>,
    },
    /// A turn's records are more than a segment can address. Nothing was written.
    #[error("the records of one turn take more than 2 GiB")]
    TooLarge,
    /// A write or a sync failed, or the author panicked. Final: nothing is durable any more until
    /// the log is opened again.
    #[error("the log has failed: {reason}")]
    Poisoned {
        /// The first failure.
        reason: Arc<str>,
    },
    /// A record was to be made durable that has not been written.
    #[error("record {lsn} is not written, {last} was the last")]
    NotWritten {
        /// The record that was asked for.
        lsn: Lsn,
        /// The last record that is durable.
        last: Lsn,
    },
    /// The log was shut down before the operation was written.
    #[error("the log is closed")]
    Closed,
}

/// Why waiting ended without durability.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WaitError {
    /// The operation, or one submitted with it, failed.
    #[error(transparent)]
    Failed(#[from] CommitError),
    /// The time was up first.
    #[error("not durable in time")]
    Timeout,
}

/// Why a payload could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The segment was freed, or never was.
    #[error("segment {0} is not in the log")]
    NoSegment(SegmentId),
    /// What lies there is not the record that was written.
    #[error("the record at {0} is damaged")]
    Damaged(Location),
    /// The disk failed.
    #[error("cannot read the record at {location}: {source}")]
    Io {
        /// What was to be read.
        location: Location,
        /// Why it failed.
        source: io::Error,
    },
}
