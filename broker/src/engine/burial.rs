//! Dead letters on their way from one queue to others (spec 7.2).
//!
//! They are routed while no queue is locked. What they enter, and that they left, is one operation:
//! a crash neither loses a dead letter nor doubles it. While the queues that they enter are locked
//! together, the one that they left need not be: nothing but this can settle the places that they
//! had there, for nobody has them in hand and they are not ready.

use std::sync::Arc;

use super::Engine;
use super::afterwork::Afterwork;
use super::publish::Route;
use super::queue::Queue;
use super::transaction::Transaction;
use super::virtual_host::VirtualHost;
use crate::model::{DeadLetterTarget, Death, Message, Now};
use crate::queue::{DeadLetter, DeadLetters};

/// Queues that are locked together. What goes to more of them takes several operations, and leaves
/// its queue with the last: a crash in between doubles it, but never loses it.
const QUEUES_MAX: usize = 256;

/// Dead letters of one queue.
#[derive(Debug)]
pub(super) struct Burial {
    /// Where they died.
    pub(super) source: Arc<Queue>,
    /// The letters.
    pub(super) letters: DeadLetters,
}

impl Engine {
    /// Moves dead letters to where they go, and adds what follows from that to `work`.
    pub(super) fn bury(self: &Arc<Self>, burial: Burial, work: &mut Afterwork) {
        let Burial { source, letters } = burial;
        let DeadLetters {
            letters,
            target,
            from_head,
        } = letters;
        let host = self.virtual_host(source.virtual_host().as_str());
        let now = self.now();
        let queue_type = source.arguments().queue_type();
        let mut next = Afterwork::default();
        let mut transaction = Transaction::default();
        for letter in &letters {
            let dead = host
                .as_ref()
                .and_then(|host| readdress(host, &source, letter, &target, now));
            let counters = &self.counters.dead_letters;
            counters.of(queue_type, letter.reason).add(1);
            if let Some((message, route)) = dead {
                for replier in route.replies() {
                    transaction.reply(replier, &message);
                }
                transaction.delay(&route, &message);
                for queues in route.queues().chunks(QUEUES_MAX) {
                    if transaction.queue_count() + queues.len() > QUEUES_MAX {
                        std::mem::take(&mut transaction).inter(self, &mut next);
                    }
                    for queue in queues {
                        transaction.enter(queue, &message);
                    }
                }
            }
            if let Some(place) = letter.place {
                transaction.leave(source.id(), place);
            }
        }
        transaction.inter(self, &mut next);
        if from_head {
            source.buried(self, work);
        }
        // What the letters have pushed out goes first, so that chains do not fill up.
        work.add(next);
    }
}

/// The letter with its new address, and the queues that it goes to; `None` if there are none.
fn readdress(
    host: &VirtualHost,
    source: &Queue,
    letter: &DeadLetter,
    target: &DeadLetterTarget,
    now: Now,
) -> Option<(Message, Route)> {
    let exchange = host.exchange(target.exchange.as_str())?;
    let death = Death {
        queue: source.name(),
        reason: letter.reason,
        time_ms: now.wall_ms,
    };
    let message = letter
        .message
        .dead_lettered(death, target)
        .inspect_err(|error| {
            tracing::error!(queue = %source.name(), %error, "a dead letter is dropped");
        })
        .ok()?;
    let keys = message.routing_keys();
    let route = Route::find(host, &exchange, keys, message.properties());
    let route = route.without(|queue| {
        let circles = message.would_circle(letter.reason, queue.name());
        if circles {
            let (queue, host) = (queue.name(), host.name());
            tracing::debug!(%queue, %host, "a dead letter has gone round in a circle and is dropped");
        }
        circles
    });
    (!route.is_empty()).then_some((message, route))
}

impl Queue {
    /// Goes on with what dies at the head: the last dead letters have arrived where they go.
    fn buried(self: &Arc<Self>, engine: &Arc<Engine>, work: &mut Afterwork) {
        self.turn_leaving(engine, work, |state, _| state.buried());
        self.wake_waiting();
    }
}
