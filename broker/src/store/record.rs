//! What the log's records mean, encoded and decoded.
//!
//! ```text
//! MESSAGE    origin | priority u8 | header bytes and flags | n | n x (queue, place, deadline) | encoding
//! ENQUEUE    queue, place, deadline | LSN of the message | segment, offset, length | body bytes
//! SETTLE     queue | ranges
//! REQUEUE    queue | delivery count | ranges
//! DELIVERED  queue | place
//! ENTITY     JSON: version, next queue id, change
//! ```
//!
//! Everything without a size is a number of variable length. Ranges are `n` and then `n` times the
//! first place and the number of further ones. `origin` is 0 in a message's own record; in one that
//! was moved by the cleaner (kind MOVED_TO) it is the LSN that the message had at first. The
//! encoding is the message's own, to the end of the record.

use leveret_log::{Location, Lsn};
use serde::{Deserialize, Serialize};

use crate::model::{EntityChange, Message, MessageParts, QueueId, Seq, SeqRange, Stored};
use crate::wire::Properties;

use super::codec::{Fields, Malformed, put_location, put_number, put_seq};

/// The kinds of records, as the log stores them.
pub(crate) mod kind {
    pub(crate) const MESSAGE: u8 = 0x10;
    pub(crate) const ENQUEUE: u8 = 0x11;
    pub(crate) const SETTLE: u8 = 0x12;
    pub(crate) const REQUEUE: u8 = 0x13;
    pub(crate) const DELIVERED: u8 = 0x14;
    pub(crate) const ENTITY: u8 = 0x15;
    pub(crate) const MOVED_TO: u8 = 0x16;
}

/// The version of the JSON in ENTITY records.
const ENTITY_VERSION: u32 = 1;

/// What stands before the properties in a content header.
const CONTENT_HEADER_BYTES: usize = 12;

/// A place in a queue that a message takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) queue: QueueId,
    pub(crate) seq: Seq,
    pub(crate) deadline_ms: u64,
}

/// A decoded record. Bodies are not taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// MESSAGE and MOVED_TO.
    Message {
        /// The first LSN of a moved message.
        origin: Option<Lsn>,
        body_bytes: u32,
        targets: Vec<Target>,
    },
    Enqueue {
        target: Target,
        message: Stored,
        body_bytes: u32,
    },
    Settle {
        queue: QueueId,
        ranges: Vec<SeqRange>,
    },
    Requeue {
        queue: QueueId,
        delivery_count: u32,
        ranges: Vec<SeqRange>,
    },
    Delivered {
        queue: QueueId,
        up_to: Seq,
    },
    Entity {
        next_queue: u32,
        change: EntityChange,
    },
}

#[derive(Serialize, Deserialize)]
struct EntityBody {
    version: u32,
    next_queue: u32,
    change: EntityChange,
}

/// Appends what stands before a message's encoding.
pub(crate) fn put_message_head(
    bytes: &mut Vec<u8>,
    origin: Option<Lsn>,
    message: &Message,
    targets: &[Target],
) {
    put_number(bytes, origin.map_or(0, |lsn| lsn.0));
    bytes.push(message.parts().priority);
    put_number(bytes, header_number(message.parts()));
    put_number(bytes, targets.len() as u64);
    for target in targets {
        put_target(bytes, *target);
    }
}

/// Above the length of a header, which no record has room for, there are flags.
mod flag {
    pub(super) const DEAD_LETTERED: u64 = 1 << 32;
    pub(super) const BLIND_COPIES: u64 = 1 << 33;
}

/// The length of the content header, and what else is to be known of it.
fn header_number(parts: MessageParts) -> u64 {
    let flag = |is_set: bool, flag: u64| if is_set { flag } else { 0 };
    u64::from(parts.header_bytes)
        | flag(parts.dead_lettered, flag::DEAD_LETTERED)
        | flag(parts.blind_copies, flag::BLIND_COPIES)
}

