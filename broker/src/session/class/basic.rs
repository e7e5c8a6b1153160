//! Class basic, but for the hot path: qos, get, recover (spec 5.2, 5.4).

use std::sync::Arc;

use super::super::core::Session;
use super::super::window::{Receiver, Unacked};
use super::queue::saturating;
use crate::engine::Event;
use crate::model::{AmqpError, QueueType, ReplyCode, Resource, Verb};
use crate::wire::encoder::{self, Content, Got};
use crate::wire::method::basic;

impl Session {
    /// Takes a method of class basic that is neither a publish nor a settlement.
    pub(super) async fn basic(
        &mut self,
        number: u16,
        method: &basic::Method<'_>,
    ) -> Result<(), AmqpError> {
        self.flush();
        match method {
            basic::Method::Qos(qos) => self.qos(number, *qos),
            basic::Method::Consume(consume) => self.consume(number, consume),
            basic::Method::Cancel(cancel) => self.cancel(number, cancel).await,
            basic::Method::Get(get) => self.get(number, get).await,
            basic::Method::RecoverAsync(recover) => self.recover(number, recover.requeue),
            basic::Method::Recover(recover) => {
                self.recover(number, recover.requeue)?;
                self.reply(number, basic::RecoverOk {});
                Ok(())
            }
            // The client's answer to our cancel (spec 5.3.8).
            basic::Method::CancelOk(_) => Ok(()),
            basic::Method::QosOk(_)
            | basic::Method::ConsumeOk(_)
            | basic::Method::Publish(_)
            | basic::Method::Return(_)
            | basic::Method::Deliver(_)
            | basic::Method::GetOk(_)
            | basic::Method::GetEmpty(_)
            | basic::Method::Ack(_)
            | basic::Method::Reject(_)
            | basic::Method::RecoverOk(_)
            | basic::Method::Nack(_) => Err(super::unimplemented_method()),
        }
    }

    fn qos(&mut self, number: u16, qos: basic::Qos) -> Result<(), AmqpError> {
        if qos.prefetch_size != 0 {
            let text = format!("prefetch_size!=0 ({})", qos.prefetch_size);
            return Err(AmqpError::new(ReplyCode::NotImplemented, text));
        }
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        let mut starved = Vec::new();
        if qos.global {
            starved = channel.limit.set(u32::from(qos.prefetch_count));
        } else {
            channel.prefetch = u32::from(qos.prefetch_count);
            channel.meter.prefetch.set(qos.prefetch_count.into());
        }
        self.reply(number, basic::QosOk {});
        for link in starved {
            link.queue.resume(&self.engine, &link);
        }
        Ok(())
    }

    async fn get(&mut self, number: u16, get: &basic::Get<'_>) -> Result<(), AmqpError> {
        let name = self.named_queue(number, get.queue)?;
        self.check(Verb::Read, Resource::Queue(name.as_str()))?;
        let queue = self.host.usable_queue(&name, self.number())?;
        let arguments = queue.arguments();
        if arguments.single_active_consumer && arguments.queue_type() == QueueType::Quorum {
            let host = self.host.name();
            return Err(AmqpError::get_beside_single_active(&name, host));
        }
        let Some((delivery, ready_left)) = queue.get(&self.engine, get.no_ack).await else {
            if let Some(channel) = self.channels.get(&number) {
                channel.meter.add(Event::GetEmpty, 1);
            }
            self.reply(number, basic::GetEmpty { cluster_id: "" });
            return Ok(());
        };
        let limit = self.limit();
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        channel.meter.add(Event::get(get.no_ack), 1);
        if delivery.redelivered {
            channel.meter.add(Event::Redeliver, 1);
        }
        let unacked = (!get.no_ack).then(|| {
            channel.limit.take_unasked();
            Unacked {
                receiver: Receiver::Get(Arc::clone(&queue)),
                seq: delivery.seq,
                sent_ms: 0,
            }
        });
        let got = Got {
            delivery_tag: channel.window.push(unacked),
            redelivered: delivery.redelivered,
            address: delivery.message.envelope(),
            message_count: saturating(ready_left),
        };
        let content = Content {
            header: &delivery.message.header_for(delivery.attempts),
            body: delivery.message.body(),
        };
        encoder::get_ok(&mut self.out, number, &got, &content, limit)
            .map_err(|error| AmqpError::new(ReplyCode::ContentTooLarge, error.to_string()))?;
        Ok(())
    }
}
