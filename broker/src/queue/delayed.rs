//! Messages that wait for their time (spec 3.7.3), as a pure state machine.
//!
//! ```text
//!  add                 due                    in memory: place, time, and the body or where it lies
//! ------> | waiting | ------> taken           paged:     an index block, and the time of its first
//!          |     ^
//!   page   |     | block_loaded
//!   out    v     |
//!         | paged |
//! ```
//!
//! Places are given in the order of arrival, as in any queue, so that the store's index keeps them
//! in its blocks; what is in memory is ordered by time. What is far off is known to the index alone:
//! of its block only the time of the first is kept, and the block is read well before that. Nothing
//! is taken while something earlier may be in a block that was not read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::effect::LoadFailure;
use super::recovered::{BlockEntry, RecoveredLevel};
use crate::model::{Message, Seq, SeqRange, Stored};

/// How long before its time a message comes into memory.
const AHEAD_MS: u64 = 60_000;

/// How long before its time a message's body is wanted.
const BODY_AHEAD_MS: u64 = 1_000;

/// So many messages are kept in memory however far off they are.
const KEPT_MIN: usize = 4_096;

/// Blocks that are read at the same time.
const BLOCKS_MAX: usize = 4;

/// Bodies that are wanted at the same time.
const BODIES_MAX: usize = 64;

/// When a message is due, in wall-clock milliseconds, and its place.
type Due = (u64, Seq);

#[derive(Debug)]
enum Held {
    Resident(Message),
    /// In the log alone.
    Stored {
        stored: Stored,
        asked: bool,
    },
}

/// What has to be read before anything else can be taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Index blocks, answered by [`block_loaded`](DelayedMessages::block_loaded) or
    /// [`block_failed`](DelayedMessages::block_failed).
    pub blocks: Vec<u64>,
    /// Bodies, answered by [`bodies_loaded`](DelayedMessages::bodies_loaded).
    pub bodies: Vec<(Seq, Stored)>,
}

/// A message whose time has come.
#[derive(Debug)]
pub struct DueMessage {
    /// The place that it had.
    pub seq: Seq,
    /// The message.
    pub message: Message,
}

/// Messages that wait for their time.
#[derive(Debug)]
pub struct DelayedMessages {
    kept_min: usize,
    next_position: u64,
    waiting: BTreeMap<Due, Held>,
    /// Blocks that hold more, with the time before which they have to be read.
    paged: BTreeMap<u64, u64>,
    paged_by_time: BTreeSet<(u64, u64)>,
    /// Blocks that are being read, with the same time.
    reading: BTreeMap<u64, u64>,
    /// Bodies that were asked for.
    asked: BTreeMap<Seq, u64>,
    /// What was taken before a restart and after the index was written.
    gone: Vec<SeqRange>,
    /// Everything up to here was taken, but for what arrived later.
    taken_to: Due,
    /// Messages with their bodies in memory, by arrival.
    resident: VecDeque<Due>,
    resident_bytes: usize,
}

impl Default for DelayedMessages {
    fn default() -> Self {
        Self::keeping(KEPT_MIN)
    }
}

impl DelayedMessages {
    pub(super) fn keeping(kept_min: usize) -> Self {
        Self {
            kept_min,
            next_position: 0,
            waiting: BTreeMap::new(),
            paged: BTreeMap::new(),
            paged_by_time: BTreeSet::new(),
            reading: BTreeMap::new(),
            asked: BTreeMap::new(),
            gone: Vec::new(),
            taken_to: (0, Seq(0)),
            resident: VecDeque::new(),
            resident_bytes: 0,
        }
    }

    /// What was on disk.
    #[must_use]
    pub fn recover(found: RecoveredLevel) -> Self {
        Self::default().with_recovered(found)
    }

    pub(super) fn with_recovered(self, found: RecoveredLevel) -> Self {
        let mut recovered = self;
        recovered.next_position = found.next_position;
        recovered.gone = found.settled_since;
        recovered.gone.sort_unstable_by_key(|range| range.first);
        for block in found.blocks.into_iter().flatten() {
            // When the first of them is due is not known before it was read.
            recovered.page(block, 0);
        }
        for entry in found.entries {
            recovered.next_position = recovered.next_position.max(entry.seq.position() + 1);
            recovered.hold(&entry);
        }
        recovered
    }

