//! Which queue a message goes to. Clients compute it, services check it.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::{ConversationId, UserId};

/// Send shards of a deployment, unless `leveret-chat init` says otherwise.
pub const SEND_SHARDS_DEFAULT: u16 = 64;
/// More than this would be more queues than a broker is good for.
pub const SEND_SHARDS_MAX: u16 = 1024;
/// Queues for receipts.
pub const RECEIPT_SHARDS: u16 = 16;
/// Queues for what nobody misses: typing, presence.
pub const EPHEMERAL_SHARDS: u16 = 4;

/// How many send shards a deployment has: 1 to [`SEND_SHARDS_MAX`], set once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct ShardCount(NonZeroU16);

/// Not a number of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no number of shards: 1 to {SEND_SHARDS_MAX}")]
pub struct InvalidShardCount(u16);

impl ShardCount {
    /// The number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0.get()
    }

    /// All shards, in order.
    pub fn shards(self) -> impl Iterator<Item = SendShard> {
        (0..self.number()).map(SendShard)
    }

    /// The shard of a conversation: `crc32(id) % count`, with the CRC of zlib.
    #[must_use]
    pub fn shard_of(self, conversation: &ConversationId) -> SendShard {
        SendShard(modulo(conversation.as_str(), self.number()))
    }
}

impl Default for ShardCount {
    fn default() -> Self {
        Self(NonZeroU16::new(SEND_SHARDS_DEFAULT).expect("the default is not zero"))
    }
}

impl TryFrom<u16> for ShardCount {
    type Error = InvalidShardCount;

    fn try_from(number: u16) -> Result<Self, InvalidShardCount> {
        NonZeroU16::new(number)
            .filter(|number| number.get() <= SEND_SHARDS_MAX)
            .map(Self)
            .ok_or(InvalidShardCount(number))
    }
}

impl From<ShardCount> for u16 {
    fn from(count: ShardCount) -> Self {
        count.number()
    }
}

impl FromStr for ShardCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number: u16 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
        Self::try_from(number).map_err(|error| error.to_string())
    }
}

impl fmt::Display for ShardCount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A shard of the send queue; all messages of a conversation go through one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SendShard(u16);

impl SendShard {
    /// Its number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// The routing key in `chat.send`: `s00` and so on.
    #[must_use]
    pub fn routing_key(self) -> String {
        format!("s{:02}", self.0)
    }
}

/// A shard of the receipts' queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiptShard(u16);

impl ReceiptShard {
    /// The one for the receipts of this user.
    #[must_use]
    pub fn of(recipient: &UserId) -> Self {
        Self(modulo(recipient.as_str(), RECEIPT_SHARDS))
    }

    /// All of them, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..RECEIPT_SHARDS).map(Self)
    }

    /// The routing key in `chat.rcpt`: `r00` and so on.
    #[must_use]
    pub fn routing_key(self) -> String {
        format!("r{:02}", self.0)
    }
}

/// A shard of the queue for what nobody misses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EphemeralShard(u16);

impl EphemeralShard {
    /// The one for what this user does.
    #[must_use]
    pub fn of(user: &UserId) -> Self {
        Self(modulo(user.as_str(), EPHEMERAL_SHARDS))
    }

    /// All of them, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..EPHEMERAL_SHARDS).map(Self)
    }

    /// The routing key in `chat.eph`: `e00` and so on.
    #[must_use]
    pub fn routing_key(self) -> String {
        format!("e{:02}", self.0)
    }
}

fn modulo(text: &str, count: u16) -> u16 {
    let remainder = crc32fast::hash(text.as_bytes()) % u32::from(count);
    u16::try_from(remainder).expect("a remainder is below its divisor")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another client, in another language, must come to the same shards: these were computed with
    /// Python's `zlib.crc32(id) % count`.
    #[test]
    fn the_shards_are_those_of_zlib() {
        let vectors = [
            ("g_geral", 48, 4, 0),
            ("g_ops", 25, 5, 0),
            ("g_a", 34, 1, 0),
            ("g_4k2qaaaaaaaaaaaa", 29, 0, 0),
            ("d_abcdefghijabcdefghij234567", 18, 6, 0),
        ];
        for (id, of_64, of_7, of_1) in vectors {
            let id: ConversationId = id.parse().unwrap();
            for (count, shard) in [(64, of_64), (7, of_7), (1, of_1)] {
                let count = ShardCount::try_from(count).unwrap();
                assert_eq!(count.shard_of(&id).number(), shard, "{id} of {count}");
            }
        }
        let user: UserId = "uana".parse().unwrap();
        assert_eq!(ReceiptShard::of(&user).routing_key(), "r02");
        assert_eq!(EphemeralShard::of(&user).routing_key(), "e02");
    }

    #[test]
    fn a_deployment_has_at_least_one_shard_and_not_too_many() {
        assert!(ShardCount::try_from(0).is_err());
        assert!(ShardCount::try_from(SEND_SHARDS_MAX + 1).is_err());
        assert_eq!(ShardCount::default().shards().count(), 64);
        assert_eq!(SendShard(7).routing_key(), "s07");
    }
}
