//! Definitions: what disk, live declarations and exports share.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::access::{Permission, TopicPermission, User, VirtualHostLimits};
use super::arguments::QueueType;
use super::exchange_kind::ExchangeKind;
use super::identity::QueueId;
use super::name::{ExchangeName, QueueName, UserName, VirtualHostName};
use super::policy::{PolicyDefinition, PolicyScope};
use crate::wire::{TableReader, TableWriter, Value};

/// Arguments of a declaration: the field table, bit for bit as the client sent it.
///
/// Copies share the bytes. Two are equal when their bytes are. Bindings are compared [sorted](Self::sorted) (spec 3.4.1),
/// and declarations argument by argument (spec 4.1.5).
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Arguments(#[serde(deserialize_with = "shared_if_empty")] Arc<[u8]>);

/// Most definitions have no arguments: these share one allocation.
fn shared_if_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[u8]>, D::Error> {
    Ok(shared(&Vec::deserialize(deserializer)?))
}

fn shared(content: &[u8]) -> Arc<[u8]> {
    if content.is_empty() {
        return Arc::default();
    }
    content.into()
}

impl Arguments {
    /// Wraps the table's content (without its length), which the wire layer has validated.
    #[must_use]
    pub fn from_wire(content: &[u8]) -> Self {
        Self(shared(content))
    }

    /// The table's content, without its length.
    #[must_use]
    pub fn as_wire(&self) -> &[u8] {
        &self.0
    }

    /// The fields, to be read one by one.
    #[must_use]
    pub fn fields(&self) -> TableReader<'_> {
        TableReader::new(&self.0)
    }

    /// The same arguments in the order of their names, so that equal ones are equal bytes.
    #[must_use]
    pub fn sorted(&self) -> Self {
        let mut entries: Vec<_> = TableReader::new(&self.0).iter().collect();
        entries.sort_by_key(|entry| entry.key);
        let mut table = TableWriter::new();
        for entry in entries {
            // Decoded and written again, because one type has two octets. What was read from a table
            // fits a table.
            if table.entry(entry.key, entry.value).is_err() {
                table.copy(&entry);
            }
        }
        Self(table.finish().into())
    }

    /// The same arguments and one more.
    #[must_use]
    pub fn with_text(&self, key: &str, text: &str) -> Self {
        let mut table = TableWriter::new();
        for entry in self.fields().iter() {
            table.copy(&entry);
        }
        // A name and a value of ours are never too long.
        let _ = table.entry(key, Value::LongString(text.as_bytes()));
        Self(table.finish().into())
    }

    /// Whether there are no arguments.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Arguments({} bytes)", self.0.len())
    }
}

/// An exchange as declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeDefinition {
    /// Its name.
    pub name: ExchangeName,
    /// How it routes.
    pub kind: ExchangeKind,
    /// Whether it survives a restart.
    pub durable: bool,
    /// Whether it goes when its last binding goes.
    pub auto_delete: bool,
    /// Whether clients may not publish to it.
    pub internal: bool,
    /// Where messages go that it cannot route.
    pub alternate: Option<ExchangeName>,
    /// All arguments, as declared.
    pub arguments: Arguments,
}

/// A queue as declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueDefinition {
    /// Its name.
    pub name: QueueName,
    /// Whether it survives a restart. Exclusive queues never do.
    pub durable: bool,
    /// Whether it goes when its last consumer goes.
    pub auto_delete: bool,
    /// Whether it belongs to the connection that declared it.
    pub exclusive: bool,
    /// All arguments, as declared.
    pub arguments: Arguments,
}

/// What a binding leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DestinationKind {
    /// A queue.
    Queue,
    /// Another exchange.
    Exchange,
}

