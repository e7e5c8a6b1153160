//! The broker and the store, as the command line names them.

use std::path::PathBuf;

use clap::Args;
use leveret_client::message::ShardCount;

/// The broker and the store.
#[derive(Args, Clone)]
pub(crate) struct BrokerOptions {
    /// A broker with the service's login and virtual host, `amqp://user:password@host:5672/chat`,
    /// or `amqps://…` for TLS.
    /// Without it one is embedded.
    #[arg(
        long,
        value_name = "URL",
        requires = "management",
        env = "LEVERET_CHAT_BROKER",
        hide_env_values = true
    )]
    pub(crate) broker: Option<String>,
    /// That broker's management API, with a login that may make users,
    /// `http://user:password@host:15672`, or `https://…`.
    #[arg(
        long,
        value_name = "URL",
        requires = "broker",
        env = "LEVERET_CHAT_MANAGEMENT",
        hide_env_values = true
    )]
    pub(crate) management: Option<String>,
    /// Certificates in PEM of who may vouch for them, besides the system's authorities.
    #[arg(
        long,
        value_name = "FILE",
        requires = "broker",
        env = "LEVERET_CHAT_CA_FILE"
    )]
    pub(crate) ca_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) place: StoreOptions,
    /// Send shards, if the chat is not set up yet.
    #[arg(long, value_name = "NUMBER", default_value_t)]
    pub(crate) shards: ShardCount,
    /// Where the embedded broker speaks AMQP.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:5672",
        conflicts_with = "broker",
        env = "LEVERET_CHAT_AMQP"
    )]
    pub(crate) amqp: String,
    /// Where the embedded broker's management API is.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:15672",
        conflicts_with = "broker",
        env = "LEVERET_CHAT_AMQP_MANAGEMENT"
    )]
    pub(crate) amqp_management: String,
}

/// Where the history is.
#[derive(Args, Clone)]
pub(crate) struct StoreOptions {
    /// Where everything is kept: the chat in `chat`, the embedded broker in `broker`.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "leveret-data",
        env = "LEVERET_CHAT_DATA"
    )]
    pub(crate) data_dir: PathBuf,
    /// Where the history is: `embedded` in the data directory, for one process, or
    /// `postgres://user:password@host/database`, for any number.
    #[arg(
        long,
        value_name = "STORE",
        default_value = "embedded",
        env = "LEVERET_CHAT_STORE",
        hide_env_values = true
    )]
    pub(crate) store: StorePlace,
}

/// Where the history is.
#[derive(Clone)]
pub(crate) enum StorePlace {
    /// In the data directory.
    Embedded,
    /// In the database of this URL, which may hold a password.
    Postgres(String),
}

impl std::str::FromStr for StorePlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "embedded" => Ok(Self::Embedded),
            url if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Ok(Self::Postgres(url.to_owned()))
            }
            // It may hold a password all the same.
            _ => {
                Err("a store is `embedded` or `postgres://user:password@host/database`".to_owned())
            }
        }
    }
}

impl std::fmt::Debug for BrokerOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URLs hold passwords.
        formatter
            .debug_struct("BrokerOptions")
            .field("data_dir", &self.place.data_dir)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for StoreOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL holds a password.
        formatter
            .debug_struct("StoreOptions")
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}
