//! When two values of field tables are equal (spec 3.6.3, 4.1.5).

use crate::wire::Value;

/// A value as routing and redeclaration compare it: integers by value, whatever their width, texts
/// and byte arrays by their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparable<B> {
    /// True or false; equal to no number.
    Boolean(bool),
    /// Any integer type or a timestamp.
    Integer(i128),
    /// The bits, so that two zeros of different sign differ, as they do for RabbitMQ.
    Float(u64),
    /// Scale and digits.
    Decimal(u8, u32),
    /// A text or a byte array.
    Bytes(B),
    /// Arrays and tables, compared by their encoding.
    Nested(B),
    /// No value.
    Void,
}

impl<'t> Comparable<&'t [u8]> {
    /// What `value` is compared by.
    #[must_use]
    pub fn new(value: Value<'t>) -> Self {
        match value {
            Value::Boolean(value) => Self::Boolean(value),
            Value::ShortShortInt(value) => Self::Integer(value.into()),
            Value::ShortShortUint(value) => Self::Integer(value.into()),
            Value::ShortInt(value) => Self::Integer(value.into()),
            Value::ShortUint(value) => Self::Integer(value.into()),
            Value::LongInt(value) => Self::Integer(value.into()),
            Value::LongUint(value) => Self::Integer(value.into()),
            Value::LongLongInt(value) => Self::Integer(value.into()),
            Value::Timestamp(value) => Self::Integer(value.into()),
            Value::Float(value) => Self::Float(f64::from(value).to_bits()),
            Value::Double(value) => Self::Float(value.to_bits()),
            Value::Decimal { scale, value } => Self::Decimal(scale, value),
            Value::LongString(bytes) | Value::ByteArray(bytes) => Self::Bytes(bytes),
            Value::Table(table) => Self::Nested(table.as_bytes()),
            Value::Array(array) => Self::Nested(array.as_bytes()),
            Value::Void => Self::Void,
        }
    }

    /// The same, independent of the table.
    #[must_use]
    pub fn to_owned(self) -> Comparable<Box<[u8]>> {
        match self {
            Self::Boolean(value) => Comparable::Boolean(value),
            Self::Integer(value) => Comparable::Integer(value),
            Self::Float(bits) => Comparable::Float(bits),
            Self::Decimal(scale, value) => Comparable::Decimal(scale, value),
            Self::Bytes(bytes) => Comparable::Bytes(bytes.into()),
            Self::Nested(content) => Comparable::Nested(content.into()),
            Self::Void => Comparable::Void,
        }
    }
}

impl Comparable<Box<[u8]>> {
    /// The same, to compare with a value that is borrowed.
    #[must_use]
    pub fn borrowed(&self) -> Comparable<&[u8]> {
        match self {
            Self::Boolean(value) => Comparable::Boolean(*value),
            Self::Integer(value) => Comparable::Integer(*value),
            Self::Float(bits) => Comparable::Float(*bits),
            Self::Decimal(scale, value) => Comparable::Decimal(*scale, *value),
            Self::Bytes(bytes) => Comparable::Bytes(bytes),
            Self::Nested(content) => Comparable::Nested(content),
            Self::Void => Comparable::Void,
        }
    }
}
