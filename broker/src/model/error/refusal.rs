//! Refusals of what a user has no right to, or of which there is enough.

use super::{AmqpError, ReplyCode, exchange_in};
use crate::model::access::{Resource, Verb};
use crate::model::name::{ExchangeName, QueueName, UserName, VirtualHostName};

/// Refusals of what a user has no right to.
impl AmqpError {
    /// 403: the user may not do that (spec 8.1.1).
    #[must_use]
    pub fn access_refused(
        verb: Verb,
        resource: Resource<'_>,
        host: &VirtualHostName,
        user: &UserName,
    ) -> Self {
        let (verb, kind, name) = (verb.as_str(), resource.kind(), resource.name());
        Self::new(
            ReplyCode::AccessRefused,
            format!("{verb} access to {kind} '{name}' in vhost '{host}' refused for user '{user}'"),
        )
    }

    /// 403: the user may not use that key with a topic exchange (spec 8.2.1).
    #[must_use]
    pub fn topic_refused(
        verb: Verb,
        key: &str,
        exchange: &ExchangeName,
        host: &VirtualHostName,
        user: &UserName,
    ) -> Self {
        let (verb, exchange) = (verb.as_str(), exchange_in(exchange, host));
        Self::new(
            ReplyCode::AccessRefused,
            format!("{verb} access to topic '{key}' in {exchange} refused for user '{user}'"),
        )
    }

    /// 530: there is no such virtual host (spec 1.5.2).
    #[must_use]
    pub fn no_virtual_host(host: &str) -> Self {
        Self::new(ReplyCode::NotAllowed, format!("vhost {host} not found"))
    }

    /// 530: the user has no rights in the virtual host (spec 1.5.2).
    #[must_use]
    pub fn virtual_host_refused(host: &VirtualHostName, user: &UserName) -> Self {
        Self::new(
            ReplyCode::NotAllowed,
            format!("access to vhost '{host}' refused for user '{user}'"),
        )
    }

    /// 530: the virtual host has all the connections that it may have (spec 1.5.2).
    #[must_use]
    pub fn virtual_host_full(host: &VirtualHostName, user: &UserName, limit: u64) -> Self {
        Self::new(
            ReplyCode::NotAllowed,
            format!(
                "access to vhost '{host}' refused for user '{user}': connection limit ({limit}) is \
                 reached"
            ),
        )
    }

    /// 530: the user has all the connections that it may have (spec 1.5.2).
    #[must_use]
    pub fn user_connections_full(user: &UserName, limit: u64) -> Self {
        Self::new(
            ReplyCode::NotAllowed,
            format!(
                "connection refused for user '{user}': user connection limit ({limit}) is reached"
            ),
        )
    }

    /// 530: the user has all the channels that it may have (spec 2.2).
    #[must_use]
    pub fn user_channels_full(user: &UserName, limit: u64) -> Self {
        Self::new(
            ReplyCode::NotAllowed,
            format!(
                "number of channels opened for user '{user}' has reached the maximum allowed user \
                 limit of {limit}"
            ),
        )
    }

    /// 530: the node has all the channels that it may have (spec 2.2).
    #[must_use]
    pub fn node_channels_full(node: &str, limit: u64) -> Self {
        Self::new(
            ReplyCode::NotAllowed,
            format!(
                "number of channels opened on node '{node}' has reached the maximum allowed limit \
                 of {limit}"
            ),
        )
    }

    /// 530: the node has all the connections that it may have (spec 1.5.2).
    #[must_use]
    pub fn node_full(limit: usize) -> Self {
        Self::new(
            ReplyCode::NotAllowed,
            format!("connection refused: node connection limit ({limit}) is reached"),
        )
    }

    /// 406: the virtual host has all the queues that it may have (spec 4.1.10).
    #[must_use]
    pub fn virtual_host_has_all_queues(
        name: &QueueName,
        host: &VirtualHostName,
        limit: u64,
    ) -> Self {
        Self::new(
            ReplyCode::PreconditionFailed,
            format!(
                "cannot declare queue '{name}': queue limit in vhost '{host}' ({limit}) is reached"
            ),
        )
    }

    /// 406: the broker has all the queues that it may have (spec 11.5).
    #[must_use]
    pub fn too_many_queues(name: &QueueName, limit: usize) -> Self {
        Self::new(
            ReplyCode::PreconditionFailed,
            format!("cannot declare queue '{name}': queue limit in cluster ({limit}) is reached"),
        )
    }

    /// 406: the broker has all the exchanges that it may have (spec 11.5).
    #[must_use]
    pub fn too_many_exchanges(name: &ExchangeName, host: &VirtualHostName, limit: usize) -> Self {
        let exchange = exchange_in(name, host);
        Self::new(
            ReplyCode::PreconditionFailed,
            format!("cannot declare {exchange}: exchange limit of {limit} is reached"),
        )
    }
}
