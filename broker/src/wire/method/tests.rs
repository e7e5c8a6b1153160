use super::*;
use crate::wire::{FrameLimit, TableError, TableReader, encoder, frame};

/// Every method there is, as `(class, method)`, with its name and who may send it.
const METHODS: [(u16, u16, &str, Sender); 66] = [
    (10, 10, "connection.start", Sender::Server),
    (10, 11, "connection.start-ok", Sender::Client),
    (10, 20, "connection.secure", Sender::Server),
    (10, 21, "connection.secure-ok", Sender::Client),
    (10, 30, "connection.tune", Sender::Server),
    (10, 31, "connection.tune-ok", Sender::Client),
    (10, 40, "connection.open", Sender::Client),
    (10, 41, "connection.open-ok", Sender::Server),
    (10, 50, "connection.close", Sender::Either),
    (10, 51, "connection.close-ok", Sender::Either),
    (10, 60, "connection.blocked", Sender::Server),
    (10, 61, "connection.unblocked", Sender::Server),
    (10, 70, "connection.update-secret", Sender::Client),
    (10, 71, "connection.update-secret-ok", Sender::Server),
    (20, 10, "channel.open", Sender::Client),
    (20, 11, "channel.open-ok", Sender::Server),
    (20, 20, "channel.flow", Sender::Either),
    (20, 21, "channel.flow-ok", Sender::Either),
    (20, 40, "channel.close", Sender::Either),
    (20, 41, "channel.close-ok", Sender::Either),
    (30, 10, "access.request", Sender::Client),
    (30, 11, "access.request-ok", Sender::Server),
    (40, 10, "exchange.declare", Sender::Client),
    (40, 11, "exchange.declare-ok", Sender::Server),
    (40, 20, "exchange.delete", Sender::Client),
    (40, 21, "exchange.delete-ok", Sender::Server),
    (40, 30, "exchange.bind", Sender::Client),
    (40, 31, "exchange.bind-ok", Sender::Server),
    (40, 40, "exchange.unbind", Sender::Client),
    (40, 51, "exchange.unbind-ok", Sender::Server),
    (50, 10, "queue.declare", Sender::Client),
    (50, 11, "queue.declare-ok", Sender::Server),
    (50, 20, "queue.bind", Sender::Client),
    (50, 21, "queue.bind-ok", Sender::Server),
    (50, 30, "queue.purge", Sender::Client),
    (50, 31, "queue.purge-ok", Sender::Server),
    (50, 40, "queue.delete", Sender::Client),
    (50, 41, "queue.delete-ok", Sender::Server),
    (50, 50, "queue.unbind", Sender::Client),
    (50, 51, "queue.unbind-ok", Sender::Server),
    (60, 10, "basic.qos", Sender::Client),
    (60, 11, "basic.qos-ok", Sender::Server),
    (60, 20, "basic.consume", Sender::Client),
    (60, 21, "basic.consume-ok", Sender::Server),
    (60, 30, "basic.cancel", Sender::Either),
    (60, 31, "basic.cancel-ok", Sender::Either),
    (60, 40, "basic.publish", Sender::Client),
    (60, 50, "basic.return", Sender::Server),
    (60, 60, "basic.deliver", Sender::Server),
    (60, 70, "basic.get", Sender::Client),
    (60, 71, "basic.get-ok", Sender::Server),
    (60, 72, "basic.get-empty", Sender::Server),
    (60, 80, "basic.ack", Sender::Either),
    (60, 90, "basic.reject", Sender::Client),
    (60, 100, "basic.recover-async", Sender::Client),
    (60, 110, "basic.recover", Sender::Client),
    (60, 111, "basic.recover-ok", Sender::Server),
    (60, 120, "basic.nack", Sender::Either),
    (85, 10, "confirm.select", Sender::Client),
    (85, 11, "confirm.select-ok", Sender::Server),
    (90, 10, "tx.select", Sender::Client),
    (90, 11, "tx.select-ok", Sender::Server),
    (90, 20, "tx.commit", Sender::Client),
    (90, 21, "tx.commit-ok", Sender::Server),
    (90, 30, "tx.rollback", Sender::Client),
    (90, 31, "tx.rollback-ok", Sender::Server),
];

