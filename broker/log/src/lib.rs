//! A segment log with group commit: records in, durability out, replay at open, space reclaimed.
//!
//! ```text
//!   owner: submit(operations) ──► queue ──► commit thread, turn by turn ──► owner
//!                                             author.compose   records of the turn, one group
//!                                             one write        segments, fallocate()d, recycled
//!                                             author.written   where each record lies
//!                                             one sync         the mode may leave it out
//!                                             author.settled   durable, or failed
//! ```
//!
//! The log knows nothing of what its records mean. Its owner gives it an [`Author`], which turns
//! operations into records on the commit thread, and a [`Replay`], which takes the records back when
//! the log is [opened](Log::open). What the owner keeps elsewhere (an index, say) it tells the log
//! in [checkpoints](Log::checkpoint), which free the segments that nothing needs any more.
//!
//! What holds whatever happens:
//! - An operation is announced as durable only after a sync that covers it, in the mode
//!   [`Durability::Commit`]. After a failed write or sync nothing is announced any more.
//! - What one turn wrote is a group: after a crash it is there as a whole, or not at all.
//! - What is replayed was written, unchanged, in the order of [`Lsn`]s; none is used twice.
//! - What had been durable and is no more is reported as [`Damage`], with its range; what may have
//!   been is reported as [`Cut`]. Neither keeps the log from opening.
//!
//! `docs/disk-format.md` draws what lies on disk; `segment.rs`, `group.rs` and `record.rs` have the
//! same drawings. `judge.rs` tells a torn write from damage. [`simulated`] has a disk that loses
//! power, for the tests of this crate and of its owners.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//!
//! use leveret_log::{
//!     Author, Group, Location, Log, Lsn, Options, Replay, TurnOutcome, Written,
//!     simulated::SimulatedDisk,
//! };
//!
//! struct Lines;
//!
//! impl Author for Lines {
//!     type Operation = String;
//!
//!     fn operation_bytes(line: &String) -> usize {
//!         line.len()
//!     }
//!
//!     fn compose(&mut self, turn: Vec<String>, group: &mut Group) {
//!         for line in turn {
//!             group.record(0x10, 0, &[line.as_bytes()]);
//!         }
//!     }
//!
//!     fn written(&mut self, _: &Written<'_>) {}
//!
//!     fn settled(&mut self, _: &TurnOutcome) {}
//! }
//!
//! #[derive(Default)]
//! struct Found(Vec<String>);
//!
//! impl Replay for Found {
//!     fn from(&self) -> Lsn {
//!         Lsn::NONE
//!     }
//!
//!     fn record(&mut self, _: Lsn, _: Location, _kind: u8, _flags: u8, payload: &[u8]) {
//!         self.0.push(String::from_utf8_lossy(payload).into_owned());
//!     }
//! }
//!
//! let disk = Arc::new(SimulatedDisk::new());
//! let options = Options::new("lines");
//! let (log, _) =
//!     Log::open(disk.clone(), options.clone(), |_: &mut Found| Lines, &mut Found::default())?;
//! let last = log.submit(&mut vec!["one".to_owned(), "two".to_owned()]);
//! log.wait_durable(last, Duration::from_secs(5))?;
//! log.shutdown();
//!
//! let mut found = Found::default();
//! let (_, report) = Log::open(disk, options, |_: &mut Found| Lines, &mut found)?;
//! assert_eq!(found.0, ["one", "two"]);
//! assert!(report.clean);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
mod window;
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
