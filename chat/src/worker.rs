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

/// How a subscription ended.
enum End {
    Stopped,
    /// The handler panicked over one of these.
    Panicked,
    Failed(HandleError),
}

impl Worker {
    /// Works until it is told to stop.
    pub(crate) async fn run(self, links: Arc<Links>, mut stop: watch::Receiver<bool>) {
        let mut delay = RETRY_FIRST;
        loop {
            let started = std::time::Instant::now();
            let end = self.subscribe(&links, &mut stop).await;
            match end {
                End::Stopped => return,
                End::Panicked => {
                    tracing::error!(queue = self.queue, "a message brought its handler down");
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

    async fn subscribe(&self, links: &Links, stop: &mut watch::Receiver<bool>) -> End {
        let subscribed = async {
            let link = links.current().await?;
            let options = ConsumeOptions {
                prefetch: self.prefetch,
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
        let end = self.consume(&link, &mut subscription, stop).await;
        // What is not settled goes back in its order, to another worker or to this one. If that does
        // not work the connection is gone, and it goes back all the same.
        let _ = subscription.cancel().await;
        end
    }

    async fn consume(
        &self,
        link: &Link,
        subscription: &mut Subscription,
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
            let batch = self.gather(subscription, first, &mut held).await;
            let handled = AssertUnwindSafe(self.handler.handle(link, &batch))
                .catch_unwind()
                .await;
            let settled = match handled {
                Ok(Ok(())) => match batch.last() {
                    Some(last) => subscription.ack(last.tag, Reach::UpTo).await,
                    None => Ok(()),
                },
                Ok(Err(error)) => return End::Failed(error),
                Err(_) => {
                    for delivery in &batch {
                        // `basic.reject` counts on every version; the message that does it ten times
                        // becomes a dead letter.
                        if let Err(error) = subscription.reject(delivery.tag).await {
                            return End::Failed(error.into());
                        }
                    }
                    return End::Panicked;
                }
            };
            if let Err(error) = settled {
                return End::Failed(error.into());
            }
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
