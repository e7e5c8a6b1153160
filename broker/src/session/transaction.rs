//! What a transactional channel has not committed yet (spec 6.2).

use crate::engine::Route;
use crate::model::{Message, Settlement};

use super::window::Unacked;

/// Publishes and settlements that wait for `tx.commit`.
#[derive(Debug, Default)]
pub(super) struct PendingTransaction {
    /// Messages with the queues that they were routed to when they were published.
    pub(super) publishes: Vec<(Route, Message)>,
    /// Deliveries that are to be settled, by their tag.
    pub(super) settlements: Vec<(u64, Unacked, Settlement)>,
    bytes: usize,
}

impl PendingTransaction {
    /// Adds a publish; `false`, and nothing added, if the transaction would be too large.
    pub(super) fn publish(&mut self, route: Route, message: Message, bytes_max: usize) -> bool {
        let bytes = self.bytes.saturating_add(message.memory_bytes());
        if bytes > bytes_max {
            return false;
        }
        self.bytes = bytes;
        self.publishes.push((route, message));
        true
    }

    /// Takes everything out.
    pub(super) fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}
