//! What a queue's arguments ask for (spec 4.3, 4.4).

use std::num::NonZeroU64;
use std::sync::Arc;

use super::ArgumentError;
use super::check::{
    boolean, check_length, choice, exchange_name, invalid, milliseconds, natural, quoted, text,
    zero,
};
use super::deduplication::{CACHE_SIZE, DeduplicationLimits, deduplication};
use super::queue_type::{QueueType, refuse_server_named};
use crate::model::deduplication::Deduplication;
use crate::model::name::ExchangeName;
use crate::wire::{TableReader, Value};

const MAX_PRIORITY: &str = "x-max-priority";
const DEAD_LETTER_EXCHANGE: &str = "x-dead-letter-exchange";
const DEAD_LETTER_ROUTING_KEY: &str = "x-dead-letter-routing-key";

/// The properties of a declaration that decide, beside its arguments, whether it is acceptable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueProperties {
    /// The client left the choice of a name to the broker.
    pub server_named: bool,
    /// It survives a restart.
    pub durable: bool,
    /// It belongs to the connection that declares it.
    pub exclusive: bool,
    /// It goes with its last consumer.
    pub auto_delete: bool,
}

/// What becomes of messages that are too many (`x-overflow`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest goes.
    #[default]
    DropHead,
    /// The newest is refused.
    RejectPublish,
    /// The newest is refused and dead-lettered.
    RejectPublishDeadLetter,
}

/// Where dead letters go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterTarget {
    /// The exchange, which need not exist; the empty name is the default exchange.
    pub exchange: ExchangeName,
    /// Their routing key, if they do not keep their own.
    pub routing_key: Option<Arc<[u8]>>,
}

/// How sure a quorum queue makes that dead letters arrive (`x-dead-letter-strategy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterStrategy {
    /// A dead letter may be lost.
    AtMostOnce,
    /// A dead letter stays until its target has it.
    AtLeastOnce,
}

/// How often a message may fail to be processed (`x-delivery-limit`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryLimit {
    /// As often as it likes.
    Unlimited,
    /// That often; the next failure ends it.
    Times(u64),
}

/// Which returned messages wait before they come back (`x-delayed-retry-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryKind {
    /// None.
    Disabled,
    /// All.
    All,
    /// Those that count as failed.
    Failed,
    /// Those that were returned.
    Returned,
}

/// How long returned messages wait, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DelayedRetry {
    /// Which messages wait.
    pub kind: Option<RetryKind>,
    /// How long after the first failure.
    pub min_ms: Option<u64>,
    /// How long at most.
    pub max_ms: Option<u64>,
}

/// What only quorum queues have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuorumArguments {
    /// How sure dead letters are.
    pub dead_letter_strategy: Option<DeadLetterStrategy>,
    /// How long a consumer that is cut off may hold a message.
    pub consumer_disconnected_timeout_ms: Option<u64>,
    /// How long failed messages wait.
    pub delayed_retry: DelayedRetry,
}

/// The queue's type, with what only that type has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueVariant {
    /// A classic queue.
    Classic {
        /// The highest priority; none where messages have no order of precedence.
        max_priority: Option<u8>,
    },
    /// A quorum queue.
    Quorum(QuorumArguments),
}

/// A queue's arguments, understood. Absent is not the same as a default: a policy may fill in what
/// the client left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueArguments {
    /// The type and what only it has.
    pub variant: QueueVariant,
    /// How long messages live.
    pub message_ttl_ms: Option<u64>,
    /// How long the queue lives unused.
    pub expires_ms: Option<NonZeroU64>,
    /// How many messages may be ready.
    pub max_length: Option<u64>,
    /// How many bytes the bodies of ready messages may have.
    pub max_length_bytes: Option<u64>,
    /// What becomes of messages beyond that.
    pub overflow: Option<Overflow>,
    /// Where dead letters go.
    pub dead_letter: Option<DeadLetterTarget>,
    /// Whether one consumer at a time gets all messages.
    pub single_active_consumer: bool,
    /// How often a message may fail. RabbitMQ has this for quorum queues alone (spec 4.3.2).
    pub delivery_limit: Option<DeliveryLimit>,
    /// How long a consumer may hold a message, in milliseconds. RabbitMQ has this for quorum queues
    /// alone (spec 4.3.2).
    pub consumer_timeout_ms: Option<u64>,
    /// How duplicates are told and kept out (spec 4.3.2). RabbitMQ has this by a plugin, for classic
    /// queues.
    pub deduplication: Option<Box<Deduplication>>,
}

impl Default for QueueArguments {
    fn default() -> Self {
        Self::none()
    }
}

