//! The keys by which duplicates of messages are told (spec 4.3.2).

use std::collections::BTreeMap;

use ahash::AHashMap;

use crate::model::{DeduplicationKey, Now, Retention, Seq, SeqRange};

/// Keys that are over and forgotten with each one that comes: more than one, so that a queue that was
/// busy once gets rid of them.
const OVER_FORGOTTEN: usize = 2;

/// What a place in the order of keys takes beside its content, nodes that are half full included.
const ORDER_OVERHEAD_BYTES: usize = 2 * (size_of::<Seq>() + size_of::<DeduplicationKey>());

#[derive(Clone, Copy, Debug)]
struct Known {
    seq: Seq,
    /// From when on it is not known any more, in monotonic milliseconds.
    until_ms: u64,
}

/// The keys of messages that are in a queue, or came lately; no more than there may be. When one is
/// too many, the one at the lowest place goes: the oldest, of those with the lowest priority.
#[derive(Debug)]
pub(super) struct KnownKeys {
    retention: Retention,
    keys_max: u64,
    known: AHashMap<DeduplicationKey, Known>,
    /// The same by the places of the messages that have brought them.
    order: BTreeMap<Seq, DeduplicationKey>,
}

impl KnownKeys {
    pub(super) fn new(retention: Retention, keys_max: u64) -> Self {
        Self {
            retention,
            keys_max,
            known: AHashMap::new(),
            order: BTreeMap::new(),
        }
    }

    pub(super) fn knows(&self, now: Now, key: DeduplicationKey) -> bool {
        let known = self.known.get(&key);
        known.is_some_and(|known| now.monotonic_ms < known.until_ms)
    }

    /// Notes the key of a message that got a place; it is known for `ttl_ms`.
    pub(super) fn remember(
        &mut self,
        now: Now,
        seq: Seq,
        key: DeduplicationKey,
        ttl_ms: Option<u64>,
    ) {
        let until_ms = ttl_ms.map_or(u64::MAX, |ttl_ms| now.monotonic_ms.saturating_add(ttl_ms));
        if let Some(before) = self.known.insert(key, Known { seq, until_ms }) {
            self.order.remove(&before.seq);
        }
        self.order.insert(seq, key);
        for _ in 0..OVER_FORGOTTEN {
            let Some((&oldest, key)) = self.order.first_key_value() else {
                return;
            };
            let too_many = self.order.len() as u64 > self.keys_max;
            if !too_many && self.knows(now, *key) {
                return;
            }
            self.forget(oldest);
        }
    }

    /// The message at that place has left the queue for good.
    pub(super) fn left(&mut self, seq: Seq) {
        match self.retention {
            Retention::WhileQueued => self.forget(seq),
            Retention::Window { .. } => {}
        }
    }

    /// Purged: what is not held any more has left.
    pub(super) fn left_all_but(&mut self, is_held: impl Fn(Seq) -> bool) {
        match self.retention {
            Retention::WhileQueued => {
                let known = &mut self.known;
                self.order.retain(|seq, key| {
                    let stays = is_held(*seq);
                    if !stays {
                        known.remove(key);
                    }
                    stays
                });
                self.shrink();
            }
            Retention::Window { .. } => {}
        }
    }

    /// The message at that place is to be dead-lettered: it may come back, and is no duplicate then.
    pub(super) fn forget(&mut self, seq: Seq) {
        if let Some(key) = self.order.remove(&seq) {
            self.known.remove(&key);
            self.shrink();
        }
    }

    /// Whatever is in that range is lost, and may be published again.
    pub(super) fn forget_range(&mut self, range: SeqRange) {
        while let Some((&seq, _)) = self.order.range(range.first..=range.last).next() {
            self.forget(seq);
        }
    }

    /// The memory that the keys take, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        let entry_bytes = size_of::<DeduplicationKey>() + size_of::<Known>() + 1;
        self.known.capacity() * entry_bytes + self.order.len() * ORDER_OVERHEAD_BYTES
    }

    /// Gives back what a much greater number took.
    fn shrink(&mut self) {
        let (len, capacity) = (self.known.len(), self.known.capacity());
        if capacity > 64 && len < capacity / 8 {
            self.known.shrink_to(2 * len);
        }
    }

    #[cfg(test)]
    pub(super) fn places(&self) -> impl Iterator<Item = Seq> {
        assert_eq!(self.known.len(), self.order.len());
        self.order.keys().copied()
    }
}
