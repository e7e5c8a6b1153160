//! What the types of queues know and demand.

use super::*;

/// Spec 4.3, 4.4.4.
#[test]
fn a_queue_type_is_classic_or_quorum() {
    let variant = |value| parse(&[("x-queue-type", value)]).map(|parsed| parsed.queue_type());
    for word in ["classic", ""] {
        assert_eq!(variant(text(word)), Ok(QueueType::Classic));
    }
    assert_eq!(variant(text("quorum")), Ok(QueueType::Quorum));
    for word in ["stream", "Classic", "rabbit_classic_queue", "é'"] {
        let detail = format!("\"unsupported queue type '{word}'\"");
        let expected = format!("invalid arg 'x-queue-type' for Q: {detail}");
        assert_eq!(variant(text(word)), Err(expected));
    }
    assert_eq!(
        variant(LongInt(1)),
        Err("invalid arg 'x-queue-type' for Q: {unacceptable_type,signedint}".into())
    );
}

/// Spec 4.3.1.
#[test]
fn arguments_of_another_type_of_queue_are_refused_whatever_their_value() {
    let cases = [
        (CLASSIC, "x-max-age"),
        (CLASSIC, "x-dead-letter-strategy"),
        (CLASSIC, "x-delayed-retry-min"),
        (QUORUM, "x-max-priority"),
        (QUORUM, "x-queue-mode"),
        (QUORUM, "x-queue-version"),
        (QUORUM, "x-queue-master-locator"),
        (QUORUM, "x-stream-filter-size-bytes"),
    ];
    for (queue_type, argument) in cases {
        let LongString(own) = queue_type.1 else {
            unreachable!()
        };
        let own = String::from_utf8_lossy(own);
        let expected = format!("invalid arg '{argument}' for Q of queue type rabbit_{own}_queue");
        for value in [LongInt(1), text("a"), Void] {
            assert_eq!(
                parse(&[queue_type, (argument, value)]),
                Err(expected.clone())
            );
        }
    }
}

/// Spec 4.3, 4.3.1.
#[test]
fn arguments_that_mean_nothing_here_are_accepted_with_any_value() {
    let classic = [
        "x-queue-mode",
        "x-queue-master-locator",
        "x-name-prefix",
        "ha-mode",
        "x-a",
    ];
    let quorum = [
        "x-quorum-target-group-size",
        "x-member-placement-tag",
        "x-name-prefix",
    ];
    for value in no_integers().into_iter().chain(FIVES) {
        for argument in classic {
            assert_eq!(parse(&[(argument, value)]), Ok(QueueArguments::default()));
        }
        for argument in quorum {
            assert_eq!(parse(&[QUORUM, (argument, value)]), parse(&[QUORUM]));
        }
    }
}

/// Spec 4.4.2.
#[test]
fn a_quorum_queue_keeps_what_only_it_has() {
    let parsed = parse(&[
        QUORUM,
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-consumer-disconnected-timeout", LongInt(9)),
        ("x-delayed-retry-type", text("failed")),
        ("x-delayed-retry-min", LongInt(10)),
        ("x-delayed-retry-max", LongInt(11)),
    ]);
    let expected = QuorumArguments {
        dead_letter_strategy: Some(DeadLetterStrategy::AtLeastOnce),
        consumer_disconnected_timeout_ms: Some(9),
        delayed_retry: DelayedRetry {
            kind: Some(RetryKind::Failed),
            min_ms: Some(10),
            max_ms: Some(11),
        },
    };
    assert_eq!(
        parsed.map(|parsed| parsed.variant),
        Ok(QueueVariant::Quorum(expected))
    );
}

/// Spec 4.3.2, 4.4.3; RabbitMQ accepts any value here.
#[test]
fn a_delivery_limit_below_zero_is_none_and_one_that_is_no_number_is_absent() {
    for queue_type in [CLASSIC, QUORUM] {
        let limit = |value| {
            parse(&[queue_type, ("x-delivery-limit", value)]).map(|parsed| parsed.delivery_limit)
        };
        let unlimited = Ok(Some(DeliveryLimit::Unlimited));
        assert_eq!(limit(ShortShortInt(-1)), unlimited);
        assert_eq!(limit(LongInt(0)), Ok(Some(DeliveryLimit::Times(0))));
        assert_eq!(limit(text("5")), Ok(None));
    }
}

