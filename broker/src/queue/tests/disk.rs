//! A log and what its prefixes amount to, as recovery would find them.

use std::collections::{BTreeMap, HashMap};

use super::support::{id, stored};
use crate::model::{Message, Seq, SeqRange};
use crate::queue::{BlockEntry, Recovered, RecoveredLevel, Settings};

/// One line of the log.
#[derive(Clone)]
pub(super) enum Record {
    /// With the deadline.
    Enqueue(Seq, Message, u64),
    Settle(SeqRange),
    Requeue(SeqRange, u32),
    Lease(Seq, u32),
}

/// What a prefix of the log amounts to.
#[derive(Clone, Default)]
pub(super) struct Disk {
    pub(super) live: BTreeMap<Seq, u32>,
    /// By the number of the message.
    pub(super) deadlines: HashMap<u32, u64>,
    pub(super) returns: HashMap<Seq, u32>,
    pub(super) leases: BTreeMap<u8, Seq>,
    pub(super) next: BTreeMap<u8, u64>,
}

impl Disk {
    pub(super) fn apply(&mut self, record: &Record) {
        let highest = match record {
            Record::Enqueue(seq, message, deadline_ms) => {
                self.live.insert(*seq, id(message));
                self.deadlines.insert(id(message), *deadline_ms);
                *seq
            }
            Record::Settle(range) => {
                self.live
                    .retain(|seq, _| *seq < range.first || *seq > range.last);
                range.last
            }
            Record::Requeue(range, count) => {
                for seq in range.first.0..=range.last.0 {
                    self.returns.insert(Seq(seq), *count);
                }
                range.last
            }
            Record::Lease(up_to, _) => {
                self.leases.insert(up_to.level(), *up_to);
                return;
            }
        };
        let next = self.next.entry(highest.level()).or_insert(0);
        *next = (*next).max(highest.position() + 1);
    }

    pub(super) fn covers(&self, seq: Seq) -> bool {
        self.leases
            .get(&seq.level())
            .is_some_and(|lease| seq <= *lease)
    }
}

/// What recovery works from.
pub(super) struct Recovery<'a> {
    pub(super) settings: Settings,
    pub(super) block_bits: u32,
    /// The whole log.
    pub(super) disk: &'a Disk,
    /// The log up to the checkpoint.
    pub(super) index: &'a Disk,
    /// The log after the checkpoint.
    pub(super) since: &'a [Record],
    /// Whether messages that came and went after the checkpoint are left out.
    pub(super) settled_left_out: bool,
}

impl Recovery<'_> {
    pub(super) fn recovered(&self) -> Recovered {
        let live = &self.disk.live;
        let returns = self.disk.returns.iter();
        let levels = u8::try_from(self.settings.levels).expect("few levels");
        Recovered {
            levels: (0..levels).map(|level| self.level(level)).collect(),
            ready_count: live.len() as u64,
            ready_bytes: live.values().map(|id| 4 + u64::from(id % 5)).sum(),
            delivery_counts: returns
                .filter(|(seq, _)| live.contains_key(seq))
                .map(|(seq, count)| (*seq, *count))
                .collect(),
            all_redelivered: false,
        }
    }

    fn level(&self, level: u8) -> RecoveredLevel {
        let of_level = |seq: &Seq| seq.level() == level;
        let mut found = RecoveredLevel {
            next_position: self.disk.next.get(&level).copied().unwrap_or(0),
            lease: self.disk.leases.get(&level).copied(),
            ..RecoveredLevel::default()
        };
        for seq in self.index.live.keys().filter(|seq| of_level(seq)) {
            let block = seq.position() >> self.block_bits;
            match found.blocks.last_mut() {
                Some(range) if *range.end() == block => {}
                Some(range) if *range.end() + 1 == block => *range = *range.start()..=block,
                Some(_) | None => found.blocks.push(block..=block),
            }
        }
        for record in self.since {
            match record {
                Record::Enqueue(seq, message, deadline_ms) if of_level(seq) => {
                    if !self.settled_left_out || self.disk.live.contains_key(seq) {
                        let entry = block_entry(*seq, id(message), *deadline_ms);
                        found.entries.push(entry);
                    }
                }
                Record::Settle(range) if of_level(&range.first) => {
                    found.settled_since.push(*range);
                }
                Record::Enqueue(..)
                | Record::Settle(_)
                | Record::Requeue(..)
                | Record::Lease(..) => {}
            }
        }
        found
    }
}

pub(super) fn block_entry(seq: Seq, id: u32, deadline_ms: u64) -> BlockEntry {
    BlockEntry {
        seq,
        location: stored(id),
        bytes: 4 + id % 5,
        deadline_ms,
        redelivered: false,
    }
}
