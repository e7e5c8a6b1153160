//! Declaring and deleting exchanges, binding and unbinding (spec 3.1–3.4).

use std::sync::Arc;

use super::Engine;
use super::definitions::{Changes, Definitions, binding_definition};
use super::exchange::{Destination, Exchange, is_durable};
use super::rights::Rights;
use super::virtual_host::VirtualHost;
use crate::model::{
    AmqpError, Arguments, DestinationKind, Entity, ExchangeArguments, ExchangeDefinition,
    ExchangeKind, ExchangeName, QueueName, ReplyCode, Resource, Verb,
};
use crate::queue::DelayedMessages;
use crate::store::Ticket;
use crate::topology::BindingArguments;

/// A binding that a client wants made or unmade.
#[derive(Debug)]
pub(crate) struct BindingRequest {
    /// Where messages come from.
    pub(crate) source: ExchangeName,
    /// What `destination` names.
    pub(crate) destination_kind: DestinationKind,
    /// Where they go.
    pub(crate) destination: String,
    /// The binding key.
    pub(crate) routing_key: String,
    /// The binding's arguments.
    pub(crate) arguments: Arguments,
    /// The connection that asks.
    pub(crate) connection: u64,
}

/// The ends of a binding that was just made.
struct Attached {
    source: Arc<Exchange>,
    destination: Destination,
}

impl VirtualHost {
    /// Answers a passive declaration (spec 3.1.5).
    pub(crate) fn inspect_exchange(
        &self,
        rights: &Rights,
        name: &ExchangeName,
    ) -> Result<(), AmqpError> {
        if name.is_default() {
            return Err(AmqpError::default_exchange());
        }
        rights.check_any(Resource::Exchange(name.as_str()))?;
        self.existing_exchange(name).map(drop)
    }

    /// Makes the exchange, or checks that it is as declared. The answer must wait until the ticket
    /// is durable.
    pub(crate) fn declare_exchange(
        &self,
        engine: &Engine,
        rights: &Rights,
        definition: ExchangeDefinition,
    ) -> Result<Ticket, AmqpError> {
        if definition.name.is_default() {
            return Err(AmqpError::default_exchange());
        }
        let name = Resource::Exchange(definition.name.as_str());
        rights.check(Verb::Configure, name)?;
        let definitions = self.definitions.lock();
        definitions.check_alive(self.name())?;
        if let Some(existing) = self.exchange(definition.name.as_str()) {
            self.check_equivalent_exchange(&existing.definition, &definition)?;
            return Ok(engine.last_ticket());
        }
        if definition.name.as_str().starts_with("amq.") {
            return Err(AmqpError::exchange_name_reserved(&definition.name));
        }
        if let Some(alternate) = &definition.alternate {
            rights.check(Verb::Read, name)?;
            rights.check(Verb::Write, Resource::Exchange(alternate.as_str()))?;
        }
        let max = engine.settings().exchanges_max;
        if max > 0 && engine.total(Self::exchange_count) >= max {
            let error = AmqpError::too_many_exchanges(&definition.name, self.name(), max);
            return Err(error);
        }
        let mut changes = Changes::default();
        if definition.durable {
            changes.put(Entity::Exchange {
                virtual_host: self.name().clone(),
                definition: definition.clone(),
            });
        }
        let exchange = Arc::new(Exchange::new(definition));
        if exchange.definition.kind == ExchangeKind::Delayed {
            self.delay(engine, &exchange, &mut changes);
        }
        let ticket = changes.submit(engine);
        self.govern_exchange(&exchange);
        self.insert_exchange(exchange);
        Ok(ticket)
    }

    /// Gives a delayed exchange its hidden queue.
    fn delay(&self, engine: &Engine, exchange: &Exchange, changes: &mut Changes) {
        let id = if exchange.definition.durable {
            let id = engine.store().next_queue_id();
            changes.put(Entity::Delay {
                virtual_host: self.name().clone(),
                id: id.0,
                exchange: exchange.definition.name.clone(),
            });
            id
        } else {
            engine.transient_queue_id()
        };
        let messages = DelayedMessages::default();
        let delay = engine.new_delay(self, exchange, id, messages);
        // The exchange is new and has none.
        let _ = exchange.delay.set(delay);
    }

