//! The store on disk, for one process.
//!
//! ```text
//!   DIRECTORY/log/      everything that ever changed, in order, synced: the truth
//!   DIRECTORY/index/    sled: the present state, and where in the log each message lies
//!   DIRECTORY/trust     whether the index may be believed when the store is opened
//! ```
//!
//! A change is decided, written and answered on the log's commit thread, one turn of many changes after
//! the other: what one turn decides, the next one sees, and no lock is needed. It is written to the log
//! and synced; then it is applied to the index; then whoever asked is answered. The index is never
//! synced in between, and need not be: it is rebuilt from the log, from where it had come, or from the
//! beginning if the machine may have lost power under it.

mod author;
mod index;
mod record;
mod replay;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use leveret_log::{Checkpoint, Disk, DiskLock, Log, Lsn, Options, RealDisk, Report};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use self::author::{ChatAuthor, Keep, Operation};
use self::index::{Index, IndexError};
use self::replay::ChatReplay;
use super::kv::scope::Scope;
use super::kv::view::{Transaction, View};
use super::kv::{Engine, KeyValueStore};
use super::{ChatStore, StoreError};

/// Changes that are on their way to the disk, at most; further ones wait.
const WRITES_MAX: usize = 1024;
/// Between two checkpoints, which bound how much is read when the store is opened again.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(60);
/// Changes of one turn, at most; with bodies of 64 KiB they stay below what a segment takes.
const TURN_OPERATIONS_MAX: usize = 256;

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "{path} is in use by another process; several processes need --store postgres://…",
        path = path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("cannot open {path}: {source}", path = path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The log cannot be opened.
    #[error(transparent)]
    Log(#[from] leveret_log::OpenError),
    /// The index cannot be opened, or made anew.
    #[error("the index fails: {0}")]
    Index(String),
}

impl From<IndexError> for OpenError {
    fn from(error: IndexError) -> Self {
        Self::Index(error.to_string())
    }
}

/// Opens stores on disk.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedStore;

impl EmbeddedStore {
    /// Opens the store in this folder, or makes one. Blocks, for as long as it takes to read what the
    /// index lacks. The report says what the log found on the disk.
    pub fn open(directory: &Path) -> Result<(Arc<dyn ChatStore>, Report), OpenError> {
        let (engine, report) = EmbeddedEngine::open(directory)?;
        Ok((Arc::new(KeyValueStore(engine)), report))
    }
}

#[derive(Debug)]
struct EmbeddedEngine {
    log: Log<ChatAuthor>,
    index: Arc<Index>,
    writes: Semaphore,
    keeper: Mutex<Option<Keeper>>,
    trust: Trust,
    /// Held as long as the store is open.
    _lock: Mutex<Box<dyn DiskLock>>,
}

impl EmbeddedEngine {
    fn open(directory: &Path) -> Result<(Self, Report), OpenError> {
        let io_error = |source| OpenError::Io {
            path: directory.to_owned(),
            source,
        };
        fs::create_dir_all(directory).map_err(io_error)?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let lock = disk.lock(&directory.join("lock"), true);
        let lock = lock.map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => OpenError::InUse {
                path: directory.to_owned(),
            },
            _ => io_error(source),
        })?;
        let trust = Trust::new(directory);
        let index_folder = directory.join("index");
        if !trust.is_given().map_err(io_error)? {
            remove_folder(&index_folder).map_err(io_error)?;
        }
        let index = Arc::new(match Index::open(&index_folder) {
            Ok(index) => index,
            Err(error) => {
                tracing::warn!(%error, "the index is damaged; it is rebuilt from the log");
                remove_folder(&index_folder).map_err(io_error)?;
                Index::open(&index_folder)?
            }
        });
        // From here on the index may be ahead of what it has synced.
        trust.while_running().map_err(io_error)?;

        let mut options = Options::new(directory.join("log"));
        options.turn_operations_max = TURN_OPERATIONS_MAX;
        options.thread_name = "chat-commit".to_owned();
        let mut replay = ChatReplay::new(index.clone())?;
        let reader = Arc::new(OnceLock::new());
        let author = |_: &mut ChatReplay| ChatAuthor::new(index.clone(), reader.clone());
        let (log, report) = Log::open(disk, options, author, &mut replay)?;
        replay.finish()?;
        // Nobody has submitted anything yet.
        let _ = reader.set(Mutex::new(log.reader()));
        let keeper = Keeper::start(log.clone(), index.clone()).map_err(io_error)?;
        let engine = Self {
            log,
            index,
            writes: Semaphore::new(WRITES_MAX),
            keeper: Mutex::new(Some(keeper)),
            trust,
            _lock: Mutex::new(lock),
        };
        Ok((engine, report))
    }
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

