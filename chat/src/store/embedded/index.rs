//! sled as the index: the present state, and where each message lies.
//!
//! sled's `flush` writes and does not sync, so a `fdatasync` of its file follows; a snapshot that it left
//! unfinished keeps it from opening, and is deleted first; damage makes it panic, which is caught. Values
//! are short: messages are in the log, and the longest of the rest is a group's settings.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use leveret_log::{Lsn, Reader};
use parking_lot::Mutex;
use sled::{Config, Db, Mode};

use super::record;
use crate::store::StoreError;
use crate::store::kv::key;
use crate::store::kv::view::{Changes, Direction, Each, Range, Step, View};

const CACHE_BYTES: u64 = 64 << 20;
/// sled releases its lock some time after it was dropped.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// The key of how far the log was applied; no other key begins so.
const APPLIED: &[u8] = b"\0applied";

/// The index does not work.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct IndexError(pub(super) String);

impl From<sled::Error> for IndexError {
    fn from(error: sled::Error) -> Self {
        Self(error.to_string())
    }
}

#[derive(Debug)]
pub(super) struct Index {
    db: Db,
    file: PathBuf,
    /// It lacks something that the log has: nothing more may be decided on it.
    broken: AtomicBool,
}

fn guarded<T>(call: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(IndexError("it panicked over what it found".to_owned())))
}

fn damaged(error: impl ToString) -> StoreError {
    StoreError::Damaged(error.to_string())
}

impl Index {
    pub(super) fn open(folder: &Path) -> Result<Self, IndexError> {
        delete_unfinished_snapshots(folder);
        let config = Config::new()
            .path(folder)
            .mode(Mode::HighThroughput)
            .cache_capacity(CACHE_BYTES)
            .use_compression(false)
            .flush_every_ms(Some(500))
            .print_profile_on_drop(false);
        let start = Instant::now();
        let db = loop {
            match guarded(|| Ok(config.open()?)) {
                Err(error) if error.0.contains("WouldBlock") && start.elapsed() < LOCK_PATIENCE => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                other => break other?,
            }
        };
        Ok(Self {
            db,
            file: folder.join("db"),
            broken: AtomicBool::new(false),
        })
    }

    /// Everything in the log below this is here.
    pub(super) fn applied(&self) -> Result<Lsn, IndexError> {
        guarded(|| {
            let value = self.db.get(APPLIED)?;
            let octets = value.and_then(|value| value.first_chunk::<8>().copied());
            Ok(octets.map_or(Lsn::NONE, |octets| Lsn(u64::from_le_bytes(octets))))
        })
    }

    /// Makes changes that are durable in the log below this place.
    pub(super) fn apply(&self, changes: Changes, below: Lsn) -> Result<(), StoreError> {
        if self.is_broken() {
            return Err(StoreError::Unavailable(
                "the index failed; it is rebuilt when the store is opened again".to_owned(),
            ));
        }
        let applied = guarded(|| {
            let mut batch = sled::Batch::default();
            for (key, change) in changes {
                match change {
                    Some(value) => batch.insert(key, value),
                    None => batch.remove(key),
                }
            }
            batch.insert(APPLIED, &below.0.to_le_bytes());
            Ok(self.db.apply_batch(batch)?)
        });
        applied.map_err(|error| {
            self.broken.store(true, Ordering::Release);
            StoreError::Unavailable(error.to_string())
        })
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    pub(super) fn sync(&self) -> Result<(), IndexError> {
        guarded(|| {
            self.db.flush()?;
            let file = File::options().write(true).open(&self.file);
            let synced = file.and_then(|file| file.sync_data());
            synced.map_err(|error| IndexError(error.to_string()))
        })
    }

    /// The index, with messages read from the log.
    pub(super) fn view<'i>(&'i self, reader: &'i Mutex<Reader>) -> IndexView<'i> {
        IndexView {
            index: self,
            reader,
        }
    }
}

fn delete_unfinished_snapshots(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        // There is no folder yet; if it cannot be read, opening says so.
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            // If it stays, opening fails, and says so.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The store as it is, durably.
pub(super) struct IndexView<'i> {
    index: &'i Index,
    reader: &'i Mutex<Reader>,
}

impl IndexView<'_> {
    fn value(&self, key: &[u8], stored: &[u8]) -> Result<Vec<u8>, StoreError> {
        if !key::is_message(key) {
            return Ok(stored.to_vec());
        }
        let location = record::decode_location(stored);
        let location = location.ok_or_else(|| damaged("a message has no place"))?;
        let mut reader = self.reader.lock();
        let payload = reader.read(location).map_err(damaged)?;
        let (found, message) =
            record::decode_message(payload).ok_or_else(|| damaged("a message has no key"))?;
        if found != key {
            return Err(damaged("another message lies in a message's place"));
        }
        Ok(message.to_vec())
    }
}

impl View for IndexView<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if self.index.is_broken() {
            return Err(StoreError::Unavailable("the index failed".to_owned()));
        }
        let stored = guarded(|| Ok(self.index.db.get(key)?)).map_err(damaged)?;
        stored.map(|stored| self.value(key, &stored)).transpose()
    }

    fn scan(
        &self,
        range: &Range,
        direction: Direction,
        each: &mut Each<'_>,
    ) -> Result<(), StoreError> {
        if self.index.is_broken() {
            return Err(StoreError::Unavailable("the index failed".to_owned()));
        }
        let mut entries = self.index.db.range::<&[u8], _>(range.bounds());
        loop {
            let entry = guarded(|| {
                let entry = match direction {
                    Direction::Forward => entries.next(),
                    Direction::Backward => entries.next_back(),
                };
                Ok(entry.transpose()?)
            });
            let Some((key, stored)) = entry.map_err(damaged)? else {
                return Ok(());
            };
            if each(&key, &self.value(&key, &stored)?)? == Step::Stop {
                return Ok(());
            }
        }
    }
}
