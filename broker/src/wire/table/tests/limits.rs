//! Hostile tables: nested without end, or made of values without width.

use std::thread;

use super::*;

/// `depth` containers around nothing; the outermost table counts as the first level.
fn nested(depth: usize, container: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    for level in (1..depth).rev() {
        let value = sized(&bytes);
        let in_array = level > 1 && container == b'A';
        bytes = if in_array {
            [vec![b'A'], value].concat()
        } else {
            entry("", container, &value)
        };
    }
    bytes
}

/// As [`nested`] but built from the outside in, so that depth costs no time.
fn deep(depth: usize) -> Vec<u8> {
    const STEP: usize = 6;
    let mut bytes = Vec::new();
    for level in 1..depth {
        bytes.extend_from_slice(&[0, b'F']);
        let inner = u32::try_from((depth - 1 - level) * STEP).unwrap();
        bytes.extend_from_slice(&inner.to_be_bytes());
    }
    bytes
}

#[test]
fn a_hundred_levels_are_accepted_and_more_are_not() {
    for container in *b"FA" {
        assert_eq!(check(&nested(100, container)), Ok(()));
        let refused = check(&nested(101, container));
        assert_eq!(refused, Err(TableError::TooDeep { limit: 100 }));
    }
}

#[test]
fn a_limit_above_the_ceiling_still_stops_at_the_ceiling() {
    let limits = TableLimits {
        depth_max: usize::MAX,
        entries_max: usize::MAX,
    };
    let refused = validate(&nested(101, b'F'), limits);
    assert_eq!(refused, Err(TableError::TooDeep { limit: 100 }));
}

#[test]
fn nesting_of_any_depth_needs_no_stack() {
    const STACK: usize = 64 * 1024;
    let refuse = || {
        for depth in [101, 1_000, 20_000] {
            let bytes = deep(depth);
            assert_eq!(
                check(&bytes),
                Err(TableError::TooDeep { limit: 100 }),
                "{depth}"
            );
            let decoded = TableReader::new(&bytes).to_field_table();
            assert_eq!(decoded, Err(TableError::TooDeep { limit: 100 }));
            assert_eq!(TableReader::new(&bytes).iter().count(), 1);
        }
    };
    thread::Builder::new()
        .stack_size(STACK)
        .spawn(refuse)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn the_deepest_accepted_table_decodes_and_encodes_again() {
    for container in *b"FA" {
        let bytes = nested(100, container);
        let decoded = TableReader::new(&bytes).to_field_table().unwrap();
        assert_eq!(encode_table(&decoded).unwrap(), bytes);
    }
}

#[test]
fn a_decoded_table_that_is_too_deep_is_not_encoded() {
    use amq_protocol::types::{AMQPValue, FieldTable};

    let mut table = FieldTable::default();
    for _ in 0..100 {
        let mut outer = FieldTable::default();
        outer.insert("k".into(), AMQPValue::FieldTable(table));
        table = outer;
    }
    assert_eq!(
        encode_table(&table),
        Err(crate::wire::EncodeError::TooDeep { limit: 100 })
    );
}

#[test]
fn values_without_width_count_as_entries() {
    let array = |length: usize| entry("k", b'A', &sized(&vec![b'V'; length]));
    assert_eq!(check(&array(9_999)), Ok(()));
    assert_eq!(
        check(&array(10_000)),
        Err(TableError::TooManyEntries { limit: 10_000 })
    );
}

#[test]
fn entries_are_counted_over_all_levels() {
    let inner = entry("", b'V', b"").repeat(6_000);
    let mut bytes = entry("a", b'F', &sized(&inner));
    assert_eq!(check(&bytes), Ok(()));
    bytes.extend_from_slice(&entry("b", b'F', &sized(&inner)));
    assert_eq!(
        check(&bytes),
        Err(TableError::TooManyEntries { limit: 10_000 })
    );
}

#[test]
fn empty_containers_side_by_side_do_not_add_up_to_depth() {
    let bytes = entry("k", b'F', &sized(b"")).repeat(1_000);
    assert_eq!(check(&bytes), Ok(()));
}
