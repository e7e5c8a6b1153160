//! What is fuzzed: each target takes any octets, must not panic on them, and holds what it reads
//! against `amq-protocol` and against what it writes again.

// Each of the programs that share this module uses a part of it.
#![allow(dead_code)]

pub(crate) mod meaning;
pub(crate) mod oracle;

use std::collections::HashMap;

use amq_protocol::types::FieldTable;
use leveret::wire::method::{self, Method};
use leveret::wire::table::{self, TableLimits};
use leveret::wire::{
    ArgumentError, ContentError, ContentHeader, EncodeError, FrameKind, FrameLimit, MethodError,
    Properties, PropertiesBuilder, Property, ProtocolHeader, TableReader, TableWriter, Value,
    encoder, scan,
};

/// What a target made of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All of it was understood.
    Accepted,
    /// Something was refused, as it should be for octets that mean nothing.
    Refused,
}

impl Verdict {
    fn from_refused(refused: bool) -> Self {
        if refused {
            Self::Refused
        } else {
            Self::Accepted
        }
    }
}

/// A target and the name of its corpus.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// The folder of its corpus.
    pub(crate) name: &'static str,
    /// The target itself.
    pub(crate) run: fn(&[u8]) -> Verdict,
}

/// All targets.
pub(crate) const ALL: [Target; 4] = [
    Target {
        name: "frames",
        run: frames,
    },
    Target {
        name: "methods",
        run: methods,
    },
    Target {
        name: "properties",
        run: properties,
    },
    Target {
        name: "tables",
        run: tables,
    },
];

/// A stream of frames after one octet that chooses the limit.
pub(crate) fn frames(data: &[u8]) -> Verdict {
    let Some((choice, mut stream)) = data.split_first() else {
        return Verdict::Refused;
    };
    let limit = match choice % 4 {
        0 => FrameLimit::INITIAL,
        1 => FrameLimit::negotiated(FrameLimit::FRAME_MIN).expect("the minimum is legal"),
        2 => FrameLimit::negotiated(131_072).expect("RabbitMQ's default is legal"),
        _ => FrameLimit::UNLIMITED,
    };
    if let Some(header) = stream.first_chunk() {
        let _ = ProtocolHeader::parse(header);
    }
    let mut refused = false;
    loop {
        match scan(stream, limit) {
            Ok(Some((frame, consumed))) => {
                let payload = frame.payload(stream);
                assert_eq!(payload.len() + 8, consumed, "{frame:?}");
                assert_eq!(scan(&stream[..consumed - 1], limit), Ok(None), "{frame:?}");
                assert!(!frame.describe(stream).to_string().is_empty());
                refused |= payload_of(frame.kind, payload) == Verdict::Refused;
                stream = &stream[consumed..];
            }
            Ok(None) => return Verdict::from_refused(refused || !stream.is_empty()),
            Err(error) => {
                assert!(error.to_string().len() < 255, "{error}");
                let Some(consumed) = error.consumed() else {
                    return Verdict::Refused;
                };
                refused = true;
                stream = &stream[consumed..];
            }
        }
    }
}

fn payload_of(kind: FrameKind, payload: &[u8]) -> Verdict {
    match kind {
        FrameKind::Method => methods(payload),
        FrameKind::Header => match ContentHeader::parse(payload) {
            Ok(header) => properties(header.properties.as_bytes()),
            Err(_) => Verdict::Refused,
        },
        FrameKind::Body | FrameKind::Heartbeat => Verdict::Accepted,
    }
}

/// The payload of a method frame.
pub(crate) fn methods(payload: &[u8]) -> Verdict {
    let _ = method::publish_address(payload);
    match Method::parse(payload) {
        Ok(method) => {
            check_method(payload, method);
            Verdict::Accepted
        }
        Err(error) => {
            assert!(error.to_string().len() < 1_024, "{error}");
            if oracle_shares_refusal(&error) {
                assert_eq!(
                    oracle::parse_method(payload),
                    None,
                    "{error} in {payload:?}"
                );
            }
            Verdict::Refused
        }
    }
}

