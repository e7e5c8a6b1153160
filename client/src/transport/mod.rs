//! How a client reaches the service: over AMQP, over a gateway, or inside one process. All behind one
//! trait, so that nothing above knows which it is.

mod amqp;
mod websocket;

use std::fmt;

use async_trait::async_trait;

use crate::message::{Command, Event, Reply, Request};

pub use self::amqp::{AmqpConnector, AmqpOptions};
pub use self::websocket::WebSocketConnector;

/// A connection of one device. When any call says [`TransportError::Closed`], it is of no use any more:
/// drop it and [connect](Connector::connect) again.
#[async_trait]
pub trait ClientTransport: Send + Sync + fmt::Debug {
    /// Hands a command over. `Ok` means for a [`Command::Send`] or [`Command::Receive`] that it is
    /// kept on the other side, and survives a crash there; for the others, that it is on its way.
    async fn hand_over(&self, command: &Command) -> Result<(), TransportError>;

    /// Asks, and waits for the answer.
    async fn ask(&self, request: &Request) -> Result<Reply, TransportError>;

    /// The next event. Cancelling the call loses nothing. It comes again, on a later connection, until
    /// it is [acknowledged](Self::acknowledge).
    async fn next(&self) -> Result<Arrived, TransportError>;

    /// Whether events wait on the other side while there is no connection. If not, what was said of messages
    /// handed over before is lost with the connection, and they are to be handed over again.
    fn keeps_events(&self) -> bool;

    /// Everything that an event, and all events before it, say was kept: they need not come again.
    async fn acknowledge(&self, token: AckToken) -> Result<(), TransportError>;

    /// Ends the connection in order.
    async fn close(&self);
}

/// Makes connections.
#[async_trait]
pub trait Connector: Send + Sync + fmt::Debug {
    /// Connects once. Whoever calls waits between tries.
    async fn connect(&self) -> Result<Box<dyn ClientTransport>, ConnectError>;

    /// Where it connects to, to be shown; without passwords.
    fn peer(&self) -> String;
}

/// An event that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// What.
    pub event: Event,
    /// Whether it may have come before.
    pub redelivered: bool,
    /// For acknowledging it.
    pub token: AckToken,
}

/// Names an event to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckToken(pub(crate) u64);

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answers there. To be tried again.
    #[error("cannot reach {peer}: {reason}")]
    Unreachable {
        /// Where.
        peer: String,
        /// What the network or the other side says.
        reason: String,
    },
    /// The login is wrong, or gone.
    #[error("{peer} does not let this device in: {reason}")]
    Denied {
        /// Where.
        peer: String,
        /// What the other side says.
        reason: String,
    },
    /// The device's queue is gone, because nobody used it for long, or because the device was
    /// removed: the device must be set up again.
    #[error("{peer} has forgotten this device: {reason}")]
    Forgotten {
        /// Where.
        peer: String,
        /// What the other side says.
        reason: String,
    },
}

/// Why a call on a connection failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The connection is gone.
    #[error("the connection is closed: {0}")]
    Closed(String),
    /// The other side has no room at the moment, and took nothing. To be tried again.
    #[error("the service is busy")]
    Busy,
    /// No answer came in time. What was asked may have been done.
    #[error("no answer in time")]
    TimedOut,
    /// There is nobody at that address: the service is not set up, or set up otherwise.
    #[error("nobody takes this: {0}")]
    Unroutable(String),
    /// What came is no answer.
    #[error("an answer that cannot be read: {0}")]
    Unreadable(String),
    /// Said by [`ClientTransport::next`]: events before this place may be missing. The connection goes on;
    /// ask for everything after your places.
    #[error("events may be missing")]
    Missed,
}
