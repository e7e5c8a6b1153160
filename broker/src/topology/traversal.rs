//! From one exchange to queues: over exchange-to-exchange bindings and alternate exchanges.

use std::collections::HashSet;
use std::hash::Hash;

use ahash::RandomState;
use smallvec::SmallVec;

/// Up to this many items a scan is as fast as a hash.
const SCANNED_MAX: usize = 16;

/// What a binding leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Destination<Q, E> {
    /// A queue.
    Queue(Q),
    /// Another exchange.
    Exchange(E),
}

/// The exchanges of a virtual host, as one message sees them.
pub trait Graph {
    /// A handle of an exchange.
    type Exchange: Clone + Eq + Hash;
    /// A handle of a queue.
    type Queue: Clone + Eq + Hash;

    /// Names the destinations that the exchange's own bindings give the message, for all of its
    /// routing keys. It may name one more than once.
    fn route_from(
        &self,
        exchange: &Self::Exchange,
        sink: &mut dyn FnMut(&Destination<Self::Queue, Self::Exchange>),
    );

    /// The exchange's alternate, if it has one and that one exists.
    fn alternate(&self, exchange: &Self::Exchange) -> Option<Self::Exchange>;
}

/// Items in the order of their first arrival, each once. A few need no allocation.
#[derive(Clone, Debug)]
struct Distinct<T> {
    items: SmallVec<[T; 8]>,
    /// The same items; kept only while a scan would be slow.
    seen: HashSet<T, RandomState>,
}

impl<T> Default for Distinct<T> {
    fn default() -> Self {
        Self {
            items: SmallVec::new(),
            seen: HashSet::default(),
        }
    }
}

impl<T: Clone + Eq + Hash> Distinct<T> {
    fn push(&mut self, item: &T) {
        let is_new = if self.items.len() < SCANNED_MAX {
            !self.items.contains(item)
        } else {
            if self.seen.is_empty() {
                self.seen.extend(self.items.iter().cloned());
            }
            self.seen.insert(item.clone())
        };
        if is_new {
            self.items.push(item.clone());
        }
    }

    fn clear(&mut self) {
        self.items.clear();
        self.seen.clear();
    }
}

/// Routes messages, one after another, with the memory of the one before.
#[derive(Clone, Debug)]
pub struct Router<Q, E> {
    queues: Distinct<Q>,
    /// The exchanges in the order in which they are visited, breadth first.
    exchanges: Distinct<E>,
}

impl<Q, E> Default for Router<Q, E> {
    fn default() -> Self {
        Self {
            queues: Distinct::default(),
            exchanges: Distinct::default(),
        }
    }
}

impl<Q: Clone + Eq + Hash, E: Clone + Eq + Hash> Router<Q, E> {
    /// The queues that a message to `exchange` reaches, each once.
    ///
    /// Every exchange is visited once, so cycles end and the work is bounded by the bindings there
    /// are (spec 3.4.8). Where an exchange's own bindings give no destination, queue or exchange,
    /// its alternate is visited instead (spec 3.3.3).
    pub fn route(&mut self, graph: &impl Graph<Queue = Q, Exchange = E>, exchange: &E) -> &[Q] {
        self.clear();
        self.exchanges.push(exchange);
        let mut visited = 0;
        while let Some(exchange) = self.exchanges.items.get(visited).cloned() {
            self.visit(graph, &exchange);
            visited += 1;
        }
        &self.queues.items
    }

    /// The queues that the last call of `route` found.
    #[must_use]
    pub fn queues(&self) -> &[Q] {
        &self.queues.items
    }

    /// Lets go of the handles of the last message; the memory is kept for the next.
    pub fn clear(&mut self) {
        self.queues.clear();
        self.exchanges.clear();
    }

    fn visit(&mut self, graph: &impl Graph<Queue = Q, Exchange = E>, exchange: &E) {
        let Self { queues, exchanges } = self;
        let mut has_destination = false;
        graph.route_from(exchange, &mut |destination| {
            has_destination = true;
            match destination {
                Destination::Queue(queue) => queues.push(queue),
                Destination::Exchange(next) => exchanges.push(next),
            }
        });
        if !has_destination && let Some(alternate) = graph.alternate(exchange) {
            exchanges.push(&alternate);
        }
    }
}
