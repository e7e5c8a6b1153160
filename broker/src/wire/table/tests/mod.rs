mod limits;
mod values;

use super::super::error::TableError;
use super::*;

/// An entry: key, type octet, value.
fn entry(key: &str, octet: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(key.len()).unwrap()];
    bytes.extend_from_slice(key.as_bytes());
    bytes.push(octet);
    bytes.extend_from_slice(value);
    bytes
}

/// A value after its length.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let mut value = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    value.extend_from_slice(bytes);
    value
}

fn check(bytes: &[u8]) -> Result<(), TableError> {
    validate(bytes, TableLimits::FRAME)
}

#[test]
fn an_empty_table_is_valid_and_yields_nothing() {
    assert_eq!(check(b""), Ok(()));
    assert!(TableReader::EMPTY.is_empty());
    assert_eq!(TableReader::EMPTY.iter().count(), 0);
}

#[test]
fn a_value_that_ends_too_early_is_refused_for_every_type() {
    let widths = [
        (b't', 1),
        (b'b', 1),
        (b'B', 1),
        (b's', 2),
        (b'u', 2),
        (b'I', 4),
        (b'i', 4),
        (b'l', 8),
        (b'L', 8),
        (b'f', 4),
        (b'd', 8),
        (b'D', 5),
        (b'T', 8),
        (b'S', 4),
        (b'x', 4),
        (b'F', 4),
        (b'A', 4),
    ];
    for (octet, width) in widths {
        let whole = entry("k", octet, &vec![0; width]);
        assert_eq!(check(&whole), Ok(()), "{}", char::from(octet));
        for length in 1..whole.len() {
            let refused = check(&whole[..length]);
            assert_eq!(
                refused,
                Err(TableError::Truncated { offset: 0 }),
                "{}",
                char::from(octet)
            );
        }
    }
}

#[test]
fn the_width_of_every_type_is_exact() {
    for octet in *b"tbBsuIilLfdDTSxFA" {
        let too_long = entry("k", octet, &[0; 9]);
        assert!(check(&too_long).is_err(), "{}", char::from(octet));
    }
}

#[test]
fn unknown_types_are_refused_with_their_place() {
    let known = *b"tbBsuIilLfdDSTFAVx";
    for octet in (0..=255).filter(|octet| !known.contains(octet)) {
        let mut bytes = entry("first", b'V', b"");
        let offset = bytes.len() + 4;
        bytes.extend_from_slice(&entry("key", octet, b""));
        assert_eq!(
            check(&bytes),
            Err(TableError::UnknownType { octet, offset })
        );
    }
}

#[test]
fn a_nested_table_ends_exactly_where_its_length_says() {
    let inner = entry("n", b'I', &[0, 0, 0, 1]);
    assert_eq!(check(&entry("k", b'F', &sized(&inner))), Ok(()));
    for (length, name) in [(inner.len() - 1, "shorter"), (inner.len() + 1, "longer")] {
        let mut value = u32::try_from(length).unwrap().to_be_bytes().to_vec();
        value.extend_from_slice(&inner);
        value.extend_from_slice(&entry("after", b'V', b""));
        assert!(check(&entry("k", b'F', &value)).is_err(), "{name}");
    }
}

#[test]
fn a_value_must_not_reach_over_the_end_of_its_parent() {
    let text = entry("n", b'S', &[0, 0, 0, 9, b'x']);
    let mut bytes = entry("k", b'F', &sized(&text));
    bytes.extend_from_slice(&entry("longer", b'l', &[0; 8]));
    assert!(matches!(check(&bytes), Err(TableError::Truncated { .. })));
}

#[test]
fn lengths_near_the_limit_of_their_type_are_refused() {
    for octet in *b"SxFA" {
        for length in [0x7FFF_FFFF_u32, 0x8000_0000, u32::MAX] {
            let bytes = entry("k", octet, &length.to_be_bytes());
            assert_eq!(check(&bytes), Err(TableError::Truncated { offset: 0 }));
        }
    }
}

#[test]
fn keys_may_be_any_octets_unless_they_must_be_text() {
    let bytes = [1, 0xFF, b'V'];
    assert_eq!(check(&bytes), Ok(()));
    let refused = validate_keyed_by_text(&bytes, TableLimits::FRAME);
    assert_eq!(refused, Err(TableError::KeyNotText { offset: 0 }));
}

#[test]
fn the_first_of_duplicate_keys_counts_everywhere() {
    let mut bytes = entry("k", b'B', &[1]);
    bytes.extend_from_slice(&entry("k", b'B', &[2]));
    let table = TableReader::new(&bytes);
    assert_eq!(table.get("k"), Some(Value::ShortShortUint(1)));
    assert_eq!(table.iter().count(), 2);
    let decoded = table.to_field_table().unwrap();
    let value = decoded.inner().get("k");
    assert_eq!(
        value,
        Some(&amq_protocol::types::AMQPValue::ShortShortUInt(1))
    );
}

#[test]
fn iteration_stops_at_the_first_malformed_entry() {
    let mut bytes = entry("good", b'V', b"");
    bytes.extend_from_slice(&entry("bad", b'Z', b""));
    bytes.extend_from_slice(&entry("never", b'V', b""));
    let keys: Vec<_> = TableReader::new(&bytes)
        .iter()
        .map(|entry| entry.key)
        .collect();
    assert_eq!(keys, [b"good"]);
    let values: Vec<_> = ArrayReader::new(b"VZV").iter().collect();
    assert_eq!(values, [Value::Void]);
}

#[test]
fn copied_entries_keep_every_octet() {
    let mut bytes = entry("a", b'L', &[0xFF; 8]);
    bytes.extend_from_slice(&entry("drop", b'V', b""));
    bytes.extend_from_slice(&[1, 0xFF, b't', 7]);
    let mut kept = TableWriter::new();
    for entry in TableReader::new(&bytes)
        .iter()
        .filter(|entry| entry.key != b"drop")
    {
        kept.copy(&entry);
    }
    let mut expected = entry("a", b'L', &[0xFF; 8]);
    expected.extend_from_slice(&[1, 0xFF, b't', 7]);
    assert_eq!(kept.finish(), expected);
}
