//! One field value, borrowed from the table it stands in.

use super::reader::{ArrayReader, TableReader};

/// A field value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// `t`
    Boolean(bool),
    /// `b`
    ShortShortInt(i8),
    /// `B`
    ShortShortUint(u8),
    /// `s`
    ShortInt(i16),
    /// `u`
    ShortUint(u16),
    /// `I`
    LongInt(i32),
    /// `i`
    LongUint(u32),
    /// `l`, and `L`, which RabbitMQ reads as signed too
    LongLongInt(i64),
    /// `f`
    Float(f32),
    /// `d`
    Double(f64),
    /// `D`
    Decimal {
        /// How many decimal digits stand behind the point.
        scale: u8,
        /// The digits.
        value: u32,
    },
    /// `S`; text by custom, but any octets are legal
    LongString(&'a [u8]),
    /// `T`, seconds since 1970
    Timestamp(u64),
    /// `F`
    Table(TableReader<'a>),
    /// `A`
    Array(ArrayReader<'a>),
    /// `x`
    ByteArray(&'a [u8]),
    /// `V`
    Void,
}

impl<'a> Value<'a> {
    /// Reads the value of type `octet` at the front of `bytes`: the value and how many octets it
    /// takes, or `None` if the type is unknown or the bytes end too early.
    pub(super) fn read(octet: u8, bytes: &'a [u8]) -> Option<(Self, usize)> {
        Some(match octet {
            b't' => (Self::Boolean(chunk::<1>(bytes)? != [0]), 1),
            b'b' => (Self::ShortShortInt(i8::from_be_bytes(chunk(bytes)?)), 1),
            b'B' => (Self::ShortShortUint(u8::from_be_bytes(chunk(bytes)?)), 1),
            b's' => (Self::ShortInt(i16::from_be_bytes(chunk(bytes)?)), 2),
            b'u' => (Self::ShortUint(u16::from_be_bytes(chunk(bytes)?)), 2),
            b'I' => (Self::LongInt(i32::from_be_bytes(chunk(bytes)?)), 4),
            b'i' => (Self::LongUint(u32::from_be_bytes(chunk(bytes)?)), 4),
            b'l' | b'L' => (Self::LongLongInt(i64::from_be_bytes(chunk(bytes)?)), 8),
            b'f' => (Self::Float(f32::from_be_bytes(chunk(bytes)?)), 4),
            b'd' => (Self::Double(f64::from_be_bytes(chunk(bytes)?)), 8),
            b'T' => (Self::Timestamp(u64::from_be_bytes(chunk(bytes)?)), 8),
            b'D' => {
                let [scale, value @ ..] = chunk::<5>(bytes)?;
                (
                    Self::Decimal {
                        scale,
                        value: u32::from_be_bytes(value),
                    },
                    5,
                )
            }
            b'S' => sized(bytes, Self::LongString)?,
            b'x' => sized(bytes, Self::ByteArray)?,
            b'F' => sized(bytes, |octets| Self::Table(TableReader::new(octets)))?,
            b'A' => sized(bytes, |octets| Self::Array(ArrayReader::new(octets)))?,
            b'V' => (Self::Void, 0),
            _ => return None,
        })
    }

    /// The type octet under which the value is written.
    #[must_use]
    pub fn type_octet(&self) -> u8 {
        match self {
            Self::Boolean(_) => b't',
            Self::ShortShortInt(_) => b'b',
            Self::ShortShortUint(_) => b'B',
            Self::ShortInt(_) => b's',
            Self::ShortUint(_) => b'u',
            Self::LongInt(_) => b'I',
            Self::LongUint(_) => b'i',
            Self::LongLongInt(_) => b'l',
            Self::Float(_) => b'f',
            Self::Double(_) => b'd',
            Self::Decimal { .. } => b'D',
            Self::LongString(_) => b'S',
            Self::Timestamp(_) => b'T',
            Self::Table(_) => b'F',
            Self::Array(_) => b'A',
            Self::ByteArray(_) => b'x',
            Self::Void => b'V',
        }
    }

    /// The type's name in RabbitMQ's reply texts.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "bool",
            Self::ShortShortInt(_) => "byte",
            Self::ShortShortUint(_) => "unsignedbyte",
            Self::ShortInt(_) => "short",
            Self::ShortUint(_) => "unsignedshort",
            Self::LongInt(_) => "signedint",
            Self::LongUint(_) => "unsignedint",
            Self::LongLongInt(_) => "long",
            Self::Float(_) => "float",
            Self::Double(_) => "double",
            Self::Decimal { .. } => "decimal",
            Self::LongString(_) => "longstr",
            Self::Timestamp(_) => "timestamp",
            Self::Table(_) => "table",
            Self::Array(_) => "array",
            Self::ByteArray(_) => "binary",
            Self::Void => "void",
        }
    }

    /// An integer of any width; timestamps are not integers.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match *self {
            Self::ShortShortInt(value) => Some(value.into()),
            Self::ShortShortUint(value) => Some(value.into()),
            Self::ShortInt(value) => Some(value.into()),
            Self::ShortUint(value) => Some(value.into()),
            Self::LongInt(value) => Some(value.into()),
            Self::LongUint(value) => Some(value.into()),
            Self::LongLongInt(value) => Some(value),
            Self::Boolean(_)
            | Self::Float(_)
            | Self::Double(_)
            | Self::Decimal { .. }
            | Self::LongString(_)
            | Self::Timestamp(_)
            | Self::Table(_)
            | Self::Array(_)
            | Self::ByteArray(_)
            | Self::Void => None,
        }
    }

    /// The octets of a long string or byte array.
    #[must_use]
    pub fn as_octets(&self) -> Option<&'a [u8]> {
        match *self {
            Self::LongString(octets) | Self::ByteArray(octets) => Some(octets),
            _ => None,
        }
    }

    /// A long string that is UTF-8.
    #[must_use]
    pub fn as_text(&self) -> Option<&'a str> {
        match *self {
            Self::LongString(octets) => std::str::from_utf8(octets).ok(),
            _ => None,
        }
    }

    /// A boolean.
    #[must_use]
    pub fn as_boolean(&self) -> Option<bool> {
        match *self {
            Self::Boolean(value) => Some(value),
            _ => None,
        }
    }

    /// A table.
    #[must_use]
    pub fn as_table(&self) -> Option<TableReader<'a>> {
        match *self {
            Self::Table(table) => Some(table),
            _ => None,
        }
    }

    /// An array.
    #[must_use]
    pub fn as_array(&self) -> Option<ArrayReader<'a>> {
        match *self {
            Self::Array(array) => Some(array),
            _ => None,
        }
    }
}

fn chunk<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.first_chunk().copied()
}

fn sized<'a>(
    bytes: &'a [u8],
    value: impl FnOnce(&'a [u8]) -> Value<'a>,
) -> Option<(Value<'a>, usize)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length) as usize;
    let octets = rest.get(..length)?;
    Some((value(octets), 4 + length))
}
