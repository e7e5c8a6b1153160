//! A disk in memory that can lose power.
//!
//! It keeps apart what a program sees and what would survive, for every file's bytes and for every
//! name in a folder. [`SimulatedDisk::image`] says what a crash at this moment could leave behind;
//! images share their bytes with the disk, so that a test may take one at every step. Faults can be
//! planted at any write or sync, and space can run out.

mod content;
mod loss;
mod state;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

pub use self::loss::{Fault, FaultEffect, FaultPoint, LossPolicy, PowerLoss};
use self::state::{Change, Inode, NameChange, State};
use crate::disk::{Disk, DiskFile, DiskLock};

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

type Watcher = Arc<dyn Fn(&Step<'_>) + Send + Sync>;

#[derive(Default)]
struct Machine {
    state: State,
    faults: Vec<Fault>,
    frozen: bool,
    writes: u64,
    syncs: u64,
    locks: Vec<PathBuf>,
    watcher: Option<Watcher>,
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

    fn handle(&self, inode: u64, path: &Path) -> Arc<dyn DiskFile> {
        *self.machine.lock().state.handles.entry(inode).or_default() += 1;
        Arc::new(SimulatedFile {
            disk: self.clone(),
            inode,
            path: path.to_owned(),
        })
    }
}

fn frozen() -> io::Error {
    io::Error::other("the simulated machine stands still")
}

fn failed() -> io::Error {
    io::Error::other("a planted fault")
}

impl Machine {
    fn check(&self) -> io::Result<()> {
        if self.frozen { Err(frozen()) } else { Ok(()) }
    }

    fn fault(&mut self, at: FaultPoint) -> io::Result<Option<FaultEffect>> {
        self.check()?;
        let Some(fault) = self.faults.iter().find(|fault| fault.at == at) else {
            return Ok(None);
        };
        let effect = fault.effect;
        if effect == FaultEffect::Freeze {
            self.frozen = true;
            return Err(frozen());
        }
        Ok(Some(effect))
    }

    fn next_write(&mut self) -> io::Result<Option<FaultEffect>> {
        self.writes += 1;
        self.fault(FaultPoint::Write(self.writes))
    }

    /// Whether the sync is to be done.
    fn next_sync(&mut self) -> io::Result<bool> {
        self.syncs += 1;
        match self.fault(FaultPoint::Sync(self.syncs))? {
            None => Ok(true),
            Some(FaultEffect::Forget) => Ok(false),
            Some(FaultEffect::Fail | FaultEffect::Tear | FaultEffect::Freeze) => Err(failed()),
        }
    }

    fn room_for(&self, inode: u64, length: u64) -> io::Result<()> {
        let held = self
            .state
            .inodes
            .get(&inode)
            .map_or(0, |inode| inode.live.length());
        let growth = length.saturating_sub(held);
        match self.state.capacity {
            Some(capacity) if growth > 0 && self.state.used_bytes() + growth > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    fn change(&mut self, inode: u64, change: Change) {
        if let Some(inode) = self.state.inodes.get_mut(&inode) {
            inode.change(change);
        }
    }
}

impl Disk for SimulatedDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let mut machine = self.machine.lock();
        machine.check()?;
        Arc::make_mut(&mut machine.state.directories).insert(path.to_owned());
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let machine = self.machine.lock();
        machine.check()?;
        if !machine.state.directories.contains(directory) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let here = machine
            .state
            .names
            .live
            .keys()
            .filter(|path| path.parent() == Some(directory));
        Ok(here
            .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
            .collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.announce(Operation::Create, path);
        let mut machine = self.machine.lock();
        machine.check()?;
        if machine.state.names.live.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let number = machine.state.next_inode;
        machine.state.next_inode += 1;
        machine.state.inodes.insert(number, Inode::default());
        machine
            .state
            .rename(NameChange::Set(path.to_owned(), number));
        drop(machine);
        Ok(self.handle(number, path))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let inode = {
            let machine = self.machine.lock();
            machine.check()?;
            machine.state.inode(path)?
        };
        Ok(self.handle(inode, path))
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.announce(Operation::Rename, from);
        let mut machine = self.machine.lock();
        machine.check()?;
        machine.state.inode(from)?;
        machine
            .state
            .rename(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.announce(Operation::Remove, path);
        let mut machine = self.machine.lock();
        machine.check()?;
        machine.state.inode(path)?;
        machine.state.rename(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.announce(Operation::SyncDirectory, path);
        let mut machine = self.machine.lock();
        if machine.next_sync()? {
            machine.state.sync_directory(path);
        }
        Ok(())
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        let machine = self.machine.lock();
        machine.check()?;
        let capacity = machine.state.capacity.unwrap_or(u64::MAX);
        Ok(capacity.saturating_sub(machine.state.used_bytes()))
    }

    fn lock(&self, path: &Path, create: bool) -> io::Result<Box<dyn DiskLock>> {
        let mut machine = self.machine.lock();
        machine.check()?;
        if machine.locks.iter().any(|held| held == path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !create {
            // Nobody who reads alone makes a lock file; without one nobody can hold it.
            return Err(io::ErrorKind::NotFound.into());
        }
        machine.locks.push(path.to_owned());
        Ok(Box::new(SimulatedLock {
            disk: self.clone(),
            path: path.to_owned(),
        }))
    }
}

#[derive(Debug)]
struct SimulatedLock {
    disk: SimulatedDisk,
    path: PathBuf,
}

impl DiskLock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.disk
            .machine
            .lock()
            .locks
            .retain(|held| *held != self.path);
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    inode: u64,
    path: PathBuf,
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        let state = &mut self.disk.machine.lock().state;
        if let Some(count) = state.handles.get_mut(&self.inode) {
            *count -= 1;
            if *count == 0 {
                state.handles.remove(&self.inode);
                state.forget_unreachable();
            }
        }
    }
}

impl DiskFile for SimulatedFile {
    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.disk.announce(Operation::Resize, &self.path);
        let mut machine = self.disk.machine.lock();
        machine.check()?;
        machine.room_for(self.inode, bytes)?;
        let held = machine.state.inodes[&self.inode].live.length();
        if bytes > held {
            machine.change(self.inode, Change::Length(bytes));
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.announce(Operation::Write, &self.path);
        let mut machine = self.disk.machine.lock();
        let effect = machine.next_write()?;
        machine.room_for(self.inode, offset + bytes.len() as u64)?;
        let written = match effect {
            None => bytes,
            Some(FaultEffect::Tear) => &bytes[..bytes.len() / 2],
            Some(FaultEffect::Forget) => return Ok(()),
            Some(FaultEffect::Fail | FaultEffect::Freeze) => return Err(failed()),
        };
        machine.change(
            self.inode,
            Change::Write {
                offset,
                bytes: written.into(),
            },
        );
        if effect.is_some() {
            Err(failed())
        } else {
            Ok(())
        }
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let machine = self.disk.machine.lock();
        machine.check()?;
        Ok(machine.state.inodes[&self.inode].live.read(offset, buffer))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.announce(Operation::Sync, &self.path);
        let mut machine = self.disk.machine.lock();
        if machine.next_sync()?
            && let Some(inode) = machine.state.inodes.get_mut(&self.inode)
        {
            inode.sync();
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        let machine = self.disk.machine.lock();
        machine.check()?;
        Ok(machine.state.inodes[&self.inode].live.length())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.disk.announce(Operation::Resize, &self.path);
        let mut machine = self.disk.machine.lock();
        machine.check()?;
        machine.change(self.inode, Change::Length(length));
        Ok(())
    }
}
