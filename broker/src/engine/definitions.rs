//! What must change together when names and bindings change.
//!
//! One lock per virtual host, first in the lock order. A change is checked, applied to the routing
//! tables and handed to the store under it; the answer to the client waits for the returned ticket
//! (guarantee G6). The store keeps the order in which it is handed things, so nothing that was
//! routed by a definition can survive a crash that the definition does not.

use std::sync::Arc;

use ahash::AHashMap;

use super::Engine;
use super::exchange::{Destination, Exchange, identity, is_durable};
use super::queue::Queue;
use super::virtual_host::VirtualHost;
use crate::model::{
    AmqpError, Arguments, BindingDefinition, DestinationKind, Entity, EntityChange, EntityKey,
    ExchangeName, Operation, VirtualHostName,
};
use crate::store::Ticket;

/// Which exchanges lead to a queue or exchange, and which queues belong to a connection.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    sources: AHashMap<(DestinationKind, String), AHashMap<ExchangeName, Source>>,
    exclusive: AHashMap<u64, Vec<Arc<Queue>>>,
    /// Whether the virtual host was deleted; connections that are not yet closed can make nothing in
    /// it any more.
    gone: bool,
}

#[derive(Debug)]
struct Source {
    exchange: Arc<Exchange>,
    bindings: usize,
}

impl Definitions {
    /// Notes that the virtual host is deleted.
    pub(super) const fn bury(&mut self) {
        self.gone = true;
    }

    /// Whether the virtual host is still there to make something in.
    pub(super) fn check_alive(&self, host: &VirtualHostName) -> Result<(), AmqpError> {
        if self.gone {
            return Err(AmqpError::no_virtual_host(host.as_str()));
        }
        Ok(())
    }

    /// Notes one more binding from `exchange` to `destination`.
    pub(super) fn bound(&mut self, exchange: &Arc<Exchange>, destination: &Destination) {
        let (kind, name) = identity(destination);
        let sources = self.sources.entry((kind, name.to_owned())).or_default();
        sources
            .entry(exchange.definition.name.clone())
            .or_insert_with(|| Source {
                exchange: Arc::clone(exchange),
                bindings: 0,
            })
            .bindings += 1;
    }

    /// Notes one binding less from `exchange` to `destination`.
    pub(super) fn unbound(&mut self, exchange: &ExchangeName, destination: &Destination) {
        let (kind, name) = identity(destination);
        let key = (kind, name.to_owned());
        let Some(sources) = self.sources.get_mut(&key) else {
            return;
        };
        if let Some(source) = sources.get_mut(exchange.as_str()) {
            source.bindings = source.bindings.saturating_sub(1);
            if source.bindings == 0 {
                sources.remove(exchange.as_str());
            }
        }
        if sources.is_empty() {
            self.sources.remove(&key);
        }
    }

    /// Forgets every binding to `destination` and names the exchanges that had one.
    pub(super) fn take_sources(&mut self, destination: &Destination) -> Vec<Arc<Exchange>> {
        let (kind, name) = identity(destination);
        self.sources
            .remove(&(kind, name.to_owned()))
            .map(|sources| {
                sources
                    .into_values()
                    .map(|source| source.exchange)
                    .collect()
            })
            .unwrap_or_default()
    }

    /// Notes that `queue` belongs to `connection`.
    pub(super) fn owned(&mut self, connection: u64, queue: Arc<Queue>) {
        self.exclusive.entry(connection).or_default().push(queue);
    }

    /// Notes that `queue` no longer exists.
    pub(super) fn disowned(&mut self, connection: u64, queue: &Queue) {
        if let Some(queues) = self.exclusive.get_mut(&connection) {
            queues.retain(|owned| owned.number() != queue.number());
            if queues.is_empty() {
                self.exclusive.remove(&connection);
            }
        }
    }

    /// The queues that belong to `connection`.
    pub(super) fn exclusive_queues(&self, connection: u64) -> Vec<Arc<Queue>> {
        self.exclusive.get(&connection).cloned().unwrap_or_default()
    }
}

/// The records of one change, written as one: all of them survive a crash, or none.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<EntityChange>);

impl Changes {
    /// The entity is as given from now on.
    pub(super) fn put(&mut self, entity: Entity) {
        self.0.push(EntityChange::Put(entity));
    }

    /// The entity is gone.
    pub(super) fn remove(&mut self, key: EntityKey) {
        self.0.push(EntityChange::Remove(key));
    }

