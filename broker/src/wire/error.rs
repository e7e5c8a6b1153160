//! What can be wrong with bytes that came in, or with values that shall go out.
//!
//! `Display` of each error is the text of the `connection.close` it leads to, without the name of
//! the reply code, so that the session only has to choose the code.

use thiserror::Error;

use super::octets::{FrameDescription, OctetSample};

/// A frame envelope that RabbitMQ would answer with 501 `FRAME_ERROR`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The envelope announces more than the limit; raised before the payload is buffered.
    #[error("type {type_octet}, all octets = <<>>: {{frame_too_large,{size},{limit}}}")]
    TooLarge {
        /// The octet that opened the frame.
        type_octet: u8,
        /// The announced length of the payload.
        size: u32,
        /// The largest payload that the negotiated frame size has room for.
        limit: u32,
    },
    /// The octet after the payload is not 206; where the next frame begins is unknown.
    #[error("{frame}: {{invalid_frame_end_marker,{marker}}}")]
    InvalidEndMarker {
        /// The frame before the marker.
        frame: FrameDescription,
        /// What was found instead of 206.
        marker: u8,
    },
    /// A type octet that AMQP 0-9-1 does not have.
    #[error("{frame}: unknown_frame")]
    UnknownType {
        /// The whole frame.
        frame: FrameDescription,
    },
    /// A method frame with no room for class and method id.
    #[error("{frame}: unknown_frame")]
    MethodTooShort {
        /// The whole frame.
        frame: FrameDescription,
    },
    /// A header frame with no room for class, weight and body size.
    #[error("{frame}: unknown_frame")]
    HeaderTooShort {
        /// The whole frame.
        frame: FrameDescription,
    },
    /// A heartbeat that carries something.
    #[error("{frame}: unknown_frame")]
    HeartbeatPayload {
        /// The whole frame.
        frame: FrameDescription,
    },
}

impl FrameError {
    /// How many octets the refused frame takes, or `None` if the position of the next frame is
    /// unknown, so that nothing more may be read from this peer.
    #[must_use]
    pub fn consumed(&self) -> Option<usize> {
        match self {
            Self::TooLarge { .. } | Self::InvalidEndMarker { .. } => None,
            Self::UnknownType { frame }
            | Self::MethodTooShort { frame }
            | Self::HeaderTooShort { frame }
            | Self::HeartbeatPayload { frame } => Some(
                frame
                    .payload_length()
                    .saturating_add(super::frame::ENVELOPE_LENGTH),
            ),
        }
    }
}

/// A method frame that names no method, or whose arguments do not fit the method.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MethodError {
    /// No such class, or no such method in it.
    #[error("unknown method {class_id}/{method_id}")]
    Unknown {
        /// The class that was asked for.
        class_id: u16,
        /// The method that was asked for.
        method_id: u16,
    },
    /// The arguments do not fill the payload exactly, or hold a table that is refused.
    #[error("cannot decode {arguments}")]
    Undecodable {
        /// The class of the method.
        class_id: u16,
        /// The method within its class.
        method_id: u16,
        /// What is wrong.
        reason: ArgumentError,
        /// How the arguments begin; empty for methods that carry credentials.
        arguments: OctetSample,
    },
    /// A short string that is not UTF-8.
    #[error("Malformed UTF-8 in shortstr")]
    MalformedText {
        /// The class of the method.
        class_id: u16,
        /// The method within its class.
        method_id: u16,
    },
}

impl MethodError {
    /// Class and method id for the `connection.close`.
    #[must_use]
    pub fn ids(&self) -> (u16, u16) {
        match *self {
            Self::Unknown {
                class_id,
                method_id,
            }
            | Self::Undecodable {
                class_id,
                method_id,
                ..
            }
            | Self::MalformedText {
                class_id,
                method_id,
            } => (class_id, method_id),
        }
    }
}

/// Why the arguments of a method cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ArgumentError {
    /// The payload ends inside an argument.
    #[error("arguments end too early")]
    Truncated,
    /// The payload goes on after the last argument.
    #[error("{octets} octets after the last argument")]
    Trailing {
        /// How many octets are left over.
        octets: usize,
    },
    /// A short string that is not UTF-8.
    #[error("short string is not UTF-8")]
    MalformedText,
    /// A field table that is refused.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// Why a field table is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TableError {
    /// An entry reaches over the end of its table or array.
    #[error("table entry at octet {offset} ends too early")]
    Truncated {
        /// Where in the outermost table the entry begins.
        offset: usize,
    },
    /// A type octet that RabbitMQ does not have.
    #[error("unknown field type {octet} at octet {offset}")]
    UnknownType {
        /// The type octet.
        octet: u8,
        /// Where it stands in the outermost table.
        offset: usize,
    },
    /// Tables and arrays are nested too deep.
    #[error("table nested deeper than {limit} levels")]
    TooDeep {
        /// The allowed depth.
        limit: usize,
    },
    /// Too many entries, counted over all levels.
    #[error("table has more than {limit} entries")]
    TooManyEntries {
        /// The allowed number.
        limit: usize,
    },
    /// A key that must be text is not UTF-8.
    #[error("table key at octet {offset} is not UTF-8")]
    KeyNotText {
        /// Where the entry begins.
        offset: usize,
    },
}

/// A content header that cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ContentError {
    /// The payload ends before class, weight, size and flags are complete.
    #[error("content header of {octets} octets is too short")]
    HeaderTooShort {
        /// How long the payload is.
        octets: usize,
    },
    /// The payload ends inside a property.
    #[error("property {property} ends too early")]
    Truncated {
        /// The property's name.
        property: &'static str,
    },
    /// The payload goes on after the last property.
    #[error("{octets} octets after the last property")]
    Trailing {
        /// How many octets are left over.
        octets: usize,
    },
    /// The header table is refused.
    #[error("headers: {0}")]
    Headers(#[from] TableError),
}

/// A value that AMQP has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// A short string has a length octet: 255 octets at most.
    #[error("short string of {octets} octets")]
    ShortStringTooLong {
        /// How long the string is.
        octets: usize,
    },
    /// A long string, table or array has a length of 32 bits.
    #[error("field of {octets} octets")]
    FieldTooLong {
        /// How long the field is.
        octets: usize,
    },
    /// A method or content header cannot be split over frames.
    #[error("frame payload of {octets} octets exceeds {limit}")]
    FrameTooLarge {
        /// The length of the payload.
        octets: usize,
        /// What the negotiated frame size has room for.
        limit: usize,
    },
    /// A property that is no short string was given a text.
    #[error("property {property} is not a text")]
    NotText {
        /// The property's name.
        property: &'static str,
    },
    /// Tables and arrays are nested too deep.
    #[error("table nested deeper than {limit} levels")]
    TooDeep {
        /// The allowed depth.
        limit: usize,
    },
}
