//! Our codec against `amq-protocol`: the same octets have the same meaning, in both directions.
//!
//! The methods are generated from a second, independent description of their arguments.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in its helpers too"
)]

#[path = "../fuzz/targets/mod.rs"]
mod targets;

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, parse_frame};
use amq_protocol::protocol::AMQPClass;
use amq_protocol::protocol::basic::AMQPProperties;
use amq_protocol::types::{AMQPValue, DecimalValue, FieldTable, ShortString};
use leveret::wire::encoder::{self, Content, Delivery};
use leveret::wire::table::{self, TableLimits, encode_table};
use leveret::wire::{ContentHeader, FrameKind, FrameLimit, Method, Properties, TableReader, scan};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use targets::{Verdict, meaning, oracle};

/// The arguments of every method, one letter each: octet `o`, short `s`, long `l`, long-long `g`,
/// short string `t`, long string `x`, table `f`, bit `b`. Reserved ones, which the oracle writes
/// as zero, are upper case; `1` is the access ticket it always writes as 1.
const ARGUMENTS: [(u16, u16, &str); 66] = [
    (10, 10, "oofxx"),
    (10, 11, "ftxt"),
    (10, 20, "x"),
    (10, 21, "x"),
    (10, 30, "sls"),
    (10, 31, "sls"),
    (10, 40, "tTB"),
    (10, 41, "T"),
    (10, 50, "stss"),
    (10, 51, ""),
    (10, 60, "t"),
    (10, 61, ""),
    (10, 70, "xt"),
    (10, 71, ""),
    (20, 10, "T"),
    (20, 11, "X"),
    (20, 20, "b"),
    (20, 21, "b"),
    (20, 40, "stss"),
    (20, 41, ""),
    (30, 10, "tbbbbb"),
    (30, 11, "1"),
    (40, 10, "Sttbbbbbf"),
    (40, 11, ""),
    (40, 20, "Stbb"),
    (40, 21, ""),
    (40, 30, "Stttbf"),
    (40, 31, ""),
    (40, 40, "Stttbf"),
    (40, 51, ""),
    (50, 10, "Stbbbbbf"),
    (50, 11, "tll"),
    (50, 20, "Stttbf"),
    (50, 21, ""),
    (50, 30, "Stb"),
    (50, 31, "l"),
    (50, 40, "Stbbb"),
    (50, 41, "l"),
    (50, 50, "Stttf"),
    (50, 51, ""),
    (60, 10, "Lsb"),
    (60, 11, ""),
    (60, 20, "Sttbbbbf"),
    (60, 21, "t"),
    (60, 30, "tb"),
    (60, 31, "t"),
    (60, 40, "Sttbb"),
    (60, 50, "sttt"),
    (60, 60, "tgbtt"),
    (60, 70, "Stb"),
    (60, 71, "gbttl"),
    (60, 72, "T"),
    (60, 80, "gb"),
    (60, 90, "gb"),
    (60, 100, "b"),
    (60, 110, "b"),
    (60, 111, ""),
    (60, 120, "gbb"),
    (85, 10, "b"),
    (85, 11, ""),
    (90, 10, ""),
    (90, 11, ""),
    (90, 20, ""),
    (90, 21, ""),
    (90, 30, ""),
    (90, 31, ""),
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z.#*/]{0,12}", "\\PC{0,20}", "[a-z]{255}"]
}

fn key() -> impl Strategy<Value = ShortString> {
    text().prop_map(ShortString::from)
}

/// Every type the oracle can write; floats that are equal to themselves.
fn value() -> impl Strategy<Value = AMQPValue> {
    let flat = prop_oneof![
        any::<bool>().prop_map(AMQPValue::Boolean),
        any::<i8>().prop_map(AMQPValue::ShortShortInt),
        any::<u8>().prop_map(AMQPValue::ShortShortUInt),
        any::<i16>().prop_map(AMQPValue::ShortInt),
        any::<u16>().prop_map(AMQPValue::ShortUInt),
        any::<i32>().prop_map(AMQPValue::LongInt),
        any::<u32>().prop_map(AMQPValue::LongUInt),
        any::<i64>().prop_map(AMQPValue::LongLongInt),
        (-1e30_f32..1e30).prop_map(AMQPValue::Float),
        (-1e300_f64..1e300).prop_map(AMQPValue::Double),
        any::<(u8, u32)>()
            .prop_map(|(scale, value)| AMQPValue::DecimalValue(DecimalValue { scale, value })),
        vec(any::<u8>(), 0..40).prop_map(|octets| AMQPValue::LongString(octets.into())),
        any::<u64>().prop_map(AMQPValue::Timestamp),
        vec(any::<u8>(), 0..40).prop_map(|octets| AMQPValue::ByteArray(octets.into())),
        Just(AMQPValue::Void),
    ];
    flat.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(|values| AMQPValue::FieldArray(values.into())),
            vec((key(), inner), 0..5).prop_map(|entries| AMQPValue::FieldTable(collect(entries))),
        ]
    })
}

