//! The judge. Pure: evidence in, verdict out.

mod cursors;
mod showing;
mod writing;

use std::collections::BTreeMap;

use leveret_client::message::ConversationId;

use super::evidence::{DeviceDiary, Evidence, Known};
use super::fault::{Fault, Verdict};
use super::record::{Entry, Record};

/// Conversations by their ids.
type Conversations<'e> = BTreeMap<&'e ConversationId, Known<'e>>;

/// Says everything that is wrong.
#[must_use]
pub fn judge(evidence: &Evidence) -> Verdict {
    let conversations: Conversations<'_> = evidence
        .conversations
        .iter()
        .map(|conversation| (&conversation.id, Known::of(conversation)))
        .collect();
    let mut verdict = Verdict::default();
    for known in conversations.values() {
        histories(known, &mut verdict.faults);
    }
    for device in &evidence.devices {
        count(device, &mut verdict);
    }
    writing::judge(evidence, &conversations, &mut verdict);
    showing::judge(evidence, &conversations, &mut verdict);
    cursors::judge(evidence, &conversations, &mut verdict);
    verdict
}

/// Seqs from one on without a hole, times that do not fall.
fn histories(known: &Known<'_>, faults: &mut Vec<Fault>) {
    let conv = &known.conversation.id;
    let mut expected = leveret_client::message::Seq(1);
    let mut time = None;
    for message in &known.conversation.history {
        while expected < message.seq {
            faults.push(Fault::Gap {
                conv: conv.clone(),
                seq: expected,
            });
            expected = expected.next();
        }
        expected = message.seq.next();
        if time.is_some_and(|time| message.ts < time) {
            faults.push(Fault::TimeBack {
                conv: conv.clone(),
                seq: message.seq,
            });
        }
        time = Some(message.ts);
    }
}

fn count(device: &DeviceDiary, verdict: &mut Verdict) {
    let counts = &mut verdict.counts;
    for Entry { record, .. } in &device.entries {
        match record {
            Record::Began => counts.deaths += 1,
            Record::Written { .. } => counts.written += 1,
            Record::Rejected { .. } => counts.rejected += 1,
            Record::Shown { .. } => counts.shown += 1,
            Record::Cursor { .. } => counts.cursors += 1,
            Record::Busy { .. } => counts.busy += 1,
            Record::Disconnected { .. } => counts.disconnections += 1,
            Record::Pried { conv, got } => {
                counts.pried += 1;
                if *got > 0 {
                    verdict.faults.push(Fault::Leaked {
                        device: device.name.clone(),
                        conv: conv.clone(),
                    });
                }
            }
            Record::Writing { .. }
            | Record::Sent { .. }
            | Record::Reading { .. }
            | Record::Outbox { .. }
            | Record::Connected => {}
        }
    }
    // The first process followed no dead one.
    counts.deaths = counts.deaths.saturating_sub(1);
}
