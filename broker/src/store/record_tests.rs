//! Tests of the record encodings.

use leveret_log::SegmentId;

use super::*;
use crate::model::{Entity, VirtualHostName};

/// A content header with delivery mode 2 and nothing else.
const HEADER: &[u8] = b"\0\x3c\0\0\0\0\0\0\0\0\0\x04\x10\0\x02";

fn message_of(body: &[u8]) -> Message {
    let encoded = [b"\x02ex\x03key", HEADER, body].concat();
    let parts = MessageParts {
        exchange_bytes: 2,
        routing_key_bytes: 3,
        header_bytes: HEADER.len() as u32,
        persistent: true,
        priority: 7,
        ..MessageParts::default()
    };
    Message::new(parts, &encoded).expect("lengths fit")
}

fn target_of(queue: u32, level: u8, position: u64) -> Target {
    Target {
        queue: QueueId(queue),
        seq: Seq::new(level, position),
        deadline_ms: 1_700_000_000_000,
    }
}

fn range(first: u64, last: u64) -> SeqRange {
    SeqRange {
        first: Seq::new(3, first),
        last: Seq::new(3, last),
    }
}

fn samples() -> Vec<(u8, Vec<u8>, Record)> {
    let targets = vec![target_of(1, 0, 5), target_of(70_000, 9, 1 << 40)];
    let mut bytes = vec![Vec::new(); 6];
    put_message_head(&mut bytes[0], None, &message_of(b"body"), &targets);
    bytes[0].extend_from_slice(message_of(b"body").encoded());
    put_message_head(&mut bytes[1], Some(Lsn(17)), &message_of(b""), &targets);
    bytes[1].extend_from_slice(message_of(b"").encoded());
    let location = Location {
        segment: SegmentId(4),
        offset: 4096,
        length: 300,
    };
    put_enqueue(&mut bytes[2], targets[0], Lsn(9), location, 280);
    let ranges = vec![range(1, 1), range(5, 900)];
    put_settle(&mut bytes[3], QueueId(6), &ranges);
    put_requeue(&mut bytes[4], QueueId(6), 2, &ranges);
    put_delivered(&mut bytes[5], QueueId(6), Seq::new(3, 90));
    let change = EntityChange::Put(Entity::VirtualHost {
        name: VirtualHostName::from("/"),
        metadata: Default::default(),
        limits: Default::default(),
    });
    let message = Record::Message {
        origin: None,
        body_bytes: 4,
        targets: targets.clone(),
    };
    let moved = Record::Message {
        origin: Some(Lsn(17)),
        body_bytes: 0,
        targets: targets.clone(),
    };
    let enqueue = Record::Enqueue {
        target: targets[0],
        message: Stored {
            lsn: Lsn(9),
            location,
        },
        body_bytes: 280,
    };
    let queue = QueueId(6);
    let settle = Record::Settle {
        queue,
        ranges: ranges.clone(),
    };
    let requeue = Record::Requeue {
        queue,
        delivery_count: 2,
        ranges,
    };
    let up_to = Seq::new(3, 90);
    let entity_bytes = entity(12, change.clone());
    let made = Record::Entity {
        next_queue: 12,
        change,
    };
    let mut bytes = bytes.into_iter();
    let mut next = || bytes.next().expect("as many as were encoded");
    vec![
        (kind::MESSAGE, next(), message),
        (kind::MOVED_TO, next(), moved),
        (kind::ENQUEUE, next(), enqueue),
        (kind::SETTLE, next(), settle),
        (kind::REQUEUE, next(), requeue),
        (kind::DELIVERED, next(), Record::Delivered { queue, up_to }),
        (kind::ENTITY, entity_bytes, made),
    ]
}

#[test]
fn every_record_comes_back_as_it_was_written() {
    for (record_kind, bytes, record) in samples() {
        assert_eq!(decode(record_kind, &bytes), Ok(Some(record)));
    }
}

#[test]
fn a_record_that_was_cut_short_is_refused() {
    for (record_kind, bytes, record) in samples() {
        let body_may_shrink = matches!(record, Record::Message { .. });
        for length in 0..bytes.len() {
            let decoded = decode(record_kind, &bytes[..length]);
            assert!(
                decoded.is_err() || body_may_shrink && decoded != Ok(Some(record.clone())),
                "kind {record_kind:#x} cut to {length} is {decoded:?}"
            );
        }
    }
}

#[test]
fn no_flipped_byte_makes_decoding_panic() {
    for (record_kind, bytes, _) in samples() {
        for at in 0..bytes.len() {
            for mask in [0x01, 0x80, 0xff] {
                let mut flipped = bytes.clone();
                flipped[at] ^= mask;
                let _ = decode(record_kind, &flipped);
                let _ = message(&flipped);
            }
        }
    }
}

#[test]
fn a_message_is_read_back_with_its_first_number() {
    let mut bytes = Vec::new();
    put_message_head(&mut bytes, Some(Lsn(17)), &message_of(b"body"), &[]);
    bytes.extend_from_slice(message_of(b"body").encoded());
    let (origin, read) = message(&bytes).expect("it was just written");
    assert_eq!(origin, Some(Lsn(17)));
    assert_eq!(read.body(), b"body");
    assert_eq!(read.parts().priority, 7);
    assert!(read.is_persistent());
}

#[test]
fn a_range_that_leaves_its_level_is_refused() {
    let mut bytes = Vec::new();
    put_number(&mut bytes, 6);
    put_number(&mut bytes, 1);
    put_seq(&mut bytes, Seq::new(3, 1));
    put_number(&mut bytes, 1 << 57);
    assert_eq!(decode(kind::SETTLE, &bytes), Err(Malformed));
}

#[test]
fn an_unknown_kind_is_not_an_error() {
    assert_eq!(decode(0x7f, b"whatever"), Ok(None));
}

#[test]
fn what_is_known_of_a_header_comes_back_with_the_message() {
    for (dead_lettered, blind_copies) in [(false, true), (true, false), (true, true)] {
        let message = message_of(b"body");
        let parts = MessageParts {
            dead_lettered,
            blind_copies,
            ..message.parts()
        };
        let message = Message::new(parts, message.encoded()).expect("lengths fit");
        let mut bytes = Vec::new();
        put_message_head(&mut bytes, None, &message, &[target_of(1, 0, 5)]);
        bytes.extend_from_slice(message.encoded());
        let (_, read) = super::message(&bytes).expect("decodes");
        let parts = read.parts();
        let flags = (parts.dead_lettered, parts.blind_copies);
        assert_eq!(flags, (dead_lettered, blind_copies));
        assert_eq!(parts.header_bytes as usize, HEADER.len());
        assert_eq!(read.body(), b"body");
    }
}
