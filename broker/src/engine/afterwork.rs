//! What turns leave to be done once their queues are unlocked: further turns.
//!
//! One turn leads to others: a dead letter pushes another one out of the queue that it goes to, and
//! so on along a chain of any length. So they are not called but collected, and worked off in a
//! loop, which gives up after a while and leaves the rest to the timers' task.

use std::sync::Arc;

use super::Engine;
use super::burial::Burial;
use super::outbox::ConsumerLink;
use super::queue::Queue;
use crate::model::{Seq, Settlement};
use crate::queue::DeadLetters;
use crate::store::Ticket;

/// Batches of dead letters that are moved on in one go.
const BURIALS_MAX: usize = 64;

/// Turns to come.
#[derive(Debug, Default)]
pub(super) struct Afterwork {
    /// Consumers that had no room, and have some now.
    pub(super) resumes: Vec<Arc<ConsumerLink>>,
    /// Deliveries to connections that have gone.
    pub(super) returns: Vec<(Arc<Queue>, Vec<Seq>)>,
    /// Dead letters; the last is the next.
    pub(super) burials: Vec<Burial>,
    /// Covers the records of burials.
    pub(super) ticket: Ticket,
}

impl Afterwork {
    /// Adds dead letters of `source`.
    pub(super) fn bury(&mut self, source: &Arc<Queue>, letters: Vec<DeadLetters>) {
        let burials = letters.into_iter().rev().map(|letters| Burial {
            source: Arc::clone(source),
            letters,
        });
        self.burials.extend(burials);
    }

    /// Adds what is to be done before everything else.
    pub(super) fn add(&mut self, other: Self) {
        self.resumes.extend(other.resumes);
        self.returns.extend(other.returns);
        self.burials.extend(other.burials);
        self.ticket = self.ticket.max(other.ticket);
    }
}

impl Engine {
    /// Does everything that is to be done, and what follows from that. The ticket covers what
    /// became of dead letters.
    pub(super) fn work_off(self: &Arc<Self>, mut work: Afterwork) -> Ticket {
        let mut buried = 0;
        loop {
            if let Some(link) = work.resumes.pop() {
                let queue = Arc::clone(&link.queue);
                queue.turn_leaving(self, &mut work, |state, _| state.resume(link.key));
            } else if let Some((queue, seqs)) = work.returns.pop() {
                queue.turn_leaving(self, &mut work, |state, turn| {
                    state.settle(turn.now, &seqs, Settlement::Return, &mut turn.effects);
                    turn.absorb();
                    queue.count_returned(state, turn);
                });
            } else if buried == BURIALS_MAX {
                self.bury_later(work.burials);
                return work.ticket;
            } else if let Some(burial) = work.burials.pop() {
                buried += 1;
                self.bury(burial, &mut work);
            } else {
                return work.ticket;
            }
        }
    }
}
