//! `tx.commit`: publishes and settlements that take effect together, a crash included.

use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::MutexGuard;

use super::Engine;
use super::afterwork::Afterwork;
use super::delay::Delay;
use super::meters::Event;
use super::outbox::Outbox;
use super::publish::Route;
use super::queue::Queue;
use super::reply::ReplyConsumer;
use super::turn::Turn;
use crate::model::{Message, Operation, QueueId, Seq, SeqRange, Settlement};
use crate::queue::DelayedMessages;
use crate::store::Ticket;

/// What a transaction does to one queue.
#[derive(Debug, Default)]
struct Part {
    messages: Vec<Message>,
    settlements: Vec<(Seq, Settlement)>,
}

/// Some queue had no room for a message of the transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartiallyRefused;

/// What became of a transaction.
struct Effect {
    ticket: Ticket,
    /// Some queue refused a message.
    refused: bool,
}

/// A transaction that is about to be committed.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    parts: AHashMap<u64, (Option<Arc<Queue>>, Part)>,
    /// Places whose messages have left already, in memory.
    left: Vec<(QueueId, Seq)>,
    replies: Vec<(Arc<ReplyConsumer>, Message)>,
    delayed: Vec<(Arc<Delay>, Message)>,
}

impl Transaction {
    /// Adds a publish.
    pub(crate) fn publish(&mut self, route: &Route, message: &Message) {
        if let Some(exchange) = route.exchange() {
            exchange.published(1, route.queues().len() as u64);
        }
        for queue in route.queues() {
            self.enter(queue, message);
        }
        for consumer in route.replies() {
            self.reply(consumer, message);
        }
        self.delay(route, message);
    }

    /// Adds a message that waits before it goes on.
    pub(super) fn delay(&mut self, route: &Route, message: &Message) {
        let delays = route.delays().iter();
        self.delayed
            .extend(delays.map(|delay| (Arc::clone(delay), message.clone())));
    }

    /// Adds a message to one queue.
    pub(super) fn enter(&mut self, queue: &Arc<Queue>, message: &Message) {
        self.part(queue).messages.push(message.clone());
    }

    /// Adds a direct reply.
    pub(super) fn reply(&mut self, consumer: &Arc<ReplyConsumer>, message: &Message) {
        self.replies.push((Arc::clone(consumer), message.clone()));
    }

    /// Adds the record that a message has left; the queue itself knows it already.
    pub(super) fn leave(&mut self, queue: QueueId, seq: Seq) {
        self.left.push((queue, seq));
    }

    /// How many queues take part.
    pub(super) fn queue_count(&self) -> usize {
        self.parts.len()
    }

    /// Adds a settlement.
    pub(crate) fn settle(&mut self, queue: &Arc<Queue>, seq: Seq, settlement: Settlement) {
        self.part(queue).settlements.push((seq, settlement));
    }

    fn part(&mut self, queue: &Arc<Queue>) -> &mut Part {
        let (known, part) = self.parts.entry(queue.number()).or_default();
        known.get_or_insert_with(|| Arc::clone(queue));
        part
    }

    /// Applies everything while all queues are locked, in the order of their numbers, and hands it
    /// to the store as one operation. It has happened once the ticket is durable.
    ///
    /// # Errors
    ///
    /// If some queue refused a message; everything else has been committed (spec 6.2.3).
    pub(crate) fn commit(self, engine: &Arc<Engine>) -> Result<Ticket, PartiallyRefused> {
        let mut work = Afterwork::default();
        let effect = self.take_effect(engine, &mut work);
        // What was rejected is safe where it is dead-lettered to once it is recorded there.
        let buried = engine.work_off(work);
        if effect.refused {
            Err(PartiallyRefused)
        } else {
            Ok(effect.ticket.max(buried))
        }
    }

    /// Applies everything in the same way for dead letters. What a queue has no room for is lost
    /// (spec 7.3.2).
    pub(super) fn inter(self, engine: &Arc<Engine>, work: &mut Afterwork) {
        let ticket = self.take_effect(engine, work).ticket;
        work.ticket = work.ticket.max(ticket);
    }

