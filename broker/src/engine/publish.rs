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

/// The publish that a message came with, for its confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The channel.
    pub(crate) channel: u16,
    /// The publish's number on that channel; 0 if nobody waits for a confirm.
    pub(crate) number: u64,
}

/// Messages on their way to queues, collected while one read of a socket is worked on.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    queues: Vec<(Arc<Queue>, Vec<(Message, Origin)>)>,
}

/// What became of a burst.
#[derive(Debug, Default)]
pub(crate) struct Flushed {
    /// Everything that was taken is safe once this is durable; zero if nothing has to wait.
    pub(crate) ticket: Ticket,
    /// What some queue refused, a publish to several queues perhaps more than once.
    pub(crate) refused: Vec<Origin>,
}

impl Burst {
    /// Whether nothing was collected.
    pub(crate) const fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Adds a message for all queues of its route.
    pub(crate) fn add(&mut self, route: &Route, message: Message, origin: Origin) {
        let Some((last, others)) = route.queues.split_last() else {
            return;
        };
        for queue in others {
            self.add_to(queue, message.clone(), origin);
        }
        self.add_to(last, message, origin);
    }

    fn add_to(&mut self, queue: &Arc<Queue>, message: Message, origin: Origin) {
        // A fan-out meets its queues in the same order every time, so the search seldom goes far;
        // the newest is nearly always the right one when there is no fan-out.
        match self
            .queues
            .iter_mut()
            .rev()
            .find(|(known, _)| known == queue)
        {
            Some((_, messages)) => messages.push((message, origin)),
            None => self
                .queues
                .push((Arc::clone(queue), vec![(message, origin)])),
        }
    }

    /// Hands everything over.
    pub(crate) fn flush(&mut self, engine: &Arc<Engine>) -> Flushed {
        let mut flushed = Flushed::default();
        for (queue, messages) in self.queues.drain(..) {
            let (refused, ticket) = queue.publish(engine, messages);
            flushed.ticket = flushed.ticket.max(ticket);
            flushed.refused.extend(refused);
        }
        flushed
    }
}
