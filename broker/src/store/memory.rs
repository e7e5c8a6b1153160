//! The store that stores nothing: for brokers without a data folder, and for tests.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::model::{Operation, QueueId, Seq, Stored};

use super::{
    BlockReply, BodiesReply, CheckpointCallback, Failures, FreeSpace, LoadError, Progress, Store,
    StoreError, StoreStatus, Ticket,
};

/// Calls everything durable at once and keeps none of it.
#[derive(Debug)]
pub struct MemoryStore {
    last: Mutex<Ticket>,
    progress: watch::Sender<Progress>,
    next_queue: AtomicU32,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self {
            last: Mutex::new(Ticket(0)),
            progress: watch::Sender::new(Progress::default()),
            next_queue: AtomicU32::new(1),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn records(&self) -> bool {
        false
    }

    fn submit(&self, operations: &mut Vec<Operation>) -> Ticket {
        let mut last = self.last.lock();
        if !operations.is_empty() {
            last.0 += operations.len() as u64;
            operations.clear();
            self.progress.send_replace(Progress {
                written: *last,
                durable: *last,
                failed: Failures::default(),
            });
        }
        *last
    }

    fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    fn pending_bytes(&self) -> usize {
        0
    }

    fn load_bodies(&self, queue: QueueId, wanted: Vec<(Seq, Stored)>, reply: BodiesReply) {
        let gone = wanted
            .into_iter()
            .map(|(seq, _)| (seq, Err(LoadError::Gone { queue, seq })));
        reply(gone.collect());
    }

    fn load_heads(&self, queue: QueueId, wanted: Vec<(Seq, Stored)>, reply: BodiesReply) {
        self.load_bodies(queue, wanted, reply);
    }

    fn load_block(&self, _queue: QueueId, _level: u8, _block: u64, reply: BlockReply) {
        reply(Ok(Vec::new()));
    }

    fn on_checkpoint(&self, _callback: CheckpointCallback) {}

    fn next_queue_id(&self) -> QueueId {
        QueueId(self.next_queue.fetch_add(1, Ordering::Relaxed))
    }

    fn checkpoint(&self) {}

    fn backup(&self, _destination: &Path) -> Result<(), StoreError> {
        Err(StoreError::NothingOnDisk)
    }

    fn space(&self) -> Option<FreeSpace> {
        None
    }

    fn set_disk_free_limit(&self, _bytes: u64) {}

    fn status(&self) -> StoreStatus {
        StoreStatus::default()
    }

    fn close(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{QueueId, SeqRange};
    use crate::store::Outcome;

    #[test]
    fn everything_handed_over_is_durable_at_once() {
        let store = MemoryStore::new();
        let settle = Operation::Settle {
            queue: QueueId(1),
            ranges: vec![SeqRange::one(Seq::new(0, 1))],
        };
        let ticket = store.submit(&mut vec![settle.clone(), settle]);
        assert_eq!(ticket, Ticket(2));
        assert_eq!(store.progress().outcome(ticket), Outcome::Durable);
        assert_eq!(store.progress().outcome(Ticket(3)), Outcome::Pending);
    }

    #[test]
    fn queue_numbers_are_never_given_out_twice() {
        let store = MemoryStore::new();
        assert_ne!(store.next_queue_id(), store.next_queue_id());
    }
}
