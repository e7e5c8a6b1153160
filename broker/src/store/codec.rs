//! Numbers of variable length, and reading them back from bytes that may be anything.
//!
//! A number is written seven bits at a time, lowest first; the top bit says that more follow.

use leveret_log::{Location, Lsn, SegmentId};

use crate::model::Seq;

/// The bytes are not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes do not decode")]
pub(crate) struct Malformed;

/// Appends a number.
pub(crate) fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Appends the difference of two numbers; small ones are short, whatever their sign.
pub(crate) fn put_difference(bytes: &mut Vec<u8>, from: u64, to: u64) {
    let difference = to.wrapping_sub(from) as i64;
    put_number(bytes, ((difference << 1) ^ (difference >> 63)) as u64);
}

/// Appends a place, such that low positions are short on every level.
pub(crate) fn put_seq(bytes: &mut Vec<u8>, seq: Seq) {
    put_number(bytes, seq.0.rotate_left(8));
}

/// Appends where a record lies.
pub(crate) fn put_location(bytes: &mut Vec<u8>, location: Location) {
    put_number(bytes, u64::from(location.segment.0));
    put_number(bytes, u64::from(location.offset));
    put_number(bytes, u64::from(location.length));
}

/// What is left to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    pub(crate) fn small(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.number()?).map_err(|_| Malformed)
    }

    pub(crate) fn difference(&mut self, from: u64) -> Result<u64, Malformed> {
        let coded = self.number()?;
        let difference = (coded >> 1) ^ (coded & 1).wrapping_neg();
        Ok(from.wrapping_add(difference))
    }

    pub(crate) fn seq(&mut self) -> Result<Seq, Malformed> {
        Ok(Seq(self.number()?.rotate_right(8)))
    }

    pub(crate) fn lsn(&mut self) -> Result<Lsn, Malformed> {
        Ok(Lsn(self.number()?))
    }

    pub(crate) fn location(&mut self) -> Result<Location, Malformed> {
        Ok(Location {
            segment: SegmentId(self.small()?),
            offset: self.small()?,
            length: self.small()?,
        })
    }

    /// A count of things of which each takes at least one of the bytes that are left.
    pub(crate) fn count(&mut self) -> Result<usize, Malformed> {
        let count = usize::try_from(self.number()?).map_err(|_| Malformed)?;
        if count > self.0.len() {
            return Err(Malformed);
        }
        Ok(count)
    }

    /// Whatever is left is too much.
    pub(crate) fn finish(self) -> Result<(), Malformed> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_places_and_differences_come_back(first: u64, second: u64, level: u8) {
            let seq = Seq::new(level, first);
            let mut bytes = Vec::new();
            put_number(&mut bytes, first);
            put_difference(&mut bytes, first, second);
            put_seq(&mut bytes, seq);
            let mut fields = Fields(&bytes);
            prop_assert_eq!(fields.number(), Ok(first));
            prop_assert_eq!(fields.difference(first), Ok(second));
            prop_assert_eq!(fields.seq(), Ok(seq));
            prop_assert_eq!(fields.finish(), Ok(()));
        }

        #[test]
        fn any_bytes_read_as_a_number_or_an_error(bytes: Vec<u8>) {
            let mut fields = Fields(&bytes);
            while fields.number().is_ok() {}
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        assert_eq!(Fields(&[0xff; 10]).number(), Err(Malformed));
        let mut most = vec![0xff; 9];
        most.push(1);
        assert_eq!(Fields(&most).number(), Ok(u64::MAX));
    }

    #[test]
    fn the_first_places_of_every_level_are_short() {
        let mut bytes = Vec::new();
        put_seq(&mut bytes, Seq::new(9, 60));
        assert!(bytes.len() <= 2, "{bytes:?}");
    }
}
