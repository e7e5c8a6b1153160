//! What the threads of one run share: the clock, the counters, the wish to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::interrupt;

/// Shared by all threads of a run.
#[derive(Debug)]
pub(crate) struct Shared {
    epoch: Instant,
    failed: AtomicBool,
    finished: AtomicBool,
    pub(crate) producers: Vec<ProducerCounters>,
    pub(crate) consumers: Vec<ConsumerCounters>,
}

/// Written by one producer once per batch. The alignment keeps one thread's counters out of
/// another one's cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ProducerCounters {
    /// Sequence numbers used up; set before the first octet of a message is written.
    pub(crate) stamped: AtomicU64,
    pub(crate) published: AtomicU64,
    pub(crate) confirmed: AtomicU64,
    /// How many deliveries the published messages make.
    pub(crate) due: AtomicU64,
}

/// Written by one consumer thread once per batch.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ConsumerCounters {
    pub(crate) received: AtomicU64,
    /// Without those that had been received before.
    pub(crate) unique: AtomicU64,
    pub(crate) received_at: AtomicU64,
}

/// The counters at one moment, summed over the threads.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) at: u64,
    pub(crate) published: u64,
    pub(crate) confirmed: u64,
    pub(crate) received: u64,
}

impl Shared {
    pub(crate) fn new(producers: usize, consumers: usize) -> Self {
        Self {
            epoch: Instant::now(),
            failed: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            producers: (0..producers)
                .map(|_| ProducerCounters::default())
                .collect(),
            consumers: (0..consumers)
                .map(|_| ConsumerCounters::default())
                .collect(),
        }
    }

    /// Nanoseconds since the run began.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Makes every thread give up.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Whether all should give up.
    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || interrupt::requested()
    }

    /// Lets the consumers go home.
    pub(crate) fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
    }

    pub(crate) fn finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed) || self.failed()
    }

    pub(crate) fn totals(&self) -> Totals {
        let produced = |counter: fn(&ProducerCounters) -> &AtomicU64| {
            self.producers
                .iter()
                .map(|one| counter(one).load(Ordering::Relaxed))
                .sum()
        };
        Totals {
            at: self.now(),
            published: produced(|one| &one.published),
            confirmed: produced(|one| &one.confirmed),
            received: self
                .consumers
                .iter()
                .map(|one| one.received.load(Ordering::Relaxed))
                .sum(),
        }
    }

    /// Deliveries that are due and have not been received.
    pub(crate) fn in_flight(&self) -> u64 {
        let due: u64 = self
            .producers
            .iter()
            .map(|one| one.due.load(Ordering::Relaxed))
            .sum();
        let received = |one: &ConsumerCounters| one.unique.load(Ordering::Relaxed);
        due.saturating_sub(self.consumers.iter().map(received).sum())
    }

    /// When the latest message was received.
    pub(crate) fn received_at(&self) -> u64 {
        let at = |one: &ConsumerCounters| one.received_at.load(Ordering::Relaxed);
        self.consumers.iter().map(at).max().unwrap_or(0)
    }
}
