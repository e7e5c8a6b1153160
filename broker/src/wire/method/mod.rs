//! All methods of AMQP 0-9-1 with RabbitMQ's extensions: one table that is both decoder and encoder.
//!
//! A decoded method borrows its strings and tables from the payload. Methods that only a server may
//! send are decoded as well, so that the session can name what it refuses.

#[macro_use]
mod define;
mod classes;

pub use classes::{access, basic, channel, confirm, connection, exchange, queue, tx};

use super::arguments::{ArgumentReader, ArgumentWriter};
use super::error::{ArgumentError, EncodeError, MethodError};
use super::octets::OctetSample;

/// A method, by class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method<'a> {
    /// Class 10.
    Connection(connection::Method<'a>),
    /// Class 20.
    Channel(channel::Method<'a>),
    /// Class 30.
    Access(access::Method<'a>),
    /// Class 40.
    Exchange(exchange::Method<'a>),
    /// Class 50.
    Queue(queue::Method<'a>),
    /// Class 60.
    Basic(basic::Method<'a>),
    /// Class 85.
    Confirm(confirm::Method),
    /// Class 90.
    Tx(tx::Method),
}

/// Who may send a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Only the client.
    Client,
    /// Only the server.
    Server,
    /// Both.
    Either,
}

macro_rules! from_class {
    ($($Class:ident($class:ty)),* $(,)?) => {$(
        impl<'a> From<$class> for Method<'a> {
            fn from(method: $class) -> Self {
                Self::$Class(method)
            }
        }
    )*};
}

from_class! {
    Connection(connection::Method<'a>),
    Channel(channel::Method<'a>),
    Access(access::Method<'a>),
    Exchange(exchange::Method<'a>),
    Queue(queue::Method<'a>),
    Basic(basic::Method<'a>),
    Confirm(confirm::Method),
    Tx(tx::Method),
}

/// Repeats an expression for the method of each class.
macro_rules! for_each_class {
    ($method:expr, $inner:ident => $result:expr) => {
        match $method {
            Method::Connection($inner) => $result,
            Method::Channel($inner) => $result,
            Method::Access($inner) => $result,
            Method::Exchange($inner) => $result,
            Method::Queue($inner) => $result,
            Method::Basic($inner) => $result,
            Method::Confirm($inner) => $result,
            Method::Tx($inner) => $result,
        }
    };
}

impl<'a> Method<'a> {
    /// Decodes the payload of a method frame. All strings are UTF-8 afterwards, all tables valid,
    /// and the arguments fill the payload exactly.
    ///
    /// # Errors
    ///
    /// See [`MethodError`].
    pub fn parse(payload: &'a [u8]) -> Result<Self, MethodError> {
        let Some((&[class_high, class_low, method_high, method_low], arguments)) =
            payload.split_first_chunk()
        else {
            return Err(undecodable(0, 0, ArgumentError::Truncated, payload));
        };
        let class_id = u16::from_be_bytes([class_high, class_low]);
        let method_id = u16::from_be_bytes([method_high, method_low]);
        let mut reader = ArgumentReader::new(arguments);
        let decoded = match class_id {
            basic::CLASS_ID => basic::read(method_id, &mut reader).map(|m| m.map(Self::Basic)),
            connection::CLASS_ID => {
                connection::read(method_id, &mut reader).map(|m| m.map(Self::Connection))
            }
            channel::CLASS_ID => {
                channel::read(method_id, &mut reader).map(|m| m.map(Self::Channel))
            }
            access::CLASS_ID => access::read(method_id, &mut reader).map(|m| m.map(Self::Access)),
            exchange::CLASS_ID => {
                exchange::read(method_id, &mut reader).map(|m| m.map(Self::Exchange))
            }
            queue::CLASS_ID => queue::read(method_id, &mut reader).map(|m| m.map(Self::Queue)),
            confirm::CLASS_ID => {
                confirm::read(method_id, &mut reader).map(|m| m.map(Self::Confirm))
            }
            tx::CLASS_ID => tx::read(method_id, &mut reader).map(|m| m.map(Self::Tx)),
            _ => None,
        };
        decoded
            .ok_or(MethodError::Unknown {
                class_id,
                method_id,
            })?
            .and_then(|method| reader.finish().map(|()| method))
            .map_err(|reason| undecodable(class_id, method_id, reason, arguments))
    }

    /// The class the method belongs to.
    #[must_use]
    pub fn class_id(&self) -> u16 {
        match self {
            Self::Connection(_) => connection::CLASS_ID,
            Self::Channel(_) => channel::CLASS_ID,
            Self::Access(_) => access::CLASS_ID,
            Self::Exchange(_) => exchange::CLASS_ID,
            Self::Queue(_) => queue::CLASS_ID,
            Self::Basic(_) => basic::CLASS_ID,
            Self::Confirm(_) => confirm::CLASS_ID,
            Self::Tx(_) => tx::CLASS_ID,
        }
    }

    /// The method's number within its class.
    #[must_use]
    pub fn method_id(&self) -> u16 {
        for_each_class!(self, method => method.method_id())
    }

    /// The method's name as in `queue.declare`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        for_each_class!(self, method => method.name())
    }

    /// Who may send the method.
    #[must_use]
    pub fn sender(&self) -> Sender {
        for_each_class!(self, method => method.sender())
    }

    /// Whether a content header and body follow the method.
    #[must_use]
    pub fn carries_content(&self) -> bool {
        match self {
            Self::Basic(method) => match method {
                basic::Method::Publish(_)
                | basic::Method::Return(_)
                | basic::Method::Deliver(_)
                | basic::Method::GetOk(_) => true,
                basic::Method::Qos(_)
                | basic::Method::QosOk(_)
                | basic::Method::Consume(_)
                | basic::Method::ConsumeOk(_)
                | basic::Method::Cancel(_)
                | basic::Method::CancelOk(_)
                | basic::Method::Get(_)
                | basic::Method::GetEmpty(_)
                | basic::Method::Ack(_)
                | basic::Method::Reject(_)
                | basic::Method::RecoverAsync(_)
                | basic::Method::Recover(_)
                | basic::Method::RecoverOk(_)
                | basic::Method::Nack(_) => false,
            },
            Self::Connection(_)
            | Self::Channel(_)
            | Self::Access(_)
            | Self::Exchange(_)
            | Self::Queue(_)
            | Self::Confirm(_)
            | Self::Tx(_) => false,
        }
    }

    /// Appends the payload of a method frame.
    pub(super) fn write(&self, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
        buffer.extend_from_slice(&self.class_id().to_be_bytes());
        buffer.extend_from_slice(&self.method_id().to_be_bytes());
        let mut writer = ArgumentWriter::new(buffer);
        for_each_class!(self, method => method.write(&mut writer))
    }
}

/// Where exchange and routing key lie in the payload of a `basic.publish`: two short strings, as
/// [`Delivery`](super::encoder::Delivery) wants them. The payload must have been parsed before.
#[must_use]
pub fn publish_address(payload: &[u8]) -> &[u8] {
    const BEFORE: usize = 6;
    const AFTER: usize = 1;
    payload
        .get(BEFORE..payload.len().saturating_sub(AFTER))
        .unwrap_or_default()
}

#[cold]
fn undecodable(
    class_id: u16,
    method_id: u16,
    reason: ArgumentError,
    arguments: &[u8],
) -> MethodError {
    let arguments = match (class_id, method_id) {
        (connection::CLASS_ID, _) => OctetSample::redacted(),
        _ => OctetSample::new(arguments),
    };
    match reason {
        ArgumentError::MalformedText => MethodError::MalformedText {
            class_id,
            method_id,
        },
        ArgumentError::Truncated | ArgumentError::Trailing { .. } | ArgumentError::Table(_) => {
            MethodError::Undecodable {
                class_id,
                method_id,
                reason,
                arguments,
            }
        }
    }
}

#[cfg(test)]
mod tests;