fn oracle_shares_refusal(error: &MethodError) -> bool {
    match error {
        MethodError::Undecodable {
            reason: ArgumentError::Table(reason),
            ..
        } => oracle::shares(*reason),
        MethodError::Unknown { .. }
        | MethodError::MalformedText { .. }
        | MethodError::Undecodable { .. } => true,
    }
}

fn check_method(payload: &[u8], method: Method<'_>) {
    let mut frame = Vec::new();
    encoder::method(&mut frame, 1, method, FrameLimit::UNLIMITED)
        .expect("what was read can be written");
    let written = &frame[7..frame.len() - 1];
    assert_eq!(written.len(), payload.len(), "{method:?}");
    assert_eq!(Method::parse(written), Ok(method));
    let theirs = oracle::parse_method(payload);
    let theirs = theirs.unwrap_or_else(|| panic!("only we read {method:?}"));
    if !table_of(method).is_some_and(oracle::has_duplicates) {
        let ours = meaning::meaning(method);
        assert_eq!(
            oracle::write_method(ours),
            oracle::write_method(theirs),
            "{method:?}"
        );
    }
}

/// The table among the arguments.
fn table_of(method: Method<'_>) -> Option<TableReader<'_>> {
    use leveret::wire::method::{basic, connection, exchange, queue};

    match method {
        Method::Connection(connection::Method::Start(start)) => Some(start.server_properties),
        Method::Connection(connection::Method::StartOk(start)) => Some(start.client_properties),
        Method::Exchange(exchange::Method::Declare(declare)) => Some(declare.arguments),
        Method::Exchange(exchange::Method::Bind(bind)) => Some(bind.arguments),
        Method::Exchange(exchange::Method::Unbind(unbind)) => Some(unbind.arguments),
        Method::Queue(queue::Method::Declare(declare)) => Some(declare.arguments),
        Method::Queue(queue::Method::Bind(bind)) => Some(bind.arguments),
        Method::Queue(queue::Method::Unbind(unbind)) => Some(unbind.arguments),
        Method::Basic(basic::Method::Consume(consume)) => Some(consume.arguments),
        _ => None,
    }
}

/// A table without a length before it.
pub(crate) fn tables(bytes: &[u8]) -> Verdict {
    let table = TableReader::new(bytes);
    let read: usize = table.iter().map(|entry| entry.bytes.len()).sum();
    assert!(read <= bytes.len());
    match table::validate(bytes, TableLimits::FRAME) {
        Ok(()) => {
            check_table(table);
            Verdict::Accepted
        }
        Err(error) => {
            assert!(
                table.to_field_table().is_err(),
                "decoded in spite of {error}"
            );
            if oracle::shares(error) {
                assert_eq!(oracle::parse_table(bytes), None, "{error} in {bytes:?}");
            }
            Verdict::Refused
        }
    }
}

fn check_table(table: TableReader<'_>) {
    let mut copy = TableWriter::new();
    let mut rewritten = TableWriter::new();
    let mut first_values = HashMap::new();
    for entry in table {
        copy.copy(&entry);
        rewritten
            .entry(entry.key, entry.value)
            .expect("what was read can be written");
        first_values.entry(entry.key).or_insert(entry.value);
    }
    for (key, first) in first_values {
        let found = table.get(key).expect("an entry is found by its key");
        assert_eq!(type_and_bits(found), type_and_bits(first), "{key:?}");
    }
    assert_eq!(copy.finish(), table.as_bytes());
    assert_eq!(
        table::validate(rewritten.as_reader().as_bytes(), TableLimits::FRAME),
        Ok(())
    );
    let Ok(decoded) = table.to_field_table() else {
        assert_eq!(
            oracle::parse_table(table.as_bytes()),
            None,
            "only we refuse {table:?}"
        );
        return;
    };
    let encoded = table::encode_table(&decoded).expect("what was read can be written");
    assert_eq!(table::validate(&encoded, TableLimits::FRAME), Ok(()));
    let theirs = oracle::parse_table(table.as_bytes()).expect("the oracle reads what we read");
    if !oracle::has_duplicates(table) {
        assert_eq!(
            encoded,
            table::encode_table(&theirs).expect("a table as deep as ours")
        );
    }
}

/// A value as octets, so that NaN equals itself.
fn type_and_bits(value: Value<'_>) -> Vec<u8> {
    let mut writer = table::ArrayWriter::new();
    writer.push(value).expect("what was read can be written");
    writer.finish()
}

/// The properties of a content header, flags first.
pub(crate) fn properties(bytes: &[u8]) -> Verdict {
    let properties = Properties::new(bytes);
    for property in Property::ALL {
        let found = properties.get(property);
        assert!(found.is_none_or(|value| value.len() < bytes.len()));
    }
    match properties.validate() {
        Ok(()) => {
            check_properties(properties);
            Verdict::Accepted
        }
        Err(error) => {
            let shared = match error {
                ContentError::Headers(reason) => oracle::shares(reason),
                ContentError::HeaderTooShort { .. }
                | ContentError::Truncated { .. }
                | ContentError::Trailing { .. } => true,
            };
            if shared {
                assert_eq!(
                    oracle::parse_all_properties(bytes),
                    None,
                    "{error} in {bytes:?}"
                );
            }
            Verdict::Refused
        }
    }
}

fn check_properties(properties: Properties<'_>) {
    let builder = PropertiesBuilder::from(properties);
    let mut clean = properties.as_bytes().to_vec();
    clean[1] &= !0b11;
    assert_eq!(builder.finish(), clean);
    assert_eq!(properties.has_clean_flags(), clean == properties.as_bytes());
    check_removal(properties);
    let Some(theirs) = oracle::parse_all_properties(properties.as_bytes()) else {
        assert!(!is_all_text(properties), "only we read {properties:?}");
        return;
    };
    let texts = [
        (Property::ContentType, theirs.content_type()),
        (Property::ContentEncoding, theirs.content_encoding()),
        (Property::CorrelationId, theirs.correlation_id()),
        (Property::ReplyTo, theirs.reply_to()),
        (Property::Expiration, theirs.expiration()),
        (Property::MessageId, theirs.message_id()),
        (Property::Type, theirs.kind()),
        (Property::UserId, theirs.user_id()),
        (Property::AppId, theirs.app_id()),
        (Property::ClusterId, theirs.cluster_id()),
    ];
    for (property, text) in texts {
        let text = text.as_ref().map(|text| text.as_str().as_bytes());
        assert_eq!(properties.get(property), text, "{property:?}");
    }
    assert_eq!(properties.delivery_mode(), *theirs.delivery_mode());
    assert_eq!(properties.priority(), *theirs.priority());
    assert_eq!(properties.timestamp(), *theirs.timestamp());
    assert_eq!(properties.headers().is_some(), theirs.headers().is_some());
    if let (Some(ours), Some(theirs)) = (properties.headers(), theirs.headers()) {
        check_headers(ours, theirs);
    }
}

fn check_headers(ours: TableReader<'_>, theirs: &FieldTable) {
    let decoded = ours.to_field_table().expect("the oracle reads it");
    if !oracle::has_duplicates(ours) {
        assert_eq!(table::encode_table(&decoded), table::encode_table(theirs));
    }
}

/// Removes the first header and looks at what is left.
fn check_removal(properties: Properties<'_>) {
    let Some(removed) = properties.headers().and_then(|table| table.iter().next()) else {
        return;
    };
    let without = PropertiesBuilder::from(properties)
        .without_header(removed.key)
        .map(|builder| builder.finish())
        .unwrap_or_else(|error: EncodeError| panic!("{error}"));
    let without = Properties::new(&without);
    assert_eq!(without.validate(), Ok(()));
    assert!(
        without
            .headers()
            .is_some_and(|table| table.get(removed.key).is_none())
    );
    for property in Property::ALL
        .into_iter()
        .filter(|other| *other != Property::Headers)
    {
        assert_eq!(without.get(property), properties.get(property));
    }
}

/// Whether all short strings and keys are text, which only the oracle demands.
fn is_all_text(properties: Properties<'_>) -> bool {
    let texts = Property::ALL
        .into_iter()
        .filter(|property| !matches!(property, Property::Headers | Property::Timestamp))
        .filter(|property| !matches!(property, Property::DeliveryMode | Property::Priority))
        .filter_map(|property| properties.get(property))
        .all(|text| std::str::from_utf8(text).is_ok());
    texts
        && properties
            .headers()
            .is_none_or(|table| table.to_field_table().is_ok())
}
