//! Decoded values of field tables, as arguments and headers carry them (spec 0.6).

use crate::wire::{TableReader, Value};

/// One value of a field table, borrowed from the table's bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldValue<'t> {
    /// `t`
    Boolean(bool),
    /// `b`
    Byte(i8),
    /// `B`
    UnsignedByte(u8),
    /// `s`
    Short(i16),
    /// `u`
    UnsignedShort(u16),
    /// `I`
    SignedInt(i32),
    /// `i`
    UnsignedInt(u32),
    /// `l` and `L`
    Long(i64),
    /// `f`
    Float(f32),
    /// `d`
    Double(f64),
    /// `D`
    Decimal {
        /// How many digits lie behind the point.
        scale: u8,
        /// The digits.
        value: u32,
    },
    /// `S`
    LongString(&'t [u8]),
    /// `T`, in seconds
    Timestamp(u64),
    /// `F`: the nested table's content, without its length
    Table(&'t [u8]),
    /// `A`: the array's content, without its length
    Array(&'t [u8]),
    /// `V`
    Void,
    /// `x`
    Binary(&'t [u8]),
}

impl FieldValue<'_> {
    /// The type's name in texts that clients see.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "bool",
            Self::Byte(_) => "byte",
            Self::UnsignedByte(_) => "unsignedbyte",
            Self::Short(_) => "short",
            Self::UnsignedShort(_) => "unsignedshort",
            Self::SignedInt(_) => "signedint",
            Self::UnsignedInt(_) => "unsignedint",
            Self::Long(_) => "long",
            Self::Float(_) => "float",
            Self::Double(_) => "double",
            Self::Decimal { .. } => "decimal",
            Self::LongString(_) => "longstr",
            Self::Timestamp(_) => "timestamp",
            Self::Table(_) => "table",
            Self::Array(_) => "array",
            Self::Void => "void",
            Self::Binary(_) => "binary",
        }
    }

    /// The number, if this is of one of the integer types. A timestamp is none of them.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match *self {
            Self::Byte(value) => Some(value.into()),
            Self::UnsignedByte(value) => Some(value.into()),
            Self::Short(value) => Some(value.into()),
            Self::UnsignedShort(value) => Some(value.into()),
            Self::SignedInt(value) => Some(value.into()),
            Self::UnsignedInt(value) => Some(value.into()),
            Self::Long(value) => Some(value),
            Self::Boolean(_)
            | Self::Float(_)
            | Self::Double(_)
            | Self::Decimal { .. }
            | Self::LongString(_)
            | Self::Timestamp(_)
            | Self::Table(_)
            | Self::Array(_)
            | Self::Void
            | Self::Binary(_) => None,
        }
    }
}

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
    pub fn new(value: FieldValue<'t>) -> Self {
        match value {
            FieldValue::Boolean(value) => Self::Boolean(value),
            FieldValue::Byte(value) => Self::Integer(value.into()),
            FieldValue::UnsignedByte(value) => Self::Integer(value.into()),
            FieldValue::Short(value) => Self::Integer(value.into()),
            FieldValue::UnsignedShort(value) => Self::Integer(value.into()),
            FieldValue::SignedInt(value) => Self::Integer(value.into()),
            FieldValue::UnsignedInt(value) => Self::Integer(value.into()),
            FieldValue::Long(value) => Self::Integer(value.into()),
            FieldValue::Timestamp(value) => Self::Integer(value.into()),
            FieldValue::Float(value) => Self::Float(f64::from(value).to_bits()),
            FieldValue::Double(value) => Self::Float(value.to_bits()),
            FieldValue::Decimal { scale, value } => Self::Decimal(scale, value),
            FieldValue::LongString(bytes) | FieldValue::Binary(bytes) => Self::Bytes(bytes),
            FieldValue::Table(content) | FieldValue::Array(content) => Self::Nested(content),
            FieldValue::Void => Self::Void,
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

/// A field table that can be read from the start; the table's encoding stays the wire's secret.
pub trait Fields {
    /// Shows every field in the order of the table. A name may occur more than once.
    fn visit<'t>(&'t self, visitor: &mut dyn FnMut(&'t [u8], FieldValue<'t>));

    /// The field of that name; the first one, where a peer sent several.
    fn field<'t>(&'t self, name: &str) -> Option<FieldValue<'t>> {
        let mut found = None;
        self.visit(&mut |field, value| {
            if found.is_none() && field == name.as_bytes() {
                found = Some(value);
            }
        });
        found
    }
}

impl<N: AsRef<[u8]>> Fields for [(N, FieldValue<'_>)] {
    fn visit<'t>(&'t self, visitor: &mut dyn FnMut(&'t [u8], FieldValue<'t>)) {
        for (name, value) in self {
            visitor(name.as_ref(), *value);
        }
    }
}

impl<F: Fields + ?Sized> Fields for &F {
    fn visit<'t>(&'t self, visitor: &mut dyn FnMut(&'t [u8], FieldValue<'t>)) {
        (**self).visit(visitor);
    }
}

impl<F: Fields> Fields for Option<F> {
    fn visit<'t>(&'t self, visitor: &mut dyn FnMut(&'t [u8], FieldValue<'t>)) {
        if let Some(fields) = self {
            fields.visit(visitor);
        }
    }
}

impl<N: AsRef<[u8]>, const COUNT: usize> Fields for [(N, FieldValue<'_>); COUNT] {
    fn visit<'t>(&'t self, visitor: &mut dyn FnMut(&'t [u8], FieldValue<'t>)) {
        self.as_slice().visit(visitor);
    }
}

/// The table without fields.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFields;

impl Fields for NoFields {
    fn visit<'t>(&'t self, _visitor: &mut dyn FnMut(&'t [u8], FieldValue<'t>)) {}
}

/// Tables as they came from the wire, validated there.
impl Fields for TableReader<'_> {
    fn visit<'t>(&'t self, visitor: &mut dyn FnMut(&'t [u8], FieldValue<'t>)) {
        for entry in self.iter() {
            visitor(entry.key, FieldValue::from(entry.value));
        }
    }
}

impl<'t> From<Value<'t>> for FieldValue<'t> {
    fn from(value: Value<'t>) -> Self {
        match value {
            Value::Boolean(value) => Self::Boolean(value),
            Value::ShortShortInt(value) => Self::Byte(value),
            Value::ShortShortUint(value) => Self::UnsignedByte(value),
            Value::ShortInt(value) => Self::Short(value),
            Value::ShortUint(value) => Self::UnsignedShort(value),
            Value::LongInt(value) => Self::SignedInt(value),
            Value::LongUint(value) => Self::UnsignedInt(value),
            Value::LongLongInt(value) => Self::Long(value),
            Value::Float(value) => Self::Float(value),
            Value::Double(value) => Self::Double(value),
            Value::Decimal { scale, value } => Self::Decimal { scale, value },
            Value::LongString(octets) => Self::LongString(octets),
            Value::Timestamp(seconds) => Self::Timestamp(seconds),
            Value::Table(table) => Self::Table(table.as_bytes()),
            Value::Array(array) => Self::Array(array.as_bytes()),
            Value::ByteArray(octets) => Self::Binary(octets),
            Value::Void => Self::Void,
        }
    }
}
