//! Publish frames built once and sent again and again; only sequence and time change.

use crate::load::stamp::Stamp;
use crate::wire::{FRAME_OVERHEAD_BYTES, FrameError, FrameKind, MethodFrame, append_frame, method};

/// About what one write to the socket should carry.
const WRITE_BYTES: usize = 128 * 1024;
/// What the frames of all keys together may take.
const RING_BYTES_MAX: usize = 256 * 1024 * 1024;
const CHANNEL: u16 = 1;

/// What a ring's messages look like.
#[derive(Debug)]
pub(crate) struct MessageShape<'a> {
    pub(crate) exchange: &'a str,
    pub(crate) keys: Vec<&'a str>,
    pub(crate) body_bytes: usize,
    pub(crate) persistent: bool,
    /// Messages go through so many priorities from 0 on, each once through all keys; 0 gives none.
    pub(crate) priorities: u8,
    /// The property of that name.
    pub(crate) expiration: Option<&'a str>,
    pub(crate) frame_bytes_max: usize,
}

/// A circle of complete publishes; each slot keeps its routing key.
#[derive(Debug)]
pub(crate) struct PublishRing {
    bytes: Vec<u8>,
    /// Where each slot ends, and where its body begins.
    slots: Vec<Slot>,
    next: usize,
    body_bytes: usize,
}

#[derive(Debug)]
struct Slot {
    end: usize,
    body: usize,
}

/// Why no ring could be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RingError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("bodies of {body_bytes} bytes for {keys} routing keys do not fit in memory")]
    TooLarge { body_bytes: usize, keys: usize },
}

impl PublishRing {
    /// Builds as many publishes as make a good write, at least one per key.
    pub(crate) fn build(shape: &MessageShape<'_>) -> Result<Self, RingError> {
        let (body_bytes, keys) = (shape.body_bytes, shape.keys.len());
        let message_bytes = body_bytes + 128;
        let priorities = usize::from(shape.priorities.max(1));
        if message_bytes
            .saturating_mul(keys)
            .saturating_mul(priorities)
            > RING_BYTES_MAX
        {
            return Err(RingError::TooLarge { body_bytes, keys });
        }
        let rounds = WRITE_BYTES
            .div_ceil(message_bytes * keys.max(1))
            .next_multiple_of(priorities);
        let mut ring = Self {
            bytes: Vec::new(),
            slots: Vec::new(),
            next: 0,
            body_bytes,
        };
        let body = filling(body_bytes);
        for round in 0..rounds {
            let header = header(shape, round % priorities);
            for key in &shape.keys {
                ring.append(shape, key, &header, &body)?;
            }
        }
        Ok(ring)
    }

    fn append(
        &mut self,
        shape: &MessageShape<'_>,
        key: &str,
        header: &[u8],
        body: &[u8],
    ) -> Result<(), FrameError> {
        let publish = MethodFrame::new(CHANNEL, method::BASIC_PUBLISH)
            .u16(0)
            .short_string(shape.exchange)
            .short_string(key)
            .u8(0)
            .finish()?;
        self.bytes.extend_from_slice(&publish);
        append_frame(&mut self.bytes, FrameKind::Header, CHANNEL, header);
        let body_start = self.bytes.len() + FRAME_OVERHEAD_BYTES - 1;
        let payload_bytes = shape.frame_bytes_max - FRAME_OVERHEAD_BYTES;
        for part in body.chunks(payload_bytes) {
            append_frame(&mut self.bytes, FrameKind::Body, CHANNEL, part);
        }
        self.slots.push(Slot {
            end: self.bytes.len(),
            body: body_start,
        });
        Ok(())
    }

    /// The next publishes, at most `count`, stamped; also how many they are. They stop at the
    /// end of the circle, so that they are one slice.
    pub(crate) fn take(
        &mut self,
        count: usize,
        mut stamp: impl FnMut(u64) -> Stamp,
    ) -> (&[u8], usize) {
        let first = self.next;
        let last = self.slots.len().min(first.saturating_add(count));
        let start = if first == 0 {
            0
        } else {
            self.slots[first - 1].end
        };
        for (index, slot) in (0..).zip(&self.slots[first..last]) {
            stamp(index).write(&mut self.bytes[slot.body..], self.body_bytes);
        }
        let end = if last == 0 {
            0
        } else {
            self.slots[last - 1].end
        };
        self.next = if last == self.slots.len() { 0 } else { last };
        (&self.bytes[start..end], last - first)
    }
}

fn header(shape: &MessageShape<'_>, priority: usize) -> Vec<u8> {
    let mut header = Vec::with_capacity(16);
    header.extend_from_slice(&method::BASIC_CLASS.to_be_bytes());
    header.extend_from_slice(&[0, 0]);
    header.extend_from_slice(&(shape.body_bytes as u64).to_be_bytes());
    // The only properties are the delivery mode and, if asked for, priority and expiration.
    let prioritized = shape.priorities > 0;
    let priority_flag = if prioritized { 0x08 } else { 0 };
    let expiration_flag = if shape.expiration.is_some() { 0x01 } else { 0 };
    header.extend_from_slice(&[0x10 | priority_flag | expiration_flag, 0]);
    header.push(if shape.persistent { 2 } else { 1 });
    if prioritized {
        header.push(u8::try_from(priority).unwrap_or(u8::MAX));
    }
    if let Some(expiration) = shape.expiration {
        header.push(u8::try_from(expiration.len()).unwrap_or(u8::MAX));
        header.extend_from_slice(expiration.as_bytes());
    }
    header
}

