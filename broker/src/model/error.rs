//! The errors that a client can cause, with their scope, code and text (spec 0.1–0.4).
//!
//! One constructor per sin: the text and the code of a refusal are written once, here.

mod exchanges;
mod refusal;

use std::fmt;

use super::name::{ExchangeName, QueueName, VirtualHostName};

/// What an error ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The channel; the connection goes on.
    Channel,
    /// The whole connection.
    Connection,
}

/// AMQP's reply codes (spec 0.1, 0.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyCode {
    /// 311
    ContentTooLarge,
    /// 312
    NoRoute,
    /// 320
    ConnectionForced,
    /// 402
    InvalidPath,
    /// 403
    AccessRefused,
    /// 404
    NotFound,
    /// 405
    ResourceLocked,
    /// 406
    PreconditionFailed,
    /// 501
    FrameError,
    /// 502
    SyntaxError,
    /// 503
    CommandInvalid,
    /// 504
    ChannelError,
    /// 505
    UnexpectedFrame,
    /// 506
    ResourceError,
    /// 530
    NotAllowed,
    /// 540
    NotImplemented,
    /// 541
    InternalError,
}

impl ReplyCode {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::ContentTooLarge => 311,
            Self::NoRoute => 312,
            Self::ConnectionForced => 320,
            Self::InvalidPath => 402,
            Self::AccessRefused => 403,
            Self::NotFound => 404,
            Self::ResourceLocked => 405,
            Self::PreconditionFailed => 406,
            Self::FrameError => 501,
            Self::SyntaxError => 502,
            Self::CommandInvalid => 503,
            Self::ChannelError => 504,
            Self::UnexpectedFrame => 505,
            Self::ResourceError => 506,
            Self::NotAllowed => 530,
            Self::NotImplemented => 540,
            Self::InternalError => 541,
        }
    }

    /// The name that starts every reply text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ContentTooLarge => "CONTENT_TOO_LARGE",
            Self::NoRoute => "NO_ROUTE",
            Self::ConnectionForced => "CONNECTION_FORCED",
            Self::InvalidPath => "INVALID_PATH",
            Self::AccessRefused => "ACCESS_REFUSED",
            Self::NotFound => "NOT_FOUND",
            Self::ResourceLocked => "RESOURCE_LOCKED",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::FrameError => "FRAME_ERROR",
            Self::SyntaxError => "SYNTAX_ERROR",
            Self::CommandInvalid => "COMMAND_INVALID",
            Self::ChannelError => "CHANNEL_ERROR",
            Self::UnexpectedFrame => "UNEXPECTED_FRAME",
            Self::ResourceError => "RESOURCE_ERROR",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }

    const fn scope(self) -> Scope {
        match self {
            Self::ContentTooLarge
            | Self::NoRoute
            | Self::AccessRefused
            | Self::NotFound
            | Self::ResourceLocked
            | Self::PreconditionFailed => Scope::Channel,
            Self::ConnectionForced
            | Self::InvalidPath
            | Self::FrameError
            | Self::SyntaxError
            | Self::CommandInvalid
            | Self::ChannelError
            | Self::UnexpectedFrame
            | Self::ResourceError
            | Self::NotAllowed
            | Self::NotImplemented
            | Self::InternalError => Scope::Connection,
        }
    }
}

/// The method that is to blame: class and method number; zero for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MethodId {
    /// The class number.
    pub class: u16,
    /// The method number.
    pub method: u16,
}

/// An error as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmqpError {
    /// What it ends.
    pub scope: Scope,
    /// The code.
    pub code: ReplyCode,
    /// The text behind the code's name.
    pub text: String,
    /// The method that is to blame, if one is.
    pub method: MethodId,
}

impl fmt::Display for AmqpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} - {}", self.code.as_str(), self.text)
    }
}

impl std::error::Error for AmqpError {}

impl AmqpError {
    /// An error of `code` in that code's own scope.
    #[must_use]
    pub fn new(code: ReplyCode, text: impl Into<String>) -> Self {
        Self {
            scope: code.scope(),
            code,
            text: text.into(),
            method: MethodId::default(),
        }
    }