fn collect(entries: Vec<(ShortString, AMQPValue)>) -> FieldTable {
    entries
        .into_iter()
        .collect::<std::collections::BTreeMap<_, _>>()
        .into()
}

fn field_table() -> impl Strategy<Value = FieldTable> {
    vec((key(), value()), 0..6).prop_map(collect)
}

/// One argument on the wire; bits are kept apart to be packed.
#[derive(Clone, Debug)]
enum Piece {
    Octets(Vec<u8>),
    Bit(bool),
}

fn sized(octets: &[u8]) -> Piece {
    let length = u32::try_from(octets.len()).unwrap();
    Piece::Octets([&length.to_be_bytes(), octets].concat())
}

fn piece(letter: char) -> BoxedStrategy<Piece> {
    let octets = |length: usize| vec(any::<u8>(), length).prop_map(Piece::Octets).boxed();
    match letter {
        'o' => octets(1),
        's' => octets(2),
        'l' => octets(4),
        'g' => octets(8),
        't' => text()
            .prop_map(|text| {
                let length = u8::try_from(text.len()).unwrap();
                Piece::Octets([&[length], text.as_bytes()].concat())
            })
            .boxed(),
        'x' => vec(any::<u8>(), 0..40)
            .prop_map(|octets| sized(&octets))
            .boxed(),
        'f' => field_table()
            .prop_map(|table| sized(&oracle_table(&table)))
            .boxed(),
        'b' => any::<bool>().prop_map(Piece::Bit).boxed(),
        'S' => Just(Piece::Octets(vec![0; 2])).boxed(),
        'L' | 'X' => Just(Piece::Octets(vec![0; 4])).boxed(),
        'T' => Just(Piece::Octets(vec![0])).boxed(),
        'B' => Just(Piece::Bit(false)).boxed(),
        '1' => Just(Piece::Octets(vec![0, 1])).boxed(),
        other => panic!("no argument is called {other}"),
    }
}

/// A table as the oracle writes it, without a length before it.
fn oracle_table(table: &FieldTable) -> Vec<u8> {
    let method = amq_protocol::protocol::queue::Declare {
        arguments: table.clone(),
        ..Default::default()
    };
    let method = amq_protocol::protocol::queue::AMQPMethod::Declare(method);
    let payload = oracle::write_method(AMQPClass::Queue(method));
    payload[12..].to_vec()
}

/// The payload of a random, valid method.
fn method_payload() -> impl Strategy<Value = Vec<u8>> {
    proptest::sample::select(&ARGUMENTS[..]).prop_flat_map(|(class_id, method_id, arguments)| {
        arguments
            .chars()
            .map(piece)
            .collect::<Vec<_>>()
            .prop_map(move |pieces| {
                let ids = [class_id.to_be_bytes(), method_id.to_be_bytes()].concat();
                assemble(ids, &pieces)
            })
    })
}

fn assemble(mut payload: Vec<u8>, pieces: &[Piece]) -> Vec<u8> {
    let mut bits = 0;
    for piece in pieces {
        match piece {
            Piece::Octets(octets) => {
                payload.extend_from_slice(octets);
                bits = 0;
            }
            Piece::Bit(bit) => {
                if bits == 0 {
                    payload.push(0);
                }
                *payload.last_mut().unwrap() |= u8::from(*bit) << bits;
                bits += 1;
            }
        }
    }
    payload
}

