//! From what was on disk to a running engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Instant;

use ahash::AHashMap;
use parking_lot::{Mutex, RwLock};

use super::access::Access;
use super::alarms::Alarms;
use super::budget::BodyBudget;
use super::clients::Clients;
use super::counters::Counters;
use super::declare_exchange::BindingRequest;
use super::delay::Delays;
use super::exchange::Exchange;
use super::meters::Past;
use super::queue::Queue;
use super::settings::EngineSettings;
use super::timers::Timers;
use super::virtual_host::VirtualHost;
use super::{Engine, queue_settings};
use crate::model::{
    BindingDefinition, Entity, EntityChange, ExchangeName, QueueArguments, QueueDefinition,
    QueueId, QueueProperties, VirtualHostName,
};
use crate::queue::{
    BlockEntry, DelayedMessages, QueueState, Recovered as RecoveredState, RecoveredLevel,
};
use crate::store::{self, CheckpointNews, HeldLevel, Recovered, RecoveredQueue, Store};

/// The first number of queues that are not on disk. They never meet those that are, but a log line
/// should not confuse the two.
const TRANSIENT_QUEUE_FIRST: u32 = 1 << 31;

impl Engine {
    /// An engine with everything that `recovered` describes.
    pub(crate) fn start(
        settings: EngineSettings,
        store: Arc<dyn Store>,
        recovered: Recovered,
    ) -> Arc<Self> {
        let engine = Arc::new(Self {
            past: Past::default(),
            alarms: Alarms::new(settings.alarms),
            access: Access::new(settings.access.clone()),
            bodies: BodyBudget::new(settings.body_cache_bytes),
            settings,
            store,
            hosts: RwLock::default(),
            clients: Clients::default(),
            counters: Counters::default(),
            timers: Timers::default(),
            delays: Delays::default(),
            started: Instant::now(),
            next_consumer: AtomicU64::new(1),
            is_new: !recovered.definitions.iter().any(is_about_access),
            next_transient_queue: AtomicU32::new(TRANSIENT_QUEUE_FIRST),
            circles_told_from_ms: AtomicU64::new(0),
            last_ticket: AtomicU64::new(0),
            administration: Mutex::new(()),
            global_parameters: RwLock::default(),
        });
        let mut queues: AHashMap<QueueId, RecoveredQueue> = recovered
            .queues
            .into_iter()
            .map(|queue| (queue.id, queue))
            .collect();
        for entity in recovered.definitions {
            engine.apply(entity, &mut queues);
        }
        for host in engine.virtual_hosts() {
            // Those that the host itself declares are not among the definitions.
            for exchange in host.all_exchanges() {
                host.govern_exchange(&exchange);
            }
        }
        engine.follow_checkpoints();
        engine.schedule_all();
        engine
    }

    /// Makes sure that a virtual host exists, without recording it.
    pub(crate) fn ensure_virtual_host(&self, name: &VirtualHostName) -> Arc<VirtualHost> {
        let mut hosts = self.hosts.write();
        let host = hosts
            .entry(name.clone())
            .or_insert_with(|| Arc::new(VirtualHost::new(name.clone())));
        Arc::clone(host)
    }

    /// Applies one definition to the running engine without recording it: it is on disk already.
    fn apply(&self, entity: Entity, queues: &mut AHashMap<QueueId, RecoveredQueue>) {
        match entity {
            Entity::VirtualHost {
                name,
                metadata,
                limits,
            } => {
                let host = self.ensure_virtual_host(&name);
                host.describe(metadata);
                host.limit(limits);
            }
            Entity::Exchange {
                virtual_host,
                definition,
            } => {
                let host = self.ensure_virtual_host(&virtual_host);
                host.insert_exchange(Arc::new(Exchange::new(definition)));
            }
            Entity::Queue {
                virtual_host,
                id,
                definition,
            } => {
                let host = self.ensure_virtual_host(&virtual_host);
                let recovered = queues.remove(&QueueId(id));
                host.insert_queue(self.recover_queue(&host, QueueId(id), definition, recovered));
            }
            Entity::Delay {
                virtual_host,
                id,
                exchange,
            } => {
                let host = self.ensure_virtual_host(&virtual_host);
                let recovered = queues.remove(&QueueId(id));
                self.recover_delay(&host, QueueId(id), &exchange, recovered);
            }
            Entity::Binding {
                virtual_host,
                definition,
            } => {
                restore_binding(&self.ensure_virtual_host(&virtual_host), definition);
            }
            Entity::User { .. } | Entity::Permission { .. } | Entity::TopicPermission { .. } => {
                self.access.apply(&[EntityChange::Put(entity)]);
            }
            Entity::Policy { .. } | Entity::Parameter { .. } | Entity::GlobalParameter { .. } => {
                self.apply_policy(entity);
            }
        }
    }

    /// Applies a policy or a parameter; nothing else is one.
    fn apply_policy(&self, entity: Entity) {
        match entity {
            Entity::Policy {
                virtual_host,
                scope,
                policy,
            } => {
                let host = self.ensure_virtual_host(&virtual_host);
                host.restore_policy(scope, policy);
            }
            Entity::Parameter {
                virtual_host,
                component,
                name,
                value,
            } => {
                let host = self.ensure_virtual_host(&virtual_host);
                host.restore_parameter(component, name, value);
            }
            Entity::GlobalParameter { name, value } => {
                self.restore_global_parameter(name, value);
            }
            Entity::VirtualHost { .. }
            | Entity::Exchange { .. }
            | Entity::Queue { .. }
            | Entity::Delay { .. }
            | Entity::Binding { .. }
            | Entity::User { .. }
            | Entity::Permission { .. }
            | Entity::TopicPermission { .. } => {}
        }
    }

