//! Copying a running store.
//!
//! Runs on the checkpoint thread: while it copies, no segment is freed. The state is copied as of
//! a checkpoint, then the segments one after the other; what is being written meanwhile may be
//! torn in the copy, and is cut when that is opened.

use std::fs;
use std::io;
use std::path::Path;

use super::checkpoint::{CheckpointError, Checkpointer};
use super::error::StoreError;
use super::files::{self, Layout};
use super::swap;

const COPY_BYTES: usize = 1 << 20;

impl Checkpointer {
    /// Copies everything into a new folder.
    pub(crate) fn backup(&mut self, destination: &Path) -> Result<(), CheckpointError> {
        let to = Layout {
            root: destination.to_path_buf(),
        };
        ensure_empty(destination)?;
        self.definitions_stale = true;
        self.checkpoint()?;
        let state = self.state.get()?;
        swap::copy(&state, &to.state(), &self.options.state_sync)?;
        let disk = &*self.options.disk;
        let failed = |source| StoreError::io("create", to.log(), source);
        disk.create_directory(&to.log()).map_err(failed)?;
        for name in self.segment_names()? {
            self.copy_file(&self.layout.log().join(&name), &to.log().join(&name))?;
        }
        disk.sync_directory(&to.log()).map_err(failed)?;
        if let Some(content) = files::read(disk, &self.layout.definitions())? {
            files::write(disk, &to.definitions(), &content)?;
        }
        Ok(to.stamp_format(disk)?)
    }

    /// The files of the log, the oldest first.
    fn segment_names(&self) -> Result<Vec<String>, StoreError> {
        let folder = self.layout.log();
        let names = self.options.disk.list(&folder);
        let mut names = names.map_err(|source| StoreError::io("list", &folder, source))?;
        names.retain(|name| name.ends_with(".seg"));
        names.sort_unstable();
        Ok(names)
    }

    fn copy_file(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        let disk = &*self.options.disk;
        let read_failed = |source| StoreError::io("read", from, source);
        let write_failed = |source| StoreError::io("write", to, source);
        let source = disk.open_read(from).map_err(read_failed)?;
        let target = disk.create(to).map_err(write_failed)?;
        let mut buffer = vec![0; COPY_BYTES];
        let mut offset = 0;
        loop {
            let count = source.read_at(offset, &mut buffer).map_err(read_failed)?;
            if count == 0 {
                break;
            }
            target
                .write_at(offset, &buffer[..count])
                .map_err(write_failed)?;
            offset += count as u64;
        }
        target.sync_data().map_err(write_failed)
    }
}

fn ensure_empty(destination: &Path) -> Result<(), StoreError> {
    match fs::read_dir(destination) {
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(StoreError::NotEmpty(destination.to_path_buf())),
            None => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(destination)
            .map_err(|source| StoreError::io("create", destination, source)),
        Err(source) => Err(StoreError::io("read", destination, source)),
    }
}
