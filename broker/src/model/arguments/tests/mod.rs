//! Every text and every order here was read off a RabbitMQ 4.3.6.

mod differences;
mod kinds;
mod others;
mod values;

use std::num::NonZeroU64;
use std::sync::Arc;

use FieldValue::{
    Array, Binary, Boolean, Byte, Decimal, Double, Float, Long, LongString, Short, SignedInt,
    Table, Timestamp, UnsignedByte, UnsignedInt, UnsignedShort, Void,
};

use super::*;
use crate::model::fields::{FieldValue, Fields, NoFields};

const CLASSIC: (&str, FieldValue<'_>) = ("x-queue-type", LongString(b"classic"));
const QUORUM: (&str, FieldValue<'_>) = ("x-queue-type", LongString(b"quorum"));
const DURABLE: QueueProperties = QueueProperties {
    server_named: false,
    durable: true,
    exclusive: false,
    auto_delete: false,
};

/// One value of every type that is no integer.
const NO_INTEGERS: [FieldValue<'static>; 11] = [
    Boolean(true),
    Float(5.0),
    Double(5.0),
    Decimal { scale: 0, value: 5 },
    LongString(b"5"),
    LongString(b""),
    Timestamp(5),
    Table(b""),
    Array(b""),
    Void,
    Binary(b"5"),
];

const FIVES: [FieldValue<'static>; 7] = [
    Byte(5),
    UnsignedByte(5),
    Short(5),
    UnsignedShort(5),
    SignedInt(5),
    UnsignedInt(5),
    Long(5),
];

fn parse(fields: &[(&str, FieldValue<'_>)]) -> Result<QueueArguments, String> {
    QueueArguments::parse(&fields, DURABLE).map_err(refusal)
}

/// The text that a client sees, without what is the same every time.
fn refusal(error: ArgumentError) -> String {
    let refusal = error.for_queue(&"q".into(), &"/".into());
    assert_eq!(refusal.code, ReplyCode::PreconditionFailed);
    refusal.text.replace(" queue 'q' in vhost '/'", " Q")
}

fn text(text: &'static str) -> FieldValue<'static> {
    LongString(text.as_bytes())
}

/// Takes away the argument that is complained about until nobody complains.
fn order_of_complaints(
    fields: &mut Vec<(&'static str, FieldValue<'static>)>,
    complaint: impl Fn(&[(&'static str, FieldValue<'static>)]) -> Option<&'static str>,
) -> Vec<&'static str> {
    let mut order = Vec::new();
    while let Some(argument) = complaint(fields) {
        fields.retain(|(name, _)| *name != argument);
        order.push(argument);
    }
    order
}
