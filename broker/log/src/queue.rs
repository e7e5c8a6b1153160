//! What waits for the commit thread: operations, and requests to the log itself.

use std::sync::{
    atomic::{AtomicUsize, Ordering},
    mpsc,
};

use parking_lot::{Condvar, Mutex};

use crate::{
    author::Author,
    checkpoint::{Checkpoint, CheckpointDone},
    error::CommitError,
    id::{Lsn, Ticket},
    table::SegmentInfo,
};

type Keep<A> = Box<dyn FnMut(&mut A, &SegmentInfo) -> bool + Send>;
type Reply<T> = mpsc::SyncSender<Result<T, CommitError>>;

/// Something to be done between two turns.
pub(crate) enum Request<A> {
    /// Sync everything written.
    Sync { reply: Reply<Lsn> },
    Checkpoint {
        checkpoint: Checkpoint,
        keep: Keep<A>,
        reply: Reply<CheckpointDone>,
    },
}

/// What the commit thread takes in one go.
pub(crate) struct Batch<A: Author> {
    pub(crate) operations: Vec<A::Operation>,
    /// The last operation's.
    pub(crate) last: Ticket,
    pub(crate) requests: Vec<Request<A>>,
    pub(crate) closing: bool,
}

struct Waiting<A: Author> {
    operations: Vec<A::Operation>,
    submitted: u64,
    requests: Vec<Request<A>>,
    sleeping: bool,
    closing: bool,
    closed: bool,
}

pub(crate) struct Queue<A: Author> {
    waiting: Mutex<Waiting<A>>,
    wake: Condvar,
    bytes: AtomicUsize,
}

impl<A: Author> Queue<A> {
    pub(crate) fn new() -> Self {
        let waiting = Waiting {
            operations: Vec::new(),
            submitted: 0,
            requests: Vec::new(),
            sleeping: false,
            closing: false,
            closed: false,
        };
        Self {
            waiting: Mutex::new(waiting),
            wake: Condvar::new(),
            bytes: AtomicUsize::new(0),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn release_bytes(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn submit(&self, operations: &mut Vec<A::Operation>) -> Ticket {
        let bytes = operations
            .iter()
            .map(A::operation_bytes)
            .fold(0, usize::saturating_add);
        let count = operations.len() as u64;
        let mut dropped = Vec::new();
        let (ticket, wake) = {
            let mut waiting = self.waiting.lock();
            waiting.submitted += count;
            if waiting.closed {
                std::mem::swap(&mut dropped, operations);
                (waiting.submitted, false)
            } else {
                self.bytes.fetch_add(bytes, Ordering::Relaxed);
                if waiting.operations.is_empty() {
                    // The usual case under light load: no copying.
                    std::mem::swap(&mut waiting.operations, operations);
                } else {
                    waiting.operations.append(operations);
                }
                let wake = count > 0 && std::mem::take(&mut waiting.sleeping);
                (waiting.submitted, wake)
            }
        };
        if wake {
            self.wake.notify_one();
        }
        Ticket(ticket)
    }

    /// Hands a request over; `false` if the log is closed.
    pub(crate) fn request(&self, request: Request<A>) -> bool {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return false;
        }
        waiting.requests.push(request);
        waiting.sleeping = false;
        drop(waiting);
        self.wake.notify_one();
        true
    }

    /// Asks the commit thread to finish what waits and end.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closing = true;
        waiting.sleeping = false;
        drop(waiting);
        self.wake.notify_one();
    }

    /// Takes what waits, blocking until something does or `deadline` has come.
    pub(crate) fn take(&self, deadline: Option<std::time::Instant>) -> Batch<A> {
        let mut waiting = self.waiting.lock();
        while waiting.operations.is_empty() && waiting.requests.is_empty() && !waiting.closing {
            waiting.sleeping = true;
            match deadline {
                None => self.wake.wait(&mut waiting),
                Some(deadline) => {
                    if self.wake.wait_until(&mut waiting, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        waiting.sleeping = false;
        Batch {
            operations: std::mem::take(&mut waiting.operations),
            last: Ticket(waiting.submitted),
            requests: std::mem::take(&mut waiting.requests),
            closing: waiting.closing,
        }
    }

    /// Ends the log for submitters, unless something came in since the last look.
    pub(crate) fn finish(&self) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.closed = waiting.operations.is_empty() && waiting.requests.is_empty();
        waiting.closed
    }
}
