//! Leveret: a message broker that speaks AMQP 0-9-1 with RabbitMQ's extensions, as a library.
//!
//! A [`Broker`] runs inside the process that starts it, on the tokio runtime it is started in. It
//! takes no global state, handles no signals, writes no log of its own (it emits [`tracing`] events)
//! and prints nothing; any number of them live side by side. Clients reach it over TCP or, inside
//! the process, through [`Broker::connect`].
//!
//! ```
//! use leveret::Broker;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In memory, as nothing says where to keep data. Port 0 lets the system choose one.
//! let broker = Broker::builder().amqp("127.0.0.1:0").start().await?;
//! println!("clients may connect to {}", broker.amqp_url());
//!
//! // A connection without a socket: whatever speaks AMQP over a byte stream can use it.
//! let mut stream = broker.connect().await?;
//! stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
//! let mut frame = [0; 11];
//! stream.read_exact(&mut frame).await?;
//! // A method frame on channel 0; class 10, method 10: connection.start.
//! assert_eq!(frame[..3], [1, 0, 0]);
//! assert_eq!(frame[7..], [0, 10, 0, 10]);
//! drop(stream);
//!
//! // Closes every connection, and syncs the disk if there is one.
//! broker.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! With [`BrokerBuilder::data_dir`], durable queues and persistent messages survive a restart; what a
//! confirm promises is a matter of [`Durability`]. [`Config`] holds every option and limit, and
//! [`ConfigSources`] reads one from flags, environment and file as the server does. The example
//! `embedded_client` publishes and consumes with a client library.
//!
//! Features: `management` is the HTTP API; `cli` is what the `leveret` binary needs beyond the
//! library. An embedder does without: `default-features = false`.

mod allocator;
mod broker;
mod config;
mod engine;
#[cfg(feature = "management")]
mod management;
mod session;

pub use allocator::settle_allocator;
pub use broker::{Broker, BrokerBuilder, RecoveryProgress, ShutdownError, StartError};
pub use config::{
    Config, ConfigError, ConfigSources, ConfigValue, DefaultQueueType, DiskFreeLimit, Durability,
    Limits, LoadedConfig, LogConfig, LogFormat, MemoryWatermark, Origin, Part, Password,
    PasswordHashing,
};
pub use model::Threshold;

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
