//! What each list shows.

use super::api::path;

/// A list of the HTTP API.
#[derive(Debug)]
pub(crate) struct List {
    /// What is listed, for people.
    pub(crate) title: &'static str,
    pub(crate) path: String,
    /// The columns that are shown if nobody asks for others.
    pub(crate) columns: &'static [&'static str],
}

/// Lists of one virtual host, or of the whole broker.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Of {
    Queues,
    Exchanges,
    Bindings,
    Connections,
    Channels,
    Consumers,
    VirtualHosts,
    Users,
    Permissions,
    TopicPermissions,
    Policies,
    OperatorPolicies,
    Parameters,
    GlobalParameters,
    VirtualHostLimits,
    UserLimits,
}

impl Of {
    /// The list in `virtual_host`, where it has one.
    pub(crate) fn list(self, virtual_host: &str) -> List {
        let (title, noun, is_in_host, columns) = self.facts();
        let path = match self {
            // Permissions of a host are part of the host.
            Self::Permissions | Self::TopicPermissions => path(&["vhosts", virtual_host, noun]),
            _ if is_in_host => path(&[noun, virtual_host]),
            _ => noun.to_owned(),
        };
        List {
            title,
            path,
            columns,
        }
    }

    fn facts(self) -> (&'static str, &'static str, bool, &'static [&'static str]) {
        match self {
            Self::Queues => ("queues", "queues", true, &["name", "messages"]),
            Self::Exchanges => ("exchanges", "exchanges", true, &["name", "type"]),
            Self::Bindings => (
                "bindings",
                "bindings",
                true,
                &[
                    "source_name",
                    "destination_name",
                    "destination_kind",
                    "routing_key",
                    "arguments",
                ],
            ),
            Self::Connections => (
                "connections",
                "connections",
                false,
                &["user", "peer_host", "peer_port", "state", "name"],
            ),
            Self::Channels => (
                "channels",
                "channels",
                false,
                &["name", "user", "consumer_count", "messages_unacknowledged"],
            ),
            Self::Consumers => (
                "consumers",
                "consumers",
                true,
                &[
                    "queue_name",
                    "channel_pid",
                    "consumer_tag",
                    "ack_required",
                    "prefetch_count",
                    "active",
                    "arguments",
                ],
            ),
            Self::VirtualHosts => ("virtual hosts", "vhosts", false, &["name"]),
            Self::Users => ("users", "users", false, &["name", "tags"]),
            Self::Permissions => (
                "permissions",
                "permissions",
                true,
                &["user", "configure", "write", "read"],
            ),
            Self::TopicPermissions => (
                "topic permissions",
                "topic-permissions",
                true,
                &["user", "exchange", "write", "read"],
            ),
            Self::Policies => ("policies", "policies", true, POLICY),
            Self::OperatorPolicies => ("operator policies", "operator-policies", true, POLICY),
            Self::Parameters => (
                "parameters",
                "parameters",
                false,
                &["vhost", "component", "name", "value"],
            ),
            Self::GlobalParameters => (
                "global parameters",
                "global-parameters",
                false,
                &["name", "value"],
            ),
            Self::VirtualHostLimits => (
                "limits of virtual hosts",
                "vhost-limits",
                false,
                &["vhost", "value"],
            ),
            Self::UserLimits => ("limits of users", "user-limits", false, &["user", "value"]),
        }
    }
}

const POLICY: &[&str] = &[
    "vhost",
    "name",
    "pattern",
    "apply-to",
    "definition",
    "priority",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_a_host_name_it() {
        let check = |of: Of, expected: &str| assert_eq!(of.list("/").path, expected);
        check(Of::Queues, "queues/%2F");
        check(Of::Permissions, "vhosts/%2F/permissions");
        check(Of::Users, "users");
        check(Of::OperatorPolicies, "operator-policies/%2F");
    }
}
