//! What all workers have in common: consume a queue, hand batches to a handler, acknowledge last, come
//! back after every kind of failure.
//!
//! ```text
//!   batch 1   handle ──► settle ──► ack
//!   batch 2              handle ──► settle ──► ack
//! ```
//!
//! While the confirms for one batch are on their way the next one is dealt with, and no further.

use std::any::Any;
use std::future::{self, Future};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::sync::watch;

use crate::amqp::{Incoming, Link, LinkError, Reach, Subscription};
use crate::fanout::FanoutError;
use crate::links::Links;
use crate::shares::Share;
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

/// What is to come to an end before a batch may be acknowledged.
pub(crate) type Settling = Pin<Box<dyn Future<Output = Result<(), HandleError>> + Send>>;

/// Nothing is to come to an end.
pub(crate) fn settled() -> Settling {
    Box::pin(future::ready(Ok(())))
}

/// Deals with deliveries.
#[async_trait]
pub(crate) trait Handler: Send + Sync + 'static {
    /// Deals with all of them, in their order. They are acknowledged when what it returns has come to its
    /// end; before that the next ones may come.
    async fn handle(&self, link: &Arc<Link>, batch: &[Incoming]) -> Result<Settling, HandleError>;
}

/// A queue and who deals with it.
pub(crate) struct Worker {
    pub(crate) queue: String,
    /// Unsettled deliveries, at most; half of them are a batch.
    pub(crate) prefetch: u16,
    /// Its part in the queues that are spread over processes, if it is of one of them.
    pub(crate) share: Option<Share>,
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
    /// Another process is to have the queue.
    Left,
    Failed(HandleError),
}

/// A batch that was dealt with, and is not acknowledged.
struct Begun {
    batch: Vec<Incoming>,
    settling: Settling,
}

/// What a batch came to; the inner error is the handler's, the outer one that it panicked.
type Outcome = Result<Result<(), HandleError>, Box<dyn Any + Send>>;

impl Begun {
    async fn outcome(&mut self) -> Outcome {
        AssertUnwindSafe(&mut self.settling).catch_unwind().await
    }
}

/// What a worker wakes up for.
enum Turn {
    Delivery(Incoming),
    /// The batch that had begun has come to its end.
    Settled(Outcome),
    Over(End),
}

