//! Commands and flags.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use leveret::{Config, ConfigError, ConfigSources, LoadedConfig};

use super::operator::verb::{CtlVerb, Verb};

/// A message broker that speaks AMQP 0-9-1 with RabbitMQ's extensions.
///
/// Without a command it serves. Options come from flags, the environment, the configuration file and
/// the defaults, in this order; `leveret config print` shows what came from where.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: ServerOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the broker (what plain `leveret` does).
    ///
    /// Prints one line, `leveret ready amqp=… management=… pid=…`, once it accepts connections; its
    /// log goes to standard error. SIGTERM and SIGINT end it in order: it stops accepting, closes
    /// every connection, syncs and exits with 0. A second signal ends it at once.
    Serve(ServerOptions),
    /// Show or explain the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check a data folder and say what recovery would find. Changes nothing.
    ///
    /// Exits with 0 if all is well and with 1 if something is damaged or lost. The broker must be
    /// stopped.
    Verify(VerifyCommand),
    /// Copy a data folder to a new one, of a running or a stopped broker.
    ///
    /// A running broker is asked through its HTTP API for a consistent copy.
    Backup(BackupCommand),
    /// Log in to a broker and leave. Exits with 0 if that works.
    ///
    /// Uses the address, user and virtual host of the same options that the server reads.
    Ping(ServerOptions),
    #[command(flatten)]
    Operator(Box<Verb>),
    /// Ask as `rabbitmqctl` does: the same verbs, with underscores as well.
    ///
    /// A link to this program that is named rabbitmqctl or rabbitmq-diagnostics means this.
    Ctl(Box<Ctl>),
    /// Print completions for a shell.
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// What `leveret ctl` takes.
#[derive(Debug, Args)]
pub(crate) struct Ctl {
    #[command(subcommand)]
    pub(crate) verb: CtlVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every option, its value, and where the value came from. Secrets are hidden.
    Print(Box<PrintCommand>),
    /// Print a configuration file with every option at its default, and what it is for.
    Example,
}

/// The options of the server.
#[derive(Debug, Default, Args)]
pub(crate) struct ServerOptions {
    /// Keep durable queues in this folder [env: LEVERET_DATA_DIR] [default: leveret-data/broker].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Keep everything in memory and write nothing [env: LEVERET_IN_MEMORY].
    #[arg(long, conflicts_with = "data_dir")]
    in_memory: bool,
    /// Speak AMQP on this address [env: LEVERET_AMQP, RABBITMQ_NODE_IP_ADDRESS,
    /// RABBITMQ_NODE_PORT] [default: 127.0.0.1:5672].
    #[arg(long, value_name = "HOST:PORT")]
    amqp: Option<String>,
    /// Answer HTTP on this address, or `none` [env: LEVERET_MANAGEMENT] [default:
    /// 127.0.0.1:15672].
    #[arg(long, value_name = "HOST:PORT")]
    management: Option<String>,
    /// Show metrics for Prometheus on this address, or `none` [env: LEVERET_PROMETHEUS] [default:
    /// 127.0.0.1:15692].
    #[arg(long, value_name = "HOST:PORT")]
    prometheus: Option<String>,
    /// Read options from this TOML file [env: LEVERET_CONFIG].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What a confirm promises: commit, interval=MILLISECONDS or os [env: LEVERET_DURABILITY]
    /// [default: commit].
    #[arg(long, value_name = "PROMISE")]
    durability: Option<String>,
    /// Bring in the definitions of this file, as RabbitMQ exports them, and make no default user
    /// [env: LEVERET_LOAD_DEFINITIONS].
    #[arg(long, value_name = "FILE")]
    load_definitions: Option<String>,
    /// Write the log as text or json [env: LEVERET_LOG_FORMAT] [default: text].
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Log this much: off, error, warn, info, debug or trace, also by part:
    /// leveret=debug,… [env: LEVERET_LOG] [default: info].
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Set any option of the configuration file, for example limits.frame_max=64KiB. May be given
    /// more than once.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| "must be KEY=VALUE".to_owned())?;
    Ok((key.to_owned(), value.to_owned()))
}

impl ServerOptions {
    /// Puts flags, environment, file and defaults together.
    pub(crate) fn load(&self) -> Result<LoadedConfig, ConfigError> {
        let mut sources = ConfigSources::new(Config::server()).environment(std::env::vars_os());
        if let Some(path) = &self.config {
            sources = sources.file(path);
        }
        for (key, value) in &self.set {
            sources = sources.flag(key, format!("--set {key}"), value);
        }
        let flags = [
            ("data_dir", "--data-dir", &self.data_dir),
            ("amqp", "--amqp", &self.amqp),
            ("management", "--management", &self.management),
            ("prometheus", "--prometheus", &self.prometheus),
            ("durability", "--durability", &self.durability),
            (
                "load_definitions",
                "--load-definitions",
                &self.load_definitions,
            ),
            ("log_format", "--log-format", &self.log_format),
            ("log_level", "--log-level", &self.log_level),
        ];
        for (key, name, value) in flags {
            if let Some(value) = value {
                sources = sources.flag(key, name, value);
            }
        }
        if self.in_memory {
            sources = sources.flag("in_memory", "--in-memory", "true");
        }
        sources.load()
    }
}

#[derive(Debug, Args)]
pub(crate) struct PrintCommand {
    #[command(flatten)]
    pub(crate) options: ServerOptions,
    /// Print a JSON array instead of TOML.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyCommand {
    /// The data folder.
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Print the report as a JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BackupCommand {
    /// The data folder.
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// The copy's folder: new or empty.
    #[arg(value_name = "DEST")]
    pub(crate) destination: PathBuf,
    #[command(flatten)]
    pub(crate) options: ServerOptions,
}
