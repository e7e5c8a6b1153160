//! Messages that come back from consumers.

use super::effect::Effect;
use super::ranges::Ranges;
use super::run::Books;
use super::slot::Holder;
use super::state::QueueState;
use crate::model::{Now, Seq, Settlement};

impl<C> QueueState<C> {
    /// Settles unacked messages. Places that nobody has in hand are passed over: the queue may
    /// have lost them since to damage.
    ///
    /// Ascending places make the shortest record.
    pub fn settle(
        &mut self,
        now: Now,
        seqs: &[Seq],
        settlement: Settlement,
        effects: &mut Vec<Effect>,
    ) {
        let requeue = match settlement {
            Settlement::Acknowledge | Settlement::Discard => false,
            Settlement::Requeue => true,
        };
        let counts_deliveries = requeue && self.terms.counts_deliveries();
        let mut settled = Ranges::default();
        let mut returned = Vec::new();
        let mut left = seqs;
        while let Some(seq) = left.first() {
            let number = seq.level();
            let Some(level) = self.levels.get_mut(usize::from(number)) else {
                left = &left[1..];
                continue;
            };
            let mut books = Books {
                tally: &mut self.tally,
                delivery_counts: &mut self.delivery_counts,
                settled: &mut settled,
                effects,
            };
            let taken = level.take_back(left, requeue, &mut books, |seq, holder, recorded| {
                match holder {
                    Holder::Consumer(index) => self.consumers.give_back(index),
                    Holder::Get | Holder::Nobody => {}
                }
                if counts_deliveries {
                    returned.push((seq, recorded));
                }
            });
            if requeue {
                self.occupied.insert(number.into());
            }
            self.note_room(now, number.into());
            left = &left[taken..];
        }
        effects.extend(settled.finish().map(Effect::Settled));
        self.count_returns(&returned, effects);
    }

    fn count_returns(&mut self, returned: &[(Seq, bool)], effects: &mut Vec<Effect>) {
        let mut counted = Vec::new();
        for &(seq, recorded) in returned {
            let count = self.delivery_counts.entry(seq).or_insert(0);
            *count = count.saturating_add(1);
            if recorded {
                counted.push((*count, seq));
            }
        }
        push_requeued(counted, effects);
    }
}

/// One effect for each count.
fn push_requeued(mut counted: Vec<(u32, Seq)>, effects: &mut Vec<Effect>) {
    counted.sort_unstable();
    for group in counted.chunk_by(|left, right| left.0 == right.0) {
        let mut ranges = Ranges::default();
        for &(_, seq) in group {
            ranges.push(seq);
        }
        if let (Some(ranges), Some(&(delivery_count, _))) = (ranges.finish(), group.first()) {
            effects.push(Effect::Requeued {
                ranges,
                delivery_count,
            });
        }
    }
}