/// Spec 4.3.2, 4.4.2.
#[test]
fn a_queue_of_either_type_may_have_a_consumer_timeout() {
    for queue_type in [CLASSIC, QUORUM] {
        let parsed = parse(&[queue_type, ("x-consumer-timeout", LongInt(8))]);
        assert_eq!(parsed.map(|parsed| parsed.consumer_timeout_ms), Ok(Some(8)));
    }
}

/// Spec 4.4.1.
#[test]
fn a_quorum_queue_is_durable_and_nobodys_own() {
    let declare = |durable, exclusive, auto_delete| {
        let properties = QueueProperties {
            server_named: false,
            durable,
            exclusive,
            auto_delete,
        };
        let property = parse_with(&[QUORUM], properties);
        property.err()
    };
    let refused = |property: &str| Some(format!("invalid property '{property}' for Q"));
    assert_eq!(declare(true, false, false), None);
    assert_eq!(declare(false, false, false), refused("non-durable"));
    assert_eq!(declare(false, true, false), refused("exclusive-owner"));
    assert_eq!(declare(true, true, false), refused("exclusive-owner"));
    assert_eq!(declare(false, true, true), refused("auto-delete"));
}

/// Spec 4.1.1.
#[test]
fn only_classic_queues_are_named_by_the_broker() {
    let server_named = QueueProperties {
        server_named: true,
        ..DURABLE
    };
    let bad = ("x-dead-letter-exchange", LongInt(1));
    for queue_type in ["quorum", "stream"] {
        let fields = [("x-queue-type", text(queue_type)), bad];
        let refused = parse_with(&fields, server_named);
        let module = format!("rabbit_{queue_type}_queue");
        let expected = format!("Cannot declare a server-named queue for type {module}");
        assert_eq!(refused, Err(expected));
    }
    assert!(parse_with(&[CLASSIC], server_named).is_ok());
}

fn first_mistake(fields: &[(&'static str, Value<'static>)]) -> Option<&'static str> {
    match QueueArguments::parse(table(fields).as_reader(), DURABLE).err()? {
        ArgumentError::Invalid { argument, .. }
        | ArgumentError::InvalidType { argument, .. }
        | ArgumentError::OtherQueueType { argument, .. } => Some(argument),
        other => panic!("{other:?}"),
    }
}

/// Programs that test for a refusal find the same one here as there.
#[test]
fn of_several_mistakes_the_same_one_is_reported_first_as_by_rabbitmq() {
    let wrong = |argument: &&'static str| (*argument, Array(ArrayReader::default()));
    let classic = [
        "x-dead-letter-exchange",
        "x-expires",
        "x-message-ttl",
        "x-dead-letter-routing-key",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-priority",
        "x-overflow",
        "x-queue-version",
        "x-single-active-consumer",
        "x-queue-leader-locator",
        "x-max-age",
    ];
    let mut fields: Vec<_> = classic.iter().rev().map(wrong).collect();
    assert_eq!(order_of_complaints(&mut fields, first_mistake), classic);
    let quorum = [
        "x-dead-letter-exchange",
        "x-expires",
        "x-message-ttl",
        "x-dead-letter-routing-key",
        "x-dead-letter-strategy",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-in-memory-length",
        "x-max-in-memory-bytes",
        "x-overflow",
        "x-single-active-consumer",
        "x-consumer-timeout",
        "x-consumer-disconnected-timeout",
        "x-quorum-initial-group-size",
        "x-queue-leader-locator",
        "x-max-priority",
    ];
    let mut fields: Vec<_> = quorum.iter().rev().map(wrong).chain([QUORUM]).collect();
    assert_eq!(order_of_complaints(&mut fields, first_mistake), quorum);
    let nowhere = [
        ("x-expires", Void),
        ("x-queue-type", text("x")),
        ("x-dead-letter-exchange", Void),
    ];
    assert_eq!(first_mistake(&nowhere[..2]), Some("x-queue-type"));
    assert_eq!(first_mistake(&nowhere), Some("x-dead-letter-exchange"));
}
