//! The steps of a random run: what publishers, consumers and administrators do.

use std::collections::BTreeMap;

use leveret::model::{
    Arguments, Entity, EntityChange, EntityKey, Message, MessageParts, Operation, QueueDefinition,
    QueueId, QueueName, Seq, SeqRange, VirtualHostName,
};
use rand::RngExt;

use super::driver::Run;
use super::reference::{Fact, MessageFacts, Place, QueueFacts, Reference, TransactionFacts};

impl Run {
    fn queues(&self) -> Vec<u32> {
        let camera = self.camera.lock();
        let queues = camera.reference.queues.iter();
        queues
            .filter(|(_, facts)| facts.declared == Fact::Confirmed && facts.deleted == Fact::Never)
            .map(|(id, _)| *id)
            .collect()
    }

    fn some_queues(&mut self, most: usize) -> Vec<u32> {
        let mut queues = self.queues();
        let keep = self.random.random_range(1..=most);
        while queues.len() > keep {
            let drop = self.random.random_range(0..queues.len());
            queues.remove(drop);
        }
        queues
    }

    fn message(&mut self) -> Message {
        self.bodies += 1;
        let filler = "f".repeat(self.random.random_range(0..2500));
        let body = format!("{}:{filler}", self.bodies);
        let encoded = [b"\x00\x01q".as_slice(), b"HEAD", body.as_bytes()].concat();
        let parts = MessageParts {
            exchange_bytes: 0,
            routing_key_bytes: 1,
            header_bytes: 4,
            persistent: true,
            priority: 3,
            ..MessageParts::default()
        };
        Message::new(parts, &encoded).expect("the lengths fit")
    }

    /// Takes the next place of a queue.
    fn place(&mut self, queue: u32) -> Place {
        let level = u8::from(self.random.random_bool(0.2)) * 5;
        let next = self.next.entry((queue, level)).or_default();
        *next += 1;
        (queue, Seq::new(level, *next - 1))
    }

    /// An operation that enqueues, and what to note of it.
    fn enqueue(&mut self, message: &Message, queue: u32) -> (Operation, Place, MessageFacts) {
        let place = self.place(queue);
        let deadline_ms = if self.random.random_bool(0.3) {
            1_800_000_000_000 + self.bodies
        } else {
            0
        };
        let facts = MessageFacts {
            body: String::from_utf8_lossy(message.body()).into_owned(),
            deadline_ms,
            ..MessageFacts::default()
        };
        let operation = Operation::Enqueue {
            message: message.clone(),
            queue: QueueId(queue),
            seq: place.1,
            deadline_ms,
        };
        (operation, place, facts)
    }

    pub(crate) fn publish(&mut self) {
        let count = self.random.random_range(1..25);
        for _ in 0..count {
            let message = self.message();
            let mut late = Vec::new();
            let mut first = Vec::new();
            for queue in self.some_queues(3) {
                // A fanout's later queues are often met in a later group.
                let list = if self.random.random_bool(0.6) {
                    &mut first
                } else {
                    &mut late
                };
                list.push(queue);
            }
            for queues in [first, late] {
                let made: Vec<_> = queues
                    .iter()
                    .map(|queue| self.enqueue(&message, *queue))
                    .collect();
                if made.is_empty() {
                    continue;
                }
                let operations = made.iter().map(|(operation, _, _)| operation.clone());
                let mut operations: Vec<_> = operations.collect();
                let facts: Vec<_> = made
                    .into_iter()
                    .map(|(_, place, facts)| (place, facts))
                    .collect();
                // Sometimes a consumer is quicker than the disk.
                let quick = self.random.random_bool(0.15).then(|| facts[0].0);
                operations.extend(quick.map(|place| settle(&[place])));
                let kept = facts.iter().map(|(place, _)| *place);
                self.live.extend(kept.filter(|place| Some(*place) != quick));
                self.submit(operations, move |reference, fact| {
                    for (place, facts) in &facts {
                        let known = reference.messages.entry(*place);
                        let known = known.or_insert_with(|| facts.clone());
                        known.published = known.published.max(fact);
                        if Some(*place) == quick {
                            known.settled = known.settled.max(fact);
                        }
                    }
                });
            }
        }
    }

    /// Takes some live places: from the head of one queue, or from anywhere.
    fn take_live(&mut self, most: usize) -> Vec<Place> {
        let count = self.random.random_range(1..=most).min(self.live.len());
        let anywhere = self.random.random_bool(0.7);
        let mut taken = Vec::new();
        for _ in 0..count {
            let at = if anywhere {
                self.random.random_range(0..self.live.len())
            } else {
                0
            };
            taken.push(self.live.remove(at));
        }
        taken
    }

    pub(crate) fn settle(&mut self) {
        let taken = self.take_live(self.appetite);
        if !taken.is_empty() {
            self.settle_all(&taken);
        }
    }

    /// Leaves messages that few others lie beside in the log: work for the cleaner.
    pub(crate) fn settle_all_but_few(&mut self) {
        let mut taken = std::mem::take(&mut self.live);
        let random = &mut self.random;
        self.live = taken.extract_if(.., |_| random.random_bool(0.06)).collect();
        if !taken.is_empty() {
            self.settle_all(&taken);
        }
    }

