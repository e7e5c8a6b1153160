//! Every text and every order here was read off a RabbitMQ 4.3.6.

mod differences;
mod duplicates;
mod kinds;
mod others;
mod values;

use std::num::NonZeroU64;
use std::sync::Arc;

use Value::{
    Array, Boolean, ByteArray, Decimal, Double, Float, LongInt, LongLongInt, LongString, LongUint,
    ShortInt, ShortShortInt, ShortShortUint, ShortUint, Table, Timestamp, Void,
};

use super::*;
use crate::wire::table::ArrayReader;
use crate::wire::{TableReader, TableWriter, Value};

const CLASSIC: (&str, Value<'_>) = ("x-queue-type", LongString(b"classic"));
const QUORUM: (&str, Value<'_>) = ("x-queue-type", LongString(b"quorum"));
const DURABLE: QueueProperties = QueueProperties {
    server_named: false,
    durable: true,
    exclusive: false,
    auto_delete: false,
};

/// One value of every type that is no integer.
fn no_integers() -> [Value<'static>; 11] {
    [
        Boolean(true),
        Float(5.0),
        Double(5.0),
        Decimal { scale: 0, value: 5 },
        LongString(b"5"),
        LongString(b""),
        Timestamp(5),
        Table(TableReader::EMPTY),
        Array(ArrayReader::default()),
        Void,
        ByteArray(b"5"),
    ]
}

const FIVES: [Value<'static>; 7] = [
    ShortShortInt(5),
    ShortShortUint(5),
    ShortInt(5),
    ShortUint(5),
    LongInt(5),
    LongUint(5),
    LongLongInt(5),
];

fn table(fields: &[(&str, Value<'_>)]) -> TableWriter {
    let mut table = TableWriter::new();
    for (name, value) in fields {
        table.entry(name, *value).expect("fits");
    }
    table
}

fn parse(fields: &[(&str, Value<'_>)]) -> Result<QueueArguments, String> {
    parse_with(fields, DURABLE)
}

fn parse_with(
    fields: &[(&str, Value<'_>)],
    properties: QueueProperties,
) -> Result<QueueArguments, String> {
    QueueArguments::parse(table(fields).as_reader(), properties).map_err(refusal)
}

/// The text that a client sees, without what is the same every time.
fn refusal(error: ArgumentError) -> String {
    let refusal = error.for_queue(&"q".into(), &"/".into());
    assert_eq!(refusal.code, ReplyCode::PreconditionFailed);
    refusal.text.replace(" queue 'q' in vhost '/'", " Q")
}

fn text(text: &'static str) -> Value<'static> {
    LongString(text.as_bytes())
}

/// Takes away the argument that is complained about until nobody complains.
fn order_of_complaints(
    fields: &mut Vec<(&'static str, Value<'static>)>,
    complaint: impl Fn(&[(&'static str, Value<'static>)]) -> Option<&'static str>,
) -> Vec<&'static str> {
    let mut order = Vec::new();
    while let Some(argument) = complaint(fields) {
        fields.retain(|(name, _)| *name != argument);
        order.push(argument);
    }
    order
}
