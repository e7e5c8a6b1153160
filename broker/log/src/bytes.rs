//! Reading and writing little-endian numbers at known places, and the seeded checksum.

/// A segment's 64 random bits. Every checksum in the segment begins with them, so that neither the
/// stale bytes of a recycled file nor a record forged inside a payload ever passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed {
    pub(crate) bits: u64,
    start: u32,
}

impl Seed {
    pub(crate) fn new(bits: u64) -> Self {
        Self {
            bits,
            start: crc32c::crc32c(&bits.to_le_bytes()),
        }
    }

    pub(crate) fn checksum(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(self.start, bytes)
    }

    /// The checksum of two pieces, one after the other.
    pub(crate) fn checksum_of(self, first: &[u8], second: &[u8]) -> u32 {
        crc32c::crc32c_append(self.checksum(first), second)
    }
}

/// Reads what a slice holds from front to back; `None` once it is at its end.
#[derive(Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
