//! The broker: assembled from its layers, started, connected to, shut down.

mod http;
mod port;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{
    Config, ConfigError, DefaultQueueType, Durability, Part, Password, PasswordHashing,
};
use crate::engine::{AccessSettings, AlarmLimits, DefaultUser, Engine, EngineSettings};
use crate::model::{
    DeduplicationLimits, HashAlgorithm, LoginRequest, QueueType, Secret, Threshold, UserName,
    VirtualHostName,
};
use crate::session::{Listener, SessionSettings, Sessions};
use crate::store::{self, MemoryStore, Recovered, RecoveryReport, Store, StoreError, StoreOptions};

use self::http::HttpPorts;
use self::port::Port;

/// Nobody has more definitions than that; it may be the wrong file (spec 13.16).
const DEFINITIONS_BYTES_MAX: u64 = 256 << 20;

/// How long open connections may take to say goodbye at a shutdown.
const GOODBYE: Duration = Duration::from_secs(5);

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address given to the builder is none.
    #[error("'{text}' is not an address: {source}")]
    Address {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: io::Error,
    },
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The HTTP API is asked for and not built in.
    #[error("this build has no HTTP API to answer on {0}")]
    NoManagement(SocketAddr),
    /// A port cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of definitions cannot be brought in.
    #[error("definitions cannot be loaded from {}: {reason}", .path.display())]
    Definitions {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The default user could not be stored.
    #[error("the default user cannot be made: {0}")]
    DefaultUser(String),
    /// The thread that opened the store died.
    #[error("opening the store failed: {0}")]
    Panicked(String),
}

/// The store did not close cleanly; the next start recovers what was confirmed.
#[derive(Debug, thiserror::Error)]
#[error("the store did not close cleanly: {0}")]
pub struct ShutdownError(String);

/// Says how far a long recovery has come: bytes done, bytes in all.
pub type RecoveryProgress = Box<dyn Fn(u64, u64) + Send + Sync>;

/// Makes a [`Broker`].
#[must_use = "a builder does nothing until it is started"]
#[derive(Default)]
pub struct BrokerBuilder {
    config: Config,
    amqp: Option<String>,
    management: Option<String>,
    prometheus: Option<String>,
    recovery_progress: Option<RecoveryProgress>,
}

impl std::fmt::Debug for BrokerBuilder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("BrokerBuilder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl BrokerBuilder {
    /// Starts from a whole configuration. Later calls change it.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Keeps durable queues in this folder. Without it everything is in memory only.
    pub fn data_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.config.data_dir = Some(directory.into());
        self
    }

    /// Speaks AMQP on this address, for example `127.0.0.1:5672`. Port 0 lets the system choose:
    /// see [`Broker::amqp_url`].
    pub fn amqp(mut self, address: impl Into<String>) -> Self {
        self.amqp = Some(address.into());
        self
    }

    /// Answers HTTP on this address, for example `127.0.0.1:15672`.
    pub fn management(mut self, address: impl Into<String>) -> Self {
        self.management = Some(address.into());
        self
    }

    /// Shows metrics for Prometheus on this address, for example `127.0.0.1:15692`, to anybody who
    /// asks.
    pub fn prometheus(mut self, address: impl Into<String>) -> Self {
        self.prometheus = Some(address.into());
        self
    }

    /// What a confirm promises.
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.config.durability = durability;
        self
    }

    /// The user that an empty broker starts with, instead of `guest`; an administrator, who may log in
    /// from anywhere. On a folder that has users already, it is not made.
    pub fn user(mut self, name: impl Into<String>, password: &str) -> Self {
        self.config.default_user = name.into();
        self.config.default_pass = Password::from(password);
        self
    }

    /// Calls `progress` with bytes done and bytes in all while a log is recovered.
    pub fn on_recovery_progress(mut self, progress: RecoveryProgress) -> Self {
        self.recovery_progress = Some(progress);
        self
    }

    /// Recovers what is on disk, binds the ports and starts to serve.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If the folder cannot be used or a port cannot be bound. Nothing is left behind then.
    pub async fn start(mut self) -> Result<Broker, StartError> {
        if let Some(text) = self.amqp.take() {
            self.config.amqp = Some(resolve(text)?);
        }
        if let Some(text) = self.management.take() {
            self.config.management = Some(resolve(text)?);
        }
        if let Some(text) = self.prometheus.take() {
            self.config.prometheus = Some(resolve(text)?);
        }
        Broker::start(self.config, self.recovery_progress).await
    }
}

