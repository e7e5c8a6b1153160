//! The types of exchanges.

use serde::{Deserialize, Serialize};

/// How an exchange chooses among its bindings (spec 3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExchangeKind {
    /// The binding key equals the routing key.
    Direct,
    /// Every binding.
    Fanout,
    /// Words with `*` and `#`.
    Topic,
    /// Values of the message's headers.
    Headers,
    /// One binding, by a hash, in proportion to weights that are the binding keys (spec 3.7.1).
    #[serde(rename = "x-consistent-hash")]
    ConsistentHash,
    /// One binding, by a hash (spec 3.7.2).
    #[serde(rename = "x-modulus-hash")]
    ModulusHash,
    /// As the kind in `x-delayed-type` does, but later (spec 3.7.3).
    #[serde(rename = "x-delayed-message")]
    Delayed,
}

impl ExchangeKind {
    /// The kind that a client's `type` names.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "direct" => Some(Self::Direct),
            "fanout" => Some(Self::Fanout),
            "topic" => Some(Self::Topic),
            "headers" => Some(Self::Headers),
            "x-consistent-hash" => Some(Self::ConsistentHash),
            "x-modulus-hash" => Some(Self::ModulusHash),
            "x-delayed-message" => Some(Self::Delayed),
            _ => None,
        }
    }

    /// The name that clients use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
            Self::ConsistentHash => "x-consistent-hash",
            Self::ModulusHash => "x-modulus-hash",
            Self::Delayed => "x-delayed-message",
        }
    }
}
