//! Messages that are to be routed later (spec 3.7.3).

use super::message::{Message, MessageParts};
use crate::wire::{ContentHeader, EncodeError, PropertiesBuilder, TableReader, TableWriter, Value};

/// The header that says how long a message waits, in milliseconds.
const DELAY: &str = "x-delay";

/// No message waits longer: seven weeks.
const DELAY_MS_MAX: i64 = u32::MAX as i64;

/// Why a message could not be made what it is after its delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitToDelay {
    /// Its header does not parse, which only damage explains.
    #[error("the message's header cannot be read")]
    Header,
    /// The new header does not fit.
    #[error("the delayed message's header cannot be written: {0}")]
    Encode(#[from] EncodeError),
    /// The whole would be longer than a message can be.
    #[error("the delayed message is too long")]
    TooLong,
}

impl Message {
    /// How long the message asks to wait, in milliseconds; `None` where it does not, or asks for
    /// no time at all.
    #[must_use]
    pub fn delay_ms(&self) -> Option<u64> {
        delay_ms(self.properties().headers()?)
    }

    /// The message when its time has come: its delay is negative, so that it waits no more and its
    /// receiver can see how long it did.
    ///
    /// # Errors
    ///
    /// If the message's own header is damaged, or the new one has no room.
    pub fn after_delay(&self) -> Result<Self, UnfitToDelay> {
        let header = ContentHeader::parse(self.header()).map_err(|_| UnfitToDelay::Header)?;
        let headers = header.properties.headers().unwrap_or(TableReader::EMPTY);
        let waited_ms = -asked(headers).unwrap_or_default();
        let mut table = TableWriter::new();
        for entry in headers {
            if entry.key == DELAY.as_bytes() {
                table.entry(DELAY, Value::LongLongInt(waited_ms))?;
            } else {
                table.copy(&entry);
            }
        }
        let table = table.finish();
        let properties = PropertiesBuilder::from(header.properties)
            .headers(TableReader::new(&table))?
            .finish();
        let mut encoded = self.envelope().to_vec();
        let start = encoded.len();
        ContentHeader::write(&mut encoded, header.body_size, &properties);
        let header_bytes =
            u32::try_from(encoded.len() - start).map_err(|_| UnfitToDelay::TooLong)?;
        encoded.extend_from_slice(self.body());
        let parts = MessageParts {
            header_bytes,
            ..self.parts()
        };
        Self::new(parts, &encoded).ok_or(UnfitToDelay::TooLong)
    }
}

/// How long a message with these headers asks to wait, in milliseconds.
#[must_use]
pub fn delay_ms(headers: TableReader<'_>) -> Option<u64> {
    let delay_ms = u64::try_from(asked(headers)?).ok()?;
    (delay_ms > 0).then_some(delay_ms)
}

/// The header's number, within bounds; digits are understood, too.
fn asked(headers: TableReader<'_>) -> Option<i64> {
    let value = headers.get(DELAY)?;
    let number = value.as_integer().or_else(|| {
        let text = str::from_utf8(value.as_text()?.as_bytes()).ok()?;
        text.parse::<i64>().ok()
    })?;
    Some(number.clamp(-DELAY_MS_MAX, DELAY_MS_MAX))
}
