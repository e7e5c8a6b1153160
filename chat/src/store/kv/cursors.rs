//! Cursors: they only ever move forward.

use leveret_client::message::ConversationId;

use super::view::{self, Transaction, View};
use super::{key, members};
use crate::store::{Advance, Conversation, CursorAt, Member, StoreError};

/// The cursors of those in a conversation now.
pub(super) fn of_members(
    view: &dyn View,
    id: &ConversationId,
) -> Result<Vec<CursorAt>, StoreError> {
    let members = members::present(view, id)?;
    let keys: Vec<_> = members
        .iter()
        .map(|member| key::cursor(id, &member.user))
        .collect();
    let found = view.get_all(&keys)?.into_iter().flatten();
    found.map(|bytes| view::decode(&bytes)).collect()
}

/// Sets a cursor, wherever it was: of somebody who has just come.
pub(super) fn put(changes: &mut Transaction<'_>, id: &ConversationId, cursor: &CursorAt) {
    changes.put(key::cursor(id, &cursor.user), cursor);
}

/// Moves a cursor forward, if that is forward; gives it if it moved.
pub(super) fn raise(
    changes: &mut Transaction<'_>,
    id: &ConversationId,
    to: &CursorAt,
) -> Result<Option<CursorAt>, StoreError> {
    let key = key::cursor(id, &to.user);
    let Some(before) = view::read::<CursorAt>(changes, &key)? else {
        return Ok(None);
    };
    let read = before.read.max(to.read);
    let delivered = before.delivered.max(to.delivered).max(read);
    if (delivered, read) == (before.delivered, before.read) {
        return Ok(None);
    }
    let cursor = CursorAt {
        user: before.user,
        delivered,
        read,
        at: before.at.max(to.at),
    };
    changes.put(key, &cursor);
    Ok(Some(cursor))
}

/// What a receipt asks for.
pub(super) fn advance(
    changes: &mut Transaction<'_>,
    advance: &Advance,
) -> Result<Option<CursorAt>, StoreError> {
    let Some(conversation) =
        view::read::<Conversation>(changes, &key::conversation(&advance.conv))?
    else {
        return Ok(None);
    };
    let member: Option<Member> = view::read(changes, &key::member(&advance.conv, &advance.user))?;
    if !member.is_some_and(|member| member.is_present()) {
        return Ok(None);
    }
    let to = CursorAt {
        user: advance.user.clone(),
        delivered: advance.delivered.min(conversation.last_seq),
        read: advance.read.min(conversation.last_seq),
        at: advance.at,
    };
    raise(changes, &advance.conv, &to)
}
