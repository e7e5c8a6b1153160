//! What must hold of everything that is stored. Pure: records in, findings out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use leveret_client::message::{ConversationId, ConversationKind, Message, Seq, Timestamp, UserId};

use crate::store::{Conversation, CursorAt, Member, Record};

/// Findings that are told; beyond, they are counted.
const FINDINGS_MAX: usize = 1_000;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding(String);

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accounts, deleted ones included.
    pub users: u64,
    /// Groups and direct conversations.
    pub conversations: u64,
    /// Messages, erased ones included.
    pub messages: u64,
    /// Cursors.
    pub cursors: u64,
    /// What must not be.
    pub findings: u64,
}

/// How far each member of a conversation had come.
type Cursors = HashMap<(ConversationId, UserId), (Seq, Seq)>;

/// Looks over a store, record by record, in the order of [`Export`](super::Export).
#[derive(Debug, Default)]
pub struct Check {
    counts: Counts,
    findings: Vec<Finding>,
    users: HashSet<UserId>,
    current: Option<Current>,
    /// As it was at an earlier time.
    earlier: Option<Cursors>,
}

#[derive(Debug)]
struct Current {
    conversation: Conversation,
    members: BTreeMap<UserId, Member>,
    cursors: HashSet<UserId>,
    seq: Seq,
    ts: Timestamp,
}

impl Check {
    /// Also compares with an earlier export: no cursor has gone back, and no message is lost.
    #[must_use]
    pub fn against(earlier: impl IntoIterator<Item = Record>) -> Self {
        let cursors = earlier.into_iter().filter_map(|record| match record {
            Record::Cursor { conv, cursor } => {
                Some(((conv, cursor.user), (cursor.delivered, cursor.read)))
            }
            _ => None,
        });
        Self {
            earlier: Some(cursors.collect()),
            ..Self::default()
        }
    }

    /// The next record.
    pub fn record(&mut self, record: &Record) {
        match record {
            Record::Export { .. } | Record::Deployment(_) | Record::Session { .. } => {}
            Record::User(user) => {
                self.counts.users += 1;
                self.users.insert(user.id.clone());
            }
            Record::Device(device) => {
                if !self.users.contains(&device.user) {
                    self.find(format!("device {} of nobody", device.id));
                }
            }
            Record::Conversation(conversation) => {
                self.end_of_conversation();
                self.counts.conversations += 1;
                self.current = Some(Current {
                    conversation: conversation.clone(),
                    members: BTreeMap::new(),
                    cursors: HashSet::new(),
                    seq: Seq::NONE,
                    ts: Timestamp::from_milliseconds(0),
                });
            }
            Record::Member { conv, member } => self.member(conv, member),
            Record::Cursor { conv, cursor } => self.cursor(conv, cursor),
            Record::Message(message) => self.message(message),
            Record::End { .. } => self.end_of_conversation(),
        }
    }

    /// What was found.
    #[must_use]
    pub fn finish(mut self) -> (Counts, Vec<Finding>) {
        self.end_of_conversation();
        if let Some(earlier) = self.earlier.take() {
            for (conversation, user) in earlier.keys() {
                self.find(format!("the cursor of {user} in {conversation} is gone"));
            }
        }
        (self.counts, self.findings)
    }

    /// Notes something that was found elsewhere.
    pub fn find(&mut self, text: String) {
        self.counts.findings += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding(text));
        }
    }

    /// The conversation that is being read; a finding if what comes belongs to another.
    fn current(&mut self, id: &ConversationId) -> Option<&mut Current> {
        let is_it = |current: &&mut Current| current.conversation.id == *id;
        if !self.current.as_mut().is_some_and(|current| is_it(&current)) {
            self.find(format!("something of {id} does not lie with it"));
            return None;
        }
        self.current.as_mut()
    }

    fn member(&mut self, id: &ConversationId, member: &Member) {
        if !self.users.contains(&member.user) {
            self.find(format!("{} in {id} has no account", member.user));
        }
        if let Some(current) = self.current(id) {
            current.members.insert(member.user.clone(), member.clone());
        }
    }

    fn cursor(&mut self, id: &ConversationId, cursor: &CursorAt) {
        self.counts.cursors += 1;
        let Some(current) = self.current(id) else {
            return;
        };
        let last = current.conversation.last_seq;
        current.cursors.insert(cursor.user.clone());
        let is_member = current.members.contains_key(&cursor.user);
        let (user, delivered, read) = (&cursor.user, cursor.delivered, cursor.read);
        if !is_member {
            self.find(format!(
                "{user} has a cursor in {id} and never was a member"
            ));
        }
        if !(read <= delivered && delivered <= last) {
            let place = format!("read {read}, delivered {delivered}, last {last}");
            self.find(format!(
                "the cursor of {user} in {id} is impossible: {place}"
            ));
        }
        let key = (id.clone(), user.clone());
        let earlier = self.earlier.as_mut().and_then(|all| all.remove(&key));
        if let Some((was_delivered, was_read)) = earlier
            && (delivered < was_delivered || read < was_read)
        {
            let place = format!("{was_delivered}/{was_read} to {delivered}/{read}");
            self.find(format!(
                "the cursor of {user} in {id} has gone back: {place}"
            ));
        }
    }

    fn message(&mut self, message: &Message) {
        self.counts.messages += 1;
        let (id, seq) = (&message.conv, message.seq);
        let Some(current) = self.current(id) else {
            return;
        };
        let expected = current.seq.next();
        let is_back_in_time = message.ts < current.ts;
        current.seq = seq;
        current.ts = message.ts;
        if seq != expected {
            self.find(format!(
                "{id} goes on with {seq} where {expected} was to come"
            ));
        }
        if is_back_in_time {
            self.find(format!(
                "message {seq} of {id} is older than the one before it"
            ));
        }
        if !self.users.contains(&message.from) {
            self.find(format!("message {seq} of {id} is from nobody"));
        }
    }

    fn end_of_conversation(&mut self) {
        let Some(current) = self.current.take() else {
            return;
        };
        let Conversation {
            id,
            last_seq,
            members,
            ..
        } = &current.conversation;
        if current.seq != *last_seq {
            self.find(format!(
                "{id} ends at {} and not at {last_seq}",
                current.seq
            ));
        }
        let present = current
            .members
            .values()
            .filter(|member| member.is_present());
        let present: Vec<_> = present.map(|member| &member.user).collect();
        if present.len() as u64 != *members {
            let count = present.len();
            self.find(format!("{id} counts {members} members and has {count}"));
        }
        for user in &present {
            if !current.cursors.contains(*user) {
                self.find(format!("{user} is in {id} and has no cursor"));
            }
        }
        if id.kind() == ConversationKind::Direct {
            let is_theirs = match present[..] {
                [one] => ConversationId::direct(one, one) == *id,
                [one, other] => ConversationId::direct(one, other) == *id,
                _ => false,
            };
            if !is_theirs {
                self.find(format!("{id} is not the conversation of who is in it"));
            }
        }
    }
}