/// A binding. Two bindings with the same fields are the same binding (spec 3.4.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BindingDefinition {
    /// The exchange that messages come from.
    pub source: ExchangeName,
    /// Whether `destination` names a queue or an exchange.
    pub destination_kind: DestinationKind,
    /// The queue's or exchange's name.
    pub destination: String,
    /// The binding key.
    pub routing_key: String,
    /// The binding's arguments.
    pub arguments: Arguments,
}

/// What an operator says of a virtual host (spec 7.8.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VirtualHostMetadata {
    /// What it is for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Words to find it by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The type of queues that are declared without one; `None` for the broker's own default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_queue_type: Option<QueueType>,
    /// Whether it may not be deleted; `None` if nobody ever said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protected_from_deletion: Option<bool>,
}

impl VirtualHostMetadata {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Anything that is defined once and survives restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entity", rename_all = "snake_case")]
pub enum Entity {
    /// A virtual host.
    VirtualHost {
        /// Its name.
        name: VirtualHostName,
        /// What is said of it.
        #[serde(default, skip_serializing_if = "VirtualHostMetadata::is_empty")]
        metadata: VirtualHostMetadata,
        /// What it is held to.
        #[serde(default, skip_serializing_if = "VirtualHostLimits::is_empty")]
        limits: VirtualHostLimits,
    },
    /// A durable exchange.
    Exchange {
        /// Where it lives.
        virtual_host: VirtualHostName,
        /// What it is.
        definition: ExchangeDefinition,
    },
    /// A durable queue.
    Queue {
        /// Where it lives.
        virtual_host: VirtualHostName,
        /// Its number in the log.
        id: u32,
        /// What it is.
        definition: QueueDefinition,
    },
    /// The hidden queue of a durable delayed exchange (spec 3.7.3).
    Delay {
        /// Where it lives.
        virtual_host: VirtualHostName,
        /// Its number in the log, which is one of a queue.
        id: u32,
        /// The exchange.
        exchange: ExchangeName,
    },
    /// A binding between durable ends.
    Binding {
        /// Where it lives.
        virtual_host: VirtualHostName,
        /// What it is.
        definition: BindingDefinition,
    },
    /// A user.
    User {
        /// Who.
        user: User,
    },
    /// What a user may do in a virtual host.
    Permission {
        /// Where.
        virtual_host: VirtualHostName,
        /// Who.
        user: UserName,
        /// What.
        permission: Permission,
    },
    /// Which keys a user may use with a topic exchange.
    TopicPermission {
        /// Where.
        virtual_host: VirtualHostName,
        /// Who.
        user: UserName,
        /// With which exchange.
        exchange: ExchangeName,
        /// Which keys.
        permission: TopicPermission,
    },
    /// A policy.
    Policy {
        /// Where it holds.
        virtual_host: VirtualHostName,
        /// Whose it is.
        scope: PolicyScope,
        /// What it says.
        policy: PolicyDefinition,
    },
    /// A runtime parameter of a virtual host.
    Parameter {
        /// Where it holds.
        virtual_host: VirtualHostName,
        /// What it is for.
        component: String,
        /// Its name.
        name: String,
        /// Its value.
        value: serde_json::Value,
    },
    /// A runtime parameter of the whole broker.
    GlobalParameter {
        /// Its name.
        name: String,
        /// Its value.
        value: serde_json::Value,
    },
}

/// What names an entity: the same key means the same entity, whatever its other fields.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "entity", rename_all = "snake_case")]
pub enum EntityKey {
    /// A virtual host.
    VirtualHost {
        /// Its name.
        name: VirtualHostName,
    },
    /// An exchange.
    Exchange {
        /// Where it lives.
        virtual_host: VirtualHostName,
        /// Its name.
        name: ExchangeName,
    },
    /// A queue, by number: a queue of the same name that is declared later is another queue.
    Queue {
        /// Its number.
        id: u32,
    },
    /// A binding; all its fields are its identity.
    Binding {
        /// Where it lives.
        virtual_host: VirtualHostName,
        /// What it is.
        definition: BindingDefinition,
    },
    /// A user.
    User {
        /// The name.
        name: UserName,
    },
    /// A user's right in a virtual host.
    Permission {
        /// Where.
        virtual_host: VirtualHostName,
        /// Whose.
        user: UserName,
    },
    /// A user's right on a topic exchange.
    TopicPermission {
        /// Where.
        virtual_host: VirtualHostName,
        /// Whose.
        user: UserName,
        /// With which exchange.
        exchange: ExchangeName,
    },
    /// A policy.
    Policy {
        /// Where it holds.
        virtual_host: VirtualHostName,
        /// Whose it is.
        scope: PolicyScope,
        /// Its name.
        name: String,
    },
    /// A runtime parameter of a virtual host.
    Parameter {
        /// Where it holds.
        virtual_host: VirtualHostName,
        /// What it is for.
        component: String,
        /// Its name.
        name: String,
    },
    /// A runtime parameter of the whole broker.
    GlobalParameter {
        /// Its name.
        name: String,
    },
}

impl Entity {
    /// The number in the log of the messages that belong to this entity, if there are any.
    #[must_use]
    pub const fn queue(&self) -> Option<QueueId> {
        match self {
            Self::Queue { id, .. } | Self::Delay { id, .. } => Some(QueueId(*id)),
            Self::VirtualHost { .. }
            | Self::Exchange { .. }
            | Self::Binding { .. }
            | Self::User { .. }
            | Self::Permission { .. }
            | Self::TopicPermission { .. }
            | Self::Policy { .. }
            | Self::Parameter { .. }
            | Self::GlobalParameter { .. } => None,
        }
    }