    /// All of these.
    pub(super) fn extend(&mut self, changes: &[EntityChange]) {
        self.0.extend_from_slice(changes);
    }

    /// Hands the change to the store. The ticket is zero if nothing of it is durable.
    pub(super) fn submit(self, engine: &Engine) -> Ticket {
        let mut operations: Vec<Operation> = self.0.into_iter().map(Operation::Entity).collect();
        if operations.len() > 1 {
            operations = vec![Operation::Transaction(operations)];
        }
        engine.submit(&mut operations)
    }
}

/// The definition of one binding, as disk and listings know it.
pub(super) fn binding_definition(
    source: &ExchangeName,
    destination: &Destination,
    routing_key: &str,
    arguments: &Arguments,
) -> BindingDefinition {
    let (destination_kind, name) = identity(destination);
    BindingDefinition {
        source: source.clone(),
        destination_kind,
        destination: name.to_owned(),
        routing_key: routing_key.to_owned(),
        arguments: arguments.clone(),
    }
}

impl VirtualHost {
    /// Removes every binding that leads to `destination`, and the auto-delete exchanges that lose
    /// their last one by it, and theirs (spec 3.2.3).
    pub(super) fn detach(
        &self,
        definitions: &mut Definitions,
        destination: &Destination,
        changes: &mut Changes,
    ) {
        let mut gone = vec![destination.clone()];
        while let Some(destination) = gone.pop() {
            for source in definitions.take_sources(&destination) {
                let name = &source.definition.name;
                let (removed, emptied) = {
                    let mut table = source.table.write();
                    let removed = table.remove_destination(&destination);
                    (removed, table.is_empty())
                };
                if source.definition.durable && is_durable(&destination) {
                    for (routing_key, arguments) in removed {
                        let binding =
                            binding_definition(name, &destination, &routing_key, &arguments);
                        changes.remove(self.binding_key(binding));
                    }
                }
                if emptied && source.definition.auto_delete {
                    self.drop_exchange(definitions, &source, changes);
                    gone.push(Destination::Exchange(source));
                }
            }
        }
        self.changed();
    }

    /// Forgets an exchange with the bindings that lead away from it. Those that lead to it are for
    /// the caller to detach.
    pub(super) fn drop_exchange(
        &self,
        definitions: &mut Definitions,
        exchange: &Arc<Exchange>,
        changes: &mut Changes,
    ) {
        let name = &exchange.definition.name;
        for binding in exchange.table.read().iter() {
            let (destination, routing_key) = (binding.destination, binding.routing_key);
            let arguments = binding.arguments;
            definitions.unbound(name, destination);
            if exchange.definition.durable && is_durable(destination) {
                let binding = binding_definition(name, destination, routing_key, arguments);
                changes.remove(self.binding_key(binding));
            }
        }
        if let Some(delay) = exchange.delay.get() {
            delay.close();
            if exchange.definition.durable {
                changes.remove(EntityKey::Queue { id: delay.id().0 });
            }
        }
        if exchange.definition.durable {
            changes.remove(EntityKey::Exchange {
                virtual_host: self.name().clone(),
                name: name.clone(),
            });
        }
        self.forget_exchange(name);
    }

    /// Every binding that outlives connections: all but those to exclusive queues.
    pub(crate) fn shared_bindings(&self) -> Vec<BindingDefinition> {
        let mut bindings = Vec::new();
        for exchange in self.all_exchanges() {
            let name = &exchange.definition.name;
            for binding in exchange.table.read().iter() {
                if let Destination::Queue(queue) = binding.destination
                    && queue.owner().is_some()
                {
                    continue;
                }
                let (key, arguments) = (binding.routing_key, binding.arguments);
                bindings.push(binding_definition(
                    name,
                    binding.destination,
                    key,
                    arguments,
                ));
            }
        }
        bindings.sort_by(|left, right| {
            let of = |binding: &BindingDefinition| {
                let destination = (binding.destination_kind, binding.destination.clone());
                (
                    binding.source.clone(),
                    destination,
                    binding.routing_key.clone(),
                )
            };
            of(left).cmp(&of(right))
        });
        bindings
    }

    pub(super) fn binding_key(&self, definition: BindingDefinition) -> EntityKey {
        EntityKey::Binding {
            virtual_host: self.name().clone(),
            definition,
        }
    }
}
