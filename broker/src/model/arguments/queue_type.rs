//! The types of queues, and the arguments that each knows.

use serde::{Deserialize, Serialize};

use super::ArgumentError;
use super::check::{quoted, text};
use super::deduplication;
use crate::model::terms::plain_text;
use crate::wire::{TableReader, Value};

pub(super) const QUEUE_TYPE: &str = "x-queue-type";

/// The arguments of a classic queue, in the order in which a redeclaration is compared. The last two
/// RabbitMQ has for quorum queues alone (spec 4.3.2).
const CLASSIC: &[&str] = &[
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    QUEUE_TYPE,
    "x-queue-master-locator",
    "x-queue-leader-locator",
    "x-delivery-limit",
    "x-consumer-timeout",
];

/// The arguments of a quorum queue, in the same order.
const QUORUM: &[&str] = &[
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-overflow",
    "x-single-active-consumer",
    QUEUE_TYPE,
    "x-quorum-initial-group-size",
    "x-delivery-limit",
    "x-message-ttl",
    "x-queue-leader-locator",
    "x-consumer-disconnected-timeout",
    "x-consumer-timeout",
    "x-delayed-retry-type",
    "x-delayed-retry-min",
    "x-delayed-retry-max",
];

/// The arguments that only streams know.
const STREAM_ONLY: &[&str] = &[
    "x-initial-cluster-size",
    "x-max-age",
    "x-stream-filter-size-bytes",
    "x-stream-max-segment-size-bytes",
];

/// What kind of queue a client asks for. A single node needs no replication: a quorum queue is a
/// durable queue with a quorum queue's arguments and rules (spec 4.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueType {
    /// The ordinary queue.
    #[default]
    Classic,
    /// A queue for data safety: always durable, counts deliveries.
    Quorum,
}

impl QueueType {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Classic, Self::Quorum];

    /// The argument that names it.
    pub const ARGUMENT: &'static str = QUEUE_TYPE;

    /// The type that a declaration's arguments name; classic where they name none.
    ///
    /// Streams are refused: a stream's consumer would lose data on any other queue (spec 4.4.4).
    pub fn parse(fields: TableReader<'_>) -> Result<Self, ArgumentError> {
        match text(fields, QUEUE_TYPE)? {
            None | Some(b"" | b"classic") => Ok(Self::Classic),
            Some(b"quorum") => Ok(Self::Quorum),
            Some(other) => {
                let sentence = format!("unsupported queue type '{}'", plain_text(other));
                Err(quoted(QUEUE_TYPE, &sentence))
            }
        }
    }

    /// The type of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// The name that clients use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
        }
    }

    /// The name that texts to clients use.
    #[must_use]
    pub const fn module_name(self) -> &'static str {
        match self {
            Self::Classic => "rabbit_classic_queue",
            Self::Quorum => "rabbit_quorum_queue",
        }
    }

    const fn own_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Classic => CLASSIC,
            Self::Quorum => QUORUM,
        }
    }

    /// All that queues of this type know, in the order in which a redeclaration is compared.
    pub(super) fn arguments(self) -> impl Iterator<Item = &'static str> {
        let own = self.own_arguments().iter().copied();
        own.chain(deduplication::ARGUMENTS)
    }

    /// Refuses arguments that mean something, but not to queues of this type (spec 4.3.1).
    pub(super) fn refuse_foreign(self, fields: TableReader<'_>) -> Result<(), ArgumentError> {
        let known = [CLASSIC, QUORUM, STREAM_ONLY].into_iter().flatten();
        for argument in known {
            if !self.own_arguments().contains(argument) && fields.get(argument).is_some() {
                return Err(ArgumentError::OtherQueueType {
                    argument,
                    queue_type: self,
                });
            }
        }
        Ok(())
    }
}

/// Refuses the types whose queues cannot be named by the broker, before anything else is looked at.
pub(super) fn refuse_server_named(fields: TableReader<'_>) -> Result<(), ArgumentError> {
    let module_name = match fields.get(QUEUE_TYPE) {
        Some(Value::LongString(b"quorum")) => "rabbit_quorum_queue",
        Some(Value::LongString(b"stream")) => "rabbit_stream_queue",
        Some(_) | None => return Ok(()),
    };
    Err(ArgumentError::ServerNamed { module_name })
}