    /// The key that names this entity.
    #[must_use]
    pub fn key(&self) -> EntityKey {
        match self {
            Self::VirtualHost { name, .. } => EntityKey::VirtualHost { name: name.clone() },
            Self::Exchange {
                virtual_host,
                definition,
            } => EntityKey::Exchange {
                virtual_host: virtual_host.clone(),
                name: definition.name.clone(),
            },
            Self::Queue { id, .. } | Self::Delay { id, .. } => EntityKey::Queue { id: *id },
            Self::Binding {
                virtual_host,
                definition,
            } => EntityKey::Binding {
                virtual_host: virtual_host.clone(),
                definition: definition.clone(),
            },
            Self::User { user } => EntityKey::User {
                name: user.name.clone(),
            },
            Self::Permission {
                virtual_host, user, ..
            } => EntityKey::Permission {
                virtual_host: virtual_host.clone(),
                user: user.clone(),
            },
            Self::TopicPermission {
                virtual_host,
                user,
                exchange,
                ..
            } => EntityKey::TopicPermission {
                virtual_host: virtual_host.clone(),
                user: user.clone(),
                exchange: exchange.clone(),
            },
            Self::Policy {
                virtual_host,
                scope,
                policy,
            } => EntityKey::Policy {
                virtual_host: virtual_host.clone(),
                scope: *scope,
                name: policy.name.clone(),
            },
            Self::Parameter {
                virtual_host,
                component,
                name,
                ..
            } => EntityKey::Parameter {
                virtual_host: virtual_host.clone(),
                component: component.clone(),
                name: name.clone(),
            },
            Self::GlobalParameter { name, .. } => EntityKey::GlobalParameter { name: name.clone() },
        }
    }
}

/// A change of the definitions, as it is logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityChange {
    /// The entity is as given from now on.
    Put(Entity),
    /// The entity is gone. A queue takes its messages with it.
    Remove(EntityKey),
}

impl EntityChange {
    /// The queue that this change creates or removes, if it is about a queue.
    #[must_use]
    pub const fn queue(&self) -> Option<QueueId> {
        match self {
            Self::Put(entity) => entity.queue(),
            Self::Remove(EntityKey::Queue { id }) => Some(QueueId(*id)),
            Self::Remove(_) => None,
        }
    }
}
