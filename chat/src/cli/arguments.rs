//! What can be said on the command line.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use leveret_chat::accounts::Registration;
use leveret_chat::planted::Planted;
use leveret_chat::service::Role;
use leveret_chat::settings::{GatewaySettings, Settings};

use super::admin_options::AdminOptions;
use super::options::{BrokerOptions, StoreOptions};

/// The chat's service. Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "leveret-chat", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// What is logged: error, warn, info, debug, or a filter such as `leveret_chat=debug`.
    #[arg(long, global = true, default_value = "info", env = "LEVERET_CHAT_LOG")]
    pub(crate) log: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sets up exchanges, queues and policies, and says what is there and different.
    Init(BrokerOptions),
    /// Serves, and sets up what is missing.
    Serve(ServeOptions),
    /// Writes everything that the store has, line by line.
    Export(ExportOptions),
    /// Puts what `export` wrote into an empty store.
    Import(ImportOptions),
    /// What an operator does: accounts, groups, dead letters, shards, verify, backup.
    Admin(AdminOptions),
    /// Shows itself: three people, a group, somebody who goes offline, and a service that is killed.
    Demo(DemoOptions),
}

#[derive(Args, Debug)]
pub(crate) struct ExportOptions {
    #[command(flatten)]
    pub(crate) place: StoreOptions,
    /// The file; `-` is the standard output. It holds what people have written, and the hashes of their
    /// passwords.
    #[arg(default_value = "-")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ImportOptions {
    #[command(flatten)]
    pub(crate) place: StoreOptions,
    /// The file.
    pub(crate) file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct ServeOptions {
    #[command(flatten)]
    pub(crate) broker: BrokerOptions,
    /// What this process does; everything, if it is not said: router, receipts, ephemeral, desk,
    /// dead-letters, retention, gateway. Any number of processes may do the same, with a store that they
    /// share.
    #[arg(long = "role", value_name = "ROLE,…", value_delimiter = ',')]
    pub(crate) roles: Vec<Role>,
    /// Where the gateway listens, which serves the web page, HTTP and WebSockets; `none` for nowhere.
    #[arg(
        long,
        alias = "http",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080",
        env = "LEVERET_CHAT_GATEWAY"
    )]
    pub(crate) gateway: String,
    /// Sites besides the gateway's own page whose pages may connect, `https://chat.example.com`.
    #[arg(long = "origin", value_name = "ORIGIN")]
    pub(crate) origins: Vec<String>,
    #[command(flatten)]
    pub(crate) rates: RateOptions,
    /// How long a router may be silent until others have the broker end its connection and go on with its shards, in
    /// milliseconds.
    #[arg(
        long,
        value_name = "MILLISECONDS",
        default_value_t = router_silence(),
        value_parser = clap::value_parser!(u64).range(1_000..)
    )]
    pub(crate) router_silence: u64,
    #[command(flatten)]
    pub(crate) planted: PlantedOptions,
    /// Who may register.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) registration: WhoRegisters,
}

fn router_silence() -> u64 {
    let default = Settings::default().router_silence_max.as_millis();
    u64::try_from(default).unwrap_or(u64::MAX)
}

/// The demonstration.
#[derive(Args, Clone)]
pub(crate) struct DemoOptions {
    /// Runs by itself, and ends with 0 if nothing was lost and nothing shown twice, with 1 otherwise.
    #[arg(long)]
    pub(crate) script: bool,
    /// On this broker, in a virtual host of its own that is deleted in the end:
    /// `amqp://user:password@host:5672`. Without it one is embedded, and is killed with the service.
    #[arg(
        long,
        value_name = "URL",
        requires = "management",
        env = "LEVERET_CHAT_BROKER",
        hide_env_values = true
    )]
    pub(crate) broker: Option<String>,
    /// That broker's management API, with a login that may make users and virtual hosts.
    #[arg(
        long,
        value_name = "URL",
        requires = "broker",
        env = "LEVERET_CHAT_MANAGEMENT",
        hide_env_values = true
    )]
    pub(crate) management: Option<String>,
    /// Deceives the counter, to see that it can fail.
    #[arg(long, value_enum, requires = "script")]
    pub(crate) plant: Option<Plant>,
}

impl std::fmt::Debug for DemoOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URLs hold passwords.
        formatter
            .debug_struct("DemoOptions")
            .field("script", &self.script)
            .field("plant", &self.plant)
            .finish_non_exhaustive()
    }
}

/// How the counter is deceived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Plant {
    /// One message is not shown to somebody.
    Loss,
    /// One message is shown to somebody twice.
    Duplicate,
}

/// How much is taken; beyond, messages are rejected as `rate_limited`.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct RateOptions {
    /// Messages of a person per second, in the long run.
    #[arg(long, value_name = "NUMBER", default_value_t = Settings::default().user_rate)]
    pub(crate) user_rate: u32,
    /// Messages of a person at once.
    #[arg(long, value_name = "NUMBER", default_value_t = Settings::default().user_burst)]
    pub(crate) user_burst: u32,
    /// Messages in a group per second, in the long run.
    #[arg(long, value_name = "NUMBER", default_value_t = Settings::default().group_rate)]
    pub(crate) group_rate: u32,
    /// Messages in a group at once.
    #[arg(long, value_name = "NUMBER", default_value_t = Settings::default().group_burst)]
    pub(crate) group_burst: u32,
    /// Frames of a WebSocket per second, in the long run.
    #[arg(long, value_name = "NUMBER", default_value_t = GatewaySettings::default().frames_per_second)]
    pub(crate) frame_rate: u32,
    /// Frames of a WebSocket at once.
    #[arg(long, value_name = "NUMBER", default_value_t = GatewaySettings::default().frames_burst)]
    pub(crate) frame_burst: u32,
}

impl From<RateOptions> for GatewaySettings {
    fn from(rates: RateOptions) -> Self {
        Self {
            frames_per_second: rates.frame_rate,
            frames_burst: rates.frame_burst,
            ..Self::default()
        }
    }
}

impl From<RateOptions> for Settings {
    fn from(rates: RateOptions) -> Self {
        Self {
            user_rate: rates.user_rate,
            user_burst: rates.user_burst,
            group_rate: rates.group_rate,
            group_burst: rates.group_burst,
            ..Self::default()
        }
    }
}

/// Faults, for tests alone: nobody else is told that there are such options.
#[derive(Args, Clone, Debug)]
pub(crate) struct PlantedOptions {
    /// A text that brings a router down.
    #[arg(long, value_name = "TEXT", hide = true)]
    plant_poison: Option<String>,
    /// One in so many times the process dies between two steps.
    #[arg(long, value_name = "NUMBER", hide = true)]
    plant_deaths: Option<NonZeroU32>,
}

impl From<PlantedOptions> for Planted {
    fn from(options: PlantedOptions) -> Self {
        Self {
            poison: options.plant_poison,
            deaths: options.plant_deaths,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum WhoRegisters {
    /// Everybody; the first one is the administrator.
    #[default]
    Open,
    /// The first one, who is the administrator; then only whom an administrator registers.
    Closed,
}

impl From<WhoRegisters> for Registration {
    fn from(who: WhoRegisters) -> Self {
        match who {
            WhoRegisters::Open => Self::Open,
            WhoRegisters::Closed => Self::Closed,
        }
    }
}
