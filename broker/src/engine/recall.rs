//! Keys of what durable queues hold, read back at start (spec 4.3.2): a message that was confirmed and is
//! still there has no duplicates after a restart either.
//!
//! Only queues that tell duplicates are looked at, only as many of their messages as may be known, the
//! newest first, and of these not the bodies.

use std::num::NonZeroU64;
use std::sync::mpsc;

use super::Engine;
use super::turn::State;
use crate::model::{Deduplication, Message, QueueId, Seq, Stored};
use crate::store::{LoadError, RecoveredLevel, RecoveredQueue};

/// Messages that are read at a time.
const BATCH: usize = 512;

/// Messages, and where they lie.
type Places = Vec<(Seq, Stored)>;

impl Engine {
    /// Where the newest messages of the queue lie: as many as may be known, those of the highest priority
    /// first. Waits for the disk: nobody is served yet.
    pub(super) fn newest(&self, queue: &RecoveredQueue, deduplication: &Deduplication) -> Places {
        let keys_max = deduplication.keys_max.map_or(0, NonZeroU64::get);
        let keys_max = usize::try_from(keys_max).unwrap_or(usize::MAX);
        let mut places = Places::new();
        for level in queue.levels.iter().rev() {
            self.add_newest(queue.id, level, keys_max, &mut places);
        }
        places
    }

    fn add_newest(&self, queue: QueueId, level: &RecoveredLevel, max: usize, places: &mut Places) {
        let since = level.entries.iter().rev();
        places.extend(since.map(|entry| (entry.seq, entry.stored)));
        let mut settled = level.settled_since.clone();
        settled.sort_unstable_by_key(|range| range.first);
        let is_settled = |seq: Seq| {
            let after = settled.partition_point(|range| range.first <= seq);
            let range = after.checked_sub(1).and_then(|index| settled.get(index));
            range.is_some_and(|range| seq <= range.last)
        };
        let is_since = |seq: Seq| {
            let entries = &level.entries;
            entries
                .binary_search_by_key(&seq, |entry| entry.seq)
                .is_ok()
        };
        let blocks = level.blocks.iter().rev();
        for block in blocks.flat_map(|range| (range.first..=range.last).rev()) {
            if places.len() >= max {
                break;
            }
            let mut held = self.block(queue, level.level, block);
            held.retain(|(seq, _)| !is_settled(*seq) && !is_since(*seq));
            places.extend(held.into_iter().rev());
        }
        places.truncate(max);
    }

    /// Has the queue know the keys of messages at these places.
    pub(super) fn recall_keys(&self, state: &mut State, queue: QueueId, places: &[(Seq, Stored)]) {
        let mut unknown = 0;
        for batch in places.chunks(BATCH) {
            for (seq, message) in self.heads(queue, batch.to_vec()) {
                match message {
                    Ok(message) => state.remember(self.now(), seq, &message),
                    Err(_) => unknown += 1,
                }
            }
        }
        if unknown > 0 {
            tracing::error!(
                queue = queue.0,
                messages = unknown,
                "the keys of messages could not be read back: their duplicates will be let in"
            );
        }
    }

    /// The messages of a block, ascending; none if it cannot be read, which whoever wants to deliver them
    /// will report.
    fn block(&self, queue: QueueId, level: u8, block: u64) -> Places {
        let (reply, answer) = mpsc::channel();
        let reply = Box::new(move |entries| {
            let _ = reply.send(entries);
        });
        self.store().load_block(queue, level, block, reply);
        let entries = answer.recv().ok().and_then(Result::ok).unwrap_or_default();
        let places = entries.into_iter().map(|entry| (entry.seq, entry.stored));
        places.collect()
    }

    fn heads(&self, queue: QueueId, wanted: Places) -> Vec<(Seq, Result<Message, LoadError>)> {
        let (reply, answer) = mpsc::channel();
        let reply = Box::new(move |heads| {
            let _ = reply.send(heads);
        });
        self.store().load_heads(queue, wanted, reply);
        answer.recv().unwrap_or_default()
    }
}
