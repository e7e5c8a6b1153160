//! What all workers have in common: consume a queue, hand batches to a handler, acknowledge last, come
//! back after every kind of failure.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::sync::watch;

use crate::amqp::{ConsumeOptions, Incoming, Link, LinkError, Reach, Subscription};
use crate::fanout::FanoutError;
use crate::links::Links;
use crate::store::StoreError;

/// After a failure the next try waits this long, and twice as long each time,
const RETRY_FIRST: Duration = Duration::from_millis(200);
/// up to this.
const RETRY_LAST: Duration = Duration::from_secs(5);
/// After a message that brings its handler down the next try waits this long each time: its tries are
/// counted, and those behind it wait.
const RETRY_PANICKED: Duration = Duration::from_millis(20);

/// Why a batch was not dealt with. None of it is acknowledged, all of it comes again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandleError {
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<FanoutError> for HandleError {
    fn from(error: FanoutError) -> Self {
        match error {
            FanoutError::Link(error) => Self::Link(error),
            FanoutError::Store(error) => Self::Store(error),
        }
    }
}

/// Deals with deliveries.
#[async_trait]
pub(crate) trait Handler: Send + Sync + 'static {
    /// Deals with all of them, in their order; when it returns, they are acknowledged.
    async fn handle(&self, link: &Link, batch: &[Incoming]) -> Result<(), HandleError>;
}

/// A queue and who deals with it.
pub(crate) struct Worker {
    pub(crate) queue: String,
    pub(crate) prefetch: u16,
    /// Of several workers of a queue with a single active consumer, the highest is it.
    pub(crate) priority: i32,
    /// Waits so long for a batch to grow.
    pub(crate) gather: Duration,
    pub(crate) handler: Arc<dyn Handler>,
}

/// How many deliveries a worker has in its hands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Care {
    /// As many as it may.
    Usual,
    /// One. Whatever a worker has in its hands when it goes down is charged with a failure: so none but the
    /// guilty one is.
    One,
}

/// How a subscription ended.
enum End {
    Stopped,
    /// What had failed is behind us.
    Calm,
    /// The handler panicked over one of these.
    Panicked,
    Failed(HandleError),
}

impl Worker {
    /// Works until it is told to stop.
    pub(crate) async fn run(self, links: Arc<Links>, mut stop: watch::Receiver<bool>) {
        let mut delay = RETRY_FIRST;
        let mut care = Care::Usual;
        loop {
            let started = std::time::Instant::now();
            let end = self.subscribe(&links, care, &mut stop).await;
            match end {
                End::Stopped => return,
                End::Calm => {
                    care = Care::Usual;
                    continue;
                }
                End::Panicked => {
                    tracing::error!(queue = self.queue, "a message brought its handler down");
                    care = Care::One;
                    tokio::time::sleep(RETRY_PANICKED).await;
                    continue;
                }
                End::Failed(error) => tracing::warn!(queue = self.queue, %error, "begins again"),
            }
            if started.elapsed() > RETRY_LAST {
                delay = RETRY_FIRST;
            }
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            delay = (delay * 2).min(RETRY_LAST);
        }
    }

    async fn subscribe(&self, links: &Links, care: Care, stop: &mut watch::Receiver<bool>) -> End {
        let subscribed = async {
            let link = links.current().await?;
            let options = ConsumeOptions {
                prefetch: match care {
                    Care::Usual => self.prefetch,
                    Care::One => 1,
                },
                priority: self.priority,
            };
            let subscription = link.consume(&self.queue, options).await?;
            Ok::<_, LinkError>((link, subscription))
        };
        let subscribed = tokio::select! {
            subscribed = subscribed => subscribed,
            _ = stop.wait_for(|stop| *stop) => return End::Stopped,
        };
        let (link, mut subscription) = match subscribed {
            Ok(subscribed) => subscribed,
            Err(error) => return End::Failed(error.into()),
        };
        let end = self.consume(&link, &mut subscription, care, stop).await;
        // What is not settled goes back in its order, to another worker or to this one. If that does
        // not work the connection is gone, and it goes back all the same.
        let _ = subscription.cancel().await;
        end
    }

    async fn consume(
        &self,
        link: &Link,
        subscription: &mut Subscription,
        care: Care,
        stop: &mut watch::Receiver<bool>,
    ) -> End {
        let mut held: Option<Incoming> = None;
        loop {
            let first = match held.take() {
                Some(first) => first,
                None => tokio::select! {
                    biased;
                    _ = stop.wait_for(|stop| *stop) => return End::Stopped,
                    next = subscription.next() => match next {
                        Ok(first) => first,
                        Err(error) => return End::Failed(error.into()),
                    },
                },
            };
            let is_fresh = first.delivery_count == 0;
            let batch = match care {
                Care::Usual => self.gather(subscription, first, &mut held).await,
                Care::One => vec![first],
            };
            let settled = match self.handle(link, &batch, stop).await {
                Ok(()) => match batch.last() {
                    Some(last) => subscription.ack(last.tag, Reach::UpTo).await,
                    None => Ok(()),
                },
                // What a worker has in its hands when it goes down counts as failed, and goes back in its
                // order; the message that does it ten times becomes a dead letter. Rejected one by one
                // they would come again, to this very worker, between those that are rejected next.
                Err(end) => return end,
            };
            if let Err(error) = settled {
                return End::Failed(error.into());
            }
            if care == Care::One && is_fresh {
                return End::Calm;
            }
        }
    }

    /// Deals with a batch. While the store does not work the batch is kept, and tried again: what goes back
    /// to its queue counts as failed there, and ten failures within one outage would make a dead letter of
    /// a message that nothing is wrong with.
    async fn handle(
        &self,
        link: &Link,
        batch: &[Incoming],
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), End> {
        let mut delay = RETRY_FIRST;
        loop {
            let handled = AssertUnwindSafe(self.handler.handle(link, batch))
                .catch_unwind()
                .await;
            match handled {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(HandleError::Store(StoreError::Unavailable(reason)))) if link.is_open() => {
                    tracing::warn!(queue = self.queue, reason, "the store does not work");
                }
                Ok(Err(error)) => return Err(End::Failed(error)),
                Err(_) => return Err(End::Panicked),
            }
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                _ = stop.wait_for(|stop| *stop) => return Err(End::Stopped),
            }
            delay = (delay * 2).min(RETRY_LAST);
        }
    }

    /// What is there already, and what comes in the time for gathering. What has failed before is dealt
    /// with alone, so that a message that brings its handler down is charged alone.
    async fn gather(
        &self,
        subscription: &mut Subscription,
        first: Incoming,
        held: &mut Option<Incoming>,
    ) -> Vec<Incoming> {
        let mut batch = vec![first];
        if batch[0].delivery_count > 0 {
            return batch;
        }
        let deadline = tokio::time::Instant::now() + self.gather;
        while batch.len() < usize::from(self.prefetch.max(1)) {
            let next = if self.gather.is_zero() {
                subscription.next().now_or_never()
            } else {
                tokio::time::timeout_at(deadline, subscription.next())
                    .await
                    .ok()
            };
            match next {
                Some(Ok(next)) if next.delivery_count == 0 => batch.push(next),
                Some(Ok(next)) => {
                    *held = Some(next);
                    break;
                }
                // An error comes again with the next call.
                Some(Err(_)) | None => break,
            }
        }
        batch
    }
}
