//! Leveret: a message broker that speaks AMQP 0-9-1 with RabbitMQ's extensions.

mod broker;
mod config;
mod engine;
#[cfg(feature = "management")]
mod management;
mod session;

pub use broker::{Broker, BrokerBuilder, RecoveryProgress, ShutdownError, StartError};
pub use config::{
    Config, ConfigError, ConfigSources, ConfigValue, Durability, Limits, LoadedConfig, LogConfig,
    LogFormat, Origin, Password,
};

// The pure layers and the store are reachable for benches, fuzzing and property tests. They are no
// part of the stable interface.
#[doc(hidden)]
pub mod model;
#[doc(hidden)]
pub mod queue;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod topology;
#[doc(hidden)]
pub mod wire;
