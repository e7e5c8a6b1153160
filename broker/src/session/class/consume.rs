//! Starting and stopping consumers (spec 5.3).

use std::sync::Arc;

use super::super::channel::Channel;
use super::super::core::Session;
use crate::engine::{
    ConsumeRefusal, Consumer, ConsumerLink, ConsumerTimeout, REPLY_QUEUE, ReplyConsumer,
    random_text,
};
use crate::model::{
    AmqpError, Arguments, ConsumerArguments, ConsumerTag, QueueType, ReplyCode, Resource, Verb,
};
use crate::wire::method::basic;

impl Session {
    /// Takes `basic.consume`.
    pub(super) fn consume(
        &mut self,
        number: u16,
        consume: &basic::Consume<'_>,
    ) -> Result<(), AmqpError> {
        let name = self.named_queue(number, consume.queue)?;
        if name.as_str() == REPLY_QUEUE {
            return self.consume_replies(number, consume);
        }
        let tag = consumer_tag(consume);
        let channel = self.channels.get(&number);
        if channel.is_some_and(|channel| channel.has_consumer(&tag)) {
            return Err(AmqpError::consumer_tag_reused(&tag));
        }
        self.check(Verb::Read, Resource::Queue(name.as_str()))?;
        let queue = self.host.usable_queue(&name, self.number())?;
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        check_count(channel, self.settings.consumers_per_channel_max)?;
        let queue_type = queue.arguments().queue_type();
        if queue_type == QueueType::Quorum && channel.limit.is_set() {
            return Err(AmqpError::global_qos_unsupported(&name, self.host.name()));
        }
        let arguments = ConsumerArguments::parse(consume.arguments, queue_type)
            .map_err(|error| error.for_queue(&name, self.host.name()))?;
        let link = Arc::new(ConsumerLink {
            key: self.engine.next_consumer_key(),
            queue: Arc::clone(&queue),
            outbox: Arc::clone(&self.outbox),
            connection: self.client.facts.number,
            channel: number,
            tag: ConsumerTag::from(tag.as_str()),
            arguments: Arguments::from_wire(consume.arguments.as_bytes()),
            no_ack: consume.no_ack,
            timeout: ConsumerTimeout::new(arguments.timeout_ms, queue.consumer_timeout_ms()),
            limit: Arc::clone(&channel.limit),
        });
        let consumer = Consumer {
            key: link.key,
            handle: Arc::clone(&link),
            no_ack: consume.no_ack,
            prefetch: channel.prefetch,
            priority: arguments.priority,
            // RabbitMQ's quorum queues take exclusive consumers for ordinary ones.
            exclusive: consume.exclusive && queue_type == QueueType::Classic,
        };
        if consumer.exclusive && queue.arguments().single_active_consumer {
            return Err(AmqpError::queue_in_exclusive_use(&name, self.host.name()));
        }
        queue.consume(consumer).map_err(|refusal| match refusal {
            ConsumeRefusal::ExclusiveUse => {
                AmqpError::queue_in_exclusive_use(&name, self.host.name())
            }
            ConsumeRefusal::TooMany => {
                AmqpError::new(ReplyCode::ResourceError, refusal.to_string())
            }
        })?;
        // A policy may have changed before the queue knew the consumer.
        link.timeout.set_of_queue(queue.consumer_timeout_ms());
        if let Some(timeout_ms) = link.timeout.ms() {
            channel.may_hold_for(timeout_ms);
        }
        channel
            .consumers
            .insert(link.tag.clone(), Arc::clone(&link));
        channel.note_consumers();
        if !consume.nowait {
            // Nothing leaves the outbox before this method is done, so this comes first (5.3.2).
            self.reply(number, basic::ConsumeOk { consumer_tag: &tag });
        }
        queue.resume(&self.engine, &link);
        Ok(())
    }

    /// Takes `basic.consume` of direct replies (spec 7.6.1).
    fn consume_replies(
        &mut self,
        number: u16,
        consume: &basic::Consume<'_>,
    ) -> Result<(), AmqpError> {
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        let tag = consumer_tag(consume);
        if channel.consumers.contains_key(tag.as_str()) {
            return Err(AmqpError::consumer_tag_reused(&tag));
        }
        if !consume.no_ack {
            let text = "reply consumer cannot acknowledge";
            return Err(AmqpError::new(ReplyCode::PreconditionFailed, text));
        }
        if channel.replies.is_some() {
            let text = "reply consumer already set";
            return Err(AmqpError::new(ReplyCode::PreconditionFailed, text));
        }
        check_count(channel, self.settings.consumers_per_channel_max)?;
        let consumer = ReplyConsumer {
            key: self.engine.next_consumer_key(),
            channel: number,
            tag: ConsumerTag::from(tag.as_str()),
            outbox: Arc::clone(&self.outbox),
        };
        channel.replies = Some(self.host.register_reply_consumer(consumer));
        channel.note_consumers();
        if !consume.nowait {
            self.reply(number, basic::ConsumeOk { consumer_tag: &tag });
        }
        Ok(())
    }

    /// Takes `basic.cancel` (spec 5.3.8).
    pub(super) async fn cancel(
        &mut self,
        number: u16,
        cancel: &basic::Cancel<'_>,
    ) -> Result<(), AmqpError> {
        let tag = cancel.consumer_tag;
        let link = self
            .channels
            .get(&number)
            .and_then(|channel| channel.consumers.get(tag).cloned());
        if let Some(link) = link {
            let unused = link.queue.cancel(&self.engine, &link);
            // What the queue handed over before goes out before the answer.
            self.drain(usize::MAX);
            if let Some(channel) = self.channels.get_mut(&number) {
                channel.consumers.remove(tag);
                channel.note_consumers();
            }
            if unused {
                let ticket = self.delete_if_unused(&link.queue);
                self.wait(ticket).await?;
            }
        }
        self.cancel_replies(number, tag);
        if !cancel.nowait {
            self.reply(number, basic::CancelOk { consumer_tag: tag });
        }
        Ok(())
    }

    /// Ends the consumer of direct replies, if it has that tag.
    fn cancel_replies(&mut self, number: u16, tag: &str) {
        let consumes = |channel: &Channel| channel.has_reply_consumer(tag);
        if self.channels.get(&number).is_some_and(consumes) {
            // What came before goes out before the answer.
            self.drain(usize::MAX);
            if let Some(channel) = self.channels.get_mut(&number) {
                channel.replies = None;
                channel.note_consumers();
            }
        }
    }
}

/// The tag that the client chose, or one that nobody has.
fn consumer_tag(consume: &basic::Consume<'_>) -> String {
    match consume.consumer_tag {
        "" => format!("amq.ctag-{}", random_text()),
        tag => tag.to_owned(),
    }
}

/// Whether the channel may have one more consumer.
fn check_count(channel: &Channel, consumers_max: usize) -> Result<(), AmqpError> {
    if consumers_max != 0 && channel.consumer_count() >= consumers_max {
        let text = format!("reached maximum ({consumers_max}) of consumers per channel");
        return Err(AmqpError::new(ReplyCode::NotAllowed, text));
    }
    Ok(())
}
