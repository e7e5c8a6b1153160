//! A segment log with group commit: records in, durability out, replay at open, space reclaimed.

mod author;
mod bytes;
mod chain;
mod checkpoint;
mod commit;
mod disk;
mod error;
mod group;
mod id;
mod judge;
mod log;
mod options;
mod progress;
mod queue;
mod read;
mod record;
mod recovery;
mod repair;
mod replay;
mod report;
mod restore;
mod salvage;
mod scan;
mod segment;
pub mod simulated;
mod spares;
mod survey;
mod table;
mod visit;
mod writer;

pub use self::{
    author::{Author, TurnOutcome, Written},
    checkpoint::{Checkpoint, CheckpointDone, CheckpointFound},
    disk::{Disk, DiskFile, DiskLock, RealDisk},
    error::{CommitError, OpenError, ReadError, WaitError},
    group::Group,
    id::{Location, Lsn, RecordIndex, SegmentId, Ticket},
    log::Log,
    options::{Durability, Options},
    progress::{Failure, Progress},
    read::Reader,
    record::FIRST_OWNER_KIND,
    recovery::inspect,
    replay::Replay,
    report::{Cut, Damage, DamageKind, Report},
    segment::FORMAT_VERSION,
    table::SegmentInfo,
    visit::VisitedRecord,
};