fn resolve(text: String) -> Result<SocketAddr, StartError> {
    let resolved = text.to_socket_addrs().and_then(|mut addresses| {
        addresses
            .next()
            .ok_or_else(|| io::Error::other("it names no address"))
    });
    resolved.map_err(|source| StartError::Address { text, source })
}

/// A running broker.
///
/// Dropping it stops accepting and ends its tasks without waiting; [`shutdown`](Self::shutdown)
/// says goodbye to clients and syncs the disk.
#[derive(Debug)]
pub struct Broker {
    config: Config,
    engine: Arc<Engine>,
    sessions: Arc<Sessions>,
    amqp: Option<SocketAddr>,
    management: Option<SocketAddr>,
    prometheus: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Broker {
    /// Starts to describe a broker.
    pub fn builder() -> BrokerBuilder {
        BrokerBuilder::default()
    }

    async fn start(config: Config, progress: Option<RecoveryProgress>) -> Result<Self, StartError> {
        config.check()?;
        let amqp = config.amqp.map(Port::bind).transpose()?;
        let ports = HttpPorts {
            management: config.management.map(http::bind).transpose()?,
            prometheus: config.prometheus.map(http::bind).transpose()?,
        };
        let (store, recovered) = open_store(&config, progress).await?;
        let engine = start_engine(&config, store, recovered).await?;
        match &config.load_definitions {
            Some(path) => load_definitions(&engine, path).await?,
            None => create_defaults(&engine, &config).await?,
        }
        let sessions = Sessions::new(Arc::clone(&engine), session_settings(&config));
        let (stop, stopped) = watch::channel(false);
        let mut broker = Self {
            amqp: amqp.as_ref().map(Port::address),
            management: ports.management.as_ref().map(Port::address),
            prometheus: ports.prometheus.as_ref().map(Port::address),
            config,
            engine,
            sessions,
            stop,
            tasks: Vec::new(),
        };
        let timers = Engine::run_timers(Arc::downgrade(&broker.engine), stopped.clone());
        broker.tasks.push(tokio::spawn(timers));
        let delays = Engine::run_delays(Arc::downgrade(&broker.engine), stopped.clone());
        broker.tasks.push(tokio::spawn(delays));
        // Known before the first client comes.
        broker.look_at_resources().await;
        let alarms = Engine::run_alarms(Arc::downgrade(&broker.engine), stopped.clone());
        broker.tasks.push(tokio::spawn(alarms));
        if let Some(port) = amqp {
            let listener = Listener::new(port.listen()?);
            let sessions = Arc::clone(&broker.sessions);
            broker
                .tasks
                .push(tokio::spawn(listener.run(sessions, stopped.clone())));
        }
        if !ports.is_empty() {
            let (engine, config) = (&broker.engine, &broker.config);
            let served = http::serve(ports, engine, config, broker.amqp, stopped)?;
            broker.tasks.push(tokio::spawn(served));
        }
        Ok(broker)
    }

    /// The URL of the AMQP listener, with the default user's credentials; empty without listener.
    #[must_use]
    pub fn amqp_url(&self) -> String {
        self.amqp.map_or_else(String::new, |address| {
            let user = percent(&self.config.default_user);
            let password = percent(self.config.default_pass.expose());
            let host = percent(&self.config.default_vhost);
            format!("amqp://{user}:{password}@{address}/{host}")
        })
    }

    /// Where AMQP is spoken.
    #[must_use]
    pub const fn amqp_address(&self) -> Option<SocketAddr> {
        self.amqp
    }

    /// Where HTTP is answered.
    #[must_use]
    pub const fn management_address(&self) -> Option<SocketAddr> {
        self.management
    }

    /// Where metrics are shown.
    #[must_use]
    pub const fn prometheus_address(&self) -> Option<SocketAddr> {
        self.prometheus
    }

    /// What opening the store found; empty for a broker in memory.
    #[must_use]
    pub fn recovery_report(&self) -> RecoveryReport {
        self.engine.store().status().report
    }

    /// Sets how much memory the process may have before publishers have to wait, and looks at once.
    ///
    /// As with `vm_memory_high_watermark` of the configuration, which a restart comes back to.
    pub async fn set_memory_high_watermark(&self, limit: Threshold) {
        self.engine.set_memory_limit(limit);
        self.look_at_resources().await;
    }

    /// Sets how much space must be free where the data lies before publishers have to wait, and
    /// looks at once.
    ///
    /// As with `disk_free_limit` of the configuration, which a restart comes back to.
    pub async fn set_disk_free_limit(&self, limit: Threshold) {
        self.engine.set_disk_free_limit(limit);
        self.look_at_resources().await;
    }

    /// How many connections have to wait with what they publish because memory or disk are short.
    #[must_use]
    pub fn blocked_connections(&self) -> usize {
        let clients = self.engine.clients.all();
        clients.iter().filter(|client| client.is_blocked()).count()
    }

    async fn look_at_resources(&self) {
        let engine = Arc::clone(&self.engine);
        let looked = tokio::task::spawn_blocking(move || engine.look_at_resources()).await;
        if let Err(error) = looked {
            tracing::error!(%error, "memory and disk could not be looked at");
        }
    }

    /// Opens a connection inside the process: a byte stream that speaks AMQP, without a socket. It
    /// counts as a connection from this machine.
    #[allow(
        clippy::unused_async,
        reason = "a connection with a handshake may have to wait"
    )]
    pub async fn connect(&self) -> io::Result<DuplexStream> {
        Ok(self.sessions.connect())
    }

    /// Stops accepting, closes every connection with 320, writes and syncs everything.
    ///
    /// # Errors
    ///
    /// If something that clients were not told about could not be stored.
    pub async fn shutdown(mut self) -> Result<(), ShutdownError> {
        self.stop.send_replace(true);
        self.engine.clients.close_all("shutdown");
        let deadline = tokio::time::Instant::now() + GOODBYE;
        while !self.engine.clients.are_gone() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for task in self.tasks.drain(..) {
            // The tasks end by themselves once they are told to stop.
            let _ = task.await;
        }
        let engine = Arc::clone(&self.engine);
        tokio::task::spawn_blocking(move || engine.close())
            .await
            .map_err(|error| ShutdownError(error.to_string()))?;
        self.engine
            .store()
            .status()
            .failed
            .map_or(Ok(()), |reason| Err(ShutdownError(reason)))
    }

    /// Empties the broker: closes every connection, deletes every queue, exchange and binding that
    /// was declared. For tests that share one broker.
    pub async fn reset(&self) {
        self.engine.clients.close_all("reset");
        let deadline = tokio::time::Instant::now() + GOODBYE;
        while self.engine.clients.count() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.engine.clients.open_again();
        let ticket = self.engine.reset();
        if let Err(error) = self.engine.durable(ticket).await {
            tracing::error!(%error, "the reset may not survive a restart");
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.engine.clients.close_all("shutdown");
    }
}

