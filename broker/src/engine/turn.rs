//! One turn of a queue: what a change leads to, collected while the queue is locked.

use std::sync::Arc;

use super::Engine;
use super::meters::{Event, Tally};
use super::outbox::{BurstSink, ConsumerLink, Handover};
use crate::model::{Message, Now, Operation, QueueId};
use crate::queue::{Admission, DeadLetters, Effect, QueueState};
use crate::store::Ticket;

/// A queue's state, with the engine's handle for consumers.
pub(super) type State = QueueState<Arc<ConsumerLink>>;

/// One turn's outcome while the queue is locked.
pub(super) struct Turn<'a> {
    pub(super) engine: &'a Arc<Engine>,
    pub(super) now: Now,
    pub(super) effects: Vec<Effect>,
    operations: Vec<Operation>,
    later: Vec<Effect>,
    letters: Vec<DeadLetters>,
    sink: BurstSink,
    queue: QueueId,
    /// What happened, deliveries to consumers left out.
    pub(super) tally: Tally,
    /// Records of earlier turns that what happens in this one relies on.
    pub(super) awaited: Ticket,
    /// Set when the disk did not answer: asking again at once would ask for ever.
    pub(super) holds: bool,
}

impl<'a> Turn<'a> {
    pub(super) fn new(engine: &'a Arc<Engine>, queue: QueueId) -> Self {
        Self {
            engine,
            now: engine.now(),
            effects: Vec::new(),
            operations: Vec::new(),
            later: Vec::new(),
            letters: Vec::new(),
            sink: BurstSink::default(),
            queue,
            tally: Tally::default(),
            awaited: Ticket::default(),
            holds: false,
        }
    }

    /// Adds a message to the queue, unless that has no room for it; whether it was taken. A duplicate
    /// counts as taken, and is dropped (spec 4.3.2).
    pub(super) fn publish(&mut self, state: &mut State, message: Message) -> bool {
        if state.is_duplicate(self.now, &message) {
            self.drop_duplicate(state, &message);
            return true;
        }
        if state.refuses(&message) {
            state.refuse(message, &mut self.effects);
            self.absorb();
            return false;
        }
        self.enqueue(state, message);
        true
    }

    /// What the duplicate's publisher is told must not hold before it holds for the message that there
    /// is: that one may still be on its way to the disk.
    fn drop_duplicate(&mut self, state: &State, message: &Message) {
        if state.records(message) {
            self.awaited = self.engine.last_ticket();
        }
    }

    /// Adds a message to the queue. A lease that the arrival asks for is handed over before the
    /// arrival's own record: that is what lets the message be delivered without waiting.
    fn enqueue(&mut self, state: &mut State, message: Message) {
        let recordable = state.records(&message).then(|| message.clone());
        let Admission::Accepted {
            seq,
            record,
            deadline_ms,
        } = state.enqueue(self.now, message, &mut self.effects);
        self.tally.add(Event::Publish, 1);
        if !self.effects.is_empty() {
            self.absorb();
        }
        if let Some(message) = recordable.filter(|_| record) {
            let queue = self.queue;
            self.operations.push(Operation::Enqueue {
                message,
                queue,
                seq,
                deadline_ms,
            });
        }
    }

    pub(super) fn dispatch(&mut self, state: &mut State) {
        if self.holds {
            return;
        }
        state.dispatch(self.now, &mut self.sink, &mut self.effects);
        self.absorb();
    }

    /// Lets die what has lived too long or is too much, now that consumers have what they can take.
    pub(super) fn enforce(&mut self, state: &mut State) {
        if self.holds {
            state.enforce_later(self.now);
        } else {
            state.enforce(self.now, &mut self.effects);
            self.absorb();
        }
    }

    /// Turns effects into records, and keeps the rest for after the unlock.
    pub(super) fn absorb(&mut self) {
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Settled(ranges) => {
                    self.operations.push(Operation::Settle {
                        queue: self.queue,
                        ranges,
                    });
                }
                Effect::Requeued {
                    ranges,
                    delivery_count,
                } => self.operations.push(Operation::Requeue {
                    queue: self.queue,
                    ranges,
                    delivery_count,
                }),
                Effect::ExtendLease { up_to, generation } => {
                    self.operations.push(Operation::Delivered {
                        queue: self.queue,
                        up_to,
                    });
                    self.later.push(Effect::ExtendLease { up_to, generation });
                }
                Effect::SettledBlocks(range) => {
                    let ranges = vec![range];
                    self.operations.push(Operation::Settle {
                        queue: self.queue,
                        ranges,
                    });
                }
                Effect::DeadLetters(letters) => add_letters(&mut self.letters, letters),
                Effect::Unused
                | Effect::LoadBlock { .. }
                | Effect::LoadBodies(_)
                | Effect::Damaged { .. }
                | Effect::Missing { .. } => self.later.push(effect),
            }
        }
    }

    /// Adds what happened to a queue's counts.
    pub(super) fn count(&self, tally: &mut Option<Box<Tally>>) {
        let happened = [&self.tally, &self.sink.tally];
        for news in happened.into_iter().filter(|news| !news.is_empty()) {
            tally.get_or_insert_default().absorb(news);
        }
    }

    pub(super) fn take_operations(&mut self) -> Vec<Operation> {
        std::mem::take(&mut self.operations)
    }

    /// Hands records to the store and deliveries to the outboxes; the queue is still locked.
    pub(super) fn hand_over(mut self) -> Aftermath {
        let ticket = self.engine.submit(&mut self.operations);
        Aftermath {
            ticket: ticket.max(self.awaited),
            later: self.later,
            letters: self.letters,
            handover: self.sink.finish(),
        }
    }
}

/// What is left of a turn once the queue is unlocked.
pub(super) struct Aftermath {
    pub(super) ticket: Ticket,
    pub(super) later: Vec<Effect>,
    pub(super) letters: Vec<DeadLetters>,
    pub(super) handover: Handover,
}

impl Aftermath {
    /// The same, with records that were handed over before.
    pub(super) fn covering(mut self, ticket: Ticket) -> Self {
        self.ticket = self.ticket.max(ticket);
        self
    }
}

/// Joins letters that go to the same place by the same way.
fn add_letters(all: &mut Vec<DeadLetters>, mut new: DeadLetters) {
    match all.last_mut() {
        Some(last) if !last.from_head && !new.from_head && last.target == new.target => {
            last.letters.append(&mut new.letters);
        }
        Some(_) | None => all.push(new),
    }
}
