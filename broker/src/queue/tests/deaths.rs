//! Deaths in the small world: who may die, who must, and where they go.

use super::disk::Record;
use super::reference::Entry;
use super::world::World;
use crate::model::{DeathReason, Overflow, QueueTerms, Seq, SeqRange};
use crate::queue::chunk::Content;
use crate::queue::slot::Slot;
use crate::queue::state::QueueState;
use crate::queue::{DeadLetter, DeadLetters, Effect};

impl<C> QueueState<C> {
    /// Whether the place is ready, as far as is known.
    fn may_be_ready(&self, seq: Seq) -> bool {
        let level = &self.levels[usize::from(seq.level())];
        let Ok(index) = level.find(level.block_of(seq.position())) else {
            return false;
        };
        let offset = level.offset_of(seq.position());
        match &level.chunks[index].content {
            Content::Places(places) => places
                .slot(offset)
                .and_then(Slot::hold)
                .is_some_and(|hold| hold.is_ready()),
            Content::Paged(paged) => paged.ready.contains(offset),
            Content::Unread(_) => true,
        }
    }
}

impl World {
    /// Whatever the queue has let die is taken out of the reference too, if it was to die: first
    /// what was expired, then what was too much, then what was expired behind that.
    pub(super) fn catch_up(&mut self) {
        self.catch_up_with_the_expired();
        while self.is_too_long()
            && let Some(head) = self.reference.head()
            && !self.queue.may_be_ready(head.seq)
        {
            self.reference.remove_ready(head.seq);
            self.died.push((head, DeathReason::MaxLength));
        }
        self.catch_up_with_the_expired();
        if let Some(head) = self.reference.head() {
            let is_there = self.queue.may_be_ready(head.seq);
            assert!(is_there, "nobody had reason to drop {head:?}");
        }
    }

    pub(super) fn catch_up_with_the_expired(&mut self) {
        while let Some(head) = self.reference.head()
            && head.deadline_ms > 0
            && head.deadline_ms <= self.now.wall_ms
            && !self.queue.may_be_ready(head.seq)
        {
            self.reference.remove_ready(head.seq);
            self.died.push((head, DeathReason::Expired));
        }
    }

    fn is_too_long(&self) -> bool {
        let ready = self.reference.ready.values();
        let bytes = ready.map(|entry| 4 + u64::from(entry.id % 5)).sum();
        let length = self.reference.ready.len() as u64;
        self.terms.overflow == Overflow::DropHead && self.terms.is_exceeded(length, bytes)
    }

    /// What died at the head either comes out as letters, each once, or is settled.
    pub(super) fn account_for_the_dead(&mut self, effects: &[Effect]) {
        let mut letters: Vec<(Seq, Option<Seq>, u32, DeathReason)> = Vec::new();
        for effect in effects {
            if let Effect::DeadLetters(dead) = effect
                && dead.from_head
            {
                assert!(!self.is_burying(), "two batches at a time");
                letters.extend(dead.letters.iter().map(|letter| {
                    let id = super::support::id(&letter.message);
                    (self.places[&id], letter.place, id, letter.reason)
                }));
            }
        }
        let died = std::mem::take(&mut self.died);
        if self.terms.dead_letter.is_none() {
            assert!(letters.is_empty(), "letters to nowhere");
            let recorded = died.iter().filter(|(entry, _)| entry.recorded);
            self.must_settle
                .extend(recorded.map(|(entry, _)| entry.seq));
            self.close_graves(effects);
            return;
        }
        let expected: Vec<_> = died
            .iter()
            .map(|(entry, reason)| (entry.seq, entry.place(), entry.id, *reason))
            .collect();
        assert_eq!(letters, expected, "dead letters");
    }

    /// Where letters go nowhere any more, those that waited for their bodies are settled.
    fn close_graves(&mut self, effects: &[Effect]) {
        for effect in effects {
            let Effect::Settled(ranges) = effect else {
                continue;
            };
            let is_settled = |seq: Seq| {
                let holds = |range: &SeqRange| range.first <= seq && seq <= range.last;
                ranges.iter().any(holds)
            };
            let graves = self
                .graves
                .extract_if(|_, (entry, _)| is_settled(entry.seq));
            self.must_settle
                .extend(graves.map(|(_, (entry, _))| entry.seq));
        }
    }

    /// A consumer gave messages up: their letters come now, or when their bodies have been read.
    pub(super) fn open_graves(&mut self, dead: &DeadLetters) {
        for DeadLetter {
            place,
            message,
            reason,
        } in &dead.letters
        {
            let id = super::support::id(message);
            let (entry, expected) = self.graves.remove(&id).expect("it died");
            assert_eq!((*place, *reason), (entry.place(), expected));
        }
    }

    fn is_burying(&self) -> bool {
        self.burials.iter().any(|burial| burial.from_head)
    }

    /// The oldest batch of dead letters arrives where it goes.
    pub(super) fn bury(&mut self) {
        let Some(burial) = self.burials.pop_front() else {
            return;
        };
        let places = burial.letters.iter().filter_map(|letter| letter.place);
        self.log
            .extend(places.map(|seq| Record::Settle(SeqRange::one(seq))));
        if burial.from_head {
            self.queue.buried();
            self.dispatch();
        }
    }

    pub(super) fn set_terms(&mut self, mut terms: QueueTerms) {
        // No policy changes that.
        terms.deduplication.clone_from(&self.terms.deduplication);
        self.terms = terms.clone();
        self.queue.set_terms(terms);
    }

    /// Lets die what is to, as at the end of a turn; what nothing stands in the way of must.
    pub(super) fn enforce(&mut self) {
        let mut effects = Vec::new();
        self.queue.enforce(self.now, &mut effects);
        self.catch_up();
        self.carry_out(effects);
        if self.waits_for_something() {
            return;
        }
        let now_ms = self.now.wall_ms;
        let expired = |head: Entry| head.deadline_ms > 0 && head.deadline_ms <= now_ms;
        let head = self.reference.head();
        assert!(!head.is_some_and(expired), "an expired head is left");
        assert!(!self.is_too_long(), "the queue is too long");
    }
}
