//! What was shown: each message once, in order, to those for whom it is, as the history has it.

use std::collections::{BTreeSet, HashMap};

use leveret_client::message::{ConversationId, Message, Seq};

use super::Conversations;
use crate::torture::evidence::{DeviceDiary, Evidence};
use crate::torture::fault::{Fault, Verdict};
use crate::torture::record::Record;

pub(super) fn judge(evidence: &Evidence, conversations: &Conversations<'_>, verdict: &mut Verdict) {
    for device in &evidence.devices {
        let mut screen = Screen {
            device,
            shown: HashMap::new(),
            faults: &mut verdict.faults,
        };
        for entry in &device.entries {
            if let Record::Shown { message } = &entry.record {
                screen.show(message, conversations);
            }
        }
        screen.complete(conversations);
    }
}

/// What a device showed. Its diary is its screen: a process begins where the one before ended.
struct Screen<'e, 'f> {
    device: &'e DeviceDiary,
    shown: HashMap<&'e ConversationId, BTreeSet<Seq>>,
    faults: &'f mut Vec<Fault>,
}

impl<'e> Screen<'e, '_> {
    fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    fn show(&mut self, message: &'e Message, conversations: &Conversations<'_>) {
        self.is_right(message, conversations);
        let (device, conv, seq) = (self.device.name.clone(), message.conv.clone(), message.seq);
        let shown = self.shown.entry(&message.conv).or_default();
        let last = shown.last().copied();
        if !shown.insert(seq) {
            self.fault(Fault::ShownTwice { device, conv, seq });
        } else if last.is_some_and(|last| last > seq) {
            self.fault(Fault::ShownDisorderly { device, conv, seq });
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
        let nothing = BTreeSet::new();
        for (conv, known) in conversations {
            let Some(from) = known.membership.must_see_from(&self.device.user) else {
                continue;
            };
            let shown = self.shown.get(conv).unwrap_or(&nothing);
            let missing: Vec<_> = (from.0..=known.last.0)
                .map(Seq)
                .filter(|seq| !shown.contains(seq))
                .collect();
            for seq in missing {
                let device = self.device.name.clone();
                let conv = (*conv).clone();
                self.fault(Fault::NotShown { device, conv, seq });
            }
        }
    }
}
