//! Ending an engine, and emptying one.

use std::sync::Arc;

use super::Engine;
use super::rights::Rights;
use super::virtual_host::VirtualHost;
use crate::store::Ticket;

impl Engine {
    /// Says exactly what was delivered (guarantee G7), then writes and syncs everything. Blocks.
    pub(crate) fn close(self: &Arc<Self>) {
        for host in self.virtual_hosts() {
            for queue in host.all_queues().iter().filter(|queue| queue.is_durable()) {
                queue.tighten(self);
            }
        }
        self.store().close();
    }

    /// Deletes everything that was declared. The ticket covers what of it was durable.
    pub(crate) fn reset(self: &Arc<Self>) -> Ticket {
        let _administration = self.administration.lock();
        self.virtual_hosts()
            .iter()
            .map(|host| host.clear(self))
            .max()
            .unwrap_or_default()
    }
}

impl VirtualHost {
    fn clear(&self, engine: &Arc<Engine>) -> Ticket {
        let rights = Rights::of_the_broker(self.name());
        let mut last = Ticket::default();
        for queue in self.all_queues() {
            let connection = queue.owner().unwrap_or(0);
            let deleted = self.delete_queue(engine, queue.name(), connection, Default::default());
            last = last.max(deleted.map_or_else(|_| Ticket::default(), |deleted| deleted.ticket));
        }
        for exchange in self.all_exchanges() {
            let name = &exchange.definition.name;
            if Self::is_predeclared(name.as_str()) {
                continue;
            }
            last = last.max(
                self.delete_exchange(engine, &rights, name, false)
                    .unwrap_or_default(),
            );
        }
        last
    }
}
