//! What was written: each once in a history, or refused, and its writer told so.

use std::collections::{HashMap, HashSet};

use leveret_client::message::{Body, Message, MessageId, Post, RejectionCode, Seq};

use super::Conversations;
use crate::torture::POISON;
use crate::torture::evidence::{DeviceDiary, Evidence};
use crate::torture::fault::{Fault, Verdict};
use crate::torture::record::Record;

/// Everything that a device wrote and was told of it.
#[derive(Debug, Default)]
struct Written<'e> {
    /// In the order of writing.
    posts: Vec<&'e Post>,
    promised: HashSet<MessageId>,
    sent: HashMap<MessageId, Seq>,
    rejected: HashMap<MessageId, RejectionCode>,
    shown: HashSet<MessageId>,
}

impl<'e> Written<'e> {
    fn by(device: &'e DeviceDiary) -> Self {
        let mut written = Self::default();
        for entry in &device.entries {
            match &entry.record {
                Record::Writing { post } => written.posts.push(post),
                Record::Written { id } => {
                    written.promised.insert(*id);
                }
                Record::Sent { id, seq } => {
                    written.sent.insert(*id, *seq);
                }
                Record::Rejected { id, code } => {
                    written.rejected.insert(*id, *code);
                }
                Record::Shown { message } => {
                    written.shown.insert(message.id);
                }
                Record::Began
                | Record::Busy { .. }
                | Record::Reading { .. }
                | Record::Cursor { .. }
                | Record::Pried { .. }
                | Record::Outbox { .. }
                | Record::Connected
                | Record::Disconnected { .. } => {}
            }
        }
        written
    }

    /// Whether the writer knows what became of it. A process that dies just when it is told of it is not
    /// told again, but sees the message.
    fn is_told(&self, id: MessageId) -> bool {
        self.sent.contains_key(&id) || self.rejected.contains_key(&id) || self.shown.contains(&id)
    }
}

pub(super) fn judge(evidence: &Evidence, conversations: &Conversations<'_>, verdict: &mut Verdict) {
    let mut stored: HashMap<MessageId, &Message> = HashMap::new();
    for known in conversations.values() {
        for message in &known.conversation.history {
            verdict.counts.stored += 1;
            if stored.insert(message.id, message).is_some() {
                verdict.faults.push(Fault::StoredTwice {
                    conv: message.conv.clone(),
                    id: message.id,
                });
            }
        }
    }
    let mut written: HashMap<MessageId, &Post> = HashMap::new();
    for device in &evidence.devices {
        let by = Written::by(device);
        written.extend(by.posts.iter().map(|post| (post.id, *post)));
        let poisoned = by.posts.iter().filter(|post| is_poisoned(&post.body));
        verdict.counts.poisoned += poisoned.count() as u64;
        device_judge(device, &by, &stored, conversations, &mut verdict.faults);
    }
    for message in stored.values() {
        let is_so = written.get(&message.id).is_some_and(|post| {
            (&post.from, &post.conv, &post.body) == (&message.from, &message.conv, &message.body)
        });
        if !is_so {
            verdict.faults.push(Fault::Phantom {
                conv: message.conv.clone(),
                seq: message.seq,
            });
        }
    }
}

fn device_judge(
    device: &DeviceDiary,
    by: &Written<'_>,
    stored: &HashMap<MessageId, &Message>,
    conversations: &Conversations<'_>,
    faults: &mut Vec<Fault>,
) {
    let name = || device.name.clone();
    let mut last: HashMap<_, Seq> = HashMap::new();
    for post in &by.posts {
        let id = post.id;
        let is_poisoned = is_poisoned(&post.body);
        let Some(message) = stored.get(&id) else {
            match by.rejected.get(&id) {
                // It was set aside, and sent again when that did no harm any more.
                Some(RejectionCode::Poison) if is_poisoned => {
                    faults.push(Fault::NotReplayed { device: name(), id });
                }
                Some(code) if is_deserved(post, *code, conversations) => {}
                Some(code) => faults.push(Fault::Refused {
                    device: name(),
                    id,
                    code: *code,
                }),
                None if by.promised.contains(&id) || by.sent.contains_key(&id) => {
                    faults.push(Fault::Lost { device: name(), id });
                }
                None => {}
            }
            continue;
        };
        if by
            .rejected
            .get(&id)
            .is_some_and(|code| !is_poisoned || *code != RejectionCode::Poison)
        {
            faults.push(Fault::RefusedAndStored { device: name(), id });
        }
        if by.promised.contains(&id) && !by.is_told(id) {
            faults.push(Fault::Untold { device: name(), id });
        }
        if by.sent.get(&id).is_some_and(|seq| *seq != message.seq) {
            faults.push(Fault::FalseSent { device: name(), id });
        }
        if is_poisoned {
            // It has the place of its second sending.
            continue;
        }
        let last = last.entry(&post.conv).or_default();
        if message.seq < *last {
            faults.push(Fault::StoredDisorderly { device: name(), id });
        }
        *last = message.seq.max(*last);
    }
}

fn is_poisoned(body: &Body) -> bool {
    matches!(body, Body::Text(text) if text.text.contains(POISON))
}

/// Who was not always in a conversation may have been refused there, and who brings others in and out
/// may have come too late.
fn is_deserved(post: &Post, code: RejectionCode, conversations: &Conversations<'_>) -> bool {
    match (code, &post.body) {
        (RejectionCode::NotMember, _) => conversations.get(&post.conv).is_none_or(|known| {
            let spans = known.membership.spans(&post.from);
            spans.len() != 1 || spans.iter().any(|span| span.to.is_some())
        }),
        (RejectionCode::Exists | RejectionCode::NoSuchUser, Body::Member { .. }) => true,
        _ => false,
    }
}
