//! How method arguments lie in a payload: big-endian integers, length-prefixed strings, tables, and
//! neighbouring booleans packed into octets from the lowest bit up.

use std::fmt;

use super::error::{ArgumentError, EncodeError};
use super::table::{TableLimits, TableReader, validate_keyed_by_text};

/// A type that method arguments can have.
pub(super) trait Argument<'a>: Sized {
    /// Reads the next argument.
    fn read(reader: &mut ArgumentReader<'a>) -> Result<Self, ArgumentError>;
    /// Appends the argument.
    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError>;
}

/// Octets that must not show up in a log: passwords and tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret<'a>(&'a [u8]);

impl<'a> Secret<'a> {
    /// Marks `octets` as secret.
    #[must_use]
    pub fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    /// The octets themselves.
    #[must_use]
    pub fn expose(self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// Walks over the arguments of one method.
#[derive(Debug)]
pub(super) struct ArgumentReader<'a> {
    rest: &'a [u8],
    bits: u8,
    /// The next bit to hand out; 0 means that a new octet has to be read first.
    bit: u8,
}

impl<'a> ArgumentReader<'a> {
    pub(super) fn new(arguments: &'a [u8]) -> Self {
        Self {
            rest: arguments,
            bits: 0,
            bit: 0,
        }
    }

    /// Ends the walk; the arguments must be used up.
    pub(super) fn finish(self) -> Result<(), ArgumentError> {
        match self.rest.len() {
            0 => Ok(()),
            octets => Err(ArgumentError::Trailing { octets }),
        }
    }

    fn octets<const N: usize>(&mut self) -> Result<[u8; N], ArgumentError> {
        self.bit = 0;
        let (octets, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(ArgumentError::Truncated)?;
        self.rest = rest;
        Ok(*octets)
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], ArgumentError> {
        let (slice, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(ArgumentError::Truncated)?;
        self.rest = rest;
        Ok(slice)
    }

    fn long_slice(&mut self) -> Result<&'a [u8], ArgumentError> {
        let length = u32::read(self)?;
        self.slice(length as usize)
    }

    /// Bits above the last argument are ignored, as RabbitMQ does.
    fn next_bit(&mut self) -> Result<bool, ArgumentError> {
        if self.bit == 0 {
            let [bits] = self.octets()?;
            self.bits = bits;
        }
        let value = (self.bits >> self.bit) & 1 == 1;
        self.bit = (self.bit + 1) % 8;
        Ok(value)
    }
}

/// Appends the arguments of one method.
#[derive(Debug)]
pub(super) struct ArgumentWriter<'b> {
    buffer: &'b mut Vec<u8>,
    bit: u8,
}

impl<'b> ArgumentWriter<'b> {
    pub(super) fn new(buffer: &'b mut Vec<u8>) -> Self {
        Self { buffer, bit: 0 }
    }

    fn octets(&mut self, octets: &[u8]) {
        self.bit = 0;
        self.buffer.extend_from_slice(octets);
    }

    fn long_slice(&mut self, octets: &[u8]) -> Result<(), EncodeError> {
        self.bit = 0;
        write_long_string(self.buffer, octets)
    }

    fn next_bit(&mut self, value: bool) {
        if self.bit == 0 {
            self.buffer.push(0);
        }
        if let Some(last) = self.buffer.last_mut() {
            *last |= u8::from(value) << self.bit;
        }
        self.bit = (self.bit + 1) % 8;
    }
}

/// Appends a length octet and the text; refuses what does not fit.
pub(super) fn write_short_string(buffer: &mut Vec<u8>, text: &[u8]) -> Result<(), EncodeError> {
    let length = u8::try_from(text.len())
        .map_err(|_| EncodeError::ShortStringTooLong { octets: text.len() })?;
    buffer.push(length);
    buffer.extend_from_slice(text);
    Ok(())
}

/// Appends a length of 32 bits and the octets.
pub(super) fn write_long_string(buffer: &mut Vec<u8>, octets: &[u8]) -> Result<(), EncodeError> {
    let length = u32::try_from(octets.len()).map_err(|_| EncodeError::FieldTooLong {
        octets: octets.len(),
    })?;
    buffer.extend_from_slice(&length.to_be_bytes());
    buffer.extend_from_slice(octets);
    Ok(())
}

macro_rules! integer_arguments {
    ($($integer:ty),*) => {$(
        impl Argument<'_> for $integer {
            fn read(reader: &mut ArgumentReader<'_>) -> Result<Self, ArgumentError> {
                Ok(Self::from_be_bytes(reader.octets()?))
            }

            fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
                writer.octets(&self.to_be_bytes());
                Ok(())
            }
        }
    )*};
}

integer_arguments!(u8, u16, u32, u64);

impl Argument<'_> for bool {
    fn read(reader: &mut ArgumentReader<'_>) -> Result<Self, ArgumentError> {
        reader.next_bit()
    }

    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        writer.next_bit(*self);
        Ok(())
    }
}

/// A short string.
impl<'a> Argument<'a> for &'a str {
    fn read(reader: &mut ArgumentReader<'a>) -> Result<Self, ArgumentError> {
        let length = u8::read(reader)?;
        let octets = reader.slice(usize::from(length))?;
        std::str::from_utf8(octets).map_err(|_| ArgumentError::MalformedText)
    }

    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        writer.bit = 0;
        write_short_string(writer.buffer, self.as_bytes())
    }
}

/// A long string.
impl<'a> Argument<'a> for &'a [u8] {
    fn read(reader: &mut ArgumentReader<'a>) -> Result<Self, ArgumentError> {
        reader.long_slice()
    }

    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        writer.long_slice(self)
    }
}

/// A long string that holds credentials.
impl<'a> Argument<'a> for Secret<'a> {
    fn read(reader: &mut ArgumentReader<'a>) -> Result<Self, ArgumentError> {
        reader.long_slice().map(Self)
    }

    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        writer.long_slice(self.0)
    }
}

/// A field table: validated here, decoded by whoever needs it.
impl<'a> Argument<'a> for TableReader<'a> {
    fn read(reader: &mut ArgumentReader<'a>) -> Result<Self, ArgumentError> {
        let octets = reader.long_slice()?;
        validate_keyed_by_text(octets, TableLimits::FRAME)?;
        Ok(Self::new(octets))
    }

    fn write(&self, writer: &mut ArgumentWriter<'_>) -> Result<(), EncodeError> {
        writer.long_slice(self.as_bytes())
    }
}
