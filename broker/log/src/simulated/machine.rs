//! The state of a simulated disk, with its faults and the space that it has.

use std::{io, path::PathBuf, sync::Arc};

use super::{
    Step,
    loss::{Fault, FaultEffect, FaultPoint},
    state::{Change, State},
};

pub(super) type Watcher = Arc<dyn Fn(&Step<'_>) + Send + Sync>;

#[derive(Default)]
pub(super) struct Machine {
    pub(super) state: State,
    pub(super) faults: Vec<Fault>,
    pub(super) frozen: bool,
    pub(super) writes: u64,
    pub(super) syncs: u64,
    pub(super) locks: Vec<PathBuf>,
    pub(super) watcher: Option<Watcher>,
}

fn frozen() -> io::Error {
    io::Error::other("the simulated machine stands still")
}

pub(super) fn failed() -> io::Error {
    io::Error::other("a planted fault")
}

impl Machine {
    pub(super) fn check(&self) -> io::Result<()> {
        if self.frozen { Err(frozen()) } else { Ok(()) }
    }

    pub(super) fn fault(&mut self, at: FaultPoint) -> io::Result<Option<FaultEffect>> {
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

    pub(super) fn next_write(&mut self) -> io::Result<Option<FaultEffect>> {
        self.writes += 1;
        self.fault(FaultPoint::Write(self.writes))
    }

    /// Whether the sync is to be done.
    pub(super) fn next_sync(&mut self) -> io::Result<bool> {
        self.syncs += 1;
        match self.fault(FaultPoint::Sync(self.syncs))? {
            None => Ok(true),
            Some(FaultEffect::Forget) => Ok(false),
            Some(FaultEffect::Fail | FaultEffect::Tear | FaultEffect::Freeze) => Err(failed()),
        }
    }

    pub(super) fn room_for(&self, inode: u64, length: u64) -> io::Result<()> {
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

    pub(super) fn change(&mut self, inode: u64, change: Change) {
        if let Some(inode) = self.state.inodes.get_mut(&inode) {
            inode.change(change);
        }
    }
}
