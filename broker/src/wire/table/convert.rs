//! Between raw tables and the decoded ones of `amq-protocol`.

use std::collections::BTreeMap;

use amq_protocol::types::{
    AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable, LongString, ShortString,
};

use super::super::error::{EncodeError, TableError};
use super::reader::{ArrayReader, TableReader};
use super::validate::{TableLimits, validate_keyed_by_text};
use super::value::Value;
use super::writer::write_value;

impl TableReader<'_> {
    /// Decodes the table. Order and all but the first of duplicate keys are lost, and `L` becomes
    /// `l`; whoever passes a table on keeps the bytes instead.
    ///
    /// # Errors
    ///
    /// If the bytes are no table within the limits of a frame, or a key is not UTF-8. Tables that
    /// came as method arguments never fail.
    pub fn to_field_table(self) -> Result<FieldTable, TableError> {
        validate_keyed_by_text(self.as_bytes(), TableLimits::FRAME)?;
        Ok(decode_table(self))
    }
}

/// The recursion is as deep as the validator allows.
fn decode_table(table: TableReader<'_>) -> FieldTable {
    let mut decoded = BTreeMap::new();
    for entry in table {
        let key = String::from_utf8_lossy(entry.key);
        if let Ok(key) = ShortString::try_new(key) {
            decoded
                .entry(key)
                .or_insert_with(|| decode_value(entry.value));
        }
    }
    decoded.into()
}

fn decode_array(array: ArrayReader<'_>) -> FieldArray {
    array.iter().map(decode_value).collect::<Vec<_>>().into()
}

fn decode_value(value: Value<'_>) -> AMQPValue {
    match value {
        Value::Boolean(value) => AMQPValue::Boolean(value),
        Value::ShortShortInt(value) => AMQPValue::ShortShortInt(value),
        Value::ShortShortUint(value) => AMQPValue::ShortShortUInt(value),
        Value::ShortInt(value) => AMQPValue::ShortInt(value),
        Value::ShortUint(value) => AMQPValue::ShortUInt(value),
        Value::LongInt(value) => AMQPValue::LongInt(value),
        Value::LongUint(value) => AMQPValue::LongUInt(value),
        Value::LongLongInt(value) => AMQPValue::LongLongInt(value),
        Value::Float(value) => AMQPValue::Float(value),
        Value::Double(value) => AMQPValue::Double(value),
        Value::Decimal { scale, value } => AMQPValue::DecimalValue(DecimalValue { scale, value }),
        Value::LongString(octets) => AMQPValue::LongString(LongString::from(octets)),
        Value::Timestamp(value) => AMQPValue::Timestamp(value),
        Value::Table(table) => AMQPValue::FieldTable(decode_table(table)),
        Value::Array(array) => AMQPValue::FieldArray(decode_array(array)),
        Value::ByteArray(octets) => AMQPValue::ByteArray(ByteArray::from(octets)),
        Value::Void => AMQPValue::Void,
    }
}

/// Encodes a decoded table, without a length before it.
///
/// # Errors
///
/// If it is nested deeper than a frame may carry, or a field is too long.
pub fn encode_table(table: &FieldTable) -> Result<Vec<u8>, EncodeError> {
    let mut buffer = Vec::new();
    write_table(&mut buffer, table, 1)?;
    Ok(buffer)
}

fn write_table(buffer: &mut Vec<u8>, table: &FieldTable, depth: usize) -> Result<(), EncodeError> {
    for (key, value) in table {
        super::super::arguments::write_short_string(buffer, key.as_str().as_bytes())?;
        write_decoded(buffer, value, depth)?;
    }
    Ok(())
}

fn write_decoded(buffer: &mut Vec<u8>, value: &AMQPValue, depth: usize) -> Result<(), EncodeError> {
    let flat = match value {
        AMQPValue::FieldTable(table) => {
            return write_nested(buffer, b'F', depth, |buffer, depth| {
                write_table(buffer, table, depth)
            });
        }
        AMQPValue::FieldArray(array) => {
            return write_nested(buffer, b'A', depth, |buffer, depth| {
                array
                    .as_slice()
                    .iter()
                    .try_for_each(|value| write_decoded(buffer, value, depth))
            });
        }
        AMQPValue::Boolean(value) => Value::Boolean(*value),
        AMQPValue::ShortShortInt(value) => Value::ShortShortInt(*value),
        AMQPValue::ShortShortUInt(value) => Value::ShortShortUint(*value),
        AMQPValue::ShortInt(value) => Value::ShortInt(*value),
        AMQPValue::ShortUInt(value) => Value::ShortUint(*value),
        AMQPValue::LongInt(value) => Value::LongInt(*value),
        AMQPValue::LongUInt(value) => Value::LongUint(*value),
        AMQPValue::LongLongInt(value) => Value::LongLongInt(*value),
        AMQPValue::Float(value) => Value::Float(*value),
        AMQPValue::Double(value) => Value::Double(*value),
        AMQPValue::DecimalValue(DecimalValue { scale, value }) => Value::Decimal {
            scale: *scale,
            value: *value,
        },
        // Tables have no type octet for short strings that RabbitMQ would read as text.
        AMQPValue::ShortString(text) => Value::LongString(text.as_str().as_bytes()),
        AMQPValue::LongString(text) => Value::LongString(text.as_bytes()),
        AMQPValue::Timestamp(value) => Value::Timestamp(*value),
        AMQPValue::ByteArray(octets) => Value::ByteArray(octets.as_slice()),
        AMQPValue::Void => Value::Void,
    };
    write_value(buffer, flat)
}

fn write_nested(
    buffer: &mut Vec<u8>,
    octet: u8,
    depth: usize,
    content: impl FnOnce(&mut Vec<u8>, usize) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let limit = TableLimits::FRAME.depth_max;
    if depth >= limit {
        return Err(EncodeError::TooDeep { limit });
    }
    buffer.push(octet);
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    content(buffer, depth + 1)?;
    let octets = buffer.len() - start - 4;
    let length = u32::try_from(octets).map_err(|_| EncodeError::FieldTooLong { octets })?;
    buffer[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}