    /// The same error, blaming a method.
    #[must_use]
    pub const fn blaming(mut self, class: u16, method: u16) -> Self {
        self.method = MethodId { class, method };
        self
    }

    /// The same error, ending the connection (spec 0.3).
    #[must_use]
    pub const fn hard(mut self) -> Self {
        self.scope = Scope::Connection;
        self
    }

    /// The reply text as sent: the code's name and the text. What is longer than a short string is
    /// cut at a character's border and ends in `...`, as RabbitMQ's does.
    #[must_use]
    pub fn reply_text(&self) -> String {
        const BYTES_MAX: usize = 255;
        const ELLIPSIS: &str = "...";
        let mut text = self.to_string();
        if text.len() > BYTES_MAX {
            text.truncate(text.floor_char_boundary(BYTES_MAX - ELLIPSIS.len()));
            text.push_str(ELLIPSIS);
        }
        text
    }
}

fn queue_in(name: &QueueName, host: &VirtualHostName) -> String {
    format!("queue '{name}' in vhost '{host}'")
}

fn exchange_in(name: &ExchangeName, host: &VirtualHostName) -> String {
    format!("exchange '{name}' in vhost '{host}'")
}

/// Errors about queues and consumers.
impl AmqpError {
    /// 404: the queue does not exist.
    #[must_use]
    pub fn no_queue(name: &QueueName, host: &VirtualHostName) -> Self {
        Self::new(ReplyCode::NotFound, format!("no {}", queue_in(name, host)))
    }

    /// 405: the queue is exclusive to another connection (spec 4.2.2).
    #[must_use]
    pub fn queue_locked(name: &QueueName, host: &VirtualHostName) -> Self {
        Self::new(
            ReplyCode::ResourceLocked,
            format!(
                "cannot obtain exclusive access to locked {}. It could be originally declared on \
                 another connection or the exclusive property value does not match that of the \
                 original declaration.",
                queue_in(name, host)
            ),
        )
    }

    /// 403: a consumer has the queue to itself, or wants it while others are there (spec 5.3.3).
    #[must_use]
    pub fn queue_in_exclusive_use(name: &QueueName, host: &VirtualHostName) -> Self {
        Self::new(
            ReplyCode::AccessRefused,
            format!("{} in exclusive use", queue_in(name, host)),
        )
    }

    /// 540: a consumer of a quorum queue cannot share a limit with its channel (spec 4.4.3).
    #[must_use]
    pub fn global_qos_unsupported(name: &QueueName, host: &VirtualHostName) -> Self {
        Self::new(
            ReplyCode::NotImplemented,
            format!("{} does not support global qos", queue_in(name, host)),
        )
    }

    /// 405: a get would take what belongs to the active consumer of a quorum queue (spec 4.4.3).
    #[must_use]
    pub fn get_beside_single_active(name: &QueueName, host: &VirtualHostName) -> Self {
        Self::new(
            ReplyCode::ResourceLocked,
            format!(
                "cannot obtain access to locked {}. basic.get operations are not supported by \
                 <<\"quorum\">> queues with single active consumer",
                queue_in(name, host)
            ),
        )
    }

    /// 540: a quorum queue is deleted without conditions (spec 4.4.3).
    #[must_use]
    pub fn delete_condition_unsupported(
        flag: &str,
        name: &QueueName,
        host: &VirtualHostName,
    ) -> Self {
        Self::new(
            ReplyCode::NotImplemented,
            format!(
                "cannot delete {}. queue.delete operations with {flag} flag set are not supported \
                 by quorum queues",
                queue_in(name, host)
            ),
        )
    }

    /// 406: delete with if-unused found consumers (spec 4.5.1).
    #[must_use]
    pub fn queue_in_use(name: &QueueName, host: &VirtualHostName) -> Self {
        Self::new(
            ReplyCode::PreconditionFailed,
            format!("{} in use", queue_in(name, host)),
        )
    }

