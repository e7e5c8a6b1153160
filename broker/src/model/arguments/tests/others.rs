//! The arguments of exchanges and consumers.

use super::*;

/// Spec 3.1.7.
#[test]
fn an_alternate_exchange_is_a_name() {
    let parse = |value| {
        ExchangeArguments::parse(
            crate::model::ExchangeKind::Direct,
            table(&[("alternate-exchange", value)]).as_reader(),
        )
    };
    assert_eq!(
        parse(text("other")),
        Ok(ExchangeArguments {
            hash_input: HashInput::RoutingKey,
            routing: crate::model::ExchangeKind::Direct,
            alternate: Some("other".into())
        })
    );
    assert_eq!(
        ExchangeArguments::parse(crate::model::ExchangeKind::Direct, TableReader::EMPTY),
        Ok(ExchangeArguments::none(crate::model::ExchangeKind::Direct))
    );
    for value in no_integers().into_iter().chain(FIVES) {
        if !matches!(value, LongString(_)) {
            let refused = parse(value).expect_err("no name");
            assert_eq!(
                refused.for_exchange(&"x".into(), &"/".into()).text,
                format!(
                    "invalid type '{}' for arg 'alternate-exchange' in exchange 'x' in vhost '/'",
                    value.type_name()
                )
            );
        }
    }
}

/// Spec 5.3.5.
#[test]
fn a_consumers_priority_is_any_integer() {
    let parse = |value| {
        let parsed = ConsumerArguments::parse(
            table(&[("x-priority", value)]).as_reader(),
            QueueType::Classic,
        );
        parsed.map(|parsed| parsed.priority).map_err(refusal)
    };
    for value in FIVES {
        assert_eq!(parse(value), Ok(5));
    }
    assert_eq!(parse(LongLongInt(i64::MIN)), Ok(i64::MIN));
    for value in no_integers() {
        let got = value.type_name();
        let expected = format!("invalid arg 'x-priority' for Q: \"expected integer, got {got}\"");
        assert_eq!(parse(value), Err(expected));
    }
    let none = ConsumerArguments::parse(TableReader::EMPTY, QueueType::Quorum);
    assert_eq!(none, Ok(ConsumerArguments::default()));
}

/// Spec 5.3.5.
#[test]
fn a_consumers_arguments_fit_the_type_of_queue() {
    let parse = |argument, queue_type| {
        let parsed =
            ConsumerArguments::parse(table(&[(argument, LongInt(5))]).as_reader(), queue_type);
        parsed.map_err(refusal)
    };
    let foreign = |argument, module| {
        Err(format!(
            "invalid arg '{argument}' for Q of queue type {module}"
        ))
    };
    for argument in [
        "x-stream-offset",
        "x-stream-filter",
        "x-stream-match-unfiltered",
    ] {
        for queue_type in [QueueType::Classic, QueueType::Quorum] {
            let expected = foreign(argument, queue_type.module_name());
            assert_eq!(parse(argument, queue_type), expected);
        }
    }
    let timeout = "x-consumer-timeout";
    assert_eq!(
        parse(timeout, QueueType::Classic),
        foreign(timeout, "rabbit_classic_queue")
    );
    let kept = parse(timeout, QueueType::Quorum).map(|parsed| parsed.timeout_ms);
    assert_eq!(kept, Ok(Some(5)));
    for argument in ["x-cancel-on-ha-failover", "x-credit", "x-unknown"] {
        assert_eq!(
            parse(argument, QueueType::Classic),
            Ok(ConsumerArguments::default())
        );
    }
}