fn put_target(bytes: &mut Vec<u8>, target: Target) {
    put_number(bytes, u64::from(target.queue.0));
    put_seq(bytes, target.seq);
    put_number(bytes, target.deadline_ms);
}

/// Appends an ENQUEUE record.
pub(crate) fn put_enqueue(
    bytes: &mut Vec<u8>,
    target: Target,
    lsn: Lsn,
    location: Location,
    body_bytes: u32,
) {
    put_target(bytes, target);
    put_number(bytes, lsn.0);
    put_location(bytes, location);
    put_number(bytes, u64::from(body_bytes));
}

/// Appends a SETTLE record.
pub(crate) fn put_settle(bytes: &mut Vec<u8>, queue: QueueId, ranges: &[SeqRange]) {
    put_number(bytes, u64::from(queue.0));
    put_ranges(bytes, ranges);
}

/// Appends a REQUEUE record.
pub(crate) fn put_requeue(bytes: &mut Vec<u8>, queue: QueueId, count: u32, ranges: &[SeqRange]) {
    put_number(bytes, u64::from(queue.0));
    put_number(bytes, u64::from(count));
    put_ranges(bytes, ranges);
}

fn put_ranges(bytes: &mut Vec<u8>, ranges: &[SeqRange]) {
    put_number(bytes, ranges.len() as u64);
    for range in ranges {
        put_seq(bytes, range.first);
        put_number(bytes, range.count() - 1);
    }
}

/// Appends a DELIVERED record.
pub(crate) fn put_delivered(bytes: &mut Vec<u8>, queue: QueueId, up_to: Seq) {
    put_number(bytes, u64::from(queue.0));
    put_seq(bytes, up_to);
}

/// An ENTITY record.
pub(crate) fn entity(next_queue: u32, change: EntityChange) -> Vec<u8> {
    let body = EntityBody {
        version: ENTITY_VERSION,
        next_queue,
        change,
    };
    // Definitions are strings, numbers and lists: nothing in them can fail to become JSON.
    serde_json::to_vec(&body).unwrap_or_default()
}

/// Reads a record of the given kind. `None` for a kind that this version does not know, which only
/// a newer one can have written.
pub(crate) fn decode(record_kind: u8, payload: &[u8]) -> Result<Option<Record>, Malformed> {
    let mut fields = Fields(payload);
    let record = match record_kind {
        kind::MESSAGE | kind::MOVED_TO => return decode_message(fields).map(Some),
        kind::ENQUEUE => Record::Enqueue {
            target: target(&mut fields)?,
            message: Stored {
                lsn: fields.lsn()?,
                location: fields.location()?,
            },
            body_bytes: fields.small()?,
        },
        kind::SETTLE => Record::Settle {
            queue: QueueId(fields.small()?),
            ranges: ranges(&mut fields)?,
        },
        kind::REQUEUE => Record::Requeue {
            queue: QueueId(fields.small()?),
            delivery_count: fields.small()?,
            ranges: ranges(&mut fields)?,
        },
        kind::DELIVERED => Record::Delivered {
            queue: QueueId(fields.small()?),
            up_to: fields.seq()?,
        },
        kind::ENTITY => return decode_entity(payload).map(Some),
        _ => return Ok(None),
    };
    fields.finish()?;
    Ok(Some(record))
}

fn decode_entity(payload: &[u8]) -> Result<Record, Malformed> {
    let body: EntityBody = serde_json::from_slice(payload).map_err(|_| Malformed)?;
    Ok(Record::Entity {
        next_queue: body.next_queue,
        change: body.change,
    })
}

struct MessageHead {
    origin: Option<Lsn>,
    parts: MessageParts,
    body_bytes: u32,
}

