//! How messages die in the queue: of age, or because there are too many.
//!
//! Only the head dies (spec 7.1.2, 7.3.1), and the head is that of the highest priority there is,
//! as in RabbitMQ: what is below it waits, expired or not (spec 7.4.2). In quorum queues each
//! priority has a head that may expire. What is to be dead-lettered is given away in batches, one at a time: the next is taken once
//! [`QueueState::buried`] says that the last has arrived. What nobody asks for again is dropped at
//! once, but not more in one turn than others can wait for.

use super::effect::{DeadLetter, DeadLetters, Effect};
use super::level::{Head, Level, Place};
use super::mortality::Deaths;
use super::ranges::Ranges;
use super::slot::Slot;
use super::state::{Expiry, QueueState};
use crate::model::{DeathReason, Now, Overflow, Stored};

/// Bodies of dead messages that are asked for at a time.
const GRAVES_ASKED_MAX: usize = 64;

/// A clock that was set forward is noticed after this time.
const LOOK_AGAIN_MS: u64 = 60_000;

/// How long to leave a disk alone that did not answer.
const RETRY_MS: u64 = 1_000;

/// What is left of a level when nothing more of it can expire now.
enum Rest {
    Nothing,
    /// Something; its head expires at this time, if it is known when.
    Waits(Option<u64>),
}

impl<C> QueueState<C> {
    /// Lets die what has lived too long or is too much. To be called when everything that consumers
    /// can take has been dispatched: what goes straight to a consumer never counts.
    pub fn enforce(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let drops_excess = self.drops_excess();
        if !self.mortality.mortal && !drops_excess {
            self.mortality.due_ms = None;
            return;
        }
        let mut deaths = Deaths::default();
        let mut next_ms = self.drop_expired(now, &mut deaths, effects);
        if drops_excess {
            self.drop_excess(&mut deaths, effects);
            // What is the head now may have expired behind what was.
            next_ms = self.drop_expired(now, &mut deaths, effects);
        }
        self.note_deaths(deaths, effects);
        let unfinished = std::mem::take(&mut self.mortality.unfinished);
        self.mortality.due_ms = if unfinished && !self.mortality.burying {
            Some(now.monotonic_ms)
        } else {
            next_ms
        };
        let counts = self.counts();
        self.mortality.mortal &= counts.ready > 0 || counts.unacked > 0;
    }

    /// Looks again later, since the disk does not answer now.
    pub fn enforce_later(&mut self, now: Now) {
        let waits = self.mortality.mortal || self.drops_excess();
        if waits || !self.mortality.unburied.is_empty() {
            self.mortality.due_ms = Some(now.monotonic_ms + RETRY_MS);
        }
    }

    /// The last dead letters from the head have arrived where they go.
    pub const fn buried(&mut self) {
        self.mortality.burying = false;
    }

    /// Notes that somebody used the queue: it does not expire for a while.
    pub const fn used(&mut self, now: Now) {
        self.mortality.last_used_ms = now.monotonic_ms;
    }

    /// Whether nobody has used the queue for as long as its terms allow (spec 4.2.4).
    #[must_use]
    pub fn is_expired(&self, now: Now) -> bool {
        self.expires_at_ms()
            .is_some_and(|expires_ms| expires_ms <= now.monotonic_ms)
    }

    /// When the queue expires if nobody uses it until then, in monotonic milliseconds.
    fn expires_at_ms(&self) -> Option<u64> {
        let expires_ms = self.terms.expires_ms?.get();
        let unused = self.consumers.is_empty();
        unused.then_some(self.mortality.last_used_ms.saturating_add(expires_ms))
    }

    /// When something dies next, in monotonic milliseconds.
    pub(super) fn next_death_ms(&self) -> Option<u64> {
        let all = [self.mortality.due_ms, self.expires_at_ms()];
        all.into_iter().flatten().min()
    }

    fn drops_excess(&self) -> bool {
        let terms = &self.terms;
        terms.overflow == Overflow::DropHead
            && (terms.max_length.is_some() || terms.max_length_bytes.is_some())
    }

    /// Buries the head, or each level's, for as long as it is expired, and says when to look again.
    pub(super) fn drop_expired(
        &mut self,
        now: Now,
        deaths: &mut Deaths,
        effects: &mut Vec<Effect>,
    ) -> Option<u64> {
        let (mut left, mut next_ms) = (self.occupied, None::<u64>);
        while let Some(number) = left.last() {
            left.remove(number);
            match self.drop_expired_of(number, now, deaths, effects) {
                Rest::Nothing => self.occupied.remove(number),
                Rest::Waits(due_ms) if self.settings.expiry == Expiry::OfHighest => return due_ms,
                Rest::Waits(due_ms) => {
                    next_ms = [next_ms, due_ms].into_iter().flatten().min();
                }
            }
        }
        next_ms
    }

    fn drop_expired_of(
        &mut self,
        number: u16,
        now: Now,
        deaths: &mut Deaths,
        effects: &mut Vec<Effect>,
    ) -> Rest {
        let index = usize::from(number);
        while let Some(level) = self.levels.get_mut(index) {
            let place = match level.head() {
                Head::Empty => return Rest::Nothing,
                Head::Absent { chunk } => {
                    level.ask_for_block(chunk, effects);
                    return Rest::Waits(None);
                }
                Head::Place(place) => place,
            };
            let Some(deadline) = level.deadline(&place) else {
                return Rest::Waits(None);
            };
            if deadline > now.wall_ms {
                let left = (deadline - now.wall_ms).min(LOOK_AGAIN_MS);
                return Rest::Waits(Some(now.monotonic_ms + left));
            }
            if !self.bury_head(index, &place, DeathReason::Expired, deaths, effects) {
                return Rest::Waits(None);
            }
        }
        Rest::Nothing
    }

