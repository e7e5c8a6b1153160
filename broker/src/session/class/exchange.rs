//! Class exchange (spec 3).

use super::super::core::Session;
use super::without_line_ends;
use crate::engine::BindingRequest;
use crate::model::{
    AmqpError, Arguments, DestinationKind, ExchangeArguments, ExchangeDefinition, ExchangeKind,
    ExchangeName,
};
use crate::wire::method::exchange;
use crate::wire::{Method, TableReader};

impl Session {
    /// Takes a method of class exchange.
    pub(super) async fn exchange_method(
        &mut self,
        number: u16,
        method: &exchange::Method<'_>,
    ) -> Result<(), AmqpError> {
        match method {
            exchange::Method::Declare(declare) => self.declare_exchange(number, declare).await,
            exchange::Method::Delete(delete) => {
                let name = ExchangeName::from(&*without_line_ends(delete.exchange));
                let rights = self.rights();
                let ticket =
                    self.host
                        .delete_exchange(&self.engine, &rights, &name, delete.if_unused)?;
                self.wait(ticket).await?;
                self.acknowledge(number, delete.nowait, exchange::DeleteOk {});
                Ok(())
            }
            exchange::Method::Bind(bind) => {
                let request = self.exchange_binding(
                    (bind.source, bind.destination, bind.routing_key),
                    bind.arguments,
                );
                let rights = self.rights();
                let ticket = self.host.bind(&self.engine, &rights, &request)?;
                self.wait(ticket).await?;
                self.acknowledge(number, bind.nowait, exchange::BindOk {});
                Ok(())
            }
            exchange::Method::Unbind(unbind) => {
                let request = self.exchange_binding(
                    (unbind.source, unbind.destination, unbind.routing_key),
                    unbind.arguments,
                );
                let rights = self.rights();
                let ticket = self.host.unbind(&self.engine, &rights, &request)?;
                self.wait(ticket).await?;
                self.acknowledge(number, unbind.nowait, exchange::UnbindOk {});
                Ok(())
            }
            exchange::Method::DeclareOk(_)
            | exchange::Method::DeleteOk(_)
            | exchange::Method::BindOk(_)
            | exchange::Method::UnbindOk(_) => Err(super::unimplemented_method()),
        }
    }

    fn acknowledge<'a>(&mut self, number: u16, nowait: bool, reply: impl Into<Method<'a>>) {
        if !nowait {
            self.reply(number, reply);
        }
    }

    async fn declare_exchange(
        &mut self,
        number: u16,
        declare: &exchange::Declare<'_>,
    ) -> Result<(), AmqpError> {
        let name = ExchangeName::from(&*without_line_ends(declare.exchange));
        if declare.passive {
            let rights = self.rights();
            self.host.inspect_exchange(&rights, &name)?;
            self.acknowledge(number, declare.nowait, exchange::DeclareOk {});
            return Ok(());
        }
        let kind = ExchangeKind::parse(declare.kind)
            .ok_or_else(|| AmqpError::unknown_exchange_type(declare.kind))?;
        let arguments = Arguments::from_wire(declare.arguments.as_bytes());
        let parsed = ExchangeArguments::parse(kind, arguments.fields())
            .map_err(|error| error.for_exchange(&name, self.host.name()))?;
        let definition = ExchangeDefinition {
            name,
            kind,
            durable: declare.durable,
            auto_delete: declare.auto_delete,
            internal: declare.internal,
            alternate: parsed.alternate,
            arguments,
        };
        let rights = self.rights();
        let ticket = self
            .host
            .declare_exchange(&self.engine, &rights, definition)?;
        self.wait(ticket).await?;
        self.acknowledge(number, declare.nowait, exchange::DeclareOk {});
        Ok(())
    }

    fn exchange_binding(
        &self,
        (source, destination, routing_key): (&str, &str, &str),
        arguments: TableReader<'_>,
    ) -> BindingRequest {
        BindingRequest {
            source: ExchangeName::from(&*without_line_ends(source)),
            destination_kind: DestinationKind::Exchange,
            destination: without_line_ends(destination).into_owned(),
            routing_key: routing_key.to_owned(),
            arguments: Arguments::from_wire(arguments.as_bytes()).sorted(),
            connection: self.number(),
        }
    }
}
