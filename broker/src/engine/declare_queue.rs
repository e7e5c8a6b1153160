//! Declaring and deleting queues (spec 4.1, 4.2, 4.5).

use std::sync::Arc;

use super::Engine;
use super::definitions::{Changes, Definitions};
use super::exchange::Destination;
use super::queue::{CloseCondition, CloseRefusal, Queue};
use super::rights::Rights;
use super::virtual_host::VirtualHost;
use crate::model::{
    AmqpError, Entity, EntityKey, QueueArguments, QueueDefinition, QueueName, QueueProperties,
    QueueType, Resource, Verb,
};

use crate::store::Ticket;

/// What a client wants a queue to be.
#[derive(Debug)]
pub(crate) struct QueueDeclaration {
    /// As the client asked; an empty name asks for a generated one.
    pub(crate) definition: QueueDefinition,
    /// The connection that asks.
    pub(crate) connection: u64,
    /// What its user may do.
    pub(crate) rights: Arc<Rights>,
}

/// A queue that exists, and what its declaration tells the client.
#[derive(Debug)]
pub(crate) struct DeclaredQueue {
    /// Its name.
    pub(crate) name: QueueName,
    /// Messages that wait for a consumer.
    pub(crate) ready: u64,
    /// Consumers.
    pub(crate) consumers: usize,
    /// The answer must wait until this is durable.
    pub(crate) ticket: Ticket,
}

/// What a deletion tells the client.
#[derive(Debug, Default)]
pub(crate) struct DeletedQueue {
    /// The messages that were ready.
    pub(crate) ready: u64,
    /// The answer must wait until this is durable.
    pub(crate) ticket: Ticket,
}

impl VirtualHost {
    /// Answers a passive declaration (spec 4.1.4).
    pub(crate) fn inspect_queue(
        &self,
        engine: &Engine,
        name: &QueueName,
        connection: u64,
    ) -> Result<DeclaredQueue, AmqpError> {
        let queue = self.usable_queue(name, connection)?;
        Ok(declared(engine, &queue, Ticket::default()))
    }

    /// Makes the queue, or checks that it is as declared.
    pub(crate) fn declare_queue(
        &self,
        engine: &Arc<Engine>,
        mut declaration: QueueDeclaration,
    ) -> Result<DeclaredQueue, AmqpError> {
        let definition = &mut declaration.definition;
        let generated = definition.name.as_str().is_empty();
        let properties = QueueProperties {
            server_named: generated,
            durable: definition.durable,
            exclusive: definition.exclusive,
            auto_delete: definition.auto_delete,
        };
        if generated {
            definition.name = self.generated_name(definition)?;
        }
        let default_type = self.metadata().default_queue_type;
        let default_type = default_type.unwrap_or(engine.settings().default_queue_type);
        name_type(definition, default_type);
        if definition.exclusive {
            // Spec 4.1.6: what belongs to a connection cannot outlive it.
            definition.durable = false;
        }
        // RabbitMQ refuses even to declare an existing one again (spec 4.1.2).
        if !generated && definition.name.as_str().starts_with("amq.") {
            return Err(AmqpError::queue_name_reserved(&definition.name));
        }
        let rights = &declaration.rights;
        let name = Resource::Queue(definition.name.as_str());
        rights.check(Verb::Configure, name)?;
        let mut definitions = self.definitions.lock();
        definitions.check_alive(self.name())?;
        if let Some(existing) = self.queue(definition.name.as_str()) {
            self.check_equivalent(&existing, &declaration)?;
            // The first declaration may still be on its way to the disk.
            return Ok(declared(engine, &existing, engine.last_ticket()));
        }
        self.check_queue_limit(engine, &declaration.definition.name)?;
        let definition = &declaration.definition;
        let arguments = QueueArguments::parse(definition.arguments.fields(), properties)
            .and_then(|arguments| arguments.limit_deduplication(engine.settings().deduplication))
            .map_err(|error| error.for_queue(&definition.name, self.name()))?;
        if let Some(dead_letter) = &arguments.dead_letter {
            let rights = &declaration.rights;
            rights.check(Verb::Read, Resource::Queue(definition.name.as_str()))?;
            let exchange = dead_letter.exchange.as_str();
            rights.check(Verb::Write, Resource::Exchange(exchange))?;
        }
        let owner = definition.exclusive.then_some(declaration.connection);
        let terms = self.terms(&declaration.definition.name, &arguments);
        let queue = engine.new_queue(self.name(), declaration.definition, arguments, terms, owner);
        let ticket = self.publish_queue(engine, &mut definitions, &queue);
        Ok(declared(engine, &queue, ticket))
    }

