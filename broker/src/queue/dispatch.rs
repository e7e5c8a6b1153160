//! Handing messages out.

use super::effect::{Effect, Get, Sink};
use super::lease;
use super::level::{Head, Level, Place};
use super::mortality::Deaths;
use super::ranges::Ranges;
use super::recipients::{InTurn, Once};
use super::run::{Books, is_over};
use super::slot::Slot;
use super::state::QueueState;
use crate::model::{DeathReason, Now};

/// What can be handed out now.
enum Next {
    Nothing,
    /// Something, once it is loaded or its lease written.
    Held,
    /// This place of the level with this index; its message is in memory.
    Place(usize, Place),
}

impl<C> QueueState<C> {
    /// Hands out messages for as long as there are any and somebody takes them.
    pub fn dispatch(&mut self, now: Now, sink: &mut impl Sink<C>, effects: &mut Vec<Effect>) {
        self.ask_for_graves(effects);
        let (mut settled, mut deaths) = (Ranges::default(), Deaths::default());
        while self.consumers.any_can_take() {
            let Next::Place(level, place) = self.next_place(now, &mut deaths, effects) else {
                break;
            };
            let mut recipients = InTurn {
                consumers: &mut self.consumers,
                sink,
            };
            let mut books = Books {
                tally: &mut self.tally,
                notes: &mut self.notes,
                settled: &mut settled,
                effects,
            };
            self.levels[level].hand_out(now, place, &mut recipients, &mut books);
            self.note_delivery(now, level);
        }
        effects.extend(settled.finish().map(Effect::Settled));
        self.note_deaths(deaths, effects);
    }

    /// Hands out the next message to somebody who is no consumer.
    pub fn get(&mut self, now: Now, no_ack: bool, effects: &mut Vec<Effect>) -> Get {
        self.used(now);
        let mut deaths = Deaths::default();
        let next = self.next_place(now, &mut deaths, effects);
        self.awaited = matches!(next, Next::Held);
        let Next::Place(level, place) = next else {
            self.note_deaths(deaths, effects);
            return if self.awaited {
                Get::Loading
            } else {
                Get::Empty
            };
        };
        let mut once = Once {
            no_ack,
            delivery: None,
        };
        let mut settled = Ranges::default();
        let mut books = Books {
            tally: &mut self.tally,
            notes: &mut self.notes,
            settled: &mut settled,
            effects,
        };
        self.levels[level].hand_out(now, place, &mut once, &mut books);
        self.note_delivery(now, level);
        effects.extend(settled.finish().map(Effect::Settled));
        if self.mortality.mortal {
            // What has expired behind the head is not left for anybody.
            self.drop_expired(now, &mut deaths, effects);
        }
        self.note_deaths(deaths, effects);
        match once.delivery {
            Some(delivery) => Get::Message {
                delivery,
                ready_left: self.counts().ready,
            },
            None => Get::Empty,
        }
    }

    /// What is next, if nothing holds it back. What does is asked for.
    fn next_place(&mut self, now: Now, deaths: &mut Deaths, effects: &mut Vec<Effect>) -> Next {
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
            if self.mortality.mortal && is_over(level.deadline(&place), now) {
                if self.bury_head(index, &place, DeathReason::Expired, deaths, effects) {
                    continue;
                }
                return Next::Held;
            }
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

    /// Asks for a lease that covers `position` and some places beyond.
    fn extend_lease(&mut self, now: Now, level: usize, position: u64, effects: &mut Vec<Effect>) {
        let level = &mut self.levels[level];
        let record = level
            .lease
            .extend_for_delivery(now.monotonic_ms, position, level.next);
        if let Some(record) = record {
            effects.push(Effect::extend_lease(level.number, record));
            self.wake_after_pause(now);
        }
    }

    fn note_delivery(&mut self, now: Now, level: usize) {
        self.last_delivery_ms = now.monotonic_ms;
        if self.deadline_ms.is_none() {
            let level = &self.levels[level];
            if level.lease.is_loose() || level.is_roomy() {
                self.wake_after_pause(now);
            }
        }
    }

    /// Sees to it that [`Self::tick`] is called after a pause.
    pub(super) fn wake_after_pause(&mut self, now: Now) {
        self.deadline_ms
            .get_or_insert(now.monotonic_ms + lease::PAUSE_MS);
    }

    /// Sees to it that an emptied level gives its memory back after a pause.
    pub(super) fn note_room(&mut self, now: Now, level: usize) {
        if self.levels.get(level).is_some_and(Level::is_roomy) {
            self.wake_after_pause(now);
        }
    }
}
