//! One channel: what it declared last, whom it consumes for, what it has not settled.

use std::sync::Arc;

use ahash::AHashMap;

use super::assembler::Assembler;
use super::confirms::ConfirmTracker;
use super::transaction::PendingTransaction;
use super::window::Window;
use crate::engine::{ChannelLimit, ChannelMeter, ConsumerLink, ReplyAddress};
use crate::model::{AmqpError, ConsumerTag, QueueName};

/// How publishes on the channel are answered.
#[derive(Debug, Default)]
pub(super) enum Mode {
    /// Not at all.
    #[default]
    Plain,
    /// Each by an ack or a nack.
    Confirm(ConfirmTracker),
    /// By `tx.commit-ok`.
    Transactional(PendingTransaction),
}

/// Whether a channel can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Yes.
    Open,
    /// The server closed it; everything but `close-ok` and `close` is swallowed (spec 2.3).
    Closing,
}

/// A channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) number: u16,
    pub(super) phase: Phase,
    pub(super) last_queue: Option<QueueName>,
    pub(super) consumers: AHashMap<ConsumerTag, Arc<ConsumerLink>>,
    /// The consumer of direct replies, if there is one (spec 7.6.1).
    pub(super) replies: Option<ReplyAddress>,
    pub(super) window: Window,
    /// The prefetch of consumers that are started from now on.
    pub(super) prefetch: u32,
    pub(super) limit: Arc<ChannelLimit>,
    /// The shortest time that one of its consumers ever had for a delivery, in milliseconds.
    pub(super) least_timeout_ms: Option<u64>,
    pub(super) mode: Mode,
    pub(super) assembler: Assembler,
    /// What others see of it.
    pub(super) meter: Arc<ChannelMeter>,
}

impl Channel {
    /// A channel that was just opened.
    pub(super) fn new(number: u16) -> Self {
        let limit: Arc<ChannelLimit> = Arc::default();
        Self {
            meter: Arc::new(ChannelMeter::new(number, Arc::clone(&limit))),
            number,
            phase: Phase::Open,
            last_queue: None,
            consumers: AHashMap::default(),
            replies: None,
            window: Window::default(),
            prefetch: 0,
            limit,
            least_timeout_ms: None,
            mode: Mode::default(),
            assembler: Assembler::default(),
        }
    }

    /// The queue that a method means: the named one, or the one that the channel declared last
    /// (spec 2.8).
    pub(super) fn queue_name(&self, name: &str) -> Result<QueueName, AmqpError> {
        if name.is_empty() {
            self.last_queue.clone().ok_or_else(AmqpError::no_last_queue)
        } else {
            Ok(QueueName::from(name))
        }
    }

    /// Tells others how much waits for a commit.
    pub(super) fn note_uncommitted(&self) {
        if let Mode::Transactional(transaction) = &self.mode {
            let (publishes, settlements) = (&transaction.publishes, &transaction.settlements);
            self.meter.uncommitted.set(publishes.len() as u64);
            let settlements = settlements.len() as u64;
            self.meter.uncommitted_settlements.set(settlements);
        }
    }

    /// Tells others how many consumers there are.
    pub(super) fn note_consumers(&self) {
        self.meter.consumers.set(self.consumer_count() as u64);
    }

    /// Notes how long one of the consumers may hold a delivery.
    pub(super) fn may_hold_for(&mut self, timeout_ms: u64) {
        let least_ms = self.least_timeout_ms.get_or_insert(timeout_ms);
        *least_ms = timeout_ms.min(*least_ms);
    }

    /// Whether a consumer of any kind has that tag.
    pub(super) fn has_consumer(&self, tag: &str) -> bool {
        self.consumers.contains_key(tag) || self.has_reply_consumer(tag)
    }

    /// Whether the consumer of direct replies has that tag.
    pub(super) fn has_reply_consumer(&self, tag: &str) -> bool {
        self.replies
            .as_ref()
            .is_some_and(|address| address.consumer().tag.as_str() == tag)
    }

    /// How many consumers there are, of both kinds.
    pub(super) fn consumer_count(&self) -> usize {
        self.consumers.len() + usize::from(self.replies.is_some())
    }
}