    /// Spec 4.1.10 and 11.5.
    fn check_queue_limit(&self, engine: &Engine, name: &QueueName) -> Result<(), AmqpError> {
        let max = engine.settings().queues_max;
        if max > 0 && engine.total(Self::queue_count) >= max {
            return Err(AmqpError::too_many_queues(name, max));
        }
        match self.limits().queues() {
            Some(limit) if self.queue_count() as u64 >= limit => Err(
                AmqpError::virtual_host_has_all_queues(name, self.name(), limit),
            ),
            Some(_) | None => Ok(()),
        }
    }

    fn publish_queue(
        &self,
        engine: &Engine,
        definitions: &mut Definitions,
        queue: &Arc<Queue>,
    ) -> Ticket {
        let mut changes = Changes::default();
        if queue.is_durable() {
            changes.put(Entity::Queue {
                virtual_host: self.name().clone(),
                id: queue.id().0,
                definition: queue.definition().clone(),
            });
        }
        // The record goes first: what is published to the queue must follow it in the log.
        let ticket = changes.submit(engine);
        if let Some(connection) = queue.owner() {
            definitions.owned(connection, Arc::clone(queue));
        }
        self.insert_queue(Arc::clone(queue));
        engine.schedule(queue, queue.deadline());
        engine.counters.queues_created.add(1);
        ticket
    }

    fn check_equivalent(
        &self,
        existing: &Queue,
        declaration: &QueueDeclaration,
    ) -> Result<(), AmqpError> {
        let wanted = &declaration.definition;
        let current = existing.definition();
        if existing.is_locked_for(declaration.connection) || wanted.exclusive != current.exclusive {
            return Err(AmqpError::queue_locked(&wanted.name, self.name()));
        }
        let flags = [
            ("durable", wanted.durable, current.durable),
            ("auto_delete", wanted.auto_delete, current.auto_delete),
        ];
        for (argument, received, current) in flags {
            if received != current {
                let difference = format!("received '{received}' but current is '{current}'");
                return Err(AmqpError::queue_inequivalent(
                    argument,
                    &wanted.name,
                    self.name(),
                    &difference,
                ));
            }
        }
        let difference =
            QueueArguments::difference(current.arguments.fields(), wanted.arguments.fields());
        match difference {
            None => Ok(()),
            Some(difference) => Err(AmqpError::queue_inequivalent(
                difference.argument,
                &wanted.name,
                self.name(),
                &difference.text,
            )),
        }
    }

    /// Deletes a queue for a client (spec 4.5.1). A missing one counts as deleted.
    pub(crate) fn delete_queue(
        &self,
        engine: &Arc<Engine>,
        name: &QueueName,
        connection: u64,
        condition: CloseCondition,
    ) -> Result<DeletedQueue, AmqpError> {
        let mut definitions = self.definitions.lock();
        let Some(queue) = self.queue(name.as_str()) else {
            return Ok(DeletedQueue::default());
        };
        if queue.is_locked_for(connection) {
            return Err(AmqpError::queue_locked(name, self.name()));
        }
        if queue.arguments().queue_type() == QueueType::Quorum
            && let Some(flag) = condition.flag()
        {
            return Err(AmqpError::delete_condition_unsupported(
                flag,
                name,
                self.name(),
            ));
        }
        match self.remove_queue(engine, &mut definitions, &queue, condition) {
            Ok(deleted) => Ok(deleted),
            Err(CloseRefusal::NotEmpty) => Err(AmqpError::queue_not_empty(name, self.name())),
            Err(CloseRefusal::InUse) => Err(AmqpError::queue_in_use(name, self.name())),
        }
    }

    /// Deletes an auto-delete queue whose last consumer has gone, unless a new one came (4.2.3).
    pub(crate) fn delete_unused_queue(&self, engine: &Arc<Engine>, queue: &Arc<Queue>) -> Ticket {
        let mut definitions = self.definitions.lock();
        let condition = CloseCondition {
            if_unused: true,
            ..CloseCondition::default()
        };
        self.remove_queue(engine, &mut definitions, queue, condition)
            .map_or_else(|_| Ticket::default(), |deleted| deleted.ticket)
    }

