//! What goes to a broker and comes from it, without the library's types.

use leveret_client::message::properties::{Address, BrokerUser, Properties};

/// What became of a published message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// Every queue it was for has it.
    Confirmed,
    /// A queue it was for did not take it.
    Refused,
    /// There was no queue for it.
    Unroutable,
}

/// A message to be published.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    /// Where.
    pub address: Address,
    /// Also to these queues, by the default exchange.
    pub also: &'a [String],
    /// Its properties.
    pub properties: Properties,
    /// Its body.
    pub body: &'a [u8],
}

/// How full a queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Messages that nobody has in hand.
    pub ready: u32,
    /// Consumers.
    pub consumers: u32,
}

/// Names a delivery to its subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeliveryTag(pub(super) u64);

/// Whether one delivery is meant, or all up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This one.
    One,
    /// This one and all before it.
    UpTo,
}

/// A delivery.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// For settling it.
    pub tag: DeliveryTag,
    /// Whether it may have come before.
    pub redelivered: bool,
    /// How often it came before and was not settled, as far as the broker counts.
    pub delivery_count: u32,
    /// The user of the broker that published it, as the broker attests.
    pub user_id: Option<String>,
    /// For whom a service published it. To be believed from services only.
    pub sender: Option<BrokerUser>,
    /// Whether it came by dead-lettering.
    pub was_dead_lettered: bool,
    /// Where its answer goes.
    pub reply_to: Option<String>,
    /// What its answer is to be called.
    pub correlation_id: Option<String>,
    /// The routing key it was delivered with.
    pub routing_key: String,
    /// Its body.
    pub body: Vec<u8>,
}
