//! An exchange at run time: its definition and its bindings, which lead straight to queues.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;

use super::counters::Counter;
use super::delay::Delay;
use super::queue::Queue;
#[cfg(feature = "management")]
use crate::model::BindingDefinition;
use crate::model::{
    DestinationKind, ExchangeArguments, ExchangeDefinition, ExchangeKind, ExchangeName, HashInput,
};
use crate::topology::BindingTable;

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(1);

/// What a binding leads to.
pub(crate) type Destination = crate::topology::Destination<Arc<Queue>, Arc<Exchange>>;

/// The kind and name that a definition gives to this end.
pub(super) fn identity(destination: &Destination) -> (DestinationKind, &str) {
    match destination {
        Destination::Queue(queue) => (DestinationKind::Queue, queue.name().as_str()),
        Destination::Exchange(exchange) => {
            (DestinationKind::Exchange, exchange.definition.name.as_str())
        }
    }
}

/// Whether bindings to this end can be durable (spec 3.4.7).
pub(super) fn is_durable(destination: &Destination) -> bool {
    match destination {
        Destination::Queue(queue) => queue.is_durable(),
        Destination::Exchange(exchange) => exchange.definition.durable,
    }
}

/// An exchange.
#[derive(Debug)]
pub(crate) struct Exchange {
    number: u64,
    /// As declared.
    pub(crate) definition: ExchangeDefinition,
    /// What of a message it hashes, if it chooses by a hash.
    pub(super) hash_input: HashInput,
    /// How it routes, sooner or later.
    pub(super) routing: ExchangeKind,
    /// What waits at it, if it is a delayed one.
    pub(super) delay: OnceLock<Arc<Delay>>,
    /// Its bindings. Read-locked for one routing decision, never across another lock.
    pub(crate) table: RwLock<BindingTable<Destination>>,
    /// Messages that were published to it.
    pub(crate) published_in: Counter,
    /// Messages that it gave to queues.
    pub(crate) published_out: Counter,
    /// Where a policy sends what it cannot route. A leaf: nothing else is locked meanwhile.
    policy_alternate: RwLock<Option<ExchangeName>>,
}

impl Exchange {
    /// An exchange without bindings.
    pub(crate) fn new(definition: ExchangeDefinition) -> Self {
        let arguments = ExchangeArguments::parse(definition.kind, definition.arguments.fields())
            // What is on disk was acceptable once.
            .unwrap_or_else(|_| ExchangeArguments::none(definition.kind));
        Self {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            hash_input: arguments.hash_input,
            routing: arguments.routing,
            delay: OnceLock::new(),
            table: RwLock::new(BindingTable::new(arguments.routing)),
            policy_alternate: RwLock::new(None),
            definition,
            published_in: Counter::default(),
            published_out: Counter::default(),
        }
    }

    /// Tells exchanges of the same name apart.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Its bindings, in no particular order.
    #[cfg(feature = "management")]
    pub(crate) fn bindings(&self) -> Vec<BindingDefinition> {
        let table = self.table.read();
        let bindings = table.iter().map(|binding| {
            let (destination_kind, destination) = identity(binding.destination);
            BindingDefinition {
                source: self.definition.name.clone(),
                destination_kind,
                destination: destination.to_owned(),
                routing_key: binding.routing_key.to_owned(),
                arguments: binding.arguments.clone(),
            }
        });
        bindings.collect()
    }

    /// Counts messages that came to it, and that it gave to queues.
    pub(super) fn published(&self, messages: u64, to_queues: u64) {
        self.published_in.add(messages);
        if to_queues > 0 {
            self.published_out.add(to_queues);
        }
    }

    /// Where messages go that it cannot route: the argument wins over a policy (spec 3.3.3).
    pub(crate) fn alternate(&self) -> Option<ExchangeName> {
        let declared = self.definition.alternate.clone();
        declared.or_else(|| self.policy_alternate.read().clone())
    }

    /// Takes what a policy says; whether that is something else than before.
    pub(super) fn set_policy_alternate(&self, alternate: Option<ExchangeName>) -> bool {
        let mut current = self.policy_alternate.write();
        let changed = *current != alternate;
        *current = alternate;
        changed
    }
}

impl Exchange {
    /// Whether it routes by topic, sooner or later: then there may be rights on topics (spec 8.2.1).
    pub(crate) fn routes_by_topic(&self) -> bool {
        self.routing == ExchangeKind::Topic
    }

    /// Whether it gives each message to one of its destinations.
    pub(super) const fn chooses_one(&self) -> bool {
        match self.routing {
            ExchangeKind::ConsistentHash | ExchangeKind::ModulusHash => true,
            ExchangeKind::Direct
            | ExchangeKind::Fanout
            | ExchangeKind::Topic
            | ExchangeKind::Headers
            | ExchangeKind::Delayed => false,
        }
    }

    /// Whether two messages with the same routing key may go different ways.
    pub(super) fn depends_on_more_than_keys(&self) -> bool {
        match self.definition.kind {
            ExchangeKind::Headers | ExchangeKind::Delayed => true,
            ExchangeKind::ConsistentHash => self.hash_input != HashInput::RoutingKey,
            ExchangeKind::Direct
            | ExchangeKind::Fanout
            | ExchangeKind::Topic
            | ExchangeKind::ModulusHash => false,
        }
    }
}

// Two exchanges are the same only if they are one: a name may be deleted and declared again.
impl PartialEq for Exchange {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Exchange {}

impl Hash for Exchange {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}
