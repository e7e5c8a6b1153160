//! The keys of the state.
//!
//! ```text
//! i queue level block    the messages of a block
//! s queue level block    which of them were settled since
//! c queue level block    their delivery counts above 0
//! b queue level chunk    which blocks exist, a bit for each of 4096
//! q queue                count, bytes, number of blocks; per level next position and lease
//! n group                what 64 segments hold that is live
//! d hash                 a definition
//! w, p                   the checkpoint begun; the checkpoint done
//! ```
//!
//! Numbers are big-endian, so that keys sort as their numbers do. The state appends the number of
//! the piece, for values that are cut into several.

use crate::model::QueueId;

/// How many blocks one existence chunk covers.
pub(crate) const CHUNK_BLOCKS: u64 = 4096;
/// How many segments share one key.
pub(crate) const GROUP_SEGMENTS: u32 = 64;

pub(crate) const BLOCK: u8 = b'i';
pub(crate) const SETTLED: u8 = b's';
pub(crate) const COUNTS: u8 = b'c';
pub(crate) const CHUNK: u8 = b'b';
pub(crate) const QUEUE: u8 = b'q';
pub(crate) const SEGMENTS: u8 = b'n';
pub(crate) const DEFINITION: u8 = b'd';
pub(crate) const BEGUN: u8 = b'w';
pub(crate) const DONE: u8 = b'p';

/// A key about a block, or about a chunk of blocks.
pub(crate) fn of_block(kind: u8, queue: QueueId, level: u8, number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(16);
    key.push(kind);
    key.extend_from_slice(&queue.0.to_be_bytes());
    key.push(level);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// A key about a queue; also the prefix of all keys of that kind about its blocks.
pub(crate) fn of_queue(kind: u8, queue: QueueId) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&queue.0.to_be_bytes());
    key
}

/// The key of a group of segments.
pub(crate) fn of_segments(group: u32) -> Vec<u8> {
    let mut key = vec![SEGMENTS];
    key.extend_from_slice(&group.to_be_bytes());
    key
}

/// The key of a definition, by the hash of what names it.
pub(crate) fn of_definition(hash: [u8; 16]) -> Vec<u8> {
    let mut key = vec![DEFINITION];
    key.extend_from_slice(&hash);
    key
}

/// The queue of a `q` key.
pub(crate) fn queue(key: &[u8]) -> Option<QueueId> {
    let number = key.get(1..5)?.try_into().ok()?;
    (key.len() == 5).then(|| QueueId(u32::from_be_bytes(number)))
}

/// Queue, level and number of a key about a block or a chunk.
pub(crate) fn block(key: &[u8]) -> Option<(QueueId, u8, u64)> {
    let queue = u32::from_be_bytes(key.get(1..5)?.try_into().ok()?);
    let number = u64::from_be_bytes(key.get(6..14)?.try_into().ok()?);
    (key.len() == 14).then_some((QueueId(queue), key[5], number))
}

/// The group of an `n` key.
pub(crate) fn segments(key: &[u8]) -> Option<u32> {
    let number = key.get(1..5)?.try_into().ok()?;
    (key.len() == 5).then(|| u32::from_be_bytes(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_and_sort_as_their_numbers() {
        let low = of_block(BLOCK, QueueId(7), 2, 255);
        let high = of_block(BLOCK, QueueId(7), 2, 256);
        assert!(low < high && high < of_block(BLOCK, QueueId(7), 3, 0));
        assert_eq!(block(&low), Some((QueueId(7), 2, 255)));
        assert_eq!(queue(&of_queue(QUEUE, QueueId(300))), Some(QueueId(300)));
        assert_eq!(segments(&of_segments(9)), Some(9));
        assert_eq!(block(b"i123"), None);
    }
}
