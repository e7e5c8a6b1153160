//! Octets as an operator reads them: the notation RabbitMQ uses in its reply texts.

use std::fmt;

/// How many octets of a refused payload an error keeps: enough to fill a reply text of 255 octets.
const SAMPLE_LENGTH: usize = 128;

/// How many octets of a refused frame are shown, as in RabbitMQ's texts.
const FRAME_SAMPLE_LENGTH: usize = 16;

/// Writes octets in Erlang's notation: `<<0,60,255>>`.
fn write_octets(formatter: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    formatter.write_str("<<")?;
    for (index, octet) in octets.iter().enumerate() {
        if index > 0 {
            formatter.write_str(",")?;
        }
        write!(formatter, "{octet}")?;
    }
    formatter.write_str(">>")
}

/// The beginning of a payload that could not be decoded, kept for the reply text.
#[derive(Clone, PartialEq, Eq)]
pub struct OctetSample(Box<[u8]>);

impl OctetSample {
    /// Keeps the beginning of `octets`; a reply text has no room for more.
    #[must_use]
    pub fn new(octets: &[u8]) -> Self {
        Self(octets[..octets.len().min(SAMPLE_LENGTH)].into())
    }

    /// Keeps nothing, for payloads that may hold a password.
    #[must_use]
    pub fn redacted() -> Self {
        Self(Box::new([]))
    }
}

impl fmt::Display for OctetSample {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_octets(formatter, &self.0)
    }
}

impl fmt::Debug for OctetSample {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_octets(formatter, &self.0)
    }
}

/// What a reply text says about a refused frame: its type and how its payload begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FrameDescription {
    type_octet: u8,
    payload_length: usize,
    sample: [u8; FRAME_SAMPLE_LENGTH],
}

impl FrameDescription {
    /// Describes a frame of `type_octet` with this payload.
    #[must_use]
    pub fn new(type_octet: u8, payload: &[u8]) -> Self {
        let mut sample = [0; FRAME_SAMPLE_LENGTH];
        let shown = payload.len().min(FRAME_SAMPLE_LENGTH);
        sample[..shown].copy_from_slice(&payload[..shown]);
        Self {
            type_octet,
            payload_length: payload.len(),
            sample,
        }
    }

    /// The octet that opened the frame.
    #[must_use]
    pub fn type_octet(&self) -> u8 {
        self.type_octet
    }

    /// How many octets the payload had.
    #[must_use]
    pub fn payload_length(&self) -> usize {
        self.payload_length
    }

    fn shown(&self) -> &[u8] {
        &self.sample[..self.payload_length.min(FRAME_SAMPLE_LENGTH)]
    }
}

impl fmt::Display for FrameDescription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extent = if self.payload_length > FRAME_SAMPLE_LENGTH {
            "first 16 octets"
        } else {
            "all octets"
        };
        write!(formatter, "type {}, {extent} = ", self.type_octet)?;
        let shown = self.shown();
        let printable = |octet: &u8| matches!(octet, b' '..=b'~') && !b"\"\\".contains(octet);
        match std::str::from_utf8(shown) {
            Ok(text) if !shown.is_empty() && shown.iter().all(printable) => {
                write!(formatter, "<<\"{text}\">>")
            }
            _ => write_octets(formatter, shown),
        }
    }
}

impl fmt::Debug for FrameDescription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