/// Reads a message's head and hands each of its targets to `each`; `fields` is left at the
/// encoding.
fn message_head(
    fields: &mut Fields<'_>,
    mut each: impl FnMut(Target),
) -> Result<MessageHead, Malformed> {
    let origin = fields.lsn()?;
    let priority = fields.byte()?;
    let header_number = fields.number()?;
    let header_bytes = header_number & u64::from(u32::MAX);
    let header_bytes = u32::try_from(header_bytes).map_err(|_| Malformed)?;
    if header_number >> 34 != 0 {
        return Err(Malformed);
    }
    for _ in 0..fields.count()? {
        each(target(fields)?);
    }
    let encoded = fields.0;
    let exchange_bytes = *encoded.first().ok_or(Malformed)?;
    let routing_key_bytes = *encoded
        .get(usize::from(exchange_bytes) + 1)
        .ok_or(Malformed)?;
    let before_body = usize::from(exchange_bytes)
        + usize::from(routing_key_bytes)
        + 2
        + usize::try_from(header_bytes).map_err(|_| Malformed)?;
    let body_bytes = encoded.len().checked_sub(before_body).ok_or(Malformed)?;
    Ok(MessageHead {
        origin: (origin != Lsn::default()).then_some(origin),
        parts: MessageParts {
            exchange_bytes,
            routing_key_bytes,
            header_bytes,
            persistent: is_persistent(encoded, before_body, header_bytes),
            priority,
            dead_lettered: header_number & flag::DEAD_LETTERED != 0,
            blind_copies: header_number & flag::BLIND_COPIES != 0,
        },
        body_bytes: u32::try_from(body_bytes).map_err(|_| Malformed)?,
    })
}

/// What the message's own properties say: some queues keep transient messages, too.
fn is_persistent(encoded: &[u8], before_body: usize, header_bytes: u32) -> bool {
    let header_bytes = usize::try_from(header_bytes).unwrap_or(usize::MAX);
    let header = before_body
        .checked_sub(header_bytes)
        .and_then(|start| encoded.get(start + CONTENT_HEADER_BYTES..before_body));
    header.is_some_and(|properties| Properties::new(properties).is_persistent())
}

fn decode_message(mut fields: Fields<'_>) -> Result<Record, Malformed> {
    let mut targets = Vec::new();
    let head = message_head(&mut fields, |target| targets.push(target))?;
    Ok(Record::Message {
        origin: head.origin,
        body_bytes: head.body_bytes,
        targets,
    })
}

/// The message that a MESSAGE or MOVED_TO record carries, and the LSN that it had at first if it
/// was moved.
pub(crate) fn message(payload: &[u8]) -> Result<(Option<Lsn>, Message), Malformed> {
    let mut fields = Fields(payload);
    let head = message_head(&mut fields, |_| {})?;
    let message = Message::new(head.parts, fields.0).ok_or(Malformed)?;
    Ok((head.origin, message))
}

/// The same message without its body, from the beginning of its record.
pub(crate) fn head(start: &[u8]) -> Result<Message, Malformed> {
    let mut fields = Fields(start);
    let parts = message_head(&mut fields, |_| {})?.parts;
    let header_bytes = usize::try_from(parts.header_bytes).map_err(|_| Malformed)?;
    let names = usize::from(parts.exchange_bytes) + usize::from(parts.routing_key_bytes) + 2;
    let encoded = fields.0.get(..names + header_bytes).ok_or(Malformed)?;
    Message::new(parts, encoded).ok_or(Malformed)
}

fn target(fields: &mut Fields<'_>) -> Result<Target, Malformed> {
    Ok(Target {
        queue: QueueId(fields.small()?),
        seq: fields.seq()?,
        deadline_ms: fields.number()?,
    })
}

fn ranges(fields: &mut Fields<'_>) -> Result<Vec<SeqRange>, Malformed> {
    let count = fields.count()?;
    let mut ranges = Vec::with_capacity(count);
    for _ in 0..count {
        let first = fields.seq()?;
        let further = fields.number()?;
        let last = Seq(first.0.checked_add(further).ok_or(Malformed)?);
        if last.level() != first.level() {
            return Err(Malformed);
        }
        ranges.push(SeqRange { first, last });
    }
    Ok(ranges)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
