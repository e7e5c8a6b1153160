use super::*;

fn frame(type_octet: u8, channel: u16, payload: &[u8], marker: u8) -> Vec<u8> {
    let mut bytes = vec![type_octet];
    bytes.extend_from_slice(&channel.to_be_bytes());
    bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes.push(marker);
    bytes
}

fn limit(frame_max: u32) -> FrameLimit {
    FrameLimit::negotiated(frame_max).unwrap()
}

fn refusal(bytes: &[u8]) -> FrameError {
    scan(bytes, limit(131_072)).unwrap_err()
}

#[test]
fn a_frame_is_peeled_with_its_kind_channel_and_payload() {
    let cases = [
        (1, FrameKind::Method, &b"\0\x14\0\x29"[..]),
        (2, FrameKind::Header, b"\0\x3c\0\0\0\0\0\0\0\0\0\0\0\0"),
        (3, FrameKind::Body, b"hello"),
        (3, FrameKind::Body, b""),
        (8, FrameKind::Heartbeat, b""),
    ];
    for (type_octet, kind, payload) in cases {
        let mut bytes = frame(type_octet, 513, payload, END_MARKER);
        let length = bytes.len();
        bytes.extend_from_slice(b"next");
        let (raw, consumed) = scan(&bytes, limit(4096)).unwrap().unwrap();
        assert_eq!((raw.kind, raw.channel, consumed), (kind, 513, length));
        assert_eq!(raw.payload(&bytes), payload);
    }
}

#[test]
fn an_incomplete_frame_waits_for_more_at_every_length() {
    let bytes = frame(1, 1, b"\0\x14\0\x29", END_MARKER);
    for length in 0..bytes.len() {
        assert_eq!(
            scan(&bytes[..length], limit(4096)),
            Ok(None),
            "{length} octets"
        );
    }
}

#[test]
fn the_heartbeat_constant_is_a_heartbeat() {
    let (raw, consumed) = scan(&HEARTBEAT, limit(4096)).unwrap().unwrap();
    assert_eq!(
        (raw.kind, raw.channel, consumed),
        (FrameKind::Heartbeat, 0, HEARTBEAT.len())
    );
}

#[test]
fn a_payload_of_the_whole_frame_max_is_tolerated_and_one_octet_more_is_not() {
    for (length, accepted) in [(4088, true), (4096, true), (4097, false)] {
        let bytes = frame(3, 1, &vec![0; length], END_MARKER);
        assert_eq!(
            scan(&bytes, limit(4096)).is_ok(),
            accepted,
            "payload of {length}"
        );
    }
}

#[test]
fn an_oversized_frame_is_refused_from_its_head_alone() {
    let head = [3, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF];
    for frame_max in [0, 131_072] {
        assert!(matches!(
            scan(&head, limit(frame_max)),
            Err(FrameError::TooLarge {
                type_octet: 3,
                size: u32::MAX,
                ..
            })
        ));
    }
    assert_eq!(scan(&head[..6], limit(131_072)), Ok(None));
}

#[test]
fn a_frame_max_below_the_minimum_is_no_limit_at_all() {
    let cases = [
        (1, None),
        (4095, None),
        (4096, Some(4088)),
        (131_072, Some(131_064)),
    ];
    for (frame_max, payload_max) in cases {
        assert_eq!(
            FrameLimit::negotiated(frame_max).map(FrameLimit::payload_max),
            payload_max
        );
    }
    assert_eq!(FrameLimit::negotiated(0), Some(FrameLimit::UNLIMITED));
    assert_eq!(
        FrameLimit::negotiated(u32::MAX),
        Some(FrameLimit::UNLIMITED)
    );
}