    /// 406: delete with if-empty found messages (spec 4.5.1).
    #[must_use]
    pub fn queue_not_empty(name: &QueueName, host: &VirtualHostName) -> Self {
        Self::new(
            ReplyCode::PreconditionFailed,
            format!("{} not empty", queue_in(name, host)),
        )
    }

    /// 403: the name is reserved to the broker (spec 4.1.2).
    #[must_use]
    pub fn queue_name_reserved(name: &QueueName) -> Self {
        Self::new(
            ReplyCode::AccessRefused,
            format!("queue name '{name}' contains reserved prefix 'amq.*'"),
        )
    }

    /// 406: a queue of that name exists with another property (spec 4.1.5).
    #[must_use]
    pub fn queue_inequivalent(
        argument: &str,
        name: &QueueName,
        host: &VirtualHostName,
        difference: &str,
    ) -> Self {
        Self::new(
            ReplyCode::PreconditionFailed,
            format!(
                "inequivalent arg '{argument}' for {}: {difference}",
                queue_in(name, host)
            ),
        )
    }

    /// 403: the name belongs to direct reply-to, which cannot be bound (spec 3.4.5).
    #[must_use]
    pub fn volatile_queue() -> Self {
        Self::new(
            ReplyCode::AccessRefused,
            "cannot bind or unbind to a volatile (direct reply-to) queue",
        )
    }

    /// 406: a request asks for a direct reply, which nobody on its channel consumes (spec 7.6.2).
    #[must_use]
    pub fn no_reply_consumer() -> Self {
        Self::new(
            ReplyCode::PreconditionFailed,
            "fast reply consumer does not exist",
        )
    }

    /// 404: an empty queue name, and nothing was declared on the channel (spec 2.8).
    #[must_use]
    pub fn no_last_queue() -> Self {
        Self::new(ReplyCode::NotFound, "no previously declared queue")
    }

    /// 406: a declaration's argument is unacceptable (spec 4.3).
    #[must_use]
    pub fn queue_argument(
        argument: &str,
        name: &QueueName,
        host: &VirtualHostName,
        detail: &str,
    ) -> Self {
        Self::new(
            ReplyCode::PreconditionFailed,
            format!(
                "invalid arg '{argument}' for {}: {detail}",
                queue_in(name, host)
            ),
        )
    }

    /// 530: the tag is taken on this channel (spec 5.3.1).
    #[must_use]
    pub fn consumer_tag_reused(tag: &str) -> Self {
        Self::new(
            ReplyCode::NotAllowed,
            format!("attempt to reuse consumer tag '{tag}'"),
        )
    }

    /// 406: a consumer holds a delivery for too long, and its client cannot be told otherwise (spec
    /// 5.5.8).
    #[must_use]
    pub fn consumer_timeout(channel: u16, timeout_ms: u64) -> Self {
        Self::new(
            ReplyCode::PreconditionFailed,
            format!(
                "delivery acknowledgement on channel {channel} timed out. Timeout value used: \
                 {timeout_ms} ms. This timeout value can be configured, see consumers doc guide to \
                 learn more"
            ),
        )
    }

    /// 406: the tag is unknown, settled already, or needs no acknowledgement (spec 5.5.1).
    #[must_use]
    pub fn unknown_delivery_tag(tag: u64) -> Self {
        Self::new(
            ReplyCode::PreconditionFailed,
            format!("unknown delivery tag {tag}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_text_is_cut_between_characters() {
        let error = AmqpError::new(ReplyCode::NotFound, "ä".repeat(200));
        let text = error.reply_text();
        assert!(text.len() <= 255 && text.ends_with("ä..."), "{text}");
        assert!(text.starts_with("NOT_FOUND - ä"));
    }

    #[test]
    fn soft_codes_end_the_channel_and_hard_ones_the_connection() {
        assert_eq!(AmqpError::no_last_queue().scope, Scope::Channel);
        assert_eq!(AmqpError::consumer_tag_reused("c").scope, Scope::Connection);
    }
}
