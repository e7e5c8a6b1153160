//! One turn of the commit thread, sorted: what is to be written of it, and what became of that.

use std::collections::{BTreeMap, HashMap};

use leveret_log::{Lsn, RecordIndex};
use smallvec::{SmallVec, smallvec};

use crate::model::{EntityChange, Message, Operation, QueueId, Seq, SeqRange, Stored};

use super::ranges::RangeSet;
use super::record::Target;

/// The places of one message: mostly a single one.
pub(crate) type Targets = SmallVec<[Target; 1]>;

/// A message with the places that it takes in this turn.
#[derive(Debug)]
pub(crate) struct TurnMessage {
    pub(crate) message: Message,
    pub(crate) targets: Targets,
}

/// What remains of a turn's operations once those that cancel out are gone.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub(crate) messages: Vec<TurnMessage>,
    by_address: HashMap<usize, usize, ahash::RandomState>,
    /// Settlements by consumption, which may cancel an enqueue out.
    plain: BTreeMap<QueueId, RangeSet>,
    /// Settlements that are part of a transaction.
    bound: BTreeMap<QueueId, RangeSet>,
    pub(crate) requeues: Vec<(QueueId, u32, Vec<SeqRange>)>,
    delivered: BTreeMap<(QueueId, u8), Seq>,
    pub(crate) entities: Vec<EntityChange>,
}

impl Turn {
    /// Sorts the operations of a turn.
    pub(crate) fn of(operations: Vec<Operation>) -> Self {
        let mut turn = Self::default();
        let mut rest = Vec::with_capacity(operations.len());
        for operation in operations {
            match operation {
                Operation::Settle { queue, ranges } => insert(&mut turn.plain, queue, &ranges),
                other => rest.push(other),
            }
        }
        for operation in rest {
            turn.add(operation, true);
        }
        turn
    }

    fn add(&mut self, operation: Operation, may_cancel: bool) {
        match operation {
            Operation::Enqueue {
                message,
                queue,
                seq,
                deadline_ms,
            } => {
                if may_cancel && self.cancels(queue, seq) {
                    return;
                }
                let target = Target {
                    queue,
                    seq,
                    deadline_ms,
                };
                self.enqueue(message, target);
            }
            Operation::Settle { queue, ranges } => insert(&mut self.bound, queue, &ranges),
            Operation::Requeue {
                queue,
                ranges,
                delivery_count,
            } => self.requeues.push((queue, delivery_count, ranges)),
            Operation::Delivered { queue, up_to } => {
                self.delivered.insert((queue, up_to.level()), up_to);
            }
            Operation::Entity(change) => self.entities.push(change),
            Operation::Transaction(operations) => {
                for operation in operations {
                    self.add(operation, false);
                }
            }
        }
    }

    /// Whether the message left before it was ever written: then neither needs to be.
    fn cancels(&mut self, queue: QueueId, seq: Seq) -> bool {
        let Some(settled) = self.plain.get_mut(&queue) else {
            return false;
        };
        let cancels = settled.contains(seq.0);
        if cancels {
            settled.remove(seq.0);
        }
        cancels
    }

    fn enqueue(&mut self, message: Message, target: Target) {
        let address = message.encoded().as_ptr() as usize;
        // The message is kept in the turn, so its address stays its own.
        let index = *self
            .by_address
            .entry(address)
            .or_insert(self.messages.len());
        match self.messages.get_mut(index) {
            Some(known) => known.targets.push(target),
            None => self.messages.push(TurnMessage {
                message,
                targets: smallvec![target],
            }),
        }
    }

    /// All settlements that are to be written, by queue.
    pub(crate) fn settlements(&self) -> Vec<(QueueId, Vec<SeqRange>)> {
        let mut all = self.plain.clone();
        for (queue, bound) in &self.bound {
            let set = all.entry(*queue).or_default();
            for (first, last) in bound.iter() {
                set.insert(first, last);
            }
        }
        let all = all.into_iter().filter(|(_, set)| !set.is_empty());
        all.map(|(queue, set)| (queue, seq_ranges(&set))).collect()
    }

    /// Whether the place is settled in this turn.
    pub(crate) fn settles(&self, queue: QueueId, seq: Seq) -> bool {
        let in_set = |sets: &BTreeMap<QueueId, RangeSet>| {
            sets.get(&queue).is_some_and(|set| set.contains(seq.0))
        };
        in_set(&self.plain) || in_set(&self.bound)
    }

    /// The leases, as they stand at the end of the turn.
    pub(crate) fn delivered_list(&self) -> Vec<(QueueId, Seq)> {
        let delivered = self.delivered.iter();
        delivered
            .map(|((queue, _), up_to)| (*queue, *up_to))
            .collect()
    }

    /// What must be written by the next turn if this one fails: what consumers did is done.
    pub(crate) fn consumption(&self) -> Vec<Operation> {
        let settled = self.plain.iter().filter(|(_, set)| !set.is_empty());
        let settled = settled.map(|(queue, set)| Operation::Settle {
            queue: *queue,
            ranges: seq_ranges(set),
        });
        let requeued = self
            .requeues
            .iter()
            .map(|(queue, count, ranges)| Operation::Requeue {
                queue: *queue,
                ranges: ranges.clone(),
                delivery_count: *count,
            });
        let delivered = self
            .delivered
            .iter()
            .map(|((queue, _), up_to)| Operation::Delivered {
                queue: *queue,
                up_to: *up_to,
            });
        settled.chain(requeued).chain(delivered).collect()
    }
}

fn insert(sets: &mut BTreeMap<QueueId, RangeSet>, queue: QueueId, ranges: &[SeqRange]) {
    let set = sets.entry(queue).or_default();
    for range in ranges {
        set.insert(range.first.0, range.last.0);
    }
}

/// The ranges of a set of places. One that crosses levels, which only the very last position of
/// a level could make, is cut there.
fn seq_ranges(set: &RangeSet) -> Vec<SeqRange> {
    let mut ranges = Vec::new();
    for (first, last) in set.iter() {
        let mut first = Seq(first);
        while first.level() < Seq(last).level() {
            let end = Seq::new(first.level(), u64::MAX);
            ranges.push(SeqRange { first, last: end });
            first = end.next();
        }
        ranges.push(SeqRange {
            first,
            last: Seq(last),
        });
    }
    ranges
}

/// A record that enqueues, and where the body is: in it, or where an earlier one put it.
#[derive(Debug)]
pub(crate) enum Placed {
    /// A message of this turn.
    Message {
        record: RecordIndex,
        message: Message,
        targets: Targets,
    },
    /// A further place of a message that was written before.
    Enqueue {
        target: Target,
        stored: Stored,
        bytes: u32,
    },
    /// A message that moved out of a segment.
    Moved {
        record: RecordIndex,
        origin: Lsn,
        targets: Vec<Target>,
        bytes: u32,
    },
}
