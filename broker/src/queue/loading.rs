//! Getting back what lies on disk.

use super::chunk::{Chunk, Content, Paged, Places, Since};
use super::effect::{DeadLetter, Effect, LoadFailure};
use super::level::Level;
use super::ranges::Ranges;
use super::recovered::BlockEntry;
use super::slot::{Hold, Holder, Slot};
use super::state::QueueState;
use super::tally::Tally;
use crate::model::{Message, Seq, SeqRange, Stored};

/// How far the queue looks ahead for bodies to load: this many places, or bytes, whichever comes
/// first, and two places in any case.
const AHEAD_PLACES: u32 = 64;
const AHEAD_BYTES: u64 = 256 * 1024;

impl<C> QueueState<C> {
    /// Takes the index block that starts at `first`. `entries` may hold places that were settled
    /// since; what does not belong into the block is passed over.
    pub fn block_loaded(
        &mut self,
        level: u8,
        first: Seq,
        entries: &[BlockEntry],
        effects: &mut Vec<Effect>,
    ) {
        self.restore(level, first, entries, true, effects);
    }

    /// Learns that the index block that starts at `first` could not be had.
    pub fn block_failed(
        &mut self,
        level: u8,
        first: Seq,
        failure: LoadFailure,
        effects: &mut Vec<Effect>,
    ) {
        match failure {
            LoadFailure::Damaged => self.restore(level, first, &[], false, effects),
            LoadFailure::Unavailable => {
                if let Some(level) = self.levels.get_mut(usize::from(level)) {
                    level.forget_asking(first.position());
                }
            }
        }
    }

    /// Takes bodies that came back from the log, or the news that they are lost.
    pub fn bodies_loaded(
        &mut self,
        loaded: Vec<(Seq, Result<Message, LoadFailure>)>,
        effects: &mut Vec<Effect>,
    ) {
        let (mut damaged, mut letters) = (Ranges::default(), Vec::new());
        for (seq, outcome) in loaded {
            let Some(level) = self.levels.get_mut(usize::from(seq.level())) else {
                continue;
            };
            match outcome {
                Ok(message) => {
                    let letter = level.fill(seq.position(), message, &mut self.tally);
                    if letter.is_some() {
                        self.notes.died(seq);
                    }
                    letters.extend(letter);
                }
                Err(LoadFailure::Unavailable) => {
                    if level.unask(seq.position()) {
                        self.mortality.unburied.insert(seq);
                    }
                }
                Err(LoadFailure::Damaged) => {
                    if level.drop_lost(seq.position(), &mut self.tally) {
                        self.notes.died(seq);
                        damaged.push(seq);
                    }
                }
            }
        }
        let damaged = damaged.finish();
        effects.extend(damaged.map(|ranges| Effect::Damaged { ranges }));
        self.note_letters(letters, effects);
    }

    fn restore(
        &mut self,
        level: u8,
        first: Seq,
        entries: &[BlockEntry],
        readable: bool,
        effects: &mut Vec<Effect>,
    ) {
        let Some(level) = self.levels.get_mut(usize::from(level)) else {
            return;
        };
        let Ok(index) = level.find(level.block_of(first.position())) else {
            return;
        };
        let tally = &mut self.tally;
        let lost = match level.chunks.get_mut(index).map(|chunk| &mut chunk.content) {
            Some(Content::Paged(paged)) => {
                let paged = std::mem::take(paged.as_mut());
                level.restore_paged(index, &paged, entries, tally)
            }
            Some(Content::Unread(unread)) => {
                let since = unread.since.take().unwrap_or_default();
                let whole = level.block_range(index);
                level.restore_unread(index, *since, entries, tally);
                (!readable).then_some(vec![whole])
            }
            Some(Content::Places(_)) | None => None,
        };
        if let Some(ranges) = lost {
            self.notes.lost(&ranges);
            effects.push(Effect::Damaged { ranges });
        }
        self.judge_recovered_count(effects);
    }

    /// Once no block is unread, what recovery had counted beyond them is missing.
    fn judge_recovered_count(&mut self, effects: &mut Vec<Effect>) {
        if self.tally.unread == 0 && self.tally.unread_bytes == 0 {
            return;
        }
        if self.levels.iter().any(|level| level.unread > 0) {
            return;
        }
        let messages = std::mem::take(&mut self.tally.unread);
        self.tally.unread_bytes = 0;
        if messages > 0 {
            effects.push(Effect::Missing { messages });
        }
    }
}

/// What is looked at ahead of deliveries.
#[derive(Default)]
struct Window {
    places: u32,
    bytes: u64,
    wanted: Vec<(Seq, Stored)>,
}

impl Window {
    const fn is_full(&self) -> bool {
        self.places >= AHEAD_PLACES || (self.places >= 2 && self.bytes >= AHEAD_BYTES)
    }

