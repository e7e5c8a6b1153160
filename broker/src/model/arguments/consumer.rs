//! What a consumer's arguments ask for (spec 5.3.5).

use super::ArgumentError;
use super::check::{integer, natural};
use super::queue_type::QueueType;
use crate::wire::TableReader;

const CONSUMER_TIMEOUT: &str = "x-consumer-timeout";

/// The arguments of a stream's consumers.
const STREAM_ONLY: [&str; 3] = [
    "x-stream-offset",
    "x-stream-filter",
    "x-stream-match-unfiltered",
];

/// A consumer's arguments, understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsumerArguments {
    /// Who gets messages first; more is sooner.
    pub priority: i64,
    /// How long the consumer may hold a message; for quorum queues alone.
    pub timeout_ms: Option<u64>,
}

impl ConsumerArguments {
    /// Understands the arguments of a consumer on a queue of that type.
    pub fn parse(fields: TableReader<'_>, queue_type: QueueType) -> Result<Self, ArgumentError> {
        let priority = integer(fields, "x-priority")?.unwrap_or_default();
        let timeout_ms = match queue_type {
            QueueType::Classic => None,
            QueueType::Quorum => natural(fields, CONSUMER_TIMEOUT)?,
        };
        let no_timeout = (queue_type == QueueType::Classic).then_some(CONSUMER_TIMEOUT);
        for argument in STREAM_ONLY.into_iter().chain(no_timeout) {
            if fields.get(argument).is_some() {
                return Err(ArgumentError::OtherQueueType {
                    argument,
                    queue_type,
                });
            }
        }
        Ok(Self {
            priority,
            timeout_ms,
        })
    }
}
