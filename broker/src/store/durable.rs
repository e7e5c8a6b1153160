//! The store on disk: the threads, and what joins them.

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use leveret_log::{DiskLock, Log};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::model::{Operation, QueueId, Seq, Stored};

use super::author::{Shared, StoreAuthor};
use super::checkpoint::{CheckpointStatus, Checkpointer};
use super::error::StoreError;
use super::files::Layout;
use super::opened::Opened;
use super::options::StoreOptions;
use super::reader::{BodyReader, Part, Request};
use super::report::{FreeSpace, RecoveryReport, StoreStatus};
use super::signal::Signal;
use super::swap::StateHandle;
use super::{BlockReply, BodiesReply, CheckpointCallback, Progress, Store, Ticket};

/// What a store is started from.
pub(crate) struct Parts {
    pub(crate) opened: Opened,
    pub(crate) layout: Layout,
    pub(crate) options: StoreOptions,
    pub(crate) state: Arc<StateHandle>,
    pub(crate) lock: Box<dyn DiskLock>,
    pub(crate) report: Arc<RecoveryReport>,
}

/// A store whose operations survive.
pub(crate) struct DurableStore {
    log: Log<StoreAuthor>,
    shared: Arc<Shared>,
    state: Arc<StateHandle>,
    options: StoreOptions,
    next_queue: AtomicU32,
    requests: Mutex<mpsc::Sender<Request>>,
    checkpoints: Arc<Mutex<CheckpointStatus>>,
    callbacks: Arc<Mutex<Vec<CheckpointCallback>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    closed: AtomicBool,
    report: Arc<RecoveryReport>,
    lock: Mutex<Option<Box<dyn DiskLock>>>,
}

impl fmt::Debug for DurableStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DurableStore")
            .field("directory", &self.options.directory)
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

impl DurableStore {
    /// Starts the threads of an opened store.
    pub(crate) fn start(parts: Parts) -> Result<Self, StoreError> {
        let Parts {
            opened,
            layout,
            options,
            state,
            lock,
            report,
        } = parts;
        let (signals, told) = mpsc::channel();
        let (requests, asked) = mpsc::channel();
        let next_queue = opened.shared.ledger.lock().next_queue;
        let store = Self {
            log: opened.log.clone(),
            shared: opened.shared.clone(),
            state: state.clone(),
            options: options.clone(),
            next_queue: AtomicU32::new(next_queue.max(1)),
            requests: Mutex::new(requests),
            checkpoints: Arc::default(),
            callbacks: Arc::default(),
            threads: Mutex::default(),
            closed: AtomicBool::new(false),
            report,
            lock: Mutex::new(Some(lock)),
        };
        let checkpointer = Checkpointer {
            log: opened.log.clone(),
            shared: opened.shared.clone(),
            state: state.clone(),
            layout,
            options,
            catalog: opened.catalog,
            catalog_is_true: true,
            epoch: opened.epoch,
            definitions_stale: opened.definitions_stale,
            definitions_next_queue: next_queue,
            pending: Vec::new(),
            status: store.checkpoints.clone(),
            callbacks: store.callbacks.clone(),
        };
        *opened.shared.signals.lock() = Some(signals);
        if !opened.shared.ledger.lock().delta.is_empty() {
            opened.shared.signal(Signal::Activity);
        }
        store.spawn("store-checkpoint", move || checkpointer.run(&told))?;
        let reader = BodyReader {
            log: opened.log,
            state,
            shared: opened.shared,
            requests: store.requests.lock().clone(),
        };
        store.spawn("store-reader", move || reader.run(&asked))?;
        Ok(store)
    }

    fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
        let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
        let handle = spawned.map_err(|source| {
            StoreError::io("start a thread for", &self.options.directory, source)
        })?;
        self.threads.lock().push(handle);
        Ok(())
    }

    /// Takes a checkpoint and waits for it.
    pub(crate) fn checkpoint_now(&self) {
        self.shared.signal(Signal::Checkpoint);
        let (reply, done) = mpsc::sync_channel(1);
        // Signals are served in order, so this one is answered after the checkpoint.
        if self.shared.signal(Signal::Ping(reply)) {
            let _ = done.recv();
        }
    }

    fn request(&self, request: Request) {
        if let Err(mpsc::SendError(request)) = self.requests.lock().send(request) {
            request.refuse();
        }
    }

    fn end(&self, last: Signal) {
        if self.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        self.shared.signal(last);
        self.request(Request::Close);
        let threads = std::mem::take(&mut *self.threads.lock());
        for handle in threads {
            if handle.thread().id() != thread::current().id() {
                // A panic in it was caught and reported by itself.
                let _ = handle.join();
            }
        }
        self.log.shutdown();
        self.shared.board.close();
        self.state.close();
        drop(self.lock.lock().take());
    }
}

impl Store for DurableStore {
    fn records(&self) -> bool {
        true
    }

    fn submit(&self, operations: &mut Vec<Operation>) -> Ticket {
        Ticket(self.log.submit(operations).0)
    }

    fn progress(&self) -> Progress {
        let mut progress = self.shared.board.progress();
        progress.written = progress.written.max(Ticket(self.log.progress().written.0));
        progress
    }

    fn watch(&self) -> watch::Receiver<Progress> {
        self.shared.board.watch()
    }

    fn pending_bytes(&self) -> usize {
        self.log.pending_bytes()
    }

    fn load_bodies(&self, queue: QueueId, wanted: Vec<(Seq, Stored)>, reply: BodiesReply) {
        self.request(Request::Messages {
            queue,
            wanted,
            part: Part::Whole,
            reply,
        });
    }

    fn load_heads(&self, queue: QueueId, wanted: Vec<(Seq, Stored)>, reply: BodiesReply) {
        self.request(Request::Messages {
            queue,
            wanted,
            part: Part::Head,
            reply,
        });
    }

    fn load_block(&self, queue: QueueId, level: u8, block: u64, reply: BlockReply) {
        self.request(Request::Block {
            queue,
            level,
            block,
            reply,
            repaired: false,
        });
    }

    fn on_checkpoint(&self, callback: CheckpointCallback) {
        self.callbacks.lock().push(callback);
    }

    fn next_queue_id(&self) -> QueueId {
        QueueId(self.next_queue.fetch_add(1, Ordering::Relaxed))
    }

    fn checkpoint(&self) {
        self.shared.signal(Signal::Checkpoint);
    }

    fn backup(&self, destination: &Path) -> Result<(), StoreError> {
        let (reply, answer) = mpsc::sync_channel(1);
        let asked = Signal::Backup(destination.to_path_buf(), reply);
        if !self.shared.signal(asked) {
            return Err(StoreError::Closed);
        }
        answer.recv().unwrap_or(Err(StoreError::Closed))
    }

    fn space(&self) -> Option<FreeSpace> {
        let free = self.options.disk.free_bytes(&self.options.directory);
        Some(FreeSpace {
            free_bytes: free.ok()?,
            limit_bytes: self.shared.disk_free_limit.load(Ordering::Relaxed),
        })
    }

    fn set_disk_free_limit(&self, bytes: u64) {
        let bytes = bytes.max(self.options.disk_free_floor());
        self.shared.disk_free_limit.store(bytes, Ordering::Relaxed);
    }

    fn status(&self) -> StoreStatus {
        let space = self.space();
        let segments = self.log.segments();
        let checkpoints = self.checkpoints.lock();
        let mut report = (*self.report).clone();
        report.damage.extend(checkpoints.damage.iter().cloned());
        StoreStatus {
            durability: self.options.durability,
            failed: self.shared.board.failure(),
            checkpoint_failed: checkpoints.failed.clone(),
            disk_free_bytes: space.map(|space| space.free_bytes),
            disk_free_limit_bytes: self.shared.disk_free_limit.load(Ordering::Relaxed),
            segments: segments.len() as u64,
            log_bytes: segments.iter().map(|segment| segment.file_bytes).sum(),
            state_bytes: self.state.bytes_on_disk(),
            checkpoints: checkpoints.done,
            report,
        }
    }

    fn close(&self) {
        self.end(Signal::Close);
    }
}

impl Drop for DurableStore {
    fn drop(&mut self) {
        self.end(Signal::Abort);
    }
}