fn properties() -> impl Strategy<Value = AMQPProperties> {
    let texts = vec(option::of(key()), 10);
    let octets = (
        option::of(any::<u8>()),
        option::of(any::<u8>()),
        option::of(any::<u64>()),
    );
    (texts, option::of(field_table()), octets).prop_map(|(texts, headers, octets)| {
        let (delivery_mode, priority, timestamp) = octets;
        let setters = [
            AMQPProperties::with_content_type,
            AMQPProperties::with_content_encoding,
            AMQPProperties::with_correlation_id,
            AMQPProperties::with_reply_to,
            AMQPProperties::with_expiration,
            AMQPProperties::with_message_id,
            AMQPProperties::with_type,
            AMQPProperties::with_user_id,
            AMQPProperties::with_app_id,
            AMQPProperties::with_cluster_id,
        ];
        let mut properties = AMQPProperties::default();
        for (text, set) in texts.into_iter().zip(setters) {
            if let Some(text) = text {
                properties = set(properties, text);
            }
        }
        if let Some(headers) = headers {
            properties = properties.with_headers(headers);
        }
        if let Some(mode) = delivery_mode {
            properties = properties.with_delivery_mode(mode);
        }
        if let Some(priority) = priority {
            properties = properties.with_priority(priority);
        }
        if let Some(timestamp) = timestamp {
            properties = properties.with_timestamp(timestamp);
        }
        properties
    })
}

/// The payload of a header frame as the oracle writes it.
fn header_payload(body_size: u64, properties: AMQPProperties) -> Vec<u8> {
    let header = AMQPContentHeader {
        class_id: 60,
        body_size,
        properties,
    };
    let frame = oracle::write_frame(&AMQPFrame::Header(1, header));
    frame[7..frame.len() - 1].to_vec()
}

fn limit() -> impl Strategy<Value = FrameLimit> {
    proptest::sample::select(&[0_u32, 4096, 8192, 131_072][..])
        .prop_map(|frame_max| FrameLimit::negotiated(frame_max).unwrap())
}

