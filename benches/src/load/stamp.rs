//! What a body carries so that its way can be followed.
//!
//! ```text
//! octets 0..8                            octets 8..16
//! +----------------+-------------------+------------------------------------+
//! | producer (u16) |  sequence (u48)   | nanoseconds since the run began    |
//! +----------------+-------------------+------------------------------------+
//! ```
//! A body of 8 to 15 octets carries the first half alone, a smaller one nothing.

const SEQUENCE_MASK: u64 = (1 << 48) - 1;

/// Who sent a message, as the how-manieth, and when it was to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) producer: u16,
    pub(crate) sequence: u64,
    pub(crate) sent_at: u64,
}

impl Stamp {
    /// Writes as much of the stamp as a body of `body_bytes` has room for.
    #[inline]
    pub(crate) fn write(self, target: &mut [u8], body_bytes: usize) {
        if body_bytes < 8 {
            return;
        }
        let origin = u64::from(self.producer) << 48 | self.sequence & SEQUENCE_MASK;
        target[..8].copy_from_slice(&origin.to_be_bytes());
        if body_bytes >= 16 {
            target[8..16].copy_from_slice(&self.sent_at.to_be_bytes());
        }
    }

    /// The stamp of a body; `None` when the body is too small for one.
    #[inline]
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let (origin, rest) = body.split_first_chunk::<8>()?;
        let origin = u64::from_be_bytes(*origin);
        let sent_at = rest
            .first_chunk::<8>()
            .map_or(u64::MAX, |time| u64::from_be_bytes(*time));
        let producer = u16::try_from(origin >> 48).unwrap_or(u16::MAX);
        Some(Self {
            producer,
            sequence: origin & SEQUENCE_MASK,
            sent_at,
        })
    }
}
