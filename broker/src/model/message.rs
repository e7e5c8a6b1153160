//! A published message: immutable, shared by every queue that holds it.
//!
//! One allocation carries everything that a delivery repeats, in the order in which a delivery
//! needs it, so that delivering and storing are each one copy:
//!
//! ```text
//! +----------+-------------+------------------------------------------+------+
//! | exchange | routing key | content header payload                   | body |
//! | shortstr | shortstr    | class, weight, body size, flags, values  |      |
//! +----------+-------------+------------------------------------------+------+
//! ```

use std::fmt;
use std::sync::OnceLock;

use leveret_log::{Location, Lsn};
use triomphe::ThinArc;

use crate::wire::{Properties, Property};

/// Where the log keeps a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The number of the record that carries the body; later targets point to it.
    pub lsn: Lsn,
    /// Where that record lies.
    pub location: Location,
}

/// What a message is made from.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageParts {
    /// Length of the exchange's name in bytes.
    pub exchange_bytes: u8,
    /// Length of the routing key in bytes.
    pub routing_key_bytes: u8,
    /// Length of the content header's payload in bytes.
    pub header_bytes: u32,
    /// Delivery mode 2.
    pub persistent: bool,
    /// The priority property; 0 when absent.
    pub priority: u8,
    /// The `x-death` header is the broker's own, not a publisher's (spec 5.1.10).
    pub dead_lettered: bool,
    /// There is a `BCC` header, which no consumer may see (spec 5.1.8). It stays with the message
    /// for the sake of dead-lettering.
    pub blind_copies: bool,
}

struct Head {
    parts: MessageParts,
    stored: OnceLock<Stored>,
}

/// A published message. Cloning shares it.
#[derive(Clone)]
pub struct Message(ThinArc<Head, u8>);

impl Message {
    /// Wraps `encoded`, which must be laid out as in the module's drawing and agree with `parts`.
    ///
    /// Returns `None` when the lengths do not fit; bytes read back from disk may be anything.
    #[must_use]
    pub fn new(parts: MessageParts, encoded: &[u8]) -> Option<Self> {
        let exchange = usize::from(parts.exchange_bytes);
        let key = usize::from(parts.routing_key_bytes);
        let envelope = exchange + key + 2;
        let header_end = envelope.checked_add(usize::try_from(parts.header_bytes).ok()?)?;
        let lengths_agree = encoded.len() >= header_end
            && usize::from(*encoded.first()?) == exchange
            && usize::from(*encoded.get(exchange + 1)?) == key;
        lengths_agree.then(|| {
            Self(ThinArc::from_header_and_slice(
                Head {
                    parts,
                    stored: OnceLock::new(),
                },
                encoded,
            ))
        })
    }

    /// The facts that are kept beside the bytes.
    #[must_use]
    pub fn parts(&self) -> MessageParts {
        self.0.header.header.parts
    }

    /// The whole encoding, as drawn in the module's documentation.
    #[must_use]
    pub fn encoded(&self) -> &[u8] {
        &self.0.slice
    }

    /// Exchange and routing key as two short strings, as a delivery repeats them.
    #[must_use]
    pub fn envelope(&self) -> &[u8] {
        &self.encoded()[..self.envelope_bytes()]
    }

    /// The exchange that the message was published to.
    #[must_use]
    pub fn exchange(&self) -> &[u8] {
        &self.encoded()[1..=usize::from(self.parts().exchange_bytes)]
    }

    /// The routing key that the message was published with.
    #[must_use]
    pub fn routing_key(&self) -> &[u8] {
        let start = usize::from(self.parts().exchange_bytes) + 2;
        &self.encoded()[start..start + usize::from(self.parts().routing_key_bytes)]
    }

    /// The content header frame's payload.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        &self.encoded()[self.envelope_bytes()..self.body_start()]
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.encoded()[self.body_start()..]
    }

    /// The properties, as in the content header.
    #[must_use]
    pub fn properties(&self) -> Properties<'_> {
        Properties::new(self.header().get(12..).unwrap_or_default())
    }

    /// How long the message wants to live, in milliseconds (spec 7.1.1). What is no number counts
    /// as absent: publishing one was refused.
    #[must_use]
    pub fn expiration_ms(&self) -> Option<u64> {
        let properties = self.properties();
        if !properties.contains(Property::Expiration) {
            return None;
        }
        let text = str::from_utf8(properties.expiration()?).ok()?;
        u64::try_from(text.parse::<i64>().ok()?).ok()
    }

    /// Whether the publisher asked for persistence (delivery mode 2).
    #[must_use]
    pub fn is_persistent(&self) -> bool {
        self.parts().persistent
    }

    /// The memory that the message occupies, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.encoded().len() + size_of::<Head>() + 2 * size_of::<usize>()
    }

    /// Where the log keeps the message, once its commit thread has placed it.
    #[must_use]
    pub fn stored(&self) -> Option<Stored> {
        self.0.header.header.stored.get().copied()
    }

    /// Notes where the log keeps the message. Only the first note counts.
    pub fn set_stored(&self, stored: Stored) {
        // A second note can only come from a second write of the same body, and either serves.
        let _ = self.0.header.header.stored.set(stored);
    }

    /// Whether both are the same shared message, not merely equal ones.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq(self.encoded(), other.encoded())
    }

    fn envelope_bytes(&self) -> usize {
        usize::from(self.parts().exchange_bytes) + usize::from(self.parts().routing_key_bytes) + 2
    }

    fn body_start(&self) -> usize {
        // `new` checked that the header lies within the encoding.
        self.envelope_bytes() + self.parts().header_bytes as usize
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Message")
            .field("exchange", &String::from_utf8_lossy(self.exchange()))
            .field("routing_key", &String::from_utf8_lossy(self.routing_key()))
            .field("body_bytes", &self.body().len())
            .field("stored", &self.stored())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(exchange: u8, key: u8, header: u32) -> MessageParts {
        MessageParts {
            exchange_bytes: exchange,
            routing_key_bytes: key,
            header_bytes: header,
            persistent: true,
            ..MessageParts::default()
        }
    }

    #[test]
    fn a_message_gives_back_its_pieces() {
        let message = Message::new(parts(2, 3, 4), b"\x02ex\x03keyHEADbody").expect("lengths fit");
        assert_eq!(message.exchange(), b"ex");
        assert_eq!(message.routing_key(), b"key");
        assert_eq!(message.envelope(), b"\x02ex\x03key");
        assert_eq!(message.header(), b"HEAD");
        assert_eq!(message.body(), b"body");
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        assert!(Message::new(parts(2, 3, 40), b"\x02ex\x03keyHEADbody").is_none());
        assert!(Message::new(parts(3, 3, 4), b"\x02ex\x03keyHEADbody").is_none());
        assert!(Message::new(parts(0, 0, 0), b"").is_none());
    }
}
