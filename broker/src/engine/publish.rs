//! From a message to its queues: routing, and the bursts that lock each queue once.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Engine;
use super::exchange::Exchange;
use super::queue::Queue;
use super::virtual_host::VirtualHost;
use crate::model::{ExchangeKind, Message};
use crate::store::Ticket;
use crate::topology::{Graph, Router, Targets};
use crate::wire::TableReader;

/// The queues that a message goes to, each once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Route {
    queues: SmallVec<[Arc<Queue>; 2]>,
    depends_on_headers: bool,
}

impl Route {
    /// Whether no queue takes the message.
    pub(crate) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Whether another message with the same exchange and key may take another route.
    pub(crate) const fn depends_on_headers(&self) -> bool {
        self.depends_on_headers
    }

    /// The queues.
    pub(crate) fn queues(&self) -> &[Arc<Queue>] {
        &self.queues
    }

    /// Finds the queues for a message with these routing keys and headers (spec 3.3.3, 3.4, 5.1.8).
    pub(crate) fn find<'k>(
        host: &'k VirtualHost,
        exchange: &Arc<Exchange>,
        keys: impl Iterator<Item = &'k [u8]>,
        headers: TableReader<'k>,
    ) -> Self {
        let keys: SmallVec<[&[u8]; 4]> = keys.collect();
        let depends_on_headers = std::cell::Cell::new(false);
        let map = Map {
            host,
            keys,
            headers,
            depends_on_headers,
        };
        let mut router = Router::default();
        let queues = SmallVec::from(router.route(&map, exchange));
        Self {
            queues,
            depends_on_headers: map.depends_on_headers.get(),
        }
    }
}

/// The exchanges of a host, as one message sees them.
struct Map<'a> {
    host: &'a VirtualHost,
    keys: SmallVec<[&'a [u8]; 4]>,
    headers: TableReader<'a>,
    depends_on_headers: std::cell::Cell<bool>,
}

impl Graph for Map<'_> {
    type Exchange = Arc<Exchange>;
    type Queue = Arc<Queue>;

    fn route_from(
        &self,
        exchange: &Arc<Exchange>,
        targets: &mut Targets<'_, Arc<Queue>, Arc<Exchange>>,
    ) {
        if exchange.definition.kind == ExchangeKind::Headers {
            self.depends_on_headers.set(true);
        }
        if exchange.definition.name.is_default() {
            let queues = self
                .keys
                .iter()
                .filter_map(|key| self.host.queue(str::from_utf8(key).ok()?));
            for queue in queues {
                targets.add(&super::exchange::Destination::Queue(queue));
            }
            return;
        }
        let table = exchange.table.read();
        for key in &self.keys {
            table.route(key, self.headers, &mut |destination| {
                targets.add(destination)
            });
        }
    }

    fn alternate(&self, exchange: &Arc<Exchange>) -> Option<Arc<Exchange>> {
        self.host
            .exchange(exchange.definition.alternate.as_ref()?.as_str())
    }
}

/// Messages on their way to queues, collected while one read of a socket is worked on.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    queues: Vec<(Arc<Queue>, Vec<Message>)>,
}

impl Burst {
    /// Whether nothing was collected.
    pub(crate) const fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Adds a message for all queues of its route.
    pub(crate) fn add(&mut self, route: &Route, message: Message) {
        let Some((last, others)) = route.queues.split_last() else {
            return;
        };
        for queue in others {
            self.add_to(queue, message.clone());
        }
        self.add_to(last, message);
    }

    fn add_to(&mut self, queue: &Arc<Queue>, message: Message) {
        // A fan-out meets its queues in the same order every time, so the search seldom goes far;
        // the newest is nearly always the right one when there is no fan-out.
        match self
            .queues
            .iter_mut()
            .rev()
            .find(|(known, _)| known == queue)
        {
            Some((_, messages)) => messages.push(message),
            None => self.queues.push((Arc::clone(queue), vec![message])),
        }
    }

    /// Hands everything over. What was published is safe once the ticket is durable; zero if
    /// nothing has to wait.
    pub(crate) fn flush(&mut self, engine: &Arc<Engine>) -> Ticket {
        let mut ticket = Ticket::default();
        for (queue, messages) in self.queues.drain(..) {
            ticket = ticket.max(queue.publish(engine, messages));
        }
        ticket
    }
}