/// The texts were taken from RabbitMQ 4.3, which got the same bytes.
#[test]
fn refused_frames_are_described_as_rabbitmq_does() {
    let cases: [(Vec<u8>, &str); 9] = [
        (
            frame(1, 1, b"\0\x3c\0\x0a\0\0\0\0\0\0\0", 1),
            "type 1, all octets = <<0,60,0,10,0,0,0,0,0,0,0>>: {invalid_frame_end_marker,1}",
        ),
        (
            frame(8, 0, b"", 5),
            "type 8, all octets = <<>>: {invalid_frame_end_marker,5}",
        ),
        (
            frame(3, 1, &[0; 17], 204),
            "type 3, first 16 octets = <<0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0>>: \
             {invalid_frame_end_marker,204}",
        ),
        (
            frame(3, 1, &[0; 131_073], 0xCE),
            "type 3, all octets = <<>>: {frame_too_large,131073,131064}",
        ),
        (
            frame(5, 1, b"payload", 0xCE),
            "type 5, all octets = <<\"payload\">>: unknown_frame",
        ),
        (
            frame(255, 0, b"payloadpayloadpayload", 0xCE),
            "type 255, first 16 octets = <<\"payloadpayloadpa\">>: unknown_frame",
        ),
        (
            frame(1, 1, b"abc", 0xCE),
            "type 1, all octets = <<\"abc\">>: unknown_frame",
        ),
        (
            frame(2, 1, b"abcdefghijk", 0xCE),
            "type 2, all octets = <<\"abcdefghijk\">>: unknown_frame",
        ),
        (
            frame(8, 0, b"zz", 0xCE),
            "type 8, all octets = <<\"zz\">>: unknown_frame",
        ),
    ];
    for (bytes, text) in cases {
        assert_eq!(refusal(&bytes).to_string(), text);
    }
}

#[test]
fn the_reader_goes_on_behind_a_refused_frame_only_if_it_knows_where() {
    let cases = [
        (frame(5, 1, b"payload", 0xCE), Some(15)),
        (frame(1, 1, b"abc", 0xCE), Some(11)),
        (frame(2, 1, b"abc", 0xCE), Some(11)),
        (frame(8, 1, b"abc", 0xCE), Some(11)),
        (frame(1, 1, b"abcd", 0), None),
        (frame(3, 1, &[0; 131_073], 0xCE), None),
    ];
    for (bytes, consumed) in cases {
        assert_eq!(refusal(&bytes).consumed(), consumed, "{bytes:?}");
    }
}

#[test]
fn an_unexpected_frame_is_described_by_its_first_octets() {
    let bytes = frame(3, 0, b"abc", END_MARKER);
    let (raw, _) = scan(&bytes, limit(4096)).unwrap().unwrap();
    assert_eq!(
        raw.describe(&bytes).to_string(),
        "type 3, all octets = <<\"abc\">>"
    );
}

#[test]
fn the_protocol_header_tells_versions_and_strangers_apart() {
    use ProtocolGuess::{Http, OtherAmqp, Tls, Unknown};
    use ProtocolHeader::{Amqp09, Amqp091, Unsupported};

    let cases: [(&[u8; 8], ProtocolHeader); 10] = [
        (b"AMQP\0\0\x09\x01", Amqp091),
        (b"AMQP\x01\x01\0\x09", Amqp09),
        (b"AMQP\0\0\x09\0", Unsupported(OtherAmqp)),
        (b"AMQP\0\x01\0\0", Unsupported(OtherAmqp)),
        (b"AMQP\x03\x01\0\0", Unsupported(OtherAmqp)),
        (b"AMQP\x01\x01\x08\0", Unsupported(OtherAmqp)),
        (b"\x16\x03\x01\x02\0\x01\0\x01", Unsupported(Tls)),
        (b"GET / HT", Unsupported(Http)),
        (b"PRI * HT", Unsupported(Http)),
        (b"\0\0\0\0\0\0\0\0", Unsupported(Unknown)),
    ];
    for (octets, header) in cases {
        assert_eq!(ProtocolHeader::parse(octets), header, "{octets:?}");
    }
    assert_eq!(ProtocolHeader::parse(&ProtocolHeader::SUPPORTED), Amqp091);
}