impl Engine for EmbeddedEngine {
    async fn read<R: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn View) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let (index, log) = (self.index.clone(), self.log.clone());
        let read = tokio::task::spawn_blocking(move || {
            let reader = Mutex::new(log.reader());
            work(&index.view(&reader))
        });
        // It fails if the runtime is shut down, or if sled panics over damage.
        read.await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?
    }

    async fn write<R: Send + 'static>(
        &self,
        _: Scope,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<R, StoreError> + Send + 'static,
    ) -> Result<R, StoreError> {
        let permit = self.writes.acquire().await;
        let _permit = permit.map_err(|_| StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let operation = Operation::new(move |changes| match work(changes) {
            Ok(result) => Keep::Changes(Box::new(move |durable| {
                // Whoever asked may be gone; the change is made all the same.
                let _ = reply.send(durable.map(|()| result));
            })),
            Err(error) => Keep::Nothing(Box::new(move |_| {
                let _ = reply.send(Err(error));
            })),
        });
        self.log.submit(&mut vec![operation]);
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    async fn close(&self) {
        self.writes.close();
        let keeper = self.keeper.lock().take();
        let (log, trust) = (self.log.clone(), self.trust.clone());
        let index = self.index.clone();
        let closed = tokio::task::spawn_blocking(move || {
            let kept = keeper.map(Keeper::stop);
            log.shutdown();
            if kept == Some(Ok(())) && !index.is_broken() {
                trust.after_closing()
            } else {
                Ok(())
            }
        });
        if let Ok(Err(error)) = closed.await {
            tracing::warn!(%error, "the index will be rebuilt when the store is opened");
        }
    }
}

/// Syncs the index from time to time, and tells the log so.
#[derive(Debug)]
struct Keeper {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Result<(), String>>,
}

impl Keeper {
    fn start(log: Log<ChatAuthor>, index: Arc<Index>) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let run = move || {
            let mut below = Lsn::NONE;
            loop {
                let is_last = !matches!(
                    stopped.recv_timeout(CHECKPOINT_INTERVAL),
                    Err(mpsc::RecvTimeoutError::Timeout)
                );
                let result = checkpoint(&log, &index, &mut below);
                if let Err(error) = &result {
                    tracing::warn!(error, "no checkpoint");
                }
                if is_last {
                    return result;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("chat-checkpoint".to_owned())
            .spawn(run)?;
        Ok(Self { stop, thread })
    }

    fn stop(self) -> Result<(), String> {
        // It may have ended already.
        let _ = self.stop.send(());
        self.thread
            .join()
            .unwrap_or_else(|_| Err("the thread panicked".to_owned()))
    }
}

fn checkpoint(log: &Log<ChatAuthor>, index: &Index, below: &mut Lsn) -> Result<(), String> {
    let applied = index.applied().map_err(|error| error.to_string())?;
    if applied == *below {
        return Ok(());
    }
    index.sync().map_err(|error| error.to_string())?;
    let checkpoint = Checkpoint {
        epoch: applied.0,
        below: applied,
        payload: Vec::new(),
    };
    // Messages are for ever, and the index is rebuilt from what is written beside them.
    log.checkpoint(checkpoint, |_, _| true)
        .map_err(|error| error.to_string())?;
    *below = applied;
    Ok(())
}

/// Whether the index may be believed: after it was closed in order, or if only the process died, since
/// then the system still has what was written. After a loss of power it may not.
#[derive(Clone, Debug)]
struct Trust {
    file: PathBuf,
}

impl Trust {
    const CLOSED: &'static str = "closed";

    fn new(directory: &Path) -> Self {
        Self {
            file: directory.join("trust"),
        }
    }

    fn is_given(&self) -> io::Result<bool> {
        match fs::read_to_string(&self.file) {
            Ok(text) => Ok(text == Self::CLOSED || Some(text) == boot()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn while_running(&self) -> io::Result<()> {
        self.write(&boot().unwrap_or_default())
    }

    fn after_closing(&self) -> io::Result<()> {
        self.write(Self::CLOSED)
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let fresh = self.file.with_extension("new");
        fs::write(&fresh, text)?;
        File::open(&fresh)?.sync_all()?;
        fs::rename(&fresh, &self.file)?;
        match self.file.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// What is another one after each start of the machine, where the system tells.
fn boot() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