impl Worker {
    /// Works until it is told to stop.
    pub(crate) async fn run(self, links: Arc<Links>, mut stop: watch::Receiver<bool>) {
        let mut delay = RETRY_FIRST;
        let mut care = Care::Usual;
        loop {
            let started = Instant::now();
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
                End::Left => {
                    tracing::debug!(queue = self.queue, "left to another process");
                    delay = RETRY_FIRST;
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
            let prefetch = match care {
                Care::Usual => self.prefetch,
                Care::One => 1,
            };
            let subscription = link.consume(&self.queue, prefetch).await?;
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
        link: &Arc<Link>,
        subscription: &mut Subscription,
        care: Care,
        stop: &mut watch::Receiver<bool>,
    ) -> End {
        let mut held: Option<Incoming> = None;
        let mut begun: Option<Begun> = None;
        let end = loop {
            let first = match self.turn(subscription, &mut held, &mut begun, stop).await {
                Turn::Delivery(first) => first,
                Turn::Settled(outcome) => {
                    let Some(done) = begun.take() else { continue };
                    let settled = self.settle(link, subscription, done, outcome, stop);
                    match settled.await {
                        Ok(()) => continue,
                        Err(end) => return end,
                    }
                }
                Turn::Over(end) => break end,
            };
            let is_fresh = first.delivery_count == 0;
            if is_fresh && self.is_to_be_left() {
                break End::Left;
            }
            let batch = match care {
                Care::Usual => self.gather(subscription, first, &mut held).await,
                Care::One => vec![first],
            };
            // What is not settled goes back in its order; the message that brings its handler down ten times
            // becomes a dead letter. Rejected one by one they would come again, to this very worker, between
            // those that are rejected next.
            let settling = match self.handle(link, &batch, stop).await {
                Ok(settling) => settling,
                Err(end) => break end,
            };
            let mut now = Begun { batch, settling };
            let before = match care {
                Care::Usual => begun.replace(now),
                Care::One => {
                    let outcome = now.outcome().await;
                    let settled = self.settle(link, subscription, now, outcome, stop).await;
                    match settled {
                        Ok(()) if is_fresh => return End::Calm,
                        Ok(()) => continue,
                        Err(end) => return end,
                    }
                }
            };
            if let Some(mut before) = before {
                let outcome = before.outcome().await;
                let settled = self.settle(link, subscription, before, outcome, stop);
                if let Err(end) = settled.await {
                    return end;
                }
            }
        };
        // What was dealt with before is not charged with how this ended.
        if let Some(mut before) = begun {
            let outcome = before.outcome().await;
            let settled = self.settle(link, subscription, before, outcome, stop);
            if let Err(earlier) = settled.await {
                return earlier;
            }
        }
        end
    }

    fn is_to_be_left(&self) -> bool {
        let share = self.share.as_ref();
        share.is_some_and(|share| share.leaves(Instant::now()))
    }

    async fn turn(
        &self,
        subscription: &mut Subscription,
        held: &mut Option<Incoming>,
        begun: &mut Option<Begun>,
        stop: &mut watch::Receiver<bool>,
    ) -> Turn {
        if let Some(first) = held.take() {
            return Turn::Delivery(first);
        }
        let outcome = async {
            match begun {
                Some(begun) => begun.outcome().await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => Turn::Over(End::Stopped),
            outcome = outcome => Turn::Settled(outcome),
            next = subscription.next() => match next {
                Ok(first) => Turn::Delivery(first),
                Err(error) => Turn::Over(End::Failed(error.into())),
            },
        }
    }

    /// Acknowledges a batch that has come to its end. If the store failed meanwhile it begins again.
    async fn settle(
        &self,
        link: &Arc<Link>,
        subscription: &Subscription,
        mut done: Begun,
        mut outcome: Outcome,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), End> {
        loop {
            match outcome {
                Ok(Ok(())) => break,
                Ok(Err(HandleError::Store(StoreError::Unavailable(reason)))) if link.is_open() => {
                    tracing::warn!(queue = self.queue, reason, "the store does not work");
                    wait(RETRY_FIRST, stop).await?;
                    done.settling = self.handle(link, &done.batch, stop).await?;
                    outcome = done.outcome().await;
                }
                Ok(Err(error)) => return Err(End::Failed(error)),
                Err(_) => return Err(End::Panicked),
            }
        }
        match done.batch.last() {
            Some(last) => {
                let acknowledged = subscription.ack(last.tag, Reach::UpTo).await;
                acknowledged.map_err(|error| End::Failed(error.into()))
            }
            None => Ok(()),
        }
    }

    /// Deals with a batch. While the store does not work the batch is kept, and tried again: what goes back
    /// to its queue counts as failed there, and ten failures within one outage would make a dead letter of
    /// a message that nothing is wrong with.
    async fn handle(
        &self,
        link: &Arc<Link>,
        batch: &[Incoming],
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Settling, End> {
        let mut delay = RETRY_FIRST;
        loop {
            let handled = AssertUnwindSafe(self.handler.handle(link, batch))
                .catch_unwind()
                .await;
            match handled {
                Ok(Ok(settling)) => return Ok(settling),
                Ok(Err(HandleError::Store(StoreError::Unavailable(reason)))) if link.is_open() => {
                    tracing::warn!(queue = self.queue, reason, "the store does not work");
                }
                Ok(Err(error)) => return Err(End::Failed(error)),
                Err(_) => return Err(End::Panicked),
            }
            wait(delay, stop).await?;
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
        while batch.len() < usize::from((self.prefetch / 2).max(1)) {
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

/// Waits, unless the worker is to stop.
async fn wait(delay: Duration, stop: &mut watch::Receiver<bool>) -> Result<(), End> {
    tokio::select! {
        () = tokio::time::sleep(delay) => Ok(()),
        _ = stop.wait_for(|stop| *stop) => Err(End::Stopped),
    }
}
