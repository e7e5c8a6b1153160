//! What a message becomes when it is dead-lettered (spec 7.2).

use super::arguments::DeadLetterTarget;
use super::death::DeathReason;
use super::message::{Message, MessageParts};
use super::name::QueueName;
use crate::wire::table::{ArrayReader, ArrayWriter};
use crate::wire::{
    ContentHeader, EncodeError, PropertiesBuilder, Property, TableReader, TableWriter, Value,
};

const DEATHS: &str = "x-death";

/// Headers that say how the message died first; written once.
const FIRST: [&str; 3] = [
    "x-first-death-reason",
    "x-first-death-queue",
    "x-first-death-exchange",
];

/// Headers that say how the message died last.
const LAST: [&str; 3] = [
    "x-last-death-reason",
    "x-last-death-queue",
    "x-last-death-exchange",
];

/// One death of a message.
#[derive(Clone, Copy, Debug)]
pub struct Death<'a> {
    /// The queue that it died in.
    pub queue: &'a QueueName,
    /// Why.
    pub reason: DeathReason,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
}

/// Why a message could not be dead-lettered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitToBury {
    /// Its header does not parse, which only damage explains.
    #[error("the message's header cannot be read")]
    Header,
    /// Something does not fit where it belongs.
    #[error("the dead letter's header cannot be written: {0}")]
    Encode(#[from] EncodeError),
    /// The whole would be longer than a message can be.
    #[error("the dead letter is too long")]
    TooLong,
}

impl Message {
    /// The message as it goes to `target`: with the new address, with its deaths in the headers,
    /// without its expiration.
    ///
    /// # Errors
    ///
    /// If the message's own header is damaged, or the new one has no room.
    pub fn dead_lettered(
        &self,
        death: Death<'_>,
        target: &DeadLetterTarget,
    ) -> Result<Self, UnfitToBury> {
        let header = ContentHeader::parse(self.header()).map_err(|_| UnfitToBury::Header)?;
        let headers = header.properties.headers().unwrap_or(TableReader::EMPTY);
        let keeps_keys = target.routing_key.is_none();
        let table = self.headers_of_the_dead(headers, death, keeps_keys)?;
        let properties = PropertiesBuilder::from(header.properties)
            .without(Property::Expiration)
            .headers(table.as_reader())?
            .finish();
        let exchange = target.exchange.as_str().as_bytes();
        let key = target
            .routing_key
            .as_deref()
            .unwrap_or_else(|| self.routing_key());
        let parts = MessageParts {
            exchange_bytes: short(exchange)?,
            routing_key_bytes: short(key)?,
            dead_lettered: true,
            blind_copies: keeps_keys && self.parts().blind_copies,
            ..self.parts()
        };
        let mut encoded =
            Vec::with_capacity(self.encoded().len() + table.as_reader().as_bytes().len());
        for name in [exchange, key] {
            encoded.push(short(name)?);
            encoded.extend_from_slice(name);
        }
        let start = encoded.len();
        ContentHeader::write(&mut encoded, header.body_size, &properties);
        let header_bytes =
            u32::try_from(encoded.len() - start).map_err(|_| UnfitToBury::TooLong)?;
        encoded.extend_from_slice(self.body());
        let parts = MessageParts {
            header_bytes,
            ..parts
        };
        Self::new(parts, &encoded).ok_or(UnfitToBury::TooLong)
    }

    /// Whether the message, dead-lettered for `reason`, would go round in circles if it entered
    /// `queue` (spec 7.2.7): it was there before and nobody has rejected it since.
    #[must_use]
    pub fn would_circle(&self, reason: DeathReason, queue: &QueueName) -> bool {
        if reason == DeathReason::Rejected {
            return false;
        }
        for death in self.deaths() {
            if death.text("reason") == Some(DeathReason::Rejected.as_str().as_bytes()) {
                return false;
            }
            if death.text("queue") == Some(queue.as_str().as_bytes()) {
                return true;
            }
        }
        false
    }

    /// All keys that the message is routed by: the one that it was published with, and those of
    /// its carbon copies, blind ones too (spec 5.1.8).
    pub fn routing_keys(&self) -> impl Iterator<Item = &[u8]> {
        let headers = self.properties().headers();
        let copies = ["CC", "BCC"]
            .into_iter()
            .filter_map(move |name| headers?.get(name)?.as_array());
        std::iter::once(self.routing_key()).chain(copies.flat_map(texts))
    }

