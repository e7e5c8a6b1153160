//! The state as the store's threads share it: opened anew after an error, swapped for a smaller
//! copy, put aside when it is bad.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;

use super::error::StoreError;
use super::files::Layout;
use super::options::StateSync;
use super::sled_state::SledState;
use super::state::{State, StateError};

/// Below this the state is left as it is.
const SMALL_BYTES: u64 = 64 << 20;
/// The state may be this many times what it holds.
const SLACK: u64 = 8;
/// What one batch of a copy takes at most.
const COPY_CHANGES: usize = 200;

/// The state that is open now.
#[derive(Debug)]
pub(crate) struct StateHandle {
    layout: Layout,
    sync: StateSync,
    current: RwLock<Option<State>>,
}

impl StateHandle {
    /// Opens the state, or a new one.
    pub(crate) fn open(layout: Layout, sync: StateSync) -> Result<Self, StoreError> {
        let handle = Self {
            layout,
            sync,
            current: RwLock::new(None),
        };
        handle.finish_swap()?;
        Ok(handle)
    }

    /// The state, opened if it is not.
    pub(crate) fn get(&self) -> Result<State, StateError> {
        if let Some(state) = &*self.current.read() {
            return Ok(state.clone());
        }
        let mut current = self.current.write();
        if let Some(state) = &*current {
            return Ok(state.clone());
        }
        let opened = SledState::open(&self.layout.state(), &self.sync)?;
        Ok(current.insert(State(Arc::new(opened))).clone())
    }

    /// Closes it; the next use opens it again. That is what its errors need: they stick.
    pub(crate) fn close(&self) {
        let state = self.current.write().take();
        // Dropped outside the lock: it may wait for the disk.
        drop(state);
    }

    /// Deletes a state that could not be completed.
    pub(crate) fn discard(&self) -> Result<(), StoreError> {
        self.close();
        let path = self.layout.state();
        remove_folder(&path).map_err(|source| StoreError::io("remove", path, source))
    }

    /// Its folder.
    pub(crate) fn path(&self) -> PathBuf {
        self.layout.state()
    }

    /// Puts a bad state aside, so that a new one takes its place; says where it is now.
    pub(crate) fn put_aside(&self) -> Result<Option<PathBuf>, StoreError> {
        self.close();
        let path = self.layout.state();
        if !path.exists() {
            return Ok(None);
        }
        self.layout.put_aside(&path, "state").map(Some)
    }

    pub(crate) fn bytes_on_disk(&self) -> u64 {
        let current = self.current.read();
        current.as_ref().map_or(0, |state| state.0.bytes_on_disk())
    }

    /// Writes a fresh copy beside it and swaps them, if it has grown far beyond what it holds: the
    /// engine gives no space back. Only for the thread that writes the state.
    pub(crate) fn shrink(&self) -> Result<bool, StateError> {
        let state = self.get()?;
        let size = state.0.bytes_on_disk();
        if size <= SMALL_BYTES {
            return Ok(false);
        }
        let mut live = 0_u64;
        state.0.scan(b"", &mut |key, value| {
            live += (key.len() + value.len()) as u64;
            true
        })?;
        if size <= SMALL_BYTES + SLACK * live {
            return Ok(false);
        }
        self.rewrite(&state)?;
        Ok(true)
    }

    fn rewrite(&self, state: &State) -> Result<(), StateError> {
        let new = self.layout.state_new();
        let io = |error: io::Error| StateError::Failed(format!("cannot swap: {error}"));
        remove_folder(&new).map_err(io)?;
        copy(state, &new, &self.sync)?;
        let mut current = self.current.write();
        *current = None;
        let (here, old) = (self.layout.state(), self.layout.state_old());
        remove_folder(&old).map_err(io)?;
        fs::rename(&here, &old).map_err(io)?;
        fs::rename(&new, &here).map_err(io)?;
        sync_folder(&self.layout.root).map_err(io)?;
        let opened = SledState::open(&here, &self.sync)?;
        *current = Some(State(Arc::new(opened)));
        drop(current);
        remove_folder(&old).map_err(io)
    }

    /// Completes or undoes a swap that was cut off.
    fn finish_swap(&self) -> Result<(), StoreError> {
        let (here, old) = (self.layout.state(), self.layout.state_old());
        let failed = |source| StoreError::io("swap", &here, source);
        if !here.exists() && old.exists() {
            fs::rename(&old, &here).map_err(failed)?;
            sync_folder(&self.layout.root).map_err(failed)?;
        }
        remove_folder(&old).map_err(failed)?;
        remove_folder(&self.layout.state_new()).map_err(failed)
    }
}

/// Copies a state into a new one in `directory`, durably.
pub(crate) fn copy(state: &State, directory: &Path, sync: &StateSync) -> Result<(), StateError> {
    use super::state::StateStore;
    let copy = SledState::open(directory, sync)?;
    let mut changes = Vec::new();
    let mut result = Ok(());
    state.0.scan(b"", &mut |key, value| {
        changes.push((key.to_vec(), Some(value.to_vec())));
        if changes.len() >= COPY_CHANGES {
            result = copy.apply(&std::mem::take(&mut changes));
        }
        result.is_ok()
    })?;
    result?;
    copy.apply(&changes)?;
    copy.sync()
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(root: &Path) -> StateHandle {
        let layout = Layout {
            root: root.to_path_buf(),
        };
        StateHandle::open(layout, StateSync::default()).expect("opens")
    }

    fn put(state: &State, key: &[u8]) {
        let change = (key.to_vec(), Some(b"value".to_vec()));
        state.apply(&[change]).expect("applies");
        state.0.sync().expect("syncs");
    }

    #[test]
    fn a_rewritten_state_holds_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let handle = handle(folder.path());
        put(&handle.get().expect("opens"), b"qa");
        let state = handle.get().expect("opens");
        handle.rewrite(&state).expect("rewrites");
        drop(state);
        let state = handle.get().expect("opens");
        assert_eq!(state.get(b"qa"), Ok(Some(b"value".to_vec())));
        assert!(!folder.path().join("state.old").exists());
    }

    #[test]
    fn a_swap_that_was_cut_off_is_finished_or_undone() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = handle(folder.path());
        put(&first.get().expect("opens"), b"qa");
        first.close();
        drop(first);
        let path = |name: &str| folder.path().join(name);
        fs::rename(path("state"), path("state.old")).expect("renames");
        fs::create_dir(path("state.new")).expect("creates");
        let second = handle(folder.path());
        let state = second.get().expect("opens");
        assert_eq!(state.get(b"qa"), Ok(Some(b"value".to_vec())));
        assert!(!path("state.new").exists() && !path("state.old").exists());
    }
}