    fn look_at(&mut self, seq: Seq, slot: &mut Slot) {
        match slot {
            Slot::Gone => return,
            Slot::Resident { message, .. } => self.bytes += message.body().len() as u64,
            Slot::Stored {
                hold,
                lsn,
                location,
            } => {
                self.bytes += u64::from(location.length);
                if !hold.is_asked() {
                    *hold = hold.asked(true);
                    let stored = Stored {
                        lsn: *lsn,
                        location: *location,
                    };
                    self.wanted.push((seq, stored));
                }
            }
        }
        self.places += 1;
    }
}

impl Level {
    /// Asks for the block of a chunk that has no slots, unless that was done already.
    pub(super) fn ask_for_block(&mut self, chunk: usize, effects: &mut Vec<Effect>) {
        let Some(Chunk { number, content }) = self.chunks.get_mut(chunk) else {
            return;
        };
        let loading = match content {
            Content::Places(_) => return,
            Content::Paged(paged) => &mut paged.loading,
            Content::Unread(unread) => &mut unread.loading,
        };
        if !std::mem::replace(loading, true) {
            effects.push(Effect::LoadBlock {
                level: self.number,
                first: Seq::new(self.number, *number << self.block_bits),
            });
        }
    }

    /// Asks for what the next deliveries need and memory does not have.
    pub(super) fn look_ahead(&mut self, effects: &mut Vec<Effect>) {
        if self.stored == 0 && self.absent == 0 {
            self.look_ahead_in = AHEAD_PLACES / 2;
            return;
        }
        let mut window = Window::default();
        if self.look_at_requeued(&mut window, effects) {
            self.look_at_waiting(&mut window, effects);
        }
        // Half of what was found is left when the next look is taken.
        self.look_ahead_in = (window.places / 2).max(1);
        if !window.wanted.is_empty() {
            effects.push(Effect::LoadBodies(window.wanted));
        }
    }

    /// Says whether there is reason to look further.
    fn look_at_requeued(&mut self, window: &mut Window, effects: &mut Vec<Effect>) -> bool {
        let mut next = self.requeued.first().copied();
        while let Some(block) = next {
            next = self.requeued.range(block + 1..).next().copied();
            let Ok(chunk) = self.find(block) else {
                continue;
            };
            let (level, base) = (self.number, self.first_of(block));
            let Some(places) = self.places_mut(chunk) else {
                self.ask_for_block(chunk, effects);
                return false;
            };
            let requeued = places.requeued;
            for offset in requeued.iter() {
                if window.is_full() {
                    return false;
                }
                if let Some(slot) = places.slot_mut(offset) {
                    window.look_at(Seq::new(level, base + u64::from(offset)), slot);
                }
            }
        }
        true
    }

    fn look_at_waiting(&mut self, window: &mut Window, effects: &mut Vec<Effect>) {
        let (Ok(mut chunk) | Err(mut chunk)) = self.find(self.block_of(self.cursor));
        while !window.is_full() && chunk < self.chunks.len() {
            let (level, cursor) = (self.number, self.cursor);
            let base = self.first_of(self.chunks[chunk].number);
            let Some(places) = self.places_mut(chunk) else {
                self.ask_for_block(chunk, effects);
                return;
            };
            let base = base + u64::from(places.start);
            let skip = usize::try_from(cursor.saturating_sub(base)).unwrap_or(usize::MAX);
            for (index, slot) in places.slots.iter_mut().enumerate().skip(skip) {
                if window.is_full() {
                    break;
                }
                window.look_at(Seq::new(level, base + index as u64), slot);
            }
            chunk += 1;
        }
        // One block more than bodies are asked for, so that a long backlog streams.
        self.ask_for_block(chunk, effects);
    }

    fn restore_paged(
        &mut self,
        index: usize,
        paged: &Paged,
        entries: &[BlockEntry],
        tally: &mut Tally,
    ) -> Option<Vec<SeqRange>> {
        let block = self.chunks.get(index)?.number;
        let waiting = self.first_of(block) >= self.cursor;
        let mut places = Places::starting_at(0);
        let mut missing = paged.ready;
        for entry in entries {
            let offset = self.offset_of(entry.seq.position());
            if self.belongs(block, entry.seq) && missing.contains(offset) {
                missing.remove(offset);
                let redelivered = paged.redelivered.contains(offset);
                places.place(offset, entry, Hold::ready(true, redelivered));
                if !waiting {
                    places.requeued.insert(offset);
                }
            }
        }
        tally.ready -= u64::from(missing.count());
        tally.ready_bytes = (tally.ready_bytes + places.all_bytes()).saturating_sub(paged.bytes);
        if places.requeued.is_empty() {
            self.requeued.remove(&block);
        }
        self.install(index, places);
        let mut lost = Ranges::default();
        for offset in missing.iter() {
            lost.push(self.seq(self.position_of(block, offset)));
        }
        lost.finish()
    }

