//! From one exchange to queues: over exchange-to-exchange bindings and alternate exchanges.

use std::collections::HashSet;
use std::hash::Hash;

use ahash::RandomState;
use smallvec::SmallVec;

/// Up to this many items a scan is as fast as a hash.
const SCANNED_MAX: usize = 16;

/// What a message with a great many targets took is given back after it, not kept for the next.
const KEPT_MAX: usize = 1024;

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

    /// Adds the destinations that the exchange's own bindings give the message, for all of its
    /// routing keys. It may add one more than once.
    fn route_from(
        &self,
        exchange: &Self::Exchange,
        targets: &mut Targets<'_, Self::Queue, Self::Exchange>,
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
        if self.items.len() > KEPT_MAX {
            *self = Self::default();
        } else {
            self.items.clear();
            self.seen.clear();
        }
    }
}

/// Where one exchange puts the destinations it finds.
#[derive(Debug)]
pub struct Targets<'r, Q, E> {
    queues: &'r mut Distinct<Q>,
    exchanges: &'r mut Distinct<E>,
    is_empty: bool,
}

impl<Q: Clone + Eq + Hash, E: Clone + Eq + Hash> Targets<'_, Q, E> {
    /// Notes that the exchange has taken the message, though it names no destination now.
    pub fn taken(&mut self) {
        self.is_empty = false;
    }

    /// Adds a destination.
    pub fn add(&mut self, destination: &Destination<Q, E>) {
        self.is_empty = false;
        match destination {
            Destination::Queue(queue) => self.queues.push(queue),
            Destination::Exchange(exchange) => self.exchanges.push(exchange),
        }
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
        let mut targets = Targets {
            queues: &mut self.queues,
            exchanges: &mut self.exchanges,
            is_empty: true,
        };
        graph.route_from(exchange, &mut targets);
        if targets.is_empty
            && let Some(alternate) = graph.alternate(exchange)
        {
            self.exchanges.push(&alternate);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use proptest::prelude::*;

    use super::*;

    /// Exchanges by number: what each routes to, and its alternate.
    #[derive(Debug, Default)]
    struct Exchanges {
        routes: Vec<Vec<Destination<u32, usize>>>,
        alternates: Vec<Option<usize>>,
        visited: RefCell<Vec<usize>>,
    }

    impl Graph for Exchanges {
        type Exchange = usize;
        type Queue = u32;

        fn route_from(&self, exchange: &usize, targets: &mut Targets<'_, u32, usize>) {
            self.visited.borrow_mut().push(*exchange);
            self.routes[*exchange].iter().for_each(|to| targets.add(to));
        }

        fn alternate(&self, exchange: &usize) -> Option<usize> {
            self.alternates[*exchange]
        }
    }

    fn check(
        routes: &[&[Destination<u32, usize>]],
        alternates: &[Option<usize>],
        expected_queues: &[u32],
        expected_visits: &[usize],
    ) {
        let exchanges = Exchanges {
            routes: routes.iter().map(|routes| routes.to_vec()).collect(),
            alternates: alternates.to_vec(),
            visited: RefCell::default(),
        };
        let mut router = Router::default();
        assert_eq!(router.route(&exchanges, &0), expected_queues);
        assert_eq!(*exchanges.visited.borrow(), expected_visits);
    }

    use Destination::{Exchange, Queue};

    /// Spec 3.4.1.
    #[test]
    fn a_queue_is_reached_once_however_many_ways_lead_to_it() {
        let both = [Queue(1), Exchange(1), Queue(2), Queue(1)];
        check(
            &[&both, &[Queue(2), Queue(3)]],
            &[None, None],
            &[1, 2, 3],
            &[0, 1],
        );
    }

    /// Spec 3.4.8.
    #[test]
    fn exchanges_are_visited_breadth_first_and_once() {
        let routes: [&[_]; 4] = [
            &[Exchange(0), Exchange(1), Exchange(2)],
            &[Exchange(3), Queue(1)],
            &[Exchange(0), Queue(2)],
            &[Exchange(1), Queue(3)],
        ];
        check(&routes, &[None; 4], &[1, 2, 3], &[0, 1, 2, 3]);
    }

    /// Spec 3.3.3.
    #[test]
    fn an_alternate_takes_what_its_exchange_gives_nobody() {
        check(&[&[], &[Queue(7)]], &[Some(1), None], &[7], &[0, 1]);
        check(&[&[Queue(1)], &[Queue(7)]], &[Some(1), None], &[1], &[0]);
    }

    /// Spec 3.3.3: a destination counts even if it is an exchange that routes nowhere, or one that
    /// was visited before.
    #[test]
    fn an_exchange_that_routes_to_exchanges_needs_no_alternate() {
        check(
            &[&[Exchange(1)], &[], &[Queue(7)]],
            &[Some(2), None, None],
            &[],
            &[0, 1],
        );
        check(&[&[Exchange(0)], &[Queue(7)]], &[Some(1), None], &[], &[0]);
    }

    /// Spec 3.3.3.
    #[test]
    fn alternates_chain_and_their_cycles_end() {
        check(
            &[&[], &[], &[Queue(7)]],
            &[Some(1), Some(2), None],
            &[7],
            &[0, 1, 2],
        );
        check(&[&[], &[]], &[Some(1), Some(0)], &[], &[0, 1]);
        check(&[&[]], &[Some(0)], &[], &[0]);
    }

    /// Spec 3.3.3: behind a binding too, the alternate is asked for that exchange alone.
    #[test]
    fn a_bound_exchange_uses_its_own_alternate() {
        let routes: [&[_]; 3] = [&[Queue(1), Exchange(1)], &[], &[Queue(7)]];
        check(&routes, &[None, Some(2), None], &[1, 7], &[0, 1, 2]);
    }

    fn destination() -> impl Strategy<Value = Destination<u32, usize>> {
        prop_oneof![
            (0u32..60).prop_map(Queue),
            (0u32..60).prop_map(Queue),
            (0usize..30).prop_map(Exchange)
        ]
    }

    proptest! {
        #[test]
        fn every_reachable_queue_is_found_once_and_every_exchange_asked_once(
            graphs in prop::collection::vec(
                prop::collection::vec(
                    (prop::collection::vec(destination(), 0..8), prop::option::of(0usize..30)),
                    30,
                ),
                1..3,
            ),
        ) {
            let mut router = Router::default();
            for graph in graphs {
                let (routes, alternates) = graph.into_iter().unzip();
                let exchanges = Exchanges { routes, alternates, visited: RefCell::default() };
                let mut found = router.route(&exchanges, &0).to_vec();
                found.sort_unstable();
                let mut reachable = [false; 30];
                let mut expected = std::collections::BTreeSet::new();
                let mut open = vec![0];
                while let Some(exchange) = open.pop() {
                    if std::mem::replace(&mut reachable[exchange], true) {
                        continue;
                    }
                    let routes = &exchanges.routes[exchange];
                    for destination in routes {
                        match destination {
                            Queue(queue) => {
                                expected.insert(*queue);
                            }
                            Exchange(next) => open.push(*next),
                        }
                    }
                    if routes.is_empty() {
                        open.extend(exchanges.alternates[exchange]);
                    }
                }
                prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
                let mut visited = exchanges.visited.into_inner();
                visited.sort_unstable();
                let expected: Vec<_> = (0..30).filter(|exchange| reachable[*exchange]).collect();
                prop_assert_eq!(visited, expected);
            }
        }
    }
}
