use super::*;
use crate::wire::frame::{FrameKind, scan};
use crate::wire::method::{channel as channel_class, connection, queue};
use crate::wire::{ContentHeader, Properties, TableReader};

const CHANNEL: u16 = 7;

fn limit(frame_max: u32) -> FrameLimit {
    FrameLimit::negotiated(frame_max).unwrap()
}

fn header(body: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    ContentHeader::write(
        &mut payload,
        body.len() as u64,
        Properties::EMPTY.as_bytes(),
    );
    payload
}

/// All frames in `bytes` as kind and payload; every frame must be on the channel and in the limit.
fn frames(mut bytes: &[u8], limit: FrameLimit) -> Vec<(FrameKind, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((raw, consumed)) = scan(bytes, limit).unwrap() {
        let payload = raw.payload(bytes).to_vec();
        assert!(
            payload.len() <= limit.payload_max(),
            "a payload of {}",
            payload.len()
        );
        assert_eq!(raw.channel, CHANNEL);
        frames.push((raw.kind, payload));
        bytes = &bytes[consumed..];
    }
    assert_eq!(bytes, b"", "octets after the last frame");
    frames
}

fn delivery(address: &[u8]) -> Delivery<'_> {
    Delivery {
        consumer_tag: "tag",
        delivery_tag: 258,
        redelivered: true,
        address,
    }
}

#[test]
fn a_delivery_is_method_header_and_bodies_cut_to_the_limit() {
    let address = address("exchange", "key").unwrap();
    for (length, pieces) in [(0, 0), (1, 1), (4088, 1), (4089, 2), (8176, 2), (10_000, 3)] {
        let body: Vec<u8> = (0..length)
            .map(|index: usize| index.to_le_bytes()[0])
            .collect();
        let header = header(&body);
        let content = Content {
            header: &header,
            body: &body,
        };
        let mut buffer = b"before".to_vec();
        deliver(
            &mut buffer,
            CHANNEL,
            &delivery(&address),
            &content,
            limit(4096),
        )
        .unwrap();
        let frames = frames(&buffer[6..], limit(4096));
        assert_eq!(frames.len(), 2 + pieces, "a body of {length}");
        let expected = basic::Deliver {
            consumer_tag: "tag",
            delivery_tag: 258,
            redelivered: true,
            exchange: "exchange",
            routing_key: "key",
        };
        assert_eq!(Method::parse(&frames[0].1), Ok(expected.into()));
        assert_eq!(frames[1], (FrameKind::Header, header.clone()));
        let bodies = &frames[2..];
        assert!(bodies.iter().all(|(kind, _)| *kind == FrameKind::Body));
        let joined: Vec<u8> = bodies
            .iter()
            .flat_map(|(_, payload)| payload.clone())
            .collect();
        assert_eq!(joined, body);
    }
}

#[test]
fn envelopes_around_a_shared_body_give_the_same_octets_as_copying_it() {
    let address = address("", "q").unwrap();
    for frame_max in [0, 4096, 8192] {
        let limit = limit(frame_max);
        for length in [0, 1, 4088, 4089, 20_000] {
            let body = vec![0xCE; length];
            let header = header(&body);
            let content = Content {
                header: &header,
                body: &body,
            };
            let mut copied = Vec::new();
            deliver(&mut copied, CHANNEL, &delivery(&address), &content, limit).unwrap();
            let mut shared = Vec::new();
            deliver_head(&mut shared, CHANNEL, &delivery(&address), &header, limit).unwrap();
            for (head, piece) in body_frames(CHANNEL, body.len(), limit) {
                shared.extend_from_slice(&head);
                shared.extend_from_slice(&body[piece]);
                shared.push(END_MARKER);
            }
            assert_eq!(shared, copied);
        }
    }
}

#[test]
fn an_unlimited_connection_gets_one_body_frame() {
    let body = vec![1; 300_000];
    let header = header(&body);
    let content = Content {
        header: &header,
        body: &body,
    };
    let address = address("", "q").unwrap();
    let mut buffer = Vec::new();
    deliver(
        &mut buffer,
        CHANNEL,
        &delivery(&address),
        &content,
        limit(0),
    )
    .unwrap();
    assert_eq!(frames(&buffer, limit(0)).len(), 3);
}

