//! Which messages are duplicates of others (spec 4.3.2).

use std::num::NonZeroU64;

use sha2::{Digest, Sha256};

use super::comparable::Comparable;
use super::message::Message;
use crate::wire::Value;

/// The header that holds a message's key where no other is named.
pub(super) const DEFAULT_HEADER: &str = "x-deduplication-header";

/// The header by which a message says how long its key is known, in milliseconds.
const TTL_HEADER: &str = "x-cache-ttl";

/// How long the key of a message is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// As long as the message is in the queue, ready or unacknowledged, as RabbitMQ's plugin has it.
    WhileQueued,
    /// For a while, wherever the message is then, as LavinMQ has it.
    Window {
        /// How long, in milliseconds; without it until there are too many newer keys.
        ttl_ms: Option<NonZeroU64>,
    },
}

/// How duplicates are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deduplication {
    /// The header that holds a message's key. Messages without it have no duplicates.
    pub header: Box<[u8]>,
    /// How long a key is known.
    pub retention: Retention,
    /// How many keys are known at most. `None` as long as the broker has not filled in its default.
    pub keys_max: Option<NonZeroU64>,
}

impl Deduplication {
    /// The message's key, if it has one.
    #[must_use]
    pub fn key_of(&self, message: &Message) -> Option<DeduplicationKey> {
        let headers = message.properties().headers()?;
        DeduplicationKey::new(headers.get(&self.header)?)
    }

    /// How long the message's key is known, in milliseconds; `None` for no limit in time.
    #[must_use]
    pub fn ttl_ms(&self, message: &Message) -> Option<u64> {
        let Retention::Window { ttl_ms } = self.retention else {
            return None;
        };
        let headers = message.properties().headers();
        let own = headers
            .and_then(|headers| headers.get(TTL_HEADER)?.as_integer())
            .and_then(|ttl_ms| u64::try_from(ttl_ms).ok())
            .filter(|ttl_ms| *ttl_ms > 0);
        own.or_else(|| ttl_ms.map(NonZeroU64::get))
    }
}

/// What two messages have in common of which one is a duplicate: half of the SHA-256 of a header's
/// value, so that a key takes the same memory whatever publishers write, and none can be made up
/// that meets another.
///
/// Values count as the same where RabbitMQ's comparisons say so: whole numbers by value, whatever
/// their width, and texts by their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeduplicationKey([u8; 16]);

impl DeduplicationKey {
    /// The key that the value is; no value is none.
    #[must_use]
    pub fn new(value: Value<'_>) -> Option<Self> {
        let digest = Sha256::new();
        let digest = match Comparable::new(value) {
            Comparable::Void => return None,
            Comparable::Boolean(value) => digest.chain_update([0, u8::from(value)]),
            Comparable::Integer(value) => {
                digest.chain_update([1]).chain_update(value.to_le_bytes())
            }
            Comparable::Float(bits) => digest.chain_update([2]).chain_update(bits.to_le_bytes()),
            Comparable::Decimal(scale, value) => digest
                .chain_update([3, scale])
                .chain_update(value.to_le_bytes()),
            Comparable::Bytes(bytes) => digest.chain_update([4]).chain_update(bytes),
            Comparable::Nested(bytes) => digest.chain_update([5]).chain_update(bytes),
        };
        let digest: [u8; 32] = digest.finalize().into();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        Some(Self(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_equal_are_one_key_and_others_are_not() {
        let key = |value| DeduplicationKey::new(value).expect("a value");
        assert_eq!(key(Value::LongInt(7)), key(Value::ShortShortUint(7)));
        assert_eq!(key(Value::LongString(b"a")), key(Value::ByteArray(b"a")));
        let others = [
            Value::LongInt(7),
            Value::LongString(b"7"),
            Value::LongString(b""),
            Value::Boolean(true),
            Value::LongInt(1),
            Value::Double(7.0),
        ];
        for (index, one) in others.iter().enumerate() {
            for other in &others[index + 1..] {
                assert_ne!(key(*one), key(*other), "{one:?} {other:?}");
            }
        }
        assert_eq!(DeduplicationKey::new(Value::Void), None);
    }
}