async fn open_store(
    config: &Config,
    progress: Option<RecoveryProgress>,
) -> Result<(Arc<dyn Store>, Recovered), StartError> {
    let Some(directory) = &config.data_dir else {
        return Ok((Arc::new(MemoryStore::new()), Recovered::default()));
    };
    let mut options = StoreOptions::new(directory);
    options.durability = match config.durability {
        Durability::Commit => store::Durability::Commit,
        Durability::Interval(interval) => store::Durability::Interval(interval),
        Durability::Os => store::Durability::OperatingSystem,
    };
    options.disk_free_limit = config.disk_free_limit.absolute;
    let opened = tokio::task::spawn_blocking(move || {
        let mut report = |done, total| {
            if let Some(progress) = &progress {
                progress(done, total);
            }
        };
        store::open(options, &mut report)
    });
    Ok(opened
        .await
        .map_err(|error| StartError::Panicked(error.to_string()))??)
}

/// Some of what was on disk is read back meanwhile.
async fn start_engine(
    config: &Config,
    store: Arc<dyn Store>,
    recovered: Recovered,
) -> Result<Arc<Engine>, StartError> {
    let settings = engine_settings(config);
    tokio::task::spawn_blocking(move || Engine::start(settings, store, recovered))
        .await
        .map_err(|error| StartError::Panicked(error.to_string()))
}

fn engine_settings(config: &Config) -> EngineSettings {
    EngineSettings {
        body_cache_bytes: config.limits.body_cache_bytes,
        outbox_bytes: config.limits.outbox_bytes,
        store_backlog_bytes_max: config.limits.store_backlog_bytes_max,
        default_queue_type: match config.default_queue_type {
            DefaultQueueType::Classic => QueueType::Classic,
            DefaultQueueType::Quorum => QueueType::Quorum,
        },
        deduplication: deduplication_limits(config),
        alarms: alarm_limits(config),
        virtual_hosts_max: config.limits.virtual_hosts_max,
        queues_max: config.limits.queues_max,
        exchanges_max: config.limits.exchanges_max,
        access: AccessSettings {
            hashing: match config.password_hashing {
                PasswordHashing::Sha256 => HashAlgorithm::Sha256,
                PasswordHashing::Sha512 => HashAlgorithm::Sha512,
                PasswordHashing::Argon2id => HashAlgorithm::Argon2id,
            },
            loopback_users: config.loopback_users.clone(),
            password_bytes_min: config.limits.password_bytes_min,
        },
        node_name: format!("{}@localhost", config.cluster_name),
    }
}

