//! Looking at messages without touching them: order, flags and counts stay as they are.

use super::chunk::{Content, Places};
use super::effect::Effect;
use super::level::Level;
use super::slot::Slot;
use super::state::QueueState;
use crate::model::{Message, Seq, Stored};

/// Which messages are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Those that wait, in the order in which they would be delivered.
    Ready,
    /// Those that were delivered and not settled, in the order of their places.
    Unacked,
}

/// A message that was looked at.
#[derive(Clone, Debug)]
pub struct Glimpse {
    /// Its place.
    pub seq: Seq,
    /// Whether it may have been delivered before.
    pub redelivered: bool,
    /// Its body's length.
    pub body_bytes: u64,
    /// Where its bytes are.
    pub bytes: GlimpseBytes,
}

/// Where the bytes of a message are that was looked at.
#[derive(Clone, Debug)]
pub enum GlimpseBytes {
    /// Here.
    Resident(Message),
    /// In the log.
    Stored(Stored),
}

/// The answer to a look.
#[derive(Clone, Debug)]
pub enum Peek {
    /// What lies in the window.
    Seen(Vec<Glimpse>),
    /// A block before the end of the window has to be loaded first, which was asked for. Look again
    /// after the next answer to this queue's effects.
    Loading,
}

/// What of the queue is looked at.
struct Window {
    shown: Shown,
    skip: u64,
    count: usize,
    bytes_left: u64,
    seen: Vec<Glimpse>,
}

impl Window {
    /// One message fits in any case.
    fn is_full(&self) -> bool {
        self.seen.len() >= self.count || (self.bytes_left == 0 && !self.seen.is_empty())
    }

    fn look_at(&mut self, level: &Level, block: u64, places: &Places) {
        let ready = u64::from(places.live.saturating_sub(places.unacked));
        let matching = match self.shown {
            Shown::Ready => ready,
            Shown::Unacked => places.unacked.into(),
        };
        if matching <= self.skip {
            self.skip -= matching;
            return;
        }
        let first = level.first_of(block) + u64::from(places.start);
        for (index, slot) in places.slots.iter().enumerate() {
            if self.is_full() {
                return;
            }
            let Some(hold) = slot.hold() else { continue };
            if hold.is_ready() != (self.shown == Shown::Ready) {
                continue;
            }
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            let bytes = match slot {
                Slot::Gone => continue,
                Slot::Resident { message, .. } => GlimpseBytes::Resident(message.clone()),
                Slot::Stored { lsn, location, .. } => GlimpseBytes::Stored(Stored {
                    lsn: *lsn,
                    location: *location,
                }),
            };
            let body_bytes = places.bytes(index);
            self.bytes_left = self.bytes_left.saturating_sub(body_bytes);
            self.seen.push(Glimpse {
                seq: level.seq(first + index as u64),
                redelivered: hold.is_redelivered(),
                body_bytes,
                bytes,
            });
        }
    }
}

impl<C> QueueState<C> {
    /// Looks at `count` messages behind the first `offset`, or at fewer if their bodies have more
    /// than `bytes_max` bytes.
    pub fn peek(
        &mut self,
        shown: Shown,
        offset: u64,
        count: usize,
        bytes_max: u64,
        effects: &mut Vec<Effect>,
    ) -> Peek {
        let mut window = Window {
            shown,
            skip: offset,
            count,
            bytes_left: bytes_max,
            seen: Vec::new(),
        };
        for level in self.levels.iter_mut().rev() {
            for index in 0..level.chunks.len() {
                if window.is_full() {
                    return Peek::Seen(window.seen);
                }
                let chunk = &level.chunks[index];
                let absent = match &chunk.content {
                    Content::Places(places) => {
                        window.look_at(level, chunk.number, places);
                        continue;
                    }
                    Content::Paged(paged) => u64::from(paged.ready.count()),
                    Content::Unread(_) => u64::MAX,
                };
                // Nothing of a block without slots is unacked.
                if shown == Shown::Unacked {
                    continue;
                }
                if absent != u64::MAX && absent <= window.skip {
                    window.skip -= absent;
                    continue;
                }
                level.ask_for_block(index, effects);
                return Peek::Loading;
            }
        }
        Peek::Seen(window.seen)
    }
}
