//! The engine's limits; `Config` fills them in.

use crate::model::QueueType;

/// What bounds the engine.
#[derive(Clone, Debug)]
pub(crate) struct EngineSettings {
    /// Bodies kept in memory although the log holds them, in bytes, for the whole broker.
    pub(crate) body_cache_bytes: usize,
    /// Deliveries that may wait for one connection, in bytes.
    pub(crate) outbox_bytes: usize,
    /// Records handed to the store and not yet written, in bytes, before publishers wait.
    pub(crate) store_backlog_bytes_max: usize,
    /// The type of queues whose declaration names none and can be of it (spec 4.4.5).
    pub(crate) default_queue_type: QueueType,
    /// The name that management and logs give to this node.
    pub(crate) node_name: String,
}