    fn settle_all(&mut self, taken: &[Place]) {
        let operations = by_queue(taken)
            .iter()
            .map(|places| settle(places))
            .collect();
        let taken = taken.to_vec();
        self.submit(operations, move |reference, fact| {
            mark_settled(reference, &taken, fact)
        });
    }

    pub(crate) fn requeue(&mut self) {
        if self.live.is_empty() {
            return;
        }
        let place = self.live[self.random.random_range(0..self.live.len())];
        let count = self.random.random_range(1..9);
        let operation = Operation::Requeue {
            queue: QueueId(place.0),
            ranges: vec![SeqRange::one(place.1)],
            delivery_count: count,
        };
        self.submit(vec![operation], move |reference, fact| {
            if let Some(facts) = reference.messages.get_mut(&place) {
                note(&mut facts.counts, count, fact);
            }
        });
    }

    pub(crate) fn deliver(&mut self) {
        let Some(place) = self.live.first().copied() else {
            return;
        };
        let up_to = Seq(place.1.0 + self.random.random_range(0..3));
        let operation = Operation::Delivered {
            queue: QueueId(place.0),
            up_to,
        };
        self.submit(vec![operation], move |reference, fact| {
            if let Some(facts) = reference.queues.get_mut(&place.0) {
                note(facts.leases.entry(up_to.level()).or_default(), up_to, fact);
            }
        });
    }

    /// A dead-lettering or a client's transaction.
    pub(crate) fn transaction(&mut self) {
        let message = self.message();
        let queues = self.some_queues(3);
        let made: Vec<_> = queues
            .iter()
            .map(|queue| self.enqueue(&message, *queue))
            .collect();
        let settled = self.take_live(3);
        let mut operations: Vec<_> = made
            .iter()
            .map(|(operation, _, _)| operation.clone())
            .collect();
        operations.extend(by_queue(&settled).iter().map(|places| settle(places)));
        let facts: Vec<_> = made
            .into_iter()
            .map(|(_, place, facts)| (place, facts))
            .collect();
        self.live.extend(facts.iter().map(|(place, _)| *place));
        let whole = TransactionFacts {
            enqueued: facts.iter().map(|(place, _)| *place).collect(),
            settled: settled.clone(),
        };
        self.camera.lock().reference.transactions.push(whole);
        self.submit(
            vec![Operation::Transaction(operations)],
            move |reference, fact| {
                for (place, facts) in &facts {
                    let known = reference
                        .messages
                        .entry(*place)
                        .or_insert_with(|| facts.clone());
                    known.published = known.published.max(fact);
                }
                mark_settled(reference, &settled, fact);
            },
        );
    }

    pub(crate) fn purge(&mut self) {
        for queue in self.some_queues(1) {
            let (gone, live) = self.live.iter().partition(|place| place.0 == queue);
            let gone: Vec<Place> = gone;
            self.live = live;
            if !gone.is_empty() {
                self.settle_all(&gone);
            }
        }
    }

    pub(crate) fn declare(&mut self) {
        let queue = self.next_queue;
        self.next_queue += 1;
        let operation = Operation::Entity(EntityChange::Put(Entity::Queue {
            virtual_host: VirtualHostName::from("/"),
            id: queue,
            definition: QueueDefinition {
                name: QueueName::from(format!("queue {queue}")),
                durable: true,
                auto_delete: false,
                exclusive: false,
                arguments: Arguments::default(),
            },
        }));
        self.submit(vec![operation], move |reference, fact| {
            let facts = reference
                .queues
                .entry(queue)
                .or_insert_with(QueueFacts::default);
            facts.declared = facts.declared.max(fact);
        });
    }

    pub(crate) fn delete(&mut self) {
        if self.queues().len() < 3 {
            return;
        }
        for queue in self.some_queues(1) {
            self.live.retain(|place| place.0 != queue);
            let change = EntityChange::Remove(EntityKey::Queue { id: queue });
            self.submit(vec![Operation::Entity(change)], move |reference, fact| {
                if let Some(facts) = reference.queues.get_mut(&queue) {
                    facts.deleted = facts.deleted.max(fact);
                }
            });
        }
    }
}

fn by_queue(places: &[Place]) -> Vec<Vec<Place>> {
    let mut all: BTreeMap<u32, Vec<Place>> = BTreeMap::new();
    for place in places {
        all.entry(place.0).or_default().push(*place);
    }
    all.into_values().collect()
}

/// Settles places of one queue.
fn settle(places: &[Place]) -> Operation {
    Operation::Settle {
        queue: QueueId(places[0].0),
        ranges: SeqRange::collect(places.iter().map(|place| place.1).collect()),
    }
}

fn mark_settled(reference: &mut Reference, places: &[Place], fact: Fact) {
    for place in places {
        if let Some(facts) = reference.messages.get_mut(place) {
            facts.settled = facts.settled.max(fact);
        }
    }
}

/// Appends a value that was begun, or confirms the one that was.
fn note<T: PartialEq + Copy>(list: &mut Vec<(T, Fact)>, value: T, fact: Fact) {
    match fact {
        Fact::Begun => list.push((value, fact)),
        Fact::Confirmed | Fact::Never => {
            let found = list
                .iter_mut()
                .find(|known| known.0 == value && known.1 == Fact::Begun);
            if let Some(known) = found {
                known.1 = fact;
            }
        }
    }
}
