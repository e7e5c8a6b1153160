//! Messages that say who they are, so that a changed one is noticed without being remembered.

use std::fmt;

use crate::client::Delivery;
use crate::raw::content::Properties;
use crate::raw::value::{Table, Value};

const HEADER_BYTES: usize = 12;

/// Who published a message, and as which of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId {
    /// The publisher; one publisher's messages keep their order in a queue.
    pub publisher: u32,
    /// Ascending for each publisher.
    pub sequence: u32,
}

impl fmt::Debug for MessageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.publisher, self.sequence)
    }
}

impl MessageId {
    /// This message's body: its identity, its length, and bytes that follow from both.
    #[must_use]
    pub fn body(self, size: usize) -> Vec<u8> {
        let size = size.max(HEADER_BYTES);
        let mut body = Vec::with_capacity(size + 8);
        body.extend_from_slice(&self.publisher.to_be_bytes());
        body.extend_from_slice(&self.sequence.to_be_bytes());
        body.extend_from_slice(&(size as u32).to_be_bytes());
        let mut state = u64::from(self.publisher) << 32 | u64::from(self.sequence);
        state = (state ^ 0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9) | 1;
        while body.len() < size {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            body.extend_from_slice(&state.to_be_bytes());
        }
        body.truncate(size);
        body
    }

    /// What a body says it is; `None` if it is too short to say anything.
    fn read(body: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let bytes = body.get(at..at + 4)?;
            Some(u32::from_be_bytes(bytes.try_into().ok()?))
        };
        Some(Self {
            publisher: number(0)?,
            sequence: number(4)?,
        })
    }

    /// The properties that this message is published with: persistent, and naming the message,
    /// the exchange and the key, so that those are checked as well.
    #[must_use]
    pub fn properties(self, exchange: &str, key: &str) -> Properties {
        Properties {
            message_id: Some(format!("{self:?}")),
            reply_to: Some(exchange.to_owned()),
            correlation_id: Some(key.to_owned()),
            ..Properties::persistent()
        }
    }
}

/// A message as it came from the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Who it says it is; `None` if it says nothing.
    pub message: Option<MessageId>,
    /// Whether everything in it is as it was published.
    pub intact: bool,
    /// Its redelivered flag.
    pub redelivered: bool,
}

impl Seen {
    /// Reads a delivery.
    #[must_use]
    pub fn read(delivery: &Delivery) -> Self {
        let body = &delivery.content.body;
        let message = MessageId::read(body);
        Self {
            message,
            intact: message.is_some_and(|message| is_intact(message, delivery)),
            redelivered: delivery.redelivered,
        }
    }
}

fn is_intact(message: MessageId, delivery: &Delivery) -> bool {
    let (content, properties) = (&delivery.content, &delivery.content.properties);
    // A dead letter has a new address; its history names that of before.
    let first = properties.headers.as_ref().and_then(first_address);
    let (exchange, key) =
        first.unwrap_or_else(|| (delivery.exchange.clone(), delivery.routing_key.clone()));
    let wanted = message.properties(&exchange, &key);
    let actual = Properties {
        headers: None,
        ..properties.clone()
    };
    content.body == message.body(content.body.len()) && actual == wanted
}

/// Exchange and key that a dead letter was published with, as the oldest entry of `x-death` says.
fn first_address(headers: &Table) -> Option<(String, String)> {
    let Some(Value::Array(deaths)) = headers.value("x-death") else {
        return None;
    };
    let Some(Value::Table(first)) = deaths.last() else {
        return None;
    };
    let Some(Value::Array(keys)) = first.value("routing-keys") else {
        return None;
    };
    let exchange = first.value("exchange")?.as_text()?;
    Some((exchange, keys.first()?.as_text()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::content::Content;

    const MESSAGE: MessageId = MessageId {
        publisher: 3,
        sequence: 70_000,
    };

    fn delivery(body: Vec<u8>) -> Delivery {
        let properties = MESSAGE.properties("exchange", "key");
        Delivery {
            consumer: String::new(),
            tag: 1,
            redelivered: true,
            exchange: "exchange".to_owned(),
            routing_key: "key".to_owned(),
            left: 0,
            content: Content {
                raw_properties: properties.encode(),
                properties,
                body_frames: vec![body.len()],
                body,
            },
        }
    }

    #[test]
    fn a_message_reads_back_as_itself() {
        for size in [0, HEADER_BYTES, 13, 1000] {
            let seen = Seen::read(&delivery(MESSAGE.body(size)));
            let expected = Seen {
                message: Some(MESSAGE),
                intact: true,
                redelivered: true,
            };
            assert_eq!(seen, expected, "{size} bytes");
        }
    }

    #[test]
    fn every_single_change_is_noticed() {
        let whole = MESSAGE.body(100);
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!Seen::read(&delivery(changed)).intact, "bit {bit}");
        }
        for length in 0..whole.len() {
            let cut = whole[..length].to_vec();
            assert!(!Seen::read(&delivery(cut)).intact, "{length} bytes");
        }
        let changes: [fn(&mut Delivery); 4] = [
            |delivery| delivery.exchange.push('x'),
            |delivery| delivery.routing_key.push('x'),
            |delivery| delivery.content.properties.delivery_mode = Some(1),
            |delivery| delivery.content.properties.priority = Some(1),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut changed = delivery(MESSAGE.body(100));
            change(&mut changed);
            assert!(!Seen::read(&changed).intact, "change {number}");
        }
    }
}
