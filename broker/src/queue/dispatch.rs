//! Handing messages out.

use super::effect::{Delivery, Effect, Get, Sink};
use super::lease;
use super::level::{Head, Place};
use super::ranges::Ranges;
use super::slot::{Hold, Holder, Slot};
use super::state::QueueState;
use crate::model::{ConsumerKey, Now, SeqRange};

/// What can be handed out now.
enum Next {
    Nothing,
    /// Something, once it is loaded or its lease written.
    Held,
    /// This place of the level with this index; its message is in memory.
    Place(usize, Place),
}

/// A delivery that was not taken yet, and what to count when it is.
struct Offer {
    level: usize,
    place: Place,
    hold: Hold,
    bytes: u64,
    memory_bytes: usize,
}

impl<C> QueueState<C> {
    /// Hands out messages for as long as there are any and somebody takes them.
    pub fn dispatch(&mut self, now: Now, sink: &mut impl Sink<C>, effects: &mut Vec<Effect>) {
        let mut settled = Ranges::default();
        let mut last_level = None;
        while let Some(candidate) = self.consumers.candidate() {
            let (index, key, no_ack) = (candidate.index, candidate.key, candidate.no_ack);
            let Next::Place(level, place) = self.next_place(now, effects) else {
                break;
            };
            let Some((offer, delivery)) = self.prepare(level, place, Some(key), no_ack) else {
                break;
            };
            let seq = delivery.seq;
            let Some(handle) = self.consumers.handle(index) else {
                break;
            };
            match sink.offer(handle, delivery) {
                Ok(()) => {
                    last_level = Some(level);
                    self.consumers.took(index);
                    let holder = (!no_ack).then_some(Holder::Consumer(index));
                    self.complete(now, &offer, holder, effects);
                    if no_ack && offer.hold.is_recorded() {
                        settled.push(seq);
                    }
                }
                Err(refused) => {
                    self.consumers.block(index);
                    if no_ack {
                        self.levels[level].put_back(place, refused.message, offer.hold);
                    }
                }
            }
        }
        effects.extend(settled.finish().map(Effect::Settled));
        if let Some(level) = last_level {
            self.note_room(now, level);
        }
    }

    /// Hands out the next message to somebody who is no consumer.
    pub fn get(&mut self, now: Now, no_ack: bool, effects: &mut Vec<Effect>) -> Get {
        let (level, place) = match self.next_place(now, effects) {
            Next::Nothing => return Get::Empty,
            Next::Held => return Get::Loading,
            Next::Place(level, place) => (level, place),
        };
        let Some((offer, delivery)) = self.prepare(level, place, None, no_ack) else {
            return Get::Empty;
        };
        let holder = (!no_ack).then_some(Holder::Get);
        self.complete(now, &offer, holder, effects);
        if no_ack && offer.hold.is_recorded() {
            effects.push(Effect::Settled(vec![SeqRange::one(delivery.seq)]));
        }
        Get::Message {
            delivery,
            ready_left: self.counts().ready,
        }
    }

    /// What is next, if nothing holds it back. What does is asked for.
    fn next_place(&mut self, now: Now, effects: &mut Vec<Effect>) -> Next {
        while let Some(number) = self.occupied.last() {
            let index = usize::from(number);
            let Some(level) = self.levels.get_mut(index) else {
                return Next::Nothing;
            };
            let place = match level.head() {
                Head::Empty => {
                    self.occupied.remove(number);
                    continue;
                }
                Head::Absent { chunk } => {
                    level.ask_for_block(chunk, effects);
                    return Next::Held;
                }
                Head::Place(place) => place,
            };
            let (hold, resident) = match level.slot(&place) {
                Some(Slot::Resident { hold, .. }) => (*hold, true),
                Some(Slot::Stored { hold, .. }) => (*hold, false),
                Some(Slot::Gone) | None => return Next::Nothing,
            };
            if level.look_ahead_in == 0 || !(resident || hold.is_asked()) {
                level.look_ahead(effects);
            }
            let covered = !hold.is_recorded() || level.lease.covers(place.position);
            if !covered && !level.lease.reaches(place.position) {
                self.extend_lease(now, index, place.position, effects);
            }
            return if covered && resident {
                Next::Place(index, place)
            } else {
                Next::Held
            };
        }
        Next::Nothing
    }

    /// Makes the delivery. A message that will count as settled is taken out of its slot, not
    /// shared: the offer must be completed, or the message put back.
    fn prepare(
        &mut self,
        level: usize,
        place: Place,
        consumer: Option<ConsumerKey>,
        no_ack: bool,
    ) -> Option<(Offer, Delivery)> {
        let places = self.levels.get_mut(level)?;
        let seq = places.seq(place.position);
        let Slot::Resident { hold, message } = places.slot(&place)? else {
            return None;
        };
        let offer = Offer {
            level,
            place,
            hold: *hold,
            bytes: message.body().len() as u64,
            memory_bytes: message.memory_bytes(),
        };
        let message = if no_ack {
            places.lift(place)?
        } else {
            message.clone()
        };
        let delivery_count = if self.delivery_counts.is_empty() {
            0
        } else {
            self.delivery_counts.get(&seq).copied().unwrap_or(0)
        };
        let delivery = Delivery {
            consumer,
            seq,
            message,
            redelivered: offer.hold.is_redelivered(),
            delivery_count,
        };
        Some((offer, delivery))
    }

    /// The offer was taken: by `holder`, or for good.
    fn complete(
        &mut self,
        now: Now,
        offer: &Offer,
        holder: Option<Holder>,
        effects: &mut Vec<Effect>,
    ) {
        let level = &mut self.levels[offer.level];
        let position = offer.place.position;
        self.tally.left_ready(offer.bytes);
        if let Some(holder) = holder {
            self.tally.became_unacked(offer.bytes);
            level.lend(offer.place, holder);
        } else {
            self.tally.resident_bytes -= offer.memory_bytes;
            if !self.delivery_counts.is_empty() {
                self.delivery_counts.remove(&level.seq(position));
            }
            level.give_away(offer.place);
        }
        self.last_delivery_ms = now.monotonic_ms;
        if offer.hold.is_recorded() {
            level.lease.delivered(position);
            // Without a backlog the next enqueue extends the lease in time.
            if level.backlog() > 0 {
                self.extend_lease(now, offer.level, position, effects);
            }
        }
    }

    /// Extends the level's lease if deliveries beyond `position` will soon need it.
    fn extend_lease(&mut self, now: Now, level: usize, position: u64, effects: &mut Vec<Effect>) {
        let level = &mut self.levels[level];
        let bound = level
            .lease
            .extend_for_delivery(now.monotonic_ms, position, level.next);
        if let Some(bound) = bound {
            effects.push(level.lease_record(bound));
            self.deadline_ms
                .get_or_insert(now.monotonic_ms + lease::PAUSE_MS);
        }
    }
}
