//! Cutting a byte stream into frames, and the reverse.

use std::io::{self, Read};

use crate::wire::FrameError;

/// What a frame costs around its payload: seven octets before it and one after it.
pub(crate) const FRAME_OVERHEAD_BYTES: usize = 8;
const FRAME_END: u8 = 0xCE;
const PREFIX_BYTES: usize = 7;
/// Big enough that one read takes many small deliveries, small enough to stay in the cache.
const BUFFER_BYTES: usize = 256 * 1024;
/// Below this room a partial frame is moved to the front before the next read.
const ROOM_BYTES_MIN: usize = 64 * 1024;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Method = 1,
    Header = 2,
    Body = 3,
    Heartbeat = 8,
}

/// One frame, still lying in the read buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: FrameKind,
    pub(crate) channel: u16,
    pub(crate) payload: &'a [u8],
}

/// The read buffer of one connection. It never grows: a frame that does not fit is an error.
#[derive(Debug)]
pub(crate) struct FrameBuffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    payload_bytes_max: usize,
}

impl FrameBuffer {
    /// An empty buffer that takes frames up to `frame_bytes_max`, envelope included.
    pub(crate) fn new(frame_bytes_max: usize) -> Self {
        let bytes = vec![0; BUFFER_BYTES.max(frame_bytes_max)].into_boxed_slice();
        let payload_bytes_max = frame_bytes_max.saturating_sub(FRAME_OVERHEAD_BYTES);
        Self {
            bytes,
            start: 0,
            end: 0,
            payload_bytes_max,
        }
    }

    /// Reads once from `source`; 0 means that the peer is gone.
    pub(crate) fn fill(&mut self, source: &mut impl Read) -> io::Result<usize> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.bytes.len() - self.end < ROOM_BYTES_MIN {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let count = source.read(&mut self.bytes[self.end..])?;
        self.end += count;
        Ok(count)
    }

    /// What was read and not yet taken as frames.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The next whole frame, if there is one.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let pending = &self.bytes[self.start..self.end];
        let Some((prefix, rest)) = pending.split_first_chunk::<PREFIX_BYTES>() else {
            return Ok(None);
        };
        let kind = match prefix[0] {
            1 => FrameKind::Method,
            2 => FrameKind::Header,
            3 => FrameKind::Body,
            8 => FrameKind::Heartbeat,
            other => return Err(FrameError::UnknownKind(other)),
        };
        let channel = u16::from_be_bytes([prefix[1], prefix[2]]);
        let size = u32::from_be_bytes([prefix[3], prefix[4], prefix[5], prefix[6]]);
        // Where a usize is too small for the size, the size is too large as well.
        let payload_bytes = usize::try_from(size).unwrap_or(usize::MAX);
        let payload_bytes_max = self.payload_bytes_max;
        if payload_bytes > payload_bytes_max {
            return Err(FrameError::TooLarge {
                payload_bytes,
                payload_bytes_max,
            });
        }
        let Some(end) = rest.get(payload_bytes) else {
            return Ok(None);
        };
        if *end != FRAME_END {
            return Err(FrameError::WrongEnd(*end));
        }
        self.start += payload_bytes + FRAME_OVERHEAD_BYTES;
        Ok(Some(Frame {
            kind,
            channel,
            payload: &rest[..payload_bytes],
        }))
    }
}

/// Appends one frame to `target`; `payload` has to fit the agreed frame size.
pub(crate) fn append_frame(target: &mut Vec<u8>, kind: FrameKind, channel: u16, payload: &[u8]) {
    let size = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    target.push(kind as u8);
    target.extend_from_slice(&channel.to_be_bytes());
    target.extend_from_slice(&size.to_be_bytes());
    target.extend_from_slice(payload);
    target.push(FRAME_END);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer_with(bytes: &[u8], frame_bytes_max: usize) -> FrameBuffer {
        let mut buffer = FrameBuffer::new(frame_bytes_max);
        let mut source = bytes;
        while !source.is_empty() {
            buffer.fill(&mut source).unwrap();
        }
        buffer
    }

    #[test]
    fn a_frame_that_was_appended_is_read_back_whole() {
        let mut bytes = Vec::new();
        append_frame(&mut bytes, FrameKind::Body, 513, b"hello");
        append_frame(&mut bytes, FrameKind::Heartbeat, 0, b"");
        let mut buffer = buffer_with(&bytes, 4096);
        let body = Frame {
            kind: FrameKind::Body,
            channel: 513,
            payload: b"hello",
        };
        assert_eq!(buffer.next().unwrap(), Some(body));
        let heartbeat = Frame {
            kind: FrameKind::Heartbeat,
            channel: 0,
            payload: b"",
        };
        assert_eq!(buffer.next().unwrap(), Some(heartbeat));
        assert_eq!(buffer.next().unwrap(), None);
    }

    #[test]
    fn a_frame_cut_at_any_byte_is_waited_for() {
        let mut bytes = Vec::new();
        append_frame(&mut bytes, FrameKind::Method, 1, &[7; 20]);
        for cut in 0..bytes.len() {
            let mut buffer = buffer_with(&bytes[..cut], 4096);
            assert_eq!(buffer.next().unwrap(), None, "cut at {cut}");
            let mut rest = &bytes[cut..];
            buffer.fill(&mut rest).unwrap();
            assert_eq!(
                buffer.next().unwrap().map(|frame| frame.payload.len()),
                Some(20)
            );
        }
    }

    #[test]
    fn hostile_bytes_are_errors() {
        let too_large = FrameError::TooLarge {
            payload_bytes: 4089,
            payload_bytes_max: 4088,
        };
        let huge = FrameError::TooLarge {
            payload_bytes: u32::MAX as usize,
            payload_bytes_max: 4088,
        };
        let cases: [(&[u8], FrameError); 5] = [
            (b"HTTP/1.1", FrameError::UnknownKind(b'H')),
            (&[0, 0, 0, 0, 0, 0, 0], FrameError::UnknownKind(0)),
            (&[1, 0, 0, 0, 0, 0x0f, 0xf9], too_large),
            (&[3, 0, 0, 0xff, 0xff, 0xff, 0xff], huge),
            (&[1, 0, 0, 0, 0, 0, 1, 9, 0xcf], FrameError::WrongEnd(0xcf)),
        ];
        for (bytes, expected) in cases {
            assert_eq!(buffer_with(bytes, 4096).next(), Err(expected), "{bytes:?}");
        }
    }

    #[test]
    fn a_long_stream_of_frames_passes_through_the_fixed_buffer() {
        let mut bytes = Vec::new();
        for index in 0..5000_u32 {
            let payload = vec![index.to_be_bytes()[3]; 1 + index as usize % 997];
            append_frame(&mut bytes, FrameKind::Body, 1, &payload);
        }
        let mut buffer = FrameBuffer::new(4096);
        let mut source = bytes.as_slice();
        let mut seen = 0_u32;
        while buffer.fill(&mut source).unwrap() > 0 {
            while let Some(frame) = buffer.next().unwrap() {
                assert_eq!(frame.payload.len(), 1 + seen as usize % 997);
                assert!(
                    frame
                        .payload
                        .iter()
                        .all(|byte| *byte == seen.to_be_bytes()[3])
                );
                seen += 1;
            }
        }
        assert_eq!(seen, 5000);
    }
}
