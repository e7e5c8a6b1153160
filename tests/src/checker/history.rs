//! What clients sent and what they were told.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use super::body::{MessageId, Seen};
use super::fault::Fault;

/// One transaction of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub u64);

/// Something that is declared and deleted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entity {
    /// A durable queue.
    Queue(String),
    /// A durable exchange.
    Exchange(String),
    /// A binding between the two.
    Binding(Binding),
}

/// A binding of a queue.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    /// Where messages come from.
    pub exchange: String,
    /// With which key.
    pub key: String,
    /// Where they go.
    pub queue: String,
}

/// A point in the history; each event has one of its own.
pub(super) type Tick = u64;

/// Everything that is known of one message in one queue.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) sent: Tick,
    pub(super) confirmed: Option<Tick>,
    pub(super) transaction: Option<TransactionId>,
    /// Where its first delivery stands among those of its channel.
    pub(super) first_delivery: Option<(u64, Tick)>,
    pub(super) delivered: bool,
    /// It was there when the broker started, and had been looked at.
    pub(super) observed: bool,
    pub(super) settled: Option<Settled>,
    /// Rejected in that queue, so that it is there or here.
    pub(super) died_in: Option<String>,
}

/// How a message was settled.
#[derive(Clone, Debug)]
pub(super) enum Settled {
    Sent(Instant),
    InTransaction(TransactionId),
    Dead { to: String },
}

/// How far a transaction came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Open,
    CommitSent,
    Committed,
    RolledBack,
}

/// A transaction and what is in it: queue and message.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) progress: Progress,
    pub(super) publishes: Vec<(String, MessageId)>,
    pub(super) acks: Vec<(String, MessageId)>,
}

/// One queue as it ought to be.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    pub(super) entries: BTreeMap<MessageId, Entry>,
    /// What must not be seen any more.
    pub(super) gone: HashSet<MessageId>,
    /// Dead letters come in the order of their death, of which clients know nothing.
    pub(super) unordered: bool,
    /// For each channel and publisher, the last message that was delivered for the first time.
    pub(super) last_first: HashMap<(u64, u32), MessageId>,
}

/// What clients sent and what they were told.
#[derive(Debug, Default)]
pub struct History {
    now: Tick,
    pub(super) queues: BTreeMap<String, Queue>,
    /// `None` for what nobody was told the outcome of.
    pub(super) entities: BTreeMap<Entity, Option<bool>>,
    pub(super) transactions: BTreeMap<TransactionId, Transaction>,
    pub(super) killed_at: Option<Instant>,
    pub(super) faults: Vec<Fault>,
}

