//! Deliveries that consumers hold for too long (spec 5.5.8).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::core::Session;
use crate::engine::ConsumerLink;
use crate::model::{AmqpError, ConsumerKey, Seq};

/// What one consumer holds for too long.
struct Overdue {
    link: Arc<ConsumerLink>,
    seqs: Vec<Seq>,
}

impl Session {
    /// Takes back what is overdue, cancels the consumers that hold it, and notes when to look again.
    pub(super) fn take_back_overdue(&mut self) {
        let now_ms = self.engine.now().monotonic_ms;
        self.flush();
        self.overdue_ms = None;
        let numbers: Vec<u16> = self.channels.keys().copied().collect();
        for number in numbers {
            for overdue in self.overdue_on(number, now_ms) {
                self.take_back(number, overdue);
            }
        }
    }

    /// Looks again at once where a consumer may hold deliveries for another time than before.
    pub(super) fn timeout_changed(&mut self, link: &ConsumerLink) {
        let Some(channel) = self.channels.get_mut(&link.channel) else {
            return;
        };
        if let Some(timeout_ms) = link.timeout.ms() {
            channel.may_hold_for(timeout_ms);
            self.overdue_ms = Some(self.engine.now().monotonic_ms);
        }
    }

    /// What is overdue on one channel, by consumer.
    fn overdue_on(&mut self, number: u16, now_ms: u64) -> Vec<Overdue> {
        let Some(channel) = self.channels.get_mut(&number) else {
            return Vec::new();
        };
        let Some(least_ms) = channel.least_timeout_ms else {
            return Vec::new();
        };
        let (places, next) = channel.window.overdue(now_ms, least_ms);
        self.overdue_ms = match (self.overdue_ms, next) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let mut by_consumer: BTreeMap<ConsumerKey, Overdue> = BTreeMap::new();
        for (link, seq) in places {
            let entry = by_consumer.entry(link.key);
            let overdue = entry.or_insert_with(|| Overdue {
                link,
                seqs: Vec::new(),
            });
            overdue.seqs.push(seq);
        }
        by_consumer.into_values().collect()
    }

    fn take_back(&mut self, number: u16, Overdue { link, seqs }: Overdue) {
        tracing::warn!(
            connection = self.number(),
            channel = number,
            consumer = %link.tag,
            queue = %link.queue.name(),
            deliveries = seqs.len(),
            "a consumer holds deliveries for too long and is cancelled"
        );
        let count = u32::try_from(seqs.len()).unwrap_or(u32::MAX);
        let starved = link.limit.give_back(count);
        let unused = link
            .queue
            .withdraw(&self.engine, std::slice::from_ref(&link), seqs);
        for starved in starved {
            starved.queue.resume(&self.engine, &starved);
        }
        if self.properties.consumer_cancel_notify {
            self.send_cancelled(&link);
        } else {
            // Nothing else tells this client that no more will come.
            let timeout_ms = link.timeout.ms().unwrap_or_default();
            self.close_channel(number, &AmqpError::consumer_timeout(number, timeout_ms));
        }
        if unused {
            // Nobody waits for an answer.
            let _ = self.delete_if_unused(&link.queue);
        }
    }
}
