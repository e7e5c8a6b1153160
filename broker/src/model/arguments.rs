//! Arguments, parsed once: what the field tables of declarations and consumers mean, and why one is
//! refused.
//!
//! The texts of refusals are RabbitMQ's, word for word.

mod check;
mod consumer;
mod deduplication;
mod difference;
mod exchange;
mod queue;
mod queue_type;

use super::error::{AmqpError, ReplyCode};
use super::name::{ExchangeName, QueueName, VirtualHostName};

pub use consumer::ConsumerArguments;
pub use deduplication::DeduplicationLimits;
pub use difference::ArgumentDifference;
pub use exchange::{ExchangeArguments, HashInput, HashProperty};
pub use queue::{
    DeadLetterStrategy, DeadLetterTarget, DelayedRetry, DeliveryLimit, Overflow, QueueArguments,
    QueueProperties, QueueVariant, QuorumArguments, RetryKind,
};
pub use queue_type::QueueType;

/// Why an argument is not acceptable. All are 406, on the channel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// The value is of the wrong type or out of range.
    #[error("invalid arg '{argument}': {detail}")]
    Invalid {
        /// The argument.
        argument: &'static str,
        /// What is wrong with it, in the terms that clients know.
        detail: String,
    },
    /// The value's type cannot name an exchange.
    #[error("invalid type '{type_name}' for arg '{argument}'")]
    InvalidType {
        /// The argument.
        argument: &'static str,
        /// The name of the type that was sent.
        type_name: &'static str,
    },
    /// The argument belongs to queues of another type.
    #[error("invalid arg '{argument}' for queue type {}", .queue_type.module_name())]
    OtherQueueType {
        /// The argument.
        argument: &'static str,
        /// The queue's own type.
        queue_type: QueueType,
    },
    /// A property that queues of this type cannot have.
    #[error("invalid property '{property}'")]
    InvalidProperty {
        /// The property.
        property: &'static str,
    },
    /// A queue of this type needs a name of the client's choice.
    #[error("server-named queue of type {module_name}")]
    ServerNamed {
        /// What RabbitMQ calls the type.
        module_name: &'static str,
    },
    /// What only an exchange's own kind can judge, as the whole text: it names no resource.
    #[error("{0}")]
    Text(String),
}

impl ArgumentError {
    /// The refusal, where a queue is declared or consumed from.
    #[must_use]
    pub fn for_queue(&self, name: &QueueName, host: &VirtualHostName) -> AmqpError {
        self.naming(&format!("queue '{name}' in vhost '{host}'"))
    }

    /// The refusal, where an exchange is declared or bound from.
    #[must_use]
    pub fn for_exchange(&self, name: &ExchangeName, host: &VirtualHostName) -> AmqpError {
        self.naming(&format!("exchange '{name}' in vhost '{host}'"))
    }

    fn naming(&self, resource: &str) -> AmqpError {
        let text = match self {
            Self::Invalid { argument, detail } => {
                format!("invalid arg '{argument}' for {resource}: {detail}")
            }
            Self::InvalidType {
                argument,
                type_name,
            } => format!("invalid type '{type_name}' for arg '{argument}' in {resource}"),
            Self::OtherQueueType {
                argument,
                queue_type,
            } => format!(
                "invalid arg '{argument}' for {resource} of queue type {}",
                queue_type.module_name()
            ),
            Self::InvalidProperty { property } => {
                format!("invalid property '{property}' for {resource}")
            }
            Self::ServerNamed { module_name } => {
                format!("Cannot declare a server-named queue for type {module_name}")
            }
            Self::Text(text) => text.clone(),
        };
        AmqpError::new(ReplyCode::PreconditionFailed, text)
    }
}

#[cfg(test)]
mod tests;
