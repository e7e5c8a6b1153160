//! Direct reply-to: consumers without a queue, found by an address that nobody can guess (spec 7.6).
//!
//! A reply goes from the publisher straight to the requester's outbox. It is never stored, and it
//! is lost if the requester has gone or does not keep up with what is sent to it.

use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::RwLock;

use super::declare_queue::DeclaredQueue;
use super::outbox::Outbox;
use super::virtual_host::VirtualHost;
use crate::model::{AmqpError, ConsumerKey, ConsumerTag, QueueName};
use crate::store::Ticket;

/// What clients consume from, and put in the reply-to property of their requests.
pub(crate) const REPLY_QUEUE: &str = "amq.rabbitmq.reply-to";

const SECRET_BYTES: usize = 16;
const SECRET_LETTERS: usize = (SECRET_BYTES * 4).div_ceil(3);

/// The part of an address that cannot be guessed; `None` if the name is no address. Nothing but
/// its length is looked at: what is not registered leads nowhere.
fn secret(name: &str) -> Option<&str> {
    let secret = name.strip_prefix(REPLY_QUEUE)?.strip_prefix('.')?;
    (secret.len() == SECRET_LETTERS).then_some(secret)
}

/// Whether the name belongs to direct reply-to, whether or not anybody has that address.
pub(crate) fn is_reply_name(name: &str) -> bool {
    name.strip_prefix(REPLY_QUEUE)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A channel's consumer of replies.
#[derive(Debug)]
pub(crate) struct ReplyConsumer {
    /// Unique in the broker.
    pub(crate) key: ConsumerKey,
    /// The channel that it was started on.
    pub(crate) channel: u16,
    /// Its tag on that channel.
    pub(crate) tag: ConsumerTag,
    /// Where its replies wait.
    pub(crate) outbox: Arc<Outbox>,
}

/// The reply consumers of a virtual host, by the secret part of their addresses.
#[derive(Debug, Default)]
pub(super) struct ReplyRegistry {
    consumers: RwLock<AHashMap<String, Arc<ReplyConsumer>>>,
}

/// A reply consumer that can be reached, for as long as this lives.
#[derive(Debug)]
pub(crate) struct ReplyAddress {
    registry: Arc<ReplyRegistry>,
    consumer: Arc<ReplyConsumer>,
    name: String,
}

impl ReplyAddress {
    /// The whole address: the routing key of replies.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whose address it is.
    pub(crate) fn consumer(&self) -> &ReplyConsumer {
        &self.consumer
    }
}

impl Drop for ReplyAddress {
    fn drop(&mut self) {
        if let Some(secret) = secret(&self.name) {
            self.registry.consumers.write().remove(secret);
        }
    }
}

impl VirtualHost {
    /// Gives a reply consumer an address.
    pub(crate) fn register_reply_consumer(&self, consumer: ReplyConsumer) -> ReplyAddress {
        let secret = super::random_text();
        let name = format!("{REPLY_QUEUE}.{secret}");
        let (registry, consumer) = (Arc::clone(&self.replies), Arc::new(consumer));
        registry
            .consumers
            .write()
            .insert(secret, Arc::clone(&consumer));
        ReplyAddress {
            registry,
            consumer,
            name,
        }
    }

    /// The reply consumer with that address.
    pub(super) fn reply_consumer(&self, name: &str) -> Option<Arc<ReplyConsumer>> {
        self.replies.consumers.read().get(secret(name)?).cloned()
    }

    /// Answers a declaration of a name that belongs to direct reply-to, passive or not (spec
    /// 7.6.4); `None` for any other name.
    pub(crate) fn declared_reply_queue(
        &self,
        name: &QueueName,
    ) -> Option<Result<DeclaredQueue, AmqpError>> {
        if !is_reply_name(name.as_str()) {
            return None;
        }
        if name.as_str() != REPLY_QUEUE && self.reply_consumer(name.as_str()).is_none() {
            return Some(Err(AmqpError::no_queue(name, self.name())));
        }
        Some(Ok(DeclaredQueue {
            name: name.clone(),
            ready: 0,
            consumers: 1,
            ticket: Ticket::default(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::model::{Message, MessageParts};

    fn consumer(channel: u16) -> ReplyConsumer {
        ReplyConsumer {
            key: ConsumerKey(u64::from(channel)),
            channel,
            tag: ConsumerTag::from("tag"),
            outbox: Arc::new(Outbox::new(1)),
        }
    }

    #[test]
    fn an_address_leads_to_its_consumer_until_it_is_dropped() {
        let host = VirtualHost::new("/".into());
        let (first, second) = (
            host.register_reply_consumer(consumer(1)),
            host.register_reply_consumer(consumer(2)),
        );
        let found = |name: &str| host.reply_consumer(name).map(|found| found.channel);
        let gone = first.name().to_owned();
        assert_eq!(found(first.name()), Some(1));
        drop(first);
        assert_eq!(found(&gone), None);
        assert_eq!(found(second.name()), Some(2));
        drop(second);
        assert!(host.replies.consumers.read().is_empty());
    }

    fn message(bytes: u32) -> Message {
        let parts = MessageParts {
            exchange_bytes: 0,
            routing_key_bytes: 0,
            header_bytes: bytes,
            ..MessageParts::default()
        };
        Message::new(parts, &vec![0; bytes as usize + 2]).expect("lengths agree")
    }

    #[test]
    fn replies_wait_in_bounded_room_and_are_dropped_beyond_it() {
        let host = VirtualHost::new("/".into());
        let outbox = Arc::new(Outbox::new(1000));
        let address = host.register_reply_consumer(ReplyConsumer {
            outbox: Arc::clone(&outbox),
            ..consumer(1)
        });
        let push = |count: usize, bytes: u32| {
            let consumer = host.reply_consumer(address.name()).expect("registered");
            for _ in 0..count {
                Outbox::push_reply(Arc::clone(&consumer), message(bytes));
            }
        };
        let drained = |outbox: &Outbox| {
            let mut drained = VecDeque::new();
            outbox.drain(usize::MAX, &mut drained);
            drained.len()
        };
        push(1000, 1000);
        let waiting = drained(&outbox);
        assert!((1..=16).contains(&waiting), "{waiting}");
        push(3, 1_000_000);
        assert_eq!(drained(&outbox), 1, "one always fits an empty outbox");
        push(2, 1);
        assert_eq!(outbox.close().len(), 2);
        push(1, 1);
        assert_eq!(drained(&outbox), 0, "a closed outbox takes nothing");
    }

    #[test]
    fn only_the_exact_address_leads_anywhere() {
        let host = VirtualHost::new("/".into());
        let address = host.register_reply_consumer(consumer(1));
        let name = address.name();
        let swapped = name.replace("reply-to.", "reply-to,");
        for forged in [
            REPLY_QUEUE,
            "",
            &format!("{REPLY_QUEUE}."),
            &name[..name.len() - 1],
            &format!("{name}A"),
            &format!("{name}\0"),
            &name[1..],
            &swapped,
            &"ä".repeat(SECRET_LETTERS),
            &format!("{REPLY_QUEUE}.{}", "ä".repeat(SECRET_LETTERS / 2)),
            &format!("{REPLY_QUEUE}.{}", "A".repeat(SECRET_LETTERS)),
        ] {
            assert!(host.reply_consumer(forged).is_none(), "{forged:?}");
        }
        assert!(host.reply_consumer(name).is_some());
    }

    #[test]
    fn names_that_only_begin_alike_are_not_reserved_to_replies() {
        for (name, expected) in [
            (REPLY_QUEUE, true),
            ("amq.rabbitmq.reply-to.", true),
            ("amq.rabbitmq.reply-to.x", true),
            ("amq.rabbitmq.reply-tox", false),
            ("amq.rabbitmq.reply", false),
        ] {
            assert_eq!(is_reply_name(name), expected, "{name}");
        }
    }
}
