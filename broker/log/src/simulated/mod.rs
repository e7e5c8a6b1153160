//! A disk in memory that can lose power.
//!
//! It keeps apart what a program sees and what would survive, for every file's bytes and for every
//! name in a folder. [`SimulatedDisk::image`] says what a crash at this moment could leave behind;
//! images share their bytes with the disk, so that a test may take one at every step. Faults can be
//! planted at any write or sync, and space can run out.

mod content;
mod disk;
mod loss;
mod machine;
mod state;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

pub use self::loss::{Fault, FaultEffect, FaultPoint, LossPolicy, PowerLoss};
use self::{machine::Machine, state::State};

/// The operations that change a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A file was made.
    Create,
    /// Bytes were written.
    Write,
    /// A length was changed or space was allocated.
    Resize,
    /// A file was synced.
    Sync,
    /// A folder was synced.
    SyncDirectory,
    /// A file was given another name.
    Rename,
    /// A file was removed.
    Remove,
}

/// An operation that is about to happen.
#[derive(Debug)]
pub struct Step<'a> {
    /// What is about to happen.
    pub operation: Operation,
    /// To which file or folder.
    pub path: &'a Path,
    /// The disk as it stands before, on its own: what happens next does not change it.
    pub before: &'a SimulatedDisk,
}

/// The disk. Clones are handles to the same one.
#[derive(Clone, Default)]
pub struct SimulatedDisk {
    machine: Arc<Mutex<Machine>>,
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = self.machine.lock();
        formatter
            .debug_struct("SimulatedDisk")
            .field("files", &machine.state.names.live.len())
            .field("writes", &machine.writes)
            .field("syncs", &machine.syncs)
            .finish_non_exhaustive()
    }
}

impl SimulatedDisk {
    /// An empty disk of unbounded size.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a crash at this moment leaves: a disk of its own, without faults, locks or watcher.
    #[must_use]
    pub fn image(&self, loss: PowerLoss) -> Self {
        Self::of(self.machine.lock().state.after(loss))
    }

    /// Plants a fault.
    pub fn inject(&self, fault: Fault) {
        self.machine.lock().faults.push(fault);
    }

    /// From now on files may take this much space in all, or any amount.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.machine.lock().state.capacity = bytes;
    }

    /// Lengths of all files together.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.machine.lock().state.used_bytes()
    }

    /// How many writes were asked for.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.machine.lock().writes
    }

    /// How many syncs of files and folders were asked for.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.machine.lock().syncs
    }

    /// Stops the machine: every later operation fails.
    pub fn freeze(&self) {
        self.machine.lock().frozen = true;
    }

    /// Calls `watcher` before every operation that changes something, on the thread that does it.
    pub fn watch(&self, watcher: impl Fn(&Step<'_>) + Send + Sync + 'static) {
        self.machine.lock().watcher = Some(Arc::new(watcher));
    }

    /// The paths of all files that a program sees.
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.machine
            .lock()
            .state
            .names
            .live
            .keys()
            .cloned()
            .collect()
    }

    /// The bytes of a file, as a program sees them.
    pub fn contents(&self, path: &Path) -> io::Result<Vec<u8>> {
        let machine = self.machine.lock();
        let inode = &machine.state.inodes[&machine.state.inode(path)?];
        let mut bytes = vec![0; inode.live.length() as usize];
        inode.live.read(0, &mut bytes);
        Ok(bytes)
    }

    /// Changes bytes behind everybody's back, as failing hardware does: live and durable alike.
    pub fn corrupt(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut machine = self.machine.lock();
        let number = machine.state.inode(path)?;
        if let Some(inode) = machine.state.inodes.get_mut(&number) {
            inode.live.write(offset, bytes);
            inode.durable.write(offset, bytes);
        }
        Ok(())
    }

    fn of(state: State) -> Self {
        Self {
            machine: Arc::new(Mutex::new(Machine {
                state,
                ..Machine::default()
            })),
        }
    }

    fn announce(&self, operation: Operation, path: &Path) {
        let (watcher, state) = {
            let machine = self.machine.lock();
            let Some(watcher) = machine.watcher.clone() else {
                return;
            };
            (watcher, machine.state.clone())
        };
        watcher(&Step {
            operation,
            path,
            before: &Self::of(state),
        });
    }
}
