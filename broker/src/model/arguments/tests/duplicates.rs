//! Arguments by which a queue tells duplicates.

use std::num::NonZeroU64;

use super::*;
use crate::model::{Deduplication, DeduplicationLimits, Retention};

const ON: (&str, Value<'_>) = ("x-message-deduplication", Boolean(true));

fn parsed(fields: &[(&str, Value<'_>)]) -> Option<Deduplication> {
    let arguments = parse(fields).expect("acceptable arguments");
    arguments.deduplication.map(|deduplication| *deduplication)
}

/// Spec 4.3.2.
#[test]
fn a_size_or_a_time_makes_a_window_of_it() {
    let window = |ttl_ms: u64| Retention::Window {
        ttl_ms: NonZeroU64::new(ttl_ms),
    };
    let cases = [
        (vec![ON], Retention::WhileQueued, None),
        (
            vec![ON, ("x-cache-size", LongInt(7))],
            window(0),
            NonZeroU64::new(7),
        ),
        (vec![ON, ("x-cache-ttl", LongInt(9))], window(9), None),
    ];
    for (fields, retention, keys_max) in cases {
        let expected = Deduplication {
            header: (*b"x-deduplication-header").into(),
            retention,
            keys_max,
        };
        assert_eq!(parsed(&fields), Some(expected));
        assert_eq!(parsed(&[&fields[..], &[QUORUM]].concat()), parsed(&fields));
    }
    let named = parsed(&[ON, ("x-deduplication-header", text("id"))]).expect("it is on");
    assert_eq!(*named.header, *b"id");
}

/// Spec 4.3.2.
#[test]
fn what_is_wrong_is_refused_where_it_means_something() {
    let size_zero = "invalid arg 'x-cache-size' for Q: {value_zero,0}";
    let cases = [
        ("x-cache-size", LongInt(0), size_zero),
        (
            "x-cache-size",
            LongInt(-1),
            "invalid arg 'x-cache-size' for Q: {value_negative,-1}",
        ),
        (
            "x-cache-size",
            text("5"),
            "invalid arg 'x-cache-size' for Q: \"expected integer, got longstr\"",
        ),
        (
            "x-cache-ttl",
            LongInt(0),
            "invalid arg 'x-cache-ttl' for Q: {value_zero,0}",
        ),
        (
            "x-deduplication-header",
            LongInt(5),
            "invalid arg 'x-deduplication-header' for Q: {unacceptable_type,signedint}",
        ),
    ];
    for (argument, value, expected) in cases {
        assert_eq!(parse(&[ON, (argument, value)]), Err(expected.to_owned()));
        let off = ("x-message-deduplication", Boolean(false));
        assert_eq!(parsed(&[off, (argument, value)]), None);
        assert_eq!(parsed(&[(argument, value)]), None);
    }
    assert_eq!(
        parse(&[("x-message-deduplication", text("true"))]),
        Err("invalid arg 'x-message-deduplication' for Q: {unacceptable_type,longstr}".to_owned())
    );
}

/// Spec 4.3.2.
#[test]
fn the_broker_says_how_many_keys_there_may_be() {
    let number = |number| NonZeroU64::new(number).expect("above 0");
    let limits = DeduplicationLimits {
        keys: number(10),
        keys_max: number(20),
    };
    let of_size = |size| parse(&[ON, ("x-cache-size", LongInt(size))]).expect("acceptable");
    let keys_max = |arguments: QueueArguments| arguments.deduplication.and_then(|on| on.keys_max);
    let said = of_size(20).limit_deduplication(limits).map(keys_max);
    assert_eq!(said, Ok(NonZeroU64::new(20)));
    let unsaid = parse(&[ON])
        .expect("acceptable")
        .limit_deduplication(limits);
    assert_eq!(unsaid.map(keys_max), Ok(NonZeroU64::new(10)));
    let error = of_size(21)
        .limit_deduplication(limits)
        .expect_err("too many");
    assert_eq!(
        error.to_string(),
        "invalid arg 'x-cache-size': {max_value_exceeded,21}"
    );
    let confined = of_size(21).confine_deduplication(limits);
    assert_eq!(keys_max(confined), NonZeroU64::new(20));
}
