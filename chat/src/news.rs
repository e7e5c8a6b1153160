//! What services tell one another, over an exchange from which each hears everybody.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leveret_client::message::properties::{Address, DeliveryMode, Properties};
use leveret_client::message::{MessageId, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::amqp::{Link, LinkError, Outgoing, Pending, Reach};
use crate::directory::{Control, Directory};
use crate::evictions::Evictions;
use crate::links::Links;
use crate::shares::Shares;
use crate::stillness::{SAY_EVERY, Stillness};
use crate::topology::CONTROL_EXCHANGE;

/// News on their way to a service, at most.
const NEWS_MAX: u16 = 100;
/// How long to wait after a failure.
const RETRY: Duration = Duration::from_secs(1);
/// How long a service that ends tries to say so.
const LAST_WORD_PATIENCE: Duration = Duration::from_secs(1);

/// Tells all services something.
pub(crate) async fn announce(link: &Link, control: &Control) -> Result<(), LinkError> {
    publish(link, control).await?.wait().await?;
    Ok(())
}

async fn publish(link: &Link, control: &Control) -> Result<Pending, LinkError> {
    let body = serde_json::to_vec(control).unwrap_or_default();
    let now = Timestamp::now();
    let message = Outgoing {
        address: Address {
            exchange: CONTROL_EXCHANGE.to_owned(),
            routing_key: String::new(),
        },
        also: &[],
        properties: Properties::new("chat.control.v1", DeliveryMode::Transient, now),
        body: &body,
    };
    link.publish(message).await
}

/// Tells other services that this one routes, for as long as it does.
pub(crate) async fn say(links: Arc<Links>, instance: MessageId, mut stop: watch::Receiver<bool>) {
    let routes = Control::Routes { instance };
    let mut ticks = interval(SAY_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // One word does not wait for the confirm of another: under load that would be a silence. A confirm is given up after
    // ten seconds, so there are some tens of them at most.
    let mut unconfirmed = JoinSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
        let said = async { publish(&*links.current().await?, &routes).await };
        tokio::select! {
            said = said => match said {
                Ok(pending) => {
                    unconfirmed.spawn(pending.wait());
                }
                Err(error) => tracing::debug!(%error, "others do not hear that this one routes"),
            },
            _ = stop.wait_for(|stop| *stop) => break,
        }
        while unconfirmed.try_join_next().is_some() {}
    }
    // What is still in its hands takes a while, and nobody is to take that for standing still.
    let ends = async { announce(&*links.current().await?, &Control::Ends { instance }).await };
    if !matches!(timeout(LAST_WORD_PATIENCE, ends).await, Ok(Ok(()))) {
        tracing::debug!("others do not hear that this one ends");
    }
}

/// What becomes of what is heard.
#[derive(Debug)]
pub(crate) struct News {
    pub(crate) links: Arc<Links>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) shares: Arc<Shares>,
    /// Who judges, and throws out.
    pub(crate) watch: Option<Watch>,
}

/// A router's eye on the others.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) stillness: Stillness,
    pub(crate) evictions: Evictions,
}

impl News {
    /// Hears what other services have to say, until this one stops.
    pub(crate) async fn listen(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                Err(error) = self.hear() => tracing::warn!(%error, "does not hear other services"),
                _ = stop.wait_for(|stop| *stop) => return,
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn hear(&mut self) -> Result<std::convert::Infallible, LinkError> {
        let link = self.links.current().await?;
        let queue = format!("ctl.{}", MessageId::new(Timestamp::now()));
        link.declare_own(&queue, Some(CONTROL_EXCHANGE)).await?;
        let mut news = link.consume(&queue, NEWS_MAX).await?;
        self.directory.forget_devices();
        if let Some(watch) = &mut self.watch {
            watch.stillness.begin();
        }
        announce(&link, &Control::Who).await?;
        loop {
            let incoming = news.next().await?;
            match serde_json::from_slice(&incoming.body) {
                Ok(control) => self.learn(&control, Instant::now()),
                Err(error) => tracing::warn!(%error, "news that cannot be read"),
            }
            news.ack(incoming.tag, Reach::One).await?;
        }
    }

    fn learn(&mut self, control: &Control, now: Instant) {
        match control {
            Control::Routes { instance } => {
                self.shares.heard(*instance, now);
                if let Some(Watch {
                    stillness,
                    evictions,
                }) = &mut self.watch
                {
                    for still in stillness.heard(*instance, now) {
                        evictions.add(still);
                    }
                }
            }
            Control::Ends { instance } => {
                if let Some(watch) = &mut self.watch {
                    watch.stillness.ended(*instance);
                }
            }
            Control::Devices { .. }
            | Control::Gateway { .. }
            | Control::Came { .. }
            | Control::Went { .. }
            | Control::Who
            | Control::Unknown => self.directory.learn(control, now),
        }
    }
}
