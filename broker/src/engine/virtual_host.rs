//! A virtual host: names that lead to queues and exchanges.
//!
//! Reading a name takes one short read lock on one shard. Changing anything goes through the
//! host's `definitions` lock, so two unequal declarations cannot race (see `declare.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::{AHashMap, RandomState};
use parking_lot::{Mutex, RwLock};

use super::definitions::Definitions;
use super::exchange::Exchange;
use super::meters::Past;
use super::parameters::HostParameters;
use super::policies::Policies;
use super::queue::Queue;
use super::reply::ReplyRegistry;
use crate::model::{
    AmqpError, Arguments, Entity, ExchangeDefinition, ExchangeKind, ExchangeName, QueueName,
    VirtualHostLimits, VirtualHostMetadata, VirtualHostName,
};

const SHARDS: usize = 16;

/// The exchanges that every virtual host has from the start (spec 3.1.1), and whether each is
/// internal.
const PREDECLARED: [(&str, ExchangeKind, bool); 7] = [
    ("", ExchangeKind::Direct, false),
    ("amq.direct", ExchangeKind::Direct, false),
    ("amq.fanout", ExchangeKind::Fanout, false),
    ("amq.topic", ExchangeKind::Topic, false),
    ("amq.headers", ExchangeKind::Headers, false),
    ("amq.match", ExchangeKind::Headers, false),
    ("amq.rabbitmq.trace", ExchangeKind::Topic, true),
];

/// A virtual host.
#[derive(Debug)]
pub(crate) struct VirtualHost {
    name: VirtualHostName,
    queues: [RwLock<AHashMap<QueueName, Arc<Queue>>>; SHARDS],
    exchanges: RwLock<AHashMap<ExchangeName, Arc<Exchange>>>,
    /// Spreads queue names over the shards; seeded, because clients choose the names.
    hasher: RandomState,
    /// Counts every change of names or bindings; cached routes are good as long as it stands.
    generation: AtomicU64,
    metadata: RwLock<VirtualHostMetadata>,
    limits: RwLock<VirtualHostLimits>,
    pub(super) definitions: Mutex<Definitions>,
    pub(super) replies: Arc<ReplyRegistry>,
    /// What was counted here of clients that are gone.
    pub(super) past: Past,
    pub(super) policies: Policies,
    pub(super) parameters: HostParameters,
}

impl VirtualHost {
    /// A host with the predeclared exchanges only.
    pub(crate) fn new(name: VirtualHostName) -> Self {
        let exchanges = PREDECLARED.into_iter().map(|(exchange, kind, internal)| {
            let definition = ExchangeDefinition {
                name: exchange.into(),
                kind,
                durable: true,
                auto_delete: false,
                internal,
                alternate: None,
                arguments: Arguments::default(),
            };
            (definition.name.clone(), Arc::new(Exchange::new(definition)))
        });
        Self {
            name,
            queues: Default::default(),
            exchanges: RwLock::new(exchanges.collect()),
            hasher: RandomState::new(),
            generation: AtomicU64::new(1),
            metadata: RwLock::default(),
            limits: RwLock::default(),
            definitions: Mutex::default(),
            replies: Arc::default(),
            past: Past::default(),
            policies: Policies::default(),
            parameters: HostParameters::default(),
        }
    }

    /// The host's name.
    pub(crate) const fn name(&self) -> &VirtualHostName {
        &self.name
    }

    /// What is said of it.
    pub(crate) fn metadata(&self) -> VirtualHostMetadata {
        self.metadata.read().clone()
    }

    /// What it is held to.
    pub(crate) fn limits(&self) -> VirtualHostLimits {
        *self.limits.read()
    }

    /// What disk and exports know of it, but for what is in it.
    pub(super) fn entity(&self) -> Entity {
        Entity::VirtualHost {
            name: self.name.clone(),
            metadata: self.metadata(),
            limits: self.limits(),
        }
    }

    pub(super) fn describe(&self, metadata: VirtualHostMetadata) {
        *self.metadata.write() = metadata;
    }

    pub(super) fn limit(&self, limits: VirtualHostLimits) {
        *self.limits.write() = limits;
    }

    /// Whether `name` is one of the exchanges that the broker itself declares.
    pub(crate) fn is_predeclared(name: &str) -> bool {
        PREDECLARED.iter().any(|(exchange, ..)| *exchange == name)
    }

    /// The number of the current state of names and bindings.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Makes every cached route stale.
    pub(super) fn changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// The queue of that name.
    pub(crate) fn queue(&self, name: &str) -> Option<Arc<Queue>> {
        self.shard(name).read().get(name).cloned()
    }

    /// The queue of that name, or the 404 that says it does not exist.
    pub(crate) fn existing_queue(&self, name: &QueueName) -> Result<Arc<Queue>, AmqpError> {
        self.queue(name.as_str())
            .ok_or_else(|| AmqpError::no_queue(name, &self.name))
    }

    /// The queue of that name for an operation of `connection`: 404 if there is none, 405 if it is
    /// exclusive to another connection (spec 4.2.2).
    pub(crate) fn usable_queue(
        &self,
        name: &QueueName,
        connection: u64,
    ) -> Result<Arc<Queue>, AmqpError> {
        let queue = self.existing_queue(name)?;
        if queue.is_locked_for(connection) {
            return Err(AmqpError::queue_locked(name, &self.name));
        }
        Ok(queue)
    }

    /// The exchange of that name.
    pub(crate) fn exchange(&self, name: &str) -> Option<Arc<Exchange>> {
        self.exchanges.read().get(name).cloned()
    }

    /// The exchange of that name, or the 404 that says it does not exist.
    pub(crate) fn existing_exchange(
        &self,
        name: &ExchangeName,
    ) -> Result<Arc<Exchange>, AmqpError> {
        self.exchange(name.as_str())
            .ok_or_else(|| AmqpError::no_exchange(name, &self.name))
    }

    /// How many exchanges there are.
    pub(crate) fn exchange_count(&self) -> usize {
        self.exchanges.read().len()
    }

    /// How many queues there are.
    pub(crate) fn queue_count(&self) -> usize {
        self.queues.iter().map(|shard| shard.read().len()).sum()
    }

    /// All queues, in no order.
    pub(crate) fn all_queues(&self) -> Vec<Arc<Queue>> {
        self.queues
            .iter()
            .flat_map(|shard| shard.read().values().cloned().collect::<Vec<_>>())
            .collect()
    }

    /// All exchanges, in no order.
    pub(crate) fn all_exchanges(&self) -> Vec<Arc<Exchange>> {
        self.exchanges.read().values().cloned().collect()
    }

    pub(super) fn insert_queue(&self, queue: Arc<Queue>) {
        self.shard(queue.name().as_str())
            .write()
            .insert(queue.name().clone(), queue);
        self.changed();
    }

    pub(super) fn forget_queue(&self, name: &QueueName) {
        self.shard(name.as_str()).write().remove(name.as_str());
        self.changed();
    }

    pub(super) fn insert_exchange(&self, exchange: Arc<Exchange>) {
        self.exchanges
            .write()
            .insert(exchange.definition.name.clone(), exchange);
        self.changed();
    }

    pub(super) fn forget_exchange(&self, name: &ExchangeName) {
        self.exchanges.write().remove(name.as_str());
        self.changed();
    }

    fn shard(&self, name: &str) -> &RwLock<AHashMap<QueueName, Arc<Queue>>> {
        let hash = self.hasher.hash_one(name);
        // The lowest bits choose the bucket inside the shard's own map, which hashes anew.
        &self.queues[(hash % SHARDS as u64) as usize]
    }
}
