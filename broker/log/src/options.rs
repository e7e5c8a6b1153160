//! How a log is to behave.

use std::{path::PathBuf, time::Duration};

/// When written operations are announced as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// After a sync that covers them. Survives loss of power.
    #[default]
    Commit,
    /// Once written; a sync follows within this time. **Loss of power may lose what was announced
    /// within the last interval**; death of the process loses nothing.
    Interval(Duration),
    /// Once written; the operating system syncs when it likes. **Loss of power may lose anything
    /// announced in the last half minute or so**; death of the process loses nothing.
    Os,
}

impl Durability {
    /// Whether what is announced as durable has been synced.
    #[must_use]
    pub fn survives_power_loss(self) -> bool {
        self == Self::Commit
    }
}

/// What [`Log::open`](crate::Log::open) needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of the segments; made if need be.
    pub directory: PathBuf,
    /// Where damaged bytes are copied to; made if need be.
    pub quarantine: PathBuf,
    /// When operations are announced as durable.
    pub durability: Durability,
    /// The length of the first segments, and of those of a log that holds little.
    pub segment_bytes_min: u32,
    /// Segments double up to this length.
    pub segment_bytes_max: u32,
    /// Freed segments that are kept to be written again.
    pub spares_max: usize,
    /// Operations that one turn takes at most.
    pub turn_operations_max: usize,
    /// Bytes, as the author estimates them, after which a turn takes no further operation.
    pub turn_bytes_max: usize,
    /// The name of the commit thread.
    pub thread_name: String,
}

impl Options {
    /// The defaults, for a log in this folder; its quarantine is a folder within.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        Self {
            quarantine: directory.join("quarantine"),
            directory,
            durability: Durability::Commit,
            segment_bytes_min: 1 << 20,
            segment_bytes_max: 64 << 20,
            spares_max: 2,
            turn_operations_max: 4096,
            turn_bytes_max: 4 << 20,
            thread_name: "log-commit".to_owned(),
        }
    }
}
