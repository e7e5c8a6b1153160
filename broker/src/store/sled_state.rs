//! sled as the state's engine, with what it needs to be trusted.
//!
//! - Its `flush` writes but does not sync: our own `fdatasync` on its `db` file follows.
//! - A left-over `snap.*.generating` keeps it from ever opening again: deleted before opening.
//! - It releases its lock some time after it was dropped: opening is tried for two seconds.
//! - Damage makes it panic, at opening or later: every call is guarded.
//! - After a disk error it fails for ever: whoever owns it opens it again.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use sled::{Config, Db, Mode};

use super::options::StateSync;
use super::state::{Change, StateError, StateStore};

/// The state is written far more than it is read: blocks are read when a backlog comes back to memory,
/// definitions at the start.
const CACHE_BYTES: u64 = 8 << 20;
const SEGMENT_BYTES: usize = 512 << 10;
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// sled does its work on threads of its own; when one of them panics, whoever waits for it waits
/// for ever.
const OPEN_PATIENCE: Duration = Duration::from_secs(120);

/// sled, opened in a folder.
#[derive(Debug)]
pub(crate) struct SledState {
    db: Db,
    file: PathBuf,
    sync: StateSync,
}

impl SledState {
    /// Opens or creates it.
    pub(crate) fn open(directory: &Path, sync: &StateSync) -> Result<Self, StateError> {
        delete_unfinished_snapshots(directory)
            .map_err(|error| StateError::Failed(format!("cannot clean up: {error}")))?;
        let (reply, opened) = mpsc::sync_channel(1);
        let path = directory.to_path_buf();
        thread::Builder::new()
            .name("state-open".to_owned())
            .spawn(move || {
                // Nobody listens any more if it took too long.
                let _ = reply.send(guarded(|| open_patiently(&path)));
            })
            .map_err(|error| StateError::Failed(error.to_string()))?;
        let db = opened
            .recv_timeout(OPEN_PATIENCE)
            .map_err(|_| StateError::Failed("opening did not end".to_owned()))??;
        sync_names(directory)
            .map_err(|error| StateError::Failed(format!("cannot sync the folder: {error}")))?;
        Ok(Self {
            db,
            file: directory.join("db"),
            sync: sync.clone(),
        })
    }
}

/// The folder's own entry, and those in it, must survive as the data does.
fn sync_names(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()?;
    match directory.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn open_patiently(directory: &Path) -> Result<Db, StateError> {
    let config = Config::new()
        .path(directory)
        .mode(Mode::HighThroughput)
        .cache_capacity(CACHE_BYTES)
        .segment_size(SEGMENT_BYTES)
        .use_compression(false)
        .flush_every_ms(None)
        .print_profile_on_drop(false);
    let start = Instant::now();
    loop {
        match config.open() {
            Ok(db) => return Ok(db),
            Err(sled::Error::Io(error)) if is_locked(&error) && start.elapsed() < LOCK_PATIENCE => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(StateError::Failed(error.to_string())),
        }
    }
}

/// sled wraps the refusal of its lock in an error of its own.
fn is_locked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().contains("WouldBlock")
}

fn delete_unfinished_snapshots(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn guarded<T>(call: impl FnOnce() -> Result<T, StateError>) -> Result<T, StateError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no text");
        Err(StateError::Failed(format!("it panicked: {text}")))
    })
}

fn failed(error: sled::Error) -> StateError {
    StateError::Failed(error.to_string())
}

impl StateStore for SledState {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        guarded(|| {
            let value = self.db.get(key).map_err(failed)?;
            Ok(value.map(|value| value.to_vec()))
        })
    }

    fn scan(
        &self,
        prefix: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StateError> {
        guarded(|| {
            for item in self.db.scan_prefix(prefix) {
                let (key, value) = item.map_err(failed)?;
                if !each(&key, &value) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn apply(&self, changes: &[Change]) -> Result<(), StateError> {
        guarded(|| {
            let mut batch = sled::Batch::default();
            for (key, value) in changes {
                match value {
                    Some(value) => batch.insert(key.as_slice(), value.as_slice()),
                    None => batch.remove(key.as_slice()),
                }
            }
            self.db.apply_batch(batch).map_err(failed)
        })
    }

    fn sync(&self) -> Result<(), StateError> {
        guarded(|| {
            self.db.flush().map_err(failed)?;
            self.sync
                .sync(&self.file)
                .map_err(|error| StateError::Failed(format!("cannot sync: {error}")))
        })
    }

    fn bytes_on_disk(&self) -> u64 {
        fs::metadata(&self.file).map_or(0, |metadata| metadata.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::state::State;
    use std::sync::Arc;

    fn open(directory: &Path) -> State {
        State(Arc::new(
            SledState::open(directory, &StateSync::default()).expect("opens"),
        ))
    }

    #[test]
    fn what_was_synced_is_there_when_it_is_opened_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = folder.path().join("state");
        let state = open(&directory);
        let change = (b"qk".to_vec(), Some(vec![3; 9000]));
        state.apply(&[change]).expect("applies");
        state.0.sync().expect("syncs");
        drop(state);
        let state = open(&directory);
        assert_eq!(state.get(b"qk"), Ok(Some(vec![3; 9000])));
    }

    #[test]
    fn a_snapshot_that_was_never_finished_does_not_keep_it_from_opening() {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = folder.path().join("state");
        drop(open(&directory));
        let left_over = directory.join("snap.0000000000000001.generating");
        fs::write(&left_over, b"half a snapshot").expect("written");
        drop(open(&directory));
        assert!(!left_over.exists());
    }

    #[test]
    fn a_damaged_file_is_an_error_or_opens_but_never_panics() {
        let folder = tempfile::tempdir().expect("a folder");
        let directory = folder.path().join("state");
        let state = open(&directory);
        for number in 0..200_u32 {
            let key = number.to_be_bytes().to_vec();
            state
                .apply(&[(key, Some(vec![number as u8; 500]))])
                .expect("applies");
        }
        state.0.sync().expect("syncs");
        drop(state);
        let content = fs::read(directory.join("db")).expect("read");
        for at in (100..content.len()).step_by(content.len() / 7) {
            let copy = folder.path().join(format!("copy-{at}"));
            fs::create_dir(&copy).expect("made");
            fs::copy(directory.join("conf"), copy.join("conf")).expect("copied");
            let mut flipped = content.clone();
            flipped[at] ^= 0x40;
            fs::write(copy.join("db"), flipped).expect("written");
            if let Ok(state) = SledState::open(&copy, &StateSync::default()) {
                let _ = State(Arc::new(state)).scan(b"", |_, _| {});
            }
        }
    }
}
