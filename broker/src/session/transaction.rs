//! What a transactional channel has not committed yet (spec 6.2).

use crate::engine::Route;
use crate::model::{Message, Settlement};

use super::window::Unacked;

/// A message with the queues that it was routed to when it was published.
#[derive(Debug)]
pub(super) struct PendingPublish {
    pub(super) route: Route,
    pub(super) message: Message,
    /// At the commit it goes back to its publisher, since no queue takes it.
    pub(super) is_returned: bool,
}

/// Publishes and settlements that wait for `tx.commit`.
#[derive(Debug, Default)]
pub(super) struct PendingTransaction {
    /// In their order.
    pub(super) publishes: Vec<PendingPublish>,
    /// Deliveries that are to be settled, by their tag.
    pub(super) settlements: Vec<(u64, Unacked, Settlement)>,
    bytes: usize,
}

impl PendingTransaction {
    /// Adds a publish; `false`, and nothing added, if the transaction would be too large.
    pub(super) fn publish(&mut self, publish: PendingPublish, bytes_max: usize) -> bool {
        let bytes = self.bytes.saturating_add(publish.message.memory_bytes());
        if bytes > bytes_max {
            return false;
        }
        self.bytes = bytes;
        self.publishes.push(publish);
        true
    }

    /// Takes everything out.
    pub(super) fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}
