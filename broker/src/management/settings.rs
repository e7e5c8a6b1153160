//! What bounds the API and what it tells; `Config` fills it in.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The limits and facts of an HTTP API.
#[derive(Clone, Debug)]
pub(crate) struct ManagementSettings {
    /// Where AMQP is spoken.
    pub(crate) amqp: Option<SocketAddr>,
    /// Where this API answers.
    pub(crate) management: Option<SocketAddr>,
    /// Where metrics are shown.
    pub(crate) prometheus: Option<SocketAddr>,
    /// Where durable queues live.
    pub(crate) data_dir: Option<PathBuf>,
    /// What clients take the broker for.
    pub(crate) product: String,
    /// The version that they take it for.
    pub(crate) product_version: String,
    /// The cluster's name.
    pub(crate) cluster_name: String,
    /// AMQP connections that may be open.
    pub(crate) amqp_connections_max: usize,
    /// Connections to the API that may be open.
    pub(crate) connections_max: usize,
    /// Bytes of a message's body.
    pub(crate) message_bytes_max: u64,
    /// Bytes of a request's body.
    pub(crate) body_bytes_max: usize,
    /// How long a request may take to arrive, and a connection be idle.
    pub(crate) timeout: Duration,
    /// How long a refused login is kept waiting (spec 1.3.6).
    pub(crate) refusal_delay: Duration,
}
