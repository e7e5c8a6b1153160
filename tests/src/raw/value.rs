//! Field tables and their values, as RabbitMQ reads and writes them.

use anyhow::{Result, bail};

use super::bytes::{Reader, Writer};

/// One value of a field table, with its type on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `t`
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l`
    I64(i64),
    /// `L`, which RabbitMQ also reads as signed.
    UpperL(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`
    Decimal(u8, u32),
    /// `S`
    Text(Vec<u8>),
    /// `T`
    Timestamp(u64),
    /// `F`
    Table(Table),
    /// `A`
    Array(Vec<Self>),
    /// `V`
    Void,
    /// `x`
    Bytes(Vec<u8>),
}

impl Value {
    /// A long string.
    #[must_use]
    pub fn text(value: &str) -> Self {
        Self::Text(value.as_bytes().to_vec())
    }

    /// The integer this is, whatever its width.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        match *self {
            Self::I8(value) => Some(value.into()),
            Self::U8(value) => Some(value.into()),
            Self::I16(value) => Some(value.into()),
            Self::U16(value) => Some(value.into()),
            Self::I32(value) => Some(value.into()),
            Self::U32(value) => Some(value.into()),
            Self::I64(value) | Self::UpperL(value) => Some(value),
            _ => None,
        }
    }

    /// The text this is, if it is a long string.
    #[must_use]
    pub fn as_text(&self) -> Option<String> {
        match self {
            Self::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::text(value)
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::text(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::I32(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::I64(value)
    }
}

impl From<Table> for Value {
    fn from(value: Table) -> Self {
        Self::Table(value)
    }
}

impl From<Vec<Self>> for Value {
    fn from(value: Vec<Self>) -> Self {
        Self::Array(value)
    }
}

/// A field table; order and duplicates are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table(pub Vec<(String, Value)>);

impl Table {
    /// No entries.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// This table with one more entry.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.push((key.to_owned(), value.into()));
        self
    }

    /// This table by key: RabbitMQ passes message headers on in another order.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.0.sort_by(|(one, _), (other, _)| one.cmp(other));
        self
    }

    /// The first value under `key`.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }
}

/// A table with one entry, for the many arguments that come alone.
#[must_use]
pub fn one(key: &str, value: impl Into<Value>) -> Table {
    Table::new().with(key, value)
}

/// Writes a table with its length in front.
pub fn write_table(out: &mut Vec<u8>, table: &Table) {
    let mut body = Vec::new();
    for (key, value) in &table.0 {
        body.push(key.len() as u8);
        body.extend_from_slice(key.as_bytes());
        write_value(&mut body, value);
    }
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    out.extend_from_slice(&body);
}

/// Writes a value with its type octet in front.
pub fn write_value(out: &mut Vec<u8>, value: &Value) {
    let writer = match value {
        Value::Bool(value) => Writer::new().u8(b't').u8(u8::from(*value)),
        Value::I8(value) => Writer::new().u8(b'b').raw(value.to_be_bytes()),
        Value::U8(value) => Writer::new().u8(b'B').u8(*value),
        Value::I16(value) => Writer::new().u8(b's').raw(value.to_be_bytes()),
        Value::U16(value) => Writer::new().u8(b'u').u16(*value),
        Value::I32(value) => Writer::new().u8(b'I').raw(value.to_be_bytes()),
        Value::U32(value) => Writer::new().u8(b'i').u32(*value),
        Value::I64(value) => Writer::new().u8(b'l').raw(value.to_be_bytes()),
        Value::UpperL(value) => Writer::new().u8(b'L').raw(value.to_be_bytes()),
        Value::F32(value) => Writer::new().u8(b'f').raw(value.to_be_bytes()),
        Value::F64(value) => Writer::new().u8(b'd').raw(value.to_be_bytes()),
        Value::Decimal(scale, value) => Writer::new().u8(b'D').u8(*scale).u32(*value),
        Value::Text(value) => Writer::new().u8(b'S').long(value),
        Value::Timestamp(value) => Writer::new().u8(b'T').u64(*value),
        Value::Table(value) => Writer::new().u8(b'F').table(value),
        Value::Array(values) => {
            let mut items = Vec::new();
            for item in values {
                write_value(&mut items, item);
            }
            Writer::new().u8(b'A').long(items)
        }
        Value::Void => Writer::new().u8(b'V'),
        Value::Bytes(value) => Writer::new().u8(b'x').long(value),
    };
    out.extend_from_slice(&writer.finish());
}

/// Reads a table from bytes that hold it without its length.
pub fn read_table(bytes: &[u8]) -> Result<Table> {
    let mut reader = Reader::new(bytes);
    let mut table = Table::new();
    while !reader.rest().is_empty() {
        let key = reader.short()?;
        table.0.push((key, read_value(&mut reader)?));
    }
    Ok(table)
}

fn read_value(reader: &mut Reader<'_>) -> Result<Value> {
    Ok(match reader.u8()? {
        b't' => Value::Bool(reader.u8()? != 0),
        b'b' => Value::I8(reader.u8()? as i8),
        b'B' => Value::U8(reader.u8()?),
        b's' => Value::I16(reader.u16()? as i16),
        b'u' => Value::U16(reader.u16()?),
        b'I' => Value::I32(reader.u32()? as i32),
        b'i' => Value::U32(reader.u32()?),
        b'l' => Value::I64(reader.u64()? as i64),
        b'L' => Value::UpperL(reader.u64()? as i64),
        b'f' => Value::F32(f32::from_bits(reader.u32()?)),
        b'd' => Value::F64(f64::from_bits(reader.u64()?)),
        b'D' => Value::Decimal(reader.u8()?, reader.u32()?),
        b'S' => Value::Text(reader.long()?),
        b'T' => Value::Timestamp(reader.u64()?),
        b'F' => Value::Table(reader.table()?),
        b'A' => {
            let bytes = reader.long()?;
            let mut items = Reader::new(&bytes);
            let mut values = Vec::new();
            while !items.rest().is_empty() {
                values.push(read_value(&mut items)?);
            }
            Value::Array(values)
        }
        b'V' => Value::Void,
        b'x' => Value::Bytes(reader.long()?),
        other => bail!("unknown field type {:?}", char::from(other)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_reads_back_as_written() {
        let table = Table::new()
            .with("bool", true)
            .with("i8", Value::I8(-1))
            .with("u8", Value::U8(255))
            .with("i16", Value::I16(-2))
            .with("u16", Value::U16(65535))
            .with("i32", -3)
            .with("u32", Value::U32(u32::MAX))
            .with("i64", -4_i64)
            .with("upper", Value::UpperL(5))
            .with("f32", Value::F32(1.5))
            .with("f64", Value::F64(-2.5))
            .with("decimal", Value::Decimal(2, 314))
            .with("text", "text")
            .with("timestamp", Value::Timestamp(u64::MAX))
            .with("table", one("inner", Value::Void))
            .with("array", vec![Value::I32(1), Value::text("two")])
            .with("void", Value::Void)
            .with("bytes", Value::Bytes(vec![0, 1, 2]));
        let mut bytes = Vec::new();
        write_table(&mut bytes, &table);
        assert_eq!(read_table(&bytes[4..]).unwrap(), table);
        assert!(
            read_table(&bytes[4..bytes.len() - 1]).is_err(),
            "a cut table must not read"
        );
    }
}
