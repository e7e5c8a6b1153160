//! Consumers that go on, and consumers that go.

use std::sync::Arc;

use super::Engine;
use super::outbox::ConsumerLink;
use super::queue::Queue;
use super::turn::{State, Turn};
use crate::model::{QueueType, Seq, Settlement};

impl Queue {
    /// What comes back to a classic queue counts before anybody can take it; in a quorum queue it is
    /// offered first. Both are as in RabbitMQ.
    pub(super) fn count_returned(&self, state: &mut State, turn: &mut Turn<'_>) {
        match self.arguments().queue_type() {
            QueueType::Classic => turn.enforce(state),
            QueueType::Quorum => {}
        }
    }

    /// Lets consumers go on that had no room or credit.
    pub(crate) fn resume(self: &Arc<Self>, engine: &Arc<Engine>, link: &ConsumerLink) {
        self.turn(engine, |state, _| state.resume(link.key));
    }

    /// Removes a consumer. Returns whether the queue is now without any, having had one.
    pub(crate) fn cancel(self: &Arc<Self>, engine: &Arc<Engine>, link: &ConsumerLink) -> bool {
        self.turn(engine, |state, turn| {
            state.used(turn.now);
            state
                .cancel(link.key)
                .is_some_and(|cancelled| cancelled.remaining == 0)
        })
        .is_some_and(|(unused, _)| unused)
    }

    /// Takes back what a channel has of this queue: its consumers and its unsettled deliveries.
    /// Nothing is delivered in between, so that whoever is next gets it all in order. Returns
    /// whether the queue is now without any consumer, having had one.
    pub(crate) fn withdraw(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        consumers: &[Arc<ConsumerLink>],
        mut seqs: Vec<Seq>,
    ) -> bool {
        let mut starved = Vec::new();
        let withdrawn = self.turn(engine, |state, turn| {
            let mut remaining = None;
            state.used(turn.now);
            for link in consumers {
                let cancelled = state.cancel(link.key);
                remaining = cancelled.map(|cancelled| cancelled.remaining).or(remaining);
                seqs.extend(link.outbox.withdraw(link.key, &mut starved));
            }
            seqs.sort_unstable();
            state.settle(turn.now, &seqs, Settlement::Requeue, &mut turn.effects);
            turn.absorb();
            if !seqs.is_empty() {
                self.count_returned(state, turn);
            }
            remaining == Some(0)
        });
        for link in starved {
            link.queue.resume(engine, &link);
        }
        withdrawn.is_some_and(|(unused, _)| unused)
    }
}
