//! How far the commit thread has come, for everybody else.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::{
    error::{CommitError, WaitError},
    id::{Lsn, Ticket},
};

/// Ranges of failed operations that are told apart; older ones are merged, as if everything between
/// them had failed too.
const FAILURES_MAX: usize = 256;

/// A range of operations that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The first of them.
    pub from: Ticket,
    /// The last of them.
    pub to: Ticket,
    /// Why the last of them failed.
    pub error: CommitError,
}

/// How far the log has come.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The last operation whose records were written.
    pub written: Ticket,
    /// The last operation that was announced as durable, in the sense of the log's
    /// [`Durability`](crate::Durability). All before it are durable or failed.
    pub durable: Ticket,
    /// The failure met last, if any.
    pub failed: Option<Failure>,
}

#[derive(Debug, Default)]
struct Failures {
    ranges: Vec<Failure>,
    closed: bool,
}

impl Failures {
    /// How an operation ended of whose outcome the author was told.
    fn outcome(&self, ticket: Ticket) -> Result<(), WaitError> {
        let range = self.ranges.iter().find(|range| ticket <= range.to);
        match range.filter(|range| ticket >= range.from) {
            Some(range) => Err(WaitError::Failed(range.error.clone())),
            None => Ok(()),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Board {
    written: AtomicU64,
    durable: AtomicU64,
    /// The last operation of whose outcome the author has been told.
    announced: AtomicU64,
    written_lsn: AtomicU64,
    durable_lsn: AtomicU64,
    /// How many ranges there are, so that nobody takes the lock while all is well.
    failed: AtomicUsize,
    failures: Mutex<Failures>,
    waiting: AtomicUsize,
    changed: Condvar,
}

impl Board {
    pub(crate) fn progress(&self) -> Progress {
        let failed = if self.failed.load(Ordering::Acquire) == 0 {
            None
        } else {
            self.failures.lock().ranges.last().cloned()
        };
        Progress {
            written: Ticket(self.written.load(Ordering::Acquire)),
            durable: Ticket(self.durable.load(Ordering::Acquire)),
            failed,
        }
    }

    pub(crate) fn written_lsn(&self) -> Lsn {
        Lsn(self.written_lsn.load(Ordering::Acquire))
    }

    pub(crate) fn durable_lsn(&self) -> Lsn {
        Lsn(self.durable_lsn.load(Ordering::Acquire))
    }

    pub(crate) fn set_written(&self, ticket: Ticket) {
        self.written.store(ticket.0, Ordering::Release);
    }

    pub(crate) fn set_written_lsn(&self, lsn: Lsn) {
        self.written_lsn.store(lsn.0, Ordering::Release);
    }

    pub(crate) fn set_durable_lsn(&self, lsn: Lsn) {
        self.durable_lsn.store(lsn.0, Ordering::Release);
    }

    pub(crate) fn set_durable(&self, ticket: Ticket) {
        self.durable.store(ticket.0, Ordering::Release);
    }

    pub(crate) fn fail(&self, failure: Failure) {
        let mut failures = self.failures.lock();
        match failures.ranges.last_mut() {
            Some(last) if last.to.0 + 1 >= failure.from.0 => {
                last.to = failure.to;
                last.error = failure.error;
            }
            _ => failures.ranges.push(failure),
        }
        if failures.ranges.len() > FAILURES_MAX {
            let oldest = failures.ranges.remove(0);
            failures.ranges[0].from = oldest.from;
        }
        self.failed.store(failures.ranges.len(), Ordering::Release);
    }

    /// The author knows the outcome up to here; now those who wait may.
    pub(crate) fn announce(&self, ticket: Ticket) {
        self.announced.store(ticket.0, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            // A waiter holds the lock from its last look until it sleeps.
            drop(self.failures.lock());
            self.changed.notify_all();
        }
    }

    /// Nothing changes any more.
    pub(crate) fn close(&self) {
        self.failures.lock().closed = true;
        self.changed.notify_all();
    }

    pub(crate) fn wait(&self, ticket: Ticket, timeout: Duration) -> Result<(), WaitError> {
        let deadline = Instant::now().checked_add(timeout);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut failures = self.failures.lock();
        let result = loop {
            if self.announced.load(Ordering::SeqCst) >= ticket.0 {
                break failures.outcome(ticket);
            }
            if failures.closed {
                break Err(WaitError::Failed(CommitError::Closed));
            }
            match deadline {
                None => self.changed.wait(&mut failures),
                Some(deadline) => {
                    if self.changed.wait_until(&mut failures, deadline).timed_out() {
                        break Err(WaitError::Timeout);
                    }
                }
            }
        };
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        result
    }
}
