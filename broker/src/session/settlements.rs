//! Acknowledgements, rejections and requeues of one read, grouped by queue.

use std::sync::Arc;

use super::core::Session;
use super::window::Unacked;
use crate::engine::{ChannelLimit, Groups, Queue};
use crate::model::{Seq, Settlement};

/// What is to be settled, by queue and in the order of arrival.
#[derive(Debug, Default)]
pub(super) struct Settlements {
    groups: Groups<(u64, Settlement), Group>,
    limits: Vec<(Arc<ChannelLimit>, u32)>,
}

#[derive(Debug)]
struct Group {
    queue: Arc<Queue>,
    settlement: Settlement,
    seqs: Vec<Seq>,
}

impl Settlements {
    /// Adds one delivery of the channel whose limit is given.
    pub(super) fn add(
        &mut self,
        unacked: &Unacked,
        settlement: Settlement,
        limit: &Arc<ChannelLimit>,
    ) {
        if unacked.is_overdue() {
            return;
        }
        let queue = unacked.queue();
        let key = (queue.number(), settlement);
        let group = self.groups.group(key, || Group {
            queue: Arc::clone(queue),
            settlement,
            seqs: Vec::new(),
        });
        group.seqs.push(unacked.seq);
        match self
            .limits
            .iter_mut()
            .find(|(known, _)| Arc::ptr_eq(known, limit))
        {
            Some((_, count)) => *count += 1,
            None => self.limits.push((Arc::clone(limit), 1)),
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

impl Session {
    /// Settles what was collected.
    pub(super) fn flush_settlements(&mut self) {
        if self.settlements.is_empty() {
            return;
        }
        // The channel's own credit comes back first, so that the queues may use it at once.
        let mut starved = Vec::new();
        for (limit, count) in self.settlements.limits.drain(..) {
            starved.extend(limit.give_back(count));
        }
        for group in self.settlements.groups.drain() {
            group
                .queue
                .settle(&self.engine, &group.seqs, group.settlement);
        }
        for link in starved {
            link.queue.resume(&self.engine, &link);
        }
    }
}
