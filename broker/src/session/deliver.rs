//! Deliveries on their way to the client, and what happens to them when a channel ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::channel::{Channel, Mode, Phase};
use super::core::Session;
use super::window::{Receiver, Unacked};
use crate::engine::{ConsumerLink, Delivery, Event, Outgoing, Queue, ReplyConsumer, Ticket};
use crate::model::{AmqpError, Attempts, Message, ReplyCode, Seq, Settlement};
use crate::wire::encoder::{self, Content};
use crate::wire::method::basic;

impl Session {
    /// Encodes one entry of the outbox, or gives it back if nobody is there for it any more.
    pub(super) fn send(&mut self, entry: Outgoing) {
        match entry {
            Outgoing::Cancelled(link) => self.send_cancelled(&link),
            Outgoing::TimeoutChanged(link) => self.timeout_changed(&link),
            Outgoing::Reply(consumer, message) => self.send_reply(&consumer, &message),
            Outgoing::Delivery(link, delivery) => {
                let consumes = |channel: &&mut Channel| {
                    channel.phase == Phase::Open
                        && channel
                            .consumers
                            .get(&link.tag)
                            .is_some_and(|own| own.key == link.key)
                };
                match self.channels.get_mut(&link.channel).filter(consumes) {
                    Some(_) => self.send_delivery(link, &delivery),
                    None => self.give_back(Outgoing::Delivery(link, delivery)),
                }
            }
        }
    }

    fn send_delivery(&mut self, link: Arc<ConsumerLink>, delivery: &Delivery) {
        let Some(channel) = self.channels.get_mut(&link.channel) else {
            return;
        };
        let number = channel.number;
        let unacked = (!link.no_ack).then(|| {
            let sent_ms = self.engine.now().monotonic_ms;
            if let Some(timeout_ms) = link.timeout.ms() {
                let due_ms = sent_ms.saturating_add(timeout_ms);
                self.overdue_ms = Some(self.overdue_ms.map_or(due_ms, |next| next.min(due_ms)));
            }
            Unacked {
                receiver: Receiver::Consumer(Arc::clone(&link)),
                seq: delivery.seq,
                sent_ms,
            }
        });
        channel.meter.add(Event::delivery(link.no_ack), 1);
        if delivery.redelivered {
            channel.meter.add(Event::Redeliver, 1);
        }
        let head = encoder::Delivery {
            consumer_tag: link.tag.as_str(),
            delivery_tag: channel.window.push(unacked),
            redelivered: delivery.redelivered,
            address: delivery.message.envelope(),
        };
        self.encode_delivery(number, &head, &delivery.message, delivery.attempts);
    }

    /// Spec 7.6.3. A reply that nobody waits for any more is dropped.
    fn send_reply(&mut self, consumer: &ReplyConsumer, message: &Message) {
        let consumes = |channel: &&mut Channel| {
            channel.phase == Phase::Open
                && channel
                    .replies
                    .as_ref()
                    .is_some_and(|own| own.consumer().key == consumer.key)
        };
        let channel = self.channels.get_mut(&consumer.channel);
        let Some(channel) = channel.filter(consumes) else {
            return;
        };
        let head = encoder::Delivery {
            consumer_tag: consumer.tag.as_str(),
            delivery_tag: channel.window.push(None),
            redelivered: false,
            address: message.envelope(),
        };
        self.encode_delivery(consumer.channel, &head, message, Attempts::default());
    }

    fn encode_delivery(
        &mut self,
        number: u16,
        head: &encoder::Delivery<'_>,
        message: &Message,
        attempts: Attempts,
    ) {
        let limit = self.limit();
        let content = Content {
            header: &message.header_for(attempts),
            body: message.body(),
        };
        match encoder::deliver(&mut self.out, number, head, &content, limit) {
            Ok(()) => {}
            Err(error) => {
                // Spec 1.6.10: a header that does not fit this client's frames. The message goes
                // back for a consumer with larger ones.
                let error = AmqpError::new(ReplyCode::ContentTooLarge, error.to_string());
                self.close_channel(number, &error);
            }
        }
    }

