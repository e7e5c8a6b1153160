//! The frame envelope: peeling frames out of a buffer by offsets, and the protocol header.

use std::ops::Range;

use super::error::FrameError;
use super::octets::FrameDescription;

/// Octets before the payload: type, channel, size.
pub const HEAD_LENGTH: usize = 7;

/// Octets of a frame that are not payload: head and end marker.
pub const ENVELOPE_LENGTH: usize = HEAD_LENGTH + 1;

/// The octet after every payload.
pub const END_MARKER: u8 = 0xCE;

/// A whole heartbeat frame.
pub const HEARTBEAT: [u8; ENVELOPE_LENGTH] = [8, 0, 0, 0, 0, 0, 0, END_MARKER];

/// Class, weight and body size: what a content header needs at least.
const CONTENT_HEADER_LENGTH_MIN: usize = 12;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A method with its arguments.
    Method,
    /// A content header: class, body size, properties.
    Header,
    /// A piece of a body.
    Body,
    /// Nothing: a sign of life.
    Heartbeat,
}

impl FrameKind {
    /// The octet that opens such a frame.
    #[must_use]
    pub fn type_octet(self) -> u8 {
        match self {
            Self::Method => 1,
            Self::Header => 2,
            Self::Body => 3,
            Self::Heartbeat => 8,
        }
    }

    fn from_type_octet(octet: u8) -> Option<Self> {
        match octet {
            1 => Some(Self::Method),
            2 => Some(Self::Header),
            3 => Some(Self::Body),
            8 => Some(Self::Heartbeat),
            _ => None,
        }
    }
}

/// The largest frame one side accepts: the negotiated `frame_max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimit {
    frame_max: u32,
}

impl FrameLimit {
    /// The smallest `frame_max` that AMQP allows; anything smaller would cut bodies to dust.
    pub const FRAME_MIN: u32 = 4096;

    /// What counts before `connection.tune-ok`.
    pub const INITIAL: Self = Self { frame_max: 8192 };

    /// `frame_max` 0: frames of any size that a body may have.
    pub const UNLIMITED: Self = Self {
        frame_max: Self::PAYLOAD_CEILING,
    };

    /// RabbitMQ's ceiling of a message body, which also bounds a frame when none was negotiated.
    const PAYLOAD_CEILING: u32 = 512 * 1024 * 1024;

    /// The limit for a negotiated `frame_max`, where 0 means no limit; `None` below
    /// [`FRAME_MIN`](Self::FRAME_MIN).
    #[must_use]
    pub fn negotiated(frame_max: u32) -> Option<Self> {
        match frame_max {
            0 => Some(Self::UNLIMITED),
            1..Self::FRAME_MIN => None,
            _ => Some(Self {
                frame_max: frame_max.min(Self::PAYLOAD_CEILING),
            }),
        }
    }

    /// The `frame_max` that was agreed; 0 for no limit.
    #[must_use]
    pub const fn frame_max(self) -> u32 {
        if self.frame_max == Self::UNLIMITED.frame_max {
            0
        } else {
            self.frame_max
        }
    }

    /// The largest payload that may be sent.
    #[must_use]
    pub fn payload_max(self) -> usize {
        self.frame_max as usize - ENVELOPE_LENGTH
    }

    /// Old clients forget the envelope when they count, so payloads of the whole `frame_max` are
    /// accepted.
    fn accepts(self, payload_length: u32) -> bool {
        payload_length <= self.frame_max
    }
}

/// A frame inside a buffer: where its payload lies, nothing copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    /// What the frame carries.
    pub kind: FrameKind,
    /// The channel it belongs to; 0 is the connection itself.
    pub channel: u16,
    /// Where the payload lies in the scanned buffer.
    pub payload: Range<usize>,
}

impl RawFrame {
    /// The payload within the buffer that was scanned; empty in any other, shorter buffer.
    #[must_use]
    pub fn payload<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        buffer.get(self.payload.clone()).unwrap_or_default()
    }

    /// Type and first octets, for the text of 505 `UNEXPECTED_FRAME`.
    #[must_use]
    pub fn describe(&self, buffer: &[u8]) -> FrameDescription {
        FrameDescription::new(self.kind.type_octet(), self.payload(buffer))
    }
}

