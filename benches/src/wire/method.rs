//! The methods the generator sends or understands, and their builder.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::wire::{FrameError, FrameKind, append_frame};

macro_rules! methods {
    ($($constant:ident = $class:literal, $method:literal, $name:literal;)*) => {
        $(pub(crate) const $constant: u32 = ($class << 16) | $method;)*

        /// The method's name as the specification writes it.
        pub(crate) fn name(id: u32) -> String {
            match id {
                $($constant => $name.to_owned(),)*
                other => format!("method {}.{}", other >> 16, other & 0xffff),
            }
        }
    };
}

methods! {
    CONNECTION_START = 10, 10, "connection.start";
    CONNECTION_START_OK = 10, 11, "connection.start-ok";
    CONNECTION_TUNE = 10, 30, "connection.tune";
    CONNECTION_TUNE_OK = 10, 31, "connection.tune-ok";
    CONNECTION_OPEN = 10, 40, "connection.open";
    CONNECTION_OPEN_OK = 10, 41, "connection.open-ok";
    CONNECTION_CLOSE = 10, 50, "connection.close";
    CONNECTION_CLOSE_OK = 10, 51, "connection.close-ok";
    CONNECTION_BLOCKED = 10, 60, "connection.blocked";
    CONNECTION_UNBLOCKED = 10, 61, "connection.unblocked";
    CHANNEL_OPEN = 20, 10, "channel.open";
    CHANNEL_OPEN_OK = 20, 11, "channel.open-ok";
    CHANNEL_CLOSE = 20, 40, "channel.close";
    CHANNEL_CLOSE_OK = 20, 41, "channel.close-ok";
    EXCHANGE_DECLARE = 40, 10, "exchange.declare";
    EXCHANGE_DECLARE_OK = 40, 11, "exchange.declare-ok";
    EXCHANGE_DELETE = 40, 20, "exchange.delete";
    EXCHANGE_DELETE_OK = 40, 21, "exchange.delete-ok";
    QUEUE_DECLARE = 50, 10, "queue.declare";
    QUEUE_DECLARE_OK = 50, 11, "queue.declare-ok";
    QUEUE_BIND = 50, 20, "queue.bind";
    QUEUE_BIND_OK = 50, 21, "queue.bind-ok";
    QUEUE_DELETE = 50, 40, "queue.delete";
    QUEUE_DELETE_OK = 50, 41, "queue.delete-ok";
    BASIC_QOS = 60, 10, "basic.qos";
    BASIC_QOS_OK = 60, 11, "basic.qos-ok";
    BASIC_CONSUME = 60, 20, "basic.consume";
    BASIC_CONSUME_OK = 60, 21, "basic.consume-ok";
    BASIC_CANCEL = 60, 30, "basic.cancel";
    BASIC_PUBLISH = 60, 40, "basic.publish";
    BASIC_DELIVER = 60, 60, "basic.deliver";
    BASIC_GET = 60, 70, "basic.get";
    BASIC_GET_OK = 60, 71, "basic.get-ok";
    BASIC_GET_EMPTY = 60, 72, "basic.get-empty";
    BASIC_ACK = 60, 80, "basic.ack";
    BASIC_NACK = 60, 120, "basic.nack";
    CONFIRM_SELECT = 85, 10, "confirm.select";
    CONFIRM_SELECT_OK = 85, 11, "confirm.select-ok";
}

/// The class of content.
pub(crate) const BASIC_CLASS: u16 = 60;

/// The method's id out of a method frame's payload, and its arguments.
pub(crate) fn split(payload: &[u8]) -> Result<(u32, &[u8]), FrameError> {
    match payload.split_first_chunk::<4>() {
        Some((id, arguments)) => Ok((u32::from_be_bytes(*id), arguments)),
        None => Err(FrameError::Truncated("a method")),
    }
}

/// A value in a field table, as far as queue arguments need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Value {
    Boolean(bool),
    Integer(i64),
    Text(String),
}

impl FromStr for Value {
    type Err = std::convert::Infallible;

    /// `true` and `false` are booleans, whole numbers are integers, the rest is text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match (text.parse(), text.parse()) {
            (Ok(boolean), _) => Self::Boolean(boolean),
            (_, Ok(integer)) => Self::Integer(integer),
            _ => Self::Text(text.to_owned()),
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(formatter),
            Self::Integer(value) => value.fmt(formatter),
            Self::Text(value) => value.fmt(formatter),
        }
    }
}

/// Builds one method frame.
#[derive(Debug)]
pub(crate) struct MethodFrame {
    channel: u16,
    payload: Vec<u8>,
    overlong: Option<String>,
}

impl MethodFrame {
    pub(crate) fn new(channel: u16, method: u32) -> Self {
        Self {
            channel,
            payload: method.to_be_bytes().to_vec(),
            overlong: None,
        }
    }

