//! The terms on which a queue keeps messages, wherever they come from.

use std::num::NonZeroU64;
use std::sync::{Arc, LazyLock};

use super::arguments::{
    DeadLetterTarget, DeliveryLimit, Overflow, QueueArguments, QueueVariant, QuorumArguments,
};
use super::deduplication::Deduplication;

/// How often a message of a quorum queue may fail where nothing else is said (spec 4.4.3).
const QUORUM_DELIVERY_LIMIT: DeliveryLimit = DeliveryLimit::Times(20);

/// How long a consumer of a quorum queue may hold a message where nothing else is said, in
/// milliseconds (spec 5.5.8): half an hour, as in RabbitMQ.
const QUORUM_CONSUMER_TIMEOUT_MS: u64 = 30 * 60 * 1000;

/// The terms of queues of which nothing is said: most queues, by type.
static UNSAID: LazyLock<[Arc<QueueTerms>; 2]> = LazyLock::new(|| {
    let quorum = QueueArguments {
        variant: QueueVariant::Quorum(QuorumArguments::default()),
        ..QueueArguments::default()
    };
    [QueueTerms::default(), QueueTerms::of(&quorum)].map(Arc::new)
});

/// What holds for a queue now: its arguments, and whatever policies add to them (spec 7.7.4,
/// 7.7.5). Terms may change while the queue lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueTerms {
    /// How long messages live that arrive from now on, in milliseconds (spec 7.1).
    pub message_ttl_ms: Option<u64>,
    /// How long the queue lives unused, in milliseconds (spec 4.2.4).
    pub expires_ms: Option<NonZeroU64>,
    /// How many messages may be ready (spec 7.3).
    pub max_length: Option<u64>,
    /// How many bytes the bodies of ready messages may have (spec 7.3).
    pub max_length_bytes: Option<u64>,
    /// What becomes of messages beyond either limit.
    pub overflow: Overflow,
    /// Where messages go that expire, are rejected or are too many (spec 7.2).
    pub dead_letter: Option<DeadLetterTarget>,
    /// How often a message may fail to be processed (spec 5.5.7); `None` where failures are not
    /// even counted.
    pub delivery_limit: Option<DeliveryLimit>,
    /// How long a consumer may hold a message, in milliseconds (spec 5.5.8).
    pub consumer_timeout_ms: Option<u64>,
    /// How duplicates are told and kept out (spec 4.3.2). Policies do not change it.
    pub deduplication: Option<Box<Deduplication>>,
}

impl QueueTerms {
    /// These terms for a queue to hold. Those of queues of which nothing is said are there once for
    /// all, so that an idle queue costs little.
    #[must_use]
    pub fn shared(self) -> Arc<Self> {
        match UNSAID.iter().find(|terms| ***terms == self) {
            Some(terms) => Arc::clone(terms),
            None => Arc::new(self),
        }
    }

    /// What a queue's own arguments ask for, with the defaults of its type.
    #[must_use]
    pub fn of(arguments: &QueueArguments) -> Self {
        let (default_limit, default_timeout_ms) = match arguments.variant {
            QueueVariant::Classic { .. } => (None, None),
            QueueVariant::Quorum(_) => (
                Some(QUORUM_DELIVERY_LIMIT),
                Some(QUORUM_CONSUMER_TIMEOUT_MS),
            ),
        };
        Self {
            message_ttl_ms: arguments.message_ttl_ms,
            expires_ms: arguments.expires_ms,
            max_length: arguments.max_length,
            max_length_bytes: arguments.max_length_bytes,
            overflow: arguments.overflow.unwrap_or_default(),
            dead_letter: arguments.dead_letter.clone(),
            delivery_limit: arguments.delivery_limit.or(default_limit),
            consumer_timeout_ms: arguments.consumer_timeout_ms.or(default_timeout_ms),
            deduplication: arguments.deduplication.clone(),
        }
    }

    /// Whether messages carry how often they came back.
    #[must_use]
    pub const fn counts_deliveries(&self) -> bool {
        self.delivery_limit.is_some()
    }

    /// Whether a message that failed `count` times has failed too often.
    #[must_use]
    pub const fn is_spent(&self, count: u32) -> bool {
        match self.delivery_limit {
            Some(DeliveryLimit::Times(limit)) => count as u64 > limit,
            Some(DeliveryLimit::Unlimited) | None => false,
        }
    }

    /// Whether so many ready messages, with bodies of so many bytes, are too many.
    #[must_use]
    pub fn is_exceeded(&self, ready: u64, ready_bytes: u64) -> bool {
        let exceeds = |value: u64, max: Option<u64>| max.is_some_and(|max| value > max);
        exceeds(ready, self.max_length) || exceeds(ready_bytes, self.max_length_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::QuorumArguments;

    #[test]
    fn failures_are_counted_on_quorum_queues_and_where_a_limit_is_set() {
        let classic = QueueTerms::of(&QueueArguments::default());
        assert!(!classic.counts_deliveries() && !classic.is_spent(u32::MAX));
        let quorum = QueueTerms::of(&QueueArguments {
            variant: QueueVariant::Quorum(QuorumArguments::default()),
            ..QueueArguments::default()
        });
        assert!(quorum.counts_deliveries());
        assert!(!quorum.is_spent(20) && quorum.is_spent(21));
        let unlimited = QueueTerms {
            delivery_limit: Some(DeliveryLimit::Unlimited),
            ..QueueTerms::default()
        };
        assert!(unlimited.counts_deliveries() && !unlimited.is_spent(u32::MAX));
    }

    #[test]
    fn either_limit_may_be_exceeded() {
        let terms = QueueTerms {
            max_length: Some(2),
            max_length_bytes: Some(100),
            ..QueueTerms::default()
        };
        assert!(!terms.is_exceeded(2, 100));
        assert!(terms.is_exceeded(3, 0) && terms.is_exceeded(1, 101));
        assert!(!QueueTerms::default().is_exceeded(u64::MAX, u64::MAX));
    }
}
