//! What can be configured, with its default and the reason for it. Only the broker reads this.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod check;
mod error;
mod file;
mod limits;
mod loaded;
mod parse;
mod part;
mod setting;
mod sources;
mod spelling;
mod value;

pub use error::{ConfigError, Origin};
pub use limits::Limits;
pub use loaded::{ConfigValue, LoadedConfig, LogConfig, LogFormat};
pub use part::Part;
pub use sources::ConfigSources;

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

/// The type of queues that are declared without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DefaultQueueType {
    /// As in RabbitMQ.
    #[default]
    Classic,
    /// Quorum queues, for those that are durable, not exclusive and not deleted by themselves.
    Quorum,
}

impl std::str::FromStr for DefaultQueueType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "classic" => Ok(Self::Classic),
            "quorum" => Ok(Self::Quorum),
            _ => Err(format!("'{text}' is neither classic nor quorum")),
        }
    }
}

impl std::fmt::Display for DefaultQueueType {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
        })
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
    /// Where metrics for Prometheus are shown to anybody who asks; `None` for nowhere.
    pub prometheus: Option<SocketAddr>,
    /// What a confirm promises.
    pub durability: Durability,
    /// The user that an empty data folder starts with; an administrator (spec 8.3.3).
    pub default_user: String,
    /// That user's password. Never shown.
    pub default_pass: Password,
    /// The virtual host that an empty data folder starts with.
    pub default_vhost: String,
    /// The type of queues that are declared without `x-queue-type` and can be of it (spec 4.4.5).
    pub default_queue_type: DefaultQueueType,
    /// Users who may log in from this machine only (spec 8.3.3).
    pub loopback_users: Vec<String>,
    /// How new passwords are hashed. RabbitMQ's own way, so that users can move between brokers.
    pub password_hashing: PasswordHashing,
    /// Whether the mechanism `ANONYMOUS` is offered. It logs in as guest with the password guest, so
    /// it opens nothing once either was changed (spec 1.3.4).
    pub anonymous_login: bool,
    /// What clients take the broker for. Some only use features that RabbitMQ has (spec 1.2.4).
    pub product: String,
    /// The version that clients take it for.
    pub product_version: String,
    /// The name of the cluster that clients see.
    pub cluster_name: String,
    /// When memory is too little.
    pub vm_memory_high_watermark: MemoryWatermark,
    /// When free space on the disk is too little.
    pub disk_free_limit: DiskFreeLimit,
    /// A file of definitions, as RabbitMQ exports them, that is brought in at each start; then no
    /// default user is made (spec 8.3.3).
    pub load_definitions: Option<PathBuf>,
    /// What bounds it.
    pub limits: Limits,
}

/// How much memory the process may have before publishers have to wait (spec 11.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemoryWatermark {
    /// A part of what there is: of the machine's memory, or of what the control group allows. As in
    /// RabbitMQ.
    pub relative: Part,
    /// So many bytes, whatever there is.
    pub absolute: Option<u64>,
}

impl Default for MemoryWatermark {
    fn default() -> Self {
        Self {
            relative: Part::from_millionths(600_000),
            absolute: None,
        }
    }
}

/// How much free space there must be for publishers (spec 11.1). Without either, it is 256 MiB: the
/// log takes up to 64 MiB at once, and what consumers do has to be written, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskFreeLimit {
    /// So many bytes.
    pub absolute: Option<u64>,
    /// So many times the memory that there is, unless `absolute` is given.
    pub relative: Option<Part>,
}

/// How a password is hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PasswordHashing {
    /// SHA-256 over salt and password, as RabbitMQ does it.
    #[default]
    #[serde(rename = "rabbit_password_hashing_sha256")]
    Sha256,
    /// SHA-512 over salt and password, as RabbitMQ does it.
    #[serde(rename = "rabbit_password_hashing_sha512")]
    Sha512,
    /// Argon2id: slow on purpose. Only this broker can read it.
    #[serde(rename = "argon2id")]
    Argon2id,
}

impl PasswordHashing {
    const ALL: [Self; 3] = [Self::Sha256, Self::Sha512, Self::Argon2id];

    /// Its name in a configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "rabbit_password_hashing_sha256",
            Self::Sha512 => "rabbit_password_hashing_sha512",
            Self::Argon2id => "argon2id",
        }
    }
}

impl std::str::FromStr for PasswordHashing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|known| known.as_str() == text);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            format!("'{text}' is none of {names}")
        })
    }
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

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: None,
            amqp: None,
            management: None,
            prometheus: None,
            durability: Durability::Commit,
            default_user: "guest".to_owned(),
            default_pass: Password::from("guest"),
            default_vhost: "/".to_owned(),
            default_queue_type: DefaultQueueType::Classic,
            loopback_users: vec!["guest".to_owned()],
            password_hashing: PasswordHashing::default(),
            anonymous_login: true,
            product: "RabbitMQ".to_owned(),
            product_version: "4.3.0".to_owned(),
            cluster_name: "leveret".to_owned(),
            vm_memory_high_watermark: MemoryWatermark::default(),
            disk_free_limit: DiskFreeLimit::default(),
            load_definitions: None,
            limits: Limits::default(),
        }
    }
}
