//! What a single argument may be.

use super::*;

/// Spec 4.3.
#[test]
fn numbers_are_of_any_integer_type_and_nothing_else() {
    let arguments = [
        (CLASSIC, "x-message-ttl"),
        (CLASSIC, "x-expires"),
        (CLASSIC, "x-max-length"),
        (CLASSIC, "x-max-length-bytes"),
        (CLASSIC, "x-max-priority"),
        (CLASSIC, "x-queue-version"),
        (CLASSIC, "x-consumer-timeout"),
        (QUORUM, "x-message-ttl"),
        (QUORUM, "x-quorum-initial-group-size"),
        (QUORUM, "x-max-in-memory-length"),
        (QUORUM, "x-max-in-memory-bytes"),
        (QUORUM, "x-consumer-timeout"),
        (QUORUM, "x-consumer-disconnected-timeout"),
    ];
    for (queue_type, argument) in arguments {
        for value in no_integers() {
            let got = value.type_name();
            let expected =
                format!("invalid arg '{argument}' for Q: \"expected integer, got {got}\"");
            assert_eq!(parse(&[queue_type, (argument, value)]), Err(expected));
        }
        for value in FIVES {
            // The only one that takes no 5.
            let is_accepted = argument != "x-queue-version";
            assert_eq!(parse(&[queue_type, (argument, value)]).is_ok(), is_accepted);
        }
        for value in [ShortShortInt(-1), LongLongInt(-1)] {
            let expected = format!("invalid arg '{argument}' for Q: {{value_negative,-1}}");
            assert_eq!(parse(&[queue_type, (argument, value)]), Err(expected));
        }
    }
}

/// Spec 4.3.
#[test]
fn numbers_out_of_range_are_refused_by_name() {
    let cases = [
        (
            CLASSIC,
            "x-message-ttl",
            315_360_000_001,
            "{value_too_large,315360000001}",
        ),
        (
            CLASSIC,
            "x-message-ttl",
            1 << 62,
            "{value_too_large,4611686018427387904}",
        ),
        (CLASSIC, "x-expires", 0, "{value_zero,0}"),
        (
            CLASSIC,
            "x-expires",
            315_360_000_001,
            "{value_too_large,315360000001}",
        ),
        (
            CLASSIC,
            "x-max-length",
            i64::MIN,
            "{value_negative,-9223372036854775808}",
        ),
        (CLASSIC, "x-max-priority", 256, "{max_value_exceeded,256}"),
        (
            CLASSIC,
            "x-queue-version",
            0,
            "\"unsupported queue version '0'\"",
        ),
        (
            CLASSIC,
            "x-queue-version",
            3,
            "\"unsupported queue version '3'\"",
        ),
        (QUORUM, "x-expires", 0, "{value_zero,0}"),
        (QUORUM, "x-quorum-initial-group-size", 0, "{value_zero,0}"),
    ];
    for (queue_type, argument, value, detail) in cases {
        let expected = format!("invalid arg '{argument}' for Q: {detail}");
        assert_eq!(
            parse(&[queue_type, (argument, LongLongInt(value))]),
            Err(expected)
        );
    }
}

/// Spec 4.3.
#[test]
fn numbers_within_their_range_are_kept() {
    let parsed = parse(&[
        ("x-message-ttl", LongLongInt(315_360_000_000)),
        ("x-expires", LongInt(1)),
        ("x-max-length", LongLongInt(i64::MAX)),
        ("x-max-length-bytes", ShortShortUint(0)),
        ("x-max-priority", ShortInt(255)),
        ("x-queue-version", LongInt(1)),
    ])
    .expect("acceptable");
    assert_eq!(
        parsed,
        QueueArguments {
            variant: QueueVariant::Classic {
                max_priority: Some(255)
            },
            message_ttl_ms: Some(315_360_000_000),
            expires_ms: NonZeroU64::new(1),
            max_length: Some(i64::MAX as u64),
            max_length_bytes: Some(0),
            ..QueueArguments::default()
        }
    );
    let zeros = parse(&[
        ("x-message-ttl", ShortShortInt(0)),
        ("x-max-priority", ShortShortInt(0)),
    ]);
    assert_eq!(
        zeros.map(|zeros| (zeros.message_ttl_ms, zeros.variant)),
        Ok((
            Some(0),
            QueueVariant::Classic {
                max_priority: Some(0)
            }
        ))
    );
}

