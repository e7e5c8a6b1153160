//! Looking at a queue's messages: those whose bodies are on disk are read back for it, and given up
//! again.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Engine;
use super::queue::Queue;
use crate::model::{Message, Seq};
use crate::queue::{Glimpse, GlimpseBytes, Peek, Shown};

/// Blocks that one look may have loaded.
const LOADS_MAX: usize = 256;

/// A message that was looked at.
#[derive(Clone, Debug)]
pub(crate) struct Peeked {
    /// Whether it may have been delivered before.
    pub(crate) redelivered: bool,
    /// The message.
    pub(crate) message: Message,
}

/// Why there is nothing to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeekFailure {
    /// The queue is gone, or serves nothing.
    Gone,
    /// Too much lies on disk before the offset.
    TooFar,
}

impl Queue {
    /// Looks at `count` messages behind the first `offset`, or at fewer if their bodies have more
    /// than `bytes_max` bytes. What was settled meanwhile is left out.
    pub(crate) async fn peek(
        self: &Arc<Self>,
        engine: &Arc<Engine>,
        shown: Shown,
        (offset, count): (u64, usize),
        bytes_max: u64,
    ) -> Result<Vec<Peeked>, PeekFailure> {
        for _ in 0..LOADS_MAX {
            let loaded = self.loaded();
            tokio::pin!(loaded);
            // Registered before the question, so that an answer in between is not missed.
            loaded.as_mut().enable();
            let look = self.turn(engine, |state, turn| {
                let look = state.peek(shown, offset, count, bytes_max, &mut turn.effects);
                turn.absorb();
                look
            });
            match look {
                None => return Err(PeekFailure::Gone),
                Some((Peek::Seen(glimpses), _)) => return Ok(self.read(engine, glimpses).await),
                Some((Peek::Loading, _)) => loaded.await,
            }
        }
        Err(PeekFailure::TooFar)
    }

    async fn read(&self, engine: &Engine, glimpses: Vec<Glimpse>) -> Vec<Peeked> {
        let wanted: Vec<_> = glimpses
            .iter()
            .filter_map(|glimpse| match glimpse.bytes {
                GlimpseBytes::Resident(_) => None,
                GlimpseBytes::Stored(stored) => Some((glimpse.seq, stored)),
            })
            .collect();
        let mut bodies = Vec::new();
        if !wanted.is_empty() {
            let (sender, receiver) = oneshot::channel();
            let reply = move |read| {
                // Whoever asked may have left.
                let _ = sender.send(read);
            };
            engine
                .store()
                .load_bodies(self.id(), wanted, Box::new(reply));
            // A store that is closed answers nothing.
            bodies = receiver.await.unwrap_or_default();
        }
        let mut bodies = bodies.into_iter().peekable();
        let mut body_of = |seq: Seq| {
            let (_, body) = bodies.next_if(|(read, _)| *read == seq)?;
            body.ok()
        };
        let seen = glimpses.into_iter().filter_map(|glimpse| {
            let message = match glimpse.bytes {
                GlimpseBytes::Resident(message) => message,
                GlimpseBytes::Stored(_) => body_of(glimpse.seq)?,
            };
            Some(Peeked {
                redelivered: glimpse.redelivered,
                message,
            })
        });
        seen.collect()
    }
}