proptest! {
    #[test]
    fn methods_have_the_same_meaning_both_ways(payload in method_payload()) {
        let ours = Method::parse(&payload).unwrap();
        let theirs = oracle::parse_method(&payload).unwrap();
        prop_assert_eq!(&meaning::meaning(ours), &theirs);
        prop_assert_eq!(oracle::write_method(theirs), &payload[..]);
        let mut frame = Vec::new();
        encoder::method(&mut frame, 1, ours, FrameLimit::UNLIMITED).unwrap();
        prop_assert_eq!(&frame[7..frame.len() - 1], &payload[..]);
    }

    #[test]
    fn a_method_cut_anywhere_is_refused(payload in method_payload(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(payload.len());
        prop_assert!(Method::parse(&payload[..cut]).is_err());
    }

    #[test]
    fn method_frames_are_the_same_octets(payload in method_payload(), channel in any::<u16>()) {
        let class = oracle::parse_method(&payload).unwrap();
        let theirs = oracle::write_frame(&AMQPFrame::Method(channel, class));
        let (raw, consumed) = scan(&theirs, FrameLimit::UNLIMITED).unwrap().unwrap();
        prop_assert_eq!((raw.kind, raw.channel), (FrameKind::Method, channel));
        prop_assert_eq!(consumed, theirs.len());
        let method = Method::parse(raw.payload(&theirs)).unwrap();
        let mut ours = Vec::new();
        encoder::method(&mut ours, channel, method, FrameLimit::UNLIMITED).unwrap();
        prop_assert_eq!(ours, theirs);
    }

    #[test]
    fn tables_have_the_same_meaning_both_ways(table in field_table()) {
        let bytes = oracle_table(&table);
        prop_assert_eq!(table::validate(&bytes, TableLimits::FRAME), Ok(()));
        let decoded = TableReader::new(&bytes).to_field_table().unwrap();
        prop_assert_eq!(&decoded, &table);
        prop_assert_eq!(encode_table(&decoded).unwrap(), bytes);
    }

    #[test]
    fn properties_have_the_same_meaning_both_ways(
        properties in properties(),
        body_size in any::<u64>(),
    ) {
        let payload = header_payload(body_size, properties.clone());
        let ours = ContentHeader::parse(&payload).unwrap();
        prop_assert_eq!((ours.class_id, ours.weight, ours.body_size), (60, 0, body_size));
        prop_assert_eq!(targets::properties(ours.properties.as_bytes()), Verdict::Accepted);
        let theirs = oracle::parse_all_properties(ours.properties.as_bytes());
        prop_assert_eq!(theirs, Some(properties));
        let mut written = Vec::new();
        ContentHeader::write(&mut written, body_size, ours.properties.as_bytes());
        prop_assert_eq!(written, payload);
    }

    #[test]
    fn a_delivery_is_read_by_the_oracle_frame_by_frame(
        tag in "[a-z]{0,20}",
        exchange in text(),
        routing_key in text(),
        delivery_tag in any::<u64>(),
        redelivered in any::<bool>(),
        body in vec(any::<u8>(), 0..10_000),
        limit in limit(),
    ) {
        let mut header = Vec::new();
        ContentHeader::write(&mut header, body.len() as u64, Properties::EMPTY.as_bytes());
        let address = encoder::address(&exchange, &routing_key).unwrap();
        let delivery = Delivery { consumer_tag: &tag, delivery_tag, redelivered, address: &address };
        let content = Content { header: &header, body: &body };
        let mut buffer = Vec::new();
        encoder::deliver(&mut buffer, 9, &delivery, &content, limit).unwrap();
        let mut frames = Vec::new();
        let mut rest = &buffer[..];
        while !rest.is_empty() {
            let (behind, frame) = parse_frame(rest).unwrap();
            prop_assert!(rest.len() - behind.len() <= limit.payload_max() + 8);
            rest = behind;
            frames.push(frame);
        }
        let deliver = amq_protocol::protocol::basic::Deliver {
            consumer_tag: tag.as_str().into(),
            delivery_tag,
            redelivered,
            exchange: exchange.as_str().into(),
            routing_key: routing_key.as_str().into(),
        };
        let deliver = amq_protocol::protocol::basic::AMQPMethod::Deliver(deliver);
        prop_assert_eq!(&frames[0], &AMQPFrame::Method(9, AMQPClass::Basic(deliver)));
        let expected = AMQPContentHeader {
            class_id: 60,
            body_size: body.len() as u64,
            properties: AMQPProperties::default(),
        };
        prop_assert_eq!(&frames[1], &AMQPFrame::Header(9, expected));
        let joined: Vec<u8> = frames[2..]
            .iter()
            .flat_map(|frame| match frame {
                AMQPFrame::Body(9, piece) => piece.clone(),
                other => panic!("{other:?} among the bodies"),
            })
            .collect();
        prop_assert_eq!(joined, body);
    }

    #[test]
    fn random_octets_never_panic(data in vec(any::<u8>(), 0..600)) {
        for target in targets::ALL {
            (target.run)(&data);
        }
    }

    #[test]
    fn random_arguments_of_known_methods_never_panic(
        (class_id, method_id, _) in proptest::sample::select(&ARGUMENTS[..]),
        arguments in vec(any::<u8>(), 0..80),
    ) {
        let ids = [class_id.to_be_bytes(), method_id.to_be_bytes()].concat();
        targets::methods(&[ids, arguments].concat());
    }
}

/// Where the oracle loses something, we do not.
#[test]
fn what_the_oracle_loses_is_kept() {
    let qos = b"\0\x3c\0\x0a\0\0\0\x05\0\x01\x01";
    let rewritten = oracle::write_method(oracle::parse_method(qos).unwrap());
    assert_eq!(rewritten, b"\0\x3c\0\x0a\0\0\0\0\0\x01\x01");
    let mut frame = Vec::new();
    let method = Method::parse(qos).unwrap();
    encoder::method(&mut frame, 1, method, FrameLimit::UNLIMITED).unwrap();
    assert_eq!(&frame[7..frame.len() - 1], qos);

    let table = b"\x01zL\0\0\0\0\0\0\0\x01\x01aB\x01\x01aB\x02";
    let last = oracle::parse_table(table).unwrap();
    assert_eq!(last.inner().get("a"), Some(&AMQPValue::ShortShortUInt(2)));
    let first = TableReader::new(table).to_field_table().unwrap();
    assert_eq!(first.inner().get("a"), Some(&AMQPValue::ShortShortUInt(1)));
    let keys: Vec<_> = TableReader::new(table)
        .iter()
        .map(|entry| entry.key)
        .collect();
    assert_eq!(keys, [b"z", b"a", b"a"]);

    let type_u = b"\x01kU\0\x01";
    assert!(oracle::parse_table(type_u).is_some());
    assert_eq!(targets::tables(type_u), Verdict::Refused);
}
