//! A conversation on the screen. Pure.

use std::collections::{BTreeMap, HashMap};

use crate::message::{
    Body, ConversationId, ConversationKind, ConversationSummary, Cursor, GroupSettings, Message,
    MessageId, Post, ReactionChange, RejectionCode, Seq, Toggle, UserId,
};
use crate::words::plain;

/// Messages kept in memory; older ones are asked for again.
const MESSAGES_MAX: usize = 5_000;

/// What became of an own message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It is here: `·`.
    Local,
    /// It is in the history, and so many of the others have it: `✓`.
    Stored {
        /// How many have it.
        delivered: usize,
        /// How many others there are.
        of: usize,
    },
    /// All others have it: `✓✓`.
    Delivered,
    /// All others have read it: `✓✓`, coloured.
    Read,
    /// It was refused: `!`.
    Rejected(RejectionCode),
}

/// An own message that is not in the history.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) post: Post,
    pub(super) refused: Option<RejectionCode>,
}

/// A conversation on the screen.
#[derive(Clone, Debug)]
pub struct Conversation {
    pub(super) id: ConversationId,
    pub(super) title: String,
    pub(super) topic: String,
    pub(super) settings: GroupSettings,
    pub(super) peer: Option<UserId>,
    pub(super) members: u64,
    pub(super) muted: Toggle,
    pub(super) messages: BTreeMap<Seq, Message>,
    pub(super) pending: Vec<Pending>,
    pub(super) cursors: HashMap<UserId, (Seq, Seq)>,
    pub(super) last_seq: Seq,
    /// How far the owner of this screen has read.
    pub(super) read: Seq,
    /// Where "new" begins, fixed while the conversation is looked at.
    pub(super) new_after: Seq,
    pub(super) is_mentioned: bool,
    /// Older messages were asked for.
    pub(super) is_loading: bool,
    edits: HashMap<Seq, String>,
    reactions: HashMap<Seq, Vec<(UserId, String)>>,
}

impl Conversation {
    pub(super) fn new(id: ConversationId) -> Self {
        Self {
            title: id.to_string(),
            id,
            topic: String::new(),
            settings: GroupSettings::default(),
            peer: None,
            members: 0,
            muted: Toggle::Off,
            messages: BTreeMap::new(),
            pending: Vec::new(),
            cursors: HashMap::new(),
            last_seq: Seq::NONE,
            read: Seq::NONE,
            new_after: Seq::NONE,
            is_mentioned: false,
            is_loading: false,
            edits: HashMap::new(),
            reactions: HashMap::new(),
        }
    }

    pub(super) fn is_group(&self) -> bool {
        self.id.kind() == ConversationKind::Group
    }

    /// How many messages were not read.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.last_seq.since(self.read)
    }

    pub(super) fn summarise(&mut self, summary: &ConversationSummary) {
        if let Some(settings) = &summary.settings {
            self.title = format!("#{}", plain(&settings.title));
            self.topic = plain(&settings.topic);
            self.settings = settings.clone();
        } else if let Some(peer) = &summary.peer {
            self.title = format!("@{}", peer.handle);
            self.peer = Some(peer.user.clone());
        }
        self.members = summary.members;
        self.muted = summary.muted;
        self.last_seq = self.last_seq.max(summary.last_seq);
        self.read = self.read.max(summary.read);
    }

    /// A message of the history, whether it is new or was asked for.
    pub(super) fn add(&mut self, message: Message) {
        self.last_seq = self.last_seq.max(message.seq);
        self.pending.retain(|pending| pending.post.id != message.id);
        match &message.body {
            Body::Edit { target, text, .. } => {
                self.edits.insert(*target, text.clone());
            }
            Body::Delete { target } => {
                self.edits.remove(target);
                if let Some(gone) = self.messages.get_mut(target) {
                    gone.body = Body::Erased {
                        reason: crate::message::Erasure::Deleted,
                    };
                }
            }
            Body::React {
                target,
                emoji,
                change,
            } => {
                let reactions = self.reactions.entry(*target).or_default();
                let entry = (message.from.clone(), emoji.clone());
                reactions.retain(|known| *known != entry);
                if *change == ReactionChange::Add {
                    reactions.push(entry);
                }
            }
            Body::Text(_)
            | Body::Member { .. }
            | Body::Group(_)
            | Body::Erased { .. }
            | Body::Unknown => {}
        }
        self.messages.insert(message.seq, message);
        if self.messages.len() > MESSAGES_MAX {
            self.messages.pop_first();
        }
    }

    pub(super) fn cursor(&mut self, cursor: &Cursor) {
        let known = self.cursors.entry(cursor.user.clone()).or_default();
        known.0 = known.0.max(cursor.delivered);
        known.1 = known.1.max(cursor.read);
    }

    pub(super) fn refused(&mut self, post: Post, code: RejectionCode) {
        let refused = Some(code);
        match self
            .pending
            .iter_mut()
            .find(|known| known.post.id == post.id)
        {
            Some(known) => known.refused = refused,
            None => self.pending.push(Pending { post, refused }),
        }
    }

    /// The messages that have a place on the screen: edits, deletions and reactions change others.
    pub(super) fn shown(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.messages.values().filter(|message| {
            !matches!(
                message.body,
                Body::Edit { .. } | Body::Delete { .. } | Body::React { .. }
            )
        })
    }

    /// The text as it stands now.
    pub(super) fn edited(&self, seq: Seq) -> Option<&str> {
        self.edits.get(&seq).map(String::as_str)
    }

    /// Each reaction and how many there are of it.
    pub(super) fn reactions(&self, seq: Seq) -> Vec<(&str, usize)> {
        let mut counts: Vec<(&str, usize)> = Vec::new();
        for (_, emoji) in self.reactions.get(&seq).into_iter().flatten() {
            match counts.iter_mut().find(|(known, _)| known == emoji) {
                Some((_, count)) => *count += 1,
                None => counts.push((emoji, 1)),
            }
        }
        counts
    }

    /// How far the others have come with an own message.
    #[must_use]
    pub fn mark(&self, seq: Seq, own: &UserId) -> Mark {
        let known = self.cursors.iter().filter(|(user, _)| *user != own);
        let others: Vec<_> = known.map(|(_, cursor)| cursor).collect();
        let of = usize::try_from(self.members.saturating_sub(1)).unwrap_or(usize::MAX);
        let of = of.max(others.len());
        let delivered = others.iter().filter(|cursor| cursor.0 >= seq).count();
        let read = others.iter().filter(|cursor| cursor.1 >= seq).count();
        if of > 0 && read >= of {
            Mark::Read
        } else if of > 0 && delivered >= of {
            Mark::Delivered
        } else {
            Mark::Stored { delivered, of }
        }
    }

    pub(super) fn is_pending(&self, id: MessageId) -> bool {
        self.pending.iter().any(|pending| pending.post.id == id)
    }
}
