//! Collects places into ranges.

use crate::model::{Seq, SeqRange};

/// Ranges that cover exactly the places pushed, joined where neighbours follow one another.
#[derive(Debug, Default)]
pub(super) struct Ranges(Vec<SeqRange>);

impl Ranges {
    pub(super) fn push(&mut self, seq: Seq) {
        match self.0.last_mut() {
            Some(range) if range.last.next() == seq && range.last.level() == seq.level() => {
                range.last = seq;
            }
            Some(_) | None => self.0.push(SeqRange::one(seq)),
        }
    }

    /// The ranges, if there are any.
    pub(super) fn finish(self) -> Option<Vec<SeqRange>> {
        (!self.0.is_empty()).then_some(self.0)
    }
}
