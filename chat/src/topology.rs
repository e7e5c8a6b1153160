//! What the chat needs on a broker, as plain data: exchanges, queues, bindings, policies. Nothing that a
//! stock RabbitMQ 4.0 does not have. Declared once, by `leveret-chat init` or the first `serve`.
//!
//! ```text
//!   clients ──► chat.send ─ s00…s63 ─► chat.send.s00 …   quorum, single active consumer ──► routers
//!           ──► chat.rcpt ─ r00…r15 ─► chat.rcpt.r00 …   quorum                          ──► receipts
//!           ──► chat.eph  ─ e00…e03 ─► chat.eph.e00  …   classic, 5 seconds              ──► ephemeral
//!           ──► chat.rpc  ─ rpc ─────► chat.rpc.q        quorum, 15 seconds              ──► rpc
//!   a message refused ten times ──► chat.dlx ─► chat.dead        what has no queue ─► chat.unrouted.q
//!   services ──► the default exchange ─► in.USER.DEVICE, and each gateway's own queue
//!   services ──► chat.ctl ─► every service's own queue
//! ```
//!
//! What a queue *is* (type, single active consumer, where it dead-letters, what it does when full) are
//! its arguments, which a broker refuses to change: a declaration that it refuses is [drift], and
//! reported. *How much* it takes is set by policies, which an operator changes while everything runs.
//!
//! [drift]: crate::amqp::LinkError::Drift

use std::collections::BTreeMap;

use leveret_client::message::properties::{
    EPHEMERAL_EXCHANGE, RECEIPT_EXCHANGE, REQUEST_EXCHANGE, REQUEST_KEY, SEND_EXCHANGE,
};
use leveret_client::message::{EphemeralShard, ReceiptShard, SendShard, ShardCount};
use serde::Serialize;

/// Where services tell one another what has changed.
pub const CONTROL_EXCHANGE: &str = "chat.ctl";
/// Where dead letters go.
pub const DEAD_LETTER_EXCHANGE: &str = "chat.dlx";
/// The queue of dead letters.
pub const DEAD_QUEUE: &str = "chat.dead";
/// A second queue of dead letters, from which their senders are told.
pub const DEAD_WATCH_QUEUE: &str = "chat.dead.watch";
/// Where goes what has no queue.
pub const UNROUTED_EXCHANGE: &str = "chat.unrouted";
/// The queue of what had none.
pub const UNROUTED_QUEUE: &str = "chat.unrouted.q";
/// The queue of requests.
pub const REQUEST_QUEUE: &str = "chat.rpc.q";
/// Tries after which a message is a dead letter.
pub const DELIVERY_LIMIT: u32 = 10;

/// An argument's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// True or false.
    Flag(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Arguments by name.
pub type Arguments = BTreeMap<&'static str, Value>;

/// The type of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeKind {
    /// By routing key.
    Direct,
    /// To all.
    Fanout,
    /// By pattern.
    Topic,
}

/// An exchange; durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: ExchangeKind,
    /// Its arguments.
    pub arguments: Arguments,
}

/// A queue; durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: Arguments,
}

/// A binding of a queue to an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The exchange.
    pub exchange: &'static str,
    /// The queue.
    pub queue: String,
    /// The routing key or pattern.
    pub key: String,
}

/// A policy, as the management API takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// Its name.
    #[serde(skip)]
    pub name: &'static str,
    /// The queues it is for.
    pub pattern: &'static str,
    /// What it says.
    pub definition: Arguments,
    /// Of several that fit, the highest counts.
    pub priority: u32,
    /// Always `queues`.
    #[serde(rename = "apply-to")]
    pub apply_to: &'static str,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// To be declared first.
    pub exchanges: Vec<Exchange>,
    /// To be declared next.
    pub queues: Vec<Queue>,
    /// To be declared last.
    pub bindings: Vec<Binding>,
    /// To be set over the management API.
    pub policies: Vec<Policy>,
}

impl Topology {
    /// For so many send shards.
    #[must_use]
    pub fn new(shards: ShardCount) -> Self {
        let mut topology = Self {
            exchanges: exchanges(),
            queues: Vec::new(),
            bindings: Vec::new(),
            policies: policies(),
        };
        for shard in shards.shards() {
            let mut queue = quorum(&send_queue(shard));
            queue
                .arguments
                .insert("x-single-active-consumer", Value::Flag(true));
            topology.add(queue, SEND_EXCHANGE, &shard.routing_key());
        }
        for shard in ReceiptShard::all() {
            let queue = quorum(&receipt_queue(shard));
            topology.add(queue, RECEIPT_EXCHANGE, &shard.routing_key());
        }
        for shard in EphemeralShard::all() {
            let queue = Queue {
                name: ephemeral_queue(shard),
                arguments: [("x-queue-type", "classic".into())].into(),
            };
            topology.add(queue, EPHEMERAL_EXCHANGE, &shard.routing_key());
        }
        let refusing = |name: &str| Queue {
            name: name.to_owned(),
            arguments: [
                ("x-queue-type", "quorum".into()),
                ("x-overflow", "reject-publish".into()),
            ]
            .into(),
        };
        topology.add(refusing(REQUEST_QUEUE), REQUEST_EXCHANGE, REQUEST_KEY);
        topology.add(refusing(DEAD_QUEUE), DEAD_LETTER_EXCHANGE, "#");
        topology.add(refusing(DEAD_WATCH_QUEUE), DEAD_LETTER_EXCHANGE, "#");
        topology.add(refusing(UNROUTED_QUEUE), UNROUTED_EXCHANGE, "");
        topology
    }

