//! What can go wrong with a store.

use std::io;
use std::path::PathBuf;

use crate::model::{QueueId, Seq};

/// Why a store cannot be opened, verified or copied.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another broker, or this one, has the folder open.
    #[error("{} is in use by another broker", .0.display())]
    InUse(PathBuf),
    /// The folder was written by a newer version.
    #[error("{} has format {found}, and this version reads up to {supported}", .path.display())]
    Newer {
        /// The folder.
        path: PathBuf,
        /// The format that it has.
        found: u32,
        /// The newest format that can be read.
        supported: u32,
    },
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The log cannot be opened.
    #[error("the log cannot be opened: {0}")]
    Log(String),
    /// The state cannot be read or written.
    #[error("the state in {} fails: {reason}", .path.display())]
    State {
        /// Its folder.
        path: PathBuf,
        /// What failed.
        reason: String,
    },
    /// A backup's destination holds something.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// The store keeps nothing on disk, so that there is nothing to copy.
    #[error("nothing is kept on disk")]
    NothingOnDisk,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// A failed file operation.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.into(),
            source,
        }
    }
}

/// Why a message or a block cannot be read back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Neither the given place nor the index knows the message: it was settled.
    #[error("queue {} holds nothing at {}", .queue.0, .seq.0)]
    Gone {
        /// The queue.
        queue: QueueId,
        /// The place.
        seq: Seq,
    },
    /// What was read failed its check.
    #[error("{what} of queue {} is damaged", .queue.0)]
    Damaged {
        /// The queue.
        queue: QueueId,
        /// What was read.
        what: String,
    },
    /// It could not be read.
    #[error("reading back failed: {0}")]
    Io(String),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}