    fn restore_unread(
        &mut self,
        index: usize,
        since: Since,
        entries: &[BlockEntry],
        tally: &mut Tally,
    ) {
        let Some(block) = self.chunks.get(index).map(|chunk| chunk.number) else {
            return;
        };
        let mut places = Places::starting_at(0);
        for entry in entries.iter().chain(&since.entries) {
            let position = entry.seq.position();
            let offset = self.offset_of(position);
            if self.belongs(block, entry.seq) && !since.settled.contains(offset) {
                let redelivered = entry.redelivered || position < self.flagged_below;
                places.place(offset, entry, Hold::ready(true, redelivered));
            }
        }
        let (count, bytes) = (u64::from(places.live), places.all_bytes());
        tally.ready += count;
        tally.ready_bytes += bytes;
        tally.unread = tally.unread.saturating_sub(count);
        tally.unread_bytes = tally.unread_bytes.saturating_sub(bytes);
        self.unread -= 1;
        self.install(index, places);
    }

    fn install(&mut self, index: usize, places: Places) {
        self.stored += u64::from(places.stored);
        self.absent -= 1;
        self.chunks[index].content = Content::Places(Box::new(places));
        self.forget_if_empty(index);
    }

    fn belongs(&self, block: u64, seq: Seq) -> bool {
        seq.level() == self.number && self.block_of(seq.position()) == block
    }

    fn block_range(&self, index: usize) -> SeqRange {
        let first = self.first_of(self.chunks[index].number);
        SeqRange {
            first: self.seq(first),
            last: self.seq(first + (1 << self.block_bits) - 1),
        }
    }

    fn forget_asking(&mut self, position: u64) {
        let Ok(index) = self.find(self.block_of(position)) else {
            return;
        };
        match &mut self.chunks[index].content {
            Content::Places(_) => {}
            Content::Paged(paged) => paged.loading = false,
            Content::Unread(unread) => unread.loading = false,
        }
    }

    /// Takes a body back. If it is that of a dead message, it is given away at once.
    fn fill(&mut self, position: u64, message: Message, tally: &mut Tally) -> Option<DeadLetter> {
        let offset = self.offset_of(position);
        let chunk = self.find(self.block_of(position)).ok()?;
        let memory_bytes = message.memory_bytes();
        let places = self.places_mut(chunk)?;
        let index = places.index(offset)?;
        let Some(Slot::Stored { hold, .. }) = places.slots.get(index) else {
            return None;
        };
        let (hold, promised) = (*hold, places.bytes(index));
        match hold.holder() {
            Holder::Nobody => {}
            Holder::Get | Holder::Consumer(_) => return None,
            Holder::Grave(reason) => {
                self.empty_grave(chunk, index, tally);
                return Some(DeadLetter {
                    place: hold.is_recorded().then_some(self.seq(position)),
                    message,
                    reason,
                });
            }
        }
        let actual = message.body().len() as u64;
        if !places.fill(index, message) {
            return None;
        }
        // The index may have said otherwise; what is counted out later is the body itself.
        tally.ready_bytes = tally.ready_bytes.saturating_sub(promised) + actual;
        tally.resident_bytes += memory_bytes;
        self.stored -= 1;
        if position < self.cursor {
            self.released_behind_to = self.released_behind_to.min(position);
        } else {
            self.loaded_to = self.loaded_to.max(position + 1);
        }
        None
    }

    /// Forgets that a body was asked for; whether it is that of a dead message.
    fn unask(&mut self, position: u64) -> bool {
        let offset = self.offset_of(position);
        let Ok(chunk) = self.find(self.block_of(position)) else {
            return false;
        };
        let slot = self
            .places_mut(chunk)
            .and_then(|places| places.slot_mut(offset));
        let Some((slot, hold)) = slot.and_then(|slot| slot.hold().map(|hold| (slot, hold))) else {
            return false;
        };
        slot.set_hold(hold.asked(false));
        matches!(hold.holder(), Holder::Grave(_))
    }

    /// Drops a place whose message turned out to be lost, if nobody has that in hand.
    fn drop_lost(&mut self, position: u64, tally: &mut Tally) -> bool {
        let offset = self.offset_of(position);
        let Ok(chunk) = self.find(self.block_of(position)) else {
            return false;
        };
        let Some(places) = self.places_mut(chunk) else {
            return false;
        };
        let Some(index) = places.index(offset) else {
            return false;
        };
        let Some(Slot::Stored { hold, .. }) = places.slots.get(index) else {
            return false;
        };
        match hold.holder() {
            Holder::Nobody => {
                tally.left_ready(places.bytes(index));
                places.clear(index);
                places.requeued.remove(offset);
                let none_requeued = places.requeued.is_empty();
                if none_requeued {
                    self.requeued.remove(&self.block_of(position));
                }
                self.stored -= 1;
                self.forget_if_empty(chunk);
            }
            Holder::Grave(_) => self.empty_grave(chunk, index, tally),
            Holder::Get | Holder::Consumer(_) => return false,
        }
        true
    }

    /// Lets go of a dead message's place; its body is in the log alone.
    fn empty_grave(&mut self, chunk: usize, index: usize, tally: &mut Tally) {
        let Some(places) = self.places_mut(chunk) else {
            return;
        };
        tally.left_unacked(places.bytes(index));
        places.unacked -= 1;
        places.clear(index);
        self.stored -= 1;
        self.forget_if_empty(chunk);
    }
}