    fn add(&mut self, queue: Queue, exchange: &'static str, key: &str) {
        self.bindings.push(Binding {
            exchange,
            queue: queue.name.clone(),
            key: key.to_owned(),
        });
        self.queues.push(queue);
    }
}

/// The queue of a send shard.
#[must_use]
pub fn send_queue(shard: SendShard) -> String {
    format!("{SEND_EXCHANGE}.{}", shard.routing_key())
}

/// The queue of a shard of receipts.
#[must_use]
pub fn receipt_queue(shard: ReceiptShard) -> String {
    format!("{RECEIPT_EXCHANGE}.{}", shard.routing_key())
}

/// The queue of a shard of what nobody misses.
#[must_use]
pub fn ephemeral_queue(shard: EphemeralShard) -> String {
    format!("{EPHEMERAL_EXCHANGE}.{}", shard.routing_key())
}

/// A device's own queue, made when the device is.
#[must_use]
pub fn inbox(name: String) -> Queue {
    Queue {
        name,
        arguments: [
            ("x-queue-type", "classic".into()),
            ("x-single-active-consumer", Value::Flag(true)),
            ("x-overflow", "reject-publish".into()),
        ]
        .into(),
    }
}

fn quorum(name: &str) -> Queue {
    Queue {
        name: name.to_owned(),
        arguments: [
            ("x-queue-type", "quorum".into()),
            ("x-dead-letter-exchange", DEAD_LETTER_EXCHANGE.into()),
            ("x-dead-letter-routing-key", name.into()),
            ("x-dead-letter-strategy", "at-least-once".into()),
            ("x-overflow", "reject-publish".into()),
        ]
        .into(),
    }
}

fn exchanges() -> Vec<Exchange> {
    let plain = |name, kind| Exchange {
        name,
        kind,
        arguments: Arguments::new(),
    };
    let with_alternate = |name| Exchange {
        arguments: [("alternate-exchange", UNROUTED_EXCHANGE.into())].into(),
        ..plain(name, ExchangeKind::Direct)
    };
    vec![
        plain(UNROUTED_EXCHANGE, ExchangeKind::Fanout),
        plain(DEAD_LETTER_EXCHANGE, ExchangeKind::Topic),
        plain(CONTROL_EXCHANGE, ExchangeKind::Fanout),
        with_alternate(SEND_EXCHANGE),
        with_alternate(RECEIPT_EXCHANGE),
        plain(EPHEMERAL_EXCHANGE, ExchangeKind::Direct),
        plain(REQUEST_EXCHANGE, ExchangeKind::Direct),
    ]
}

fn policies() -> Vec<Policy> {
    const DAY: i64 = 86_400_000;
    let policy = |name, pattern, definition: &[(&'static str, i64)]| Policy {
        name,
        pattern,
        definition: definition
            .iter()
            .map(|(name, number)| (*name, Value::Number(*number)))
            .collect(),
        priority: 0,
        apply_to: "queues",
    };
    vec![
        policy(
            "chat-send",
            r"^chat\.(send|rcpt)\.",
            &[
                ("max-length", 200_000),
                ("delivery-limit", DELIVERY_LIMIT as i64),
            ],
        ),
        policy(
            "chat-rpc",
            r"^chat\.rpc\.",
            &[("message-ttl", 15_000), ("max-length", 50_000)],
        ),
        policy(
            "chat-eph",
            r"^chat\.eph\.",
            &[("message-ttl", 5_000), ("max-length", 10_000)],
        ),
        policy(
            "chat-inbox",
            r"^in\.",
            &[("expires", 30 * DAY), ("max-length", 10_000)],
        ),
        policy(
            "chat-dead",
            r"^chat\.(dead|dead\.watch|unrouted\.q)$",
            &[("message-ttl", 30 * DAY), ("max-length", 200_000)],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_queue_is_bound_and_named_once() {
        let topology = Topology::new(ShardCount::default());
        assert_eq!(topology.queues.len(), 64 + 16 + 4 + 1 + 3);
        let names: BTreeSet<_> = topology.queues.iter().map(|queue| &queue.name).collect();
        assert_eq!(names.len(), topology.queues.len());
        let bound: BTreeSet<_> = topology
            .bindings
            .iter()
            .map(|binding| &binding.queue)
            .collect();
        assert_eq!(bound, names);
        for binding in &topology.bindings {
            let is_there = |exchange: &Exchange| exchange.name == binding.exchange;
            assert!(topology.exchanges.iter().any(is_there));
        }
    }

    #[test]
    fn a_policy_is_written_as_the_management_api_takes_it() {
        let policy = &Topology::new(ShardCount::default()).policies[0];
        let json = serde_json::to_value(policy).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "pattern": r"^chat\.(send|rcpt)\.",
                "definition": {"max-length": 200_000, "delivery-limit": 10},
                "priority": 0,
                "apply-to": "queues",
            })
        );
    }
}
