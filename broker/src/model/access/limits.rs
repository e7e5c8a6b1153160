//! What users and virtual hosts are held to (spec 7.8.2).

use serde::{Deserialize, Serialize};

/// What one user is held to, over all virtual hosts. A negative number is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct UserLimits {
    /// Connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<i64>,
    /// Channels, of all connections together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_channels: Option<i64>,
}

impl UserLimits {
    /// How many connections there may be; `None` for any number.
    #[must_use]
    pub fn connections(self) -> Option<u64> {
        bound(self.max_connections)
    }

    /// How many channels there may be; `None` for any number.
    #[must_use]
    pub fn channels(self) -> Option<u64> {
        bound(self.max_channels)
    }

    /// The limit of that name, to be read or set; `None` if there is no such limit.
    pub fn named(&mut self, name: &str) -> Option<&mut Option<i64>> {
        match name {
            "max-connections" => Some(&mut self.max_connections),
            "max-channels" => Some(&mut self.max_channels),
            _ => None,
        }
    }

    /// Whether nothing was set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What one virtual host is held to. A negative number is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct VirtualHostLimits {
    /// Connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<i64>,
    /// Queues.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_queues: Option<i64>,
}

impl VirtualHostLimits {
    /// How many connections there may be; `None` for any number.
    #[must_use]
    pub fn connections(self) -> Option<u64> {
        bound(self.max_connections)
    }

    /// How many queues there may be; `None` for any number.
    #[must_use]
    pub fn queues(self) -> Option<u64> {
        bound(self.max_queues)
    }

    /// The limit of that name, to be read or set; `None` if there is no such limit.
    pub fn named(&mut self, name: &str) -> Option<&mut Option<i64>> {
        match name {
            "max-connections" => Some(&mut self.max_connections),
            "max-queues" => Some(&mut self.max_queues),
            _ => None,
        }
    }

    /// Whether nothing was set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn bound(limit: Option<i64>) -> Option<u64> {
    limit.and_then(|limit| u64::try_from(limit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_limit_is_none_and_zero_lets_nobody_in() {
        let limits = |max| UserLimits {
            max_connections: max,
            max_channels: None,
        };
        assert_eq!(limits(None).connections(), None);
        assert_eq!(limits(Some(-1)).connections(), None);
        assert_eq!(limits(Some(0)).connections(), Some(0));
        assert_eq!(limits(Some(7)).connections(), Some(7));
    }

    #[test]
    fn limits_are_spelled_as_rabbitmq_has_them() {
        let mut limits = VirtualHostLimits::default();
        *limits.named("max-queues").expect("known") = Some(-1);
        assert_eq!(
            serde_json::to_string(&limits).expect("json"),
            r#"{"max-queues":-1}"#
        );
        assert!(limits.named("max-channels").is_none());
    }
}
