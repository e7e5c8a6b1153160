use super::*;
use crate::wire::table::{TableWriter, Value};
use crate::wire::{ContentHeader, EncodeError, TableError};

/// Properties with every field set.
fn full() -> Vec<u8> {
    let mut headers = TableWriter::new();
    headers.entry("CC", Value::LongString(b"a")).unwrap();
    headers.entry("BCC", Value::LongString(b"b")).unwrap();
    headers.entry("n", Value::LongLongInt(-1)).unwrap();
    PropertiesBuilder::new()
        .text(Property::ContentType, "text/plain")
        .and_then(|builder| builder.text(Property::ContentEncoding, "gzip"))
        .and_then(|builder| builder.headers(headers.as_reader()))
        .and_then(|builder| builder.text(Property::CorrelationId, "correlation"))
        .and_then(|builder| builder.text(Property::ReplyTo, "replies"))
        .and_then(|builder| builder.text(Property::Expiration, "1000"))
        .and_then(|builder| builder.text(Property::MessageId, "message"))
        .and_then(|builder| builder.text(Property::Type, "kind"))
        .and_then(|builder| builder.text(Property::UserId, "guest"))
        .and_then(|builder| builder.text(Property::AppId, "app"))
        .and_then(|builder| builder.text(Property::ClusterId, ""))
        .unwrap()
        .delivery_mode(2)
        .priority(9)
        .timestamp(u64::MAX)
        .finish()
}

fn headers_of(bytes: &[u8]) -> Vec<Vec<u8>> {
    let table = Properties::new(bytes).headers().unwrap();
    table.iter().map(|entry| entry.key.to_vec()).collect()
}

#[test]
fn every_property_is_found_where_it_lies() {
    let bytes = full();
    let properties = Properties::new(&bytes);
    assert_eq!(properties.validate(), Ok(()));
    assert_eq!(properties.content_type(), Some(&b"text/plain"[..]));
    assert_eq!(properties.content_encoding(), Some(&b"gzip"[..]));
    let table = properties.headers().unwrap();
    assert_eq!(table.get("n"), Some(Value::LongLongInt(-1)));
    assert_eq!(properties.delivery_mode(), Some(2));
    assert!(properties.is_persistent());
    assert_eq!(properties.priority(), Some(9));
    assert_eq!(properties.correlation_id(), Some(&b"correlation"[..]));
    assert_eq!(properties.reply_to(), Some(&b"replies"[..]));
    assert_eq!(properties.expiration(), Some(&b"1000"[..]));
    assert_eq!(properties.message_id(), Some(&b"message"[..]));
    assert_eq!(properties.timestamp(), Some(u64::MAX));
    assert_eq!(properties.kind(), Some(&b"kind"[..]));
    assert_eq!(properties.user_id(), Some(&b"guest"[..]));
    assert_eq!(properties.app_id(), Some(&b"app"[..]));
    assert_eq!(properties.get(Property::ClusterId), Some(&b""[..]));
}

#[test]
fn each_property_has_its_own_flag() {
    let bits = Property::ALL.map(|property| property.flag().trailing_zeros());
    assert_eq!(bits, [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]);
    for property in Property::ALL {
        let bytes = full();
        let only = Property::ALL
            .into_iter()
            .filter(|other| *other != property)
            .fold(
                PropertiesBuilder::from(Properties::new(&bytes)),
                PropertiesBuilder::without,
            )
            .finish();
        let only = Properties::new(&only);
        assert_eq!(only.validate(), Ok(()));
        assert_eq!(only.flags(), property.flag());
        assert_eq!(only.get(property), Properties::new(&bytes).get(property));
    }
}

#[test]
fn absent_properties_are_none_and_an_empty_one_is_not_absent() {
    let empty = Properties::EMPTY;
    assert_eq!(empty.validate(), Ok(()));
    assert!(
        Property::ALL
            .into_iter()
            .all(|property| empty.get(property).is_none())
    );
    assert!(!empty.is_persistent());
    let bytes = [0x24, 0x00, 0, 0, 0, 0, 0];
    let properties = Properties::new(&bytes);
    assert_eq!(properties.validate(), Ok(()));
    assert!(properties.headers().unwrap().is_empty());
    assert_eq!(properties.correlation_id(), Some(&b""[..]));
}

#[test]
fn properties_cut_anywhere_are_refused_and_lookups_stay_calm() {
    let bytes = full();
    for length in 0..bytes.len() {
        let properties = Properties::new(&bytes[..length]);
        assert!(properties.validate().is_err(), "{length} octets");
        for property in Property::ALL {
            let found = properties.get(property);
            assert!(found.is_none() || found == Properties::new(&bytes).get(property));
        }
    }
}

#[test]
fn octets_after_the_last_property_are_refused() {
    let mut bytes = full();
    bytes.extend_from_slice(b"zz");
    let refused = Properties::new(&bytes).validate();
    assert_eq!(refused, Err(ContentError::Trailing { octets: 2 }));
}

