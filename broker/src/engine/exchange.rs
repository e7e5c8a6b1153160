//! An exchange at run time: its definition and its bindings, which lead straight to queues.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::queue::Queue;
use crate::model::{DestinationKind, ExchangeDefinition, ExchangeName};
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
    /// Its bindings. Read-locked for one routing decision, never across another lock.
    pub(crate) table: RwLock<BindingTable<Destination>>,
    /// Where a policy sends what it cannot route. A leaf: nothing else is locked meanwhile.
    policy_alternate: RwLock<Option<ExchangeName>>,
}

impl Exchange {
    /// An exchange without bindings.
    pub(crate) fn new(definition: ExchangeDefinition) -> Self {
        Self {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            table: RwLock::new(BindingTable::new(definition.kind)),
            policy_alternate: RwLock::new(None),
            definition,
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
