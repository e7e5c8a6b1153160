//! Cursors: never back, never beyond, and nothing that did not happen.

use std::collections::{BTreeMap, HashMap};

use leveret_client::message::{ConversationId, Cursor, Seq, UserId};

use super::Conversations;
use crate::torture::evidence::{Evidence, Known};
use crate::torture::fault::{Fault, Verdict};
use crate::torture::record::{Entry, Record};

/// How far somebody had come in a conversation, at which times.
#[derive(Debug, Default)]
struct Steps(BTreeMap<u64, Seq>);

impl Steps {
    fn add(&mut self, at: u64, seq: Seq) {
        let step = self.0.entry(at).or_default();
        *step = seq.max(*step);
    }

    /// From what was reached at each time to how far somebody had come by then.
    fn add_up(&mut self) {
        let mut highest = Seq::NONE;
        for seq in self.0.values_mut() {
            highest = highest.max(*seq);
            *seq = highest;
        }
    }

    /// How far by then.
    fn by(&self, at: u64) -> Seq {
        let last = self.0.range(..=at).next_back();
        last.map(|(_, seq)| *seq).unwrap_or_default()
    }
}

/// What the devices of all users had shown and read, by their diaries.
#[derive(Debug, Default)]
struct Truth<'e> {
    shown: HashMap<(&'e UserId, &'e ConversationId), Steps>,
    read: HashMap<(&'e UserId, &'e ConversationId), Steps>,
    /// Up to where a user counts as having read without saying so.
    free: HashMap<(&'e UserId, &'e ConversationId), Seq>,
}

impl<'e> Truth<'e> {
    fn of(evidence: &'e Evidence, conversations: &'e Conversations<'_>) -> Self {
        let mut truth = Self::default();
        for (conv, known) in conversations {
            for user in known.membership.users() {
                truth.free.insert((user, conv), free_until(user, known));
            }
        }
        for device in &evidence.devices {
            for entry in &device.entries {
                match &entry.record {
                    Record::Shown { message } => {
                        let key = (&device.user, &message.conv);
                        truth
                            .shown
                            .entry(key)
                            .or_default()
                            .add(entry.at, message.seq);
                    }
                    Record::Reading { conv, seq } => {
                        let key = (&device.user, conv);
                        truth.read.entry(key).or_default().add(entry.at, *seq);
                    }
                    Record::Began
                    | Record::Writing { .. }
                    | Record::Written { .. }
                    | Record::Busy { .. }
                    | Record::Sent { .. }
                    | Record::Rejected { .. }
                    | Record::Cursor { .. }
                    | Record::Pried { .. }
                    | Record::Outbox { .. }
                    | Record::Connected
                    | Record::Disconnected { .. } => {}
                }
            }
        }
        let all = truth.shown.values_mut().chain(truth.read.values_mut());
        all.for_each(Steps::add_up);
        truth
    }

    /// Whether what a cursor says was so at that time.
    fn check(
        &self,
        whose: &str,
        at: u64,
        cursor: &Cursor,
        known: &Known<'_>,
        faults: &mut Vec<Fault>,
    ) {
        let fault = |build: fn(String, Cursor) -> Fault| build(whose.to_owned(), cursor.clone());
        if cursor.read > cursor.delivered || cursor.delivered > known.last {
            faults.push(fault(|whose, cursor| Fault::CursorBeyond { whose, cursor }));
        }
        let key = (&cursor.user, &cursor.conv);
        let free = self.free.get(&key).copied().unwrap_or_default();
        let by =
            |steps: Option<&Steps>, at| steps.map_or(Seq::NONE, |steps| steps.by(at)).max(free);
        // What has arrived on a device is shown by it, now or when its screen comes to it.
        if cursor.delivered > by(self.shown.get(&key), u64::MAX) {
            faults.push(fault(|whose, cursor| Fault::FalseDelivered {
                whose,
                cursor,
            }));
        }
        if cursor.read > by(self.read.get(&key), at) {
            faults.push(fault(|whose, cursor| Fault::FalseRead { whose, cursor }));
        }
    }
}