    fn check_equivalent_exchange(
        &self,
        current: &ExchangeDefinition,
        wanted: &ExchangeDefinition,
    ) -> Result<(), AmqpError> {
        let text = |value: bool| value.to_string();
        let fields = [
            (
                "type",
                wanted.kind.as_str().to_owned(),
                current.kind.as_str().to_owned(),
            ),
            ("durable", text(wanted.durable), text(current.durable)),
            (
                "auto_delete",
                text(wanted.auto_delete),
                text(current.auto_delete),
            ),
            ("internal", text(wanted.internal), text(current.internal)),
        ];
        let refuse = |argument: &str, difference: String| {
            Err(AmqpError::exchange_inequivalent(
                argument,
                &wanted.name,
                self.name(),
                &difference,
            ))
        };
        for (argument, received, current) in fields {
            if received != current {
                return refuse(
                    argument,
                    format!("received '{received}' but current is '{current}'"),
                );
            }
        }
        let difference =
            ExchangeArguments::difference(current.arguments.fields(), wanted.arguments.fields());
        match difference {
            Some(difference) => refuse(difference.argument, difference.text),
            None => Ok(()),
        }
    }

    /// Deletes an exchange for a client (spec 3.2). A missing one counts as deleted.
    pub(crate) fn delete_exchange(
        &self,
        engine: &Engine,
        rights: &Rights,
        name: &ExchangeName,
        if_unused: bool,
    ) -> Result<Ticket, AmqpError> {
        if name.is_default() {
            return Err(AmqpError::default_exchange());
        }
        let mut definitions = self.definitions.lock();
        if name.as_str().starts_with("amq.") {
            return Err(AmqpError::exchange_is_system(name, self.name()));
        }
        rights.check(Verb::Configure, Resource::Exchange(name.as_str()))?;
        let Some(exchange) = self.exchange(name.as_str()) else {
            return Ok(Ticket::default());
        };
        if if_unused && !exchange.table.read().is_empty() {
            return Err(AmqpError::exchange_in_use(name, self.name()));
        }
        let mut changes = Changes::default();
        self.drop_exchange(&mut definitions, &exchange, &mut changes);
        self.detach(
            &mut definitions,
            &Destination::Exchange(exchange),
            &mut changes,
        );
        Ok(changes.submit(engine))
    }

    /// Makes a binding (spec 3.4). Making it again changes nothing.
    pub(crate) fn bind(
        &self,
        engine: &Engine,
        rights: &Rights,
        request: &BindingRequest,
    ) -> Result<Ticket, AmqpError> {
        self.check_ends(rights, request)?;
        let mut definitions = self.definitions.lock();
        definitions.check_alive(self.name())?;
        let Some(Attached {
            source,
            destination,
        }) = self.attach(&mut definitions, request)?
        else {
            return Ok(engine.last_ticket());
        };
        let mut changes = Changes::default();
        if source.definition.durable && is_durable(&destination) {
            changes.put(Entity::Binding {
                virtual_host: self.name().clone(),
                definition: binding_definition(
                    &request.source,
                    &destination,
                    &request.routing_key,
                    &request.arguments,
                ),
            });
        }
        Ok(changes.submit(engine))
    }

    /// Makes a binding that is on disk already.
    pub(super) fn restore_binding(&self, request: &BindingRequest) -> Result<(), AmqpError> {
        let mut definitions = self.definitions.lock();
        self.attach(&mut definitions, request).map(drop)
    }

    /// Adds a binding to the tables; `None` if it was there.
    fn attach(
        &self,
        definitions: &mut Definitions,
        request: &BindingRequest,
    ) -> Result<Option<Attached>, AmqpError> {
        // RabbitMQ looks for the source first: if both are missing, its error names that one.
        let source = self.existing_exchange(&request.source)?;
        let destination = self.destination(request)?;
        let arguments = BindingArguments::parse(
            source.routing,
            &request.routing_key,
            &request.destination,
            &request.arguments,
        )
        .map_err(|error| error.for_exchange(&request.source, self.name()))?;
        self.check_lock(request)?;
        let is_new = source
            .table
            .write()
            .bind(&destination, &request.routing_key, arguments);
        if !is_new {
            return Ok(None);
        }
        definitions.bound(&source, &destination);
        self.changed();
        Ok(Some(Attached {
            source,
            destination,
        }))
    }