    /// The deaths that the broker itself has noted, the latest first.
    fn deaths(&self) -> impl Iterator<Item = Record<'_>> {
        let noted = self.parts().dead_lettered;
        let headers = self.properties().headers().filter(|_| noted);
        let deaths = headers.and_then(|headers| headers.get(DEATHS)?.as_array());
        let deaths = deaths.unwrap_or_default().iter();
        deaths.filter_map(|death| death.as_table().map(Record))
    }

    fn headers_of_the_dead(
        &self,
        headers: TableReader<'_>,
        death: Death<'_>,
        keeps_keys: bool,
    ) -> Result<TableWriter, EncodeError> {
        let known = self.parts().dead_lettered;
        let mut table = TableWriter::new();
        let deaths = self.deaths_with(death)?;
        table.entry(DEATHS, Value::Array(ArrayReader::new(&deaths)))?;
        let exchange = self.exchange();
        let values = [
            death.reason.as_str().as_bytes(),
            death.queue.as_str().as_bytes(),
            exchange,
        ];
        for (names, is_new) in [(FIRST, !known), (LAST, true)] {
            for (name, value) in names.into_iter().zip(values).filter(|_| is_new) {
                table.entry(name, Value::LongString(value))?;
            }
        }
        for entry in headers {
            let is_replaced = entry.key == DEATHS.as_bytes()
                || LAST.iter().any(|name| entry.key == name.as_bytes())
                || !known && FIRST.iter().any(|name| entry.key == name.as_bytes());
            // A key of its own replaces all keys that the message came with.
            let is_key = matches!(entry.key, b"CC" | b"BCC");
            if !is_replaced && (keeps_keys || !is_key) {
                table.copy(&entry);
            }
        }
        Ok(table)
    }

    /// The list of deaths, with this one in front (spec 7.2.4, 7.2.5).
    fn deaths_with(&self, death: Death<'_>) -> Result<Vec<u8>, EncodeError> {
        let is_same = |record: &Record<'_>| {
            record.text("queue") == Some(death.queue.as_str().as_bytes())
                && record.text("reason") == Some(death.reason.as_str().as_bytes())
        };
        let mut deaths = ArrayWriter::new();
        let first = match self.deaths().find(is_same) {
            Some(before) => before.again()?,
            None => self.first_death(death)?,
        };
        deaths.push(Value::Table(first.as_reader()))?;
        for record in self.deaths().filter(|record| !is_same(record)) {
            deaths.push(Value::Table(record.0))?;
        }
        Ok(deaths.finish())
    }

    fn first_death(&self, death: Death<'_>) -> Result<TableWriter, EncodeError> {
        let mut keys = ArrayWriter::new();
        keys.push(Value::LongString(self.routing_key()))?;
        let headers = self.properties().headers();
        let copies = headers.and_then(|headers| headers.get("CC")?.as_array());
        for key in copies.into_iter().flat_map(texts) {
            keys.push(Value::LongString(key))?;
        }
        let keys = keys.finish();
        let mut record = TableWriter::new();
        if let Some(expiration) = self.properties().expiration() {
            record.entry("original-expiration", Value::LongString(expiration))?;
        }
        let reason = death.reason.as_str().as_bytes();
        let queue = death.queue.as_str().as_bytes();
        record
            .entry("count", Value::LongLongInt(1))?
            .entry("reason", Value::LongString(reason))?
            .entry("queue", Value::LongString(queue))?
            .entry("time", Value::Timestamp(death.time_ms / 1000))?
            .entry("exchange", Value::LongString(self.exchange()))?
            .entry("routing-keys", Value::Array(ArrayReader::new(&keys)))?;
        Ok(record)
    }
}

/// One entry of `x-death`.
#[derive(Clone, Copy)]
struct Record<'a>(TableReader<'a>);

impl<'a> Record<'a> {
    fn text(&self, name: &str) -> Option<&'a [u8]> {
        self.0.get(name)?.as_octets()
    }

    /// The same death once more: it counts on, everything else stays as it was first.
    fn again(&self) -> Result<TableWriter, EncodeError> {
        let mut table = TableWriter::new();
        for entry in self.0 {
            match entry.value.as_integer().filter(|_| entry.key == b"count") {
                Some(count) => {
                    table.entry("count", Value::LongLongInt(count.saturating_add(1)))?;
                }
                None => {
                    table.copy(&entry);
                }
            }
        }
        Ok(table)
    }
}

fn texts(array: ArrayReader<'_>) -> impl Iterator<Item = &[u8]> {
    array.iter().filter_map(|value| match value {
        Value::LongString(text) => Some(text),
        _ => None,
    })
}

fn short(text: &[u8]) -> Result<u8, UnfitToBury> {
    u8::try_from(text.len()).map_err(|_| UnfitToBury::TooLong)
}

#[cfg(test)]
mod tests;
