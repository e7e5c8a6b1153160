//! Messages that come back from consumers.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::chunk::{Content, Places};
use super::effect::{DeadLetter, Effect};
use super::level::Level;
use super::ranges::Ranges;
use super::run::Books;
use super::slot::{Hold, Holder, Slot};
use super::state::QueueState;
use crate::model::{Attempts, DeathReason, Now, QueueTerms, Seq, Settlement};

/// What becomes of a message that came back.
enum Fate {
    /// It is ready again.
    Ready,
    /// It has left for good.
    Gone,
    /// It is to be dead-lettered.
    Dead(DeathReason),
}

/// What is written down while messages come back.
struct Returns<'a> {
    books: Books<'a>,
    terms: &'a QueueTerms,
    settlement: Settlement,
    /// Recorded places that are ready again, with how often they have failed.
    counted: Vec<(u32, Seq)>,
    letters: Vec<DeadLetter>,
    unburied: &'a mut BTreeSet<Seq>,
}

impl<C> QueueState<C> {
    /// Settles unacked messages. Places that nobody has in hand are passed over: the queue may
    /// have lost them since to damage.
    ///
    /// Ascending places make the shortest record.
    pub fn settle(
        &mut self,
        now: Now,
        seqs: &[Seq],
        settlement: Settlement,
        effects: &mut Vec<Effect>,
    ) {
        let terms = Arc::clone(&self.terms);
        let mut settled = Ranges::default();
        let mut returns = Returns {
            books: Books {
                tally: &mut self.tally,
                notes: &mut self.notes,
                settled: &mut settled,
                effects,
            },
            terms: &terms,
            settlement,
            counted: Vec::new(),
            letters: Vec::new(),
            unburied: &mut self.mortality.unburied,
        };
        let mut touched = Vec::new();
        let mut left = seqs;
        while let Some(seq) = left.first() {
            let number = seq.level();
            let Some(level) = self.levels.get_mut(usize::from(number)) else {
                left = &left[1..];
                continue;
            };
            let taken = level.take_back(left, &mut returns, |holder| match holder {
                Holder::Consumer(index) => self.consumers.give_back(index),
                Holder::Get | Holder::Nobody | Holder::Grave(_) => {}
            });
            if touched.last() != Some(&number) {
                touched.push(number);
            }
            left = &left[taken..];
        }
        let (counted, letters) = (returns.counted, returns.letters);
        for number in touched {
            if settlement.is_requeue() {
                self.occupied.insert(number.into());
            }
            self.note_room(now, number.into());
        }
        effects.extend(settled.finish().map(Effect::Settled));
        push_requeued(counted, effects);
        self.note_letters(letters, effects);
    }
}

impl Level {
    /// Takes back the first of `seqs`, which is this level's, and those that follow it in its
    /// chunk. What nobody had in hand is passed over. `gave_back` learns of each holder. Says how
    /// many of `seqs` that were.
    fn take_back(
        &mut self,
        seqs: &[Seq],
        returns: &mut Returns<'_>,
        mut gave_back: impl FnMut(Holder),
    ) -> usize {
        let Some(first) = seqs.first() else {
            return 0;
        };
        let block = self.block_of(first.position());
        let level = self.number;
        let bits = self.block_bits;
        let same_chunk = |seq: &&Seq| seq.level() == level && seq.position() >> bits == block;
        let count = seqs.iter().take_while(same_chunk).count();
        let Ok(chunk) = self.find(block) else {
            return count;
        };
        let Content::Places(places) = &mut self.chunks[chunk].content else {
            return count;
        };
        let (stored, mask) = (places.stored, (1 << bits) - 1);
        for &seq in &seqs[..count] {
            let offset = (seq.position() & mask) as u16;
            let Some(index) = places.index(offset) else {
                continue;
            };
            let Some(hold) = places.slots.get(index).and_then(Slot::hold) else {
                continue;
            };
            let holder = hold.holder();
            match holder {
                Holder::Nobody | Holder::Grave(_) => continue,
                Holder::Get | Holder::Consumer(_) => gave_back(holder),
            }
            match returns.fate(seq, hold) {
                Fate::Ready => places.make_ready(index, offset, &mut returns.books),
                Fate::Gone => {
                    places.let_go(index, &mut returns.books);
                    returns.books.settle(seq, hold.is_recorded());
                }
                Fate::Dead(reason) => places.bury(index, seq, reason, returns),
            }
        }
        self.stored -= u64::from(stored - places.stored);
        if !places.requeued.is_empty() {
            self.requeued.insert(block);
        }
        self.forget_if_empty(chunk);
        count
    }
}

