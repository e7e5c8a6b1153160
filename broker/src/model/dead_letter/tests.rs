use super::*;

/// A message as a publisher sends it.
fn published(key: &str, headers: &[(&str, Value<'_>)], expiration: Option<&str>) -> Message {
    let mut table = TableWriter::new();
    for (name, value) in headers {
        table.entry(name, *value).expect("fits");
    }
    let mut properties = PropertiesBuilder::new()
        .headers(table.as_reader())
        .expect("fits");
    if let Some(expiration) = expiration {
        properties = properties
            .text(Property::Expiration, expiration)
            .expect("fits");
    }
    let mut encoded = b"\x02ex".to_vec();
    encoded.push(u8::try_from(key.len()).expect("short"));
    encoded.extend_from_slice(key.as_bytes());
    let start = encoded.len();
    ContentHeader::write(&mut encoded, 4, &properties.finish());
    let parts = MessageParts {
        exchange_bytes: 2,
        routing_key_bytes: u8::try_from(key.len()).expect("short"),
        header_bytes: u32::try_from(encoded.len() - start).expect("short"),
        persistent: true,
        blind_copies: headers.iter().any(|(name, _)| *name == "BCC"),
        ..MessageParts::default()
    };
    encoded.extend_from_slice(b"body");
    Message::new(parts, &encoded).expect("lengths fit")
}

fn target(exchange: &str, key: Option<&str>) -> DeadLetterTarget {
    DeadLetterTarget {
        exchange: exchange.into(),
        routing_key: key.map(|key| key.as_bytes().into()),
    }
}

fn die(message: &Message, queue: &str, reason: DeathReason, time_s: u64) -> Message {
    let death = Death {
        queue: &queue.into(),
        reason,
        time_ms: time_s * 1000 + 999,
    };
    message
        .dead_lettered(death, &target("dlx", None))
        .expect("can be buried")
}

fn array(texts: &[&str]) -> Vec<u8> {
    let mut array = ArrayWriter::new();
    for text in texts {
        array
            .push(Value::LongString(text.as_bytes()))
            .expect("fits");
    }
    array.finish()
}

fn deaths(message: &Message) -> Vec<(String, String, i64)> {
    let text = |record: &Record<'_>, name: &str| {
        String::from_utf8(record.text(name).expect("is there").to_vec()).expect("text")
    };
    let count = |record: &Record<'_>| record.0.get("count").and_then(|count| count.as_integer());
    message
        .deaths()
        .map(|death| {
            let count = count(&death).expect("is there");
            (text(&death, "queue"), text(&death, "reason"), count)
        })
        .collect()
}

/// Spec 7.2.4.
#[test]
fn a_first_death_is_recorded_in_full() {
    let copies = array(&["copy"]);
    let blind = array(&["blind"]);
    let headers = [
        ("CC", Value::Array(ArrayReader::new(&copies))),
        ("BCC", Value::Array(ArrayReader::new(&blind))),
        ("own", Value::LongInt(7)),
    ];
    let message = published("key", &headers, Some("5000"));
    let dead = die(&message, "q", DeathReason::Expired, 12);
    assert_eq!(dead.envelope(), b"\x03dlx\x03key");
    assert_eq!(dead.body(), b"body");
    assert_eq!(dead.expiration_ms(), None);
    assert_eq!(dead.properties().validate(), Ok(()));
    let headers = dead.properties().headers().expect("headers");
    assert_eq!(headers.get("own"), Some(Value::LongInt(7)));
    let record = dead.deaths().next().expect("one death").0;
    let keys: Vec<&[u8]> = record.iter().map(|entry| entry.key).collect();
    let expected: [&[u8]; 7] = [
        b"original-expiration",
        b"count",
        b"reason",
        b"queue",
        b"time",
        b"exchange",
        b"routing-keys",
    ];
    assert_eq!(keys, expected);
    assert_eq!(record.get("time"), Some(Value::Timestamp(12)));
    assert_eq!(record.get("exchange"), Some(Value::LongString(b"ex")));
    let routing_keys = record.get("routing-keys").and_then(|keys| keys.as_array());
    let routing_keys: Vec<&[u8]> = routing_keys.into_iter().flat_map(texts).collect();
    assert_eq!(routing_keys, [b"key".as_slice(), b"copy"]);
    let all: Vec<&[u8]> = dead.routing_keys().collect();
    assert_eq!(all, [b"key".as_slice(), b"copy", b"blind"]);
    assert!(dead.parts().blind_copies);
}

/// Spec 7.2.5, 7.2.6.
#[test]
fn the_same_death_again_counts_on_and_moves_to_the_front() {
    let mut message = published("key", &[], None);
    for (queue, time) in [("a", 1), ("b", 2), ("a", 3)] {
        message = die(&message, queue, DeathReason::Expired, time);
    }
    let expired = |queue: &str, count| (queue.to_owned(), "expired".to_owned(), count);
    assert_eq!(deaths(&message), [expired("a", 2), expired("b", 1)]);
    let front = message.deaths().next().expect("deaths").0;
    assert_eq!(front.get("time"), Some(Value::Timestamp(1)));
    assert_eq!(front.get("exchange"), Some(Value::LongString(b"ex")));
    let headers = message.properties().headers().expect("headers");
    let text = |name: &str| headers.get(name).and_then(|value| value.as_text());
    assert_eq!(text("x-first-death-queue"), Some("a"));
    assert_eq!(text("x-first-death-exchange"), Some("ex"));
    assert_eq!(text("x-last-death-queue"), Some("a"));
    assert_eq!(text("x-last-death-exchange"), Some("dlx"));
    let names = headers
        .iter()
        .filter(|entry| entry.key == DEATHS.as_bytes());
    assert_eq!(names.count(), 1);
}

/// Spec 5.1.10.
#[test]
fn what_a_publisher_says_of_deaths_is_replaced_and_believed_by_nobody() {
    let genuine = die(&published("key", &[], None), "q", DeathReason::Expired, 1);
    let headers = genuine.properties().headers().expect("headers");
    let copied: Vec<(&str, Value<'_>)> = headers
        .iter()
        .map(|entry| (str::from_utf8(entry.key).expect("text"), entry.value))
        .collect();
    let forged = published("key", &copied, None);
    assert!(genuine.would_circle(DeathReason::Expired, &"q".into()));
    assert!(!forged.would_circle(DeathReason::Expired, &"q".into()));
    let dead = die(&forged, "r", DeathReason::MaxLength, 2);
    let expected = [("r".to_owned(), "maxlen".to_owned(), 1)];
    assert_eq!(deaths(&dead), expected);
}

/// Spec 7.2.2.
#[test]
fn a_key_for_dead_letters_replaces_all_keys() {
    let copies = array(&["copy"]);
    let headers = [
        ("CC", Value::Array(ArrayReader::new(&copies))),
        ("BCC", Value::Array(ArrayReader::new(&copies))),
    ];
    let death = Death {
        queue: &"q".into(),
        reason: DeathReason::Rejected,
        time_ms: 0,
    };
    let dead = published("key", &headers, None)
        .dead_lettered(death, &target("", Some("other")))
        .expect("can be buried");
    assert_eq!(dead.envelope(), b"\x00\x05other");
    assert_eq!(dead.routing_keys().collect::<Vec<_>>(), [b"other"]);
    assert!(!dead.parts().blind_copies);
}

/// Spec 7.2.7.
#[test]
fn a_message_circles_if_nobody_rejected_it_since_it_was_there() {
    let circles =
        |message: &Message, queue: &str| message.would_circle(DeathReason::Expired, &queue.into());
    let message = die(&published("key", &[], None), "a", DeathReason::Expired, 1);
    let message = die(&message, "b", DeathReason::Expired, 2);
    assert!(circles(&message, "a") && circles(&message, "b") && !circles(&message, "c"));
    assert!(!message.would_circle(DeathReason::Rejected, &"a".into()));
    let rejected = die(&message, "c", DeathReason::Rejected, 3);
    assert!(!circles(&rejected, "a") && !circles(&rejected, "c"));
    let expired = die(&rejected, "d", DeathReason::Expired, 4);
    assert!(circles(&expired, "d") && !circles(&expired, "a"));
}
