//! Content on its way in: method, header, body frames, until they are a message.
//!
//! Everything is copied once, into one buffer laid out as a [`Message`] wants it. The buffer grows
//! with what has arrived, never with what was claimed (spec 13.2).

use crate::model::{Message, MessageParts};
use crate::wire::{ContentError, ContentHeader};

/// No body may claim more than this, whatever is configured (spec 1.6.6).
pub(super) const BODY_BYTES_CEILING: u64 = 512 << 20;

/// A buffer that grew beyond this is given back once its message is complete.
const SCRATCH_BYTES_KEPT: usize = 64 << 10;

const EXPECTED_HEADER: &str =
    "expected content header for class 60, got non content header frame instead";

/// Flags of a publish, kept until its content is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PublishFlags {
    /// To be returned if no queue takes it.
    pub(super) mandatory: bool,
    /// Not supported, and refused once the content is there (spec 5.1.4).
    pub(super) immediate: bool,
}

/// Why content cannot go on.
#[derive(Debug)]
pub(super) enum ContentFault {
    /// Not the frame that must come now (spec 1.6.5).
    Unexpected(&'static str),
    /// A header of another class.
    WrongClass(u16),
    /// The body claims more than the ceiling.
    TooLarge(u64),
    /// More body than claimed.
    Overrun,
    /// The header frame does not parse.
    Header(ContentError),
}

/// What a frame led to.
#[derive(Debug)]
pub(super) enum Progress {
    /// More frames must come.
    Incomplete,
    /// The header is there: this much body is claimed.
    Claimed(u64),
    /// The content is complete.
    Complete,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    Header,
    Body {
        left: u64,
    },
}

/// The content of one channel on its way in.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    stage: Stage,
    flags: PublishFlags,
    exchange_bytes: u8,
    routing_key_bytes: u8,
    header_bytes: u32,
    persistent: bool,
    priority: u8,
    scratch: Vec<u8>,
}

impl Assembler {
    /// What must come now instead of a method, in RabbitMQ's words (spec 1.6.5).
    pub(super) const fn expects(&self) -> Option<&'static str> {
        match self.stage {
            Stage::Idle => None,
            Stage::Header => Some(EXPECTED_HEADER),
            Stage::Body { .. } => Some("expected content body, got non content body frame instead"),
        }
    }

    const fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    /// What the incomplete content occupies, in bytes.
    pub(super) const fn partial_bytes(&self) -> usize {
        if self.is_idle() {
            0
        } else {
            self.scratch.len()
        }
    }

    /// Starts with a `basic.publish`; `address` is exchange and routing key as two short strings.
    pub(super) fn begin(&mut self, exchange: &str, key: &str, address: &[u8], flags: PublishFlags) {
        self.stage = Stage::Header;
        self.flags = flags;
        self.exchange_bytes = short(exchange);
        self.routing_key_bytes = short(key);
        self.scratch.clear();
        self.scratch.extend_from_slice(address);
    }

    /// Takes a header frame's payload.
    pub(super) fn header(&mut self, payload: &[u8]) -> Result<Progress, ContentFault> {
        match self.stage {
            Stage::Header => {}
            Stage::Idle => {
                return Err(ContentFault::Unexpected(
                    "expected method frame, got non method frame instead",
                ));
            }
            Stage::Body { .. } => {
                return Err(ContentFault::Unexpected(
                    "expected content body, got non content body frame instead",
                ));
            }
        }
        let header = ContentHeader::parse(payload).map_err(ContentFault::Header)?;
        if header.class_id != 60 {
            return Err(ContentFault::WrongClass(header.class_id));
        }
        if header.weight != 0 {
            return Err(ContentFault::Unexpected(EXPECTED_HEADER));
        }
        if header.body_size > BODY_BYTES_CEILING {
            return Err(ContentFault::TooLarge(header.body_size));
        }
        self.header_bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.persistent = header.properties.is_persistent();
        self.priority = header.properties.priority().unwrap_or(0);
        self.scratch.extend_from_slice(payload);
        self.stage = Stage::Body {
            left: header.body_size,
        };
        Ok(Progress::Claimed(header.body_size))
    }

    /// Whether all of the body is there.
    pub(super) const fn is_complete(&self) -> bool {
        matches!(self.stage, Stage::Body { left: 0 })
    }

    /// Takes a body frame's payload.
    pub(super) fn body(&mut self, payload: &[u8]) -> Result<Progress, ContentFault> {
        let left = match &mut self.stage {
            Stage::Body { left } => left,
            Stage::Idle => {
                return Err(ContentFault::Unexpected(
                    "expected method frame, got non method frame instead",
                ));
            }
            Stage::Header => {
                return Err(ContentFault::Unexpected(EXPECTED_HEADER));
            }
        };
        *left = left
            .checked_sub(payload.len() as u64)
            .ok_or(ContentFault::Overrun)?;
        let complete = *left == 0;
        self.scratch.extend_from_slice(payload);
        Ok(if complete {
            Progress::Complete
        } else {
            Progress::Incomplete
        })
    }

    /// Ends the content and gives the message. `None` if it is not complete.
    pub(super) fn finish(&mut self) -> Option<(Message, PublishFlags)> {
        if !self.is_complete() {
            return None;
        }
        self.stage = Stage::Idle;
        let parts = MessageParts {
            exchange_bytes: self.exchange_bytes,
            routing_key_bytes: self.routing_key_bytes,
            header_bytes: self.header_bytes,
            persistent: self.persistent,
            priority: self.priority,
            ..MessageParts::default()
        };
        let message = Message::new(parts, &self.scratch);
        if self.scratch.capacity() > SCRATCH_BYTES_KEPT {
            self.scratch = Vec::new();
        }
        message.map(|message| (message, self.flags))
    }

    /// Forgets incomplete content.
    pub(super) fn discard(&mut self) {
        self.stage = Stage::Idle;
        self.scratch = Vec::new();
    }
}

/// The length of a short string, which the decoder has bounded to 255 bytes.
fn short(text: &str) -> u8 {
    u8::try_from(text.len()).unwrap_or(u8::MAX)
}