impl Returns<'_> {
    fn fate(&mut self, seq: Seq, hold: Hold) -> Fate {
        match self.settlement {
            Settlement::Acknowledge => Fate::Gone,
            Settlement::Discard => self.death(DeathReason::Rejected),
            Settlement::Return => {
                if self.terms.counts_deliveries() {
                    self.count_return(seq);
                }
                Fate::Ready
            }
            Settlement::Requeue if self.terms.counts_deliveries() => {
                let attempts = self.count_return(seq);
                attempts.failed = attempts.failed.saturating_add(1);
                let failed = attempts.failed;
                if self.terms.is_spent(failed) {
                    return self.death(DeathReason::DeliveryLimit);
                }
                if hold.is_recorded() {
                    self.counted.push((failed, seq));
                }
                Fate::Ready
            }
            Settlement::Requeue => Fate::Ready,
        }
    }

    fn count_return(&mut self, seq: Seq) -> &mut Attempts {
        let attempts = self.books.notes.attempts_mut(seq);
        attempts.returned = attempts.returned.saturating_add(1);
        attempts
    }

    const fn death(&self, reason: DeathReason) -> Fate {
        if self.terms.dead_letter.is_some() {
            Fate::Dead(reason)
        } else {
            Fate::Gone
        }
    }
}

impl Places {
    fn make_ready(&mut self, index: usize, offset: u16, books: &mut Books<'_>) {
        let bytes = self.bytes(index);
        if let Some(slot) = self.slots.get_mut(index)
            && let Some(hold) = slot.hold()
        {
            slot.set_hold(hold.held_by(Holder::Nobody).redelivered());
        }
        self.requeued.insert(offset);
        self.unacked -= 1;
        books.tally.left_unacked(bytes);
        books.tally.became_ready(bytes);
    }

    /// Empties an unacked place.
    fn let_go(&mut self, index: usize, books: &mut Books<'_>) {
        books.tally.left_unacked(self.bytes(index));
        books.tally.resident_bytes -= self.slots[index].memory_bytes();
        self.unacked -= 1;
        self.clear(index);
    }

    /// Takes a dead message out, or keeps its place until its body has been read back.
    fn bury(&mut self, index: usize, seq: Seq, reason: DeathReason, returns: &mut Returns<'_>) {
        let (hold, message) = match &mut self.slots[index] {
            Slot::Gone => return,
            Slot::Resident { hold, message } => (*hold, message.clone()),
            Slot::Stored { hold, .. } => {
                *hold = hold.held_by(Holder::Grave(reason));
                returns.unburied.insert(seq);
                return;
            }
        };
        self.let_go(index, &mut returns.books);
        returns.books.notes.died(seq);
        returns.letters.push(DeadLetter {
            place: hold.is_recorded().then_some(seq),
            message,
            reason,
        });
    }
}

/// One effect for each count.
fn push_requeued(mut counted: Vec<(u32, Seq)>, effects: &mut Vec<Effect>) {
    counted.sort_unstable();
    for group in counted.chunk_by(|left, right| left.0 == right.0) {
        let mut ranges = Ranges::default();
        for &(_, seq) in group {
            ranges.push(seq);
        }
        if let (Some(ranges), Some(&(delivery_count, _))) = (ranges.finish(), group.first()) {
            effects.push(Effect::Requeued {
                ranges,
                delivery_count,
            });
        }
    }
}
