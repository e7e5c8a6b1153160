//! What can go wrong between the generator and a broker.

use std::io;

use crate::wire::method;

/// Bytes that are not AMQP 0-9-1, or that the generator cannot turn into AMQP 0-9-1.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("unknown frame kind {0}")]
    UnknownKind(u8),
    #[error("frame of {payload_bytes} payload bytes, {payload_bytes_max} were agreed")]
    TooLarge {
        payload_bytes: usize,
        payload_bytes_max: usize,
    },
    #[error("frame ends with {0:#04x} instead of 0xce")]
    WrongEnd(u8),
    #[error("{0} is cut short")]
    Truncated(&'static str),
    #[error("{0:?} is longer than 255 bytes")]
    StringTooLong(String),
}

/// Why a conversation with a broker failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("cannot connect to {address}")]
    Connect { address: String, source: io::Error },
    #[error("the broker closed the connection without a word")]
    Closed,
    #[error("connection lost")]
    Lost(#[from] io::Error),
    #[error("the broker does not speak AMQP 0-9-1: it answered {0:?}")]
    OtherProtocol(String),
    #[error("the broker sent a malformed frame")]
    Frame(#[from] FrameError),
    #[error("the broker closed the {scope}: {code} {text}{}", after(*method))]
    Refused {
        scope: &'static str,
        code: u16,
        text: String,
        method: u32,
    },
    #[error("the broker sent {got} while {waiting_for} was due")]
    Unexpected {
        got: String,
        waiting_for: &'static str,
    },
    #[error("the broker offers {offered:?} for login, not PLAIN")]
    NoPlainLogin { offered: String },
    #[error("no {waiting_for} within {seconds} s")]
    Timeout {
        waiting_for: &'static str,
        seconds: u64,
    },
    #[error("the broker confirmed tag {tag}, which is not outstanding ({low}..{next} are)")]
    WrongConfirm { tag: u64, low: u64, next: u64 },
    #[error("a message came back changed: {0}")]
    WrongMessage(String),
    #[error("stopped")]
    Stopped,
}

fn after(method: u32) -> String {
    if method == 0 {
        String::new()
    } else {
        format!(" (after {})", method::name(method))
    }
}