    /// Unmakes a binding; whatever of it is missing does not matter (spec 3.4.2).
    pub(crate) fn unbind(
        &self,
        engine: &Engine,
        rights: &Rights,
        request: &BindingRequest,
    ) -> Result<Ticket, AmqpError> {
        self.check_ends(rights, request)?;
        let mut definitions = self.definitions.lock();
        if !self.is_bound(request) {
            return Ok(Ticket::default());
        }
        let destination = match self.destination(request) {
            Ok(destination) => destination,
            Err(error) if error.code == ReplyCode::NotFound => {
                return Ok(Ticket::default());
            }
            Err(error) => return Err(error),
        };
        self.check_lock(request)?;
        let Some(source) = self.exchange(request.source.as_str()) else {
            return Ok(Ticket::default());
        };
        let (existed, emptied) = {
            let mut table = source.table.write();
            let existed = table.unbind(&destination, &request.routing_key, &request.arguments);
            (existed, table.is_empty())
        };
        if !existed {
            return Ok(Ticket::default());
        }
        definitions.unbound(&request.source, &destination);
        self.changed();
        let mut changes = Changes::default();
        if source.definition.durable && is_durable(&destination) {
            changes.remove(self.binding_key(binding_definition(
                &request.source,
                &destination,
                &request.routing_key,
                &request.arguments,
            )));
        }
        if emptied && source.definition.auto_delete {
            self.drop_exchange(&mut definitions, &source, &mut changes);
            self.detach(
                &mut definitions,
                &Destination::Exchange(source),
                &mut changes,
            );
        }
        Ok(changes.submit(engine))
    }

    /// Whether there is such a binding, whoever may touch it (spec 3.4.2).
    fn is_bound(&self, request: &BindingRequest) -> bool {
        let Some(source) = self.exchange(request.source.as_str()) else {
            return false;
        };
        let destination = match request.destination_kind {
            DestinationKind::Queue => self.queue(&request.destination).map(Destination::Queue),
            DestinationKind::Exchange => self
                .exchange(&request.destination)
                .map(Destination::Exchange),
        };
        destination.is_some_and(|destination| {
            let table = source.table.read();
            table.contains(&destination, &request.routing_key, &request.arguments)
        })
    }

    /// Spec 3.4.4. RabbitMQ looks at this last, after what is missing and what is no argument.
    fn check_lock(&self, request: &BindingRequest) -> Result<(), AmqpError> {
        match request.destination_kind {
            DestinationKind::Exchange => Ok(()),
            DestinationKind::Queue => {
                let name = QueueName::from(request.destination.as_str());
                self.usable_queue(&name, request.connection).map(drop)
            }
        }
    }

    fn destination(&self, request: &BindingRequest) -> Result<Destination, AmqpError> {
        match request.destination_kind {
            DestinationKind::Queue => {
                let name = QueueName::from(request.destination.as_str());
                self.existing_queue(&name).map(Destination::Queue)
            }
            DestinationKind::Exchange => {
                let name = ExchangeName::from(request.destination.as_str());
                self.existing_exchange(&name).map(Destination::Exchange)
            }
        }
    }
}

impl VirtualHost {
    /// Spec 3.4.3, 3.4.5 and 3.4.6, in RabbitMQ's order.
    fn check_ends(&self, rights: &Rights, request: &BindingRequest) -> Result<(), AmqpError> {
        let destination = match request.destination_kind {
            DestinationKind::Queue => Resource::Queue(&request.destination),
            DestinationKind::Exchange => Resource::Exchange(&request.destination),
        };
        rights.check(Verb::Write, destination)?;
        if let Resource::Queue(name) = destination
            && super::reply::is_reply_name(name)
        {
            return Err(AmqpError::volatile_queue());
        }
        if request.source.is_default() || destination == Resource::Exchange("") {
            return Err(AmqpError::default_exchange());
        }
        rights.check(Verb::Read, Resource::Exchange(request.source.as_str()))?;
        let source = self.exchange(request.source.as_str());
        let by_topic = source.is_some_and(|source| source.routes_by_topic());
        if by_topic {
            let key = request.routing_key.as_bytes();
            rights.check_topic(Verb::Read, &request.source, key)?;
        }
        Ok(())
    }
}