fn deduplication_limits(config: &Config) -> DeduplicationLimits {
    // Neither can be 0: their ranges begin above.
    let keys = |number| NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN);
    let keys_max = keys(config.limits.deduplication_keys_max);
    DeduplicationLimits {
        keys: keys(config.limits.deduplication_keys).min(keys_max),
        keys_max,
    }
}

fn alarm_limits(config: &Config) -> AlarmLimits {
    let of_memory = |part: Part| Threshold::OfMemory(part.as_f64());
    let (memory, disk) = (&config.vm_memory_high_watermark, &config.disk_free_limit);
    let relative = disk.relative.map(of_memory);
    AlarmLimits {
        memory: memory
            .absolute
            .map_or_else(|| of_memory(memory.relative), Threshold::Bytes),
        disk_free: disk.absolute.map(Threshold::Bytes).or(relative),
    }
}

fn session_settings(config: &Config) -> SessionSettings {
    let limits = &config.limits;
    SessionSettings {
        handshake_timeout: Duration::from_millis(limits.handshake_timeout_ms),
        refusal_delay: Duration::from_millis(limits.refusal_delay_ms),
        channel_max: limits.channel_max,
        frame_max: limits.frame_max,
        frame_min: limits.frame_min,
        initial_frame_max: limits.initial_frame_max,
        heartbeat_seconds: limits.heartbeat_seconds,
        message_bytes_max: limits.message_bytes_max,
        partial_bytes_max: limits.partial_bytes_max,
        channels_max: limits.channels_max,
        consumers_per_channel_max: limits.consumers_per_channel_max,
        write_buffer_bytes: limits.write_buffer_bytes,
        write_buffer_bytes_max: limits.write_buffer_bytes_max,
        write_timeout: Duration::from_millis(limits.write_timeout_ms),
        connections_max: limits.connections_max,
        handshakes_per_address_max: limits.handshakes_per_address_max,
        anonymous: anonymous(config),
        product: config.product.clone(),
        version: config.product_version.clone(),
        cluster_name: config.cluster_name.clone(),
    }
}

/// `ANONYMOUS` means guest with guest's own password, as in RabbitMQ: where another user or password
/// was configured, it opens nothing.
fn anonymous(config: &Config) -> Option<LoginRequest> {
    config.anonymous_login.then(|| LoginRequest {
        user: "guest".to_owned(),
        password: Secret::new(b"guest"),
    })
}

/// Brings in what a file defines. Nobody is let in before it is durable.
async fn load_definitions(engine: &Arc<Engine>, path: &Path) -> Result<(), StartError> {
    let refuse = |reason: String| StartError::Definitions {
        path: path.to_path_buf(),
        reason,
    };
    let (loader, file) = (Arc::clone(engine), path.to_path_buf());
    let loading = tokio::task::spawn_blocking(move || {
        let text = read_definitions(&file).map_err(|error| error.to_string())?;
        http::load_definitions(&loader, &text)
    });
    loading
        .await
        .map_err(|error| StartError::Panicked(error.to_string()))?
        .map_err(refuse)?;
    engine
        .durable(engine.last_ticket())
        .await
        .map_err(|error| refuse(error.to_string()))
}

fn read_definitions(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let file = std::fs::File::open(path)?;
    let read = io::Read::read_to_end(
        &mut io::Read::take(file, DEFINITIONS_BYTES_MAX + 1),
        &mut text,
    )?;
    if read as u64 > DEFINITIONS_BYTES_MAX {
        return Err(io::Error::other("it is longer than 256 MiB"));
    }
    Ok(text)
}

/// Makes the default user and virtual host where there is nobody and nothing yet. Nobody is let in
/// before they are durable.
async fn create_defaults(engine: &Arc<Engine>, config: &Config) -> Result<(), StartError> {
    let default = DefaultUser {
        name: UserName::from(config.default_user.as_str()),
        password: Secret::new(config.default_pass.expose().as_bytes()),
        virtual_host: VirtualHostName::from(config.default_vhost.as_str()),
    };
    let maker = Arc::clone(engine);
    let ticket = tokio::task::spawn_blocking(move || maker.create_defaults(default))
        .await
        .map_err(|error| StartError::Panicked(error.to_string()))?;
    engine
        .durable(ticket)
        .await
        .map_err(|error| StartError::DefaultUser(error.to_string()))
}

/// Encodes everything that means something in a URL.
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}
