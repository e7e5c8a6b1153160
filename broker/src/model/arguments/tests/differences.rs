//! What a redeclaration may change.

use super::*;

fn difference(
    current: &[(&str, Value<'_>)],
    received: &[(&str, Value<'_>)],
) -> Option<(&'static str, String)> {
    let difference =
        QueueArguments::difference(table(current).as_reader(), table(received).as_reader())?;
    Some((difference.argument, difference.text))
}

/// Spec 4.1.5.
#[test]
fn a_redeclaration_is_told_what_differs() {
    let ttl = |value| [("x-message-ttl", value)];
    let expect = |text: &str| Some(("x-message-ttl", text.to_owned()));
    let of_type = "the value '1000' of type";
    let cases = [
        (
            difference(&ttl(LongInt(1000)), &ttl(LongInt(2000))),
            "received '2000' but current is '1000'".to_owned(),
        ),
        (
            difference(&ttl(LongInt(1000)), &[]),
            format!("received none but current is {of_type} 'signedint'"),
        ),
        (
            difference(&[], &ttl(LongLongInt(1000))),
            format!("received {of_type} 'long' but current is none"),
        ),
        (
            difference(&ttl(LongInt(1000)), &ttl(text("1000"))),
            "received '1000' but current is '1000'".to_owned(),
        ),
        (
            difference(&ttl(LongInt(5)), &ttl(Double(5.0))),
            "received '5.0' but current is '5'".to_owned(),
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expect(&expected));
    }
    let dead = |name| [("x-dead-letter-exchange", LongString(name))];
    assert_eq!(
        difference(&dead(b"\xff"), &dead("é'日".as_bytes())).map(|(_, text)| text),
        Some("received 'é'日' but current is 'ÿ'".into())
    );
    let mode = |value| [("x-queue-mode", value)];
    assert_eq!(
        difference(&mode(Boolean(true)), &[]).map(|(_, text)| text),
        Some("received none but current is the value 'true' of type 'bool'".into())
    );
}

/// Spec 4.1.5.
#[test]
fn a_redeclaration_is_compared_by_value() {
    for one in FIVES {
        for other in FIVES {
            let declare = |value| [("x-max-length", value)];
            assert_eq!(difference(&declare(one), &declare(other)), None);
        }
    }
    for argument in ["x-unknown", "x-member-placement-tag", "x-max-age"] {
        assert_eq!(difference(&[(argument, LongInt(1))], &[]), None);
        assert_eq!(difference(&[], &[(argument, LongInt(1))]), None);
    }
}

/// Spec 4.1.5.
#[test]
fn a_queue_type_that_is_not_named_is_classic() {
    assert_eq!(difference(&[CLASSIC], &[]), None);
    assert_eq!(difference(&[], &[CLASSIC]), None);
    let differs = |text: &str| Some(("x-queue-type", text.to_owned()));
    assert_eq!(
        difference(&[], &[QUORUM]),
        differs("received 'quorum' but current is 'classic'")
    );
    assert_eq!(
        difference(&[QUORUM], &[]),
        differs("received 'classic' but current is 'quorum'")
    );
    assert_eq!(
        difference(&[], &[("x-queue-type", LongInt(1))]),
        differs("received '1' but current is 'classic'")
    );
}

/// Spec 4.1.5.
#[test]
fn of_several_differences_the_same_one_is_reported_first_as_by_rabbitmq() {
    let classic = [
        "x-expires",
        "x-message-ttl",
        "x-dead-letter-exchange",
        "x-dead-letter-routing-key",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-priority",
        "x-overflow",
        "x-queue-mode",
        "x-queue-version",
        "x-single-active-consumer",
        "x-queue-type",
        "x-queue-leader-locator",
        "x-delivery-limit",
        "x-consumer-timeout",
    ];
    let quorum = [
        "x-dead-letter-exchange",
        "x-dead-letter-routing-key",
        "x-dead-letter-strategy",
        "x-expires",
        "x-max-length",
        "x-max-length-bytes",
        "x-max-in-memory-length",
        "x-max-in-memory-bytes",
        "x-overflow",
        "x-single-active-consumer",
        "x-quorum-initial-group-size",
        "x-delivery-limit",
        "x-message-ttl",
        "x-queue-leader-locator",
        "x-consumer-disconnected-timeout",
        "x-consumer-timeout",
        "x-delayed-retry-type",
        "x-delayed-retry-min",
        "x-delayed-retry-max",
    ];
    for (current, order) in [(CLASSIC, &classic[..]), (QUORUM, &quorum)] {
        let mut received: Vec<_> = order
            .iter()
            .rev()
            .map(|name| (*name, ShortShortInt(1)))
            .collect();
        if current == QUORUM {
            received.push(QUORUM);
        }
        let complaint = |received: &[_]| difference(&[current], received).map(|(name, _)| name);
        assert_eq!(order_of_complaints(&mut received, complaint), order);
    }
}

/// Spec 3.1.6.
#[test]
fn exchanges_differ_by_their_alternates_alone() {
    let alternate = |name| [("alternate-exchange", text(name)), ("x-a", text(name))];
    let difference = |current: &[(&str, Value<'_>)], received: &[(&str, Value<'_>)]| {
        ExchangeArguments::difference(table(current).as_reader(), table(received).as_reader())
            .map(|found| found.text)
    };
    assert_eq!(difference(&alternate("a"), &alternate("a")), None);
    assert_eq!(difference(&[("x-a", Void)], &[]), None);
    assert_eq!(
        difference(&alternate("a"), &alternate("b")),
        Some("received 'b' but current is 'a'".into())
    );
    assert_eq!(
        difference(&alternate("a"), &[]),
        Some("received none but current is the value 'a' of type 'longstr'".into())
    );
}
