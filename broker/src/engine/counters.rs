//! Counts of what has happened, for the overview. They only grow.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{DeathReason, QueueType};

/// One count.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Counts `count` more.
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The count so far.
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts of dead letters, by the type of the queue and the reason.
#[derive(Debug, Default)]
pub(crate) struct DeadLetterCounters([[Counter; DeathReason::ALL.len()]; QueueType::ALL.len()]);

impl DeadLetterCounters {
    /// The count of one type and reason.
    pub(crate) fn of(&self, queue_type: QueueType, reason: DeathReason) -> &Counter {
        &self.0[queue_type as usize][reason as usize]
    }
}

/// All counts of a broker.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Connections opened.
    pub(crate) connections_created: Counter,
    /// Connections closed.
    pub(crate) connections_closed: Counter,
    /// Channels opened.
    pub(crate) channels_created: Counter,
    /// Channels closed.
    pub(crate) channels_closed: Counter,
    /// Queues made.
    pub(crate) queues_created: Counter,
    /// Queues removed.
    pub(crate) queues_deleted: Counter,
    /// Messages on their way to a dead-letter exchange.
    pub(crate) dead_letters: DeadLetterCounters,
}
