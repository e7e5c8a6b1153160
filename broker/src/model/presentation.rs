//! The content header that a client sees, where that is not the one that was stored.

use std::borrow::Cow;

use super::message::Message;
use super::record::Attempts;
use crate::wire::{
    ContentHeader, EncodeError, PropertiesBuilder, Property, TableReader, TableWriter, Value,
};

const DELIVERY_COUNT: &str = "x-delivery-count";

const ACQUIRED_COUNT: &str = "x-acquired-count";

impl Message {
    /// The content header's payload for a delivery: without blind copies (spec 5.1.8), and with how
    /// often the message came back and failed, if it did (spec 4.4.3).
    #[must_use]
    pub fn header_for(&self, attempts: Attempts) -> Cow<'_, [u8]> {
        if attempts == Attempts::default() && !self.parts().blind_copies {
            return Cow::Borrowed(self.header());
        }
        let Ok(header) = ContentHeader::parse(self.header()) else {
            return Cow::Borrowed(self.header());
        };
        let headers = header.properties.headers().unwrap_or(TableReader::EMPTY);
        let properties = PropertiesBuilder::from(header.properties);
        let properties = self
            .visible(headers, attempts)
            .and_then(|table| properties.clone().headers(table.as_reader()))
            // No room even so: then without headers, since blind copies must not be seen.
            .unwrap_or_else(|_| properties.without(Property::Headers))
            .finish();
        let mut bytes = Vec::new();
        ContentHeader::write(&mut bytes, header.body_size, &properties);
        Cow::Owned(bytes)
    }

    fn visible(
        &self,
        headers: TableReader<'_>,
        attempts: Attempts,
    ) -> Result<TableWriter, EncodeError> {
        let counts = [
            (ACQUIRED_COUNT, attempts.returned),
            (DELIVERY_COUNT, attempts.failed),
        ];
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        let mut table = TableWriter::new();
        for entry in headers {
            let is_hidden = self.parts().blind_copies && entry.key == b"BCC";
            let is_replaced = counts.clone().any(|(name, _)| entry.key == name.as_bytes());
            if !is_hidden && !is_replaced {
                table.copy(&entry);
            }
        }
        for (name, count) in counts {
            table.entry(name, Value::LongLongInt(count.into()))?;
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MessageParts;
    use crate::wire::Properties;

    fn message(headers: &[(&str, Value<'_>)]) -> Message {
        let mut table = TableWriter::new();
        for (name, value) in headers {
            table.entry(name, *value).expect("fits");
        }
        let properties = PropertiesBuilder::new()
            .headers(table.as_reader())
            .expect("fits")
            .priority(3);
        let mut encoded = vec![0, 0];
        ContentHeader::write(&mut encoded, 4, &properties.finish());
        let header_bytes = u32::try_from(encoded.len() - 2).expect("short");
        encoded.extend_from_slice(b"body");
        let parts = MessageParts {
            header_bytes,
            blind_copies: headers.iter().any(|(name, _)| *name == "BCC"),
            ..MessageParts::default()
        };
        Message::new(parts, &encoded).expect("lengths fit")
    }

    fn keys(header: &[u8]) -> Vec<String> {
        let properties = Properties::new(&header[12..]);
        assert_eq!(properties.priority(), Some(3));
        let headers = properties.headers().expect("headers");
        let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
        headers.iter().map(|entry| text(entry.key)).collect()
    }

    #[test]
    fn a_header_with_nothing_to_hide_or_add_goes_out_as_it_came() {
        let message = message(&[("own", Value::Void), (DELIVERY_COUNT, Value::LongInt(9))]);
        assert!(
            matches!(message.header_for(Attempts::default()), Cow::Borrowed(header) if header == message.header())
        );
    }

    #[test]
    fn blind_copies_are_hidden_and_the_count_is_the_brokers_own() {
        let message = message(&[
            ("BCC", Value::Void),
            (DELIVERY_COUNT, Value::LongInt(9)),
            ("own", Value::Void),
        ]);
        let attempts = |returned, failed| Attempts { returned, failed };
        assert_eq!(
            keys(&message.header_for(attempts(0, 0))),
            [DELIVERY_COUNT, "own"]
        );
        let returned = message.header_for(attempts(1, 0));
        assert_eq!(keys(&returned), [DELIVERY_COUNT, "own", ACQUIRED_COUNT]);
        let counted = message.header_for(attempts(3, 2));
        assert_eq!(keys(&counted), ["own", ACQUIRED_COUNT, DELIVERY_COUNT]);
        let headers = Properties::new(&counted[12..]).headers().expect("headers");
        assert_eq!(headers.get(DELIVERY_COUNT), Some(Value::LongLongInt(2)));
    }
}
