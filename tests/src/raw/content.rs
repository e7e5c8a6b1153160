//! A message's content header: the fourteen basic properties in their order on the wire.

use anyhow::Result;

use super::bytes::{Reader, Writer};
use super::value::Table;

/// The basic properties; `None` is absent from the wire, which is not the same as empty.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the names are the protocol's own")]
pub struct Properties {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub headers: Option<Table>,
    pub delivery_mode: Option<u8>,
    pub priority: Option<u8>,
    pub correlation_id: Option<String>,
    pub reply_to: Option<String>,
    pub expiration: Option<String>,
    pub message_id: Option<String>,
    pub timestamp: Option<u64>,
    pub kind: Option<String>,
    pub user_id: Option<String>,
    pub app_id: Option<String>,
    pub cluster_id: Option<String>,
}

impl Properties {
    /// Properties of a persistent message.
    #[must_use]
    pub fn persistent() -> Self {
        Self {
            delivery_mode: Some(2),
            ..Self::default()
        }
    }

    /// Properties with these headers only.
    #[must_use]
    pub fn with_headers(headers: Table) -> Self {
        Self {
            headers: Some(headers),
            ..Self::default()
        }
    }

    /// Flags and fields, as they follow the body size in a header frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut flags = 0_u16;
        let mut fields = Writer::new();
        let mut short = |fields: Writer, bit: u16, value: &Option<String>| match value {
            Some(value) => {
                flags |= 1 << bit;
                fields.short(value)
            }
            None => fields,
        };
        fields = short(fields, 15, &self.content_type);
        fields = short(fields, 14, &self.content_encoding);
        let mut late = Writer::new();
        late = short(late, 10, &self.correlation_id);
        late = short(late, 9, &self.reply_to);
        late = short(late, 8, &self.expiration);
        late = short(late, 7, &self.message_id);
        let mut last = Writer::new();
        last = short(last, 5, &self.kind);
        last = short(last, 4, &self.user_id);
        last = short(last, 3, &self.app_id);
        last = short(last, 2, &self.cluster_id);
        if let Some(headers) = &self.headers {
            flags |= 1 << 13;
            fields = fields.table(headers);
        }
        for (bit, value) in [(12, self.delivery_mode), (11, self.priority)] {
            if let Some(value) = value {
                flags |= 1 << bit;
                fields = fields.u8(value);
            }
        }
        if let Some(timestamp) = self.timestamp {
            flags |= 1 << 6;
            late = late.u64(timestamp);
        }
        let fields = fields.raw(late.finish()).raw(last.finish());
        Writer::new().u16(flags).raw(fields.finish()).finish()
    }

    /// Reads what [`Self::encode`] writes.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u16()?;
        let has = |bit: u16| flags & (1 << bit) != 0;
        let short = |reader: &mut Reader<'_>, bit| has(bit).then(|| reader.short()).transpose();
        Ok(Self {
            content_type: short(&mut reader, 15)?,
            content_encoding: short(&mut reader, 14)?,
            headers: has(13).then(|| reader.table()).transpose()?,
            delivery_mode: has(12).then(|| reader.u8()).transpose()?,
            priority: has(11).then(|| reader.u8()).transpose()?,
            correlation_id: short(&mut reader, 10)?,
            reply_to: short(&mut reader, 9)?,
            expiration: short(&mut reader, 8)?,
            message_id: short(&mut reader, 7)?,
            timestamp: has(6).then(|| reader.u64()).transpose()?,
            kind: short(&mut reader, 5)?,
            user_id: short(&mut reader, 4)?,
            app_id: short(&mut reader, 3)?,
            cluster_id: short(&mut reader, 2)?,
        })
    }
}

/// A message's properties and body as received.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// Flags and fields exactly as they came.
    pub raw_properties: Vec<u8>,
    /// The same, read.
    pub properties: Properties,
    /// The body, whole.
    pub body: Vec<u8>,
    /// Payload lengths of the body frames it came in.
    pub body_frames: Vec<usize>,
}

/// The payload of a header frame for class 60.
#[must_use]
pub fn header_payload(body_size: u64, raw_properties: &[u8]) -> Vec<u8> {
    Writer::new()
        .u16(60)
        .u16(0)
        .u64(body_size)
        .raw(raw_properties)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::super::value::one;
    use super::*;

    #[test]
    fn all_fourteen_properties_read_back_as_written() {
        let text = |value: &str| Some(value.to_owned());
        let properties = Properties {
            content_type: text("a"),
            content_encoding: text("b"),
            headers: Some(one("key", 1)),
            delivery_mode: Some(2),
            priority: Some(9),
            correlation_id: text("c"),
            reply_to: text("d"),
            expiration: text("5"),
            message_id: text("e"),
            timestamp: Some(u64::MAX),
            kind: text("f"),
            user_id: text("guest"),
            app_id: text("g"),
            cluster_id: text(""),
        };
        let bytes = properties.encode();
        assert_eq!(bytes[..2], [0xFF, 0xFC]);
        assert_eq!(Properties::decode(&bytes).unwrap(), properties);
    }
}