/// Up to where a user counts as having read without saying so: its own messages, since who writes has
/// read, and what was said before it came.
fn free_until(user: &UserId, known: &Known<'_>) -> Seq {
    let history = known.conversation.history.iter();
    let own = history.filter(|message| message.from == *user);
    let own = own.map(|message| message.seq).max().unwrap_or_default();
    let spans = known.membership.spans(user).iter();
    let came = spans
        .map(|span| span.from.before())
        .max()
        .unwrap_or_default();
    own.max(came)
}

/// The entries of each process of a device.
fn lives(entries: &[Entry]) -> impl Iterator<Item = &[Entry]> {
    let mut rest = entries;
    std::iter::from_fn(move || {
        let (_, others) = rest.split_first()?;
        let begins = |entry: &Entry| entry.record == Record::Began;
        let end = others.iter().position(begins).unwrap_or(others.len());
        // The first one begins a life whatever it is.
        let life = &rest[..=end];
        rest = &others[end..];
        Some(life)
    })
}

pub(super) fn judge(evidence: &Evidence, conversations: &Conversations<'_>, verdict: &mut Verdict) {
    let truth = Truth::of(evidence, conversations);
    let faults = &mut verdict.faults;
    for device in &evidence.devices {
        for life in lives(&device.entries) {
            let mut highest: HashMap<(&ConversationId, &UserId), (Seq, Seq)> = HashMap::new();
            for entry in life {
                let Record::Cursor { cursor } = &entry.record else {
                    continue;
                };
                let Some(known) = conversations.get(&cursor.conv) else {
                    faults.push(Fault::Foreign {
                        device: device.name.clone(),
                        conv: cursor.conv.clone(),
                        seq: cursor.delivered,
                    });
                    continue;
                };
                truth.check(&device.name, entry.at, cursor, known, faults);
                let (delivered, read) = highest.entry((&cursor.conv, &cursor.user)).or_default();
                if cursor.delivered < *delivered || cursor.read < *read {
                    faults.push(Fault::CursorBack {
                        device: device.name.clone(),
                        cursor: cursor.clone(),
                    });
                }
                *delivered = cursor.delivered.max(*delivered);
                *read = cursor.read.max(*read);
            }
        }
    }
    for known in conversations.values() {
        for cursor in &known.conversation.cursors {
            truth.check("the service", u64::MAX, cursor, known, faults);
        }
    }
    nothing_was_forgotten(evidence, conversations, &truth, faults);
    unread(evidence, faults);
}

/// What was shown counts as delivered, and what was read as read, for those who are there.
fn nothing_was_forgotten(
    evidence: &Evidence,
    conversations: &Conversations<'_>,
    truth: &Truth<'_>,
    faults: &mut Vec<Fault>,
) {
    let at_end = |steps: Option<&Steps>| steps.map_or(Seq::NONE, |steps| steps.by(u64::MAX));
    for device in &evidence.devices {
        for (conv, known) in conversations {
            let found = known.conversation.cursors.iter();
            let Some(cursor) = found.clone().find(|cursor| cursor.user == device.user) else {
                continue;
            };
            // Its own messages need no receipt.
            let shown = at_end(truth.shown.get(&(&device.user, *conv)));
            let others = (1..=shown.0).rev().map(Seq).find(|seq| {
                known
                    .message(*seq)
                    .is_some_and(|message| message.from != device.user)
            });
            if let Some(seq) = others.filter(|seq| cursor.delivered < *seq) {
                faults.push(Fault::NeverDelivered {
                    device: device.name.clone(),
                    conv: (*conv).clone(),
                    seq,
                });
            }
            let read = at_end(truth.read.get(&(&device.user, *conv)));
            if cursor.read < read {
                faults.push(Fault::NeverRead {
                    device: device.name.clone(),
                    conv: (*conv).clone(),
                    seq: read,
                });
            }
        }
    }
}

fn unread(evidence: &Evidence, faults: &mut Vec<Fault>) {
    for (user, summaries) in &evidence.summaries {
        for summary in summaries {
            let counted = summary.last_seq.since(summary.read);
            if summary.unread != counted {
                faults.push(Fault::FalseUnread {
                    user: user.clone(),
                    conv: summary.conv.clone(),
                    told: summary.unread,
                    counted,
                });
            }
        }
    }
}
