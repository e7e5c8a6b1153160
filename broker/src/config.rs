//! What can be configured, with its default and the reason for it. Only the broker reads this.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a confirm promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Durability {
    /// Synced to disk before it is confirmed: survives the loss of power. The default, because a
    /// confirm should mean one thing.
    #[default]
    Commit,
    /// Written before it is confirmed, synced this often: the loss of power takes what came since.
    Interval(Duration),
    /// Written before it is confirmed, synced when the system sees fit; what RabbitMQ's classic
    /// queues promise.
    Os,
}

impl TryFrom<String> for Durability {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl std::str::FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("interval=")) {
            ("commit", _) => Ok(Self::Commit),
            ("os", _) => Ok(Self::Os),
            (_, Some(milliseconds)) => match milliseconds.parse() {
                Ok(milliseconds @ 1..=60_000) => {
                    Ok(Self::Interval(Duration::from_millis(milliseconds)))
                }
                Ok(_) | Err(_) => Err(format!(
                    "an interval is 1 to 60000 milliseconds, not '{milliseconds}'"
                )),
            },
            _ => Err(format!(
                "'{text}' is none of commit, interval=MILLISECONDS, os"
            )),
        }
    }
}

impl From<Durability> for String {
    fn from(durability: Durability) -> Self {
        durability.to_string()
    }
}

impl std::fmt::Display for Durability {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Commit => formatter.write_str("commit"),
            Self::Interval(interval) => write!(formatter, "interval={}", interval.as_millis()),
            Self::Os => formatter.write_str("os"),
        }
    }
}

/// The configuration of a broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where durable queues live; `None` keeps everything in memory and writes nothing.
    pub data_dir: Option<PathBuf>,
    /// Where AMQP is spoken; `None` for connections inside the process only. Loopback, because a
    /// broker with a default password must not be reachable by accident.
    pub amqp: Option<SocketAddr>,
    /// Where the HTTP API listens; `None` for nowhere.
    pub management: Option<SocketAddr>,
    /// What a confirm promises.
    pub durability: Durability,
    /// The user that exists from the start.
    pub default_user: String,
    /// That user's password. Never shown.
    pub default_pass: Password,
    /// The virtual host that exists from the start.
    pub default_vhost: String,
    /// Users who may log in from this machine only (spec 8.3.3).
    pub loopback_users: Vec<String>,
    /// Whether the mechanism `ANONYMOUS` is offered. It logs in as guest with the password guest, so
    /// it opens nothing once either was changed (spec 1.3.4).
    pub anonymous_login: bool,
    /// What clients take the broker for. Some only use features that RabbitMQ has (spec 1.2.4).
    pub product: String,
    /// The version that clients take it for.
    pub product_version: String,
    /// The name of the cluster that clients see.
    pub cluster_name: String,
    /// What bounds it.
    pub limits: Limits,
}

/// A password that does not show itself.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// The password's text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Password(..)")
    }
}

impl Serialize for Password {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("********")
    }
}

/// Every limit of a broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections. RabbitMQ has no limit; this one keeps a leak in a client from taking all
    /// descriptors.
    pub connections_max: usize,
    /// Connections of one address that have not logged in: slow ones must not fill the door.
    pub handshakes_per_address_max: usize,
    /// From accept to an open virtual host, in milliseconds (spec 1.1.5).
    pub handshake_timeout_ms: u64,
    /// How long a refused login waits, in milliseconds: the brake on guessing (spec 1.3.6).
    pub refusal_delay_ms: u64,
    /// Channels of one connection, as RabbitMQ offers.
    pub channel_max: u16,
    /// Bytes of one frame, as RabbitMQ offers.
    pub frame_max: u32,
    /// The smallest frame size that a client may ask for. AMQP's own minimum; RabbitMQ 4 asks for
    /// 8192, which shuts old clients out.
    pub frame_min: u32,
    /// Bytes of one frame before the client has logged in (spec 1.4.5).
    pub initial_frame_max: u32,
    /// Seconds between heartbeats, as RabbitMQ offers; 0 for none.
    pub heartbeat_seconds: u16,
    /// Bytes of one message's body, as RabbitMQ 4 has it (spec 5.1.2).
    pub message_bytes_max: u64,
    /// Bytes of incomplete messages on one connection (spec 13.3).
    pub partial_bytes_max: usize,
    /// Consumers of one channel; 0 for no limit, as in RabbitMQ.
    pub consumers_per_channel_max: usize,
    /// Bytes of deliveries that wait for one connection: a consumer that does not read costs this.
    pub outbox_bytes: usize,
    /// Bytes that wait to be written to one socket before deliveries to it stop.
    pub write_buffer_bytes: usize,
    /// Bytes that wait to be written to one socket before it is no longer read: a client that asks
    /// without reading the answers costs this.
    pub write_buffer_bytes_max: usize,
    /// How long a peer may take nothing of what waits for it, in milliseconds (spec 11.4).
    pub write_timeout_ms: u64,
    /// Bodies kept in memory although the log holds them, in bytes, for the whole broker.
    pub body_cache_bytes: usize,
    /// Bytes handed to the log and not yet written before publishers wait. More than one commit
    /// group, so that the next one fills while one is synced.
    pub store_backlog_bytes_max: usize,
    /// Free bytes on the disk below which publishers wait; 0 for the store's own default.
    pub disk_free_limit_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            handshakes_per_address_max: 1_000,
            handshake_timeout_ms: 10_000,
            refusal_delay_ms: 3_000,
            channel_max: 2047,
            frame_max: 131_072,
            frame_min: 4096,
            initial_frame_max: 8192,
            heartbeat_seconds: 60,
            message_bytes_max: 16 << 20,
            partial_bytes_max: 64 << 20,
            consumers_per_channel_max: 0,
            outbox_bytes: 1 << 20,
            write_buffer_bytes: 256 << 10,
            write_buffer_bytes_max: 4 << 20,
            write_timeout_ms: 30_000,
            body_cache_bytes: 32 << 20,
            store_backlog_bytes_max: 16 << 20,
            disk_free_limit_bytes: 0,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: None,
            amqp: None,
            management: None,
            durability: Durability::Commit,
            default_user: "guest".to_owned(),
            default_pass: Password::from("guest"),
            default_vhost: "/".to_owned(),
            loopback_users: vec!["guest".to_owned()],
            anonymous_login: true,
            product: "RabbitMQ".to_owned(),
            product_version: "4.3.0".to_owned(),
            cluster_name: "leveret".to_owned(),
            limits: Limits::default(),
        }
    }
}
