//! Freed segments: those that somebody still reads, and those kept to be written again.

use std::{io, path::PathBuf, sync::Arc};

use crate::{
    disk::{Disk, DiskFile},
    options::Options,
    table::{Segment, Table},
};

#[derive(Debug)]
struct Spare {
    path: PathBuf,
    capacity: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Spares {
    /// Out of the log, but perhaps still read.
    condemned: Vec<Arc<Segment>>,
    spares: Vec<Spare>,
}

impl Spares {
    pub(crate) fn condemn(&mut self, segment: Arc<Segment>) {
        self.condemned.push(segment);
    }

    /// Turns condemned segments that nobody reads into spares, or removes them. Spares never take
    /// more space than the log itself, so a drained log shrinks.
    pub(crate) fn collect(&mut self, table: &Table, options: &Options) {
        if self.condemned.is_empty() {
            return;
        }
        let held: u64 = table.all().iter().map(|segment| segment.file_bytes).sum();
        let disk = &*table.disk;
        for segment in std::mem::take(&mut self.condemned) {
            let segment = match Arc::try_unwrap(segment) {
                Ok(segment) => segment,
                Err(read) => {
                    self.condemned.push(read);
                    continue;
                }
            };
            let spared: u64 = self.spares.iter().map(|spare| spare.capacity).sum();
            let wanted = self.spares.len() < options.spares_max
                && spared + segment.capacity <= held
                && segment.capacity <= u64::from(options.segment_bytes_max);
            drop(segment.file.into_inner());
            let path = segment.path.with_extension("spare");
            let result = if wanted {
                disk.rename(&segment.path, &path)
            } else {
                disk.remove(&segment.path)
            };
            match result {
                Ok(()) if wanted => {
                    self.spares.push(Spare {
                        path,
                        capacity: segment.capacity,
                    });
                }
                Ok(()) => {}
                // It stands in no checkpoint: the next opening removes it.
                Err(error) => {
                    tracing::warn!(segment = %segment.id, %error, "a freed segment stays on disk");
                }
            }
        }
    }

    /// The best spare for a segment that needs `least` bytes and should have `wanted`. Much shorter
    /// ones are removed: the log has outgrown them.
    pub(crate) fn take(
        &mut self,
        disk: &dyn Disk,
        least: u64,
        wanted: u64,
    ) -> Option<(PathBuf, Arc<dyn DiskFile>, u64)> {
        let outgrown = self
            .spares
            .extract_if(.., |spare| spare.capacity < wanted / 2);
        for spare in outgrown {
            remove(disk, &spare);
        }
        loop {
            let fitting = self
                .spares
                .iter()
                .position(|spare| spare.capacity >= least)?;
            let spare = self.spares.swap_remove(fitting);
            match open(disk, &spare) {
                Ok(file) => return Some((spare.path, file, spare.capacity)),
                Err(error) => {
                    tracing::warn!(path = %spare.path.display(), %error, "a spare is unusable");
                    remove(disk, &spare);
                }
            }
        }
    }
}

fn open(disk: &dyn Disk, spare: &Spare) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.open(&spare.path)?;
    // A segment that a recovery had cut is shorter than it was made.
    file.allocate(spare.capacity)?;
    Ok(file)
}

fn remove(disk: &dyn Disk, spare: &Spare) {
    if let Err(error) = disk.remove(&spare.path) {
        tracing::warn!(path = %spare.path.display(), %error, "a spare stays on disk");
    }
}
