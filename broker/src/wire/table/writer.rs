//! Building tables and arrays entry by entry.

use super::super::arguments::{write_long_string, write_short_string};
use super::super::error::EncodeError;
use super::reader::{Entry, TableReader};
use super::value::Value;

/// Builds the bytes of a table.
#[derive(Clone, Debug, Default)]
pub struct TableWriter {
    bytes: Vec<u8>,
}

impl TableWriter {
    /// Starts an empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an entry.
    ///
    /// # Errors
    ///
    /// If the key is longer than 255 octets; the table is then unchanged.
    pub fn entry(
        &mut self,
        key: impl AsRef<[u8]>,
        value: Value<'_>,
    ) -> Result<&mut Self, EncodeError> {
        let start = self.bytes.len();
        write_short_string(&mut self.bytes, key.as_ref())
            .and_then(|()| write_value(&mut self.bytes, value))
            .inspect_err(|_| self.bytes.truncate(start))?;
        Ok(self)
    }

    /// Appends an entry of another table, octet by octet as it is there.
    pub fn copy(&mut self, entry: &Entry<'_>) -> &mut Self {
        self.bytes.extend_from_slice(entry.bytes);
        self
    }

    /// The table so far.
    #[must_use]
    pub fn as_reader(&self) -> TableReader<'_> {
        TableReader::new(&self.bytes)
    }

    /// The bytes of the table, without a length before them.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Builds the bytes of an array.
#[derive(Clone, Debug, Default)]
pub struct ArrayWriter {
    bytes: Vec<u8>,
}

impl ArrayWriter {
    /// Starts an empty array.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a value.
    ///
    /// # Errors
    ///
    /// If the value has no room in a field; the array is then unchanged.
    pub fn push(&mut self, value: Value<'_>) -> Result<&mut Self, EncodeError> {
        let start = self.bytes.len();
        write_value(&mut self.bytes, value).inspect_err(|_| self.bytes.truncate(start))?;
        Ok(self)
    }

    /// The bytes of the array, without a length before them.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Appends type octet and value.
pub(super) fn write_value(buffer: &mut Vec<u8>, value: Value<'_>) -> Result<(), EncodeError> {
    buffer.push(value.type_octet());
    match value {
        Value::Boolean(value) => buffer.push(value.into()),
        Value::ShortShortInt(value) => buffer.extend_from_slice(&value.to_be_bytes()),
        Value::ShortShortUint(value) => buffer.push(value),
        Value::ShortInt(value) => buffer.extend_from_slice(&value.to_be_bytes()),
        Value::ShortUint(value) => buffer.extend_from_slice(&value.to_be_bytes()),
        Value::LongInt(value) => buffer.extend_from_slice(&value.to_be_bytes()),
        Value::LongUint(value) => buffer.extend_from_slice(&value.to_be_bytes()),
        Value::LongLongInt(value) => buffer.extend_from_slice(&value.to_be_bytes()),
        Value::Float(value) => buffer.extend_from_slice(&value.to_be_bytes()),
        Value::Double(value) => buffer.extend_from_slice(&value.to_be_bytes()),
        Value::Decimal { scale, value } => {
            buffer.push(scale);
            buffer.extend_from_slice(&value.to_be_bytes());
        }
        Value::Timestamp(value) => buffer.extend_from_slice(&value.to_be_bytes()),
        Value::LongString(octets) | Value::ByteArray(octets) => {
            return write_long_string(buffer, octets);
        }
        Value::Table(table) => return write_long_string(buffer, table.as_bytes()),
        Value::Array(array) => return write_long_string(buffer, array.as_bytes()),
        Value::Void => {}
    }
    Ok(())
}
