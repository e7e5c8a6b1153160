//! Reading back what a queue has on disk alone.

use std::sync::Arc;

use super::Engine;
use super::meters::{Event, Tally};
use super::queue::Queue;
use crate::model::{Seq, Stored};
use crate::queue::{Delivery, Get, LoadFailure};
use crate::store::LoadError;

impl Queue {
    /// Takes one message for `basic.get`, reading it back from disk if need be.
    pub(crate) async fn get(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        no_ack: bool,
    ) -> Option<(Delivery, u64)> {
        loop {
            let loaded = self.loaded.notified();
            tokio::pin!(loaded);
            // Registered before the question, so that an answer in between is not missed.
            loaded.as_mut().enable();
            let (got, _) = self.turn(engine, |state, turn| {
                let got = state.get(turn.now, no_ack, &mut turn.effects);
                turn.absorb();
                count_get(&mut turn.tally, &got, no_ack);
                got
            })?;
            match got {
                Get::Empty => return None,
                Get::Message {
                    delivery,
                    ready_left,
                } => return Some((delivery, ready_left)),
                Get::Loading => loaded.await,
            }
        }
    }

    /// Asks for the index block that starts at `first`.
    pub(super) fn load_block(self: &Arc<Self>, engine: &Arc<Engine>, level: u8, first: Seq) {
        let (queue, reply_engine) = (Arc::clone(self), Arc::clone(engine));
        let block = first.position() / crate::queue::BLOCK_PLACES;
        engine.store().load_block(
            self.id(),
            level,
            block,
            Box::new(move |loaded| {
                queue.turn(&reply_engine, |state, turn| {
                    match loaded {
                        Ok(entries) => {
                            let entries: Vec<_> =
                                entries.into_iter().map(super::recover::entry).collect();
                            state.block_loaded(level, first, &entries, &mut turn.effects);
                        }
                        Err(error) => {
                            tracing::error!(%error, "an index block could not be read");
                            let failure = load_failure(&error);
                            turn.holds = failure == LoadFailure::Unavailable;
                            state.block_failed(level, first, failure, &mut turn.effects);
                        }
                    }
                    turn.absorb();
                });
                queue.wake_waiting();
            }),
        );
    }

    /// Asks for bodies.
    pub(super) fn load_bodies(self: &Arc<Self>, engine: &Arc<Engine>, places: Vec<(Seq, Stored)>) {
        let (queue, reply_engine) = (Arc::clone(self), Arc::clone(engine));
        engine.store().load_bodies(
            self.id(),
            places,
            Box::new(move |bodies| {
                queue.turn(&reply_engine, |state, turn| {
                    let bodies: Vec<_> = bodies
                        .into_iter()
                        .map(|(seq, body)| (seq, body.map_err(|error| load_failure(&error))))
                        .collect();
                    turn.holds = bodies
                        .iter()
                        .any(|(_, body)| matches!(body, Err(LoadFailure::Unavailable)));
                    state.bodies_loaded(bodies, &mut turn.effects);
                    turn.absorb();
                });
                queue.wake_waiting();
            }),
        );
    }
}

fn count_get(tally: &mut Tally, got: &Get, no_ack: bool) {
    match got {
        Get::Empty => tally.add(Event::GetEmpty, 1),
        Get::Message { delivery, .. } => {
            tally.add(Event::get(no_ack), 1);
            tally.add(Event::Redeliver, delivery.redelivered.into());
        }
        Get::Loading => {}
    }
}

/// Damage is for ever; anything else may pass.
pub(super) fn load_failure(error: &LoadError) -> LoadFailure {
    match error {
        LoadError::Gone { .. } | LoadError::Damaged { .. } => LoadFailure::Damaged,
        LoadError::Io(_) | LoadError::Closed => LoadFailure::Unavailable,
    }
}
