//! Reading the arguments of a method or a content header, field by field.

use crate::wire::FrameError;

/// A cursor over the octets of a payload. Every read is checked.
#[derive(Debug)]
pub(crate) struct Arguments<'a> {
    rest: &'a [u8],
}

impl<'a> Arguments<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FrameError> {
        self.array::<1>("an octet").map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, FrameError> {
        self.array("a short integer").map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FrameError> {
        self.array("a long integer").map(u32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FrameError> {
        self.array("a long long integer").map(u64::from_be_bytes)
    }

    pub(crate) fn short_string(&mut self) -> Result<&'a [u8], FrameError> {
        let size = usize::from(self.u8()?);
        self.bytes(size, "a short string")
    }

    /// A long string, or the octets of a field table: both carry a 32-bit size.
    pub(crate) fn long_string(&mut self) -> Result<&'a [u8], FrameError> {
        let size = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        self.bytes(size, "a long string")
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], FrameError> {
        let (head, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(FrameError::Truncated(what))?;
        self.rest = rest;
        Ok(*head)
    }

    fn bytes(&mut self, size: usize, what: &'static str) -> Result<&'a [u8], FrameError> {
        let (head, rest) = self
            .rest
            .split_at_checked(size)
            .ok_or(FrameError::Truncated(what))?;
        self.rest = rest;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_order() {
        let mut arguments = Arguments::new(&[1, 0, 2, 0, 0, 0, 3, 2, b'a', b'b', 0, 0, 0, 1, b'c']);
        assert_eq!(arguments.u8(), Ok(1));
        assert_eq!(arguments.u16(), Ok(2));
        assert_eq!(arguments.u32(), Ok(3));
        assert_eq!(arguments.short_string(), Ok(&b"ab"[..]));
        assert_eq!(arguments.long_string(), Ok(&b"c"[..]));
        assert_eq!(arguments.u8(), Err(FrameError::Truncated("an octet")));
    }

    #[test]
    fn a_size_beyond_the_end_is_an_error() {
        let short = FrameError::Truncated("a short string");
        assert_eq!(Arguments::new(&[200, 1]).short_string(), Err(short));
        let long = FrameError::Truncated("a long string");
        assert_eq!(
            Arguments::new(&[0xff, 0xff, 0xff, 0xff, 1]).long_string(),
            Err(long)
        );
        let cut = FrameError::Truncated("a long integer");
        assert_eq!(Arguments::new(&[0, 0, 1]).u32(), Err(cut));
    }
}