    fn recover_queue(
        &self,
        host: &VirtualHost,
        id: QueueId,
        definition: QueueDefinition,
        recovered: Option<RecoveredQueue>,
    ) -> Arc<Queue> {
        let properties = QueueProperties {
            server_named: false,
            durable: definition.durable,
            exclusive: definition.exclusive,
            auto_delete: definition.auto_delete,
        };
        let arguments = QueueArguments::parse(definition.arguments.fields(), properties)
            .unwrap_or_else(|error| {
                let (queue, host) = (&definition.name, host.name());
                tracing::error!(%queue, %host, %error, "arguments on disk are ignored");
                QueueArguments::default()
            })
            .confine_deduplication(self.settings.deduplication);
        let settings = queue_settings(&arguments, true);
        let keyed = match (&recovered, &arguments.deduplication) {
            (Some(queue), Some(deduplication)) => self.newest(queue, deduplication),
            (Some(_), None) | (None, _) => Vec::new(),
        };
        let state = recovered.map_or_else(
            || QueueState::new(settings),
            |recovered| QueueState::recover(settings, state(recovered)),
        );
        let mut state = state.on_terms(host.terms(&definition.name, &arguments));
        self.recall_keys(&mut state, id, &keyed);
        let host = host.name().clone();
        Arc::new(Queue::new(id, host, definition, arguments, None, state))
    }

    fn recover_delay(
        &self,
        host: &VirtualHost,
        id: QueueId,
        exchange: &ExchangeName,
        recovered: Option<RecoveredQueue>,
    ) {
        let Some(exchange) = host.exchange(exchange.as_str()) else {
            tracing::warn!(%exchange, host = %host.name(), "delayed messages have lost their exchange");
            return;
        };
        let level = recovered.and_then(|queue| state(queue).levels.into_iter().next());
        let messages = DelayedMessages::recover(level.unwrap_or_default());
        let delay = self.new_delay(host, &exchange, id, messages);
        // An exchange has one hidden queue at a time.
        let _ = exchange.delay.set(delay);
    }

    /// Lets long queues give up what the store's index holds as well.
    fn follow_checkpoints(self: &Arc<Self>) {
        let engine = Arc::downgrade(self);
        self.store().on_checkpoint(Box::new(move |news| {
            let Some(engine) = engine.upgrade() else {
                return;
            };
            engine.page_out(news);
        }));
    }
}

impl Engine {
    /// Gives up what the index holds of queues that are long enough for it to matter.
    fn page_out(self: &Arc<Self>, news: &CheckpointNews) {
        let held: AHashMap<QueueId, Vec<&HeldLevel>> =
            news.held
                .iter()
                .fold(AHashMap::default(), |mut held, level| {
                    held.entry(level.queue).or_insert_with(Vec::new).push(level);
                    held
                });
        for delay in self.all_delays() {
            for level in held.get(&delay.id()).into_iter().flatten() {
                delay.page_out(self, level.up_to);
            }
        }
        for host in self.virtual_hosts() {
            for queue in host.all_queues().iter().filter(|queue| queue.is_durable()) {
                for level in held.get(&queue.id()).into_iter().flatten() {
                    queue.page_out(self, level.level, level.up_to);
                }
            }
        }
    }
}

/// Whether the entity is one of those of which RabbitMQ, too, says that there must be none for a
/// default user to be made.
const fn is_about_access(entity: &Entity) -> bool {
    match entity {
        Entity::VirtualHost { .. }
        | Entity::User { .. }
        | Entity::Permission { .. }
        | Entity::TopicPermission { .. } => true,
        Entity::Exchange { .. }
        | Entity::Queue { .. }
        | Entity::Delay { .. }
        | Entity::Binding { .. }
        | Entity::Policy { .. }
        | Entity::Parameter { .. }
        | Entity::GlobalParameter { .. } => false,
    }
}

fn state(recovered: RecoveredQueue) -> RecoveredState {
    let highest = recovered.levels.iter().map(|level| level.level).max();
    let mut levels: Vec<RecoveredLevel> = Vec::new();
    levels.resize_with(
        highest.map_or(0, |highest| usize::from(highest) + 1),
        Default::default,
    );
    for level in recovered.levels {
        let entries = level.entries.into_iter().map(entry).collect();
        levels[usize::from(level.level)] = RecoveredLevel {
            next_position: level.next_position,
            lease: level.lease,
            blocks: level
                .blocks
                .into_iter()
                .map(|range| range.first..=range.last)
                .collect(),
            settled_since: level.settled_since,
            entries,
        };
    }
    RecoveredState {
        levels,
        ready_count: recovered.ready_count,
        ready_bytes: recovered.ready_bytes,
        delivery_counts: recovered
            .delivery_counts
            .into_iter()
            .map(|delivered| (delivered.seq, delivered.count))
            .collect(),
        all_redelivered: recovered.all_redelivered,
    }
}

/// An index entry in the queue's own terms.
pub(super) fn entry(entry: store::BlockEntry) -> BlockEntry {
    BlockEntry {
        seq: entry.seq,
        location: entry.stored,
        bytes: entry.bytes,
        deadline_ms: entry.deadline_ms,
        redelivered: entry.redelivered,
    }
}

fn restore_binding(host: &VirtualHost, definition: BindingDefinition) {
    let request = BindingRequest {
        source: definition.source,
        destination_kind: definition.destination_kind,
        destination: definition.destination,
        routing_key: definition.routing_key,
        arguments: definition.arguments,
        connection: 0,
    };
    if let Err(error) = host.restore_binding(&request) {
        tracing::warn!(%error, ?request, "a binding on disk has lost an end");
    }
}
