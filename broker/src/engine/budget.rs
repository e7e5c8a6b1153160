//! The bound on bodies that are kept in memory although the log holds them.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the bytes that all queues keep resident.
#[derive(Debug)]
pub(crate) struct BodyBudget {
    resident: AtomicUsize,
    max: usize,
}

impl BodyBudget {
    /// A budget of `max` bytes.
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            resident: AtomicUsize::new(0),
            max,
        }
    }

    /// Replaces one queue's share; returns by how many bytes the whole is over its bound.
    pub(crate) fn replace(&self, before: usize, now: usize) -> usize {
        let resident = if now >= before {
            self.resident
                .fetch_add(now - before, Ordering::Relaxed)
                .wrapping_add(now - before)
        } else {
            self.resident
                .fetch_sub(before - now, Ordering::Relaxed)
                .wrapping_sub(before - now)
        };
        resident.saturating_sub(self.max)
    }
}
