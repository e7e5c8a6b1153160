//! What was shown: each message once, in order, to those for whom it is, as the history has it.

use std::collections::{BTreeMap, HashMap};

use leveret_client::message::{ConversationId, Message, Seq};

use super::Conversations;
use crate::torture::evidence::{DeviceDiary, Evidence};
use crate::torture::fault::{Fault, Verdict};
use crate::torture::record::{Entry, Record};

/// What a process showed in its last microseconds may be shown again by the next one: it had no time to
/// remember it. Generous, for a machine that has more to do than it can.
const MEMORY_DELAY_MAX: u64 = 10_000_000;

pub(super) fn judge(evidence: &Evidence, conversations: &Conversations<'_>, verdict: &mut Verdict) {
    for device in &evidence.devices {
        let mut screen = Screen {
            device,
            shown: HashMap::new(),
            verdict,
        };
        for life in lives(&device.entries) {
            screen.life(life, conversations);
        }
        screen.complete(conversations);
    }
}

/// The entries of each process of a device.
pub(super) fn lives(entries: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    let mut rest = entries;
    std::iter::from_fn(move || {
        let (first, others) = rest.split_first()?;
        let begins = |entry: &Entry| entry.record == Record::Began;
        let end = others.iter().position(begins).unwrap_or(others.len());
        // The first one begins a life whatever it is.
        let life = &rest[..=end];
        let _ = first;
        rest = &others[end..];
        Some(life)
    })
}

/// A message was shown at that time, by a process that wrote its last line at the other time.
#[derive(Clone, Copy, Debug)]
struct ShownAt {
    at: u64,
    death: u64,
}

struct Screen<'e, 'v> {
    device: &'e DeviceDiary,
    /// By earlier processes.
    shown: HashMap<&'e ConversationId, BTreeMap<Seq, ShownAt>>,
    verdict: &'v mut Verdict,
}

impl<'e> Screen<'e, '_> {
    fn fault(&mut self, fault: Fault) {
        self.verdict.faults.push(fault);
    }

    fn life(&mut self, life: &'e [Entry], conversations: &Conversations<'_>) {
        let death = life.last().map_or(0, |entry| entry.at);
        let mut now: HashMap<&ConversationId, BTreeMap<Seq, ShownAt>> = HashMap::new();
        for entry in life {
            let Record::Shown { message } = &entry.record else {
                continue;
            };
            self.is_right(message, conversations);
            let (device, conv, seq) = (self.device.name.clone(), message.conv.clone(), message.seq);
            let before = now.entry(&message.conv).or_default();
            if before.contains_key(&seq) {
                self.fault(Fault::ShownTwice { device, conv, seq });
                continue;
            }
            if before.last_key_value().is_some_and(|(last, _)| *last > seq) {
                self.fault(Fault::ShownDisorderly { device, conv, seq });
                continue;
            }
            before.insert(
                seq,
                ShownAt {
                    at: entry.at,
                    death,
                },
            );
            let earlier = self
                .shown
                .get(&message.conv)
                .and_then(|shown| shown.get(&seq));
            if let Some(earlier) = earlier.copied() {
                self.verdict.counts.shown_again += 1;
                if earlier.at + MEMORY_DELAY_MAX < earlier.death {
                    self.fault(Fault::ShownAgainLate { device, conv, seq });
                }
            }
        }
        for (conv, shown) in now {
            self.shown.entry(conv).or_default().extend(shown);
        }
    }

    fn is_right(&mut self, message: &Message, conversations: &Conversations<'_>) {
        let (device, conv, seq) = (self.device.name.clone(), message.conv.clone(), message.seq);
        let Some(known) = conversations.get(&message.conv) else {
            return self.fault(Fault::Foreign { device, conv, seq });
        };
        if !known.membership.may_see(&self.device.user, seq) {
            return self.fault(Fault::Foreign { device, conv, seq });
        }
        if known.message(seq) != Some(message) {
            self.fault(Fault::Altered { device, conv, seq });
        }
    }

    /// At the end everything was shown.
    fn complete(&mut self, conversations: &Conversations<'_>) {
        let nothing = BTreeMap::new();
        for (conv, known) in conversations {
            let Some(from) = known.membership.must_see_from(&self.device.user) else {
                continue;
            };
            let shown = self.shown.get(conv).unwrap_or(&nothing);
            let missing: Vec<_> = (from.0..=known.last.0)
                .map(Seq)
                .filter(|seq| !shown.contains_key(seq))
                .collect();
            for seq in missing {
                let device = self.device.name.clone();
                let conv = (*conv).clone();
                self.fault(Fault::NotShown { device, conv, seq });
            }
        }
    }
}