fn payload(class_id: u16, method_id: u16, arguments: &[u8]) -> Vec<u8> {
    [
        &class_id.to_be_bytes()[..],
        &method_id.to_be_bytes(),
        arguments,
    ]
    .concat()
}

/// The shortest run of zeros that is a complete method: zeros are empty strings, empty tables,
/// cleared bits.
fn shortest(class_id: u16, method_id: u16) -> Vec<u8> {
    (0..64)
        .map(|length| payload(class_id, method_id, &vec![0; length]))
        .find(|payload| Method::parse(payload).is_ok())
        .unwrap()
}

fn written(method: Method<'_>) -> Vec<u8> {
    let mut buffer = Vec::new();
    method.write(&mut buffer).unwrap();
    buffer
}

#[test]
fn every_method_is_known_by_number_name_and_sender() {
    for (class_id, method_id, name, sender) in METHODS {
        let payload = shortest(class_id, method_id);
        let method = Method::parse(&payload).unwrap();
        assert_eq!(
            (method.class_id(), method.method_id()),
            (class_id, method_id)
        );
        assert_eq!((method.name(), method.sender()), (name, sender));
    }
}

#[test]
fn every_other_number_is_unknown() {
    for class_id in 0..=100 {
        for method_id in 0..=130 {
            let known = METHODS
                .iter()
                .any(|known| (known.0, known.1) == (class_id, method_id));
            let payload = payload(class_id, method_id, &[]);
            let unknown = matches!(Method::parse(&payload), Err(MethodError::Unknown { .. }));
            assert_eq!(unknown, !known, "{class_id}/{method_id}");
        }
    }
}

#[test]
fn every_method_is_written_as_it_was_read() {
    for (class_id, method_id, name, _) in METHODS {
        let payload = shortest(class_id, method_id);
        assert_eq!(written(Method::parse(&payload).unwrap()), payload, "{name}");
    }
}

#[test]
fn one_octet_more_or_less_is_refused_for_every_method() {
    for (class_id, method_id, name, _) in METHODS {
        let mut payload = shortest(class_id, method_id);
        payload.push(0);
        let Err(MethodError::Undecodable { reason, .. }) = Method::parse(&payload) else {
            panic!("{name} with one octet more");
        };
        assert_eq!(reason, ArgumentError::Trailing { octets: 1 }, "{name}");
        payload.truncate(payload.len() - 2);
        if payload.len() >= 4 {
            let Err(MethodError::Undecodable { reason, .. }) = Method::parse(&payload) else {
                panic!("{name} with one octet less");
            };
            assert_eq!(reason, ArgumentError::Truncated, "{name}");
        }
    }
}

#[test]
fn a_payload_without_ids_is_refused() {
    for length in 0..4 {
        assert!(Method::parse(&vec![0; length]).is_err());
    }
}

#[test]
fn content_follows_four_methods() {
    let with_content: Vec<_> = METHODS
        .into_iter()
        .filter(|(class_id, method_id, ..)| {
            let payload = shortest(*class_id, *method_id);
            Method::parse(&payload).unwrap().carries_content()
        })
        .map(|(_, _, name, _)| name)
        .collect();
    assert_eq!(
        with_content,
        [
            "basic.publish",
            "basic.return",
            "basic.deliver",
            "basic.get-ok"
        ]
    );
}

#[test]
fn a_publish_borrows_its_strings() {
    let payload = payload(60, 40, b"\0\0\x05event\x08user.new\x01");
    let expected = basic::Publish {
        ticket: 0,
        exchange: "event",
        routing_key: "user.new",
        mandatory: true,
        immediate: false,
    };
    assert_eq!(Method::parse(&payload), Ok(expected.into()));
    assert_eq!(publish_address(&payload), b"\x05event\x08user.new");
}

#[test]
fn the_address_of_a_malformed_publish_is_empty() {
    for length in 0..7 {
        assert_eq!(publish_address(&vec![0; length]), b"");
    }
}

#[test]
fn the_prefetch_size_is_not_lost() {
    let payload = payload(60, 10, b"\0\0\0\x05\0\x01\x01");
    let expected = basic::Qos {
        prefetch_size: 5,
        prefetch_count: 1,
        global: true,
    };
    assert_eq!(Method::parse(&payload), Ok(expected.into()));
}