/// Octets that a compressing disk or filesystem can do little about, the same in every run.
pub(crate) fn filling(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    (0..count).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Arguments, FrameBuffer};

    fn shape(keys: Vec<&str>, body_bytes: usize, frame_bytes_max: usize) -> MessageShape<'_> {
        MessageShape {
            exchange: "e",
            keys,
            body_bytes,
            persistent: true,
            priorities: 0,
            expiration: None,
            frame_bytes_max,
        }
    }

    /// What a broker would read: routing key, announced body size, body.
    fn read_back(mut bytes: &[u8]) -> Vec<(String, u64, Vec<u8>)> {
        let mut buffer = FrameBuffer::new(1024 * 1024);
        let mut messages: Vec<(String, u64, Vec<u8>)> = Vec::new();
        while buffer.fill(&mut bytes).unwrap() > 0 {
            while let Some(frame) = buffer.next().unwrap() {
                let mut arguments = Arguments::new(frame.payload);
                match frame.kind {
                    FrameKind::Method => {
                        assert_eq!(arguments.u32(), Ok(method::BASIC_PUBLISH));
                        arguments.u16().unwrap();
                        assert_eq!(arguments.short_string(), Ok(&b"e"[..]));
                        let key = arguments.short_string().unwrap().to_vec();
                        messages.push((String::from_utf8(key).unwrap(), 0, Vec::new()));
                    }
                    FrameKind::Header => {
                        assert_eq!(arguments.u32(), Ok(u32::from(method::BASIC_CLASS) << 16));
                        messages.last_mut().unwrap().1 = arguments.u64().unwrap();
                        assert_eq!((arguments.u16(), arguments.u8()), (Ok(0x1000), Ok(2)));
                    }
                    FrameKind::Body => {
                        messages
                            .last_mut()
                            .unwrap()
                            .2
                            .extend_from_slice(frame.payload);
                    }
                    FrameKind::Heartbeat => panic!("no heartbeat was asked for"),
                }
            }
        }
        messages
    }

    #[test]
    fn keys_sequences_and_times_stay_in_step_around_the_circle() {
        let keys = vec!["a", "bbb", "cc"];
        let mut ring = PublishRing::build(&shape(keys.clone(), 100, 4096)).unwrap();
        let mut sent = 0_u64;
        for count in [1, 5, 700, 700, 2, 700] {
            let at = |index| Stamp {
                producer: 3,
                sequence: sent + index,
                sent_at: index * 7,
            };
            let (bytes, taken) = ring.take(count, at);
            let messages = read_back(bytes);
            assert_eq!(messages.len(), taken);
            for (index, (key, body_bytes, body)) in (0_u64..).zip(messages) {
                let sequence = sent + index;
                assert_eq!(key, keys[usize::try_from(sequence).unwrap() % 3]);
                assert_eq!((body_bytes, body.len()), (100, 100));
                let stamp = Stamp {
                    producer: 3,
                    sequence,
                    sent_at: index * 7,
                };
                assert_eq!(Stamp::read(&body), Some(stamp));
            }
            sent += taken as u64;
        }
        assert!(sent > 700, "the circle was not gone around");
    }

    #[test]
    fn a_body_larger_than_a_frame_is_cut_and_whole() {
        let mut ring = PublishRing::build(&shape(vec!["k"], 10_000, 4096)).unwrap();
        let stamp = |_| Stamp {
            producer: 0,
            sequence: 0,
            sent_at: 0,
        };
        let messages = read_back(ring.take(1, stamp).0);
        assert_eq!(messages[0].1, 10_000);
        assert_eq!(messages[0].2[16..], filling(10_000)[16..]);
    }

    #[test]
    fn a_body_too_small_for_a_stamp_is_left_as_it_is() {
        for body_bytes in [0, 1, 7] {
            let mut ring = PublishRing::build(&shape(vec!["k"], body_bytes, 4096)).unwrap();
            let stamp = |_| Stamp {
                producer: 1,
                sequence: u64::MAX,
                sent_at: u64::MAX,
            };
            let messages = read_back(ring.take(2, stamp).0);
            assert_eq!(messages[1].2, filling(body_bytes));
        }
    }

    #[test]
    fn too_many_large_keys_are_refused() {
        let keys = vec!["k"; 1000];
        let refused = PublishRing::build(&shape(keys, 1024 * 1024, 4096));
        assert!(matches!(
            refused,
            Err(RingError::TooLarge { keys: 1000, .. })
        ));
    }
}
