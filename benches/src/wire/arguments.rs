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

    /// The text called `name` in the octets of a field table, if it is there.
    pub(crate) fn text_in_table(
        table: &'a [u8],
        name: &str,
    ) -> Result<Option<&'a [u8]>, FrameError> {
        let mut fields = Self::new(table);
        while !fields.rest.is_empty() {
            let found = fields.short_string()? == name.as_bytes();
            match fields.u8()? {
                b'S' => {
                    let text = fields.long_string()?;
                    if found {
                        return Ok(Some(text));
                    }
                }
                b'x' | b'F' | b'A' => drop(fields.long_string()?),
                kind => drop(fields.bytes(scalar_bytes(kind), "a field's value")?),
            }
        }
        Ok(None)
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

/// The size of a field's value whose kind has a fixed one; unknown kinds are given none.
fn scalar_bytes(kind: u8) -> usize {
    match kind {
        b't' | b'b' | b'B' => 1,
        b's' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'L' | b'd' | b'T' => 8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_in_a_table_behind_other_kinds() {
        let table = b"\x01tt\x01\x01lI\0\0\0\x07\x01nF\0\0\0\x02ab\x07versionS\0\0\0\x034.3";
        let version = Arguments::text_in_table(table, "version");
        assert_eq!(version, Ok(Some(&b"4.3"[..])));
        assert_eq!(Arguments::text_in_table(table, "product"), Ok(None));
        assert!(Arguments::text_in_table(&table[..9], "product").is_err());
    }

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