impl History {
    /// Nothing has happened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(super) fn tick(&mut self) -> Tick {
        self.now += 1;
        self.now
    }

    /// What must exist, must not, or may (`None`).
    #[must_use]
    pub const fn entities(&self) -> &BTreeMap<Entity, Option<bool>> {
        &self.entities
    }

    /// How many messages may be in a queue.
    #[must_use]
    pub fn depth(&self, queue: &str) -> usize {
        let open = |entry: &&Entry| entry.settled.is_none();
        self.queues
            .get(queue)
            .map_or(0, |queue| queue.entries.values().filter(open).count())
    }

    /// Faults that were seen in deliveries; they are handed out once.
    pub fn take_faults(&mut self) -> Vec<Fault> {
        std::mem::take(&mut self.faults)
    }

    /// A declaration or binding is about to be sent.
    pub fn declare_sent(&mut self, entity: &Entity) {
        let known = self.entities.entry(entity.clone()).or_insert(Some(false));
        if *known == Some(false) {
            *known = None;
        }
    }

    /// It was answered.
    pub fn declare_ok(&mut self, entity: &Entity) {
        self.entities.insert(entity.clone(), Some(true));
        if let Entity::Queue(name) = entity {
            self.queues.entry(name.clone()).or_default();
        }
    }

    /// A queue that takes dead letters: their order is not known.
    pub fn is_unordered(&mut self, queue: &str) {
        self.queues.entry(queue.to_owned()).or_default().unordered = true;
    }

    /// A deletion is about to be sent. What hangs on the entity may go with it.
    pub fn delete_sent(&mut self, entity: &Entity) {
        self.set_with_bindings(entity, None);
    }

    /// It was answered. A queue's messages are gone with it.
    pub fn delete_ok(&mut self, entity: &Entity) {
        self.set_with_bindings(entity, Some(false));
        if let Entity::Queue(name) = entity {
            let queue = self.queues.entry(name.clone()).or_default();
            let gone = std::mem::take(&mut queue.entries);
            queue.gone.extend(gone.into_keys());
        }
    }

    pub(super) fn set_with_bindings(&mut self, entity: &Entity, exists: Option<bool>) {
        self.entities.insert(entity.clone(), exists);
        for (other, known) in &mut self.entities {
            let Entity::Binding(binding) = other else {
                continue;
            };
            let hangs_on_it = match entity {
                Entity::Queue(name) => binding.queue == *name,
                Entity::Exchange(name) => binding.exchange == *name,
                Entity::Binding(_) => false,
            };
            if hangs_on_it && *known != Some(false) {
                *known = exists;
            }
        }
    }

    /// A message is about to be published to these queues.
    pub fn publish_sent(
        &mut self,
        message: MessageId,
        queues: &[String],
        transaction: Option<TransactionId>,
    ) {
        let sent = self.tick();
        for name in queues {
            let entry = Entry {
                sent,
                confirmed: None,
                transaction,
                first_delivery: None,
                delivered: false,
                observed: false,
                settled: None,
                died_in: None,
            };
            let queue = self.queues.entry(name.clone()).or_default();
            queue.entries.insert(message, entry);
            if let Some(id) = transaction {
                let publish = (name.clone(), message);
                self.transaction(id).publishes.push(publish);
            }
        }
    }

    /// The broker took responsibility for a message in these queues.
    pub fn confirmed(&mut self, message: MessageId, queues: &[String]) {
        let now = self.tick();
        for name in queues {
            if let Some(entry) = self.entry(name, message) {
                entry.confirmed = Some(now);
            }
        }
    }

    /// A message came to the consumer, or to the getter, that is channel number `channel`. Faults
    /// go to [`take_faults`](Self::take_faults).
    pub fn delivered(&mut self, channel: u64, name: &str, seen: Seen) {
        let now = self.tick();
        let Some(message) = seen.message.filter(|_| seen.intact) else {
            self.faults.push(Fault::Changed {
                queue: name.to_owned(),
                message: seen.message,
            });
            return;
        };
        let queue = name.to_owned();
        let known = self.queues.entry(queue.clone()).or_default();
        let Some(entry) = known.entries.get_mut(&message) else {
            let fault = if known.gone.contains(&message) {
                Fault::SettledBack { queue, message }
            } else {
                let message = Some(message);
                Fault::Phantom { queue, message }
            };
            self.faults.push(fault);
            return;
        };
        // Not: whether it was delivered before. What goes from one client to the other, because the
        // first one's connection ends, may be read by the second one before the first one reads its
        // own copy, which left the broker earlier.
        if !seen.redelivered && (entry.observed || entry.first_delivery.is_some()) {
            self.faults.push(Fault::NotFlagged {
                queue: queue.clone(),
                message,
            });
        }
        // A broker that ends in order closes connections with acks that it did not read.
        if entry.settled.is_some() && self.killed_at.is_none() {
            self.faults.push(Fault::SettledBack {
                queue: queue.clone(),
                message,
            });
        }
        entry.delivered = true;
        let transaction = entry.transaction;
        if !seen.redelivered {
            entry.first_delivery.get_or_insert((channel, now));
            let last = known
                .last_first
                .insert((channel, message.publisher), message);
            if let Some(second) = last.filter(|last| *last > message && !known.unordered) {
                self.faults.push(Fault::Reordered {
                    queue: queue.clone(),
                    first: message,
                    second,
                });
            }
        }
        let progress = transaction.and_then(|id| Some(self.transactions.get(&id)?.progress));
        if matches!(progress, Some(Progress::Open | Progress::RolledBack)) {
            self.faults.push(Fault::Uncommitted { queue, message });
        }
    }

    /// A message is about to be acked, or purged.
    pub fn ack_sent(&mut self, queue: &str, message: MessageId) {
        self.settle(queue, message, Settled::Sent(Instant::now()));
    }

    /// A queue is about to be purged of all its messages.
    pub fn purge_sent(&mut self, queue: &str) {
        let now = Instant::now();
        let entries = self.queues.entry(queue.to_owned()).or_default();
        for entry in entries.entries.values_mut() {
            entry.settled = Some(Settled::Sent(now));
        }
    }

    /// A message is about to be acked within a transaction.
    pub fn ack_sent_in(&mut self, queue: &str, message: MessageId, transaction: TransactionId) {
        self.settle(queue, message, Settled::InTransaction(transaction));
        let ack = (queue.to_owned(), message);
        self.transaction(transaction).acks.push(ack);
    }

    /// A message is about to be rejected: it goes to the queue `to`.
    pub fn reject_sent(&mut self, queue: &str, message: MessageId, to: &str) {
        self.publish_sent(message, &[to.to_owned()], None);
        if let Some(dead) = self.entry(to, message) {
            dead.died_in = Some(queue.to_owned());
        }
        let to = to.to_owned();
        self.settle(queue, message, Settled::Dead { to });
    }

    fn settle(&mut self, queue: &str, message: MessageId, settled: Settled) {
        if let Some(entry) = self.entry(queue, message) {
            entry.settled = Some(settled);
        }
    }

    /// A transaction is about to be committed.
    pub fn commit_sent(&mut self, transaction: TransactionId) {
        self.transaction(transaction).progress = Progress::CommitSent;
    }

    /// It was answered: everything in it has happened.
    pub fn commit_ok(&mut self, transaction: TransactionId) {
        self.transaction(transaction).progress = Progress::Committed;
        for (queue, message) in self.transaction(transaction).publishes.clone() {
            self.confirmed(message, &[queue]);
        }
    }

    /// A transaction is about to be rolled back: nothing in it ever happens.
    pub fn rollback_sent(&mut self, transaction: TransactionId) {
        self.transaction(transaction).progress = Progress::RolledBack;
        for (queue, message) in std::mem::take(&mut self.transaction(transaction).acks) {
            if let Some(entry) = self.entry(&queue, message) {
                entry.settled = None;
            }
        }
    }

    /// The broker dies now.
    pub fn killed(&mut self) {
        self.killed_at = Some(Instant::now());
    }

    pub(super) fn entry(&mut self, queue: &str, message: MessageId) -> Option<&mut Entry> {
        self.queues.get_mut(queue)?.entries.get_mut(&message)
    }

    fn transaction(&mut self, id: TransactionId) -> &mut Transaction {
        self.transactions.entry(id).or_insert(Transaction {
            progress: Progress::Open,
            publishes: Vec::new(),
            acks: Vec::new(),
        })
    }
}
