//! Arguments, parsed once: what a declaration's or a binding's field table means, and the refusals.

use super::error::{AmqpError, ReplyCode};
use super::name::{ExchangeName, QueueName, VirtualHostName};

/// Why an argument is not acceptable. All are 406, on the channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// The value is of the wrong kind or out of range.
    #[error("invalid arg '{argument}': {detail}")]
    Invalid {
        /// The argument.
        argument: &'static str,
        /// What is wrong with it, in the terms that clients know.
        detail: String,
    },
    /// The value's type cannot name anything.
    #[error("invalid type '{kind}' for arg '{argument}'")]
    InvalidType {
        /// The argument.
        argument: &'static str,
        /// The name of the type that was sent.
        kind: &'static str,
    },
    /// The argument belongs to another type of queue.
    #[error("invalid arg '{argument}' for queue type {queue_type}")]
    OtherQueueType {
        /// The argument.
        argument: &'static str,
        /// The queue's own type.
        queue_type: &'static str,
    },
    /// A property that queues of this type cannot have.
    #[error("invalid property '{property}'")]
    Property {
        /// The property.
        property: &'static str,
    },
    /// A binding's `x-match` (spec 3.6.1), as a whole text: it names no resource.
    #[error("{0}")]
    HeaderMatch(String),
}

impl ArgumentError {
    /// The refusal, for a queue's declaration.
    #[must_use]
    pub fn for_queue(&self, name: &QueueName, host: &VirtualHostName) -> AmqpError {
        self.naming(&format!("queue '{name}' in vhost '{host}'"))
    }

    /// The refusal, for an exchange's declaration.
    #[must_use]
    pub fn for_exchange(&self, name: &ExchangeName, host: &VirtualHostName) -> AmqpError {
        self.naming(&format!("exchange '{name}' in vhost '{host}'"))
    }

    fn naming(&self, resource: &str) -> AmqpError {
        let text = match self {
            Self::Invalid { argument, detail } => {
                format!("invalid arg '{argument}' for {resource}: {detail}")
            }
            Self::InvalidType { argument, kind } => {
                format!("invalid type '{kind}' for arg '{argument}' in {resource}")
            }
            Self::OtherQueueType {
                argument,
                queue_type,
            } => format!("invalid arg '{argument}' for {resource} of queue type {queue_type}"),
            Self::Property { property } => format!("invalid property '{property}' for {resource}"),
            Self::HeaderMatch(text) => text.clone(),
        };
        AmqpError::new(ReplyCode::PreconditionFailed, text)
    }
}