    pub(super) fn send_cancelled(&mut self, link: &ConsumerLink) {
        let Some(channel) = self.channels.get_mut(&link.channel) else {
            return;
        };
        let own = channel
            .consumers
            .get(&link.tag)
            .is_some_and(|own| own.key == link.key);
        if !own {
            return;
        }
        channel.consumers.remove(&link.tag);
        channel.note_consumers();
        if self.properties.consumer_cancel_notify && channel.phase == Phase::Open {
            let cancel = basic::Cancel {
                consumer_tag: link.tag.as_str(),
                nowait: true,
            };
            self.reply(link.channel, cancel);
        }
    }

    /// Returns an undelivered entry to its queue.
    pub(super) fn give_back(&mut self, entry: Outgoing) {
        if let Outgoing::Delivery(link, delivery) = entry
            && !link.no_ack
        {
            let limit = Arc::clone(&link.limit);
            let unacked = Unacked {
                receiver: Receiver::Consumer(link),
                seq: delivery.seq,
                sent_ms: 0,
            };
            self.settlements.add(&unacked, Settlement::Return, &limit);
        }
    }

    /// Stops a channel's consumers and returns what it holds to the queues (spec 2.6). The ticket
    /// covers auto-delete queues that went with their last consumer.
    pub(super) fn release_channel(&mut self, number: u16) -> Ticket {
        self.release_channels(&[number])
    }

    /// The same for several channels at once: what one of them holds is not handed to another.
    pub(super) fn release_channels(&mut self, numbers: &[u16]) -> Ticket {
        let (mut links, mut held) = (Vec::new(), Vec::new());
        for number in numbers {
            let Some(channel) = self.channels.get_mut(number) else {
                continue;
            };
            links.extend(channel.consumers.drain().map(|(_, link)| link));
            held.extend(channel.window.take_all());
            if let Mode::Transactional(transaction) = std::mem::take(&mut channel.mode) {
                let settled = transaction.settlements.into_iter();
                held.extend(settled.map(|(tag, unacked, _)| (tag, unacked)));
            }
            channel.replies = None;
            channel.assembler.discard();
            channel.last_queue = None;
            self.unconfirmed.remove(number);
            self.confirming.remove(number);
        }
        let unused: Vec<_> = held_by_queue(links, held)
            .into_values()
            .filter_map(|Held { queue, links, seqs }| {
                let unused = queue.withdraw(&self.engine, &links, seqs);
                unused.then_some(queue)
            })
            .collect();
        let mut ticket = Ticket::default();
        for queue in unused {
            ticket = ticket.max(self.delete_if_unused(&queue));
        }
        ticket
    }

    /// Deletes an auto-delete queue that has just lost its last consumer (spec 4.2.3).
    pub(super) fn delete_if_unused(&self, queue: &Arc<Queue>) -> Ticket {
        if queue.definition().auto_delete {
            self.host.delete_unused_queue(&self.engine, queue)
        } else {
            Ticket::default()
        }
    }
}

/// What a channel has of one queue.
struct Held {
    queue: Arc<Queue>,
    links: Vec<Arc<ConsumerLink>>,
    seqs: Vec<Seq>,
}

/// Sorts what a channel has by the queues' numbers.
fn held_by_queue(
    links: Vec<Arc<ConsumerLink>>,
    unacked: Vec<(u64, Unacked)>,
) -> BTreeMap<u64, Held> {
    let mut by_queue = BTreeMap::new();
    let nothing = |queue: &Arc<Queue>| Held {
        queue: Arc::clone(queue),
        links: Vec::new(),
        seqs: Vec::new(),
    };
    for link in links {
        let entry = by_queue.entry(link.queue.number());
        entry
            .or_insert_with(|| nothing(&link.queue))
            .links
            .push(link);
    }
    for (_, unacked) in unacked {
        if unacked.is_overdue() {
            continue;
        }
        let entry = by_queue.entry(unacked.queue().number());
        entry
            .or_insert_with(|| nothing(unacked.queue()))
            .seqs
            .push(unacked.seq);
    }
    by_queue
}
