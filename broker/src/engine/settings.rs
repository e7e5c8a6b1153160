//! The engine's limits; `Config` fills them in.

use super::alarms::AlarmLimits;
use crate::model::{DeduplicationLimits, HashAlgorithm, QueueType};

/// How users log in.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessSettings {
    /// How new passwords are hashed.
    pub(crate) hashing: HashAlgorithm,
    /// Users who may log in from this machine only (spec 8.3.3).
    pub(crate) loopback_users: Vec<String>,
    /// Bytes that a new password must have at least (spec 8.3.4).
    pub(crate) password_bytes_min: usize,
}

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
    /// How many keys a queue that tells duplicates may know (spec 4.3.2).
    pub(crate) deduplication: DeduplicationLimits,
    /// When memory or disk are too little, at first.
    pub(crate) alarms: AlarmLimits,
    /// Virtual hosts; 0 for no limit (spec 11.5).
    pub(crate) virtual_hosts_max: usize,
    /// Queues of all virtual hosts together; 0 for no limit.
    pub(crate) queues_max: usize,
    /// Exchanges of all virtual hosts together; 0 for no limit.
    pub(crate) exchanges_max: usize,
    /// How users log in.
    pub(crate) access: AccessSettings,
    /// The name that management and logs give to this node.
    pub(crate) node_name: String,
}
