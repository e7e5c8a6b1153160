//! What values mean, read and written.

use std::collections::BTreeMap;

use amq_protocol::types::{AMQPValue, DecimalValue};

use super::*;

/// A value in its three forms.
#[derive(Clone)]
struct Sample {
    octet: u8,
    bytes: Vec<u8>,
    value: Value<'static>,
    decoded: AMQPValue,
}

fn sample(octet: u8, bytes: &[u8], value: Value<'static>, decoded: AMQPValue) -> Sample {
    Sample {
        octet,
        bytes: bytes.to_vec(),
        value,
        decoded,
    }
}

fn samples() -> Vec<Sample> {
    [integers(), numbers(), sized_values()].concat()
}

fn integers() -> Vec<Sample> {
    vec![
        sample(b't', &[1], Value::Boolean(true), AMQPValue::Boolean(true)),
        sample(b't', &[0], Value::Boolean(false), AMQPValue::Boolean(false)),
        sample(
            b'b',
            &[0xFF],
            Value::ShortShortInt(-1),
            AMQPValue::ShortShortInt(-1),
        ),
        sample(
            b'B',
            &[0xFF],
            Value::ShortShortUint(255),
            AMQPValue::ShortShortUInt(255),
        ),
        sample(
            b's',
            &[0xFF, 0xFE],
            Value::ShortInt(-2),
            AMQPValue::ShortInt(-2),
        ),
        sample(
            b'u',
            &[0xFF, 0xFE],
            Value::ShortUint(65_534),
            AMQPValue::ShortUInt(65_534),
        ),
        sample(b'I', &[0xFF; 4], Value::LongInt(-1), AMQPValue::LongInt(-1)),
        sample(
            b'i',
            &[0xFF; 4],
            Value::LongUint(u32::MAX),
            AMQPValue::LongUInt(u32::MAX),
        ),
        sample(
            b'l',
            &[0xFF; 8],
            Value::LongLongInt(-1),
            AMQPValue::LongLongInt(-1),
        ),
    ]
}

fn numbers() -> Vec<Sample> {
    vec![
        sample(
            b'f',
            &[0x3F, 0x80, 0, 0],
            Value::Float(1.0),
            AMQPValue::Float(1.0),
        ),
        sample(
            b'd',
            &[0x3F, 0xF0, 0, 0, 0, 0, 0, 0],
            Value::Double(1.0),
            AMQPValue::Double(1.0),
        ),
        sample(
            b'D',
            &[2, 0, 0, 0, 5],
            Value::Decimal { scale: 2, value: 5 },
            AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 5 }),
        ),
        sample(
            b'T',
            &[0xFF; 8],
            Value::Timestamp(u64::MAX),
            AMQPValue::Timestamp(u64::MAX),
        ),
        sample(b'V', &[], Value::Void, AMQPValue::Void),
    ]
}

fn sized_values() -> Vec<Sample> {
    let void = || BTreeMap::from([("k".into(), AMQPValue::Void)]).into();
    vec![
        sample(
            b'S',
            &[0, 0, 0, 2, b'h', 0xFF],
            Value::LongString(b"h\xFF"),
            AMQPValue::LongString(b"h\xFF".to_vec().into()),
        ),
        sample(
            b'x',
            &[0, 0, 0, 1, 7],
            Value::ByteArray(&[7]),
            AMQPValue::ByteArray(vec![7].into()),
        ),
        sample(
            b'F',
            &[0, 0, 0, 3, 1, b'k', b'V'],
            Value::Table(TableReader::new(b"\x01kV")),
            AMQPValue::FieldTable(void()),
        ),
        sample(
            b'A',
            &[0, 0, 0, 2, b'V', b'V'],
            Value::Array(ArrayReader::new(b"VV")),
            AMQPValue::FieldArray(vec![AMQPValue::Void, AMQPValue::Void].into()),
        ),
    ]
}

#[test]
fn every_type_is_read_with_its_meaning() {
    for Sample {
        octet,
        bytes,
        value,
        decoded,
    } in samples()
    {
        let table = entry("key", octet, &bytes);
        let reader = TableReader::new(&table);
        assert_eq!(reader.get("key"), Some(value));
        let table = reader.to_field_table().unwrap();
        assert_eq!(table.inner().get("key"), Some(&decoded));
    }
}

#[test]
fn every_type_is_written_as_it_was_read() {
    for Sample {
        octet,
        bytes,
        value,
        decoded,
    } in samples()
    {
        let expected = entry("key", octet, &bytes);
        let mut writer = TableWriter::new();
        writer.entry("key", value).unwrap();
        assert_eq!(writer.finish(), expected);
        let mut array = ArrayWriter::new();
        array.push(value).unwrap();
        assert_eq!(array.finish(), expected[4..]);
        let mut table = amq_protocol::types::FieldTable::default();
        table.insert("key".into(), decoded);
        assert_eq!(encode_table(&table).unwrap(), expected);
    }
}

#[test]
fn both_letters_of_the_widest_integer_are_signed() {
    for octet in *b"lL" {
        let table = entry("k", octet, &[0xFF; 8]);
        assert_eq!(
            TableReader::new(&table).get("k"),
            Some(Value::LongLongInt(-1))
        );
    }
}

#[test]
fn any_octet_but_zero_is_true() {
    for (octet, value) in [(0, false), (1, true), (2, true), (255, true)] {
        let table = entry("k", b't', &[octet]);
        assert_eq!(
            TableReader::new(&table).get("k"),
            Some(Value::Boolean(value))
        );
    }
}

#[test]
fn integers_of_all_widths_compare_as_numbers_and_timestamps_do_not() {
    let cases = [
        (Value::ShortShortInt(-5), Some(-5)),
        (Value::ShortShortUint(5), Some(5)),
        (Value::ShortInt(-5), Some(-5)),
        (Value::ShortUint(5), Some(5)),
        (Value::LongInt(-5), Some(-5)),
        (Value::LongUint(u32::MAX), Some(4_294_967_295)),
        (Value::LongLongInt(i64::MIN), Some(i64::MIN)),
        (Value::Timestamp(5), None),
        (Value::Double(5.0), None),
        (Value::Boolean(true), None),
        (Value::LongString(b"5"), None),
    ];
    for (value, integer) in cases {
        assert_eq!(value.as_integer(), integer, "{value:?}");
    }
}

#[test]
fn only_valid_utf8_in_a_long_string_is_text() {
    let cases = [
        (Value::LongString(b"text"), Some("text"), Some(&b"text"[..])),
        (Value::LongString(b"\xFF"), None, Some(b"\xFF")),
        (Value::ByteArray(b"text"), None, Some(b"text")),
        (Value::Void, None, None),
    ];
    for (value, text, octets) in cases {
        assert_eq!(value.as_text(), text);
        assert_eq!(value.as_octets(), octets);
    }
}

#[test]
fn a_key_that_is_too_long_is_refused_and_leaves_the_table_as_it_was() {
    let mut writer = TableWriter::new();
    writer.entry("k".repeat(255), Value::Void).unwrap();
    let before = writer.as_reader().as_bytes().to_vec();
    let refused = writer.entry("k".repeat(256), Value::Void).err();
    assert_eq!(
        refused,
        Some(crate::wire::EncodeError::ShortStringTooLong { octets: 256 })
    );
    assert_eq!(writer.finish(), before);
}
