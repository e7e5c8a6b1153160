//! Methods by class: check, call the engine, reply.
//!
//! The methods of the hot path (publish and the settlements) only collect; all others first flush
//! what was collected, because they may have to see it.

mod basic;
mod connection;
mod consume;
mod exchange;
mod queue;
mod settle;
mod tx;

use std::sync::Arc;

use super::channel::Mode;
use super::core::{Session, parse, second_open};
use crate::engine::{ChannelLimits, ChannelMode, ChannelsFull, Rights, Ticket};
use crate::model::{AmqpError, ReplyCode, Resource, Verb};
use crate::wire::method::{access, basic as basic_class, channel, confirm};
use crate::wire::{Method, Sender};

impl Session {
    /// Takes a method on an open channel.
    pub(super) async fn method(&mut self, number: u16, payload: &[u8]) -> Result<(), AmqpError> {
        let method = parse(payload)?;
        let blame = |error: AmqpError| {
            if error.method.class == 0 {
                error.blaming(method.class_id(), method.method_id())
            } else {
                error
            }
        };
        self.expect_method(number, &method)?;
        if method.sender() == Sender::Server {
            return Err(blame(unimplemented_method()));
        }
        let outcome = match &method {
            Method::Basic(basic) => match basic {
                basic_class::Method::Publish(publish) => {
                    self.begin_publish(number, publish, payload);
                    Ok(())
                }
                basic_class::Method::Ack(ack) => self.ack(number, *ack),
                basic_class::Method::Nack(nack) => self.nack(number, *nack),
                basic_class::Method::Reject(reject) => self.reject(number, *reject),
                other => self.basic(number, other).await,
            },
            other => self.rare_method(number, other).await,
        };
        outcome.map_err(blame)
    }

    /// Spec 1.6.5: while content is on its way, no method may come on the channel.
    fn expect_method(&self, number: u16, method: &Method<'_>) -> Result<(), AmqpError> {
        let channel = self.channels.get(&number);
        let Some(text) = channel.and_then(|channel| channel.assembler.expects()) else {
            return Ok(());
        };
        Err(AmqpError::new(ReplyCode::UnexpectedFrame, text)
            .blaming(method.class_id(), method.method_id()))
    }

    async fn rare_method(&mut self, number: u16, method: &Method<'_>) -> Result<(), AmqpError> {
        self.flush();
        match method {
            Method::Channel(method) => self.channel_method(number, method).await,
            Method::Access(access::Method::Request(_)) => {
                self.reply(number, access::RequestOk { ticket: 1 });
                Ok(())
            }
            Method::Exchange(method) => self.exchange_method(number, method).await,
            Method::Queue(method) => self.queue_method(number, method).await,
            Method::Confirm(confirm::Method::Select(select)) => {
                self.select_confirms(number, select.nowait)
            }
            Method::Tx(method) => self.tx_method(number, *method).await,
            Method::Connection(_) | Method::Access(_) | Method::Confirm(_) | Method::Basic(_) => {
                Err(unimplemented_method())
            }
        }
    }

    async fn channel_method(
        &mut self,
        number: u16,
        method: &channel::Method<'_>,
    ) -> Result<(), AmqpError> {
        match method {
            channel::Method::Open(_) => Err(second_open()),
            channel::Method::Flow(flow) if flow.active => {
                self.reply(number, channel::FlowOk { active: true });
                Ok(())
            }
            channel::Method::Flow(_) => {
                Err(AmqpError::new(ReplyCode::NotImplemented, "active=false"))
            }
            channel::Method::Close(_) => {
                self.deliver_confirms();
                let ticket = self.release_channel(number);
                self.wait(ticket).await?;
                self.forget_channel(number);
                self.reply(number, channel::CloseOk {});
                Ok(())
            }
            channel::Method::FlowOk(_)
            | channel::Method::CloseOk(_)
            | channel::Method::OpenOk(_) => Err(unimplemented_method()),
        }
    }

    /// Spec 6.1.1.
    fn select_confirms(&mut self, number: u16, nowait: bool) -> Result<(), AmqpError> {
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        match &channel.mode {
            Mode::Transactional(_) => {
                let text = "cannot switch from tx to confirm mode";
                return Err(AmqpError::new(ReplyCode::PreconditionFailed, text));
            }
            Mode::Plain => {
                channel.mode = Mode::Confirm(Default::default());
                channel.meter.set_mode(ChannelMode::Confirm);
            }
            Mode::Confirm(_) => {}
        }
        if !nowait {
            self.reply(number, confirm::SelectOk {});
        }
        Ok(())
    }

    /// Waits until a change is durable before it is answered (guarantee G6).
    pub(super) async fn wait(&self, ticket: Ticket) -> Result<(), AmqpError> {
        self.engine
            .durable(ticket)
            .await
            .map_err(|error| AmqpError::new(ReplyCode::InternalError, error.to_string()))
    }
}

/// What the user may do, and how much of it.
impl Session {
    /// The rights as of now.
    pub(super) fn rights(&mut self) -> Arc<Rights> {
        Arc::clone(self.rights.refresh(&self.engine))
    }

    /// Whether the user may do `verb` with `resource` (spec 8.1).
    pub(super) fn check(&mut self, verb: Verb, resource: Resource<'_>) -> Result<(), AmqpError> {
        self.rights.refresh(&self.engine).check(verb, resource)
    }

    /// How many channels there may be (spec 2.2, 11.5).
    pub(super) fn channel_limits(&mut self) -> ChannelLimits {
        let user = self.rights.refresh(&self.engine).user();
        let node = self.settings.channels_max;
        ChannelLimits {
            node: (node > 0).then_some(node),
            user: user.and_then(|user| user.limits.channels()),
        }
    }

    /// The error that says that there are enough.
    pub(super) fn channels_full(&self, full: ChannelsFull) -> AmqpError {
        match full {
            ChannelsFull::OfUser(limit) => {
                AmqpError::user_channels_full(self.rights.current().name(), limit)
            }
            ChannelsFull::OfNode(limit) => {
                AmqpError::node_channels_full(&self.engine.settings().node_name, limit)
            }
        }
    }
}

/// Spec 1.6.8: a method that only a server may send.
fn unimplemented_method() -> AmqpError {
    AmqpError::new(ReplyCode::CommandInvalid, "unimplemented method")
}

/// Spec 2.10: line ends are not part of a name.
fn without_line_ends(name: &str) -> std::borrow::Cow<'_, str> {
    if name.contains(['\r', '\n']) {
        name.replace(['\r', '\n'], "").into()
    } else {
        name.into()
    }
}