#[test]
fn a_refused_header_table_is_named_as_the_reason() {
    let bytes = [0x20, 0, 0, 0, 0, 3, 1, b'k', b'Z'];
    let reason = TableError::UnknownType {
        octet: b'Z',
        offset: 2,
    };
    assert_eq!(
        Properties::new(&bytes).validate(),
        Err(ContentError::Headers(reason))
    );
}

#[test]
fn meaningless_flags_are_ignored_noticed_and_cleared() {
    for flags in [0_u8, 1, 2, 3] {
        let bytes = [0x04, flags, 1, b'a'];
        let properties = Properties::new(&bytes);
        assert_eq!(properties.validate(), Ok(()));
        assert_eq!(properties.correlation_id(), Some(&b"a"[..]));
        assert_eq!(properties.has_clean_flags(), flags == 0);
        assert_eq!(
            PropertiesBuilder::from(properties).finish(),
            [0x04, 0, 1, b'a']
        );
    }
}

#[test]
fn strings_that_are_not_utf8_are_kept() {
    let bytes = [0x04, 0, 1, 0xFF];
    assert_eq!(Properties::new(&bytes).validate(), Ok(()));
    assert_eq!(Properties::new(&bytes).correlation_id(), Some(&b"\xFF"[..]));
}

#[test]
fn an_untouched_builder_writes_the_same_octets() {
    let bytes = full();
    assert_eq!(
        PropertiesBuilder::from(Properties::new(&bytes)).finish(),
        bytes
    );
}

#[test]
fn removing_a_header_leaves_the_others_octet_by_octet() {
    let bytes = full();
    let builder = PropertiesBuilder::from(Properties::new(&bytes));
    let without = builder.without_header("BCC").unwrap().finish();
    assert_eq!(Properties::new(&without).validate(), Ok(()));
    assert_eq!(headers_of(&without), [&b"CC"[..], b"n"]);
    assert_eq!(without.len(), bytes.len() - "_BCCS____b".len());
    for property in Property::ALL
        .into_iter()
        .filter(|other| *other != Property::Headers)
    {
        assert_eq!(
            Properties::new(&without).get(property),
            Properties::new(&bytes).get(property)
        );
    }
}

#[test]
fn removing_a_header_that_is_not_there_changes_nothing() {
    for bytes in [full(), vec![0, 0]] {
        let builder = PropertiesBuilder::from(Properties::new(&bytes));
        assert_eq!(builder.without_header("absent").unwrap().finish(), bytes);
    }
}

#[test]
fn removing_the_last_header_leaves_an_empty_table() {
    let bytes = [0x20, 0, 0, 0, 0, 6, 1, b'k', b'V', 1, b'k', b'V'];
    let builder = PropertiesBuilder::from(Properties::new(&bytes));
    assert_eq!(
        builder.without_header("k").unwrap().finish(),
        [0x20, 0, 0, 0, 0, 0]
    );
}

#[test]
fn replaced_headers_take_the_place_of_the_old_ones() {
    let bytes = full();
    let replaced = PropertiesBuilder::from(Properties::new(&bytes))
        .without(Property::Expiration)
        .headers(TableReader::new(b"\x01kV"))
        .unwrap()
        .finish();
    let properties = Properties::new(&replaced);
    assert_eq!(properties.validate(), Ok(()));
    assert_eq!(headers_of(&replaced), [b"k"]);
    assert_eq!(properties.expiration(), None);
    assert_eq!(properties.message_id(), Some(&b"message"[..]));
}

#[test]
fn a_text_that_is_too_long_is_refused() {
    let builder = PropertiesBuilder::new();
    let refused = builder.text(Property::UserId, "u".repeat(256)).err();
    assert_eq!(
        refused,
        Some(EncodeError::ShortStringTooLong { octets: 256 })
    );
}

#[test]
fn a_text_where_none_belongs_is_refused() {
    let others = [
        Property::Headers,
        Property::DeliveryMode,
        Property::Priority,
        Property::Timestamp,
    ];
    for property in Property::ALL {
        let refused = PropertiesBuilder::new().text(property, "t").is_err();
        assert_eq!(refused, others.contains(&property), "{property:?}");
    }
}

#[test]
fn a_content_header_gives_class_size_and_properties() {
    let mut payload = Vec::new();
    ContentHeader::write(&mut payload, 1024, &full());
    let header = ContentHeader::parse(&payload).unwrap();
    assert_eq!(
        (header.class_id, header.weight, header.body_size),
        (60, 0, 1024)
    );
    assert_eq!(header.properties.as_bytes(), full());
}

#[test]
fn a_content_header_keeps_what_the_session_has_to_refuse() {
    let payload = b"\0\x3d\0\x07\xff\xff\xff\xff\xff\xff\xff\xff\0\0";
    let header = ContentHeader::parse(payload).unwrap();
    assert_eq!(
        (header.class_id, header.weight, header.body_size),
        (61, 7, u64::MAX)
    );
}

#[test]
fn a_content_header_without_flags_is_refused() {
    for octets in 0..14 {
        let refused = ContentHeader::parse(&[0; 13][..octets.min(13)]).unwrap_err();
        assert_eq!(
            refused,
            ContentError::HeaderTooShort {
                octets: octets.min(13)
            }
        );
    }
    assert!(ContentHeader::parse(&[0; 14]).is_ok());
}