/// Spec 4.3, 4.4.2.
#[test]
fn words_are_texts_and_among_those_that_are_known() {
    let cases = [
        (CLASSIC, "x-overflow", "invalid_overflow"),
        (
            CLASSIC,
            "x-queue-leader-locator",
            "invalid_queue_locator_arg",
        ),
        (QUORUM, "x-overflow", "invalid_overflow"),
        (
            QUORUM,
            "x-queue-leader-locator",
            "invalid_queue_locator_arg",
        ),
        (QUORUM, "x-dead-letter-strategy", "invalid_dlx_strategy"),
    ];
    for (queue_type, argument, mistake) in cases {
        let refused = |value| parse(&[queue_type, (argument, value)]);
        for word in ["", "5", "Drop-Head"] {
            let expected = format!("invalid arg '{argument}' for Q: {mistake}");
            assert_eq!(refused(text(word)), Err(expected));
        }
        for value in no_integers().into_iter().chain(FIVES) {
            if !matches!(value, LongString(_)) {
                let detail = format!("{{unacceptable_type,{}}}", value.type_name());
                let expected = format!("invalid arg '{argument}' for Q: {detail}");
                assert_eq!(refused(value), Err(expected));
            }
        }
    }
    for word in [
        "client-local",
        "balanced",
        "min-masters",
        "random",
        "least-leaders",
    ] {
        assert!(parse(&[("x-queue-leader-locator", text(word))]).is_ok());
    }
}

/// Spec 4.3.
#[test]
fn the_ways_of_overflowing_are_told_apart() {
    let cases = [
        ("drop-head", Overflow::DropHead),
        ("reject-publish", Overflow::RejectPublish),
        ("reject-publish-dlx", Overflow::RejectPublishDeadLetter),
    ];
    for (word, expected) in cases {
        let parsed = parse(&[("x-overflow", text(word))]);
        assert_eq!(parsed.map(|parsed| parsed.overflow), Ok(Some(expected)));
    }
}

/// Spec 4.3.
#[test]
fn a_single_active_consumer_is_true_or_false() {
    for value in [true, false] {
        let parsed = parse(&[("x-single-active-consumer", Boolean(value))]);
        assert_eq!(
            parsed.map(|parsed| parsed.single_active_consumer),
            Ok(value)
        );
    }
    assert_eq!(
        parse(&[("x-single-active-consumer", text("true"))]),
        Err("invalid arg 'x-single-active-consumer' for Q: {unacceptable_type,longstr}".into())
    );
}

/// Spec 4.3.
#[test]
fn dead_letters_need_an_exchange_before_they_need_a_key() {
    let exchange = ("x-dead-letter-exchange", text("dead"));
    let key = ("x-dead-letter-routing-key", LongString(b"\xffkey"));
    let target = |fields: &[_]| parse(fields).map(|parsed| parsed.dead_letter);
    let named = DeadLetterTarget {
        exchange: "dead".into(),
        routing_key: None,
    };
    assert_eq!(target(&[exchange]), Ok(Some(named.clone())));
    let keyed = DeadLetterTarget {
        routing_key: Some(Arc::from(&b"\xffkey"[..])),
        ..named
    };
    assert_eq!(target(&[key, exchange]), Ok(Some(keyed)));
    let of_key = "invalid arg 'x-dead-letter-routing-key' for Q: ";
    assert_eq!(
        target(&[key]),
        Err(format!("{of_key}routing_key_but_no_dlx_defined"))
    );
    assert_eq!(
        target(&[("x-dead-letter-routing-key", Void)]),
        Err(format!("{of_key}{{unacceptable_type,void}}"))
    );
    assert_eq!(
        target(&[("x-dead-letter-exchange", LongInt(1))]),
        Err("invalid type 'signedint' for arg 'x-dead-letter-exchange' in Q".into())
    );
}

/// A name and a key travel in short strings; what does not fit one could not be delivered.
#[test]
fn names_and_keys_that_no_message_can_carry_are_refused() {
    let long = [b'k'; 256];
    let exchange = |name| ("x-dead-letter-exchange", LongString(name));
    let key = |key| ("x-dead-letter-routing-key", LongString(key));
    assert!(parse(&[exchange(&long[1..]), key(&long[1..])]).is_ok());
    let detail = "\"expected at most 255 bytes, got 256\"";
    for (fields, argument) in [
        ([exchange(&long), key(b"")], "x-dead-letter-exchange"),
        ([exchange(b""), key(&long)], "x-dead-letter-routing-key"),
    ] {
        let expected = format!("invalid arg '{argument}' for Q: {detail}");
        assert_eq!(parse(&fields), Err(expected));
    }
    assert_eq!(
        parse(&[exchange(b"\xff")]),
        Err("invalid arg 'x-dead-letter-exchange' for Q: \"expected UTF-8, got 'ÿ'\"".into())
    );
}

/// The first of two fields with one name counts.
#[test]
fn an_argument_that_is_sent_twice_counts_once() {
    let good = ("x-message-ttl", LongInt(1));
    let bad = ("x-message-ttl", text("a"));
    assert_eq!(
        parse(&[good, bad]).map(|parsed| parsed.message_ttl_ms),
        Ok(Some(1))
    );
    assert!(parse(&[bad, good]).is_err());
}