    /// Deletes a queue that nobody has used for as long as its terms allow, unless somebody just did
    /// (spec 4.2.4).
    pub(super) fn delete_expired_queue(&self, engine: &Arc<Engine>, queue: &Arc<Queue>) {
        let mut definitions = self.definitions.lock();
        let condition = CloseCondition {
            if_unused: true,
            if_expired: Some(engine.now()),
            ..CloseCondition::default()
        };
        if self
            .remove_queue(engine, &mut definitions, queue, condition)
            .is_ok()
        {
            tracing::debug!(queue = %queue.name(), "a queue that nobody used has expired");
        }
    }

    /// Deletes what belongs to a connection that ends (spec 4.2.1).
    pub(crate) fn delete_exclusive_queues(&self, engine: &Arc<Engine>, connection: u64) -> Ticket {
        let mut definitions = self.definitions.lock();
        let mut last = Ticket::default();
        for queue in definitions.exclusive_queues(connection) {
            let removed =
                self.remove_queue(engine, &mut definitions, &queue, CloseCondition::default());
            last = last.max(removed.map_or_else(|_| Ticket::default(), |deleted| deleted.ticket));
        }
        last
    }

    fn remove_queue(
        &self,
        engine: &Arc<Engine>,
        definitions: &mut Definitions,
        queue: &Arc<Queue>,
        condition: CloseCondition,
    ) -> Result<DeletedQueue, CloseRefusal> {
        let Some(closed) = queue.close(engine, condition)? else {
            return Ok(DeletedQueue::default());
        };
        self.forget_queue(queue.name());
        if let Some(connection) = queue.owner() {
            definitions.disowned(connection, queue);
        }
        let mut changes = Changes::default();
        self.detach(
            definitions,
            &Destination::Queue(Arc::clone(queue)),
            &mut changes,
        );
        if queue.is_durable() {
            changes.remove(EntityKey::Queue { id: queue.id().0 });
        }
        engine.counters.queues_deleted.add(1);
        for link in closed.consumers {
            let outbox = Arc::clone(&link.outbox);
            outbox.push_cancelled(link);
        }
        Ok(DeletedQueue {
            ready: closed.ready,
            ticket: changes.submit(engine),
        })
    }
}

/// Writes the queue's type into its arguments where they name none (spec 4.1.7, 4.4.5).
fn name_type(definition: &mut QueueDefinition, default: QueueType) {
    let fits = definition.durable && !definition.exclusive && !definition.auto_delete;
    let queue_type = match default {
        QueueType::Quorum if fits => QueueType::Quorum,
        QueueType::Quorum | QueueType::Classic => QueueType::Classic,
    };
    if definition
        .arguments
        .fields()
        .get(QueueType::ARGUMENT)
        .is_none()
    {
        let arguments = &definition.arguments;
        definition.arguments = arguments.with_text(QueueType::ARGUMENT, queue_type.as_str());
    }
}

fn declared(engine: &Engine, queue: &Queue, ticket: Ticket) -> DeclaredQueue {
    let counts = queue.inspect(engine);
    DeclaredQueue {
        name: queue.name().clone(),
        ready: counts.ready,
        consumers: counts.consumers,
        ticket,
    }
}

impl VirtualHost {
    /// A name that nobody can guess or has taken (spec 4.1.1).
    fn generated_name(&self, definition: &QueueDefinition) -> Result<QueueName, AmqpError> {
        const PREFIX_BYTES_MAX: usize = 64;
        let fields = definition.arguments.fields();
        let prefix = match fields
            .get("x-name-prefix")
            .map(|value| (value.as_text(), value))
        {
            None => "amq.gen",
            Some((Some(prefix), _)) if prefix.len() <= PREFIX_BYTES_MAX => prefix,
            Some((_, value)) => {
                let detail = format!("unacceptable prefix of type {}", value.type_name());
                let name = &definition.name;
                return Err(AmqpError::queue_argument(
                    "x-name-prefix",
                    name,
                    self.name(),
                    &detail,
                ));
            }
        };
        let unique = super::random_text();
        Ok(QueueName::from(format!("{prefix}-{unique}")))
    }
}