#[test]
fn bits_are_packed_from_the_lowest_up_and_unused_ones_are_ignored() {
    for bits in 0..=255_u8 {
        let payload = payload(60, 120, &[&[0, 0, 0, 0, 0, 0, 0, 1, bits][..]].concat());
        let expected = basic::Nack {
            delivery_tag: 1,
            multiple: bits & 1 != 0,
            requeue: bits & 2 != 0,
        };
        assert_eq!(Method::parse(&payload), Ok(expected.into()));
    }
}

#[test]
fn bits_on_both_sides_of_a_field_do_not_share_an_octet() {
    let queue = queue::Delete {
        ticket: 0,
        queue: "q",
        if_unused: true,
        if_empty: false,
        nowait: true,
    };
    assert_eq!(written(queue.into()), payload(50, 40, b"\0\0\x01q\x05"));
    let declare = exchange::Declare {
        ticket: 0,
        exchange: "e",
        kind: "fanout",
        passive: false,
        durable: true,
        auto_delete: false,
        internal: false,
        nowait: true,
        arguments: TableReader::EMPTY,
    };
    let bytes = payload(40, 10, b"\0\0\x01e\x06fanout\x12\0\0\0\0");
    assert_eq!(written(declare.into()), bytes);
    assert_eq!(Method::parse(&bytes), Ok(declare.into()));
}

#[test]
fn a_short_string_that_is_not_utf8_is_refused_as_rabbitmq_does() {
    let bytes = payload(50, 10, b"\0\0\x01\xFF\0\0\0\0\0");
    let refused = Method::parse(&bytes).unwrap_err();
    assert_eq!(
        refused,
        MethodError::MalformedText {
            class_id: 50,
            method_id: 10
        }
    );
    assert_eq!(refused.to_string(), "Malformed UTF-8 in shortstr");
}

/// The texts were taken from RabbitMQ 4.3, which got the same bytes.
#[test]
fn undecodable_arguments_are_shown_as_rabbitmq_does() {
    let cases = [
        (
            b"\0\0\0\0\0\x01\0zz".to_vec(),
            "cannot decode <<0,0,0,0,0,1,0,122,122>>",
        ),
        (b"\0\0\0\0\0\x01".to_vec(), "cannot decode <<0,0,0,0,0,1>>"),
    ];
    for (arguments, text) in cases {
        let refused = Method::parse(&payload(60, 10, &arguments))
            .map(|_| ())
            .unwrap_err();
        assert_eq!(refused.to_string(), text);
        assert_eq!(refused.ids(), (60, 10));
    }
}

#[test]
fn a_refused_table_is_named_as_the_reason() {
    let bytes = payload(50, 10, b"\0\0\x01q\0\0\0\0\x03\x01kZ");
    let Err(MethodError::Undecodable { reason, .. }) = Method::parse(&bytes) else {
        panic!("a table with an unknown type was accepted");
    };
    assert_eq!(
        reason,
        ArgumentError::Table(TableError::UnknownType {
            octet: b'Z',
            offset: 2
        })
    );
}

#[test]
fn credentials_show_up_neither_in_debug_output_nor_in_errors() {
    let mut bytes = payload(
        10,
        11,
        b"\0\0\0\0\x05PLAIN\0\0\0\x0f\0guest\0hushhush\x05en_US",
    );
    let method = Method::parse(&bytes).unwrap();
    assert!(!format!("{method:?}").contains("104"), "{method:?}");
    let Method::Connection(connection::Method::StartOk(start)) = method else {
        panic!("not a start-ok");
    };
    assert_eq!(start.response.expose(), b"\0guest\0hushhush");
    bytes.push(0);
    let refused = Method::parse(&bytes).unwrap_err();
    assert_eq!(refused.to_string(), "cannot decode <<>>");
    assert!(!format!("{refused:?}").contains("104"), "{refused:?}");
}

#[test]
fn an_encoded_method_frame_parses_to_the_same_method() {
    let limit = FrameLimit::negotiated(4096).unwrap();
    let method = queue::DeclareOk {
        queue: "q",
        message_count: 7,
        consumer_count: 2,
    };
    let mut buffer = Vec::new();
    encoder::method(&mut buffer, 3, method, limit).unwrap();
    let (raw, consumed) = frame::scan(&buffer, limit).unwrap().unwrap();
    assert_eq!((raw.channel, consumed), (3, buffer.len()));
    assert_eq!(Method::parse(raw.payload(&buffer)), Ok(method.into()));
}
