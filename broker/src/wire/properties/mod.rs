//! The properties of a message as raw bytes: looked up by offset, rewritten field by field.
//!
//! ```text
//! flags:16, then the fields whose bits are set, from bit 15 downwards:
//!
//! 15 content-type      short string     8 expiration   short string
//! 14 content-encoding  short string     7 message-id   short string
//! 13 headers           table            6 timestamp    8 octets
//! 12 delivery-mode     1 octet          5 type         short string
//! 11 priority          1 octet          4 user-id      short string
//! 10 correlation-id    short string     3 app-id       short string
//!  9 reply-to          short string     2 cluster-id   short string
//! ```
//!
//! Bits 1 and 0 mean nothing here, as in RabbitMQ; there is no second word of flags.

use std::fmt;

use super::error::ContentError;
use super::table::{TableLimits, TableReader, validate};

mod builder;

pub use builder::PropertiesBuilder;

/// A property of a message, in the order of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    /// MIME type of the body.
    ContentType,
    /// MIME encoding of the body.
    ContentEncoding,
    /// The header table.
    Headers,
    /// 1 transient, 2 persistent.
    DeliveryMode,
    /// For priority queues.
    Priority,
    /// For requests and replies.
    CorrelationId,
    /// Where replies go.
    ReplyTo,
    /// Time to live in milliseconds, as text.
    Expiration,
    /// Identity of the message.
    MessageId,
    /// When the message was made.
    Timestamp,
    /// The application's type of the message.
    Type,
    /// Who published, verified by the broker.
    UserId,
    /// Which application published.
    AppId,
    /// Unused.
    ClusterId,
}

/// How a property is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    ShortString,
    Table,
    Octet,
    Timestamp,
}

impl Property {
    /// How many properties there are.
    pub const COUNT: usize = 14;

    /// All properties in the order of the wire.
    pub const ALL: [Self; Self::COUNT] = [
        Self::ContentType,
        Self::ContentEncoding,
        Self::Headers,
        Self::DeliveryMode,
        Self::Priority,
        Self::CorrelationId,
        Self::ReplyTo,
        Self::Expiration,
        Self::MessageId,
        Self::Timestamp,
        Self::Type,
        Self::UserId,
        Self::AppId,
        Self::ClusterId,
    ];

    /// The property's name in AMQP.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ContentType => "content-type",
            Self::ContentEncoding => "content-encoding",
            Self::Headers => "headers",
            Self::DeliveryMode => "delivery-mode",
            Self::Priority => "priority",
            Self::CorrelationId => "correlation-id",
            Self::ReplyTo => "reply-to",
            Self::Expiration => "expiration",
            Self::MessageId => "message-id",
            Self::Timestamp => "timestamp",
            Self::Type => "type",
            Self::UserId => "user-id",
            Self::AppId => "app-id",
            Self::ClusterId => "cluster-id",
        }
    }

    /// The flag bit.
    fn flag(self) -> u16 {
        0x8000 >> self as u16
    }

    fn shape(self) -> Shape {
        match self {
            Self::Headers => Shape::Table,
            Self::DeliveryMode | Self::Priority => Shape::Octet,
            Self::Timestamp => Shape::Timestamp,
            Self::ContentType
            | Self::ContentEncoding
            | Self::CorrelationId
            | Self::ReplyTo
            | Self::Expiration
            | Self::MessageId
            | Self::Type
            | Self::UserId
            | Self::AppId
            | Self::ClusterId => Shape::ShortString,
        }
    }
}

impl Shape {
    /// Splits a field off: the octets before its value, the value, the rest.
    fn split(self, bytes: &[u8]) -> Option<(usize, &[u8], &[u8])> {
        let (prefix, length) = match self {
            Self::ShortString => (1, usize::from(*bytes.first()?)),
            Self::Table => (4, u32::from_be_bytes(*bytes.first_chunk()?) as usize),
            Self::Octet => (0, 1),
            Self::Timestamp => (0, 8),
        };
        let (value, rest) = bytes.get(prefix..)?.split_at_checked(length)?;
        Some((prefix, value, rest))
    }
}

/// The properties of a message: flags and fields as they came over the wire.
///
/// Lookups never fail: in bytes that did not pass [`validate`](Self::validate), what stands behind
/// the first broken field counts as absent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Properties<'a>(&'a [u8]);

impl<'a> Properties<'a> {
    /// No properties at all.
    pub const EMPTY: Properties<'static> = Properties(&[0, 0]);

    /// Octets of the flags.
    pub(super) const FLAGS_LENGTH: usize = 2;

    /// The flags that stand for a property.
    const MEANINGFUL: u16 = !0b11;

    /// Reads `bytes`, flags first, which should have been validated.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes, flags first.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Checks that every field is complete, the headers are a valid table, and nothing follows.
    /// Strings may be any octets, as in RabbitMQ.
    ///
    /// # Errors
    ///
    /// See [`ContentError`].
    pub fn validate(self) -> Result<(), ContentError> {
        if self.0.len() < Self::FLAGS_LENGTH {
            return Err(ContentError::HeaderTooShort {
                octets: self.0.len(),
            });
        }
        let mut fields = self.fields();
        for property in fields.present() {
            let field = fields.read(property).ok_or(ContentError::Truncated {
                property: property.name(),
            })?;
            if property == Property::Headers {
                validate(field.value, TableLimits::FRAME)?;
            }
        }
        match fields.rest.len() {
            0 => Ok(()),
            octets => Err(ContentError::Trailing { octets }),
        }
    }

