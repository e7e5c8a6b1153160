//! What is kept of deaths: between turns, and within one.

use std::collections::BTreeSet;

use super::effect::DeadLetter;
use super::ranges::Ranges;
use crate::model::{DeathReason, Message, Seq};

/// Messages that are dropped in one turn.
const DROPS_MAX: usize = 4096;

/// Dead letters of one batch: this many, or bodies of so many bytes, whichever comes first.
const LETTERS_MAX: usize = 256;
const LETTERS_BYTES_MAX: usize = 1 << 20;

/// What the queue knows of its messages' deaths.
#[derive(Debug, Default)]
pub(super) struct Mortality {
    /// Dead letters from the head are under way.
    pub(super) burying: bool,
    /// A message may have a deadline.
    pub(super) mortal: bool,
    /// The last turn could not do everything.
    pub(super) unfinished: bool,
    /// When the head is to be looked at again, in monotonic milliseconds.
    pub(super) due_ms: Option<u64>,
    /// Dead places whose bodies were not asked for yet.
    pub(super) unburied: BTreeSet<Seq>,
    /// When somebody last used the queue, in monotonic milliseconds.
    pub(super) last_used_ms: u64,
}

/// Who died in one turn.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    pub(super) settled: Ranges,
    pub(super) letters: Vec<DeadLetter>,
    letters_bytes: usize,
    dropped: usize,
    pub(super) unfinished: bool,
}

impl Deaths {
    pub(super) const fn is_full(&self) -> bool {
        self.letters.len() >= LETTERS_MAX
            || self.letters_bytes >= LETTERS_BYTES_MAX
            || self.dropped >= DROPS_MAX
    }

    /// Notes a death: of a message that is to be dead-lettered, if there is one.
    pub(super) fn add(
        &mut self,
        place: Option<Seq>,
        message: Option<Message>,
        reason: DeathReason,
    ) {
        match message {
            Some(message) => {
                self.letters_bytes += message.memory_bytes();
                self.letters.push(DeadLetter {
                    place,
                    message,
                    reason,
                });
            }
            None => {
                self.dropped += 1;
                if let Some(seq) = place {
                    self.settled.push(seq);
                }
            }
        }
    }
}