    /// Buries the head until the queue is as long as it may be.
    fn drop_excess(&mut self, deaths: &mut Deaths, effects: &mut Vec<Effect>) {
        loop {
            let (ready, bytes) = self.tally.all_ready();
            if !self.terms.is_exceeded(ready, bytes) {
                return;
            }
            let Some((index, place)) = self.head(effects) else {
                return;
            };
            if !self.bury_head(index, &place, DeathReason::MaxLength, deaths, effects) {
                return;
            }
        }
    }

    /// The head, which is the highest level's, and that level. If it is not known, it is asked for.
    fn head(&mut self, effects: &mut Vec<Effect>) -> Option<(usize, Place)> {
        while let Some(number) = self.occupied.last() {
            let index = usize::from(number);
            let level = self.levels.get_mut(index)?;
            match level.head() {
                Head::Empty => self.occupied.remove(number),
                Head::Absent { chunk } => {
                    level.ask_for_block(chunk, effects);
                    return None;
                }
                Head::Place(place) => return Some((index, place)),
            }
        }
        None
    }

    /// Takes the head out of the queue. `false` if that has to wait.
    pub(super) fn bury_head(
        &mut self,
        level: usize,
        place: &Place,
        reason: DeathReason,
        deaths: &mut Deaths,
        effects: &mut Vec<Effect>,
    ) -> bool {
        if deaths.is_full() {
            deaths.unfinished = true;
            return false;
        }
        let Some(level) = self.levels.get_mut(level) else {
            return false;
        };
        let (hold, resident) = match level.slot(place) {
            Some(Slot::Resident { hold, .. }) => (*hold, true),
            Some(Slot::Stored { hold, .. }) => (*hold, false),
            Some(Slot::Gone) | None => return false,
        };
        let is_letter = self.terms.dead_letter.is_some();
        if is_letter && self.mortality.burying {
            return false;
        }
        if is_letter && !resident {
            if !hold.is_asked() {
                level.look_ahead(effects);
            }
            return false;
        }
        let seq = level.seq(place.position);
        let message = level.take_head(place, &mut self.tally);
        if is_letter {
            self.notes.died(seq);
        } else {
            self.notes.left(seq);
        }
        let place = hold.is_recorded().then_some(seq);
        deaths.add(place, message.filter(|_| is_letter), reason);
        true
    }

    /// Makes effects of what died at the head.
    pub(super) fn note_deaths(&mut self, deaths: Deaths, effects: &mut Vec<Effect>) {
        self.mortality.unfinished |= deaths.unfinished;
        effects.extend(deaths.settled.finish().map(Effect::Settled));
        let target = self.terms.dead_letter.clone();
        if let Some(target) = target.filter(|_| !deaths.letters.is_empty()) {
            self.mortality.burying = true;
            effects.push(Effect::DeadLetters(DeadLetters {
                letters: deaths.letters,
                target,
                from_head: true,
            }));
        }
    }

    /// Makes effects of messages that consumers gave up.
    pub(super) fn note_letters(&self, letters: Vec<DeadLetter>, effects: &mut Vec<Effect>) {
        if letters.is_empty() {
            return;
        }
        match self.terms.dead_letter.clone() {
            Some(target) => effects.push(Effect::DeadLetters(DeadLetters {
                letters,
                target,
                from_head: false,
            })),
            // The terms have changed since they died.
            None => {
                let places = letters.iter().filter_map(|letter| letter.place);
                let mut settled = Ranges::default();
                places.for_each(|seq| settled.push(seq));
                effects.extend(settled.finish().map(Effect::Settled));
            }
        }
    }

    /// Asks for bodies of messages that died while only the log had them.
    pub(super) fn ask_for_graves(&mut self, effects: &mut Vec<Effect>) {
        if self.mortality.unburied.is_empty() {
            return;
        }
        let mut wanted = Vec::new();
        while wanted.len() < GRAVES_ASKED_MAX
            && let Some(seq) = self.mortality.unburied.pop_first()
        {
            let level = self.levels.get_mut(usize::from(seq.level()));
            let stored = level.and_then(|level| level.ask_for_grave(seq.position()));
            wanted.extend(stored.map(|stored| (seq, stored)));
        }
        if !wanted.is_empty() {
            effects.push(Effect::LoadBodies(wanted));
        }
    }
}

impl Level {
    /// Marks the dead place's body as asked for; gives where it lies.
    fn ask_for_grave(&mut self, position: u64) -> Option<Stored> {
        let (chunk, offset) = (
            self.find(self.block_of(position)).ok()?,
            self.offset_of(position),
        );
        let slot = self.places_mut(chunk)?.slot_mut(offset)?;
        let Slot::Stored {
            hold,
            lsn,
            location,
        } = slot
        else {
            return None;
        };
        *hold = hold.asked(true);
        Some(Stored {
            lsn: *lsn,
            location: *location,
        })
    }
}
