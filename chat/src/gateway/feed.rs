//! What services say to this gateway's users: one queue for all of them, which goes with the connection.
//!
//! The same queue hears what services tell one another. While there is none, because the broker is gone,
//! nothing comes; then everybody connected is told to ask for what it missed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use leveret_client::message::{Delivery, MessageId, Timestamp, UserId, envelope};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::hub::Hub;
use super::listener::told_to;
use crate::amqp::{Incoming, Link, LinkError, Reach};
use crate::directory::{Control, Directory, LEASE_RENEWAL};
use crate::links::Links;
use crate::news::announce;
use crate::topology::CONTROL_EXCHANGE;

/// Deliveries that are not acknowledged yet: each is dealt with in no time.
const PREFETCH: u16 = 500;
/// Deliveries that are acknowledged together, at most; more wait already when they are.
const TOGETHER_MAX: u16 = PREFETCH / 4;
/// How long to wait after a failure.
const RETRY: Duration = Duration::from_millis(500);

/// Fills the hub.
#[derive(Clone, Debug)]
pub(super) struct Feed {
    pub(super) links: Arc<Links>,
    pub(super) directory: Arc<Directory>,
    pub(super) hub: Arc<Hub>,
}

impl Feed {
    /// Until it is told to stop.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                Err(error) = self.listen() => {
                    tracing::warn!(%error, "the gateway hears nothing");
                }
                () = told_to(&mut stop) => return,
            }
            self.hub.set_queue(None);
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = told_to(&mut stop) => return,
            }
        }
    }

    /// Somebody has come: all services are to know where it is to be reached.
    pub(super) async fn came(&self, user: &UserId) {
        let Some(queue) = self.hub.queue() else {
            // Everybody is announced when there is one.
            return;
        };
        let user = user.clone();
        let came = Control::Came { queue, user };
        // This process need not hear it from the broker.
        self.directory.learn(&came, Instant::now());
        let announced = async { announce(&*self.links.current().await?, &came).await };
        if let Err(error) = announced.await {
            tracing::debug!(%error, "the next renewal says it");
        }
    }

    async fn listen(&self) -> Result<std::convert::Infallible, LinkError> {
        let link = self.links.current().await?;
        // A queue of a connection that is going may still be there: a new name each time.
        let queue = format!("gw.{}", MessageId::new(Timestamp::now()));
        link.declare_own(&queue, Some(CONTROL_EXCHANGE)).await?;
        let mut subscription = link.consume(&queue, PREFETCH).await?;
        self.hub.set_queue(Some(queue.clone()));
        let mut renewal = tokio::time::interval(LEASE_RENEWAL);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once.
        renewal.tick().await;
        self.renew(&link, &queue).await?;
        self.hub.resync();
        loop {
            tokio::select! {
                incoming = subscription.next() => {
                    let mut last = incoming?;
                    self.hear(&link, &queue, &last).await?;
                    // What else is there is acknowledged with it.
                    for _ in 1..TOGETHER_MAX {
                        let Some(next) = subscription.next().now_or_never() else { break };
                        last = next?;
                        self.hear(&link, &queue, &last).await?;
                    }
                    subscription.ack(last.tag, Reach::UpTo).await?;
                }
                _ = renewal.tick() => {
                    self.renew(&link, &queue).await?;
                    self.hub.settle(Instant::now());
                }
            }
        }
    }

    async fn renew(&self, link: &Link, queue: &str) -> Result<(), LinkError> {
        let gateway = Control::Gateway {
            queue: queue.to_owned(),
            users: self.hub.users(),
        };
        self.directory.learn(&gateway, Instant::now());
        announce(link, &gateway).await
    }

    async fn hear(&self, link: &Link, queue: &str, incoming: &Incoming) -> Result<(), LinkError> {
        // News for all services come by an exchange, events by the queue's name.
        if incoming.routing_key != queue {
            match serde_json::from_slice(&incoming.body) {
                Ok(Control::Who) => self.renew(link, queue).await?,
                Ok(Control::Devices { user }) => self.hub.doubt(&user),
                Ok(
                    Control::Gateway { .. }
                    | Control::Came { .. }
                    | Control::Went { .. }
                    | Control::Routes { .. }
                    | Control::Ends { .. }
                    | Control::Unknown,
                ) => {}
                Err(error) => tracing::warn!(%error, "news that cannot be read"),
            }
            return Ok(());
        }
        match envelope::decode::<Delivery>(&incoming.body) {
            Ok(delivery) => self.hub.deliver(delivery),
            Err(error) => tracing::warn!(%error, "an event that cannot be read"),
        }
        Ok(())
    }
}
