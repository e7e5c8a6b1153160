//! What a write is about, for engines that several processes share.

use std::collections::BTreeSet;

use leveret_client::message::{ConversationId, UserId};

use super::key;
use crate::store::{Advance, Append, User};

/// What a write is about.
///
/// Everything that is decided is decided on what a conversation, an account or a sender's ids hold, so a
/// write that has those for itself needs nothing else to be sure of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Names of what nobody else may change meanwhile.
    pub(crate) alone: BTreeSet<Vec<u8>>,
    /// Keys that will be read, most likely; worth fetching together.
    pub(crate) ahead: BTreeSet<Vec<u8>>,
}

impl Scope {
    fn alone(name: Vec<u8>) -> Self {
        Self {
            alone: [name].into(),
            ahead: BTreeSet::new(),
        }
    }

    pub(super) fn deployment() -> Self {
        Self::alone(key::DEPLOYMENT.to_vec())
    }

    pub(super) fn conversation(id: &ConversationId) -> Self {
        Self::alone(key::conversation(id))
    }

    /// An account, its devices and sessions.
    pub(super) fn user(id: &UserId) -> Self {
        Self::alone(key::user(id))
    }

    /// An account and its name.
    pub(super) fn new_user(user: &User) -> Self {
        let mut scope = Self::user(&user.id);
        scope.alone.insert(key::handle(&user.handle));
        scope
    }

    /// Conversations, and the ids of those who send: an id leads to one message in all conversations.
    pub(super) fn of_appends<'a>(batch: impl IntoIterator<Item = &'a Append>) -> Self {
        let mut scope = Self::default();
        for Append { post, .. } in batch {
            scope.alone.insert(key::conversation(&post.conv));
            scope.alone.insert(key::message_ids(&post.from));
            scope.ahead.extend([
                key::message_id(&post.from, post.id),
                key::user(&post.from),
                key::conversation(&post.conv),
                key::member(&post.conv, &post.from),
                key::cursor(&post.conv, &post.from),
            ]);
            let before = post.after.map(|id| key::message_id(&post.from, id));
            scope.ahead.extend(before);
        }
        scope
    }

    pub(super) fn of_advances(batch: &[Advance]) -> Self {
        let mut scope = Self::default();
        for Advance { conv, user, .. } in batch {
            scope.alone.insert(key::conversation(conv));
            scope.ahead.extend([
                key::conversation(conv),
                key::member(conv, user),
                key::cursor(conv, user),
            ]);
        }
        scope
    }
}
