//! Neighbouring places that go out in one go.
//!
//! Bursts are the rule, and finding a place costs more than handing it out; so a chunk is found
//! once for as many of its places as follow one another.

use super::chunk::{Content, Places};
use super::effect::{Delivery, Effect};
use super::lease::Lease;
use super::level::{Level, Place};
use super::notes::Notes;
use super::ranges::Ranges;
use super::recipients::{Recipient, Recipients};
use super::slot::Slot;
use super::tally::Tally;
use crate::model::{Now, Seq};

/// What is written down while places change hands.
pub(super) struct Books<'a> {
    pub(super) tally: &'a mut Tally,
    pub(super) notes: &'a mut Notes,
    /// Recorded places that left for good.
    pub(super) settled: &'a mut Ranges,
    pub(super) effects: &'a mut Vec<Effect>,
}

impl Books<'_> {
    /// The place left for good.
    pub(super) fn settle(&mut self, seq: Seq, recorded: bool) {
        if recorded {
            self.settled.push(seq);
        }
        self.notes.left(seq);
    }
}

/// Whether a message with that deadline is not to be delivered any more. One that expires this very
/// moment still is: a message that may not wait at all can go to whoever is ready for it (spec
/// 7.1.3).
pub(super) fn is_over(deadline_ms: Option<u64>, now: Now) -> bool {
    deadline_ms.is_some_and(|deadline_ms| deadline_ms < now.wall_ms)
}

/// How an offer ended.
enum Offered {
    Taken {
        recorded: bool,
    },
    Refused,
    /// The place cannot be offered yet.
    Held,
}

impl Places {
    /// Offers the ready message at `offset`.
    fn offer(
        &mut self,
        offset: u16,
        seq: Seq,
        lease: &Lease,
        recipient: Recipient,
        recipients: &mut impl Recipients,
        books: &mut Books<'_>,
    ) -> Offered {
        let Some(slot) = self.slot_mut(offset) else {
            return Offered::Held;
        };
        let Slot::Resident { hold, message } = &*slot else {
            return Offered::Held;
        };
        let (hold, recorded) = (*hold, hold.is_recorded());
        if recorded && !lease.covers(seq.position()) {
            return Offered::Held;
        }
        let (bytes, memory_bytes) = (message.body().len() as u64, message.memory_bytes());
        // What counts as settled is taken out of its slot, not shared.
        let Some(message) = (match recipient.holder {
            Some(_) => Some(message.clone()),
            None => slot.take_message(),
        }) else {
            return Offered::Held;
        };
        let delivery = Delivery {
            consumer: recipient.key,
            seq,
            message,
            redelivered: hold.is_redelivered(),
            attempts: books.notes.attempts(seq),
        };
        if let Err(refused) = recipients.offer(delivery) {
            if recipient.holder.is_none() {
                *slot = Slot::resident(refused.message, hold);
            }
            return Offered::Refused;
        }
        books.tally.left_ready(bytes);
        if let Some(holder) = recipient.holder {
            slot.set_hold(hold.held_by(holder));
            self.unacked += 1;
            books.tally.became_unacked(bytes);
        } else {
            self.live -= 1;
            books.tally.resident_bytes -= memory_bytes;
            books.settle(seq, recorded);
        }
        Offered::Taken { recorded }
    }
}

impl Level {
    /// Hands out the head, `place`, and what follows it in its chunk, until nobody takes more or
    /// something has to be asked for first.
    pub(super) fn hand_out(
        &mut self,
        now: Now,
        place: Place,
        recipients: &mut impl Recipients,
        books: &mut Books<'_>,
    ) {
        let first = place.position - u64::from(place.offset);
        let Some(Content::Places(places)) = self
            .chunks
            .get_mut(place.chunk)
            .map(|chunk| &mut chunk.content)
        else {
            return;
        };
        let mut next = Some(place.offset);
        let mut passed = 0;
        while let Some(offset) = next
            && passed < self.look_ahead_in
            && let Some(recipient) = recipients.next()
        {
            let position = first + u64::from(offset);
            if is_over(places.deadline(offset), now) {
                break;
            }
            let seq = Seq::new(self.number, position);
            match places.offer(offset, seq, &self.lease, recipient, recipients, books) {
                Offered::Taken { recorded: false } => {}
                Offered::Taken { recorded: true } => {
                    self.lease.delivered(position);
                    let extended =
                        self.lease
                            .extend_for_delivery(now.monotonic_ms, position, self.next);
                    let effect = |record| Effect::extend_lease(self.number, record);
                    books.effects.extend(extended.map(effect));
                }
                Offered::Refused => continue,
                Offered::Held => break,
            }
            passed += 1;
            if place.requeued {
                places.requeued.remove(offset);
                next = places.requeued.first_from(offset + 1);
            } else {
                self.cursor = position + 1;
                next = places.present_from(offset + 1);
            }
        }
        if passed == 0 {
            return;
        }
        self.look_ahead_in -= passed;
        if place.requeued {
            self.released_behind_to = self.released_behind_to.min(place.position);
            if places.requeued.is_empty() {
                self.requeued.remove(&self.block_of(place.position));
            }
        }
        self.forget_if_empty(place.chunk);
    }
}
