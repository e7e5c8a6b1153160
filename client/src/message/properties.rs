//! Where each kind of message goes in AMQP, and with which properties. Pure values; whoever knows an
//! AMQP library turns them into its types.

use std::time::Duration;

use super::command::Command;
use super::id::{ConversationId, DeviceId, MessageId, Seq, UserId};
use super::shard::{EphemeralShard, ReceiptShard, ShardCount};
use super::time::Timestamp;

/// Where messages are sent.
pub const SEND_EXCHANGE: &str = "chat.send";
/// Where receipts are sent.
pub const RECEIPT_EXCHANGE: &str = "chat.rcpt";
/// Where typing and presence are sent.
pub const EPHEMERAL_EXCHANGE: &str = "chat.eph";
/// Where requests are sent.
pub const REQUEST_EXCHANGE: &str = "chat.rpc";
/// The routing key of requests.
pub const REQUEST_KEY: &str = "rpc";
/// The virtual host of the chat, unless its operator says otherwise.
pub const VIRTUAL_HOST: &str = "chat";
/// The content type of all envelopes.
pub const CONTENT_TYPE: &str = "application/json";
/// The queue that brings the answer to a request: RabbitMQ's direct reply-to.
pub const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";
/// The header with the conversation's id.
pub const CONVERSATION_HEADER: &str = "x-conv";
/// The header with the place in the conversation.
pub const SEQ_HEADER: &str = "x-seq";
/// The header with the user for whom a service publishes. Only from a service's own broker user is it
/// believed.
pub const SENDER_HEADER: &str = "x-sender";
/// How long typing and presence wait for whoever is to see them.
pub const EPHEMERAL_EXPIRATION: Duration = Duration::from_millis(5000);

/// Whether a message must survive a restart of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryMode {
    /// It may be lost.
    Transient,
    /// It may not.
    Persistent,
}

impl DeliveryMode {
    /// AMQP's number for it.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Transient => 1,
            Self::Persistent => 2,
        }
    }
}

/// Exchange and routing key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The exchange; empty for the default exchange.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
}

impl Address {
    /// Where a client publishes a command.
    #[must_use]
    pub fn of(command: &Command, shards: ShardCount) -> Self {
        let (exchange, routing_key) = match command {
            Command::Send(post) => (SEND_EXCHANGE, shards.shard_of(&post.conv).routing_key()),
            Command::Receive(receipt) => (
                RECEIPT_EXCHANGE,
                ReceiptShard::of(&receipt.recipient).routing_key(),
            ),
            Command::Typing(typing) => (
                EPHEMERAL_EXCHANGE,
                EphemeralShard::of(&typing.from).routing_key(),
            ),
            Command::Presence(presence) => (
                EPHEMERAL_EXCHANGE,
                EphemeralShard::of(&presence.from).routing_key(),
            ),
        };
        Self {
            exchange: exchange.to_owned(),
            routing_key,
        }
    }

    /// A queue, by the default exchange. Only services may publish there.
    #[must_use]
    pub fn queue(name: &str) -> Self {
        Self {
            exchange: String::new(),
            routing_key: name.to_owned(),
        }
    }
}

/// The properties of a message. What is `None` is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Properties {
    /// Of which type and version the envelope is: `chat.send.v1`.
    pub kind: String,
    /// The message's id.
    pub message_id: Option<String>,
    /// What it answers.
    pub correlation_id: Option<String>,
    /// Where the answer goes.
    pub reply_to: Option<String>,
    /// The broker's user that publishes, which the broker checks. Never the author of a message that
    /// somebody else passes on.
    pub user_id: Option<String>,
    /// Whether it survives a restart.
    pub delivery_mode: DeliveryMode,
    /// After what time nobody wants it any more.
    pub expiration: Option<Duration>,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// Program and version.
    pub app_id: String,
    /// The conversation.
    pub conversation: Option<ConversationId>,
    /// The place in the conversation.
    pub seq: Option<Seq>,
    /// For whom a service publishes.
    pub sender: Option<BrokerUser>,
}

impl Properties {
    /// Those that all messages of a type have.
    #[must_use]
    pub fn new(kind: &str, delivery_mode: DeliveryMode, now: Timestamp) -> Self {
        Self {
            kind: kind.to_owned(),
            message_id: None,
            correlation_id: None,
            reply_to: None,
            user_id: None,
            delivery_mode,
            expiration: None,
            timestamp: now.seconds(),
            app_id: concat!("leveret-chat/", env!("CARGO_PKG_VERSION")).to_owned(),
            conversation: None,
            seq: None,
            sender: None,
        }
    }

    /// Those of a command that this user of the broker publishes.
    #[must_use]
    pub fn of(command: &Command, user: &str, now: Timestamp) -> Self {
        let (kind, mode) = match command {
            Command::Send(_) => ("chat.send.v1", DeliveryMode::Persistent),
            Command::Receive(_) => ("chat.receive.v1", DeliveryMode::Persistent),
            Command::Typing(_) => ("chat.typing.v1", DeliveryMode::Transient),
            Command::Presence(_) => ("chat.presence.v1", DeliveryMode::Transient),
        };
        let mut properties = Self::new(kind, mode, now);
        properties.user_id = Some(user.to_owned());
        match command {
            Command::Send(post) => {
                properties.message_id = Some(post.id.to_string());
                properties.conversation = Some(post.conv.clone());
            }
            Command::Receive(receipt) => {
                properties.message_id = Some(receipt.message.to_string());
                properties.conversation = Some(receipt.conv.clone());
                properties.seq = Some(receipt.seq);
            }
            Command::Typing(_) | Command::Presence(_) => {
                properties.expiration = Some(EPHEMERAL_EXPIRATION);
            }
        }
        properties
    }

    /// Those of a request with this number, whose answer comes by direct reply-to.
    #[must_use]
    pub fn of_request(correlation: &MessageId, user: &str, now: Timestamp) -> Self {
        Self {
            correlation_id: Some(correlation.to_string()),
            reply_to: Some(DIRECT_REPLY_TO.to_owned()),
            user_id: Some(user.to_owned()),
            ..Self::new("chat.request.v1", DeliveryMode::Transient, now)
        }
    }
}

/// A user's device as a user of the broker: `c.<user>.<device>`. Nobody else has such a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BrokerUser {
    /// The user.
    pub user: UserId,
    /// The device.
    pub device: DeviceId,
}

impl BrokerUser {
    /// The name that the broker knows.
    #[must_use]
    pub fn name(&self) -> String {
        format!("c.{}.{}", self.user, self.device)
    }

    /// Reads a name; `None` for every other user of the broker.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (user, device) = name.strip_prefix("c.")?.split_once('.')?;
        Some(Self {
            user: user.parse().ok()?,
            device: device.parse().ok()?,
        })
    }

    /// The queue that brings events to the device: `in.<user>.<device>`.
    #[must_use]
    pub fn inbox(&self) -> String {
        format!("in.{}.{}", self.user, self.device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_broker_leads_back_to_user_and_device() {
        let user = BrokerUser {
            user: "uana".parse().unwrap(),
            device: "dterm".parse().unwrap(),
        };
        assert_eq!(user.name(), "c.uana.dterm");
        assert_eq!(user.inbox(), "in.uana.dterm");
        assert_eq!(BrokerUser::parse(&user.name()), Some(user));
        for other in ["guest", "c.uana", "c.uana.", "c..dterm", "c.uana.dterm.x"] {
            assert_eq!(BrokerUser::parse(other), None, "{other}");
        }
    }
}
