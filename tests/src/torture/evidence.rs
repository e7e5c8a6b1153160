//! What is judged: the diaries of all devices, and the histories as the service gives them at the end.

use std::collections::{BTreeMap, HashMap};

use leveret_client::message::{
    Body, ConversationId, ConversationSummary, Cursor, GroupChange, GroupHistory, MemberChange,
    Message, Seq, UserId,
};

use super::record::Entry;

/// A device, and what it wrote down.
#[derive(Clone, Debug)]
pub struct DeviceDiary {
    /// How it is called in faults.
    pub name: String,
    /// Whose it is.
    pub user: UserId,
    /// Everything, in the order of writing.
    pub entries: Vec<Entry>,
}

/// A conversation at the end.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// Its id.
    pub id: ConversationId,
    /// Who is in it from the first message, if that does not say it.
    pub both: Vec<UserId>,
    /// The whole history, as somebody sees it who was there from the beginning.
    pub history: Vec<Message>,
    /// How far everybody has come, as the same one is told.
    pub cursors: Vec<Cursor>,
}

/// Everything that is judged.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// All devices that ever ran. All have run to the end, healed, and had all the time they needed.
    pub devices: Vec<DeviceDiary>,
    /// All conversations.
    pub conversations: Vec<Conversation>,
    /// What each user is told about conversations at the end.
    pub summaries: Vec<(UserId, Vec<ConversationSummary>)>,
}

/// From one message to another, both included; without an end if it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Seq,
    pub(super) to: Option<Seq>,
}

impl Span {
    pub(super) fn has(&self, seq: Seq) -> bool {
        self.from <= seq && self.to.is_none_or(|to| seq <= to)
    }
}

/// Who was when in a conversation, as its history says.
#[derive(Debug)]
pub(super) struct Membership {
    spans: BTreeMap<UserId, Vec<Span>>,
    history: GroupHistory,
}

impl Membership {
    pub(super) fn of(conversation: &Conversation) -> Self {
        let mut membership = Self {
            spans: BTreeMap::new(),
            history: GroupHistory::All,
        };
        for user in &conversation.both {
            membership.comes(user, Seq(1));
        }
        for message in &conversation.history {
            match &message.body {
                Body::Group(GroupChange::Create { settings, members }) => {
                    membership.history = settings.history;
                    membership.comes(&message.from, message.seq);
                    for user in members {
                        membership.comes(user, message.seq);
                    }
                }
                Body::Member { user, change } => match change {
                    MemberChange::Join | MemberChange::Add { .. } => {
                        membership.comes(user, message.seq);
                    }
                    MemberChange::Leave | MemberChange::Remove | MemberChange::Ban => {
                        membership.goes(user, message.seq);
                    }
                    MemberChange::Unban
                    | MemberChange::Role { .. }
                    | MemberChange::Silence { .. } => {}
                },
                Body::Text(_)
                | Body::Edit { .. }
                | Body::Delete { .. }
                | Body::React { .. }
                | Body::Group(GroupChange::Settings { .. })
                | Body::Erased { .. }
                | Body::Unknown => {}
            }
        }
        membership
    }

    fn comes(&mut self, user: &UserId, from: Seq) {
        let spans = self.spans.entry(user.clone()).or_default();
        if spans.last().is_none_or(|span| span.to.is_some()) {
            spans.push(Span { from, to: None });
        }
    }

    fn goes(&mut self, user: &UserId, to: Seq) {
        let spans = self.spans.entry(user.clone()).or_default();
        if let Some(last) = spans.last_mut().filter(|span| span.to.is_none()) {
            last.to = Some(to);
        }
    }

    /// Whoever ever was in it.
    pub(super) fn users(&self) -> impl Iterator<Item = &UserId> {
        self.spans.keys()
    }

    pub(super) fn spans(&self, user: &UserId) -> &[Span] {
        self.spans.get(user).map_or(&[], Vec::as_slice)
    }

    /// Whether a user may ever have seen a message.
    pub(super) fn may_see(&self, user: &UserId, seq: Seq) -> bool {
        let spans = self.spans(user);
        match self.history {
            GroupHistory::Joined => spans.iter().any(|span| span.has(seq)),
            GroupHistory::All => spans.last().is_some_and(|last| {
                let whole = Span {
                    from: Seq(1),
                    ..*last
                };
                whole.has(seq)
            }),
        }
    }

    /// From which message on a user who is in it must have seen all; nothing if it is not in it.
    pub(super) fn must_see_from(&self, user: &UserId) -> Option<Seq> {
        let last = self.spans(user).last().filter(|span| span.to.is_none())?;
        Some(match self.history {
            GroupHistory::Joined => last.from,
            GroupHistory::All => Seq(1),
        })
    }
}

/// A conversation with what follows from it.
#[derive(Debug)]
pub(super) struct Known<'e> {
    pub(super) conversation: &'e Conversation,
    pub(super) membership: Membership,
    pub(super) last: Seq,
    by_seq: HashMap<Seq, &'e Message>,
}

impl<'e> Known<'e> {
    pub(super) fn of(conversation: &'e Conversation) -> Self {
        let history = conversation.history.iter();
        Self {
            conversation,
            membership: Membership::of(conversation),
            last: history
                .clone()
                .map(|message| message.seq)
                .max()
                .unwrap_or_default(),
            by_seq: history.map(|message| (message.seq, message)).collect(),
        }
    }

    pub(super) fn message(&self, seq: Seq) -> Option<&'e Message> {
        self.by_seq.get(&seq).copied()
    }
}
