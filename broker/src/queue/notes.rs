//! What is known of places beside what their slots hold. On most queues that is nothing.

use std::collections::BTreeMap;

use super::keys::KnownKeys;
use crate::model::{Attempts, Deduplication, Message, Now, Seq, SeqRange};

/// What is known of places beside their slots.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// How often messages came back, of those that did.
    attempts: BTreeMap<Seq, Attempts>,
    /// The keys of messages, on queues that tell duplicates.
    keys: Option<Box<KnownKeys>>,
}

impl Notes {
    pub(super) fn is_empty(&self) -> bool {
        self.attempts.is_empty() && self.keys.is_none()
    }

    /// How often the message there came back.
    pub(super) fn attempts(&self, seq: Seq) -> Attempts {
        if self.attempts.is_empty() {
            return Attempts::default();
        }
        self.attempts.get(&seq).copied().unwrap_or_default()
    }

    pub(super) fn attempts_mut(&mut self, seq: Seq) -> &mut Attempts {
        self.attempts.entry(seq).or_default()
    }

    /// Whether the message is a duplicate of one whose key is known.
    pub(super) fn is_duplicate(
        &self,
        now: Now,
        message: &Message,
        deduplication: &Deduplication,
    ) -> bool {
        let Some(keys) = &self.keys else {
            return false;
        };
        let key = deduplication.key_of(message);
        key.is_some_and(|key| keys.knows(now, key))
    }

    /// Notes the key of a message that is at that place.
    pub(super) fn remember(
        &mut self,
        now: Now,
        seq: Seq,
        message: &Message,
        deduplication: &Deduplication,
    ) {
        let (Some(key), Some(keys_max)) = (deduplication.key_of(message), deduplication.keys_max)
        else {
            return;
        };
        let new = || Box::new(KnownKeys::new(deduplication.retention, keys_max.get()));
        let keys = self.keys.get_or_insert_with(new);
        keys.remember(now, seq, key, deduplication.ttl_ms(message));
    }

    /// The message there has left for good.
    pub(super) fn left(&mut self, seq: Seq) {
        if !self.attempts.is_empty() {
            self.attempts.remove(&seq);
        }
        if let Some(keys) = &mut self.keys {
            keys.left(seq);
        }
    }

    /// The message there has left, and may come back.
    pub(super) fn died(&mut self, seq: Seq) {
        self.attempts.remove(&seq);
        if let Some(keys) = &mut self.keys {
            keys.forget(seq);
        }
    }

    /// Messages there are lost.
    pub(super) fn lost(&mut self, ranges: &[SeqRange]) {
        if let Some(keys) = &mut self.keys {
            ranges.iter().for_each(|range| keys.forget_range(*range));
        }
    }

    /// Everything has left but what is held.
    pub(super) fn left_all_but(&mut self, is_held: impl Fn(Seq) -> bool) {
        self.attempts.retain(|seq, _| is_held(*seq));
        if let Some(keys) = &mut self.keys {
            keys.left_all_but(is_held);
        }
    }

    /// The memory that keys take, in bytes.
    pub(super) fn key_bytes(&self) -> usize {
        self.keys.as_ref().map_or(0, |keys| keys.memory_bytes())
    }

    /// The places of the messages whose keys are known.
    #[cfg(test)]
    pub(super) fn key_places(&self) -> Vec<Seq> {
        self.keys.iter().flat_map(|keys| keys.places()).collect()
    }
}
