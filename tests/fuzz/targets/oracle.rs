//! `amq-protocol` as the oracle, called on nothing that could exhaust its stack.
//!
//! Where it differs from us and from RabbitMQ:
//!
//! - it has no limit on nesting or entries, and reads a type `U`;
//! - of duplicate keys it keeps the last, we the first;
//! - it turns `L` into `l` and sorts tables, and drops reserved arguments and the prefetch size;
//! - it wants text in keys and in the short strings of properties.

use amq_protocol::frame::{AMQPFrame, WriteContext, gen_frame};
use amq_protocol::protocol::basic::{AMQPProperties, parse_properties};
use amq_protocol::protocol::{AMQPClass, parse_class};
use amq_protocol::types::FieldTable;
use amq_protocol::types::parsing::parse_field_table;
use leveret::wire::{TableError, TableReader, Value};

/// Whether the oracle may be asked about a table that we refused for this reason, and must refuse
/// it too.
pub(crate) fn shares(refusal: TableError) -> bool {
    match refusal {
        TableError::Truncated { .. } | TableError::KeyNotText { .. } => true,
        TableError::UnknownType { octet, .. } => octet != b'U',
        TableError::TooDeep { .. } | TableError::TooManyEntries { .. } => false,
    }
}

/// The class and method in a payload that it fills exactly.
pub(crate) fn parse_method(payload: &[u8]) -> Option<AMQPClass> {
    parse_class(payload)
        .ok()
        .filter(|(rest, _)| rest.is_empty())
        .map(|(_, class)| class)
}

/// The properties in bytes that they fill exactly.
pub(crate) fn parse_all_properties(bytes: &[u8]) -> Option<AMQPProperties> {
    parse_properties(bytes)
        .ok()
        .filter(|(rest, _)| rest.is_empty())
        .map(|(_, found)| found)
}

/// A table without a length before it.
pub(crate) fn parse_table(bytes: &[u8]) -> Option<FieldTable> {
    let length = u32::try_from(bytes.len()).ok()?;
    let sized = [&length.to_be_bytes(), bytes].concat();
    parse_field_table(&sized[..]).ok().map(|(_, table)| table)
}

/// The payload of a method frame. Comparing octets is kinder to NaN than comparing values.
pub(crate) fn write_method(class: AMQPClass) -> Vec<u8> {
    let frame = write_frame(&AMQPFrame::Method(0, class));
    frame[7..frame.len() - 1].to_vec()
}

/// A whole frame.
pub(crate) fn write_frame(frame: &AMQPFrame) -> Vec<u8> {
    gen_frame::<Vec<u8>>(frame)(WriteContext::from(Vec::new()))
        .expect("a vector takes every frame")
        .into_inner()
        .0
}

/// Whether a key occurs twice in one table, on any level.
pub(crate) fn has_duplicates(table: TableReader<'_>) -> bool {
    let mut keys: Vec<_> = table.iter().map(|entry| entry.key).collect();
    let entries = keys.len();
    keys.sort_unstable();
    keys.dedup();
    keys.len() < entries || table.iter().any(|entry| holds_duplicates(entry.value))
}

fn holds_duplicates(value: Value<'_>) -> bool {
    match value {
        Value::Table(table) => has_duplicates(table),
        Value::Array(array) => array.iter().any(holds_duplicates),
        _ => false,
    }
}