    /// Takes a message in and gives its place.
    pub fn add(&mut self, message: Message, due_ms: u64) -> Seq {
        let seq = Seq::new(0, self.next_position);
        self.next_position += 1;
        self.resident_bytes += message.memory_bytes();
        self.resident.push_back((due_ms, seq));
        self.waiting.insert((due_ms, seq), Held::Resident(message));
        seq
    }

    /// When there is something to do, in wall-clock milliseconds: messages to be taken, or blocks
    /// and bodies to be read. What is being read is not waited for: its arrival is a reason to look
    /// again.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        let unread = self.unread_ms();
        let due = self
            .waiting
            .first_key_value()
            .and_then(|(due, held)| match held {
                Held::Resident(_) if unread.is_some_and(|unread| unread <= due.0) => None,
                Held::Resident(_) => Some(due.0),
                Held::Stored { asked: true, .. } => None,
                Held::Stored { asked: false, .. } => Some(due.0.saturating_sub(BODY_AHEAD_MS)),
            });
        let paged = self
            .paged_by_time
            .first()
            .filter(|_| self.reading.len() < BLOCKS_MAX);
        let paged = paged.map(|(due_ms, _)| due_ms.saturating_sub(AHEAD_MS));
        match (due, paged) {
            (Some(due), Some(paged)) => Some(due.min(paged)),
            (due, paged) => due.or(paged),
        }
    }

    /// The time before which some block has to be read that was not.
    fn unread_ms(&self) -> Option<u64> {
        let paged = self.paged_by_time.first().map(|(due_ms, _)| *due_ms);
        paged
            .into_iter()
            .chain(self.reading.values().copied())
            .min()
    }

    /// Takes up to `count` messages whose time has come, the earliest first.
    pub fn take_due(&mut self, now_ms: u64, count: usize) -> Vec<DueMessage> {
        let mut taken = Vec::new();
        let unread = self.unread_ms();
        while taken.len() < count
            && let Some(first) = self.waiting.first_entry()
        {
            let due = *first.key();
            let is_due = due.0 <= now_ms && unread.is_none_or(|unread| due.0 < unread);
            if !is_due || !matches!(first.get(), Held::Resident(_)) {
                break;
            }
            if let Held::Resident(message) = first.remove() {
                self.resident_bytes -= message.memory_bytes();
                self.taken_to = self.taken_to.max(due);
                taken.push(DueMessage {
                    seq: due.1,
                    message,
                });
            }
        }
        taken
    }

    /// What has to be read now. Each is asked for once.
    pub fn wishes(&mut self, now_ms: u64) -> Wishes {
        let mut wishes = Wishes::default();
        while self.reading.len() < BLOCKS_MAX
            && let Some(&(due_ms, block)) = self.paged_by_time.first()
            && due_ms <= now_ms.saturating_add(AHEAD_MS)
        {
            self.paged_by_time.pop_first();
            self.paged.remove(&block);
            self.reading.insert(block, due_ms);
            wishes.blocks.push(block);
        }
        let soon = (now_ms.saturating_add(BODY_AHEAD_MS), Seq(u64::MAX));
        for ((due_ms, seq), held) in self.waiting.range_mut(..=soon) {
            if self.asked.len() >= BODIES_MAX {
                break;
            }
            if let Held::Stored { stored, asked } = held
                && !*asked
            {
                *asked = true;
                self.asked.insert(*seq, *due_ms);
                wishes.bodies.push((*seq, *stored));
            }
        }
        wishes
    }

    /// A block that was asked for. What of it is far off is paged again.
    pub fn block_loaded(&mut self, block: u64, entries: &[BlockEntry], now_ms: u64) {
        if self.reading.remove(&block).is_none() {
            return;
        }
        let far = now_ms.saturating_add(AHEAD_MS);
        let mut first_far: Option<u64> = None;
        for entry in entries {
            let due = (entry.deadline_ms, entry.seq);
            if due <= self.taken_to || self.is_gone(entry.seq) {
                continue;
            }
            if entry.deadline_ms > far && self.waiting.len() >= self.kept_min {
                let first = first_far.map_or(entry.deadline_ms, |first| first.min(due.0));
                first_far = Some(first);
            } else {
                self.hold(entry);
            }
        }
        if let Some(due_ms) = first_far {
            self.page(block, due_ms);
        }
    }

    /// A block did not come. What is damaged is given up; what was unavailable is asked for again.
    pub fn block_failed(&mut self, block: u64, failure: LoadFailure) {
        if let Some(due_ms) = self.reading.remove(&block)
            && failure == LoadFailure::Unavailable
        {
            self.page(block, due_ms);
        }
    }

    /// Bodies that were asked for. Gives the places of those that are lost to damage.
    pub fn bodies_loaded(&mut self, bodies: Vec<(Seq, Result<Message, LoadFailure>)>) -> Vec<Seq> {
        let mut lost = Vec::new();
        for (seq, body) in bodies {
            let Some(due_ms) = self.asked.remove(&seq) else {
                continue;
            };
            let due = (due_ms, seq);
            let Some(held) = self.waiting.get_mut(&due) else {
                continue;
            };
            match (body, &mut *held) {
                (Ok(message), _) => {
                    self.resident_bytes += message.memory_bytes();
                    self.resident.push_back(due);
                    *held = Held::Resident(message);
                }
                (Err(LoadFailure::Unavailable), Held::Stored { asked, .. }) => *asked = false,
                (Err(LoadFailure::Unavailable), Held::Resident(_)) => {}
                (Err(LoadFailure::Damaged), _) => {
                    self.waiting.remove(&due);
                    lost.push(seq);
                }
            }
        }
        lost
    }

    /// Lets go of bodies that the log has, the oldest first, until no more than `bytes` are in
    /// memory. What is due soon keeps its body.
    pub fn release_bodies(&mut self, bytes: usize, now_ms: u64) {
        let soon = now_ms.saturating_add(2 * BODY_AHEAD_MS);
        let mut left = self.resident.len();
        while self.resident_bytes > bytes && left > 0 {
            left -= 1;
            let Some(due) = self.resident.pop_front() else {
                return;
            };
            let Some(held) = self.waiting.get_mut(&due) else {
                continue;
            };
            let Held::Resident(message) = &*held else {
                continue;
            };
            match message.stored() {
                Some(stored) if due.0 > soon => {
                    self.resident_bytes -= message.memory_bytes();
                    *held = Held::Stored {
                        stored,
                        asked: false,
                    };
                }
                Some(_) | None => self.resident.push_back(due),
            }
        }
        // Taken messages leave their names behind.
        if self.resident.len() > 2 * self.waiting.len() + self.kept_min {
            let waiting = &self.waiting;
            self.resident.retain(|due| waiting.contains_key(due));
        }
    }

    /// Lets go of what is far off and below position `up_to`, to where the index holds everything.
    pub fn page_out(&mut self, up_to: u64, now_ms: u64) {
        if self.waiting.len() < 2 * self.kept_min {
            return;
        }
        let far_ms = now_ms.max(self.taken_to.0).saturating_add(AHEAD_MS);
        let far = self.waiting.split_off(&(far_ms, Seq(0)));
        for (due, held) in far {
            let block = due.1.position() / super::BLOCK_PLACES;
            let is_held = block
                .checked_add(1)
                .and_then(|next| next.checked_mul(super::BLOCK_PLACES))
                .is_some_and(|end| end <= up_to);
            let is_read = self.reading.contains_key(&block);
            if !is_held || is_read || self.asked.contains_key(&due.1) {
                self.waiting.insert(due, held);
                continue;
            }
            if let Held::Resident(message) = &held {
                self.resident_bytes -= message.memory_bytes();
            }
            self.page(block, due.0);
        }
        let waiting = &self.waiting;
        self.resident.retain(|due| waiting.contains_key(due));
    }

    /// How many messages are known without reading a block, and how many blocks hold more.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.waiting.len(), self.paged.len() + self.reading.len())
    }

    /// Bytes of memory that bodies take.
    #[must_use]
    pub const fn resident_bytes(&self) -> usize {
        self.resident_bytes
    }

    fn is_gone(&self, seq: Seq) -> bool {
        let after = self.gone.partition_point(|range| range.first <= seq);
        let range = after.checked_sub(1).and_then(|index| self.gone.get(index));
        range.is_some_and(|range| seq <= range.last)
    }

    fn hold(&mut self, entry: &BlockEntry) {
        let held = Held::Stored {
            stored: entry.location,
            asked: false,
        };
        self.waiting
            .entry((entry.deadline_ms, entry.seq))
            .or_insert(held);
    }

    /// Notes that a block has something for that time.
    fn page(&mut self, block: u64, due_ms: u64) {
        let earliest = self.paged.entry(block).or_insert(u64::MAX);
        if due_ms < *earliest {
            self.paged_by_time.remove(&(*earliest, block));
            self.paged_by_time.insert((due_ms, block));
            *earliest = due_ms;
        }
    }
}
