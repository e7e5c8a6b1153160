//! Class queue (spec 4).

use super::super::core::Session;
use super::without_line_ends;
use crate::engine::{BindingRequest, CloseCondition, QueueDeclaration};
use crate::model::{
    AmqpError, Arguments, DestinationKind, ExchangeName, QueueDefinition, QueueName, Resource, Verb,
};
use crate::wire::TableReader;
use crate::wire::method::queue;

impl Session {
    /// Takes a method of class queue.
    pub(super) async fn queue_method(
        &mut self,
        number: u16,
        method: &queue::Method<'_>,
    ) -> Result<(), AmqpError> {
        match method {
            queue::Method::Declare(declare) => self.declare_queue(number, declare).await,
            queue::Method::Bind(bind) => {
                let request = self.queue_binding(
                    number,
                    (bind.queue, bind.exchange, bind.routing_key),
                    bind.arguments,
                )?;
                let rights = self.rights();
                let ticket = self.host.bind(&self.engine, &rights, &request)?;
                self.wait(ticket).await?;
                if !bind.nowait {
                    self.reply(number, queue::BindOk {});
                }
                Ok(())
            }
            queue::Method::Unbind(unbind) => {
                let request = self.queue_binding(
                    number,
                    (unbind.queue, unbind.exchange, unbind.routing_key),
                    unbind.arguments,
                )?;
                let rights = self.rights();
                let ticket = self.host.unbind(&self.engine, &rights, &request)?;
                self.wait(ticket).await?;
                self.reply(number, queue::UnbindOk {});
                Ok(())
            }
            queue::Method::Purge(purge) => self.purge(number, purge).await,
            queue::Method::Delete(delete) => self.delete_queue(number, delete).await,
            queue::Method::DeclareOk(_)
            | queue::Method::BindOk(_)
            | queue::Method::PurgeOk(_)
            | queue::Method::DeleteOk(_)
            | queue::Method::UnbindOk(_) => Err(super::unimplemented_method()),
        }
    }

    async fn declare_queue(
        &mut self,
        number: u16,
        declare: &queue::Declare<'_>,
    ) -> Result<(), AmqpError> {
        let name = QueueName::from(&*without_line_ends(declare.queue));
        let connection = self.number();
        let declared = if let Some(declared) = self.host.declared_reply_queue(&name) {
            declared?
        } else if declare.passive {
            // Not the last declared queue: an empty name is one that nothing has.
            self.rights().check_any(Resource::Queue(name.as_str()))?;
            self.host.inspect_queue(&self.engine, &name, connection)?
        } else {
            let definition = QueueDefinition {
                name,
                durable: declare.durable,
                auto_delete: declare.auto_delete,
                exclusive: declare.exclusive,
                arguments: Arguments::from_wire(declare.arguments.as_bytes()),
            };
            let declaration = QueueDeclaration {
                definition,
                connection,
                rights: self.rights(),
            };
            self.host.declare_queue(&self.engine, declaration)?
        };
        self.wait(declared.ticket).await?;
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.last_queue = Some(declared.name.clone());
        }
        if !declare.nowait {
            let reply = queue::DeclareOk {
                queue: declared.name.as_str(),
                message_count: saturating(declared.ready),
                consumer_count: saturating(declared.consumers as u64),
            };
            self.reply(number, reply);
        }
        Ok(())
    }

    /// Spec 2.8: an empty queue name means the last one declared, and with an empty key that one
    /// is the key too.
    fn queue_binding(
        &self,
        number: u16,
        (queue, exchange, routing_key): (&str, &str, &str),
        arguments: TableReader<'_>,
    ) -> Result<BindingRequest, AmqpError> {
        let Some(channel) = self.channels.get(&number) else {
            return Err(AmqpError::no_last_queue());
        };
        let named = without_line_ends(queue);
        let destination = channel.queue_name(&named)?;
        let names_itself = named.is_empty() && routing_key.is_empty();
        let key = if names_itself {
            destination.as_str()
        } else {
            routing_key
        };
        Ok(BindingRequest {
            source: ExchangeName::from(&*without_line_ends(exchange)),
            destination_kind: DestinationKind::Queue,
            routing_key: key.to_owned(),
            destination: destination.as_str().to_owned(),
            arguments: Arguments::from_wire(arguments.as_bytes()).sorted(),
            connection: self.number(),
        })
    }

    async fn purge(&mut self, number: u16, purge: &queue::Purge<'_>) -> Result<(), AmqpError> {
        let name = self.named_queue(number, purge.queue)?;
        self.check(Verb::Read, Resource::Queue(name.as_str()))?;
        let queue = self.host.usable_queue(&name, self.number())?;
        let (purged, ticket) = queue.purge(&self.engine);
        self.wait(ticket).await?;
        if !purge.nowait {
            let reply = queue::PurgeOk {
                message_count: saturating(purged),
            };
            self.reply(number, reply);
        }
        Ok(())
    }

    async fn delete_queue(
        &mut self,
        number: u16,
        delete: &queue::Delete<'_>,
    ) -> Result<(), AmqpError> {
        let name = self.named_queue(number, delete.queue)?;
        self.check(Verb::Configure, Resource::Queue(name.as_str()))?;
        let condition = CloseCondition {
            if_empty: delete.if_empty,
            if_unused: delete.if_unused,
            ..CloseCondition::default()
        };
        let deleted = self
            .host
            .delete_queue(&self.engine, &name, self.number(), condition)?;
        self.wait(deleted.ticket).await?;
        if !delete.nowait {
            let reply = queue::DeleteOk {
                message_count: saturating(deleted.ready),
            };
            self.reply(number, reply);
        }
        Ok(())
    }

    /// The queue that a method on this channel means.
    pub(super) fn named_queue(&self, number: u16, name: &str) -> Result<QueueName, AmqpError> {
        let name = without_line_ends(name);
        match self.channels.get(&number) {
            Some(channel) => channel.queue_name(&name),
            None => Err(AmqpError::no_last_queue()),
        }
    }
}

/// Counts on the wire have 32 bits.
pub(super) fn saturating(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
