//! The simulated disk and its files, as the log sees them.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Operation, SimulatedDisk,
    loss::FaultEffect,
    machine::failed,
    state::{Change, Inode, NameChange},
};
use crate::disk::{Disk, DiskFile, DiskLock};

impl SimulatedDisk {
    fn handle(&self, inode: u64, path: &Path) -> Arc<dyn DiskFile> {
        *self.machine.lock().state.handles.entry(inode).or_default() += 1;
        Arc::new(SimulatedFile {
            disk: self.clone(),
            inode,
            path: path.to_owned(),
        })
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