impl QueueArguments {
    /// Those of a classic queue of which nothing is said.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            variant: QueueVariant::Classic { max_priority: None },
            message_ttl_ms: None,
            expires_ms: None,
            max_length: None,
            max_length_bytes: None,
            overflow: None,
            dead_letter: None,
            single_active_consumer: false,
            delivery_limit: None,
            consumer_timeout_ms: None,
            deduplication: None,
        }
    }

    /// Understands the arguments of a queue that is new. One that exists is compared instead, with
    /// [`difference`](Self::difference), and its arguments are not looked at otherwise.
    ///
    /// Of several mistakes, the one is reported that RabbitMQ reports.
    pub fn parse(
        fields: TableReader<'_>,
        properties: QueueProperties,
    ) -> Result<Self, ArgumentError> {
        if properties.server_named {
            refuse_server_named(fields)?;
        }
        let dead_letter_exchange = exchange_name(fields, DEAD_LETTER_EXCHANGE)?;
        let queue_type = QueueType::parse(fields)?;
        let is_classic = queue_type == QueueType::Classic;
        let mut quorum = QuorumArguments::default();
        let mut max_priority = None;

        let expires_ms = expires(fields)?;
        let message_ttl_ms = milliseconds(fields, "x-message-ttl")?;
        let dead_letter = dead_letter_target(fields, dead_letter_exchange)?;
        if !is_classic {
            quorum.dead_letter_strategy = dead_letter_strategy(fields)?;
        }
        let max_length = natural(fields, "x-max-length")?;
        let max_length_bytes = natural(fields, "x-max-length-bytes")?;
        if is_classic {
            max_priority = priority(fields)?;
        } else {
            natural(fields, "x-max-in-memory-length")?;
            natural(fields, "x-max-in-memory-bytes")?;
        }
        let overflow = overflow(fields)?;
        if is_classic {
            check_version(fields)?;
        }
        let single_active_consumer = boolean(fields, "x-single-active-consumer")?;
        let consumer_timeout_ms = natural(fields, "x-consumer-timeout")?;
        if !is_classic {
            quorum.read_the_rest(fields)?;
        }
        check_leader_locator(fields)?;
        let deduplication = deduplication(fields)?;
        queue_type.refuse_foreign(fields)?;
        let variant = if is_classic {
            QueueVariant::Classic { max_priority }
        } else {
            refuse_properties(properties)?;
            QueueVariant::Quorum(quorum)
        };
        Ok(Self {
            variant,
            message_ttl_ms,
            expires_ms,
            max_length,
            max_length_bytes,
            overflow,
            dead_letter,
            single_active_consumer: single_active_consumer.unwrap_or(false),
            delivery_limit: delivery_limit(fields),
            consumer_timeout_ms,
            deduplication,
        })
    }

    /// The queue's type.
    #[must_use]
    pub const fn queue_type(&self) -> QueueType {
        match self.variant {
            QueueVariant::Classic { .. } => QueueType::Classic,
            QueueVariant::Quorum(_) => QueueType::Quorum,
        }
    }
}

impl QueueArguments {
    /// Fills in how many keys are known where the arguments do not say.
    ///
    /// # Errors
    ///
    /// If the arguments ask for more than the broker allows.
    pub fn limit_deduplication(
        mut self,
        limits: DeduplicationLimits,
    ) -> Result<Self, ArgumentError> {
        if let Some(deduplication) = &mut self.deduplication {
            let keys_max = *deduplication.keys_max.get_or_insert(limits.keys);
            if keys_max > limits.keys_max {
                let detail = format!("{{max_value_exceeded,{keys_max}}}");
                return Err(invalid(CACHE_SIZE, detail));
            }
        }
        Ok(self)
    }

    /// The same for arguments that were accepted under other limits: what is too much is made the most
    /// that there may be now.
    #[must_use]
    pub fn confine_deduplication(mut self, limits: DeduplicationLimits) -> Self {
        if let Some(deduplication) = &mut self.deduplication {
            let keys_max = deduplication.keys_max.unwrap_or(limits.keys);
            deduplication.keys_max = Some(keys_max.min(limits.keys_max));
        }
        self
    }
}

impl QuorumArguments {
    fn read_the_rest(&mut self, fields: TableReader<'_>) -> Result<(), ArgumentError> {
        self.consumer_disconnected_timeout_ms = natural(fields, "x-consumer-disconnected-timeout")?;
        let group_size = "x-quorum-initial-group-size";
        if natural(fields, group_size)? == Some(0) {
            return Err(zero(group_size));
        }
        // What follows RabbitMQ accepts with any value, and ignores values that make no sense.
        let time = |argument| {
            let time = fields.get(argument)?.as_integer()?;
            u64::try_from(time).ok()
        };
        self.delayed_retry = DelayedRetry {
            kind: retry_kind(fields),
            min_ms: time("x-delayed-retry-min"),
            max_ms: time("x-delayed-retry-max"),
        };
        Ok(())
    }
}