    fn take_effect(self, engine: &Arc<Engine>, work: &mut Afterwork) -> Effect {
        let mut parts: Vec<(Arc<Queue>, Part)> = self
            .parts
            .into_values()
            .filter_map(|(queue, part)| queue.map(|queue| (queue, part)))
            .collect();
        parts.sort_unstable_by_key(|(queue, _)| queue.number());

        let mut refused = false;
        let mut operations = Vec::new();
        let mut open = Vec::with_capacity(parts.len());
        for (queue, part) in &parts {
            let Some(mut locked) = queue.lock() else {
                continue;
            };
            let mut turn = Turn::new(engine, queue.id());
            for message in &part.messages {
                refused |= !turn.publish(locked.state(), message.clone());
            }
            for (seq, settlement) in &part.settlements {
                let state = locked.state();
                state.settle(turn.now, &[*seq], *settlement, &mut turn.effects);
                if *settlement == Settlement::Acknowledge {
                    turn.tally.add(Event::Acknowledge, 1);
                }
            }
            turn.absorb();
            operations.append(&mut turn.take_operations());
            open.push((queue, locked, turn));
        }
        operations.extend(settlements(self.left));
        let mut delayed = self.delayed;
        delayed.sort_by_key(|(delay, _)| delay.id());
        let locked_delays = hold_back(engine, &delayed, &mut operations);
        let awaited = open.iter().map(|(_, _, turn)| turn.awaited);
        let mut ticket = awaited.max().unwrap_or_default();
        if !operations.is_empty() {
            // A lease covers messages that may be on disk already, so it goes ahead by itself.
            let (mut leases, changes): (Vec<_>, Vec<_>) = operations
                .into_iter()
                .partition(|operation| matches!(operation, Operation::Delivered { .. }));
            leases.push(Operation::Transaction(changes));
            ticket = ticket.max(engine.submit(&mut leases));
        }
        if !locked_delays.is_empty() {
            drop(locked_delays);
            engine.look_at_delays();
        }
        let mut aftermaths = Vec::with_capacity(open.len());
        for (queue, mut locked, mut turn) in open {
            turn.dispatch(locked.state());
            turn.enforce(locked.state());
            locked.count(&turn);
            let aftermath = turn.hand_over().covering(ticket);
            queue.keep_within_budget(engine, locked.state());
            let deadline = locked.state().deadline();
            locked.finish();
            aftermaths.push((queue, aftermath, deadline));
        }
        for (queue, aftermath, deadline) in aftermaths {
            engine.schedule(queue, deadline);
            queue.finish(engine, aftermath, work);
        }
        for (consumer, message) in self.replies {
            Outbox::push_reply(consumer, message);
        }
        Effect { ticket, refused }
    }
}

/// Adds messages to where they wait, in the order of its numbers; what is locked is to stay so until
/// the records are handed over.
fn hold_back<'d>(
    engine: &Engine,
    delayed: &'d [(Arc<Delay>, Message)],
    operations: &mut Vec<Operation>,
) -> Vec<MutexGuard<'d, Option<DelayedMessages>>> {
    let mut locked = Vec::new();
    for group in delayed.chunk_by(|(one, _), (other, _)| one.id() == other.id()) {
        let Some((delay, _)) = group.first() else {
            continue;
        };
        let mut waiting = delay.lock();
        for (_, message) in group {
            operations.extend(delay.enter(engine, &mut waiting, message));
        }
        locked.push(waiting);
    }
    locked
}

/// The records of places that were left.
fn settlements(left: Vec<(QueueId, Seq)>) -> impl Iterator<Item = Operation> {
    let mut by_queue: AHashMap<QueueId, Vec<Seq>> = AHashMap::new();
    for (queue, seq) in left {
        by_queue.entry(queue).or_default().push(seq);
    }
    by_queue.into_iter().map(|(queue, seqs)| Operation::Settle {
        queue,
        ranges: SeqRange::collect(seqs),
    })
}
