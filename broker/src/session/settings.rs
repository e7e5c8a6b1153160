//! What bounds a session; `Config` fills it in.

use std::time::Duration;

use crate::model::LoginRequest;

/// The limits and offers of every connection.
#[derive(Clone, Debug)]
pub(crate) struct SessionSettings {
    /// From accept to `connection.open-ok`, TLS included (spec 1.1.5).
    pub(crate) handshake_timeout: Duration,
    /// How long a refused login is kept waiting (spec 1.3.6).
    pub(crate) refusal_delay: Duration,
    /// The greatest channel number offered; 0 for no limit.
    pub(crate) channel_max: u16,
    /// The frame size offered, in bytes; 0 for no limit.
    pub(crate) frame_max: u32,
    /// The smallest frame size that a client may choose, in bytes (spec 1.4.3).
    pub(crate) frame_min: u32,
    /// The frame size until the client has logged in, in bytes (spec 1.4.5).
    pub(crate) initial_frame_max: u32,
    /// The heartbeat offered, in seconds; 0 for none.
    pub(crate) heartbeat_seconds: u16,
    /// The largest body that may be published, in bytes (spec 5.1.2).
    pub(crate) message_bytes_max: u64,
    /// The sum of incomplete messages of one connection, in bytes (spec 13.3).
    pub(crate) partial_bytes_max: usize,
    /// Channels of all connections together; 0 for no limit (spec 11.5).
    pub(crate) channels_max: u64,
    /// Consumers per channel; 0 for no limit (spec 5.3.10).
    pub(crate) consumers_per_channel_max: usize,
    /// What may wait to be written before deliveries stop, in bytes.
    pub(crate) write_buffer_bytes: usize,
    /// What may wait to be written before the socket is no longer read, in bytes.
    pub(crate) write_buffer_bytes_max: usize,
    /// How long a peer may take nothing of what waits for it (spec 11.4).
    pub(crate) write_timeout: Duration,
    /// Connections that have opened a virtual host or are about to.
    pub(crate) connections_max: usize,
    /// Connections of one address that have not logged in yet (spec 13.8).
    pub(crate) handshakes_per_address_max: usize,
    /// Who `ANONYMOUS` logs in as; `None` if it is not offered (spec 1.3.4).
    pub(crate) anonymous: Option<LoginRequest>,
    /// What the server says it is (spec 1.2.4).
    pub(crate) product: String,
    /// The version that it says it has.
    pub(crate) version: String,
    /// The name that clients see for the cluster.
    pub(crate) cluster_name: String,
}