/// RabbitMQ accepts any value, and ignores one that is no number.
fn delivery_limit(fields: TableReader<'_>) -> Option<DeliveryLimit> {
    let limit = fields.get("x-delivery-limit")?.as_integer()?;
    Some(u64::try_from(limit).map_or(DeliveryLimit::Unlimited, DeliveryLimit::Times))
}

fn retry_kind(fields: TableReader<'_>) -> Option<RetryKind> {
    match fields.get("x-delayed-retry-type")? {
        Value::LongString(b"disabled") => Some(RetryKind::Disabled),
        Value::LongString(b"all") => Some(RetryKind::All),
        Value::LongString(b"failed") => Some(RetryKind::Failed),
        Value::LongString(b"returned") => Some(RetryKind::Returned),
        _ => None,
    }
}

fn expires(fields: TableReader<'_>) -> Result<Option<NonZeroU64>, ArgumentError> {
    let argument = "x-expires";
    let Some(time) = milliseconds(fields, argument)? else {
        return Ok(None);
    };
    NonZeroU64::new(time)
        .map(Some)
        .ok_or_else(|| zero(argument))
}

fn dead_letter_target(
    fields: TableReader<'_>,
    exchange: Option<&str>,
) -> Result<Option<DeadLetterTarget>, ArgumentError> {
    let argument = DEAD_LETTER_ROUTING_KEY;
    let routing_key = text(fields, argument)?;
    if let Some(key) = routing_key {
        check_length(argument, key)?;
    }
    match (exchange, routing_key) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(invalid(argument, "routing_key_but_no_dlx_defined")),
        (Some(exchange), key) => Ok(Some(DeadLetterTarget {
            exchange: exchange.into(),
            routing_key: key.map(Arc::from),
        })),
    }
}

fn dead_letter_strategy(
    fields: TableReader<'_>,
) -> Result<Option<DeadLetterStrategy>, ArgumentError> {
    let words = [
        ("at-most-once", DeadLetterStrategy::AtMostOnce),
        ("at-least-once", DeadLetterStrategy::AtLeastOnce),
    ];
    choice(
        fields,
        "x-dead-letter-strategy",
        &words,
        "invalid_dlx_strategy",
    )
}

fn priority(fields: TableReader<'_>) -> Result<Option<u8>, ArgumentError> {
    let Some(priority) = natural(fields, MAX_PRIORITY)? else {
        return Ok(None);
    };
    u8::try_from(priority)
        .map(Some)
        .map_err(|_| invalid(MAX_PRIORITY, format!("{{max_value_exceeded,{priority}}}")))
}

fn overflow(fields: TableReader<'_>) -> Result<Option<Overflow>, ArgumentError> {
    let words = [
        ("drop-head", Overflow::DropHead),
        ("reject-publish", Overflow::RejectPublish),
        ("reject-publish-dlx", Overflow::RejectPublishDeadLetter),
    ];
    choice(fields, "x-overflow", &words, "invalid_overflow")
}

/// There is one way of storing queues; the versions of RabbitMQ's are accepted for old programs.
fn check_version(fields: TableReader<'_>) -> Result<(), ArgumentError> {
    let argument = "x-queue-version";
    match natural(fields, argument)? {
        None | Some(1 | 2) => Ok(()),
        Some(other) => {
            let sentence = format!("unsupported queue version '{other}'");
            Err(quoted(argument, &sentence))
        }
    }
}

/// There is one node to lead; the argument is checked for the sake of programs that test it.
fn check_leader_locator(fields: TableReader<'_>) -> Result<(), ArgumentError> {
    let words = [
        "client-local",
        "balanced",
        "min-masters",
        "random",
        "least-leaders",
    ];
    let words = words.map(|word| (word, ()));
    let mistake = "invalid_queue_locator_arg";
    choice(fields, "x-queue-leader-locator", &words, mistake).map(|_| ())
}

fn refuse_properties(properties: QueueProperties) -> Result<(), ArgumentError> {
    let property = if properties.auto_delete {
        "auto-delete"
    } else if properties.exclusive {
        "exclusive-owner"
    } else if !properties.durable {
        "non-durable"
    } else {
        return Ok(());
    };
    Err(ArgumentError::InvalidProperty { property })
}
