//! What the store's threads tell the checkpoint thread.

use std::path::PathBuf;
use std::sync::mpsc;

use super::error::StoreError;

/// What the checkpoint thread is told.
pub(crate) enum Signal {
    /// There is something to bring into the state.
    Activity,
    /// It should be done now.
    Checkpoint,
    /// Copy everything to this folder.
    Backup(PathBuf, mpsc::SyncSender<Result<(), StoreError>>),
    /// A block failed its check: restore what is damaged, then ask the reader again.
    Repair(Box<dyn FnOnce() + Send>),
    /// Answer when everything before this is done.
    Ping(mpsc::SyncSender<()>),
    /// A segment could not be allocated.
    DiskFull,
    /// Take a last checkpoint and end.
    Close,
    /// End.
    Abort,
}