    /// Whether the flags have no meaningless bits; others must be cleared before the properties are
    /// passed on, because bit 0 promises more flags to clients that follow the specification.
    #[must_use]
    pub fn has_clean_flags(self) -> bool {
        self.flags() & !Self::MEANINGFUL == 0
    }

    /// Whether the property is there.
    #[must_use]
    pub fn contains(self, property: Property) -> bool {
        self.flags() & property.flag() != 0
    }

    /// The value of a property without a length before it.
    #[must_use]
    pub fn get(self, property: Property) -> Option<&'a [u8]> {
        self.field(property).map(|field| field.value)
    }

    /// 1 transient, 2 persistent; other values are legal and mean transient.
    #[must_use]
    pub fn delivery_mode(self) -> Option<u8> {
        self.octet(Property::DeliveryMode)
    }

    /// Whether the message shall survive a restart of the broker.
    #[must_use]
    pub fn is_persistent(self) -> bool {
        self.delivery_mode() == Some(2)
    }

    /// The priority.
    #[must_use]
    pub fn priority(self) -> Option<u8> {
        self.octet(Property::Priority)
    }

    /// The header table.
    #[must_use]
    pub fn headers(self) -> Option<TableReader<'a>> {
        self.get(Property::Headers).map(TableReader::new)
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn timestamp(self) -> Option<u64> {
        let octets = self.get(Property::Timestamp)?.first_chunk()?;
        Some(u64::from_be_bytes(*octets))
    }

    /// MIME type of the body.
    #[must_use]
    pub fn content_type(self) -> Option<&'a [u8]> {
        self.get(Property::ContentType)
    }

    /// MIME encoding of the body.
    #[must_use]
    pub fn content_encoding(self) -> Option<&'a [u8]> {
        self.get(Property::ContentEncoding)
    }

    /// For requests and replies.
    #[must_use]
    pub fn correlation_id(self) -> Option<&'a [u8]> {
        self.get(Property::CorrelationId)
    }

    /// Where replies go.
    #[must_use]
    pub fn reply_to(self) -> Option<&'a [u8]> {
        self.get(Property::ReplyTo)
    }

    /// Time to live in milliseconds, as text.
    #[must_use]
    pub fn expiration(self) -> Option<&'a [u8]> {
        self.get(Property::Expiration)
    }

    /// Identity of the message.
    #[must_use]
    pub fn message_id(self) -> Option<&'a [u8]> {
        self.get(Property::MessageId)
    }

    /// The application's type of the message.
    #[must_use]
    pub fn kind(self) -> Option<&'a [u8]> {
        self.get(Property::Type)
    }

    /// Who claims to have published.
    #[must_use]
    pub fn user_id(self) -> Option<&'a [u8]> {
        self.get(Property::UserId)
    }

    /// Which application published.
    #[must_use]
    pub fn app_id(self) -> Option<&'a [u8]> {
        self.get(Property::AppId)
    }

    fn flags(self) -> u16 {
        self.0
            .first_chunk()
            .map_or(0, |flags| u16::from_be_bytes(*flags))
    }

    fn octet(self, property: Property) -> Option<u8> {
        self.get(property)?.first().copied()
    }

    fn field(self, wanted: Property) -> Option<Field<'a>> {
        if !self.contains(wanted) {
            return None;
        }
        let mut fields = self.fields();
        for property in fields.present() {
            let field = fields.read(property)?;
            if property == wanted {
                return Some(field);
            }
        }
        None
    }

    fn fields(self) -> Fields<'a> {
        Fields {
            flags: self.flags(),
            rest: self.0.get(Self::FLAGS_LENGTH..).unwrap_or_default(),
        }
    }
}

impl fmt::Debug for Properties<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let present = Property::ALL
            .into_iter()
            .filter(|property| self.contains(*property));
        formatter
            .debug_set()
            .entries(present.map(Property::name))
            .finish()
    }
}

/// One property as it lies on the wire.
#[derive(Clone, Copy)]
struct Field<'a> {
    /// With the length before it, if the property has one.
    bytes: &'a [u8],
    value: &'a [u8],
}

/// The properties whose flags are set, in the order of the wire.
struct Present {
    flags: u16,
}

impl Iterator for Present {
    type Item = Property;

    fn next(&mut self) -> Option<Property> {
        let property = *Property::ALL.get(self.flags.leading_zeros() as usize)?;
        self.flags &= !property.flag();
        Some(property)
    }
}

/// A walk over the fields.
struct Fields<'a> {
    flags: u16,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn present(&self) -> Present {
        Present {
            flags: self.flags & Properties::MEANINGFUL,
        }
    }

    fn read(&mut self, property: Property) -> Option<Field<'a>> {
        let (prefix, value, rest) = property.shape().split(self.rest)?;
        let bytes = self.rest.get(..prefix + value.len())?;
        self.rest = rest;
        Some(Field { bytes, value })
    }
}

#[cfg(test)]
mod tests;
