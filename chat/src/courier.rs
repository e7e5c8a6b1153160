//! Handing over commands of people who do not speak AMQP themselves: the service publishes for them, under
//! its own name, and vouches for who it is.

use std::sync::Arc;

use leveret_client::message::properties::{Address, BrokerUser, Properties};
use leveret_client::message::{Command, ShardCount, Timestamp, envelope};

use crate::amqp::{LinkError, Outgoing, Pending};
use crate::links::Links;

/// Publishes for others.
#[derive(Clone, Debug)]
pub struct Courier {
    links: Arc<Links>,
    shards: ShardCount,
}

impl Courier {
    /// Over this connection, to a chat with so many shards.
    #[must_use]
    pub fn new(links: Arc<Links>, shards: ShardCount) -> Self {
        Self { links, shards }
    }

    /// The connection.
    #[must_use]
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// Publishes a command in the name of its author, which the caller has made sure of. Commands go out
    /// in the order of the calls; the confirm comes later.
    pub async fn publish(&self, command: &Command) -> Result<Pending, LinkError> {
        let link = self.links.current().await?;
        let own = self.links.url().user();
        let mut properties = Properties::of(command, own, Timestamp::now());
        let (user, device) = command.author();
        properties.sender = Some(BrokerUser {
            user: user.clone(),
            device: device.clone(),
        });
        let body = envelope::encode(command);
        let message = Outgoing {
            address: Address::of(command, self.shards),
            also: &[],
            properties,
            body: &body,
        };
        link.publish(message).await
    }
}