#[test]
fn get_ok_and_return_carry_their_content() {
    let address = address("exchange", "key").unwrap();
    let header = header(b"body");
    let content = Content {
        header: &header,
        body: b"body",
    };
    let got = Got {
        delivery_tag: 1,
        redelivered: false,
        address: &address,
        message_count: 4,
    };
    let returned = Returned {
        reply_code: 312,
        reply_text: "NO_ROUTE",
        address: &address,
    };
    let mut buffer = Vec::new();
    get_ok(&mut buffer, CHANNEL, &got, &content, limit(4096)).unwrap();
    return_(&mut buffer, CHANNEL, &returned, &content, limit(4096)).unwrap();
    let frames = frames(&buffer, limit(4096));
    let expected_got = basic::GetOk {
        delivery_tag: 1,
        redelivered: false,
        exchange: "exchange",
        routing_key: "key",
        message_count: 4,
    };
    let expected_return = basic::Return {
        reply_code: 312,
        reply_text: "NO_ROUTE",
        exchange: "exchange",
        routing_key: "key",
    };
    assert_eq!(Method::parse(&frames[0].1), Ok(expected_got.into()));
    assert_eq!(Method::parse(&frames[3].1), Ok(expected_return.into()));
    for start in [0, 3] {
        assert_eq!(frames[start + 1], (FrameKind::Header, header.clone()));
        assert_eq!(frames[start + 2], (FrameKind::Body, b"body".to_vec()));
    }
}

#[test]
fn confirms_by_hand_equal_those_of_the_table() {
    for multiple in [false, true] {
        let mut by_hand = Vec::new();
        ack(&mut by_hand, CHANNEL, u64::MAX, multiple);
        nack(&mut by_hand, CHANNEL, 1, multiple);
        let mut by_table = Vec::new();
        let acked = basic::Ack {
            delivery_tag: u64::MAX,
            multiple,
        };
        let nacked = basic::Nack {
            delivery_tag: 1,
            multiple,
            requeue: false,
        };
        method(&mut by_table, CHANNEL, acked, limit(4096)).unwrap();
        method(&mut by_table, CHANNEL, nacked, limit(4096)).unwrap();
        assert_eq!(by_hand, by_table);
    }
}

#[test]
fn a_header_that_fits_no_frame_is_refused_and_nothing_is_written() {
    let address = address("", "q").unwrap();
    let limit = limit(4096);
    for (length, fits) in [(4088, true), (4089, false)] {
        let content = Content {
            header: &vec![0; length],
            body: b"body",
        };
        let mut buffer = b"before".to_vec();
        let result = deliver(&mut buffer, CHANNEL, &delivery(&address), &content, limit);
        assert_eq!(result.is_ok(), fits, "a header of {length}");
        assert_eq!(buffer.len() > 6, fits, "a header of {length}");
        if !fits {
            assert_eq!(
                result,
                Err(EncodeError::FrameTooLarge {
                    octets: length,
                    limit: 4088
                })
            );
            assert_eq!(buffer, b"before");
        }
    }
}

#[test]
fn a_method_that_fits_no_frame_is_refused_and_nothing_is_written() {
    let table = vec![0; 4096];
    let start = connection::Start {
        version_major: 0,
        version_minor: 9,
        server_properties: TableReader::new(&table),
        mechanisms: b"PLAIN",
        locales: b"en_US",
    };
    let mut buffer = b"before".to_vec();
    let refused = method(&mut buffer, CHANNEL, start, limit(4096));
    assert!(matches!(
        refused,
        Err(EncodeError::FrameTooLarge { limit: 4088, .. })
    ));
    assert_eq!(buffer, b"before");
}

#[test]
fn short_strings_over_255_octets_are_refused_never_cut() {
    let long = "x".repeat(256);
    let too_long = Err(EncodeError::ShortStringTooLong { octets: 256 });
    let mut buffer = b"before".to_vec();
    let close = channel_class::Close {
        reply_code: 404,
        reply_text: &long,
        class_id: 0,
        method_id: 0,
    };
    assert_eq!(method(&mut buffer, CHANNEL, close, limit(4096)), too_long);
    let declared = queue::DeclareOk {
        queue: &long,
        message_count: 0,
        consumer_count: 0,
    };
    assert_eq!(
        method(&mut buffer, CHANNEL, declared, limit(4096)),
        too_long
    );
    let delivery = Delivery {
        consumer_tag: &long,
        ..delivery(b"\0\0")
    };
    let content = Content {
        header: &header(b""),
        body: b"",
    };
    assert_eq!(
        deliver(&mut buffer, CHANNEL, &delivery, &content, limit(4096)),
        too_long
    );
    assert_eq!(
        address(&long, ""),
        Err(EncodeError::ShortStringTooLong { octets: 256 })
    );
    assert_eq!(
        address("", &long),
        Err(EncodeError::ShortStringTooLong { octets: 256 })
    );
    assert_eq!(buffer, b"before");
    let fits = channel_class::Close {
        reply_text: &long[..255],
        ..close
    };
    assert_eq!(method(&mut buffer, CHANNEL, fits, limit(4096)), Ok(()));
}