/// Peels the first frame off `buffer`: the frame and how many octets it takes, or `None` as long
/// as it is incomplete. A frame over the limit is refused as soon as its head is there.
///
/// # Errors
///
/// See [`FrameError`].
pub fn scan(buffer: &[u8], limit: FrameLimit) -> Result<Option<(RawFrame, usize)>, FrameError> {
    let Some((head, rest)) = buffer.split_first_chunk::<HEAD_LENGTH>() else {
        return Ok(None);
    };
    let [type_octet, channel_high, channel_low, size @ ..] = *head;
    let size = u32::from_be_bytes(size);
    if !limit.accepts(size) {
        let limit = u32::try_from(limit.payload_max()).unwrap_or(u32::MAX);
        return Err(FrameError::TooLarge {
            type_octet,
            size,
            limit,
        });
    }
    let size = size as usize;
    let Some(&marker) = rest.get(size) else {
        return Ok(None);
    };
    let payload = &rest[..size];
    let describe = || FrameDescription::new(type_octet, payload);
    if marker != END_MARKER {
        return Err(FrameError::InvalidEndMarker {
            frame: describe(),
            marker,
        });
    }
    let Some(kind) = FrameKind::from_type_octet(type_octet) else {
        return Err(FrameError::UnknownType { frame: describe() });
    };
    match kind {
        FrameKind::Method if size < 4 => {
            return Err(FrameError::MethodTooShort { frame: describe() });
        }
        FrameKind::Header if size < CONTENT_HEADER_LENGTH_MIN => {
            return Err(FrameError::HeaderTooShort { frame: describe() });
        }
        FrameKind::Heartbeat if size > 0 => {
            return Err(FrameError::HeartbeatPayload { frame: describe() });
        }
        FrameKind::Method | FrameKind::Header | FrameKind::Body | FrameKind::Heartbeat => {}
    }
    let channel = u16::from_be_bytes([channel_high, channel_low]);
    let payload = HEAD_LENGTH..HEAD_LENGTH + size;
    Ok(Some((
        RawFrame {
            kind,
            channel,
            payload,
        },
        ENVELOPE_LENGTH + size,
    )))
}

/// The eight octets a client opens the conversation with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolHeader {
    /// AMQP 0-9-1.
    Amqp091,
    /// AMQP 0-9, which is answered as such and otherwise treated alike.
    Amqp09,
    /// Anything else, with a guess at what the peer wanted.
    Unsupported(ProtocolGuess),
}

/// What a peer that does not speak AMQP 0-9-1 seems to speak; for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolGuess {
    /// AMQP of another version.
    OtherAmqp,
    /// A TLS handshake on a plain port.
    Tls,
    /// An HTTP request.
    Http,
    /// No idea.
    Unknown,
}

impl ProtocolHeader {
    /// How many octets the header has.
    pub const LENGTH: usize = 8;

    /// What the server answers to a header it does not support, before it closes the socket.
    pub const SUPPORTED: [u8; Self::LENGTH] = *b"AMQP\0\0\x09\x01";

    /// Reads a protocol header.
    #[must_use]
    pub fn parse(octets: &[u8; Self::LENGTH]) -> Self {
        match octets {
            b"AMQP\0\0\x09\x01" => Self::Amqp091,
            b"AMQP\x01\x01\x00\x09" => Self::Amqp09,
            _ => Self::Unsupported(ProtocolGuess::from_octets(octets)),
        }
    }
}

impl ProtocolGuess {
    fn from_octets(octets: &[u8; ProtocolHeader::LENGTH]) -> Self {
        const HTTP_METHODS: [&[u8]; 7] = [
            b"GET ",
            b"HEAD ",
            b"POST ",
            b"PUT ",
            b"DELETE ",
            b"OPTIONS ",
            b"PRI * ",
        ];
        if octets.starts_with(b"AMQP") {
            Self::OtherAmqp
        } else if octets.starts_with(&[0x16, 0x03]) && octets[5] == 0x01 {
            Self::Tls
        } else if HTTP_METHODS.iter().any(|method| octets.starts_with(method)) {
            Self::Http
        } else {
            Self::Unknown
        }
    }
}

#[cfg(test)]
mod tests;
