//! Throws routers out that stand still: the broker ends their connections, and others go on with their shards.

use leveret_client::message::MessageId;
use tokio::sync::{mpsc, watch};

use crate::management::{Management, ManagementError};

/// Routers that wait to be thrown out; those beyond lose their shards by their heartbeats.
const WAITING_MAX: usize = 64;
/// What the broker says to whoever wakes up.
const REASON: &str = "this router has said nothing for too long";

/// Under which a service's connection is shown by the broker, and found if it is to be ended.
pub(crate) fn connection_name(instance: MessageId) -> String {
    format!("leveret-chat {instance}")
}

/// Takes those that are to be thrown out.
#[derive(Clone, Debug)]
pub(crate) struct Evictions(mpsc::Sender<MessageId>);

/// Those that are to be thrown out.
#[derive(Debug)]
pub(crate) struct Evicted(mpsc::Receiver<MessageId>);

/// Where they are brought, and where they come out.
pub(crate) fn evictions() -> (Evictions, Evicted) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Evictions(sender), Evicted(receiver))
}

impl Evictions {
    /// This one is to be thrown out, soon.
    pub(crate) fn add(&self, instance: MessageId) {
        if self.0.try_send(instance).is_err() {
            tracing::warn!(%instance, "a router stands still, and is left to its heartbeats");
        }
    }
}

impl Evicted {
    /// Throws them out until the service stops.
    pub(crate) async fn run(mut self, management: Management, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            () = self.throw_out(&management) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    async fn throw_out(&mut self, management: &Management) {
        let mut told = false;
        while let Some(instance) = self.0.recv().await {
            let name = connection_name(instance);
            match management.close_connections(&name, REASON).await {
                // It was killed, and the broker knows that already.
                Ok(0) => tracing::debug!(%instance, "a router is gone"),
                Ok(_) => tracing::warn!(%instance, "a router stood still, and was thrown out"),
                Err(error @ ManagementError::Refused { .. }) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(%error, "routers that stand still keep their shards until they miss their heartbeats");
                    }
                }
                Err(error) => {
                    tracing::warn!(%instance, %error, "a router stands still, and is left to its heartbeats");
                }
            }
        }
    }
}