    pub(crate) fn u8(mut self, value: u8) -> Self {
        self.payload.push(value);
        self
    }

    pub(crate) fn u16(mut self, value: u16) -> Self {
        self.payload.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.payload.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn u64(mut self, value: u64) -> Self {
        self.payload.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// A string longer than 255 bytes is remembered and reported by `finish`.
    pub(crate) fn short_string(mut self, text: &str) -> Self {
        self.append_short_string(text);
        self
    }

    pub(crate) fn long_string(mut self, bytes: &[u8]) -> Self {
        self.append_long_string(bytes);
        self
    }

    pub(crate) fn table(mut self, fields: &[(String, Value)]) -> Self {
        let mut table = Self {
            payload: Vec::new(),
            channel: 0,
            overlong: None,
        };
        for (name, value) in fields {
            table.append_short_string(name);
            match value {
                Value::Boolean(value) => table.payload.extend([b't', u8::from(*value)]),
                Value::Integer(value) => {
                    table.payload.push(b'l');
                    table.payload.extend_from_slice(&value.to_be_bytes());
                }
                Value::Text(value) => {
                    table.payload.push(b'S');
                    table.append_long_string(value.as_bytes());
                }
            }
        }
        self.overlong = self.overlong.or(table.overlong);
        self.append_long_string(&table.payload);
        self
    }

    /// `connection.start-ok`'s only nested table: what the client can cope with.
    pub(crate) fn client_properties(mut self) -> Self {
        let names = [
            "publisher_confirms",
            "basic.nack",
            "consumer_cancel_notify",
            "connection.blocked",
            "authentication_failure_close",
        ];
        let capabilities = names.map(|name| (name.to_owned(), Value::Boolean(true)));
        let nested = Self::new(0, 0).table(&capabilities).payload;
        let product = (
            "product".to_owned(),
            Value::Text("leveret-bench".to_owned()),
        );
        let mut table = Self::new(0, 0).table(&[product]).payload.split_off(8);
        table.push(12);
        table.extend_from_slice(b"capabilities");
        table.push(b'F');
        table.extend_from_slice(&nested[4..]);
        self.append_long_string(&table);
        self
    }

    /// The frame's octets.
    pub(crate) fn finish(self) -> Result<Vec<u8>, FrameError> {
        match self.overlong {
            Some(text) => Err(FrameError::StringTooLong(text)),
            None => {
                let mut bytes = Vec::with_capacity(self.payload.len() + 8);
                append_frame(&mut bytes, FrameKind::Method, self.channel, &self.payload);
                Ok(bytes)
            }
        }
    }

    fn append_short_string(&mut self, text: &str) {
        match u8::try_from(text.len()) {
            Ok(size) => {
                self.payload.push(size);
                self.payload.extend_from_slice(text.as_bytes());
            }
            Err(_) => self.overlong = Some(text.to_owned()),
        }
    }

    fn append_long_string(&mut self, bytes: &[u8]) {
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.payload.extend_from_slice(&size.to_be_bytes());
        self.payload.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_declare_has_the_octets_of_the_specification() {
        let arguments = [
            ("x-max".to_owned(), Value::Integer(258)),
            ("l".to_owned(), Value::Boolean(true)),
            ("t".to_owned(), Value::Text("quorum".to_owned())),
        ];
        let frame = MethodFrame::new(2, QUEUE_DECLARE)
            .u16(0)
            .short_string("q")
            .u8(2)
            .table(&arguments)
            .finish()
            .unwrap();
        let expected = [
            &[
                1, 0, 2, 0, 0, 0, 45, 0, 50, 0, 10, 0, 0, 1, b'q', 2, 0, 0, 0, 32,
            ][..],
            b"\x05x-maxl\0\0\0\0\0\0\x01\x02\x01lt\x01\x01tS\0\0\0\x06quorum\xce",
        ]
        .concat();
        assert_eq!(frame, expected);
    }

    #[test]
    fn a_string_that_does_not_fit_is_refused() {
        let long = "k".repeat(256);
        let frame = MethodFrame::new(1, BASIC_PUBLISH)
            .short_string(&long)
            .finish();
        assert_eq!(frame, Err(FrameError::StringTooLong(long)));
    }

    #[test]
    fn argument_values_take_the_type_they_look_like() {
        assert_eq!("true".parse(), Ok(Value::Boolean(true)));
        assert_eq!("-5".parse(), Ok(Value::Integer(-5)));
        assert_eq!("5s".parse(), Ok(Value::Text("5s".to_owned())));
    }

    #[test]
    fn a_method_shorter_than_its_id_is_an_error() {
        assert_eq!(split(&[0, 60, 0]), Err(FrameError::Truncated("a method")));
        assert_eq!(split(&[0, 60, 0, 80, 9]), Ok((BASIC_ACK, &[9][..])));
    }
}
