//! Messages that come back from consumers.

use super::effect::Effect;
use super::ranges::Ranges;
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
        let mut settled = Ranges::default();
        let mut counted = Vec::new();
        for &seq in seqs {
            let Some(level) = self.levels.get_mut(usize::from(seq.level())) else {
                continue;
            };
            let Some(returned) = level.take_back(seq.position(), requeue, &mut self.tally) else {
                continue;
            };
            match returned.holder {
                Holder::Consumer(index) => self.consumers.give_back(index),
                Holder::Get | Holder::Nobody => {}
            }
            if requeue {
                self.occupied.insert(seq.level().into());
                if self.settings.counts_deliveries {
                    let count = self.delivery_counts.entry(seq).or_insert(0);
                    *count = count.saturating_add(1);
                    if returned.recorded {
                        counted.push((*count, seq));
                    }
                }
                continue;
            }
            if !self.delivery_counts.is_empty() {
                self.delivery_counts.remove(&seq);
            }
            if returned.recorded {
                settled.push(seq);
            }
        }
        effects.extend(settled.finish().map(Effect::Settled));
        if let Some(seq) = seqs.last() {
            self.note_room(now, seq.level().into());
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
